"""Small networks with generic weights, and dense matrices to compare with.

The engine does not care what the backbone is: one layer compiles in a fraction of the time of a transformer.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from tests.oracles import dense_matrix
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.heads import make_head
from wavefoundry.models.layers import Dense
from wavefoundry.problems import exact
from wavefoundry.problems.spins import LatticeSystem


class Perceptron(eqx.Module):
    """Features tanh(W x + b), W x + C c + b for a network that is given couplings c."""

    dense: Dense

    def __call__(self, condition: jax.Array | None, x: jax.Array) -> jax.Array:
        inputs = x.astype(self.dense.kernel.dtype)
        return jnp.tanh(self.dense(inputs if condition is None else jnp.append(inputs, condition)))


def _network(
    system: LatticeSystem,
    head: str = "real",
    *,
    width: int = 6,
    norm: bool = False,
    conditioned: tuple[int, ...] = (),
    precision: str = "float64",
    seed: int = 0,
) -> Wavefunction:
    key, dtype = jax.random.key(seed), jnp.dtype(precision)
    backbone = Perceptron(Dense.create(key, system.sites + len(conditioned), width, dtype))
    wavefunction = Wavefunction(backbone, make_head(key, width, head, norm, dtype), conditioned)
    params, static = eqx.partition(wavefunction, eqx.is_array)
    flat, unravel = ravel_pytree(params)
    # fresh biases and scales are 0 and 1 and would hide mistakes
    noise = 0.3 * np.random.default_rng(seed).normal(size=flat.shape)
    return eqx.combine(unravel(flat + noise.astype(flat.dtype)), static)


@pytest.fixture(scope="session")
def network() -> Callable[..., Wavefunction]:
    """``network(system, head, **options)``."""
    return _network


def _dense(system: LatticeSystem) -> np.ndarray:
    states = exact.basis(system.hilbert)
    turn = np.ones(len(states))
    if system.sublattice is not None:
        turn = np.where(np.asarray(system.sublattice), states, 1).prod(axis=1)
    matrices = [dense_matrix(operator).real for operator in system.operators]
    return np.stack([turn[:, None] * matrix * turn for matrix in matrices])


@pytest.fixture(scope="session")
def dense() -> Callable[[LatticeSystem], np.ndarray]:
    """``dense(system)``: matrix of every term by NetKet, (terms, states, states), with the Marshall rotation."""
    return _dense
