"""From a study file of kind "diagram" to its summary."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.adapt.pool import sample_listed
from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.artifacts.spec_tables import PretrainTable
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import InputError
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import plain
from wavefoundry.core.meter import Cost
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.verdict import WORDS
from wavefoundry.engine.vmc import Options
from wavefoundry.problems import exact
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.problems.gauge import SignRule, with_rule
from wavefoundry.problems.measures import momenta
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import count_states
from wavefoundry.studies.diagram.adapting import Adaptation, adaptation
from wavefoundry.studies.diagram.findings import (
    FEATURES,
    TRANSITION,
    Diagrammed,
    find_features,
    find_transition,
    transition_task,
)
from wavefoundry.studies.diagram.mapper import Base, Mapper
from wavefoundry.studies.diagram.networks import NETWORKS, Fitted, described, fitted, imposed_by, system_of
from wavefoundry.studies.diagram.pretraining import SNAPSHOT, Trainer, Training, chunk_size, snapshot_arrays
from wavefoundry.studies.diagram.records import zero_of
from wavefoundry.studies.diagram.rivals import held_against
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.diagram.states_kept import states_of
from wavefoundry.studies.forecast import pool_bytes, require_memory, solve_bytes
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.task import Output, Outputs, Task

OWN = "total energy of the given operators"
PRETRAIN, BASE = "pretrain", "base"
"""Tasks: the one expensive optimisation, and the measurement of what it gave."""


def build_system(spec: DiagramSpec) -> SignRule:
    """The family of Hamiltonians of a study file, at the first pre-training point, with its sign rule."""
    system = system_of(spec.system, spec.couplings(spec.at_list()[0]))
    return with_rule(system, spec.points_list())


def build_wavefunction(spec: DiagramSpec, system: LatticeSystem) -> Wavefunction:
    """The network of a study file, with random weights."""
    varied = tuple(system.names.index(name) for name in spec.pretrain.at)
    key = jax.random.fold_in(jax.random.key(spec.pretrain.seed), 0)
    return describe(spec, system).model.build(key, system.extent, sign_free=spec.sign_free(), couplings=varied)


def describe(spec: DiagramSpec, system: LatticeSystem) -> Fitted:
    """The network of a study file in words, with the symmetry of the Hamiltonian."""
    model = described(spec.wavefunction, spec.system.lattice, spec.sign_free())
    return fitted(model, system, spec.sign_free())


def training_of(table: PretrainTable, extent: tuple[int, ...], chunk: int, checkpoint_every: int) -> Training:
    """Settings of the pre-training as the engine takes them."""
    options = Options(
        moves=max(1, round(table.sweeps * math.prod(extent))), chunk=chunk, solver=table.solver,
        momentum=table.momentum, extent=extent, moved=table.moved, finite=True, largest=LARGEST,
    )  # fmt: skip
    return Training(
        steps=table.steps,
        chains=table.walkers,
        learning_rate=table.learning_rate,
        shift=table.diagonal_shift,
        options=options,
        block=min(table.block, table.steps),
        checkpoint_every=checkpoint_every,
    )


MODEST = 1e9
"""Sites times samples times width^2 below which no array is large."""
LARGEST = 1.0
"""No step changes log psi of a sample by more."""
SNAPSHOTS = (20, 4)
"""After about one part in so many of the pre-training, in whole blocks, its weights are kept, to show how the features
came about."""
LISTED, FULL_SUM = 2**14, 1024
"""Up to so many configurations "auto" lists them all, which costs no more than sampling and misses none; up to so many
rows of the metric it takes them all in every step, so that there is no noise at all."""


def pretrain(
    wavefunction: Wavefunction,
    system: LatticeSystem,
    points: list[dict[str, float]],
    training: Training,
    table: PretrainTable,
    progress: Progress,
) -> Base:
    """Optimise all weights at one coupling, or at several together, by sampling or by the full sum."""
    key = jax.random.fold_in(jax.random.key(table.seed), 2)
    count = count_states(system.hilbert, 20)
    auto = table.sampling == "auto" and count <= LISTED
    listed = enumerate_states(system) if auto or table.sampling == "full-sum" else None
    family: Any = (listed or system).family(points)
    if listed is not None:
        all_of_them = not auto or count * (1 if wavefunction.real else 2) <= FULL_SUM
        options = training.options._replace(drawn=0 if all_of_them else table.walkers)
        training = dataclasses.replace(training, options=options, listed=True, chains=1)
    params, static = eqx.partition(wavefunction, eqx.is_array)
    trainer = Trainer(static, tree.all_weights(params), training, system.sites)
    blocks = {max(1, round(table.steps / part / training.block)) for part in SNAPSHOTS}
    keep = tuple(sorted(training.block * count for count in blocks if training.block * count < table.steps))
    run = trainer.run(trainer.start(key, params, family), family, progress, "pretrain", keep)
    wavefunction = eqx.combine(run.params, static)
    rest = trainer.convergence(zero_of(system, system.couplings))
    if listed is None:
        return Base(system, wavefunction, run.sampler.x[0], rest, trainer.snapshots)
    chosen = sample_listed(wavefunction, family, listed.states, key, table.walkers, training.options.chunk)
    return Base(system, wavefunction, chosen, rest, trainer.snapshots)


class DiagramStudy:
    """Pre-train, measure the base, adapt to every point.

    Args:
        spec: the study file. context: hears what is said about the system and the network.
    """

    def __init__(self, spec: DiagramSpec, context: Context):
        self.spec = spec
        rule = build_system(spec)
        self.system = rule.system
        self.described = describe(spec, self.system)
        context.say("pretrain", f"{spec.system.model}, {spec.system.lattice.sites} sites")
        context.say("pretrain", rule.words())
        if self.described.note:
            context.warn(self.described.note)
        self.first = build_wavefunction(spec, self.system)
        if spec.pretrain.warm_start is not None:
            self.first = warm_start(self.first, spec.pretrain.warm_start)
        self.chunk = chunk_size(self.first, self.system, spec.output.memory_mib)
        self._adaptation: Adaptation | None = None

    def tasks(self, done: Outputs) -> list[Task]:
        """Pre-training and base; the points once the base is there."""
        table = self.spec.pretrain
        found = [
            Task(PRETRAIN, share=3.0 * table.steps * table.walkers * len(self.spec.at_list())),
            Task(BASE, (PRETRAIN,), float(self.spec.evaluate.samples)),
        ]
        if PRETRAIN not in done:
            return found
        points = self.adaptation(done).tasks(done)
        needs = (PRETRAIN, BASE, *(task.name for task in points))
        last = [Task(FEATURES, (PRETRAIN, BASE)), transition_task(needs, len(points) * self.spec.evaluate.samples)]
        return [*found, *points, *last]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        if name == PRETRAIN:
            training = training_of(
                self.spec.pretrain, self.system.extent, self.chunk, self.spec.output.checkpoint_every
            )
            base = pretrain(self.first, self.system, self.spec.at_list(), training, self.spec.pretrain, progress)
            rest = None if base.convergence is None else base.convergence.stored()
            return Output({"rest": rest}, base_arrays(base) | snapshot_arrays(base.snapshots))
        if name == BASE:
            progress.compiling("the sampler, the feature pool and head tuning")
            mapper = self.adaptation(done).mapper
            record = mapper.measure_base()
            meta = base_meta(self.described.model, self.spec.pretrain, record)
            progress.say("adapt", f"{self.spec.adapt.method} at {len(self.spec.points_list())} points")
            return Output(record, models={"base": (base_arrays(mapper.base), meta)})
        if name == FEATURES:
            kept = {key: value for key, value in done[PRETRAIN].arrays.items() if key.startswith(SNAPSHOT)}
            base = self.adaptation(done).mapper.base
            last = LatticeState(base.system, base.wavefunction, base.x, done[BASE].record)
            return find_features(self.first, last, kept, self.spec.pretrain.steps, self.chunk)
        if name == TRANSITION:
            return find_transition(diagrammed(self.adaptation(done), done), done[BASE].record, progress)
        return self.adaptation(done).perform(name, done, progress)

    def adaptation(self, done: Outputs) -> Adaptation:
        """The points of the study, from what the pre-training gave."""
        if self._adaptation is None:
            found, spec = done[PRETRAIN], self.spec
            wavefunction = tree.from_arrays(self.first, dict(found.arrays), "wavefunction")
            rest = Convergence.restored(found.record["rest"])
            base = Base(self.system, wavefunction, jnp.asarray(found.arrays["walkers"]), rest)
            mapper = make_mapper(base, spec.adapt, spec.evaluate, spec.pretrain, self.chunk)
            self._adaptation = adaptation(mapper, spec.points_list(), (PRETRAIN,))
        return self._adaptation

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The machine-readable result; the states of the points are kept with the run."""
        points, spec = self.adaptation(done), self.spec
        records = points.records(done)
        kept = {f"{i}/{name}": a for i, one in enumerate(points.states(done)) if one for name, a in one.items()}
        context.save_artifact("points", kept, {"couplings": [record["couplings"] for record in records]})
        cost = done[PRETRAIN].cost.to_dict()
        pretrained = done[BASE].record | {"steps": spec.pretrain.steps, "cost": cost}
        if len(spec.at_list()) > 1:
            pretrained["trained_together"] = spec.at_list()
        settings = spec.model_dump(mode="json", exclude_none=True)
        found = {**done[TRANSITION].record, FEATURES: done[FEATURES].record}
        return summary_of(points.mapper.base, pretrained, records, points.cost(done), settings) | found


