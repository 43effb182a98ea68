"""Values of records, which hold whatever JSON does."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np


def number(value: Any) -> float:
    """``value`` as a finite float, else ``nan`` (null, text, booleans, infinities, lists)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan


def known(value: Any) -> bool:
    """Whether it is a finite number."""
    return not math.isnan(number(value))


def plain(value: Any) -> Any:
    """``value`` as JSON types: NumPy values become numbers and lists, NaN and infinities ``None``.

    Raises:
        TypeError: something has no JSON form (a complex number, an object).
    """
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (value if isinstance(value, list | tuple) else sorted(value))]
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "__array__"):
        return plain(np.asarray(value).tolist())
    raise TypeError(f"{type(value).__name__} has no JSON form")
