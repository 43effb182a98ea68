"""Masks: exact counts, stable ranks, layers that never run empty, and masks of the same density."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry import models
from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import vector
from wavefoundry.adapt.masks import Layer, Layout
from wavefoundry.core.errors import InputError
from wavefoundry.engine.gradient import select
from wavefoundry.models import conv, dense, resnet, vit

# Published survivor counts for 2592 weights at ratio 0.12 (arXiv 2505.22734, authors' rounding).
PUBLISHED = """
2592 2281 2007 1766 1554 1368 1204 1060 933 821 722 635 559 492 433 381 335 295 260 229 202 178 157 138 121
106 93 82 72 63 55 48 42 37 33 29 26 23 20 18 16 14 12 11 10 9 8 7 6 5 4 3 2
"""


def one_layer(rows: int = 6, columns: int = 4) -> Layout:
    return Layout((Layer("kernel", 0, (rows, columns)),), rows * columns)


def test_counts_equal_the_published_ones():
    assert masks.counts(2592, 0.12, 2) == [int(word) for word in PUBLISHED.split()]
    assert masks.counts(50_000, 0.12, 26_387) == [50_000, 44_000, 38_720, 34_074, 29_985, 26_387]
    assert masks.counts(36, 0.05, 26) == [36, 34, 32, 30, 28, 27, 26]


def test_pruning_follows_the_counts_and_removes_the_smallest():
    where = Layout((Layer("kernel", 3, (54, 48)),), 2600)
    weights = np.random.default_rng(0).normal(size=2600)
    mask = np.ones(2600, bool)
    for expected in masks.counts(2592, 0.12, 16)[1:]:
        before = mask
        mask = masks.prune(where, mask, np.abs(weights), 0.12, stop=16)
        assert where.count(mask) == expected
        gone = before & ~mask
        assert np.abs(weights[gone]).max() <= np.abs(weights[mask & where.prunable]).min()
    assert mask[:3].all() and mask[2595:].all()  # weights outside the layer are never touched


def test_ties_go_in_exact_numbers():
    mask = masks.prune(one_layer(), np.ones(24, bool), np.ones(24), 0.25)
    assert mask.sum() == 18
    assert not mask[:6].any()  # a stable rank: the first ones


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.9), st.sampled_from(["layer", "global"]))
def test_no_layer_ever_runs_empty(seed, fraction, scope):
    rng = np.random.default_rng(seed)
    where = Layout((Layer("a", 0, (3, 4)), Layer("b", 12, (5, 2))), 22)
    mask, score = np.ones(22, bool), rng.random(22) * np.where(np.arange(22) < 12, 1e-6, 1)
    for _ in range(40):
        mask = masks.prune(where, mask, score, fraction, scope=scope)
    assert mask[:12].any() and mask[12:].any()
    assert mask.sum() == 2


def test_whole_neurons_go():
    score = np.tile([4.0, 1.0, 3.0, 2.0], 6)  # the column is the neuron
    mask = masks.prune(one_layer(), np.ones(24, bool), score, 0.5, unit="neuron").reshape(6, 4)
    assert mask.all(axis=0).tolist() == [True, False, True, False]
    assert mask.any(axis=0).tolist() == [True, False, True, False]


def test_random_masks_keep_their_counts_and_change_with_the_key():
    where, rng = one_layer(), np.random.default_rng(1)
    mask = np.zeros(24, bool)
    mask[[0, 4, 8, 1, 13]] = True
    drawn = [masks.random_like(where, mask, rng) for _ in range(4)]
    assert all(m.sum() == 5 for m in drawn)
    assert len({m.tobytes() for m in drawn}) > 1
    columns = masks.shuffled(where, mask, rng).reshape(6, 4)
    assert columns.sum(axis=0).tolist() == mask.reshape(6, 4).sum(axis=0).tolist()


def test_what_is_prunable_in_every_network():
    key = jax.random.key(0)

    def built(model, extent=(4, 4)):
        network = model.build(key, extent, sign_free=True)
        where = masks.layout(network)
        return where, where.count(np.ones(where.total, bool))

    assert built(dense(alpha=8))[1] == 2048
    assert built(conv(channels=4))[1] == 36
    where, count = built(resnet(channels=16, blocks=4))
    assert count == 18_432  # 144 more in the embedding, which is trained but not pruned
    assert not any("embedding" in layer.name for layer in where.layers)
    where, count = built(vit(width=8, layers=2, heads=2, patch=2))
    assert {layer.name.rsplit(".", 2)[-2] for layer in where.layers} == {"value", "out", "up", "down"}
    assert count == 2 * (2 * 8 * 8 + 2 * 8 * 32)


class Own(eqx.Module):
    """A network of a user, of Equinox's own layers: their outputs come first."""

    into: eqx.nn.Linear
    around: eqx.nn.Conv1d
    table: jax.Array

    def __init__(self, key: jax.Array):
        a, b = jax.random.split(key)
        self.into, self.around, self.table = (
            eqx.nn.Linear(5, 3, key=a),
            eqx.nn.Conv1d(2, 4, 3, key=b),
            jax.numpy.ones((6, 2)),
        )


