"""Local values of any operators that are sums of Pauli strings, on samples of any state, however many they connect.

(O psi)(x) / psi(x) of many operators at once: the network is asked once for every configuration that any of them leads
to, and only where an element is not zero. Elements may be complex, which those of a Hamiltonian here may not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Int

from wavefoundry.core.devices import on_devices, shared
from wavefoundry.core.listing import Listing
from wavefoundry.core.numerics import map_where
from wavefoundry.core.types import Psi
from wavefoundry.problems.strings import Strings

_LARGEST = 600.0  # log ratios beyond it would overflow when they are squared


class Operators(eqx.Module):
    """T operators as strings that share their flips; entries (flip mask, operator) are what strings add up to."""

    masks: Bool[Array, "masks sites"]  # the first one turns nothing
    signs: Bool[Array, "strings sites"]
    weights: Complex[Array, " strings"]
    entry: Int[Array, " strings"]
    mask: Int[Array, " entries"]
    term: Int[Array, " entries"]
    count: int = eqx.field(static=True)  # T

    def elements(self, x: Array) -> Array:
        """<x|O|x'> of every entry at one configuration, (entries,); x' is x with the mask of the entry turned."""
        odd = self.signs.astype(jnp.float32) @ (x < 0).astype(jnp.float32)
        return jax.ops.segment_sum(self.weights * (1 - 2 * (odd.astype(int) % 2)), self.entry, len(self.mask))


def operators_of(terms: Sequence[Strings], sublattice: np.ndarray | None = None) -> Operators:
    """Operators from their strings.

    Args:
        terms: of each operator. sublattice: sites that a sign rule rotates, (sites,): amplitudes are those of the
            rotated basis, in which an element changes sign with every site of these that it flips.
    """
    flips, signs = (np.concatenate([getattr(one, name) for one in terms]) for name in ("flips", "signs"))
    weights = np.concatenate([np.asarray(one.weights, complex) for one in terms])
    term = np.repeat(np.arange(len(terms)), [len(one.weights) for one in terms])
    # strings are kept as acting on x'; read at x, every site that is turned and counted changes the sign
    weights = weights * (1 - 2 * ((flips & signs).sum(axis=1) % 2))
    if sublattice is not None:
        weights = weights * (1 - 2 * (flips[:, sublattice].sum(axis=1) % 2))
    every = np.concatenate([np.zeros((1, flips.shape[1]), bool), flips])
    masks, place = np.unique(every, axis=0, return_inverse=True)  # all-False sorts first
    pairs, entry = np.unique(np.stack([place.reshape(-1)[1:], term]), axis=1, return_inverse=True)
    return Operators(
        jnp.asarray(masks), jnp.asarray(signs), jnp.asarray(weights), jnp.asarray(entry.reshape(-1)),
        jnp.asarray(pairs[0]), jnp.asarray(pairs[1]), len(terms),
    )  # fmt: skip


@eqx.filter_jit
@on_devices
def local_values(operators: Operators, amplitude: Callable[[Array], Psi], xs: Array, chunk: int) -> Array:
    """(O psi)(x) / psi(x) of every operator on samples (M, sites): complex, (M, T).

    Args:
        amplitude: psi of one configuration, a pytree: its arrays are data. chunk: configurations evaluated at a time.
    """
    masks = operators.masks
    size = int(np.clip(4 * chunk // len(masks), 1, xs.shape[0]))

    def log_psi(x: Array) -> Array:
        psi = amplitude(x)
        return jnp.stack([psi.log.astype(jnp.float64), psi.phase.astype(jnp.float64)])

    def batch(part: Array) -> Array:
        elements = jax.vmap(operators.elements)(part)  # (size, entries)
        sizes = jax.vmap(lambda e: jax.ops.segment_max(jnp.abs(e), operators.mask, len(masks)))(elements)
        there = jnp.where(masks, -part[:, None], part[:, None]).reshape(-1, part.shape[-1])
        active = (sizes > 1e-14).at[:, 0].set(True).reshape(-1)  # the first one is x itself
        log = map_where(log_psi, there, active, chunk).reshape(len(part), len(masks), 2)
        ratio = log - log[:, :1]
        ratio = jnp.exp(jnp.clip(ratio[..., 0], -_LARGEST, _LARGEST) + 1j * ratio[..., 1])
        values = jnp.where(jnp.abs(elements) > 1e-14, elements * ratio[:, operators.mask], 0)
        return jax.vmap(lambda v: jax.ops.segment_sum(v, operators.term, operators.count))(values)

    def in_batches(mine: Array) -> Array:
        whole = -(-len(mine) // size) * size
        padded = mine[jnp.minimum(jnp.arange(whole), len(mine) - 1)]
        found = jax.lax.map(batch, padded.reshape(-1, size, mine.shape[-1]))
        return found.reshape(whole, operators.count)[: len(mine)]

    return shared(in_batches, xs)


def applied(operators: Operators, vector: np.ndarray, states: np.ndarray) -> np.ndarray:
    """O v of every operator, (D, T), for a vector of amplitudes over all configurations of a small space.

    Args:
        operators: without a sign rule. vector: (D,). states: (D, sites), in its order.
    """
    down, listing = states < 0, Listing.of(jnp.asarray(states))
    found = np.zeros((len(states), operators.count), complex)
    term, mask = np.asarray(operators.term), np.asarray(operators.mask)
    signs, weights, entry = (np.asarray(part) for part in (operators.signs, operators.weights, operators.entry))
    for k, (t, m) in enumerate(zip(term, mask, strict=True)):
        mine = entry == k
        elements = (1 - 2 * (down.astype(np.int32) @ signs[mine].T.astype(np.int32) % 2)) @ weights[mine]
        turned = np.where(np.asarray(operators.masks)[m], -states, states)
        place = np.asarray(listing.places(jnp.asarray(turned)))
        found[:, t] += np.where(place >= 0, elements * vector[place], 0)
    return found
