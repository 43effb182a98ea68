"""Records of emulation: teacher, students, cases, importance, speed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from wavefoundry.core.records.common import Cost, Judged, Measured, Number, Record, Summary


class Truth(Record):
    """What a case is compared with."""

    error: Number = Field(description="its relative L2 error at the last frame")
    wanted: Number = Field(None, description="the error that is wanted")
    finer_grid: int | None = Field(None, description="points for one of the student's")


class Outside(Record):
    """Where a case leaves the trained range."""

    flag: str = Field(description="its name")
    why: str = Field(description="in words")


class Agreement(Record):
    """How near some frames are to others."""

    corr_mean: Number = Field(description="correlation, mean over frames")
    mae: Number = Field(description="mean over frames, points and both parts")


class Case(Judged):
    """A landscape with a packet."""

    name: str = Field(description="of the case")
    category: str = Field("", alias="class", description="of the landscape")
    corr_mean: Number = Field(description="correlation, mean over frames")
    corr_final: Number = Field(None, description="at the last frame")
    mae: Number = Field(None, description="mean over frames, points and both parts")
    rel_l2: Number = Field(None, description="relative L2 distance at the last frame")
    rel_l2_mean: Number = Field(None, description="mean over frames")
    norm_drift: Number = Field(None, description="largest deviation of the norm² from 1")
    energy_drift: Number = Field(None, description="largest change over the energy")
    transmission: Number = Field(
        None,
        description="probability behind the landscape, at the last frame before 1 % of it has gone round the box; null "
        "where packets move both ways, start behind it, or are round before they have left it",
    )
    true_transmission: Number = Field(None, description="of the truth")
    frames_followed: int | None = Field(None, description="frames before the correlation falls below 0.99")
    against_three_point: Agreement | None = Field(None, description="`corr_mean`, `mae` against the paper's solver")
    reference: Truth | None = Field(
        None,
        description="its relative L2 `error` at the last frame, the error that is `wanted`, points of the "
        "`finer_grid` for one of the student's",
    )
    out_of_scope: list[Outside] = Field(default=[], description="`flag`, `why`")
    observables: dict[str, dict[str, Any]] = Field(
        default={}, description="`transmission`: `value`, `error`, `exact`, `verdict`, `why`"
    )


class Mean(Agreement):
    """Means over several cases."""

    corr_final: Number = Field(None, description="correlation at the last frame")


class Overview(Record):
    """Means over all cases; one without numbers counts as correlation 0."""

    corr_mean: float = Field(description="correlation, mean over frames")
    corr_worst: float = Field(description="that of the worst case")
    worst_case: str = Field(description="its name")
    corr_final: float = Field(description="correlation at the last frame")
    mae: Number = Field(description="mean over frames, points and both parts")
    norm_drift: Number = Field(description="the largest")
    energy_drift: Number = Field(None, description="the largest")
    classes: dict[str, Mean] = Field(default={}, description="means by class of landscape")
    trusted: int = Field(0, description="how many cases are")
    verdicts: dict[str, int] = Field(default={}, description="how many cases have which")


class Training(Record):
    """How a student was trained."""

    steps: int | None = Field(None, description="of the optimisation")
    batch: int | None = Field(None, description="samples of a step")
    polish: int | None = Field(None, description="steps that looked at many frames in a row")
    seed: int | None = Field(None, description="of weights and batches")
    losses: list[list[Number]] = Field(default=[], description="`[step, loss]`, means over stretches")
    cost: Cost | None = Field(None, description="resources")


class Probe(Record):
    """What a student had learned at one time of its training."""

    step: int = Field(description="of the optimisation")
    residuals: dict[str, Number] = Field(description="by name")


class Scope(Record):
    """What a student has seen."""

    potential_min: float = Field(description="lowest value")
    potential_max: float = Field(description="highest value")
    roughness: list[float] = Field(default=[], description="of the roughest run, by band of wave numbers")
    momentum_max: float = Field(description="all but 1e-4 of the probability lies below")
    runs: int | None = Field(None, description="of the teacher")


class Dispersion(Record):
    """Phases of plane waves in one frame without a potential."""

    k: list[float] = Field(description="wave numbers")
    phase: list[Number] = Field(description="that were learned, radians")
    exact: list[float] = Field(description="k² Δt / 2")
    gain: list[Number] = Field(default=[], description="of the amplitude")


class Mass(Record):
    """The kinetic phase fitted by k²."""

    kinetic_coefficient: Number = Field(description="over the frame step")
    exact: float = Field(0.5, description="its value")
    residual: Number = Field(description="largest deviation, radians")


class Passed(Record):
    """Probability to pass a thin barrier of several heights."""

    energy: float = Field(description="of the packet")
    width: float = Field(description="of the barrier")
    heights: list[float] = Field(description="of the barrier")
    student: list[Number] = Field(description="by the student")
    solver: list[Number] = Field(description="by the solver")
    formula: list[Number] = Field(description="the closed form, averaged over the packet")


class Diagnostics(Record):
    """What a student was asked."""

    residuals: dict[str, Number] = Field(description="by name")
    ratios: dict[str, Number] = Field(description="to the error of one step, by symmetry")
    learned: list[str] = Field(description="symmetries with a ratio below 0.1 that are not built in")
    built_in: list[str] = Field(description="symmetries that hold by construction")
    dispersion: Dispersion | None = Field(None, description="`k`, `phase`, `exact`, `gain`")
    mass: Mass | None = Field(None, description="`kinetic_coefficient`, `exact`, `residual`")
    transmission: Passed | None = Field(None, description="through thin barriers")
    words: list[str] = Field(default=[], description="the findings as sentences")


class Student(Judged):
    """A network that has learned from the teacher; one that could not be trained has `why` and little more."""

    name: str = Field(description="of the study")
    kind: str = Field("", description="of the network")
    status: str = Field(description='`"trained"` or why not')
    why: str | None = Field(None, description="why it could not be trained")
    options: dict[str, Any] = Field(default={}, description="of the network")
    parameters: int | None = Field(None, description="weights")
    train_cpu_seconds: Number = Field(None, description="of the training")
    training: Training | None = Field(None, description="`steps`, `batch`, `polish`, `seed`, `losses`, `cost`")
    probes: list[Probe] = Field(default=[], description="residuals along the training")
    scope: Scope | None = Field(
        None, description="trained range: `potential_min`, `potential_max`, `roughness`, `momentum_max`, `runs`"
    )
    overview: Overview | None = Field(
        None, description="means over cases and classes, `trusted` cases, `verdicts` counted"
    )
    cases: list[Case] = Field(default=[], description="[one record per case](#results)")
    curves: dict[str, list[Number]] = Field(
        default={},
        description="means over cases along the roll-out: `frame`, `corr`, `corr_lowest`, `mae`, `rel_l2`, `norm`",
    )
    diagnostics: Diagnostics | None = Field(
        None, description="symmetry residuals, dispersion, transmission, and what they say in `words`"
    )


class Lost(Record):
    """What is lost without a process."""

    process: str = Field(description="that was left out")
    runs: int = Field(description="that are left")
    on_all: Measured | None = Field(None, description="log10 of losses without over with, all cases")
    on_class: Measured | None = Field(None, description="the same on cases of that process")


class Ranked(Record):
    """Which processes of the curriculum matter for a student."""

    student: str = Field(description="its name")
    kind: str | None = Field(None, description="of its network")
    seeds: int = Field(description="trainings with everything")
    lost_with_everything: Measured | None = Field(None, description="`value`, `error`: 1 - correlation")
    rows: list[Lost] = Field(
        description="`process`, `runs` left, `on_all` and `on_class` (`value`, `error`; log10 of losses "
        "without over with)"
    )
    words: list[str] = Field(default=[], description="the same as sentences")


class Solver(Record):
    """A splitting solver at one setting."""

    kcut: Number = Field(None, description="band limit; null without")
    substeps: int = Field(description="steps of a frame")
    corr_mean: Number = Field(None, description="correlation, mean over cases")
    corr_worst: Number = Field(None, description="that of the worst case")
    mae: Number = Field(description="mean absolute error")
    ms_per_frame: Number = Field(description="CPU milliseconds of a frame and run")


class Timed(Record):
    """What a frame of a student costs."""

    student: str = Field(description="its name")
    ms_per_frame: Number = Field(description="CPU milliseconds of a frame and run")
    mae: Number = Field(description="mean absolute error")
    solver: Solver | None = Field(None, description="the cheapest of at least its accuracy")
    solver_is_faster_by: Number = Field(None, description="ratio of both costs")


class Speed(Record):
    """Students and solvers on the same machine."""

    rows: list[Timed] = Field(default=[], description="students")
    rungs: list[Solver] = Field(default=[], description="all solvers, from cheap to dear")
    cases: list[str] = Field(default=[], description="that were timed")
    batch: int | None = Field(None, description="runs at once")
    precision: str | None = Field(None, description="of the numbers")


class ThreePoint(Mean):
    """The paper's solver against the truth."""

    corr_worst: Number = Field(None, description="correlation of the worst case")


