"""What a run shows while it works, and the table it closes with.

A study emits plain dicts (``{"event": "step", ...}``); ``view`` turns them into a live display on a terminal,
into plain lines elsewhere, or into nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from wavefoundry.reports import emulation_tables, lines, remedies, verdicts
from wavefoundry.reports.fitted import Fitted
from wavefoundry.reports.lines import Event
from wavefoundry.reports.notebook import ProgressLine, in_notebook
from wavefoundry.reports.tables import NOT_AVAILABLE
from wavefoundry.reports.view import parsed


@contextmanager
def view(quiet: bool = False, json: bool = False, console: Console | None = None) -> Iterator[Callable[[Event], None]]:
    """Display of a run, which takes its events: the ``emit`` of ``run_study``.

    Args:
        quiet: show nothing.
        json: show nothing either; standard output belongs to the result.
        console: where to show; standard output by default.

    Yields:
        The function that takes one event. Unknown events are ignored.
    """
    given, console = console, console or Console(highlight=False)
    if quiet or json:
        yield lambda event: None
    elif given is None and in_notebook():
        line = ProgressLine()
        try:
            yield line.take
        finally:
            line.close()
    elif console.is_terminal:
        screen = Screen(console)
        with Live(console=console, get_renderable=screen.render, refresh_per_second=4, transient=True):
            yield screen.take
    else:
        yield Lines(lambda line: console.print(line, markup=False, soft_wrap=True)).take


def final_table(summary: Event) -> RenderableType:
    """The closing table of a run: one row per point, then what speaks against points, cost and status.

    Args:
        summary: contents of ``summary.json``; a partial one will do.

    Returns:
        Something a rich ``Console`` prints.
    """
    if summary.get("status") == "unfinished" and summary.get("kind") in ("emulation", "seeds"):
        each = (f"seed {name}: {_so_far(one)}" for name, one in summary.get("seeds", {}).items())
        return Text("\n".join([lines.final_line(summary), *each]), style="bold")
    if summary.get("kind") == "emulation":
        return _emulation_table(summary)
    if summary.get("kind") == "seeds":
        return _seeds_table(summary)
    if summary.get("kind") == "tickets":
        from wavefoundry.reports import tickets_lines

        return tickets_lines.final_table(summary, lines.cost_line(summary))
    if summary.get("kind") == "molecules":
        from wavefoundry.reports import molecules_lines

        return molecules_lines.final_table(summary, lines.cost_line(summary))
    found, cost = parsed(summary), lines.cost_line(summary)
    rows = [lines.point_cells(point.model_dump()) for point in found.points]
    parts: list[RenderableType] = [_table(rows)] if rows else []
    parts += [Text(line) for line in (*lines.pretrain_lines(found), cost) if line]
    closing = verdicts.closing_lines(found.points, lambda point: lines.named(point.couplings))
    parts += [Text(line, style=style) for line, style in closing]
    parts += [Text(line) for line in remedies.of_points(found.points)]
    each = [(point, row) for point, row in zip(found.points, rows, strict=True) if not verdicts.word(point)]
    doubted = [f"{lines.named(point.couplings)} ({row['flags']})" for point, row in each if not point.trusted]
    if doubted:
        more = f" and {len(doubted) - 5} more" if len(doubted) > 5 else ""
        parts.append(Text(f"not to be trusted: {', '.join(doubted[:5])}{more}", style="yellow"))
    parts.append(Text(lines.diagram_line(found), style="bold"))
    return Group(*parts)


def _so_far(summary: Event) -> str:
    """How far one of several runs has come."""
    last = lines.event_line(summary.get("last_event") or {})
    return lines.final_line(summary) + (f"; last: {last}" if last else "")


def _seeds_table(summary: Event) -> RenderableType:
    """The closing table of a study over several seeds: energies, and whatever the seeds do not agree on."""
    from wavefoundry.reports import seeds

    found = seeds.parsed(summary)
    rows = [seeds.cells(row, found) for row in seeds.shown(found)]
    body = Fitted(
        rows, list(seeds.HEADS), left=("quantity", "verdict", "differ"), spare=("exact", "error bar"), style=_row_style
    )
    lost = [f"seed {run.seed}: {'; '.join(run.reasons)}" for run in found.seeds if run.reasons]
    texts = [*(Text(text, style="red") for text in lost), Text(lines.cost_line(summary))]
    return Group(body, *texts, Text(seeds.final_line(found), style="bold"))


def _emulation_table(summary: Event) -> RenderableType:
    """The closing table of an emulation study: one row per student, then notes, cost and status."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for head in emulation_tables.HEADS:
        table.add_column(Text(head), justify="left" if head in ("student", "worst case") else "right")
    typed = emulation_tables.parsed(summary)
    for row in emulation_tables.rows(typed):
        table.add_row(*(Text(row[head]) for head in emulation_tables.HEADS))
    texts = [*emulation_tables.notes(typed), *typed.words, lines.cost_line(summary)]
    last = Text(lines.final_line(summary), style="bold")
    return Group(table, *(Text(line) for line in texts if line), last)


