"""NetKet as the oracle: matrix elements, local energies and natural-gradient updates agree in double precision.

Every comparison is deterministic: the same configurations go to both codes. The one statistical ingredient, which
configurations are compared, only decides where two functions are evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from wavefoundry.core import tree
from wavefoundry.core.types import Batch, Wavefunction
from wavefoundry.engine.gradient import centred_rows, log_jacobian, natural_gradient, select
from wavefoundry.engine.sampling import equal_weights, full_sum
from wavefoundry.engine.vmc import local_energies
from wavefoundry.models.transformer import vit
from wavefoundry.problems import lattice
from wavefoundry.problems.lattice import LatticeSystem

SHIFT = 1e-3


Terms = dict[str, Any]  # one NetKet operator per coupling: an independent construction of every term


def xxz_in_fields(total_sz: float | None) -> tuple[LatticeSystem, Terms]:
    """A user's Hamiltonian as sums of local operators."""
    sites = 6
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
    "ising chain periodic": lambda: ising((8,), True),
    "ising chain open": lambda: ising((6,), False),
    "ising square periodic": lambda: ising((3, 3), True),
    "ising square open": lambda: ising((2, 4), False),
    "j1j2 chain": lambda: j1j2((8,), True, False),
    "j1j2 chain marshall": lambda: j1j2((8,), True, True),
    "j1j2 chain open marshall": lambda: j1j2((6,), False, True),
    "j1j2 square open": lambda: j1j2((2, 4), False, False),
    "j1j2 square open marshall": lambda: j1j2((2, 4), False, True),
    "xxz in fields": lambda: xxz_in_fields(None),
    "xxz at fixed magnetisation": lambda: xxz_in_fields(0.0),
}


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


def matrices(system: LatticeSystem) -> np.ndarray:
    """Dense matrix of every term, rebuilt row by row from ``connected``: (terms, dim, dim)."""
    states = np.asarray(system.hilbert.all_states()).astype(np.int8)
    conn = jax.jit(jax.vmap(system.connected))(jnp.asarray(states))
    x, mels, diagonal = (np.asarray(a) for a in conn)
    terms = range(len(system.names))
    return np.stack([scatter(states, x, mels[..., k]) + np.diag(diagonal[:, k]) for k in terms])


@pytest.mark.parametrize("name", CASES)
def test_rows_of_the_hamiltonian(name: str):
    system, terms = CASES[name]()
    dense = matrices(system)
    assert set(terms) == set(system.names)
    states = np.asarray(system.hilbert.all_states()).astype(np.int8)
    for k, term in enumerate(system.names):
        x, mels = terms[term].get_conn_padded(states)
        expected = scatter(states, np.asarray(x), np.asarray(mels).real)
        np.testing.assert_allclose(dense[k], expected, atol=1e-12, err_msg=term)


@pytest.mark.parametrize("name", ["j1j2 chain marshall", "xxz in fields"])
def test_sum_over_terms_is_the_operator(name: str):
    """``operator()`` is in the original basis: the Marshall rule is the diagonal rotation (-1)^(down on A)."""
    system, _ = CASES[name]()
    states = np.asarray(system.hilbert.all_states())
    turn = np.ones(len(states))
    if system.sublattice is not None:
        turn = np.where(np.asarray(system.sublattice), states, 1).prod(axis=1)
    whole = np.einsum("k,kij->ij", np.asarray(system.couplings), matrices(system))
    expected = turn[:, None] * system.operator().to_dense().real * turn
    np.testing.assert_allclose(whole, expected, atol=1e-12)


def network(system: LatticeSystem, head: str) -> Wavefunction:
    """A small network with generic weights: fresh biases are zero and would hide mistakes."""
    divides_all = all(edge % 2 == 0 for edge in system.extent)
    wavefunction = vit(
        jax.random.key(3), system.extent, patch=2 if divides_all else 1, width=4, layers=1, heads=2,
        head=head, precision="float64",
    )  # fmt: skip
    params, static = eqx.partition(wavefunction, eqx.is_array)
    flat, unravel = ravel_pytree(params)
    return eqx.combine(unravel(flat + 0.3 * jax.random.normal(jax.random.key(4), flat.shape)), static)


