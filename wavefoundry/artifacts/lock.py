"""One writer per run directory: a lock file that names its owner and outlives neither it nor a reboot."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavefoundry.artifacts.files import decode_json, encode_json, read_plain, storage
from wavefoundry.core.errors import IntegrityError, LockedError

LOCK = ".lock"


class Lock:
    """Holds ``folder/.lock`` from construction until ``release``.

    The file is created with ``O_EXCL``, which also excludes writers on other hosts of a shared file system.
    The lock of a process that is gone from this very host is taken over; that of another host never is.

    Args:
        folder: an existing directory.

    Raises:
        LockedError: another process owns the folder; names its process id and host.
        StorageError: the lock file cannot be created.
        IntegrityError: ``.lock`` is a symbolic link or no regular file.
    """

    def __init__(self, folder: Path):
        self._path = folder / LOCK
        self._pid = os.getpid()
        with _one_at_a_time(folder) as alone:
            while not self._create():
                try:
                    owner = self._owner()
                except IntegrityError:
                    if os.path.lexists(self._path):
                        raise
                    continue  # released in this very moment
                if not _gone(owner, alone):
                    raise self._locked(owner or {})
                with storage("remove", self._path):
                    self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Give the folder back. Harmless when repeated, and in a forked child."""
        if self._pid == os.getpid():
            with contextlib.suppress(OSError, IntegrityError):
                owner = self._owner() or {}
                if (owner.get("pid"), owner.get("host")) == (self._pid, socket.gethostname()):
                    self._path.unlink(missing_ok=True)
        self._pid = -1

    def _create(self) -> bool:
        content = {
            "pid": self._pid,
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "start": _start_ticks(self._pid),
        }
        with storage("create", self._path):
            try:
                fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
            except FileExistsError:
                return False
            try:
                os.write(fd, encode_json(content))
                os.fsync(fd)
            except BaseException:
                self._path.unlink(missing_ok=True)
                raise
            finally:
                os.close(fd)
        return True

    def _owner(self) -> dict[str, Any] | None:
        """Who holds the lock: ``None`` when the file is empty, no entries when it makes no sense."""
        data = read_plain(self._path, limit=4096)
        with contextlib.suppress(IntegrityError):
            owner = decode_json(data, self._path)
            if isinstance(owner, dict) and isinstance(owner.get("pid"), int) and owner["pid"] > 0:
                return owner
        return {} if data else None

    def _locked(self, owner: dict[str, Any]) -> LockedError:
        pid, host, since = (owner.get(key, "?") for key in ("pid", "host", "since"))
        return LockedError(
            f"{self._path.parent} is in use by process {pid} on host {host} since {since}\n"
            f"  fix:   wait until it has finished; if it is gone for certain, remove {self._path}"
        )


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[bool]:
    """Serialise take-overs on this host; yields whether that worked (some network file systems cannot)."""
    with storage("open", folder):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        alone = True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError:
            alone = False
        yield alone
    finally:
        os.close(fd)


def _gone(owner: dict[str, Any] | None, alone: bool) -> bool:
    """Whether the owner certainly no longer runs."""
    if owner is None:
        # An empty file seen while no neighbour can be creating it: its creator was killed in between.
        return alone
    if owner.get("host") != socket.gethostname():
        return False
    try:
        os.kill(owner["pid"], 0)
    except OSError as error:
        return error.errno == errno.ESRCH
    except OverflowError:
        return True
    # The number may have been given to another process since: then the start times differ.
    start = _start_ticks(owner["pid"])
    return None not in (start, owner.get("start")) and start != owner["start"]


def _start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; ``None`` where /proc does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        # A zombie has ended: nobody has collected its exit status yet, but it will not write again.
        return -1 if fields[0] == "Z" else int(fields[19])
    return None
