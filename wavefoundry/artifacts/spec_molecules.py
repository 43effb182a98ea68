"""Study files of kind "molecules": tables, presets, and the rules that tie their keys together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from wavefoundry.artifacts import spec_geometry
from wavefoundry.artifacts.spec_geometry import MoleculeTable, Named
from wavefoundry.artifacts.spec_tables import PathText, SampledRunTable, Table
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import Problem

Unit = Literal["bohr", "angstrom"]
PAPER_ELEMENTS = {"H", "C", "N", "O"}
"""Elements the published network describes."""


class FamilyTable(Table):
    """What the tables that name molecules share."""

    unit: Unit = Field(default="bohr", description="of positions and lengths; XYZ files are in Angstrom")


class MoleculesTrainTable(FamilyTable):
    """`[train]`: the molecules the model learns from, all in every step, and how."""

    molecules: list[MoleculeTable] = Field(
        default=[], max_length=1000,
        description="molecules and families to train on; none where a stored model is used as it is",
    )  # fmt: skip
    steps: int = Field(default=300, ge=0, le=10_000_000, description="natural-gradient steps")
    hf_steps: int = Field(default=200, ge=0, le=1_000_000, description="steps of the Hartree-Fock pre-training before")
    hf_learning_rate: float = Field(default=3e-3, gt=0, le=1, description="of these (Adam); falls to 0")
    walkers: int = Field(default=256, ge=16, le=1_000_000, description="walkers of each molecule, one sample per step")
    moves: int = Field(default=8, ge=1, le=1000, description="Metropolis moves of every walker between steps")
    burn_in: int = Field(
        default=20, ge=0, le=1_000_000, description="rounds of moves before a training without Hartree-Fock steps"
    )
    drift: bool = Field(default=False, description="Langevin moves, along the gradient, instead of Gaussian ones")
    electrons_per_move: int = Field(default=0, ge=0, le=1000, description="electrons moved at once; 0: all")
    subset: int = Field(
        default=0, ge=0, le=100_000, description="molecules of each compound in a step, widest spread first; 0: all"
    )
    max_age: float = Field(default=1.5, gt=0, le=1000, description="subset: none waits longer than so many rounds")
    learning_rate: float = Field(default=0.05, gt=0, le=10, description="natural-gradient step")
    decay: float = Field(
        default=300.0, gt=0, le=1e9, description="learning rate falls as 1 / (1 + step / decay), at last to 0"
    )
    diagonal_shift: float = Field(default=1e-3, gt=0, le=10, description="added to the diagonal of the solve")
    momentum: float = Field(default=0.95, ge=0, lt=1, description="SPRING momentum; 0 is plain natural gradient")
    norm: float = Field(default=0.2, gt=0, le=100, description="largest norm of an update")
    clip: float = Field(default=5.0, gt=0, le=1000, description="local energies: median +- clip mean deviations")
    laplacian: Literal["loop", "vmap", "folx"] = Field(
        default="folx", description="folx: forward Laplacian; loop: less memory; vmap: all directions at once"
    )
    frame: Literal["principal", "given"] = Field(
        default="principal",
        description="how molecules lie: on their principal axes, so that orientation does not matter; or as given",
    )
    chunk: int = Field(default=8, ge=1, le=1_000_000, description="configurations differentiated at a time")
    block: int = Field(default=10, ge=1, le=10_000, description="steps per compiled block; how often numbers appear")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="seed of every random number of the study")
    warm_start: PathText | None = Field(default=None, description="run directory or saved model to start from")


class ElectronsTable(Table):
    """`[wavefunction]`: the network; no weight belongs to a molecule.

    Sizes left out are those of the preset, with `warm_start` those of the model; larger ones let that grow.
    """

    preset: Literal["small", "paper"] = Field(default="small", description="small: two cores; paper: published size")
    precision: Literal["float32", "float64"] = Field(default="float32", description="precision of the network")
    width: int | None = Field(default=None, ge=1, le=4096, description="features of an electron")
    layers: int | None = Field(default=None, ge=1, le=64, description="exchanges of messages between particles")
    pair: int | None = Field(default=None, ge=1, le=1024, description="features of a pair")
    convolution: int | None = Field(default=None, ge=1, le=1024, description="channels of a message")
    determinants: int | None = Field(default=None, ge=1, le=256, description="determinants in the sum")
    hidden: list[int] | None = Field(default=None, min_length=1, max_length=8, description="orbital network: widths")
    exponents: list[int] | None = Field(
        default=None, min_length=1, max_length=8, description="envelope network: widths"
    )
    jastrow: int | None = Field(default=None, ge=0, le=4096, description="Jastrow width; 0: no Jastrow and no cusp")
    messages: int | None = Field(default=None, ge=0, le=16, description="messages between atoms in the orbital network")
    reach: float | None = Field(default=None, gt=0, le=1e6, description="distance (bohr) beyond which pairs fade")
    nuclear: int | None = Field(
        default=None, ge=0, le=8, description="terms of the Jastrow factor for an electron close to a nucleus; 0: none"
    )

    cusp: bool | None = Field(default=None, description="exact cusp where an electron meets a nucleus")

    def options(self) -> dict[str, Any]:
        """The sizes that the study sets itself."""
        given = self.model_dump(exclude_none=True, exclude={"preset", "precision"})
        return {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}


class MoleculesAdaptTable(FamilyTable):
    """`[adapt]`: other molecules, cheaply."""

    method: Literal["zero-shot", "full"] = Field(
        default="zero-shot", description="zero-shot: no further step; full: all weights, steps for every molecule"
    )
    molecules: list[MoleculeTable] = Field(default=[], max_length=1000, description="molecules to get energies of")
    steps: int = Field(default=100, ge=1, le=1_000_000, description="full: natural-gradient steps for each molecule")
    walkers: int | None = Field(
        default=None, ge=16, le=1_000_000,
        description="full, scratch: walkers of a molecule; by default as many as [train] has in a step for all of its "
        "molecules, at most 512 or those of one; together: those of one",
    )  # fmt: skip
    together: bool = Field(default=False, description="full: one model for all molecules, instead of one for each")
    layers: list[str] = Field(default=[], description='full: weights to tune, as "orbitals*"; [] is all of them')
    learning_rate: float = Field(default=0.02, gt=0, le=10, description="full: natural-gradient step")
    norm: float = Field(default=0.1, gt=0, le=100, description="full: largest norm of an update")
    diagonal_shift: float | None = Field(default=None, gt=0, le=10, description="full: that of [train] by default")
    decay: float | None = Field(default=None, gt=0, le=1e9, description="full: that of [train] by default")
    scratch: bool = Field(default=False, description="train the same network from scratch too, to compare")
    scratch_steps: int | None = Field(
        default=None, ge=1, le=10_000_000,
        description="scratch: at most so many steps; ten times those of full; warm_chain: for the first molecule",
    )  # fmt: skip
    warm_chain: bool = Field(
        default=False,
        description="train along the list too, to compare: the first molecule from nothing, each next from the last",
    )
    seed: int | None = Field(
        default=None, ge=0, le=2**32 - 1, description="of these molecules; by default that of [train]"
    )


class MoleculesEvaluateTable(Table):
    """`[evaluate]`: the final numbers, always from fresh samples."""

    samples: int = Field(default=20_480, ge=256, le=100_000_000, description="samples of each molecule")
    chains: int = Field(default=256, ge=32, le=1_000_000, description="walkers; at least 4 samples from each")
    moves: int = Field(default=10, ge=1, le=10_000, description="Metropolis moves between two samples")
    burn_in: int = Field(default=40, ge=0, le=1_000_000, description="rounds of moves before the first sample")
    trained: bool = Field(default=True, description="evaluate the molecules of [train] too")
    dipole: bool = Field(default=True, description="measure the dipole moment")
    density: bool = Field(default=True, description="measure the electron density along the longest axis")
    forces: bool = Field(default=False, description="measure forces on the nuclei")
    spin: bool = Field(default=False, description="measure the total spin")


class ReferenceTable(Table):
    """`[reference]`: energies to compare with."""

    literature: bool = Field(default=True, description="use exact values and best known bounds where there are any")
    basis: str = Field(
        default="auto", min_length=1, max_length=60,
        description="PySCF: a basis, cbs (extrapolated from triple and quadruple zeta), auto (by size), none",
    )  # fmt: skip
    methods: list[Literal["hf", "ccsd(t)", "fci"]] = Field(
        default=["hf", "ccsd(t)", "fci"], min_length=1, description="what to compute, each where its size allows"
    )


class MoleculesOutput(Table):
    """`[output]`: where results go."""

    dir: PathText | None = Field(default=None, description="run directory (default runs/<name of the study file>)")
    title: str | None = Field(default=None, min_length=1, max_length=200, description="title of the report")
    report: bool = Field(default=True, description="write report.html")
    checkpoint_every: int = Field(default=50, ge=1, le=1_000_000, description="steps between checkpoints")


class MoleculesSpec(Table):
    """A study of kind "molecules": one model trained on many, then applied to others.

    Raises:
        pydantic.ValidationError: for a value or a combination of values that cannot be used.
    """

    kind: Literal["molecules"] = Field(default="molecules", description="what to compute: many molecules, one model")
    train: MoleculesTrainTable = Field(description="what the model learns from")
    wavefunction: ElectronsTable = Field(default=ElectronsTable(), description="the network")
    adapt: MoleculesAdaptTable = Field(default=MoleculesAdaptTable(), description="other molecules")
    evaluate: MoleculesEvaluateTable = Field(default=MoleculesEvaluateTable(), description="the final numbers")
    reference: ReferenceTable = Field(default=ReferenceTable(), description="energies to compare with")
    output: MoleculesOutput = Field(default=MoleculesOutput(), description="where results go")
    run: SampledRunTable = Field(default=SampledRunTable(), description="the study as a whole")

    @property
    def implied(self) -> set[str]:
        """Tables that are those of the model it starts from, where they are left out."""
        left_out = self.train.warm_start is not None and not self.wavefunction.model_fields_set
        return {"wavefunction"} if left_out else set()

    def training(self) -> list[Named]:
        """Molecules to train on."""
        return spec_geometry.expand(self.train.molecules, self.train.unit)

    def targets(self) -> list[Named]:
        """Molecules to adapt to."""
        return spec_geometry.expand(self.adapt.molecules, self.adapt.unit)

    def scratch_steps(self) -> int:
        """Most steps from scratch, with the default resolved."""
        return self.adapt.scratch_steps or 10 * self.adapt.steps

    def tuning_walkers(self) -> int:
        """Walkers of a molecule that is trained alone, with the default resolved.

        A step of the training averages the noise over all its molecules; one molecule with the walkers of one would
        bring more noise into the weights than it removes error.
        """
        one, molecules = self.train.walkers, len(self.training())
        return self.adapt.walkers or max(one, min(512, one * molecules))

    @model_validator(mode="after")
    def _fits_together(self) -> MoleculesSpec:
        if found := list(problems(self)):
            raise PydanticCustomError("together", "keys do not fit together", {"problems": found})
        return self


def problems(spec: MoleculesSpec) -> Iterator[Problem]:
    """All broken rules of a study of kind "molecules", most basic first. Files are not looked at."""
    found = [*spec_geometry.problems("train", spec.train.molecules, spec.train.unit)]
    found += spec_geometry.problems("adapt", spec.adapt.molecules, spec.adapt.unit)
    if found:
        yield from found
        return
    yield from _elements(spec)
    evaluate = spec.evaluate
    if evaluate.samples < 4 * evaluate.chains:
        yield Problem(
            ("evaluate", "samples"),
            f"{evaluate.samples} samples are too few for {evaluate.chains} chains",
            "error bars and R-hat need at least 4 samples from each chain",
            f"at least {4 * evaluate.chains}",
        )
    if not spec.train.molecules and (spec.train.warm_start is None or spec.train.steps):
        why = "only a stored model that is used as it is, with steps = 0, needs none"
        fix = 'molecules = [{ atoms = "Li 0 0 0; H 0 0 3.015" }], or warm_start and steps = 0'
        yield Problem(("train", "molecules"), "there is nothing to train on", why, fix)
    if spec.train.steps == 0 and spec.train.warm_start is None and spec.train.hf_steps == 0:
        yield Problem(("train", "steps"), "nothing is trained", "steps = 0 and hf_steps = 0", "steps = 300")
    if not spec.adapt.molecules and not (evaluate.trained and spec.train.molecules):
        why = "no molecules, and trained = false" if spec.train.molecules else "no molecules in [train] or [adapt]"
        yield Problem(("adapt", "molecules"), "no energy is asked for", why, 'molecules = [{ compound = "LiH" }]')
    for key in ("hidden", "exponents"):
        widths = getattr(spec.wavefunction, key)
        if widths is not None and not all(1 <= width <= 4096 for width in widths):
            yield Problem(("wavefunction", key), f"{key} = {widths} is not possible", "widths from 1 to 4096")


def _elements(spec: MoleculesSpec) -> Iterator[Problem]:
    """The published network knows four elements only."""
    if spec.wavefunction.preset != "paper":
        return
    tables = {"train": spec.train, "adapt": spec.adapt}
    for name, table in tables.items():
        for named in spec_geometry.expand(table.molecules, table.unit, files=False):
            if others := set(named.molecule.symbols) - PAPER_ELEMENTS:
                yield Problem(
                    (name, "molecules"),
                    f"{named.molecule.name} holds {', '.join(sorted(others))}",
                    "the published network describes H, C, N and O",
                    'preset = "small" in [wavefunction]',
                )
                return


PAPER = {
    "wavefunction": {"preset": "paper"},
    "train": {
        "steps": 500_000,
        "hf_steps": 1000,
        "walkers": 2048,
        "moves": 40,
        "burn_in": 50,
        "chunk": 2048,
        "subset": 1,
        "learning_rate": 0.1,
        "decay": 20_000.0,
        "block": 50,
        "frame": "given",
    },
    "adapt": {"steps": 4000, "decay": 6000.0},
    "evaluate": {"samples": 1_024_000, "chains": 2048, "moves": 50, "burn_in": 50},
    "output": {"checkpoint_every": 1000},
}
"""Defaults of the published size, for a GPU."""


def self_contained(spec: MoleculesSpec, where: Callable[[tuple], str]) -> MoleculesSpec:
    """The study with the molecules of XYZ files written out, so that it means the same without them.

    Args:
        spec: the study. where: the place of a key path, for error messages.

    Raises:
        InputError: a file cannot be read, or holds no molecule.
    """
    changed: dict[str, Any] = {}
    for name in ("train", "adapt"):
        table = getattr(spec, name)
        if any(entry.xyz is not None for entry in table.molecules):
            rows = []
            for index, entry in enumerate(table.molecules):
                place = f"{where((name, 'molecules', str(index)))}, key {name}.molecules.{index}.xyz"
                rows += [entry] if entry.xyz is None else _written_out(entry, place)
            changed[name] = table.model_copy(update={"molecules": rows})
    if not changed:
        return spec
    return MoleculesSpec(**(dict(spec) | changed))


def _written_out(entry: MoleculeTable, place: str) -> list[MoleculeTable]:
    """The molecules of files as entries that need none."""
    try:
        found = spec_geometry.expand([entry], "angstrom")
    except InputError as error:
        where = f"{place}: {error.where}" if error.where else place
        raise InputError(error.what, where=where, why=error.why, fix=error.fix) from None
    return [MoleculeTable(**spec_geometry.entry_of(named)) for named in found]
