"""Hamiltonians and spaces of the user's own: what is sampled right, and what is refused with a true reason."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest

from tests.oracles import dense_matrix
from wavefoundry.core.errors import InputError
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.engine.sampling import init_walkers, metropolis
from wavefoundry.models import ViTSpec
from wavefoundry.problems import exact, lattice
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.problems.observables import reference_of

BUILD: Any = nk.operator.PauliStringsJax


class Constraint(nk.hilbert.constraint.DiscreteHilbertConstraint):
    """One without parameters."""

    def __hash__(self):
        return hash(type(self).__name__)

    def __eq__(self, other):
        return type(self) is type(other)


class Blockade(Constraint):
    """No two neighbours of an open chain are both up."""

    def __call__(self, x):
        return ~jnp.any((x[..., 1:] > 0) & (x[..., :-1] > 0), axis=-1)


class Parity(Constraint):
    """An even number of spins is down."""

    def __call__(self, x):
        return jnp.sum(x < 0, axis=-1) % 2 == 0


class TwoIslands(Constraint):
    """All up or all down but for one spin: no flip of one or two spins, nor of the Hamiltonian, joins the parts."""

    def __call__(self, x):
        return jnp.abs(jnp.sum(x, axis=-1)) >= x.shape[-1] - 2


class Magnetised(Constraint):
    """Half the spins are up: what total_sz = 0 says, in the user's own words."""

    def __call__(self, x):
        return jnp.sum(x, axis=-1) == 0


def on(sites: int, places: dict[int, str]) -> str:
    return "".join(places.get(site, "I") for site in range(sites))


def flips(hilbert: Any, width: int) -> Any:
    """Products of ``width`` neighbouring X on an open chain."""
    n = hilbert.size
    strings = [on(n, {i + k: "X" for k in range(width)}) for i in range(n + 1 - width)]
    return BUILD(hilbert, strings, [-1.0] * len(strings))


def rydberg(sites: int) -> Any:
    """Flips that the blockade allows: (1 - Z) X (1 - Z) / 4 inside, with one neighbour at the ends."""
    hilbert = nk.hilbert.Spin(0.5, sites, constraint=Blockade())
    strings, weights = [], []
    for i in range(sites):
        near = [j for j in (i - 1, i + 1) if 0 <= j < sites]
        for chosen in range(2 ** len(near)):
            z = [j for k, j in enumerate(near) if chosen >> k & 1]
            strings.append(on(sites, {i: "X", **{j: "Z" for j in z}}))
            weights.append(-((-1.0) ** len(z)) / 2 ** len(near))
    field = BUILD(hilbert, [on(sites, {i: "Z"}) for i in range(sites)], [-0.3] * sites)
    return lattice.from_netket({"flip": BUILD(hilbert, strings, weights), "field": field}, {"flip": 1.0, "field": 1.0},
                               periodic=False)  # fmt: skip


def exchange(hilbert: Any, letters: tuple[str, ...] = ("X", "Y"), weight: float = 0.5) -> Any:
    n = hilbert.size
    strings = [on(n, {i: a, (i + 1) % n: a}) for i in range(n) for a in letters]
    return BUILD(hilbert, strings, [weight] * len(strings))


def visits(system: Any, moves: int = 40, chains: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """How often chains of a uniform |psi|^2 are in each configuration after some moves, and what that should be."""
    network = ViTSpec(patch=1, width=4, layers=1, heads=1, head="real").build(
        jax.random.key(0), system.extent, sign_free=True
    )
    flat = jax.tree.map(lambda a: jnp.zeros_like(a) if eqx.is_array(a) else a, network)
    family = system.family([{}])
    walkers = init_walkers(jax.random.key(1), family, chains)
    states = exact.basis(system.hilbert)
    walkers = walkers._replace(x=jnp.broadcast_to(jnp.asarray(states[0]), walkers.x.shape))  # all from one corner
    x = np.asarray(jax.jit(metropolis, static_argnums=(3, 4))(flat, family, walkers, moves, chains).x[0])
    place = {state.tobytes(): i for i, state in enumerate(states.astype(np.int8))}
    assert np.all(system.hilbert.constraint(x))
    return np.bincount([place[row.tobytes()] for row in x.astype(np.int8)], minlength=len(states)), states


@pytest.mark.integration
@pytest.mark.parametrize("constraint", [Blockade(), Parity(), Magnetised()], ids=lambda c: type(c).__name__)
def test_chains_reach_every_configuration_of_a_constraint(constraint: Any):
    """A uniform |psi|^2 on 6 sites: chi^2 of the visits (4096 independent chains, false alarm 1e-4)."""
    hilbert = nk.hilbert.Spin(0.5, 6, constraint=constraint)
    terms = {"Blockade": "Z", "Parity": "X", "Magnetised": "X"}
    if terms[type(constraint).__name__] == "Z":
        system = rydberg(6)
    elif isinstance(constraint, Parity):
        system = lattice.from_netket({"a": flips(hilbert, 2)}, {"a": 1.0}, periodic=False)
    else:
        system = lattice.from_netket({"a": exchange(hilbert)}, {"a": 1.0})
    counts, states = visits(system, moves=300)
    expected = counts.sum() / len(states)
    from scipy.stats import chi2

    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, len(states) - 1)


