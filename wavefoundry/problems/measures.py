"""Estimators of observables: diagonal ones, local values of operators, and the swap of two copies.

What is found here for a system is what ``core.observables`` names; the exact values belong to the same estimators.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from wavefoundry.core.lattices import LATTICES, Lattice, plain
from wavefoundry.problems.local_values import applied, operators_of
from wavefoundry.problems.strings import Strings, from_letters

if TYPE_CHECKING:
    from wavefoundry.problems.spins import LatticeSystem


class Diagonal(NamedTuple):
    """Means over configurations: one(x) gives (names,).

    peak: only the largest is reported, under this name, together with its own name.
    """

    names: list[str]
    one: Callable[[Array], Float[Array, " names"]]
    peak: str = ""


class Local(NamedTuple):
    """Means of combine((O psi)(x) / psi(x)), complex values (T,) to real ones (names,), over |psi|^2.

    order 1: ``combine`` is linear. 2: it is quadratic, then the mean is that of products <psi|O_s O_t|psi>.
    """

    names: list[str]
    terms: list[Strings]
    combine: Callable[[Array], Float[Array, " names"]]
    order: int


class Swap(NamedTuple):
    """Renyi-2 entropy -log Tr rho_A^2 from two independent copies x, y that exchange their spins on A."""

    names: list[str]
    region: Bool[np.ndarray, " sites"]


Measure = Diagonal | Local | Swap


def momenta(system: LatticeSystem) -> list[tuple[float, ...]]:
    """Momenta of the structure factor in units of 2 pi along the reciprocal lattice vectors, one of q and -q each."""
    lattice, cells = _lattice(system)
    return [tuple(k / edge for k, edge in zip(q, cells, strict=True)) for q in lattice.wave_numbers(cells)]


def _lattice(system: LatticeSystem) -> tuple[Lattice, tuple[int, ...]]:
    """The lattice of a system, by default the plain one of its edges, and the edges in cells."""
    lattice = LATTICES[system.geometry or plain(system.extent)]
    return lattice, lattice.cells(system.extent)


def _zz(system: LatticeSystem, names: Sequence[str], peak: str = "") -> Diagonal:
    """S_zz(q) = (1/N) |sum_i exp(i q r_i) Z_i|^2 by a transform of the lattice of all positions."""
    lattice, cells = _lattice(system)
    place = tuple(np.array(lattice.places(cells)).T)
    chosen = tuple(np.array(lattice.wave_numbers(cells)).T)
    shape = tuple(edge * lattice.fine for edge in cells)

    def one(x: Array) -> Array:
        grid = jnp.zeros(shape).at[place].set(x.astype(jnp.float64))
        return jnp.abs(jnp.fft.fftn(grid)[chosen]) ** 2 / system.sites

    return Diagonal(list(names), one, peak)


def structure_peak(system: LatticeSystem) -> list[Measure]:
    """The largest S_zz(q)."""
    names = ["q = 2 pi (" + ", ".join(f"{k:.4g}" for k in q) + ")" for q in momenta(system)]
    return [_zz(system, names, "structure_peak")]


def structure(system: LatticeSystem) -> list[Measure]:
    """S_zz(q) in spins Z = +-1, at all momenta."""
    return [_zz(system, [f"structure_zz_{k}" for k in range(len(momenta(system)))])]


def spin_structure(system: LatticeSystem) -> list[Measure]:
    """S(q) = (1/N) sum_ij exp(i q (r_i - r_j)) <S_i . S_j>, at all momenta."""
    pairs = list(itertools.combinations(range(system.sites), 2))
    lattice, cells = _lattice(system)
    places = np.array(lattice.places(cells)) / lattice.fine
    waves = 2 * np.pi * np.array(momenta(system))
    phases = np.cos(waves @ np.array([places[i] - places[j] for i, j in pairs]).T)

    def combine(values: Array) -> Array:
        return 0.75 + 2 / system.sites * (jnp.asarray(phases) @ jnp.real(values))

    names = [f"structure_spin_{k}" for k in range(len(waves))]
    return [Local(names, [spins(system.sites, pair) for pair in pairs], combine, 1)]


def spins(sites: int, pair: tuple[int, int]) -> Strings:
    """The strings of S_i . S_j."""
    return _strings(sites, [({s: letter for s in pair}, 0.25) for letter in "XYZ"])


def _strings(sites: int, parts: Sequence[tuple[dict[int, str], float]]) -> Strings:
    """Strings from letters by site, with weights."""
    letters = np.array([[given.get(site, "I") for site in range(sites)] for given, _ in parts])
    return from_letters(letters, np.array([weight for _, weight in parts]))


def dimer(system: LatticeSystem) -> list[Measure]:
    """D^2 = <((1/N_b) sum_b (-1)^b S_i . S_j)^2> over the bonds b along an axis, and on a periodic chain <D_0 D_r>."""
    extent, grid = system.extent, np.arange(system.sites).reshape(system.extent)
    bonds, signs, axis_of = [], [], []
    for axis, edge in enumerate(extent):
        for place in itertools.product(*map(range, extent)):
            other = list(place)
            other[axis] += 1
            if system.periodic or other[axis] < edge:
                other[axis] %= edge
                bonds.append((int(grid[place]), int(grid[tuple(other)])))
                signs.append(1 - 2 * (place[axis] % 2))
                axis_of.append(axis)
    weights = np.array([np.where(np.array(axis_of) == a, signs, 0) / axis_of.count(a) for a in range(len(extent))])
    names = ["dimer2"] if len(extent) == 1 else ["dimer2_x", "dimer2_y"]
    longest = min(32, extent[0] // 2) if len(extent) == 1 and system.periodic else 0

    def combine(values: Array) -> Array:
        squares = jnp.abs(weights @ values) ** 2
        products = [jnp.mean(jnp.real(jnp.conj(values) * jnp.roll(values, -r))) for r in range(1, longest + 1)]
        return jnp.concatenate([squares, jnp.array(products)])

    names += [f"dimer_correlation_{r}" for r in range(1, longest + 1)]
    return [Local(names, [spins(system.sites, bond) for bond in bonds], combine, 2)]


def chirality(system: LatticeSystem) -> list[Measure]:
    """<((1/N_t) sum_t S_i . (S_j x S_k))^2> over all triangles t, which turn the same way."""
    lattice, cells = _lattice(system)
    trios = lattice.trios(cells, system.periodic)
    terms = [chiral(system.sites, trio) for trio in trios]
    return [Local(["chirality2"], terms, lambda values: jnp.abs(jnp.mean(values, keepdims=True)) ** 2, 2)]


def chiral(sites: int, trio: Sequence[int]) -> Strings:
    """The strings of S_i . (S_j x S_k): six, each with a single Y, so that all elements are imaginary."""
    turns = [("XYZ", 1), ("YZX", 1), ("ZXY", 1), ("XZY", -1), ("ZYX", -1), ("YXZ", -1)]
    return _strings(sites, [(dict(zip(trio, letters, strict=True)), turn / 8) for letters, turn in turns])


def renyi(system: LatticeSystem) -> list[Measure]:
    """Of the first half of the sites: half of a chain, of the rows, or of the columns where the rows are odd.

    Where both are odd there is no half by straight cuts, and the smaller part along the longer edge is taken.
    """
    half = np.zeros(system.extent, bool)
    even = (axis for axis, edge in enumerate(system.extent) if edge % 2 == 0)
    axis = next(even, int(np.argmax(system.extent)))
    half[(slice(None),) * axis + (slice(system.extent[axis] // 2),)] = True
    return [Swap(["renyi2"], half.reshape(-1))]


def exact_of(measure: Measure, vector: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Values in a known state, (names,): sums over all configurations.

    Args:
        vector: normalised amplitudes (D,), of the Hamiltonian as it was given. states: (D, sites).
    """
    import jax

    if isinstance(measure, Swap):
        return np.array([_renyi_of(vector, states, measure.region)])
    if isinstance(measure, Diagonal):
        return np.abs(vector) ** 2 @ np.asarray(jax.lax.map(measure.one, jnp.asarray(states), batch_size=4096))
    images = applied(operators_of(measure.terms), vector, states)
    if measure.order == 2:
        return np.asarray(jax.vmap(measure.combine)(jnp.asarray(images))).sum(axis=0)
    return np.asarray(measure.combine(jnp.asarray(vector.conj() @ images)))


def _renyi_of(vector: np.ndarray, states: np.ndarray, region: np.ndarray) -> float:
    """-log Tr rho_A^2 from the Schmidt values."""
    codes = [(states[:, part] < 0) @ (2 ** np.arange(part.sum(), dtype=np.int64)) for part in (region, ~region)]
    rows, columns = (np.unique(code, return_inverse=True) for code in codes)
    matrix = np.zeros((len(rows[0]), len(columns[0])), vector.dtype)
    matrix[rows[1], columns[1]] = vector
    reduced = matrix @ matrix.conj().T if matrix.shape[0] <= matrix.shape[1] else matrix.conj().T @ matrix
    return float(-np.log(np.sum(np.abs(reduced) ** 2)))
