"""Published ground-state energies of lattice models, found only for exactly the same system.

Energies per site at unit coupling in the conventions of ``core.hamiltonians``. "exact" are exact diagonalisations (the
last digit is rounded); the others are variational, hence upper bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import LATTICES
from wavefoundry.problems.references.found import Found, Kind

BENCHMARKS = "published variational benchmarks (varbench, tachys)"
"""Where the values are collected: varbench (Apache-2.0) and the benchmark data of tachys."""


class Entry(NamedTuple):
    """A published value: system, couplings in units of the first one, energy per site with its error, and by whom."""

    model: str
    lattice: str
    cells: tuple[int, ...]
    periodic: bool
    couplings: dict[str, float]
    energy: float
    error: float
    kind: Kind
    method: str
    source: str = BENCHMARKS


def _square(edge: int, J2: float, energy: float, error: float, method: str) -> Entry:
    kind: Kind = "exact" if method == "exact diagonalisation" else "upper bound"
    return Entry("j1j2", "square", (edge, edge), True, {"J1": 1.0, "J2": J2}, energy, error, kind, method)


_ED, _ROUNDED = "exact diagonalisation", 1e-8
_6X6 = {
    0.0: -0.67887215, 0.3: -0.56245947, 0.4: -0.52974501, 0.5: -0.50380965, 0.6: -0.49323859, 0.7: -0.53000123,
    0.8: -0.58648660, 0.9: -0.64905201, 1.0: -0.71436043,
}  # fmt: skip
_6X6_DMRG = {0.3: 1.0e-3, 0.4: 1.6e-3, 0.5: 2.4e-3, 0.6: 1.1e-3, 0.7: 1.5e-4, 0.8: 1.2e-3, 0.9: 1.8e-3, 1.0: 1.8e-3}
"""Relative errors, printed with two digits."""
_10X10_DMRG = {0.3: -0.54909, 0.4: -0.51662, 0.6: -0.47746, 0.7: -0.51643, 0.8: -0.56926, 0.9: -0.62697}


def table() -> Iterator[Entry]:
    """All published values."""
    for J2, energy in _6X6.items():
        yield _square(6, J2, energy, _ROUNDED, _ED)
    for J2, relative in _6X6_DMRG.items():
        rounded = 5e-5 if relative >= 1e-3 else 5e-6
        yield _square(6, J2, _6X6[J2] * (1 - relative), abs(_6X6[J2]) * rounded, "DMRG, bond dimension 2048")
    for cells in ((4, 6), (6, 4)):
        yield Entry("j1j2", "square", cells, True, {"J1": 1.0, "J2": 0.5}, -0.52252494, _ROUNDED, "exact", _ED)
    yield _square(8, 0.5, -0.498963, 1e-6, "restricted Boltzmann machine with pair product")
    yield _square(8, 0.5, -0.494015, 1e-6, "DMRG, bond dimension 1024")
    yield _square(10, 0.5, -0.4976939, 2e-7, "convolutional network with matrix product state")
    yield _square(10, 0.5, -0.497634, 1e-6, "vision transformer")
    yield _square(10, 0.5, -0.495530, 1e-6, "DMRG with SU(2)")
    yield _square(10, 0.3, -0.55485, 1e-5, "variational Monte Carlo")
    for J2, energy in _10X10_DMRG.items():
        yield _square(10, J2, energy, 1e-5, "DMRG, bond dimension 1024")
    yield _square(16, 0.5, -0.4969140, 5e-7, "neural network")
    yield _square(20, 0.5, -0.4967987, 6e-7, "neural network")
    ising = {"J": 1.0, "h": 3.0}
    yield Entry("ising", "square", (6, 6), True, ising, -3.20090854, _ROUNDED, "exact", _ED)
    network = "recurrent network"
    yield Entry("ising", "square", (12, 12), True, ising, -3.1739019, 1e-7, "upper bound", network)
    yield Entry("ising", "square", (20, 20), False, ising, -3.18197, 2e-5, "upper bound", "DMRG")
    heisenberg = {"J1": 1.0, "J2": 0.0}
    yield Entry("j1j2", "triangular", (6, 6), True, heisenberg, -0.5603734, 1e-7, "exact", _ED)
    energy = -354.534213 / 800
    yield Entry("j1j2", "chain", (200,), True, heisenberg, energy, 1e-8, "upper bound", "DMRG")


def lookup(
    model: str, lattice: str, cells: Sequence[int], periodic: bool, couplings: Mapping[str, float], sites: int
) -> Found | None:
    """The best published value of a system; None where none is known.

    The couplings may be those of an entry times a positive number; the XXZ model with equal couplings is the J1-J2
    model without J2.

    Args:
        model, lattice, cells, periodic: as in a study file. couplings: all of them. sites: number of spins.
    """
    if model == "xxz" and couplings["Jxy"] == couplings["Jz"]:
        model, couplings = "j1j2", {"J1": couplings["Jxy"], "J2": 0.0}
    if model not in MODELS or lattice not in LATTICES:
        return None
    unit = couplings[MODELS[model].unit]
    if not unit > 0:
        return None
    place = (model, lattice, tuple(cells), periodic)
    same = [entry for entry in table() if entry[:4] == place and _alike(entry.couplings, couplings, unit)]
    if not same:
        return None
    entry = min(same, key=lambda one: (one.kind != "exact", one.energy))
    others = [
        {"energy": one.energy * unit * sites, "kind": one.kind, "method": one.method}
        for one in same
        if one is not entry
    ]
    return Found(
        energy=entry.energy * unit * sites,
        error=entry.error * unit * sites,
        kind=entry.kind,
        source="published exact" if entry.kind == "exact" else f"published {entry.method}",
        confirms=entry.kind == "exact",
        details={"method": entry.method, "source": entry.source, "per_site": entry.energy, "others": others},
    )


def _alike(known: Mapping[str, float], couplings: Mapping[str, float], unit: float) -> bool:
    return known.keys() == couplings.keys() and all(
        math.isclose(couplings[name] / unit, value, rel_tol=1e-9, abs_tol=1e-12) for name, value in known.items()
    )
