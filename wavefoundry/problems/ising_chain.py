"""The periodic transverse-field Ising chain in closed form: free fermions, in Pauli matrices."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import MOST_SITES, count_of, number_of


class IsingChain(NamedTuple):
    """Ground state of the periodic transverse-field Ising chain: total energy, then means per site or bond.

    ``correlation[r]`` is <sz_0 sz_r> for r = 0..n // 2, ``m2`` is <((1/n) sum_i sz_i)^2>, ``renyi2`` is
    -log Tr rho^2 of n // 2 neighbouring sites, ``gap`` the energy of the lowest state of the other parity above it.
    """

    energy: float
    sx: float
    zz_nn: float
    m2: float
    correlation: np.ndarray
    renyi2: float
    gap: float


def ising_chain(n: int, h: float, J: float = 1.0) -> IsingChain:
    """Exact ground state of H = -J sum_i sz_i sz_(i+1) - h sum_i sx_i (Pauli matrices, periodic).

    Free fermions whose momenta are odd multiples of pi / n. At h = 0, where the ground state is two-fold
    degenerate, the symmetric member is meant.

    Args:
        n: number of sites, at least 3; even if ``J`` is negative (odd rings are then frustrated).
        h: transverse field, of either sign.
        J: coupling of neighbours, positive for the ferromagnet, not 0.

    Raises:
        InputError: no closed form for these arguments.

    Source: Pfeuty, Ann. Phys. 57, 79 (1970).
    """
    where = "exact.ising_chain"
    n = count_of(n, "number of sites", where=where, least=1, most=MOST_SITES)
    h, J = number_of(h, "field", where=where), number_of(J, "coupling", where=where)
    k, eps = _fermions(n, h, J)
    field, coupling = abs(h), abs(J)
    # C(r) is the determinant of the Toeplitz matrix a(i - j), i, j = 1..r
    shifts = np.arange(-(n // 2), n // 2 + 1)
    weights = (coupling - field * np.exp(-1j * k)) / (n * eps)
    toeplitz = np.real(np.exp(1j * np.outer(shifts, k)) @ weights)
    correlation = _leading_minors(toeplitz)
    if J < 0:
        correlation[1::2] *= -1.0  # turning every second spin maps the antiferromagnet to the ferromagnet
    multiplicity = np.full(n // 2 + 1, 2.0)  # r and n - r are the same distance
    multiplicity[0] = 1.0
    if n % 2 == 0:
        multiplicity[-1] = 1.0
    return IsingChain(
        energy=-float(eps.sum()),
        sx=float(np.copysign(((field - coupling * np.cos(k)) / eps).mean(), h)),
        zz_nn=float(np.copysign(((coupling - field * np.cos(k)) / eps).mean(), J)),
        m2=float(multiplicity @ correlation) / n,
        correlation=correlation,
        renyi2=_block_entropy(toeplitz),
        gap=_gap(n, field, coupling, eps),
    )


def _gap(n: int, field: float, coupling: float, eps: np.ndarray) -> float:
    """Of the lowest state of odd parity, whose momenta are even multiples of pi / n and whose mode at 0 is filled."""
    k = 2 * np.arange(1, n) * np.pi / n
    others = np.sqrt((coupling - field) ** 2 + 4.0 * coupling * field * np.sin(k / 2.0) ** 2)
    return max(0.0, float(eps.sum() - others.sum() - (coupling - field)))


def _block_entropy(toeplitz: np.ndarray) -> float:
    """Renyi-2 entropy of m neighbouring sites, from a(-m..m) as above.

    The block of spins is one of fermions, a Gaussian state whose m modes have occupations (1 +- nu) / 2 with the
    singular values nu of <i b_i a_j>.

    Source: arXiv quant-ph/0211074 (there the von Neumann entropy).
    """
    m = len(toeplitz) // 2
    i, j = np.indices((m, m))
    nu = np.linalg.svd(toeplitz[m + i - j + 1], compute_uv=False)
    return float(-np.log((1 + nu**2) / 2).sum())


def _fermions(n: int, h: float, J: float) -> tuple[np.ndarray, np.ndarray]:
    """Momenta and energies of the even-parity sector, each of shape [n]."""
    if n < 3 or J == 0 or (J < 0 and n % 2):
        raise InputError(
            f"no closed form for a periodic Ising chain of {n} sites with h = {h}, J = {J}",
            why="it needs at least 3 sites, a coupling that is not 0, and an even number of them if J < 0",
        )
    k = (2 * np.arange(n) + 1) * np.pi / n
    return k, np.sqrt((abs(J) - abs(h)) ** 2 + 4.0 * abs(J * h) * np.sin(k / 2.0) ** 2)


def _leading_minors(toeplitz: np.ndarray) -> np.ndarray:
    """Determinants of the r x r Toeplitz matrices a(i - j), r = 0..m, from a(-m..m), by Levinson's recursion.

    O(m^2) instead of O(m^4). What falls below 1e-13 is set to 0: the recursion divides by it.
    """
    m = len(toeplitz) // 2
    minors = np.zeros(m + 1)
    minors[0], minors[1] = 1.0, toeplitz[m]
    forward = backward = np.array([1.0 / toeplitz[m]])  # first and last column of the inverse
    for r in range(1, m):
        below = toeplitz[m + r : m : -1] @ forward
        above = toeplitz[m - 1 : m - r - 1 : -1] @ backward
        longer, shifted = np.append(forward, 0.0), np.append(0.0, backward)
        scale = 1.0 - below * above
        forward, backward = (longer - below * shifted) / scale, (shifted - above * longer) / scale
        minors[r + 1] = minors[r] / forward[0]
        if abs(minors[r + 1]) < 1e-13:
            minors[r + 1] = 0.0
            break
    return minors
