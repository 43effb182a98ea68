"""Sign rules found from the Hamiltonian: a diagonal gauge of +-1 that makes off-diagonal elements negative.

The gauge (-1)^(down spins in A) multiplies the elements of a flip mask M by (-1)^|A and M|, whatever the
configuration. So "all elements <= 0" is a system of linear equations over GF(2) for the sublattice A, one for each
mask. Where it has no solution, the A that satisfies the largest weight is a spin glass: good starts and a search.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import combined, elements

_TRIED = 14  # unknowns up to which all sublattices are tried


class Gauge(NamedTuple):
    """A sublattice whose down spins change the sign of psi.

    exact: all off-diagonal elements become <= 0. satisfied: the share of their weight that does, a mask whose elements
    have both signs counting half.
    """

    sublattice: Bool[np.ndarray, " sites"]
    exact: bool
    satisfied: float


def gauge_of(system: LatticeSystem) -> Gauge:
    """The best sign rule of a lattice system at its couplings, whatever rule it has now.

    The weight of a mask is the mean modulus of its elements over the configurations of the sector.
    """
    masks, signs, weights = _masks(system)
    return find_gauge(masks, signs, weights)


def find_gauge(
    masks: Bool[np.ndarray, "strings sites"],
    signs: Float[np.ndarray, " strings"],
    weights: Float[np.ndarray, " strings"],
) -> Gauge:
    """The sublattice A that makes the largest weight of off-diagonal elements negative; exact where that can be all.

    Deterministic. Where several are exact, as few late sites as possible are free: site 0 is never rotated needlessly.

    Args:
        masks: sites that each string flips.
        signs: sign of its elements, 0 if they have both signs: such a string counts half whatever A is.
        weights: what satisfying it is worth, >= 0.
    """
    masks, signs = np.asarray(masks, bool), np.asarray(signs, float)
    weights = np.asarray(weights, float)
    decided = (signs != 0) & (weights > 0) & masks.any(axis=1)
    total = float(weights.sum())
    wanted, rows, worth = signs[decided] > 0, masks[decided], weights[decided]
    sublattice, exact = _greedy(rows, wanted, np.argsort(-worth, kind="stable"))
    if not exact:
        sublattice = _best(rows, wanted, worth, sublattice)
    undecided = float(weights[~decided].sum())
    satisfied = 1.0 if total == 0 else (_score(rows, wanted, worth, sublattice) + 0.5 * undecided) / total
    return Gauge(sublattice, exact and undecided == 0, 1.0 if exact and undecided == 0 else satisfied)


def _masks(system: LatticeSystem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flip masks of the Hamiltonian with sign (0: both) and mean modulus of their elements."""
    couplings = np.asarray(system.couplings, float)
    strings = combined(system.operators, couplings.tolist())
    if strings is None:
        return _sampled_masks(system, couplings)
    found = [(e.mask, np.real(e.values)) for e in elements(strings, system.hilbert) if e.values.size]
    return _signed(found, system.sites)


