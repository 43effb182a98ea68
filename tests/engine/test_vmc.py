"""The optimisation loop: exact ground states, guarded steps, skipped work, no recompilation."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.meter import METER
from wavefoundry.core.types import Batch, Connected, Psi, Wavefunction
from wavefoundry.engine.sampling import equal_weights, full_sum
from wavefoundry.engine.vmc import Options, Schedule, block_of, decay, local_energies, variational
from wavefoundry.models.transformer import vit
from wavefoundry.problems import exact, lattice
from wavefoundry.problems.enumerated import enumerate_states


def split(wavefunction: Wavefunction) -> tuple[Any, Any]:
    return eqx.partition(wavefunction, eqx.is_array)


def slices(schedule: Schedule, size: int) -> list[Schedule]:
    steps = len(schedule.shift)
    return [jax.tree.map(lambda a, k=k: a[k : k + size], schedule) for k in range(0, steps, size)]


class FullSum:
    """An 8-site Ising chain with a small transformer, all configurations listed; compiled once for every test."""

    def __init__(self) -> None:
        self.system = lattice.ising_chain(8)
        self.listed = enumerate_states(self.system)
        wavefunction = vit(
            jax.random.key(0), (8,), patch=2, width=8, layers=1, heads=2, head="real", precision="float64"
        )
        self.params, self.static = split(wavefunction)
        options = Options(moves=1, chunk=64, trust=0.3)
        self.process = variational(self.static, tree.all_weights(self.params), options, listed=True)
        self.block = block_of(self.process)
        self.init = jax.jit(self.process.init, static_argnums=3)

    def start(self, h: float, seed: int = 0) -> tuple[Any, Any]:
        family = self.listed.family([{"h": h}])
        return self.init(jax.random.key(seed), self.params, family, 1), family


@pytest.fixture(scope="module")
def full() -> FullSum:
    return FullSum()


@pytest.fixture(scope="module")
def optimised(full: FullSum) -> tuple[Any, np.ndarray]:
    """The critical point, h = 1: 300 steps; energies of all steps."""
    run, family = full.start(1.0)
    energies = []
    for part in slices(decay(0.05, 1e-4, 300), 50):
        run, info = full.block(run, family, part)
        energies.append(np.asarray(info.energy[:, 0]))
    return run, np.concatenate(energies)


def test_equal_settings_are_the_same_programs(full: FullSum):
    """A second training of the same network, in whatever study, is not traced again."""
    other = FullSum()
    assert other.static is not full.static
    run, family = full.start(1.0)
    full.block(run, family, decay(0.05, 1e-4, 5))
    traced = full.block._cache_size()
    run, family = other.start(0.7, seed=3)
    other.block(run, family, decay(0.02, 1e-3, 5))
    assert other.block._cache_size() == traced > 0


def test_full_sum_reaches_the_closed_form(full: FullSum, optimised: tuple):
    """No sampling noise: what is left is the last of the convergence, and never below the exact energy."""
    run, energies = optimised
    reference = exact.ising_chain(8, 1.0).energy
    error = (energies - reference) / abs(reference)
    assert np.all(error > -1e-12), "variational"
    assert error[-1] < 1e-6
    assert error[0] > 1e-2 and int(run.opt.rejected) == 0 and int(run.step) == 300


def test_variance_vanishes_with_the_error(full: FullSum, optimised: tuple):
    """Var(E) >= (E - E0)(E1 - E), and both go to zero together at an eigenstate."""
    run, family = full.start(1.0)
    _, info = full.block(run._replace(params=optimised[0].params), family, slices(decay(0.0, 1e-4, 50), 50)[0])
    reference = exact.ising_chain(8, 1.0).energy
    excess, gap = float(info.energy[0, 0]) - reference, 0.1969828067  # first excited level, closed form
    assert (gap - excess) * excess <= float(info.variance[0, 0]) < 1e-4


def test_steps_are_capped_by_the_trust_region(full: FullSum):
    run, family = full.start(0.5)
    _, info = full.block(run, family, slices(decay(10.0, 1e-4, 50, tail=0.0), 50)[0])
    assert np.all(np.asarray(info.step_norm) <= 0.3 * (1 + 1e-9))
    assert np.max(np.asarray(info.step_norm)) > 0.299, "a learning rate of 10 is always too large"


def test_other_couplings_re_use_the_program(full: FullSum):
    part = slices(decay(0.05, 1e-4, 50), 50)[0]
    run, family = full.start(1.0)
    jax.block_until_ready(full.block(run, family, part))
    before = METER.now().compilations
    energies = []
    for h in (0.3, 0.9, 2.0):
        run, family = full.start(h, seed=int(10 * h))
        _, info = full.block(run, family, part)
        energies.append(float(np.asarray(info.energy)[-1, 0]))
    assert METER.now().compilations == before
    assert energies[0] > energies[1] > energies[2], "and yet each coupling gives its own energy"


def test_further_steps_re_use_the_program(sampled: Sampled, stepper: tuple):
    """The state that a step returns has the types of the one it was given: nothing is compiled a second time."""
    process, step = stepper
    family = sampled.system.family([{}])
    run = jax.jit(process.init, static_argnums=3)(jax.random.key(9), sampled.params, family, 40)
    run, _ = step(run, family, RATE, SHIFT)
    before = METER.now().compilations
    for _ in range(2):
        run, _ = step(run, family, RATE, SHIFT)
    assert METER.now().compilations == before


def test_the_meter_does_count_compilations():
    before = METER.now().compilations
    jax.block_until_ready(jax.jit(lambda x: x * 3.0 - 1.0)(jnp.arange(11.0)))
    assert METER.now().compilations > before


def test_listed_energies_are_the_sampled_ones(full: FullSum):
    """One network evaluation per configuration gives the same local energies as one per connected configuration."""
    wavefunction = eqx.combine(full.params, full.static)
    points = [{"h": 0.4}, {"h": 1.7, "J": 0.6}]
    states = full.listed.states
    batch = full_sum(wavefunction, full.system.family(points), states, 64)
    evaluate = eqx.filter_jit(local_energies)
    listed = evaluate(wavefunction, full.listed.family(points), batch, 64)
    sampled = evaluate(wavefunction, full.system.family(points), batch, 64)
    np.testing.assert_allclose(listed, sampled, rtol=1e-10, atol=1e-10)


def test_listed_energies_in_a_sector(network: Any):
    """Fixed magnetisation, Marshall rule, complex head: states outside the sector must never be looked up."""
    system = lattice.j1j2_chain(8, J2=0.4)
    wavefunction, listed = network(system, "complex"), enumerate_states(system)
    batch = equal_weights(listed.states[None])
    evaluate = eqx.filter_jit(local_energies)
    both = [evaluate(wavefunction, s.family([{}]), batch, 16) for s in (listed, system)]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-10, atol=1e-10)


def test_too_many_states_for_a_list():
    with pytest.raises(InputError, match="too large") as caught:
        enumerate_states(lattice.ising_chain(20))
    assert "metropolis" in caught.value.fix


@pytest.fixture(scope="module")
def heisenberg(network: Any) -> tuple[Any, Wavefunction, jax.Array]:
    """J1-J2 chain with samples of its sector; about half of the exchanges have no matrix element."""
    system = lattice.j1j2_chain(8, J2=0.4)
    x = jax.vmap(system.init)(jax.random.split(jax.random.key(1), 13))
    return system, network(system, "complex"), x


@pytest.mark.parametrize("chunk", [1, 5, 16, 10_000])
def test_packed_expansion_is_the_plain_one(heisenberg: tuple, chunk: int):
    """All samples at once in chunks that do not divide them, against one by one."""
    system, wavefunction, x = heisenberg

    def features(s: jax.Array) -> jax.Array:
        return wavefunction.features(system, s)

    packed = jax.jit(lambda x: system.expand_batch(features, x, chunk))(x)
    plain = jax.jit(jax.vmap(lambda s: system.expand(features, s)))(x)
    active = np.any(np.asarray(plain.mels) != 0, axis=-1)
    assert 0.3 < active.mean() < 0.8
    np.testing.assert_array_equal(packed.mels, plain.mels)
    np.testing.assert_array_equal(packed.diagonal, plain.diagonal)
    np.testing.assert_allclose(packed.z, plain.z, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(
        np.asarray(packed.z_conn)[active], np.asarray(plain.z_conn)[active], rtol=1e-12, atol=1e-13
    )
    np.testing.assert_array_equal(np.asarray(packed.z_conn)[~active], 0.0)
    contract = jax.jit(jax.vmap(lambda part: system.contract(wavefunction.head, part)))
    np.testing.assert_allclose(contract(packed), contract(plain), rtol=1e-12, atol=1e-12)


def test_zero_matrix_elements_are_not_evaluated(heisenberg: tuple):
    """Flipping a parallel pair leaves the sector: features are NaN there, and their number is counted."""
    system, wavefunction, x = heisenberg
    seen: list[int] = []

    def features(s: jax.Array) -> jax.Array:
        total = jnp.sum(s, dtype=jnp.int32)
        jax.debug.callback(lambda t: seen.append(int(t)), total)
        return jnp.where(total == 0, wavefunction.features(system, s), jnp.nan)

    chunk = 8
    energies = {}
    energies["packed"] = jax.jit(
        lambda x: jax.vmap(lambda p: system.contract(wavefunction.head, p))(system.expand_batch(features, x, chunk))
    )(x)
    jax.effects_barrier()
    active = int(np.any(np.asarray(jax.jit(jax.vmap(system.connected))(x).mels) != 0, axis=-1).sum())
    # the samples themselves, the active ones, and what fills up the last chunk of each
    assert active + len(x) <= len(seen) <= active + len(x) + 2 * chunk
    assert sum(total != 0 for total in seen) <= chunk, "only to fill up a chunk"
    energies["plain"] = jax.jit(jax.vmap(lambda s: system.contract(wavefunction.head, system.expand(features, s))))(x)
    expected = eqx.filter_jit(local_energies)(wavefunction, system.family([{}]), equal_weights(x[None]), chunk)[0]
    for found in energies.values():
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


class Silent(lattice.LatticeSystem):
    """A lattice system without any off-diagonal element."""

    def connected(self, x: jax.Array) -> Connected:
        conn = super().connected(x)
        return conn._replace(mels=jnp.zeros_like(conn.mels))


def test_nothing_to_evaluate_is_no_special_case(heisenberg: tuple):
    system, wavefunction, x = heisenberg
    silent = Silent(**{name: getattr(system, name) for name in system.__dataclass_fields__})
    energies = eqx.filter_jit(local_energies)(wavefunction, silent.family([{}]), equal_weights(x[None]), 8)[0]
    np.testing.assert_allclose(energies, jax.vmap(system.connected)(x).diagonal, atol=1e-13)


class Sampled:
    """One small step by sampling; single precision weights as in real runs."""

    def __init__(self, network: Any) -> None:
        self.system = lattice.ising_chain(6, h=0.8)
        self.params, self.static = split(network(self.system, "real", precision="float32"))

    def stepper(self, **options: Any) -> tuple[Any, Any]:
        settings = Options(**({"moves": 6, "chunk": 16} | options))
        process = variational(self.static, tree.all_weights(self.params), settings)
        return process, jax.jit(process.step)


@pytest.fixture(scope="module")
def sampled(network: Any) -> Sampled:
    return Sampled(network)


@pytest.fixture(scope="module")
def stepper(sampled: Sampled) -> tuple[Any, Any]:
    return sampled.stepper()


def same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)


RATE, SHIFT = jnp.array(0.05), jnp.array(1e-3)


def test_energies_that_are_not_finite_are_rejected_in_the_same_step(sampled: Sampled, stepper: tuple):
    """An infinite coupling: weights stay bit by bit, the step is reported, and the next good one goes through."""
    process, step = stepper
    family = sampled.system.family([{}])
    start = process.init(jax.random.key(0), sampled.params, family, 40)
    broken = eqx.tree_at(lambda s: s.couplings, family, jnp.array([[1.0, np.inf]]))
    run, info = step(start, broken, RATE, SHIFT)
    assert int(info.rejected) == 1 and not np.all(np.isfinite(info.energy))
    assert same(run.params, sampled.params)
    assert float(run.opt.scale) == 0.5 and np.all(np.asarray(run.opt.update) == 0.0)
    run, info = step(run, broken, RATE, SHIFT)
    assert int(info.rejected) == 2 and same(run.params, sampled.params) and int(run.step) == 2
    run, info = step(run, family, RATE, SHIFT)
    assert int(info.rejected) == 2 and np.isfinite(float(info.energy[0])) and not same(run.params, sampled.params)
    assert float(run.opt.scale) == 0.25 * 1.02, "the step size recovers slowly"


def test_weights_that_are_not_finite_are_rejected_and_reported(sampled: Sampled, stepper: tuple):
    process, step = stepper
    family = sampled.system.family([{}])
    broken = eqx.tree_at(lambda p: p.head.dense.bias, sampled.params, jnp.full(6, jnp.nan, jnp.float32))
    run, info = step(process.init(jax.random.key(0), broken, family, 40), family, RATE, SHIFT)
    assert int(info.rejected) == 1 and same(run.params, broken)
    finite = [leaf for leaf in jax.tree.leaves(run.params) if leaf is not run.params.head.dense.bias]
    assert all(np.all(np.isfinite(leaf)) for leaf in finite), "the damage does not spread"


def test_a_step_never_leaves_weights_that_are_not_finite(sampled: Sampled):
    """A step so large that it overflows single precision."""
    process, step = sampled.stepper(trust=1e300)
    family = sampled.system.family([{}])
    start = process.init(jax.random.key(0), sampled.params, family, 40)
    run, info = step(start, family, jnp.array(1e60), SHIFT)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(run.params))
    assert int(info.rejected) == 1


def test_chunks_do_not_change_a_step(network: Any):
    """Walkers, local energies and Jacobian in chunks of 5 or of everything: the same update to 1e-12."""
    system = lattice.j1j2_chain(6, J2=0.3)
    params, static = split(network(system, "complex"))
    family, found = system.family([{"J2": 0.3}, {"J2": 0.1}]), []
    for chunk in (5, 4096):
        process = variational(static, tree.all_weights(params), Options(moves=6, chunk=chunk, momentum=0.5))
        run = process.init(jax.random.key(3), params, family, 12)
        found.append(jax.jit(process.step)(run, family, RATE, jnp.array(1e-2)))
    (one, info), (other, info_other) = found
    np.testing.assert_array_equal(one.sampler.x, other.sampler.x)
    np.testing.assert_allclose(info.chain_energies, info_other.chain_energies, rtol=1e-12, atol=1e-12)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_energy_and_variance_of_a_step_are_those_of_its_samples(sampled: Sampled, stepper: tuple):
    process, step = stepper
    family = sampled.system.family([{}])
    run, info = step(process.init(jax.random.key(0), sampled.params, family, 40), family, RATE, SHIFT)
    local = np.asarray(info.chain_energies)
    assert local.shape == (1, 40)
    np.testing.assert_allclose(info.energy, local.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(info.variance, local.var(axis=1), rtol=1e-10)
    batch = Batch(run.sampler.x, jnp.full((1, 40), 1 / 40))
    terms = eqx.filter_jit(local_energies)(eqx.combine(sampled.params, sampled.static), family, batch, 16)
    np.testing.assert_allclose(local, np.asarray(terms) @ np.asarray(family.couplings[0]), rtol=1e-6)


def test_learning_rate_is_constant_and_then_falls_to_zero():
    rates = np.asarray(decay(0.05, 1e-3, 100, tail=0.4).learning_rate)
    np.testing.assert_allclose(rates[:61], 0.05)
    np.testing.assert_allclose(np.diff(rates[60:]), -0.05 / 40)
    assert rates[-1] == pytest.approx(0.05 / 40)
    np.testing.assert_array_equal(np.asarray(decay(0.05, 1e-3, 7).shift), 1e-3)


class Constant(eqx.Module):
    """psi = 1: the eigenstate of the transverse field."""

    real: bool = eqx.field(static=True, default=True)

    def __call__(self, z: jax.Array) -> Psi:
        return Psi(0.0 * z[0], jnp.zeros_like(z[0]))


def test_product_state_along_x(network: Any):
    """Psi = 1 has E = -h N and, from the bonds, sigma^2 = J^2 N; each term has its own exact value."""
    system = lattice.ising_chain(8, h=1.3)
    wavefunction = Wavefunction(network(system).backbone, Constant())
    listed = enumerate_states(system)
    batch = full_sum(wavefunction, system.family([{}]), listed.states, 64)
    terms = np.asarray(eqx.filter_jit(local_energies)(wavefunction, system.family([{}]), batch, 64))[0]
    weight = np.asarray(batch.weight)[0]
    np.testing.assert_allclose(weight @ terms, [0.0, -8.0], atol=1e-12)
    local = terms @ np.asarray(system.couplings)
    np.testing.assert_allclose([weight @ local, weight @ local**2 - (weight @ local) ** 2], [-10.4, 8.0], atol=1e-11)
