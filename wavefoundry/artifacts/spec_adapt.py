"""The tables of a study file that say how couplings are reached from the base, and what is held against it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wavefoundry.artifacts.spec_tables import PARTS, PROJECTED, SECTOR, Coupling, Points, Table


class TargetTable(Table):
    """`[adapt] target`: when method auto stops climbing; everything that is named has to be met."""

    v_score: float | None = Field(default=None, gt=0, le=1, description="V-score, at most")
    relative_error: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="distance from the reference, at most; without one the V-score stands in",
    )
    energy_error: float | None = Field(
        default=None, gt=0, le=1, description="error bar of the energy, at most, relative to the energy"
    )


Rung = Literal["zero-shot", "head", "blocks", "full"]
RUNGS: tuple[Rung, ...] = ("zero-shot", "head", "blocks", "full")
"""Of method auto, in the order in which they are climbed."""


def one_for_each(given: Any, bases: int) -> str | None:
    """What is wrong with the length of a list that has one entry for each base; None where nothing, or no list, is."""
    if not isinstance(given, list) or len(given) == bases:
        return None
    return f"there {'is one base' if bases == 1 else f'are {bases} bases'}"


APART = 1_000_003
"""Between the seeds of two bases: more than any number of repetitions of a study."""


class AdaptTable(Table):
    """`[adapt]`: every other coupling, cheaply."""

    method: Literal["head", "full", "zero-shot", "auto"] = Field(
        default="head",
        description="head: output layer only, on cached features; full: all weights; zero-shot: nothing; auto: as much "
        "of it as the target asks for",
    )
    points: dict[str, Points] = Field(
        description="value, list or { start, stop, num } per coupling; several couplings make a grid"
    )
    steps: int = Field(default=40, ge=1, le=1_000_000, description="head steps on one pool at most")
    samples: int = Field(default=2048, ge=32, le=10_000_000, description="samples in a pool, held-out ones included")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="natural-gradient step; 0.15 for heads, that of the pre-training for all weights",
    )
    diagonal_shift: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="diagonal of the solve; 0.01 for heads, that of the pre-training for all weights",
    )
    held_out: float = Field(default=0.33, ge=0.05, le=0.9, description="share of each pool that is never trained on")
    ess_min: float = Field(
        default=0.5, gt=0, lt=1, description="re-draw a pool below this effective share of its samples"
    )
    rounds: int = Field(default=4, ge=1, le=1000, description="most pool draws per point")
    tolerance: float = Field(
        default=1e-4, gt=0, le=1, description="relative energy accuracy at which a point is finished"
    )
    full_steps: int = Field(
        default=60, ge=1, le=1_000_000, description="steps per point of method full; auto: of its first training"
    )
    target: TargetTable = Field(
        default=TargetTable(v_score=5e-4, relative_error=5e-4), description="auto: when a point is good enough"
    )
    rungs: list[Rung] = Field(
        default=list(RUNGS), min_length=1, max_length=4, description="auto: what is tried, from cheap to dear"
    )
    last_blocks: int = Field(default=1, ge=1, le=64, description="auto: blocks of the network that rung blocks trains")
    most_steps: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="auto: steps of training per point in all; by default those of the pre-training",
    )
    symmetry: Annotated[str | list[str], PROJECTED] = Field(
        default="none",
        description=f"from adaptation on, project amplitudes on a sector: a list out of {', '.join(PARTS)}",
    )
    sector: Annotated[int | str | list[int | str], SECTOR] = Field(
        default="auto",
        description="number of the sector; auto: at every point the lowest there of those in the pre-trained state; a "
        "list: one for every base",
    )

    seed: int | None = Field(
        default=None, ge=0, le=2**32 - 1, description="of adapting and measuring; by default that of [pretrain]"
    )

    def of_base(self, index: int) -> AdaptTable:
        """The table of one of several bases; seeds are far apart."""
        update: dict[str, Any] = {"sector": self.sector[index]} if isinstance(self.sector, list) else {}
        update |= {} if self.seed is None else {"seed": (self.seed + APART * index) % 2**32}
        return self.model_copy(update=update)


RivalKind = Literal["scratch", "warm-chain", "random-backbone", "deep", "foundation", "foundation-head"]


class BaselinesTable(Table):
    """`[baselines]`: what adaptation from the pre-training is held against, at the same points."""

    kinds: list[RivalKind] = Field(
        default=["scratch", "warm-chain", "random-backbone", "deep"],
        min_length=1,
        max_length=6,
        description="scratch: all weights at every point, as long as the pre-training; warm-chain: all weights from "
        "the neighbour's, full_steps each; random-backbone: heads on an untrained network; deep: pre-trained far away; "
        "foundation: one network that is given the couplings, trained at up to five; foundation-head: then its heads",
    )
    seeds: int = Field(
        default=1, ge=1, le=100, description="repetitions, also of the pre-training they are held against"
    )
    deep: dict[str, Coupling] | None = Field(
        default=None, description="where deep pre-trains; by default the point farthest from [pretrain] at"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_list(cls, data: Any) -> Any:
        """A list stands for its kinds."""
        return {"kinds": data} if isinstance(data, list | tuple) else data
