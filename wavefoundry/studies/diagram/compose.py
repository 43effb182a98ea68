"""What a study file of kind "diagram" is made of: one base or several, and rivals."""

from __future__ import annotations

from typing import Any

import jax

from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.core.types import Wavefunction
from wavefoundry.studies.diagram.baselines import Kit, Rivals
from wavefoundry.studies.diagram.checks import check
from wavefoundry.studies.diagram.comparison import TRANSITION, compared
from wavefoundry.studies.diagram.learned import Learned
from wavefoundry.studies.diagram.networks import build_network, conditioned
from wavefoundry.studies.diagram.overlapping import Overlapped
from wavefoundry.studies.diagram.referencing import Referenced, References
from wavefoundry.studies.diagram.several import SeveralBases
from wavefoundry.studies.diagram.study import BASE, PRETRAIN, DiagramStudy
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.study import Study
from wavefoundry.studies.task import Output, Outputs, Task


class WithRivals:
    """A study, and then its rivals at the same points.

    Args:
        study: the diagram itself. first: its first base. context: hears what is said.
    """

    def __init__(self, study: DiagramStudy | SeveralBases, first: DiagramStudy, context: Context):
        self.study, self.spec = study, study.spec
        assert self.spec.baselines is not None
        start = PRETRAIN if study is first else f"{PRETRAIN}/0"
        self.rivals = Rivals(kit_of(first), self.spec.baselines, start)
        kinds = ", ".join(self.spec.baselines.kinds)
        context.say("pretrain", f"held against {kinds}, seeds: {self.spec.baselines.seeds}")

    def tasks(self, done: Outputs) -> list[Task]:
        """Those of the study first."""
        return [*self.study.tasks(done), *self.rivals.tasks(done)]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        return (self.rivals if name.startswith("baseline/") else self.study).perform(name, done, progress)

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The summary of the study, and the comparison."""
        summary = self.study.summary(done, context)
        own = [
            done[task.name].cost for task in self.study.tasks(done) if task.name.split("/")[0] not in (PRETRAIN, BASE)
        ]
        start = [done[task.name].cost for task in self.study.tasks(done) if task.name.split("/")[0] == PRETRAIN]
        row = {
            "kind": TRANSITION,
            "seed": 0,
            "points": summary["points"],
            "start": sum(start[1:], start[0]).to_dict(),
            "adapt": sum(own[1:], own[0]).to_dict(),
        }
        rivals, table = self.rivals, self.spec.baselines
        deep = rivals.deep if table is not None and "deep" in table.kinds else None
        rows = [row, *rivals.records(done)]
        return summary | {"baselines": compared(rows, rivals.kit.points, deep, self.spec.adapt.method)}


def kit_of(study: DiagramStudy) -> Kit:
    """What the rivals of a study share with it."""
    spec, system, model = study.spec, study.system, study.described.model
    varied = tuple(system.names.index(name) for name in spec.pretrain.at)

    def network(seed: int) -> Wavefunction:
        key = jax.random.fold_in(jax.random.key(seed), 0)
        return build_network(model, key, system, spec.sign_free(), varied)

    table = spec.pretrain.model_copy(update={"warm_start": None})
    points, at = spec.points_list(), spec.at_list()
    given = conditioned(model, system, spec.sign_free(), list(spec.adapt.points))
    return Kit(system, network, table, spec.adapt, spec.evaluate, points, at, study.chunk, study.references, given)


def build(spec: DiagramSpec, context: Context) -> Study:
    """The study of a study file."""
    study = DiagramStudy(spec.of_bases()[0], context) if spec.one_base else SeveralBases(spec, context)
    bases = [study] if isinstance(study, DiagramStudy) else study.studies
    wanted = spec.evaluate.exact == "auto"
    systems, points_list = [one.system for one in bases], spec.points_list()
    references = References(spec.reference, systems, points_list, wanted, spec.evaluate.observables)
    for one in bases:
        one.references = references
    points = study.adaptation if isinstance(study, DiagramStudy) else lambda done: study.bases
    plan = study if spec.baselines is None else WithRivals(study, bases[0], context)
    overlapped = Overlapped(plan, points, points_list, spec.evaluate)
    parts = [study] if isinstance(study, DiagramStudy) else study.bases.parts
    return Referenced(Learned(overlapped, parts, points, points_list), references)


__all__ = ["build", "check"]
