"""What a frame costs: students, and the splitting solver tuned to the same accuracy, on this machine, in one run.

Both are timed in the same way: one compiled roll-out of a batch, single precision, compilation left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.pieces import Piece, at_once
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.splitting import kinetic
from wavefoundry.studies.emulation.evaluation import compare
from wavefoundry.studies.emulation.student import Student, dtype_of, predict
from wavefoundry.studies.emulation.truth import LEAD, Reference

LADDER: tuple[tuple[float | None, int], ...] = (
    (6.5, 1), (8.0, 1), (10.0, 1), (8.0, 2), (10.0, 2), (12.0, 2), (12.0, 3), (14.0, 3), (16.0, 4), (20.0, 5),
    (20.0, 6), (24.0, 8), (None, 11), (None, 16), (None, 22),
)  # fmt: skip
"""Strang splittings from cheap to dear: band limit and steps per frame."""
BATCH, REPEATS, LEAST = 8, 3, 5


@partial(jax.jit, static_argnums=5)
def _strang(states: Any, fields: Any, energy: Any, h: Any, substeps: Any, count: int) -> Any:
    half, drift = jnp.exp(-0.5j * h * fields), jnp.exp(-1j * h * energy)
    half, drift = half.astype(states.dtype), drift.astype(states.dtype)

    def frame(psi: Any, _: None) -> tuple[Any, Any]:
        def step(_: int, p: Any) -> Any:
            return half * jnp.fft.ifft(drift * jnp.fft.fft(half * p))

        psi = jax.lax.fori_loop(0, substeps, step, psi)
        return psi, psi

    _, out = jax.lax.scan(frame, states, None, length=count)
    return jnp.moveaxis(out, 0, 1)


def solver_frames(
    states: np.ndarray, fields: np.ndarray, grid: Grid1D, dt: float, count: int, rung: tuple[float | None, int],
    dtype: Any = np.complex64,
) -> np.ndarray:  # fmt: skip
    """Frames of a Strang splitting with a band limit: (cases, count, n)."""
    kcut, substeps = rung
    energy = jnp.asarray(kinetic(grid, "spectral", kcut))
    return np.asarray(_strang(jnp.asarray(states, dtype), jnp.asarray(fields), energy, dt / substeps, substeps, count))


def _rung(truth: Reference, cases: np.ndarray, kcut: float | None, substeps: int) -> np.ndarray:
    """Mean and lowest correlation, and mean absolute error, of a solver on some cases."""
    count = truth.frames.shape[1] - 1 - LEAD
    states, fields, true = truth.states[cases], truth.fields[cases], truth.frames[cases, 1 : count + 1]
    found = solver_frames(states, fields, truth.grid, truth.frame_step, count, (kcut, substeps))
    curves = compare(found, true, fields, truth.grid)
    corr = curves.corr.mean(axis=1)
    return np.array([corr.mean(), corr.min(), curves.mae.mean()], float)


def milliseconds(call: Callable[[int], Any], count: int, batch: int, piece: Piece = at_once) -> float:
    """CPU milliseconds per frame and run: the least of some calls after one that compiles."""

    def timed() -> np.ndarray:
        call(count)
        best = np.inf
        for _ in range(REPEATS):
            begin = time.process_time()
            call(count)
            best = min(best, time.process_time() - begin)
        return np.array(1e3 * best / count / batch)

    return float(piece(timed))


def _frames_for(student: Student) -> int:
    return 100 if not EMULATORS[student.model.kind].windowed else 4


def ladder(truth: Reference, cases: np.ndarray, goal: float, piece: Piece = at_once) -> list[dict[str, Any]]:
    """Accuracy of the rungs on some cases, from cheap to dear, until two of them are better than ``goal`` (MAE)."""
    rungs: list[dict[str, Any]] = []
    for kcut, substeps in LADDER:
        if kcut is not None and kcut > truth.grid.momentum_limit:
            continue
        mean, worst, mae = piece(partial(_rung, truth, cases, kcut, substeps)).tolist()
        rungs.append({"kcut": kcut, "substeps": substeps, "corr_mean": mean, "corr_worst": worst, "mae": mae})
        if len(rungs) >= LEAST and sum(rung["mae"] <= goal for rung in rungs) >= 2:
            break
    return rungs


def table(
    students: Sequence[tuple[str, Student, list[dict[str, Any]]]], truth: Reference, piece: Piece = at_once
) -> dict[str, Any]:
    """Cost of the students, and of the cheapest solver that is at least as accurate (mean MAE).

    Args:
        students: name, student, and its records of all cases.
        truth: the cases. piece: does the work piece by piece.

    Returns:
        ``rows`` (students), each with ``solver`` (its match), and ``rungs`` (all solvers).
    """
    cases = np.unique(np.round(np.linspace(0, len(truth.items) - 1, BATCH)).astype(int))
    picks = np.resize(cases, BATCH)
    states, fields = truth.states[picks], truth.fields[picks]
    errors = [[records[i]["mae"] for i in cases] for _, _, records in students]
    maes = [None if None in row else float(np.mean(row)) for row in errors]
    rungs = ladder(truth, cases, min((mae for mae in maes if mae is not None), default=np.inf), piece)
    for rung in rungs:
        rung["ms_per_frame"] = milliseconds(
            lambda count, r=rung: solver_frames(
                states, fields, truth.grid, truth.frame_step, count, (r["kcut"], r["substeps"])
            ),
            100,
            BATCH,
            piece,
        )
    rows = []
    for (name, student, _), mae in zip(students, maes, strict=True):
        first = np.repeat(states[:, None], student.history, 1).astype(dtype_of(student.emulator))
        cost = milliseconds(
            lambda count, s=student, f=first: predict(s.emulator, f, fields, truth.grid, count),
            _frames_for(student),
            BATCH,
            piece,
        )
        enough = rungs if mae is None else [rung for rung in rungs if rung["mae"] <= mae]
        match = min(enough, key=lambda rung: rung["ms_per_frame"]) if enough else None
        rows.append({"student": name, "ms_per_frame": cost, "mae": mae})
        rows[-1]["solver"] = match
        rows[-1]["solver_is_faster_by"] = None if match is None else cost / match["ms_per_frame"]
    names = [truth.items[i].name for i in cases]
    return {"rows": rows, "rungs": rungs, "cases": names, "batch": BATCH, "precision": "complex64"}
