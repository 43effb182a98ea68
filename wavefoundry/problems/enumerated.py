"""A small lattice system with all its configurations listed: the full sum instead of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from wavefoundry.core.devices import mapped
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import MOST_STATES
from wavefoundry.core.listing import Listing
from wavefoundry.core.types import Connected, Local, Psi, System, Wavefunction, of_all
from wavefoundry.problems import exact
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import count_states

"""Most configurations that are listed."""


class EnumeratedSystem(System):
    """All D configurations of a lattice system with their connections: one network evaluation each gives everything.

    ``expand_batch`` takes the whole list ``states``, in order.
    """

    lattice: LatticeSystem
    states: Array  # (D, sites)
    index: Array  # (D, K), which state each connected configuration is
    mels: Array  # (D, K, terms)
    diagonal: Array  # (D, terms)

    @property
    def couplings(self) -> Float[Array, " terms"]:  # type: ignore[override]
        """Couplings of the lattice system."""
        return self.lattice.couplings

    def varying(self) -> PyTree[bool]:
        """The members of a lattice family differ in their couplings alone."""
        nothing = jax.tree.map(lambda _: False, self)
        return eqx.tree_at(lambda s: s.lattice.couplings, nothing, True)

    def family(self, points: list[dict[str, float]]) -> EnumeratedSystem:
        """Several members at once."""
        return eqx.tree_at(lambda s: s.lattice, self, self.lattice.family(points))

    def init(self, key: PRNGKeyArray) -> Array:
        """A random configuration of the allowed sector."""
        return self.lattice.init(key)

    def propose(self, key: PRNGKeyArray, x: Array, width: Array) -> tuple[Array, Array]:
        """The moves of the lattice system."""
        return self.lattice.propose(key, x, width)

    def expand_batch(self, features: Callable[[Array], Array], xs: Any, chunk: int) -> Local:
        """Features of every state once; those of connected configurations are looked up."""
        return self.connect(mapped(features, xs, chunk))

    def act(self, wavefunction: Wavefunction, chunk: int) -> tuple[Array, Array]:
        """psi, normalised, and H psi of all states; real where the wavefunction is."""
        found = of_all(wavefunction, self, self.states, chunk)
        log = found.log.astype(jnp.float64)
        psi = jnp.exp(log - jnp.max(log))
        if not wavefunction.real:
            psi = psi * jnp.exp(1j * found.phase.astype(jnp.float64))
        psi = psi / jnp.linalg.norm(psi)
        mels, diagonal = self.mels @ self.couplings, self.diagonal @ self.couplings
        return psi, diagonal * psi + jnp.einsum("dk,dk->d", mels, psi[self.index])

    def connect(self, z: Float[Array, "D features"]) -> Local:
        """What local energies need, from the features of all states."""
        return Local(z, z[self.index], self.mels, self.diagonal)

    def contract(self, head: Callable[[Array], Psi], local: Local) -> Array:
        """As for the lattice system."""
        return self.lattice.contract(head, local)


@jax.jit
def _connected(system: LatticeSystem, states: Array) -> Connected:
    return jax.lax.map(system.connected, states, batch_size=1024)


def enumerate_states(system: LatticeSystem) -> EnumeratedSystem:
    """List all configurations of a lattice system.

    Raises:
        InputError: more than 2^18 configurations.
    """
    if count_states(system.hilbert, 20) > MOST_STATES:
        raise InputError(
            f"a full sum over {system.sites} sites is too large",
            where="sampling",
            why=f"at most {MOST_STATES} configurations are listed",
            fix='use sampling = "metropolis"',
        )
    states = jnp.asarray(exact.basis(system.hilbert))
    connected = _connected(system, states)
    # a zero matrix element may point outside the sector, which has no place: any state will do there
    index = jnp.maximum(Listing.of(states).places(connected.x), 0)
    return EnumeratedSystem(system, states, index, connected.mels, connected.diagonal)
