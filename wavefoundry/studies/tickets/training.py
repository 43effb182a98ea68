"""The trainings of one task: reported, checkpointed on the way, and gone on with after an interruption."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from wavefoundry.adapt import compact
from wavefoundry.adapt.masks import Flags
from wavefoundry.adapt.tickets import FitState, Trained, Trainer
from wavefoundry.core import tree
from wavefoundry.core.meter import METER
from wavefoundry.studies.progress import Progress

UNKNOWN = 1e300
"""Stands for an energy that is not known yet, where numbers have to be finite."""
MASK, FIT = "mask/", "fit/"
"""Prefixes of stored arrays: masks that were found, and the states of trainings."""


class Trainings:
    """Masks and trainings of a task, asked for in the same order in every session; no step is made twice.

    Args:
        progress: of the task, whose checkpoint is taken up.
    """

    def __init__(self, progress: Progress):
        self.progress = progress
        self._saves, self._arrays, self._stored = progress.restore() or (0, {}, {"masks": 0, "fits": []})
        self._masks: list[Flags] = []
        self._fits: list[FitState] = []

    def mask(self, find: Callable[[], Flags]) -> Flags:
        """The next mask of the task; the metric of many weights takes its time, so it is kept."""
        index = len(self._masks)
        if index < self._stored["masks"]:
            self._masks.append(self._arrays[f"{MASK}{index}"])
            return self._masks[index]
        self._masks.append(find())
        if self.progress.due:
            self._save()
        return self._masks[index]

    def fit(
        self, trainer: Trainer, theta: np.ndarray, trained: Flags, steps: int, key: PRNGKeyArray, phase: str
    ) -> Trained:
        """The next training of the task.

        Args:
            trainer, theta, trained, steps, key: see ``Trainer.fit``. phase: name in the events.
        """
        index, begin, first = len(self._fits), METER.now(), 0

        def report(now: FitState) -> None:
            pace = (METER.now() - begin).running_seconds / (now.done - first)
            numbers = {"energy": now.energies[-1], "energy_per_site": now.energies[-1] / trainer.sites}
            left = {"seconds_left": max(0.0, pace) * (steps - now.done)}
            self.progress.emit({"event": "step", "phase": phase, "step": now.done, "steps": steps} | numbers | left)
            self._fits[index:] = [now]
            if self.progress.due:
                self._save()

        def going_on(fresh: compact.State) -> FitState | None:
            nonlocal first
            if index >= len(self._stored["fits"]):
                return None
            self._fits.append(fit_from(fresh, self._arrays, index, self._stored["fits"][index]))
            first = self._fits[index].done
            if index == len(self._stored["fits"]) - 1:
                self.progress.say("tickets", f"{phase} goes on at step {first}")
            return self._fits[index]

        return trainer.fit(theta, trained, steps, key, report, going_on)

    def _save(self) -> None:
        arrays = {f"{MASK}{index}": mask for index, mask in enumerate(self._masks)}
        for index, now in enumerate(self._fits):
            # a checkpoint holds finite numbers alone, and the energy to compare with is infinite after a rollback
            state = now.state._replace(energy=jnp.minimum(now.state.energy, UNKNOWN))
            arrays |= tree.to_arrays(state, f"{FIT}{index}")
        fits = [{"done": f.done, "energies": json_of(f.energies), "tail": json_of(f.tail)} for f in self._fits]
        self._saves += 1
        self.progress.save(self._saves, arrays, masks=len(self._masks), fits=fits)


def fit_from(fresh: compact.State, arrays: dict[str, np.ndarray], index: int, stored: dict[str, Any]) -> FitState:
    """A training between two blocks, from its checkpoint; ``fresh`` gives the shapes."""
    state = tree.from_arrays(fresh, arrays, f"{FIT}{index}")
    state = state._replace(energy=jnp.where(state.energy < UNKNOWN, state.energy, jnp.inf))
    return FitState(stored["done"], state, floats(stored["energies"]), floats(stored["tail"]))


def json_of(energies: Sequence[float]) -> list[float | None]:
    """Energies with null in place of what is not finite."""
    return [energy if math.isfinite(energy) else None for energy in energies]


def floats(energies: Sequence[float | None]) -> list[float]:
    """The opposite of ``json_of``."""
    return [math.nan if energy is None else energy for energy in energies]
