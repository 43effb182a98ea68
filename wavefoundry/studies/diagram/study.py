"""From a study file of kind "diagram" to its summary."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry import models
from wavefoundry.adapt.pool import sample_listed
from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.artifacts.spec_tables import EvaluateTable, PretrainTable
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import InputError
from wavefoundry.core.hamiltonians import convention
from wavefoundry.core.lattices import LATTICES, plain
from wavefoundry.core.meter import Cost
from wavefoundry.core.networks import NETWORKS
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.verdict import WORDS
from wavefoundry.engine.vmc import Options
from wavefoundry.models import SymmetricSpec
from wavefoundry.models.described import described as described_as
from wavefoundry.problems import exact
from wavefoundry.problems.enumerated import EnumeratedSystem, enumerate_states
from wavefoundry.problems.gauge import SignRule, with_rule
from wavefoundry.problems.measures import momenta
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import count_states
from wavefoundry.studies.diagram.adapting import Adapted
from wavefoundry.studies.diagram.base import Base, together
from wavefoundry.studies.diagram.given import taken, warm_start
from wavefoundry.studies.diagram.mapper import Mapper
from wavefoundry.studies.diagram.networks import (
    Fitted,
    build_network,
    described,
    empty_network,
    fitted,
    imposed_by,
    system_of,
)
from wavefoundry.studies.diagram.pretraining import Trainer, Training, chunk_size, snapshot_arrays
from wavefoundry.studies.diagram.records import zero_of
from wavefoundry.studies.diagram.referencing import References
from wavefoundry.studies.diagram.rivals import held_against
from wavefoundry.studies.diagram.sectors import adapted, sector_of, sector_words, tries_two
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.task import Output, Outputs, Task

PRETRAIN, BASE = "pretrain", "base"
"""Tasks: the one expensive optimisation, and the measurement of what it gave."""


def build_system(spec: DiagramSpec) -> SignRule:
    """The family of Hamiltonians of a study file, at the first pre-training point, with its sign rule."""
    system = system_of(spec.system, spec.couplings(spec.at_list()[0]))
    return with_rule(system, spec.points_list())


def build_wavefunction(spec: DiagramSpec, system: LatticeSystem, how: Any = build_network) -> Wavefunction:
    """The network of a study file, with random weights (``how``: or empty)."""
    varied = tuple(system.names.index(name) for name in spec.pretrain.at)
    key = jax.random.fold_in(jax.random.key(spec.pretrain.seed), 0)
    return how(describe(spec, system).model, key, system, spec.sign_free(), varied)


def describe(spec: DiagramSpec, system: LatticeSystem) -> Fitted:
    """The network of a study file in words, with the symmetry of the Hamiltonian."""
    model = described(spec.wavefunction, spec.system, spec.sign_free())
    return fitted(model, system, spec.sign_free())


def training_of(table: PretrainTable, extent: tuple[int, ...], chunk: int, checkpoint_every: int) -> Training:
    """Settings of the pre-training as the engine takes them."""
    options = Options(
        moves=max(1, round(table.sweeps * math.prod(extent))), chunk=chunk, solver=table.solver,
        momentum=table.momentum, moved=table.moved, finite=True, largest=LARGEST,
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


LARGEST = 1.0
"""No step changes log psi of a sample by more."""
FULL_SUM = 1024
"""Where "auto" lists all configurations, which costs no more than sampling and misses none: up to so many
rows of the metric it takes them all in every step, so that there is no noise at all."""


def listing(
    wavefunction: Wavefunction, system: LatticeSystem, training: Training, table: PretrainTable
) -> tuple[EnumeratedSystem | None, Training]:
    """All configurations of a small system, where the settings ask for them, and a training that takes them."""
    count = count_states(system.hilbert, 20)
    sampler = training.options.sampler
    if sampler is not None and table.sampling == "full-sum":
        why = "sampling is full-sum: all configurations are listed"
        raise InputError("sampler has nothing to do", where="sampler", why=why, fix='sampling="metropolis"')
    auto = table.sampling == "auto" and count <= exact.LISTED and sampler is None
    if not auto and table.sampling != "full-sum":
        return None, training
    all_of_them = not auto or count * (1 if wavefunction.real else 2) <= FULL_SUM
    options = training.options._replace(drawn=0 if all_of_them else table.walkers)
    return enumerate_states(system), dataclasses.replace(training, options=options, listed=True, chains=1)


def pretrain(
    wavefunction: Wavefunction,
    system: LatticeSystem,
    points: list[dict[str, float]],
    training: Training,
    table: PretrainTable,
    progress: Progress,
    trainer: Trainer | None = None,
) -> Base:
    """Optimise all weights at one coupling, or at several together, by sampling or by the full sum.

    ``trainer``: of an earlier call with the same network and settings, so that nothing is compiled anew.
    """
    key = jax.random.fold_in(jax.random.key(table.seed), 2)
    listed, training = listing(wavefunction, system, training, table)
    family: Any = (listed or system).family(points)
    params, static = eqx.partition(wavefunction, eqx.is_array)
    trainer = trainer or Trainer(static, tree.all_weights(params), training, system.sites)
    run = trainer.run(trainer.start(key, params, family), family, progress, "pretrain", training.on_the_way())
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
        context.say("pretrain", f"{spec.system.model}, {spec.system.sites} sites")
        context.say("pretrain", rule.words())
        if self.described.note:
            context.warn(self.described.note)
        if (given := spec.pretrain.warm_start) is None:
            self.first = build_wavefunction(spec, self.system)
        else:
            self.first = warm_start(build_wavefunction(spec, self.system, empty_network), str(given))
        self.chunk = chunk_size(self.first, self.system, spec.output.memory_mib)
        self._adaptation: Adapted | None = None
        self.near: list[int] | None = None  # points that are nearest to this of several bases
        self.references: References | None = None  # by default what costs little

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """Pre-training and base; the points (``only`` some of them) once the base is there."""
        table = self.spec.pretrain
        found = [
            Task(PRETRAIN, share=3.0 * max(table.steps, 1) * table.walkers * len(self.spec.at_list())),
            Task(BASE, (PRETRAIN,), float(self.spec.evaluate.samples)),
        ]
        ready = set(self._after) <= done.keys()
        return found + self.adaptation(done).tasks(done, only) if ready else found

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        if name == PRETRAIN and self.spec.pretrain.steps == 0:
            return taken(str(self.spec.pretrain.warm_start), self.system, self.spec.at_list())
        if name == PRETRAIN:
            training = training_of(
                self.spec.pretrain, self.system.extent, self.chunk, self.spec.output.checkpoint_every
            )
            base = pretrain(self.first, self.system, self.spec.at_list(), training, self.spec.pretrain, progress)
            rest = None if base.convergence is None else base.convergence.stored()
            record = {"rest": rest} | together(self.spec.at_list())
            return Output(record, base_arrays(base) | snapshot_arrays(base.snapshots))
        if name == BASE:
            progress.compiling("the sampler, the feature pool and head tuning")
            base, spec = self.trained(done), self.spec
            record = (
                self._mapper(base, self.chunk).measure_base()
                if self._projects
                else self.adaptation(done).mapper.measure_base()
            )
            record |= together(done[PRETRAIN].record.get("trained_together") or [])
            meta = base_meta(self.described.model, spec.pretrain, record)
            if self._projects:
                record["symmetry"] = sector_of(base, spec.adapt, spec.points_list(), self.near)
                two = tries_two(spec.adapt, base.wavefunction)
                progress.say("adapt", sector_words(record["symmetry"], spec.points_list(), two))
            progress.say("adapt", f"{spec.adapt.method} at {len(spec.points_list())} points")
            return Output(record, models={"base": (base_arrays(base), meta)})
        return self.adaptation(done).perform(name, done, progress)

    @property
    def _projects(self) -> bool:
        """Whether amplitudes are projected on a sector from adaptation on."""
        return self.spec.adapt.symmetry != "none"

    @property
    def _after(self) -> tuple[str, ...]:
        """Tasks whose outputs the adaptation is made of: the sector of a projection is chosen with the base."""
        return (PRETRAIN, BASE) if self._projects else (PRETRAIN,)

    def _mapper(self, base: Base, chunk: int) -> Mapper:
        spec = self.spec
        return make_mapper(base, spec.adapt, spec.evaluate, spec.pretrain, chunk, self.references)

    def trained(self, done: Outputs) -> Base:
        """What the pre-training gave."""
        found = done[PRETRAIN]
        wavefunction = tree.from_arrays(self.first, dict(found.arrays), "wavefunction")
        rest = Convergence.restored(found.record["rest"])
        return Base(self.system, wavefunction, jnp.asarray(found.arrays["walkers"]), rest)

    def adaptation(self, done: Outputs) -> Adapted:
        """The points of the study, from what the pre-training gave."""
        if self._adaptation is None:
            base, spec = self.trained(done), self.spec
            chosen = done[BASE].record["symmetry"] if self._projects else None
            self._adaptation = adapted(base, spec.points_list(), spec.adapt, self._adapting, self._after, chosen)
        return self._adaptation

    def _adapting(self, state: Base) -> Mapper:
        """What adapts the trained state, or a projection of it."""
        chunk = self.chunk
        if state.sector is not None:
            chunk = chunk_size(state.wavefunction, state.system, self.spec.output.memory_mib)
        return self._mapper(state, chunk)

    def point(self, index: int, done: Outputs) -> Output | None:
        """The output of a point, None where there is none."""
        return self.adaptation(done).output(index, done)

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The machine-readable result; the states of the points are kept with the run."""
        points, spec = self.adaptation(done), self.spec
        records = points.records(done)
        kept = {f"{i}/{name}": a for i, one in enumerate(points.states(done)) if one for name, a in one.items()}
        context.save_artifact("points", kept, {"couplings": [record["couplings"] for record in records]})
        settings = spec.model_dump(mode="json", exclude_none=True)
        return summary_of(points.mapper.base, self.pretrained(done), records, points.cost(done), settings)

    def pretrained(self, done: Outputs) -> dict[str, Any]:
        """The record of the pre-training."""
        return done[BASE].record | {"steps": self.spec.pretrain.steps, "cost": done[PRETRAIN].cost.to_dict()}


