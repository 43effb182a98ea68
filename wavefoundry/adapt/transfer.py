"""One wavefunction for many molecules: preparation, stacking, training of families, evaluation.

Arrays and plain values only: files, printing and plans belong to the studies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from wavefoundry.adapt.orbitals import matching
from wavefoundry.core import tree
from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.programs import once
from wavefoundry.core.types import Process, Run
from wavefoundry.engine import families as engine
from wavefoundry.engine import laplacian
from wavefoundry.engine.sampling import Walkers, equal_weights, over_family
from wavefoundry.engine.vmc import Schedule, local_energies
from wavefoundry.problems import frames
from wavefoundry.problems.electrons import ElectronSystem, electron_system
from wavefoundry.problems.frames import Frame
from wavefoundry.problems.hartree_fock import hartree_fock


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A molecule ready for a network: its system (arrays) and what Hartree-Fock says about it.

    ``compound`` = (n_up, n_down, atoms): prepared molecules with the same compound share compiled programs.
    ``frame``: where the system's nuclei and electrons are, seen from the molecule as given.
    """

    name: str
    system: ElectronSystem
    energy_hf: float  # Ha, STO-6G
    frame: Frame

    def as_given(self, x: np.ndarray) -> tuple[ElectronSystem, np.ndarray]:
        """Nuclei and electrons (..., 3) turned back to where the molecule lies; orbitals are left as they are."""
        nuclei = jnp.asarray(self.frame.back(np.asarray(self.system.positions)))
        return eqx.tree_at(lambda s: s.positions, self.system, nuclei), self.frame.back(x)

    @property
    def compound(self) -> tuple[int, int, int]:
        """(n_up, n_down, atoms)."""
        return self.system.compound


@dataclasses.dataclass(frozen=True)
class Stack:
    """Molecules grouped by compound: one family (leading axis R) per compound, in order of first appearance.

    ``places[g][r]`` is the position, in the list given to ``stack``, of member r of family g.
    """

    families: tuple[ElectronSystem, ...]
    places: tuple[tuple[int, ...], ...]

    def in_order(self, values: Sequence[Array]) -> np.ndarray:
        """Values of all families, members along the last axis, in the order of the list given to ``stack``."""
        order = np.argsort([place for places in self.places for place in places])
        return np.concatenate([np.asarray(v) for v in values], axis=-1)[..., order]


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Compiled-in settings of training.

    walkers: per molecule. moves: Metropolis moves between steps, with drift or Gaussian. subset: molecules of each
    compound in a step, 0 for all; max_age: in rounds, a molecule not visited for longer is visited next. norm: largest
    norm of the change of all weights in a step. clip: window of local energies in mean absolute deviations. chunk:
    configurations at a time.
    """

    walkers: int = 256
    moves: int = 8
    subset: int = 0
    max_age: float = 1.5
    momentum: float = 0.95
    norm: float = 0.2
    clip: float = 5.0
    drift: bool = False
    chunk: int = 8


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How fresh samples are drawn.

    chains: Markov chains per molecule. samples: per chain. burn_in: rounds of ``moves`` moves before the first sample,
    during which widths adapt. moves: between samples, with drift or Gaussian. chunk: configurations at a time.
    """

    chains: int = 256
    samples: int = 80
    burn_in: int = 40
    moves: int = 10
    drift: bool = False
    chunk: int = 8


class Samples(NamedTuple):
    """Samples of one family: leading axes (members R, chains C, samples S)."""

    energies: Float[Array, "R C S"]  # Ha
    terms: Float[Array, "R C S 4"]  # kinetic, electron-nucleus, electron-electron, nucleus-nucleus
    x: Float[Array, "R C S n 3"]  # bohr
    acceptance: Float[Array, " R"]
    far: Float[Array, " R"]  # share of samples with an electron farther than 20 bohr from every nucleus


