"""Distillation: a student is trained on the teacher's frames, in compiled blocks that can be resumed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.core import tree
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.programs import once
from wavefoundry.core.types import Process, Run
from wavefoundry.engine.supervised import Loss, Recipe, block_of, gauss_newton, optimiser, supervised
from wavefoundry.models import EmulatorSpec
from wavefoundry.models.emulator import Emulator
from wavefoundry.models.windowed import Windowed
from wavefoundry.studies.emulation.batches import Pair, Pairs, Window, Windows, check_window
from wavefoundry.studies.emulation.curriculum import Trajectories
from wavefoundry.studies.emulation.pruning import Mask, masked
from wavefoundry.studies.emulation.scope import scope_of
from wavefoundry.studies.emulation.student import Student
from wavefoundry.studies.progress import Pace, Progress

BLOCK = 50
POLISH_BATCH, FAR_FRAMES, REFRESH = 128, 512, 8
AHEAD = 3.2
"""Time over which the last polishing steps look ahead."""


class Plan(NamedTuple):
    """How a student is trained: first-order steps, then Gauss-Newton steps (few weights only), and the seed.

    The first half of the Gauss-Newton steps lowers the error of one frame, the second half that of frames further
    ahead: errors that add up along a roll-out matter more than those that average out, and one frame cannot tell.
    """

    recipe: Recipe
    polish: int = 0
    seed: int = 0


class Start(NamedTuple):
    """What a training begins with: weights, and which of them are trained (those outside the mask are zero)."""

    emulator: Emulator
    mask: Mask = {}


PAPER_STEPS = {567: 900_000, 2646: 5_290_000}
POLISH_WEIGHT = 300.0
MAX_POLISHED = 2000
"""Gauss-Newton steps are for models with at most so many weights."""


def plan_of(kind: str, *, recipe: str = "desk", runs: int = 96, seed: int = 0, **changes: Any) -> Plan:
    """The plan of a kind of student.

    Args:
        kind: of the student.
        recipe: "desk", or "paper": the number of steps of arXiv 2203.10200 for its sets, 4.5 epochs for others.
        runs: in the curriculum.
        seed: of weights and batches.
        changes: ``steps``, ``batch``, ``learning_rate``, ``polish``; None leaves the default.
    """
    entry = EMULATORS[kind]
    given = {name: value for name, value in changes.items() if value is not None}
    polish = given.pop("polish", entry.polish)
    basic = Recipe(**entry.recipe)
    if recipe == "paper" and entry.paper_steps is None:
        epochs = math.ceil(4.5 * runs * 45_492 / basic.batch)
        basic = basic._replace(steps=PAPER_STEPS.get(runs, epochs))
    elif recipe == "paper":
        basic, polish = basic._replace(steps=entry.paper_steps), 2 * entry.polish
    return Plan(basic._replace(**given), polish, seed)


def pair_loss(spacing: tuple[float, ...]) -> Callable[[Emulator, Pair], jax.Array]:
    """Batch mean of the integral of |predicted - true|^2 over the box."""

    def loss(emulator: Emulator, batch: Pair) -> jax.Array:
        found = jax.vmap(lambda p, v: emulator(p[None], v, spacing))(batch.before, batch.potential)
        return jnp.mean(jnp.sum(jnp.abs(found - batch.after) ** 2, axis=-1)) * math.prod(spacing)

    return loss


def window_loss(emulator: Windowed, batch: Window) -> jax.Array:
    """Mean squared error over the window's points and both parts."""
    scale = jnp.asarray([1.0, 1.0, 1.0 / emulator.potential_scale], batch.x.dtype)
    found = jax.vmap(emulator.patch)(batch.x * scale)
    return jnp.mean((found - batch.y) ** 2)


def pair_residual(spacing: tuple[float, ...], ahead: int = 1) -> Callable[[Emulator, Pair], jax.Array]:
    """Difference to the true state ``ahead`` frames later, per frame: a real vector whose square is its integral."""

    def residual(emulator: Emulator, example: Pair) -> jax.Array:
        prepared = emulator.prepare(example.potential, spacing)

        def step(_: int, psi: jax.Array) -> jax.Array:
            return emulator.advance(prepared, psi[None])

        found = jax.lax.fori_loop(1, ahead, step, step(0, example.before)) - example.after
        return jnp.stack([found.real, found.imag]).reshape(-1) * (math.sqrt(math.prod(spacing)) / ahead)

    return residual


