"""What a piece of work costs: CPU and wall seconds, with the making of programs counted and timed apart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import jax

_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
_TRACE_EVENTS = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration")
_SAVED_EVENT = "/jax/compilation_cache/compile_time_saved_sec"
_NESTED = 1000
"""Programs within a program that are looked back at."""


class Cost(NamedTuple):
    """Resources spent.

    ``compile_seconds`` and ``tracing_seconds`` (wall) are part of ``wall_seconds``: what XLA took, and what went before
    it, Python's run through a program and its translation, which kept programs do not save. ``saved_seconds``: of
    compiling that programs kept from earlier runs have made unnecessary.
    """

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    compile_seconds: float = 0.0
    compilations: int = 0
    saved_seconds: float = 0.0
    tracing_seconds: float = 0.0

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """That of a record: what is not there, in those of earlier releases, is nothing; other fields are left out."""
        return cls(**{name: record.get(name) or 0 for name in cls._fields})

    def __add__(self, other: Cost) -> Cost:  # type: ignore[override]
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))  # type: ignore[arg-type]

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(a - b for a, b in zip(self, other, strict=True)))  # type: ignore[arg-type]

    @property
    def building_seconds(self) -> float:
        """Wall seconds in which programs were made instead of run."""
        return self.compile_seconds + self.tracing_seconds

    @property
    def running_seconds(self) -> float:
        """Wall seconds without those in which programs were made."""
        return self.wall_seconds - self.building_seconds

    @property
    def running_cpu(self) -> float:
        """CPU seconds without those in which programs were made, which a process pays once for all that is alike.

        These are counted in wall seconds; where other work has its share of the cores they hold less of ours.
        """
        share = min(1.0, self.cpu_seconds / max(self.wall_seconds, 1e-9))
        return max(0.0, self.cpu_seconds - share * self.building_seconds)

    def share(self, parts: int) -> Cost:
        """An equal part of it."""
        return Cost(*(one // parts if isinstance(one, int) else one / parts for one in self))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, float | int]:
        """Rounded numbers for a record."""
        return {k: v if isinstance(v, int) else round(v, 3) for k, v in self._asdict().items()}


class Meter:
    """Counts compilations of this process from its creation on."""

    def __init__(self) -> None:
        self._compile_seconds = self._tracing = 0.0
        self._compilations = 0
        self._saved = 0.0
        self._begun: list[tuple[float, float]] = []  # when what has been told of began, and how long it took
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == _SAVED_EVENT:
            self._saved += max(0.0, duration_secs)
        elif event == _COMPILE_EVENT:
            self._compile_seconds += self._own(duration_secs)
            self._compilations += 1
        elif event in _TRACE_EVENTS:
            self._tracing += self._own(duration_secs)

    def _own(self, duration: float) -> float:
        """Seconds of what ends now without those of what was told of since it began: programs hold others."""
        begin, inner = time.perf_counter() - duration, 0.0
        while self._begun and self._begun[-1][0] >= begin:
            inner += self._begun.pop()[1]
        self._begun = [*self._begun[-_NESTED:], (begin, max(duration, inner))]
        return max(0.0, duration - inner)

    def now(self) -> Cost:
        """Totals so far; take differences of two calls."""
        return Cost(
            time.process_time(), time.perf_counter(), self._compile_seconds, self._compilations, self._saved,
            self._tracing,
        )  # fmt: skip


METER = Meter()
"""The meter of this process (JAX offers no way to remove a listener, so there is one)."""
