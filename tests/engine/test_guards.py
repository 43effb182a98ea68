"""What keeps a training from exploding or standing still: finite steps, undone ones, samples that meet everything."""

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import sparse_matrix
from wavefoundry.core.errors import PhysicsError
from wavefoundry.engine.drawing import drawn
from wavefoundry.engine.sampling import systematic
from wavefoundry.engine.vmc import Info, Options, finite, risen
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.studies.diagram.pretraining import Trainer, energy_bound, energy_unit

STEPS = ((1, 0), (0, 1), (1, 1))


def test_a_short_step_of_imaginary_time_is_the_residual_and_a_long_one_turns_the_phase():
    local = jnp.array([[1.0, -1.0, 1j, -1j, 0.5 + 2j, -0.5 - 2j, 40.0, -40.0]])
    root = jnp.sqrt(jnp.array([[0.2, 0.2, 0.1, 0.1, 0.15, 0.15, 0.05, 0.05]]))
    short = finite(root * local, root, jnp.array(1e-7))
    np.testing.assert_allclose(short, root * local, atol=1e-4)
    # psi - time (H - E) psi, normalised: what is left where the step is long
    time = 0.1
    grown = jnp.exp(-time * finite(root * local, root, jnp.array(time)) / root)
    ratio = grown / (1 - time * local)
    np.testing.assert_allclose(ratio, jnp.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-12)
    assert abs(np.angle(complex(grown[0, 6] / grown[0, 0]))) == pytest.approx(np.pi), "through the node"
    # a vanishing weight, and a step that would end on the node itself
    edge = finite(jnp.array([[0.0, 1.0]]), jnp.array([[0.0, 1.0]]), jnp.array(1.0))
    assert np.all(np.isfinite(np.asarray(edge)))


def test_systematic_samples_are_distinct_and_as_frequent_as_they_should_be():
    share = jnp.asarray(np.random.default_rng(1).gamma(0.3, size=200))
    count, draws = 40, 2000
    chosen, probability = jax.vmap(lambda k: systematic(k, share, count))(jax.random.split(jax.random.key(0), draws))
    chosen = np.asarray(chosen)
    assert all(len(set(row)) == count for row in chosen)
    seen = np.bincount(chosen.ravel(), minlength=200) / draws
    expected = np.zeros(200)
    expected[chosen] = np.asarray(probability)
    assert expected.sum() == pytest.approx(count, rel=1e-3)
    # 200 comparisons at 5 standard deviations: a false alarm in 10^4 runs
    assert np.all(np.abs(seen - expected) < 5 * np.sqrt(expected * (1 - expected) / draws) + 1e-3)


@pytest.mark.integration
@pytest.mark.parametrize("head", ["real", "complex"])
def test_drawn_configurations_give_the_energy_of_the_full_sum_and_forces_without_bias(head):
    system = wf.lattice.j1j2_chain(8, J2=0.3)
    listed = enumerate_states(system)
    wavefunction = wf.models.vit(patch=2, width=8, layers=1, heads=2, head=head, precision="float64").build(
        jax.random.key(3), system.extent, sign_free=False
    )
    family = listed.family([{}])
    full = drawn(wavefunction, family, jax.random.key(0), Options(1, 32))
    psi, h_psi = listed.act(wavefunction, 32)
    operator = sparse_matrix(system.operator())
    sign = np.asarray(jax.vmap(system.sign)(listed.states)) if system.sublattice is not None else np.ones(len(psi))
    np.testing.assert_allclose(h_psi, sign * (operator @ (sign * np.asarray(psi))), atol=1e-12)
    energy = np.vdot(psi, h_psi).real
    assert float(full.energy[0]) == pytest.approx(energy, abs=1e-12)
    assert float(full.variance[0]) == pytest.approx(np.linalg.norm(h_psi - energy * psi) ** 2, abs=1e-12)
    # sum over samples of weight x (E_loc - E) x f: unbiased up to the common norm, which is near one
    f = jnp.asarray(np.random.default_rng(0).normal(size=len(psi)))
    place = {tuple(np.asarray(x)): i for i, x in enumerate(listed.states)}
    truth = complex(jnp.sum(full.root[0] * full.residual[0] * f))
    found, draw = [], eqx.filter_jit(drawn)
    for seed in range(60):
        some = draw(wavefunction, family, jax.random.key(seed), Options(1, 32, drawn=24))
        assert float(some.energy[0]) == pytest.approx(energy, abs=1e-12)
        assert float(jnp.sum(some.root**2)) == pytest.approx(1)
        index = np.array([place[tuple(x)] for x in np.asarray(some.batch.x[0])])
        found.append(complex(jnp.sum(some.root[0] * some.residual[0] * f[index])))
    bar = np.std(np.real(found)) / np.sqrt(len(found)) + 0.02 * abs(truth)
    assert abs(np.mean(np.real(found)) - truth.real) < 4 * bar  # false alarm below 1e-4


