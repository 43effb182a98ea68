"""Whether an optimisation had come to rest: the slope of its energy over the last fifth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from wavefoundry.core.verdict import CLOSE, WRONG, Doubt, graded


class Convergence(NamedTuple):
    """The energy still to be had: what another fifth of the steps at the full learning rate would bring.

    drop, error: relative to the energy from infinite temperature on, with its error bar; positive where the energy
    still falls. converged: the drop is below 1e-3, or not to be told from zero; None: too short or too noisy to say.
    """

    converged: bool | None
    drop: float
    error: float

    def doubts(self, name: str = "NOT-CONVERGED", what: str = "the training") -> list[Doubt]:
        """As a doubt about the state. ``what`` had not come to rest; ``name`` of the flag."""
        if self.converged is None:
            why = f"{what} was too short or too noisy to say whether it had come to rest"
            return [Doubt(name, "state", False, why)]
        why = f"{what} had not come to rest: another fifth of the steps would lower the energy by {self.drop:.1%}"
        return graded(name, "state", why, not self.converged, not self.converged and self.drop > WRONG)


def convergence(energies: Sequence[float], rates: ArrayLike, e_inf: float = 0.0) -> Convergence:
    """Judges a training from the energies of its steps.

    The energy is fitted by a line in the time of the optimisation, the sum of the learning rates: a rate that falls to
    zero brings every training to a halt, not to rest.

    Args:
        energies: of every step. rates: learning rates of the steps. e_inf: energy of infinite temperature.
    """
    part = max(4, len(energies) // 5)
    if len(energies) < 2 * part:
        return Convergence(None, math.nan, math.nan)
    y, rate = np.asarray(energies, float), np.asarray(rates, float)
    time = np.cumsum(rate / max(rate.max(), 1e-300))[-part:]
    y = y[-part:]
    scale = abs(float(np.median(y)) - e_inf)
    if not np.all(np.isfinite(y)) or scale == 0.0:
        return Convergence(None, math.nan, math.nan)
    t = time - time.mean()
    spread = max(float(t @ t), 1e-300)
    slope = float(t @ y) / spread
    rest = y - y.mean() - slope * t
    noise = math.sqrt(float(rest @ rest) / max(1, part - 2) / spread)
    drop, error = -slope * part / scale, noise * part / scale
    falls = drop > CLOSE and drop > 3 * error
    return Convergence(False if falls else None if error > WRONG else True, drop, error)
