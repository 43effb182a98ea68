"""Rivals: what adaptation from the pre-training is held against, at the same points and with the same measurements.

* ``scratch``: all weights at every point from random ones, as many steps as the pre-training.
* ``warm-chain``: all weights at every point from those of its neighbour, outward from the pre-training, ``full_steps``.
* ``random-backbone``: heads on the features of a network that was never trained.
* ``deep``: the method of the study from a pre-training far away.
* ``foundation``: one network that is given the couplings, trained at several of them together, as it is at every point;
  ``foundation-head``: then its head at every point. Its samples in a step are as many as those of the pre-training.

``transition`` is the pre-training of the study itself; over several seeds it is repeated like its rivals.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.adapt.pool import sample_listed
from wavefoundry.artifacts.spec_adapt import AdaptTable, BaselinesTable, TargetTable
from wavefoundry.artifacts.spec_seeds import seed_of
from wavefoundry.artifacts.spec_tables import EvaluateTable, PretrainTable
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.types import Wavefunction
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.adapting import Adapted
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.mapper import Mapper
from wavefoundry.studies.diagram.part import Event, Part
from wavefoundry.studies.diagram.pretraining import Trainer, Training
from wavefoundry.studies.diagram.records import failed_record
from wavefoundry.studies.diagram.referencing import References
from wavefoundry.studies.diagram.sectors import adapted, in_sectors, sector_of
from wavefoundry.studies.diagram.states import equilibrated
from wavefoundry.studies.diagram.study import PRETRAIN, base_arrays, listing, make_mapper, pretrain, training_of
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output, Outputs, Task

TRANSITION = "transition"
CURVE = 50
"""Points of a stored curve of training, at most."""
TOGETHER, FEWEST = 5, 32
"""Couplings that one network is trained at together, at most; walkers of each, at least."""
OUT_OF_REACH = TargetTable(v_score=1e-300)
"""A target that lets method auto climb all its rungs and keep the best."""
FOUNDATION = "foundation"


@dataclasses.dataclass(frozen=True)
class Kit:
    """What all rivals share: the family, the network of a seed, how to train, adapt and measure, and where."""

    system: LatticeSystem
    network: Callable[[int], Wavefunction]
    table: PretrainTable
    adapt: AdaptTable
    evaluate: EvaluateTable
    points: list[dict[str, float]]
    at: list[dict[str, float]]
    chunk: int
    references: References | None = None
    conditioned: Callable[[int], Wavefunction] | None = None
    how: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # see ``make_mapper``

    def training(self, table: PretrainTable | None = None) -> Training:
        """How rivals are trained: as the points are, also with an optimiser or a sampler of the user's own."""
        found = training_of(table or self.table, self.system.extent, self.chunk, 20)
        return dataclasses.replace(found, options=found.options._replace(**self.how))

    def foundation(self) -> Kit:
        """The same with a network that is given the couplings, to be trained at several of them together."""
        assert self.conditioned is not None
        at = spread(self.points, self.at[0])
        table = self.table.model_copy(update={"walkers": max(FEWEST, self.table.walkers // len(at))})
        adapt = self.adapt.model_copy(update={"rungs": ["zero-shot", "head"], "target": OUT_OF_REACH})
        return dataclasses.replace(self, network=self.conditioned, at=at, table=table, adapt=adapt)

    def of_seed(self, index: int, at: list[dict[str, float]] | None = None) -> Kit:
        """The same with another seed, and another place of the pre-training."""
        tables = {"table": self.table} | ({} if self.adapt.seed is None else {"adapt": self.adapt})
        raised = {name: one.model_copy(update={"seed": seed_of(one, index)}) for name, one in tables.items()}
        return dataclasses.replace(self, **raised, at=at or self.at)

    def mapper(self, base: Base, adapt: AdaptTable, by_sum: bool = False) -> Mapper:
        """Adapts a base as it is."""
        shared = (self.evaluate, self.table, self.chunk, self.references)
        return make_mapper(base, adapt, *shared, by_sum=by_sum, how=self.how)

    def adapted(self, base: Base, adapt: AdaptTable, by_sum: bool = False) -> Adapted:
        """The points from a base; projected on their sectors where the study projects."""
        chosen = None if adapt.symmetry == "none" else sector_of(base, adapt, self.points)
        mapper = functools.partial(self.mapper, adapt=adapt, by_sum=by_sum)
        return adapted(base, self.points, adapt, mapper, (PRETRAIN,), chosen)

    def measured(self, base: Base, adapt: AdaptTable) -> dict[str, Any]:
        """Record of a state at its own couplings, projected where the study projects."""
        if adapt.symmetry != "none":
            chosen = sector_of(base, adapt, [])
            (base,) = in_sectors(base, chosen, [chosen["sector"]]).values()
        return self.mapper(base, adapt).measure_base() | ({} if base.sector is None else {"sector": dict(base.sector)})

    def first(self) -> Wavefunction:
        """The network with random weights."""
        return self.network(self.table.seed)


class Rival:
    """A start and the points adapted from it: a plan like that of a study, without a measurement of the start.

    Args:
        kit: with its seed. method: of the adaptation. trained: False for a network with random weights.
    """

    def __init__(self, kit: Kit, method: str, trained: bool = True):
        self.kit, self.trained = kit, trained
        self.adapt = kit.adapt.model_copy(update={"method": method})
        self._adaptation: Adapted | None = None

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """The start; then the points."""
        table = self.kit.table
        found = [Task(PRETRAIN, share=3.0 * table.steps * table.walkers if self.trained else 1.0)]
        return found if PRETRAIN not in done else found + self.adaptation(done).tasks(done, only)

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        if name != PRETRAIN:
            return self.adaptation(done).perform(name, done, progress)
        kit = self.kit
        if self.trained:
            base = pretrain(kit.first(), kit.system.at(**kit.at[0]), kit.at, kit.training(), kit.table, progress)
        else:
            base = untrained(kit)
        return Output({"rest": None if base.convergence is None else base.convergence.stored()}, base_arrays(base))

    def adaptation(self, done: Outputs) -> Adapted:
        """The points."""
        if self._adaptation is None:
            found, kit = done[PRETRAIN], self.kit
            wavefunction = tree.from_arrays(kit.first(), dict(found.arrays), "wavefunction")
            rest = Convergence.restored(found.record["rest"])
            walkers = jnp.asarray(found.arrays["walkers"])
            base = Base(kit.system.at(**kit.at[0]), wavefunction, walkers, rest)
            by_sum = self.adapt.method == "full"  # as good as it can be
            self._adaptation = kit.adapted(base, self.adapt, by_sum)
        return self._adaptation

    def point(self, index: int, done: Outputs) -> Output | None:
        """The output of a point, None where there is none."""
        return self.adaptation(done).output(index, done)

    def pretrained(self, done: Outputs) -> dict[str, Any]:
        """Rivals measure no base."""
        raise NotImplementedError


class Scratch:
    """All weights at every point from random ones: no point needs another."""

    def __init__(self, kit: Kit):
        self.kit = kit
        self._trainer: Trainer | None = None

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """One for every point."""
        share = 3.0 * self.kit.table.steps * self.kit.table.walkers
        return [Task(f"point/{i}", (), share) for i in range(len(self.kit.points))]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Train at one point and measure."""
        kit, point = self.kit, self.kit.points[int(name.removeprefix("point/"))]
        system, table = kit.system.at(**point), kit.table.model_copy(update={"warm_start": None})
        first, trainer = kit.first(), self._trained_by()
        try:
            base = pretrain(first, system, [point], kit.training(table), table, progress, trainer)
            adapt = kit.adapt.model_copy(update={"method": "zero-shot"})
            record = kit.measured(base, adapt)
        except PhysicsError as error:
            progress.warn(str(error))
            record = failed_record(system, "scratch", progress.cost(), str(error))
        record |= {"method": "scratch", "cost": progress.cost().to_dict(), "curve": curve(trainer.energies)}
        progress.emit({"event": "point", **record})
        return Output(record)

    def _trained_by(self) -> Trainer:
        if self._trainer is None:
            kit, first = self.kit, self.kit.first()
            _, training = listing(first, kit.system, kit.training(), kit.table)
            params, static = eqx.partition(first, eqx.is_array)
            self._trainer = Trainer(static, tree.all_weights(params), training, kit.system.sites)
        return self._trainer

    def adaptation(self, done: Outputs) -> Adapted:
        """There is none."""
        raise NotImplementedError

    def point(self, index: int, done: Outputs) -> Output | None:
        """The output of a point, None where there is none."""
        return done.get(f"point/{index}")

    pretrained = adaptation  # type: ignore[assignment]


def curve(energies: Sequence[float]) -> list[list[float]]:
    """A training as (steps, median energy of the steps up to there since the last)."""
    parts = np.array_split(np.asarray(energies, float), min(CURVE, len(energies))) if len(energies) else []
    ends = np.cumsum([len(part) for part in parts])
    return [[int(end), float(np.median(part))] for end, part in zip(ends, parts, strict=True)]


def untrained(kit: Kit) -> Base:
    """A network with random weights, and samples of it."""
    system, wavefunction = kit.system.at(**kit.at[0]), kit.first()
    key, count = jax.random.fold_in(jax.random.key(kit.table.seed), 2), kit.table.walkers
    listed, _ = listing(wavefunction, system, kit.training(), kit.table)
    family = system.family([{}])
    if listed is not None:
        return Base(system, wavefunction, sample_listed(wavefunction, family, listed.states, key, count, kit.chunk))
    return Base(system, wavefunction, equilibrated(wavefunction, system, key, count, kit.chunk))


def farthest(points: list[dict[str, float]], at: dict[str, float]) -> dict[str, float]:
    """The point farthest from the pre-training."""
    return points[int(np.argmax(distances(points, at)))]


def distances(points: list[dict[str, float]], at: dict[str, float]) -> np.ndarray:
    """Of all points from a place, every coupling in units of its range."""
    names = list(points[0])
    values = np.array([[point[name] for name in names] for point in points])
    origin = np.array([at[name] for name in names])
    width = np.ptp(np.vstack([values, origin]), axis=0)
    return np.linalg.norm((values - origin) / np.where(width > 0, width, 1.0), axis=1)


def spread(points: list[dict[str, float]], at: dict[str, float]) -> list[dict[str, float]]:
    """The place of the pre-training and up to four points, each as far as can be from those before it."""
    found, nearest = [at], distances(points, at)
    while len(found) < TOGETHER and nearest.max() > 0:
        found.append(points[int(np.argmax(nearest))])
        nearest = np.minimum(nearest, distances(points, found[-1]))
    return found


class Rivals:
    """The tasks of all rivals, ``baseline/KIND/SEED/...``, and their records.

    Args:
        kit: of the first seed. table: which, and how many seeds.
        start: name of the task that gives the pre-training of the first seed; None where it exists already.
        given: that pre-training, where it exists.
    """

    def __init__(self, kit: Kit, table: BaselinesTable, start: str | None, given: Output | None = None):
        self.kit, self.table, self.start, self.given = kit, table, start, given
        self.deep = table.deep or farthest(kit.points, kit.at[0])
        self.parts: dict[tuple[str, int], Part] = {}
        for seed in range(table.seeds):
            if seed:
                self._add(TRANSITION, seed, Rival(kit.of_seed(seed), kit.adapt.method))
            for kind in table.kinds:
                self._add(kind, seed, self._plan(kind, kit.of_seed(seed)))

    def _plan(self, kind: str, kit: Kit) -> Any:
        method = "head" if kind == "random-backbone" else kit.adapt.method
        if kind == "scratch":
            return Scratch(kit)
        if kind == "warm-chain":
            return Rival(kit, "full")
        if kind == "deep":
            return Rival(dataclasses.replace(kit, at=[self.deep]), method)
        if kind.startswith(FOUNDATION):
            return Rival(kit.foundation(), "zero-shot" if kind == FOUNDATION else "auto")
        return Rival(kit, method, trained=False)

    def _add(self, kind: str, seed: int, plan: Any) -> None:
        prefix = f"baseline/{kind}/{seed}/"
        shared = self._shared(kind, seed)

        def outer(name: str) -> str:
            return shared if shared and name == PRETRAIN else prefix + name

        def inner(name: str) -> str | None:
            if shared and name == shared:
                return PRETRAIN
            return name.removeprefix(prefix) if name.startswith(prefix) else None

        def tell(event: Event) -> Event:
            if event["event"] == "step":
                return event | {"phase": f"{kind}, seed {self.kit.table.seed + seed}"}
            renamed = {"point": "baseline", "round": "baseline-round", "rung": "baseline-rung"}
            return event | {"event": renamed.get(event["event"], event["event"]), "kind": kind, "seed": seed}

        self.parts[kind, seed] = Part(plan, outer, inner, tell, lambda model: None)

    def _shared(self, kind: str, seed: int) -> str | None:
        """Name of the task that gives the start of a rival, where it is that of another one."""
        if kind == "warm-chain":
            return f"baseline/{TRANSITION}/{seed}/{PRETRAIN}" if seed else self.start or GIVEN
        if kind == f"{FOUNDATION}-head" and FOUNDATION in self.table.kinds:
            return f"baseline/{FOUNDATION}/{seed}/{PRETRAIN}"
        return None

    def _all(self, done: Outputs) -> Outputs:
        return done if self.given is None else {**done, GIVEN: self.given}

    def tasks(self, done: Outputs) -> list[Task]:
        """All of them; those of a pre-training that others give are not named again."""
        found = [task for part in self.parts.values() for task in part.tasks(self._all(done))]
        given = {GIVEN, self.start}
        once = {task.name: task for task in reversed(found) if task.name not in given}
        return [
            task._replace(needs=tuple(name for name in task.needs if name != GIVEN)) for task in reversed(once.values())
        ]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        _, kind, seed, _ = name.split("/", 3)
        return self.parts[kind, int(seed)].perform(name, self._all(done), progress)

    def records(self, done: Outputs) -> list[dict[str, Any]]:
        """What every rival gave: records of its points, cost of its start and of its adaptation (CPU, compiling)."""
        done = self._all(done)
        rows = []
        for (kind, seed), part in self.parts.items():
            own = part.own(done)
            start = own.get(PRETRAIN)
            points = [part.point(i, done) for i in range(len(self.kit.points))]
            adapted = [output.cost for name, output in own.items() if name != PRETRAIN]
            rows.append({
                "kind": kind,
                "seed": seed,
                "points": [one.record for one in points if one is not None],
                "start": None if start is None else start.cost.to_dict(),
                "adapt": sum(adapted[1:], adapted[0]).to_dict(),
            })  # fmt: skip
        return rows


GIVEN = "given"
"""Stands for the pre-training of the first seed, where it exists before any task."""
