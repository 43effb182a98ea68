"""What a run directory looks like, how it is recognised, and which directories may be replaced."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavefoundry.artifacts import files
from wavefoundry.artifacts.lock import LOCK
from wavefoundry.artifacts.manifest import MANIFEST, MARKER, check_schema
from wavefoundry.core.errors import InputError, IntegrityError

SPEC, LOG, CHECKPOINTS, ARTIFACTS = "spec.toml", "log.jsonl", "checkpoints", "artifacts"
TASKS = "tasks"
"""Folder of what finished tasks gave, while a run is not finished itself: no part of its results, and in no seal."""
SUMMARY, SEEDS, REPORT = "summary.json", "seeds", "report.html"
TABLES = ("points.csv", "rounds.csv", "molecules.csv", "cases.csv", "seeds.csv")
RESULTS = frozenset({SUMMARY, SEEDS, REPORT, *TABLES})
"""What is written when a run is done, beside its artifacts."""
OWN = RESULTS | {MARKER, SPEC, LOG, CHECKPOINTS, ARTIFACTS, TASKS, MANIFEST}
"""All that a run puts into its directory, the lock and what is about to be renamed apart."""
SCHEMA = 1


def write_marker(folder: Path, spec: bytes, inputs: Mapping[str, str] | None = None) -> None:
    """Write ``run.json``, which makes the directory ours, with the sums of ``spec.toml`` and of what it reads."""
    marker = {"schema": SCHEMA, "kind": "wavefoundry run", "spec_sha256": hashlib.sha256(spec).hexdigest()}
    marker |= {"inputs": dict(inputs)} if inputs else {}
    files.write_atomic(folder / MARKER, files.encode_json(marker, indent=1))


def spec_problem(folder: Path, spec: bytes) -> str:
    """What is wrong with the study of a run, or an empty string.

    Raises:
        IntegrityError: ``run.json`` is missing or damaged.
        InputError: the run was written by a newer release.
    """
    if read_marker(folder).get("spec_sha256") == hashlib.sha256(spec).hexdigest():
        return ""
    return f"{folder / SPEC} was changed after the run was started"


def read_marker(folder: Path) -> dict[str, Any]:
    """Content of ``run.json``; errors as ``spec_problem``."""
    marker = files.decode_json(files.read_plain(folder / MARKER, limit=65536), folder / MARKER)
    if not isinstance(marker, dict) or marker.get("kind") != "wavefoundry run":
        raise IntegrityError(f"{folder / MARKER} is damaged")
    check_schema(marker.get("schema"), SCHEMA, folder / MARKER)
    return marker


def is_run(folder: Path) -> bool:
    """Whether wavefoundry certainly made this directory (this release or a newer one)."""
    try:
        read_marker(folder)
    except InputError:
        return True
    except IntegrityError:
        return False
    return True


def check_target(folder: Path, overwrite: bool) -> None:
    """Refuse a target that holds anything which may not be replaced.

    Raises:
        InputError: says what is in the way, and what to do.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError("the output directory is a file", where=str(folder), fix="name another --out")
    if not folder.is_dir():
        return
    with files.storage("read", folder):
        present = set(os.listdir(folder))
    # A writer killed while it set the directory up leaves at most these.
    present -= {name for name in present if (m := files.LITTER.match(name)) and m["final"] in (MARKER, SPEC)}
    present.discard(LOCK)
    ours = is_run(folder)
    others = sorted(name for name in present - OWN if not name.startswith("."))
    if not present or (ours and ((overwrite and not others) or present == {MARKER})):
        return
    if overwrite:
        why, fix = "it holds files, and wavefoundry did not make it", "name another --out"
        if ours:
            why, fix = f"it holds {others[0]!r}, which is not of a run", f"move {others[0]} elsewhere, or {fix}"
        raise InputError("this directory is not replaced", where=str(folder), why=why, fix=fix)
    raise InputError(
        "the output directory exists and is not empty",
        where=str(folder),
        why="results are never overwritten unasked",
        fix="--resume to continue that run, or another --out" if ours else "name another --out",
    )


def make_folders(folder: Path) -> list[Path]:
    """Create ``folder`` with its parents; returns those that did not exist before, outermost first."""
    missing = [path for path in [folder, *folder.parents] if not path.exists()][::-1]
    made: list[Path] = []
    with files.storage("create", folder):
        try:
            for path in missing:
                path.mkdir(exist_ok=True)
                made.append(path)
        except BaseException:
            for path in reversed(made):
                with contextlib.suppress(OSError):
                    path.rmdir()
            raise
    return made


def clear(folder: Path) -> None:
    """Remove all that is of a run but the lock, the marker last: an interrupted removal can be repeated."""
    for name in sorted(os.listdir(folder), key=lambda name: name == MARKER):
        if name in OWN or files.LITTER.match(name):
            files.remove_tree(folder / name)
