"""Tickets: train densely, prune round by round, and keep every round with its numbers. Resumable at every round."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from wavefoundry.adapt import compact, masks
from wavefoundry.adapt.masks import Flags, Layout
from wavefoundry.adapt.tickets import Cut, Measured, Progress, Trained, Workshop
from wavefoundry.artifacts.spec_tickets import PruneTable
from wavefoundry.core import tree
from wavefoundry.core.convergence import Rest, rest_doubts, rest_record
from wavefoundry.core.meter import METER, Cost
from wavefoundry.core.statistics import relative_error
from wavefoundry.core.verdict import CLOSE, Doubt, reference_doubts, verdict_of
from wavefoundry.core.verdict import Reference as Known
from wavefoundry.problems.spins import sign_free
from wavefoundry.studies.context import Context
from wavefoundry.studies.tickets_state import alive, observables

STREAM, TRAINING = "tickets", "training"
"""Checkpoints of finished rounds, and within a round."""
CHECKPOINT_EVERY = 500
"""Steps between two checkpoints within a round."""
JUMP = 3.0
"""Errors that grow by more than this factor from one round to the next are looked at again."""
SMALL = 1e-4
"""Below this part of the energy an error that grows is no reason for another cut."""
LONGER = 3.0
"""Factor on the steps of a round whose error jumps, for the alternative "longer"."""
UNKNOWN = 1e300
"""Stands for an energy that is not known yet, where numbers have to be finite."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """Energy that errors are taken against, and where it comes from: "exact", "given" or "none"."""

    energy: float | None
    kind: str


class Ticket(NamedTuple):
    """Weights and survivors of one round, and its record."""

    theta: Float[np.ndarray, " P"]
    mask: Flags
    record: dict[str, Any]


@dataclasses.dataclass
class Hunt:
    """What a hunt for tickets works with, and what it has found so far (round 0 is the dense network).

    ``init`` are the weights before any training, ``key`` the root of all random numbers, ``dense_steps`` those of the
    training before the first cut.
    """

    workshop: Workshop
    where: Layout
    init: Float[np.ndarray, " P"]
    key: jax.Array
    reference: Reference
    dense_steps: int
    table: PruneTable
    tickets: list[Ticket] = dataclasses.field(default_factory=list)

    @property
    def dense(self) -> Ticket:
        """The dense network after its training."""
        return self.tickets[0]

    def fold(self, *numbers: int) -> jax.Array:
        """The random key of a round or an experiment."""
        key = self.key
        for number in numbers:
            key = jax.random.fold_in(key, number)
        return key

    def fit(
        self,
        theta: np.ndarray,
        mask: Flags,
        steps: int,
        key: jax.Array,
        context: Context,
        phase: str,
        save: bool = False,
    ) -> Trained:
        """Train every survivor, and all weights that are never pruned; the others are zero before and after.

        Args:
            theta: all weights. mask: survivors. steps: at most. key: of the samples.
            context: reports after every block.
            phase: name in the events. save: checkpoints, so that an interrupted round goes on where it stopped.
        """
        sites, keeper = self.workshop.sites, Keeper(self, context) if save else None

        def report(now: Progress) -> None:
            numbers = {"energy": now.energies[-1], "energy_per_site": now.energies[-1] / sites}
            context.emit({"event": "step", "phase": phase, "step": now.done, "steps": steps} | numbers)
            if keeper:
                keeper.keep(now)
            context.stop_if_asked()

        going_on = keeper.going_on if keeper else lambda _: None
        return self.workshop.fit(np.where(mask, theta, 0.0), mask, steps, key, report, going_on)

    def next_mask(self, number: int, score: str | None = None) -> Flags:
        """Survivors of round ``number``, from the ticket of the round before.

        Args:
            number: of the new round. score: instead of the table's, and then without its fan-in rule.
        """
        table, last = self.table, self.tickets[-1]
        if table.schedule == "one-shot":
            basis = (
                self.dense.theta
                if table.score == "magnitude"
                else np.asarray(jax.random.uniform(self.fold(7), (self.where.total,)))
            )
            keep, room = {}, self.where.count(last.mask) - table.stop_at
            for layer in self.where.layers:
                kept = int(np.sum(last.mask[layer.place]))
                gone = min(masks.removals(kept, table.fraction), kept - 1, room)
                keep[layer.name], room = kept - gone, room - gone
            return masks.one_shot(self.where, basis, keep)
        cut = Cut(table.fraction, 0 if score else table.fan_in)
        kind, key = score or table.score, self.fold(1, number)
        ranks = self.workshop.scores(self.where, last.theta, last.mask, kind, key, cut)
        return masks.prune(
            self.where, last.mask, ranks, table.fraction, scope=table.scope, unit=table.unit, stop=table.stop_at
        )

    def jumped(self, energy: float) -> bool:
        """Whether an energy after the next cut is that of a jump, against the reference or else the dense network."""
        base = self.reference.energy if self.reference.energy is not None else self.dense.record["energy"]
        before = max(self.tickets[-1].record["energy"] - base, SMALL * abs(base))
        return energy - base > JUMP * before

    def start_of(self, mask: Flags) -> np.ndarray:
        """Weights a round starts from."""
        source = {"dense": lambda: self.dense.theta, "init": lambda: self.init, "none": lambda: self.tickets[-1].theta}
        return np.where(mask, source[self.table.rewind](), 0.0)


class Keeper:
    """Checkpoints within the training of the next round."""

    def __init__(self, hunt: Hunt, context: Context):
        self.context, self.number, self.saved = context, len(hunt.tickets), 0
        self.before = sum(ticket.record["steps"] for ticket in hunt.tickets)

    def keep(self, now: Progress) -> None:
        """Save every ``CHECKPOINT_EVERY`` steps, and when the run is asked to stop."""
        if now.done - self.saved < CHECKPOINT_EVERY and not self.context.stopping:
            return
        self.saved = now.done
        meta = {
            "round": self.number,
            "done": now.done,
            "energies": [energy if math.isfinite(energy) else None for energy in now.energies],
            "tail": [energy if math.isfinite(energy) else None for energy in now.tail],
        }
        # a checkpoint holds finite numbers alone, and the energy to compare with is infinite after a rollback
        state = now.state._replace(energy=jnp.minimum(now.state.energy, UNKNOWN))
        self.context.save(TRAINING, self.before + now.done, state, meta)

    def going_on(self, fresh: compact.State) -> Progress | None:
        """The newest checkpoint, if it is one of this round."""
        found = self.context.restore(TRAINING)
        if found is None or found[2]["round"] != self.number:
            return None
        _, arrays, meta = found
        state = tree.from_arrays(fresh, arrays)
        state = state._replace(energy=jnp.where(state.energy < UNKNOWN, state.energy, jnp.inf))
        self.context.say(STREAM, f"round {self.number} goes on at step {meta['done']}")
        energies, tail = ([math.nan if e is None else e for e in meta.get(name, [])] for name in ("energies", "tail"))
        return Progress(meta["done"], state, energies, tail)


def hunt_down(hunt: Hunt, context: Context) -> Cost:
    """Dense training and all rounds, from where an interrupted run stopped.

    Returns:
        What it cost, earlier parts included.
    """
    before, spent = METER.now(), _restore(hunt, context)
    measured: list[Measured] = []

    def close(number: int, mask: Flags, found: Trained, now: Measured, begin: Cost) -> None:
        again = [_measure(hunt, i, hunt.tickets[i].theta) for i in (0, number - 1) if number and not measured]
        first, last = (measured or again or [now, now])[0], (measured or again or [now, now])[-1]
        fidelity = (hunt.workshop.fidelity(last, now), hunt.workshop.fidelity(first, now))
        record = round_record(hunt, number, mask, now, found, fidelity, METER.now() - begin)
        hunt.tickets.append(Ticket(found.theta, mask, record))
        measured[:] = [first, now]
        context.emit({"event": "ticket", **record, "index": number})
        _save(hunt, context, METER.now() - before + spent)
        context.stop_if_asked()

    everything = np.ones(hunt.where.total, bool)
    if not hunt.tickets:
        begin = METER.now()
        context.compiling("the training step")
        found = hunt.fit(hunt.init, everything, hunt.dense_steps, hunt.fold(3, 0), context, "dense", save=True)
        close(0, everything, found, _measure(hunt, 0, found.theta), begin)
    while True:
        number, last = len(hunt.tickets), hunt.tickets[-1]
        if hunt.where.count(last.mask) <= max(hunt.table.stop_at, len(hunt.where.layers)):
            break
        begin = METER.now()
        mask = hunt.next_mask(number)
        if hunt.where.count(mask) == hunt.where.count(last.mask):
            break
        close(number, *_round(hunt, number, mask, context), begin)
    return METER.now() - before + spent


class _Attempt(NamedTuple):
    """One way to make a round."""

    mask: Flags
    trained: Trained
    measured: Measured

    @property
    def energy(self) -> float:
        return self.measured.estimate.mean


def _round(hunt: Hunt, number: int, mask: Flags, context: Context) -> _Attempt:
    """Train the survivors of a cut; where the energy jumps, try the alternatives too, and keep the best."""

    def attempt(mask: Flags, trained: Trained) -> _Attempt:
        return _Attempt(mask, trained, _measure(hunt, number, trained.theta))

    def train(mask: Flags, phase: str, save: bool = False) -> _Attempt:
        key = hunt.fold(3, number)
        return attempt(mask, hunt.fit(hunt.start_of(mask), mask, hunt.table.steps, key, context, phase, save))

    first = train(mask, f"round {number}", save=True)
    if not hunt.table.alternatives or not hunt.jumped(first.energy):
        return first
    tried = [first]
    for other in hunt.table.alternatives:
        # not saved within: an interrupted round makes its attempts again
        if other == "longer":
            phase = f"round {number}, longer"
            found = train_longer(hunt, first.trained.theta, mask, LONGER, (15, number), context, phase)
            tried += [attempt(mask, trained) for trained in found]
        else:
            tried.append(train(hunt.next_mask(number, other), f"round {number}, cut by {other}"))
    return min(tried, key=lambda one: one.energy)


def train_longer(
    hunt: Hunt, theta: np.ndarray, mask: Flags, longer: float, fold: tuple[int, ...], context: Context, phase: str
) -> list[Trained]:
    """The same survivors with more steps: from their trained weights, and from the initial ones.

    Args:
        theta: trained weights. mask: survivors. longer: factor on the steps of a round. fold: of the keys.
        context, phase: as in ``Hunt.fit``.
    """
    steps = max(1, round(longer * hunt.table.steps))
    budgets = ((theta, steps), (hunt.init, max(steps, hunt.dense_steps)))
    return [
        hunt.fit(start, mask, budget, hunt.fold(*fold, k), context, phase) for k, (start, budget) in enumerate(budgets)
    ]


def _measure(hunt: Hunt, number: int, theta: np.ndarray) -> Measured:
    return hunt.workshop.measure(theta, hunt.fold(2, number))


def round_record(
    hunt: Hunt,
    number: int,
    mask: Flags,
    now: Measured,
    found: Trained,
    fidelity: tuple[float, float],
    cost: Cost,
) -> dict[str, Any]:
    """One round as it stands in summary.json."""
    left, sites = hunt.where.count(mask), hunt.workshop.sites
    record = {
        "round": number,
        "n": left,
        "rho": left / sites,
        "density": left / hunt.where.count(np.ones_like(mask)),
        "alive_neurons": alive(hunt.where, mask),
        **energies(hunt, now, found.rest),
        "fidelity_previous": fidelity[0] if number else None,
        "fidelity_dense": fidelity[1] if number else None,
        "steps": found.steps,
        "rollbacks": found.rollbacks,
        "cost": cost.to_dict(),
    }
    return record


def energies(hunt: Hunt, now: Measured, rest: Rest | None) -> dict[str, Any]:
    """Energy, errors, observables and verdict of a measured state, and whether its training had come to rest.

    Args:
        hunt: gives the reference. now: measured. rest: slope at the end of the training.
    """
    estimate, sites, exact = now.estimate, hunt.workshop.sites, hunt.reference.energy
    scale = abs(estimate.mean if exact is None else exact)
    moving = rest_doubts(rest, scale, None if exact is None else estimate.mean - exact)
    verdict = verdict_of(estimate, known(hunt.reference), [*moving, *sign_doubts(hunt, now)])
    return {
        "energy": estimate.mean,
        "energy_error": estimate.error,
        "energy_per_site": estimate.mean / sites,
        "relative_error": None if not exact else relative_error(estimate.mean, exact),
        "delta_per_site": None if exact is None else (estimate.mean - exact) / sites,
        "variance_per_site": estimate.variance / sites,
        "v_score": estimate.v_score,
        "r_hat": estimate.r_hat,
        "ess": estimate.ess,
        **observables(hunt.workshop.system, now),
        "convergence": rest_record(rest, moving, scale),
        **verdict.fields(),
    }


def known(reference: Reference) -> Known | None:
    """The reference as verdicts take it: a given energy may be that of a method with an error of its own."""
    if reference.energy is None:
        return None
    return Known(reference.energy, exact=reference.kind == "exact", source=reference.kind)


def sign_doubts(hunt: Hunt, now: Measured) -> list[Doubt]:
    """Positive amplitudes where the ground state may have signs; nothing where the energy agrees with a reference."""
    system, estimate = getattr(hunt.workshop.system, "lattice", hunt.workshop.system), now.estimate
    if not hunt.workshop.network.real or sign_free(system):
        return []
    if reference_doubts(estimate.mean, estimate.error, known(hunt.reference))[1]:
        return []
    why = "the amplitudes are positive, and the ground state of this Hamiltonian may have signs"
    return [Doubt("SIGN-RULE", "ground", not (estimate.v_score or 0.0) < CLOSE, why)]


def _save(hunt: Hunt, context: Context, cost: Cost) -> None:
    context.save(STREAM, len(hunt.tickets), arrays_of(hunt), {"rounds": records(hunt), "cost": cost._asdict()})


def arrays_of(hunt: Hunt) -> dict[str, np.ndarray]:
    """Weights and masks of all rounds, for the store."""
    return {
        "init": np.asarray(hunt.init),
        "theta": np.stack([ticket.theta for ticket in hunt.tickets]),
        "mask": np.stack([ticket.mask for ticket in hunt.tickets]).astype(np.uint8),
    }


def records(hunt: Hunt) -> list[dict[str, Any]]:
    """Records of all rounds."""
    return [ticket.record for ticket in hunt.tickets]


def tickets_of(arrays: dict[str, np.ndarray], rounds: list[dict[str, Any]]) -> list[Ticket]:
    """Tickets from stored arrays and records; names may be those of ``core.tree.to_arrays``."""
    plain = {name.strip("[]'"): value for name, value in arrays.items()}
    return [
        Ticket(theta, mask.astype(bool), record)
        for theta, mask, record in zip(plain["theta"], plain["mask"], rounds, strict=True)
    ]


def _restore(hunt: Hunt, context: Context) -> Cost:
    found = context.restore(STREAM)
    if found is None:
        return Cost()
    _, arrays, meta = found
    hunt.tickets = tickets_of(arrays, meta["rounds"])
    context.say(STREAM, f"going on after round {len(hunt.tickets) - 1}")
    return Cost(**meta["cost"])
