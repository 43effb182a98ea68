"""The tasks of an emulation study: their names, what they need, and roughly how many seconds they take.

``calibration`` and ``teacher/K`` give the frames (kept by ``teacher/file`` where the study names a cache),
``reference/CASE`` and ``three-point`` the truth, ``student/NAME-I`` a training, ``judge/I`` its roll-outs.
``sharpen/CASE`` refines the truth where the best student asks for it, ``final/I`` judges by that. ``ablation/KEY``
trains without a process, ``ablated/KEY`` says what is lost; ``speed`` comes last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from wavefoundry.artifacts.spec_emulation import EmulationSpec
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.problems.landscapes import Item
from wavefoundry.problems.splitting import kinetic, least_substeps
from wavefoundry.studies.emulation.ablation import Job, jobs_of
from wavefoundry.studies.emulation.curriculum import Curriculum
from wavefoundry.studies.emulation.distill import Plan
from wavefoundry.studies.emulation.plan import plan_for
from wavefoundry.studies.emulation.truth import Setting, can_be_sharper, goals_of
from wavefoundry.studies.task import Outputs, Task

CALIBRATION, FILE, THREE_POINT, SPEED = "calibration", "teacher/file", "three-point", "speed"

EVALUATION = 2e-8
"""Seconds of a splitting per grid point and evaluation."""
BACKWARD, POLISH, SHARPEN, TIMING = 4.0, 1.0, 30.0, 30.0
"""A training step per point, over a prediction; seconds of a Gauss-Newton step, a sharper case, and timing."""


class Ablation(NamedTuple):
    """A training of the question which processes matter: of which student, and which one of how many."""

    student: int
    job: Job
    place: int
    among: int


class TaskList:
    """Which tasks there are, as far as is known.

    Args:
        spec: the study. curriculum: its runs. cases: landscapes to judge by. setting: of them all.
    """

    def __init__(self, spec: EmulationSpec, curriculum: Curriculum, cases: Sequence[Item], setting: Setting):
        self.spec, self.curriculum, self.setting = spec, curriculum, setting
        self.parts = [f"teacher/{number}" for number in range(len(curriculum.parts()))]
        self.frames = (CALIBRATION, FILE) if spec.curriculum.cache else (CALIBRATION, *self.parts)
        self.references = [f"reference/{index}" for index in range(len(cases))]
        self.compared = [THREE_POINT] if spec.evaluate.three_point else []
        self.students = [f"student/{name}-{index}" for index, name in enumerate(spec.names())]
        self.ablations = dict(self._ablations())

    def _ablations(self) -> list[tuple[str, Ablation]]:
        table, names = self.spec.importance, self.spec.names()
        if not table.seeds:
            return []
        jobs = jobs_of(self.curriculum, table.seeds, table.processes)
        return [
            (f"{name}.{job.without.replace(' ', '-')}.{job.seed}", Ablation(names.index(name), job, index, len(jobs)))
            for name in dict.fromkeys(table.students or names[:1])
            for index, job in enumerate(jobs)
        ]

    def known(self, done: Outputs) -> list[Task]:
        """All tasks that are known of."""
        listed, judged = [*self._frames(), *self._truth()], self.judged(done)
        truth = (*self.references, *self.compared)
        for index, name in enumerate(self.students):
            listed.append(Task(name, self.frames, self._training(index, self.plan(index))))
            if index in judged:
                listed.append(Task(f"judge/{index}", (name, *truth), self._rollouts(index)))
        verdicts = [f"judge/{index}" for index in judged]
        wanting = self._wanting(done, verdicts)
        sharper = [f"sharpen/{case}" for case in wanting]
        listed += [Task(f"sharpen/{case}", (f"reference/{case}", *verdicts), SHARPEN) for case in wanting]
        if sharper:
            needs = [(self.students[index], *truth, *sharper) for index in judged]
            listed += [Task(f"final/{i}", n, self._rollouts(i)) for i, n in zip(judged, needs, strict=True)]
            verdicts = [f"final/{index}" for index in judged]
        last_truth = (*self.references, *(f"judge/{index}" for index in judged), *sharper)
        listed += self._ablation(last_truth)
        if self.spec.evaluate.speed and judged:
            needs = (*last_truth, *(self.students[index] for index in judged), *(verdicts if sharper else ()))
            listed.append(Task(SPEED, needs, TIMING))
        return listed

    def judged(self, done: Outputs) -> list[int]:
        """Students that are not known to have failed."""
        outputs = [done.get(name) for name in self.students]
        return [i for i, output in enumerate(outputs) if output is None or output.record["status"] == "trained"]

    def _frames(self) -> list[Task]:
        curriculum, parts = self.curriculum, self.curriculum.parts()
        energy = kinetic(curriculum.grid, curriculum.solver.laplacian, curriculum.solver.kcut)
        substeps = least_substeps(energy, curriculum.frame_step)
        run = EVALUATION * substeps * curriculum.frames * curriculum.grid.n
        listed = [Task(CALIBRATION, (), 12 * run)]
        for name, rows in zip(self.parts, parts, strict=True):
            runs = len(curriculum.items[rows])
            listed.append(Task(name, (CALIBRATION,), runs * run))
        if self.spec.curriculum.cache:
            listed.append(Task(FILE, (CALIBRATION, *self.parts), 1.0))
        return listed

    def _truth(self) -> list[Task]:
        points = self.setting.following * self.setting.grid.n
        share = (self.setting.grid.n / 1024) ** 2 + 60 * EVALUATION * points
        listed = [Task(name, (), share) for name in self.references]
        compared = 20 * EVALUATION * points * len(self.references)
        return listed + [Task(name, tuple(self.references), compared) for name in self.compared]

    def _wanting(self, done: Outputs, verdicts: Sequence[str]) -> list[int]:
        """Cases whose truth is to be sharper, once every student has been judged."""
        if not verdicts or not all(name in done for name in (*verdicts, *self.references)):
            return []
        goals = goals_of([done[name].record["cases"] for name in verdicts])
        errors = [done[name].record["error"] for name in self.references]
        return [i for i, error in enumerate(errors) if can_be_sharper(error, 1, goals[i], self.setting)]

    def _ablation(self, last_truth: tuple[str, ...]) -> list[Task]:
        listed = []
        for key, one in self.ablations.items():
            listed.append(Task(f"ablation/{key}", self.frames, self._training(one.student, self.shorter(one))))
            listed.append(Task(f"ablated/{key}", (f"ablation/{key}", *last_truth), self._rollouts(one.student)))
        return listed

    def plan(self, index: int) -> Plan:
        """How a student is trained."""
        return plan_for(self.spec.students[index], self.spec, len(self.curriculum.items))

    def shorter(self, one: Ablation) -> Plan:
        """How it is trained when a process is left out."""
        plan, steps = self.plan(one.student), self.spec.importance.steps
        return plan if steps is None else plan._replace(recipe=plan.recipe._replace(steps=steps))

    def _training(self, index: int, plan: Plan) -> float:
        kind = EMULATORS[self.spec.students[index].kind]
        points = 1 if kind.windowed else self.curriculum.grid.n
        return BACKWARD * kind.cost * points * plan.recipe.steps * plan.recipe.batch + POLISH * plan.polish

    def _rollouts(self, index: int) -> float:
        points = len(self.references) * self.setting.frames * math.prod(self.setting.grid.shape)
        return EMULATORS[self.spec.students[index].kind].cost * points + 2e-7 * points
