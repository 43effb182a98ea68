"""A study over several seeds: as many runs, and what they say together: mean, spread, and the seeds that differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.layout import SEEDS
from wavefoundry.artifacts.results import read_results
from wavefoundry.artifacts.spec_seeds import of_seed, seeds
from wavefoundry.core.meter import Cost
from wavefoundry.core.verdict import ORDER, worst
from wavefoundry.core.words import told_apart
from wavefoundry.reports.lines import OF, named
from wavefoundry.studies.progress import Context, Pace
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.workers import STOPPED, Outcome, SeedRun, error_of, fan_out, is_failure, take, workers_of

BARS = 4.0
"""A seed differs when it lies this many error bars, or robust deviations, from the median."""
RELATIVE = 1e-3
"""Differences below this part of a value are none, however small the error bars are."""


class Quantity(NamedTuple):
    """A number that every seed gives."""

    name: str
    value: float | None
    error: float | None
    verdict: str
    exact: float | None = None


def run(spec: Any, context: Context, folder: Path, client: Any) -> dict[str, Any]:
    """All runs of a study over several seeds, and their summary.

    Args:
        spec: the study. context: of the whole. folder: its run directory. client: of dask, or None: in this process.

    Raises:
        Interrupted: a signal arrived; every run has been saved. WavefoundryError: what ended a run, reasons of
            physics and lost workers excepted: these are recorded, and the other seeds go on.
    """
    numbers = seeds(spec)
    tasks = [
        SeedRun(f"seed {number}", study_file.dumps(of_seed(spec, index)), str(folder / SEEDS / str(number)))
        for index, number in enumerate(numbers)
    ]
    (folder / SEEDS).mkdir(exist_ok=True)
    context.say("seeds", f"{len(tasks)} runs, seeds {numbers[0]} to {numbers[-1]}")
    outcomes: dict[int, Outcome] = {}
    pace = Pace()
    for index, outcome in _one_by_one(tasks, context) if client is None else _by_workers(tasks, context, client):
        outcomes[index] = outcome
        if outcome.kind == STOPPED:
            continue
        if outcome.kind and not is_failure(outcome):
            raise error_of(outcome)
        left = pace.left(len(outcomes), len(tasks) - len(outcomes))
        context.emit(
            {"event": "seed", "seed": numbers[index], "index": len(outcomes) - 1, "count": len(tasks)}
            | {"why": outcome.why, "seconds_left": left}
        )
    context.stop_if_asked()  # only then may runs be missing
    found = [
        None if is_failure(outcomes[index]) else read_results(Path(task.folder)) for index, task in enumerate(tasks)
    ]
    whys = [outcomes[index].why for index in range(len(tasks))]
    return summary_of(spec, numbers, found, whys)


def _by_workers(tasks: Sequence[SeedRun], context: Context, client: Any) -> Iterator[tuple[int, Outcome]]:
    """Runs by workers, each a whole one; a last one that would leave all workers but one idle, task by task."""
    last, workers = len(tasks) - 1, workers_of(client)
    shared = last > 0 and workers > 1 and last % workers == 0
    yield from fan_out(tasks[:last] if shared else tasks, client, context)
    if not shared:
        return
    if context.stopping:
        yield last, Outcome(STOPPED)
        return

    def emit(event: dict[str, Any]) -> None:
        context.show(event | {OF: tasks[last].name})

    yield last, take(tasks[last], context.stopped_by, emit, client)


def _one_by_one(tasks: Sequence[SeedRun], context: Context) -> Iterator[tuple[int, Outcome]]:
    """All tasks in this process; the time left of a run counts the runs after it as long as those before."""
    pace = Pace()
    for index, task in enumerate(tasks):
        # seconds of the runs after this one, once one has been made
        after = pace.left(index, len(tasks) - index - 1) if index else None

        def emit(event: dict[str, Any], after: float | None = after, name: str = task.name) -> None:
            left = event.get("seconds_left")
            left = None if left is None or after is None else left + after
            context.show(event | {"seconds_left": left, OF: name})

        context.say("seeds", f"run {index + 1} of {len(tasks)}")
        yield index, take(task, context.stopped_by, emit)
        context.stop_if_asked()


def summary_of(
    spec: Any, numbers: Sequence[int], found: Sequence[dict[str, Any] | None], whys: Sequence[str]
) -> dict[str, Any]:
    """The machine-readable result over seeds, see docs/results.md."""
    numbers_of = [[] if one is None else quantities(one) for one in found]
    rows = compare(numbers_of)
    runs = [_run_record(*one) for one in zip(numbers, found, numbers_of, whys, strict=True)]
    finished = [one for one in found if one is not None]
    states = {record["status"] for record in runs}
    costs = [Cost.of(one["cost"]) for one in finished]
    return {
        "schema": SCHEMA,
        "kind": "seeds",
        "of": spec.kind,
        "status": states.pop() if len(states) == 1 else "partial",
        "title": spec.output.title,
        "seeds": runs,
        "quantities": rows,
        "verdict": worst((row["verdict"] for row in rows), "refused"),
        "cost": sum(costs, Cost()).to_dict(),
        "settings": spec.model_dump(mode="json", exclude_none=True),
        "versions": versions(),
        "hardware": finished[0]["hardware"] if finished else hardware(),
    }


def _run_record(number: int, one: dict[str, Any] | None, found: Sequence[Quantity], why: str) -> dict[str, Any]:
    if one is None:
        lost = {"status": "failed", "verdict": "refused", "reasons": [why.splitlines()[0]]}
        return {"seed": number, "folder": f"{SEEDS}/{number}", **lost, "cost": None}
    words = [quantity.verdict for quantity in found]
    verdicts = {word: words.count(word) for word in ORDER if word in words}
    bad = [quantity.name for quantity in found if quantity.verdict == "refused"]
    reasons = [f"refused: {', '.join(bad[:3])}" + f" and {len(bad) - 3} more" * (len(bad) > 3)] if bad else []
    kept = {"status": one["status"], "verdict": worst(words, "refused"), "verdicts": verdicts, "reasons": reasons}
    return {"seed": number, "folder": f"{SEEDS}/{number}", **kept, "cost": one["cost"]}


def quantities(summary: dict[str, Any]) -> list[Quantity]:
    """The numbers of one run that are compared over seeds: energies and observables, or correlations of students."""
    kind = summary["kind"]
    if kind == "diagram":
        records = [("pre-training", summary["pretrain"]), *((named(r["couplings"]), r) for r in summary["points"])]
        return [one for name, record in records for one in _of_record(name, record, record.get("exact_energy"))]
    if kind == "tickets":
        reference = summary["reference"]
        exact = reference["energy"] if reference["kind"] == "exact" else None
        records = [(f"round {record['round']} ({record['n']} weights)", record) for record in summary["rounds"]]
        return [Quantity(f"{name}: energy", r["energy"], r["energy_error"], r["verdict"], exact) for name, r in records]
    if kind == "molecules":
        records = [(f"{record['name']} ({record['method']})", record) for record in summary["molecules"]]
        return [one for name, record in records for one in _of_record(name, record, _exact(record["reference"]))]
    return [
        Quantity(f"{student['name']}, {case['name']}: correlation", case["corr_mean"], None, case["verdict"])
        for student in summary["students"]
        for case in student.get("cases", [])
    ]


def _exact(reference: dict[str, Any] | None) -> float | None:
    return reference["value"] if reference is not None and reference["kind"] == "exact" else None


def _of_record(name: str, record: dict[str, Any], exact: float | None) -> Iterator[Quantity]:
    yield Quantity(f"{name}: energy", record["energy"], record["energy_error"], record["verdict"], exact)
    for what, one in record["observables"].items():
        value, error = one.get("value"), one.get("error")
        if isinstance(value, float) and isinstance(error, float):
            yield Quantity(f"{name}: {what}", value, error, one["verdict"], one.get("exact"))


def compare(found: Sequence[Sequence[Quantity]]) -> list[dict[str, Any]]:
    """What several runs say of the same quantities, in the order of their first mention; see ``told_apart``.

    Args:
        found: quantities of every seed; empty for a seed without a result.
    """
    by_name = [dict(zip(told_apart([one.name for one in run]), run, strict=True)) for run in found]
    names = dict.fromkeys(name for run in by_name for name in run)
    return [_row(name, [run.get(name) for run in by_name]) for name in names]


def _row(name: str, each: Sequence[Quantity | None]) -> dict[str, Any]:
    """One quantity over seeds: refused values are shown, and count only where there are no others."""
    values = [None if one is None or one.value is None else one.value for one in each]
    there = [index for index, value in enumerate(values) if value is not None and math.isfinite(value)]
    used = [index for index in there if each[index].verdict != "refused"] or there  # type: ignore[union-attr]
    numbers = np.array([values[index] for index in used], float)
    errors = np.array([each[index].error or 0.0 for index in used], float)  # type: ignore[union-attr]
    differing = [used[k] for k in np.flatnonzero(differs(numbers, errors))]
    spread = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
    word = worst((one.verdict for one in each if one is not None), "refused")
    missing = len(each) - len(used)
    reasons = [f"{missing} of {len(each)} seeds give no usable number"] if missing else []
    if differing:
        reasons.append(
            "seeds differ by more than their error bars" if errors.any() else "seeds lie far from the others"
        )
    if (differing or missing) and ORDER.index(word) < ORDER.index("doubtful"):
        word = "doubtful"
    return {
        "name": name,
        "mean": float(numbers.mean()) if len(numbers) else None,
        "spread": spread,
        "error": None if spread is None else spread / math.sqrt(len(numbers)),
        "error_bar": float(np.sqrt(np.mean(errors**2))) if errors.any() else None,
        "lowest": float(numbers.min()) if len(numbers) else None,
        "highest": float(numbers.max()) if len(numbers) else None,
        "exact": next((one.exact for one in each if one is not None and one.exact is not None), None),
        "values": values,
        "left_out": [index for index in there if index not in used],
        "differ": differing,
        "verdict": word,
        "reasons": reasons,
    }


def differs(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Which of several values lie farther from their median than chance explains.

    With error bars: beyond ``BARS`` of them, that of the median included. Without, from four values on: beyond ``BARS``
    robust deviations. Differences below ``RELATIVE`` of the median never count.

    Args:
        values: (seeds,). errors: their error bars, zero where there are none.
    """
    if len(values) < 2:
        return np.zeros(len(values), bool)
    middle = np.median(values)
    off = np.abs(values - middle)
    scale = np.hypot(errors, np.median(errors) / math.sqrt(len(values)))
    if not errors.any():
        scale = np.full(len(values), 1.4826 * np.median(off) if len(values) > 3 else np.inf)
    return (off > BARS * scale) & (off > RELATIVE * abs(middle))
