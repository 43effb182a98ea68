"""Where to pre-train: exact ground states of a small copy of the system, held against one another at all couplings.

A state bounds the energy at every coupling, E0(c) <= sum_k c_k <H_k>, and <H_k> is known from one diagonalisation. So
the energy of every ground state at every other coupling is a table, and the best places for k bases are a choice of its
rows: those whose largest excess, each coupling taking its best base, is smallest.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.artifacts.spec_tables import grid
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, number_of, plain_of
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.hamiltonians.model import Place
from wavefoundry.core.lattices import LATTICES
from wavefoundry.core.words import assigned
from wavefoundry.problems import exact, lattice
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.choice import Neighbours, neighbours
from wavefoundry.studies.diagram.networks import system_of

SMALL, CHAIN = 16, 12
"""Most sites that are diagonalised; of a chain that stands for a longer one."""
MOST_POINTS = 64
"""More points are thinned out evenly."""
MOST_BASES = 3
REACH = 0.1
"""As many bases are suggested as leave no larger relative excess: heads were seen to lower 2 to 7 % to 1e-4, and to
stay near 1 % where it had been 20 %."""
CROSSED = 0.5
"""Neighbouring ground states with a smaller overlap are different states."""


class Places(NamedTuple):
    """The best places for so many bases: their numbers, the largest excess, and the base of every point."""

    chosen: tuple[int, ...]
    excess: float
    of: list[int]


@dataclasses.dataclass(frozen=True, repr=False)
class Suggestion:
    """Where to pre-train, and why.

    Attributes:
        at: couplings of the bases, one suggestion. excess: largest relative excess of their energies over all points,
            before any adaptation. reasons: in words. system: what was diagonalised, in words.
        alternatives: the best places for every number of bases, with their excess.
        susceptibility: fidelity susceptibility per site between neighbouring points: ``coupling``, ``value``,
            ``chi``, ``overlap``.
    """

    at: list[dict[str, float]]
    excess: float
    reasons: list[str]
    system: str
    alternatives: list[dict[str, Any]]
    susceptibility: list[dict[str, Any]]

    def __repr__(self) -> str:
        return f"Suggestion: {self}"

    def __str__(self) -> str:
        values = {name: list(dict.fromkeys(p[name] for p in self.at)) for name in self.at[0]}
        cells = {name: ", ".join(f"{value:g}" for value in several) for name, several in values.items()}
        table = ", ".join(f"{n} = [{cells[n]}]" if len(values[n]) > 1 else f"{n} = {cells[n]}" for n in values)
        lines = [f"at = {{ {table} }}"]
        if math.prod(map(len, values.values())) != len(self.at):  # lists in a study file are a grid
            lines = [f"at = {{ {assigned(place)} }}" for place in self.at]
            lines.append(
                f"{len(self.at)} places that are no grid: a study file for each, or wf.map([base, ...], points)"
            )
        return "\n".join([*lines, f"from {self.system}", *self.reasons])

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)


def suggest_pretraining(
    system: LatticeSystem,
    points: Mapping[str, Any] | Sequence[Mapping[str, float]],
    *,
    bases: int | None = None,
    exponent: float = 3.0,
) -> Suggestion:
    """Where to pre-train for a diagram, from exact ground states of a small copy of the system.

    Sizes change what is found: a crossing moves, a transition sharpens. It is a start, not a proof.

    Args:
        system: from ``wavefoundry.lattice``; above 16 sites a smaller lattice of its kind takes its place.
        points: values by coupling, as for ``wf.map``, or a list of points.
        bases: how many; by default as many as leave no energy more than 10 % above the exact one, up to three.
        exponent: of ``ising-long-range``.

    Raises:
        InputError: unknown couplings, more bases than points, or a large system that cannot be made smaller.
    """
    expect(system, LatticeSystem, "lattice system", where="wf.suggest_pretraining", fix="one from wf.lattice")
    listed = _listed(points)
    small = system if system.sites <= SMALL else smaller(system, exponent)
    most = MOST_BASES if bases is None else bases
    if type(most) is not int or not 1 <= most <= min(8, max(1, len(listed))) and bases is not None:
        raise InputError(
            f"{bases!r} bases for {len(listed)} points",
            where="wf.suggest_pretraining: bases",
            why="1 to 8, at most one a point",
        )
    ground = _ground_states(small, listed)
    tables = [_best(ground, count) for count in range(1, min(most, len(ground.alone)) + 1)]
    number = len(tables) - 1
    if bases is None:
        number = next((k for k, one in enumerate(tables) if one.excess <= REACH), number)
    found = tables[number]
    chi = [_change(ground, listed, pair, small.sites) for pair in neighbours(listed)]
    alternatives = [{"at": [listed[i] for i in one.chosen], "excess": one.excess} for one in tables]
    words = f"exact ground states of {_words(small)} at {len(listed)} points"
    reasons = _reasons(found, tables, number, listed, chi)
    if left_out := len(listed) - len(ground.alone):
        which = "1 point has" if left_out == 1 else f"{left_out} points have"
        reasons.append(f"{which} several ground states there: no base, for which of them is trained cannot be told")
    return Suggestion([listed[i] for i in found.chosen], found.excess, reasons, words, alternatives, chi)


def of_study(spec: DiagramSpec, bases: int | None = None) -> Suggestion:
    """As ``suggest_pretraining``, for the points of a study file; where it pre-trains now does not matter.

    Raises:
        InputError: as there, in the words of the study file and of the command line.
    """
    points = spec.points_list()
    system = system_of(spec.system, spec.couplings(points[0]))
    try:
        return suggest_pretraining(system, points, bases=bases, exponent=spec.system.exponent)
    except InputError as error:
        raise error.at(_PLACES.get(error.where.rpartition(": ")[2], "[system]")) from None


_PLACES = {"bases": "--bases", "points": "[adapt], key adapt.points", "system": "[system]"}
"""What the arguments of ``suggest_pretraining`` are called on the command line and in study files."""


def smaller(system: LatticeSystem, exponent: float = 3.0) -> LatticeSystem:
    """The largest lattice of the same kind with at most 16 sites.

    Raises:
        InputError: a system of the user's own, or no such lattice is small enough.
    """
    kind, model = LATTICES.get(system.geometry), MODELS.get(system.model)
    if kind is None or model is None or not system.uniform:
        raise InputError(
            f"{system.sites} sites are too many to be diagonalised",
            where="wf.suggest_pretraining: system",
            why=f"at most {SMALL}; a system of your own, or with local couplings, cannot be made smaller",
            fix="the same family of Hamiltonians on fewer sites",
        )
    cells = kind.cells(system.extent)
    fitting = [
        edges
        for edges in itertools.product(range(1, SMALL + 1), repeat=kind.axes)
        if 2 <= kind.basis * math.prod(edges) <= (SMALL if kind.axes > 1 else CHAIN)
        and not model.lacks(Place(kind, edges, system.periodic))
        and not (model.sector and kind.basis * math.prod(edges) % 2)
        and kind.ordered(edges, system.periodic) >= kind.ordered(cells, system.periodic)
    ]
    if not fitting:
        raise InputError(
            f"no {kind.name} lattice of at most {SMALL} sites has these couplings", where="wf.suggest_pretraining"
        )
    edges = max(fitting, key=lambda e: (math.prod(e), min(e)))  # as many sites as may be, of the most even shape
    settings: dict[str, Any] = {"periodic": system.periodic, "exponent": exponent, **system.values}
    return lattice.build(system.model, system.geometry, edges, **settings)


class _Ground(NamedTuple):
    """Ground states of all points: vectors, (states, degeneracy) each, and the excess (bases, points).

    alone: points with a single ground state, which can be bases; all of them where none has.
    """

    vectors: list[np.ndarray]
    excess: np.ndarray
    alone: list[int]


def _ground_states(system: LatticeSystem, points: Sequence[Mapping[str, float]]) -> _Ground:
    energies, terms, vectors = [], [], []
    for point in points:
        here = system.at(**point)
        space = exact.ground_space(here.in_units().operator(), 4)
        energies.append(here.unit * space.energy)
        vectors.append(space.vectors)
        terms.append([exact.expectation(operator, space.vectors[:, 0]) for operator in here.operators])
    couplings = np.array([list(system.at(**point).values.values()) for point in points])
    zero = couplings @ system.trace
    scale = np.maximum(np.abs(np.array(energies) - zero), 1e-300)
    excess = (np.array(terms) @ couplings.T - np.array(energies)) / scale
    excess = np.maximum(excess, 0.0)
    # which of several ground states a training would find cannot be told
    alone = [k for k, vector in enumerate(vectors) if vector.shape[1] == 1]
    return _Ground(vectors, excess, alone or list(range(len(points))))


def _best(ground: _Ground, count: int) -> Places:
    """The rows whose worst column, each taking its best row, is smallest; ties by the mean."""
    excess, rows = ground.excess, ground.alone

    def cost(chosen: Sequence[int]) -> tuple[float, float]:
        low = excess[list(chosen)].min(axis=0)
        return float(np.round(low.max(), 12)), float(low.mean())

    if math.comb(len(rows), count) <= 50_000:
        chosen = min(itertools.combinations(rows, count), key=cost)
    else:
        found: list[int] = []
        for _ in range(count):
            found.append(min((i for i in rows if i not in found), key=lambda i: cost([*found, i])))
        chosen = tuple(sorted(found))
    return Places(chosen, cost(chosen)[0], [chosen[k] for k in excess[list(chosen)].argmin(axis=0)])


def _change(ground: _Ground, points: Sequence[Mapping[str, float]], pair: Neighbours, sites: int) -> dict[str, Any]:
    """How fast the ground state changes between two neighbours: chi_F = -2 ln F / (N dc^2), F the squared overlap."""
    one, two = ground.vectors[pair.first], ground.vectors[pair.second]
    overlap = min(1.0, float(np.linalg.norm(one.conj().T @ two, 2) ** 2))  # the largest one of degenerate states
    low, high = points[pair.first][pair.coupling], points[pair.second][pair.coupling]
    chi = max(0.0, -2 * math.log(max(overlap, 1e-12)) / (sites * (high - low) ** 2))
    return {
        "coupling": pair.coupling,
        "value": (low + high) / 2,
        "between": [low, high],
        "overlap": overlap,
        "chi": chi,
    }


def _reasons(
    found: Places,
    tables: Sequence[Places],
    number: int,
    points: Sequence[Mapping[str, float]],
    chi: list[dict[str, Any]],
) -> list[str]:
    said = []
    for base in found.chosen:
        covered = [points[p] for p in range(len(points)) if found.of[p] == base] or [points[base]]
        ranges = ", ".join(
            f"{name} = {min(p[name] for p in covered):g} to {max(p[name] for p in covered):g}" for name in points[0]
        )
        said.append(f"{assigned(points[base])} is the base of {len(covered)} points ({ranges})")
    said.append(f"no ground state lies more than {found.excess:.2g} (relative) below the nearest base as it is")
    if number + 1 < len(tables):
        now, then = (f"{one.excess:.2g}" for one in (found, tables[number + 1]))
        said.append(f"a further base would {'not lower that' if now == then else f'lower that to {then}'}")
    if number:
        said.append(f"with one base less it would be {tables[number - 1].excess:.2g}")
    for one in (one for one in chi if one["overlap"] < CROSSED):
        low, high = one["between"]
        said.append(
            f"the ground state is another one on either side of {one['coupling']} = {low:g} to {high:g} "
            f"(overlap {one['overlap']:.2g}): heads have to turn one into the other"
        )
    smooth = [one for one in chi if one["overlap"] >= CROSSED]
    if smooth and not any(one["overlap"] < CROSSED for one in chi):
        peak = max(smooth, key=lambda one: one["chi"])
        low, high = peak["between"]
        said.append(
            f"the ground state changes fastest between {peak['coupling']} = {low:g} and {high:g} "
            f"(fidelity susceptibility {peak['chi']:.2g} per site): features learnt there tell both sides apart"
        )
    return said


def _words(system: LatticeSystem) -> str:
    return f"{system.model} on {system.size} ({'periodic' if system.periodic else 'open'})"


def _values(name: Any, given: Any, where: str) -> list[float]:
    """Values of one coupling: a number, or several."""
    found = plain_of(given)
    several = found if isinstance(found, list | tuple | range) else [found]
    return [number_of(value, f"value of {name}", where=where) for value in several]


def _listed(points: Any) -> list[dict[str, float]]:
    """Points as a list, each once, thinned out where there are many."""
    where, example = "wf.suggest_pretraining: points", 'for example {"h": [0.8, 1.0, 1.2]}'
    if isinstance(points, Mapping):
        points = grid({str(name): _values(name, given, where) for name, given in points.items()})
    try:
        listed = [{str(name): float(value) for name, value in point.items()} for point in points]
    except (TypeError, ValueError, AttributeError):
        raise InputError("points are values by name of a coupling", where=where, fix=example) from None
    once = [dict(point) for point in dict.fromkeys(tuple(point.items()) for point in listed)]
    if not once or not once[0]:
        raise InputError("no couplings to choose from", where=where, fix=example)
    if len(once) > MOST_POINTS:
        once = [once[round(k)] for k in np.linspace(0, len(once) - 1, MOST_POINTS)]
    return once
