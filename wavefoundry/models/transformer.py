"""Vision transformer with factored attention for spins on chains and square lattices.

Translation-invariant as published; where the Hamiltonian is not, positions are embedded and attention is free.

Source: arXiv 2403.07795 (backbone and head), with the architecture its authors publish for these states.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from wavefoundry.core.errors import InputError
from wavefoundry.core.shapes import auto_patch, patch_edges
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.heads import make_head
from wavefoundry.models.layers import Dense, LayerNorm, xavier

FREE_PATCHES = 64
"""Most patches whose pairs all have attention weights of their own; more would outweigh the rest of the network."""


class Attention(eqx.Module):
    """Factored attention: weights depend on the displacement between patches alone, no queries or keys.

    A_i = W concat_mu sum_j alpha^mu_{j-i} V^mu x_j, or with a weight alpha^mu_ij of its own for every pair of patches.
    """

    value: Dense
    out: Dense
    alpha: Float[Array, "heads patches"] | Float[Array, "heads patches patches"]

    def __call__(self, x: Float[Array, "n d"], displacement: Int[np.ndarray, "n n"]) -> Float[Array, "n d"]:
        """Patches after attention by displacement."""
        n, d = x.shape
        heads = self.alpha.shape[0]
        values = self.value(x).reshape(n, heads, d // heads)
        alpha = self.alpha if self.alpha.ndim == 3 else self.alpha[:, displacement]
        mixed = jnp.einsum("hij,jhe->ihe", alpha, values)
        return self.out(mixed.reshape(n, d))


class Block(eqx.Module):
    """Pre-norm block: attention, then a feed-forward layer of four times the width."""

    norm_attention: LayerNorm
    attention: Attention
    norm_feed: LayerNorm
    up: Dense
    down: Dense

    @classmethod
    def create(
        cls, key: PRNGKeyArray, width: int, heads: int, patches: int, dtype: jnp.dtype, pairs: Array | None = None
    ) -> Block:
        """Xavier uniform kernels and attention weights, zero biases.

        Args:
            pairs: displacement of every pair of patches, where each is to have attention weights of its own; they
                start from the factored ones.
        """
        k = jax.random.split(key, 5)
        alpha = xavier(k[2], (heads, patches), dtype)
        attention = Attention(
            Dense.create(k[0], width, width, dtype),
            Dense.create(k[1], width, width, dtype),
            alpha if pairs is None else alpha[:, pairs],
        )
        return cls(
            LayerNorm.create(width, dtype),
            attention,
            LayerNorm.create(width, dtype),
            Dense.create(k[3], width, 4 * width, dtype),
            Dense.create(k[4], 4 * width, width, dtype),
        )

    def __call__(self, x: Float[Array, "n d"], displacement: Int[np.ndarray, "n n"]) -> Float[Array, "n d"]:
        """Patches after attention and a feed-forward layer, each added to what was there."""
        x = x + self.attention(self.norm_attention(x), displacement)
        return x + self.down(jax.nn.gelu(self.up(self.norm_feed(x))))


class ViTBackbone(eqx.Module):
    """Patches -> embedding -> blocks -> sum over patches -> layer norm.

    Invariant under shifts by whole patches, unless positions are embedded.
    """

    embedding: Dense
    blocks: Block  # stacked along a leading axis: compiled once, however deep the network is
    norm: LayerNorm
    extent: tuple[int, ...] = eqx.field(static=True)
    patch: tuple[int, ...] = eqx.field(static=True)  # its edges
    positions: Float[Array, "patches d"] | None = None  # added to the embedded patches

    def __call__(self, condition: Float[Array, " c"] | None, x: Array) -> Float[Array, " d"]:
        """Features z of one configuration.

        Args:
            condition: couplings given to every patch, or None.
            x: spins, (sites,), +-1; sites of a square lattice in row-major order.
        """
        tokens = patches(x, self.extent, self.patch).astype(self.embedding.kernel.dtype)
        if condition is not None:
            given = jnp.broadcast_to(condition.astype(tokens.dtype), (tokens.shape[0], condition.shape[0]))
            tokens = jnp.concatenate([tokens, given], axis=-1)
        displacement = displacements(self.extent, self.patch)
        embedded = self.embedding(tokens)
        if self.positions is not None:
            embedded = embedded + self.positions
        tokens, _ = jax.lax.scan(lambda t, block: (block(t, displacement), None), embedded, self.blocks, unroll=4)
        return self.norm(jnp.sum(tokens, axis=0))


def patches(x: Array, extent: tuple[int, ...], patch: int | tuple[int, ...]) -> Array:
    """Cut a configuration into patches of the given edges: (sites,) -> (patches, sites per patch)."""
    edges = patch_edges(patch, len(extent))
    if len(extent) == 1:
        return x.reshape(-1, edges[0])
    rows, columns = extent
    high, wide = edges
    blocks = x.reshape(rows // high, high, columns // wide, wide)
    return blocks.transpose(0, 2, 1, 3).reshape(-1, high * wide)


def displacements(extent: tuple[int, ...], patch: int | tuple[int, ...]) -> Int[np.ndarray, "n n"]:
    """Index of the periodic displacement j - i between patches i and j."""
    shape = tuple(edge // one for edge, one in zip(extent, patch_edges(patch, len(extent)), strict=True))
    positions = np.stack(np.unravel_index(np.arange(math.prod(shape)), shape), axis=-1)
    difference = (positions[None, :, :] - positions[:, None, :]) % np.array(shape)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(difference, -1, 0)), shape))


def _fitting(extent: tuple[int, ...], patch: int | tuple[int, ...], width: int, heads: int) -> tuple[int, ...]:
    """Edges of a patch, refused with the number of heads where they do not come out even."""
    edges = patch_edges(patch, len(extent))
    if len(edges) != len(extent) or any(map(operator.mod, extent, edges)):
        raise InputError(
            f"patch {patch} does not divide the lattice {'x'.join(map(str, extent))}",
            where="wavefunction.patch",
            why="every patch must hold the same number of sites",
            fix=f"use a divisor, for example patch = {auto_patch(extent)}",
        )
    if width % heads:
        raise InputError(
            f"heads {heads} does not divide width {width}",
            where="wavefunction.heads",
            why="the features are split evenly among the attention heads",
            fix=f"use a divisor of {width}",
        )
    return edges


def vit(  # noqa: PLR0913 - one for each option
    key: PRNGKeyArray,
    extent: tuple[int, ...],
    *,
    patch: int | tuple[int, ...],
    width: int,
    layers: int,
    heads: int,
    head: str = "complex",
    head_norm: bool = False,
    conditioned: tuple[int, ...] = (),
    precision: str = "float32",
    positions: bool = False,
) -> Wavefunction:
    """The vision transformer wavefunction for a lattice of the given extent.

    Args:
        key: random key of the initial weights.
        extent: (sites,) of a chain or (rows, columns) of a square lattice.
        patch: edges of a patch, one number for all of them; they must divide the edges of the lattice.
        width: number of features d.
        layers: number of blocks.
        heads: number of attention heads; must divide ``width``.
        head: "real" or "complex", see ``make_head``.
        head_norm: layer norms inside the head.
        conditioned: indices of the couplings the network is given as input (none by default).
        precision: dtype of the weights, "float32" or "float64".
        positions: embed the position of every patch, and give every pair of patches attention weights of its own (up
            to 64 patches): for Hamiltonians that shifts do not keep.

    Raises:
        InputError: patch or heads do not divide.
    """
    edges = _fitting(extent, patch, width, heads)
    dtype = jnp.dtype(precision)
    k_embed, k_head, *k_blocks = jax.random.split(key, 2 + layers)
    n_patches = math.prod(extent) // math.prod(edges)
    pairs = jnp.asarray(displacements(extent, edges)) if positions and n_patches <= FREE_PATCHES else None
    blocks = [Block.create(k, width, heads, n_patches, dtype, pairs) for k in k_blocks]
    backbone = ViTBackbone(
        Dense.create(k_embed, math.prod(edges) + len(conditioned), width, dtype),
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks),
        LayerNorm.create(width, dtype),
        tuple(extent),
        edges,
        xavier(jax.random.fold_in(k_embed, 1), (n_patches, width), dtype) if positions else None,
    )
    return Wavefunction(backbone, make_head(k_head, width, head, head_norm, dtype), conditioned)


def last_blocks(wavefunction: Wavefunction, count: int) -> PyTree[bool] | None:
    """Selection of the last blocks of a transformer with what comes after them: its last norm, and the head.

    Returns:
        None for other networks, and where no block would be left out.
    """

    def of(node: Any) -> Any:
        nothing = jax.tree.map(lambda _: False, node)
        if not isinstance(node, ViTBackbone):
            return nothing

        def rows(leaf: Array) -> np.ndarray:
            chosen = np.zeros(leaf.shape, bool)
            chosen[-count:] = True
            return chosen

        chosen = jax.tree.map(rows, node.blocks), jax.tree.map(lambda _: True, node.norm)
        return eqx.tree_at(lambda b: (b.blocks, b.norm), nothing, chosen)

    def is_backbone(node: Any) -> bool:
        return isinstance(node, ViTBackbone)

    arrays = eqx.filter(wavefunction, eqx.is_array)
    found = [node for node in jax.tree.leaves(arrays, is_leaf=is_backbone) if is_backbone(node)]
    if not found or any(node.blocks.down.kernel.shape[0] <= count for node in found):
        return None
    selection = jax.tree.map(of, arrays, is_leaf=is_backbone)
    return eqx.tree_at(lambda w: w.head, selection, jax.tree.map(lambda _: True, arrays.head))
