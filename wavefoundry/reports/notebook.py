"""The progress of a run in a notebook: one line that changes, and stays as what was said last."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

from wavefoundry.reports import lines
from wavefoundry.reports.lines import Event

EVERY = 0.25
"""Seconds between two changes of the line."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; nothing is imported to find out."""
    shell = sys.modules.get("IPython")
    kernel = getattr(shell, "get_ipython", lambda: None)()
    return kernel is not None and hasattr(kernel, "kernel")


class ProgressLine:
    """One line that is replaced; warnings stay below it.

    Args:
        show: takes the markup of a new display, gives what ``update`` is called on; IPython's by default.
        clock: seconds, monotonic.
    """

    def __init__(self, show: Callable[[str], Any] | None = None, clock: Callable[[], float] = time.monotonic):
        self._show, self._clock = show or _display, clock
        self._handle: Any = None
        self._last, self._text = -EVERY, ""

    def take(self, event: Event) -> None:
        """Show an event in place of the one before; of steps at most some in a second."""
        if event.get("event") == "warning":
            self._show(f'<pre style="margin:0;color:#a55a00">{escape(lines.event_line(event))}</pre>')
            return
        if not (text := lines.event_line(event)):
            return
        self._text, now = text, self._clock()
        if now - self._last >= EVERY:
            self._last = now
            self._write(text)

    def close(self) -> None:
        """Leave what was said last."""
        if self._text:
            self._write(self._text)

    def _write(self, text: str) -> None:
        markup = f'<pre style="margin:0">{escape(text)}</pre>'
        if self._handle is None:
            self._handle = self._show(markup)
        else:
            self._handle.update(markup)


def _display(markup: str) -> Any:
    from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

    return _Handle(display(HTML(markup), display_id=True), HTML)


class _Handle(NamedTuple):
    """A display of IPython that takes markup."""

    handle: Any
    wrap: Callable[[str], Any]

    def update(self, markup: str) -> None:
        """Show this in its place."""
        self.handle.update(self.wrap(markup))
