"""How results look where they stand at the end of a line: a few words at a prompt, a small table in a notebook."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROWS = 12
"""Rows of a table that a notebook shows; the others are counted."""
LINES = 6
"""Facts that a prompt shows."""
DPI = 110


class Card(NamedTuple):
    """What is shown of an object.

    Attributes:
        title: one line: what it is, and what is known of it.
        facts: names and values, the most important first.
        rows: of a table, cells by column.
        draw: gives a figure, or None where there is nothing to draw.
        alternative: the figure in words.
    """

    title: str
    facts: Sequence[tuple[str, str]] = ()
    rows: Sequence[Mapping[str, str]] = ()
    draw: Callable[[], Figure | None] | None = None
    alternative: str = ""


class Shown:
    """An object that has a ``Card``: its ``repr``, and how a notebook shows it."""

    def _card(self) -> Card:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text(self._card())

    def _repr_html_(self) -> str:
        return html(self._card())

    def _repr_png_(self) -> bytes | None:
        return png(self._card())


def text(card: Card) -> str:
    """A card at a prompt: its title and a few facts, never an array."""
    width = max((len(name) for name, _ in card.facts), default=0)
    lines = [f"  {name:<{width}}  {_short(value)}" for name, value in card.facts[:LINES] if value]
    return "\n".join([card.title, *lines])


def html(card: Card) -> str:
    """A card in a notebook: title, facts, table and figure, without a script or a style of the page's."""
    parts = [f"<p><strong>{escape(card.title)}</strong></p>"]
    facts = [(name, value) for name, value in card.facts if value]
    if facts:
        body = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in facts
        )
        parts.append(f"<table><tbody>{body}</tbody></table>")
    if card.rows:
        parts.append(_table(card.rows))
    image = png(card)
    if image is not None:
        data = base64.b64encode(image).decode()
        words = escape(card.alternative or card.title, quote=True)
        style = "max-width:100%;height:auto"
        parts.append(f'<img src="data:image/png;base64,{data}" alt="{words}" style="{style}">')
    return f"<div>{''.join(parts)}</div>"


def png(card: Card) -> bytes | None:
    """The figure of a card as PNG; None where there is none."""
    figure = card.draw() if card.draw is not None else None
    if figure is None:
        return None
    from wavefoundry.reports.style import to_png

    return to_png(figure, DPI)


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a table, without columns that are empty in all of them."""
    names = [
        name for name in dict.fromkeys(n for row in rows for n in row) if any(filled(row.get(name)) for row in rows)
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(row.get(name, ''))}</td>" for name in names) + "</tr>" for row in rows[:ROWS]
    )
    more = f"<p>and {len(rows) - ROWS} more rows</p>" if len(rows) > ROWS else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def filled(cell: Any) -> bool:
    """Whether a cell says anything."""
    return cell not in ("", "n/a", None)


def _short(value: str, most: int = 100) -> str:
    one = " ".join(value.split())
    return one if len(one) <= most else one[: most - 3] + "..."
