"""An emulator in one file: a splitting of exp(-i t H) whose time steps are learned."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from wavefoundry.core.emulators import EmulatorKind, options, register
from wavefoundry.core.keys import option
from wavefoundry.models.emulator import Emulator


class Split(Emulator):
    """Kicks by the potential and drifts by k^2/2 in turn, each with a time of its own."""

    kicks: Array
    drifts: Array
    kind: str = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]
    history: int = eqx.field(static=True)  # pyright: ignore[reportIncompatibleMethodOverride]

    @classmethod
    def create(cls, key: PRNGKeyArray, *, frame_step: float, parts: int = 2, precision: str = "float32") -> Split:
        """Times some percent beside those of equal parts."""
        noise = 1 + 0.05 * jax.random.normal(key, (2, parts), jnp.dtype(precision))
        kicks, drifts = frame_step / parts * noise
        return cls(kicks, drifts, "split", 1)

    def prepare(self, potential: Array, spacing: tuple[float, ...]) -> Any:
        """Phases of every kick and every drift."""
        k = 2 * jnp.pi * jnp.fft.fftfreq(len(potential), spacing[0])
        kick = jnp.exp(-1j * self.kicks[:, None] * potential)
        return kick, jnp.exp(-0.5j * self.drifts[:, None] * k**2)

    def advance(self, prepared: Any, frames: Array) -> Array:
        """One frame on."""
        psi = frames[-1]
        for kick, drift in zip(*prepared, strict=True):
            psi = jnp.fft.ifft(drift * jnp.fft.fft(kick * psi))
        return psi


EMULATOR = register(
    EmulatorKind(
        "split",
        "splitting with learned times",
        Split,
        options("precision") | {"parts": option(int, "kicks and drifts of a frame", ge=1, le=16)},
        {"steps": 200, "batch": 8, "learning_rate": 1e-2},
        4e-8,
        by_design=("linearity", "norm", "phase"),
    )
)
