"""Had a training come to rest? The slope of its energy over the last fifth of its steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wavefoundry.core.verdict import CLOSE, WRONG, Doubt, graded

SHARE = 0.2
"""Part of a training, at its end, whose slope is judged."""
LEAST = 4
"""Fewest steps in that part; shorter trainings cannot be judged."""
BINS = 10
SIGNIFICANT = 3.0
NEGLIGIBLE = 1e-5
"""Relative gains below this say nothing about an error, however small it is."""


class Rest(NamedTuple):
    """By how much as many steps again would change the energy, at the slope of the last fifth.

    gain: positive where the energy still falls, units of the energy. error: its standard error.
    """

    gain: float
    error: float

    @property
    def significant(self) -> bool:
        """Whether the energy moves at all, beyond three standard errors."""
        return abs(self.gain) > SIGNIFICANT * self.error


def kept(steps: int) -> int:
    """Number of steps at the end of a training that ``rest`` looks at."""
    return max(LEAST, math.ceil(SHARE * steps))


def rest(energies: ArrayLike, steps: int, rates: ArrayLike | None = None) -> Rest | None:
    """The slope at the end of a training.

    The end is cut into up to ten bins; a straight line through their medians (a step that was taken back may have any
    energy) gives the slope, the scatter about it the standard error.

    Args:
        energies: of the last steps, oldest first, at least ``kept(steps)`` of them; earlier ones do not count.
        steps: length of the training.
        rates: learning rates of these steps, where they change. The slope is then taken in the time of the
            optimisation, the sum of the rates, and "as many steps again" are steps at the largest: a rate that falls to
            zero brings every training to a halt, not to rest.

    Returns:
        None for trainings of fewer than ``5 * LEAST / 2`` steps, and where hardly any energy is finite.
    """
    values = np.asarray(energies, float)[-kept(steps) :]
    if steps < 5 * LEAST // 2 or values.size < LEAST:
        return None
    bins = np.array_split(values, min(BINS, values.size))
    middles = np.array([np.median(part[np.isfinite(part)]) if np.any(np.isfinite(part)) else np.nan for part in bins])
    time = np.arange(values.size) + 0.5
    if rates is not None:
        rate = np.asarray(rates, float)
        time = np.cumsum(rate / max(rate.max(), 1e-300))[-values.size :]
    at = np.array([part.mean() for part in np.array_split(time, len(bins))])
    good = np.isfinite(middles)
    if good.sum() < LEAST:
        return None
    x, y = at[good] - at[good].mean(), middles[good] - middles[good].mean()
    if not x @ x > 0:
        return None
    slope = float(x @ y / (x @ x))
    scatter = float(np.sum((y - slope * x) ** 2)) / (x.size - 2)
    return Rest(-slope * steps, steps * math.sqrt(scatter / float(x @ x)))


def rest_doubts(
    found: Rest | None,
    scale: float,
    left: float | None = None,
    *,
    name: str = "NOT-CONVERGED",
    what: str = "the training",
) -> list[Doubt]:
    """What is doubtful about a training, as far as its last steps tell.

    Args:
        found: from ``rest``. scale: abs(energy), counted from that of infinite temperature.
        left: how far the energy lies above the exact one, where known: a training that could still win half of it
            leaves open whose error it is; below it there is nothing to win.
        name: of the flag. what: had not come to rest, in words.
    """
    if found is None:
        return [Doubt(name, "state", False, f"{what} was too short to see whether it came to rest")]
    share = abs(found.gain) / max(scale, 1e-300)
    half = left is not None and left > 0 and share > NEGLIGIBLE and found.gain > left / 2
    moves = found.significant and (share > CLOSE or half)
    does = "falls" if found.gain > 0 else "rises"
    why = f"{what} had not come to rest: the energy still {does}, by {share:.1g} (relative) in as many steps again"
    return graded(name, "state", why, moves, found.significant and share > WRONG)


def rest_record(found: Rest | None, doubts: Sequence[Doubt], scale: float) -> dict[str, Any]:
    """As records hold it: relative ``gain`` and ``error`` (null where the training was too short), ``converged``."""
    if found is None:
        return {"gain": None, "error": None, "converged": None}
    unit = max(scale, 1e-300)
    return {"gain": found.gain / unit, "error": found.error / unit, "converged": not doubts}


class Convergence(NamedTuple):
    """How a training ended. ``scale``: modulus of its energy, counted from that of infinite temperature."""

    rest: Rest | None
    scale: float

    def doubts(self, name: str = "NOT-CONVERGED", what: str = "the training") -> list[Doubt]:
        """What is doubtful about a state that was trained so, or that starts from it."""
        return rest_doubts(self.rest, self.scale, name=name, what=what)

    def record(self) -> dict[str, Any]:
        """As records hold it."""
        return rest_record(self.rest, self.doubts(), self.scale)

    @classmethod
    def of(cls, record: Mapping[str, Any] | None) -> Convergence | None:
        """What a record holds, in units of the energy; None where it says nothing."""
        if record is None:
            return None
        gain, error = record["gain"], record["error"]
        return cls(None if gain is None or error is None else Rest(gain, error), 1.0)

    def stored(self) -> list[float | None]:
        """Exactly this, as JSON."""
        return [*(self.rest or (None, None)), self.scale]

    @classmethod
    def restored(cls, numbers: Sequence[float | None] | None) -> Convergence | None:
        """What ``stored`` gave."""
        if numbers is None:
            return None
        gain, error, scale = numbers
        return cls(None if gain is None or error is None else Rest(gain, error), float(scale or 0.0))