def test_a_blockade_has_its_own_ground_state():
    """Full sum over 8 sites: the local energies of the exact state, listed with its connections, are all E0."""
    system = rydberg(8)
    assert system.pairs is None and system.groups is not None
    energy, vector = exact.ground_state(system.operator())
    dense = dense_matrix(system.operator()).real
    assert energy == pytest.approx(np.linalg.eigvalsh(dense)[0], abs=1e-10)
    listed = enumerate_states(system)
    local = np.asarray(listed.diagonal).sum(-1) + np.einsum(
        "dk,dkt->d", vector[np.asarray(listed.index)] / vector[:, None], np.asarray(listed.mels)
    )
    np.testing.assert_allclose(local, energy, atol=1e-8)


def test_a_constraint_in_own_words_is_the_sector():
    own = lattice.from_netket({"a": exchange(nk.hilbert.Spin(0.5, 6, constraint=Magnetised()))}, {"a": 1.0})
    built = lattice.from_netket({"a": exchange(nk.hilbert.Spin(0.5, 6, total_sz=0))}, {"a": 1.0})
    assert exact.ground_state(own.operator())[0] == pytest.approx(exact.ground_state(built.operator())[0], abs=1e-10)


@pytest.mark.parametrize("sites", [6, 12, 24])
def test_terms_that_leave_the_sector_are_refused(sites: int):
    hilbert = nk.hilbert.Spin(0.5, sites, total_sz=0)
    with pytest.raises(InputError, match="'h' leads out of the sector") as caught:
        lattice.from_netket({"J": exchange(hilbert), "h": flips(hilbert, 1)}, {"J": 1.0, "h": 0.5})
    assert "total_sz" in str(caught.value)
    with pytest.raises(InputError, match="'x' leads out"):  # XX alone, although XX + YY would stay
        lattice.from_netket({"x": exchange(hilbert, ("X",)), "y": exchange(hilbert, ("Y",))}, {"x": 1.0, "y": 1.0})
    with pytest.raises(InputError, match="leads out"):
        lattice.from_netket({"x": exchange(nk.hilbert.Spin(0.5, sites, constraint=Magnetised()), ("X",))}, {"x": 1.0})
    with pytest.raises(InputError, match="leads out"):
        lattice.from_netket({"h": flips(nk.hilbert.Spin(0.5, 6, constraint=Blockade()), 1)}, {"h": 1.0})


def test_a_constraint_that_falls_into_parts_is_refused():
    hilbert = nk.hilbert.Spin(0.5, 8, constraint=TwoIslands())
    zz = BUILD(hilbert, [on(8, {0: "Z", 1: "Z"})], [1.0])
    with pytest.raises(InputError, match="cannot reach") as caught:
        lattice.from_netket({"a": zz}, {"a": 1.0})
    assert len(str(caught.value).splitlines()) <= 5


def test_a_sector_of_one_configuration():
    hilbert = nk.hilbert.Spin(0.5, 4, total_sz=2)
    system = lattice.from_netket({"a": exchange(hilbert, ("X", "Y", "Z"), 0.25)}, {"a": 1.0})
    x = system.init(jax.random.key(0))
    moved, ratio = system.propose(jax.random.key(1), x, jnp.ones(()))
    np.testing.assert_array_equal(moved, x)
    assert float(ratio) == 0.0
    assert exact.ground_state(system.operator())[0] == pytest.approx(1.0)


