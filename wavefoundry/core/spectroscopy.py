"""What a potential curve says: bond length, harmonic frequency and depth of the well, with error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

MASSES = (1.007825, 4.002603, 7.016003, 9.012183, 11.009305, 12.0, 14.003074, 15.994915, 18.998403, 19.992440)
"""Of the most common isotopes from hydrogen to neon, in unified atomic mass units. Source: AME2020."""
ELECTRON_MASSES, WAVE_NUMBERS = 1822.888486, 219474.6314
"""Electron masses in an atomic mass unit, and wave numbers (1/cm) in a Hartree. Source: CODATA 2018."""
_DRAWS, _RANGES, _NEAR = 200, np.geomspace(0.2, 3.0, 60), np.geomspace(0.8, 1.25, 300)


class Fitted(NamedTuple):
    """A number with its standard error: of the energies, and of the form that was fitted, added in quadrature."""

    value: float
    error: float


class Constants(NamedTuple):
    """Of one potential curve.

    length: where the energy is lowest (bohr). energy: there (Ha). curvature: second derivative there (Ha/bohr^2).
    """

    length: Fitted
    energy: Fitted
    curvature: Fitted

    def frequency(self, mass: float) -> Fitted:
        """Harmonic wave number in 1/cm of two atoms; ``mass``: their reduced mass in atomic mass units."""
        value = WAVE_NUMBERS * (self.curvature.value / (mass * ELECTRON_MASSES)) ** 0.5
        return Fitted(value, 0.5 * value * self.curvature.error / self.curvature.value)


def reduced_mass(first: float, second: float) -> float:
    """Reduced mass of two atoms (atomic mass units), from their nuclear charges."""
    a, b = MASSES[round(first) - 1], MASSES[round(second) - 1]
    return a * b / (a + b)


class _Points(NamedTuple):
    """Of a curve: lengths (n,), energies and the slopes known at some of them (n + m,), error bars of these, where."""

    x: np.ndarray
    values: np.ndarray
    bars: np.ndarray
    sloped: np.ndarray  # (m,), places in x


def constants(
    lengths: Sequence[float],
    energies: Sequence[float],
    errors: Sequence[float],
    slopes: Sequence[float] | None = None,
    slope_errors: Sequence[float] | None = None,
) -> Constants | None:
    """Minimum and curvature of a potential curve from some of its points.

    The energy is a polynomial in y = 1 - exp(-a (R - R_0)), which is a Morse potential where it is y^2. Its range 1 / a
    is the one that fits best, and its degree the lowest that fits the points within their errors, or else the highest
    that the points allow. What the next higher degree gives instead, or the next lower where that has no minimum or
    there is none, counts as a further error.

    Args:
        lengths: bohr. energies: Ha. errors: standard errors of these; 0: exact to a microhartree.
        slopes: dE/dR in Ha/bohr, NaN where not known. slope_errors: standard errors of these.

    Returns:
        None where there are fewer than five lengths, or no minimum inside of them.

    Source: expanded Morse oscillators, as they are usual for diatomic molecules.
    """
    x, places = np.unique(np.asarray(lengths, float), return_inverse=True)
    y, bars = _joined(places, len(x), energies, errors)
    if len(x) < 5 or int(np.argmin(y)) in (0, len(x) - 1):
        return None
    nothing = np.full(len(lengths), np.nan)
    slope, slope_bars = _joined(places, len(x), *(nothing if one is None else one for one in (slopes, slope_errors)))
    sloped = np.flatnonzero(np.isfinite(slope))
    points = _Points(
        x, np.concatenate([y, slope[sloped]]), np.concatenate([bars, np.maximum(slope_bars[sloped], 1e-6)]), sloped
    )
    degree, most = _degree(points), _most(points)
    noise = np.random.default_rng(0).normal(size=(_DRAWS, len(points.values))) * points.bars
    found, *draws = _minima(points, np.vstack([points.values, points.values + noise]), degree)
    near = [one for one in draws if one is not None]
    if found is None or len(near) < 0.9 * _DRAWS:  # the minimum is within the noise
        return None
    tried = (_minima(points, points.values[None], other)[0] for other in (degree + 1, degree - 1) if 2 <= other <= most)
    beside = next((one for one in tried if one is not None), None)
    model = np.zeros(3) if beside is None else np.subtract(found, beside)
    error = np.hypot(np.std(near, axis=0), model)
    return Constants(*(Fitted(float(v), float(e)) for v, e in zip(found, error, strict=True)))


def _joined(places: np.ndarray, count: int, values: Any, errors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Numbers measured at the same place as one, with its error bar; NaN where none is finite."""
    values, bars = np.asarray(values, float), np.maximum(np.asarray(errors, float), 1e-6)
    weights = np.where(np.isfinite(values) & np.isfinite(bars), bars**-2.0, 0.0)
    total = np.bincount(places, weights, count)
    known = np.where(total > 0, total, np.nan)
    return np.bincount(places, weights * np.nan_to_num(values), count) / known, known**-0.5


