"""Options of the networks, as editors complete them. Types only: what is checked follows from the descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict

Precision = Literal["float32", "float64"]


class ViTOptions(TypedDict, total=False):
    """Of ``models.vit``."""

    patch: int | Sequence[int] | Literal["auto"]
    width: int
    layers: int
    heads: int
    head: Literal["auto", "real", "complex"]
    head_norm: bool
    conditioned: bool
    precision: Precision
    symmetry: Literal["auto", "translations", "none"]


class DenseOptions(TypedDict, total=False):
    """Of ``models.dense`` for lattices."""

    alpha: float
    activation: Literal["logcosh", "relu"]
    std: float
    precision: Precision


class ConvOptions(TypedDict, total=False):
    """Of ``models.conv`` for lattices."""

    channels: int
    window: int
    periodic: bool
    precision: Precision


class ResNetOptions(ConvOptions, total=False):
    """Of ``models.resnet``."""

    blocks: int


class SymmetricOptions(TypedDict, total=False):
    """Of ``models.symmetric``."""

    parts: Sequence[Literal["translations", "point-group", "spin-flip"]]
    form: Literal["features", "amplitude"]
    sector: int | None


class UnitaryOptions(TypedDict, total=False):
    """Of ``models.unitary``."""

    depth: int
    taps: int
    kcut: float
    norm: bool
    mirror: bool
    time_reversal: bool
    gauge: bool
    precision: Precision
    renormalise: bool


class KernelOptions(TypedDict, total=False):
    """Of ``models.kernel``."""

    window: int
    hidden: int
    count: int
    kmax_dx: float
    potential_scale: float
    mirror: bool
    precision: Precision
    renormalise: bool


class WindowedOptions(TypedDict, total=False):
    """Of the paper's networks: ``models.linear``, ``dense`` and ``conv`` as emulators."""

    window: int
    frames: int
    hidden: int
    sigma: float
    potential_scale: float
    phase: bool
    amplitude: bool
    mirror: bool
    gauge: bool
    skip: int
    precision: Precision
    renormalise: bool


class GRUOptions(WindowedOptions, total=False):
    """Of ``models.gru``."""

    doubled: bool


class ElectronsOptions(TypedDict, total=False):
    """Of ``models.electrons``, see ``models.electron_shape.Shape``."""

    width: int
    layers: int
    pair: int
    convolution: int
    determinants: int
    hidden: Sequence[int]
    exponents: Sequence[int]
    jastrow: int
    messages: int
    reach: float
    nuclear: int
    cusp: bool
