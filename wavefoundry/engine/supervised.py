"""Supervised training as a process: a loss on batches, an optimiser of Optax, blocks of steps in one compiled loop.

A batch is any pytree of arrays. The ``sampler`` of a ``Run`` is empty here: which examples step s sees follows from the
seed and s alone, so a run that goes on from a checkpoint is the run that was never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from wavefoundry.core.types import Process, Run

Loss = Callable[[PyTree, PyTree], Array]


class Recipe(NamedTuple):
    """Settings of a first-order optimisation.

    warmup: share of the steps with linearly rising learning rate. decay: shape of the fall to ``floor``. clip: largest
    norm of the gradient, of all weights together ("global") or of every array by itself ("tensor"). weight_decay: of
    arrays with two axes or more (not of biases); 0 is plain Adam.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: float = 0.03
    decay: Literal["cosine", "linear"] = "cosine"
    floor: float = 1e-6
    clip: Literal["global", "tensor"] = "global"
    weight_decay: float = 0.0


class Info(NamedTuple):
    """What one step reports."""

    loss: Float[Array, ""]
    rejected: Array  # steps skipped so far because loss or gradient were not finite


class State(NamedTuple):
    """State of the optimiser and the number of rejected steps."""

    inner: Any
    rejected: Array


def clip_tensors(limit: float = 1.0) -> optax.GradientTransformation:
    """Scale every array of the gradient down to a norm of at most ``limit``."""

    def clip(updates: PyTree, params: PyTree | None = None) -> PyTree:
        return jax.tree.map(lambda g: g * jnp.minimum(1.0, limit / jnp.maximum(jnp.linalg.norm(g), 1e-30)), updates)

    return optax.stateless(clip)


def optimiser(recipe: Recipe) -> optax.GradientTransformation:
    """Adam or AdamW with warm-up, decay and clipping."""
    rising = max(1, round(recipe.warmup * recipe.steps))
    falling = max(1, recipe.steps - rising)
    rise = optax.linear_schedule(0.0, recipe.learning_rate, rising)
    if recipe.decay == "cosine":
        fall = optax.cosine_decay_schedule(recipe.learning_rate, falling, recipe.floor / recipe.learning_rate)
    else:
        fall = optax.linear_schedule(recipe.learning_rate, recipe.floor, falling)
    clip = optax.clip_by_global_norm(1.0) if recipe.clip == "global" else clip_tensors(1.0)
    decayed = optax.add_decayed_weights(recipe.weight_decay, lambda p: jax.tree.map(lambda a: a.ndim > 1, p))
    parts = [clip, optax.scale_by_adam(0.9, 0.999, 1e-8), *([decayed] if recipe.weight_decay else [])]
    schedule = optax.join_schedules([rise, fall], [rising])
    return optax.chain(*parts, optax.scale_by_learning_rate(schedule))


def supervised(static: PyTree, loss: Loss, transform: optax.GradientTransformation) -> Process:
    """First-order training of ``eqx.combine(params, static)``.

    Args:
        static: the part without weights (``eqx.partition(model, eqx.is_inexact_array)[1]``).
        loss: ``loss(model, batch) -> scalar``.
        transform: from ``optimiser``.

    Returns:
        ``init(params) -> Run`` and ``step(run, batch) -> (run, Info)``. A step whose loss or gradient is not finite
        changes no weight and is counted.
    """

    def init(params: PyTree) -> Run:
        return Run(params, None, State(transform.init(params), jnp.zeros((), int)), jnp.zeros((), int))

    def step(run: Run, batch: PyTree) -> tuple[Run, Info]:
        value, slope = jax.value_and_grad(lambda p: loss(eqx.combine(p, static), batch))(run.params)
        flat = jax.flatten_util.ravel_pytree(slope)[0]
        good = jnp.isfinite(value) & jnp.all(jnp.isfinite(flat))
        slope = jax.tree.map(lambda g: jnp.where(good, g, 0.0), slope)
        updates, inner = transform.update(slope, run.opt.inner, run.params)
        params = optax.apply_updates(run.params, jax.tree.map(lambda u: jnp.where(good, u, 0.0), updates))
        opt = State(inner, run.opt.rejected + ~good)
        return Run(params, None, opt, run.step + 1), Info(value, opt.rejected)

    return Process(init, step)


class Damping(NamedTuple):
    """State of the Gauss-Newton iteration."""

    damping: Float[Array, ""]
    rejected: Array


def gauss_newton(
    static: PyTree, residual: Callable[[PyTree, PyTree], Array], attempts: int = 6, start: float = 1e-3
) -> Process:
    """Damped Gauss-Newton (Levenberg-Marquardt) for models with few weights; the loss is the sum of squares.

    Normal equations are summed up over examples one at a time, in double precision.

    Args:
        static: as for ``supervised``.
        residual: ``residual(model, example) -> real vector`` of one example of the batch.
        attempts: dampings tried in one step, each five times the one before.
        start: first damping, relative to the diagonal.

    Returns:
        ``init(params)`` and ``step(run, batch)``; a step that does not lower the loss of its batch is rejected.
    """

    def init(params: PyTree) -> Run:
        opt = Damping(jnp.asarray(start, jnp.float64), jnp.zeros((), int))
        return Run(params, None, opt, jnp.zeros((), int))

    def step(run: Run, batch: PyTree) -> tuple[Run, Info]:
        x, back = jax.flatten_util.ravel_pytree(run.params)
        dtype, x = x.dtype, x.astype(jnp.float64)

        def of(y: Array, example: PyTree) -> Array:
            return residual(eqx.combine(back(y.astype(dtype)), static), example)

        def add(total: tuple[Array, Array, Array], example: PyTree) -> tuple[tuple[Array, Array, Array], None]:
            r = of(x, example)
            rows = jax.jacfwd(lambda y: of(y, example))(x)
            return (total[0] + rows.T @ rows, total[1] + rows.T @ r, total[2] + r @ r), None

        zero = (jnp.zeros((x.size, x.size)), jnp.zeros(x.size), jnp.zeros(()))
        (normal, slope, loss), _ = jax.lax.scan(add, zero, batch)
        scale = jnp.diag(normal) + 1e-12 * jnp.trace(normal)

        def value(y: Array) -> Array:
            return jax.lax.scan(lambda s, e: (s + jnp.sum(of(y, e) ** 2), None), jnp.zeros(()), batch)[0]

        def try_one(state: tuple) -> tuple:
            damping, _, _, count = state
            found = x - jnp.linalg.solve(normal + damping * jnp.diag(scale), slope)
            return damping * 5, found, value(found), count + 1

        def worse(state: tuple) -> Array:
            return ~(state[2] < loss) & (state[3] < attempts)

        first = (run.opt.damping, x, jnp.asarray(jnp.inf), jnp.zeros((), int))
        damping, found, now, _ = jax.lax.while_loop(worse, try_one, first)
        good = now < loss
        opt = Damping(
            jnp.clip(jnp.where(good, damping / 25, damping), 1e-9, 1e3), run.opt.rejected + ~jnp.isfinite(loss)
        )
        count = jax.tree.leaves(batch)[0].shape[0]
        new = Run(back(jnp.where(good, found, x).astype(dtype)), None, opt, run.step + 1)
        return new, Info(jnp.where(good, now, loss) / count, opt.rejected)

    return Process(init, step)


def block_of(process: Process) -> Callable[[Run, PyTree], tuple[Run, Info]]:
    """Several steps in one compiled loop: axis 0 of the batches counts steps."""
    return jax.jit(lambda run, batches: jax.lax.scan(process.step, run, batches))
