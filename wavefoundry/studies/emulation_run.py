"""From a study file of kind "emulation" to its summary: teacher, students, judging, questions, importance, speed."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import Any

import numpy as np

from wavefoundry.artifacts.spec_emulation import EmulationSpec, StudentTable
from wavefoundry.core import tree
from wavefoundry.core.errors import PhysicsError
from wavefoundry.problems.landscapes import suite
from wavefoundry.studies import importance, judging, questions, speed
from wavefoundry.studies.context import Context
from wavefoundry.studies.curriculum import Trajectories
from wavefoundry.studies.distill import Progress, distill_on
from wavefoundry.studies.emulation_plan import curriculum_of, items_of, model_of, plan_for, refuse
from wavefoundry.studies.grading import grade, student_verdict
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.questions import Exam
from wavefoundry.studies.student import Student, pack, unpack
from wavefoundry.studies.truth import Reference, goals_of, reference, sharpen

STREAM = "emulation"
CONVENTION = (
    "i dpsi/dt = (-1/2 d2/dx2 + V) psi in hartree atomic units (hbar = m = 1) in a periodic box; "
    "correlation = |<predicted|true>| / (|predicted| |true|), blind to norm and global phase"
)
SHOWN = ("triple", "random-2", "half-circle", "two packets", "well", "smooth", "double-1", "harmonic-1")
"""Cases of the suite that make the best pictures."""


@dataclasses.dataclass
class Desk:
    """What the parts of a study share: the frames, the truth, the exam, and where it reports."""

    spec: EmulationSpec
    context: Context
    data: Trajectories
    truth: Reference
    exam: Exam | None


class State:
    """What is finished, saved and restored as one stream, so that a resumed study equals an uninterrupted one."""

    def __init__(self, context: Context):
        self.context, self.count = context, 0
        self.records: list[dict[str, Any]] = []
        self.students: list[Student] = []
        self.jobs: dict[str, list[dict[str, Any]]] = {}
        self.progress: dict[str, Any] | None = None
        self.arrays: dict[str, np.ndarray] = {}
        found = context.restore(STREAM)
        if found is not None:
            self._restore(*found)

    def _restore(self, step: int, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        self.count, self.records, self.jobs = step, meta["records"], meta["jobs"]
        self.progress = meta["progress"]
        for index, note in enumerate(meta["students"]):
            prefix = f"student-{index}/"
            mine = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
            self.students.append(unpack(mine, note))
        self.arrays = {name.removeprefix("run/"): a for name, a in arrays.items() if name.startswith("run/")}
        self.context.say(STREAM, f"going on: {len(self.records)} students are finished")

    def resumed(self) -> tuple[Progress, dict[str, np.ndarray]] | None:
        """Progress and arrays of the training that was interrupted."""
        if self.progress is None:
            return None
        found = Progress(**self.progress), self.arrays
        self.progress, self.arrays = None, {}
        return found

    def save(self, run: Any = None, progress: Progress | None = None) -> None:
        """Checkpoint everything."""
        self.count += 1
        state: dict[str, np.ndarray] = {}
        notes = []
        for index, student in enumerate(self.students):
            arrays, note = pack(student)
            state |= {f"student-{index}/{name}": array for name, array in arrays.items()}
            notes.append(note)
        if run is not None:
            state |= {f"run/{name}": array for name, array in tree.to_arrays(run).items()}
        state.setdefault("count", np.asarray(self.count))
        meta = {
            "records": self.records, "students": notes, "jobs": self.jobs,
            "progress": None if progress is None else dataclasses.asdict(progress),
        }  # fmt: skip
        self.context.save_arrays(STREAM, self.count, state, meta)


def run(spec: EmulationSpec, context: Context) -> dict[str, Any]:
    """Teach, train, judge, ask, and put the records together."""
    desk, teacher = prepare(spec, context)
    state = State(context)
    names = spec.names()
    for index, (name, table) in enumerate(zip(names, spec.students, strict=True)):
        if index < len(state.records):
            continue
        context.say("train", f"student {name} ({index + 1} of {len(names)})")
        take_student(desk, state, name, table)
        state.save()
        context.stop_if_asked()
    desk = settle(desk, state)
    teacher["reference"] |= {"error": desk.truth.error, "refined": int((desk.truth.finer > 1).sum())}
    found = ask_importance(desk, state, names)
    timing = None
    trained = [(r["name"], s, r["cases"]) for r, s in zip(_usable(state.records), state.students, strict=True)]
    if spec.evaluate.speed and trained:
        context.say("speed", "students and solver at equal accuracy")
        timing = speed.table(trained, desk.truth)
    return summary_of(spec, desk, teacher, state, found, timing)


def _usable(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["status"] == "trained"]


def prepare(spec: EmulationSpec, context: Context) -> tuple[Desk, dict[str, Any]]:
    """Let the teacher make the frames and the reference."""
    curriculum = curriculum_of(spec)
    context.say("teacher", f"{len(curriculum.items)} runs of {curriculum.frames} frames")

    def progress(done: int, total: int) -> None:
        context.emit({"event": "data", "done": done, "total": total})
        context.stop_if_asked()

    clock, wall = time.process_time(), time.perf_counter()
    data = curriculum.generate(spec.curriculum.cache, progress)
    seconds, wall = time.process_time() - clock, time.perf_counter() - wall
    cases = suite(curriculum.grid) if spec.evaluate.cases == "paper" else items_of(spec.evaluate.cases)
    context.say("reference", f"{len(cases)} landscapes, {spec.evaluate.frames} frames")
    truth = reference(
        cases, curriculum.grid, spec.evaluate.frames, curriculum.frame_step, tolerance=spec.evaluate.tolerance,
        paper=spec.evaluate.three_point, after=context.stop_if_asked,
    )  # fmt: skip
    test = None
    if spec.diagnose.enabled and curriculum.grid.length >= 60:
        test = questions.exam(curriculum.grid, curriculum.frame_step)
    teacher = {
        "curriculum": curriculum.name,
        "runs": len(data.items),
        "frames": curriculum.frames,
        "frame_step": curriculum.frame_step,
        "method": spec.teacher.method,
        "laplacian": spec.teacher.laplacian,
        "kcut": spec.teacher.kcut,
        "substeps": data.substeps,
        "error": data.error if math.isfinite(data.error) else None,
        "cpu_seconds": round(seconds, 3),
        "runs_per_second": round(len(data.items) / wall, 2),
        "reference": {"error": truth.error, "cases": len(cases)},
        "three_point": _three_point(truth),
    }
    return Desk(spec, context, data, truth, test), teacher


def _three_point(truth: Reference) -> dict[str, Any] | None:
    """How far the paper's own three-point solver is from the converged reference."""
    if truth.paper is None:
        return None
    curves = judging.compare(truth.paper, truth.frames, truth.fields, truth.grid)
    return {
        "corr_mean": float(curves.corr.mean()),
        "corr_worst": float(curves.corr.mean(axis=1).min()),
        "corr_final": float(curves.corr[:, -1].mean()),
        "mae": float(curves.mae.mean()),
    }


