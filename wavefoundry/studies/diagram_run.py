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
from wavefoundry.core.errors import InputError
from wavefoundry.core.meter import METER, Cost
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.verdict import WORDS
from wavefoundry.engine.vmc import Options
from wavefoundry.models import ConvSpec, DenseSpec, ResNetSpec, ViTSpec
from wavefoundry.problems import catalogue, exact
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.problems.gauge import SignRule, with_rule
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import count_states
from wavefoundry.studies.context import Context
from wavefoundry.studies.diagram import map_points
from wavefoundry.studies.forecast import pool_bytes, require_memory, solve_bytes
from wavefoundry.studies.mapper import Base, Mapper
from wavefoundry.studies.networks import Fitted, fitted, imposed_by
from wavefoundry.studies.pretraining import Trainer, Training, chunk_size, train
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.records import zero_of
from wavefoundry.studies.rivals import held_against

CONVENTIONS = {
    "ising": "total energy of H = -J sum_<ij> Z_i Z_j - h sum_i X_i in Pauli matrices",
    "j1j2": "total energy of H = J1 sum_nn S_i.S_j + J2 sum_nnn S_i.S_j in spin operators S = sigma / 2",
}


def build_system(spec: DiagramSpec) -> SignRule:
    """The family of Hamiltonians of a study file, at the first pre-training point, with its sign rule."""
    table = spec.system
    couplings = spec.couplings(spec.at_list()[0])
    shape, periodic = table.lattice.shape, table.lattice.periodic
    system = catalogue.build(table.model, shape, periodic=periodic, marshall=table.use_marshall, **couplings)
    return with_rule(system, spec.points_list())


def build_wavefunction(spec: DiagramSpec, system: LatticeSystem) -> Wavefunction:
    """The network of a study file, with random weights."""
    varied = tuple(system.names.index(name) for name in spec.pretrain.at)
    key = jax.random.fold_in(jax.random.key(spec.pretrain.seed), 0)
    return describe(spec, system).model.build(key, system.extent, sign_free=spec.sign_free(), couplings=varied)


def describe(spec: DiagramSpec, system: LatticeSystem) -> Fitted:
    """The network of a study file in words, with the symmetry of the Hamiltonian."""
    fields = spec.wavefunction.model_dump(exclude={"kind"})
    model = ViTSpec(**fields | {"patch": spec.patch_edge(), "head": spec.head_kind()})
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
LISTED, FULL_SUM = 2**14, 1024
"""Up to so many configurations "auto" lists them all, which costs no more than sampling and misses none; up to so many
rows of the metric it takes them all in every step, so that there is no noise at all."""


def pretrain(
    wavefunction: Wavefunction,
    system: LatticeSystem,
    points: list[dict[str, float]],
    training: Training,
    table: PretrainTable,
    context: Context,
) -> tuple[Base, Cost]:
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
    trainer = Trainer(*_static_and_trainable(wavefunction), training, system.sites)
    wavefunction, run, cost = train(wavefunction, family, trainer, key, context)
    rest = trainer.convergence(zero_of(system, system.couplings))
    if listed is None:
        return Base(system, wavefunction, run.sampler.x[0], rest), cost
    chosen = sample_listed(wavefunction, family, listed.states, key, table.walkers, training.options.chunk)
    return Base(system, wavefunction, chosen, rest), cost


def _static_and_trainable(wavefunction: Wavefunction) -> tuple[Any, Any]:
    params, static = eqx.partition(wavefunction, eqx.is_array)
    return static, tree.all_weights(params)


def run(spec: DiagramSpec, context: Context) -> dict[str, Any]:
    """Pre-train, adapt to every point, and put the records together."""
    begin = METER.now() - context.cost()
    context.say("pretrain", f"{spec.system.model}, {spec.system.lattice.sites} sites")
    rule = build_system(spec)
    system = rule.system
    context.say("pretrain", rule.words())
    wavefunction = build_wavefunction(spec, system)
    described = describe(spec, system)
    if described.note:
        context.warn(described.note)
    if spec.pretrain.warm_start is not None:
        wavefunction = warm_start(wavefunction, spec.pretrain.warm_start)
    chunk = chunk_size(wavefunction, system, spec.output.memory_mib)
    training = training_of(spec.pretrain, system.extent, chunk, spec.output.checkpoint_every)
    base, pretrain_cost = pretrain(wavefunction, system, spec.at_list(), training, spec.pretrain, context)
    context.say("adapt", f"{spec.adapt.method} at {len(spec.points_list())} points")
    mapper = make_mapper(base, spec.adapt, spec.evaluate, spec.pretrain, chunk)
    context.compiling("the sampler, the feature pool and head tuning")
    record = mapper.measure_base()
    context.save_artifact("base", base_arrays(base), base_meta(described.model, spec.pretrain, record))
    records, states, adapt_cost = map_points(mapper, spec.points_list(), context)
    kept = {f"{i}/{name}": a for i, arrays in enumerate(states) if arrays for name, a in arrays.items()}
    context.save_artifact("points", kept, {"couplings": [record["couplings"] for record in records]})
    pretrained = record | {"steps": spec.pretrain.steps, "cost": pretrain_cost.to_dict()}
    if len(spec.at_list()) > 1:
        pretrained["trained_together"] = spec.at_list()
    settings = spec.model_dump(mode="json", exclude_none=True)
    return summary_of(system, pretrained, records, adapt_cost, begin, settings, base.wavefunction)


def refuse(spec: DiagramSpec) -> None:
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


NETWORKS: dict[str, Any] = {"vit": ViTSpec, "dense": DenseSpec, "conv": ConvSpec, "resnet": ResNetSpec}
"""Descriptions of networks that can be stored, by name."""


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
    system: LatticeSystem,
    pretrained: dict[str, Any],
    records: list[dict[str, Any]],
    adapt_cost: Cost,
    begin: Cost,
    settings: dict[str, Any],
    wavefunction: Wavefunction,
) -> dict[str, Any]:
    """The machine-readable result, see docs/results.md."""
    head = tree.count(wavefunction.head)
    parameters = {"total": tree.count(wavefunction), "head": head}
    records = held_against(records, [pretrained])
    usable = sum(record["energy"] is not None for record in records)
    words = [record["verdict"] for record in (pretrained, *records)]
    return {
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
                "kind": "chain" if len(system.extent) == 1 else "square lattice",
                "size": list(system.extent),
                "periodic": system.periodic,
            },
            "title": settings.get("output", {}).get("title"),
        },
        "parameters": parameters,
        "symmetry": imposed_by(wavefunction),
        "verdict": max(words, key=WORDS.index),
        "verdicts": {word: words[1:].count(word) for word in WORDS},
        "convention": CONVENTIONS.get(system.model, "total energy of the given operators"),
        "pretrain": pretrained,
        "points": records,
        "cost": (METER.now() - begin).to_dict(),
        "adapt_cost": adapt_cost.to_dict(),
        "settings": settings,
        "versions": versions(),
        "hardware": hardware(),
    }
