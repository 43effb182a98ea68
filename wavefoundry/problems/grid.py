"""Periodic boxes in one and two dimensions: points, momenta, inner products."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import count_of, number_of, numbers_of, plain_of
from wavefoundry.core.memory import require_memory

MAX_POINTS = 2**24
MOST_FRAMES = 2**40


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
        number = self._axis(number)
        return np.arange(self.shape[number]) * self.spacing[number]

    def momenta(self, number: int = 0) -> np.ndarray:
        """Momenta along an axis in the order of the fast Fourier transform."""
        number = self._axis(number)
        return 2 * np.pi * np.fft.fftfreq(self.shape[number], self.spacing[number])

    def _axis(self, number: int) -> int:
        return count_of(number, "axis of this grid", where=type(self).__name__, most=len(self.shape) - 1)

    def norm(self, psi: np.ndarray) -> np.ndarray:
        """Integral of |psi|^2 over the box; leading axes stay.

        Raises:
            InputError: ``psi`` has no values on this grid.
        """
        values = self._values(psi)
        axes = tuple(range(-len(self.shape), 0))
        return np.sum(np.abs(values) ** 2, axis=axes) * self.volume

    def normalise(self, psi: np.ndarray) -> np.ndarray:
        """The same wavefunction with norm 1.

        Raises:
            InputError: it has no values on this grid, or is zero.
        """
        norm = np.asarray(self.norm(psi))
        if not np.all(norm > 0):
            raise InputError("a wavefunction of norm 0 cannot be normalised", where="normalise")
        return np.asarray(psi) / np.sqrt(norm[(..., *[None] * len(self.shape))])

    def _values(self, psi: Any) -> np.ndarray:
        where = type(self).__name__
        values = numbers_of(psi, "psi", where=where)
        if values.shape[-len(self.shape) :] != self.shape:
            what = f"an array of shape {values.shape} is no wavefunction on this grid"
            raise InputError(what, where=where, why=f"the grid has shape {self.shape}")
        return values


def _lengths(given: tuple[Any, ...], where: str) -> tuple[float, ...]:
    lengths = tuple(number_of(length, "length of a box", where=where) for length in given)
    for length in lengths:
        if length <= 0:
            raise InputError(f"a box of length {length!r} is not possible", where=where, why="lengths are positive")
    return lengths


def _points(given: tuple[Any, ...], where: str) -> tuple[int, ...]:
    shape = tuple(count_of(n, "number of grid points", where=where) for n in given)
    if min(shape) < 8:
        raise InputError(f"{min(shape)} grid points are too few", where=where, why="at least 8 along each axis")
    if math.prod(shape) > MAX_POINTS:
        raise InputError(f"{math.prod(shape)} grid points are too many", where=where, why=f"at most {MAX_POINTS}")
    return shape


@dataclasses.dataclass(frozen=True)
class Grid1D(Grid):
    """A periodic line of ``n`` points on ``[0, length)``; the default is the box of arXiv 2203.10200.

    Raises:
        InputError: a length that is not positive, or fewer than 8 points.
    """

    length: float = 100.0
    n: int = 1024

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", _lengths((self.length,), "Grid1D")[0])
        object.__setattr__(self, "n", _points((self.n,), "Grid1D")[0])

    @property
    def lengths(self) -> tuple[float, ...]:
        """Edges of the box."""
        return (self.length,)

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
        length, n = plain_of(self.length), plain_of(self.n)
        for edges in (length, n):
            if not isinstance(edges, list | tuple) or len(edges) != 2:
                raise InputError("a plane has two edges", where="Grid2D", fix="Grid2D(length=(50, 50), n=(512, 512))")
        object.__setattr__(self, "length", _lengths(tuple(length), "Grid2D"))
        object.__setattr__(self, "n", _points(tuple(n), "Grid2D"))

    @property
    def lengths(self) -> tuple[float, ...]:
        """Edges of the box."""
        return self.length

    @property
    def shape(self) -> tuple[int, ...]:
        """Points along each edge."""
        return self.n


def require_frames(batch: int, frames: int, grid: Grid, where: str) -> int:
    """The number of frames; what is none is refused, and more of them than fit into memory.

    Raises:
        InputError: says how much there is.
    """
    frames = count_of(frames, "number of frames", where=where, least=1, most=MOST_FRAMES)
    needed = batch * (frames + 1) * math.prod(grid.shape) * np.dtype(np.complex128).itemsize
    fix = "fewer frames; the last one can be where the next call begins"
    require_memory(needed, f"an array of {frames + 1} frames", where, fix, host=True)
    return frames
