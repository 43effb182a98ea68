"""What leaves the neighbours of a configuration: sum_y' |H_yy'| for every y that H connects x to.

The density of samples that were moved on needs it (``engine.one_move``). Listing the neighbours of all neighbours
costs more than a network. A move changes few of the elements, though: those whose strings multiply with a spin that it
turns, and by a sign alone, which is known beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from wavefoundry.problems.strings import by_mask, strings_of

LARGEST = 2**24
"""Most signs that are kept; beyond them neighbours are listed."""


class Outgoing(eqx.Module):
    """Off-diagonal elements as products of spins, slot by slot as in ``connected``, and how a move changes them."""

    support: Int[Array, "slots strings most"]  # sites a string multiplies with; filled up with one beyond the last
    weights: Float[Array, "slots strings"]
    term: Int[Array, " slots"]  # the coupling of a slot
    changed: Int[Array, "slots few"]  # slots whose elements a move changes; filled up with one beyond the last
    signs: Float[Array, "slots few strings"]  # by which each of their strings is multiplied

    def __call__(self, couplings: Float[Array, " terms"], x: Array) -> Float[Array, " slots"]:
        """The sum for the neighbour in every slot; of slots without an element it means nothing."""
        spins = jnp.append(x, 1).astype(jnp.float64)
        parts = self.weights * jnp.prod(spins[self.support], axis=-1)
        scale = jnp.append(jnp.abs(couplings[self.term]), 0.0)
        parts = jnp.concatenate([parts, jnp.zeros_like(parts[:1])])
        size = jnp.abs(jnp.sum(parts, axis=-1)) * scale
        after = jnp.abs(jnp.sum(parts[self.changed] * self.signs, axis=-1)) * scale[self.changed]
        total = jnp.sum(size) + jnp.sum(after - size[self.changed], axis=-1)
        return jnp.maximum(total, size[:-1])  # the way back is always there, whatever rounding makes of the rest


def turned_by_slot(operator: Any) -> Bool[np.ndarray, "slots sites"] | None:
    """The spins that every slot of ``get_conn_padded`` turns; None of an operator that is no sum of Pauli strings.

    A Pauli string flips the same sites whatever x is, so a few states with an element there tell.
    """
    if not isinstance(operator, nk.operator.PauliStringsJax):
        return None
    x = np.random.default_rng(2).choice(np.array([-1, 1], np.int8), (64, operator.hilbert.size))
    xs = jax.jit(lambda operator, x: operator.get_conn_padded(x)[0])(operator, x)
    return np.any(np.asarray(xs) != x[:, None, :], axis=0)


def off_diagonal(operator: Any, turned: Bool[np.ndarray, "slots sites"] | None) -> tuple[int, ...]:
    """Slots that can hold x' != x: those that turn a spin, and every one where that is not known."""
    if turned is None:
        return tuple(range(operator.max_conn_size))
    return tuple(int(slot) for slot in np.flatnonzero(turned.any(axis=1)))


def outgoing_of(operators: Sequence[Any], turned: Sequence[Bool[np.ndarray, "slots sites"] | None]) -> Outgoing | None:
    """That of a Hamiltonian; None where its elements are no sums of few Pauli strings.

    Args:
        operators: of every term. turned: from ``turned_by_slot``, of each.
    """
    found = []
    for term, (operator, masks) in enumerate(zip(operators, turned, strict=True)):
        strings = None if masks is None else strings_of(operator)
        if masks is None or strings is None:
            return None
        groups = {mask.tobytes(): (mask, signs, np.real(weights)) for mask, signs, weights in by_mask(strings)}
        for mask in masks[list(off_diagonal(operator, masks))]:
            if mask.tobytes() not in groups:
                return None
            found.append((term, *groups[mask.tobytes()]))
    return _arrays(found) if found else None


def _arrays(found: Sequence[tuple[int, np.ndarray, np.ndarray, np.ndarray]]) -> Outgoing | None:
    sites, slots = len(found[0][1]), len(found)
    strings = max(len(weights) for _, _, _, weights in found)
    most = max(1, max(int(signs.sum(axis=1).max()) for _, _, signs, _ in found))
    support = np.full((slots, strings, most), sites)
    weights = np.zeros((slots, strings))
    rows = np.zeros((slots, strings, sites), bool)
    for slot, (_, _, signs, values) in enumerate(found):
        rows[slot, : len(signs)], weights[slot, : len(values)] = signs, values
        for number, row in enumerate(signs):
            places = np.flatnonzero(row)
            support[slot, number, : len(places)] = places
    turned = [np.sum(rows & mask, axis=-1) % 2 == 1 for _, mask, _, _ in found]  # (slots, strings) of every move
    changed = [np.flatnonzero(np.any(odd & (weights != 0), axis=-1)) for odd in turned]
    few = max(1, max(len(one) for one in changed))
    if slots * few * strings > LARGEST:
        return None
    index, signs = np.full((slots, few), slots), np.ones((slots, few, strings))
    for slot, (one, odd) in enumerate(zip(changed, turned, strict=True)):
        index[slot, : len(one)], signs[slot, : len(one)] = one, np.where(odd[one], -1.0, 1.0)
    term = np.array([term for term, *_ in found])
    return Outgoing(*(jnp.asarray(part) for part in (support, weights, term, index, signs)))
