"""Runs to learn from and runs to be judged by: items, the paper's sets, and the suite of 24 cases."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.potentials import Potential, from_any, shape, smooth_noise
from wavefoundry.problems.wavepackets import Packet, packet_of, superpose

FRAMES = 400
FRAME_STEP = 0.1


@dataclasses.dataclass(frozen=True)
class Item:
    """One run: packets (superposed with equal weights) in a potential. ``group`` is the class it is reported under."""

    name: str
    group: str
    packets: tuple[Packet, ...]
    potential: Potential

    def state(self, grid: Grid1D) -> np.ndarray:
        """Initial wavefunction, complex128 (n,)."""
        return superpose(self.packets, grid)

    @property
    def height(self) -> float:
        """Height of its highest rectangular barrier, 0 without one; of other shapes see ``rise``."""
        return max(0.0, *map(float, self.potential.values("barrier", "height")))

    def rise(self, grid: Grid1D) -> float:
        """How far the potential rises above where the packets begin, whatever its shape."""
        field = self.potential(grid)
        starts = [round(packet.x0 / grid.dx) % grid.n for packet in self.packets]
        return float(field.max() - field[starts].min())

    @property
    def energy(self) -> float:
        """Largest mean kinetic energy of its packets."""
        return max(packet.e0 for packet in self.packets)


def single(x0: float, s0: float, e0: float, height: float, width: float, left: bool = False) -> Item:
    """A packet and a rectangular barrier in the middle: the paper's kind of run."""
    potential = shape("barrier", height=height, width=width) if height else shape("flat")
    name = f"{x0:g},{s0:g},{e0:g},{height:g},{width:g}"
    return Item(name, "single", (Packet(x0, s0, e0, left),), potential)


def case(name: str, potential: Any, packet: Any, group: str = "own") -> Item:
    """A case of the user's own.

    Args:
        name: shown in tables.
        potential: table, list of tables, array, function of x, or path of a file.
        packet: ``Packet``, table or tuple (x0, s0, e0), or a list of them to superpose.
        group: class under which it is averaged.

    Raises:
        InputError: a name that is no text, no packet, or a potential that cannot be understood.
    """
    expect(name, str, "name", where="wf.case", fix='"double well", for example')
    expect(group, str, "group", where="wf.case", fix='"own", for example')
    several = isinstance(packet, list) or (isinstance(packet, tuple) and packet and isinstance(packet[0], Packet))
    if several and not packet:
        raise InputError("a case needs a packet", where=f"case {name}", fix="wf.Packet(20, 2.5, 5)")
    packets = tuple(packet_of(one) for one in (packet if several else [packet]))
    return Item(name, group, packets, from_any(potential))


def paper_grid(heights: Sequence[float]) -> list[Item]:
    """The paper's Cartesian product: 3 centres, 7 widths, 9 energies, the given heights, barrier width 7."""
    starts, widths, energies = (10.0, 40.0, 70.0), np.arange(1.0, 4.01, 0.5), np.arange(1.0, 9.01)
    product = itertools.product(starts, widths, energies, heights)
    return [single(x0, float(s0), float(e0), float(height), 7.0) for x0, s0, e0, height in product]


def drawn(seed: int, runs: int = 192, top: float = 14.0) -> list[Item]:
    """Packets and barriers drawn evenly from the ranges of the paper's product."""
    rng = np.random.default_rng(seed)
    items = []
    for index in range(runs):
        x0 = (10.0, 40.0, 70.0)[index % 3]
        s0, e0, height = rng.uniform(1, 4), rng.uniform(1, 9), rng.uniform(0, top)
        items.append(single(x0, round(s0, 6), round(e0, 6), round(height, 6), 7.0))
    return items


DRAWN = {"default": 96, "quick": 32}
"""Sets that are drawn, with their usual numbers of runs."""
PRESETS: dict[str, Callable[[int, int], list[Item]]] = {
    **dict.fromkeys(DRAWN, drawn),
    "paper-demo": lambda seed, runs: paper_grid((2, 5, 10)),
    "paper-full": lambda seed, runs: paper_grid(range(1, 15)),
}
"""Sets of runs by name, from a seed and a number of runs; the paper's have 567 and 2646."""

