"""The tasks of a study of molecules: their names, what they need, and roughly how long they take."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Iterator

from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import MoleculesSpec
from wavefoundry.studies.task import Task

BASE, TOGETHER = "base", "adapt/together"
RECORDS = ("trained", "zero-shot", "full", "scratched", "chained")
"""Kinds of tasks that give the record of a molecule."""
STEP, REFERENCE = 5e-5, 5.0
"""Rough seconds: of a step with one walker, over the square of the number of electrons; and of a reference."""


class TaskList:
    """Which tasks there are; they do not depend on what is done.

    "reference/I" of what is not known yet, "base", "trained/I"; of every molecule of [adapt] "zero-shot/I", "adapt/I"
    (or "adapt/together") with "full/I", "scratch/I" with "scratched/I", and "chain/I" with "chained/I".

    Args:
        spec: the study. base: whether its model is to be trained.
    """

    def __init__(self, spec: MoleculesSpec, base: bool = True):
        self.spec, self.training, self.targets = spec, spec.training(), spec.targets()
        self.base = (BASE,) if base else ()
        self._measured = self.training if spec.evaluate.trained else []
        computed: dict[str, Named] = {}
        if spec.reference.basis != "none":
            for named in (*self._measured, *self.targets):
                if named.reference is None:
                    computed.setdefault(_text(named), named)
        self.computed = list(computed.values())
        self._references = {text: f"reference/{index}" for index, text in enumerate(computed)}

    @functools.cached_property
    def tasks(self) -> list[Task]:
        """All of them, in the order of the work."""
        return list(self._listed())

    def _listed(self) -> Iterator[Task]:
        yield from self._shared()
        for index, named in enumerate(self._measured):
            yield self._record(f"trained/{index}", self.base, named)
        if self.tuned and self.spec.adapt.together:
            work = (self.spec.adapt.walkers or self.spec.train.walkers) * self.spec.adapt.steps
            yield Task(TOGETHER, self.base, _seconds(self.targets, work))
        for index, named in enumerate(self.targets):
            yield from self._adapted(index, named)
        for index, named in enumerate(self.targets if self.spec.adapt.scratch else ()):
            work = self.spec.tuning_walkers() * (self.spec.scratch_steps() + self.spec.train.hf_steps / 4)
            yield Task(f"scratch/{index}", self.reference_of(named), _seconds([named], work))
            yield self._record(f"scratched/{index}", (f"scratch/{index}",), named)
        for index, named in enumerate(self.targets if self.spec.adapt.warm_chain else ()):
            steps = self.spec.adapt.steps if index else self.spec.scratch_steps() + self.spec.train.hf_steps / 4
            before = (f"chain/{index - 1}",) if index else ()
            yield Task(f"chain/{index}", before, _seconds([named], self.spec.tuning_walkers() * steps))
            yield self._record(f"chained/{index}", (f"chain/{index}",), named)

    def _shared(self) -> Iterator[Task]:
        """What is done for several molecules."""
        train = self.spec.train
        if self.base:
            work = train.walkers * (train.steps + train.hf_steps / 4) * self._part_in_a_step()
            yield Task(BASE, (), _seconds(self.training, work))
        for index in range(len(self.computed)):
            yield Task(f"reference/{index}", (), REFERENCE)

    def _adapted(self, index: int, named: Named) -> Iterator[Task]:
        zero = self._record(f"zero-shot/{index}", self.base, named)
        if not self.tuned:
            yield zero
            return
        yield zero._replace(share=zero.share / 4)
        tuning = self.tuning(index)
        if tuning != TOGETHER:
            work = self.spec.tuning_walkers() * self.spec.adapt.steps
            yield Task(tuning, self.base, _seconds([named], work))
        yield self._record(f"full/{index}", (*self.base, zero.name, tuning), named)

    def _record(self, name: str, needs: tuple[str, ...], named: Named) -> Task:
        return Task(name, (*needs, *self.reference_of(named)), _seconds([named], self.spec.evaluate.samples / 2))

    def _part_in_a_step(self) -> float:
        """Of the molecules of [train]."""
        subset = self.spec.train.subset
        compounds = Counter((m.n_up, m.n_down, m.atoms) for m in (named.molecule for named in self.training))
        return sum(min(subset or size, size) for size in compounds.values()) / len(self.training)

    @property
    def tuned(self) -> bool:
        """Whether the molecules of [adapt] are trained further."""
        return bool(self.targets) and self.spec.adapt.method == "full"

    def tuning(self, index: int) -> str:
        """The task that tunes the model for a molecule of [adapt]."""
        return TOGETHER if self.spec.adapt.together else f"adapt/{index}"

    def reference_of(self, named: Named) -> tuple[str, ...]:
        """The task that computes the reference of a molecule, if there is one."""
        name = self._references.get(_text(named)) if named.reference is None else None
        return () if name is None else (name,)

    def place(self, name: str) -> int:
        """Of a record among all records."""
        return [task.name for task in self.tasks if task.name.partition("/")[0] in RECORDS].index(name)


def _text(named: Named) -> str:
    """The same for equal molecules."""
    return f"{named.molecule.text()} {named.molecule.charge} {named.molecule.spin}"


def _seconds(molecules: Iterable[Named], walkers: float) -> float:
    """Rough time of so many walkers of every molecule, each moved and measured once."""
    return STEP * walkers * sum(named.molecule.electrons**2 for named in molecules)
