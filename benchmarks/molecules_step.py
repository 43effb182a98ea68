"""A step on one molecule and the time to 5 mHa, against the optimiser and against a program of the field.

Lithium hydride by default; ``--molecule H2O`` or ``NH3`` for a step with ten electrons. ``--precision float32``: ours
as it is by default; KFAC is then left out.

* KFAC (kfac-jax) on an equal network: network, start after Hartree-Fock pre-training, walkers, moves, Laplacian and
  clipping are the same, only the optimiser differs. It has the settings of FermiNet: learning rate 0.05 / (1 + t /
  10000), damping 1e-3, norm constraint 1e-3, moving average 0.95, no momentum, inverse in every step; ``--kfac-rate``
  and ``--kfac-norm`` change them. Layers that the network uses twice, once for each sign of an orbital, get diagonal
  curvature: kfac-jax knows no other kind for them. Needs ``pip install kfac-jax``.
* DeepQMC as installed: its default network, pre-training and optimiser, with its forward Laplacian and as many walkers
  as ours. It needs an environment of its own, named by its command: ``--deepqmc ENV/bin/deepqmc``. DeepQMC 1.2 wants
  ``pip install deepqmc folx jax==0.4.35 kfac-jax==0.0.6 hydra-core==1.3.2 dm-haiku==0.0.13``.

A side that is not installed is left out. Hartree-Fock pre-training and compilation are not counted on any side. The
goal is reached when the mean of the last 50 steps is, by more than its standard error, so that noise alone does not
reach it; medians are over the seeds (``--repeats``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import _common
from _common import clock, say, table

# isort: split
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.adapt import transfer
from wavefoundry.core import tree
from wavefoundry.core.molecule import Molecule
from wavefoundry.engine import families as engine
from wavefoundry.engine.sampling import equal_weights
from wavefoundry.engine.vmc import local_energies
from wavefoundry.models import electrons

GOAL, WINDOW = 5e-3, 50


class Case(NamedTuple):
    """A molecule: atoms in bohr, and its energy (Ha) with fixed nuclei at the basis limit."""

    atoms: str
    energy: float

    @property
    def molecule(self) -> Molecule:
        """As ours."""
        return Molecule.from_atoms(self.atoms)


CASES = {
    "LiH": Case("Li 0 0 0; H 0 0 3.015", -8.070548),
    "H2O": Case("O 0 0 0; H 0 1.43042809 1.10715696; H 0 -1.43042809 1.10715696", -76.4374),
    "NH3": Case("N 0 0 0; H 0 1.77164 0.7211; H 1.534286 -0.88582 0.7211; H -1.534286 -0.88582 0.7211", -56.5638),
}


class Start(NamedTuple):
    """Where both sides begin: network, its weights and walkers after pre-training, the molecule, the settings."""

    static: Any
    params: Any
    walkers: Any
    family: Any
    options: transfer.TrainOptions


class Course(NamedTuple):
    """Energies of all steps, and CPU and wall seconds up to the end of each block."""

    energies: np.ndarray
    steps: list[int]
    cpu: list[float]
    wall: list[float]


def prepare(arguments: argparse.Namespace, seed: int) -> Start:
    """Hartree-Fock pre-training, shared by both sides."""
    wavefunction = electrons(width=arguments.width, layers=arguments.layers, precision=arguments.precision).build(
        jax.random.key(seed)
    )
    params, static = eqx.partition(wavefunction, eqx.is_array)
    options = transfer.TrainOptions(walkers=arguments.walkers)
    (family,) = transfer.stack([transfer.prepare(CASES[arguments.molecule].molecule)]).families
    process = transfer.pretraining(static, options)
    run = process.init(jax.random.key(seed + 1), params, (family,), options.walkers)
    rates = 3e-3 * (1 - jnp.arange(arguments.hf_steps) / arguments.hf_steps)
    run, _ = transfer.pretraining_block(process)(run, (family,), rates)
    return Start(static, _awake(run.params), run.sampler, family, options)


def _awake(params: Any) -> Any:
    """Weight matrices that are zero at the start, made slightly non-zero.

    The layer before such a matrix gets no gradient at all, and kfac-jax divides by the number of samples that gave one.
    """
    leaves, shape = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(4), len(leaves))
    zero = [leaf.ndim > 1 and not np.any(leaf) for leaf in leaves]
    noise = [1e-3 * jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(shape, [n if z else leaf for leaf, n, z in zip(leaves, noise, zero, strict=True)])


def course(advance: Callable[[Any, int, int], tuple[Any, np.ndarray]], state: Any, steps: int, block: int) -> Course:
    """Run blocks; the first one is run twice, from the same state, so that compilation is not counted."""
    advance(state, 0, block)
    begin, energies, marks = clock(), [], []
    for first in range(0, steps, block):
        state, found = advance(state, first, block)
        energies.append(found)
        spent = clock() - begin
        marks.append((first + block, spent.cpu, spent.wall))
    done, cpu, wall = zip(*marks, strict=True)
    return Course(np.concatenate(energies), list(done), list(cpu), list(wall))


def spring(start: Start, arguments: argparse.Namespace, seed: int) -> Course:
    """Our side."""
    process = transfer.training(start.static, tree.all_weights(start.params), start.options)
    block, families = transfer.training_block(process), (start.family,)
    run = process.init(jax.random.key(seed + 2), start.params, families, start.options.walkers, start.walkers)

    def advance(run: Any, first: int, size: int) -> tuple[Any, np.ndarray]:
        run, info = block(run, families, transfer.schedule(size, first=first))
        return run, np.asarray(info.families[0].energy)[:, 0]

    return course(advance, run, arguments.steps, arguments.block)


def _bind(equation: Any, values: list[Any]) -> list[Any]:
    """Outputs of an equation, with and without the separate functions that older releases of JAX hand out."""
    params = equation.primitive.get_bind_params(equation.params)
    functions, params = params if isinstance(params, tuple) else ((), params)
    found = equation.primitive.bind(*functions, *values, **params)
    return found if isinstance(found, list) else [found]


def kfac(start: Start, arguments: argparse.Namespace) -> Course:
    """The same network and samples with the optimiser of FermiNet."""
    import kfac_jax  # type: ignore[import-not-found]
    from kfac_jax._src import tag_graph_matcher  # type: ignore[import-not-found]

    tag_graph_matcher.eval_jaxpr_eqn = _bind  # kfac-jax 0.0.8 expects the bind parameters of JAX before 0.10
    leaves, shape = jax.tree.flatten(start.params)
    options, family = start.options, start.family
    moves = engine.Moves(options.moves, 4 * options.chunk, options.drift)
    arrays, rest = eqx.partition(tree.take(family, 0), eqx.is_array)
    # kfac-jax recognises a layer by the batch axis of its inputs, so each sample carries the molecule along
    own = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (options.walkers, *leaf.shape)), arrays)

    def network(weights: list[Any]) -> Any:
        return eqx.combine(jax.tree.unflatten(shape, weights), start.static)

    def log_psi(weights: list[Any], batch: Any) -> Any:
        # the first layer of messages has constant inputs: a parameter of no known kind (diagonal curvature)
        tagged = eqx.tree_at(
            lambda n: jax.tree.leaves(n.embedding.layers[0].sender),
            network(weights),
            replace_fn=kfac_jax.register_generic,
        )
        return jax.vmap(lambda s, one: tagged(eqx.combine(s, rest), one).log)(*batch)

    def clipped(weights: list[Any], batch: Any) -> tuple[Any, Any]:
        _, x = batch
        local = jnp.sum(local_energies(network(weights), family, equal_weights(x[None]), options.chunk), axis=-1)
        return jnp.mean(local), engine.clip(local, options.clip)[0]

    @jax.custom_jvp
    def energy(weights: list[Any], rng: Any, batch: Any) -> tuple[Any, Any]:
        return clipped(weights, batch)

    @energy.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        weights, _, batch = primals
        mean, local = clipped(weights, batch)
        psi, change = jax.jvp(lambda w: log_psi(w, batch), (weights,), (tangents[0],))
        kfac_jax.register_normal_predictive_distribution(psi[:, None])
        slope = jnp.dot(change, (local - jnp.mean(local)).astype(change.dtype)) / psi.shape[0]
        return (mean, local), (slope.astype(mean.dtype), jnp.zeros_like(local))

    optimiser = kfac_jax.Optimizer(
        jax.value_and_grad(energy, has_aux=True), l2_reg=0.0, norm_constraint=arguments.kfac_norm,
        value_func_has_aux=True, value_func_has_rng=True, curvature_ema=0.95, inverse_update_period=1,
        learning_rate_schedule=lambda t: jnp.asarray(arguments.kfac_rate / (1 + t / 10_000), jnp.float64),
        min_damping=1e-4, num_burnin_steps=0, register_only_generic=False, estimation_mode="fisher_exact",
        multi_device=False,
    )  # fmt: skip
    sample = eqx.filter_jit(lambda weights, walkers: engine.sample(network(weights), family, walkers, moves))
    (walkers,) = start.walkers

    def copied(values: Any) -> Any:
        return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), values)

    def advance(state: Any, first: int, size: int) -> tuple[Any, np.ndarray]:
        weights, opt, walkers = state
        # the optimiser gives its arguments away; the first block starts from the same state twice
        weights, opt, found = copied(weights), copied(opt), []
        for step in range(first, first + size):
            walkers = sample(weights, walkers)
            weights, opt, stats = _step(optimiser, weights, opt, jax.random.key(step), (own, walkers.x[0]))
            found.append(float(stats["loss"]))
        return (weights, opt, walkers), np.array(found)

    opt = optimiser.init(copied(leaves), jax.random.key(3), (own, walkers.x[0]))
    return course(advance, (leaves, opt, walkers), arguments.steps, arguments.block)


def _step(optimiser: Any, weights: Any, opt: Any, key: Any, batch: Any) -> tuple[Any, Any, Any]:
    found = optimiser.step(
        weights, opt, key, batch=batch, momentum=jnp.zeros((), jnp.float64), damping=jnp.asarray(1e-3, jnp.float64)
    )  # fmt: skip
    return found[0], found[1], found[-1]


def _listed(values: Any) -> str:
    """Numbers as DeepQMC's command line reads them."""
    return json.dumps(np.asarray(values, float).tolist(), separators=(",", ":"))


