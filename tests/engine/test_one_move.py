"""One-move samples against full sums: density, mean, variance, for real and complex heads and any terms."""

import dataclasses

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest

from wavefoundry.core.mixtures import mixed_estimate, mixed_mean
from wavefoundry.core.statistics import energy_statistics
from wavefoundry.engine.one_move import MOVES_BYTES, image, move, moves, picked, together
from wavefoundry.models.transformer import vit
from wavefoundry.problems import exact, lattice

STAY = 0.8


def random_terms(sites, seed):
    """Two Hamiltonians of random Pauli strings, with repeated and cancelling off-diagonal elements."""
    rng, hilbert = np.random.default_rng(seed), nk.hilbert.Spin(0.5, sites)
    strings = ["".join(rng.choice(list("IXZ"), p=[0.6, 0.2, 0.2], size=sites)) for _ in range(12)]
    strings += ["YY" + "I" * (sites - 2), "X" + "I" * (sites - 1), "I" * sites]
    half = len(strings) // 2
    build = nk.operator.PauliStringsJax
    terms = {
        "a": build(hilbert, strings[:half] + ["XI" + "Z" * (sites - 2)], rng.normal(size=half + 1)),
        "b": build(hilbert, strings[half:] + ["XI" + "Z" * (sites - 2)], rng.normal(size=len(strings) - half + 1)),
    }
    return lattice.from_netket(terms, {"a": 1.0, "b": -0.7})


SYSTEMS = {
    "ising": lambda: lattice.ising_chain(6, h=0.7),
    "no field": lambda: lattice.ising_chain(6, h=0.0),
    "j1j2": lambda: lattice.j1j2_chain(8, J2=0.6),
    "strings": lambda: random_terms(6, 0),
}


def images(system, head, seed=0):
    """Images of all configurations, and psi as a vector."""
    wavefunction = vit(
        jax.random.key(seed), system.extent, patch=2, width=8, layers=1, heads=2, head=head, precision="float64"
    )
    # larger weights: amplitudes over many orders of magnitude, so that the density matters
    wavefunction = jax.tree.map(lambda a: 2.0 * a if isinstance(a, jax.Array) else a, wavefunction)
    states = jnp.asarray(exact.basis(system.hilbert))
    local = system.expand_batch(lambda x: wavefunction.features(system, x), states, 64)
    found = jax.vmap(lambda x, part: image(system, wavefunction.head, x, part, STAY))(states, local)
    psi = jax.vmap(lambda x: wavefunction(system, x))(states)
    vector = np.exp(np.asarray(psi.log) - np.max(psi.log)) * np.exp(1j * np.asarray(psi.phase))
    return wavefunction, states, found, vector / np.linalg.norm(vector)


def matrix(system):
    """The Hamiltonian as a matrix, sign rule included."""
    dense = np.vstack([block.toarray() for block in exact._blocks(system.operator())])
    if system.sublattice is not None:
        sign = np.asarray(jax.vmap(system.sign)(jnp.asarray(exact.basis(system.hilbert))))
        dense = sign[:, None] * dense * sign
    return dense


