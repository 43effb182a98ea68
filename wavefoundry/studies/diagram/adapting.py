"""From a pre-trained base to every coupling, as tasks: the points of a diagram by the method of the study."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wavefoundry.adapt.head import Tuned
from wavefoundry.adapt.pool import Pool
from wavefoundry.core import tree
from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.meter import Cost
from wavefoundry.core.verdict import Doubt
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.mapper import Mapper, convergence_of
from wavefoundry.studies.diagram.plan import BASE, Wave, waves
from wavefoundry.studies.diagram.points import WIDTH, Outcome, Start, WarmStart, adapt_point
from wavefoundry.studies.diagram.pretraining import Trainer
from wavefoundry.studies.diagram.records import Sampling, failed_record, point_record, zero_of
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output, Outputs, Task

WALKERS = 512
"""About so many configurations are kept with the state of a point."""
POOLS = 4
"""Pools are large: so many are kept at a time; others are filled again when needed."""
ORIGIN = "origin"
"""Task that draws the samples of the base."""

UNFINISHED = Doubt(
    "NOT-CONVERGED",
    "state",
    False,
    "the rounds were used up, or fresh samples of a new head were worse: more was to be gained",
)


class Adapted:
    """The points of a diagram from one base, each with its record and its state.

    Args:
        mapper: adapts the base. points: couplings, in the order of the study. after: tasks whose outputs the base is
            made of.
    """

    keeps_samples = True
    """Whether the walkers of a point are the samples it was measured with; as the method has it."""

    def __init__(self, mapper: Mapper, points: list[dict[str, float]], after: tuple[str, ...] = ()):
        self.mapper, self.points, self.after = mapper, points, after

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """What has to be done; ``only`` for some of the points, and for what they start from."""
        raise NotImplementedError

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of these tasks."""
        raise NotImplementedError

    def output(self, index: int, done: Outputs) -> Output | None:
        """What a point gave, None where it is not done."""
        return done.get(f"point/{index}")

    def base(self, index: int, done: Outputs) -> Base:
        """The state that a point was adapted from."""
        return self.mapper.base

    def share_memory(self, parts: int) -> None:
        """Take no more than one of so many parts of the memory."""

    def records(self, done: Outputs) -> list[dict[str, Any]]:
        """Records of all points in the order of the study."""
        return [output.record for output in self._outputs(done)]

    def states(self, done: Outputs) -> list[dict[str, np.ndarray] | None]:
        """What makes the state of every point, see ``states_kept.with_arrays``; None where it has no number."""
        return [self.state(output) for output in self._outputs(done)]

    def bases(self, done: Outputs) -> list[Base]:
        """The state that every point was adapted from."""
        return [self.base(index, done) for index in range(len(self.points))]

    def listed(self, done: Outputs) -> Array | None:
        """All configurations, where measurements draw from them."""
        return self.mapper.tools.states

    def samples(self, done: Outputs) -> list[np.ndarray | None]:
        """Samples of every point that its state was measured with, (chains, n, sites), or None."""
        return [self.drawn(output) for output in self._outputs(done)]

    def _outputs(self, done: Outputs) -> list[Output]:
        outputs = [self.output(index, done) for index in range(len(self.points))]
        return [one for one in outputs if one is not None]

    def drawn(self, output: Output) -> np.ndarray | None:
        """Those of one point."""
        x, layout = output.arrays.get("walkers"), self.mapper.layout
        if x is None or not self.keeps_samples or output.record["energy"] is None:
            return None
        return np.asarray(x, np.int8).reshape(layout.chains, layout.samples, -1)

    def state(self, output: Output) -> dict[str, np.ndarray] | None:
        """What makes the state of one point."""
        if output.record["energy"] is None:
            return None
        walkers = np.asarray(output.arrays.get("walkers", self.mapper.base.x), np.int8)
        some = walkers[:: max(1, len(walkers) // WALKERS)]
        return {name: np.asarray(value) for name, value in output.arrays.items()} | {"walkers": some}

    def cost(self, done: Outputs) -> Cost:
        """Of everything beyond the base."""
        return sum((done[task.name].cost for task in self.tasks(done)), Cost())


class Adaptation(Adapted):
    """The points of a diagram, in waves outward from the base; what the methods share.

    Args:
        mapper, points, after: as of ``Adapted``. members: numbers of the points that are adapted, by default all.
    """

    def __init__(
        self,
        mapper: Mapper,
        points: list[dict[str, float]],
        after: tuple[str, ...] = (),
        members: Sequence[int] | None = None,
    ):
        super().__init__(mapper, points, after)
        names, mine = list(points[0]), list(range(len(points)) if members is None else members)
        base = np.array([mapper.base.system.values[name] for name in names])
        plan = waves(base, np.array([[points[i][name] for name in names] for i in mine]), WIDTH)
        self.plan = [
            Wave(BASE if wave.parent == BASE else mine[wave.parent], tuple(mine[k] for k in wave.points))
            for wave in plan
        ]

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """Every point after the one it starts from; ``only`` those of some points and of what they start from."""
        waves = self._waves(only)
        return [Task(f"point/{i}", self._needs(wave), self._work()) for wave in waves for i in wave.points]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of these tasks."""
        return self._point(int(name.removeprefix("point/")), done, progress)

    def _needs(self, wave: Wave) -> tuple[str, ...]:
        return (*self.after, *([] if wave.parent == BASE else [f"point/{wave.parent}"]))

    def _work(self) -> float:
        return float(self.mapper.evaluate.samples)

    def _waves(self, only: Collection[int] | None) -> list[Wave]:
        """The plan, or the part of it that some points need."""
        if only is None:
            return self.plan
        found: set[int] = set()
        for index in only:
            while index != BASE and index not in found:
                found.add(index)
                index = self._wave(index).parent
        return [Wave(wave.parent, kept) for wave in self.plan if (kept := tuple(i for i in wave.points if i in found))]

    def _wave(self, index: int) -> Wave:
        return next(wave for wave in self.plan if index in wave.points)

    def _system(self, index: int) -> LatticeSystem:
        return self.mapper.base.system.at(**self.points[index])

    def _key(self, index: int) -> Array:
        return jax.random.fold_in(self.mapper.key, index)

    def _point(self, index: int, done: Outputs, progress: Progress) -> Output:
        raise NotImplementedError

    def place(self, progress: Progress) -> dict[str, int]:
        """Which point this is, and of how many; of several bases some points are adapted more than once."""
        index = progress.finished("point")
        return {"index": index, "count": max(len(self.points), index + 1)}

    def _told(self, index: int, output: Output, progress: Progress) -> Output:
        """The output of a point with its sector, once it has been reported."""
        if self.mapper.base.sector is not None:
            output = output._replace(record=output.record | {"sector": dict(self.mapper.base.sector)})
        count = self.place(progress)
        progress.emit({"event": "point", **output.record, **count, "seconds_left": 0.0})
        return output


class HeadAdaptation(Adaptation):
    """Head tuning: a wave is tuned on the pool of its parent, then each of its points is measured and tuned further.

    The arrays of a point are a warm start: a head, and the samples its pool is filled with when it is needed.
    """

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._pools: dict[int, Pool] = {}
        self._most = POOLS

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """The samples of the base, then wave by wave: tuning, and the points."""
        waves = self._waves(only)
        found = [Task(ORIGIN, self.after, float(self.mapper.adapt.samples))] if waves else []
        for wave in waves:
            needs, number = self._needs(wave), self.plan.index(self._wave(wave.points[0]))
            found.append(Task(f"tune/{number}", needs, 0.05 * self.mapper.adapt.steps * self.mapper.adapt.samples))
            found += [Task(f"point/{i}", (*needs, f"tune/{number}"), self._work()) for i in wave.points]
        return found

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of these tasks."""
        if name == ORIGIN:
            warm, self._pools[BASE] = self.mapper.origin()
            return Output({}, warm.arrays())
        if name.startswith("tune/"):
            return self._tune(int(name.removeprefix("tune/")), done, progress)
        return super().perform(name, done, progress)

    def _needs(self, wave: Wave) -> tuple[str, ...]:
        return (*self.after, ORIGIN if wave.parent == BASE else f"point/{wave.parent}")

    def parent(self, index: int, done: Outputs) -> tuple[WarmStart, Pool]:
        """The warm start of a point or of the base, and its pool."""
        warm = WarmStart.of(done[ORIGIN if index == BASE else f"point/{index}"].arrays)
        if index not in self._pools:
            self._keep(index, self.mapper.tools.pool_of(warm))
        return warm, self._pools[index]

    def _keep(self, index: int, pool: Pool) -> None:
        self._pools[index] = pool
        while len(self._pools) > self._most:
            self._pools.pop(next(iter(self._pools)))

    def share_memory(self, parts: int) -> None:
        """Keep fewer pools."""
        self._most = max(1, POOLS // parts)

    def _tune(self, number: int, done: Outputs, progress: Progress) -> Output:
        wave = self.plan[number]
        warm, pool = self.parent(wave.parent, done)
        systems = [self._system(i) for i in wave.points]
        tuned = jax.block_until_ready(self.mapper.tune_wave(systems, warm, pool, progress))
        weights = [np.asarray(one.weights) for one in tuned]
        start = np.asarray(warm.weights, weights[0].dtype)
        arrays = {
            f"weights/{i}": one if np.isfinite(one).all() else start
            for i, one in zip(wave.points, weights, strict=True)
        }
        rows = [{k: float(v) for k, v in one._asdict().items() if k != "weights"} for one in tuned]
        return Output({"tuned": {str(i): row for i, row in zip(wave.points, rows, strict=True)}}, arrays)

    def _point(self, index: int, done: Outputs, progress: Progress) -> Output:
        wave, system = self._wave(index), self._system(index)
        tuning = done[f"tune/{self.plan.index(wave)}"]
        warm, pool = self.parent(wave.parent, done)
        found = tuning.record["tuned"][str(index)]
        row = {name: jnp.asarray(math.nan if value is None else value) for name, value in found.items()}
        tuned = Tuned(jnp.asarray(tuning.arrays[f"weights/{index}"]), **row)
        before = None if wave.parent == BASE else done[f"point/{wave.parent}"].record["acceptance"]
        start = Start(tuned, warm, pool, before)
        event = {"point": system.values, **self.place(progress)}
        tools = self.mapper.tools

        def cost() -> Cost:
            return progress.cost() + tuning.cost.share(len(wave.points))

        try:
            outcome = adapt_point(tools, self.mapper.estimator, system, start, self._key(index), progress, event)
        except PhysicsError as error:
            progress.warn(str(error))
            output = Output(failed_record(system, "head", cost(), str(error)), warm.arrays())
        else:
            self._keep(index, outcome.pool)
            output = Output(self._record(system, outcome, cost()), outcome.warm.arrays())
        return self._told(index, output, progress)

    def _record(self, system: LatticeSystem, outcome: Outcome, cost: Cost) -> dict[str, Any]:
        doubts = self.mapper.inherited()
        if not outcome.converged:
            doubts.append(UNFINISHED)
        pool = {"draws": outcome.draws, "ess_min": outcome.ess_min, "samples": len(outcome.pool.log_q)}
        return point_record(
            system,
            "head",
            outcome.measured,
            known=self.mapper.known(system),
            cost=cost,
            real_head=self.mapper.real_head,
            doubts=doubts,
            sampling=Sampling(outcome.acceptance, pool),
        )


class FullAdaptation(Adaptation):
    """Full fine-tuning, and zero-shot evaluation: the arrays of a point are all weights and walkers, or nothing."""

    keeps_samples = False

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._trainer: Trainer | None = None
        if self.mapper.adapt.method == "full":
            static = eqx.partition(self.mapper.base.wavefunction, eqx.is_array)[1]
            trainable = tree.all_weights(eqx.filter(self.mapper.base.wavefunction, eqx.is_array))
            assert self.mapper.training is not None
            self._trainer = Trainer(static, trainable, self.mapper.training, self.mapper.base.system.sites)

    def _needs(self, wave: Wave) -> tuple[str, ...]:
        return self.after if self._trainer is None else super()._needs(wave)

    def _work(self) -> float:
        training = self.mapper.training
        steps = 0.0 if self._trainer is None or training is None else 3.0 * training.steps * training.chains
        return super()._work() + steps

    def _start(self, parent: int, done: Outputs) -> tuple[PyTree, PyTree]:
        params = eqx.filter(self.mapper.base.wavefunction, eqx.is_array)
        if parent == BASE or self._trainer is None:
            return params, self.mapper.base.x
        stored: Mapping[str, np.ndarray] = done[f"point/{parent}"].arrays
        return tree.from_arrays(params, dict(stored)), jnp.asarray(stored["walkers"])

    def _point(self, index: int, done: Outputs, progress: Progress) -> Output:
        system, start = self._system(index), self._start(self._wave(index).parent, done)
        try:
            params, x = self._optimise(index, *start, progress)
            record = self._measure(system, params, x, self._key(index), progress)
        except PhysicsError as error:
            progress.warn(str(error))
            record = failed_record(system, self.mapper.adapt.method, progress.cost(), str(error))
            params, x = start
        kept = {} if self._trainer is None else tree.to_arrays(params) | {"walkers": np.asarray(x)}
        return self._told(index, Output(record, kept), progress)

    def _optimise(self, index: int, params: PyTree, x: PyTree, progress: Progress) -> tuple[PyTree, PyTree]:
        """All weights at one point, from the weights and walkers of its neighbour, or from where it was broken off."""
        if self._trainer is None or self.mapper.training is None:
            return params, x
        trainer, system = self._trainer, self._system(index)
        if not progress.finished("point"):
            progress.compiling("the training step")
        walkers = self.mapper.spread(x, trainer.training.chains)
        place = self.mapper.trained_on(system)
        params, moved = optimised(trainer, self._key(index), params, walkers, place, progress)
        return params, moved if self.mapper.listed is None else x

    def _measure(
        self, system: LatticeSystem, params: PyTree, x: PyTree, key: Array, progress: Progress
    ) -> dict[str, Any]:
        """Fresh samples of the final weights."""
        static = eqx.partition(self.mapper.base.wavefunction, eqx.is_array)[1]
        measured, acceptance = self.mapper.sampled(system, eqx.combine(params, static), x, key)
        found = None if self._trainer is None else self._trainer.convergence(zero_of(system, system.couplings))
        record = point_record(
            system,
            self.mapper.adapt.method,
            measured,
            known=self.mapper.known(system),
            cost=progress.cost(),
            real_head=self.mapper.real_head,
            doubts=self.mapper.inherited() if found is None else found.doubts(),
            sampling=Sampling(acceptance),
        )
        return record | convergence_of(found)


def optimised(
    trainer: Trainer, key: Array, params: PyTree, x: PyTree, system: Any, progress: Progress
) -> tuple[PyTree, PyTree]:
    """Weights and walkers after a training at the couplings of a system.

    Args:
        x: walkers to begin with, as many as the training has. system: a lattice system, or all its configurations.
    """
    family = system.family([{}])
    run = trainer.start(key, params, family)
    run = run._replace(sampler=run.sampler._replace(x=jax.tree.map(lambda a: a[None], x)))
    values = getattr(system, "lattice", system).values
    run = trainer.run(run, family, progress, "adapt", point=values)
    return run.params, jax.tree.map(lambda a: a[0], run.sampler.x)
