"""Slurm through dask-jobqueue: every job is one worker, which does one task at a time with all cores of the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavefoundry.artifacts.signals import undisturbed
from wavefoundry.core.errors import InputError

OURS = ("processes", "scheduler_options")
"""Arguments of ``dask_jobqueue.SLURMCluster`` that say how a job is divided, which is not for others to choose."""
WORDS = ("job_name", "queue", "account", "project", "walltime", "log_directory", "job_mem")
"""Arguments that become part of a line ``#SBATCH -X value``, which ends a value at the first blank."""
COUNTS = ("cores", "job_cpu")
THREADS = ("--nthreads", "--nworkers")
EXAMPLE = '--slurm cores=4 --slurm memory="8GB" --slurm walltime="04:00:00" --slurm queue="NAME"'


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what would be left out, or make a script that says something else.

    Args:
        settings: arguments of ``dask_jobqueue.SLURMCluster``.

    Raises:
        InputError: one of them; names it.
    """
    for name, value in settings.items():
        text = str(value)
        if name in OURS:
            raise _refused(name, value, "a job is one worker, and that one process; ask for more with --workers")
        if name in COUNTS and not (type(value) is int and value >= 1):
            raise _refused(name, value, "a whole number of cores, at least 1")
        if name in WORDS and (not text or any(c.isspace() or c in "\"'" or not c.isprintable() for c in text)):
            raise _refused(name, value, "one word without blanks or quotes, as it stands behind #SBATCH")
        if name == "memory" and not _size(value):
            raise _refused(name, value, 'a size with its unit, as "8GB"')
        if name == "worker_extra_args":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise _refused(name, value, 'a list of texts, as ["--local-directory", "/scratch"]')
            if any(one.startswith(THREADS) for one in value):
                raise _refused(name, value, "a worker does one task at a time, in one process")


def slurm_cluster(settings: Mapping[str, Any]) -> Any:
    """A cluster of which nothing is submitted before it is scaled.

    Args:
        settings: arguments of ``dask_jobqueue.SLURMCluster``; what is missing comes from dask's own configuration.

    Raises:
        InputError: the settings do not do.
    """
    check_settings(settings)
    with undisturbed():
        from dask_jobqueue.slurm import SLURMCluster
    more = settings.get("worker_extra_args", [])
    fixed = {
        "processes": 1,
        "worker_extra_args": ["--nthreads", "1", *more],
        "scheduler_options": {"dashboard_address": None},
    }
    try:
        return SLURMCluster(**{"job_name": "wavefoundry", **settings, **fixed})
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            "these settings of Slurm cannot be used",
            where="--slurm",
            why=" ".join(str(error).split())[:300],
            fix=EXAMPLE,
        ) from None


def _size(value: Any) -> bool:
    from dask.utils import parse_bytes

    try:
        return isinstance(value, str) and parse_bytes(value) >= 2**20
    except ValueError:
        return False


def _refused(name: str, value: Any, why: str) -> InputError:
    return InputError(f"{name} = {value!r:.60} cannot be used", where=f"--slurm {name}", why=why, fix=EXAMPLE)
