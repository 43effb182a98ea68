"""What adaptation starts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import PyTree

from wavefoundry.core.convergence import Convergence
from wavefoundry.core.types import Wavefunction
from wavefoundry.problems.spins import LatticeSystem


@dataclasses.dataclass(frozen=True)
class Base:
    """What adaptation starts from: a wavefunction with walkers distributed as its |psi|^2."""

    system: LatticeSystem
    wavefunction: Wavefunction
    x: PyTree  # (chains, sites)
    convergence: Convergence | None = None  # of its training, where that is known
    snapshots: Mapping[int, PyTree] = dataclasses.field(default_factory=dict)  # weights on the way, by step
    sector: Mapping[str, Any] | None = None  # that it is projected on, in words


def together(at: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """What the record of a pre-training says of several systems that were trained together; it is that of the first."""
    return {"trained_together": [dict(one) for one in at]} if len(at) > 1 else {}
