"""Fidelity of two states from samples of both, with an error bar that exists however little they overlap."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from wavefoundry.core.errors import PhysicsError

FEW = 30.0
"""Samples that must lie where both states have weight; with fewer the overlap cannot be told."""
_STEEP = 350.0  # differences of log |psi| beyond which nothing changes


class Overlap(NamedTuple):
    """|<a|b>|^2 / (<a|a> <b|b>) with its error bar; why: what keeps it from being told, empty where nothing does.

    common: the same without phases, |<|a| | |b|>|^2. Where it is large and the fidelity small, phases cancel.
    """

    fidelity: float
    error: float
    why: str = ""
    common: float = 1.0

    @property
    def told(self) -> bool:
        """Whether the samples suffice for it."""
        return not self.why


def overlap(on_a: np.ndarray, on_b: np.ndarray) -> Overlap:
    """Fidelity of states a and b from log psi_b - log psi_a on samples of either.

    All samples together are drawn from (p_a + p_b) / 2, p the normalised densities, in which the overlap is the mean
    of conj(a) b / (|a| |b|) / cosh(log |b / a|), a bounded quantity once the ratio of the norms is known. That ratio is
    the one at which both densities get half of the samples. In the product of the two one-sided means, <b/a>_a <a/b>_b,
    which has the same limit, single samples can count without bound.

    Args:
        on_a, on_b: log psi_b - log psi_a, complex, on samples of a and of b, [chains, samples] of one shape; log psi up
            to a constant of each state.

    Returns:
        The fidelity, its bias of second order taken off, so that it may come out below zero by less than its error.

    Raises:
        PhysicsError: a number is NaN.

    Source: C. H. Bennett, J. Comput. Phys. 22, 245 (1976), for the ratio of norms.
    """
    both = np.concatenate([np.atleast_2d(on_a), np.atleast_2d(on_b)], axis=1)
    if np.any(np.isnan(both)):
        raise PhysicsError("amplitudes are NaN: no overlap can be formed")
    middle = np.clip(float(np.median(np.real(both))), -1e300, 1e300)
    distance = np.clip(np.real(both) - middle, -_STEEP, _STEEP)
    half = _half_ratio(distance)
    near = 1 / np.cosh(distance - half)  # 2 sqrt(p_a p_b) / (p_a + p_b)
    share = 0.5 * (1 + np.tanh(distance - half))  # p_b / (p_a + p_b)
    terms = near * np.exp(1j * np.imag(both))
    mean = complex(terms.mean())
    known = float((near**2).mean())  # how well the ratio of norms is known
    slope = complex((terms * np.tanh(distance - half)).mean())
    rows = terms.mean(axis=1) - mean
    if known > 0:
        rows = rows + slope * (share.mean(axis=1) - 0.5) * 2 / known
    count = len(rows)
    spread = np.cov(np.stack([rows.real, rows.imag])) / count if count > 1 else np.full((2, 2), math.inf)
    total = float(np.trace(spread))
    along = np.array([mean.real, mean.imag])
    error = math.sqrt(max(0.0, 4 * float(along @ spread @ along)) + 2 * total**2)
    independent = float(near.sum() ** 2 / (near**2).sum()) * known if known > 0 else 0.0
    why = "" if independent >= FEW else "samples of neither state meet the other"
    return Overlap(abs(mean) ** 2 - total, error, why, float(near.mean()) ** 2)


def _half_ratio(distance: np.ndarray) -> float:
    """Half of log(<b|b> / <a|a>): where both densities get half of all samples, by bisection."""
    low, high = float(distance.min()), float(distance.max())
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.tanh(distance - middle).sum()) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def blind_to_flip(log: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Log of the positive amplitude whose square is the mean of those of a configuration and of its mirror image.

    The ground state of an ordered phase is a superposition of both signs of the order; a network gives them weights of
    its own, and these do not belong to the state.

    Args:
        log, flipped: log |psi| at configurations and at those with all spins flipped.
    """
    return 0.5 * np.logaddexp(2 * log, 2 * flipped) - 0.5 * math.log(2)
