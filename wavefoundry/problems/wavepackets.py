"""Gaussian wave packets, and closed forms to hold simulations against."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, flag_of, number_of, numbers_of
from wavefoundry.problems.grid import Grid, Grid1D
from wavefoundry.problems.potentials import evaluated

TAIL = 4.0
"""Momenta within so many standard deviations of the mean must fit on the grid."""


@dataclasses.dataclass(frozen=True)
class Packet:
    """A Gaussian packet: centre, standard deviation of |psi|^2, kinetic energy of its mean momentum, direction.

    Raises:
        InputError: numbers that are none, a width that is not positive, a negative energy.

    Source: arXiv 2203.10200. <T> = e0 + 1 / (8 s0^2); the momentum spread is 1 / (2 s0); group velocity sqrt(2 e0).
    """

    x0: float
    s0: float
    e0: float
    left: bool = False

    def __post_init__(self) -> None:
        where = f"packet x0 = {self.x0!r:.30}, s0 = {self.s0!r:.30}, e0 = {self.e0!r:.30}"
        for name in ("x0", "s0", "e0"):
            number_of(getattr(self, name), f"number for {name} of a packet", where=where)
        flag_of(self.left, "left", where=where)
        if self.s0 <= 0 or self.e0 < 0:
            raise InputError("there is no such packet", where=where, why="s0 is positive, e0 is not negative")

    @property
    def k0(self) -> float:
        """Mean momentum."""
        return (-1 if self.left else 1) * math.sqrt(2 * self.e0)

    @property
    def k_reach(self) -> float:
        """Largest momentum that is populated to speak of: |k0| + 4 / (2 s0)."""
        return abs(self.k0) + TAIL / (2 * self.s0)

    def on(self, grid: Grid1D) -> np.ndarray:
        """Its values on a grid, complex128, shape (n,), norm 1.

        Raises:
            InputError: no line, or one that cannot carry the packet.
        """
        expect(grid, Grid1D, "line", where="Packet.on", fix="wf.Grid1D(100.0, 1024), for example")
        return gaussian(self, grid)


def gaussian(packet: Packet, grid: Grid1D | None = None) -> np.ndarray:
    """A normalised packet, wrapped round the box: exp(-d^2 / 4 s0^2 + i k0 d), d the distance to its centre.

    Returns:
        complex128, shape (n,).

    Raises:
        InputError: faster than the grid can carry, wider than the box, or numbers that are not finite.
    """
    grid = grid or Grid1D()
    check_packet(packet, grid)
    d = (grid.x - packet.x0 + grid.length / 2) % grid.length - grid.length / 2
    return grid.normalise(np.exp(-(d**2) / (4 * packet.s0**2) + 1j * packet.k0 * d))


def superpose(packets: Sequence[Packet], grid: Grid1D | None = None) -> np.ndarray:
    """Normalised sum of packets with equal weights."""
    grid = grid or Grid1D()
    return grid.normalise(np.sum([gaussian(packet, grid) for packet in packets], axis=0))


def check_packet(packet: Packet, grid: Grid) -> None:
    """Refuse a packet that the grid cannot carry.

    Raises:
        InputError: says which limit is broken.
    """
    where = f"packet x0 = {packet.x0!r:.30}, s0 = {packet.s0!r:.30}, e0 = {packet.e0!r:.30}"
    if not 0 <= packet.x0 <= min(grid.lengths):
        why = f"the box runs from 0 to {min(grid.lengths):g}"
        raise InputError("the packet starts outside the box", where=where, why=why)
    if packet.k_reach > grid.momentum_limit:
        raise InputError(
            f"the packet is too fast for the grid: it holds momenta up to {packet.k_reach:.4g}",
            where=where,
            why=f"the grid carries momenta up to pi / dx = {grid.momentum_limit:.4g}",
            fix="more grid points, a wider packet, or less energy",
        )
    if 8 * packet.s0 > min(grid.lengths):
        why = f"8 standard deviations must fit into the box of {min(grid.lengths):g}"
        raise InputError("the packet is wider than the box", where=where, why=why)


def packet_of(value: Any) -> Packet:
    """A packet from what a user has: ``Packet``, ``{"x0": 20, "s0": 2.5, "e0": 5}`` or ``(20, 2.5, 5)``.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, Packet):
        return value
    try:
        return Packet(**value) if isinstance(value, Mapping) else Packet(*value)
    except TypeError:
        fix = '{"x0": 20, "s0": 2.5, "e0": 5}, and "left": true for one that moves left'
        raise InputError(f"{value!r} is no packet", where="packet", fix=fix) from None


def state_of(value: Any, grid: Grid) -> np.ndarray:
    """A state on a grid from whatever a user gives; arrays (and batches of them) stay as they are.

    Args:
        value: array, packet (``packet_of``), list of packets to superpose, function of x (and y), case.

    Raises:
        InputError: it cannot be drawn on this grid.
    """
    if hasattr(value, "potential") and hasattr(value, "state"):  # a case
        return value.state(grid)
    if callable(value):
        places = [grid.axis(i) for i in range(len(grid.shape))]
        return evaluated(value, "psi0", *np.meshgrid(*places, indexing="ij"))
    several = isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], Packet | Mapping)
    numbers = isinstance(value, list | tuple) and len(value) in (3, 4) and all(isinstance(v, Real) for v in value)
    if not (several or numbers or isinstance(value, Packet | Mapping)):
        return numbers_of(value, "psi0", where="psi0")
    if not isinstance(grid, Grid1D):
        fix = "an array: np.outer of two packets, for example"
        raise InputError("packets are for a line", where="psi0", why="the grid is a plane", fix=fix)
    given: list[Any] = list(value) if several and isinstance(value, list | tuple) else [value]
    packets = [packet_of(one) for one in given]
    return gaussian(packets[0], grid) if len(packets) == 1 else superpose(packets, grid)


def barrier_transmission(energy: np.ndarray, height: float, width: float) -> np.ndarray:
    """Probability to pass a rectangular barrier: [1 + V0^2 sin^2(q a) / (4 E (E - V0))]^-1, q = sqrt(2 (E - V0)).

    Args:
        energy: kinetic energies in front of the barrier, positive.
        height: V0. width: a.
    """
    energy = np.asarray(energy, float)
    excess = np.where(np.abs(energy - height) < 1e-9, 1e-9, energy - height).astype(complex)
    ratio = np.sin(np.sqrt(2 * excess) * width) ** 2 / excess  # real and positive on both sides of the top
    return 1 / (1 + height**2 * ratio.real / (4 * energy))


def packet_transmission(packet: Packet, height: float, width: float, points: int = 20001) -> float:
    """Transmission of a packet: the formula averaged over its momenta k > 0."""
    spread = 1 / (2 * packet.s0)
    k = np.linspace(max(1e-6, abs(packet.k0) - 8 * spread), abs(packet.k0) + 8 * spread, points)
    weight = np.exp(-((k - abs(packet.k0)) ** 2) / (2 * spread**2))
    return float(np.sum(weight * barrier_transmission(k**2 / 2, height, width)) / np.sum(weight))
