"""Exchange between spins: Heisenberg and XXZ models."""

from __future__ import annotations

from collections.abc import Callable

from wavefoundry.core.hamiltonians.model import Model, Term, Values


def _exchange(first: str, second: str | None) -> Callable[[Values, bool], set[str]]:
    """Of exchange between spins.

    Antiferromagnetic first neighbours with the Marshall rule, ferromagnetic ones without; second neighbours
    ferromagnetic.
    """

    def gauges(values: Values, rule: bool) -> set[str]:
        beyond = second is None or values[second] <= 0
        if rule:
            return {"Marshall"} if values[first] >= 0 and beyond else set()
        return {"none"} if values[first] <= 0 and beyond else set()

    return gauges


def _spins(coupling: str, shell: int, letters: tuple[str, ...] = ("XX", "YY", "ZZ")) -> Term:
    """S.S, or a part of it, on the bonds of a shell: spin operators are half the Pauli matrices."""
    return Term(coupling, letters, shell, 0.25)


MODELS = (
    Model(
        "j1j2",
        "J1-J2 Heisenberg model",
        "total energy of H = J1 sum_nn S_i.S_j + J2 sum_nnn S_i.S_j in spin operators S = sigma / 2",
        {"J1": 1.0, "J2": 0.0},
        (_spins("J1", 1), _spins("J2", 2)),
        "J1",
        _exchange("J1", "J2"),
        sector=True,
        order="sublattice",
    ),
    Model(
        "xxz",
        "XXZ model",
        "total energy of H = sum_<ij> Jxy (Sx_i Sx_j + Sy_i Sy_j) + Jz Sz_i Sz_j in spin operators S = sigma / 2",
        {"Jxy": 1.0, "Jz": 1.0},
        (_spins("Jxy", 1, ("XX", "YY")), _spins("Jz", 1, ("ZZ",))),
        "Jxy",
        _exchange("Jxy", None),
        sector=True,
        order="sublattice",
    ),
)
