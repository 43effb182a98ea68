"""Arrays with NaN for the store, which takes none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

_MISSING = ".missing"


def hidden(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Zeros in place of what is not finite and, under another name, where that is.

    Args:
        arrays: by name. prefix: put in front of every name.
    """
    found = {}
    for name, array in arrays.items():
        missing = ~np.isfinite(array)
        found[prefix + name] = np.where(missing, 0, array).astype(array.dtype)
        if missing.any():
            found[prefix + name + _MISSING] = missing
    return found


def shown(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """What ``hidden`` was given, with NaN for whatever was not finite."""
    found = {}
    for name, array in arrays.items():
        if name.startswith(prefix) and not name.endswith(_MISSING):
            missing = arrays.get(name + _MISSING)
            found[name.removeprefix(prefix)] = np.array(array) if missing is None else np.where(missing, np.nan, array)
    return found
