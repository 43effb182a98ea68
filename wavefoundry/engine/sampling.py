"""Samples with weights: Metropolis walkers of a family of systems, full sums over small Hilbert spaces, draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.core.devices import mapped
from wavefoundry.core.types import Batch, Config, System, Wavefunction, of_all


class Walkers(NamedTuple):
    """State of the Markov chains of a family: leading axes (systems R, chains C)."""

    x: Config
    key: PRNGKeyArray
    width: Float[Array, "*R"]  # of moves in continuous space: one for all, or one for every member
    acceptance: Float[Array, "*R"]  # of the last call


def over_family(f: Callable[..., Any], family: System, *args: Any) -> Any:
    """Apply ``f(system, *args)`` to every member of a family, one after the other, with one compiled body.

    A loop instead of ``vmap``: members keep their own dynamic trip counts (skipped matrix elements).
    """
    varying, shared = eqx.partition(family, family.varying())
    return jax.lax.map(lambda a: f(eqx.combine(a[0], shared), *a[1:]), (varying, *args))


def members(family: System) -> int:
    """Number of systems in a family."""
    return jax.tree.leaves(eqx.filter(family, family.varying()))[0].shape[0]


def init_walkers(key: PRNGKeyArray, family: System, chains: int) -> Walkers:
    """Random starting configurations for ``chains`` chains of every member."""
    k_init, k_run = jax.random.split(key)
    keys = jax.random.split(k_init, (members(family), chains))
    x = over_family(lambda system, k: jax.vmap(system.init)(k), family, keys)
    return Walkers(x, k_run, jnp.ones(()), jnp.zeros(()))


def metropolis(wavefunction: Wavefunction, family: System, walkers: Walkers, moves: int, chunk: int) -> Walkers:
    """Advance every chain by ``moves`` Metropolis-Hastings moves with target |psi|^2.

    Where every member has a width of its own, the acceptance is given for every member too.

    Chains run in groups of ``chunk``, each group to the end before the next: its activations stay in the cache.
    """
    key, k_run = jax.random.split(walkers.key)
    chains = jax.tree.leaves(walkers.x)[0].shape[1]
    keys = jax.random.split(k_run, (members(family), chains))
    own = walkers.width.ndim > 0

    def one(system: System, xs: Config, ks: PRNGKeyArray, *widths: Array) -> tuple[Config, Array]:
        features, width = wavefunction.bind(system), widths[0] if own else walkers.width

        def log_abs(x: Config) -> Array:
            return wavefunction.head(features(x)).log  # type: ignore[operator]

        def move(_: int, state: tuple) -> tuple:
            x, log, k, accepted = state
            k, k_propose, k_accept = jax.random.split(k, 3)
            y, log_ratio = system.propose(k_propose, x, width)
            new = log_abs(y)
            # a proposal that is not finite is refused, never accepted by accident
            go = jnp.log(jax.random.uniform(k_accept)) < 2 * (new - log).astype(jnp.float64) + log_ratio
            x, log = jax.tree.map(lambda a, b: jnp.where(go, a, b), (y, new), (x, log))
            return x, log, k, accepted + go

        def chain(state: tuple[Config, PRNGKeyArray]) -> tuple[Config, Array]:
            x, k = state
            x, _, _, accepted = jax.lax.fori_loop(0, moves, move, (x, log_abs(x), k, jnp.zeros((), int)))
            return x, accepted / max(moves, 1)

        return mapped(chain, (xs, ks), chunk)

    x, acceptance = over_family(one, family, walkers.x, keys, *((walkers.width,) if own else ()))
    return Walkers(x, key, walkers.width, jnp.mean(acceptance, axis=1) if own else jnp.mean(acceptance))


def equal_weights(x: Config) -> Batch:
    """Markov chain samples of a family as a batch: every sample counts the same; axes (R, S)."""
    shape = jax.tree.leaves(x)[0].shape[:2]
    return Batch(x, jnp.full(shape, 1.0 / shape[1]))


def full_sum(wavefunction: Wavefunction, family: System, states: Config, chunk: int) -> Batch:
    """All configurations with weights |psi|^2 / sum |psi|^2, for every member of the family; axes (R, S).

    Args:
        states: every configuration of the Hilbert space, leading axis S.
    """

    def one(system: System) -> Array:
        log = of_all(wavefunction, system, states, chunk).log
        return jax.nn.softmax(2 * log.astype(jnp.float64))

    weight = over_family(one, family)
    x = jax.tree.map(lambda s: jnp.broadcast_to(s, (weight.shape[0], *s.shape)), states)
    return Batch(x, weight)


def systematic(key: PRNGKeyArray, share: Float[Array, " D"], count: int) -> tuple[Array, Array]:
    """``count`` different indices, each with a probability in proportion to its share, but never above one.

    Returns:
        The indices, and the probabilities with which they had to be there.
    """
    share = jnp.maximum(share, 1e-12 * jnp.max(share))

    def raised(_: int, scale: Array) -> Array:
        sure = scale * share >= 1
        rest = jnp.sum(jnp.where(sure, 0.0, share))
        return jnp.maximum(count - jnp.sum(sure), 1e-9) / jnp.maximum(rest, 1e-300)

    scale = jax.lax.fori_loop(0, 30, raised, count / jnp.sum(share))
    probability = jnp.minimum(1.0, scale * share)
    k_order, k_start = jax.random.split(key)
    order = jax.random.permutation(k_order, len(share))
    cumulated = jnp.cumsum(probability[order])
    marks = (jnp.arange(count) + jax.random.uniform(k_start)) * cumulated[-1] / count
    chosen = order[jnp.minimum(jnp.searchsorted(cumulated, marks), len(share) - 1)]
    return chosen, probability[chosen]
