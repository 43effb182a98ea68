"""A quantity along a coupling: where it has its maximum, and whether the data show one at all."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

BARS = 3.0
"""A maximum rises above what lies on either side of it by so many error bars ..."""
RISE = 0.05
"""... and by this part of its height: less is flat."""
DRAWS = 400
LOST = 0.1
"""Largest share of resampled curves without a maximum inside."""
FEWEST = 4
"""Values a curve needs: a maximum with one on either side, and one more to tell a shape."""


class Scan(NamedTuple):
    """Values along a coupling, in increasing order of it.

    drawn: curves from the error bars, (DRAWS, values), where those of the values are correlated; else they are made.
    """

    x: np.ndarray
    y: np.ndarray
    error: np.ndarray
    drawn: np.ndarray | None = None

    def curves(self) -> np.ndarray:
        """Curves that the data allow, (DRAWS, values), the same in every call."""
        return resampled(self.y, self.error) if self.drawn is None else self.drawn


class Peak(NamedTuple):
    """Where a scan has its maximum, with error bar; both nan where it shows none, and why in words."""

    at: float
    error: float
    why: str

    @property
    def seen(self) -> bool:
        """Whether there is one."""
        return math.isfinite(self.at)


def resampled(y: np.ndarray, error: np.ndarray, seed: int = 0) -> np.ndarray:
    """Values scattered by their error bars, (DRAWS, values)."""
    return y + error * np.random.default_rng(seed).standard_normal((DRAWS, len(y)))


def peak(scan: Scan) -> Peak:
    """The maximum of a scan, by a local fit, its error bar by resampling.

    Through the highest value and its neighbours goes a parabola for y and one for 1/y, which is exact for a Lorentzian;
    their mean is the place, half their difference the error of the shape. Further errors: the scatter over curves that
    the data allow, and a fifth of the step of the grid, which no fit sees into.

    Returns:
        No maximum: at the ends of the range, where nothing is known of the far side; not higher than its surroundings
        by ``BARS`` error bars and ``RISE``; or one that resampled curves often lack.
    """
    x, y = scan.x, scan.y
    if len(x) < FEWEST:
        return _none(f"{len(x)} values are too few for a maximum")
    top = int(np.argmax(y))
    if top in (0, len(x) - 1):
        end = "lower" if top == 0 else "upper"
        return _none(f"largest at the {end} end of the range, {x[top]:g}: no maximum inside")
    curves = scan.curves()
    for side in (np.arange(top), np.arange(top + 1, len(x))):
        low = side[int(np.argmin(y[side]))]
        rise, bar = y[top] - y[low], float((curves[:, top] - curves[:, low]).std())
        if rise <= max(BARS * bar, RISE * abs(y[top])):
            return _none(f"flat: the largest value exceeds one side by no more than {rise:.2g} +- {bar:.2g}")
    inside = [(row, int(np.argmax(row))) for row in curves]
    found = [_place(x, row, best)[0] for row, best in inside if 0 < best < len(x) - 1]
    if len(found) < (1 - LOST) * len(curves):
        return _none(f"{1 - len(found) / len(curves):.0%} of the curves within the error bars have no maximum inside")
    at, shape = _place(x, y, top)
    low, high = np.percentile(found, [15.9, 84.1])
    step = min(x[top + 1] - x[top], x[top] - x[top - 1])
    return Peak(at, math.sqrt(((high - low) / 2) ** 2 + shape**2 + (step / 5) ** 2), "a maximum inside the range")


def _none(why: str) -> Peak:
    return Peak(math.nan, math.nan, why)


def _place(x: np.ndarray, y: np.ndarray, top: int) -> tuple[float, float]:
    """Maximum of the fits through three values, and half of what they differ by."""
    near = slice(top - 1, top + 2)
    places = [_vertex(x[near], y[near])]
    if np.all(y[near] > 0):
        places.append(_vertex(x[near], -1 / y[near]))
    return float(np.mean(places)), float(np.ptp(places)) / 2


def _vertex(x: np.ndarray, y: np.ndarray) -> float:
    """Extremum of the parabola through three points, the middle one the highest."""
    left, right = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    if left == right:
        return float(x[1])
    # the slope falls from ``left`` at the middle of the first step to ``right`` at that of the second
    first, second = (x[0] + x[1]) / 2, (x[1] + x[2]) / 2
    return float(first + left / (left - right) * (second - first))


def slopes(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> Scan:
    """Difference quotients of neighbouring values, at the middles of the steps."""
    step = np.diff(x)
    drawn = np.diff(resampled(y, error), axis=1) / step
    return Scan((x[1:] + x[:-1]) / 2, np.diff(y) / step, np.hypot(error[1:], error[:-1]) / step, drawn)
