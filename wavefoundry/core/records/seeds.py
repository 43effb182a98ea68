"""Records of a study over several seeds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wavefoundry.core.records.common import Cost, Number, Record, Summary


class Run(Record):
    """One seed."""

    seed: int = Field(description="its number")
    folder: str = Field(description="of its run")
    status: str = Field(description="how it ended")
    verdict: str = Field(description="its worst word")
    verdicts: dict[str, int] = Field(default={}, description="how many have which")
    reasons: list[str] = Field(default=[], description="why it gave nothing")
    cost: Cost | None = Field(None, description="its resources")


class Compared(Record):
    """One number that every run gives."""

    name: str = Field(description="of the number")
    values: list[Number] = Field(description="one per seed, null where there is none")
    mean: Number = Field(description="over the seeds")
    spread: Number = Field(description="standard deviation between seeds")
    error: Number = Field(description="of the mean: the spread over the root of the number of seeds")
    error_bar: Number = Field(description="what a single seed says of itself, root mean square")
    lowest: Number = Field(description="smallest value")
    highest: Number = Field(description="largest value")
    exact: Number = Field(None, description="the exact value, where one is known")
    left_out: list[int] = Field(default=[], description="places in `values`: refused")
    differ: list[int] = Field(default=[], description="places in `values`: unlike the others")
    verdict: str = Field(description="as of an observable")
    reasons: list[str] = Field(default=[], description="in words")


class SeedsSummary(Summary):
    """The result of a study over several seeds."""

    kind: Literal["seeds"] = Field(description='`"seeds"`')
    of: str = Field(description="the kind of every run")
    verdict: str = Field("", description="the worst word of all quantities")
    seeds: list[Run] = Field(
        description="one record per run: `seed`, `folder`, `status`, `verdict` (its worst word), `verdicts` "
        "(how many have which), `reasons` (why it gave nothing), `cost`"
    )
    quantities: list[Compared] = Field(
        description="one record per number that every run gives: energies and observables of points and "
        "molecules, energies of rounds, correlations of students on every landscape"
    )