def test_a_diagonal_hamiltonian_expands():
    """Local energies are the diagonal elements; there is nothing to connect to."""
    hilbert = nk.hilbert.Spin(0.5, 4)
    strings = [on(4, {i: "Z", (i + 1) % 4: "Z"}) for i in range(4)] + [on(4, {0: "Z"})]
    system = lattice.from_netket({"a": BUILD(hilbert, strings, [1.0, 1.0, 1.0, 1.0, 0.5])}, {"a": 1.0})
    network = ViTSpec(patch=1, width=4, layers=1, heads=1).build(jax.random.key(0), (4,), sign_free=True)
    xs = jnp.asarray(exact.basis(hilbert))
    local = system.expand_batch(lambda x: network.features(system, x), xs, 8)
    energies = jax.vmap(lambda one: system.contract(network.head, one))(local)[:, 0]
    np.testing.assert_allclose(energies, np.diag(dense_matrix(system.operator()).real), atol=1e-12)


@pytest.mark.parametrize("weight", [np.nan, np.inf, 1e160, 1e-9, 1e-30])
def test_weights_must_be_finite_and_of_a_usable_size(weight: float):
    hilbert = nk.hilbert.Spin(0.5, 4)
    with pytest.raises(InputError, match="term 'a' (has matrix elements|is zero)"):
        lattice.from_netket({"a": BUILD(hilbert, ["XIII", "ZZII"], [weight, weight])}, {"a": 1.0})


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e160, "1", None, [1.0, 2.0]])
def test_couplings_must_be_finite_numbers(value: Any):
    operator = flips(nk.hilbert.Spin(0.5, 4), 1)
    if value != "1":  # a text that is a number is one
        with pytest.raises(InputError, match="is not a coupling"):
            lattice.from_netket({"a": operator}, {"a": value})
        with pytest.raises(InputError, match="is not a coupling"):
            lattice.ising_chain(4).at(h=value)


def dzyaloshinskii(hilbert: Any, axes: str, heisenberg: float = 1.0) -> Any:
    """Heisenberg bonds of a ring with D . (S x S), one axis of ``axes`` after the other."""
    n = hilbert.size
    strings, weights = [], []
    for i in range(n):
        j = (i + 1) % n
        for letter in "XYZ":
            strings.append(on(n, {i: letter, j: letter}))
            weights.append(heisenberg)
        a, b = {"X": "YZ", "Y": "ZX", "Z": "XY"}[axes[i % len(axes)]]
        strings += [on(n, {i: a, j: b}), on(n, {i: b, j: a})]
        weights += [0.3, -0.3]
    return BUILD(hilbert, strings, weights)


def test_complex_elements_are_refused_with_a_way_out_where_there_is_one():
    hilbert = nk.hilbert.Spin(0.5, 6)
    with pytest.raises(InputError, match="complex matrix elements") as caught:
        lattice.from_netket({"a": dzyaloshinskii(hilbert, "Z")}, {"a": 1.0})
    assert "exchange the letters Z and Y in all strings, and turn the sign of every X" in str(caught.value)
    lattice.from_netket({"a": dzyaloshinskii(hilbert, "Y")}, {"a": 1.0})  # as advised: D along y is real
    with pytest.raises(InputError, match="no exchange of the axes") as caught:
        lattice.from_netket({"a": dzyaloshinskii(hilbert, "ZX")}, {"a": 1.0})
    assert "rotate" not in str(caught.value) and "several directions" in str(caught.value)


def test_advice_on_single_spins():
    """Y on one site and X Y on a bond: sites turn differently."""
    hilbert = nk.hilbert.Spin(0.5, 3)
    with pytest.raises(InputError, match="exchange the letters") as caught:
        lattice.from_netket({"a": BUILD(hilbert, ["YII", "IXX", "IYX"], [1.0, 1.0, 0.5])}, {"a": 1.0})
    assert len(str(caught.value).splitlines()) <= 5


@pytest.mark.parametrize("hilbert", [nk.hilbert.Spin(1, 4), nk.hilbert.Qubit(4), nk.hilbert.Fock(3, 4)], ids=str)
def test_other_spaces_are_refused_with_what_to_do(hilbert: Any):
    operator = nk.operator.LocalOperator(hilbert, np.diag(np.arange(len(hilbert.local_states)) * 1.0), [0])
    with pytest.raises(InputError, match="only spins 1/2") as caught:
        lattice.from_netket({"a": operator}, {"a": 1.0})
    assert "nk.hilbert.Spin(0.5, N)" in str(caught.value) and "local states" in str(caught.value)


@pytest.mark.parametrize(
    ("system", "energy"),
    [
        (lattice.ising_chain(1, h=0.7), -0.7),
        (lattice.ising_chain(2, h=1.0), -np.sqrt(5.0)),
        (lattice.ising_square(1, 2, h=1.0), -np.sqrt(5.0)),
        (lattice.ising_square(2, 1, h=1.0, periodic=False), -np.sqrt(5.0)),
        (lattice.j1j2_chain(2, J2=0.5), -0.75),
        (lattice.j1j2_chain(4, J2=0.0), -2.0),
        (lattice.j1j2_square(2, 2, J2=0.0, periodic=False), -2.0),
    ],
)
def test_the_smallest_lattices_count_bonds_once(system: Any, energy: float):
    assert exact.ground_state(system.operator())[0] == pytest.approx(energy, abs=1e-10)


