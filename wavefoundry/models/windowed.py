"""Emulators that see 23-point windows: the four networks of arXiv 2203.10200, their window scheme and stitching.

A window is (frames, points, 3): real part, imaginary part, scaled potential. A network predicts the next frame of its
whole window; every grid point gets 23 predictions, which are averaged with Gaussian weights.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from wavefoundry.models.emulator import Emulator
from wavefoundry.models.layers import Dense

WINDOW, FRAMES, HIDDEN = 23, 4, 69


def glorot(key: PRNGKeyArray, n_in: int, n_out: int, dtype: Any) -> Dense:
    """Dense layer with Glorot-uniform kernel and zero bias (the start of the paper's networks)."""
    return Dense.create(key, n_in, n_out, dtype)


class Network(eqx.Module):
    """Maps one window (frames, points, 3) to its next frame (points, 2)."""

    def __call__(self, x: Float[Array, "frames points 3"]) -> Float[Array, "points 2"]:
        """The centre of the window one frame later, from frames (real, imaginary, potential)."""
        raise NotImplementedError


class Linear(Network):
    """The last frame only, one affine map."""

    out: Dense

    @classmethod
    def create(cls, key: PRNGKeyArray, points: int, frames: int, hidden: int, dtype: Any) -> Linear:
        """With random weights."""
        return cls(glorot(key, 3 * points, 2 * points, dtype))

    def __call__(self, x: Float[Array, "frames points 3"]) -> Float[Array, "points 2"]:
        """See ``Network``."""
        return self.out(x[-1].reshape(-1)).reshape(-1, 2)


class DenseNet(Network):
    """A layer on every frame, a layer across the frames, an affine map."""

    frame: Dense
    across: Dense
    out: Dense

    @classmethod
    def create(cls, key: PRNGKeyArray, points: int, frames: int, hidden: int, dtype: Any) -> DenseNet:
        """With random weights."""
        a, b, c = jax.random.split(key, 3)
        inner = glorot(b, frames * hidden, hidden, dtype)
        return cls(glorot(a, 3 * points, hidden, dtype), inner, glorot(c, hidden, 2 * points, dtype))

    def __call__(self, x: Float[Array, "frames points 3"]) -> Float[Array, "points 2"]:
        """See ``Network``."""
        features = jax.nn.relu(self.frame(x.reshape(x.shape[0], -1)))
        return self.out(jax.nn.relu(self.across(features.reshape(-1)))).reshape(-1, 2)


class Conv(Network):
    """16 filters over time at every point, a layer over the points, an affine map."""

    time: Dense
    points: Dense
    out: Dense

    @classmethod
    def create(cls, key: PRNGKeyArray, points: int, frames: int, hidden: int, dtype: Any) -> Conv:
        """With random weights."""
        a, b, c = jax.random.split(key, 3)
        inner = glorot(b, 16 * points, hidden, dtype)
        return cls(glorot(a, 3 * frames, 16, dtype), inner, glorot(c, hidden, 2 * points, dtype))

    def __call__(self, x: Float[Array, "frames points 3"]) -> Float[Array, "points 2"]:
        """See ``Network``."""
        columns = jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1)
        features = jax.nn.relu(self.time(columns)).reshape(-1)
        return self.out(jax.nn.relu(self.points(features))).reshape(-1, 2)


class GRU(Network):
    """A layer on every frame, a gated recurrent unit along the frames, an affine map of its final state.

    The candidate uses relu, and the reset gate acts after the recurrent product. ``doubled`` hands the final state to
    the last layer twice, as the paper's network does; the copy adds weights and nothing else.
    """

    frame: Dense
    into: Dense
    within: Dense
    out: Dense
    doubled: bool = eqx.field(static=True)

    @classmethod
    def create(cls, key: PRNGKeyArray, points: int, frames: int, hidden: int, dtype: Any, doubled: bool = True) -> GRU:
        """With random weights."""
        a, b, c, d = jax.random.split(key, 4)
        square = jax.nn.initializers.orthogonal()(c, (hidden, 3 * hidden), dtype)
        within = Dense(square, jnp.zeros(3 * hidden, dtype))
        out = glorot(d, (2 if doubled else 1) * hidden, 2 * points, dtype)
        return cls(glorot(a, 3 * points, hidden, dtype), glorot(b, hidden, 3 * hidden, dtype), within, out, doubled)

    def __call__(self, x: Float[Array, "frames points 3"]) -> Float[Array, "points 2"]:
        """See ``Network``."""
        features = self.into(jax.nn.relu(self.frame(x.reshape(x.shape[0], -1))))
        state = jnp.zeros(self.within.kernel.shape[0], features.dtype)
        for given in features:
            update, reset, new = jnp.split(given, 3)
            old_update, old_reset, old_new = jnp.split(self.within(state), 3)
            z, r = jax.nn.sigmoid(update + old_update), jax.nn.sigmoid(reset + old_reset)
            state = z * state + (1 - z) * jax.nn.relu(new + r * old_new)
        final = jnp.concatenate([state, state]) if self.doubled else state
        return self.out(final).reshape(-1, 2)


