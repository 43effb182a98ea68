"""What every summary says about where its numbers come from."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import jax

from wavefoundry._version import __version__
from wavefoundry.core.cores import cores
from wavefoundry.core.devices import parts
from wavefoundry.core.plugins import LOADED

SCHEMA = 1


def versions() -> dict[str, str]:
    """Versions of what decides the numbers, plug-ins included."""
    names = ("jax", "jaxlib", "netket", "equinox", "numpy", "scipy")
    return (
        {"wavefoundry": __version__, "python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in names}
        | {f"plug-in {name}": version for name, version in LOADED.items()}
    )


def hardware() -> dict[str, Any]:
    """Where the numbers were made."""
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "devices": jax.device_count(),
        "devices_used": parts(),
        "hosts": jax.process_count(),
        "cores": cores(),
        "machine": platform.machine(),
        "system": platform.system(),
    }
