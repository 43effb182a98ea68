"""Adaptation from the pre-training against its rivals: errors and costs by method, and a sentence for each rival."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wavefoundry.core.meter import Cost
from wavefoundry.core.words import assigned

TRANSITION = "transition"
BARS = 2.0
"""Energies that differ by fewer error bars are as low as each other."""
NAMES = {
    "scratch": "training every point from scratch",
    "warm-chain": "full warm starts along the coupling",
    "random-backbone": "heads on an untrained network",
    "deep": "pre-training at",
    "foundation": "one network for all couplings",
    "foundation-head": "heads on one network for all couplings",
}
Record = Mapping[str, Any]


def seconds(cost: Record) -> float:
    """CPU seconds of a stored cost without the making of programs, see ``Cost.running_cpu``."""
    return Cost.of(cost).running_cpu


def compared(
    rows: Sequence[Record], points: Sequence[Mapping[str, float]], deep: Mapping[str, float] | None, method: str
) -> dict[str, Any]:
    """What the summary holds under ``baselines``.

    Args:
        rows: one for every kind and seed, ``kind``, ``seed``, ``points`` (records), ``start`` and ``adapt`` (costs).
            Kind ``transition`` is what the rivals are held against.
        points: couplings. deep: where ``deep`` was pre-trained. method: of the adaptation.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    ours = _energies(by_kind[TRANSITION])
    methods = []
    for kind in kinds:
        mine = by_kind[kind]
        found = _method(kind, mine, len(points))
        if kind != TRANSITION:
            found["against"] = _against(ours, _energies(mine))
        methods.append(found)
    by_name = {one["kind"]: one for one in methods}
    equal = _equal_error(by_kind[TRANSITION], by_kind["scratch"]) if "scratch" in by_kind else None
    words = [_words(by_name[TRANSITION], one, points, deep, equal) for one in methods if one["kind"] != TRANSITION]
    return {
        "method": method,
        "seeds": sorted({row["seed"] for row in rows}),
        "points": [dict(point) for point in points],
        "deep": None if deep is None else dict(deep),
        "methods": methods,
        "equal_error": equal,
        "words": words,
    }


def _method(kind: str, rows: Sequence[Record], count: int) -> dict[str, Any]:
    start = float(np.mean([seconds(row["start"]) if row["start"] else 0.0 for row in rows]))
    adapt = float(np.mean([seconds(row["adapt"]) for row in rows])) / count
    energies, errors = _energies(rows)
    return {
        "kind": kind,
        "seeds": len(rows),
        **{name: _spread(rows, name, count) for name in ("relative_error", "v_score")},
        "energy": [_plain(value) for value in energies],
        "energy_error": [_plain(value) for value in errors],
        "cost": {"start": start, "point": adapt, "amortised": start / count + adapt},
    }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _spread(rows: Sequence[Record], name: str, count: int) -> list[dict[str, float] | None]:
    """Mean, lowest and highest value of a number over the seeds, of every point."""
    found: list[dict[str, float] | None] = []
    for index in range(count):
        values = [abs(row["points"][index][name]) for row in rows if row["points"][index][name] is not None]
        known = {"mean": float(np.mean(values)), "lowest": min(values), "highest": max(values)} if values else None
        found.append(known)
    return found


