"""What is shown of a study over several seeds: lines, the closing table, and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wavefoundry.core.verdict import ORDER
from wavefoundry.reports import content, judgement, page
from wavefoundry.reports.content import Table
from wavefoundry.reports.style import COLOURS, new_figure, styled
from wavefoundry.reports.tables import csv_text, format_number, format_value_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records import SeedsSummary
    from wavefoundry.core.records.seeds import Compared

HEADS = ("quantity", "mean", "spread", "error bar", "exact", "verdict", "differ")
DRAWN = 40
"""Quantities in the picture; the energies first."""


def parsed(summary: Mapping[str, Any]) -> SeedsSummary:
    """The typed records of a summary.

    Raises:
        InputError: something in it has another form.
    """
    from wavefoundry.core.records import SeedsSummary, typed  # many types, for which the live view should not wait

    return typed(SeedsSummary, summary)


def line(event: Mapping[str, Any]) -> str:
    """One seed that has ended; empty for other events."""
    if event.get("event") != "seed":
        return ""
    ended = f": {event['why'].splitlines()[0]}" if event.get("why") else " has ended"
    return f"seed {event['seed']} ({event['index'] + 1}/{event['count']}){ended}"


def final_line(summary: SeedsSummary) -> str:
    """How the study ended: ``complete: 3 seeds; 21 quantities, 20 trusted, 1 doubtful; seed 2 differs in 1``."""
    rows, runs = summary.quantities, summary.seeds
    times = {record.seed: sum(k in row.differ for row in rows) for k, record in enumerate(runs)}
    apart = [f"seed {seed} differs in {count}" for seed, count in times.items() if count]
    words = [row.verdict for row in rows]
    counted = ", ".join(f"{words.count(word)} {word}" for word in ORDER if word in words)
    tail = f"; {', '.join(apart)}" if apart else "; no seed differs"
    return f"{summary.status}: {len(runs)} seeds; {len(rows)} quantities, {counted}{tail}"


def cells(row: Compared, summary: SeedsSummary) -> dict[str, str]:
    """One quantity as text."""
    return {
        "quantity": row.name,
        "mean": format_value_error(row.mean, row.error),
        "spread": format_number(row.spread),
        "error bar": format_number(row.error_bar),
        "exact": format_number(row.exact, 8),
        "verdict": row.verdict,
        "differ": ", ".join(str(summary.seeds[k].seed) for k in row.differ),
    }


def shown(summary: SeedsSummary) -> list[Compared]:
    """Energies and correlations, and whatever else the seeds do not agree on."""
    main = ("energy", "correlation")
    return [row for row in summary.quantities if row.name.endswith(main) or row.differ]


def table_csv(summary: SeedsSummary) -> str:
    """All quantities, one column for each seed."""
    numbers = [record.seed for record in summary.seeds]
    names = ("name", "mean", "spread", "error", "error_bar", "lowest", "highest", "exact", "verdict")
    columns = [*names, *(f"seed_{number}" for number in numbers)]
    rows = [
        {name: getattr(row, name) for name in names}
        | {f"seed_{number}": value for number, value in zip(numbers, row.values, strict=True)}
        for row in summary.quantities
    ]
    return csv_text(columns, rows)


def context(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template needs."""
    return _context(parsed(summary))


def _context(summary: SeedsSummary) -> dict[str, Any]:
    rows = summary.quantities
    apart = [row for row in rows if row.differ]
    figure = spread_figure(summary)
    caption = (
        "Every seed's value relative to the mean over seeds, in units of the spread or the error bar, whichever is "
        "larger; shaded: one unit. Red: seeds that differ. Crosses: refused, and not in the mean."
    )
    return {
        "title": summary.title or f"{len(summary.seeds)} seeds of a study of kind {summary.of}",
        "good": summary.verdict in ("trusted", "upper bound"),
        "flag": summary.verdict,
        "sentence": f"{final_line(summary)}.",
        "pictures": page.pictures({"spread": figure}, {"spread": caption}),
        "quantities": _table(rows, summary),
        "apart": _table(apart, summary) if apart else None,
        "runs": _runs(summary),
        "costs": content.costs({"all runs": summary.cost}),
        "settings": content.pairs(summary.settings),
        "versions": content.pairs(summary.versions),
        "hardware": content.pairs(summary.hardware),
        "command": summary.command or "",
    }


def _table(rows: Sequence[Compared], summary: SeedsSummary) -> Table:
    body = [list(cells(row, summary).values()) for row in rows]
    return Table(list(HEADS), body, [judgement.ROWS.get(row.verdict, "") for row in rows])


def _runs(summary: SeedsSummary) -> Table:
    head = ["seed", "status", "worst verdict", "CPU seconds", "directory", "reasons"]
    body = [
        [
            str(record.seed), record.status, record.verdict,
            format_number(record.cost and record.cost.cpu_seconds, 3), record.folder, "; ".join(record.reasons),
        ]
        for record in summary.seeds
    ]  # fmt: skip
    return Table(head, body, ["doubt" if record.status == "failed" else "" for record in summary.seeds])


@styled
def spread_figure(summary: SeedsSummary) -> Figure | None:
    """Values of all seeds around their mean; None where no quantity has a spread."""
    rows = [row for row in shown(summary) if row.spread and row.mean is not None][:DRAWN]
    if not rows:
        return None
    figure, (axes,) = new_figure(7.2, 1.2 + 0.22 * len(rows))
    axes.axvspan(-1, 1, color=COLOURS["grid"], alpha=0.5, lw=0)
    for place, row in enumerate(rows):
        unit = max(row.spread or 0.0, row.error_bar or 0.0)
        off = (np.array([np.nan if value is None else value for value in row.values]) - (row.mean or 0.0)) / unit
        for index, value in enumerate(off):
            refused = index in row.left_out
            colour = COLOURS["red" if index in row.differ else "muted" if refused else "blue"]
            axes.plot(value, place, "x" if refused else "o", color=colour, mfc="none")
    names = [row.name for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("(value - mean over seeds) / spread")
    return figure
