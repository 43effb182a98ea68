"""Small networks with generic weights, exact sums over small Hilbert spaces, and pools of exact samples.

Head tuning does not care what the backbone is: one layer compiles in a fraction of the time of a transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


class Exact:
    """Everything about one system by dense linear algebra over all D configurations."""

    def __init__(self, system: LatticeSystem):
        self.system, self.states = system, exact.basis(system.hilbert)
        turn = np.ones(len(self.states))
        if system.sublattice is not None:
            turn = np.where(np.asarray(system.sublattice), self.states, 1).prod(axis=1)
        terms = [dense_matrix(operator).real for operator in system.operators]
        self.terms = np.stack([turn[:, None] * term * turn for term in terms])
        self._psi = jax.jit(lambda head, z: jax.vmap(head)(z))

    def features(self, wavefunction: Wavefunction) -> jax.Array:
        """Features of all configurations, (D, width)."""
        return jax.jit(jax.vmap(lambda x: wavefunction.features(self.system, x)))(jnp.asarray(self.states))

    def amplitudes(self, head: Any, z: jax.Array) -> np.ndarray:
        """Normalised psi of a head, (D,)."""
        log, phase = map(np.asarray, self._psi(head, z))
        psi = np.exp(log - log.max() + 1j * phase)
        return psi / np.linalg.norm(psi)

    def local(self, psi: np.ndarray) -> np.ndarray:
        """Term-wise local energies, (terms, D)."""
        return self.terms @ psi / psi

    def energy(self, psi: np.ndarray, couplings: Any) -> float:
        """<H> at given couplings."""
        return float(np.real(np.vdot(psi, np.tensordot(np.asarray(couplings), self.terms, 1) @ psi)))


@pytest.fixture(scope="session")
def exactly() -> type[Exact]:
    """``exactly(system)``."""
    return Exact


def _moved(head: Any, size: float, seed: int = 0) -> Any:
    weights = head.weights()
    return head.with_weights(weights + size * np.random.default_rng(seed).normal(size=weights.shape))


@pytest.fixture(scope="session")
def moved() -> Callable[..., Any]:
    """``moved(head, size, seed)``: the same head with other weights."""
    return _moved
