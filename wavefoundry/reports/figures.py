"""The figures of a phase-diagram run, from ``summary.json`` and, for the convergence, ``log.jsonl`` alone.

Every function returns a figure, or ``None`` when the run holds nothing to draw; ``diagram_figure`` always
returns one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from wavefoundry.core.verdict import VARIANCE_REFUSE, VARIANCE_WARN
from wavefoundry.reports import view, view_log
from wavefoundry.reports.panels import (
    MARKS,
    Panel,
    abscissa,
    axis_name,
    colours_along,
    curve,
    drop,
    finite,
    flag_note,
    level,
    maps,
    mark_pretraining,
    shared_legend,
    small_multiples,
)
from wavefoundry.reports.style import COLOURS, literal, mark, new_figure, styled, symbol
from wavefoundry.reports.view import NAN, Estimate, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wavefoundry.core.records import DiagramSummary

MAX_PANELS = 8
MAX_DOTS = 400
VERY_GOOD_V_SCORE = 1e-4
SCORE_LEVELS = ((VERY_GOOD_V_SCORE, "very good"), (VARIANCE_WARN, "doubtful"), (VARIANCE_REFUSE, "refused"))
OBSERVABLE_NAMES = {
    "m2": r"$\langle m_z^2\rangle$",
    "m4": r"$\langle m_z^4\rangle$",
    "abs_m": r"$\langle |m_z|\rangle$",
    "mz": r"$\langle m_z\rangle$",
    "mx": r"$\langle m_x\rangle$",
    "binder": "Binder cumulant",
    "structure_peak": r"max $S_{zz}(q)$",
    "renyi2": "Renyi-2 entropy",
    "dimer2": r"dimers $D^2$",
    "dimer2_x": r"dimers $D_x^2$",
    "dimer2_y": r"dimers $D_y^2$",
    "chirality2": r"chirality $\chi^2$",
}


@styled
def diagram_figure(summary: DiagramSummary) -> Figure:
    """The phase diagram: energy per site with error bars and exact curve, and below it how far to trust it.

    The lower panel shows the relative error against exact energies with the error bar as its floor, and the
    V-score. With two varying couplings both panels are maps.

    Args:
        summary: of the run; one without points gives a note that says so.
    """
    rows = view.rows(summary)
    names = view.axes(summary, rows)
    readers = (lambda r: r.energy.value, lambda r: r.energy.error, lambda r: r.energy.exact)
    energy = Panel(_energy_title(summary), *readers, note=flag_note)
    if len(names) == 2:
        second = Panel("relative error", lambda r: abs(r.relative_error), log=True)
        if not finite(row.relative_error for row in rows):
            second = Panel("V-score", lambda r: r.v_score.value, log=True)
        return maps(summary, rows, names, [energy, second])
    if not rows:
        figure, (only,) = new_figure(7.2, 1.2)
        only.set_axis_off()
        only.text(0.5, 0.5, "no points yet", ha="center", va="center", transform=only.transAxes)
        return figure
    figure, (top, bottom) = new_figure(7.2, 5.4, nrows=2, sharex=True, height_ratios=[3, 2])
    place = abscissa(rows, names)
    curve(top, rows, place, energy)
    _errors(bottom, rows, place)
    mark_pretraining(summary, names, [top, bottom])
    bottom.set_xlabel(axis_name(names))
    shared_legend(figure, [top, bottom])
    return figure


@styled
def observables_figure(summary: DiagramSummary) -> Figure | None:
    """Order parameters against the coupling, with exact curves where known (the first eight)."""
    rows = view.rows(summary)
    found = list(dict.fromkeys(name for row in rows for name in row.observables))
    panels = []
    for name in found[:MAX_PANELS]:
        title = OBSERVABLE_NAMES.get(name, literal(name))
        panels.append(_estimate_panel(title, "observables", name))
    return small_multiples(summary, rows, panels)


@styled
def terms_figure(summary: DiagramSummary) -> Figure | None:
    """Expectation value of each term of the Hamiltonian per site: the slopes dE/dc of the energy."""
    rows = view.rows(summary)
    per_site = "" if math.isnan(view.sites(summary)) else r"\,/\,N"
    panels = []
    for name in list(dict.fromkeys(name for row in rows for name in row.terms))[:MAX_PANELS]:
        shown = symbol(name)
        inner = shown.strip("$") if shown.startswith("$") and shown.endswith("$") else ""
        title = f"$\\langle H_{{{inner}}}\\rangle{per_site}$" if inner else f"term {shown}"
        panels.append(_estimate_panel(title, "terms", name))
    return small_multiples(summary, rows, panels)


def _estimate_panel(title: str, group: str, name: str) -> Panel:
    """Value, error, exact value, verdict and bias of one named entry of a row; without its own verdict, the row's."""

    def read(row: Row) -> Estimate:
        return getattr(row, group).get(name, Estimate(NAN))

    return Panel(
        title,
        lambda row: read(row).value,
        lambda row: read(row).error,
        lambda row: read(row).exact,
        word=lambda row: read(row).word or row.mark,
        bias=lambda row: read(row).bias,
        note=lambda row: _off(read(row)) if row.word != "refused" else "",
    )


