"""Moves that drift along the gradient of log|psi| (Metropolis-adjusted Langevin), for systems in continuous space."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.core.devices import mapped
from wavefoundry.core.types import System
from wavefoundry.engine.sampling import Walkers, members, over_family


def drift(gradient: Float[Array, "n 3"], tau: Array) -> Float[Array, "n 3"]:
    """Gradient of log|psi|, limited so that no particle drifts farther than it diffuses."""
    return gradient / jnp.sqrt(1 + tau * jnp.sum(gradient**2, axis=-1, keepdims=True))


def langevin(wavefunction: Any, family: System, walkers: Walkers, moves: int, chunk: int) -> Walkers:
    """Advance every chain by ``moves`` moves x + tau v(x) + sqrt(tau) noise, accepted by Metropolis-Hastings.

    Args:
        wavefunction, family, moves, chunk: as for ``engine.sampling.metropolis``.
        walkers: with a width for every member; tau = width^2.

    Source: Umrigar, Nightingale, Runge, J. Chem. Phys. 99, 2865 (1993), with a simpler limit of the drift.
    """
    key, k_run = jax.random.split(walkers.key)
    chains = walkers.x.shape[1]
    keys = jax.random.split(k_run, (members(family), chains))

    def one(system: System, xs: Array, ks: PRNGKeyArray, width: Array) -> tuple[Array, Array]:
        features, tau = wavefunction.bind(system), width**2
        value = jax.value_and_grad(lambda x: wavefunction.head(features(x)).log)

        def move(_: int, state: tuple) -> tuple:
            x, log, v, k, accepted = state
            k, k_step, k_accept = jax.random.split(k, 3)
            noise = width * jax.random.normal(k_step, x.shape, x.dtype)
            y = x + tau * v + noise
            new, gradient = value(y)
            w = drift(gradient, tau)
            back = x - y - tau * w
            log_ratio = (jnp.sum(noise**2) - jnp.sum(back**2)) / (2 * tau)
            go = jnp.log(jax.random.uniform(k_accept)) < 2 * (new - log).astype(jnp.float64) + log_ratio
            x, log, v = (jnp.where(go, a, b) for a, b in ((y, x), (new, log), (w, v)))
            return x, log, v, k, accepted + go

        def chain(state: tuple[Array, PRNGKeyArray]) -> tuple[Array, Array]:
            x, k = state
            log, gradient = value(x)
            start = (x, log, drift(gradient, tau), k, jnp.zeros((), int))
            x, _, _, _, accepted = jax.lax.fori_loop(0, moves, move, start)
            return x, accepted / max(moves, 1)

        return mapped(chain, (xs, ks), chunk)

    x, acceptance = over_family(one, family, walkers.x, keys, walkers.width)
    return Walkers(x, key, walkers.width, jnp.mean(acceptance, axis=1))
