"""Networks made symmetric under the group of their Hamiltonian, from the start or from adaptation on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.errors import InputError
from wavefoundry.core.types import Psi, Wavefunction
from wavefoundry.models.projection import Images, averaged, projected
from wavefoundry.problems.groups import Group, characters, right_cosets, sign_ratio, symmetry_group
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.symmetry import shift
from wavefoundry.studies.diagram.base import Base

SAME = 3e-5
"""Relative differences of log psi up to which single precision tells nothing apart."""
FIRST = 256
"""Samples that a sector is chosen by, all of them only where these do not decide: all images of all neighbours cost."""
LEAST = 0.02
"""Weight of a sector in a state from which on it is a candidate."""


class Symmetry(NamedTuple):
    """What a state is made symmetric under.

    parts: of the group, as in ``problems.groups``. form: "amplitude" (projected) or "features" (averaged).
    sector: place of the sector among all of the group; None: to be chosen.
    """

    parts: tuple[str, ...]
    form: str = "amplitude"
    sector: int | None = None


class Sectors(NamedTuple):
    """The sectors that a network can be projected on, and the images it takes.

    group: of the Hamiltonian. images: elements of it that the network has to see, the identity first. numbers: places
    of the sectors among all one-dimensional ones. characters: of the images, signs of a sign rule included where they
    are the same for all x. sublattice: the sign rule where they are not.
    """

    group: Group
    images: Int[np.ndarray, " R"]
    numbers: Int[np.ndarray, " C"]
    characters: Complex[np.ndarray, "C R"]
    sublattice: Bool[np.ndarray, " sites"] | None

    def projection(self, place: int) -> Images:
        """What projects on one of them."""
        chosen = self.images
        rows, flips = self.group.permutations[chosen], self.group.flips[chosen]
        return Images(rows, flips, self.characters[place], self.sublattice)


def sectors_of(wavefunction: Wavefunction, system: LatticeSystem, parts: Sequence[str]) -> Sectors:
    """The sectors of a Hamiltonian that a network can be projected on; first the one that its sign rule stands for.

    Symmetries that the network has by construction are not summed over: their characters are what they are.
    """
    group = symmetry_group(system, parts)
    rule = None if system.sublattice is None else np.asarray(system.sublattice, bool)
    ratio = sign_ratio(group, rule, system)
    inside = _own(wavefunction, system, group) & (ratio != 0)
    all_of_them = characters(group)
    fixed = np.where(ratio == 0, 1, ratio)
    possible = [c for c, row in enumerate(all_of_them) if np.allclose(row[inside], fixed[inside])]
    # the sign rule alone makes positive states: they lie in the sector where all signs are its own
    possible.sort(key=lambda c: (not np.allclose(all_of_them[c][ratio != 0], ratio[ratio != 0]), c))
    images = right_cosets(group, inside)
    varying = bool((ratio == 0).any())
    rows = all_of_them[np.array(possible)][:, images]
    return Sectors(
        group, images, np.array(possible), rows if varying else rows * fixed[images], rule if varying else None
    )


def symmetrised(wavefunction: Wavefunction, system: LatticeSystem, wanted: Symmetry) -> Wavefunction:
    """A network with a symmetry; without a sector, in the one that the sign rule stands for.

    Raises:
        InputError: there is nothing to be symmetric under, or the network cannot be in that sector.
    """
    if wanted.form == "features":
        return averaged(wavefunction, _invariant(wavefunction, system, wanted.parts))
    found = sectors_of(wavefunction, system, wanted.parts)
    _require(len(found.images), wanted.parts)
    number = int(found.numbers[0]) if wanted.sector is None else wanted.sector
    return projected(wavefunction, found.projection(_place(found, number)))


def _place(found: Sectors, number: int) -> int:
    """Where a sector stands among those that are possible."""
    places = np.flatnonzero(found.numbers == number)
    if len(places):
        return int(places[0])
    raise InputError(
        f"the network cannot be in sector {number}",
        where="sector",
        why="there is no such sector, or the network is invariant by construction under shifts that change sign there",
        fix=f"one of {', '.join(map(str, sorted(found.numbers)))}, or a larger patch",
    )


def _invariant(wavefunction: Wavefunction, system: LatticeSystem, parts: Sequence[str]) -> Images:
    """Images for averages of features: symmetries that keep the sign rule up to a constant."""
    group = symmetry_group(system, parts)
    rule = None if system.sublattice is None else np.asarray(system.sublattice, bool)
    kept = np.flatnonzero(sign_ratio(group, rule, system) != 0)
    group = Group(group.permutations[kept], group.flips[kept], group.shifts[kept])
    images = right_cosets(group, _own(wavefunction, system, group))
    _require(len(images), parts)
    return Images(group.permutations[images], group.flips[images])


def _require(images: int, parts: Sequence[str]) -> None:
    if images < 2:
        raise InputError(
            "there is no symmetry that the network does not have already",
            where="symmetry",
            why=f"of {', '.join(parts)}, what the Hamiltonian has the network has by construction",
            fix="leave the key out",
        )


def _own(wavefunction: Wavefunction, system: LatticeSystem, group: Group) -> Bool[np.ndarray, " G"]:
    """Elements that a network is invariant under by construction, in the basis of the sign rule.

    Seen on random configurations: what weights alone could give is not equal to rounding. In double precision, since
    a trained state is far from its samples on most of them: rounding of large logarithms would hide some elements.
    """
    wavefunction = jax.tree.map(lambda a: a.astype(jnp.float64) if eqx.is_inexact_array(a) else a, wavefunction)
    xs = jax.vmap(system.init)(jax.random.split(jax.random.key(11), 32))
    images = jnp.asarray(group(np.asarray(xs)), jnp.int8)
    found = jax.jit(lambda xs: jax.lax.map(lambda x: wavefunction(system, x), xs, batch_size=64))(
        images.reshape(-1, images.shape[-1])
    )
    log, phase = (np.asarray(part, float).reshape(images.shape[:2]) for part in found)
    apart = np.abs(log - log[:, :1]) + np.abs(np.exp(1j * (phase - phase[:, :1])) - 1)
    return np.all(apart <= SAME * (1 + np.abs(log[:, :1])), axis=0)


class SectorEnergies(NamedTuple):
    """What a state says about its sectors: weight of each, energy of its projection and its error; axis C."""

    weight: Float[np.ndarray, " C"]
    energy: Float[np.ndarray, " C"]
    error: Float[np.ndarray, " C"]


def sector_energies(
    wavefunction: Wavefunction, system: LatticeSystem, found: Sectors, xs: Int[Array, "M sites"], chunk: int = 8
) -> SectorEnergies:
    """Weights and energies of all sectors in a state, from its samples: the images' amplitudes serve all of them.

    Every sample is replaced by a random image of it. These have the density mean_g |psi(g x)|^2, which is never below
    |(P psi)(x)|^2: all ratios are bounded by one, however little symmetry the state has. Samples of |psi|^2 alone would
    miss where a projection of it is large.

    Args:
        wavefunction: the network as it is. system: at its couplings. found: its sectors. xs: samples of |psi|^2.
        chunk: samples evaluated at a time.
    """
    weights = jnp.asarray(np.conj(found.characters)) / len(found.images)
    group, draw = found.group, np.random.default_rng(len(xs))
    chosen = draw.integers(len(group.permutations), size=len(xs))
    turned = np.take_along_axis(np.asarray(xs), group.permutations[chosen], axis=1)
    turned = np.where(group.flips[chosen][:, None], -turned, turned).astype(np.asarray(xs).dtype)
    local, norm = (
        np.asarray(a)
        for a in _by_sector(wavefunction, system, found.projection(0), weights, jnp.asarray(turned), chunk)
    )
    total = np.maximum(norm.sum(axis=0), 1e-300)
    energy = local.sum(axis=0) / total
    return SectorEnergies(norm.mean(axis=0), energy, np.linalg.norm(local - energy * norm, axis=0) / total)


@eqx.filter_jit
@on_devices
def _by_sector(
    wavefunction: Wavefunction, system: LatticeSystem, images: Images, weights: Array, xs: Array, chunk: int
) -> tuple[Array, Array]:
    """Of every sample (M, C): weight times local energy of its projection, and weight, which is at most 1."""

    def summands(x: Array) -> Psi:
        seen = images.of(x)
        psi = jax.vmap(lambda y: wavefunction(system, y))(seen)
        negative = jnp.where(images.signs(x, seen) < 0, jnp.pi, 0.0)
        return Psi(psi.log.astype(jnp.float64), psi.phase.astype(jnp.float64) + negative)

    def projections(psi: Psi, root: Array) -> Array:
        return weights @ (jnp.exp(psi.log - root) * jnp.exp(1j * psi.phase))

    def one(x: Array) -> tuple[Array, Array]:
        conn, here = system.connected(x), summands(x)
        mels = conn.mels @ system.couplings
        root = 0.5 * (jax.nn.logsumexp(2 * here.log) - np.log(len(images)))  # of the density
        at = projections(here, root)
        # slots without an element may hold configurations outside the sector
        there = jax.vmap(lambda y: projections(summands(y), root))(conn.x)
        acted = (conn.diagonal @ system.couplings) * at + jnp.where(mels != 0, mels, 0.0) @ jnp.where(
            (mels != 0)[:, None], there, 0.0
        )
        return jnp.real(jnp.conj(at) * acted), jnp.abs(at) ** 2

    return mapped(one, xs, chunk)


def sector_of(base: Base, adapt: AdaptTable) -> dict[str, Any]:
    """The sector that a trained state is to be projected on.

    The one asked for, or the one whose projection has the lowest energy among those that weigh something in it.

    Returns:
        What is kept of the choice: parts of the group, images, sector, and the candidates with weight and energy.

    Raises:
        InputError: there is nothing to project on, or the network cannot be in the sector asked for.
    """
    found = sectors_of(base.wavefunction, base.system, adapt.symmetry)
    _require(len(found.images), adapt.symmetry)
    asked = adapt.sector if isinstance(adapt.sector, int) else None
    if asked is not None:
        _place(found, asked)
    listed = _candidates(base, found, base.x[:FIRST])
    lowest = min(listed, key=lambda one: one["energy"])
    if asked is None and len(base.x) > FIRST and any(_close(one, lowest) for one in listed):
        listed = _candidates(base, found, base.x)
        lowest = min(listed, key=lambda one: one["energy"])
    chosen = lowest["sector"] if asked is None else asked
    return {"parts": list(adapt.symmetry), "images": len(found.images), "sector": chosen, "candidates": listed}


def _candidates(base: Base, found: Sectors, xs: Int[Array, "M sites"]) -> list[dict[str, Any]]:
    """The sectors that weigh something in a trained state, as they are kept."""
    seen = sector_energies(base.wavefunction, base.system, found, xs)
    heavy = np.flatnonzero((seen.weight >= LEAST) & np.isfinite(seen.energy))
    return [
        {
            "sector": int(found.numbers[c]),
            "weight": float(seen.weight[c]),
            "energy": float(seen.energy[c]),
            "energy_error": float(seen.error[c]),
        }
        | described(found, c, base.system.extent)
        for c in (heavy.tolist() or [0])
    ]


def in_sector(base: Base, chosen: dict[str, Any]) -> Base:
    """A trained state projected on the sector that ``sector_of`` chose."""
    wanted = Symmetry(tuple(chosen["parts"]), "amplitude", chosen["sector"])
    return dataclasses.replace(base, wavefunction=symmetrised(base.wavefunction, base.system, wanted))


def sector_words(chosen: dict[str, Any]) -> str:
    """The choice of a sector as one line of the log, with the sectors that might as well be the lowest."""
    mine = [one for one in chosen["candidates"] if one["sector"] == chosen["sector"]]
    words = f"projected on sector {chosen['sector']} by {chosen['images']} images"
    if not mine:
        return words
    words += f", {100 * mine[0]['weight']:.0f} % of the pre-trained state"
    close = [str(one["sector"]) for one in chosen["candidates"] if _close(one, mine[0])]
    if not close:
        return words
    return f"{words}; {', '.join(close)} might lie lower, the samples cannot tell: [adapt] sector tries one"


def _close(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether another sector is not two error bars higher."""
    if one["sector"] == other["sector"]:
        return False
    return one["energy"] - other["energy"] < 2 * math.hypot(one["energy_error"], other["energy_error"])


def described(found: Sectors, place: int, extent: tuple[int, ...]) -> dict[str, Any]:
    """A sector in the field's terms: momentum along each axis, in units of pi per cell, and parity under the flip."""
    group, row = found.group, characters(found.group)[found.numbers[place]]
    where = {permutation.tobytes(): g for g, permutation in enumerate(group.permutations) if group.shifts[g]}
    words: dict[str, Any] = {}
    momentum = []
    for axis, edge in enumerate(extent):
        steps = [shift(extent, axis, step) for step in range(1, edge)]
        here = [where[one.tobytes()] for one in steps if one is not None and one.tobytes() in where]
        momentum += [float(np.round(np.angle(row[here[0]]) / np.pi, 6))] if here else []
    if momentum:
        words["momentum"] = momentum
    sites = np.arange(group.permutations.shape[1])
    turned = [g for g in np.flatnonzero(group.flips) if np.array_equal(group.permutations[g], sites)]
    if turned:
        words["spin_flip"] = int(np.round(row[turned[0]].real))
    return words
