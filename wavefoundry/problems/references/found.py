"""What a method says of a ground state, and which of several values an energy is held against."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from wavefoundry.core.verdict import CLOSE, Reference

Kind = Literal["exact", "upper bound", "method"]
METHODS = ("closed-form", "lanczos", "ed", "dmrg", "literature", "file")
"""Names of the methods, in the order in which exact values are preferred."""


class Found(NamedTuple):
    """A value by one method, or why there is none.

    energy: of the whole system; None where there is no value. error: its own, beyond which it cannot be held against
    another. kind: "exact"; "upper bound", of a variational method; "method", one that may lie on either side. confirms:
    whether an energy that agrees with it is that of the ground state. observables, terms: expectation values by name.
    details: what belongs to the method (bond dimension, states), JSON values.
    """

    energy: float | None = None
    error: float = 0.0
    kind: Kind = "exact"
    source: str = "exact"
    confirms: bool = True
    observables: dict[str, float] = {}
    terms: dict[str, float] = {}
    details: dict[str, Any] = {}
    cpu_seconds: float = 0.0
    memory_mib: float | None = None
    why: str | None = None

    def fields(self) -> dict[str, Any]:
        """As it stands in a record."""
        return self._asdict()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Found:
        """What ``fields`` gave."""
        return cls(**{name: fields[name] for name in cls._fields if name in fields})

    def reference(self, zero: float) -> Reference:
        """For a verdict; zero: the energy of infinite temperature."""
        assert self.energy is not None
        bound = self.kind == "upper bound"
        return Reference(self.energy, self.kind == "exact", self.error, zero, self.source, bound, self.confirms)


def failed(why: str, cpu_seconds: float = 0.0) -> Found:
    """No value, and why."""
    return Found(why=why, cpu_seconds=cpu_seconds)


def sure(error: float, energy: float, zero: float) -> bool:
    """Whether a value with an error of its own can tell whether an energy is that of the ground state."""
    return math.isfinite(error) and error <= CLOSE * abs(energy - zero)


def best(found: Mapping[str, Found]) -> str | None:
    """The method whose value an energy is held against: an exact one, else the lowest, of equal ones one that confirms.

    Args:
        found: by method. Those without a value do not count.
    """
    known = {method: one for method, one in found.items() if one.energy is not None}
    exact = [method for method in METHODS if method in known and known[method].kind == "exact"]
    if exact:
        return exact[0]
    if not known:
        return None
    lowest = min(known, key=lambda method: known[method].energy or 0.0)
    near = [m for m, one in known.items() if one.confirms and _energy(one) - _energy(known[lowest]) <= one.error]
    return near[0] if near else lowest


def _energy(one: Found) -> float:
    return math.nan if one.energy is None else one.energy


def reasons(found: Mapping[str, Found]) -> str | None:
    """Why methods that were asked for gave nothing, in one sentence; None where none failed."""
    whys: Iterable[str] = (f"{method}: {one.why}" for method, one in found.items() if one.why)
    text = "; ".join(whys)
    return f"no reference: {text}" if text else None
