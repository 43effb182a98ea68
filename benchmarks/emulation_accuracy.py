"""How accurate 72 weights can be, and how far the frame step can be stretched.

The unitary student is trained on the default curriculum as users get it, then longer for some band limits, then by
continuation for longer and longer frames: the student of one frame step, its phases and filters scaled, is the start of
the next, with a band limit that stays clear of resonances. Judged on the suite of 24 landscapes over a time of 40.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from _common import parser, save, say, table

import wavefoundry as wf
from wavefoundry.models import EmulatorSpec
from wavefoundry.models.unitary_map import basis
from wavefoundry.problems.landscapes import suite
from wavefoundry.studies.emulation.curriculum import Trajectories
from wavefoundry.studies.emulation.distill import Start, distill_on, plan_of
from wavefoundry.studies.emulation.evaluation import evaluate, overview
from wavefoundry.studies.emulation.student import Student
from wavefoundry.studies.emulation.truth import LEAD, Reference, reference
from wavefoundry.studies.progress import Progress

COLUMNS = ("student", "kcut", "frame step", "corr mean", "corr worst", "corr end", "MAE", "norm drift", "CPU s")
MEASURED = ("corr_mean", "corr_worst", "corr_final", "mae", "norm_drift")


def thinned(data: Trajectories, factor: int) -> Trajectories:
    """Every factor-th frame."""
    return data._replace(frames=data.frames[:, ::factor], frame_step=data.frame_step * factor)


def stretched(student: Student, frame_step: float) -> tuple[Any, EmulatorSpec]:
    """The emulator of a student with all phases scaled to another frame step, and its description.

    Drifts of h with h kcut^2 / 2 near 2 pi are resonant, so the band limit falls with the frame step (to 0.8 of that).
    The phases are fitted anew below it, where they are what they were.
    """
    old: Any = student.emulator
    kcut = min(old.kcut, round(math.sqrt(1.6 * math.tau * old.depth / frame_step), 1))
    k, ratio = np.linspace(0, kcut, 400), frame_step / student.frame_step
    before, after = (np.asarray(basis(k, cut), float).T for cut in (old.kcut, kcut))
    wanted = ratio * before @ np.asarray(old.phases, float).T
    phases = (
        np.linalg.lstsq(after, wanted, rcond=1e-6)[0].T.astype(np.float32) if kcut < old.kcut else old.phases * ratio
    )
    new = eqx.tree_at(lambda e: (e.phases, e.taps), old, (jnp.asarray(phases), old.taps * ratio))
    return dataclasses.replace(new, frame_step=frame_step, kcut=kcut), described(kcut, old.depth)


def described(kcut: float, depth: int) -> EmulatorSpec:
    """A student of a band limit, with so many kicks and drifts per frame."""
    return EmulatorSpec("unitary", (("depth", depth), ("kcut", kcut)))


def row(name: str, student: Student, truth: Reference) -> dict[str, Any]:
    """Judge a student; ``truth`` has the frames of the shortest step."""
    factor = round(student.frame_step / truth.frame_step)
    count = (truth.frames.shape[1] - 1 - LEAD) // factor
    frames = truth.frames[:, ::factor][:, : count + 1]
    padded = np.concatenate([frames, frames[:, :LEAD]], axis=1)  # the lead is for students that look at four frames
    over = overview(evaluate(student, truth._replace(frames=padded, frame_step=student.frame_step))[0])
    emulator: Any = student.emulator
    found = {"student": name, "kcut": emulator.kcut, "frame_step": student.frame_step}
    found |= {"parameters": student.parameters} | {key: over[key] for key in (*MEASURED, "worst_case")}
    return found | {"cpu_seconds": student.record["cost"]["cpu_seconds"]}


def main() -> None:
    """Train, stretch, print a table."""
    options: argparse.ArgumentParser = parser(__doc__)
    options.add_argument("--depth", type=int, default=3, help="kicks and drifts per frame")
    arguments = options.parse_args()
    depth = arguments.depth
    quick, frames = arguments.quick, 40 if arguments.quick else 400
    usual: dict[str, Any] = {"steps": 40, "polish": 2} if quick else {}
    longer: dict[str, Any] = {"steps": 40, "polish": 2} if quick else {"steps": 8000, "polish": 20}
    limits, factors = ((10.0,), (2,)) if quick else ((10.0,), (2, 3, 4, 5, 6, 8))
    curriculum = wf.Curriculum.preset("quick" if quick else "default", frames=frames)
    say("teacher ...")
    data = curriculum.generate()
    truth = reference(suite(data.grid), data.grid, frames, data.frame_step, paper=False)
    say("as users get it ...")
    usual_plan = plan_of("unitary", seed=arguments.seed, **usual)
    student = distill_on(data, EmulatorSpec("unitary", (("depth", depth),)), usual_plan, Progress())
    rows = [row("default", student, truth)]
    for kcut in limits:
        say(f"band limit {kcut:g} ...")
        plan = plan_of("unitary", seed=arguments.seed, **longer)
        student = distill_on(data, described(kcut, depth), plan, Progress())
        rows.append(row("longer", student, truth))
    for factor in factors:
        say(f"frame step {factor * data.frame_step:.2f} ...")
        emulator, model = stretched(student, factor * data.frame_step)
        plan = plan_of("unitary", learning_rate=1e-3, seed=arguments.seed, **(usual or {"steps": 800, "polish": 8}))
        student = distill_on(thinned(data, factor), model, plan, Progress(), start=Start(emulator))
        rows.append(row("stretched", student, truth))
    keys = ("student", "kcut", "frame_step", *MEASURED, "cpu_seconds")
    cells = [[f"{r[key]:.6f}" if key.startswith("corr") else r[key] for key in keys] for r in rows]
    table(f"unitary student, {student.parameters} weights, suite of 24 landscapes", COLUMNS, cells)
    save("emulation_accuracy" if depth == 3 else f"emulation_accuracy-depth-{depth}", arguments, rows)


if __name__ == "__main__":
    main()
