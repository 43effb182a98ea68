"""What a lattice Hamiltonian is made of: its Pauli strings as arrays, and the matrix elements they add up to.

A string flips the spins of one mask and multiplies with the signs of another; strings of one flip mask share their
connected configuration. Everything that asks about the structure of H (gauges, symmetries, traces) asks it here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

_LISTED = 12  # sites whose spins are all tried; above that, patterns are drawn
_DRAWN = 4096


class Strings(NamedTuple):
    """Pauli strings: <x'|P|x> = weight * prod of x over ``signs``, where x' is x with ``flips`` turned."""

    flips: Bool[np.ndarray, "strings sites"]
    signs: Bool[np.ndarray, "strings sites"]
    weights: np.ndarray  # (strings,), complex where a string has an odd number of Y


def strings_of(operator: Any) -> Strings | None:
    """The strings of one NetKet operator; None if it is not a sum of Pauli strings."""
    if not hasattr(operator, "operators") or not hasattr(operator, "weights"):
        return None
    count, sites = len(operator.operators), operator.hilbert.size
    letters = np.array([list(str(string)) for string in operator.operators], dtype="<U1").reshape(count, sites)
    y = letters == "Y"
    weights = np.asarray(operator.weights) * (-1j) ** y.sum(axis=1)
    if not np.any(np.imag(weights)):
        weights = np.real(weights)
    return Strings((letters == "X") | y, (letters == "Z") | y, weights)


def combined(operators: Sequence[Any], couplings: Sequence[float]) -> Strings | None:
    """The strings of sum_k couplings[k] operators[k]; None if one of these that is on has none."""
    parts = []
    for coupling, operator in zip(couplings, operators, strict=True):
        if coupling == 0:
            continue
        strings = strings_of(operator)
        if strings is None:
            return None
        parts.append(strings._replace(weights=strings.weights * coupling))
    if not parts:
        empty = np.zeros((0, operators[0].hilbert.size), bool)
        return Strings(empty, empty, np.zeros(0))
    return Strings(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Elements(NamedTuple):
    """The off-diagonal elements of one flip mask over the configurations of the sector."""

    mask: Bool[np.ndarray, " sites"]
    values: np.ndarray  # (patterns,), one for each pattern of the spins they depend on


def elements(strings: Strings, hilbert: Any) -> Iterator[Elements]:
    """Off-diagonal elements by flip mask, over all patterns of spins that the sector holds before and after the flip.

    Up to 12 spins are listed, of more 4096 patterns are drawn.
    """
    order = np.lexsort(strings.flips.T)
    if not len(order):
        return
    flips = strings.flips[order]
    starts = np.flatnonzero(np.append(True, np.any(flips[1:] != flips[:-1], axis=1)))
    states = _sector_sample(hilbert)
    for group in np.split(order, starts[1:]):
        mask = strings.flips[group[0]]
        if not mask.any():
            continue
        signs, weights = strings.signs[group], strings.weights[group]
        if states is None:
            sites, patterns = _patterns(np.any(signs, axis=0), mask, hilbert)
        else:
            sites = np.arange(len(mask))
            patterns = states[hilbert.constraint(np.where(mask, -states, states))]
        products = np.stack([np.prod(patterns[:, row[sites]], axis=1) for row in signs], axis=-1)
        yield Elements(mask, products @ weights)


def _sector_sample(hilbert: Any) -> np.ndarray | None:
    """Configurations of a space with a constraint of its own; None where patterns of few spins say it all."""
    if not hilbert.constrained or type(hilbert.constraint).__name__ == "SumConstraint":
        return None
    import jax

    if hilbert.is_indexable and hilbert.n_states <= _DRAWN:
        return np.asarray(hilbert.all_states())
    return np.asarray(hilbert.random_state(jax.random.key(0), _DRAWN))


def _patterns(
    support: Bool[np.ndarray, " sites"], mask: Bool[np.ndarray, " sites"], hilbert: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Sites, and the patterns (patterns, sites) of their spins that belong to the magnetisation sector."""
    fixed = bool(hilbert.constrained)
    sites = np.flatnonzero(support | mask if fixed else support)
    count = len(sites)
    if count <= _LISTED:
        patterns = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    else:
        patterns = np.random.default_rng(0).choice([-1, 1], size=(_DRAWN, count))
    if fixed:
        total = float(np.sum(np.asarray(hilbert.random_state(_key()))))
        kept = patterns[:, mask[sites]].sum(axis=1) == 0
        rest = np.abs(total - patterns.sum(axis=1)) <= hilbert.size - count
        patterns = patterns[kept & rest]
    return sites, patterns


def _key() -> Any:
    import jax

    return jax.random.key(0)
