"""The figures of an emulation study, from its summary and the stored densities. Each returns None without data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wavefoundry.core.statistics import half_width
from wavefoundry.reports.animation import line_gif
from wavefoundry.reports.style import COLOURS, SERIES, literal, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records.emulation import Diagnostics, EmulationSummary, Student

FLOOR = 1e-8
MOST_NAMED = 8
"""Cases that a legend names."""
NAMES = {
    "linearity": "superposition", "phase": "global phase", "amplitude": "amplitude", "translation": "translation",
    "mirror": "mirror", "time_reversal": "time reversal", "v_shift": "offset of V", "norm": "norm", "energy": "energy",
}  # fmt: skip


def judged(summary: EmulationSummary) -> list[Student]:
    """Students that were trained and judged."""
    return [student for student in summary.students if student.cases]


def asked(summary: EmulationSummary) -> list[tuple[Student, Diagnostics]]:
    """Those of them whose symmetries were looked at."""
    return [(student, student.diagnostics) for student in judged(summary) if student.diagnostics is not None]


def _colour(index: int) -> str:
    return COLOURS[SERIES[index % len(SERIES)]]


def _values(values: Sequence[Any]) -> np.ndarray:
    return np.array([math.nan if v is None else float(v) for v in values])


@styled
def errors_figure(summary: EmulationSummary) -> Figure | None:
    """Loss of correlation and mean absolute error along the roll-outs, means over the cases."""
    students = judged(summary)
    if not students:
        return None
    figure, (left, right) = new_figure(7.2, 3.0, ncols=2)
    for index, student in enumerate(students):
        curves = student.curves
        frame = _values(curves["frame"])
        name, colour = literal(student.name), _colour(index)
        left.loglog(frame, np.maximum(1 - _values(curves["corr"]), FLOOR), color=colour, label=name)
        left.loglog(frame, np.maximum(1 - _values(curves["corr_lowest"]), FLOOR), color=colour, ls=":", lw=0.9)
        right.loglog(frame, _values(curves["mae"]), color=colour)
    left.set_ylabel("1 - correlation")
    right.set_ylabel("mean absolute error")
    right.set_ylim(top=min(right.get_ylim()[1], 1.0))
    for axes in (left, right):
        axes.set_xlabel("frame")
    left.legend(loc="lower right")
    return figure


@styled
def judgement_figure(corr: np.ndarray, mae: np.ndarray, names: Sequence[str]) -> Figure:
    """Loss of correlation and mean absolute error of every case along its roll-out; (cases, frames) each."""
    figure, (left, right) = new_figure(7.2, 3.0, ncols=2)
    frame = 1 + np.arange(corr.shape[1])
    alone = len(names) <= MOST_NAMED
    for index, name in enumerate(names):
        colour, label = (_colour(index), literal(name)) if alone else (COLOURS["blue"], None)
        width = 1.2 if alone else 0.6
        left.loglog(frame, np.maximum(1 - corr[index], FLOOR), color=colour, lw=width, label=label)
        right.loglog(frame, np.maximum(mae[index], FLOOR), color=colour, lw=width)
    left.set_ylabel("1 - correlation")
    right.set_ylabel("mean absolute error")
    for axes in (left, right):
        axes.set_xlabel("frame")
    if alone:
        left.legend(loc="lower right")
    return figure


@styled
def heat_figure(summary: EmulationSummary) -> Figure | None:
    """Students against cases: log10 of the lost correlation, mean over the frames."""
    students = judged(summary)
    if not students:
        return None
    cases = [case.name for case in students[0].cases]
    lost = np.array([[max(1 - (case.corr_mean or 0.0), FLOOR) for case in student.cases] for student in students])
    figure, (axes,) = new_figure(7.2, 1.9 + 0.32 * len(students))
    image = axes.imshow(np.log10(lost), aspect="auto", cmap="viridis_r", vmin=-6, vmax=0)
    axes.set_yticks(range(len(students)), [literal(s.name) for s in students])
    axes.set_xticks(range(len(cases)), [literal(name) for name in cases], rotation=60, ha="right", fontsize=8)
    axes.grid(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.01)
    bar.set_label(r"$\log_{10}(1 - \mathrm{corr})$")
    return figure


@styled
def symmetry_figure(summary: EmulationSummary) -> Figure | None:
    """Residual of every symmetry over the one-step error; hollow bars hold by construction."""
    students = asked(summary)
    if not students:
        return None
    figure, (axes,) = new_figure(7.2, 3.0)
    width = 0.8 / len(students)
    for index, (student, found) in enumerate(students):
        names = list(found.ratios)
        heights = np.maximum(_values(list(found.ratios.values())), 1e-5)
        place = np.arange(len(names)) + (index - (len(students) - 1) / 2) * width
        built = [name in found.built_in for name in names]
        faces = ["none" if b else _colour(index) for b in built]
        axes.bar(place, heights, width * 0.9, color=faces, edgecolor=_colour(index), label=literal(student.name))
        axes.set_xticks(np.arange(len(names)), [NAMES[name] for name in names], rotation=25, ha="right")
    axes.set_yscale("log")
    axes.axhline(0.1, color=COLOURS["red"], lw=1.0)
    axes.axhline(1.0, color=COLOURS["muted"], lw=0.8, ls="--")
    axes.set_ylabel("residual / one-step error")
    if len(students) > 1:
        axes.legend(ncols=3)
    return figure


@styled
def training_figure(summary: EmulationSummary) -> Figure | None:
    """Loss along the training, and residuals of what is not built in over the one-step error."""
    students = [(s, s.training.losses) for s in judged(summary) if s.training is not None and s.training.losses]
    if not students:
        return None
    figure, (left, right) = new_figure(7.2, 3.0, ncols=2)
    for index, (student, losses) in enumerate(students):
        steps, values = np.array(losses, float).T
        left.loglog(steps, values, color=_colour(index), label=literal(student.name))
    first = next((student for student, _ in students if len(student.probes) > 1), None)
    left.set_xlabel("training step")
    left.set_ylabel("loss")
    left.legend()
    if first is None:
        right.set_axis_off()
        return figure
    built = [] if first.diagnostics is None else first.diagnostics.built_in
    steps = [probe.step for probe in first.probes]
    one = _values([probe.residuals["one_step"] for probe in first.probes])
    shown = [name for name in NAMES if name not in built]
    for index, name in enumerate(shown):
        key, factor = ("energy_spread", 1.0) if name == "energy" else (name, 0.5 if name == "norm" else 1.0)
        values = factor * _values([probe.residuals.get(key) for probe in first.probes])
        right.loglog(steps, values / one, color=_colour(index), label=NAMES[name], marker="o", ms=3)
    right.axhline(0.1, color=COLOURS["red"], lw=1.0)
    right.set_xlabel(f"training step of {literal(first.name)}")
    right.set_ylabel("residual / one-step error")
    right.legend(fontsize=8.5)
    return figure


@styled
def dispersion_figure(summary: EmulationSummary) -> Figure | None:
    """Learned kinetic phase of one frame against k^2 dt / 2, and the difference."""
    students = [(student, found.dispersion) for student, found in asked(summary) if found.dispersion is not None]
    if not students:
        return None
    figure, (left, right) = new_figure(7.2, 3.0, ncols=2)
    for index, (student, curve) in enumerate(students):
        k, phase, exact = (_values(values) for values in (curve.k, curve.phase, curve.exact))
        if index == 0:
            left.plot(k, exact, color=COLOURS["ink"], lw=2.2, alpha=0.35, label=r"$k^2\,\Delta t/2$")
        left.plot(k, phase, color=_colour(index), ls="--", label=literal(student.name))
        right.semilogy(k, np.maximum(np.abs(phase - exact), 1e-7), color=_colour(index))
    if (scope := students[-1][0].scope) is not None:
        right.axvline(scope.momentum_max, color=COLOURS["muted"], lw=0.8, ls="--")
    left.set_xlabel("k")
    right.set_xlabel("k")
    left.set_ylabel(r"$\varphi(k)$, radians per frame")
    right.set_ylabel(r"$|\varphi(k) - k^2\Delta t/2|$")
    left.legend()
    return figure


@styled
def transmission_figure(summary: EmulationSummary) -> Figure | None:
    """Transmission through a thin barrier of several heights: students, solver, closed form."""
    students = [(student, found.transmission) for student, found in asked(summary) if found.transmission is not None]
    if not students:
        return None
    figure, (axes,) = new_figure(7.2, 2.7)
    for index, (student, curve) in enumerate(students):
        if index == 0:
            formula = _values(curve.formula)
            axes.plot(curve.heights, formula, color=COLOURS["ink"], lw=2.2, alpha=0.35, label="closed form")
        passed, name = _values(curve.student), literal(student.name)
        axes.plot(curve.heights, passed, color=_colour(index), marker="o", ls="none", label=name)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("height of the barrier")
    axes.set_ylabel("transmission")
    axes.legend()
    return figure


@styled
def importance_figure(summary: EmulationSummary) -> Figure | None:
    """log10 of the growth of the loss when a process is left out of the curriculum, with 95 % intervals."""
    tables = [table for table in summary.importance if table.rows]
    if not tables:
        return None
    names = list(dict.fromkeys(row.process for table in tables for row in table.rows))
    figure, (axes,) = new_figure(7.2, 1.2 + 0.42 * len(names))
    width = 0.8 / len(tables)
    for index, table in enumerate(tables):
        found = {row.process: row.on_all for row in table.rows if row.on_all is not None}
        place = np.arange(len(names)) + (index - (len(tables) - 1) / 2) * width
        values = _values([found[name].value if name in found else None for name in names])
        reach = half_width(table.seeds) if table.seeds > 1 else 0.0
        errors = [reach * (found[name].error or 0.0) if name in found else 0.0 for name in names]
        label = f"{literal(table.student)}, {table.seeds} seeds"
        axes.barh(place, values, width * 0.9, xerr=errors, color=_colour(index), label=label)
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0, color=COLOURS["ink"], lw=0.8)
    axes.set_xlabel(r"$\log_{10}$ (lost without it / lost with everything)")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(tables))
    return figure


@styled
def speed_figure(summary: EmulationSummary) -> Figure | None:
    """Cost and error of students, and of the solver at many settings."""
    if summary.speed is None or not summary.speed.rows:
        return None
    figure, (axes,) = new_figure(7.2, 3.0)
    rungs = sorted(summary.speed.rungs, key=lambda rung: rung.ms_per_frame or math.inf)
    cost, error = _values([rung.ms_per_frame for rung in rungs]), _values([rung.mae for rung in rungs])
    axes.loglog(cost, error, color=COLOURS["muted"], marker="s", ls="none", label="Strang splitting, tuned")
    for index, row in enumerate(summary.speed.rows):
        if row.mae is not None:
            cost, error = _values([row.ms_per_frame]), _values([row.mae])
            axes.loglog(cost, error, color=_colour(index), marker="o", ms=8, ls="none", label=literal(row.student))
    axes.set_xlabel("CPU ms per frame and run")
    axes.set_ylabel("mean absolute error")
    axes.legend()
    return figure


@styled
def spacetime_figure(name: str, arrays: Mapping[str, np.ndarray], index: str, meta: Mapping[str, Any]) -> Figure:
    """|psi| over space and time: true, predicted, and the difference."""
    true, found = (arrays[f"{key}/{index}"].astype(float) / 255 for key in ("true", "predicted"))
    extent = (0, true.shape[1] * meta["dx"], 0, true.shape[0] * meta["frame_step"])
    figure, axes = new_figure(7.2, 2.7, ncols=3, sharey=True)
    panels = ((true, "solver"), (found, "student"), (found - true, "difference × 10"))
    for axis, (values, title) in zip(axes, panels, strict=True):
        map_name, low = ("magma", 0.0) if axis is not axes[2] else ("RdBu_r", -0.6)
        shown = values if axis is not axes[2] else 10 * values
        top = 0.8 if axis is not axes[2] else 0.6
        axis.imshow(shown, origin="lower", aspect="auto", extent=extent, cmap=map_name, vmin=low, vmax=top)
        axis.set_title(title)
        axis.set_xlabel("x")
        axis.grid(False)
    axes[0].set_ylabel(f"time, {literal(name)}")
    return figure


def animation(arrays: Mapping[str, np.ndarray], index: str, meta: Mapping[str, Any]) -> bytes:
    """An animated GIF: potential (grey), true density (filled blue), predicted density (red line)."""
    true, found = (arrays[f"{key}/{index}"].astype(float) / 255 for key in ("true", "predicted"))
    field = arrays[f"potential/{index}"].astype(float)
    return line_gif(true, found, [field] * len(true), meta["frame_step"] * np.arange(len(true)))
