"""Convolutional networks with positive amplitudes: one layer of filters, or residual blocks. No biases.

Kernels have the axes (edge, ..., channels in, channels out); zero padding on open lattices, wrapped on periodic ones.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.core.types import Wavefunction
from wavefoundry.models.feedforward import SumHead
from wavefoundry.models.layers import LayerNorm


def he_normal(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """Normal initial values with variance 2 / fan in."""
    fan_in = 1
    for edge in shape[:-1]:
        fan_in *= edge
    return jax.random.normal(key, shape, dtype) * jnp.asarray((2.0 / fan_in) ** 0.5, dtype)


class Conv(eqx.Module):
    """Convolution of the leading axes of (*extent, channels)."""

    kernel: Float[Array, "..."]
    periodic: bool = eqx.field(static=True)

    @classmethod
    def create(
        cls, key: PRNGKeyArray, edges: tuple[int, ...], n_in: int, n_out: int, periodic: bool, dtype: jnp.dtype
    ) -> Conv:
        """He normal kernel."""
        return cls(he_normal(key, (*edges, n_in, n_out), dtype), periodic)

    def __call__(self, x: Float[Array, "*extent n_in"]) -> Float[Array, "*extent n_out"]:
        """The convolution, round the edges or with zeros beyond them."""
        edges = self.kernel.shape[:-2]
        around = [((edge - 1) // 2, edge // 2) for edge in edges]
        x = jnp.pad(x, [*around, (0, 0)], mode="wrap" if self.periodic else "constant")
        axes = "XY"[: len(edges)]
        numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
        return jax.lax.conv_general_dilated(
            x[None], self.kernel, (1,) * len(edges), "VALID", dimension_numbers=numbers
        )[0]


class ConvBackbone(eqx.Module):
    """One convolution, GELU (tanh form); features are the activations of all filters on all sites."""

    conv: Conv
    extent: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, condition: Array | None, x: Array) -> Float[Array, " features"]:
        """All channels of all sites, one after the other."""
        grid = x.astype(self.conv.kernel.dtype).reshape(*self.extent, 1)
        return jax.nn.gelu(self.conv(grid)).reshape(-1)


class ResidualBlock(eqx.Module):
    """x + conv(GELU(conv(GELU(layer norm of x))))."""

    norm: LayerNorm
    first: Conv
    second: Conv

    def __call__(self, x: Float[Array, "*extent channels"]) -> Float[Array, "*extent channels"]:
        """The same grid with what two convolutions add to it."""
        return x + self.second(jax.nn.gelu(self.first(jax.nn.gelu(self.norm(x)))))


class ResNetBackbone(eqx.Module):
    """Embedding, residual blocks, layer norm, sum over sites."""

    embedding: Conv
    blocks: tuple[ResidualBlock, ...]
    norm: LayerNorm
    extent: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, condition: Array | None, x: Array) -> Float[Array, " channels"]:
        """Channels, summed over sites."""
        grid = self.embedding(x.astype(self.embedding.kernel.dtype).reshape(*self.extent, 1))
        for block in self.blocks:
            grid = block(grid)
        return jnp.sum(self.norm(grid).reshape(-1, grid.shape[-1]), axis=0)


def conv(
    key: PRNGKeyArray,
    extent: tuple[int, ...],
    *,
    channels: int = 4,
    window: int = 3,
    periodic: bool = True,
    precision: str = "float64",
) -> Wavefunction:
    """Log psi = sum over sites and filters of GELU(convolution of the spins).

    Source: arXiv 2505.22734, CNN (4 filters of 3 x 3: 36 weights).

    Args:
        key: random key of the initial weights. extent: edges of the lattice. channels: filters.
        window: edge of a filter. periodic: wrap at the edges instead of zeros. precision: "float32" or "float64".
    """
    layer = Conv.create(key, (window,) * len(extent), 1, channels, periodic, jnp.dtype(precision))
    return Wavefunction(ConvBackbone(layer, tuple(extent)), SumHead())


def resnet(
    key: PRNGKeyArray,
    extent: tuple[int, ...],
    *,
    channels: int = 16,
    blocks: int = 4,
    window: int = 3,
    periodic: bool = True,
    precision: str = "float32",
) -> Wavefunction:
    """Residual convolutional network; 16 channels and 4 blocks have 144 + 18 432 kernel weights.

    Source: arXiv 2505.22734, ResCNN.

    Args:
        key: random key of the initial weights. extent: edges of the lattice. channels: filters of every convolution.
        blocks: residual blocks of two convolutions. window, periodic, precision: as in ``conv``.
    """
    dtype, edges = jnp.dtype(precision), (window,) * len(extent)
    k_embed, *keys = jax.random.split(key, 1 + 2 * blocks)
    made = tuple(
        ResidualBlock(
            LayerNorm.create(channels, dtype),
            Conv.create(a, edges, channels, channels, periodic, dtype),
            Conv.create(b, edges, channels, channels, periodic, dtype),
        )
        for a, b in zip(keys[::2], keys[1::2], strict=True)
    )
    embedding = Conv.create(k_embed, edges, 1, channels, periodic, dtype)
    return Wavefunction(ResNetBackbone(embedding, made, LayerNorm.create(channels, dtype), tuple(extent)), SumHead())
