"""A study of one base within a larger one: its tasks under other names, and what it reports told apart."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Protocol, cast

from wavefoundry.studies.diagram.adapting import Adapted
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output, Outputs, Task

Event = dict[str, Any]


class OneBase(Protocol):
    """A base and the points adapted from it."""

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """Those that are known of; ``only`` some of the points."""
        ...

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        ...

    def adaptation(self, done: Outputs) -> Adapted:
        """The points, once the base is there."""
        ...

    def point(self, index: int, done: Outputs) -> Output | None:
        """The output of a point, None where there is none."""
        ...

    def pretrained(self, done: Outputs) -> dict[str, Any]:
        """The record of the base, once it has been measured."""
        ...


class Told:
    """The progress of a task whose events are changed before anyone hears of them."""

    def __init__(self, progress: Progress, tell: Callable[[Event], Event]):
        self._progress, self._tell = progress, tell

    def emit(self, event: Event) -> None:
        """As of ``Progress``."""
        self._progress.emit(self._tell(event))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._progress, name)


class Part:
    """One of several bases, or a rival: a plan whose tasks have other names outside.

    Args:
        plan: with names of its own. outer: the name outside of a task of the plan. inner: its inverse, None for tasks
            of others. tell: changes the events of the plan. keep: name of a model of the plan in the run directory, or
            None where it is not kept.
    """

    def __init__(
        self,
        plan: OneBase,
        outer: Callable[[str], str],
        inner: Callable[[str], str | None],
        tell: Callable[[Event], Event],
        keep: Callable[[str], str | None] = lambda name: None,
    ):
        self.plan, self.outer, self.inner, self._tell, self._keep = plan, outer, inner, tell, keep

    def own(self, done: Outputs) -> dict[str, Output]:
        """The outputs of the plan under its own names."""
        return {name: output for full, output in done.items() if (name := self.inner(full)) is not None}

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """The tasks of the plan, or those that some points need."""
        return [
            task._replace(name=self.outer(task.name), needs=tuple(map(self.outer, task.needs)))
            for task in self.plan.tasks(self.own(done), only)
        ]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        own = self.inner(name)
        assert own is not None
        output = self.plan.perform(own, self.own(done), cast(Progress, Told(progress, self._tell)))
        kept = {self._keep(model): content for model, content in output.models.items()}
        return output._replace(models={model: content for model, content in kept.items() if model is not None})

    def adaptation(self, done: Outputs) -> Adapted:
        """The points."""
        return self.plan.adaptation(self.own(done))

    def base(self, index: int, done: Outputs) -> Base:
        """The state that a point was adapted from."""
        own = self.own(done)
        return self.plan.adaptation(own).base(index, own)

    def pretrained(self, done: Outputs) -> dict[str, Any]:
        """The record of the base."""
        return self.plan.pretrained(self.own(done))

    def point(self, index: int, done: Outputs) -> Output | None:
        """The output of a point, None where there is none."""
        return self.plan.point(index, self.own(done))


def numbered(plan: OneBase, number: int) -> Part:
    """One of several bases: ``tune/3`` becomes ``tune/NUMBER/3``."""

    def outer(name: str) -> str:
        kind, _, rest = name.partition("/")
        return f"{kind}/{number}" + (f"/{rest}" if rest else "")

    def inner(name: str) -> str | None:
        kind, mine, *rest = (*name.split("/", 2), "")[:3] if "/" in name else (name, "")
        return "/".join([kind, *filter(None, rest)]) if mine == str(number) else None

    def tell(event: Event) -> Event:
        return event | ({"base": number} if event["event"] in ("step", "round", "point") else {})

    def keep(model: str) -> str:
        return model if number == 0 else f"{model}-{number}"

    return Part(plan, outer, inner, tell, keep)
