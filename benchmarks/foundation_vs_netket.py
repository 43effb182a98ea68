"""One network for all couplings: wavefoundry's conditioned network against netket-foundation (arXiv 2502.09488).

Both train a transformer that is given the field on the transverse-field Ising chain at the same five fields with the
same number of samples in a step, and are asked, as they are, for nine fields: the five and the four between them.
Width, layers, heads and patch are the same. Ours has its default settings. Theirs has its natural gradient with the
kernel of the samples, as its documentation begins with; step and shift are chosen by measurement, the best of the
pairs counts, after as many CPU seconds as ours took, and then after ``--longer`` times as many.

Energies are those of fresh samples, held against the closed form. Compilation is apart: theirs begins to count after
two steps, ours trains twice and the second time counts.

It needs a Python that has ``pip install netket-foundation``: ``--netket-foundation ENV/bin/python``, else this one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import _common
import numpy as np
from _common import finite, say, timed

import wavefoundry as wf
from wavefoundry.problems.exact import ising_chain


def fields(number: int) -> list[float]:
    """Fields around the transition, ends included."""
    return [round(float(h), 6) for h in np.linspace(0.8, 1.2, number)]


def judged(energies: list[float], errors: list[float], sites: int) -> dict[str, Any]:
    """Relative errors of all fields against the closed form."""
    exact = [ising_chain(sites, h).energy for h in fields(9)]
    relative = [abs(finite(e, "an energy") / x - 1) for e, x in zip(energies, exact, strict=True)]
    bars = [error / abs(x) for error, x in zip(errors, exact, strict=True)]
    return {"relative_errors": relative, "bars": bars, "mean": float(np.mean(relative)), "worst": max(relative)}


def ours(arguments: argparse.Namespace) -> dict[str, Any]:
    """Our conditioned network, trained at the five fields and measured at the nine."""
    model = wf.models.vit(
        patch=arguments.patch, width=arguments.width, layers=arguments.layers, heads=arguments.heads, conditioned=True
    )

    def trained() -> wf.Pretrained:
        return wf.pretrain(
            wf.lattice.ising_chain(arguments.sites), model, at=[{"h": h} for h in fields(5)], steps=arguments.steps,
            walkers=arguments.samples // 5, seed=arguments.seed,
        )  # fmt: skip

    _, first = timed(lambda: trained().record["energy"])
    base = trained()
    found = wf.map(base, {"h": fields(9)}, method="zero-shot", evaluate={"samples": arguments.fresh})
    energies = [point["energy"] for point in found.points], [point["energy_error"] for point in found.points]
    cost = base.record["cost"]
    return {
        "cpu_seconds": cost["cpu_seconds"],
        "compile_seconds": first.cpu - cost["cpu_seconds"],
        "steps": arguments.steps,
        **judged(*energies, arguments.sites),
        "verdicts": [point["verdict"] for point in found.points],
    }


def theirs(seconds: float, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every pair of step and shift in a process of its own, judged after as long as ours took and after longer."""
    settings = vars(arguments) | {"seconds": seconds, "trained": fields(5), "fields": fields(9)}
    script = Path(__file__).with_name("_foundation_train.py")
    environment = os.environ | {"NETKET_SHARDING": "1", "JAX_PLATFORMS": "cpu"}
    ended = subprocess.run(
        [arguments.netket_foundation, "-W", "ignore", str(script), json.dumps(settings)],
        env=environment, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        why = "out of memory" if ended.returncode == -9 else "is it installed?"
        raise SystemExit(f"error: netket-foundation ended with {ended.returncode}: {why}")
    rows = json.loads(ended.stdout.splitlines()[-1])
    for row in rows:
        for name in ("as long", "longer"):
            if np.all(np.isfinite(row[name]["energies"])):
                row[name] |= judged(row[name].pop("energies"), row[name].pop("errors"), arguments.sites)
            else:
                row[name] |= {"mean": math.inf, "worst": math.inf, "bars": [math.inf]}
    return rows


def main() -> None:
    """Train both, print the table, write the record."""
    parser = _common.parser(__doc__)
    parser.add_argument("--netket-foundation", metavar="PYTHON", default=sys.executable, help="a Python that has it")
    parser.add_argument("--sites", type=int, default=32)
    parser.add_argument("--patch", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--samples", type=int, default=640, help="in a step, of all five fields")
    parser.add_argument("--steps", type=int, default=150, help="of ours")
    parser.add_argument("--fresh", type=int, default=8192, help="samples of an evaluation")
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-3, 2e-2], help="of theirs")
    parser.add_argument("--shifts", type=float, nargs="+", default=[1e-4, 1e-3], help="of theirs")
    parser.add_argument("--longer", type=float, default=3.0, help="CPU time of the last comparison, in ours")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sites, arguments.steps, arguments.samples, arguments.fresh = 8, 10, 80, 256
        arguments.rates, arguments.shifts = [2e-2], [1e-3]
    mine = ours(arguments)
    say(f"ours: mean error {mine['mean']:.2e} in {mine['cpu_seconds']:.0f} CPU seconds")
    rows = theirs(mine["cpu_seconds"], arguments)
    best = {name: min((row[name] for row in rows), key=lambda one: one["mean"]) for name in ("as long", "longer")}
    finite(best["as long"]["mean"], "the best of theirs")
    heads = ["wavefoundry", "netket-foundation", f"netket-foundation, {arguments.longer:g} x as long"]
    lines = zip(heads, [mine, best["as long"], best["longer"]], strict=True)
    _common.table(
        "One network for nine fields: relative errors",
        ["", "steps", "CPU s", "mean", "worst", "bar, median"],
        [[n, r["steps"], r["cpu_seconds"], r["mean"], r["worst"], float(np.median(r["bars"]))] for n, r in lines],
    )
    _common.save("foundation-vs-netket", arguments, {"wavefoundry": mine, "best": best, "netket_foundation": rows})


if __name__ == "__main__":
    main()
