"""Molecules as short texts: lines of the live view, and the closing table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wavefoundry.reports import remedies
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

if TYPE_CHECKING:
    from wavefoundry.core.records.molecules import Molecule, MoleculeReference, MoleculesSummary, Transfer

HEADS = (
    "molecule", "method", "steps", "E (Ha)", "E - ref (mHa)", "variance", "R-hat", "accept", "reference", "verdict",
    "flags",
)  # fmt: skip
LEFT = ("molecule", "method", "reference", "verdict", "flags")
GOOD = ("trusted", "upper bound")
WORDS = (*GOOD, "doubtful", "refused")
"""Verdicts, the best first."""
LONG = ("density", "forces")
"""Observables that are lists."""
NOT_OF_MOLECULES = (
    "geometry", "energy_per_site", "v_score_error", "v_score_plain", "v_score_plain_error", "pool", "exact_energy",
    "relative_error", "z",
)  # fmt: skip
"""Of a record: what is no number, and what lattices alone have."""


def event_cells(event: Mapping[str, Any]) -> dict[str, str]:
    """The molecule that an event tells of as text by column."""
    from wavefoundry.core.records import typed  # half a hundred types, which other events need not wait for
    from wavefoundry.core.records.molecules import Molecule

    return cells(typed(Molecule, event))


def cells(record: Molecule) -> dict[str, str]:
    """One molecule as text by column."""
    values = (
        record.name,
        record.method,
        "" if record.steps is None else str(record.steps),
        format_value_error(record.energy, record.energy_error),
        format_value_error(record.error_mha, record.error_mha_error),
        format_number(record.variance),
        format_number(record.r_hat, 4),
        format_number(record.acceptance),
        source(record.reference),
        word(record),
        " ".join(record.flags),
    )
    return dict(zip(HEADS, values, strict=True))


def word(record: Molecule) -> str:
    """The verdict; of a record without one what ``trusted`` says."""
    return record.verdict if record.verdict in WORDS else "trusted" if record.trusted else "refused"


def counted(records: Iterable[Molecule]) -> str:
    """How many records have which verdict: ``"3 trusted, 2 upper bounds, 1 refused"``."""
    words = [word(record) for record in records]
    counts = [(name, words.count(name)) for name in WORDS]
    shown = [
        f"{count} {name}{'s' * (name == 'upper bound' and count != 1)}"
        for name, count in counts
        if count or name == "trusted"
    ]
    return ", ".join(shown)


def reasons(records: Iterable[Molecule], most: int = 4) -> list[str]:
    """What speaks against every record that is doubtful or refused: its name and its first reason."""
    bad = [record for record in records if word(record) in ("doubtful", "refused")]
    bad.sort(key=lambda record: word(record) != "refused")
    shown = [
        f"{record.name}, {record.method}: {word(record)}: {next(iter(record.reasons), '?')}" for record in bad[:most]
    ]
    return shown + ([f"and {len(bad) - most} more that are doubtful or refused"] if len(bad) > most else [])


def weights_of(method: str) -> str:
    """What energies are compared within: a model as it is has the same weights for all molecules, trained on or not."""
    return "the model" if method in ("trained", "zero-shot") else method


def numbers(record: Mapping[str, Any]) -> dict[str, Any]:
    """All of a record that a table for other programs has room for: no geometry, no lists, nothing of lattices."""
    found = {"name": record["name"]}
    found |= {name: value for name, value in record.items() if name not in NOT_OF_MOLECULES}
    if "observables" in found:
        found["observables"] = {name: one for name, one in found["observables"].items() if name not in LONG}
    return found


def source(reference: MoleculeReference | None) -> str:
    """What an energy is compared with, in a few words."""
    if reference is None:
        return ""
    if reference.kind != "method":
        return reference.kind
    return reference.source.split(",")[0] + ", interpolated" * reference.source.endswith("interpolated")


def line(event: Mapping[str, Any]) -> str:
    """An event of a study of molecules as one line; empty for other events."""
    if event.get("event") != "molecule":
        return ""
    found = event_cells(event)
    shown = [f"{name} {found[name]}" for name in HEADS[3:] if found[name] not in ("", NOT_AVAILABLE)]
    return f"{found['molecule']}, {found['method']}: " + "  ".join(shown)


def final_line(summary: Mapping[str, Any]) -> str:
    """One line that says how a study ended."""
    return _ending(_typed(summary))


def _typed(summary: Mapping[str, Any]) -> MoleculesSummary:
    from wavefoundry.core.records import MoleculesSummary, typed

    return typed(MoleculesSummary, summary)


def _ending(summary: MoleculesSummary) -> str:
    records = summary.molecules
    errors = [abs(record.error_mha) for record in records if record.error_mha is not None]
    worst = f", largest difference from a reference {format_number(max(errors))} mHa" if errors else ""
    count = f"{len(records)} molecule{'s' * (len(records) != 1)}"
    why = f" ({summary.why})" if summary.why else ""
    return f"{summary.status}{why}: {count}, {counted(records)}{worst}"


def final_table(summary: Mapping[str, Any], cost: str = "") -> RenderableType:
    """One row per molecule, then what the transfer saved, the line on the cost, and the status."""
    found = _typed(summary)
    parts: list[RenderableType] = [table([cells(record) for record in found.molecules])]
    parts += [Text(text) for entry in found.transfer if (text := transfer(entry))]
    parts += [Text(text, style="yellow") for text in reasons(found.molecules)]
    parts += [Text(text) for text in remedies.of_molecules(found.molecules)]
    if cost:
        parts.append(Text(cost))
    parts.append(Text(_ending(found), style="bold"))
    return Group(*parts)


def transfer(entry: Transfer) -> str:
    """Steps with and without the base in one sentence; empty when they were not compared."""
    steps, anew, made = entry.steps_to_1mha_per_atom, entry.scratch_steps, entry.scratch_steps_made
    if made is None:
        return ""
    first = "not reached" if steps is None else f"{steps} steps"
    second = f"{anew} steps" if anew is not None else f"not in {made} steps"
    least, ratio = entry.ratio_at_least, entry.ratio
    saved = f": {ratio:.3g} times fewer" if ratio else f": more than {least:.3g} times fewer" if least else ""
    saved = "" if steps == 0 else saved  # a ratio to no step at all says nothing
    return f"{entry.target} to 1 mHa per atom: {first} from the model, {second} from scratch{saved}"


def table(rows: list[dict[str, str]]) -> Table:
    """Rows of ``cells`` as a table without empty columns."""
    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    names = [name for name in HEADS if any(row[name] not in ("", NOT_AVAILABLE) for row in rows)]
    for name in names:
        drawn.add_column(name, justify="left" if name in LEFT else "right", no_wrap=name not in ("flags", "reference"))
    for row in rows:
        drawn.add_row(*(Text(row[name]) for name in names), style="" if row["verdict"] in GOOD else "yellow")
    return drawn
