"""What a Python function was given, held against what it takes: one clear error in place of a traceback."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wavefoundry.core.errors import InputError
from wavefoundry.core.words import near


class Problem(NamedTuple):
    """One broken rule: the key path it is about, what is wrong, why, and what to write instead."""

    path: tuple[str, ...]
    what: str
    why: str = ""
    fix: str = ""


def expect(value: Any, kinds: type | tuple[type, ...], what: str, *, where: str, fix: str = "") -> None:
    """Refuse a value of another type.

    Args:
        value: what was given. kinds: the types it may have. what: these in words, as "lattice system".
        where: function and argument. fix: what to write instead.

    Raises:
        InputError: it has another type.
    """
    if not isinstance(value, kinds):
        raise InputError(f"{type(value).__name__} is no {what}", where=where, fix=fix)


def path_of(value: Any, where: str) -> Path:
    """A path, "~" resolved.

    Raises:
        InputError: the value is no text and no path.
    """
    expect(value, (str, os.PathLike), "path", where=where, fix='a text such as "runs/study", or a pathlib.Path')
    return Path(value).expanduser()


def table_of(value: Any, where: str, example: str) -> dict[str, Any]:
    """Settings by name; None is an empty table.

    Raises:
        InputError: the value is no mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{value!r:.60} is not a table", where=where, fix=f"{example}, for example")
    return dict(value)


def edges_of(extent: Any, where: str) -> tuple[int, ...]:
    """Edges of a lattice, whole numbers from 1.

    Raises:
        InputError: an edge is no such number, or there are not one or two of them.
    """
    edges = extent.tolist() if hasattr(extent, "tolist") else extent
    listed = list(edges) if isinstance(edges, list | tuple) else [edges]
    plain = [edge.item() if hasattr(edge, "item") else edge for edge in listed]
    for edge in plain:
        if isinstance(edge, bool) or not isinstance(edge, int | float) or edge < 1 or edge != edge // 1:
            raise InputError(f"{edge!r:.60} is no number of sites", where=where, why="edges are whole numbers from 1")
    if len(plain) not in (1, 2):
        raise InputError(f"a lattice with {len(plain)} edges is not possible", where=where, why="it has one or two")
    return tuple(int(edge) for edge in plain)


def one_of(name: str, known: Collection[str], what: str, *, where: str) -> str:
    """A name that is known.

    Raises:
        InputError: it is not; ``what`` says so, and a near miss is pointed out.
    """
    if name not in known:
        raise InputError(what, where=where, why=f"known: {', '.join(known)}", fix=near(name, known))
    return name
