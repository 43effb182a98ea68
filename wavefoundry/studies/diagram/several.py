"""A diagram from several bases: every coupling from the one that gives the lower energy there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array

from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.core.meter import Cost
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram import choice
from wavefoundry.studies.diagram.adapting import Adapted
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.part import OneBase, numbered
from wavefoundry.studies.diagram.study import BASE, PRETRAIN, DiagramStudy, summary_of
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task


class Bases:
    """The tasks of several bases, and which of them every point comes from.

    Args:
        plans: one for each base. points: couplings, in the order of the study.
        system: the family, by default that of the first base.
    """

    def __init__(self, plans: Sequence[OneBase], points: list[dict[str, float]], system: LatticeSystem | None = None):
        self.parts = [numbered(plan, number) for number, plan in enumerate(plans)]
        self.points, self.pairs = points, choice.neighbours(points)
        system = plans[0].adaptation({}).mapper.base.system if system is None else system
        trace = system.trace
        self._all = [system.at(**point) for point in points]
        self._zero = np.array([trace @ np.asarray(one.couplings) for one in self._all])

    def tasks(self, done: Outputs) -> list[Task]:
        """The bases; then what every point is to be adapted from, as far as it is known."""
        if not self._measured(done):
            return [task for part in self.parts for task in part.tasks(done, ())]
        pairs = self.choice(done).pairs
        return [
            task
            for number, part in enumerate(self.parts)
            for task in part.tasks(done, sorted(point for base, point in pairs if base == number))
        ]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        part = next(part for part in self.parts if part.inner(name) is not None)
        return part.perform(name, done, progress)

    def choice(self, done: Outputs) -> choice.Choice:
        """What is adapted from which base, and the best base of every point so far."""
        energies = self.zero_shot(done)
        scale = np.abs(energies.min(axis=0) - self._zero)
        return choice.choose(choice.first_choice(energies, scale), self.found(done), self.pairs)

    def zero_shot(self, done: Outputs) -> np.ndarray:
        """Energies of the bases as they are at all points, (bases, points)."""
        records = [part.pretrained(done) for part in self.parts]
        return np.array([[choice.zero_shot(record, s.values) for s in self._all] for record in records])

    def found(self, done: Outputs) -> dict[tuple[int, int], dict[str, Any]]:
        """Records of what has been adapted, by base and point."""
        return {
            (number, index): output.record
            for number, part in enumerate(self.parts)
            for index in range(len(self.points))
            if (output := part.point(index, done)) is not None
        }

    def records(self, done: Outputs) -> list[dict[str, Any]]:
        """The best record of every point, which says where it comes from and what the other bases gave."""
        found, energies = self.found(done), self.zero_shot(done)
        records = []
        for point, base in enumerate(self.choice(done).bases):
            tried = [
                {"index": b, **{key: found[b, p][key] for key in ("energy", "energy_error", "v_score", "cost")}}
                for b, p in sorted(found)
                if p == point
            ]
            of = {"index": base, "zero_shot": energies[:, point].tolist(), "tried": tried}
            records.append(found[base, point] | {"base": of})
        return records

    def states(self, done: Outputs) -> list[dict[str, np.ndarray] | None]:
        """What makes the state of every point."""
        found = []
        for point, base in enumerate(self.choice(done).bases):
            output = self.parts[base].point(point, done)
            assert output is not None
            found.append(self.parts[base].adaptation(done).state(output))
        return found

    def bases(self, done: Outputs) -> list[Base]:
        """The state that every point was adapted from."""
        chosen = enumerate(self.choice(done).bases)
        return [self.parts[base].base(point, done) for point, base in chosen]

    def listed(self, done: Outputs) -> Array | None:
        """All configurations, where measurements draw from them."""
        return self.parts[0].adaptation(done).listed(done)

    def samples(self, done: Outputs) -> list[np.ndarray | None]:
        """Samples of every point that its state was measured with, (chains, n, sites), or None."""
        found = []
        for point, base in enumerate(self.choice(done).bases):
            output = self.parts[base].point(point, done)
            assert output is not None
            found.append(self.parts[base].adaptation(done).drawn(output))
        return found

    def crossings(self, done: Outputs) -> list[dict[str, Any]]:
        """Where the best base changes."""
        return choice.crossings(self.points, self.choice(done).bases, self.found(done), self.pairs)

    def cost(self, done: Outputs) -> Cost:
        """Of everything beyond the bases."""
        before = {part.outer(name) for part in self.parts for name in (PRETRAIN, BASE)}
        return sum((done[task.name].cost for task in self.tasks(done) if task.name not in before), Cost())

    def _measured(self, done: Outputs) -> bool:
        return all(task.name in done for part in self.parts for task in part.tasks(done, ()))


class SeveralBases:
    """A study file whose pre-trainings are separate.

    Args:
        spec: the study file. context: hears what is said about the system and the network.
    """

    def __init__(self, spec: DiagramSpec, context: Context):
        self.spec, each = spec, spec.of_bases()
        self.studies = [DiagramStudy(one, Context() if index else context) for index, one in enumerate(each)]
        near = choice.nearest(spec.points_list(), [one.system.values for one in self.studies])
        for study, numbers in zip(self.studies, near, strict=True):
            study.near = numbers
        self.bases = Bases(self.studies, spec.points_list(), self.studies[0].system)
        context.say("pretrain", f"{len(each)} bases, each trained by itself")

    def tasks(self, done: Outputs) -> list[Task]:
        """See ``Bases``."""
        return self.bases.tasks(done)

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        return self.bases.perform(name, done, progress)

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The machine-readable result."""
        first, *others = [part.pretrained(done) for part in self.bases.parts]
        records, states = self.bases.records(done), self.bases.states(done)
        kept = {f"{i}/{name}": a for i, one in enumerate(states) if one for name, a in one.items()}
        context.save_artifact("points", kept, {"couplings": [record["couplings"] for record in records]})
        settings = self.spec.model_dump(mode="json", exclude_none=True)
        base = self.bases.parts[0].adaptation(done).mapper.base
        summary = summary_of(base, first, records, self.bases.cost(done), settings, others)
        return summary | {"bases": [first, *others], "crossings": self.bases.crossings(done)}


class Given:
    """A base that exists already, as one of several.

    Args:
        adaptation: of the base to all points. record: of the base.
    """

    def __init__(self, adaptation: Adapted, record: dict[str, Any]):
        self._adaptation, self._record = adaptation, record

    def tasks(self, done: Outputs, only: Any = None) -> list[Task]:
        """Those of the points."""
        return self._adaptation.tasks(done, only)

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        return self._adaptation.perform(name, done, progress)

    def adaptation(self, done: Outputs) -> Adapted:
        """The points."""
        return self._adaptation

    def point(self, index: int, done: Outputs) -> Output | None:
        """The output of a point."""
        return self._adaptation.output(index, done)

    def pretrained(self, done: Outputs) -> dict[str, Any]:
        """The record of the base."""
        return self._record
