"""Periodic boxes in one and two dimensions: points, momenta, inner products."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.memory import require_memory

MAX_POINTS = 2**24


class Grid:
    """What every periodic grid offers; ``Grid1D`` and ``Grid2D`` are the final classes.

    Lengths are in bohr when energies are in hartree (hbar = m = 1).
    """

    @property
    def lengths(self) -> tuple[float, ...]:
        """Edge of the box along each axis."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of points along each axis."""
        raise NotImplementedError

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance between neighbouring points along each axis."""
        return tuple(length / n for length, n in zip(self.lengths, self.shape, strict=True))

    @property
    def volume(self) -> float:
        """Volume of one cell: sums times this are integrals."""
        return math.prod(self.spacing)

    @property
    def momentum_limit(self) -> float:
        """Largest momentum the grid can carry along every axis: pi / dx."""
        return math.pi / max(self.spacing)

    def axis(self, number: int = 0) -> np.ndarray:
        """Coordinates along an axis, starting at 0: ``i * dx``."""
        return np.arange(self.shape[number]) * self.spacing[number]

    def momenta(self, number: int = 0) -> np.ndarray:
        """Momenta along an axis in the order of the fast Fourier transform."""
        return 2 * np.pi * np.fft.fftfreq(self.shape[number], self.spacing[number])

    def norm(self, psi: np.ndarray) -> np.ndarray:
        """Integral of |psi|^2 over the box; leading axes stay."""
        axes = tuple(range(-len(self.shape), 0))
        return np.sum(np.abs(psi) ** 2, axis=axes) * self.volume

    def normalise(self, psi: np.ndarray) -> np.ndarray:
        """The same wavefunction with norm 1."""
        shaped = np.asarray(self.norm(psi))[(..., *[None] * len(self.shape))]
        return psi / np.sqrt(shaped)


def _check(lengths: tuple[Any, ...], shape: tuple[Any, ...], where: str) -> None:
    for length in lengths:
        if not (isinstance(length, int | float) and math.isfinite(length) and length > 0):
            raise InputError(f"a box of length {length!r} is not possible", where=where, why="lengths are positive")
    for n in shape:
        if not (isinstance(n, int) and n >= 8):
            raise InputError(f"{n!r} grid points are too few", where=where, why="at least 8 along each axis")
    if math.prod(shape) > MAX_POINTS:
        raise InputError(f"{math.prod(shape)} grid points are too many", where=where, why=f"at most {MAX_POINTS}")


@dataclasses.dataclass(frozen=True)
class Grid1D(Grid):
    """A periodic line of ``n`` points on ``[0, length)``; the default is the box of arXiv 2203.10200.

    Raises:
        InputError: a length that is not positive, or fewer than 8 points.
    """

    length: float = 100.0
    n: int = 1024

    def __post_init__(self) -> None:
        _check((self.length,), (self.n,), "Grid1D")

    @property
    def lengths(self) -> tuple[float, ...]:
        """Edges of the box."""
        return (float(self.length),)

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each edge."""
        return (self.n,)

    @property
    def dx(self) -> float:
        """Distance between neighbouring points."""
        return self.length / self.n

    @property
    def x(self) -> np.ndarray:
        """Coordinates, shape (n,)."""
        return self.axis(0)

    @property
    def k(self) -> np.ndarray:
        """Momenta in the order of the fast Fourier transform, shape (n,)."""
        return self.momenta(0)


@dataclasses.dataclass(frozen=True)
class Grid2D(Grid):
    """A periodic rectangle; arrays have the shape ``(n[0], n[1])``, the first axis being x.

    Raises:
        InputError: as ``Grid1D``.
    """

    length: tuple[float, float] = (50.0, 50.0)
    n: tuple[int, int] = (512, 512)

    def __post_init__(self) -> None:
        if len(self.length) != 2 or len(self.n) != 2:
            raise InputError("a plane has two edges", where="Grid2D", fix="Grid2D(length=(50, 50), n=(512, 512))")
        _check(tuple(self.length), tuple(self.n), "Grid2D")

    @property
    def lengths(self) -> tuple[float, ...]:
        """Edges of the box."""
        return (float(self.length[0]), float(self.length[1]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each edge."""
        return (self.n[0], self.n[1])


def require_frames(batch: int, frames: int, grid: Grid, where: str) -> None:
    """Refuse what is no number of frames, and more of them than fit into memory.

    Raises:
        InputError: says how much there is.
    """
    if not isinstance(frames, int | np.integer) or isinstance(frames, bool):
        raise InputError(f"{frames!r} is no number of frames", where=where, why="a whole number, at least 1")
    needed = batch * (frames + 1) * math.prod(grid.shape) * np.dtype(np.complex128).itemsize
    fix = "fewer frames; the last one can be where the next call begins"
    require_memory(needed, f"an array of {frames + 1} frames", where, fix, host=True)
