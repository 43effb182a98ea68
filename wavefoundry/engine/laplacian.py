"""Gradient and Laplacian of log|psi|, by four methods that agree.

``loop``: one directional second derivative after the other, little memory. ``vmap``: all at once. ``folx``: the forward
Laplacian (arXiv 2307.08214), one pass that carries value, Jacobian and Laplacian. ``hessian``: the trace of the full
matrix, for tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Method = Literal["loop", "vmap", "folx", "hessian"]
Scalar = Callable[[Array], Array]
PAIR = 6
"""Coordinates that a function of two particles depends on."""
SPARSE = 9
"""Particles from which on it pays to carry derivatives of pairs by their own coordinates alone (measured on a CPU)."""


class Derivatives(NamedTuple):
    """Of a scalar function at one configuration x (n, 3)."""

    gradient: Float[Array, "n 3"]
    laplacian: Float[Array, ""]


def loop(f: Scalar, x: Float[Array, "n 3"]) -> Derivatives:
    """Forward over reverse, one direction at a time."""
    flat = x.reshape(-1)
    gradient, along = jax.linearize(jax.grad(lambda y: f(y.reshape(x.shape))), flat)

    def add(k: Array, total: Array) -> Array:
        direction = jnp.zeros_like(flat).at[k].set(1.0)
        return total + along(direction)[k]

    total = jax.lax.fori_loop(0, flat.size, add, jnp.zeros((), flat.dtype))
    return Derivatives(gradient.reshape(x.shape), total)


def vmap(f: Scalar, x: Float[Array, "n 3"]) -> Derivatives:
    """Forward over reverse, all directions at once."""
    flat = x.reshape(-1)
    gradient, along = jax.linearize(jax.grad(lambda y: f(y.reshape(x.shape))), flat)
    return Derivatives(gradient.reshape(x.shape), jnp.trace(jax.vmap(along)(jnp.eye(flat.size, dtype=flat.dtype))))


def hessian(f: Scalar, x: Float[Array, "n 3"]) -> Derivatives:
    """Trace of the full second-derivative matrix."""
    flat = x.reshape(-1)
    g = lambda y: f(y.reshape(x.shape))  # noqa: E731
    return Derivatives(jax.grad(g)(flat).reshape(x.shape), jnp.trace(jax.hessian(g)(flat)))


def folx(f: Scalar, x: Float[Array, "n 3"]) -> Derivatives:
    """Forward Laplacian; of ``SPARSE`` particles and more with sparse derivatives of pairs."""
    from folx import ForwardLaplacianOperator

    flat = x.reshape(-1)
    operator = ForwardLaplacianOperator(PAIR if len(x) >= SPARSE else 0)
    laplacian, gradient = operator(lambda y: f(y.reshape(x.shape)))(flat)
    return Derivatives(gradient.reshape(x.shape), laplacian)


METHODS: dict[str, Callable[[Scalar, Array], Derivatives]] = {
    "loop": loop, "vmap": vmap, "folx": folx, "hessian": hessian
}  # fmt: skip
