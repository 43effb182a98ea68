"""Batches of examples from trajectories: whole frames in pairs, and weighted windows.

Which examples belong to step s follows from the seed and s alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.studies.emulation.curriculum import Trajectories

NEAR = 50.0
"""Weight of windows that touch the potential; all others have weight 1 (arXiv 2203.10200)."""
START_SHARE, PLACE_SHARE = 0.9, 0.1


class Pair(NamedTuple):
    """A state, its potential and a later state: whole boxes."""

    before: Any  # complex64 (..., n)
    potential: Any  # float32 (..., n)
    after: Any  # complex64 (..., n)


class Window(NamedTuple):
    """Some frames of a window with the unscaled potential, and the frame to predict."""

    x: Any  # float32 (..., frames, points, 3)
    y: Any  # float32 (..., points, 2)


class Pairs:
    """Random pairs of frames, ``ahead`` frames apart; every ``refresh`` steps new ones."""

    def __init__(self, data: Trajectories, batch: int, seed: int, refresh: int = 1, ahead: int = 1):
        self.data, self.batch, self.seed, self.refresh, self.ahead = data, batch, seed, refresh, ahead

    @property
    def starts(self) -> int:
        """First frames in a run."""
        return self.data.frames.shape[1] - self.ahead

    @property
    def size(self) -> int:
        """Number of different examples."""
        return len(self.data.frames) * self.starts

    def __call__(self, step: int, count: int) -> Pair:
        """Batches of the steps from ``step`` on: leading axes (count, batch)."""
        picks = []
        for s in range(step, step + count):
            rng = np.random.default_rng([self.seed, s // self.refresh])
            picks.append(rng.integers(0, self.size, self.batch))
        run, frame = np.divmod(np.stack(picks), self.starts)
        return Pair(self.data.frames[run, frame], self.data.potentials[run], self.data.frames[run, frame + self.ahead])


class Windows:
    """Windows as in the paper: start times and places without replacement, places near the potential preferred.

    Per run int(0.9 (frames - 4)) start times, and for each a tenth of all places.

    Raises:
        InputError: the window is larger than the box, or longer than the runs.
    """

    def __init__(self, data: Trajectories, batch: int, seed: int, points: int = 23, history: int = 4):
        self.data, self.batch, self.seed = data, batch, seed
        self.points, self.history = points, history
        check_window(points, data.grid.n)
        frames = data.frames.shape[1]
        if frames <= history + 1:
            raise InputError(
                f"runs of {frames} frames are too short", where="curriculum", why=f"windows: {history + 1}"
            )
        self.starts = max(1, int(START_SHARE * (frames - history - 1)))
        self.places = max(1, int(PLACE_SHARE * data.grid.n))
        runs = len(data.frames)
        self._made = np.zeros(runs, bool)
        self._times = np.empty((runs, self.starts), np.int32)
        self._lefts = np.empty((runs, self.starts, self.places), np.int16)
        self._order: tuple[int, np.ndarray] | None = None

    @property
    def per_run(self) -> int:
        """Windows of one run."""
        return self.starts * self.places

    @property
    def size(self) -> int:
        """Number of different windows."""
        return len(self.data.frames) * self.per_run

    def table(self, run: int) -> tuple[np.ndarray, np.ndarray]:
        """Start times (starts,) and left edges (starts, places) of the windows of a run."""
        if not self._made[run]:
            rng = np.random.default_rng([self.seed, 1, run])
            last = self.data.frames.shape[1] - self.history - 1
            times = rng.choice(last, self.starts, replace=False)
            weight = np.where(touching(self.data.potentials[run], self.points), NEAR, 1.0)
            # Exponential clocks divided by weights: the first to ring are a weighted draw without replacement.
            clocks = rng.exponential(size=(self.starts, weight.size)) / weight
            chosen = np.argpartition(clocks, self.places, axis=1)[:, : self.places]
            self._times[run], self._lefts[run], self._made[run] = times, chosen, True
        return self._times[run], self._lefts[run]

    def __call__(self, step: int, count: int) -> Window:
        """Batches of the steps from ``step`` on: leading axes (count, batch). Every window once per epoch."""
        first, last = step * self.batch, (step + count) * self.batch
        numbers = np.concatenate(
            [self._epoch(e)[max(first - e * self.size, 0) : last - e * self.size]
             for e in range(first // self.size, (last - 1) // self.size + 1)]
        )  # fmt: skip
        run, rest = np.divmod(numbers, self.per_run)
        start, place = np.divmod(rest, self.places)
        for new in np.unique(run[~self._made[run]]):
            self.table(int(new))
        return self._gather(run, self._times[run, start], self._lefts[run, start, place], (count, self.batch))

    def _gather(self, run: np.ndarray, time: np.ndarray, left: np.ndarray, lead: tuple[int, int]) -> Window:
        n = self.data.grid.n
        x = (left[:, None].astype(int) + np.arange(self.points)) % n
        frames = time[:, None] + np.arange(self.history + 1)
        psi: Any = self.data.frames[run[:, None, None], frames[:, :, None], x[:, None, :]]
        field = np.broadcast_to(self.data.potentials[run[:, None], x][:, None], psi[:, :-1].shape)
        before = np.stack([psi[:, :-1].real, psi[:, :-1].imag, field], axis=-1)
        after = np.stack([psi[:, -1].real, psi[:, -1].imag], axis=-1)
        return Window(before.reshape(*lead, *before.shape[1:]), after.reshape(*lead, *after.shape[1:]))

    def _epoch(self, number: int) -> np.ndarray:
        if self._order is None or self._order[0] != number:
            order = np.random.default_rng([self.seed, 2, number]).permutation(self.size)
            self._order = (number, order)
        return self._order[1]


def touching(potential: np.ndarray, points: int) -> np.ndarray:
    """Left edges whose window (running to the right, round the box) holds a point where V differs from its floor."""
    floor = np.median(potential)
    there = np.abs(potential - floor) > 1e-9
    return np.any([np.roll(there, -j) for j in range(points)], axis=0)


def check_window(points: int, n: int) -> None:
    """Refuse a window that does not fit into the box.

    Raises:
        InputError: it is larger.
    """
    if points > n:
        raise InputError(
            f"a window of {points} points is larger than the box", where="student", why=f"the grid has {n} points"
        )
