"""Natural gradients against dense linear algebra: selections, families, weights, momentum."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from wavefoundry.core import tree
from wavefoundry.core.types import Batch, Wavefunction
from wavefoundry.engine.gradient import centred_rows, log_jacobian, natural_gradient, select
from wavefoundry.engine.sampling import full_sum
from wavefoundry.engine.vmc import Options, local_energies, variational
from wavefoundry.models.projection import Amplitude
from wavefoundry.problems import exact, lattice
from wavefoundry.problems.enumerated import enumerate_states

SHIFT = 1e-2


def nothing(params: Any) -> Any:
    return jax.tree.map(lambda _: False, params)


@pytest.fixture(scope="module")
def chain() -> lattice.LatticeSystem:
    return lattice.ising_chain(6, h=0.9)


@pytest.fixture(scope="module")
def parts(chain: lattice.LatticeSystem, network: Any) -> tuple[Any, Any]:
    return eqx.partition(network(chain, "complex"), eqx.is_array)


def choices(params: Any) -> dict[str, Any]:
    """Selections: whole leaves, single entries of leaves, and both."""
    rng = np.random.default_rng(0)
    kernel, bias = params.backbone.dense.kernel, params.backbone.dense.bias
    whole = eqx.tree_at(lambda p: (p.head.re.kernel, p.head.im.bias), nothing(params), (True, True))
    masks = (rng.random(kernel.shape) < 0.4, np.arange(bias.size) % 2 == 0)
    some = eqx.tree_at(lambda p: (p.backbone.dense.kernel, p.backbone.dense.bias), nothing(params), masks)
    both = eqx.tree_at(lambda p: (p.head.re.kernel, p.head.im.bias), some, (True, np.zeros(6, bool)))
    return {"leaves": whole, "entries": some, "leaves and entries": both}


def selected(params: Any, chosen: Any) -> Any:
    """True where a weight is selected, entry by entry."""
    return jax.tree.map(lambda a, m: np.broadcast_to(np.asarray(m), a.shape), params, chosen)


CHOICES = ["leaves", "entries", "leaves and entries"]


@pytest.mark.parametrize("name", CHOICES)
def test_a_selection_replaces_its_weights_and_no_others(parts: tuple, name: str):
    params, _ = parts
    chosen = choices(params)[name]
    selection, marks = select(chosen), selected(params, chosen)
    vector = selection.vector(params)
    assert vector.shape == (sum(int(m.sum()) for m in jax.tree.leaves(marks)),)
    same = selection.replace(params, vector)
    new = selection.replace(params, vector + 1.0)
    for old, kept, moved, mark in zip(*map(jax.tree.leaves, (params, same, new, marks)), strict=True):
        np.testing.assert_array_equal(old, kept)
        np.testing.assert_array_equal(np.asarray(moved)[~mark], np.asarray(old)[~mark])
        np.testing.assert_array_equal(np.asarray(moved)[mark], np.asarray(old)[mark] + 1.0)
    np.testing.assert_array_equal(selection.vector(new), vector + 1.0)


def test_a_step_leaves_unselected_weights_bit_by_bit(chain: lattice.LatticeSystem, parts: tuple):
    params, static = parts
    chosen = choices(params)["leaves and entries"]
    listed = enumerate_states(chain)
    process, family = variational(static, chosen, Options(moves=1, chunk=16), listed=True), listed.family([{}])

    @jax.jit
    def step(params: Any) -> tuple[Any, Any]:
        run = process.init(jax.random.key(0), params, family, 1)
        return process.step(run, family, jnp.array(0.1), jnp.array(SHIFT))

    run, info = step(params)
    assert int(info.rejected) == 0
    for old, new, mark in zip(*map(jax.tree.leaves, (params, run.params, selected(params, chosen))), strict=True):
        np.testing.assert_array_equal(np.asarray(new)[~mark], np.asarray(old)[~mark])
        if mark.any():
            assert np.mean(np.asarray(new)[mark] != np.asarray(old)[mark]) > 0.9, "the selected weights do move"


def test_the_jacobian_of_a_selection_is_that_part_of_the_whole(chain: lattice.LatticeSystem, parts: tuple):
    params, static = parts
    chosen = choices(params)["leaves and entries"]
    batch = Batch(jnp.asarray(exact.basis(chain.hilbert))[None, ::7], jnp.full((1, 10), 0.1))

    def rows(chosen: Any) -> np.ndarray:
        return np.asarray(
            jax.jit(lambda p: log_jacobian(p, static, select(chosen), chain.family([{}]), batch, 4))(params)
        )

    columns = np.concatenate([m.reshape(-1) for m in jax.tree.leaves(selected(params, chosen))])
    part, whole = rows(chosen), rows(tree.all_weights(params))
    np.testing.assert_allclose(part, whole[..., columns], rtol=1e-12, atol=1e-13)


# two members that differ in both couplings, the network knows h: amplitudes and derivatives differ as well
MEMBERS = [{"h": 0.6, "J": 1.3}, {"h": 1.5, "J": 0.8}, {"h": 0.9, "J": 1.0}]


class Explicit:
    """Rows, force and metric of a family from dense matrices and ``jacrev``, one member after the other."""

    def __init__(self, chain: lattice.LatticeSystem, wavefunction: Any, matrices: np.ndarray):
        states = jnp.asarray(exact.basis(chain.hilbert))
        params, static = eqx.partition(wavefunction, eqx.is_array)
        flat, unravel = ravel_pytree(params)
        rng = np.random.default_rng(2)
        self.number = np.stack([rng.choice(len(states), 12, replace=False) for _ in MEMBERS])
        self.weight = rng.dirichlet(np.full(12, 2.0), size=len(MEMBERS))

        @jax.jit
        def everything(couplings: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            system = eqx.tree_at(lambda s: s.couplings, chain, couplings)

            def psi(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
                here = eqx.combine(unravel(flat), static)
                return tuple(jax.vmap(lambda x: here(system, x))(states))  # type: ignore[return-value]

            log, phase = psi(flat)
            d_log, d_phase = jax.jacrev(psi)(flat)
            return jnp.exp(log + 1j * phase), d_log, d_phase

        self.local, self.jacobian = [], []
        for member, number in zip(MEMBERS, self.number, strict=True):
            couplings = chain.at(**member).couplings
            psi, d_log, d_phase = map(np.asarray, everything(couplings))
            self.local.append((np.tensordot(couplings, matrices, 1) @ psi / psi)[number])
            self.jacobian.append((d_log + 1j * d_phase)[number])
        self.batch = Batch(jnp.asarray(np.asarray(states)[self.number]), jnp.asarray(self.weight))

    def solve(self, shift: float, previous: np.ndarray | None = None, momentum: float = 0.0) -> tuple[Any, ...]:
        """Update (S + shift)^-1 (F + shift momentum previous) with S, F averaged over members; also S and F."""
        size = self.jacobian[0].shape[1]
        metric, force = np.zeros((size, size)), np.zeros(size)
        for weight, local, jacobian in zip(self.weight, self.local, self.jacobian, strict=True):
            centred = jacobian - weight @ jacobian
            metric += np.real(centred.conj().T * weight @ centred) / len(MEMBERS)
            force += 2 * np.real(centred.conj().T @ (weight * (local - weight @ local))) / len(MEMBERS)
        target = force if previous is None else force + shift * momentum * previous
        return np.linalg.solve(metric + shift * np.eye(size), target), metric, force


@pytest.fixture(scope="module")
def family(chain: lattice.LatticeSystem, network: Any, dense: Any) -> tuple[Explicit, Any, Any]:
    """The explicit family, and rows and right-hand side as the engine computes them."""
    wavefunction = network(chain, "complex", width=4, conditioned=(1,))
    explicit = Explicit(chain, wavefunction, dense(chain))
    params, static = eqx.partition(wavefunction, eqx.is_array)

    @jax.jit
    def compute(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        stacked = chain.family(MEMBERS)
        terms = local_energies(eqx.combine(params, static), stacked, batch, 8)
        jacobian = log_jacobian(params, static, select(tree.all_weights(params)), stacked, batch, 8)
        return centred_rows(jacobian, jnp.einsum("rst,rt->rs", terms, stacked.couplings), batch.weight)

    return explicit, *compute(params, explicit.batch)


def close(ours: Any, expected: np.ndarray, tolerance: float) -> None:
    """Equal relative to the size of the whole vector."""
    assert np.linalg.norm(expected) > 0
    assert np.linalg.norm(np.asarray(ours) - expected) <= tolerance * np.linalg.norm(expected)


def test_a_family_is_centred_member_by_member(family: tuple):
    """Metric and force are the means over members of the centred ones, not those of all samples together."""
    explicit, rows, residual = family
    _, metric, force = explicit.solve(SHIFT)
    close(rows.T @ rows, metric, 1e-12)
    close(2 * residual @ rows, force, 1e-12)
    pooled = np.concatenate(explicit.jacobian)
    pooled = pooled - explicit.weight.reshape(-1) @ pooled / len(MEMBERS)
    together = np.real(pooled.conj().T * explicit.weight.reshape(-1) @ pooled) / len(MEMBERS)
    assert np.linalg.norm(together - metric) > 1e-3 * np.linalg.norm(metric), "the members do differ"


@pytest.mark.parametrize("solver", ["kernel", "qgt", "auto"])
def test_updates_are_those_of_dense_algebra(family: tuple, solver: str):
    explicit, rows, residual = family
    expected, metric, _ = explicit.solve(SHIFT)
    found = natural_gradient(rows, residual, jnp.array(SHIFT), jnp.zeros(rows.shape[1]), 0.0, solver)
    assert float(found.shift) == SHIFT
    close(found.update, expected, 1e-10)
    np.testing.assert_allclose(float(found.step_norm), np.sqrt(expected @ metric @ expected), rtol=1e-10)


def test_kernel_and_metric_give_the_same_update(family: tuple):
    """At the damping of real runs, 1e-3, through two different matrices."""
    _, rows, residual = family
    previous = jnp.zeros(rows.shape[1])
    for part in (slice(None), slice(0, 20)):  # more weights than rows, and fewer
        both = [
            natural_gradient(rows[:, part], residual, jnp.array(1e-3), previous[part], 0.0, s)
            for s in ("kernel", "qgt")
        ]
        close(both[0].update, np.asarray(both[1].update), 1e-8)


@pytest.mark.parametrize("solver", ["kernel", "qgt"])
def test_single_precision_products_change_the_update_little(solver: str):
    """One eigenvalue of 30, and many down to 1e-6, at the damping of molecules: 1e-3, a ratio of 3e4."""
    draw = np.random.default_rng(5)
    left, right = (np.linalg.qr(draw.normal(size=(size, 80)))[0] for size in (100, 900))
    rows = (left * np.sqrt(np.geomspace(30.0, 1e-6, 80))) @ right.T
    rows = jnp.asarray(rows if solver == "kernel" else rows.T, jnp.float32)
    residual, previous = (jnp.asarray(draw.normal(size=size)) for size in rows.shape)
    args = rows, residual, jnp.array(1e-3), 0.01 * previous, 0.95, solver
    exactly, found = natural_gradient(*args), natural_gradient(*args, single=True)
    assert found.update.dtype == exactly.update.dtype == jnp.float64
    assert not np.array_equal(found.update, exactly.update)
    close(found.update, np.asarray(exactly.update), 2e-3)
    np.testing.assert_allclose(found.step_norm, exactly.step_norm, rtol=1e-4)


@pytest.mark.parametrize("solver", ["kernel", "qgt"])
def test_momentum_is_the_projected_one(family: tuple, solver: str):
    """SPRING minimises |O d - 2 eps|^2 + shift |d - mu d_previous|^2: d = (S + shift)^-1 (F + shift mu d_previous)."""
    explicit, rows, residual = family
    previous, momentum = np.zeros(rows.shape[1]), 0.9
    for _ in range(3):
        expected, metric, force = explicit.solve(SHIFT, previous, momentum)
        found = natural_gradient(rows, residual, jnp.array(SHIFT), jnp.asarray(previous), momentum, solver)
        close(found.update, expected, 1e-9)
        # the same as a least-squares problem, without the normal equations
        stacked = np.vstack([rows, np.sqrt(SHIFT) * np.eye(len(previous))])
        target = np.concatenate([2 * residual, np.sqrt(SHIFT) * momentum * previous])
        close(found.update, np.linalg.lstsq(stacked, target, rcond=None)[0], 1e-9)
        np.testing.assert_allclose(float(found.step_norm), np.sqrt(expected @ metric @ expected), rtol=1e-9)
        previous = np.asarray(found.update)
    assert np.linalg.norm(previous) > 1.1 * np.linalg.norm(explicit.solve(SHIFT)[0]), "momentum accumulates"


def test_full_sum_force_is_the_slope_of_the_exact_energy(network: Any, dense: Any):
    """Weights |psi|^2 over all 256 configurations of 8 sites; central differences leave an error of about 1e-9."""
    system = lattice.ising_chain(8, h=1.1)
    wavefunction = network(system, "complex", width=4)
    params, static = eqx.partition(wavefunction, eqx.is_array)
    states = jnp.asarray(exact.basis(system.hilbert))
    matrix = jnp.asarray(np.tensordot(system.couplings, dense(system), 1))
    flat, unravel = ravel_pytree(params)

    @jax.jit
    def force(params: Any) -> jax.Array:
        here, family = eqx.combine(params, static), system.family([{}])
        batch = full_sum(here, family, states, 32)
        local = local_energies(here, family, batch, 32) @ system.couplings
        jacobian = log_jacobian(params, static, select(tree.all_weights(params)), family, batch, 32)
        rows, residual = centred_rows(jacobian, local, batch.weight)
        return 2 * residual @ rows

    @jax.jit
    def energy(flat: jax.Array) -> jax.Array:
        here = eqx.combine(unravel(flat), static)
        values = jax.vmap(lambda x: here(system, x))(states)
        psi = jnp.exp(values.log - jnp.max(values.log) + 1j * values.phase)
        return jnp.real(jnp.vdot(psi, matrix @ psi) / jnp.vdot(psi, psi))

    slope, rng = np.asarray(force(params)), np.random.default_rng(3)
    directions = [*(np.eye(len(flat))[k] for k in rng.choice(len(flat), 12, replace=False))]
    directions += [direction / np.linalg.norm(direction) for direction in rng.normal(size=(4, len(flat)))]
    for direction in directions:
        step = 1e-4 * direction
        ahead, behind = float(energy(flat + step)), float(energy(flat - step))
        np.testing.assert_allclose(slope @ direction, (ahead - behind) / 2e-4, rtol=1e-5, atol=1e-7)
    assert np.linalg.norm(slope) > 0.1


class ComplexUnits(eqx.Module):
    """log psi = sum log cosh(W x + a) with complex weights, or with two real ones for each."""

    weights: tuple[Any, ...]

    def __call__(self, condition: Any, x: Any) -> Any:
        if len(self.weights) == 4:
            w, a = self.weights[0] + 1j * self.weights[1], self.weights[2] + 1j * self.weights[3]
        else:
            w, a = self.weights
        y = jnp.sum(jnp.log(jnp.cosh(w @ x + a)))
        return jnp.stack([jnp.real(y), jnp.imag(y)])


def test_complex_weights_are_trained_as_two_real_ones(chain: lattice.LatticeSystem):
    """Ten steps of natural gradient by the full sum: the same weights and energies, which fall."""
    draws = jax.random.normal(jax.random.key(3), (4, 6, chain.sites))
    w, a = 0.3 * (draws[0] + 1j * draws[1]), 0.3 * (draws[2, :, 0] + 1j * draws[3, :, 0])
    listed = enumerate_states(chain)
    family, found = listed.family([{}]), []
    for weights in ((w, a), (w.real, w.imag, a.real, a.imag)):
        network = Wavefunction(ComplexUnits(weights), Amplitude(False), ())
        params, static = eqx.partition(network, eqx.is_array)
        process = variational(static, tree.all_weights(params), Options(moves=1, chunk=16), listed=True)
        run, energies = process.init(jax.random.key(0), params, family, 1), []
        for _ in range(10):
            run, info = jax.jit(process.step)(run, family, jnp.array(0.1), jnp.array(SHIFT))
            energies.append(float(info.energy[0].real))
        trained = run.params.backbone.weights
        found.append(
            (energies, trained if len(trained) == 2 else (trained[0] + 1j * trained[1], trained[2] + 1j * trained[3]))
        )
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-9)
    np.testing.assert_allclose(found[0][1][0], found[1][1][0], atol=1e-8)
    assert found[0][0][-1] < found[0][0][0] - 0.1 and float(jnp.abs(jnp.imag(found[0][1][0] - w)).max()) > 1e-3
