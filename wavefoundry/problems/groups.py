"""Symmetry groups of lattice Hamiltonians: permutations of sites and the flip of all spins, with their characters.

Symmetries are read off the Hamiltonian itself, as automorphisms of the coloured graph of its Pauli strings. So they are
found on any lattice, also on a user's own, and never where a term breaks them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Complex, Int

from wavefoundry.problems import exact
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import Strings, count_states, strings_of
from wavefoundry.problems.symmetry import shift

KINDS = ("translations", "point-group", "spin-flip")
"""Parts of a group that can be asked for."""
MOST = 8192
"""Elements up to which a group is listed."""


FEW = 2**14
"""Configurations up to which those of a sector are counted."""


class Group(NamedTuple):
    """Symmetries of a Hamiltonian: (g x)_i = x[permutations[g, i]], all spins turned where ``flips[g]``.

    The identity comes first. shifts: which elements are translations of the lattice without a flip.
    """

    permutations: Int[np.ndarray, "G sites"]
    flips: Bool[np.ndarray, " G"]
    shifts: Bool[np.ndarray, " G"]

    def __len__(self) -> int:
        return len(self.flips)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """All images of configurations (..., sites): (..., G, sites)."""
        return x[..., self.permutations] * np.where(self.flips, -1, 1)[:, None].astype(x.dtype)

    def table(self) -> Int[np.ndarray, "G G"]:
        """Products: g_a after g_b, that is x -> g_a (g_b x), is element ``table[a, b]``."""
        weights = np.random.default_rng(0).integers(1, 2**40, size=self.permutations.shape[1])
        keys = (self.permutations @ weights) * 2 + self.flips  # one number for each element
        order = np.argsort(keys)
        rows = []
        for permutation, flip in zip(self.permutations, self.flips, strict=True):
            both = (self.permutations[:, permutation] @ weights) * 2 + (self.flips ^ flip)
            rows.append(order[np.searchsorted(keys, both, sorter=order)])
        return np.array(rows)


def symmetry_group(system: LatticeSystem, kinds: Sequence[str] = KINDS) -> Group:
    """The symmetries that every term of a Hamiltonian has, also at other couplings.

    Sign rules do not matter: it is the Hamiltonian itself that is looked at.

    Args:
        system: the family.
        kinds: "translations"; "point-group": permutations that leave the first site where it is, and with
            "translations" all permutations; "spin-flip".
    """
    sites = system.sites
    found = [np.arange(sites)] if not {"translations", "point-group"} & set(kinds) else permutations_of(system)
    keys = {row.tobytes() for row in _shifts(system)}
    shifts = [row for row in found if row.tobytes() in keys]
    if "point-group" not in kinds:
        found = shifts
    elif "translations" not in kinds and len(shifts) > 1:
        found = [row for row in found if row[0] == 0]
    # one order for all versions of what finds them, since sectors are numbered by it; the identity is the first shift
    found.sort(key=lambda row: (row.tobytes() not in keys, row.tolist()))
    rows = np.array(found)
    turned = [False, True] if "spin-flip" in kinds and keeps_flip(system) else [False]
    flips = np.repeat(turned, len(rows))
    rows = np.tile(rows, (len(turned), 1))
    return Group(rows, flips, np.array([row.tobytes() in keys for row in rows]) & ~flips)


def permutations_of(system: LatticeSystem) -> list[Int[np.ndarray, " sites"]]:
    """All permutations of sites that keep every term and the constraint.

    Translations alone where there are very many, or where a term is no sum of Pauli strings.
    """
    parts = [strings_of(operator) for operator in system.operators]
    if any(part is None for part in parts):
        return _kept_shifts(system)
    graph, colours = _graph([part for part in parts if part is not None])
    if float(graph.count_automorphisms(color=colours)) > MOST:
        return _kept_shifts(system)
    generators = [np.array(row[: system.sites]) for row in graph.automorphism_group(color=colours)]
    found = _closure(generators, system.sites)
    return [row for row in found if _keeps_constraint(system, row)]


def keeps_flip(system: LatticeSystem) -> bool:
    """Whether turning all spins leaves every term and the constraint as they are."""
    for operator in system.operators:
        strings = strings_of(operator)
        if strings is None or np.any(strings.signs.sum(axis=1) % 2):
            return False
    states = _states(system)
    return states is None or bool(np.all(np.asarray(system.hilbert.constraint(-states))))


def characters(group: Group) -> Complex[np.ndarray, "sectors G"]:
    """All one-dimensional representations chi(g), the trivial one first.

    They are those of the group made commutative (divided by its commutators).
    """
    table = group.table()
    size = len(group)
    inverse = np.argmin(table, axis=1)  # the identity is element 0
    commutators = np.unique(table[table, table[np.ix_(inverse, inverse)]])
    normal = _generated(commutators.tolist(), table)
    coset = np.full(size, -1)
    leaders: list[int] = []
    for g in range(size):
        if coset[g] < 0:
            coset[table[g, normal]] = len(leaders)
            leaders.append(g)
    quotient = coset[table[np.ix_(leaders, leaders)]]
    return np.array([row[coset] for row in _abelian_characters(quotient)])


def dimensions(
    group: Group, sectors: Complex[np.ndarray, "sectors G"], system: LatticeSystem
) -> Int[np.ndarray, " sectors"] | None:
    """Number of states in every sector: mean over g of chi(g)* times the configurations that g leaves alone.

    None where there are too many configurations to be looked at; no sector is empty then.

    Args:
        sectors: from ``characters``.
    """
    if not exact.listable(system.hilbert) or count_states(system.hilbert) > FEW:
        return None
    states = exact.basis(system.hilbert).astype(np.int8)
    signs = np.where(group.flips, -1, 1).astype(np.int8)
    kept = [
        np.count_nonzero(np.all(states[:, row] * sign == states, axis=1))
        for row, sign in zip(group.permutations, signs, strict=True)
    ]
    return np.rint(np.real(np.conj(sectors) @ np.array(kept)) / len(group)).astype(int)


def sign_ratio(
    group: Group, sublattice: Bool[np.ndarray, " sites"] | None, system: LatticeSystem
) -> Int[np.ndarray, " G"]:
    """sign(x) sign(g x) of a sign rule where it is the same for every configuration: +-1; else 0."""
    if sublattice is None:
        return np.ones(len(group), int)
    states = _states(system)
    if states is None:
        import jax

        states = np.asarray(system.hilbert.random_state(jax.random.key(7), 256))
    down = (group(states) < 0)[..., sublattice].sum(axis=-1) + (states < 0)[:, None, sublattice].sum(axis=-1)
    signs = 1 - 2 * (down % 2)
    return np.where(np.all(signs == signs[:1], axis=0), signs[0], 0)


def right_cosets(group: Group, inside: Bool[np.ndarray, " G"]) -> Int[np.ndarray, " R"]:
    """One element of every right coset H g of a subgroup, the identity first."""
    table, left, chosen = group.table(), np.ones(len(group), bool), []
    subgroup = np.flatnonzero(inside)
    for g in range(len(group)):
        if left[g]:
            chosen.append(g)
            left[table[subgroup, g]] = False
    return np.array(chosen)


def _graph(parts: list[Strings]) -> tuple[Any, list[int]]:
    """Sites, and for every string a vertex for each of its letters, coloured by what must stay the same."""
    import igraph

    sites = parts[0].flips.shape[1]
    names: dict[Any, int] = {}
    colours, edges = [0] * sites, []
    for term, strings in enumerate(parts):
        merged: dict[bytes, complex] = {}
        for flips, signs, weight in zip(strings.flips, strings.signs, strings.weights, strict=True):
            key = np.concatenate([flips, signs]).tobytes()
            merged[key] = merged.get(key, 0.0) + complex(weight)
        scale = max((abs(weight) for weight in merged.values()), default=1.0)
        for key, weight in merged.items():
            flips, signs = np.frombuffer(key, bool).reshape(2, sites)
            value = complex(round(weight.real / scale, 9), round(weight.imag / scale, 9))
            if value == 0 or not (flips | signs).any():
                continue
            first = len(colours)
            for letter, where in (("X", flips & ~signs), ("Y", flips & signs), ("Z", signs & ~flips)):
                if where.any():
                    edges += [(len(colours), int(site)) for site in np.flatnonzero(where)]
                    edges += [(first, len(colours))] if len(colours) > first else []
                    colours.append(names.setdefault((term, letter, value), len(names) + 1))
    return igraph.Graph(n=len(colours), edges=edges), colours


def _closure(generators: list[np.ndarray], sites: int) -> list[np.ndarray]:
    found = {np.arange(sites).tobytes(): np.arange(sites)}
    fresh = list(found.values())
    while fresh:
        fresh = [new for old in fresh for g in generators if (new := old[g]).tobytes() not in found]
        fresh = list({row.tobytes(): row for row in fresh}.values())
        found |= {row.tobytes(): row for row in fresh}
    return list(found.values())


def _shifts(system: LatticeSystem) -> list[np.ndarray]:
    """All translations by whole sites, the identity first; it alone where edges are open: a mirror swaps two rows."""
    rows = [np.arange(system.sites)]
    for axis, edge in enumerate(system.extent if system.periodic else ()):
        steps = [shift(system.extent, axis, step) for step in range(edge)]
        rows = [row if step is None else row[step] for row in rows for step in steps]
    return rows


def _kept_shifts(system: LatticeSystem) -> list[np.ndarray]:
    from wavefoundry.problems.symmetry import broken_by

    return [row for row in _shifts(system) if not broken_by(system, [row])]


def _states(system: LatticeSystem) -> np.ndarray | None:
    """Configurations of a constrained space; None where there is no constraint."""
    from wavefoundry.problems.lattice_checks import sector_states

    return np.asarray(sector_states(system.hilbert)) if system.hilbert.constrained else None


def _keeps_constraint(system: LatticeSystem, row: np.ndarray) -> bool:
    if not system.hilbert.constrained or type(system.hilbert.constraint).__name__ == "SumConstraint":
        return True
    states = _states(system)
    return states is None or bool(np.all(np.asarray(system.hilbert.constraint(states[:, row]))))


def _generated(elements: list[int], table: np.ndarray) -> list[int]:
    """The subgroup that elements generate."""
    found, fresh = {0}, [0]
    while fresh:
        fresh = [new for old in fresh for g in elements if (new := int(table[old, g])) not in found]
        fresh = list(dict.fromkeys(fresh))
        found |= set(fresh)
    return sorted(found)


def _abelian_characters(table: np.ndarray) -> list[np.ndarray]:
    """Characters of a commutative group from its table of products; element 0 is the identity."""
    size = len(table)
    generators: list[int] = []
    while len(_generated(generators, table)) < size:
        inside = set(_generated(generators, table))
        # elements of large order first: fewer generators
        generators.append(max((g for g in range(size) if g not in inside), key=lambda g: (_order(g, table), -g)))
    found = []
    for powers in itertools.product(*(range(_order(g, table)) for g in generators)):
        roots = [np.exp(2j * np.pi * m / _order(g, table)) for m, g in zip(powers, generators, strict=True)]
        values = np.zeros(size, complex)
        values[0], fresh, seen = 1.0, [0], {0}
        while fresh:
            old = fresh.pop()
            for g, root in zip(generators, roots, strict=True):
                if (new := int(table[old, g])) not in seen:
                    values[new] = values[old] * root
                    seen.add(new)
                    fresh.append(new)
        if all(np.allclose(values[table[:, g]], values * root) for g, root in zip(generators, roots, strict=True)):
            found.append(np.round(values, 12))
    return found


def _order(g: int, table: np.ndarray) -> int:
    power, count = g, 1
    while power != 0:
        power, count = int(table[power, g]), count + 1
    return count
