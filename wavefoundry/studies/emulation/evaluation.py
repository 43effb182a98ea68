"""Evaluating a student: roll-outs on landscapes it never saw, against a converged reference, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.pieces import Piece, at_once
from wavefoundry.core.verdict import WORDS
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import Item
from wavefoundry.problems.schrodinger import energy_of
from wavefoundry.studies.emulation.grading import grade, range_record
from wavefoundry.studies.emulation.passing import Passage, extent_of, passage
from wavefoundry.studies.emulation.student import Student, dtype_of
from wavefoundry.studies.emulation.truth import LEAD, Reference


class Curves(NamedTuple):
    """Per case and predicted frame, each (cases, frames)."""

    corr: np.ndarray
    mae: np.ndarray
    rel_l2: np.ndarray
    norm: np.ndarray
    energy: np.ndarray
    transmission: np.ndarray
    true_transmission: np.ndarray


def compare(
    found: np.ndarray, true: np.ndarray, fields: np.ndarray, grid: Grid1D, places: np.ndarray | None = None
) -> Curves:
    """Correlation, errors, norm, energy and transmission of predicted frames.

    corr = |<found|true>| / (|found| |true|) is blind to global phase and norm; the mean absolute error is over points
    and both parts; transmission is the probability behind the landscape.

    Args:
        found: (cases, frames, n). true: the same. fields: (cases, n). places: points behind the landscape (cases, n),
            by default those to its right.
    """
    places = np.stack([_to_the_right(field, grid) for field in fields]) if places is None else places
    rows = [_compared(*case, grid) for case in zip(found, true, fields, places, strict=True)]
    return Curves(*(np.stack(column) for column in zip(*rows, strict=True)))


def _compared(found: np.ndarray, true: np.ndarray, field: np.ndarray, place: np.ndarray, grid: Grid1D) -> Curves:
    """The frames of one case, in double precision: what a good student misses is below the rounding of a float32."""
    found, true = found.astype(np.complex128), true.astype(np.complex128)
    with np.errstate(all="ignore"):
        overlap = np.abs(np.sum(np.conj(found) * true, axis=-1))
        sizes = np.linalg.norm(found, axis=-1), np.linalg.norm(true, axis=-1)
        difference: Any = found - true
        mae = (np.abs(difference.real) + np.abs(difference.imag)).mean(-1) / 2
        relative = np.linalg.norm(difference, axis=-1) / sizes[1]
        energy = energy_of(found, field, grid)
        passed = [np.sum(np.abs(psi) ** 2 * place, axis=-1) * grid.dx for psi in (found, true)]
        return Curves(overlap / sizes[0] / sizes[1], mae, relative, sizes[0] ** 2 * grid.dx, energy, *passed)


def _to_the_right(field: np.ndarray, grid: Grid1D) -> np.ndarray:
    """Points to the right of everything where V differs from its most common value; the right half if it never does."""
    found = extent_of(field, grid)
    return np.arange(grid.n) > (grid.n // 2 if found is None else found[1])


def roll(student: Student, truth: Reference, piece: Piece = at_once) -> np.ndarray:
    """Predicted frames of all cases, from as many true frames as the student looks at: (cases, frames, n)."""
    count = truth.frames.shape[1] - 1 - LEAD
    renormalise = bool(dict(student.model.options).get("renormalise", False))
    first = truth.frames[:, : student.history]
    if student.history == 1:  # the initial state is known in double precision
        first = truth.states[:, None]
    first = first.astype(dtype_of(student.emulator))
    return student.ahead(first, truth.fields, truth.grid, count, renormalise, piece)


def evaluate(
    student: Student, truth: Reference, piece: Piece = at_once
) -> tuple[list[dict[str, Any]], Curves, np.ndarray]:
    """Records of all cases, their curves, and the predicted frames."""
    found = roll(student, truth, piece)
    count, lead = found.shape[1], student.history
    true = truth.frames[:, lead : lead + count]
    passages = [
        passage(item, frames, field, truth.grid, truth.frame_step)
        for item, frames, field in zip(truth.items, true, truth.fields, strict=True)
    ]
    nowhere = np.zeros(truth.grid.n, bool)
    curves = compare(
        found, true, truth.fields, truth.grid, np.stack([nowhere if p is None else p.behind for p in passages])
    )
    versus = None
    if truth.paper is not None:
        versus = compare(found, truth.paper[:, lead : lead + count], truth.fields, truth.grid)
    start = energy_of(truth.states, truth.fields, truth.grid)
    records = []
    for index, item in enumerate(truth.items):
        record = case_record(item, curves, index, float(start[index]), passages[index])
        if versus is not None:
            record["against_three_point"] = {
                "corr_mean": _number(versus.corr[index].mean()), "mae": _number(versus.mae[index].mean()),
            }  # fmt: skip
        beyond = student.doubts(truth.states[index : index + 1], truth.fields[index : index + 1], truth.grid)
        record["reference"] = {"error": float(truth.errors[index]), "finer_grid": int(truth.finer[index])}
        record["out_of_scope"] = range_record(beyond)
        records.append(record)
    grade([records])
    return records, curves, found


def case_record(item: Item, curves: Curves, index: int, energy: float, passed: Passage | None = None) -> dict[str, Any]:
    """Numbers of one case; null where a roll-out is not finite."""
    one = Curves(*(column[index] for column in curves))
    finite = np.isfinite(one.corr) & np.isfinite(one.mae)
    ends = bool(np.all(finite))
    spread = float(np.max(np.abs(one.energy - energy))) if ends else None
    return {
        "name": item.name,
        "class": item.group,
        "corr_mean": _number(one.corr.mean()),
        "corr_final": _number(one.corr[-1]),
        "mae": _number(one.mae.mean()),
        "rel_l2": _number(one.rel_l2[-1]),
        "rel_l2_mean": _number(one.rel_l2.mean()),
        "norm_drift": _number(np.max(np.abs(one.norm - 1.0))),
        "energy_drift": None if spread is None else _number(spread / max(abs(energy), 1e-9)),
        "transmission": None if passed is None else _number(one.transmission[passed.frame]),
        "true_transmission": None if passed is None else _number(one.true_transmission[passed.frame]),
        "frames_followed": int(np.argmin(np.append(finite & (one.corr > 0.99), False))),
    }


def overview(cases: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over cases, the worst one, and means by class. A case without numbers counts as correlation 0."""
    corr = np.array([case["corr_mean"] or 0.0 for case in cases])
    final = np.array([case["corr_final"] or 0.0 for case in cases])
    errors = [case["mae"] for case in cases]
    classes = list(dict.fromkeys(case["class"] for case in cases))
    by_class = {
        name: {
            "corr_mean": float(np.mean([c["corr_mean"] or 0.0 for c in cases if c["class"] == name])),
            "mae": _mean([c["mae"] for c in cases if c["class"] == name]),
            "corr_final": float(np.mean([c["corr_final"] or 0.0 for c in cases if c["class"] == name])),
        }
        for name in classes
    }
    return {
        "corr_mean": float(corr.mean()),
        "corr_worst": float(corr.min()),
        "worst_case": cases[int(np.argmin(corr))]["name"],
        "corr_final": float(final.mean()),
        "mae": _mean(errors),
        "norm_drift": _largest([case["norm_drift"] for case in cases]),
        "energy_drift": _largest([case["energy_drift"] for case in cases]),
        "classes": by_class,
        "trusted": sum(bool(case.get("trusted")) for case in cases),
        "verdicts": {word: sum(case.get("verdict") == word for case in cases) for word in WORDS},
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _largest(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.max(known)) if len(known) == len(values) else None


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) and abs(value) < 1e6 else None
