"""Manifests: the exact file set of a folder with sizes and SHA-256 sums, guarded by a sum of its own.

The format libraries below us load a flipped bit without a word, so every folder we write carries its sums.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wavefoundry.artifacts.files import LITTER, decode_json, read_plain, sha256_file
from wavefoundry.core.errors import InputError, IntegrityError, StorageError

MANIFEST, MARKER = "manifest.json", "run.json"
SCHEMA = 1


def entry(data: bytes) -> dict[str, Any]:
    """Manifest entry of a file with this content."""
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _canonical(body: dict[str, Any]) -> bytes:
    return (json.dumps(body, sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def encode_manifest(kind: str, files: dict[str, dict[str, Any]], **extra: Any) -> bytes:
    """Bytes of a manifest.

    Args:
        kind: what the folder is, ``"arrays"`` or ``"run"``.
        files: relative POSIX path -> ``entry``.
        extra: further JSON values that belong to the folder.
    """
    body = {"schema": SCHEMA, "kind": kind, "files": files, **extra}
    return _canonical({**body, "checksum": hashlib.sha256(_canonical(body)).hexdigest()})


def decode_manifest(data: bytes, path: Path, kind: str) -> dict[str, Any]:
    """Parse and check the bytes of the manifest ``path``.

    Raises:
        IntegrityError: it is not byte for byte what ``encode_manifest`` wrote, or of another kind.
        InputError: it was written by a newer release.
    """
    damaged = IntegrityError(f"{path} is damaged: its own checksum does not match")
    body = decode_json(data, path)
    if not isinstance(body, dict):
        raise damaged
    checksum = body.pop("checksum", None)
    if checksum != hashlib.sha256(_canonical(body)).hexdigest():
        raise damaged
    # Comparing the bytes too catches what parsing forgives, such as a changed blank or a doubled key.
    if data != _canonical({**body, "checksum": checksum}):
        raise damaged
    check_schema(body.get("schema"), SCHEMA, path)
    if body.get("kind") != kind or not _well_formed(body.get("files")):
        raise IntegrityError(f"{path} is no manifest of the expected kind ({kind})")
    return body


def check_schema(found: Any, known: int, path: Path) -> None:
    """Refuse a file of a newer schema, naming both versions.

    Raises:
        IntegrityError: ``found`` is no schema number.
        InputError: ``found`` is newer than ``known``.
    """
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise IntegrityError(f"{path} is damaged: {found!r} is no schema version")
    if found > known:
        raise InputError(
            f"this file has schema {found}; this wavefoundry reads schemas up to {known}",
            where=str(path),
            fix="use the wavefoundry release that wrote it, or a newer one",
        )


def _well_formed(files: Any) -> bool:
    if not isinstance(files, dict):
        return False
    for name, item in files.items():
        parts = name.split("/")
        if not name or name.startswith("/") or any(part in ("", ".", "..") for part in parts):
            return False
        if not isinstance(item, dict) or set(item) != {"size", "sha256"}:
            return False
        if not isinstance(item["size"], int) or not isinstance(item["sha256"], str):
            return False
    return True


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """Read and check ``folder/manifest.json``; errors as ``decode_manifest`` and ``read_plain``."""
    path = folder / MANIFEST
    return decode_manifest(read_plain(path), path, kind)


def list_entries(folder: Path, without: str = "") -> Iterator[tuple[str, bool]]:
    """Relative POSIX path of everything below ``folder`` that is no folder, and whether it is a plain file.

    ``without``: name of a folder in it that is left out.
    Staged and displaced names of a writer at work (or killed) are left out. Links are not followed. A run within a run
    has a seal of its own: of it, the file that marks it is named.
    """
    for base, folders, names in os.walk(folder):
        if MARKER in names and Path(base) != folder:
            folders[:], names = [], [MARKER]
        left_out = without if Path(base) == folder else ""
        folders[:] = sorted(name for name in folders if not LITTER.match(name) and name != left_out)
        links = [name for name in folders if Path(base, name).is_symlink()]
        for name in sorted([*names, *links]):
            path = Path(base, name)
            if not LITTER.match(name):
                yield path.relative_to(folder).as_posix(), path.is_file() and not path.is_symlink()


def check_files(folder: Path, files: dict[str, dict[str, Any]], ignore: frozenset[str], without: str = "") -> list[str]:
    """Compare a folder with the files its manifest lists.

    Args:
        folder: the folder.
        files: relative path -> ``entry``.
        ignore: relative paths that are neither listed nor unexpected. without: name of a folder that is left out.

    Returns:
        One line per problem, each naming the file; empty when everything is intact.
    """
    found = dict(list_entries(folder, without))
    problems = [
        f"{folder / name} is not listed in {folder / MANIFEST}" if ordinary else f"{folder / name} is no plain file"
        for name, ordinary in found.items()
        if name not in ignore and (name not in files or not ordinary)
    ]
    for name, expected in files.items():
        path = folder / name
        if name not in found:
            problems.append(f"{path} is missing")
        elif found[name]:
            problems += _check_file(path, expected)
    return problems


def _check_file(path: Path, expected: dict[str, Any]) -> list[str]:
    try:
        size = path.stat().st_size
        if size != expected["size"]:
            return [f"{path} has {size} bytes instead of {expected['size']}"]
        if sha256_file(path)[1] != expected["sha256"]:
            return [f"{path} is damaged: its SHA-256 does not match"]
    except (OSError, IntegrityError, StorageError) as error:
        return [str(error)]
    return []
