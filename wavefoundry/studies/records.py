"""Records of a diagram: one point as it stands in summary.json, from fresh local energies and configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from wavefoundry.adapt.pool import Pool, contract
from wavefoundry.core.meter import Cost
from wavefoundry.core.statistics import Estimate, energy_statistics, mean_and_error, relative_error
from wavefoundry.core.trust import flags, trusted
from wavefoundry.core.types import Head
from wavefoundry.problems import observables
from wavefoundry.problems.spins import LatticeSystem, sign_free


@eqx.filter_jit
def _terms(system: LatticeSystem, head: Head, pool: Pool) -> Array:
    return contract(system, head, pool)


@eqx.filter_jit
def _observables(system: LatticeSystem, x: Array) -> Array:
    return jax.lax.map(observables.measure(system), x, batch_size=1024)


class Meterman:
    """Measures a head on pools drawn from its own |psi|^2.

    Args:
        system: any member of the family.
        chains: chains of a pool.
        with_observables: measure them as well.
    """

    def __init__(self, system: LatticeSystem, chains: int, with_observables: bool):
        self.system, self.chains = system, chains
        self.names = observables.names(system) if with_observables else []

    def measure(self, head: Head, couplings: np.ndarray, pools: Sequence[Pool]) -> tuple[Estimate, dict, dict]:
        """Energy statistics, terms {name: {value, error}} and observables over all samples of the pools."""
        terms = self._chains([np.asarray(_terms(self.system, head, pool)) for pool in pools])
        estimate = energy_statistics(terms @ couplings, self.system.sites)
        found = {}
        if self.names:
            table = self._chains([np.asarray(_observables(self.system, pool.x)) for pool in pools])
            found = {name: _pack(table[..., k]) for k, name in enumerate(self.names)}
        return estimate, {n: _pack(np.real(terms[..., k])) for k, n in enumerate(self.system.names)}, found

    def _chains(self, tables: list[np.ndarray]) -> np.ndarray:
        """Rows of all pools as (chains, samples, columns)."""
        return np.concatenate([t.reshape(self.chains, -1, t.shape[-1]) for t in tables], axis=1)


def _pack(values: np.ndarray) -> dict[str, float]:
    mean, error = mean_and_error(values)
    return {"value": float(mean), "error": float(error)}


def point_record(
    system: LatticeSystem,
    method: str,
    measured: tuple[Estimate, dict, dict],
    *,
    exact: tuple[float | None, dict[str, float]],
    pool: dict[str, Any] | None,
    cost: Cost,
    real_head: bool,
    extra_flags: tuple[str, ...] = (),
    acceptance: float | None = None,
) -> dict[str, Any]:
    """One point of the diagram as it stands in summary.json."""
    estimate, terms, found = measured
    energy, known = exact
    raised = flags(estimate, energy) + list(extra_flags)
    if real_head and not sign_free(system):
        raised.append("SIGN-RULE")
    return {
        "couplings": system.values,
        "method": method,
        "energy": estimate.mean,
        "energy_error": estimate.error,
        "energy_per_site": estimate.mean / system.sites,
        "variance": estimate.variance,
        "v_score": estimate.v_score,
        "v_score_error": estimate.v_score_error,
        "r_hat": estimate.r_hat,
        "r_hat_limit": estimate.r_hat_limit,
        "tau": estimate.tau,
        "ess": estimate.ess,
        "samples": estimate.samples,
        "acceptance": acceptance,
        "pool": pool,
        "exact_energy": energy,
        "relative_error": None if energy is None else relative_error(estimate.mean, energy),
        "observables": found,
        "exact_observables": {name: value for name, value in known.items() if name in found},
        "terms": terms,
        "trusted": trusted(raised),
        "flags": raised,
        "cost": cost.to_dict(),
    }


def failed_record(system: LatticeSystem, method: str, cost: Cost) -> dict[str, Any]:
    """A point without a usable number: local energies were not finite."""
    nothing = ("energy", "energy_error", "energy_per_site", "variance", "v_score", "v_score_error", "r_hat")
    nothing += ("r_hat_limit", "tau", "ess", "samples", "acceptance", "pool", "exact_energy", "relative_error")
    record = {"couplings": system.values, "method": method} | dict.fromkeys(nothing)
    rest = {"observables": {}, "exact_observables": {}, "terms": {}, "trusted": False, "flags": ["NOT-FINITE!"]}
    return record | rest | {"cost": cost.to_dict()}
