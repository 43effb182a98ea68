"""Symmetry groups read off Hamiltonians: orders against NetKet's space groups, characters, sectors of exact spectra."""

from typing import Any

import netket as nk
import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import sparse_matrix
from wavefoundry.problems import exact, groups, lattice

ORDERS: dict[str, Any] = {
    "square": lambda cells: nk.graph.Square(cells[0]),
    "triangular": lambda cells: nk.graph.Triangular(cells),
    "honeycomb": lambda cells: nk.graph.Honeycomb(cells),
    "kagome": lambda cells: nk.graph.Kagome(cells),
}


@pytest.mark.parametrize(
    ("kind", "cells"), [("square", (6, 6)), ("triangular", (6, 6)), ("honeycomb", (4, 4)), ("kagome", (4, 4))]
)
def test_orders_are_those_of_the_space_groups(kind: str, cells: tuple[int, int]):
    """On lattices large enough that no accidental symmetry exists; twice as many with the flip of all spins."""
    system = lattice.build("xxz", kind, cells)
    space = len(ORDERS[kind](cells).space_group())
    group = groups.symmetry_group(system)
    assert len(group) == 2 * space
    assert group.shifts.sum() == np.prod(cells)
    assert len(groups.symmetry_group(system, ["translations"])) == np.prod(cells)


def test_a_rectangle_has_no_quarter_turns():
    assert len(groups.symmetry_group(lattice.build("ising", "square", (4, 6)))) == 24 * 4 * 2


def test_an_open_ladder_has_mirrors_and_no_translation():
    """Its two rows trade places by a shift as well; of open edges that is a mirror."""
    ladder = wf.lattice.j1j2_square(2, 4, periodic=False)
    sizes = [len(groups.symmetry_group(ladder, [part])) for part in ("translations", "point-group")]
    assert sizes == [1, 4] and len(groups.symmetry_group(ladder, ["translations", "point-group"])) == 4
    assert len(groups.symmetry_group(wf.lattice.ising_square(2, 2, periodic=False), ["point-group"])) == 8


def test_parts_of_a_group():
    system = wf.lattice.j1j2_square(6, 6, J2=0.5)
    sizes = [len(groups.symmetry_group(system, part)) for part in (["spin-flip"], ["point-group"], ["translations"])]
    assert sizes == [2, 8, 36]


def test_what_a_term_breaks_is_no_symmetry():
    """A field along z forbids the flip, one on a single site everything that moves it."""
    strings: Any = nk.operator.PauliStringsJax
    hilbert = nk.hilbert.Spin(0.5, 6)
    ring = ["".join("Z" if s in (i, (i + 1) % 6) else "I" for s in range(6)) for i in range(6)]
    uniform = ["".join("Z" if s == i else "I" for s in range(6)) for i in range(6)]
    terms = {"J": strings(hilbert, ring, [1.0] * 6), "h": strings(hilbert, uniform, [1.0] * 6)}
    group = groups.symmetry_group(wf.lattice.from_netket(terms, {"J": 1.0, "h": 0.0}))
    assert len(group) == 12 and not group.flips.any()
    terms["h"] = strings(hilbert, uniform[:1], [1.0])
    alone = groups.symmetry_group(wf.lattice.from_netket(terms, {"J": 1.0, "h": 0.0}))
    assert len(alone) == 2 and np.all(alone.permutations[:, 0] == 0)


def test_random_bonds_leave_nothing():
    strings: Any = nk.operator.PauliStringsJax
    hilbert, rng = nk.hilbert.Spin(0.5, 6), np.random.default_rng(0)
    ring = ["".join("Z" if s in (i, (i + 1) % 6) else "I" for s in range(6)) for i in range(6)]
    system = wf.lattice.from_netket({"J": strings(hilbert, ring, rng.normal(size=6))}, {"J": 1.0})
    group = groups.symmetry_group(system)
    assert len(group) == 2 and group.flips.tolist() == [False, True]


def test_very_large_groups_are_cut_down_to_translations():
    """All spins coupled alike: 10! permutations."""
    pairs = [(i, j) for i in range(10) for j in range(i)]
    strings: Any = nk.operator.PauliStringsJax
    words = ["".join("Z" if s in pair else "I" for s in range(10)) for pair in pairs]
    system = wf.lattice.from_netket({"J": strings(nk.hilbert.Spin(0.5, 10), words, [1.0] * 45)}, {"J": 1.0})
    assert len(groups.symmetry_group(system)) == 20


