"""Training of one model for many molecules, and fresh samples of it for any molecule."""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import re
import time
import warnings
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from wavefoundry.adapt import transfer
from wavefoundry.adapt.transfer import Prepared, Samples, Sampling, Stack, TrainOptions
from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import MoleculesEvaluateTable, MoleculesSpec, MoleculesTrainTable
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.types import Run
from wavefoundry.models import ElectronsSpec
from wavefoundry.studies.context import Context
from wavefoundry.studies.molecules_state import Curve, State

WINDOW = 20
"""Steps over which energies of single steps are averaged."""
_SLICE = 40
_PATIENCE = 10


@dataclasses.dataclass(frozen=True)
class Plan:
    """One training.

    name: of the task. hf_steps: towards the Hartree-Fock orbitals before. steps: natural-gradient steps.
    learning_rate, decay: of these. goal: energy (Ha) of a single molecule at which to stop. coarse: note the means of
    blocks instead of every step. tuned: patterns of names of the weights that are trained; empty: all.
    norm, walkers, shift: largest norm of an update, walkers of each molecule, damping; those of the base by default.
    """

    name: str
    hf_steps: int
    steps: int
    learning_rate: float
    decay: float
    goal: float | None = None
    coarse: bool = False
    tuned: tuple[str, ...] = ()
    norm: float | None = None
    walkers: int | None = None
    shift: float | None = None


def describe(spec: MoleculesSpec) -> ElectronsSpec:
    """The network of a study file in words."""
    table = spec.wavefunction
    return ElectronsSpec(table.preset, table.precision, tuple(sorted(table.options().items())))


def prepare(named: Sequence[Named], table: MoleculesTrainTable) -> list[Prepared]:
    """Hartree-Fock of all molecules.

    Raises:
        InputError: a molecule has no converged Hartree-Fock solution, which the network builds on.
    """
    found = []
    for one in named:
        molecule = one.molecule
        try:
            found.append(prepared_of(molecule, table))
        except (PhysicsError, InputError) as error:
            first = str(error).splitlines()[0]
            why = getattr(error, "why", "") or "the network describes a molecule by its Hartree-Fock orbitals"
            fix = getattr(error, "fix", "") or "check distances, charge and spin"
            raise InputError(f"{molecule.name}: {first}", where="molecules", why=why, fix=fix) from None
    return found


def prepared_of(molecule: Molecule, table: MoleculesTrainTable) -> Prepared:
    """As ``transfer.prepare``, with the settings of a study."""
    return _prepared(molecule, table.laplacian, table.electrons_per_move, table.frame)


@functools.lru_cache(maxsize=4096)
def _prepared(molecule: Molecule, method: Any, electrons_per_move: int, frame: str) -> Prepared:
    """Remembered: a study asks twice, before and after anything is written."""
    turn = frame == "principal"
    return transfer.prepare(molecule, method=method, electrons_per_move=electrons_per_move, turn=turn)


def selection(params: PyTree, tuned: Sequence[str]) -> PyTree[bool]:
    """The weights whose names match a pattern, as ``orbitals*`` or ``embedding.layers.1.*``; all without patterns.

    Raises:
        InputError: a pattern matches nothing.
    """
    everything = tree.all_weights(params)
    if not tuned:
        return everything
    names = [_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for pattern in tuned:
        if not fnmatch.filter(names, pattern):
            known = ", ".join(sorted({name.split(".")[0] for name in names}))
            why = f"names begin with {known}"
            raise InputError(f"no weights are called {pattern}", where="adapt.layers", why=why, fix='"orbitals*"')
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf and any(fnmatch.fnmatchcase(_name(path), pattern) for pattern in tuned), everything
    )


def _name(path: Any) -> str:
    return re.sub(r"\[(\w+)\]", r".\1", jax.tree_util.keystr(path)).lstrip(".")