@pytest.mark.parametrize("head", ["real", "complex"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_means_over_the_density_are_those_of_the_state(name, head):
    system = SYSTEMS[name]()
    _, _, found, psi = images(system, head)
    density = np.abs(psi) ** 2 / np.asarray(found.amplitude) ** 2  # q = |psi|^2 / amplitude^2
    dense = matrix(system)
    size = np.abs(dense - np.diag(np.diag(dense)))
    assert density.sum() == pytest.approx(1, abs=1e-10)
    if name in ("ising", "j1j2"):  # one slot per element: the move is that of the matrix
        out = size.sum(1)
        moves = size / np.where(out > 0, out, 1)[:, None]
        wanted = STAY * np.abs(psi) ** 2 + (1 - STAY) * (np.abs(psi) ** 2 @ moves)
        np.testing.assert_allclose(density, wanted, atol=1e-12)
    energy = np.vdot(psi, dense @ psi).real
    values = np.asarray(found.values) @ np.asarray(system.couplings)
    assert (density * np.asarray(found.amplitude) * values).sum().real == pytest.approx(energy, abs=1e-9)
    variance = np.linalg.norm(dense @ psi - energy * psi) ** 2
    squares = np.abs(values - energy * np.asarray(found.amplitude)) ** 2
    assert (density * squares).sum() == pytest.approx(variance, rel=1e-8)


@pytest.mark.parametrize("name", ["j1j2", "strings"])
def test_moves_have_the_density_that_the_weights_assume(name):
    """A chi-square over all reachable states: false alarm 1e-4."""
    system = SYSTEMS[name]()
    states = np.asarray(exact.basis(system.hilbert))
    start = jnp.asarray(states[3])
    connected = system.connected(start)
    size = np.abs(np.asarray(connected.mels) @ np.asarray(system.couplings))
    draws = 4000
    keys = jax.random.split(jax.random.key(5), draws)
    found = np.asarray(jax.vmap(lambda k: move(system, k, start))(keys))
    code = 2 ** np.arange(system.sites)
    wanted: dict[int, float] = {}
    for x, s in zip(np.asarray(connected.x), size / size.sum(), strict=True):
        wanted[int((x > 0) @ code)] = wanted.get(int((x > 0) @ code), 0.0) + s
    seen = {int(c): n for c, n in zip(*np.unique((found > 0) @ code, return_counts=True), strict=True)}
    assert set(seen) <= {c for c, p in wanted.items() if p > 0}
    chi = sum((seen.get(c, 0) - draws * p) ** 2 / (draws * p) for c, p in wanted.items() if p > 1e-12)
    freedom = sum(p > 1e-12 for p in wanted.values()) - 1
    assert chi < freedom + 4.5 * np.sqrt(2 * freedom) + 10


@pytest.mark.parametrize("count", [3, 400])
def test_picked_moves_are_those_by_chance_once_they_are_weighted(count):
    """Mean weight of every slot over many keys: 4.5 error bars each, false alarm 7e-6 for each of 40.

    A slot is drawn a number of times that is certain up to one, with a weight of at most two.
    """
    keys = 40_000
    rng = np.random.default_rng(0)
    chance, surprise = rng.random((8, 5)), rng.random((8, 5)) ** 8
    chance[2, 3] = chance[5] = 0.0
    chance[5, 4] = 1.0  # nothing to move to but itself
    chance /= chance.sum(1, keepdims=True)

    def seen(key):
        row, slot, weight = picked(key, jnp.asarray(chance), jnp.asarray(surprise), count)
        return jnp.zeros(chance.shape).at[row, slot].add(weight) / count, jnp.max(weight)

    tables, largest = jax.vmap(seen)(jax.random.split(jax.random.key(1), keys))
    assert float(jnp.max(largest)) <= 2 + 1e-12
    error = 2 * 0.5 / count / np.sqrt(keys)
    off = np.abs(np.mean(np.asarray(tables), axis=0) - chance / 8)
    assert (off <= 4.5 * error).all() and (np.asarray(tables)[:, chance == 0] == 0).all()


@pytest.mark.parametrize("head", ["real", "complex"])
def test_surprise_is_the_part_of_the_density_that_moves_bring(head):
    system = SYSTEMS["j1j2"]()
    wavefunction, states, _, psi = images(system, head)
    local = system.expand_batch(lambda x: wavefunction.features(system, x), states, 64)
    chance, surprise = jax.vmap(lambda x, part: moves(system, wavefunction.head, x, part, STAY))(states, local)
    np.testing.assert_allclose(np.asarray(chance).sum(1), 1, atol=1e-12)
    come = (1 - STAY) * np.asarray(chance)[:, :-1]
    code = {tuple(x): i for i, x in enumerate(np.asarray(states).tolist())}
    there = np.abs(psi) ** 2
    for i, x in enumerate(states):
        ratio = there[[code[tuple(y)] for y in np.asarray(system.connected(x).x).tolist()]] / there[i]
        wanted = np.where(come[i] > 0, (come[i] / np.maximum(come[i] + STAY * ratio, 1e-300)) ** 4, 0)
        np.testing.assert_allclose(np.asarray(surprise)[i, :-1], wanted, rtol=1e-6, atol=1e-12)


def test_without_anything_to_move_to_a_sample_stays():
    system = lattice.ising_chain(6, h=0.0)
    x = jnp.asarray(exact.basis(system.hilbert)[5])
    assert (move(system, jax.random.key(0), x) == x).all()
    local = system.expand_batch(lambda x: jnp.zeros(1), x[None], 1)
    head = vit(jax.random.key(0), (6,), patch=2, width=1, layers=1, heads=1).head
    chance, surprise = moves(system, head, x, jax.tree.map(lambda a: a[0], local), STAY)
    row, slot, weight = picked(jax.random.key(1), chance[None], surprise[None], 4)
    assert (row == 0).all() and (slot == len(chance) - 1).all() and (weight == 1).all()


def test_a_state_whose_samples_miss_what_makes_its_variance():
    """Psi lives on one configuration: its local energies do not vary there, and do one move away."""
    sites, h = 6, 0.2
    energy, chains = -6.0, 64
    # on the support: values = E amplitude / ...; moved samples: psi = 0, H psi = -h
    plain = energy_statistics(np.full((chains, 32), energy), sites)
    # q on the support is 0.8; each of the 6 neighbours has 0.2 / 6
    inside = np.full((chains, 32), 1 / np.sqrt(0.8))
    outside = np.zeros((chains, 8))
    amplitude = np.concatenate([inside, outside], axis=1)
    values = np.concatenate([energy * inside, np.full((chains, 8), -h / np.sqrt(0.2 / sites))], axis=1)
    found = mixed_estimate(plain, values, amplitude, sites)
    assert plain.variance == 0.0
    assert found.variance == pytest.approx(sites * h**2)
    assert found.mean == pytest.approx(energy)
    assert found.plain_v_score == 0.0 and found.v_score == pytest.approx(sites * sites * h**2 / energy**2)
    mean, error, spread = mixed_mean(np.where(amplitude > 0, 1.0, 7.0), amplitude)
    assert (mean, error, spread) == (1.0, 0.0, 0.0)


def test_few_samples_are_looked_at_together_where_moves_of_neighbours_are_many():
    """A lattice of 100 sites has 400 moves, and each of these leads on to as many."""
    known = lattice.j1j2_square(10, 10, J2=0.5)
    system = dataclasses.replace(known, outgoing=None)  # as of operators that are no Pauli strings
    local = jax.eval_shape(
        lambda xs: system.expand_batch(lambda x: jnp.zeros(1), xs, 16), jax.ShapeDtypeStruct((2048, 100), jnp.int8)
    )
    moves = local.mels.shape[1]
    assert together(system, local) * moves**2 * local.mels.shape[2] * 8 <= MOVES_BYTES
    assert 16 <= together(system, local) < together(known, local)
