"""Lattices as tables: cells, bonds, sublattices. Plain integers, so that study files can be checked without JAX.

Sites are numbered row by row over cells, and within a row cell by cell. A lattice with several sites in a cell has them
side by side: its extent is (rows, columns times sites in a cell), and a shift by a cell is one by that many sites.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import operator
from collections.abc import Sequence

Step = tuple[int, int, tuple[int, ...]]
"""A bond: site of the cell it starts from, site of the cell it leads to, and how many cells that one is away."""


@dataclasses.dataclass(frozen=True)
class Lattice:
    """One kind of lattice.

    axes: 1 or 2. basis: sites in a cell. shells: bonds to the nearest and second neighbours, each once.
    colours: how many sublattices an antiferromagnet on it orders in. period: edges (in cells) that are multiples of
    this, or open, allow for that order. colouring: weights of (row, column, site of the cell) that give the colour.
    fine, offsets: positions of the sites of a cell, in units of a cell divided by ``fine``; the first one is at its
    corner. triangles: of nearest neighbours that belong to a cell, three (site of the cell, cells away) each, all
    turning the same way.
    """

    name: str
    axes: int
    basis: int
    shells: tuple[tuple[Step, ...], ...]
    colours: int
    period: int
    colouring: tuple[int, ...]
    fine: int = 1
    offsets: tuple[tuple[int, ...], ...] = ()
    triangles: tuple[tuple[tuple[int, tuple[int, ...]], ...], ...] = ()

    @property
    def title(self) -> str:
        """In words."""
        return self.name if self.name == "chain" else f"{self.name} lattice"

    @property
    def bipartite(self) -> bool:
        """Whether nearest neighbours lie on two sublattices, as far as the edges allow."""
        return self.colours == 2

    def extent(self, cells: Sequence[int]) -> tuple[int, ...]:
        """Edges in sites, from those in cells."""
        return (*cells[:-1], cells[-1] * self.basis)

    def cells(self, extent: Sequence[int]) -> tuple[int, ...]:
        """Edges in cells, from those in sites."""
        return (*extent[:-1], extent[-1] // self.basis)

    def bonds(self, cells: Sequence[int], periodic: bool, shell: int = 1) -> list[tuple[int, int]]:
        """Pairs of sites that are ``shell``-th neighbours, each counted once, however often the edges lead to it."""
        # round an edge of one or two cells a bond may lead back
        return sorted({pair for pair in self._steps(cells, periodic, shell) if pair[0] != pair[1]})

    def coincide(self, cells: Sequence[int], periodic: bool, shells: int) -> bool:
        """Whether some bonds up to a shell lead to the same pair of sites, or back to one."""
        every = [pair for shell in range(1, shells + 1) for pair in self._steps(cells, periodic, shell)]
        return len(set(every)) < len(every) or any(a == b for a, b in every)

    def _steps(self, cells: Sequence[int], periodic: bool, shell: int) -> list[tuple[int, int]]:
        """Where the bonds of every cell lead."""
        found = []
        for cell in itertools.product(*map(range, cells)):
            for start, end, step in self.shells[shell - 1]:
                other = [place + shift for place, shift in zip(cell, step, strict=True)]
                inside = [place % edge for place, edge in zip(other, cells, strict=True)]
                if periodic or inside == other:
                    a, b = self._site(cell, start, cells), self._site(inside, end, cells)
                    found.append((min(a, b), max(a, b)))
        return found

    def _site(self, cell: Sequence[int], member: int, cells: Sequence[int]) -> int:
        index = 0
        for place, edge in zip(cell, cells, strict=True):
            index = index * edge + place
        return index * self.basis + member

    def colour(self, cells: Sequence[int]) -> list[int]:
        """Sublattice of every site, 0 to ``colours`` - 1."""
        places = itertools.product(*map(range, cells), range(self.basis))
        return [sum(map(operator.mul, self.colouring, place)) % self.colours for place in places]

    def places(self, cells: Sequence[int]) -> list[tuple[int, ...]]:
        """Position of every site, in units of a cell divided by ``fine`` along each edge."""
        offsets = self.offsets or ((0,) * self.axes,)
        corners = itertools.product(*map(range, cells))
        return [
            tuple(self.fine * place + part for place, part in zip(corner, offset, strict=True))
            for corner in corners
            for offset in offsets
        ]

    def wave_numbers(self, cells: Sequence[int]) -> list[tuple[int, ...]]:
        """Momenta as multiples of 2 pi / edge along the reciprocal lattice vectors, one of q and -q each.

        On lattices with several sites in a cell they fill the extended zone, beyond which positions repeat.
        """
        edges = [edge * self.fine for edge in cells]
        every = itertools.product(*map(range, edges))
        return [q for q in every if q <= tuple(-k % edge for k, edge in zip(q, edges, strict=True))]

    def trios(self, cells: Sequence[int], periodic: bool) -> list[tuple[int, ...]]:
        """Sites of all triangles of nearest neighbours, each once, all turning the same way."""
        found = []
        for cell in itertools.product(*map(range, cells)):
            for corners in self.triangles:
                others = [[a + b for a, b in zip(cell, step, strict=True)] for _, step in corners]
                inside = [[place % edge for place, edge in zip(other, cells, strict=True)] for other in others]
                if periodic or inside == others:
                    found.append(
                        tuple(self._site(one, member, cells) for one, (member, _) in zip(inside, corners, strict=True))
                    )
        return found

    def ordered(self, cells: Sequence[int], periodic: bool) -> bool:
        """Whether the sublattices fit the edges."""
        return not periodic or all(edge % self.period == 0 for edge in cells)

    def distance(self, cells: Sequence[int], periodic: bool, pair: tuple[int, int]) -> float:
        """Shortest distance between two sites, in units of the nearest one; lattices of one site in a cell."""
        steps = []
        for edge in reversed(cells):
            (i, a), (j, b) = (divmod(site, edge) for site in pair)
            pair = i, j
            steps.append(min(abs(a - b), edge - abs(a - b)) if periodic else abs(a - b))
        return math.hypot(*steps)


def _steps(*shifts: tuple[int, ...]) -> tuple[Step, ...]:
    return tuple((0, 0, shift) for shift in shifts)


_TRIANGLE = ((0, 1), (1, 0), (1, -1))
"""Nearest neighbours of the triangular lattice; second ones are sums of two of them."""

LATTICES: dict[str, Lattice] = {
    lattice.name: lattice
    for lattice in (
        Lattice("chain", 1, 1, (_steps((1,)), _steps((2,))), 2, 2, (1, 0)),
        Lattice("square", 2, 1, (_steps((0, 1), (1, 0)), _steps((1, 1), (1, -1))), 2, 2, (1, 1, 0)),
        Lattice(
            "triangular",
            2,
            1,
            (_steps(*_TRIANGLE), _steps((1, 1), (2, -1), (1, -2))),
            3,
            3,
            (-1, 1, 0),
            triangles=(((0, (0, 0)), (0, (0, 1)), (0, (1, 0))), ((0, (0, 0)), (0, (1, 0)), (0, (1, -1)))),
        ),
        Lattice(
            "honeycomb",
            2,
            2,
            (
                ((0, 1, (0, 0)), (0, 1, (-1, 0)), (0, 1, (0, -1))),
                tuple((site, site, step) for site, step in itertools.product((0, 1), _TRIANGLE)),
            ),
            2,
            1,
            (0, 0, 1),
            fine=3,
            offsets=((0, 0), (1, 1)),
        ),
        Lattice(
            "kagome",
            2,
            3,
            (
                ((0, 1, (0, 0)), (0, 2, (0, 0)), (1, 2, (0, 0)), (1, 0, (0, 1)), (2, 0, (1, 0)), (1, 2, (-1, 1))),
                ((0, 1, (-1, 0)), (0, 1, (1, -1)), (0, 2, (0, -1)), (0, 2, (-1, 1)), (1, 2, (0, 1)), (1, 2, (-1, 0))),
            ),
            3,
            1,
            (0, 0, 1),
            fine=2,
            offsets=((0, 0), (0, 1), (1, 0)),
            triangles=(((0, (0, 0)), (1, (0, 0)), (2, (0, 0))), ((1, (0, 0)), (2, (-1, 1)), (0, (0, 1)))),
        ),
    )
}
"""Built-in lattices by name: one entry is all a new one takes."""


def plain(extent: Sequence[int]) -> str:
    """The lattice that so many edges stand for where nothing else is said."""
    return "chain" if len(extent) == 1 else "square"
