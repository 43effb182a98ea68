"""What the command line reads and prints around a command: results, bundles, JSON, failures."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import tempfile
import tomllib
import traceback
import warnings
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from wavefoundry.core.errors import InputError, StorageError


def folder_of(text: str) -> Path:
    """The folder that a user names.

    Raises:
        InputError: an empty name.
    """
    if not text.strip():
        raise InputError("--out names no folder", where="--out", fix="--out runs/NAME")
    return Path(text)


def read_run(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Summary of a run, or what can be said about one that has none yet, and warnings."""
    from wavefoundry.artifacts.results import is_copy, read_results
    from wavefoundry.artifacts.seal import nested
    from wavefoundry.artifacts.store import RunDirectory

    if is_copy(path) and (summary := read_results(path)) is not None:
        return summary, ["this is a copy of results without their run: no sum vouches for it"]
    directory = RunDirectory.open(path)
    summary = read_results(path)
    events = directory.read_log()
    notes = list(directory.warnings)
    if summary is not None:
        return summary, notes
    last = events[-1] if events else None
    unfinished = {"kind": _kind(directory.spec_text), "status": "unfinished", "last_event": last}
    if seeds := nested(path):
        each = {seed.name: read_run(seed)[0] for seed in seeds}
        return {**unfinished, "kind": "seeds", "of": unfinished["kind"], "seeds": each}, notes
    if unfinished["kind"] == "tickets":
        rounds = {event.get("round"): event for event in events if event.get("event") == "ticket"}
        return unfinished | {"rounds": list(rounds.values())}, notes
    if unfinished["kind"] == "molecules":
        return unfinished | {"molecules": [event for event in events if event.get("event") == "molecule"]}, notes
    if unfinished["kind"] == "emulation":
        return unfinished | {"students": []}, notes
    points = {event.get("index"): event for event in events if event.get("event") == "point"}
    return unfinished | {"kind": "diagram", "points": list(points.values())}, notes


def _kind(study: str) -> str:
    """Which kind of study a run does; empty where its file cannot be read."""
    try:
        return str(tomllib.loads(study).get("kind", ""))
    except tomllib.TOMLDecodeError:
        return ""


def inspect_bundle(path: Path, json: bool) -> None:
    """Show the description and the arrays of a checkpoint or model."""
    from wavefoundry.artifacts.bundles import read_bundle

    arrays, meta = read_bundle(path)
    shapes = {name: {"dtype": str(array.dtype), "shape": list(array.shape)} for name, array in arrays.items()}
    if json:
        echo_json({"meta": meta, "arrays": shapes})
        return
    for name, array in arrays.items():
        typer.echo(f"{name}  {array.dtype}{list(array.shape)}")
    typer.echo(f"{len(arrays)} arrays, {sum(array.size for array in arrays.values())} numbers")
    echo_json(meta)


def echo_json(value: Any) -> None:
    """Print JSON; what JSON cannot hold (NaN, infinities) becomes null."""
    from wavefoundry.artifacts.files import encode_json

    typer.echo(encode_json(value, indent=2).decode())


def console() -> Console:
    """Standard output; wide enough for the whole table where it is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def hush() -> None:
    """Keep notices of dependencies off the screen; PYTHONWARNINGS and the variables below bring them back."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("NETKET_NO_TIPS", "1")
    for name in ("jax", "jax._src.xla_bridge", "absl", "netket", "matplotlib"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def output_failed(error: OSError) -> int:
    """One line for an output that cannot be written; the rest of it goes nowhere, or Python would complain again."""
    print(f"error: cannot write to standard output: {error.strerror or error}", file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return StorageError.exit_code


def system_refused(error: OSError) -> int:
    """What the operating system refuses and nothing else has caught: a full output, a name that no file can have."""
    if error.errno == errno.ENAMETOOLONG:
        print(f"error: a name is too long: {str(error.filename):.60}...", file=sys.stderr)
        return InputError.exit_code
    # files are named in what they raise, and are storage errors; this is the output itself
    full = error.filename is None and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
    return output_failed(error) if full else internal_error(error)


def internal_error(error: Exception) -> int:
    """One line for the user; the traceback goes to a file that can be sent along with a bug report."""
    text = "".join(traceback.format_exception(error))
    what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    try:
        handle, name = tempfile.mkstemp(prefix="wavefoundry-", suffix=".log")
        with open(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError:
        name = "(nowhere: no temporary file could be written)"
    print(f"internal error ({what}); the traceback is in {name}", file=sys.stderr)
    return 1


def leave_if_unusable(summary: dict[str, Any]) -> None:
    """Leave with 3 and the reason when every number of a finished run is refused."""
    from wavefoundry.reports.verdicts import nothing_usable

    if summary.get("status") != "unfinished" and (reason := nothing_usable(summary)):
        typer.echo(f"refused: {reason}", err=True)
        raise typer.Exit(3)


def write_report(folder: Path) -> Path:
    """Write ``report.html``; of a run that is sealed, the seal covers it."""
    from wavefoundry.artifacts.layout import REPORT
    from wavefoundry.artifacts.results import is_copy, read_results
    from wavefoundry.artifacts.seal import nested
    from wavefoundry.reports import html

    if is_copy(folder):
        return html.write_report(folder)
    from wavefoundry.artifacts.store import RunDirectory

    for child in [run for run in nested(folder) if read_results(run) is not None]:
        write_report(child)
    page = html.render(*html.read_run(folder))
    with RunDirectory.open(folder, write=True) as directory:
        directory.write_text(REPORT, page)
    return folder / REPORT
