"""The Python interface: pre-train, map, save, look at it; and mistakes that are answered in plain words."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest
from matplotlib.figure import Figure

import wavefoundry as wf
from tests.oracles import dense_matrix
from wavefoundry.core.errors import InputError, IntegrityError

MODEL = wf.models.vit(patch=2, width=8, layers=1, heads=2)
QUICK: dict[str, Any] = {"steps": 10, "samples": 256, "rounds": 2, "evaluate": {"samples": 256, "chains": 32}}


@pytest.fixture(scope="module")
def base() -> wf.Pretrained:
    """Critical chain of 8 sites, by the full sum."""
    return wf.pretrain(wf.lattice.ising_chain(8, h=1.0), MODEL, steps=60, learning_rate=0.1, block=2)


@pytest.fixture(scope="module")
def diagram(base: wf.Pretrained) -> wf.Diagram:
    return wf.map(base, {"h": np.linspace(0.8, 1.2, 3)}, method="head", **QUICK)


def numbers(record: Any) -> Any:
    """A record without what it and its references took."""
    if not isinstance(record, dict):
        return record
    return {name: numbers(value) for name, value in record.items() if name != "cost"}


@pytest.mark.integration
def test_the_example_of_the_front_page(base: wf.Pretrained, diagram: wf.Diagram):
    """Pre-training reaches 1e-3, adapted points 1e-2 (both far above the noise of 256 samples, 1e-3 at most)."""
    assert base.record["relative_error"] < 1e-3 + 5 * base.record["energy_error"] / abs(base.energy)
    assert base.energy == base.record["energy"] and base.cost["compilations"] > 0
    assert base.system.values == {"J": 1.0, "h": 1.0}
    assert [point["couplings"]["h"] for point in diagram.points] == [0.8, 1.0, 1.2]
    for point in diagram.points:
        exact = wf.exact.ising_chain(8, point["couplings"]["h"]).energy
        assert point["exact_energy"] == pytest.approx(exact, rel=1e-12)
        assert -5 * point["energy_error"] < point["energy"] - exact < 1e-2 * abs(exact) + 5 * point["energy_error"]
    assert diagram.summary["status"] == "complete" and set(diagram.cost) >= {"cpu_seconds", "compilations"}
    assert {event["event"] for event in diagram.log} >= {"point", "round"}


def test_the_wavefunction_can_be_called(base: wf.Pretrained):
    psi = base.wavefunction(base.system, jnp.ones(8, jnp.int8))
    assert np.isfinite(psi.log) and float(psi.phase) == 0.0, "a sign-free system gets a real head"


def test_table_of_a_diagram(diagram: wf.Diagram):
    frame = diagram.to_pandas()
    assert list(frame["h"]) == [0.8, 1.0, 1.2] and set(frame["J"]) == {1.0}
    assert list(frame["energy"]) == [point["energy"] for point in diagram.points]
    assert list(frame["observables.m2.value"]) == [p["observables"]["m2"]["value"] for p in diagram.points]
    assert {"energy_error", "v_score", "relative_error", "pool.ess_min", "flags"} <= set(frame.columns)


def test_plot_and_report_of_a_diagram(diagram: wf.Diagram, tmp_path: Path):
    figure = diagram.plot()
    assert isinstance(figure, Figure) and figure.axes
    path = diagram.to_html(tmp_path / "report.html")
    text = path.read_text()
    assert path == tmp_path / "report.html" and "<html" in text
    assert not re.search(r"""(src|href)=["']https?:""", text), "self-contained"


def test_the_same_call_gives_the_same_numbers(base: wf.Pretrained, diagram: wf.Diagram):
    again = wf.map(base, {"h": [0.8, 1.0, 1.2]}, **QUICK)
    assert [numbers(p) for p in again.points] == [numbers(p) for p in diagram.points]


def test_seeds_of_a_map(base: wf.Pretrained):
    """Other random numbers for everything but the pre-training; by default its own."""
    zero = [wf.map(base, {"h": [0.9]}, "zero-shot", evaluate=QUICK["evaluate"], seed=seed) for seed in (None, 0, 1)]
    left, same, other = (one.points[0]["energy"] for one in zero)
    assert left == same != other


