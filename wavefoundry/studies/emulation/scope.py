"""The range a student was trained in: heights and roughness of potentials, momenta of states; and what leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wavefoundry.core.verdict import Doubt
from wavefoundry.problems.grid import Grid
from wavefoundry.problems.splitting import share_beyond
from wavefoundry.studies.emulation.curriculum import Trajectories

OCTAVES = 4
"""Bands of wave numbers in which roughness is measured: octaves below pi / dx."""
ROUGHER = 4.0
"""A potential is rougher than the trained ones when it has so many times the power of the roughest in a band."""
MARGIN = 0.05
"""Potentials may leave the trained range by this part of it."""
BAND_SHARE = 1e-3
"""More probability than this beyond a student's band is reported."""


def band_edges(limit: float) -> list[float]:
    """Edges of the bands, ascending, from the largest wave number of a grid."""
    return [limit / 2 ** (OCTAVES - i) for i in range(OCTAVES + 1)]


def roughness(fields: np.ndarray, grid: Grid) -> np.ndarray:
    """Power of potentials in every band: the integral of the square of the part of V whose wave numbers lie in it.

    A step of height h on a line has about h^2 / pi (1 / k1 - 1 / k2) between k1 and k2, white noise of variance s^2 has
    s^2 dx (k2 - k1) / pi per unit of length. In a plane the roughest line along either axis counts.

    Args:
        fields: (batch, *grid).

    Returns:
        (OCTAVES,), the largest over the batch; band i ends at pi / dx / 2^(OCTAVES - 1 - i).
    """
    found = np.zeros(OCTAVES)
    for axis, dx in enumerate(grid.spacing):
        lines = np.moveaxis(np.asarray(fields, float), axis + 1, -1)
        n = lines.shape[-1]
        power = np.abs(np.fft.rfft(lines - lines.mean(-1, keepdims=True), axis=-1)) ** 2 * dx / n
        power[..., 1 : (n + 1) // 2] *= 2
        k, edges = 2 * np.pi * np.arange(power.shape[-1]) / (n * dx), band_edges(math.pi / dx)
        for i in range(OCTAVES):
            inside = (k > edges[i] * (1 + 1e-9)) & (k <= edges[i + 1] * (1 + 1e-9))
            found[i] = max(found[i], float(np.max(power[..., inside].sum(-1), initial=0.0)))
    return found


def step_power(height: float, grid: Grid) -> np.ndarray:
    """Power of a single step in every band, on the points of a grid: |V_k| = height dx / (2 sin(k dx / 2))."""
    half = np.asarray(band_edges(math.pi / grid.spacing[0])) * grid.spacing[0] / 2
    return height**2 * grid.spacing[0] / (2 * np.pi) * (1 / np.tan(half[:-1]) - 1 / np.tan(half[1:]))


def scope_of(data: Trajectories) -> dict[str, Any]:
    """What a student will have seen.

    Returns:
        ``potential_min``, ``potential_max``, ``roughness`` (of the roughest run, by band), ``momentum_max`` (all but
        1e-4 of the probability lies below), ``runs``.
    """
    stride = max(1, data.frames.shape[1] // 16)
    some = np.asarray(data.frames[:, ::stride])
    spectrum = np.sum(np.abs(np.fft.fft(some, axis=-1)) ** 2, axis=(0, 1))
    k = np.abs(data.grid.k)
    order = np.argsort(k)
    within = np.cumsum(spectrum[order]) / np.sum(spectrum)
    return {
        "potential_min": float(data.potentials.min()),
        "potential_max": float(data.potentials.max()),
        "roughness": roughness(data.potentials, data.grid).tolist(),
        "momentum_max": float(k[order][np.searchsorted(within, 1 - 1e-4)]),
        "runs": len(data.frames),
    }


def scope_doubts(
    scope: Mapping[str, Any], band: float | None, states: np.ndarray, fields: np.ndarray, grid: Grid
) -> list[Doubt]:
    """What takes a roll-out out of the range a student was trained in.

    Args:
        scope: from ``scope_of``; one that was stored before roughness was measured says nothing about it.
        band: momentum above which the student has no dispersion of its own, or None.
        states: (batch, *grid). fields: potentials, the same shape.
    """
    found = []
    low, high = scope["potential_min"], scope["potential_max"]
    reach = max(high - low, 1e-9)
    if np.max(fields) > high + MARGIN * reach or np.min(fields) < low - MARGIN * reach:
        seen = f"{np.min(fields):.3g} to {np.max(fields):.3g}"
        why = f"the potential ({seen}) leaves the trained range ({low:.3g} to {high:.3g})"
        found.append(Doubt("OUT-OF-RANGE", "state", False, why))
    if scope.get("roughness") is not None:
        # a curriculum of smooth potentials has hardly any power: a step as small as the margin is no matter either
        usual = np.maximum(np.asarray(scope["roughness"]), step_power(MARGIN * reach, grid))
        ratio = roughness(fields, grid) / usual
        worst = int(np.argmax(ratio))
        if ratio[worst] > ROUGHER:
            edges = band_edges(math.pi / grid.spacing[0])
            waves = f"wave numbers {edges[worst]:.3g} to {edges[worst + 1]:.3g}"
            why = f"the potential is rougher than those trained: {ratio[worst]:.3g} times the power at {waves}"
            found.append(Doubt("ROUGH", "state", False, why))
    limit = min(band or math.inf, scope["momentum_max"])
    share = share_beyond(states, grid, limit)
    if share > BAND_SHARE:
        why = f"a share {share:.2g} of the state has momenta beyond those trained (|k| > {limit:.3g})"
        found.append(Doubt("FAST-PACKET", "state", False, why))
    return found
