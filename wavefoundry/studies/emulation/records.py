"""What a study keeps of its parts: of the teacher, and of the roll-outs of a student."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavefoundry.artifacts.spec_emulation import EmulationSpec
from wavefoundry.core.meter import Cost
from wavefoundry.studies.emulation.curriculum import Curriculum
from wavefoundry.studies.emulation.evaluation import Curves, compare
from wavefoundry.studies.emulation.student import Student
from wavefoundry.studies.emulation.tasks import CALIBRATION, THREE_POINT, TaskList
from wavefoundry.studies.emulation.truth import Reference
from wavefoundry.studies.task import Outputs

SHOWN = ("triple", "random-2", "half-circle", "two packets", "well", "smooth", "double-1", "harmonic-1")
"""Cases of the suite that make the best pictures."""


def teacher_record(spec: EmulationSpec, curriculum: Curriculum, tasks: TaskList, done: Outputs) -> dict[str, Any]:
    """The record of the teacher and of the reference."""
    calibration = done[CALIBRATION].record
    cost = sum((done[name].cost for name in dict.fromkeys((*tasks.parts, *tasks.frames))), Cost())
    sharper = {name: output for name, output in done.items() if name.startswith("sharpen/")}
    solved = [sharper.get(name.replace("reference", "sharpen"), done[name]).record for name in tasks.references]
    refined = sum(one["finer"] > 1 for one in solved)
    return {
        "curriculum": curriculum.name,
        "runs": len(curriculum.items),
        "frames": curriculum.frames,
        "frame_step": curriculum.frame_step,
        "method": spec.teacher.method,
        "laplacian": spec.teacher.laplacian,
        "kcut": spec.teacher.kcut,
        "substeps": calibration["substeps"],
        "error": calibration["error"],
        "cpu_seconds": round(cost.cpu_seconds, 3),
        "runs_per_second": round(len(curriculum.items) / max(cost.wall_seconds, 1e-9), 2),
        "reference": {"error": max(one["error"] for one in solved), "cases": len(solved), "refined": refined},
        "three_point": done[THREE_POINT].record["against_truth"] if tasks.compared else None,
    }


def three_point_record(truth: Reference) -> dict[str, Any] | None:
    """How far the paper's own three-point solver is from the converged reference."""
    if truth.paper is None:
        return None
    curves = compare(truth.paper, truth.frames, truth.fields, truth.grid)
    return {
        "corr_mean": float(curves.corr.mean()),
        "corr_worst": float(curves.corr.mean(axis=1).min()),
        "corr_final": float(curves.corr[:, -1].mean()),
        "mae": float(curves.mae.mean()),
    }


def curves_of(curves: Curves, most: int = 100) -> dict[str, list[float | None]]:
    """Means over cases along a roll-out, at up to ``most`` frames; correlation also the lowest case."""
    count = curves.corr.shape[1]
    pick = np.unique(np.round(np.geomspace(1, count, min(most, count))).astype(int)) - 1
    means = {
        "corr": np.nan_to_num(curves.corr, nan=0.0).mean(0),
        "corr_lowest": np.nan_to_num(curves.corr, nan=0.0).min(0),
        "mae": np.mean(curves.mae, 0),
        "rel_l2": np.mean(curves.rel_l2, 0),
        "norm": np.mean(np.abs(curves.norm - 1), 0),
    }
    found: dict[str, list[float | None]] = {"frame": (pick + 1).tolist()}
    for name, values in means.items():
        found[name] = [float(v) if np.isfinite(v) and abs(v) < 1e9 else None for v in values[pick]]
    return found


def frames_of(
    student: Student, truth: Reference, found: np.ndarray, curves: Curves, animations: int
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """|psi| for the report (one byte a point, every fourth frame and point), and all curves of all cases."""
    names = [item.name for item in truth.items]
    wanted = [name for name in SHOWN if name in names] or names
    chosen = [names.index(name) for name in wanted[:animations]]
    step_t, step_x = max(1, found.shape[1] // 100), max(1, truth.grid.n // 256)
    arrays: dict[str, np.ndarray] = {}
    scale = {}
    for index in chosen:
        true = truth.frames[index, student.history : student.history + found.shape[1]]
        top = float(np.max(np.abs(true)))
        scale[names[index]] = top
        for key, psi in (("true", true), ("predicted", found[index])):
            with np.errstate(all="ignore"):
                size = np.abs(psi[::step_t, ::step_x]) / top
            arrays[f"{key}/{index}"] = np.round(255 * np.clip(np.nan_to_num(size, nan=1.0), 0, 1)).astype(np.uint8)
        arrays[f"potential/{index}"] = truth.fields[index, ::step_x].astype(np.float32)
    for name, values in curves._asdict().items():
        safe = np.clip(np.nan_to_num(values, nan=1e30, posinf=1e30), -1e30, 1e30)
        arrays[f"curves/{name}"] = safe.astype(np.float32)
    meta = {
        "cases": {str(index): names[index] for index in chosen},
        "all_cases": names,
        "amplitude_scale": scale,
        "frame_step": step_t * truth.frame_step,
        "dx": step_x * truth.grid.dx,
        "not_finite": 1e30,
    }
    return arrays, meta
