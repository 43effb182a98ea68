"""How far an energy can be trusted: the flags it raises.

Flags and what raises them. A bare name is a warning; a name that ends in ``!`` says that the number must not
be used (``trusted`` is then False).

=============  ====================================  ========================  =============================
flag           quantity                              warning                   refused (``!``)
=============  ====================================  ========================  =============================
R-HAT          split R-hat (rank, folded)            > r_hat_threshold         > limit + 0.1, single chain
LOW-ESS        effective sample size                 < 400                     < 100
SHORT-CHAINS   samples per chain / tau, if chains    < 50                      < 10, or no error bar at all
               are fewer than 32
BELOW-EXACT    (energy - exact) / error              < -3                      < -4
IMAG           abs(Im energy) / its error            > 3                       > 5
HIGH-VARIANCE  V-score                               > 1e-2                    > 0.1
=============  ====================================  ========================  =============================

Customary limits: R-hat 1.01, 50 samples per tau, 32 chains; the others are choices of this package. R-hat
judges the sampling, never the optimisation; the V-score judges the state, but vanishes for every eigenstate.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from wavefoundry.core.statistics import MIN_CHAINS, Estimate, z_score


def flags(estimate: Estimate, exact: float | None = None) -> list[str]:
    """Names of everything that is doubtful about an energy (table above); empty when all is well.

    Args:
        estimate: from ``energy_statistics``.
        exact: ground-state energy, where known. An energy below it means walkers that miss configurations, a
            wrong error bar, or another Hamiltonian.
    """
    raised = []
    if estimate.chains > 0:
        r_hat, limit, single = estimate.r_hat or 1.0, estimate.r_hat_limit or 1.0, estimate.chains == 1
        raised += _flag("R-HAT", r_hat > limit or single, r_hat > max(1.1, limit + 0.1) or single)
        raised += _flag("LOW-ESS", estimate.ess < 400, estimate.ess < 100)
        few, blind = estimate.chains < MIN_CHAINS, not math.isfinite(estimate.error)
        length = estimate.samples / estimate.chains / estimate.tau
        raised += _flag("SHORT-CHAINS", few and length < 50 or blind, few and length < 10 or blind)
    if exact is not None:
        z = z_score(estimate.mean - exact, estimate.error, exact)
        raised += _flag("BELOW-EXACT", z < -3, z < -4)
    raised += _flag("IMAG", abs(estimate.imag_z) > 3, abs(estimate.imag_z) > 5)
    score = estimate.v_score or 0.0
    raised += _flag("HIGH-VARIANCE", score > 1e-2, score > 0.1)
    return raised


def trusted(flags: Iterable[str]) -> bool:
    """Whether the number may be used: no flag, of this or another origin, ends in ``!``."""
    return not any(flag.endswith("!") for flag in flags)


def _flag(name: str, warn: bool, refuse: bool) -> list[str]:
    return [name + "!"] if refuse else [name] if warn else []
