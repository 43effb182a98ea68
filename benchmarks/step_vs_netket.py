"""Full training step and time to a given energy: wavefoundry against NetKet's VMC_SR, from the same weights.

Both sides move every chain between steps, one sample per chain, evaluate local energies, and take a natural-gradient
step in kernel form with the same learning rate and damping. NetKet makes one sweep of N proposals. wavefoundry, where
there are chains enough, makes proposals by a pair model of log|psi| until about two of them have been accepted; its
walkers then move farther than in a sweep. Compilation is not counted. NetKet's
chunk sizes, operator and kernel are tuned by measurement before the clock starts; ours are the defaults. NetKet runs
in double precision, its default, and for comparison in single precision. Ours run in double precision without momentum,
which is the same algorithm, and with our defaults: single precision and SPRING momentum.

wavefoundry mixes global flips into its moves and limits the size of a step; NetKet does neither.
"""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import _common
from _common import clock, finite, say, table

# isort: split
import _netket as theirs
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.core import tree
from wavefoundry.core.shapes import auto_patch, patch_edges
from wavefoundry.core.types import Wavefunction
from wavefoundry.engine.sampling import Walkers, equal_weights
from wavefoundry.engine.vmc import Options, Schedule, advance, block_of, local_energies, variational
from wavefoundry.models.transformer import vit
from wavefoundry.problems import lattice
from wavefoundry.problems.observables import exact_values
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.pretraining import chunk_size

CASES = ("ising-64", "ising-100", "j1j2-20", "j1j2-64")
SAMPLES = {"ising-64": 512, "ising-100": 256, "j1j2-20": 512, "j1j2-64": 256}
LADDER = (1e-2, 3e-3, 1e-3)
MOMENTUM = {"float64": 0.0, "float32": 0.8}  # of ours
WINDOW = 10  # steps whose mean energy has to reach the target


@dataclasses.dataclass(frozen=True)
class Case:
    """One system with the sizes both codes use."""

    name: str
    system: LatticeSystem
    head: str
    samples: int
    exact: float | None


def case_of(name: str, samples: int | None) -> Case:
    """As "ising-64": chain of 64 sites at h = 1, real head; "j1j2-20": J2 = 0.4 with the sign rule, complex head."""
    model, _, size = name.partition("-")
    if model not in ("ising", "j1j2") or not size.isdigit():
        raise SystemExit(f"error: {name!r} is no case; write ising-<sites> or j1j2-<sites>")
    sites, samples = int(size), samples or SAMPLES.get(name, 512)
    system = lattice.ising_chain(sites, h=1.0) if model == "ising" else lattice.j1j2_chain(sites, J2=0.4)
    return Case(name, system, "real" if model == "ising" else "complex", samples, exact_values(system)[0])


def network(case: Case, arguments: argparse.Namespace) -> Wavefunction:
    """The transformer in double precision; other precisions are rounded from it."""
    return vit(
        jax.random.key(arguments.seed),
        case.system.extent,
        patch=auto_patch(case.system.extent, case.head == "real"),
        width=arguments.width,
        layers=arguments.layers,
        heads=4,
        head=case.head,
        precision="float64",
    )


def rounded(wavefunction: Wavefunction, dtype: str) -> Wavefunction:
    """The same weights in another precision."""
    return jax.tree.map(lambda a: a.astype(dtype) if eqx.is_inexact_array(a) else a, wavefunction)


