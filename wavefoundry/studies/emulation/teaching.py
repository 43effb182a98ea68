"""The Python interface of emulation: distil, roll out, evaluate, diagnose, leave processes out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypedDict, Unpack

import numpy as np

from wavefoundry.artifacts.spec_emulation import StudentTable, TrainingTable
from wavefoundry.artifacts.spec_errors import checked
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import count_of, expect, list_of, number_of, one_of
from wavefoundry.core.programs import keep_programs
from wavefoundry.core.words import near
from wavefoundry.models import EmulatorSpec, as_emulator
from wavefoundry.problems.grid import Grid, require_frames
from wavefoundry.problems.landscapes import Item, suite
from wavefoundry.reports import cards, shown
from wavefoundry.studies.emulation import ablation, diagnostics, evaluation
from wavefoundry.studies.emulation.curriculum import Curriculum, Trajectories, runs_of
from wavefoundry.studies.emulation.distill import Plan, Start, distill_on, plan_of
from wavefoundry.studies.emulation.student import Student, load_student
from wavefoundry.studies.emulation.truth import Reference, goals_of, reference, sharpen
from wavefoundry.studies.progress import Context, Progress

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

DEMO = "zoo:emulator-unitary"


class DistillSettings(TypedDict, total=False):
    """How a student is trained; what is left out is that of its kind."""

    steps: int
    batch: int
    learning_rate: float
    polish: int
    seed: int
    recipe: Literal["desk", "paper"]


class Judgement(NamedTuple):
    """How a student did: one record per case (as in ``summary.json``), their overview, curves per case and frame."""

    cases: list[dict[str, Any]]
    overview: dict[str, Any]
    curves: evaluation.Curves

    def _card(self) -> shown.Card:
        return cards.judgement(self.cases, self.overview, self.plot)

    def __repr__(self) -> str:
        return shown.text(self._card())

    def _repr_html_(self) -> str:
        return shown.html(self._card())

    def _repr_png_(self) -> bytes | None:
        return shown.png(self._card())

    def to_pandas(self) -> pandas.DataFrame:
        """One row per case; nested fields become dotted columns."""
        import pandas

        from wavefoundry.reports.tables import flatten

        return pandas.DataFrame([flatten(case) for case in self.cases])

    def to_xarray(self) -> Any:
        """The curves as an ``xarray.Dataset`` over ``case`` and ``frame``, with the verdict of every case.

        Raises:
            InputError: xarray is not installed (extra ``arviz``).
        """
        from wavefoundry.reports.exported import curves

        verdicts = [case["verdict"] for case in self.cases]
        return curves(self.curves._asdict(), [case["name"] for case in self.cases], verdicts)

    def plot(self) -> Figure:
        """Loss of correlation and mean absolute error along the roll-outs."""
        from wavefoundry.reports.emulation_figures import judgement_figure

        return judgement_figure(self.curves.corr, self.curves.mae, [case["name"] for case in self.cases])

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained page."""
        from wavefoundry.reports.html import write_card

        return write_card(path, self._card())


def _runs(curriculum: Curriculum | Trajectories) -> tuple[Item, ...]:
    if not isinstance(curriculum, Curriculum | Trajectories):
        what = f"{type(curriculum).__name__} is no curriculum"
        raise InputError(what, where="wf.distill", fix='wf.Curriculum.preset("default")')
    return curriculum.items


def _frames(curriculum: Curriculum | Trajectories, cache_dir: Any, context: Context) -> Trajectories:
    if isinstance(curriculum, Trajectories):
        return curriculum
    return curriculum.generate(
        cache_dir, lambda done, total: context.emit({"event": "data", "done": done, "total": total})
    )


def _plan(model: EmulatorSpec, runs: int, settings: Mapping[str, Any], where: str, *, pruned: bool = False) -> Plan:
    known = tuple(DistillSettings.__annotations__)
    for name in settings:
        if name not in known:
            fix = near(name, known)
            raise InputError(f"unknown setting {name}", where=where, why=f"known: {', '.join(known)}", fix=fix)
    own = {name: value for name, value in settings.items() if name != "recipe"}
    student = checked(StudentTable, where, {"kind": model.kind, **own})
    if student.polish:
        dense = bool(EMULATORS[model.kind].polish)
        what = "a pruned student" if dense else model.kind
        why = "Gauss-Newton steps move all weights, zeros included" if dense else "it has too many weights"
        if pruned or not dense:
            raise InputError(f"{what} cannot be polished", where=f"{where}: polish", why=why, fix="leave it out")
    training = checked(TrainingTable, where, {name: value for name, value in settings.items() if name not in own})
    return plan_of(model.kind, runs=runs, recipe=training.recipe, **{name: getattr(student, name) for name in own})


