"""A forgiving reading of a run's log, as ``view`` is of its summary."""

from __future__ import annotations

import math
from typing import Any

from wavefoundry.reports import view


def steps(log: list[dict[str, Any]], phase: str = "pretrain") -> list[dict[str, Any]]:
    """Optimisation steps of one phase in order; of a step that a resumed run repeated, the last record.

    Of several bases those of the first.
    """
    found = {}
    for event in log:
        ours = event.get("event") == "step" and event.get("phase", phase) == phase and not view.base_of(event)
        if ours and not math.isnan(view.number(event.get("step"))):
            found[view.number(event["step"])] = event
    return [found[step] for step in sorted(found)]


_Place = tuple[float, tuple[tuple[str, float], ...]]
"""Number of a base, and couplings."""


def adaptation_rounds(log: list[dict[str, Any]], found: list[view.Row]) -> list[list[dict[str, Any]]]:
    """Rounds of tuning of each row, in order; of a round that a resumed run repeated, the last record."""
    recorded = _rounds_by_couplings(log)
    return [
        next(
            (
                events
                for (base, at), events in recorded
                if base == row.base and all(row.couplings.get(name) == value for name, value in at)
            ),
            [],
        )
        for row in found
    ]


def _rounds_by_couplings(log: list[dict[str, Any]]) -> list[tuple[_Place, list[dict[str, Any]]]]:
    found: dict[_Place, dict[float, dict[str, Any]]] = {}
    for event in log:
        point = view.mapping(event.get("point"))
        # A point is written either as its couplings or as an object that holds them.
        named = view.couplings_of(point if "couplings" in point else {"couplings": point})
        index = view.number(event.get("round"))
        if event.get("event") == "round" and named and not math.isnan(index):
            found.setdefault((view.base_of(event), tuple(sorted(named.items()))), {})[index] = event
    return [(key, [events[index] for index in sorted(events)]) for key, events in found.items()]
