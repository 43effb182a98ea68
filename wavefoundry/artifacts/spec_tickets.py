"""Study files of kind "tickets": tables, and the rules that tie their keys together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from wavefoundry.artifacts.spec_checks import fits, full_sum
from wavefoundry.artifacts.spec_kinds import of_kind
from wavefoundry.artifacts.spec_networks import WavefunctionTable
from wavefoundry.artifacts.spec_tables import (
    EvaluateTable,
    OutputTable,
    Points,
    SampledRunTable,
    SystemTable,
    Table,
    grid,
    named,
)
from wavefoundry.core.expect import Problem
from wavefoundry.core.networks import NETWORKS
from wavefoundry.core.words import near

Count = Annotated[int, Field(ge=1, le=10**9)]
Score = Literal["magnitude", "random", "curvature", "surgeon"]
Alternative = Literal["longer", Score]
VARIANTS = ("init", "random-init", "random-mask", "shuffled-mask", "one-shot-mask")
"""Isolation experiments: initial weights or new ones under the found mask, initial weights under other masks."""


class NetworkTable(WavefunctionTable):
    """`[wavefunction]`: the network, as for diagrams with other defaults."""

    OWN_DEFAULTS: ClassVar[Mapping[str, Any]] = {"width": 16}

    kind: Annotated[str, named(NETWORKS)] = Field(
        default="dense", description="; ".join(f"{name}: {network.title}" for name, network in NETWORKS.items())
    )
    precision: Literal["float32", "float64"] = Field(default="float64", description="precision of the network")


class TrainTable(Table):
    """`[train]`: the optimisation of the dense network, and settings of all later ones."""

    steps: int = Field(default=300, ge=1, le=1_000_000, description="steps of the dense network")
    learning_rate: float | None = Field(
        default=None, gt=0, le=10, description="natural-gradient step; 0.05 for a full sum, 0.02 when sampled"
    )
    diagonal_shift: float = Field(default=1e-3, gt=0, le=10, description="added to the diagonal of the solve")
    sampling: Literal["auto", "metropolis", "full-sum"] = Field(
        default="auto", description="full-sum adds up all configurations (at most 2^18); auto: up to 12 spins"
    )
    samples: int = Field(default=1024, ge=16, le=10_000_000, description="samples per step")
    chains: int = Field(default=256, ge=2, le=1_000_000, description="Markov chains they come from")
    sweeps: float = Field(default=1.0, gt=0, le=1000, description="sweeps between two samples of a chain")
    metric_steps: int = Field(
        default=5, ge=1, le=100, description="full sum: steps that share one metric, whose making is most of their cost"
    )
    block: int = Field(default=50, ge=1, le=10_000, description="steps per compiled block")
    tolerance: float = Field(
        default=0.0, ge=0, lt=1, description="full sum: a training ends early when a block gains less (relative)"
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="seed of every random number of the study")
    warm_start: Annotated[str, Field(min_length=1, max_length=4000)] | None = Field(
        default=None, description="run directory of a diagram, or saved model, of the same network, which is pruned"
    )


class PruneTable(Table):
    """`[prune]`: what goes, how fast, and what the rest starts from again."""

    fraction: float = Field(default=0.12, gt=0, lt=1, description="part of the surviving weights removed per round")
    stop_at: int = Field(default=16, ge=1, le=10**9, description="weights left in the last round")
    steps: int = Field(default=100, ge=1, le=1_000_000, description="training steps after each cut")
    score: Score = Field(
        default="magnitude",
        description="smallest go first: |w|; random; curvature w^2 S_kk; surgeon w^2 / (S^-1)_kk",
    )
    alternatives: list[Alternative] = Field(
        default=[],
        max_length=8,
        description="tried where a cut makes the error jump: longer training, cuts by other scores; the best is kept",
    )
    schedule: Literal["iterative", "one-shot"] = Field(
        default="iterative", description="cut again and again, or every mask at once from the dense network"
    )
    rewind: Literal["dense", "init", "none"] = Field(
        default="dense", description="survivors go back to the trained dense weights, the initial ones, or stay"
    )
    scope: Literal["layer", "global"] = Field(default="layer", description="rank within each layer, or over all")
    unit: Literal["weight", "neuron", "filter"] = Field(default="weight", description="what is removed")
    fan_in: int = Field(
        default=0,
        ge=0,
        le=10**6,
        description="dense: weights beyond the so many largest of a unit go first; 0: no rule",
    )
    layers: list[str] = Field(
        default=[], description='names of what is pruned, as "backbone.*"; [] is every kernel but embedding and head'
    )


class IsolateTable(Table):
    """`[isolate]`: masks trained alone, from other starts, and other masks in their place."""

    rounds: int = Field(default=0, ge=0, le=1000, description="rounds that are isolated, spread evenly; 0: none")
    at: list[Count] = Field(
        default=[], description="weights left of the rounds to isolate (the nearest round each), instead of rounds"
    )
    seeds: int = Field(default=3, ge=1, le=1000, description="repetitions of every experiment")
    steps: int | None = Field(default=None, ge=1, le=1_000_000, description="of each training; that of [train]")
    variants: list[Literal["init", "random-init", "random-mask", "shuffled-mask", "one-shot-mask"]] = Field(
        default=list(VARIANTS), description="which experiments"
    )
    confirm: float = Field(
        default=3.0, ge=0, le=1000, description="jumps of the error are trained again so many times longer; 0: not"
    )


class TransferTable(Table):
    """`[transfer]`: do tickets found here work at other couplings?"""

    points: dict[str, Points] = Field(default={}, description="couplings to try the tickets at")
    at: list[Count] = Field(
        default=[], description="weights left of the tickets to try (the nearest round each); [] takes three rounds"
    )
    train: Literal["head", "survivors"] = Field(
        default="survivors", description="what is trained there: all surviving weights, or the head alone (vit)"
    )
    steps: int = Field(default=100, ge=1, le=1_000_000, description="training steps per ticket and point")


class TicketEvaluateTable(EvaluateTable):
    """`[evaluate]`: the numbers of every round; a full sum needs no samples."""

    observables: bool = Field(  # pyright: ignore[reportIncompatibleVariableOverride] - a narrower type
        default=True, description="magnetisation, always measured; lists are for diagrams"
    )
    reference: float | None = Field(
        default=None, ge=-1e12, le=1e12, description="reference energy (total) where no exact one is known"
    )


class TicketsSpec(Table):
    """A study of kind "tickets": train densely, prune round by round, find out what survives and why.

    Raises:
        pydantic.ValidationError: for a value or a combination of values that cannot be used.
    """

    kind: Literal["tickets"] = Field(default="tickets", description="what to compute: sparse sub-networks")
    system: SystemTable = Field(description="the Hamiltonian")
    wavefunction: Annotated[SerializeAsAny[NetworkTable], of_kind(NetworkTable)] = Field(
        default=NetworkTable.of("dense")(), description="the network"
    )
    train: TrainTable = Field(default=TrainTable(), description="the optimisation")
    prune: PruneTable = Field(default=PruneTable(), description="what goes, and how")
    isolate: IsolateTable = Field(default=IsolateTable(), description="masks on their own")
    transfer: TransferTable = Field(default=TransferTable(), description="tickets at other couplings")
    evaluate: TicketEvaluateTable = Field(default=TicketEvaluateTable(), description="the numbers of every round")
    output: OutputTable = Field(default=OutputTable(), description="where results go")
    run: SampledRunTable = Field(default=SampledRunTable(), description="the study as a whole")

    def full_sum(self) -> bool:
        """Whether all configurations are summed over."""
        return self.train.sampling == "full-sum" or (self.train.sampling == "auto" and self.system.sites <= 12)

    def learning_rate(self) -> float:
        """Learning rate with its default resolved."""
        return self.train.learning_rate or (0.05 if self.full_sum() else 0.02)

    def sign_free(self) -> bool:
        """Whether the ground state is positive in the sampled basis; networks of stored runs have their heads by it."""
        return bool(self.system.gauges(self.system.values) & {"none", "Marshall"})

    def transfer_list(self) -> list[dict[str, float]]:
        """Couplings the tickets are tried at."""
        return grid(self.transfer.points) if self.transfer.points else []

    @model_validator(mode="after")
    def _fits_together(self) -> TicketsSpec:
        if found := list(problems(self)):
            raise PydanticCustomError("together", "keys do not fit together", {"problems": found})
        return self


def problems(spec: TicketsSpec) -> Iterator[Problem]:
    """All broken rules of a study of kind "tickets", most basic first."""
    if found := [*_lattice(spec), *_couplings(spec)]:
        yield from found
        return
    yield from _network(spec)
    yield from _sampling(spec)
    yield from _pruning(spec)


def _lattice(spec: TicketsSpec) -> Iterator[Problem]:
    from wavefoundry.artifacts import spec_checks

    if found := list(spec_checks._shape(spec.system)):
        yield from found
        return
    yield from spec_checks._sizes(spec.system)
    yield from spec_checks._marshall(spec.system)


def _couplings(spec: TicketsSpec) -> Iterator[Problem]:
    known = spec.system.entry.couplings
    for path, names in (
        (("system", "couplings"), spec.system.couplings),
        (("transfer", "points"), spec.transfer.points),
    ):
        for name in names:
            if name not in known:
                why = f"couplings of {spec.system.model}: {', '.join(known)}"
                yield Problem((*path, name), f"{spec.system.model} has no coupling '{name}'", why, near(name, known))
    if not any(spec.system.values.values()):
        yield Problem(("system", "couplings"), "the Hamiltonian vanishes", "every coupling is zero")


def _network(spec: TicketsSpec) -> Iterator[Problem]:
    table = spec.wavefunction
    yield from fits(table, spec.system)
    if table.key("conditioned"):
        why = "tickets are sought at one point, so a network has no couplings to be given"
        yield Problem(("wavefunction", "conditioned"), "conditioned is for diagrams", why, "leave the key out")


def _sampling(spec: TicketsSpec) -> Iterator[Problem]:
    yield from full_sum(spec.system, "train", spec.train.sampling)
    if spec.train.samples % spec.train.chains:
        yield Problem(
            ("train", "samples"),
            f"{spec.train.samples} samples cannot come from {spec.train.chains} chains",
            "every chain gives equally many",
            f"a multiple of {spec.train.chains}",
        )
    if spec.evaluate.samples < 4 * spec.evaluate.chains:
        yield Problem(
            ("evaluate", "samples"),
            f"{spec.evaluate.samples} samples are too few for {spec.evaluate.chains} chains",
            "error bars and R-hat need at least 4 samples from each chain",
        )
    if spec.evaluate.reference == 0.0:
        yield Problem(("evaluate", "reference"), "reference = 0.0 gives no relative errors", "", "leave the key out")


def _pruning(spec: TicketsSpec) -> Iterator[Problem]:
    prune, kind = spec.prune, spec.wavefunction.kind
    if kind == "dense":
        total = spec.system.sites * round(spec.wavefunction.key("alpha") * spec.system.sites)
        if prune.stop_at >= total:
            yield Problem(
                ("prune", "stop_at"), f"stop_at = {prune.stop_at} prunes nothing", f"the layer has {total} weights"
            )
    elif prune.fan_in:
        yield Problem(("prune", "fan_in"), "fan_in is for one dense layer", "", "leave the key out")
    if spec.transfer.train == "head" and not spec.wavefunction.network.tunable:
        yield Problem(("transfer", "train"), f"a {kind} network has no head to train", "", 'train = "survivors"')
    if prune.schedule == "one-shot" and prune.score not in ("magnitude", "random"):
        yield Problem(("prune", "score"), "one-shot masks are cut by magnitude or at random")
    if prune.schedule == "one-shot" and (prune.scope, prune.unit, prune.fan_in) != ("layer", "weight", 0):
        yield Problem(("prune", "schedule"), "one-shot masks take single weights layer by layer", "", "leave keys out")


_CRITICAL = 3.04438


def _square(length: int) -> dict[str, Any]:
    lattice = {"kind": "square", "size": [length, length], "periodic": False}
    return {"model": "ising", "lattice": lattice, "couplings": {"h": _CRITICAL}}


def _published(system: dict[str, Any], network: dict[str, Any], **changes: dict[str, Any]) -> dict[str, Any]:
    """Settings of arXiv 2505.22734, tables 4 to 7: 10 000 dense steps, 1000 a round, some masks on their own."""
    tables: dict[str, dict[str, Any]] = {
        "train": {
            "steps": 10_000, "learning_rate": 0.008, "diagonal_shift": 1e-4,
            "samples": 1024, "chains": 1024, "sampling": "metropolis",
        },
        "prune": {"fraction": 0.12, "steps": 1000, "stop_at": 12},
        "isolate": {"rounds": 12},
        "evaluate": {"samples": 20480, "chains": 1024},
    }  # fmt: skip
    return {"system": system, "wavefunction": network} | {
        name: table | changes.get(name, {}) for name, table in tables.items()
    }


def _relu(alpha: float) -> dict[str, Any]:
    """ReLU units. The text says 0.1, its released code 0.01: with this the published curves come out."""
    return {"activation": "relu", "alpha": alpha, "init_std": 0.01}


_DMRG = {"reference": -321.0980008}
PUBLISHED: dict[str, dict[str, Any]] = {
    "paper": _published(_square(10), _relu(5.0), evaluate=_DMRG),
    **{f"paper-{length}x{length}": _published(_square(length), _relu(8.0)) for length in (4, 5, 6)},
    "paper-10x10": _published(_square(10), _relu(8.0), evaluate=_DMRG),
    "paper-toric": _published(
        {"model": "toric", "lattice": {"kind": "square", "size": [3, 3]}},
        _relu(8.0),
        train={"diagonal_shift": 1e-3},
    ),
    "paper-conv": _published(
        _square(10), {"kind": "conv", "channels": 4},
        train={"diagonal_shift": 1e-3}, prune={"fraction": 0.05, "stop_at": 1}, evaluate=_DMRG,
    ),
    "paper-resnet": _published(
        _square(10), {"kind": "resnet", "channels": 16, "blocks": 4},
        train={"diagonal_shift": 1e-3}, prune={"scope": "global", "stop_at": 76}, evaluate=_DMRG,
    ),
}  # fmt: skip
"""Presets of tickets as published; "paper" is figure 1, 10 x 10 sites at the critical field, which wants a GPU."""

DESK: dict[str, Any] = {"system": _square(3)}
"""What a study that says nothing more than its kind means."""


def preset_for(values: dict[str, Any], written: dict[str, Any]) -> dict[str, Any]:
    """What a preset still gives to a file with its own system or network: couplings and references belong together."""
    system, network = written.get("system"), written.get("wavefunction")
    if isinstance(system, dict):
        values.get("evaluate", {}).pop("reference", None)
        if "model" in system:
            values.pop("system", None)
    if isinstance(network, dict) and network.get("kind", "dense") != "dense":
        values.pop("wavefunction", None)
    return values
