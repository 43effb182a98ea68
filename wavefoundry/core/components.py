"""Principal components of features, and what they have to do with other quantities of the same samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

KEPT = 4
"""Components that are told of."""


class Components(NamedTuple):
    """Shares of the variance, in decreasing order, and the projections of all samples, (samples, components)."""

    explained: np.ndarray
    projections: np.ndarray


def principal_components(z: np.ndarray, count: int = KEPT) -> Components:
    """The first principal components of features (samples, width); directions as the data give them, signs open.

    The sign of a component is chosen so that its largest projection is positive.
    """
    centred = np.asarray(z, float) - np.mean(z, axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    total = float(np.sum(values**2))
    projections = (left * values)[:, :count]
    signs = np.sign(projections[np.argmax(np.abs(projections), axis=0), np.arange(projections.shape[1])])
    explained = values[:count] ** 2 / total if total > 0 else np.zeros(len(values[:count]))
    return Components(explained, projections * np.where(signs == 0, 1.0, signs))


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
    found = principal_components(z)
    correlations = {
        f"pc{k + 1}": {name: correlation(column, values) for name, values in quantities.items()}
        for k, column in enumerate(found.projections.T[:2])
    }
    scale = np.sqrt(np.mean(found.projections[:, :1] ** 2)) or 1.0
    points = np.round(found.projections[:drawn, :2] / scale, 3)
    return {
        "stage": name,
        "step": step,
        "explained": found.explained.tolist(),
        "correlations": correlations,
        "points": points.T.tolist(),
    }
