"""Energies and vectors of rotated and mirrored molecules, and what is said where a model depends on orientation."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ortho_group

from wavefoundry.adapt import transfer
from wavefoundry.adapt.transfer import Samples
from wavefoundry.artifacts.spec_molecules import MoleculesTrainTable
from wavefoundry.core.geometries import compound
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.types import Psi
from wavefoundry.problems.electrons import HartreeFockState
from wavefoundry.studies.molecules import records
from wavefoundry.studies.molecules.symmetry import Copy, orientations, symmetry_doubts
from wavefoundry.studies.molecules.training import prepared_of

pytestmark = pytest.mark.integration

pytest.importorskip("pyscf")

TABLE = MoleculesTrainTable.model_validate({"molecules": [{"atoms": "H 0 0 0"}], "laplacian": "loop"})
GIVEN = TABLE.model_copy(update={"frame": "given"})
BENT = compound("H2O")
CHIRAL = Molecule.from_atoms("H 0 0 0; H 1.5 0 0; H 0 1.9 0; H 0.2 0.3 2.4")


def turned(molecule: Molecule, matrix: np.ndarray) -> Molecule:
    positions = np.asarray(molecule.positions) @ matrix.T
    return dataclasses.replace(molecule, positions=tuple(map(tuple, positions.tolist())))


def cloud(prepared, chains: int = 16, each: int = 8) -> Samples:
    """Samples of the Hartree-Fock determinant."""
    how = transfer.Sampling(chains, each, 5, 5, chunk=32)
    (family,) = transfer.stack([prepared]).families
    found, _ = transfer.evaluate(HartreeFockState(), family, jax.random.key(0), how)
    return Samples(*(np.asarray(part)[0] for part in found))


@pytest.mark.parametrize("name", ["LiH", "N2", "H2O", "CH4", "O2", "C2H2"])
def test_copies_are_prepared_alike(name):
    """Localised orbitals too, of which linear molecules leave rotations about the axis free; in any order of atoms."""
    molecule, rng = compound(name), np.random.default_rng(0)
    own = transfer.prepare(molecule).system
    for _ in range(3):
        copy = turned(molecule, ortho_group.rvs(3, random_state=rng))
        order = rng.permutation(molecule.atoms)
        copy = dataclasses.replace(
            copy,
            symbols=tuple(copy.symbols[k] for k in order),
            positions=tuple(copy.positions[k] for k in order),
        )
        other = transfer.prepare(copy).system
        np.testing.assert_array_equal(other.positions, own.positions)
        for mine, found in ((own.up, other.up), (own.down, other.down)):
            # orbitals of equal energy may come in another order, which changes a sign at most
            apart = np.abs(np.asarray(found)[:, :, None] - np.asarray(mine)[:, None]).max(axis=(0, 3))
            assert np.all(apart.min(axis=0) < 1e-5) and np.all(apart.min(axis=1) < 1e-5)


@pytest.mark.slow
def test_vectors_are_turned_back():
    """Dipole moments and forces of a mirrored and turned copy are mirrored and turned, sample by sample.

    The molecule has no symmetry: else its copies could be taken for each other, and only means would agree. Forces
    hold derivatives of Hartree-Fock by differences, with errors of 1e-4.
    """
    matrix = ortho_group.rvs(3, random_state=np.random.default_rng(5))
    one, two = CHIRAL, turned(CHIRAL, matrix)
    both = [prepared_of(molecule, TABLE) for molecule in (one, two)]
    x = cloud(both[0], 4, 4).x
    psi = HartreeFockState()
    for name, tolerance in (("dipole", 1e-7), ("forces", 5e-4)):
        first, second = (records._measured(psi, prepared, x, name) for prepared in both)
        np.testing.assert_allclose(second, first @ matrix.T, atol=tolerance)
    nuclei = np.asarray(both[1].as_given(x)[0].positions)
    np.testing.assert_allclose(both[1].frame.in_order(nuclei, 0), two.positions, atol=1e-8)


def test_what_symmetry_forbids_is_taken_out_and_reported():
    """A cloud shifted by (0.1, 0.2, 0.3) bohr in H2 along z, in LiH along z and in a water molecule in the yz plane."""
    rng = np.random.default_rng(0)
    each = rng.normal(size=(64, 20, 3)) * 0.01 - np.array([0.1, 0.2, 0.3])
    expected = {
        "H 0 0 0; H 0 0 1.4": (0, 0, 0),
        "Li 0 0 0; H 0 0 3": (0, 0, -0.3),
        "O 0 0 0; H 0 1.4 1.1; H 0 -1.4 1.1": (0, 0, -0.3),
        "O 0 0 0; H 0 1.4 1.1; F 0 -1.9 1.1": (0, -0.2, -0.3),
    }
    for text, vector in expected.items():
        molecule = Molecule.from_atoms(text, spin=None)
        found = records._dipole(molecule, each)
        np.testing.assert_allclose(found["vector"], 2.541746 * np.array(vector), atol=5e-3)
        rest = 2.541746 * np.linalg.norm(np.array([-0.1, -0.2, -0.3]) - vector)
        assert found["broken"]["value"] == pytest.approx(rest, abs=5e-3) and found["broken"]["z"] > 100
        assert found["forbidden"] == (not any(vector))


def test_in_its_frame_a_molecule_does_not_depend_on_orientation():
    prepared = prepared_of(BENT, TABLE)
    found = dict(orientations(HartreeFockState(), BENT, prepared, cloud(prepared), TABLE))
    for copy in found.values():
        assert copy.difference is not None and abs(copy.difference) < 1e-6 and copy.share > 1 - 1e-6


class Leaning(eqx.Module):
    """Hartree-Fock times exp(-a sum z): a state that knows which way is up."""

    a: float

    def bind(self, system):
        inner = HartreeFockState().bind(system)
        return lambda x: inner(x) - jnp.array([self.a, 0.0]) * jnp.sum(x[:, 2])

    def head(self, z):
        return Psi(z[0], z[1])


@pytest.mark.parametrize(("lean", "differs"), [(0.0, False), (0.5, True)])
def test_as_given_the_samples_tell_how_much_orientation_matters(lean, differs):
    """Hartree-Fock turns with the molecule: the same energies to the last digits, and all samples serve the copy.

    A state that leans against the axis has another density for every copy, so that few samples serve.
    """
    molecule = Molecule.from_atoms("Li 0 0 0; H 0 0 3")
    prepared, psi = prepared_of(molecule, GIVEN), Leaning(lean)
    how = transfer.Sampling(64, 16, 20, 8, chunk=64)
    found, _ = transfer.evaluate(psi, transfer.stack([prepared]).families[0], jax.random.key(1), how)
    for _, copy in orientations(psi, molecule, prepared, Samples(*(np.asarray(part)[0] for part in found)), GIVEN):
        if differs:
            assert copy.share < 0.98
        else:
            assert copy.difference is not None and abs(copy.difference) < 1e-6 and copy.share > 1 - 1e-6


@pytest.mark.parametrize(
    ("copy", "flags"),
    [
        (Copy(0.0, 0.0, 1.0), []),
        (Copy(2e-3, 1e-3, 0.9), []),
        (Copy(-4e-3, 1e-3, 0.9), ["SYMMETRY"]),
        (Copy(25e-3, 1e-3, 0.9), ["SYMMETRY!"]),
        (Copy(0.0, 1e-3, 0.05), ["SYMMETRY!"]),
        (Copy(None, None, 0.0), ["SYMMETRY!"]),
    ],
)
def test_flags_of_orientation(copy, flags):
    """Two atoms, an error bar of 0.5 mHa: three combined bars are 3.4 mHa, ten mHa per atom refuse."""
    assert [doubt.flag for doubt in symmetry_doubts({"turned": copy}, 5e-4, 2)] == flags
