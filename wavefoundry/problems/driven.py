"""Potentials that change with time, or that absorb: Strang steps with the potential in the middle of each.

V(x, t) is a function of time. A complex potential, V = U - i W with W >= 0, absorbs: it takes norm away where W is.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import numbers_of
from wavefoundry.problems.grid import Grid, require_frames
from wavefoundry.problems.potentials import Potential, evaluated
from wavefoundry.problems.schrodinger import (
    check_band,
    check_values,
    converged,
    first_substeps,
    one_for_each,
    states_of,
)
from wavefoundry.problems.splitting import Solver, check_step, kinetic

WHERE = "propagate"
TIMES = ("t", "time", "tau")
"""What a user calls the time: f(x, y) of a line is a mistake and no function of time."""
Field = Callable[[float], np.ndarray]
"""Values of a potential at a time: (*grid) or (batch, *grid)."""


def takes_time(potential: Any, axes: int) -> bool:
    """Whether a function of the user takes the time after the coordinates: an argument called t, time or tau."""
    if not callable(potential) or isinstance(potential, Potential):
        return False
    try:
        given = inspect.signature(potential).parameters.values()
    except (TypeError, ValueError):  # a function without a signature, as those of NumPy
        return False
    places = [one for one in given if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one.name for one in places if one.default is one.empty]
    return len(needed) == axes + 1 and needed[-1] in TIMES


def field_of(potential: Any, grid: Grid) -> Field | None:
    """The potential as a function of time; None of real ones that stand still.

    Raises:
        InputError: it cannot be evaluated, or has another shape.
    """
    if hasattr(potential, "potential") and hasattr(potential, "state"):  # a case
        potential = potential.potential
    places = [grid.axis(number) for number in range(len(grid.shape))]
    axes = np.meshgrid(*places, indexing="ij")
    if takes_time(potential, len(axes)):
        return lambda time: _checked(evaluated(lambda *x: potential(*x, time), "potential", *axes), grid, time)
    if isinstance(potential, Potential):
        return None
    if callable(potential):
        values = evaluated(potential, "potential", *axes)
    elif isinstance(potential, np.ndarray | jax.Array) or _numbers(potential):
        values = numbers_of(potential, "potential", where="potential")
    else:
        return None
    if not np.iscomplexobj(values):
        return None
    fixed = _checked(values, grid, None)
    return lambda time: fixed


def _numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(one, complex | np.ndarray) for one in value)


def _checked(values: np.ndarray, grid: Grid, time: float | None) -> np.ndarray:
    """Finite values of the shape of the grid, none of which creates norm."""
    at = "" if time is None else f" at t = {time:.4g}"
    check_values("the potential", values, grid, at)
    if np.iscomplexobj(values) and np.any(np.imag(values) > 0):
        why = f"its imaginary part reaches {np.imag(values).max():.4g}{at}, which creates norm"
        raise InputError("the potential does not absorb", where=WHERE, why=why, fix="V - 1j * W with W >= 0")
    return values


@jax.jit
def _frame(
    psi: Complex[Array, "batch *n"], fields: Array, drift: Complex[Array, "*n"], h: Array
) -> Complex[Array, "batch *n"]:
    """One frame; fields (substeps, 1 or batch, *n), in the middle of every step."""
    axes = tuple(range(1, psi.ndim))

    def step(psi: Array, field: Array) -> tuple[Array, None]:
        kick = jnp.exp(-0.5j * h * field)
        return kick * jnp.fft.ifftn(drift * jnp.fft.fftn(kick * psi, axes=axes), axes=axes), None

    return jax.lax.scan(step, psi, fields)[0]


def propagate(psi0: Any, field: Field, frames: int, grid: Grid, dt: float, solver: Solver) -> np.ndarray:
    """As ``schrodinger.solve``, of a potential from ``field_of``; the norm is that of psi0 minus what is absorbed.

    Raises:
        InputError: shapes that do not fit, values that are not finite, a method other than "strang".
        PhysicsError: not converged under halving the step.
    """
    if solver.method != "strang":
        what, why = f"method {solver.method!r} is not possible here", "the potential changes with time, or absorbs"
        raise InputError(what, where=WHERE, why=why, fix='method = "strang"')
    states, single = states_of(psi0, grid)
    frames = require_frames(len(states), frames, grid, WHERE)
    check_step(grid, dt, solver)
    check_band(states, grid, solver.kcut)
    energy = kinetic(grid, solver.laplacian, solver.kcut)

    def run(substeps: int) -> np.ndarray:
        h = dt / substeps
        drift, out = jnp.exp(-1j * h * energy), np.empty((len(states), frames + 1, *grid.shape), np.complex128)
        out[:, 0] = states
        for frame in range(frames):
            times = [frame * dt + (step + 0.5) * h for step in range(substeps)]
            each = [one_for_each(field(time), states, grid, WHERE) for time in times]
            out[:, frame + 1] = _frame(jnp.asarray(out[:, frame]), jnp.asarray(np.stack(each)), drift, jnp.asarray(h))
        return out

    substeps = first_substeps(energy, dt, solver)
    if solver.check:
        substeps, _ = converged(run, substeps, dt, solver, grid.norm(states) / math.prod(grid.spacing))
    out = run(substeps)
    return out[0] if single else out