CLASSES: dict[str, Callable[[Item, Grid1D], bool]] = {
    "tunnelling": lambda item, grid: item.rise(grid) > item.energy,
    "over-barrier": lambda item, grid: 0 < item.rise(grid) <= item.energy,
    "high barriers": lambda item, grid: item.rise(grid) >= 7,
    "fast packets": lambda item, grid: item.energy >= 5,
    "narrow packets": lambda item, grid: min(packet.s0 for packet in item.packets) < 2,
    "low barriers": lambda item, grid: item.rise(grid) < 4,
}
"""Physical processes that a curriculum can be asked to leave out."""


def shows(item: Item, process: str, grid: Grid1D) -> bool:
    """Whether a run shows a process, one of ``CLASSES``."""
    return CLASSES[process](item, grid)


def _barriers(*blocks: tuple[float, float, float]) -> Potential:
    parts = [shape("barrier", height=h, width=w, center=c) for h, w, c in blocks]
    return sum(parts, Potential())


SINGLES = (
    (15.0, 1.6, 2.0, 0.9, 7.7), (15.1, 1.7, 6.4, 7.4, 9.4), (15.6, 2.4, 3.7, 13.3, 10.5), (15.8, 4.9, 5.5, 11.6, 9.4),
    (17.0, 3.8, 6.8, 7.4, 2.4), (17.5, 2.8, 4.7, 5.3, 8.7), (17.5, 3.8, 1.5, 4.0, 18.2), (17.9, 3.2, 8.2, 6.5, 23.4),
    (19.4, 2.7, 7.5, 9.7, 23.7), (19.6, 2.8, 5.9, 4.1, 3.9), (19.7, 1.1, 8.6, 0.6, 11.0),
)  # fmt: skip
"""The paper's single-barrier tests: x0, s0, e0, height, width."""


def suite(grid: Grid1D | None = None) -> list[Item]:
    """The 24 cases: barriers (single, double, triple), random, smooth, harmonic, well, triangle, half-circle, packets.

    Single barriers are those of the paper; the composite landscapes follow its list, with our numbers where
    it gives none.
    """
    rng = np.random.default_rng(7)
    heights = [rng.uniform(0, 10, 12).tolist() for _ in range(3)]
    noise = rng.standard_normal(1024)
    singles = [single(*numbers) for numbers in SINGLES]

    def smooth(x: np.ndarray) -> np.ndarray:
        fine = Grid1D()
        return np.interp(x, fine.x, smooth_noise(fine, noise, 8.0), period=fine.length)

    def one(name: str, group: str, packet: tuple[float, float, float], potential: Potential) -> Item:
        return Item(name, group, (Packet(*packet),), potential)

    crossing = (Packet(20, 2, 5), Packet(80, 2, 4, left=True))
    return [
        *singles,
        one("double-1", "double", (20, 2.5, 5), _barriers((6, 3, 45), (4, 4, 60))),
        one("double-2", "double", (20, 2, 4), _barriers((3, 5, 42), (8, 3, 58))),
        one("triple", "triple", (18, 2.5, 6), _barriers((5, 3, 40), (7, 3, 50), (5, 3, 62))),
        *(
            one(f"random-{s + 1}", "random", (20, 2 + 0.5 * s, 5 + s), shape("steps", heights=h, width=3.0, start=35.0))
            for s, h in enumerate(heights)
        ),
        one("smooth", "smooth", (20, 2.5, 5), Potential(own=(smooth,))),
        one("harmonic-1", "harmonic", (38, 2, 0.05), shape("harmonic", omega=0.3, cap=10.0)),
        one("harmonic-2", "harmonic", (50, 1, 3), shape("harmonic", omega=0.5, cap=12.0)),
        one("well", "well", (20, 2.5, 4), shape("well", depth=4.0, width=10.0)),
        one("triangle", "triangle", (20, 2.5, 5), shape("triangle", height=8.0, width=20.0, center=52.0)),
        one("half-circle", "half-circle", (20, 2.5, 6), shape("half-circle", height=9.0, width=18.0)),
        Item("two packets", "two packets", crossing, _barriers((5, 7, 50))),
    ]
