"""What can be measured of a lattice state beside its energy, as one table: study files, checks and estimators read it.

One entry is all a new observable takes; its function is imported when it is measured, so that study files are checked
without JAX.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import LATTICES

Place = tuple[str, str, tuple[int, ...], bool]
"""Model, lattice (empty: the user's own), edges in sites, whether periodic."""


@dataclasses.dataclass(frozen=True)
class Observable:
    """One entry.

    What it is, the function (``module:name``) that takes a system and gives its estimators, a list of
    ``problems.measures.Measure``; default: measured where nothing is said; unfit: why it has no meaning, or empty.
    """

    name: str
    title: str
    function: str
    default: bool = False
    unfit: Callable[[Place], str] = lambda place: ""

    def estimators(self, system: Any) -> list[Any]:
        """The estimators for a system."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)(system)


def _exchange(place: Place) -> str:
    exchange = place[0] in MODELS and MODELS[place[0]].sector
    return "" if exchange else "S_i . S_j belongs to spins with exchange (j1j2, xxz)"


def _dimers(place: Place) -> str:
    _, lattice, extent, periodic = place
    if why := _exchange(place):
        return why
    if LATTICES[lattice].basis > 1:
        return f"columns of dimers are not defined on a {lattice} lattice"
    if periodic and (any(edge % 2 for edge in extent) or min(extent) < 4):
        return "dimers that alternate need even periodic edges of at least four sites"
    return ""


def _chirality(place: Place) -> str:
    _, lattice, extent, periodic = place
    if why := _exchange(place):
        return why
    if not LATTICES[lattice].triangles:
        return f"a {lattice} lattice has no triangles of nearest neighbours"
    cells = LATTICES[lattice].cells(extent)
    return "on edges of fewer than three cells triangles coincide" if periodic and min(cells) < 3 else ""


def _halves(place: Place) -> str:
    return "a single site has no half" if max(place[2]) < 2 else ""


OBSERVABLES: dict[str, Observable] = {
    one.name: one
    for one in (
        Observable("magnetisation", "moments of the order parameter", "wavefoundry.problems.observables:moments", True),
        Observable(
            "correlations", "<Z_0 Z_r> along the first axis", "wavefoundry.problems.observables:correlations", True
        ),
        Observable("structure-peak", "largest S_zz(q)", "wavefoundry.problems.measures:structure_peak", True),
        Observable("structure-factor", "S_zz(q) at all q", "wavefoundry.problems.measures:structure"),
        Observable(
            "spin-structure-factor",
            "S(q) of S_i . S_j at all q",
            "wavefoundry.problems.measures:spin_structure",
            unfit=_exchange,
        ),
        Observable(
            "dimer", "squared dimer order, dimer correlations", "wavefoundry.problems.measures:dimer", unfit=_dimers
        ),
        Observable(
            "chirality",
            "squared scalar chirality of triangles",
            "wavefoundry.problems.measures:chirality",
            unfit=_chirality,
        ),
        Observable(
            "renyi-2", "Renyi-2 entropy of half of the lattice", "wavefoundry.problems.measures:renyi", unfit=_halves
        ),
    )
}
"""Observables by their names in study files."""


def chosen(wanted: bool | Sequence[str]) -> list[Observable]:
    """The entries that are asked for: all defaults, none, or those named, in the order of the table."""
    names = [name for name, one in OBSERVABLES.items() if one.default] if wanted is True else list(wanted or ())
    return [one for name, one in OBSERVABLES.items() if name in names]
