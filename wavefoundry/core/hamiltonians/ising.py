"""Transverse-field Ising models."""

from __future__ import annotations

from wavefoundry.core.hamiltonians.model import Model, Sets, Term, Values


def _field(values: Values, rule: bool) -> set[str]:
    """Of transverse fields: a field of either sign, the sign rule of all sites turns it round."""
    return {name for name, holds in (("none", values["h"] >= 0), ("all sites", values["h"] <= 0)) if holds}


def _onset(sets: Sets, even: bool) -> tuple[str, int]:
    return "two weights per bond", 2 * len(sets["bond"])


_FIELD = Term("h", ("X",), 0, -1.0, mean="m_x")

MODELS = (
    Model(
        "ising",
        "transverse-field Ising model",
        "total energy of H = -J sum_<ij> Z_i Z_j - h sum_i X_i in Pauli matrices",
        {"J": 1.0, "h": 1.0},
        (Term("J", ("ZZ",), 1, -1.0), _FIELD),
        "J",
        _field,
        exact="wavefoundry.problems.closed_forms:of_ising",
        competing=("m_x", "abs_m"),
        onset=_onset,
    ),
    Model(
        "ising-long-range",
        "transverse-field Ising model with power-law couplings",
        "total energy of H = -J sum_i<j Z_i Z_j / r_ij^exponent - h sum_i X_i in Pauli matrices",
        {"J": 1.0, "h": 1.0},
        (Term("J", ("ZZ",), None, -1.0), _FIELD),
        "J",
        _field,
        lattices=("chain", "square"),
        ranged=True,
        competing=("m_x", "abs_m"),
    ),
)
