"""From Hartree-Fock coefficients to neural orbitals: descriptors, message passing between atoms, the two networks.

Flipping the sign of a Hartree-Fock orbital flips the sign of its features and leaves its exponents alone, so that only
the sign of psi changes.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.core.molecule import ELEMENTS
from wavefoundry.models.electron_shape import Shape
from wavefoundry.models.layers import Dense

CHARGES = {symbol: number for number, symbol in enumerate(ELEMENTS, start=1)}
EDGE, RADIAL = 32, 16


class MLP(eqx.Module):
    """Dense layers with tanh after each, or after all but the last."""

    layers: tuple[Dense, ...]
    linear: bool = eqx.field(static=True)

    @classmethod
    def create(cls, key: PRNGKeyArray, widths: tuple[int, ...], dtype: jnp.dtype, *, linear: bool) -> MLP:
        """Random weights; ``linear``: no tanh after the last layer."""
        keys = jax.random.split(key, len(widths) - 1)
        sizes = zip(keys, widths[:-1], widths[1:], strict=True)
        return cls(tuple(Dense.create(k, n_in, n_out, dtype) for k, n_in, n_out in sizes), linear)

    def __call__(self, x: Array) -> Array:
        """All layers, tanh between them."""
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if not (self.linear and number == len(self.layers) - 1):
                x = jnp.tanh(x)
        return x


def descriptors(
    c: Float[Array, "atoms k 5"], charges: Float[Array, " atoms"], symbols: tuple[str, ...]
) -> Float[Array, "atoms k blocks"]:
    """Coefficients in the block of the atom's element, zero in all others."""
    blocks = []
    for symbol in symbols:
        width = 1 if symbol in ("H", "He") else 5
        here = (jnp.round(charges) == CHARGES[symbol]).astype(c.dtype)
        blocks.append(here[:, None, None] * c[..., :width])
    return jnp.concatenate(blocks, axis=-1)


class Messages(eqx.Module):
    """Messages between atoms for the descriptors of one orbital, odd in the descriptors.

    Source: arXiv 2303.09949 (orbital network).
    """

    edge: Dense
    rounds: tuple[tuple[Dense, Dense, Dense, Dense, Dense], ...]

    @classmethod
    def create(cls, key: PRNGKeyArray, shape: Shape, dtype: jnp.dtype) -> Messages:
        """Random weights; the descriptors keep their width."""
        keys = iter(jax.random.split(key, 1 + 5 * shape.messages))
        node = shape.descriptor
        sizes = ((EDGE, EDGE), (node, EDGE), (node, node), (EDGE, node), (node, node))
        rounds = tuple(
            tuple(Dense.create(next(keys), n_in, n_out, dtype) for n_in, n_out in sizes) for _ in range(shape.messages)
        )
        return cls(Dense.create(next(keys), 4 * RADIAL, EDGE, dtype), rounds)  # type: ignore[arg-type]

    def __call__(self, c: Float[Array, "atoms k d"], positions: Float[Array, "atoms 3"]) -> Float[Array, "atoms k d"]:
        """Coefficients after all rounds of messages; odd: the sign of the input is that of the output."""
        edges = jnp.tanh(self.edge(_edges(positions)))
        return self._pass(c, edges) - self._pass(-c, edges)

    def _pass(self, c: Array, edges: Array) -> Array:
        for gate, neighbour, own, message, last in self.rounds:
            m = jnp.einsum("abe,bke->ake", jax.nn.silu(gate(edges)), neighbour(c))
            c = jax.nn.silu(own(c) + message(m))
            c = (c + jnp.tanh(last(c))) * (0.5**0.5)
        return c


def _edges(positions: Float[Array, "atoms 3"]) -> Float[Array, "atoms atoms 64"]:
    """Radial functions of the distance of two atoms, alone and times the difference."""
    difference = positions[:, None] - positions
    d2 = jnp.sum(difference**2, axis=-1, keepdims=True)
    d = jnp.sqrt(jnp.where(d2 > 0, d2, 1.0)) * (d2 > 0)
    q = np.arange(RADIAL) / (RADIAL - 1)
    centres, widths = (5 * q**2).astype(positions.dtype), ((1 + 5 * q) / 7).astype(positions.dtype)
    radial = d2 * jnp.exp(-d - ((d - centres) / widths) ** 2)
    parts = jnp.concatenate([jnp.ones_like(d), difference], axis=-1)
    return (radial[..., None] * parts[..., None, :]).reshape(*radial.shape[:2], -1)


class Orbitals(eqx.Module):
    """Features (atoms, k, 2, determinants, width) and exponents (the same without width) of the orbitals of one spin.

    The axis of length 2: seen by an electron of the orbital's spin, or of the other.
    """

    messages: Messages | None
    features: MLP
    out: Float[Array, "hidden out"]
    exponents: MLP
    squares: bool = eqx.field(static=True)
    symbols: tuple[str, ...] = eqx.field(static=True)
    determinants: int = eqx.field(static=True)

    @classmethod
    def create(cls, key: PRNGKeyArray, shape: Shape, dtype: jnp.dtype) -> Orbitals:
        """Random weights."""
        k_messages, k_features, k_out, k_exponents = jax.random.split(key, 4)
        d = shape.descriptor
        out = Dense.create(k_out, shape.hidden[-1], 2 * shape.determinants * shape.width, dtype).kernel
        squares = not shape.small
        sizes = (2 * d if squares else d, *shape.exponents, 2 * shape.determinants)
        return cls(
            Messages.create(k_messages, shape, dtype) if shape.messages else None,
            MLP.create(k_features, (d, *shape.hidden), dtype, linear=False),
            out,
            MLP.create(k_exponents, sizes, dtype, linear=True),
            squares,
            shape.symbols,
            shape.determinants,
        )

    def __call__(self, c: Array, positions: Array, charges: Array) -> tuple[Array, Array]:
        """Features and exponents from the coefficients (atoms, k, 5)."""
        c = descriptors(c, charges, self.symbols)
        if self.messages is not None:
            c = self.messages(c, positions)
        odd = (self.features(c) - self.features(-c)) @ self.out
        # symmetrised over c before it is squared: else the sign of an orbital would matter
        plus, minus = (jnp.concatenate([s, s * s], axis=-1) if self.squares else s for s in (c, -c))
        even = jax.nn.softplus(1 + self.exponents(plus) + self.exponents(minus))
        shape = (*c.shape[:2], 2, self.determinants)
        width = odd.shape[-1] // (2 * self.determinants)
        return odd.reshape(*shape, width), even.reshape(shape)
