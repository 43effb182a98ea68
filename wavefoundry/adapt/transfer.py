"""One wavefunction for many molecules: preparation, stacking, training of families, evaluation.

Arrays and plain values only: files, printing and plans belong to the studies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from wavefoundry.core.types import Process, Run
from wavefoundry.problems.electrons import ElectronSystem


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A molecule ready for a network: its system (arrays) and what Hartree-Fock says about it.

    ``compound`` = (n_up, n_down, atoms): prepared molecules with the same compound share compiled programs.
    """

    name: str
    system: ElectronSystem
    energy_hf: float  # Ha, STO-6G

    @property
    def compound(self) -> tuple[int, int, int]:
        return self.system.compound


@dataclasses.dataclass(frozen=True)
class Stack:
    """Molecules grouped by compound: one family (leading axis R) per compound, in order of first appearance.

    ``places[g][r]`` is the position, in the list given to ``stack``, of member r of family g.
    """

    families: tuple[ElectronSystem, ...]
    places: tuple[tuple[int, ...], ...]


class TrainOptions(NamedTuple):
    """Compiled-in settings of training (lengths in bohr)."""

    walkers: int = 256  # per molecule
    moves: int = 8  # Metropolis moves between steps
    subset: int = 0  # molecules of each compound in a step; 0: all
    max_age: float = 1.5  # x members: a molecule not visited for longer is visited next
    momentum: float = 0.95
    norm: float = 0.1  # largest norm of an update
    clip: float = 5.0  # window of local energies: median +- clip x mean absolute deviation


class Infos(NamedTuple):
    """What a block reports: leading axes (steps,), then molecules in the order given to ``stack``. NaN: not visited."""

    energy: Float[Array, "T M"]  # Ha, mean of the clipped-free local energies of this step
    variance: Float[Array, "T M"]
    acceptance: Float[Array, "T M"]
    spread: Float[Array, " T"]  # rms change of log psi made by the step
    rejected: Float[Array, " T"]  # steps refused so far (not finite)


class Samples(NamedTuple):
    """Fresh samples of one family: leading axes (members R, chains C, samples S)."""

    energies: Float[Array, "R C S"]
    x: Float[Array, "R C S n 3"]
    acceptance: Float[Array, " R"]
    runaway: Float[Array, " R"]  # share of samples with an electron farther out than is physical


def prepare(molecule: Any) -> Prepared:
    """Hartree-Fock, localisation, descriptors (PySCF, silent). Raises InputError or PhysicsError."""
    raise NotImplementedError


def stack(molecules: Sequence[Prepared]) -> Stack:
    """Group molecules by compound."""
    raise NotImplementedError


def pretraining(static: Any, options: TrainOptions) -> Process:
    """Supervised matching of Hartree-Fock orbitals: ``init(key, params, families) -> Run``,
    ``step(run, families, learning_rate) -> (Run, loss)``."""
    raise NotImplementedError


def training(static: Any, options: TrainOptions) -> Process:
    """Natural gradient with all molecules in every step.

    ``init(key, params, families, walkers=None) -> Run`` (walkers: ``run.sampler`` of a pre-training, or None),
    ``step(run, families, learning_rate, shift) -> (Run, Infos)``.
    """
    raise NotImplementedError


def block_of(process: Process) -> Any:
    """``block(run, families, schedule) -> (Run, Infos)``: as many steps as the schedule is long, compiled once."""
    raise NotImplementedError


def evaluate(
    wavefunction: Any, family: ElectronSystem, key: PRNGKeyArray, *, chains: int, samples: int, burn_in: int, moves: int,
    walkers: Any = None,
) -> Samples:  # fmt: skip
    """Samples of |psi|^2 for every member, ``moves`` apart, with local energies; records are made by core.statistics."""
    raise NotImplementedError


__all__ = ["Infos", "Prepared", "Run", "Samples", "Stack", "TrainOptions", "jax"]
