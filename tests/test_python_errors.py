"""Wrong arguments of the public functions: one clear error each that says what, where and what to write instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import wavefoundry as wf

untyped: Any = wf  # the type checker would refuse these calls, too
CHAIN = wf.lattice.ising_chain(4, h=1.0)
SMALL: dict[str, Any] = {"steps": 2, "walkers": 16}


@pytest.fixture(scope="module")
def base() -> wf.Pretrained:
    return wf.pretrain(CHAIN, wf.models.vit(patch=2, width=4, layers=1, heads=1), **SMALL)


def refused(call: Any, *says: str) -> wf.InputError:
    with pytest.raises(wf.InputError) as caught:
        call()
    text = str(caught.value)
    assert caught.value.where and len(text.splitlines()) <= 5
    for part in says:
        assert part in text, text
    return caught.value


def test_errors_are_exported():
    for name in ("InputError", "PhysicsError", "IntegrityError", "StorageError", "LockedError", "Interrupted"):
        assert issubclass(getattr(wf, name), wf.WavefoundryError) and name in wf.__all__
    assert wf.InputError.exit_code == 2


SETTINGS = {
    "near miss of a step": ({"stepz": 4}, "did you mean 'steps'?"),
    "another program's name": ({"lr": 0.1}, "did you mean 'learning_rate'?"),
    "fraction": ({"steps": 4.5}, "not a whole number"),
    "text": ({"walkers": "many"}, "not a whole number"),
    "out of bounds": ({"momentum": 1.0}, "less than 1"),
    "no point": ({"at": 3}, "not a list of points"),
    "a list as one point": ({"at": [{"h": [0.8, 1.0]}]}, "several values"),
    "points of different couplings": ({"at": [{"h": 0.8}, {"J": 1.0}]}, "same couplings"),
    "a table as in a study file": ({"at": {"h": [0.8, 1.0]}}, 'at=[{"h": 0.9}, {"h": 1.1}]'),
    "text as a coupling": ({"at": [{"h": "strong"}]}, "not a coupling"),
    "a number in a text": ({"at": [{"h": "1.0"}]}, "not a coupling"),
    "a truth value": ({"at": [{"h": True}]}, "not a coupling"),
}


def test_couplings_are_numbers():
    for value in ("1", b"1", True, np.bool_(True), None, [1.0], 1j):
        refused(lambda value=value: untyped.lattice.ising_chain(4, h=value), "is not a coupling")
    assert untyped.lattice.ising_chain(4, h=np.float32(0.5)).values["h"] == 0.5


def test_more_frames_than_fit_into_memory():
    packet = wf.Packet(x0=30.0, s0=2.0, e0=4.0)
    student = wf.load_student("zoo:emulator-unitary")
    for call in (wf.propagate, student.rollout):
        refused(lambda call=call: call(packet, np.zeros(1024), 10**9), "1000000001 frames", "GiB are free")
    for frames in (2.5, True, "3"):
        refused(lambda frames=frames: untyped.propagate(packet, np.zeros(1024), frames), "is no number of frames")


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_a_pre_training(name: str):
    settings, says = SETTINGS[name]
    refused(lambda: untyped.pretrain(CHAIN, **settings), says)


@pytest.mark.integration
def test_numbers_of_numpy_and_powers_are_whole():
    table = wf.pretrain(CHAIN, wf.models.vit(patch=2, width=4, layers=1, heads=1), steps=np.int64(2), walkers=16.0)
    assert (table.settings.steps, table.settings.walkers) == (2, 16)


def test_maps(base: wf.Pretrained):
    refused(lambda: untyped.map(base, [0.8]), "which coupling", '{"h": [0.8, 1.2]}')
    refused(lambda: untyped.map(base, {"h": [0.8]}, evaluate=4096), "4096 is not a table", '{"samples": 4096}')
    refused(
        lambda: untyped.map(base, {"h": [0.8]}, evaluate={"sampels": 9}), "did you mean 'samples'?", "wf.map: evaluate"
    )
    refused(lambda: untyped.map(base, {"h": [0.8]}, stepz=4), "did you mean 'steps'?")
    refused(lambda: untyped.map(base, {"h": [0.8]}, method="haed"), "did you mean 'head'?")
    for other in ("x", CHAIN, None):
        refused(lambda other=other: untyped.map(other, {"h": [0.8]}), "no pre-trained model", "wf.pretrain(system)")


def test_one_configuration_at_a_time(base: wf.Pretrained):
    psi: Any = base.wavefunction
    xs = np.ones((5, 4), np.int8)
    refused(lambda: psi(base.system, xs), "(5, 4)", "one configuration of 4 spins", "jax.vmap")
    refused(lambda: psi(base.system, np.ones(5, np.int8)), "(5,)", "shape (4,)")
    refused(lambda: psi(xs[0], base.system), "no system")
    many = jax.vmap(lambda x: psi(base.system, x))(xs)
    np.testing.assert_allclose(many.log, np.full(5, psi(base.system, xs[0]).log), rtol=1e-6)


def test_loading(base: wf.Pretrained, tmp_path: Path):
    path = base.save(tmp_path / "base")
    refused(lambda: untyped.load(path, wf.lattice.ising_chain(6)), "this system has 6 sites, the model needs 4 sites")
    refused(lambda: untyped.load(path, wf.lattice.ising_square(2, 2)), "this system has 2 x 2, the model needs 4 sites")
    refused(lambda: untyped.load(path, wf.lattice.j1j2_chain(4, periodic=False)), "J1, J2", "the model needs J, h")
    refused(lambda: untyped.load(path, 3), "int is no system")
    refused(lambda: untyped.load(3), "int is no path")
    refused(lambda: untyped.load_student(3), "int is no path")
    refused(lambda: untyped.Pretrained.save(base, 3), "int is no path")


MOLECULE = wf.molecules("H 0 0 0; H 0 0 1.4")

CALLS = {
    "fan_in of a transformer": (lambda: untyped.prune(wf.models.vit(patch=2), CHAIN, fan_in=2), "one dense layer"),
    "fan_in of a convolution": (lambda: untyped.prune(wf.models.conv(), CHAIN, fan_in=2), "one dense layer"),
    "misspelt key of a hunt": (
        lambda: untyped.prune(wf.models.dense(), CHAIN, scoer="surgeon"),
        "did you mean 'score'?",
    ),
    "a model of molecules": (lambda: untyped.prune(wf.models.electrons(), CHAIN), "ElectronsSpec is no network"),
    "no network": (lambda: untyped.prune(3, CHAIN), "int is no network"),
    "no system": (lambda: untyped.prune(wf.models.dense(), "ising"), "str is no system"),
    "no table": (lambda: untyped.prune(wf.models.dense(), CHAIN, train=300), "300 is not a table"),
    "no energy": (lambda: untyped.prune(wf.models.dense(), CHAIN, reference="exact"), "not a number"),
    "an operator": (lambda: untyped.pretrain(CHAIN.operators[0]), "from_netket"),
    "no systems": (lambda: untyped.pretrain([1, 2]), "list is no system"),
    "a name for a network": (lambda: untyped.pretrain(CHAIN, "vit"), "wf.models.vit()"),
    "a lattice's network": (lambda: untyped.pretrain(MOLECULE, wf.models.vit()), "electrons()"),
    "misspelt option": (lambda: untyped.models.vit(widht=3), "did you mean 'width'?"),
    "depth": (lambda: untyped.models.vit(depth=3), "did you mean 'layers'?"),
    "misspelt channels": (lambda: untyped.models.resnet(chanels=3), "did you mean 'channels'?"),
    "text for a width": (lambda: untyped.models.vit(width="a"), "width = 'a'"),
    "no width": (lambda: untyped.models.vit(width=0), "positive"),
    "unknown head": (lambda: untyped.models.vit(head="imaginary"), "'real'"),
    "text for sites": (lambda: untyped.lattice.ising_chain("a"), "'a' is no number of sites"),
    "half a site": (lambda: untyped.lattice.ising_chain(4.5), "4.5 is no number of sites"),
    "no sites": (lambda: untyped.lattice.j1j2_chain(0), "0 is no number of sites"),
    "a cube": (lambda: untyped.lattice.ising((2, 2, 2)), "3 edges"),
    "half a torus": (lambda: untyped.toric.toric(2, 2.5), "2.5 is no number"),
    "a file for a study": (lambda: untyped.run_study("x.toml", "out"), "no such study file"),
    "a table for a study": (lambda: untyped.run_study({"kind": "diagram"}, "out"), "dict is no accepted study"),
    "collapse": (lambda: untyped.collapse(3), "int is no path"),
    "compact": (lambda: untyped.compact(3), "wf.prune"),
    "explain": (lambda: untyped.explain(3), "wf.prune"),
    "isolate": (lambda: untyped.isolate(3, 4), "wf.prune"),
    "rollout": (lambda: untyped.rollout(3, 4, 5, 6), "no student"),
    "diagnose": (lambda: untyped.diagnose(3), "no student"),
    "evaluate": (lambda: untyped.evaluate(3), "no student"),
    "exact": (lambda: untyped.exact.ground_state(3), "no operator"),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str):
    call, says = CALLS[name]
    refused(call, says)
