"""Curricula: which runs a student learns from, and the frames the teacher computes for them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import count_of, expect, list_of, number_of, one_of, path_of
from wavefoundry.core.memory import require_memory
from wavefoundry.core.pieces import Piece, at_once
from wavefoundry.core.words import near
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import CLASSES, DRAWN, FRAME_STEP, FRAMES, PRESETS, Item, shows
from wavefoundry.problems.schrodinger import converge, solve
from wavefoundry.problems.splitting import Laplacian, Solver, check_step
from wavefoundry.studies.emulation.frame_file import FrameFile

PAPER_FRAMES = 500
MOST_RUNS = 100_000
PART = 32
"""Runs that the teacher computes together: some seconds."""


class Calibration(NamedTuple):
    """Steps of the teacher per frame, and the estimated relative L2 error of the last frame (nan: not known)."""

    substeps: int
    error: float


class Trajectories(NamedTuple):
    """What the teacher computed. ``frames`` may be a memory map of a file."""

    frames: np.ndarray  # complex64 (runs, frames + 1, n)
    potentials: np.ndarray  # float32 (runs, n)
    items: tuple[Item, ...]
    grid: Grid1D
    frame_step: float
    substeps: int
    error: float  # estimated relative L2 error of the last frame, hardest runs
    laplacian: Laplacian = "spectral"

    def __repr__(self) -> str:
        return f"Trajectories({len(self.items)} runs, frames {self.frames.shape}, error {self.error:.1e})"

    def subset(self, keep: Iterable[int]) -> Trajectories:
        """Some of the runs; the frames are not copied when they can be viewed."""
        index = np.asarray(list(keep), int)
        return self._replace(
            frames=self.frames[index],
            potentials=self.potentials[index],
            items=tuple(self.items[i] for i in index),
        )


def runs_of(items: Any, where: str) -> tuple[Item, ...]:
    """Runs, or cases, as a user gives them.

    Raises:
        InputError: none, or something that is no run.
    """
    found = list_of(items, Item, "run", where=where, fix="[wf.case(name, potential, packet)]")
    if not found:
        raise InputError("nothing can be learned or judged without runs", where=where)
    return tuple(found)


@dataclasses.dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"Curriculum({self.name}: {len(self.items)} runs of {self.frames} frames on {self.grid})"

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", runs_of(self.items, "Curriculum"))
        expect(self.grid, Grid1D, "line", where="Curriculum: grid", fix="wf.Grid1D(100.0, 1024), for example")
        expect(self.solver, Solver, "solver", where="Curriculum: solver")
        object.__setattr__(self, "frames", count_of(self.frames, "number of frames", where="Curriculum", least=1))
        object.__setattr__(self, "frame_step", number_of(self.frame_step, "time between frames", where="Curriculum"))
        check_step(self.grid, self.frame_step, self.solver)

    @classmethod
    def preset(cls, name: str = "default", *, seed: int = 0, runs: int | None = None, **settings: Any) -> Self:
        """A set by name: "default" (96 drawn runs), "quick" (32), "paper-demo" (567), "paper-full" (2646).

        Args:
            name: of the set.
            seed: of the drawn sets; the paper's are Cartesian products.
            runs: how many are drawn; the first of them are those of a smaller set.
            settings: ``frames``, ``frame_step``, ``grid``, ``solver``.

        Raises:
            InputError: there is no such set.
        """
        one_of(name, PRESETS, f"there is no curriculum {name!r:.60}", where="Curriculum")
        seed = count_of(seed, "seed", where="Curriculum")
        known = [field.name for field in dataclasses.fields(cls) if field.name not in ("items", "name")]
        if unknown := [name for name in settings if name not in known]:
            fix = near(unknown[0], known) or f"one of {', '.join(known)}"
            raise InputError(f"a curriculum has no {unknown[0]}", where="Curriculum.preset", fix=fix)
        length: dict[str, Any] = {"frames": PAPER_FRAMES} if name.startswith("paper") else {}
        if runs is not None:
            runs = count_of(runs, "number of runs", where="Curriculum: runs", least=1, most=MOST_RUNS)
            if name not in DRAWN:
                fix = f"one of {', '.join(DRAWN)}"
                raise InputError(f"the runs of {name} are given", where="Curriculum: runs", fix=fix)
        items = PRESETS[name](seed, runs or DRAWN.get(name, 0))
        return cls(tuple(items), name=name, **(length | settings))

    def filter(self, keep: Callable[[Item], bool]) -> Self:
        """The runs for which ``keep(item)`` is true."""
        if not callable(keep):
            fix = "lambda item: item.height > 5, for example"
            raise InputError(f"{type(keep).__name__} is no function", where="Curriculum.filter", fix=fix)
        try:
            chosen = tuple(item for item in self.items if keep(item))
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise InputError("the function cannot choose", where="Curriculum.filter", why=why) from None
        return dataclasses.replace(self, items=chosen, name=f"{self.name}*")

    def without(self, process: str) -> Self:
        """Leave out a physical process by name, see ``wavefoundry.problems.landscapes.CLASSES``.

        Raises:
            InputError: there is no such process, or nothing is left.
        """
        one_of(process, CLASSES, f"there is no process {process!r:.60}", where="Curriculum.without")
        return self.filter(lambda item: not shows(item, process, self.grid))

    def check_room(self, cache_dir: str | Path | None = None, copies: int = 1) -> None:
        """Refuse frames that fit neither into memory nor, with a folder to keep them in, on the disk.

        Args:
            cache_dir: the folder. copies: how often the frames are held.

        Raises:
            InputError: says how much room there is.
        """
        wanted = copies * math.prod(self._shape) * np.dtype(np.complex64).itemsize
        what, where = f"an array of {len(self.items)} runs of {self.frames} frames", "curriculum"
        if cache_dir is None:
            fix = "keep them in a folder (cache), fewer runs, or fewer frames"
            return require_memory(wanted, what, where, fix, host=True)
        folder = path_of(cache_dir, "curriculum: cache").absolute()
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if wanted > (free := shutil.disk_usage(there).free):
            why = f"{free / 2**30:.3g} GiB are free on the disk at {there}"
            what = f"{what} takes {wanted / 2**30:.3g} GiB"
            raise InputError(what, where=where, why=why, fix="another folder or fewer runs")

    def generate(
        self, cache_dir: str | Path | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Trajectories:
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
        if progress is not None and not callable(progress):
            what, fix = f"progress = {progress!r:.60} is no function", "lambda done, total: print(done, total)"
            raise InputError(what, where="Curriculum.generate", fix=fix)
        if (
            cache_dir is not None
            and (folder := path_of(cache_dir, "curriculum: cache")).exists()
            and not folder.is_dir()
        ):
            raise InputError(
                f"{folder} is no folder", where="curriculum: cache", fix="a folder, which may be a new one"
            )
        file = None if cache_dir is None else self.file(cache_dir)
        found = None if file is None else self.stored(file)
        if found is not None:
            return found
        self.check_room(cache_dir)
        calibration = self.calibrate()
        if file is None:
            frames = np.empty(self._shape, np.complex64)
            for rows, part in self._computed(calibration, progress):
                frames[rows] = part
            return self.trajectories(frames, calibration)
        try:
            for rows, part in self._computed(calibration, progress):
                file.put(rows, part)
            file.complete(calibration._asdict())
        except BaseException:
            file.discard()
            raise
        return self.trajectories(file.read(), calibration)

    def _computed(
        self, calibration: Calibration, progress: Callable[[int, int], None] | None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Runs and frames, part by part."""
        for number, rows in enumerate(self.parts()):
            yield rows, self.part(number, calibration)
            if progress is not None:
                progress(min(rows.stop, len(self.items)), len(self.items))

    def parts(self) -> list[slice]:
        """Runs that the teacher computes together; results do not depend on what is computed where and when."""
        return [slice(lo, lo + PART) for lo in range(0, len(self.items), PART)]

    def calibrate(self, piece: Piece = at_once) -> Calibration:
        """Find the number of steps per frame from the hardest runs.

        Raises:
            InputError, PhysicsError: as ``generate``.
        """
        if self.solver.method == "exact":
            return Calibration(0, 0.0)
        states, fields = self._inputs(slice(None))
        settings: dict[str, Any] = {"grid": self.grid, "dt": self.frame_step}
        # One run at no cost checks the settings; what is not converged is refused here.
        solve(states[:1], fields[:1], 1, solver=self.solver._replace(check=False), **settings)
        if not self.solver.check:
            found = solve(states[:1], fields[:1], 1, solver=self.solver, **settings)
            return Calibration(found.substeps, math.nan)
        return Calibration(*converge(states, fields, self.frames, solver=self.solver, piece=piece, **settings))

    def part(self, number: int, calibration: Calibration, piece: Piece = at_once) -> np.ndarray:
        """Frames of one of the ``parts``, complex64 (runs, frames + 1, n)."""
        states, fields = self._inputs(self.parts()[number])
        solver = self.solver._replace(check=False, substeps=max(1, calibration.substeps))
        found = solve(states, fields, self.frames, grid=self.grid, dt=self.frame_step, solver=solver, piece=piece)
        return found.frames.astype(np.complex64)

    def trajectories(self, frames: np.ndarray, calibration: Calibration) -> Trajectories:
        """All runs, from the frames of all parts."""
        fields = self._inputs(slice(None))[1].astype(np.float32)
        return Trajectories(frames, fields, self.items, self.grid, self.frame_step, *calibration, self.solver.laplacian)

    def file(self, folder: str | Path) -> FrameFile:
        """Where the frames are kept."""
        settings = [self.frames, self.frame_step, self.grid.length, self.grid.n, *self.solver]
        states, fields = self._inputs(slice(None))
        text = json.dumps(settings).encode() + states.tobytes() + fields.tobytes()
        return FrameFile(folder, hashlib.sha256(text).hexdigest()[:24], self._shape)

    def stored(self, file: FrameFile) -> Trajectories | None:
        """All runs from a file; None where it is not complete.

        Raises:
            IntegrityError: it is damaged.
        """
        calibration = file_calibration(file)
        return None if calibration is None else self.trajectories(file.read(), calibration)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return len(self.items), self.frames + 1, self.grid.n

    def _inputs(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
        """Initial states and potentials of some runs, (runs, n)."""
        items = self.items[rows]
        return np.stack([item.state(self.grid) for item in items]), np.stack(
            [item.potential(self.grid) for item in items]
        )


def file_calibration(file: FrameFile) -> Calibration | None:
    """What a file notes of the teacher; None where it is not complete."""
    note = file.note()
    return None if note is None else calibration_of(note)


def calibration_of(record: Mapping[str, Any]) -> Calibration:
    """A calibration from JSON values."""
    error = record.get("error")
    return Calibration(record.get("substeps", 0), math.nan if error is None else error)
