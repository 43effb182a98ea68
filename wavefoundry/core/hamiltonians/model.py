"""What a built-in Hamiltonian is: terms, couplings, bounds, sign rule, conventions, order, exact values.

One ``Model`` in a file of its own is all a new one takes: study files, the Python interface, checks, observables of
tickets, references and reports read it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from wavefoundry.core.expect import Problem
from wavefoundry.core.lattices import LATTICES, Lattice, plain

Values = Mapping[str, float]
Sets = dict[str, list[tuple[int, ...]]]
SPINS = ("chain", "square", "triangular", "honeycomb", "kagome")


class Place(NamedTuple):
    """Where a model lives: lattice, cells along every edge, boundary."""

    lattice: Lattice
    cells: tuple[int, ...]
    periodic: bool


Places = Callable[[Place], Sequence[Sequence[int]]]
"""Sites of every string of a term that is not told by a shell of neighbours."""


@dataclasses.dataclass(frozen=True)
class Term:
    """Pauli strings that share a coupling: ``letters`` on the sites (shell 0) or the bonds of a shell, with a weight.

    shell None: on all pairs, the weight divided by the distance to the power of the model's ``exponent``. A function:
    places of its own. mean: name of the average of a string, where it is an order parameter.
    """

    coupling: str
    letters: tuple[str, ...]
    shell: int | Places | None
    weight: float
    mean: str = ""

    def places(self, where: Place, spins: int) -> list[tuple[int, ...]]:
        """Sites of every string on ``spins`` sites, for each of the letters."""
        if self.shell == 0:
            return [(site,) for site in range(spins)]
        if self.shell is None:
            return [(i, j) for i in range(spins) for j in range(i + 1, spins)]
        if callable(self.shell):
            return [tuple(map(int, place)) for place in self.shell(where)]
        return list(where.lattice.bonds(where.cells, where.periodic, self.shell))


@dataclasses.dataclass(frozen=True)
class Model:
    """One kind of Hamiltonian.

    title, convention: in words. couplings: their defaults. terms: what they stand before. unit: the coupling that
    energies are given in. gauges: names of the changes of basis in which no off-diagonal element is positive at given
    couplings; the second argument says whether the Marshall rule is in use. lattices: where it lives. sector: whether
    the magnetisation along z is kept at zero. order: of the moments that are measured, "uniform" or by "sublattice".
    ranged: couplings fall off with a power of the distance.

    bounds: smallest and largest value of couplings that have such. spins: of them for every site of the lattice. home:
    what the lattice is called where not by its kind. rows: whether spins stand in rows and columns, as windows and
    patches need. boundaries: values that ``periodic`` may have. least: fewest cells along an edge, and why. flips: the
    coupling whose strings are moves of Markov chains.

    exact: exact ground-state values as far as they are known at a place and couplings, {"energy": ..., "m2": ...}, or
    None; the function, or "module:name" of it. competing: two order parameters of which a transition changes both.
    sets: named sets of sites that units of a network may stand for; by default bonds and plaquettes. onset: from these,
    and whether units are even, the number of weights at which errors are conjectured to set in, and in words why.
    drawn: positions of the spins and the periods of the drawing.
    """

    name: str
    title: str
    convention: str
    couplings: dict[str, float]
    terms: tuple[Term, ...]
    unit: str
    gauges: Callable[[Values, bool], set[str]]
    lattices: tuple[str, ...] = SPINS
    sector: bool = False
    order: Literal["uniform", "sublattice"] = "uniform"
    ranged: bool = False
    bounds: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    spins: int = 1
    home: str = ""
    rows: bool = True
    boundaries: tuple[bool, ...] = (True, False)
    least: tuple[int, str] | None = None
    flips: str | None = None
    exact: Callable[[Place, Values], dict[str, float] | None] | str | None = None
    competing: tuple[str, ...] = ()
    sets: Callable[[Place], Sets] | None = None
    onset: Callable[[Sets, bool], tuple[str, int]] | None = None
    drawn: Callable[[Place], tuple[list[tuple[float, float]], tuple[float, float]]] | None = None

    def states(self, sites: int) -> int:
        """Number of configurations of so many spins."""
        return math.comb(sites, sites // 2) if self.sector else 2**sites

    def extent(self, where: Place) -> tuple[int, ...]:
        """Edges in spins."""
        first, *rest = where.lattice.extent(where.cells)
        return (self.spins * first, *rest)

    def place(self, extent: Sequence[int], geometry: str, periodic: bool) -> Place:
        """Where a system of these edges in spins lives; geometry: name of its lattice, or empty."""
        lattice = LATTICES[geometry or plain(extent)]
        first, *rest = extent
        return Place(lattice, lattice.cells((first // self.spins, *rest)), periodic)

    def known(self, where: Place, values: Values) -> dict[str, float] | None:
        """``exact`` at these couplings; None where nothing is known."""
        if isinstance(self.exact, str):
            from importlib import import_module

            module, name = self.exact.split(":")
            return getattr(import_module(module), name)(where, values)
        return None if self.exact is None else self.exact(where, values)

    def outside(self, values: Values) -> tuple[str, str] | None:
        """The first coupling that is out of its bounds, and the words for it."""
        for name, (low, high) in self.bounds.items():
            if name in values and not low <= values[name] <= high:
                ends = [f"at least {low:g}"] * (low > -math.inf) + [f"at most {high:g}"] * (high < math.inf)
                return name, f"{name} = {values[name]:g} is out of bounds: {self.name} takes {' and '.join(ends)}"
        return None

    def shells(self) -> int:
        """The farthest shell of bonds in it."""
        return max(term.shell if isinstance(term.shell, int) else 0 for term in self.terms)

    def marshall(self, lattice: Lattice, cells: Sequence[int], periodic: bool) -> bool:
        """Whether the Marshall sign rule makes sense: an antiferromagnet on two sublattices."""
        return self.sector and lattice.bipartite and lattice.ordered(cells, periodic)

    def too_small(self, where: Place) -> Problem | None:
        """What is wrong with a lattice that has too few cells along an edge."""
        if not (why := self.lacks(where)):
            return None
        size = " x ".join(map(str, where.cells))
        what = f"{size} cells are too small a {self.home or where.lattice.title} for {self.name}"
        return Problem(("lattice", "size"), what, why, f"size = {list(self.enough(where))}")

    def lacks(self, where: Place) -> str:
        """What is missing on a lattice with too few cells along an edge, or an empty text."""
        lattice, cells, periodic = where
        if self.least is not None:
            return self.least[1] if min(cells) < self.least[0] else ""
        if periodic and lattice.coincide(cells, True, self.shells()):
            return "round an edge so short different bonds lead to the same two sites"
        empty = [n for n in range(1, self.shells() + 1) if not lattice.bonds(cells, periodic, n)]
        return f"there is no {('nearest', 'second')[empty[0] - 1]} neighbour" if empty else ""

    def enough(self, where: Place) -> tuple[int, ...]:
        """The smallest edges that do, none shorter than those of a place."""
        shortest = min(where.cells)
        for least in range(shortest, shortest + 9):
            cells = tuple(max(edge, least) for edge in where.cells)
            odd = self.sector and self.spins * where.lattice.basis * math.prod(cells) % 2
            if not odd and not self.lacks(where._replace(cells=cells)):
                return cells
        raise RuntimeError(f"no lattice is large enough for {self.name}")
