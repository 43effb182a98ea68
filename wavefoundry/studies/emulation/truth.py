"""The truth that students are judged by, case by case, with an error of its own that is known and small enough.

Two errors are told apart. That of time: up to 1024 points the frames come from exact diagonalisation and have none;
beyond, a splitting of order 4 is halved until it is converged. That of the grid: what changes on a grid twice as fine,
with the same potential (its points joined by their Fourier series) and the same packet. The problem itself is the one
on the student's grid and in its periodic box: a barrier is the points inside it, and a packet that leaves on the right
comes back on the left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.pieces import Piece, at_once
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import Item
from wavefoundry.problems.schrodinger import solve
from wavefoundry.problems.splitting import Solver, kinetic, least_substeps

LEAD = 3
"""Frames that a four-frame student is given; the reference is that much longer than the roll-out."""
EXACT_POINTS = 1024
"""Grids up to this size are diagonalised."""
SHARPER = 10.0
"""The reference is to be so many times more accurate than the best student."""
WORK = 2**29
"""Most grid points times evaluations of a splitting that one case is worth (about 30 CPU seconds)."""
BAND = 0.625
"""Band limit of refined grids, of their largest momentum: a quarter above that of the grid half as fine."""
FINEST = 8
"""Most points that a refined grid has for one of the student's."""
MARGIN = 3.0
"""Grids are compared at large time steps: over the suite this shows the change of converged frames up to 2.4 times too
small."""
ROUND_OFF = 1e-7
"""Frames are kept in single precision."""


class Setting(NamedTuple):
    """What all cases have in common.

    grid: of the students. frames: that are predicted. frame_step: time between them. tolerance: errors of the time step
    above it are refined where that is affordable; nothing is aborted.
    """

    grid: Grid1D
    frames: int
    frame_step: float
    tolerance: float = 5e-3

    @property
    def following(self) -> int:
        """Frames of the reference after the first."""
        return self.frames + LEAD


class Solved(NamedTuple):
    """The truth of one case."""

    frames: np.ndarray  # complex64 (frames + 1 + LEAD, n)
    error: float  # estimated relative L2 error of the last frame
    finer: int = 1  # points of the grid it was computed on for one of the student's


class Reference(NamedTuple):
    """True frames of some cases, and what the paper's three-point Laplacian makes of them."""

    items: tuple[Item, ...]
    grid: Grid1D
    frame_step: float
    states: np.ndarray  # (cases, n)
    fields: np.ndarray  # (cases, n)
    frames: np.ndarray  # complex64 (cases, frames + 1 + LEAD, n)
    paper: np.ndarray | None  # the same for the three-point Laplacian
    errors: np.ndarray  # (cases,), estimated relative L2 error of the last frame
    finer: np.ndarray  # (cases,), points of the grid it was computed on for one of the student's

    @property
    def error(self) -> float:
        """Largest error of a case."""
        return float(np.max(self.errors))


def reference(
    items: Sequence[Item], grid: Grid1D, frames: int, frame_step: float, *, tolerance: float = 5e-3, paper: bool = True
) -> Reference:
    """Compute the truth for some cases.

    Args:
        items: the cases. grid, frames, frame_step, tolerance: see ``Setting``.
        paper: compute the three-point solver's frames too.

    Raises:
        InputError: a packet the grid cannot carry, a potential with NaN.
    """
    setting = Setting(grid, frames, frame_step, tolerance)
    solved = [solve_case(item, setting) for item in items]
    return assembled(items, setting, solved, three_point(items, setting) if paper else None)


def assembled(items: Sequence[Item], setting: Setting, solved: Sequence[Solved], paper: np.ndarray | None) -> Reference:
    """All cases together.

    Args:
        solved: the truth of each. paper: from ``three_point``.
    """
    frames, errors, finer = (np.stack(column) for column in zip(*solved, strict=True))
    states, fields = drawn(items, setting.grid)
    return Reference(tuple(items), setting.grid, setting.frame_step, states, fields, frames, paper, errors, finer)


def drawn(items: Sequence[Item], grid: Grid1D) -> tuple[np.ndarray, np.ndarray]:
    """Initial states and potentials, (cases, n)."""
    return np.stack([item.state(grid) for item in items]), np.stack([item.potential(grid) for item in items])


def solve_case(item: Item, setting: Setting, piece: Piece = at_once) -> Solved:
    """The truth of one case."""
    grid, count, dt = setting.grid, setting.following, setting.frame_step
    psi, field = item.state(grid), item.potential(grid)
    found = _in_time(psi, field, count, Box(grid, dt), min(setting.tolerance, 1e-5), piece)
    error = found.error + _grid_error(psi, field, count, Box(grid, dt), piece) + ROUND_OFF
    return Solved(found.frames.astype(np.complex64), error)


def three_point(items: Sequence[Item], setting: Setting, piece: Piece = at_once) -> np.ndarray | None:
    """Frames of the three-point Laplacian, as those of ``Reference``; None where its time step does not converge."""
    states, fields = drawn(items, setting.grid)
    solver = Solver(laplacian="fd2", tolerance=setting.tolerance)
    try:
        found = solve(
            states, fields, setting.following, grid=setting.grid, dt=setting.frame_step, solver=solver, piece=piece
        )
    except PhysicsError:
        return None
    return found.frames.astype(np.complex64)


class Box(NamedTuple):
    """Where a case is solved: the grid, the time between frames, and the band limit of the kinetic energy."""

    grid: Grid1D
    dt: float
    kcut: float | None = None


class _Timed(NamedTuple):
    """Frames of one case and the error of their time step."""

    frames: np.ndarray
    error: float


