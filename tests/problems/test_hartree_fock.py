"""Hartree-Fock descriptors: energies, orbitals and localisation against PySCF; refusals."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.core.errors import InputError
from wavefoundry.problems.hartree_fock import atomic_orbitals, foster_boys, hartree_fock

CHAIN6 = (["H"] * 6, np.array([[1.8 * i, 0, 0] for i in range(6)]))
WATER = (["O", "H", "H"], np.array([[0, 0, 0.2], [0, 1.43, -0.9], [0.1, -1.43, -0.9]]))


def test_energies_in_the_minimal_basis():
    """Values of PySCF for STO-6G in the literature of the chains, 1e-5."""
    lih = (["Li", "H"], np.array([[0, 0, 0], [0, 0, 3.015]]))
    assert hartree_fock(*CHAIN6).energy == pytest.approx(-3.173724, abs=1e-5)
    assert hartree_fock(*lih).energy == pytest.approx(-7.951956, abs=1e-5)


@pytest.mark.parametrize("spin", [0, 2])
def test_orbitals_equal_those_of_pyscf(spin):
    """Localised orbitals span the occupied space: the density matrix of one spin at random points is that of PySCF."""
    from pyscf import gto, scf

    found = hartree_fock(*WATER, spin=spin)
    molecule = gto.M(atom=list(zip(*WATER)), basis="sto-6g", unit="bohr", spin=spin, verbose=0)  # noqa: B905
    method = (scf.UHF if spin else scf.RHF)(molecule).run(conv_tol=1e-12)
    points = np.random.default_rng(0).normal(size=(20, 3)) * 1.5
    basis = molecule.eval_gto("GTOval_sph", points)
    mine = np.asarray(atomic_orbitals(found.shells, jnp.asarray(WATER[1]), jnp.asarray(points)))
    np.testing.assert_allclose(mine.reshape(20, -1)[:, [0, 1, 2, 3, 4, 5, 10]], basis, atol=1e-10)
    assert found.energy == pytest.approx(method.e_tot, abs=1e-8)
    for c, canonical in zip((found.up, found.down), method.mo_coeff if spin else [method.mo_coeff] * 2, strict=True):
        values = np.einsum("nam,akm->nk", mine, c)
        reference = basis @ canonical[:, : c.shape[1]]
        np.testing.assert_allclose(values @ values.T, reference @ reference.T, atol=1e-5)


def test_localisation_finds_the_largest_spread_of_centres():
    """Against a general optimiser over all rotations, from five random starts: none is better, and one is as good."""
    from pyscf import gto, scf
    from scipy.linalg import expm
    from scipy.optimize import minimize

    molecule = gto.M(atom=list(zip(*WATER)), basis="sto-6g", unit="bohr", verbose=0)  # noqa: B905
    c = scf.RHF(molecule).run(conv_tol=1e-12).mo_coeff[:, :5]
    r = np.einsum("pi,xpq,qj->xij", c, molecule.intor_symmetric("int1e_r", comp=3), c)
    above = np.triu_indices(5, 1)

    def value(u: np.ndarray) -> float:
        return float((np.einsum("pi,xpq,qi->xi", u, r, u) ** 2).sum())

    def rotation(angles: np.ndarray) -> np.ndarray:
        a = np.zeros((5, 5))
        a[above] = angles
        return expm(a - a.T)

    u = foster_boys(r)
    np.testing.assert_allclose(u.T @ u, np.eye(5), atol=1e-12)
    starts = np.random.default_rng(0).normal(size=(5, 10))
    best = max(-minimize(lambda a: -value(rotation(a)), start).fun for start in starts)
    assert value(u) == pytest.approx(best, abs=1e-6)
    assert value(u) > value(np.eye(5)) + 0.1


def test_order_and_signs_are_fixed():
    found = hartree_fock(*WATER)
    assert np.all(np.diff(found.up_energies) > -1e-8)
    assert np.all(found.up.sum(axis=(0, 2)) >= 0)
    again = hartree_fock(*WATER)
    assert all(np.array_equal(a, b) for a, b in zip(found[1:5], again[1:5], strict=True))


def test_an_orbital_whose_coefficients_cancel_is_kept():
    """A sum of exactly 0 counts as positive: its sign would be 0 and wipe out the orbital."""
    found = hartree_fock(["N"], np.zeros((1, 3)), spin=3)
    assert np.all(np.sum(found.up**2, axis=(0, 2)) > 0.5)


@pytest.mark.parametrize(
    ("symbols", "charge", "spin", "message"),
    [
        (["H", "Xe"], 0, 0, "no orbitals for element 'Xe'"),
        (["H", "H"], 0, 1, "spin 1 is impossible for 2 electrons"),
        (["H"], 1, 0, "0 electrons"),
        (["H"], 0, 3, "impossible"),
        (["He"], 0, 2, "2 electrons of one spin, but only 1 orbitals"),
    ],
)
def test_refusals(symbols, charge, spin, message):
    with pytest.raises(InputError, match=message) as caught:
        hartree_fock(symbols, np.arange(3.0 * len(symbols)).reshape(-1, 3), charge=charge, spin=spin)
    assert caught.value.why and caught.value.fix


class Diverging:
    """A self-consistent field that never converges, by either method."""

    converged, e_tot, mo_coeff, mo_occ = False, -1.0, None, None

    def __init__(self, molecule):
        self.molecule = molecule

    def kernel(self, *_, **__):
        """No iteration helps."""

    def newton(self):
        return self


def test_no_convergence_is_refused(monkeypatch, capsys):
    from pyscf import scf

    monkeypatch.setattr(scf, "RHF", Diverging)
    with pytest.raises(InputError, match="did not converge") as caught:
        hartree_fock(["H", "H"], np.array([[0, 0, 0], [0, 0, 1.4]]))
    assert caught.value.exit_code == 2
    assert caught.value.why and caught.value.fix
    assert capsys.readouterr() == ("", "")
