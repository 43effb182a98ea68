"""The figures of a study of molecules, from ``summary.json`` alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wavefoundry.core.scans import length_of
from wavefoundry.core.scans import scans as members
from wavefoundry.core.values import number
from wavefoundry.reports.molecules_lines import GOOD, word
from wavefoundry.reports.panels import level
from wavefoundry.reports.style import COLOURS, MARKERS, SERIES, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = {"trained": "amber", "zero-shot": "blue", "full": "green", "scratch": "purple", "warm-chain": "sky"}
NAMES = {
    "trained": "trained on",
    "zero-shot": "zero-shot",
    "full": "after fine-tuning",
    "scratch": "from scratch",
    "warm-chain": "from the one before",
}
CHEMICAL = 1.6
"""Chemical accuracy, 1 kcal/mol in mHa."""
Record = dict[str, Any]


def column(records: list[Record], name: str) -> np.ndarray:
    """One field of all records."""
    return np.array([number(record.get(name)) for record in records])


def scans(summary: Record) -> dict[str, list[Record]]:
    """Records of molecules that differ in one length, see ``core.scans``."""
    return members(summary.get("molecules") or [])


def main_figure(summary: Record) -> Figure | None:
    """What a study is about: its first potential curve, or the errors of all molecules."""
    curves = scans(summary)
    if curves:
        name = max(curves, key=lambda key: len(curves[key]))
        return curve_figure(curves[name], name)
    return errors_figure(summary)


@styled
def curve_figure(records: list[Record], name: str) -> Figure:
    """Energy over a length with the reference, and the difference from it below.

    Args:
        records: one family, in order of the length.
        name: of the family.
    """
    figure, (above, below) = new_figure(7.2, 5.0, nrows=2, sharex=True, height_ratios=[2, 1])
    lengths = np.array([length_of(record) for record in records])
    unique = np.unique(lengths.round(9), return_index=True)[1]
    _references(above, [records[k] for k in unique], lengths[unique])
    for method, colour in METHODS.items():
        chosen = [record for record in records if record.get("method") == method]
        if chosen:
            x = [length_of(record) for record in chosen]
            marker = MARKERS[list(METHODS).index(method)]
            look = {"fmt": marker, "color": COLOURS[colour], "ms": 5.5, "mfc": "none", "lw": 0, "elinewidth": 1.2}
            above.errorbar(x, column(chosen, "energy"), column(chosen, "energy_error"), label=NAMES[method], **look)
            below.errorbar(x, column(chosen, "error_mha"), column(chosen, "error_mha_error"), **look)
    _doubts(below, records)
    below.axhspan(-CHEMICAL, CHEMICAL, color=COLOURS["sky"], alpha=0.15, lw=0)
    below.axhline(0, color=COLOURS["ink"], lw=0.8)
    above.set(ylabel="energy (Ha)", title=literal(name))
    below.set(xlabel="length (bohr)", ylabel="$E - E_{\\mathrm{ref}}$ (mHa)")
    above.legend(loc="best")
    return figure


def _references(axes: Axes, records: list[Record], lengths: np.ndarray) -> None:
    """The reference as a line, smooth where there are enough points, and Hartree-Fock where it was computed."""
    values = np.array([number((record.get("reference") or {}).get("value")) for record in records])
    known = np.isfinite(values)
    if known.sum() >= 5:
        from scipy.interpolate import PchipInterpolator

        fine = np.linspace(lengths[known][0], lengths[known][-1], 200)
        axes.plot(fine, PchipInterpolator(lengths[known], values[known])(fine), color=COLOURS["ink"], lw=1, zorder=1)
    elif known.any():
        axes.plot(lengths[known], values[known], color=COLOURS["ink"], lw=1, zorder=1)
    if known.any():
        sources = dict.fromkeys(_source(record) for record, good in zip(records, known, strict=True) if good)
        axes.plot(lengths[known], values[known], ls="", marker="_", ms=9, color=COLOURS["ink"], zorder=1,
                  label="reference: " + " / ".join(literal(s) for s in list(sources)[:2]))  # fmt: skip


def _source(record: Record) -> str:
    reference = record.get("reference") or {}
    return (
        str(reference.get("source") or "").split(",")[0]
        if reference.get("kind") == "method"
        else str(reference.get("kind"))
    )


def _doubts(axes: Axes, records: list[Record]) -> None:
    """Flags at the points that are not to be trusted."""
    for record in records:
        if word(record) not in GOOD and not math.isnan(number(record.get("error_mha"))):
            text = " ".join(record.get("flags") or [word(record)])
            style = {"fontsize": 7.5, "color": COLOURS["red"], "rotation": 90, "ha": "center", "va": "bottom"}
            place = (length_of(record), number(record["error_mha"]))
            axes.annotate(text, place, (0, 6), textcoords="offset points", **style)


@styled
def errors_figure(summary: Record) -> Figure | None:
    """Difference from the reference, molecule by molecule."""
    records = [r for r in summary.get("molecules") or [] if not math.isnan(number(r.get("error_mha")))][:60]
    if not records:
        return None
    names = list(dict.fromkeys(str(record.get("name")) for record in records))
    figure, (axes,) = new_figure(7.2, 1.4 + 0.24 * len(names))
    axes.axvspan(-CHEMICAL, CHEMICAL, color=COLOURS["sky"], alpha=0.15, lw=0)
    axes.axvline(0, color=COLOURS["ink"], lw=0.8)
    for method, colour in METHODS.items():
        chosen = [record for record in records if record.get("method") == method]
        if chosen:
            y = [names.index(str(record.get("name"))) for record in chosen]
            marker = MARKERS[list(METHODS).index(method)]
            axes.errorbar(column(chosen, "error_mha"), y, xerr=column(chosen, "error_mha_error"), fmt=marker,
                          color=COLOURS[colour], mfc="none", label=NAMES[method])  # fmt: skip
    reach = np.nanmax(np.abs(column(records, "error_mha")))
    if reach > 30:
        axes.set_xscale("symlog", linthresh=10)
    axes.set_yticks(range(len(names)), [literal(name) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="$E - E_{\\mathrm{ref}}$ (mHa)")
    axes.legend(loc="best")
    return figure


@styled
def steps_figure(summary: Record) -> Figure | None:
    """Error per atom against steps: from the model (solid), from scratch (dashed)."""
    curves = [curve for curve in summary.get("curves") or [] if curve.get("error_mha")]
    atoms = {record.get("name"): record.get("atoms") or 1 for record in summary.get("molecules") or []}
    targets = list(dict.fromkeys(str(curve["target"]) for curve in curves))[: len(SERIES)]
    if not targets:
        return None
    figure, (axes,) = new_figure(7.2, 3.8)
    lowest = 1.0
    for curve in curves:
        if curve["target"] not in targets:
            continue
        error = np.array([number(value) for value in curve["error_mha"]]) / atoms.get(curve["target"], 1)
        steps, good = np.asarray(curve["steps"], float), error > 0
        anew = curve.get("start") == "scratch"
        label = f"{literal(str(curve['target']))}, {'from scratch' if anew else 'from the model'}"
        colour = COLOURS[SERIES[targets.index(str(curve["target"]))]]
        look: dict[str, Any] = {"color": colour, "ls": "--" if anew else "-"}
        axes.plot(np.maximum(steps[good], 0.7), error[good], label=label, marker="" if anew else ".", ms=4, **look)
        lowest = min(lowest, float(error[good].min()) if good.any() else lowest)
    axes.set(xscale="log", yscale="log", xlabel="natural-gradient steps", ylabel="error per atom (mHa)")
    axes.set_ylim(bottom=max(lowest / 2, 0.02))
    level(axes, 1.0, "1 mHa per atom")
    axes.legend(loc="best", fontsize=9)
    return figure


@styled
def size_figure(summary: Record) -> Figure | None:
    """Error per atom, and the share of the correlation energy, against the number of atoms."""
    from matplotlib.ticker import MaxNLocator

    records = [r for r in summary.get("molecules") or [] if not math.isnan(number(r.get("error_mha")))]
    if len({record.get("atoms") for record in records}) < 3:
        return None
    shares = np.isfinite(column(records, "correlation_share")).any()
    figure, panels = new_figure(7.2, 3.2, ncols=2 if shares else 1)
    for method, colour in METHODS.items():
        chosen = [record for record in records if record.get("method") == method]
        if not chosen:
            continue
        x = column(chosen, "atoms")
        look: dict[str, Any] = {"fmt": MARKERS[list(METHODS).index(method)], "color": COLOURS[colour], "mfc": "none"}
        per_atom, bars = column(chosen, "error_mha") / x, column(chosen, "error_mha_error") / x
        panels[0].errorbar(x, per_atom, bars, label=NAMES[method], **look)
        if shares:
            panels[1].errorbar(x, 100 * column(chosen, "correlation_share"), None, **look)
    panels[0].axhspan(-1, 1, color=COLOURS["sky"], alpha=0.15, lw=0)
    panels[0].set(xlabel="atoms", ylabel="$(E - E_{\\mathrm{ref}})$ per atom (mHa)")
    panels[0].legend(loc="best")
    if shares:
        panels[1].set(xlabel="atoms", ylabel="correlation energy (%)")
        level(panels[1], 100, "reference")
    for axes in panels:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@styled
def training_figure(summary: Record) -> Figure | None:
    """Energies of the molecules of the training along it, relative to what fresh samples say at the end."""
    training = summary.get("train") or {}
    steps, energies = training.get("steps") or [], training.get("energy") or {}
    final = {r.get("name"): number(r.get("energy")) for r in summary.get("molecules") or [] if r["method"] == "trained"}
    references = {
        r.get("name"): number((r.get("reference") or {}).get("value")) for r in summary.get("molecules") or []
    }
    if len(steps) < 2:
        return None
    figure, (axes,) = new_figure(7.2, 3.2)
    shown = 0
    for name, column_ in list(energies.items())[:40]:
        zero = references.get(name, math.nan)
        zero = final.get(name, math.nan) if math.isnan(zero) else zero
        values = 1000 * (np.array([number(value) for value in column_]) - zero)
        good = values > 0
        if not good.any():
            continue
        few = len(energies) <= len(SERIES)
        colour = COLOURS[SERIES[shown % len(SERIES)]] if few else COLOURS["blue"]
        axes.plot(np.asarray(steps)[good], values[good], color=colour, lw=1, alpha=1 if few else 0.4,
                  label=literal(name) if few else None)  # fmt: skip
        shown += 1
    if not shown:
        return None
    axes.set(yscale="log", xlabel="natural-gradient steps", ylabel="$E - E_{\\mathrm{ref}}$ (mHa)")
    if len(energies) <= len(SERIES):
        axes.legend(loc="best")
    return figure


@styled
def density_figure(summary: Record) -> Figure | None:
    """Electrons per bohr along the longest axis, of up to six molecules."""
    records = [
        record
        for record in summary.get("molecules") or []
        if (record.get("observables") or {}).get("density") and word(record) != "refused"
    ]
    records = list({str(record.get("name")): record for record in records}.values())
    if not records:
        return None
    records = [records[k] for k in np.unique(np.linspace(0, len(records) - 1, min(6, len(records))).astype(int))]
    columns = min(3, len(records))
    rows = math.ceil(len(records) / columns)
    figure, panels = new_figure(7.2, 0.6 + 1.9 * rows, nrows=rows, ncols=columns, sharey=True)
    for axes, record in zip(panels, records, strict=False):
        found = record["observables"]["density"]
        x, y = np.asarray(found["position"], float), np.asarray(found["value"], float)
        error = np.asarray(found["error"], float)
        axes.fill_between(x, y - 2 * error, y + 2 * error, color=COLOURS["blue"], alpha=0.25, lw=0)
        axes.plot(x, y, color=COLOURS["blue"], lw=1)
        for place in found.get("nuclei") or []:
            axes.axvline(place, color=COLOURS["muted"], lw=0.8, ls=":")
        axes.set_title(literal(f"{record.get('name')}, {NAMES.get(str(record.get('method')), '')}"), fontsize=10)
    for axes in panels[len(records) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel("electrons per bohr")
    for axes in panels[max(0, len(records) - columns) : len(records)]:
        axes.set_xlabel("position (bohr)")
    return figure