def diagrammed(points: Adaptation, done: Outputs) -> Diagrammed:
    """Records and states of finished points."""
    records = points.records(done)
    return Diagrammed(records, states_of(points.mapper.base, records, points.states(done)))


def build(spec: DiagramSpec, context: Context) -> DiagramStudy:
    """The study of a study file."""
    return DiagramStudy(spec, context)


def check(spec: DiagramSpec) -> None:
    """Refuse a study whose largest arrays cannot be held, before anything is written.

    Raises:
        InputError: the derivatives of the training, or a pool of the adaptation, do not fit into memory.
    """
    sites, walkers = spec.system.lattice.sites, spec.pretrain.walkers
    if sites * max(walkers, spec.adapt.samples) * spec.wavefunction.width**2 < MODEST:
        return
    system = build_system(spec).system
    wavefunction = build_wavefunction(spec, system)
    if count_states(system.hilbert, 20) > LISTED:
        needed = solve_bytes(wavefunction, walkers * len(spec.at_list()), spec.pretrain.solver)
        require_memory(needed, "a training step", "pretrain.walkers, wavefunction.width", "fewer walkers or weights")
    if spec.adapt.method == "head":
        needed = pool_bytes(wavefunction, system.family([{}]), spec.adapt.samples)
        require_memory(needed, "a pool", "adapt.samples, wavefunction.width", "fewer samples or a narrower network")


