"""Optimisers of Optax, preconditioners and samplers of the user's own, in place of the natural gradient."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import wavefoundry as wf
from tests.oracles import dense_matrix
from wavefoundry.core import tree
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.engine.gradient import select
from wavefoundry.engine.sampling import metropolis
from wavefoundry.engine.vmc import Options, Schedule, block_of, variational
from wavefoundry.problems.enumerated import enumerate_states

pytestmark = pytest.mark.integration

CHAIN = wf.lattice.ising_chain(6, h=1.2)
MODEL = wf.models.vit(patch=2, width=4, layers=1, heads=1, precision="float64")
TINY: dict[str, Any] = {"steps": 3, "walkers": 32}


def exact_energy(system: Any, static: Any, params: Any) -> Any:
    """<H> of all configurations, by a dense matrix."""
    listed = enumerate_states(system)
    matrix = jnp.asarray(dense_matrix(system.operator()).real)
    psi = jnp.exp(jax.vmap(lambda x: eqx.combine(params, static)(system, x).log)(listed.states))
    return psi @ matrix @ psi / (psi @ psi)


def test_plain_gradient_descent_follows_the_gradient_of_the_energy():
    """One step of ``optax.sgd`` over the full sum, against automatic differentiation of the Rayleigh quotient."""
    wavefunction = MODEL.build(jax.random.key(0), (6,), sign_free=True)
    params, static = eqx.partition(wavefunction, eqx.is_array)
    trainable, rate = tree.all_weights(params), 1e-4
    options = Options(moves=1, chunk=64, optimiser=optax.sgd(rate))
    process = variational(static, trainable, options, listed=True)
    family = enumerate_states(CHAIN).family([{}])
    run = process.init(jax.random.key(1), params, family, 1)
    after, _ = block_of(process)(run, family, Schedule(jnp.full(1, 0.5), jnp.full(1, 1e-3)))
    selection = select(trainable)
    gradient = selection.vector(jax.grad(lambda p: exact_energy(CHAIN, static, p))(params))
    step = selection.vector(after.params) - selection.vector(params)
    np.testing.assert_allclose(step, -rate * gradient, atol=1e-12 + 1e-6 * rate * float(jnp.max(jnp.abs(gradient))))


@pytest.fixture(scope="module")
def adam() -> wf.Pretrained:
    return wf.pretrain(CHAIN, MODEL, steps=400, optimiser=optax.adam(2e-2), block=100)


def test_adam_finds_the_ground_state(adam: wf.Pretrained):
    """Over the full sum of 64 configurations, so without noise."""
    assert adam.record["relative_error"] < 2e-3


def test_adam_adapts_all_weights(adam: wf.Pretrained):
    found = wf.map(adam, {"h": [1.4]}, "full", full_steps=150, optimiser=optax.adam(3e-3), evaluate={"samples": 512})
    assert found.points[0]["method"] == "full" and found.points[0]["relative_error"] < 5e-3


def test_a_preconditioner_of_ones_own():
    """The natural gradient written by the user is the one that is built in."""

    def natural(rows: Any, right: Any, shift: Any) -> Any:
        metric = rows.T @ rows + shift * jnp.eye(rows.shape[1])
        return jnp.linalg.solve(metric, 2.0 * rows.T @ right)

    ours = wf.pretrain(CHAIN, MODEL, momentum=0.0, **TINY)
    own = wf.pretrain(CHAIN, MODEL, momentum=0.0, preconditioner=natural, **TINY)
    first, second = (jnp.concatenate([jnp.ravel(a) for a in jax.tree.leaves(eqx.filter(b.wavefunction, eqx.is_array))])
                     for b in (ours, own))  # fmt: skip
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_a_sampler_of_ones_own():
    """It is asked for every step, and what it gives is what the step sees."""
    asked = []

    def mine(wavefunction: Any, family: Any, walkers: Any, moves: int, chunk: int) -> Any:
        asked.append(moves)
        return metropolis(wavefunction, family, walkers, 2 * moves, chunk)

    base = wf.pretrain(CHAIN, MODEL, sampling="metropolis", sampler=mine, **TINY)
    assert asked and np.isfinite(base.energy)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"optimiser": "adam"}, "no optimiser of Optax"),
        ({"optimizer": optax.adam(1e-3)}, "did you mean 'optimiser'?"),
        ({"preconditioner": 3}, "no function"),
        ({"sampler": "metropolis"}, "no function"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], says: str):
    with pytest.raises(wf.InputError, match=says.replace("?", r"\?")):
        wf.pretrain(CHAIN, MODEL, **settings)


def test_heads_have_no_optimiser(adam: wf.Pretrained):
    with pytest.raises(wf.InputError, match="nothing to do"):
        wf.map(adam, {"h": [1.4]}, "head", optimiser=optax.adam(1e-3))


def fewer(wavefunction: Any, family: Any, walkers: Any, moves: int, chunk: int) -> Any:
    return jax.tree.map(lambda a: a[:, :10] if a.ndim > 2 else a, walkers)


def broken(*_: Any) -> Any:
    raise RuntimeError("out of order")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"sampler": broken}, "the sampler fails: RuntimeError: out of order"),
        ({"sampler": lambda a, b: a}, "it is called as sampler"),
        ({"sampler": lambda *_: None}, "gives NoneType"),
        ({"sampler": lambda *_: jnp.ones(3)}, "gives an array of shape"),
        ({"sampler": fewer}, "in place of one of shape"),
        ({"sampler": broken, "sampling": "full-sum"}, "nothing to do"),
        ({"preconditioner": lambda a, b: a}, "it is called as preconditioner"),
        ({"preconditioner": lambda rows, right, shift: 1j * rows.T @ right}, "complex numbers"),
        ({"preconditioner": lambda rows, right, shift: rows @ rows.T}, "an array of shape"),
        ({"preconditioner": lambda rows, right, shift: np.asarray(rows).T}, "jax.numpy in place of NumPy"),
        ({"optimiser": optax.lbfgs()}, "a line search, cannot be used"),
    ],
)
def test_what_goes_wrong_in_code_of_the_users(settings: dict[str, Any], says: str):
    """In small systems too, which are listed where nobody brings a sampler."""
    with pytest.raises(wf.InputError, match=says):
        wf.pretrain(CHAIN, MODEL, **(TINY | settings))


@pytest.mark.parametrize(
    "settings",
    [{"preconditioner": lambda rows, right, shift: jnp.nan * rows.T @ right}, {"optimiser": optax.sgd(float("nan"))}],
)
def test_a_training_that_makes_no_step_is_none(settings: dict[str, Any]):
    with pytest.raises(wf.PhysicsError, match="were refused"):
        wf.pretrain(CHAIN, MODEL, steps=20, walkers=32, **settings)


class Backbone(eqx.Module):
    weights: jax.Array
    kind: str = eqx.field(static=True)

    def __call__(self, condition: Any, x: jax.Array) -> Any:
        z = jnp.tanh(self.weights @ x.astype(self.weights.dtype))
        if self.kind == "random":  # the same features for the same configuration: valid, and used for random features
            return z + 0.1 * jax.random.normal(jax.random.key(0), z.shape)
        if self.kind == "nan":
            return jnp.where(jnp.all(x == 1), jnp.nan, z)
        if self.kind == "scalar":
            return jnp.sum(z)
        return np.tanh(np.asarray(z)) if self.kind == "numpy" else z


class Head(eqx.Module):
    weights: jax.Array
    real: bool = eqx.field(static=True, default=True)

    def __call__(self, z: jax.Array) -> Any:
        return Psi(self.weights @ z, jnp.zeros(()))


@dataclasses.dataclass(frozen=True)
class Own:
    """A network that is not in the house, right or wrong."""

    kind: str

    def build(self, key: Any, extent: tuple[int, ...], *, sign_free: bool, couplings: Any = ()) -> Any:
        if self.kind in ("nothing", "fails"):
            return None if self.kind == "nothing" else broken()
        head: Any = Head(jnp.ones(12 if self.kind == "wide" else 4))
        if self.kind == "function":
            head = jnp.sum
        return Wavefunction(Backbone(0.1 * jax.random.normal(key, (4, *extent)), self.kind), head)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nothing", "build gives NoneType"),
        ("fails", "out of order"),
        ("scalar", "the backbone gives an array of shape"),
        ("numpy", "jax.numpy in place of NumPy"),
        ("wide", "it is called as head"),
        ("function", "psi = exp"),
    ],
)
def test_what_goes_wrong_in_a_network_of_the_users(kind: str, says: str):
    with pytest.raises(wf.InputError, match=says):
        wf.pretrain(CHAIN, Own(kind), **TINY)


def test_a_network_that_is_not_finite_is_not_blamed_on_the_rate():
    with pytest.raises(wf.PhysicsError, match="a network that is finite"):
        wf.pretrain(CHAIN, Own("nan"), steps=20, walkers=32)


def test_a_network_may_draw_from_a_key_of_its_own():
    assert np.isfinite(wf.pretrain(CHAIN, Own("random"), **TINY).energy)
