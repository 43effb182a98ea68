"""Supervised pre-training: the network's orbitals learn those of Hartree-Fock, for all molecules at once."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from wavefoundry.core.programs import once
from wavefoundry.core.types import Process, Run
from wavefoundry.engine.families import Moves, sample, start
from wavefoundry.engine.sampling import Walkers, over_family
from wavefoundry.problems.electrons import ElectronSystem, HartreeFockState

Families = tuple[ElectronSystem, ...]


def mismatch(wavefunction: Any, system: ElectronSystem, x: Float[Array, "S n 3"]) -> Float[Array, ""]:
    """Mean square distance of the orbital matrices from those of Hartree-Fock, which vanish between unlike spins.

    Source: arXiv 2303.09949 (there the blocks between unlike spins are kept slightly above zero).
    """
    bound, n_up = wavefunction.prepare(system), system.n_up

    def one(r: Array) -> Array:
        found, _, _ = wavefunction.matrices(bound, r.astype(wavefunction.dtype))
        up, down = system.orbitals(r)
        electrons = jnp.arange(r.shape[0])[:, None]
        wanted = jnp.concatenate(
            [jnp.where(electrons < n_up, up, 0.0), jnp.where(electrons >= n_up, down, 0.0)], axis=1
        )
        return jnp.mean((found - wanted.astype(found.dtype)) ** 2)

    return jnp.mean(jax.vmap(one)(x))


@once
def matching(static: PyTree, moves: Moves) -> Process:
    """Adam on the orbitals of all members of all families, with samples of the Hartree-Fock determinants.

    Args:
        static: the non-array part of the wavefunction. moves: between steps.

    Returns:
        ``init(key, params, families, chains) -> Run`` and ``step(run, families, learning_rate) -> (Run, losses)``, with
        the losses (members of all families, in their order).
    """
    adam = optax.scale_by_adam()
    guide = HartreeFockState()

    def init(key: PRNGKeyArray, params: PyTree, families: Families, chains: int) -> Run:
        return Run(params, start(key, families, chains), adam.init(params), jnp.zeros((), int))

    def losses(params: PyTree, families: Families, walkers: tuple[Walkers, ...]) -> Array:
        wavefunction = eqx.combine(params, static)
        each = [
            over_family(lambda s, x: mismatch(wavefunction, s, x), family, w.x)
            for family, w in zip(families, walkers, strict=True)
        ]
        return jnp.concatenate(each)

    def step(run: Run, families: Families, learning_rate: Array) -> tuple[Run, Array]:
        walkers = tuple(sample(guide, family, w, moves) for family, w in zip(families, run.sampler, strict=True))

        def mean(params: PyTree) -> tuple[Array, Array]:
            every = losses(params, families, walkers)
            return jnp.mean(every), every

        (_, every), slope = jax.value_and_grad(mean, has_aux=True)(run.params)
        update, opt = adam.update(slope, run.opt, run.params)
        params = jax.tree.map(lambda p, u: (p - learning_rate * u).astype(p.dtype), run.params, update)
        return Run(params, walkers, opt, run.step + 1), every

    return Process(init, step)
