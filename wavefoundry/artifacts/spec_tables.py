"""The tables of a study file: every key with its type, default, bounds and meaning.

Rules that tie several keys together are in ``spec_checks``. No array library is imported here, so a study
file is accepted or refused before anything heavy starts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from wavefoundry.core.expect import MOST_SITES
from wavefoundry.core.hamiltonians import MODELS, Model, Place, turned
from wavefoundry.core.keys import PATH
from wavefoundry.core.lattices import LATTICES, Lattice
from wavefoundry.core.networks import Site
from wavefoundry.core.observables import OBSERVABLES
from wavefoundry.core.words import near


class Table(BaseModel):
    """Base of all tables: unknown keys, wrong types, NaN and infinity are errors; values are fixed."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, data: Any) -> Any:
        """Whole numbers may be written as 1e3; scalars and arrays of NumPy count as numbers and lists."""
        if not isinstance(data, dict):
            return data
        fields = cls.model_fields
        return {key: _whole(value, fields[key]) if key in fields else value for key, value in data.items()}


def _whole(value: Any, field: FieldInfo) -> Any:
    """A value as its field wants it: a float that is whole becomes an int where only whole numbers fit."""
    plain = value.tolist() if hasattr(value, "tolist") else value  # NumPy's, without importing it
    if isinstance(plain, list):
        return [_whole(item, field) for item in plain]
    types = _leaves(field.annotation)
    if any(isinstance(rule, PlainValidator) for rule in field.metadata):
        return plain  # it has rules of its own: the edges of a lattice are counted, not computed
    if type(plain) is float and int in types and float not in types and plain.is_integer() and abs(plain) < 2**63:
        return int(plain)
    return plain


def _leaves(annotation: Any) -> set[Any]:
    """The types an annotation is made of, as int and str of ``int | list[str]``."""
    inner = get_args(annotation)
    return set().union(*map(_leaves, inner)) if inner else {annotation}


def _one_of(rule: str, words: list[Any], accept: Callable[[Any], bool]) -> PlainValidator:
    """Accept listed values, or what ``accept`` takes; a bare union would report one error per branch."""

    def validate(value: Any) -> Any:
        # 0 == False and 1 == True in Python, so the type is compared as well.
        if accept(value) or any(value == word and type(value) is type(word) for word in words):
            return value
        raise PydanticCustomError("choice", "must be {rule}", {"rule": rule, "words": words})

    return PlainValidator(validate)


PARTS = ("translations", "point-group", "spin-flip")
"""Parts of a symmetry group that can be asked for."""


def _parts(value: Any) -> bool:
    """Whether a value is a list of different parts of a group."""
    return isinstance(value, list) and 0 < len(value) == len(set(map(str, value))) and all(v in PARTS for v in value)


_LISTED = f"a list out of {', '.join(PARTS)}"
SYMMETRY = _one_of(f"'auto', 'translations', 'none', or {_LISTED}", ["auto", "translations", "none"], _parts)
PROJECTED = _one_of(f"'none' or {_LISTED}", ["none"], _parts)


def _sector(value: Any) -> bool:
    """Whether a value names a sector, or one for every base."""
    each = value if isinstance(value, list) else [value]
    return bool(each) and all(one == "auto" or (type(one) is int and one >= 0) for one in each)


SECTOR = _one_of("'auto', a whole number >= 0, or a list of these", ["auto"], _sector)
_MARSHALL = _one_of("'auto', true or false", ["auto", True, False], lambda value: False)
_EXACT = _one_of("'auto' or false", ["auto", False], lambda value: False)
_DEVICES = _one_of("'auto' or a whole number >= 1", ["auto"], lambda value: type(value) is int and 1 <= value <= 4096)


def named(table: Mapping[str, Any]) -> PlainValidator:
    """Accept the names of a table, which may grow."""

    def validate(value: Any) -> Any:
        if type(value) is str and value in table:
            return value
        rule = " or ".join(f"'{name}'" for name in table)
        if type(value) is str and not near(value, table):
            rule += ", or a name that a plug-in brings (--plugin FILE.py)"
        raise PydanticCustomError("choice", "must be {rule}", {"rule": rule, "words": list(table)})

    return PlainValidator(validate)


def _size(value: Any) -> int | list[int]:
    edges = value if isinstance(value, list) else [value]
    whole = all(type(edge) is int for edge in edges) and len(edges) in (1, 2)
    if not whole or max(map(abs, edges)) > 10**9:
        rule = "a whole number or [rows, columns]" + f", {MOST_SITES} sites at most" * whole
        raise PydanticCustomError("choice", "must be {rule}", {"rule": rule, "words": []})
    return value


PathText = Annotated[str, Field(pattern=PATH, max_length=4000)]
Coupling = Annotated[float, Field(ge=-1e12, le=1e12)]


