"""Ten seeds of the 3 x 3 Ising study, 324 weights: does pruning pass through the state of twelve bonds, and end on it?

Two scores: the surgeon with the fan-in rule (cuts after which the error jumps are tried without it as well), and the
magnitude of the published method. CPU seconds include the compilation of each study's programs where no study before it
needed them.
"""

from __future__ import annotations

import argparse
from typing import Any

import _common
from _common import clock, table

# isort: split
import wavefoundry as wf

PLATEAU, WIDTH = 9.1063e-4, 2e-6
"""Error of the best state with one coupling for each of the 12 bonds, exact; and how close counts."""
SCORES: dict[str, dict[str, Any]] = {
    "surgeon": {"score": "surgeon", "fan_in": 2, "alternatives": ["surgeon"]},
    "magnitude": {"score": "magnitude"},
}


def study(seed: int, settings: dict[str, Any], steps: int) -> dict[str, Any]:
    """One hunt and what it went through."""
    begin = clock()
    system = wf.lattice.ising_square(3, 3, h=3.04438, periodic=False)
    train = {"steps": 3 * steps // 4, "diagonal_shift": 1e-2, "seed": seed}
    tickets = wf.prune(
        wf.models.dense(alpha=4), system, fraction=0.15, stop_at=20, steps=steps, train=train, **settings
    )
    errors = {record["n"]: record["relative_error"] for record in tickets.rounds}
    return {
        "seed": seed,
        "cpu_seconds": (clock() - begin).cpu,
        "plateau": [n for n, error in errors.items() if abs(error - PLATEAU) < WIDTH],
        "error_24": errors[24],
        "error_20": errors[20],
        "units_24": wf.explain(tickets, 24)["kinds"],
    }


def main() -> None:
    """Run both scores over the seeds."""
    parser = _common.parser(__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="number of seeds (default 10)")
    arguments: argparse.Namespace = parser.parse_args()
    seeds, steps = (1, 4) if arguments.quick else (arguments.seeds, 200)
    results: dict[str, Any] = {}
    for name, settings in SCORES.items():
        found = [study(seed, settings, steps) for seed in range(seeds)]
        rows = [[str(r["seed"]), r["cpu_seconds"], r["error_24"], r["error_20"], str(r["plateau"])] for r in found]
        table(name, ["seed", "CPU s", "error at 24", "error at 20", "weights on the plateau"], rows)
        counts = {
            "exactly 12 bonds at 24": sum(r["units_24"] == {"bond": 12} for r in found),
            "through the plateau": sum(bool(r["plateau"]) for r in found),
            "below 1e-2 at 20": sum(r["error_20"] < 1e-2 for r in found),
        }
        print(f"of {seeds}: " + ", ".join(f"{what} {count}" for what, count in counts.items()))
        results[name] = {"studies": found, "counts": counts}
    _common.save("tickets_seeds", arguments, results)


if __name__ == "__main__":
    main()