def take_student(desk: Desk, state: State, name: str, table: StudentTable) -> None:
    """Train, judge and question one student; its record joins the state. One that cannot be trained is recorded too."""
    spec, context, model = desk.spec, desk.context, model_of(table)
    plan = plan_for(table, spec, len(desk.data.items))

    def ask(emulator: Any) -> dict[str, Any]:
        assert desk.exam is not None
        found = questions.residuals(emulator, desk.exam, desk.data.grid, desk.data.frame_step)
        return {"residuals": {k: _finite(v) for k, v in found.items()}}

    probe = ask if desk.exam is not None and spec.diagnose.along_training else None
    try:
        student = distill_on(
            desk.data, model, plan, context, name=name, laplacian=spec.teacher.laplacian, probe=probe,
            save=lambda run, progress: state.save(run, progress), restored=state.resumed(),
        )  # fmt: skip
    except PhysicsError as error:
        context.warn(f"student {name}: {error}")
        state.records.append({"name": name, "kind": table.kind, "status": "failed", "why": str(error)})
        return
    context.say("evaluate", f"student {name} on {len(desk.truth.items)} landscapes")
    record = {
        "name": name,
        "kind": table.kind,
        "status": "trained",
        "options": dict(model.options),
        "parameters": student.parameters,
        "train_cpu_seconds": student.record["cost"]["cpu_seconds"],
        "training": {k: v for k, v in student.record.items() if k != "probes"},
        "probes": student.record["probes"],
        "scope": student.scope,
        **judged(desk, name, student),
        "diagnostics": questions.diagnose(student, desk.exam) if desk.exam is not None else None,
    }
    state.records.append(record)
    state.students.append(student)
    context.save_artifact(f"student-{name}", *pack(student))
    over = record["overview"]
    event = {k: over[k] for k in ("corr_mean", "corr_worst", "worst_case", "mae", "norm_drift")}
    seconds = {"parameters": student.parameters, "train_cpu_seconds": record["train_cpu_seconds"]}
    context.emit({"event": "student", "name": name, "kind": table.kind} | event | seconds)


