"""Records of the points of a diagram: energies, observables, references, how they were adapted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from wavefoundry.core.records.common import Convergence, Cost, Judged, Measured, Number, Record

Couplings = dict[str, float]


class Near(Record):
    """A value of an observable by a method that is not exact."""

    value: Number = Field(description="of the method")
    source: str = Field(description="its name in a sentence")


class Observable(Record):
    """An expectation value; its error is of first order where that of the energy is of second, so it has a verdict."""

    value: Number | list[Number] = Field(description="mean; a list of a profile, in older files")
    error: Number | list[Number] = Field(description="standard error")
    exact: Number = Field(None, description="the exact value, where one is known")
    z: Number = Field(None, description="distance from it, or from `reference`, in error bars")
    reference: Near | None = Field(
        None, description="where no exact value is known, that of DMRG or a file: `value`, `source`; absent otherwise"
    )
    drift: Number = Field(
        None,
        description="-2 Cov(O, H), energy × its unit: how fast it changes in imaginary time, zero in an eigenstate; "
        "null where samples do not tell it (`dimer2`, `chirality2`, ...)",
    )
    bias: Number = Field(
        None,
        description="what the state itself may be off, [2 abs(drift) / "
        "Δ](phase-diagrams.md#what-an-observable-may-be-off) with Δ the `gap` of the record, else "
        "its `energy_scale`. Without a drift 2 √V σ(O), σ(O) the standard deviation in abs(ψ)², "
        "or the value itself for squares",
    )
    verdict: str = Field(
        "",
        description='`"trusted"`: agrees with its exact value, and the energy is trusted and its training had '
        'come to rest. `"estimate"`: agrees, but they are not; or no exact value is known, and '
        "the bias is below two error bars (without a drift four) or 5 % of the value. "
        '`"doubtful"`: more than 4 error bars and 1 % from its exact value, or 5 % from a '
        "`reference`; a larger bias; the energy is doubtful; or m² or `structure_peak` of the "
        'same state is refused. `"refused"`: more than 4 error bars and 5 % from the exact value, '
        "or the energy is refused",
    )
    why: str | None = Field(None, description="the reason in words")
    at: str | None = Field(None, description="of `structure_peak`: the momentum; absent otherwise")


class Term(Measured):
    """⟨H_k⟩ of one term of the Hamiltonian."""

    bias: Number = Field(None, description="2 √V σ(H_k)")


class Pool(Record):
    """How the sample sets of head tuning were used."""

    draws: int | None = Field(None, description="sample sets that were drawn for this point")
    ess_min: Number = Field(
        None, description="smallest effective share of a pool's held-out samples under a head tuned on it, 0 to 1"
    )
    samples: int | None = Field(None, description="configurations in a pool")


class Held(Record):
    """What an energy is held against."""

    energy: float = Field(description="its energy")
    kind: Literal["exact", "upper bound", "method"] = Field(
        description='`"upper bound"`: of a variational method; `"method"`: with an error on either side. Neither can '
        "show that an energy below it is wrong"
    )
    method: str | None = Field(None, description="one of the references")
    source: str = Field(description="its name in a sentence")
    uncertainty: Number = Field(None, description="its own error")
    zero: Number = Field(None, description="E_∞, from which relative errors are counted")


class MethodCost(Record):
    """What a reference took."""

    cpu_seconds: Number = Field(description="processor time")
    memory_mib: Number = Field(None, description="of a process of its own at its peak")


class DmrgStage(Record):
    """What one bond dimension gave."""

    bond_dimension: int = Field(description="of the states")
    energy: Number = Field(description="of the last sweep")
    truncation_error: Number = Field(description="weight that was cut off")
    sweeps: int = Field(description="their number")
    rest: bool = Field(description="whether the energy no longer changed")
    change: Number = Field(None, description="of the energy in the last sweep")


class Published(Record):
    """A further published value of a system."""

    energy: Number = Field(description="of the whole system")
    kind: str = Field(description='`"exact"`, `"upper bound"`, `"method"`')
    method: str = Field(description="its name")


class Details(Record):
    """What belongs to the method that gave a value."""

    bond_dimension: int | None = Field(None, description="of the last stage")
    truncation_error: Number = Field(None, description="weight that was cut off in it")
    variance: Number = Field(None, description="of the energy; null where it would take more memory than may be used")
    sweeps: int | None = Field(None, description="of all stages")
    converged: bool | None = Field(None, description="whether the energy had come to rest")
    conserved: str | None = Field(None, description="quantum number that divides the states")
    stages: list[DmrgStage] = Field(default=[], description="the same for every bond dimension")
    states: int | None = Field(None, description="of the largest sector, estimated before")
    sectors: int | None = Field(None, description="of symmetry")
    searched: int | None = Field(None, description="how many of them were searched")
    sector: str | None = Field(None, description="that of the ground state in words")
    degeneracy: int | None = Field(None, description="of the ground state")
    method: str | None = Field(None, description="that a published value was found by")
    source: str | None = Field(None, description="where it was published")
    per_site: Number = Field(None, description="the published number")
    others: list[Published] = Field(default=[], description="further published values of the system")
    file: str | None = Field(None, description="path of the file")


class MethodValue(Record):
    """What one reference says of a point."""

    energy: Number = Field(description="its value; null where there is none, and `why` says the reason")
    error: Number = Field(
        None, description="its own: 0 for exact values, rounding of published ones, the extrapolated distance of DMRG"
    )
    kind: str | None = Field(None, description='`"exact"`, `"upper bound"`, `"method"`')
    difference: Number = Field(
        None, description="(E - `energy`) / abs(`energy` - E_∞), below zero where ours is the lower one"
    )
    source: str | None = Field(None, description="its name in a sentence")
    confirms: bool | None = Field(
        None, description="whether an energy that agrees with it is taken to be the ground state's"
    )
    observables: dict[str, Number] = Field(
        default={},
        description="expectation values by name; those of exact methods are what observables are compared with",
    )
    terms: dict[str, Number] = Field(default={}, description="⟨H_k⟩ per coupling, where the method gives them")
    details: Details | None = Field(
        None,
        description="`ed`: `states` (of the largest sector, estimated before), `sectors`, `searched`, "
        "`sector` of the ground state in words, `degeneracy`. `dmrg`: `bond_dimension`, "
        "`truncation_error`, `variance` (of the energy; null where it would take more memory than "
        "may be used), `sweeps`, `converged`, `conserved`, `sectors`, `stages` (the same for "
        "every bond dimension). `literature`: `method`, `source`, `per_site`, `others` (further "
        "published values of the system). `file`: its path",
    )
    why: str | None = Field(None, description="why it has no value")
    cost: MethodCost | None = Field(
        None, description="`cpu_seconds`; `memory_mib`, of a process of its own at its peak"
    )


class Tried(Record):
    """A sector or a base that was tried for a point."""

    number: int | None = Field(None, description="of the sector")
    index: int | None = Field(None, description="of the base")
    energy: Number = Field(description="that it gave")
    energy_error: Number = Field(description="its standard error")
    v_score: Number = Field(description="its V-score")
    cost: Cost | None = Field(None, description="what it took")


class Behaviour(Record):
    """How a symmetry sector behaves; ±1 only where the group has the operation."""

    momentum: list[float] | None = Field(None, description="along each axis, units of π per cell")
    spin_flip: int | None = Field(None, description="±1")
    rotation: int | None = Field(None, description="±1, a quarter turn about a site")
    mirror: int | None = Field(None, description="±1, of the first axis")


class Sector(Behaviour):
    """The symmetry sector of a projected amplitude."""

    number: int = Field(description="of the sector")
    tried: list[Tried] | None = Field(None, description="where several were")


class Rung(Record):
    """One rung of method `auto`."""

    rung: str = Field(description="its name, as `full-2`")
    steps: int = Field(description="of its training")
    energy: Number = Field(description="that it gave")
    energy_error: Number = Field(description="its standard error")
    v_score: Number = Field(description="its V-score")
    relative_error: Number = Field(None, description="against the reference")
    verdict: str = Field(description="on it")
    missed: str = Field(description="what the target lacked, in words; empty where it was met")
    cost: Cost | None = Field(None, description="what it took")


class Ladder(Record):
    """How far method `auto` climbed."""

    target: dict[str, float] = Field(description="what was asked for")
    reached: bool = Field(description="whether it was met")
    end: str = Field(description="why the climb ended")
    kept: str = Field(description="name of the rung that was kept")
    rungs: list[Rung] = Field(description="all of them")


class Choice(Record):
    """The base that a point was adapted from, of several."""

    index: int = Field(description="of the base")
    zero_shot: list[Number] = Field(description="energies of all bases here, as they are")
    tried: list[Tried] = Field(default=[], description="every adaptation")


def _choice(value: Any) -> Any:
    """Events of a run under way hold the number of the base alone."""
    return {"index": value, "zero_shot": []} if isinstance(value, int) else value


class Point(Judged):
    """A state of the diagram, measured on fresh samples."""

    couplings: Couplings = Field(description="all couplings by name, those that do not vary included")
    method: str = Field("", description='`"head"`, `"blocks"`, `"full"` or `"zero-shot"`')
    energy: Number = Field(None, description="mean local energy (its real part)")
    energy_error: Number = Field(
        None,
        description="standard error. With 32 chains or more: the standard deviation of the chain means over "
        "√chains. With fewer: from blocks longer than the autocorrelation time",
    )
    energy_per_site: Number = Field(None, description="`energy` / sites")
    variance: Number = Field(
        None, description="⟨(H - E)²⟩ in this state, measured [one move around the samples](#the-one-move-v-score)"
    )
    v_score: Number = Field(None, description="N ⟨(H - E)²⟩ / (E - E_∞)², N the number of sites, from the same samples")
    v_score_error: Number = Field(None, description="its standard error")
    v_score_plain: Number = Field(
        None,
        description="the same from the variance of the local energy over samples of abs(ψ)² alone, which does not see "
        "configurations where ψ vanishes and Hψ does not",
    )
    v_score_plain_error: Number = Field(None, description="its standard error")
    r_hat: Number = Field(
        None,
        description="split R-hat of the local energies: the larger one of the rank-normalised and the folded "
        "form; null where it says nothing",
    )
    r_hat_limit: Number = Field(
        None,
        description="what stationary chains of this number, length and autocorrelation explain; above it the "
        "flag is raised",
    )
    tau: Number = Field(
        None,
        description="integrated autocorrelation time in samples, 1 for independent ones. Consecutive samples "
        "of a chain are one sweep apart (one proposed move per site)",
    )
    ess: Number = Field(None, description="effective sample size, samples / `tau`")
    samples: int | None = Field(None, description="samples that it was measured on")
    acceptance: Number = Field(
        None,
        description="share of accepted Metropolis moves; 1 where samples are drawn from the list of all configurations",
    )
    pool: Pool | None = Field(None, description="method `head`: `draws`, `ess_min`, `samples`; null otherwise")
    ladder: Ladder | None = Field(
        None,
        description="method `auto`: `target`, `reached`, `end`, `kept`, `rungs`. `method` is then the kind of the rung "
        "that was kept, `cost` that of all of them",
    )
    base: Annotated[Choice | None, BeforeValidator(_choice)] = Field(
        None, description="of several bases: `index` (that of the point), `zero_shot`, `tried`"
    )
    sector: Sector | None = Field(None, description="where amplitudes are projected in adaptation")
    reference: Held | None = Field(None, description="what the energy is held against; null where nothing is known")
    references: dict[str, MethodValue] = Field(
        default={},
        description="every [reference](#references) by method: `closed-form`, `lanczos`, `ed`, `dmrg`, "
        "`literature`, `file`",
    )
    exact_energy: Number = Field(None, description='energy of `reference` where its `kind` is `"exact"`')
    relative_error: Number = Field(
        None, description="abs(E - E₀) / abs(E₀ - E_∞) with E₀ the reference. The sign is that of `z`"
    )
    z: Number = Field(None, description="(E - E₀) / error")
    observables: dict[str, Observable] = Field(
        default={}, description="by name, see [below](#observables); empty with `[evaluate] observables = false`"
    )
    exact_observables: dict[str, Number | list[Number]] = Field(
        default={}, description="those whose exact value is known; a list of a profile, in older files"
    )
    energy_scale: Number = Field(None, description="abs(E - E_∞) / N")
    gap: Number = Field(
        None,
        description="what neighbouring points say of the gap, see "
        "[the guide](phase-diagrams.md#what-an-observable-may-be-off)",
    )
    terms: dict[str, Term] = Field(
        default={},
        description="`{value, error, bias}` of ⟨H_k⟩ for every coupling, energy / coupling; Σ_k c_k ⟨H_k⟩ = E. At a "
        "stationary point ⟨H_k⟩ = dE/dc_k (Hellmann-Feynman)",
    )
    convergence: Convergence | None = Field(
        None,
        description="of a pre-training and of points of method `full`: `gain`, its `error`, `converged`; null where "
        "nothing was optimised",
    )
    cost: Cost | None = Field(
        None, description="resources of this point; of work shared by several points, an equal share"
    )


class Candidate(Behaviour):
    """A sector that weighs something in the pre-trained state; its energies are those of the projection on it."""

    sector: int = Field(description="its number")
    weight: Number = Field(description="share of the state")
    energy: Number = Field(description="at its own couplings")
    energy_error: Number = Field(description="its standard error")
    terms: dict[str, Number] = Field(default={}, description="⟨H_k⟩ per coupling")
    terms_covariance: list[list[Number]] = Field(default=[], description="of `terms`, in their order")


class Projection(Record):
    """Which sectors amplitudes are projected on, and what they are chosen by."""

    parts: list[str] = Field(description="of the symmetry group")
    images: int = Field(description="of a configuration that the network has to see")
    sector: int = Field(description="the lowest at the couplings of the pre-trained state")
    points: list[list[int]] | None = Field(
        None, description="for each the sectors that cannot be told from the lowest, that one first"
    )
    candidates: list[Candidate] = Field(default=[], description="sectors that weigh something in the state")


class Pretrained(Point):
    """A pre-trained state, a point that others start from. Its `cost` is that of the optimisation."""

    steps: int | None = Field(None, description="of the optimisation")
    trained_together: list[Couplings] | None = Field(
        None, description="couplings of the systems that were trained together; absent of one alone"
    )
    symmetry: Projection | None = Field(
        None,
        description="where amplitudes are projected in adaptation: `parts`; `images`; `sector`, the lowest at "
        "its own couplings; `points`, for each the sectors that cannot be told from the lowest, "
        "that one first; `candidates` with `sector`, `weight`, `energy` and `energy_error` at its "
        "own couplings, `terms` and their covariance `terms_covariance`, from which the energy of "
        "the projection at any couplings follows, and what a point says of its `sector`",
    )
