"""A network for lattices in one file: products of pairs of spins at every distance round a ring, with a head on top."""

import dataclasses
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from wavefoundry.core.networks import Network, keys_of, register
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.heads import make_head


class Pairs(eqx.Module):
    """Features: mixtures of the magnetisation and of correlations at every distance."""

    mixture: Float[Array, "pairs width"]

    def __call__(self, condition: Array | None, x: Array) -> Float[Array, " width"]:
        """Features of one configuration, (sites,)."""
        spins = x.astype(self.mixture.dtype)
        pairs = [jnp.mean(spins * jnp.roll(spins, r)) for r in range(1, len(spins) // 2 + 1)]
        return jnp.stack([jnp.mean(spins), *pairs]) @ self.mixture


@dataclasses.dataclass(frozen=True)
class PairsSpec:
    """Its description: the fields are the keys of a study file."""

    features: Annotated[int, Field(ge=1, le=256, description="mixtures of correlations")] = 8
    precision: Literal["float32", "float64"] = "float64"

    def build(self, key: PRNGKeyArray, extent: tuple[int, ...], *, sign_free: bool, **_: Any) -> Wavefunction:
        """The network for a lattice."""
        first, second = jax.random.split(key)
        dtype = jnp.dtype(self.precision)
        mixture = 0.3 * jax.random.normal(first, (extent[0] // 2 + 1, self.features), dtype)
        head = make_head(second, self.features, "real" if sign_free else "complex", False, dtype)
        return Wavefunction(Pairs(mixture), head, ())


NETWORK = register(Network("pairs", "correlations of pairs", PairsSpec, keys_of(PairsSpec), tunable=True))
