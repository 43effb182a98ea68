"""The record of a finished diagram for ``benchmarks/results``, and its table as Markdown.

Usage: python benchmarks/paper/record.py RUN NAME
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from wavefoundry.artifacts.results import read_results
from wavefoundry.core.errors import InputError
from wavefoundry.reports.tables import format_number, format_value_error

RESULTS = Path(__file__).resolve().parent.parent / "results"
KEPT = (
    "couplings",
    "energy_per_site",
    "relative_error",
    "z",
    "v_score",
    "v_score_error",
    "samples",
    "verdict",
    "flags",
)
"""What is kept of a state; its energy and error bar come from the same samples."""


def state(record: dict[str, Any], sites: int) -> dict[str, Any]:
    """One row: the state of a point or of a base."""
    row = {name: record[name] for name in KEPT} | {"energy_error_per_site": record["energy_error"] / sites}
    row |= {"cpu_seconds": record["cost"]["cpu_seconds"], "method": record["method"]}
    row |= {name: record[name] for name in ("sector", "base", "symmetry", "ladder") if name in record}
    return row | {"dmrg": published(record)}


def published(record: dict[str, Any]) -> float | None:
    """Relative error of the published DMRG value, where there is one."""
    found = record["references"].get("literature") or {}
    others = (found.get("details") or {}).get("others") or []
    mine = [one for one in others if "DMRG" in one["method"]]
    exact = found.get("energy")
    return abs(mine[0]["energy"] / exact - 1) if mine and exact else None


def main(run: str, name: str) -> None:
    """Write the record, print the table."""
    summary = read_results(Path(run))
    if summary is None:
        raise InputError(f"the run in {run} is not finished")
    sites = summary["system"]["sites"]
    points = [state(one, sites) for one in summary["points"]]
    bases = [state(one, sites) for one in summary.get("bases", [summary["pretrain"]])]
    cost = {key: summary[key] for key in ("adapt_cost", "overlaps_cost") if key in summary}
    results = {"bases": bases, "points": points, "crossings": summary.get("crossings"), **cost}
    results |= {"transition": summary["transition"], "verdicts": summary["verdicts"]}
    machine, pretrain = summary["hardware"], summary["settings"]["pretrain"]
    if isinstance(starts := pretrain.get("warm_start"), list):  # without the folders of this machine
        pretrain["warm_start"] = ["/".join(Path(one).parts[-2:]) for one in starts]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{machine['device']} {machine['cores']} cores".lower()).strip("-")
    record = {"benchmark": name, "command": f"wavefoundry run; {Path(__file__).name} {Path(run).name} {name}"}
    record |= {"hardware": machine, "versions": summary["versions"], "settings": summary["settings"]}
    path = RESULTS / f"{name}-{slug}.json"
    path.write_text(json.dumps(record | {"results": results}, indent=2, allow_nan=False) + "\n")
    names = [key for key in points[0]["couplings"] if len({one["couplings"][key] for one in points}) > 1]
    print(f"| {', '.join(names)} | sector | E / site | relative error | V-score | verdict | CPU s | DMRG |")
    print("|---|---|---|---|---|---|---|---|")
    for one in points:
        cells = [", ".join(f"{one['couplings'][key]:g}" for key in names), str(one.get("sector", {}).get("number", ""))]
        cells += [format_value_error(one["energy_per_site"], one["energy_error_per_site"])]
        cells += [format_number(one["relative_error"]), format_number(one["v_score"]), one["verdict"]]
        cells += [f"{one['cpu_seconds']:.0f}", "" if one["dmrg"] is None else format_number(one["dmrg"])]
        print(f"| {' | '.join(cells)} |")
    print(f"\nadaptation {summary['adapt_cost']['cpu_seconds']:.0f} CPU s in all; {path}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="directory of a finished run")
    parser.add_argument("name", help="of the record")
    main(**vars(parser.parse_args()))