class Truths(Record):
    """What all cases are compared with."""

    error: Number = Field(description="the largest")
    cases: int = Field(description="their number")
    refined: int = Field(description="how many were solved on a finer grid")


class Teacher(Record):
    """The solver that students learn from."""

    curriculum: str | None = Field(None, description="its name")
    runs: int | None = Field(None, description="of the curriculum")
    frames: int | None = Field(None, description="of a run")
    frame_step: Number = Field(None, description="time between frames")
    method: str | None = Field(None, description="of propagation")
    laplacian: str | None = Field(None, description="of the kinetic energy")
    kcut: Number = Field(None, description="band limit")
    substeps: int | None = Field(None, description="of a frame")
    error: Number = Field(None, description="estimated relative L2 error of the last frame")
    cpu_seconds: Number = Field(None, description="of all runs")
    runs_per_second: Number = Field(None, description="speed")
    reference: Truths | None = Field(None, description="`error`, `cases`, `refined`")
    three_point: ThreePoint | None = Field(None, description="the paper's solver against the truth")


class EmulationSummary(Summary):
    """The result of a study of kind `emulation`."""

    kind: Literal["emulation"] = Field(description='kind of study: `"emulation"`')
    grid: dict[str, Any] = Field(default={}, description="`length`, `n`")
    frames: int | None = Field(None, description="of a roll-out")
    teacher: Teacher | None = Field(
        None,
        description="`runs`, `frames`, `substeps`, `error` (estimated relative L2 error of the last frame), "
        "`runs_per_second`, `reference` (largest `error` of the truth, number of `cases`, how many were `refined`), "
        "`three_point` (the paper's solver against the truth)",
    )
    students: list[Student] = Field(description="one record per student")
    importance: list[Ranked] = Field(
        default=[], description="`student`, `seeds`, `rows` with `on_all` and `on_class` (`value`, `error`)"
    )
    speed: Speed | None = Field(
        None, description="`rows`: each student with the cheapest solver of at least its accuracy; `rungs`: all solvers"
    )
    words: list[str] = Field(default=[], description="the findings as sentences")
