"""Closed forms and matrices that results are held against."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from wavefoundry.problems import exact, ising_chain
from wavefoundry.problems.wavepackets import Packet


def fidelity_susceptibility_ising(n: int, h: float, J: float = 1.0) -> float:
    """chi_F = -d^2 ln F / dh^2 of the Ising chain's ground state, F(h, h + d) the squared overlap.

    Twice the variance of the log-derivative of the normalised state; n (n - 1) / 16 at h = J = 1.

    Args:
        n: number of sites, as for ``ising_chain``.
        h: transverse field.
        J: coupling of neighbours.

    Source: arXiv 1308.5917, eq. 9 (which defines it with the unsquared overlap: half of this value).
    """
    k, eps = ising_chain._fermions(n, h, J)
    return float(((J * np.sin(k)) ** 2 / eps**4).sum() / 4.0)


def free_gaussian(packet: Packet, x: np.ndarray, t: float) -> np.ndarray:
    """Exact free packet on the infinite line.

    With z = 1 + i t / (2 s0^2) and d = x - x0 it is
    (2 pi s0^2)^(-1/4) z^(-1/2) exp[-(d - k0 t)^2 / (4 s0^2 z) + i k0 d - i k0^2 t / 2].
    """
    s, k, d = packet.s0, packet.k0, x - packet.x0
    z = 1 + 1j * t / (2 * s**2)
    grown = np.exp(-((d - k * t) ** 2) / (4 * s**2 * z) + 1j * k * d - 1j * k**2 * t / 2)
    return (2 * np.pi * s**2) ** -0.25 * z**-0.5 * grown


def coherent_state(omega: float, amplitude: float, y: np.ndarray, t: float) -> np.ndarray:
    """Exact coherent state of V = omega^2 y^2 / 2, released at rest from y = amplitude."""
    q, p = amplitude * np.cos(omega * t), -amplitude * omega * np.sin(omega * t)
    phase = p * y - q * p / 2 - omega * t / 2
    return (omega / np.pi) ** 0.25 * np.exp(-omega * (y - q) ** 2 / 2 + 1j * phase)


def sparse_matrix(operator: Any) -> csr_array:
    """An operator of spins 1/2 in the order of ``exact.basis``, from NetKet's elements.

    NetKet's own conversion compiles some eighty programs.
    """
    states = exact.basis(operator.hilbert)
    connected, elements = (np.asarray(part) for part in operator.get_conn_padded(states))
    powers = 2 ** np.arange(states.shape[1], dtype=np.int64)
    codes = (states > 0) @ powers
    order, rows = np.argsort(codes), np.repeat(np.arange(len(states)), elements.shape[1])
    wanted = (connected > 0) @ powers
    columns = order[np.clip(np.searchsorted(codes[order], wanted), 0, len(codes) - 1)]
    assert np.all((codes[columns] == wanted) | (elements == 0)), "the operator leads out of its Hilbert space"
    return csr_array((elements.ravel(), (rows, columns.ravel())), shape=(len(states), len(states)))


def dense_matrix(operator: Any) -> np.ndarray:
    """The same as an array."""
    return sparse_matrix(operator).toarray()
