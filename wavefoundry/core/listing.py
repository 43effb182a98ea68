"""All configurations of a small system, and where each of them stands in the list."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Int


def codes(xs: Int[Array, "*batch sites"]) -> Int[Array, "*batch"]:
    """Configurations of at most 62 spins as whole numbers, one bit for each."""
    return (xs > 0).astype(jnp.int64) @ (jnp.int64(1) << jnp.arange(xs.shape[-1], dtype=jnp.int64))


class Listing(eqx.Module):
    """Finds a configuration in a list."""

    sorted: Int[Array, " D"]
    order: Int[Array, " D"]

    @classmethod
    def of(cls, states: Int[Array, "D sites"]) -> Listing:
        """The list of all configurations."""
        found = codes(states)
        order = jnp.argsort(found)
        return cls(found[order], order.astype(jnp.int32))

    def places(self, xs: Int[Array, "*batch sites"]) -> Int[Array, "*batch"]:
        """Where they stand; -1 for what is not in the list."""
        wanted = codes(xs)
        near = jnp.clip(jnp.searchsorted(self.sorted, wanted), 0, len(self.sorted) - 1)
        return jnp.where(self.sorted[near] == wanted, self.order[near], -1)
