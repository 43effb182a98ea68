"""From a study file of kind "tickets" to its summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import Options, vector
from wavefoundry.adapt.tickets import LARGEST_SURGEON, Rules, Workshop
from wavefoundry.artifacts.spec_tickets import TicketsSpec
from wavefoundry.core.errors import InputError
from wavefoundry.core.types import Wavefunction
from wavefoundry.models import ConvSpec, DenseSpec, ResNetSpec, ViTSpec
from wavefoundry.problems import catalogue, exact
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies import tickets_checks as checks
from wavefoundry.studies.context import Context
from wavefoundry.studies.networks import fitted
from wavefoundry.studies.pretraining import chunk_size
from wavefoundry.studies.tickets import Hunt, Reference, arrays_of, hunt_down, records
from wavefoundry.studies.tickets_summary import summary_of

EXACT_SITES = 18
"""Spins up to which "auto" finds the exact energy by Lanczos."""


def build_system(spec: TicketsSpec) -> LatticeSystem:
    """The Hamiltonian of a study file."""
    table = spec.system
    shape, values = table.lattice.shape, table.values
    periodic = table.lattice.periodic
    return catalogue.build(table.model, shape, periodic=periodic, marshall=table.use_marshall, **values)


def describe(spec: TicketsSpec) -> DenseSpec | ConvSpec | ResNetSpec | ViTSpec:
    """The network of a study file in words."""
    table = spec.wavefunction
    if table.kind == "dense":
        return DenseSpec(table.alpha, table.activation, table.init_std, table.precision)
    if table.kind == "conv":
        return ConvSpec(table.channels, table.window, spec.system.lattice.periodic, table.precision)
    if table.kind == "resnet":
        return ResNetSpec(table.channels, table.blocks, table.window, spec.system.lattice.periodic, table.precision)
    head = "real" if spec.sign_free() else "complex"
    fields = {name: getattr(table, name) for name in ("width", "layers", "heads", "precision")}
    return ViTSpec(patch=spec.patch_edge(), head=head, **fields)


def reference_of(system: LatticeSystem, given: float | None, wanted: Any = "auto") -> Reference:
    """The energy to compare with: given, closed form (toric code), or Lanczos up to 18 spins."""
    if given is not None:
        return Reference(given, "given")
    if wanted is False:
        return Reference(None, "none")
    values = system.values
    if system.model == "toric" and min(values.values()) >= 0:
        return Reference(-sum(values.values()) * (system.sites // 2), "exact")
    if system.sites <= EXACT_SITES:
        return Reference(float(exact.ground_state(system.operator())[0]), "exact")
    return Reference(None, "none")


def workshop_of(network: Wavefunction, system: LatticeSystem, spec: TicketsSpec) -> Workshop:
    """Training and measurement with the settings of a study file."""
    train, evaluate = spec.train, spec.evaluate
    full = spec.full_sum()
    chunk = chunk_size(network, system, spec.output.memory_mib)
    moves = 0 if full else max(1, round(train.sweeps * system.sites))
    rules = Rules(
        options=Options(moves, chunk, samples=1 if full else train.samples // train.chains, kept=train.metric_steps),
        learning_rate=spec.learning_rate(),
        shift=train.diagonal_shift,
        block=train.block,
        chains=train.chains,
        tolerance=train.tolerance,
        eval_chains=evaluate.chains,
        eval_samples=max(4, evaluate.samples // evaluate.chains),
    )
    if full:
        return Workshop(network, enumerate_states(system), rules)
    exactly = system.sites <= EXACT_SITES and evaluate.exact is not False
    return Workshop(network, system, rules, enumerate_states(system) if exactly else None)


def prunable(spec: TicketsSpec, network: Wavefunction) -> masks.Layout:
    """The layers that are pruned.

    Raises:
        InputError: there is nothing to prune, or more than the score can take.
    """
    where = masks.layout(network, spec.prune.layers)
    total = where.count(np.ones(where.total, bool))
    if total <= spec.prune.stop_at:
        raise InputError(
            f"stop_at = {spec.prune.stop_at} prunes nothing",
            where="prune.stop_at",
            why=f"{total} weights can be pruned",
        )
    if spec.prune.score == "surgeon" and total > LARGEST_SURGEON:
        raise InputError(
            f"the surgeon score cannot invert the metric of {total} weights",
            where="prune.score",
            why=f"at most {LARGEST_SURGEON}",
            fix='score = "curvature", or "magnitude"',
        )
    return where


def refuse(spec: TicketsSpec) -> None:
    """Refuse a study whose network cannot be pruned as wanted.

    Raises:
        InputError: see ``prunable``; or a warm start that does not fit.
    """
    prunable(spec, first_network(spec, build_system(spec))[0])


def make_hunt(spec: TicketsSpec, system: LatticeSystem, network: Wavefunction) -> Hunt:
    """Everything a hunt needs; refuses a network that cannot be pruned as wanted."""
    where = prunable(spec, network)
    return Hunt(
        workshop=workshop_of(network, system, spec),
        where=where,
        init=np.asarray(vector(network)),
        key=jax.random.fold_in(jax.random.key(spec.train.seed), 1),
        reference=reference_of(system, spec.evaluate.reference, spec.evaluate.exact),
        dense_steps=spec.train.steps,
        table=spec.prune,
    )


def first_network(spec: TicketsSpec, system: LatticeSystem) -> tuple[Wavefunction, Callable[[jax.Array], np.ndarray]]:
    """The network with its first weights, and a function that draws others."""
    model = fitted(describe(spec), system, spec.sign_free()).model

    def build(key: jax.Array) -> Wavefunction:
        return model.build(key, system.extent, sign_free=spec.sign_free())

    network = build(jax.random.fold_in(jax.random.key(spec.train.seed), 0))
    if spec.train.warm_start is not None:
        from wavefoundry.studies.diagram_run import warm_start

        network = warm_start(network, spec.train.warm_start)
    return network, lambda key: np.asarray(vector(build(key)))


def run(spec: TicketsSpec, context: Context) -> dict[str, Any]:
    """Train, prune round by round, isolate, transfer, and put the records together."""
    context.say("tickets", f"{spec.system.model}, {spec.system.sites} spins, {spec.wavefunction.kind} network")
    system = build_system(spec)
    network, fresh = first_network(spec, system)
    if note := fitted(describe(spec), system, spec.sign_free()).note:
        context.warn(note)
    hunt = make_hunt(spec, system, network)
    total = hunt.where.count(np.ones(hunt.where.total, bool))
    rounds = len(masks.counts(total, spec.prune.fraction, spec.prune.stop_at)) - 1
    context.say("prune", f"{total} weights, about {rounds} rounds to {spec.prune.stop_at}")
    cost = hunt_down(hunt, context)
    context.save_artifact("tickets", arrays_of(hunt), {"rounds": records(hunt), "spec": spec.model_dump(mode="json")})
    known = hunt.reference.energy is not None
    isolation, jumps, moved = [], [], []
    if known and (spec.isolate.rounds or spec.isolate.at):
        context.say("isolate", "masks on their own")
        isolation = checks.isolate(hunt, spec.isolate, fresh, context)
    if known and spec.isolate.confirm:
        context.say("confirm", "jumps of the error, with more time")
        jumps = checks.confirm_jumps(hunt, spec.isolate.confirm, context)
    if points := spec.transfer_list():
        context.say("transfer", f"tickets at {len(points)} other couplings")
        moved = checks.transfer(
            hunt, spec.transfer, points, lambda s: reference_of(s, None, spec.evaluate.exact), context
        )
    found = {"isolation": isolation, "jumps": jumps, "transfer": moved}
    return summary_of(hunt, spec, found, cost, context.cost())