def prepare(
    molecule: Molecule, *, method: laplacian.Method = "folx", electrons_per_move: int = 0, turn: bool = True
) -> Prepared:
    """Hartree-Fock, localisation, descriptors (PySCF, silent).

    Args:
        molecule: nuclei, charge and spin.
        method: of the Laplacian, see ``engine.laplacian``.
        electrons_per_move: of a Metropolis move; 0: all.
        turn: put it in its principal frame, so that rotated and mirrored copies are the same to the network.

    Raises:
        InputError: unsupported element, impossible spin, or Hartree-Fock that does not converge.
    """
    given_at, charges = np.asarray(molecule.positions, float), np.asarray(molecule.charges)
    frame = frames.principal(charges, given_at) if turn else frames.given(given_at)
    positions = frames.placed(frame, given_at) if turn else given_at
    symbols = [molecule.symbols[k] for k in frame.order]
    orbitals = hartree_fock(symbols, positions, charge=molecule.charge, spin=molecule.spin)
    system = electron_system(
        orbitals,
        charges[list(frame.order)],
        positions,
        laplacian.METHODS[method],
        electrons_per_move=electrons_per_move,
    )
    return Prepared(molecule.name, system, orbitals.energy, frame)


def stack(molecules: Sequence[Prepared]) -> Stack:
    """Group molecules by compound."""
    groups: dict[Any, list[int]] = {}
    for place, prepared in enumerate(molecules):
        groups.setdefault((prepared.compound, prepared.system.derivatives), []).append(place)
    families = tuple(tree.stack([molecules[p].system for p in places]) for places in groups.values())
    return Stack(families, tuple(map(tuple, groups.values())))


def schedule(
    steps: int,
    *,
    first: int = 0,
    total: int = 0,
    learning_rate: float = 0.05,
    decay: float = 300.0,
    shift: float = 1e-3,
    tail: float = 0.3,
) -> Schedule:
    """Learning rate and damping of the steps first, first + 1, ..., first + steps - 1.

    The rate is lr / (1 + t / decay); where the ``total`` number of steps of the training is given, it falls linearly to
    zero over the last ``tail`` of them, which averages the noise of the samples out. The damping is constant.
    """
    t = first + np.arange(steps)
    rate = learning_rate / (1 + t / decay)
    if total:
        rate = rate * np.clip((total - t) / max(tail * total, 1.0), 0.0, 1.0)
    return Schedule(jnp.asarray(rate), jnp.asarray(np.full(steps, shift, float)))


def pretraining(static: PyTree, options: TrainOptions) -> Process:
    """Matching of Hartree-Fock orbitals, see ``adapt.orbitals.matching``: ``init(key, params, families, chains)``."""
    return matching(static, engine.Moves(options.moves, 4 * options.chunk))


def training(static: PyTree, trainable: PyTree, options: TrainOptions) -> Process:
    """Natural gradient with all molecules in every step, see ``engine.families.stacked``.

    ``init(key, params, families, chains, walkers=None) -> Run`` (walkers: ``run.sampler`` of a pre-training),
    ``step(run, families, learning_rate, shift) -> (Run, Info)``.
    """
    settings = engine.Options(
        moves=options.moves,
        subset=options.subset,
        max_age=options.max_age,
        momentum=options.momentum,
        norm=options.norm,
        clip=options.clip,
        drift=options.drift,
        chunk=options.chunk,
    )
    return engine.stacked(static, trainable, settings)


@once
def pretraining_block(process: Process) -> Any:
    """``block(run, families, learning_rates) -> (Run, losses)``: one compiled loop; axis 0 = steps."""

    @jax.jit
    @on_devices
    def block(run: Run, families: Any, learning_rates: Array) -> tuple[Run, Array]:
        return jax.lax.scan(lambda r, lr: process.step(r, families, lr), run, learning_rates)

    return block


@once
def training_block(process: Process) -> Any:
    """``block(run, families, schedule) -> (Run, Info)``: one compiled loop; axis 0 = steps."""

    @jax.jit
    @on_devices
    def block(run: Run, families: Any, plan: Schedule) -> tuple[Run, engine.Info]:
        return jax.lax.scan(lambda r, s: process.step(r, families, s.learning_rate, s.shift), run, plan)

    return block


