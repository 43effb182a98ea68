"""Where to pre-train, from exact ground states of a small system."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import fidelity_susceptibility_ising
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError
from wavefoundry.problems import exact, lattice
from wavefoundry.studies.diagram.suggest import Suggestion, smaller


def test_of_an_ising_chain_the_transition_is_found():
    """8 spins: the fidelity susceptibility peaks a little below h = 1, as its closed form does."""
    system, fields = wf.lattice.ising_chain(8), np.linspace(0.4, 1.6, 13)
    found = wf.suggest_pretraining(system, {"h": fields})
    assert len(found.at) == 1 and 0.7 < found.at[0]["h"] < 1.3
    peak = max(found.susceptibility, key=lambda one: one["chi"])
    known = [fidelity_susceptibility_ising(8, h) / 8 for h in (fields[:-1] + fields[1:]) / 2]
    assert peak["value"] == pytest.approx((fields[:-1] + fields[1:])[int(np.argmax(known))] / 2)
    assert peak["chi"] == pytest.approx(max(known), rel=0.05), "a finite difference"
    assert any("changes fastest" in reason for reason in found.reasons) and "at = { h = " in str(found)


@pytest.mark.parametrize("bases", [None, 2])
@pytest.mark.parametrize("fields", [[0.1, 1.5], [0.0, 2.0]])
def test_a_degenerate_point_is_no_base(fields: list[float], bases: int | None):
    """The ordered phase of 12 spins has two ground states: which of them is trained cannot be told."""
    found = wf.suggest_pretraining(wf.lattice.ising_chain(12), {"h": fields}, bases=bases)
    assert found.at == [{"h": fields[1]}] and any("1 point has several" in reason for reason in found.reasons)
    assert all(np.isfinite(one["excess"]) for one in found.alternatives)


@pytest.mark.parametrize("unit", [1e-9, 1e6])
def test_a_suggestion_does_not_depend_on_the_unit(unit: float):
    plain = wf.suggest_pretraining(wf.lattice.ising_chain(6), {"h": [0.5, 1.0, 1.5]})
    scaled = wf.suggest_pretraining(wf.lattice.ising_chain(6, J=unit), {"h": [0.5 * unit, unit, 1.5 * unit]})
    assert scaled.at[0]["h"] == pytest.approx(plain.at[0]["h"] * unit)
    assert scaled.excess == pytest.approx(plain.excess, rel=1e-6)


def test_the_excess_is_that_of_exact_states():
    """Two points: the better base is the one whose state has the lower excess at the other."""
    system = wf.lattice.ising_chain(8)
    found = wf.suggest_pretraining(system, {"h": [0.9, 1.2]}, bases=1)
    energies = {}
    for here, there in ((0.9, 1.2), (1.2, 0.9)):
        _, vector = exact.ground_state(system.at(h=here).operator())
        reference = exact.ising_chain(8, there).energy
        energies[here] = (exact.expectation(system.at(h=there).operator(), vector) - reference) / abs(reference)
    assert found.at == [{"h": min(energies, key=lambda h: energies[h])}]
    assert found.excess == pytest.approx(min(energies.values()), rel=1e-6)


def test_a_level_crossing_gets_a_base_on_either_side():
    """J1-J2 chain of 8: the momentum of the ground state changes at J2 = 0.5."""
    found = wf.suggest_pretraining(wf.lattice.j1j2_chain(8), {"J2": [0.2, 0.3, 0.4, 0.6, 0.7, 0.8]})
    sides = [point["J2"] > 0.5 for point in found.at]
    assert len(found.at) > 1 and not sides[0] and sides[-1]
    assert any("another one on either side of J2 = 0.4 to 0.6" in reason for reason in found.reasons)


def test_nor_is_one_at_a_crossing():
    found = wf.suggest_pretraining(wf.lattice.j1j2_chain(8), {"J2": [0.4, 0.5, 0.6]}, bases=1)
    assert found.at[0]["J2"] != 0.5


@pytest.mark.integration
def test_a_large_lattice_is_made_smaller():
    assert smaller(wf.lattice.ising_chain(64)).extent == (12,)
    assert smaller(wf.lattice.j1j2_square(6, 6)).extent == (4, 4)
    assert smaller(lattice.build("j1j2", "kagome", (4, 4))).sites == 12
    few = smaller(lattice.build("ising", "honeycomb", (4, 4), h=2.0))
    assert few.sites <= 16 and few.values == {"J": 1.0, "h": 2.0}


def test_places_of_two_couplings_are_no_grid():
    """Lists of a study file would stand for every combination."""
    places = [{"J": -1.0, "h": 1.0}, {"J": 1.0, "h": 0.5}]
    found = Suggestion(places, 0.1, [], "", [], [])
    assert str(found).splitlines()[:2] == ["at = { J = -1, h = 1 }", "at = { J = 1, h = 0.5 }"]
    assert "no grid" in str(found)
    line = str(dataclasses.replace(found, at=[{"J": 1.0, "h": 1.0}, {"J": 1.0, "h": 0.5}])).splitlines()[0]
    assert line == "at = { J = 1, h = [1, 0.5] }"


def test_mistakes_are_refused():
    system = wf.lattice.ising_chain(8)
    wrong: list[Any] = [3.0, {}, {"h": []}, {"h": "a"}]
    for points in wrong:
        with pytest.raises(InputError, match="point|coupling"):
            wf.suggest_pretraining(system, points)
    with pytest.raises(InputError, match="9 bases for 2 points"):
        wf.suggest_pretraining(system, {"h": [1.0, 2.0]}, bases=9)
    with pytest.raises(InputError, match="coupling"):
        wf.suggest_pretraining(system, {"g": [1.0, 2.0]})


def test_the_command_prints_what_a_study_file_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    study = tmp_path / "study.toml"
    study.write_text(
        'kind = "diagram"\n[system]\nmodel = "ising"\nlattice = { kind = "chain", size = 24 }\n'
        "[pretrain]\nat = { h = 1.0 }\n[adapt]\npoints = { h = [0.8, 1.0, 1.2] }\n"
    )
    assert main(["suggest", str(study)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("at = { h = 1 }") and "12 sites" in said
    assert main(["suggest", str(study), "--bases", "7"]) == 2
    said = capsys.readouterr().err
    assert "--bases" in said and "wf." not in said
