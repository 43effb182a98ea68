"""Write the tables of fields in the documentation from the types of the records.

A table stands below a comment such as ``<!-- fields of diagram.Point -->``, or ``<!-- fields of tickets.TicketsSummary
beyond common.Summary -->`` for those that the other type does not have.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from wavefoundry.core import records

PAGES = ("results.md", "emulation.md")
MARK = re.compile(r"(<!-- fields of ([\w.]+)(?: beyond ([\w.]+))? -->\n\n)(?:\|.*\n)*\n*")


def table(name: str, beyond: str | None) -> str:
    """One table in Markdown."""
    rows = records.fields(_type(name), _type(beyond) if beyond else None)
    lines = [f"| `{field}` | {meaning[:1].upper()}{meaning[1:]}. |" for field, meaning in rows]
    return "\n".join(["| field | meaning |", "|---|---|", *lines, ""]) + "\n"


def _type(name: str) -> type[records.Record]:
    module, _, model = name.partition(".")
    return getattr(importlib.import_module(f"wavefoundry.core.records.{module}"), model)


def written(page: str) -> str:
    """A page with its tables as the types have them."""
    return MARK.sub(lambda match: match[1] + table(match[2], match[3]), page)


if __name__ == "__main__":
    docs = Path(__file__).parents[1] / "docs"
    for path in (docs / page for page in PAGES):
        path.write_text(written(path.read_text("utf-8")), "utf-8")
