"""A wavefunction of electrons that is the same for every molecule.

psi(r) = exp(J) sum_d det Phi^d,  Phi^d_ik = sum_I f^d(c_Ik) . h_i exp(-a^d(c_Ik) |r_i - R_I|), with c_Ik the
coefficients of localised Hartree-Fock orbital k on atom I and h_i the embedding of electron i.

Source: arXiv 2303.09949.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from wavefoundry.core.errors import InputError
from wavefoundry.core.types import Psi
from wavefoundry.models.electron_embedding import Embedding, rounded
from wavefoundry.models.electron_orbitals import CHARGES, MLP, Orbitals
from wavefoundry.models.electron_shape import PRESETS, Shape

FAINT = -1e30
"""Logarithm of a determinant that is left out."""


class Nuclei(Protocol):
    """What the network is told about a molecule."""

    positions: Float[Array, "atoms 3"]
    charges: Float[Array, " atoms"]
    up: Float[Array, "atoms n_up 5"]
    down: Float[Array, "atoms n_down 5"]
    n_up: int
    n_down: int


class Bound(NamedTuple):
    """All that depends on the molecule but not on the electrons: computed once for many configurations."""

    positions: Array
    charges: Array
    features: tuple[Array, Array]  # of the up and the down orbitals, (atoms, k, 2, determinants, width)
    exponents: tuple[Array, Array]
    n_up: int


class Amplitude(eqx.Module):
    """The head: features are (log |psi|, phase) already."""

    real: bool = eqx.field(static=True, default=True)

    def __call__(self, z: Float[Array, "2"]) -> Psi:
        """What the backbone gave, as it is."""
        return Psi(z[0], z[1])


class Jastrow(eqx.Module):
    """Electron-electron cusp, and a sum over electrons of a function of their embedding."""

    log_range: Float[Array, "2"]  # logarithm of the range of the cusp: same and opposite spin
    network: MLP
    nuclear: Float[Array, "elements terms"] | None

    def __call__(
        self, x: Float[Array, "n 3"], h: Float[Array, "n width"], r: Float[Array, "n atoms"], bound: Bound
    ) -> Float[Array, ""]:
        """Logarithm of the factor: one number. r: distances of electrons and nuclei."""
        value = cusp(x, bound.n_up, jnp.exp(self.log_range)) + jnp.sum(self.network(h))
        return value if self.nuclear is None else value + near_nuclei(self.nuclear, r, bound.charges)


def regular(phi: Float[Array, "d n n"]) -> Bool[Array, " d"]:
    """Determinants that are not singular to rounding; the others have no derivatives, and would spoil the sum's.

    What is NaN stays: that weights have exploded must not go unnoticed.
    """
    log = jnp.maximum(jnp.linalg.slogdet(phi)[1], FAINT * 2)
    return ~(log < jnp.maximum(jnp.max(log), FAINT) + jnp.log(jnp.finfo(phi.dtype).eps))


def near_nuclei(
    weights: Float[Array, "elements terms"], r: Float[Array, "n atoms"], charges: Float[Array, " atoms"]
) -> Float[Array, ""]:
    """Sum over electrons and nuclei of w_Zk exp(-2^k Z r): mends slopes at nuclei, which the envelopes learn slowly.

    A slope that is wrong by d makes local energies off by d / r.
    """
    mine = weights[jnp.round(charges).astype(int) - 1]  # (atoms, terms)
    rates = charges[:, None] * 2.0 ** jnp.arange(weights.shape[1], dtype=r.dtype)
    return jnp.sum(mine * jnp.exp(-rates * r[:, :, None]))


def kinks(r: Float[Array, "n atoms"], charges: Float[Array, " atoms"]) -> Float[Array, " n"]:
    """Sum over nuclei of exp(-Z r) for every electron: with slopes -Z at the nuclei, as log psi has to have.

    Its exponential times an envelope exp(-Z (r + (exp(-Z r) - 1) / Z)), smooth at the nucleus, is exp(1 - Z r).
    """
    return jnp.sum(jnp.exp(-charges * r), axis=-1)


def cusp(x: Float[Array, "n 3"], n_up: int, reach: Float[Array, "2"]) -> Float[Array, ""]:
    """-1/4 sum_same A^2 / (A + r) - 1/2 sum_opposite A^2 / (A + r): slopes 1/4 and 1/2 where two electrons meet."""
    i, j = np.triu_indices(x.shape[0], 1)
    if not len(i):
        return jnp.zeros((), x.dtype)
    r = jnp.sqrt(jnp.sum((x[i] - x[j]) ** 2, axis=-1))
    same = np.asarray((i < n_up) == (j < n_up))
    a = jnp.where(same, reach[0], reach[1])
    return -jnp.sum(jnp.asarray(np.where(same, 0.25, 0.5), x.dtype) * a * a / (a + r))


class ElectronWavefunction(eqx.Module):
    """psi of any molecule, ``psi(system, x)``. ``bind`` does beforehand what depends on the molecule alone."""

    embedding: Embedding
    orbitals: tuple[Orbitals, ...]  # one for both spins, or one for each
    jastrow: Jastrow | None
    head: Amplitude

    @property
    def real(self) -> bool:
        """The phase is 0 or pi: log |psi| alone has derivatives."""
        return True

    @property
    def dtype(self) -> Any:
        """Precision of the weights; positions may come in another."""
        return self.embedding.table.dtype

    def prepare(self, system: Nuclei) -> Bound:
        """Features and exponents of all orbitals of a molecule."""
        positions, charges = system.positions.astype(self.dtype), system.charges.astype(self.dtype)
        networks = (self.orbitals[0], self.orbitals[-1])
        both = [
            network(c.astype(self.dtype), positions, charges)
            for network, c in zip(networks, (system.up, system.down), strict=True)
        ]
        return Bound(positions, charges, (both[0][0], both[1][0]), (both[0][1], both[1][1]), system.n_up)

    def matrices(self, bound: Bound, x: Float[Array, "n 3"]) -> tuple[Float[Array, "d n n"], Array, Array]:
        """Orbital matrices, rows: electrons, columns: orbitals, spin up first; embedding; distances to the nuclei."""
        n_up = bound.n_up
        h = self.embedding(x, n_up, bound.positions, bound.charges)
        r = jnp.sqrt(jnp.sum((x[:, None] - bound.positions) ** 2, axis=-1))
        reach = rounded(r, bound.charges) - 1 / bound.charges if self.embedding.cusp else r
        rows = []
        for electron, part in enumerate((slice(0, n_up), slice(n_up, None))):
            blocks = []
            for spin in (0, 1):
                t = 0 if spin == electron else 1
                f, a = bound.features[spin][:, :, t], bound.exponents[spin][:, :, t]
                envelope = jnp.exp(-a * reach[part][:, :, None, None])
                blocks.append(jnp.einsum("akdw,iw,iakd->dik", f, h[part], envelope))
            rows.append(jnp.concatenate(blocks, axis=-1))
        phi = jnp.concatenate(rows, axis=1)
        if self.embedding.cusp:
            phi = jnp.exp(kinks(r, bound.charges))[:, None] * phi
        return phi, h, r

    def amplitude(self, bound: Bound, x: Float[Array, "n 3"]) -> Float[Array, "2"]:
        """(log |psi|, phase)."""
        x = x.astype(self.dtype)
        phi, h, r = self.matrices(bound, x)
        there = regular(jax.lax.stop_gradient(phi))
        sign, log = jnp.linalg.slogdet(jnp.where(there[:, None, None], phi, jnp.eye(phi.shape[-1], dtype=phi.dtype)))
        log = jnp.where(there, log, FAINT)
        largest = jax.lax.stop_gradient(jnp.max(log))
        largest = jnp.where(jnp.isfinite(largest), largest, 0.0)
        total = jnp.sum(sign * jnp.exp(log - largest))
        value = largest + jnp.log(jnp.abs(total))
        if self.jastrow is not None:
            value = value + self.jastrow(x, h, r, bound)
        return jnp.stack([value, jnp.where(total < 0, jnp.pi, 0.0).astype(value.dtype)])

    def bind(self, system: Nuclei) -> Callable[[Array], Float[Array, "2"]]:
        """Features as a function of the electrons, with everything else computed beforehand."""
        bound = self.prepare(system)
        return lambda x: self.amplitude(bound, x)

    def features(self, system: Nuclei, x: Float[Array, "n 3"]) -> Float[Array, "2"]:
        """(log |psi|, phase) of one configuration."""
        return self.bind(system)(x)

    def __call__(self, system: Nuclei, x: Float[Array, "n 3"]) -> Psi:
        """Amplitude of one configuration of electrons."""
        return self.head(self.features(system, x))


def electrons(key: PRNGKeyArray, shape: Shape, precision: str = "float32") -> ElectronWavefunction:
    """A wavefunction with random weights, for any molecule of the elements of ``shape``."""
    dtype = jnp.dtype(precision)
    k_embedding, k_jastrow, *k_orbitals = jax.random.split(key, 4)
    orbitals = tuple(Orbitals.create(k, shape, dtype) for k in k_orbitals[: 1 if shape.share_spins else 2])
    jastrow = None
    if shape.jastrow:
        network = MLP.create(k_jastrow, (shape.width, shape.jastrow, 1), dtype, linear=True)
        # no correlation to begin with: pre-training matches the orbitals alone
        network = eqx.tree_at(lambda m: m.layers[-1].kernel, network, replace_fn=jnp.zeros_like)
        nuclear = jnp.zeros((shape.elements, shape.nuclear), dtype) if shape.nuclear else None
        jastrow = Jastrow(jnp.zeros(2, dtype), network, nuclear)
    return ElectronWavefunction(Embedding.create(k_embedding, shape, dtype), orbitals, jastrow, Amplitude())


def resolve(preset: str, fields: dict[str, Any]) -> Shape:
    """Shape from a preset and changes of its fields.

    Raises:
        InputError: unknown preset or field, or an unknown element.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown preset {preset!r}", where="wavefunction.preset", fix=f"one of {', '.join(PRESETS)}")
    known = [field.name for field in dataclasses.fields(Shape)]
    for name in fields:
        if name not in known:
            raise InputError(f"unknown option {name!r}", where="wf.models.electrons", fix=f"one of {', '.join(known)}")
    shape = dataclasses.replace(PRESETS[preset], **fields)
    if shape.nuclear and not shape.jastrow:
        what = f"nuclear = {shape.nuclear} belongs to a Jastrow factor, and jastrow = 0 leaves that out"
        raise InputError(what, where="wavefunction.nuclear", fix="jastrow = 32, or nuclear = 0")
    if shape.cusp and not shape.small:
        what = "cusp = true is of the small variant: the published one has kinks of its own at nuclei"
        raise InputError(what, where="wavefunction.cusp", fix='preset = "small", or cusp = false')
    for symbol in shape.symbols:
        if symbol not in CHARGES or CHARGES[symbol] > shape.elements:
            raise InputError(
                f"no descriptors for element {symbol!r}",
                where="wavefunction.symbols",
                fix=f"elements of {', '.join(CHARGES)} with charge at most elements = {shape.elements}",
            )
    return shape
