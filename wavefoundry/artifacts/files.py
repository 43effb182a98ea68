"""Files that are the old or the new ones, never a mixture: atomic writing, cautious reading, plain JSON.

Nothing here imports JAX, and nothing is ever unpickled. Writers stage a file (or folder) under a hidden
name beside it, force it to the disk and rename it into place. Readers refuse symbolic links.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavefoundry.core.errors import IntegrityError, StorageError
from wavefoundry.core.values import plain

LITTER = re.compile(r"^\.(?P<final>.+)\.(?P<kind>tmp|old)-\d+$")
"""Names of staged (``tmp``) and displaced (``old``) files: what a killed writer may leave behind."""

MAX_JSON = 64 * 2**20
"""Largest JSON file that is read, in bytes; parsed, the worst one takes about 30 times its size."""


@contextlib.contextmanager
def storage(action: str, path: Path, size: int | None = None) -> Iterator[None]:
    """Turn an ``OSError`` of the body into one clear line.

    Args:
        action: what was tried, as in ``"write"``.
        path: the file or directory it was tried on.
        size: bytes that were needed, when that explains the failure.

    Raises:
        StorageError: for any ``OSError``.
    """
    try:
        yield
    except OSError as error:
        need = f" ({size / 1e6:.1f} MB needed)" if size is not None else ""
        raise StorageError(f"cannot {action} {path}{need}: {error.strerror or error}") from error


def staged_name(path: Path, kind: str = "tmp") -> Path:
    """The hidden neighbour under which this process stages (or displaces) ``path``; see ``LITTER``.

    Raises:
        StorageError: it has none, as "." and "/".
    """
    if not path.name:
        raise StorageError(f"cannot write '{path}': it is a folder that is there already, not a name in one")
    return path.with_name(f".{path.name}.{kind}-{os.getpid()}")


def fsync_directory(path: Path) -> None:
    """Make renames inside ``path`` durable; file systems that cannot do this are accepted."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def create_file(path: Path, data: bytes) -> None:
    """Create a file that must not exist yet and force it to the disk. Its mode follows the umask."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
    with os.fdopen(fd, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Replace the file ``path`` by ``data``; after a crash it holds the old or the new content.

    Raises:
        StorageError: the file system refused; the old file is untouched.
    """
    staged = staged_name(path)
    with storage("write", path, len(data)):
        try:
            staged.unlink(missing_ok=True)
            create_file(staged, data)
            os.replace(staged, path)
        except BaseException:
            with contextlib.suppress(OSError):
                staged.unlink(missing_ok=True)
            raise
        fsync_directory(path.parent)


def write_where_told(path: Path, data: bytes) -> Path:
    """``write_atomic`` where a user says, folders on the way included.

    Raises:
        StorageError: the file system refused.
    """
    with storage("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, data)
    return path


def open_plain(path: Path) -> int:
    """Open a regular file for reading and return its descriptor.

    Raises:
        IntegrityError: it is missing, a symbolic link, or no regular file.
        StorageError: the file system refused.
    """
    try:
        # Without O_NONBLOCK a planted FIFO would block the reader for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise IntegrityError(f"{path} is missing") from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise IntegrityError(f"{path} is a symbolic link; only plain files are read") from error
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IntegrityError(f"{path} is not a regular file")
    return fd


def require_readable(folder: Path) -> None:
    """Refuse a folder with anything in it that this user may not read: it would pass for missing or damaged.

    Raises:
        StorageError: names the first of them.
    """
    for base, folders, names in os.walk(folder):
        for path in [Path(base), *(Path(base, name) for name in (*folders, *names))]:
            wanted = os.R_OK | (os.X_OK if path.is_dir() else 0)
            if not path.is_symlink() and not os.access(path, wanted) and os.path.lexists(path):  # some come and go
                raise StorageError(f"cannot read {path}: there is no permission")


def read_plain(path: Path, limit: int = MAX_JSON) -> bytes:
    """Content of a regular file of at most ``limit`` bytes; errors as ``open_plain``."""
    with os.fdopen(open_plain(path), "rb") as stream, storage("read", path):
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError(f"{path} is larger than the {limit / 1e6:.0f} MB allowed for it")
    return data


def sha256_file(path: Path) -> tuple[int, str]:
    """Size in bytes and SHA-256 (hex) of a regular file; errors as ``open_plain``."""
    digest, size = hashlib.sha256(), 0
    with os.fdopen(open_plain(path), "rb") as stream, storage("read", path):
        while block := stream.read(2**20):
            digest.update(block)
            size += len(block)
    return size, digest.hexdigest()


def refuse_links(root: Path, path: Path) -> None:
    """Refuse symbolic links anywhere between ``root`` (exclusive) and ``path`` (inclusive).

    Raises:
        IntegrityError: a component is a link, so the path may lead out of the directory.
        ValueError: ``path`` does not lie below ``root``.
    """
    current = root
    for part in path.relative_to(root).parts:
        current = current / part
        if part == ".." or current.is_symlink():
            raise IntegrityError(f"{current} leads out of {root}; only plain files and folders are accepted")


def remove_tree(path: Path) -> None:
    """Remove a file, link or folder; links inside are removed, never followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a folder so that nobody, not even after a crash, ever finds half of it under its name."""
    staged = staged_name(path)
    remove_tree(staged)
    os.rename(path, staged)
    remove_tree(staged)


def clear_litter(root: Path) -> None:
    """Remove what killed writers left below ``root``; a displaced entry without successor is put back.

    The caller must hold the lock of ``root``: then every staged name belongs to a writer that is gone.
    """
    with storage("clean up", root):
        for folder, folders, names in os.walk(root):
            for name in [*folders, *names]:
                match, entry = LITTER.match(name), Path(folder, name)
                if match is None:
                    continue
                final = entry.with_name(match["final"])
                if match["kind"] == "old" and not final.exists():
                    os.rename(entry, final)
                else:
                    remove_tree(entry)
            folders[:] = [name for name in folders if not LITTER.match(name)]


def encode_json(value: Any, indent: int | None = None) -> bytes:
    """UTF-8 JSON of ``plain(value)``, with a newline at the end when indented."""
    text = json.dumps(plain(value), allow_nan=False, ensure_ascii=False, indent=indent)
    # A file name may hold undecodable bytes; JSON has an escape for exactly those.
    return (text + ("\n" if indent is not None else "")).encode("utf-8", "backslashreplace")


def decode_json(data: bytes, path: Path) -> Any:
    """Parse JSON; ``path`` is named in the error.

    Raises:
        IntegrityError: the bytes are no JSON, or are nested too deeply to be ours.
    """
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is damaged: it does not hold valid JSON") from error
