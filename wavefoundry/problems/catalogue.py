"""The built-in lattice models by the names they have in study files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wavefoundry.core.errors import InputError
from wavefoundry.problems.lattice import ising, j1j2
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.toric import toric

MODELS: dict[str, Callable[[Sequence[int], bool, bool, dict[str, float]], LatticeSystem]] = {
    "ising": lambda extent, periodic, marshall, couplings: ising(extent, periodic=periodic, **couplings),
    "j1j2": lambda extent, periodic, marshall, couplings: j1j2(
        extent, periodic=periodic, marshall=marshall, **couplings
    ),
    "toric": lambda extent, periodic, marshall, couplings: toric(*extent, **couplings),
}
"""Built-in models by name: extent, boundary, sign rule and couplings make a system."""


def build(model: str, extent: Sequence[int], *, periodic: bool, marshall: bool, **couplings: float) -> LatticeSystem:
    """A built-in model by its name in study files.

    Raises:
        InputError: there is no such model.
    """
    if model not in MODELS:
        raise InputError(f"there is no model {model!r}", where="model", why=f"known: {', '.join(MODELS)}")
    return MODELS[model](extent, periodic, marshall, couplings)
