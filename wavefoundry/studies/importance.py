"""Which physical process must a curriculum show? Train without it, several seeds, and see what is lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.models import EmulatorSpec
from wavefoundry.problems.landscapes import CLASSES, Item
from wavefoundry.studies.context import Context
from wavefoundry.studies.curriculum import Trajectories
from wavefoundry.studies.distill import Plan, distill_on
from wavefoundry.studies.grading import LOST
from wavefoundry.studies.judging import roll
from wavefoundry.studies.truth import Reference

LEAST_RUNS = 8
EVERYTHING = "everything"


def losses(data: Trajectories, model: EmulatorSpec, plan: Plan, truth: Reference, name: str) -> dict[str, float]:
    """1 - correlation of a student of these runs: of all cases, and of those of each process."""
    student = distill_on(data, model, plan, Context(), name=name)
    found = roll(student, truth)
    lead = student.history
    true = truth.frames[:, lead : lead + found.shape[1]]
    with np.errstate(all="ignore"):
        overlap = np.abs(np.sum(np.conj(found) * true, -1))
        corr = overlap / np.linalg.norm(found, axis=-1) / np.linalg.norm(true, axis=-1)
    lost = 1 - np.where(np.isfinite(corr), corr, 0.0).mean(axis=1)
    out = {"all": float(np.mean(lost))}
    for process, member in CLASSES.items():
        inside = [bool(member(item)) for item in truth.items]
        if any(inside):
            out[process] = float(np.mean(lost[inside]))
    return out


def processes_of(items: Sequence[Item], wanted: Sequence[str] | None = None) -> list[str]:
    """Processes that occur in the runs and leave enough others when removed; all of ``wanted`` must.

    Raises:
        InputError: one that is wanted cannot be left out, or there is none at all.
    """
    counts = {name: sum(CLASSES[name](item) for item in items) for name in wanted or CLASSES}
    possible = [name for name, count in counts.items() if count and len(items) - count >= LEAST_RUNS]
    for name, count in counts.items():
        if wanted and name not in possible:
            why = f"{count} of {len(items)} runs show it, and at least {LEAST_RUNS} others must be left"
            raise InputError(f"{name} cannot be left out", where="importance", why=why)
    if not possible:
        why = f"none occurs in the {len(items)} runs and leaves {LEAST_RUNS} others"
        raise InputError("there is no process to leave out", where="importance", why=why)
    return possible


def plan_jobs(data: Trajectories, seeds: int, wanted: Sequence[str] | None = None) -> list[tuple[str, int]]:
    """What has to be trained: (process left out or "everything", seed)."""
    return [(name, seed) for name in (EVERYTHING, *processes_of(data.items, wanted)) for seed in range(seeds)]


def run_jobs(
    data: Trajectories, model: EmulatorSpec, plan: Plan, truth: Reference, jobs: Sequence[tuple[str, int]],
    done: list[dict[str, Any]], after: Callable[[list[dict[str, Any]]], None], context: Context,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train and judge what is not done yet.

    Args:
        done: results so far, extended in place.
        after: called after each training (checkpoint).
    """
    for process, seed in jobs[len(done) :]:
        keep = [i for i, item in enumerate(data.items) if process == EVERYTHING or not CLASSES[process](item)]
        part = data if process == EVERYTHING else data.subset(keep)
        found = losses(part, model, plan._replace(seed=plan.seed + 1000 * (seed + 1)), truth, model.kind)
        done.append({"without": process, "seed": seed, "runs": len(keep), "lost": found})
        event = {"event": "importance", "student": model.kind, "without": process, "seed": seed, "lost": found["all"]}
        context.emit(event | {"index": len(done), "count": len(jobs)})
        after(done)
    return done


def table_of(kind: str, done: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Importance I = log10(lost without / lost with everything) with standard errors over seeds.

    Positive: the process is needed. ``on_all`` is measured on all cases, ``on_class`` on the cases of that process.
    """
    rows = []
    base = [job["lost"] for job in done if job["without"] == EVERYTHING]
    for process in dict.fromkeys(job["without"] for job in done if job["without"] != EVERYTHING):
        mine = [job for job in done if job["without"] == process]
        row: dict[str, Any] = {"process": process, "runs": mine[0]["runs"]}
        for key, column in (("on_all", "all"), ("on_class", process)):
            if column in base[0]:
                row[key] = _ratio([job["lost"][column] for job in mine], [lost[column] for lost in base])
        rows.append(row)
    seeds = len(base)
    return {
        "student": kind,
        "seeds": seeds,
        "lost_with_everything": _mean_error([b["all"] for b in base]),
        "rows": rows,
    }


def _ratio(without: Sequence[float], everything: Sequence[float]) -> dict[str, float]:
    a, b = np.log10(np.maximum(without, 1e-12)), np.log10(np.maximum(everything, 1e-12))
    error = math.hypot(_standard_error(a), _standard_error(b))
    return {"value": float(a.mean() - b.mean()), "error": error}


def _standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Standard error of the mean; nan for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _mean_error(values: Sequence[float]) -> dict[str, float]:
    return {"value": float(np.mean(values)), "error": _standard_error(values)}


def words_of(table: dict[str, Any]) -> list[str]:
    """The table as sentences: only differences above two standard errors of a student that works are called so."""
    if table["seeds"] < 2:
        return [f"One seed of the {table['student']} student has no error bar: nothing is said about importance."]
    lost = table["lost_with_everything"]["value"]
    if lost > 1 - LOST:
        why = f"loses {lost:.2g} of the correlation even with the whole curriculum"
        return [f"The {table['student']} student {why}: nothing is said about importance."]
    needed = [r for r in table["rows"] if r["on_all"]["value"] > 2 * r["on_all"]["error"]]
    spared = [r for r in table["rows"] if r not in needed]
    seeds = f"{table['seeds']} seeds"
    out = []
    if needed:
        ranked = sorted(needed, key=lambda r: -r["on_all"]["value"])
        said = ", ".join(f"{r['process']} ({r['on_all']['value']:.2f} ± {r['on_all']['error']:.1g})" for r in ranked)
        out.append(f"For the {table['student']} student ({seeds}), leaving these out costs accuracy (log10): {said}.")
    if spared:
        said = ", ".join(r["process"] for r in spared)
        out.append(f"For the {table['student']} student ({seeds}), no loss above two standard errors without: {said}.")
    return out
