"""Adaptation of the points of a diagram by head tuning on pools.

Every point starts from the head of its nearest neighbour and tunes it on the pool that neighbour was measured with.
The result is then measured on fresh samples of its own: these are the reported numbers, the next training pool if the
held-out part says that more can be had, and the pool of the neighbours farther out.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from wavefoundry.adapt.head import Rules, Tuned, tune_many
from wavefoundry.adapt.pool import Layout, Pool, fill, resample, sample, sample_listed
from wavefoundry.core import tree
from wavefoundry.core.types import Wavefunction
from wavefoundry.engine.guided import Guide
from wavefoundry.models.heads import with_head_weights
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.context import Context
from wavefoundry.studies.pretraining import energy_unit
from wavefoundry.studies.records import MOVED, Estimator, Measured, moved_on

WIDTH = 2
"""Heads tuned at once on one pool: along a line of couplings, one on either side."""


class Frontier(NamedTuple):
    """Where neighbours start from: a head with the configurations its pool consists of."""

    weights: Array  # (width+1, hidden)
    x: PyTree  # (M, ...) samples of this head


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

    def with_weights(self, weights: Array) -> Wavefunction:
        """The wavefunction with another head."""
        return with_head_weights(self.wavefunction, weights)

    def pool_of(self, frontier: Frontier) -> Pool:
        """Features of given samples; the same program whether a run is fresh or resumed."""
        return fill(self.with_weights(frontier.weights), self.family, frontier.x, self.layout.chunk)

    def draw(self, weights: Array, x: PyTree, key: Array, guide: Guide | None) -> tuple[Frontier, Pool, float]:
        """Samples of a head from given starting configurations, with their features."""
        xs, acceptance = self.samples(self.with_weights(weights), x, key, guide)
        frontier = Frontier(weights, xs)
        return frontier, self.pool_of(frontier), acceptance

    def samples(self, wavefunction: Wavefunction, x: PyTree, key: Array, guide: Guide | None) -> tuple[PyTree, float]:
        """Samples of |psi|^2 and the acceptance rate: Markov chains from x, or drawn from the list of everything."""
        if self.states is not None:
            count = self.layout.chains * self.layout.samples
            return sample_listed(wavefunction, self.family, self.states, key, count, self.layout.chunk), 1.0
        assert guide is not None
        xs, acceptance = sample(wavefunction, self.family, x, key, guide, self.layout)
        return xs, float(acceptance)

    def fresh(self, weights: Array, old: Pool, key: Array) -> tuple[Frontier, Pool, float]:
        """Samples of a head, started from an old pool re-sampled with the head's importance weights."""
        k_start, k_run = jax.random.split(key)
        x, guide = (old.x, None) if self.states is not None else self._restart(weights, old, k_start)
        return self.draw(weights, x, k_run, guide)

    def more(self, frontier: Frontier, pool: Pool, key: Array) -> Pool:
        """Further samples from the same chains."""
        x = jax.tree.map(lambda a: a[self.layout.samples - 1 :: self.layout.samples], frontier.x)
        guide = None if self.states is not None else self._restart(frontier.weights, pool, key)[1]
        return self.draw(frontier.weights, x, key, guide)[1]

    def moved(self, wavefunction: Wavefunction, system: LatticeSystem, pool: Pool, key: Array) -> Pool:
        """Some samples of a pool moved on by the Hamiltonian of ``system``, with features, see ``engine.one_move``."""
        per_chain = self.layout.samples // MOVED * MOVED
        x = pool.x.reshape(self.layout.chains, self.layout.samples, -1)[:, MOVED - 1 : per_chain : MOVED]
        y = moved_on(system, x.reshape(-1, x.shape[-1]), key)
        return fill(wavefunction, self.family, y, self.layout.chunk)

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
        return estimator.measure(wavefunction.head, np.asarray(system.couplings), pools, moved)  # type: ignore[arg-type]

    def _restart(self, weights: Array, old: Pool, key: Array) -> tuple[PyTree, Guide]:
        head: Any = self.with_weights(weights).head
        return resample(key, old, head, self.layout.chains, self.family.extent)

    def tune(
        self, system: LatticeSystem, starts: list[Array], couplings: list[Array], pool: Pool, wide: bool = False
    ) -> list[Tuned]:
        """Tune several heads on one pool; one head alone or padded to a fixed width: two programs at most.

        Args:
            wide: pad even a single head, so that the wider program is compiled now and not later.
        """
        width = 1 if len(starts) == 1 and not wide else WIDTH
        pad = [0] * (width - len(starts))
        # one precision, as tuned heads have it: a pre-trained float32 head would compile a program of its own
        heads = [jnp.asarray(np.asarray(start, np.float64)) for start in starts]
        a, c = (jnp.stack([*values, *[values[0] for _ in pad]]) for values in (heads, couplings))
        # energies without a unit: the rates of the rules act on them
        units = jnp.array([energy_unit(eqx.tree_at(lambda s: s.couplings, system, one)) for one in c])
        tuned = tune_many(system, self.wavefunction.head, a, c / units[:, None], pool, self.rules)  # type: ignore[arg-type]
        scaled = {name: getattr(tuned, name) * units for name in ("energy", "held_out", "gain", "gain_error")}
        tuned = tuned._replace(**scaled)
        return [tree.take(tuned, i) for i in range(len(starts))]


