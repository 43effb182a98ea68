"""Observables against dense matrices and published values: structure factors, dimers, chirality, entropies."""

from __future__ import annotations

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest
from netket.operator.spin import sigmax, sigmay, sigmaz

from wavefoundry.core.errors import InputError
from wavefoundry.core.lattices import LATTICES
from wavefoundry.core.observables import OBSERVABLES, chosen
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.problems import exact, lattice, measures
from wavefoundry.problems.local_values import applied, local_values, operators_of
from wavefoundry.problems.observables import measures_of, reference_of
from wavefoundry.problems.strings import strings_of


class Table(eqx.Module):
    """All amplitudes of a small space as a network: features are log |psi| and the phase."""

    log: Any
    phase: Any
    place: Any

    def __call__(self, condition: Any, x: Any) -> Any:
        code = jnp.sum((x < 0) * 2 ** jnp.arange(x.shape[-1]))
        return jnp.stack([self.log[self.place[code]], self.phase[self.place[code]]])


class Head(eqx.Module):
    real: bool = eqx.field(static=True, default=False)

    def __call__(self, z: Any) -> Psi:
        return Psi(z[0], z[1])


def wavefunction_of(system: Any, vector: np.ndarray) -> Wavefunction:
    """The wavefunction that has given amplitudes, a sign rule of the system taken off."""
    states = exact.basis(system.hilbert)
    codes = (states < 0) @ 2 ** np.arange(system.sites)
    place = np.zeros(2**system.sites, int)
    place[codes] = np.arange(len(codes))
    if system.sublattice is not None:
        vector = vector * np.asarray(jax.vmap(system.sign)(jnp.asarray(states)))
    with np.errstate(divide="ignore"):
        log = np.maximum(np.log(np.abs(vector)), -80.0)
    return Wavefunction(Table(jnp.asarray(log), jnp.asarray(np.angle(vector)), jnp.asarray(place)), Head())


def spin_product(system: Any, i: int, j: int) -> np.ndarray:
    """S_i . S_j = P_ij / 2 - 1/4, P the exchange of two spins, as a matrix on the space of the system."""
    states = exact.basis(system.hilbert)
    powers = 2 ** np.arange(system.sites)
    codes = (states < 0) @ powers
    order = np.argsort(codes)
    moved = states.copy()
    moved[:, [i, j]] = states[:, [j, i]]
    place = order[np.searchsorted(codes[order], (moved < 0) @ powers)]
    matrix = -0.25 * np.eye(len(states))
    matrix[np.arange(len(states)), place] += 0.5
    return matrix


def exact_values(system: Any, wanted: list[str], vector: np.ndarray) -> dict[str, float]:
    states = exact.basis(system.hilbert)
    found = {}
    for one in measures_of(system, wanted):
        found |= dict(zip(one.names, measures.exact_of(one, vector, states), strict=True))
    return found


@pytest.mark.parametrize(
    ("J2", "peak", "squared"), [(0.0, 0.3226697487, 0.1000445235), (0.4, 0.2806419347, 0.1286482623)]
)
def test_published_values_of_the_frustrated_chain(J2: float, peak: float, squared: float):
    """S(pi) / N and D^2 on eight sites."""
    system = lattice.j1j2_chain(8, J2=J2)
    known = reference_of(system, ["structure-factor", "spin-structure-factor", "dimer"])[1]
    assert known["structure_spin_4"] / 8 == pytest.approx(peak, abs=1e-9)
    assert known["dimer2"] == pytest.approx(squared, abs=1e-9)
    assert known["structure_spin_0"] == pytest.approx(0, abs=1e-9), "a singlet"
    for k in range(5):
        assert known[f"structure_spin_{k}"] == pytest.approx(0.75 * known[f"structure_zz_{k}"], abs=1e-8)


