"""The tables of a study of kind "emulation", and the rules that tie them together. No array library is imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, SerializeAsAny, Tag, model_validator
from pydantic_core import PydanticCustomError

from wavefoundry.artifacts.spec_kinds import KindTable, of_kind
from wavefoundry.artifacts.spec_tables import PathText, RunTable, Table, named
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.expect import Problem
from wavefoundry.core.words import near

SHAPES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "flat": ((), ("height",)),
    "barrier": (("height", "width"), ("center",)),
    "well": (("depth", "width"), ("center",)),
    "steps": (("heights", "width", "start"), ()),
    "triangle": (("height", "width"), ("center",)),
    "half-circle": (("height", "width"), ("center",)),
    "harmonic": (("omega", "cap"), ("center",)),
    "gaussian": (("height", "width"), ("center",)),
    "trapezoid": (("height", "width", "top"), ("center",)),
    "random": (("height", "seed"), ("width", "count", "start")),
    "smooth": (("height", "seed"), ("correlation",)),
    "file": (("path",), ()),
}
"""Shapes of potentials: numbers they need, numbers they take."""

PROCESSES = ("tunnelling", "over-barrier", "high barriers", "fast packets", "narrow packets", "low barriers")
Process = Literal["tunnelling", "over-barrier", "high barriers", "fast packets", "narrow packets", "low barriers"]
Height = Annotated[float, Field(ge=-1e4, le=1e4)]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, dict | Table) else value


def _auto(value: Any) -> Any:
    if value == "auto" or (type(value) is int and 1 <= value <= 100_000):
        return value
    raise PydanticCustomError("choice", "{rule}", {"rule": "'auto' or a whole number >= 1", "words": ["auto"]})


class PotentialTable(Table):
    """One shape of a landscape."""

    kind: Literal[
        "flat", "barrier", "well", "steps", "triangle", "half-circle", "harmonic", "gaussian", "trapezoid", "random",
        "smooth", "file",
    ] = Field(description="shape")  # fmt: skip
    height: Height | None = Field(default=None, description="height; of random shapes the largest one")
    depth: Height | None = Field(default=None, description="well: potential outside it")
    width: float | None = Field(default=None, gt=0, description="full width; gaussian: standard deviation")
    center: float | None = Field(default=None, description="centre, by default the middle of the box")
    heights: list[Height] | None = Field(default=None, min_length=1, max_length=4096, description="steps: heights")
    start: float | None = Field(default=None, description="steps, random: left edge")
    omega: float | None = Field(default=None, gt=0, le=1e3, description="harmonic: frequency")
    cap: Height | None = Field(default=None, description="harmonic: largest value")
    top: float | None = Field(default=None, ge=0, description="trapezoid: width of the top")
    seed: int | None = Field(default=None, ge=0, le=2**32 - 1, description="random, smooth: seed")
    count: int | None = Field(default=None, ge=1, le=4096, description="random: number of segments")
    correlation: float | None = Field(default=None, gt=0, description="smooth: correlation length")
    path: PathText | None = Field(default=None, description="file: .npy, or text with V or with x and V")

    def given(self) -> dict[str, Any]:
        """What the study sets, without ``kind``."""
        return {key: value for key, value in self.model_dump(exclude={"kind"}).items() if value is not None}


class PacketTable(Table):
    """A Gaussian wave packet."""

    x0: float = Field(description="centre")
    s0: float = Field(gt=0, le=1e4, description="standard deviation of |psi|^2")
    e0: float = Field(ge=0, le=1e6, description="kinetic energy of the mean momentum")
    left: bool = Field(default=False, description="moves to the left")


class CaseTable(Table):
    """A run: packets in a landscape."""

    name: str = Field(min_length=1, max_length=60, description="shown in tables; each name once")
    group: str = Field(default="own", min_length=1, max_length=60, description="class under which cases are averaged")
    potential: Annotated[list[PotentialTable], BeforeValidator(_listed), Field(min_length=1, max_length=100)] = Field(
        description="a shape, or a list of shapes that add up"
    )
    packet: Annotated[list[PacketTable], BeforeValidator(_listed), Field(min_length=1, max_length=100)] = Field(
        description="a packet, or a list of packets to superpose"
    )


class GridTable(Table):
    """`[grid]`: the periodic box."""

    length: float = Field(default=100.0, gt=0, le=1e6, description="length of the box")
    n: int = Field(default=1024, ge=32, le=65_536, description="grid points")


class TeacherTable(Table):
    """`[teacher]`: the solver that makes the frames."""

    method: Literal["strang", "bm4", "exact"] = Field(
        default="strang", description="operator splitting of order 2 or 4, or diagonalisation"
    )
    laplacian: Literal["spectral", "fd2"] = Field(
        default="spectral", description="k^2/2, or three points as in the paper"
    )
    kcut: float | None = Field(default=None, gt=0, description="band limit of the kinetic energy")
    substeps: Annotated[int | Literal["auto"], PlainValidator(_auto)] = Field(
        default="auto", description="steps per frame; auto: as many as convergence needs"
    )
    tolerance: float = Field(
        default=0.02, gt=0, le=0.5, description="largest relative L2 error of the last frame under halving the step"
    )


class CurriculumTable(Table):
    """`[curriculum]`: what the students learn from."""

    preset: Literal["default", "quick", "paper-demo", "paper-full", "none"] = Field(
        default="default", description="default: 96 drawn runs; quick: 32; paper-demo: 567; paper-full: 2646"
    )
    runs: int | None = Field(default=None, ge=1, le=100_000, description="of the drawn presets, default and quick")
    items: list[CaseTable] = Field(default=[], max_length=10_000, description="runs of your own, added to the preset")
    without: list[Process] = Field(default=[], description="physical processes to leave out")
    frames: int | None = Field(default=None, ge=8, le=100_000, description="frames of a run; 400, the paper's sets 500")
    frame_step: float = Field(default=0.1, gt=0, le=10, description="time between frames")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="seed of drawn runs")
    cache: PathText | None = Field(default=None, description="folder to keep the frames in, and to stream them from")


class StudentTable(KindTable):
    """`[[students]]`: an emulator and how it is trained; its options are keys too, see ``core.emulators``."""

    ENTRIES: ClassVar[Mapping[str, Any]] = EMULATORS
    NOUN: ClassVar[str] = "student"

    kind: Annotated[str, named(EMULATORS)] = Field(
        default="unitary",
        description="; ".join(f"{name}: {kind.title}" for name, kind in EMULATORS.items()),
    )
    name: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=40, description="its name"
    )
    steps: int | None = Field(default=None, ge=1, le=100_000_000, description="first-order steps")
    batch: int | None = Field(default=None, ge=1, le=1_000_000, description="boxes or windows per step")
    learning_rate: float | None = Field(default=None, gt=0, le=10, description="largest learning rate")
    polish: int | None = Field(default=None, ge=0, le=1000, description="unitary: Gauss-Newton steps at the end")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="seed of weights and batches")

    def options(self) -> dict[str, Any]:
        """Options of the model that the study sets."""
        given = {name: self.key(name) for name in EMULATORS[self.kind].keys}
        return {name: value for name, value in given.items() if value is not None}


class TrainingTable(Table):
    """`[training]`: for all students."""

    recipe: Literal["desk", "paper"] = Field(
        default="desk", description="paper: the number of steps of arXiv 2203.10200 (hours; use an accelerator)"
    )


# The tags stand in angle brackets so that messages can leave them out of a key path.
_Own = Annotated[list[CaseTable], Field(min_length=1, max_length=10_000)]
Cases = Annotated[
    Annotated[Literal["paper"], Tag("<name>")] | Annotated[_Own, Tag("<list>")],
    Discriminator(lambda value: "<list>" if isinstance(value, list) else "<name>"),
]


class JudgeTable(Table):
    """`[evaluate]`: the landscapes students are judged by."""

    cases: Cases = Field(default="paper", description="paper: the suite of 24; or a list of cases")
    frames: int = Field(default=400, ge=1, le=100_000, description="predicted frames")
    three_point: bool = Field(default=True, description="compare with the paper's own three-point solver as well")
    tolerance: float = Field(
        default=0.005,
        gt=0,
        le=0.1,
        description="largest error of the reference's time step; it is refined to a tenth of the best student's error",
    )
    speed: bool = Field(default=True, description="time students and solver at equal accuracy")


class QuestionsTable(Table):
    """`[diagnose]`: what a student learned."""

    enabled: bool = Field(default=True, description="ask about symmetries, dispersion and transmission")
    along_training: bool = Field(default=True, description="also while it is trained")


class ImportanceTable(Table):
    """`[importance]`: leave physical processes out of the curriculum."""

    seeds: int = Field(default=0, ge=0, le=100, description="seeds per process; 0: not asked; error bars need 3")
    students: list[str] = Field(default=[], description="names of students to ask; default: the first")
    processes: list[Process] = Field(default=[], description="default: all that occur")
    steps: int | None = Field(default=None, ge=1, le=10_000_000, description="first-order steps of each training")


class EmulationOutput(Table):
    """`[output]`: where results go."""

    dir: PathText | None = Field(default=None, description="run directory (default runs/<name of the study file>)")
    title: str | None = Field(default=None, min_length=1, max_length=200, description="title of the report")
    report: bool = Field(default=True, description="write report.html")
    animations: int = Field(default=2, ge=0, le=24, description="animated cases per student in the report")


class EmulationSpec(Table):
    """A study of kind "emulation": a teacher, a curriculum, students, and what they are asked.

    Raises:
        pydantic.ValidationError: for a value or a combination of values that cannot be used.
    """

    kind: Literal["emulation"] = Field(default="emulation", description="what to compute: emulators of dynamics")
    grid: GridTable = Field(default=GridTable(), description="the periodic box")
    teacher: TeacherTable = Field(default=TeacherTable(), description="the solver that makes the frames")
    curriculum: CurriculumTable = Field(default=CurriculumTable(), description="what the students learn from")
    students: list[Annotated[SerializeAsAny[StudentTable], of_kind(StudentTable)]] = Field(
        default=[StudentTable.of("unitary")()], min_length=1, max_length=100, description="emulators to train"
    )
    training: TrainingTable = Field(default=TrainingTable(), description="for all students")
    evaluate: JudgeTable = Field(default=JudgeTable(), description="the landscapes students are judged by")
    diagnose: QuestionsTable = Field(default=QuestionsTable(), description="what a student learned")
    importance: ImportanceTable = Field(default=ImportanceTable(), description="which processes matter")
    output: EmulationOutput = Field(default=EmulationOutput(), description="where results go")
    run: RunTable = Field(default=RunTable(), description="the study as a whole")

    def names(self) -> list[str]:
        """Names of the students; kinds where the study names none, numbered when they repeat."""
        kinds = [student.name or student.kind for student in self.students]
        counted = [f"{k}-{kinds[: i + 1].count(k)}" if kinds.count(k) > 1 else k for i, k in enumerate(kinds)]
        return [student.name or name for student, name in zip(self.students, counted, strict=True)]

    @model_validator(mode="after")
    def _fits_together(self) -> EmulationSpec:
        if found := [*_grid(self), *_students(self), *_runs(self), *_importance(self)]:
            raise PydanticCustomError("together", "keys do not fit together", {"problems": found})
        return self


def _grid(spec: EmulationSpec) -> Iterator[Problem]:
    grid, teacher = spec.grid, spec.teacher
    edge = math.pi * grid.n / grid.length
    if teacher.kcut is not None and teacher.kcut > edge:
        yield Problem(("teacher", "kcut"), f"kcut = {teacher.kcut} is not possible", f"the grid ends at {edge:.4g}")
        return
    if teacher.method == "exact" and grid.n > 4096:
        yield Problem(("teacher", "method"), "exact is not possible here", "it takes at most 4096 grid points")
    if isinstance(teacher.substeps, int) and teacher.method != "exact":
        k = min(edge, teacher.kcut or edge)
        top = (1 - math.cos(k * grid.length / grid.n)) * (grid.n / grid.length) ** 2
        top = top if teacher.laplacian == "fd2" else k**2 / 2
        drift = 1.0 if teacher.method == "strang" else 0.434336666566456  # the largest coefficient of T
        limit = 2 * math.pi / (top * drift)
        step = spec.curriculum.frame_step / teacher.substeps
        if step >= limit:
            yield Problem(
                ("teacher", "substeps"),
                f"the time step {step:.4g} is beyond the resonance limit",
                f"steps must stay below 2 pi / T_max = {limit:.4g}",
                f'substeps = "auto", or at least {math.ceil(spec.curriculum.frame_step / limit / 0.8)}',
            )


def _students(spec: EmulationSpec) -> Iterator[Problem]:
    for index, student in enumerate(spec.students):
        path = ("students", str(index))
        if student.polish and not EMULATORS[student.kind].polish:
            yield Problem(
                (*path, "polish"), f"{student.kind} cannot be polished", "it has too many weights", "leave it out"
            )
        for key in ("window", "taps"):
            value = student.key(key)
            if value is not None and value > spec.grid.n:
                why = f"the grid has {spec.grid.n} points"
                yield Problem((*path, key), f"a window of {value} points is larger than the box", why)
        if spec.grid.n < (least := EMULATORS[student.kind].window) and student.key("window") is None:
            yield Problem((*path, "window"), f"a window of {least} points is larger than the box", f"n = {spec.grid.n}")
    names = spec.names()
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(("students", str(index), "name"), f"two students are called {name}", "names are unique")


def _runs(spec: EmulationSpec) -> Iterator[Problem]:
    if spec.curriculum.preset == "none" and not spec.curriculum.items:
        yield Problem(("curriculum", "items"), "the curriculum is empty", 'preset = "none" and no items')
    if spec.curriculum.runs is not None and spec.curriculum.preset not in ("default", "quick"):
        why = "the paper's sets are given" if spec.curriculum.preset != "none" else "there is nothing to draw"
        yield Problem(("curriculum", "runs"), f"runs means nothing beside {spec.curriculum.preset}", why)
    if spec.curriculum.preset != "none" and spec.grid.length != 100:
        yield Problem(
            ("grid", "length"), f"length = {spec.grid.length:g} does not fit the curriculum",
            "the presets are made for a box of length 100", 'length = 100, or preset = "none" with items of your own',
        )  # fmt: skip
    edge = math.pi * spec.grid.n / spec.grid.length
    fastest = math.sqrt(18) + 2 if spec.curriculum.preset != "none" else 0.0
    for case in spec.curriculum.items:
        fastest = max([fastest, *(math.sqrt(2 * one.e0) + 2 / one.s0 for one in case.packet)])
    if spec.teacher.kcut is not None and spec.teacher.kcut < min(fastest, edge):
        why = f"packets hold momenta up to {fastest:.3g}, which would move as if they had those of kcut"
        yield Problem(("teacher", "kcut"), f"kcut = {spec.teacher.kcut:g} is too low", why, f"at least {fastest:.3g}")
    if spec.curriculum.preset != "none" and edge < math.sqrt(18) + 2:
        yield Problem(
            ("grid", "n"), f"n = {spec.grid.n} is too coarse for the curriculum",
            f"its packets hold momenta up to {math.sqrt(18) + 2:.3g}, the grid ends at {edge:.3g}", "n = 1024",
        )  # fmt: skip
    tables: list[tuple[tuple[str, ...], list[CaseTable]]] = [(("curriculum", "items"), spec.curriculum.items)]
    if isinstance(spec.evaluate.cases, list):
        tables.append((("evaluate", "cases"), spec.evaluate.cases))
    for path, cases in tables:
        names = [case.name for case in cases]
        for index, case in enumerate(cases):
            here = (*path, str(index))
            if case.name in names[:index]:
                yield Problem((*here, "name"), f"two cases are called {case.name}", "names are unique")
            yield from _packets(here, case, spec.grid, edge)
            yield from _shapes(here, case)


def _packets(path: tuple[str, ...], case: CaseTable, grid: GridTable, edge: float) -> Iterator[Problem]:
    for number, packet in enumerate(case.packet):
        reach = math.sqrt(2 * packet.e0) + 2 / packet.s0
        here = (*path, "packet", str(number))
        if reach > edge:
            yield Problem(
                here, f"the packet of {case.name} is too fast for the grid: it holds momenta up to {reach:.4g}",
                f"the grid carries momenta up to pi / dx = {edge:.4g}", "more grid points, a wider packet, less energy",
            )  # fmt: skip
        if not 0 <= packet.x0 <= grid.length:
            why = f"x0 = {packet.x0:g}; the box runs from 0 to {grid.length:g}"
            yield Problem((*here, "x0"), f"the packet of {case.name} starts outside the box", why)
        if 8 * packet.s0 > grid.length:
            yield Problem(here, f"the packet of {case.name} is wider than the box", "8 s0 must fit into it")


def _shapes(path: tuple[str, ...], case: CaseTable) -> Iterator[Problem]:
    for number, table in enumerate(case.potential):
        needs, takes = SHAPES[table.kind]
        given = table.given()
        here = (*path, "potential", str(number))
        for key in given:
            if key not in needs + takes:
                fix = near(key, needs + takes) or f"keys of {table.kind}: {', '.join(needs + takes) or 'none'}"
                yield Problem((*here, key), f"{table.kind} has no number {key}", fix=fix)
        missing = [key for key in needs if key not in given]
        if missing:
            yield Problem(here, f"{table.kind} of {case.name} needs {' and '.join(missing)}")


def _importance(spec: EmulationSpec) -> Iterator[Problem]:
    names = spec.names()
    for name in spec.importance.students:
        if name not in names:
            why = f"students: {', '.join(names)}"
            yield Problem(("importance", "students"), f"there is no student {name}", why, near(name, names))
