"""Pytrees of weights: what is stored comes back bit by bit, what does not fit is refused."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.core import tree
from wavefoundry.core.errors import IntegrityError
from wavefoundry.core.types import Wavefunction


class Layer(eqx.Module):
    kernel: jax.Array
    name: str = eqx.field(static=True, default="layer")


def state() -> dict:
    """Weights in two precisions, walkers, keys of both kinds, and structure that is no array."""
    return {
        "params": [Layer(jnp.linspace(0, 1, 6).reshape(2, 3)), Layer(jnp.ones(4, jnp.float32) / 3)],
        "x": jnp.array([[1, -1], [-1, 1]], jnp.int8),
        "key": jax.random.key(7),
        "keys": jax.random.split(jax.random.key(8), 3),
        "raw": jax.random.PRNGKey(9),
        "step": jnp.array(12),
        "good": jnp.array(True),
        "label": "text",
        "nothing": None,
    }


def raw(leaf: object) -> np.ndarray:
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_arrays_come_back_bit_by_bit():
    before = state()
    arrays = tree.to_arrays(before)
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in arrays.values())
    empty = jax.tree.map(lambda a: jnp.zeros_like(a) if eqx.is_inexact_array(a) else a, before)
    after = tree.from_arrays(empty, arrays)
    assert jax.tree.structure(before) == jax.tree.structure(after)
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if eqx.is_array(one):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(raw(one), raw(other))
    assert after["label"] == "text"


def test_random_keys_go_on_with_the_same_numbers():
    before = state()
    after = tree.from_arrays(state() | {"key": jax.random.key(0)}, tree.to_arrays(before))
    for name, draw in (("key", jax.random.normal), ("keys", jax.vmap(jax.random.normal))):
        np.testing.assert_array_equal(draw(before[name]), draw(after[name]))


def test_names_are_unique_and_take_a_prefix():
    arrays = tree.to_arrays(state(), "run")
    leaves = [leaf for leaf in jax.tree.leaves(state()) if eqx.is_array(leaf)]
    assert len(arrays) == len(leaves)
    assert all(name.startswith("run") for name in arrays)
    restored = tree.from_arrays(state(), arrays | {"another": np.zeros(3)}, "run")
    np.testing.assert_array_equal(restored["x"], state()["x"])
    with pytest.raises(IntegrityError, match="no array"):
        tree.from_arrays(state(), arrays)


BROKEN = {
    "shape": lambda a: a[..., :-1],
    "one axis more": lambda a: a[None],
    "precision": lambda a: a.astype(np.float32),
    "kind": lambda a: a.astype(np.int64),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_what_does_not_fit_is_refused(damage: str):
    arrays = tree.to_arrays(state())
    name = next(name for name in arrays if "params" in name and "[0]" in name)
    with pytest.raises(IntegrityError, match="kernel"):
        tree.from_arrays(state(), arrays | {name: BROKEN[damage](arrays[name])})


def test_a_missing_array_and_a_key_of_another_kind_are_refused():
    arrays = tree.to_arrays(state())
    with pytest.raises(IntegrityError, match="step"):
        tree.from_arrays(state(), {k: v for k, v in arrays.items() if "step" not in k})
    with pytest.raises(IntegrityError, match="keys"):
        tree.from_arrays(state(), arrays | {"['keys']": arrays["['keys']"][:2]})


def small() -> Wavefunction:
    head = {"dense": Layer(jnp.ones((3, 4))), "bias": jnp.zeros(4), "kind": "real", "number": jnp.array(2)}
    return Wavefunction(Layer(jnp.ones((2, 5))), head)  # type: ignore[arg-type]


def test_count_and_head_only():
    wavefunction = small()
    chosen = tree.head_only(wavefunction)
    assert tree.count(wavefunction) == 10 + 12 + 4
    assert tree.count(wavefunction, chosen) == 12 + 4
    assert tree.count(wavefunction, tree.all_weights(wavefunction)) == 26
    trained, frozen = eqx.partition(wavefunction, chosen)
    assert trained.backbone.kernel is None and frozen.backbone.kernel is not None
    assert trained.head["dense"].kernel is not None and frozen.head["bias"] is None
    assert chosen.head["number"] is False and chosen.head["kind"] is False, "integers and text are not trained"


def test_stack_and_take_are_inverse():
    trees = [state() | {"step": jnp.array(k)} for k in range(3)]
    together = tree.stack(trees)
    assert together["x"].shape == (3, 2, 2) and together["label"] == "text"
    for k in range(3):
        one = tree.take(together, k)
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(trees[k]), strict=True):
            np.testing.assert_array_equal(raw(a), raw(b))
