"""Molecules from ASE and PySCF, and a model as a calculator of ASE."""

from __future__ import annotations

import types
from typing import Any

import ase
import ase.io
import numpy as np
import pytest
from ase.units import Bohr, Hartree
from pyscf import gto
from pyscf.pbc import gto as pbc

import wavefoundry as wf
from wavefoundry import calculator
from wavefoundry.core.errors import InputError, PhysicsError

pytestmark = pytest.mark.integration

WATER = [(0.0, 0.0, 0.0), (0.0, 0.757, 0.587), (0.0, -0.757, 0.587)]


def told(**info: Any) -> ase.Atoms:
    """Two hydrogen atoms with what a user wrote beside them."""
    return ase.Atoms("H2", positions=[(0, 0, 0), (0, 0, 1)], info=info)


def test_molecules_of_ase_and_pyscf_are_those_of_text():
    text = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587"
    (plain,) = wf.molecules(text, unit="angstrom")
    (of_ase,) = wf.molecules(ase.Atoms("OHH", positions=WATER))
    (of_pyscf,) = wf.molecules(gto.M(atom=text, unit="angstrom", basis="sto-3g"))
    for other in (of_ase, of_pyscf):
        assert other.symbols == plain.symbols and (other.charge, other.spin) == (0, 0)
        np.testing.assert_allclose(other.positions, plain.positions, atol=1e-6)


def test_charge_and_spin_come_along(tmp_path):
    """From atoms and from the files that ASE writes of them alike."""
    ion = ase.Atoms("H2", [(0, 0, 0), (0, 0, 1)], charges=[1, 0], magmoms=[1, 0])
    ase.io.write(tmp_path / "columns.xyz", ion, format="extxyz")
    ase.io.write(tmp_path / "words.xyz", told(charge=0, multiplicity=3), format="extxyz")
    for source, expected in (
        (ion, (1, 1)),
        (tmp_path / "columns.xyz", (1, 1)),
        (told(charge=0, multiplicity=3), (0, 2)),
        (told(charge=None, spin=None), (0, 0)),  # as databases write what they do not know
        (told(spin=-2), (0, 2)),  # the same state upside down
        (gto.M(atom="O 0 0 0; O 0 0 1.2", spin=-2, unit="angstrom", basis="sto-3g"), (0, 2)),
        (tmp_path / "words.xyz", (0, 2)),
        (ase.io.read(tmp_path / "words.xyz"), (0, 2)),
    ):
        (found,) = wf.molecules(source)
        assert (found.charge, found.spin) == expected, source
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
        (lambda: pbc.M(atom="H 0 0 0; H 0 0 1.4", a=np.eye(3) * 5, unit="B"), "periodic cell"),
        (lambda: gto.M(atom="H 0 0 0; H 0 0 1", charge=0.5, spin=None), "whole number"),
        (lambda: told(charge="abc"), "is no number"),
        (lambda: told(charge=float("nan")), "is no number"),
        (lambda: told(spin=[1]), "is no number"),
        (lambda: told(spin=0, multiplicity=3), "contradict each other"),
        (lambda: ase.Atoms("H2", positions=[(0, 0, 0), (0, 0, 1)], magmoms=[[1, 0, 0], [-1, 0, 2]]), "not collinear"),
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
    assert atoms.get_potential_energy(force_consistent=True) == energy
    found = []
    for seed in (0, 0, 1):
        atoms.calc = wf.Calculator(model, samples=256, seed=seed)
        found.append(atoms.get_potential_energy())
    assert found[0] == found[1] != found[2] and abs(found[0] - energy) < 0.5
    assert not np.any(forces[:, :2]) and not np.any(results["forces_error"][:, :2]), "none but along the bond"
    assert results["record"]["observables"]["forces"]["heaviest"] > 0, "of the second call, in the record of the first"


