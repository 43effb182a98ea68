"""What every study is given: where to report, where to save, when to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from jaxtyping import PyTree

from wavefoundry.core import tree
from wavefoundry.core.errors import Interrupted
from wavefoundry.core.meter import METER, Cost

WHOLE = "whole_cost"
"""Key of every checkpoint under which stands what the whole run had cost by then."""

Emit = Callable[[dict[str, Any]], None]


class Store(Protocol):
    """The part of a run directory that a study writes to."""

    def log(self, event: dict[str, Any]) -> None: ...
    def save(self, name: str, step: int, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> Any: ...
    def save_artifact(self, name: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> Any: ...
    def latest(self, name: str) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None: ...


class Context:
    """Reports events to the screen and the log, saves the state, and ends the run cleanly when asked to.

    Args:
        emit: receives every event (the live view).
        store: run directory, or None for a run in memory.
        requested: returns the signal that asked to stop, or None.
        earlier: what earlier sessions of a resumed run had spent when they saved last.
    """

    def __init__(
        self,
        emit: Emit | None = None,
        store: Store | None = None,
        requested: Callable[[], int | None] | None = None,
        earlier: Cost | None = None,
    ):
        self._begin, self._earlier = METER.now(), earlier or Cost()
        self._emit = emit or (lambda event: None)
        self._store = store
        self._requested = requested or (lambda: None)

    def emit(self, event: dict[str, Any]) -> None:
        """Show and log one event; the log leaves out what only a screen needs."""
        self._emit(event)
        if self._store is not None:
            self._store.log({k: v for k, v in event.items() if k != "seconds_left"})

    def cost(self) -> Cost:
        """What the whole run has spent, earlier sessions included: the same for every kind of study."""
        return METER.now() - self._begin + self._earlier

    def show(self, event: dict[str, Any]) -> None:
        """Show an event that is logged elsewhere."""
        self._emit(event)

    def say(self, phase: str, text: str) -> None:
        """Announce a phase."""
        self.emit({"event": "phase", "phase": phase, "text": text})

    def warn(self, text: str) -> None:
        """Report something the user should know."""
        self.emit({"event": "warning", "text": text})

    def compiling(self, what: str) -> None:
        """Announce that nothing will move for a while."""
        self.emit({"event": "compiling", "what": what})

    def save(self, name: str, step: int, state: PyTree, meta: dict[str, Any]) -> None:
        """Checkpoint a pytree of arrays together with what has been reported so far."""
        if self._store is not None:
            self._store.save(name, step, tree.to_arrays(state), meta | {WHOLE: self.cost()._asdict()})

    def save_arrays(self, name: str, step: int, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Checkpoint arrays that have names already."""
        if self._store is not None:
            self._store.save(name, step, arrays, meta | {WHOLE: self.cost()._asdict()})

    def restore(self, name: str) -> tuple[int, dict[str, np.ndarray], dict[str, Any]] | None:
        """Newest intact checkpoint of a stream, or None."""
        return None if self._store is None else self._store.latest(name)

    def save_artifact(self, name: str, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        """Keep a finished model in the run directory."""
        if self._store is not None:
            self._store.save_artifact(name, arrays, meta)

    def stop_if_asked(self) -> None:
        """Leave with ``Interrupted`` when a signal arrived; call right after a checkpoint."""
        signum = self.stopped_by()
        if signum is not None:
            raise Interrupted(signum)

    @property
    def stopping(self) -> bool:
        """True when a signal arrived: save at the next opportunity."""
        return self.stopped_by() is not None

    def stopped_by(self) -> int | None:
        """The signal that asked to stop, or None."""
        return self._requested()
