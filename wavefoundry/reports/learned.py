"""What the networks of a diagram have learned, as a figure and words: principal components of their features."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wavefoundry.reports import view
from wavefoundry.reports.style import COLOUR_MAP, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.diagram import Features, Stage

QUANTITIES = {
    "log_psi": "log |ψ|",
    "abs_m": "|m|",
    "m": "m",
    "staggered_m": "staggered m",
    "staggered_abs_m": "|staggered m|",
    "three_sublattice_abs_m": "|three-sublattice m|",
    "correlation_1": "⟨ZZ⟩ of neighbours",
}
MOST = 3
"""Bases that are drawn."""


def _bases(summary: DiagramSummary) -> list[Features]:
    """Records of all bases that hold stages with points."""
    return [one for one in summary.features or [] if _stages(one)]


def _stages(features: Features) -> list[Stage]:
    """Those that can be drawn: the first, the last on the way, the final one."""
    stages = [one for one in features.stages if len(one.points) > 1]
    return [stages[0], *stages[1:-1][-1:], stages[-1]] if len(stages) > 1 else stages


def _coloured(features: Features) -> list[str]:
    """Quantities that colour the points: log psi, and the order parameter, with its sign where it has one."""
    names = list(features.quantities)
    orders = [name for name in names if name.endswith("m")]
    return [name for name in names if name == "log_psi"] + orders[-1:]


@styled
def features_figure(summary: DiagramSummary) -> Figure | None:
    """The first two principal components of the features before, during and after the training, in two colourings."""
    rows = [(base, name) for base in _bases(summary)[:MOST] for name in _coloured(base)]
    if not rows:
        return None
    columns = max(len(_stages(base)) for base, _ in rows)
    figure, axes = new_figure(7.2, 0.4 + 2.3 * len(rows), nrows=len(rows), ncols=columns)
    for k, (base, name) in enumerate(rows):
        mine, colours = list(axes[k * columns : (k + 1) * columns]), [*map(view.number, base.quantities[name])]
        dots = None
        for axis, one in zip(mine, _stages(base), strict=False):
            first, second = ([*map(view.number, values)] for values in one.points[:2])
            dots = axis.scatter(first, second, c=colours[: len(first)], s=7, cmap=COLOUR_MAP, lw=0)
            axis.set(xticks=[], yticks=[])
            if name == "log_psi":
                share = view.number(one.explained[0]) if one.explained else math.nan
                axis.set_title(f"{one.stage} (step {one.step:g}): {share:.0%}", fontsize=9.5)
        if dots is not None:
            figure.colorbar(dots, ax=mine, label=QUANTITIES.get(name, literal(name)), pad=0.01)
    return figure


def words(summary: DiagramSummary) -> list[str]:
    """How much of the variance the first component has, and what it goes with, before and after; a line each base."""
    said, found = [], _bases(summary)
    for base in found:
        stages = _stages(base)
        place = f"At {view.label(base.couplings, view.axes(summary))}: " if len(found) > 1 else ""
        ends = (
            [("Before the training", stages[0]), ("After it", stages[-1])]
            if len(stages) > 1
            else [("As it is", stages[0])]
        )
        texts = [f"{when} the first component has {_shares(one)}{_goes_with(one)}." for when, one in ends]
        said.append(place + " ".join(texts))
    return said


def _shares(one: Stage) -> str:
    first, *others = [view.number(value) for value in one.explained] or [math.nan]
    return f"{first:.0%} of the variance" + (f", the second {others[0]:.0%}" if others else "")


def _goes_with(one: Stage) -> str:
    """Correlations of the first component in words."""
    found = one.correlations.get("pc1", {})
    known = {name: (view.number(entry.value), view.number(entry.error)) for name, entry in found.items()}
    texts = [
        f"{QUANTITIES.get(name, name)} {value:.2f} ± {error:.2f}"
        for name, (value, error) in known.items()
        if not math.isnan(value)
    ]
    return f"; correlations of the first: {', '.join(texts)}" if texts else ""
