"""One network on several molecules: grouping, pre-training on orbitals, a short training, evaluation."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry import models
from wavefoundry.adapt import transfer
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.statistics import mean_and_error
from wavefoundry.core.tree import all_weights, from_arrays, to_arrays
from wavefoundry.problems.electrons import HartreeFockState

pytestmark = pytest.mark.integration

OPTIONS = transfer.TrainOptions(walkers=64, moves=5, norm=0.3, chunk=64)


def hydrogen(distance: float) -> Molecule:
    return Molecule("H2", ("H", "H"), ((0.0, 0.0, 0.0), (0.0, 0.0, distance)))


MOLECULES = [hydrogen(1.4), Molecule("He", ("He",), ((0.0, 0.0, 0.0),)), hydrogen(2.0)]


@pytest.fixture(scope="module")
def stack() -> transfer.Stack:
    return transfer.stack([transfer.prepare(m) for m in MOLECULES])


@pytest.fixture(scope="module")
def trained(stack):
    """Orbitals matched, then 30 steps: (run, losses, infos, static)."""
    network = models.electrons(width=16, pair=8, determinants=2, convolution=16, hidden=(16,), jastrow=8)
    params, static = eqx.partition(network.build(jax.random.key(0)), eqx.is_array)
    pre = transfer.pretraining(static, OPTIONS)
    run = pre.init(jax.random.key(1), params, stack.families, OPTIONS.walkers)
    run, losses = transfer.pretraining_block(pre)(run, stack.families, jnp.linspace(5e-3, 0.0, 150))
    process = transfer.training(static, all_weights(params), OPTIONS)
    start = process.init(jax.random.key(2), run.params, stack.families, OPTIONS.walkers, run.sampler)
    block = transfer.training_block(process)
    plan = transfer.schedule(15, learning_rate=0.1)
    half, first = block(start, stack.families, plan)
    whole, second = block(half, stack.families, transfer.schedule(15, first=15, learning_rate=0.1))
    return half, whole, losses, (first, second), (static, block)


def test_compounds_share_a_family(stack):
    assert stack.places == ((0, 2), (1,))
    assert [f.compound for f in stack.families] == [(1, 1, 2), (1, 1, 1)]
    values = [np.array([[0.0, 2.0]]), np.array([[1.0]])]
    assert stack.in_order(values).tolist() == [[0.0, 1.0, 2.0]]


def test_orbitals_are_learnt(trained):
    losses = np.asarray(trained[2])
    assert losses.shape == (150, 3)
    assert np.all(losses[-1] < 0.02 * losses[0])


def test_training_lowers_all_energies_together(stack, trained):
    """Exact energies are -1.1745, -2.9037, -1.138 (R = 2); Hartree-Fock in this basis is far above."""
    first, second = trained[3]
    start = stack.in_order([f.energy[:3].mean(axis=0) for f in first.families])
    end = stack.in_order([f.energy[-5:].mean(axis=0) for f in second.families])
    exact = np.array([-1.174476, -2.903724, -1.138])
    assert np.all(np.abs(end - exact) < 0.04)  # 5 x 64 samples of variance below 0.1: standard error below 0.018
    assert np.sum(np.abs(end - exact)) < np.sum(np.abs(start - exact))


def test_a_stored_run_goes_on_bit_for_bit(stack, trained):
    half, whole, _, _, (_, block) = trained
    restored = from_arrays(half, to_arrays(half))
    again, _ = block(restored, stack.families, transfer.schedule(15, first=15, learning_rate=0.1))
    expected = to_arrays(whole)
    assert all(np.array_equal(value, expected[name]) for name, value in to_arrays(again).items())


def test_evaluation_is_not_below_the_exact_energy(stack, trained):
    """Four standard errors for each of two molecules: false alarm 6e-5."""
    _, whole, _, _, (static, _) = trained
    psi = eqx.combine(whole.params, static)
    how = transfer.Sampling(chains=64, samples=20, burn_in=20, chunk=64)
    samples, walkers = transfer.evaluate(psi, stack.families[0], jax.random.key(3), how)
    assert samples.energies.shape == (2, 64, 20)
    assert samples.x.shape == (2, 64, 20, 2, 3)
    np.testing.assert_allclose(samples.terms.sum(axis=-1), samples.energies, rtol=1e-6)
    for energies, exact in zip(samples.energies, (-1.174476, -1.138), strict=True):
        mean, error = mean_and_error(np.asarray(energies))
        assert error < 0.02
        assert mean > exact - 4 * error - 0.001
    assert np.all(samples.far == 0.0)
    away = walkers._replace(x=walkers.x.at[0, :16, 0].add(50.0))
    assert transfer.far_away(stack.families[0], away.x[:, :, None])[0] == pytest.approx(0.25)


def test_pretraining_samples_the_determinant(stack):
    """At the start of pre-training walkers follow Hartree-Fock: helium in STO-6G, checked by its radius."""
    psi, family = HartreeFockState(), stack.families[1]
    samples, _ = transfer.evaluate(psi, family, jax.random.key(4), transfer.Sampling(samples=20, burn_in=20, chunk=256))
    radius = np.linalg.norm(samples.x[0], axis=-1).mean(axis=-1)
    mean, error = mean_and_error(radius)
    grid = np.linspace(0, 12, 6001)
    points = jnp.asarray(np.stack([0 * grid, 0 * grid, grid], axis=1))
    one = jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, family)
    density = 4 * np.pi * grid**2 * np.asarray(one.orbitals(points)[0][:, 0]) ** 2
    expected = np.trapezoid(grid * density, grid) / np.trapezoid(density, grid)
    assert abs(mean - expected) < 4 * error  # false alarm 6e-5
    assert error < 0.02


def test_refusals():
    with pytest.raises(InputError, match="Hartree-Fock|spin|no orbitals|electrons of one spin"):
        transfer.prepare(Molecule("He", ("He",), ((0.0, 0.0, 0.0),), 0, 2))