def test_other_methods(base: wf.Pretrained, diagram: wf.Diagram):
    """Zero-shot is the pre-trained state itself; at the pre-trained point nothing is lost."""
    zero = wf.map(base, {"h": [0.8, 1.0, 1.2]}, method="zero-shot", evaluate=QUICK["evaluate"])
    assert [point["method"] for point in zero.points] == ["zero-shot"] * 3
    for before, after in zip(zero.points, diagram.points, strict=True):
        error = np.hypot(before["energy_error"], after["energy_error"])
        assert after["energy"] < before["energy"] + 4 * error
    # <H_k> of one state at three couplings: all three agree, 5 error bars of the difference
    fields = [(point["terms"]["h"]["value"], point["terms"]["h"]["error"]) for point in zero.points]
    for value, error in fields[1:]:
        assert abs(value - fields[0][0]) < 5 * np.hypot(error, fields[0][1])


def test_several_couplings_make_a_grid(base: wf.Pretrained):
    found = wf.map(base, {"J": [0.9, 1.1], "h": 1.0}, method="zero-shot", evaluate=QUICK["evaluate"])
    assert [(p["couplings"]["J"], p["couplings"]["h"]) for p in found.points] == [(0.9, 1.0), (1.1, 1.0)]
    frame = found.to_pandas()
    assert list(frame["J"]) == [0.9, 1.1]


def test_saved_and_loaded(base: wf.Pretrained, diagram: wf.Diagram, tmp_path: Path):
    """Weights bit by bit, and therefore the same diagram."""
    path = base.save(tmp_path / "base")
    loaded = wf.load(path, wf.lattice.ising_chain(8, h=0.3))
    assert loaded.system.values == base.system.values, "at the couplings of the pre-training"
    assert loaded.model == base.model and loaded.settings == base.settings
    assert numbers(loaded.record) == numbers(base.record)
    for a, b in zip(jax.tree.leaves(loaded.wavefunction), jax.tree.leaves(base.wavefunction), strict=True):
        np.testing.assert_array_equal(a, b)
    again = wf.map(loaded, {"h": [0.8, 1.0, 1.2]}, **QUICK)
    assert [numbers(p) for p in again.points] == [numbers(p) for p in diagram.points]


def test_damaged_or_foreign_weights_are_refused(base: wf.Pretrained, tmp_path: Path):
    path = base.save(tmp_path / "base")
    with pytest.raises(InputError, match="this system has 12 sites, the model needs 8"):
        wf.load(path, wf.lattice.ising_chain(12))
    data = bytearray((path / "arrays.safetensors").read_bytes())
    data[-3] ^= 1
    (path / "arrays.safetensors").write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        wf.load(path, wf.lattice.ising_chain(8))
    with pytest.raises(InputError, match="no saved model"):
        wf.load(tmp_path / "nothing", wf.lattice.ising_chain(8))


def user_terms(hilbert: Any) -> dict[str, Any]:
    """A chain in a tilted field from NetKet's own operators: bonds, transverse and longitudinal field."""
    sites = hilbert.size
    sz = nk.operator.spin.sigmaz
    zero = nk.operator.LocalOperator(hilbert)
    return {
        "bond": sum((-1.0 * sz(hilbert, i) @ sz(hilbert, (i + 1) % sites) for i in range(sites)), start=zero),
        "tilt": sum((-1.0 * sz(hilbert, i) for i in range(sites)), start=zero),
        "flip": nk.operator.IsingJax(hilbert, nk.graph.Chain(sites), h=1.0, J=0.0),
    }


@pytest.mark.integration
def test_a_hamiltonian_of_the_users_own():
    """Three couplings of any names; exact energies by Lanczos agree with the dense matrix."""
    terms = user_terms(nk.hilbert.Spin(0.5, 8))
    couplings = {"bond": 1.0, "tilt": 0.2, "flip": 0.9}
    system = wf.lattice.from_netket(terms, couplings)
    base = wf.pretrain(system, MODEL, steps=30)
    found = wf.map(base, {"tilt": [0.1, 0.3], "flip": [0.9]}, method="zero-shot")
    dense = {name: dense_matrix(term).real for name, term in terms.items()}
    for point in found.points:
        assert point["couplings"] == {"bond": 1.0, "tilt": point["couplings"]["tilt"], "flip": 0.9}
        matrix = sum(value * dense[name] for name, value in point["couplings"].items())
        assert point["exact_energy"] == pytest.approx(np.linalg.eigvalsh(matrix)[0], abs=1e-9)
        assert point["energy"] > point["exact_energy"] - 5 * point["energy_error"]
        assert point["relative_error"] < 0.1 and set(point["terms"]) == set(terms)
    assert found.summary["system"]["couplings"] == list(terms)


