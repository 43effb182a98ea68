"""Method "auto": every coupling by the cheapest means that meet a target, zero-shot, head, last blocks, all weights."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wavefoundry.artifacts.spec_adapt import TargetTable
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.meter import Cost
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.verdict import Doubt
from wavefoundry.models.heads import with_head_weights
from wavefoundry.models.transformer import last_blocks
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram import points
from wavefoundry.studies.diagram.adapting import UNFINISHED, Adaptation, FullAdaptation, HeadAdaptation, optimised
from wavefoundry.studies.diagram.choice import best, gained
from wavefoundry.studies.diagram.mapper import Mapper, convergence_of
from wavefoundry.studies.diagram.plan import BASE
from wavefoundry.studies.diagram.points import WarmStart, adapt_point
from wavefoundry.studies.diagram.pretraining import Trainer
from wavefoundry.studies.diagram.records import Measured, Sampling, failed_record, point_record, zero_of
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output, Outputs, Task

TRAINED = ("blocks", "full")
SLOWER, SLOWEST = 0.3, 2
"""Of the learning rate after a training that gave nothing better: it was too fast for the state; and how often."""
ALL_STEPS = "all steps are used up"
BEATEN = "another sector is lower"
KEYS = {"zero-shot": 10, "head": 20, "blocks": 30, "full": 40}
"""Random keys of the rungs of a point are folded in from here on."""


class Start(NamedTuple):
    """A state that a rung goes on from: weights, configurations, and how its last training ended."""

    params: PyTree
    x: PyTree
    rest: Convergence | None


class Step(NamedTuple):
    """A rung: its kind, how many of that kind came before it, the steps of its training, how often it was slowed."""

    kind: str
    number: int = 0
    steps: int = 0
    slowed: int = 0

    @property
    def name(self) -> str:
        """``"full"``, ``"full-2"``."""
        return self.kind + (f"-{self.number + 1}" if self.number else "")


class Climb(NamedTuple):
    """How far a point has come.

    done: rungs that were climbed. missed: for every one of them what the target still lacks. kept: place of the best
    so far. next: what comes now, None at the end. end: why it ended. waits: whether rivals have to be heard first.
    """

    done: tuple[Step, ...] = ()
    missed: tuple[str, ...] = ()
    kept: int = 0
    next: Step | None = None
    end: str = ""
    waits: bool = False


Ahead = Callable[[int, Outputs], bool | None]
"""Whether a point is worth training in this sector; None as long as its rivals are not known."""


def missed(record: Mapping[str, Any], target: TargetTable, zero: float) -> str:
    """What of a target a state does not meet, in words; empty where it meets all of it.

    Args:
        record: of the state. target: limits. zero: energy of infinite temperature.
    """
    if record["energy"] is None:
        return "no number"
    distance, score = record["relative_error"], target.v_score
    if target.relative_error is not None and distance is None and score is None:
        score = target.relative_error  # nothing to be held against: the variance stands in
    bar = record["energy_error"] / max(abs(record["energy"] - zero), 1e-300)
    words = [
        f"{name} {value:.2g} > {limit:g}"
        for name, value, limit in (
            ("V-score", record["v_score"], score),
            ("relative error", distance, target.relative_error),
            ("error bar", bar, target.energy_error),
        )
        if limit is not None and value is not None and not value <= limit
    ]
    if not words and record["verdict"] == "refused":
        words = [f"refused ({', '.join(flag for flag in record['flags'] if flag.endswith('!'))})"]
    return "; ".join(words)


class LadderAdaptation(Adaptation):
    """Rung by rung, each from the best state so far; the arrays of rungs and points are all weights and samples."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        adapt, wavefunction = self.mapper.adapt, self.mapper.base.wavefunction
        self.target = adapt.target
        self.mask = last_blocks(wavefunction, adapt.last_blocks)
        self.kinds = [
            kind
            for kind in adapt.rungs
            if (kind != "head" or self.mapper.tunable) and (kind != "blocks" or self.mask is not None)
        ] or ["full"]
        self.params, self.static = eqx.partition(wavefunction, eqx.is_array)
        trace = self.mapper.base.system.trace
        self.zeros = [float(trace @ np.asarray(self._system(i).couplings)) for i in range(len(self.points))]
        self._trainers: dict[str, Trainer] = {}
        self.ahead: Ahead = lambda index, done: True

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """The rungs of every point as far as they are known; the point itself at the end of its climb."""
        found, waves = [], self._waves(only)
        climbs = {i: self.climb(i, done) for wave in waves for i in wave.points}
        usual = self._usual([climb for i, climb in climbs.items() if f"point/{i}" in done])
        for wave in waves:
            for i in wave.points:
                climb, names, known = climbs[i], [], 0.0
                for step in (*climb.done, *([climb.next] if climb.next else [])):
                    needs = (*self.after, *names) if names else self._needs(wave)
                    names.append(_name(i, step))
                    share = self._share(step)
                    known += share
                    found.append(Task(names[-1], needs, share, max(0.0, usual - known) if step is climb.next else 0.0))
                if climb.next is None and not climb.waits:
                    found.append(Task(f"point/{i}", (*self.after, *names), 1.0))
        return found

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of these tasks."""
        kind, index, *_ = name.split("/")
        if kind == "point":
            return self._point(int(index), done, progress)
        climb = self.climb(int(index), {key: output for key, output in done.items() if key != name})
        assert climb.next is not None
        return self._rung(int(index), climb.next, self._start(int(index), climb, done), progress)

    def climb(self, index: int, done: Outputs) -> Climb:
        """How far a point has come, from the records of its rungs alone."""
        zero = self.zeros[index]
        steps, records, words = [], [], []
        step, end = self._first(), ""
        while step is not None and (output := done.get(_name(index, step))) is not None:
            steps.append(step)
            records.append(output.record)
            words.append(missed(output.record, self.target, zero))
            kept = best(dict(enumerate(records)))
            if not words[kept]:
                step, end = None, "the target is met"
            else:
                before = records[best(dict(enumerate(records[:-1])))] if records[:-1] else None
                step, end = self._after(steps, before is None or gained(records[-1], before))
        waits = False
        if step is not None and step.kind in TRAINED and (ahead := self.ahead(index, done)) is not True:
            step, end, waits = None, BEATEN, ahead is None
        kept = best(dict(enumerate(records))) if records else 0
        return Climb(tuple(steps), tuple(words), kept, step, end, waits)

    def trial(self, index: int, done: Outputs) -> Output | None:
        """What the rungs that train nothing gave; None as long as some are missing, or where there are none."""
        found: list[Output] = []
        for kind in (kind for kind in self.kinds if kind not in TRAINED):
            output = done.get(_name(index, Step(kind)))
            if output is None:
                return None
            found.append(output)
            if not missed(output.record, self.target, self.zeros[index]):
                break
        return found[best(dict(enumerate(output.record for output in found)))] if found else None

    def _first(self) -> Step:
        kind = self.kinds[0]
        return Step(kind, 0, self._steps(kind, 0))

    def _steps(self, kind: str, spent: int) -> int:
        adapt = self.mapper.adapt
        return min(adapt.full_steps, (adapt.most_steps or adapt.full_steps) - spent) if kind in TRAINED else 0

    def _after(self, steps: list[Step], improved: bool) -> tuple[Step | None, str]:
        """The rung after those that were climbed, or why there is none."""
        last, spent = steps[-1], sum(step.steps for step in steps)
        left = (self.mapper.adapt.most_steps or 0) - spent
        if last.kind != self.kinds[-1]:
            kind = self.kinds[self.kinds.index(last.kind) + 1]
            count = self._steps(kind, spent)
            return (Step(kind, 0, count), "") if count > 0 or kind not in TRAINED else (None, ALL_STEPS)
        if last.kind != "full":
            return None, "there is no further rung"
        if left <= 0:
            return None, ALL_STEPS
        if improved:  # twice as long: what was spent in vain is never more than what was needed
            return Step("full", last.number + 1, min(2 * last.steps, left), last.slowed), ""
        if last.slowed == SLOWEST:
            return None, "more training gave nothing better"
        return Step("full", last.number + 1, min(last.steps, left), last.slowed + 1), ""

    def _usual(self, climbs: Collection[Climb]) -> float:
        """The work of a climb: the mean of those that have ended; 0 before the first."""
        return sum(self._share(step) for climb in climbs for step in climb.done) / max(len(climbs), 1)

    def _share(self, step: Step) -> float:
        trained = 3.0 * step.steps * (self.mapper.training.chains if self.mapper.training else 0)
        return self._work() + trained + (self.mapper.adapt.samples if step.kind == "head" else 0.0)

    def _start(self, index: int, climb: Climb, done: Outputs) -> Start:
        """The best state so far of a point; before its first rung that of the point it starts from."""
        parent = self._wave(index).parent
        if not climb.done and parent == BASE:
            base = self.mapper.base
            return Start(self.params, base.x, base.convergence)
        output = done[_name(index, climb.done[climb.kept]) if climb.done else f"point/{parent}"]
        params = tree.from_arrays(self.params, dict(output.arrays))
        rest = Convergence.of(output.record.get("convergence"))
        return Start(params, jnp.asarray(output.arrays["walkers"]), rest)

    def _rung(self, index: int, step: Step, start: Start, progress: Progress) -> Output:
        system, key = self._system(index), jax.random.fold_in(self._key(index), KEYS[step.kind] + step.number)
        try:
            if step.kind == "zero-shot":
                record, end = self._measured(system, step, start, key, progress)
            elif step.kind == "head":
                record, end = self._head(system, index, start, key, progress)
            else:
                record, end = self._trained(system, step, start, key, progress)
        except PhysicsError as error:
            progress.warn(str(error))
            record, end = failed_record(system, step.kind, progress.cost(), str(error)), start
        said = {name: record[name] for name in ("energy", "energy_error", "v_score")}
        said |= {"rung": step.name, "missed": missed(record, self.target, self.zeros[index])}
        place = self.place(progress)
        progress.emit({"event": "rung", "point": system.values, **place, **said})
        return Output(record, tree.to_arrays(end.params) | {"walkers": np.asarray(end.x)})

    def _measured(
        self, system: LatticeSystem, step: Step, start: Start, key: Array, progress: Progress, trained: bool = False
    ) -> tuple[dict[str, Any], Start]:
        """Fresh samples of a state as it is."""
        measured, acceptance, x = self.mapper.drawn(system, eqx.combine(start.params, self.static), start.x, key)
        rest = start.rest
        doubts = ([] if rest is None else rest.doubts()) if trained else self._inherited(rest)
        record = self._record(system, step.kind, measured, doubts, Sampling(acceptance), progress)
        return record | convergence_of(rest), start._replace(x=x)

    def _head(
        self, system: LatticeSystem, index: int, start: Start, key: Array, progress: Progress
    ) -> tuple[dict[str, Any], Start]:
        """The head on pools of this very backbone."""
        wavefunction: Wavefunction = eqx.combine(start.params, self.static)
        tools, head = self.mapper.tools.of(system, wavefunction), wavefunction.head
        weights = head.weights()  # type: ignore[attr-defined]
        if len(start.x) == tools.layout.chains * tools.layout.samples:  # samples of this state
            warm, acceptance = WarmStart(weights, start.x), None
            pool = tools.pool_of(warm)
        else:
            x, guide = self.mapper.spread(start.x, tools.layout.chains), self.mapper.guide(wavefunction, start.x)
            warm, pool, acceptance = tools.draw(weights, x, jax.random.fold_in(key, 10**6 + 1), guide)
        tuned = tools.tune(system, weights, system.couplings, pool, progress)
        event = {"point": system.values, **self.place(progress)}
        begin = points.Start(tuned, warm, pool, acceptance)
        outcome = adapt_point(tools, self.mapper.estimator, system, begin, key, progress, event)
        doubts = self._inherited(start.rest)
        if not outcome.converged:
            doubts.append(UNFINISHED)
        pooled = {"draws": outcome.draws, "ess_min": outcome.ess_min, "samples": len(outcome.pool.log_q)}
        sampling = Sampling(outcome.acceptance, pooled)
        record = self._record(system, "head", outcome.measured, doubts, sampling, progress)
        params = eqx.filter(with_head_weights(wavefunction, outcome.warm.weights), eqx.is_array)
        return record | convergence_of(start.rest), Start(params, outcome.warm.x, start.rest)

    def _trained(
        self, system: LatticeSystem, step: Step, start: Start, key: Array, progress: Progress
    ) -> tuple[dict[str, Any], Start]:
        """The last blocks, or all weights; by the full sum where the base was trained so."""
        trainer = self._trainer(step.kind).of_length(step.steps, SLOWER**step.slowed)
        chains = trainer.training.chains
        some = tree.rows(start.x, slice(None, None, max(1, len(jax.tree.leaves(start.x)[0]) // chains)))
        walkers = self.mapper.spread(some, chains)
        place = self.mapper.trained_on(system)
        params, x = optimised(trainer, jax.random.fold_in(key, 0), start.params, walkers, place, progress)
        rest = trainer.convergence(zero_of(system, system.couplings))
        after = Start(params, x if self.mapper.listed is None else start.x, rest)
        return self._measured(system, step, after, jax.random.fold_in(key, 1), progress, trained=True)

    def _trainer(self, kind: str) -> Trainer:
        if kind not in self._trainers:
            mask = self.mask if kind == "blocks" else tree.all_weights(self.params)
            assert self.mapper.training is not None
            self._trainers[kind] = Trainer(self.static, mask, self.mapper.training, self.mapper.base.system.sites)
        return self._trainers[kind]

    def _inherited(self, rest: Convergence | None) -> list[Doubt]:
        """What the training of a state hands down to it at other couplings."""
        doubts = [] if rest is None else rest.doubts("BASE-NOT-CONVERGED", "the training it starts from")
        return [doubt._replace(refuses=False) for doubt in doubts]

    def _record(
        self,
        system: LatticeSystem,
        kind: str,
        measured: Measured,
        doubts: list[Doubt],
        sampling: Sampling,
        progress: Progress,
    ) -> dict[str, Any]:
        return point_record(
            system,
            kind,
            measured,
            known=self.mapper.known(system),
            cost=progress.cost(),
            real_head=self.mapper.real_head,
            doubts=doubts,
            sampling=sampling,
        )

    def _point(self, index: int, done: Outputs, progress: Progress) -> Output:
        """The best rung, and how far the point has climbed."""
        climb = self.climb(index, done)
        outputs = [done[_name(index, step)] for step in climb.done]
        rows = [
            {"rung": step.name, "steps": step.steps}
            | {name: output.record[name] for name in ("energy", "energy_error", "v_score", "relative_error", "verdict")}
            | {"missed": words, "cost": output.cost.to_dict()}
            for step, words, output in zip(climb.done, climb.missed, outputs, strict=True)
        ]
        target = self.target.model_dump(exclude_none=True)
        ladder = {"target": target, "reached": not climb.missed[climb.kept], "end": climb.end}
        ladder |= {"kept": climb.done[climb.kept].name, "rungs": rows}
        cost = sum((output.cost for output in outputs), Cost()).to_dict()
        kept = outputs[climb.kept]
        return self._told(index, Output(kept.record | {"cost": cost, "ladder": ladder}, kept.arrays), progress)


def _name(index: int, step: Step) -> str:
    return f"rung/{index}/{step.name}"


def adaptation(
    mapper: Mapper,
    points: list[dict[str, float]],
    after: tuple[str, ...] = (),
    members: Sequence[int] | None = None,
) -> Adaptation:
    """The points by the method of the study; arguments as of ``Adaptation``."""
    kinds = {"head": HeadAdaptation, "auto": LadderAdaptation}
    return kinds.get(mapper.adapt.method, FullAdaptation)(mapper, points, after, members)
