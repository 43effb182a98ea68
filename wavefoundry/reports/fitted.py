"""Tables of the terminal that fit its width: columns that tell least are left out, never the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

GAP = 2
LEAST = 24
"""Cells that a column of words keeps before other columns are given up for it."""


class Fitted:
    """Rows of named cells as a table that is as wide as it may be.

    Args:
        rows: texts by column; a column that a row lacks is empty.
        names: columns in order.
        left: those aligned to the left.
        spare: those that may be left out, the first of them first.
        words: a column whose text may go on in the next line.
        style: style of a row.
    """

    def __init__(
        self,
        rows: Sequence[dict[str, str]],
        names: Sequence[str],
        *,
        left: Sequence[str] = (),
        spare: Sequence[str] = (),
        words: str = "flags",
        style: Callable[[dict[str, str]], str] = lambda row: "",
    ):
        self.rows, self.names, self.left, self.spare, self.words, self.style = rows, names, left, spare, words, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.table(options.max_width)

    def shown(self, width: int) -> list[str]:
        """The columns that ``width`` cells have room for."""
        shown = list(self.names)
        for name in self.spare:
            if self._needs(shown) <= width:
                break
            if name in shown:
                shown.remove(name)
        return shown

    def _needs(self, shown: list[str]) -> int:
        return sum(self._least(name) + GAP for name in shown) - GAP

    def _least(self, name: str) -> int:
        texts = [name, *(row.get(name, "") for row in self.rows)]
        widest = max(map(cell_len, texts))
        longest = max((cell_len(part) for text in texts for part in text.split()), default=0)
        return min(widest, max(LEAST, longest)) if name == self.words else widest

    def table(self, width: int) -> Table:
        """The table for a screen of ``width`` cells."""
        drawn = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold", pad_edge=False)
        shown = self.shown(width)
        for name in shown:
            justify = "left" if name in self.left else "right"
            drawn.add_column(Text(name), justify=justify, no_wrap=name != self.words)
        for row in self.rows:
            drawn.add_row(*(Text(row.get(name, "")) for name in shown), style=self.style(row))
        return drawn
