"""What a ticket is worth: other starts, other masks, more time, other couplings. One task for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import vector, with_vector
from wavefoundry.adapt.masks import Flags
from wavefoundry.adapt.tickets import Trained
from wavefoundry.artifacts.spec_tickets import TransferTable
from wavefoundry.core.tree import head_only
from wavefoundry.core.types import Wavefunction
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output
from wavefoundry.studies.tickets.rounds import JUMP, Ticket, energies, output_of, train_longer
from wavefoundry.studies.tickets.setup import StudySetup
from wavefoundry.studies.tickets.training import Trainings

NOISE = 3.0
"""Error bars by which an energy must lie above another one."""
FLOOR = 1e-8
"""Relative errors below this are those of an unfinished optimisation, not of a mask."""
KEPT = ("energy", "energy_error", "relative_error", "variance_per_site", "convergence")
KEPT += ("verdict", "answers", "reasons", "flags", "trusted")


def chosen_rounds(counts: Sequence[int], at: Sequence[float], rounds: int) -> list[int]:
    """Numbers of the rounds nearest to the wanted survivors, or so many spread evenly in log n; never the dense one.

    Args:
        counts: survivors of all rounds. at: those that are wanted. rounds: how many, where none are named.
    """
    cut = np.array(counts[1:])
    if not cut.size:
        return []
    if not at and rounds:
        at = np.geomspace(cut.max(), cut[-1], min(rounds, cut.size)).round().tolist()
    return list(dict.fromkeys(int(np.argmin(np.abs(np.log(cut / n)))) + 1 for n in at))


def measured_error(setup: StudySetup, trained: Trained, key: PRNGKeyArray) -> dict[str, Any]:
    """Energy, relative error and verdict of a training."""
    found = energies(setup, setup.trainer.measure(trained.theta, key), trained.rest)
    return {name: found[name] for name in KEPT}


def seeds_of(setup: StudySetup, variant: str, seeds: int) -> range:
    """Repetitions of an experiment; one where every repetition would be the same."""
    alike = setup.trainer.full_sum and variant in ("init", "one-shot-mask")
    return range(1 if alike else seeds)


def isolated(
    setup: StudySetup, dense: Ticket | None, ticket: Ticket, variant: str, seed: int, steps: int, progress: Progress
) -> dict[str, Any]:
    """A found mask trained alone, or another one of the same density, from the start.

    Args:
        dense: needed for the variant "one-shot-mask". ticket: of the round. variant, seed: which experiment.
        steps: of the training.
    """
    number, mask, start = ticket.record["round"], ticket.mask, setup.init
    if variant == "random-init":
        start = setup.fresh(setup.fold(5, seed))
    elif variant == "random-mask":
        mask = masks.random_like(setup.where, mask, setup.generator(4, number, seed))
    elif variant == "shuffled-mask":
        mask = masks.shuffled(setup.where, mask, setup.generator(4, number, seed))
    elif variant == "one-shot-mask":
        assert dense is not None  # among the needs of this task
        keep = {layer.name: int(np.sum(mask[layer.place])) for layer in setup.where.layers}
        mask = masks.one_shot(setup.where, dense.theta, keep)
    phase = f"{variant}, {setup.where.count(mask)} weights, seed {seed}"
    start, key = np.where(mask, start, 0.0), setup.fold(6, number, seed)
    trained = Trainings(progress).fit(setup.trainer, start, mask, steps, key, phase)
    return measured_error(setup, trained, setup.fold(8, number, seed)) | {"rollbacks": trained.rollbacks}


def gathered(
    record: dict[str, Any], variant: str, steps: int, runs: Sequence[dict[str, Any]], progress: Progress
) -> dict[str, Any]:
    """The repetitions of an experiment together: the errors, their geometric mean and its spread.

    Args:
        record: of the round. variant, steps: of the experiment. runs: its records, seed by seed.
    """
    values = [run["relative_error"] for run in runs]
    logs = np.log([abs(value) for value in values if value])
    error = float(np.std(logs, ddof=1) / np.sqrt(logs.size)) if logs.size > 1 else None
    found = {
        "round": record["round"],
        "n": record["n"],
        "variant": variant,
        "steps": steps,
        "errors": values,
        "energies": [run["energy"] for run in runs],
        "mean": float(np.exp(logs.mean())) if logs.size else None,
        "log_error": error,  # standard error of the mean of log(error)
        "rollbacks": sum(run["rollbacks"] for run in runs),
        "verdicts": [run["verdict"] for run in runs],
        "converged": [run["convergence"]["converged"] for run in runs],
    }
    progress.emit({"event": "isolated", **found})
    return found


def jumps_of(records: Sequence[Mapping[str, Any]]) -> Iterable[int]:
    """Numbers of the rounds whose relative error jumps; what noise or the floor explains is no jump."""
    return (number for number in range(1, len(records)) if jumps(records[number - 1], records[number]))


def jumps(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether the relative error of one record is that of a jump from the other."""
    least, size = (abs(record["relative_error"] or 0.0) for record in (before, after))
    return size >= JUMP * max(least, FLOOR) and _above_noise(before, after)


