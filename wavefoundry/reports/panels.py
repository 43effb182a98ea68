"""Drawing one quantity over a diagram: as a curve when one coupling varies, as a map when two do.

A point shows its verdict: trusted is filled, an upper bound half filled, doubtful hollow, refused crossed out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wavefoundry.core.values import number
from wavefoundry.reports import view
from wavefoundry.reports.style import COLOUR_MAP, COLOURS, MARKERS, SERIES, literal, mark, new_figure, symbol
from wavefoundry.reports.view import NAN, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.common import Number


MARKS = ("trusted", "upper bound", "estimate", "doubtful", "not trusted", "refused")
"""What points are told apart by, in the order of drawing and of legends; "estimate" is an observable without an exact
value, "not trusted" a point of a record without verdict."""
SEEN = 5
"""Refused values farther from the others than so many times their range are left out of sight."""


class Panel(NamedTuple):
    """One quantity: its axis label, and how to read it off a row.

    word: the verdict, which gives the mark. bias: what the state may be off, drawn behind. note: what is written at a
    point. beside: name and reader of a second quantity, drawn as a dash.
    """

    title: str
    value: Callable[[Row], float]
    error: Callable[[Row], float] = lambda row: NAN
    exact: Callable[[Row], float] = lambda row: NAN
    log: bool = False
    word: Callable[[Row], str] = lambda row: row.mark
    bias: Callable[[Row], float] = lambda row: NAN
    note: Callable[[Row], str] = lambda row: ""
    beside: tuple[str, Callable[[Row], float]] | None = None

    def shows(self, rows: list[Row]) -> bool:
        """Whether any row has a number that can be drawn, which on a logarithmic axis is a positive one."""
        return any(value > 0 or not self.log for value in finite(self.value(row) for row in rows))


def column(values: Iterable[Number]) -> np.ndarray:
    """One field of all records; NaN where it is missing."""
    return np.array([number(value) for value in values])


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


def small_multiples(summary: DiagramSummary, rows: list[Row], panels: list[Panel]) -> Figure | None:
    """The panels that hold any number, two in a row, over the coupling; ``None`` when no panel does."""
    panels = [panel for panel in panels if panel.shows(rows)]
    if not panels:
        return None
    names = view.axes(summary, rows)
    if len(names) == 2:
        return maps(summary, rows, names, panels)
    lines = math.ceil(len(panels) / 2)
    figure, axes = new_figure(7.2, 0.7 + 2.4 * lines, nrows=lines, ncols=2)
    for axis, panel in zip(axes, panels, strict=False):
        curve(axis, rows, abscissa(rows, names), panel)
        mark_pretraining(summary, names, [axis])
        axis.set_xlabel(axis_name(names))
    drop(axes[len(panels) :])
    shared_legend(figure, axes[: len(panels)])
    return figure


def curve(axes: Axes, rows: list[Row], place: list[float], panel: Panel) -> None:
    """Draw one quantity: a series a method with error bars, the exact values joined by a line.

    Args:
        axes: where to draw.
        rows: the points.
        place: the abscissa of each.
        panel: the quantity.
    """
    for source in dict.fromkeys(row.reference for row in rows):
        known = [(x, panel.exact(row)) for x, row in zip(place, rows, strict=True) if row.reference == source]
        known = sorted(pair for pair in known if not math.isnan(pair[1]))
        if known:
            line = "-" if source == "exact" else "--"
            axes.plot(*zip(*known, strict=True), color=COLOURS["red"], lw=1.3, ls=line, label=literal(source), zorder=2)
    if panel.log:
        axes.set_yscale("log", nonpositive="clip")
    for index, method in enumerate(dict.fromkeys(row.method for row in rows)):
        for word in MARKS:
            chosen = [(x, panel.value(row), row) for x, row in zip(place, rows, strict=True)
                      if row.method == method and panel.word(row) == word]  # fmt: skip
            chosen = [entry for entry in chosen if not (math.isnan(entry[1]) or (panel.log and entry[1] <= 0))]
            if chosen:
                _series(axes, panel, chosen, index, method, word)
    if panel.beside:
        name, read = panel.beside
        beside = [(x, value) for x, row in zip(place, rows, strict=True) if (value := read(row)) > 0 or not panel.log]
        style = {"ls": "none", "marker": "_", "ms": 9, "mew": 1.2, "color": COLOURS["muted"], "zorder": 2}
        if finite(value for _, value in beside):
            axes.plot(*zip(*beside, strict=True), label=name, **style)
    _keep_in_sight(axes, rows, panel)
    _notes(axes, rows, place, panel)
    axes.set_ylabel(panel.title)


def _series(axes: Axes, panel: Panel, chosen: list[Any], index: int, method: str, word: str) -> None:
    """The points of one method and one verdict, with error bars, and behind them what the state may be off."""
    xs, ys, found = zip(*chosen, strict=True)
    colour, text = COLOURS[SERIES[index % len(SERIES)]], literal(method) or "points"
    label = text if word == "trusted" else f"{text}, {word}"
    errors = [0.0 if math.isnan(error := panel.error(row)) else abs(error) for row in found]
    style = {"elinewidth": 1.0, "zorder": 3} | mark(word, colour, MARKERS[index % len(MARKERS)])
    axes.errorbar(xs, ys, errors, ls="none", ecolor=colour, label=label, **style)
    biases = [abs(bias) if not math.isnan(bias := panel.bias(row)) else 0.0 for row in found]
    if any(biases):
        wide = {"elinewidth": 5, "ecolor": COLOURS["sky"], "alpha": 0.45, "capsize": 0, "zorder": 1.5}
        axes.errorbar(xs, ys, biases, fmt="none", label="what the state may be off", **wide)


def _keep_in_sight(axes: Axes, rows: list[Row], panel: Panel) -> None:
    """Let refused values that are far away not press all others into a line."""
    kept = finite(panel.value(row) for row in rows if panel.word(row) != "refused")
    kept = [value for value in kept + finite(map(panel.exact, rows)) if value > 0 or not panel.log]
    lost = [value for row in rows if panel.word(row) == "refused" for value in finite([panel.value(row)])]
    scale = math.log10 if panel.log else float
    lost = [scale(value) for value in lost if value > 0 or not panel.log]
    if not kept or not lost:
        return
    low, high = scale(min(kept)), scale(max(kept))
    room = max(high - low, 0.3 if panel.log else 1e-3 * max(abs(low), abs(high)))
    near = [value for value in lost if low - SEEN * room <= value <= high + SEEN * room]
    if len(near) < len(lost):
        ends = (min([low, *near]) - room / 4, max([high, *near]) + room / 4)
        axes.set_ylim(*(10**end for end in ends) if panel.log else ends)
        axes.set_title("refused values beyond the frame", fontsize=9, color=COLOURS["muted"], loc="right")


def flag_note(row: Row) -> str:
    """The worst flag of a point that is doubtful or refused."""
    if row.mark in ("trusted", "upper bound"):
        return ""
    return literal(view.worst_flag([row])) if row.flags else row.mark


def _notes(axes: Axes, rows: list[Row], place: list[float], panel: Panel) -> None:
    """Write what is to be said at a point, upwards in the lower half of the axes and downwards in the upper."""
    axes.get_ylim()  # settles the limits, which decide on the side
    for x, row in zip(place, rows, strict=True):
        y, text = panel.value(row), panel.note(row)
        if text and not math.isnan(y):
            above = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1] < 0.5
            side = {"xytext": (0, 6 if above else -6), "va": "bottom" if above else "top"}
            turned = 90 if len(text) > 5 else 0
            style = {
                "fontsize": 9,
                "color": COLOURS["red"],
                "rotation": turned,
                "ha": "center",
                "annotation_clip": True,
            }
            axes.annotate(text, (x, y), textcoords="offset points", **side, **style)


def mark_pretraining(summary: DiagramSummary, names: tuple[str, ...], axes: list[Axes]) -> None:
    """A dashed line where the wavefunction was pre-trained, when one coupling varies."""
    for at in (base.couplings for base in view.bases(summary)):
        for axis in axes if len(names) == 1 and names[0] in at else ():
            axis.axvline(at[names[0]], color=COLOURS["muted"], ls=(0, (4, 3)), lw=1, zorder=1, label="pre-training")


def level(axes: Axes, value: float, text: str) -> None:
    """A dotted horizontal line with its meaning at the right end; no words outside the frame: they would squeeze it."""
    axes.axhline(value, color=COLOURS["muted"], lw=0.9, ls=":")
    low, high = axes.get_ylim()
    if not low <= value <= high:
        return
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


def maps(summary: DiagramSummary, rows: list[Row], names: tuple[str, ...], panels: list[Panel]) -> Figure:
    """One map a quantity over two couplings; a star marks the pre-training, other marks the verdicts.

    Verdicts are marked where points differ in them or are refused; trusted points never are.
    """
    panels = [panel for panel in panels if panel.shows(rows)]
    lines = max(1, math.ceil(len(panels) / 2))
    figure, axes = new_figure(7.2, 0.3 + 2.8 * lines, nrows=lines, ncols=2)
    for axis, panel in zip(axes, panels, strict=False):
        _map(figure, axis, rows, names, panel)
        _map_marks(axis, rows, names)
        star = {"ls": "none", "marker": "*", "color": COLOURS["red"], "mec": COLOURS["paper"], "ms": 11}
        places = [one.couplings for one in view.bases(summary) if set(names) <= one.couplings.keys()]
        if places:
            axis.plot(*([at[name] for at in places] for name in names), label="pre-training", **star)
        axis.set(xlabel=f"coupling {symbol(names[0])}", ylabel=f"coupling {symbol(names[1])}", title=panel.title)
        axis.grid(visible=False)
    drop(axes[len(panels) :])
    handles = [handle for axis in axes[:1] for handle in axis.get_legend_handles_labels()[0]]
    if handles and panels:
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)))
    return figure


def _map_marks(axis: Axes, rows: list[Row], names: tuple[str, ...]) -> None:
    """Mark the points of a map that are not trusted, by verdict."""
    alike = {row.mark for row in rows} == {"upper bound"}
    for word in MARKS[1:]:
        chosen = [row for row in rows if row.mark == word]
        if chosen and not alike:
            crossed = word in ("refused", "not trusted")
            style = mark("refused" if crossed else word, COLOURS["red"], "o") | {"ms": 6, "ls": "none", "label": word}
            axis.plot(*([row.couplings.get(name, NAN) for row in chosen] for name in names), **style)


def _map(figure: Figure, axis: Axes, rows: list[Row], names: tuple[str, ...], panel: Panel) -> None:
    """Tiles when the points fill a grid, else coloured squares where the points are."""
    from matplotlib.colors import LogNorm, Normalize

    known = [(*(row.couplings.get(name, NAN) for name in names), panel.value(row)) for row in rows]
    shows = [not any(map(math.isnan, entry)) and not (panel.log and entry[2] <= 0) for entry in known]
    known, usable = (
        [entry for entry, draw, row in zip(known, shows, rows, strict=True) if draw and (some or row.mark != "refused")]
        for some in (True, False)
    )
    if not known:
        return
    xs, ys, values = zip(*known, strict=True)
    # Refused values are drawn, but the colours belong to the others: an explosion would take them all.
    spread = [value for _, _, value in usable or known]
    scale = (LogNorm if panel.log else Normalize)(min(spread), max(spread))
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
