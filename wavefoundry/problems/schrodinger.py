"""The teacher: i dpsi/dt = (T + V) psi on a periodic grid, by operator splitting or exactly (hbar = m = 1).

Splitting multiplies by exp(-i a h V) in space and by exp(-i b h T) in momentum space. On a grid with largest kinetic
energy T_max, steps h with h T_max >= 2 pi couple momenta that energy conservation forbids; they are refused. What
is handed out is compared with a run at half the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from wavefoundry.core import types as _types  # noqa: F401 - switches JAX to 64-bit mode
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.expect import expect
from wavefoundry.core.pieces import Piece, at_once, even_length
from wavefoundry.problems.grid import Grid, Grid1D, require_frames
from wavefoundry.problems.potentials import values_of
from wavefoundry.problems.splitting import (
    SCHEMES,
    Laplacian,
    Scheme,
    Solver,
    check_step,
    kinetic,
    least_substeps,
    share_beyond,
)
from wavefoundry.problems.wavepackets import state_of

DOUBLINGS = 7
BAND_SHARE = 1e-3
"""Of the probability of a state that may lie beyond a band limit."""
PIECE_WORK = 2**27
"""Grid points times evaluations of a splitting in one piece: some seconds of a core."""


class Solution(NamedTuple):
    """Frames and how they were made. ``error`` is the estimated relative L2 error of the last frame (nan: unknown)."""

    frames: np.ndarray  # (..., frames + 1, *grid)
    substeps: int
    error: float


def _split(
    psi0: Complex[Array, "*n"], potential: Float[Array, "*n"], energy: Float[Array, "*n"], dt: Array,
    substeps: Array, scheme: Scheme, frames: int,
) -> Complex[Array, "frames+1 *n"]:  # fmt: skip
    """All frames of one configuration; the number of substeps is data, so that one program serves any."""
    h = dt / substeps
    ring = (*scheme.kicks[1:-1], scheme.kicks[-1] + scheme.kicks[0])  # last and first kick of neighbours merge
    kicks = [jnp.exp(-1j * h * a * potential) for a in ring]
    drifts = [jnp.exp(-1j * h * b * energy) for b in scheme.drifts]
    first = jnp.exp(-1j * h * scheme.kicks[0] * potential)

    def substep(_: Any, psi: Array) -> Array:
        for kick, drift in zip(kicks, drifts, strict=True):
            psi = kick * jnp.fft.ifftn(drift * jnp.fft.fftn(psi))
        return psi

    def frame(psi: Array, _: None) -> tuple[Array, Array]:
        psi = jax.lax.fori_loop(0, substeps, substep, first * psi) * jnp.conj(first)
        return psi, psi

    _, rest = jax.lax.scan(frame, psi0, None, length=frames)
    return jnp.concatenate([psi0[None], rest])


@partial(jax.jit, static_argnums=(5, 6))
def _split_many(psi0: Any, potential: Any, energy: Any, dt: Any, substeps: Any, scheme: Scheme, frames: int) -> Any:
    """A batch of configurations."""
    return jax.vmap(lambda p, v: _split(p, v, energy, dt, substeps, scheme, frames))(psi0, potential)


def solve(
    psi0: np.ndarray, potential: np.ndarray, frames: int, *, grid: Grid | None = None, dt: float = 0.1,
    solver: Solver | None = None, piece: Piece = at_once,
) -> Solution:  # fmt: skip
    """Propagate one state or a batch; see ``propagation.propagate`` for the arguments.

    Args:
        piece: does the work piece by piece.

    Raises:
        InputError: shapes that do not fit, values that are not finite, a step at or beyond the resonance limit.
        PhysicsError: not converged under halving the step.
    """
    grid, solver = Grid1D() if grid is None else grid, solver or Solver()
    expect(grid, Grid, "grid", where="propagate", fix="wf.Grid1D(100.0, 1024), for example")
    states, landscapes, single = _batches(psi0, potential, grid)
    frames = require_frames(len(states), frames, grid, "propagate")
    check_step(grid, dt, solver)
    check_band(states, grid, solver.kcut)
    if solver.method == "exact":
        frames_out = _exact(states, landscapes, frames, grid, dt, solver, piece)
        return Solution(frames_out[0] if single else frames_out, 0, 0.0)
    energy = kinetic(grid, solver.laplacian, solver.kcut)
    if not solver.check:
        substeps, error = first_substeps(energy, dt, solver), math.nan
    else:
        substeps, error = converge(states, landscapes, frames, grid=grid, dt=dt, solver=solver, piece=piece)
    out = _in_chunks(states, landscapes, _Steps(energy, dt, SCHEMES[solver.method], substeps), frames, piece)
    return Solution(out[0] if single else out, substeps, error)


def check_band(states: np.ndarray, grid: Grid, kcut: float | None) -> None:
    """Refuse states that a band limit would slow down."""
    if kcut is None or (share := share_beyond(states, grid, kcut)) <= BAND_SHARE:
        return
    why = f"a share {share:.2g} of it has momenta beyond, which would move as if they had those of kcut"
    raise InputError(f"kcut = {kcut:g} is too low for psi0", where="propagate", why=why, fix="a larger kcut")


def converge(
    states: np.ndarray, landscapes: np.ndarray, frames: int, *, grid: Grid, dt: float, solver: Solver,
    piece: Piece = at_once,
) -> tuple[int, float]:  # fmt: skip
    """Substeps per frame that pass the test of halving the step, for the hardest members of a batch.

    Args:
        states: (batch, *grid). landscapes: the same shape. frames, grid, dt, solver, piece: as for ``solve``.

    Returns:
        Number of substeps, and the estimated relative L2 error of the last frame.

    Raises:
        PhysicsError: not converged.
    """
    energy = kinetic(grid, solver.laplacian, solver.kcut)
    first = first_substeps(energy, dt, solver)
    probe = _hardest(states, landscapes, _Steps(energy, dt, SCHEMES[solver.method], first), frames, piece)

    def run(substeps: int) -> np.ndarray:
        steps = _Steps(energy, dt, SCHEMES[solver.method], substeps)
        return _in_chunks(states[probe], landscapes[probe], steps, frames, piece, last=True)

    return converged(run, first, dt, solver)


def energy_of(psi: np.ndarray, potential: np.ndarray, grid: Grid, laplacian: Laplacian = "spectral") -> np.ndarray:
    """Mean energy <T + V> of (normalised) states, leading axes kept; nan where a state is not finite."""
    axes = tuple(range(-len(grid.shape), 0))
    with np.errstate(all="ignore"):
        density = np.abs(psi) ** 2
        spectrum = np.abs(np.fft.fftn(psi, axes=axes)) ** 2
        moved = np.sum(spectrum * kinetic(grid, laplacian), axis=axes) / np.sum(spectrum, axis=axes)
        return moved + np.sum(density * potential, axis=axes) / np.sum(density, axis=axes)


def _batches(psi0: Any, potential: Any, grid: Grid) -> tuple[np.ndarray, np.ndarray, bool]:
    given = values_of(potential, grid)
    states, single = states_of(psi0, grid)
    if np.iscomplexobj(given):
        raise InputError("the potential is complex", where="potential", why="only real potentials conserve the norm")
    landscapes = np.asarray(given, np.float64)
    check_values("potential", landscapes, grid)
    return states, one_for_each(landscapes, states, grid, "propagate"), single


def states_of(psi0: Any, grid: Grid) -> tuple[np.ndarray, bool]:
    """Initial states, (batch, *grid), complex128, and whether it was a single one.

    Raises:
        InputError: another shape, values that are not finite, or nothing but zeros.
    """
    states = state_of(psi0, grid).astype(np.complex128)
    single = states.ndim == len(grid.shape)
    check_values("psi0", states, grid)
    states = states[None] if single else states
    if not np.all(grid.norm(states) > 0):
        raise InputError("psi0 is zero everywhere", where="propagate", why="it has no norm")
    return states, single


def check_values(name: str, array: np.ndarray, grid: Grid, at: str = "") -> None:
    """Refuse values that do not fit a grid or are not finite; at: when, in words.

    Raises:
        InputError: naming what it is.
    """
    if array.shape[-len(grid.shape) :] != grid.shape or array.ndim > len(grid.shape) + 1:
        what = f"{name} has shape {array.shape}{at}"
        raise InputError(what, where="propagate", why=f"the grid has shape {grid.shape}")
    if not np.all(np.isfinite(array)):
        raise InputError(f"{name} has values that are not finite{at}", where="propagate", why="NaN or infinity")


def one_for_each(landscapes: np.ndarray, states: np.ndarray, grid: Grid, where: str) -> np.ndarray:
    """A potential for every state, (batch, *grid), from one or as many as there are states.

    Raises:
        InputError: another number of them.
    """
    if landscapes.ndim > len(grid.shape) and len(landscapes) not in (1, len(states)):
        why = f"{len(landscapes)} potentials for {len(states)} states"
        fix = "one potential for each state; one that changes with time is a function of x and t"
        raise InputError("potentials and states do not fit", where=where, why=why, fix=fix)
    return np.broadcast_to(landscapes, states.shape)


class _Steps(NamedTuple):
    """How a frame is split up."""

    energy: np.ndarray
    dt: float
    scheme: Scheme
    substeps: int

    def members(self, batch: int) -> int:
        """Members of a batch in one chunk: what fits the cache, about 16 one-dimensional states."""
        return max(1, min(batch, 2**14 // max(1, self.energy.size)))

    def longest(self, batch: int) -> int:
        """Frames of a batch that make one piece of work."""
        return PIECE_WORK // (batch * self.energy.size * self.substeps * len(self.scheme.drifts))


def _in_chunks(
    states: np.ndarray, landscapes: np.ndarray, steps: _Steps, frames: int, piece: Piece, last: bool = False
) -> np.ndarray:
    """Batches in chunks that fit the cache: about 16 one-dimensional states at a time; long ones in several pieces.

    Args:
        last: give the last frame only.
    """
    size = steps.members(len(states))
    length = even_length(frames, steps.longest(size))
    out = np.empty((len(states), 1 if last else frames + 1, *steps.energy.shape), np.complex128)
    for lo in range(0, len(states), size):
        psi, fields = states[lo : lo + size], landscapes[lo : lo + size]
        here = out[lo : lo + size]
        missing = size - len(psi)  # the last chunk is filled up, so that one program serves all
        if missing:
            psi = np.concatenate([psi, np.repeat(psi[:1], missing, 0)])
            fields = np.concatenate([fields, np.repeat(fields[:1], missing, 0)])
        here[:, 0] = psi[: len(here)]
        for begin in range(0, frames, length):
            count = min(length, frames - begin)
            found = piece(partial(_frames_after, psi, fields, steps, length, slice(count - 1 if last else 0, count)))
            here[:, slice(0, 1) if last else slice(begin + 1, begin + 1 + count)] = found[: len(here)]
            psi = found[:, -1]
    return out


def _frames_after(psi: Any, fields: Any, steps: _Steps, frames: int, keep: slice) -> np.ndarray:
    """Some of the frames after ``psi``."""
    done = _split_many(psi, fields, steps.energy, steps.dt, steps.substeps, steps.scheme, frames)
    return np.array(np.asarray(done)[:, 1:][:, keep])


HARDEST = 4
EVERY = 8
"""Of so many frames one is computed once more at half the step, to find the hardest members of a batch."""


def _hardest(states: np.ndarray, landscapes: np.ndarray, steps: _Steps, frames: int, piece: Piece) -> np.ndarray:
    """Members of a batch whose frames change most, one by one, under halving the step.

    A packet that never meets a high barrier strains no splitting; where packets get to, only a run tells.
    """
    if len(states) <= HARDEST:
        return np.arange(len(states))
    halved = steps._replace(substeps=2 * steps.substeps)
    strain = np.empty(len(states))
    size = steps.members(len(states))
    for lo in range(0, len(states), size):
        fields = landscapes[lo : lo + size]
        run = _in_chunks(states[lo : lo + size], fields, steps, frames, piece)
        before = run[:, :-1:EVERY]
        each = np.repeat(fields, before.shape[1], 0)
        finer = _in_chunks(before.reshape(len(each), *fields.shape[1:]), each, halved, 1, piece, last=True)
        change = (finer.reshape(before.shape) - run[:, 1::EVERY]).reshape(*before.shape[:2], -1)
        size_of = np.linalg.norm(before[:, 0].reshape(len(before), -1), axis=-1)
        strain[lo : lo + size] = np.sum(np.linalg.norm(change, axis=-1), axis=-1) / size_of
    return np.sort(np.argsort(-strain, kind="stable")[:HARDEST])


def first_substeps(energy: np.ndarray, dt: float, solver: Solver) -> int:
    """Substeps that are tried first."""
    return least_substeps(energy, dt) if solver.substeps == "auto" else int(solver.substeps)


def converged(
    run: Callable[[int], np.ndarray], substeps: int, dt: float, solver: Solver, size: np.ndarray | None = None
) -> tuple[int, float]:
    """Number of substeps and estimated error; doubles them until converged when they are free.

    Args:
        run: all frames for a number of substeps, (batch, frames, *grid). substeps: to begin with. dt, solver: as ever.
        size: sum of |psi|^2 that errors are relative to, (batch,); by default that of the last frame.

    Raises:
        PhysicsError: the change under halving the step stays above the tolerance.
    """
    free = solver.substeps == "auto"
    factor = 1 / (1 - 0.5 ** SCHEMES[solver.method].order)  # error of the coarser run over the change
    coarse, error = run(substeps)[:, -1], math.inf
    for _ in range(DOUBLINGS if free else 1):
        fine = run(2 * substeps)[:, -1]
        axes = tuple(range(1, fine.ndim))
        whole = np.sum(np.abs(fine) ** 2, axes) if size is None else size
        change = np.sqrt(np.sum(np.abs(fine - coarse) ** 2, axes) / whole)
        error = float(np.max(change)) * factor
        if error <= solver.tolerance:
            return substeps, error
        coarse, substeps = fine, 2 * substeps
    raise PhysicsError(
        f"the solution is not converged: halving the time step {dt / (substeps // 2):.3g} changes the last frame by "
        f"{error / factor:.2g} (relative L2), which means an error of {error:.2g} above the tolerance "
        f"{solver.tolerance:.2g}\n"
        '  fix:   more substeps or substeps = "auto", fewer frames, method = "bm4", or a larger tolerance'
    )


def _exact(
    states: np.ndarray, landscapes: np.ndarray, frames: int, grid: Grid, dt: float, solver: Solver, piece: Piece
) -> np.ndarray:
    """All frames by diagonalisation; neighbours with the same potential share one."""
    import scipy.linalg

    n = grid.shape[0]
    first = np.fft.ifft(kinetic(grid, solver.laplacian, solver.kcut)).real  # T depends on i - j alone
    matrix = scipy.linalg.circulant(first)
    out = np.empty((len(states), frames + 1, n), np.complex128)
    known: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    times = np.arange(frames + 1) * dt

    def run(psi: np.ndarray, field: np.ndarray) -> np.ndarray:
        key = field.tobytes()
        if key not in known:
            known.clear()
            full = matrix + np.diag(field)
            known[key] = scipy.linalg.eigh(full, overwrite_a=True, driver="evd", check_finite=False)
        levels, vectors = known[key]
        parts: Any = np.exp(-1j * np.outer(times, levels)) * (vectors.T @ psi)
        found = np.empty(parts.shape, np.complex128)
        found.real, found.imag = parts.real @ vectors.T, parts.imag @ vectors.T
        return found

    for index, (psi, field) in enumerate(zip(states, landscapes, strict=True)):
        out[index] = piece(partial(run, psi, field))
    return out
