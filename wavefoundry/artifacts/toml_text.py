"""The text side of study files: read one TOML value, find the line of a key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")


def split_key(text: str) -> tuple[str, ...] | None:
    """Split a dotted key, ``a."b c".d`` -> ``("a", "b c", "d")``; ``None`` when the text is no key."""
    if not re.fullmatch(_DOTTED, text.strip()):
        return None
    return tuple(part.strip("\"'") for part in re.findall(_PART, text))


def line_of(text: str, path: Sequence[str]) -> int | None:
    """Line (from 1) on which the longest known beginning of a key path is set.

    A scan line by line, not a parser: right for tables, dotted keys and inline tables.

    Args:
        text: the TOML text.
        path: key path, e.g. ``("pretrain", "at", "h")``.

    Returns:
        The line number, or ``None`` when not even the first key occurs.
    """
    best, line = 0, None
    table: tuple[str, ...] = ()
    for number, row in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(row):
            table = found = split_key(header[1]) or ()
        elif assignment := _ASSIGNMENT.match(row):
            found = table + (split_key(assignment[1]) or ())
        else:
            continue
        if len(found) > best and tuple(path[: len(found)]) == found:
            best, line = len(found), number
    return line


def parse_value(text: str) -> Any:
    """Value of ``--set key=text``: a TOML value, or the text itself if it is none (quotes are optional)."""
    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (ValueError, RecursionError):
        return text
