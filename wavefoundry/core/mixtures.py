"""Expectation values from samples of |psi|^2 together with samples that were moved on by the Hamiltonian.

Both kinds count as drawn from one density q (``engine.one_move``); ``amplitude`` is |psi| / sqrt(q) and ``values`` is
(H psi) / sqrt(q). Arrays have the shape [chains, samples]: all samples that descend from a chain stand in its row, so
that the spread of the rows is the error bar.
"""

from __future__ import annotations

import numpy as np

from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.statistics import Estimate, mean_and_error, v_score


def mixed_estimate(
    plain: Estimate, values: np.ndarray, amplitude: np.ndarray, n_dof: float, e_inf: float = 0.0
) -> Estimate:
    """An energy estimate whose mean, error bar, variance and V-score come from all samples.

    Args:
        plain: from the samples of |psi|^2 alone; what it says about the chains stays.
        values, amplitude: of all samples, [chains, samples]; values may be complex.
        n_dof: degrees of freedom in the V-score. e_inf: energy of the infinite-temperature state, Tr H / dim.

    Raises:
        PhysicsError: a number is not finite.
    """
    values, amplitude = np.asarray(values), np.asarray(amplitude, float)
    mean, error, influence = ratio(np.real(values) * amplitude, amplitude**2)
    # (H - E) psi squared; the mean of amplitude^2 is one by construction, so no normalisation adds to the scatter
    squares = np.abs(values - mean * amplitude) ** 2
    variance, _ = mean_and_error(squares)
    gap = mean - e_inf
    score, score_error = v_score(mean, variance, n_dof, e_inf), np.inf
    if gap:
        score_error = n_dof / gap**2 * _rare(squares - 2 * variance / gap * influence)
    return plain._replace(
        mean=mean,
        error=error,
        variance=variance,
        v_score=score,
        v_score_error=float(score_error),
        plain_v_score=plain.v_score,
        plain_v_score_error=plain.v_score_error,
    )


def _rare(x: np.ndarray) -> float:
    """Error bar of a mean that a few samples may make, [chains, samples].

    Where one chain stands out, others may have met nothing as rare by chance: what it adds to the mean counts as well.
    """
    rows = x.mean(axis=1)
    return float(np.hypot(mean_and_error(x)[1], (rows.max() - rows.mean()) / len(rows)))


def mixed_mean(x: np.ndarray, amplitude: np.ndarray) -> tuple[float, float, float]:
    """Mean, error bar and standard deviation in |psi|^2 of a diagonal observable, [chains, samples]."""
    weight = np.asarray(amplitude, float) ** 2
    mean, error, _ = ratio(x * weight, weight)
    spread = float((weight * (x - mean) ** 2).mean() / weight.mean())
    return mean, error, float(np.sqrt(spread))


def ratio(top: np.ndarray, bottom: np.ndarray) -> tuple[float, float, np.ndarray]:
    """Ratio of two means with its error bar, and the contribution of every sample to it (of mean zero)."""
    if not (np.all(np.isfinite(top)) and np.all(np.isfinite(bottom))):
        raise PhysicsError("some samples are NaN or infinite: no mean can be formed")
    norm = float(bottom.mean())
    # differences to one sample keep the mean of constant data exact
    shift = float(top.flat[0] / bottom.flat[0]) if bottom.flat[0] > 0 else 0.0
    mean = shift + float((top - shift * bottom).mean()) / norm
    influence = (top - mean * bottom) / norm
    return mean, mean_and_error(influence)[1], influence
