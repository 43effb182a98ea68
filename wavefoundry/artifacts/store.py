"""The run directory: everything a run needs to be resumed, checked and reported, safe against crashes.

Layout::

    run.json                 marks the directory as ours: schema, SHA-256 of spec.toml
    spec.toml                the resolved study
    log.jsonl                one event per line
    tasks/NAME/              {arrays.safetensors, meta.json, manifest.json}: what a finished task gave; gone at the end
    checkpoints/NAME-STEP/   the same three files: the last two of each task that is under way
    artifacts/NAME/          the same three files: trained models and the like
    summary.json             the results
    manifest.json            written by ``seal``: every final file with its size and SHA-256
    .lock                    while a writer is at work
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from wavefoundry.artifacts import files
from wavefoundry.artifacts.bundles import Arrays, read_bundle, write_bundle
from wavefoundry.artifacts.checkpoints import checkpoint, read_checkpoint, steps, streams
from wavefoundry.artifacts.layout import (
    ARTIFACTS,
    CHECKPOINTS,
    LOG,
    MARKER,
    RESULTS,
    SPEC,
    SUMMARY,
    TASKS,
    check_target,
    clear,
    make_folders,
    read_marker,
    spec_problem,
    write_marker,
)
from wavefoundry.artifacts.lock import Lock
from wavefoundry.artifacts.log import Log
from wavefoundry.artifacts.manifest import MANIFEST
from wavefoundry.artifacts.outputs import NAME, checked_name, read_outputs
from wavefoundry.artifacts.seal import (
    is_sealed,
    problems_of,
    require_intact,
    require_run,
    seal_problems,
    write_seal,
    write_sealed,
)
from wavefoundry.core.errors import InputError, IntegrityError, StorageError
from wavefoundry.core.expect import from_home
from wavefoundry.core.reading import is_there

KEEP = 2
"""Checkpoints kept of each stream."""

STORE_KEY = "_store"
"""Key of a checkpoint's meta under which this module keeps its stream, step and log offset."""


