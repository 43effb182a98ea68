"""Mapping with a model of molecules: what is computed, and what is not computed again."""

from typing import Any

import jax
import pytest

import wavefoundry as wf
from wavefoundry import api_molecules
from wavefoundry.models import ElectronsSpec
from wavefoundry.studies import molecules_run


def test_one_molecule_needs_no_orbitals_of_the_training(monkeypatch: pytest.MonkeyPatch):
    """A model of five lengths, asked for a sixth one: Hartree-Fock of that one alone."""
    rows = api_molecules._rows(wf.molecules("H 0 0 0; H 0 0 R", scan=[1.2, 1.3, 1.4, 1.5, 1.6]), "test")
    spec = api_molecules._spec({"train": {"molecules": rows}}, ElectronsSpec(), "test")
    model = wf.MoleculeModel(molecules_run.describe(spec).build(jax.random.key(0)), spec)
    asked: list[str] = []
    real = molecules_run.prepare

    def prepare(named: Any, table: Any) -> Any:
        asked.extend(one.molecule.name for one in named)
        return real([], table)

    class Enough(Exception):
        pass

    def stop(*_: Any) -> None:
        raise Enough

    monkeypatch.setattr(molecules_run, "prepare", prepare)
    monkeypatch.setattr(molecules_run, "adapt_all", stop)
    target = wf.molecules("H 0 0 0; H 0 0 1.7")
    with pytest.raises(Enough):
        wf.map(model, target)
    assert asked == [target[0].name]
    asked.clear()
    with pytest.raises(Enough):
        wf.map(model, target, evaluate={"trained": True})
    assert len(asked) == 6, "the training molecules are measured, too"
