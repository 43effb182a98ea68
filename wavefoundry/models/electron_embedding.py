"""Embedding of electrons: what every electron knows about the nuclei and the other electrons around it.

All sums run over electrons or atoms, so no weight belongs to a molecule. Nothing is sorted and no maximum taken: the
embedding has continuous first derivatives away from the nuclei, as the local energy demands.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.models.electron_shape import Shape
from wavefoundry.models.layers import Dense, xavier


class Pairs(eqx.Module):
    """Features of pairs before the first layer, and how much a pair at that distance counts."""

    electrons: Float[Array, "n n e"]
    nuclei: Float[Array, "n atoms 4"]
    weight_electrons: Float[Array, "n n"]
    weight_nuclei: Float[Array, "n atoms"]


def pairs(x: Array, positions: Array, *, smooth: bool, reach: float) -> Pairs:
    """Pair features of one configuration.

    Args:
        x: (n, 3) electrons. positions: (atoms, 3) nuclei.
        smooth: log(1 + r^2) between electrons (no kink where two electrons meet, so that the cusp is left to the
            Jastrow factor alone) and log(1 + r), d log(1 + r) / r to nuclei. Otherwise plain distances and differences,
            as in arXiv 2303.09949.
        reach: pairs count with exp(-(r / reach)^2), in bohr; infinite: all alike.
    """
    n = x.shape[0]
    to_nuclei = x[:, None] - positions
    r2_nuclei = jnp.sum(to_nuclei**2, axis=-1)
    r_nuclei = jnp.sqrt(r2_nuclei)[..., None]
    between = x[:, None] - x
    r2 = jnp.sum(between**2, axis=-1)
    if smooth:
        scale = jnp.log1p(r_nuclei) / r_nuclei
        nuclei = jnp.concatenate([scale * r_nuclei, scale * to_nuclei], axis=-1)
        electrons = jnp.log1p(r2)[..., None]
    else:
        diagonal = jnp.eye(n, dtype=x.dtype)
        r = jnp.sqrt(r2 + diagonal) * (1 - diagonal)
        nuclei = jnp.concatenate([r_nuclei, to_nuclei], axis=-1)
        electrons = jnp.concatenate([r[..., None], between], axis=-1)
    if math.isinf(reach):
        return Pairs(electrons, nuclei, jnp.ones_like(r2), jnp.ones_like(r2_nuclei))
    return Pairs(electrons, nuclei, jnp.exp(-r2 / reach**2), jnp.exp(-r2_nuclei / reach**2))


class Layer(eqx.Module):
    """One exchange of messages; the pair updates are absent in the last layer."""

    same: Dense
    different: Dense
    sender: Dense
    element: Dense
    update: Dense
    pair_same: Dense | None
    pair_different: Dense | None
    pair_nuclei: Dense | None


def residual(x: Array, y: Array) -> Array:
    """(x + y) / sqrt(2) where widths agree, else y."""
    return (x + y) * (0.5**0.5) if x.shape[-1] == y.shape[-1] else y


class Embedding(eqx.Module):
    """FermiNet streams with SchNet convolutions; h_i is made of distances to nuclei and electrons alone.

    The variant for small networks (``small``): pair features are lifted to ``pair`` channels before the first layer,
    an electron is no pair with itself, h has a residual, and no means over all electrons enter.

    Source: arXiv 2303.09949 ("dpe4").
    """

    table: Float[Array, "elements pair"]
    lift: tuple[Dense, Dense] | None
    layers: tuple[Layer, ...]
    small: bool = eqx.field(static=True)
    reach: float = eqx.field(static=True)

    @classmethod
    def create(cls, key: PRNGKeyArray, shape: Shape, dtype: jnp.dtype) -> Embedding:
        """Random weights."""
        keys = iter(jax.random.split(key, 8 * shape.layers + 3))

        def dense(n_in: int, n_out: int) -> Dense:
            return Dense.create(next(keys), n_in, n_out, dtype)

        pair, width, conv = shape.pair, shape.width, shape.convolution
        table = xavier(next(keys), (shape.elements, pair), dtype)
        e_in, q_in, h_in = (1, 4, 1) if shape.small else (4, 4, 1)
        lift = None
        if shape.small:
            lift, e_in, q_in = (dense(e_in, pair), dense(q_in, pair)), pair, pair
        layers = []
        for number in range(shape.layers):
            x_in = (1 if shape.small else 3) * h_in + conv + q_in
            messages = (dense(e_in, conv), dense(e_in, conv), dense(h_in, conv), dense(pair, q_in), dense(x_in, width))
            last = number == shape.layers - 1
            updates = (None,) * 3 if last else (dense(e_in, pair), dense(e_in, pair), dense(q_in, pair))
            layers.append(Layer(*messages, *updates))
            h_in, e_in, q_in = width, pair, pair
        return cls(table, lift, tuple(layers), small=shape.small, reach=shape.reach)

    def __call__(
        self, x: Float[Array, "n 3"], n_up: int, positions: Float[Array, "atoms 3"], charges: Float[Array, " atoms"]
    ) -> Float[Array, "n width"]:
        """Embedding of every electron of one configuration."""
        n = x.shape[0]
        first = pairs(x, positions, smooth=self.small, reach=self.reach)
        g, q = first.electrons, first.nuclei
        if self.lift is not None:
            g, q = jnp.tanh(self.lift[0](g)), jnp.tanh(self.lift[1](q))
        up = np.arange(n) < n_up
        alike = jnp.asarray(up[:, None] == up, x.dtype)[..., None]
        weight = first.weight_electrons[..., None]
        if self.small:
            weight = weight * (1 - jnp.eye(n, dtype=x.dtype))[..., None]
        z = self.table[jnp.round(charges).astype(int) - 1]
        h = jnp.ones((n, 1), x.dtype)
        for layer in self.layers:
            filters = alike * jnp.tanh(layer.same(g)) + (1 - alike) * jnp.tanh(layer.different(g))
            from_electrons = jnp.einsum("ijc,jc->ic", weight * filters, jnp.tanh(layer.sender(h)))
            from_nuclei = jnp.einsum("iac,ac->ic", first.weight_nuclei[..., None] * q, jnp.tanh(layer.element(z)))
            parts = [h, from_electrons, from_nuclei]
            if not self.small:
                parts[1:1] = [jnp.broadcast_to(_mean(h[:n_up]), h.shape), jnp.broadcast_to(_mean(h[n_up:]), h.shape)]
            new = jnp.tanh(layer.update(jnp.concatenate(parts, axis=-1)))
            h = residual(h, new) if self.small else new
            if layer.pair_same is not None and layer.pair_different is not None and layer.pair_nuclei is not None:
                both = alike * jnp.tanh(layer.pair_same(g)) + (1 - alike) * jnp.tanh(layer.pair_different(g))
                g, q = residual(g, both), residual(q, jnp.tanh(layer.pair_nuclei(q)))
        return h


def _mean(h: Float[Array, "k width"]) -> Float[Array, " width"]:
    """Mean over electrons of one spin; 0 where there is none."""
    return jnp.sum(h, axis=0) / max(h.shape[0], 1)
