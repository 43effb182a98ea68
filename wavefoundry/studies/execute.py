"""Doing the tasks of a study: skip what is stored, do what can be done, keep what it gives."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from wavefoundry.artifacts.files import encode_json
from wavefoundry.core.programs import forget_programs
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.study import Plan
from wavefoundry.studies.task import Output, Outputs, Task


def execute(study: Plan, context: Context) -> dict[str, Output]:
    """Do all tasks of a study in this process, in the order in which they are listed.

    Raises:
        Interrupted: a signal arrived; finished tasks, and what the one under way has saved, are kept.
        WavefoundryError: what ended the study.
    """
    done = context.outputs()
    if done:
        context.say("resume", f"going on: {len(done)} parts are finished")
    while waiting := missing(study, done):
        task = next((task for task in waiting if ready(task, done)), None)
        if task is None:
            raise RuntimeError(f"the tasks {', '.join(one.name for one in waiting)} wait for one another")
        done[task.name] = carry_out(study, task, waiting, done, context)
        context.stop_if_asked()
    return done


def missing(study: Plan, done: Outputs) -> Sequence[Task]:
    """The tasks that are not done, as far as they are known of."""
    return [task for task in study.tasks(done) if task.name not in done]


def ready(task: Task, done: Outputs) -> bool:
    """Whether everything a task reads is there."""
    return all(name in done for name in task.needs)


def carry_out(study: Plan, task: Task, waiting: Sequence[Task], done: Outputs, context: Context) -> Output:
    """Do one task here and keep its output."""
    context.clock.start(task, waiting)
    output = performed(study, task.name, done, Progress(context, task.name))
    context.finish(task.name, output)
    context.clock.end()
    return output._replace(models={})


def performed(study: Plan, name: str, done: Outputs, progress: Progress) -> Output:
    """The output of a task as it comes back from the run directory, so that a resumed study cannot differ."""
    forget_programs()
    output = study.perform(name, done, progress)
    record = json.loads(encode_json(output.record))
    arrays = {name: np.asarray(value) for name, value in output.arrays.items()}
    return output._replace(record=record, arrays=arrays, cost=progress.cost())