@pytest.mark.parametrize(
    "system", [lattice.j1j2_square(4, 2, J2=0.3, periodic=False), lattice.build("xxz", "honeycomb", (2, 2), Jz=0.5),
               lattice.build("j1j2", "kagome", (2, 2))]
)  # fmt: skip
def test_structure_factors_against_sums_over_pairs(system: Any):
    """On a square, on honeycomb and kagome lattices with their true positions, at every momentum."""
    vector = exact.ground_state(system.operator())[1]
    found = exact_values(system, ["structure-factor", "spin-structure-factor"], vector)
    table = LATTICES[system.geometry]
    cells = table.cells(system.extent)
    places = np.array(table.places(cells)) / table.fine
    states = exact.basis(system.hilbert).astype(float)
    zz = (np.abs(vector) ** 2 * states.T) @ states
    for k, q in list(enumerate(measures.momenta(system)))[::3]:
        wave = np.exp(2j * np.pi * places @ np.array(q))
        assert found[f"structure_zz_{k}"] == pytest.approx(np.real(wave @ zz @ wave.conj()) / system.sites, abs=1e-9)
    pairs = {p: vector @ spin_product(system, *p) @ vector for p in itertools.combinations(range(system.sites), 2)}
    q = measures.momenta(system)[5]
    phase = {p: np.cos(2 * np.pi * np.dot(places[p[0]] - places[p[1]], q)) for p in pairs}
    total = 0.75 + 2 / system.sites * sum(phase[p] * value for p, value in pairs.items())
    assert found["structure_spin_5"] == pytest.approx(total, abs=1e-9)
    every = len(measures.momenta(system))
    assert every >= np.prod(cells) * table.fine**2 / 2


def test_neel_order_of_the_honeycomb_lattice_is_seen():
    """One sublattice up, one down: all weight N at a momentum beyond the first zone, none at q = 0."""
    system = lattice.build("xxz", "honeycomb", (2, 2))
    (one,) = measures.structure_peak(system)
    assert isinstance(one, measures.Diagonal)
    values = np.asarray(one.one(jnp.array([1, -1] * 4, jnp.int8)))
    assert values[0] == pytest.approx(0) and values.max() == pytest.approx(8 * 0.75)


def test_dimers_of_a_square_against_the_dense_matrix():
    system = lattice.j1j2_square(4, 2, J2=0.5, periodic=False)
    vector = exact.ground_state(system.operator())[1]
    found = exact_values(system, ["dimer"], vector)
    for name, bonds in {
        "dimer2_x": [((r, c), (r + 1, c), (-1) ** r) for r in range(3) for c in range(2)],
        "dimer2_y": [((r, 0), (r, 1), 1) for r in range(4)],
    }.items():
        total = sum(s * spin_product(system, 2 * a[0] + a[1], 2 * b[0] + b[1]) for a, b, s in bonds) / len(bonds)
        assert found[name] == pytest.approx(np.linalg.norm(total @ vector) ** 2, abs=1e-9)


def test_chirality_of_a_triangular_lattice_against_the_dense_matrix():
    """4 x 3 sites: the sum of i/2 (P - P^-1) over triangles, P the cyclic exchange of their spins."""
    system = lattice.build("j1j2", "triangular", (4, 3))
    energy, vector = exact.ground_state(system.operator())
    found = exact_values(system, ["chirality"], vector)["chirality2"]
    states = exact.basis(system.hilbert)
    codes = (states < 0) @ 2 ** np.arange(12)
    order = np.argsort(codes)
    trios = LATTICES["triangular"].trios((4, 3), True)
    assert len(trios) == 24

    def cyclic(trio: tuple[int, ...]) -> np.ndarray:
        moved = states.copy()
        for here, there in zip(trio, trio[1:] + trio[:1], strict=True):
            moved[:, there] = states[:, here]
        image = np.zeros(len(states))
        image[order[np.searchsorted(codes[order], (moved < 0) @ 2 ** np.arange(12))]] = vector
        return image

    total = sum(0.25j * (cyclic(t) - cyclic(t[::-1])) for t in trios) / len(trios)
    assert found == pytest.approx(np.linalg.norm(total) ** 2, abs=1e-10) and found > 1e-4


def test_entropies_of_known_states():
    """Half a chain: product 0, singlet across the cut log 2, cat of both ferromagnets log 2; a dense partial trace."""
    region = np.arange(4) < 2
    states = exact.basis(nk.hilbert.Spin(0.5, 4))
    up = (states > 0).all(axis=1).astype(float)
    cat = (up + (states < 0).all(axis=1)) / np.sqrt(2)
    for vector, value in ((up, 0.0), (cat, np.log(2)), (np.full(16, 0.25), 0.0)):
        assert measures.exact_of(measures.Swap(["S"], region), vector, states)[0] == pytest.approx(value, abs=1e-12)
    system = lattice.ising_chain(8, h=1.0)
    vector = exact.ground_state(system.operator())[1]
    matrix = vector.reshape(16, 16)
    rho = matrix @ matrix.T
    known = reference_of(system, ["renyi-2"])[1]
    assert known["renyi2"] == pytest.approx(-np.log(np.trace(rho @ rho)), abs=1e-10)


