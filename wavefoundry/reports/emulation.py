"""``report.html`` of an emulation study: one file that needs no network, no script and no other file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wavefoundry.core.errors import InputError, IntegrityError, StorageError
from wavefoundry.reports import content, page
from wavefoundry.reports import emulation_figures as figures
from wavefoundry.reports.content import Table
from wavefoundry.reports.emulation_tables import HEADS, best_of, correlation, number, parsed, rows, solver_name

if TYPE_CHECKING:
    from wavefoundry.core.records.common import Measured
    from wavefoundry.core.records.emulation import EmulationSummary, Student

Frames = dict[str, tuple[dict[str, Any], dict[str, Any]]]
FRAMES = "_frames"
TITLES = {
    "one_step": "one-step error", "linearity": "superposition", "phase": "global phase", "amplitude": "amplitude",
    "translation": "translation", "mirror": "mirror image", "time_reversal": "time reversal",
    "v_shift": "constant added to V", "norm": "norm", "energy": "energy",
}  # fmt: skip
FLAGS = {
    "NOT-FINITE": "the roll-out left the numbers a computer can hold; there is no result",
    "LOST": "the mean correlation is below 0.99: the student hardly follows the packet (refused below 0.9)",
    "OFF-REFERENCE": "up to norm and phase the last frame is more than 5 per cent off (refused above 45)",
    "NORM": "the norm changes by more than 1 per cent (refused above 10)",
    "REFERENCE": "the reference's own error is not below a tenth of the best student's",
    "ROUGH": "in a band of wave numbers the potential has more than four times the power of the roughest trained one",
    "OUT-OF-RANGE": "the potential leaves the range the student was trained in",
    "FAST-PACKET": "more than a thousandth of the initial state has momenta beyond those trained",
}


class Shown(NamedTuple):
    """A case of a student: name of both, its animation and its space-time picture."""

    student: str
    case: str
    animation: str
    spacetime: Any


def attach_frames(summary: dict[str, Any], run_dir: Path) -> None:
    """Put the stored densities of all students into the summary; what is missing or damaged is left out."""
    from wavefoundry.artifacts.bundles import read_bundle

    found: Frames = {}
    for name in (student["name"] for student in summary["students"]):
        folder = run_dir / "artifacts" / f"frames-{name}"
        if folder.is_dir():
            try:
                found[name] = read_bundle(folder)
            except (IntegrityError, StorageError, InputError):
                continue
    summary[FRAMES] = found


def context(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template needs, from a summary as JSON has it, with frames where ``attach_frames`` found some."""
    frames: Frames = stored.get(FRAMES, {})
    summary = parsed({key: value for key, value in stored.items() if key != FRAMES})
    settings = dict(summary.settings)
    lists = {key: json.dumps(settings.pop(key), default=str) for key in ("students",) if key in settings}
    raised = {flag.rstrip("!") for s in figures.judged(summary) for case in s.cases for flag in case.flags}
    return {
        "title": summary.title or "Emulated quantum dynamics",
        "convention": summary.convention or "",
        "verdict": verdict(summary),
        "words": summary.words,
        "shown": shown(frames),
        "pictures": pictures(summary),
        "students": Table(list(HEADS), [list(row.values()) for row in rows(summary)], [""] * len(rows(summary))),
        "cases": [(s.name, case_table(s), reason_table(s)) for s in figures.judged(summary)],
        "classes": class_table(summary),
        "residuals": residual_table(summary),
        "importance": importance_table(summary),
        "speed": speed_table(summary),
        "teacher": content.pairs(stored.get("teacher")),
        "flags": FLAGS,
        "raised": raised,
        "settings": content.pairs(settings | lists),
        "versions": content.pairs(summary.versions),
        "hardware": content.pairs(summary.hardware),
        "cost": content.pairs(stored.get("cost")),
        "command": summary.command or "",
    }


