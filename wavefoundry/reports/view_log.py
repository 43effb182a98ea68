"""A forgiving reading of a run's log: events hold whatever they do."""

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
        ours = event.get("event") == "step" and event.get("phase", phase) == phase and not _base_of(event)
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
        named = _couplings_of(event.get("point"))
        index = view.number(event.get("round"))
        if event.get("event") == "round" and named and not math.isnan(index):
            found.setdefault((_base_of(event), tuple(sorted(named.items()))), {})[index] = event
    return [(key, [events[index] for index in sorted(events)]) for key, events in found.items()]


def energy(event: dict[str, Any], key: str) -> float:
    """An energy of an event, written as a number or as an object that holds it."""
    entry = event.get(key)
    return view.number(entry.get("energy") if isinstance(entry, dict) else entry)


def _base_of(event: dict[str, Any]) -> float:
    """Number of the base that an event belongs to; the first one where it does not say."""
    found = view.number(event.get("base"))
    return 0 if math.isnan(found) else found


def _couplings_of(point: Any) -> dict[str, float]:
    """Couplings of a point, which is written either as them or as an object that holds them."""
    held = point.get("couplings", point) if isinstance(point, dict) else {}
    values = {name: view.number(value) for name, value in held.items()} if isinstance(held, dict) else {}
    return {name: value for name, value in values.items() if not math.isnan(value)}
