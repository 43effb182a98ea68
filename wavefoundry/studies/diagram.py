"""The phase diagram: pre-train once, adapt to every coupling, measure, compare with exact results."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wavefoundry.adapt.pool import Pool, fill
from wavefoundry.core import tree
from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.meter import METER, Cost
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.verdict import Doubt
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.context import Context
from wavefoundry.studies.mapper import Mapper, convergence_of
from wavefoundry.studies.plan import BASE, Wave, waves
from wavefoundry.studies.points import WIDTH, Frontier, Outcome, adapt_point
from wavefoundry.studies.pretraining import Trainer
from wavefoundry.studies.records import failed_record, point_record, zero_of

WALKERS = 512
"""About so many configurations are kept with the state of a point."""


class Mapped(NamedTuple):
    """Adapted points in the order they were asked for; states: the arrays that differ from the base, and walkers."""

    records: list[dict[str, Any]]
    states: list[dict[str, np.ndarray] | None]  # None where there is no number
    cost: Cost


def map_points(mapper: Mapper, points: list[dict[str, float]], context: Context) -> Mapped:
    """All points by the method of the study, in order of distance from the base."""
    before = METER.now()
    names = list(points[0])
    base = np.array([mapper.base.system.values[name] for name in names])
    plan = waves(base, np.array([[p[name] for name in names] for p in points]), WIDTH)
    work = _HeadWork(mapper, points, context) if mapper.adapt.method == "head" else _FullWork(mapper, points, context)
    # the first wave is tuned as wide as the widest one will be: all programs are compiled with the first point
    work.wide = plan[0] if any(len(wave.points) > 1 for wave in plan) else None
    spent = work.restore()
    done, begin = len(work.records), time.perf_counter()
    for number, wave in enumerate(plan):
        work.parents = {later.parent for later in plan[number:]}
        for index in work.run(wave):
            finished = len(work.records)
            rate = (time.perf_counter() - begin) / max(1, finished - done)
            context.emit(
                {"event": "point", **work.records[index], "index": finished - 1, "count": len(points)}
                | {"seconds_left": rate * (len(points) - finished)}
            )
            work.save(finished, METER.now() - before + spent)
            context.stop_if_asked()
    everything = range(len(points))
    records, states = [work.records[i] for i in everything], [work.kept(i) for i in everything]
    return Mapped(records, states, METER.now() - before + spent)


WITHIN, STRIDE, SAVE_AFTER = "point", 10**6, 60.0
"""Stream of a point that is not finished, how far apart the steps of two points are numbered, seconds between saves."""


class _Work:
    """Points done so far, with what is needed to go on from them."""

    stream = "adapt"

    def __init__(self, mapper: Mapper, points: list[dict[str, float]], context: Context):
        self.mapper, self.points, self.context = mapper, points, context
        self.records: dict[int, dict[str, Any]] = {}
        self.state: dict[str, dict[str, Array]] = {}
        self.wide: Wave | None = None
        self.parents: set[int] = set()  # of the waves that are left

    def system(self, index: int) -> LatticeSystem:
        return self.mapper.base.system.at(**self.points[index])

    def kept(self, index: int) -> dict[str, np.ndarray] | None:
        """What makes the state of a finished point, see ``states_kept.with_arrays``; None where it has no number."""
        if self.records[index]["energy"] is None:
            return None
        stored = self.state.get(str(index), {})  # zero-shot: nothing that differs from the base
        walkers = np.asarray(stored.get("walkers", stored.get("x", self.mapper.base.x)), np.int8)
        some = walkers[:: max(1, len(walkers) // WALKERS)]
        changed = {name: np.asarray(value) for name, value in stored.items() if name not in ("walkers", "x")}
        return changed | {"walkers": some}

    def save(self, step: int, cost: Cost) -> None:
        records = {str(i): record for i, record in self.records.items()}
        arrays = {name: value for name, value in self.state.items()}
        self.context.save(self.stream, step, arrays, {"records": records, "cost": cost._asdict()})

    def restore(self) -> Cost:
        found = self.context.restore(self.stream)
        if found is None:
            return Cost()
        _, arrays, meta = found
        self.records = {int(i): record for i, record in meta["records"].items()}
        self.state = _nested(arrays)
        self.context.say("adapt", f"going on after {len(self.records)} of {len(self.points)} points")
        return Cost(**meta["cost"])


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, Array]]:
    """Undo the naming of ``tree.to_arrays`` for a dictionary of dictionaries."""
    out: dict[str, dict[str, Array]] = {}
    for name, value in arrays.items():
        outer, inner = name.removeprefix("['").removesuffix("']").split("']['")
        out.setdefault(outer, {})[inner] = jnp.asarray(value)
    return out


class _HeadWork(_Work):
    """Head tuning: the state of a point is its frontier (head and samples); pools are filled again when needed."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.pools: dict[int, Pool] = {}

    def parent(self, index: int) -> tuple[Frontier, Pool]:
        name = str(index)
        if name not in self.state:
            frontier, pool = self.mapper.origin()
            self.state[name] = frontier._asdict()
            self.pools = {index: pool}
        if index not in self.pools:
            self.pools[index] = self.mapper.tools.pool_of(Frontier(**self.state[name]))
        return Frontier(**self.state[name]), self.pools[index]

    def run(self, wave: Wave) -> Iterator[int]:
        """Adapt the points of a wave that are not done yet; yields each one when its record is there.

        The first tuning always takes the whole wave, so that a resumed run repeats it bit by bit.
        """
        if all(i in self.records for i in wave.points):
            return
        start = METER.now()
        frontier, pool = self.parent(wave.parent)
        systems = [self.system(i) for i in wave.points]
        tuned = jax.block_until_ready(self.mapper.tune_wave(systems, frontier, pool, wave is self.wide))
        share = (METER.now() - start).share(len(systems))
        for i, system, one in zip(wave.points, systems, tuned, strict=True):
            if i in self.records:
                continue
            begin = METER.now()
            event = {"point": system.values, "index": len(self.records), "count": len(self.points)}
            key = jax.random.fold_in(self.mapper.key, i)
            try:
                outcome = adapt_point(
                    self.mapper.tools, self.mapper.estimator, system, (one, pool), key, self.context, event
                )
            except PhysicsError as error:
                self.context.warn(str(error))
                self.records[i] = failed_record(system, "head", METER.now() - begin + share, str(error))
                self.pools[i], self.state[str(i)] = pool, frontier._asdict()
            else:
                self.records[i] = self._record(system, outcome, METER.now() - begin + share)
                self.pools[i], self.state[str(i)] = outcome.pool, outcome.frontier._asdict()
            self._forget()
            yield i

    def _record(self, system: LatticeSystem, outcome: Outcome, cost: Cost) -> dict[str, Any]:
        doubts = self.mapper.inherited()
        if not outcome.converged:
            why = "the rounds were used up, or fresh samples of a new head were worse: more was to be gained"
            doubts.append(Doubt("NOT-CONVERGED", "state", False, why))
        return point_record(
            system,
            "head",
            outcome.measured,
            known=self.mapper.known(system),
            pool={"draws": outcome.draws, "ess_min": outcome.ess_min, "samples": len(outcome.pool.log_q)},
            cost=cost,
            real_head=self.mapper.real_head,
            doubts=doubts,
            acceptance=outcome.acceptance,
        )

    def _forget(self, keep: int = 4) -> None:
        """Pools are large: keep the newest ones that later waves start from; others are filled again when needed."""
        self.pools = {i: pool for i, pool in self.pools.items() if i in self.parents}
        while len(self.pools) > keep:
            self.pools.pop(next(iter(self.pools)))


