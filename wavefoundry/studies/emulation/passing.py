"""What a packet passes: the probability behind a landscape, before anything of it has gone round the box."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import Item

ROUND = 0.01
"""Share of the probability that may have gone round the periodic box."""
INSIDE = 0.05
"""Share that may still be in the landscape, or on its way there."""


class Passage(NamedTuple):
    """Where a packet arrives that has passed a landscape, (n,) points, and the last frame that tells."""

    behind: np.ndarray
    frame: int


def extent_of(field: np.ndarray, grid: Grid1D) -> tuple[int, int] | None:
    """First and last point where V differs from its most common value; None where there is no such stretch."""
    values, counts = np.unique(np.round(field, 9), return_counts=True)
    there = np.flatnonzero(np.abs(field - values[np.argmax(counts)]) > 1e-3)
    return (int(there.min()), int(there.max())) if len(there) and len(there) < 0.95 * grid.n else None


def passage(item: Item, frames: np.ndarray, field: np.ndarray, grid: Grid1D, frame_step: float) -> Passage | None:
    """Where and when to ask what has passed; None where the question has no answer.

    That is where packets move both ways, start behind or in the landscape, or go round the box before they have left
    it.

    Args:
        item: the case. frames: true ones (frames, n). field: its potential (n,). grid: the box. frame_step: in time.
    """
    found, ways = extent_of(field, grid), {packet.left for packet in item.packets}
    if found is None or len(ways) > 1:
        return None
    left, (first, last) = ways.pop(), found
    ahead = all((packet.x0 > grid.x[last]) if left else (packet.x0 < grid.x[first]) for packet in item.packets)
    if not ahead:
        return None
    slope = (frames[:, 1] - frames[:, -1]) / (2 * grid.dx)
    gone = np.cumsum(np.abs(np.imag(np.conj(frames[:, 0]) * slope))) * frame_step
    frame = int(np.argmax(np.append(gone > ROUND, True))) - 1
    points = np.arange(grid.n)
    right, inside = points > last, (points >= first) & (points <= last)
    behind = points < first if left else right
    if frame < 0 or _before(frames[frame], inside, ~inside & ~behind, -1 if left else 1) * grid.dx > INSIDE:
        return None
    return Passage(behind, frame)


def _before(psi: np.ndarray, inside: np.ndarray, front: np.ndarray, way: int) -> float:
    """Weight that has not passed or turned yet: in the landscape, or in front of it and on its way there."""
    spectrum = np.abs(np.fft.fft(psi * front)) ** 2 / len(psi)
    coming = np.sum(spectrum[way * np.fft.fftfreq(len(psi)) > 0])
    return float(np.sum(np.abs(psi[inside]) ** 2) + coming)
