"""The samples of one step and their energies: from Metropolis, partly moved on, or out of a list."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from wavefoundry.core.devices import shared
from wavefoundry.core.types import Batch, System, Wavefunction, without_features
from wavefoundry.engine.one_move import images, move
from wavefoundry.engine.sampling import Walkers, members, over_family, systematic


class Options(NamedTuple):
    """Settings of the process that are compiled in.

    moves: Metropolis moves between steps. chunk: configurations evaluated at a time. trust: largest rms change of
    log psi in one step (the update is scaled down to it). moved: share of the samples that is moved on by the
    Hamiltonian (``engine.one_move``), so that the gradient sees what |psi|^2 does not meet; not where all
    configurations are listed. finite: local energies enter as steps of imaginary time of finite length (``finite``).
    largest: growth of log |psi| of a single sample in one step. drawn: of listed configurations, how many a step
    takes; 0: all of them.

    optimiser: of Optax, in place of the schedule of learning rates; it is given the gradient of the energy.
    preconditioner: (rows, right, shift) -> update, in place of the natural gradient, or before an optimiser; see
    ``natural_gradient``. sampler: in place of ``metropolis``, with its arguments.
    """

    moves: int
    chunk: int
    solver: str = "auto"
    momentum: float = 0.0
    trust: float = 0.3
    moved: float = 0.0
    finite: bool = False
    largest: float = math.inf
    drawn: int = 0
    optimiser: optax.GradientTransformation | None = None
    preconditioner: Callable[[Array, Array, Array], Array] | None = None
    sampler: Callable[[Wavefunction, System, Walkers, int, int], Walkers] | None = None


class Sampled(NamedTuple):
    """The samples of a step and their energies; axes (R, S)."""

    batch: Batch
    root: Float[Array, "R S"]  # of the weights: their squares sum to 1
    residual: Array  # root * (local energy - E)
    energy: Array  # (R,)
    variance: Float[Array, " R"]


def sampled(batch: Batch, root: Array, values: Array) -> Sampled:
    """Samples whose energies say all that is known; ``values``: root * local energy."""
    energy = jnp.sum(root * values, axis=1)
    residual = values - energy[:, None] * root
    return Sampled(batch, root, residual, energy, jnp.sum(jnp.abs(residual) ** 2, axis=1))


def local_energies(wavefunction: Wavefunction, family: System, batch: Batch, chunk: int) -> Array:
    """Term-wise local energies of a batch: (R, S, terms)."""
    state = without_features(wavefunction)

    def one(system: System, xs: PyTree) -> Array:
        local = system.expand_batch(state.bind(system), xs, chunk)
        return shared(jax.vmap(lambda part: system.contract(state.head, part)), local)  # type: ignore[arg-type]

    return over_family(one, family, batch.x)


def moved_on(family: System, x: PyTree, key: PRNGKeyArray, count: int) -> PyTree:
    """The last ``count`` samples of every member moved on by its Hamiltonian."""
    keys = jax.random.split(key, (jax.tree.leaves(x)[0].shape[0], count))

    def one(system: System, xs: PyTree, ks: PRNGKeyArray) -> PyTree:
        there = jax.vmap(lambda k, y: move(system, k, y))(ks, xs[-count:])
        return jnp.concatenate([xs[:-count], there])

    return over_family(one, family, x, keys)


def mixed_energies(wavefunction: Wavefunction, family: System, x: PyTree, stay: float, chunk: int) -> Sampled:
    """Energies of samples of which a share was moved on, with the weights that follow from their density.

    Args:
        wavefunction: the state. family: stacked systems. x: samples, axes (R, S). stay: share that was not moved.
        chunk: configurations evaluated at a time.
    """
    state = without_features(wavefunction)

    def one(system: System, xs: PyTree) -> tuple[Array, Array]:
        local = system.expand_batch(state.bind(system), xs, chunk)
        found = images(system, state.head, xs, local, stay)  # type: ignore[arg-type]
        norm = jnp.sqrt(jnp.sum(found.amplitude**2))
        return found.amplitude / norm, found.values @ system.couplings / norm

    root, values = over_family(one, family, x)
    return sampled(Batch(x, root**2), root, values)


def drawn(wavefunction: Wavefunction, family: System, key: PRNGKeyArray, options: Options) -> Sampled:
    """Listed configurations for one step: all of them, or those that say most, with energies of the whole sum.

    A configuration is taken with a probability that follows |psi|^2 and |(H - E) psi|^2 in equal parts, by systematic
    sampling without replacement: what carries much of either is always there.

    Args:
        family: stacked ``EnumeratedSystem``. options: ``drawn`` of them; 0, or as many as there are: all.
    """

    def one(system: Any, k: PRNGKeyArray) -> tuple[Array, Array, Array, Array, Array]:
        psi, h_psi = system.act(wavefunction, options.chunk)
        energy = jnp.real(jnp.vdot(psi, h_psi))
        residual = h_psi - energy * psi
        size, variance = jnp.abs(psi), jnp.sum(jnp.abs(residual) ** 2)
        # the phase of psi taken out, as in local energies
        residual = residual * (jnp.conj(psi) / jnp.maximum(size, 1e-300)) if jnp.iscomplexobj(psi) else residual
        if not 0 < options.drawn < len(psi):
            return system.states, size, residual, energy, variance
        share = 0.5 * size**2 + 0.5 * jnp.abs(residual) ** 2 / jnp.maximum(variance, 1e-300)
        chosen, probability = systematic(k, share, options.drawn)
        root = size[chosen] / jnp.sqrt(probability)
        norm = jnp.linalg.norm(root)
        return system.states[chosen], root / norm, residual[chosen] / jnp.sqrt(probability) / norm, energy, variance

    keys = jax.random.split(key, members(family))
    x, root, residual, energy, variance = over_family(one, family, keys)
    return Sampled(Batch(x, root**2), root, residual, energy, variance)
