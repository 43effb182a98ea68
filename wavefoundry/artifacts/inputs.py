"""What a study reads besides itself: files that must not change while it runs, and must not lie in what it replaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wavefoundry.artifacts import files
from wavefoundry.artifacts.spec_paths import READ, alike
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import from_home

STARTS = ("warm_start", "cache")


def _named(value: Any, keys: tuple[str, ...]) -> Iterator[str]:
    """Texts under some keys, wherever in a study."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            if key in keys:
                yield from (text for text in (one if isinstance(one, list) else [one]) if isinstance(text, str))
            else:
                yield from _named(one, keys)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one, keys)


def starts(spec: Any) -> list[str]:
    """Models that a study starts from."""
    return list(_named(spec.model_dump(mode="json"), ("warm_start",)))


def sums(spec: Any) -> dict[str, str]:
    """SHA-256 of every file that a study reads, by its path as it is written there."""
    paths = {text: from_home(text) for text in _named(spec.model_dump(mode="json"), READ)}
    return {text: files.sha256_file(path)[1] for text, path in sorted(paths.items()) if path.is_file()}


def require_same(spec: Any, before: Mapping[str, str], directory: str | Path) -> None:
    """Refuse to resume a run whose files have changed since it was started.

    Args:
        spec: the study. before: what ``sums`` said then. directory: the run directory, for the message.

    Raises:
        InputError: naming the file.
    """
    now = sums(spec)
    found = {
        text: next((one for one in (text, *now) if one in now and alike(text, one, "path")), text) for text in before
    }
    if different := [found[text] for text, digest in before.items() if now.get(found[text]) != digest]:
        text = different[0]
        raise InputError(
            f"{text} has changed since this run was started"
            if text in now
            else f"{text} is gone, which this run reads",
            where=str(directory),
            why="a resumed run must equal an uninterrupted one",
            fix="put the old file back, or start anew with --overwrite or another --out",
        )


def require_apart(spec: Any, folder: Path) -> None:
    """Refuse to replace a directory that the study reads from.

    Raises:
        InputError: naming what lies in it.
    """
    target = folder.resolve()
    for text in _named(spec.model_dump(mode="json"), READ + STARTS):
        if (path := from_home(text)).exists() and path.resolve().is_relative_to(target):
            why = f"the study reads {text}, which would be gone"
            raise InputError("this directory is not replaced", where=str(folder), why=why, fix="name another --out")
