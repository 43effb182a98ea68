"""Variational Monte Carlo as a process: sample, local energies, natural gradient, guarded update."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from wavefoundry.core.devices import on_devices
from wavefoundry.core.errors import InputError
from wavefoundry.core.handed import alike, called
from wavefoundry.core.programs import once
from wavefoundry.core.types import Process, Run, System, Wavefunction
from wavefoundry.engine.drawing import Options, Sampled, drawn, local_energies, mixed_energies, moved_on, sampled
from wavefoundry.engine.gradient import (
    Direction,
    Selection,
    centred_jacobian,
    log_jacobian,
    natural_gradient,
    select,
    stacked_residual,
)
from wavefoundry.engine.sampling import (
    Walkers,
    equal_weights,
    init_walkers,
    metropolis,
)

LEAST = 0.05
"""Smallest factor that one step asks an amplitude to be multiplied by."""
SAMPLER = "sampler(wavefunction, family, walkers, moves, chunk)"
PRECONDITIONER = "preconditioner(rows, right, shift)"
OPTIMISER = (
    "optimiser.update(gradient, state, weights): one that asks for the energy as well, a line search, cannot be used"
)
FAR = 10.0
"""A step after which the energy lies so many error bars above the lowest one is undone."""


class Optimiser(NamedTuple):
    """State of the natural gradient: last update (momentum), learning-rate scale and rejected steps so far.

    step_norm: rms change of log psi that the last update makes by unit rate, 0 where it is not known. stretch: how many
    times larger that has been on the samples of the next step, which the update has not seen. Where steps may be
    undone, also the weights of the lowest energy, that energy, and the steps undone so far. chain: state of an
    optimiser of Optax.
    """

    update: Float[Array, " P"]
    scale: Float[Array, ""]
    rejected: Array
    step_norm: Any = None
    stretch: Any = None
    best: Any = None
    reached: Any = None
    undone: Any = None
    chain: Any = None


class Info(NamedTuple):
    """What one step reports, per system of the family (leading axis R)."""

    energy: Array
    variance: Float[Array, " R"]
    chain_energies: Array  # (R, S), contributions of the samples to the energy: their mean
    acceptance: Float[Array, ""]
    shift: Float[Array, ""]
    step_norm: Float[Array, ""]  # rms change of log psi made by the step
    rejected: Array
    undone: Array


class Schedule(NamedTuple):
    """Learning rate and damping of each step; arrays, so that they can change without recompilation."""

    learning_rate: Float[Array, " steps"]
    shift: Float[Array, " steps"]


def advance(wavefunction: Wavefunction, family: System, walkers: Walkers, options: Options) -> Walkers:
    """Walkers after the moves between two steps."""
    if options.sampler is None:
        return metropolis(wavefunction, family, walkers, options.moves, options.chunk)
    found = called(options.sampler, "sampler", SAMPLER, wavefunction, family, walkers, options.moves, options.chunk)
    return alike(found, walkers, "sampler", SAMPLER)


def finite(residual: Array, root: Array, time: Array) -> Array:
    """What a step of imaginary time of finite length asks for, in place of the residuals (E_loc - E) of a short one.

    A step multiplies psi by 1 - time (E_loc - E), so log psi should change by its complex logarithm. Near a node of psi
    the local energy diverges, and its linear form drives |psi| to zero on either side of the node: signs are for ever
    what they were. The logarithm is bounded there and turns the phase by pi: amplitudes pass through zero in one step.

    Args:
        residual: root * (E_loc - E), (R, S). root: of the weights. time: twice the learning rate.

    Returns:
        root * -log(1 - time (E_loc - E)) / time, which is ``residual`` where time is short.
    """
    ratio = 1 - time * residual / jnp.maximum(root, 1e-30)
    size = jnp.maximum(jnp.abs(ratio), LEAST)
    aim = -(jnp.log(size) + 1j * jnp.angle(ratio)) / jnp.maximum(time, 1e-30)
    return root * (aim - jnp.sum(root**2 * aim, axis=1, keepdims=True))


def guarded(
    selection: Selection, run: Run, found: Direction, rate: Array, good: Array
) -> tuple[PyTree, Optimiser, Array]:
    """Weights and optimiser after a step of size ``rate``; where anything is not finite, after no step at all.

    A refused step halves the scale of the learning rate, which then recovers by 2% a step, and forgets the momentum.

    Returns:
        Weights, optimiser, and whether the step was made.
    """
    vector = selection.vector(run.params).astype(jnp.float64) - rate * found.update
    new = selection.replace(run.params, vector)
    good &= jnp.all(jnp.isfinite(selection.vector(new)))
    params = jax.tree.map(lambda a, b: jnp.where(good, a, b), new, run.params)
    opt = run.opt._replace(
        update=jnp.where(good, found.update, 0.0),
        scale=jnp.where(good, jnp.minimum(1.0, run.opt.scale * 1.02), run.opt.scale * 0.5),
        rejected=run.opt.rejected + ~good,
    )
    return params, opt, good


def risen(reached: Array, energy: Array, residual: Array, root: Array) -> tuple[Array, Array, Array]:
    """Whether the energy has risen far beyond its noise since it was lowest: the last step was no good.

    Args:
        reached: lowest energy so far, as a mean over the members of the family; it is slowly forgotten, since it may
            have been that of samples that missed something. energy: of this step, (R,). residual, root: of its
            samples, (R, S).

    Returns:
        The answer, whether the energy is as low as ever within its noise, and the lowest energy from here on.
    """
    now = jnp.mean(jnp.real(energy))
    # mean moduli instead of squares: outliers are what an explosion begins with
    noise = 1.25 * jnp.mean(jnp.sum(jnp.abs(residual) * root, axis=1)) / np.sqrt(root.size)
    lost, kept = now - reached > FAR * noise, now - reached <= 2 * noise
    return lost, kept, jnp.where(now < reached, now, reached + 0.01 * (now - reached))


def draw(
    wavefunction: Wavefunction, family: System, walkers: Walkers, options: Options, listed: bool
) -> tuple[Sampled, Walkers]:
    """The samples of one step, and the walkers after it."""
    if listed:
        key, k_draw = jax.random.split(walkers.key)
        return drawn(wavefunction, family, k_draw, options), walkers._replace(key=key)
    walkers = advance(wavefunction, family, walkers, options)
    chains = jax.tree.leaves(walkers.x)[0].shape[1]
    count = round(options.moved * chains)
    if count:
        key, k_move = jax.random.split(walkers.key)
        x = moved_on(family, walkers.x, k_move, count)
        stay = 1 - count / chains
        return mixed_energies(wavefunction, family, x, stay, options.chunk), walkers._replace(key=key)
    batch = equal_weights(walkers.x)
    terms = local_energies(wavefunction, family, batch, options.chunk)
    root = jnp.sqrt(batch.weight)
    return sampled(batch, root, root * jnp.einsum("rst,rt->rs", terms, family.couplings)), walkers


def stretched(opt: Optimiser, rows: Float[Array, "N P"]) -> Array:
    """How much more than on its own samples the last updates have changed psi on those of ``rows``, not seen before.

    A running mean; 1 where the last update is not known.
    """
    ahead = jnp.linalg.norm(rows.astype(jnp.float64) @ opt.update) / jnp.maximum(opt.step_norm, 1e-30)
    return jnp.where(opt.step_norm > 0, 0.8 * opt.stretch + 0.2 * jnp.clip(ahead, 1.0, 100.0), 1.0)


def limited(rate: Array, found: Direction, stretch: Array, root: Float[Array, "R S"], options: Options) -> Array:
    """The step size that keeps the rms change of log psi within ``trust``, growth of a sample within ``largest``."""
    rate = rate * jnp.minimum(1.0, options.trust / jnp.maximum(rate * stretch * found.step_norm, 1e-30))
    each = -found.change.reshape(*root.shape, -1)[..., 0] * np.sqrt(root.shape[0])  # of log |psi|
    most = jnp.max(jnp.where(root > 1e-6, each / jnp.maximum(root, 1e-6), 0.0))
    return rate * jnp.minimum(1.0, options.largest / jnp.maximum(rate * most, 1e-30))


def direction(
    options: Options, rows: Array, residual: Array, shift: Array, opt: Optimiser, vector: Array
) -> tuple[Direction, Any]:
    """The update of one step: natural gradient, or what the options put in its place.

    Args:
        rows, residual: from ``centred_rows``. shift: damping. opt: state of the optimiser. vector: the weights.

    Returns:
        The update, which is subtracted, and the state of an optimiser of Optax after it.
    """
    if options.preconditioner is None and options.optimiser is None:
        return natural_gradient(rows, residual, shift, opt.update, options.momentum, options.solver), opt.chain
    wide = rows.astype(jnp.float64)
    precondition = options.preconditioner or (lambda rows, right, shift: 2.0 * rows.T @ right)
    update, chain = called(precondition, "preconditioner", PRECONDITIONER, wide, residual, shift), opt.chain
    if jnp.shape(update) != vector.shape or jnp.iscomplexobj(update):
        kind = "complex numbers" if jnp.iscomplexobj(update) else f"an array of shape {jnp.shape(update)}"
        why = f"an update is one real number for each of {vector.size} weights"
        raise InputError(f"the preconditioner gives {kind}", where="preconditioner", why=why)
    if options.optimiser is not None:
        changes, chain = called(options.optimiser.update, "optimiser", OPTIMISER, update, opt.chain, vector)
        update = -jnp.asarray(changes)
    change = wide @ update
    return Direction(update, shift, jnp.linalg.norm(change), change), chain


@once
def variational(static: PyTree, trainable: PyTree, options: Options, listed: bool = False) -> Process:
    """Variational optimisation of a wavefunction for one system or a family.

    Args:
        static: the non-array part of the wavefunction (``eqx.partition(wavefunction, eqx.is_array)[1]``).
        trainable: pytree of booleans, see ``engine.gradient.select``.
        options: compiled-in settings.
        listed: the family lists all its configurations (``problems.enumerated``); else walkers sample them.

    Returns:
        ``init(key, params, family, chains)`` and ``step(run, family, learning_rate, shift)``.
    """
    selection = select(trainable)

    def init(key: PRNGKeyArray, params: PyTree, family: System, chains: int) -> Run:
        vector, zero = selection.vector(params), jnp.zeros((), int)
        wide, given = vector.astype(jnp.float64), options.optimiser
        chain = None if given is None else called(given.init, "optimiser", "optimiser.init(weights)", wide)
        opt = Optimiser(
            jnp.zeros(vector.shape[0]), jnp.ones(()), zero,
            jnp.zeros(()), jnp.ones(()), vector, jnp.full((), jnp.inf, jnp.float64), zero, chain,
        )  # fmt: skip
        return Run(params, init_walkers(key, family, chains), opt, jnp.zeros((), int))

    def step(run: Run, family: System, learning_rate: Array, shift: Array) -> tuple[Run, Info]:
        wavefunction = eqx.combine(run.params, static)
        (batch, root, residual, energy, variance), walkers = draw(wavefunction, family, run.sampler, options, listed)
        local = energy[:, None] + root * residual * root.shape[1]

        jacobian = log_jacobian(run.params, static, selection, family, batch, max(1, options.chunk // 2))
        rows = centred_jacobian(jacobian, batch.weight)
        if options.optimiser is not None:
            learning_rate = jnp.ones(())  # it has a schedule of its own
        scheduled = options.finite and options.optimiser is None
        aim = finite(residual, root, 2 * learning_rate * run.opt.scale) if scheduled else residual
        right = stacked_residual(aim, jacobian.shape[2])
        weights = selection.vector(run.params).astype(jnp.float64)
        found, chain = direction(options, rows, right, shift, run.opt, weights)

        # a full sum leaves nothing unseen
        stretch = run.opt.stretch if listed and not options.drawn else stretched(run.opt, rows)
        rate = limited(learning_rate * run.opt.scale, found, stretch, root, options)
        good = jnp.all(jnp.isfinite(residual)) & jnp.isfinite(found.step_norm) & jnp.isfinite(found.shift)
        lost, kept, reached = risen(run.opt.reached, energy, residual, root)
        params, opt, _ = guarded(selection, run, found, rate, good & ~lost)
        params = jax.tree.map(lambda a, b: jnp.where(lost, a, b), selection.replace(params, run.opt.best), params)
        best = jnp.where(kept, selection.vector(run.params), run.opt.best)
        opt = opt._replace(
            step_norm=jnp.where(good & ~lost, found.step_norm, 0.0),
            stretch=stretch,
            best=best,
            reached=reached,
            undone=run.opt.undone + lost,
            rejected=opt.rejected - lost,
            chain=jax.tree.map(lambda a, b: jnp.where(good & ~lost, a, b), chain, run.opt.chain),
        )
        step_norm = rate * found.step_norm
        info = Info(energy, variance, local, walkers.acceptance, found.shift, step_norm, opt.rejected, opt.undone)
        return Run(params, walkers, opt, run.step + 1), info

    return Process(init, step)


@once
def block_of(process: Process) -> Any:
    """Several steps in one compiled loop: ``block(run, family, schedule) -> (run, infos)``, axis 0 = steps.

    With ``count``, an array, as last argument one program serves any number of steps: only the first ``count`` entries
    of the schedule are steps, and only as many rows of the infos mean anything. However steps are put into blocks, they
    give the same bits.
    """

    @jax.jit
    @on_devices
    def block(run: Run, family: System, schedule: Schedule, count: Array | None = None) -> tuple[Run, Info]:
        def one(k: Any, run: Run) -> tuple[Run, Info]:
            return process.step(run, family, schedule.learning_rate[k], schedule.shift[k])

        def body(k: Array, carry: tuple[Run, Info]) -> tuple[Run, Info]:
            run, info = one(k, carry[0])
            return run, jax.tree.map(lambda rows, row: rows.at[k].set(row), carry[1], info)

        length = schedule.shift.shape[0]
        infos = jax.tree.map(lambda a: jnp.zeros((length, *a.shape), a.dtype), jax.eval_shape(one, 0, run)[1])
        return jax.lax.fori_loop(0, length if count is None else count, body, (run, infos))

    return block


def decay(learning_rate: float, shift: float, steps: int, tail: float = 0.4) -> Schedule:
    """Constant learning rate, then linear to zero over the last ``tail`` of the steps: it averages the noise out."""
    left = (steps - np.arange(steps)) / max(tail * steps, 1.0)
    return Schedule(jnp.asarray(learning_rate * np.minimum(1.0, left)), jnp.asarray(np.full(steps, shift)))
