"""A nine-point phase diagram by head tuning: wavefoundry's pools against NetKet with a frozen backbone.

One base, pre-trained at h = 1 on the transverse-field Ising chain, is adapted to nine fields by both codes: the same
network and weights, as many samples per step as one step on a pool uses, the same learning rate and damping. Every
coupling starts from its neighbour's head, outward from h = 1.

NetKet stops at a coupling as soon as fresh samples show the relative error that wavefoundry reached there, give or
take one standard error of the difference. It is asked every ten steps; the look that ends a coupling is its final
evaluation and counts, the others cost it nothing. NetKet is NOT run at all nine couplings: it is timed at 0.8, 0.9 and
1.2, at 1.1 because 1.2 starts from it, and the mean over these is multiplied by nine.

Our seconds are those of the whole call: pools, tuning and final evaluation. Compilation is left out on both sides, by
mapping the diagram twice and counting the second time, and reported apart.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import _common
from _common import Seconds, clock, finite, say, table

# isort: split
import _netket as theirs
import jax
import numpy as np

import wavefoundry as wf
from wavefoundry.core.types import Wavefunction
from wavefoundry.problems.exact import ising_chain

POINTS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.5)
TIMED = (0.8, 0.9, 1.2)
BASE = 1.0


def path_to(timed: list[float]) -> list[list[float]]:
    """Couplings NetKet has to visit, outward on each side of the base: every one starts from the one before.

    A coupling further out starts from its neighbour, so the ones between it and the base are visited as well.
    """
    below = [h for h in sorted(POINTS, reverse=True) if h < BASE and any(t <= h for t in timed if t < BASE)]
    above = [h for h in sorted(POINTS) if h > BASE and any(t >= h for t in timed if t > BASE)]
    return [side for side in (below, above) if side]


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [size for size in range(1, number + 1) if number % size == 0]


def base_of(sites: int, arguments: argparse.Namespace) -> wf.Pretrained:
    """The pre-trained network: loaded when it was saved before, else trained."""
    system = wf.lattice.ising_chain(sites, h=BASE)
    folder = Path(f"{arguments.bases}-{sites}") if arguments.bases else None
    if folder is not None and folder.is_dir():
        return wf.load(folder, system)
    model = wf.models.vit(width=arguments.width, layers=arguments.layers, precision="float32")
    base = wf.pretrain(
        system, model, steps=arguments.steps, seed=arguments.seed, walkers=arguments.walkers, sampling="metropolis"
    )
    if folder is not None:
        base.save(folder)
    return base


def ours(base: wf.Pretrained, arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any], int]:
    """The diagram by pools: points, cost of everything, and the samples one tuning step uses."""
    settings = {"samples": arguments.samples, "learning_rate": arguments.learning_rate}
    evaluate = {"samples": arguments.fresh}
    if arguments.quick:
        evaluate["chains"] = 16

    def mapped() -> tuple[wf.Diagram, Seconds]:
        before = clock()
        found = wf.map(
            base, {"h": list(POINTS)}, method="head", diagonal_shift=arguments.shift, evaluate=evaluate, **settings
        )
        return found, clock() - before

    _, first = mapped()  # compiles
    diagram, spent = mapped()
    for point in diagram.points:
        finite(point["energy"], f"our energy at {point['couplings']}")
    used = diagram.summary["settings"]
    chains, held = used["evaluate"]["chains"], used["adapt"]["held_out"]
    pool = diagram.points[0]["pool"]["samples"]
    trained = pool - pool // chains * max(1, round(held * chains))
    cost = {"cpu_seconds": spent.cpu, "wall_seconds": spent.wall, "cpu_seconds_with_compilation": first.cpu}
    return diagram.points, cost, trained


class Theirs:
    """NetKet's head-only optimisation from the weights of a base."""

    def __init__(self, base: wf.Pretrained, samples: int, dtype: str, arguments: argparse.Namespace):
        self.system, self.samples, self.arguments = base.system, samples, arguments
        self.model, self.variables = theirs.twin(base.wavefunction, dtype)
        theirs.check(base.wavefunction, base.system, self.model, self.variables)
        self.tuning, self.tried = theirs.Tuning("IsingJax"), []

    def tune(self, base: Wavefunction) -> None:
        """Choose chunks and kernel on a smaller number of samples; its fast kernel needs chunks that divide it."""
        arguments = self.arguments
        samples = min(size for size in divisors(self.samples) if size >= min(arguments.tune_samples, self.samples))
        chunks = {max(size for size in divisors(samples) if size <= chunk) for chunk in arguments.chunks} - {samples}
        model, variables = theirs.twin(base, self.model.dtype)

        def start(option: theirs.Tuning) -> Any:
            state = theirs.state_of(self.system, model, variables, samples, option, arguments.seed)
            return theirs.freeze_backbone(state)

        repeats = 1 if arguments.quick else 3
        self.tuning, self.tried = theirs.tune(self.system, start, sorted(chunks), repeats, self.samples)

    def start(self) -> None:
        """Base weights, random walkers brought to equilibrium, programs compiled; none of it is counted."""
        state = theirs.state_of(self.system, self.model, self.variables, self.samples, self.tuning, self.arguments.seed)
        self.state = theirs.freeze_backbone(state)
        before = clock()
        self._stepper(BASE)()
        self._stepper(BASE)()
        self.warm_up = clock() - before
        self.state.variables = {**self.state.variables, "params": self.base_head}
        for _ in range(self.arguments.warm_up):
            self.state.sample()
        self.state.reset()

    @property
    def base_head(self) -> dict[str, Any]:
        """Head of the base."""
        return {name: self.variables["params"][name] for name in theirs.HEAD if name in self.variables["params"]}

    def back_to_base(self) -> None:
        """Head of the base again, walkers where they are."""
        self.state.variables = {**self.state.variables, "params": self.base_head}

    def operator(self, h: float) -> Any:
        """The Hamiltonian at a field, in the fastest form."""
        return theirs.hamiltonians(self.system.at(h=h))[self.tuning.operator]

    def _stepper(self, h: float) -> theirs.Stepper:
        rate, shift = self.arguments.learning_rate, self.arguments.shift
        return theirs.Stepper(theirs.driver_of(self.state, self.operator(h), rate, shift, self.tuning))

    def step_seconds(self, h: float, repeats: int) -> float:
        """CPU seconds of one step, the first ones left out."""
        stepper = self._stepper(h)
        stepper()
        return _common.measure(stepper, repeats).cpu

    def reach(self, h: float, target: dict[str, Any]) -> dict[str, Any]:
        """Tune the head at one coupling until fresh samples are as good as ours; what it took.

        Args:
            h: transverse field. target: our record at this coupling.
        """
        exact, stepper = ising_chain(self.system.sites, h).energy, self._stepper(h)
        goal, our_bar = max(0.0, 1 - target["energy"] / exact), target["energy_error"] / abs(exact)
        spent, steps, sweeps = Seconds(0.0, 0.0), 0, -(-self.arguments.fresh // self.samples)
        while True:
            begin = clock()
            for _ in range(self.arguments.check_every):
                jax.block_until_ready(stepper())
            cost = clock() - begin
            spent, steps = Seconds(spent.cpu + cost.cpu, spent.wall + cost.wall), steps + self.arguments.check_every
            begin = clock()
            energy, bar = theirs.fresh_energy(self.state, self.operator(h), max(2, sweeps))
            look = clock() - begin
            error, bar = 1 - finite(energy, f"NetKet's energy at h = {h}") / exact, bar / abs(exact)
            reached = error <= goal + float(np.hypot(bar, our_bar))
            say(f"  NetKet h = {h}: {steps} steps, error {error:.1e} +- {bar:.0e}, ours {goal:.1e} +- {our_bar:.0e}")
            if reached or steps >= self.arguments.max_steps:
                return {
                    "steps": steps, "cpu_seconds": spent.cpu + look.cpu, "wall_seconds": spent.wall + look.wall,
                    "evaluation_cpu_seconds": look.cpu, "relative_error": error, "relative_error_bar": bar,
                    "reached": reached,
                }  # fmt: skip


def compare(sites: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """One chain length: base, our diagram, NetKet's couplings, and the ratio of costs."""
    say(f"\n== Ising chain, {sites} sites: pre-training at h = {BASE}")
    base = base_of(sites, arguments)
    say(f"  {base.cost['cpu_seconds']:.0f} CPU s, relative error {base.record['relative_error']:.1e}")
    points, cost, trained = ours(base, arguments)
    by_field = {point["couplings"]["h"]: point for point in points}
    say(f"  wavefoundry: nine points, {cost['cpu_seconds']:.0f} CPU s; {trained} samples per step")

    samples = arguments.netket_samples or trained
    side = Theirs(base, samples, "float64", arguments)
    if not arguments.untuned:
        side.tune(base.wavefunction)
    say(f"  NetKet runs with {side.tuning}")
    side.start()
    visited: dict[float, dict[str, Any]] = {}
    for direction in path_to(arguments.timed):
        side.back_to_base()
        for h in direction:
            visited[h] = side.reach(h, by_field[h])
    single = Theirs(base, samples, "float32", arguments)
    single.tuning = side.tuning
    single.start()
    per_step = {
        name: one.step_seconds(arguments.timed[0], arguments.repeats)
        for name, one in (("float64", side), ("float32", single))
    }
    total = float(np.mean([record["cpu_seconds"] for record in visited.values()])) * len(POINTS)
    result = {
        "samples_per_step": samples,
        "pretrain": {"cost": base.cost, "record": base.record},
        "ours": {"cost": cost, "points": points},
        "netket": {
            "tuning": dataclasses.asdict(side.tuning),
            "tried": side.tried,
            "visited": {str(h): record for h, record in visited.items()},
            "warm_up_cpu_seconds": side.warm_up.cpu,
            "step_cpu_seconds": per_step,
            "scaled_cpu_seconds": total,
            "scaled_from": f"the mean over {len(visited)} couplings, times {len(POINTS)}",
        },
        "ratio": total / cost["cpu_seconds"],
        "ratio_with_our_compilation": total / cost["cpu_seconds_with_compilation"],
        "ratio_netket_float32": total * per_step["float32"] / per_step["float64"] / cost["cpu_seconds"],
        "all_targets_reached": all(record["reached"] for record in visited.values()),
    }
    report(sites, by_field, visited, result)
    return result


def report(sites: int, by_field: dict[float, Any], visited: dict[float, Any], result: dict[str, Any]) -> None:
    """Print the tables of one chain length."""
    rows = []
    for h, point in by_field.items():
        exact, other = point["exact_energy"], visited.get(h, {})
        bar = point["energy_error"] / abs(exact)
        mine = [point["relative_error"], bar, point["cost"]["cpu_seconds"], point["pool"]["draws"]]
        names = ("relative_error", "relative_error_bar", "cpu_seconds", "steps")
        rows.append([f"{h:g}", *mine, *[other.get(name) for name in names]])
    columns = ["h", "ours: error", "+-", "CPU s", "pools", "NetKet: error", "+-", "CPU s", "steps"]
    table(f"{sites} sites, errors from fresh samples", columns, rows)
    if not result["all_targets_reached"]:
        print("NetKet gave up before our error at some couplings: its cost is a lower bound.")
    mine, netket = result["ours"]["cost"]["cpu_seconds"], result["netket"]
    print(
        f"nine points: wavefoundry {mine:.1f} CPU s, NetKet {netket['scaled_cpu_seconds']:.0f} CPU s"
        f" ({netket['scaled_from']}): ratio {result['ratio']:.1f}"
        f" ({result['ratio_netket_float32']:.1f} if NetKet ran as many steps in single precision,"
        f" {result['ratio_with_our_compilation']:.1f} if only our compilation is counted)"
    )


def main() -> None:
    """Command line."""
    parser = _common.parser(__doc__)
    parser.add_argument("--sites", type=int, nargs="+", default=[32, 64, 100], help="chain lengths")
    parser.add_argument("--steps", type=int, default=300, help="pre-training steps (default 300)")
    parser.add_argument("--walkers", type=int, default=512, help="walkers of the pre-training (default 512)")
    parser.add_argument("--samples", type=int, default=2048, help="samples in our pools (default 2048)")
    parser.add_argument("--netket-samples", type=int, help="samples per step of NetKet (default: as many as ours)")
    parser.add_argument("--fresh", type=int, default=2048, help="fresh samples for every judgement (default 2048)")
    parser.add_argument("--learning-rate", type=float, default=0.15, help="of both (default 0.15)")
    parser.add_argument("--shift", type=float, default=0.01, help="diagonal shift of both (default 0.01)")
    parser.add_argument("--timed", type=float, nargs="+", default=list(TIMED), help="couplings NetKet is timed at")
    parser.add_argument("--check-every", type=int, default=10, help="steps between looks at fresh samples")
    parser.add_argument("--max-steps", type=int, default=100, help="NetKet gives up at a coupling (default 100)")
    parser.add_argument("--warm-up", type=int, default=20, help="sweeps before NetKet's first step, not counted")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps for the cost per step")
    parser.add_argument("--chunks", type=int, nargs="+", default=[128, 512, 2048], help="chunks NetKet may choose from")
    parser.add_argument("--tune-samples", type=int, default=256, help="samples while chunks are chosen")
    parser.add_argument("--untuned", action="store_true", help="NetKet as it comes: no chunks, full Jacobian")
    parser.add_argument("--bases", help="prefix of folders where bases are kept: PREFIX-<sites>")
    arguments = parser.parse_args()
    unknown = [h for h in arguments.timed if h not in POINTS]
    if unknown:
        raise SystemExit(f"error: --timed {unknown}: choose from {POINTS}")
    if arguments.quick:
        arguments.sites, arguments.steps, arguments.walkers, arguments.width, arguments.layers = [16], 20, 64, 8, 1
        arguments.samples, arguments.fresh, arguments.max_steps, arguments.chunks = 128, 128, 20, []
        arguments.timed, arguments.repeats, arguments.warm_up = [0.9, 1.1], 1, 2
    results = {str(sites): compare(sites, arguments) for sites in arguments.sites}
    rows = [
        [sites, r["ours"]["cost"]["cpu_seconds"], r["netket"]["scaled_cpu_seconds"], r["ratio"]]
        for sites, r in results.items()
    ]
    table("Nine-point diagram", ["sites", "wavefoundry, CPU s", "NetKet, CPU s", "ratio"], rows)
    _common.save("head-vs-netket", arguments, results)


if __name__ == "__main__":
    main()
