"""Which physical process must a curriculum show? Train without it, several seeds, and see what is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.pieces import Piece, at_once
from wavefoundry.core.statistics import half_width
from wavefoundry.models import EmulatorSpec
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import CLASSES, Item, shows
from wavefoundry.studies.emulation.curriculum import Trajectories
from wavefoundry.studies.emulation.distill import Plan, distill_on
from wavefoundry.studies.emulation.evaluation import roll
from wavefoundry.studies.emulation.grading import LOST
from wavefoundry.studies.emulation.student import Student
from wavefoundry.studies.emulation.truth import Reference
from wavefoundry.studies.progress import Progress

LEAST_RUNS = 8
EVERYTHING = "everything"


class Runs(Protocol):
    """Runs on a grid: of a curriculum, of its frames, of a reference."""

    @property
    def items(self) -> tuple[Item, ...]:
        """The runs."""
        ...

    @property
    def grid(self) -> Grid1D:
        """Where they run."""
        ...


class Job(NamedTuple):
    """A training: which process is left out ("everything": none), and which seed."""

    without: str
    seed: int

    def runs(self, given: Runs) -> list[int]:
        """Numbers of the runs that are left."""
        everything, grid = self.without == EVERYTHING, given.grid
        return [i for i, item in enumerate(given.items) if everything or not shows(item, self.without, grid)]


def train(data: Trajectories, model: EmulatorSpec, plan: Plan, job: Job, progress: Progress) -> Student:
    """A student of the runs that are left."""
    part = data if job.without == EVERYTHING else data.subset(job.runs(data))
    plan = plan._replace(seed=plan.seed + 1000 * (job.seed + 1))
    return distill_on(part, model, plan, progress, name=model.kind, report=False)


def lost(student: Student, truth: Reference, piece: Piece = at_once) -> dict[str, float]:
    """1 - correlation of a student: of all cases, and of those of each process."""
    found = roll(student, truth, piece)
    lead = student.history
    true = truth.frames[:, lead : lead + found.shape[1]]
    with np.errstate(all="ignore"):
        overlap = np.abs(np.sum(np.conj(found) * true, -1))
        corr = overlap / np.linalg.norm(found, axis=-1) / np.linalg.norm(true, axis=-1)
    missing = 1 - np.where(np.isfinite(corr), corr, 0.0).mean(axis=1)
    out = {"all": float(np.mean(missing))}
    for process in CLASSES:
        inside = [shows(item, process, truth.grid) for item in truth.items]
        if any(inside):
            out[process] = float(np.mean(missing[inside]))
    return out


def processes_of(given: Runs, wanted: Sequence[str] | None = None) -> list[str]:
    """Processes that occur in the runs and leave enough others when removed; all of ``wanted`` must.

    Raises:
        InputError: one that is wanted cannot be left out, or there is none at all.
    """
    items = given.items
    counts = {name: sum(shows(item, name, given.grid) for item in items) for name in wanted or CLASSES}
    possible = [name for name, count in counts.items() if count and len(items) - count >= LEAST_RUNS]
    for name, count in counts.items():
        if wanted and name not in possible:
            why = f"{count} of {len(items)} runs show it, and at least {LEAST_RUNS} others must be left"
            raise InputError(f"{name} cannot be left out", where="importance", why=why)
    if not possible:
        why = f"none occurs in the {len(items)} runs and leaves {LEAST_RUNS} others"
        raise InputError("there is no process to leave out", where="importance", why=why)
    return possible


def jobs_of(given: Runs, seeds: int, wanted: Sequence[str] | None = None) -> list[Job]:
    """What has to be trained."""
    return [Job(name, seed) for name in (EVERYTHING, *processes_of(given, wanted)) for seed in range(seeds)]


def record_of(job: Job, given: Runs, found: dict[str, float]) -> dict[str, Any]:
    """The record of a training, from what ``lost`` gave."""
    return {"without": job.without, "seed": job.seed, "runs": len(job.runs(given)), "lost": found}


def event_of(kind: str, record: dict[str, Any], index: int, count: int) -> dict[str, Any]:
    """What is shown of a training: number ``index`` of ``count``."""
    event = {"event": "importance", "student": kind, "without": record["without"], "seed": record["seed"]}
    return event | {"lost": record["lost"]["all"], "index": index + 1, "count": count}


def table_of(kind: str, done: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Importance I = log10(lost without / lost with everything) with standard errors over seeds.

    Positive: the process is needed. ``on_all`` is measured on all cases, ``on_class`` on the cases of that process.
    Trainings of one seed begin with the same weights and are compared in pairs.
    """
    rows = []
    whole = {job["seed"]: job["lost"] for job in done if job["without"] == EVERYTHING}
    base = [*whole.values()]
    for process in dict.fromkeys(job["without"] for job in done if job["without"] != EVERYTHING):
        mine = [job for job in done if job["without"] == process]
        row: dict[str, Any] = {"process": process, "runs": mine[0]["runs"]}
        for key, column in (("on_all", "all"), ("on_class", process)):
            if column in base[0]:
                pairs = [(job["lost"][column], whole[job["seed"]][column]) for job in mine if job["seed"] in whole]
                row[key] = _ratio(pairs)
        rows.append(row)
    seeds = len(base)
    return {
        "student": kind,
        "seeds": seeds,
        "lost_with_everything": _mean_error([b["all"] for b in base]),
        "rows": rows,
    }


def _ratio(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    without, everything = np.log10(np.maximum(np.array(pairs, float).reshape(-1, 2), 1e-12)).T
    return _mean_error(without - everything) if len(pairs) else {"value": math.nan, "error": math.nan}


def _standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Standard error of the mean; nan for a single value."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _mean_error(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    return {"value": float(np.mean(values)), "error": _standard_error(values)}


def words_of(table: dict[str, Any]) -> list[str]:
    """The table as sentences: only what a 95 % interval of Student's t tells from zero, of a student that works."""
    if table["seeds"] < 2:
        return [f"One seed of the {table['student']} student has no error bar: nothing is said about importance."]
    lost = table["lost_with_everything"]["value"]
    if lost > 1 - LOST:
        why = f"loses {lost:.2g} of the correlation even with the whole curriculum"
        return [f"The {table['student']} student {why}: nothing is said about importance."]
    reach = half_width(table["seeds"])
    needed = [r for r in table["rows"] if r["on_all"]["value"] > reach * r["on_all"]["error"]]
    spared = [r for r in table["rows"] if r not in needed]
    seeds = f"{table['seeds']} seeds"
    out = []
    if needed:
        ranked = sorted(needed, key=lambda r: -r["on_all"]["value"])
        said = ", ".join(
            f"{r['process']} ({r['on_all']['value']:.2f} ± {reach * r['on_all']['error']:.1g})" for r in ranked
        )
        what = "leaving these out costs accuracy (log10, 95 % intervals)"
        out.append(f"For the {table['student']} student ({seeds}), {what}: {said}.")
    if spared:
        said = ", ".join(r["process"] for r in spared)
        out.append(
            f"For the {table['student']} student ({seeds}), no loss that its interval tells from none without: {said}."
        )
    return out
