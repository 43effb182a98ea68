"""Emulators: numbers of weights, symmetries that hold by construction, stitching."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry import models
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.models.emulator import rollout
from wavefoundry.models.kernel_map import components
from wavefoundry.models.windowed import Network, Windowed

N, DX = 96, 0.1
RNG = np.random.default_rng(0)


def built(kind, seed=0, **options):
    return models.as_emulator(getattr(models, kind)(**options)).build(jax.random.key(seed), frame_step=0.1)


def state(history=1, seed=0, dtype=np.complex64):
    rng = np.random.default_rng(seed)
    x = np.arange(N)
    frames = [np.exp(-((x - 40 - h) ** 2) / 90 + 0.4j * x) * (1 + 0.1 * rng.standard_normal()) for h in range(history)]
    return jnp.asarray(np.stack(frames) / np.sqrt(20), dtype)


def field(seed=0):
    return jnp.asarray(np.random.default_rng(seed).uniform(0, 9, N))


def close(a, b, tolerance):
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b)) < tolerance


@pytest.mark.parametrize(
    ("kind", "options", "count"),
    [
        ("unitary", {}, 72),
        ("unitary", {"norm": False}, 144),
        ("unitary", {"mirror": True}, 56),
        ("unitary", {"time_reversal": True}, 42),
        ("kernel", {}, 14_520),
        ("linear", {}, 3_220),
        ("dense", {}, 27_163),
        ("conv", {}, 28_889),
        ("gru", {}, 40_204),
        ("gru", {"doubled": False}, 37_030),
        ("gru", {"skip": 2}, 40_204 + 2 * 4 * 46 * 46),
    ],
)
def test_number_of_weights(kind, options, count):
    assert tree.count(built(kind, **options)) == count


def test_equal_seeds_give_equal_weights():
    first, second, third = built("gru", 1), built("gru", 1), built("gru", 2)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), first, second)
    assert all(jax.tree.leaves(same))
    assert not bool(jnp.all(first.network.frame.kernel == third.network.frame.kernel))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_unitary_is_linear_equivariant_and_conserves_the_norm(precision):
    dtype, tolerance = (np.complex64, 1e-5) if precision == "float32" else (np.complex128, 1e-12)
    emulator = built("unitary", precision=precision)
    emulator = jax.tree.map(lambda a: 5 * a if a is not None else a, emulator)  # far from the identity
    p, q, v = state(seed=1, dtype=dtype), state(seed=2, dtype=dtype)[:, ::-1], field()
    f = lambda psi, potential=v: emulator(psi, potential, (DX,))  # noqa: E731
    assert close(f(0.6 * p + 0.8j * q), 0.6 * f(p) + 0.8j * f(q), tolerance)
    assert close(f(np.exp(0.7j).astype(dtype) * p), np.exp(0.7j) * f(p), tolerance)
    assert close(f(jnp.roll(p, 37, -1), jnp.roll(v, 37)), jnp.roll(f(p), 37), tolerance)
    frames = rollout(emulator, p, v, (DX,), 400)
    norms = jnp.sum(jnp.abs(frames) ** 2, axis=1) / jnp.sum(jnp.abs(p) ** 2)
    assert float(jnp.max(jnp.abs(norms - 1))) < (1e-3 if precision == "float32" else 1e-10)


def test_priors_of_the_unitary_kind_hold_and_are_absent_without():
    p, v = state(dtype=np.complex128), field()
    flip = lambda a: jnp.roll(a[..., ::-1], 1, -1)  # noqa: E731

    def residuals(**options):
        emulator = built("unitary", precision="float64", **options)
        f = lambda psi, potential=v: emulator(psi, potential, (DX,))  # noqa: E731
        back = jnp.conj(f(jnp.conj(f(p))[None]))
        shifted = f(p, v + 1.0)
        size = jnp.linalg.norm(f(p))
        return {
            "mirror": float(jnp.linalg.norm(f(flip(p), flip(v)) - flip(f(p))) / size),
            "time_reversal": float(jnp.linalg.norm(back - p[0]) / jnp.linalg.norm(p[0])),
            "gauge": float(jnp.linalg.norm(shifted - jnp.exp(-0.1j) * f(p)) / size),
            "norm": float(abs(size / jnp.linalg.norm(p) - 1)),
        }

    plain = residuals()
    for prior in ("mirror", "time_reversal", "gauge"):
        assert plain[prior] > 1e-3
        assert residuals(**{prior: True})[prior] < 1e-12
    assert plain["norm"] < 1e-12
    free = models.unitary(norm=False, precision="float64").build(jax.random.key(0), frame_step=0.1)
    free = jax.tree.map(lambda a: a + 0.01, free)
    assert abs(float(jnp.linalg.norm(free(p, v, (DX,))) / jnp.linalg.norm(p)) - 1) > 1e-3


def test_unitary_with_the_physics_put_in_is_the_splitting():
    emulator = built("unitary", precision="float64", depth=1, kcut=12.0)
    kinetic = np.zeros_like(emulator.phases)
    kinetic[0, 0] = 0.1 * 12.0**2 / 2 / 10
    taps = np.zeros_like(emulator.taps)
    taps[:, 4] = 0.05
    import equinox as eqx

    emulator = eqx.tree_at(lambda e: (e.phases, e.taps), emulator, (jnp.asarray(kinetic), jnp.asarray(taps)))
    p, v = state(dtype=np.complex128), np.asarray(field())
    k = np.minimum(np.abs(2 * np.pi * np.fft.fftfreq(N, DX)), 12.0)
    wanted = np.exp(-0.05j * v) * np.fft.ifft(np.exp(-0.05j * k**2) * np.fft.fft(np.exp(-0.05j * v) * np.asarray(p[0])))
    assert close(emulator(p, jnp.asarray(v), (DX,)), wanted, 1e-12)


def test_unitary_on_a_plane_is_a_product_for_separable_potentials():
    emulator = built("unitary", precision="float64")
    a, b = np.asarray(state(seed=1, dtype=np.complex128)[0]), np.asarray(state(seed=2, dtype=np.complex128)[0, ::-1])
    va, vb = np.asarray(field(1)), np.asarray(field(2))
    product = np.outer(emulator(a[None], va, (DX,)), emulator(b[None], vb, (DX,)))
    found = emulator(jnp.asarray(np.outer(a, b))[None], jnp.asarray(va[:, None] + vb[None]), (DX, DX))
    # A phase common to all momenta is counted for each axis: only a global phase may differ.
    phase = np.vdot(product, found)
    assert close(found * np.conj(phase) / abs(phase), product, 1e-12)


@pytest.mark.parametrize("kind", ["gru", "dense", "conv", "linear", "kernel"])
def test_translation_of_windowed_kinds(kind):
    emulator = built(kind)
    p, v = state(emulator.history), field()
    shifted = emulator(jnp.roll(p, 37, -1), jnp.roll(v, 37), (DX,))
    assert close(shifted, jnp.roll(emulator(p, v, (DX,)), 37), 1e-5)


class Echo(Network):
    """Predicts the last frame of its window."""

    unused: jax.Array

    def __call__(self, x):
        return x[-1, :, :2]


def test_stitching_puts_every_window_where_it_belongs():
    plain = built("gru")
    echo = Windowed(Echo(jnp.zeros(1, jnp.float32)), "gru", 4, 23, 14.0, 2.8, False, False, False)
    p = state(4)
    assert close(echo(p, field(), (DX,)), p[-1], 1e-6)
    assert not close(plain(p, field(), (DX,)), p[-1], 1e-3)


@pytest.mark.parametrize(("prior", "change"), [("phase", np.exp(0.7j)), ("amplitude", 0.37), ("mirror", None)])
def test_priors_of_windowed_kinds(prior, change):
    p, v = state(4), field()

    def residual(**options):
        emulator = built("gru", **options)
        if change is None:
            found = emulator(p[:, ::-1], v[::-1], (DX,))
            wanted = emulator(p, v, (DX,))[::-1]
        else:
            found, wanted = emulator(np.complex64(change) * p, v, (DX,)), change * emulator(p, v, (DX,))
        return float(jnp.linalg.norm(found - wanted) / jnp.linalg.norm(wanted))

    assert residual() > 1e-2
    assert residual(**{prior: True}) < 1e-5


@pytest.mark.parametrize("step", [0.1, 0.25])
def test_a_constant_in_the_potential_is_a_phase_of_windowed_kinds(step):
    """Frames j turn by exp(-i c t_j) and so does the prediction; without the prior it is another one."""
    frames, v, c = state(4, dtype=np.complex128), field(), 5.0
    turned = frames * jnp.exp(-1j * c * step * jnp.arange(-3, 1))[:, None]
    for prior in (True, False):
        options = {"gauge": prior, "phase": True, "amplitude": True, "mirror": True, "precision": "float64"}
        emulator = models.as_emulator(models.gru(**options)).build(jax.random.key(0), frame_step=step)
        one, other = emulator(frames, v, (DX,)), emulator(turned, v + c, (DX,))
        assert close(other, one * jnp.exp(-1j * c * step), 1e-12 if prior else 1e-3) == prior


def with_skip(powers: int, **options: Any) -> Any:
    """A recurrent student whose skip connection has random weights."""
    described = models.as_emulator(models.gru(skip=powers, precision="float64", **options))
    emulator: Any = described.build(jax.random.key(0), frame_step=0.1)
    weights = 0.1 * jax.random.normal(jax.random.key(1), emulator.skip.shape, emulator.skip.dtype)
    return eqx.tree_at(lambda one: one.skip, emulator, weights)


def test_a_skip_connection_is_linear_in_the_frames_and_a_polynomial_in_the_potential():
    """What it adds to a window is sum_m W_m (V^m psi); it begins at zero, and leaves the network as it was."""
    plain: Any = models.as_emulator(models.gru(precision="float64")).build(jax.random.key(0), frame_step=0.1)
    fresh: Any = models.as_emulator(models.gru(skip=3, precision="float64")).build(jax.random.key(0), frame_step=0.1)
    skipped = with_skip(3)
    window = jax.random.normal(jax.random.key(2), (4, 23, 3), jnp.float64)
    assert jnp.array_equal(fresh.patch(window), plain.patch(window))
    psi, v = np.asarray(window[..., :2]), np.asarray(window[..., 2:])
    wanted = sum(np.einsum("fpc,fpcn->n", psi * v**m, skipped.skip[m]) for m in range(3)).reshape(23, 2)
    np.testing.assert_allclose(skipped.patch(window) - plain.patch(window), wanted, rtol=1e-12, atol=1e-13)


def test_symmetries_hold_with_a_skip_connection():
    """Of phase, size, reflection and a constant in V, with random weights; without the priors none does."""
    uneven = 1 + 0.3 * np.random.default_rng(5).random(N)  # no two points are equally large
    frames, v, c = uneven * state(4, dtype=np.complex128), field(), 5.0
    turned = frames * jnp.exp(-0.1j * c * jnp.arange(-3, 1))[:, None]
    for prior in (True, False):
        emulator = with_skip(2, phase=prior, amplitude=prior, mirror=prior, gauge=prior)
        one = emulator(frames, v, (DX,))
        pairs = [
            (emulator((0.3 - 0.4j) * frames, v, (DX,)), (0.3 - 0.4j) * one),
            (emulator(frames[:, ::-1], v[::-1], (DX,)), one[::-1]),
            (emulator(turned, v + c, (DX,)), one * jnp.exp(-0.1j * c)),
        ]
        assert [close(a, b, 1e-12 if prior else 1e-3) == prior for a, b in pairs] == [True] * 3


def test_kernel_is_linear_and_its_directions_are_white():
    emulator, v = built("kernel"), field()
    p, q = state(seed=1), state(seed=3)[:, ::-1]
    both = emulator(0.6 * p + 0.8j * q, v, (DX,))
    assert close(both, 0.6 * emulator(p, v, (DX,)) + 0.8j * emulator(q, v, (DX,)), 1e-5)
    directions = components(23, 6, 0.9)
    offsets = np.subtract.outer(np.arange(23), np.arange(23))
    covariance = np.sinc(0.9 * offsets / np.pi)
    np.testing.assert_allclose(directions @ covariance @ directions.T, np.eye(6), atol=1e-8)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("unitary", {"dept": 3}, "did you mean 'depth'"),
        ("unitary", {"taps": 8}, "odd"),
        ("gru", {"time_reversal": True}, "no option"),
        ("gru", {"hidden": 0}, "at least 1"),
        ("unitary", {"kcut": -1.0}, "greater than 0"),
        ("unitary", {"precision": "float16"}, "float32.* or .float64"),
        ("dense", {"doubled": True}, "no option"),
    ],
)
def test_bad_options(kind, options, says):
    with pytest.raises(InputError, match=says):
        getattr(models, kind)(**options)
