"""The toric code on a torus, spins on edges: H = -star sum_v A_v - plaquette sum_p B_p."""

from __future__ import annotations

from wavefoundry.core.expect import edges_of
from wavefoundry.problems.lattice import build
from wavefoundry.problems.spins import LatticeSystem

__all__ = ["toric"]


def __dir__() -> list[str]:
    return __all__


def toric(rows: int, columns: int, *, star: float = 1.0, plaquette: float = 1.0) -> LatticeSystem:
    """Toric code on a torus of rows x columns vertices, 2 rows columns spins on the edges.

    A_v is the product of four X around a vertex, B_p that of four Z around a plaquette. At star = plaquette = 1 the
    ground energy is -2 rows columns, four-fold degenerate. Markov chains flip single edges or whole stars.

    Source: arXiv quant-ph/9707021; numbering of the edges as in arXiv 2505.22734.

    Args:
        rows, columns: vertices along each direction, at least 2.
        star, plaquette: couplings.

    Raises:
        InputError: an edge shorter than 2.
    """
    return build("toric", "square", edges_of((rows, columns), "toric"), star=star, plaquette=plaquette)