def _most(points: _Points) -> int:
    """The highest degree that is fitted: at most two less than there are numbers."""
    return min(6, len(points.values) - 2)


def _degree(points: _Points) -> int:
    """The lowest degree whose best fit leaves no more than the noise."""
    for degree in range(2, _most(points) + 1):
        left, free = _fits(points, points.values[None], degree)[2][0], len(points.values) - degree - 1
        if left <= free + 2 * (2 * free) ** 0.5:
            return degree
    return _most(points)


def _centre(points: _Points, rows: np.ndarray) -> float:
    return float(points.x[np.argmin(rows[0, : len(points.x)])])


def _fits(points: _Points, rows: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every row of energies and slopes (N, n + m): the best range a (1/bohr), its polynomial, the squares left."""
    scaled, centre = rows / points.bars, _centre(points, rows)
    best = np.full(len(rows), np.inf), np.zeros(len(rows)), np.zeros((len(rows), degree + 1))
    powers = np.arange(degree, 0, -1)

    def fit(a: float) -> None:
        place = _morse(points.x, a, centre)
        at = place[points.sloped]
        slopes = np.zeros((len(at), degree + 1))
        slopes[:, :-1] = powers * np.vander(at, degree) * (a * (1 - at))[:, None]  # dy/dR = a (1 - y)
        columns = np.vstack([np.vander(place, degree + 1), slopes]) / points.bars[:, None]
        coefficients = np.linalg.lstsq(columns, scaled.T, rcond=None)[0].T
        left = np.sum((coefficients @ columns.T - scaled) ** 2, axis=1)
        better = left < best[0]
        for kept, new in zip(best, (left, np.full(len(rows), a), coefficients), strict=True):
            kept[better] = new[better]

    for a in _RANGES:
        fit(a)
    for a in best[1][0] * _NEAR:  # so close that the draws tell how uncertain the range is
        fit(a)
    return best[1], best[2], best[0]


def _morse(x: np.ndarray, a: float, centre: float) -> np.ndarray:
    return 1 - np.exp(-a * (x - centre))


def _minima(points: _Points, rows: np.ndarray, degree: int) -> list[tuple[float, float, float] | None]:
    """Length, energy and curvature at the minimum of every row; None where none is between the points."""
    x, centre, found = points.x, _centre(points, rows), []
    for a, coefficients in zip(*_fits(points, rows, degree)[:2], strict=True):
        energy = np.poly1d(coefficients)
        slopes = [root.real for root in energy.deriv().roots if abs(root.imag) < 1e-9]
        first, last = _morse(x[[0, -1]], a, centre)
        inside = [root for root in slopes if first < root < last and energy.deriv(2)(root) > 0]
        place = min(inside, key=energy, default=None)
        if place is None:
            found.append(None)
            continue
        inner = a * (1 - place)  # dy/dR
        length = centre - np.log1p(-place) / a
        found.append((float(length), float(energy(place)), float(energy.deriv(2)(place) * inner**2)))
    return found


def offset_free(differences: Sequence[float]) -> float:
    """Mean distance of differences from their mean: what is left of an error once its mean is taken out."""
    values = np.asarray(differences, float)
    return float(np.mean(np.abs(values - values.mean())))
