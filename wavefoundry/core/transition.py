"""Where curves along a coupling say that a transition is: a maximum, or a jump. NumPy alone.

A maximum is claimed only where the curve falls on both sides of it by more than its error bars allow. What is
claimed is the maximum of this lattice: that of the infinite one is shifted by its finite size, which no error bar here
contains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

DRAWS = 1000
SIGMAS = 4.0
"""By so many error bars a curve has to fall on either side of a maximum; a scan compares hundreds of pairs."""
FALL = 0.05
"""And by so much of its height."""
RIVAL = 0.8
"""A second maximum of such a share of the first, counted from the lowest value, leaves none that stands out."""
FEWEST = 4
"""Values of a curve below which nothing is said."""
JUMP, APART, SMALL, HALF = 3.0, 10.0, 0.1, 0.5
"""A slope is a jump where it is so many times those beside it and the fidelity is below HALF, or where the fidelity is
SMALL and -ln F is so many times (APART) that of the pairs beside it."""


class Curve(NamedTuple):
    """A quantity along a coupling; ``draws``: what it might have been within its error bars, (DRAWS, n)."""

    x: np.ndarray
    value: np.ndarray
    draws: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """Error bars."""
        return self.draws.std(axis=0)


class Found(NamedTuple):
    """Where something lies, with its error bar; or why nothing is claimed, ``value`` and ``error`` then being None."""

    value: float | None
    error: float | None
    why: str


def drawn(value: Float[np.ndarray, " n"], error: Float[np.ndarray, " n"], seed: int) -> Float[np.ndarray, "draws n"]:
    """What independent values might have been within their error bars."""
    return value + error * np.random.default_rng(seed).standard_normal((DRAWS, len(value)))


def slopes(x: np.ndarray, value: np.ndarray, draws: np.ndarray) -> Curve:
    """Divided differences of neighbouring values, in the middle between them."""
    step = np.diff(x)
    return Curve((x[1:] + x[:-1]) / 2, np.diff(value) / step, np.diff(draws, axis=1) / step)


def susceptibility(x: np.ndarray, fidelities: np.ndarray, errors: np.ndarray, off: np.ndarray, seed: int) -> Curve:
    """-2 ln F / dc^2 of neighbouring points, in the middle between them.

    A lower bound where F is within its error bar of zero.

    Source: arXiv 1308.5917, with the squared overlap.

    Args:
        x: the coupling, (n,). fidelities, errors: of neighbours, (n - 1,). off: how far the states may be off,
            1 - F from the true ones, (n,); their distance then is so by half the root as an error bar. seed: of draws.
    """
    step, off = np.diff(x), off[1:] + off[:-1]
    seen = np.maximum(fidelities, np.maximum(3 * errors, 1e-300))
    value = -np.log(np.minimum(seen, 1.0))
    error = np.sqrt((errors / seen) ** 2 + value * off + off**2)
    return Curve((x[1:] + x[:-1]) / 2, 2 * value / step**2, 2 * drawn(value, error, seed) / step**2)


def highest(curve: Curve) -> int:
    """Number of the largest value, each counting less its error bar."""
    return int((curve.value - curve.error).argmax())


def peak(curve: Curve) -> Found:
    """The maximum of a curve, by the parabola through the largest values; a value counts less its error bar.

    Its error bar: where it is within the error bars of the values, and how far parabolas through three and through five
    values differ.
    """
    x = curve.x
    if not np.all(np.isfinite(curve.value)):
        return Found(None, None, "the curve has values that are no numbers")
    if len(x) < FEWEST:
        return Found(None, None, f"too few points: {len(x)} values of the curve, {FEWEST} are needed")
    k = highest(curve)
    if _fall(curve, k, range(len(x))) <= 1:
        return Found(None, None, "flat within its error bars")
    if k in (0, len(x) - 1):
        return Found(None, None, f"its largest value is at the end of the range, at {x[k]:.6g}")
    for side, end in ((range(k), 0), (range(k + 1, len(x)), -1)):
        if _fall(curve, k, side) <= 1:
            return Found(
                None, None, f"no fall beyond error bars from {x[k]:.6g} to the end of the range at {x[end]:.6g}"
            )
    other = _rival(curve, k)
    if other is not None:
        return Found(None, None, f"two maxima of about the same height, at {x[k]:.6g} and {x[other]:.6g}")
    three, five = (_vertices(curve, k, width) for width in (1, 2))
    if five is None:
        assert three is not None
        model = float(max(x[k] - x[k - 1], x[k + 1] - x[k])) / 4
        return _located(three, model, curve, k)
    assert three is not None
    apart = abs(three[0] - five[0])
    noisy = three[1] > max(apart, five[1])
    return _located(five if noisy else three, apart, curve, k)


def _located(vertex: tuple[float, float], model: float, curve: Curve, k: int) -> Found:
    x, y = curve.x, curve.value
    grid = float(x[k + 1] - x[k - 1]) / 20  # no parabola is better than a tenth of the spacing
    times = y[k] / np.median(y) if np.median(y) > 0 else math.inf
    words = f"a maximum, {times:.2g} times the median of the curve" if math.isfinite(times) else "a maximum"
    return Found(vertex[0], math.hypot(vertex[1], model, grid), words)


def _fall(curve: Curve, k: int, others: Sequence[int] | range) -> float:
    """The largest fall from k to any of the others, in units of what is needed."""
    y, draws = curve.value, curve.draws
    falls = [
        (y[k] - y[i]) / max(SIGMAS * float((draws[:, k] - draws[:, i]).std()), FALL * abs(float(y[k])), 1e-300)
        for i in others
    ]
    return max(falls, default=0.0)


def _rival(curve: Curve, k: int) -> int | None:
    """Another maximum of about the same height, with a significant dip between, or None."""
    y = curve.value
    deep = (1 - RIVAL) * (y[k] - y.min())
    for i in np.argsort(-y):
        between = range(min(i, k) + 1, max(i, k))
        if i == k or not between or y[i] < y[k] - deep:
            continue
        dip = min(between, key=lambda j: y[j])
        if y[i] - y[dip] > deep and _fall(curve, int(i), [dip]) > 1:
            return int(i)
    return None


def _vertices(curve: Curve, k: int, width: int) -> tuple[float, float] | None:
    """Vertex of the parabola through ``2 width + 1`` values about k, and its spread over the draws."""
    x, inside = curve.x, range(width, len(curve.x) - width)
    if k not in inside:
        return None
    largest = width + curve.draws[:, width : len(x) - width].argmax(axis=1)
    spread = np.concatenate([_vertex(x, curve.draws[largest == i], i, width) for i in inside if (largest == i).any()])
    low, high = np.percentile(spread, [16, 84])
    return float(_vertex(x, curve.value[None], k, width)[0]), float(high - low) / 2


def _vertex(x: np.ndarray, y: np.ndarray, k: int, width: int) -> np.ndarray:
    """Vertices of least-squares parabolas about k of curves (n, points), not beyond its neighbours."""
    window = slice(k - width, k + width + 1)
    scale = float(x[k + width] - x[k - width]) / 2
    ends = ((x[k - 1] - x[k]) / scale, (x[k + 1] - x[k]) / scale)
    a, b = np.polyfit((x[window] - x[k]) / scale, y[:, window].T, 2)[:2]
    at = np.where(a < 0, -b / (2 * np.where(a < 0, a, -1.0)), np.where(b > 0, ends[1], ends[0]))
    return x[k] + scale * np.clip(at, *ends)


class Levels(NamedTuple):
    """Energies along a coupling and their slopes dE/dc, with error bars; (n,) each."""

    x: np.ndarray
    energy: np.ndarray
    energy_error: np.ndarray
    slope: np.ndarray
    slope_error: np.ndarray


def jumps(levels: Levels, fidelities: np.ndarray | None = None, errors: np.ndarray | None = None) -> list[int]:
    """Intervals between neighbours in which the state jumps, the largest jump of the slope first.

    Without fidelities: where dE/dc falls faster by far than on either side, beyond error bars. With them: where
    neighbours hardly overlap as well, and pairs that strain beyond all beside them, those at the ends included.
    """
    x = levels.x
    curve = slopes(x, -levels.slope, drawn(-levels.slope, levels.slope_error, 1))
    y, draws = curve.value, curve.draws
    found = [i for i in range(1, len(y) - 1) if _steeper(y, draws, i)]
    if fidelities is not None and errors is not None:
        above = fidelities + 3 * errors
        found = [i for i in found if above[i] < HALF]
        regular = above >= SMALL
        found += [i for i in np.flatnonzero(~regular) if _strained(x, fidelities, errors, int(i), regular)]
    return sorted({int(i) for i in found}, key=lambda i: -y[i])


def _strained(x: np.ndarray, fidelities: np.ndarray, errors: np.ndarray, i: int, regular: np.ndarray) -> bool:
    """Whether neighbours of interval i differ beyond what a smooth change of the state makes of the next pairs.

    -ln F / dc^2 is compared with that of the nearest regular pair on either side, beyond error bars; without any no.
    """
    low, high = (np.clip(fidelities + sign * 3 * errors, 1e-300, 1.0) for sign in (-1, 1))
    strain = -np.log(high[i]) / (x[i + 1] - x[i]) ** 2
    others = [int(j) for j in np.flatnonzero(regular) if j != i]
    beside = [max((j for j in others if j < i), default=None), min((j for j in others if j > i), default=None)]
    most = [-np.log(low[j]) / (x[j + 1] - x[j]) ** 2 for j in beside if j is not None]
    return bool(most) and bool(strain > APART * max(most))


def _steeper(y: np.ndarray, draws: np.ndarray, i: int) -> bool:
    beside = [i - 1, i + 1]
    excess = y[i] - JUMP * np.abs(y[beside]).max()
    spread = (draws[:, i] - JUMP * np.abs(draws[:, beside]).max(axis=1)).std()
    return bool(excess > SIGMAS * spread and excess > 0)


def crossing(levels: Levels, i: int, among: Sequence[int]) -> tuple[float, float]:
    """Where the levels on either side of interval i cross, and its error bar.

    Each is continued from the point at its end of the interval, with the slope there and how the slope changes towards
    the next point (unless that interval is a jump too). The error: that of energies and slopes, and what the change of
    the slopes contributes; where that is not known on both sides, a crossing anywhere in the interval.

    Args:
        among: all intervals with a jump.
    """
    x, width = levels.x, float(levels.x[i + 1] - levels.x[i])
    e = np.vstack([levels.energy, drawn(levels.energy, levels.energy_error, 2)])[:, [i, i + 1]]
    g = np.vstack([levels.slope, drawn(levels.slope, levels.slope_error, 3)])
    bend = [
        (g[:, j + 1] - g[:, j]) / (x[j + 1] - x[j]) if 0 <= j < len(x) - 1 and j not in among else None
        for j in (i - 1, i + 1)
    ]
    grid = np.linspace(0.0, width, 201)[:, None]

    def at(bends: Sequence[np.ndarray | None]) -> np.ndarray:
        before, after = (0.0 if one is None else one for one in bends)
        left = e[:, 0] + g[:, i] * grid + before / 2 * grid**2
        right = e[:, 1] - g[:, i + 1] * (width - grid) + after / 2 * (width - grid) ** 2
        return x[i] + grid[np.abs(left - right).argmin(axis=0), 0]

    place, known = at(bend), all(one is not None for one in bend)
    model = abs(float(place[0] - at((None, None))[0])) if known else width / math.sqrt(12)
    return float(place[0]), math.hypot(float(place.std()), model, width / 200)
