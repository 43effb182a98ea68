"""The two layers everything is made of, for one configuration: features are the last axis."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def xavier(key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
    """Xavier uniform initial values; fan in and fan out are the last two axes."""
    bound = (6.0 / (shape[-1] + shape[-2])) ** 0.5
    return jax.random.uniform(key, shape, dtype, -bound, bound)


class Dense(eqx.Module):
    """Affine map of the last axis."""

    kernel: Float[Array, "n_in n_out"]
    bias: Float[Array, " n_out"]

    @classmethod
    def create(cls, key: PRNGKeyArray, n_in: int, n_out: int, dtype: jnp.dtype) -> Dense:
        """Xavier uniform kernel, zero bias."""
        return cls(xavier(key, (n_in, n_out), dtype), jnp.zeros(n_out, dtype))

    def __call__(self, x: Float[Array, "*n n_in"]) -> Float[Array, "*n n_out"]:
        """An affine map of the last axis."""
        return x @ self.kernel + self.bias


class LayerNorm(eqx.Module):
    """Normalise the last axis to mean 0 and variance 1, then scale and shift."""

    scale: Float[Array, " n"]
    shift: Float[Array, " n"]

    @classmethod
    def create(cls, n: int, dtype: jnp.dtype) -> LayerNorm:
        """Unit scale, zero shift."""
        return cls(jnp.ones(n, dtype), jnp.zeros(n, dtype))

    def __call__(self, x: Float[Array, "*m n"]) -> Float[Array, "*m n"]:
        """The last axis with mean 0 and variance 1, then scaled and shifted."""
        centred = x - jnp.mean(x, axis=-1, keepdims=True)
        variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + 1e-6) * self.scale + self.shift
