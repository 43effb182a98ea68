"""The figures of a study of molecules, from ``summary.json`` alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wavefoundry.core.scans import length_of, scans
from wavefoundry.core.values import known, number
from wavefoundry.reports.molecules_lines import GOOD, source, word
from wavefoundry.reports.panels import column, level, shared_legend
from wavefoundry.reports.style import COLOURS, MARKERS, SERIES, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wavefoundry.core.records.molecules import Molecule, MoleculesSummary

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
MOST_NAMED = 10
"""Molecules that a legend names."""


def main_figure(summary: MoleculesSummary) -> Figure | None:
    """What a study is about: its first potential curve, or the errors of all molecules."""
    curves = scans(summary.molecules)
    if curves:
        name = max(curves, key=lambda key: len(curves[key]))
        return curve_figure(curves[name], name)
    return errors_figure(summary.molecules)


@styled
def curve_figure(records: list[Molecule], name: str) -> Figure:
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
        chosen = [record for record in records if record.method == method]
        if chosen:
            x = [length_of(record) for record in chosen]
            marker = MARKERS[list(METHODS).index(method)]
            look = {"fmt": marker, "color": COLOURS[colour], "ms": 5.5, "mfc": "none", "lw": 0, "elinewidth": 1.2}
            bars = column(r.energy_error for r in chosen)
            above.errorbar(x, column(r.energy for r in chosen), bars, label=NAMES[method], **look)
            below.errorbar(x, column(r.error_mha for r in chosen), column(r.error_mha_error for r in chosen), **look)
    below.axhspan(-CHEMICAL, CHEMICAL, color=COLOURS["sky"], alpha=0.15, lw=0)
    below.axhline(0, color=COLOURS["ink"], lw=0.8)
    _doubts(below, records)
    above.set(ylabel="energy (Ha)", title=literal(name))
    below.set(xlabel="length (bohr)", ylabel="$E - E_{\\mathrm{ref}}$ (mHa)")
    above.legend(loc="best")
    return figure


def _references(axes: Axes, records: list[Molecule], lengths: np.ndarray) -> None:
    """The reference as a line, smooth where there are enough points, and Hartree-Fock where it was computed."""
    found = [(x, one.reference) for x, one in zip(lengths, records, strict=True) if one.reference is not None]
    x, values = np.array([x for x, _ in found]), np.array([reference.value for _, reference in found])
    if len(found) >= 5:
        from scipy.interpolate import CubicSpline  # one that is monotone between points would miss the minimum

        fine = np.linspace(x[0], x[-1], 200)
        axes.plot(fine, CubicSpline(x, values)(fine), color=COLOURS["ink"], lw=1, zorder=1)
    elif found:
        axes.plot(x, values, color=COLOURS["ink"], lw=1, zorder=1)
    if found:
        sources = dict.fromkeys(source(reference).partition(",")[0] for _, reference in found)
        axes.plot(x, values, ls="", marker="_", ms=9, color=COLOURS["ink"], zorder=1,
                  label="reference: " + " / ".join(literal(s) for s in list(sources)[:2]))  # fmt: skip


def _doubts(axes: Axes, records: list[Molecule]) -> None:
    """The verdict at each point that is not to be trusted, written towards the middle of the panel."""
    middle = sum(axes.get_ylim()) / 2
    for record in records:
        if word(record) not in GOOD and known(record.error_mha):
            text = word(record)
            style = {"fontsize": 7.5, "color": COLOURS["red"], "rotation": 90, "ha": "center"}
            place = (length_of(record), number(record.error_mha))
            va, off = ("bottom", 6) if place[1] < middle else ("top", -6)
            note = axes.annotate(text, place, (0, off), textcoords="offset points", va=va, clip_on=True, **style)
            note.set_in_layout(False)  # words that do not fit would leave no room for the panels


@styled
def errors_figure(molecules: list[Molecule]) -> Figure | None:
    """Difference from the reference, molecule by molecule."""
    records = [record for record in molecules if known(record.error_mha)][:60]
    if not records:
        return None
    names = list(dict.fromkeys(record.name for record in records))
    figure, (axes,) = new_figure(7.2, 1.4 + 0.24 * len(names))
    axes.axvspan(-CHEMICAL, CHEMICAL, color=COLOURS["sky"], alpha=0.15, lw=0)
    axes.axvline(0, color=COLOURS["ink"], lw=0.8)
    for method, colour in METHODS.items():
        chosen = [record for record in records if record.method == method]
        if chosen:
            y = [names.index(record.name) for record in chosen]
            bars, marker = column(r.error_mha_error for r in chosen), MARKERS[list(METHODS).index(method)]
            axes.errorbar(column(r.error_mha for r in chosen), y, xerr=bars, fmt=marker, color=COLOURS[colour],
                          mfc="none", label=NAMES[method])  # fmt: skip
    reach = np.nanmax(np.abs(column(record.error_mha for record in records)))
    if reach > 30:
        axes.set_xscale("symlog", linthresh=10)
    axes.set_yticks(range(len(names)), [literal(name) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel="$E - E_{\\mathrm{ref}}$ (mHa)")
    axes.legend(loc="best")
    return figure


@styled
def steps_figure(summary: MoleculesSummary) -> Figure | None:
    """Error per atom against steps: from the model (solid), from scratch (dashed)."""
    curves = [(curve, curve.error_mha) for curve in summary.curves if curve.error_mha]
    atoms = {record.name: record.atoms or 1 for record in summary.molecules}
    targets = list(dict.fromkeys(curve.target for curve, _ in curves))[: len(SERIES)]
    if not targets:
        return None
    figure, (axes,) = new_figure(7.2, 3.8)
    lowest = 1.0
    for curve, errors in curves:
        if curve.target not in targets:
            continue
        error = column(errors) / atoms.get(curve.target, 1)
        steps, good = np.asarray(curve.steps, float), error > 0
        anew = curve.start == "scratch"
        label = f"{literal(curve.target)}, {'from scratch' if anew else 'from the model'}"
        colour = COLOURS[SERIES[targets.index(curve.target)]]
        look: dict[str, Any] = {"color": colour, "ls": "--" if anew else "-"}
        axes.plot(np.maximum(steps[good], 0.7), error[good], label=label, marker="" if anew else ".", ms=4, **look)
        lowest = min(lowest, float(error[good].min()) if good.any() else lowest)
    axes.set(xscale="log", yscale="log", xlabel="natural-gradient steps", ylabel="error per atom (mHa)")
    axes.set_ylim(bottom=max(lowest / 2, 0.02))
    level(axes, 1.0, "1 mHa per atom")
    axes.legend(loc="best", fontsize=9)
    return figure


@styled
def size_figure(molecules: list[Molecule]) -> Figure | None:
    """Error per atom, and the share of the correlation energy, against the number of atoms."""
    from matplotlib.ticker import MaxNLocator

    records = [record for record in molecules if known(record.error_mha)]
    if len({record.atoms for record in records}) < 3:
        return None
    shares = any(known(record.correlation_share) for record in records)
    figure, panels = new_figure(7.2, 3.2, ncols=2 if shares else 1)
    for method, colour in METHODS.items():
        chosen = [record for record in records if record.method == method]
        if not chosen:
            continue
        x = column(record.atoms for record in chosen)
        look: dict[str, Any] = {"fmt": MARKERS[list(METHODS).index(method)], "color": COLOURS[colour], "mfc": "none"}
        bars = column(record.error_mha_error for record in chosen) / x
        panels[0].errorbar(x, column(record.error_mha for record in chosen) / x, bars, label=NAMES[method], **look)
        if shares:
            panels[1].errorbar(x, 100 * column(record.correlation_share for record in chosen), None, **look)
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
def training_figure(summary: MoleculesSummary) -> Figure | None:
    """Energies of the molecules of the training along it, relative to what fresh samples say at the end."""
    training, records = summary.train, summary.molecules
    if training is None or len(training.steps) < 2:
        return None
    steps, energies = np.asarray(training.steps), training.energy
    final = {record.name: number(record.energy) for record in records if record.method == "trained"}
    references = {record.name: record.reference and record.reference.value for record in records}
    figure, (axes,) = new_figure(7.2, 3.2)
    shown = 0
    for name, course in list(energies.items())[:40]:
        zero = references.get(name)
        zero = final.get(name, math.nan) if zero is None else zero
        values = 1000 * (column(course) - zero)
        good = values > 0
        if not good.any():
            continue
        few = len(energies) <= len(SERIES)
        colour = COLOURS[SERIES[shown % len(SERIES)]] if few else COLOURS["blue"]
        axes.plot(steps[good], values[good], color=colour, lw=1, alpha=1 if few else 0.4,
                  label=literal(name) if few else None)  # fmt: skip
        shown += 1
    if not shown:
        return None
    axes.set(yscale="log", xlabel="natural-gradient steps", ylabel="$E - E_{\\mathrm{ref}}$ (mHa)")
    if len(energies) <= len(SERIES):
        axes.legend(loc="best")
    return figure


@styled
def tickets_figure(rounds: Sequence[Mapping[str, Any]]) -> Figure:
    """Energies of a pruned model above the references, or above those of the whole network, against its weights.

    Args:
        rounds: records of ``MoleculeTickets``, the whole network first.
    """
    figure, (axes,) = new_figure(7.2, 4.4)
    axes.set(xscale="log", xlabel="surviving weights $n$", ylabel="energy above the reference (mHa)")
    axes.set_yscale("symlog", linthresh=1.0)
    n = column(record["n"] for record in rounds)
    for index, first in enumerate(rounds[0]["molecules"]):
        rows = [record["molecules"][index] for record in rounds]
        if first["error_mha"] is None:
            axes.set_ylabel("energy above the reference, or the whole network (mHa)")
        start = first["energy"] if first["error_mha"] is None else first["reference"]["value"]
        above = [math.nan if None in (row["energy"], start) else 1000 * (row["energy"] - start) for row in rows]
        bars = column(row["error_mha_error"] for row in rows)
        colour, marker = COLOURS[SERIES[index % len(SERIES)]], MARKERS[index % len(MARKERS)]
        label = literal(first["name"]) if index < MOST_NAMED else None
        axes.errorbar(n, above, bars, color=colour, fmt=marker + "-", ms=4.5, mfc="none", lw=1, label=label)
    axes.axhspan(-CHEMICAL, CHEMICAL, color=COLOURS["sky"], alpha=0.15, lw=0)
    axes.axhline(0, color=COLOURS["ink"], lw=0.8)
    shared_legend(figure, [axes])
    return figure


@styled
def density_figure(molecules: list[Molecule]) -> Figure | None:
    """Electrons per bohr along the longest axis, of up to six molecules."""
    found = {
        record.name: (f"{record.name}, {NAMES.get(record.method, '')}", density)
        for record in molecules
        if (density := record.observables.density) is not None and density.value and word(record) != "refused"
    }
    if not found:
        return None
    every = list(found.values())
    drawn = [every[k] for k in np.unique(np.linspace(0, len(every) - 1, min(6, len(every))).astype(int))]
    columns = min(3, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure, panels = new_figure(7.2, 0.6 + 1.9 * rows, nrows=rows, ncols=columns, sharey=True)
    for axes, (title, density) in zip(panels, drawn, strict=False):
        x, y, error = (np.asarray(values, float) for values in (density.position, density.value, density.error))
        axes.fill_between(x, y - 2 * error, y + 2 * error, color=COLOURS["blue"], alpha=0.25, lw=0)
        axes.plot(x, y, color=COLOURS["blue"], lw=1)
        for place in density.nuclei:
            axes.axvline(place, color=COLOURS["muted"], lw=0.8, ls=":")
        axes.set_title(literal(title), fontsize=10)
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    for axes in panels[::columns]:
        axes.set_ylabel("electrons per bohr")
    for axes in panels[max(0, len(drawn) - columns) : len(drawn)]:
        axes.set_xlabel("position (bohr)")
    return figure
