"""The part of a process that keeps step with the one that writes the run directory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.core.errors import InputError, WavefoundryError
from wavefoundry.studies.progress import Checkpoint, Context
from wavefoundry.studies.task import Arrays


class Reader:
    """The store of such a process: it goes on from what is stored, and keeps nothing."""

    def __init__(self, directory: RunDirectory):
        self._directory = directory

    def latest(self, name: str) -> Checkpoint | None:
        """Newest intact checkpoint of a task."""
        return self._directory.latest(name)

    def log(self, event: dict[str, Any]) -> None:
        """The first process logs."""

    def save(self, name: str, step: int, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """The first process saves."""

    def save_artifact(self, name: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """The first process saves."""

    def save_output(self, name: str, arrays: Arrays, meta: Mapping[str, Any]) -> None:
        """The first process saves."""


def context_of(folder: Path, requested: Callable[[], int | None], resume: bool) -> Context:
    """Where such a process reports to: nobody; what is stored of a resumed run it reads.

    Args:
        folder: the run directory. requested: gives the signal that asks to stop. resume: whether the run goes on.
    """
    if not resume:
        return Context(requested=requested)
    directory = RunDirectory.open(folder)
    return Context(None, Reader(directory), requested, stored=directory.outputs())


def require_one_run(spec: Any, devices: Any, client: Any) -> None:
    """Refuse what several processes cannot do in step.

    Args:
        spec: the study. devices: it asks for, None where it has no samples to share. client: of workers, or None.

    Raises:
        InputError: several seeds, workers, or a study that would be done by each process as a whole.
    """
    if jax.process_count() == 1:
        return
    what = "several seeds" if spec.run.seeds > 1 else "workers" if client is not None else ""
    what = "a study of emulators" if devices is None else what
    if what:
        fix = "leave --hosts out" + ("; --scheduler shares out seeds and tasks" if devices is not None else "")
        raise InputError(f"{what} cannot be done by processes in step", where="--hosts", fix=fix)


@contextlib.contextmanager
def peers() -> Iterator[None]:
    """What JAX says of a lost process, in words.

    Raises:
        WavefoundryError: another process has ended; nothing more can be saved.
    """
    try:
        yield
    except (ValueError, jax.errors.JaxRuntimeError) as error:
        if jax.process_count() > 1 and "gloo" in str(error).lower():
            why = "what was saved last is kept: start all processes again with --resume"
            raise WavefoundryError(f"another process of this run has ended\n  fix:   {why}") from error
        raise
