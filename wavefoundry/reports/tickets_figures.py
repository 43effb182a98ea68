"""The figures of a hunt for tickets, from ``summary.json`` alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.reports import published
from wavefoundry.reports.panels import column, level, shared_legend
from wavefoundry.reports.style import COLOURS, MARKERS, SERIES, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wavefoundry.core.records.tickets import Fit, Round, System, TicketsSummary, Transferred, Unit

VARIANT_NAMES = {
    "init": "initial weights, found mask",
    "random-init": "new random weights, found mask",
    "random-mask": "random mask",
    "shuffled-mask": "shuffled mask",
    "one-shot-mask": "one-shot mask",
}


@styled
def error_figure(summary: TicketsSummary) -> Figure | None:
    """Relative error against surviving weights, with isolated trainings, the fit, the onset and published points."""
    n = column(record.n for record in summary.rounds)
    error = np.abs(column(record.relative_error for record in summary.rounds))
    if not np.any(error > 0):
        return None
    figure, (axes,) = new_figure(7.2, 4.4)
    axes.set(xscale="log", yscale="log", xlabel="surviving weights $n$", ylabel="relative error of the energy")
    _regions(axes, summary.fit)
    axes.plot(n, error, marker="o", color=COLOURS["ink"], ms=4, lw=1.1, label="pruned round by round", zorder=4)
    for k, variant in enumerate(VARIANT_NAMES):
        found = [record for record in summary.isolation if record.variant == variant and record.mean]
        if not found:
            continue
        mean = column(record.mean for record in found)
        spread = np.nan_to_num(column(record.log_error for record in found))
        bars = np.stack([mean - mean * np.exp(-spread), mean * np.exp(spread) - mean])
        style = {"color": COLOURS[SERIES[k]], "fmt": MARKERS[k], "ms": 5, "mfc": "none", "zorder": 5}
        place = column(record.n for record in found) * (1 + 0.02 * (k - 2))
        axes.errorbar(place, mean, bars, label=VARIANT_NAMES[variant], **style)
    _published(axes, summary)
    _onset(axes, summary)
    shared_legend(figure, [axes])
    return figure


def _regions(axes: Axes, fit: Fit) -> None:
    """Shaded regions and slopes of the three-segment fit."""
    if len(fit.boundaries) != 2 or fit.intervals is None:
        return
    low, high = fit.boundaries
    axes.axvspan(low, high, color=COLOURS["sky"], alpha=0.15, lw=0, label="middle region of the fit")
    for boundary, (start, end) in zip((low, high), fit.intervals.boundaries, strict=True):
        axes.axvline(boundary, color=COLOURS["blue"], lw=0.9)
        if start is not None and end is not None:
            axes.axvspan(start, end, color=COLOURS["blue"], alpha=0.12, lw=0)


def _published(axes: Axes, summary: TicketsSummary) -> None:
    """Points of the paper for the same system; its errors per site become relative ones as ours do."""
    scales = [r.relative_error / r.delta_per_site for r in summary.rounds if r.relative_error and r.delta_per_site]
    for k, curve in enumerate(published.curves(summary)):
        if scales or curve.relative:
            factor = 1.0 if curve.relative else abs(scales[-1])
            look = {"marker": MARKERS[(k + 1) % len(MARKERS)], "ms": 6, "mfc": "none", "ls": "none", "zorder": 3}
            label = f"{published.PAPER}: {curve.label}"
            axes.plot(curve.n, factor * np.array(curve.error), color=COLOURS["muted"], label=label, **look)


def _onset(axes: Axes, summary: TicketsSummary) -> None:
    if (onset := summary.onset) is not None:
        axes.axvline(math.sqrt(onset.n * onset.next_n), color=COLOURS["red"], lw=1, ls=(0, (4, 3)), label="onset")
    for law in summary.laws:
        axes.axvline(law.predicted, color=COLOURS["green"], lw=1, ls=":", label=law.law.split(",")[0])


@styled
def state_figure(rounds: list[Round], known: tuple[float, float] | None = None) -> Figure | None:
    """Fidelity between neighbouring rounds, and observables, against weights per spin; known: a published dip."""
    if len(rounds) < 2:
        return None
    names = [k for k in rounds[0].observables if not k.startswith("term_") and k not in ("m2", "m_z")]
    figure, (top, bottom) = new_figure(7.2, 5.0, nrows=2, sharex=True)
    rho = column(record.rho for record in rounds)
    infidelity = 1 - np.minimum(column(record.fidelity_previous for record in rounds), 1.0)
    top.set(xscale="log", yscale="log", ylabel="1 - fidelity")
    top.plot(rho, np.maximum(infidelity, 1e-12), marker="o", color=COLOURS["purple"], ms=4)
    if known is not None:
        look = {"color": COLOURS["muted"], "mfc": "none", "ms": 7, "ls": "none"}
        top.plot(*known, marker="s", label=f"smallest in {published.PAPER}", **look)
        top.legend(loc="best")
    for k, name in enumerate(names):
        values = column(record.observables.get(name) for record in rounds)
        bottom.plot(rho, values, marker=MARKERS[k % 5], color=COLOURS[SERIES[k % 5]], ms=4, label=name)
    bottom.set(xlabel="weights per spin $n/N$", ylabel="observables")
    shared_legend(figure, [bottom])
    return figure


@styled
def variance_figure(summary: TicketsSummary) -> Figure | None:
    """Energy per site against variance per site; the exact energy as a line."""
    variance = column(record.variance_per_site for record in summary.rounds)
    energy = column(record.energy_per_site for record in summary.rounds)
    if not np.any(variance > 0):
        return None
    figure, (axes,) = new_figure(7.2, 3.2)
    axes.plot(variance, energy, marker="o", color=COLOURS["blue"], ms=4, ls="none")
    axes.set(xscale="log", xlabel="variance per site", ylabel="energy per site")
    reference, system = summary.reference, summary.system
    if reference is not None and reference.energy is not None and system is not None:
        level(axes, reference.energy / system.sites, reference.kind)
    return figure


@styled
def lattice_figure(summary: TicketsSummary) -> Figure | None:
    """The surviving units on the lattice: bonds as lines, plaquettes filled, other units as outlines."""
    units, system = summary.explain.units, summary.system
    if system is None or not units or len(units) > 200:
        return None
    places, periods = positions(system), _periods(system)
    figure, (axes,) = new_figure(5.2, 4.6)
    axes.set_axis_off()
    axes.set_aspect("equal")
    for k, unit in enumerate(units):
        _draw_unit(axes, unit, together(np.array([places[site] for site in unit.sites]), periods), k)
    axes.scatter(*zip(*places, strict=True), s=26, color=COLOURS["ink"], zorder=5)
    return figure


def positions(system: System) -> list[tuple[float, float]]:
    """Where each spin is drawn: sites of the lattice, or the middle of the edges of a torus."""
    if (drawn := _drawn(system)) is not None:
        return drawn[0]
    if len(system.extent) == 1:
        return [(float(x), 0.0) for x in range(system.extent[0])]
    return [(float(y), -float(x)) for x in range(system.extent[0]) for y in range(system.extent[1])]


def _drawn(system: System) -> tuple[list[tuple[float, float]], tuple[float, float]] | None:
    """Positions and periods of a model that has its own; None for rows and columns."""
    model = MODELS.get(system.model)
    if model is None or model.drawn is None:
        return None
    return model.drawn(model.place(system.extent, "", system.periodic))


def _periods(system: System) -> np.ndarray | None:
    """Periods of the drawing along its two directions; None for open boundaries."""
    if not system.periodic:
        return None
    if (drawn := _drawn(system)) is not None:
        return np.array(drawn[1], float)
    return np.array([system.extent[0], 1.0] if len(system.extent) == 1 else system.extent[::-1], float)


def together(points: np.ndarray, periods: np.ndarray | None) -> np.ndarray:
    """Periodic images of points that lie close to each other, so that no unit is drawn across the whole lattice."""
    if periods is None:
        return points
    best = points
    nudges = 1e-3 * np.array([(1, 1), (1, -1), (-1, 1), (-1, -1)])  # to either side of points half a period away
    for anchor in (points[:, None] + nudges).reshape(-1, 2):
        images = points - periods * np.round((points - anchor) / periods)
        if np.var(images, axis=0).sum() < np.var(best, axis=0).sum() - 1e-9:
            best = images
    return best


def _draw_unit(axes: Axes, unit: Unit, points: np.ndarray, k: int) -> None:
    colour = COLOURS["blue"] if unit.parity > 0 else COLOURS["red"]
    if len(points) == 1:
        axes.scatter(*points[0], s=90, facecolors="none", edgecolors=COLOURS["muted"], zorder=4)
        return
    if unit.kind == "bond":
        axes.plot(*points.T, color=colour, lw=3, solid_capstyle="round", zorder=2)
        if unit.coupling is not None:
            upright = abs(points[0, 0] - points[1, 0]) < abs(points[0, 1] - points[1, 1])
            place = {"xytext": (4, 0) if upright else (0, 4), "ha": "left" if upright else "center"}
            style = {"textcoords": "offset points", "fontsize": 8, "va": "center" if upright else "bottom"}
            axes.annotate(f"{unit.coupling:.4f}", points.mean(axis=0), **place, **style)
        return
    centre = points.mean(axis=0)
    order = np.argsort(np.arctan2(*(points - centre).T))
    ring = points[order] * 0.94 + centre * 0.06 + 0.02 * np.array([math.cos(k), math.sin(k)])
    axes.fill(*ring.T, facecolor=colour, alpha=0.06, edgecolor=colour, lw=0.9, zorder=1)


@styled
def transfer_figure(records: list[Transferred]) -> Figure | None:
    """Error of tickets at other couplings, beside the dense network and random masks."""
    names = [k for k in (records[0].couplings if records else {}) if len({r.couplings[k] for r in records}) > 1]
    if len(names) != 1:
        return None
    figure, (axes,) = new_figure(7.2, 3.6)
    axes.set(yscale="log", xlabel=f"coupling {names[0]}", ylabel="relative error")
    groups = dict.fromkeys((record.mask, record.n) for record in records)
    for k, (mask, n) in enumerate(groups):
        found = [record for record in records if (record.mask, record.n) == (mask, n)]
        x, error = [r.couplings[names[0]] for r in found], np.abs(column(r.relative_error for r in found))
        style = {"ls": ":" if mask == "random" else "-", "marker": MARKERS[(k + k // 5) % 5], "ms": 4}
        axes.plot(x, error, color=COLOURS[SERIES[k % 5]], label=f"{mask}, {n}", **style)
    shared_legend(figure, [axes])
    return figure