def _turned(pair: Float[Array, "*n 2"], angle: Float[Array, "*n"]) -> Float[Array, "*n 2"]:
    """Real and imaginary parts of a number times exp(i angle)."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cos * pair[..., 0] - sin * pair[..., 1], sin * pair[..., 0] + cos * pair[..., 1]], axis=-1)


NETWORKS = {"linear": Linear, "dense": DenseNet, "conv": Conv, "gru": GRU}


class Windowed(Emulator):
    """A window network with its stitching.

    Options (physics priors, all off in the paper): ``phase`` makes the map equivariant under global phases,
    ``amplitude`` under scaling, ``mirror`` under reflection, ``gauge`` under a constant added to the potential;
    ``skip = m`` adds a connection past the network that is linear in psi, V psi, ..., V^(m-1) psi and begins at zero.
    """

    network: Network
    kind: str = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    history: int = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    points: int = eqx.field(static=True)
    potential_scale: float = eqx.field(static=True)
    sigma: float = eqx.field(static=True)
    phase: bool = eqx.field(static=True)
    amplitude: bool = eqx.field(static=True)
    mirror: bool = eqx.field(static=True)
    gauge: bool = eqx.field(static=True, default=False)
    frame_step: float = eqx.field(static=True, default=0.1)
    skip: Float[Array, "powers frames points 2 n_out"] | None = None

    @classmethod
    def create(  # noqa: PLR0913 - one for each option
        cls, key: PRNGKeyArray, kind: str, *, window: int = WINDOW, frames: int = FRAMES, hidden: int = HIDDEN,
        potential_scale: float = 14.0, sigma: float = 2.8, phase: bool = False, amplitude: bool = False,
        mirror: bool = False, gauge: bool = False, skip: int = 0, doubled: bool = True,
        precision: str = "float32", frame_step: float = 0.1,
    ) -> Windowed:  # fmt: skip
        """A network of the given kind with random weights, see ``models.gru`` and its siblings."""
        dtype = jnp.dtype(precision)
        if kind == "gru":
            network: Network = GRU.create(key, window, frames, hidden, dtype, doubled)
        else:
            network = NETWORKS[kind].create(key, window, frames, hidden, dtype)
        priors = (phase, amplitude, mirror, gauge)
        past = jnp.zeros((skip, frames, window, 2, 2 * window), dtype) if skip else None
        return cls(network, kind, frames, window, potential_scale, sigma, *priors, frame_step, past)

    def reach(self) -> int:
        """Points of the potential that one point of a frame sees."""
        return self.points

    def patch(self, x: Float[Array, "frames points 3"]) -> Float[Array, "points 2"]:
        """Next frame of one window, with the symmetries that were asked for."""
        if self.mirror:
            return 0.5 * (self._shifted(x) + self._shifted(x[:, ::-1])[::-1])
        return self._shifted(x)

    def _shifted(self, x: Array) -> Array:
        """With the potential counted from its value in the middle, which turns the phase of every frame."""
        if not self.gauge:
            return self._scaled(x)
        middle = x[-1, self.points // 2, 2]
        turn = middle * self.potential_scale * self.frame_step
        angles = turn * jnp.arange(1 - self.history, 1)
        y = self._scaled(jnp.concatenate([_turned(x[..., :2], angles[:, None]), x[..., 2:] - middle], axis=-1))
        return _turned(y, -turn)

    def _scaled(self, x: Array) -> Array:
        if not (self.phase or self.amplitude):
            return self._called(x)
        psi = jax.lax.complex(x[..., 0], x[..., 1])
        largest = psi[-1][jnp.argmax(jnp.abs(psi[-1]))]
        size = jnp.maximum(jnp.abs(largest), 1e-12)
        unit = (largest / size if self.phase else 1.0) * (size if self.amplitude else 1.0)
        turned = psi / unit
        y = self._called(jnp.stack([turned.real, turned.imag, x[..., 2]], axis=-1))
        out = jax.lax.complex(y[:, 0], y[:, 1]) * unit
        return jnp.stack([out.real, out.imag], axis=-1)

    def _called(self, x: Array) -> Array:
        """The network, and what goes past it."""
        y = self.network(x)
        if self.skip is None:
            return y
        terms = jnp.stack([x[..., :2] * x[..., 2:] ** power for power in range(len(self.skip))])
        return y + (terms.reshape(-1) @ self.skip.reshape(terms.size, -1)).reshape(-1, 2)

    def prepare(self, potential: Float[Array, " n"], spacing: tuple[float, ...]) -> Array:
        """The potential, scaled."""
        dtype = jax.tree.leaves(self.network)[0].dtype
        return (potential / self.potential_scale).astype(dtype)

    def advance(self, prepared: Float[Array, " n"], frames: Complex[Array, "history n"]) -> Complex[Array, " n"]:
        """The next frame: every point from the windows around it."""
        n = prepared.shape[0]
        reach = self.points // 2
        around = (np.arange(n)[:, None] + np.arange(-reach, self.points - reach)) % n
        field = jnp.broadcast_to(prepared, frames.shape)
        x = jnp.stack([frames.real.astype(prepared.dtype), frames.imag.astype(prepared.dtype), field], axis=-1)
        y = jax.vmap(self.patch)(jnp.moveaxis(x[:, around], 1, 0))  # (n, points, 2)
        weight = np.exp(-((np.arange(self.points) - reach) ** 2) / (2 * self.sigma**2))
        weight = weight / weight.sum()
        # Element j of the window round n predicts point n + j - reach: point i hears windows i + reach - j.
        windows = (np.arange(n)[:, None] + reach - np.arange(self.points)) % n
        heard = y[windows, np.arange(self.points)]
        out = jnp.einsum("npc,p->nc", heard, jnp.asarray(weight, y.dtype))
        return jax.lax.complex(out[:, 0], out[:, 1])