class Machine(NamedTuple):
    """A process, compiled once however often it is used (importance trains the same student many times)."""

    init: Callable[[Any], Run]
    block: Callable[[Run, Any], tuple[Run, Any]]


def _machine(process: Process) -> Machine:
    return Machine(jax.jit(process.init), block_of(process))


@once
def _windows_machine(static: Any, recipe: Recipe) -> Machine:
    return _machine(supervised(static, window_loss, optimiser(recipe)))  # type: ignore[arg-type]


@once
def _frames_machine(static: Any, recipe: Recipe, spacing: tuple[float, ...]) -> Machine:
    return _machine(supervised(static, pair_loss(spacing), optimiser(recipe)))


@once
def _polish_machine(static: Any, ahead: int, spacing: tuple[float, ...]) -> Machine:
    return _machine(gauss_newton(static, pair_residual(spacing, ahead)))


class Phase(NamedTuple):
    """One part of a training: a process, its batches, its steps."""

    name: str
    machine: Machine
    batches: Callable[[int, int], Any]
    steps: int
    block: int
    weight: float = 1.0  # rough cost of a step, to foresee the end


def _sparse_machine(static: Any, recipe: Recipe, loss: Loss, mask: Mask) -> Machine:
    """The first-order training of what a mask leaves: weights outside have no gradient and stay zero."""
    return _machine(supervised(static, lambda model, batch: loss(masked(model, mask), batch), optimiser(recipe)))