def deepqmc(arguments: argparse.Namespace, seed: int) -> Course:
    """DeepQMC by its own command; its metric logger, ours, writes down energy and CPU time of each step."""
    here, molecule = Path(__file__).resolve().parent, CASES[arguments.molecule].molecule
    with tempfile.TemporaryDirectory() as folder:
        clock_file = Path(folder) / "clock.jsonl"
        words = [
            arguments.deepqmc, "hamil=qc_forward_laplacian", "hamil/mol=LiH", "hamil.mol.unit=bohr",
            f"hamil.mol.coords={_listed(molecule.positions)}", f"hamil.mol.charges={_listed(molecule.charges)}",
            f"task.electron_batch_size={arguments.walkers}",
            f"task.steps={arguments.deepqmc_steps}", f"task.seed={seed}", f"task.workdir={folder}/work",
            f"hydra.run.dir={folder}/work", "~task.metric_logger_constructor.max_queue",
            "task.metric_logger_constructor._target_=_deepqmc_clock.Clock",
        ]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(here), "DEEPQMC_CLOCK": str(clock_file)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or not clock_file.exists():
            raise SystemExit(f"DeepQMC failed:\n{(done.stdout + done.stderr)[-2000:]}")
        rows = [json.loads(line) for line in clock_file.read_text().splitlines()]

    def spent(key: str) -> list[float]:
        found = np.array([row[key] for row in rows])
        return list(found - found[0] + np.median(np.diff(found)))  # the first step compiles: it counts as a usual one

    energies = np.array([row["energy"] for row in rows])
    return Course(energies, list(range(1, len(rows) + 1)), spent("cpu"), spent("wall"))


