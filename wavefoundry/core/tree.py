"""Pytrees of weights: flattening by name for storage, selection of what is trained, stacking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wavefoundry.core.errors import IntegrityError


def to_arrays(tree: PyTree, prefix: str = "") -> dict[str, np.ndarray]:
    """All array leaves by their path, for the store. Random keys are stored as their raw data.

    Args:
        tree: any pytree; leaves that are not arrays are skipped (they are structure).
        prefix: put in front of every name.
    """
    out: dict[str, np.ndarray] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if eqx.is_array(leaf):
            data = jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
            out[prefix + jax.tree_util.keystr(path)] = np.asarray(data)
    return out


def name_of(path: Any) -> str:
    """The name of a leaf as users write it: ``backbone.blocks.0.kernel``."""
    return jax.tree_util.keystr(path).replace("[", ".").replace("]", "").replace("'", "").strip(".")


def owner(tree: PyTree, path: Sequence[Any]) -> Any:
    """The object that a leaf belongs to: what its path leads to without the last step."""
    for step in path[:-1]:
        match step:
            case jax.tree_util.GetAttrKey():
                tree = getattr(tree, step.name)
            case jax.tree_util.SequenceKey():
                tree = tree[step.idx]
            case jax.tree_util.DictKey():
                tree = tree[step.key]
            case _:
                return None
    return tree


def from_arrays(template: PyTree, arrays: dict[str, np.ndarray], prefix: str = "") -> PyTree:
    """Put stored arrays back into a pytree of the same structure.

    Args:
        template: a pytree with the wanted structure, shapes and dtypes; arrays need no values.
        arrays: what ``to_arrays`` gave.
        prefix: as in ``to_arrays``.

    Raises:
        IntegrityError: an array is missing or has another shape or dtype.
    """

    def restore(path: Any, leaf: Any) -> Any:
        if not eqx.is_array(leaf) and not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        name = prefix + jax.tree_util.keystr(path)
        if name not in arrays:
            raise IntegrityError(f"the stored state has no array {name!r}: it belongs to another model or version")
        value, key = arrays[name], jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        expected = jax.eval_shape(jax.random.key_data, leaf) if key else leaf
        if value.shape != expected.shape or value.dtype != expected.dtype:
            found, wanted = f"{value.shape} {value.dtype}", f"{expected.shape} {expected.dtype}"
            raise IntegrityError(f"stored array {name!r} is {found}, the model needs {wanted}")
        return jax.random.wrap_key_data(jnp.asarray(value)) if key else jnp.asarray(value)

    return jax.tree_util.tree_map_with_path(restore, template)


def rows(x: PyTree, index: Any) -> PyTree:
    """Some entries of the leading axis of every array, taken on the host: that is not worth compiled programs.

    Args:
        x: arrays. index: whatever indexes an axis.
    """
    return jax.tree.map(lambda a: np.asarray(a)[index], x)


def head_only(wavefunction: PyTree) -> PyTree[bool]:
    """Selection that trains the head and freezes everything else."""
    nothing = jax.tree.map(lambda _: False, wavefunction)
    return eqx.tree_at(lambda w: w.head, nothing, jax.tree.map(eqx.is_inexact_array, wavefunction.head))


def all_weights(wavefunction: PyTree) -> PyTree[bool]:
    """Selection that trains every real weight."""
    return jax.tree.map(eqx.is_inexact_array, wavefunction)


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Stack the arrays of equally shaped pytrees along a new leading axis (a family)."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves) if eqx.is_array(leaves[0]) else leaves[0], *trees)


def take(tree: PyTree, index: int | Array) -> PyTree:
    """One member of a stacked pytree."""
    return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, tree)


def count(tree: PyTree, selection: PyTree[bool] | None = None) -> int:
    """Number of real weights, of all or of the selected leaves."""
    chosen = tree if selection is None else eqx.filter(tree, selection)
    return sum(leaf.size for leaf in jax.tree.leaves(chosen) if eqx.is_inexact_array(leaf))