def oracle(system: LatticeSystem, wavefunction: Wavefunction, samples: int | None) -> Any:
    """The same wavefunction as a NetKet state, in the basis without the Marshall rotation."""
    params, static = eqx.partition(wavefunction, eqx.is_array)
    leaves, structure = jax.tree.flatten(params)

    def log_psi(variables: dict, x: jax.Array, **_: Any) -> jax.Array:
        here = eqx.combine(
            jax.tree.unflatten(structure, [variables["params"][f"{i:02d}"] for i in range(len(leaves))]), static
        )
        psi = jax.vmap(lambda s: here(system, s))(x.reshape(-1, x.shape[-1]))
        log = psi.log if wavefunction.real else psi.log + 1j * psi.phase
        if system.sublattice is not None:
            signs = jax.vmap(system.sign)(x.reshape(-1, x.shape[-1]))
            log = log + 1j * jnp.pi * (signs < 0)
        return log.reshape(x.shape[:-1])

    variables = {"params": {f"{i:02d}": leaf for i, leaf in enumerate(leaves)}}
    if samples is None:
        return nk.vqs.FullSumState(system.hilbert, apply_fun=log_psi, variables=variables)
    sampler = nk.sampler.ExactSampler(system.hilbert, dtype=np.int8)
    return nk.vqs.MCState(sampler, apply_fun=log_psi, variables=variables, n_samples=samples, seed=5)


ENERGY_CASES = [
    ("ising chain periodic", "real"),
    ("ising square periodic", "complex"),
    ("j1j2 chain marshall", "real"),
    ("j1j2 square open marshall", "complex"),
    ("xxz in fields", "complex"),
]


@pytest.mark.parametrize(("name", "head"), ENERGY_CASES)
def test_local_energies_term_by_term(name: str, head: str):
    system, _ = CASES[name]()
    wavefunction = network(system, head)
    state = oracle(system, wavefunction, samples=24)
    x = jnp.asarray(state.samples).reshape(1, 24, -1)
    # two members that differ in their couplings, evaluated together; term-wise energies must not depend on them
    other = {name: float(0.5 - 1.7 * value) for name, value in system.values.items()}
    family = system.family([{}, other])
    batch = equal_weights(jnp.concatenate([x, x]))
    terms = np.asarray(eqx.filter_jit(local_energies)(wavefunction, family, batch, 7))
    for k, operator in enumerate(system.operators):
        expected = np.asarray(state.local_estimators(operator).data).reshape(-1)
        np.testing.assert_allclose(terms[0, :, k], expected, atol=1e-10, rtol=1e-10)
        np.testing.assert_allclose(terms[1, :, k], expected, atol=1e-10, rtol=1e-10)
    for member, point in enumerate([{}, other]):
        total = terms[member] @ np.asarray(family.couplings[member])
        expected = np.asarray(state.local_estimators(system.at(**point).operator()).data).reshape(-1)
        np.testing.assert_allclose(total, expected, atol=1e-10, rtol=1e-10)


