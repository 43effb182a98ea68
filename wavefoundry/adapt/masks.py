"""Which weights survive: masks by rank of a score, exact in their counts. NumPy, no training.

A mask is one boolean array over all real weights of a network (in the order of ``adapt.compact.vector``): True is
kept. Weights that pruning never touches (biases, norms, heads, ...) are always True.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PyTree

from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.words import matching
from wavefoundry.models.layers import Dense

Flags = Bool[np.ndarray, " P"]

SCORES = ("magnitude", "random", "curvature", "surgeon")
"""What is removed first: small |w|; any; small w^2 S_kk; small w^2 / (S^-1)_kk, S the metric of log psi."""


class Layer(NamedTuple):
    """An array of weights that may be pruned: its name, its place in the vector of all weights, and its shape.

    output: the axis of its neurons or filters. stacked: leading axes that count layers of the same kind.
    """

    name: str
    start: int
    shape: tuple[int, ...]
    output: int = -1
    stacked: int = 0

    @property
    def size(self) -> int:
        """Number of weights."""
        return int(np.prod(self.shape))

    @property
    def place(self) -> slice:
        """Where it lies in the vector of all weights."""
        return slice(self.start, self.start + self.size)

    def groups(self) -> Int[np.ndarray, " size"]:
        """Neuron or filter of every weight, those of stacked layers apart."""
        counted = {*range(self.stacked), self.output % len(self.shape)}
        edges = [edge if axis in counted else 1 for axis, edge in enumerate(self.shape)]
        return np.broadcast_to(np.arange(np.prod(edges)).reshape(edges), self.shape).reshape(-1)


class Layout(NamedTuple):
    """The prunable layers of a network and the number of all its weights."""

    layers: tuple[Layer, ...]
    total: int

    @property
    def prunable(self) -> Flags:
        """Which of all weights may be removed."""
        found = np.zeros(self.total, bool)
        for layer in self.layers:
            found[layer.place] = True
        return found

    def count(self, mask: Flags) -> int:
        """Surviving prunable weights n."""
        return int(np.sum(mask & self.prunable))

    def check(self, mask: Any) -> Flags:
        """A mask of this network, or an ``InputError``."""
        found = np.asarray(mask)
        if found.dtype != bool or found.shape != (self.total,):
            raise InputError(
                "the mask belongs to another model",
                where="mask",
                why=f"it has shape {found.shape} and type {found.dtype}; this model has {self.total} weights",
                fix="a boolean for every weight, in the order of wavefoundry.adapt.compact.vector",
            )
        if np.any(~found & ~self.prunable):
            raise InputError("the mask removes weights that are never pruned", where="mask", why=self.names())
        return found

    def names(self) -> str:
        """The layers in words."""
        return "prunable: " + (", ".join(layer.name for layer in self.layers) or "nothing")


def layout(wavefunction: PyTree, layers: Sequence[str] = (), called: Sequence[str] = ("kernel",)) -> Layout:
    """The prunable layers of a network.

    Args:
        wavefunction: a network; in one that calls no array ``kernel`` every array with two axes or more counts.
        layers: patterns of names such as ``"backbone.blocks.*"``; without any all kernels but those of the embedding
            and of the head.
        called: names of the arrays that count as kernels.

    Raises:
        InputError: a pattern that fits no kernel, or nothing to prune.
    """
    found, start = [], 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(wavefunction):
        if not eqx.is_inexact_array(leaf):
            continue
        if leaf.ndim >= 2:
            output, stacked = _axes(tree.owner(wavefunction, path), leaf.ndim)
            found.append(Layer(tree.name_of(path), start, tuple(leaf.shape), output, stacked))
        start += leaf.size
    found = [layer for layer in found if layer.name.rsplit(".", 1)[-1] in called] or found
    kernels = [layer.name for layer in found]
    if layers:
        why = f"layers here: {', '.join(kernels)}"
        named = matching(
            layers, kernels, lambda one: InputError(f"no layer is called {one!r}", where="prune.layers", why=why)
        )
        found = [layer for layer in found if layer.name in named]
    else:
        found = [layer for layer in found if "embedding" not in layer.name and not layer.name.startswith("head")]
    if not found:
        raise InputError("nothing to prune", where="prune.layers", why=f"layers here: {', '.join(kernels) or 'none'}")
    return Layout(tuple(found), start)


def _axes(owner: Any, ndim: int) -> tuple[int, int]:
    """The axis of the outputs of a kernel, and how many leading axes count layers: its owner knows what it is."""
    if isinstance(owner, eqx.nn.Linear):
        return ndim - 2, ndim - 2
    if isinstance(owner, eqx.nn.Conv):
        return ndim - owner.num_spatial_dims - 2, ndim - owner.num_spatial_dims - 2
    return -1, ndim - 2 if isinstance(owner, Dense) else 0


def removals(count: int, fraction: float) -> int:
    """How many of ``count`` go in one round: rint(fraction count), half to even, at least one."""
    return max(1, int(np.rint(fraction * count)))


def counts(start: int, fraction: float, stop: int) -> list[int]:
    """Survivors of every round from ``start`` down to ``stop``."""
    found = [start]
    while found[-1] > stop:
        found.append(max(stop, found[-1] - removals(found[-1], fraction)))
    return found


def prune(
    where: Layout,
    mask: Flags,
    score: Float[np.ndarray, " P"],
    fraction: float,
    *,
    scope: str = "layer",
    unit: str = "weight",
    stop: int = 1,
) -> Flags:
    """Remove the lowest-scored share of the survivors, exactly counted by stable rank.

    Args:
        where: prunable layers. mask: survivors so far. score: of all weights; only survivors count.
        fraction: of the survivors (weights, or whole neurons or filters) that go.
        scope: "layer" ranks within each layer, "global" over all of them.
        unit: "weight", "neuron" or "filter" (all weights into one output, scored by their sum).
        stop: survivors that remain in any case (of weights; one per layer at least).

    Raises:
        InputError: a fraction outside (0, 1), or an empty layer.
    """
    check_fraction(fraction)
    mask = where.check(mask)
    new = mask.copy()
    parts = [[layer] for layer in where.layers] if scope == "layer" else [list(where.layers)]
    for part in parts:
        if any(not np.any(mask[layer.place]) for layer in part):
            empty = next(layer.name for layer in part if not np.any(mask[layer.place]))
            raise InputError(f"the layer {empty} is empty", where="mask", why="every layer keeps at least one weight")
        index, groups = _members(part, mask, unit)
        names, inverse = np.unique(groups, return_inverse=True)
        totals = np.bincount(inverse, weights=score[index]) if unit != "weight" else score[index]
        room = where.count(new) - max(stop, 1)
        order = np.argsort(totals, kind="stable")
        wanted, gone = removals(len(names), fraction), 0
        for choice in order:
            members = index[inverse == choice] if unit != "weight" else index[choice : choice + 1]
            if gone >= wanted or members.size > room:
                break
            layer = next(layer for layer in part if layer.start <= members[0] < layer.start + layer.size)
            if np.sum(new[layer.place]) <= members.size:
                continue
            new[members] = False
            gone, room = gone + 1, room - members.size
    return new


def _members(part: list[Layer], mask: Flags, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """Surviving weights of some layers and the unit each belongs to."""
    index, groups, offset = [], [], 0
    for layer in part:
        alive = np.flatnonzero(mask[layer.place])
        own = layer.groups()
        index.append(alive + layer.start)
        groups.append(alive + layer.start if unit == "weight" else own[alive] + offset)
        offset += int(own.max()) + 1
    return np.concatenate(index), np.concatenate(groups)


def check_fraction(fraction: float) -> None:
    """Refuse a fraction outside (0, 1)."""
    if not 0 < fraction < 1:
        raise InputError(
            f"fraction = {fraction} is not a share of the weights",
            where="prune.fraction",
            why="each round removes this part of the surviving weights, so it lies between 0 and 1",
            fix="fraction = 0.12",
        )


def random_like(where: Layout, mask: Flags, rng: np.random.Generator) -> Flags:
    """A random mask with as many survivors in every layer."""
    new = mask.copy()
    for layer in where.layers:
        new[layer.place] = rng.permutation(mask[layer.place])
    return new


def shuffled(where: Layout, mask: Flags, rng: np.random.Generator) -> Flags:
    """A random mask with as many survivors into every neuron or filter."""
    new = mask.copy()
    for layer in where.layers:
        part, groups = mask[layer.place].copy(), layer.groups()
        for unit in np.unique(groups):
            part[groups == unit] = rng.permutation(part[groups == unit])
        new[layer.place] = part
    return new


def one_shot(where: Layout, theta: np.ndarray, keep: dict[str, int]) -> Flags:
    """The ``keep[name]`` largest weights of every layer."""
    mask = np.ones(where.total, bool)
    for layer in where.layers:
        order = np.argsort(np.abs(theta[layer.place]), kind="stable")
        part = np.ones(layer.size, bool)
        part[order[: layer.size - keep[layer.name]]] = False
        mask[layer.place] = part
    return mask