SPINS = nk.hilbert.Spin(0.5, 4)
OPERATORS = user_terms(SPINS)


UNUSABLE = {
    "other names": ({"a": OPERATORS["bond"]}, {"b": 1.0}, {}, "do not match"),
    "nothing": ({}, {}, {}, "do not match"),
    "another lattice": ({"a": OPERATORS["bond"]}, {"a": 1.0}, {"extent": (3, 2)}, "does not hold"),
    "not Hermitian": ({"a": nk.operator.spin.sigmam(SPINS, 0)}, {"a": 1.0}, {}, "Hermitian"),
    "complex elements": ({"a": nk.operator.spin.sigmay(SPINS, 0)}, {"a": 1.0}, {}, "complex"),
    "another space": (
        {"a": OPERATORS["bond"], "b": user_terms(nk.hilbert.Spin(0.5, 6))["bond"]},
        {"a": 1.0, "b": 1.0},
        {},
        "Hilbert",
    ),
    "spin 1": ({"a": nk.operator.spin.sigmaz(nk.hilbert.Spin(1, 4), 0)}, {"a": 1.0}, {}, "spins 1/2"),
    "no operator": ({"a": "X0 X1"}, {"a": 1.0}, {}, "NetKet"),
}


@pytest.mark.parametrize("name", list(UNUSABLE))
def test_operators_that_cannot_be_used(name: str):
    terms, couplings, options, message = UNUSABLE[name]
    with pytest.raises(InputError, match=message):
        wf.lattice.from_netket(terms, couplings, **options)


def refused(caught: Any) -> str:
    """Every refusal is short: it fits the five lines that a user is shown."""
    text = str(caught.value)
    assert len(text.splitlines()) <= 5 and "Traceback" not in text
    return text


@pytest.mark.parametrize(
    ("points", "settings", "word"),
    [
        ({"g": [0.5]}, {}, "'g'"),
        ({}, {}, "no couplings"),
        ({"h": []}, {}, "no couplings"),
        ({"h": [0.5]}, {"method": "heads"}, "method"),
        ({"h": [0.5]}, {"stepz": 3}, "stepz"),
        ({"h": [0.5]}, {"steps": 0}, "steps"),
        ({"h": [0.5]}, {"held_out": 1.5}, "held_out"),
        ({"h": [np.nan]}, {}, "nan"),
        ({"h": [0.5]}, {"evaluate": {"chains": 1}}, "chains"),
        ({"h": [0.5]}, {"evaluate": {"sample": 100}}, "sample"),
    ],
)
def test_maps_that_cannot_be_made(base: wf.Pretrained, points: Any, settings: dict[str, Any], word: str):
    with pytest.raises(InputError) as caught:
        wf.map(base, points, **settings)
    assert word in refused(caught)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"walkers": 0}, "walkers"),
        ({"steps": -3}, "steps"),
        ({"learning_rate": "fast"}, "learning_rate"),
        ({"walker": 10}, "walker"),
        ({"sampling": "exact"}, "sampling"),
        ({"momentum": 1.0}, "momentum"),
        ({"at": [{"g": 1.0}]}, "'g'"),
    ],
)
def test_pre_trainings_that_cannot_be_made(settings: dict[str, Any], word: str):
    with pytest.raises(InputError) as caught:
        wf.pretrain(wf.lattice.ising_chain(8), MODEL, **settings)
    assert word in refused(caught)


def test_a_full_sum_that_is_too_large():
    with pytest.raises(InputError, match="too large") as caught:
        wf.pretrain(wf.lattice.ising_chain(20), MODEL, sampling="full-sum")
    assert "metropolis" in refused(caught)


def test_networks_that_do_not_fit():
    for fields, word in (({"patch": 3}, "patch"), ({"width": 8, "heads": 3}, "heads")):
        with pytest.raises(InputError, match="does not divide") as caught:
            wf.pretrain(wf.lattice.ising_chain(8), dataclasses.replace(MODEL, **fields))
        assert word in refused(caught)


def test_a_coupling_that_the_system_does_not_have():
    with pytest.raises(InputError, match="no coupling 'J3'") as caught:
        wf.lattice.j1j2_chain(8).at(J3=1.0)
    assert "J1, J2" in refused(caught)