def _in_time(psi: np.ndarray, field: np.ndarray, count: int, box: Box, goal: float, piece: Piece) -> _Timed:
    """Frames whose time step is converged to ``goal``, or as far as ``WORK`` reaches."""
    if box.grid.n <= EXACT_POINTS:
        return _Timed(_solved(psi, field, count, box, Solver("exact"), piece), 0.0)
    substeps, coarse = least_substeps(kinetic(box.grid, kcut=box.kcut), box.dt), None
    while True:
        fine = _solved(psi, field, count, box, Solver("bm4", check=False, substeps=substeps), piece)
        if coarse is not None:
            error = _distance(coarse[-1], fine[-1]) / 15  # of the finer one, order 4
            if error <= goal or 12 * substeps * count * box.grid.n > WORK:
                return _Timed(fine, error)
        coarse, substeps = fine, 2 * substeps


def _solved(psi: np.ndarray, field: np.ndarray, count: int, box: Box, solver: Solver, piece: Piece) -> np.ndarray:
    solver = solver._replace(kcut=box.kcut)
    return solve(psi, field, count, grid=box.grid, dt=box.dt, solver=solver, piece=piece).frames


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def finer_state(values: np.ndarray, factor: int) -> np.ndarray:
    """The same function on a grid with ``factor`` points for one, joined by its Fourier series: (..., factor n)."""
    n, half = values.shape[-1], values.shape[-1] // 2
    spectrum = np.fft.fft(values, axis=-1)
    out = np.zeros((*values.shape[:-1], factor * n), complex)
    out[..., : half + 1], out[..., -half:] = spectrum[..., : half + 1], spectrum[..., -half:]
    if n % 2 == 0:
        out[..., half], out[..., -half] = spectrum[..., half] / 2, spectrum[..., half] / 2
    return np.fft.ifft(out, axis=-1) * factor


def _grid_error(psi: np.ndarray, field: np.ndarray, count: int, box: Box, piece: Piece) -> float:
    """Relative L2 change of the last frame on a grid twice as fine, with a margin.

    Both run with the same splitting and step, so that the error of the step drops out; what is left of it is in the
    margin.
    """
    fine = _finer(box.grid, 2)
    limit = BAND * fine.momentum_limit
    solver = Solver("strang", substeps=least_substeps(kinetic(fine, kcut=limit), box.dt), check=False)
    here = _solved(psi, field, count, box, solver, piece)[-1]
    psi, field = finer_state(psi, 2), np.real(finer_state(field, 2))
    there = _solved(psi, field, count, Box(fine, box.dt, limit), solver, piece)[-1, ::2]
    return MARGIN * _distance(here, there)


def _finer(grid: Grid1D, factor: int) -> Grid1D:
    return Grid1D(grid.length, factor * grid.n)


def sharpen(truth: Reference, goals: np.ndarray) -> Reference:
    """The truth again, on finer grids and with finer steps, for the cases whose error is above their goal.

    Args:
        truth: from ``reference``. goals: (cases,) largest errors wanted; infinite where any will do.

    Returns:
        The same object where nothing is to be done, or nothing more can be afforded.
    """
    setting = Setting(truth.grid, truth.frames.shape[1] - 1 - LEAD, truth.frame_step)
    before = [Solved(*row) for row in zip(truth.frames, truth.errors, truth.finer, strict=True)]
    wanting = [i for i, one in enumerate(before) if can_be_sharper(one.error, one.finer, goals[i], setting)]
    after = {i: sharpen_case(truth.items[i], before[i], goals[i], setting) for i in wanting}
    solved = [after.get(i, one) for i, one in enumerate(before)]
    return assembled(truth.items, setting, solved, truth.paper) if wanting else truth


def can_be_sharper(error: float, finer: int, goal: float, setting: Setting) -> bool:
    """Whether a case is to be solved again on a finer grid: its error is above its goal, and it can be afforded."""
    return error > goal and affordable(setting.grid, 2 * int(finer), setting.following, setting.frame_step)


def sharpen_case(item: Item, solved: Solved, goal: float, setting: Setting, piece: Piece = at_once) -> Solved:
    """One case on finer and finer grids, until its error is below ``goal`` or no more can be afforded."""
    count = setting.following
    while can_be_sharper(solved.error, solved.finer, goal, setting):
        factor = 2 * int(solved.finer)
        grid = _finer(setting.grid, factor)
        psi = finer_state(item.state(setting.grid), factor)
        field = np.real(finer_state(item.potential(setting.grid), factor))
        box = Box(grid, setting.frame_step, BAND * grid.momentum_limit)
        found = _in_time(psi, field, count, box, float(goal) / 4, piece)
        error = found.error + _grid_error(psi, field, count, box, piece) + ROUND_OFF
        solved = Solved(found.frames[:, ::factor].astype(np.complex64), error, factor)
    return solved


def affordable(grid: Grid1D, factor: int, count: int, dt: float) -> bool:
    """Whether one case can be solved on a grid so many times finer, with two step sizes."""
    fine = _finer(grid, factor)
    substeps = least_substeps(kinetic(fine, kcut=BAND * fine.momentum_limit), dt)
    return factor <= FINEST and 3 * 6 * substeps * count * fine.n <= WORK


def goals_of(students: Sequence[Sequence[dict[str, Any]]]) -> np.ndarray:
    """Errors a reference may have, case by case: a tenth of the best student's at the last frame.

    Args:
        students: for each of them its records of all cases.
    """
    errors = [[math.inf if case["rel_l2"] is None else case["rel_l2"] for case in cases] for cases in students]
    return np.min(errors, axis=0) / SHARPER