def rows_of(system: LatticeSystem, wavefunction: Wavefunction, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Our centred rows and right-hand side for all weights."""
    params, static = eqx.partition(wavefunction, eqx.is_array)
    selection = select(tree.all_weights(params))
    family = system.family([{}])

    @jax.jit
    def compute(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        local = local_energies(eqx.combine(params, static), family, batch, 8) @ family.couplings[0]
        jacobian = log_jacobian(params, static, selection, family, batch, 8)
        return centred_rows(jacobian, local, batch.weight)

    return compute(params, batch)


def update(rows: jax.Array, residual: jax.Array, solver: str, **options: Any) -> np.ndarray:
    """Our natural-gradient update before the learning rate."""
    previous = options.pop("previous", jnp.zeros(rows.shape[1]))
    found = natural_gradient(rows, residual, jnp.array(SHIFT), previous, options.pop("momentum", 0.0), solver)
    assert float(found.shift) == SHIFT, "the damping had to be raised: the comparison would be void"
    return np.asarray(found.update)


def close(ours: np.ndarray, theirs: Any, tolerance: float) -> None:
    """Equal relative to the size of the whole update."""
    theirs = np.asarray(theirs if isinstance(theirs, np.ndarray) else ravel_pytree(theirs)[0])
    assert np.linalg.norm(theirs) > 0
    assert np.linalg.norm(ours - theirs) <= tolerance * np.linalg.norm(theirs)


def driver(state: Any, system: LatticeSystem, wavefunction: Wavefunction, **options: Any) -> Any:
    # the Marshall sign makes log psi complex even where our head is real: its imaginary part has no derivative
    mode = "complex" if system.sublattice is not None or not wavefunction.real else "real"
    return nk.driver.VMC_SR(
        system.operator(), optax.sgd(1.0), diag_shift=SHIFT, variational_state=state, mode=mode, **options
    )


SAMPLES = 32
UPDATE_CASES = [
    ("ising chain periodic", "real"),
    ("j1j2 chain marshall", "complex"),
    ("ising square open", "complex"),
]


@pytest.mark.parametrize(("name", "head"), UPDATE_CASES)
def test_natural_gradient_on_given_samples(name: str, head: str, capsys: pytest.CaptureFixture):
    system, _ = CASES[name]()
    wavefunction = network(system, head)
    state = oracle(system, wavefunction, SAMPLES)
    x = jnp.asarray(state.samples).reshape(1, SAMPLES, -1)
    rows, residual = rows_of(system, wavefunction, equal_weights(x))
    kernel, qgt = (update(rows, residual, solver) for solver in ("kernel", "qgt"))

    _, expected = driver(state, system, wavefunction, use_ntk=True, on_the_fly=False).compute_loss_and_update()
    close(kernel, expected, 1e-10)
    _, expected = driver(state, system, wavefunction, use_ntk=False, on_the_fly=False).compute_loss_and_update()
    close(qgt, expected, 1e-10)
    # (S + shift)^-1 F by two routes; the squared condition number costs a few digits
    close(qgt, kernel, 1e-8)


def test_metric_and_force_are_those_of_netket():
    """The same through NetKet's other road: quantum geometric tensor and gradient as separate objects."""
    system, _ = CASES["ising chain periodic"]()
    wavefunction = network(system, "complex")
    state = oracle(system, wavefunction, SAMPLES)
    x = jnp.asarray(state.samples).reshape(1, SAMPLES, -1)
    rows, residual = rows_of(system, wavefunction, equal_weights(x))
    qgt = state.quantum_geometric_tensor(nk.optimizer.qgt.QGTJacobianDense(mode="complex"))
    np.testing.assert_allclose(np.asarray(rows.T @ rows), np.asarray(qgt.to_dense()).real, atol=1e-10)
    _, force = state.expect_and_grad(system.operator())
    # for real weights NetKet returns the gradient of the energy, which is the force 2 Re <O* (Eloc - E)>
    close(np.asarray(2 * residual @ rows), force, 1e-10)


def test_momentum_is_that_of_netket(capsys: pytest.CaptureFixture):
    """Two SPRING updates on the same samples: the second one uses the first."""
    system, _ = CASES["ising chain periodic"]()
    wavefunction = network(system, "real")
    state = oracle(system, wavefunction, SAMPLES)
    x = jnp.asarray(state.samples).reshape(1, SAMPLES, -1)
    rows, residual = rows_of(system, wavefunction, equal_weights(x))
    theirs = driver(state, system, wavefunction, use_ntk=True, on_the_fly=False, momentum=0.8)
    theirs.compute_loss_and_update()
    _, expected = theirs.compute_loss_and_update()
    first = update(rows, residual, "kernel", momentum=0.8)
    second = update(rows, residual, "kernel", momentum=0.8, previous=jnp.asarray(first))
    close(second, expected, 1e-10)
    assert np.linalg.norm(second - first) > 1e-3 * np.linalg.norm(first)


@pytest.mark.parametrize(("name", "head"), [("ising chain open", "real"), ("j1j2 chain open marshall", "complex")])
def test_natural_gradient_of_the_full_sum(name: str, head: str, capsys: pytest.CaptureFixture):
    """Unequal weights: the exact expectation values over all configurations."""
    system, _ = CASES[name]()
    wavefunction = network(system, head)
    state = oracle(system, wavefunction, None)
    states = jnp.asarray(np.asarray(system.hilbert.all_states()), jnp.int8)
    batch = full_sum(wavefunction, system.family([{}]), states, 16)
    rows, residual = rows_of(system, wavefunction, batch)
    _, expected = driver(state, system, wavefunction, use_ntk=False, on_the_fly=False).compute_loss_and_update()
    close(update(rows, residual, "qgt"), expected, 1e-10)
    close(update(rows, residual, "kernel"), expected, 1e-8)