def _off(entry: Estimate) -> str:
    """How many error bars a value is off, where it contradicts its exact one."""
    return f"{entry.z:+.0f}σ".replace("-", "\u2212") if entry.contradicts else ""


@styled
def correlations_figure(summary: DiagramSummary, stem: str = "") -> Figure | None:
    """Correlation functions against distance: dots a coupling, the exact values joined by a line.

    Args:
        summary: of the run. stem: "structure" for structure factors over the number of the momentum instead.
    """
    rows = view.rows(summary)
    found = list(dict.fromkeys(name for row in rows for name in row.profiles))
    found = [name for name in found if name.startswith("structure") == bool(stem)][:MAX_PANELS]
    if not found:
        return None
    names = view.axes(summary, rows)
    lines = math.ceil(len(found) / 2)
    figure, axes = new_figure(7.2, 0.2 + 2.8 * lines, nrows=lines, ncols=min(2, len(found)))
    colours, scale = colours_along(rows, names)
    for axis, name in zip(axes, found, strict=False):
        for row, colour in zip(rows, colours, strict=True):
            _profile(axis, row, row.profiles.get(name, []), colour)
        axis.set(xlabel="number of the momentum" if stem else "distance (sites)", ylabel=literal(name))
    entries = [(row, entry) for row in rows for profile in row.profiles.values() for entry in profile]
    words = {entry.word or row.mark for row, entry in entries if not math.isnan(entry.value)}
    for word in MARKS if words - {"trusted"} else ():
        if word in words:
            axes[0].plot([], [], ls="none", label=word, **mark(word, COLOURS["ink"]))
    shared_legend(figure, axes[:1])
    drop(axes[len(found) :])
    if scale is not None:
        figure.colorbar(scale, ax=axes[: len(found)], label=axis_name(names))
    return figure


def _profile(axis: Axes, row: Row, profile: list[Estimate], colour: Any) -> None:
    """One correlation function: marks by verdict with error bars, exact values (else the marks) joined by a line."""
    known = bool(finite(entry.exact for entry in profile))
    axis.plot([entry.exact if known else entry.value for entry in profile], color=colour, lw=0.9)
    for word in MARKS:
        chosen = [(r, entry) for r, entry in enumerate(profile) if (entry.word or row.mark) == word]
        if not chosen:
            continue
        errors = [0.0 if math.isnan(entry.error) else abs(entry.error) for _, entry in chosen]
        xs, ys = [r for r, _ in chosen], [entry.value for _, entry in chosen]
        style = mark(word, colour) | {"ms": 4.2, "ls": "none", "ecolor": colour, "capsize": 0, "elinewidth": 0.8}
        axis.errorbar(xs, ys, errors, **style)


@styled
def quality_figure(summary: DiagramSummary) -> Figure | None:
    """V-score (how close to an eigenstate) and split R-hat (did the walkers agree) at every point.

    Beside the V-score stands the plain one, which is blind to configurations that the samples never meet.
    """
    rows = view.rows(summary)
    plain = ("plain V-score", lambda row: row.v_score_plain.value)
    score = Panel("V-score", lambda row: row.v_score.value, lambda row: row.v_score.error, log=True, beside=plain)
    mixing = Panel(r"split $\hat{R}$", lambda row: row.r_hat)
    figure = small_multiples(summary, rows, [score, mixing])
    if figure is None or len(view.axes(summary, rows)) == 2:
        return figure
    for axes in figure.axes:
        if axes.get_ylabel() == score.title:
            for value, text in SCORE_LEVELS if any(row.word for row in rows) else SCORE_LEVELS[:1]:
                level(axes, value, text)
        if axes.get_ylabel() == mixing.title:
            level(axes, 1.01, "1.01")
            if max(finite(row.r_hat for row in rows)) > 1.05:
                level(axes, 1.1, "1.1")
    return figure


