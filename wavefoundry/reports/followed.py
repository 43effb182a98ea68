"""The events of a run that is under way, of its seeds where it has several; the run itself is not touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from wavefoundry.artifacts import files
from wavefoundry.artifacts.layout import LOG, SUMMARY
from wavefoundry.artifacts.lock import check_free
from wavefoundry.artifacts.seal import is_run_folder, nested
from wavefoundry.core.errors import InputError, LockedError, WavefoundryError
from wavefoundry.reports import lines, molecules_lines, tickets_lines

TAIL = 4096
"""Bytes before the place that has been read, by which a log is known again."""
UNDER_WAY, STOPPED = "under way", "stopped"
ROWS: Mapping[str, tuple[str, Callable[[dict[str, Any]], dict[str, str]]]] = {
    "point": ("index", lines.point_cells),
    "ticket": ("round", tickets_lines.event_cells),
    "molecule": ("index", molecules_lines.event_cells),
}
"""Events that are a row of a table: what numbers them, and their cells."""


class Followed(NamedTuple):
    """What is known of a run. name: of a seed, or empty. events: of its log. status: how it ended, or ``UNDER_WAY``."""

    name: str
    events: list[dict[str, Any]]
    status: str


class Log:
    """The events of one run; what was appended since the last look is read, no more.

    A log that is another one, or was cut back by a run that goes on from a checkpoint, is read anew.
    """

    def __init__(self, folder: Path):
        self.folder, self.events = folder, list[dict[str, Any]]()
        self._read, self._tail = 0, b""

    def look(self) -> None:
        """Read what is new."""
        path = self.folder / LOG
        if not os.path.lexists(path):
            self.events, self._read, self._tail = [], 0, b""
            return
        with os.fdopen(files.open_plain(path), "rb") as stream, files.storage("read", path):
            stream.seek(self._read - len(self._tail))
            data = stream.read()
            if data.startswith(self._tail):
                data = data[len(self._tail) :]
            else:
                self.events, self._read, self._tail = [], 0, b""
                stream.seek(0)
                data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read, self._tail = self._read + len(whole), (self._tail + whole)[-TAIL:]
        self.events += _decoded(whole, path)

    def status(self) -> str:
        """How the run has ended; its summary is read for that alone, the numbers are those of the log."""
        path = self.folder / SUMMARY
        if not path.is_file():
            try:
                check_free(self.folder)
            except LockedError:
                return UNDER_WAY
            except WavefoundryError:
                return "unknown"
            return STOPPED
        try:
            found = files.decode_json(files.read_plain(path), path)
        except WavefoundryError:
            return "being written"
        return str(found.get("status", "ended")) if isinstance(found, dict) else "damaged"


class Follower:
    """A run and the runs of its seeds.

    Args:
        folder: run directory.

    Raises:
        InputError: there is no run.
    """

    def __init__(self, folder: Path):
        if not is_run_folder(folder):
            fix = "a directory that 'wavefoundry run' writes to"
            raise InputError(f"there is no run in {folder}", where="watch", fix=fix)
        self.folder = folder
        self._logs, self._lock = {folder: Log(folder)}, Lock()

    def look(self) -> list[Followed]:
        """The run itself, then its seeds."""
        with self._lock:
            seeds = nested(self.folder)
            self._logs = {path: self._logs.get(path) or Log(path) for path in (self.folder, *seeds)}
            found = []
            for path, log in self._logs.items():
                log.look()
                found.append(Followed("" if path == self.folder else f"seed {path.name}", log.events, log.status()))
            return found


def _decoded(data: bytes, path: Path) -> Iterator[dict[str, Any]]:
    """Events of whole lines; a line that is none of ours is no reason to stop looking."""
    for line in data.splitlines():
        try:
            event = files.decode_json(line, path)
        except WavefoundryError:
            continue
        if isinstance(event, dict) and _is_event(event):
            yield event


def _is_event(event: dict[str, Any]) -> bool:
    try:
        lines.event_line(event)
        if (row := ROWS.get(str(event.get("event")))) is not None:
            key, cells = row
            hash(event.get(key))
            cells(event)
    except Exception:  # whatever was written there, it cannot be shown
        return False
    return True
