"""Diagonal observables of spin configurations, and their exact values where the ground state is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

if TYPE_CHECKING:
    from wavefoundry.problems.spins import LatticeSystem


def names(system: LatticeSystem) -> list[str]:
    """Names of what ``measure`` returns, in its order.

    m2, m4, abs_m: moments of the magnetisation per site m = (1/N) sum_i Z_i (of the staggered one for j1j2, where
    the uniform one vanishes); correlation_r: <Z_0 Z_r> at r sites along the first axis, averaged over the lattice.
    """
    prefix = "staggered_" if system.model == "j1j2" else ""
    moments = [f"{prefix}{moment}" for moment in ("m2", "m4", "abs_m")]
    return moments + [f"correlation_{r}" for r in range(1, distances(system) + 1)]


def distances(system: LatticeSystem) -> int:
    """Longest distance of the correlation function: half the chain when periodic, else all of it; at most 32."""
    edge = system.extent[0]
    return min(32, edge // 2 if system.periodic else edge - 1)


def measure(system: LatticeSystem) -> Callable[[Array], Float[Array, " observables"]]:
    """The observables of one configuration (sites,), see ``names``."""
    staggered = np.indices(system.extent).sum(axis=0).reshape(-1) % 2 if system.model == "j1j2" else np.zeros(1)
    signs = 1.0 - 2.0 * staggered
    edge, periodic, longest = system.extent[0], system.periodic, distances(system)

    def one(x: Array) -> Array:
        spins = x.astype(jnp.float64)
        m = jnp.mean(spins * signs)
        grid = spins.reshape(system.extent)
        correlations = []
        for r in range(1, longest + 1):
            product = grid * jnp.roll(grid, -r, axis=0)
            correlations.append(jnp.mean(product if periodic else product[: edge - r]))
        return jnp.stack([m**2, m**4, jnp.abs(m), *correlations])

    return one


def exact_values(system: LatticeSystem) -> tuple[float | None, dict[str, float]]:
    """Exact ground-state energy and observables, as far as they are known.

    Closed form for the periodic ferromagnetic Ising chain (energy, m2, correlations), Lanczos up to 20 sites (all).
    """
    from wavefoundry.problems import exact

    values = system.values
    closed_form = system.model == "ising" and len(system.extent) == 1 and system.periodic and values["J"] > 0
    if closed_form and system.sites % 2 == 0:
        chain = exact.ising_chain(system.sites, values["h"], values["J"])
        known = {"m2": float(chain.m2)}
        known |= {f"correlation_{r}": float(chain.correlation[r]) for r in range(1, distances(system) + 1)}
        return float(chain.energy), known
    if system.sites > 20:
        return None, {}
    energy, vector = exact.ground_state(system.operator())
    weight = np.abs(vector) ** 2
    states = jnp.asarray(exact.basis(system.hilbert))
    table = np.asarray(jax.lax.map(measure(system), states, batch_size=4096))
    return float(energy), dict(zip(names(system), map(float, weight @ table), strict=True))