class Range(Table):
    """Evenly spaced values of a coupling, both ends included."""

    start: Coupling = Field(description="first value")
    stop: Coupling = Field(description="last value")
    num: int = Field(ge=1, le=10_000, description="number of values")

    @model_validator(mode="after")
    def _both_ends(self) -> Range:
        if self.num == 1 and self.start != self.stop:
            raise PydanticCustomError(
                "choice", "must be {rule}", {"rule": "at least two values from start to stop, num >= 2", "words": []}
            )
        return self

    def values(self) -> list[float]:
        """The values, rounded to 12 digits so that a value typed by hand is the same point."""
        if self.num == 1:
            return [self.start]
        step = (self.stop - self.start) / (self.num - 1)
        decimals = 12 - math.floor(math.log10(max(abs(self.start), abs(self.stop)) or 1.0))
        return [*(round(self.start + index * step, decimals) for index in range(self.num - 1)), self.stop]


def _form(value: Any) -> str:
    if isinstance(value, dict | Range):
        return "<range>"
    return "<list>" if isinstance(value, list) else "<value>"


# The tags stand in angle brackets so that messages can leave them out of a key path.
_Many = Annotated[list[Coupling], Field(min_length=1, max_length=10_000)]


def _no_range(value: Any) -> Any:
    if isinstance(value, dict | Range):
        rule = "one value or a list of them; a range is for the points"
        raise PydanticCustomError("choice", "must be {rule}", {"rule": rule, "words": []})
    return value


OneOrMany = Annotated[
    Annotated[Coupling, Tag("<value>")] | Annotated[_Many, Tag("<list>")],
    Discriminator(_form),
    BeforeValidator(_no_range),
]
Points = Annotated[
    Annotated[Coupling, Tag("<value>")] | Annotated[_Many, Tag("<list>")] | Annotated[Range, Tag("<range>")],
    Discriminator(_form),
]


def grid(table: dict[str, Any]) -> list[dict[str, float]]:
    """Cartesian product over couplings (the first varies slowest), in order; what is asked for twice comes twice."""
    columns = [
        value.values() if isinstance(value, Range) else value if isinstance(value, list) else [value]
        for value in table.values()
    ]
    return [dict(zip(table, row, strict=True)) for row in itertools.product(*columns)]


class LatticeTable(Table):
    """`[system] lattice`."""

    kind: Annotated[str, named(LATTICES)] = Field(description=f"{', '.join(LATTICES)}")
    size: Annotated[int | list[int], PlainValidator(_size)] = Field(
        description="cells along each edge: L or [rows, columns]; honeycomb: 2 sites in a cell, kagome: 3"
    )
    periodic: bool = Field(default=True, description="periodic (true) or open (false) in every direction")

    @property
    def lattice(self) -> Lattice:
        """Its entry in the table of lattices."""
        return LATTICES[self.kind]

    @property
    def cells(self) -> tuple[int, ...]:
        """Edges in cells: ``(L,)`` for a chain, ``(rows, columns)`` else."""
        if isinstance(self.size, list):
            return tuple(self.size)
        return (self.size,) * self.lattice.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Edges in sites."""
        return self.lattice.extent(self.cells)

    @property
    def sites(self) -> int:
        """Number of sites."""
        return math.prod(self.shape)


class SystemTable(Table):
    """`[system]`: the family of Hamiltonians."""

    model: Annotated[str, named(MODELS)] = Field(
        description="; ".join(
            f"{name}: {model.convention.removeprefix('total energy of ')}" for name, model in MODELS.items()
        )
    )
    lattice: LatticeTable = Field(description="kind, size and boundary of the lattice")
    couplings: dict[str, Coupling] = Field(
        default={}, description="fixed couplings; by default first ones and fields are 1, second neighbours 0"
    )
    marshall: Annotated[bool | Literal["auto"], _MARSHALL] = Field(
        default="auto",
        description="antiferromagnets: rotate one sublattice (Marshall sign rule); auto: where there are two",
    )
    exponent: float = Field(
        default=3.0, gt=0, le=100, description="ising-long-range: power of the distance that couplings fall off with"
    )

    local_couplings: dict[str, list[list[float]]] = Field(
        default={},
        description="factors on single sites and bonds, { J = [[0, 1, 0.5]], h = [[3, 2.0]] }: sites, then the factor",
    )
    couplings_file: PathText | None = Field(
        default=None, description="the same from a CSV file with the columns coupling, i, j, factor"
    )

    @property
    def sites(self) -> int:
        """Number of spins."""
        return self.lattice.sites * self.entry.spins

    @property
    def place(self) -> Place:
        """Where the model lives."""
        return Place(self.lattice.lattice, self.lattice.cells, self.lattice.periodic)

    def site(self, sign_free: bool) -> Site:
        """What a network is for."""
        extent = self.entry.extent(self.place)
        return Site(extent, self.lattice.periodic, self.lattice.lattice.basis, sign_free)

    @property
    def entry(self) -> Model:
        """The model's entry in the table of Hamiltonians."""
        return MODELS[self.model]

    @property
    def use_marshall(self) -> bool:
        """The sign rule with "auto" resolved; False for models without one."""
        if self.marshall == "auto":
            fits = self.entry.marshall(self.lattice.lattice, self.lattice.cells, self.lattice.periodic)
            return fits and not turned(self.entry, self.local_couplings)
        return bool(self.marshall)

    def gauges(self, values: Mapping[str, float]) -> set[str]:
        """Bases in which no off-diagonal element is positive at these couplings, see ``Model``."""
        return set() if turned(self.entry, self.local_couplings) else self.entry.gauges(values, self.use_marshall)

    @property
    def values(self) -> dict[str, float]:
        """All couplings."""
        return self.entry.couplings | self.couplings


