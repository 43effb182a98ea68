"""Pools: samples whose features are computed once and serve every head and every coupling within reach.

A pool is drawn from the |psi|^2 of one head. For another head its samples are re-weighted; what is then estimated is a
training signal. Reported numbers come from fresh samples of the final head.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.types import Head, System, Wavefunction
from wavefoundry.engine.guided import Guide, fit_guide, guided
from wavefoundry.engine.sampling import Walkers, full_sum
from wavefoundry.models.projection import ListedHead


class Pool(NamedTuple):
    """M = C n samples of C chains, chain by chain, with everything the backbone has to say about them."""

    x: Any  # (M, ...) configurations
    local: Any  # leading axis M
    log_q: Float[Array, " M"]  # log of the density they were drawn from, up to a constant


class Layout(NamedTuple):
    """Shape of a pool, compiled in.

    Chains, samples per chain, sweeps before the first one (one sweep lies between samples), and how many configurations
    are evaluated at a time.
    """

    chains: int
    samples: int
    warm_up: int
    chunk: int


def ready(head: Head) -> Head:
    """A head for many features: one that knows those of all configurations first finds all amplitudes."""
    return head.ready() if isinstance(head, ListedHead) else head  # type: ignore[return-value]


def log_psi(head: Head, z: Array, chunk: int = 1024) -> Array:
    """log|psi| for many feature vectors (M, width)."""
    head = ready(head)
    return mapped(lambda v: head(v).log.astype(jnp.float64), z, chunk)


@eqx.filter_jit
@on_devices
def sample(
    wavefunction: Wavefunction, family: System, x: PyTree, key: PRNGKeyArray, guide: Guide, layout: Layout
) -> tuple[PyTree, Array]:
    """Samples of |psi|^2, chain by chain (C n, ...), and the acceptance rate.

    Statistics and the held-out part need whole chains, hence the order.

    Args:
        wavefunction: state to be sampled. family: of one member, what the network is conditioned on.
        x: starting configurations of the chains (C, ...). key: random key.
        guide: proposals, see ``engine.guided``. layout: shape of the pool.
    """
    x, guide = jax.tree.map(lambda a: a[None], (x, guide))
    walkers = Walkers(x, key, jnp.ones(()), jnp.zeros(()))

    def sweep(walkers: Walkers) -> Walkers:
        return guided(wavefunction, family, walkers, guide, layout.chunk)

    def next_sample(walkers: Walkers, sweeps: Array) -> tuple[Walkers, tuple[PyTree, Array]]:
        walkers = jax.lax.fori_loop(0, sweeps, lambda _, w: sweep(w), walkers)
        return walkers, (jax.tree.map(lambda a: a[0], walkers.x), walkers.acceptance)

    sweeps = jnp.ones(layout.samples, int).at[0].add(layout.warm_up)
    _, (xs, acceptance) = jax.lax.scan(next_sample, walkers, sweeps)
    xs = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1).reshape(-1, *a.shape[2:]), xs)
    return xs, jnp.mean(acceptance)


@eqx.filter_jit
@on_devices
def sample_listed(
    wavefunction: Wavefunction, family: System, states: Array, key: PRNGKeyArray, count: int, chunk: int
) -> Array:
    """Samples of |psi|^2 that are independent of each other, from a list of everything: nothing can be missed.

    Args:
        wavefunction: state to be sampled. family: its first member is what the network is conditioned on.
        states: all configurations of a small system, (D, sites). key: random key. count: how many samples.
        chunk: configurations evaluated at a time.
    """
    weight = full_sum(wavefunction, family, states, min(chunk, states.shape[0])).weight[0]
    return jax.random.choice(key, states, (count,), p=weight)


def only_member(family: System) -> System:
    """The system of a family of one."""
    varying, shared = eqx.partition(family, family.varying())
    return eqx.combine(jax.tree.map(lambda a: a[0], varying), shared)


@eqx.filter_jit
@on_devices
def fill(wavefunction: Wavefunction, family: System, xs: PyTree, chunk: int) -> Pool:
    """Run the backbone over given samples of the wavefunction's |psi|^2 (``family`` has one member)."""
    system = only_member(family)
    local = system.expand_batch(lambda x: wavefunction.features(system, x), xs, chunk)
    return Pool(xs, local, 2 * log_psi(wavefunction.head, local.z))  # type: ignore[arg-type]


def contract(system: System, head: Head, pool: Pool, chunk: int = 256) -> Array:
    """Term-wise local energies of a head on a pool, (M, terms): the cheap half."""
    head = ready(head)
    return mapped(lambda part: system.contract(head, part), pool.local, chunk)


def weights(log: Float[Array, " M"], log_q: Float[Array, " M"]) -> tuple[Float[Array, " M"], Float[Array, ""]]:
    """Self-normalised importance weights and the effective sample fraction ESS/M."""
    w = jax.nn.softmax(2 * log - log_q)
    return w, 1.0 / (w.shape[0] * jnp.sum(w * w))


@eqx.filter_jit
@on_devices
def resample(key: PRNGKeyArray, pool: Pool, head: Head, chains: int, extent: tuple[int, ...]) -> tuple[PyTree, Guide]:
    """Starting configurations and proposals for a new head, from a pool with its importance weights.

    The configurations are distributed as the new |psi|^2 wherever the pool reaches, so a short warm-up is enough.
    """
    log = log_psi(head, pool.local.z)
    w, _ = weights(log, pool.log_q)
    # systematic resampling: one uniform number, lowest variance
    positions = (jnp.arange(chains) + jax.random.uniform(key)) / chains
    index = jnp.clip(jnp.searchsorted(jnp.cumsum(w), positions), 0, w.shape[0] - 1)
    return jax.tree.map(lambda a: a[index], pool.x), fit_guide(pool.x, log, w, extent)


def combine(pools: tuple[Pool, ...], heads: tuple[Head, ...], rounds: int = 20) -> Pool:
    """Merge pools of the same backbone drawn from different heads into one (multistate reweighting).

    Every sample counts as drawn from the mixture of all densities (balance heuristic); the unknown ratios of norms
    are found self-consistently. The pools must have equal sizes.
    """
    local = jax.tree.map(lambda *a: jnp.concatenate(a), *[pool.local for pool in pools])
    x = jax.tree.map(lambda *a: jnp.concatenate(a), *[pool.x for pool in pools])
    logs = 2 * jnp.stack([log_psi(head, local.z) for head in heads])  # (pools, M)

    def mixture(log_norm: Array) -> Array:
        return jax.scipy.special.logsumexp(logs - log_norm[:, None], axis=0)

    def body(_: int, log_norm: Array) -> Array:
        new = jax.scipy.special.logsumexp(logs - mixture(log_norm)[None], axis=1)
        return new - new[0]

    log_norm = jax.lax.fori_loop(0, rounds, body, jnp.zeros(len(pools)))
    return Pool(x, local, mixture(log_norm))