def make_mapper(base: Base, adapt: Any, evaluate: Any, table: PretrainTable, chunk: int) -> Mapper:
    """The adaptation of a base with the settings of a study."""
    changes = {
        "steps": adapt.full_steps,
        "learning_rate": adapt.learning_rate or table.learning_rate,
        "diagonal_shift": adapt.diagonal_shift or table.diagonal_shift,
    }
    full = training_of(table.model_copy(update=changes), base.system.extent, chunk, 10**9)
    small = table.sampling != "metropolis" and count_states(base.system.hilbert, 20) <= LISTED
    states = jnp.asarray(exact.basis(base.system.hilbert), jnp.int8) if small else None
    return Mapper(base, adapt, evaluate, seed=table.seed, chunk=chunk, training=full, states=states)


def warm_start(wavefunction: Wavefunction, path: str) -> Wavefunction:
    """Weights of an earlier run or saved model, for a network of the same shape."""
    from wavefoundry.artifacts.bundles import read_bundle
    from wavefoundry.artifacts.results import model_folder

    arrays, _ = read_bundle(model_folder(path))
    return tree.from_arrays(wavefunction, arrays, "wavefunction")


def base_arrays(base: Base) -> dict[str, np.ndarray]:
    """Weights, walkers and sign rule of a base for the store."""
    arrays = tree.to_arrays(base.wavefunction, "wavefunction") | {"walkers": np.asarray(base.x)}
    rule = base.system.sublattice
    return arrays if rule is None else arrays | {"sign_rule": np.asarray(rule, np.uint8)}


def base_meta(model: Any, table: PretrainTable, record: dict[str, Any]) -> dict[str, Any]:
    """What is needed to build the network of a stored base again.

    Raises:
        InputError: a network of the user's own: only its weights could be stored.
    """
    name = next((name for name, kind in NETWORKS.items() if type(model) is kind), None)
    if name is None:
        raise InputError(
            f"a {type(model).__name__} cannot be saved",
            where="save",
            why="networks are stored as a description and weights; a class of your own is code",
            fix="one of wf.models, or keep the weights: wavefoundry.core.tree.to_arrays(base.wavefunction)",
        )
    settings = table.model_dump(mode="json")
    return {"network": name, "model": dataclasses.asdict(model), "settings": settings, "record": record}


def model_of(meta: dict[str, Any]) -> Any:
    """The description in what ``base_meta`` made, also before it named networks and their symmetry."""
    name, fields = meta.get("network", "vit"), dict(meta["model"])
    return NETWORKS[name](**({"symmetry": "translations"} | fields if name == "vit" else fields))


def summary_of(
    base: Base, pretrained: dict[str, Any], records: list[dict[str, Any]], adapt_cost: Cost, settings: dict[str, Any]
) -> dict[str, Any]:
    """The machine-readable result, see docs/results.md."""
    system, wavefunction = base.system, base.wavefunction
    parameters = {"total": tree.count(wavefunction), "head": tree.count(wavefunction.head)}
    records = held_against(records, [pretrained])
    usable = sum(record["energy"] is not None for record in records)
    words = [record["verdict"] for record in (pretrained, *records)]
    waves = momenta(system) if any("structure_zz_0" in record["observables"] for record in records) else []
    return ({"momenta": waves} if waves else {}) | {
        "schema": SCHEMA,
        "kind": "diagram",
        "status": "complete" if usable == len(records) else "partial" if usable else "failed",
        "system": {
            "model": system.model,
            "sites": system.sites,
            "extent": list(system.extent),
            "periodic": system.periodic,
            "couplings": list(system.names),
            "lattice": {
                "kind": f"{kind} lattice" if (kind := system.geometry or plain(system.extent)) != "chain" else kind,
                "size": list(system.extent),
                "periodic": system.periodic,
            },
            "title": settings.get("output", {}).get("title"),
        },
        "parameters": parameters,
        "symmetry": imposed_by(wavefunction),
        "verdict": max(words, key=WORDS.index),
        "verdicts": {word: words[1:].count(word) for word in WORDS},
        "convention": MODELS[system.model].convention if system.model in MODELS else OWN,
        "pretrain": pretrained,
        "points": records,
        "cost": adapt_cost.to_dict(),
        "adapt_cost": adapt_cost.to_dict(),
        "settings": settings,
        "versions": versions(),
        "hardware": hardware(),
    }
