"""States of small systems as tables: what is known of a configuration is looked up by its place in the list of all."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from wavefoundry.core.listing import Listing
from wavefoundry.core.types import Psi, System, Wavefunction


class Number(eqx.Module):
    """A backbone whose only feature is the place of a configuration in the list, in the precision of a head."""

    listing: Listing
    dtype: jnp.dtype = eqx.field(static=True)

    def __call__(self, condition: Float[Array, " c"] | None, x: Array) -> Float[Array, " 1"]:
        """The place of one configuration; exact, there are fewer than 2^24."""
        return self.listing.places(x).astype(self.dtype)[None]


class Amplitudes(eqx.Module):
    """Amplitudes of all configurations, by their places; none where there is no place."""

    log: Float[Array, " D"]
    phase: Float[Array, " D"]
    real: bool = eqx.field(static=True)

    def __call__(self, z: Float[Array, " 1"]) -> Psi:
        """That of one."""
        i = z[0].astype(jnp.int32)
        return Psi(jnp.where(i < 0, -jnp.inf, self.log[i]), self.phase[i])


def tabled(wavefunction: Wavefunction, system: System, states: Int[Array, "D sites"], chunk: int) -> Wavefunction:
    """The same state as a table of all its amplitudes."""
    found = wavefunction.of_all(system, states, chunk)
    return Wavefunction(
        Number(Listing.of(states), found.log.dtype), Amplitudes(found.log, found.phase, wavefunction.real)
    )
