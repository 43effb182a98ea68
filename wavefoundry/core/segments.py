"""Three straight, continuous segments through a curve in double-logarithmic scale, with bootstrap intervals."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np


class Segments(NamedTuple):
    """Boundaries in x, ascending, and the slopes below, between and above them (all in log-log)."""

    boundaries: tuple[float, float]
    slopes: tuple[float, float, float]
    offset: float  # log y at log x = 0 of the first segment
    residual: float  # root mean square, natural logarithm

    def at(self, x: np.ndarray) -> np.ndarray:
        """The fitted curve."""
        return np.exp(_design(np.log(np.asarray(x, float)), *np.log(self.boundaries)) @ _coefficients(self))


def _design(x: np.ndarray, first: float, second: float) -> np.ndarray:
    return np.stack([np.ones_like(x), x, np.maximum(x - first, 0.0), np.maximum(x - second, 0.0)], axis=1)


def _coefficients(fit: Segments) -> np.ndarray:
    low, middle, high = fit.slopes
    return np.array([fit.offset, low, middle - low, high - middle])


def fit(x: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> Segments | None:
    """Least squares over all pairs of boundaries that leave two points in every segment.

    Args:
        x, y: positive values; points with y <= 0 or not finite are left out.
        weights: of the points, 1 by default.

    Returns:
        The fit, or None with fewer than seven points.
    """
    keep = np.isfinite(y) & (y > 0) & (x > 0)
    order = np.argsort(x[keep])
    u, v = np.log(x[keep])[order], np.log(y[keep])[order]
    w = np.sqrt(np.ones_like(u) if weights is None else weights[keep][order])
    if np.unique(u[w > 0]).size < 7:
        return None
    places = np.unique(u)
    candidates = (places[1:] + places[:-1]) / 2
    best: tuple[float, Any, float, float] | None = None
    for first, second in itertools.combinations(candidates, 2):
        if not _populated(u[w > 0], first, second):
            continue
        solution, *_ = np.linalg.lstsq(_design(u, first, second) * w[:, None], v * w, rcond=None)
        error = float(np.sum((w * (_design(u, first, second) @ solution - v)) ** 2))
        if best is None or error < best[0]:
            best = (error, solution, first, second)
    if best is None:
        return None
    error, (offset, a, b, c), first, second = _refined(best, u, v, w)
    return Segments(
        (float(np.exp(first)), float(np.exp(second))),
        (float(a), float(a + b), float(a + b + c)),
        float(offset),
        float(np.sqrt(error / np.sum(w**2))),
    )


def _populated(u: np.ndarray, first: float, second: float) -> bool:
    """Whether every segment holds two points; with fewer in the middle its slope at a jump would mean nothing."""
    return bool(min(np.sum(u < first), np.sum((u > first) & (u < second)), np.sum(u > second)) >= 2)


def _refined(best: tuple, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> tuple:
    """Boundaries moved between the points; the start is kept unless the fit improves and no segment runs empty."""
    from scipy.optimize import minimize

    def solve(edges: np.ndarray) -> tuple[float, np.ndarray]:
        design = _design(u, *edges)
        solution, *_ = np.linalg.lstsq(design * w[:, None], v * w, rcond=None)
        return float(np.sum((w * (design @ solution - v)) ** 2)), solution

    found = minimize(lambda edges: solve(edges)[0], best[2:], method="Nelder-Mead", options={"maxiter": 80})
    first, second = found.x
    if not _populated(u[w > 0], first, second) or found.fun >= best[0]:
        return best
    return found.fun, solve(found.x)[1], first, second


def bootstrap(x: np.ndarray, y: np.ndarray, seed: int, repetitions: int = 200, level: float = 0.68) -> dict[str, Any]:
    """Boundaries and slopes with intervals: the points are drawn again with replacement.

    Returns:
        ``boundaries``, ``exponents`` and their ``intervals`` (two ends each); empty when there is nothing to fit.
    """
    found = fit(x, y)
    if found is None:
        return {}
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(repetitions):
        again = fit(x, y, rng.multinomial(len(x), np.full(len(x), 1 / len(x))).astype(float))
        if again is not None:
            drawn.append([*again.boundaries, *again.slopes])
    tail = 50 * (1 - level)
    low, high = np.percentile(drawn, [tail, 100 - tail], axis=0) if drawn else (np.full(5, np.nan),) * 2
    mine = np.array([*found.boundaries, *found.slopes])
    low, high = np.fmin(low, mine), np.fmax(high, mine)  # few points drawn again may all lie on one side of the fit
    intervals = [[float(a), float(b)] for a, b in zip(low, high, strict=True)]
    return {
        "boundaries": list(found.boundaries),
        "exponents": list(found.slopes),
        "intervals": {"boundaries": intervals[:2], "exponents": intervals[2:], "level": level},
        "residual": found.residual,
    }
