"""Numbers of an emulation study as text: lines of the live view, the closing table, ``cases.csv``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from wavefoundry.reports import verdicts
from wavefoundry.reports.tables import NOT_AVAILABLE, csv_text, format_number

if TYPE_CHECKING:
    from wavefoundry.core.records.emulation import EmulationSummary, Overview, Solver, Student, Timed

COLUMNS = (
    "student", "name", "class", "corr_mean", "corr_final", "mae", "rel_l2", "rel_l2_mean", "norm_drift",
    "energy_drift", "transmission", "true_transmission", "frames_followed", "against_three_point.corr_mean",
    "against_three_point.mae", "reference.error", "verdict", "reasons", "trusted", "flags",
)  # fmt: skip
HEADS = (
    "student",
    "weights",
    "train CPU s",
    "corr",
    "worst case",
    "corr end",
    "MAE",
    "norm drift",
    "trusted",
    "verdict",
)


def correlation(value: Any) -> str:
    """A correlation with as many digits as its distance from 1 deserves."""
    if not _known(value):
        return NOT_AVAILABLE
    gap = abs(1 - float(value))
    digits = 3 if gap > 1e-2 else min(8, 1 - math.floor(math.log10(max(gap, 1e-9))))
    return f"{float(value):.{digits}f}"


def number(value: Any, digits: int = 2) -> str:
    """A number, or ``n/a``."""
    return format_number(float(value), digits) if _known(value) else NOT_AVAILABLE


def _known(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def event_line(event: Mapping[str, Any]) -> str:
    """An event of an emulation study as one line; empty for events that are not its own."""
    kind = event.get("event")
    if kind == "data":
        return f"teacher: {event.get('done')}/{event.get('total')} runs"
    if kind == "student":
        worst = f"{correlation(event.get('corr_worst'))} ({event.get('worst_case')})"
        return (
            f"student {event.get('name')}: corr {correlation(event.get('corr_mean'))}, worst {worst}, "
            f"MAE {number(event.get('mae'))}, {event.get('parameters')} weights, "
            f"{number(event.get('train_cpu_seconds'), 3)} CPU s"
        )
    if kind == "importance":
        place = f"({event.get('index')}/{event.get('count')})"
        lost = number(event.get("lost"))
        return f"without {event.get('without')}, seed {event.get('seed')} {place}: 1 - corr {lost}"
    return ""


def parsed(summary: Mapping[str, Any]) -> EmulationSummary:
    """The typed records of a summary.

    Raises:
        InputError: something in it has another form.
    """
    from wavefoundry.core.records import EmulationSummary, typed  # half a hundred types: the live view does not wait

    return typed(EmulationSummary, summary)


def best_of(summary: EmulationSummary) -> tuple[Student, Overview] | None:
    """The student with the highest correlation, and its means; None where none was judged."""
    students = [(student, student.overview) for student in summary.students if student.overview is not None]
    return max(students, key=lambda pair: pair[1].corr_mean) if students else None


def rows(summary: EmulationSummary) -> list[dict[str, str]]:
    """One row per student, by column."""
    out = []
    for student in summary.students:
        over = student.overview
        worst = NOT_AVAILABLE if over is None else f"{correlation(over.corr_worst)} {over.worst_case}"
        cells = (
            student.name,
            "" if student.parameters is None else str(student.parameters),
            number(student.train_cpu_seconds, 3),
            correlation(over and over.corr_mean),
            worst,
            correlation(over and over.corr_final),
            number(over and over.mae),
            number(over and over.norm_drift),
            student.status if over is None else f"{over.trusted}/{len(student.cases)}",
            student.verdict,
        )
        out.append(dict(zip(HEADS, cells, strict=True)))
    return out


def final_line(summary: EmulationSummary) -> str:
    """One line that says how a study ended."""
    found = best_of(summary)
    if found is None:
        return f"{summary.status}: {summary.why or 'no student was trained'}"
    best, over = found
    students = [student for student in summary.students if student.overview is not None]
    count = f"{len(students)} student{'s' * (len(students) != 1)}, {verdicts.counted(students)}"
    return (
        f"{summary.status}: {count}; best {best.name} with correlation "
        f"{correlation(over.corr_mean)} (worst case {correlation(over.corr_worst)}), MAE {number(over.mae)}"
        + (f"; {summary.why}" if summary.why else "")
    )


def notes(summary: EmulationSummary) -> list[str]:
    """Lines under the closing table: the paper's solver, speed, doubts."""
    out = []
    coarse = summary.teacher and summary.teacher.three_point
    if coarse:
        out.append(
            f"for comparison, the three-point solver of the paper: corr {correlation(coarse.corr_mean)}, "
            f"MAE {number(coarse.mae)} against the converged reference"
        )
    out += [speed_line(row) for row in (summary.speed.rows if summary.speed else [])]
    for student in summary.students:
        for word in ("doubtful", "refused"):
            doubted = [case for case in student.cases if case.verdict == word]
            if doubted:
                names = ", ".join(case.name for case in doubted[:4])
                more = f" and {len(doubted) - 4} more" if len(doubted) > 4 else ""
                why = "; ".join(doubted[0].reasons)
                out.append(f"{student.name}, {word} on {len(doubted)}: {names}{more} ({doubted[0].name}: {why})")
    return out


def speed_line(row: Timed) -> str:
    """Cost of a student beside that of the solver tuned to its accuracy."""
    mine, match = number(row.ms_per_frame, 3), row.solver
    if match is None:
        return f"{row.student}: {mine} ms per frame; no solver of the ladder is as accurate"
    ratio = row.solver_is_faster_by or 0.0
    verdict = f"{ratio:.3g} times faster" if ratio >= 1 else f"{1 / max(ratio, 1e-12):.3g} times slower"
    return (
        f"{row.student}: {mine} ms per frame; a solver of the same accuracy "
        f"({solver_name(match)}): {number(match.ms_per_frame, 3)} ms, {verdict}"
    )


def solver_name(rung: Solver) -> str:
    """A rung of the ladder in words."""
    cut = f"cut at {rung.kcut:g}" if rung.kcut else "uncut"
    return f"Strang, {rung.substeps} step{'s' * (rung.substeps != 1)}, {cut}"


def cases_csv(summary: EmulationSummary) -> str:
    """Every case of every student as CSV; what is missing is an empty cell."""
    records = []
    for student in summary.students:
        for case in student.cases:
            flat = case.model_dump(by_alias=True) | {"student": student.name, "flags": ";".join(case.flags)}
            flat |= {"reasons": "; ".join(case.reasons)}
            flat["reference.error"] = None if case.reference is None else case.reference.error
            if (coarse := case.against_three_point) is not None:
                flat |= {f"against_three_point.{key}": value for key, value in coarse.model_dump().items()}
            records.append(flat)
    return csv_text(COLUMNS, records)
