"""Overlaps of neighbouring states of a diagram: one task after all points, from the samples they have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Array

from wavefoundry.artifacts.spec_tables import EvaluateTable
from wavefoundry.core.fidelity import Fidelity
from wavefoundry.core.meter import Cost
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.states import LatticeState, fidelity_of, fidelity_of_all
from wavefoundry.studies.diagram.states_kept import states_of
from wavefoundry.studies.diagram.transitions import MOST, scan_of, transitions_of, varied
from wavefoundry.studies.diagram.trust import gaps, judged
from wavefoundry.studies.progress import Context, Pace, Progress
from wavefoundry.studies.task import Output, Outputs, Task

NAME = "overlaps"
SHARE = 0.2
"""Work of a sample, in samples of a measurement."""


class Points(Protocol):
    """The points of a diagram once they are done: ``Adaptation``, or ``Bases``."""

    points: list[dict[str, float]]

    def records(self, done: Outputs) -> list[dict[str, Any]]:
        """One of every point."""
        ...

    def states(self, done: Outputs) -> list[dict[str, np.ndarray] | None]:
        """Weights of every point; None where they are those of the base."""
        ...

    def bases(self, done: Outputs) -> list[Base]:
        """The state that every point was adapted from."""
        ...

    def listed(self, done: Outputs) -> Array | None:
        """All configurations of a small system, None elsewhere."""
        ...

    def samples(self, done: Outputs) -> list[np.ndarray | None]:
        """Samples of the state of every point, (chains, n, sites); None where it has none of its own."""
        ...


class Overlapped:
    """A plan of points, with the overlaps of neighbours and what they and the records say of a transition.

    Args:
        plan: of the points and all they need. points: the points, once the plan is done. grid: their couplings.
        evaluate: table of the study file.
    """

    def __init__(
        self,
        plan: Any,
        points: Callable[[Outputs], Points],
        grid: Sequence[dict[str, float]],
        evaluate: EvaluateTable,
    ):
        self.plan, self._points, self._evaluate = plan, points, evaluate
        self._names = varied(grid)
        self._count = len({tuple(point.values()) for point in grid})
        self.wanted = evaluate.overlaps and len(self._names) == 1 and 2 < self._count <= MOST

    def tasks(self, done: Outputs) -> list[Task]:
        """Those of the plan, and the overlaps after all of them."""
        found = list(self.plan.tasks(done))
        if not self.wanted:
            return found
        needs = tuple(task.name for task in found if not task.name.startswith("baseline/"))
        return [*found, Task(NAME, needs, SHARE * self._count * self._evaluate.samples)]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        if name != NAME:
            return self.plan.perform(name, done, progress)
        points = self._points(done)
        scan = scan_of(points.records(done))
        pairs = list(zip(scan.points, scan.points[1:], strict=False))
        stored = progress.restore()
        rows: list[dict[str, Any]] = [] if stored is None else list(stored[2]["pairs"])
        if len(rows) < len(pairs):
            progress.say("adapt", f"overlaps of {len(pairs)} pairs of neighbouring states")
            measure, pace, before = Overlaps(points, done, self._evaluate), Pace(), len(rows)
            for i, j in pairs[before:]:
                found = measure.pair(i, j)
                rows.append({"points": [i, j], "fidelity": found.value, "error": found.error})
                left = pace.left(len(rows) - before, len(pairs) - len(rows))
                progress.part(NAME, len(rows), len(pairs), left)
                if progress.due:
                    progress.save(len(rows), {"done": np.array(len(rows))}, pairs=rows)
        return Output({"pairs": rows})

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """That of the study, with the transitions."""
        return self.completed(self.plan.summary(done, context), done)

    def completed(self, summary: dict[str, Any], done: Outputs) -> dict[str, Any]:
        """A summary with the transitions, and the observables judged by what neighbouring points say of the gap.

        The overlaps are part of the cost of the adaptation.
        """
        overlaps = done[NAME] if self.wanted else None
        scan = scan_of(summary["points"])
        pairs = None if overlaps is None else overlaps.record["pairs"]
        found = transitions_of(scan, summary, pairs)
        known = gaps(scan, pairs)
        found["points"] = [judged(record, known.get(index)) for index, record in enumerate(summary["points"])]
        if overlaps is None:
            return summary | found
        cost = Cost.of(summary["adapt_cost"])
        whole = (cost + overlaps.cost).to_dict()
        return summary | {"cost": whole, "adapt_cost": whole, "overlaps_cost": overlaps.cost.to_dict()} | found


class Overlaps:
    """Fidelities of pairs of points: the full sum where all configurations are listed, else from samples of both."""

    def __init__(self, points: Points, done: Outputs, evaluate: EvaluateTable):
        self._states = states_of(points.bases(done), points.records(done), points.states(done))
        self._samples, self._evaluate = points.samples(done), evaluate
        self._all = points.listed(done)
        self._kept: dict[int, np.ndarray] = {}

    def pair(self, i: int, j: int) -> Fidelity:
        """Of two points, by their numbers."""
        one, two = self._states[i], self._states[j]
        assert one is not None and two is not None
        if self._all is not None:
            return fidelity_of_all(one, two, self._all)
        found = fidelity_of(one, two, self._drawn(i, one), self._drawn(j, two))
        self._kept.pop(i, None)  # pairs come in order
        return found

    def _drawn(self, index: int, state: LatticeState) -> np.ndarray:
        """Samples of a point: those it has, or new ones."""
        if index not in self._kept:
            own = self._samples[index]
            self._kept[index] = state.chains(self._evaluate.samples, index) if own is None else own
        return self._kept[index]
