"""Long computations as pieces of a few seconds, so that what is done need not be done again after an interruption."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Piece = Callable[[Callable[[], np.ndarray]], np.ndarray]
"""Does a piece of some work and gives its result, or the one that an earlier session had found."""


def at_once(work: Callable[[], np.ndarray]) -> np.ndarray:
    """The ``Piece`` that remembers nothing."""
    return work()


def even_length(count: int, most: int) -> int:
    """Length of the pieces of a loop, all alike (the last one is cut), so that one program serves them.

    At least two steps: of a loop of a single one the compiler makes something else, with other last bits.
    """
    return math.ceil(count / math.ceil(count / max(2, most)))