def test_infinite_temperature_is_the_trace():
    """Against the mean of the whole diagonal, for terms with and without a constant."""
    hilbert = nk.hilbert.Spin(0.5, 5)
    shifted = BUILD(hilbert, ["IIIII", "XIIII", "ZZIII", "IXIII"], [2.5, -1.0, 0.3, -1.0])
    system = lattice.from_netket({"a": shifted, "b": flips(hilbert, 1)}, {"a": 2.0, "b": 1.0})
    np.testing.assert_allclose(system.trace, [2.5, 0.0], atol=1e-12)
    dense = dense_matrix(system.operator())
    assert float(system.trace @ np.asarray(system.couplings)) == pytest.approx(np.trace(dense).real / 32)
    np.testing.assert_allclose(lattice.j1j2_chain(6).trace, 0.0)


def test_models_are_found_by_name_and_never_guessed():
    for model, names in (("ising", "J h"), ("j1j2", "J1 J2"), ("xxz", "Jxy Jz")):
        found = lattice.build(model, "chain", 4, periodic=False)
        assert found.model == model and list(found.names) == names.split()
    with pytest.raises(InputError, match="there is no model called 'hubbard'"):
        lattice.build("hubbard", "chain", 4)


class Fixed(eqx.Module):
    """log psi that all but vanishes where the magnetisation is not zero: a conservation law that nobody has stated."""

    def __call__(self, condition: Any, x: jax.Array) -> jax.Array:
        return -50.0 * jnp.sum(x.astype(jnp.float64))[None] ** 2


class Sum(eqx.Module):
    real: bool = eqx.field(static=True, default=True)

    def __call__(self, z: jax.Array) -> Psi:
        return Psi(jnp.sum(z), jnp.zeros(()))


def test_chains_follow_a_law_that_nobody_has_stated():
    """Heisenberg chain of 6 without ``total_sz``: all 20 configurations of no magnetisation, equally often."""
    system = lattice.from_netket({"J": exchange(nk.hilbert.Spin(0.5, 6), ("X", "Y", "Z"))}, {"J": 1.0})
    assert system.groups is not None and sorted(np.asarray(system.groups).sum(axis=1)) == [2] * 6
    family, chains = system.family([{}]), 2000
    walkers = init_walkers(jax.random.key(1), family, chains)
    start = jnp.asarray([1, -1] * 3, walkers.x.dtype)
    walkers = walkers._replace(x=jnp.broadcast_to(start, walkers.x.shape))
    state = Wavefunction(Fixed(), Sum())
    x = np.asarray(jax.jit(metropolis, static_argnums=(3, 4))(state, family, walkers, 200, chains).x[0])
    found, counts = np.unique(x, axis=0, return_counts=True)
    assert len(found) == 20 and np.all(found.sum(axis=1) == 0)
    assert np.sum((counts - chains / 20) ** 2) / (chains / 20) < 50, "chi-square, 19 degrees of freedom: 1 in 10 000"


def test_single_flips_are_enough_where_the_hamiltonian_makes_them():
    hilbert = nk.hilbert.Spin(0.5, 4)
    assert lattice.from_netket({"h": flips(hilbert, 1)}, {"h": 1.0}).groups is None
    both = lattice.from_netket({"h": flips(hilbert, 1), "p": flips(hilbert, 3)}, {"h": 1.0, "p": 0.0})
    assert sorted(np.asarray(both.groups).sum(axis=1)) == [3, 3]


def test_terms_that_say_nothing_are_refused():
    hilbert = nk.hilbert.Spin(0.5, 4)
    nothing = nk.operator.LocalOperator(hilbert)
    with pytest.raises(InputError, match="term 'h' is zero"):
        lattice.from_netket({"J": flips(hilbert, 2), "h": nothing}, {"J": 1.0, "h": 0.0})
    with pytest.raises(InputError, match="is a constant"):
        lattice.from_netket({"J": nothing + 1.0}, {"J": 1.0})
    lattice.from_netket({"J": flips(hilbert, 2), "c": nothing + 1.0}, {"J": 1.0, "c": 0.5})  # a constant beside others