def phases_of(emulator: Emulator, data: Trajectories, plan: Plan, mask: Mask) -> list[Phase]:
    """What a student goes through.

    Raises:
        InputError: a window larger than the box, Gauss-Newton steps for too many weights.
    """
    static = eqx.partition(emulator, eqx.is_inexact_array)[1]
    recipe, block = plan.recipe, min(BLOCK, plan.recipe.steps)
    if isinstance(emulator, Windowed):
        windows = Windows(data, recipe.batch, plan.seed, emulator.points, emulator.history)
        sparse = _sparse_machine(static, recipe, window_loss, mask) if mask else None
        return [Phase("windows", sparse or _windows_machine(static, recipe), windows, recipe.steps, block)]
    spacing = data.grid.spacing
    check_window(emulator.reach(), data.grid.n)
    pairs = Pairs(data, recipe.batch, plan.seed)
    sparse = _sparse_machine(static, recipe, pair_loss(spacing), mask) if mask else None
    found = [Phase("frames", sparse or _frames_machine(static, recipe, spacing), pairs, recipe.steps, block)]
    if plan.polish:
        if tree.count(emulator) > MAX_POLISHED:
            why = f"the model has {tree.count(emulator)} weights, Gauss-Newton steps are for up to {MAX_POLISHED}"
            raise InputError(f"polish = {plan.polish} is not possible", where=emulator.kind, why=why, fix="polish = 0")
        far = max(1, min(round(AHEAD / data.frame_step), data.frames.shape[1] - 1))
        for ahead, steps in ((1, plan.polish - plan.polish // 2), (far, plan.polish // 2)):
            batch = POLISH_BATCH if ahead == 1 else max(8, FAR_FRAMES // ahead)
            pairs = Pairs(data, batch, plan.seed + ahead, REFRESH, ahead)
            weight = POLISH_WEIGHT * (1 if ahead == 1 else 2)
            machine = _polish_machine(static, ahead, spacing)
            found.append(Phase(f"polish, {ahead} ahead", machine, pairs, steps, 1, weight))
    return [phase for phase in found if phase.steps]


Probe = Callable[[Emulator], dict[str, Any]]


def probe_steps(steps: int, block: int, count: int = 8) -> list[int]:
    """Steps at which a training is probed: evenly in log(step), at ends of blocks, the last step included."""
    points = np.geomspace(min(block, steps), steps, count)
    return sorted({min(steps, max(1, round(point / block)) * block) for point in points})


class Training:
    """A student under way: through all phases, from the checkpoint of the task on.

    Args:
        emulator: with random (or earlier) weights.
        phases: see ``phases_of``. progress: of the task. name: of the student.
        probe: asked about the emulator at points evenly spaced in log(step).
        report: show every block.

    ``losses`` holds [step, mean loss] of every block, ``probes`` what the probe saw.
    """

    def __init__(
        self, emulator: Emulator, phases: Sequence[Phase], progress: Progress, name: str,
        probe: Probe | None = None, report: bool = True,
    ):  # fmt: skip
        self.params, self.static = eqx.partition(emulator, eqx.is_inexact_array)
        self.phases, self.progress, self.name, self.probe, self.shown = phases, progress, name, probe, report
        _, self._arrays, meta = progress.restore() or (0, None, {"phase": 0, "losses": [], "probes": []})
        self._first, self.probes = meta["phase"], meta["probes"]
        # a loss that was not finite is stored as null
        self.losses = [[step, math.nan if loss is None else loss] for step, loss in meta["losses"]]
        self._pace, self._work = Pace(), 0.0

    def through(self) -> Emulator:
        """Do all phases.

        Raises:
            PhysicsError: the loss is not finite and stays so.
        """
        for number in range(self._first, len(self.phases)):
            run = self.phases[number].machine.init(self.params)
            if self._arrays is not None:
                run, self._arrays = tree.from_arrays(run, self._arrays), None
            self.params = self._phase(number, run).params
        return eqx.combine(self.params, self.static)

    def _phase(self, number: int, run: Run) -> Run:
        phase, done = self.phases[number], sum(phase.steps for phase in self.phases[:number])
        asked = probe_steps(phase.steps, phase.block) if number == 0 else [phase.steps]
        if self.shown:
            self.progress.compiling(f"training of {self.name}: {phase.name}")
        while (begin := int(run.step)) < phase.steps:
            size = min(phase.block, phase.steps - begin)
            run, info = phase.machine.block(run, jax.tree.map(jnp.asarray, phase.batches(begin, size)))
            step, loss = int(run.step), float(np.mean(np.asarray(info.loss)))
            self.losses.append([done + step, loss])
            self._check(loss, int(np.asarray(info.rejected)[-1]), step)
            self._report(number, step, size)
            if self.probe is not None and step in asked:
                self.probes.append({"step": done + step} | self.probe(eqx.combine(run.params, self.static)))
            if self.progress.due:
                self.progress.save(done + step, run, phase=number, losses=self.losses, probes=self.probes)
        return run

    def _check(self, loss: float, rejected: int, step: int) -> None:
        if not math.isfinite(loss) and rejected >= BLOCK:
            raise PhysicsError(
                f"the loss of student {self.name} is not finite at step {step}, and {rejected} steps were skipped\n"
                "  fix:   lower its learning rate"
            )

    def _report(self, number: int, step: int, size: int) -> None:
        if not self.shown:
            return
        phase, later = self.phases[number], self.phases[number + 1 :]
        self._work += size * phase.weight
        left = (phase.steps - step) * phase.weight + sum(other.steps * other.weight for other in later)
        seconds = self._pace.left(self._work, left)
        steps = sum(phase.steps for phase in self.phases)
        event = {"event": "step", "phase": self.name, "step": int(self.losses[-1][0]), "steps": steps}
        self.progress.emit(event | {"loss": self.losses[-1][1], "seconds_left": seconds})


def distill_on(
    data: Trajectories,
    model: EmulatorSpec,
    plan: Plan,
    progress: Progress,
    *,
    name: str = "student",
    probe: Probe | None = None,
    start: Start | None = None,
    report: bool = True,
) -> Student:
    """Train a student on frames that are there.

    Args:
        data: the frames. model: the emulator in words. plan: settings; there are no Gauss-Newton steps for pruned
            students and kinds with too many weights.
        progress, name, probe, report: as for ``Training``. start: weights to begin with.

    Raises:
        InputError: a window larger than the box, options that do not exist.
        PhysicsError: the training diverged.
    """
    key = jax.random.fold_in(jax.random.key(plan.seed), 0)
    begin = start or Start(model.build(key, frame_step=data.frame_step))
    if begin.mask or not EMULATORS[model.kind].polish:
        plan = plan._replace(polish=0)
    phases = phases_of(begin.emulator, data, plan, begin.mask)
    training = Training(begin.emulator, phases, progress, name, probe, report)
    emulator = training.through()
    record = {
        "steps": plan.recipe.steps,
        "batch": plan.recipe.batch,
        "polish": plan.polish,
        "seed": plan.seed,
        "losses": _thinned(training.losses),
        "probes": training.probes,
        "cost": progress.cost().to_dict(),
    }
    return Student(emulator, model, data.grid, data.frame_step, scope_of(data), record, mask=begin.mask)


def _thinned(losses: list[list[float]], most: int = 200) -> list[list[float]]:
    """At most ``most`` losses, each the mean of its stretch."""
    if len(losses) <= most:
        return losses
    parts = np.array_split(np.asarray(losses), most)
    return [[float(part[-1, 0]), float(part[:, 1].mean())] for part in parts]
