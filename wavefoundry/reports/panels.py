"""Drawing one quantity over a diagram: as a curve when one coupling varies, as a map when two do.

Points that are not trusted are hollow in curves, crossed out in maps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wavefoundry.reports import view
from wavefoundry.reports.style import COLOUR_MAP, COLOURS, MARKERS, SERIES, literal, new_figure, symbol
from wavefoundry.reports.view import NAN, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Panel(NamedTuple):
    """One quantity: its axis label, and how to read value, error bar and exact value off a row."""

    title: str
    value: Callable[[Row], float]
    error: Callable[[Row], float] = lambda row: NAN
    exact: Callable[[Row], float] = lambda row: NAN
    log: bool = False

    def shows(self, rows: list[Row]) -> bool:
        """Whether any row has a number that can be drawn, which on a logarithmic axis is a positive one."""
        return any(value > 0 or not self.log for value in finite(self.value(row) for row in rows))


def finite(values: Iterable[float]) -> list[float]:
    """The values without ``nan``."""
    return [value for value in values if not math.isnan(value)]


def abscissa(rows: list[Row], names: tuple[str, ...]) -> list[float]:
    """Where each row stands: its coupling, or its number in the table unless exactly one coupling varies."""
    if len(names) == 1:
        return [row.couplings.get(names[0], NAN) for row in rows]
    return [float(index) for index in range(1, len(rows) + 1)]


def axis_name(names: tuple[str, ...]) -> str:
    """Label of the axis that ``abscissa`` measures."""
    return f"coupling {symbol(names[0])}" if len(names) == 1 else "point, in table order"


def small_multiples(summary: dict[str, Any], rows: list[Row], panels: list[Panel]) -> Figure | None:
    """The panels that hold any number, two in a row, over the coupling; ``None`` when no panel does."""
    panels = [panel for panel in panels if panel.shows(rows)]
    if not panels:
        return None
    names = view.axes(summary, rows)
    if len(names) == 2:
        return maps(summary, rows, names, panels)
    lines = math.ceil(len(panels) / 2)
    figure, axes = new_figure(7.2, 0.4 + 2.5 * lines, nrows=lines, ncols=2)
    for axis, panel in zip(axes, panels, strict=False):
        curve(axis, rows, abscissa(rows, names), panel)
        mark_pretraining(summary, names, [axis])
        axis.set_xlabel(axis_name(names))
    drop(axes[len(panels) :])
    shared_legend(figure, axes[: len(panels)])
    return figure


def curve(axes: Axes, rows: list[Row], place: list[float], panel: Panel, named: bool = True) -> None:
    """Draw one quantity: a series a method with error bars, the exact values joined by a line.

    Args:
        axes: where to draw.
        rows: the points.
        place: the abscissa of each.
        panel: the quantity.
        named: write the worst flag at points that are not trusted.
    """
    exact = [(x, panel.exact(row)) for x, row in zip(place, rows, strict=True)]
    exact = sorted(pair for pair in exact if not math.isnan(pair[1]))
    if exact:
        axes.plot(*zip(*exact, strict=True), color=COLOURS["red"], lw=1.3, label="exact", zorder=2)
    methods = list(dict.fromkeys(row.method for row in rows))
    if panel.log:
        axes.set_yscale("log", nonpositive="clip")
    for index, method in enumerate(methods):
        for trusted in (True, False):
            chosen = [(x, panel.value(row), panel.error(row), row) for x, row in zip(place, rows, strict=True)
                      if row.method == method and row.trusted is trusted]  # fmt: skip
            chosen = [entry for entry in chosen if not (math.isnan(entry[1]) or (panel.log and entry[1] <= 0))]
            if not chosen:
                continue
            xs, ys, errors, flagged = zip(*chosen, strict=True)
            colour = COLOURS[SERIES[index % len(SERIES)]]
            text = literal(method) or "points"
            axes.errorbar(
                xs, ys, [0.0 if math.isnan(error) else abs(error) for error in errors],
                fmt=MARKERS[index % len(MARKERS)], color=colour, ms=4.6, mew=1.1, elinewidth=1.0, zorder=3,
                mfc=colour if trusted else COLOURS["paper"],
                label=text if trusted else f"{text}, not trusted",
            )  # fmt: skip
            if named and not trusted:
                _flags(axes, list(xs), list(ys), list(flagged))
    axes.set_ylabel(panel.title)


def _flags(axes: Axes, xs: list[float], ys: list[float], rows: list[Row]) -> None:
    for x, y, row in zip(xs, ys, rows, strict=True):
        text = literal(view.worst_flag([row])) if row.flags else "not trusted"
        style = {"fontsize": 7.5, "color": COLOURS["red"], "rotation": 90, "ha": "center", "va": "bottom"}
        axes.annotate(text, (x, y), (0, 6), textcoords="offset points", **style)


def mark_pretraining(summary: dict[str, Any], names: tuple[str, ...], axes: list[Axes]) -> None:
    """A dashed line where the wavefunction was pre-trained, when one coupling varies."""
    at = view.couplings_of(view.mapping(summary.get("pretrain")))
    if len(names) == 1 and names[0] in at:
        for axis in axes:
            axis.axvline(at[names[0]], color=COLOURS["muted"], ls=(0, (4, 3)), lw=1, zorder=1, label="pre-training")


def level(axes: Axes, value: float, text: str) -> None:
    """A dotted horizontal line with its meaning at the right end."""
    axes.axhline(value, color=COLOURS["muted"], lw=0.9, ls=":")
    style = {"fontsize": 9, "color": COLOURS["muted"], "ha": "right", "va": "bottom"}
    axes.annotate(text, (1, value), (0, 1), xycoords=axes.get_yaxis_transform(), textcoords="offset points", **style)


def drop(axes: Iterable[Axes]) -> None:
    """Remove axes that have nothing to show."""
    for axis in axes:
        axis.remove()


def shared_legend(figure: Figure, axes: list[Axes]) -> None:
    """One legend above the figure with every label once."""
    entries = {text: handle for axis in axes for handle, text in zip(*axis.get_legend_handles_labels(), strict=True)}
    if len(entries) > 1:
        lines = math.ceil(sum(len(text) + 8 for text in entries) / 110)  # 110 characters fill the width
        figure.legend(entries.values(), entries, loc="outside upper center", ncols=math.ceil(len(entries) / lines))


def maps(summary: dict[str, Any], rows: list[Row], names: tuple[str, ...], panels: list[Panel]) -> Figure:
    """One map a quantity over two couplings; a star marks the pre-training, a cross an untrusted point."""
    panels = [panel for panel in panels if panel.shows(rows)]
    lines = max(1, math.ceil(len(panels) / 2))
    figure, axes = new_figure(7.2, 0.3 + 2.8 * lines, nrows=lines, ncols=2)
    at = view.couplings_of(view.mapping(summary.get("pretrain")))
    for axis, panel in zip(axes, panels, strict=False):
        _map(figure, axis, rows, names, panel)
        doubtful = [row for row in rows if not row.trusted]
        cross = {"ls": "none", "marker": "x", "color": COLOURS["red"], "ms": 6, "label": "not trusted"}
        if doubtful:
            axis.plot(*([row.couplings.get(name, NAN) for row in doubtful] for name in names), **cross)
        star = {"ls": "none", "marker": "*", "color": COLOURS["red"], "mec": COLOURS["paper"], "ms": 11}
        if all(name in at for name in names):
            axis.plot(at[names[0]], at[names[1]], label="pre-training", **star)
        axis.set(xlabel=f"coupling {symbol(names[0])}", ylabel=f"coupling {symbol(names[1])}", title=panel.title)
        axis.grid(visible=False)
    drop(axes[len(panels) :])
    handles = [handle for axis in axes[:1] for handle in axis.get_legend_handles_labels()[0]]
    if handles and panels:
        figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure


def _map(figure: Figure, axis: Axes, rows: list[Row], names: tuple[str, ...], panel: Panel) -> None:
    """Tiles when the points fill a grid, else coloured squares where the points are."""
    from matplotlib.colors import LogNorm, Normalize

    known = [(*(row.couplings.get(name, NAN) for name in names), panel.value(row)) for row in rows]
    known = [entry for entry in known if not any(map(math.isnan, entry)) and not (panel.log and entry[2] <= 0)]
    if not known:
        return
    xs, ys, values = zip(*known, strict=True)
    scale = (LogNorm if panel.log else Normalize)(min(values), max(values))
    columns, lines = sorted(set(xs)), sorted(set(ys))
    if len(columns) > 1 and len(lines) > 1 and 2 * len(known) >= len(columns) * len(lines):
        grid = [[NAN] * len(columns) for _ in lines]
        for x, y, value in known:
            grid[lines.index(y)][columns.index(x)] = value
        drawn = axis.pcolormesh(columns, lines, grid, norm=scale, cmap=COLOUR_MAP, shading="nearest", lw=0.2, ec="face")
    else:
        drawn = axis.scatter(xs, ys, c=values, norm=scale, cmap=COLOUR_MAP, marker="s", s=60)
    figure.colorbar(drawn, ax=axis, pad=0.02)


def colours_along(rows: list[Row], names: tuple[str, ...]) -> tuple[list[Any], Any]:
    """A colour a row along the coupling, and what a colour bar needs (``None`` if all stand at one place)."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    place = abscissa(rows, names)
    known = finite(place)
    if not known or min(known) == max(known):
        return [COLOURS["blue"]] * len(rows), None
    # The ends of the map vanish on a white or a black page, so lines use its middle.
    shades = ListedColormap(colormaps[COLOUR_MAP](np.linspace(0.1, 0.88, 256)))
    scale = Normalize(min(known), max(known))
    return [shades(scale(x)) for x in place], ScalarMappable(scale, shades)
