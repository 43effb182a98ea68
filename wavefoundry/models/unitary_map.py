"""The unitary emulator: alternating learned phases in space and in momentum, norm-conserving by construction."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from wavefoundry.models.emulator import Emulator

COSINES = 10
SCALE = 10.0


def basis(k: Float[Array, "*n"], kcut: float) -> Float[Array, "functions *n"]:
    """u^2, u^4 and cos(m pi u), m = 0..9, of u = min(|k|, kcut) / kcut."""
    u = jnp.minimum(jnp.abs(k), kcut) / kcut
    return jnp.stack([u**2, u**4, *(jnp.cos(m * np.pi * u) for m in range(COSINES))])


class Unitary(Emulator):
    """One frame as D learned kicks and drifts: psi <- exp(-i v_d(x)) psi, psi <- F^-1 exp(-i phi_d(k)) F psi.

    v_d is a learned filter of the potential over neighbouring points, linear in it; phi_d an even function of k that is
    constant above ``kcut``. Norm, linearity, global phase and translation hold by construction. Further symmetries are
    options: ``mirror`` (filters even in x), ``time_reversal`` (the sequence reads the same backwards), ``gauge`` (a
    constant added to V is a phase of exactly c dt). ``norm = False`` lifts unitarity by learned damping.

    In two dimensions phi(kx) + phi(ky) and the filter W(qx) + W(qy) - W(0) are used, which is what a separable
    potential needs.
    """

    phases: Float[Array, "drifts functions"]
    taps: Float[Array, "kicks width"]
    gain_phases: Float[Array, "drifts functions"] | None
    gain_taps: Float[Array, "kicks width"] | None
    depth: int = eqx.field(static=True)
    frame_step: float = eqx.field(static=True)
    kcut: float = eqx.field(static=True)
    mirror: bool = eqx.field(static=True)
    time_reversal: bool = eqx.field(static=True)
    gauge: bool = eqx.field(static=True)
    kind: str = eqx.field(static=True, default="unitary")  # pyright: ignore[reportIncompatibleMethodOverride]
    history: int = eqx.field(static=True, default=1)  # pyright: ignore[reportIncompatibleMethodOverride]

    def reach(self) -> int:
        """Points of the potential that one point of a frame sees."""
        taps = self.taps.shape[1]
        return 2 * taps - 1 if self.mirror else taps

    def band(self) -> float | None:
        """Largest momentum that is told apart."""
        return self.kcut

    @classmethod
    def create(  # noqa: PLR0913 - one for each option
        cls, key: PRNGKeyArray, *, frame_step: float, depth: int = 3, taps: int = 9, kcut: float = 12.0,
        mirror: bool = False, time_reversal: bool = False, gauge: bool = False, norm: bool = True,
        precision: str = "float32",
    ) -> Unitary:  # fmt: skip
        """Small random phases and filters around a small central tap: nothing of the physics is put in."""
        drifts = (depth + 1) // 2 if time_reversal else depth
        kicks = (depth + 2) // 2 if time_reversal else depth + 1
        width = taps // 2 + 1 if mirror else taps
        dtype = jnp.dtype(precision)
        first, second = jax.random.split(key)
        phases = 0.01 * jax.random.normal(first, (drifts, COSINES + 2), dtype)
        filters = 0.01 * jax.random.normal(second, (kicks, width), dtype)
        filters = filters.at[:, 0 if mirror else taps // 2].add(0.02)
        gains = (None, None) if norm else (jnp.zeros_like(phases), jnp.zeros_like(filters))
        return cls(phases, filters, *gains, depth, frame_step, kcut, mirror, time_reversal, gauge)

    def _unfolded(self, stored: Array, filters: bool) -> Array:
        """Filters or phases of the whole sequence, from what symmetries leave to be stored."""
        if filters and self.mirror:
            stored = jnp.concatenate([stored[:, :0:-1], stored], axis=1)
        if self.time_reversal:
            count = self.depth + 1 if filters else self.depth
            order = np.minimum(np.arange(count), np.arange(count)[::-1])
            stored = stored[order]
        if filters and self.gauge:
            missing = (self.frame_step - jnp.sum(stored)) / stored.shape[0]
            stored = stored.at[:, stored.shape[1] // 2].add(missing)
        return stored

    def _kicks(self, filters: Array, potential: Array) -> Array:
        """Filtered potentials, one per kick."""
        reach = filters.shape[1] // 2
        total = -(potential.ndim - 1) * jnp.sum(filters, axis=1).reshape(-1, *[1] * potential.ndim) * potential
        for axis in range(potential.ndim):
            shifted = jnp.stack([jnp.roll(potential, j, axis) for j in range(reach, -reach - 1, -1)])
            total = total + jnp.tensordot(filters, shifted, 1)
        return total

    def _drifts(self, phases: Array, shape: tuple[int, ...], spacing: tuple[float, ...]) -> Array:
        """Phases in momentum space, one per drift: a sum over the axes."""
        total = jnp.zeros((phases.shape[0], *[1] * len(shape)), phases.dtype)
        for axis, (n, dx) in enumerate(zip(shape, spacing, strict=True)):
            k = jnp.asarray(2 * math.pi * np.fft.fftfreq(n, dx), phases.dtype)
            along = SCALE * phases @ basis(k, self.kcut)
            total = total + along.reshape(-1, *[n if a == axis else 1 for a in range(len(shape))])
        return total

    def prepare(self, potential: Float[Array, "*n"], spacing: tuple[float, ...]) -> tuple[Array, Array]:
        """Phase factors of all kicks and drifts."""
        potential = potential.astype(self.taps.dtype)
        angles = self._kicks(self._unfolded(self.taps, True), potential)
        turns = self._drifts(self._unfolded(self.phases, False), potential.shape, spacing)
        kicks, drifts = _phase(angles), _phase(turns)
        if self.gain_phases is not None and self.gain_taps is not None:
            plain = Unitary(
                self.gain_phases, self.gain_taps, None, None, self.depth, 0.0, self.kcut, self.mirror,
                self.time_reversal, False,
            )  # fmt: skip
            kicks = kicks * jnp.exp(plain._kicks(plain._unfolded(self.gain_taps, True), potential))
            drifts = drifts * jnp.exp(plain._drifts(plain._unfolded(self.gain_phases, False), potential.shape, spacing))
        return kicks, drifts

    def advance(self, prepared: tuple[Array, Array], frames: Complex[Array, "1 *n"]) -> Complex[Array, "*n"]:
        """The next frame: kicks in position, drifts in momentum."""
        kicks, drifts = prepared
        psi = frames[-1].astype(kicks.dtype)
        for d in range(self.depth):
            psi = jnp.fft.ifftn(drifts[d] * jnp.fft.fftn(kicks[d] * psi))
        return kicks[self.depth] * psi


def _phase(angle: Array) -> Array:
    return jax.lax.complex(jnp.cos(angle), -jnp.sin(angle))
