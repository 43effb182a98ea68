"""Potential landscapes on a line: shapes by name, sums of them, and the user's own arrays, functions and files."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import numbers_of
from wavefoundry.problems.grid import Grid, Grid1D
from wavefoundry.problems.potential_files import read_potential


def _distance(grid: Grid1D, center: float | None) -> np.ndarray:
    """Signed distance to a point (by default the middle of the box), the short way round."""
    middle = grid.length / 2 if center is None else center
    return (grid.x - middle + grid.length / 2) % grid.length - grid.length / 2


def _barrier(grid: Grid1D, height: float, width: float, center: float | None = None) -> np.ndarray:
    return np.where(np.abs(_distance(grid, center)) < width / 2, height, 0.0)


def _well(grid: Grid1D, depth: float, width: float, center: float | None = None) -> np.ndarray:
    return np.where(np.abs(_distance(grid, center)) < width / 2, 0.0, depth)


def _steps(grid: Grid1D, heights: list[float], width: float, start: float) -> np.ndarray:
    field = np.zeros(grid.n)
    for index, height in enumerate(heights):
        inside = (grid.x >= start + index * width) & (grid.x < start + (index + 1) * width)
        field = np.where(inside, height, field)
    return field


def _triangle(grid: Grid1D, height: float, width: float, center: float | None = None) -> np.ndarray:
    return np.maximum(0.0, height * (1 - np.abs(_distance(grid, center)) / (width / 2)))


def _half_circle(grid: Grid1D, height: float, width: float, center: float | None = None) -> np.ndarray:
    return height * np.sqrt(np.maximum(0.0, 1 - (_distance(grid, center) / (width / 2)) ** 2))


def _harmonic(grid: Grid1D, omega: float, cap: float, center: float | None = None) -> np.ndarray:
    return np.minimum(0.5 * omega**2 * _distance(grid, center) ** 2, cap)


def _gaussian(grid: Grid1D, height: float, width: float, center: float | None = None) -> np.ndarray:
    return height * np.exp(-0.5 * (_distance(grid, center) / width) ** 2)


def _trapezoid(grid: Grid1D, height: float, width: float, top: float, center: float | None = None) -> np.ndarray:
    slope = max((width - top) / 2, 1e-12)
    return height * np.clip((width / 2 - np.abs(_distance(grid, center))) / slope, 0.0, 1.0)


def _random(
    grid: Grid1D, height: float, seed: int, width: float = 3.0, count: int = 12, start: float = 35.0
) -> np.ndarray:
    return _steps(grid, (height * np.random.default_rng(seed).uniform(size=count)).tolist(), width, start)


def smooth_noise(grid: Grid1D, noise: np.ndarray, height: float, correlation: float = 1.5) -> np.ndarray:
    """White noise, low-passed by exp(-(correlation k)^2 / 2), rescaled to [0, height], inside logistic walls.

    The walls rise at 32 % and fall at 75 % of the box.
    """
    field = np.fft.ifft(np.fft.fft(noise) * np.exp(-((correlation * grid.k) ** 2) / 2)).real
    field = (field - field.min()) / (field.max() - field.min()) * height
    rise, fall = 0.32 * grid.length, 0.75 * grid.length
    walls = 1 / (1 + np.exp(-(grid.x - rise))) / (1 + np.exp(grid.x - fall))
    return field * walls


def _smooth(grid: Grid1D, height: float, seed: int, correlation: float = 1.5) -> np.ndarray:
    return smooth_noise(grid, np.random.default_rng(seed).standard_normal(grid.n), height, correlation)


def _flat(grid: Grid1D, height: float = 0.0) -> np.ndarray:
    return np.full(grid.n, float(height))


def _file(grid: Grid1D, path: str) -> np.ndarray:
    return read_potential(path, grid)


SHAPES: dict[str, Callable[..., np.ndarray]] = {
    "flat": _flat,
    "barrier": _barrier,
    "well": _well,
    "steps": _steps,
    "triangle": _triangle,
    "half-circle": _half_circle,
    "harmonic": _harmonic,
    "gaussian": _gaussian,
    "trapezoid": _trapezoid,
    "random": _random,
    "smooth": _smooth,
    "file": _file,
}
"""Shapes by name. Edges are strict: a point on the edge of a barrier is outside."""


@dataclasses.dataclass(frozen=True)
class Potential:
    """A sum of shapes, or an array or function of the user's own; ``potential(grid)`` gives its values.

    Make one with ``shape``, ``from_any`` or ``from_dict``, and add them up with ``+``.
    """

    terms: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()
    own: tuple[Any, ...] = ()

    def __call__(self, grid: Grid1D) -> np.ndarray:
        """Values on the grid, shape (n,).

        Raises:
            InputError: values that are not finite, or an array of another length.
        """
        total = np.zeros(grid.n)
        for name, values in self.terms:
            numbers = {key: _plain(value) for key, value in values}
            check_fits(name, numbers, grid)
            try:
                with np.errstate(all="ignore"):
                    total = total + SHAPES[name](grid, **numbers)
            except OverflowError:
                raise InputError(f"{name} has values that are not finite", where="potential") from None
        for part in self.own:
            given = evaluated(part, "potential", grid.x) if callable(part) else part
            total = total + _checked(given, grid)
        return _checked(total, grid)

    def __add__(self, other: Potential) -> Potential:
        return Potential(self.terms + other.terms, self.own + other.own)

    def values(self, name: str, key: str) -> list[float]:
        """A number of every shape of a name."""
        return [dict(values)[key] for term, values in self.terms if term == name]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def shape(name: str, **values: Any) -> Potential:
    """A potential by name, as ``shape("barrier", height=5, width=7)``; centres default to the middle of the box.

    Raises:
        InputError: an unknown name or number.
    """
    check_shape(name, values, "potential")
    fixed = tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in values.items())
    return Potential(((name, fixed),))


def check_shape(name: str, values: Mapping[str, Any], where: str) -> None:
    """Refuse a shape that cannot be drawn.

    Raises:
        InputError: unknown name, unknown, missing or non-finite number.
    """
    if name not in SHAPES:
        close = difflib.get_close_matches(str(name), SHAPES, n=1)
        fix = f"did you mean '{close[0]}'?" if close else ""
        raise InputError(f"there is no potential {name!r}", where=where, why=f"known: {', '.join(SHAPES)}", fix=fix)
    known = inspect.signature(SHAPES[name]).parameters
    keys = [key for key in known if key != "grid"]
    for key, value in values.items():
        if key not in keys:
            close = difflib.get_close_matches(key, keys, n=1)
            fix = f"did you mean '{close[0]}'?" if close else f"keys of {name}: {', '.join(keys)}"
            raise InputError(f"{name} has no number {key!r}", where=where, fix=fix)
        _check_number(name, key, value, where)
    missing = [key for key in keys if known[key].default is inspect.Parameter.empty and key not in values]
    if missing:
        raise InputError(f"{name} needs {' and '.join(missing)}", where=where)


def _check_number(name: str, key: str, value: Any, where: str) -> None:
    """Refuse what is no number of a shape: words, NaN, lists in the wrong place, lengths that are not positive."""
    what = f"{key} = {value!r} of {name}"
    if key == "path":
        if not isinstance(value, str | Path):
            raise InputError(f"{what} is no path", where=where)
        return
    if isinstance(value, list | tuple) != (key == "heights"):
        raise InputError(
            f"{what} is not possible", where=where, why="a list of numbers" if key == "heights" else "a number"
        )
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if not all(isinstance(number, Real) and not isinstance(number, bool) for number in numbers) or not numbers:
        raise InputError(f"{what} is no number", where=where)
    if not all(math.isfinite(number) for number in numbers):
        raise InputError(f"{key} of {name} is not finite", where=where)
    least = min(numbers)
    if key in ("width", "correlation", "omega") and least <= 0 or key in ("top", "seed") and least < 0:
        raise InputError(f"{what} is not positive", where=where)
    if key in ("seed", "count") and (not isinstance(value, Integral) or (key == "count" and least < 1)):
        raise InputError(f"{what} is not possible", where=where, why="a whole number")


def check_fits(name: str, values: Mapping[str, Any], grid: Grid1D) -> None:
    """Refuse a shape that does not fit the box, or that its grid cannot show.

    Raises:
        InputError: a centre outside the box, wider than the box, thinner than the distance of two points.
    """
    where, box = f"potential {name}", f"the box runs from 0 to {grid.length:g}"
    width, center = values.get("width"), values.get("center")
    if center is not None and not 0 <= center <= grid.length:
        raise InputError(f"center = {center:g} of {name} lies outside the box", where=where, why=box)
    if width is not None:
        full = width * (2 * math.sqrt(2 * math.log(2)) if name == "gaussian" else 1)
        if full > grid.length:
            raise InputError(f"width = {width:g} of {name} is wider than the box", where=where, why=box)
        if width < grid.dx:
            why = f"its points are {grid.dx:.4g} apart"
            raise InputError(f"width = {width:g} of {name} is thinner than the grid can show", where=where, why=why)
    if values.get("top") is not None and width is not None and values["top"] > width:
        why = f"top = {values['top']:g}, width = {width:g}"
        raise InputError("the top of a trapezoid is wider than its foot", where=where, why=why)
    if values.get("correlation") is not None and values["correlation"] > grid.length:
        raise InputError(f"correlation = {values['correlation']:g} is longer than the box", where=where, why=box)
    if name in ("steps", "random"):
        known = inspect.signature(SHAPES[name]).parameters
        given = {key: values.get(key, known[key].default) for key in known if key != "grid"}
        count = len(given["heights"]) if name == "steps" else given["count"]
        start, end = given["start"], given["start"] + count * given["width"]
        if start < 0 or end > grid.length * (1 + 1e-9):
            why = f"{count} segments of {given['width']:g} from {start:g} on end at {end:g}; {box}"
            raise InputError(f"{name} leaves the box", where=where, why=why)


def evaluated(function: Callable[..., Any], where: str, *x: np.ndarray) -> np.ndarray:
    """A function of the user on all points: of the whole array, or point by point if it takes single numbers only.

    Raises:
        InputError: it fails, or returns something else.
    """
    try:
        try:
            found = np.asarray(function(*x))
        except (TypeError, ValueError):
            points = zip(*(axis.ravel() for axis in x), strict=True)
            found = np.asarray([function(*point) for point in points]).reshape(x[0].shape)
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        fix = "a function of x" if len(x) == 1 else "a function of x and y"
        fix += ", or of these and t where a potential changes with time" * (where == "potential")
        raise InputError("the function cannot be evaluated on the grid", where=where, why=why, fix=fix) from None
    found = numbers_of(found, where, where=where)
    return np.broadcast_to(found, x[0].shape) if found.ndim == 0 else found


def values_of(value: Any, grid: Grid) -> np.ndarray:
    """Values on a grid of whatever a user gives as a potential; arrays (and batches of them) stay as they are.

    Args:
        value: array, function of x (and y), ``Potential``, table or list of tables, path of a file, case.

    Raises:
        InputError: it cannot be drawn on this grid.
    """
    if hasattr(value, "potential") and hasattr(value, "state"):  # a case
        value = value.potential
    named = isinstance(value, Potential | Mapping | str | Path)
    named |= isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], Mapping | Potential)
    if isinstance(grid, Grid1D):
        return from_any(value)(grid) if named or callable(value) else numbers_of(value, "potential", where="potential")
    if named:
        fix = "an array of its values, or a function of x and y"
        raise InputError("shapes and files are for a line", where="potential", why="the grid is a plane", fix=fix)
    if callable(value):
        return evaluated(value, "potential", *np.meshgrid(grid.axis(0), grid.axis(1), indexing="ij"))
    return numbers_of(value, "potential", where="potential")


def from_dict(table: Mapping[str, Any], where: str = "potential") -> Potential:
    """A potential of a study file: ``{ kind = "barrier", height = 5, width = 7 }``."""
    values = {key: value for key, value in table.items() if key != "kind" and value is not None}
    if "kind" not in table:
        given, fix = ", ".join(map(str, table)), '{ kind = "barrier", height = 5, width = 7 }'
        raise InputError("a table of a potential has no kind", where=where, why=f"it has {given or 'no keys'}", fix=fix)
    check_shape(str(table["kind"]), values, where)
    return shape(str(table["kind"]), **values)


def from_any(value: Any) -> Potential:
    """A potential from what a user has: a table or list of tables, an array, a function of x, a path, a Potential."""
    if isinstance(value, Potential):
        return value
    if isinstance(value, Mapping):
        return from_dict(value)
    if isinstance(value, str | Path):
        return shape("file", path=str(value))
    if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping | Potential):
        return sum((from_any(part) for part in value), Potential())
    return Potential(own=(value if callable(value) else numbers_of(value, "potential", where="potential"),))


def _checked(values: Any, grid: Grid1D) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype == object or np.iscomplexobj(array):
        raise InputError("the potential does not consist of real numbers", where="potential")
    array = np.broadcast_to(array, grid.shape) if array.ndim == 0 else array
    if array.shape != grid.shape:
        raise InputError(f"the potential has shape {array.shape}", where="potential", why=f"the grid: {grid.shape}")
    if not np.all(np.isfinite(array)):
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        why = f"the first at point {bad} (x = {grid.x[bad]:.4g})"
        raise InputError("the potential has values that are not finite", where="potential", why=why)
    return array.astype(float)
