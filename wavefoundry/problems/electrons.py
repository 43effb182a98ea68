"""Electrons in the field of clamped nuclei: configuration space, moves and local energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from wavefoundry.core.types import Psi, System
from wavefoundry.problems import hartree_fock as hf

JUMPS = 0.25
"""Share of the moves that are jumps."""
TERMS = ("kinetic", "electron-nucleus", "electron-electron", "nucleus-nucleus")


class LocalElectrons(NamedTuple):
    """The costly half of the local energy: derivatives of log |psi|; and the potential energies."""

    value: Float[Array, "2"]  # (log |psi|, phase)
    gradient: Float[Array, "n 3"]
    laplacian: Float[Array, ""]
    potential: Float[Array, "3"]  # electron-nucleus, electron-electron, nucleus-nucleus


class ElectronSystem(System):
    """H = -1/2 sum lap_i - sum Z_I / r_iI + sum 1 / r_ij + sum Z_I Z_J / R_IJ, in Hartree and bohr.

    A configuration is positions (n, 3), the n_up spin-up electrons first. Everything about a molecule is data, so that
    geometries of one compound share every compiled program and can be stacked along a leading axis.
    """

    positions: Float[Array, "atoms 3"]
    charges: Float[Array, " atoms"]
    up: Float[Array, "atoms n_up 5"]  # coefficients of the localised orbitals (1s, 2s, 2px, 2py, 2pz) on every atom
    down: Float[Array, "atoms n_down 5"]
    shells: hf.Shells
    home: Int[Array, " n"]  # atom near which an electron starts
    n_up: int = eqx.field(static=True)
    n_down: int = eqx.field(static=True)
    derivatives: Callable[..., Any] = eqx.field(static=True)  # (f, x) -> gradient and Laplacian, from engine.laplacian
    electrons_per_move: int = eqx.field(static=True, default=0)  # 0: all

    @property
    def compound(self) -> tuple[int, int, int]:
        """(n_up, n_down, atoms): what decides the shapes of all arrays."""
        return self.n_up, self.n_down, self.positions.shape[-2]

    @property
    def electrons(self) -> int:
        """Number of electrons."""
        return self.n_up + self.n_down

    @property
    def scale(self) -> int:
        """What energies are divided by where molecules of different size are trained together."""
        return self.electrons

    @property
    def couplings(self) -> Float[Array, "4"]:
        """All terms count as they are."""
        return jnp.ones(len(TERMS))

    def init(self, key: PRNGKeyArray) -> Float[Array, "n 3"]:
        """Electrons near their atoms, closer to heavy ones."""
        at, charge = self.positions[self.home], self.charges[self.home]
        return at + jax.random.normal(key, at.shape) * (1 / jnp.sqrt(charge))[:, None]

    def propose(self, key: PRNGKeyArray, x: Float[Array, "n 3"], width: Array) -> tuple[Array, Float[Array, ""]]:
        """Gaussian move of all electrons, or of ``electrons_per_move`` drawn ones; now and then a jump of a single one.

        The step of an electron is ``width`` times its distance from the nearest nucleus (plus the size of a 1s shell):
        core electrons need short steps, and one length for all would leave the outer ones standing.

        A jump (one move in four) goes to a place that does not depend on the old one. Steps alone would take hundreds
        of moves to fill an empty core again, or to cross from one atom to another that is far away: such visits are
        rare, and error bars that have seen none or a single long one would be wrong.

        Returns:
            The new positions, and log of the density of the way back over that of the way there.
        """
        k_kind, k_step, k_jump = jax.random.split(key, 3)
        jump = jax.random.uniform(k_kind) < JUMPS
        stepped, jumped = self._step(k_step, x, width), self._jump(k_jump, x)
        return jnp.where(jump, jumped[0], stepped[0]), jnp.where(jump, jumped[1], stepped[1])

    def _jump(self, key: PRNGKeyArray, x: Float[Array, "n 3"]) -> tuple[Array, Float[Array, ""]]:
        """A new place for one electron, near a nucleus: in a 1s shell of its charge, or as far out as in hydrogen."""
        k_who, k_atom, k_shell, k_radius, k_angle = jax.random.split(key, 5)
        who = jax.random.randint(k_who, (), 0, self.electrons)
        atom = jax.random.categorical(k_atom, jnp.log(self.charges))
        exponent = jnp.where(jax.random.bernoulli(k_shell), self.charges[atom], 1.0)
        radius = jax.random.gamma(k_radius, 3.0) / (2 * exponent)
        direction = jax.random.normal(k_angle, (3,))
        place = self.positions[atom] + radius * direction / jnp.linalg.norm(direction)
        ratio = self._log_density(x[who]) - self._log_density(place)
        return x.at[who].set(place.astype(x.dtype)), ratio

    def _log_density(self, r: Float[Array, "3"]) -> Float[Array, ""]:
        """Logarithm of the density of the places that jumps go to."""
        distance = jnp.linalg.norm(r - self.positions, axis=-1)
        shells = [zeta**3 * jnp.exp(-2 * zeta * distance) for zeta in (self.charges, jnp.ones_like(self.charges))]
        return jnp.log(jnp.sum(self.charges * (shells[0] + shells[1]))) - jnp.log(2 * jnp.pi * jnp.sum(self.charges))

    def _step(self, key: PRNGKeyArray, x: Float[Array, "n 3"], width: Array) -> tuple[Array, Float[Array, ""]]:
        """Gaussian move, see ``propose``."""
        k_step, k_who = jax.random.split(key)
        noise = jax.random.normal(k_step, x.shape, x.dtype)
        if 0 < self.electrons_per_move < self.electrons:
            order = jax.random.permutation(k_who, self.electrons)
            noise = jnp.where((order < self.electrons_per_move)[:, None], noise, 0.0)
        here = self._reach(x)
        y = x + width * here[:, None] * noise
        ratio = here / self._reach(y)
        return y, jnp.sum(3 * jnp.log(ratio) - 0.5 * jnp.sum(noise**2, axis=-1) * (ratio**2 - 1))

    def _reach(self, x: Float[Array, "n 3"]) -> Float[Array, " n"]:
        """Length (bohr) over which psi changes where each electron is."""
        r = jnp.linalg.norm(x[:, None] - self.positions, axis=-1)
        return jnp.min(r + 1 / self.charges, axis=-1)

    def expand(self, features: Callable[[Array], Array], x: Float[Array, "n 3"]) -> LocalElectrons:
        """Derivatives of log |psi| = features(x)[0], and potential energies."""
        found = self.derivatives(lambda y: features(y)[0], x)
        return LocalElectrons(features(x), found.gradient, found.laplacian, self.potential(x))

    def contract(self, head: Callable[[Array], Psi], local: LocalElectrons) -> Float[Array, "4"]:
        """Local energy of every term, in the order of ``TERMS``; ``head`` has nothing to add."""
        kinetic = -0.5 * (local.laplacian + jnp.sum(local.gradient**2))
        return jnp.concatenate([kinetic[None], local.potential])

    def potential(self, x: Float[Array, "n 3"]) -> Float[Array, "3"]:
        """Electron-nucleus, electron-electron and nucleus-nucleus energy."""
        r = jnp.linalg.norm(x[:, None] - self.positions, axis=-1)
        return jnp.stack([-jnp.sum(self.charges / r), _coulomb(x, jnp.ones(x.shape[0])), self.repulsion()])

    def repulsion(self) -> Float[Array, ""]:
        """Energy of the nuclei among themselves."""
        return _coulomb(self.positions, self.charges)

    def orbitals(self, x: Float[Array, "k 3"]) -> tuple[Float[Array, "k n_up"], Float[Array, "k n_down"]]:
        """Values of the occupied Hartree-Fock orbitals at points x."""
        basis = hf.atomic_orbitals(self.shells, self.positions, x)
        return jnp.einsum("nam,akm->nk", basis, self.up), jnp.einsum("nam,akm->nk", basis, self.down)


class HartreeFockState(eqx.Module):
    """The Hartree-Fock determinant as a wavefunction: target and guide of pre-training, and an oracle of tests."""

    def bind(self, system: ElectronSystem) -> Callable[[Array], Float[Array, "2"]]:
        """(log |psi|, phase) as a function of the electrons."""

        def features(x: Array) -> Array:
            up, down = system.orbitals(x)
            sign_up, log_up = jnp.linalg.slogdet(up[: system.n_up])
            sign_down, log_down = jnp.linalg.slogdet(down[system.n_up :]) if system.n_down else (1.0, 0.0)
            return jnp.stack([log_up + log_down, jnp.where(sign_up * sign_down < 0, jnp.pi, 0.0)])

        return features

    def features(self, system: ElectronSystem, x: Array) -> Float[Array, "2"]:
        """(log |psi|, phase) of one configuration."""
        return self.bind(system)(x)

    def head(self, z: Float[Array, "2"]) -> Psi:
        """The features are the amplitude."""
        return Psi(z[0], z[1])

    def __call__(self, system: ElectronSystem, x: Array) -> Psi:
        """Amplitude of one configuration of electrons."""
        return self.head(self.features(system, x))


def _coulomb(x: Float[Array, "n 3"], charges: Float[Array, " n"]) -> Float[Array, ""]:
    i, j = np.triu_indices(x.shape[0], 1)
    if not len(i):
        return jnp.zeros(())
    return jnp.sum(charges[i] * charges[j] / jnp.linalg.norm(x[i] - x[j], axis=-1))


def homes(charges: np.ndarray, n_up: int, n_down: int) -> np.ndarray:
    """Atom near which every electron starts: neutral atoms as far as possible, neighbours with opposite spin.

    Args:
        charges: (atoms,) nuclear charges, in the order of the chain or molecule.

    Returns:
        (n_up + n_down,), spin up first.
    """
    z = np.rint(charges).astype(int)
    wanted = z.copy()
    for _ in range(abs(n_up + n_down - z.sum())):  # ions: where it changes the charge of an atom least
        step = 1 if n_up + n_down > z.sum() else -1
        wanted[np.argmax(wanted if step < 0 else z - wanted)] += step
    up = wanted // 2
    odd = np.flatnonzero(wanted % 2)
    up[odd[::2]] += 1
    order = np.argsort(-wanted, kind="stable")
    while up.sum() < n_up:  # high spin: turn electrons round, on the heaviest atoms first
        free = [a for a in order if up[a] < wanted[a]]
        up[min(free, key=lambda a: 2 * up[a] - wanted[a])] += 1
    while up.sum() > n_up:
        used = [a for a in order if up[a] > 0]
        up[max(used, key=lambda a: 2 * up[a] - wanted[a])] -= 1
    return np.concatenate([np.repeat(np.arange(len(z)), up), np.repeat(np.arange(len(z)), wanted - up)])


def electron_system(
    orbitals: hf.Orbitals, charges: np.ndarray, positions: np.ndarray, derivatives: Callable[..., Any], **options: Any
) -> ElectronSystem:
    """System of a molecule from its Hartree-Fock orbitals.

    Args:
        orbitals: from ``hartree_fock``.
        charges: (atoms,). positions: (atoms, 3) in bohr.
        derivatives: method of the Laplacian, see ``engine.laplacian``.
        options: further fields of ``ElectronSystem``.
    """
    n_up, n_down = orbitals.up.shape[1], orbitals.down.shape[1]
    return ElectronSystem(
        positions=jnp.asarray(positions, float),
        charges=jnp.asarray(charges, float),
        up=jnp.asarray(orbitals.up),
        down=jnp.asarray(orbitals.down),
        shells=hf.Shells(*map(jnp.asarray, orbitals.shells)),
        home=jnp.asarray(homes(np.asarray(charges), n_up, n_down)),
        n_up=n_up,
        n_down=n_down,
        derivatives=derivatives,
        **options,
    )
