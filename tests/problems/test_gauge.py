"""Sign rules: exact ones where they exist, the best ones elsewhere, against brute force and the matrix itself."""

import itertools

import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import dense_matrix
from wavefoundry.problems import exact, gauge, lattice


def _heisenberg(edges, sites, total_sz=0, xxz=(1.0, 1.0)):
    """Sum over edges of (a (XX + YY) + b ZZ) / 4."""
    hilbert = nk.hilbert.Spin(0.5, sites, total_sz=total_sz)
    strings, weights = [], []
    for i, j in edges:
        for letter, weight in (("X", xxz[0]), ("Y", xxz[0]), ("Z", xxz[1])):
            strings.append("".join(letter if k in (i, j) else "I" for k in range(sites)))
            weights.append(weight / 4)
    return lattice.from_netket({"J": nk.operator.PauliStringsJax(hilbert, strings, weights)}, {"J": 1.0})


def _stoquastic(system, sublattice):
    """Whether the full matrix, rotated by the gauge, has no positive off-diagonal element."""
    matrix = dense_matrix(system.operator()).real
    sign = 1.0 - 2.0 * ((exact.basis(system.hilbert)[:, sublattice] < 0).sum(axis=1) % 2)
    rotated = sign[:, None] * matrix * sign
    return np.max(rotated - np.diag(np.diag(rotated))) < 1e-12


@pytest.mark.parametrize(
    "system",
    [
        lattice.ising_chain(6, h=-1.0),
        lattice.ising_square(3, 3, h=-2.0),
        lattice.ising_chain(5, h=0.7, J=-1.0),
        lattice.j1j2_chain(8, marshall=False),
        lattice.j1j2_chain(8, J1=-1.0, marshall=False),
        lattice.j1j2_square(2, 4, periodic=False, marshall=False),
    ],
)
def test_exact_rules_make_the_matrix_stoquastic(system):
    found = gauge.gauge_of(system)
    assert found.exact
    assert found.satisfied == 1.0
    assert _stoquastic(system, found.sublattice)


def test_known_sublattices():
    assert gauge.gauge_of(lattice.ising_chain(6, h=-1.0)).sublattice.all()
    assert not gauge.gauge_of(lattice.ising_chain(6, h=1.0)).sublattice.any()
    np.testing.assert_array_equal(
        gauge.gauge_of(lattice.j1j2_square(4, 4, marshall=False)).sublattice, np.indices((4, 4)).sum(axis=0).ravel() % 2
    )
    # a rule that the system has already is no part of the question
    np.testing.assert_array_equal(gauge.gauge_of(lattice.j1j2_chain(8)).sublattice, np.arange(8) % 2)


def test_a_ring_of_odd_length_fails_on_one_bond():
    ring = [(i, (i + 1) % 7) for i in range(7)]
    found = gauge.gauge_of(_heisenberg(ring, 7, total_sz=0.5))
    assert not found.exact
    assert found.satisfied == pytest.approx(6 / 7)


def test_a_triangular_lattice_satisfies_two_bonds_in_three():
    edges = [(i, j) for i, j in _triangular(4, 3)]
    system = _heisenberg(edges, 12, xxz=(1.0, 0.5))
    found = gauge.gauge_of(system)
    assert not found.exact
    assert found.satisfied == pytest.approx(_brute_force(*_arrays(edges, 12)) / len(edges))


def _triangular(rows, columns):
    edges = set()
    for r, c in itertools.product(range(rows), range(columns)):
        for dr, dc in ((0, 1), (1, 0), (1, 1)):
            a, b = r * columns + c, (r + dr) % rows * columns + (c + dc) % columns
            edges.add((min(a, b), max(a, b)))
    return sorted(edges)


def _arrays(edges, sites):
    masks = np.zeros((len(edges), sites), bool)
    for row, (i, j) in zip(masks, edges, strict=True):
        row[[i, j]] = True
    return masks, np.ones(len(edges)), np.ones(len(edges))


def _brute_force(masks, signs, weights):
    best = 0.0
    for subset in itertools.product((0, 1), repeat=masks.shape[1]):
        odd = (masks @ np.array(subset)) % 2 == 1
        best = max(best, float(weights[odd == (signs > 0)].sum()))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_random_strings_against_brute_force(seed, monkeypatch):
    """Masks of one to four sites with random signs: the search finds the optimum as the full list does."""
    rng = np.random.default_rng(seed)
    sites = int(rng.integers(5, 11))
    masks = np.zeros((3 * sites, sites), bool)
    for row in masks:
        row[rng.choice(sites, rng.choice([1, 2, 2, 2, 3, 4]), replace=False)] = True
    signs, weights = rng.choice([-1.0, 1.0], len(masks)), rng.uniform(0.1, 2.0, len(masks))
    best = _brute_force(masks, signs, weights) / weights.sum()
    assert gauge.find_gauge(masks, signs, weights).satisfied == pytest.approx(best)
    monkeypatch.setattr(gauge, "_TRIED", 0)
    assert gauge.find_gauge(masks, signs, weights).satisfied == pytest.approx(best)


