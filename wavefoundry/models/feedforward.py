"""One layer without bias: log psi is the sum of the activations of its hidden units. All amplitudes are positive."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wavefoundry.core.errors import InputError
from wavefoundry.core.numerics import log_cosh
from wavefoundry.core.types import Psi, Wavefunction

ACTIVATIONS = {
    "logcosh": (log_cosh, jnp.tanh),
    "relu": (jax.nn.relu, lambda y: (y > 0).astype(y.dtype)),
}
"""Activation and its derivative; all vanish at zero, so that a unit without weights can be removed."""


class SumHead(eqx.Module):
    """log psi = sum of all features. No weights."""

    real: bool = eqx.field(static=True, default=True)

    def __call__(self, z: Float[Array, " width"]) -> Psi:
        """Positive amplitude, its logarithm the sum of the features."""
        log = jnp.sum(z)
        return Psi(log, jnp.zeros_like(log))


class DenseBackbone(eqx.Module):
    """Hidden units act(sum_i x_i W_ih), without bias."""

    kernel: Float[Array, "sites hidden"]
    activation: str = eqx.field(static=True)

    def __call__(self, condition: Array | None, x: Array) -> Float[Array, " hidden"]:
        """Activations of all hidden units."""
        return ACTIVATIONS[self.activation][0](x.astype(self.kernel.dtype) @ self.kernel)

    def log_derivatives(self, x: Float[Array, "S sites"], index: Int[Array, " P"]) -> Float[Array, "S P"]:
        """D log psi / d W of the weights ``index`` (row-major) alone; an index beyond the last gives zeros.

        The cost grows with the number of weights asked for, not with the size of the layer.
        """
        sites, hidden = self.kernel.shape
        x = x.astype(self.kernel.dtype)
        slope = ACTIVATIONS[self.activation][1](x @ self.kernel)
        row, column = jnp.minimum(index // hidden, sites - 1), index % hidden
        return jnp.where(index < sites * hidden, x[:, row] * slope[:, column], 0.0)


def dense(
    key: PRNGKeyArray,
    extent: tuple[int, ...],
    *,
    alpha: float = 4.0,
    activation: str = "logcosh",
    std: float = 0.1,
    precision: str = "float64",
) -> Wavefunction:
    """Log psi(x) = sum_h act(sum_i x_i W_ih) with rint(alpha * sites) hidden units.

    Source: arXiv 2505.22734, feed-forward network (there with ReLU and std 0.01).

    Args:
        key: random key of the initial weights.
        extent: edges of the lattice.
        alpha: hidden units per site.
        activation: "logcosh" or "relu".
        std: standard deviation of the initial weights.
        precision: "float32" or "float64".

    Raises:
        InputError: unknown activation, or no hidden unit.
    """
    if activation not in ACTIVATIONS:
        raise InputError(
            f"unknown activation {activation!r}",
            where="wavefunction.activation",
            fix=f"one of {', '.join(ACTIVATIONS)}",
        )
    sites = math.prod(extent)
    hidden = round(alpha * sites)
    if hidden < 1:
        raise InputError(
            "the layer is empty",
            where="wavefunction.alpha",
            why=f"alpha = {alpha} gives no hidden unit on {sites} sites",
        )
    kernel = std * jax.random.normal(key, (sites, hidden), jnp.dtype(precision))
    return Wavefunction(DenseBackbone(kernel, activation), SumHead())
