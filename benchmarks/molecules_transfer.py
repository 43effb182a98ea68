"""Steps to 1 mHa per atom: from a model trained on small hydrogen chains, and from scratch with the same network.

The model is trained on H4 and H6 at three spacings, all molecules in every step, and then tuned to longer chains at 1.8
bohr. Every chain is also trained from scratch, Hartree-Fock pre-training included (which is not counted as steps).
Energies come from fresh samples; the step at which 1 mHa per atom is reached from a running mean over twenty steps.
"""

from __future__ import annotations

import argparse
from typing import Any

import _common
from _common import clock, say, table

# isort: split
import wavefoundry as wf

SPACINGS = [1.6, 1.8, 2.0]


def study(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Training and transfer; returns the summary and the cost of the training."""
    model = wf.models.electrons(width=arguments.width, layers=arguments.layers)
    small: dict[str, Any] = {"width": 6, "layers": 1, "pair": 4, "convolution": 4, "determinants": 1, "jastrow": 4}
    if arguments.quick:
        model = wf.models.electrons(**small, hidden=(4,), exponents=(4,))
    train = wf.molecules(
        chain=[2, 3] if arguments.quick else [4, 6], spacing=SPACINGS[:1] if arguments.quick else SPACINGS
    )
    settings = (
        {"walkers": 32, "moves": 4, "hf_steps": 8, "block": 4} if arguments.quick else {"walkers": arguments.walkers}
    )
    begin = clock()
    base = wf.pretrain(train, model, steps=arguments.train_steps, seed=arguments.seed, progress=True, **settings)
    spent = clock() - begin
    say(f"trained: {base.parameters} weights, {spent.cpu:.0f} CPU s")
    targets = wf.molecules(chain=arguments.targets, spacing=1.8)
    evaluate = {"samples": arguments.samples, "chains": 32 if arguments.quick else 256, "density": False}
    found = wf.map(
        base, targets, method="full", steps=arguments.steps, scratch=True, scratch_steps=arguments.scratch_steps,
        evaluate=evaluate, progress=True,
    )  # fmt: skip
    return found.summary, {"cpu_seconds": spent.cpu, "wall_seconds": spent.wall, "parameters": base.parameters}


def main() -> None:
    """Run the comparison; ``--quick`` makes network, chains and trainings tiny."""
    parser = _common.parser(__doc__)
    parser.add_argument("--targets", type=int, nargs="+", default=[8], help="atoms of the chains (default 8)")
    parser.add_argument("--walkers", type=int, default=256)
    parser.add_argument("--train-steps", type=int, default=400)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--scratch-steps", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=20_480)
    arguments: argparse.Namespace = parser.parse_args()
    if arguments.quick:
        changes = {"targets": [4], "train_steps": 4, "steps": 4, "scratch_steps": 4, "samples": 256}
        arguments = argparse.Namespace(**(vars(arguments) | changes))
    summary, training = study(arguments)
    rows = [
        [
            record["name"],
            record["method"],
            record["steps"],
            record["energy"],
            record["energy_error"],
            record["error_mha"],
        ]
        for record in summary["molecules"]
    ]
    table("energies of fresh samples", ["chain", "method", "steps", "E (Ha)", "error bar", "E - ref (mHa)"], rows)
    columns = ["chain", "zero-shot error (mHa)", "steps from the model", "from scratch", "ratio", "at least"]
    keys = ["zero_shot_error_mha", "steps_to_1mha_per_atom", "scratch_steps", "ratio", "ratio_at_least"]
    table("steps to 1 mHa per atom", columns, [[e["target"], *(e[k] for k in keys)] for e in summary["transfer"]])
    results = {"training": training, "transfer": summary["transfer"], "curves": summary["curves"], "rows": rows}
    _common.save("molecules_transfer", arguments, results)


if __name__ == "__main__":
    main()
