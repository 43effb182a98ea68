"""Pools: what is cached equals the whole network, and what is re-weighted equals the exact sum or agrees with it."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from wavefoundry.adapt.head import cotangents, direction, judge, metric_at, paired_error
from wavefoundry.adapt.pool import (
    Layout,
    Pool,
    combine,
    contract,
    fill,
    log_psi,
    resample,
    sample,
    weights,
)
from wavefoundry.core.types import Wavefunction
from wavefoundry.engine.guided import Guide, fit_guide
from wavefoundry.engine.sampling import equal_weights
from wavefoundry.engine.vmc import local_energies
from wavefoundry.problems import lattice


def with_head(wavefunction: Wavefunction, head: Any) -> Wavefunction:
    return eqx.tree_at(lambda w: w.head, wavefunction, head)


class Setting:
    """A system, a network, its exact sums, and the pool of all its configurations, each once."""

    def __init__(self, system: lattice.LatticeSystem, wavefunction: Wavefunction, exactly: Any):
        self.system, self.wavefunction, self.exact = system, wavefunction, exactly(system)
        self.family, self.head = system.family([{}]), wavefunction.head
        self.all = fill(wavefunction, self.family, jnp.asarray(self.exact.states), 64)
        self.z = self.all.local.z

    def probabilities(self, head: Any) -> np.ndarray:
        return np.abs(self.exact.amplitudes(head, self.z)) ** 2

    def draw(self, head: Any, size: int, seed: int) -> Pool:
        """Independent samples of a head, as rows of the pool of all configurations."""
        p = self.probabilities(head)
        rows = np.random.default_rng(seed).choice(len(p), size, p=p / p.sum())
        x, local = jax.tree.map(lambda a: a[rows], (self.all.x, self.all.local))
        return Pool(x, local, 2 * log_psi(head, local.z))


CASES = {
    "ising real": lambda: (lattice.ising_chain(8, h=0.9), "real", False),
    "j1j2 complex": lambda: (lattice.j1j2_chain(8, J2=0.4), "complex", False),
    "ising complex with norms": lambda: (lattice.ising_chain(8, h=0.9), "complex", True),
}


@pytest.fixture(scope="module")
def settings(network: Any, exactly: Any) -> Any:
    built: dict[str, Setting] = {}

    def get(name: str) -> Setting:
        if name not in built:
            system, kind, norm = CASES[name]()
            built[name] = Setting(system, network(system, kind, norm=norm), exactly)
        return built[name]

    return get


@pytest.fixture(scope="module")
def ising(settings: Any) -> Setting:
    return settings("ising real")


energies = eqx.filter_jit(contract)


@pytest.mark.parametrize("name", ["ising real", "j1j2 complex"])
def test_cached_features_give_the_local_energies_of_the_whole_network(settings: Any, moved: Any, name: str):
    """For the pool's own head and for one far away; the oracle is the engine running backbone and head."""
    s = settings(name)
    x, pool = jnp.asarray(s.exact.states), s.all
    np.testing.assert_array_equal(pool.x, x)
    for head in (s.head, moved(s.head, 0.5)):
        expected = eqx.filter_jit(local_energies)(with_head(s.wavefunction, head), s.family, equal_weights(x[None]), 16)
        found = energies(s.system, head, pool)
        np.testing.assert_allclose(found, expected[0], rtol=1e-10, atol=1e-10)
        psi = s.exact.amplitudes(head, s.z)
        np.testing.assert_allclose(found, s.exact.local(psi).T, rtol=1e-9, atol=1e-9)
        assert np.iscomplexobj(found) != head.real
    p = s.probabilities(s.head)
    np.testing.assert_allclose(np.exp(pool.log_q - jax.scipy.special.logsumexp(pool.log_q)), p, rtol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_a_pool_of_all_configurations_is_the_exact_sum(settings: Any, moved: Any, name: str):
    """Uniform density, so that the importance weights of any head are its |psi|^2: energy, <H_k>, natural gradient."""
    s = settings(name)
    head = moved(s.head, 0.2)
    pool = s.all._replace(log_q=jnp.zeros(len(s.z)))
    psi = s.exact.amplitudes(head, s.z)
    w, ess = weights(log_psi(head, pool.local.z), pool.log_q)
    np.testing.assert_allclose(w, np.abs(psi) ** 2, rtol=1e-10)
    np.testing.assert_allclose(float(ess), 1 / (len(psi) * np.sum(np.abs(psi) ** 4)), rtol=1e-10)

    terms, couplings = np.asarray(energies(s.system, head, pool)), np.asarray(s.system.couplings)
    means = [np.vdot(psi, term @ psi).real for term in s.exact.terms]
    np.testing.assert_allclose(np.real(np.asarray(w) @ terms), means, atol=1e-10)
    energy = s.exact.energy(psi, couplings)
    judged, _ = judge(jnp.asarray(terms @ couplings), log_psi(head, s.z), pool.log_q, 1)
    np.testing.assert_allclose([float(judged.energy), couplings @ means], energy, atol=1e-10)
    hamiltonian = np.tensordot(couplings, s.exact.terms, 1)
    variance = np.linalg.norm(hamiltonian @ psi) ** 2 - energy**2
    np.testing.assert_allclose(float(judged.variance), variance, rtol=1e-9)

    u = np.concatenate([np.asarray(s.z), np.ones((len(psi), 1))], axis=1)
    t = np.asarray(jax.jit(cotangents)(head, jnp.asarray(u) @ head.weights()))
    found, _ = jax.jit(lambda t, u, w, e: direction(metric_at(t, u, w, 1e-2), w, e))(t, u, w, terms @ couplings)
    # the exact sums: O = d log psi, S = Re <O* O>_c, F = dE = 2 Re <O* (H - E)>
    o = np.einsum("sd,sph->spdh", u, t).reshape(len(psi), t.shape[1], -1)
    o = o[:, 0] + (1j * o[:, 1] if t.shape[1] == 2 else 0)
    p = np.abs(psi) ** 2
    o = o - p @ o
    metric = np.real(o.conj().T * p @ o)
    force = 2 * np.real((o * psi[:, None]).conj().T @ (hamiltonian @ psi - energy * psi))
    expected = np.linalg.solve(metric + 1e-2 * np.eye(len(metric)), force)
    assert np.linalg.norm(np.asarray(found).reshape(-1) - expected) < 1e-10 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("shift", "expected", "tolerance"), [(0.25, 0.9394, 3e-3), (0.5, 0.7788, 0.012), (1.0, 0.3679, 0.05)]
)
def test_effective_sample_size(shift: float, expected: float, tolerance: float):
    """Target N(m, 1), samples N(0, 1): ESS/M -> exp(-m^2). Tolerances are 4 standard deviations of 20 000 samples:
    false alarms 6e-5 each at another seed.
    """
    x = np.random.default_rng(5).normal(size=20_000)
    w, ess = weights(jnp.asarray(-((x - shift) ** 2) / 4), jnp.asarray(-(x**2) / 2))
    assert abs(float(ess) - expected) < tolerance
    assert float(w.sum()) == pytest.approx(1.0)
    # the mean of the target comes out; its own error bar, 5 of them
    error = np.sqrt(np.sum((np.asarray(w) * (x - shift)) ** 2))
    assert abs(np.asarray(w) @ x - shift) < 5 * error


