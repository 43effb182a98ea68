"""How localised Hartree-Fock orbitals change when a nucleus moves: what forces of a network that reads them need."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wavefoundry.core.molecule import ELEMENTS
from wavefoundry.problems import hartree_fock as hf
from wavefoundry.problems.electrons import ElectronSystem

STEP = 2e-3
"""Displacement (bohr) of the central differences."""
FREE = 1e-3
"""Share of the largest curvature of the localisation below which a rotation of the orbitals counts as free."""


def orbital_response(
    system: ElectronSystem, step: float = STEP
) -> tuple[Float[Array, "atoms 3 atoms n_up 5"], Float[Array, "atoms 3 atoms n_down 5"]]:
    """Derivatives of ``system.up`` and ``system.down`` along every nuclear coordinate, 1/bohr, by central differences.

    The occupied orbitals of a displaced molecule are turned towards those of the molecule, and from there, by a Newton
    step, to the maximum of the localisation. Rotations which that leaves free, as of lone pairs about an axis, are not
    made: at a displaced molecule their angles would jump.

    Raises:
        InputError: Hartree-Fock of a displaced molecule does not converge.
    """
    positions = np.asarray(system.positions, float)
    symbols = [ELEMENTS[round(float(z)) - 1] for z in system.charges]
    charge, unpaired = round(float(jnp.sum(system.charges))) - system.electrons, system.n_up - system.n_down
    molecule = hf.build(symbols, positions, charge, unpaired)
    origin = [hf.columns(molecule, np.asarray(c, float)) for c in (system.up, system.down)]
    newton = [_newton(c, molecule) for c in origin]
    found = [np.zeros((len(symbols), 3, *np.shape(c))) for c in (system.up, system.down)]
    for atom, axis in np.ndindex(len(symbols), 3):
        ends = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * step
            solution, displaced = hf.solve(symbols, moved, charge, unpaired, origin)
            canonical = hf.occupied(solution, (system.n_up, system.n_down))
            ends.append([_aligned(c, start, displaced) for c, start in zip(canonical, origin, strict=True)])
        for spin, (plus, minus) in enumerate(zip(*ends, strict=True)):
            change, slope = ((a - b) / (2 * step) for a, b in zip(plus, minus, strict=True))
            turn = _antisymmetric(newton[spin] @ slope, change.shape[1])
            found[spin][atom, axis] = hf.blocks(molecule, change + origin[spin] @ turn)
    return jnp.asarray(found[0]), jnp.asarray(found[1])


def _aligned(c: np.ndarray, start: np.ndarray, molecule: Any) -> tuple[np.ndarray, np.ndarray]:
    """Occupied orbitals (functions, n) turned towards ``start``, and the slope of the localisation there."""
    left, _, right = np.linalg.svd(c.T @ molecule.intor_symmetric("int1e_ovlp") @ start)
    c = c @ left @ right
    dipole = _dipole(c, molecule)
    return c, _slope(dipole, dipole)


def _newton(c: np.ndarray, molecule: Any) -> np.ndarray:
    """Matrix from the slope of the localisation to the rotation that undoes it; nothing along free rotations."""
    dipole, n = _dipole(c, molecule), c.shape[1]
    turns = [_antisymmetric(row, n) for row in np.eye(n * (n - 1) // 2)]
    # a turn changes the dipole by its commutator with it; the slope is bilinear
    changes = [dipole @ turn - turn @ dipole for turn in turns]
    curvature = [_slope(change, dipole) + _slope(dipole, change) for change in changes]
    return -np.linalg.pinv(np.reshape(curvature, (len(turns), len(turns))), rcond=FREE, hermitian=True)


def _slope(dipole: np.ndarray, centred: np.ndarray) -> np.ndarray:
    """Derivative of sum_k |<k|r|k>|^2 along all rotations of two orbitals: 4 r_ij (r_jj - r_ii), i < j.

    Diagonal elements are taken from ``centred``, the others from ``dipole``.
    """
    i, j = np.triu_indices(dipole.shape[1], 1)
    centres = np.einsum("xkk->xk", centred)
    return 4 * np.sum(dipole[:, i, j] * (centres[:, j] - centres[:, i]), axis=0)


def _antisymmetric(turn: np.ndarray, n: int) -> np.ndarray:
    above = np.zeros((n, n))
    above[np.triu_indices(n, 1)] = turn
    return above - above.T


def _dipole(c: np.ndarray, molecule: Any) -> np.ndarray:
    return np.einsum("pi,xpq,qj->xij", c, molecule.intor_symmetric("int1e_r", comp=3), c)