@eqx.filter_jit
@on_devices
def _advance(wavefunction: Any, family: ElectronSystem, walkers: Walkers, moves: engine.Moves, rounds: int) -> Walkers:
    """Burn-in: ``rounds`` times ``moves``, the widths adapting."""
    return jax.lax.fori_loop(0, rounds, lambda _, w: engine.sample(wavefunction, family, w, moves), walkers)


@eqx.filter_jit
@on_devices
def _collect(
    wavefunction: Any, family: ElectronSystem, walkers: Walkers, moves: engine.Moves, samples: int
) -> tuple[Walkers, Any]:
    """Samples with local energies, ``moves`` apart; widths stay as they are."""

    def one(w: Walkers, _: None) -> tuple[Walkers, Any]:
        w = moves(wavefunction, family, w)
        terms = local_energies(wavefunction, family, equal_weights(w.x), moves.chunk // 4)
        return w, (terms, w.x, w.acceptance)

    return jax.lax.scan(one, walkers, None, length=samples)


def evaluate(
    wavefunction: Any,
    family: ElectronSystem,
    key: PRNGKeyArray,
    how: Sampling,
    walkers: Walkers | None = None,
) -> tuple[Samples, Walkers]:
    """Samples of |psi|^2 for every member with their local energies.

    Args:
        wavefunction: the network. family: one family of a ``Stack``. key: random key. how: how many, and how.
        walkers: where to go on; None: new ones from the atoms.
    """
    if walkers is None:
        (walkers,) = engine.start(key, (family,), how.chains)
    moves = engine.Moves(how.moves, 4 * how.chunk, how.drift)
    walkers = _advance(wavefunction, family, walkers, moves, how.burn_in)
    walkers, (terms, x, acceptance) = _collect(wavefunction, family, walkers, moves, how.samples)
    terms, x = jnp.moveaxis(terms, 0, 2), jnp.moveaxis(x, 0, 2)  # (R, C, S, ...)
    return Samples(jnp.sum(terms, axis=-1), terms, x, jnp.mean(acceptance, axis=0), far_away(family, x)), walkers


def reconsidered(
    wavefunction: Any, one: Prepared, other: Prepared, x: np.ndarray, y: np.ndarray, chunk: int
) -> tuple[np.ndarray, np.ndarray]:
    """Samples of one molecule seen as samples of another: log |psi_other(y) / psi_one(x)|, and energies of the other.

    Args:
        wavefunction: the network. one, other: with the same compound. x, y: (chains, samples, n, 3) of either.
        chunk: configurations at a time.

    Returns:
        Both (chains, samples).
    """
    first, second = (stack([prepared]).families[0] for prepared in (one, other))
    here, there = (jnp.asarray(points).reshape(1, -1, *points.shape[2:]) for points in (x, y))
    ratio, energies = _reconsidered(wavefunction, first, second, here, there, chunk)
    return np.asarray(ratio, float).reshape(x.shape[:2]), np.asarray(energies, float).reshape(x.shape[:2])


@eqx.filter_jit
@on_devices
def _reconsidered(
    wavefunction: Any, first: ElectronSystem, second: ElectronSystem, x: Array, y: Array, chunk: int
) -> tuple[Array, Array]:
    def log_abs(system: ElectronSystem, points: Array) -> Array:
        features = wavefunction.bind(system)
        return mapped(lambda r: wavefunction.head(features(r)).log.astype(float), points, chunk)

    ratio = over_family(log_abs, second, y) - over_family(log_abs, first, x)
    return ratio, jnp.sum(local_energies(wavefunction, second, equal_weights(y), chunk), axis=-1)


def far_away(family: ElectronSystem, x: Float[Array, "R C S n 3"], limit: float = 20.0) -> Float[Array, " R"]:
    """Share of samples with an electron farther than ``limit`` bohr from every nucleus: a walker that ran away."""

    def one(positions: Array, xs: Array) -> Array:
        nearest = jnp.min(jnp.linalg.norm(xs[..., None, :] - positions, axis=-1), axis=-1)
        return jnp.mean(jnp.any(nearest > limit, axis=-1))

    return jax.vmap(one)(family.positions, x)