def test_a_pool_carries_its_own_head_with_equal_weights(ising: Setting):
    pool = ising.draw(ising.head, 50, seed=0)
    w, ess = weights(log_psi(ising.head, pool.local.z), pool.log_q + 123.4)
    np.testing.assert_allclose(w, 1 / 50, rtol=1e-12)
    assert float(ess) == pytest.approx(1.0, abs=1e-12)


def test_weights_do_not_overflow():
    w, ess = weights(jnp.array([0.0, 800.0, -800.0]), jnp.array([1000.0, -1000.0, 0.0]))
    np.testing.assert_array_equal(w, [0.0, 1.0, 0.0])
    assert float(ess) == pytest.approx(1 / 3)


def test_samples_come_chain_by_chain(ising: Setting):
    """One single flip between samples: neighbours within a chain differ by at most one spin, and chains go on."""
    system = eqx.tree_at(lambda s: s.flip_all, ising.system, jnp.array(0.0))
    start = jax.vmap(system.init)(jax.random.split(jax.random.key(0), 10))
    layout = Layout(chains=10, samples=7, warm_up=0, chunk=4)
    one_move = Guide(jnp.zeros((8, 8)), jnp.array(0), jnp.array(1))
    xs, acceptance = sample(ising.wavefunction, system.family([{}]), start, jax.random.key(1), one_move, layout)
    chains = np.asarray(xs).reshape(10, 7, 8)
    first = np.sum(chains[:, 0] != np.asarray(start), axis=-1)
    steps = np.sum(chains[:, 1:] != chains[:, :-1], axis=-1)
    assert np.all(first <= 1) and np.all(steps <= 1)
    np.testing.assert_allclose(float(acceptance), np.concatenate([first[:, None], steps], axis=1).mean(), rtol=1e-12)


