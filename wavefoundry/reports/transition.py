"""The transition of a diagram in words and as a figure: a panel for every method that has a curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wavefoundry.reports import view
from wavefoundry.reports.content import Table
from wavefoundry.reports.panels import drop, mark_pretraining, shared_legend
from wavefoundry.reports.style import COLOURS, new_figure, styled, symbol
from wavefoundry.reports.tables import NOT_AVAILABLE, format_value_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.diagram import Transition

NAMES = {
    "bases": "crossing of two bases",
    "crossing": "jump of the slope",
    "fidelity": "fidelity susceptibility",
    "curvature": "second derivative of the energy",
    "order-parameter": "change of the order parameter",
    "binder": "change of the Binder ratio",
}
AXES = {
    "crossing": r"$\partial E/\partial c\;/\,N$",
    "fidelity": r"$-2\,\ln F/\delta c^2\,/\,N$",
    "curvature": r"$-\partial^2 E/\partial c^2\,/\,N$",
    "order-parameter": "slope of the order parameter",
    "binder": "slope of the Binder ratio",
}


def line(summary: DiagramSummary) -> str:
    """Where the transition is and by which method, or that none is seen; empty for runs that were not asked."""
    rows, best = summary.transitions or [], summary.transition
    if best is not None:
        others = [row for row in rows if row.verdict == "seen" and row.method != best.method]
        also = "; ".join(f"{_place(row)} by {_name(row)}" for row in others)
        return f"transition at {_place(best)} by {_name(best)}" + (f" ({also})" if also else "")
    return "transition: none seen along this scan" if any(row.coupling for row in rows) else ""


def table(summary: DiagramSummary) -> Table | None:
    """What every method finds, or why it claims nothing."""
    rows = [row for row in summary.transitions or [] if row.coupling]
    if not rows:
        return None
    body = [[_name(row), _place(row), row.verdict or "", row.why or ""] for row in rows]
    return Table(["method", "where", "verdict", "why"], body, [""] * len(body))


def _name(row: Transition) -> str:
    return NAMES.get(row.method, row.method)


def _place(row: Transition) -> str:
    value, error = view.number(row.value), view.number(row.error)
    return NOT_AVAILABLE if math.isnan(value) else f"{row.coupling} = {format_value_error(value, error)}"


@styled
def transition_figure(summary: DiagramSummary) -> Figure | None:
    """Curves of all methods over the coupling; a band where a method sees a transition, as wide as its error bar."""
    rows = [(row, row.curve) for row in summary.transitions or [] if row.method in AXES and row.curve and row.curve.x]
    if not rows:
        return None
    lines = math.ceil(len(rows) / 2)
    figure, axes = new_figure(7.2, 0.5 + 2.3 * lines, nrows=lines, ncols=min(2, len(rows)))
    for axis, (row, curve) in zip(axes, rows, strict=False):
        name = str(row.coupling)
        style = {"color": COLOURS["blue"], "marker": "o", "ms": 3.4, "lw": 0.9, "elinewidth": 0.9}
        axis.errorbar(curve.x, [*map(view.number, curve.value)], [*map(view.number, curve.error)], **style)
        value, error = view.number(row.value), view.number(row.error)
        if not math.isnan(value):
            axis.axvspan(value - error, value + error, color=COLOURS["sky"], alpha=0.35, lw=0, label="seen here")
            axis.axvline(value, color=COLOURS["red"], lw=1)
        else:
            axis.set_title("not seen", fontsize=9, color=COLOURS["muted"], loc="right")
        mark_pretraining(summary, (name,), [axis])
        axis.set(xlabel=f"coupling {symbol(name)}", ylabel=AXES[row.method])
    drop(axes[len(rows) :])
    shared_legend(figure, axes[: len(rows)])
    return figure
