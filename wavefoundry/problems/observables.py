"""Observables of a lattice system: order and correlations, those asked for, and exact values where they are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.errors import InputError
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import LATTICES, plain
from wavefoundry.core.observables import chosen
from wavefoundry.core.verdict import Reference
from wavefoundry.problems import exact
from wavefoundry.problems.measures import Diagonal, Measure, exact_of

if TYPE_CHECKING:
    from wavefoundry.problems.spins import LatticeSystem


SMALL = 16
"""Sites up to which a state is diagonalised for observables although its energy has a closed form."""
PREFIX = {2: "staggered_", 3: "three_sublattice_"}
"""Of the moments of an order by so many sublattices."""


def sublattices(system: LatticeSystem) -> tuple[np.ndarray, int]:
    """Sublattice of every site, and their number, for the order that is measured; one: a uniform magnetisation."""
    lattice, model = LATTICES.get(system.geometry), MODELS.get(system.model)
    if lattice is None or model is None or model.order == "uniform":
        return np.zeros(system.sites, int), 1
    return np.array(lattice.colour(lattice.cells(system.extent))), lattice.colours


def signed_order(system: LatticeSystem) -> np.ndarray | None:
    """Weights (sites,) of the order parameter m itself, whose sign is open; None: three sublattices give it a phase."""
    colours, count = sublattices(system)
    return np.cos(2 * np.pi * colours / count) / system.sites if count < 3 else None


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


def moments(system: LatticeSystem) -> list[Measure]:
    """Moments of the magnetisation, as in ``names``."""
    one, every = measure(system), names(system)
    return [Diagonal(every[:3], lambda x: one(x)[:3])]


def correlations(system: LatticeSystem) -> list[Measure]:
    """Correlations along the first axis, as in ``names``."""
    one, every = measure(system), names(system)
    return [Diagonal(every[3:], lambda x: one(x)[3:])]


def measures_of(system: LatticeSystem, wanted: bool | Sequence[str]) -> list[Measure]:
    """The estimators of what is asked for, see ``core.observables``.

    Args:
        wanted: names, or True for the defaults, False for none.

    Raises:
        InputError: one of them has no meaning for this system.
    """
    place = (system.model, system.geometry or plain(system.extent), system.extent, system.periodic)
    for one in chosen(wanted):
        if why := one.unfit(place):
            fix = "leave it out"
            raise InputError(f"{one.name} cannot be measured here", where="evaluate: observables", why=why, fix=fix)
    return [each for one in chosen(wanted) for each in one.estimators(system)]


@eqx.filter_jit
@on_devices
def diagonal_values(system: LatticeSystem, wanted: bool | tuple[str, ...], x: Array) -> Float[Array, "n names"]:
    """Values of all that is diagonal among the ``wanted`` at configurations (n, sites), in the order of their names."""
    ones = [one.one for one in measures_of(system, wanted) if isinstance(one, Diagonal)]
    return mapped(lambda one: jnp.concatenate([each(one) for each in ones]), x, 1024)


@eqx.filter_jit
@on_devices
def orders(system: LatticeSystem, x: Array) -> Float[Array, "n names"]:
    """``measure`` at configurations (n, sites)."""
    return mapped(measure(system), x, 1024)


def measured(system: LatticeSystem, wanted: bool | Sequence[str]) -> list[str]:
    """Names of what is measured where ``wanted`` is asked for, and of moments and correlations in any case."""
    every = names(system)
    for one in measures_of(system, wanted):
        every += [one.peak] if isinstance(one, Diagonal) and one.peak else one.names
    return list(dict.fromkeys([*every, every[0].replace("m2", "binder")]))


def reference_of(
    system: LatticeSystem, wanted: bool | Sequence[str] = True
) -> tuple[Reference | None, dict[str, float], str | None]:
    """Exact ground-state energy and observables, as far as they are known; never raises.

    Closed form for the periodic Ising chain (energy, m2, correlations, S_zz(q), entropy), exact diagonalisation up to
    2^20 configurations (all).
    Where ground states are degenerate (closer than 1e-8 of the largest row sum of H), observables are only those that
    all of them share.

    Args:
        wanted: observables, as for ``measures_of``.

    Returns:
        The reference, observables by name, and why a reference that is within reach could not be found: a sentence
        for a warning. Without a reference and without a reason, none is known for such a system.
    """
    zero = float(system.trace @ np.asarray(system.couplings, float))
    try:
        known = closed_form(system)
        if known is not None:
            return of_values(system, known, zero, wanted)
        if not exact.listable(system.hilbert):
            return None, {}, None
        return diagonalised(system, zero, wanted)
    except Exception as error:  # noqa: BLE001 - a comparison must not cost the run that it belongs to
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        return None, {}, f"no exact energy to compare with: {first}"


def closed_form(system: LatticeSystem) -> dict[str, float] | None:
    """The energy and the observables that the entry of the model knows at these couplings, or None."""
    model = MODELS.get(system.model)
    if model is None or model.exact is None or not system.uniform:
        return None
    known = model.known(model.place(system.extent, system.geometry, system.periodic), system.values)
    far = set() if known is None else {name for name in known if name.startswith("correlation_")} - {*names(system)}
    return None if known is None else {name: value for name, value in known.items() if name not in far}


def of_values(
    system: LatticeSystem, known: Mapping[str, float], zero: float, wanted: bool | Sequence[str] = True
) -> tuple[Reference, dict[str, float], None]:
    """``reference_of`` from what ``closed_form`` gives; zero: the energy of infinite temperature."""
    rest = {name: value for name, value in known.items() if name != "energy"}
    if wanted is not True and system.sites <= SMALL:
        rest = diagonalised(system, zero, wanted)[1] | rest
    return Reference(known["energy"], zero=zero), rest, None


def diagonalised(
    system: LatticeSystem, zero: float, wanted: bool | Sequence[str] = True
) -> tuple[Reference, dict[str, float], None]:
    """``reference_of`` by Lanczos, up to 2^20 configurations; zero: as above."""
    unit, space = system.unit, exact.ground_space(system.in_units().operator())
    known: dict[str, float] = {}
    states, measures = exact.basis(system.hilbert), measures_of(system, wanted)
    diagonal = np.zeros(0)
    if any(isinstance(one, Diagonal) for one in measures):
        asked = wanted if isinstance(wanted, bool) else tuple(wanted)
        diagonal = exact.constant_on(space, np.asarray(diagonal_values(system, asked, jnp.asarray(states))))
    for one in measures:
        if isinstance(one, Diagonal):
            values, diagonal = np.split(diagonal, [len(one.names)])
        elif space.complete and space.vectors.shape[1] == 1:
            values = exact_of(one, space.vectors[:, 0], states)
        else:
            continue
        if isinstance(one, Diagonal) and one.peak:
            known |= {one.peak: float(np.max(values))} if np.all(np.isfinite(values)) else {}
        else:
            known |= {name: float(v) for name, v in zip(one.names, values, strict=True) if np.isfinite(v)}
    for name in [name for name in known if name.endswith("m4")]:
        second = known.get(name.replace("m4", "m2"), 0.0)
        known |= {name.replace("m4", "binder"): 1 - known[name] / (3 * second**2)} if second else {}
    return Reference(unit * space.energy, zero=zero), known, None


def exact_values(system: LatticeSystem) -> tuple[float | None, dict[str, float]]:
    """Energy and observables of ``reference_of`` alone; (None, {}) where there are none."""
    reference, known, _ = reference_of(system)
    return (None if reference is None else reference.energy), known
