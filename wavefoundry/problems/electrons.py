"""Electrons in the field of clamped nuclei: configuration space, moves and local energy."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, Float

from wavefoundry.core.types import System


class ElectronSystem(System):
    """H = -1/2 sum lap_i - sum Z_I / r_iI + sum 1 / r_ij + sum Z_I Z_J / R_IJ, in Hartree and bohr.

    A configuration is positions (n, 3), the n_up spin-up electrons first.
    """

    positions: Float[Array, "atoms 3"]
    charges: Float[Array, " atoms"]
    up: Float[Array, "atoms n_up 5"]  # coefficients of the localised orbitals (1s, 2s, 2px, 2py, 2pz) on every atom
    down: Float[Array, "atoms n_down 5"]
    n_up: int = eqx.field(static=True)
    n_down: int = eqx.field(static=True)

    @property
    def compound(self) -> tuple[int, int, int]:
        """(n_up, n_down, atoms): what decides the shapes of all arrays."""
        return self.n_up, self.n_down, self.positions.shape[-2]
