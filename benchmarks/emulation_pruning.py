"""The pruning table of arXiv 2203.10200, and what further training gives back.

Weights of a GRU below a magnitude are set to zero, all of them or those of the first layer alone, and the suite of 24
landscapes is rolled out over 400 frames. The paper does not say how many weights that leaves; here it is a column. Then the
survivors are trained on, a tenth of the steps of the demonstration recipe.
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

COLUMNS = ("pruned", "left", "mean corr", "median loss", "worst corr", "paper", "CPU s")
LIMITS = (1e-4, 1e-3, 1e-2)
PAPER = {
    ("all", 1e-4): 0.922,
    ("all", 1e-3): 0.897,
    ("all", 1e-2): 0.111,
    ("first", 1e-3): 0.921,
    ("first", 1e-2): 0.893,
}
"""Mean correlations of the paper over its 25 landscapes; unpruned 0.922."""
UNPRUNED = 0.922


def row(name: str, student: wf.Student, truth: Any, dense: list[float] | None, paper: float | None) -> dict[str, Any]:
    """Judge a student; losses are against the dense one, landscape by landscape."""
    start = time.process_time()
    found = wf.evaluate(student, truth=truth)
    corr = [case["corr_mean"] or 0.0 for case in found.cases]
    losses = sorted(a - b for a, b in zip(dense or corr, corr, strict=True))
    return {
        "pruned": name,
        "left": student.survivors,
        "corr_mean": sum(corr) / len(corr),
        "median_loss": losses[len(losses) // 2],
        "corr_worst": min(corr),
        "paper": paper,
        "cpu_seconds": time.process_time() - start,
        "corr": corr,
    }


def main() -> None:
    """Print the table and write the JSON."""
    args = arguments()
    from wavefoundry.problems.landscapes import suite
    from wavefoundry.studies.emulation.truth import reference

    student = wf.load_student(args.student)
    truth = reference(suite(), 400, student.grid, student.frame_step, paper=False)
    rows = [row("nothing", student, truth, None, UNPRUNED)]
    dense = rows[0]["corr"]
    say(rows[-1])
    for which, layers in (("all", ()), ("first", ("frame.kernel",))):
        for limit in LIMITS:
            name = f"{which}, below {limit:g}"
            rows.append(row(name, student.pruned(below=limit, layers=layers), truth, dense, PAPER.get((which, limit))))
            say(rows[-1])
    if args.steps:
        data = wf.Curriculum.preset("paper-demo").generate(args.cache)
        for share in args.shares:
            sparse = student.pruned(share=share, layers=["*.kernel"])
            rows.append(row(f"{share:.0%} of the kernels", sparse, truth, dense, None))
            tuned = wf.distill(data, start=sparse, steps=args.steps, learning_rate=args.rate)
            rows.append(row(f"{share:.0%} of the kernels, trained on", tuned, truth, dense, None))
            rows[-1]["train_cpu_seconds"] = tuned.record["cost"]["cpu_seconds"]
            say(rows[-1])
    table(
        COLUMNS,
        [
            [
                r["pruned"],
                r["left"],
                r["corr_mean"],
                r["median_loss"],
                r["corr_worst"],
                r["paper"] or "",
                r["cpu_seconds"],
            ]
            for r in rows
        ],
    )
    save(args, "emulation_pruning", {"rows": rows, "steps": args.steps, "learning_rate": args.rate})


def arguments() -> argparse.Namespace:
    """Of the command line."""
    found = parser(__doc__)
    found.add_argument("--student", default="zoo:emulator-gru")
    found.add_argument("--steps", type=int, default=45_000, help="of the training after pruning; 0 leaves it out")
    found.add_argument("--rate", type=float, default=1e-4, help="its learning rate")
    found.add_argument("--shares", type=float, nargs="*", default=[0.5, 0.8], help="of the kernels, pruned before it")
    found.add_argument("--cache", type=Path, help="keeps the frames of the teacher")
    return found.parse_args()


if __name__ == "__main__":
    main()
