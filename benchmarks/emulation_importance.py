"""Which physical processes a curriculum must show, for two architectures: trainings without each of them.

Every process is left out of the default curriculum in turn, with several seeds; 1 - correlation over the suite of 24 is
compared with that of the training that saw everything and began with the same weights. Intervals: 95 %, Student's t.
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
from wavefoundry.core.statistics import half_width

COLUMNS = ("student", "without", "runs left", "growth of the loss (log10)", "95 % interval", "needed")


def arguments() -> argparse.Namespace:
    """Of the command line."""
    found = parser(__doc__)
    found.add_argument("--students", nargs="*", default=["unitary"], help="kinds of networks")
    found.add_argument("--seeds", type=int, default=8)
    found.add_argument("--steps", type=int, default=1000)
    found.add_argument("--frames", type=int, default=60)
    return found.parse_args()


def rows_of(kind: str, ranked: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a process."""
    rows = []
    for row in ranked["rows"]:
        value, reach = row["on_all"]["value"], half_width(ranked["seeds"]) * row["on_all"]["error"]
        interval = [value - reach, value + reach]
        rows.append({"student": kind, **row, "interval": interval, "needed": interval[0] > 0})
    return rows


def main() -> None:
    """Train, compare, print the table."""
    args = arguments()
    seeds, steps = (2, 20) if args.quick else (args.seeds, args.steps)
    rows, told = [], []
    for kind in args.students:
        start = time.process_time()
        data = wf.Curriculum.preset("quick" if args.quick else "default").generate()
        ranked = wf.ablate(data, getattr(wf.models, kind)(), seeds=seeds, steps=steps, frames=args.frames)
        rows += rows_of(kind, ranked)
        told.append({name: ranked[name] for name in ("student", "lost_with_everything", "words", "jobs")})
        told[-1]["cpu_seconds"] = time.process_time() - start
        for line in ranked["words"]:
            say(line)
    cells = [
        [
            row["student"], row["process"], row["runs"], f"{row['on_all']['value']:+.2f}",
            f"{row['interval'][0]:+.2f} to {row['interval'][1]:+.2f}", "yes" if row["needed"] else "not told",
        ]
        for row in rows
    ]  # fmt: skip
    table("what a curriculum must show", COLUMNS, cells)
    save("emulation_importance", args, {"rows": rows, "students": told})


if __name__ == "__main__":
    main()