def test_charge_and_spin_are_part_of_the_atoms(model: Any, monkeypatch: pytest.MonkeyPatch):
    """Asked again after either has changed; asked for another property, neither tuned again nor changed."""
    asked: list[tuple[Any, str, int]] = []

    def evaluated(model: Any, systems: Any, method: str, **rest: Any) -> Any:
        (one,) = systems
        asked.append((one.charge, method, model))
        forces = {"value": [[0.0, 0.0, 0.1]] * 2, "error": [[0.0, 0.0, 0.1]] * 2}
        record = {"name": "H2", "energy": -1.0 - len(asked), "energy_error": 0.1, "verdict": "upper bound"}
        record["observables"] = {"forces": forces} if rest["evaluate"]["forces"] else {}
        models = {"H2": len(asked)} if method == "full" else {}
        return types.SimpleNamespace(molecules=[record], models=models)

    monkeypatch.setattr(calculator, "map_molecules", evaluated)
    atoms = ase.Atoms("H2", positions=[(0, 0, 0), (0, 0, 0.74)], calculator=wf.Calculator(model, steps=2))
    first = atoms.get_potential_energy()
    atoms.get_forces()
    assert atoms.get_potential_energy() == first
    assert asked == [(0, "full", model), (0, "zero-shot", 1)], "the second of the weights that the first one tuned"
    atoms.info["charge"] = 1
    assert atoms.get_potential_energy() != first and asked[2:] == [(1, "full", 1)]


def test_a_tuning_that_was_refused_is_begun_again(model: Any, monkeypatch: pytest.MonkeyPatch):
    methods: list[str] = []

    def refused(model: Any, systems: Any, method: str, **_: Any) -> Any:
        methods.append(method)
        record = {"name": "H2", "energy": -0.3, "verdict": "refused", "reasons": ["far above"]}
        return types.SimpleNamespace(molecules=[record], models={"H2": "worse"})

    monkeypatch.setattr(calculator, "map_molecules", refused)
    atoms = ase.Atoms("H2", positions=[(0, 0, 0), (0, 0, 0.74)], calculator=wf.Calculator(model, steps=2))
    for ask in (atoms.get_potential_energy, atoms.get_forces, atoms.get_potential_energy):
        with pytest.raises(PhysicsError, match="must not be used"):
            ask()
    assert methods == ["full"] * 3 and atoms.calc.model is model, "the untuned model is no answer to a tuning"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "full"}, "no method"),
        ({"samples": 10}, "samples"),
        ({"stps": 3}, "stps"),
        ({"steps": -1}, "steps"),
        ({"molecules": [{"compound": "H2"}]}, "no molecules"),
        ({"scratch": True}, "no scratch"),
        ({"unit": "bohr"}, "no unit"),
        ({"walkers": 64}, "for tuning"),
        ({"seed": -1}, "seed"),
        ({"steps": 5, "layers": ["nothing*"]}, "nothing"),
        ({"evaluate": 3}, "evaluate"),
    ],
)
def test_settings_are_checked_at_once(model: Any, settings: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        wf.Calculator(model, **settings)


def test_a_number_that_must_not_be_used_is_none(model: Any, monkeypatch: pytest.MonkeyPatch):
    record = {"name": "BeH2", "energy": -3.0, "verdict": "refused", "reasons": ["above Hartree-Fock"]}
    found = types.SimpleNamespace(molecules=[record], models={})
    monkeypatch.setattr(calculator, "map_molecules", lambda *_, **__: found)
    far = ase.Atoms("BeH2", positions=[(0, 0, 0), (0, 0, 1.3), (0, 0, -1.3)], calculator=wf.Calculator(model))
    for _ in range(2):  # nor when it is asked for again
        with pytest.raises(PhysicsError, match="BeH2 must not be used: above Hartree-Fock"):
            far.get_potential_energy()
    with pytest.raises(InputError, match="wf.Calculator"):
        wf.Calculator("model")  # type: ignore[arg-type]
