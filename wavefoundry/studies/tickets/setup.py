"""What all trainings of a study of tickets share: the network, its Hamiltonian, the settings, and the random keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import Options, vector
from wavefoundry.adapt.masks import Flags, Layout
from wavefoundry.adapt.tickets import LARGEST_SURGEON, Rules, Trainer
from wavefoundry.artifacts.spec_tickets import PruneTable, TicketsSpec
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import MOST_STATES
from wavefoundry.core.memory import require_memory
from wavefoundry.core.types import Wavefunction
from wavefoundry.problems import exact
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.problems.gauge import with_rule
from wavefoundry.problems.observables import closed_form
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import count_states
from wavefoundry.studies.diagram.networks import built, described, fitted, system_of
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.forecast import solve_bytes

PER_STEP, PER_WEIGHT = 2e-4, 1e-9
"""Rough seconds of a step, whatever its size, and of one configuration and weight in it."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Energy that errors are taken against, and where it comes from: "exact", "given" or "none"."""

    energy: float | None
    kind: str


@dataclasses.dataclass(frozen=True)
class StudySetup:
    """What every task works with; it follows from the study file alone.

    init: weights before any training. fresh: key -> other ones. key: root of all random numbers.
    dense_steps: of the training before the first cut.
    """

    trainer: Trainer
    where: Layout
    init: Float[np.ndarray, " P"]
    fresh: Callable[[jax.Array], np.ndarray]
    key: jax.Array
    reference: Reference
    dense_steps: int
    table: PruneTable

    @property
    def lattice(self) -> Any:
        """The lattice system, also where its states are listed."""
        return getattr(self.trainer.system, "lattice", self.trainer.system)

    @property
    def everything(self) -> Flags:
        """The mask of the dense network."""
        return np.ones(self.where.total, bool)

    @property
    def prunable(self) -> int:
        """Number of weights that may be pruned."""
        return self.where.count(self.everything)

    def fold(self, *numbers: int) -> jax.Array:
        """The random key of a round or an experiment."""
        key = self.key
        for number in numbers:
            key = jax.random.fold_in(key, number)
        return key

    def generator(self, *numbers: int) -> np.random.Generator:
        """Random numbers of NumPy from the key of an experiment."""
        return np.random.default_rng(np.asarray(jax.random.key_data(self.fold(*numbers))).tolist())

    def moved(self, point: dict[str, float], reference: Reference) -> StudySetup:
        """The same at other couplings."""
        return dataclasses.replace(self, trainer=self.trainer.at(**point), reference=reference)

    def share(self, steps: int, trained: int) -> float:
        """Rough seconds of a training: all weights for the amplitudes, the trained ones for the metric."""
        rules, options = self.trainer.rules, self.trainer.rules.options
        count = 2.0**self.trainer.sites if self.trainer.full_sum else rules.chains * options.samples
        connected = 1 if self.trainer.full_sum else self.trainer.sites
        weights = connected * self.where.total + trained * min(trained, count) / options.kept
        return steps * (PER_STEP + PER_WEIGHT * count * weights)


def build_system(spec: TicketsSpec) -> LatticeSystem:
    """The Hamiltonian of a study file, with a sign rule where one helps, as in diagrams."""
    return with_rule(system_of(spec.system, spec.system.values)).system


def describe(spec: TicketsSpec) -> Any:
    """The network of a study file in words."""
    return described(spec.wavefunction, spec.system, spec.sign_free())


def reference_of(system: LatticeSystem, given: float | None, wanted: Any = "auto") -> Reference:
    """The energy to compare with: given, closed form, or Lanczos of a small system."""
    if given is not None:
        return Reference(given, "given")
    if wanted is False:
        return Reference(None, "none")
    if (known := closed_form(system)) is not None:
        return Reference(known["energy"], "exact")
    if exact.listable(system.hilbert):
        energy, _ = exact.ground_state(system.in_units().operator())
        return Reference(system.unit * energy, "exact")
    return Reference(None, "none")


def trainer_of(network: Wavefunction, system: LatticeSystem, spec: TicketsSpec) -> Trainer:
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
        return Trainer(network, enumerate_states(system), rules)
    exactly = count_states(system.hilbert, 20) <= MOST_STATES and evaluate.exact is not False
    return Trainer(network, system, rules, enumerate_states(system) if exactly else None)


def prunable(spec: TicketsSpec, network: Wavefunction) -> Layout:
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


def require_room(spec: TicketsSpec, network: Wavefunction, system: LatticeSystem) -> None:
    """Refuse dense trainings whose arrays cannot be held.

    Raises:
        InputError: their derivatives do not fit into memory.
    """
    samples = int(count_states(system.hilbert, 20)) if spec.full_sum() else spec.train.samples
    fix = "fewer samples or weights" if not spec.full_sum() else 'sampling = "metropolis", or fewer weights'
    require_memory(solve_bytes(network, samples), "a training step", "train.samples, wavefunction", fix)


def make_setup(
    spec: TicketsSpec, system: LatticeSystem, network: Wavefunction, build: Callable[[jax.Array], Wavefunction]
) -> StudySetup:
    """Everything the tasks need.

    Args:
        spec: settings. system: Hamiltonian. network: with its first weights. build: key -> one with other weights.

    Raises:
        InputError: see ``prunable`` and ``require_room``.
    """
    require_room(spec, network, system)
    where = prunable(spec, network)
    return StudySetup(
        trainer=trainer_of(network, system, spec),
        where=where,
        init=np.asarray(vector(network)),
        fresh=lambda key: np.asarray(vector(build(key))),
        key=jax.random.fold_in(jax.random.key(spec.train.seed), 1),
        reference=reference_of(system, spec.evaluate.reference, spec.evaluate.exact),
        dense_steps=spec.train.steps,
        table=spec.prune,
    )


def first_network(spec: TicketsSpec, system: LatticeSystem) -> tuple[Wavefunction, Callable[[jax.Array], Wavefunction]]:
    """The network with its first weights, and a function that builds it with others."""
    model = fitted(describe(spec), system, spec.sign_free()).model

    def build(key: jax.Array) -> Wavefunction:
        return built(model, key, system, sign_free=spec.sign_free())

    network = build(jax.random.fold_in(jax.random.key(spec.train.seed), 0))
    if spec.train.warm_start is not None:
        from wavefoundry.studies.diagram.given import warm_start

        network = warm_start(network, spec.train.warm_start, "train.warm_start")
    return network, build


def setup_of(spec: TicketsSpec, *, ruled: bool = True) -> StudySetup:
    """The setup of a study file; ``ruled``: tickets of earlier releases were trained without a sign rule."""
    system = build_system(spec) if ruled else system_of(spec.system, spec.system.values)
    return make_setup(spec, system, *first_network(spec, system))
