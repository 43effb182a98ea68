"""Energies along a training, how they are smoothed, and after how many steps one is reached."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from wavefoundry.studies.molecules.storable import hidden, shown

WINDOW = 20
"""Steps over which energies of single steps are averaged."""


@dataclasses.dataclass
class Curve:
    """Energies along a training: of every step, or means over blocks; one column for each molecule (Ha).

    NaN where a molecule was left out, or its energy was not finite.
    """

    steps: np.ndarray
    energy: np.ndarray
    variance: np.ndarray

    @classmethod
    def empty(cls, molecules: int) -> Curve:
        """A curve without points."""
        return cls(np.zeros(0, int), np.zeros((0, molecules)), np.zeros((0, molecules)))

    def append(self, steps: np.ndarray, energy: np.ndarray, variance: np.ndarray) -> None:
        """Add points at the end."""
        self.steps = np.concatenate([self.steps, np.asarray(steps, int)])
        self.energy = np.concatenate([self.energy, np.asarray(energy, float)])
        self.variance = np.concatenate([self.variance, np.asarray(variance, float)])

    def arrays(self) -> dict[str, np.ndarray]:
        """For the store."""
        return hidden(vars(self), "curve/")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Curve:
        """What ``arrays`` gave."""
        return cls(**shown(arrays, "curve/"))


def running_mean(curve: Curve, column: int = 0, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """(steps made, mean energy) over ``window`` steps at a time; the mean belongs to the end of its window.

    A step counts with the inverse of its variance: one wild local energy would else show for a whole window.
    """
    energy, weights = curve.energy[:, column], _weights(curve, column)
    window = min(window, max(1, len(energy)))
    parts = [np.convolve(values, np.ones(window), mode="valid") for values in (energy * weights, weights)]
    return curve.steps[window - 1 :] + 1, parts[0] / parts[1]


def _weights(curve: Curve, column: int) -> np.ndarray:
    return 1 / np.maximum(curve.variance[:, column], 1e-12)


def reached(curve: Curve, goal: float) -> int | None:
    """Steps after which the energy of a training lies at or below ``goal`` (Ha); None when it never does.

    The energy is the never rising curve closest to those of the single steps, which scatter; a step counts with the
    inverse of its variance. The last points of the curve follow single low ones: they do not count.
    """
    from scipy.optimize import isotonic_regression

    energy, weights = curve.energy[:, 0], _weights(curve, 0)
    if not len(energy) or not np.all(np.isfinite(energy)):
        return None
    counted = len(energy) - min(len(energy), WINDOW) // 2
    falling = isotonic_regression(energy, weights=weights, increasing=False).x[:counted]
    below = np.flatnonzero(falling <= goal)
    return int(curve.steps[below[0]]) if len(below) else None