class _FullWork(_Work):
    """Full fine-tuning and zero-shot evaluation: the state of a point is its weights and walkers.

    A point that takes long is saved within (stream ``point``), and gone on with from there.
    """

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.trainer = None
        self.within: tuple[dict[str, np.ndarray], dict[str, Any]] | None = None  # of a point that was broken off
        if self.mapper.adapt.method == "full":
            static = eqx.partition(self.mapper.base.wavefunction, eqx.is_array)[1]
            trainable = tree.all_weights(eqx.filter(self.mapper.base.wavefunction, eqx.is_array))
            assert self.mapper.training is not None
            self.trainer = Trainer(static, trainable, self.mapper.training, self.mapper.base.system.sites)

    def restore(self) -> Cost:
        spent = super().restore()
        found = self.context.restore(WITHIN)
        if found is not None and found[2].get("finished") == len(self.records):  # else it is of an earlier point
            self.within = found[1:]
        return spent if self.within is None else spent + Cost(**self.within[1]["cost"])

    def start(self, index: int) -> tuple[PyTree, PyTree]:
        params = eqx.filter(self.mapper.base.wavefunction, eqx.is_array)
        if index == BASE or self.trainer is None:
            return params, self.mapper.base.x
        stored = self.state[str(index)]
        return tree.from_arrays(params, {k: np.asarray(v) for k, v in stored.items()}), stored["walkers"]

    def run(self, wave: Wave) -> Iterator[int]:
        """Adapt the points of a wave that are not done yet; yields each one when its record is there."""
        for i in wave.points:
            if i in self.records:
                continue
            begin, system = METER.now() - self._carried(i), self.system(i)
            start = self.start(wave.parent)
            try:
                params, x = self._optimise(i, *start, begin)
                self.records[i] = self._measure(system, params, x, jax.random.fold_in(self.mapper.key, i), begin)
            except PhysicsError as error:
                self.context.warn(str(error))
                self.records[i] = failed_record(system, self.mapper.adapt.method, METER.now() - begin, str(error))
                params, x = start
            kept: dict[str, Any] = tree.to_arrays(params) | {"walkers": x} if self.trainer is not None else {}
            self.state[str(i)] = kept
            yield i

    def _carried(self, index: int) -> Cost:
        """What earlier sessions have spent on a point that was broken off."""
        return Cost(**self.within[1]["cost"]) if self.within and self.within[1]["index"] == index else Cost()

    def _optimise(self, index: int, params: PyTree, x: PyTree, begin: Cost) -> tuple[PyTree, PyTree]:
        """All weights at one point, from the weights and walkers of its neighbour, or from where it was broken off."""
        if self.trainer is None or self.mapper.training is None:
            return params, x
        trainer, system = self.trainer, self.system(index)
        if not self.records:
            self.context.compiling("the training step")
        family = system.family([{}])
        run = trainer.start(jax.random.fold_in(self.mapper.key, index), params, family)
        spread = self.mapper.spread(x, self.mapper.training.chains)
        run = run._replace(sampler=run.sampler._replace(x=jax.tree.map(lambda a: a[None], spread)))
        if self.within is not None and self.within[1]["index"] == index:
            run = tree.from_arrays(run, self.within[0])
            trainer.energies = list(self.within[1]["energies"])
            self.context.say("adapt", f"going on from step {int(run.step)} of a point")
        saved = time.monotonic()

        def save(step: int, run: Any) -> None:
            nonlocal saved
            if self.context.stopping or time.monotonic() - saved > SAVE_AFTER:
                cost = (METER.now() - begin)._asdict()
                meta = {"index": index, "finished": len(self.records), "energies": trainer.energies, "cost": cost}
                self.context.save(WITHIN, len(self.records) * STRIDE + step, run, meta)
                saved = time.monotonic()

        run = trainer.run(run, family, self.context, "adapt", save, point=system.values)
        return run.params, jax.tree.map(lambda a: a[0], run.sampler.x)

    def _measure(self, system: LatticeSystem, params: PyTree, x: PyTree, key: Array, begin: Cost) -> dict[str, Any]:
        """Fresh samples of the final weights."""
        layout, family = self.mapper.layout, system.family([{}])
        static = eqx.partition(self.mapper.base.wavefunction, eqx.is_array)[1]
        wavefunction: Wavefunction = eqx.combine(params, static)
        start = self.mapper.spread(x, layout.chains)
        guide = self.mapper.guide(wavefunction, x)
        tools = dataclasses.replace(self.mapper.tools, wavefunction=wavefunction, family=family)
        xs, acceptance = tools.samples(wavefunction, start, jax.random.fold_in(key, 1), guide)
        pool = fill(wavefunction, family, xs, layout.chunk)
        measured = tools.measure(self.mapper.estimator, wavefunction, system, [pool], jax.random.fold_in(key, 2))
        found = None if self.trainer is None else self.trainer.convergence(zero_of(system, system.couplings))
        record = point_record(
            system,
            self.mapper.adapt.method,
            measured,
            known=self.mapper.known(system),
            pool=None,
            cost=METER.now() - begin,
            real_head=self.mapper.real_head,
            doubts=self.mapper.inherited() if found is None else found.doubts(),
            acceptance=acceptance,
        )
        return record | convergence_of(found)