@pytest.mark.parametrize(
    ("network", "units"),
    [
        (conv(channels=4).build(jax.random.key(0), (8,), sign_free=True), {"backbone.conv.kernel": (4, 0)}),
        (conv(channels=4).build(jax.random.key(0), (4, 4), sign_free=True), {"backbone.conv.kernel": (4, 0)}),
        (
            resnet(channels=5, blocks=1).build(jax.random.key(0), (8,), sign_free=True),
            {"backbone.blocks.0.first.kernel": (5, 0), "backbone.blocks.0.second.kernel": (5, 0)},
        ),
        (Own(jax.random.key(0)), {"into.weight": (3, -2), "around.weight": (4, -3), "table": (2, -1)}),
        (
            eqx.filter_vmap(Own)(jax.random.split(jax.random.key(0), 2)),
            {"into.weight": (6, None), "around.weight": (8, None)},
        ),
    ],
)
def test_units_are_the_outputs_of_layers(network, units):
    """Filters whatever the dimension, rows of what Equinox holds, and those of stacked layers apart."""
    for layer in masks.layout(network).layers:
        groups = layer.groups().reshape(layer.shape)
        count, axis = units.get(layer.name, (None, None))
        if count is None:
            continue
        assert len(np.unique(groups)) == count
        if axis is not None:  # all weights into an output are one group
            axis = len(layer.shape) - 1 if axis == 0 else axis
            rows = np.moveaxis(groups, axis, 0).reshape(count, -1)
            assert np.all(rows == rows[:, :1])


def as_tree(wavefunction, mask):
    """The mask as a pytree of booleans of the network's structure."""
    leaves, structure = jax.tree.flatten(wavefunction)
    parts = np.split(mask, np.cumsum([leaf.size if eqx.is_inexact_array(leaf) else 0 for leaf in leaves])[:-1])
    flags = [part.reshape(leaf.shape) if part.size else False for leaf, part in zip(leaves, parts, strict=True)]
    return jax.tree.unflatten(structure, flags)


@pytest.mark.parametrize("model", [vit(width=8, layers=1, heads=2, patch=2), models.electrons(width=8)])
def test_a_mask_is_a_selection_of_weights_in_any_network(model):
    electrons = isinstance(model, models.ElectronsSpec)
    key = jax.random.key(0)
    network = model.build(key) if electrons else model.build(key, (4, 4), sign_free=True)
    where, theta = masks.layout(network), np.asarray(vector(network))
    mask = np.ones(where.total, bool)
    mask = masks.prune(where, mask, np.abs(theta), 0.5, scope="global")
    selection = select(as_tree(network, mask))
    assert np.array_equal(selection.vector(network), theta[mask].astype(selection.vector(network).dtype))
    moved = np.asarray(vector(selection.replace(network, selection.vector(network) + 1)))
    assert np.array_equal(moved != theta, mask)


def test_layers_by_name():
    network = resnet(channels=2, blocks=2).build(jax.random.key(0), (4, 4))
    names = [layer.name for layer in masks.layout(network, ["backbone.blocks.0.*"]).layers]
    assert names == ["backbone.blocks.0.first.kernel", "backbone.blocks.0.second.kernel"]
    with pytest.raises(InputError, match="no layer is called"):
        masks.layout(network, ["nothing.*"])


def test_a_mask_of_another_model_is_refused():
    with pytest.raises(InputError, match="another model"):
        one_layer().check(np.ones(25, bool))
    with pytest.raises(InputError, match="another model"):
        one_layer().check(np.ones(24))
    with pytest.raises(InputError, match="never pruned"):
        Layout((Layer("kernel", 0, (2, 2)),), 5).check(np.array([True] * 4 + [False]))


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_fractions_outside_the_open_interval_are_refused(fraction):
    with pytest.raises(InputError, match="fraction"):
        masks.prune(one_layer(), np.ones(24, bool), np.ones(24), fraction)


def test_an_empty_layer_is_refused():
    with pytest.raises(InputError, match="empty"):
        masks.prune(one_layer(), np.zeros(24, bool), np.ones(24), 0.1)


def test_one_shot_takes_the_largest():
    weights = np.random.default_rng(2).normal(size=24)
    mask = masks.one_shot(one_layer(), weights, {"kernel": 7})
    assert mask.sum() == 7
    assert np.abs(weights[mask]).min() > np.abs(weights[~mask]).max()
