"""Records of molecules: energies, curves, what a transfer saves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from wavefoundry.core.records.common import Cost, Judged, Measured, Number, Record, Summary


class MoleculeReference(Record):
    """What an energy is compared with."""

    value: float = Field(description="Hartree")
    source: str = Field(description="its name in a sentence")
    kind: str = Field(description='`"exact"`, `"upper bound"`, `"method"`')
    uncertainty: Number = Field(None, description="its own error")
    complete: bool | None = Field(None, description="false: of one small basis")


class ChemistryOf(Record):
    """What quantum chemistry says; Hartree, null where not computed."""

    basis: str | None = Field(None, description="its name")
    hf: Number = Field(None, description="Hartree-Fock")
    ccsd_t: Number = Field(None, description="CCSD(T)")
    fci: Number = Field(None, description="full configuration interaction")
    doubt: str | None = Field(None, description="why none of them is a reference")


class Observed(Record):
    """An observable, with what can be said for it."""

    verdict: str | None = Field(None, description="as of an observable of a diagram")
    why: str | None = Field(None, description="in words; where there is no value, why not")


class Scalar(Observed, Measured):
    """An observable that is one number."""


class Broken(Measured):
    """The part of a vector that the symmetry of the molecule forbids, as it was in the state."""

    z: Number = Field(description="largest of its components over their standard errors")


class Dipole(Scalar):
    """The dipole moment, in debye."""

    vector: list[Number] | None = Field(None, description="its components; those that symmetry forbids are zero")
    vector_error: list[Number] | None = Field(None, description="standard errors of all components")
    unit: str | None = Field(None, description='`"D"`')
    forbidden: bool | None = Field(None, description="whether symmetry forbids all of it")
    broken: Broken | None = Field(None, description="how large what symmetry forbids was in the state")


class Density(Observed):
    """Electrons per bohr along the longest axis; of an atom over the distance from its nucleus."""

    position: list[float] = Field(default=[], description="along the axis, bohr")
    value: list[Number] | None = Field(description="electrons per bohr there")
    error: list[Number] | None = Field(None, description="standard errors")
    nuclei: list[float] = Field(default=[], description="their positions")


class Spin(Scalar):
    """The expectation value of S²."""

    pure: Number = Field(None, description="that of a pure state of the spin")


class Forces(Observed):
    """Forces on the nuclei, Ha/bohr."""

    value: list[list[Number]] | None = Field(description="one row per nucleus")
    error: list[list[Number]] | None = Field(None, description="standard errors")
    unit: str | None = Field(None, description='`"Ha/bohr"`')
    heaviest: Number = Field(None, description="largest share of one sample in an error bar")
    broken: Broken | None = Field(None, description="how large what symmetry forbids was in the state")


class Observables(Record):
    """What was measured of a molecule beside its energy."""

    kinetic: Scalar | None = Field(None, description="kinetic energy, Hartree: `value`, `error`")
    virial: Scalar | None = Field(None, description="`value` of -V/T, 2 for an exact state at equilibrium")
    dipole: Dipole | None = Field(
        None,
        description="moment in debye: `value`, `error`, `vector`, `vector_error`, `unit`; what symmetry forbids is "
        "taken out: `forbidden`, all of it, `broken`: how large it was in the state, `value`, `error`, `z`",
    )
    density: Density | None = Field(
        None,
        description="electrons per bohr along the longest axis, of an atom over the distance from its nucleus: "
        "`position`, `value`, `error`, `nuclei`",
    )
    spin: Spin | None = Field(None, description="`value` of S², `error`, and of a `pure` state")
    forces: Forces | None = Field(
        None,
        description="Ha/bohr for every atom: `value`, `error`, `unit`; `heaviest`, the largest share of one sample in "
        "an error bar; what symmetry forbids, a sum and a torque included, is taken out: `broken`, as for the dipole",
    )


class Copied(Record):
    """A mirrored or turned copy beside the molecule."""

    difference_mha: Number = Field(description="of its energy")
    error_mha: Number = Field(description="standard error of the difference")
    share: Number = Field(description="of effective samples; 1 and no difference where the copy is the same input")


class Molecule(Judged):
    """A molecule by one method."""

    name: str = Field(description="of the study")
    formula: str | None = Field(None, description="sum formula")
    geometry: list[list[str | float]] = Field(default=[], description="`[element, x, y, z]`, bohr")
    length: float | None = Field(None, description="of the scan that it is a point of, bohr")
    charge: int | None = Field(None, description="elementary charges")
    spin: int | None = Field(None, description="2S")
    electrons: int | None = Field(None, description="their number")
    atoms: int | None = Field(None, description="their number")
    method: str = Field(description='`"trained"`, `"zero-shot"`, `"full"`, `"scratch"`, `"warm-chain"`')
    steps: int | None = Field(None, description="made for this molecule")
    energy: Number = Field(description="Hartree; null where local energies were not finite")
    energy_error: Number = Field(None, description="standard error")
    energy_per_atom: Number = Field(None, description="`energy` / atoms")
    variance: Number = Field(None, description="⟨(H - E)²⟩, Hartree²")
    v_score: Number = Field(None, description="electrons × variance / energy²")
    r_hat: Number = Field(None, description="as of a point of a diagram")
    r_hat_limit: Number = Field(None, description="as of a point of a diagram")
    tau: Number = Field(None, description="as of a point of a diagram")
    ess: Number = Field(None, description="as of a point of a diagram")
    samples: int | None = Field(None, description="that it was measured on")
    acceptance: Number = Field(None, description="share of accepted moves")
    heaviest_chain: Number = Field(None, description="largest share of one chain in the squared error bar")
    reference: MoleculeReference | None = Field(
        None,
        description='`value`, `source`, `kind` (`"exact"`, `"upper bound"`, `"method"`), `uncertainty`, '
        "`complete` (false: of one small basis); null where nothing reliable is known",
    )
    chemistry: ChemistryOf | None = Field(
        None,
        description="`basis`, `hf`, `ccsd_t`, `fci` (Ha; null where not computed), `doubt` (why none of them "
        "is a reference)",
    )
    error_mha: Number = Field(None, description="energy - reference, mHa")
    error_mha_error: Number = Field(None, description="its standard error")
    correlation_share: Number = Field(None, description="of the correlation energy that is found, 0 to 1")
    atomisation: Measured | None = Field(None, description="`value`, `error`; Hartree")
    energy_hf_minimal: Number = Field(None, description="Hartree-Fock in the smallest basis")
    observables: Observables = Field(
        default_factory=lambda: Observables.model_validate({}),
        description="each with `verdict` and `why`, see [below](#observables-of-a-molecule)",
    )
    symmetry: dict[str, Copied] | None = Field(
        default={},
        description="`mirrored`, `turned`: `difference_mha` of a copy, `error_mha`, `share` (of effective "
        "samples; 1 and no difference where the copy is the same input); null without an energy",
    )
    cost: Cost | None = Field(None, description="resources of the molecule")


class Level(Record):
    """A transfer at one error."""

    error_mha_per_atom: float = Field(description="the error")
    steps: int | None = Field(description="from the model")
    scratch_steps: int | None = Field(description="from scratch")
    ratio: Number = Field(description="of both")


class Transfer(Record):
    """What a model saves for a molecule of `[adapt]`; steps to 1 mHa per atom."""

    target: str = Field(description="name of the molecule")
    sources: list[str] = Field(alias="from", description="molecules of the training, or the model")
    steps_to_1mha_per_atom: int | None = Field(description="from the model")
    scratch_steps: int | None = Field(description="from scratch")
    scratch_steps_made: int | None = Field(description="how many were made from scratch")
    ratio: Number = Field(description="of steps")
    ratio_at_least: Number = Field(description="where the steps from scratch did not suffice")
    zero_shot_error_mha: Number = Field(description="before any step")
    goal: Number = Field(description="Hartree")
    levels: list[Level] = Field(
        description="the same comparison at 5, 3, 2, 1.5 and 1 mHa per atom: `error_mha_per_atom`, `steps`, "
        "`scratch_steps`, `ratio`"
    )


class Way(Record):
    """What one way to the molecules of `[adapt]` gave and cost, per molecule."""

    method: str = Field(description='`"zero-shot"`, `"full"`, `"scratch"`, `"warm-chain"`')
    molecules: int = Field(description="their number")
    mean_abs_error_mha: Number = Field(description="against their references")
    trusted: int = Field(description="how many are")
    steps: float = Field(description="of a molecule")
    cpu_seconds: float = Field(description="of its training")
    cpu_seconds_with_base: float = Field(description="a share of the model's training included")


class Curve(Record):
    """A training for one molecule."""

    target: str = Field(description="name of the molecule")
    start: str = Field(description='`"transfer"`, `"scratch"`')
    steps: list[int] = Field(description="at which it was looked at")
    energy: list[Number] = Field(description="running means over `window` steps; at step 0 fresh samples")
    error_mha: list[Number] | None = Field(None, description="the same against the reference")
    window: int | None = Field(None, description="steps")


class Spectroscopic(Measured):
    """A number of a potential curve."""

    value: Number = Field(description="from the energies")
    error: Number = Field(description="standard error: of the noise and of the fitted form")
    unit: str = Field(description="bohr, 1/cm, Ha")
    reference: Number = Field(description="from the reference's energies at the same lengths")


class Scan(Record):
    """What a potential curve of at least three lengths says; refused energies are left out."""

    name: str = Field(description="of the molecules")
    method: str = Field(description="of the energies")
    points: int = Field(description="lengths")
    mean_error_mha: Number = Field(description="of the energies")
    offset_free_error_mha: Number = Field(description="mean distance from the mean of the errors")
    length: Spectroscopic | None = Field(description="R_e, from five lengths on")
    frequency: Spectroscopic | None = Field(description="harmonic, of two atoms")
    depth: Spectroscopic | None = Field(description="D_e, with literature energies of the atoms")
    why: str | None = Field(None, description="why there is none of them")


class TrainingCourse(Record):
    """The training of the model."""

    steps: list[int] = Field(description="at the ends of blocks")
    energy: dict[str, list[Number]] = Field(
        description="by molecule, the mean over the block that ends there; null where it was left out"
    )
    variance: dict[str, list[Number]] = Field(default={}, description="by molecule, the same of the variance")
    cost: Cost | None = Field(None, description="up to the end of the training")


class MoleculesSummary(Summary):
    """The result of a study of kind `molecules`; Hartree and bohr."""

    kind: Literal["molecules"] = Field(description='kind of study: `"molecules"`')
    parameters: dict[str, int] = Field(default={}, description="`total` weights of the model")
    trained_on: list[str] = Field(default=[], description="names of the molecules of the training")
    train: TrainingCourse | None = Field(
        None,
        description="`steps`, and by molecule the mean `energy` and `variance` of the block that ends there "
        "(null where it was left out); `cost` up to the end of the training",
    )
    molecules: list[Molecule] = Field(description="one [record per molecule and method](#a-molecule)")
    transfer: list[Transfer] = Field(
        default=[],
        description="one record per molecule of `[adapt]`: `target`, `from`, `steps_to_1mha_per_atom`, "
        "`scratch_steps`, `scratch_steps_made`, `ratio` (or `ratio_at_least`, where the steps "
        "from scratch did not suffice), `zero_shot_error_mha`, `goal` (Ha), `levels` (the same "
        "comparison at 5, 3, 2, 1.5 and 1 mHa per atom: `error_mha_per_atom`, `steps`, "
        "`scratch_steps`, `ratio`)",
    )
    methods: list[Way] = Field(
        default=[],
        description='what every way to the molecules of `[adapt]` gave and cost: `method` (`"zero-shot"`, `"full"`, '
        '`"scratch"`, `"warm-chain"`), `molecules`, `mean_abs_error_mha`, `trusted`, and of each molecule `steps`, '
        "`cpu_seconds` of its training and `cpu_seconds_with_base`, a share of the model's training included",
    )
    scans: list[Scan] = Field(
        default=[],
        description="what every potential curve of at least three lengths says: `name`, `method`, `points`, "
        "`mean_error_mha`, `offset_free_error_mha` (mean distance from the mean of the errors) "
        "and, from five lengths on, `length` (R_e), `frequency` (harmonic, of two atoms), `depth` "
        "(D_e, with literature energies of the atoms): each `value`, `error`, `unit`, `reference` "
        "(from the reference's energies at the same lengths); else `why` not. Refused energies "
        "are left out",
    )
    curves: list[Curve] = Field(
        default=[],
        description='trainings for one molecule: `target`, `start` (`"transfer"`, `"scratch"`), `steps`, '
        "`energy` (running means over `window` steps; at step 0 fresh samples), `error_mha`",
    )
