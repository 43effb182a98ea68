"""Observables of a state from the samples that its energy is measured on, whatever kind of estimator they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.mixtures import mixed_mean, ratio
from wavefoundry.core.statistics import mean_and_error
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.problems.local_values import local_values, operators_of
from wavefoundry.problems.measures import Diagonal, Local, Swap
from wavefoundry.problems.observables import diagonal_values, measures_of
from wavefoundry.problems.spins import LatticeSystem

ENOUGH = 512
"""Samples that off-diagonal observables are measured on, at least: each asks the network far more often."""
SHIFTS = 4
"""Pairs of copies made of every sample of two chains."""
VAGUE = 0.25
"""Relative error of Tr rho^2 above which its logarithm says nothing."""


class Amplitude(NamedTuple):
    """A state as a function of configurations: a network, and the system whose couplings it may be given.

    chunk: configurations evaluated at a time.
    """

    wavefunction: Wavefunction
    system: LatticeSystem
    chunk: int

    def partial(self) -> Any:
        """Psi of one configuration, a pytree."""
        return jax.tree_util.Partial(_amplitude, self.wavefunction.without_features(), self.system)


class Drawn(NamedTuple):
    """Samples of a state, chain by chain, see ``core.mixtures``.

    x: (chains, n, sites). own: of |psi|^2, in each chain; the others are such that were moved on. amplitude: |psi| /
    sqrt(q), (chains, n). energy: (H psi) / sqrt(q), (chains, n).
    """

    x: np.ndarray
    own: int
    amplitude: np.ndarray
    energy: np.ndarray

    def residual(self) -> np.ndarray:
        """Psi (H - E) psi / q of all samples, of mean zero, over the mean of the weights."""
        mean, _, _ = ratio(np.real(self.energy) * self.amplitude, self.amplitude**2)
        return self.amplitude * (self.energy - mean * self.amplitude) / np.mean(self.amplitude**2)

    def thinned(self, enough: int) -> Drawn:
        """Every so many samples of a chain, with the same share of moved ones; at least ``enough`` in all."""
        chains, n = self.amplitude.shape
        moved = n - self.own
        common = math.gcd(self.own, moved) if moved else self.own
        most = min(max(1, chains * n // enough), common)
        step = max(k for k in range(1, most + 1) if common % k == 0)
        kept = np.arange(step - 1, n, step)
        return Drawn(self.x[:, kept], self.own // step, self.amplitude[:, kept], self.energy[:, kept])


class Observed(NamedTuple):
    """A sampled expectation value; deviation: standard deviation of the observable in |psi|^2.

    drift: -2 Cov(O, H), its rate of change in imaginary time, nan where samples do not tell it, see ``trust``.
    at: where a largest value was found. why: what makes the number useless, empty where nothing does.
    """

    value: float
    error: float
    deviation: float
    drift: float = math.nan
    at: str = ""
    why: str = ""


class Observer:
    """Measures what is asked for.

    Args:
        system: any member of the family. chains: rows of all samples. wanted: names of observables, or True, or False.
    """

    def __init__(self, system: LatticeSystem, chains: int, wanted: bool | Sequence[str]):
        self.chains = chains
        self.wanted = wanted if isinstance(wanted, bool) else tuple(wanted)
        measures = measures_of(system, wanted)
        self.diagonal = [one for one in measures if isinstance(one, Diagonal)]
        self.local = [one for one in measures if isinstance(one, Local)]
        self.swap = [one for one in measures if isinstance(one, Swap)]
        rule = None if system.sublattice is None else np.asarray(system.sublattice)
        terms = [term for one in self.local for term in one.terms]
        self.operators = operators_of(terms, rule) if terms else None

    def measure(self, state: Amplitude, drawn: Drawn) -> dict[str, Observed]:
        """Everything that is asked for, by name.

        Args:
            state: its amplitudes. drawn: its samples.
        """
        found: dict[str, Observed] = {}
        if self.diagonal:
            flat = jnp.asarray(drawn.x.reshape(-1, drawn.x.shape[-1]))
            table = np.asarray(diagonal_values(state.system, self.wanted, flat)).reshape(*drawn.amplitude.shape, -1)
            found |= self._diagonal(table, drawn.amplitude, np.real(drawn.residual()))
        if self.operators is not None:
            some = drawn.thinned(ENOUGH)
            xs = jnp.asarray(some.x.reshape(-1, some.x.shape[-1]))
            values = np.asarray(local_values(self.operators, state.partial(), xs, state.chunk))
            found |= self._local(values.reshape(*some.amplitude.shape, -1), some)
        for one in self.swap:
            found[one.names[0]] = _entropy(one, state, drawn)
        return found

    def _diagonal(self, table: np.ndarray, amplitude: np.ndarray, residual: np.ndarray) -> dict[str, Observed]:
        found: dict[str, Observed] = {}
        start = 0
        for one in self.diagonal:
            end = start + len(one.names)
            mine = table[..., start:end]
            start = end
            if one.peak:
                found[one.peak] = _peak(one.names, mine, amplitude, residual)
                continue
            drifts = -2 * np.mean(mine * residual[..., None], axis=(0, 1))
            for k, name in enumerate(one.names):
                found[name] = Observed(*mixed_mean(mine[..., k], amplitude), float(drifts[k]))
            second = next((name for name in one.names if name.endswith("m2")), None)
            if second is not None:
                m2, m4 = (mine[..., one.names.index(name)] for name in (second, second.replace("m2", "m4")))
                if np.any(m2):  # in a sector of no magnetisation there is no ratio
                    found[second.replace("m2", "binder")] = _binder(m2, m4, amplitude, residual)
        return found

    def _local(self, values: np.ndarray, drawn: Drawn) -> dict[str, Observed]:
        """From local values (chains, samples, T): of linear observables, and of products of two operators.

        Of squares of an order the deviation is about their mean; local values do not tell it.
        """
        found: dict[str, Observed] = {}
        start, amplitude = 0, drawn.amplitude
        forces = np.conj(values) * drawn.residual()[..., None]
        for one in self.local:
            mine, force = (table[..., start : start + len(one.terms)] for table in (values, forces))
            start += len(one.terms)
            nothing = np.asarray(one.combine(jnp.zeros(len(one.terms), complex)))  # a linear one may have a constant
            drifts = -2 * (np.asarray(one.combine(jnp.asarray(force.mean(axis=(0, 1))))) - nothing)
            scaled = mine if one.order == 1 else mine * amplitude[..., None]
            flat = jnp.asarray(scaled.reshape(-1, scaled.shape[-1]))
            table = np.asarray(jax.vmap(one.combine)(flat)).reshape(*amplitude.shape, -1)
            for k, name in enumerate(one.names):
                if one.order == 1:
                    found[name] = Observed(*mixed_mean(table[..., k], amplitude), float(drifts[k]))
                else:
                    mean, error, _ = ratio(table[..., k], amplitude**2)
                    found[name] = Observed(mean, error, abs(mean))
        return found


def _peak(names: Sequence[str], table: np.ndarray, amplitude: np.ndarray, residual: np.ndarray) -> Observed:
    """The largest of several means; each half of the chains is measured where the other half sees the largest.

    The largest of means over the same samples would lie too high.
    """
    means = (table * amplitude[..., None] ** 2).mean(axis=1)
    tops = [int(np.argmax(means[1 - half :: 2].mean(axis=0))) for half in (0, 1)]
    chosen = table[..., tops[0]].copy()
    chosen[1::2] = table[1::2, :, tops[1]]
    drift = -2 * float(np.mean(chosen * residual))
    return Observed(*mixed_mean(chosen, amplitude), drift, names[int(np.argmax(means.mean(axis=0)))])


def _binder(m2: np.ndarray, m4: np.ndarray, amplitude: np.ndarray, residual: np.ndarray) -> Observed:
    """1 - <m^4> / (3 <m^2>^2); both moments fluctuate together, so that its error bar is not that of either."""
    weight = amplitude**2
    (second, _, d2), (fourth, _, d4) = (ratio(x * weight, weight) for x in (m2, m4))
    along = 2 * fourth / (3 * second**3), -1 / (3 * second**2)
    drift = -2 * float(np.mean((along[0] * m2 + along[1] * m4) * residual))
    influence = along[0] * d2 + along[1] * d4
    return Observed(1 - fourth / (3 * second**2), mean_and_error(influence)[1], float(influence.std()), drift)


def _amplitude(wavefunction: Wavefunction, system: LatticeSystem, x: Array) -> Psi:
    return wavefunction(system, x)


@eqx.filter_jit
@on_devices
def _swapped(amplitude: Any, system: LatticeSystem, x: Array, y: Array, region: Array, chunk: int) -> Array:
    """Real part of psi(y_A x_B) psi(x_A y_B) / (psi(x) psi(y)) of pairs, (M,); a sign rule drops out of it."""

    def log(at: Array) -> Array:
        psi = amplitude(at)
        inside = system.hilbert.constraint(at[None])[0] if system.hilbert.constrained else True
        return jnp.stack([jnp.where(inside, psi.log.astype(jnp.float64), -jnp.inf), psi.phase.astype(jnp.float64)])

    def pair(a: Array, b: Array) -> Array:
        there = log(jnp.where(region, b, a)) + log(jnp.where(region, a, b))
        here = log(a) + log(b)
        return jnp.exp(there[0] - here[0]) * jnp.cos(there[1] - here[1])

    return mapped(lambda ab: pair(*ab), (x, y), chunk)


def _entropy(one: Swap, state: Amplitude, drawn: Drawn) -> Observed:
    """Renyi-2 entropy from pairs of independent chains."""
    count = drawn.own
    half, shifts = len(drawn.x) // 2, sorted({s * count // SHIFTS for s in range(SHIFTS)})

    def paired(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second = table[:half, :count], table[half : 2 * half, :count]
        second = [np.roll(second, s, axis=1) for s in shifts]
        return np.concatenate([first] * len(shifts), axis=1), np.concatenate(second, axis=1)

    x, y = paired(drawn.x)
    flat_x, flat_y = (jnp.asarray(a.reshape(-1, a.shape[-1])) for a in (x, y))
    terms = np.asarray(_swapped(state.partial(), state.system, flat_x, flat_y, jnp.asarray(one.region), state.chunk))
    terms = terms.reshape(half, -1)
    mean, error = mean_and_error(terms)
    if not mean > 0 or error > VAGUE * mean:
        why = f"Tr rho^2 = {mean:.2g} +- {error:.1g}: too few samples for its logarithm"
        return Observed(-math.log(mean) if mean > 0 else math.nan, math.inf, math.nan, why=why)
    local = np.real(drawn.energy[:, :count] / drawn.amplitude[:, :count])
    a, b = paired(local - local.mean())
    drift = 2 * float(np.mean((terms - mean) * (a + b))) / mean
    return Observed(-math.log(mean), error / mean, float(terms.std()) / mean, drift)