def verdict(summary: EmulationSummary) -> dict[str, Any]:
    """First lines: how the best student does, on how many landscapes it can be trusted, and the honest comparison."""
    found = best_of(summary)
    if found is None:
        return {"flag": "NO STUDENT", "good": False, "sentences": ["No student was trained."]}
    best, over = found
    count = len(best.cases)
    sentences = [f"{summary.why}."] if summary.why else []
    sentences += [
        f"The {best.name} student ({best.parameters} weights, trained in {number(best.train_cpu_seconds, 3)} "
        f"CPU s) is trusted on {over.trusted} of {count} landscapes it never saw.",
        f"Mean correlation {correlation(over.corr_mean)}, worst {correlation(over.corr_worst)} "
        f"({over.worst_case}), mean absolute error {number(over.mae)}, over {summary.frames} frames.",
    ]
    for row in summary.speed.rows if summary.speed else []:
        if row.student == best.name and row.solver_is_faster_by:
            ratio = row.solver_is_faster_by
            relation = f"{ratio:.2g} times faster" if ratio >= 1 else f"{1 / ratio:.2g} times slower"
            sentences.append(f"A splitting solver tuned to the same accuracy is {relation} on this machine.")
    complete = over.trusted == count and summary.status == "complete"
    flag = (best.verdict or ("OK" if complete else "PARTLY")).upper()
    if best.reasons:
        sentences.append(f"{best.verdict.capitalize()}: {'; '.join(best.reasons)}.")
    return {"flag": flag, "good": complete, "sentences": sentences}


def reason_table(student: Student) -> Table | None:
    """Why cases of a student are not trusted."""
    doubted = [case for case in student.cases if not case.trusted and case.reasons]
    body = [[case.name, case.verdict, "; ".join(case.reasons)] for case in doubted]
    return Table(["case", "verdict", "why"], body, ["doubt"] * len(body)) if body else None


CAPTIONS = {
    "errors": "Lost correlation and mean absolute error along the roll-outs, means over all cases; dotted: worst case.",
    "heat": "Every student on every landscape: logarithm of the lost correlation, mean over all frames.",
    "symmetry": "Residual of each symmetry over the error of one step. Hollow bars hold by construction. Only filled "
    "bars below the red line (0.1) count as learned.",
    "training": "Left: loss; the drop at the end of a polished student is the change to the error of many frames in a "
    "row, per frame. Right: the same residual ratios while the student is trained; the red line is 0.1.",
    "dispersion": "Phase that a plane wave collects in one frame without a potential. Right of the dashed line lie "
    "momenta the curriculum hardly shows.",
    "transmission": "Probability to pass a thin barrier, and the closed form averaged over the packet's momenta.",
    "importance": "What is lost when a physical process is left out of the curriculum; positive means needed. Bars are "
    "one standard error over seeds. The result belongs to the kind of student named.",
    "speed": "Cost and error of the students and of the solver at many settings, single precision, same machine.",
}


def pictures(summary: EmulationSummary) -> dict[str, page.Picture]:
    """The figures that there is something for, by name."""
    drawn = {
        "errors": figures.errors_figure(summary),
        "heat": figures.heat_figure(summary),
        "symmetry": figures.symmetry_figure(summary),
        "training": figures.training_figure(summary),
        "dispersion": figures.dispersion_figure(summary),
        "transmission": figures.transmission_figure(summary),
        "importance": figures.importance_figure(summary),
        "speed": figures.speed_figure(summary),
    }
    return page.pictures(drawn, CAPTIONS)


def shown(frames: Frames) -> list[Shown]:
    """Animations and space-time pictures of every student that has stored densities."""
    found = []
    for student, (arrays, meta) in frames.items():
        for index, case in meta["cases"].items():
            data = base64.b64encode(figures.animation(arrays, index, meta)).decode()
            picture = figures.spacetime_figure(case, arrays, index, meta)
            svg = page.svg(picture, f"st-{student}-{index}")
            found.append(Shown(student, case, f"data:image/gif;base64,{data}", svg))
    return found