def distill(
    curriculum: Curriculum | Trajectories,
    model: EmulatorSpec | None = None,
    *,
    start: Student | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = False,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    **settings: Unpack[DistillSettings],
) -> Student:
    """Train a student on a curriculum.

    Args:
        curriculum: ``Curriculum.preset("default")``, one of your own, or frames that ``generate`` returned.
        model: ``models.unitary()`` (default), ``kernel``, ``gru``, ``dense``, ``conv`` or ``linear``.
        start: a student to go on from; the zeros of one that was ``pruned`` stay. The range of the new one is that of
            this curriculum: what it saw before, it may forget.
        cache_dir: keep the teacher's frames there and stream them from disk.
        progress: show progress lines.
        on_event: receives progress events as plain dicts.
        settings: ``steps``, ``batch``, ``learning_rate``, ``polish`` (Gauss-Newton steps at the end; none for pruned
            students), ``seed``, ``recipe`` ("desk" or "paper").

    Returns:
        The trained student: ``student.rollout(psi0, V, 300)``.

    Raises:
        InputError: an unknown setting, a window larger than the box, a packet the grid cannot carry.
        PhysicsError: the teacher is not converged, or the training diverged.
    """
    from wavefoundry.reports.live import view

    if on_event is not None and not callable(on_event):
        raise InputError(f"on_event = {on_event!r:.60} is no function", where="wf.distill", fix="on_event=print")
    given = EmulatorSpec("unitary") if model is None else model
    model = as_emulator(given) if start is None else _started(start, curriculum, model)
    with view(quiet=not progress) as show:
        context = Context(lambda event: (show(event), on_event(event) if on_event else None)[0])
        pruned = start is not None and bool(start.mask)  # looked at before anything expensive
        plan = _plan(model, len(_runs(curriculum)), settings, "wf.distill", pruned=pruned)
        keep_programs()
        data = _frames(curriculum, cache_dir, context)
        begin = None if start is None else Start(start.emulator, start.mask)
        student = distill_on(data, model, plan, Progress(context), name=model.kind, start=begin)
        record = student.record if start is None else student.record | {"start": start.record}
        return dataclasses.replace(student, laplacian=data.laplacian, record=record)


def _started(start: Student, curriculum: Curriculum | Trajectories, model: EmulatorSpec | None) -> EmulatorSpec:
    """The model of a student that is trained further."""
    _check_student(start, "wf.distill: start")
    if model is not None and as_emulator(model) != start.model:
        why = f"it is a {start.model.kind} student with the options {dict(start.model.options)}"
        raise InputError("the model is not that of start", where="wf.distill", why=why, fix="leave the model out")
    _runs(curriculum)
    pairs = {"dx": (curriculum.grid.dx, start.grid.dx), "frame_step": (curriculum.frame_step, start.frame_step)}
    for name, (ours, theirs) in pairs.items():
        if abs(ours / theirs - 1) > 1e-9:
            why = f"{name} = {ours:g} there, {theirs:g} in the student"
            raise InputError("the curriculum does not fit the student", where="wf.distill: start", why=why)
    return start.model


def _check_student(student: Any, where: str) -> None:
    expect(student, Student, "student", where=where, fix="wf.distill(...), wf.load_student(path) or wf.demo_emulator()")


def rollout(student: Student, psi0: Any, potential: Any, frames: int, *, grid: Grid | None = None) -> np.ndarray:
    """``student.rollout(...)`` as a function."""
    _check_student(student, "wf.rollout")
    return student.rollout(psi0, potential, frames, grid=grid)


