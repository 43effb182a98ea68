"""What is shown of a study over several seeds: lines, the closing table, and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wavefoundry.core.verdict import ORDER
from wavefoundry.reports import content, judgement, page
from wavefoundry.reports.content import Table
from wavefoundry.reports.style import COLOURS, new_figure, styled
from wavefoundry.reports.tables import NOT_AVAILABLE, csv_text, format_number, format_value_error
from wavefoundry.reports.verdicts import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADS = ("quantity", "mean", "spread", "error bar", "exact", "verdict", "differ")
DRAWN = 40
"""Quantities in the picture; the energies first."""


def line(event: Record) -> str:
    """One seed that has ended; empty for other events."""
    if event.get("event") != "seed":
        return ""
    ended = f": {event['why'].splitlines()[0]}" if event.get("why") else " has ended"
    return f"seed {event['seed']} ({event['index'] + 1}/{event['count']}){ended}"


def final_line(summary: Record) -> str:
    """How the study ended: ``complete: 3 seeds; 21 quantities, 20 trusted, 1 doubtful; seed 2 differs in 1``."""
    rows, runs = summary["quantities"], summary["seeds"]
    times = {record["seed"]: sum(k in row["differ"] for row in rows) for k, record in enumerate(runs)}
    apart = [f"seed {seed} differs in {count}" for seed, count in times.items() if count]
    words = [row["verdict"] for row in rows]
    counted = ", ".join(f"{words.count(word)} {word}" for word in ORDER if word in words)
    tail = f"; {', '.join(apart)}" if apart else "; no seed differs"
    return f"{summary['status']}: {len(runs)} seeds; {len(rows)} quantities, {counted}{tail}"


def cells(row: Record, summary: Record) -> dict[str, str]:
    """One quantity as text."""
    named = [str(summary["seeds"][k]["seed"]) for k in row["differ"]]
    return {
        "quantity": row["name"],
        "mean": format_value_error(row["mean"], row["error"]),
        "spread": format_number(row["spread"]),
        "error bar": format_number(row["error_bar"]),
        "exact": NOT_AVAILABLE if row["exact"] is None else format_number(row["exact"], 8),
        "verdict": row["verdict"],
        "differ": ", ".join(named),
    }


def shown(summary: Record) -> list[Record]:
    """Energies and correlations, and whatever else the seeds do not agree on."""
    main = ("energy", "correlation")
    return [row for row in summary["quantities"] if row["name"].endswith(main) or row["differ"]]


def table_csv(summary: Record) -> str:
    """All quantities, one column for each seed."""
    numbers = [record["seed"] for record in summary["seeds"]]
    names = ("name", "mean", "spread", "error", "error_bar", "lowest", "highest", "exact", "verdict")
    columns = [*names, *(f"seed_{number}" for number in numbers)]
    rows = [
        {name: row[name] for name in names}
        | {f"seed_{number}": value for number, value in zip(numbers, row["values"], strict=True)}
        for row in summary["quantities"]
    ]
    return csv_text(columns, rows)


def context(summary: Record) -> dict[str, Any]:
    """Everything the template needs."""
    rows = summary["quantities"]
    apart = [row for row in rows if row["differ"]]
    figure = spread_figure(summary)
    caption = (
        "Every seed's value relative to the mean over seeds, in units of the spread or the error bar, whichever is "
        "larger; shaded: one unit. Red: seeds that differ. Crosses: refused, and not in the mean."
    )
    return {
        "title": str(summary.get("title") or f"{len(summary['seeds'])} seeds of a study of kind {summary['of']}"),
        "good": summary["verdict"] in ("trusted", "upper bound"),
        "flag": summary["verdict"],
        "sentence": f"{final_line(summary)}.",
        "pictures": page.pictures({"spread": figure}, {"spread": caption}),
        "quantities": _table(rows, summary),
        "apart": _table(apart, summary) if apart else None,
        "runs": _runs(summary),
        "costs": content.pairs({"all runs": summary["cost"]}),
        "settings": content.pairs(summary["settings"]),
        "versions": content.pairs(summary["versions"]),
        "hardware": content.pairs(summary["hardware"]),
        "command": str(summary.get("command") or ""),
    }


def _table(rows: list[Record], summary: Record) -> Table:
    body = [list(cells(row, summary).values()) for row in rows]
    return Table(list(HEADS), body, [judgement.ROWS.get(row["verdict"], "") for row in rows])


def _runs(summary: Record) -> Table:
    head = ["seed", "status", "worst verdict", "CPU seconds", "directory", "reasons"]
    body = [
        [
            str(record["seed"]), record["status"], record["verdict"],
            NOT_AVAILABLE if record["cost"] is None else format_number(record["cost"]["cpu_seconds"], 3),
            record["folder"], "; ".join(record["reasons"]),
        ]
        for record in summary["seeds"]
    ]  # fmt: skip
    return Table(head, body, ["doubt" if record["status"] == "failed" else "" for record in summary["seeds"]])


@styled
def spread_figure(summary: Record) -> Figure | None:
    """Values of all seeds around their mean; None where no quantity has a spread."""
    rows = [row for row in shown(summary) if row["spread"]][:DRAWN]
    if not rows:
        return None
    figure, (axes,) = new_figure(7.2, 1.2 + 0.22 * len(rows))
    axes.axvspan(-1, 1, color=COLOURS["grid"], alpha=0.5, lw=0)
    for place, row in enumerate(rows):
        unit = max(row["spread"], row["error_bar"] or 0.0)
        values = np.array([np.nan if value is None else value for value in row["values"]])
        off = (values - row["mean"]) / unit
        for index, value in enumerate(off):
            refused = index in row["left_out"]
            colour = COLOURS["red" if index in row["differ"] else "muted" if refused else "blue"]
            axes.plot(value, place, "x" if refused else "o", color=colour, mfc="none")
    names = [row["name"] for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("(value - mean over seeds) / spread")
    return figure
