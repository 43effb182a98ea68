"""NetKet as the oracle: matrix elements, local energies and natural-gradient updates agree in double precision.

Every comparison is deterministic: the same configurations go to both codes. The one statistical ingredient, which
configurations are compared, only decides where two functions are evaluated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import optax
import pytest

from wavefoundry.core import tree
from wavefoundry.core.types import Batch, Wavefunction
from wavefoundry.engine.gradient import Direction, centred_rows, log_jacobian, natural_gradient, select
from wavefoundry.engine.sampling import equal_weights, full_sum
from wavefoundry.engine.vmc import local_energies
from wavefoundry.models.transformer import vit
from wavefoundry.problems import lattice
from wavefoundry.problems.spins import LatticeSystem

SHIFT = 1e-3


@pytest.fixture(autouse=True, scope="module")
def quick_compilation() -> Iterator[None]:
    """Compiling is nearly all the work of these tests, and nothing here needs fast programs."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


Terms = dict[str, Any]  # one NetKet operator per coupling: an independent construction of every term


def xxz_in_fields(total_sz: float | None) -> tuple[LatticeSystem, Terms]:
    """A user's Hamiltonian as sums of local operators."""
    sites = 8
    hilbert = nk.hilbert.Spin(0.5, sites, total_sz=total_sz)
    sx, sy, sz = (
        [make(hilbert, i) for i in range(sites)]
        for make in (nk.operator.spin.sigmax, nk.operator.spin.sigmay, nk.operator.spin.sigmaz)
    )
    bonds = [(i, (i + 1) % sites) for i in range(sites)]
    nothing = nk.operator.LocalOperator(hilbert)
    terms = {
        "xy": sum((sx[i] @ sx[j] + sy[i] @ sy[j] for i, j in bonds), start=nothing),
        "delta": sum((sz[i] @ sz[j] for i, j in bonds), start=nothing),
        "staggered": sum(((-1) ** i * sz[i] for i in range(sites)), start=nothing),
    }
    couplings = {"xy": 0.8, "delta": -0.6, "staggered": 0.3}
    if total_sz is None:
        terms["transverse"] = sum(sx[1:], start=2.0 * sx[0])
        couplings["transverse"] = -0.7
    return lattice.from_netket(terms, couplings), {k: term.to_jax_operator() for k, term in terms.items()}


def ising(shape: tuple[int, ...], periodic: bool) -> tuple[LatticeSystem, Terms]:
    graph = nk.graph.Grid(shape, pbc=periodic)
    hilbert = nk.hilbert.Spin(0.5, graph.n_nodes)
    terms = {name: nk.operator.IsingJax(hilbert, graph, h=h, J=J) for name, h, J in (("J", 0.0, -1.0), ("h", 1.0, 0.0))}
    return lattice.ising(shape, h=0.7, J=1.3, periodic=periodic), terms


def j1j2(shape: tuple[int, ...], periodic: bool, marshall: bool) -> tuple[LatticeSystem, Terms]:
    """NetKet's ready-made operator uses Pauli matrices and applies the sign rule to the bonds of J1 itself."""
    graph = nk.graph.Grid(shape, pbc=periodic, max_neighbor_order=2)
    hilbert = nk.hilbert.Spin(0.5, graph.n_nodes, total_sz=0)
    terms = {
        name: nk.operator.Heisenberg(hilbert, graph, J=J, sign_rule=[marshall, False]).to_jax_operator()
        for name, J in (("J1", [0.25, 0.0]), ("J2", [0.0, 0.25]))
    }
    return lattice.j1j2(shape, J1=0.9, J2=0.4, periodic=periodic, marshall=marshall), terms


