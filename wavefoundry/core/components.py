"""Principal components of features, and what they have to do with other quantities of the same samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

KEPT = 4
"""Components that are told of."""


class Axes(NamedTuple):
    """Principal directions of features.

    explained: shares of the variance, in decreasing order. mean: of the features (width,). directions: (width,
    components). scale: root mean square of the first projection.
    """

    explained: np.ndarray
    mean: np.ndarray
    directions: np.ndarray
    scale: float

    def of(self, z: np.ndarray) -> np.ndarray:
        """Projections (samples, components) of features (samples, width)."""
        return (np.asarray(z, float) - self.mean) @ self.directions


def principal_axes(z: np.ndarray, count: int = KEPT) -> Axes:
    """The first principal directions of features (samples, width), as the data give them.

    The sign of a direction is chosen so that its largest projection is positive.
    """
    mean = np.mean(np.asarray(z, float), axis=0)
    left, values, right = np.linalg.svd(np.asarray(z, float) - mean, full_matrices=False)
    total = float(np.sum(values**2))
    projections = (left * values)[:, :count]
    signs = np.sign(projections[np.argmax(np.abs(projections), axis=0), np.arange(projections.shape[1])])
    explained = values[:count] ** 2 / total if total > 0 else np.zeros(len(values[:count]))
    scale = float(np.sqrt(np.mean(projections[:, :1] ** 2))) or 1.0
    return Axes(explained, mean, right[:count].T * np.where(signs == 0, 1.0, signs), scale)


def correlation(a: np.ndarray, b: np.ndarray) -> dict[str, float] | None:
    """|Pearson correlation| of two quantities with its standard error (1 - r^2) / sqrt(samples - 1); None: constant."""
    a, b = np.asarray(a, float) - np.mean(a), np.asarray(b, float) - np.mean(b)
    norm = math.sqrt(float(a @ a) * float(b @ b))
    if not norm > 1e-12 * len(a) * max(float(np.abs(a).max()), 1e-300) * max(float(np.abs(b).max()), 1e-300):
        return None
    r = float(a @ b) / norm
    return {"value": abs(r), "error": (1 - r**2) / math.sqrt(max(1, len(a) - 1))}


def stage(name: str, step: int, z: np.ndarray, quantities: Mapping[str, np.ndarray], drawn: int) -> dict[str, Any]:
    """What the features of one network say: shares of variance, correlations, and some points for a picture.

    Args:
        name: of the stage. step: of the training. z: (samples, width). quantities: of the same samples. drawn: points.
    """
    axes = principal_axes(z)
    projections = axes.of(z)
    correlations = {
        f"pc{k + 1}": {name: correlation(column, values) for name, values in quantities.items()}
        for k, column in enumerate(projections.T[:2])
    }
    return {
        "stage": name,
        "step": step,
        "explained": axes.explained.tolist(),
        "correlations": correlations,
        "points": picture(axes, projections[:drawn]),
    }


def picture(axes: Axes, projections: np.ndarray) -> list[list[float]]:
    """The first two projections of some samples, in units of the first one's root mean square."""
    return np.round(projections[:, :2] / axes.scale, 3).T.tolist()
