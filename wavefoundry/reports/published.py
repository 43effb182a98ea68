"""What arXiv 2505.22734 shows of the systems a user prunes, as points beside theirs.

Errors are read off the figures to about 3 %, fidelities are those of the printed data. Energies of 10 x 10 sites at the
critical field are relative to DMRG (-321.0980), which the figures 1 and 2 of the paper are not: 4.15e-4 per site is
taken off.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wavefoundry.core.records import TicketsSummary

CRITICAL = 3.04438
SHIFT = 4.15e-4
PAPER = "arXiv 2505.22734"


class Curve(NamedTuple):
    """Published points: weights, and the error per site (relative: of the energy itself)."""

    label: str
    n: tuple[float, ...]
    error: tuple[float, ...]
    relative: bool = False


def _by_density(sites: int, rho: dict[float, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(sites * one for one in rho), tuple(rho.values())


def _corrected(points: dict[int, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(points), tuple(error - SHIFT for error in points.values())


ISING: dict[tuple[int, float], tuple[Curve, ...]] = {
    (4, CRITICAL): (
        Curve("ReLU, 8 units per spin", *_by_density(16, {
            128: 3.8e-6, 36: 9.5e-5, 19: 5e-4, 9.9: 2.7e-3, 5.2: 4.2e-3, 2.7: 3.4e-2, 1.4: 8.9e-2, 0.1: 0.13,
        })),
    ),
    (7, CRITICAL): (
        Curve("ReLU, 8 units per spin", *_by_density(49, {
            392: 3.7e-6, 109: 2.3e-5, 30: 4.4e-4, 16: 1.4e-3, 8.5: 4.9e-3, 4.5: 9.0e-3, 2.4: 7.8e-2,
        })),
    ),
    (10, CRITICAL): (
        Curve("ReLU, 8 units per spin", *_by_density(100, {
            801: 4.2e-4, 423: 9.8e-5, 223: 3.2e-5, 62: 1.4e-4, 33: 2.5e-3, 17: 2.2e-3, 4.8: 9.0e-3, 2.5: 6.8e-2,
            0.1: 0.17,
        })),
        Curve("ReLU, 1 unit per spin", *_corrected({
            10_000: 9.8e-4, 1290: 4.0e-3, 466: 7.0e-3, 280: 4.6e-2, 100: 0.13,
        })),
        Curve("ReLU, 2.5 units per spin", *_corrected({5390: 5.3e-4, 1940: 1.3e-3, 697: 5.5e-3, 250: 6.1e-2})),
        Curve("ReLU, 5 units per spin", *_corrected({
            3880: 6.3e-4, 1400: 2.5e-3, 502: 8.5e-3, 301: 4.8e-2, 107: 0.12,
        })),
    ),
    (10, 0.1): (Curve("ReLU, 5 units per spin", (571, 301, 158, 83, 12), (5e-6, 8e-6, 2.9e-2, 0.55, 1.6)),),
    (10, 1.0): (Curve("ReLU, 5 units per spin", (571, 301, 158, 83, 12), (6e-5, 6e-4, 2.2e-2, 0.42, 0.89)),),
    (10, 2.0): (
        Curve("ReLU, 5 units per spin", (2050, 571, 301, 158, 83), (1.8e-4, 8.4e-4, 6.3e-3, 2.5e-2, 0.18)),
    ),
    (10, 4.0): (
        Curve("ReLU, 5 units per spin", (3880, 1080, 571, 301, 83), (5.3e-5, 1.2e-3, 2.8e-3, 3.4e-2, 0.10)),
    ),
    (10, 5.0): (
        Curve("ReLU, 5 units per spin", (2050, 1080, 571, 301, 83), (1.1e-4, 4.3e-4, 1.8e-3, 3.0e-2, 8.3e-2)),
    ),
    (10, 6.0): (
        Curve("ReLU, 5 units per spin", (3880, 1080, 571, 301, 83), (2.2e-5, 4.1e-4, 1e-3, 2e-2, 6.8e-2)),
    ),
}  # fmt: skip
"""Open squares by edge and field; figures 2 and 3a."""
TORIC = Curve("ReLU, 8 units per spin", *_by_density(18, {
    144: 5e-5, 27: 5e-5, 21: 1.5e-4, 16.4: 1.9e-4, 12.7: 2.7e-4, 9.9: 3.5e-4, 8.7: 9.8e-2, 6.7: 0.19, 4: 0.33,
    2.3: 0.39, 1.4: 0.45,
}), relative=True)  # fmt: skip
"""Of 3 x 3 vertices, figure 4a."""
DIPS = {
    4: (43, 38, 0.955), 5: (73, 64, 0.940), 6: (91, 80, 0.908), 7: (170, 150, 0.662), 8: (253, 223, 0.807),
    9: (277, 244, 0.69), 10: (372, 327, 0.575),
}  # fmt: skip
"""Smallest fidelity between two rounds at the critical field, by edge: weights before and after, and its value."""


def _edge(summary: TicketsSummary) -> int | None:
    """Of an open square of the Ising model, or a periodic one of the toric code, all couplings but the field 1."""
    system = summary.system
    if system is None or system.lattice is None or system.lattice.kind != "square":
        return None
    size = system.lattice.size
    edges = [size, size] if isinstance(size, int) else list(size)
    plain = all(abs(value - 1) < 1e-9 for name, value in system.couplings.items() if name != "h")
    return edges[0] if plain and len(set(edges)) == 1 else None


def _field(summary: TicketsSummary) -> float:
    return summary.system.couplings.get("h", math.nan) if summary.system is not None else math.nan


def curves(summary: TicketsSummary) -> tuple[Curve, ...]:
    """Published errors of the same system, whatever the network; none of others."""
    system, edge = summary.system, _edge(summary)
    if system is None or edge is None:
        return ()
    if system.model == "toric":
        return (TORIC,) if edge == 3 else ()
    if system.model != "ising" or system.periodic:
        return ()
    known = [found for (size, h), found in ISING.items() if size == edge and abs(h - _field(summary)) < 1e-6]
    return known[0] if known else ()


def dip(summary: TicketsSummary) -> tuple[float, float] | None:
    """Weights per spin and 1 - F of the published dip of the same system; None of others."""
    system, edge = summary.system, _edge(summary)
    critical = abs(_field(summary) - CRITICAL) < 1e-6
    if system is None or system.model != "ising" or system.periodic or not critical or edge not in DIPS:
        return None
    before, after, fidelity = DIPS[edge]
    return math.sqrt(before * after) / system.sites, 1 - fidelity
