"""The references of a diagram as tables: every point by every method, and what the methods cost beside our own work."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from wavefoundry.reports import view
from wavefoundry.reports.content import Table
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error
from wavefoundry.reports.view import Compared, Row

if TYPE_CHECKING:
    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.point import Details

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
    return [one.kind, known, own, f"{format_number(abs(one.difference))}{below}", seconds, how(one)]


def how(one: Compared) -> str:
    """How a value was found: bond dimension and truncation error, states and sectors, source, in words."""
    texts = [] if one.details is None else _details(one.details)
    if not math.isnan(one.memory_mib):
        texts.append(f"{one.memory_mib:.0f} MiB")
    return "; ".join(texts) or one.source


def _details(details: Details) -> list[str]:
    texts = []
    if details.bond_dimension is not None:
        texts.append(f"bond dimension {details.bond_dimension}")
        texts.append(f"truncation error {format_number(details.truncation_error)}")
        texts.append(f"{details.sweeps} sweeps{'' if details.converged else ', not converged'}")
    elif details.states is not None:
        texts.append(f"{details.searched} of {details.sectors} sectors of up to {details.states} states")
        texts.append(f"ground state in {details.sector}, {details.degeneracy}-fold")
    return texts + [text for text in (details.method, details.source, details.file) if text is not None]


def cost_sentence(summary: DiagramSummary) -> str:
    """What the references cost, and how that compares with our own work; empty where none was computed."""
    if summary.references is None:
        return ""
    cost, share = summary.references.cost, summary.references.cost.over_ours
    beside = "" if share is None else f", {format_number(share)} times that of pre-training and adaptation"
    parts = [
        f"{NAMES.get(method, method)} {one.cost.cpu_seconds:.3g} s"
        + (f" ({one.failed} of {one.values + one.failed} failed)" if one.failed else "")
        for method, one in summary.references.methods.items()
    ]
    return f"The references took {format_number(cost.cpu_seconds, 3)} CPU s{beside}: {', '.join(parts)}."
