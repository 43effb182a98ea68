"""Observables of a state from the samples that its energy is measured on, whatever kind of estimator they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry.core.mixtures import mixed_mean, ratio
from wavefoundry.core.statistics import mean_and_error
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.problems.local_values import local_values, operators_of
from wavefoundry.problems.measures import Diagonal, Local, Swap
from wavefoundry.problems.observables import measures_of
from wavefoundry.problems.spins import LatticeSystem

ENOUGH = 512
"""Samples that off-diagonal observables are measured on, at least: each asks the network far more often."""
SHIFTS = 4
"""Pairs of copies made of every sample of two chains."""
VAGUE = 0.25
"""Relative error of Tr rho^2 above which its logarithm says nothing."""


class Observed(NamedTuple):
    """A sampled expectation value; deviation: standard deviation of the observable in |psi|^2.

    at: where a largest value was found. why: what makes the number useless, empty where nothing does.
    """

    value: float
    error: float
    deviation: float
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

    def measure(
        self,
        wavefunction: Wavefunction,
        system: LatticeSystem,
        drawn: np.ndarray,
        moved: np.ndarray,
        amplitude: np.ndarray,
        chunk: int,
    ) -> dict[str, Observed]:
        """Everything that is asked for, by name.

        Args:
            wavefunction: the state. system: at its couplings. drawn: samples of |psi|^2, (chains, n, sites). moved:
                those that were moved on, (chains, m, sites). amplitude: of all, drawn first, see ``core.mixtures``.
            chunk: configurations evaluated at a time.
        """
        every = np.concatenate([drawn, moved], axis=1)
        found: dict[str, Observed] = {}
        if self.diagonal:
            table = np.asarray(_diagonal(system, self.wanted, jnp.asarray(every.reshape(-1, every.shape[-1]))))
            found |= self._diagonal(table.reshape(*every.shape[:2], -1), amplitude)
        if self.operators is not None:
            step = _thinning(drawn.shape[1], moved.shape[1], self.chains)
            some = np.concatenate([drawn[:, step - 1 :: step], moved[:, step - 1 :: step]], axis=1)
            share = np.concatenate(
                [part[:, step - 1 :: step] for part in np.split(amplitude, [drawn.shape[1]], axis=1)], axis=1
            )
            xs = jnp.asarray(some.reshape(-1, some.shape[-1]))
            bound = jax.tree_util.Partial(_amplitude, wavefunction, system)
            values = np.asarray(local_values(self.operators, bound, xs, chunk)).reshape(*some.shape[:2], -1)
            found |= self._local(values, share)
        for one in self.swap:
            found[one.names[0]] = _entropy(one, wavefunction, system, drawn, chunk)
        return found

    def _diagonal(self, table: np.ndarray, amplitude: np.ndarray) -> dict[str, Observed]:
        found, start = {}, 0
        for one in self.diagonal:
            end = start + len(one.names)
            mine = [Observed(*mixed_mean(table[..., k], amplitude)) for k in range(start, end)]
            start = end
            if one.peak:
                top = int(np.argmax([each.value for each in mine]))
                found[one.peak] = mine[top]._replace(at=one.names[top])
            else:
                found |= dict(zip(one.names, mine, strict=True))
            if {"m2", "m4"} <= set(one.names):
                m2, m4 = (table[..., end - len(one.names) + one.names.index(name)] for name in ("m2", "m4"))
                found["binder"] = _binder(m2, m4, amplitude)
        return found

    def _local(self, values: np.ndarray, amplitude: np.ndarray) -> dict[str, Observed]:
        """From local values (chains, samples, T): of linear observables, and of products of two operators.

        Of squares of an order the deviation is about their mean; local values do not tell it.
        """
        found, start = {}, 0
        for one in self.local:
            mine = values[..., start : start + len(one.terms)]
            start += len(one.terms)
            scaled = mine if one.order == 1 else mine * amplitude[..., None]
            flat = jnp.asarray(scaled.reshape(-1, scaled.shape[-1]))
            table = np.asarray(jax.vmap(one.combine)(flat)).reshape(*amplitude.shape, -1)
            for k, name in enumerate(one.names):
                if one.order == 1:
                    found[name] = Observed(*mixed_mean(table[..., k], amplitude))
                else:
                    mean, error, _ = ratio(table[..., k], amplitude**2)
                    found[name] = Observed(mean, error, abs(mean))
        return found


def _binder(m2: np.ndarray, m4: np.ndarray, amplitude: np.ndarray) -> Observed:
    """1 - <m^4> / (3 <m^2>^2); both moments fluctuate together, so that its error bar is not that of either."""
    weight = amplitude**2
    (second, _, d2), (fourth, _, d4) = (ratio(x * weight, weight) for x in (m2, m4))
    influence = 2 * fourth * d2 / (3 * second**3) - d4 / (3 * second**2)
    return Observed(1 - fourth / (3 * second**2), mean_and_error(influence)[1], float(influence.std()))


def _thinning(drawn: int, moved: int, chains: int) -> int:
    """Every so many samples of a chain, with the same share of moved ones, leave enough in all."""
    common = math.gcd(drawn, moved) if moved else drawn
    most = max(1, chains * (drawn + moved) // ENOUGH)
    return max(k for k in range(1, min(most, common) + 1) if common % k == 0)


def _amplitude(wavefunction: Wavefunction, system: LatticeSystem, x: Array) -> Psi:
    return wavefunction(system, x)


@eqx.filter_jit
def _diagonal(system: LatticeSystem, wanted: bool | tuple[str, ...], x: Array) -> Array:
    ones = [one.one for one in measures_of(system, wanted) if isinstance(one, Diagonal)]
    return jax.lax.map(lambda one: jnp.concatenate([each(one) for each in ones]), x, batch_size=1024)


@eqx.filter_jit
def _swapped(wavefunction: Wavefunction, system: LatticeSystem, x: Array, y: Array, region: Array, chunk: int) -> Array:
    """Real part of psi(y_A x_B) psi(x_A y_B) / (psi(x) psi(y)) of pairs, (M,); a sign rule drops out of it."""

    def log(at: Array) -> Array:
        psi = wavefunction(system, at)
        inside = system.hilbert.constraint(at[None])[0] if system.hilbert.constrained else True
        return jnp.stack([jnp.where(inside, psi.log.astype(jnp.float64), -jnp.inf), psi.phase.astype(jnp.float64)])

    def pair(a: Array, b: Array) -> Array:
        there = log(jnp.where(region, b, a)) + log(jnp.where(region, a, b))
        here = log(a) + log(b)
        return jnp.exp(there[0] - here[0]) * jnp.cos(there[1] - here[1])

    return jax.lax.map(lambda ab: pair(*ab), (x, y), batch_size=min(chunk, x.shape[0]))


def _entropy(one: Swap, wavefunction: Wavefunction, system: LatticeSystem, drawn: np.ndarray, chunk: int) -> Observed:
    """Renyi-2 entropy from pairs of independent chains."""
    half, count = drawn.shape[0] // 2, drawn.shape[1]
    first, second = drawn[:half], drawn[half : 2 * half]
    shifts = sorted({s * count // SHIFTS for s in range(SHIFTS)})
    x = np.concatenate([first] * len(shifts), axis=1)
    y = np.concatenate([np.roll(second, s, axis=1) for s in shifts], axis=1)
    flat = [jnp.asarray(a.reshape(-1, a.shape[-1])) for a in (x, y)]
    terms = np.asarray(_swapped(wavefunction, system, flat[0], flat[1], jnp.asarray(one.region), chunk)).reshape(
        half, -1
    )
    mean, error = mean_and_error(terms)
    if not mean > 0 or error > VAGUE * mean:
        why = f"Tr rho^2 = {mean:.2g} +- {error:.1g}: too few samples for its logarithm"
        return Observed(-math.log(mean) if mean > 0 else math.nan, math.inf, math.nan, why=why)
    return Observed(-math.log(mean), error / mean, float(terms.std()) / mean)
