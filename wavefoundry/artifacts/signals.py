"""Stopping on request: the first signal asks, the second one ends the process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Ctrl-C, a polite kill, and the warning of a batch system before its time limit."""


NOTICE = "\nstopping after this block, the run is saved then; once more leaves at once\n"


class Stop:
    """Whether a stop has been requested: ``requested`` is the number of the first signal, or ``None``."""

    def __init__(self) -> None:
        self.requested: int | None = None

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.requested is None:
            self.requested = signum
            with contextlib.suppress(Exception):  # answered at once, though the block under way may take a while
                os.write(2, NOTICE.encode())
            return
        # No clean-up: a checkpoint being written is only staged, so the one before it stays whole.
        with contextlib.suppress(Exception):
            if sys.stdout.isatty():
                os.write(1, b"\x1b[?25h\n")  # a live display hides the cursor
        os._exit(128 + signum)


@contextlib.contextmanager
def interrupts() -> Iterator[Stop]:
    """Collect SIGINT, SIGTERM and SIGUSR1 in a flag while the body runs; look at it between steps.

    A second signal leaves at once with status 128 + its number. The previous handlers come back at the end.
    Python allows handlers in the main thread only; in other threads this does nothing.

    Yields:
        The flag, as ``stop.requested``.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {signum: signal.getsignal(signum) for signum in STOPPING}
    try:
        for signum in STOPPING:
            signal.signal(signum, stop._handle)
        yield stop
    finally:
        for signum, handler in previous.items():
            # ``None`` stands for a handler that was not installed from Python and cannot be put back.
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)
