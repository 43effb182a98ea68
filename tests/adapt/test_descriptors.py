"""The wavefunction along paths on which Hartree-Fock orbitals change places: it goes on without a jump.

Random weights, fixed electrons that go along with their nuclei, in the frame of the molecule. How far two geometries
are from each other is 1 - |<psi|psi'>| over these; a jump stays as it is when the step is made shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models.test_electrons import generic
from wavefoundry.adapt.transfer import Prepared, prepare
from wavefoundry.core.molecule import Molecule
from wavefoundry.problems.frames import placed
from wavefoundry.problems.hartree_fock import hartree_fock

Path = Callable[[float], np.ndarray]
SYMBOLS = ("H", "B", "O", "F")
PSI = generic(symbols=SYMBOLS)


def diatomic(t: float) -> np.ndarray:
    return np.array([[0, 0, 0], [0, 0, t]], float)


def water(t: float) -> np.ndarray:
    """One bond of length t, the other one as in equilibrium."""
    return np.array([[0, 0, 0], [t, 0, 0], [1.81 * np.cos(1.82), 1.81 * np.sin(1.82), 0]])


def bent(t: float) -> np.ndarray:
    """Equal bonds at an angle t."""
    return 1.81 * np.array([[0, 0, 0], [1, 0, 0], [np.cos(t), np.sin(t), 0]])


def rectangle(t: float) -> np.ndarray:
    return np.array([[0, 0, 0], [2, 0, 0], [0, t, 0], [2, t, 0]], float)


def prepared(symbols: Sequence[str], positions: np.ndarray) -> Prepared:
    lines = [f"{s} {x!r} {y!r} {z!r}" for s, (x, y, z) in zip(symbols, positions.tolist(), strict=True)]
    return prepare(Molecule.from_atoms("; ".join(lines), name="one"))


@eqx.filter_jit
def amplitudes(system, x):
    return jax.vmap(lambda r: PSI(system, r))(x)


def along(symbols: Sequence[str], path: Path, points: np.ndarray) -> np.ndarray:
    """Amplitudes (points, places of the electrons), each row of norm 1."""
    rng, rows = np.random.default_rng(1), []
    for t in points:
        one = prepared(symbols, path(t))
        if not rows:
            homes = np.repeat(np.arange(len(symbols)), np.asarray(one.system.charges).astype(int))
            places = np.stack([rng.permutation(homes) for _ in range(64)])
            shifts = 0.6 * rng.normal(size=(*places.shape, 3))
        found = amplitudes(one.system, jnp.asarray(placed(one.frame, path(t))[places] + shifts))
        row = np.exp(np.asarray(found.log) - np.max(found.log)) * np.cos(np.asarray(found.phase))
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


def steps(rows: np.ndarray) -> np.ndarray:
    """1 - |<psi|psi'>| of neighbours."""
    return 1 - np.abs(np.sum(rows[1:] * rows[:-1], axis=1))


@pytest.mark.parametrize(
    ("symbols", "path", "begin", "end"),
    [
        (("F", "H"), diatomic, 1.95, 2.25),
        (("B", "H"), diatomic, 3.05, 3.35),
        (("O", "H", "H"), water, 1.72, 1.9),
        (("O", "H", "H"), water, 2.25, 2.45),
    ],
    ids=["HF", "BH", "H2O, equal bonds", "H2O, bond and lone pairs"],
)
def test_orbitals_that_change_places_leave_no_trace(symbols, path, begin, end):
    """The order by energy changes on the way, and twice as many points make every step some four times smaller."""
    order = []
    for t in (begin, end):
        orbitals = hartree_fock(symbols, path(t)).up
        # valence orbitals by what they have on the atom that moves
        order.append(np.argsort(np.sum(orbitals[1] ** 2, axis=-1)[1:])[-1])
    assert order[0] != order[1], "an orbital of the bond has another place at the end"
    points = np.linspace(begin, end, 17)
    coarse, fine = steps(along(symbols, path, points[::2])), steps(along(symbols, path, points))
    assert coarse.max() < 0.05
    # a jump would be in one of the fine steps as it is in the coarse one
    assert np.all(fine.reshape(-1, 2).max(axis=1) < 0.6 * coarse + 1e-9)


def test_a_jump_is_seen():
    """Water whose principal axes change places, by way of a tie, at some 83.6 degrees: the frame does not go along."""
    found = steps(along(("O", "H", "H"), bent, np.array([1.45, 1.454, 1.458, 1.459, 1.463, 1.467])))
    assert np.sum(found > 0.1) == 2 and np.median(found) < 1e-4


def test_a_square_of_hydrogen_is_passed():
    """Another orbital is occupied from there on, but the longer edge names the axes: the same picture on both sides."""
    found = steps(along(("H",) * 4, rectangle, np.array([1.9, 1.95, 1.999, 2.001, 2.05, 2.1])))
    assert found[2] < 1e-4 and found.max() < 0.05
