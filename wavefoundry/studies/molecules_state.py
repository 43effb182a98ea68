"""What a study of molecules has reached: saved and restored as one stream, so that a resumed run equals another."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import PyTree

from wavefoundry.core import tree
from wavefoundry.core.meter import METER, Cost
from wavefoundry.studies.context import Context

STREAM = "molecules"


@dataclasses.dataclass
class Curve:
    """Energies along a training: of every step, or means over blocks; one column for each molecule (Ha).

    NaN where a molecule was left out, or its energy was not finite.
    """

    steps: np.ndarray
    energy: np.ndarray
    variance: np.ndarray

    @classmethod
    def empty(cls, molecules: int) -> Curve:
        """A curve without points."""
        return cls(np.zeros(0, int), np.zeros((0, molecules)), np.zeros((0, molecules)))

    def append(self, steps: np.ndarray, energy: np.ndarray, variance: np.ndarray) -> None:
        """Add points at the end."""
        self.steps = np.concatenate([self.steps, np.asarray(steps, int)])
        self.energy = np.concatenate([self.energy, np.asarray(energy, float)])
        self.variance = np.concatenate([self.variance, np.asarray(variance, float)])


class State:
    """Finished tasks with their results, and the training under way.

    Attributes:
        done: names of finished tasks. records: record by name of its task. curves: curve by name of its training.
        weights: arrays of finished trainings, by name. notes: plain values, by name.
    """

    def __init__(self, context: Context):
        self.context, self.count = context, 0
        self.done: list[str] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.notes: dict[str, Any] = {}
        self.curves: dict[str, Curve] = {}
        self.weights: dict[str, dict[str, np.ndarray]] = {}
        self._begin, self._spent = METER.now(), Cost()
        self._underway: tuple[str, dict[str, np.ndarray]] | None = None
        found = context.restore(STREAM)
        if found is not None:
            self._restore(*found)

    def _restore(self, step: int, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
        self.count, self.done, self.records, self.notes = step, meta["done"], meta["records"], meta["notes"]
        self._spent = Cost(**meta["cost"])
        for name in meta["curves"]:
            steps, *values = (np.array(arrays[f"curve/{name}/{part}"]) for part in ("steps", "energy", "variance"))
            missing = arrays[f"curve/{name}/missing"]
            self.curves[name] = Curve(steps, *(np.where(missing, np.nan, part) for part in values))
        for name in meta["weights"]:
            self.weights[name] = _below(arrays, f"weights/{name}/")
        if meta["underway"] is not None:
            self._underway = meta["underway"], _below(arrays, "run/")
        self.context.say(STREAM, f"going on: {len(self.done)} parts are finished")

    def cost(self) -> Cost:
        """Everything spent so far, earlier parts of an interrupted run included."""
        return METER.now() - self._begin + self._spent

    def resumed(self, name: str) -> dict[str, np.ndarray] | None:
        """Arrays of the part ``name`` if it was interrupted."""
        if self._underway is None or self._underway[0] != name:
            return None
        arrays, self._underway = self._underway[1], None
        return arrays

    def finish(self, name: str) -> None:
        """Note that a task is finished, save, and stop if that was asked for."""
        self.done.append(name)
        self.save()
        self.context.stop_if_asked()

    def save(self, name: str | None = None, run: PyTree = None) -> None:
        """Checkpoint everything, with the state of the part under way."""
        self.count += 1
        arrays: dict[str, np.ndarray] = {"count": np.asarray(self.count)}
        for key, curve in self.curves.items():
            missing = ~(np.isfinite(curve.energy) & np.isfinite(curve.variance))
            values = {part: np.where(missing, 0.0, getattr(curve, part)) for part in ("energy", "variance")}
            parts = {"steps": curve.steps, "missing": missing, **values}
            arrays |= {f"curve/{key}/{part}": value for part, value in parts.items()}
        for key, weights in self.weights.items():
            arrays |= {f"weights/{key}/{part}": value for part, value in weights.items()}
        if run is not None:
            arrays |= {f"run/{key}": value for key, value in tree.to_arrays(run).items()}
        meta = {
            "done": self.done, "records": self.records, "notes": self.notes, "curves": list(self.curves),
            "weights": list(self.weights), "underway": name, "cost": self.cost()._asdict(),
        }  # fmt: skip
        self.context.save_arrays(STREAM, self.count, arrays, meta)


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
