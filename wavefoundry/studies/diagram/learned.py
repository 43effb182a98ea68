"""What the networks of a diagram have learned: principal components of their features, one task for each base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry.core import tree
from wavefoundry.core.components import stage
from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.meter import Cost
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.projection import Projected, plain
from wavefoundry.problems import observables
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.part import Part
from wavefoundry.studies.diagram.pretraining import SNAPSHOT
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.diagram.study import BASE, PRETRAIN, DiagramStudy
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

NAME = "features"
PICTURED = 200
"""Samples whose principal components are kept for the report."""


class Learned:
    """A plan with what its networks have learned, looked at after everything else.

    Args:
        plan: of the diagram. study: its only base, or parts: all of them.
    """

    def __init__(self, plan: Any, bases: Sequence[DiagramStudy | Part]):
        self.plan, self._bases = plan, bases

    def tasks(self, done: Outputs) -> list[Task]:
        """Those of the plan, and one for each base."""
        return [*self.plan.tasks(done), *(Task(name, needs) for name, needs in self._names().items())]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        names = self._names()
        if name not in names:
            return self.plan.perform(name, done, progress)
        one = self._bases[list(names).index(name)]
        study, own = (one, done) if isinstance(one, DiagramStudy) else (one.plan, one.own(done))
        assert isinstance(study, DiagramStudy)
        return Output(features_of(study, own, progress))

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """That of the study with ``features``; what they cost is part of the cost of the adaptation."""
        summary, found = self.plan.summary(done, context), [done[name] for name in self._names()]
        cost = Cost(**{name: value for name, value in summary["adapt_cost"].items() if name in Cost._fields})
        whole = sum((one.cost for one in found), cost).to_dict()
        return summary | {"cost": whole, "adapt_cost": whole, NAME: [one.record for one in found]}

    def _names(self) -> dict[str, tuple[str, str]]:
        """Tasks, and those that each of them needs."""
        found = {}
        for one in self._bases:
            name, *needs = (
                task if isinstance(one, DiagramStudy) else one.outer(task) for task in (NAME, PRETRAIN, BASE)
            )
            found[name] = tuple(needs)
        return found


def features_of(study: DiagramStudy, done: Outputs, progress: Progress) -> dict[str, Any]:
    """Principal components of the features of common samples: before, during and after the pre-training.

    Args:
        study: of one base. done: its outputs. progress: where to report.
    """
    base, stored = study.trained(done), done[PRETRAIN].arrays
    system, xs = base.system, jnp.asarray(base.x)
    progress.say("adapt", f"features of the networks on {len(xs)} samples")
    state = LatticeState(system, base.wavefunction, xs, done[BASE].record)
    quantities = {"log_psi": np.real(state.log_amplitude(xs)), **orders(system, xs)}
    steps = sorted({int(name.split("/")[1]) for name in stored if name.startswith(SNAPSHOT)})
    networks = [("before", 0, study.first)] if study.spec.pretrain.steps else []  # none: a model taken as it is
    networks += [("during", step, _at(study.first, stored, step)) for step in steps]
    networks += [("after", study.spec.pretrain.steps, base.wavefunction)]
    found = []
    for name, step, one in networks:
        seen = np.asarray(_features(_seen(one), system, xs, study.chunk))
        found.append(stage(name, step, seen, quantities, PICTURED))
        progress.part(NAME, len(found), len(networks))
    shown = {name: np.round(values[:PICTURED], 4).tolist() for name, values in quantities.items()}
    return {"samples": len(xs), "couplings": system.values, "stages": found, "quantities": shown}


def _at(first: Wavefunction, stored: Mapping[str, np.ndarray], step: int) -> Wavefunction:
    """The network as it was after a step."""
    prefix = f"{SNAPSHOT}{step}/"
    arrays = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    return tree.from_arrays(first, arrays)


def _seen(wavefunction: Wavefunction) -> Wavefunction:
    """What the features are taken of: of a projected amplitude those of the configuration itself, not of all images."""
    return plain(wavefunction) if isinstance(wavefunction, Projected) else wavefunction


@eqx.filter_jit
@on_devices
def _features(wavefunction: Wavefunction, system: LatticeSystem, xs: Array, chunk: int) -> Array:
    return mapped(lambda x: wavefunction.features(system, x), xs, chunk)


def orders(system: LatticeSystem, xs: Array) -> dict[str, np.ndarray]:
    """Order parameters of configurations: modulus and sign where it has one, and the nearest correlation, (n,) each."""
    names = observables.names(system)
    table = np.asarray(observables.orders(system, xs))
    wanted = [k for k, name in enumerate(names) if name.endswith("abs_m") or name == "correlation_1"]
    found = {names[k]: table[:, k] for k in wanted}
    signed = observables.signed_order(system)
    return found if signed is None else found | {names[0].removesuffix("2"): np.asarray(xs, float) @ signed}