def test_axes_that_letters_cannot_exchange():
    """Fields along three axes: another angle makes them real, and that is what is said, not that nothing does."""
    hilbert = nk.hilbert.Spin(0.5, 4)
    fields = {letter: BUILD(hilbert, [on(4, {i: letter}) for i in range(4)], [1.0] * 4) for letter in "XYZ"}
    with pytest.raises(InputError, match="axes turned by another angle"):
        lattice.from_netket(fields, dict.fromkeys("XYZ", 1.0))


@pytest.mark.parametrize("total_sz", [-2, -1, 1, 2])
def test_infinite_temperature_is_that_of_the_sector(total_sz: int):
    """Fields, exchanges and products of three spins at a fixed magnetisation: the mean diagonal of the matrix."""
    hilbert = nk.hilbert.Spin(0.5, 6, total_sz=total_sz)
    strings = ["ZIIIII", "IZIIII", "ZZIIII", "IZZZII", "XXIIII", "YYIIII", "IIIIII"]
    terms = {
        "f": nk.operator.PauliStringsJax(hilbert, strings, [0.3, 0.7, -1.1, 0.4, 0.5, 0.5, 0.2]),
        "h": nk.operator.PauliStringsJax(
            hilbert, ["".join("Z" if i == j else "I" for i in range(6)) for j in range(6)], [1.0] * 6
        ),
    }
    system = lattice.from_netket(terms, {"f": 1.0, "h": 5.0})
    expected = [np.trace(one.to_dense()).real / hilbert.n_states for one in terms.values()]
    np.testing.assert_allclose(system.trace, expected, atol=1e-12)
    assert system.trace[1] == pytest.approx(2 * total_sz)
    raised = system.at(h=system.values["h"] + 1000.0)
    assert raised.trace @ np.asarray(raised.couplings) - system.trace @ np.asarray(system.couplings) == pytest.approx(
        1000 * 2 * total_sz
    )


class Apart(nk.hilbert.constraint.DiscreteHilbertConstraint):
    """No two neighbours of a ring are up."""

    def __call__(self, x: Any) -> Any:
        return ~jnp.any((x > 0) & jnp.roll(x > 0, 1, axis=-1), axis=-1)

    def __hash__(self) -> int:
        return hash("apart")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Apart)


def test_exchanges_that_leave_sites_apart_are_refused():
    """Two rings, bonds of each alone, or none at all; a single configuration needs no move."""
    hilbert = nk.hilbert.Spin(0.5, 6, total_sz=0)
    rings = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    exchange = sum(nk.operator.spin.sigmaz(hilbert, i) @ nk.operator.spin.sigmaz(hilbert, j) for i, j in rings)
    for bonds, parts in ((rings, 2), ([], 6)):
        with pytest.raises(InputError, match=f"in {parts} parts"):
            lattice.from_netket({"J": exchange}, {"J": 1.0}, bonds=bonds)
    lattice.from_netket({"J": exchange}, {"J": 1.0}, bonds=[*rings, (2, 3)])
    up = nk.hilbert.Spin(0.5, 4, total_sz=2)
    field = sum(nk.operator.spin.sigmaz(up, i) for i in range(4))
    assert lattice.from_netket({"h": field}, {"h": 1.0}, bonds=[]).sites == 4


def test_a_large_constant_costs_no_digits_of_the_rest():
    hilbert = nk.hilbert.Spin(0.5, 6)
    ring = ["".join("Z" if k in (i, (i + 1) % 6) else "I" for k in range(6)) for i in range(6)]
    fields = ["".join("X" if k == i else "I" for k in range(6)) for i in range(6)]
    terms = {"J": BUILD(hilbert, ring, [-1.0] * 6), "h": BUILD(hilbert, fields, [-1.0] * 6)}
    terms["c"] = nk.operator.LocalOperator(hilbert, constant=1.0)
    plain = lattice.from_netket(terms, {"J": 1.0, "h": 1.0, "c": 0.0})
    raised = plain.at(c=1e9)
    assert raised.unit == 1.0 and plain.at(h=3.0).unit == 3.0
    energy = reference_of(plain)[0].energy
    assert reference_of(raised)[0].energy - 1e9 == pytest.approx(energy, abs=1e-5) and energy < -7


def test_infinite_temperature_of_a_constraint_of_ones_own():
    hilbert = nk.hilbert.Spin(0.5, 8, constraint=Apart())
    field = sum(nk.operator.spin.sigmaz(hilbert, i) for i in range(8))
    system = lattice.from_netket({"D": field}, {"D": 1.0})
    assert system.trace[0] == pytest.approx(np.trace(field.to_dense()).real / hilbert.n_states) and system.trace[0] < -1
