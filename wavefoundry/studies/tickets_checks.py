"""What a ticket is worth: other starts, other masks, more time, other couplings."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np

from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import vector, with_vector
from wavefoundry.artifacts.spec_tickets import IsolateTable, TransferTable
from wavefoundry.core.types import Wavefunction
from wavefoundry.studies.context import Context
from wavefoundry.studies.tickets import Hunt, Reference, energies

JUMP = 3.0
"""Errors that grow by more than this factor from one round to the next are looked at again."""
FLOOR = 1e-8
"""Relative errors below this are those of an unfinished optimisation, not of a mask."""


def error_of(hunt: Hunt, theta: np.ndarray, key: jax.Array) -> dict[str, Any]:
    """Energy and relative error of given weights."""
    found = energies(hunt, hunt.workshop.measure(theta, key))
    return {name: found[name] for name in ("energy", "energy_error", "relative_error", "variance_per_site", "flags")}


def chosen_rounds(hunt: Hunt, at: list[int], rounds: int) -> list[int]:
    """Numbers of the rounds nearest to the wanted survivors, or so many spread evenly in log n; never the dense one."""
    counts = np.array([ticket.record["n"] for ticket in hunt.tickets])
    if not at and rounds:
        at = np.geomspace(counts[1:].max(initial=1), counts[-1], min(rounds, len(counts) - 1)).round().tolist()
    nearest = [int(np.argmin(np.abs(np.log(counts[1:] / n)))) + 1 for n in at] if len(counts) > 1 else []
    return list(dict.fromkeys(nearest))


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
    found = context.restore("isolate")
    done: list[dict[str, Any]] = found[2]["isolation"] if found else []
    for number in numbers:
        for variant in table.variants:
            if any((r["round"], r["variant"]) == (number, variant) for r in done):
                continue
            runs = [
                _isolated(hunt, number, variant, seed, steps, fresh, context)
                for seed in range(1 if variant == "init" and hunt.workshop.full_sum else table.seeds)
                if not (variant == "one-shot-mask" and seed and hunt.workshop.full_sum)
            ]
            record = hunt.tickets[number].record
            done.append({"round": number, "n": record["n"], "variant": variant, "steps": steps} | _gather(runs))
            context.emit({"event": "isolated", **done[-1]})
            context.save("isolate", len(done), {"none": np.zeros(1)}, {"isolation": done})
            context.stop_if_asked()
    return done


def _isolated(
    hunt: Hunt, number: int, variant: str, seed: int, steps: int, fresh: Any, context: Context
) -> dict[str, Any]:
    mask, start = hunt.tickets[number].mask, hunt.init
    entropy = np.asarray(jax.random.key_data(hunt.fold(4, number, seed))).tolist()
    rng = np.random.default_rng(entropy)
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
    trained = hunt.fit(start, mask, steps, hunt.fold(6, number, seed), context, phase=phase)
    return error_of(hunt, trained.theta, hunt.fold(8, number, seed)) | {"rollbacks": trained.rollbacks}


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
    }


def confirm_jumps(hunt: Hunt, longer: float, context: Context) -> list[dict[str, Any]]:
    """Jumps of the error from one round to the next, trained again ``longer`` times as long before they count.

    From the weights of the round and from the initial ones, under the same mask; the better result decides.
    """
    jumps = []
    for number in range(1, len(hunt.tickets)):
        before, after = (abs(hunt.tickets[i].record["relative_error"] or 0.0) for i in (number - 1, number))
        if longer <= 0 or after < FLOOR or after < JUMP * max(before, FLOOR):
            continue
        ticket, steps = hunt.tickets[number], max(1, round(longer * hunt.table.steps))
        budgets = ((ticket.theta, steps), (hunt.init, max(steps, hunt.dense_steps)))
        tried = []
        for k, (theta, budget) in enumerate(budgets):
            phase = f"jump at {ticket.record['n']} weights"
            trained = hunt.fit(theta, ticket.mask, budget, hunt.fold(9, number, k), context, phase=phase)
            tried.append(abs(error_of(hunt, trained.theta, hunt.fold(10, number, k))["relative_error"]))
        best = min([*tried, after])
        jumps.append(
            {
                "from": hunt.tickets[number - 1].record["n"],
                "to": ticket.record["n"],
                "round": number,
                "error_before": before,
                "error_after": after,
                "error_longer": best,
                "confirmed": bool(best >= JUMP * max(before, FLOOR)),
            }
        )
        context.emit({"event": "jump", **jumps[-1]})
    return jumps


def transfer(
    hunt: Hunt, table: TransferTable, points: list[dict[str, float]], reference: Any, context: Context
) -> list[dict[str, Any]]:
    """Tickets of this hunt at other couplings, beside the dense network and random masks of the same density.

    Args:
        hunt: finished, at its own couplings. table: which tickets, what is trained, for how long.
        points: couplings. reference: system -> ``Reference``. context: reports.
    """
    numbers = [0, *(chosen_rounds(hunt, table.at, 3))]
    done: list[dict[str, Any]] = []
    head = _head_weights(hunt.workshop.network)
    lattice = getattr(hunt.workshop.system, "lattice", hunt.workshop.system)
    for k, point in enumerate(points):
        there = _moved(hunt, point, reference(lattice.at(**point)))
        for number in numbers:
            ticket = hunt.tickets[number]
            rng = np.random.default_rng([k, number, 17])
            for kind in ("dense",) if number == 0 else ("ticket", "random"):
                mask = masks.random_like(hunt.where, ticket.mask, rng) if kind == "random" else ticket.mask
                start = np.where(mask, ticket.theta if kind != "random" else hunt.dense.theta, 0.0)
                trained = head & mask if table.train == "head" else mask
                key = there.fold(11, k, number)
                event = {"event": "step", "phase": f"{kind} {ticket.record['n']}", "steps": table.steps}
                found = there.workshop.fit(
                    start, trained, table.steps, key, lambda s, e, ev=event: context.emit(ev | {"step": s, "energy": e})
                )
                record = {"couplings": lattice.at(**point).values, "n": ticket.record["n"], "mask": kind}
                done.append(record | error_of(there, found.theta, there.fold(12, k, number)))
                context.emit({"event": "transferred", **done[-1]})
        context.stop_if_asked()
    return done


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
