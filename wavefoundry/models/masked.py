"""Networks some of whose weights are held at zero: a mask stands before them, so that no gradient reaches them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, PyTree


def masked(network: PyTree, mask: Sequence[Array | np.ndarray | None]) -> Any:
    """The network with zeros where a mask is False; differentiable.

    Args:
        network: any pytree of weights.
        mask: one for each of its real arrays, in the order of the leaves; None leaves an array whole.
    """
    params, rest = eqx.partition(network, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(params)
    kept = [leaf if one is None else leaf * one.astype(leaf.dtype) for leaf, one in zip(leaves, mask, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, kept), rest)


class Masked(eqx.Module):
    """A wavefunction with its mask, which is an array like any other: programs are compiled once for all masks.

    network: as it was built. mask: one for each of its real arrays.
    """

    network: Any
    mask: tuple[Array, ...]

    @classmethod
    def of(cls, network: Any, kept: Bool[np.ndarray, " P"]) -> Masked:
        """The network with a flag for every real weight, in the order of its leaves."""
        shapes = [leaf.shape for leaf in jax.tree.leaves(network) if eqx.is_inexact_array(leaf)]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        parts = zip(np.split(np.asarray(kept, bool), ends), shapes, strict=True)
        return cls(network, tuple(jax.numpy.asarray(part.reshape(shape)) for part, shape in parts))

    def whole(self) -> Any:
        """The network itself, with zeros where weights are gone."""
        return masked(self.network, self.mask)

    @property
    def head(self) -> Any:
        """Of the network: from features to amplitudes."""
        return self.whole().head

    @property
    def real(self) -> bool:
        """Whether amplitudes are real up to their sign."""
        return self.network.real

    @property
    def dtype(self) -> Any:
        """Of the weights."""
        return self.network.dtype

    def bind(self, system: Any) -> Any:
        """The features as a function of the configuration, see the network."""
        return self.whole().bind(system)

    def __call__(self, system: Any, x: Array) -> Any:
        """The amplitude of a configuration, see the network."""
        return self.whole()(system, x)