@pytest.fixture(scope="module")
def square() -> tuple[Any, groups.Group]:
    system = wf.lattice.j1j2_square(4, 4, J2=0.6)
    return system, groups.symmetry_group(system)


def test_characters_are_all_one_dimensional_representations(square: tuple[Any, groups.Group]):
    """Multiplicative, orthogonal, and as many as the group made commutative has elements."""
    _, group = square
    table, rows = group.table(), groups.characters(group)
    np.testing.assert_allclose(rows[:, table], rows[:, :, None] * rows[:, None, :], atol=1e-9)
    np.testing.assert_allclose(rows @ rows.conj().T, len(group) * np.eye(len(rows)), atol=1e-8)
    np.testing.assert_allclose(rows[0], 1)


def test_momenta_of_a_ring_are_complex():
    rows = groups.characters(groups.symmetry_group(wf.lattice.ising_chain(6), ["translations"]))
    assert sorted(np.round(np.angle(row[1]) / (np.pi / 3)).astype(int) % 6 for row in rows) == list(range(6))


@pytest.mark.parametrize("sites", [5, 6])
def test_dimensions_are_ranks_of_projectors(sites: int):
    """Traces of the sums over dense permutation matrices, one sector of the hexagon being empty."""
    system = wf.lattice.build("xxz", "chain", (6,), Jz=0.5) if sites == 6 else wf.lattice.ising_chain(5)
    group = groups.symmetry_group(
        system, ["translations", "point-group", "spin-flip"] if sites == 6 else ["translations"]
    )
    rows, states = groups.characters(group), exact.basis(system.hilbert).astype(int)
    place = {tuple(state): k for k, state in enumerate(states.tolist())}
    moved = np.array([[place[tuple(image)] for image in group(state).tolist()] for state in states])
    traces = (moved == np.arange(len(states))[:, None]).sum(axis=0)
    found = groups.dimensions(group, rows, system)
    np.testing.assert_allclose(found, np.real(rows.conj() @ traces) / len(group), atol=1e-9)
    assert found.sum() <= len(states) and (found.min() == 0) == (sites == 6)


def test_images_commute_with_the_hamiltonian(square: tuple[Any, groups.Group]):
    """H P = P H for the permutation matrices of all configurations, for elements drawn at random."""
    system, group = square
    states = np.asarray(exact.basis(system.hilbert))
    matrix = sparse_matrix(system.operator())
    index = {row.tobytes(): i for i, row in enumerate(np.asarray(system.hilbert.all_states(), np.int8))}
    order = [index[row.astype(np.int8).tobytes()] for row in states]
    vector = np.zeros(len(states))
    vector[:] = np.random.default_rng(1).normal(size=len(states))
    for g in np.random.default_rng(2).integers(len(group), size=6):
        images = group(states)[:, g].astype(np.int8)
        moved = [index[row.tobytes()] for row in images]
        permuted = np.empty_like(vector)
        permuted[order] = vector[moved]
        acted = matrix @ vector
        both = np.empty_like(vector)
        both[order] = acted[moved]
        np.testing.assert_allclose(matrix @ permuted, both, atol=1e-9)


def test_cosets_cover_the_group_once(square: tuple[Any, groups.Group]):
    _, group = square
    inside = group.shifts & (group.permutations[:, 0] % 2 == 0) & (group.permutations[:, 0] // 4 % 2 == 0)
    chosen = groups.right_cosets(group, inside)
    products = group.table()[np.ix_(np.flatnonzero(inside), chosen)]
    assert sorted(products.reshape(-1)) == list(range(len(group))) and chosen[0] == 0


def test_the_marshall_rule_changes_sign_under_shifts_of_odd_halves():
    """Ten spins, five of them down: exchanging the sublattices is worth (-1)^5."""
    system = wf.lattice.j1j2_chain(10, J2=0.2)
    group = groups.symmetry_group(system)
    ratio = groups.sign_ratio(group, np.asarray(system.sublattice), system)
    odd = group.permutations[:, 0] % 2 == 1
    flipped = np.where(group.flips, -1, 1)  # turning all spins exchanges them as well
    np.testing.assert_array_equal(ratio, np.where(odd, -1, 1) * flipped)
