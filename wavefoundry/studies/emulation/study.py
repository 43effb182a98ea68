"""A study of kind "emulation": teacher, truth, students, what they are asked; see ``tasks`` for its parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wavefoundry.artifacts.spec_emulation import EmulationSpec
from wavefoundry.core.errors import PhysicsError
from wavefoundry.studies.emulation import ablation, diagnostics, evaluation, speed
from wavefoundry.studies.emulation.curriculum import Trajectories, calibration_of, file_calibration
from wavefoundry.studies.emulation.diagnostics import ProbeStates
from wavefoundry.studies.emulation.distill import distill_on
from wavefoundry.studies.emulation.pieces import Pieces
from wavefoundry.studies.emulation.plan import cases_of, check, curriculum_of, model_of
from wavefoundry.studies.emulation.records import curves_of, frames_of, three_point_record
from wavefoundry.studies.emulation.student import Student, pack, unpack
from wavefoundry.studies.emulation.summary import summary_of
from wavefoundry.studies.emulation.tasks import CALIBRATION, FILE, THREE_POINT, TaskList
from wavefoundry.studies.emulation.truth import (
    Reference,
    Setting,
    Solved,
    assembled,
    goals_of,
    sharpen_case,
    solve_case,
    three_point,
)
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

__all__ = ["EmulationStudy", "build", "check"]

LEAST_LENGTH = 60.0
"""Boxes shorter than this have no room for the states that students are probed with."""


def build(spec: EmulationSpec, context: Context) -> EmulationStudy:
    """The study of a file."""
    return EmulationStudy(spec)


class EmulationStudy:
    """Frames of a teacher, students that learn from them, roll-outs against the truth; see ``studies.study.Study``."""

    def __init__(self, spec: EmulationSpec):
        self.spec, self.names = spec, spec.names()
        self.curriculum, self.cases = curriculum_of(spec), cases_of(spec)
        table, curriculum = spec.evaluate, self.curriculum
        self.setting = Setting(curriculum.grid, table.frames, curriculum.frame_step, table.tolerance)
        self.list = TaskList(spec, curriculum, self.cases, self.setting)
        self.file = curriculum.file(spec.curriculum.cache) if spec.curriculum.cache else None
        self._data: Trajectories | None = None
        self._states: ProbeStates | None = None

    def tasks(self, done: Outputs) -> list[Task]:
        """All tasks that are known of."""
        return self.list.known(done)

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do a task, see the module ``tasks``."""
        kind, _, which = name.partition("/")
        match kind:
            case "calibration":
                return self._calibrate(progress)
            case "teacher":
                return self._complete(done) if name == FILE else self._teach(int(which), done, progress)
            case "reference":
                return self._solve(int(which), progress)
            case "three-point":
                return self._compare(done, progress)
            case "student":
                return self._train(self.list.students.index(name), done, progress)
            case "judge" | "final":
                return self._judge(int(which), done, progress, final=kind == "final")
            case "sharpen":
                return self._sharpen(int(which), done, progress)
            case "ablation":
                return self._train_without(which, done, progress)
            case "ablated":
                return self._lost_without(which, done, progress)
        return self._time(done, progress)

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The machine-readable result, see docs/emulation.md."""
        return summary_of(self.spec, self.curriculum, self.list, done, context.cost())

    def _calibrate(self, progress: Progress) -> Output:
        """How many steps the teacher takes per frame."""
        progress.say("teacher", f"{len(self.curriculum.items)} runs of {self.curriculum.frames} frames")
        found = None if self.file is None else file_calibration(self.file)
        if found is None:
            self.curriculum.check_room(self.spec.curriculum.cache)
            found = self.curriculum.calibrate(Pieces(progress))
        return Output(found._asdict())

    def _teach(self, number: int, done: Outputs, progress: Progress) -> Output:
        """Frames of a part of the runs; where they are kept in a file, their sum."""
        if self.file is not None and self.file.note() is not None:
            return Output({"sum": ""})
        rows, total = self.curriculum.parts()[number], len(self.curriculum.items)
        frames = self.curriculum.part(number, calibration_of(done[CALIBRATION].record), Pieces(progress))
        progress.emit({"event": "data", "done": min(rows.stop, total), "total": total})
        if self.file is None:
            return Output({}, {"frames": frames})
        return Output({"sum": self.file.put(rows, frames)})

    def _complete(self, done: Outputs) -> Output:
        """The file of all frames, once every part is in it."""
        if self.file is not None and self.file.note() is None:
            rows, calibration = self.curriculum.parts(), calibration_of(done[CALIBRATION].record)
            for number in self.file.wrong(rows, [done[name].record["sum"] for name in self.list.parts]):
                self.file.put(rows[number], self.curriculum.part(number, calibration))
            self.file.complete(calibration._asdict())
        return Output({})

    def _frames(self, done: Outputs) -> Trajectories:
        """All runs."""
        if self._data is None and self.file is not None:
            self._data = self.curriculum.generate(self.spec.curriculum.cache)
        elif self._data is None:
            parts = [done[name].arrays["frames"] for name in self.list.parts]
            frames = parts[0] if len(parts) == 1 else np.concatenate(parts)
            self._data = self.curriculum.trajectories(frames, calibration_of(done[CALIBRATION].record))
        return self._data

    def _solve(self, case: int, progress: Progress) -> Output:
        """The truth of a case."""
        if case == 0:
            progress.say("reference", f"{len(self.cases)} landscapes, {self.setting.frames} frames")
        return _solved(solve_case(self.cases[case], self.setting, Pieces(progress)))

    def _sharpen(self, case: int, done: Outputs, progress: Progress) -> Output:
        """The truth of a case on a finer grid."""
        progress.say("reference", f"finer for {self.cases[case].name}, as far as affordable")
        judged = [output.record["cases"] for name, output in done.items() if name.startswith("judge/")]
        goal, before = float(goals_of(judged)[case]), _case(done[f"reference/{case}"])
        return _solved(sharpen_case(self.cases[case], before, goal, self.setting, Pieces(progress)))

    def _compare(self, done: Outputs, progress: Progress) -> Output:
        """Frames of the paper's own solver, and how far they are from the truth."""
        paper = three_point(self.cases, self.setting, Pieces(progress))
        truth = self._truth(done)._replace(paper=paper)
        return Output({"against_truth": three_point_record(truth)}, {} if paper is None else {"frames": paper})

    def _truth(self, done: Outputs, sharper: bool = False) -> Reference:
        """All cases; ``sharper``: where there is a finer solution, by that."""
        found = [done[name] for name in self.list.references]
        if sharper:
            found = [done.get(f"sharpen/{case}", output) for case, output in enumerate(found)]
        paper = done[THREE_POINT].arrays.get("frames") if THREE_POINT in done else None
        return assembled(self.cases, self.setting, [_case(output) for output in found], paper)

    def _probe_states(self) -> ProbeStates | None:
        """States that students are asked about, if they are."""
        if self._states is None and self.spec.diagnose.enabled and self.setting.grid.length >= LEAST_LENGTH:
            self._states = diagnostics.probe_states(self.setting.grid, self.setting.frame_step)
        return self._states

    def _train(self, index: int, done: Outputs, progress: Progress) -> Output:
        """A student, kept as an artifact; one that cannot be trained is recorded too."""
        name, table = self.names[index], self.spec.students[index]
        progress.say("train", f"student {name} ({index + 1} of {len(self.names)})")
        data, states, model = self._frames(done), self._probe_states(), model_of(table)

        def probe(emulator: Any) -> dict[str, Any]:
            assert states is not None
            found = diagnostics.residuals(emulator, states, data.grid, data.frame_step)
            return {"residuals": {key: value if math.isfinite(value) else None for key, value in found.items()}}

        asked = probe if states is not None and self.spec.diagnose.along_training else None
        begin = {"name": name, "kind": table.kind}
        try:
            student = distill_on(data, model, self.list.plan(index), progress, name=name, probe=asked)
        except PhysicsError as error:
            progress.warn(f"student {name}: {error}")
            return Output(begin | {"status": "failed", "why": str(error)})
        arrays, meta = pack(student)
        meta["laplacian"] = self.spec.teacher.laplacian
        record = {
            "status": "trained",
            "options": dict(model.options),
            "parameters": student.parameters,
            "train_cpu_seconds": student.record["cost"]["cpu_seconds"],
            "training": {key: value for key, value in student.record.items() if key != "probes"},
            "probes": student.record["probes"],
            "scope": student.scope,
            "student": meta,
        }
        return Output(begin | record, arrays, {f"student-{name}": (arrays, meta)})

    def _student(self, index: int, done: Outputs) -> Student:
        output = done[self.list.students[index]]
        return unpack(dict(output.arrays), output.record["student"])

    def _judge(self, index: int, done: Outputs, progress: Progress, final: bool) -> Output:
        """Roll-outs of a student on all cases, with its frames for the report; the first time also what it learned."""
        name, student, piece = self.names[index], self._student(index, done), Pieces(progress)
        progress.say("evaluate", f"student {name} on {len(self.cases)} landscapes")
        truth = self._truth(done, sharper=final)
        cases, curves, frames = evaluation.evaluate(student, truth, piece)
        over = evaluation.overview(cases)
        record: dict[str, Any] = {"overview": over, "cases": cases, "curves": curves_of(curves)}
        models = {f"frames-{name}": frames_of(student, truth, frames, curves, self.spec.output.animations)}
        if final:
            return Output(record, models=models)
        states = self._probe_states()
        record["diagnostics"] = None if states is None else diagnostics.diagnose(student, states, piece)
        event = {key: over[key] for key in ("corr_mean", "corr_worst", "worst_case", "mae", "norm_drift")}
        event |= {"parameters": student.parameters, "train_cpu_seconds": student.record["cost"]["cpu_seconds"]}
        progress.emit({"event": "student", "name": name, "kind": student.model.kind} | event)
        return Output(record, models=models)

    def _train_without(self, key: str, done: Outputs, progress: Progress) -> Output:
        """A student of the runs that do not show a process."""
        one = self.list.ablations[key]
        if one.place == 0:
            progress.say("importance", f"{self.names[one.student]}: {one.among} trainings")
        model, plan = model_of(self.spec.students[one.student]), self.list.shorter(one)
        arrays, meta = pack(ablation.train(self._frames(done), model, plan, one.job, progress))
        return Output(meta, arrays)

    def _lost_without(self, key: str, done: Outputs, progress: Progress) -> Output:
        """What such a student has lost."""
        one, trained = self.list.ablations[key], done[f"ablation/{key}"]
        student = unpack(dict(trained.arrays), trained.record)
        found = ablation.lost(student, self._truth(done, sharper=True), Pieces(progress))
        record = ablation.record_of(one.job, self.curriculum, found)
        progress.emit(ablation.event_of(student.model.kind, record, one.place, one.among))
        return Output(record)

    def _time(self, done: Outputs, progress: Progress) -> Output:
        """What students and solvers cost."""
        progress.say("speed", "students and solver at equal accuracy")
        students = []
        for index, name in enumerate(self.names):
            judged = done.get(f"final/{index}", done.get(f"judge/{index}"))
            if judged is not None:
                students.append((name, self._student(index, done), judged.record["cases"]))
        return Output({"table": speed.table(students, self._truth(done, sharper=True), Pieces(progress))})


def _solved(found: Solved) -> Output:
    return Output({"error": float(found.error), "finer": found.finer}, {"frames": found.frames})


def _case(output: Output) -> Solved:
    return Solved(output.arrays["frames"], output.record["error"], output.record["finer"])
