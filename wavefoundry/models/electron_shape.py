"""Sizes of an electronic network: the small default and the published one."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is compiled into an electronic network; none of it belongs to a molecule.

    symbols: elements with descriptors of their own. elements: rows of the table of elements (largest charge).
    small: the variant for small networks, see ``Embedding``. share_spins: one orbital network for both spins.
    hidden: widths of the orbital network, exponents: of the network of the envelope exponents. jastrow: width of the
    Jastrow network; 0: neither it nor the electron-electron cusp. messages: orbital network exchanges messages between
    atoms first. reach: of pairs of particles in the embedding, bohr. nuclear: terms of the Jastrow factor for
    electrons near a nucleus, with weights for every element. cusp: that of electrons and nuclei is exact: everything
    else is smooth at nuclei, see ``electron_wavefunction.kinks``.
    """

    symbols: tuple[str, ...]
    elements: int
    width: int
    layers: int
    pair: int
    convolution: int
    determinants: int
    hidden: tuple[int, ...]
    exponents: tuple[int, ...]
    jastrow: int
    small: bool
    share_spins: bool
    messages: int
    reach: float = math.inf
    nuclear: int = 0
    cusp: bool = False

    @property
    def descriptor(self) -> int:
        """Numbers that describe an orbital on one atom: a block for every element."""
        return sum(1 if symbol in ("H", "He") else 5 for symbol in self.symbols)


SMALL = Shape(
    symbols=("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne"),
    elements=10,
    width=32,
    layers=2,
    pair=16,
    convolution=32,
    determinants=4,
    hidden=(32,),
    exponents=(16,),
    jastrow=32,
    small=True,
    share_spins=True,
    messages=0,
    # what is farther away does not count: a long chain looks to every electron like the short ones of the training
    reach=4.0,
)

PAPER = Shape(
    symbols=("H", "C", "N", "O"),
    elements=8,
    width=256,
    layers=4,
    pair=32,
    convolution=32,
    determinants=4,
    hidden=(256, 256),
    exponents=(128, 128),
    jastrow=0,
    small=False,
    share_spins=False,
    messages=2,
)

PRESETS = {"small": SMALL, "paper": PAPER}
