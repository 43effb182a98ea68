"""Numbers of an emulation study as text: lines of the live view, the closing table, ``cases.csv``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from wavefoundry.reports.tables import NOT_AVAILABLE, csv_text, format_number

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


def rows(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row per student, by column."""
    out = []
    for student in summary.get("students") or []:
        over = student.get("overview") or {}
        cases = student.get("cases") or []
        cells = (
            str(student.get("name")),
            str(student.get("parameters", "")),
            number(student.get("train_cpu_seconds"), 3),
            correlation(over.get("corr_mean")),
            f"{correlation(over.get('corr_worst'))} {over.get('worst_case', '')}".strip(),
            correlation(over.get("corr_final")),
            number(over.get("mae")),
            number(over.get("norm_drift")),
            f"{over.get('trusted', 0)}/{len(cases)}" if cases else str(student.get("status", "")),
            str(student.get("verdict") or ""),
        )
        out.append(dict(zip(HEADS, cells, strict=True)))
    return out


def final_line(summary: Mapping[str, Any]) -> str:
    """One line that says how a study ended."""
    students = [s for s in summary.get("students") or [] if s.get("overview")]
    status = summary.get("status", "unfinished")
    if not students:
        return f"{status}: {summary.get('why') or 'no student was trained'}"
    best = max(students, key=lambda s: s["overview"]["corr_mean"])
    over = best["overview"]
    return (
        f"{status}: {len(students)} student{'s' * (len(students) != 1)}, best {best['name']} with correlation "
        f"{correlation(over['corr_mean'])} (worst case {correlation(over['corr_worst'])}), MAE {number(over['mae'])}"
        + (f"; {summary['why']}" if summary.get("why") else "")
    )


def notes(summary: Mapping[str, Any]) -> list[str]:
    """Lines under the closing table: the paper's solver, speed, doubts."""
    out = []
    coarse = (summary.get("teacher") or {}).get("three_point")
    if coarse:
        out.append(
            f"for comparison, the three-point solver of the paper: corr {correlation(coarse['corr_mean'])}, "
            f"MAE {number(coarse['mae'])} against the converged reference"
        )
    for row in (summary.get("speed") or {}).get("rows") or []:
        out.append(speed_line(row))
    for student in summary.get("students") or []:
        for word in ("doubtful", "refused"):
            doubted = [case for case in student.get("cases") or [] if case.get("verdict") == word]
            if doubted:
                names = ", ".join(case["name"] for case in doubted[:4])
                more = f" and {len(doubted) - 4} more" if len(doubted) > 4 else ""
                why = "; ".join(doubted[0].get("reasons") or [])
                out.append(f"{student['name']}, {word} on {len(doubted)}: {names}{more} ({doubted[0]['name']}: {why})")
    return out


def speed_line(row: Mapping[str, Any]) -> str:
    """Cost of a student beside that of the solver tuned to its accuracy."""
    mine, match = number(row.get("ms_per_frame"), 3), row.get("solver")
    if not match:
        return f"{row.get('student')}: {mine} ms per frame; no solver of the ladder is as accurate"
    ratio = float(row.get("solver_is_faster_by") or 0)
    verdict = f"{ratio:.3g} times faster" if ratio >= 1 else f"{1 / max(ratio, 1e-12):.3g} times slower"
    return (
        f"{row.get('student')}: {mine} ms per frame; a solver of the same accuracy "
        f"({solver_name(match)}): {number(match.get('ms_per_frame'), 3)} ms, {verdict}"
    )


def solver_name(rung: Mapping[str, Any]) -> str:
    """A rung of the ladder in words."""
    cut = f"cut at {rung['kcut']:g}" if rung.get("kcut") else "uncut"
    return f"Strang, {rung.get('substeps')} step{'s' * (rung.get('substeps') != 1)}, {cut}"


def cases_csv(summary: Mapping[str, Any]) -> str:
    """Every case of every student as CSV; what is missing is an empty cell."""
    records = []
    for student in summary.get("students") or []:
        for case in student.get("cases") or []:
            flat = {**case, "student": student.get("name"), "flags": ";".join(case.get("flags") or [])}
            flat |= {"reasons": "; ".join(case.get("reasons") or [])}
            flat["reference.error"] = (case.get("reference") or {}).get("error")
            for key, value in (case.get("against_three_point") or {}).items():
                flat[f"against_three_point.{key}"] = value
            records.append(flat)
    return csv_text(COLUMNS, records)
