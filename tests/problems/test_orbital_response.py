"""How localised orbitals change with the nuclei, against orbitals of displaced molecules."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.engine import laplacian
from wavefoundry.problems.electrons import ElectronSystem, electron_system
from wavefoundry.problems.hartree_fock import SYMBOLS, hartree_fock
from wavefoundry.problems.orbital_response import orbital_response

WATER = (["O", "H", "H"], np.array([[0, 0, 0.2], [0, 1.43, -0.9], [0.1, -1.5, -0.9]]))
NITROGEN = (["N", "N"], np.array([[0, 0, 0], [0, 0, 2.1]]))


def system(symbols: list[str], positions: np.ndarray, charge: int = 0, spin: int = 0) -> ElectronSystem:
    charges = np.array([SYMBOLS.index(s) + 1 for s in symbols])
    orbitals = hartree_fock(symbols, positions, charge=charge, spin=spin)
    return electron_system(orbitals, charges, positions, laplacian.folx)


def displaced(symbols, positions, charge, spin, atom, axis, step=1e-3):
    """Systems at both sides."""
    for sign in (1, -1):
        moved = positions.copy()
        moved[atom, axis] += sign * step
        yield system(symbols, moved, charge, spin)


def matched(c: np.ndarray, to: np.ndarray) -> np.ndarray:
    """Orbitals in the order and with the signs of others: the same but for these."""
    c, to = (np.moveaxis(a, 1, 0).reshape(a.shape[1], -1) for a in (np.asarray(c), np.asarray(to)))
    out = np.empty_like(to)
    for k, wanted in enumerate(to):
        best = min(((s * row) for row in c for s in (1, -1)), key=lambda row: np.abs(row - wanted).max())
        out[k] = best
    return out


@pytest.mark.parametrize(("charge", "spin"), [(0, 0), (1, 1)])
def test_the_response_is_the_change_of_the_localised_orbitals(charge, spin):
    """Water and its cation, whose localised orbitals are unique but for order and sign."""
    here = system(*WATER, charge, spin)
    found = orbital_response(here)
    for atom, axis in ((0, 1), (1, 2), (2, 0)):
        plus, minus = displaced(*WATER, charge, spin, atom, axis)
        for name, response in zip(("up", "down"), found, strict=True):
            origin = getattr(here, name)
            change = (matched(getattr(plus, name), origin) - matched(getattr(minus, name), origin)) / 2e-3
            mine = np.moveaxis(np.asarray(response[atom, axis]), 1, 0).reshape(change.shape)
            assert np.abs(change).max() > 1e-2
            np.testing.assert_allclose(mine, change, atol=2e-3)


@pytest.mark.parametrize("which", [WATER, NITROGEN], ids=["water", "nitrogen"])
def test_moving_all_nuclei_together_changes_nothing(which):
    for response in orbital_response(system(*which)):
        np.testing.assert_allclose(response.sum(axis=0), 0, atol=1e-5)


def test_free_rotations_are_not_made():
    """Three bent bonds of nitrogen can turn about the axis; the response stays finite and gives the right density."""
    here = system(*NITROGEN)
    up, _ = orbital_response(here)
    assert np.abs(up).max() < 5
    for atom, axis in ((0, 0), (1, 2)):
        plus, minus = displaced(*NITROGEN, 0, 0, atom, axis)
        density = [np.einsum("akf,bkg->afbg", s.up, s.up) for s in (plus, minus)]
        change = (density[0] - density[1]) / 2e-3
        mine = jnp.einsum("akf,bkg->afbg", up[atom, axis], here.up)
        np.testing.assert_allclose(mine + jnp.transpose(mine, (2, 3, 0, 1)), change, atol=1e-4)


def test_one_electron_has_nothing_to_turn():
    up, down = orbital_response(system(["H"], np.zeros((1, 3)), spin=1))
    assert up.shape == (1, 3, 1, 1, 5) and down.shape == (1, 3, 1, 0, 5)
    np.testing.assert_allclose(up, 0, atol=1e-9)
