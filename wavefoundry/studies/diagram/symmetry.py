"""Networks made symmetric under the group of their Hamiltonian, from the start or from adaptation on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.errors import InputError
from wavefoundry.core.types import Local, Psi, Wavefunction
from wavefoundry.models.projection import Images, averaged, projected
from wavefoundry.problems.groups import Group, characters, dimensions, right_cosets, sign_ratio, symmetry_group
from wavefoundry.problems.spins import LatticeSystem

SAME = 3e-5
"""Relative differences of log psi up to which single precision tells nothing apart."""


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
    held = dimensions(group, all_of_them, system)
    possible = [c for c in possible if held is None or held[c] > 0]
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
    require_images(len(found.images), found.group, wanted.parts)
    number = int(found.numbers[0]) if wanted.sector is None else wanted.sector
    try:
        place = place_of(found, number)
    except InputError as error:
        raise error.at("models.symmetric: sector") from None
    return projected(wavefunction, found.projection(place))


def place_of(found: Sectors, number: int) -> int:
    """Where a sector stands among those that are possible."""
    places = np.flatnonzero(found.numbers == number)
    if len(places):
        return int(places[0])
    raise InputError(
        f"the network cannot be in sector {number}",
        where="adapt.sector",
        why="there is none, it is empty, or shifts that leave the network alone change sign there",
        fix=f"one of {', '.join(map(str, sorted(found.numbers)))}, or a larger patch",
    )


def _invariant(wavefunction: Wavefunction, system: LatticeSystem, parts: Sequence[str]) -> Images:
    """Images for averages of features: symmetries that keep the sign rule up to a constant."""
    group = symmetry_group(system, parts)
    rule = None if system.sublattice is None else np.asarray(system.sublattice, bool)
    kept = np.flatnonzero(sign_ratio(group, rule, system) != 0)
    group = Group(group.permutations[kept], group.flips[kept], group.shifts[kept])
    images = right_cosets(group, _own(wavefunction, system, group))
    require_images(len(images), group, parts)
    return Images(group.permutations[images], group.flips[images])


def require_images(images: int, group: Group, parts: Sequence[str]) -> None:
    """Refuse a symmetry that is none, or that the network has already: one image is the configuration itself."""
    if len(group) < 2:
        raise InputError(
            f"the Hamiltonian has no symmetry of {', '.join(parts)}",
            where="symmetry",
            why="every term counts, also those whose coupling is zero here; open edges and fields break some",
            fix="leave the key out, or name symmetries that it has",
        )
    if images < 2:
        raise InputError(
            "there is no symmetry that the network does not have already",
            where="symmetry",
            why=f"of {', '.join(parts)}, what the Hamiltonian has the network has by construction",
            fix="leave the key out",
        )


@eqx.filter_jit
def _amplitudes(wavefunction: Wavefunction, system: LatticeSystem, xs: Array) -> Psi:
    return jax.lax.map(lambda x: wavefunction(system, x), xs, batch_size=64)


def _own(wavefunction: Wavefunction, system: LatticeSystem, group: Group) -> Bool[np.ndarray, " G"]:
    """Elements that a network is invariant under by construction, in the basis of the sign rule.

    Seen on random configurations: what weights alone could give is not equal to rounding. In double precision, since
    a trained state is far from its samples on most of them: rounding of large logarithms would hide some elements.
    """
    wavefunction = jax.tree.map(lambda a: a.astype(jnp.float64) if eqx.is_inexact_array(a) else a, wavefunction)
    xs = jax.vmap(system.init)(jax.random.split(jax.random.key(11), 32))
    images = jnp.asarray(group(np.asarray(xs)), jnp.int8)
    found = _amplitudes(wavefunction, system, images.reshape(-1, images.shape[-1]))
    log, phase = (np.asarray(part, float).reshape(images.shape[:2]) for part in found)
    apart = np.abs(log - log[:, :1]) + np.abs(np.exp(1j * (phase - phase[:, :1])) - 1)
    return np.all(apart <= SAME * (1 + np.abs(log[:, :1])), axis=0)


class SectorSamples(NamedTuple):
    """What samples of a state say about its sectors, one row each: what all energies of its projections follow from.

    local: real part of conj(P psi) H_k P psi over the density of the samples, by sector and term. norm: |P psi|^2 over
    that density, at most 1; its mean is the weight of the sector.
    """

    local: Float[np.ndarray, "M C terms"]
    norm: Float[np.ndarray, "M C"]

    @property
    def weight(self) -> Float[np.ndarray, " C"]:
        """Of every sector in the state."""
        return self.norm.mean(axis=0)

    @property
    def terms(self) -> Float[np.ndarray, "C terms"]:
        """Expectation values of all terms in the projections."""
        return self.local.sum(axis=0) / self._total[:, None]

    @property
    def _total(self) -> Float[np.ndarray, " C"]:
        return np.maximum(self.norm.sum(axis=0), 1e-300)

    def residuals(self) -> Float[np.ndarray, "M C terms"]:
        """What every sample adds to the terms: sums of squares and products are their covariances."""
        return (self.local - self.terms * self.norm[..., None]) / self._total[:, None]

    def energies(self, couplings: Float[np.ndarray, " terms"]) -> tuple[np.ndarray, np.ndarray]:
        """Energies of the projections at any couplings, and their covariance: (C,), (C, C)."""
        rows = self.residuals() @ couplings
        return self.terms @ couplings, rows.T @ rows


def sector_samples(
    wavefunction: Wavefunction,
    system: LatticeSystem,
    found: Sectors,
    xs: Int[Array, "M sites"],
    *,
    seed: int = 0,
    chunk: int = 64,
) -> SectorSamples:
    """Weights and terms of all sectors in a state, from its samples: the images' amplitudes serve all of them.

    Every sample is replaced by a random image of it. These have the density mean_g |psi(g x)|^2, which is never below
    |(P psi)(x)|^2: all ratios are bounded by one, however little symmetry the state has. Samples of |psi|^2 alone would
    miss where a projection of it is large.

    Args:
        wavefunction: the network as it is. system: of its family, at any couplings. found: its sectors.
        xs: samples of |psi|^2. seed: of the random images. chunk: configurations evaluated at a time.
    """
    weights = jnp.asarray(np.conj(found.characters)) / len(found.images)
    group, draw = found.group, np.random.default_rng(seed)
    chosen = draw.integers(len(group.permutations), size=len(xs))
    turned = np.take_along_axis(np.asarray(xs), group.permutations[chosen], axis=1)
    turned = np.where(group.flips[chosen][:, None], -turned, turned).astype(np.asarray(xs).dtype)
    seen = _by_sector(wavefunction, system, found.projection(0), weights, jnp.asarray(turned), chunk)
    return SectorSamples(*(np.asarray(part) for part in seen))


@eqx.filter_jit
@on_devices
def _by_sector(
    wavefunction: Wavefunction, system: LatticeSystem, images: Images, weights: Array, xs: Array, chunk: int
) -> tuple[Array, Array]:
    """Of every sample: weight times local value of every term in its projection (M, C, terms), and weight (M, C)."""
    count = len(images)

    def summands(x: Array) -> Array:
        """Log and phase of all images side by side, (2 R,)."""
        seen = images.of(x)
        psi = jax.vmap(lambda y: wavefunction(system, y))(seen)
        negative = jnp.where(images.signs(x, seen) < 0, jnp.pi, 0.0)
        return jnp.concatenate([psi.log.astype(jnp.float64), psi.phase.astype(jnp.float64) + negative])

    def projections(psi: Array, root: Array) -> Array:
        return weights @ (jnp.exp(psi[:count] - root) * jnp.exp(1j * psi[count:]))

    def one(local: Local) -> tuple[Array, Array]:
        root = 0.5 * (jax.nn.logsumexp(2 * local.z[:count]) - np.log(count))  # of the density
        at = projections(local.z, root)
        there = jax.vmap(lambda psi: projections(psi, root))(local.z_conn)
        there = jnp.where(jnp.any(local.mels != 0, axis=1)[:, None], there, 0.0)
        acted = at[:, None] * local.diagonal + there.T @ local.mels.astype(there.dtype)
        return jnp.real(jnp.conj(at)[:, None] * acted), jnp.abs(at) ** 2

    return mapped(one, system.expand_batch(summands, xs, chunk), 64)
