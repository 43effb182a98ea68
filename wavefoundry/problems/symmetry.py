"""Which translations leave a lattice Hamiltonian as it is: read off its Pauli strings, not sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from wavefoundry.core.shapes import patch_edges
from wavefoundry.problems.lattice_checks import sector_states
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import Strings, strings_of


def broken_by_shifts(system: LatticeSystem, step: int | Sequence[int]) -> list[str]:
    """Names of the terms that a shift by ``step`` sites along an axis of the lattice, round its edges, does not keep.

    All terms count, also those that are off at the present couplings: a diagram may turn them on. The sign rule is part
    of the Hamiltonian. "constraint" stands for the Hilbert space.

    Args:
        system: the family. step: edges of a patch, one for all axes or one for each; they divide those of the lattice.
    """
    steps = patch_edges(step, len(system.extent))
    return broken_by(
        system, [roll for axis, one in enumerate(steps) if (roll := shift(system.extent, axis, one)) is not None]
    )


def broken_by(system: LatticeSystem, rolls: Sequence[Int[np.ndarray, " sites"]]) -> list[str]:
    """Names of the terms that some of these permutations of sites do not keep, see ``broken_by_shifts``."""
    found = []
    sublattice = None if system.sublattice is None else np.asarray(system.sublattice)
    for name, operator in zip(system.names, system.operators, strict=True):
        strings = strings_of(operator)
        kept = _same_strings if strings is not None else _same_elements
        if not all(kept(strings or operator, roll, sublattice) for roll in rolls):
            found.append(name)
    constraint = system.hilbert.constraint if system.hilbert.constrained else None
    if constraint is not None and type(constraint).__name__ != "SumConstraint":
        states = sector_states(system.hilbert)
        if not all(np.all(np.asarray(constraint(states[:, roll]))) for roll in rolls):
            found.append("constraint")
    return found


def shift(extent: tuple[int, ...], axis: int, step: int) -> Int[np.ndarray, " sites"] | None:
    """The site that each site takes its spin from when the lattice is shifted; None if nothing moves."""
    if step % extent[axis] == 0:
        return None
    return np.roll(np.arange(int(np.prod(extent))).reshape(extent), step, axis=axis).reshape(-1)


def _same_strings(strings: Strings, roll: np.ndarray, sublattice: np.ndarray | None) -> bool:
    """Whether the strings with permuted sites have the same weights."""
    weights = strings.weights
    moved = Strings(strings.flips[:, roll], strings.signs[:, roll], weights)
    if sublattice is not None:  # rotated, an element changes sign with every site of the sublattice that it flips
        weights = weights * (1 - 2 * (strings.flips[:, sublattice].sum(axis=1) % 2))
        moved = moved._replace(weights=moved.weights * (1 - 2 * (moved.flips[:, sublattice].sum(axis=1) % 2)))
    first = _table(strings._replace(weights=weights))
    second = _table(moved)
    tolerance = 1e-9 * max((abs(w) for w in first.values()), default=0.0)
    return all(abs(first.get(key, 0.0) - second.get(key, 0.0)) <= tolerance for key in first.keys() | second.keys())


def _table(strings: Strings) -> dict[bytes, complex]:
    rows = np.packbits(np.concatenate([strings.flips, strings.signs], axis=1), axis=1)
    table: dict[bytes, complex] = {}
    for row, weight in zip(rows, strings.weights, strict=True):
        table[row.tobytes()] = table.get(row.tobytes(), 0.0) + weight
    return table


def _same_elements(operator: Any, roll: np.ndarray, sublattice: np.ndarray | None) -> bool:
    """The same for operators that are no strings: matrix elements of 64 random configurations and their images."""
    import jax

    def elements(x: np.ndarray, back: np.ndarray) -> list[dict[bytes, float]]:
        moved, values = (np.asarray(part) for part in operator.get_conn_padded(x))
        if sublattice is not None:
            turned = (moved != x[:, None, :])[..., sublattice].sum(axis=-1) % 2
            values = values * (1 - 2 * turned)
        out: list[dict[bytes, float]] = []
        for states, row in zip(moved[..., back].astype(np.int8), np.real(values), strict=True):
            found: dict[bytes, float] = {}
            for state, value in zip(states, row, strict=True):
                found[state.tobytes()] = found.get(state.tobytes(), 0.0) + float(value)
            out.append(found)
        return out

    x = np.asarray(operator.hilbert.random_state(jax.random.key(4), 64))
    same = np.arange(len(roll))
    for first, second in zip(elements(x, roll), elements(x[:, roll], same), strict=True):
        if any(abs(first.get(k, 0.0) - second.get(k, 0.0)) > 1e-9 for k in first.keys() | second.keys()):
            return False
    return True
