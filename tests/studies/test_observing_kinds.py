"""Observables and features of studies of every kind: several bases, projected and averaged networks, own operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import netket as nk
import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import sparse_matrix
from tests.small import J1J2_8
from wavefoundry.artifacts import spec as study_file
from wavefoundry.core.errors import InputError
from wavefoundry.problems import exact, measures
from wavefoundry.problems.observables import measures_of
from wavefoundry.reports import learned, view
from wavefoundry.reports.html import render

pytestmark = pytest.mark.integration

STUDY = (
    J1J2_8
    + """\
heads = 2
[pretrain]
at = { J2 = 0.2 }
steps = 20
walkers = 64
[adapt]
points = { J2 = [0.1, 0.3] }
samples = 512
[evaluate]
samples = 512
observables = ["magnetisation", "spin-structure-factor", "dimer", "renyi-2"]
[output]
report = false
"""
)
KINDS = {
    "bases": ["pretrain.at.J2=[0.1, 0.3]", "pretrain.together=false"],
    "averaged": ['wavefunction.symmetry=["translations"]'],
    "projected": ['adapt.symmetry=["translations", "spin-flip"]'],
    "conditioned": ["wavefunction.conditioned=true"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_observables_of_a_study_are_those_of_the_states_it_keeps(kind: str, tmp_path: Path):
    """Each within 5 error bars of the full sum over its own state (false alarm 6e-7; some are of few samples)."""
    summary = wf.run_study(study_file.loads(STUDY, overrides=KINDS[kind]), tmp_path / "run")
    found = wf.open(tmp_path / "run")
    assert isinstance(found, wf.Diagram)
    for point in summary["points"]:
        state = found.state(J2=point["couplings"]["J2"])
        psi, states = state.statevector(), exact.basis(state.system.hilbert)
        for one in measures_of(state.system, summary["settings"]["evaluate"]["observables"]):
            for name, value in zip(one.names, measures.exact_of(one, psi, states), strict=True):
                entry = point["observables"][name]
                if entry["error"] is not None:
                    assert abs(entry["value"] - value) < 5 * entry["error"] + 1e-8, (name, entry, value)
        energy = np.vdot(psi, sparse_matrix(state.system.operator()) @ psi).real
        assert abs(point["energy"] - energy) < 5 * point["energy_error"]
    bases = 2 if kind == "bases" else 1
    assert len(summary["features"]) == bases and all(len(one["stages"]) == 3 for one in summary["features"])
    assert len(learned.words(view.parsed(summary))) == bases
    assert "What was learned" in render(summary, [])


def test_operators_of_the_user_have_what_needs_no_lattice_of_ours():
    hilbert: Any = nk.hilbert.Spin(0.5, 6)
    build: Any = nk.operator.PauliStringsJax
    pairs = ["".join("Z" if site in (i, (i + 1) % 6) else "I" for site in range(6)) for i in range(6)]
    fields = ["".join("X" if site == i else "I" for site in range(6)) for i in range(6)]
    terms = {"J": build(hilbert, pairs, -np.ones(6)), "h": build(hilbert, fields, -np.ones(6))}
    system = wf.lattice.from_netket(terms, {"J": 1.0, "h": 1.0}, extent=(6,), periodic=True)
    base = wf.pretrain(system, wf.models.vit(width=8, layers=1, heads=2, patch=2), steps=20, walkers=64)
    wanted = ["magnetisation", "structure-factor", "renyi-2"]
    diagram = wf.map(base, {"h": [1.2]}, samples=512, evaluate={"samples": 512, "observables": wanted})
    (point,) = diagram.summary["points"]
    known = exact.ising_chain(6, 1.2)
    for name, value in (("renyi2", known.renyi2), ("m2", known.m2)):
        entry = point["observables"][name]
        assert (
            entry["exact"] == pytest.approx(value, abs=1e-8) and entry["z"] is not None and entry["drift"] is not None
        )
    with pytest.raises(InputError, match="dimer cannot be measured here"):
        wf.map(base, {"h": [1.2]}, evaluate={"observables": ["dimer"]})
