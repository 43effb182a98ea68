"""Molecules as short texts: lines of the live view, and the closing table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

HEADS = (
    "molecule", "method", "steps", "E (Ha)", "E - ref (mHa)", "variance", "R-hat", "accept", "reference", "verdict",
    "flags",
)  # fmt: skip
LEFT = ("molecule", "method", "reference", "verdict", "flags")
GOOD = ("trusted", "upper bound")
WORDS = (*GOOD, "doubtful", "refused")
"""Verdicts, the best first."""


def cells(record: Mapping[str, Any]) -> dict[str, str]:
    """One molecule as text by column."""
    reference = record.get("reference") or {}
    values = (
        str(record.get("name", "")),
        str(record.get("method", "")),
        str(record.get("steps", "")),
        format_value_error(record.get("energy"), record.get("energy_error")),
        format_value_error(record.get("error_mha"), record.get("error_mha_error")),
        format_number(record.get("variance")),
        format_number(record.get("r_hat"), 4),
        format_number(record.get("acceptance")),
        source(reference),
        word(record),
        " ".join(record.get("flags") or []),
    )
    return dict(zip(HEADS, values, strict=True))


def word(record: Mapping[str, Any]) -> str:
    """The verdict; of a record without one what ``trusted`` says."""
    found = record.get("verdict")
    return str(found) if found in WORDS else "trusted" if record.get("trusted") else "refused"


def counted(records: Iterable[Mapping[str, Any]]) -> str:
    """How many records have which verdict: ``"3 trusted, 2 upper bounds, 1 refused"``."""
    words = [word(record) for record in records]
    counts = [(name, words.count(name)) for name in WORDS]
    shown = [
        f"{count} {name}{'s' * (name == 'upper bound' and count != 1)}"
        for name, count in counts
        if count or name == "trusted"
    ]
    return ", ".join(shown)


def reasons(records: Iterable[Mapping[str, Any]], most: int = 4) -> list[str]:
    """What speaks against every record that is doubtful or refused: its name and its first reason."""
    bad = [record for record in records if word(record) in ("doubtful", "refused")]
    bad.sort(key=lambda record: word(record) != "refused")
    shown = [
        f"{record.get('name')}, {record.get('method')}: {word(record)}: {next(iter(record.get('reasons') or ['?']))}"
        for record in bad[:most]
    ]
    return shown + ([f"and {len(bad) - most} more that are doubtful or refused"] if len(bad) > most else [])


def numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record for a table: without its geometry, density and forces, which are long lists."""
    found = {name: value for name, value in record.items() if name != "geometry"}
    seen = found.get("observables") or {}
    return found | {"observables": {name: value for name, value in seen.items() if name not in ("density", "forces")}}


def source(reference: Mapping[str, Any]) -> str:
    """What an energy is compared with, in a few words."""
    kind, text = reference.get("kind"), str(reference.get("source") or "")
    if not kind:
        return ""
    if kind != "method":
        return str(kind)
    return text.split(",")[0] + ", interpolated" * text.endswith("interpolated")


def line(event: Mapping[str, Any]) -> str:
    """An event of a study of molecules as one line; empty for other events."""
    if event.get("event") != "molecule":
        return ""
    found = cells(event)
    shown = [f"{name} {found[name]}" for name in HEADS[3:] if found[name] not in ("", NOT_AVAILABLE)]
    return f"{found['molecule']}, {found['method']}: " + "  ".join(shown)


def final_line(summary: Mapping[str, Any]) -> str:
    """One line that says how a study ended."""
    records = list(summary.get("molecules") or [])
    errors = [abs(record["error_mha"]) for record in records if record.get("error_mha") is not None]
    worst = f", largest difference from a reference {format_number(max(errors))} mHa" if errors else ""
    count = f"{len(records)} molecule{'s' * (len(records) != 1)}"
    why = f" ({summary['why']})" if summary.get("why") else ""
    return f"{summary.get('status', 'unfinished')}{why}: {count}, {counted(records)}{worst}"


def final_table(summary: Mapping[str, Any], cost: str = "") -> RenderableType:
    """One row per molecule, then what the transfer saved, the line on the cost, and the status."""
    parts: list[RenderableType] = [table([cells(record) for record in summary.get("molecules") or []])]
    parts += [Text(text) for entry in summary.get("transfer") or [] if (text := transfer(entry))]
    parts += [Text(text, style="yellow") for text in reasons(summary.get("molecules") or [])]
    if cost:
        parts.append(Text(cost))
    parts.append(Text(final_line(summary), style="bold"))
    return Group(*parts)


def transfer(entry: Mapping[str, Any]) -> str:
    """Steps with and without the base in one sentence; empty when they were not compared."""
    steps, anew, made = entry.get("steps_to_1mha_per_atom"), entry.get("scratch_steps"), entry.get("scratch_steps_made")
    if made is None:
        return ""
    first = "not reached" if steps is None else f"{steps} steps"
    second = f"{anew} steps" if anew is not None else f"not in {made} steps"
    least = entry.get("ratio_at_least")
    ratio = entry.get("ratio")
    saved = f": {ratio:.3g} times fewer" if ratio else f": more than {least:.3g} times fewer" if least else ""
    saved = "" if steps == 0 else saved  # a ratio to no step at all says nothing
    return f"{entry.get('target')} to 1 mHa per atom: {first} from the model, {second} from scratch{saved}"


def table(rows: list[dict[str, str]]) -> Table:
    """Rows of ``cells`` as a table without empty columns."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    names = [name for name in HEADS if any(row.get(name) not in ("", NOT_AVAILABLE, None) for row in rows)]
    for name in names:
        drawn.add_column(name, justify="left" if name in LEFT else "right", no_wrap=name not in ("flags", "reference"))
    for row in rows:
        drawn.add_row(
            *(Text(row.get(name, "")) for name in names), style="" if row.get("verdict") in GOOD else "yellow"
        )
    return drawn
