"""How accurate 72 weights can be, and how far the frame step can be stretched.

The unitary student is trained on the default curriculum for some band limits, then by continuation for longer and
longer frames: the student of one frame step, its phases and filters scaled, is the start of the next. Judged on the
suite of 24 landscapes over a time of 40.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import equinox as eqx
from _common import parser, save, say, table

import wavefoundry as wf
from wavefoundry.models import EmulatorSpec
from wavefoundry.problems.landscapes import suite
from wavefoundry.problems.schrodinger import Solver
from wavefoundry.studies import judging
from wavefoundry.studies.context import Context
from wavefoundry.studies.curriculum import Trajectories
from wavefoundry.studies.distill import distill_on, plan_of
from wavefoundry.studies.student import Student

COLUMNS = ("kcut", "frame step", "corr mean", "corr worst", "corr end", "MAE", "CPU s")


def stretched(data: Trajectories, factor: int) -> Trajectories:
    """Every factor-th frame."""
    return data._replace(frames=data.frames[:, ::factor], frame_step=data.frame_step * factor)


def scaled(student: Student, frame_step: float) -> Any:
    """The emulator of a student with all phases stretched to another frame step."""
    emulator: Any = student.emulator
    ratio = frame_step / student.frame_step
    emulator = eqx.tree_at(lambda e: (e.phases, e.taps), emulator, (emulator.phases * ratio, emulator.taps * ratio))
    return dataclasses.replace(emulator, frame_step=frame_step)


def row(student: Student, kcut: float, time: float) -> dict[str, float]:
    """Judge a student over a time."""
    frames = round(time / student.frame_step)
    truth = judging.reference(
        suite(student.grid), student.grid, frames, student.frame_step, solver=Solver(tolerance=5e-3), paper=False
    )
    over = judging.overview(judging.judge(student, truth)[0])
    found = {"kcut": kcut, "frame_step": student.frame_step, "parameters": student.parameters}
    found |= {name: over[name] for name in ("corr_mean", "corr_worst", "corr_final", "mae")}
    return found | {"cpu_seconds": student.record["cost"]["cpu_seconds"]}


def main() -> None:
    """Train, stretch, print two tables."""
    options: argparse.ArgumentParser = parser(__doc__)
    arguments = options.parse_args()
    quick, time = arguments.quick, 4.0 if arguments.quick else 40.0
    steps, polish = (40, 1) if quick else (8000, 24)
    limits, factors = ((12.0,), (2,)) if quick else ((10.0, 12.0, 15.0), (2, 3, 4, 5, 6, 8, 10))
    curriculum = wf.Curriculum.preset("quick" if quick else "default", frames=40 if quick else 400)
    say("teacher ...")
    data = curriculum.generate()
    rows, students = [], {}
    for kcut in limits:
        say(f"band limit {kcut:g} ...")
        model = EmulatorSpec("unitary", (("kcut", kcut),))
        plan = plan_of("unitary", steps=steps, polish=polish, seed=arguments.seed)
        students[kcut] = distill_on(data, model, plan, Context())
        rows.append(row(students[kcut], kcut, time))
    student = students[12.0]
    for factor in factors:
        say(f"frame step {factor * data.frame_step:.2f} ...")
        longer = stretched(data, factor)
        plan = plan_of("unitary", steps=max(40, steps // 5), learning_rate=1e-3, polish=polish, seed=arguments.seed)
        start = scaled(student, longer.frame_step)
        student = distill_on(longer, student.model, plan, Context(), start=start)
        rows.append(row(student, 12.0, time))
    keys = ("kcut", "frame_step", "corr_mean", "corr_worst", "corr_final", "mae", "cpu_seconds")
    cells = [[f"{r[key]:.5f}" if key.startswith("corr") else r[key] for key in keys] for r in rows]
    table("unitary student, 72 weights, suite of 24 landscapes", COLUMNS, cells)
    save("emulation_accuracy", arguments, rows)


if __name__ == "__main__":
    main()
