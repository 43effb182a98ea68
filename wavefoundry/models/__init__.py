"""Wavefunctions and emulators. The functions here describe a network; it is built when its problem is known."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import jax

    from wavefoundry.core.types import Wavefunction
    from wavefoundry.models.emulator import Emulator


@dataclasses.dataclass(frozen=True)
class ViTSpec:
    """Description of a vision transformer, see ``wavefoundry.models.transformer.vit`` for the meaning of the fields."""

    patch: int | Literal["auto"] = "auto"
    width: int = 32
    layers: int = 2
    heads: int = 4
    head: Literal["auto", "real", "complex"] = "auto"
    head_norm: bool = False
    conditioned: bool = False
    precision: Literal["float32", "float64"] = "float32"

    def build(
        self, key: jax.Array, extent: tuple[int, ...], *, sign_free: bool, couplings: tuple[int, ...] = ()
    ) -> Wavefunction:
        """The network for a lattice.

        Args:
            key: random key of the initial weights.
            extent: edges of the lattice.
            sign_free: the ground state can be chosen positive: "auto" then means a real head.
            couplings: indices of the couplings a conditioned network is given.

        Raises:
            InputError: patch or heads do not divide.
        """
        from wavefoundry.core.shapes import auto_patch
        from wavefoundry.models import transformer as module

        kind = self.head if self.head != "auto" else ("real" if sign_free else "complex")
        patch = auto_patch(extent) if self.patch == "auto" else self.patch
        return module.vit(
            key,
            extent,
            patch=patch,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            head=kind,
            head_norm=self.head_norm,
            conditioned=couplings if self.conditioned else (),
            precision=self.precision,
        )


def vit(**fields: object) -> ViTSpec:
    """A vision transformer: ``vit(patch=4, width=32, layers=2, heads=4, head="auto", precision="float32")``."""
    return ViTSpec(**fields)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class EmulatorSpec:
    """Description of an emulator: its kind and its options, see ``unitary``, ``kernel``, ``gru`` and their siblings."""

    kind: str
    options: tuple[tuple[str, object], ...] = ()

    def build(self, key: jax.Array, *, frame_step: float) -> Emulator:
        """The emulator with random weights, for a time ``frame_step`` between frames.

        Raises:
            InputError: an unknown kind or option.
        """
        from wavefoundry.models import emulators

        return emulators.build(self.kind, key, frame_step, dict(self.options))


def _emulator(kind: str, options: dict[str, object]) -> EmulatorSpec:
    from wavefoundry.models import emulators

    emulators.check(kind, options)
    return EmulatorSpec(kind, tuple(sorted(options.items())))


def unitary(**options: object) -> EmulatorSpec:
    """The unitary emulator: ``depth=3, taps=9, kcut=12.0, precision="float32"``; priors ``norm=True, mirror=False,
    time_reversal=False, gauge=False``. 72 weights by default."""
    return _emulator("unitary", options)


def kernel(**options: object) -> EmulatorSpec:
    """The kernel emulator: ``window=23, hidden=96, count=12, potential_scale=14.0, mirror=False``."""
    return _emulator("kernel", options)


def gru(**options: object) -> EmulatorSpec:
    """The recurrent network of arXiv 2203.10200: ``window=23, frames=4, hidden=69, sigma=2.8, potential_scale=14.0,
    doubled=True``; priors ``phase=False, amplitude=False, mirror=False, renormalise=False``."""
    return _emulator("gru", options)


def conv(**options: object) -> EmulatorSpec:
    """The convolutional network of arXiv 2203.10200; options as ``gru`` (without ``doubled``)."""
    return _emulator("conv", options)


def dense(**options: object) -> EmulatorSpec:
    """The dense network of arXiv 2203.10200; options as ``gru`` (without ``doubled``)."""
    return _emulator("dense", options)


def linear(**options: object) -> EmulatorSpec:
    """The linear map of arXiv 2203.10200; options as ``gru`` (without ``doubled``)."""
    return _emulator("linear", options)


__all__ = ["EmulatorSpec", "ViTSpec", "conv", "dense", "gru", "kernel", "linear", "unitary", "vit"]
