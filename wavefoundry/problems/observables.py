"""Diagonal observables of spin configurations, and their exact values where the ground state is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import LATTICES
from wavefoundry.core.verdict import Reference

if TYPE_CHECKING:
    from wavefoundry.problems.spins import LatticeSystem


PREFIX = {2: "staggered_", 3: "three_sublattice_"}
"""Of the moments of an order by so many sublattices."""


def sublattices(system: LatticeSystem) -> tuple[np.ndarray, int]:
    """Sublattice of every site, and their number, for the order that is measured; one: a uniform magnetisation."""
    lattice, model = LATTICES.get(system.geometry), MODELS.get(system.model)
    if lattice is None or model is None or model.order == "uniform":
        return np.zeros(system.sites, int), 1
    return np.array(lattice.colour(lattice.cells(system.extent))), lattice.colours


def names(system: LatticeSystem) -> list[str]:
    """Names of what ``measure`` returns, in its order.

    m2, m4, abs_m: moments of the magnetisation per site m = (1/N) sum_i Z_i. Antiferromagnets: of the modulus of
    (1/N) sum_i exp(2 pi i c / n) Z_i with n sublattices c, staggered (n = 2) or three_sublattice. correlation_r:
    <Z_0 Z_r> at r sites along the first axis, averaged over the lattice.
    """
    prefix = PREFIX.get(sublattices(system)[1], "")
    moments = [f"{prefix}{moment}" for moment in ("m2", "m4", "abs_m")]
    return moments + [f"correlation_{r}" for r in range(1, distances(system) + 1)]


def distances(system: LatticeSystem) -> int:
    """Longest distance of the correlation function: half the chain when periodic, else all of it; at most 32."""
    edge = system.extent[0]
    return min(32, edge // 2 if system.periodic else edge - 1)


def measure(system: LatticeSystem) -> Callable[[Array], Float[Array, " observables"]]:
    """The observables of one configuration (sites,), see ``names``."""
    colours, count = sublattices(system)
    angle = 2 * np.pi * colours / count
    along, across = np.cos(angle), np.sin(angle) if count > 2 else None
    edge, periodic, longest = system.extent[0], system.periodic, distances(system)

    def one(x: Array) -> Array:
        spins = x.astype(jnp.float64)
        m = jnp.mean(spins * along)
        m = m if across is None else jnp.hypot(m, jnp.mean(spins * across))
        grid = spins.reshape(system.extent)
        correlations = []
        for r in range(1, longest + 1):
            product = grid * jnp.roll(grid, -r, axis=0)
            correlations.append(jnp.mean(product if periodic else product[: edge - r]))
        return jnp.stack([m**2, m**4, jnp.abs(m), *correlations])

    return one


def reference_of(system: LatticeSystem) -> tuple[Reference | None, dict[str, float], str | None]:
    """Exact ground-state energy and observables, as far as they are known; never raises.

    Closed form for the periodic Ising chain (energy, m2, correlations), exact diagonalisation up to 20 sites (all).
    Where ground states are degenerate (closer than 1e-8 of the largest row sum of H), observables are only those that
    all of them share.

    Returns:
        The reference, observables by name, and why a reference that is within reach could not be found: a sentence
        for a warning. Without a reference and without a reason, none is known for such a system.
    """
    zero = float(system.trace @ np.asarray(system.couplings, float))
    try:
        known = closed_form(system)
        if known is not None:
            return of_values(known, zero)
        if system.sites > 20:
            return None, {}, None
        return diagonalised(system, zero)
    except Exception as error:  # noqa: BLE001 - a comparison must not cost the run that it belongs to
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, {}, f"no exact energy to compare with: {first}"


def closed_form(system: LatticeSystem) -> dict[str, float] | None:
    """The energy and the observables that the entry of the model knows at these couplings, or None."""
    model = MODELS.get(system.model)
    if model is None or model.exact is None:
        return None
    known = model.known(model.place(system.extent, system.geometry, system.periodic), system.values)
    measured = {"energy", *names(system)}
    return None if known is None else {name: value for name, value in known.items() if name in measured}


def of_values(known: Mapping[str, float], zero: float) -> tuple[Reference, dict[str, float], None]:
    """``reference_of`` from what ``closed_form`` gives; zero: the energy of infinite temperature."""
    rest = {name: value for name, value in known.items() if name != "energy"}
    return Reference(known["energy"], zero=zero), rest, None


def diagonalised(system: LatticeSystem, zero: float) -> tuple[Reference, dict[str, float], None]:
    """``reference_of`` by Lanczos, up to 20 sites; zero: as above."""
    from wavefoundry.problems import exact

    # in units of the largest coupling: NetKet drops strings whose weight is below 1e-8, whatever the unit
    unit = float(np.max(np.abs(np.asarray(system.couplings)))) or 1.0
    space = exact.ground_space(system.at(**{n: v / unit for n, v in system.values.items()}).operator())
    states = jnp.asarray(exact.basis(system.hilbert))
    table = np.asarray(jax.lax.map(measure(system), states, batch_size=4096))
    shared = zip(names(system), exact.constant_on(space, table), strict=True)
    known = {name: float(value) for name, value in shared if np.isfinite(value)}
    return Reference(unit * space.energy, zero=zero), known, None


def exact_values(system: LatticeSystem) -> tuple[float | None, dict[str, float]]:
    """Energy and observables of ``reference_of`` alone; (None, {}) where there are none."""
    reference, known, _ = reference_of(system)
    return (None if reference is None else reference.energy), known
