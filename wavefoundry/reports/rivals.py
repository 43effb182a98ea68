"""Adaptation against its rivals: one table, one figure, and the sentences that the numbers make."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from wavefoundry.core.words import assigned
from wavefoundry.reports import view
from wavefoundry.reports.content import Table
from wavefoundry.reports.panels import symbol
from wavefoundry.reports.style import COLOURS, MARKERS, new_figure, styled
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.diagram import Baselines, Range, Rival

CAPTION = (
    "Pre-training against its rivals. Left: error by coupling, bars from the lowest to the highest seed. Right: median "
    "error against the cost of a point, its share of the start included, without compiling."
)

SERIES = ("blue", "red", "green", "purple", "amber")


def title(kind: str, found: Baselines) -> str:
    """A method in words."""
    if kind == "transition":
        return f"{found.method}, pre-trained at the transition"
    if kind == "deep":
        return f"{found.method}, pre-trained at {assigned(found.deep or {})}"
    return {
        "scratch": "from scratch",
        "warm-chain": "warm starts, all weights",
        "random-backbone": "head, untrained",
        "foundation": "one network for all couplings",
        "foundation-head": "the same, then heads",
    }.get(kind, kind)


def by_error(found: Baselines) -> bool:
    """Whether errors are read off the relative error, which every point has to have; else off the V-score."""
    return all(entry is not None for one in found.methods for entry in one.relative_error)


def _read(one: Rival, relative: bool) -> list[Range | None]:
    return one.relative_error if relative else one.v_score


def comparison_table(summary: DiagramSummary) -> Table | None:
    """Errors, V-scores and costs by method, and how often the pre-training gives the lower energy."""
    found = summary.baselines
    if found is None:
        return None
    relative = by_error(found)
    body = []
    for one in found.methods:
        errors = _means(_read(one, relative))
        counts = " / ".join(str(one.against.count(word)) for word in ("lower", "equal", "higher"))
        body.append([
            title(one.kind, found),
            format_number(_median(errors)),
            format_number(max(errors, default=view.NAN)),
            format_number(_median(_means(one.v_score))),
            format_number(one.cost.point, 3),
            format_number(one.cost.start, 3),
            format_number(one.cost.amortised, 3),
            counts if one.against else NOT_AVAILABLE,
        ])  # fmt: skip
    what = "rel. error" if relative else "V-score"
    head = ["method", f"median {what}", f"largest {what}", "median V-score", "CPU s / point", "CPU s, start"]
    return Table([*head, "CPU s / point in all", "lower / equal / higher"], body, [""] * len(body))


def words(summary: DiagramSummary) -> list[str]:
    """Where the pre-training wins and where not, a sentence for each rival."""
    return [] if summary.baselines is None else summary.baselines.words


@styled
def rivals_figure(summary: DiagramSummary) -> Figure | None:
    """Error against coupling by method, and error against cost."""
    found = summary.baselines
    if found is None:
        return None
    relative, points = by_error(found), found.points
    varied = [key for key in points[0] if len({point[key] for point in points}) > 1] or list(points[0])
    figure, (left, right) = new_figure(7.2, 3.6, ncols=2, width_ratios=[1.35, 1])
    place = [point[varied[0]] for point in points] if len(varied) == 1 else list(range(len(points)))
    for index, one in enumerate(found.methods):
        again, colour = divmod(index, len(SERIES))
        style: dict[str, Any] = {"color": COLOURS[SERIES[colour]], "marker": MARKERS[(index + again) % len(MARKERS)]}
        rows = [(x, e) for x, e in zip(place, _read(one, relative), strict=True) if e is not None and e.mean > 0]
        if not rows:
            continue
        rows.sort(key=lambda row: row[0])
        xs, ys = [x for x, _ in rows], [e.mean for _, e in rows]
        bars = [[max(0.0, e.mean - e.lowest) for _, e in rows], [e.highest - e.mean for _, e in rows]]
        left.errorbar(xs, ys, yerr=bars, ms=4.5, lw=1.0, label=title(one.kind, found), **style)
        if one.cost.amortised > 0:
            right.plot([one.cost.amortised], [_median(ys)], ls="none", ms=7, **style)
    label = "relative error" if relative else "V-score"
    left.set_yscale("log", nonpositive="mask")
    left.set(xlabel=f"coupling {symbol(varied[0])}" if len(varied) == 1 else "point", ylabel=label)
    right.set_xscale("log")
    right.set_yscale("log")
    right.set(xlabel="CPU time per point in all (s)", ylabel=f"median {label}")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def _means(entries: list[Range | None]) -> list[float]:
    return [entry.mean for entry in entries if entry is not None]


def _median(values: list[float]) -> float:
    ordered = sorted(value for value in values if not math.isnan(value))
    if not ordered:
        return view.NAN
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