def test_resampled_chains_have_the_new_distribution(ising: Setting, moved: Any):
    """Systematic resampling is exact up to one: every pool sample is taken w C times, rounded down or up."""
    head, chains = moved(ising.head, 0.3), 5000
    x, _ = resample(jax.random.key(2), ising.all._replace(log_q=jnp.zeros(256)), head, chains, (8,))
    code = {tuple(state): k for k, state in enumerate(np.asarray(ising.exact.states).tolist())}
    counts = np.bincount([code[tuple(state)] for state in np.asarray(x).tolist()], minlength=256)
    assert counts.sum() == chains
    assert np.max(np.abs(counts - chains * ising.probabilities(head))) < 1 + 1e-6
    again, _ = resample(jax.random.key(3), ising.all._replace(log_q=jnp.zeros(256)), head, chains, (8,))
    assert np.any(np.asarray(again) != np.asarray(x)), "another key, another rounding"


def estimate(system: Any, head: Any, couplings: Any, pool: Pool, chains: int) -> tuple[float, float]:
    """Re-weighted energy with the error bar from contributions of chains."""
    local = energies(system, head, pool) @ couplings
    judged, _ = judge(local, log_psi(head, pool.local.z), pool.log_q, chains)
    return float(judged.energy), float(paired_error(judged.influence))


def pulls(found: list[tuple[float, float]], exact: float) -> np.ndarray:
    return np.array([(value - exact) / error for value, error in found])


def agree(z: np.ndarray, chains: int) -> None:
    """Error bars of C chains have a scatter of their own: squared pulls follow F(1, C - 1), their sum over seeds nearly
    chi-square scaled by its mean (C - 1)/(C - 3). Too small a sum means error bars too large. Chance of a false alarm
    at another seed: 1e-4 (each side 5e-5), and 1e-4 for the mean of the pulls.
    """
    scale = (chains - 1) / (chains - 3)
    assert stats.chi2.ppf(5e-5, len(z)) < np.sum(z**2) / scale < stats.chi2.isf(5e-5, len(z))
    assert abs(z.mean()) * np.sqrt(len(z)) < stats.norm.isf(5e-5) * np.sqrt(scale)


def guide_of(s: Any, kind: str) -> Guide:
    """Proposals for the head of a setting: plain moves, those of a fitted model, or those of a model that is wrong."""
    sites = s.system.sites
    if kind == "plain":
        return Guide(jnp.zeros((sites, sites)), jnp.array(0), jnp.array(3 * sites))
    p = s.probabilities(s.head)
    log = jnp.asarray(0.5 * np.log(np.maximum(p, 1e-300)))
    fitted = fit_guide(jnp.asarray(s.exact.states), log, jnp.asarray(p / p.sum()), s.system.extent)
    wrong = 0.05 * jax.random.normal(jax.random.key(5), (sites, sites))
    pair = fitted.pair if kind == "fitted" else wrong
    return Guide(pair, jnp.array(8), jnp.array(2))


