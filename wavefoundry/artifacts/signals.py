"""Stopping on request: the first signal asks, the second one ends the process.

Both are heard by a thread of their own, since a compiled program or the compiler may hold the main thread for minutes.
"""

from __future__ import annotations

import contextlib
import os
import select
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
        self._lock = threading.RLock()  # a handler may interrupt another one
        self._numbers = -1

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Let the interpreter write the number of every signal into the pipe, whatever the main thread does."""
        self._numbers, end = os.pipe()
        os.set_blocking(self._numbers, False)
        os.set_blocking(end, False)
        before = signal.set_wakeup_fd(end, warn_on_full_buffer=False)
        thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            os.close(end)
            thread.join()
            os.close(self._numbers)

    def _listen(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)  # they are the main thread's, which may wait for them
        while True:
            select.select([self._numbers], [], [])
            if not self._hear():
                return

    def _hear(self, *_: int | FrameType | None) -> bool:
        """Handle what has arrived; False at the end of the pipe. Whoever comes first, thread or handler, does it."""
        with self._lock:
            while True:
                try:
                    number = os.read(self._numbers, 1)
                except BlockingIOError:
                    return True
                if not number:
                    return False
                if number[0] in STOPPING:
                    self._handle(number[0])

    def _handle(self, signum: int) -> None:
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
def undisturbed() -> Iterator[None]:
    """Load somebody else's library: handlers of signals that it installs for itself are taken back."""
    before = {signum: signal.getsignal(signum) for signum in STOPPING}
    try:
        yield
    finally:
        for signum, handler in before.items():
            if handler is not None and signal.getsignal(signum) is not handler:
                signal.signal(signum, handler)


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
    with stop._listening():
        try:
            for signum in STOPPING:
                signal.signal(signum, stop._hear)
            yield stop
        finally:
            for signum, handler in previous.items():
                # ``None`` stands for a handler that was not installed from Python and cannot be put back.
                signal.signal(signum, signal.SIG_DFL if handler is None else handler)
