"""Which weights of a neural quantum state are needed: the 3 x 3 Ising model down to one unit per bond.

Run ``python examples/tickets.py`` from a place you may write to; it takes about a minute on two cores. It prints the
rounds, the surviving units and two experiments, and writes ``tickets.png`` and ``tickets.html``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import wavefoundry as wf


def main() -> None:
    """Train 324 weights, prune them to 24, and ask what the rest says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--score", default="surgeon", help="magnitude, curvature or surgeon")
    parser.add_argument("--steps", type=int, default=100, help="training steps after each cut")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture and the report")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    # open boundaries, at the critical field of the infinite square lattice
    system = wf.lattice.ising_square(3, 3, h=3.04438, periodic=False)
    tickets = wf.prune(
        wf.models.dense(alpha=4, activation="logcosh"),
        system,
        fraction=0.15,
        stop_at=20,
        steps=arguments.steps,
        score=arguments.score,
        fan_in=2,
        train={"steps": 150, "diagonal_shift": 0.01},
    )
    for record in tickets.rounds:
        print(f"{record['n']:4d} weights   relative error {record['relative_error']:.2e}")
    print(tickets.summary["verdict"])

    # what is left: units of two weights, one on every bond
    found = wf.explain(tickets, 24)
    for unit in found["units"]:
        print(f"sites {unit['sites']}: {unit['kind']}, coupling {unit['coupling']:.4f}")

    # the mask alone decides: new random weights reach the same error, a random mask of the same density does not
    for record in wf.isolate(tickets, 24, variants=["random-init", "random-mask"]):
        print(f"{record['variant']}: relative error {record['mean']:.2e} over {len(record['errors'])} seeds")

    small = wf.compact(tickets, 24)
    print("units before and after compaction:", tickets.wavefunction(24).backbone.kernel.shape[1], end=" -> ")  # type: ignore[attr-defined]
    print(small.backbone.kernel.shape[1])  # type: ignore[attr-defined]
    tickets.plot().savefig(arguments.out / "tickets.png", dpi=160)
    tickets.to_html(arguments.out / "tickets.html")


if __name__ == "__main__":
    main()
