"""One training of a masked network, what it reaches, and the scores by which its weights are ranked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.adapt import compact
from wavefoundry.adapt.compact import Options, Rates
from wavefoundry.adapt.masks import Flags, Layout
from wavefoundry.adapt.surgeon import surgeon_scores, with_fan_in
from wavefoundry.core import convergence
from wavefoundry.core.convergence import Rest
from wavefoundry.core.devices import on_devices
from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.statistics import Estimate, energy_statistics, mean_and_error
from wavefoundry.core.types import System, Wavefunction

SURGEON_SHIFT = 1e-3
"""Added to the diagonal of the metric before its inverse ranks weights; larger ones hide what can be taken over."""
LARGEST_SURGEON = 4096
"""Most weights whose metric should be inverted."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """How every training of a study runs.

    tolerance: in a full sum, a training ends when a block gains less than this part of the energy. tail: part of the
    steps over which the learning rate falls to zero (sampled energies; a full sum needs none).
    """

    options: Options
    learning_rate: float = 0.05
    shift: float = 1e-3
    block: int = 50
    chains: int = 256
    tolerance: float = 0.0
    tail: float = 0.4
    burn_in: int = 10
    eval_chains: int = 64
    eval_samples: int = 32  # per chain


class Cut(NamedTuple):
    """What the scores have to know of a cut: its size, and how many weights a unit should keep (0: any)."""

    fraction: float
    fan_in: int = 0


class FitState(NamedTuple):
    """A training between two blocks: all that is needed to go on bit for bit."""

    done: int
    state: compact.State
    energies: list[float]  # one per block
    tail: list[float]  # one per step, of the last steps alone


Report = Callable[[FitState], Any]


class Trained(NamedTuple):
    """What a training leaves."""

    theta: Float[np.ndarray, " P"]
    steps: int
    rollbacks: int
    energies: list[float]  # one per block
    rest: Rest | None = None  # slope at the end; None: too short to tell


class Measured(NamedTuple):
    """A state and its numbers: all configurations with their probabilities, or fresh samples."""

    theta: Float[np.ndarray, " P"]
    estimate: Estimate
    terms: Float[np.ndarray, " terms"]
    magnetisation: tuple[float, float, float]  # <m>, <|m|>, <m^2> per site
    xs: Array | None  # samples; None for the full sum
    log: Float[np.ndarray, " S"]  # log|psi| on them
    errors: tuple[Float[np.ndarray, " terms"], Float[np.ndarray, " 3"]]  # standard errors of terms and magnetisations


class Trainer:
    """Trains and measures networks of one shape for one system; every program is compiled once per padded length.

    Args:
        network: gives the structure; its weights do not matter.
        system: an ``EnumeratedSystem`` for the full sum, else a lattice system that is sampled.
        rules: settings.
        listed: the enumerated system when training samples but measurements should be exact.
    """

    def __init__(self, network: Wavefunction, system: Any, rules: Rules, listed: Any = None):
        self.network, self.system, self.rules = network, system, rules
        self.full_sum = rules.options.moves == 0
        self.listed = system if self.full_sum else listed
        self.sites = (system.lattice if self.full_sum else system).sites
        self.total = int(compact.vector(network).shape[0])

    def at(self, **couplings: float) -> Trainer:
        """The same for other couplings; nothing is compiled anew."""

        def moved(system: Any) -> Any:
            if not hasattr(system, "lattice"):
                return system.at(**couplings)
            return eqx.tree_at(lambda s: s.lattice, system, system.lattice.at(**couplings))

        listed = None if self.listed is None or self.full_sum else moved(self.listed)
        return Trainer(self.network, moved(self.system), self.rules, listed)

    def fit(
        self,
        theta: np.ndarray,
        trained: Flags,
        steps: int,
        key: PRNGKeyArray,
        report: Report = lambda _: None,
        going_on: Callable[[compact.State], FitState | None] = lambda _: None,
    ) -> Trained:
        """Optimise the weights ``trained``; all others keep their values bit for bit.

        Args:
            theta: all weights. trained: which of them move. steps: at most. key: of the samples.
            report: called after every block.
            going_on: gives the progress of an interrupted training, for a state of the same shape; None starts anew.

        Raises:
            PhysicsError: the energy was never finite.
        """
        rules = self.rules
        index = jnp.asarray(compact.padded(trained, self.total))
        walkers = None if self.full_sum else compact.chains(key, self.system, rules.chains)
        fresh = compact.start(jnp.asarray(theta), walkers)
        found = going_on(fresh)
        if found is None and walkers is not None:
            walkers = _thermalised(self.network, self.system, fresh.theta, walkers, rules.options, rules.burn_in)
            fresh = fresh._replace(walkers=walkers)
        done, state, energies, tail = found or FitState(0, fresh, [], [])
        while done < steps and not self._converged(energies):
            size = min(rules.block, steps - done)
            state, trace = compact.block(
                self.network, self.system, index, state, self._rates(done, size, steps), rules.options
            )
            done += size
            energies.append(float(trace.energy[-1]) if self.full_sum else float(jnp.mean(trace.energy)))
            tail = [*tail, *np.asarray(trace.energy, float).tolist()][-convergence.kept(steps) :]
            report(FitState(done, state, energies, tail))
        best = state.theta if not self.full_sum else self._better(state)
        if not np.any(np.isfinite(energies)) or not bool(jnp.all(jnp.isfinite(best))):
            raise PhysicsError(
                "local energies are not finite\n  fix:   lower the learning rate, or raise the diagonal shift"
            )
        return Trained(np.asarray(best), done, int(state.rollbacks), energies, convergence.rest(tail, done))

    def _converged(self, energies: list[float]) -> bool:
        """Whether the last block of a full sum gained next to nothing."""
        if not self.full_sum or len(energies) < 2:
            return False
        return abs(energies[-2] - energies[-1]) < self.rules.tolerance * abs(energies[-1])

    def _rates(self, done: int, size: int, steps: int) -> Rates:
        tail = 0.0 if self.full_sum else self.rules.tail
        left = (steps - (done + jnp.arange(size))) / max(tail * steps, 1e-9)
        return Rates(self.rules.learning_rate * jnp.minimum(1.0, left), jnp.full(size, self.rules.shift))

    def _better(self, state: compact.State) -> Array:
        """The last weights unless their energy is above that of the last accepted ones."""
        energy = _exact_energy(self.network, self.system, state.theta, self.rules.options)
        return jnp.where(energy <= state.energy, state.theta, state.good)

    def measure(self, theta: np.ndarray, key: PRNGKeyArray) -> Measured:
        """Energy, terms and magnetisations, by the full sum or from fresh samples."""
        rules, weights = self.rules, jnp.asarray(theta)
        walkers, options, system = None, rules.options, self.system if self.listed is None else self.listed
        if self.listed is None:
            walkers = compact.chains(key, self.system, rules.eval_chains)
            walkers = _thermalised(self.network, self.system, weights, walkers, options, 2 * rules.burn_in)
            options = options._replace(samples=rules.eval_samples)
        xs, weight, terms, log = map(np.asarray, _measure(self.network, system, weights, walkers, options))
        local = terms @ np.asarray(self.system.couplings)
        m = xs.mean(axis=1, dtype=np.float64)
        magnetisation = (float(weight @ m), float(weight @ np.abs(m)), float(weight @ m**2))
        if self.listed is not None:
            estimate, errors = (
                energy_statistics(local, self.sites, weights=weight),
                (np.zeros(terms.shape[1]), np.zeros(3)),
            )
            return Measured(theta, estimate, np.real(weight @ terms), magnetisation, None, log, errors)

        def by_chain(values: np.ndarray) -> np.ndarray:
            return values.reshape(rules.eval_samples, rules.eval_chains).T

        def bars(columns: Any) -> np.ndarray:
            return np.array([mean_and_error(by_chain(column))[1] for column in columns])

        estimate, errors = energy_statistics(by_chain(local), self.sites), (bars(terms.T), bars((m, np.abs(m), m**2)))
        return Measured(theta, estimate, np.real(weight @ terms), magnetisation, jnp.asarray(xs), log, errors)

    def fidelity(self, a: Measured, b: Measured) -> float:
        """|<a|b>|^2 / (<a|a> <b|b>) of two positive states: exact for the full sum, else estimated.

        The estimate is the product of two means, mean_a[psi_b / psi_a] mean_b[psi_a / psi_b], and can exceed one.
        """
        if self.listed is not None:
            return math.exp(2 * _log_sum(a.log + b.log) - _log_sum(2 * a.log) - _log_sum(2 * b.log))
        chunk = self.rules.options.chunk
        assert a.xs is not None and b.xs is not None  # sampled states keep their samples
        b_on_a = np.asarray(_logs(self.network, self.system, jnp.asarray(b.theta), a.xs, chunk))
        a_on_b = np.asarray(_logs(self.network, self.system, jnp.asarray(a.theta), b.xs, chunk))
        forward, backward = b_on_a - a.log, a_on_b - b.log
        return math.exp(_log_sum(forward) + _log_sum(backward) - math.log(len(forward)) - math.log(len(backward)))

    def scores(
        self, where: Layout, theta: np.ndarray, mask: Flags, kind: str, key: PRNGKeyArray, cut: Cut
    ) -> Float[np.ndarray, " P"]:
        """What each surviving weight is worth; the smallest go first.

        Args:
            where: prunable layers. theta: trained weights. mask: survivors.
            kind: "magnitude" |w|; "random"; "curvature" w^2 S_kk, the change of the state when the weight goes;
                "surgeon", the same with the others adjusting, one removal after the other (``adapt.surgeon``).
            key: for "random", and for the samples of the metric.
            cut: part of the survivors that will go, and the fan-in rule.

        Source: curvature is optimal brain damage (LeCun, Denker and Solla, 1990) with the quantum geometric tensor S as
        the Hessian.
        """
        if kind == "magnitude":
            size = np.abs(theta)
            return with_fan_in(where, theta, mask, size, cut.fan_in) if cut.fan_in else size
        if kind == "random":
            return np.asarray(jax.random.uniform(key, (where.total,)))
        chosen = mask & where.prunable
        count = int(np.sum(chosen))
        index = compact.padded(chosen, self.total)
        diagonal, inverse = self.metric(theta, index, key, kind == "surgeon")
        if kind == "surgeon":
            metric = (diagonal[:count], inverse[:count, :count])
            return surgeon_scores(where, theta, mask, metric, cut.fraction, cut.fan_in)
        score, place = np.zeros(self.total), index[:count]
        score[place] = theta[place] ** 2 * diagonal[:count]
        return with_fan_in(where, theta, mask, score, cut.fan_in) if cut.fan_in else score

    def metric(self, theta: np.ndarray, index: np.ndarray, key: PRNGKeyArray, inverse: bool) -> tuple:
        """Diagonal of the metric S, and (S + SURGEON_SHIFT)^-1 if wanted, for the weights of a padded index."""
        walkers = None
        if not self.full_sum:
            walkers = compact.chains(key, self.system, self.rules.chains)
            walkers = _thermalised(
                self.network, self.system, jnp.asarray(theta), walkers, self.rules.options, self.rules.burn_in
            )
        args = (jnp.asarray(theta), jnp.asarray(index), walkers, self.rules.options, inverse)
        diagonal, matrix = map(np.asarray, _metric(self.network, self.system, *args))
        # on the host: XLA takes seconds to compile an inverse, for every padded length
        return diagonal, np.linalg.inv(matrix + SURGEON_SHIFT * np.eye(len(matrix))) if inverse else matrix


def _log_sum(values: np.ndarray) -> float:
    top = float(np.max(values))
    return top + math.log(float(np.sum(np.exp(values - top))))


@eqx.filter_jit
@on_devices
def _thermalised(network: Any, system: System, theta: Array, walkers: Any, options: Options, times: int) -> Any:
    long = options._replace(moves=options.moves * times, samples=1)
    return compact.draw(compact.with_vector(network, theta), system, walkers, long)[1]


@eqx.filter_jit
@on_devices
def _exact_energy(network: Any, system: System, theta: Array, options: Options) -> Array:
    found = compact.evaluate(compact.with_vector(network, theta), system, None, options)
    return jnp.real(jnp.sum(found.batch.weight * (found.terms @ system.couplings)))


@eqx.filter_jit
@on_devices
def _measure(network: Any, system: System, theta: Array, walkers: Any, options: Options) -> tuple:
    found = compact.evaluate(compact.with_vector(network, theta), system, walkers, options)
    return found.batch.x, found.batch.weight, found.terms, found.log


@eqx.filter_jit
@on_devices
def _logs(network: Any, system: System, theta: Array, xs: Array, chunk: int) -> Array:
    return compact.log_amplitudes(compact.with_vector(network, theta), system, xs, chunk)


@eqx.filter_jit
@on_devices
def _metric(
    network: Any, system: Any, theta: Array, index: Array, walkers: Any, options: Options, whole: bool
) -> tuple[Array, Array]:
    wavefunction = compact.with_vector(network, theta)
    batch, _ = compact.draw(wavefunction, system, walkers, options)
    rows = compact.metric_rows(wavefunction, system, batch, index, options.chunk)
    diagonal = jnp.sum(rows**2, axis=0)
    return diagonal, rows.T @ rows if whole else diagonal
