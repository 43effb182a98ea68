"""The vision transformer: size, symmetry, precision, and plain NumPy versions of backbone and heads."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from wavefoundry.core.errors import InputError
from wavefoundry.core.shapes import auto_patch
from wavefoundry.core.types import Wavefunction
from wavefoundry.models import ViTSpec
from wavefoundry.models.heads import make_head
from wavefoundry.models.transformer import displacements, patches, vit
from wavefoundry.problems import lattice


def network(extent: tuple[int, ...], **options: Any) -> Wavefunction:
    """A small network with generic weights: fresh biases and scales are 0 and 1 and would hide mistakes."""
    options = {"patch": 2, "width": 8, "layers": 2, "heads": 2, "precision": "float64"} | options
    params, static = eqx.partition(vit(jax.random.key(0), extent, **options), eqx.is_array)
    flat, unravel = ravel_pytree(params)
    return eqx.combine(unravel(flat + 0.2 * jax.random.normal(jax.random.key(1), flat.shape, flat.dtype)), static)


def spins(shape: tuple[int, ...], count: int = 5) -> jax.Array:
    return jnp.where(jax.random.bernoulli(jax.random.key(2), shape=(count, *shape)), 1, -1).astype(jnp.int8)


def features(wavefunction: Wavefunction, x: jax.Array, condition: Any = None) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(lambda s: wavefunction.backbone(condition, s.reshape(-1))))(x))  # type: ignore


# 10 x 10 square lattice with 2 x 2 patches and layer norms in the head, as published; certain to the last weight
PUBLISHED = {
    "8 layers": (dict(layers=8, width=72, heads=12), 434_760),
    "8 layers, two couplings": (dict(layers=8, width=72, heads=12, conditioned=(0, 1)), 434_904),
    "4 layers, one coupling": (dict(layers=4, width=72, heads=12, conditioned=(1,)), 223_104),
    "4 layers": (dict(layers=4, width=60, heads=10), 155_620),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_number_of_weights_is_the_published_one(name: str):
    options, total = PUBLISHED[name]
    fixed = dict(patch=2, head="complex", head_norm=True)
    shapes = eqx.filter_eval_shape(lambda key: vit(key, (10, 10), **fixed, **options), jax.random.key(0))  # type: ignore
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "size")) == total


@pytest.mark.parametrize(("width", "plain", "with_norms"), [(72, 10_512, 10_800), (60, 7_320, 7_560)])
def test_number_of_weights_of_the_heads(width: int, plain: int, with_norms: int):
    """2 (d^2 + d) in two linear maps, 4 d in two layer norms; half of both for a real head."""
    key = jax.random.key(0)

    def size(kind: str, norm: bool) -> int:
        head = eqx.filter_eval_shape(lambda key: make_head(key, width, kind, norm, jnp.dtype("float32")), key)
        return sum(leaf.size for leaf in jax.tree.leaves(head) if hasattr(leaf, "size"))

    assert (size("complex", False), size("complex", True)) == (plain, with_norms)
    assert (size("real", False), size("real", True)) == (plain // 2, with_norms // 2)


def test_shifts_of_a_chain_by_whole_patches():
    wavefunction, x = network((12,), patch=3), spins((12,))
    z = features(wavefunction, x)
    for shift in (3, 6, 9):
        np.testing.assert_allclose(features(wavefunction, jnp.roll(x, shift, axis=-1)), z, atol=1e-12)
    for shift in (1, 2):
        assert np.max(np.abs(features(wavefunction, jnp.roll(x, shift, axis=-1)) - z)) > 1e-2


@pytest.mark.parametrize("axis", [0, 1], ids=["rows", "columns"])
def test_shifts_of_a_square_by_whole_patches(axis: int):
    wavefunction, x = network((4, 6)), spins((4, 6))
    z = features(wavefunction, x)
    np.testing.assert_allclose(features(wavefunction, jnp.roll(x, 2, axis=1 + axis)), z, atol=1e-12)
    assert np.max(np.abs(features(wavefunction, jnp.roll(x, 1, axis=1 + axis)) - z)) > 1e-2


def test_reflections_and_other_orders_of_the_patches_do_matter():
    """Without attention between patches the sum over them would not see their order."""
    wavefunction, x = network((12,), patch=2), spins((12,))
    z = features(wavefunction, x)
    swapped = x.reshape(-1, 6, 2)[:, jnp.array([1, 0, 2, 3, 4, 5])]
    assert np.max(np.abs(features(wavefunction, swapped) - z)) > 1e-3


def test_patches_of_a_square_are_blocks():
    grid = np.arange(24).reshape(4, 6)
    found = np.asarray(patches(jnp.asarray(grid.reshape(-1)), (4, 6), 2))
    expected = [grid[i : i + 2, j : j + 2].reshape(-1) for i in (0, 2) for j in (0, 2, 4)]
    np.testing.assert_array_equal(found, expected)


def test_displacement_table_of_a_chain():
    expected = [[0, 1, 2, 3], [3, 0, 1, 2], [2, 3, 0, 1], [1, 2, 3, 0]]
    np.testing.assert_array_equal(displacements((8,), 2), expected)


def test_displacement_table_of_a_square():
    """Displacements along both axes, each modulo the number of patches along it."""
    rows, columns = 2, 3
    table = displacements((4, 6), 2)
    assert table.shape == (6, 6)
    for i in range(6):
        for j in range(6):
            (a, b), (c, d) = divmod(i, columns), divmod(j, columns)
            assert table[i, j] == ((c - a) % rows) * columns + (d - b) % columns


def norm(x: np.ndarray, layer: Any) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * layer.scale + layer.shift


def gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def reference(backbone: Any, x: np.ndarray, table: np.ndarray, condition: np.ndarray) -> np.ndarray:
    """Features of one chain configuration, with loops instead of tensors."""
    b = jax.tree.map(np.asarray, backbone)
    tokens = np.concatenate([x.reshape(-1, *b.patch), np.tile(condition, (len(table), 1))], axis=1)
    tokens = tokens @ b.embedding.kernel + b.embedding.bias
    for k in range(b.blocks.attention.alpha.shape[0]):
        block = jax.tree.map(lambda a, k=k: a[k], b.blocks)
        alpha = block.attention.alpha
        values = norm(tokens, block.norm_attention) @ block.attention.value.kernel + block.attention.value.bias
        share = values.shape[1] // len(alpha)
        mixed = np.zeros_like(values)
        for i in range(len(table)):
            for mu in range(len(alpha)):
                part = slice(mu * share, (mu + 1) * share)
                mixed[i, part] = sum(alpha[mu, table[i, j]] * values[j, part] for j in range(len(table)))
        tokens = tokens + mixed @ block.attention.out.kernel + block.attention.out.bias
        hidden = gelu(norm(tokens, block.norm_feed) @ block.up.kernel + block.up.bias)
        tokens = tokens + hidden @ block.down.kernel + block.down.bias
    return norm(tokens.sum(axis=0), b.norm)


def test_backbone_is_the_written_formula():
    """Factored attention sum_j alpha_{j-i} V x_j in pre-norm blocks, the couplings given to every patch."""
    wavefunction, x = network((8,), layers=2, conditioned=(0, 1)), spins((8,))
    condition, table = np.array([0.7, -1.3]), displacements((8,), 2)
    expected = [reference(wavefunction.backbone, np.asarray(one, float), table, condition) for one in x]
    np.testing.assert_allclose(features(wavefunction, x, jnp.asarray(condition)), expected, atol=1e-12)


def test_only_a_conditioned_network_knows_the_couplings():
    system, x = lattice.ising_chain(8, h=0.5), spins((8,), 1)[0]
    blind, seeing = network((8,)), network((8,), conditioned=(1,))
    other, third = system.at(h=1.5), system.at(J=2.0)
    assert float(blind(system, x).log) == float(blind(other, x).log)
    assert abs(float(seeing(system, x).log - seeing(other, x).log)) > 1e-3
    assert float(seeing(system, x).log) == float(seeing(third, x).log), "it is given h alone"


@pytest.mark.parametrize("extent", [(8,), (4, 4)])
def test_single_precision_follows_double(extent: tuple[int, ...]):
    """Rounding 6e-8 grows to about 1e-6 in a few layers; 2e-5 leaves room, a wrong dtype would show at once."""
    wide = network(extent, head="complex")
    narrow = jax.tree.map(lambda a: a.astype(jnp.float32) if eqx.is_array(a) else a, wide)
    x = spins(extent).reshape(5, -1)
    system = lattice.ising(extent)
    ours, reference_ = (jax.jit(jax.vmap(lambda s, w=w: w(system, s)))(x) for w in (narrow, wide))
    assert ours.log.dtype == ours.phase.dtype == jnp.float32 and reference_.log.dtype == jnp.float64
    np.testing.assert_allclose(ours.log, reference_.log, atol=2e-5, rtol=2e-5)
    np.testing.assert_allclose(jnp.exp(1j * ours.phase), jnp.exp(1j * reference_.phase), atol=2e-5)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_weights_have_the_wanted_precision(precision: str):
    wavefunction = network((8,), precision=precision, head="complex", head_norm=True)
    assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(wavefunction, eqx.is_array))} == {jnp.dtype(precision)}


@pytest.mark.parametrize(
    ("extent", "options", "where"),
    [
        ((8,), {"patch": 3}, "patch"),
        ((4, 6), {"patch": 4}, "patch"),
        ((8,), {"width": 8, "heads": 3}, "heads"),
        ((8,), {"width": 2, "heads": 4}, "heads"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(extent: tuple[int, ...], options: dict, where: str):
    with pytest.raises(InputError, match="does not divide") as caught:
        network(extent, **options)
    assert where in caught.value.where and caught.value.fix


def test_default_patch_divides_the_lattice():
    assert [auto_patch((n,)) for n in (8, 10, 9, 25, 7, 4)] == [4, 2, 3, 5, 1, 2]
    assert [auto_patch((n,), sign_free=False) for n in (8, 9, 4, 2)] == [2, 3, 2, 1]
    assert [auto_patch(shape) for shape in ((6, 6), (4, 9), (9, 9), (2, 6))] == [2, 1, 3, 2]


def test_description_chooses_a_real_head_for_sign_free_systems():
    spec = ViTSpec(width=4, layers=1, heads=2)
    assert spec.build(jax.random.key(0), (8,), sign_free=True).real
    assert not spec.build(jax.random.key(0), (8,), sign_free=False).real
    forced = ViTSpec(width=4, layers=1, heads=2, head="complex", conditioned=True)
    built = forced.build(jax.random.key(0), (8,), sign_free=True, couplings=(1,))
    assert not built.real and built.conditioned == (1,)


HEADS = [("real", False), ("real", True), ("complex", False), ("complex", True)]


def generic_head(kind: str, norm: bool, width: int = 5) -> Any:
    head = make_head(jax.random.key(3), width, kind, norm, jnp.dtype("float64"))
    flat, unravel = ravel_pytree(eqx.filter(head, eqx.is_array))
    params = unravel(flat + 0.5 * jax.random.normal(jax.random.key(4), flat.shape))
    return eqx.combine(params, eqx.filter(head, eqx.is_array, inverse=True))


@pytest.mark.parametrize(("kind", "norm"), HEADS)
def test_weights_of_a_head_come_back(kind: str, norm: bool):
    head = generic_head(kind, norm)
    weights = head.weights()
    assert weights.shape == (6, 5 if kind == "real" else 10)
    again = head.with_weights(weights)
    assert jax.tree.structure(again) == jax.tree.structure(head)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(head), strict=True):
        np.testing.assert_array_equal(a, b)
    other = head.with_weights(weights * 2.0 + 1.0)
    np.testing.assert_array_equal(other.weights(), weights * 2.0 + 1.0)


@pytest.mark.parametrize(("kind", "norm"), HEADS)
def test_outer_of_the_pre_activations_is_the_head(kind: str, norm: bool):
    head = generic_head(kind, norm)
    z = jax.random.normal(jax.random.key(5), (5,))
    whole, parts = head(z), head.outer(jnp.append(z, 1.0) @ head.weights())
    np.testing.assert_allclose(parts, whole, rtol=1e-13)


@pytest.mark.parametrize("norm", [False, True])
def test_real_head_has_constant_phase(norm: bool):
    head = generic_head("real", norm)
    zs = jax.random.normal(jax.random.key(6), (20, 5))
    np.testing.assert_array_equal(jax.vmap(lambda z: head(z).phase)(zs), 0.0)
    np.testing.assert_array_equal(jax.vmap(jax.grad(lambda z: head(z).phase))(zs), 0.0)
    assert head.real and not generic_head("complex", norm).real


def test_complex_head_is_a_complex_log_cosh():
    head = generic_head("complex", False)
    zs = np.random.default_rng(7).normal(size=(20, 5))
    kernel = np.asarray(head.re.kernel) + 1j * np.asarray(head.im.kernel)
    bias = np.asarray(head.re.bias) + 1j * np.asarray(head.im.bias)
    expected = np.log(np.cosh(zs @ kernel + bias)).sum(axis=1)
    psi = jax.vmap(head)(jnp.asarray(zs))
    np.testing.assert_allclose(psi.log, expected.real, rtol=1e-12)
    np.testing.assert_allclose(np.exp(1j * np.asarray(psi.phase)), np.exp(1j * expected.imag), atol=1e-12)


def test_real_head_is_a_real_log_cosh():
    head = generic_head("real", False)
    zs = np.random.default_rng(8).normal(size=(20, 5))
    expected = np.log(np.cosh(zs @ np.asarray(head.dense.kernel) + np.asarray(head.dense.bias))).sum(axis=1)
    np.testing.assert_allclose(jax.vmap(head)(jnp.asarray(zs)).log, expected, rtol=1e-12)
