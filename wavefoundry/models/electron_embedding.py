"""Embedding of electrons: what every electron knows about the nuclei and the other electrons around it.

All sums run over electrons or atoms, so no weight belongs to a molecule. Nothing is sorted and no maximum taken: the
embedding has continuous first derivatives away from the nuclei, as the local energy demands.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.models.electron_shape import Shape
from wavefoundry.models.layers import Dense, xavier

CORE = 0.2
"""Distance (bohr) of two electrons within a core."""
TINY = 1e-30
"""Added to squared distances from nuclei: an electron at a nucleus has an amplitude, too."""


class Pairs(NamedTuple):
    """Which pairs of electrons there are: fixed by their number and spins, so known when a program is compiled.

    Where a feature of (i, j) is one of (j, i) as well, every pair is listed once, and no electron with itself.
    """

    i: np.ndarray  # (p,) electrons of each pair, those of the same spin first
    j: np.ndarray
    same: int  # how many pairs have the same spin
    place: np.ndarray  # (n, m) the pair of electron i and its m-th neighbour
    neighbour: np.ndarray  # (n, m) that neighbour

    @classmethod
    def of(cls, n: int, n_up: int, *, symmetric: bool) -> Pairs:
        """All pairs of n electrons, the first n_up of them with spin up."""
        i, j = np.triu_indices(n, 1) if symmetric else np.indices((n, n)).reshape(2, -1)
        different = (i < n_up) != (j < n_up)
        order = np.argsort(different, kind="stable")
        i, j = i[order], j[order]
        place = np.zeros((n, n), int)
        place[i, j] = np.arange(len(i))
        neighbour = np.tile(np.arange(n), (n, 1))
        if symmetric:
            place[j, i] = np.arange(len(i))
            apart = ~np.eye(n, dtype=bool)
            place, neighbour = place[apart].reshape(n, -1), neighbour[apart].reshape(n, -1)
        return cls(i, j, int(np.sum(~different)), place, neighbour)


class PairFeatures(NamedTuple):
    """Features of pairs before the first layer, and how much a pair at that distance counts (None: all alike)."""

    electrons: Float[Array, "p e"]
    nuclei: Float[Array, "n atoms 4"]
    weight_electrons: Float[Array, " p"] | None
    weight_nuclei: Float[Array, "n atoms"] | None


def rounded(r: Float[Array, "n atoms"], charges: Float[Array, " atoms"]) -> Float[Array, "n atoms"]:
    """Distances to nuclei without their kinks there, and far away as they are: r + exp(-Z r) / Z."""
    return r + jnp.exp(-charges * r) / charges


def pair_features(
    x: Array, positions: Array, listed: Pairs, *, smooth: bool, reach: float, charges: Array | None = None
) -> PairFeatures:
    """Pair features of one configuration.

    Args:
        x: (n, 3) electrons. positions: (atoms, 3) nuclei. listed: pairs of electrons.
        charges: (atoms,) of the nuclei where features are smooth there too, see ``rounded``; else None.
        smooth: log(1 + r^2) between electrons (no kink where two electrons meet, so that the cusp is left to the
            Jastrow factor alone) and log(1 + r), d log(1 + r) / r to nuclei. Otherwise plain distances and differences,
            as in arXiv 2303.09949.
        reach: pairs count with exp(-(r / reach)^2), in bohr; infinite: all alike.
    """
    to_nuclei = x[:, None] - positions
    r2_nuclei = jnp.sum(to_nuclei**2, axis=-1)
    r_nuclei = jnp.sqrt(r2_nuclei + TINY)[..., None]
    between = x[listed.i] - x[listed.j]
    r2 = jnp.sum(between**2, axis=-1)
    if smooth:
        far = r_nuclei if charges is None else rounded(r_nuclei[..., 0], charges)[..., None]
        scale = jnp.log1p(far) / far
        nuclei = jnp.concatenate([scale * far, scale * to_nuclei], axis=-1)
        electrons = jnp.log1p(r2)[..., None]
        if charges is not None:
            inside = 1 / (1 + charges**2 * r2_nuclei)
            nuclei = jnp.concatenate([nuclei, inside[..., None]], axis=-1)
            electrons = jnp.concatenate([electrons, 1 / (1 + r2[..., None] / CORE**2)], axis=-1)
    else:
        itself = jnp.asarray(listed.i == listed.j, x.dtype)
        r = jnp.sqrt(r2 + itself) * (1 - itself)
        nuclei = jnp.concatenate([r_nuclei, to_nuclei], axis=-1)
        electrons = jnp.concatenate([r[..., None], between], axis=-1)
    if math.isinf(reach):
        return PairFeatures(electrons, nuclei, None, None)
    return PairFeatures(electrons, nuclei, jnp.exp(-r2 / reach**2), jnp.exp(-r2_nuclei / reach**2))


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


def _by_spin(same: Dense, different: Dense, g: Float[Array, "p e"], listed: Pairs) -> Float[Array, "p out"]:
    """A layer for pairs of the same spin and another for those of different spin."""
    k = listed.same
    parts = [layer(some) for layer, some in ((same, g[:k]), (different, g[k:])) if len(some)]
    return jnp.tanh(jnp.concatenate(parts))


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
    cusp: bool = eqx.field(static=True, default=False)

    @classmethod
    def create(cls, key: PRNGKeyArray, shape: Shape, dtype: jnp.dtype) -> Embedding:
        """Random weights."""
        keys = iter(jax.random.split(key, 8 * shape.layers + 3))

        def dense(n_in: int, n_out: int) -> Dense:
            return Dense.create(next(keys), n_in, n_out, dtype)

        pair, width, conv = shape.pair, shape.width, shape.convolution
        table = xavier(next(keys), (shape.elements, pair), dtype)
        e_in, q_in, h_in = (1, 4, 1) if shape.small else (4, 4, 1)
        if shape.cusp:
            e_in, q_in = e_in + 1, q_in + 1
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
        return cls(table, lift, tuple(layers), small=shape.small, reach=shape.reach, cusp=shape.cusp)

    def __call__(
        self, x: Float[Array, "n 3"], n_up: int, positions: Float[Array, "atoms 3"], charges: Float[Array, " atoms"]
    ) -> Float[Array, "n width"]:
        """Embedding of every electron of one configuration."""
        n = x.shape[0]
        listed = Pairs.of(n, n_up, symmetric=self.small)
        round_at = charges if self.cusp else None
        first = pair_features(x, positions, listed, smooth=self.small, reach=self.reach, charges=round_at)
        g, q = first.electrons, first.nuclei
        if self.lift is not None:
            g, q = jnp.tanh(self.lift[0](g)), jnp.tanh(self.lift[1](q))
        z = self.table[jnp.round(charges).astype(int) - 1]
        h = jnp.ones((1, 1), x.dtype)  # all electrons are alike in the first layer
        for layer in self.layers:
            near = q if first.weight_nuclei is None else first.weight_nuclei[..., None] * q
            from_nuclei = jnp.einsum("iac,ac->ic", near, jnp.tanh(layer.element(z)))
            received = _received(layer, g, h, listed, first.weight_electrons)
            h = jnp.broadcast_to(h, (n, h.shape[-1]))
            parts = [h, received, from_nuclei]
            if not self.small:
                parts[1:1] = [jnp.broadcast_to(_mean(h[:n_up]), h.shape), jnp.broadcast_to(_mean(h[n_up:]), h.shape)]
            new = jnp.tanh(layer.update(jnp.concatenate(parts, axis=-1)))
            h = residual(h, new) if self.small else new
            if layer.pair_same is not None and layer.pair_different is not None and layer.pair_nuclei is not None:
                if len(listed.i):
                    g = residual(g, _by_spin(layer.pair_same, layer.pair_different, g, listed))
                q = residual(q, jnp.tanh(layer.pair_nuclei(q)))
        return h


def _received(layer: Layer, g: Array, h: Array, listed: Pairs, weight: Array | None) -> Float[Array, "n conv"]:
    """Sum over the other electrons of what they send, filtered by the features of the pair."""
    sent = jnp.tanh(layer.sender(h))
    if not len(listed.i):
        return jnp.zeros((len(listed.place), sent.shape[-1]), sent.dtype)
    filters = _by_spin(layer.same, layer.different, g, listed)
    if weight is not None:
        filters = weight[:, None] * filters
    filters = filters[listed.place]
    if len(sent) == 1:
        return jnp.sum(filters, axis=1) * sent
    return jnp.sum(filters * sent[listed.neighbour], axis=1)


def _mean(h: Float[Array, "k width"]) -> Float[Array, " width"]:
    """Mean over electrons of one spin; 0 where there is none."""
    return jnp.sum(h, axis=0) / max(h.shape[0], 1)