def judged(desk: Desk, name: str, student: Student) -> dict[str, Any]:
    """What a record says of a student's cases; its frames are kept for the report."""
    cases, curves, frames = judging.judge(student, desk.truth)
    stored = frames_of(student, desk.truth, frames, curves, desk.spec.output.animations)
    desk.context.save_artifact(f"frames-{name}", *stored)
    return {"overview": judging.overview(cases), "cases": cases, "curves": curves_of(curves)}


def settle(desk: Desk, state: State) -> Desk:
    """Verdicts on all cases and students, against a reference ten times better than the best where affordable."""
    trained = _usable(state.records)
    if not trained:
        return desk
    goals = goals_of([record["cases"] for record in trained])
    wanting = int((desk.truth.errors > goals).sum())
    if wanting:
        desk.context.say("reference", f"finer for {wanting} of {len(goals)} landscapes, as far as affordable")
        sharper = sharpen(desk.truth, goals, desk.context.stop_if_asked)
        if sharper is not desk.truth:
            desk = dataclasses.replace(desk, truth=sharper)
            for record, student in zip(trained, state.students, strict=True):
                record |= judged(desk, record["name"], student)
    grade([record["cases"] for record in trained])
    for record in trained:
        record["overview"] = judging.overview(record["cases"])
        record |= student_verdict(record["cases"], record["overview"]["corr_mean"]).fields()
    return desk


def status_of(records: list[dict[str, Any]]) -> tuple[str, str | None]:
    """How a study ended, and why where that is not well: no student that can be used is a failure."""
    usable = [record for record in records if record.get("verdict", "refused") != "refused"]
    if usable:
        failed = [record for record in records if record["status"] != "trained"]
        return ("partial", f"{failed[0]['name']}: {failed[0]['why']}") if failed else ("complete", None)
    first = records[0]
    why = first.get("why") or "; ".join(first.get("reasons") or [])
    return "failed", f"no student can be used: {first['name']} {why}" + (" (and others)" if len(records) > 1 else "")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def curves_of(curves: judging.Curves, most: int = 100) -> dict[str, list[float | None]]:
    """Means over cases along a roll-out, at up to ``most`` frames; correlation also the lowest case."""
    count = curves.corr.shape[1]
    pick = np.unique(np.round(np.geomspace(1, count, min(most, count))).astype(int)) - 1
    means = {
        "corr": np.nan_to_num(curves.corr, nan=0.0).mean(0),
        "corr_lowest": np.nan_to_num(curves.corr, nan=0.0).min(0),
        "mae": np.mean(curves.mae, 0),
        "rel_l2": np.mean(curves.rel_l2, 0),
        "norm": np.mean(np.abs(curves.norm - 1), 0),
    }
    found: dict[str, list[float | None]] = {"frame": (pick + 1).tolist()}
    for name, values in means.items():
        found[name] = [float(v) if np.isfinite(v) and abs(v) < 1e9 else None for v in values[pick]]
    return found


