"""Heads: from features z to the amplitude. Small on purpose: this is what adaptation re-optimises."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.core.numerics import log_cosh, log_cosh_complex
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.models.layers import Dense, LayerNorm


class RealHead(eqx.Module):
    """Positive amplitudes: log psi = sum_a log cosh(b_a + w_a . z), all real. For sign-free Hamiltonians.

    Source: arXiv 2403.07795, output layer of the wavefunction, restricted to its real part.
    """

    dense: Dense
    norm: LayerNorm | None
    real: bool = eqx.field(static=True, default=True)

    def weights(self) -> Float[Array, "width+1 hidden"]:
        """Kernel with the bias as last row."""
        return jnp.concatenate([self.dense.kernel, self.dense.bias[None]])

    def with_weights(self, weights: Float[Array, "width+1 hidden"]) -> RealHead:
        """The same head with other weights."""
        return eqx.tree_at(lambda h: h.dense, self, Dense(weights[:-1], weights[-1]))

    def outer(self, y: Float[Array, " hidden"]) -> Psi:
        """Amplitude from the pre-activations."""
        log = jnp.sum(log_cosh(y if self.norm is None else self.norm(y)))
        return Psi(log, jnp.zeros_like(log))

    def __call__(self, z: Float[Array, " width"]) -> Psi:
        """Positive amplitude."""
        return self.outer(self.dense(z))


class ComplexHead(eqx.Module):
    """log psi = sum_a log cosh(b_a + w_a . z) with complex w, b, stored as two real layers.

    Source: arXiv 2403.07795, output layer; the optional layer norms on both parts follow the authors' later code.
    """

    re: Dense
    im: Dense
    norm_re: LayerNorm | None
    norm_im: LayerNorm | None
    real: bool = eqx.field(static=True, default=False)

    def weights(self) -> Float[Array, "width+1 hidden"]:
        """Kernels of the real and of the imaginary part side by side, the biases as last row."""
        kernel = jnp.concatenate([self.re.kernel, self.im.kernel], axis=1)
        return jnp.concatenate([kernel, jnp.concatenate([self.re.bias, self.im.bias])[None]])

    def with_weights(self, weights: Float[Array, "width+1 hidden"]) -> ComplexHead:
        """The same head with other weights."""
        re, im = jnp.split(weights, 2, axis=1)
        layers = (Dense(re[:-1], re[-1]), Dense(im[:-1], im[-1]))
        return eqx.tree_at(lambda h: (h.re, h.im), self, layers)

    def outer(self, y: Float[Array, " hidden"]) -> Psi:
        """Amplitude and phase from the pre-activations."""
        re, im = jnp.split(y, 2)
        re = re if self.norm_re is None else self.norm_re(re)
        im = im if self.norm_im is None else self.norm_im(im)
        log, phase = log_cosh_complex(re, im)
        return Psi(jnp.sum(log), jnp.sum(phase))

    def __call__(self, z: Float[Array, " width"]) -> Psi:
        """Amplitude with a phase."""
        return self.outer(jnp.concatenate([self.re(z), self.im(z)]))


def with_head_weights(wavefunction: Wavefunction, weights: Float[Array, "width+1 hidden"]) -> Wavefunction:
    """The wavefunction with other weights in its head, in the precision that the head has."""
    head: Any = wavefunction.head
    new = head.with_weights(jnp.asarray(weights, head.weights().dtype))
    return eqx.tree_at(lambda w: w.head, wavefunction, new)


def make_head(key: PRNGKeyArray, width: int, kind: str, norm: bool, dtype: jnp.dtype) -> RealHead | ComplexHead:
    """A head with ``width`` hidden units.

    Args:
        kind: "real" (positive amplitudes) or "complex".
        norm: layer norms before the log cosh; a head with norms is not holomorphic in its complex weights.
    """
    k1, k2 = jax.random.split(key)
    norms = [LayerNorm.create(width, dtype) if norm else None for _ in range(2)]
    if kind == "real":
        return RealHead(Dense.create(k1, width, width, dtype), norms[0])
    im = Dense.create(k2, width, width, dtype)
    # start close to a positive state: random phases cost the optimisation its first hundred steps
    im = Dense(0.01 * im.kernel, im.bias)
    return ComplexHead(Dense.create(k1, width, width, dtype), im, norms[0], norms[1])
