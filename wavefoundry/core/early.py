"""Programs compiled in the background, before they are needed: another core has nothing to do in the meantime."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Generic, ParamSpec, TypeVar

import jax

from wavefoundry.core.meter import METER

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
_HERE = threading.local()
_BEGUN: list[Future[None]] = []


@functools.cache
def _crew() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="compiling")


def _idle() -> bool:
    """Whether a core would be idle, and one device does everything: arrays that several share have other programs."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return cores > 1 and jax.process_count() == 1 and jax.device_count() == 1


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Whatever ends this work, a stop on request too: what is still to be compiled is no longer needed then."""
    try:
        yield
    finally:
        while _BEGUN:
            _BEGUN.pop().cancel()


class Early(Generic[P, R]):
    """A compiled function that can be compiled before it is called.

    Args:
        program: what ``jax.jit`` or ``equinox.filter_jit`` made.
    """

    def __init__(self, program: Callable[P, R]):
        self._program, self._pending = program, list[Future[None]]()
        functools.update_wrapper(self, program)

    def ahead(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Compile for arguments like these while other things are done. What fails here fails when it is called."""
        if _idle():
            self._pending.append(_crew().submit(self._compile, args, kwargs))
            _BEGUN.append(self._pending[-1])

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it; what is being compiled is waited for, or it would be compiled twice."""
        begin = time.perf_counter()
        while self._pending and not getattr(_HERE, "compiling", False):
            with contextlib.suppress(CancelledError):
                self._pending.pop().result()
            METER.waited(time.perf_counter() - begin)
            begin = time.perf_counter()
        return self._program(*args, **kwargs)

    def _compile(self, args: Any, kwargs: Any) -> None:
        _HERE.compiling = True
        with contextlib.suppress(Exception), METER.beside():
            self._program.lower(*args, **kwargs).compile()  # type: ignore[attr-defined]


early = Early
"""Decorator of functions that ``jit`` has been applied to."""
