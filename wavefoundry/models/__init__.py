"""Wavefunctions and emulators. The functions here describe a network; it is built when its problem is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Unpack, overload

from wavefoundry.core.errors import InputError
from wavefoundry.core.networks import NETWORKS, Network, register
from wavefoundry.models.described import Described, described
from wavefoundry.models.options import (
    ConvOptions,
    DenseOptions,
    ElectronsOptions,
    GRUOptions,
    KernelOptions,
    ResNetOptions,
    SymmetricOptions,
    UnitaryOptions,
    ViTOptions,
    WindowedOptions,
)

if TYPE_CHECKING:
    import jax

    from wavefoundry.core.types import Wavefunction
    from wavefoundry.models.electron_wavefunction import ElectronWavefunction
    from wavefoundry.models.emulator import Emulator


Part = Literal["translations", "point-group", "spin-flip"]
"""Parts of a symmetry group."""


@dataclasses.dataclass(frozen=True)
class ViTSpec(Described):
    """Description of a vision transformer, see ``wavefoundry.models.transformer.vit`` for the meaning of the fields."""

    patch: int | tuple[int, ...] | Literal["auto"] = "auto"
    width: int = 32
    layers: int = 2
    heads: int = 4
    head: Literal["auto", "real", "complex"] = "auto"
    head_norm: bool = False
    conditioned: bool = False
    precision: Literal["float32", "float64"] = "float32"
    symmetry: Literal["auto", "translations", "none"] = "auto"

    def patch_edges(self, extent: tuple[int, ...], sign_free: bool) -> tuple[int, ...]:
        """Edges of a patch with "auto" resolved."""
        from wavefoundry.core.shapes import auto_patch, patch_edges

        patch = auto_patch(extent, sign_free) if self.patch == "auto" else self.patch
        return patch_edges(patch, len(extent))

    def build(
        self, key: jax.Array, extent: tuple[int, ...], *, sign_free: bool, couplings: tuple[int, ...] = ()
    ) -> Wavefunction:
        """The network for a lattice.

        ``symmetry = "auto"`` is settled by ``studies.networks.fitted`` beforehand; else it means translations.

        Args:
            key: random key of the initial weights.
            extent: edges of the lattice.
            sign_free: the ground state can be chosen positive: "auto" then means a real head, and longer patches.
            couplings: indices of the couplings a conditioned network is given.

        Raises:
            InputError: patch or heads do not divide.
        """
        from wavefoundry.models import transformer as module

        kind = self.head if self.head != "auto" else ("real" if sign_free else "complex")
        return module.vit(
            key,
            extent,
            patch=self.patch_edges(extent, sign_free),
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            head=kind,
            head_norm=self.head_norm,
            conditioned=couplings if self.conditioned else (),
            precision=self.precision,
            positions=self.symmetry == "none",
        )


@dataclasses.dataclass(frozen=True)
class SymmetricSpec(Described):
    """Description of a network made symmetric under its Hamiltonian's group, see ``models.projection``.

    model: the network within. parts: of the group: "translations", "point-group", "spin-flip". form: "features"
    (averaged) or "amplitude" (projected). sector: number of the sector an amplitude is projected on; None: the one that
    the sign rule stands for.
    """

    model: ViTSpec | DenseSpec | ConvSpec | ResNetSpec
    parts: tuple[Literal["translations", "point-group", "spin-flip"], ...] = (
        "translations",
        "point-group",
        "spin-flip",
    )
    form: Literal["features", "amplitude"] = "features"
    sector: int | None = None
    MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ("sector",)


@dataclasses.dataclass(frozen=True)
class DenseSpec(Described):
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
class ConvSpec(Described):
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
class ResNetSpec(Described):
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


def _for_emulation(kind: type, fields: Mapping[str, object]) -> bool:
    """Whether some option belongs to the emulator of that name and none to the lattice network alone."""
    known = {field.name for field in dataclasses.fields(kind)}
    return any(name not in known for name in fields)


@overload
def dense(**fields: Unpack[DenseOptions]) -> DenseSpec: ...
@overload
def dense(**fields: Unpack[WindowedOptions]) -> EmulatorSpec: ...
def dense(**fields: Any) -> DenseSpec | EmulatorSpec:
    """One layer without bias: ``dense(alpha=4, activation="logcosh")``.

    With the options of an emulator (``hidden``, ``frames``, ...) the dense network of arXiv 2203.10200, see ``gru``.
    ``distill`` takes plain ``dense()`` as such.
    """
    if _for_emulation(DenseSpec, fields):
        return _emulator("dense", fields)
    return described(DenseSpec, fields)


@overload
def conv(**fields: Unpack[ConvOptions]) -> ConvSpec: ...
@overload
def conv(**fields: Unpack[WindowedOptions]) -> EmulatorSpec: ...
def conv(**fields: Any) -> ConvSpec | EmulatorSpec:
    """One convolution: ``conv(channels=4, window=3, periodic=False)``.

    With the options of an emulator the one of arXiv 2203.10200, as for ``dense``.
    """
    if _for_emulation(ConvSpec, fields):
        return _emulator("conv", fields)
    return described(ConvSpec, fields)


def resnet(**fields: Unpack[ResNetOptions]) -> ResNetSpec:
    """Residual convolutional network: ``resnet(channels=16, blocks=4, periodic=False)``."""
    return described(ResNetSpec, fields)


def symmetric(model: Any, **fields: Unpack[SymmetricOptions]) -> SymmetricSpec:
    """A network made symmetric: ``symmetric(vit(), parts=["translations", "point-group"], form="features")``."""
    return described(SymmetricSpec, {"model": model, **fields})


def vit(**fields: Unpack[ViTOptions]) -> ViTSpec:
    """A vision transformer: ``vit(patch=4, width=32, layers=2, heads=4, head="auto", precision="float32")``."""
    return described(ViTSpec, fields)


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


def _emulator(kind: str, options: Mapping[str, object]) -> EmulatorSpec:
    from wavefoundry.models import emulators

    return EmulatorSpec(kind, tuple(sorted(emulators.check(kind, options).items())))


def unitary(**options: Unpack[UnitaryOptions]) -> EmulatorSpec:
    """The unitary emulator, 72 weights by default.

    ``depth=3, taps=9, kcut=12.0, precision="float32"``; priors ``norm=True, mirror=False, time_reversal=False,
    gauge=False``.
    """
    return _emulator("unitary", options)


def kernel(**options: Unpack[KernelOptions]) -> EmulatorSpec:
    """The kernel emulator: ``window=23, hidden=96, count=12, potential_scale=14.0, mirror=False``."""
    return _emulator("kernel", options)


def gru(**options: Unpack[GRUOptions]) -> EmulatorSpec:
    """The recurrent network of arXiv 2203.10200.

    ``window=23, frames=4, hidden=69, sigma=2.8, potential_scale=14.0, doubled=True``; priors ``phase=False,
    amplitude=False, mirror=False, gauge=False, skip=0, renormalise=False``.
    """
    return _emulator("gru", options)


def linear(**options: Unpack[WindowedOptions]) -> EmulatorSpec:
    """The linear map of arXiv 2203.10200; options as ``gru`` (without ``doubled``)."""
    return _emulator("linear", options)


@dataclasses.dataclass(frozen=True)
class ElectronsSpec:
    """Description of a wavefunction of electrons, see ``wavefoundry.models.electron_shape.Shape`` for the options."""

    preset: str = "small"
    precision: Literal["float32", "float64"] = "float32"
    options: tuple[tuple[str, object], ...] = ()

    def build(self, key: jax.Array) -> ElectronWavefunction:
        """The network with random weights; it fits every molecule of its elements.

        Raises:
            InputError: an unknown preset, option or element.
        """
        from wavefoundry.models import electron_wavefunction as module

        return module.electrons(key, module.resolve(self.preset, dict(self.options)), self.precision)


def electrons(
    preset: str = "small",
    precision: Literal["float32", "float64"] = "float32",
    **options: Unpack[ElectronsOptions],
) -> ElectronsSpec:
    """A wavefunction of electrons for any molecule: ``electrons(width=32, layers=2, determinants=4)``.

    The published size with ``electrons(preset="paper")``.
    """
    return ElectronsSpec(preset, precision, tuple(sorted(options.items())))


def as_emulator(model: EmulatorSpec | DenseSpec | ConvSpec) -> EmulatorSpec:
    """What an emulator's training is given: ``dense()`` and ``conv()`` without options are the emulators there.

    Raises:
        InputError: a network for lattices.
    """
    for kind, plain in (("dense", DenseSpec()), ("conv", ConvSpec())):
        if isinstance(model, type(plain)) and model == plain:
            return EmulatorSpec(kind)
    if isinstance(model, EmulatorSpec):
        return model
    raise InputError(f"{type(model).__name__} is no emulator", where="model", fix="wf.models.unitary(), for example")


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "NETWORKS", "ConvSpec", "DenseSpec", "ElectronsSpec", "EmulatorSpec", "Network", "ResNetSpec", "SymmetricSpec",
    "ViTSpec", "as_emulator", "conv", "dense", "electrons", "gru", "kernel", "linear", "register", "resnet",
    "symmetric", "unitary", "vit",
]  # fmt: skip