class Workshop:
    """Trains and samples; compiles each program once per set of compounds.

    Args:
        wavefunction: the network with its first weights.
        table: settings of the training.
        context: where to report.
    """

    def __init__(self, wavefunction: Any, table: MoleculesTrainTable, context: Context, checkpoint_every: int = 10**9):
        self.wavefunction, self.table, self.context = wavefunction, table, context
        self.params, self.static = eqx.partition(wavefunction, eqx.is_array)
        self.checkpoint_every = checkpoint_every
        options = TrainOptions(
            walkers=table.walkers, moves=table.moves, subset=table.subset, max_age=table.max_age,
            momentum=table.momentum, norm=table.norm, clip=table.clip, drift=table.drift,
            chunk=table.chunk,
        )  # fmt: skip
        self.matching = transfer.pretraining(self.static, options)
        self._options = options
        self._trainings: dict[Any, tuple[Any, Any]] = {}
        self._match_block = transfer.pretraining_block(self.matching)

    def with_weights(self, params: PyTree) -> Any:
        """The network with other weights."""
        return eqx.combine(params, self.static)

    def training(self, plan: Plan) -> tuple[Any, Any]:
        """The optimisation a plan asks for, and its compiled block."""
        norm = plan.norm or self._options.norm
        if (plan.tuned, norm) not in self._trainings:
            options = dataclasses.replace(self._options, norm=norm)
            process = transfer.training(self.static, selection(self.params, plan.tuned), options)
            self._trainings[plan.tuned, norm] = process, transfer.training_block(process)
        return self._trainings[plan.tuned, norm]

    def train(self, plan: Plan, params: PyTree, molecules: Sequence[Prepared], key: jax.Array, state: State) -> PyTree:
        """Train on all molecules together, going on where an interrupted run stopped; the curve goes into the state.

        Returns:
            The weights.

        Raises:
            Interrupted: a signal arrived; the state has been saved.
            PhysicsError: energies stayed non-finite.
        """
        stack, phase, chains = transfer.stack(molecules), f"{plan.name}/vmc", plan.walkers or self.table.walkers
        k_match, k_walk, k_run = jax.random.split(key, 3)
        saved, walkers = state.resumed(phase), None
        if saved is None:
            state.curves[plan.name] = Curve.empty(len(molecules))
            if plan.hf_steps:
                params, walkers = self._match(plan, params, stack, k_match, state)
            else:
                walkers = self._walk(params, stack, k_walk, chains)
        process, _ = self.training(plan)
        run = _strong(process.init(k_run, params, stack.families, chains, walkers))
        if saved is not None:
            run = tree.from_arrays(run, saved)
        if int(run.step) < plan.steps:
            self.context.compiling("the training step")
        return self._descend(plan, run, stack, state).params

    def _walk(self, params: PyTree, stack: Stack, key: jax.Array, chains: int) -> tuple[Any, ...]:
        """Walkers in equilibrium with the network."""
        wavefunction, table = self.with_weights(params), self.table
        how = Sampling(chains, 1, table.burn_in, table.moves, table.drift, table.chunk)
        keys = jax.random.split(key, len(stack.families))
        return tuple(
            transfer.evaluate(wavefunction, family, k, how)[1] for k, family in zip(keys, stack.families, strict=True)
        )

    def _match(self, plan: Plan, params: PyTree, stack: Stack, key: jax.Array, state: State) -> tuple[PyTree, Any]:
        """Orbitals like those of Hartree-Fock; returns weights and walkers."""
        phase = f"{plan.name}/hf"
        run = _strong(self.matching.init(key, params, stack.families, plan.walkers or self.table.walkers))
        saved = state.resumed(phase)
        if saved is not None:
            run = tree.from_arrays(run, saved)
        elif plan.hf_steps:
            self.context.compiling("the Hartree-Fock pre-training")
        clock = _Clock(int(run.step), plan.hf_steps)
        while (step := int(run.step)) < plan.hf_steps:
            size = min(self.table.block, plan.hf_steps - step)
            rates = self.table.hf_learning_rate * (1 - (step + np.arange(size)) / plan.hf_steps)
            run, losses = self._match_block(run, stack.families, jnp.asarray(rates))
            step += size
            event = {"event": "step", "phase": "hf", "task": plan.name, "step": step, "steps": plan.hf_steps}
            self.context.emit(event | {"loss": float(np.mean(losses[-1])), "seconds_left": clock.left(step)})
            self._save_now_and_then(state, phase, run, step)  # after the last step, too: compiling comes next
        return run.params, run.sampler

    def _descend(self, plan: Plan, run: Run, stack: Stack, state: State) -> Run:
        """Natural-gradient steps until the last one, or the goal."""
        phase, curve, (_, block) = f"{plan.name}/vmc", state.curves[plan.name], self.training(plan)
        clock = _Clock(int(run.step), plan.steps)
        while (step := int(run.step)) < plan.steps:
            size = min(self.table.block, plan.steps - step)
            schedule = transfer.schedule(
                size, first=step, total=plan.steps, learning_rate=plan.learning_rate, decay=plan.decay,
                shift=plan.shift or self.table.diagonal_shift,
            )  # fmt: skip
            run, info = block(run, stack.families, schedule)
            energy = stack.in_order([part.energy for part in info.families])
            variance = stack.in_order([part.variance for part in info.families])
            acceptance = stack.in_order([part.acceptance for part in info.families])
            step += size
            self._check(energy, int(info.rejected[-1]), step)
            _note(curve, step, energy, variance, plan.coarse)
            numbers = {"step": step, "steps": plan.steps, "seconds_left": clock.left(step), "task": plan.name}
            self.context.emit({"event": "step", "phase": "train"} | numbers | _shown(energy, variance, acceptance))
            if plan.goal is not None and reached(curve, plan.goal) is not None:
                break
            if step < plan.steps:  # the end is saved with the task
                self._save_now_and_then(state, phase, run, step)
        return run

    def _save_now_and_then(self, state: State, phase: str, run: Run, step: int) -> None:
        """Checkpoint when it is due or a signal arrived."""
        before = step - min(self.table.block, step)
        due = step // self.checkpoint_every > before // self.checkpoint_every
        if due or self.context.stopping:
            state.save(phase, run)
            self.context.stop_if_asked()

    def _check(self, energy: np.ndarray, rejected: int, step: int) -> None:
        if rejected >= _PATIENCE and not np.any(np.isfinite(energy[-1])):
            raise PhysicsError(
                f"local energies are not finite at step {step}, and {_PATIENCE} reduced steps did not help\n"
                "  fix:   lower train.learning_rate, or raise train.diagonal_shift"
            )

    def sample(
        self,
        params: PyTree,
        molecule: Prepared,
        key: jax.Array,
        table: MoleculesEvaluateTable,
        samples: int | None = None,
    ) -> Samples:
        """Fresh samples of one molecule, in slices between which a signal is obeyed.

        Returns:
            Samples without the axis of members: energies (chains, samples), x (chains, samples, n, 3).

        Raises:
            Interrupted: a signal arrived; these samples are lost and will be drawn again.
        """
        (family,) = transfer.stack([molecule]).families
        each = max(4, (samples or table.samples) // table.chains)
        size = max(d for d in range(1, min(each, _SLICE) + 1) if each % d == 0)
        wavefunction, parts, walkers = self.with_weights(params), [], None
        how = Sampling(table.chains, size, table.burn_in, table.moves, self.table.drift, self.table.chunk)
        for _ in range(each // size):
            part, walkers = transfer.evaluate(wavefunction, family, key, how, walkers)
            how = dataclasses.replace(how, burn_in=0)
            parts.append(jax.tree.map(np.asarray, part))
            self.context.stop_if_asked()
        joined = [np.concatenate(arrays, axis=2)[0] for arrays in list(zip(*parts, strict=True))[:3]]
        means = [np.mean(arrays) for arrays in list(zip(*parts, strict=True))[3:]]
        return Samples(*joined, *means)  # type: ignore[arg-type]


def _strong(run: Run) -> Run:
    """The run without weak types, which the first block would lose: the second would be compiled anew for that."""

    def one(leaf: Any) -> Any:
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf if key else jax.lax.convert_element_type(leaf, np.dtype(leaf.dtype))

    return jax.tree.map(one, run)


class _Clock:
    """Guesses how long the remaining steps take."""

    def __init__(self, first: int, steps: int):
        self.first, self.steps, self.begin = first, steps, time.perf_counter()

    def left(self, step: int) -> float:
        """Seconds left after ``step`` steps."""
        return (time.perf_counter() - self.begin) / max(1, step - self.first) * (self.steps - step)


def _note(curve: Curve, step: int, energy: np.ndarray, variance: np.ndarray, coarse: bool) -> None:
    """Add the steps of a block, or their mean, to a curve; molecules that were left out are not counted."""
    if not coarse:
        curve.append(np.arange(step - len(energy), step), energy, variance)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a molecule that no step of the block visited
        curve.append([step], np.nanmean(energy, axis=0)[None], np.nanmean(variance, axis=0)[None])  # type: ignore[arg-type]


def _shown(energy: np.ndarray, variance: np.ndarray, acceptance: np.ndarray) -> dict[str, Any]:
    """Numbers of a block for the live view: of one molecule its energy, of several the means over them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        each, spread = np.nanmean(energy, axis=0), np.sqrt(np.nanmean(variance, axis=0))
        found = {"molecules": len(each), "std": float(np.nanmean(spread)), "acceptance": float(np.nanmean(acceptance))}
        return found | {"energy" if len(each) == 1 else "energy_mean": float(np.nanmean(each))}


def running_mean(curve: Curve, column: int = 0, window: int = WINDOW) -> tuple[np.ndarray, np.ndarray]:
    """(steps made, mean energy) over ``window`` steps at a time; the mean belongs to the end of its window.

    A step counts with the inverse of its variance: one wild local energy would else show for a whole window.
    """
    energy, weights = curve.energy[:, column], _weights(curve, column)
    window = min(window, max(1, len(energy)))
    parts = [np.convolve(values, np.ones(window), mode="valid") for values in (energy * weights, weights)]
    return curve.steps[window - 1 :] + 1, parts[0] / parts[1]


def _weights(curve: Curve, column: int) -> np.ndarray:
    return 1 / np.maximum(curve.variance[:, column], 1e-12)


def reached(curve: Curve, goal: float) -> int | None:
    """Steps after which the energy of a training lies at or below ``goal`` (Ha); None when it never does.

    The energy is the never rising curve closest to those of the single steps, which scatter; a step counts with the
    inverse of its variance. The last points of the curve follow single low ones: they do not count.
    """
    from scipy.optimize import isotonic_regression

    energy, weights = curve.energy[:, 0], _weights(curve, 0)
    if len(energy) <= WINDOW or not np.all(np.isfinite(energy)):
        return None
    falling = isotonic_regression(energy, weights=weights, increasing=False).x[: -WINDOW // 2]
    below = np.flatnonzero(falling <= goal)
    return int(curve.steps[below[0]]) if len(below) else None
