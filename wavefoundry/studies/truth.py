"""The truth that students are judged by, case by case, with an error of its own that is known and small enough.

Two errors are told apart. That of time: up to 1024 points the frames come from exact diagonalisation and have none;
beyond, a splitting of order 4 is halved until it is converged. That of the grid: what changes on a grid twice as fine,
with the same potential (its points joined by their Fourier series) and the same packet. The problem itself is the one
on the student's grid and in its periodic box: a barrier is the points inside it, and a packet that leaves on the right
comes back on the left.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.errors import PhysicsError
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import Item
from wavefoundry.problems.schrodinger import Solver, kinetic, least_substeps, solve

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


class _Timed(NamedTuple):
    """Frames of one case and the error of their time step."""

    frames: np.ndarray
    error: float


def reference(
    items: Sequence[Item], grid: Grid1D, frames: int, frame_step: float, *, tolerance: float = 5e-3,
    paper: bool = True, after: Callable[[], Any] = lambda: None,
) -> Reference:  # fmt: skip
    """Compute the truth for some cases.

    Args:
        items: the cases. grid: the students' grid. frames: predicted frames. frame_step: time between them.
        tolerance: errors of the time step above it are refined where that is affordable; nothing is aborted.
        paper: compute the three-point solver's frames too. after: called after every case.

    Raises:
        InputError: a packet the grid cannot carry, a potential with NaN.
    """
    states = np.stack([item.state(grid) for item in items])
    fields = np.stack([item.potential(grid) for item in items])
    count = frames + LEAD
    out, errors = np.empty((len(items), count + 1, grid.n), np.complex64), np.zeros(len(items))
    for i in range(len(items)):
        found = _in_time(states[i], fields[i], count, grid, frame_step, min(tolerance, 1e-5))
        out[i], errors[i] = found.frames, found.error
        after()
    errors = errors + grid_errors(states, fields, count, grid, frame_step) + ROUND_OFF
    coarse = _three_point(states, fields, count, grid, frame_step, tolerance) if paper else None
    return Reference(tuple(items), grid, frame_step, states, fields, out, coarse, errors, np.ones(len(items), int))


def _three_point(
    states: np.ndarray, fields: np.ndarray, count: int, grid: Grid1D, dt: float, tolerance: float
) -> np.ndarray | None:
    """Frames of the three-point Laplacian; None where its time step does not converge."""
    try:
        found = solve(states, fields, count, grid=grid, dt=dt, solver=Solver(laplacian="fd2", tolerance=tolerance))
    except PhysicsError:
        return None
    return found.frames.astype(np.complex64)


def _in_time(
    psi: np.ndarray, field: np.ndarray, count: int, grid: Grid1D, dt: float, goal: float, kcut: float | None = None
) -> _Timed:
    """Frames whose time step is converged to ``goal``, or as far as ``WORK`` reaches."""
    if grid.n <= EXACT_POINTS:
        return _Timed(solve(psi, field, count, grid=grid, dt=dt, solver=Solver("exact", kcut=kcut)).frames, 0.0)
    solver = Solver("bm4", kcut=kcut, check=False)
    substeps, coarse = least_substeps(kinetic(grid, kcut=kcut), dt), None
    while True:
        fine = solve(psi, field, count, grid=grid, dt=dt, solver=solver._replace(substeps=substeps)).frames
        if coarse is not None:
            error = _distance(coarse[-1], fine[-1]) / 15  # of the finer one, order 4
            if error <= goal or 12 * substeps * count * grid.n > WORK:
                return _Timed(fine, error)
        coarse, substeps = fine, 2 * substeps


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


def grid_errors(
    states: np.ndarray, fields: np.ndarray, count: int, grid: Grid1D, dt: float, kcut: float | None = None
) -> np.ndarray:
    """Relative L2 change of the last frame on a grid twice as fine, with a margin, (cases,).

    Both run with the same splitting and step, so that the error of the step drops out; what is left of it is in the
    margin.
    """
    fine = Grid1D(grid.length, 2 * grid.n)
    limit = BAND * fine.momentum_limit
    substeps = least_substeps(kinetic(fine, kcut=limit), dt)
    last = []
    for box, factor in ((grid, 1), (fine, 2)):
        psi, v = (states, fields) if factor == 1 else (finer_state(states, 2), np.real(finer_state(fields, 2)))
        solver = Solver("strang", kcut=limit if factor == 2 else kcut, substeps=substeps, check=False)
        runs = [solve(p, f, count, grid=box, dt=dt, solver=solver) for p, f in zip(psi, v, strict=True)]
        last.append(np.stack([run.frames[-1, ::factor] for run in runs]))
    return MARGIN * np.array([_distance(a, b) for a, b in zip(*last, strict=True)])


def sharpen(truth: Reference, goals: np.ndarray, after: Callable[[], Any] = lambda: None) -> Reference:
    """The truth again, on finer grids and with finer steps, for the cases whose error is above their goal.

    Args:
        truth: from ``reference``. goals: (cases,) largest errors wanted; infinite where any will do.
        after: called after every refinement.

    Returns:
        The same object where nothing is to be done, or nothing more can be afforded.
    """
    frames, errors, finer = truth.frames, truth.errors.copy(), truth.finer.copy()
    count, changed = truth.frames.shape[1] - 1, False
    for i in np.flatnonzero(errors > goals):
        while errors[i] > goals[i] and affordable(truth.grid, 2 * int(finer[i]), count, truth.frame_step):
            factor = 2 * int(finer[i])
            box = Grid1D(truth.grid.length, factor * truth.grid.n)
            psi, v = finer_state(truth.states[i], factor), np.real(finer_state(truth.fields[i], factor))
            limit = BAND * box.momentum_limit
            found = _in_time(psi, v, count, box, truth.frame_step, float(goals[i]) / 4, limit)
            of_grid = grid_errors(psi[None], v[None], count, box, truth.frame_step, limit)[0]
            error = found.error + float(of_grid) + ROUND_OFF
            if not changed:
                frames, changed = frames.copy(), True
            frames[i], errors[i], finer[i] = found.frames[:, ::factor], error, factor
            after()
    return truth._replace(frames=frames, errors=errors, finer=finer) if changed else truth


def affordable(grid: Grid1D, factor: int, count: int, dt: float) -> bool:
    """Whether one case can be solved on a grid so many times finer, with two step sizes."""
    fine = Grid1D(grid.length, factor * grid.n)
    substeps = least_substeps(kinetic(fine, kcut=BAND * fine.momentum_limit), dt)
    return factor <= FINEST and 3 * 6 * substeps * count * fine.n <= WORK


def goals_of(students: Sequence[Sequence[dict[str, Any]]]) -> np.ndarray:
    """Errors a reference may have, case by case: a tenth of the best student's at the last frame.

    Args:
        students: for each of them its records of all cases.
    """
    errors = [[math.inf if case["rel_l2"] is None else case["rel_l2"] for case in cases] for cases in students]
    return np.min(errors, axis=0) / SHARPER
