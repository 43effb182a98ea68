"""How time is split into steps: schemes, their resonance limit, and what cannot give the physics."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import count_of, flag_of, number_of, one_of
from wavefoundry.problems.grid import Grid

Laplacian = Literal["spectral", "fd2"]
Method = Literal["strang", "bm4", "exact"]
RESONANCE = 2 * math.pi
SAFE = 0.8
MAX_EXACT = 4096
MOST_SUBSTEPS = 1_000_000
"""Of a frame: some seconds of a core."""


class Scheme(NamedTuple):
    """Coefficients of a splitting V0 T0 V1 T1 ... V_m, and the order of its error."""

    kicks: tuple[float, ...]
    drifts: tuple[float, ...]
    order: int


def _blanes_moan() -> Scheme:
    a1, a2, a3 = 0.0792036964311957, 0.353172906049774, -0.0420650803577195
    b1, b2 = 0.209515106613362, -0.143851773179818
    a4, b3 = 1 - 2 * (a1 + a2 + a3), 0.5 - (b1 + b2)
    return Scheme((a1, a2, a3, a4, a3, a2, a1), (b1, b2, b3, b3, b2, b1), 4)


SCHEMES = {"strang": Scheme((0.5, 0.5), (1.0,), 2), "bm4": _blanes_moan()}
"""Splittings by name. Source of bm4: Blanes and Moan, J. Comput. Appl. Math. 142, 313 (2002), S6 of order 4."""


def kinetic(grid: Grid, laplacian: Laplacian = "spectral", kcut: float | None = None) -> np.ndarray:
    """Kinetic energy of every momentum of the grid, shape of the grid.

    Args:
        grid: the box.
        laplacian: "spectral" (k^2/2), or "fd2", the three-point Laplacian (1 - cos k dx) / dx^2.
        kcut: momenta above it get the kinetic energy of ``kcut`` (band limit).
    """
    total = np.zeros(grid.shape)
    for number, dx in enumerate(grid.spacing):
        k = np.abs(grid.momenta(number))
        k = k if kcut is None else np.minimum(k, kcut)
        energy = k**2 / 2 if laplacian == "spectral" else (1 - np.cos(k * dx)) / dx**2
        shape = [1] * len(grid.shape)
        shape[number] = -1
        total = total + energy.reshape(shape)
    return total


class Solver(NamedTuple):
    """How to propagate: everything but the state, the potential and the time.

    ``substeps`` is the number of steps per frame, or "auto": as few as the resonance rule allows, then doubled until
    the change under halving the step is below ``tolerance`` (relative L2 of the last frame). ``check`` False hands out
    data without that comparison.
    """

    method: Method = "strang"
    laplacian: Laplacian = "spectral"
    kcut: float | None = None
    substeps: int | Literal["auto"] = "auto"
    tolerance: float = 1e-2
    check: bool = True


def least_substeps(energy: np.ndarray, dt: float) -> int:
    """Fewest steps per frame that stay clear of resonances: h T_max <= 0.8 * 2 pi."""
    return max(1, math.ceil(dt * float(energy.max()) / (SAFE * RESONANCE) - 1e-9))


def share_beyond(states: np.ndarray, grid: Grid, limit: float) -> float:
    """Largest share of probability of a batch with a momentum above ``limit`` along any axis."""
    axes = tuple(range(1, states.ndim))
    spectrum = np.abs(np.fft.fftn(states, axes=axes)) ** 2
    fast = np.zeros(grid.shape, bool)
    for axis in range(len(grid.shape)):
        k = np.abs(grid.momenta(axis)) > limit
        fast |= k.reshape([-1 if a == axis else 1 for a in range(len(grid.shape))])
    return float(np.max(np.sum(spectrum * fast, axis=axes) / np.sum(spectrum, axis=axes)))


def check_step(grid: Grid, dt: float, solver: Solver) -> None:
    """Refuse settings that cannot give the physics.

    Raises:
        InputError: unknown method, a step at or beyond the resonance limit, a band limit beyond the grid.
    """
    where = "propagate"
    one_of(solver.method, (*SCHEMES, "exact"), f"there is no method {solver.method!r:.60}", where=where)
    one_of(solver.laplacian, ("spectral", "fd2"), f"there is no laplacian {solver.laplacian!r:.60}", where=where)
    if not number_of(dt, "time between frames", where=where) > 0:
        raise InputError(f"frames of {dt} cannot be computed", where=where, why="the time between them is positive")
    flag_of(solver.check, "check", where=where)
    if not number_of(solver.tolerance, "tolerance", where=where) > 0:
        raise InputError(f"tolerance = {solver.tolerance} is not possible", where=where, why="it is positive")
    if solver.kcut is not None and not 0 < number_of(solver.kcut, "kcut", where=where) <= grid.momentum_limit:
        why = f"the grid carries momenta up to pi / dx = {grid.momentum_limit:.4g}"
        raise InputError(f"kcut = {solver.kcut} is not possible", where=where, why=why)
    if solver.method == "exact":
        if len(grid.shape) > 1 or math.prod(grid.shape) > MAX_EXACT:
            why = f"it needs a line of at most {MAX_EXACT} points"
            raise InputError("exact diagonalisation is not possible here", where=where, why=why, fix='method = "bm4"')
        return
    energy = kinetic(grid, solver.laplacian, solver.kcut)
    if isinstance(solver.substeps, str) and solver.substeps == "auto":
        if least_substeps(energy, dt) > MOST_SUBSTEPS:
            what = f"a frame of {dt:g} takes more than {MOST_SUBSTEPS} substeps"
            raise InputError(what, where=where, fix="frames closer together, a coarser grid, or a kcut")
        return
    substeps = count_of(solver.substeps, "number of substeps", where=where, least=1, most=MOST_SUBSTEPS)
    top = float(energy.max())
    largest = max(abs(b) for b in SCHEMES[solver.method].drifts)
    if dt / substeps * top * largest >= RESONANCE:
        raise InputError(
            f"the time step {dt / substeps:.4g} is beyond the resonance limit",
            where=where,
            why=f"step * T_max must stay below 2 pi; T_max = {top:.4g}: below {RESONANCE / top / largest:.4g}",
            fix=f'substeps = "auto", at least {math.ceil(dt * top * largest / (SAFE * RESONANCE))}, or a kcut',
        )
