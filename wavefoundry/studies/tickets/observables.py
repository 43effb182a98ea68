"""What a round says beside its energy: order parameters, and the units that are alive."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavefoundry.adapt.masks import Flags, Layout
from wavefoundry.adapt.tickets import Measured
from wavefoundry.core.hamiltonians import MODELS


def observables(lattice: Any, now: Measured) -> dict[str, dict[str, float]]:
    """Magnetisations per site, and what the terms of the Hamiltonian say: m_x, or stabilisers; with standard errors."""
    both = {}
    for key, terms, moments in (
        ("observables", now.terms, now.magnetisation),
        ("observable_errors", now.errors[0], now.errors[1]),
    ):
        found = {name: float(value) for name, value in zip(("m_z", "abs_m", "m2"), moments, strict=True)}
        said = {name: float(value) for name, value in zip(lattice.names, terms, strict=True)}
        found |= {f"term_{name}": value for name, value in said.items()}
        for term in MODELS[lattice.model].terms if lattice.model in MODELS else ():
            if term.mean:  # of a string; its error has no sign
                whole = float(np.sum(np.real(lattice.operators[lattice.names.index(term.coupling)].weights)))
                found[term.mean] = said[term.coupling] / (whole if key == "observables" else abs(whole))
        both[key] = found
    return both


def alive(where: Layout, mask: Flags) -> dict[str, int]:
    """Neurons or filters with at least one surviving weight, by layer."""
    return {layer.name: int(np.unique(layer.groups()[mask[layer.place]]).size) for layer in where.layers}
