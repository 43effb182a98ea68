"""Where a finished diagram shows a transition: by fidelities, by the energy, by an order parameter, or not at all.

Every method looks at a curve along the one coupling that varies, and gives a place with an error bar or says why it
sees none. All of them see the transition of the finite lattice, which lies beside that of the infinite one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.overlaps import Overlap
from wavefoundry.core.scans import Peak, Scan, peak, resampled, slopes

ORTHOGONAL = 0.1
"""Largest part of the fidelity (two error bars up) that phases leave across a level crossing, and least fidelity of the
densities there: states of long lattices become orthogonal across any step, but then their densities do too."""
BEYOND = 12.0
"""-log F across a level crossing exceeds that of the steps around it by this factor. Across the continuous transition
of the Ising chain of any length the factor stays below 8, whatever the grid."""
JUMP = 5.0
"""So many times the slopes on either side is the slope of <H_k> across a level crossing (Ising chain: below 2)."""
UNSETTLED = {"NOT-CONVERGED", "HIGH-VARIANCE", "LOWER-STATE"}
"""Flags of states that may be off by more than their error bars say."""
NO_SAMPLES = "no fidelity could be told: fewer than five states with samples that meet"

Pairs = Mapping[tuple[int, int], Overlap]


class Line(NamedTuple):
    """The points of a diagram along one coupling, in increasing order; those without a usable number are left out."""

    name: str
    x: np.ndarray
    records: list[Mapping[str, Any]]
    index: list[int]  # of each in the diagram
    lost: int = 0


def line_of(records: Sequence[Mapping[str, Any]]) -> Line | str:
    """The points in line, or in words why they form none."""
    names = [n for n in records[0]["couplings"] if len({record["couplings"][n] for record in records}) > 1]
    if len(names) != 1:
        return "several couplings vary: there is no line to look along" if names else "no coupling varies"
    chosen: dict[float, int] = {}
    for index, record in enumerate(records):
        if record["energy"] is not None and record["verdict"] != "refused":
            chosen.setdefault(record["couplings"][names[0]], index)
    order = [chosen[value] for value in sorted(chosen)]
    lost = len({record["couplings"][names[0]] for record in records}) - len(order)
    return Line(names[0], np.array(sorted(chosen), float), [records[i] for i in order], order, lost)


def transitions(line: Line, pairs: Pairs, spreads: Mapping[int, tuple[float, float]], model: str) -> list[dict]:
    """What every method says, the one to be believed first.

    Args:
        line: the points. pairs: overlaps of points i < j of the line, of neighbours and of next neighbours. spreads:
            at points of the line, twice the variance of the derivative of log psi along the coupling, with error.
        model: name of the Hamiltonian.
    """
    steps = _steps(line, pairs)
    crossed = _crossing(line, pairs, steps)
    found = [
        crossed,
        _entry("fidelity", line, *_susceptibility(line, pairs, steps)),
        _entry("log-derivative", line, *_spread(line, spreads)),
        _entry("curvature", line, *_curvature(line)),
        _entry("binder", line, *_binder(line, model)),
    ]
    found = [_widened(one, line) for one in found]
    if crossed["verdict"] == "seen":
        for one in found[1:]:
            # a jump is no maximum: a curve over a grid of finite steps looks like one nevertheless
            if one["verdict"] == "seen" and one["method"] != "binder":
                one |= {"value": None, "error": None, "verdict": "not seen", "why": "a level crossing is no maximum"}
    return found


def _widened(entry: dict[str, Any], line: Line) -> dict[str, Any]:
    """The same with a step of the grid added to the error where a state nearby is doubtful: it can move the maximum.

    Resampling knows of the scatter of samples, not of what a state is off.
    """
    if entry["verdict"] != "seen":
        return entry
    order = np.argsort(np.abs(line.x - entry["value"]))[:3]
    doubtful = sorted(float(line.x[i]) for i in order if UNSETTLED & {flag.rstrip("!") for flag in _flags(line, i)})
    if not doubtful:
        return entry
    step = float(np.max(np.diff(np.sort(line.x[order]))))
    places = ", ".join(f"{value:g}" for value in doubtful)
    why = f"{entry['why']}, to a step of the grid: the states at {places} had not come to rest or vary too much"
    return entry | {"error": math.hypot(entry["error"], step), "why": why}


def _flags(line: Line, i: int) -> Sequence[str]:
    return line.records[i].get("flags") or ()


def best_of(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first method that sees a transition, without its curve; else why there is none."""
    seen = next((one for one in found if one["verdict"] == "seen"), None)
    if seen is None:
        name = found[0]["coupling"] if found else None
        return none_at(name, "; ".join(f"{TITLES[one['method']]}: {one['why']}" for one in found))
    agree = [
        TITLES[one["method"]] for one in found if one is not seen and one["verdict"] == "seen" and _agree(seen, one)
    ]
    differ = [
        TITLES[one["method"]] for one in found if one["verdict"] == "seen" and one is not seen and not _agree(seen, one)
    ]
    why = seen["why"] + (f"; {', '.join(agree)} agree" if agree else "")
    why += f"; {', '.join(differ)} differ by more than three error bars" if differ else ""
    return {key: seen[key] for key in ("coupling", "value", "error", "method")} | {"why": why}


