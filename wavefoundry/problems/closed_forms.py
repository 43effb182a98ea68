"""Closed forms that entries of the table of models name: exact values at a place and couplings, or None."""

from __future__ import annotations

import numpy as np

from wavefoundry.core.hamiltonians import Place, Values
from wavefoundry.problems.exact import CLOSE
from wavefoundry.problems.ising_chain import ising_chain


def of_ising(where: Place, values: Values) -> dict[str, float] | None:
    """Energy, m2, correlations, S_zz(q) and entropy of a periodic Ising chain that is not frustrated; None elsewhere.

    At h = 0, and where the gap closes with the size, both ground states have the same m2 and correlations; their
    entropy is any between those of a product state and of the symmetric one, so that none is known.
    """
    sites, J = where.cells[0], values["J"]
    if where.lattice.name != "chain" or not where.periodic or sites < 3 or J == 0 or (J < 0 and sites % 2):
        return None
    chain = ising_chain(sites, values["h"], J)
    known = {f"correlation_{r}": float(chain.correlation[r]) for r in range(1, sites // 2 + 1)}
    apart = np.arange(sites)
    waves = np.real(np.fft.fft(chain.correlation[np.minimum(apart, sites - apart)]))
    known |= {f"structure_zz_{k}": float(waves[k]) for k in range(sites // 2 + 1)}
    known |= {"structure_peak": float(np.max(waves))}
    if chain.gap > CLOSE * sites * (abs(J) + abs(values["h"])):
        known |= {"renyi2": float(chain.renyi2)}
    return {"energy": float(chain.energy), "m2": float(chain.m2)} | known