class PretrainTable(Table):
    """`[pretrain]`: the one expensive optimisation."""

    at: dict[str, OneOrMany] = Field(description="couplings to pre-train at; of a list see together")
    together: Annotated[bool | Literal["auto"], _MARSHALL] = Field(
        default="auto",
        description="at with several values: one network for all of them, or (false) a base for each, of which every "
        "point takes the one that gives the lower energy",
    )
    steps: int = Field(
        default=300, ge=0, le=1_000_000, description="optimisation steps; 0: what warm_start gives, as it is"
    )
    walkers: int = Field(default=512, ge=1, le=1_000_000, description="Markov chains, one sample each per step")
    learning_rate: float = Field(
        default=0.05, gt=0, le=10, description="natural-gradient step; falls to 0 towards the end"
    )
    diagonal_shift: float = Field(default=1e-3, gt=0, le=10, description="added to the diagonal of the solve")
    momentum: float = Field(default=0.8, ge=0, lt=1, description="SPRING momentum; 0 is plain natural gradient")
    sweeps: float = Field(
        default=1.0, gt=0, le=1000, description="Monte Carlo sweeps (one proposal per site) between steps"
    )
    solver: Literal["auto", "qgt", "kernel"] = Field(
        default="auto",
        description="solve in parameter (qgt) or sample (kernel, minSR) space; auto: the smaller one",
    )
    moved: float = Field(
        default=0.25,
        ge=0,
        le=0.9,
        description="share of the samples that the Hamiltonian moves on, so that no configuration it reaches is missed",
    )
    sampling: Literal["auto", "metropolis", "full-sum"] = Field(
        default="auto",
        description="full-sum adds up all configurations (at most 2^18); metropolis samples them; auto: up to 16384"
        " of them are listed, and every step takes the ones that say most",
    )
    block: int = Field(
        default=10, ge=1, le=10_000, description="steps per compiled block; also how often numbers appear"
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="seed of every random number of the study")
    warm_start: PathText | list[PathText] | None = Field(
        default=None,
        description="model to start from: a run directory, a saved model, or zoo:NAME; a list: one for every base",
    )


_DEFAULTS = [name for name, one in OBSERVABLES.items() if one.default]
_Names = Annotated[list[Annotated[str, named(OBSERVABLES)]], Field(max_length=len(OBSERVABLES))]
_Observables = Annotated[Annotated[bool, Tag("<value>")] | Annotated[_Names, Tag("<list>")], Discriminator(_form)]


class EvaluateTable(Table):
    """`[evaluate]`: the final numbers, always from fresh samples."""

    samples: int = Field(default=2048, ge=16, le=100_000_000, description="fresh samples per point")
    chains: int = Field(default=64, ge=2, le=1_000_000, description="Markov chains; at least 4 samples from each")
    observables: _Observables = Field(
        default=True, description=f"true: {', '.join(_DEFAULTS)}; false: none; or a list of {', '.join(OBSERVABLES)}"
    )
    overlaps: bool = Field(default=True, description="fidelities of neighbours, along one coupling of up to 64 values")
    exact: Annotated[Literal["auto", False], _EXACT] = Field(
        default="auto",
        description="exact energies: closed form, or Lanczos up to 2^20 configurations (20 spins); false: none",
    )


class RunTable(Table):
    """`[run]`: the study as a whole."""

    seeds: int = Field(default=1, ge=1, le=1000, description="repetitions of the whole study, each with its own seed")


class SampledRunTable(RunTable):
    """`[run]` of studies whose work lies in samples."""

    devices: Annotated[int | Literal["auto"], _DEVICES] = Field(
        default="auto",
        description="devices of a machine that share the samples; auto: all accelerators, one CPU",
    )


class OutputTable(Table):
    """`[output]`: where results go, and how often the state is saved."""

    dir: PathText | None = Field(default=None, description="run directory (default runs/<name of the study file>)")
    title: str | None = Field(default=None, min_length=1, max_length=200, description="title of the report")
    report: bool = Field(default=True, description="write report.html")
    checkpoint_every: int = Field(default=20, ge=1, le=1_000_000, description="steps between checkpoints")
    memory_mib: int = Field(default=512, ge=16, le=1_048_576, description="memory for cached features and chunks, MiB")
