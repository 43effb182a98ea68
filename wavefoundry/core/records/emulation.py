"""Records of emulation: teacher, students, cases, importance, speed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from wavefoundry.core.records.common import Judged, Number, Record, Summary


class Truth(Record):
    """What a case is compared with."""

    error: Number = Field(description="its relative L2 error at the last frame")
    wanted: Number = Field(None, description="the error that is wanted")
    finer_grid: int | None = Field(None, description="points for one of the student's")


class Outside(Record):
    """Where a case leaves the trained range."""

    flag: str = Field(description="its name")
    why: str = Field(description="in words")


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
    transmission: Number = Field(None, description="of the student")
    true_transmission: Number = Field(None, description="of the truth")
    frames_followed: int | None = Field(None, description="frames before the correlation falls below 0.99")
    against_three_point: dict[str, Number] | None = Field(
        None, description="`corr_mean`, `mae` against the paper's solver"
    )
    reference: Truth | None = Field(
        None,
        description="its relative L2 `error` at the last frame, the error that is `wanted`, points of the "
        "`finer_grid` for one of the student's",
    )
    out_of_scope: list[Outside] = Field(default=[], description="`flag`, `why`")
    observables: dict[str, dict[str, Any]] = Field(
        default={}, description="`transmission`: `value`, `error`, `exact`, `verdict`, `why`"
    )


class Student(Judged):
    """A network that has learned from the teacher; one that could not be trained has `why` and little more."""

    name: str = Field(description="of the study")
    kind: str = Field("", description="of the network")
    status: str = Field(description='`"trained"` or why not')
    why: str | None = Field(None, description="why it could not be trained")
    options: dict[str, Any] = Field(default={}, description="of the network")
    parameters: int | None = Field(None, description="weights")
    train_cpu_seconds: Number = Field(None, description="of the training")
    training: dict[str, Any] | None = Field(None, description="`steps`, `batch`, `polish`, `seed`, `losses`, `cost`")
    probes: list[dict[str, Any]] | None = Field(None, description="residuals along the training")
    scope: dict[str, Any] | None = Field(
        None, description="trained range: `potential_min`, `potential_max`, `roughness`, `momentum_max`, `runs`"
    )
    overview: dict[str, Any] | None = Field(
        None, description="means over cases and classes, `trusted` cases, `verdicts` counted"
    )
    cases: list[Case] | None = Field(None, description="[one record per case](#results)")
    curves: dict[str, list[Number]] | None = Field(
        None, description="means over cases along the roll-out: `frame`, `corr`, `corr_lowest`, `mae`, `rel_l2`, `norm`"
    )
    diagnostics: dict[str, Any] | None = Field(
        None, description="symmetry residuals, dispersion, transmission, and what they say in `words`"
    )


class Ranked(Record):
    """Which processes of the curriculum matter for a student."""

    student: str = Field(description="its name")
    kind: str | None = Field(None, description="of its network")
    seeds: int = Field(description="trainings with everything")
    lost_with_everything: dict[str, Number] | None = Field(None, description="`value`, `error`: 1 - correlation")
    rows: list[dict[str, Any]] = Field(
        description="`process`, `runs` left, `on_all` and `on_class` (`value`, `error`; log10 of losses "
        "without over with)"
    )
    words: list[str] = Field(default=[], description="the same as sentences")


class EmulationSummary(Summary):
    """The result of a study of kind `emulation`."""

    kind: Literal["emulation"] = Field(description='kind of study: `"emulation"`')
    grid: dict[str, Any] = Field(default={}, description="`length`, `n`")
    frames: int | None = Field(None, description="of a roll-out")
    teacher: dict[str, Any] | None = Field(
        None,
        description="`runs`, `frames`, `substeps`, `error` (estimated relative L2 error of the last frame), "
        "`runs_per_second`, `reference` (largest `error` of the truth, number of `cases`, how many were `refined`), "
        "`three_point` (the paper's solver against the truth)",
    )
    students: list[Student] = Field(description="one record per student")
    importance: list[Ranked] = Field(
        default=[], description="`student`, `seeds`, `rows` with `on_all` and `on_class` (`value`, `error`)"
    )
    speed: dict[str, Any] | None = Field(
        None, description="`rows`: each student with the cheapest solver of at least its accuracy; `rungs`: all solvers"
    )
    words: list[str] = Field(default=[], description="the findings as sentences")
