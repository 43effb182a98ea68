"""The step on surviving columns: equal to the masked full step, and exactly nothing elsewhere."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.adapt import compact
from wavefoundry.adapt.compact import Options, Rates
from wavefoundry.engine.gradient import centred_rows, natural_gradient
from wavefoundry.models import conv, dense, resnet, vit
from wavefoundry.models.shrink import without_dead
from wavefoundry.problems import lattice
from wavefoundry.problems.enumerated import enumerate_states

KEY = jax.random.key(1)


@pytest.fixture(scope="module")
def system():
    return enumerate_states(lattice.ising((2, 3), h=2.0, periodic=False))


def one_step(network, system, theta, index, shift=1e-3):
    state = compact.start(jnp.asarray(theta))
    rates = Rates(jnp.full(1, 0.05), jnp.full(1, shift))
    return compact.block(network, system, jnp.asarray(index), state, rates, Options(0, 64, trust=1e9))[0].theta


def masked(network, seed=0, keep=0.4):
    theta = np.asarray(compact.vector(network))
    mask = np.random.default_rng(seed).random(theta.size) < keep
    return np.where(mask, theta, 0.0), mask


@pytest.mark.parametrize("activation", ["logcosh", "relu"])
def test_compact_step_is_the_full_step_with_zeroed_columns(system, activation):
    network = dense(alpha=3, activation=activation).build(KEY, (2, 3))
    theta, mask = masked(network)
    got = one_step(network, system, theta, compact.padded(mask, mask.size))

    # the same with all columns, those of pruned weights set to zero, in plain NumPy
    wavefunction = compact.with_vector(network, jnp.asarray(theta))
    batch, _, terms, _ = compact.evaluate(wavefunction, system, None, Options(0, 64))
    local = terms @ system.couplings
    everything = jnp.arange(mask.size)
    columns = np.asarray(compact.log_rows(wavefunction, system, batch.x, everything, 64))[:, 0] * mask
    w = np.asarray(batch.weight)
    centred = (columns - w @ columns) * np.sqrt(w)[:, None]
    residual = np.asarray(local - jnp.sum(batch.weight * local)) * np.sqrt(w)
    metric = centred.T @ centred + 1e-3 * np.eye(mask.size)
    expected = theta - 0.05 * np.linalg.solve(metric, 2 * centred.T @ residual)
    assert np.max(np.abs(got - expected)[mask]) < 1e-10
    assert np.array_equal(np.asarray(got)[~mask], np.zeros((~mask).sum()))


@pytest.mark.parametrize("activation", ["logcosh", "relu"])
def test_a_kept_metric_first_makes_the_plain_step_and_ends_where_plain_steps_end(system, activation):
    network = dense(alpha=1, activation=activation).build(KEY, (2, 3))
    theta, mask = masked(network, keep=0.8)
    index = jnp.asarray(compact.padded(mask, mask.size))

    def steps(count, **kept):
        state = compact.start(jnp.asarray(theta))
        rates = Rates(jnp.full(count, 0.05), jnp.full(count, 1e-3))
        return compact.block(network, system, index, state, rates, Options(0, 64, **kept))

    plain, kept = (steps(1, kept=k)[0].theta for k in (1, 4))
    assert np.max(np.abs(plain - kept)) < 1e-10
    (_, plain), (_, kept) = steps(400), steps(400, kept=4)
    assert np.max(np.abs((plain.step_norm - kept.step_norm)[:1])) < 1e-10  # of log psi, the same step
    assert np.max(np.abs(plain.energy - kept.energy)) > 1e-9  # another path
    assert abs(plain.energy[-1] - kept.energy[-1]) < 2e-5  # slow directions have not come to rest


def test_force_is_the_gradient_of_the_energy(system):
    network = dense(alpha=2).build(KEY, (2, 3))
    theta, index = compact.vector(network), jnp.array([0, 5, 11, 72])

    def energy(theta):
        found = compact.evaluate(compact.with_vector(network, theta), system, None, Options(0, 64))
        return jnp.sum(found.batch.weight * (found.terms @ system.couplings))

    found, pullback = compact.with_pullback(network, system, theta, 64)
    force = compact.force(pullback, found.batch, found.terms @ system.couplings, index)
    for k in range(3):
        up, down = (energy(theta.at[index[k]].add(h)) for h in (1e-5, -1e-5))
        assert abs((up - down) / 2e-5 - force[k]) < 1e-8
    assert force[3] == 0  # an index beyond the last weight is no weight


def test_pruned_weights_stay_zero_bit_for_bit_and_frozen_ones_stay(system):
    network = dense(alpha=3).build(KEY, (2, 3))
    theta, mask = masked(network)
    frozen = np.flatnonzero(mask)[:5]
    trained = mask.copy()
    trained[frozen] = False
    state = compact.start(jnp.asarray(theta))
    rates = Rates(jnp.full(20, 0.05), jnp.full(20, 1e-3))
    index = jnp.asarray(compact.padded(trained, mask.size))
    end = np.asarray(compact.block(network, system, index, state, rates, Options(0, 64))[0].theta)
    assert not np.any(end[~mask])
    assert np.array_equal(end[frozen], theta[frozen])
    assert np.mean(end[trained] != theta[trained]) > 0.8  # a weight alone in its unit changes nothing and stays


@pytest.mark.parametrize(
    "model", [dense(alpha=2), conv(periodic=False), resnet(channels=3, blocks=1, precision="float64")]
)
def test_log_derivatives_against_finite_differences(system, model):
    network = model.build(KEY, (2, 3), sign_free=True)
    theta = compact.vector(network)
    index = jnp.array([0, 3, 7, theta.size])
    xs = system.states[:6]
    rows = np.asarray(compact.log_rows(network, system, xs, index, 8))[:, 0]
    for column, k in enumerate(np.asarray(index[:3])):
        up, down = (
            compact.log_amplitudes(compact.with_vector(network, theta.at[k].add(h)), system, xs, 8)
            for h in (1e-5, -1e-5)
        )
        assert np.max(np.abs((up - down) / 2e-5 - rows[:, column])) < 1e-8
    assert not np.any(rows[:, 3])  # an index beyond the last weight is no weight


def test_both_forms_of_the_solve_agree():
    rng = np.random.default_rng(3)
    jacobian, local = jnp.asarray(rng.normal(size=(1, 40, 1, 25))), jnp.asarray(rng.normal(size=(1, 40)))
    rows, residual = centred_rows(jacobian, local, jnp.full((1, 40), 1 / 40))
    args = (rows, residual, jnp.array(1e-3), jnp.zeros(25), 0.0)
    kernel, metric = (natural_gradient(*args, solver).update for solver in ("kernel", "qgt"))
    assert np.linalg.norm(kernel - metric) < 1e-8 * np.linalg.norm(metric)


def test_a_rising_energy_is_rolled_back_and_the_step_halved(system):
    network = dense(alpha=3).build(KEY, (2, 3))
    theta = compact.vector(network)
    index = jnp.asarray(compact.padded(np.ones(theta.size, bool), theta.size))
    rates = Rates(jnp.full(30, 30.0), jnp.full(30, 1e-6))  # far too large a step
    state, trace = compact.block(network, system, index, compact.start(theta), rates, Options(0, 64, trust=1e9))
    assert int(state.rollbacks) > 0
    assert np.all(np.isfinite(state.theta)) and np.isfinite(float(state.energy))
    assert float(state.energy) <= float(trace.energy[0])
    assert float(state.scale) < 1 < float(state.damping)


def test_padding_has_few_lengths_and_loses_no_weight():
    lengths = set()
    for n in range(1, 2049):
        index = compact.padded(np.arange(n), 2048)
        assert np.array_equal(index[:n], np.arange(n)) and np.all(index[n:] == 2048)
        assert index.size <= max(2 * 16, 1.36 * n + 1 if n > 100 else 2 * n + 1)
        lengths.add(index.size)
    assert len(lengths) < 16


@pytest.mark.parametrize(
    ("model", "extent"),
    [
        (dense(alpha=4), (2, 3)),
        (dense(alpha=4, activation="relu"), (2, 3)),
        (conv(channels=5, periodic=False), (2, 3)),
        (resnet(channels=6, blocks=2, periodic=False, precision="float64"), (2, 3)),
        (vit(width=8, layers=2, heads=2, patch=1, head="real", precision="float64"), (2, 3)),
    ],
)
def test_compaction_keeps_every_amplitude(system, model, extent):
    network = model.build(KEY, extent, sign_free=True)
    # biases and norms that are not at their start values, so that constants of dead units count
    theta = np.array(compact.vector(network)) + 0.1 * np.random.default_rng(0).normal(size=compact.vector(network).size)
    from wavefoundry.adapt import masks

    where = masks.layout(network)
    mask = np.ones(where.total, bool)
    for layer in where.layers:
        alive = layer.groups() % 3 == 1
        mask[layer.place] = alive if layer.name.split(".")[-2] in ("backbone", "conv", "first", "up") else True
    network = compact.with_vector(network, jnp.asarray(np.where(mask, theta, 0.0)))
    small = without_dead(network)
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(w) if eqx.is_inexact_array(leaf)) for w in (small, network)]
    assert sizes[0] < 0.8 * sizes[1]
    before, after = (compact.log_amplitudes(w, system, system.states, 64) for w in (network, small))
    assert np.max(np.abs(before - after)) < 1e-12 * max(1, np.max(np.abs(before)))
