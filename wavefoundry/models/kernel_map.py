"""The kernel emulator: the potential of a window decides a complex linear stencil for its centre."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from wavefoundry.models.emulator import Emulator
from wavefoundry.models.layers import Dense


def components(points: int, count: int, kmax_dx: float) -> np.ndarray:
    """Whitened directions of windows of waves with |k| <= kmax: (count, points), unit output variance.

    They are the leading eigenvectors of the covariance sin(k_max (i - j)) / (k_max (i - j)), each divided by the square
    root of its eigenvalue.
    """
    offsets = np.subtract.outer(np.arange(points), np.arange(points))
    values, vectors = np.linalg.eigh(np.sinc(kmax_dx * offsets / np.pi))
    order = np.argsort(values)[::-1][:count]
    return (vectors[:, order] / np.sqrt(np.maximum(values[order], 1e-8))).T


class Kernel(Emulator):
    """psi'(x) = sum_c a_c(V around x) <e_c, psi around x>: linear in psi, so global phase and superposition are exact.

    The coefficients a_c are complex outputs of a two-layer network with a linear short cut; e_c are fixed whitened
    directions. Nothing conserves the norm. ``mirror`` averages over reflected windows.
    """

    first: Dense
    second: Dense
    out: Dense
    shortcut: Dense
    window: int = eqx.field(static=True)
    count: int = eqx.field(static=True)
    kmax_dx: float = eqx.field(static=True)
    history: int = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    kind: str = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    potential_scale: float = eqx.field(static=True)
    mirror: bool = eqx.field(static=True)

    def reach(self) -> int:
        """Points of the potential that one point of a frame sees."""
        return self.window

    @classmethod
    def create(
        cls, key: PRNGKeyArray, *, window: int = 23, hidden: int = 96, count: int = 12, kmax_dx: float = 0.9,
        potential_scale: float = 14.0, mirror: bool = False, precision: str = "float32",
    ) -> Kernel:  # fmt: skip
        """Random weights; ``kmax_dx`` is the largest momentum of the windows times the grid spacing."""
        a, b, c, d = jax.random.split(key, 4)
        dtype: Any = jnp.dtype(precision)
        out = Dense.create(c, hidden, 2 * count, dtype)
        out = Dense(0.1 * out.kernel, out.bias)
        return cls(
            Dense.create(a, window, hidden, dtype), Dense.create(b, hidden, hidden, dtype), out,
            Dense.create(d, window, 2 * count, dtype), window, count, kmax_dx, 1, "kernel", potential_scale, mirror,
        )  # fmt: skip

    def stencil(self, potential: Float[Array, " points"]) -> Complex[Array, " points"]:
        """The linear stencil for the centre of a window with this potential."""
        plain = self._stencil(potential)
        return 0.5 * (plain + self._stencil(potential[::-1])[::-1]) if self.mirror else plain

    def _stencil(self, potential: Array) -> Array:
        features = jnp.tanh(self.second(jnp.tanh(self.first(potential))))
        a = self.out(features) + self.shortcut(potential)
        directions = components(self.window, self.count, self.kmax_dx).astype(a.dtype)
        return jax.lax.complex(a[: self.count], a[self.count :]) @ directions

    def prepare(self, potential: Float[Array, " n"], spacing: tuple[float, ...]) -> Complex[Array, "n points"]:
        """The kernel of every point, from the potential around it."""
        around = _around(potential.shape[0], self.window)
        scaled = (potential / self.potential_scale).astype(self.first.kernel.dtype)
        return jax.vmap(self.stencil)(scaled[around])

    def advance(self, prepared: Array, frames: Complex[Array, "1 n"]) -> Complex[Array, " n"]:
        """The next frame: every point from those around it in the last one."""
        around = _around(prepared.shape[0], prepared.shape[1])
        return jnp.sum(prepared * frames[-1].astype(prepared.dtype)[around], axis=1)


def _around(n: int, points: int) -> np.ndarray:
    return (np.arange(n)[:, None] + np.arange(points) - points // 2) % n
