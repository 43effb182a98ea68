"""Curricula: which runs a student learns from, and the frames the teacher computes for them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from wavefoundry.artifacts import files
from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import CLASSES, FRAME_STEP, FRAMES, PRESETS, Item
from wavefoundry.problems.schrodinger import Solver, converge, solve
from wavefoundry.studies.forecast import free_memory as _memory

Progress = Callable[[int, int], None]
PAPER_FRAMES = 500
PIECE = 32


class Trajectories(NamedTuple):
    """What the teacher computed. ``frames`` may be a memory map of a file."""

    frames: np.ndarray  # complex64 (runs, frames + 1, n)
    potentials: np.ndarray  # float32 (runs, n)
    items: tuple[Item, ...]
    grid: Grid1D
    frame_step: float
    substeps: int
    error: float  # estimated relative L2 error of the last frame, hardest runs

    def subset(self, keep: Iterable[int]) -> Trajectories:
        """Some of the runs; the frames are not copied when they can be viewed."""
        index = np.asarray(list(keep), int)
        return self._replace(
            frames=self.frames[index],
            potentials=self.potentials[index],
            items=tuple(self.items[i] for i in index),
        )


@dataclasses.dataclass(frozen=True)
class Curriculum:
    """Runs to learn from: packets in potentials, how long, how finely, and the teacher that computes them.

    ``Curriculum.preset(name)`` gives a set by name; ``Curriculum((item, ...))`` one of your own items
    (``wf.case(name, potential, packet)``).
    """

    items: tuple[Item, ...]
    frames: int = FRAMES
    frame_step: float = FRAME_STEP
    grid: Grid1D = dataclasses.field(default_factory=Grid1D)
    solver: Solver = Solver(tolerance=2e-2)
    name: str = "own"

    def __post_init__(self) -> None:
        if not self.items:
            raise InputError("a curriculum without runs teaches nothing", where="Curriculum")
        object.__setattr__(self, "items", tuple(self.items))

    @classmethod
    def preset(cls, name: str = "default", *, seed: int = 0, **settings: Any) -> Self:
        """A set by name: "default" (96 drawn runs), "quick" (32), "paper-demo" (567), "paper-full" (2646).

        Args:
            name: of the set.
            seed: of the drawn sets; the paper's are Cartesian products.
            settings: ``frames``, ``frame_step``, ``grid``, ``solver``.

        Raises:
            InputError: there is no such set.
        """
        if name not in PRESETS:
            raise InputError(f"there is no curriculum {name!r}", where="Curriculum", why=f"known: {', '.join(PRESETS)}")
        length: dict[str, Any] = {"frames": PAPER_FRAMES} if name.startswith("paper") else {}
        return cls(tuple(PRESETS[name](seed)), name=name, **(length | settings))

    def filter(self, keep: Callable[[Item], bool]) -> Self:
        """The runs for which ``keep(item)`` is true."""
        return dataclasses.replace(self, items=tuple(item for item in self.items if keep(item)), name=f"{self.name}*")

    def without(self, process: str) -> Self:
        """Leave out a physical process by name, see ``wavefoundry.problems.landscapes.CLASSES``.

        Raises:
            InputError: there is no such process, or nothing is left.
        """
        if process not in CLASSES:
            why = f"known: {', '.join(CLASSES)}"
            raise InputError(f"there is no process {process!r}", where="Curriculum.without", why=why)
        return self.filter(lambda item: not CLASSES[process](item))

    def check_room(self, cache_dir: str | Path | None = None) -> None:
        """Refuse frames that fit neither into memory nor, with a folder to keep them in, on the disk.

        Raises:
            InputError: says how much room there is.
        """
        wanted = len(self.items) * (self.frames + 1) * self.grid.n * np.dtype(np.complex64).itemsize
        if cache_dir is None:
            free, place, fix = _memory(), "memory", "keep them in a folder (cache), fewer runs, or fewer frames"
        else:
            folder = Path(cache_dir).expanduser().absolute()
            there = next(parent for parent in (folder, *folder.parents) if parent.exists())
            free, place, fix = shutil.disk_usage(there).free, f"disk at {there}", "another folder or fewer runs"
        if free is not None and wanted > free:
            what = f"{len(self.items)} runs of {self.frames} frames take {wanted / 2**30:.3g} GiB"
            raise InputError(what, where="curriculum", why=f"{free / 2**30:.3g} GiB of {place} are free", fix=fix)

    def generate(self, cache_dir: str | Path | None = None, progress: Progress | None = None) -> Trajectories:
        """Let the teacher compute all runs, or read them back.

        Args:
            cache_dir: keep the frames in a file there and stream them from it; None keeps them in memory.
            progress: called with the number of finished and of all runs.

        Raises:
            InputError: a packet the grid cannot carry, a potential with NaN, a step beyond the resonance limit, more
                frames than there is room for.
            PhysicsError: the teacher is not converged.
            IntegrityError: the file of an earlier run is damaged.
        """
        states = np.stack([item.state(self.grid) for item in self.items])
        fields = np.stack([item.potential(self.grid) for item in self.items])
        key = self._key(states, fields)
        if cache_dir is not None:
            found = _read_cache(Path(cache_dir).expanduser(), key)
            if found is not None:
                frames, meta = found
                return self._trajectories(frames, fields, meta["substeps"], meta["error"])
        self.check_room(cache_dir)
        substeps, error = self._calibrate(states, fields)
        shape = (len(states), self.frames + 1, self.grid.n)
        if cache_dir is None:
            frames = np.empty(shape, np.complex64)
            self._fill(frames, states, fields, substeps, progress)
        else:
            meta = {"substeps": substeps, "error": error}
            frames = _write_cache(
                Path(cache_dir).expanduser(), key, shape, meta,
                lambda out: self._fill(out, states, fields, substeps, progress),
            )  # fmt: skip
        return self._trajectories(frames, fields, substeps, error)

    def _calibrate(self, states: np.ndarray, fields: np.ndarray) -> tuple[int, float]:
        if self.solver.method == "exact":
            return 0, 0.0
        # One run at no cost checks the settings; what is not converged is refused here.
        settings = {"grid": self.grid, "dt": self.frame_step}
        solve(states[:1], fields[:1], 1, solver=self.solver._replace(check=False), **settings)
        if not self.solver.check:
            found = solve(states[:1], fields[:1], 1, solver=self.solver, **settings)
            return found.substeps, float("nan")
        return converge(states, fields, self.frames, solver=self.solver, **settings)

    def _fill(
        self, out: np.ndarray, states: np.ndarray, fields: np.ndarray, substeps: int, progress: Progress | None
    ) -> None:
        solver = self.solver._replace(check=False, substeps=max(1, substeps))
        for lo in range(0, len(states), PIECE):
            part = slice(lo, lo + PIECE)
            done = solve(states[part], fields[part], self.frames, grid=self.grid, dt=self.frame_step, solver=solver)
            out[part] = done.frames
            if progress is not None:
                progress(min(lo + PIECE, len(states)), len(states))

    def _trajectories(self, frames: np.ndarray, fields: np.ndarray, substeps: int, error: float) -> Trajectories:
        return Trajectories(frames, fields.astype(np.float32), self.items, self.grid, self.frame_step, substeps, error)

    def _key(self, states: np.ndarray, fields: np.ndarray) -> str:
        settings = [self.frames, self.frame_step, self.grid.length, self.grid.n, *self.solver]
        text = json.dumps(settings).encode()
        return hashlib.sha256(text + states.tobytes() + fields.tobytes()).hexdigest()[:24]


def _read_cache(folder: Path, key: str) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Frames of an earlier run as a memory map, after checking their SHA-256 sum."""
    data, note = folder / f"{key}.npy", folder / f"{key}.json"
    if not (data.is_file() and note.is_file()):
        return None
    meta = files.decode_json(files.read_plain(note), note)
    if not isinstance(meta, dict) or _digest(data) != meta.get("sha256"):
        raise IntegrityError(f"{data} is damaged: its SHA-256 sum differs\n  fix:   remove the file")
    return np.load(data, mmap_mode="r"), meta


def _write_cache(
    folder: Path, key: str, shape: tuple[int, ...], meta: dict[str, Any], fill: Callable[[np.ndarray], None]
) -> np.ndarray:
    """Fill a file under a hidden name, then rename it; the note with its sum comes last."""
    with files.storage("write", folder):
        folder.mkdir(parents=True, exist_ok=True)
        hidden = folder / f".{key}.tmp-{os.getpid()}"
        out = np.lib.format.open_memmap(hidden, mode="w+", dtype=np.complex64, shape=shape)
        try:
            fill(out)
            out.flush()
            del out
            digest = _digest(hidden)
            os.replace(hidden, folder / f"{key}.npy")
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
        files.write_atomic(folder / f"{key}.json", files.encode_json(meta | {"sha256": digest}, indent=1))
    return np.load(folder / f"{key}.npy", mmap_mode="r")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
