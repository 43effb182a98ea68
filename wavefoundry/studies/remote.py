"""The tasks of a run by workers: each gets the outputs it needs, and gives its own back to the one who keeps it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.cores import Wanted
from wavefoundry.core.devices import used
from wavefoundry.core.errors import Interrupted, WavefoundryError
from wavefoundry.core.meter import Cost
from wavefoundry.studies.execute import carry_out, missing, performed, ready
from wavefoundry.studies.progress import Checkpoint, Context, Pace, Progress
from wavefoundry.studies.study import Plan
from wavefoundry.studies.task import Arrays, Output
from wavefoundry.studies.workers import STOPPED, STOPS, Dispatch, Outcome, error_of


class Result(NamedTuple):
    """What a worker gives back: an output, or how the task ended and what it had saved; and what it had to say."""

    outcome: Outcome
    output: Output | None
    checkpoint: Checkpoint | None
    events: list[dict[str, Any]]
    cost: Cost


class Memory:
    """The store of a worker: it holds the newest checkpoint, which goes back with the result."""

    def __init__(self, checkpoint: Checkpoint | None):
        self.checkpoint = checkpoint
        self.events: list[dict[str, Any]] = []

    def log(self, event: dict[str, Any]) -> None:
        """Keep an event."""
        self.events.append(event)

    def save(self, name: str, step: int, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """Keep the newest checkpoint."""
        self.checkpoint = step, {key: np.array(value) for key, value in arrays.items()}, dict(meta)

    def latest(self, name: str) -> Checkpoint | None:
        """The newest checkpoint."""
        return self.checkpoint

    def save_artifact(self, name: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """Tasks keep nothing beside their output."""
        raise NotImplementedError

    def save_output(self, name: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """The output goes back with the result."""
        raise NotImplementedError


def execute_by_workers(study: Plan, context: Context, client: Any, text: str) -> dict[str, Output]:
    """As ``execute``: tasks that do not wait for one another are done at the same time; a single one is done here.

    Args:
        study, context: as there. client: of dask. text: of the study, from which workers build it again.
    """
    done, jobs = context.outputs(), Dispatch(client, context)
    pace, shares = Pace(), 0.0  # shares: of what workers have done
    while waiting := missing(study, done):
        free = [task for task in waiting if ready(task, done) and task.name not in jobs.running]
        if not jobs.running and len(free) == 1:
            done[free[0].name] = carry_out(study, free[0], waiting, done, context)
            context.stop_if_asked()
            continue
        for task in [] if context.stopping else free:
            inputs = {name: done[name] for name in task.needs}
            jobs.submit(task.name, _perform, text, task.name, inputs, context.restore(task.name))
        for name, result in jobs.ended():
            shares += next(task.share for task in waiting if task.name == name)
            others = sum(task.share + task.ahead for task in waiting if task.name not in {*done, name})
            _take_back(name, result, done, context, pace.left(shares, others))
        if not jobs.running:
            context.stop_if_asked()
    return done


def _take_back(name: str, result: Result | Outcome, done: dict[str, Output], context: Context, left: float) -> None:
    """Keep what a worker has given: an output, or a checkpoint."""
    if isinstance(result, Outcome):
        if result.kind != STOPPED:
            raise error_of(result)
        return
    context.spent_elsewhere(result.cost)
    for event in result.events:
        counted = {"index": context.finished[name.partition("/")[0]], "seconds_left": left}
        context.emit(event | (counted if "count" in event else {}))
    if result.output is not None:
        context.finish(name, result.output)
        done[name] = result.output._replace(models={})
    elif result.outcome.kind == STOPPED:
        if result.checkpoint is not None:
            context.save(name, *result.checkpoint)
    else:
        raise error_of(result.outcome)


@functools.lru_cache(maxsize=1)
def _study(text: str) -> tuple[Plan, Wanted | None]:
    """The study of a worker, with its compiled programs, and its devices: the same for all its tasks."""
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.core.programs import keep_programs
    from wavefoundry.studies import KINDS, devices_of

    keep_programs()
    spec = study_file.loads(text, source="study")
    with used(devices_of(spec)):
        return import_module(KINDS[spec.kind]).build(spec, Context()), devices_of(spec)


def _perform(text: str, name: str, inputs: dict[str, Output], checkpoint: Checkpoint | None, token: str) -> Result:
    """Do a task in a worker."""
    study, devices = _study(text)
    with used(devices):
        return perform_task(study, name, inputs, checkpoint, lambda: STOPS.get(token))


def perform_task(
    study: Plan,
    name: str,
    inputs: dict[str, Output],
    checkpoint: Checkpoint | None,
    requested: Callable[[], int | None],
) -> Result:
    """Do a task away from the run directory.

    Args:
        study: it is part of. name: of the task. inputs: outputs it needs. checkpoint: to go on from, or None.
        requested: gives the signal that asks to stop, or None.
    """
    store = Memory(checkpoint)
    context = Context(store=store, requested=requested)
    progress, output, outcome = Progress(context, name), None, Outcome()
    try:
        output = performed(study, name, inputs, progress)
    except Interrupted:
        outcome = Outcome(STOPPED)
    except WavefoundryError as error:
        outcome = Outcome(type(error).__name__, str(error))
    return Result(outcome, output, store.checkpoint, store.events, context.cost())