CASES: dict[str, Callable[[], tuple[LatticeSystem, Terms]]] = {
    "ising chain": lambda: ising((8,), True),
    "ising chain open": lambda: ising((8,), False),
    "ising square": lambda: ising((3, 3), True),
    "j1j2 chain marshall": lambda: j1j2((8,), True, True),
    "j1j2 chain open": lambda: j1j2((8,), False, False),
    "j1j2 square open marshall": lambda: j1j2((2, 4), False, True),
    "xxz in fields": lambda: xxz_in_fields(None),
    "xxz at fixed magnetisation": lambda: xxz_in_fields(0.0),
}


DENSE = ("j1j2 chain open",)


@functools.cache
def case(name: str) -> tuple[LatticeSystem, Terms]:
    """A system and its independent terms, built once."""
    return CASES[name]()


def codes(states: Any) -> np.ndarray:
    """Configurations of spins +-1 as binary numbers."""
    return (np.asarray(states) > 0) @ (1 << np.arange(states.shape[-1]))


def scatter(states: np.ndarray, connected: np.ndarray, mels: np.ndarray) -> np.ndarray:
    """Dense matrix (dim, dim) from the connected configurations (dim, K, sites) and elements (dim, K) of all rows."""
    number = {code: index for index, code in enumerate(codes(states))}
    rows, slots = np.nonzero(mels)
    columns = [number[code] for code in codes(connected[rows, slots])]
    dense = np.zeros((len(states), len(states)))
    np.add.at(dense, (rows, columns), mels[rows, slots])
    return dense


@pytest.mark.parametrize("name", CASES)
def test_rows_of_the_hamiltonian(name: str):
    """Rows rebuilt from ``connected`` are those of every term, and of the whole in the basis it is written in."""
    system, terms = case(name)
    assert set(terms) == set(system.names)
    states = np.asarray(system.hilbert.all_states()).astype(np.int8)
    operators = [*(terms[term] for term in system.names), system.operator()]

    @jax.jit  # one program: this test compiles more than it computes
    def evaluate(x: jax.Array) -> tuple[Any, list]:
        return jax.vmap(system.connected)(x), [operator.get_conn_padded(x) for operator in operators]

    conn, theirs = jax.tree.map(np.asarray, evaluate(jnp.asarray(states)))
    *expected, operator = [scatter(states, x, mels.real) for x, mels in theirs]
    whole = np.zeros_like(operator)
    for k, term in enumerate(system.names):
        ours = scatter(states, conn.x, conn.mels[..., k]) + np.diag(conn.diagonal[:, k])
        np.testing.assert_allclose(ours, expected[k], atol=1e-12, err_msg=term)
        whole += system.values[term] * ours
    # ``operator`` knows no sign rule: the Marshall rule is the diagonal rotation (-1)^(down spins on the sublattice)
    turn = np.ones(len(states))
    if system.sublattice is not None:
        turn = np.where(np.asarray(system.sublattice), states, 1).prod(axis=1)
    np.testing.assert_allclose(whole, turn[:, None] * operator * turn, atol=1e-12)
    if name in DENSE:  # NetKet's own dense matrix takes seconds to compile: once is enough
        np.testing.assert_allclose(operator, system.operator().to_dense().real, atol=1e-12)


def network(system: LatticeSystem, head: str) -> Wavefunction:
    """A small network with generic weights: fresh biases are zero and would hide mistakes."""
    patch = 2 if all(edge % 2 == 0 for edge in system.extent) else 1
    options = {"patch": patch, "width": 4, "layers": 1, "heads": 2, "head": head, "precision": "float64"}
    shapes = eqx.filter_eval_shape(vit, jax.random.key(0), system.extent, **options)
    random = np.random.default_rng(3)
    fill = lambda a: 1.0 * jnp.asarray(random.normal(0.4, 0.5, a.shape), a.dtype)  # noqa: E731
    return jax.tree.map(lambda a: fill(a) if isinstance(a, jax.ShapeDtypeStruct) else a, shapes)


