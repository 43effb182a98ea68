"""Records of phase diagrams: what is above their points, transitions, features."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wavefoundry.core.records.common import Cost, Lattice, Measured, Number, Record, Status, Summary
from wavefoundry.core.records.point import Couplings, Point, Pretrained


class System(Lattice):
    """The Hamiltonian of a diagram."""

    couplings: list[str] = Field(default=[], description="names in the order of the terms")


class Crossing(Record):
    """Where the best base changes between neighbours."""

    coupling: str = Field(description="its name")
    value: Number = Field(description="where")
    error: Number = Field(description="of `value`")
    between: list[Couplings] = Field(description="couplings of both points")
    bases: list[int] = Field(description="their numbers")
    fidelity: Number | None = Field(
        None,
        description="of the states at both points, where it is so high that the base changes and the state does not",
    )


class Curve(Record):
    """A quantity along a coupling."""

    quantity: str = Field(description="its name")
    x: list[float] = Field(description="couplings")
    value: list[Number] = Field(description="of the quantity")
    error: list[Number] = Field(description="standard errors")


class Transition(Record):
    """Where one method sees the transition. The shift by the finite size is not in the error."""

    coupling: str | None = Field(description="its name; null where no coupling varies")
    value: Number = Field(description="null where nothing is claimed")
    error: Number = Field(description="of `value`")
    method: str = Field(description="its name")
    verdict: str | None = Field(
        None, description='`"seen"`, `"not seen"`; `"seen"` is no statement about the infinite system'
    )
    why: str | None = Field(None, description="in words")
    curve: Curve | None = Field(None, description="`quantity`, and lists `x`, `value`, `error`")


class Stage(Record):
    """The features of the network at one time of its training."""

    stage: str = Field(description='`"before"`, `"during"`, `"after"`')
    step: int = Field(description="of the optimisation")
    explained: list[Number] = Field(description="shares of the variance")
    correlations: dict[str, dict[str, Measured]] = Field(
        description="of `pc1` and `pc2` with a quantity, in modulus: `value`, `error`"
    )
    points: list[list[Number]] = Field(description="of the picture")


class Features(Record):
    """What the network has learned."""

    samples: int = Field(description="that were looked at")
    couplings: Couplings = Field(description="of the state they are of")
    stages: list[Stage] = Field(description="`stage`, `step`, `explained`, `correlations`, `points`")
    quantities: dict[str, list[Number]] = Field(description="their values at these points")


class Sketch(Record):
    """Features of samples of a point, on the principal axes of the state that it was adapted from."""

    points: list[list[Number]] = Field(description="first and second projections of the samples")
    quantity: str = Field(description="an order parameter of them, by name")
    values: list[Number] = Field(description="its values")


class Range(Record):
    """A number over the seeds."""

    mean: float = Field(description="over the seeds")
    lowest: float = Field(description="smallest value")
    highest: float = Field(description="largest value")


class RivalCost(Record):
    """CPU seconds of a method without compiling, mean over the seeds."""

    start: float = Field(description="of what all points start from")
    point: float = Field(description="of one point after that")
    amortised: float = Field(description="`start` / points + `point`")


class Rival(Record):
    """What one method gave at all points; the pre-training of the study is one of them."""

    kind: str = Field(description='`"transition"` is the pre-training of the study')
    seeds: int = Field(description="how many were run")
    relative_error: list[Range | None] = Field(description="per point; null where no reference is known")
    v_score: list[Range | None] = Field(description="per point")
    energy: list[Number] = Field(description="per point, mean over the seeds")
    energy_error: list[Number] = Field(description="of `energy`: of the samples, and of the seeds")
    against: list[Literal["lower", "equal", "higher"] | None] = Field(
        default=[], description="the energy from the transition against this one's, per point"
    )
    cost: RivalCost = Field(description="`start`, `point`, `amortised`")


class EqualError(Record):
    """When a training from scratch is as low as the adaptation of a point."""

    steps: list[int | None] = Field(description="one per seed, null where never")
    ratio: Number = Field(description="of CPU seconds, from scratch over adaptation")
    at_least: bool = Field(description="whether some training did not get there")


class Baselines(Record):
    """Adaptation from the pre-training against its rivals."""

    method: str = Field("head", description="of the adaptation")
    seeds: list[int] = Field(default=[], description="their places")
    points: list[Couplings] = Field(description="couplings")
    deep: Couplings | None = Field(None, description="where the rival `deep` was pre-trained")
    methods: list[Rival] = Field(description='the pre-training (`"transition"`) first')
    equal_error: list[EqualError] | None = Field(None, description="with the rival `scratch`, per point")
    words: list[str] = Field(default=[], description="a sentence per rival")


class Asked(Record):
    """What one reference gave in all."""

    values: int = Field(description="points that have one")
    failed: int = Field(description="points where it failed")
    cost: Cost = Field(description="its processor time")


class ReferencesCost(Cost):
    """Resources of all references."""

    over_ours: Number = Field(None, description="their processor seconds over those of pre-training and adaptation")


class References(Record):
    """The references of all points together."""

    asked: str | list[str] | None = Field(None, description="`[reference] method`")
    methods: dict[str, Asked] = Field(default={}, description="by name")
    cost: ReferencesCost = Field(description="of all of them")


class DiagramSummary(Summary):
    """The result of a study of kind `diagram`."""

    kind: Literal["diagram"] = Field(description='kind of study: `"diagram"`')
    status: Status = Field(
        description='`"complete"`: every point has an energy. `"partial"`: some have none (flag '
        '`NOT-FINITE!`). `"failed"`: none has. It says nothing about trust: a run whose every '
        "number is refused is complete too, and leaves with exit code 3. A run that was stopped "
        "has no `summary.json` yet"
    )
    verdict: str = Field(
        "",
        description='the worst word over the pre-trained state and all points, `"upper bound"` counting as worse than '
        '`"trusted"`, see [verdicts](#verdicts)',
    )
    verdicts: dict[str, int] = Field(default={}, description="how many points have which word")
    system: System | None = Field(
        None, description="`model`, `sites`, `extent`, `periodic`, `couplings`, `lattice`, `title`"
    )
    parameters: dict[str, int] = Field(
        default={}, description="`total` weights of the network, and those of its `head`"
    )
    symmetry: str | None = Field(
        None,
        description='what the network imposes by construction: `"translations"` (by whole patches, round the '
        'edges), `"translations, up to the edges"` (convolutions with zeros around an open '
        'lattice), or `"none"`; of [symmetric networks](phase-diagrams.md#symmetries) also how '
        "many images stand for the rest. Where the Hamiltonian lacks what is imposed, or "
        "positions were embedded because it does, the log has a `warning`",
    )
    pretrain: Pretrained | None = Field(
        None,
        description="the pre-trained state: all fields of a [point](#a-point), and some [more](#a-pre-trained-state)",
    )
    points: list[Point] = Field(description="one record per point, in the order of the study file")
    bases: list[Pretrained] | None = Field(
        None,
        description="where there are [several bases](phase-diagrams.md#several-bases): their records, as "
        "`pretrain`, which is the first of them",
    )
    crossings: list[Crossing] | None = Field(
        None,
        description="there: where the best base changes between neighbours. `coupling` (its name), `value`, `error`, "
        "`between` (couplings of both points), `bases` (their numbers), `fidelity` where both give one state",
    )
    baselines: Baselines | None = Field(
        None,
        description="with `[baselines]`: `method`, `seeds`, `points` (couplings), `deep`; `methods`, the "
        'pre-training (`"transition"`) first: `kind`, `seeds`, per point `relative_error` and '
        "`v_score` (`mean`, `lowest`, `highest` over the seeds), `energy`, `energy_error`, "
        '`against` (`"lower"`, `"equal"`, `"higher"`: the energy from the transition against this '
        "one's), `cost` (`start`, `point`, `amortised` = start / points + point; CPU seconds "
        "without compiling); `equal_error`, per point the `steps` from scratch after which the "
        "energy was as low (one per seed, null where never), `ratio` of CPU seconds, `at_least`; "
        "`words`, a sentence per rival",
    )
    transition: Transition | None = Field(
        None,
        description="[where the transition is](phase-diagrams.md#where-the-transition-is): `coupling` (its "
        "name), `value`, `error`, `method`; null where no method sees one. The shift by the "
        "finite size is not in the error",
    )
    transitions: list[Transition] | None = Field(
        None,
        description="all methods: the same fields (`value` and `error` null where nothing is claimed), "
        '`verdict` (`"seen"`, `"not seen"`), `why` in words, `curve` (`quantity`, and lists `x`, '
        '`value`, `error`) or null. `"seen"` is no statement about the infinite system',
    )
    overlaps_cost: Cost | None = Field(
        None, description="resources of the fidelities, part of `adapt_cost`; absent without them"
    )
    features: list[Features] | None = Field(
        None,
        description="what the network has learned (runs of study files), one entry for each base: `samples`, "
        "`couplings` of the state they are of, `stages` (`stage`, `step`, `explained` shares of "
        "the variance, `correlations` of `pc1` and `pc2`: {quantity: {value, error}} in modulus, "
        "`points` of the picture), `quantities` (their values at these points)",
    )
    features_along: list[Sketch | None] | None = Field(
        None,
        description="along one coupling, of every point (null: no state): `points`, samples of its state on the first "
        "two principal axes of the state that it was adapted from, `quantity` (an order parameter), `values` (of it)",
    )
    momenta: list[list[float]] | None = Field(
        None,
        description="with structure factors: the momenta that `structure_zz_K` and `structure_spin_K` are "
        "numbered by, in units of 2π along the reciprocal lattice vectors; one of q and -q each",
    )
    adapt_cost: Cost | None = Field(None, description="resources of all adaptations together")
    references: References | None = Field(
        None,
        description="`asked` (`[reference] method`), `methods` (`name: {values, failed, cost}`), `cost` of "
        "all references, in it `over_ours`: their processor seconds over those of pre-training "
        "and adaptation; null where there are none",
    )