def _above_noise(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether an energy lies above another one beyond the error bars of both; above none at all it does."""
    if before["energy"] is None or after["energy"] is None:
        return True
    return after["energy"] - before["energy"] > NOISE * math.hypot(
        before["energy_error"] or 0.0, after["energy_error"] or 0.0
    )


def confirmed(
    setup: StudySetup, before: dict[str, Any], ticket: Ticket, longer: float, progress: Progress
) -> dict[str, Any]:
    """A jump of the error, trained again before it counts.

    From the weights of the round and from the initial ones, under the same mask; the better result decides.

    Args:
        before: record of the round before. ticket: of the round. longer: factor on the steps.
    """
    number, least = ticket.record["round"], abs(before["relative_error"] or 0.0)
    phase = f"jump at {ticket.record['n']} weights"
    found = train_longer(setup, ticket, longer, (9, number), Trainings(progress), phase)
    tried = [measured_error(setup, trained, setup.fold(10, number, k)) for k, trained in enumerate(found)]
    after = abs(ticket.record["relative_error"])
    least_left = min([*tried, ticket.record], key=lambda one: abs(one["relative_error"]))
    record = {
        "from": before["n"],
        "to": ticket.record["n"],
        "round": number,
        "error_before": least,
        "error_after": after,
        "error_longer": abs(least_left["relative_error"]),
        "confirmed": jumps(before, least_left),
    }
    progress.emit({"event": "jump", **record})
    return record


def random_ticket(setup: StudySetup, dense: Ticket, ticket: Ticket, progress: Progress) -> Output:
    """A random mask as dense as a ticket, with the same chance at home: trained there as long as a round."""
    number, n = ticket.record["round"], ticket.record["n"]
    mask = masks.random_like(setup.where, ticket.mask, setup.generator(13, number))
    start, key, phase = np.where(mask, dense.theta, 0.0), setup.fold(14, number), f"random mask, {n} weights"
    found = Trainings(progress).fit(setup.trainer, start, mask, setup.table.steps, key, phase)
    return output_of(Ticket(found.theta, mask, {"round": number, "n": n}))


def transferred(
    there: StudySetup, ticket: Ticket, kind: str, place: int, table: TransferTable, progress: Progress
) -> dict[str, Any]:
    """A ticket at other couplings.

    Args:
        there: setup at these couplings. ticket: from home. kind: "dense", "ticket" or "random".
        place: number of the couplings. table: what is trained, for how long.
    """
    number, n = ticket.record["round"], ticket.record["n"]
    trained = head_weights(there.trainer.network) & ticket.mask if table.train == "head" else ticket.mask
    key = there.fold(11, place, number)
    found = Trainings(progress).fit(there.trainer, ticket.theta, trained, table.steps, key, f"{kind} {n}")
    error = measured_error(there, found, there.fold(12, place, number))
    record = {"couplings": there.lattice.values, "n": n, "mask": kind} | error
    progress.emit({"event": "transferred", **record})
    return record


def head_weights(network: Wavefunction) -> Flags:
    """Which of all weights belong to the head."""
    marked = with_vector(network, vector(network) * 0)
    leaves = zip(jax.tree.leaves(marked), jax.tree.leaves(head_only(marked)), strict=True)
    return np.concatenate([np.full(leaf.size, bool(flag)) for leaf, flag in leaves if eqx.is_inexact_array(leaf)])
