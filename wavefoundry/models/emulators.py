"""Emulators by name: their options checked, and themselves with random weights. The table is ``core.emulators``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from jaxtyping import PRNGKeyArray

from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.errors import InputError
from wavefoundry.core.words import near
from wavefoundry.models.emulator import Emulator


def check(kind: str, options: Mapping[str, Any], where: str = "") -> None:
    """Refuse an unknown kind, and options that do not exist or make no sense.

    Raises:
        InputError: says which.
    """
    if kind not in EMULATORS:
        why, fix = f"known: {', '.join(EMULATORS)}", near(str(kind), EMULATORS)
        raise InputError(f"there is no emulator {kind!r}", where=where, why=why, fix=fix)
    where = where or f"models.{kind}"
    known = EMULATORS[kind].options
    for name, value in options.items():
        if name not in known:
            fix = near(name, known) or f"options: {', '.join(known)}"
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
    create = EMULATORS[kind].made().create
    told = {"kind": kind, "frame_step": frame_step}
    asked = inspect.signature(create).parameters
    return create(key, **{name: value for name, value in told.items() if name in asked}, **fields)
