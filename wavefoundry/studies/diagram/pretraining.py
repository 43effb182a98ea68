"""Pre-training: the one expensive optimisation, in compiled blocks, resumable at every block."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence, kept, rest
from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.hosts import agreed
from wavefoundry.core.statistics import autocorrelation_time, split_r_hat, v_score
from wavefoundry.core.types import Run, System, Wavefunction
from wavefoundry.engine.vmc import Info, Options, Schedule, block_of, decay, variational
from wavefoundry.problems.strings import strings_of
from wavefoundry.studies.forecast import DEAF, duration
from wavefoundry.studies.progress import Pace, Progress

FIX = "\n  fix:   lower the learning rate, or raise the diagonal shift"
PATIENCE = 20
"""So many refused steps one after the other are no accident of their samples."""
SNAPSHOT = "snapshot/"
"""Prefix of the weights that a training keeps of its way."""
SNAPSHOTS = (20, 4)
"""They are kept after about one part in so many of it."""


@dataclasses.dataclass(frozen=True)
class Training:
    """Settings of one optimisation; see ``engine.vmc`` for their meaning.

    ``listed``: the family lists all its configurations; else they are sampled by Metropolis.
    """

    steps: int
    chains: int
    learning_rate: float
    shift: float
    options: Options
    block: int = 10
    tail: float = 0.4
    checkpoint_every: int = 20
    listed: bool = False

    def schedule(self) -> Schedule:
        """Learning rate and damping of every step, padded to whole blocks."""
        return decay(self.learning_rate, self.shift, self.steps, self.tail)

    def on_the_way(self) -> tuple[int, ...]:
        """Steps, at the ends of blocks, whose weights show how the features came about."""
        blocks = {max(1, round(self.steps / part / self.block)) for part in SNAPSHOTS}
        return tuple(sorted(self.block * count for count in blocks if self.block * count < self.steps))


class Trainer:
    """Compiles the optimisation once and runs it for any coupling of the family, from any start.

    Args:
        static: non-array part of the wavefunction.
        trainable: pytree of booleans.
        training: settings.
        sites: number of sites, for energies per site and V-scores.
    """

    def __init__(self, static: PyTree, trainable: PyTree, training: Training, sites: int):
        self.training, self.sites = training, sites
        self.energies: list[float] = []  # of every step of the run under way, its first member
        self.snapshots: dict[int, PyTree] = {}  # weights on the way, by step
        self.process = variational(static, trainable, training.options, training.listed)
        self._init = jax.jit(self.process.init, static_argnums=3)  # the same for the same process
        self._block = block_of(self.process)
        self._pace: float | None = None  # seconds of a step, once one has been timed
        self._refused = 0, 0  # steps that were refused: one after the other until now, in all

    def of_length(self, steps: int, share: float = 1.0) -> Trainer:
        """The same programs for a training of other length, at a share of the learning rate."""
        other, rate = copy.copy(self), share * self.training.learning_rate
        other.training, other.energies = dataclasses.replace(self.training, steps=steps, learning_rate=rate), []
        return other

    def start(self, key: jax.Array, params: PyTree, family: System) -> Run:
        """A fresh run from given weights."""
        self.energies, self.snapshots = [], {}
        return self._init(key, params, family, self.training.chains)

    def run(
        self, run: Run, family: System, progress: Progress, phase: str, keep: tuple[int, ...] = (), **event: Any
    ) -> Run:
        """Go on to the last step, from the newest checkpoint of the task if there is one.

        Emits a step event after every block and saves now and then. Blocks are as long as the settings say, or shorter
        where they would take more than ``DEAF`` seconds: a stop is heard after each. The result does not depend on
        them.

        Args:
            run: from ``start``. family: stacked system(s). progress: of the task. phase: name in the events.
            keep: steps after which the weights are kept in ``snapshots``. event: added to events.

        Raises:
            Interrupted: a signal arrived; the state has been saved.
            PhysicsError: local energies stayed non-finite although the step size was reduced.
        """
        training, schedule = self.training, self.training.schedule()
        schedule = schedule._replace(
            learning_rate=jnp.asarray(np.asarray(schedule.learning_rate) / energy_unit(family))
        )
        limit = energy_bound(family)
        run, step = self._resumed(run, progress, phase)
        self._refused = 0, int(run.opt.rejected)
        saved, pace, first = step, Pace(), step
        if step < training.steps and self._pace is None:
            progress.compiling("the training step")
        while step < training.steps:
            until = min((one for one in keep if one > step), default=training.steps)
            run, info = self._next(run, family, schedule, step, until, progress, phase)
            step += len(info.energy)
            if step in keep:
                self.snapshots[step] = run.params
            self.energies += np.real(np.asarray(info.energy))[:, 0].tolist()
            self._check(info, step, limit)
            self._check_made(info, step)
            left = pace.left(step - first, training.steps - step)
            progress.emit(self._event(info, step, phase) | event | {"seconds_left": left})
            if progress.due or (step < training.steps and step - saved >= training.checkpoint_every):
                arrays = tree.to_arrays(run) | snapshot_arrays(self.snapshots)
                progress.save(step, arrays, energies=self.energies)
                saved = step
        return run

    def _resumed(self, run: Run, progress: Progress, phase: str) -> tuple[Run, int]:
        found = progress.restore()
        if found is None:
            return run, 0
        step, arrays, meta = found
        self.energies = list(meta["energies"])
        for name in {name.split("/")[1] for name in arrays if name.startswith(SNAPSHOT)}:
            self.snapshots[int(name)] = tree.from_arrays(run.params, arrays, f"{SNAPSHOT}{name}/")
        progress.say(phase, f"going on from step {step}")
        return tree.from_arrays(run, arrays), step

    def _next(
        self, run: Run, family: System, schedule: Schedule, step: int, until: int, progress: Progress, phase: str
    ) -> tuple[Run, Info]:
        """The next block of steps; the first one of all begins with a step that is timed."""
        size, infos = min(self.training.block, until - step), []
        if self._pace is None:
            self._steps(run, family, schedule, step, 0)  # compiles
            run, info = self._steps(run, family, schedule, step, 1)
            infos.append(info)
            total = (self._pace or 0.0) * (self.training.steps - step)
            if total > 60:
                progress.say(phase, f"a step takes {self._pace:.2g} s: about {duration(total)} for what is left")
        rest = min(size, max(1, int(DEAF / max(self._pace or 0.0, 1e-9)))) - len(infos)
        if rest > 0 and not (infos and progress.stopping):
            run, info = self._steps(run, family, schedule, step + len(infos), rest)
            infos.append(info)
        return run, jax.tree.map(lambda *rows: np.concatenate(rows), *infos)

    def _steps(self, run: Run, family: System, schedule: Schedule, step: int, count: int) -> tuple[Run, Info]:
        """``count`` steps from ``step`` on, timed; all counts are the same program."""
        index = np.minimum(np.arange(self.training.block) + step, self.training.steps - 1)
        begin = time.perf_counter()
        part = Schedule(*(jnp.asarray(np.asarray(rows)[index]) for rows in schedule))
        run, info = jax.block_until_ready(self._block(run, family, part, jnp.array(count)))
        if count:
            self._pace = agreed((time.perf_counter() - begin) / count)
        return run, jax.tree.map(lambda rows: np.asarray(rows)[:count], info)

    def convergence(self, e_inf: float = 0.0) -> Convergence:
        """Whether the last run had come to rest. ``e_inf``: energy of infinite temperature."""
        rates = np.asarray(self.training.schedule().learning_rate)[-len(self.energies) :]
        last = self.energies[-kept(self.training.steps) :]
        return Convergence(rest(self.energies, self.training.steps, rates), abs(float(np.median(last)) - e_inf))

    def _check(self, info: Info, step: int, limit: float) -> None:
        last = np.asarray(info.energy[-1])
        if int(info.rejected[-1]) >= 10 and not np.all(np.isfinite(last)):
            if not np.any(np.isfinite(self.energies)):  # of no step: the weights are the first ones still
                what = "local energies are not finite, from the first step on"
                raise PhysicsError(f"{what}\n  fix:   a network that is finite for every configuration")
            raise PhysicsError(f"local energies are not finite at step {step}, and ten reduced steps did not help{FIX}")
        energies = np.abs(np.asarray(info.energy))
        if np.all(np.median(energies, axis=0) > 1.1 * limit):  # beyond rounding and noise
            found = float(energies[-1, 0])
            raise PhysicsError(
                f"the training has exploded at step {step}: a mean local energy of {found:.3g}, while no energy of "
                f"this Hamiltonian is beyond {limit:.3g}{FIX}"
            )

    def _check_made(self, info: Info, step: int) -> None:
        """No more than ``PATIENCE`` steps may be refused one after the other."""
        row, before = self._refused
        made = np.flatnonzero(np.diff(np.asarray(info.rejected), prepend=before) <= 0)
        row = len(info.rejected) - 1 - int(made[-1]) if len(made) else row + len(info.rejected)
        self._refused = row, int(info.rejected[-1])
        if row >= min(PATIENCE, self.training.steps):
            what = f"the last {row} steps up to step {step} were refused: their updates are not finite"
            raise PhysicsError(f"{what}{FIX}; of an optimiser or a preconditioner of your own, look at what it gives")

    def _event(self, info: Info, step: int, phase: str) -> dict[str, Any]:
        """Numbers of one block: its mean energy and an error bar that is for display only."""
        energy, variance = np.real(np.asarray(info.energy)), np.asarray(info.variance)
        local = np.real(np.asarray(info.chain_energies))[:, 0].T  # (chains, steps of the block)
        with np.errstate(all="ignore"):
            drift_free = local - local.mean(axis=0, keepdims=True)
            mean, var = float(energy[:, 0].mean()), float(variance[:, 0].mean())
            finite = bool(np.all(np.isfinite(drift_free**4)) and np.isfinite(var))
        exact = self.training.listed
        samples = local.size
        tau = autocorrelation_time(drift_free) if finite and not exact and local.shape[1] > 3 else 1.0
        return {
            "event": "step",
            "phase": phase,
            "step": step,
            "steps": self.training.steps,
            "energy": mean,
            "energy_error": 0.0 if exact else float(np.sqrt(var * tau / samples)) if finite else None,
            "energy_per_site": mean / self.sites,
            "variance": var,
            "v_score": v_score(mean, var, self.sites) if finite else None,
            "acceptance": None if exact else float(info.acceptance[-1]),
            "r_hat": split_r_hat(drift_free) if finite and not exact else None,
            "ess": None if exact else samples / tau,
            "rejected": int(info.rejected[-1]),
            "undone": int(info.undone[-1]),
        }


def snapshot_arrays(snapshots: Mapping[int, PyTree], prefix: str = "") -> dict[str, np.ndarray]:
    """Weights by step for the store, under ``snapshot/STEP/`` and ``prefix``."""
    found: dict[str, np.ndarray] = {}
    for step, params in snapshots.items():
        found |= tree.to_arrays(params, f"{SNAPSHOT}{step}/{prefix}")
    return found


def energy_unit(family: Any) -> float:
    """The unit of energy of the natural gradient: a third of what acts on a site, 1 for the critical Ising chain.

    A learning rate times a force is a change of weights only where energies have no unit; so a Hamiltonian in other
    units is trained in the same way. 1 for systems that are no lattices.
    """
    lattice = getattr(family, "lattice", family)
    strings = [strings_of(operator) for operator in getattr(lattice, "operators", ())]
    if not strings or any(found is None for found in strings):
        return 1.0
    couplings = np.abs(np.atleast_2d(np.asarray(lattice.couplings))).mean(axis=0)
    norms = [np.abs(found.weights) @ (found.flips | found.signs) for found in strings if found is not None]
    return float(couplings @ np.array(norms).mean(axis=1)) / 3 or 1.0


def energy_bound(family: Any) -> float:
    """No energy of any member of a lattice family is larger in modulus; infinite where that is not known."""
    lattice = getattr(family, "lattice", family)
    strings = [strings_of(operator) for operator in getattr(lattice, "operators", ())]
    if not strings or any(found is None for found in strings):
        return math.inf
    norms = np.array([np.sum(np.abs(found.weights)) for found in strings if found is not None])
    return float(np.max(np.abs(np.atleast_2d(np.asarray(lattice.couplings))) @ norms))


def chunk_size(wavefunction: Wavefunction, system: System, memory_mib: int) -> int:
    """How many configurations to evaluate at a time.

    On a CPU the activations of a chunk should stay in the cache (1 MiB): larger chunks are up to five times slower, and
    waste CPU time on threads that wait for each other.
    Accelerators take what fits the memory budget.
    """
    params, static = eqx.partition(wavefunction, eqx.is_array)

    def features(p: PyTree, x: Any) -> jax.Array:
        return eqx.combine(p, static).features(system, x)

    x = jax.eval_shape(system.init, jax.random.key(0))
    jaxpr = jax.make_jaxpr(features)(params, x)
    one = max(1, _largest(jaxpr.jaxpr))
    cpu = jax.default_backend() == "cpu"
    budget = min(2**20, memory_mib * 2**20) if cpu else memory_mib * 2**20
    return int(np.clip(2 ** int(np.log2(max(1, budget // (2 * one)))), 16, 8192))


def _largest(jaxpr: Any) -> int:
    """Bytes of the largest intermediate of a jaxpr, looking into nested ones."""
    size = 0
    for equation in jaxpr.eqns:
        for value in equation.outvars:
            aval = value.aval
            if hasattr(aval, "shape"):  # keys of random numbers have a type of their own
                size = max(size, int(np.prod(aval.shape)) * aval.dtype.itemsize)
        for parameter in equation.params.values():
            inner = getattr(parameter, "jaxpr", parameter)
            if hasattr(inner, "eqns"):
                size = max(size, _largest(inner))
    return size
