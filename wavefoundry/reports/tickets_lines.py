"""Rounds of a hunt for tickets as short texts: lines of the live view, and the closing table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wavefoundry.core.words import assigned
from wavefoundry.reports.fitted import Fitted
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

if TYPE_CHECKING:
    from wavefoundry.core.records.tickets import Isolated, Round, TicketsSummary

HEADS = ("weights", "n/N", "alive", "E/site", "rel. error", "fidelity", "rollbacks", "verdict", "flags")

SPARE = ("rollbacks", "alive", "n/N", "fidelity", "rel. error")
"""Columns that a narrow screen goes without, the first of them first."""


def event_cells(event: Mapping[str, Any]) -> dict[str, str]:
    """The round that an event tells of as text by column."""
    from wavefoundry.core.records import typed  # half a hundred types, which other events need not wait for
    from wavefoundry.core.records.tickets import Round

    return cells(typed(Round, event))


def cells(record: Round) -> dict[str, str]:
    """One round as text by column."""
    error = (record.energy_error or 0.0) * abs((record.energy_per_site or 0.0) / (record.energy or 1.0))
    values = (
        str(record.n),
        f"{record.rho:.1f}",
        str(sum(record.alive_neurons.values())),
        format_value_error(record.energy_per_site, error),
        format_number(record.relative_error),
        "" if record.fidelity_previous is None else f"{record.fidelity_previous:.5f}",
        str(record.rollbacks) if record.rollbacks else "",
        record.verdict,
        " ".join(record.flags) or ("" if record.verdict else "ok"),
    )
    return dict(zip(HEADS, values, strict=True))


def line(event: Mapping[str, Any]) -> str:
    """An event of a hunt as one line; empty for other events."""
    kind = event.get("event")
    if kind not in ("ticket", "isolated", "jump", "transferred"):
        return ""
    from wavefoundry.core.records import tickets, typed

    if kind == "ticket":
        found = typed(tickets.Round, event)
        shown = [f"{name} {text}" for name, text in cells(found).items() if text not in ("", NOT_AVAILABLE)]
        return f"round {found.round}: " + "  ".join(shown)
    if kind == "isolated":
        found = typed(tickets.Isolated, event)
        spread = f" (x/{math.exp(found.log_error):.2f})" if found.log_error else ""
        return f"{found.n} weights, {found.variant}: error {format_number(found.mean)}{spread}"
    if kind == "jump":
        found = typed(tickets.Jump, event)
        stays = "stays" if found.confirmed else "goes away"
        return f"jump {found.before} -> {found.to} weights {stays} with more training"
    found = typed(tickets.Transferred, event)
    error = format_number(found.relative_error)
    return f"{assigned(found.couplings)}, {found.n} weights, {found.mask}: error {error}"


def final_line(summary: Mapping[str, Any]) -> str:
    """One line that says how a hunt ended."""
    return _ending(_typed(summary))


def _typed(summary: Mapping[str, Any]) -> TicketsSummary:
    from wavefoundry.core.records import TicketsSummary, typed

    return typed(TicketsSummary, summary)


def _ending(summary: TicketsSummary) -> str:
    if not summary.rounds:
        return f"{summary.status}: no round was finished"
    first, last = summary.rounds[0], summary.rounds[-1]
    spoken = f"{len(summary.rounds)} rounds, {first.n} -> {last.n} weights"
    return f"{summary.status}: {spoken}. {summary.verdict or ''}".strip()


def final_table(summary: Mapping[str, Any], cost: str = "") -> RenderableType:
    """One row per round, then isolation, laws, the line on the cost, and the verdict."""
    found = _typed(summary)
    parts: list[RenderableType] = [table([cells(record) for record in found.rounds])]
    parts += [Text(text) for text in reasons(found.rounds)]
    if found.isolation:
        parts.append(_isolation(found.isolation))
    for law in found.laws:
        said = f"found between {law.found[0]} and {law.found[1]}" if law.found else "no onset found"
        parts.append(Text(f"law: {law.law} = {law.predicted}; {said}"))
    if kinds := found.explain.kinds:
        parts.append(Text(f"units at {found.explain.n} weights: " + ", ".join(f"{n} {k}" for k, n in kinds.items())))
    if cost:
        parts.append(Text(cost))
    parts.append(Text(_ending(found), style="bold"))
    return Group(*parts)


def reasons(rounds: Sequence[Round]) -> list[str]:
    """Why rounds are not trusted: one line for every verdict below it, with the reasons of the first such round."""
    lines = []
    for word in ("upper bound", "doubtful", "refused"):
        found = [record for record in rounds if record.verdict == word]
        if found:
            why = "; ".join(found[0].reasons)
            lines.append(f"{word}: {len(found)} of {len(rounds)} rounds, first at {found[0].n} weights ({why})")
    return lines


def table(rows: list[dict[str, str]]) -> Fitted:
    """Rows of ``cells`` as a table without empty columns, and on a narrow screen without those that tell least."""
    names = [name for name in HEADS if any(row[name] not in ("", NOT_AVAILABLE) for row in rows)]
    return Fitted(rows, names, left=("verdict", "flags"), spare=SPARE, style=_style)


def _style(row: dict[str, str]) -> str:
    good = row["verdict"] in ("trusted", "upper bound") or row["flags"] == "ok"
    return "red" if row["verdict"] == "refused" else "" if good else "yellow"


def _isolation(records: list[Isolated]) -> Table:
    """Mean error of every isolated mask by variant."""
    variants = list(dict.fromkeys(record.variant for record in records))
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title="isolated training, relative error")
    for name in ("weights", *variants):
        drawn.add_column(name, justify="right", no_wrap=True)
    for n in dict.fromkeys(record.n for record in records):
        found = {record.variant: record.mean for record in records if record.n == n}
        drawn.add_row(str(n), *(format_number(found.get(variant)) for variant in variants))
    return drawn
