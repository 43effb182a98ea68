"""What the making of programs takes is told apart from what they take, each second once."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
import pytest

from wavefoundry.core.meter import METER, Cost

TRACE = "/jax/core/compile/jaxpr_trace_duration"


def tell(event: str, seconds: float) -> None:
    jax.monitoring.record_event_duration_secs(event, seconds)


def test_programs_within_programs_count_once():
    """An inner trace of 0.02 s within an outer one of 0.05 s, and a third one after them: 0.06 s, not 0.08 s."""
    begin = METER.now()
    time.sleep(0.05)
    tell(TRACE, 0.02)
    tell(TRACE, 0.05)
    time.sleep(0.02)
    tell(TRACE, 0.01)
    assert (METER.now() - begin).tracing_seconds == pytest.approx(0.06, abs=1e-9)


def test_a_program_is_traced_compiled_and_run():
    @jax.jit
    def slow_to_trace(x: jax.Array) -> jax.Array:
        time.sleep(0.2)  # while it is traced
        return jnp.sin(x) + 1

    begin = METER.now()
    slow_to_trace(jnp.ones(3)).block_until_ready()
    first = METER.now() - begin
    assert first.tracing_seconds > 0.2 and first.compilations >= 1
    assert 0 <= first.running_seconds < first.wall_seconds - 0.2
    begin = METER.now()
    slow_to_trace(jnp.ones(3)).block_until_ready()
    assert (METER.now() - begin).tracing_seconds == 0


def test_costs_add_up():
    one = Cost(3.0, 4.0, 1.0, 7, 0.5, 0.25)
    assert one + one - one == one and one.share(2) == Cost(1.5, 2.0, 0.5, 3, 0.25, 0.125)
    assert one.building_seconds == 1.25 and one.running_seconds == 2.75
