"""What a lattice Hamiltonian is made of: its Pauli strings as arrays, and the matrix elements they add up to.

A string flips the spins of one mask and multiplies with the signs of another; strings of one flip mask share their
connected configuration. Everything that asks about the structure of H (gauges, symmetries, traces) asks it here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

_LISTED = 12  # sites whose spins are all tried; above that, patterns are drawn
_DRAWN = 4096
DROPPED = 1e-8
"""Weights of strings up to which NetKet leaves them out."""
_NUMBERED = 62  # spins whose configuration is a whole number (core/listing.py)


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
    letters = np.ascontiguousarray(operator.operators, dtype=f"<U{sites}").view("<U1").reshape(count, sites)
    return from_letters(letters, np.asarray(operator.weights))


def from_letters(letters: np.ndarray, weights: np.ndarray) -> Strings:
    """Strings from their letters I, X, Y, Z, (strings, sites), and weights; these come out real where they can."""
    y = letters == "Y"
    weights = weights * 1j ** y.sum(axis=1)  # <-s|Y|s> = i s
    return Strings(
        (letters == "X") | y, (letters == "Z") | y, weights if np.any(np.imag(weights)) else np.real(weights)
    )


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


def fingerprint(names: Sequence[str], operators: Sequence[Any]) -> str:
    """What tells families of Hamiltonians apart: their space, and the elements of every term to eight digits.

    Not the couplings, which make the members of one family, nor a sign rule, which changes no energy.
    """
    hilbert = operators[0].hilbert
    fixed = getattr(getattr(hilbert, "constraint", None), "sum_value", "") if hilbert.constrained else None
    kind = type(hilbert.constraint).__name__ if hilbert.constrained else ""
    sums = hashlib.sha256(f"{hilbert.size} {kind} {fixed}".encode())
    for name, operator in sorted(zip(names, operators, strict=True)):
        strings = strings_of(operator)
        rows, values = _probed(operator) if strings is None else _sorted_rows(strings)
        scale = float(np.max(np.abs(values), initial=0.0)) or 1.0
        told = np.round(np.stack([np.real(values), np.imag(values)]) / scale, 8) + 0.0  # no negative zeros
        sums.update(name.encode() + f" {scale:.8e} ".encode() + rows + told.tobytes())
    return sums.hexdigest()


def _sorted_rows(strings: Strings) -> tuple[bytes, np.ndarray]:
    """Different strings in one order, and their weights; those that add up to nothing are left out."""
    rows, place = np.unique(np.concatenate([strings.flips, strings.signs], axis=1), axis=0, return_inverse=True)
    weights = np.zeros(len(rows), complex)
    np.add.at(weights, place.ravel(), strings.weights)
    kept = np.abs(weights) > 1e-12 * np.max(np.abs(weights), initial=0.0)
    return np.packbits(rows[kept]).tobytes(), weights[kept]


def weights_of(strings: Strings) -> np.ndarray:
    """Weights of the different strings but that of the identity, which is a constant."""
    some = np.any(strings.flips | strings.signs, axis=1)
    return _sorted_rows(Strings(*(part[some] for part in strings)))[1]


def is_constant(operator: Any) -> bool:
    """Whether an operator is a multiple of the identity."""
    strings = strings_of(operator)
    return strings is not None and not np.any(weights_of(strings))


def _probed(operator: Any) -> tuple[bytes, np.ndarray]:
    """What an operator without strings makes of some configurations."""
    xs = 1 - 2 * np.random.default_rng(0).integers(0, 2, size=(64, operator.hilbert.size), dtype=np.int8)
    weight = np.random.default_rng(1).standard_normal(operator.hilbert.size)
    moved, elements = (np.asarray(part) for part in operator.get_conn_padded(xs))
    return b"", np.concatenate([elements.sum(axis=1), (elements * (moved @ weight)).sum(axis=1)])


def identity_part(operator: Any) -> float:
    """Tr O / 2^sites of one operator: the weight of the identity, or the mean diagonal element where it has no strings.

    That mean is over all configurations up to 16 sites, over 2^16 random ones beyond.
    """
    strings = strings_of(operator)
    if strings is not None:
        return float(np.real(strings.weights[~np.any(strings.flips | strings.signs, axis=1)].sum()))
    sites = operator.hilbert.size
    if sites <= 16:
        bits = (np.arange(2**sites)[:, None] >> np.arange(sites)) & 1
    else:
        bits = np.random.default_rng(0).integers(0, 2, size=(2**16, sites))
    return _mean_diagonal(operator, 1 - 2 * bits)


def _mean_diagonal(operator: Any, states: np.ndarray) -> float:
    """Mean diagonal element over some configurations."""
    total = 0.0
    for x in np.array_split(states.astype(np.int8), max(1, len(states) // 4096)):
        moved, elements = (np.asarray(part) for part in operator.get_conn_padded(x))
        total += float(np.real(np.where(np.all(moved == x[:, None, :], axis=-1), elements, 0.0)).sum())
    return total / len(states)


def infinite_temperature(operator: Any) -> float:
    """Energy of infinite temperature of one operator: the mean diagonal element over the space it acts on.

    A field along a fixed magnetisation is a constant there, and so is much else where configurations are excluded.
    Where the magnetisation is zero it is Tr O / 2^sites, as is the custom for exchange models: their bonds have a mean
    of -1 / (sites - 1) of their size in that sector, fields have none. Over constraints of a user's own the mean is
    that of all configurations up to 4096, of so many random ones beyond.
    """
    hilbert = operator.hilbert
    if not hilbert.constrained:
        return identity_part(operator)
    states = _sector_sample(hilbert)
    if states is not None:
        return _mean_diagonal(operator, states)
    total, sites, strings = round(float(hilbert.constraint.sum_value)), hilbert.size, strings_of(operator)
    if total == 0:
        return identity_part(operator)
    if strings is None:
        import jax

        return _mean_diagonal(operator, np.asarray(hilbert.random_state(jax.random.key(0), _DRAWN)))
    fixed = ~np.any(strings.flips, axis=1)
    counts, weights = strings.signs[fixed].sum(axis=1), np.real(strings.weights[fixed])
    means = {int(count): _mean_product(int(count), sites, (sites - total) // 2) for count in np.unique(counts)}
    return float(sum(weight * means[int(count)] for count, weight in zip(counts, weights, strict=True)))


def _mean_product(count: int, sites: int, down: int) -> float:
    """Mean of the product of some spins over all configurations with so many down."""
    ways = sum(
        (-1) ** k * math.comb(count, k) * math.comb(sites - count, down - k) for k in range(min(count, down) + 1)
    )
    return ways / math.comb(sites, down)


class Elements(NamedTuple):
    """The off-diagonal elements of one flip mask over the configurations of the sector."""

    mask: Bool[np.ndarray, " sites"]
    values: np.ndarray  # (patterns,), one for each pattern of the spins they depend on


def elements(strings: Strings, hilbert: Any) -> Iterator[Elements]:
    """Off-diagonal elements by flip mask, over all patterns of spins that the sector holds before and after the flip.

    Up to 12 spins are listed, of more 4096 patterns are drawn.
    """
    states = _sector_sample(hilbert)
    for mask, signs, weights in by_mask(strings):
        if states is None:
            sites, patterns, inside = _patterns(np.any(signs, axis=0), mask, hilbert)
            patterns = patterns[inside]
        else:
            sites = np.arange(len(mask))
            patterns = states[np.asarray(hilbert.constraint(np.where(mask, -states, states)))]
        yield Elements(mask, _values(sites, patterns, signs, weights))


def by_mask(strings: Strings) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Off-diagonal strings by flip mask: the mask (sites,), then signs (n, sites) and weights (n,) of its strings."""
    order = np.lexsort(strings.flips.T)
    if not len(order):
        return
    flips = strings.flips[order]
    starts = np.flatnonzero(np.append(True, np.any(flips[1:] != flips[:-1], axis=1)))
    for group in np.split(order, starts[1:]):
        if strings.flips[group[0]].any():
            yield strings.flips[group[0]], strings.signs[group], strings.weights[group]


