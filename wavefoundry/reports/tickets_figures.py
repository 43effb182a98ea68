"""The figures of a hunt for tickets, from ``summary.json`` alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.reports.panels import level, shared_legend
from wavefoundry.reports.style import COLOURS, MARKERS, SERIES, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VARIANT_NAMES = {
    "init": "initial weights, found mask",
    "random-init": "new random weights, found mask",
    "random-mask": "random mask",
    "shuffled-mask": "shuffled mask",
    "one-shot-mask": "one-shot mask",
}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def _column(records: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([_number(record.get(name)) for record in records])


@styled
def error_figure(summary: dict[str, Any]) -> Figure | None:
    """Relative error against surviving weights, with isolated trainings, the fit and the onset."""
    rounds = summary.get("rounds") or []
    n, error = _column(rounds, "n"), np.abs(_column(rounds, "relative_error"))
    if not np.any(error > 0):
        return None
    figure, (axes,) = new_figure(7.2, 4.4)
    axes.set(xscale="log", yscale="log", xlabel="surviving weights $n$", ylabel="relative error of the energy")
    _regions(axes, summary.get("fit") or {})
    axes.plot(n, error, marker="o", color=COLOURS["ink"], ms=4, lw=1.1, label="pruned round by round", zorder=4)
    for k, variant in enumerate(VARIANT_NAMES):
        found = [r for r in summary.get("isolation") or [] if r.get("variant") == variant and r.get("mean")]
        if not found:
            continue
        mean = _column(found, "mean")
        spread = np.nan_to_num(_column(found, "log_error"))
        bars = np.stack([mean - mean * np.exp(-spread), mean * np.exp(spread) - mean])
        style = {"color": COLOURS[SERIES[k]], "fmt": MARKERS[k], "ms": 5, "mfc": "none", "zorder": 5}
        axes.errorbar(_column(found, "n") * (1 + 0.02 * (k - 2)), mean, bars, label=VARIANT_NAMES[variant], **style)
    _onset(axes, summary)
    shared_legend(figure, [axes])
    return figure


def _regions(axes: Axes, fit: dict[str, Any]) -> None:
    """Shaded regions and slopes of the three-segment fit."""
    if len(fit.get("boundaries") or []) != 2:
        return
    low, high = fit["boundaries"]
    axes.axvspan(low, high, color=COLOURS["sky"], alpha=0.15, lw=0, label="middle region of the fit")
    for boundary, interval in zip((low, high), fit["intervals"]["boundaries"], strict=True):
        axes.axvline(boundary, color=COLOURS["blue"], lw=0.9)
        axes.axvspan(*interval, color=COLOURS["blue"], alpha=0.12, lw=0)


def _onset(axes: Axes, summary: dict[str, Any]) -> None:
    onset = summary.get("onset") or {}
    if onset:
        axes.axvline(math.sqrt(onset["n"] * onset["next_n"]), color=COLOURS["red"], lw=1, ls=(0, (4, 3)), label="onset")
    for law in summary.get("laws") or []:
        axes.axvline(law["predicted"], color=COLOURS["green"], lw=1, ls=":", label=f"{law['law'].split(',')[0]}")


@styled
def state_figure(summary: dict[str, Any]) -> Figure | None:
    """Fidelity between neighbouring rounds, and observables, against weights per spin."""
    rounds = summary.get("rounds") or []
    if len(rounds) < 2:
        return None
    names = [k for k in rounds[0].get("observables") or {} if not k.startswith("term_") and k not in ("m2", "m_z")]
    figure, (top, bottom) = new_figure(7.2, 5.0, nrows=2, sharex=True)
    rho = _column(rounds, "rho")
    infidelity = 1 - np.minimum(_column(rounds, "fidelity_previous"), 1.0)
    top.set(xscale="log", yscale="log", ylabel="1 - fidelity")
    top.plot(rho, np.maximum(infidelity, 1e-12), marker="o", color=COLOURS["purple"], ms=4)
    for k, name in enumerate(names):
        values = [_number((record.get("observables") or {}).get(name)) for record in rounds]
        bottom.plot(rho, values, marker=MARKERS[k % 5], color=COLOURS[SERIES[k % 5]], ms=4, label=name)
    bottom.set(xlabel="weights per spin $n/N$", ylabel="observables")
    shared_legend(figure, [bottom])
    return figure


@styled
def variance_figure(summary: dict[str, Any]) -> Figure | None:
    """Energy per site against variance per site; the exact energy as a line."""
    rounds = summary.get("rounds") or []
    variance, energy = _column(rounds, "variance_per_site"), _column(rounds, "energy_per_site")
    if not np.any(variance > 0):
        return None
    figure, (axes,) = new_figure(7.2, 3.2)
    axes.plot(variance, energy, marker="o", color=COLOURS["blue"], ms=4, ls="none")
    axes.set(xscale="log", xlabel="variance per site", ylabel="energy per site")
    exact = _number((summary.get("reference") or {}).get("energy"))
    if math.isfinite(exact):
        level(axes, exact / summary["system"]["sites"], str(summary["reference"]["kind"]))
    return figure


@styled
def lattice_figure(summary: dict[str, Any]) -> Figure | None:
    """The surviving units on the lattice: bonds as lines, plaquettes filled, other units as outlines."""
    explained, system = summary.get("explain") or {}, summary.get("system") or {}
    units = explained.get("units") or []
    if not units or len(units) > 200:
        return None
    places, periods = positions(system), _periods(system)
    figure, (axes,) = new_figure(5.2, 4.6)
    axes.set_axis_off()
    axes.set_aspect("equal")
    for k, unit in enumerate(units):
        _draw_unit(axes, unit, together(np.array([places[site] for site in unit["sites"]]), periods), k)
    axes.scatter(*zip(*places, strict=True), s=26, color=COLOURS["ink"], zorder=5)
    return figure


def positions(system: dict[str, Any]) -> list[tuple[float, float]]:
    """Where each spin is drawn: sites of the lattice, or the middle of the edges of a torus."""
    extent = [int(edge) for edge in system.get("extent") or []]
    if (drawn := _drawn(system)) is not None:
        return drawn[0]
    if len(extent) == 1:
        return [(float(x), 0.0) for x in range(extent[0])]
    return [(float(y), -float(x)) for x in range(extent[0]) for y in range(extent[1])]


def _drawn(system: dict[str, Any]) -> tuple[list[tuple[float, float]], tuple[float, float]] | None:
    """Positions and periods of a model that has its own; None for rows and columns."""
    model = MODELS.get(str(system.get("model")))
    if model is None or model.drawn is None:
        return None
    extent = [int(edge) for edge in system.get("extent") or []]
    return model.drawn(model.place(extent, "", bool(system.get("periodic"))))


def _periods(system: dict[str, Any]) -> np.ndarray | None:
    """Periods of the drawing along its two directions; None for open boundaries."""
    if not system.get("periodic"):
        return None
    extent = [int(edge) for edge in system.get("extent") or []]
    if (drawn := _drawn(system)) is not None:
        return np.array(drawn[1], float)
    return np.array([extent[0], 1.0] if len(extent) == 1 else [extent[1], extent[0]], float)


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


def _draw_unit(axes: Axes, unit: dict[str, Any], points: np.ndarray, k: int) -> None:
    colour = COLOURS["blue"] if unit["parity"] > 0 else COLOURS["red"]
    coupling = _number(unit.get("coupling"))
    if len(points) == 1:
        axes.scatter(*points[0], s=90, facecolors="none", edgecolors=COLOURS["muted"], zorder=4)
        return
    if unit["kind"] == "bond":
        axes.plot(*points.T, color=colour, lw=3, solid_capstyle="round", zorder=2)
        if math.isfinite(coupling):
            upright = abs(points[0, 0] - points[1, 0]) < abs(points[0, 1] - points[1, 1])
            place = {"xytext": (4, 0) if upright else (0, 4), "ha": "left" if upright else "center"}
            style = {"textcoords": "offset points", "fontsize": 8, "va": "center" if upright else "bottom"}
            axes.annotate(f"{coupling:.4f}", points.mean(axis=0), **place, **style)
        return
    centre = points.mean(axis=0)
    order = np.argsort(np.arctan2(*(points - centre).T))
    ring = points[order] * 0.94 + centre * 0.06 + 0.02 * np.array([math.cos(k), math.sin(k)])
    axes.fill(*ring.T, facecolor=colour, alpha=0.06, edgecolor=colour, lw=0.9, zorder=1)


@styled
def transfer_figure(summary: dict[str, Any]) -> Figure | None:
    """Error of tickets at other couplings, beside the dense network and random masks."""
    records = summary.get("transfer") or []
    names = [k for k in (records[0]["couplings"] if records else {}) if len({r["couplings"][k] for r in records}) > 1]
    if len(names) != 1:
        return None
    figure, (axes,) = new_figure(7.2, 3.6)
    axes.set(yscale="log", xlabel=f"coupling {names[0]}", ylabel="relative error")
    groups = dict.fromkeys((record["mask"], record["n"]) for record in records)
    for k, (mask, n) in enumerate(groups):
        found = [r for r in records if (r["mask"], r["n"]) == (mask, n)]
        x = [r["couplings"][names[0]] for r in found]
        style = {"ls": ":" if mask == "random" else "-", "marker": MARKERS[k % 5], "ms": 4}
        axes.plot(
            x, np.abs(_column(found, "relative_error")), color=COLOURS[SERIES[k % 5]], label=f"{mask}, {n}", **style
        )
    shared_legend(figure, [axes])
    return figure