def reached(found: Course, exact: float) -> tuple[int, float] | None:
    """Steps and CPU seconds until the running mean and its error are within 5 mHa; None when they never are."""
    if len(found.energies) < WINDOW:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(found.energies, WINDOW)
    error = np.std(windows, axis=-1, ddof=1) / np.sqrt(WINDOW)
    below = np.flatnonzero(np.mean(windows, axis=-1) + error <= exact + GOAL)
    if not len(below):
        return None
    step = int(below[0]) + WINDOW
    return step, float(np.interp(step, [0, *found.steps], [0.0, *found.cpu]))


def record(found: Course, exact: float) -> dict[str, Any]:
    """One run of one side for the result file."""
    goal = reached(found, exact)
    last = _common.finite(np.mean(found.energies[-WINDOW:]), "the energy")
    return {
        "cpu_seconds_per_step": found.cpu[-1] / found.steps[-1],
        "wall_seconds_per_step": found.wall[-1] / found.steps[-1],
        "steps": len(found.energies),
        "steps_to_5_mha": None if goal is None else goal[0],
        "cpu_seconds_to_5_mha": None if goal is None else goal[1],
        "error_at_the_end_mha": 1000 * (last - exact),
        "energies": [float(e) for e in found.energies],
    }


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the seeds; a goal that one of them missed counts as later than all that were reached."""
    found: dict[str, Any] = {}
    for key in ("cpu_seconds_per_step", "steps_to_5_mha", "cpu_seconds_to_5_mha", "error_at_the_end_mha"):
        middle = statistics.median_high(np.inf if run[key] is None else run[key] for run in runs)
        found[key] = None if middle == np.inf else middle
    return found


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of every side, and how much longer than ours the others took."""
    middle = {name: medians(found) for name, found in runs.items()}
    times = {name: found["cpu_seconds_to_5_mha"] for name, found in middle.items()}
    ours = times.pop("wavefoundry")
    ratios = {name: time / ours for name, time in times.items() if time and ours}
    return {"medians": middle, "ratios_of_time_to_5_mha": ratios}


