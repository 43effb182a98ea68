"""What keeps a training from exploding: clipping, steps that are undone, samples that are moved on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.core.errors import PhysicsError
from wavefoundry.engine.vmc import Info, clipped, risen
from wavefoundry.studies.pretraining import Trainer, energy_bound, energy_unit


def test_clipping_keeps_the_phase_and_what_is_near():
    residual = jnp.array([[1.0, -1.0, 1j, -1j, 1.0, -1.0, 1.0, 100.0 * (3 + 4j) / 5]])
    found = np.asarray(clipped(residual, 3.0))[0]
    np.testing.assert_allclose(found[:7], np.asarray(residual)[0, :7])
    assert abs(found[7]) == pytest.approx(3 * (7 + 100) / 8)
    assert np.angle(found[7]) == pytest.approx(np.angle(3 + 4j))


def test_an_energy_far_above_the_lowest_is_lost_and_the_lowest_is_forgotten_slowly():
    samples = 400
    root = jnp.full((1, samples), 1 / np.sqrt(samples))
    residual = jnp.asarray(np.random.default_rng(0).normal(size=(1, samples))) * root  # sd 1: error bar 0.05

    def ask(reached, energy):
        return [np.asarray(v).item() for v in risen(jnp.array(reached), jnp.array([energy]), residual, root)]

    assert ask(-10.0, -10.2) == [False, True, -10.2]
    lost, kept, reached = ask(-10.0, -9.8)
    assert not lost and not kept and -10.0 < reached < -9.99
    lost, kept, reached = ask(-10.0, -8.0)
    assert lost and not kept and reached < -9.9
    assert not ask(np.inf, 1e9)[0], "the first step has nothing to go back to"
    reached, steps = -10.0, 0
    while ask(reached, -8.0)[0]:
        reached, steps = ask(reached, -8.0)[2], steps + 1
    assert 20 < steps < 400, "an energy that stays is believed in the end"


def test_units_of_energy_do_not_matter():
    """The same training in units a thousand times smaller, to rounding in single precision."""
    found = []
    for unit in (1.0, 1000.0):
        system = wf.lattice.ising_chain(6, h=0.8 * unit, J=unit)
        base = wf.pretrain(system, wf.models.vit(patch=2, width=8, layers=1, heads=2, precision="float64"), steps=12)
        point = wf.map(base, {"h": [1.1 * unit]}, samples=256, evaluate={"samples": 256}).points[0]
        found.append((base.energy / unit, point["energy"] / unit, point["verdict"]))
    assert found[0][:2] == pytest.approx(found[1][:2], rel=1e-6)
    assert found[0][2] == found[1][2]
    assert energy_unit(wf.lattice.ising_chain(8)) == pytest.approx(1.0)
    assert energy_bound(wf.lattice.ising_chain(8, h=0.5)) == pytest.approx(12.0)


def test_what_has_exploded_ends_with_a_reason():
    zeros = jnp.zeros(5)
    info = Info(jnp.full((5, 1), 2e37), jnp.ones((5, 1)), jnp.ones((5, 1, 8)), zeros, zeros, zeros, zeros, zeros)
    with pytest.raises(PhysicsError, match="exploded at step 40.*beyond 16"):
        Trainer._check(None, info, 40, 16.0)  # type: ignore[arg-type]
    Trainer._check(None, info._replace(energy=jnp.full((5, 1), -15.0)), 40, 16.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("sites", [6, 9])
def test_a_removable_sign_is_removed(sites):
    """Ising in a negative field: a positive start is the highest state, and training collapsed from there."""
    system = wf.lattice.ising_chain(sites, h=-1.0)
    base = wf.pretrain(system, wf.models.vit(width=8, layers=1, heads=2), steps=60)
    assert base.wavefunction.real
    assert base.record["verdict"] == "trusted"
    exact = -2 * sum(np.sqrt(2 - 2 * np.cos(np.pi * (2 * k + 1) / sites)) for k in range(sites)) / 2
    assert base.energy == pytest.approx(exact, rel=1e-3)


def test_moved_samples_change_nothing_on_average():
    """Energy and variance of a fixed state with and without moved samples: four error bars, false alarm 1e-4."""
    from wavefoundry.engine.sampling import Walkers, metropolis
    from wavefoundry.engine.vmc import _moved, mixed_energies
    from wavefoundry.models.transformer import vit

    system = wf.lattice.j1j2_chain(8, J2=0.3)
    wavefunction = vit(jax.random.key(0), (8,), patch=2, width=8, layers=1, heads=2, head="complex")
    family = system.family([{}])
    x = jax.vmap(system.init)(jax.random.split(jax.random.key(1), 2000))[None]
    walkers = metropolis(wavefunction, family, Walkers(x, jax.random.key(2), jnp.ones(()), jnp.zeros(())), 100, 256)

    def energies(count):
        moved = walkers.x if count == 0 else _moved(family, walkers.x, jax.random.key(3), count)
        found = mixed_energies(wavefunction, family, moved, 1 - count / 2000, 256)
        root, values = np.asarray(found.root)[0], np.asarray(found.values)[0]
        energy = np.sum(root * values)
        residual = values - energy * root
        assert np.sum(root**2) == pytest.approx(1)
        return energy.real, np.sqrt(np.sum(np.abs(residual * root) ** 2)), np.sum(np.abs(residual) ** 2)

    plain, mixed = energies(0), energies(500)
    assert abs(plain[0] - mixed[0]) < 4 * np.hypot(plain[1], mixed[1])
    assert mixed[2] == pytest.approx(plain[2], rel=0.3)
