"""Adaptation of the points of a diagram by head tuning on pools.

Every point starts from the head of its nearest neighbour and tunes it on the pool that neighbour was measured with.
The result is then measured on fresh samples of its own: these are the reported numbers, the next training pool if the
held-out part says that more can be had, and the pool of the neighbours farther out.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wavefoundry.adapt.head import Rules, Tuned, tuned_on
from wavefoundry.adapt.pool import Layout, Pool, fill, only_member, resample, sample, sample_listed
from wavefoundry.core import tree
from wavefoundry.core.devices import on_devices
from wavefoundry.core.types import Wavefunction
from wavefoundry.engine.guided import Guide
from wavefoundry.models.heads import with_head_weights
from wavefoundry.models.projection import Projected, listed
from wavefoundry.models.tables import tabled
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.observing import Amplitude
from wavefoundry.studies.diagram.pretraining import energy_unit
from wavefoundry.studies.diagram.records import Estimator, Measured, Moved, moved_on
from wavefoundry.studies.progress import Progress

WIDTH = 2
"""Heads tuned on one pool of another point: along a line of couplings, one on either side."""
SLOW = 2.0
"""Seconds after which the tuning of a head tells how far it is."""


class WarmStart(NamedTuple):
    """Where neighbours start from: a head with the configurations its pool consists of."""

    weights: Array  # (width+1, hidden)
    x: PyTree  # (M, ...) samples of this head

    def arrays(self) -> dict[str, np.ndarray]:
        """For the store."""
        return {"weights": np.asarray(self.weights), "walkers": np.asarray(self.x)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """What ``arrays`` gave."""
        return cls(jnp.asarray(arrays["weights"]), jnp.asarray(arrays["walkers"]))


@dataclasses.dataclass(frozen=True)
class HeadTools:
    """What head adaptation works with; the programs behind it are compiled once for all points."""

    wavefunction: Wavefunction
    family: LatticeSystem  # of one member: what the backbone is conditioned on
    layout: Layout
    rules: Rules
    rounds: int
    tolerance: float
    measurements: int  # pools that make up the final measurement
    states: Array | None = None  # all configurations, where samples are drawn from the list of them

    def of(self, system: LatticeSystem, wavefunction: Wavefunction) -> HeadTools:
        """Those for another state, which sees the couplings of ``system`` if it is conditioned.

        Of a projected one in a small system the features of all configurations are kept.
        """
        family = system.family([{}])
        if self.states is not None and isinstance(wavefunction, Projected):
            wavefunction = _listed(wavefunction, family, self.states, self.layout.chunk)
        return dataclasses.replace(self, wavefunction=wavefunction, family=family)

    def looking_up(self, system: LatticeSystem, wavefunction: Wavefunction) -> HeadTools:
        """Those for a state that is only measured: in a small system its amplitudes are looked up in a table."""
        family = system.family([{}])
        if self.states is None:
            wavefunction = wavefunction.without_features()
        else:
            wavefunction = _tabled(wavefunction, family, self.states, self.layout.chunk)
        return dataclasses.replace(self, wavefunction=wavefunction, family=family)

    def with_weights(self, weights: Array) -> Wavefunction:
        """The wavefunction with another head."""
        return with_head_weights(self.wavefunction, weights)

    def pool_of(self, warm: WarmStart) -> Pool:
        """Features of given samples; the same program whether a run is fresh or resumed."""
        return fill(self.with_weights(warm.weights), self.family, warm.x, self.layout.chunk)

    def draw(self, weights: Array, x: PyTree, key: Array, guide: Guide | None) -> tuple[WarmStart, Pool, float]:
        """Samples of a head from given starting configurations, with their features."""
        xs, acceptance = self.samples(self.with_weights(weights), x, key, guide)
        warm = WarmStart(weights, xs)
        return warm, self.pool_of(warm), acceptance

    def samples(self, wavefunction: Wavefunction, x: PyTree, key: Array, guide: Guide | None) -> tuple[PyTree, float]:
        """Samples of |psi|^2 and the acceptance rate: Markov chains from x, or drawn from the list of everything."""
        if self.states is not None:
            count = self.layout.chains * self.layout.samples
            return sample_listed(wavefunction, self.family, self.states, key, count, self.layout.chunk), 1.0
        assert guide is not None
        xs, acceptance = sample(wavefunction, self.family, x, key, guide, self.layout)
        return xs, float(acceptance)

    def fresh(self, weights: Array, old: Pool, key: Array) -> tuple[WarmStart, Pool, float]:
        """Samples of a head, started from an old pool re-sampled with the head's importance weights."""
        k_start, k_run = jax.random.split(key)
        x, guide = (old.x, None) if self.states is not None else self._restart(weights, old, k_start)
        return self.draw(weights, x, k_run, guide)

    def more(self, warm: WarmStart, pool: Pool, key: Array) -> Pool:
        """Further samples from the same chains."""
        x = tree.rows(warm.x, slice(self.layout.samples - 1, None, self.layout.samples))
        guide = None if self.states is not None else self._restart(warm.weights, pool, key)[1]
        return self.draw(warm.weights, x, key, guide)[1]

    def moved(self, wavefunction: Wavefunction, system: LatticeSystem, pool: Pool, key: Array) -> Moved:
        """Some samples of a pool moved on by the Hamiltonian of ``system``, with features, see ``engine.one_move``."""
        y, weight = moved_on(system, wavefunction.head, pool, key, self.layout.chains)  # type: ignore[arg-type]
        return Moved(fill(wavefunction, self.family, y, self.layout.chunk), weight)

    def measure(
        self, estimator: Estimator, wavefunction: Wavefunction, system: LatticeSystem, pools: list[Pool], key: Array
    ) -> Measured:
        """Everything that is reported of a state, from pools of its own |psi|^2.

        Args:
            estimator: compiled programs. wavefunction: the state. system: at the couplings to be measured.
            pools: drawn from the state. key: random key of the moves.
        """
        keys = jax.random.split(key, len(pools))
        moved = [self.moved(wavefunction, system, pool, k) for pool, k in zip(pools, keys, strict=True)]
        seen = eqx.tree_at(lambda s: s.couplings, self.family, self.family.couplings[0])
        state = Amplitude(wavefunction, seen, self.layout.chunk)
        return estimator.measure(wavefunction.head, np.asarray(system.couplings), pools, moved, state)  # type: ignore[arg-type]

    def _restart(self, weights: Array, old: Pool, key: Array) -> tuple[PyTree, Guide]:
        head: Any = self.with_weights(weights).head
        return resample(key, old, head, self.layout.chains, self.family.extent)

    def tune(
        self, system: LatticeSystem, start: Any, couplings: Array, pool: Pool, progress: Progress | None = None
    ) -> Tuned:
        """Tune a head on a pool, from given weights (width+1, hidden)."""
        # one precision, as tuned heads have it: a pre-trained float32 head would compile a program of its own
        begin = jnp.asarray(np.asarray(start, np.float64))
        # energies without a unit: the rates of the rules act on them
        unit = energy_unit(eqx.tree_at(lambda s: s.couplings, system, couplings))
        head: Any = self.wavefunction.head
        heard = None if progress is None else Heard(progress, self.rules.steps)
        tuned = tuned_on(system, head, begin, couplings / unit, pool, self.rules, heard)
        return tuned._replace(
            **{name: getattr(tuned, name) * unit for name in ("energy", "held_out", "gain", "gain_error")}
        )


