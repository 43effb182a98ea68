"""Hartree-Fock in STO-6G: localised occupied orbitals as a molecule's fingerprint, and as target of pre-training.

Every atom carries at most five basis functions (1s, 2s, 2px, 2py, 2pz), so orbitals are coefficients
``c[atom, orbital, 5]``; hydrogen and helium use the first alone. PySCF is imported when a calculation starts.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import wavefoundry.core.types  # noqa: F401  # double precision
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import ELEMENTS

SYMBOLS = ELEMENTS
"""Elements with at most five functions in the minimal basis, in order of their charge."""
FUNCTIONS = 5
_S, _P = 0.28209479177387814, 0.4886025119029199  # real spherical harmonics: Y_00, and Y_1m for a unit vector


class Shells(NamedTuple):
    """Contracted Gaussians of every atom: shells 1s, 2s, 2p (zero coefficients where an atom has none)."""

    exponents: Float[Array, "atoms 3 6"]
    weights: Float[Array, "atoms 3 6"]


class Orbitals(NamedTuple):
    """Result of a Hartree-Fock calculation (NumPy arrays, energies in Ha)."""

    energy: float
    up: np.ndarray  # (atoms, n_up, 5)
    down: np.ndarray  # (atoms, n_down, 5)
    up_energies: np.ndarray  # <phi|F|phi> of the localised orbitals, ascending
    down_energies: np.ndarray
    shells: Shells


def hartree_fock(
    symbols: Sequence[str], positions: np.ndarray, *, charge: int = 0, spin: int = 0, localise: bool = True
) -> Orbitals:
    """Occupied Hartree-Fock orbitals in STO-6G, localised, ordered and with fixed signs.

    Restricted for spin 0, else unrestricted. Per spin: Foster-Boys localisation, order by ascending <phi|F|phi>, sign
    such that the sum of all coefficients is not negative. The same input gives the same arrays.

    Args:
        symbols: element of every atom.
        positions: (atoms, 3) in bohr.
        charge: total charge.
        spin: 2S = n_up - n_down.
        localise: False keeps the canonical orbitals.

    Raises:
        InputError: an element without basis, no electron, a spin that does not fit, or no convergence.

    Source: arXiv 2303.09949 (descriptors).
    """
    positions = np.asarray(positions, dtype=float).reshape(-1, 3)
    n_up, n_down = occupation(symbols, charge, spin)
    solution, molecule = solve(symbols, positions, charge, spin)
    with one_thread():
        fock = np.asarray(solution.get_fock())
        dipole = molecule.intor_symmetric("int1e_r", comp=3)
    fock = np.stack([fock] * 2) if fock.ndim == 2 else fock
    found = []
    for c, f in zip(occupied(solution, (n_up, n_down)), fock, strict=True):
        found.append(_fingerprint(c, f, dipole if localise else None))
    up, down = (blocks(molecule, c) for c, _ in found)
    return Orbitals(float(solution.e_tot), up, down, found[0][1], found[1][1], _shells(molecule))


def occupation(symbols: Sequence[str], charge: int, spin: int) -> tuple[int, int]:
    """(n_up, n_down) of a molecule.

    Raises:
        InputError: an unsupported element, no electron, or a spin that does not fit the number of electrons.
    """
    for symbol in symbols:
        if symbol not in SYMBOLS:
            raise InputError(
                f"no orbitals for element {symbol!r}",
                where="molecule.atoms",
                why=f"the minimal basis used here covers {', '.join(SYMBOLS)}",
                fix="leave the atom out, or replace it by a supported element",
            )
    electrons = sum(SYMBOLS.index(symbol) + 1 for symbol in symbols) - charge
    if electrons < 1:
        raise InputError(
            f"{electrons} electrons",
            where="molecule.charge",
            why=f"charge {charge} leaves none",
            fix="lower the charge",
        )
    if abs(spin) > electrons or (electrons - spin) % 2:
        fitting = "0, 2, 4, ..." if electrons % 2 == 0 else "1, 3, 5, ..."
        raise InputError(
            f"spin {spin} is impossible for {electrons} electrons",
            where="molecule.spin",
            why="spin is 2S = n_up - n_down, and n_up + n_down is the number of electrons",
            fix=f"one of {fitting}, at most {electrons}",
        )
    n_up, n_down = (electrons + spin) // 2, (electrons - spin) // 2
    functions = sum(1 if symbol in ("H", "He") else FUNCTIONS for symbol in symbols)
    if max(n_up, n_down) > functions:
        raise InputError(
            f"{max(n_up, n_down)} electrons of one spin, but only {functions} orbitals",
            where="molecule.spin",
            why="the minimal basis STO-6G has too few functions for this charge and spin",
            fix="choose a lower spin or a higher charge",
        )
    return n_up, n_down


def build(symbols: Sequence[str], positions: np.ndarray, charge: int, spin: int) -> Any:
    """PySCF's molecule in STO-6G; positions in bohr."""
    try:
        from pyscf import gto
    except ImportError as error:
        raise InputError(
            "PySCF is not installed",
            where="kind = 'molecules'",
            why="molecules need Hartree-Fock orbitals",
            fix="pip install '.[molecules]' in the folder of wavefoundry, or pip install pyscf folx",
        ) from error
    return gto.M(
        atom=[(s, tuple(p)) for s, p in zip(symbols, positions, strict=True)],
        basis="sto-6g",
        unit="bohr",
        charge=charge,
        spin=spin,
        verbose=0,
        dump_input=False,
        parse_arg=False,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """PySCF on one thread: several add in any order, which gives another rounding each time."""
    try:
        from pyscf import lib
    except ImportError:
        yield  # said where PySCF is used
        return
    threads = lib.num_threads()
    lib.num_threads(1)
    try:
        yield
    finally:
        lib.num_threads(threads)


def solve(
    symbols: Sequence[str],
    positions: np.ndarray,
    charge: int,
    spin: int,
    start: Sequence[np.ndarray] | None = None,
) -> tuple[Any, Any]:
    """Converged self-consistent field and its molecule; second-order iterations where the ordinary ones fail.

    Args:
        symbols, positions, charge, spin: as of ``hartree_fock``.
        start: occupied orbitals (functions, n) of both spins to start from, of a molecule nearby: the same solution of
            several. None: PySCF's guess.

    Raises:
        InputError: no convergence.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        molecule = build(symbols, positions, charge, spin)
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        from pyscf import scf

        method = (scf.RHF if spin == 0 else scf.UHF)(molecule)
        # from a start close by, iterations would stop as soon as they are within
        method.conv_tol, method.conv_tol_grad, method.max_cycle = 1e-11, 1e-7 if start is None else 1e-8, 200
        density = None if start is None else np.stack([c @ c.T for c in start])
        method.kernel(dm0=density if density is None or spin else density.sum(axis=0))
        if not method.converged:
            method = method.newton()
            method.kernel(mo_coeff=method.mo_coeff, mo_occ=method.mo_occ)
    if not method.converged or not np.isfinite(method.e_tot):
        raise InputError(
            f"Hartree-Fock did not converge for {' '.join(symbols)} (last energy {method.e_tot:.6f} Ha)",
            where="molecule.atoms",
            why="without converged orbitals the wavefunction of this molecule is not defined",
            fix="check distances, charge and spin; strongly stretched bonds may need another spin",
        )
    return method, molecule


def occupied(solution: Any, counts: tuple[int, int]) -> list[np.ndarray]:
    """Occupied orbitals (functions, n) of both spins; ``counts``: how many."""
    c = np.asarray(solution.mo_coeff)
    return [one[:, :n] for one, n in zip([c, c] if c.ndim == 2 else c, counts, strict=True)]


def _fingerprint(c: np.ndarray, fock: np.ndarray, dipole: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Localised orbitals (functions, n) in order of their energies, signs fixed, and these energies."""
    if dipole is not None and c.shape[1] > 1:
        c = _unique(c)
        c = c @ foster_boys(np.einsum("pi,xpq,qj->xij", c, dipole, c))
    energies = np.einsum("pi,pq,qi->i", c, fock, c)
    # rounded: orbitals that symmetry makes equal keep their order, whatever the last digits say
    order = np.argsort(np.round(energies, 8), kind="stable")
    c, energies = c[:, order], energies[order]
    total = c.sum(axis=0)
    return c * np.where(total < -1e-9, -1.0, 1.0), energies


def _unique(c: np.ndarray) -> np.ndarray:
    """The same space spanned by orbitals that depend on it alone: of degenerate ones a solver returns any mixture.

    Cholesky factors of the density, mixed by a fixed rotation: where localisation leaves rotations free, as of three
    bent bonds about their axis, its result then is that of the molecule, not of rounding, which decides where it
    starts from a saddle.

    Source: Aquilante, Pedersen, Sanchez de Meras, Koch, J. Chem. Phys. 125, 174101 (2006).
    """
    rest, found = c @ c.T, np.zeros_like(c)
    for k in range(c.shape[1]):
        size = np.diag(rest)
        pivot = int(np.argmax(size > size.max() - 1e-6))  # the first of equal ones
        found[:, k] = rest[:, pivot] / np.sqrt(rest[pivot, pivot])
        rest = rest - np.outer(found[:, k], found[:, k])
    n = c.shape[1]
    generic = np.cos(1 + np.arange(n * n) ** 1.3).reshape(n, n)
    return found @ np.linalg.qr(generic)[0]


def foster_boys(dipole: np.ndarray, sweeps: int = 200) -> np.ndarray:
    """Rotation (n, n) that makes sum_k |<k|r|k>|^2 largest, by sweeps of exact two-orbital rotations.

    Args:
        dipole: (3, n, n), matrix elements of the position between occupied orbitals.
        sweeps: upper limit.

    Returns:
        Orthogonal matrix; columns are the localised orbitals. Orbitals that no rotation improves stay as they are.
    """
    r = dipole.copy()
    n = r.shape[1]
    u = np.eye(n)
    for _ in range(sweeps):
        largest = 0.0
        for i in range(n):
            for j in range(i):
                a = np.sum(r[:, i, j] ** 2 - 0.25 * (r[:, i, i] - r[:, j, j]) ** 2)
                b = np.sum(r[:, i, j] * (r[:, i, i] - r[:, j, j]))
                if np.hypot(a, b) + a < 1e-12:  # gain of the best rotation
                    continue
                angle = 0.25 * np.arctan2(b, -a)
                largest = max(largest, abs(angle))
                turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                u[:, [i, j]] = u[:, [i, j]] @ turn
                r[:, :, [i, j]] = r[:, :, [i, j]] @ turn
                r[:, [i, j], :] = np.einsum("ba,xbk->xak", turn, r[:, [i, j], :])
        if largest < 1e-10:
            break
    return u


def blocks(molecule: Any, c: np.ndarray) -> np.ndarray:
    """Coefficients (functions, n) as (atoms, n, 5), zero where an atom has fewer functions."""
    out = np.zeros((molecule.natm, c.shape[1], FUNCTIONS))
    for atom, (_, _, start, stop) in enumerate(molecule.aoslice_by_atom()):
        out[atom, :, : stop - start] = c[start:stop].T
    return out


def columns(molecule: Any, found: np.ndarray) -> np.ndarray:
    """Inverse of ``blocks``: (atoms, n, 5) as (functions, n)."""
    slices = enumerate(molecule.aoslice_by_atom())
    return np.concatenate([found[atom, :, : stop - start].T for atom, (_, _, start, stop) in slices])


def _shells(molecule: Any) -> Shells:
    exponents = np.ones((molecule.natm, 3, 6))
    weights = np.zeros((molecule.natm, 3, 6))
    seen = np.zeros((molecule.natm, 2), int)
    for shell in range(molecule.nbas):
        atom, momentum = molecule.bas_atom(shell), molecule.bas_angular(shell)
        place = seen[atom, 0] if momentum == 0 else 2
        seen[atom, momentum] += 1
        exponents[atom, place] = molecule.bas_exp(shell)
        weights[atom, place] = molecule._libcint_ctr_coeff(shell).ravel() * (_P if momentum else _S)
    return Shells(exponents, weights)  # type: ignore[arg-type]


def atomic_orbitals(
    shells: Shells, positions: Float[Array, "atoms 3"], r: Float[Array, "n 3"]
) -> Float[Array, "n atoms 5"]:
    """Values of the basis functions of every atom at the points r, in units of bohr^(-3/2)."""
    d = r[:, None, :] - positions
    squared = jnp.sum(d * d, axis=-1)[..., None, None]
    radial = jnp.sum(shells.weights * jnp.exp(-shells.exponents * squared), axis=-1)  # (n, atoms, 3)
    return jnp.concatenate([radial[..., :2], radial[..., 2:] * d], axis=-1)
