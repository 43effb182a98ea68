"""The electron system: local energies of known functions pointwise, Hartree-Fock by sampling, observables, forces."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.core.statistics import mean_and_error
from wavefoundry.core.types import Psi
from wavefoundry.engine import families, laplacian
from wavefoundry.engine.sampling import equal_weights, metropolis
from wavefoundry.engine.vmc import local_energies
from wavefoundry.models.electron_wavefunction import electrons, resolve
from wavefoundry.problems import electron_observables as observables
from wavefoundry.problems.electrons import ElectronSystem, HartreeFockState, electron_system, homes
from wavefoundry.problems.hartree_fock import SYMBOLS, hartree_fock
from wavefoundry.problems.orbital_response import orbital_response


def molecule(symbols: list[str], positions: list, charge: int = 0, spin: int = 0, **options) -> ElectronSystem:
    charges = np.array([SYMBOLS.index(s) + 1 for s in symbols])
    orbitals = hartree_fock(symbols, np.array(positions, float), charge=charge, spin=spin)
    return electron_system(orbitals, charges, np.array(positions, float), laplacian.folx, **options)


class Closed(eqx.Module):
    """A wavefunction given by a formula log psi(system, x)."""

    log: object = eqx.field(static=True)

    def bind(self, system):
        return lambda x: jnp.stack([self.log(system, x), 0.0])

    def head(self, z):
        return Psi(z[0], z[1])


def slater(exponent: float) -> Closed:
    return Closed(lambda s, x: -exponent * jnp.sum(jnp.linalg.norm(x[:, None] - s.positions, axis=-1)))


def energy(psi, system, x):
    return jnp.sum(system.contract(psi.head, system.expand(psi.bind(system), x)))


def samples(psi, system, chains=512, count=40, moves=10, seed=0):
    family = jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, system)
    (walkers,) = families.start(jax.random.key(seed), (family,), chains, width=0.6)

    @jax.jit
    def run(walkers):
        burnt = jax.lax.fori_loop(
            0, 60, lambda _, w: families.sample(psi, family, w, families.Moves(moves, chains)), walkers
        )

        def one(w, _):
            w = metropolis(psi, family, w, moves, chains)
            return w, (jnp.sum(local_energies(psi, family, equal_weights(w.x), 64), axis=-1)[0], w.x[0])

        return jax.lax.scan(one, burnt, None, length=count)[1]

    energies, x = run(walkers)
    return np.asarray(energies).T, np.moveaxis(np.asarray(x), 0, 1)


def test_hydrogen_is_exact_at_every_point():
    system = molecule(["Be"], [[0.1, 0.2, 0.3]], charge=3, spin=1)  # one electron at charge 4
    psi = slater(4.0)
    x = jax.vmap(system.init)(jax.random.split(jax.random.key(0), 20))
    values = jax.vmap(lambda y: energy(psi, system, y))(x)
    np.testing.assert_allclose(values, -8.0, atol=1e-10)


def test_helium_pointwise_and_on_average():
    system, zeta = molecule(["He"], [[0, 0, 0]]), 27 / 16
    psi = slater(zeta)
    x = system.init(jax.random.key(1))
    r, r12 = jnp.linalg.norm(x, axis=-1), jnp.linalg.norm(x[0] - x[1])
    expected = -(zeta**2) + (zeta - 2) * jnp.sum(1 / r) + 1 / r12
    assert float(energy(psi, system, x)) == pytest.approx(float(expected), abs=1e-10)
    energies, _ = samples(psi, system)
    mean, error = mean_and_error(energies)
    assert error < 0.01
    assert abs(mean + 2.84765625) < 4 * error  # false alarm 6e-5


@pytest.fixture(scope="module")
def lih():
    return molecule(["Li", "H"], [[0, 0, 0], [0, 0, 2.6]])


@pytest.fixture(scope="module")
def hartree_fock_samples(lih):
    return samples(HartreeFockState(), lih, count=100)


def gradient_of_pyscf():
    from pyscf import gto, scf

    mol = gto.M(atom="Li 0 0 0; H 0 0 2.6", basis="sto-6g", unit="bohr", verbose=0)
    method = scf.RHF(mol).run(conv_tol=1e-12)
    return method.nuc_grad_method().kernel(), method.dip_moment(unit="AU", verbose=0), method.e_tot


def test_the_determinant_has_the_energy_dipole_and_forces_of_hartree_fock(lih, hartree_fock_samples):
    """Four standard errors for each of 6 numbers: false alarm 4e-4 in all."""
    gradient, dipole, total = gradient_of_pyscf()
    energies, x = hartree_fock_samples
    mean, error = mean_and_error(energies)
    assert error < 0.02
    assert abs(mean - total) < 4 * error
    found = observables.over_samples(observables.dipole, lih, jnp.asarray(x))
    for axis in range(3):
        mean, error = mean_and_error(np.asarray(found[..., axis]))
        assert error < 0.08  # a forgotten nucleus or a wrong sign is off by more than 1
        assert abs(mean - dipole[axis]) < 4 * error
    terms = observables.over_samples(
        eqx.Partial(observables.force_terms, HartreeFockState()), lih, jnp.asarray(x[:, ::10])
    )
    force = np.asarray(observables.forces(terms))
    for atom in (0, 1):
        mean, error = mean_and_error(force[..., atom, 2])
        assert error < 0.08
        assert abs(mean + gradient[atom, 2]) < 4 * error


def test_forces_of_an_exact_state_have_no_variance():
    """One electron and one nucleus: the energy does not depend on where the nucleus is."""
    system = molecule(["H"], [[0.3, 0, 0]], spin=1)
    terms = observables.force_terms(slater(1.0), system, system.init(jax.random.key(2)))
    assert float(terms.energy) == pytest.approx(-0.5, abs=1e-10)
    np.testing.assert_allclose(terms.slope, 0.0, atol=1e-9)


def test_forces_are_the_derivative_of_the_energy_of_a_known_function():
    """H2+ with exp(-|r-A|) + exp(-|r-B|): energy from closed integrals, differentiated numerically; 4 sigma."""
    distance = 2.0
    system = molecule(["H", "H"], [[0, 0, 0], [0, 0, distance]], charge=1, spin=1)
    psi = Closed(lambda s, x: jnp.log(jnp.sum(jnp.exp(-jnp.linalg.norm(x[0] - s.positions, axis=-1)))))

    def exact(d: float) -> float:
        s = np.exp(-d) * (1 + d + d * d / 3)
        j = -1 / d + np.exp(-2 * d) * (1 + 1 / d)
        k = -np.exp(-d) * (1 + d)
        return -0.5 + (j + k) / (1 + s) + 1 / d

    energies, x = samples(psi, system, count=80)
    mean, error = mean_and_error(energies)
    assert abs(mean - exact(distance)) < 4 * error
    terms = observables.over_samples(eqx.Partial(observables.force_terms, psi), system, jnp.asarray(x))
    mean, error = mean_and_error(np.asarray(observables.forces(terms))[..., 1, 2])
    slope = (exact(distance + 1e-4) - exact(distance - 1e-4)) / 2e-4
    assert error < 0.01
    assert abs(mean + slope) < 4 * error


@pytest.mark.slow
def test_forces_of_a_network_are_the_slope_of_its_own_curve(lih):
    """Energy and density of one configuration carried along, from Hartree-Fock anew at displaced nuclei, 1e-4."""
    shape = resolve("small", {"width": 6, "layers": 1, "pair": 4, "convolution": 4, "determinants": 2, "jastrow": 4})
    psi = electrons(jax.random.key(5), shape, "float64")
    x, step = lih.init(jax.random.key(6)), 1e-3
    nuclei = np.asarray(lih.positions)
    terms, response = eqx.filter_jit(observables.force_terms), orbital_response(lih)
    found, fixed = terms(psi, lih, x, response), terms(psi, lih, x, jax.tree.map(jnp.zeros_like, response))
    value = eqx.filter_jit(lambda s, y: (energy(psi, s, y), psi(s, y).log))
    for atom, axis in ((0, 0), (0, 2), (1, 1), (1, 2)):
        ends = []
        for sign in (1, -1):
            shift = np.zeros((2, 3))
            shift[atom, axis] = sign * step
            moved = molecule(["Li", "H"], nuclei + shift)

            def carried(r, shift=shift):
                weight = np.linalg.norm(r - nuclei, axis=-1) ** -4.0
                return r + (weight / weight.sum()) @ shift

            y = jnp.asarray([carried(r) for r in np.asarray(x)])
            volume = [
                np.linalg.det(np.stack([(carried(r + h) - carried(r - h)) / 2e-5 for h in 1e-5 * np.eye(3)]))
                for r in np.asarray(x)
            ]
            local, log = map(float, value(moved, y))
            ends.append((local, 2 * log + float(np.log(volume).sum())))
        slope, score = ((a - b) / (2 * step) for a, b in zip(*ends, strict=True))
        assert float(found.slope[atom, axis]) == pytest.approx(slope, abs=1e-4 * max(1, abs(slope)))
        assert float(found.score[atom, axis]) == pytest.approx(score, abs=1e-4 * max(1, abs(score)))
    assert abs(float(fixed.slope[1, 2] - found.slope[1, 2])) > 1e-2  # coefficients that stay give another slope
    np.testing.assert_allclose(found.slope.sum(axis=0), 0, atol=1e-8)


class Signed(Closed):
    """A wavefunction given by its value."""

    def bind(self, system):
        def features(x):
            value = self.log(system, x)
            return jnp.stack([jnp.log(jnp.abs(value)), jnp.where(value < 0, jnp.pi, 0.0)])

        return features


def test_spin_of_pure_states(lih):
    singlet = observables.spin_squared(HartreeFockState(), lih, lih.init(jax.random.key(3)))
    assert float(singlet) == pytest.approx(0.0, abs=1e-9)
    alone = molecule(["H"], [[0, 0, 0]], spin=1)
    assert float(observables.spin_squared(HartreeFockState(), alone, alone.init(jax.random.key(5)))) == 0.75
    # two electrons without z component of the spin: antisymmetric in space is the triplet
    system = molecule(["He"], [[0, 0, 0]])
    triplet = Signed(lambda s, y: (y[0, 2] - y[1, 2]) * jnp.exp(-jnp.sum(y**2)))
    local = observables.spin_squared(triplet, system, system.init(jax.random.key(6)))
    assert float(local) == pytest.approx(2.0, abs=1e-9)


def test_densities_count_the_electrons(lih, hartree_fock_samples):
    _, x = hartree_fock_samples
    line = observables.line_density(lih, x, margin=40.0)
    assert np.sum(line.values) * (line.grid[1] - line.grid[0]) == pytest.approx(4.0, abs=1e-6)
    hydrogen = molecule(["H"], [[0, 0, 0]], spin=1)
    line = observables.line_density(hydrogen, samples(slater(1.0), hydrogen)[1], bins=8, margin=4.0)
    edges = np.linspace(0, 4, 9)
    mass = lambda r: 1 - np.exp(-2 * r) * (1 + 2 * r + 2 * r * r)  # noqa: E731
    # 20 000 samples, of which about 1 in 2 is independent: 0.02 is more than five standard errors of every bin
    np.testing.assert_allclose(line.values * 0.5, np.diff(mass(edges)), atol=0.02)


@pytest.mark.parametrize(
    ("charges", "n_up", "n_down"),
    [([1] * 6, 3, 3), ([3, 1], 2, 2), ([8, 8], 9, 7), ([4], 3, 2), ([1, 1], 1, 0), ([7], 5, 2)],
)
def test_electrons_start_at_their_atoms(charges, n_up, n_down):
    home = homes(np.array(charges), n_up, n_down)
    assert home.shape == (n_up + n_down,)
    around = np.bincount(home, minlength=len(charges))
    assert np.all(np.abs(around - charges) <= 1)
    if charges == [1] * 6:
        assert sorted(home[:3]) == [0, 2, 4]  # neighbours with opposite spin


def test_some_electrons_per_move(lih):
    """Steps move as many as asked for, jumps always one."""
    system = molecule(["Li", "H"], [[0, 0, 0], [0, 0, 2.6]], electrons_per_move=2)
    x, keys = system.init(jax.random.key(7)), jax.random.split(jax.random.key(8), 200)
    for one, most in ((system, 2), (lih, 4)):
        y, _ = jax.vmap(lambda k, s=one: s.propose(k, x, jnp.asarray(0.3)))(keys)
        moved = np.asarray(jnp.sum(jnp.any(y != x, axis=-1), axis=-1))
        assert set(moved) == {1, most}
        # a quarter jump: 4.9 standard deviations of 200 draws
        assert np.mean(moved == 1) == pytest.approx(0.25, abs=0.15)


def jump_density(system, r):
    """Of the places jumps go to: half 1s densities of the nuclei, half of hydrogen, weighted with the charge."""
    d = np.linalg.norm(np.asarray(r) - np.asarray(system.positions), axis=-1)
    z = np.asarray(system.charges)
    return float(np.sum(z * (z**3 * np.exp(-2 * z * d) + np.exp(-2 * d)) / (2 * np.pi)) / z.sum())


def test_proposals_say_how_probable_the_way_back_is(lih):
    """Log density of the way back minus that of the way there: normal distributions of steps, that of jumps."""
    x, kinds = lih.init(jax.random.key(9)), []
    for key in jax.random.split(jax.random.key(10), 20):
        y, ratio = lih.propose(key, x, jnp.asarray(0.4))
        (moved,) = np.nonzero(np.any(np.asarray(y != x), axis=-1))
        kinds.append(len(moved))
        if len(moved) == 1:
            there, back = (np.log(jump_density(lih, r[moved[0]])) for r in (y, x))
        else:
            there, back = (
                jax.scipy.stats.norm.logpdf(b, a, 0.4 * reach(lih, a)[:, None]).sum() for a, b in ((x, y), (y, x))
            )
        assert float(ratio) == pytest.approx(float(back - there), abs=1e-10)
    assert set(kinds) == {1, 4}
    far, near = lih.positions[0] + jnp.array([0.0, 0.0, -4.0]), lih.positions[0] + jnp.array([0.0, 0.1, 0.0])
    steps = jax.vmap(lambda k: lih._step(k, jnp.stack([far, near] * 2), jnp.asarray(0.3))[0])(
        jax.random.split(jax.random.key(11), 400)
    ).std(axis=0)
    assert float(steps[0].mean() / steps[1].mean()) == pytest.approx(4.3333 / 0.4333, rel=0.1)


def test_jumps_go_where_they_say(lih):
    """Share of the jumps that end within a distance of lithium, against the integral of the density.

    20000 draws: the largest error bar is 0.0035, four of them are allowed (false alarm 2e-4 of three).
    """
    x = lih.init(jax.random.key(9))
    y, _ = jax.vmap(lambda k: lih._jump(k, x))(jax.random.split(jax.random.key(12), 20_000))
    ends = np.asarray(y)[np.any(np.asarray(y != x), axis=-1)]
    assert len(ends) == 20_000
    rng, radius = np.random.default_rng(0), np.linalg.norm(ends - np.asarray(lih.positions[0]), axis=-1)
    for limit in (0.3, 1.0, 2.0):
        distance = limit * (np.arange(4000) + 0.5) / 4000
        ball = rng.normal(size=(4000, 3))
        ball *= distance[:, None] / np.linalg.norm(ball, axis=1, keepdims=True)
        density = [jump_density(lih, r) for r in ball + np.asarray(lih.positions[0])]
        expected = limit * np.mean(4 * np.pi * distance**2 * density)
        assert np.mean(radius < limit) == pytest.approx(expected, abs=0.014)


def test_jumps_fill_an_empty_core():
    """Lithium of which all electrons are four bohr away: after 40 moves two thirds of the walkers have a core again.

    Steps alone need some hundred moves. 64 walkers: three error bars below two thirds is one half.
    """
    lithium = molecule(["Li"], [[0, 0, 0]], spin=1)
    psi = HartreeFockState()
    family = jax.tree.map(lambda leaf: leaf[None] if eqx.is_array(leaf) else leaf, lithium)
    (walkers,) = families.start(jax.random.key(0), (family,), 64)
    away = jnp.broadcast_to(jnp.array([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]), walkers.x.shape)
    moved = metropolis(psi, family, walkers._replace(x=away), 40, 64)
    core = jnp.min(jnp.linalg.norm(moved.x[0], axis=-1), axis=-1) < 1.5
    assert float(jnp.mean(core)) > 0.5


def reach(system, x):
    return jnp.min(jnp.linalg.norm(x[:, None] - system.positions, axis=-1) + 1 / system.charges, axis=-1)
