"""What a frame costs: the teacher, all kinds of students, and the solver tuned to the accuracy of each, in one run.

Single precision for students and tuned solver, batch of 8, 1024 points; compilation is left out. The accuracy is the
mean absolute error on 8 of the 24 landscapes of the suite. The networks of the paper are trained for 3000 steps only:
their cost does not depend on it, and no training that fits a desk brings them near the others. Also: one-dimensional
students used on a plane.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
from _common import parser, save, say, table

import wavefoundry as wf
from wavefoundry.models import EmulatorSpec
from wavefoundry.problems.landscapes import single, suite
from wavefoundry.studies.emulation import evaluation, speed
from wavefoundry.studies.emulation.curriculum import Trajectories
from wavefoundry.studies.emulation.truth import reference

KINDS = ("unitary", "kernel", "linear", "dense", "conv", "gru")
WHOLE = ("unitary", "kernel")
SHORT: dict[str, Any] = {"steps": 3000}
QUICK: dict[str, dict[str, Any]] = {"unitary": {"steps": 40, "polish": 2}, "kernel": {"steps": 40}}


def plane(student: wf.Student, n: int, frames: int) -> list[dict[str, Any]]:
    """A student of lines on a plane, separable landscape and not: correlation and error against a solver."""
    line = wf.Grid1D(n * student.grid.dx, n)
    grid = wf.Grid2D((line.length, line.length), (n, n))
    scale = line.length / 40
    packet = [single(x0 * scale, 1.6, e0, 0, 1).state(line) for x0, e0 in ((9.0, 4.0), (14.0, 2.0))]
    psi = np.outer(*packet)
    x, y = np.meshgrid(line.x, line.x, indexing="ij")
    middle = line.length / 2
    landscapes = {
        "separable": 4.0 * (np.abs(x - middle) < 1) + 2.0 * (np.abs(y - 1.2 * middle) < 1),
        "disc": 6.0 * ((x - middle) ** 2 + (y - middle) ** 2 < 4.0),
        "two slits": 12.0 * (np.abs(x - middle) < 0.5) * (np.abs(np.abs(y - middle) - 2.0) > 0.8),
    }
    rows = []
    for name, potential in landscapes.items():
        student.rollout(psi, potential, frames, grid=grid)
        begin = time.process_time()
        found = student.rollout(psi, potential, frames, grid=grid)
        cost = 1e3 * (time.process_time() - begin) / frames
        true = wf.propagate(psi, potential, frames, grid=grid, kcut=24.0, tolerance=1e-2)
        difference = np.linalg.norm(found[-1] - true[-1]) / np.linalg.norm(true[-1])
        overlap = abs(np.vdot(found[-1], true[-1])) / np.linalg.norm(found[-1]) / np.linalg.norm(true[-1])
        rows.append({"landscape": name, "corr_end": overlap, "rel_l2_end": difference, "ms_per_frame": cost})
    return rows


def teach(curriculum: wf.Curriculum, label: str) -> tuple[Trajectories, dict[str, Any]]:
    """Frames of a curriculum, and what they cost: the check of convergence is included, compilation is not."""
    curriculum.generate()
    clock, wall = time.process_time(), time.perf_counter()
    data = curriculum.generate()
    cpu, wall = time.process_time() - clock, time.perf_counter() - wall
    runs = len(data.items)
    record = {"runs of": label, "runs": runs, "frames": curriculum.frames, "substeps": data.substeps}
    record |= {"error": data.error, "runs_per_cpu_second": runs / cpu, "runs_per_second": runs / wall}
    return data, record


def main() -> None:
    """Time everything, print three tables."""
    arguments = parser(__doc__).parse_args()
    quick = arguments.quick
    frames = 40 if quick else 400
    curriculum = wf.Curriculum.preset("quick" if quick else "default", frames=frames)
    say("teacher ...")
    data, record = teach(curriculum, curriculum.name)
    paper = wf.Curriculum.preset("paper-demo", frames=40 if quick else 500)
    part = dataclasses.replace(paper, items=paper.items[:: 100 if quick else 6])
    teacher = [record, teach(part, "the paper")[1]]
    table("teacher, convergence check included", list(teacher[0]), [list(row.values()) for row in teacher])
    grid = curriculum.grid
    picks = np.unique(np.round(np.linspace(0, 23, 8)).astype(int))
    items = [suite(grid)[i] for i in picks]
    truth = reference(items, grid, frames, data.frame_step, paper=False)
    trained = []
    for kind in KINDS[:2] if quick else KINDS:
        say(f"student {kind} ...")
        settings: dict[str, Any] = QUICK[kind] if quick else {} if kind in WHOLE else SHORT
        student = wf.distill(data, EmulatorSpec(kind), seed=arguments.seed, **settings)
        trained.append((kind, student, evaluation.evaluate(student, truth)[0]))
    found = speed.table(trained, truth)
    for entry, (_, student, _) in zip(found["rows"], trained, strict=True):
        record = student.record
        entry |= {"parameters": student.parameters, "train_cpu_seconds": record["cost"]["cpu_seconds"]}
        entry |= {"steps": record["steps"], "batch": record["batch"], "training_loss": record["losses"][-1][1]}
    cells = [
        [r["student"], r["ms_per_frame"], r["mae"], *((s["kcut"], s["substeps"], s["ms_per_frame"], s["mae"]) if
         (s := r["solver"]) else (None,) * 4), r["solver_is_faster_by"]]
        for r in found["rows"]
    ]  # fmt: skip
    columns = ("student", "ms/frame", "MAE", "solver kcut", "steps", "ms/frame", "MAE", "solver faster by")
    table("students, and the cheapest solver of at least their accuracy", columns, cells)
    flat = plane(trained[0][1], 160 if quick else 256, 5 if quick else 40)
    table("unitary student of lines on a plane", list(flat[0]), [list(row.values()) for row in flat])
    save("emulation_speed", arguments, {"teacher": teacher, "speed": found, "plane": flat})


if __name__ == "__main__":
    main()
