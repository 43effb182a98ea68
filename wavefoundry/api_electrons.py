"""The wavefunction of one molecule as an object: samples of its electrons, amplitudes."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, NoReturn

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.adapt import transfer
from wavefoundry.adapt.transfer import Prepared, Sampling
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import MOST_SAMPLES, count_of, numbers_of, seed_of
from wavefoundry.core.memory import require_memory
from wavefoundry.core.molecule import Molecule

CHAINS = 256
MOST_MOVES = 1_000_000


class Electrons(NamedTuple):
    """Samples of |psi|^2: positions (n, electrons, 3) in bohr, spin up first, and local energies (n,) in Ha."""

    x: np.ndarray
    energies: np.ndarray


@dataclasses.dataclass(frozen=True, repr=False)
class MoleculeState:
    """What a model says of one molecule, without a further step; from ``model.state(molecule)``.

    Positions are in bohr, where the molecule itself lies.
    """

    wavefunction: Any
    molecule: Molecule
    prepared: Prepared

    def __repr__(self) -> str:
        words = f"{self.molecule.electrons} electrons, {tree.count(self.wavefunction)} weights"
        return f"State of {self.molecule.name}: {words}"

    def sample(self, samples: int = 1024, *, seed: int = 0, burn_in: int = 40, moves: int = 20) -> Electrons:
        """Fresh samples of |psi|^2.

        Args:
            samples: how many; from at most 256 chains, so those of one chain are ``moves`` moves apart.
            seed: of the random numbers. burn_in: rounds of ``moves`` moves before the first.

        Raises:
            InputError: fewer than one sample or move.
        """
        samples = count_of(samples, "number of samples", where="sample: samples", least=1, most=MOST_SAMPLES)
        seed = seed_of(seed, "sample: seed")
        burn_in = count_of(burn_in, "number of rounds", where="sample: burn_in", most=MOST_MOVES)
        moves = count_of(moves, "number of moves", where="sample: moves", least=1, most=MOST_MOVES)
        needed = 2 * samples * self.molecule.electrons * 3 * np.dtype(float).itemsize
        require_memory(needed, f"an array of {samples} samples", "sample: samples", "fewer at a time, by seed")
        chains = min(CHAINS, samples)
        how = Sampling(chains, -(-samples // chains), burn_in, moves)
        (family,) = transfer.stack([self.prepared]).families
        found, _ = transfer.evaluate(self.wavefunction, family, jax.random.key(seed), how)
        # one sample of every chain after the other: the first ones are as independent as they can be
        x, energies = (np.swapaxes(np.asarray(array)[0], 0, 1) for array in (found.x, found.energies))
        x = self.prepared.frame.back(x.reshape(-1, *x.shape[2:]))
        return Electrons(x[:samples], energies.reshape(-1)[:samples])

    def log_amplitude(self, x: Any) -> np.ndarray:
        """Logarithm of psi (complex, not normalised) at one configuration (electrons, 3) or of many (n, electrons, 3).

        Raises:
            InputError: another shape, or positions that are not finite.
        """
        points = numbers_of(x, "x", where="log_amplitude: x")
        wanted = (self.molecule.electrons, 3)
        if points.shape[-2:] != wanted or points.ndim > 3 or np.iscomplexobj(points):
            raise InputError(
                f"positions of shape {points.shape} are no electrons of {self.molecule.name}",
                where="log_amplitude: x",
                why=f"{self.molecule.name} has {wanted[0]} electrons, those of spin up first",
                fix=f"an array of shape {wanted} or (n, {wanted[0]}, 3), in bohr",
            )
        if not np.all(np.isfinite(points)):
            raise InputError("positions that are not finite", where="log_amplitude: x", why="NaN or infinity")
        placed = jnp.asarray(self.prepared.frame.place(points.reshape(-1, *wanted)))
        log, phase = _amplitudes(self.wavefunction, self.prepared.system, placed)
        return (np.asarray(log, float) + 1j * np.asarray(phase, float)).reshape(points.shape[:-2])

    def to_netket(self) -> NoReturn:
        """Not possible: here for the answer, since states of lattices can.

        Raises:
            InputError: always.
        """
        raise InputError(
            "a state of electrons cannot become one of NetKet",
            where="to_netket",
            why="its networks are written for configurations of a lattice, ours for electrons and their nuclei",
            fix="sample() and log_amplitude() give what it is made of",
        )


@eqx.filter_jit
def _amplitudes(wavefunction: Any, system: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    features = wavefunction.bind(system)
    psi = jax.vmap(lambda r: wavefunction.head(features(r)))(x)
    return psi.log, psi.phase
