"""What a piece of work costs: CPU and wall seconds, with compilation counted and timed apart."""

from __future__ import annotations

import time
from typing import NamedTuple

import jax

_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
_SAVED_EVENT = "/jax/compilation_cache/compile_time_saved_sec"


class Cost(NamedTuple):
    """Resources spent.

    ``compile_seconds`` (wall) are part of ``wall_seconds``; ``saved_seconds``: of compiling that programs kept from
    earlier runs have made unnecessary.
    """

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    compile_seconds: float = 0.0
    compilations: int = 0
    saved_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        cpu, wall, compiling, count, saved = (a + b for a, b in zip(self, other, strict=True))
        return Cost(cpu, wall, compiling, int(count), saved)

    def __sub__(self, other: Cost) -> Cost:
        cpu, wall, compiling, count, saved = (a - b for a, b in zip(self, other, strict=True))
        return Cost(cpu, wall, compiling, int(count), saved)

    def share(self, parts: int) -> Cost:
        """An equal part of it."""
        return Cost(
            self.cpu_seconds / parts,
            self.wall_seconds / parts,
            self.compile_seconds / parts,
            self.compilations // parts,
            self.saved_seconds / parts,
        )

    def to_dict(self) -> dict[str, float | int]:
        """Rounded numbers for a record."""
        return {k: v if isinstance(v, int) else round(v, 3) for k, v in self._asdict().items()}


class Meter:
    """Counts compilations of this process from its creation on."""

    def __init__(self) -> None:
        self._compile_seconds = 0.0
        self._compilations = 0
        self._saved = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == _COMPILE_EVENT:
            self._compile_seconds += duration_secs
            self._compilations += 1
        elif event == _SAVED_EVENT:
            self._saved += max(0.0, duration_secs)

    def now(self) -> Cost:
        """Totals so far; take differences of two calls."""
        return Cost(time.process_time(), time.perf_counter(), self._compile_seconds, self._compilations, self._saved)


METER = Meter()
"""The meter of this process (JAX offers no way to remove a listener, so there is one)."""
