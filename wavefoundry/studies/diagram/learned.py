"""What the networks of a diagram have learned: principal components of their features.

One task for each base, before, during and after its training; and one for the states of all points along a coupling, on
the principal axes of the state that they were adapted from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry.core import tree
from wavefoundry.core.components import Axes, picture, principal_axes, stage
from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.meter import Cost
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.projection import Projected, plain
from wavefoundry.problems import observables
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.overlapping import Points
from wavefoundry.studies.diagram.part import Part
from wavefoundry.studies.diagram.pretraining import SNAPSHOT
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.diagram.states_kept import states_of
from wavefoundry.studies.diagram.study import BASE, PRETRAIN, DiagramStudy
from wavefoundry.studies.diagram.transitions import varied
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

NAME, ALONG = "features", "features-along"
PICTURED, SKETCHED = 200, 64
"""Samples whose principal components are kept for the report: of a base, of a point."""
MOST = 81
"""Points whose features are looked at."""
CHUNK = 64
"""Configurations at a time."""


class Learned:
    """A plan with what its networks have learned, looked at after everything else.

    Args:
        plan: of the diagram. bases: its only one, or all of them. points: the points, once the plan is done.
        grid: their couplings.
    """

    def __init__(
        self,
        plan: Any,
        bases: Sequence[DiagramStudy | Part],
        points: Callable[[Outputs], Points],
        grid: Sequence[dict[str, float]],
    ):
        self.plan, self._bases, self._points = plan, bases, points
        self._along = len(varied(grid)) == 1 and 1 < len(grid) <= MOST

    def tasks(self, done: Outputs) -> list[Task]:
        """Those of the plan, one for each base, and one for all points."""
        found = list(self.plan.tasks(done))
        needs = tuple(task.name for task in found if not task.name.startswith("baseline/"))
        found += [Task(name, of_base) for name, of_base in self._names().items()]
        return [*found, Task(ALONG, needs)] if self._along else found

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        names = self._names()
        if name == ALONG:
            return Output({"points": features_along(self._points(done), done, progress)})
        if name not in names:
            return self.plan.perform(name, done, progress)
        one = self._bases[list(names).index(name)]
        study, own = (one, done) if isinstance(one, DiagramStudy) else (one.plan, one.own(done))
        assert isinstance(study, DiagramStudy)
        return Output(features_of(study, own, progress))

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """That of the study with ``features``; what they cost is part of the cost of the adaptation."""
        summary, found = self.plan.summary(done, context), [done[name] for name in self._names()]
        along = [done[ALONG]] if self._along else []
        cost = Cost.of(summary["adapt_cost"])
        whole = sum((one.cost for one in [*found, *along]), cost).to_dict()
        summary |= {"cost": whole, "adapt_cost": whole, NAME: [one.record for one in found]}
        return summary | {ALONG.replace("-", "_"): one.record["points"] for one in along}

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
        seen = _features_of(one, system, xs)
        found.append(stage(name, step, seen, quantities, PICTURED))
        progress.part(NAME, len(found), len(networks))
    shown = {name: np.round(values[:PICTURED], 4).tolist() for name, values in quantities.items()}
    return {"samples": len(xs), "couplings": system.values, "stages": found, "quantities": shown}


def features_along(points: Points, done: Outputs, progress: Progress) -> list[dict[str, Any] | None]:
    """Features of samples of every point, on the principal axes of the state that it was adapted from.

    Args:
        points: of the diagram. done: all outputs. progress: where to report.

    Returns:
        For each point ``points``, as of a stage, with ``values`` of an order parameter, ``quantity``; None where a
        point has no state.
    """
    records, bases = points.records(done), points.bases(done)
    axes: dict[int, Axes] = {}
    found: list[dict[str, Any] | None] = []
    for base, state, record in zip(bases, states_of(bases, records, points.states(done)), records, strict=True):
        number = (record.get("base") or {"index": 0})["index"]
        if number not in axes:
            axes[number] = principal_axes(_features_of(base.wavefunction, base.system, jnp.asarray(base.x)))
        found.append(None if state is None else _sketch(state, axes[number], base))
        progress.part("features of points", len(found), len(records))
    return found


def _sketch(state: LatticeState, axes: Axes, base: Base) -> dict[str, Any]:
    """Of one point."""
    # as many samples as the base has: one program for all
    rows = np.linspace(0, len(state.walkers) - 1, len(base.x)).astype(int)
    xs = jnp.asarray(np.asarray(state.walkers)[rows], base.x.dtype)
    kept = np.linspace(0, len(rows) - 1, min(SKETCHED, len(rows))).astype(int)
    z = _features_of(state.wavefunction, state.system, xs)[kept]
    name, values = list(orders(state.system, xs).items())[-1]
    return {"points": picture(axes, axes.of(z)), "quantity": name, "values": np.round(values[kept], 4).tolist()}


def _at(first: Wavefunction, stored: Mapping[str, np.ndarray], step: int) -> Wavefunction:
    """The network as it was after a step."""
    prefix = f"{SNAPSHOT}{step}/"
    arrays = {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
    return tree.from_arrays(first, arrays)


def _seen(wavefunction: Wavefunction) -> Wavefunction:
    """What the features are taken of: of a projected amplitude those of the configuration itself, not of all images."""
    return plain(wavefunction) if isinstance(wavefunction, Projected) else wavefunction


def _features_of(wavefunction: Wavefunction, system: LatticeSystem, xs: Array) -> np.ndarray:
    """Features of configurations (n, ...), (n, width)."""
    return np.asarray(_features(_seen(wavefunction), system, xs))


@eqx.filter_jit
@on_devices
def _features(wavefunction: Wavefunction, system: LatticeSystem, xs: Array) -> Array:
    return mapped(lambda x: wavefunction.features(system, x), xs, CHUNK)


def orders(system: LatticeSystem, xs: Array) -> dict[str, np.ndarray]:
    """Order parameters of configurations: modulus and sign where it has one, and the nearest correlation, (n,) each."""
    names = observables.names(system)
    table = np.asarray(observables.orders(system, xs))
    wanted = [k for k, name in enumerate(names) if name.endswith("abs_m") or name == "correlation_1"]
    found = {names[k]: table[:, k] for k in wanted}
    signed = observables.signed_order(system)
    return found if signed is None else found | {names[0].removesuffix("2"): np.asarray(xs, float) @ signed}
