"""Wavefunctions. The functions here describe a network; it is built when the lattice is known."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import jax

    from wavefoundry.core.types import Wavefunction


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


@dataclasses.dataclass(frozen=True)
class DenseSpec:
    """Description of one dense layer, see ``wavefoundry.models.feedforward.dense`` for the meaning of the fields."""

    alpha: float = 4.0
    activation: Literal["logcosh", "relu"] = "logcosh"
    std: float = 0.1
    precision: Literal["float32", "float64"] = "float64"

    def build(self, key: jax.Array, extent: tuple[int, ...], **_: object) -> Wavefunction:
        """The network for a lattice; its amplitudes are positive."""
        from wavefoundry.models import feedforward as module

        return module.dense(key, extent, **dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class ConvSpec:
    """Description of one convolution, see ``wavefoundry.models.convnet.conv``."""

    channels: int = 4
    window: int = 3
    periodic: bool = True
    precision: Literal["float32", "float64"] = "float64"

    def build(self, key: jax.Array, extent: tuple[int, ...], **_: object) -> Wavefunction:
        """The network for a lattice; its amplitudes are positive."""
        from wavefoundry.models import convnet

        return convnet.conv(key, extent, **dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class ResNetSpec:
    """Description of a residual convolutional network, see ``wavefoundry.models.convnet.resnet``."""

    channels: int = 16
    blocks: int = 4
    window: int = 3
    periodic: bool = True
    precision: Literal["float32", "float64"] = "float32"

    def build(self, key: jax.Array, extent: tuple[int, ...], **_: object) -> Wavefunction:
        """The network for a lattice; its amplitudes are positive."""
        from wavefoundry.models import convnet

        return convnet.resnet(key, extent, **dataclasses.asdict(self))


def dense(**fields: object) -> DenseSpec:
    """One layer without bias: ``dense(alpha=4, activation="logcosh")``."""
    return DenseSpec(**fields)  # type: ignore[arg-type]


def conv(**fields: object) -> ConvSpec:
    """One convolution: ``conv(channels=4, window=3, periodic=False)``."""
    return ConvSpec(**fields)  # type: ignore[arg-type]


def resnet(**fields: object) -> ResNetSpec:
    """Residual convolutional network: ``resnet(channels=16, blocks=4, periodic=False)``."""
    return ResNetSpec(**fields)  # type: ignore[arg-type]


def vit(**fields: object) -> ViTSpec:
    """A vision transformer: ``vit(patch=4, width=32, layers=2, heads=4, head="auto", precision="float32")``."""
    return ViTSpec(**fields)  # type: ignore[arg-type]


__all__ = ["ConvSpec", "DenseSpec", "ResNetSpec", "ViTSpec", "conv", "dense", "resnet", "vit"]
