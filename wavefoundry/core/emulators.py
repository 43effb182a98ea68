"""The kinds of emulators as one table: what builds them, their options, how they are trained, what holds by design.

One entry and one subclass of ``models.emulator.Emulator`` are all a new one takes; ``register`` adds to the table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from wavefoundry.core.errors import InputError

PRIORS = ("norm", "mirror", "time_reversal", "gauge", "phase", "amplitude", "renormalise")
OPTIONS = (
    "depth", "taps", "kcut", "window", "frames", "hidden", "count", "sigma", "potential_scale", "doubled", "kmax_dx",
    "precision", *PRIORS,
)  # fmt: skip
"""Options that emulators may have: in a study file each has its bounds, whichever kinds take it."""
_WINDOWED = ("window", "frames", "hidden", "potential_scale", "sigma", "phase", "amplitude", "mirror")
_ALWAYS = ("precision", "renormalise")


@dataclasses.dataclass(frozen=True)
class EmulatorKind:
    """One kind of emulator.

    title: in words. maker: its class, or "module:name" of it; ``create(key, **options)`` gives one with random
    weights, and is told ``kind`` and ``frame_step`` where it asks for them. options: out of ``OPTIONS``. recipe: of
    its first-order training, the fields of ``engine.supervised.Recipe``. polish: Gauss-Newton steps at the end; 0: it
    has too many weights. paper_steps: of recipe "paper", where these are not counted in epochs. cost: rough seconds of
    a step per grid point, or per window. by_design: symmetries that hold whatever the weights. window: grid points that
    it looks at by default, where windows have a bound. windowed: whether it is trained on windows. axes: dimensions of
    the boxes it works in.
    """

    name: str
    title: str
    maker: type | str
    options: tuple[str, ...]
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


def _paper(name: str, cost: float, title: str, *options: str) -> EmulatorKind:
    """A network of arXiv 2203.10200."""
    recipe = {"steps": 10_000, "batch": 128, "learning_rate": 1e-3}
    recipe |= {"warmup": 0.01, "decay": "linear", "clip": "tensor", "weight_decay": 0.01}
    maker, taken = "wavefoundry.models.windowed:Windowed", (*_WINDOWED, *options, *_ALWAYS)
    return EmulatorKind(name, title, maker, taken, recipe, cost, window=23, windowed=True)


EMULATORS: dict[str, EmulatorKind] = {
    kind.name: kind
    for kind in (
        EmulatorKind(
            "unitary",
            "learned phases",
            "wavefoundry.models.unitary_map:Unitary",
            ("depth", "taps", "kcut", "norm", "mirror", "time_reversal", "gauge", *_ALWAYS),
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
            ("window", "hidden", "count", "kmax_dx", "potential_scale", "mirror", *_ALWAYS),
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
}
"""Emulators by the names they have in study files and in stored students."""


def register(kind: EmulatorKind) -> EmulatorKind:
    """Make an emulator known by its name, to study files and stored students, in this process.

    Raises:
        InputError: the name is taken, or it has an option that none has.
    """
    if EMULATORS.get(kind.name, kind) is not kind:
        raise InputError(f"there is an emulator {kind.name!r} already", where="register", fix="choose another name")
    if unknown := [name for name in kind.options if name not in OPTIONS]:
        why = f"options are out of {', '.join(OPTIONS)}"
        raise InputError(
            f"no emulator has an option {unknown[0]!r}", where=f"register: emulator {kind.name!r}", why=why
        )
    EMULATORS[kind.name] = kind
    return kind
