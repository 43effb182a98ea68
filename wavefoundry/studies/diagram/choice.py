"""Which of several bases a coupling is adapted from, and where the choice changes: a crossing.

The expectation values of all terms are stored for every state, so the energy of a base at any coupling is a sum and
costs nothing. It says where to begin; where two bases are close, and on either side of a change, both are adapted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Record = Mapping[str, Any]
NEAR = 0.01
"""Bases whose energies at a coupling differ by less, relative to that of infinite temperature, are both adapted."""
BARS = 2.0
"""Energies that differ by fewer error bars agree; the V-score then says which state is the better one."""

CLEARLY = 0.8
"""V-scores of one state scatter by some per cent; below this ratio they are of two."""


def better(new: Record, old: Record) -> bool:
    """Whether a state is the better one at its couplings: lower beyond the error bars, or as low with less variance.

    Args:
        new, old: records of states of the same Hamiltonian; one without an energy is never better.
    """
    if new["energy"] is None or old["energy"] is None:
        return old["energy"] is None and new["energy"] is not None
    gain, bar = old["energy"] - new["energy"], math.hypot(new["energy_error"], old["energy_error"])
    if abs(gain) > BARS * bar and not math.isclose(new["energy"], old["energy"], rel_tol=1e-12):
        return gain > 0
    first, second = (math.inf if one["v_score"] is None else one["v_score"] for one in (new, old))
    return first < second


def gained(new: Record, old: Record) -> bool:
    """Whether a training has moved a state on: lower beyond the error bars, or as low with clearly less variance."""
    if not better(new, old):
        return False
    if old["energy"] is None:
        return True
    lower = old["energy"] - new["energy"] > BARS * math.hypot(new["energy_error"], old["energy_error"])
    return lower or old["v_score"] is None or new["v_score"] < CLEARLY * old["v_score"]


def best(records: Mapping[int, Record]) -> int:
    """Key of the best of some states, see ``better``; the first of them where none has an energy."""
    keys = list(records)
    found = keys[0]
    for key in keys[1:]:
        if better(records[key], records[found]):
            found = key
    return found


def zero_shot(record: Record, couplings: Mapping[str, float]) -> float:
    """Energy of a measured state at other couplings of its family; infinite where it has none."""
    terms = record["terms"]
    return sum(couplings[name] * terms[name]["value"] for name in terms) if terms else math.inf


def nearest(points: Sequence[Mapping[str, float]], places: Sequence[Mapping[str, float]]) -> list[list[int]]:
    """For each of some places the numbers of the points that are nearer to it than to any other, or as near.

    Couplings are measured in units of their range.
    """
    names = list(points[0])
    x, y = (np.array([[one[name] for name in names] for one in each]) for each in (points, places))
    width = np.ptp(np.vstack([x, y]), axis=0)
    apart = np.linalg.norm((x - y[:, None]) / np.where(width > 0, width, 1.0), axis=-1)
    return [np.flatnonzero(row <= apart.min(axis=0) + 1e-9).tolist() for row in apart]


class Neighbours(NamedTuple):
    """Two points that differ in one coupling, with none between them."""

    first: int
    second: int
    coupling: str


def neighbours(points: Sequence[Mapping[str, float]]) -> list[Neighbours]:
    """All pairs of neighbouring points, along every coupling, the smaller value first."""
    found = []
    for name in points[0]:
        lines: dict[tuple[float, ...], list[int]] = {}
        for index, point in enumerate(points):
            lines.setdefault(tuple(value for other, value in point.items() if other != name), []).append(index)
        for line in lines.values():
            line.sort(key=lambda index: points[index][name])
            pairs = zip(line, line[1:], strict=False)
            found += [Neighbours(i, j, name) for i, j in pairs if points[i][name] < points[j][name]]
    return found


def first_choice(energies: np.ndarray, scale: np.ndarray) -> set[tuple[int, int]]:
    """Pairs (base, point) to begin with: the lowest base of every point, and those that come near it.

    Args:
        energies: of every base at every point, (B, P). scale: of the energies of a point, (P,).
    """
    lowest = energies.min(axis=0)
    near = energies - lowest < NEAR * scale
    near[energies.argmin(axis=0), np.arange(energies.shape[1])] = True
    return {(int(base), int(point)) for base, point in np.argwhere(near)}


class Choice(NamedTuple):
    """Pairs (base, point) to adapt as far as is known, and the base of every point."""

    pairs: set[tuple[int, int]]
    bases: list[int]


def choose(start: set[tuple[int, int]], found: Mapping[tuple[int, int], Record], pairs: list[Neighbours]) -> Choice:
    """What to adapt from where, given what has been found: rounds, each on all that the one before has given.

    Where two neighbours prefer different bases, both are adapted from both. The rounds depend on results alone, not
    on the order in which they came.

    Args:
        start: pairs to begin with. found: records by pair. pairs: neighbouring points.
    """
    wanted, points = set(start), sorted({point for _, point in start})
    while True:
        there = {p: {b: found[b, p] for b in sorted(b for b, q in wanted if q == p) if (b, p) in found} for p in points}
        bases = [best(there[p]) if there[p] else min(b for b, q in wanted if q == p) for p in points]
        more = {
            (base, point) for i, j, _ in pairs if bases[i] != bases[j] for base, point in ((bases[j], i), (bases[i], j))
        } - wanted
        if any(pair not in found for pair in wanted) or not more:
            return Choice(wanted, bases)
        wanted |= more


def crossings(
    points: Sequence[Mapping[str, float]],
    bases: Sequence[int],
    found: Mapping[tuple[int, int], Record],
    pairs: Sequence[Neighbours],
) -> list[dict[str, Any]]:
    """Where the energies of two bases cross: between neighbours that are adapted from different ones.

    The difference of the energies is known at both ends, with its slopes (Hellmann-Feynman), so that a cubic passes
    through it. The error: that of the energies at the slope there, and how far the cubic is from a straight line. It
    does not count how far either state is above the lowest one of its kind.
    """
    rows = []
    for i, j, name in pairs:
        one, two = bases[i], bases[j]
        ends = [(found.get((one, p)), found.get((two, p))) for p in (i, j)]
        if one == two or any(r is None or r["energy"] is None for end in ends for r in end):
            continue
        value, error = _crossing(name, [(a, b) for a, b in ends if a is not None and b is not None])
        rows.append(
            {"coupling": name, "value": value, "error": error, "between": [dict(points[i]), dict(points[j])]}
            | {"bases": [one, two]}
        )
    return rows


def _crossing(name: str, ends: Sequence[tuple[Record, Record]]) -> tuple[float, float]:
    x = [one["couplings"][name] for one, _ in ends]
    d = [one["energy"] - two["energy"] for one, two in ends]
    bar = [math.hypot(one["energy_error"], two["energy_error"]) for one, two in ends]
    step = x[1] - x[0]
    slope = [step * (one["terms"][name]["value"] - two["terms"][name]["value"]) for one, two in ends]
    if not d[0] < 0 < d[1]:  # the energies agree within their bars on one side: it lies somewhere on that side
        return x[0] if abs(d[0]) < abs(d[1]) else x[1], step
    line = d[0] / (d[0] - d[1])
    cubic = [2 * d[0] - 2 * d[1] + sum(slope), -3 * d[0] + 3 * d[1] - 2 * slope[0] - slope[1], slope[0], d[0]]
    roots = np.roots(cubic)
    inside = [float(r.real) for r in roots if abs(r.imag) < 1e-9 and 0 <= r.real <= 1]
    at = min(inside, key=lambda t: abs(t - line), default=line)
    here = math.hypot((1 - at) * bar[0], at * bar[1]) / (d[1] - d[0])
    return x[0] + step * at, step * min(1.0, math.hypot(here, at - line))
