"""Programs that are compiled before they are called: once, and by another thread."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import wavefoundry as wf
from wavefoundry.core import early as module
from wavefoundry.core.early import early
from wavefoundry.core.meter import METER

COMPILED = "/jax/core/compile/backend_compile_duration"
TOLD: list[tuple[str, str]] = []


def _listen(event: str, _: float, **rest: Any) -> None:
    if event == COMPILED:
        TOLD.append((str(rest.get("fun_name")), threading.current_thread().name))


jax.monitoring.register_event_duration_secs_listener(_listen)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Programs compiled from here on, and the threads that did it; as on a machine with a core to spare."""
    monkeypatch.setattr(module, "_idle", lambda: True)
    TOLD.clear()
    yield TOLD


def test_what_is_compiled_ahead_is_not_compiled_again(told: list[tuple[str, str]]):
    @early
    @eqx.filter_jit
    def tripled(x: Any, times: int) -> Any:
        return sum(x for _ in range(times))

    x = jnp.arange(5.0)
    tripled.ahead(jnp.zeros(5), 3)
    assert jnp.array_equal(tripled(x, 3), 3 * x)
    mine = [thread for name, thread in told if "tripled" in name]
    assert len(mine) == 1 and mine[0].startswith("compiling")
    assert jnp.array_equal(tripled(x, 2), 2 * x), "other arguments: compiled where they are"
    assert [thread for name, thread in told if "tripled" in name][1:] == [threading.current_thread().name]


def test_waiting_is_compiling_and_the_rest_is_beside(told: list[tuple[str, str]]):
    """Of 0.4 s at least, the first half lies beside a sleep, and the second is waited for."""

    @early
    @jax.jit
    def slow(x: Any) -> Any:
        time.sleep(0.4)  # while it is traced
        return x + 1

    begin = METER.now()
    slow.ahead(jnp.zeros(3))
    time.sleep(0.2)
    slow(jnp.ones(3))
    cost = METER.now() - begin
    assert cost.ahead_seconds > 0.15 and cost.compile_seconds > 0.1
    assert cost.ahead_seconds + cost.building_seconds > 0.4 and cost.running_seconds > 0.15
    assert cost.tracing_seconds < 0.3, "the trace in the background is no time of this thread"


def test_programs_within_programs_do_not_wait_for_each_other(told: list[tuple[str, str]]):
    """The background has one thread: what it traces must not wait for what comes after."""

    @early
    @jax.jit
    def inner(x: Any) -> Any:
        return x + 1

    @early
    @jax.jit
    def outer(x: Any) -> Any:
        time.sleep(0.1)
        return 2 * inner(x)

    outer.ahead(jnp.zeros(3))
    inner.ahead(jnp.zeros(3))
    assert jnp.array_equal(outer(jnp.ones(3)), 4 * jnp.ones(3))
    assert jnp.array_equal(inner(jnp.ones(3)), 2 * jnp.ones(3))


def test_what_fails_fails_when_it_is_called(told: list[tuple[str, str]]):
    @early
    @jax.jit
    def wrong(x: Any) -> Any:
        raise ZeroDivisionError(f"shape {x.shape}")

    wrong.ahead(jnp.zeros(3))
    with pytest.raises(ZeroDivisionError):
        wrong(jnp.zeros(3))


def test_what_is_left_at_the_end_is_not_compiled(told: list[tuple[str, str]]):
    @early
    @jax.jit
    def slow(x: Any) -> Any:
        time.sleep(0.2)
        return x + 1

    @early
    @jax.jit
    def unneeded(x: Any) -> Any:
        return x + 2

    with module.nothing_left():
        slow.ahead(jnp.zeros(3))
        unneeded.ahead(jnp.zeros(3))
    assert jnp.array_equal(slow(jnp.ones(3)), 2 * jnp.ones(3))
    assert not [name for name, _ in told if "unneeded" in name]
    assert jnp.array_equal(unneeded(jnp.ones(3)), 3 * jnp.ones(3)), "it is still there to be called"


def test_one_core_compiles_what_it_calls(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_idle", lambda: False)
    program = early(jax.jit(lambda x: x - 1))
    program.ahead(jnp.zeros(3))
    assert not program._pending


@pytest.mark.integration
@pytest.mark.parametrize("chain", [8, 20])
def test_a_map_compiles_each_program_once_and_gives_the_same_numbers(
    told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, chain: int
):
    """Drawn from a list and from chains; energies bit by bit."""
    model = wf.models.vit(patch=2, width=8, layers=1, heads=2)
    base = wf.pretrain(wf.lattice.ising_chain(chain, h=1.0), model, steps=10, walkers=64)
    settings: dict[str, Any] = {"samples": 256, "evaluate": {"samples": 256, "chains": 32}}

    def mapped() -> tuple[list[float], Counter[str]]:
        jax.clear_caches()
        told.clear()
        found = wf.map(base, {"h": [0.95, 1.05]}, **settings)
        return [point["energy"] for point in found.points], Counter(name for name, _ in told)

    with_it, early_ones = mapped()
    aside = {name for name, thread in told if thread.startswith("compiling")}
    monkeypatch.setattr(module, "_idle", lambda: False)
    without, late_ones = mapped()
    assert with_it == without
    wanted = {"fill", "_some_steps"} | ({"sample", "resample"} if chain == 20 else set())
    assert {f"jit({name})" for name in wanted} <= aside
    assert all(early_ones[name] == late_ones[name] for name in aside)