class Outcome(NamedTuple):
    """An adapted point: measured numbers, the frontier it leaves behind, and how it went."""

    measured: Measured
    frontier: Frontier
    pool: Pool
    draws: int
    ess_min: float
    acceptance: float
    converged: bool


def adapt_point(
    tools: HeadTools,
    estimator: Estimator,
    system: LatticeSystem,
    start: tuple[Tuned, Pool],
    key: Array,
    context: Context,
    event: dict[str, Any],
) -> Outcome:
    """Measure a tuned head on fresh samples, and keep tuning on them for as long as held-out evidence says so.

    A head is final when tuning it further on its own fresh samples does not lower the held-out energy by more than
    twice the (paired) error or the tolerance. The reported numbers come from samples drawn after the head was fixed.

    Args:
        tools, estimator: compiled programs. system: the family at this coupling.
        start: tuned head and the pool it was tuned on.
        key: random key of this point. context: events. event: fields added to them.
    """
    tuned, pool = start
    weights, ess, draws, converged = tuned.weights, [float(tuned.ess)], 0, False
    best: tuple[Any, Frontier, Pool, float] | None = None
    couplings = np.asarray(system.couplings)
    while True:
        frontier, pool, acceptance = tools.fresh(weights, pool, jax.random.fold_in(key, draws))
        draws += 1
        estimate = estimator.energy(tools.with_weights(weights).head, couplings, pool)  # type: ignore[arg-type]
        worse = best is not None and estimate.mean > best[0].mean + 2 * np.hypot(estimate.error, best[0].error)
        if not worse:
            best = (estimate, frontier, pool, acceptance)
        context.emit(
            {"event": "round", **event, "round": draws, "energy": estimate.mean, "energy_error": estimate.error}
            | {"ess": ess[-1], "held_out": float(tuned.held_out)}
        )
        if worse or draws >= tools.rounds:
            break
        (tuned,) = tools.tune(system, [weights], [jnp.asarray(couplings)], pool)
        gain, error = float(tuned.gain), float(tuned.gain_error)
        if not np.isfinite(gain) or gain < max(2 * error, tools.tolerance * abs(estimate.mean)):
            converged = True
            break
        weights = tuned.weights
        ess.append(float(tuned.ess))
    assert best is not None
    _, frontier, pool, acceptance = best
    keys = jax.random.split(jax.random.fold_in(key, 10**6), tools.measurements)
    pools = [pool, *(tools.more(frontier, pool, k) for k in keys[1:])]
    measured = tools.measure(estimator, tools.with_weights(frontier.weights), system, pools, keys[0])
    return Outcome(measured, frontier, pool, draws, min(ess), acceptance, converged)