class Heard:
    """Tells how far the tuning of a head is, where that takes a while.

    That Python comes to speak is what makes a signal heard at once. The tuning itself goes on to its end: what is saved
    is a tuned head, and a run that is given little time at a stretch has to come to one.
    """

    def __init__(self, progress: Progress, steps: int):
        self._progress, self._steps, self._told = progress, steps, time.monotonic()

    def __call__(self, step: int) -> None:
        """So many steps are made."""
        if time.monotonic() - self._told > SLOW:
            self._told = time.monotonic()
            self._progress.part("head, step", step, self._steps)


@eqx.filter_jit
@on_devices
def _listed(wavefunction: Wavefunction, family: LatticeSystem, states: Array, chunk: int) -> Wavefunction:
    return listed(wavefunction, only_member(family), states, chunk)


@eqx.filter_jit
@on_devices
def _tabled(wavefunction: Wavefunction, family: LatticeSystem, states: Array, chunk: int) -> Wavefunction:
    return tabled(wavefunction, only_member(family), states, chunk)


class Start(NamedTuple):
    """A head tuned for a point, and what it was tuned on: another state with its samples and their acceptance."""

    tuned: Tuned
    warm: WarmStart
    pool: Pool
    acceptance: float | None = None


class Outcome(NamedTuple):
    """An adapted point: measured numbers, the warm start it leaves behind, and how it went."""

    measured: Measured
    warm: WarmStart
    pool: Pool
    draws: int
    ess_min: float
    acceptance: float | None
    converged: bool


class Drawn(NamedTuple):
    """A head on fresh samples of its own."""

    warm: WarmStart
    pool: Pool
    energy: float
    error: float
    variance: float
    acceptance: float | None

    def better_than(self, other: Drawn) -> bool:
        """Lower by more than two error bars, or as low with no larger variance.

        A head that was fitted to noise has wide error bars, within which it would be as low as any.
        """
        bar = 2 * np.hypot(self.error, other.error)
        if not np.isfinite(other.energy):
            return True
        agree = self.energy <= other.energy + bar and not self.variance > other.variance
        return bool(self.energy < other.energy - bar or agree)

    def stored(self) -> tuple[dict[str, np.ndarray], list[float | None]]:
        """Arrays and numbers for a checkpoint; the pool is filled again."""
        return self.warm.arrays(), [self.energy, self.error, self.variance, self.acceptance]

    @classmethod
    def restored(cls, tools: HeadTools, arrays: Mapping[str, np.ndarray], numbers: Sequence[Any]) -> Self:
        """What ``stored`` gave."""
        warm = WarmStart.of(arrays)
        return cls(warm, tools.pool_of(warm), *numbers)