def none_at(name: str | None, why: str) -> dict[str, Any]:
    """The result where no transition is seen."""
    return {"coupling": name, "value": None, "error": None, "method": None, "why": why}


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return abs(one["value"] - other["value"]) <= 3 * math.hypot(one["error"], other["error"])


TITLES = {
    "crossing": "level crossing",
    "fidelity": "fidelity susceptibility",
    "log-derivative": "variance of d log psi",
    "curvature": "second derivative of the energy",
    "binder": "slope of the Binder ratio",
}
"""Methods in words, in the order in which they are believed."""


def _entry(method: str, line: Line, scan: Scan | None, found: Peak) -> dict[str, Any]:
    curve = None
    if scan is not None:
        curve = {"couplings": scan.x.tolist(), "values": scan.y.tolist(), "errors": scan.error.tolist()}
    at, error = (found.at, found.error) if found.seen else (None, None)
    verdict = "seen" if found.seen else "not seen"
    return {"method": method, "coupling": line.name, "value": at, "error": error, "verdict": verdict,
            "why": found.why, "curve": curve}  # fmt: skip


def _steps(line: Line, pairs: Pairs) -> list[tuple[int, int]]:
    """Neighbouring points, without those that are unlike both their neighbours while these are like each other.

    Such a point is a state of its own, not a transition: the fidelity of its neighbours is larger than both of its own.
    """
    kept = list(range(len(line.x)))
    for i in range(1, len(line.x) - 1):
        left, right, over = (pairs.get(pair) for pair in ((i - 1, i), (i, i + 1), (i - 1, i + 1)))
        if left is None or right is None or over is None or not over.told or i - 1 not in kept:
            continue
        if all(over.fidelity - one.fidelity > 3 * math.hypot(over.error, one.error) for one in (left, right)):
            kept.remove(i)
    return [(i, j) for i, j in zip(kept, kept[1:], strict=False) if (i, j) in pairs]


def _susceptibility(line: Line, pairs: Pairs, steps: list[tuple[int, int]]) -> tuple[Scan | None, Peak]:
    """-2 log F / step^2 between neighbours.

    Source: arXiv 1308.5917 (twice its definition, which takes the overlap and not its square).
    """
    rows = []
    for i, j in steps:
        one, step = pairs[i, j], line.x[j] - line.x[i]
        if one.told and one.fidelity > 2 * one.error:
            value, error = -2 * math.log(one.fidelity) / step**2, 2 * one.error / one.fidelity / step**2
            rows.append(((line.x[i] + line.x[j]) / 2, value, error))
    if len(rows) < 4:
        return None, Peak(math.nan, math.nan, NO_SAMPLES)
    scan = Scan(*map(np.array, zip(*rows, strict=True)))
    lost = [pair for pair in steps if not pairs[pair].told or pairs[pair].fidelity <= 2 * pairs[pair].error]
    if lost:
        i, j = lost[0]
        why = f"no fidelity between {line.x[i]:g} and {line.x[j]:g}: the states do not overlap within their error bars"
        return scan, Peak(math.nan, math.nan, why)
    return scan, peak(scan)


