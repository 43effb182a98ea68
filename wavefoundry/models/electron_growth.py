"""Larger electronic networks from smaller ones: the same wavefunction, with more weights to go on with.

What is new takes random weights and adds nothing at first, so that nothing learned is lost (arXiv 1511.05641). New
determinants repeat the old ones, each with a little noise of its own: equal ones would stay equal.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from wavefoundry.models.electron_embedding import Embedding, Layer
from wavefoundry.models.electron_orbitals import MLP, Orbitals
from wavefoundry.models.electron_shape import Shape
from wavefoundry.models.electron_wavefunction import ElectronWavefunction, Jastrow
from wavefoundry.models.layers import Dense

NOISE = 0.005
"""Relative noise of the features of repeated determinants: less than sampling sees, and it parts them."""
SIZES = ("width", "pair", "convolution", "determinants", "hidden", "exponents", "jastrow", "nuclear", "elements")
"""What may grow."""


def changed(old: Shape, new: Shape) -> str:
    """What makes the grown network another function at first, which training has to mend; empty where nothing does."""
    if new.cusp != old.cusp:
        return "cusp = true: nothing but the cusp has kinks at nuclei any more"
    return "" if new.reach == old.reach else f"reach = {new.reach:g}, and that was {old.reach:g}"


def obstacle(old: Shape, new: Shape) -> str:
    """Why a network of shape ``old`` cannot be grown to ``new``; empty where nothing hinders."""
    for field in dataclasses.fields(Shape):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if before == after or field.name == "reach" or (field.name == "cusp" and after):
            continue
        if field.name not in SIZES:
            return f"{field.name} = {_said(after)}, and that was {_said(before)}: only sizes can grow"
        pairs = zip(before, after, strict=True) if isinstance(before, tuple) else [(before, after)]
        if isinstance(before, tuple) and len(before) != len(after):
            return f"{field.name} = {_said(after)}, and that was {_said(before)}: layers cannot be added"
        if any(b > a for b, a in pairs):
            return f"{field.name} = {_said(after)}, and that was {_said(before)}: nothing can shrink"
    if new.determinants % old.determinants:
        return f"determinants = {new.determinants}, no multiple of {old.determinants}: each is repeated equally often"
    if bool(old.jastrow) != bool(new.jastrow):
        return f"jastrow = {new.jastrow}, and there was none: the cusp it brings changes the wavefunction"
    # the first layer has residuals where the features that it is given are as many as those that it makes
    residuals = [(not shape.small and shape.pair == 4, shape.width == 1) for shape in (old, new)]
    same = residuals[0] == residuals[1]
    return "" if same else f"pair = {new.pair}, width = {new.width}: the first layer would gain or lose a residual"


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def grown(
    key: PRNGKeyArray, small: ElectronWavefunction, old: Shape, large: ElectronWavefunction, new: Shape
) -> ElectronWavefunction:
    """The weights of ``small`` in the network ``large``, whose own random ones are left where nothing was.

    The same wavefunction up to rounding, but for ``changed`` and the noise of repeated determinants.

    Args:
        key: of the noise of repeated determinants. small, large: networks of the shapes ``old`` and ``new``, which
            ``obstacle`` has nothing against.
    """
    small = jax.tree.map(lambda x: x.astype(large.dtype) if eqx.is_inexact_array(x) else x, small)
    keys = jax.random.split(key, len(large.orbitals))
    orbitals = tuple(
        _orbitals(k, mine, old, own, new) for k, mine, own in zip(keys, small.orbitals, large.orbitals, strict=True)
    )
    jastrow = large.jastrow
    if jastrow is not None and small.jastrow is not None:
        jastrow = _jastrow(small.jastrow, jastrow)
    return ElectronWavefunction(_embedding(small.embedding, old, large.embedding, new), orbitals, jastrow, large.head)


def _sections(before: tuple[int, ...], after: tuple[int, ...]) -> np.ndarray:
    """Where the old ones of concatenated features are: each part begins with them."""
    starts = np.concatenate([[0], np.cumsum(after)[:-1]])
    return np.concatenate([start + np.arange(n) for start, n in zip(starts, before, strict=True)])


def _dense(small: Dense, large: Dense, inputs: np.ndarray | None = None) -> Dense:
    """Old outputs, the first ones, see the old inputs alone; by default these are the first ones, too."""
    n_in, n_out = small.kernel.shape
    rows = np.arange(n_in) if inputs is None else inputs
    kernel = large.kernel.at[:, :n_out].set(0.0).at[rows, :n_out].set(small.kernel)
    return Dense(kernel, large.bias.at[:n_out].set(small.bias))


def _mlp(small: MLP, large: MLP) -> MLP:
    return MLP(tuple(_dense(*both) for both in zip(small.layers, large.layers, strict=True)), large.linear)


def _embedding(small: Embedding, old: Shape, large: Embedding, new: Shape) -> Embedding:
    rows, columns = small.table.shape
    table = large.table.at[:rows, :columns].set(small.table)
    lift = large.lift
    if lift is not None and small.lift is not None:
        lift = (_dense(small.lift[0], lift[0]), _dense(small.lift[1], lift[1]))
    layers = []
    for mine, own in zip(small.layers, large.layers, strict=True):
        h = [layer.sender.kernel.shape[0] for layer in (mine, own)]
        q = [layer.element.kernel.shape[1] for layer in (mine, own)]
        means = 0 if new.small else 2
        parts = [(h[i],) * (1 + means) + (shape.convolution, q[i]) for i, shape in enumerate((old, new))]
        found = {}
        for field in dataclasses.fields(Layer):
            before, after = getattr(mine, field.name), getattr(own, field.name)
            inputs = _sections(*parts) if field.name == "update" else None
            found[field.name] = None if before is None else _dense(before, after, inputs)
        layers.append(Layer(**found))
    return eqx.tree_at(lambda e: (e.table, e.lift, e.layers), large, (table, lift, tuple(layers)), is_leaf=_none)


def _none(x: Any) -> bool:
    return x is None


def _orbitals(key: PRNGKeyArray, small: Orbitals, old: Shape, large: Orbitals, new: Shape) -> Orbitals:
    times = new.determinants // old.determinants
    features, exponents = _mlp(small.features, large.features), large.exponents
    out = jnp.tile(small.out.reshape(-1, 2, old.determinants, old.width), (1, 1, times, 1))
    if times > 1:
        out = out * (1 + NOISE * jax.random.normal(key, out.shape, out.dtype))
    place = jnp.zeros((large.out.shape[0], 2, new.determinants, new.width), out.dtype)
    place = place.at[: out.shape[0], :, :, : old.width].set(out)
    before, last = small.exponents.layers[:-1], small.exponents.layers[-1]
    hidden = tuple(_dense(*both) for both in zip(before, exponents.layers[:-1], strict=True))
    rows = jnp.concatenate([last.kernel, last.bias[None]]).reshape(-1, 2, old.determinants)
    rows = jnp.tile(rows, (1, 1, times)).reshape(len(rows), -1)
    kernel = jnp.zeros_like(exponents.layers[-1].kernel).at[: len(rows) - 1].set(rows[:-1])
    return Orbitals(
        small.messages, features, place.reshape(large.out.shape),
        MLP((*hidden, Dense(kernel, rows[-1])), exponents.linear), large.squares, large.symbols, large.determinants,
    )  # fmt: skip


def _jastrow(small: Jastrow, large: Jastrow) -> Jastrow:
    nuclear = large.nuclear
    if nuclear is not None:
        nuclear = jnp.zeros_like(nuclear)
        if small.nuclear is not None:
            rows, terms = small.nuclear.shape
            nuclear = nuclear.at[:rows, :terms].set(small.nuclear)
    return Jastrow(small.log_range, _mlp(small.network, large.network), nuclear)
