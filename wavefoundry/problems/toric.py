"""The toric code on a torus, spins on edges: H = -star sum_v A_v - plaquette sum_p B_p."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import netket as nk
import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import edges_of
from wavefoundry.core.torus import plaquettes, stars
from wavefoundry.problems.lattice import from_netket
from wavefoundry.problems.spins import LatticeSystem


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
    rows, columns = edges_of((rows, columns), "toric")
    if min(rows, columns) < 2:
        raise InputError(
            f"a {rows} x {columns} torus is too small",
            where="toric",
            why="a star would hold an edge twice",
            fix="[2, 2]",
        )
    sites = 2 * rows * columns
    hilbert = nk.hilbert.Spin(0.5, sites)
    build: Any = nk.operator.PauliStringsJax
    terms = {
        name: build(hilbert, [_string(sites, quad, letter) for quad in quads], [-1.0] * len(quads))
        for name, quads, letter in (
            ("star", stars(rows, columns), "X"),
            ("plaquette", plaquettes(rows, columns), "Z"),
        )
    }
    system = from_netket(
        terms, {"star": star, "plaquette": plaquette}, extent=(2 * rows, columns), periodic=True, model="toric"
    )
    groups = np.zeros((rows * columns, sites), dtype=bool)
    np.put_along_axis(groups, stars(rows, columns), True, axis=1)
    return eqx.tree_at(lambda s: s.groups, system, jnp.asarray(groups), is_leaf=lambda leaf: leaf is None)


def _string(sites: int, places: np.ndarray, letter: str) -> str:
    return "".join(letter if site in places else "I" for site in range(sites))
