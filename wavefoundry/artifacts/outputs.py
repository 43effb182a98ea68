"""What finished tasks of a run gave: a bundle for each, in the folder ``tasks`` of the run directory."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from wavefoundry.artifacts import files
from wavefoundry.artifacts.bundles import Arrays, read_bundle
from wavefoundry.artifacts.layout import TASKS
from wavefoundry.core.errors import InputError, IntegrityError, StorageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""Names of what is stored; what killed writers left has others."""


def checked_name(name: str) -> str:
    """A name that something can be stored under.

    Raises:
        InputError: it is none.
    """
    if not NAME.fullmatch(name):
        raise InputError("this name cannot be used", where=name, why="letters, digits and _ . - are allowed")
    return name


def names_in(folder: Path) -> list[str]:
    """Names of everything in a folder; none where there is no plain folder."""
    if folder.is_symlink() or not folder.is_dir():
        return []
    with files.storage("read", folder):
        return os.listdir(folder)


def read_outputs(run: Path, key: str) -> tuple[dict[str, tuple[Arrays, dict[str, Any]]], list[str]]:
    """Arrays and description of every output, by its name; and what is wrong with those that are left out.

    Args:
        run: the run directory. key: of the description under which stands whose output it is.

    Raises:
        InputError: an output was written by a newer release.
    """
    found, problems = {}, []
    for name in sorted(name for name in names_in(run / TASKS) if NAME.fullmatch(name)):
        folder = run / TASKS / name
        try:
            files.refuse_links(run, folder)
            arrays, meta = read_bundle(folder)
            kept = meta.get(key)
            if not isinstance(kept, dict) or kept.get("task") != name:
                raise IntegrityError(f"{folder} holds another task than its name says")
        except (IntegrityError, StorageError) as error:
            problems.append(f"{error}; this part is done again")
            continue
        found[name] = arrays, meta
    return found, problems
