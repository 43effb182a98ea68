"""The pieces of a task, kept by its checkpoints: an interrupted task does none of them twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wavefoundry.studies.progress import Progress


class Pieces:
    """A ``Piece`` for computations that ask for the same pieces in the same order in every session.

    Args:
        progress: of the task, whose checkpoint is taken up.
    """

    def __init__(self, progress: Progress):
        self.progress = progress
        _, arrays, meta = progress.restore() or (0, {}, {})
        self._done = [_decoded(arrays[str(i)], *how) for i, how in enumerate(meta.get("pieces", []))]
        self._asked = 0

    def __call__(self, work: Callable[[], np.ndarray]) -> np.ndarray:
        """The next piece."""
        index, self._asked = self._asked, self._asked + 1
        if index == len(self._done):
            self._done.append(work())
            if self.progress.due:
                self._save()
        return self._done[index]

    def _save(self) -> None:
        # As bytes: roll-outs may leave the finite numbers, which a checkpoint refuses to hold.
        arrays = {str(i): np.frombuffer(one.tobytes(), np.uint8) for i, one in enumerate(self._done)}
        self.progress.save(len(self._done), arrays, pieces=[(one.dtype.name, one.shape) for one in self._done])


def _decoded(data: np.ndarray, dtype: str, shape: list[int]) -> np.ndarray:
    return np.frombuffer(data.tobytes(), dtype).reshape(shape)
