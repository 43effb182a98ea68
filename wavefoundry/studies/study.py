"""What a study is: a set of tasks, and how to do them.

Everything else follows once for all kinds, see ``execute``: resuming (skip what is stored), cost (the sum over tasks),
time left, workers on other cores and machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task


class Plan(Protocol):
    """Tasks, and how to do them."""

    def tasks(self, done: Outputs) -> Sequence[Task]:
        """All tasks that are known of, those of ``done`` included; more may be known once more is done."""
        ...

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do a task.

        Args:
            name: of the task. done: outputs of the tasks it needs, at least. progress: reports, saves, stops.

        Raises:
            Interrupted: a signal arrived. WavefoundryError: whatever ends the whole study.
        """
        ...


class Study(Plan, Protocol):
    """One kind of study, for one study file; built anew in every process that works on it."""

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The machine-readable result, see docs/results.md, once every task is done."""
        ...