@styled
def cost_figure(summary: DiagramSummary) -> Figure | None:
    """CPU time: pre-training against all adaptations together, and the adaptation of every single point."""
    rows = view.rows(summary)
    names = view.axes(summary, rows)
    spent = finite(row.cpu_seconds for row in rows)
    if not spent:
        return None
    figure, (left, right) = new_figure(7.2, 2.7, ncols=2, width_ratios=[1, 1.25])
    bars = [("pre-training", view.pretraining_seconds(summary), "muted")]
    bars = [bar for bar in bars if not math.isnan(bar[1])]
    bars.append((f"{len(spent)} adaptation{'s' * (len(spent) > 1)}, together", sum(spent), "blue"))
    for place, (text, seconds, colour) in enumerate(bars):
        left.barh(place, seconds, color=COLOURS[colour], height=0.4)
        left.text(seconds, place, f" {seconds:.3g} s", va="center", fontsize=10.5)
        left.text(0, place - 0.25, text, va="bottom", fontsize=10.5)
    left.set(yticks=[], xlabel="CPU time (s)", ylim=(len(bars) - 0.5, -0.7))
    left.spines["left"].set_visible(False)
    left.set_xlim(0, 1.25 * max(seconds for _, seconds, _ in bars) or 1)
    # Two methods at one coupling would hide each other's bars.
    names = names if len(set(abscissa(rows, names))) == len(rows) else ()
    place = abscissa(rows, names)
    stops = sorted(set(finite(place)))
    width = 0.7 * min((after - before for before, after in zip(stops, stops[1:], strict=False)), default=0.1)
    right.bar(place, [row.cpu_seconds for row in rows], width=width, color=COLOURS["blue"])
    right.set(xlabel=axis_name(names), ylabel="CPU time per point (s)")
    right.grid(axis="x", visible=False)
    return figure