@dataclasses.dataclass
class Rounds:
    """Where the adaptation of a point stands: the next head, the last and the best one on their samples."""

    weights: Array
    pool: Pool
    ess: list[float]
    held_out: float
    draws: int = 0
    best: Drawn | None = None
    last: Drawn | None = None

    @classmethod
    def of(cls, tools: HeadTools, start: Start, progress: Progress) -> Self:
        """From the newest checkpoint of the task, or the start."""
        tuned, found = start.tuned, progress.restore()
        if found is None:
            return cls(tuned.weights, start.pool, [float(tuned.ess)], float(tuned.held_out))
        draws, arrays, meta = found
        last, best = (
            Drawn.restored(tools, {k: arrays[f"{name}/{k}"] for k in ("weights", "walkers")}, meta[name])
            for name in ("last", "best")
        )
        return cls(jnp.asarray(arrays["next"]), last.pool, meta["ess"], meta["held_out"], draws, best, last)

    def save(self, progress: Progress) -> None:
        """Checkpoint, and stop if that was asked for."""
        arrays, numbers = {"next": np.asarray(self.weights)}, {}
        for name, one in (("last", self.last), ("best", self.best)):
            assert one is not None
            mine, numbers[name] = one.stored()
            arrays |= {f"{name}/{k}": value for k, value in mine.items()}
        progress.save(self.draws, arrays, ess=self.ess, held_out=self.held_out, **numbers)


def adapt_point(
    tools: HeadTools,
    estimator: Estimator,
    system: LatticeSystem,
    start: Start,
    key: Array,
    progress: Progress,
    event: dict[str, Any],
) -> Outcome:
    """Measure a tuned head on fresh samples, and keep tuning on them for as long as held-out evidence says so.

    A head is final when tuning it further on its own fresh samples does not lower the held-out energy by more than
    twice the (paired) error or the tolerance. A head whose fresh samples are worse than those of the one before
    it, see ``Drawn.better_than``, is given up for that one; where all are worse than the untuned state, they are given
    up for this. The reported
    numbers come from samples drawn after the head was fixed.

    Args:
        tools, estimator: compiled programs. system: the family at this coupling. start: tuned head, and what it was
            tuned on.
        key: random key of this point. progress: of the task. event: fields added to the events.
    """
    couplings, converged = np.asarray(system.couplings), False
    rounds = Rounds.of(tools, start, progress)
    if rounds.best is None:
        rounds.best = _judged(tools, estimator, couplings, (start.warm, start.pool, start.acceptance))
    while True:
        fresh = tools.fresh(rounds.weights, rounds.pool, jax.random.fold_in(key, rounds.draws))
        now = _judged(tools, estimator, couplings, fresh)
        rounds.draws += 1
        worse = not now.better_than(rounds.best)
        rounds.last, rounds.pool = now, now.pool
        if not worse:
            rounds.best = now
        progress.emit(
            {"event": "round", **event, "round": rounds.draws, "energy": now.energy, "energy_error": now.error}
            | {"ess": rounds.ess[-1], "held_out": rounds.held_out}
        )
        if (worse and rounds.draws > 1) or rounds.draws >= tools.rounds:
            break
        tuned = tools.tune(system, rounds.weights, jnp.asarray(couplings), now.pool, progress)
        gain, error = float(tuned.gain), float(tuned.gain_error)
        rounds.held_out = float(tuned.held_out)
        if not np.isfinite(gain) or gain < max(2 * error, tools.tolerance * abs(now.energy)):
            converged = not worse
            break
        rounds.weights = tuned.weights
        rounds.ess.append(float(tuned.ess))
        if progress.due:
            rounds.save(progress)
    assert rounds.best is not None
    warm, pool = rounds.best.warm, rounds.best.pool
    keys = jax.random.split(jax.random.fold_in(key, 10**6), tools.measurements)
    pools = [pool, *(tools.more(warm, pool, k) for k in keys[1:])]
    measured = tools.measure(estimator, tools.with_weights(warm.weights), system, pools, keys[0])
    return Outcome(measured, warm, pool, rounds.draws, min(rounds.ess), rounds.best.acceptance, converged)


def _judged(
    tools: HeadTools, estimator: Estimator, couplings: np.ndarray, drawn: tuple[WarmStart, Pool, float | None]
) -> Drawn:
    """A head with its energy on samples of its own."""
    warm, pool, acceptance = drawn
    estimate = estimator.energy(tools.with_weights(warm.weights).head, couplings, pool)  # type: ignore[arg-type]
    return Drawn(warm, pool, estimate.mean, estimate.error, estimate.variance, acceptance)
