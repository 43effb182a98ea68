"""Markov chains against exact distributions, with a stated rate of false alarms.

Thousands of independent chains, one sample each after many moves, are tested by chi-square. Seeds are fixed; at another
seed a test would fail by chance once in 10^5 cases. What is left of the starting distribution is far below the noise:
the second eigenvalue of single flips on these wavefunctions is 0.91, its 150th power 4e-7.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest
from scipy import stats

from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.engine import guided
from wavefoundry.engine.sampling import Walkers, equal_weights, full_sum, init_walkers, members, metropolis
from wavefoundry.problems import exact, lattice

FALSE_ALARM = 1e-5
CHAINS, MOVES = 6000, 150


def smooth(network: Any, system: lattice.LatticeSystem, **options: Any) -> Wavefunction:
    """A network whose probabilities differ by about a factor of 30."""
    wavefunction = network(system, "complex", seed=2, **options)
    return eqx.tree_at(
        lambda w: w.head, wavefunction, wavefunction.head.with_weights(0.6 * wavefunction.head.weights())
    )


def codes(states: Any) -> np.ndarray:
    return (np.asarray(states) > 0) @ (1 << np.arange(states.shape[-1]))


def probabilities(system: lattice.LatticeSystem, wavefunction: Wavefunction) -> tuple[np.ndarray, np.ndarray]:
    """Codes and |psi|^2 of all configurations."""
    states = exact.basis(system.hilbert)
    log = np.asarray(jax.jit(jax.vmap(lambda x: wavefunction(system, x).log))(jnp.asarray(states)))
    weight = np.exp(2 * (log - log.max()))
    return codes(states), weight / weight.sum()


def chi_square(found: np.ndarray, code: np.ndarray, expected: np.ndarray) -> float:
    """Chance of a deviation as large as this one; cells with fewer than 5 expected counts are merged."""
    counts = np.array([np.sum(found == c) for c in code])
    assert counts.sum() == len(found), "a walker has left the Hilbert space"
    expected = expected * len(found)
    order = np.argsort(expected)
    cut = max(int(np.searchsorted(np.cumsum(expected[order]), 5.0)) + 1, int(np.sum(expected < 5.0)))
    counts, expected = (np.append(a[order][cut:], a[order][:cut].sum()) for a in (counts, expected))
    return float(stats.chi2.sf(np.sum((counts - expected) ** 2 / expected), len(counts) - 1))


def sample(family: Any, wavefunction: Wavefunction, chains: int = CHAINS, moves: int = MOVES, seed: int = 0) -> Walkers:
    walkers = init_walkers(jax.random.key(seed), family, chains)
    return eqx.filter_jit(metropolis)(wavefunction, family, walkers, moves, 512)


def guide_of(wavefunction: Wavefunction, family: Any, x: Any) -> guided.Guide:
    """Proposals for a family of one member, fitted to its walkers (1, chains, sites)."""
    guide = guided.guide_at(wavefunction, family, x[0], family.extent, 512)
    return jax.tree.map(lambda a: a[None], guide)


def in_sector(total_sz: float) -> lattice.LatticeSystem:
    """Heisenberg chain of 6 sites in a sector of the magnetisation."""
    hilbert = nk.hilbert.Spin(0.5, 6, total_sz=total_sz)
    strings = ["".join(a if k in (i, (i + 1) % 6) else "I" for k in range(6)) for i in range(6) for a in "XYZ"]
    return lattice.from_netket({"J": nk.operator.PauliStringsJax(hilbert, strings, [0.25] * 18)}, {"J": 1.0})


def with_flips(system: lattice.LatticeSystem, probability: float) -> lattice.LatticeSystem:
    return eqx.tree_at(lambda s: s.flip_all, system, jnp.array(probability))


MOVES_OF = {
    "single flips": lambda: with_flips(lattice.ising_chain(6), 0.0),
    "single flips and now and then all": lambda: lattice.ising_chain(6),
    "mostly global flips": lambda: with_flips(lattice.ising_chain(6), 0.6),
    "exchanges": lambda: lattice.j1j2_chain(6),
    "exchanges in another sector": lambda: in_sector(1.0),
}


@pytest.mark.parametrize("name", MOVES_OF)
def test_walkers_are_distributed_as_the_wavefunction(network: Any, name: str):
    system = MOVES_OF[name]()
    wavefunction = smooth(network, system)
    code, expected = probabilities(system, wavefunction)
    assert np.max(expected) * len(expected) > 2, "far from uniform, otherwise the test would be weak"
    walkers = sample(system.family([{}]), wavefunction)
    found = codes(walkers.x[0])
    assert chi_square(found, code, expected) > FALSE_ALARM
    assert 0.2 < float(walkers.acceptance) < 0.95
    if name == "exchanges":
        # without the Hastings ratio the density would carry the number of exchanges as a factor: seen at once
        i, j = np.asarray(system.pairs).T
        states = exact.basis(system.hilbert)
        biased = expected * np.sum(states[:, i] != states[:, j], axis=1)
        assert chi_square(found, code, biased / biased.sum()) < 1e-12


@pytest.mark.parametrize("name", ["single flips and now and then all", "exchanges"])
def test_guided_walkers_are_distributed_as_the_wavefunction(network: Any, name: str, monkeypatch: pytest.MonkeyPatch):
    """Proposals by the pair model of other chains, each accepted or not by the network."""
    monkeypatch.setattr(guided, "PROPOSALS", 1)  # six sites are too few for it to pay otherwise
    system = MOVES_OF[name]()
    wavefunction, family = smooth(network, system), system.family([{}])
    code, expected = probabilities(system, wavefunction)
    guide = guide_of(wavefunction, family, init_walkers(jax.random.key(1), family, 500).x)
    assert int(guide.rounds[0]) > 0, "the model is in use"
    walkers = init_walkers(jax.random.key(0), family, CHAINS)
    step = eqx.filter_jit(lambda w: guided.guided(wavefunction, family, w, guide, 512))
    for _ in range(40):
        walkers = step(walkers)
    found = codes(walkers.x[0])
    assert chi_square(found, code, expected) > FALSE_ALARM
    assert 0.2 < float(walkers.acceptance[0] if walkers.acceptance.ndim else walkers.acceptance) < 0.999


def test_exchanges_keep_the_magnetisation():
    for total, system in ((0, lattice.j1j2_chain(6)), (2, in_sector(1.0))):
        x = jax.vmap(system.init)(jax.random.split(jax.random.key(0), 200))
        moved, log_ratio = jax.jit(jax.vmap(lambda k, x, s=system: s.propose(k, x, 1.0)))(
            jax.random.split(jax.random.key(1), 200), x
        )
        np.testing.assert_array_equal(x.sum(axis=1), total)
        np.testing.assert_array_equal(moved.sum(axis=1), total)
        # exact ratio: number of antiparallel pairs before and after an exchange, 0 for a flip of all spins
        i, j = np.asarray(system.pairs).T
        pairs = [np.sum(np.asarray(a)[:, i] != np.asarray(a)[:, j], axis=1) for a in (x, moved)]
        np.testing.assert_allclose(log_ratio, np.log(pairs[0] / pairs[1]), atol=1e-12)
        differing = np.sum(np.asarray(x) != np.asarray(moved), axis=1)
        assert set(differing) <= ({2, 6} if total == 0 else {2})
    assert float(in_sector(1.0).flip_all) == 0.0, "a flip of all spins would leave this sector"


class Ordered(eqx.Module):
    """log psi = strength (sum of spins / sites)^2: two sectors with a high wall in between, and the wall of a head."""

    strength: float

    def __call__(self, condition: Any, x: jax.Array) -> jax.Array:
        return self.strength * jnp.mean(x.astype(jnp.float64))[None] ** 2


class Straight(eqx.Module):
    """log psi = z."""

    real: bool = eqx.field(static=True, default=True)

    def __call__(self, z: jax.Array) -> Psi:
        return Psi(z[0], jnp.zeros_like(z[0]))


def test_both_sectors_of_an_ordered_phase_are_visited():
    """From all up, single flips stay there (wall amplitude e^-20); global flips give halves, 5 sigma allowed."""
    system, wavefunction = lattice.ising_chain(10), Wavefunction(Ordered(20.0), Straight())  # type: ignore[arg-type]
    chains = 400

    def share_down(system: lattice.LatticeSystem) -> float:
        family = system.family([{}])
        start = Walkers(jnp.ones((1, chains, 10), jnp.int8), jax.random.key(3), jnp.array(1.0), jnp.array(0.0))
        x = eqx.filter_jit(metropolis)(wavefunction, family, start, 100, 512).x
        return float(np.mean(np.asarray(x).sum(axis=-1) < 0))

    assert share_down(with_flips(system, 0.0)) == 0.0
    assert abs(share_down(system) - 0.5) < 5 * 0.5 / np.sqrt(chains)


class Kinked(eqx.Module):
    """log psi = 0.3 sum_i z_i z_i+1 where that is positive, constant below: no pair model says so."""

    def __call__(self, condition: Any, x: jax.Array) -> jax.Array:
        return 0.3 * jnp.maximum(jnp.sum(x * jnp.roll(x, 1)).astype(jnp.float64), 0.0)[None]


def test_chains_where_the_model_is_wrong_are_not_left_behind():
    """The model puts e^-19 on alternating spins, which weigh 1: its proposals alone would never let go of them."""
    system, wavefunction = lattice.ising_chain(32), Wavefunction(Kinked(), Straight())  # type: ignore[arg-type]
    family, chains = system.family([{}]), 128
    x = sample(family, wavefunction, chains, 500).x
    guide = guide_of(wavefunction, family, x)
    assert int(guide.rounds[0]) > 0, "in use"
    apart = jnp.broadcast_to(jnp.where(jnp.arange(32) % 2, 1, -1).astype(x.dtype), (1, 16, 32))
    walkers = Walkers(apart, jax.random.key(0), jnp.array(1.0), jnp.array(0.0))
    step = eqx.filter_jit(lambda w: guided.guided(wavefunction, family, w, guide, 512))
    for _ in range(10):
        walkers = step(walkers)
    bonds = np.sum(np.asarray(walkers.x[0]) * np.roll(np.asarray(walkers.x[0]), 1, axis=-1), axis=-1)
    assert bonds.min() > -16, "four in 10^4 of such ensembles have a chain there"


class Hole(eqx.Module):
    """log psi = NaN whenever the first spin is down, -infinity when the second one is."""

    def __call__(self, condition: Any, x: jax.Array) -> jax.Array:
        return jnp.where(x[0] < 0, jnp.nan, jnp.where(x[1] < 0, -jnp.inf, 0.1 * x[2]))[None]


def test_proposals_that_are_not_finite_are_refused():
    system = lattice.ising_chain(6)
    start = Walkers(jnp.ones((1, 500, 6), jnp.int8), jax.random.key(4), jnp.array(1.0), jnp.array(0.0))
    wavefunction = Wavefunction(Hole(), Straight())  # type: ignore[arg-type]
    x = np.asarray(eqx.filter_jit(metropolis)(wavefunction, system.family([{}]), start, 60, 512).x[0])
    assert np.all(x[:, :2] == 1)
    assert np.all(np.abs(x[:, 2:].mean(axis=0)) < 0.5), "the other spins move freely"


@pytest.fixture(scope="module")
def conditioned(network: Any) -> tuple[Any, Wavefunction, list[dict[str, float]]]:
    """A network that knows the field, at two very different fields."""
    system, points = lattice.ising_chain(6), [{"h": -2.0}, {"h": 2.5}]
    return system, smooth(network, system, conditioned=(1,)), points


def test_members_of_a_family_keep_their_own_distribution(conditioned: tuple):
    system, wavefunction, points = conditioned
    family = system.family(points)
    assert members(family) == 2
    x = sample(family, wavefunction).x
    exact_ones = [probabilities(system.at(**point), wavefunction) for point in points]
    for k in range(2):
        assert chi_square(codes(x[k]), *exact_ones[k]) > FALSE_ALARM
        assert chi_square(codes(x[k]), *exact_ones[1 - k]) < 1e-20, "the two distributions can be told apart"


def test_full_sum_weights_are_exact(conditioned: tuple):
    system, wavefunction, points = conditioned
    states = exact.basis(system.hilbert)
    batch = eqx.filter_jit(full_sum)(wavefunction, system.family(points), jnp.asarray(states), 7)
    assert batch.x.shape == (2, 64, 6) and batch.weight.dtype == jnp.float64
    for k, point in enumerate(points):
        np.testing.assert_array_equal(batch.x[k], states)
        np.testing.assert_allclose(batch.weight[k], probabilities(system.at(**point), wavefunction)[1], rtol=1e-12)
        np.testing.assert_allclose(float(batch.weight[k].sum()), 1.0, rtol=1e-13)


def test_chunks_do_not_change_the_walkers(conditioned: tuple):
    system, wavefunction, points = conditioned
    family = system.family(points)
    start = init_walkers(jax.random.key(5), family, 30)
    run = eqx.filter_jit(metropolis)
    one, other = (run(wavefunction, family, start, 25, chunk) for chunk in (7, 64))
    np.testing.assert_array_equal(one.x, other.x)
    assert float(one.acceptance) == float(other.acceptance)
    again = run(wavefunction, family, start._replace(key=jax.random.key(6)), 25, 64)
    assert np.any(np.asarray(again.x) != np.asarray(one.x)), "another key gives another walk"


def test_equal_weights_sum_to_one_for_every_member():
    batch = equal_weights(jnp.ones((3, 5, 6)))
    np.testing.assert_allclose(batch.weight, np.full((3, 5), 0.2))