def _signed(found: list[tuple[np.ndarray, np.ndarray]], sites: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    masks = np.array([mask for mask, _ in found], bool).reshape(-1, sites)
    weights = np.array([np.abs(values).mean() for _, values in found])
    small = 1e-12 * max(weights.max(initial=0.0), 1e-300)
    up = np.array([values.max(initial=0.0) > small for _, values in found], bool)
    down = np.array([values.min(initial=0.0) < -small for _, values in found], bool)
    on = up | down
    return masks[on], (up.astype(float) - down)[on], weights[on]


def _sampled_masks(system: LatticeSystem, couplings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same from matrix elements on random configurations, for operators that are no Pauli strings."""
    import jax

    x = np.asarray(system.hilbert.random_state(jax.random.key(5), 256))
    found: dict[bytes, list[float]] = {}
    totals: dict[tuple[int, bytes], float] = {}
    for coupling, operator in zip(couplings, system.operators, strict=True):
        moved, mels = (np.asarray(part) for part in operator.get_conn_padded(x))
        flips = moved != x[:, None, :]
        for sample, slot in zip(*np.nonzero((mels != 0) & flips.any(axis=-1)), strict=True):
            key = (int(sample), flips[sample, slot].tobytes())
            totals[key] = totals.get(key, 0.0) + coupling * float(np.real(mels[sample, slot]))
    for (_, mask), value in totals.items():
        found.setdefault(mask, []).append(value)
    listed = [
        (np.frombuffer(mask, bool), np.append(values, np.zeros(len(x) - len(values)))) for mask, values in found.items()
    ]
    return _signed(listed, system.sites)


def _greedy(rows: np.ndarray, wanted: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, bool]:
    """Gaussian elimination over GF(2), rows taken in ``order``; rows that contradict earlier ones are skipped.

    Returns:
        A solution of the rows that were kept, and whether none was skipped.
    """
    sites = rows.shape[1]
    basis = np.zeros((sites, sites + 1), bool)  # row p has its pivot at p: the last site it holds
    exact = True
    for index in order:
        row = np.append(rows[index], wanted[index])
        while row[:sites].any():
            pivot = int(np.flatnonzero(row[:sites])[-1])
            if not basis[pivot, pivot]:
                basis[pivot] = row
                break
            row = row ^ basis[pivot]
        else:
            exact = exact and not row[sites]
    solution = np.zeros(sites, bool)
    for pivot in range(sites):  # a row holds its pivot and earlier sites alone
        if basis[pivot, pivot]:
            solution[pivot] = basis[pivot, sites] ^ bool(np.sum(basis[pivot, :pivot] & solution[:pivot]) % 2)
    return solution, exact


def _score(rows: np.ndarray, wanted: np.ndarray, worth: np.ndarray, sublattice: np.ndarray) -> float:
    """Weight of the strings that the gauge of a sublattice makes negative."""
    return float(worth[(rows @ sublattice.astype(int)) % 2 == wanted].sum())


def _best(rows: np.ndarray, wanted: np.ndarray, worth: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The sublattice of the largest score: all are tried for few sites, else a search from several starts."""
    used = np.flatnonzero(rows.any(axis=0))
    if len(used) <= _TRIED:
        trials = ((np.arange(2 ** len(used))[:, None] >> np.arange(len(used))[::-1]) & 1).astype(np.int8)
        odd = (trials @ rows[:, used].T.astype(np.int8)) % 2 == 1
        sublattice = np.zeros(rows.shape[1], bool)
        sublattice[used] = trials[np.argmax(np.round((odd == wanted) @ worth, 12))]
        return sublattice
    starts = [start, *_spectral(rows, wanted, worth)]
    found = [_search(rows, wanted, worth, first) for first in starts]
    return max(found, key=lambda each: round(_score(rows, wanted, worth, each), 12))


def _spectral(rows: np.ndarray, wanted: np.ndarray, worth: np.ndarray) -> list[np.ndarray]:
    """Starts from the two-site strings: signs of the leading eigenvectors of their couplings, single flips a field."""
    sites = rows.shape[1]
    size = rows.sum(axis=1)
    matrix = np.zeros((sites + 1, sites + 1))  # the last row is a spin that single flips are coupled to
    value = np.where(wanted, -worth, worth)  # equal spins are wanted where the elements are negative already
    for row, v in zip(rows[size <= 2], value[size <= 2], strict=True):
        i, j = (*np.flatnonzero(row), sites)[:2]
        matrix[i, j] += v
        matrix[j, i] += v
    _, vectors = np.linalg.eigh(matrix)
    leading = vectors[:, ::-1][:, :6].T
    return [(v[:-1] * (v[-1] if abs(v[-1]) > 1e-9 else 1.0)) < 0 for v in leading] + [np.zeros(sites, bool)]


def _search(rows: np.ndarray, wanted: np.ndarray, worth: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Tabu search by single sites: the best move that is not forbidden, uphill or down, keeping the best ever seen."""
    sites = rows.shape[1]
    current = start.copy()
    spin = np.where((rows @ current.astype(int)) % 2 == wanted, worth, -worth)  # + where satisfied
    score, best, best_score = 0.0, current.copy(), 0.0
    until, tenure = np.zeros(sites, int), min(10, sites // 4 + 1)
    rows = rows.astype(float)
    last = 0
    for step in range(1, 40 * sites + 200):
        gains = -(spin @ rows)  # of turning each site, counted as 2 * change of the satisfied weight / 2
        allowed = (until < step) | (score + gains > best_score + 1e-9)
        site = int(np.argmax(np.where(allowed, np.round(gains, 12), -np.inf)))
        current[site] ^= True
        spin = np.where(rows[:, site] > 0, -spin, spin)
        score += gains[site]
        until[site] = step + tenure + (step * 7919 + site) % 5
        if score > best_score + 1e-9:
            best, best_score, last = current.copy(), score, step
        elif step - last > 8 * sites + 100:
            break
    return best


class SignRule(NamedTuple):
    """A system with the sign rule it is to be trained with, and what the rule does.

    origin: "given" (with the system), "found" (by ``find_gauge``), or "none" (nothing asks for one).
    """

    system: LatticeSystem
    origin: str
    exact: bool
    satisfied: float

    def words(self) -> str:
        """What a user is told."""
        if self.origin == "none":
            return "no sign rule is needed: all off-diagonal elements are negative"
        sites = int(np.sum(np.asarray(self.system.sublattice)))
        what = f"sign rule {self.origin}: the down spins of {sites} of {self.system.sites} sites change the sign"
        if self.exact:
            return f"{what}; all off-diagonal elements are negative then"
        return (
            f"{what}; {self.satisfied:.0%} of the off-diagonal elements are negative then, no rule of this kind "
            "removes the other signs, so the network has to learn them"
        )


def with_rule(system: LatticeSystem, points: Sequence[Mapping[str, float]] = ()) -> SignRule:
    """The system with a sign rule: its own if it has one, else the best that can be found.

    Couplings that vanish here count as at the first of ``points`` where they do not.

    A rule is a change of basis, so energies and diagonal observables are the same with any; with one that leaves few
    positive elements a network that starts near a positive state starts near the ground state.
    """
    off = [name for name, value in system.values.items() if value == 0]
    on = {name: next((p[name] for p in points if p.get(name)), 0.0) for name in off}
    masks, signs, weights = _masks(system.at(**on))
    own = np.zeros(system.sites, bool) if system.sublattice is None else np.asarray(system.sublattice)
    satisfied = _share(masks, signs, weights, own)
    if system.sublattice is not None:
        return SignRule(system, "given", satisfied > 1 - 1e-12, satisfied)
    if satisfied > 1 - 1e-12:
        return SignRule(system, "none", True, 1.0)
    found = find_gauge(masks, signs, weights)
    best = found.sublattice
    if not found.exact:
        # a network of a regular lattice cannot follow an irregular rule: the regular one that is as good goes first
        regular = max(_regular(system.extent), key=lambda each: round(_share(masks, signs, weights, each), 9))
        if _share(masks, signs, weights, regular) > found.satisfied - 0.02:
            best = regular
    satisfied = _share(masks, signs, weights, best)
    rule = np.asarray(best, bool)
    return SignRule(dataclasses.replace(system, sublattice=jnp.asarray(rule)), "found", found.exact, satisfied)


def regular_rule(system: LatticeSystem) -> LatticeSystem:
    """The system with another regular rule, where its own leaves clearly more positive elements.

    At J2 > J1 / 2 that is a rule of stripes on a square lattice, ++-- on a chain, instead of the Marshall rule.
    """
    masks, signs, weights = _masks(system)
    assert system.sublattice is not None
    own = _share(masks, signs, weights, np.asarray(system.sublattice))
    best = max(_regular(system.extent), key=lambda rule: round(_share(masks, signs, weights, rule), 9))
    if _share(masks, signs, weights, best) <= own + 0.02:
        return system
    return dataclasses.replace(system, sublattice=jnp.asarray(best))


def _regular(extent: tuple[int, ...]) -> list[np.ndarray]:
    """Sublattices that repeat along every axis: after two sites, then on chains after four, one for each set in a cell.

    After four sites that is the rule ++-- of strong couplings to the next-nearest neighbours: two chains, each with
    the Marshall rule.
    """
    found = []
    for period in (2, 4) if len(extent) == 1 and extent[0] % 4 == 0 else (2,):
        edges = (period,) * len(extent)
        cell = np.ravel_multi_index(tuple(np.indices(extent) % period), edges).reshape(-1)
        count = period ** len(extent)
        found += [np.isin(cell, [k for k in range(count) if code >> k & 1]) for code in range(2**count)]
    return found


def _share(masks: np.ndarray, signs: np.ndarray, weights: np.ndarray, sublattice: np.ndarray) -> float:
    """Share of the weight of off-diagonal elements that a sublattice makes negative; undecided ones count half."""
    if not len(weights) or weights.sum() == 0:
        return 1.0
    turned = np.where((masks @ sublattice.astype(int)) % 2 == 1, -signs, signs)
    return float(weights @ np.where(turned < 0, 1.0, np.where(turned == 0, 0.5, 0.0)) / weights.sum())