def _energies(rows: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Mean energy of every point over the seeds, and its error bar: of the samples, and of the seeds."""
    table = [[(p["energy"], p["energy_error"]) for p in row["points"]] for row in rows]
    values = np.array([[(math.nan, math.nan) if e is None else (e, b) for e, b in row] for row in table], float)
    mean = values[..., 0].mean(axis=0)
    bars = np.sqrt((values[..., 1] ** 2).sum(axis=0)) / len(rows)
    spread = values[..., 0].std(axis=0, ddof=1) / math.sqrt(len(rows)) if len(rows) > 1 else np.zeros(len(mean))
    return mean, np.maximum(bars, spread)


def _against(ours: tuple[np.ndarray, np.ndarray], theirs: tuple[np.ndarray, np.ndarray]) -> list[str | None]:
    """Whether the energy from the transition is "lower", "equal" or "higher" than a rival's at every point."""
    difference, bar = ours[0] - theirs[0], np.hypot(ours[1], theirs[1])
    return [
        None if not math.isfinite(d) else "equal" if abs(d) <= BARS * b else "lower" if d < 0 else "higher"
        for d, b in zip(difference, bar, strict=True)
    ]


def _equal_error(ours: Sequence[Record], scratch: Sequence[Record]) -> list[dict[str, Any]]:
    """For every point: the steps from scratch after which its energy was as low as ours, and the ratio of CPU seconds.

    ``ratio`` is that of the training up to there and of one adaptation; ``at_least`` says that the whole training from
    scratch did not suffice. The energies of a training are those of its steps, medians over some of them.
    """
    energies, bars = _energies(ours)
    exact = [point["exact_energy"] for point in ours[0]["points"]]  # noise below it is no aim
    energies = np.array([max(e, x) if x is not None else e for e, x in zip(energies, exact, strict=True)])
    adapt = float(np.mean([seconds(row["adapt"]) for row in ours])) / len(energies)
    found = []
    for index, (energy, bar) in enumerate(zip(energies, bars, strict=True)):
        shares, steps = [], []
        for row in scratch:
            curve = row["points"][index].get("curve") or []
            reached = [end for end, value in curve if value <= energy + bar]
            steps.append(reached[0] if reached else None)
            total = curve[-1][0] if curve else 1
            shares.append((reached[0] if reached else total) / total * seconds(row["points"][index]["cost"]))
        ratio = float(np.mean(shares)) / adapt if adapt else math.nan
        found.append({"steps": steps, "ratio": _plain(ratio), "at_least": any(one is None for one in steps)})
    return found


def _words(
    ours: Record,
    other: Record,
    points: Sequence[Mapping[str, float]],
    deep: Mapping[str, float] | None,
    equal: Sequence[Record] | None,
) -> str:
    """One sentence: where the pre-training wins against a rival and where not, and at what cost."""
    name = NAMES[other["kind"]]
    if other["kind"] == "deep" and deep:
        name += " " + assigned(deep)
    verdicts = other["against"]
    parts = []
    for word, text in (("lower", "lower"), ("equal", "as low"), ("higher", "higher")):
        at = [point for point, verdict in zip(points, verdicts, strict=True) if verdict == word]
        if at:
            everywhere = "everywhere" if len(at) == len(points) else f"at {_places(at)}"
            parts.append(f"{text} {everywhere}")
    cost, theirs = ours["cost"], other["cost"]
    said = f"Against {name} the energies are {', '.join(parts) if parts else 'not to be compared'}"
    both = zip(ours["v_score"], other["v_score"], strict=True)
    ratios = [a["mean"] / b["mean"] for a, b in both if a and b and b["mean"]]
    ratio = float(np.median(ratios)) if ratios else math.nan
    said += f" (V-scores: {_number(ratio)} times theirs, median); " if math.isfinite(ratio) else "; "
    said += f"a point costs {_number(cost['point'])} CPU s against {_number(theirs['point'])}"
    said += f", with its share of the start {_number(cost['amortised'])} against {_number(theirs['amortised'])}"
    rows = equal or [] if other["kind"] == "scratch" else []
    known, short = [one for one in rows if one["ratio"] is not None], sum(one["at_least"] for one in rows)
    ratios = [one["ratio"] for one in known]
    if ratios and short == len(ratios):
        said += "; training from scratch reaches the same energy at none of the points"
    elif ratios:
        # A ratio that is only a bound from below leaves the median exact as long as it lies above it.
        median, worst = np.median(ratios), np.median([math.inf if one["at_least"] else one["ratio"] for one in known])
        least = "at least " if worst > median else ""
        said += f"; to the same energy training from scratch takes {least}{_number(float(median))} times as long"
        said += f" (median; {short} of {len(points)} points do not reach it)" if short else " (median)"
    return said + "."


def _places(at: Sequence[Mapping[str, float]]) -> str:
    """Couplings of some points, those alone that differ between them or the first few."""
    names = list(at[0])
    if len(names) == 1:
        return f"{names[0]} = {', '.join(f'{point[names[0]]:g}' for point in at)}"
    shown = "; ".join(assigned(point) for point in at[:4])
    return shown + (f" and {len(at) - 4} more" if len(at) > 4 else "")


def _number(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"
