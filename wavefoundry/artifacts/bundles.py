"""Bundles: folders that hold named arrays and a JSON description, written whole or not at all.

A bundle is ``{arrays.safetensors, meta.json, manifest.json}``. Checkpoints and trained models are bundles.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from wavefoundry.artifacts import files
from wavefoundry.artifacts.manifest import MANIFEST, check_files, encode_manifest, entry, read_manifest
from wavefoundry.core.errors import InputError, IntegrityError, PhysicsError, StorageError
from wavefoundry.core.expect import path_of
from wavefoundry.core.reading import is_there

ARRAYS, META = "arrays.safetensors", "meta.json"
MAX_HEADER = 16 * 2**20
"""Largest safetensors header that is parsed, in bytes; about 100 000 arrays."""

STORABLE = frozenset(
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)

Arrays = dict[str, np.ndarray]


def nonfinite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Names of the arrays that hold a NaN or an infinity."""
    return [name for name, x in arrays.items() if x.dtype.kind in "fc" and not np.isfinite(x).all()]


def write_bundle(folder: Path, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
    """Write (or replace) the bundle ``folder``; after a crash it is the old or the new one.

    Args:
        folder: where; its parent must exist.
        arrays: name -> array of booleans, integers, floats or complex numbers (PRNG keys as their raw data).
        meta: JSON values; non-finite floats become ``null``.

    Raises:
        PhysicsError: an array holds a NaN or an infinity; nothing is written.
        StorageError: the file system refused; an existing bundle is untouched.
        TypeError: an array has a type that cannot be stored.
        ValueError: names or description are too large to be read back.
    """
    host = {name: _ordered(name, value) for name, value in arrays.items()}
    if bad := nonfinite(host):
        raise PhysicsError(f"{folder.name} is not saved: {', '.join(bad[:5])} held non-finite numbers")
    contents = {ARRAYS: encode_arrays(host), META: files.encode_json(dict(meta), indent=1)}
    if len(contents[META]) > files.MAX_JSON or int.from_bytes(contents[ARRAYS][:8], "little") > MAX_HEADER:
        raise ValueError(f"{folder.name} is not saved: too many names or too long a description to be read back")
    doubles = sorted(name for name, value in host.items() if value.dtype == np.complex128)
    listed = {name: entry(data) for name, data in contents.items()}
    contents[MANIFEST] = encode_manifest("arrays", listed, complex128=doubles)
    with files.storage("write", folder, sum(map(len, contents.values()))):
        _replace_folder(folder, contents)


def save_bundle(path: str | os.PathLike[str], arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
    """``write_bundle`` where a user says, folders on the way included; of what is there only a bundle is replaced.

    Raises:
        InputError: no path, or a file, a link, or a folder with anything else in it.
    """
    folder = path_of(path, "save")
    with files.storage("write", folder):
        if os.path.lexists(folder):
            plain = folder.is_dir() and not folder.is_symlink()
            others = sorted(set(os.listdir(folder)) - {ARRAYS, META, MANIFEST}) if plain else []
            if others or not plain:
                why = f"it holds {others[0]!r}, which is not of a saved model" if others else "it is no plain folder"
                raise InputError(f"{folder} is not replaced", where="save", why=why, fix="a path of its own")
        folder.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(folder, arrays, meta)
    return folder


def read_bundle(folder: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read a bundle after checking everything about it.

    Returns:
        The arrays and the description, exactly as they were written.

    Raises:
        IntegrityError: anything is missing, added, changed, a link, or cannot be parsed.
        InputError: the bundle was written by a newer release.
        StorageError: the file system refused.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise IntegrityError(f"{folder} is missing" if not folder.exists() else f"{folder} is no plain folder")
    manifest = read_manifest(folder, "arrays")
    listed, doubles = manifest["files"], manifest.get("complex128")
    if set(listed) != {ARRAYS, META} or not isinstance(doubles, list):
        raise IntegrityError(f"{folder / MANIFEST} does not list exactly {ARRAYS} and {META}")
    if problems := _unexpected(folder, set(listed)):
        raise IntegrityError(problems[0])
    meta = files.decode_json(_read_listed(folder / META, listed[META]), folder / META)
    if not isinstance(meta, dict):
        raise IntegrityError(f"{folder / META} is damaged: it holds no table")
    return decode_arrays(_read_listed(folder / ARRAYS, listed[ARRAYS]), doubles, folder / ARRAYS), meta


def check_bundle(folder: Path) -> list[str]:
    """Problems of a bundle, one line each naming the file; empty when it is intact. Damage never raises."""
    try:
        if folder.is_symlink() or not folder.is_dir():
            return [f"{folder} is no plain folder"]
        listed = read_manifest(folder, "arrays")["files"]
    except (IntegrityError, InputError, StorageError) as error:
        return [str(error)]
    missing = [f"{folder / MANIFEST} does not list {name}" for name in (ARRAYS, META) if name not in listed]
    if problems := missing + check_files(folder, listed, frozenset({MANIFEST})):
        return problems
    try:
        read_bundle(folder)  # sums say that nothing has changed, not that it can be parsed
    except (IntegrityError, InputError, StorageError) as error:
        return [str(error)]
    return []


def is_bundle(folder: Path) -> bool:
    """Whether this is a bundle, or what is left of one."""
    return any(is_there(folder / name) for name in (ARRAYS, META))


def _ordered(name: str, value: Any) -> np.ndarray:
    # safetensors copies memory as it lies: an array in Fortran order would be transposed silently.
    array = np.asarray(value, order="C")
    if array.dtype.name not in STORABLE:
        raise TypeError(f"array {name!r} has type {array.dtype}, which cannot be stored")
    return array


def encode_arrays(arrays: Arrays) -> bytes:
    """Arrays as the bytes of a safetensors file; complex128 as pairs of doubles."""
    # The format knows no complex128: such arrays are stored as pairs of doubles.
    return safetensors.numpy.save(
        {
            name: np.stack([np.real(x), np.imag(x)], axis=-1) if x.dtype == np.complex128 else x
            for name, x in arrays.items()
        }
    )


def decode_arrays(data: bytes, doubles: list[str], path: Path) -> Arrays:
    """What ``encode_arrays`` wrote; ``doubles`` names the complex arrays.

    Raises:
        IntegrityError: it cannot be parsed.
    """
    try:
        arrays = safetensors.numpy.load(data)
        for name in doubles:
            pair = arrays[name]
            if pair.dtype != np.float64 or pair.ndim == 0 or pair.shape[-1] != 2:
                raise ValueError(name)
            arrays[name] = np.ascontiguousarray(pair).view(np.complex128)[..., 0]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} cannot be parsed as safetensors ({error})") from error
    return arrays


def _unexpected(folder: Path, listed: set[str]) -> list[str]:
    with files.storage("read", folder):
        names = {item.name for item in os.scandir(folder)}
    return [f"{folder / name} is not listed in {folder / MANIFEST}" for name in sorted(names - listed - {MANIFEST})]


def _read_listed(path: Path, expected: dict[str, Any]) -> bytes:
    """Content of a listed file; size and header are judged before the bulk is brought into memory."""
    with os.fdopen(files.open_plain(path), "rb") as stream, files.storage("read", path):
        size = os.fstat(stream.fileno()).st_size
        if size != expected["size"]:
            raise IntegrityError(f"{path} has {size} bytes instead of {expected['size']}")
        start = stream.read(8)
        header = int.from_bytes(start, "little")
        if path.name == ARRAYS and (len(start) < 8 or header > min(MAX_HEADER, size - 8)):
            raise IntegrityError(f"{path} is refused: its header claims {header} bytes")
        if path.name == META and size > files.MAX_JSON:
            raise IntegrityError(f"{path} is refused: {size} bytes of JSON")
        data = start + stream.read(size)
    if entry(data) != expected:
        raise IntegrityError(f"{path} is damaged: its SHA-256 does not match")
    return data


def _replace_folder(folder: Path, contents: dict[str, bytes]) -> None:
    staged, displaced = files.staged_name(folder), files.staged_name(folder, "old")
    try:
        files.remove_tree(staged)
        os.mkdir(staged)
        for name, data in contents.items():
            files.create_file(staged / name, data)
        files.fsync_directory(staged)
        if os.path.lexists(folder):
            files.remove_tree(displaced)
            os.rename(folder, displaced)
        os.rename(staged, folder)
        files.fsync_directory(folder.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            if os.path.lexists(displaced) and not os.path.lexists(folder):
                os.rename(displaced, folder)
        with contextlib.suppress(OSError):
            files.remove_tree(staged)
        raise
    with contextlib.suppress(OSError):
        files.remove_tree(displaced)
