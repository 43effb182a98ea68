"""Values of records, which hold whatever JSON does."""

from __future__ import annotations

import math
from typing import Any


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
