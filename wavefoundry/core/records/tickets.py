"""Records of tickets: rounds of pruning, masks on their own, jumps, laws."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wavefoundry.core.records.common import Convergence, Cost, Judged, Lattice, Number, Record, Seen, Summary


class System(Lattice):
    """The Hamiltonian of the tickets."""

    sites: int = Field(description="number of spins")  # pyright: ignore[reportIncompatibleVariableOverride]
    extent: list[int] = Field(description="edges, `[L]` or `[Lx, Ly]`")
    periodic: bool = Field(description="whether edges meet")  # pyright: ignore[reportIncompatibleVariableOverride]
    couplings: dict[str, float] = Field(description="by name")


class RoundReference(Record):
    """What errors are taken against."""

    energy: Number = Field(description="its value")
    kind: str = Field(description='`"exact"` (closed form, Lanczos), `"given"`, `"none"`')


class Round(Judged):
    """One round of pruning; round 0 is the dense network."""

    round: int = Field(description="its number")
    n: int = Field(description="surviving prunable weights")
    rho: float = Field(description="n per spin")
    density: float = Field(description="share of the prunable weights that survives")
    alive_neurons: dict[str, int] = Field(default={}, description="by layer")
    energy: Number = Field(description="full sum, or mean local energy")
    energy_error: Number = Field(description="standard error, 0 for a full sum")
    energy_per_site: Number = Field(None, description="`energy` / sites")
    relative_error: Number = Field(None, description="against `reference`")
    delta_per_site: Number = Field(None, description="(E - E₀) / sites")
    variance_per_site: Number = Field(None, description="⟨(H - E)²⟩ / sites")
    v_score: Number = Field(None, description="as of a point of a diagram")
    r_hat: Number = Field(None, description="as of a point of a diagram")
    ess: Number = Field(None, description="as of a point of a diagram")
    fidelity_previous: Number = Field(None, description="abs(⟨ψ|ψ'⟩)² with the round before")
    fidelity_dense: Number = Field(None, description="the same with round 0")
    observables: dict[str, Number] = Field(
        default={}, description="`m_z`, `abs_m`, `m2`, `term_NAME`; `m_x`, or `star` and `plaquette`"
    )
    observable_errors: dict[str, Number] = Field(default={}, description="standard errors, 0 for a full sum")
    convergence: Convergence | None = Field(
        None,
        description="the slope of the energy over the last fifth of its training: `gain`, its standard `error`, "
        "`converged`; null for trainings of fewer than ten steps",
    )
    steps: int | None = Field(None, description="of its training")
    rollbacks: int | None = Field(None, description="steps that were taken back")
    cost: Cost | None = Field(None, description="resources of the round")


class Isolated(Record):
    """Masks of one round trained on their own. Deterministic experiments have one seed."""

    round: int = Field(description="its number")
    n: int = Field(description="weights")
    variant: str = Field(description="which experiment")
    steps: int = Field(description="of each training")
    errors: list[Number] = Field(description="relative, of all seeds")
    energies: list[Number] = Field(description="of all seeds")
    mean: Number = Field(description="geometric, of the errors")
    log_error: Number = Field(description="standard error of the mean of their logarithm")
    rollbacks: int = Field(description="steps that were taken back, of all seeds")
    verdicts: list[str] = Field(description="of all seeds")
    converged: list[bool | None] = Field(description="of all seeds")


class Jump(Record):
    """A jump of the error."""

    before: int = Field(alias="from", description="weights before it")
    to: int = Field(description="weights after it")
    round: int = Field(description="that ends it")
    error_before: Number = Field(description="relative")
    error_after: Number = Field(description="relative")
    error_longer: Number = Field(description="the same after more steps")
    confirmed: bool = Field(description="whether it stays a jump then")


class Transferred(Judged):
    """A ticket at other couplings."""

    couplings: dict[str, float] = Field(description="by name")
    n: int = Field(description="weights")
    mask: str = Field(
        description='`"dense"`, `"ticket"`, or `"random"`: as many weights at random, trained at home as long '
        "as a round"
    )
    energy: Number = Field(None, description="there")
    energy_error: Number = Field(None, description="standard error")
    relative_error: Number = Field(None, description="against the exact energy there")
    variance_per_site: Number = Field(None, description="as of a round")
    convergence: Convergence | None = Field(None, description="as of a round")


class Onset(Record):
    """The confirmed jump with the lowest fidelity."""

    n: int = Field(description="weights before it")
    next_n: int = Field(description="weights after it")
    rho: float = Field(description="`n` per spin")
    ratio: Number = Field(description="of the errors, after more steps and before")
    fidelity: Number = Field(description="with the round before")
    dip_over_usual: Number = Field(description="fidelity lost over that of the rounds around")
    changes: dict[str, Number] = Field(description="of observables")


class Cut(Record):
    """Is it a transition?"""

    word: str = Field(description='`"first-order-like"`, `"steep, not decided"`, `"smooth"` or `"not looked at"`')
    n: int | None = Field(None, description="weights before the cut it is about")
    next_n: int | None = Field(None, description="weights after it")
    round: int | None = Field(None, description="that ends it")
    growth: Number = Field(None, description="of the error there; null where the error before is no more than rounding")
    expected: Number = Field(None, description="growth that the power law around makes one expect")
    signs: dict[str, Seen] = Field(
        default={}, description="`kink`, `fidelity`, `observables`, `training`, `seeds`, each `{seen, why}`"
    )
    reasons: list[str] = Field(default=[], description="in words")


class Law(Record):
    """A conjectured onset beside the one that was found."""

    law: str = Field(description="its name")
    predicted: int = Field(description="weights")
    found: list[int] | None = Field(description="`[next_n, n]`")
    holds: bool | None = Field(description="whether it lies between the two")


class Intervals(Record):
    """Bootstrap intervals of a fit, two ends each; null where no draw could be fitted."""

    boundaries: list[list[Number]] = Field(description="of the boundaries")
    exponents: list[list[Number]] = Field(description="of the exponents")
    level: float = Field(description="share of the draws in them")


class Fit(Record):
    """Three segments of the error against n, straight in double-logarithmic scale."""

    boundaries: list[float] = Field(default=[], description="between them, ascending in n")
    exponents: list[float] = Field(default=[], description="of the power laws, one per segment")
    intervals: Intervals | None = Field(None, description="of `boundaries` and `exponents`, at `level`")
    residual: Number = Field(None, description="root mean square, of natural logarithms")
    names: list[str] = Field(default=["first", "second", "third"], description="of the segments")
    left_out: int | None = Field(None, description="rounds whose error is that of the optimiser")


class Unit(Record):
    """A unit of the network that is not empty."""

    unit: int = Field(description="its number")
    sites: list[int] = Field(description="that it sees")
    weights: list[Number] = Field(description="one per site")
    kind: str = Field(
        description='`"bond"`, `"plaquette"`, `"star"`, `"site"`, `"part of a plaquette"`, `"other"`, or a set of the '
        "model's own"
    )
    parity: int = Field(description="product of the signs of its weights")
    coupling: Number = Field(None, description="of the product of its spins; null where that was not worked out")


class BondCoupling(Record):
    """What all units together say of a bond."""

    sites: list[int] = Field(description="of the bond")
    strength: Number = Field(alias="J", description="coupling of both spins in log ψ")


class Kinds(Record):
    """The units of a round by kind."""

    n: int | None = Field(None, description="weights")
    kinds: dict[str, int] = Field(default={}, description="units by kind")
    covered: dict[str, list[int]] = Field(
        default={}, description="by kind, sets of sites with a unit of exactly these, and all sets"
    )


class Explained(Kinds):
    """What the surviving units stand for."""

    units: list[Unit] = Field(default=[], description="those that are not empty")
    bond_couplings: list[BondCoupling] = Field(default=[], description="summed over all units")
    odd_plaquettes: list[int] = Field(default=[], description="units of full plaquettes of odd parity, and all of them")
    by_round: list[Kinds] = Field(default=[], description="`n`, `kinds`, `covered` of every round with few weights")


class TicketsSummary(Summary):
    """The result of a study of kind `tickets`."""

    kind: Literal["tickets"] = Field(description='kind of study: `"tickets"`')
    system: System | None = Field(
        None, description="`model`, `sites`, `extent`, `periodic`, `couplings` by name, `lattice`, `title`"
    )
    parameters: dict[str, int] = Field(default={}, description="`total` weights, and how many of them are `prunable`")
    structure: str | None = Field(
        None,
        description="a sum of the terms of the Hamiltonian and of the layers of the network: equal for all seeds of a "
        "study, and different where two studies differ in these",
    )
    reference: RoundReference | None = Field(
        None,
        description='`energy` that errors are taken against, and its `kind`: `"exact"` (closed form, '
        'Lanczos), `"given"`, `"none"`',
    )
    energy_by: str | None = Field(None, description='`"full sum"` or `"samples"`')
    rounds: list[Round] = Field(description="one [record per round](#a-round); round 0 is the dense network")
    isolation: list[Isolated] = Field(
        default=[],
        description="one record per isolated round and variant: `round`, `n`, `variant`, `steps`, `errors` "
        "and `energies` of all seeds, `mean` (geometric) of the errors, `log_error` (standard "
        "error of the mean of their logarithm), `rollbacks`, `verdicts`, `converged`. "
        "Deterministic experiments have one seed",
    )
    jumps: list[Jump] = Field(
        default=[],
        description="jumps of the error: `from`, `to` (weights), `round`, `error_before`, `error_after`, "
        "`error_longer`, `confirmed`",
    )
    transfer: list[Transferred] = Field(
        default=[],
        description='`couplings`, `n`, `mask` (`"dense"`, `"ticket"`, or `"random"`: as many weights at '
        "random, trained at home as long as a round), energies, errors, `convergence` and the "
        "verdict",
    )
    fit: Fit = Field(
        default_factory=lambda: Fit.model_validate({}),
        description="three segments of the error: `boundaries` (ascending in n), `exponents`, `intervals` (of both, at "
        "`level`), `residual`, `names`, `left_out` (rounds whose error is that of the optimiser); empty without a "
        "reference, or with too few rounds",
    )
    onset: Onset | None = Field(
        None,
        description="the confirmed jump with the lowest fidelity: `n`, `next_n`, `rho`, `ratio`, `fidelity`, "
        "`dip_over_usual`, `changes` of observables; null without one, and for a smooth hunt",
    )
    transition: Cut | None = Field(
        None,
        description='is it a transition? `word`: `"first-order-like"`, `"steep, not decided"`, `"smooth"` or '
        '`"not looked at"`; `n`, `next_n`, `round` of the cut it is about, `growth` of the error '
        "there and the growth that the power law around makes one `expected`; `signs`: `kink`, "
        "`fidelity`, `observables`, `training`, `seeds`, each `{seen, why}` (`seen` is null where "
        "it is not known); `reasons`",
    )
    laws: list[Law] = Field(default=[], description="`law`, `predicted` (weights), `found` (`[next_n, n]`), `holds`")
    explain: Explained = Field(
        default_factory=lambda: Explained.model_validate({}),
        description="of the network before the onset (else of the last round): `n`, `units` (`unit`, `sites`, "
        "`weights`, `kind`, `parity`, `coupling`), `kinds`, `covered`, `bond_couplings` (`sites`, `J`), "
        "`odd_plaquettes` (`[odd, all]`); `by_round`; empty where the network is not one dense layer",
    )
    verdict: str | None = Field(None, description="`transition` as one sentence")
    hunt_cost: Cost | None = Field(None, description="resources of the rounds alone")
