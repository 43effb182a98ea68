"""What a study will take: memory of its largest arrays before it begins, time as soon as a step has been timed."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from wavefoundry.adapt.pool import only_member
from wavefoundry.core import tree
from wavefoundry.core.types import Wavefunction

DEAF = 5.0
"""Seconds that a block of steps may take: for so long a stop is not heard."""


def solve_bytes(wavefunction: Wavefunction, samples: int, solver: str = "auto") -> int:
    """Least memory of a natural-gradient step: derivatives of all samples, and the matrix that is solved for.

    Args:
        wavefunction: the network. samples: of all members of a family together. solver: as in the study file.
    """
    weights = tree.count(wavefunction)
    rows = samples * (1 if wavefunction.real else 2)
    side = {"qgt": weights, "kernel": rows}.get(solver, min(weights, rows))
    kind = max((leaf.dtype.itemsize for leaf in jax.tree.leaves(wavefunction) if hasattr(leaf, "dtype")), default=4)
    # the derivatives and their centred copy; the matrix and its factor
    return 2 * rows * weights * kind + 2 * 8 * side**2


def pool_bytes(wavefunction: Wavefunction, family: Any, samples: int) -> int:
    """Memory of one pool: features of its samples and of all configurations they are connected to.

    Args:
        wavefunction: the network. family: of one member. samples: of the pool.
    """
    system = only_member(family)

    def one(x: Any) -> Any:
        return system.expand(lambda y: wavefunction.features(system, y), x)

    x = jax.eval_shape(system.init, jax.random.key(0))
    leaves = jax.tree.leaves(jax.eval_shape(one, x))
    return samples * sum(leaf.size * jnp.dtype(leaf.dtype).itemsize for leaf in leaves)


def duration(seconds: float) -> str:
    """A time in words: ``"40 s"``, ``"12 min"``, ``"3.5 h"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
