"""Error bars, convergence checks and quality measures of sampled expectation values.

Arrays hold one row per Markov chain: shape ``[chains, samples]``. Energies are totals (not per site). The
autocorrelation time ``tau`` is 1 for independent samples; the effective sample size is samples / ``tau``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .errors import InputError, PhysicsError

MIN_CHAINS = 32  # from here on the spread of the chain means alone is a calibrated error bar
ROUNDING = 1e-7  # relative differences below this are rounding, not physics (networks may run in float32)


class Estimate(NamedTuple):
    """An energy with everything that is needed to judge it (totals, in the units of the Hamiltonian).

    ``chains == 0`` marks a full sum over the Hilbert space: exact for its state, so error 0 and no R-hat.
    ``v_score`` is None where the energy has no natural zero (molecules). ``imag_z`` is the imaginary part of
    the mean in units of its own error bar. ``plain_v_score`` is that of |psi|^2 samples alone, where ``v_score`` has
    seen what the Hamiltonian connects them to (``core.mixtures``).
    """

    mean: float
    error: float
    variance: float
    v_score: float | None
    v_score_error: float | None
    r_hat: float | None
    r_hat_limit: float | None
    tau: float
    ess: float
    chains: int
    samples: int
    imag_z: float
    plain_v_score: float | None = None
    plain_v_score_error: float | None = None


def autocorrelation_time(x: np.ndarray) -> float:
    """Integrated autocorrelation time over all chains, by Geyer's initial monotone sequence.

    Differences between chains count as correlation: chains that disagree or are short give an over-estimate.
    Below four samples per chain only the spread of the chain means is used.

    Args:
        x: samples, shape [chains, samples]; of complex samples the real part.

    Returns:
        tau: 1 for independent samples and constant data, at least 1 / log10(number of samples), at most the
        samples per chain.

    Source: arXiv 1903.08008, section 3.2; Geyer, Stat. Sci. 7, 473 (1992).
    """
    x = np.real(_chains(x))
    chains, n = x.shape
    if n == 1 or _is_constant(x):
        return 1.0
    between = n * float(x.mean(axis=1).var(ddof=1)) if chains > 1 else 0.0
    if n < 4:
        return float(np.clip(between / x.var(ddof=1), 1.0, n))
    spectrum = np.fft.rfft(x - x.mean(axis=1, keepdims=True), 2 * n, axis=1)
    covariance = np.fft.irfft((np.abs(spectrum) ** 2).mean(axis=0), 2 * n)[:n] / (n - 1)
    within = covariance[0]
    rho = 1.0 - (within - covariance) / ((n - 1) / n * within + between / n)
    pairs = rho[0 : n - n % 2 : 2] + rho[1::2]
    stop = int(np.argmax(pairs <= 0.0)) if np.any(pairs <= 0.0) else len(pairs)
    tau = -1.0 + 2.0 * float(np.minimum.accumulate(pairs[:stop]).sum())
    # chains are independent of each other, so each of them counts at least once
    return float(np.clip(tau, 1.0 / max(1.0, math.log10(x.size)), n))


def split_r_hat(x: np.ndarray) -> float | None:
    """Split R-hat: the larger one of rank-normalised (location) and folded (spread).

    It cannot see a single stray chain among many; ``chain_z`` can.

    Args:
        x: samples, shape [chains, samples]; of complex samples the real part.

    Returns:
        R-hat (1 if all half chains agree, 1e6 if all stand still at different values), or None where it says
        nothing: fewer than four samples per chain, a single chain, copies of one chain, constant data.

    Source: arXiv 1903.08008, section 4.
    """
    x = _distinct(np.real(_chains(x)))
    if x.shape[1] < 4 or x.shape[0] < 2 or _is_constant(x):
        return None
    return max(_split_ratio(y) for y in _scores(x))


def r_hat_time(x: np.ndarray) -> float:
    """Autocorrelation time that belongs to ``split_r_hat``: the longest of the series it is formed from and of x.

    Ranks and distances from the median can be correlated for much longer than values with heavy tails.

    Args:
        x: samples, shape [chains, samples]; of complex samples the real part.
    """
    x = np.real(_chains(x))
    if x.shape[1] < 4 or _is_constant(x):
        return 1.0
    return max(within_chain_time(y) for y in (x, *_scores(x)))


def _scores(x: np.ndarray) -> list[np.ndarray]:
    """What R-hat compares: normal scores of the ranks, and of the ranks of the distances from the median."""
    folded = np.abs(x - np.quantile(x, 0.5, method="lower"))  # a sample: the two middle ones must not tie
    return [_normal_scores(y) for y in (x, folded) if not _is_constant(y)]


def r_hat_threshold(chains: int, samples: int, tau: float = 1.0) -> float:
    """Largest R-hat that stationary chains explain: its expectation, plus 0.01 or 3.5 standard deviations.

    Half chains of m samples with autocorrelation time tau scatter by tau / m of the variance, however well the
    chains agree; without this short correlated chains would always look as if they disagreed.

    Args:
        chains: number of chains.
        samples: samples per chain; the noise falls with 1 / samples, so short chains need a wider limit.
        tau: autocorrelation time as seen inside the chains (``r_hat_time``).
    """
    half = max(1, samples // 2)
    share = min(max(1.0, tau) / half, 0.3)
    expected = math.sqrt((half - 1) / half + share / (1 - share)) if tau > 1.0 else 1.0
    return expected + max(0.01, 3.5 * max(1.0, tau) * math.sqrt(2.0 / max(1, 2 * chains - 1)) / max(1, samples))


def within_chain_time(x: np.ndarray) -> float:
    """Autocorrelation time from inside the chains alone: differences between chains do not enter.

    The autocovariance about each chain's own mean is too small by tau / n of the variance; this is put back.

    Args:
        x: samples, shape [chains, samples]; of complex samples the real part.
    """
    x = np.real(_chains(x))
    n = x.shape[1]
    if n < 4 or _is_constant(x):
        return 1.0
    centred = x - x.mean(axis=1, keepdims=True)
    rho = np.array([np.mean(centred[:, : n - t] * centred[:, t:]) for t in range(n // 2)])
    rho = rho / rho[0] if rho[0] > 0 else rho
    tau = 1.0
    for _ in range(20):
        window = min(len(rho), max(2, math.ceil(4 * tau)))
        full = rho[1:window] * (1 - tau / n) + tau / n
        tau = float(np.clip(1.0 + 2.0 * full.sum(), 1.0, n / 4))
    return tau


def chain_z(x: np.ndarray) -> np.ndarray:
    """Distance of each chain mean from their median in robust standard deviations of the means, [chains].

    Finds a stray chain that R-hat cannot see. The largest of 64 good chains exceeds 5.5 once in a thousand.
    """
    means = np.real(_chains(x)).mean(axis=1)
    distance = means - np.median(means)
    spread = 1.4826 * float(np.median(np.abs(distance)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance == 0.0, 0.0, distance / spread)


def half_width(count: int) -> float:
    """Standard errors on either side of a mean of ``count`` values that make a 95 % interval (Student's t); inf of one.

    Two of them are 2 only for many values: 4.3 for three, 2.4 for eight.
    """
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, 0.975)) if count > 1 else math.inf


def _split_ratio(x: np.ndarray) -> float:
    """Plain split R-hat of finite, non-constant samples [chains, samples >= 4]."""
    half = x.shape[1] // 2
    halves = np.concatenate([x[:, :half], x[:, -half:]])
    between = float(halves.mean(axis=1).var(ddof=1))
    within = max(float(halves.var(axis=1, ddof=1).mean()), 1e-12 * between)
    return math.sqrt((half - 1) / half + between / within) if within > 0.0 else 1.0


def _normal_scores(x: np.ndarray) -> np.ndarray:
    """Replaces values by the normal quantiles of their pooled ranks (ties share the average rank)."""
    from scipy.special import ndtri  # lazy: reading results must not pay for scipy

    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    return ndtri((ranks - 0.375) / (x.size + 0.25))[inverse].reshape(x.shape)


def mean_and_error(x: np.ndarray) -> tuple[float, float]:
    """Mean and error bar of an observable.

    With 32 or more chains the error is the spread of the chain means. With fewer it comes from blocks longer
    than the autocorrelation time or, where the chains are too short for that, from the autocorrelation time.

    Args:
        x: samples, shape [chains, samples]; of complex samples the real part.

    Returns:
        (mean, error); the error is infinite for a single sample.

    Raises:
        PhysicsError: a sample is not finite.
    """
    x = _distinct(np.real(_finite(x)))
    # subtracting one sample first keeps constant data exactly constant and small variances accurate
    shift = float(x.flat[0])
    return shift + float((x - shift).mean()), _error(x - shift)


def importance_ess(weights: np.ndarray) -> float:
    """Effective number of weighted samples, (sum w)^2 / sum w^2; blind to regions that were never sampled.

    Raises:
        PhysicsError: a weight is not finite or negative, or none is positive.
    """
    return 1.0 / float((_normalised(weights) ** 2).sum())


def _error(x: np.ndarray) -> float:
    """Standard error of the mean of finite real samples [chains, samples]."""
    chains, n = x.shape
    if x.size == 1:
        return math.inf
    if chains >= MIN_CHAINS:
        return float(x.mean(axis=1).std(ddof=1)) / math.sqrt(chains)
    naive = float(x.std(ddof=1)) / math.sqrt(x.size)
    if naive == 0.0:
        return 0.0
    length = 1
    while chains * (n // length) >= MIN_CHAINS:
        blocks = x[:, : n // length * length].reshape(chains, -1, length).mean(axis=2)
        error = float(blocks.std(ddof=1)) / math.sqrt(blocks.size)
        # smallest length B with B^3 > 2 S (error / naive)^4 balances bias and scatter of the error
        # (Lee et al., Phys. Rev. E 83, 066706 (2011))
        if length**3 > 2 * x.size * (error / naive) ** 4:
            return error
        length *= 2
    return naive * math.sqrt(max(1.0, autocorrelation_time(x)))


def energy_statistics(
    local_energies: np.ndarray,
    n_dof: float | None,
    weights: np.ndarray | None = None,
    e_inf: float = 0.0,
) -> Estimate:
    """Energy, error bar, variance, V-score and sampling checks from local energies.

    Args:
        local_energies: real or complex, shape [chains, samples]; any shape with ``weights``.
        n_dof: degrees of freedom in the V-score (spins, or electrons on a lattice); None: no V-score.
        weights: probabilities of a full sum over the Hilbert space, any normalisation; same shape.
        e_inf: energy of the infinite-temperature state, Tr H / dim; 0 for spin models without a constant.

    Raises:
        PhysicsError: a local energy is not finite (in a full sum: one of a state with positive weight).
        InputError: the shapes differ or there is no sample.

    Source: arXiv 2302.04919 (V-score).
    """
    if weights is not None:
        return _full_sum(local_energies, n_dof, weights, e_inf)
    energies = _distinct(_finite(local_energies))
    chains, n = energies.shape
    mean, error = mean_and_error(energies)
    fluctuation = energies - energies.flat[0]
    squares = np.abs(fluctuation - fluctuation.mean()) ** 2
    variance = float(squares.sum()) / max(1, energies.size - 1)
    imaginary, imaginary_error = mean_and_error(np.imag(energies))
    score, score_error = None, None
    if n_dof is not None:
        score, gap = v_score(mean, variance, n_dof, e_inf), mean - e_inf
        influence = squares - 2.0 * variance * (np.real(energies) - mean) / gap if gap else squares
        score_error = n_dof / gap**2 * _error(influence) if gap else math.inf
    tau = autocorrelation_time(energies)
    return Estimate(
        mean=mean,
        error=error,
        variance=variance,
        v_score=score,
        v_score_error=score_error,
        r_hat=split_r_hat(energies),
        r_hat_limit=r_hat_threshold(chains, n, r_hat_time(energies)),
        tau=tau,
        ess=energies.size / max(tau, 1.0),  # of few samples a chain, noise alone can make tau smaller
        chains=chains,
        samples=energies.size,
        imag_z=z_score(imaginary, imaginary_error, mean),
    )


def _full_sum(local_energies: np.ndarray, n_dof: float | None, weights: np.ndarray, e_inf: float) -> Estimate:
    """Estimate from the states of the Hilbert space and their probabilities; weight 0 leaves a state out."""
    energies, w = np.ravel(local_energies), _normalised(weights).ravel()
    if energies.size != w.size:
        raise InputError("energies and weights differ in number", why=f"{energies.size} and {w.size}")
    energies, w = _finite(energies[w > 0.0])[0], w[w > 0.0]
    mean = complex((w * energies).sum())
    variance = float((w * np.abs(energies - mean) ** 2).sum())
    score, score_error = (None, None) if n_dof is None else (v_score(mean.real, variance, n_dof, e_inf), 0.0)
    checks = (None, None, 1.0, float(w.size), 0, w.size)  # no chains: nothing to mix, nothing correlated
    return Estimate(mean.real, 0.0, variance, score, score_error, *checks, z_score(mean.imag, 0.0, mean.real))


def v_score(energy: float, variance: float, n_dof: float, e_inf: float = 0.0) -> float:
    """Dimensionless variance n_dof * variance / (energy - e_inf)^2: 0 for eigenstates, <= 1e-4 is very good.

    Infinite when the energy is that of infinite temperature.

    Source: arXiv 2302.04919.
    """
    # the ratio first: squares of a training that explodes would overflow
    return n_dof * (math.sqrt(variance) / abs(energy - e_inf)) ** 2 if energy != e_inf else math.inf


def relative_error(energy: float, exact: float) -> float:
    """abs(energy - exact) / abs(exact); infinite if ``exact`` is 0 and missed."""
    if exact == 0.0:
        return 0.0 if energy == 0.0 else math.inf
    return abs(energy - exact) / abs(exact)


def z_score(difference: float, error: float, scale: float) -> float:
    """Difference in error bars; rounding relative to ``scale`` counts as an error bar too."""
    width = math.hypot(error, ROUNDING * abs(scale))
    return difference / width if width > 0.0 else 0.0


def _chains(x: np.ndarray) -> np.ndarray:
    """Samples as a float64 or complex128 array [chains, samples]; one dimension is one chain."""
    x = np.atleast_2d(np.asarray(x))
    if x.ndim != 2 or x.size == 0:
        raise InputError("samples must have the shape [chains, samples]", why=f"the shape is {list(x.shape)}")
    return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)


def _finite(x: np.ndarray) -> np.ndarray:
    """Like ``_chains``, but refuses NaN and infinity: one spoils a mean, and leaving it out would bias it."""
    x = _chains(x)
    bad = x.size - int(np.isfinite(x).sum())
    if bad:
        raise PhysicsError(f"{bad} of {x.size} samples are NaN or infinite: no mean can be formed")
    return x


def _normalised(weights: np.ndarray) -> np.ndarray:
    w = np.asarray(weights, dtype=np.float64)
    if w.size == 0 or not np.all(np.isfinite(w)) or np.any(w < 0.0) or not np.any(w > 0.0):
        raise PhysicsError("weights must be finite and not negative, and at least one of them positive")
    w = w / w.max()  # the sum of huge weights would overflow
    return w / w.sum()


def _distinct(x: np.ndarray) -> np.ndarray:
    """One chain instead of identical copies (equal seeds), which would fake a vanishing error bar."""
    copies = x.shape[0] > 1 and x.shape[1] >= 4 and not _is_constant(x) and bool(np.all(x == x[:1]))
    return x[:1] if copies else x


def _is_constant(x: np.ndarray) -> bool:
    """True if all samples agree up to rounding of the last digits."""
    return bool(np.abs(x - x.flat[0]).max() <= 1e-14 * np.abs(x).max())
