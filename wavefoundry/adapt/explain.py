"""What the surviving units of one layer say: their sites, their parity, and the couplings they stand for."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from jaxtyping import Float

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import LATTICES, plain

LARGEST_SUPPORT = 12
"""Sites of a unit up to which its couplings are worked out (2^12 sign patterns)."""


def geometry(model: str, extent: tuple[int, ...], periodic: bool, kind: str = "") -> dict[str, list[tuple[int, ...]]]:
    """Named sets of sites: "bond" and "plaquette" of a spin lattice, "plaquette" and "star" of the toric code.

    Args:
        model: name; its entry may have sets of its own. extent: edges, in spins. periodic: boundary. kind: of the
            lattice, by default a chain or a square; plaquettes are those of squares alone.
    """
    entry = MODELS.get(model)
    if entry is not None and entry.sets is not None:
        return entry.sets(entry.place(extent, "", periodic))
    plaquettes = _squares(extent, periodic) if kind in ("", plain(extent)) else []
    lattice = LATTICES[kind or plain(extent)]
    bonds = {(min(pair), max(pair)) for pair in lattice.bonds(lattice.cells(extent), periodic)}
    return {"bond": sorted(bonds), "plaquette": plaquettes}


def _squares(extent: tuple[int, ...], periodic: bool) -> list[tuple[int, ...]]:
    """Corners of all squares between neighbouring sites, each once."""
    found = set()
    for site in np.ndindex(*extent):
        for axes in itertools.combinations(range(len(extent)), 2):
            corners = []
            for step in itertools.product((0, 1), repeat=2):
                corner = list(site)
                for axis, move in zip(axes, step, strict=True):
                    corner[axis] += move
                if not periodic and any(c >= e for c, e in zip(corner, extent, strict=True)):
                    break
                corners.append(int(np.ravel_multi_index([c % e for c, e in zip(corner, extent, strict=True)], extent)))
            if len(set(corners)) == 4:
                found.add(tuple(sorted(corners)))
    return sorted(found)


def classify(support: tuple[int, ...], known: dict[str, list[tuple[int, ...]]]) -> str:
    """Name of a support: one of ``known``, "site", "part of a plaquette", or "other"."""
    for name, sets in known.items():
        if support in sets:
            return name
    if len(support) == 1:
        return "site"
    if any(set(support) < set(quad) for quad in known.get("plaquette", [])):
        return "part of a plaquette"
    return "other"


def walsh(weights: Float[np.ndarray, " k"], activation: str, subset: tuple[int, ...]) -> float:
    """Coefficient of the product of the spins ``subset`` in act(sum_i w_i s_i), an average over all 2^k patterns.

    For two sites and log cosh it is J = 0.5 ln [cosh(w1 + w2) / cosh(w1 - w2)].
    """
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(weights))))
    values = _activate(signs @ weights, activation)
    return float(np.mean(values * np.prod(signs[:, list(subset)], axis=1)))


def _activate(y: np.ndarray, activation: str) -> np.ndarray:
    if activation == "relu":
        return np.maximum(y, 0.0)
    return np.abs(y) + np.log1p(np.exp(-2 * np.abs(y))) - math.log(2.0)


def explain(
    kernel: Float[np.ndarray, "sites hidden"],
    activation: str,
    known: dict[str, list[tuple[int, ...]]],
    couplings: bool = True,
) -> dict[str, Any]:
    """Units, counts of their classes, and the couplings of the whole network.

    Args:
        kernel: pruned weights are exactly zero.
        activation: "logcosh" or "relu".
        known: from ``geometry``.
        couplings: work out the couplings as well.

    Returns:
        ``units`` [{unit, sites, weights, kind, parity, coupling}], parity being the product of the signs of the
        weights and coupling the coefficient of the product of all its spins; ``kinds`` {name: units};
        ``covered`` {name: sets with at least one unit of exactly these sites, all sets}; ``bond_couplings``
        [{sites, J}], summed over all units; ``odd_plaquettes`` [odd, all], units on full plaquettes.
    """
    units = []
    for unit in range(kernel.shape[1]):
        sites = np.flatnonzero(kernel[:, unit])
        if sites.size:
            units.append(_unit(unit, sites, kernel[sites, unit], activation, known, couplings))
    kinds: dict[str, int] = {}
    for unit in units:
        kinds[unit["kind"]] = kinds.get(unit["kind"], 0) + 1
    present = {tuple(unit["sites"]) for unit in units}
    full = [unit for unit in units if unit["kind"] == "plaquette"]
    return {
        "units": units,
        "kinds": kinds,
        "covered": {name: [len(present & set(sets)), len(sets)] for name, sets in known.items()},
        "bond_couplings": bond_couplings(kernel, activation, known.get("bond", [])) if couplings else [],
        "odd_plaquettes": [sum(unit["parity"] < 0 for unit in full), len(full)],
    }


def _unit(
    unit: int, sites: np.ndarray, weights: np.ndarray, activation: str, known: dict, couplings: bool
) -> dict[str, Any]:
    support = tuple(int(site) for site in sites)
    small = couplings and len(support) <= LARGEST_SUPPORT
    return {
        "unit": unit,
        "sites": list(support),
        "weights": [float(w) for w in weights],
        "kind": classify(support, known),
        "parity": int(np.prod(np.sign(weights))),
        "coupling": walsh(weights, activation, tuple(range(len(support)))) if small else None,
    }


def bond_couplings(
    kernel: Float[np.ndarray, "sites hidden"], activation: str, bonds: list[tuple[int, ...]]
) -> list[dict[str, Any]]:
    """J_ab of log psi = sum J_ab s_a s_b + ... for every bond, summed over all units that hold it.

    Units with more than ``LARGEST_SUPPORT`` sites are left out; then J is None for their bonds.
    """
    totals: dict[tuple[int, ...], float] = dict.fromkeys(bonds, 0.0)
    for unit in range(kernel.shape[1]):
        sites = [int(site) for site in np.flatnonzero(kernel[:, unit])]
        for bond in bonds:
            if not set(bond) <= set(sites):
                continue
            if len(sites) > LARGEST_SUPPORT:
                totals[bond] = math.nan
                continue
            subset = tuple(sites.index(site) for site in bond)
            totals[bond] += walsh(kernel[sites, unit], activation, subset)
    return [{"sites": list(bond), "J": None if math.isnan(J) else J} for bond, J in totals.items()]