def make_mapper(
    base: Base,
    adapt: AdaptTable,
    evaluate: EvaluateTable,
    table: PretrainTable,
    chunk: int,
    references: References | None = None,
    *,
    by_sum: bool = False,
    how: Mapping[str, Any] | None = None,
) -> Mapper:
    """The adaptation of a base with the settings of a study.

    Args:
        references: what energies are held against; by default what costs little.
        by_sum: train small systems by the full sum at the points too, as method "auto" does, where the base was.
        how: what stands in place of the natural gradient and its sampler, fields of ``engine.vmc.Options``.
    """
    full = training_of(table.model_copy(update=full_settings(adapt, table)), base.system.extent, chunk, 10**9)
    full = dataclasses.replace(full, options=full.options._replace(**(how or {})))
    listed = None
    if adapt.method == "auto" and adapt.most_steps is None:
        adapt = adapt.model_copy(update={"most_steps": max(table.steps, adapt.full_steps)})
    if adapt.method == "auto" or by_sum:
        listed, full = listing(base.wavefunction, base.system, full, table)
    small = table.sampling != "metropolis" and count_states(base.system.hilbert, 20) <= exact.LISTED
    states = jnp.asarray(exact.basis(base.system.hilbert), jnp.int8) if small else None
    return Mapper(
        base, adapt, evaluate, seed=table.seed if adapt.seed is None else adapt.seed, chunk=chunk, training=full,
        states=states, listed=listed, references=references,
    )  # fmt: skip


