"""Supervised training on problems with known answers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.engine.supervised import Recipe, block_of, clip_tensors, gauss_newton, optimiser, supervised


class Line(eqx.Module):
    """y = slope x + offset."""

    slope: jax.Array
    offset: jax.Array

    def __call__(self, x):
        return self.slope * x + self.offset


class Wave(eqx.Module):
    """y = size sin(k x)."""

    size: jax.Array
    k: jax.Array

    def __call__(self, x):
        return self.size * jnp.sin(self.k * x)


def loss(model, batch):
    return jnp.mean((jax.vmap(model)(batch["x"]) - batch["y"]) ** 2)


def start(model):
    return eqx.partition(model, eqx.is_inexact_array)


def data(steps, batch=16, seed=0):
    x = np.random.default_rng(seed).uniform(-1, 1, (steps, batch))
    return {"x": jnp.asarray(x), "y": jnp.asarray(2 * x - 0.5)}


def test_adam_finds_a_line():
    params, static = start(Line(jnp.zeros(()), jnp.zeros(())))
    process = supervised(static, loss, optimiser(Recipe(400, 16, 0.1)))
    run, info = block_of(process)(process.init(params), data(400))
    np.testing.assert_allclose([run.params.slope, run.params.offset], [2.0, -0.5], atol=1e-3)
    assert float(info.loss[-1]) < 1e-6 and int(run.step) == 400


def test_blocks_do_not_change_the_result():
    params, static = start(Line(jnp.zeros(()), jnp.zeros(())))
    process = supervised(static, loss, optimiser(Recipe(60, 16, 0.05)))
    block, batches = block_of(process), data(60)
    whole, _ = block(process.init(params), batches)
    parts = process.init(params)
    for lo in range(0, 60, 20):
        parts, _ = block(parts, jax.tree.map(lambda a, lo=lo: a[lo : lo + 20], batches))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.all(a == b)), whole, parts)))


def test_a_batch_that_is_not_finite_changes_nothing_and_is_counted():
    params, static = start(Line(jnp.ones(()), jnp.zeros(())))
    process = supervised(static, loss, optimiser(Recipe(10, 4, 0.1, warmup=0.0)))
    bad = {"x": jnp.full((1, 4), jnp.nan), "y": jnp.zeros((1, 4))}
    run, info = block_of(process)(process.init(params), bad)
    assert float(run.params.slope) == 1.0 and int(info.rejected[-1]) == 1
    run, info = block_of(process)(run, data(2, 4))
    assert float(run.params.slope) != 1.0 and int(info.rejected[-1]) == 1


@pytest.mark.parametrize(("decay", "shape"), [("cosine", 0.5), ("linear", 0.5)])
def test_schedule_rises_and_falls_to_its_floor(decay, shape):
    recipe = Recipe(1000, 1, 1e-2, warmup=0.1, decay=decay, clip="tensor")
    transform = optimiser(recipe)
    state = transform.init({"w": jnp.zeros((2, 2))})
    sizes = []
    step = jax.jit(lambda s: transform.update({"w": jnp.ones((2, 2))}, s, {"w": jnp.zeros((2, 2))}))
    for _ in range(1000):
        updates, state = step(state)
        sizes.append(-float(updates["w"][0, 0]))
    assert max(sizes) == pytest.approx(1e-2, rel=1e-2) and int(np.argmax(sizes)) == pytest.approx(100, abs=2)
    assert sizes[550] == pytest.approx(shape * 1e-2, rel=0.02) and sizes[-1] < 2e-5


def test_tensors_are_clipped_one_by_one_and_biases_do_not_decay():
    clipped, _ = clip_tensors(1.0).update({"a": jnp.array([3.0, 4.0]), "b": jnp.array([0.3])}, None)
    np.testing.assert_allclose(clipped["a"], [0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(clipped["b"], [0.3], rtol=1e-6)
    transform = optimiser(Recipe(10, 1, 0.1, warmup=0.0, clip="tensor", weight_decay=0.5))
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    zero = jax.tree.map(jnp.zeros_like, params)
    state = transform.init(params)
    _, state = transform.update(zero, state, params)
    updates, _ = transform.update(zero, state, params)
    assert float(updates["kernel"][0, 0]) < 0 and float(updates["bias"][0]) == 0


def test_gauss_newton_solves_least_squares_fast_and_never_worsens():
    params, static = start(Wave(jnp.asarray(0.7), jnp.asarray(1.2)))
    process = gauss_newton(static, lambda model, example: (model(example["x"]) - example["y"])[None])
    x = jnp.linspace(-2, 2, 50)
    batch = {"x": x, "y": 1.5 * jnp.sin(1.7 * x)}
    steps = jax.tree.map(lambda a: jnp.broadcast_to(a, (12, *a.shape)), batch)
    run, info = block_of(process)(process.init(params), steps)
    np.testing.assert_allclose([run.params.size, run.params.k], [1.5, 1.7], atol=1e-6)
    assert np.all(np.diff(np.asarray(info.loss)) <= 0)
