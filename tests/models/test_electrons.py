"""The electronic network: antisymmetry, symmetries of nuclei and orbitals, cusps, smoothness, size. All in float64."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from wavefoundry import models
from wavefoundry.core.errors import InputError
from wavefoundry.core.tree import count
from wavefoundry.engine import laplacian
from wavefoundry.models.electron_embedding import rounded
from wavefoundry.models.electron_wavefunction import cusp, kinks, near_nuclei, regular
from wavefoundry.problems.electrons import ElectronSystem, electron_system
from wavefoundry.problems.hartree_fock import SYMBOLS, hartree_fock


def molecule(symbols: list[str], positions: list, charge: int = 0, spin: int = 0) -> ElectronSystem:
    charges = np.array([SYMBOLS.index(s) + 1 for s in symbols])
    orbitals = hartree_fock(symbols, np.array(positions, float), charge=charge, spin=spin)
    return electron_system(orbitals, charges, np.array(positions, float), laplacian.folx)


def generic(seed: int = 0, **options):
    """Fresh biases and last layers are zero and would hide mistakes."""
    wavefunction = models.electrons(precision="float64", **options).build(jax.random.key(seed))
    params, static = eqx.partition(wavefunction, eqx.is_array)
    flat, unravel = ravel_pytree(params)
    return eqx.combine(unravel(flat + 0.1 * np.random.default_rng(seed).normal(size=flat.shape)), static)


@pytest.fixture(scope="module")
def lih() -> ElectronSystem:
    return molecule(["Li", "H"], [[0.1, 0, 0.2], [0, 0.3, 3.015]])


@pytest.fixture(scope="module")
def open_shell() -> ElectronSystem:
    """BH+, 3 up and 2 down."""
    return molecule(["B", "H"], [[0, 0, 0], [0, 0, 2.3]], charge=1, spin=1)


VARIANTS = {
    "small": {},
    "dense": {"reach": float("inf"), "nuclear": 3},
    "cusp": {"cusp": True},
    "messages": {"messages": 2, "symbols": ("H", "Li", "B")},
    "paper": {
        "preset": "paper",
        "symbols": ("H", "Li", "B"),
        "layers": 3,  # a first, a middle and a last one
        "width": 24,
        "hidden": (16, 16),
        "exponents": (8, 8),
        "pair": 8,
    },
}


@pytest.fixture(scope="module", params=VARIANTS)
def psi(request):
    return generic(**VARIANTS[request.param])


@eqx.filter_jit
def value(psi, system, x):
    return psi(system, x)


@eqx.filter_jit
def local_energy(psi, system, x):
    return jnp.sum(system.contract(psi.head, system.expand(psi.bind(system), x)))


def close(a, b, sign: float = 1.0, tolerance: float = 1e-10) -> None:
    assert float(a.log) == pytest.approx(float(b.log), abs=tolerance)
    assert np.cos(float(a.phase)) == pytest.approx(sign * np.cos(float(b.phase)), abs=1e-12)


def test_exchange_of_equal_spins_flips_the_sign(psi, open_shell):
    x = open_shell.init(jax.random.key(1))
    start = value(psi, open_shell, x)
    close(value(psi, open_shell, x[jnp.array([1, 0, 2, 3, 4])]), start, -1)
    close(value(psi, open_shell, x[jnp.array([1, 2, 0, 3, 4])]), start, 1)
    close(value(psi, open_shell, x[jnp.array([0, 1, 2, 4, 3])]), start, -1)
    mixed = value(psi, open_shell, x[jnp.array([3, 1, 2, 0, 4])])
    assert abs(float(mixed.log - start.log)) > 1e-3  # electrons of unlike spin are told apart


def test_numbering_of_nuclei_and_origin_do_not_matter(psi, lih):
    x = lih.init(jax.random.key(2))
    order = jnp.array([1, 0])
    leaves = lambda s: (s.positions, s.charges, s.up, s.down)  # noqa: E731
    renumbered = eqx.tree_at(leaves, lih, [leaf[order] for leaf in leaves(lih)])
    close(value(psi, renumbered, x), value(psi, lih, x))
    shift = jnp.array([0.3, -1.2, 0.7])
    moved = eqx.tree_at(lambda s: s.positions, lih, lih.positions + shift)
    close(value(psi, moved, x + shift), value(psi, lih, x))


def test_order_and_sign_of_orbitals_change_the_sign_alone(psi, open_shell):
    x = open_shell.init(jax.random.key(3))
    start = value(psi, open_shell, x)
    exchanged = eqx.tree_at(lambda s: s.up, open_shell, open_shell.up[:, jnp.array([1, 0, 2])])
    close(value(psi, exchanged, x), start, -1)
    flipped = eqx.tree_at(lambda s: s.up, open_shell, open_shell.up.at[:, 1].multiply(-1))
    close(value(psi, flipped, x), start, -1)
    flipped = eqx.tree_at(lambda s: s.down, open_shell, open_shell.down.at[:, 0].multiply(-1))
    close(value(psi, flipped, x), start, -1)


def test_an_atom_without_coefficients_gives_nothing_to_an_orbital(lih):
    psi = generic()
    c = lih.up.at[1, 0].set(0.0)
    without = eqx.tree_at(lambda s: s.up, lih, c)
    features, _ = psi.orbitals[0](c, without.positions, without.charges)
    assert float(jnp.max(jnp.abs(features[1, 0]))) == 0.0
    assert float(jnp.max(jnp.abs(features[0, 0]))) > 0.0


@pytest.mark.parametrize("nucleus", [0, 1])
def test_with_the_cusp_local_energies_stay_finite_at_nuclei(lih, nucleus):
    """As 1 / r they grow where the slope is wrong; a network with random weights has a wrong one."""
    rest = lih.init(jax.random.key(5))[1:]

    def energies(psi):
        at = [lih.positions[nucleus] + r * jnp.array([0.6, 0.0, 0.8]) for r in (1e-3, 1e-4)]
        return [float(local_energy(psi, lih, jnp.concatenate([x[None], rest]))) for x in at]

    near, nearer = energies(generic(cusp=True))
    assert abs(nearer - near) < 1.0
    near, nearer = energies(generic())
    assert abs(nearer) > 5 * abs(near) > 50


def test_a_hydrogenic_core_is_an_envelope_of_the_smooth_distance():
    r, charges = jnp.linspace(1e-3, 3.0, 50)[:, None], jnp.array([8.0])
    smooth = rounded(r, charges) - 1 / charges
    np.testing.assert_allclose(kinks(r, charges) - (charges * smooth)[:, 0], 1 - 8 * r[:, 0], atol=1e-12)


def test_slopes_of_the_cusp_where_two_electrons_meet():
    reach = jnp.array([0.7, 1.9])
    for n_up, slope in ((2, 0.25), (1, 0.5)):
        at = lambda r, n_up=n_up: cusp(jnp.array([[0.0, 0, 0], [r, 0, 0]]), n_up, reach)  # noqa: E731
        assert float(jax.grad(at)(1e-9)) == pytest.approx(slope, abs=1e-6)


def test_slopes_where_an_electron_meets_a_nucleus():
    """Of w exp(-2^k Z r): -w 2^k Z for every term, of the element it meets alone; nothing is left far away."""
    weights = jnp.zeros((4, 3)).at[2].set(jnp.array([0.1, -0.2, 0.05])).at[0].set(7.0)
    charges = jnp.array([3.0])
    at = lambda r: near_nuclei(weights, jnp.array([[r]]), charges)  # noqa: E731
    assert float(jax.grad(at)(0.0)) == pytest.approx(-3 * (0.1 - 0.4 + 0.2), rel=1e-6)
    assert abs(float(at(20.0))) < 1e-20


@pytest.mark.parametrize("options", [{}, {"reach": float("inf")}])
def test_local_energy_stays_finite_where_unlike_electrons_meet(lih, options):
    """The exact cusp cancels 1/r for any weights: with a wrong slope s the energy would be (1 - 2 s) / r > 1e4."""
    psi = generic(**options)
    x = lih.init(jax.random.key(4))
    direction = jnp.array([0.6, 0.8, 0.0])
    energies = []
    for r in (1e-5, 1e-4):
        # the mean of the two sides removes terms that are odd in the direction
        sides = [x.at[2].set(x[0] + s * r * direction) for s in (1, -1)]
        energies.append(np.mean([float(local_energy(psi, lih, y)) for y in sides]))
    assert abs(energies[0] - energies[1]) < 0.05 * abs(energies[0])


def kink(log, start, end) -> float:
    """Largest jump of the slope along a line that stays when steps are halved; smooth ones are halved too."""
    slope = jax.jit(jax.vmap(jax.grad(lambda t: log(start + t * (end - start)))))
    fine = np.asarray(slope(jnp.linspace(0, 1, 8001)))
    jumps = np.abs(np.diff(fine)).reshape(-1, 2).max(axis=1)
    regular = np.abs(fine[:-1:2]) < 5  # psi has nodes on the way
    return float(np.max((jumps - 0.75 * np.abs(np.diff(fine[::2])))[regular]))


def test_first_derivatives_are_continuous(psi, lih):
    """A sorted or largest-of feature has kinks; one gave helium an energy 120 mHa too high with a small variance."""
    start, end = (lih.init(jax.random.key(k)) for k in (5, 6))
    assert kink(lambda x: psi(lih, x).log, start, end) < 1e-3


def test_the_search_for_kinks_finds_one(lih):
    start, end = (lih.init(jax.random.key(k)) for k in (5, 6))
    assert kink(lambda x: 0.02 * jnp.max(x[:, 0]), start, end) > 1e-3


def test_amplitude_decays_far_away(psi, lih):
    x = lih.init(jax.random.key(7))
    log = [float(value(psi, lih, x.at[1].set(jnp.array([0.0, 0.0, d]))).log) for d in (20.0, 40.0, 80.0)]
    assert log[0] > log[1] + 1 > log[2] + 2


def test_bound_and_unbound_amplitudes_agree(psi, lih):
    x = lih.init(jax.random.key(8))
    both = psi.head(jax.jit(psi.bind(lih))(x)), value(psi, lih, x)
    assert float(both[0].log) == pytest.approx(float(both[1].log), abs=1e-12)


@pytest.mark.parametrize("variant", ["small", "paper"])
def test_laplacians_agree_with_the_trace_of_the_hessian(variant):
    psi, system = generic(**VARIANTS[variant]), molecule(["Li"], [[0, 0, 0]], spin=1)
    x, bound = system.init(jax.random.key(9)), eqx.filter_jit(psi.prepare)(system)

    @jax.jit
    def found(y):
        return {name: method(lambda z: psi.amplitude(bound, z)[0], y) for name, method in laplacian.METHODS.items()}

    results = found(x)
    exact = results.pop("hessian")
    for result in results.values():
        assert float(result.laplacian) == pytest.approx(float(exact.laplacian), rel=1e-9)
        np.testing.assert_allclose(result.gradient, exact.gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("variant", ["small", "dense"])
def test_the_laplacian_of_many_electrons_knows_derivatives_of_pairs_as_sparse(variant):
    psi = generic(**VARIANTS[variant])
    system = molecule(["F", "H"], [[0, 0, 0.2], [0, 0.3, 1.7]])
    x, bound = system.init(jax.random.key(9)), eqx.filter_jit(psi.prepare)(system)
    assert len(x) >= laplacian.SPARSE
    sparse, exact = (jax.jit(lambda y, m=m: m(lambda z: psi.amplitude(bound, z)[0], y))(x)
                     for m in (laplacian.folx, laplacian.vmap))  # fmt: skip
    assert float(sparse.laplacian) == pytest.approx(float(exact.laplacian), rel=1e-9)
    np.testing.assert_allclose(sparse.gradient, exact.gradient, rtol=1e-9, atol=1e-11)


def test_one_set_of_weights_serves_every_molecule():
    psi = generic()
    chain = lambda n: molecule(["H"] * n, [[1.8 * i, 0, 0] for i in range(n)])  # noqa: E731
    systems = [
        chain(2),
        chain(4),
        molecule(["H"], [[0, 0, 0]], spin=1),
        molecule(["H", "H"], [[0, 0, 0], [0, 0, 2.0]], 1, 1),
    ]
    systems += [molecule(["He"], [[0, 0, 0]]), molecule(["N"], [[0, 0, 0]], spin=3)]
    for system in systems:
        x = system.init(jax.random.key(0))
        assert np.isfinite(float(value(psi, system, x).log))


def test_published_size():
    """Counted by hand from the published architecture."""
    shapes = jax.eval_shape(models.electrons("paper").build, jax.random.key(0))
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert size(shapes.embedding) == 691_748
    assert sum(size((o.features, o.out)) for o in shapes.orbitals) == 1_188_864
    assert sum(size(o.exponents) for o in shapes.orbitals) == 43_536
    assert sum(size(o.messages) for o in shapes.orbitals) == 14_848
    assert size(shapes) == 1_938_996
    assert count(models.electrons().build(jax.random.key(0))) < 30_000


def test_wrong_descriptions_are_refused():
    with pytest.raises(InputError, match="unknown preset"):
        models.electrons("big").build(jax.random.key(0))
    with pytest.raises(InputError, match="unknown option"):
        models.electrons(widht=3).build(jax.random.key(0))
    with pytest.raises(InputError, match="no descriptors"):
        models.electrons(symbols=("H", "Xe")).build(jax.random.key(0))
    with pytest.raises(InputError, match="of the small variant"):
        models.electrons("paper", cusp=True).build(jax.random.key(0))
    for description in (models.electrons(nuclear=3, jastrow=0), models.electrons("paper", nuclear=3)):
        with pytest.raises(InputError, match="belongs to a Jastrow factor"):
            description.build(jax.random.key(0))
    assert dataclasses.asdict(models.electrons(width=3))["options"] == (("width", 3),)


def test_determinants_that_are_singular_to_rounding_are_left_out():
    """Beside a regular one a singular one has no derivatives: 0 times infinity would make those of the sum NaN."""
    close = jnp.array([[1.0, 1.0], [1.0, 1.0 + 1e-8]], jnp.float32)  # equal rows in single precision
    phi = jnp.stack([jnp.eye(2, dtype=jnp.float32), jnp.ones((2, 2), jnp.float32), close])
    assert regular(phi).tolist() == [True, False, False]
    assert regular(1e-10 * phi[:1]).tolist() == [True], "small is not singular"
    assert regular(phi[1:2]).tolist() == [False]
    assert regular(phi.at[0].set(jnp.nan)).tolist() == [True] * 3, "what has exploded is not hidden"
