"""Wavefunctions made symmetric: averaged features, or amplitudes projected on a sector.

Both evaluate the network on the images g x of a configuration. Averaged features keep the head, and with it pools and
head tuning, as they are; a projected amplitude psi_sym(x) = sum_g chi(g)* psi(g x) reaches any one-dimensional sector.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Complex, Float, Int

from wavefoundry.core.devices import mapped
from wavefoundry.core.listing import Listing
from wavefoundry.core.types import Psi, System, Wavefunction
from wavefoundry.models.tables import Amplitudes, Number


class Images:
    """The images g x of a configuration that a network needs to see, and the sign that a sign rule gives them.

    Structure, not data: it is compiled in, never trained, stored or stacked.

    permutations (G, sites), flips (G,): (g x)_i = +-x[permutations[g, i]]. characters (G,): conj(chi(g)) is the weight
    of an image, signs of a sign rule that are the same for all x included. sublattice: sites rotated by the rule where
    sign(x) sign(g x) depends on x; None elsewhere.
    """

    def __init__(
        self,
        permutations: Int[np.ndarray, "G sites"],
        flips: Bool[np.ndarray, " G"],
        characters: Complex[np.ndarray, " G"] | None = None,
        sublattice: Bool[np.ndarray, " sites"] | None = None,
    ):
        self.permutations = np.asarray(permutations, np.int32)
        self.turn = np.where(flips, -1, 1).astype(np.int8)
        phases = np.zeros(len(flips)) if characters is None else -np.angle(characters)
        self.phases = np.where(np.abs(phases) < 1e-12, 0.0, phases)
        self.sublattice = sublattice
        rule = b"" if sublattice is None else np.asarray(sublattice, bool).tobytes()
        parts = (self.permutations, self.turn, self.phases)
        self._identity = (self.permutations.shape, *(part.tobytes() for part in parts), rule)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Images) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __len__(self) -> int:
        return len(self.turn)

    @property
    def positive(self) -> bool:
        """Whether all images count with weight +1."""
        return not self.phases.any() and self.sublattice is None

    def of(self, x: Int[Array, " sites"]) -> Int[Array, "G sites"]:
        """All images of a configuration."""
        return x[self.permutations] * jnp.asarray(self.turn, x.dtype)[:, None]

    def signs(self, x: Int[Array, " sites"], images: Int[Array, "G sites"]) -> Float[Array, " G"]:
        """sign(x) sign(g x) of the sign rule."""
        if self.sublattice is None:
            return jnp.ones(len(self))
        turned = jnp.sum(self.sublattice & (images != x), axis=-1)  # spins that differ change the parity
        return 1.0 - 2.0 * (turned % 2)


class AveragedBackbone(eqx.Module):
    """z_sym(x) = mean_g z(g x): every amplitude made of it is invariant, whatever the head."""

    backbone: Any
    images: Images = eqx.field(static=True)

    def __call__(self, condition: Float[Array, " c"] | None, x: Array) -> Float[Array, " d"]:
        """Averaged features of one configuration."""
        return jnp.mean(jax.vmap(lambda y: self.backbone(condition, y))(self.images.of(x)), axis=0)


class ImagesBackbone(eqx.Module):
    """Features of all images side by side, each with its sign: (G (d + 1),)."""

    backbone: Any
    images: Images = eqx.field(static=True)

    def __call__(self, condition: Float[Array, " c"] | None, x: Array) -> Float[Array, " G*(d+1)"]:
        """Features and signs of the images of one configuration."""
        images = self.images.of(x)
        z = jax.vmap(lambda y: self.backbone(condition, y))(images)
        return jnp.concatenate([z, self.images.signs(x, images)[:, None].astype(z.dtype)], axis=1).reshape(-1)


class ProjectedHead(eqx.Module):
    """From the features of all images to the projected amplitude: the head for each of them, then their sum."""

    head: Any
    images: Images = eqx.field(static=True)

    @property
    def real(self) -> bool:
        """Whether all summands, and so the amplitude, are positive."""
        return self.head.real and self.images.positive

    def weights(self) -> Float[Array, "width+1 hidden"]:
        """Those of the one head that all images share."""
        return self.head.weights()

    def with_weights(self, weights: Float[Array, "width+1 hidden"]) -> ProjectedHead:
        """The same with other weights."""
        return ProjectedHead(self.head.with_weights(weights), self.images)

    def __call__(self, z: Float[Array, " G*(d+1)"]) -> Psi:
        """Amplitude of the projected state."""
        rows = z.reshape(len(self.images), -1)
        return self.joined(jax.vmap(self.head)(rows[:, :-1]), rows[:, -1] < 0)

    def joined(self, each: Psi, negative: Bool[Array, " G"]) -> Psi:
        """The sum over images, in float64: its summands may nearly cancel.

        Args:
            each: amplitudes of the images, axes (G,). negative: where the sign rule turns their sign.
        """
        log = each.log.astype(jnp.float64)
        phase = each.phase.astype(jnp.float64) + self.images.phases + jnp.where(negative, jnp.pi, 0.0)
        most = jax.lax.stop_gradient(jnp.max(log))
        size = jnp.exp(log - most)
        if self.real:
            total = jnp.log(jnp.mean(size)) + most
            return Psi(total, jnp.zeros_like(total))
        re, im = jnp.mean(size * jnp.cos(phase)), jnp.mean(size * jnp.sin(phase))
        # where everything cancels the amplitude is zero as near as can be said, and flat
        square = re * re + im * im + 1e-60
        return Psi(0.5 * jnp.log(square) + most, jnp.arctan2(im, jnp.where((re == 0) & (im == 0), 1.0, re)))


class ListedHead(eqx.Module):
    """A head with the features of all configurations, and of each the places and signs of its images."""

    head: ProjectedHead
    z: Float[Array, "D d"]
    images: Int[Array, "D G"]
    negative: Bool[Array, "D G"]
    chunk: int = eqx.field(static=True)

    @property
    def real(self) -> bool:
        """Whether all amplitudes are positive."""
        return self.head.real

    def weights(self) -> Float[Array, "width+1 hidden"]:
        """Those of the one head that all images share."""
        return self.head.weights()

    def with_weights(self, weights: Float[Array, "width+1 hidden"]) -> ListedHead:
        """The same with other weights."""
        return eqx.tree_at(lambda h: h.head, self, self.head.with_weights(weights))

    def __call__(self, z: Float[Array, " 1"]) -> Psi:
        """Amplitude of one configuration from its place, by the features of its images."""
        i = z[0].astype(jnp.int32)
        return self.head.joined(jax.vmap(self.head.head)(self.z[self.images[i]]), self.negative[i])

    def ready(self) -> Amplitudes:
        """All amplitudes at once: the head is asked once for each configuration."""
        each = mapped(self.head.head, self.z, self.chunk)
        found = mapped(
            lambda row: self.head.joined(jax.tree.map(lambda a: a[row[0]], each), row[1]),
            (self.images, self.negative),
            self.chunk,
        )
        return Amplitudes(found.log, found.phase, self.real)


class AmplitudeBackbone(eqx.Module):
    """A whole wavefunction as backbone: its features are the amplitude, (log |psi|, phase)."""

    backbone: Any
    head: Any

    def __call__(self, condition: Float[Array, " c"] | None, x: Array) -> Float[Array, " 2"]:
        """Amplitude of one configuration."""
        return jnp.stack(self.head(self.backbone(condition, x)))


class Amplitude(eqx.Module):
    """The head that goes with it."""

    real: bool = eqx.field(static=True)

    def __call__(self, z: Float[Array, " 2"]) -> Psi:
        """What the backbone gave, as it is."""
        return Psi(z[0], z[1])


class Projected(Wavefunction):
    """A wavefunction projected on a sector: ``ImagesBackbone`` and ``ProjectedHead``.

    The features of all images are what pools keep for head tuning. Elsewhere the sum over images is taken at once.
    """

    def without_features(self) -> Wavefunction:
        """The whole amplitude as features: two numbers of every configuration are held."""
        return Wavefunction(AmplitudeBackbone(self.backbone, self.head), Amplitude(self.real), self.conditioned)

    def of_all(self, system: System, states: Int[Array, "D sites"], chunk: int) -> Psi:
        """Amplitudes of all configurations: every image is one of them, so the network is asked once for each."""
        found = listed(self, system, states, chunk).head.ready()  # type: ignore[attr-defined]
        return Psi(found.log, found.phase)


def listed(wavefunction: Wavefunction, system: System, states: Int[Array, "D sites"], chunk: int) -> Wavefunction:
    """The same state with the features of all configurations at hand; its head is tuned as any other.

    Args:
        system: what the network is conditioned on. states: all configurations. chunk: evaluated at a time.
    """
    network, listing = plain(wavefunction), Listing.of(states)
    images: Images = wavefunction.head.images  # type: ignore[attr-defined]
    z = mapped(lambda x: network.features(system, x), states, chunk)

    def places(x: Array) -> tuple[Array, Array]:
        own = images.of(x)
        return listing.places(own), images.signs(x, own) < 0

    found, negative = mapped(places, states, chunk)
    head = ListedHead(wavefunction.head, z, found, negative, chunk)  # type: ignore[arg-type]
    return Wavefunction(Number(listing, z.dtype), head)


def averaged(wavefunction: Wavefunction, images: Images) -> Wavefunction:
    """The wavefunction with its features averaged over images that all count alike."""
    return Wavefunction(AveragedBackbone(wavefunction.backbone, images), wavefunction.head, wavefunction.conditioned)


def projected(wavefunction: Wavefunction, images: Images) -> Projected:
    """The wavefunction projected on a sector, by images of it with their characters."""
    backbone, head = ImagesBackbone(wavefunction.backbone, images), ProjectedHead(wavefunction.head, images)
    return Projected(backbone, head, wavefunction.conditioned)


def plain(wavefunction: Wavefunction) -> Wavefunction:
    """The network within a symmetric wavefunction; any other as it is."""
    backbone, head = wavefunction.backbone, wavefunction.head
    if isinstance(backbone, AveragedBackbone | ImagesBackbone):
        backbone = backbone.backbone
    head = head.head if isinstance(head, ProjectedHead) else head
    return Wavefunction(backbone, head, wavefunction.conditioned)