@pytest.mark.parametrize(
    ("extent", "region"),
    [((3, 4), [0, 1, 4, 5, 8, 9]), ((4, 3), [0, 1, 2, 3, 4, 5]), ((1, 4), [0, 1]), ((3, 3), [0, 1, 2])],
)
def test_half_of_a_lattice_is_half_of_its_sites_where_there_is_one(extent: tuple[int, int], region: list[int]):
    system = lattice.ising(extent, h=1.0, periodic=False)
    (one,) = measures_of(system, ["renyi-2"])
    assert np.flatnonzero(one.region).tolist() == region


@pytest.mark.parametrize("marshall", [True, False])
def test_local_values_of_operators(marshall: bool):
    """Real and imaginary elements, with and without a sign rule: the dense product O psi over psi, in any chunks."""
    system = lattice.j1j2_chain(8, J2=0.2, marshall=marshall)
    vector = exact.ground_state(system.operator())[1]
    rng = np.random.default_rng(0)
    vector = vector * np.exp(0.3j * rng.normal(size=len(vector))) + 0.01
    terms = [measures.spins(8, (0, 3)), measures.chiral(8, (1, 2, 5)), strings_of(system.operators[0])]
    rule = None if system.sublattice is None else np.asarray(system.sublattice)
    states = exact.basis(system.hilbert)
    images = applied(operators_of(terms), vector, states)
    np.testing.assert_allclose(images[:, 2], system.operators[0].to_sparse() @ vector, atol=1e-10)
    np.testing.assert_allclose(images[:, 0], spin_product(system, 0, 3) @ vector, atol=1e-10)
    amplitude = jax.tree_util.Partial(lambda w, s, x: w(s, x), wavefunction_of(system, vector), system)
    for chunk in (7, 512):
        found = local_values(operators_of(terms, rule), amplitude, jnp.asarray(states[::3]), chunk)
        np.testing.assert_allclose(found, (images / vector[:, None])[::3], atol=1e-8)


@pytest.mark.parametrize("letters", ["YII", "XYI", "XYZ", "YYY", "ZYI", "YYX"])
def test_an_odd_number_of_y_keeps_its_sign(letters: str):
    """O v of strings against NetKet's matrix, and chirality against the product of matrices."""
    hilbert = nk.hilbert.Spin(0.5, 3)
    operator = nk.operator.PauliStringsJax(hilbert, [letters], [0.7])
    vector = np.random.default_rng(0).normal(size=(8, 2)) @ np.array([1, 1j])
    states = exact.basis(hilbert)
    found = applied(operators_of([strings_of(operator)]), vector, states)[:, 0]
    np.testing.assert_allclose(found, operator.to_dense() @ vector, atol=1e-12)


def test_chirality_has_its_sign():
    hilbert, place = nk.hilbert.Spin(0.5, 3), (0, 1, 2)
    x, y, z = ([one(hilbert, i).to_dense() / 2 for i in place] for one in (sigmax, sigmay, sigmaz))
    product = (
        x[0] @ (y[1] @ z[2] - z[1] @ y[2]) + y[0] @ (z[1] @ x[2] - x[1] @ z[2]) + z[0] @ (x[1] @ y[2] - y[1] @ x[2])
    )
    vector = np.random.default_rng(1).normal(size=(8, 2)) @ np.array([1, 1j])
    found = applied(operators_of([measures.chiral(3, place)]), vector, exact.basis(hilbert))[:, 0]
    np.testing.assert_allclose(found, product @ vector, atol=1e-12)


def test_what_has_no_meaning_is_refused():
    for name, place, words in (
        ("dimer", ("ising", "chain", (8,), True), "exchange"),
        ("chirality", ("ising", "triangular", (4, 4), True), "exchange"),
        ("chirality", ("j1j2", "square", (4, 4), True), "no triangles"),
        ("dimer", ("xxz", "kagome", (2, 6), True), "kagome"),
        ("dimer", ("xxz", "triangular", (3, 6), True), "even"),
        ("renyi-2", ("ising", "square", (1, 1), False), "no half"),
        ("spin-structure-factor", ("ising", "chain", (8,), True), "exchange"),
        ("dimer", ("custom", "chain", (8,), True), "exchange"),
    ):
        assert words in OBSERVABLES[name].unfit(place)
    with pytest.raises(InputError, match="dimer cannot be measured here"):
        measures_of(lattice.ising_chain(4), ["dimer"])
    assert [one.name for one in chosen(True)] == ["magnetisation", "correlations", "structure-peak"]
    assert chosen(False) == [] and [one.name for one in chosen(list(OBSERVABLES))] == list(OBSERVABLES)