def frames_of(
    student: Student, truth: Reference, found: np.ndarray, curves: judging.Curves, animations: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """|psi| for the report (one byte a point, every fourth frame and point), and all curves of all cases."""
    names = [item.name for item in truth.items]
    wanted = [name for name in SHOWN if name in names] or names
    chosen = [names.index(name) for name in wanted[:animations]]
    step_t, step_x = max(1, found.shape[1] // 100), max(1, truth.grid.n // 256)
    arrays: dict[str, np.ndarray] = {}
    scale = {}
    for index in chosen:
        true = truth.frames[index, student.history : student.history + found.shape[1]]
        top = float(np.max(np.abs(true)))
        scale[names[index]] = top
        for key, psi in (("true", true), ("predicted", found[index])):
            with np.errstate(all="ignore"):
                size = np.abs(psi[::step_t, ::step_x]) / top
            arrays[f"{key}/{index}"] = np.round(255 * np.clip(np.nan_to_num(size, nan=1.0), 0, 1)).astype(np.uint8)
        arrays[f"potential/{index}"] = truth.fields[index, ::step_x].astype(np.float32)
    for name, values in curves._asdict().items():
        safe = np.clip(np.nan_to_num(values, nan=1e30, posinf=1e30), -1e30, 1e30)
        arrays[f"curves/{name}"] = safe.astype(np.float32)
    meta = {
        "cases": {str(index): names[index] for index in chosen},
        "all_cases": names,
        "amplitude_scale": scale,
        "frame_step": step_t * truth.frame_step,
        "dx": step_x * truth.grid.dx,
        "not_finite": 1e30,
    }
    return arrays, meta


def ask_importance(desk: Desk, state: State, names: list[str]) -> list[dict[str, Any]]:
    """Leave physical processes out, for the students that are asked."""
    table = desk.spec.importance
    if not table.seeds:
        return []
    found = []
    for name in table.students or names[:1]:
        student = desk.spec.students[names.index(name)]
        model, plan = model_of(student), plan_for(student, desk.spec, len(desk.data.items))
        if table.steps is not None:
            plan = plan._replace(recipe=plan.recipe._replace(steps=table.steps))
        jobs = importance.plan_jobs(desk.data, table.seeds, table.processes)
        desk.context.say("importance", f"{name}: {len(jobs)} trainings")
        done = state.jobs.setdefault(name, [])

        def after(_: Any) -> None:
            state.save()
            desk.context.stop_if_asked()

        importance.run_jobs(desk.data, model, plan, desk.truth, jobs, done, after, desk.context)
        tabled = importance.table_of(name, done)
        found.append(tabled | {"kind": student.kind, "words": importance.words_of(tabled)})
    return found


def summary_of(
    spec: EmulationSpec, desk: Desk, teacher: dict[str, Any], state: State, asked: list[dict[str, Any]],
    timing: dict[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    """The machine-readable result, see docs/emulation.md."""
    status, why = status_of(state.records)
    words = [line for record in _usable(state.records) for line in (record["diagnostics"] or {}).get("words", [])]
    words += [line for table in asked for line in table["words"]]
    return {
        "schema": SCHEMA,
        "kind": "emulation",
        "status": status,
        "why": why,
        "title": spec.output.title,
        "convention": CONVENTION,
        "grid": {"length": spec.grid.length, "n": spec.grid.n},
        "frames": spec.evaluate.frames,
        "teacher": teacher,
        "students": state.records,
        "importance": asked,
        "speed": timing,
        "words": words,
        "cost": state.context.cost().to_dict(),
        "settings": spec.model_dump(mode="json", exclude_none=True),
        "versions": versions(),
        "hardware": hardware(),
    }


__all__ = ["run", "refuse"]
