"""``wf.propagate``: the Schroedinger equation for whatever potential a user has."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from wavefoundry.core.expect import expect
from wavefoundry.problems import driven
from wavefoundry.problems.grid import Grid, Grid1D
from wavefoundry.problems.schrodinger import solve
from wavefoundry.problems.splitting import Laplacian, Method, Solver


def propagate(  # noqa: PLR0913 - one for each option
    psi0: Any, potential: Any, frames: int, *, grid: Grid | None = None, dt: float = 0.1, method: Method = "strang",
    substeps: int | Literal["auto"] = "auto", laplacian: Laplacian = "spectral", kcut: float | None = None,
    tolerance: float = 1e-2, check: bool = True,
) -> np.ndarray:  # fmt: skip
    """Solve the time-dependent Schroedinger equation i dpsi/dt = (-Laplacian/2 + V) psi in a periodic box.

    Args:
        psi0: initial state(s), shape (*grid) or (batch, *grid); or a ``Packet``, a list of packets to superpose, a
            function of x.
        potential: potential(s), the same shapes; one potential may serve a batch. Or a function of x, a table as in a
            study file, a list of tables (a sum), or the path of a file. A function of x and t (in a plane of x, y and
            t) changes with time, t = 0 at psi0. Complex values V - i W with W >= 0 absorb.
        frames: number of frames after the first.
        grid: ``Grid1D`` (default: 1024 points, length 100) or ``Grid2D``.
        dt: time between frames.
        method: "strang" (order 2), "bm4" (Blanes-Moan, order 4, six stages), "exact" (diagonalisation, 1D); the last
            two for real potentials that stand still.
        substeps: steps per frame, or "auto".
        laplacian: "spectral", or "fd2" for the three-point Laplacian of arXiv 2203.10200.
        kcut: band limit of the kinetic energy.
        tolerance: largest relative L2 error, as estimated by halving the step; of a batch, for its hardest members.
        check: False hands out data that may not be converged.

    Returns:
        complex128 frames, psi0 first: (frames + 1, *grid), with the batch axis in front.

    Raises:
        InputError: shapes that do not fit, values that are not finite, a potential that creates norm, a step at or
            beyond the resonance limit.
        PhysicsError: not converged under halving the step.
    """
    solver = Solver(method, laplacian, kcut, substeps, tolerance, check)
    grid = Grid1D() if grid is None else grid
    expect(grid, Grid, "grid", where="propagate", fix="wf.Grid1D(100.0, 1024), for example")
    field = driven.field_of(potential, grid)
    if field is not None:
        return driven.propagate(psi0, field, frames, grid, dt, solver)
    return solve(psi0, potential, frames, grid=grid, dt=dt, solver=solver).frames
