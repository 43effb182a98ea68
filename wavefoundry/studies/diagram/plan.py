"""In which order the points of a diagram are adapted, and whose pool and head each one starts from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BASE = -1
"""Index of the pre-trained point."""


class Wave(NamedTuple):
    """Points that start from the same parent, tuned together on its pool."""

    parent: int  # index of a point, or BASE
    points: tuple[int, ...]


def waves(base: np.ndarray, points: np.ndarray, width: int) -> list[Wave]:
    """Walk outward from the pre-trained point: every point starts from its nearest neighbour already done.

    The order depends on the couplings alone, so that an interrupted run goes on exactly as it would have.

    Args:
        base: couplings of the pre-trained point (K,).
        points: couplings of all points (P, K).
        width: largest number of points in a wave.

    Returns:
        Waves in the order in which they can be run; every parent is done before its children.
    """
    spread = np.ptp(np.vstack([points, base[None]]), axis=0)
    scaled = points / np.where(spread > 0, spread, 1.0)
    origin = base / np.where(spread > 0, spread, 1.0)
    distance, parent = np.linalg.norm(scaled - origin, axis=1), np.full(len(points), BASE)
    left, order = set(range(len(points))), []
    while left:
        nearest = min(left, key=lambda i: (round(distance[i], 12), i))
        left.remove(nearest)
        order.append(nearest)
        step = np.linalg.norm(scaled - scaled[nearest], axis=1)
        for i in left:
            if step[i] < distance[i] - 1e-12:
                distance[i], parent[i] = step[i], nearest
    children: dict[int, list[int]] = {}
    for i in order:
        children.setdefault(int(parent[i]), []).append(i)
    out: list[Wave] = []
    for done in [BASE, *order]:
        mine = children.get(done, [])
        out += [Wave(done, tuple(mine[k : k + width])) for k in range(0, len(mine), width)]
    return out
