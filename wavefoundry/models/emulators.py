"""Emulators by name: their options checked, and themselves with random weights. The table is ``core.emulators``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from jaxtyping import PRNGKeyArray

from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.errors import InputError
from wavefoundry.core.keys import require
from wavefoundry.core.words import near
from wavefoundry.models.emulator import Emulator


def check(kind: str, options: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """The options as they are stored; an unknown kind, and options that do not exist or make no sense, are refused.

    Raises:
        InputError: says which.
    """
    if kind not in EMULATORS:
        why, fix = f"known: {', '.join(EMULATORS)}", near(str(kind), EMULATORS)
        raise InputError(f"there is no emulator {kind!r}", where=where, why=why, fix=fix)
    return require(EMULATORS[kind].keys, options, kind, where or f"models.{kind}")


def build(kind: str, key: PRNGKeyArray, frame_step: float, options: Mapping[str, Any]) -> Emulator:
    """An emulator with random weights.

    Raises:
        InputError: as ``check``.
    """
    fields = {name: value for name, value in check(kind, options).items() if name != "renormalise"}
    create = EMULATORS[kind].made().create
    told = {"kind": kind, "frame_step": frame_step}
    asked = inspect.signature(create).parameters
    return create(key, **{name: value for name, value in told.items() if name in asked}, **fields)
