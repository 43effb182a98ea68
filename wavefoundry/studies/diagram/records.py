"""Records of a diagram: one point as it stands in summary.json, from fresh local energies and configurations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from wavefoundry.adapt.pool import Pool, contract, ready
from wavefoundry.core.devices import mapped, on_devices, shared
from wavefoundry.core.meter import Cost
from wavefoundry.core.mixtures import mixed_estimate, ratio
from wavefoundry.core.statistics import Estimate, energy_statistics, z_score
from wavefoundry.core.types import Head
from wavefoundry.core.verdict import (
    VARIANCE_WARN,
    Doubt,
    Reference,
    graded,
    reference_doubts,
    refused,
    verdict_of,
)
from wavefoundry.engine.one_move import MOST, images, moves, picked
from wavefoundry.problems.references.found import Found
from wavefoundry.problems.spins import LatticeSystem, sign_free
from wavefoundry.studies.diagram.observing import Amplitude, Drawn, Observed, Observer
from wavefoundry.studies.diagram.trust import judged

MOVED = 4
"""One of so many samples is moved on for the one-move variance: a quarter more local energies, a bounded estimate."""


@eqx.filter_jit
@on_devices
def _terms(system: LatticeSystem, head: Head, pool: Pool) -> Array:
    return contract(system, head, pool)


@eqx.filter_jit
@on_devices
def _images(system: LatticeSystem, head: Head, pool: Pool, stay: Array) -> tuple[Array, Array]:
    """Images of all samples: values (M, terms) and amplitudes (M,)."""
    found = images(system, ready(head), pool.x, pool.local, stay)
    return found.values, found.amplitude


@eqx.filter_jit
@on_devices
def moved_on(system: LatticeSystem, head: Head, pool: Pool, key: Array, chains: int) -> tuple[Array, Array]:
    """As many samples as one of ``MOVED`` of a pool, moved on by the Hamiltonian: see ``engine.one_move``.

    Returns:
        Configurations (C n, sites), chain by chain, and their weights (C n,).
    """
    head, stay = ready(head), MOVED / (MOVED + 1)
    chance, surprise = mapped(lambda a: moves(system, head, a[0], a[1], stay), (pool.x, pool.local), MOST)
    per_chain = len(chance) // chains
    of_chain = [table.reshape(chains, per_chain, -1) for table in (chance, surprise)]
    keys = jax.random.split(key, chains)
    row, slot, weight = jax.vmap(lambda k, p, s: picked(k, p, s, per_chain // MOVED))(keys, *of_chain)
    x = pool.x[(jnp.arange(chains)[:, None] * per_chain + row).ravel()]

    def there(a: tuple[Array, Array]) -> Array:
        connected = system.connected(a[0]).x
        return jnp.where(a[1] < len(connected), connected[jnp.minimum(a[1], len(connected) - 1)], a[0])

    return shared(jax.vmap(there), (x, slot.ravel())), weight.ravel()


class Moved(NamedTuple):
    """Samples that were moved on, with their features and weights."""

    pool: Pool
    weight: Array


class Measured(NamedTuple):
    """What fresh samples say about a state."""

    estimate: Estimate
    terms: dict[str, Observed]
    observables: dict[str, Observed]


class Estimator:
    """Measures a head on pools drawn from its own |psi|^2.

    Args:
        system: any member of the family.
        chains: chains of a pool.
        wanted: observables that are measured as well, by name, or True or False.

    Raises:
        InputError: one of them has no meaning for this system.
    """

    def __init__(self, system: LatticeSystem, chains: int, wanted: bool | Sequence[str]):
        self.system, self.chains = system, chains
        self.observer = Observer(system, chains, wanted)

    def energy(self, head: Head, couplings: np.ndarray, pool: Pool) -> Estimate:
        """Energy statistics of the samples of one pool: what guides an adaptation."""
        terms = self._chains([np.asarray(_terms(self.system, head, pool))])
        return energy_statistics(terms @ couplings, self.system.sites, e_inf=self._zero(couplings))

    def measure(
        self, head: Head, couplings: np.ndarray, pools: Sequence[Pool], moved: Sequence[Moved], state: Amplitude
    ) -> Measured:
        """Energy, terms and observables from pools of |psi|^2 together with pools of moved samples.

        Args:
            head: of the wavefunction. couplings: (terms,). pools: drawn from |psi|^2. moved: what ``moved_on`` made of
                them, chain by chain. state: the same state, where observables need its amplitudes.
        """
        system = eqx.tree_at(lambda s: s.couplings, self.system, jnp.asarray(couplings))
        every = [*pools, *(one.pool for one in moved)]
        count = sum(len(pool.log_q) for pool in every)
        stay = jnp.array(sum(len(pool.log_q) for pool in pools) / count)
        images = [_images(system, head, pool, stay) for pool in every]
        roots = [np.ones(len(pool.log_q)) for pool in pools] + [np.sqrt(np.asarray(one.weight)) for one in moved]
        root = self._chains([one[:, None] for one in roots])
        values = root * self._chains([np.asarray(v) for v, _ in images])
        amplitude = (root * self._chains([np.asarray(a)[:, None] for _, a in images]))[..., 0]
        drawn = sum(len(pool.log_q) for pool in pools) // self.chains  # from |psi|^2: local energies as they are
        plain = values[:, :drawn] @ couplings / amplitude[:, :drawn]
        estimate = energy_statistics(plain, system.sites, e_inf=self._zero(couplings))
        estimate = mixed_estimate(estimate, values @ couplings, amplitude, system.sites, self._zero(couplings))
        terms = {}
        for k, name in enumerate(system.names):
            mean, error, _ = ratio(np.real(values[..., k]) * amplitude, amplitude**2)
            square = float(np.sum(np.abs(values[..., k]) ** 2) / np.sum(amplitude**2))
            terms[name] = Observed(mean, error, math.sqrt(max(square - mean**2, 0.0)))
        xs = self._chains([np.asarray(pool.x) for pool in every])
        found = self.observer.measure(state, Drawn(xs, drawn, amplitude, values @ couplings))
        return Measured(estimate, terms, found)

    def _zero(self, couplings: np.ndarray) -> float:
        return zero_of(self.system, couplings)

    def _chains(self, tables: list[np.ndarray]) -> np.ndarray:
        """Rows of all pools as (chains, samples, columns)."""
        return np.concatenate([t.reshape(self.chains, -1, t.shape[-1]) for t in tables], axis=1)


def zero_of(system: LatticeSystem, couplings: Any) -> float:
    """Energy of infinite temperature at given couplings, Tr H / dim."""
    return float(system.trace @ np.asarray(couplings, float))


class Known(NamedTuple):
    """What is known independently of a point: energy and observables, why where there is none, and by which methods.

    references: what every method gave, see ``problems.references.found``. method: the one that the energy is held
    against. near: observables of methods that are not exact, with their source.
    """

    reference: Reference | None = None
    observables: dict[str, float] = {}
    why: str | None = None
    references: dict[str, Found] = {}
    method: str | None = None
    near: dict[str, tuple[float, str]] = {}


class Sampling(NamedTuple):
    """How the samples of a record were drawn: acceptance rate, and what is said of the pools of an adaptation."""

    acceptance: float | None = None
    pool: dict[str, Any] | None = None


def point_record(
    system: LatticeSystem,
    method: str,
    measured: Measured,
    *,
    known: Known,
    cost: Cost,
    real_head: bool,
    doubts: Iterable[Doubt] = (),
    sampling: Sampling,
) -> dict[str, Any]:
    """One point of the diagram as it stands in summary.json."""
    estimate, reference = measured.estimate, known.reference
    further = [*support_doubts(estimate), *doubts]
    if real_head and not sign_free(system):
        agrees = reference_doubts(estimate.mean, estimate.error, reference)[1] is not None
        further.append(sign_doubt(estimate, agrees))
    verdict = verdict_of(estimate, reference, further, known.why)
    energy = None if reference is None else reference.energy
    zero = zero_of(system, system.couplings)
    record = {
        "couplings": system.values,
        "method": method,
        "energy": estimate.mean,
        "energy_error": estimate.error,
        "energy_per_site": estimate.mean / system.sites,
        "variance": estimate.variance,
        "v_score": estimate.v_score,
        "v_score_error": estimate.v_score_error,
        "v_score_plain": estimate.plain_v_score,
        "v_score_plain_error": estimate.plain_v_score_error,
        "r_hat": estimate.r_hat,
        "r_hat_limit": estimate.r_hat_limit,
        "tau": estimate.tau,
        "ess": estimate.ess,
        "samples": estimate.samples,
        "acceptance": sampling.acceptance,
        "pool": sampling.pool,
        "reference": _reference_fields(known),
        "references": {name: _found_fields(one, estimate, system) for name, one in known.references.items()},
        "exact_energy": energy if reference is not None and reference.exact else None,
        **distance(estimate, reference),
        "observables": {name: observed(one, name, known, estimate) for name, one in measured.observables.items()},
        "exact_observables": {k: v for k, v in known.observables.items() if k in measured.observables},
        "terms": {
            name: {"value": one.value, "error": one.error, "bias": bias_of(one, estimate)}
            for name, one in measured.terms.items()
        },
        **verdict.fields(),
        "cost": cost.to_dict(),
        "energy_scale": abs(estimate.mean - zero) / system.sites,
    }
    return judged(record)


def _reference_fields(known: Known) -> dict[str, Any] | None:
    reference = known.reference
    if reference is None:
        return None
    kind = "exact" if reference.exact else "upper bound" if reference.bound else "method"
    fields = {"energy": reference.energy, "kind": kind, "method": known.method}
    return fields | {name: getattr(reference, name) for name in ("source", "uncertainty", "zero")}


def _found_fields(one: Found, estimate: Estimate, system: LatticeSystem) -> dict[str, Any]:
    """What a method gave; ``difference``: of our energy from it, relative, below zero where ours is lower."""
    cost = {"cpu_seconds": round(one.cpu_seconds, 3), "memory_mib": one.memory_mib}
    if one.energy is None:
        return {"energy": None, "why": one.why, "cost": cost}
    scale = abs(one.energy - zero_of(system, system.couplings))
    difference = (estimate.mean - one.energy) / scale if scale else None
    names = ("error", "kind", "source", "confirms", "observables", "terms", "details", "why")
    rest = {name: getattr(one, name) for name in names}
    return {"energy": one.energy, "difference": difference} | rest | {"cost": cost}


def distance(estimate: Estimate, reference: Reference | None) -> dict[str, float | None]:
    """``relative_error`` (counted from infinite temperature) and ``z`` of an energy; None without a reference."""
    if reference is None:
        return {"relative_error": None, "z": None}
    difference, scale = estimate.mean - reference.energy, abs(reference.energy - reference.zero)
    relative = abs(difference) / scale if scale else (0.0 if difference == 0 else None)
    return {"relative_error": relative, "z": z_score(difference, estimate.error, scale or abs(estimate.mean))}


def observed(one: Observed, name: str, known: Known, estimate: Estimate) -> dict[str, Any]:
    """An observable before its verdict; ``bias``: where it has no drift, 2 sqrt(V) deviations, see ``trust``."""
    exact, near = known.observables.get(name), known.near.get(name)
    held = exact if exact is not None else None if near is None else near[0]
    z = None
    if held is not None and math.isfinite(one.error):
        z = z_score(one.value - held, one.error, max(abs(held), 1e-6))
    drift = one.drift if math.isfinite(one.drift) else None
    found = {"value": one.value, "error": one.error, "exact": exact, "z": z, "drift": drift}
    found |= {"bias": bias_of(one, estimate), "verdict": "refused", "why": one.why}
    found |= {"at": one.at} if one.at else {}
    return found if exact is not None or near is None else found | {"reference": {"value": near[0], "source": near[1]}}


def bias_of(one: Observed, estimate: Estimate) -> float:
    """What an expectation value may be off because the state is: first order, where the energy is second."""
    return 2 * math.sqrt(max(estimate.v_score or 0.0, 0.0)) * one.deviation


def support_doubts(estimate: Estimate) -> list[Doubt]:
    """Whether samples of |psi|^2 miss configurations that make the variance: one-move V against the plain one."""
    plain, score, error = estimate.plain_v_score, estimate.v_score, estimate.v_score_error
    if plain is None or score is None or error is None:
        return []
    beyond = score - plain > 3 * math.hypot(error, min(estimate.plain_v_score_error or 0.0, plain))
    why = (
        f"samples miss configurations that the Hamiltonian connects to the state: V-score {score:.2g} with them, "
        f"{plain:.2g} without"
    )
    warn, refuse = beyond and score > max(2 * plain, 1e-4), beyond and score > max(3 * plain, 1e-3)
    return graded("SUPPORT", "sampled", why, warn, refuse)


def sign_doubt(estimate: Estimate, agrees: bool) -> Doubt:
    """Positive amplitudes where H may want signs: refused unless V-score or reference speak for the state."""
    why = "all amplitudes are positive, but some matrix elements ask for signs that no rule in use removes"
    refuses = not (estimate.v_score or 0.0) < VARIANCE_WARN and not agrees
    return Doubt("SIGN-RULE", "state", refuses, why)


def failed_record(system: LatticeSystem, method: str, cost: Cost, why: str) -> dict[str, Any]:
    """A point without a usable number: local energies were not finite."""
    nothing = ("energy", "energy_error", "energy_per_site", "variance", "v_score", "v_score_error", "v_score_plain")
    nothing += ("v_score_plain_error", "r_hat", "r_hat_limit", "tau", "ess", "samples", "acceptance", "pool")
    nothing += ("reference", "exact_energy", "relative_error", "z", "energy_scale", "gap")
    record = {"couplings": system.values, "method": method} | dict.fromkeys(nothing)
    rest = {"observables": {}, "exact_observables": {}, "terms": {}, "references": {}} | refused(
        "NOT-FINITE", "sampled", why
    ).fields()
    return record | rest | {"cost": cost.to_dict()}
