"""The pruning table of arXiv 2203.10200, and what further training gives back.

Weights of a GRU below a magnitude are set to zero, all of them or those of the first layer alone, and the suite of 24
landscapes is rolled out over 400 frames. The paper does not say how many weights that leaves; here it is a column.
Then kernels lose a share of their weights and the survivors are trained on.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _common import parser, save, say, table

import wavefoundry as wf
from wavefoundry.problems.landscapes import suite
from wavefoundry.studies.emulation.truth import Reference, reference

COLUMNS = ("pruned", "weights left", "corr mean", "median loss", "corr worst", "paper", "CPU s")
LIMITS = (1e-4, 1e-3, 1e-2)
LAYERS = {"all arrays": (), "first kernel": ("frame.kernel",)}
PAPER = {
    ("all arrays", 1e-4): 0.922,
    ("all arrays", 1e-3): 0.897,
    ("all arrays", 1e-2): 0.111,
    ("first kernel", 1e-3): 0.921,
    ("first kernel", 1e-2): 0.893,
}
"""Mean correlations of the paper over its 25 landscapes; unpruned 0.922."""
UNPRUNED = 0.922


def row(name: str, student: wf.Student, truth: Reference, dense: dict[str, Any] | None) -> dict[str, Any]:
    """Judge a student; losses of correlation are against the dense one, landscape by landscape."""
    start = time.process_time()
    found = wf.evaluate(student, truth=truth)
    corr = [case["corr_mean"] or 0.0 for case in found.cases]
    losses = sorted(a - b for a, b in zip(corr if dense is None else dense["corr"], corr, strict=True))
    kept = {"pruned": name, "weights": student.survivors, "corr_mean": sum(corr) / len(corr), "corr": corr}
    kept |= {"median_loss": losses[len(losses) // 2], "corr_worst": min(corr), "paper": None}
    say(f"{name}: {student.survivors} weights, {kept['corr_mean']:.3f}")
    return kept | {"cpu_seconds": time.process_time() - start}


def arguments() -> argparse.Namespace:
    """Of the command line."""
    found = parser(__doc__)
    found.add_argument("--student", default="zoo:emulator-gru")
    found.add_argument("--steps", type=int, default=30_000, help="of the training after pruning; 0 leaves it out")
    found.add_argument("--rate", type=float, default=3e-4, help="its learning rate")
    found.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.8], help="of the kernels, pruned before it")
    return found.parse_args()


def main() -> None:
    """Prune, judge, train on, print the table."""
    args = arguments()
    student = wf.load_student(args.student)
    frames, steps = (40, min(args.steps, 50)) if args.quick else (400, args.steps)
    truth = reference(suite(student.grid), student.grid, frames, student.frame_step, paper=False)
    dense = row("nothing", student, truth, None) | {"paper": UNPRUNED}
    rows = [dense]
    for which, layers in LAYERS.items():
        for limit in LIMITS:
            name, paper = f"{which}, below {limit:g}", PAPER.get((which, limit))
            rows.append(row(name, student.pruned(below=limit, layers=layers), truth, dense) | {"paper": paper})
    if steps:
        data = wf.Curriculum.preset("quick" if args.quick else "paper-demo").generate()
        for share in args.shares:
            sparse = student.pruned(share=share, layers=["*.kernel"])
            rows.append(row(f"{share:.0%} of the kernels", sparse, truth, dense))
            tuned = wf.distill(data, start=sparse, steps=steps, learning_rate=args.rate, seed=args.seed)
            rows.append(row("the same, trained on", tuned, truth, dense))
            rows[-1] |= {"steps": steps, "train_cpu_seconds": tuned.record["cost"]["cpu_seconds"]}
    keys = ("pruned", "weights", "corr_mean", "median_loss", "corr_worst", "paper", "cpu_seconds")
    table("a pruned GRU, suite of 24 landscapes", COLUMNS, [[r[key] for key in keys] for r in rows])
    save("emulation_pruning", args, rows)


if __name__ == "__main__":
    main()
