"""Settings of the Python interface, as editors complete them: the keys of the tables of study files.

Types only: what is checked, and in which words, follows from the tables.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypedDict, TypeVar

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

F = TypeVar("F", bound=Callable[..., Any])


class Optimisation(TypedDict, total=False):
    """How all weights are trained, where not by the natural gradient.

    optimiser: of Optax, as ``optax.adam(1e-3)``; it is given the gradient of the energy. preconditioner:
    (rows, right, shift) -> update, in place of the natural gradient, or before an optimiser. sampler: in place of
    ``engine.sampling.metropolis``, with its arguments.
    """

    optimiser: Any
    preconditioner: Callable[..., Any] | None
    sampler: Callable[..., Any] | None


class PretrainSettings(Optimisation, total=False):
    """Of ``wf.pretrain`` of a lattice: the ``[pretrain]`` table of a study file, and an optimiser of one's own."""

    steps: int
    walkers: int
    learning_rate: float
    diagonal_shift: float
    momentum: float
    sweeps: float
    solver: Literal["auto", "qgt", "kernel"]
    moved: float
    sampling: Literal["auto", "metropolis", "full-sum"]
    block: int
    seed: int


class AdaptSettings(Optimisation, total=False):
    """Of ``wf.map`` of couplings: the ``[adapt]`` table, and an optimiser of one's own."""

    steps: int
    samples: int
    learning_rate: float | None
    diagonal_shift: float | None
    held_out: float
    ess_min: float
    rounds: int
    tolerance: float
    full_steps: int
    target: Mapping[str, Any]
    rungs: Sequence[Literal["zero-shot", "head", "blocks", "full"]]
    last_blocks: int
    most_steps: int | None
    symmetry: str | Sequence[str]
    sector: int | Literal["auto"] | list[int | Literal["auto"]]
    seed: int | None


class EvaluateSettings(TypedDict, total=False):
    """The ``[evaluate]`` table."""

    samples: int
    chains: int
    observables: bool
    overlaps: bool
    exact: Literal["auto", False]


class ReferenceSettings(TypedDict, total=False):
    """The ``[reference]`` table."""

    method: str | Sequence[str]
    bond_dimension: int | Sequence[int]
    sweeps: int
    memory_gib: float | None
    minutes: float
    file: str | None
    per: Literal["site", "system"] | None
    exact: bool


class BaselinesSettings(TypedDict, total=False):
    """The ``[baselines]`` table."""

    kinds: Sequence[Literal["scratch", "warm-chain", "random-backbone", "deep", "foundation", "foundation-head"]]
    seeds: int
    deep: Mapping[str, float] | None


class TrainSettings(TypedDict, total=False):
    """Of ``wf.pretrain`` of molecules: their ``[train]`` table."""

    steps: int
    hf_steps: int
    hf_learning_rate: float
    walkers: int
    moves: int
    burn_in: int
    drift: bool
    electrons_per_move: int
    subset: int
    max_age: float
    learning_rate: float
    decay: float
    diagonal_shift: float
    momentum: float
    norm: float
    clip: float
    laplacian: Literal["loop", "vmap", "folx"]
    frame: Literal["principal", "given"]
    chunk: int
    block: int
    seed: int


class MoleculeAdaptSettings(TypedDict, total=False):
    """Of ``wf.map`` of molecules: their ``[adapt]`` table."""

    steps: int
    walkers: int | None
    together: bool
    layers: Sequence[str]
    learning_rate: float
    norm: float
    diagonal_shift: float | None
    decay: float | None
    scratch: bool
    scratch_steps: int | None
    warm_chain: bool
    seed: int | None


class MoleculeSettings(TypedDict, total=False):
    """Of ``wf.molecules``: keys of a molecule or a family of them."""

    chain: int | Sequence[int] | None
    compound: str | None
    set: str | None
    length: float | None
    scan: float | Sequence[float] | Mapping[str, Any] | None
    spacing: float | Sequence[float] | Mapping[str, Any] | None
    gap: float | Sequence[float] | Mapping[str, Any] | None
    element: str | None
    charge: int | None
    spin: int | None
    distort: int | None
    seed: int | None
    rotate: bool | None
    reference: float | None
    name: str | None


class TicketTrainSettings(TypedDict, total=False):
    """The ``[train]`` table of a study of tickets."""

    steps: int
    learning_rate: float | None
    diagonal_shift: float
    sampling: Literal["auto", "metropolis", "full-sum"]
    samples: int
    chains: int
    sweeps: float
    metric_steps: int
    block: int
    tolerance: float
    seed: int


class PruneSettings(TypedDict, total=False):
    """Of ``wf.prune``: the ``[prune]`` table, and a reference energy; of molecules tables of ``wf.map``."""

    stop_at: int
    score: Literal["magnitude", "random", "curvature", "surgeon"]
    alternatives: Sequence[Literal["longer", "magnitude", "random", "curvature", "surgeon"]]
    schedule: Literal["iterative", "one-shot"]
    rewind: Literal["dense", "init", "none"]
    scope: Literal["layer", "global"]
    unit: Literal["weight", "neuron", "filter"]
    fan_in: int
    layers: Sequence[str]
    reference: float | Mapping[str, Any] | None
    evaluate: Mapping[str, Any] | None


def shows(*tables: type[BaseModel], settings: Sequence[type[Any]]) -> Callable[[F], F]:
    """Give a function with ``**settings`` the signature that these stand for, for ``help`` and for completion.

    Args:
        tables: of study files, which give the defaults. settings: TypedDicts, which give names and types.
    """
    hints: dict[str, str] = {}
    for table in settings:
        for name, hint in table.__annotations__.items():
            hints.setdefault(name, hint.__forward_arg__)
    defaults = {
        name: None if field.default is PydanticUndefined else field.default
        for table in reversed(tables)
        for name, field in table.model_fields.items()
    }

    def dressed(function: F) -> F:
        plain = inspect.signature(function)
        given = [p for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
        named = {p.name: p for p in given}
        for name, hint in hints.items():
            own = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=hint)
            named.setdefault(name, own)
        setattr(function, "__signature__", plain.replace(parameters=list(named.values())))  # noqa: B010
        return function

    return dressed