def main() -> None:
    """Run the comparison; ``--quick`` makes network and training tiny."""
    parser = _common.parser(__doc__)
    parser.add_argument("--molecule", choices=sorted(CASES), default="LiH")
    parser.add_argument("--precision", choices=("float32", "float64"), default="float64", help="of our weights")
    parser.add_argument("--walkers", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--block", type=int, default=10)
    parser.add_argument("--hf-steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3, help="seeds (default 3)")
    parser.add_argument("--kfac-rate", type=float, default=0.05)
    parser.add_argument("--kfac-norm", type=float, default=1e-3)
    parser.add_argument("--deepqmc", metavar="COMMAND", help="the command of an installed DeepQMC")
    parser.add_argument("--deepqmc-steps", type=int, default=800)
    parser.add_argument("--deepqmc-repeats", type=int, default=1, help="of the seeds (default 1)")
    arguments: argparse.Namespace = parser.parse_args()
    if arguments.quick:
        tiny = {"width": 8, "layers": 1, "walkers": 32, "steps": 4, "block": 2, "hf_steps": 4, "repeats": 1}
        arguments = argparse.Namespace(**(vars(arguments) | tiny | {"deepqmc_steps": 3}))
    runs: dict[str, list[dict[str, Any]]] = {}
    weights, results, exact = 0, {}, CASES[arguments.molecule].energy
    for seed in range(arguments.seed, arguments.seed + arguments.repeats):
        start = prepare(arguments, seed)
        weights = tree.count(start.params)
        sides: dict[str, Callable[[], Course]] = {
            "wavefoundry": lambda start=start, seed=seed: spring(start, arguments, seed),
        }
        if arguments.precision == "float64":  # kfac-jax mixes precisions where double precision is switched on
            sides["KFAC, equal network"] = lambda start=start: kfac(start, arguments)
        if arguments.deepqmc and seed < arguments.seed + arguments.deepqmc_repeats:
            sides["DeepQMC"] = lambda seed=seed: deepqmc(arguments, seed)
        for name, side in sides.items():
            try:
                runs.setdefault(name, []).append(record(side(), exact))
            except ImportError as error:
                runs.pop(name)
                say(f"{name} is left out: {error}")
                continue
            say(f"{name}, seed {seed}: done")
        results = summary(runs) | {"parameters": weights, "runs": runs}
        _common.save("molecules_step", arguments, results)  # after every seed: it takes long
    columns = ["", "seeds", "CPU s / step", "steps to 5 mHa", "CPU s to 5 mHa", "error at the end (mHa)"]
    table(
        f"{arguments.molecule}, {weights} weights, {arguments.walkers} walkers, medians of the seeds",
        columns,
        [[name, len(runs[name]), *found.values()] for name, found in results["medians"].items()],
    )
    for name, ratio in results["ratios_of_time_to_5_mha"].items():
        say(f"time to 5 mHa with {name}: {ratio:.2f}x that of wavefoundry")


if __name__ == "__main__":
    main()