def oracle(system: LatticeSystem, wavefunction: Wavefunction, samples: int | None) -> Any:
    """The same wavefunction as a NetKet state, in the basis without the Marshall rotation."""
    params, static = eqx.partition(wavefunction, eqx.is_array)
    leaves, structure = jax.tree.flatten(params)
    names = [f"{i:02d}" for i in range(len(leaves))]

    def log_psi(variables: dict, x: jax.Array, **_: Any) -> jax.Array:
        here = eqx.combine(jax.tree.unflatten(structure, [variables["params"][name] for name in names]), static)
        psi = jax.vmap(lambda s: here(system, s))(x.reshape(-1, x.shape[-1]))
        log = psi.log if wavefunction.real else psi.log + 1j * psi.phase
        if system.sublattice is not None:
            odd = jnp.sum(jnp.where(system.sublattice, x.reshape(-1, x.shape[-1]) < 0, False), axis=-1) % 2
            log = log + 1j * jnp.pi * odd
        return log.reshape(x.shape[:-1])

    variables = {"params": dict(zip(names, leaves, strict=True))}
    if samples is None:
        return nk.vqs.FullSumState(system.hilbert, apply_fun=log_psi, variables=variables)
    sampler = nk.sampler.ExactSampler(system.hilbert, dtype=np.int8)
    return nk.vqs.MCState(sampler, apply_fun=log_psi, variables=variables, n_samples=samples, seed=5)


class Compared(NamedTuple):
    """One system with one network: ours and NetKet's view of the same samples."""

    system: LatticeSystem
    wavefunction: Wavefunction
    state: Any
    terms: np.ndarray  # (S, terms), our local energies
    rows: jax.Array
    residual: jax.Array


SAMPLES = 32


@functools.cache
def compared(name: str, head: str, all_states: bool = False) -> Compared:
    """Our local energies and centred rows on NetKet's samples, or on all configurations."""
    system, _ = case(name)
    wavefunction = network(system, head)
    state = oracle(system, wavefunction, None if all_states else SAMPLES)
    family, options = system.family([{}]), {"chunk": 7}
    if all_states:
        states = jnp.asarray(np.asarray(system.hilbert.all_states()), jnp.int8)
        batch = jax.jit(full_sum, static_argnums=3)(wavefunction, family, states, 16)
    else:
        batch = equal_weights(jnp.asarray(state.samples).reshape(1, SAMPLES, -1))
    params, static = eqx.partition(wavefunction, eqx.is_array)
    selection = select(tree.all_weights(params))

    @jax.jit
    def compute(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        terms = local_energies(eqx.combine(params, static), family, batch, **options)
        jacobian = log_jacobian(params, static, selection, family, batch, **options)
        return terms[0], *centred_rows(jacobian, terms @ family.couplings[0], batch.weight)

    terms, rows, residual = compute(params, batch)
    return Compared(system, wavefunction, state, np.asarray(terms), rows, residual)


MC_CASES = [("ising chain", "real"), ("j1j2 square open marshall", "complex")]


@pytest.mark.parametrize(("name", "head"), MC_CASES)
def test_local_energies_term_by_term(name: str, head: str):
    ours = compared(name, head)
    for k, operator in enumerate(ours.system.operators):
        expected = np.asarray(ours.state.local_estimators(operator).data).reshape(-1)
        np.testing.assert_allclose(ours.terms[:, k], expected, atol=1e-10, rtol=1e-10)
    assert np.std(ours.terms, axis=0).max() > 1e-3, "configurations too alike to tell anything"


def test_local_energies_of_a_family():
    """Two members that differ in their couplings: the terms do not depend on them, the sums do."""
    ours = compared("ising chain", "real")
    points = [{}, {"h": -0.4, "J": 2.5}]
    x = jnp.asarray(ours.state.samples).reshape(1, SAMPLES, -1)
    family, batch = ours.system.family(points), equal_weights(jnp.concatenate([x, x]))
    terms = np.asarray(eqx.filter_jit(local_energies)(ours.wavefunction, family, batch, 9))
    np.testing.assert_allclose(terms, np.stack([ours.terms, ours.terms]), atol=1e-10)
    for member, point in enumerate(points):
        whole = ours.system.at(**point).operator()
        expected = np.asarray(ours.state.local_estimators(whole).data).reshape(-1)
        np.testing.assert_allclose(terms[member] @ family.couplings[member], expected, atol=1e-10, rtol=1e-10)


@functools.partial(jax.jit, static_argnums=(3, 4))
def solve(rows: jax.Array, residual: jax.Array, previous: jax.Array, momentum: float, solver: str) -> Direction:
    return natural_gradient(rows, residual, jnp.array(SHIFT), previous, momentum, solver)


def update(ours: Compared, solver: str, momentum: float = 0.0, previous: Any = None) -> np.ndarray:
    """Our natural-gradient update before the learning rate."""
    previous = np.zeros(ours.rows.shape[1]) if previous is None else previous
    found = solve(ours.rows, ours.residual, jnp.asarray(previous), momentum, solver)
    assert float(found.shift) == SHIFT, "the damping had to be raised: the comparison would be void"
    return np.asarray(found.update)


def close(ours: np.ndarray, theirs: Any, tolerance: float) -> None:
    """Equal relative to the size of the whole update."""
    theirs = np.concatenate([np.asarray(leaf).reshape(-1) for leaf in jax.tree.leaves(theirs)])
    assert np.linalg.norm(theirs) > 0
    assert np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs)


