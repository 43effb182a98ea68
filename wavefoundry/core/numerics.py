"""Numerics shared by models, engine and adaptation: stable functions and damped solves."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def log_cosh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Log cosh of a real argument, without overflow."""
    y = jnp.abs(x)
    return y + jnp.log1p(jnp.exp(-2 * y)) - jnp.asarray(jnp.log(2.0), x.dtype)


def log_cosh_complex(re: Float[Array, "*s"], im: Float[Array, "*s"]) -> tuple[Array, Array]:
    """Real and imaginary part of log cosh(re + i im), without overflow and without complex numbers.

    |cosh|^2 = sinh(re)^2 + cos(im)^2; the imaginary part is the principal argument of cosh.
    """
    y = jnp.abs(re)
    shrink = jnp.exp(-2 * y)
    # |cosh|^2 = e^{2y}/4 (1 + 2 cos(2 im) e^{-2y} + e^{-4y}); the bracket is a sum of squares, kept above zero
    bracket = (1 - shrink) ** 2 + 4 * shrink * jnp.cos(im) ** 2
    tiny = jnp.finfo(re.dtype).tiny
    log = y - jnp.asarray(jnp.log(2.0), re.dtype) + 0.5 * jnp.log(jnp.maximum(bracket, tiny))
    phase = jnp.arctan2(jnp.where(re < 0, -1, 1) * (1 - shrink) * jnp.sin(im), (1 + shrink) * jnp.cos(im))
    return log, phase


def gram(rows: Float[Array, "n p"], block: int | None = None) -> Float[Array, "n n"]:
    """Rows rows^T; on CPUs blocks of the lower triangle alone, which is up to half the work of a plain product."""
    n = rows.shape[0]
    if block is None and jax.default_backend() != "cpu":  # there every block would be one more kernel to tune
        return jnp.matmul(rows, rows.T, precision="highest")
    block = block or (128 if max(rows.shape) <= 1024 else 256)
    lower = jnp.zeros((n, n), rows.dtype)
    for start in range(0, n, block):
        part = rows[start : start + block]
        end = start + part.shape[0]
        product = jnp.matmul(part, rows[:end].T, precision="highest")
        lower = jax.lax.dynamic_update_slice(lower, product, (start, 0))
    return jnp.tril(lower) + jnp.tril(lower, -1).T


def exact_gram(rows: Float[Array, "n p"], columns: int = 1024) -> Float[Array, "n n"]:
    """Rows rows^T in float64. Of float32 rows the products run in float32, a block of columns at a time.

    Rounding then stays below 1e-7 of the largest element, a tenth of what one long float32 product makes of it, at half
    the time of float64 products.
    """
    if rows.dtype != jnp.float32:
        return gram(rows).astype(jnp.float64)
    n, p = rows.shape
    blocks = jnp.pad(rows, ((0, 0), (0, -p % columns))).reshape(n, -1, columns)

    def add(k: Array, total: Float[Array, "n n"]) -> Float[Array, "n n"]:
        return total + gram(blocks[:, k]).astype(jnp.float64)

    return jax.lax.fori_loop(0, blocks.shape[1], add, jnp.zeros((n, n)))


def factor_damped(
    matrix: Float[Array, "n n"], shift: Float[Array, ""], tries: int = 4
) -> tuple[Float[Array, "n n"], Float[Array, ""]]:
    """Lower Cholesky factor of matrix + shift 1, the shift raised tenfold for as long as rounding spoils it.

    Returns:
        The factor and the shift that worked; an infinite shift when none did.
    """
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)

    def attempt(lam: Array) -> Array:
        # two to three times faster than jax.scipy.linalg, which symmetrises and copies
        return jax.lax.linalg.cholesky(matrix + lam * eye, symmetrize_input=False)

    def failed(state: tuple[Array, Array, Array]) -> Array:
        factor, _, k = state
        return jnp.logical_and(~jnp.all(jnp.isfinite(factor)), k < tries)

    def retry(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        _, lam, k = state
        return attempt(10 * lam), 10 * lam, k + 1

    shift = jnp.asarray(shift, matrix.dtype)
    factor, shift, _ = jax.lax.while_loop(failed, retry, (attempt(shift), shift, jnp.array(0)))
    return factor, jnp.where(jnp.all(jnp.isfinite(factor)), shift, jnp.inf)


def solve_factored(
    factor: Float[Array, "n n"], shift: Float[Array, ""], rhs: Float[Array, " n"]
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Solution for what ``factor_damped`` returned, and its shift.

    All zeros, with an infinite shift, where the factor or the right-hand side is no good: the caller's step is then
    empty instead of wrong.
    """
    solve = functools.partial(jax.lax.linalg.triangular_solve, factor, left_side=True, lower=True)
    x = solve(solve(rhs[:, None]), transpose_a=True)[:, 0]
    good = jnp.isfinite(shift) & jnp.all(jnp.isfinite(x))
    return jnp.where(good, x, 0.0), jnp.where(good, shift, jnp.inf)


def solve_damped(
    matrix: Float[Array, "n n"], rhs: Float[Array, " n"], shift: Float[Array, ""]
) -> tuple[Float[Array, " n"], Float[Array, ""]]:
    """Solve (matrix + shift 1) x = rhs by Cholesky: ``factor_damped``, then ``solve_factored``."""
    return solve_factored(*factor_damped(matrix, shift), rhs)


def map_where(f: Callable[[Array], Array], xs: Array, active: Bool[Array, " n"], chunk: int) -> Array:
    """Values of f on the active rows of xs (n, ...), zero elsewhere, (n, ...): the others cost nothing.

    The active rows are packed densely, evaluated ``chunk`` at a time in a loop as long as there are any, and unpacked.
    """
    total = xs.shape[0]
    chunk = min(chunk, total)
    order = jnp.nonzero(active, size=total, fill_value=0)[0]
    order = jnp.concatenate([order, jnp.zeros(chunk, order.dtype)])
    one = jax.eval_shape(f, jax.ShapeDtypeStruct(xs.shape[1:], xs.dtype))

    def body(i: Array, packed: Array) -> Array:
        index = jax.lax.dynamic_slice(order, (i * chunk,), (chunk,))
        return jax.lax.dynamic_update_slice_in_dim(packed, jax.vmap(f)(xs[index]), i * chunk, 0)

    loops = (jnp.sum(active) + chunk - 1) // chunk
    packed = jax.lax.fori_loop(0, loops, body, jnp.zeros((total + chunk, *one.shape), one.dtype))
    shape = (total, *(1 for _ in one.shape))
    return jnp.where(active.reshape(shape), packed[jnp.clip(jnp.cumsum(active) - 1, 0)], 0)
