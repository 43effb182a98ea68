"""A step on lithium hydride and the time to 5 mHa: stacked SPRING against KFAC (kfac-jax) on an equal network.

The network, its start after Hartree-Fock pre-training, walkers, moves, Laplacian and clipping are the same on both
sides; only the optimiser differs. KFAC has the settings of FermiNet: learning rate 0.05 / (1 + t / 10000), damping
1e-3, norm constraint 1e-3, moving average 0.95, no momentum, inverse in every step; ``--kfac-rate`` and ``--kfac-norm``
change them. Compilation is not counted. Needs ``pip install kfac-jax``; without it only our side runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
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

EXACT, GOAL, WINDOW = -8.070548, 5e-3, 20
PRECISION = "float64"
"""Of both sides: kfac-jax mixes precisions where double precision is switched on and weights are single."""


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


def prepare(arguments: argparse.Namespace) -> Start:
    """Hartree-Fock pre-training, shared by both sides."""
    wavefunction = electrons(width=arguments.width, layers=arguments.layers, precision=PRECISION).build(
        jax.random.key(arguments.seed)
    )
    params, static = eqx.partition(wavefunction, eqx.is_array)
    options = transfer.TrainOptions(walkers=arguments.walkers)
    (family,) = transfer.stack([transfer.prepare(Molecule.from_atoms("Li 0 0 0; H 0 0 3.015"))]).families
    process = transfer.pretraining(static, options)
    run = process.init(jax.random.key(1), params, (family,), options.walkers)
    rates = 3e-3 * (1 - jnp.arange(arguments.hf_steps) / arguments.hf_steps)
    run, _ = transfer.pretraining_block(process)(run, (family,), rates)
    return Start(static, run.params, run.sampler, family, options)


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


def spring(start: Start, arguments: argparse.Namespace) -> Course:
    """Our side."""
    process = transfer.training(start.static, tree.all_weights(start.params), start.options)
    block, families = transfer.training_block(process), (start.family,)
    run = process.init(jax.random.key(2), start.params, families, start.options.walkers, start.walkers)

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
    system = tree.take(family, 0)

    def network(weights: list[Any]) -> Any:
        return eqx.combine(jax.tree.unflatten(shape, weights), start.static)

    def log_psi(weights: list[Any], x: Any) -> Any:
        # kfac-jax wants a batch axis on the inputs of every layer, so each sample gets a molecule of its own; the first
        # layer of messages has constant inputs and is treated as a parameter of no known kind (diagonal curvature)
        tagged = eqx.tree_at(
            lambda n: jax.tree.leaves(n.embedding.layers[0].sender),
            network(weights),
            replace_fn=kfac_jax.register_generic,
        )
        arrays, rest = eqx.partition(system, eqx.is_array)
        own = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (len(x), *leaf.shape)), arrays)
        return jax.vmap(lambda s, one: tagged(eqx.combine(s, rest), one).log)(own, x)

    def clipped(weights: list[Any], x: Any) -> tuple[Any, Any]:
        local = jnp.sum(local_energies(network(weights), family, equal_weights(x[None]), options.chunk), axis=-1)
        return jnp.mean(local), engine.clip(local, options.clip)[0]

    @jax.custom_jvp
    def energy(weights: list[Any], rng: Any, x: Any) -> tuple[Any, Any]:
        return clipped(weights, x)

    @energy.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        weights, _, x = primals
        mean, local = clipped(weights, x)
        psi, change = jax.jvp(lambda w: log_psi(w, x), (weights,), (tangents[0],))
        kfac_jax.register_normal_predictive_distribution(psi[:, None])
        slope = jnp.dot(change, (local - jnp.mean(local)).astype(change.dtype)) / psi.shape[0]
        return (mean, local), (slope.astype(mean.dtype), jnp.zeros_like(local))

    optimiser = kfac_jax.Optimizer(
        jax.value_and_grad(energy, has_aux=True), l2_reg=0.0, norm_constraint=arguments.kfac_norm,
        value_func_has_aux=True, value_func_has_rng=True, curvature_ema=0.95, inverse_update_period=1,
        learning_rate_schedule=lambda t: jnp.asarray(arguments.kfac_rate / (1 + t / 10_000), PRECISION),
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
            weights, opt, stats = _step(optimiser, weights, opt, jax.random.key(step), walkers.x[0])
            found.append(float(stats["loss"]))
        return (weights, opt, walkers), np.array(found)

    opt = optimiser.init(copied(leaves), jax.random.key(3), walkers.x[0])
    return course(advance, (leaves, opt, walkers), arguments.steps, arguments.block)


def _step(optimiser: Any, weights: Any, opt: Any, key: Any, x: Any) -> tuple[Any, Any, Any]:
    found = optimiser.step(
        weights, opt, key, batch=x, momentum=jnp.zeros((), PRECISION), damping=jnp.asarray(1e-3, PRECISION)
    )  # fmt: skip
    return found[0], found[1], found[-1]


def reached(found: Course) -> tuple[int, float] | None:
    """Steps and CPU seconds until the running mean is within 5 mHa; None when it never is."""
    if len(found.energies) < WINDOW:
        return None
    mean = np.convolve(found.energies, np.full(WINDOW, 1 / WINDOW), mode="valid")
    below = np.flatnonzero(mean <= EXACT + GOAL)
    if not len(below):
        return None
    step = int(below[0]) + WINDOW
    return step, float(np.interp(step, [0, *found.steps], [0.0, *found.cpu]))


def record(found: Course) -> dict[str, Any]:
    """One side for the result file."""
    goal = reached(found)
    last = _common.finite(np.mean(found.energies[-WINDOW:]), "the energy")
    return {
        "cpu_seconds_per_step": found.cpu[-1] / found.steps[-1],
        "wall_seconds_per_step": found.wall[-1] / found.steps[-1],
        "steps_to_5_mha": None if goal is None else goal[0],
        "cpu_seconds_to_5_mha": None if goal is None else goal[1],
        "error_at_the_end_mha": 1000 * (last - EXACT),
        "energies": [float(e) for e in found.energies],
    }


def main() -> None:
    """Run the comparison; ``--quick`` makes network and training tiny."""
    parser = _common.parser(__doc__)
    parser.add_argument("--walkers", type=int, default=256)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--block", type=int, default=10)
    parser.add_argument("--hf-steps", type=int, default=200)
    parser.add_argument("--kfac-rate", type=float, default=0.05)
    parser.add_argument("--kfac-norm", type=float, default=1e-3)
    arguments: argparse.Namespace = parser.parse_args()
    if arguments.quick:
        changes = {"width": 8, "layers": 1, "walkers": 32, "steps": 4, "block": 2, "hf_steps": 4}
        arguments = argparse.Namespace(**(vars(arguments) | changes))
    start = prepare(arguments)
    results: dict[str, Any] = {"parameters": tree.count(start.params)}
    say("pre-trained")
    for name, side in (("wavefoundry SPRING", spring), ("kfac-jax KFAC", kfac)):
        try:
            results[name] = record(side(start, arguments))
        except ImportError as error:
            say(f"{name} is left out: {error}")
            continue
        say(f"{name} done")
    rows = [[name, *(found[k] for k in list(found)[:5])] for name, found in results.items() if isinstance(found, dict)]
    columns = ["", "CPU s / step", "wall s / step", "steps to 5 mHa", "CPU s to 5 mHa", "error at the end (mHa)"]
    table(f"LiH, {results['parameters']} weights, {arguments.walkers} walkers, {arguments.steps} steps", columns, rows)
    _common.save("molecules_step", arguments, results)


if __name__ == "__main__":
    main()
