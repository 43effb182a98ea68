"""Whether finished prunings may be compared: no copies, and seeds of one study only where they are that."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from wavefoundry.core.errors import InputError
from wavefoundry.studies.tickets.transitions import over_seeds


def check_different(runs: Sequence[Any], summaries: list[dict[str, Any]]) -> None:
    """A pruning that is counted twice, or a copy of it, would be support for a transition that nothing supports."""
    names = [str(run) if isinstance(run, str | os.PathLike) else f"result {k + 1}" for k, run in enumerate(runs)]
    hunts = [_hunt(one) for one in summaries]
    for name, hunt in zip(names[1:], hunts[1:], strict=True):
        first = names[hunts.index(hunt)]
        if first != name or names.count(name) > 1:
            what = f"{name} is given twice" if first == name else f"{first} and {name} are the same pruning"
            raise InputError(what, where="collapse", why="the second says nothing new", fix="every pruning once")


def _hunt(summary: dict[str, Any]) -> tuple[Any, ...]:
    """What two runs of the same pruning share: everything but what they cost."""
    kept = ("n", "energy", "relative_error", "fidelity_dense")
    rounds = [[one.get(name) for name in kept] for one in summary["rounds"]]
    return summary["system"], summary.get("parameters"), rounds


def _study(summary: dict[str, Any]) -> list[Any]:
    """What runs of one study share, whatever their seeds: Hamiltonian, network, and how it is trained and pruned."""
    system = {name: value for name, value in summary["system"].items() if name != "title"}
    settings = summary.get("settings", {})  # copies of earlier results have none
    train = {name: value for name, value in settings.get("train", {}).items() if name != "seed"}
    return [system, summary.get("parameters"), summary.get("structure"), train, settings.get("prune")]


def over_seeds_of(summaries: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The verdict over several seeds of one study; None where they differ in more than that."""
    same = [_study(summary) for summary in summaries]
    if any(one != same[0] for one in same) or any("transition" not in s for s in summaries):
        return None
    return over_seeds([s["transition"] for s in summaries])
