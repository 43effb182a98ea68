"""Paths in study files: where they are looked for, and when two of them mean the same."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Any

from wavefoundry.core.expect import from_home

READ = ("file", "path")
"""Keys that name a file which is read again when a run is resumed."""
GIVEN = (*READ, "warm_start", "couplings_file", "xyz")
"""Keys that name something which is there before a study starts."""


def beside(written: Any, folder: Path, key: str = "") -> Any:
    """A study as it is written, with the paths that lead nowhere from the current directory seen from its own folder.

    Args:
        written: nested dicts and lists. folder: that of the study file. key: which ``written`` stands under.
    """
    if isinstance(written, dict):
        return {name: beside(one, folder, name) for name, one in written.items()}
    if isinstance(written, list):
        return [beside(one, folder, key) for one in written]
    if key not in GIVEN or not isinstance(written, str) or _leads(path := from_home(written)):
        return written
    return str(folder / path) if _leads(folder / path) else written


def _leads(path: Path) -> bool:
    """Whether a path, or a pattern of paths, leads anywhere; one that cannot be is left to the checks."""
    try:
        return os.path.lexists(path) or bool(glob.glob(str(path)))
    except (OSError, ValueError):
        return False


def alike(first: Any, second: Any, key: str = "") -> bool:
    """Whether two values of a study under one key are equal; a path may be seen from another directory."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(alike(first[name], second[name], name) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(alike(a, b, key) for a, b in zip(first, second, strict=True))
    if key in GIVEN and isinstance(first, str) and isinstance(second, str):
        ends = [[part for part in Path(os.path.normpath(text)).parts if part != ".."] for text in (first, second)]
        fewer = min(map(len, ends))
        return ends[0][-fewer:] == ends[1][-fewer:]
    return first == second and type(first) is type(second)
