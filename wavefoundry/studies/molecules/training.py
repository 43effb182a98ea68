"""Training of one model for many molecules."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from wavefoundry.adapt import transfer
from wavefoundry.adapt.transfer import Prepared, Sampling, Stack, TrainOptions
from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import MoleculesTrainTable
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.types import Run
from wavefoundry.core.words import matching
from wavefoundry.engine import families as engine
from wavefoundry.engine.sampling import Walkers
from wavefoundry.studies.molecules.curve import Curve, reached
from wavefoundry.studies.progress import Pace, Progress

_PATIENCE = 10
_MATCH, _WALK, _TRAIN = "hf", "walk", "train"
"""Phases of a training: towards the Hartree-Fock orbitals, or walkers alone; then natural gradient."""


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
    names = [tree.name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]

    def refusal(pattern: str) -> InputError:
        why = f"names begin with {', '.join(sorted({name.split('.')[0] for name in names}))}"
        return InputError(f"no weights are called {pattern}", where="adapt.layers", why=why, fix='"orbitals*"')

    chosen = set(matching(tuned, names, refusal))
    return jax.tree_util.tree_map_with_path(lambda path, leaf: leaf and tree.name_of(path) in chosen, everything)


class Trainer:
    """Trains one network; compiles each program once per set of compounds.

    Args:
        wavefunction: the network with its first weights.
        table: settings of the training.
        checkpoint_every: steps.
    """

    def __init__(self, wavefunction: Any, table: MoleculesTrainTable, checkpoint_every: int = 10**9):
        self.table, self.checkpoint_every = table, checkpoint_every
        self.params, self.static = eqx.partition(wavefunction, eqx.is_array)
        self._options = TrainOptions(
            walkers=table.walkers, moves=table.moves, subset=table.subset, max_age=table.max_age,
            momentum=table.momentum, norm=table.norm, clip=table.clip, drift=table.drift,
            chunk=table.chunk,
        )  # fmt: skip
        self._matching = transfer.pretraining(self.static, self._options)
        self._match_block = transfer.pretraining_block(self._matching)
        self._trainings: dict[Any, tuple[Any, Any]] = {}
        self._compiled: set[Any] = set()

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

    def train(
        self, plan: Plan, params: PyTree, molecules: Sequence[Prepared], key: jax.Array, progress: Progress
    ) -> tuple[PyTree, Curve]:
        """Train on all molecules together, going on where the task was interrupted.

        Returns:
            The weights, and the energies on the way.

        Raises:
            Interrupted: a signal arrived, and the training has been saved.
            PhysicsError: energies stayed non-finite.
        """
        stack, chains = transfer.stack(molecules), plan.walkers or self.table.walkers
        k_match, k_walk, k_run = jax.random.split(key, 3)
        number, saved, meta = progress.restore() or (0, {}, {"phase": None})
        walkers, curve = None, Curve.empty(len(molecules))
        descending = meta["phase"] == _TRAIN
        if not descending and plan.hf_steps:
            params, walkers = self._match(plan, params, stack, k_match, progress, saved)
        elif not descending:
            walkers = self._walk(params, stack, chains, k_walk, progress, number, saved)
        process, _ = self.training(plan)
        run = _strong(process.init(k_run, params, stack.families, chains, walkers))
        if descending:
            run, curve = tree.from_arrays(run, saved, "run"), Curve.from_arrays(saved)
        program = plan.tuned, plan.norm, tuple(leaf.shape for leaf in jax.tree.leaves(stack.families))
        if int(run.step) < plan.steps and program not in self._compiled:
            self._compiled.add(program)
            progress.compiling("the training step")
        return self._descend(plan, run, stack, curve, progress).params, curve

    def _walk(
        self,
        params: PyTree,
        stack: Stack,
        chains: int,
        key: jax.Array,
        progress: Progress,
        done: int,
        saved: Mapping[str, np.ndarray],
    ) -> tuple[Walkers, ...]:
        """Walkers in equilibrium with the network, one family after the other; ``done`` of them are saved already."""
        wavefunction, table = self.with_weights(params), self.table
        how = Sampling(chains, 1, table.burn_in, table.moves, table.drift, table.chunk)
        keys = jax.random.split(key, len(stack.families))
        walkers = [engine.start(k, (f,), chains)[0] for k, f in zip(keys, stack.families, strict=True)]
        if done:
            walkers = tree.from_arrays(walkers, dict(saved))
        for index in range(done, len(walkers)):
            family = stack.families[index]
            walkers[index] = transfer.evaluate(wavefunction, family, keys[index], how, walkers[index])[1]
            if progress.due:
                progress.save(index + 1, walkers, phase=_WALK)
        return tuple(walkers)

    def _match(
        self,
        plan: Plan,
        params: PyTree,
        stack: Stack,
        key: jax.Array,
        progress: Progress,
        saved: Mapping[str, np.ndarray],
    ) -> tuple[PyTree, engine.State]:
        """Orbitals like those of Hartree-Fock; returns weights and walkers."""
        run = _strong(self._matching.init(key, params, stack.families, plan.walkers or self.table.walkers))
        if saved:
            run = tree.from_arrays(run, dict(saved))
        if int(run.step) < plan.hf_steps:
            progress.compiling("the Hartree-Fock pre-training")
        pace, first = Pace(), int(run.step)
        while (step := int(run.step)) < plan.hf_steps:
            size = min(self.table.block, plan.hf_steps - step)
            rates = self.table.hf_learning_rate * (1 - (step + np.arange(size)) / plan.hf_steps)
            run, losses = self._match_block(run, stack.families, jnp.asarray(rates))
            step += size
            event = {"event": "step", "phase": "hf", "task": plan.name, "step": step, "steps": plan.hf_steps}
            progress.emit(
                event
                | {"loss": float(np.mean(losses[-1])), "seconds_left": pace.left(step - first, plan.hf_steps - step)}
            )
            if self._due(progress, step):  # after the last step, too: compiling comes next
                progress.save(step, run, phase=_MATCH)
        return run.params, run.sampler

    def _descend(self, plan: Plan, run: Run, stack: Stack, curve: Curve, progress: Progress) -> Run:
        """Natural-gradient steps until the last one, or the goal."""
        _, block = self.training(plan)
        before, pace, first = (plan.hf_steps or len(stack.families)) + 1, Pace(), int(run.step)
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
            _check(energy, int(info.rejected[-1]), step)
            _note(curve, step, energy, variance, plan.coarse)
            left = pace.left(step - first, plan.steps - step)
            numbers = {"step": step, "steps": plan.steps, "seconds_left": left, "task": plan.name}
            progress.emit({"event": "step", "phase": "train"} | numbers | _shown(energy, variance, acceptance))
            if plan.goal is not None and reached(curve, plan.goal) is not None:
                break
            if step < plan.steps and self._due(progress, step):  # the end is kept with the task
                progress.save(before + step, tree.to_arrays(run, "run") | curve.arrays(), phase=_TRAIN)
        return run

    def _due(self, progress: Progress, step: int) -> bool:
        """Whether to save after the block that ended with ``step``."""
        before = step - min(self.table.block, step)
        return progress.due or step // self.checkpoint_every > before // self.checkpoint_every


def _check(energy: np.ndarray, rejected: int, step: int) -> None:
    if rejected >= _PATIENCE and not np.any(np.isfinite(energy[-1])):
        raise PhysicsError(
            f"local energies are not finite at step {step}, and {_PATIENCE} reduced steps did not help\n"
            "  fix:   lower train.learning_rate, or raise train.diagonal_shift"
        )


def _strong(run: Run) -> Run:
    """The run without weak types, which the first block would lose: the second would be compiled anew for that."""

    def one(leaf: Any) -> Any:
        key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return leaf if key else jax.lax.convert_element_type(leaf, np.dtype(leaf.dtype))

    return jax.tree.map(one, run)


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
