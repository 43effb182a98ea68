"""Edges of a square torus: 2 rows columns of them, around its vertices (stars) and faces (plaquettes)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def _horizontal(x: np.ndarray, y: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return (x % rows) * columns + y % columns


def stars(rows: int, columns: int) -> Int[np.ndarray, "vertices 4"]:
    """The four edges of every vertex; h(x, y) = x columns + y, v(x, y) = rows columns + h(x, y)."""
    x, y = (part.reshape(-1) for part in np.indices((rows, columns)))
    h, offset = _horizontal, rows * columns
    parts = [h(x, y, rows, columns), h(x - 1, y, rows, columns)]
    parts += [offset + h(x, y, rows, columns), offset + h(x, y - 1, rows, columns)]
    return np.stack(parts, axis=1)


def plaquettes(rows: int, columns: int) -> Int[np.ndarray, "faces 4"]:
    """The four edges of every face, numbered as in ``stars``."""
    x, y = (part.reshape(-1) for part in np.indices((rows, columns)))
    h, offset = _horizontal, rows * columns
    parts = [h(x, y, rows, columns), h(x, y + 1, rows, columns)]
    parts += [offset + h(x, y, rows, columns), offset + h(x + 1, y, rows, columns)]
    return np.stack(parts, axis=1)
