"""A trained emulator with what it needs to be used: its grid, its frame step, and the range it was trained in."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.core import tree
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, flag_of, path_of
from wavefoundry.core.pieces import Piece, at_once, even_length
from wavefoundry.core.verdict import Doubt
from wavefoundry.models import EmulatorSpec
from wavefoundry.models.emulator import Emulator, rollout
from wavefoundry.models.windowed import Windowed
from wavefoundry.problems.driven import takes_time
from wavefoundry.problems.grid import Grid, Grid1D, require_frames
from wavefoundry.problems.potentials import values_of
from wavefoundry.problems.schrodinger import one_for_each, solve
from wavefoundry.problems.splitting import Laplacian, Solver, share_beyond
from wavefoundry.problems.wavepackets import state_of
from wavefoundry.reports.shown import Card, Shown
from wavefoundry.studies.emulation.batches import check_window
from wavefoundry.studies.emulation.pruning import Mask, masked, smaller
from wavefoundry.studies.emulation.scope import scope_doubts

EDGE_SHARE = 1e-6
LARGEST = 1e15
"""Of amplitudes and potentials: their squares still are numbers in single precision."""
TOGETHER = 8
"""Roll-outs that are computed side by side."""
PIECE_POINTS, PIECE_WINDOWS = 2**26, 2**19
"""Grid points times frames in one piece of a roll-out, of students of whole boxes and of windows: some seconds."""


@dataclasses.dataclass(frozen=True, repr=False)
class Student(Shown):
    """A trained emulator. ``student.rollout(psi0, V, 300)`` is all that most users need.

    ``scope`` says what it was trained on: lowest and highest potential, roughness by octaves of the wave number,
    momentum that holds all but 1e-4 of the probability, number of runs (``studies.scope``). ``record`` says how: steps,
    losses, cost; ``start``: that of the student it was made from, by more training or as ``pruned`` says. ``mask``: of
    a pruned student, which weights are left, by name.
    """

    emulator: Emulator
    model: EmulatorSpec
    grid: Grid1D
    frame_step: float
    scope: dict[str, Any]
    record: dict[str, Any] = dataclasses.field(default_factory=dict)
    laplacian: Laplacian = "spectral"
    mask: Mask = dataclasses.field(default_factory=dict)

    def _card(self) -> Card:
        grid, runs = self.grid, self.scope.get("runs")
        facts = [
            ("grid", f"{grid.n} points over {grid.length:g}, a frame every {self.frame_step:g}"),
            ("trained on", "" if runs is None else f"{runs} runs"),
        ]
        return Card(f"Student: {self.model.kind}, {self.weights}", facts)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return tree.count(self.emulator)

    @property
    def survivors(self) -> int:
        """Number of weights that pruning has left; all of them in a dense student."""
        return self.parameters - sum(int(np.sum(~np.asarray(kept))) for kept in self.mask.values())

    @property
    def weights(self) -> str:
        """How many weights there are, and are left, in words."""
        return f"{self.survivors} of {self.parameters} weights" if self.mask else f"{self.parameters} weights"

    def pruned(self, *, below: float | None = None, share: float | None = None, layers: Sequence[str] = ()) -> Student:
        """The student with its smallest weights set to zero.

        ``wf.distill(curriculum, start=student)`` trains those that are left; the others stay zero.

        Args:
            below: weights of a smaller magnitude go.
            share: or this share of the weights, the smallest ones, from 0 to 1.
            layers: patterns of names such as ``"frame.*"`` or ``"*.kernel"``; without any all weights. What was pruned
                before stays so.

        Raises:
            InputError: neither or both of ``below`` and ``share``, a pattern without a match, or nothing left.
        """
        mask = smaller(self.emulator, self.mask, below, share, layers)
        record = {"pruned": {"below": below, "share": share, "layers": list(layers)}, "start": self.record}
        return dataclasses.replace(self, emulator=masked(self.emulator, mask), mask=mask, record=record)

    @property
    def history(self) -> int:
        """Number of frames the student looks at; all but the first come from the solver at the start of a roll-out."""
        return self.emulator.history

    def rollout(
        self, psi0: Any, potential: Any, frames: int, *, grid: Grid | None = None, renormalise: bool | None = None
    ) -> np.ndarray:
        """Predict ``frames`` frames after ``psi0``.

        Args:
            psi0: initial state(s), (*grid) or (batch, *grid), norm of your choice; or a ``Packet``, a list of packets
                to superpose, a function of x.
            potential: real potential(s), the same shapes; one may serve a batch. Or a function of x, a table as in a
                study file, a list of tables (a sum), or the path of a file.
            frames: number of frames after the first. A student that looks at four frames gets the first three of them
                from the solver.
            grid: another grid with the same spacing; unitary students also take a ``Grid2D``.
            renormalise: scale every predicted frame to the norm of psi0; default: as the model was described.

        Returns:
            complex64 (complex128 for a student of that precision), psi0 first: (frames + 1, *grid), batch in front.

        Raises:
            InputError: shapes that do not fit, values that are not finite, momenta the grid cannot carry.
        """
        grid = self.grid if grid is None else grid
        expect(grid, Grid, "grid", where="rollout", fix="wf.Grid1D(100.0, 1024), for example")
        if renormalise is not None:
            flag_of(renormalise, "renormalise", where="rollout")
        states, fields, single = self._inputs(psi0, potential, grid)
        frames = require_frames(len(states), frames, grid, "rollout")
        for doubt in self.doubts(states, fields, grid):
            warnings.warn(f"{self.model.kind} student: {doubt.why}", stacklevel=2)
        size = _sizes(states, grid)  # in double precision: the squares of small amplitudes are no numbers in single
        first = self._first_frames(states / size, fields, frames, grid)
        wanted = frames + 1 - first.shape[1]
        flag = dict(self.model.options).get("renormalise", False) if renormalise is None else renormalise
        rest = self.ahead(first, fields, grid, max(0, wanted), bool(flag))
        out = (np.concatenate([first, rest], axis=1)[:, : frames + 1] * size[:, None]).astype(first.dtype)
        return out[0] if single else out

    def ahead(
        self, first: np.ndarray, fields: np.ndarray, grid: Grid, count: int, renormalise: bool = False,
        piece: Piece = at_once,
    ) -> np.ndarray:  # fmt: skip
        """Frames after the given ones, arguments and result as of ``predict``, of states of any norm.

        The equation is linear. A student whose form does not say so has seen states of norm 1 alone; all see all so.
        """
        size = _sizes(first[:, 0], grid)[:, None]
        found = predict(self.emulator, (first / size).astype(first.dtype), fields, grid, count, renormalise, piece)
        return (size * found).astype(found.dtype)

    @property
    def built_in(self) -> set[str]:
        """Symmetries that hold by construction, whatever the weights; names as in ``diagnostics.SYMMETRIES``."""
        options = dict(self.model.options)
        names = set(EMULATORS[self.model.kind].by_design)
        if not options.get("norm", True):
            names.discard("norm")
        if options.get("renormalise"):
            names.add("norm")
        given = {"gauge": "v_shift", "phase": "phase", "amplitude": "amplitude", "mirror": "mirror"}
        names |= {symmetry for option, symmetry in given.items() if options.get(option)}
        # A sequence that reads the same backwards is its own inverse after complex conjugation.
        return names | ({"time_reversal"} if options.get("time_reversal") and options.get("norm", True) else set())

    def doubts(self, states: np.ndarray, fields: np.ndarray, grid: Grid) -> list[Doubt]:
        """What takes a roll-out out of the range the student was trained in.

        Args:
            states: (batch, *grid). fields: potentials, the same shape.
        """
        return scope_doubts(self.scope, self.emulator.band(), states, fields, grid)

    def _first_frames(self, states: np.ndarray, fields: np.ndarray, frames: int, grid: Grid) -> np.ndarray:
        dtype = dtype_of(self.emulator)
        if self.history == 1:
            return states[:, None].astype(dtype)
        solver = Solver(laplacian=self.laplacian)
        found = solve(states, fields, self.history - 1, grid=grid, dt=self.frame_step, solver=solver)
        return found.frames.astype(dtype)

    def _inputs(self, psi0: Any, potential: Any, grid: Grid) -> tuple[np.ndarray, np.ndarray, bool]:
        where = "rollout"
        if takes_time(potential, len(grid.shape)):
            why, fix = "a student has learned frames of potentials that stand still", "wf.propagate(psi0, V, frames)"
            raise InputError("the potential changes with time", where=where, why=why, fix=fix)
        states, fields = state_of(psi0, grid), values_of(potential, grid)
        single = states.ndim == len(grid.shape)
        states = states[None] if single else states
        if len(grid.shape) not in EMULATORS[self.model.kind].axes:
            able = next(name for name, one in EMULATORS.items() if len(grid.shape) in one.axes)
            raise InputError(f"{self.model.kind} students live on a line", where=where, fix=f"a {able} student")
        if any(abs(dx / self.grid.dx - 1) > 1e-9 for dx in grid.spacing):
            has = ", ".join(f"{dx:.6g}" for dx in grid.spacing)
            why = f"it was trained with dx = {self.grid.dx:.6g}, the grid has {has}"
            raise InputError("the grid does not fit the student", where=where, why=why)
        check_window(self.emulator.reach(), min(grid.shape))
        if states.shape[1:] != grid.shape or fields.shape[-len(grid.shape) :] != grid.shape:
            raise InputError(
                f"psi0 {states.shape[1:]} or potential {fields.shape} does not fit",
                where=where,
                why=f"grid {grid.shape}",
            )
        for name, array in (("psi0", states), ("the potential", fields)):
            if not np.all(np.isfinite(array)):
                raise InputError(f"{name} has values that are not finite", where=where, why="NaN or infinity")
            if np.max(np.abs(array)) > LARGEST:
                raise InputError(f"{name} has values above {LARGEST:g}", where=where, why="single precision ends there")
        if np.iscomplexobj(fields):
            raise InputError("the potential is complex", where=where, why="only real potentials conserve the norm")
        if not np.all(grid.norm(states) > 0):
            raise InputError("psi0 is zero everywhere", where=where, why="it has no norm")
        share = share_beyond(states, grid, 0.9 * grid.momentum_limit)
        if share > EDGE_SHARE:
            why = f"a share {share:.2g} of it lies beyond 0.9 pi / dx = {0.9 * grid.momentum_limit:.4g}"
            raise InputError("psi0 is too fast for the grid", where=where, why=why, fix="a slower or wider packet")
        return states.astype(np.complex128), one_for_each(fields.astype(float), states, grid, where), single

    def save(self, path: str | Path) -> Path:
        """Write weights and description into a folder (safetensors and JSON, checksummed).

        Raises:
            InputError: there is something else at ``path``.
        """
        from wavefoundry.artifacts.bundles import save_bundle

        return save_bundle(path, *pack(self))


def _sizes(states: np.ndarray, grid: Grid) -> np.ndarray:
    """Square roots of the norms of states (batch, *grid), with their axes; 1 for what has norm 1 to rounding."""
    sizes = np.sqrt(grid.norm(np.asarray(states, np.complex128)))
    return np.where(np.abs(sizes - 1) < 1e-6, 1.0, sizes)[(..., *[None] * (states.ndim - 1))]


def dtype_of(emulator: Emulator) -> Any:
    """Complex type of the frames of an emulator."""
    leaf = next(leaf for leaf in jax.tree.leaves(emulator) if eqx.is_inexact_array(leaf))
    return np.complex128 if leaf.dtype == jnp.float64 else np.complex64


@eqx.filter_jit
def _predict(
    emulator: Emulator, last: Any, first: Any, fields: Any, spacing: tuple[float, ...], count: int, scale: bool
) -> Any:
    def one(case: Any) -> Any:
        frames, begin, field = case
        size = jnp.sum(jnp.abs(begin) ** 2)

        def after(psi: Any) -> Any:
            return psi * jnp.sqrt(size / jnp.maximum(jnp.sum(jnp.abs(psi) ** 2), 1e-30)) if scale else psi

        return rollout(emulator, frames, field, spacing, count, after)

    return jax.lax.map(one, (last, first, fields), batch_size=TOGETHER)


def predict(
    emulator: Emulator, first: np.ndarray, fields: np.ndarray, grid: Grid, count: int, renormalise: bool = False,
    piece: Piece = at_once,
) -> np.ndarray:  # fmt: skip
    """Roll-outs of a batch: ``count`` frames after the given ones, (batch, count, *grid).

    Args:
        first: (batch, history, *grid). fields: potentials (batch, *grid). renormalise: every frame to the norm of the
            first one. piece: does the work piece by piece.
    """
    if count == 0:
        return first[:, :0]
    points = PIECE_WINDOWS if isinstance(emulator, Windowed) else PIECE_POINTS
    most = points // (TOGETHER * math.prod(grid.shape))
    length = even_length(count, most)
    size = TOGETHER * max(1, most // length)
    out = np.empty((len(first), count, *grid.shape), first.dtype)
    for lo in range(0, len(first), size):
        rows = slice(lo, lo + size)
        last, begin, field = first[rows], jnp.asarray(first[rows, 0]), jnp.asarray(fields[rows])
        for at in range(0, count, length):

            def work(last: np.ndarray = last, begin: Any = begin, field: Any = field) -> np.ndarray:
                args = (jnp.asarray(last), begin, field, grid.spacing, length, renormalise)
                return np.asarray(_predict(emulator, *args))

            found = piece(work)
            out[rows, at : at + length] = found[:, : count - at]
            last = np.concatenate([last, found], axis=1)[:, -emulator.history :]
    return out


def pack(student: Student) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and description of a student for the store."""
    meta = {
        "student": {"kind": student.model.kind, "options": dict(student.model.options)},
        "grid": {"length": student.grid.length, "n": student.grid.n},
        "frame_step": student.frame_step,
        "scope": student.scope,
        "laplacian": student.laplacian,
        "record": student.record,
    }
    kept = {f"mask/{name}": np.asarray(one, np.uint8) for name, one in student.mask.items()}
    return tree.to_arrays(student.emulator, "emulator") | kept, meta


def unpack(arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> Student:
    """The student that ``pack`` described.

    Raises:
        IntegrityError: weights of another model.
    """
    model = EmulatorSpec(meta["student"]["kind"], tuple(sorted(meta["student"]["options"].items())))
    empty = model.build(jax.random.key(0), frame_step=meta["frame_step"])
    emulator = tree.from_arrays(empty, arrays, "emulator")
    mask = {name.removeprefix("mask/"): one.astype(bool) for name, one in arrays.items() if name.startswith("mask/")}
    grid, rest = Grid1D(**meta["grid"]), (meta["frame_step"], meta["scope"], meta["record"], meta["laplacian"])
    return Student(emulator, model, grid, *rest, mask)


def load_student(path: str | Path) -> Student:
    """Read what ``Student.save`` wrote, ``RUN/artifacts/student-NAME`` of a finished run, or ``zoo:NAME``.

    Raises:
        InputError: no student there, or no model has this name. IntegrityError: damaged.
    """
    from wavefoundry.artifacts.results import read_model

    return unpack(*read_model(path_of(path, "wf.load_student"), "wf.load_student", "student"))
