"""The card of a model, for people: what it is, how it was made, what is known of it, and of it alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from wavefoundry._version import __version__
from wavefoundry.artifacts.inputs import starts
from wavefoundry.artifacts.named import PREFIX
from wavefoundry.core.verdict import worst


class Named(NamedTuple):
    """What a card is of: name, title and study of a model, its record, size in bytes and checksum."""

    name: str
    title: str
    study: Any
    record: Mapping[str, Any]
    size: int
    checksum: str


def card(one: Named, seconds: float | None, molecules: Sequence[Mapping[str, Any]] = ()) -> str:
    """The text in Markdown.

    Args:
        one: the model. seconds: of its training, where they are known. molecules: records of a run, whose errors the
            card of a model for all of them tells.
    """
    verb = "load_student" if one.study.kind == "emulation" else "load"
    lines = [
        f"# {one.name}",
        "",
        f'{one.title}. Trained by wavefoundry; `wf.{verb}("{PREFIX}{one.name}")`.',
        "",
        "| | |",
        "|---|---|",
        *_measured(one.study.kind, one.record),
        f"| training | {_number(seconds, '.0f')} CPU seconds{_start(one.study)} |",
        f"| size | {one.size / 1024:.0f} KiB |",
        f"| sum | `{one.checksum}` |",
        f"| written by | wavefoundry {__version__} |",
        "",
        "`study.toml` is the study that makes it again.",
        "",
        *_compounds(molecules),
    ]
    return "\n".join(lines)


def of_student(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a student says of its quality, from the part of a summary that is about it."""
    overview, cases = summary.get("overview") or {}, summary.get("cases") or []
    reasons = [f"{case['name']}: {'; '.join(case['reasons'])}" for case in cases if case.get("reasons")]
    found = {"student": summary["kind"], "weights": summary.get("parameters"), "cases": len(cases)}
    found |= {name: overview.get(name) for name in ("corr_mean", "corr_worst", "worst_case")}
    return found | {"verdict": worst(case["verdict"] for case in cases), "reasons": reasons}


def of_molecules(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the record of a model that was tuned to molecules says, from their records."""
    names = ("name", "method", "steps", "energy", "energy_error", "error_mha", "error_mha_error", "verdict", "reasons")
    if len(records) == 1:
        return {name: records[0].get(name) for name in names}
    reasons = [f"{one['name']}: {'; '.join(one['reasons'])}" for one in records if one.get("reasons")]
    found = {"name": ", ".join(one["name"] for one in records), "method": "full together"}
    found |= {"steps": records[0].get("steps") if records else None}
    return found | {"verdict": worst(one["verdict"] for one in records), "reasons": reasons}


def _start(study: Any) -> str:
    """What it began with, where that was a trained model: its cost comes on top."""
    begun = starts(study)
    return f", begun with {', '.join(begun)}" if begun else ""


def _measured(kind: str, record: Mapping[str, Any]) -> list[str]:
    """Rows about what was measured of it."""
    rows: list[tuple[str, Any]] = []
    if kind == "diagram" or record.get("energy") is not None:
        known = record.get("energy") is not None
        rows.append(("energy", f"{record['energy']:.6f} ± {record['energy_error']:.2g}" if known else "none"))
    if kind == "molecules" and record.get("name"):
        rows.insert(0, ("molecule", f"{record['name']}, {record['method']}, {record['steps']} steps"))
    if kind == "molecules" and record.get("error_mha") is not None:
        rows.append(("error, mHa", f"{record['error_mha']:.1f} ± {record['error_mha_error']:.1f}"))
    if kind == "emulation" and record.get("student"):
        rows.append(("student", f"{record['student']}, {record['weights']} weights"))
        rows.append(("mean correlation", f"{_number(record['corr_mean'], '.4f')} over {record['cases']} cases"))
        rows.append(("worst", f"{_number(record['corr_worst'], '.4f')} ({record['worst_case']})"))
    if kind == "diagram" or record.get("verdict"):
        reasons = f": {'; '.join(record['reasons'])}" if record.get("reasons") else ""
        rows.append(("verdict", f"{record.get('verdict')}{reasons}"))
    if kind == "diagram":
        rows += [("V-score", _number(record.get("v_score"))), ("relative error", _number(record.get("relative_error")))]
    return [f"| {name} | {value} |" for name, value in rows]


def _compounds(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Errors of every compound without a further step, where a run has measured them."""
    kept = [r for r in records if r["method"] in ("trained", "zero-shot") and r.get("error_mha") is not None]
    if not kept:
        return []
    lines = [
        "Energies without a further step against references (in brackets: error bars; *: geometries of the training):",
        "",
        "| compound | geometries | mean error, mHa | largest, mHa | trusted |",
        "|---|---|---|---|---|",
    ]
    for formula in dict.fromkeys(r["formula"] for r in kept):
        for method, mark in (("trained", " *"), ("zero-shot", "")):
            if not (found := [r for r in kept if (r["formula"], r["method"]) == (formula, method)]):
                continue
            far = max(found, key=lambda r: abs(r["error_mha"]))
            mean = sum(abs(r["error_mha"]) for r in found) / len(found)
            trusted = sum(bool(r["trusted"]) for r in found)
            largest = f"{far['error_mha']:.1f} ({far['error_mha_error']:.1f})"
            lines.append(f"| {formula}{mark} | {len(found)} | {mean:.1f} | {largest} | {trusted} |")
    return [*lines, ""]


def _number(value: Any, form: str = ".2g") -> str:
    return "unknown" if value is None else format(value, form)