class RunDirectory:
    """A run on disk. Made by ``create`` and ``open``; use it as a context manager, or call ``close``.

    Attributes:
        path: the directory, absolute.
        spec_text: content of ``spec.toml``.
        warnings: what was found damaged and worked around, one line each, for the caller to show.
    """

    def __init__(self, path: Path, spec_text: str, lock: Lock | None, warnings: list[str]):
        self.path = path
        self.spec_text = spec_text
        self.warnings = warnings
        self._lock = lock
        self._log = Log(path / LOG)
        # results without a seal, of a writer that was killed in between or of unknown origin
        self._left = os.path.lexists(path / SUMMARY) and not is_sealed(path)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        spec_text: str,
        *,
        overwrite: bool = False,
        inputs: Mapping[str, str] | None = None,
    ) -> Self:
        """Start a run directory and lock it.

        Args:
            path: where; missing parents are made.
            spec_text: content of ``spec.toml``.
            overwrite: replace an earlier run. Only a directory that this class made is ever replaced.
            inputs: sums of the files that the study reads.

        Raises:
            InputError: ``path`` is a file, or a directory that is not empty (and may not be replaced).
            LockedError: another process is at work in it.
            StorageError: the file system refused. What was made is removed again.
        """
        folder = from_home(path).absolute()
        with files.storage("use", folder):
            check_target(folder, overwrite)
            made = make_folders(folder)
        lock, ours = None, False
        try:
            with files.storage("use", folder):
                folder = folder.resolve()
                lock = Lock(folder)
                # Once more under the lock: another process may have finished a run here in between.
                check_target(folder, overwrite)
                ours = True
                clear(folder)
                write_marker(folder, spec_text.encode(), inputs)
                # The study comes last: a directory without it counts as never started.
                files.write_atomic(folder / SPEC, spec_text.encode())
        except BaseException:
            if ours:
                with contextlib.suppress(OSError):
                    clear(folder)
            if lock is not None:
                lock.release()
            for parent in reversed(made):
                with contextlib.suppress(OSError):
                    parent.rmdir()
            raise
        return cls(folder, spec_text, lock, [])

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, write: bool = False) -> Self:
        """Open an existing run directory, to read it or (locked) to go on with it.

        Raises:
            InputError: it is no run directory but a model, for example, or was written by a newer release.
            IntegrityError: ``run.json`` is damaged; or, with ``write``, ``spec.toml`` is not the study the
                run was started with.
            LockedError: with ``write``, another process is at work in it.
            StorageError: the file system refused.
        """
        require_run(given := from_home(path))
        folder = given.absolute()
        with files.storage("open", folder):
            missing = [folder / name for name in (MARKER, SPEC) if not is_there(folder / name)]
            if missing and is_sealed(folder):
                raise IntegrityError(f"{missing[0]} is missing")
            if missing:
                missed = "this is no directory" if folder.exists() else "there is no such directory"
                raise InputError(
                    "there is no run in this directory" if folder.is_dir() else missed,
                    where=str(folder),
                    why=f"a run directory holds {SPEC} and {MARKER}",
                    fix="name the directory that was given to --out",
                )
            folder = folder.resolve()
        lock = Lock(folder) if write else None
        try:
            spec = files.read_plain(folder / SPEC)
            problem = spec_problem(folder, spec)
            if write:
                if problem:
                    raise IntegrityError(f"{problem}; start a new run for a changed study")
                files.clear_litter(folder)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(folder, spec.decode("utf-8", "replace"), lock, [problem] if problem else [])

    @property
    def inputs(self) -> dict[str, str]:
        """Sums of the files that the study read when it was started, by their paths."""
        found = read_marker(self.path).get("inputs", {})
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Close the log and give the lock back."""
        self._log.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def log(self, event: Mapping[str, Any]) -> None:
        """Append one event to ``log.jsonl``; non-finite floats become ``null``.

        Raises:
            StorageError: the file system refused; no part of the event is left in the log.
        """
        self._begin()
        self._log.append(dict(event))

    def read_log(self) -> list[dict[str, Any]]:
        """All readable events; a torn last line (or damage) is skipped and noted in ``warnings``."""
        events, damaged = self._log.read()
        if damaged:
            self.warnings.append(f"{self.path / LOG}: {damaged} unreadable line(s) skipped")
        return events

    def truncate_log(self, meta: Mapping[str, Any] | None) -> None:
        """Cut the log back to what it held when a checkpoint was saved, so that steps stay unique.

        Args:
            meta: as returned by ``latest``; ``None`` (nothing to resume from) empties the log.
        """
        self._begin()
        kept = (meta or {}).get(STORE_KEY, {})
        if self._log.truncate(kept["log_offset"] if kept else 0):
            self.warnings.append(f"{self.path / LOG} is shorter than when the checkpoint was saved: events are missing")

    def save(self, name: str, step: int, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Save a checkpoint of the stream ``name``. Durable when this returns; the last two are kept.

        Args:
            name: the stream, as ``"pretrain"``; letters, digits and ``_ . -``.
            step: its number; from the stream's later steps (of a part that was given up) nothing is kept.
            arrays: name -> array, everything needed to go on bit by bit.
            meta: JSON values that belong to it.

        Raises:
            PhysicsError: an array holds a NaN or an infinity; the last checkpoint is untouched.
            StorageError: the file system refused (disk full); the last checkpoint is untouched.
        """
        self._begin()
        if step < 0:
            raise ValueError(f"step {step} is negative")
        self._folder(CHECKPOINTS)
        kept = {"stream": checked_name(name), "step": step, "log_offset": self._log.sync()}
        write_bundle(checkpoint(self.path, name, step), arrays, {**meta, STORE_KEY: kept})
        present = steps(self.path, name)
        older = [other for other in present if other <= step]
        for other in set(present) - set(older[:KEEP]):
            self._discard(checkpoint(self.path, name, other))

    def latest(self, name: str) -> tuple[int, Arrays, dict[str, Any]] | None:
        """The newest intact checkpoint of a stream, as ``(step, arrays, meta)``, or ``None``.

        Every file is checked before it is used. A damaged checkpoint, or one with non-finite numbers, is
        noted in ``warnings`` and the one before it is tried.

        Raises:
            InputError: the checkpoint was written by a newer release.
        """
        for step in steps(self.path, checked_name(name)):
            try:
                return step, *read_checkpoint(self.path, name, step, STORE_KEY)
            except (IntegrityError, StorageError) as error:
                self.warnings.append(f"{error}; this checkpoint is not used")
        return None

    def save_output(self, name: str, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Save what a finished task gave; its checkpoints, which nothing needs any more, go. Errors as ``save``."""
        self._begin()
        kept = {"task": checked_name(name), "log_offset": self._log.sync()}
        write_bundle(self._folder(TASKS) / name, arrays, {**meta, STORE_KEY: kept})
        for step in steps(self.path, name):
            self._discard(checkpoint(self.path, name, step))

    def outputs(self) -> dict[str, tuple[Arrays, dict[str, Any]]]:
        """What finished tasks gave, by name. A damaged output is noted in ``warnings`` and left out.

        Raises:
            InputError: an output was written by a newer release.
        """
        found, problems = read_outputs(self.path, STORE_KEY)
        self.warnings += problems
        return found

    def newest(self, outputs: Mapping[str, tuple[Arrays, dict[str, Any]]]) -> dict[str, Any] | None:
        """Description of what was saved last, be it one of ``outputs`` or a checkpoint; None where nothing is."""
        saved = [found[2] for name in streams(self.path) if (found := self.latest(name)) is not None]
        saved += [meta for _, meta in outputs.values()]
        return max(saved, key=lambda meta: meta[STORE_KEY]["log_offset"], default=None)

    def _discard(self, folder: Path) -> None:
        """Remove what is not needed any more; a failure costs room only."""
        try:
            files.discard(folder)
        except OSError as error:
            self.warnings.append(f"cannot remove {folder}: {error.strerror}")

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write (or replace) a file atomically.

        Args:
            name: relative path inside the directory, as ``"summary.json"`` or ``"figures/diagram.png"``.
            data: its content.

        Raises:
            InputError: the name leads elsewhere, or belongs to the directory itself.
            IntegrityError: the run is sealed, and another file in it is damaged.
            StorageError: the file system refused; the old file is untouched.
        """
        parts = Path(name).parts
        if not parts or parts[0] not in RESULTS or not all(NAME.fullmatch(part) for part in parts):
            raise InputError("this file name cannot be used inside a run directory", where=name)
        self._require_lock()
        target = self.path.joinpath(*parts)
        files.refuse_links(self.path, target)
        with files.storage("create", target.parent):
            target.parent.mkdir(parents=True, exist_ok=True)
        if is_sealed(self.path):
            return write_sealed(self.path, "/".join(parts), data)
        files.write_atomic(target, data)

    def write_text(self, name: str, text: str) -> None:
        """Write text as UTF-8; see ``write_bytes``."""
        self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> None:
        """Write indented JSON, non-finite floats as ``null``; see ``write_bytes``."""
        self.write_bytes(name, files.encode_json(value, indent=2))

    def save_artifact(self, name: str, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> None:
        """Save (or replace) ``artifacts/NAME``; errors as ``save``."""
        self._begin()
        write_bundle(self._folder(ARTIFACTS) / checked_name(name), arrays, meta)

    def load_artifact(self, name: str) -> tuple[Arrays, dict[str, Any]]:
        """Arrays and description of an artifact, after checking every file.

        Raises:
            IntegrityError: it is missing or damaged.
            InputError: it was written by a newer release.
        """
        folder = self.path / ARTIFACTS / checked_name(name)
        files.refuse_links(self.path, folder)
        return read_bundle(folder)

    def seal(self) -> None:
        """Write ``manifest.json`` over all files, as the last act of a finished run.

        A file written to a sealed run is sealed with it; a log line or a checkpoint breaks the seal, since the run
        then goes on: ``seal`` again at its end.

        Raises:
            IntegrityError: something is damaged, or is no plain file. Damaged checkpoints are removed with a warning.
        """
        self._require_lock()
        self._log.sync()
        if is_sealed(self.path):
            return require_intact(self.path)
        self.warnings += write_seal(self.path)
        if os.path.lexists(self.path / TASKS):
            self._discard(self.path / TASKS)
        with contextlib.suppress(OSError):  # not empty, or not there
            (self.path / CHECKPOINTS).rmdir()

    def verify(self) -> list[str]:
        """Check every file that has a known sum.

        Returns:
            One line per problem, naming the file; empty when everything is intact. A run that is not sealed
            is checked as far as it has sums (checkpoints, artifacts, the study).
        """
        return problems_of(self.path)

    def _require_lock(self) -> None:
        if self._lock is None:
            raise RuntimeError("the run directory is open for reading only")
        self._lock.require()

    def _begin(self) -> None:
        """Called before the run goes on: only a writer may, and a seal is checked before it is broken.

        Otherwise the next seal would bless whatever had been damaged in between. A damaged checkpoint is no reason to
        refuse: it is not used. The results go with the seal, since nothing vouches for them any more.
        """
        self._require_lock()
        if is_sealed(self.path):
            for problem in seal_problems(self.path):
                if not problem.startswith(str(self.path / CHECKPOINTS)):
                    raise IntegrityError(f"{problem}\n  fix:   restore the file, or start a new run")
                self.warnings.append(problem)
            with files.storage("remove", self.path / MANIFEST):
                (self.path / MANIFEST).unlink()
            self._left = True
        if self._left:
            with files.storage("remove", self.path / SUMMARY):
                (self.path / SUMMARY).unlink(missing_ok=True)
            self._left = False

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        files.refuse_links(self.path, folder)
        with files.storage("create", folder):
            folder.mkdir(exist_ok=True)
        return folder
