"""Whether a run directory can be used, asked before anything heavy is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.layout import MARKER, check_target
from wavefoundry.artifacts.lock import check_free
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.core.errors import InputError


def check_early(spec: Any, out: Path, resume: bool, overwrite: bool) -> None:
    """Refuse an impossible run directory; nothing is written.

    Args:
        spec: the study. out: the directory. resume, overwrite: as asked for.

    Raises:
        InputError: it cannot be used, or not for this study. LockedError: another process is at work in it.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other", where="--resume, --overwrite")
    if resume or overwrite:
        check_free(out)
    if resume:
        return study_file.require_same(spec, RunDirectory.open(out).spec_text, out)
    where, elsewhere = f"--out {out}", "name another --out"
    try:
        base = next(folder for folder in [out, *out.absolute().parents] if os.path.lexists(folder))
        why = ""
        if not base.is_dir():
            why = f"{base} is not a directory"
        elif not os.access(base, os.R_OK | os.W_OK | os.X_OK):
            why = f"there is no permission to write to {base}"
        if why:
            raise InputError("the output directory cannot be made", where=where, why=why, fix=elsewhere)
        # A directory with nothing but its marker belongs to a run that was stopped before it began.
        ours = (out / MARKER).is_file()
        present = {name for name in os.listdir(base) if not name.startswith(".")} - {MARKER}
        if base == out and present and not (ours and overwrite):
            fix = "--resume continues that run, --overwrite replaces it" if ours else elsewhere
            raise InputError("the output directory is not empty", where=where, fix=fix)
        if base == out and overwrite:
            check_target(out, overwrite)
    except OSError as error:
        why = str(error.strerror)
        raise InputError("the output directory cannot be used", where=where, why=why, fix=elsewhere) from None
