"""The frames of a curriculum in a file: filled part by part, checked by SHA-256 sums, then read as a memory map."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wavefoundry.artifacts import files
from wavefoundry.core.errors import IntegrityError
from wavefoundry.core.expect import path_of


class FrameFile:
    """``KEY.npy`` in a folder, with a note ``KEY.json`` that comes last; until then a hidden file.

    Args:
        folder: where. key: names the settings and all runs. shape: (runs, frames + 1, n).
    """

    def __init__(self, folder: str | os.PathLike[str], key: str, shape: tuple[int, int, int]):
        self.folder, self.shape = path_of(folder, "cache"), shape
        self._data, self._note = self.folder / f"{key}.npy", self.folder / f"{key}.json"
        self._hidden = self.folder / f".{key}.part"

    def note(self) -> dict[str, Any] | None:
        """What is known of the frames; None where the file is not complete."""
        if not (self._data.is_file() and self._note.is_file()):
            return None
        meta = files.decode_json(files.read_plain(self._note), self._note)
        return meta if isinstance(meta, dict) else {}

    def read(self) -> np.ndarray:
        """The frames as a memory map, after checking their sum.

        Raises:
            IntegrityError: the file is damaged.
        """
        if _digest(self._data) != (self.note() or {}).get("sha256"):
            raise IntegrityError(f"{self._data} is damaged: its SHA-256 sum differs\n  fix:   remove the file")
        return np.load(self._data, mmap_mode="r")

    def put(self, rows: slice, frames: np.ndarray) -> str:
        """Write the frames of some runs, and give their sum."""
        with files.storage("write", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            out = self._open()
            out[rows] = frames
            out.flush()
        return _sum(frames)

    def wrong(self, rows: Sequence[slice], sums: Sequence[str]) -> list[int]:
        """Numbers of the parts that are not what they were when they were put there."""
        with files.storage("read", self.folder):
            there = self._open() if self._hidden.exists() else None
            return [i for i, part in enumerate(rows) if there is None or _sum(there[part]) != sums[i]]

    def complete(self, meta: dict[str, Any]) -> None:
        """Give the file its name, once every part is there, and note ``meta``."""
        with files.storage("write", self.folder):
            digest = _digest(self._hidden)
            os.replace(self._hidden, self._data)
            files.write_atomic(self._note, files.encode_json(meta | {"sha256": digest}, indent=1))

    def discard(self) -> None:
        """Remove what is not complete."""
        self._hidden.unlink(missing_ok=True)

    def _open(self) -> np.memmap:
        if self._hidden.exists():
            return np.lib.format.open_memmap(self._hidden, mode="r+")
        return np.lib.format.open_memmap(self._hidden, mode="w+", dtype=np.complex64, shape=self.shape)


def _sum(frames: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
