"""Smaller networks with the same amplitudes: units that no surviving weight reaches are taken out."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.convnet import ConvBackbone, ResidualBlock, ResNetBackbone
from wavefoundry.models.feedforward import DenseBackbone
from wavefoundry.models.transformer import Block, ViTBackbone


def without_dead(wavefunction: Wavefunction) -> Wavefunction:
    """The same function of the configuration with fewer units.

    Dense: hidden units without weights. Convolution: filters without weights. Residual network: inner channels that no
    weight enters or leaves. Vision transformer: units of the feed-forward layers that no weight enters (their constant
    joins the bias) or leaves; all blocks keep as many as the fullest one.

    Args:
        wavefunction: pruned weights are exactly zero.

    Raises:
        InputError: a network of another kind.
    """
    backbone: Any = wavefunction.backbone
    if isinstance(backbone, DenseBackbone):
        new: Any = eqx.tree_at(lambda b: b.kernel, backbone, backbone.kernel[:, _alive(backbone.kernel)])
    elif isinstance(backbone, ConvBackbone):
        kernel = backbone.conv.kernel
        new = eqx.tree_at(lambda b: b.conv.kernel, backbone, kernel[..., _alive(kernel)])
    elif isinstance(backbone, ResNetBackbone):
        new = eqx.tree_at(lambda b: b.blocks, backbone, tuple(_residual(block) for block in backbone.blocks))
    elif isinstance(backbone, ViTBackbone):
        new = eqx.tree_at(lambda b: b.blocks, backbone, _feed_forward(backbone.blocks))
    else:
        kind = type(backbone).__name__
        raise InputError(f"{kind} cannot be made smaller", where="compact", why="its units are not known")
    return eqx.tree_at(lambda w: w.backbone, wavefunction, new)


def _alive(kernel: Any) -> np.ndarray:
    """Outputs with any weight; one at least, so that the network keeps its form."""
    found = np.flatnonzero(np.any(np.asarray(kernel).reshape(-1, kernel.shape[-1]) != 0, axis=0))
    return found if found.size else np.array([0])


def _residual(block: ResidualBlock) -> ResidualBlock:
    first, second = np.asarray(block.first.kernel), np.asarray(block.second.kernel)
    entered = np.any(first.reshape(-1, first.shape[-1]) != 0, axis=0)
    left = np.any(np.moveaxis(second, -2, 0).reshape(second.shape[-2], -1) != 0, axis=1)
    keep = np.flatnonzero(entered & left)
    keep = keep if keep.size else np.array([0])
    where = lambda b: (b.first.kernel, b.second.kernel)  # noqa: E731
    return eqx.tree_at(where, block, (block.first.kernel[..., keep], block.second.kernel[..., keep, :]))


def _feed_forward(blocks: Block) -> Block:
    up, down, bias = (np.asarray(part) for part in (blocks.up.kernel, blocks.down.kernel, blocks.up.bias))
    entered, left = np.any(up != 0, axis=1), np.any(down != 0, axis=2)  # (layers, hidden)
    alive = entered & left
    size = max(1, int(alive.sum(axis=1).max()))
    constant = np.asarray(jax.nn.gelu(jnp.asarray(bias)))
    order = np.argsort(~alive, axis=1, kind="stable")[:, :size]
    kept = np.zeros_like(alive)
    np.put_along_axis(kept, order, True, axis=1)
    # a unit that nothing enters is a constant: it moves into the bias of the next layer
    moved = np.einsum("lh,lhd->ld", np.where(kept, 0.0, constant), down)
    pick = lambda part, axis: np.take_along_axis(part, np.expand_dims(order, axis), axis=2 if axis == 1 else 1)  # noqa: E731
    values = (pick(up, 1), np.take_along_axis(bias, order, axis=1), pick(down, 2), np.asarray(blocks.down.bias) + moved)
    where = lambda b: (b.up.kernel, b.up.bias, b.down.kernel, b.down.bias)  # noqa: E731
    dtype = blocks.up.kernel.dtype
    return eqx.tree_at(where, blocks, tuple(jnp.asarray(value, dtype) for value in values))
