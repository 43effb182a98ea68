"""Cores of this machine, and how many of them JAX is to show as devices. JAX is not imported here."""

from __future__ import annotations

import os
from typing import Literal

Wanted = int | Literal["auto"]
"""Devices of one machine: so many, or "auto": all accelerators there are, but one CPU."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def to_show(devices: Wanted) -> int | None:
    """How many cores JAX must be asked to show as devices, no more than there are; None where nothing is to be said."""
    outside = "JAX_NUM_CPU_DEVICES" in os.environ or "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    return None if devices == "auto" or devices <= 1 or outside else min(devices, cores())


def ask_for(devices: Wanted) -> None:
    """Ask for them, before JAX is loaded; accelerators do not mind."""
    if (count := to_show(devices)) is not None:
        os.environ["JAX_NUM_CPU_DEVICES"] = str(count)
