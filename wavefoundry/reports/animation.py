"""Wave packets that move: frames as an animated GIF, on a line with the potential below, in a plane as a map."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, number_of, numbers_of, path_of

WIDTH, HEIGHT, BASE = 560, 190, 172
"""Of a picture in pixels, and where the ground of a line lies."""
MOST = 200
"""Pictures of an animation: of more frames every second, third, ... is drawn."""
MILLISECONDS = 70
PAPER, INK, GREY, BLUE, RED = (254, 254, 253), (90, 96, 104), (214, 217, 221), (120, 180, 220), (213, 94, 0)


class Animation:
    """An animated GIF: shown in a notebook, ``save(path)`` writes it."""

    def __init__(self, data: bytes, words: str):
        self.data, self.words = data, words

    def __repr__(self) -> str:
        return f"Animation: {self.words}, {len(self.data) / 1e6:.1f} MB; .save(path) writes a GIF"

    def _repr_html_(self) -> str:
        text = base64.b64encode(self.data).decode()
        words = escape(self.words, quote=True)
        return f'<img src="data:image/gif;base64,{text}" alt="{words}" style="max-width:100%;height:auto">'

    def save(self, path: str | Path) -> Path:
        """Write the GIF, folders on the way included.

        Raises:
            InputError: no path, or one of another kind of file. StorageError: nothing can be written there.
        """
        from wavefoundry.artifacts import files

        target = path_of(path, "save")
        if target.suffix.lower() != ".gif":
            raise InputError(f"{target} is no GIF", where="save", fix=f"{target.stem}.gif")
        return files.write_where_told(target, self.data)


def animate(frames: Any, potential: Any = None, *, other: Any = None, grid: Any = None, dt: float = 0.1) -> Animation:
    """Frames of a wavefunction as an animation: its density over the potential, or of a plane a map of it.

    Args:
        frames: (frames, *grid), complex, as ``wf.propagate`` and ``student.rollout`` return them.
        potential: whatever these took; a function of x and t moves.
        other: frames to compare with, drawn as a line (on a line only).
        grid: ``Grid1D`` (default: 1024 points, length 100) or ``Grid2D``.
        dt: time between frames.

    Returns:
        An object that a notebook shows and that ``save(path)`` writes.

    Raises:
        InputError: frames or a potential that do not fit the grid or are not finite.
    """
    from wavefoundry.problems.grid import Grid, Grid1D

    where = "wf.animate"
    grid = Grid1D() if grid is None else grid
    expect(grid, Grid, "grid", where=where, fix="wf.Grid1D(100.0, 1024), for example")
    step = number_of(dt, "time between frames", where=where)
    density = _density(frames, "frames", grid, where)
    second = None if other is None else _density(other, "other", grid, where)
    if second is not None and (len(grid.shape) > 1 or second.shape != density.shape):
        why = "only on a line" if len(grid.shape) > 1 else f"{second.shape} beside {density.shape}"
        raise InputError("these frames cannot be drawn on one another", where=where, why=why)
    top = float(max(density.max(), 0.0 if second is None else second.max())) or 1.0
    every = -(-len(density) // MOST)
    shown = slice(None, None, every)
    times = step * np.arange(len(density))[shown]
    words = f"{len(times)} pictures of a wavefunction from t = 0 to {times[-1]:.4g}"
    if len(grid.shape) > 1:
        return Animation(plane_gif(density[shown] / top, times), words)
    fields = _fields(potential, grid, times, where)
    guess = None if second is None else second[shown] / top
    return Animation(line_gif(density[shown] / top, guess, fields, times), words)


def _density(frames: Any, name: str, grid: Any, where: str) -> np.ndarray:
    values = numbers_of(frames, name, where=where)
    if values.ndim != len(grid.shape) + 1 or values.shape[1:] != grid.shape or len(values) == 0:
        fix = "one run at a time: frames[0]" if values.ndim == len(grid.shape) + 2 else "grid=..."
        raise InputError(f"{name} have shape {values.shape}", where=where, why=f"the grid: {grid.shape}", fix=fix)
    if not np.all(np.isfinite(values)):
        raise InputError(f"{name} have values that are not finite", where=where, why="NaN or infinity")
    return np.abs(values) ** 2


def _fields(potential: Any, grid: Any, times: np.ndarray, where: str) -> Sequence[np.ndarray]:
    """The real part of the potential at every time."""
    from wavefoundry.problems.driven import field_of
    from wavefoundry.problems.potentials import values_of

    if potential is None:
        return [np.zeros(grid.shape)] * len(times)
    field = field_of(potential, grid)
    if field is not None:
        return [np.real(field(float(time))) for time in times]
    values = values_of(potential, grid)
    if values.shape != grid.shape:
        why = f"the grid: {grid.shape}"
        raise InputError(
            f"the potential has shape {values.shape}", where=where, why=why, fix="one value for each point"
        )
    return [np.real(values)] * len(times)


def line_gif(true: np.ndarray, found: np.ndarray | None, fields: Sequence[np.ndarray], times: np.ndarray) -> bytes:
    """On a line: potential (grey), density (filled blue), a second density (red line).

    Args:
        true: (pictures, n), from 0 to 1. found: the same or None. fields, times: of every picture.
    """
    from PIL import Image, ImageDraw

    low = min(0.0, *(float(field.min()) for field in fields))
    span = max(max(float(field.max()) for field in fields) - low, 1e-9)
    x = np.linspace(0, WIDTH - 1, true.shape[1])

    def pictures() -> Iterator[Any]:
        for number, (row, field, time) in enumerate(zip(true, fields, times, strict=True)):
            image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
            pen = ImageDraw.Draw(image)
            hill = BASE - 0.5 * BASE * (field - low) / span
            pen.polygon([(0, BASE), *zip(x, hill, strict=True), (WIDTH, BASE)], fill=GREY)
            curve = BASE - 0.95 * BASE * row
            pen.polygon([(0, BASE), *zip(x, curve, strict=True), (WIDTH, BASE)], fill=BLUE)
            if found is not None:
                pen.line(list(zip(x, BASE - 0.95 * BASE * found[number], strict=True)), fill=RED, width=2)
            pen.line([(0, BASE), (WIDTH, BASE)], fill=INK)
            pen.text((6, BASE + 3), f"t = {time:.1f}", fill=INK)
            yield image.quantize(colors=16, method=Image.Quantize.MEDIANCUT)

    return _gif(list(pictures()))


def plane_gif(density: np.ndarray, times: np.ndarray) -> bytes:
    """In a plane: a map of the density, the first axis to the right, the second upwards; (pictures, n, m), 0 to 1."""
    from matplotlib import colormaps
    from PIL import Image, ImageDraw

    colours, edge = colormaps["magma"], 320

    def pictures() -> Iterator[Any]:
        for values, time in zip(density, times, strict=True):
            pixels = (255 * colours(np.sqrt(values).T[::-1])[..., :3]).astype(np.uint8)
            scale = edge / max(pixels.shape[:2])
            size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
            image = Image.fromarray(pixels).resize(size)
            ImageDraw.Draw(image).text((6, 4), f"t = {time:.1f}", fill=(235, 235, 235))
            yield image.quantize(colors=64)

    return _gif(list(pictures()))


def _gif(pictures: Sequence[Any]) -> bytes:
    stream = io.BytesIO()
    first, *rest = pictures
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=MILLISECONDS, loop=0, optimize=False)
    return stream.getvalue()
