"""The frame of a molecule: the same for all its copies, whichever way they lie; and what symmetry leaves to vectors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from wavefoundry.core.compounds import COMPOUNDS
from wavefoundry.core.geometries import chain, compound
from wavefoundry.core.molecule import Molecule
from wavefoundry.problems.frames import allowed, allowed_forces, placed, principal, symmetries

SQUARE = Molecule.from_atoms("H 1 1 0; H 1 -1 0; H -1 1 0; H -1 -1 0", name="square")
TETRAHEDRON = Molecule.from_atoms("H 1 1 1; H 1 -1 -1; H -1 1 -1; H -1 -1 1", name="tetrahedron")
MOLECULES = [compound(name) for name in COMPOUNDS] + [chain(n, 1.8) for n in (1, 2, 3, 6)] + [SQUARE, TETRAHEDRON]


def arrays(molecule: Molecule) -> tuple[np.ndarray, np.ndarray]:
    return np.array(molecule.charges), np.array(molecule.positions)


@pytest.mark.parametrize("molecule", MOLECULES, ids=lambda m: m.name)
def test_turned_mirrored_moved_and_renumbered_copies_are_the_same_input(molecule):
    charges, positions = arrays(molecule)
    own, rng = placed(principal(charges, positions), positions), np.random.default_rng(3)
    for _ in range(12):
        turn = ortho_group.rvs(3, random_state=rng)  # half of them mirror
        order = rng.permutation(len(charges))
        copy = (positions @ turn.T + rng.normal(size=3))[order]
        frame = principal(charges[order], copy)
        np.testing.assert_array_equal(placed(frame, copy), own)
        np.testing.assert_allclose(frame.axes @ frame.axes.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(frame.back(frame.place(copy)), copy, atol=1e-12)
        np.testing.assert_array_equal(frame.in_order(np.array(frame.order), 0), np.arange(len(charges)))


@pytest.mark.parametrize(
    ("molecule", "operations", "vectors"),
    [
        (compound("H2O"), 4, 1), (compound("CH4"), 24, 0), (compound("C2H4"), 8, 0), (SQUARE, 16, 0),
        (TETRAHEDRON, 24, 0), (compound("CH3OH"), 2, 2), (compound("H2O2"), 2, 1),
        (Molecule.from_atoms("Li 0 0 0; H 0 0 3"), 4, 1), (Molecule.from_atoms("N 1 1 1; N 2 2 3"), 8, 0),
        (Molecule.from_atoms("H 3 2 1"), 8, 0),
        (Molecule.from_atoms("C 0 0 0; H 2 0 0; F 0 2.5 0; Li 0.3 0.2 3.5; Be -2 -2 -2"), 1, 3),
    ],
    ids=str,
)  # fmt: skip
def test_symmetries(molecule, operations, vectors):
    """Orders of the point groups (of linear molecules and atoms: of a subgroup that averages vectors alike)."""
    charges, positions = arrays(molecule)
    turn = ortho_group.rvs(3, random_state=np.random.default_rng(1))
    for at in (positions, positions @ turn.T + 1.0):
        found = symmetries(charges, at)
        assert len(found) == operations
        centre = charges @ at / charges.sum()
        for g in found:
            moved = (at - centre) @ g.T + centre
            nearest = np.linalg.norm(moved[:, None] - at, axis=-1)
            assert np.all(nearest.min(axis=1) < 3e-3)
        assert np.linalg.matrix_rank(allowed(charges, at), tol=1e-6) == vectors


def test_the_allowed_vector_of_water_is_its_axis():
    charges, positions = arrays(Molecule.from_atoms("O 0 0 0; H 1.4 1.1 0; H -1.4 1.1 0"))
    np.testing.assert_allclose(allowed(charges, positions), np.diag([0.0, 1.0, 0.0]), atol=1e-9)


def test_frames_go_along_with_a_scan():
    """Lithium hydride, a bending molecule and a rectangle that becomes a square: no step moves an atom by more."""
    scans = [
        [Molecule.from_atoms(f"Li 0 0 0; H 0 0 {r}") for r in np.linspace(1.5, 9, 40)],
        [Molecule.from_atoms(f"H {-b} 0 0; H {b} 0 0; H {-b} {a} 0; H {b} {a} 0") for a, b in
         zip(np.linspace(2.6, 1.8, 40), [1.0] * 40, strict=True)],
    ]  # fmt: skip
    for scan in scans:
        found = [placed(principal(*arrays(m)), np.array(m.positions)) for m in scan]
        for one, two in zip(found, found[1:], strict=False):
            apart = np.linalg.norm(one[:, None] - two, axis=-1)
            assert apart.min(axis=1).max() < 0.25


@pytest.mark.parametrize(
    ("positions", "charges", "free"),
    [
        ([(0, 0, 0)], [2], 0),  # an atom
        ([(0, 0, 0), (0.02, 0, 1.4)], [1, 1], 1),  # along the bond, wherever that points
        ([(0, 0, 0), (0, 0, 2.5), (0, 0, -2.5)], [4, 1, 1], 1),  # both bonds alike
        ([(0, 0, 0), (0, 0, 2.5), (0, 0, -2.6)], [4, 1, 1], 2),
        ([(0, 0.02, 0), (0, 0, 2.5), (0, 0, -2.5)], [4, 1, 1], 2),  # bent: stretching and bending
        ([(0, 0, 0), (1.4, 1.1, 0), (-1.4, 1.1, 0)], [8, 1, 1], 2),
        ([(0, 0, 0), (1.4, 1.1, 0), (-1.4, 1.2, 0)], [8, 1, 1], 3),
    ],
)
def test_forces_that_symmetry_allows(positions, charges, free):
    """As many as totally symmetric vibrations: slopes of an energy of distances pass unchanged."""
    x, z = np.array(positions, float), np.array(charges, float)
    p = allowed_forces(z, x)
    assert np.trace(p) == pytest.approx(free, abs=1e-9) and np.allclose(p @ p, p) and np.allclose(p, p.T)

    def energy(flat):
        r = flat.reshape(-1, 3)
        return sum(
            z[i] * z[j] * np.exp(-np.linalg.norm(r[i] - r[j]) / 3) for i in range(len(z)) for j in range(i + 1, len(z))
        )

    steps = 1e-5 * np.eye(x.size)
    force = np.array([energy(x.ravel() - step) - energy(x.ravel() + step) for step in steps]) / 2e-5
    assert np.allclose(p @ force, force, atol=1e-8)
