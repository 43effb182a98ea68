"""The kinds of emulators as one table: what builds them, their options, how they are trained, what holds by design.

One entry and one subclass of ``models.emulator.Emulator`` are all a new one takes; ``register`` adds to the table.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from wavefoundry.core.errors import InputError
from wavefoundry.core.keys import Key, Odd, option
from wavefoundry.core.plugins import Registry

COMMON = ("kind", "name", "steps", "batch", "learning_rate", "polish", "seed")
"""Keys of every student, which are about its training."""

OPTIONS: dict[str, Key] = {
    "precision": option(Literal["float32", "float64"], "of weights and frames"),
    "depth": option(int, "kicks and drifts per frame", ge=1, le=64),
    "taps": option(Odd, "width of the filters of V, odd", ge=1, le=511),
    "kcut": option(float, "momentum above which phases are constant", gt=0, le=1e4),
    "window": option(Odd, "points of a window, odd", ge=3, le=511),
    "frames": option(int, "input frames", ge=1, le=64),
    "hidden": option(int, "width of the layers", ge=1, le=4096),
    "count": option(int, "components of the stencil", ge=1, le=511),
    "kmax_dx": option(float, "largest momentum of the windows times the grid spacing", gt=0, le=math.pi),
    "sigma": option(float, "width of the stitching weights", gt=0, le=1e3),
    "potential_scale": option(float, "V is divided by it", gt=0, le=1e6),
    "doubled": option(bool, "hand the final state to the last layer twice"),
    "norm": option(bool, "prior: conserve the norm (default true)"),
    "mirror": option(bool, "prior: mirror symmetry"),
    "time_reversal": option(bool, "prior: time reversal"),
    "gauge": option(bool, "prior: a constant in V is an exact phase"),
    "phase": option(bool, "prior: global phase"),
    "amplitude": option(bool, "prior: scaling"),
    "skip": option(
        int, "a connection past the network, linear in psi, with this many powers of V (0: none)", ge=0, le=4
    ),
    "renormalise": option(bool, "scale every predicted frame to the first one's norm"),
}
"""Options that several of the built-in emulators share; what is left out is the emulator's own default."""


def options(*names: str) -> dict[str, Key]:
    """Some of ``OPTIONS``."""
    return {name: OPTIONS[name] for name in names}


_WINDOWED = ("window", "frames", "hidden", "potential_scale", "sigma", "phase", "amplitude", "mirror", "gauge", "skip")
_ALWAYS = ("precision", "renormalise")


@dataclasses.dataclass(frozen=True)
class EmulatorKind:
    """One kind of emulator.

    title: in words. maker: its class, or "module:name" of it; ``create(key, **options)`` gives one with random
    weights, and is told ``kind`` and ``frame_step`` where it asks for them. keys: its options, which are keys of a
    student in study files too: some of ``OPTIONS``, or own ones by ``core.keys.option``. recipe: of its first-order
    training, the fields of ``engine.supervised.Recipe``. polish: Gauss-Newton steps at the end; 0: it has too many
    weights. paper_steps: of recipe "paper", where these are not counted in epochs. cost: rough seconds of a step per
    grid point, or per window. by_design: symmetries that hold whatever the weights. window: grid points that it looks
    at by default, where windows have a bound. windowed: whether it is trained on windows. axes: dimensions of the boxes
    it works in.
    """

    name: str
    title: str
    maker: type | str
    keys: Mapping[str, Key]
    recipe: Mapping[str, Any]
    cost: float
    polish: int = 0
    paper_steps: int | None = None
    by_design: tuple[str, ...] = ("translation",)
    window: int = 0
    windowed: bool = False
    axes: tuple[int, ...] = (1,)

    def made(self) -> Any:
        """The class that ``maker`` names."""
        if isinstance(self.maker, str):
            from importlib import import_module

            module, name = self.maker.split(":")
            return getattr(import_module(module), name)
        return self.maker


def _paper(name: str, cost: float, title: str, *own: str) -> EmulatorKind:
    """A network of arXiv 2203.10200."""
    recipe = {"steps": 10_000, "batch": 128, "learning_rate": 1e-3}
    recipe |= {"warmup": 0.01, "decay": "linear", "clip": "tensor", "weight_decay": 0.01}
    maker, taken = "wavefoundry.models.windowed:Windowed", options(*_WINDOWED, *own, *_ALWAYS)
    return EmulatorKind(name, title, maker, taken, recipe, cost, window=23, windowed=True)


EMULATORS: Registry[EmulatorKind] = Registry(
    (kind.name, kind)
    for kind in (
        EmulatorKind(
            "unitary",
            "learned phases",
            "wavefoundry.models.unitary_map:Unitary",
            options("depth", "taps", "kcut", "norm", "mirror", "time_reversal", "gauge", *_ALWAYS),
            {"steps": 4000, "batch": 8, "learning_rate": 5e-3},
            4e-8,
            polish=16,
            paper_steps=12_000,
            by_design=("linearity", "phase", "amplitude", "translation", "norm"),
            axes=(1, 2),
        ),
        EmulatorKind(
            "kernel",
            "learned stencil",
            "wavefoundry.models.kernel_map:Kernel",
            options("window", "hidden", "count", "kmax_dx", "potential_scale", "mirror", *_ALWAYS),
            {"steps": 3000, "batch": 2, "learning_rate": 2e-3},
            1e-7,
            paper_steps=12_000,
            by_design=("linearity", "phase", "amplitude", "translation"),
            window=23,
        ),
        _paper("gru", 9e-6, "the paper's recurrent network", "doubled"),
        _paper("dense", 2e-6, "the paper's dense network"),
        _paper("conv", 2e-6, "the paper's convolution"),
        _paper("linear", 4e-7, "the paper's linear map"),
    )
)
"""Emulators by the names they have in study files and in stored students."""


def register(kind: EmulatorKind) -> EmulatorKind:
    """Make an emulator known by its name, to study files and stored students.

    Raises:
        InputError: the name is taken, or an option has that of a key that every student has.
    """
    if EMULATORS.get(kind.name, kind) is not kind:
        raise InputError(f"there is an emulator {kind.name!r} already", where="register", fix="choose another name")
    if taken := [name for name in kind.keys if name in COMMON]:
        raise InputError(f"every student has a key {taken[0]}", where=f"register: emulator {kind.name!r}")
    EMULATORS[kind.name] = kind
    return kind