@styled
def pretrain_figure(summary: DiagramSummary, log: list[dict[str, Any]]) -> Figure | None:
    """Pre-training by step, from the log: relative error (or the energy, without exact one) and V-score.

    The energies are those of the samples of each step, at parameters that still move: display values, not
    results.
    """
    steps = view_log.steps(log)
    scale = view.sites(summary)
    scale = 1.0 if math.isnan(scale) else scale
    exact = _exact_pretraining(summary)
    energies = [view.number(step.get("energy")) / scale for step in steps]
    curves = [
        (_energy_title(summary), energies, False)
        if math.isnan(exact)
        else ("relative error", [abs(view.divide(e - exact, exact)) for e in energies], True),
        ("V-score", [view.number(step.get("v_score")) for step in steps], True),
    ]
    curves = [entry for entry in curves if finite(entry[1])]
    if not curves:
        return None
    # A path of more dots than pixels only makes the page heavy; the last step always stays.
    stride = max(1, len(steps) // MAX_DOTS)
    kept = slice((len(steps) - 1) % stride, None, stride)
    figure, axes = new_figure(7.2, 2.8, ncols=len(curves))
    for axis, (title, values, log_scale) in zip(axes, curves, strict=True):
        axis.plot([step["step"] for step in steps][kept], values[kept], color=COLOURS["blue"], lw=1.1)
        axis.set(xlabel="step", ylabel=title)
        if log_scale and any(value > 0 for value in values):
            axis.set_yscale("log", nonpositive="mask")
    return figure


def _exact_pretraining(summary: DiagramSummary) -> float:
    """Exact energy per site at the pre-training couplings: recorded, or of a point that stands there."""
    if summary.pretrain is None:
        return NAN
    recorded = view.number(summary.pretrain.exact_energy) / view.sites(summary)
    if not math.isnan(recorded):
        return recorded
    at = summary.pretrain.couplings
    shared = [row for row in view.rows(summary) if at and all(row.couplings.get(name) == at[name] for name in at)]
    return next(iter(finite(row.energy.exact for row in shared)), NAN)


@styled
def rounds_figure(summary: DiagramSummary, log: list[dict[str, Any]]) -> Figure | None:
    """Adaptation by round: distance of training and held-out energies from the exact one, and the pool's ESS.

    Where an exact energy is missing, distances are from the final energy on fresh samples. None where no point took
    more than one round, which leaves no course to show.
    """
    every = view.rows(summary)
    tuned = [(row, events) for row, events in zip(every, view_log.adaptation_rounds(log, every), strict=True) if events]
    if all(len(events) < 2 for _, events in tuned):
        return None
    rows = [row for row, _ in tuned]
    scale = view.sites(summary)
    scale = 1.0 if math.isnan(scale) else scale
    names = view.axes(summary)
    colours, bar = colours_along(rows, names)
    figure, (left, right) = new_figure(7.2, 2.9, ncols=2)
    known = all(not math.isnan(row.energy.exact) for row in rows)
    for (row, events), colour in zip(tuned, colours, strict=True):
        xs = [event["round"] for event in events]
        dot = "." if len(rows) <= 6 or len(events) == 1 else ""  # a single round is no line
        target = row.energy.exact if known else row.energy.value
        for key, style in (("energy", "-"), ("held_out", "--")):
            ys = [abs(view.divide(view_log.energy(event, key) / scale - target, target)) for event in events]
            left.plot(xs, ys, style, color=colour, lw=0.9, marker=dot, ms=4)
        right.plot(xs, [view.number(event.get("ess")) for event in events], color=colour, lw=0.9, marker=dot, ms=4)
    for style, text in (("-", "fresh samples"), ("--", "held-out part")):
        left.plot([], [], style, color=COLOURS["ink"], lw=1.0, label=text)
    left.set_yscale("log", nonpositive="mask")
    left.set(xlabel="round", ylabel="relative error" if known else "distance from final energy")
    left.legend(loc="upper right")
    fractions = finite(view.number(event.get("ess")) for _, events in tuned for event in events)
    right.set(xlabel="round", ylabel="pool ESS / samples" if max(fractions, default=0) <= 1 else "pool ESS")
    if max(fractions, default=0) <= 1:
        right.set_ylim(0, 1.03)
    if bar is not None:
        figure.colorbar(bar, ax=[left, right], label=axis_name(names), pad=0.01)
    return figure


def _energy_title(summary: DiagramSummary) -> str:
    title = "energy" if math.isnan(view.sites(summary)) else "energy per site"
    unit = view.unit(summary)
    return f"{title} ({symbol(unit)})" if unit else title


def _errors(axes: Axes, rows: list[Row], place: list[float]) -> None:
    """Relative error over its statistical floor, and the V-score, on one logarithmic scale."""
    score = [(x, row.v_score.value) for x, row in zip(place, rows, strict=True) if row.v_score.value > 0]
    if score:
        style = {"ls": "none", "marker": "D", "ms": 3.6, "color": COLOURS["muted"], "mfc": "none", "mew": 0.9}
        axes.plot(*zip(*score, strict=True), label="V-score", zorder=2, **style)
    if finite(row.relative_error for row in rows):
        above = Panel("", lambda r: r.relative_error, lambda r: view.divide(r.energy.error, r.scale), log=True)
        curve(axes, rows, place, above)
        below = [(x, -row.relative_error) for x, row in zip(place, rows, strict=True) if row.relative_error < 0]
        style = {"ls": "none", "marker": "v", "ms": 5, "color": COLOURS["blue"], "mfc": COLOURS["paper"]}
        if below:
            axes.plot(*zip(*below, strict=True), label="below exact", zorder=3, **style)
    floor = [(x, view.divide(row.energy.error, row.scale)) for x, row in zip(place, rows, strict=True)
             if row.energy.error > 0]  # fmt: skip
    floor = sorted(pair for pair in floor if not math.isnan(pair[1]))
    if floor:
        xs, bars = zip(*floor, strict=True)
        seen = [abs(row.relative_error) for row in rows if abs(row.relative_error) > 0]
        bottom = min([*bars, *seen]) / 2
        axes.fill_between(xs, bottom, bars, color=COLOURS["sky"], alpha=0.28, lw=0, label="error bar (1σ)")
        axes.set_ylim(bottom=bottom)
    if floor or score:
        axes.set_yscale("log", nonpositive="clip")
    axes.set_ylabel("relative error, V-score" if finite(row.relative_error for row in rows) else "V-score")
