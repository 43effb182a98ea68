"""What a ticket is worth: other starts, other masks, more time, other couplings."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np

from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import vector, with_vector
from wavefoundry.adapt.tickets import Progress, Report, Trained
from wavefoundry.artifacts.spec_tickets import IsolateTable, TransferTable
from wavefoundry.core.types import Wavefunction
from wavefoundry.studies.context import Context
from wavefoundry.studies.tickets import JUMP, Hunt, Reference, Ticket, energies, train_longer

VERDICT = ("verdict", "answers", "reasons", "flags", "trusted")
FLOOR = 1e-8
"""Relative errors below this are those of an unfinished optimisation, not of a mask."""


KEPT = ("energy", "energy_error", "relative_error", "variance_per_site", "convergence", *VERDICT)


def error_of(hunt: Hunt, trained: Trained, key: jax.Array) -> dict[str, Any]:
    """Energy, relative error and verdict of a training."""
    found = energies(hunt, hunt.workshop.measure(trained.theta, key), trained.rest)
    return {name: found[name] for name in KEPT}


def chosen_rounds(hunt: Hunt, at: list[int], rounds: int) -> list[int]:
    """Numbers of the rounds nearest to the wanted survivors, or so many spread evenly in log n; never the dense one."""
    counts = np.array([ticket.record["n"] for ticket in hunt.tickets])
    if not at and rounds:
        at = np.geomspace(counts[1:].max(initial=1), counts[-1], min(rounds, len(counts) - 1)).round().tolist()
    nearest = [int(np.argmin(np.abs(np.log(counts[1:] / n)))) + 1 for n in at] if len(counts) > 1 else []
    return list(dict.fromkeys(nearest))


class Records:
    """Finished experiments of one kind, saved after each, so that an interrupted run does none twice."""

    def __init__(self, context: Context, stream: str):
        found = context.restore(stream)
        self.context, self.stream = context, stream
        self.all: list[dict[str, Any]] = found[2]["records"] if found else []

    def has(self, **wanted: Any) -> bool:
        """Whether an experiment is finished."""
        return any(all(record[name] == value for name, value in wanted.items()) for record in self.all)

    def add(self, event: str, record: dict[str, Any]) -> None:
        """Report and save an experiment; leave the run here when it is asked to stop."""
        self.all.append(record)
        self.context.emit({"event": event, **record})
        self.context.save(self.stream, len(self.all), {"none": np.zeros(1)}, {"records": self.all})
        self.context.stop_if_asked()


def isolate(
    hunt: Hunt, table: IsolateTable, fresh: Any, context: Context, numbers: list[int] | None = None
) -> list[dict[str, Any]]:
    """Found masks trained alone, and other masks of the same density, each from the start and for the dense steps.

    Args:
        hunt: finished. table: which rounds, variants and seeds. fresh: key -> new initial weights (P,).
        context: reports and saves. numbers: rounds instead of those of the table.

    Returns:
        One record for every round and variant: the errors of all seeds, their geometric mean and its spread.
    """
    numbers = chosen_rounds(hunt, table.at, table.rounds) if numbers is None else numbers
    steps = table.steps or hunt.dense_steps
    done = Records(context, "isolate")
    for number in numbers:
        for variant in table.variants:
            if done.has(round=number, variant=variant):
                continue
            runs = [
                _isolated(hunt, number, variant, seed, steps, fresh, context)
                for seed in range(1 if variant == "init" and hunt.workshop.full_sum else table.seeds)
                if not (variant == "one-shot-mask" and seed and hunt.workshop.full_sum)
            ]
            record = hunt.tickets[number].record
            found = {"round": number, "n": record["n"], "variant": variant, "steps": steps} | _gather(runs)
            done.add("isolated", found)
    return done.all


def _isolated(
    hunt: Hunt, number: int, variant: str, seed: int, steps: int, fresh: Any, context: Context
) -> dict[str, Any]:
    mask, start = hunt.tickets[number].mask, hunt.init
    rng = _generator(hunt, 4, number, seed)
    if variant == "random-init":
        start = fresh(hunt.fold(5, seed))
    elif variant == "random-mask":
        mask = masks.random_like(hunt.where, mask, rng)
    elif variant == "shuffled-mask":
        mask = masks.shuffled(hunt.where, mask, rng)
    elif variant == "one-shot-mask":
        keep = {layer.name: int(np.sum(mask[layer.place])) for layer in hunt.where.layers}
        mask = masks.one_shot(hunt.where, hunt.dense.theta, keep)
    phase = f"{variant}, {hunt.where.count(mask)} weights, seed {seed}"
    trained = hunt.fit(start, mask, steps, hunt.fold(6, number, seed), context, phase)
    return error_of(hunt, trained, hunt.fold(8, number, seed)) | {"rollbacks": trained.rollbacks}


def _gather(runs: list[dict[str, Any]]) -> dict[str, Any]:
    values = [run["relative_error"] for run in runs]
    known = [abs(value) for value in values if value]
    logs = np.log(known) if known else np.array([])
    error = float(np.std(logs, ddof=1) / np.sqrt(logs.size)) if logs.size > 1 else None
    return {
        "errors": values,
        "energies": [run["energy"] for run in runs],
        "mean": float(np.exp(logs.mean())) if logs.size else None,
        "log_error": error,  # standard error of the mean of log(error)
        "rollbacks": sum(run["rollbacks"] for run in runs),
        "verdicts": [run["verdict"] for run in runs],
        "converged": [run["convergence"]["converged"] for run in runs],
    }


def confirm_jumps(hunt: Hunt, longer: float, context: Context) -> list[dict[str, Any]]:
    """Jumps of the error from one round to the next, trained again ``longer`` times as long before they count.

    From the weights of the round and from the initial ones, under the same mask; the better result decides.
    """
    jumps = Records(context, "confirm")
    for number in range(1, len(hunt.tickets)):
        before, after = (abs(hunt.tickets[i].record["relative_error"] or 0.0) for i in (number - 1, number))
        if longer <= 0 or after < FLOOR or after < JUMP * max(before, FLOOR) or jumps.has(round=number):
            continue
        ticket = hunt.tickets[number]
        phase = f"jump at {ticket.record['n']} weights"
        found = train_longer(hunt, ticket.theta, ticket.mask, longer, (9, number), context, phase)
        tried = [error_of(hunt, trained, hunt.fold(10, number, k)) for k, trained in enumerate(found)]
        best = min([*(abs(error["relative_error"]) for error in tried), after])
        jumps.add(
            "jump",
            {
                "from": hunt.tickets[number - 1].record["n"],
                "to": ticket.record["n"],
                "round": number,
                "error_before": before,
                "error_after": after,
                "error_longer": best,
                "confirmed": bool(best >= JUMP * max(before, FLOOR)),
            },
        )
    return jumps.all


def transfer(
    hunt: Hunt, table: TransferTable, points: list[dict[str, float]], reference: Any, context: Context
) -> list[dict[str, Any]]:
    """Tickets of this hunt at other couplings, beside the dense network and random masks of the same density.

    The random masks had the same chance at home: one for each ticket, trained there as long as a round.

    Args:
        hunt: finished, at its own couplings. table: which tickets, what is trained, for how long.
        points: couplings. reference: system -> ``Reference``. context: reports.
    """
    numbers = [0, *(chosen_rounds(hunt, table.at, 3))]
    done = Records(context, "transfer")
    head, at_random = _head_weights(hunt.workshop.network), {}
    lattice = getattr(hunt.workshop.system, "lattice", hunt.workshop.system)
    for k, point in enumerate(points):
        there, couplings = _moved(hunt, point, reference(lattice.at(**point))), lattice.at(**point).values
        for number in numbers:
            ticket = hunt.tickets[number]
            n = ticket.record["n"]
            for kind in ("dense",) if number == 0 else ("ticket", "random"):
                if done.has(couplings=couplings, n=n, mask=kind):
                    continue
                if kind == "random" and number not in at_random:
                    at_random[number] = _random_ticket(hunt, number, context)
                theta, mask, _ = at_random[number] if kind == "random" else ticket
                trained = head & mask if table.train == "head" else mask
                report, key = _reporter(context, f"{kind} {n}", table), there.fold(11, k, number)
                found = there.workshop.fit(theta, trained, table.steps, key, report)
                error = error_of(there, found, there.fold(12, k, number))
                done.add("transferred", {"couplings": couplings, "n": n, "mask": kind} | error)
    return done.all


def _random_ticket(hunt: Hunt, number: int, context: Context) -> Ticket:
    ticket, rng = hunt.tickets[number], _generator(hunt, 13, number)
    mask, phase = masks.random_like(hunt.where, ticket.mask, rng), f"random mask, {ticket.record['n']} weights"
    found = hunt.fit(hunt.dense.theta, mask, hunt.table.steps, hunt.fold(14, number), context, phase)
    return Ticket(found.theta, mask, ticket.record)


def _generator(hunt: Hunt, *numbers: int) -> np.random.Generator:
    """Random numbers of NumPy from the key of an experiment."""
    return np.random.default_rng(np.asarray(jax.random.key_data(hunt.fold(*numbers))).tolist())


def _reporter(context: Context, phase: str, table: TransferTable) -> Report:
    event = {"event": "step", "phase": phase, "steps": table.steps}

    def report(now: Progress) -> None:
        context.emit(event | {"step": now.done, "energy": now.energies[-1]})
        context.stop_if_asked()

    return report


def _moved(hunt: Hunt, point: dict[str, float], reference: Reference) -> Hunt:
    return dataclasses.replace(hunt, workshop=hunt.workshop.at(**point), reference=reference)


def _head_weights(network: Wavefunction) -> np.ndarray:
    """Which of all weights belong to the head."""
    from wavefoundry.core.tree import head_only

    theta = vector(network)
    marked = with_vector(network, theta * 0)
    chosen = head_only(marked)
    leaves = zip(jax.tree.leaves(marked), jax.tree.leaves(chosen), strict=True)
    parts = [np.full(leaf.size, bool(flag)) for leaf, flag in leaves if eqx.is_inexact_array(leaf)]
    return np.concatenate(parts)