class Lines:
    """Plain lines, one per event; of steps at most about one per second, and always the last one.

    Of work that has no numbers of its own a line is written where nothing else was for as long.

    Args:
        write: takes one line.
        clock: seconds, monotonic.
        every: seconds between two step lines.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic, every: float = 1.0):
        self._write, self._clock, self._every = write, clock, every
        self._last = self._said = -math.inf  # line of a step, of anything

    def take(self, event: Event) -> None:
        """Write an event, unless it is a step that follows another too closely."""
        now = self._clock()
        kind = event.get("event")
        if kind == "step":
            if now - self._last < self._every and event.get("step") != event.get("steps"):
                return
            self._last = now
        if kind == "part" and now - self._said < self._every:
            return
        if line := lines.event_line(event):
            self._said = now
            self._write(line)


class Screen:
    """State of the live display: what is going on now, and the diagram so far.

    Args:
        console: gives the size of the screen, and prints warnings above the display.
    """

    def __init__(self, console: Console):
        self._console = console
        self._phase = self._text = self._part = self._compiling = ""
        self._step: Event = {}
        self._round: Event = {}
        self._rows: dict[Any, dict[str, str]] = {}
        self._count, self._run = 0, None
        self._left: float | None = None
        self._spinner = Spinner("line")

    def take(self, event: Event) -> None:
        """Take up an event; the display shows it at its next refresh."""
        kind = event.get("event")
        if kind == "warning":
            self._console.print(Text(lines.event_line(event), style="yellow"))
        elif kind == "compiling":
            self._compiling = str(event.get("what", ""))
            return
        elif kind == "phase":
            self._phase, self._text = str(event.get("phase", "")), str(event.get("text", ""))
            self._step, self._round, self._part = {}, {}, ""
        elif kind == "step":
            self._step, self._left = event, event.get("seconds_left")
        elif kind == "part":
            self._part, self._left = lines.event_line(dict(event) | {"seconds_left": None}), event.get("seconds_left")
        elif kind == "round":
            self._round = event
        elif kind in ("data", "student", "importance", "isolated", "jump", "transferred", "seed"):
            self._text = lines.event_line(event)
        elif kind == "point":
            # A point that went back for more work comes again under its index and replaces its row.
            self._keep(event, event.get("index", len(self._rows)), lines.point_cells(event))
            self._count, self._left, self._round = event.get("count") or 0, event.get("seconds_left"), {}
        elif kind == "ticket":
            from wavefoundry.reports import tickets_lines

            self._keep(event, event.get("round"), tickets_lines.event_cells(event))
        elif kind == "molecule":
            from wavefoundry.reports import molecules_lines

            self._keep(event, event.get("index"), molecules_lines.event_cells(event))
        self._ended_by(kind)

    def _keep(self, event: Event, number: Any, cells: dict[str, str]) -> None:
        """A row of the table, with the seed it comes from; the same number once more replaces it."""
        self._run = event.get(lines.OF)
        self._rows[self._run, number] = ({"run": str(self._run)} if self._run else {}) | cells

    def _ended_by(self, kind: Any) -> None:
        """What is over once such an event has come."""
        if kind in ("step", "part", "round", "point", "ticket", "molecule", "done"):
            self._compiling = ""
        if kind in ("step", "round", "rung", "point"):
            self._part = ""

    def render(self) -> RenderableType:
        """The display as it should look now."""
        parts: list[RenderableType] = [self._headline()]
        if self._compiling:
            self._spinner.update(text=Text(f" compiling {self._compiling} ...", style="cyan"))
            parts.append(self._spinner)
        if self._step:
            of = f"{self._step[lines.OF]}: " if self._step.get(lines.OF) else ""
            parts.append(Text(f"  {of}{lines.step_numbers(self._step)}"))
        if self._part:
            parts.append(Text(f"  {self._part}"))
        if self._round:
            parts.append(Text(f"  {lines.round_place(self._round)}  {lines.round_numbers(self._round)}"))
        if self._rows:
            # Only the newest rows fit a small screen; all of them are printed at the end.
            room = max(3, self._console.size.height - 9)
            rows = list(self._rows.values())
            if len(rows) > room:
                parts.append(Text(f"  ({len(rows) - room} earlier points not shown)", style="dim"))
            parts.append(_table(rows[-room:]))
        return Group(*parts)

    def _headline(self) -> RenderableType:
        line = Table.grid(padding=(0, 2))
        cells: list[RenderableType] = [
            Text(f"{self._phase}: {self._text}" if self._text else self._phase, style="bold")
        ]
        mine = sum(run == self._run for run, _ in self._rows)
        done, total = (mine, self._count) if self._count else (0, 0)
        if self._step:
            done, total = self._step.get("step") or 0, self._step.get("steps") or 0
        if total:
            cells += [ProgressBar(total=total, completed=done, width=24), Text(f"{done}/{total}")]
        if self._compiling:  # how long that takes is not known
            cells.append(Text("time left not known while compiling"))
        elif left := lines.time_left(self._left):
            cells.append(Text(left))
        line.add_row(*cells)
        return line


def _table(rows: list[dict[str, str]]) -> Fitted:
    """Rows of ``point_cells`` as a table, without empty columns and without couplings that never change."""
    shown = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = {row.get(name, "") for row in rows}
        constant = name not in lines.HEADS and len(values) == 1 and len(rows) > 1
        plain = {"", NOT_AVAILABLE, lines.EXACT}  # that all errors are against exact energies is what one expects
        if not constant and not values <= plain:
            shown.append(name)
    return Fitted(rows, shown, left=("verdict", "flags"), spare=lines.SPARE, style=_row_style)


def _row_style(row: dict[str, str]) -> str:
    if said := row.get("verdict"):
        return verdicts.STYLES.get(said, "")
    return "" if row.get("flags") == "ok" else "yellow"
