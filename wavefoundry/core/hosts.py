"""One calculation by several processes in step, on as many machines: where they meet, agree, and part.

All of them run the same program on the same data; each does its share of the samples (``core.devices``). Whatever a
program decides by clocks or signals they have to agree on, or they would wait for one another for ever.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

import jax
import numpy as np

from wavefoundry.core.errors import InputError, WavefoundryError


def join(check: Callable[[], None]) -> bool:
    """Meet the processes that a launcher (srun, mpirun) has started with this one; before JAX's first calculation.

    Args:
        check: what the first process asks before anything is done; where it refuses, all processes end.

    Returns:
        As ``follows``.

    Raises:
        InputError: there is no launcher, or the others do not answer. WavefoundryError: what ``check`` raises.
    """
    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:200]
        fix = "srun --ntasks=4 wavefoundry run study.toml --hosts, or mpirun"
        raise InputError("the processes of this run do not meet", where="--hosts", why=why, fix=fix) from None
    refusal: WavefoundryError | None = None
    if not follows():
        try:
            check()
        except WavefoundryError as error:
            refusal = error
    with _to_standard_error():  # what the library says when it connects
        code = int(agreed(refusal.exit_code if refusal else 0))
    if refusal is not None:
        raise refusal
    if code:
        raise SystemExit(code)
    return follows()


@contextlib.contextmanager
def _to_standard_error() -> Iterator[None]:
    """Whatever a library writes to standard output, which belongs to results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def follows() -> bool:
    """Whether another process writes the run directory and shows progress: all but the first only keep in step."""
    return jax.process_index() > 0


def agreed(value: float) -> float:
    """The largest value of all processes; every one of them has to ask."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    with jax.set_mesh(jax.sharding.Mesh(np.empty((), object), ())):  # whatever devices a calculation uses
        return float(np.max(multihost_utils.process_allgather(np.array(float(value)))))


def leave(code: int) -> None:
    """Part from the others at the end of a program with exit code ``code``; does not return where something failed.

    A failure may be this process's alone. Waiting for the others would then take minutes and end in an abort.
    """
    if jax.process_count() == 1:
        return
    if code in (0, 3) or code > 128:
        jax.distributed.shutdown()
        return
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
