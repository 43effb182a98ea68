"""Steps to an error per atom: from a model trained on small hydrogen chains, and from scratch with the same network.

The model is trained on H4 and H6 at three spacings, all molecules in every step, and then tuned to longer chains at 1.8
bohr. Every chain is also trained from scratch, with the same network, walkers and learning rate; its Hartree-Fock
pre-training is not counted as steps. At an error the model has without a further step it needs none: the ratio is then
what a training from scratch takes, a lower bound.

One study for the training and one for every longer chain make the numbers. Interrupted, they go on where they stopped:
give the command again, with the same ``--keep``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import _common
from _common import say, table

# isort: split
from wavefoundry.artifacts import spec as study_file
from wavefoundry.core.errors import Interrupted
from wavefoundry.reports.live import view
from wavefoundry.studies import run_study

TINY = {"width": 6, "layers": 1, "pair": 4, "convolution": 4, "determinants": 1, "jastrow": 4, "hidden": [4],
        "exponents": [4]}  # fmt: skip
QUICK = {"targets": [4], "train_walkers": 32, "walkers": 32, "train_steps": 4, "steps": 4, "scratch_steps": 4,
         "samples": 256, "chains": 32, "moves": 4}  # fmt: skip


def studies(arguments: argparse.Namespace, keep: Path) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """The training with zero-shot energies, and for every chain the comparison with a training from scratch."""
    train: dict[str, Any] = {
        "molecules": [{"chain": [2, 3] if arguments.quick else [4, 6], "spacing": [1.6, 1.8, 2.0]}],
        "steps": arguments.train_steps, "walkers": arguments.train_walkers, "seed": arguments.seed,
    }  # fmt: skip
    if arguments.quick:
        train |= {"hf_steps": 8, "block": 4, "moves": 4}
    sizes = {key: value for key, value in (("width", arguments.width), ("layers", arguments.layers)) if value}
    shared = {
        "kind": "molecules",
        "wavefunction": TINY if arguments.quick else sizes,
        "evaluate": {
            "samples": arguments.samples, "chains": arguments.chains, "moves": arguments.moves,
            "trained": False, "density": False,
        },
    }  # fmt: skip
    tuning = {
        "method": "full", "steps": arguments.steps, "walkers": arguments.walkers, "learning_rate": arguments.rate,
        "decay": arguments.decay, "diagonal_shift": arguments.shift, "norm": arguments.norm, "scratch": True,
        "scratch_steps": arguments.scratch_steps,
    }  # fmt: skip
    start = {"steps": 0, "warm_start": str(keep.resolve() / "base"), "moves": arguments.moves}
    base = shared | {"train": train, "adapt": {"molecules": [{"chain": arguments.targets, "spacing": 1.8}]}}
    return base, {
        atoms: shared | {"train": train | start, "adapt": tuning | {"molecules": [{"chain": atoms, "spacing": 1.8}]}}
        for atoms in arguments.only or arguments.targets
    }


def finished(tables: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Summary of a study, made or continued.

    Raises:
        SystemExit: interrupted; the study has been saved.
    """
    spec = study_file.from_dict(tables, source=folder.name)
    with view(quiet=False, json=False) as emit:
        try:
            return run_study(spec, folder, resume=folder.exists(), emit=emit)
        except Interrupted as stopped:
            raise SystemExit(f"{stopped}; the same command with the same --keep goes on") from None


def compare(arguments: argparse.Namespace, keep: Path) -> dict[str, Any]:
    """All studies and their tables."""
    first, others = studies(arguments, keep)
    base = finished(first, keep / "base")
    tuned = [finished(tables, keep / f"transfer-{atoms}") for atoms, tables in others.items()]
    records = [record for summary in (base, *tuned) for record in summary["molecules"]]
    transfer = [entry for summary in tuned for entry in summary["transfer"]]
    keys = ("name", "method", "steps", "energy", "energy_error", "error_mha", "error_mha_error", "correlation_share",
            "r_hat", "flags", "cost")  # fmt: skip
    head = ["chain", "method", "steps", "energy", "mHa per atom", "error bar", "of correlation", "flags"]
    table("energies (Ha) of fresh samples", head, [row(record) for record in records])
    rows = [[entry["target"], level["error_mha_per_atom"], level["steps"], level["scratch_steps"], level["ratio"]]
            for entry in transfer for level in entry["levels"]]  # fmt: skip
    table("steps to an error", ["chain", "mHa per atom", "from the model", "from scratch", "ratio"], rows)
    return {
        "training": base["train"]["cost"], "parameters": base["parameters"]["total"],
        "energies": [{key: record[key] for key in keys} for record in records], "transfer": transfer,
        "curves": [curve for summary in tuned for curve in summary["curves"]],
        "cost": [summary["cost"] for summary in (base, *tuned)],
    }  # fmt: skip


def row(record: dict[str, Any]) -> list[Any]:
    """A record for the table."""
    per_atom = [record[key] / record["atoms"] for key in ("error_mha", "error_mha_error")]
    first = [record[key] for key in ("name", "method", "steps", "energy")]
    return [*first, *per_atom, record["correlation_share"], " ".join(record["flags"])]


def main() -> None:
    """Run the comparison; ``--quick`` makes network, chains and trainings tiny."""
    parser = _common.parser(__doc__)
    parser.add_argument("--targets", type=int, nargs="+", default=[8, 10], help="atoms of the chains (default 8 10)")
    parser.add_argument("--only", type=int, nargs="+", help="atoms of the chains to compare in this call")
    parser.add_argument("--train-walkers", type=int, default=64, help="of each of the six molecules (default 64)")
    parser.add_argument("--train-steps", type=int, default=1200)
    parser.add_argument("--walkers", type=int, default=320, help="tuning and from scratch (default 320)")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--scratch-steps", type=int, default=200, help="at most (default 200)")
    parser.add_argument("--moves", type=int, default=30, help="of tuning, from scratch and evaluation (default 30)")
    parser.add_argument("--rate", type=float, default=0.05, help="learning rate of the tuning (default 0.05)")
    parser.add_argument("--decay", type=float, default=60, help="of this rate (default 60)")
    parser.add_argument("--shift", type=float, default=0.01, help="damping of the tuning (default 0.01)")
    parser.add_argument("--norm", type=float, default=0.2, help="largest norm of an update of the tuning (default 0.2)")
    parser.add_argument("--samples", type=int, default=20_480)
    parser.add_argument("--chains", type=int, default=256)
    parser.add_argument("--keep", type=Path, help="folder of the two studies (default: a temporary one)")
    parser.set_defaults(width=None, layers=None)
    arguments: argparse.Namespace = parser.parse_args()
    if arguments.quick:
        arguments = argparse.Namespace(**(vars(arguments) | QUICK))
    with tempfile.TemporaryDirectory() as folder:
        keep = arguments.keep or Path(folder)
        keep.mkdir(parents=True, exist_ok=True)
        say(f"studies in {keep}")
        results = compare(arguments, keep)
    arguments = argparse.Namespace(**{k: v for k, v in vars(arguments).items() if k != "keep"})
    _common.save("molecules_transfer", arguments, results)


if __name__ == "__main__":
    main()
