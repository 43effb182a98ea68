"""Networks that are given the couplings, held at some of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from wavefoundry.core.types import System, Wavefunction


class FixedBackbone(eqx.Module):
    """A backbone that sees one condition, whatever the system."""

    backbone: Any
    condition: Float[Array, " c"]

    def __call__(self, condition: Float[Array, " c"] | None, x: Array) -> Array:
        """Features of one configuration."""
        return self.backbone(self.condition, x)


def fixed(wavefunction: Wavefunction, system: System) -> Wavefunction:
    """The network as it is at the couplings of a system: what heads are tuned on, whose pools share their features."""
    if not wavefunction.conditioned:
        return wavefunction
    condition = system.couplings[np.array(wavefunction.conditioned)]
    return dataclasses.replace(wavefunction, backbone=FixedBackbone(wavefunction.backbone, condition), conditioned=())