@pytest.mark.parametrize("kind", ["plain", "fitted", "wrong"])
@pytest.mark.parametrize("name", ["ising real", "j1j2 complex"])
def test_pool_estimates_agree_with_exact_energies(settings: Any, moved: Any, name: str, kind: str):
    """20 pools from Markov chains, another head at another coupling: the exact energy lies within the error bars."""
    s, seeds, chains = settings(name), 20, 64
    head = moved(s.head, 0.05, seed=1)
    couplings = s.system.at(**{s.system.names[1]: 0.6}).couplings
    layout, guide = Layout(chains=chains, samples=8, warm_up=4, chunk=64), guide_of(s, kind)
    p = s.probabilities(s.head)
    found, ess = [], []
    for seed in range(seeds):
        rows = np.random.default_rng(seed).choice(len(p), chains, p=p / p.sum())
        key = jax.random.fold_in(jax.random.key(11), seed)
        xs, _ = sample(s.wavefunction, s.family, jnp.asarray(s.exact.states[rows]), key, guide, layout)
        pool = fill(s.wavefunction, s.family, xs, 64)
        found.append(estimate(s.system, head, couplings, pool, chains))
        ess.append(float(weights(log_psi(head, pool.local.z), pool.log_q)[1]))
    assert 0.3 < np.mean(ess) < 0.98, "the weights do matter, and the pool still carries the head"
    agree(pulls(found, s.exact.energy(s.exact.amplitudes(head, s.z), couplings)), chains)


def test_combining_pools_of_one_head_changes_nothing(ising: Setting, moved: Any):
    head = moved(ising.head, 0.2)
    parts = [ising.draw(ising.head, 300, seed) for seed in (0, 1)]
    both = combine(tuple(parts), (ising.head, ising.head))
    np.testing.assert_array_equal(both.x, np.concatenate([part.x for part in parts]))
    w, _ = weights(log_psi(head, both.local.z), both.log_q)
    plain, _ = weights(log_psi(head, both.local.z), jnp.concatenate([part.log_q for part in parts]))
    np.testing.assert_allclose(w, plain, rtol=1e-10)


@pytest.mark.integration
def test_combined_pools_carry_a_head_between_them(ising: Setting, moved: Any):
    """Two heads far from each other, a third one half-way: 20 pairs of pools, error bars from 600 + 600 samples.

    The unknown ratio of the two norms is estimated from the samples; the exact one is known here.
    """
    step = moved(ising.head, 0.5, seed=4).weights() - ising.head.weights()
    first, third, second = (ising.head.with_weights(ising.head.weights() + k * step) for k in (0.0, 0.5, 1.0))
    couplings, size = ising.system.couplings, 600
    merge = jax.jit(combine)
    found, alone, gains = [], [], []
    for seed in range(20):
        pools = (ising.draw(first, size, seed), ising.draw(second, size, 1000 + seed))
        both = merge(pools, (first, second))
        # independent samples: interleaved, so that every chain of the error bar holds as many of each pool
        order = np.arange(2 * size).reshape(2, -1).T.reshape(-1)
        mixed = jax.tree.map(lambda a, order=order: a[order], both)
        found.append(estimate(ising.system, third, couplings, mixed, 40))
        alone.append(estimate(ising.system, third, couplings, pools[0], 40))
        gains.append(float(weights(log_psi(third, both.local.z), both.log_q)[1]))
    exact = ising.exact.energy(ising.exact.amplitudes(third, ising.z), couplings)
    agree(pulls(found, exact), 40)
    reach = [float(weights(log_psi(third, p.local.z), p.log_q)[1]) for p in pools]
    assert np.mean(gains) > max(reach), "together they cover the third head better than either"
    assert np.mean([error for _, error in found]) < np.mean([error for _, error in alone])
    # the density of the mixture, with the exact norms, up to one constant
    p, q = ising.probabilities(first), ising.probabilities(second)
    rows = [tuple(state) for state in np.asarray(ising.exact.states).tolist()]
    index = [rows.index(tuple(state)) for state in np.asarray(both.x).tolist()]
    offset = np.asarray(both.log_q) - np.log(p + q)[index]
    assert np.ptp(offset) < 0.2, "the ratio of norms has an error of a few per cent"
