"""The references of a diagram as tables: every point by every method, and what the methods cost beside our own work."""

from __future__ import annotations

import math
from typing import Any

from wavefoundry.reports import view
from wavefoundry.reports.content import Table
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error
from wavefoundry.reports.view import Compared, Row

NAMES = {
    "closed-form": "closed form",
    "lanczos": "Lanczos",
    "ed": "exact diagonalisation",
    "dmrg": "DMRG",
    "literature": "literature",
    "file": "file",
}


def table(rows: list[Row], names: tuple[str, ...]) -> Table | None:
    """Every point by every method: value, its own error, how far ours is from it, how it was found."""
    head: list[Any] = ["point", "method", "kind", "energy / site", "own error", "ours - it", "CPU s", "how"]
    body = [
        [view.label(row.couplings, names) or "the only point", NAMES.get(method, method), *_cells(one)]
        for row in rows
        for method, one in row.references.items()
    ]
    return Table(head, body, [""] * len(body)) if body else None


def _cells(one: Compared) -> list[str]:
    seconds = format_number(one.cpu_seconds, 3)
    if math.isnan(one.energy):
        return ["none", NOT_AVAILABLE, NOT_AVAILABLE, NOT_AVAILABLE, seconds, one.why]
    below = " (below)" if one.difference < 0 else ""
    known = f"{one.energy:.8f}" if not one.error > 0 else format_value_error(one.energy, one.error)
    own = format_number(one.error) if one.error > 0 else "0"
    return [one.kind, known, own, f"{format_number(one.difference)}{below}", seconds, how(one)]


def how(one: Compared) -> str:
    """How a value was found: bond dimension and truncation error, states and sectors, source, in words."""
    details = one.details
    texts = []
    if "bond_dimension" in details:
        texts.append(f"bond dimension {details['bond_dimension']}")
        texts.append(f"truncation error {format_number(view.number(details.get('truncation_error')))}")
        texts.append(f"{details.get('sweeps')} sweeps{'' if details.get('converged') else ', not converged'}")
    elif "states" in details:
        texts.append(
            f"{details.get('searched')} of {details.get('sectors')} sectors of up to {details['states']} states"
        )
        texts.append(f"ground state in {details.get('sector')}, {details.get('degeneracy')}-fold")
    texts += [str(details[key]) for key in ("method", "source", "file") if key in details]
    if not math.isnan(one.memory_mib):
        texts.append(f"{one.memory_mib:.0f} MiB")
    return "; ".join(texts) or one.source


def cost_sentence(summary: dict[str, Any]) -> str:
    """What the references cost, and how that compares with our own work; empty where none was computed."""
    found = view.mapping(summary.get("references"))
    cost = view.mapping(found.get("cost"))
    seconds, share = view.number(cost.get("cpu_seconds")), view.number(cost.get("over_ours"))
    if math.isnan(seconds):
        return ""
    beside = "" if math.isnan(share) else f", {format_number(share)} times that of pre-training and adaptation"
    parts = [
        f"{NAMES.get(method, method)} {view.cpu_seconds(one):.3g} s"
        + (f" ({one['failed']} of {one['values'] + one['failed']} failed)" if one.get("failed") else "")
        for method, one in view.mapping(found.get("methods")).items()
        if isinstance(one, dict)
    ]
    return f"The references took {format_number(seconds, 3)} CPU s{beside}: {', '.join(parts)}."
