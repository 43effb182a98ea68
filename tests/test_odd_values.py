"""Every argument of every public call in turn as something odd: an answer, or one of our errors, never a traceback."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netket as nk
import numpy as np
import pytest

import wavefoundry as wf

ODD: list[Any] = [
    None, True, "x", "", 3, -1, 0, 2.5, float("nan"), float("inf"), 10**12, 10**400, [], {}, (), [None], ["x"],
    [1.5, "a"], np.array([1.0, 2.0]), np.array(3), np.float32(2), np.int64(3), np.array([]), object(), 1j, b"x",
    lambda *_: 1, [[1, 2], [3]], {"x": 1}, {1: 2}, range(3), set(), np, "x" * 5000, "a\0b", "~no-such-user/x",
]  # fmt: skip
PATIENCE = 60
"""Seconds after which a call counts as one that does not come back; all take below one."""
LINE = wf.Grid1D(40.0, 64)
FLAT = np.zeros(64)
PACKET = wf.Packet(10.0, 3.0, 1.0)
CHAIN = wf.lattice.ising_chain(4, h=1.0)


class Call:
    """A function, and arguments that it takes."""

    def __init__(self, function: Callable[..., Any], *args: Any, **settings: Any):
        self.function, self.args, self.settings = function, args, settings

    def changed(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        for place in [*range(len(self.args)), *self.settings]:
            for odd in ODD:
                args, settings = list(self.args), dict(self.settings)
                (args if isinstance(place, int) else settings)[place] = odd
                yield f"{place} = {odd!r:.40}", lambda a=args, s=settings: self.function(*a, **s)


def refusals(call: Call) -> list[str]:
    """Of which odd values a call says something else than it should."""

    def late(*_: Any) -> None:
        raise TimeoutError("does not come back")

    wrong, before = [], signal.signal(signal.SIGALRM, late)
    try:
        for label, once in call.changed():
            signal.alarm(PATIENCE)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    once()
            except wf.WavefoundryError as error:
                assert len(str(error)) < 1500, label
            except Exception as error:  # noqa: BLE001 - any other is what is looked for
                wrong.append(f"{label}: {type(error).__name__}: {error!s:.100}")
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    return wrong


def operators() -> dict[str, Any]:
    space: Any = nk.hilbert.Spin(0.5, 4)
    x, z = nk.operator.spin.sigmax, nk.operator.spin.sigmaz
    return {
        "zz": sum((z(space, i) * z(space, (i + 1) % 4) for i in range(1, 4)), z(space, 0) * z(space, 1)),
        "x": sum((x(space, i) for i in range(1, 4)), x(space, 0)),
    }


LATTICE = {
    "ising_chain": Call(wf.lattice.ising_chain, 6, h=1.0, J=1.0, periodic=True),
    "ising_square": Call(wf.lattice.ising_square, 3, 3, h=1.0, periodic=True),
    "j1j2_chain": Call(wf.lattice.j1j2_chain, 6, J2=0.3),
    "j1j2_square": Call(wf.lattice.j1j2_square, 4, 4, J2=0.3),
    "ising": Call(wf.lattice.ising, [3, 3], h=1.0),
    "j1j2": Call(wf.lattice.j1j2, [4], J2=0.1, J1=1.0, marshall="auto"),
    "toric": Call(wf.toric.toric, 2, 2, star=1.0, plaquette=1.0),
    "build": Call(
        wf.lattice.build, "ising", "chain", 6, periodic=True, marshall="auto", exponent=3.0, local_couplings=None, h=1.0
    ),
    "from_netket": Call(
        wf.lattice.from_netket, operators(), {"zz": -1.0, "x": -1.0}, extent=[4], periodic=True, marshall=None,
        model="custom", bonds=None,
    ),
    "exact.ising_chain": Call(wf.exact.ising_chain, 6, 1.0, J=1.0),
    "suggest_pretraining": Call(wf.suggest_pretraining, CHAIN, {"h": [0.5, 1.0]}, bases=1, exponent=3.0),
}  # fmt: skip
MODELS = {
    "dense": Call(wf.models.dense, alpha=2, activation="logcosh"),
    "conv": Call(wf.models.conv, channels=4),
    "resnet": Call(wf.models.resnet, channels=4),
    "vit": Call(wf.models.vit, layers=1, patch=1),
    "gru": Call(wf.models.gru, hidden=4),
    "electrons": Call(wf.models.electrons, preset="small", precision="float32"),
    "symmetric": Call(wf.models.symmetric, wf.models.vit(layers=1), symmetry="auto"),
    "as_emulator": Call(wf.models.as_emulator, wf.models.gru()),
}
FILES = {
    "open": Call(wf.open, "nowhere"),
    "load": Call(wf.load, "nowhere", system=None),
    "load_student": Call(wf.load_student, "nowhere"),
    "zoo.entry": Call(wf.zoo.entry, "ising-chain-24"),
    "zoo.take": Call(wf.zoo.take, "nowhere", name=None),
    "zoo.copy": Call(wf.zoo.copy, "nothing", "nowhere"),
    "zoo.export": Call(wf.zoo.export, "nowhere", name=None, out="nowhere", base="base"),
    "run_study": Call(wf.run_study, {"kind": "diagram"}, "nowhere", resume=False, overwrite=False),
    "collapse": Call(wf.collapse, "nowhere", "nowhere"),
    "use_devices": Call(wf.use_devices, 1),
}
WAVES = {
    "Grid1D": Call(wf.Grid1D, length=40.0, n=64),
    "Grid2D": Call(wf.Grid2D, length=(20.0, 20.0), n=(16, 16)),
    "axis": Call(LINE.axis, 0),
    "momenta": Call(LINE.momenta, 0),
    "norm": Call(LINE.norm, np.ones(64)),
    "normalise": Call(LINE.normalise, np.ones(64)),
    "case": Call(wf.case, "a", FLAT, PACKET, group="own"),
    "propagate": Call(
        wf.propagate, PACKET, FLAT, 3, grid=LINE, dt=0.1, method="strang", substeps="auto", laplacian="spectral",
        kcut=None, tolerance=0.01, check=True,
    ),
    "preset": Call(wf.Curriculum.preset, "quick", seed=0),
    "Curriculum": Call(wf.Curriculum, [wf.case("a", FLAT, PACKET)], frames=5, frame_step=0.1, grid=LINE),
}  # fmt: skip
MOLECULES = {
    "atoms": Call(wf.molecules, "H 0 0 0; H 0 0 1.4", unit="bohr", charge=0, spin=0, name="a", reference=-1.17),
    "family": Call(wf.molecules, compound="LiH", scan=3.0),
    "chain": Call(wf.molecules, chain=4, spacing=1.8),
}


CALLS = LATTICE | MODELS | FILES | WAVES | MOLECULES


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVEFOUNDRY_MODELS", str(tmp_path / "models"))
    assert not refusals(CALLS[name])


def test_students(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    student = wf.demo_emulator()
    flat, packet = np.zeros(student.grid.n), wf.Packet(30.0, 5.0, 1.0)
    for call in (
        Call(wf.rollout, student, packet, flat, 2, grid=None),
        Call(student.rollout, packet, flat, 2, grid=None, renormalise=None),
        Call(student.pruned, below=0.1, share=None, layers=()),
        Call(student.pruned, share=0.1),
        Call(student.save, "student"),
        Call(wf.diagnose, student),
    ):
        assert not refusals(call)


def test_curricula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    own = wf.Curriculum((wf.case("a", FLAT, PACKET),), frames=5, grid=LINE)
    for call in (
        Call(own.without, "fast"),
        Call(own.filter, lambda _: True),
        Call(own.generate, cache_dir=None, progress=None),
    ):
        assert not refusals(call)


@pytest.mark.integration
def test_judging_and_teaching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    student = wf.demo_emulator()
    case = wf.case("a", np.zeros(student.grid.n), wf.Packet(30.0, 5.0, 1.0))
    own = wf.Curriculum((wf.case("a", FLAT, PACKET),), frames=8, grid=LINE)
    for call in (
        Call(wf.evaluate, student, cases=[case], frames=2, tolerance=5e-3, truth=None),
        Call(wf.distill, own, wf.models.unitary(), start=None, cache_dir=None, steps=1, batch=1, polish=0, seed=0),
    ):
        assert not refusals(call)


@pytest.mark.integration
def test_states_of_a_lattice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    base = wf.pretrain(CHAIN, wf.models.vit(patch=2, width=4, layers=1, heads=1), steps=2, walkers=16)
    diagram = wf.map(base, {"h": [1.0]}, "zero-shot", evaluate={"samples": 64})
    state = diagram.state(h=1.0)
    for call in (
        Call(state.sample, 4, seed=0),
        Call(state.log_amplitude, state.sample(4)),
        Call(state.overlap, state, samples=64, seed=0),
        Call(state.expect, operators()["x"], samples=64, seed=0),
        Call(diagram.state, h=1.0),
        Call(diagram.to_html, "report.html"),
        Call(base.save, "base"),
        Call(wf.load, "base", system=CHAIN),
        Call(wf.from_netket_state, state.to_netket(), CHAIN),
    ):
        assert not refusals(call)


@pytest.mark.integration
def test_states_of_a_molecule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    model = wf.load("zoo:molecules-small")
    state = model.state("H 0 0 0; H 0 0 1.4")
    for call in (
        Call(model.state, "H2"),
        Call(state.log_amplitude, state.sample(2)),
        Call(wf.Calculator, model, steps=0, samples=64),
        Call(model.save, "model"),
    ):
        assert not refusals(call)


@pytest.mark.integration
def test_tickets():
    tickets = wf.prune(wf.models.dense(alpha=1), CHAIN, steps=1, train={"steps": 2}, stop_at=8)
    last = tickets.rounds[-1]["n"]
    for call in (
        Call(tickets.ticket, last),
        Call(tickets.wavefunction, last),
        Call(wf.isolate, tickets, last, variants=["init"], seeds=1, steps=1),
        Call(wf.explain, tickets, last),
        Call(wf.compact, tickets, last),
    ):
        assert not refusals(call)
