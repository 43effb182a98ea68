"""The kinds of emulators by name, their options, and how each is trained by default."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from jaxtyping import PRNGKeyArray

from wavefoundry.core.errors import InputError
from wavefoundry.models.emulator import Emulator
from wavefoundry.models.kernel_map import Kernel
from wavefoundry.models.unitary_map import Unitary
from wavefoundry.models.windowed import NETWORKS, Windowed

KINDS = ("unitary", "kernel", *NETWORKS)


def options_of(kind: str) -> list[str]:
    """Names of the options of a kind."""
    maker = {"unitary": Unitary.create, "kernel": Kernel.create}.get(kind, Windowed.create)
    names = [name for name in inspect.signature(maker).parameters if name not in ("key", "frame_step", "kind")]
    return [name for name in names if name != "doubled" or kind == "gru"] + ["renormalise"]


def check(kind: str, options: Mapping[str, Any], where: str = "") -> None:
    """Refuse an unknown kind, and options that do not exist or make no sense.

    Raises:
        InputError: says which.
    """
    if kind not in KINDS:
        close = difflib.get_close_matches(str(kind), KINDS, n=1)
        fix = f"did you mean '{close[0]}'?" if close else ""
        raise InputError(f"there is no emulator {kind!r}", where=where, why=f"known: {', '.join(KINDS)}", fix=fix)
    where = where or f"models.{kind}"
    known = options_of(kind)
    for name, value in options.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            fix = f"did you mean '{close[0]}'?" if close else f"options: {', '.join(known)}"
            raise InputError(f"{kind} has no option {name!r}", where=where, fix=fix)
        if name in ("window", "taps") and not (isinstance(value, int) and value >= 1 and value % 2):
            raise InputError(f"{name} = {value!r} is not possible", where=where, why="an odd number of grid points")
        if name in ("depth", "hidden", "frames", "count") and not (isinstance(value, int) and 1 <= value <= 4096):
            raise InputError(f"{name} = {value!r} is not possible", where=where, why="a whole number from 1 to 4096")
        if name in ("kcut", "sigma", "potential_scale", "kmax_dx") and not (
            isinstance(value, int | float) and value > 0
        ):
            raise InputError(f"{name} = {value!r} is not possible", where=where, why="a positive number")
        if name == "precision" and value not in ("float32", "float64"):
            raise InputError(f"precision = {value!r} is not possible", where=where, why="float32 or float64")


def build(kind: str, key: PRNGKeyArray, frame_step: float, options: Mapping[str, Any]) -> Emulator:
    """An emulator with random weights.

    Raises:
        InputError: as ``check``.
    """
    check(kind, options)
    fields = {name: value for name, value in options.items() if name != "renormalise"}
    if kind == "unitary":
        return Unitary.create(key, frame_step=frame_step, **fields)
    return Kernel.create(key, **fields) if kind == "kernel" else Windowed.create(key, kind, **fields)


def window_of(emulator: Emulator) -> int:
    """Number of neighbouring grid points an emulator looks at in one place."""
    if isinstance(emulator, Unitary):
        taps = emulator.taps.shape[1]
        return 2 * taps - 1 if emulator.mirror else taps
    if isinstance(emulator, Kernel):
        return emulator.window
    return emulator.points if isinstance(emulator, Windowed) else 1


def band_of(emulator: Emulator) -> float | None:
    """Momentum above which an emulator has no dispersion of its own, or None."""
    return emulator.kcut if isinstance(emulator, Unitary) else None