def full_settings(adapt: AdaptTable, table: PretrainTable) -> dict[str, Any]:
    """What trainings of all weights at a point take from [adapt]; the rates of method auto are those of its heads."""
    if adapt.method == "auto":
        return {"steps": adapt.full_steps}
    return {
        "steps": adapt.full_steps,
        "learning_rate": adapt.learning_rate or table.learning_rate,
        "diagonal_shift": adapt.diagonal_shift or table.diagonal_shift,
    }


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
    if isinstance(model, SymmetricSpec):
        inner = base_meta(model.model, table, record)
        return inner | {"symmetric": {"parts": list(model.parts), "form": model.form, "sector": model.sector}}
    name = next((name for name, network in NETWORKS.items() if type(model) is network.described()), None)
    if name is None:
        why = "networks are stored as a description and weights; a class of your own is code"
        fix = "one of wf.models, or keep the weights: wavefoundry.core.tree.to_arrays(base.wavefunction)"
        if model is None:
            why, fix = "its network is code", "state.to_netket(), and NetKet's own ways to store it"
        what = "state that came from NetKet" if model is None else type(model).__name__
        raise InputError(f"a {what} cannot be saved", where="save", why=why, fix=fix)
    settings = table.model_dump(mode="json")
    return {"network": name, "model": dataclasses.asdict(model), "settings": settings, "record": record}


def model_of(meta: dict[str, Any]) -> Any:
    """The description in what ``base_meta`` made, also before it named networks and their symmetry."""
    name, fields = meta.get("network", "vit"), dict(meta["model"])
    # JSON knows lists alone where a description has tuples
    model = described_as(NETWORKS[name].described(), {"symmetry": "translations"} | fields if name == "vit" else fields)
    made = meta.get("symmetric")
    return model if made is None else models.symmetric(model, **made)


def summary_of(
    base: Base,
    pretrained: dict[str, Any],
    records: list[dict[str, Any]],
    adapt_cost: Cost,
    settings: dict[str, Any],
    others: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The machine-readable result, see docs/results.md; ``others``: records of further bases."""
    system, wavefunction = base.system, base.wavefunction
    parameters = {"total": tree.count(wavefunction), "head": tree.count(wavefunction.head)}
    records = held_against(records, [pretrained, *others])
    usable = sum(record["energy"] is not None for record in records)
    words = [record["verdict"] for record in (pretrained, *others, *records)]
    numbered = {"structure_zz_0", "structure_spin_0"}
    waves = momenta(system) if any(numbered & record["observables"].keys() for record in records) else []
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
                "kind": LATTICES[system.geometry or plain(system.extent)].title,
                "size": list(system.extent),
                "periodic": system.periodic,
            },
            "title": settings.get("output", {}).get("title"),
        },
        "parameters": parameters,
        "symmetry": imposed_by(wavefunction),
        "verdict": max(words, key=WORDS.index),
        "verdicts": {word: words[1 + len(others) :].count(word) for word in WORDS},
        "convention": convention(system.model, system.uniform),
        "pretrain": pretrained,
        "points": records,
        "cost": adapt_cost.to_dict(),
        "adapt_cost": adapt_cost.to_dict(),
        "settings": settings,
        "versions": versions(),
        "hardware": hardware(),
    }
