"""Stable functions and damped solves against references that need no stability: NumPy's complex functions, algebra."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wavefoundry.core.types  # noqa: F401 - switches JAX to 64-bit mode
from wavefoundry.core.numerics import gram, log_cosh, log_cosh_complex, solve_damped

MODERATE = np.linspace(-20.0, 20.0, 401)
LARGE = np.array([40.0, 300.0, 1e3, 1e8])


def test_log_cosh_is_that_of_numpy():
    np.testing.assert_allclose(log_cosh(jnp.asarray(MODERATE)), np.log(np.cosh(MODERATE)), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_cosh_of_large_arguments_is_linear(dtype: type):
    """Cosh overflows at 89 in single and at 710 in double precision; beyond 40, log cosh x = |x| - log 2."""
    x = np.concatenate([LARGE, -LARGE]).astype(dtype)
    found = np.asarray(log_cosh(jnp.asarray(x)))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.abs(x) - np.log(2.0), rtol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(np.asarray(jax.vmap(jax.grad(log_cosh))(jnp.asarray(x))), np.sign(x))


def test_gradient_of_log_cosh_is_tanh():
    x = np.concatenate([MODERATE, [0.0, 1e-300]])
    np.testing.assert_allclose(jax.vmap(jax.grad(log_cosh))(jnp.asarray(x)), np.tanh(x), atol=1e-14)


def plane(re: np.ndarray, im: np.ndarray) -> np.ndarray:
    """All combinations as complex numbers."""
    return (re[:, None] + 1j * im[None, :]).reshape(-1)


def both(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log, phase = log_cosh_complex(jnp.asarray(z.real), jnp.asarray(z.imag))
    return np.asarray(log), np.asarray(phase)


# no grid point is closer than 0.01 to a zero of cosh, where log and phase are singular
IMAGINARY = np.array([-9.0, -3.0, -1.5, -0.4, 0.0, 0.3, 1.0, 1.6, 3.1, 7.7])


def test_complex_log_cosh_is_that_of_numpy():
    z = plane(MODERATE, IMAGINARY)
    log, phase = both(z)
    np.testing.assert_allclose(log, np.log(np.abs(np.cosh(z))), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(np.exp(1j * phase), np.exp(1j * np.angle(np.cosh(z))), atol=1e-12)
    assert np.all(np.abs(phase) <= np.pi)


def test_complex_log_cosh_is_even():
    log, phase = both(plane(MODERATE, IMAGINARY))
    mirrored_log, mirrored_phase = both(-plane(MODERATE, IMAGINARY))
    np.testing.assert_array_equal(log, mirrored_log)
    # on the imaginary axis a negative amplitude has phase pi or -pi: the same number
    np.testing.assert_allclose(np.exp(1j * phase), np.exp(1j * mirrored_phase), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_complex_log_cosh_of_large_arguments(dtype: type):
    """cosh(a + ib) -> exp(|a| + i sign(a) b)/2."""
    z = plane(np.concatenate([LARGE, -LARGE]), IMAGINARY)
    re, im = z.real.astype(dtype), z.imag.astype(dtype)
    log, phase = log_cosh_complex(jnp.asarray(re), jnp.asarray(im))
    assert log.dtype == phase.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(log, np.abs(re) - np.log(2.0), rtol=2 * eps)
    np.testing.assert_allclose(np.exp(1j * np.asarray(phase)), np.exp(1j * np.sign(re) * im), atol=8 * eps)


def gradients(z: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    """Derivatives of (log, phase) with respect to (re, im): (points, 2, 2)."""
    rows = jax.jacrev(lambda v: jnp.stack(log_cosh_complex(v[0], v[1])))
    return np.asarray(jax.jit(jax.vmap(rows))(np.stack([z.real, z.imag], axis=-1).astype(dtype)))


def cauchy_riemann(z: np.ndarray) -> np.ndarray:
    """The same from d log cosh / dz = tanh z."""
    t = np.tanh(z)
    return np.moveaxis(np.array([[t.real, -t.imag], [t.imag, t.real]]), -1, 0)


def test_gradients_of_complex_log_cosh():
    away = np.concatenate([MODERATE[MODERATE != 0.0], LARGE, -LARGE, [1e-3, -1e-6]])
    z = plane(away, IMAGINARY)
    np.testing.assert_allclose(gradients(z), cauchy_riemann(z), rtol=1e-9, atol=1e-9)


def test_gradients_of_complex_log_cosh_on_the_imaginary_axis():
    """A pre-activation with vanishing real part: the phase still changes with it, by tan(im)."""
    z = 1j * IMAGINARY
    np.testing.assert_allclose(gradients(z), cauchy_riemann(z), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_stay_finite_at_the_zeros_of_cosh(dtype: type):
    zeros = 1j * np.array([np.pi / 2, -np.pi / 2, 3 * np.pi / 2])
    around = np.concatenate([zeros, zeros + 1e-7, zeros - 1e-20, zeros + 1e-7j])
    assert np.all(np.isfinite(gradients(around, dtype)))
    log, phase = log_cosh_complex(jnp.asarray(around.real, dtype), jnp.asarray(around.imag, dtype))
    assert np.all(np.isfinite(log)) and np.all(np.isfinite(phase))


@pytest.mark.parametrize(("n", "block"), [(1, 256), (7, 256), (8, 4), (9, 4), (300, 256), (256, 256)])
def test_gram_is_the_plain_product(n: int, block: int):
    rows = np.random.default_rng(0).normal(size=(n, 5))
    found = np.asarray(gram(jnp.asarray(rows), block))
    np.testing.assert_allclose(found, rows @ rows.T, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(found, found.T)


def symmetric(eigenvalues: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """A matrix with given eigenvalues and a right-hand side."""
    rng = np.random.default_rng(1)
    basis = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))[0]
    return (basis * eigenvalues) @ basis.T, rng.normal(size=len(eigenvalues))


def test_damped_solve_of_a_positive_matrix_keeps_the_shift():
    matrix, rhs = symmetric([0.0, 0.1, 1.0, 5.0])
    x, shift = solve_damped(jnp.asarray(matrix), jnp.asarray(rhs), jnp.array(1e-3))
    assert float(shift) == 1e-3
    np.testing.assert_allclose(x, np.linalg.solve(matrix + 1e-3 * np.eye(4), rhs), rtol=1e-10)


def test_damped_solve_raises_the_shift_on_an_indefinite_matrix():
    """Lowest eigenvalue -0.05: shifts 1e-3 and 1e-2 leave it indefinite, 1e-1 does not."""
    matrix, rhs = symmetric([-0.05, 0.1, 1.0, 5.0])
    x, shift = solve_damped(jnp.asarray(matrix), jnp.asarray(rhs), jnp.array(1e-3))
    np.testing.assert_allclose(float(shift), 0.1, rtol=1e-12)
    np.testing.assert_allclose(x, np.linalg.solve(matrix + 0.1 * np.eye(4), rhs), rtol=1e-10)


def hopeless() -> dict[str, np.ndarray]:
    matrix, _ = symmetric([-1e9, 0.1, 1.0, 5.0])
    broken = symmetric([0.0, 0.1, 1.0, 5.0])[0]
    broken[2, 1] = broken[1, 2] = np.nan
    return {"very indefinite": matrix, "nan": broken, "infinite": np.full((4, 4), np.inf)}


@pytest.mark.parametrize("name", ["very indefinite", "nan", "infinite"])
def test_damped_solve_gives_an_empty_step_when_nothing_helps(name: str):
    x, shift = solve_damped(jnp.asarray(hopeless()[name]), jnp.ones(4), jnp.array(1e-3))
    np.testing.assert_array_equal(np.asarray(x), 0.0)
    assert np.isinf(shift)


def test_damped_solve_gives_an_empty_step_for_a_right_hand_side_with_nan():
    x, shift = solve_damped(jnp.eye(4), jnp.array([1.0, np.nan, 0.0, 0.0]), jnp.array(1e-3))
    np.testing.assert_array_equal(np.asarray(x), 0.0)
    assert np.isinf(shift)


def test_damped_solves_side_by_side_do_not_disturb_each_other():
    """Several systems by ``vmap``: the one that needs another try does not change its neighbours."""
    good, rhs = symmetric([0.0, 0.1, 1.0, 5.0])
    indefinite, _ = symmetric([-0.05, 0.1, 1.0, 5.0])
    matrices = jnp.asarray(np.stack([good, indefinite, hopeless()["nan"], good]))
    solve = jax.jit(jax.vmap(lambda m: solve_damped(m, jnp.asarray(rhs), jnp.array(1e-3))))
    x, shift = solve(matrices)
    np.testing.assert_allclose(shift, [1e-3, 0.1, np.inf, 1e-3], rtol=1e-12)
    for k, matrix in enumerate([good, indefinite]):
        np.testing.assert_allclose(x[k], np.linalg.solve(matrix + float(shift[k]) * np.eye(4), rhs), rtol=1e-10)
    np.testing.assert_array_equal(np.asarray(x[2]), 0.0)
    np.testing.assert_array_equal(x[0], x[3])
