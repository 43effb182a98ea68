"""Files that a user names: read whole up to a limit, or refused; never a device, a pipe or anything without an end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wavefoundry.core.errors import InputError

SEEN_FROM = "a path, seen from the current directory or from the folder of the study file"
"""What to do about a file that is not there."""


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether there is anything at a path that a user named; a link counts, wherever it leads.

    Raises:
        InputError: a folder on the way may not be entered, so that nothing can be said.
    """
    try:
        os.lstat(path)
    except PermissionError:
        what, fix = f"there is no permission to look into {Path(path).parent}", "ask its owner, or name a copy of it"
        raise InputError(what, where=str(path), fix=fix) from None
    except (OSError, ValueError):
        return False
    return True


def read_file(path: str | Path, what: str, limit: int, *, where: str = "", fix: str = "") -> bytes:
    """Content of an ordinary file (links are followed) of at most ``limit`` bytes.

    Args:
        path: the file. what: its name in messages, as in ``"study file"``. limit: in bytes.
        where: its place in messages, by default the path. fix: what to do when there is no such file.

    Raises:
        InputError: no such file, a folder, a device or a pipe, larger than ``limit``, or it cannot be read.
    """
    where = where or str(path)
    try:
        # Without O_NONBLOCK a pipe that nobody writes to would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise InputError(f"the {what} cannot be read", where=where, why="it is a directory")
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"the {what} is no ordinary file", where=where, why="it may never end")
            # not the size alone: a file may grow, and those of /proc claim to be empty
            data = b"" if status.st_size > limit else file.read(limit + 1)
            if max(status.st_size, len(data)) > limit:
                raise InputError(f"the {what} is too large", where=where, why=f"at most {limit >> 20} MiB are read")
            return data
    except FileNotFoundError:
        named = "" if str(path) in where else f"no file is at {path}"
        raise InputError(f"there is no such {what}", where=where, why=named, fix=fix) from None
    except IsADirectoryError:
        raise InputError(f"the {what} cannot be read", where=where, why="it is a directory") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"the {what} cannot be read", where=where, why=str(reason)) from None