def evaluate(
    student: Student, cases: Sequence[Item] | None = None, frames: int = 400, *, tolerance: float = 5e-3,
    truth: Reference | None = None,
) -> Judgement:  # fmt: skip
    """Roll a student out on landscapes and compare with a converged reference.

    Args:
        student: from ``distill``.
        cases: from ``wf.case``; default: the suite of 24.
        frames: predicted frames.
        tolerance: largest relative L2 error of the reference's time step; its whole error is brought below a tenth of
            the student's where that is affordable, and cases where it is not are flagged (``REFERENCE``).
        truth: a reference from ``studies.emulation.truth.reference``, to save computing it again.

    Raises:
        InputError: a packet the grid cannot carry, a potential with NaN.
    """
    _check_student(student, "wf.evaluate")
    if truth is None:
        items = suite(student.grid) if cases is None else runs_of(cases, "wf.evaluate: cases")
        if not number_of(tolerance, "tolerance", where="wf.evaluate") > 0:
            raise InputError(f"tolerance = {tolerance} is not possible", where="wf.evaluate", why="it is positive")
        frames = require_frames(len(items), frames, student.grid, "wf.evaluate")
        truth = reference(items, student.grid, frames, student.frame_step, tolerance=tolerance)
    expect(truth, Reference, "reference", where="wf.evaluate: truth", fix="studies.emulation.truth.reference(...)")
    records, curves, _ = evaluation.evaluate(student, truth)
    sharper = sharpen(truth, goals_of([records]))
    if sharper is not truth:
        records, curves, _ = evaluation.evaluate(student, sharper)
    return Judgement(records, evaluation.overview(records), curves)


def diagnose(student: Student) -> dict[str, Any]:
    """What a student learned: residuals of symmetries, dispersion, transmission, and the findings in words.

    See ``studies.emulation.diagnostics.diagnose`` for the fields.
    """
    _check_student(student, "wf.diagnose")
    return diagnostics.diagnose(student)


def ablate(
    curriculum: Curriculum | Trajectories,
    model: EmulatorSpec | None = None,
    *,
    seeds: int = 3,
    processes: Sequence[str] | None = None,
    cases: Sequence[Item] | None = None,
    frames: int = 400,
    progress: bool = False,
    **settings: Unpack[DistillSettings],
) -> dict[str, Any]:
    """Relative importance of physical processes: train without each of them, several seeds, and judge.

    Args:
        curriculum, model, progress, settings: as for ``distill``.
        seeds: trainings per process; error bars need at least 2, and 3 to be worth something.
        processes: names from ``problems.landscapes.CLASSES``; default: all that occur.
        cases: landscapes to judge by; default: the suite of 24.
        frames: predicted frames.

    Returns:
        ``rows`` with ``on_all`` and ``on_class`` ({value, error}), ``lost_with_everything``, ``words``, ``jobs``.

    Raises:
        InputError: an unknown process or setting, a process that cannot be left out.
    """
    from wavefoundry.problems.landscapes import CLASSES
    from wavefoundry.reports.live import view

    model = as_emulator(EmulatorSpec("unitary") if model is None else model)
    for name in () if processes is None else list_of(processes, str, "process", where="wf.ablate: processes"):
        one_of(name, CLASSES, f"there is no process {name!r}", where="wf.ablate")
    seeds = count_of(seeds, "number of seeds", where="wf.ablate", least=1)
    with view(quiet=not progress) as show:
        context = Context(show)
        plan, grid = _plan(model, len(_runs(curriculum)), settings, "wf.ablate"), curriculum.grid
        items = suite(grid) if cases is None else runs_of(cases, "wf.ablate: cases")
        frames = require_frames(len(items), frames, grid, "wf.ablate")
        jobs = ablation.jobs_of(curriculum, seeds, processes)  # before anything expensive
        data = _frames(curriculum, None, context)
        truth = reference(items, data.grid, frames, data.frame_step, paper=False)
        done: list[dict[str, Any]] = []
        for index, job in enumerate(jobs):
            student = ablation.train(data, model, plan, job, Progress(context))
            done.append(ablation.record_of(job, data, ablation.lost(student, truth)))
            context.emit(ablation.event_of(model.kind, done[-1], index, len(jobs)))
    table = ablation.table_of(model.kind, done)
    return table | {"words": ablation.words_of(table), "jobs": done}


def demo_emulator() -> Student:
    """A trained unitary student with 72 weights, stored with the package.

    ``record["made_by"]`` is the call that made it; ``distill`` with the same arguments makes it again in half a minute.
    """
    return load_student(DEMO)
