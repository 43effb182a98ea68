"""The summary of an emulation study: students with their verdicts, the processes that matter, how it ended."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from wavefoundry.artifacts.spec_emulation import EmulationSpec
from wavefoundry.core.meter import Cost
from wavefoundry.studies.emulation import ablation
from wavefoundry.studies.emulation.curriculum import Curriculum
from wavefoundry.studies.emulation.evaluation import overview
from wavefoundry.studies.emulation.grading import grade, student_verdict
from wavefoundry.studies.emulation.records import teacher_record
from wavefoundry.studies.emulation.tasks import SPEED, TaskList
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.task import Outputs

CONVENTION = (
    "i dpsi/dt = (-1/2 d2/dx2 + V) psi in hartree atomic units (hbar = m = 1) in a periodic box; "
    "correlation = |<predicted|true>| / (|predicted| |true|), blind to norm and global phase"
)


def summary_of(
    spec: EmulationSpec, curriculum: Curriculum, tasks: TaskList, done: Outputs, cost: Cost
) -> dict[str, Any]:
    """The machine-readable result, see docs/emulation.md."""
    records, importance = student_records(tasks, done), importance_tables(spec, tasks, done)
    status, why = status_of(records)
    words = [line for record in records for line in (record.get("diagnostics") or {}).get("words", [])]
    words += [line for table in importance for line in table["words"]]
    return {
        "schema": SCHEMA,
        "kind": "emulation",
        "status": status,
        "why": why,
        "title": spec.output.title,
        "convention": CONVENTION,
        "grid": {"length": spec.grid.length, "n": spec.grid.n},
        "frames": spec.evaluate.frames,
        "teacher": teacher_record(spec, curriculum, tasks, done),
        "students": records,
        "importance": importance,
        "speed": done[SPEED].record["table"] if SPEED in done else None,
        "words": words,
        "cost": cost.to_dict(),
        "settings": spec.model_dump(mode="json", exclude_none=True),
        "versions": versions(),
        "hardware": hardware(),
    }


def student_records(tasks: TaskList, done: Outputs) -> list[dict[str, Any]]:
    """Records of all students, with the verdicts on them and their cases."""
    records, judged = [], tasks.judged(done)
    for index, name in enumerate(tasks.students):
        record = copy.deepcopy(done[name].record)
        record.pop("student", None)
        for part in (f"judge/{index}", f"final/{index}"):
            record |= copy.deepcopy(done[part].record) if part in done else {}
        records.append(record)
    trained = [records[index] for index in judged]
    if trained:
        grade([record["cases"] for record in trained])
    for record in trained:
        record["overview"] = overview(record["cases"])
        record |= student_verdict(record["cases"], record["overview"]["corr_mean"]).fields()
    return records


def importance_tables(spec: EmulationSpec, tasks: TaskList, done: Outputs) -> list[dict[str, Any]]:
    """Which processes matter, for the students that are asked."""
    names, found = spec.names(), []
    for name in (spec.importance.students or names[:1]) if spec.importance.seeds else ():
        index = names.index(name)
        jobs = [done[f"ablated/{key}"].record for key, one in tasks.ablations.items() if one.student == index]
        table = ablation.table_of(name, jobs)
        found.append(table | {"kind": spec.students[index].kind, "words": ablation.words_of(table)})
    return found


def status_of(records: Sequence[dict[str, Any]]) -> tuple[str, str | None]:
    """How a study ended, and why where that is not well: no student that can be used is a failure."""
    usable = [record for record in records if record.get("verdict", "refused") != "refused"]
    if usable:
        failed = [record for record in records if record["status"] != "trained"]
        return ("partial", f"{failed[0]['name']}: {failed[0]['why']}") if failed else ("complete", None)
    first = records[0]
    why = first.get("why") or "; ".join(first.get("reasons") or [])
    return "failed", f"no student can be used: {first['name']} {why}" + (" (and others)" if len(records) > 1 else "")
