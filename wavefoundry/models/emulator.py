"""What an emulator is: a learned map from the last frame(s) of a wavefunction to the next one, given the potential."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from wavefoundry.core import types as _types  # noqa: F401 - switches JAX to 64-bit mode


class Emulator(eqx.Module):
    """A map of one frame; final classes are named in ``core.emulators``.

    ``history`` is the number of frames the map looks at. Whatever depends on the potential alone is computed once by
    ``prepare``; ``advance`` is what a roll-out repeats.
    """

    if TYPE_CHECKING:

        @property
        def history(self) -> int:
            """Frames the map looks at."""
            ...

        @property
        def kind(self) -> str:
            """Its name in study files."""
            ...

    def prepare(self, potential: Float[Array, "*n"], spacing: tuple[float, ...]) -> Any:
        """Everything that stays the same along a roll-out; ``spacing`` are the distances between grid points."""
        raise NotImplementedError

    def advance(self, prepared: Any, frames: Complex[Array, "history *n"]) -> Complex[Array, "*n"]:
        """The next frame from the last ones, oldest first."""
        raise NotImplementedError

    def reach(self) -> int:
        """Number of neighbouring grid points it looks at in one place."""
        return 1

    def band(self) -> float | None:
        """Momentum above which it has no dispersion of its own, or None."""
        return None

    def __call__(
        self, frames: Complex[Array, "history *n"], potential: Float[Array, "*n"], spacing: tuple[float, ...]
    ) -> Complex[Array, "*n"]:
        """One frame on, without keeping what belongs to the potential."""
        return self.advance(self.prepare(potential, spacing), frames)


def rollout(
    emulator: Emulator,
    frames: Complex[Array, "history *n"],
    potential: Float[Array, "*n"],
    spacing: tuple[float, ...],
    count: int,
    after: Callable[[Array], Array] = lambda psi: psi,
) -> Complex[Array, "count *n"]:
    """``count`` predicted frames, each fed back into the emulator.

    Args:
        frames: the first ones, oldest first.
        after: applied to every predicted frame (renormalisation, for example).
    """
    prepared = emulator.prepare(potential, spacing)

    def step(last: Array, _: None) -> tuple[Array, Array]:
        new = after(emulator.advance(prepared, last)).astype(last.dtype)
        return jnp.concatenate([last[1:], new[None]]), new

    return jax.lax.scan(step, frames, None, length=count)[1]
