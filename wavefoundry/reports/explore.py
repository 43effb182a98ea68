"""A slider over the points of a diagram: energy, observables and features at one coupling at a time, without a script.

Every point is a choice of one group, so arrow keys move along the diagram; the panel of the chosen one is shown.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from wavefoundry.reports import view
from wavefoundry.reports.learned import QUANTITIES
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error
from wavefoundry.reports.view import Row

if TYPE_CHECKING:
    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.diagram import Sketch

MOST = 81
"""Points that a slider has room for."""
WIDTH, HEIGHT, EDGE = 320, 140, 8
SHADES = 5
"""Colours of samples, by the value of an order parameter."""


class Curve(NamedTuple):
    """A quantity over the diagram: points of a polyline, where it is exact, and the place of the chosen one."""

    name: str
    line: str
    exact: str
    x: float
    y: float


class Cloud(NamedTuple):
    """Samples of a state on two principal axes of features: places with the number of their colour.

    quantity: what the colours stand for. low, high: its values at the first and last of them.
    """

    quantity: str
    low: str
    high: str
    dots: list[tuple[float, float, int]]


class Panel(NamedTuple):
    """What is shown of a point.

    label: its couplings. word: its verdict. cells: name, value and exact value of everything known. curves: of the
    energy and of the observables. cloud: features of its samples.
    """

    label: str
    word: str
    cells: list[tuple[str, str, str]]
    curves: list[Curve]
    cloud: Cloud | None


def panels(summary: DiagramSummary, rows: list[Row], names: tuple[str, ...]) -> list[Panel]:
    """The panels of a diagram in the order of its couplings; none for a single point, or for more than fit."""
    shown = sorted((row for row in rows if row.couplings), key=lambda row: [row.couplings.get(n, 0.0) for n in names])
    if not 2 <= len(shown) <= MOST:
        return []
    clouds = _clouds([row.sketch for row in shown])
    drawn = list(_curves(shown, names[0])) if len(names) == 1 else []
    return [
        Panel(
            view.label(row.couplings, names),
            row.mark,
            _cells(row, view.unit(summary)),
            [
                Curve(name, line, exact, *places[number])
                for name, line, exact, places in drawn
                if not math.isnan(places[number][1])
            ],
            clouds[number],
        )
        for number, row in enumerate(shown)
    ]


def _clouds(sketches: list[Sketch | None]) -> list[Cloud | None]:
    """Features of all points in one frame and with one scale of colours, so that they can be compared."""
    samples = [[] if one is None else _samples(one) for one in sketches]
    every = [sample for one in samples for sample in one]
    if not every:
        return [None] * len(sketches)
    across, up, (low, high) = ((min(column), max(column)) for column in zip(*every, strict=True))
    found: list[Cloud | None] = []
    for one, mine in zip(sketches, samples, strict=True):
        dots = [
            (*_place(x, y, across, up), min(SHADES - 1, int(SHADES * (value - low) / ((high - low) or 1.0))))
            for x, y, value in mine
        ]
        quantity = "" if one is None else QUANTITIES.get(one.quantity, one.quantity)
        found.append(Cloud(quantity, f"{low:.2g}", f"{high:.2g}", dots) if dots else None)
    return found


def _samples(one: Sketch) -> list[tuple[float, float, float]]:
    """Both projections and the value of every sample that has them; none where features have a single component."""
    if len(one.points) != 2:
        return []
    rows = zip(*one.points, one.values, strict=False)
    found = [(view.number(x), view.number(y), view.number(value)) for x, y, value in rows]
    return [row for row in found if all(map(math.isfinite, row))]


def _cells(row: Row, unit: str) -> list[tuple[str, str, str]]:
    energy = row.energy
    exact = NOT_AVAILABLE if math.isnan(energy.exact) else f"{energy.exact:.6f}"
    found = [
        (f"energy per site{f' / {unit}' if unit else ''}", format_value_error(energy.value, energy.error), exact),
        ("relative error", format_number(abs(row.relative_error)), ""),
        ("V-score", format_number(row.v_score.value), ""),
    ]
    for name, entry in row.observables.items():
        known = NOT_AVAILABLE if math.isnan(entry.exact) else f"{entry.exact:.5f}"
        found.append((name, format_value_error(entry.value, entry.error), known))
    return [cell for cell in found if cell[1] != NOT_AVAILABLE]


def _curves(rows: list[Row], name: str) -> list[tuple[str, str, str, list[tuple[float, float]]]]:
    """Name, polyline, polyline of exact values and places of all points, of the energy and of each observable."""
    xs = [row.couplings[name] for row in rows]
    series = {"energy per site": [row.energy for row in rows]}
    for key in dict.fromkeys(key for row in rows for key in row.observables):
        series[key] = [row.observables.get(key, view.Estimate(math.nan)) for row in rows]
    found = []
    for title, entries in series.items():
        values = [value for entry in entries for value in (entry.value, entry.exact) if not math.isnan(value)]
        if len([entry for entry in entries if not math.isnan(entry.value)]) < 2:
            continue
        low, high = min(values), max(values)
        places = [_place(x, entry.value, (xs[0], xs[-1]), (low, high)) for x, entry in zip(xs, entries, strict=True)]
        exact = [_place(x, entry.exact, (xs[0], xs[-1]), (low, high)) for x, entry in zip(xs, entries, strict=True)]
        found.append((title, _line(places), _line(exact), places))
    return found


def _place(x: float, y: float, across: tuple[float, float], up: tuple[float, float]) -> tuple[float, float]:
    """Where a value lies on the picture."""
    right = (x - across[0]) / ((across[1] - across[0]) or 1.0)
    height = (y - up[0]) / ((up[1] - up[0]) or 1.0)
    return round(EDGE + right * (WIDTH - 2 * EDGE), 1), round(HEIGHT - EDGE - height * (HEIGHT - 2 * EDGE), 1)


def _line(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in places if not math.isnan(y))