class Ours:
    """wavefoundry's training step, and its parts as programs of their own."""

    def __init__(self, case: Case, wavefunction: Wavefunction, dtype: str, arguments: argparse.Namespace):
        self.case, self.dtype, self.arguments = case, dtype, arguments
        self.family: Any = case.system.family([{}])
        params, self.static = eqx.partition(rounded(wavefunction, dtype), eqx.is_array)
        self.chunk = chunk_size(eqx.combine(params, self.static), case.system, 512)
        self.options = Options(moves=case.system.sites, chunk=self.chunk, solver="kernel", momentum=MOMENTUM[dtype])
        process = variational(self.static, tree.all_weights(params), self.options)
        self._init, self._block = jax.jit(process.init, static_argnums=3), block_of(process)
        self.compiled: float | None = None
        self.restart(wavefunction, arguments.learning_rate)

    def restart(self, wavefunction: Wavefunction, learning_rate: float) -> None:
        """Go back to given weights and random walkers."""
        params = eqx.filter(rounded(wavefunction, self.dtype), eqx.is_array)
        key = jax.random.key(self.arguments.seed + 1)
        self.run, self.rate = self._init(key, params, self.family, self.case.samples), learning_rate
        if self.compiled is None:
            begin, run = clock(), self.run
            for _ in range(2):  # what comes out of a block may differ from a fresh start in its array types
                run, _ = self._block(run, self.family, self._schedule())
            self.compiled = (clock() - begin).cpu

    def _schedule(self) -> Schedule:
        size = self.arguments.block
        return Schedule(jnp.full(size, self.rate), jnp.full(size, self.arguments.shift))

    def steps(self) -> tuple[np.ndarray, _common.Seconds]:
        """One block of steps from where we are: energies and cost."""
        (self.run, info), cost = _common.timed(lambda: self._block(self.run, self.family, self._schedule()))
        return np.real(np.asarray(info.energy))[:, 0], cost

    @property
    def wavefunction(self) -> Wavefunction:
        """The present weights."""
        return eqx.combine(self.run.params, self.static)

    def parts(self) -> dict[str, Any]:
        """Sampling and local energies as calls without arguments."""
        chunk, static = self.chunk, self.static

        @jax.jit
        def sample(params: Any, walkers: Walkers) -> Any:
            return advance(eqx.combine(params, static), self.family, walkers, self.options).x

        @jax.jit
        def energies(params: Any, x: Any) -> Any:
            return local_energies(eqx.combine(params, static), self.family, equal_weights(x), chunk)

        params, walkers = self.run.params, self.run.sampler
        return {"sampling": lambda: sample(params, walkers), "local energies": lambda: energies(params, walkers.x)}

    def forward(self) -> tuple[Any, int]:
        """Log psi of many chunks of configurations as a call, and how many configurations that is."""
        system, static = self.case.system, self.static
        chunks = 2 if self.arguments.quick else 64
        x = jnp.tile(self.run.sampler.x[0], (-(-chunks * self.chunk // self.case.samples), 1))

        @jax.jit
        def log(params: Any, x: Any) -> Any:
            here = eqx.combine(params, static)
            return jax.lax.map(lambda s: here(system, s).log, x, batch_size=self.chunk)

        return (lambda: log(self.run.params, x)), x.shape[0]


class Theirs:
    """NetKet's training step, and its parts."""

    def __init__(
        self, case: Case, wavefunction: Wavefunction, dtype: str, tuning: theirs.Tuning, arguments: argparse.Namespace
    ):
        self.case, self.dtype, self.tuning, self.arguments = case, dtype, tuning, arguments
        self.model, variables = theirs.twin(wavefunction, dtype)
        theirs.check(wavefunction, case.system, self.model, variables)
        self.operator = theirs.hamiltonians(case.system)[tuning.operator]
        self.state = self._fresh(variables)
        self.compiled: float | None = None
        self.restart(wavefunction, arguments.netket_learning_rate or arguments.learning_rate)

    def _fresh(self, variables: Any) -> Any:
        seed = self.arguments.seed + 1
        return theirs.state_of(self.case.system, self.model, variables, self.case.samples, self.tuning, seed)

    def restart(self, wavefunction: Wavefunction, learning_rate: float) -> None:
        """Go back to given weights and random walkers."""
        walkers = self._fresh(self.state.variables).sampler_state
        driver = theirs.driver_of(self.state, self.operator, learning_rate, self.arguments.shift, self.tuning)
        self.stepper = theirs.Stepper(driver)
        if self.compiled is None:
            begin = clock()
            self.steps()
            self.compiled = (clock() - begin).cpu
        else:
            self.stepper()  # the optimiser of a new driver is compiled anew
        self.state.variables = theirs.twin(wavefunction, self.dtype)[1]
        self.state.sampler_state = walkers
        self.state.reset()

    def steps(self) -> tuple[np.ndarray, _common.Seconds]:
        """One block of steps from where we are: energies and cost."""
        begin, energies = clock(), []
        for _ in range(self.arguments.block):
            jax.block_until_ready(self.stepper())
            energies.append(self.stepper.energy.real)
        return np.array(energies), clock() - begin

    def parts(self) -> dict[str, Any]:
        """Sampling and local energies as calls without arguments."""
        samples, other = self.state.samples, self._fresh(self.state.variables)
        del samples
        other.sampler_state = self.state.sampler_state
        return {
            "sampling": theirs.sampling_call(other),
            "local energies": lambda: self.state.local_estimators(self.operator).data,
        }


def descend(side: Ours | Theirs, case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train until the last rung of the ladder; CPU and wall seconds at which each rung was reached.

    A run that leaves the finite numbers ends there, and says so.
    """
    energies: list[float] = []
    spent, reached = _common.Seconds(0.0, 0.0), {}
    while len(energies) < arguments.max_steps and len(reached) < len(LADDER):
        new, cost = side.steps()
        energies += [float(e) for e in new]
        spent = _common.Seconds(spent.cpu + cost.cpu, spent.wall + cost.wall)
        if not np.all(np.isfinite(new)):
            return {"diverged_at_step": len(energies), "reached": reached}
        error = None if case.exact is None else 1 - np.mean(energies[-WINDOW:]) / case.exact
        for rung in LADDER:
            if error is not None and len(energies) >= WINDOW and error <= rung and str(rung) not in reached:
                reached[str(rung)] = {"steps": len(energies), "cpu_seconds": spent.cpu, "wall_seconds": spent.wall}
    mean = finite(np.mean(energies[-WINDOW:]), f"the energy of {type(side).__name__}")
    return {
        "steps": len(energies),
        "cpu_seconds": spent.cpu,
        "final_energy": mean,
        "final_relative_error": None if case.exact is None else 1 - mean / case.exact,
        "reached": reached,
    }


def progress(record: dict[str, Any]) -> str:
    """One line about a descent."""
    if "diverged_at_step" in record:
        return f"energies not finite at step {record['diverged_at_step']}"
    error = record["final_relative_error"]
    text = f"energy {record['final_energy']:.6g}" + ("" if error is None else f", relative error {error:.1e}")
    return f"{text} after {record['steps']} steps, {record['cpu_seconds']:.1f} CPU s"


def race(sides: dict[str, Ours | Theirs], arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Steps and their parts of all sides, in turn; gradient and solve are what is left over."""
    for side in sides.values():
        for _ in range(1 if arguments.quick else 2):
            side.steps()  # walkers settle: the number of non-zero matrix elements depends on where they are
    whole = _common.race({name: side.steps for name, side in sides.items()}, arguments.repeats)
    split = {name: side.parts() for name, side in sides.items()}
    parts = {
        part: _common.race({name: calls[part] for name, calls in split.items()}, arguments.repeats)
        for part in ("sampling", "local energies")
    }
    out: dict[str, dict[str, Any]] = {}
    for name, side in sides.items():
        finite(side.steps()[0][-1], f"the energy of {name} after the timed steps")
        step, seconds = whole[name], {part: parts[part][name].cpu for part in parts}
        seconds["gradient and solve"] = step.cpu / arguments.block - sum(seconds.values())
        out[name] = {
            "step_cpu_seconds": step.cpu / arguments.block,
            "step_wall_seconds": step.wall / arguments.block,
            "relative_spread": step.spread,
            "compile_cpu_seconds": side.compiled if isinstance(side, Ours) else None,  # theirs: while tuning
            **{f"{part}_cpu_seconds": value for part, value in seconds.items()},
        }
    return out


def shares(case: Case, sides: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Share of the machine's peak that our forward pass reaches, per CPU second, with the peak of this moment."""
    width, real = arguments.width, case.head == "real"
    patch = max(patch_edges(auto_patch(case.system.extent, real), len(case.system.extent)))
    flops = _common.vit_flops(case.system.sites, patch, width, arguments.layers, width if real else 2 * width)
    out = {}
    for name, side in sides.items():
        if isinstance(side, Ours):
            dtype = name.split()[-1]
            peak = _common.peak_flops(dtype, size=512 if arguments.quick else 1536)
            call, count = side.forward()
            time = _common.measure(call, arguments.repeats)
            out[name] = {
                "chunk": side.chunk,
                "flops_per_configuration": flops,
                "gflops_per_cpu_second": flops * count / time.cpu / 1e9,
                "peak_gflops_per_cpu_second": peak.per_cpu_second / 1e9,
                "share_of_peak": flops * count / time.cpu / peak.per_cpu_second,
            }
    return out


def compare(case: Case, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything for one system."""
    say(f"\n== {case.name}: {case.samples} samples, {case.head} head, exact energy {case.exact}")
    wavefunction = network(case, arguments)
    tuning, tried = theirs.Tuning(next(iter(theirs.hamiltonians(case.system)))), []
    if not arguments.untuned:
        model, variables = theirs.twin(wavefunction, "float64")

        def start(option: theirs.Tuning) -> Any:
            return theirs.state_of(case.system, model, variables, case.samples, option, arguments.seed + 1)

        tuning, tried = theirs.tune(case.system, start, arguments.chunks, 1 if arguments.quick else 3, case.samples)
    say(f"  NetKet runs with {tuning}")

    sides: dict[str, Ours | Theirs] = {
        f"wavefoundry {p}": Ours(case, wavefunction, p, arguments) for p in ("float64", "float32")
    }
    sides |= {f"NetKet {p}": Theirs(case, wavefunction, p, tuning, arguments) for p in ("float64", "float32")}
    descent, trained = {}, wavefunction
    for name, side in sides.items():
        if name == "NetKet float32":
            continue  # not its default, and discouraged by its authors: its step is timed, its descent is not
        descent[name] = descend(side, case, arguments)
        say(f"  {name}: {progress(descent[name])}")
        trained = rounded(side.wavefunction, "float64") if isinstance(side, Ours) else trained
    # steps are timed where training takes place, at the weights it arrived at
    for side in sides.values():
        side.restart(trained, arguments.race_rate)
    steps = race(sides, arguments)
    report(case, steps, descent)
    return {
        "exact_energy": case.exact,
        "samples": case.samples,
        "tuning": dataclasses.asdict(tuning),
        "tried": tried,
        "step": steps,
        "ratios": ratios(steps, descent),
        "descent": descent,
        "forward": shares(case, sides, arguments),
    }


def ratios(steps: dict[str, Any], descent: dict[str, Any]) -> dict[str, Any]:
    """NetKet over wavefoundry: CPU seconds per step, and to each rung of the ladder."""
    base = steps["NetKet float64"]["step_cpu_seconds"]
    out: dict[str, Any] = {
        "step_equal_precision": base / steps["wavefoundry float64"]["step_cpu_seconds"],
        "step_defaults": base / steps["wavefoundry float32"]["step_cpu_seconds"],
        "step_both_float32": steps["NetKet float32"]["step_cpu_seconds"]
        / steps["wavefoundry float32"]["step_cpu_seconds"],
    }
    target = descent["NetKet float64"]["reached"]
    for name in ("float64", "float32"):
        ours = descent[f"wavefoundry {name}"]["reached"]
        out[f"to_error_{name}"] = {
            rung: target[rung]["cpu_seconds"] / ours[rung]["cpu_seconds"] for rung in target if rung in ours
        }
    return out


def report(case: Case, steps: dict[str, Any], descent: dict[str, Any]) -> None:
    """Print the tables of one system."""
    base = steps["NetKet float64"]
    keys = ("step", "sampling", "local energies", "gradient and solve")
    rows = []
    for name, record in steps.items():
        cells = [record[f"{key}_cpu_seconds"] for key in keys]
        ratio = base["step_cpu_seconds"] / record["step_cpu_seconds"]
        rows.append([name, *cells, record["step_wall_seconds"], ratio])
    columns = ["CPU seconds per step", *keys, "wall", "NetKet float64 / this"]
    table(f"{case.name}: one training step", columns, rows)
    if case.exact is not None:
        rows = []
        for name, record in descent.items():
            found = [record["reached"].get(str(rung), {}) for rung in LADDER]
            rows.append([name, *[f.get("cpu_seconds") for f in found], *[f.get("steps") for f in found]])
        columns = ["CPU seconds to error", *map(str, LADDER), *[f"steps to {rung}" for rung in LADDER]]
        table(f"{case.name}: mean energy of {WINDOW} steps within a relative error", columns, rows)


def main() -> None:
    """Command line."""
    parser = _common.parser(__doc__)
    parser.add_argument("--cases", nargs="+", default=list(CASES), help=f"default: {' '.join(CASES)}")
    parser.add_argument("--sites", type=int, nargs="+", help="Ising chains of these sizes instead of --cases")
    parser.add_argument("--samples", type=int, help="samples per step (default depends on the case)")
    parser.add_argument("--learning-rate", type=float, default=0.05, help="default 0.05, constant")
    parser.add_argument("--netket-learning-rate", type=float, help="another one for NetKet (default: the same)")
    parser.add_argument("--race-rate", type=float, default=0.002, help="learning rate while steps are timed")
    parser.add_argument("--shift", type=float, default=1e-3, help="diagonal shift (default 1e-3)")
    parser.add_argument("--max-steps", type=int, default=150, help="give up on the ladder after so many steps")
    parser.add_argument("--block", type=int, default=5, help="steps per timed call (default 5)")
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of everything (default 5)")
    parser.add_argument("--chunks", type=int, nargs="+", default=[128, 512, 2048], help="chunks NetKet may choose from")
    parser.add_argument("--untuned", action="store_true", help="NetKet as it comes: no chunks, full Jacobian")
    arguments = parser.parse_args()
    if arguments.sites:
        arguments.cases = [f"ising-{sites}" for sites in arguments.sites]
    if arguments.quick:
        arguments.cases = ["j1j2-8"] if arguments.cases == list(CASES) else arguments.cases
        arguments.samples = arguments.samples or 32
        arguments.width, arguments.layers, arguments.max_steps, arguments.repeats = 8, 1, 20, 2
        arguments.chunks, arguments.block = [], 2
    results = {name: compare(case_of(name, arguments.samples), arguments) for name in arguments.cases}
    rows = [
        [name, r["ratios"]["step_equal_precision"], r["ratios"]["step_defaults"], r["ratios"]["step_both_float32"]]
        for name, r in results.items()
    ]
    table("NetKet / wavefoundry, CPU seconds per step", ["system", "both float64", "defaults", "both float32"], rows)
    rows = [
        [f"{name}, {side}", f["chunk"], f["gflops_per_cpu_second"], f["peak_gflops_per_cpu_second"], f["share_of_peak"]]
        for name, r in results.items()
        for side, f in r["forward"].items()
    ]
    table("Forward pass", ["network", "chunk", "GFLOP/CPU s", "matrix product", "share of peak"], rows)
    _common.save("step-vs-netket", arguments, results)


if __name__ == "__main__":
    main()
