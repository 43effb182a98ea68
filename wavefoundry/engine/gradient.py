"""Natural gradient (stochastic reconfiguration) on weighted samples, as quantum geometric tensor or as kernel.

Convention: force F = 2 Re <O* (Eloc - E)>, metric S = Re <O* O> centred, theta <- theta - lr (S + shift)^-1 F.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from wavefoundry.core.devices import mapped
from wavefoundry.core.numerics import exact_gram, gram, solve_damped
from wavefoundry.core.types import Batch, Psi, System, Wavefunction
from wavefoundry.engine.sampling import over_family


class Direction(NamedTuple):
    """A proposed update of the trained weights, before the learning rate."""

    update: Float[Array, " P"]
    shift: Float[Array, ""]  # the damping that was needed
    step_norm: Float[Array, ""]  # sqrt(update S update): rms change of log psi per unit learning rate
    change: Any = None  # (N,), rows update: the same for every row, where it is known


class Selection(NamedTuple):
    """The trained weights of a wavefunction: whole leaves, or single entries of leaves.

    ``split`` gives them as a list of flat pieces, ``join`` puts such a list back. Pieces are real: of complex weights
    the real parts, then the imaginary ones.
    """

    split: Callable[[PyTree], list[Array]]
    join: Callable[[PyTree, list[Array]], PyTree]

    def vector(self, params: PyTree) -> Float[Array, " P"]:
        """The trained weights as one vector."""
        return jnp.concatenate(self.split(params))

    def replace(self, params: PyTree, vector: Float[Array, " P"]) -> PyTree:
        """``params`` with the trained weights taken from a vector."""
        ends = np.cumsum([piece.shape[0] for piece in self.split(params)])[:-1]
        return self.join(params, jnp.split(vector, ends))


def select(trainable: PyTree) -> Selection:
    """Selection of weights from a pytree of booleans of the wavefunction's structure.

    Args:
        trainable: True/False for whole leaves, or a boolean numpy array for single weights of a leaf.
    """

    def parts(params: PyTree) -> tuple[list, list, Any]:
        leaves, structure = jax.tree.flatten(params)
        found: list[tuple[int, np.ndarray | None]] = []
        for i, (leaf, mask) in enumerate(zip(leaves, structure.flatten_up_to(trainable), strict=True)):
            if isinstance(mask, np.ndarray):
                found.append((i, np.flatnonzero(mask)))
            elif mask and eqx.is_inexact_array(leaf):
                found.append((i, None))
        return leaves, found, structure

    def split(params: PyTree) -> list[Array]:
        leaves, found, _ = parts(params)
        flat = (leaves[i].reshape(-1) if index is None else leaves[i].reshape(-1)[index] for i, index in found)
        return [jnp.concatenate([one.real, one.imag]) if jnp.iscomplexobj(one) else one for one in flat]

    def join(params: PyTree, pieces: list[Array]) -> PyTree:
        leaves, found, structure = parts(params)
        for (i, index), piece in zip(found, pieces, strict=True):
            old = leaves[i]
            if jnp.iscomplexobj(old):
                real, imaginary = jnp.split(piece, 2)
                piece = real + 1j * imaginary
            piece = piece.astype(old.dtype)
            leaves[i] = (piece if index is None else old.reshape(-1).at[index].set(piece)).reshape(old.shape)
        return jax.tree.unflatten(structure, leaves)

    return Selection(split, join)


def log_jacobian(
    params: PyTree, static: PyTree, selection: Selection, family: System, batch: Batch, chunk: int
) -> Float[Array, "R S parts P"]:
    """Derivatives of log|psi| and of the phase (parts = 1 when the phase is constant) for every sample."""

    def one(system: System, xs: PyTree) -> Array:
        def psi(pieces: list[Array], x: PyTree) -> Psi:
            wavefunction: Wavefunction = eqx.combine(selection.join(params, pieces), static)
            return wavefunction(system, x)

        def rows(x: PyTree) -> Array:
            value, pullback = jax.vjp(lambda pieces: psi(pieces, x), selection.split(params))
            one_, zero = jnp.ones_like(value.log), jnp.zeros_like(value.log)
            parts = [pullback(Psi(one_, zero))[0]]
            if not eqx.combine(params, static).real:
                parts.append(pullback(Psi(zero, one_))[0])
            return jnp.stack([jnp.concatenate(part) for part in parts])

        return mapped(rows, xs, chunk)

    return over_family(one, family, batch.x)


def centred_rows(
    jacobian: Float[Array, "R S parts P"], local_energy: Array, weight: Float[Array, "R S"]
) -> tuple[Float[Array, "N P"], Float[Array, " N"]]:
    """Weighted rows sqrt(w) (O - <O>) and right-hand side sqrt(w) (Eloc - E), centred per system.

    Real and imaginary parts are stacked as separate rows, so that Re <O* O> = rows^T rows. Systems count equally.
    """
    centred = local_energy - jnp.sum(weight * local_energy, axis=1, keepdims=True)
    return centred_jacobian(jacobian, weight), stacked_residual(centred * jnp.sqrt(weight), jacobian.shape[2])


def centred_jacobian(jacobian: Float[Array, "R S parts P"], weight: Float[Array, "R S"]) -> Float[Array, "N P"]:
    """The rows of ``centred_rows``."""
    # a matrix product: as an elementwise sum XLA fuses it into its consumer and computes it once per entry
    mean = jnp.einsum("rs,rspq->rpq", weight.astype(jacobian.dtype), jacobian, precision="highest")[:, None]
    root = jnp.sqrt(weight / weight.shape[0])
    rows = (jacobian - mean) * root.astype(jacobian.dtype)[:, :, None, None]
    return rows.reshape(-1, jacobian.shape[-1])


def stacked_residual(residual: Array, parts: int) -> Float[Array, " N"]:
    """sqrt(w) (Eloc - E) of every system (R, S) as the right-hand side that belongs to ``centred_jacobian``."""
    residual = residual / np.sqrt(residual.shape[0])
    return jnp.stack([jnp.real(residual), jnp.imag(residual)][:parts], axis=2).reshape(-1)


def natural_gradient(
    rows: Float[Array, "N P"],
    residual: Float[Array, " N"],
    shift: Float[Array, ""],
    previous: Float[Array, " P"],
    momentum: float,
    solver: str,
    *,
    single: bool = False,
) -> Direction:
    """Damped natural gradient with SPRING momentum.

    Args:
        rows, residual: from ``centred_rows``.
        shift: damping.
        previous: the last update (zero at the start).
        momentum: mu of SPRING; 0 is plain stochastic reconfiguration.
        solver: "kernel" (N x N, minSR), "qgt" (P x P), or "auto": the smaller of the two.
        single: products of float32 rows in float32, half the time. Only where the largest eigenvalue of the metric is
            some 10^4 times the damping at most: the error of the update is near 10^-8 of that ratio.

    Source: kernel form arXiv 2302.01941; SPRING arXiv 2401.10190.
    """
    n, p = rows.shape
    # float64 products: in float32 the rounding of a large eigenvalue exceeds the damping and spoils the solve
    # the barriers: XLA would compute the rows, or their transpose, anew for every block of the product
    dtype = rows.dtype if single else jnp.float64
    given = rows
    rows = jax.lax.optimization_barrier(rows.astype(dtype))

    def product(a: Array, b: Array) -> Array:
        return jnp.matmul(a.astype(dtype), b.astype(dtype), precision="highest").astype(jnp.float64)

    target = 2.0 * residual
    if momentum:
        target = target - momentum * product(rows, previous)
    if solver == "kernel" or (solver == "auto" and n <= p):
        y, used = solve_damped(gram(rows).astype(jnp.float64) if single else exact_gram(given), target, shift)
        update = product(y, rows)
    else:
        columns = jax.lax.optimization_barrier(rows.T)
        matrix = gram(columns).astype(jnp.float64) if single else exact_gram(given.T)
        update, used = solve_damped(matrix, product(columns, target), shift)
    if momentum:
        update = update + momentum * previous
    change = product(rows, update)
    return Direction(update, used, jnp.linalg.norm(change), change)