@pytest.mark.parametrize("seed", range(4))
def test_a_hidden_rule_is_recovered(seed):
    """Signs made by a sublattice on a random graph of 100 sites: an exact rule of the same effect is found."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((600, 100), bool)
    for row in masks:
        row[rng.choice(100, rng.integers(1, 5), replace=False)] = True
    hidden = rng.random(100) < 0.5
    signs = np.where((masks @ hidden.astype(int)) % 2 == 1, 1.0, -1.0)
    found = gauge.find_gauge(masks, signs, np.ones(600))
    assert found.exact
    np.testing.assert_array_equal(found.sublattice, hidden)


def test_elements_of_both_signs_count_half():
    """X Z has elements of both signs, X + X Z / 2 of one: flips alone do not tell."""
    hilbert = nk.hilbert.Spin(0.5, 2)
    mixed = nk.operator.PauliStringsJax(hilbert, ["XZ", "IX"], [1.0, 1.0])
    found = gauge.gauge_of(lattice.from_netket({"a": mixed}, {"a": 1.0}))
    assert not found.exact
    assert found.satisfied == pytest.approx(0.75)
    one = nk.operator.PauliStringsJax(hilbert, ["XZ", "XI", "IX"], [0.5, 1.0, 1.0])
    assert gauge.gauge_of(lattice.from_netket({"a": one}, {"a": 1.0})).exact


def test_the_sector_decides_which_elements_count():
    """XX + YY flips antiparallel pairs alone; XX without YY is of one sign too, but XX - YY leaves the sector."""
    system = _heisenberg([(0, 1), (1, 2), (2, 3)], 4)
    masks, signs, weights = gauge._masks(system)
    assert len(masks) == 3
    np.testing.assert_array_equal(signs, 1.0)
    np.testing.assert_allclose(weights, 0.5)


def test_couplings_of_opposite_sign_may_cancel():
    """Two terms with one mask: their sum decides."""
    hilbert = nk.hilbert.Spin(0.5, 2)
    terms = {n: nk.operator.PauliStringsJax(hilbert, ["XI", "IX"], [1.0, 1.0]) for n in "ab"}
    system = lattice.from_netket(terms, {"a": 1.0, "b": -3.0})
    found = gauge.gauge_of(system)
    assert found.exact
    assert not found.sublattice.any()
    nothing = gauge.gauge_of(system.at(a=3.0))
    assert nothing.exact
    assert nothing.satisfied == 1.0
    assert bool(jnp.all(system.couplings == jnp.array([1.0, -3.0])))


@pytest.mark.parametrize(("coupling", "striped"), [(0.0, False), (0.4, False), (0.5, False), (0.6, True), (1.0, True)])
def test_squares_take_stripes_where_they_satisfy_more(coupling: float, striped: bool):
    """Counted by hand on a square: Marshall satisfies 2 J1 per site, stripes J1 + 2 J2."""
    rule = np.asarray(wf.lattice.j1j2_square(6, 6, J2=coupling).sublattice).reshape(6, 6)
    rows, columns = np.all(rule == rule[:, :1]), np.all(rule == rule[:1])
    assert (rows or columns) == striped
    assert np.asarray(wf.lattice.j1j2_square(6, 6, J2=coupling, marshall=True).sublattice).sum() == 18


@pytest.mark.parametrize(("coupling", "period"), [(0.0, 2), (0.5, 2), (0.6, 4), (1.0, 4)])
def test_chains_take_a_period_of_four_where_it_satisfies_more(coupling: float, period: int):
    """Counted by hand on a chain: Marshall satisfies J1 a site, ++-- J1 / 2 + J2; ten sites do not hold it."""
    rule = np.asarray(wf.lattice.j1j2_chain(12, J2=coupling, marshall="auto").sublattice)
    assert np.array_equal(rule, np.roll(rule, 2)) == (period == 2)
    assert np.array_equal(rule, np.roll(rule, 4) if period == 4 else ~np.roll(rule, 1))
    assert np.array_equal(rule, ~np.roll(rule, period // 2))
    ten = np.asarray(wf.lattice.j1j2_chain(10, J2=coupling, marshall="auto").sublattice)
    assert np.array_equal(ten, ~np.roll(ten, 1))
