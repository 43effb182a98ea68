"""The toric code. Source: arXiv quant-ph/9707021; numbering of the edges as in arXiv 2505.22734."""

from __future__ import annotations

import itertools
from typing import Any

from wavefoundry.core.hamiltonians.model import Model, Place, Sets, Term, Values


def _stars(where: Place) -> Any:
    from wavefoundry.core.torus import stars  # late: study files are read without an array library

    return stars(*where.cells)


def _plaquettes(where: Place) -> Any:
    from wavefoundry.core.torus import plaquettes

    return plaquettes(*where.cells)


def _sets(where: Place) -> Sets:
    quads = {"plaquette": _plaquettes(where), "star": _stars(where)}
    return {name: [tuple(sorted(map(int, quad))) for quad in found] for name, found in quads.items()}


def _energy(where: Place, values: Values) -> dict[str, float] | None:
    """Every stabiliser is 1 where both couplings favour it; the space of such states is four-fold degenerate."""
    count = where.cells[0] * where.cells[1]
    return {"energy": -sum(values.values()) * count} if min(values.values()) >= 0 else None


def _onset(sets: Sets, even: bool) -> tuple[str, int]:
    # log cosh is even: a filter and its negative are one, and half as many tell the parities apart
    each, words = (12, "three") if even else (24, "six")
    name = f"{each} (P - 1), {words} filters of four edges per independent plaquette"
    return name, each * (len(sets["plaquette"]) - 1)


def _drawn(where: Place) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """The middle of every edge, in the order of ``core.torus``."""
    rows, columns = where.cells
    cells = list(itertools.product(range(rows), range(columns)))
    return [(x + 0.5, float(y)) for x, y in cells] + [(float(x), y + 0.5) for x, y in cells], (rows, columns)


MODELS = (
    Model(
        "toric",
        "toric code",
        "total energy of H = -star sum_v A_v - plaquette sum_p B_p, products of four X and four Z",
        {"star": 1.0, "plaquette": 1.0},
        (
            Term("star", ("XXXX",), _stars, -1.0, mean="star"),
            Term("plaquette", ("ZZZZ",), _plaquettes, -1.0, mean="plaquette"),
        ),
        "star",
        lambda values, rule: {"none"} if values["star"] >= 0 else set(),
        lattices=("square",),
        spins=2,
        home="torus",
        rows=False,
        boundaries=(True,),
        least=(2, "a star would hold an edge twice"),
        flips="star",
        exact=_energy,
        competing=("star", "plaquette"),
        sets=_sets,
        onset=_onset,
        drawn=_drawn,
    ),
)
