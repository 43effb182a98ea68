"""Metropolis with proposals made by a cheap model of log|psi|: the network runs once per proposal, not once per move.

The model is a pair (Jastrow) form fitted by least squares. Delayed acceptance makes the result exact however bad the
model is, but not fast: a chain that is where the model sees nothing stays there. So it serves to measure states, whose
chains are many and compared, and not to train them: such a chain is a sample with a huge residual at every step, and
what it teaches a network ruins it.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.types import Config, System, Wavefunction
from wavefoundry.engine.sampling import Walkers, members, over_family

PROPOSALS = 4
"""Accepted proposals, each of a sweep of the model's moves, between two samples of a pool."""
LEAST_ACCEPTANCE = 0.3
"""Of a model's proposals, for the model to be used: one that knows less leaves chains behind, unlike the rest."""
PLAIN = 4
"""One in so many moves is an ordinary one beside a model: chains that the model holds fast leave by these."""


class Guide(NamedTuple):
    """A cheap model g(x) = x . pair . x of log|psi|, and how chains are to use it.

    One sweep of ``guided`` makes ``rounds`` proposals, each the end of a Metropolis move per site among which the model
    decides, then ``plain`` ordinary moves. A zero model with ``rounds`` = 0 is ordinary Metropolis.
    """

    pair: Float[Array, "sites sites"]
    rounds: Array
    plain: Array


def guided(wavefunction: Wavefunction, family: System, walkers: Walkers, guide: Guide, chunk: int) -> Walkers:
    """Advance every chain by one sweep whose proposals are made by a cheap model of log|psi|.

    The model's own chain leaves |exp g|^2 invariant, so accepting where it ended with
    min(1, |psi(y) exp g(x)|^2 / |psi(x) exp g(y)|^2) leaves |psi|^2 invariant however good or bad the model is. The
    network is evaluated once per proposal instead of once per move.

    Args:
        wavefunction, family, walkers, chunk: as for ``metropolis``. guide: one for every member (leading axis R),
        arrays, so that it may change without recompilation; it must not depend on the present walkers.

    Source: delayed acceptance with a learnt model, arXiv 1610.03137.
    """
    key, k_run = jax.random.split(walkers.key)
    chains = jax.tree.leaves(walkers.x)[0].shape[1]
    keys = jax.random.split(k_run, (members(family), chains))

    def one(system: System, xs: Config, ks: PRNGKeyArray, guide: Guide) -> tuple[Config, Array]:
        total = guide.rounds + guide.plain

        def log_abs(x: Config) -> Array:
            return wavefunction(system, x).log.astype(jnp.float64)

        def model(x: Config, scale: Array) -> Array:
            spins = x.astype(guide.pair.dtype)
            return scale * (spins @ guide.pair @ spins).astype(jnp.float64)

        def move(scale: Array, keys: PRNGKeyArray, limits: Array, i: Array, state: tuple) -> tuple:
            x, g = state
            y, log_ratio = system.propose(keys[i], x, walkers.width)
            new = model(y, scale)
            go = limits[i] < 2 * (new - g) + log_ratio
            return jnp.where(go, y, x), jnp.where(go, new, g)

        def proposal(i: Array, state: tuple) -> tuple:
            x, log, k, accepted = state
            scale = jnp.where(i < guide.rounds, 1.0, 0.0)
            g, moves = model(x, scale), jnp.where(i < guide.rounds, x.shape[-1], 1)
            k, k_moves, k_limits, k_accept = jax.random.split(k, 4)
            # random numbers of a whole sweep at once: drawn one by one they would cost more than the model
            keys = jax.random.split(k_moves, x.shape[-1])
            limits = jnp.log(1 - jax.random.uniform(k_limits, x.shape, jnp.float32))
            y, g_new = jax.lax.fori_loop(0, moves, functools.partial(move, scale, keys, limits), (x, g))
            new = log_abs(y)
            go = jnp.log(jax.random.uniform(k_accept)) < 2 * (new - log - g_new + g)
            return jnp.where(go, y, x), jnp.where(go, new, log), k, accepted + go

        def chain(state: tuple[Config, PRNGKeyArray]) -> tuple[Config, Array]:
            x, k = state
            x, _, _, accepted = jax.lax.fori_loop(0, total, proposal, (x, log_abs(x), k, jnp.zeros((), int)))
            return x, accepted / jnp.maximum(total, 1)

        return mapped(chain, (xs, ks), chunk)

    x, acceptance = over_family(one, family, walkers.x, keys, guide)
    return Walkers(x, key, walkers.width, jnp.mean(acceptance))


def fit_guide(
    xs: Int[Array, "M sites"],
    log: Float[Array, " M"],
    weight: Float[Array, " M"],
    extent: tuple[int, ...],
) -> Guide:
    """Pair model of log|psi| for the proposals of ``guided``, and how to use it.

    Least squares on spin products at every periodic displacement. The variance the model leaves unexplained fixes
    the expected acceptance, and with it the number of proposals that make up a sweep. Where the model is no good,
    chains walk by ordinary moves.

    Args:
        xs: spins +-1, samples of a density near |psi|^2; not those the chains start from afterwards.
        log: log|psi| of them. weight: importance weights, summing to 1. extent: of the lattice.
    """
    sites = xs.shape[-1]
    axes = tuple(range(1, 1 + len(extent)))
    spins = xs.reshape(-1, *extent).astype(jnp.float64)
    pairs = jnp.fft.ifftn(jnp.abs(jnp.fft.fftn(spins, axes=axes)) ** 2, axes=axes).real.reshape(-1, sites)
    pairs = pairs - weight @ pairs
    target = log - weight @ log
    gram = (pairs * weight[:, None]).T @ pairs
    ridge = 1e-6 * jnp.trace(gram) + 1e-12
    coefficients = jnp.linalg.solve(gram + ridge * jnp.eye(sites), (pairs * weight[:, None]).T @ target)
    left = 4 * (weight @ (target - pairs @ coefficients) ** 2)  # variance of log |psi / exp g|^2
    left = left / jnp.maximum(1 - (sites // 2) * jnp.sum(weight**2), 0.1)  # the fit has taken its share
    acceptance = jax.lax.erfc(0.5 * jnp.sqrt(left))
    rounds = jnp.ceil(PROPOSALS / jnp.maximum(acceptance, 1e-3)).astype(int)
    good = jnp.isfinite(left) & (2 * rounds < sites) & (acceptance > LEAST_ACCEPTANCE)
    place = np.stack(np.unravel_index(np.arange(sites), extent), axis=-1)
    apart = (place[None] - place[:, None]) % np.array(extent)
    displacement = np.ravel_multi_index(tuple(np.moveaxis(apart, -1, 0)), extent)
    return Guide(
        jnp.where(good, coefficients[displacement], 0.0).astype(jnp.float32),
        jnp.where(good, rounds, 0),
        jnp.where(good, max(1, sites // PLAIN), sites),
    )


@eqx.filter_jit
@on_devices
def guide_at(wavefunction: Wavefunction, family: System, xs: PyTree, extent: tuple[int, ...], chunk: int) -> Guide:
    """Proposals for the only member of a family from equally weighted samples (M, ...) of its |psi|^2.

    They may be the walkers of a training.
    """

    def one(system: System, xs: PyTree) -> Guide:
        log = mapped(lambda x: wavefunction(system, x).log.astype(jnp.float64), xs, chunk)
        return fit_guide(xs, log, jnp.full(log.shape, 1.0 / log.shape[0]), extent)

    return jax.tree.map(lambda a: a[0], over_family(one, family, jax.tree.map(lambda a: a[None], xs)))
