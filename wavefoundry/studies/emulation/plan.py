"""What a study file of kind "emulation" asks for: runs, students, plans; and what is refused before anything starts."""

from __future__ import annotations

import dataclasses
from typing import Any

from wavefoundry.artifacts.spec_emulation import CaseTable, EmulationSpec, StudentTable
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import from_home
from wavefoundry.models import EmulatorSpec
from wavefoundry.models.windowed import FRAMES
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import Item, suite
from wavefoundry.problems.potentials import Potential, from_dict
from wavefoundry.problems.splitting import Solver
from wavefoundry.problems.wavepackets import Packet
from wavefoundry.studies.emulation.ablation import processes_of
from wavefoundry.studies.emulation.curriculum import Curriculum
from wavefoundry.studies.emulation.distill import Plan, plan_of


def items_of(cases: list[CaseTable]) -> list[Item]:
    """Runs of a study file."""
    found = []
    for case in cases:
        parts = [from_dict({"kind": t.kind} | t.given()) for t in case.potential]
        packets = tuple(Packet(**packet.model_dump()) for packet in case.packet)
        found.append(Item(case.name, case.group, packets, sum(parts, Potential())))
    return found


def curriculum_of(spec: EmulationSpec) -> Curriculum:
    """The curriculum of a study file."""
    table, teacher = spec.curriculum, spec.teacher
    grid = Grid1D(spec.grid.length, spec.grid.n)
    solver = Solver(teacher.method, teacher.laplacian, teacher.kcut, teacher.substeps, teacher.tolerance)
    settings: dict[str, Any] = {"grid": grid, "solver": solver, "frame_step": table.frame_step}
    if table.frames is not None:
        settings["frames"] = table.frames
    own = tuple(items_of(table.items))
    if table.preset == "none":
        found = Curriculum(own, **settings)
    else:
        found = Curriculum.preset(table.preset, seed=table.seed, runs=table.runs, **settings)
        found = dataclasses.replace(found, items=found.items + own)
    for process in table.without:
        found = found.without(process)
    return found


def cases_of(spec: EmulationSpec) -> list[Item]:
    """The landscapes that students are judged by."""
    return (
        suite(Grid1D(spec.grid.length, spec.grid.n))
        if spec.evaluate.cases == "paper"
        else items_of(spec.evaluate.cases)
    )


def model_of(table: StudentTable) -> EmulatorSpec:
    """The emulator of a student in words."""
    return EmulatorSpec(table.kind, tuple(sorted(table.options().items())))


def plan_for(table: StudentTable, spec: EmulationSpec, runs: int) -> Plan:
    """How a student of a study file is trained."""
    changes = {name: getattr(table, name) for name in ("steps", "batch", "learning_rate", "polish")}
    return plan_of(table.kind, recipe=spec.training.recipe, runs=runs, seed=table.seed, **changes)


def _check_suite(grid: Grid1D) -> None:
    """Refuse a box on which the suite cannot be drawn."""
    try:
        for item in suite(grid):
            item.state(grid)
            item.potential(grid)
    except InputError as error:
        why = f"it is made for a box of length 100: {error.what} ({error.where})"
        raise InputError(
            "the suite does not fit the grid", where="evaluate.cases", why=why, fix="cases = [...] of your own"
        ) from None


def check(spec: EmulationSpec) -> None:
    """Find out that a study cannot be done before anything is written: draw its landscapes, count its runs.

    Raises:
        InputError: a potential that cannot be read or drawn, runs too short for a student, a curriculum without runs,
            a process that cannot be left out, a cache that is no folder.
    """
    grid = Grid1D(spec.grid.length, spec.grid.n)
    tables = {"curriculum.items": spec.curriculum.items}
    if isinstance(spec.evaluate.cases, list):
        tables["evaluate.cases"] = spec.evaluate.cases
    for key, cases in tables.items():
        for case, item in zip(cases, items_of(cases), strict=True):
            try:
                item.state(grid)
                item.potential(grid)
            except InputError as error:
                paths = [table.path for table in case.potential if table.path]
                where = ", ".join([f"{key}, case {case.name}", *paths])
                raise InputError(error.what, where=where, why=error.why, fix=error.fix) from None
    if spec.evaluate.cases == "paper":
        _check_suite(grid)
    folder = spec.curriculum.cache and from_home(spec.curriculum.cache)
    if folder and folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder", where="curriculum.cache", fix="a folder, which may be a new one")
    curriculum = curriculum_of(spec)
    if not folder:  # the parts and all of them together
        curriculum.check_room(copies=1 if len(curriculum.parts()) == 1 else 2)
    for name, student in zip(spec.names(), spec.students, strict=True):
        history = student.key("frames") or FRAMES
        if EMULATORS[student.kind].windowed and curriculum.frames <= history:
            why = f"student {name} looks at {history} frames, to predict the next one"
            raise InputError(f"runs of {curriculum.frames} frames are too short", where="curriculum.frames", why=why)
    if spec.importance.seeds:
        processes_of(curriculum, spec.importance.processes)
