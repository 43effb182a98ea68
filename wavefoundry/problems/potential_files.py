"""Potentials from files: understood whole, or refused with the reason; nothing is folded, bridged or cut in silence."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import from_home
from wavefoundry.core.reading import read_file
from wavefoundry.problems.grid import Grid1D

MAX_FILE = 1 << 26
HOLE = 50.0
"""Steps of x so many times wider than usual, with another V on the other side, are holes."""
SLACK = 1e-6
"""Places may lie outside the box by so much of its length (rounded text)."""


def read_potential(path: str | Path, grid: Grid1D) -> np.ndarray:
    """Values from a file: ``.npy`` or text, with V at every grid point, or with two columns x and V.

    Places x rise, lie in the box [0, length], and leave no gap at its ends wider than usual among them, nor a hole;
    between them V is interpolated linearly, round the seam as well, for the box is periodic. x = length is the same
    point as x = 0.

    Raises:
        InputError: no such file, or one that holds something else.
    """
    file, where = from_home(path), f"potential file {path}"
    table = _table(file, where)
    if table.dtype.kind not in "fiub":
        raise InputError("the potential does not consist of real numbers", where=where, why=f"type {table.dtype}")
    if table.ndim == 1 or 1 in table.shape and table.size == grid.n:
        return _values(table.reshape(-1).astype(float), grid, where)
    if table.ndim != 2 or table.shape[1] != 2:
        shape = " x ".join(map(str, table.shape))
        why = f"it holds {shape} numbers; known: one column (V at each of the {grid.n} points), or two (x and V)"
        if table.ndim == 2 and table.shape[1] == 1:
            raise InputError(f"the potential has shape ({table.size},)", where=where, why=f"the grid: ({grid.n},)")
        raise InputError("the potential file has the wrong number of columns", where=where, why=why)
    x, v = _places(table.astype(float), grid, where)
    return np.interp(grid.x, x, v, period=grid.length) if _open(x, grid) else np.interp(grid.x, x, v)


def _table(file: Path, where: str) -> np.ndarray:
    data = read_file(file, "potential file", MAX_FILE, where=where)
    fix = "numbers with decimal points, columns separated by blanks, comments after #"
    try:
        if file.suffix == ".npy":
            return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
        text = data.decode("utf-8-sig")
        if not any(line.split("#")[0].strip() for line in text.splitlines()):
            raise InputError("the potential file is empty", where=where)
        return np.loadtxt(io.StringIO(text), ndmin=2, comments="#")
    except UnicodeDecodeError:
        raise InputError("the potential file cannot be read", where=where, why="it is no text", fix=fix) from None
    except (ValueError, OSError, EOFError, MemoryError) as error:
        said = (str(error).splitlines() or ["?"])[0]
        said = re.sub("'.*'", "a word", said)  # whatever the file holds, it is not repeated
        raise InputError("the potential file cannot be read", where=where, why=said, fix=fix) from None


def _values(values: np.ndarray, grid: Grid1D, where: str) -> np.ndarray:
    """V at every grid point."""
    if values.shape != grid.shape:
        why = f"the grid: {grid.shape}"
        fix = "one value for each grid point, or two columns x and V"
        raise InputError(f"the potential has shape {values.shape}", where=where, why=why, fix=fix)
    if not np.all(np.isfinite(values)):
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        why = f"the first at point {bad} (x = {grid.x[bad]:.4g})"
        raise InputError("the potential has values that are not finite", where=where, why=why)
    return values


def _places(table: np.ndarray, grid: Grid1D, where: str) -> tuple[np.ndarray, np.ndarray]:
    """X and V of a table with two columns, after all checks."""
    x, v, length = table[:, 0], table[:, 1], grid.length
    if not np.all(np.isfinite(table)):
        row = int(np.flatnonzero(~np.isfinite(table).all(axis=1))[0]) + 1
        raise InputError("the potential has values that are not finite", where=where, why=f"the first in row {row}")
    if len(x) < 2:
        raise InputError("the potential file has too few points", where=where, why=f"{len(x)}; at least 2")
    steps = np.diff(x)
    if np.any(steps <= 0):
        row = int(np.flatnonzero(steps <= 0)[0]) + 2
        same = steps[row - 2] == 0
        why = f"x = {x[row - 1]:.6g} in row {row} {'repeats the one before' if same else f'follows {x[row - 2]:.6g}'}"
        fix = "a step takes two places close to each other" if same else "rows sorted by x"
        raise InputError("x of the potential file does not rise", where=where, why=why, fix=fix)
    outside = f"x runs from {x[0]:.6g} to {x[-1]:.6g}, the box from 0 to {length:g}"
    if x[0] < -SLACK * length or x[-1] > (1 + SLACK) * length:
        half = x[0] < 0 and abs(x[0] + x[-1]) < 0.1 * length
        fix = f"add {length / 2:g} to x: the box begins at 0" if half else "x in the box, or another grid length"
        raise InputError("x of the potential file leaves the box", where=where, why=outside, fix=fix)
    wide = int(np.argmax(steps))
    if steps[wide] > HOLE * np.median(steps) and v[wide] != v[wide + 1]:
        ends = f"x = {x[wide]:.6g} and {x[wide + 1]:.6g}"
        why = f"nothing between {ends}, where V is {v[wide]:.4g} and {v[wide + 1]:.4g}"
        raise InputError("the potential file has a hole", where=where, why=why, fix="V for the whole box")
    gap, usual = x[0] + length - x[-1], float(np.median(steps))
    if gap > 1.01 * usual + 2 * grid.dx:
        why = f"{outside}: {gap:.6g} of it are not covered"
        raise InputError("the potential file does not cover the box", where=where, why=why, fix="V for the whole box")
    return x, v


def _open(x: np.ndarray, grid: Grid1D) -> bool:
    """Whether the last place is not yet the first one again."""
    return x[0] + grid.length - x[-1] > SLACK * grid.length
