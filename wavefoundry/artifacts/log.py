"""The log of a run: one JSON object per line, appended, and cut back to the restored step on resumption."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

from wavefoundry.artifacts.files import decode_json, encode_json, open_plain, storage
from wavefoundry.core.errors import IntegrityError


class Log:
    """Append-only JSON lines. A torn last line, left by a killed writer, is dropped before the next append.

    Args:
        path: the file; it is created by the first append.
    """

    def __init__(self, path: Path):
        self._path = path
        self._fd: int | None = None

    def append(self, event: dict[str, Any]) -> None:
        """Write one line; it has left the process when this returns.

        Raises:
            StorageError: the file system refused; the log ends where it ended before.
            IntegrityError: the log is a symbolic link.
        """
        line = encode_json(event) + b"\n"
        fd = self._open()
        with storage("write", self._path, len(line)):
            end = os.lseek(fd, 0, os.SEEK_END)
            try:
                written = 0
                while written < len(line):
                    written += os.write(fd, line[written:])
            except BaseException:
                with contextlib.suppress(OSError):
                    os.ftruncate(fd, end)
                raise

    def sync(self) -> int:
        """Force the log to the disk and return its length in bytes."""
        if self._fd is None and not self._path.exists():
            return 0
        fd = self._open()
        with storage("write", self._path):
            os.fsync(fd)
            return os.fstat(fd).st_size

    def truncate(self, offset: int) -> bool:
        """Drop everything beyond ``offset`` bytes, and a line cut by that; returns whether it was shorter."""
        if self._fd is None and not self._path.exists():
            return offset > 0
        fd = self._open()
        with storage("cut", self._path):
            size = os.fstat(fd).st_size
            _cut(fd, min(offset, size))
            os.fsync(fd)
        return size < offset

    def read(self) -> tuple[list[dict[str, Any]], int]:
        """The complete events, and how many lines could not be read (a torn end, damage)."""
        if not self._path.exists() and not self._path.is_symlink():
            return [], 0
        events, damaged = [], 0
        with os.fdopen(open_plain(self._path), "rb") as stream, storage("read", self._path):
            for line in stream:
                event = None
                if line.endswith(b"\n"):
                    with contextlib.suppress(IntegrityError):
                        event = decode_json(line, self._path)
                if isinstance(event, dict):
                    events.append(event)
                else:
                    damaged += 1
        return events, damaged

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        if self._fd is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            with storage("write", self._path):
                try:
                    self._fd = os.open(self._path, flags, 0o666)
                except OSError as error:
                    if error.errno == errno.ELOOP:
                        raise IntegrityError(
                            f"{self._path} is a symbolic link; only plain files are written"
                        ) from error
                    raise
                _cut(self._fd, os.fstat(self._fd).st_size)
        return self._fd


def _cut(fd: int, size: int) -> None:
    """Truncate to the last complete line within the first ``size`` bytes."""
    end = size
    while end > 0:
        start = max(0, end - 4096)
        block = os.pread(fd, end - start, start)
        newline = block.rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != os.fstat(fd).st_size:
        os.ftruncate(fd, end)