def case_table(student: Student) -> Table:
    """Every case of a student."""
    head = ["case", "class", "corr", "corr end", "MAE", "rel. L2 end", "norm drift", "energy drift", "T", "T true",
            "reference", "corr vs 3-point", "verdict", "flags"]  # fmt: skip
    body, classes = [], []
    for case in student.cases:
        coarse, reference = case.against_three_point, case.reference
        body.append(
            [
                case.name, case.category, correlation(case.corr_mean), correlation(case.corr_final), number(case.mae),
                number(case.rel_l2), number(case.norm_drift), number(case.energy_drift), number(case.transmission, 3),
                number(case.true_transmission, 3), number(reference and reference.error, 1),
                correlation(coarse and coarse.corr_mean), case.verdict, ", ".join(case.flags) or "OK",
            ]
        )  # fmt: skip
        classes.append("" if case.trusted else "doubt")
    return Table(head, body, classes)


def class_table(summary: EmulationSummary) -> Table | None:
    """Mean correlation and MAE of every student by class of landscape."""
    students = [(student.name, student.overview.classes) for student in figures.judged(summary) if student.overview]
    if not students:
        return None
    head = ["class", *(name for name, _ in students)]
    body = []
    for group in students[0][1]:
        means = [classes.get(group) for _, classes in students]
        cells = [f"{correlation(mean and mean.corr_mean)} ({number(mean and mean.mae)})" for mean in means]
        body.append([group, *cells])
    return Table(head, body, [""] * len(body))


def residual_table(summary: EmulationSummary) -> Table | None:
    """Residuals of all symmetries; those below a tenth of the one-step error that are not built in are marked."""
    students = figures.asked(summary)
    if not students:
        return None
    body = []
    for name, title in TITLES.items():
        row = [title]
        for _, found in students:
            mark = " built in" if name in found.built_in else " learned" if name in found.learned else ""
            row.append(f"{number(found.residuals.get(name))}{mark}")
        body.append(row)
    return Table(["residual", *(student.name for student, _ in students)], body, [""] * len(body))


def importance_table(summary: EmulationSummary) -> Table | None:
    """What leaving each process out costs every student that was asked, with standard errors."""
    tables = [table for table in summary.importance if table.rows]
    if not tables:
        return None
    head = ["without", "runs left"]
    for table in tables:
        head += [f"{table.student}, all cases", "cases of that process"]
    body = []
    for process in dict.fromkeys(row.process for table in tables for row in table.rows):
        rows = [next((row for row in table.rows if row.process == process), None) for table in tables]
        cells = [process, str(next(row.runs for row in rows if row))]
        for row in rows:
            cells += [with_error(row and row.on_all), with_error(row and row.on_class)]
        body.append(cells)
    return Table(head, body, [""] * len(body))


def with_error(found: Measured | None) -> str:
    """A number and its standard error, or ``n/a``."""
    if found is None or found.value is None:
        return "n/a"
    known = found.error is not None and math.isfinite(found.error)
    return f"{found.value:+.2f} ± {found.error:.2f}" if known else f"{found.value:+.2f}, no error bar"


def speed_table(summary: EmulationSummary) -> Table | None:
    """Students, each with the cheapest solver of at least its accuracy."""
    if summary.speed is None or not summary.speed.rows:
        return None
    head = ["student", "ms per frame", "MAE", "solver of the same accuracy", "its ms per frame", "its MAE",
            "solver faster by"]  # fmt: skip
    body = []
    for row in summary.speed.rows:
        cells = [row.student, number(row.ms_per_frame, 3), number(row.mae)]
        if match := row.solver:
            cells += [solver_name(match), number(match.ms_per_frame, 3), number(match.mae),
                      number(row.solver_is_faster_by, 3)]  # fmt: skip
        body.append(cells + ["n/a"] * (len(head) - len(cells)))
    return Table(head, body, [""] * len(body))