def _spread(line: Line, spreads: Mapping[int, tuple[float, float]]) -> tuple[Scan | None, Peak]:
    """2 Var(d log psi / dc), the same susceptibility, from the change of the amplitudes on samples of a point."""
    if len(spreads) < 4:
        return None, Peak(math.nan, math.nan, NO_SAMPLES)
    order = sorted(spreads)
    values, errors = zip(*(spreads[i] for i in order), strict=True)
    scan = Scan(line.x[order], np.array(values), np.array(errors))
    return scan, peak(scan)


def _term(line: Line, name: str) -> tuple[np.ndarray, np.ndarray]:
    rows = [record["terms"][name] for record in line.records]
    return np.array([row["value"] for row in rows], float), np.array([row["error"] for row in rows], float)


def _curvature(line: Line) -> tuple[Scan | None, Peak]:
    """-d^2 E / dc^2 = -d<H_c> / dc (Hellmann-Feynman), by differences; not negative for ground states."""
    if len(line.x) < 5:
        return None, Peak(math.nan, math.nan, f"{len(line.x)} points are too few")
    value, error = _term(line, line.name)
    scan = slopes(line.x, -value, error)
    return scan, peak(scan)


def _binder(line: Line, model: str) -> tuple[Scan | None, Peak]:
    """Where the Binder ratio 1 - <m^4> / (3 <m^2>^2) changes fastest: on a single lattice, no curves cross.

    It is made of moments that all-spin flips do not change.
    """
    if model not in MODELS or MODELS[model].order != "uniform":
        return None, Peak(math.nan, math.nan, "no order parameter is known for this model")
    if len(line.x) < 5 or any("binder" not in record["observables"] for record in line.records):
        return None, Peak(math.nan, math.nan, "the Binder ratio was not measured at five points")
    rows = [record["observables"]["binder"] for record in line.records]
    ratio, error = (np.array([row[key] for row in rows], float) for key in ("value", "error"))
    sign = -1.0 if ratio[-1] < ratio[0] else 1.0
    scan = slopes(line.x, sign * ratio, error)
    return scan, peak(scan)


def _crossing(line: Line, pairs: Pairs, steps: list[tuple[int, int]]) -> dict[str, Any]:
    """Two levels that exchange their roles: orthogonal states next to each other, or a jump of <H_c>."""
    entry = _entry("crossing", line, None, Peak(math.nan, math.nan, "neighbouring states overlap, <H> does not jump"))
    if len(line.x) < 5:
        return entry | {"why": f"{len(line.x)} points are too few"}
    spans = [(i, i + 1) for i in range(len(line.x) - 1)]
    spans = [span for span in spans if _orthogonal(line, pairs, *span)]
    near = {k for span in spans for k in span}
    # a point may stand on the crossing itself, in any superposition of both levels
    spans += [
        (i, i + 2)
        for i in range(len(line.x) - 2)
        if not near & {i, i + 1, i + 2} and _orthogonal(line, pairs, i, i + 2)
    ]
    words = "the states on either side are orthogonal: F = {F:.2g} +- {e:.1g}"
    if not spans:
        spans = [(i, i + 1) for i in range(1, len(line.x) - 2) if _jumps(line, i)]
        words = "<H> jumps from {left:.4g} to {right:.4g}"
    if not spans:
        return entry
    term, all_of_them = _term(line, line.name)[0], []
    for i, j in sorted(spans):
        value, error = _meeting(line, pairs, i, j)
        one = pairs.get((i, j), Overlap(math.nan, math.nan))
        why = words.format(F=max(one.fidelity, 0.0), e=one.error, left=term[i], right=term[j])
        all_of_them.append({"value": value, "error": error, "why": f"{why} between {line.x[i]:g} and {line.x[j]:g}"})
    found = entry | all_of_them[0] | {"verdict": "seen", "crossings": all_of_them}
    further = ", ".join(f"{one['value']:.4g}" for one in all_of_them[1:])
    return found | {"why": found["why"] + (f"; further ones at {further}" if further else "")}


