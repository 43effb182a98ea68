"""What records of every kind of study share: numbers that may be missing, verdicts, costs, the form of a summary."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from wavefoundry.core.verdict import Answer

Number = float | None
"""JSON holds no NaN and no infinity: what is missing or not finite is null."""
Status = Literal["complete", "partial", "failed", "unfinished"]


class Record(BaseModel):
    """A JSON object with known fields; those of a newer release pass unread."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, protected_namespaces=(), defer_build=True)


class Cost(Record):
    """Resources, processes of workers included, up to what had been saved."""

    cpu_seconds: float = Field(description="processor time of the process, all threads")
    wall_seconds: Number = Field(None, description="time on the wall")
    compile_seconds: Number = Field(None, description="wall time spent in XLA, part of `wall_seconds`")
    compilations: int | None = Field(None, description="programs compiled or loaded from the compile cache")
    saved_seconds: Number = Field(
        None, description="of compiling that programs kept from earlier runs made unnecessary"
    )
    tracing_seconds: Number = Field(
        None, description="wall time before that of XLA, in which JAX traced and translated programs"
    )


class Answers(Record):
    """One answer to each of the three questions."""

    sampled: Answer = Field(description="is the error bar right for this state?")
    state: Answer = Field(description="is the state near an eigenstate, and had its optimisation come to rest?")
    ground: Answer = Field(description="is it the ground state? Only something independent can say so")


class Judged(Record):
    """What has a verdict."""

    verdict: str = Field("", description='`"trusted"`, `"upper bound"`, `"doubtful"` or `"refused"`')
    answers: Answers | None = Field(None, description="to the three questions")
    reasons: list[str] = Field(
        default=[],
        description="what speaks against the number and what for it, in words with figures; the gravest first",
    )
    flags: list[str] = Field(default=[], description="a bare name warns, one that ends in `!` refuses")
    trusted: bool = Field(False, description='`verdict` is `"trusted"`')


class Convergence(Record):
    """Whether an optimisation had come to rest: the slope of the energy over its last fifth."""

    gain: Number = Field(description="by which share of the energy as many steps again would lower it at that slope")
    error: Number = Field(description="standard error of `gain`")
    converged: bool | None = Field(description="whether that is next to nothing")


class Measured(Record):
    """A value and its standard error."""

    value: Number = Field(description="mean")
    error: Number = Field(None, description="standard error")


class Seen(Record):
    """Something that was looked for."""

    seen: bool | None = Field(description="null where it is not known")
    why: str = Field(description="in words")


class Shape(Record):
    """A lattice in words."""

    kind: str = Field(description="its name")
    size: list[int] | int = Field(description="cells along each axis")
    periodic: bool = Field(description="whether edges meet")


class Lattice(Record):
    """The Hamiltonian of a lattice, but for its couplings."""

    model: str = Field(description='`"ising"`, ..., or the name given to `from_netket`, by default `"custom"`')
    sites: int | None = Field(None, description="their number")
    extent: list[int] = Field(default=[], description="edges, `[L]` or `[Lx, Ly]`")
    periodic: bool | None = Field(None, description="whether edges meet")
    lattice: Shape | None = Field(None, description="`kind`, `size`, `periodic`")
    title: str | None = Field(None, description="`[output] title`")


class Summary(Record):
    """The outer form of `summary.json`, the same for every kind of study."""

    version: int = Field(1, alias="schema", description="version of this layout, now 1")
    status: Status = Field(
        description="how the run ended; a run that was stopped has no `summary.json` yet, and is "
        '`"unfinished"` where `inspect` shows what there is of it'
    )
    why: str | None = Field(None, description='where `status` is not `"complete"`: the reason')
    title: str | None = Field(None, description="`[output] title`")
    convention: str | None = Field(None, description="what the energies are energies of, in words")
    cost: Cost | None = Field(None, description="resources of the whole run, all its sessions and processes")
    settings: dict[str, Any] = Field(default={}, description="the study with all defaults, as nested tables")
    versions: dict[str, str] = Field(default={}, description="of the programs that were used, by name")
    hardware: dict[str, Any] = Field(
        default={},
        description="`platform`, `device`, `devices` (there are), `devices_used` (share the samples, on all hosts), "
        "`hosts` (processes in step), `cores`, `machine`, `system`",
    )
    command: str | None = Field(
        None, description="repeats the run from the stored study; absent from results in Python"
    )
    finished: str | None = Field(
        None, description="when the run came to its end, ISO 8601 in UTC; absent from results in Python"
    )


class OtherSummary(Summary):
    """That of a kind of study without types of its own."""

    kind: str = Field(description="kind of study")
