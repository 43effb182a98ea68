"""The built-in Hamiltonians as one table: terms, couplings, bounds, sign rule, conventions, order.

One entry is all a new model takes: study files, the Python interface, checks and reports read it here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from wavefoundry.core.lattices import Lattice

Values = Mapping[str, float]
SPINS = ("chain", "square", "triangular", "honeycomb", "kagome")


@dataclasses.dataclass(frozen=True)
class Term:
    """Pauli strings that share a coupling: ``letters`` on the sites (shell 0) or the bonds of a shell, with a weight.

    shell None: on all pairs, the weight divided by the distance to the power of the model's ``exponent``.
    """

    coupling: str
    letters: tuple[str, ...]
    shell: int | None
    weight: float


@dataclasses.dataclass(frozen=True)
class Model:
    """One kind of Hamiltonian.

    title, convention: in words. couplings: their defaults. terms: what they stand before. unit: the coupling that
    energies are given in. lattices: where it lives. sector: whether the magnetisation along z is kept at zero. order:
    of the moments that are measured, "uniform" or by "sublattice". gauges: names of the changes of basis in which no
    off-diagonal element is positive at given couplings; the argument says whether the Marshall rule is in use.
    critical: couplings of known transitions by lattice.
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

    def shells(self) -> int:
        """The farthest shell of bonds in it."""
        return max(term.shell or 0 for term in self.terms)

    def marshall(self, lattice: Lattice, cells: Sequence[int], periodic: bool) -> bool:
        """Whether the Marshall sign rule makes sense: an antiferromagnet on two sublattices."""
        return self.sector and lattice.bipartite and lattice.ordered(cells, periodic)

    def least_edge(self, lattice: Lattice, periodic: bool) -> int:
        """Fewest cells along an edge: on fewer, neighbours would coincide."""
        if not periodic:
            return 4 if (self.shells(), lattice.name) == (2, "chain") else 2
        if self.ranged or lattice.basis > 1:
            return 3 if lattice.axes == 1 else 2
        return {1: 3, 2: 6 if lattice.axes == 1 else 4}[self.shells()]


def _field(values: Values, rule: bool) -> set[str]:
    """Of transverse fields: a field of either sign, the sign rule of all sites turns it round."""
    return {name for name, holds in (("none", values["h"] >= 0), ("all sites", values["h"] <= 0)) if holds}


def _exchange(first: str, second: str | None) -> Callable[[Values, bool], set[str]]:
    """Of exchange between spins.

    Antiferromagnetic first neighbours with the Marshall rule, ferromagnetic ones without; second neighbours
    ferromagnetic.
    """

    def gauges(values: Values, rule: bool) -> set[str]:
        beyond = second is None or values[second] <= 0
        if rule:
            return {"Marshall"} if values[first] >= 0 and beyond else set()
        return {"none"} if values[first] <= 0 and beyond else set()

    return gauges


def _spins(coupling: str, shell: int, letters: tuple[str, ...] = ("XX", "YY", "ZZ")) -> Term:
    """S.S, or a part of it, on the bonds of a shell: spin operators are half the Pauli matrices."""
    return Term(coupling, letters, shell, 0.25)


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model(
            "ising",
            "transverse-field Ising model",
            "total energy of H = -J sum_<ij> Z_i Z_j - h sum_i X_i in Pauli matrices",
            {"J": 1.0, "h": 1.0},
            (Term("J", ("ZZ",), 1, -1.0), Term("h", ("X",), 0, -1.0)),
            "J",
            _field,
        ),
        Model(
            "ising-long-range",
            "transverse-field Ising model with power-law couplings",
            "total energy of H = -J sum_i<j Z_i Z_j / r_ij^exponent - h sum_i X_i in Pauli matrices",
            {"J": 1.0, "h": 1.0},
            (Term("J", ("ZZ",), None, -1.0), Term("h", ("X",), 0, -1.0)),
            "J",
            _field,
            lattices=("chain", "square"),
            ranged=True,
        ),
        Model(
            "j1j2",
            "J1-J2 Heisenberg model",
            "total energy of H = J1 sum_nn S_i.S_j + J2 sum_nnn S_i.S_j in spin operators S = sigma / 2",
            {"J1": 1.0, "J2": 0.0},
            (_spins("J1", 1), _spins("J2", 2)),
            "J1",
            _exchange("J1", "J2"),
            sector=True,
            order="sublattice",
        ),
        Model(
            "xxz",
            "XXZ model",
            "total energy of H = sum_<ij> Jxy (Sx_i Sx_j + Sy_i Sy_j) + Jz Sz_i Sz_j in spin operators S = sigma / 2",
            {"Jxy": 1.0, "Jz": 1.0},
            (_spins("Jxy", 1, ("XX", "YY")), _spins("Jz", 1, ("ZZ",))),
            "Jxy",
            _exchange("Jxy", None),
            sector=True,
            order="sublattice",
        ),
    )
}
"""Built-in models of spins on the sites of a lattice, by the names they have in study files."""
