"""What samples of a molecule say beyond its energy: dipole moment, density, spin, forces. Atomic units.

Functions of one configuration are vmapped by ``over_samples``; means and error bars are those of ``core.statistics``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.problems.electrons import ElectronSystem
from wavefoundry.problems.orbital_response import orbital_response

DEBYE = 2.541746473
"""One atomic unit of the dipole moment in debye."""


def dipole(system: ElectronSystem, x: Float[Array, "n 3"]) -> Float[Array, "3"]:
    """Dipole moment sum_I Z_I R_I - sum_i r_i in e bohr; of a charged molecule about its centre of nuclear charge."""
    total = jnp.sum(system.charges)
    centre = system.charges @ system.positions / total
    return jnp.sum(system.charges) * centre - jnp.sum(x, axis=0) - (total - system.electrons) * centre


def spin_squared(wavefunction: Any, system: ElectronSystem, x: Float[Array, "n 3"]) -> Float[Array, ""]:
    """Local value of S^2 = S_z (S_z + 1) + n_down - sum_{up i, down j} psi(i <-> j) / psi."""
    sz, features = (system.n_up - system.n_down) / 2, wavefunction.bind(system)
    start = wavefunction.head(features(x))
    i, j = (a.reshape(-1) for a in np.meshgrid(range(system.n_up), range(system.n_up, system.electrons), indexing="ij"))
    if not len(i):
        return jnp.asarray(sz * (sz + 1.0))

    def ratio(a: Array, b: Array) -> Array:
        psi = wavefunction.head(features(x.at[a].set(x[b]).at[b].set(x[a])))
        return jnp.exp((psi.log - start.log).astype(float)) * jnp.cos(psi.phase - start.phase)

    return sz * (sz + 1.0) + system.n_down - jnp.sum(jax.vmap(ratio)(jnp.asarray(i), jnp.asarray(j)))


class ForceTerms(NamedTuple):
    """What forces are made of, for one configuration.

    Its energy, the derivative of that along every nuclear coordinate with the electrons carried along, and the
    derivative of the logarithm of the sampled density.
    """

    energy: Float[Array, ""]
    slope: Float[Array, "atoms 3"]
    score: Float[Array, "atoms 3"]


def force_terms(
    wavefunction: Any, system: ElectronSystem, x: Float[Array, "n 3"], response: tuple[Array, Array] | None = None
) -> ForceTerms:
    """What forces are made of. Electrons follow the nucleus they are close to, which keeps the variance small.

    For the exact wavefunction the slope is the same everywhere (zero variance).

    Args:
        wavefunction, system: of one molecule. x: one configuration.
        response: how the Hartree-Fock coefficients change with the nuclei, from ``orbital_response``. A network reads
            them, and its energy is not stationary in what it reads. None: they stay, which is right for a determinant
            of Hartree-Fock orbitals and for functions that do not look at them.

    Source: space-warp transformation, Umrigar, Int. J. Quantum Chem. 36, 217 (1989); Sorella and Capriotti,
    arXiv 1009.3107.
    """

    def carried(shift: Array, r: Array) -> Array:
        weight = 1 / jnp.sum((r - system.positions) ** 2, axis=-1) ** 2
        return r + (weight / jnp.sum(weight)) @ shift

    def at(shift: Array) -> tuple[Array, Array]:
        moved = eqx.tree_at(lambda s: s.positions, system, system.positions + shift)
        if response is not None:
            up, down = (jnp.einsum("bx,bxakf->akf", shift, change) for change in response)
            moved = eqx.tree_at(lambda s: (s.up, s.down), moved, (system.up + up, system.down + down))
        features = wavefunction.bind(moved)
        y = jax.vmap(lambda r: carried(shift, r))(x)
        energy = jnp.sum(moved.contract(wavefunction.head, moved.expand(features, y)))
        volume = jax.vmap(lambda r: jnp.linalg.slogdet(jax.jacfwd(lambda s: carried(shift, s))(r))[1])(x)
        density = 2 * wavefunction.head(features(y)).log.astype(float) + jnp.sum(volume)
        return jnp.stack([energy, density]), energy

    (slope, score), energy = jax.jacrev(at, has_aux=True)(jnp.zeros_like(system.positions))
    return ForceTerms(energy, slope, score)


def forces(terms: ForceTerms) -> Float[Array, "C S atoms 3"]:
    """Samples of the force -dE/dR in Ha/bohr, whose mean is the force: -slope - (E_loc - mean) (score - its mean).

    Nothing is clipped: slopes lie to one side of their median, and a window shifts their mean by far more than an
    error bar.

    Args:
        terms: of samples, leading axes (chains, samples).
    """
    energy = terms.energy[..., None, None]
    centred = energy - jnp.mean(energy, axis=(0, 1), keepdims=True)
    return -terms.slope - centred * (terms.score - jnp.mean(terms.score, axis=(0, 1), keepdims=True))


@eqx.filter_jit
@on_devices
def over_samples(f: Callable[..., Any], system: ElectronSystem, x: Float[Array, "C S n 3"], chunk: int = 64) -> Any:
    """``f(system, x)`` for every sample; leading axes (C, S). Hand in ``eqx.Partial(spin_squared, wavefunction)``."""
    flat = x.reshape(-1, *x.shape[2:])
    found = mapped(lambda y: f(system, y), flat, chunk)
    return jax.tree.map(lambda leaf: leaf.reshape(*x.shape[:2], *leaf.shape[1:]), found)


class LineDensity(NamedTuple):
    """Electrons per bohr along the axis of a molecule (projected on it), or of distance from the nucleus of an atom."""

    grid: np.ndarray  # centres of the bins, bohr
    values: np.ndarray
    errors: np.ndarray


def line_density(system: ElectronSystem, x: np.ndarray, bins: int = 80, margin: float = 6.0) -> LineDensity:
    """Density along the longest axis of the nuclei, measured from their mean; of an atom over the distance from it.

    Args:
        x: samples, (C, S, n, 3). bins: number of them. margin: beyond the outermost nuclei, bohr.
    """
    nuclei = np.asarray(system.positions)
    centre = nuclei.mean(axis=0)
    if len(nuclei) == 1:
        where, low, high = np.linalg.norm(np.asarray(x) - centre, axis=-1), 0.0, margin
    else:
        axis = np.linalg.svd(nuclei - centre)[2][0]
        axis = axis * (1.0 if axis[np.argmax(np.abs(axis))] > 0 else -1.0)
        where, along = (np.asarray(x) - centre) @ axis, (nuclei - centre) @ axis
        low, high = along.min() - margin, along.max() + margin
    edges = np.linspace(low, high, bins + 1)
    each = np.stack([np.histogram(chain.reshape(-1), bins=edges)[0] for chain in where])
    each = each / (edges[1] - edges[0]) / where.shape[1]
    errors = each.std(axis=0, ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.full(bins, np.inf)
    return LineDensity((edges[1:] + edges[:-1]) / 2, each.mean(axis=0), errors)


OBSERVABLES = ("dipole", "spin", "forces", "density")


def measure(
    wavefunction: Any, system: ElectronSystem, x: Float[Array, "C S n 3"], names: tuple[str, ...] = OBSERVABLES
) -> dict[str, Any]:
    """Samples of observables.

    Args:
        wavefunction, system: of one molecule. x: its samples. names: of ``OBSERVABLES``.

    Returns:
        "dipole" (C, S, 3) in e bohr; "spin" (C, S), local S^2; "forces" (C, S, atoms, 3) in Ha/bohr, whose means over
        all samples are the forces; "density": ``LineDensity``.

    Raises:
        InputError: forces, and Hartree-Fock of a slightly displaced molecule does not converge.
    """
    x, found = jnp.asarray(x), {}
    if "dipole" in names:
        found["dipole"] = np.asarray(over_samples(dipole, system, x))
    if "spin" in names:
        found["spin"] = np.asarray(over_samples(eqx.Partial(spin_squared, wavefunction), system, x))
    if "forces" in names:
        # third derivatives: in single precision a rare sample is off by orders of magnitude
        precise = jax.tree.map(lambda a: a.astype(float) if eqx.is_inexact_array(a) else a, wavefunction)
        terms = eqx.Partial(force_terms, precise, response=orbital_response(system))
        found["forces"] = np.asarray(forces(over_samples(terms, system, x, chunk=16)))
    if "density" in names:
        found["density"] = line_density(system, np.asarray(x))
    return found
