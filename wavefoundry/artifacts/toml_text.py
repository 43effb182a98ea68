"""The text side of study files: read one TOML value, find the line of a key, write a nested dict.

Only what a study file needs: strings, numbers, booleans, lists and tables.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?$")
_ASSIGNMENT = re.compile(rf"^\s*({_DOTTED})\s*=")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


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


def emit(data: Mapping[str, Any]) -> str:
    """Write a nested dict as TOML: plain keys first, then one ``[table]`` per top-level dict.

    Args:
        data: str keys; values bool, int, float, str, list or dict. ``None`` values are left out.

    Returns:
        Text which ``tomllib.loads`` reads back to an equal dict.

    Raises:
        TypeError: for a value TOML cannot hold.
    """
    plain = {key: value for key, value in data.items() if value is not None and not isinstance(value, Mapping)}
    blocks = ["".join(_assignments(plain))] if plain else []
    for key, value in data.items():
        if isinstance(value, Mapping):
            blocks.append(f"[{_key(key)}]\n" + "".join(_assignments(value)))
    return "\n".join(blocks)


def _assignments(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}\n" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _string(text: str) -> str:
    # JSON's escapes are TOML's too, except that TOML also forbids a bare DEL and writes no surrogate pairs.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None)
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"TOML cannot hold a {type(value).__name__}")
