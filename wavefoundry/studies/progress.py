"""Where a study reports, what it has finished, how it saves within a task, and when it should stop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import PyTree

from wavefoundry.core import tree
from wavefoundry.core.errors import Interrupted
from wavefoundry.core.hosts import agreed
from wavefoundry.core.meter import METER, Cost
from wavefoundry.studies.task import Arrays, Output, Task

WHOLE, COST = "whole_cost", "cost"
"""Keys of what is stored: what the whole run had cost by then, and what the task had."""
SAVE_AFTER = 60.0
"""Seconds between two checkpoints of a task that does not say when one is due."""

Emit = Callable[[dict[str, Any]], None]
Checkpoint = tuple[int, dict[str, np.ndarray], dict[str, Any]]


class Store(Protocol):
    """The part of a run directory that a study writes to."""

    def log(self, event: dict[str, Any]) -> None:
        """Append an event."""
        ...

    def save(self, name: str, step: int, arrays: Arrays, meta: Mapping[str, Any]) -> Any:
        """Keep a checkpoint of a task."""
        ...

    def latest(self, name: str) -> Checkpoint | None:
        """The newest intact one."""
        ...

    def save_artifact(self, name: str, arrays: Arrays, meta: Mapping[str, Any]) -> Any:
        """Keep a model."""
        ...

    def save_output(self, name: str, arrays: Arrays, meta: Mapping[str, Any]) -> Any:
        """Keep what a task gave."""
        ...


class Speaker:
    """Tells of what happens, in events."""

    def emit(self, event: dict[str, Any]) -> None:
        """Show and log one event."""
        raise NotImplementedError

    def say(self, phase: str, text: str) -> None:
        """Announce a phase."""
        self.emit({"event": "phase", "phase": phase, "text": text})

    def warn(self, text: str) -> None:
        """Report something the user should know."""
        self.emit({"event": "warning", "text": text})

    def compiling(self, what: str) -> None:
        """Announce that nothing will move for a while."""
        self.emit({"event": "compiling", "what": what})

    def part(self, what: str, done: int, total: int, left: float | None = None) -> None:
        """Report how far some work is that has no numbers of its own yet; left: in seconds, if known."""
        event = {"event": "part", "what": what, "done": done, "total": total}
        self.emit(event if left is None else event | {"seconds_left": left})


class Context(Speaker):
    """What all tasks of a run share: reports events to the screen and the log, and keeps what tasks give.

    Args:
        emit: receives every event (the live view).
        store: run directory, or None for a run in memory.
        requested: returns the signal that asked to stop, or None.
        earlier: what earlier sessions of a resumed run had spent when they saved last.
        stored: arrays and descriptions of what they have finished.
    """

    def __init__(
        self,
        emit: Emit | None = None,
        store: Store | None = None,
        requested: Callable[[], int | None] | None = None,
        earlier: Cost | None = None,
        stored: Mapping[str, tuple[dict[str, np.ndarray], dict[str, Any]]] | None = None,
    ):
        self._stored = stored or {}
        self._begin, self._earlier = METER.now(), earlier or Cost()
        self._emit = emit or (lambda event: None)
        self._store = store
        self._requested = requested or (lambda: None)
        self.clock = Clock()
        self.finished: Counter[str] = Counter()  # tasks by the first part of their names

    def emit(self, event: dict[str, Any]) -> None:
        """Show and log one event; the log leaves out what only a screen needs."""
        self._emit(event)
        if self._store is not None:
            self._store.log({k: v for k, v in event.items() if k != "seconds_left"})

    def show(self, event: dict[str, Any]) -> None:
        """Show an event that is logged elsewhere."""
        self._emit(event)

    def cost(self) -> Cost:
        """What the whole run has spent, earlier sessions and other processes included."""
        return METER.now() - self._begin + self._earlier

    def spent_elsewhere(self, cost: Cost) -> None:
        """Count what another process has spent on a task."""
        self._earlier = self._earlier + cost

    def outputs(self) -> dict[str, Output]:
        """Everything that earlier sessions have finished."""
        found = {
            meta["name"]: Output(meta["record"], arrays, cost=Cost(**meta[COST]))
            for arrays, meta in self._stored.values()
        }
        self.finished = Counter(name.partition("/")[0] for name in found)
        return found

    def finish(self, name: str, output: Output) -> None:
        """Keep the output of a task, its models first: what is finished has them."""
        self.finished[name.partition("/")[0]] += 1
        if self._store is None:
            return
        for model, (arrays, meta) in output.models.items():
            self._store.save_artifact(model, arrays, meta)
        meta = {"name": name, "record": output.record, COST: output.cost._asdict(), WHOLE: self.cost()._asdict()}
        self._store.save_output(file_name(name), output.arrays, meta)

    def save(self, task: str, step: int, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """Checkpoint a task that is under way."""
        if self._store is not None:
            self._store.save(file_name(task), step, arrays, {**meta, WHOLE: self.cost()._asdict()})

    def restore(self, task: str) -> Checkpoint | None:
        """Newest intact checkpoint of a task, or None."""
        return None if self._store is None else self._store.latest(file_name(task))

    def save_artifact(self, name: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """Keep something of the whole study in the run directory."""
        if self._store is not None:
            self._store.save_artifact(name, arrays, meta)

    def stop_if_asked(self) -> None:
        """Leave with ``Interrupted`` when a signal arrived; call right after something was saved."""
        signum = self.stopped_by()
        if signum is not None:
            raise Interrupted(signum)

    @property
    def stopping(self) -> bool:
        """True when a signal arrived: save at the next opportunity."""
        return self.stopped_by() is not None

    def stopped_by(self) -> int | None:
        """The signal that asked to stop, or None; of any of the processes that work in step."""
        return int(agreed(self._requested() or 0)) or None


class Progress(Speaker):
    """What a task is given: it reports, saves itself now and then, and learns that it should stop.

    Args:
        context: of the whole run; by default one that shows and keeps nothing.
        task: its name.
    """

    def __init__(self, context: Context | None = None, task: str = "task"):
        self.context, self.task = context or Context(), task
        self._begin, self._earlier, self._saved = METER.now(), Cost(), time.monotonic()

    def emit(self, event: dict[str, Any]) -> None:
        """Show and log one event; its ``seconds_left`` are those of the task, and become those of the whole run."""
        left = event.get("seconds_left")
        if left is not None:
            event = event | {"seconds_left": self.context.clock.left(left)}
        self.context.emit(event)

    def cost(self) -> Cost:
        """What the task has spent, earlier sessions included."""
        return METER.now() - self._begin + self._earlier

    def spent_elsewhere(self, cost: Cost) -> None:
        """Count what a process of this task has spent."""
        self._earlier = self._earlier + cost
        self.context.spent_elsewhere(cost)

    @property
    def due(self) -> bool:
        """Whether a checkpoint should be saved now: a signal arrived, or the last one is a minute old."""
        late = time.monotonic() - self._saved > SAVE_AFTER
        return bool(agreed(self.context.stopping or late))

    def save(self, step: int, state: PyTree, **meta: Any) -> None:
        """Checkpoint a pytree of arrays, or arrays by name, with JSON values; then stop if that was asked for.

        Args:
            step: grows from checkpoint to checkpoint of this task.

        Raises:
            Interrupted: a signal arrived.
        """
        plain = isinstance(state, dict) and all(isinstance(value, np.ndarray) for value in state.values())
        arrays = state if plain else tree.to_arrays(state)
        self.context.save(self.task, step, arrays, meta | {COST: self.cost()._asdict()})
        self._saved = time.monotonic()
        self.context.stop_if_asked()

    def restore(self) -> Checkpoint | None:
        """The newest intact checkpoint of this task; what was spent up to it counts from now on."""
        found = self.context.restore(self.task)
        if found is not None:
            self._earlier = Cost(**found[2][COST])
        return found

    def finished(self, kind: str) -> int:
        """How many tasks called ``kind/...`` are finished."""
        return self.context.finished[kind]

    def stop_if_asked(self) -> None:
        """Leave with ``Interrupted`` when a signal arrived; what was not saved is done again."""
        self.context.stop_if_asked()

    @property
    def stopping(self) -> bool:
        """True when a signal arrived."""
        return self.context.stopping


class Pace:
    """Seconds that the rest of some work takes, if it goes on as it went so far, compiling not counted.

    The first piece makes the programs, so that it counts only as long as there is no other.
    """

    def __init__(self) -> None:
        self._done, self._begin = 0.0, METER.now().running_seconds
        self._rate = 0.0

    def left(self, done: float, rest: float) -> float:
        """Seconds left; done: work since this was made, rest: what is to come, in the same units."""
        now = METER.now().running_seconds
        if done > self._done:
            self._rate = max(0.0, now - self._begin) / (done - self._done)
        if not self._done:
            self._done, self._begin = done, now
        return self._rate * rest


class Clock:
    """Guesses the time left of a whole run: that of the task under way, and of the others by their shares."""

    def __init__(self) -> None:
        self._begin: float | None = None
        self._seconds = self._shares = 0.0  # of the tasks that this session has finished
        self._current = self._later = 0.0

    def start(self, task: Task, waiting: Sequence[Task]) -> None:
        """A task begins.

        Args:
            waiting: all tasks that are not done, with it or without.
        """
        self._begin, self._current = METER.now().running_seconds, task.share
        others = sum(other.share + other.ahead for other in waiting if other.name != task.name)
        self._later = others + task.ahead

    def _elapsed(self) -> float:
        return max(0.0, METER.now().running_seconds - (self._begin or 0.0))

    def end(self) -> None:
        """The task has ended."""
        self._seconds, self._shares = self._seconds + self._elapsed(), self._shares + self._current
        self._begin = None

    def left(self, mine: float) -> float:
        """Seconds left of the whole run, compiling not counted.

        Args:
            mine: seconds left of the task under way.
        """
        if self._begin is None:
            return mine
        known = self._shares + self._current
        pace = (self._seconds + self._elapsed() + mine) / known if known else 0.0
        return mine + pace * self._later


def file_name(task: str) -> str:
    """The name under which a task is stored."""
    return task.replace("/", ".")
