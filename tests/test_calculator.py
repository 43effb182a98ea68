"""Molecules from ASE and PySCF, and a model as a calculator of ASE."""

from __future__ import annotations

import types
from typing import Any

import ase
import numpy as np
import pytest
from ase.units import Bohr, Hartree
from pyscf import gto

import wavefoundry as wf
from wavefoundry import calculator
from wavefoundry.core.errors import InputError, PhysicsError

pytestmark = pytest.mark.integration

WATER = [(0.0, 0.0, 0.0), (0.0, 0.757, 0.587), (0.0, -0.757, 0.587)]


def test_molecules_of_ase_and_pyscf_are_those_of_text():
    text = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
    (plain,) = wf.molecules(text, unit="angstrom")
    (of_ase,) = wf.molecules(ase.Atoms("OHH", positions=WATER))
    (of_pyscf,) = wf.molecules(gto.M(atom=text, unit="angstrom", basis="sto-3g"))
    for other in (of_ase, of_pyscf):
        assert other.symbols == plain.symbols and (other.charge, other.spin) == (0, 0)
        np.testing.assert_allclose(other.positions, plain.positions, atol=1e-6)


def test_charge_and_spin_come_along():
    oxygen = ase.Atoms("O2", positions=[(0, 0, 0), (0, 0, 1.2)], magmoms=[1.0, 1.0])
    assert wf.molecules(oxygen)[0].spin == 2
    ion = ase.Atoms("OH", positions=[(0, 0, 0), (0, 0, 0.97)], charges=[-1.0, 0.0])
    assert wf.molecules(ion)[0].charge == -1
    ion.info["charge"] = 1
    assert wf.molecules(ion, spin=2)[0].charge == 1 and wf.molecules(ion, spin=2)[0].spin == 2
    mol = gto.M(atom="O 0 0 0; O 0 0 1.2", spin=2, unit="angstrom", basis="sto-3g")
    assert wf.molecules(mol)[0].spin == 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ase.Atoms("H2", positions=[(0, 0, 0), (0, 0, 1)], cell=[5, 5, 5], pbc=True), "periodic cell"),
        (lambda: ase.Atoms("OH", positions=[(0, 0, 0), (0, 0, 1)], charges=[-0.5, 0.0]), "whole number"),
        (lambda: ase.Atoms("Au", positions=[(0, 0, 0)]), "Au"),
        (lambda: gto.M(atom="Li 0 0 0; H 0 0 1.6", basis="lanl2dz", ecp="bfd", unit="angstrom"), "pseudopotential"),
        (lambda: gto.M(atom="H 0 0 0; H 0 0 1; GHOST-H 0 0 2", basis="sto-3g"), "ghost"),
        (lambda: gto.Mole(), "no atoms"),
        (lambda: 7, "names no molecule"),
    ],
)
def test_what_cannot_be_taken_is_refused(make: Any, words: str):
    with pytest.raises(InputError, match=words):
        wf.molecules(make())


@pytest.fixture(scope="module")
def model() -> Any:
    model = wf.models.electrons(width=16, layers=1, determinants=1)
    bonds = wf.molecules("H 0 0 0; H 0 0 R", scan=[1.2, 1.6])
    return wf.pretrain(bonds, model, steps=60, hf_steps=60, walkers=64)


def test_energies_and_forces_are_those_of_a_map(model: Any):
    """In eV and angstrom; along a bond that is too long the force pulls the atoms together."""
    atoms = ase.Atoms("H2", positions=[(0, 0, 0), (0, 0, 2.0 * Bohr)])
    atoms.calc = wf.Calculator(model, samples=2048)
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    results = atoms.calc.results
    record = wf.map(model, wf.molecules("H 0 0 0; H 0 0 2.0"), reference={"basis": "none"}).molecules[0]
    bars = np.hypot(results["energy_error"], record["energy_error"] * Hartree)
    assert abs(energy - record["energy"] * Hartree) < 5 * bars, "five standard errors: one in a million"
    assert forces[0, 2] > 3 * results["forces_error"][0, 2] > 0 and forces[1, 2] == pytest.approx(-forces[0, 2])
    assert results["verdict"] in ("upper bound", "doubtful", "trusted")


def test_a_number_that_must_not_be_used_is_none(model: Any, monkeypatch: pytest.MonkeyPatch):
    record = {"name": "BeH2", "energy": -3.0, "verdict": "refused", "reasons": ["above Hartree-Fock"]}
    monkeypatch.setattr(calculator, "map_molecules", lambda *_, **__: types.SimpleNamespace(molecules=[record]))
    far = ase.Atoms("BeH2", positions=[(0, 0, 0), (0, 0, 1.3), (0, 0, -1.3)], calculator=wf.Calculator(model))
    with pytest.raises(PhysicsError, match="BeH2 must not be used: above Hartree-Fock"):
        far.get_potential_energy()
    with pytest.raises(InputError, match="wf.Calculator"):
        wf.Calculator("model")  # type: ignore[arg-type]
