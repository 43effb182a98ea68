"""Tickets of the study files in ``examples/studies``: error against weights, onset, isolation, transfer, and cost.

Give names of study files (``tickets-ising-4x4``), or with ``--run`` the directories of runs that are finished.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import _common
from _common import say, table

# isort: split
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.files import decode_json, read_plain
from wavefoundry.studies import run_study

STUDIES = Path(__file__).resolve().parent.parent / "examples" / "studies"
KEPT = ("n", "rho", "energy", "energy_error", "relative_error", "delta_per_site", "fidelity_previous", "observables")
KEPT += ("observable_errors", "convergence", "rollbacks", "verdict", "reasons", "flags")


def numbers(summary: dict[str, Any]) -> dict[str, Any]:
    """The part of a summary that a result file keeps."""
    explained, train = summary["explain"], summary["settings"]["train"]
    if train.get("warm_start"):
        train["warm_start"] = Path(train["warm_start"]).name
    return {
        "system": summary["system"],
        "parameters": summary["parameters"],
        "rounds": [{name: record[name] for name in KEPT} for record in summary["rounds"]],
        **{
            name: summary[name]
            for name in ("reference", "fit", "onset", "laws", "transition", "verdict", "jumps", "isolation")
        },
        "transfer": [{k: r[k] for k in ("couplings", "n", "mask", "relative_error")} for r in summary["transfer"]],
        "units": {name: explained[name] for name in ("n", "kinds", "covered", "odd_plaquettes") if name in explained},
        "cost": summary["cost"],
        "settings": summary["settings"],
    }


def main() -> None:
    """Run the studies, or read finished ones, and write one result file each."""
    parser = _common.parser(__doc__)
    parser.add_argument("names", nargs="*", default=[], help="study files in examples/studies, without .toml")
    parser.add_argument("--run", nargs="*", default=[], type=Path, help="directories of finished runs")
    arguments: argparse.Namespace = parser.parse_args()
    found = [(folder.name, decode_json(read_plain(folder / "summary.json"), folder)) for folder in arguments.run]
    arguments.run = [folder.name for folder in arguments.run]
    sys.argv[1:] = [Path(word).name for word in sys.argv[1:]]  # result files do not tell where runs lie
    for name in arguments.names:
        quick = ["train.steps=10", "prune.steps=2"] if arguments.quick else []
        with tempfile.TemporaryDirectory() as folder:
            found.append((name, run_study(study_file.load(STUDIES / f"{name}.toml", quick), Path(folder) / "run")))
    for name, summary in found:
        rows = [[r["n"], r["rho"], r["relative_error"], r["delta_per_site"]] for r in summary["rounds"]]
        table(name, ["weights", "n/N", "rel. error", "error per site"], rows)
        say(f"{summary['verdict']} {summary['cost']['cpu_seconds']:.0f} CPU s")
        _common.save(name, arguments, numbers(summary))


if __name__ == "__main__":
    main()
