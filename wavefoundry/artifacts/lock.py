"""One writer per run directory: a lock file that names its owner and outlives neither it nor a reboot."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavefoundry.artifacts.files import decode_json, encode_json, read_plain, storage
from wavefoundry.core.errors import IntegrityError, LockedError, StorageError

LOCK = ".lock"
BEAT, STALE = 20.0, 300.0
"""Seconds between two signs of life of an owner, and without one after which it counts as gone, wherever it runs."""


class Lock:
    """Holds ``folder/.lock`` from construction until ``release``.

    The file is created with ``O_EXCL``, which also excludes writers on other hosts of a shared file system.
    The lock of a process that is gone from this very host is taken over at once. The owner touches the file every
    ``BEAT`` seconds; that of another host is taken over when it has not been touched for ``STALE`` seconds.

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
                    owner = _owner(self._path)
                except IntegrityError:
                    if os.path.lexists(self._path):
                        raise
                    continue  # released in this very moment
                if not (_gone(owner, alone) or _silent(owner, self._path)):
                    raise _locked(self._path, owner or {})
                with storage("remove", self._path):
                    self._path.unlink(missing_ok=True)
        self._end = threading.Event()
        threading.Thread(target=self._beat, name="wavefoundry lock", daemon=True).start()

    def require(self) -> None:
        """Make sure that the folder is still ours: after a long sleep another host may have taken it over.

        Raises:
            LockedError: it is not. StorageError: the lock file cannot be read.
        """
        if not self._ours():
            with contextlib.suppress(IntegrityError):
                raise _locked(self._path, _owner(self._path) or {})
            raise LockedError(f"{self._path} is gone: this process no longer owns the directory")

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            with contextlib.suppress(OSError, IntegrityError, StorageError):
                if self._ours():
                    os.utime(self._path, follow_symlinks=False)

    def _ours(self) -> bool:
        try:
            owner = _owner(self._path) or {}
        except IntegrityError:
            return False
        return (owner.get("pid"), owner.get("host")) == (self._pid, socket.gethostname())

    def release(self) -> None:
        """Give the folder back. Harmless when repeated, and in a forked child."""
        self._end.set()
        if self._pid == os.getpid():
            with contextlib.suppress(OSError, IntegrityError, StorageError):
                if self._ours():
                    self._path.unlink(missing_ok=True)
        self._pid = -1

    def _create(self) -> bool:
        content = {
            "pid": self._pid,
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "start": _start_ticks(self._pid),
            "beat": BEAT,
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


def check_free(folder: Path) -> None:
    """Refuse a folder that a living process holds; nothing is left behind, and nothing heavy is loaded.

    Raises:
        LockedError: names the owner.
    """
    path = folder / LOCK
    if not os.path.lexists(path):
        return
    try:
        owner = _owner(path)
    except IntegrityError:
        return  # released in this moment, or no lock of ours: ``Lock`` says so
    if owner and not (_gone(owner, False) or _silent(owner, path)):
        raise _locked(path, owner)


def _owner(path: Path) -> dict[str, Any] | None:
    """Who holds the lock: ``None`` when the file is empty, no entries when it makes no sense."""
    data = read_plain(path, limit=4096)
    with contextlib.suppress(IntegrityError):
        owner = decode_json(data, path)
        if isinstance(owner, dict) and isinstance(owner.get("pid"), int) and owner["pid"] > 0:
            return owner
    return {} if data else None


def _locked(path: Path, owner: dict[str, Any]) -> LockedError:
    pid, host, since = (owner.get(key, "?") for key in ("pid", "host", "since"))
    return LockedError(
        f"{path.parent} is in use by process {pid} on host {host} since {since}\n"
        f"  fix:   wait until it has finished; if it is gone for certain, remove {path}"
    )


def _silent(owner: dict[str, Any] | None, path: Path) -> bool:
    """Whether an owner on another host has given no sign of life for so long that it must be gone."""
    if not owner or owner.get("host") == socket.gethostname() or not isinstance(owner.get("beat"), int | float):
        return False
    probe = path.with_name(f"{LOCK}.tmp-{os.getpid()}")
    with contextlib.suppress(OSError):
        # a new file tells the time of the file server: clocks of hosts may differ
        try:
            probe.touch()
            return probe.stat().st_mtime - path.lstat().st_mtime > max(STALE, 3 * owner["beat"])
        finally:
            probe.unlink(missing_ok=True)
    return False


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
