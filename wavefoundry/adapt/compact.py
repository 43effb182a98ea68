"""Optimisation of the surviving weights alone: Jacobian, metric and solve hold their columns and no others.

The weights of a wavefunction are one vector, leaf after leaf; ``index`` lists the ones that are trained, padded to one
of a few lengths so that a shrinking network does not compile anew in every round. Padded columns are zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wavefoundry.core.devices import mapped, on_devices, shared
from wavefoundry.core.numerics import factor_damped, gram, solve_factored
from wavefoundry.core.types import Batch, Psi, System, Wavefunction
from wavefoundry.engine.gradient import Direction, centred_rows, natural_gradient
from wavefoundry.engine.sampling import Walkers, equal_weights, init_walkers, metropolis

GROWTH = 1.35
"""Ratio of neighbouring padded lengths above ``SMALL``: at most 1.35^2 = 1.8 times the work in the metric."""
SMALL = 100
"""Below this length the work is small whatever it is, and lengths grow by factors of 2: fewer compilations."""

FAR = 0.02
"""A kept metric is made anew once the rms changes of log psi since it was made add up to this."""


class Options(NamedTuple):
    """Settings that are compiled in.

    moves: Metropolis moves between steps; 0 sums over all configurations. chunk: configurations evaluated at a time.
    trust: largest rms change of log psi in a step. sigmas: energies that rise by more standard errors than this (by
    more than ``climb`` times |E| in a full sum) are undone. samples: taken from each chain per step. kept: steps of a
    full sum made with one metric, whose making is most of their cost; the force is that of the step.
    """

    moves: int
    chunk: int
    solver: str = "auto"
    trust: float = 0.3
    sigmas: float = 5.0
    climb: float = 1e-9
    growth: float = 1.05
    samples: int = 1
    kept: int = 1


class State(NamedTuple):
    """Weights and optimiser; arrays only."""

    theta: Float[Array, " P"]
    good: Float[Array, " P"]  # weights of the last accepted energy
    energy: Float[Array, ""]  # that energy, infinite at the start
    error: Float[Array, ""]  # its standard error
    walkers: Walkers | None
    scale: Float[Array, ""]  # of the learning rate
    damping: Float[Array, ""]  # factor on the diagonal shift
    rollbacks: Int[Array, ""]


class Trace(NamedTuple):
    """What a step reports."""

    energy: Float[Array, ""]
    variance: Float[Array, ""]
    step_norm: Float[Array, ""]
    acceptance: Float[Array, ""]


class Rates(NamedTuple):
    """Learning rate and diagonal shift of each step."""

    learning_rate: Float[Array, " steps"]
    shift: Float[Array, " steps"]


def vector(wavefunction: Wavefunction) -> Float[Array, " P"]:
    """All real weights, leaf after leaf."""
    leaves = [leaf for leaf in jax.tree.leaves(wavefunction) if eqx.is_inexact_array(leaf)]
    return jnp.concatenate([leaf.reshape(-1).astype(jnp.float64) for leaf in leaves])


def with_vector(wavefunction: Wavefunction, theta: Float[Array, " P"]) -> Wavefunction:
    """The same network with the weights of a vector."""
    leaves, structure = jax.tree.flatten(wavefunction)
    start = 0
    for i, leaf in enumerate(leaves):
        if eqx.is_inexact_array(leaf):
            leaves[i] = theta[start : start + leaf.size].reshape(leaf.shape).astype(leaf.dtype)
            start += leaf.size
    return jax.tree.unflatten(structure, leaves)


def padded(chosen: np.ndarray, total: int) -> Int[np.ndarray, " B"]:
    """Indices of the trained weights, filled up with ``total`` (no weight) to the next padded length.

    Args:
        chosen: (P,) boolean, or indices.
        total: number of all weights.
    """
    index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
    length, ratio = float(total), GROWTH if total > SMALL else 2.0
    while length / ratio >= max(index.size, 16):
        length /= ratio
        ratio = GROWTH if length > SMALL else 2.0
    return np.concatenate([index, np.full(int(np.ceil(length)) - index.size, total)]).astype(np.int64)


class _Amplitude(NamedTuple):
    """Head of a network whose feature is its own amplitude (log, phase)."""

    real: bool

    def __call__(self, z: Float[Array, " 2"]) -> Psi:
        return Psi(z[0], z[1])


Pullback = Callable[[Float[Array, "S 2"]], tuple[Float[Array, " P"]]]


class Evaluated(NamedTuple):
    """Configurations with their weights, and what the network says of them."""

    batch: Batch
    log: Float[Array, " S"]  # log|psi|
    terms: Array  # (S, terms), local energy of every term
    walkers: Walkers | None


def amplitudes(wavefunction: Wavefunction, system: System, xs: Any, chunk: int) -> Float[Array, "S 2"]:
    """log|psi| and phase of a list of configurations."""
    return mapped(lambda x: _amplitude(wavefunction, system, x), xs, chunk)


def _amplitude(wavefunction: Wavefunction, system: System, x: Any) -> Float[Array, " 2"]:
    psi = wavefunction(system, x)
    return jnp.stack([psi.log, psi.phase]).astype(jnp.float64)


def evaluate(wavefunction: Wavefunction, system: System, walkers: Walkers | None, options: Options) -> Evaluated:
    """All configurations, with one evaluation of the network for each; or new samples of the chains."""
    if walkers is None:
        states = system.states  # type: ignore[attr-defined]
        return listed(wavefunction.real, system, amplitudes(wavefunction, system, states, options.chunk))
    batch, walkers = draw(wavefunction, system, walkers, options)
    local = system.expand_batch(lambda x: _amplitude(wavefunction, system, x), batch.x, options.chunk)
    return Evaluated(batch, local.z[:, 0], _terms(wavefunction.real, system, local), walkers)


def listed(real: bool, system: Any, z: Float[Array, "D 2"]) -> Evaluated:
    """All configurations of an enumerated system, from log|psi| and phase of each."""
    terms = _terms(real, system, system.connect(z))
    return Evaluated(Batch(system.states, jax.nn.softmax(2 * z[:, 0])), z[:, 0], terms, None)


def _terms(real: bool, system: System, local: Any) -> Array:
    head = _Amplitude(real)
    return shared(jax.vmap(lambda part: system.contract(head, part)), local)


def log_rows(wavefunction: Wavefunction, system: System, xs: Any, index: Array, chunk: int) -> Array:
    """Derivatives of log|psi| and phase by the weights ``index``: (S, parts, B); no weight gives zeros.

    A backbone that is the whole network may bring its own ``log_derivatives``, whose cost follows the index.
    """
    own = getattr(wavefunction.backbone, "log_derivatives", None)
    if own is not None:
        return shared(lambda mine: own(mine, index), xs)[:, None]
    theta = vector(wavefunction)

    def rows(x: Any) -> Array:
        value, pullback = jax.vjp(lambda t: with_vector(wavefunction, t)(system, x), theta)
        one, zero = jnp.ones_like(value.log), jnp.zeros_like(value.log)
        parts = [pullback(Psi(one, zero))[0]] + ([] if wavefunction.real else [pullback(Psi(zero, one))[0]])
        return jnp.stack([part.at[index].get(mode="fill", fill_value=0.0) for part in parts])

    return mapped(rows, xs, chunk)


def log_amplitudes(wavefunction: Wavefunction, system: System, xs: Any, chunk: int) -> Float[Array, " S"]:
    """log|psi| of a list of configurations."""
    return amplitudes(wavefunction, system, xs, chunk)[:, 0]


def draw(wavefunction: Wavefunction, system: System, walkers: Walkers | None, options: Options) -> tuple[Batch, Any]:
    """All configurations with their probabilities, or new samples of the chains; without the axis of a family."""
    if walkers is None:
        xs = system.states  # type: ignore[attr-defined]
        return Batch(xs, jax.nn.softmax(2 * log_amplitudes(wavefunction, system, xs, options.chunk))), None
    family = as_family(system)

    def advance(w: Walkers, _: None) -> tuple[Walkers, Any]:
        w = metropolis(wavefunction, family, w, options.moves, options.chunk)
        return w, w.x[0]

    walkers, xs = jax.lax.scan(advance, walkers, None, length=options.samples)
    xs = xs.reshape(-1, *xs.shape[2:])
    return Batch(xs, equal_weights(xs[None]).weight[0]), walkers


def as_family(system: System) -> System:
    """A family of one: leaves that may vary get a leading axis."""
    varying, shared = eqx.partition(system, system.varying())
    return eqx.combine(jax.tree.map(lambda leaf: leaf[None], varying), shared)


def start(theta: Array, walkers: Walkers | None = None) -> State:
    """State before the first step."""
    one = jnp.ones(())
    return State(theta, theta, one * jnp.inf, one * 0.0, walkers, one, one, jnp.zeros((), int))


def chains(key: PRNGKeyArray, system: System, count: int) -> Walkers:
    """Random starting configurations for the chains of one system."""
    return init_walkers(key, as_family(system), count)


class Metric(NamedTuple):
    """Quantum geometric tensor of the trained weights, factorised, and what has happened since it was made."""

    factor: Float[Array, "B B"]  # Cholesky, of S + shift 1
    shift: Float[Array, ""]
    age: Int[Array, ""]  # steps; 0 asks for a new one
    moved: Float[Array, ""]  # sum of their rms changes of log psi


def metric_rows(
    wavefunction: Wavefunction, system: System, batch: Batch, index: Array, chunk: int
) -> Float[Array, "N B"]:
    """Centred and weighted derivatives of the weights ``index``, of which the metric is rows^T rows."""
    jacobian = log_rows(wavefunction, system, batch.x, index, chunk).astype(jnp.float64)
    return centred_rows(jacobian[None], jnp.zeros(jacobian.shape[:1])[None], batch.weight[None])[0]


def metric_at(
    wavefunction: Wavefunction, system: System, batch: Batch, index: Array, shift: Array, options: Options
) -> Metric:
    """The factorised metric of the weights ``index``."""
    rows = metric_rows(wavefunction, system, batch, index, max(1, options.chunk // 2))
    # the barrier: XLA would transpose anew for every block of the product
    columns = jax.lax.optimization_barrier(rows.T)
    return Metric(*factor_damped(gram(columns), shift), jnp.zeros((), int), jnp.zeros(()))


def with_pullback(network: Wavefunction, system: Any, theta: Array, chunk: int) -> tuple[Evaluated, Pullback]:
    """``evaluate`` for all configurations, and the pullback of log|psi| and phase on the weights."""
    z, pullback = jax.vjp(lambda t: amplitudes(with_vector(network, t), system, system.states, chunk), theta)
    return listed(network.real, system, z), pullback


def force(pullback: Pullback, batch: Batch, local: Array, index: Array) -> Float[Array, " B"]:
    """Gradient of the energy by the weights ``index``: 2 Re <O* (Eloc - E)>, without a Jacobian."""
    residual = 2.0 * batch.weight * (local - jnp.sum(batch.weight * local))
    (gradient,) = pullback(jnp.stack([jnp.real(residual), jnp.imag(residual)], axis=1))
    return gradient.at[index].get(mode="fill", fill_value=0.0)


def preconditioned(metric: Metric, gradient: Float[Array, " B"]) -> Direction:
    """Natural gradient from the force of one state and the metric of another near it."""
    update, shift = solve_factored(metric.factor, metric.shift, gradient)
    squared = jnp.sum(update * (gradient - jnp.where(jnp.isfinite(shift), shift, 0.0) * update))  # update S update
    return Direction(update, shift, jnp.sqrt(jnp.maximum(squared, 0.0)))


def direction(
    wavefunction: Wavefunction, system: System, batch: Batch, local: Array, index: Array, shift: Array, options: Options
) -> Direction:
    """Natural gradient of the weights ``index``, see ``engine.gradient.natural_gradient``."""
    jacobian = log_rows(wavefunction, system, batch.x, index, max(1, options.chunk // 2))
    rows, residual = centred_rows(jacobian[None], local[None], batch.weight[None])
    return natural_gradient(rows, residual, shift, jnp.zeros(index.shape[0]), 0.0, options.solver)


def step(
    network: Wavefunction,
    system: System,
    index: Array,
    carry: tuple[State, Metric | None],
    rates: Rates,
    options: Options,
) -> tuple[tuple[State, Metric | None], Trace]:
    """One natural-gradient step of the weights ``index``; the others keep their values exactly.

    When the energy is not finite or has jumped up, the last good weights come back, the learning rate is halved and
    the shift doubled; both recover slowly. A metric that is handed in serves ``options.kept`` steps, fewer when
    they lead far or one of them is undone.
    """
    state, metric = carry
    wavefunction, pullback = with_vector(network, state.theta), None
    if metric is None:
        batch, _, terms, walkers = evaluate(wavefunction, system, state.walkers, options)
    else:
        (batch, _, terms, walkers), pullback = with_pullback(network, system, state.theta, options.chunk)
    local = terms @ system.couplings
    energy = jnp.real(jnp.sum(batch.weight * local))
    variance = jnp.sum(batch.weight * jnp.abs(local - energy) ** 2)
    sampled = walkers is not None
    error = jnp.sqrt(variance / batch.weight.shape[0]) * sampled
    allowed = options.sigmas * jnp.hypot(error, state.error) + options.climb * jnp.abs(energy)
    finite = jnp.all(jnp.isfinite(local)) & jnp.isfinite(energy)
    kept = finite & (energy <= state.energy + allowed)

    shift = rates.shift * state.damping
    if metric is None or pullback is None:
        found = direction(wavefunction, system, batch, local, index, shift, options)
    else:
        remade = lambda: metric_at(wavefunction, system, batch, index, shift, options)  # noqa: E731
        metric = jax.lax.cond(metric.age == 0, remade, lambda: metric)
        found = preconditioned(metric, force(pullback, batch, local, index))
    rate = rates.learning_rate * state.scale
    rate = rate * jnp.minimum(1.0, options.trust / jnp.maximum(rate * found.step_norm, 1e-30))
    moved = state.theta.at[index].add(-rate * found.update, mode="drop")
    kept &= jnp.isfinite(found.step_norm) & jnp.all(jnp.isfinite(moved))
    new = State(
        theta=jnp.where(kept, moved, state.good),
        good=jnp.where(kept, state.theta, state.good),
        energy=jnp.where(kept, energy, jnp.where(sampled, jnp.inf, state.energy)),
        error=jnp.where(kept, error, state.error),
        walkers=walkers,
        scale=jnp.where(kept, jnp.minimum(1.0, state.scale * options.growth), state.scale * 0.5),
        damping=jnp.where(kept, jnp.maximum(1.0, state.damping / options.growth), state.damping * 2.0),
        rollbacks=state.rollbacks + ~kept,
    )
    if metric is not None:
        far = metric.moved + rate * found.step_norm
        serves = kept & (metric.age + 1 < options.kept) & (far < FAR)
        metric = metric._replace(age=jnp.where(serves, metric.age + 1, 0), moved=far)
    acceptance = jnp.zeros(()) if walkers is None else walkers.acceptance
    return (new, metric), Trace(energy, variance, rate * found.step_norm, acceptance)


@eqx.filter_jit
@on_devices
def block(
    network: Wavefunction, system: System, index: Array, state: State, rates: Rates, options: Options
) -> tuple[State, Trace]:
    """Several steps in one compiled loop; axis 0 of the trace are the steps.

    The metric is kept between the steps of a full sum with no more weights than states; every block makes its own.
    """
    metric, size = None, index.shape[0]
    if options.kept > 1 and state.walkers is None and size <= system.states.shape[0]:  # type: ignore[attr-defined]
        metric = Metric(jnp.zeros((size, size)), jnp.zeros(()), jnp.zeros((), int), jnp.zeros(()))
    (state, _), trace = jax.lax.scan(
        lambda carry, r: step(network, system, index, carry, r, options), (state, metric), rates
    )
    return state, trace