def _orthogonal(line: Line, pairs: Pairs, i: int, j: int) -> bool:
    """Whether phases make the states i and j orthogonal, while the nearest steps on both sides that are none such are
    as between states of one level.
    """
    if not _cancels(pairs.get((i, j))):
        return False
    one, rates = pairs[i, j], []
    for steps in (((k - 1, k) for k in range(i, 0, -1)), ((k, k + 1) for k in range(j, len(line.x) - 1))):
        step = next((step for step in itertools.islice(steps, 2) if not _cancels(pairs.get(step))), None)
        side = None if step is None else pairs.get(step)
        if step is None or side is None or not side.told:
            return False
        least = min(max(side.fidelity - 2 * side.error, 1e-12), 1 - 1e-12)
        rates.append(-math.log(least) / (line.x[step[1]] - line.x[step[0]]) ** 2)
    largest = max(one.fidelity + 2 * one.error, 1e-12)
    return -math.log(largest) / (line.x[j] - line.x[i]) ** 2 > BEYOND * max(rates)


def _cancels(one: Overlap | None) -> bool:
    """Whether two states share their configurations and are orthogonal by their phases."""
    return one is not None and one.told and one.common > ORTHOGONAL > (one.fidelity + 2 * one.error) / one.common


def _jumps(line: Line, i: int) -> bool:
    """Whether <H_c> changes between i and i + 1 far more than around."""
    value, error = _term(line, line.name)
    rate, step = np.abs(np.diff(value)) / np.diff(line.x), np.diff(line.x)
    bar = np.hypot(error[1:], error[:-1]) / step
    return bool(rate[i] - 3 * bar[i] > JUMP * max(rate[k] + 3 * bar[k] for k in (i - 1, i + 1)))


def _meeting(line: Line, pairs: Pairs, i: int, j: int) -> tuple[float, float]:
    """Where the level of the states up to i and that of the states from j on have the same energy.

    Each level is continued by its energy, its slope <H_c>, and how the slope changes to the point beyond, where that
    belongs to it; error bars by resampling, and half of what the change of slope moves.
    """
    terms, errors = _term(line, line.name)
    energy = np.array([record["energy"] for record in line.records], float)
    bars = np.array([record["energy_error"] for record in line.records], float)
    ends = [(p, q, not _cancels(pairs.get((min(p, q), max(p, q))))) for p, q in ((i, i - 1), (j, j + 1))]
    ends = [(p, q, inside and 0 <= q < len(line.x)) for p, q, inside in ends]
    c = np.linspace(line.x[i], line.x[j], 2001)

    def meet(e: np.ndarray, t: np.ndarray, bend: float) -> float:
        levels = []
        for p, q, inside in ends:
            turn = (t[p] - t[q]) / (line.x[p] - line.x[q]) / 2 if inside else 0.0
            levels.append(e[p] + t[p] * (c - line.x[p]) + bend * turn * (c - line.x[p]) ** 2)
        return float(c[np.argmin(np.abs(levels[0] - levels[1]))])

    value = meet(energy, terms, 1.0)
    drawn = [meet(e, t, 1.0) for e, t in zip(resampled(energy, bars, 1), resampled(terms, errors, 2), strict=True)]
    unknown = sum(not inside for _, _, inside in ends) * (c[-1] - c[0]) / 10
    shape = (value - meet(energy, terms, 0.0)) / 2
    return value, math.sqrt(float(np.var(drawn)) + shape**2 + ((c[-1] - c[0]) / 50) ** 2 + unknown**2)
