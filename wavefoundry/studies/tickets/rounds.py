"""The rounds of pruning as tasks: cut, train the survivors, measure them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from wavefoundry.adapt import masks
from wavefoundry.adapt.masks import Flags
from wavefoundry.adapt.tickets import Cut, Measured, Trained
from wavefoundry.core.convergence import Rest, rest_doubts, rest_record
from wavefoundry.core.statistics import relative_error
from wavefoundry.core.verdict import CLOSE, Doubt, reference_doubts, verdict_of
from wavefoundry.core.verdict import Reference as Known
from wavefoundry.problems.spins import sign_free
from wavefoundry.reports import cards, shown
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output
from wavefoundry.studies.tickets.observables import alive, observables
from wavefoundry.studies.tickets.setup import Reference, StudySetup
from wavefoundry.studies.tickets.training import Trainings

JUMP = 3.0
"""Errors that grow by more than this factor from one round to the next are looked at again."""
SMALL = 1e-4
"""Below this part of the energy an error that grows is no reason for another cut."""
LONGER = 3.0
"""Factor on the steps of a round whose error jumps, for the alternative "longer"."""


class Ticket(NamedTuple):
    """Weights and survivors of one round, and its record."""

    theta: Float[np.ndarray, " P"]
    mask: Flags
    record: dict[str, Any]

    def __repr__(self) -> str:
        return shown.text(cards.ticket(self.record))

    @property
    def energy(self) -> float:
        """Energy, nan where it is not finite."""
        energy = self.record["energy"]
        return math.nan if energy is None else energy


class Before(NamedTuple):
    """What a round goes on from: the dense network, and the round before."""

    dense: Ticket
    last: Ticket


def ticket_of(output: Output) -> Ticket:
    """The ticket that a task has given."""
    return Ticket(output.arrays["theta"], output.arrays["mask"].astype(bool), output.record)


def output_of(ticket: Ticket) -> Output:
    """A ticket for the store."""
    return Output(ticket.record, {"theta": ticket.theta, "mask": ticket.mask})


class MeasuredRounds:
    """The states of the first and of the newest rounds, measured again where this process has not done so."""

    def __init__(self, setup: StudySetup):
        self.setup = setup
        self._kept: dict[int, Measured] = {}

    def measure(self, number: int, theta: np.ndarray) -> Measured:
        """Measure weights with the key of a round."""
        return self.setup.trainer.measure(theta, self.setup.fold(2, number))

    def of(self, number: int, ticket: Ticket) -> Measured:
        """The state of a finished round."""
        found = self._kept.get(number)
        return self.measure(number, ticket.theta) if found is None else found

    def keep(self, number: int, first: Measured, now: Measured) -> None:
        """Keep the states that the round after ``number`` needs."""
        self._kept = {0: first, number: now}


class _Attempt(NamedTuple):
    """One way to make a round."""

    mask: Flags
    trained: Trained
    measured: Measured

    @property
    def energy(self) -> float:
        return self.measured.estimate.mean


def dense_round(setup: StudySetup, measured: MeasuredRounds, progress: Progress) -> Output:
    """Round 0: the training of the whole network."""
    progress.compiling("the training step")
    steps, key, mask = setup.dense_steps, setup.fold(3, 0), setup.everything
    found = Trainings(progress).fit(setup.trainer, setup.init, mask, steps, key, "dense")
    now = measured.measure(0, found.theta)
    measured.keep(0, now, now)
    record = round_record(setup, 0, _Attempt(mask, found, now), (None, None), progress)
    return _reported(Ticket(found.theta, mask, record), progress)


def pruned_round(
    setup: StudySetup, number: int, before: Before, measured: MeasuredRounds, progress: Progress
) -> Output:
    """A round: cut, train, measure. Its record is empty where nothing is left to cut."""
    trainings = Trainings(progress)
    mask = trainings.mask(lambda: next_mask(setup, number, before))
    if setup.where.count(mask) == setup.where.count(before.last.mask):
        return Output({})
    best = best_attempt(setup, number, before, mask, trainings, measured)
    first, last = measured.of(0, before.dense), measured.of(number - 1, before.last)
    fidelity = setup.trainer.fidelity(last, best.measured), setup.trainer.fidelity(first, best.measured)
    measured.keep(number, first, best.measured)
    record = round_record(setup, number, best, fidelity, progress)
    return _reported(Ticket(best.trained.theta, best.mask, record), progress)


def _reported(ticket: Ticket, progress: Progress) -> Output:
    progress.emit({"event": "ticket", **ticket.record, "index": ticket.record["round"]})
    return output_of(ticket)


def best_attempt(
    setup: StudySetup, number: int, before: Before, mask: Flags, trainings: Trainings, measured: MeasuredRounds
) -> _Attempt:
    """Train the survivors of a cut; where the energy jumps, try the alternatives too, and keep the best."""
    table, key = setup.table, setup.fold(3, number)

    def attempt(mask: Flags, trained: Trained) -> _Attempt:
        return _Attempt(mask, trained, measured.measure(number, trained.theta))

    def train(mask: Flags, phase: str) -> _Attempt:
        start = start_of(setup, before, mask)
        return attempt(mask, trainings.fit(setup.trainer, start, mask, table.steps, key, phase))

    tried = [train(mask, f"round {number}")]
    if not jumped(setup, before, tried[0].energy):
        return tried[0]
    for other in table.alternatives:
        if other == "longer":
            phase, theta = f"round {number}, longer", tried[0].trained.theta
            found = train_longer(setup, Ticket(theta, mask, {}), LONGER, (15, number), trainings, phase)
            tried += [attempt(mask, trained) for trained in found]
        else:
            cut = trainings.mask(lambda score=other: next_mask(setup, number, before, score))
            tried.append(train(cut, f"round {number}, cut by {other}"))
    return min(tried, key=lambda one: one.energy)


def train_longer(
    setup: StudySetup, ticket: Ticket, longer: float, fold: tuple[int, ...], trainings: Trainings, phase: str
) -> list[Trained]:
    """The same survivors with more steps: from their trained weights, and from the initial ones.

    Args:
        ticket: trained weights and survivors. longer: factor on the steps of a round. fold: of the keys.
        trainings: of the task. phase: name in the events.
    """
    steps, mask = max(1, round(longer * setup.table.steps)), ticket.mask
    budgets = ((ticket.theta, steps), (np.where(mask, setup.init, 0.0), max(steps, setup.dense_steps)))
    return [
        trainings.fit(setup.trainer, start, mask, budget, setup.fold(*fold, k), phase)
        for k, (start, budget) in enumerate(budgets)
    ]


def next_mask(setup: StudySetup, number: int, before: Before, score: str | None = None) -> Flags:
    """Survivors of round ``number``.

    Args:
        number: of the new round. before: what it goes on from.
        score: instead of the table's, and then without its fan-in rule.
    """
    table, where, last = setup.table, setup.where, before.last
    if table.schedule == "one-shot":
        return _one_shot(setup, before)
    cut = Cut(table.fraction, 0 if score else table.fan_in)
    ranks = setup.trainer.scores(where, last.theta, last.mask, score or table.score, setup.fold(1, number), cut)
    return masks.prune(where, last.mask, ranks, table.fraction, scope=table.scope, unit=table.unit, stop=table.stop_at)


def _one_shot(setup: StudySetup, before: Before) -> Flags:
    """The mask of the next density from the dense network, whatever was cut before."""
    table, where, mask = setup.table, setup.where, before.last.mask
    at_random = table.score != "magnitude"
    basis = np.asarray(jax.random.uniform(setup.fold(7), (where.total,))) if at_random else before.dense.theta
    keep, room = {}, where.count(mask) - table.stop_at
    for layer in where.layers:
        kept = int(np.sum(mask[layer.place]))
        gone = min(masks.removals(kept, table.fraction), kept - 1, room)
        keep[layer.name], room = kept - gone, room - gone
    return masks.one_shot(where, basis, keep)


def start_of(setup: StudySetup, before: Before, mask: Flags) -> np.ndarray:
    """Weights a round starts from."""
    source = {"dense": before.dense.theta, "init": setup.init, "none": before.last.theta}
    return np.where(mask, source[setup.table.rewind], 0.0)


def jumped(setup: StudySetup, before: Before, energy: float) -> bool:
    """Whether an energy after the next cut is that of a jump, against the reference or else the dense network."""
    base = before.dense.energy if setup.reference.energy is None else setup.reference.energy
    error = max(before.last.energy - base, SMALL * abs(base))
    return energy - base > JUMP * error


def round_record(
    setup: StudySetup, number: int, made: _Attempt, fidelity: tuple[float | None, float | None], progress: Progress
) -> dict[str, Any]:
    """One round as it stands in summary.json.

    Args:
        fidelity: with the round before, and with the dense network.
    """
    left = setup.where.count(made.mask)
    return {
        "round": number,
        "n": left,
        "rho": left / setup.trainer.sites,
        "density": left / setup.prunable,
        "alive_neurons": alive(setup.where, made.mask),
        **energies(setup, made.measured, made.trained.rest),
        "fidelity_previous": fidelity[0],
        "fidelity_dense": fidelity[1],
        "steps": made.trained.steps,
        "rollbacks": made.trained.rollbacks,
        "cost": progress.cost().to_dict(),
    }


def energies(setup: StudySetup, now: Measured, rest: Rest | None) -> dict[str, Any]:
    """Energy, errors, observables and verdict of a measured state, and whether its training had come to rest.

    Args:
        setup: gives the reference. now: measured. rest: slope at the end of the training.
    """
    estimate, sites, exact = now.estimate, setup.trainer.sites, setup.reference.energy
    scale = abs(estimate.mean if exact is None else exact)
    moving = rest_doubts(rest, scale, None if exact is None else estimate.mean - exact)
    verdict = verdict_of(estimate, known(setup.reference), [*moving, *sign_doubts(setup, now)])
    return {
        "energy": estimate.mean,
        "energy_error": estimate.error,
        "energy_per_site": estimate.mean / sites,
        "relative_error": None if not exact else relative_error(estimate.mean, exact),
        "delta_per_site": None if exact is None else (estimate.mean - exact) / sites,
        "variance_per_site": estimate.variance / sites,
        "v_score": estimate.v_score,
        "r_hat": estimate.r_hat,
        "ess": estimate.ess if setup.trainer.listed is None else None,  # a full sum has no samples
        **observables(setup.lattice, now),
        "convergence": rest_record(rest, moving, scale),
        **verdict.fields(),
    }


def known(reference: Reference) -> Known | None:
    """The reference as verdicts take it: a given energy may be that of a method with an error of its own."""
    if reference.energy is None:
        return None
    return Known(reference.energy, exact=reference.kind == "exact", source=reference.kind)


def sign_doubts(setup: StudySetup, now: Measured) -> list[Doubt]:
    """Positive amplitudes where the ground state may have signs; nothing where the energy agrees with a reference."""
    estimate = now.estimate
    if not setup.trainer.network.real or sign_free(setup.lattice):
        return []
    if reference_doubts(estimate.mean, estimate.error, known(setup.reference))[1]:
        return []
    why = "the amplitudes are positive, and the ground state of this Hamiltonian may have signs"
    return [Doubt("SIGN-RULE", "ground", not (estimate.v_score or 0.0) < CLOSE, why)]
