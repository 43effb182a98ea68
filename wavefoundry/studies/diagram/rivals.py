"""Points of a diagram held against each other: a state that is lower at another coupling shows the one there wrong.

The expectation values of all terms are stored for every state, so its energy at any other couplings is a sum and costs
nothing. This contains the concavity of the ground-state energy in the couplings: where it is violated, one of the
states beats one of its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wavefoundry.core.verdict import CLOSE, WRONG, graded, with_doubts
from wavefoundry.core.words import assigned


def held_against(records: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, with ``LOWER-STATE`` where another state has a lower energy at their couplings.

    Args:
        records: points of a diagram. others: further states of the same Hamiltonian, the base for instance.
    """
    states = [state for state in (*records, *others) if state["energy"] is not None and state["terms"]]
    return [_judged(record, states) for record in records]


def _judged(record: dict[str, Any], states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if record["energy"] is None or record["answers"]["ground"] == "yes":
        return record
    rivals = [(_energy(state, record["couplings"]), state) for state in states if state is not record]
    lower = [(*found, state) for found, state in rivals if _beats(found, record)]
    if not lower:
        return record
    energy, _, state = min(lower, key=lambda one: one[0])
    gain = (record["energy"] - energy) / max(abs(record["energy"]), 1e-300)
    at = assigned(state["couplings"])
    why = f"the state of {at} has an energy {gain:.1%} lower here: this is not the ground state"
    return record | with_doubts(record, graded("LOWER-STATE", "ground", why, gain > CLOSE, gain > WRONG))


def _energy(state: Mapping[str, Any], couplings: Mapping[str, float]) -> tuple[float, float]:
    """Energy of a state at other couplings, with an upper bound of its error bar (terms are correlated)."""
    terms = state["terms"]
    value = sum(couplings[name] * terms[name]["value"] for name in terms)
    return value, sum(abs(couplings[name]) * terms[name]["error"] for name in terms)


def _beats(found: tuple[float, float], record: Mapping[str, Any]) -> bool:
    energy, error = found
    return energy < record["energy"] - 3 * math.hypot(error, record["energy_error"])
