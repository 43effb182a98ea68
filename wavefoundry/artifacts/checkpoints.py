"""Checkpoints of a run: bundles in the folder ``checkpoints`` of the run directory, named by stream and step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from wavefoundry.artifacts import files
from wavefoundry.artifacts.bundles import Arrays, nonfinite, read_bundle
from wavefoundry.artifacts.layout import CHECKPOINTS
from wavefoundry.artifacts.outputs import names_in
from wavefoundry.core.errors import IntegrityError

_STEP = re.compile(r"(?P<name>.+)-(?P<step>\d{8,})")


def checkpoint(run: Path, name: str, step: int) -> Path:
    """Where the checkpoint of a stream at a step lies."""
    return run / CHECKPOINTS / f"{name}-{step:08d}"


def _listed(run: Path) -> list[tuple[str, int]]:
    found = [_STEP.fullmatch(item) for item in names_in(run / CHECKPOINTS)]
    return [(match["name"], int(match["step"])) for match in found if match]


def streams(run: Path) -> list[str]:
    """Names of all streams that have a checkpoint."""
    return sorted({name for name, _ in _listed(run)})


def steps(run: Path, stream: str) -> list[int]:
    """Steps that have a folder, newest first. The order comes from the names, never from time stamps."""
    return sorted((step for name, step in _listed(run) if name == stream), reverse=True)


def read_checkpoint(run: Path, name: str, step: int, key: str) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and description of a checkpoint, every file of which is checked.

    Args:
        run: the run directory. key: of the description under which stands whose checkpoint it is.

    Raises:
        IntegrityError: it is damaged, another's, or holds non-finite numbers. StorageError: it cannot be read.
        InputError: it was written by a newer release.
    """
    folder = checkpoint(run, name, step)
    files.refuse_links(run, folder)
    arrays, meta = read_bundle(folder)
    kept = meta.get(key)
    if not isinstance(kept, dict) or (kept.get("stream"), kept.get("step")) != (name, step):
        raise IntegrityError(f"{folder} holds another checkpoint than its name says")
    if not isinstance(kept.get("log_offset"), int):
        raise IntegrityError(f"{folder} does not say where the log stood")
    if bad := nonfinite(arrays):
        raise IntegrityError(f"{folder}: {', '.join(bad[:5])} held non-finite numbers")
    return arrays, meta