def leaving(strings: Strings, hilbert: Any) -> bool:
    """Whether an element leads out of a space of fixed magnetisation."""
    for mask, signs, weights in by_mask(strings):
        sites, patterns, inside = _patterns(np.any(signs, axis=0), mask, hilbert)
        if np.any(np.abs(_values(sites, patterns[~inside], signs, weights)) > 1e-10):
            return True
    return False


def _values(sites: np.ndarray, patterns: np.ndarray, signs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Elements of one flip mask for patterns (patterns, sites) of the spins on ``sites``."""
    products = np.stack([np.prod(patterns[:, row[sites]], axis=1) for row in signs], axis=-1)
    return products @ weights


def count_states(hilbert: Any, most: int = 16) -> float:
    """Number of configurations of a space of spins 1/2; infinity where they cannot be listed.

    Args:
        most: sites up to which a constraint of the user's own is counted: NetKet goes through all 2^sites for it.
    """
    own = hilbert.constrained and type(hilbert.constraint).__name__ != "SumConstraint"
    if hilbert.size > (most if own else _NUMBERED):
        return np.inf
    return float(hilbert.n_states) if hilbert.is_indexable else np.inf


def _sector_sample(hilbert: Any) -> np.ndarray | None:
    """Configurations of a space with a constraint of its own; None where patterns of few spins say it all."""
    if not hilbert.constrained or type(hilbert.constraint).__name__ == "SumConstraint":
        return None
    import jax

    if count_states(hilbert) <= _DRAWN:
        return np.asarray(hilbert.all_states())
    return np.asarray(hilbert.random_state(jax.random.key(0), _DRAWN))


def _patterns(
    support: Bool[np.ndarray, " sites"], mask: Bool[np.ndarray, " sites"], hilbert: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sites, the patterns (patterns, sites) of their spins in the sector, and which stay in it when the mask turns."""
    fixed = bool(hilbert.constrained)
    sites = np.flatnonzero(support | mask if fixed else support)
    count = len(sites)
    if count <= _LISTED:
        patterns = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    else:
        patterns = np.random.default_rng(0).choice([-1, 1], size=(_DRAWN, count))
    if not fixed:
        return sites, patterns, np.ones(len(patterns), bool)
    rest = hilbert.size - count
    patterns = patterns[np.abs(hilbert.constraint.sum_value - patterns.sum(axis=1)) <= rest]
    return sites, patterns, patterns[:, mask[sites]].sum(axis=1) == 0
