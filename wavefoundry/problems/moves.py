"""Moves of Markov chains on constrained spins: which flips keep the constraint, and whether they reach everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from wavefoundry.core.errors import InputError
from wavefoundry.problems.lattice_checks import sector_states
from wavefoundry.problems.strings import count_states, strings_of

_LARGEST = 2**24  # spins in all groups together; beyond that single spins are flipped
_PROVEN = 2**14  # configurations up to which it is shown that moves connect them all


class Moves(NamedTuple):
    """How chains walk: exchanges of antiparallel pairs, or flips of groups of spins; neither: single flips."""

    pairs: Int[np.ndarray, "pairs 2"] | None
    groups: Bool[np.ndarray, "groups sites"] | None


def moves_of(operators: Sequence[Any], near: Int[np.ndarray, "pairs 2"]) -> Moves:
    """Moves that keep the constraint of the operators' space and connect all of its configurations.

    No constraint: flips of single spins, and of the groups that the Hamiltonian flips: it may conserve what nobody has
    said, and then no flip of a single spin leads from one configuration of the state to another. Fixed magnetisation:
    exchanges of ``near`` pairs. Another constraint: flips of single spins, of near pairs, and of whatever the
    Hamiltonian flips, as far as they lead to allowed configurations at all.

    Raises:
        InputError: no such moves: some allowed configurations could never be reached.
    """
    hilbert = operators[0].hilbert
    if not hilbert.constrained:
        return Moves(None, _flipped_together(operators))
    if type(hilbert.constraint).__name__ == "SumConstraint":
        if abs(float(hilbert.constraint.sum_value)) < hilbert.size and (parts := _parts(near, hilbert.size)) > 1:
            raise InputError(
                f"Markov chains cannot reach all configurations of {hilbert}",
                where="from_netket: bonds",
                why=f"the bonds leave the sites in {parts} parts, and exchanges carry no spin from one to another",
                fix="bonds that connect all sites, or none: those of the lattice are used then",
            )
        return Moves(np.asarray(near), None)
    states = sector_states(hilbert)
    complete = bool(count_states(hilbert) == len(states) <= _PROVEN)
    candidates = _candidates(operators, states, near)
    useful = [mask for mask in candidates if np.any(_allowed(hilbert, states, mask))]
    if complete:
        if _components(states, hilbert, useful) > 1:
            raise _unreachable(hilbert, "they fall into parts that no move connects")
    elif useful:
        stuck = ~np.any([_allowed(hilbert, states, mask) for mask in useful], axis=0)
        if stuck.any():
            raise _unreachable(hilbert, f"{stuck.mean():.0%} of random configurations have no move at all")
    elif len(states) > 1:
        raise _unreachable(hilbert, "none of them has a move")
    # a lone configuration still needs a group: its flip is always refused
    return Moves(None, np.array(useful) if useful else np.eye(1, hilbert.size, dtype=bool))


def _parts(near: Int[np.ndarray, "pairs 2"], sites: int) -> int:
    """Number of parts into which sites fall that pairs connect."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.asarray(near, int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(sites, sites))
    return int(connected_components(graph, directed=False)[0])


def _unreachable(hilbert: Any, why: str) -> InputError:
    return InputError(
        f"Markov chains cannot reach all configurations of {hilbert}",
        where="from_netket: constraint",
        why=f"{why} (flips of single spins, of neighbours, and those of the Hamiltonian)",
        fix="a constraint that separates such parts, or a larger Hilbert space without it",
    )


def _flipped_together(operators: Sequence[Any]) -> Bool[np.ndarray, "groups sites"] | None:
    """Spins that the Hamiltonian flips together, each group once; None where it flips single ones alone."""
    strings = [strings_of(operator) for operator in operators]
    flips = [found.flips[found.flips.sum(axis=1) > 1] for found in strings if found is not None]
    masks = np.unique(np.concatenate(flips), axis=0) if flips else np.zeros((0, 1), bool)
    return masks if 0 < masks.size <= _LARGEST else None


def _candidates(operators: Sequence[Any], states: np.ndarray, near: np.ndarray) -> list[np.ndarray]:
    """Masks worth trying: single sites, near pairs, and the flips of the Hamiltonian; each once."""
    sites = states.shape[1]
    masks = [*np.eye(sites, dtype=bool)]
    for pair in near:
        mask = np.zeros(sites, bool)
        mask[pair] = True
        masks.append(mask)
    for operator in operators:
        strings = strings_of(operator)
        if strings is not None:
            masks += [*strings.flips]
            continue
        moved, elements = (np.asarray(part) for part in operator.get_conn_padded(states[:256]))
        masks += [*(moved != states[:256, None, :])[elements != 0]]
    unique = {mask.tobytes(): mask for mask in masks if mask.any()}
    return list(unique.values())


def _allowed(hilbert: Any, states: np.ndarray, mask: np.ndarray) -> Bool[np.ndarray, " states"]:
    """Which states fulfil the constraint after the flip of a mask."""
    return np.asarray(hilbert.constraint(np.where(mask, -states, states)))


def _components(states: np.ndarray, hilbert: Any, masks: list[np.ndarray]) -> int:
    """Number of parts into which the configurations fall under the moves."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    place = {state.tobytes(): index for index, state in enumerate(states)}
    links = []
    for mask in masks:
        moved = np.where(mask, -states, states)
        for index in np.flatnonzero(np.asarray(hilbert.constraint(moved))):
            links.append((index, place[moved[index].tobytes()]))
    ends = np.array(links, int).reshape(-1, 2).T
    graph = coo_matrix((np.ones(ends.shape[1]), (ends[0], ends[1])), shape=(len(states), len(states)))
    return int(connected_components(graph, directed=False)[0])
