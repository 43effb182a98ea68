"""Rounds of a hunt for tickets as short texts: lines of the live view, and the closing table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wavefoundry.core.words import assigned
from wavefoundry.reports.fitted import Fitted
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

HEADS = ("weights", "n/N", "alive", "E/site", "rel. error", "fidelity", "rollbacks", "verdict", "flags")

SPARE = ("rollbacks", "alive", "n/N", "fidelity", "rel. error")
"""Columns that a narrow screen goes without, the first of them first."""


def cells(record: Mapping[str, Any]) -> dict[str, str]:
    """One round as text by column."""
    per_site, energy = record.get("energy_per_site"), record.get("energy") or 1.0
    error = (record.get("energy_error") or 0.0) * abs((per_site or 0.0) / energy)
    units = record.get("alive_neurons") or {}
    back = record.get("rollbacks") or 0
    values = (
        str(record.get("n", "")),
        f"{record['rho']:.1f}" if "rho" in record else "",
        str(sum(units.values())),
        format_value_error(per_site, error),
        format_number(record.get("relative_error")),
        "" if record.get("fidelity_previous") is None else f"{record['fidelity_previous']:.5f}",
        str(back) if back else "",
        str(record.get("verdict") or ""),
        " ".join(record.get("flags") or []) or ("" if record.get("verdict") else "ok"),
    )
    return dict(zip(HEADS, values, strict=True))


def line(event: Mapping[str, Any]) -> str:
    """An event of a hunt as one line; empty for other events."""
    kind = event.get("event")
    if kind == "ticket":
        shown = [f"{name} {text}" for name, text in cells(event).items() if text not in ("", NOT_AVAILABLE)]
        return f"round {event.get('round')}: " + "  ".join(shown)
    if kind == "isolated":
        spread = event.get("log_error")
        spread = f" (x/{math.exp(spread):.2f})" if spread else ""
        return f"{event.get('n')} weights, {event.get('variant')}: error {format_number(event.get('mean'))}{spread}"
    if kind == "jump":
        stays = "stays" if event.get("confirmed") else "goes away"
        return f"jump {event.get('from')} -> {event.get('to')} weights {stays} with more training"
    if kind == "transferred":
        where = assigned(event.get("couplings") or {})
        error = format_number(event.get("relative_error"))
        return f"{where}, {event.get('n')} weights, {event.get('mask')}: error {error}"
    return ""


def final_line(summary: Mapping[str, Any]) -> str:
    """One line that says how a hunt ended."""
    rounds = list(summary.get("rounds") or [])
    if not rounds:
        return f"{summary.get('status', 'unfinished')}: no round was finished"
    first, last = rounds[0], rounds[-1]
    spoken = f"{len(rounds)} rounds, {first['n']} -> {last['n']} weights"
    return f"{summary.get('status', 'unfinished')}: {spoken}. {summary.get('verdict') or ''}".strip()


def final_table(summary: Mapping[str, Any], cost: str = "") -> RenderableType:
    """One row per round, then isolation, laws, the line on the cost, and the verdict."""
    rounds = summary.get("rounds") or []
    parts: list[RenderableType] = [table([cells(record) for record in rounds])]
    parts += [Text(text) for text in reasons(rounds)]
    isolation = summary.get("isolation") or []
    if isolation:
        parts.append(_isolation(isolation))
    for law in summary.get("laws") or []:
        found = law.get("found")
        said = f"found between {found[0]} and {found[1]}" if found else "no onset found"
        parts.append(Text(f"law: {law['law']} = {law['predicted']}; {said}"))
    explained = summary.get("explain") or {}
    if kinds := explained.get("kinds"):
        parts.append(Text(f"units at {explained['n']} weights: " + ", ".join(f"{n} {k}" for k, n in kinds.items())))
    if cost:
        parts.append(Text(cost))
    parts.append(Text(final_line(summary), style="bold"))
    return Group(*parts)


def reasons(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why rounds are not trusted: one line for every verdict below it, with the reasons of the first such round."""
    lines = []
    for word in ("upper bound", "doubtful", "refused"):
        found = [record for record in rounds if record.get("verdict") == word]
        if found:
            why = "; ".join(found[0].get("reasons") or [])
            lines.append(f"{word}: {len(found)} of {len(rounds)} rounds, first at {found[0].get('n')} weights ({why})")
    return lines


def table(rows: list[dict[str, str]]) -> Fitted:
    """Rows of ``cells`` as a table without empty columns, and on a narrow screen without those that tell least."""
    names = [name for name in HEADS if any(row.get(name) not in ("", NOT_AVAILABLE, None) for row in rows)]
    return Fitted(rows, names, left=("verdict", "flags"), spare=SPARE, style=_style)


def _style(row: dict[str, str]) -> str:
    good = row.get("verdict", "") in ("trusted", "upper bound") or row.get("flags") == "ok"
    return "red" if row.get("verdict") == "refused" else "" if good else "yellow"


def _isolation(records: list[dict[str, Any]]) -> Table:
    """Mean error of every isolated mask by variant."""
    variants = list(dict.fromkeys(record["variant"] for record in records))
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", title="isolated training, relative error")
    for name in ("weights", *variants):
        drawn.add_column(name, justify="right", no_wrap=True)
    for n in dict.fromkeys(record["n"] for record in records):
        found = {record["variant"]: record["mean"] for record in records if record["n"] == n}
        drawn.add_row(str(n), *(format_number(found.get(variant)) for variant in variants))
    return drawn
