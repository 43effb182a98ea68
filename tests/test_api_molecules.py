"""Mapping with a model of molecules: what is computed, and what is not computed again."""

from typing import Any

import jax
import pytest

import wavefoundry as wf
from wavefoundry import api_molecules
from wavefoundry.models import ElectronsSpec
from wavefoundry.studies.molecules import study as molecules_study
from wavefoundry.studies.molecules.stored import describe
from wavefoundry.studies.progress import Context


def test_one_molecule_needs_no_orbitals_of_the_training(monkeypatch: pytest.MonkeyPatch):
    """A model of five lengths, asked for a sixth one: Hartree-Fock of that one alone."""
    rows = api_molecules._rows(wf.molecules("H 0 0 0; H 0 0 R", scan=[1.2, 1.3, 1.4, 1.5, 1.6]), "test")
    spec = api_molecules._spec({"train": {"molecules": rows}}, ElectronsSpec(), "test")
    model = wf.MoleculeModel(describe(spec).build(jax.random.key(0)), spec)
    asked: list[str] = []

    class Enough(Exception):
        pass

    def prepare(named: Any, table: Any) -> Any:
        asked.extend(one.molecule.name for one in named)
        raise Enough

    monkeypatch.setattr(molecules_study, "prepare", prepare)
    target = wf.molecules("H 0 0 0; H 0 0 1.7")
    none = {"basis": "none"}
    with pytest.raises(Enough):
        wf.map(model, target, reference=none)
    assert asked == [target[0].name]
    spec = api_molecules._spec({"train": {"molecules": rows}, "reference": none}, ElectronsSpec(), "test")
    study = molecules_study.MoleculesStudy(spec, Context(), model.wavefunction)
    assert [task.name for task in study.tasks({})] == [f"trained/{index}" for index in range(5)], "no training"