def driver(ours: Compared, **options: Any) -> Any:
    # the Marshall sign makes log psi complex even where our head is real: its imaginary part has no derivative
    mode = "complex" if ours.system.sublattice is not None or not ours.wavefunction.real else "real"
    sgd = optax.sgd(1.0)
    options = {"diag_shift": SHIFT, "variational_state": ours.state, "mode": mode, "on_the_fly": False} | options
    return nk.driver.VMC_SR(ours.system.operator(), sgd, **options)


@pytest.mark.parametrize(("name", "head"), MC_CASES)
def test_natural_gradient_on_given_samples(name: str, head: str, capsys: pytest.CaptureFixture):
    """Kernel form with SPRING momentum: two updates on the same samples, the second one uses the first."""
    ours = compared(name, head)
    theirs = driver(ours, use_ntk=True, momentum=0.8)
    _, expected = theirs.compute_loss_and_update()
    kernel = update(ours, "kernel")  # nothing to remember yet: the plain update
    close(kernel, expected, 1e-10)
    close(update(ours, "kernel", 0.8), expected, 1e-10)

    _, expected = theirs.compute_loss_and_update()
    second = update(ours, "kernel", 0.8, previous=kernel)
    close(second, expected, 1e-10)
    assert np.linalg.norm(second - kernel) > 1e-5 * np.linalg.norm(kernel)

    # (S + shift)^-1 F by the other route
    close(update(ours, "qgt"), kernel, 1e-8)


def test_quantum_geometric_tensor_on_given_samples(capsys: pytest.CaptureFixture):
    """Metric, and the update in parameter space."""
    ours = compared(*MC_CASES[1])
    metric = ours.state.quantum_geometric_tensor(nk.optimizer.qgt.QGTJacobianDense(mode="complex"))
    np.testing.assert_allclose(ours.rows.T @ ours.rows, np.asarray(metric.to_dense()).real, atol=1e-10)
    _, expected = driver(ours, use_ntk=False).compute_loss_and_update()
    close(update(ours, "qgt"), expected, 1e-10)


@pytest.mark.slow
def test_natural_gradient_of_the_full_sum(capsys: pytest.CaptureFixture):
    """Unequal weights: exact expectation values over all configurations."""
    ours = compared("j1j2 chain open", "complex", all_states=True)
    _, expected = driver(ours, use_ntk=False).compute_loss_and_update()
    close(update(ours, "qgt"), expected, 1e-10)
    close(update(ours, "kernel"), update(ours, "qgt"), 1e-8)