@pytest.mark.slow
def test_signs_the_network_did_not_start_with_are_found():
    """Triangular lattice, 4 x 3, no sign rule: with the local energies themselves, positive amplitudes stay at 6 %."""
    hilbert = nk.hilbert.Spin(0.5, 12, total_sz=0)
    ends = [(3 * r + c, 3 * ((r + a) % 4) + (c + b) % 3) for r in range(4) for c in range(3) for a, b in STEPS]
    strings = ["".join(letter if s in bond else "I" for s in range(12)) for letter in "XYZ" for bond in ends]
    terms = {"J": nk.operator.PauliStringsJax(hilbert, strings, [0.25] * len(strings))}
    system = wf.lattice.from_netket(terms, {"J": 1.0}, extent=(4, 3))
    model = wf.models.vit(width=16, layers=1, heads=2)
    base = wf.pretrain(system, model, steps=150, learning_rate=0.15, walkers=256)
    assert base.record["relative_error"] < 2e-2


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


@pytest.mark.integration
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


@pytest.mark.integration
@pytest.mark.parametrize("sites", [6, pytest.param(9, marks=pytest.mark.slow)])
def test_a_removable_sign_is_removed(sites):
    """Ising in a negative field: a positive start is the highest state, and training collapsed from there."""
    system = wf.lattice.ising_chain(sites, h=-1.0)
    base = wf.pretrain(system, wf.models.vit(width=8, layers=1, heads=2), steps=60)
    assert base.wavefunction.real
    assert base.record["verdict"] == "trusted"
    exact = -2 * sum(np.sqrt(2 - 2 * np.cos(np.pi * (2 * k + 1) / sites)) for k in range(sites)) / 2
    assert base.energy == pytest.approx(exact, rel=1e-3)


@pytest.mark.slow
def test_moved_samples_change_nothing_on_average():
    """Energy and variance of a fixed state with and without moved samples: four error bars, false alarm 1e-4."""
    from wavefoundry.engine.drawing import mixed_energies, moved_on
    from wavefoundry.engine.sampling import Walkers, metropolis
    from wavefoundry.models.transformer import vit

    system = wf.lattice.j1j2_chain(8, J2=0.3)
    wavefunction = vit(jax.random.key(0), (8,), patch=2, width=8, layers=1, heads=2, head="complex")
    family = system.family([{}])
    x = jax.vmap(system.init)(jax.random.split(jax.random.key(1), 2000))[None]
    walkers = metropolis(wavefunction, family, Walkers(x, jax.random.key(2), jnp.ones(()), jnp.zeros(())), 100, 256)

    def energies(count):
        moved = walkers.x if count == 0 else moved_on(family, walkers.x, jax.random.key(3), count)
        found = mixed_energies(wavefunction, family, moved, 1 - count / 2000, 256)
        root, residual, energy = np.asarray(found.root)[0], np.asarray(found.residual)[0], complex(found.energy[0])
        assert np.sum(root**2) == pytest.approx(1)
        return energy.real, np.sqrt(np.sum(np.abs(residual * root) ** 2)), np.sum(np.abs(residual) ** 2)

    plain, mixed = energies(0), energies(500)
    assert abs(plain[0] - mixed[0]) < 4 * np.hypot(plain[1], mixed[1])
    assert mixed[2] == pytest.approx(plain[2], rel=0.3)
