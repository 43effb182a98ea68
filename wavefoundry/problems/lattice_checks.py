"""What the operators of a user must be before they make a lattice system, and what is said where they are not."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import count_of, expect, flag_of, plain_of
from wavefoundry.core.values import number
from wavefoundry.problems.strings import Strings, count_states, leaving, strings_of

LARGEST, SMALLEST = 1e12, 1e-8
"""Bounds on the largest matrix element of a term, and on couplings (from above): beyond them float64 loses them."""
_LISTED = 4096  # configurations: a sector up to this size is checked completely, of a larger one so many are drawn
_THIRD = {"X": "Z", "Z": "X"}  # the letter that neither of an exchange with Y is
_SEARCHED = 20_000  # axes tried on the way to a real basis


def check_terms(terms: dict[str, Any]) -> None:
    """What must hold before an operator can be converted: spins 1/2, finite elements of a usable size, Hermitian."""
    import netket as nk

    for name, operator in terms.items():
        if not isinstance(operator, nk.operator.AbstractOperator):
            continue
        _check_spins(name, operator.hilbert)
        _check_weights(name, operator)
        if not operator.is_hermitian:
            raise InputError(
                f"term {name!r} is not Hermitian",
                where="from_netket",
                why="energies must be real",
                fix="add the adjoint, for instance operator + operator.H",
            )


def check_not_zero(operators: dict[str, Any]) -> None:
    """Every converted term must have an element, and one of them more than a constant."""
    strings = {name: strings_of(operator) for name, operator in operators.items()}
    acting = False
    for name, found in strings.items():
        if found is not None and not np.any(found.weights):
            raise InputError(
                f"term {name!r} is zero",
                where="from_netket",
                why="it has no strings; NetKet drops those of weights below 1e-8",
                fix="choose other units, or leave the term out",
            )
        acting |= found is None or bool(np.any((found.flips | found.signs)[found.weights != 0]))
    if not acting:
        why = "all configurations have the same energy"
        raise InputError("the Hamiltonian is a constant", where="from_netket", why=why)


def _check_spins(name: str, hilbert: Any) -> None:
    states = getattr(hilbert, "local_states", None)
    if states is not None and set(np.asarray(states).tolist()) == {-1.0, 1.0}:
        return
    found = "sites that differ" if states is None else f"local states {', '.join(f'{s:g}' for s in np.asarray(states))}"
    spinful = "two-level systems keep their Pauli strings, larger ones need several spins 1/2 for each site"
    raise InputError(
        f"only spins 1/2 are supported: term {name!r} acts on {hilbert}",
        where="from_netket",
        why=f"its space has {found}; networks and moves know the spins -1 and +1 alone",
        fix=f"write the model on nk.hilbert.Spin(0.5, N): {spinful}",
    )


def _check_weights(name: str, operator: Any) -> None:
    """Finite and of a size that float64 and NetKet's cut-off can hold."""
    weights = np.asarray(operator.weights) if hasattr(operator, "weights") else _some_elements(operator)
    finite = bool(np.all(np.isfinite(weights)))
    largest = float(np.max(np.abs(weights), initial=0.0)) if finite else np.inf
    if finite and (largest == 0 or SMALLEST <= largest <= LARGEST):
        return
    what = f"matrix elements of {largest:.0e}" if finite else "matrix elements that are not finite"
    raise InputError(
        f"term {name!r} has {what}",
        where="from_netket",
        why=f"the largest element of a term must lie between {SMALLEST:.0e} and {LARGEST:.0e}",
        fix="choose other units" if finite else "look for NaN or infinity in its weights",
    )


def _some_elements(operator: Any) -> np.ndarray:
    try:
        states = operator.hilbert.random_state(jax.random.key(1), 8)
        return np.asarray(operator.get_conn_padded(states)[1])
    except (TypeError, ValueError, NotImplementedError):  # what cannot be converted is refused later, by name
        return np.zeros(0)


def check_couplings(couplings: dict[str, float], where: str = "from_netket: couplings") -> None:
    """Couplings must be finite numbers of a usable size."""
    for name, value in couplings.items():
        coupling = number(plain_of(value))
        if not abs(coupling) <= LARGEST:  # nan is none
            raise InputError(
                f"{name} = {value!r:.60} is not a coupling",
                where=where,
                why=f"couplings are single finite numbers up to {LARGEST:.0e}",
            )


def check_operators(operators: dict[str, Any], real: bool = True) -> None:
    """What must hold of converted operators: one space, real elements, and a sector that no term leaves.

    Args:
        operators: by name. real: whether their elements must be real, as those of a Hamiltonian.
    """
    hilbert = next(iter(operators.values())).hilbert
    for name, operator in operators.items():
        if operator.hilbert != hilbert:
            raise InputError(f"term {name!r} acts on another Hilbert space", where="from_netket")
        _check_weights(name, operator)
        if real:
            _check_real(name, operator, operators)
        if hilbert.constrained:
            _check_sector(name, operator)


def _check_real(name: str, operator: Any, operators: dict[str, Any]) -> None:
    strings = strings_of(operator)
    if strings is not None:
        imaginary = np.abs(np.imag(strings.weights))
    else:
        states = operator.hilbert.random_state(jax.random.key(1), 64)
        imaginary = np.abs(np.imag(np.asarray(operator.get_conn_padded(states)[1])))
    if np.max(imaginary, initial=0.0) <= 1e-12:
        return
    parts = [strings_of(each) for each in operators.values()]
    axes = real_axes([part for part in parts if part is not None]) if all(p is not None for p in parts) else None
    raise InputError(
        f"term {name!r} has complex matrix elements",
        where="from_netket",
        why="elements must be real" + ("" if axes else ", and no exchange of the axes of its spins makes them so"),
        fix=_turned(axes) + " (and lift the constraint)" * operator.hilbert.constrained
        if axes
        else "axes turned by another angle, where that helps (fields along x and y are one field between them); "
        "for Dzyaloshinskii-Moriya terms along several directions none does: they need complex elements, which "
        "wavefoundry does not have",
    )


def _turned(axes: list[str]) -> str:
    """In words, how to exchange letters so that every string gets an even number of Y."""
    if len(set(axes)) == 1:
        return f"exchange the letters {axes[0]} and Y in all strings, and turn the sign of every {_THIRD[axes[0]]}"
    listed = "; ".join(
        f"{a} and Y on sites {[i for i, b in enumerate(axes) if a == b]}, and turn the sign of every {_THIRD[a]} there"
        for a in "XZ" if a in axes
    )  # fmt: skip
    return f"exchange the letters {listed}"


def real_axes(parts: list[Strings]) -> list[str] | None:
    """An axis for every spin such that every string holds an even number of them: turned to y, all elements are real.

    Returns:
        A letter per site, or None where there is no such choice (or none is found within 20000 trials).
    """
    flips = np.concatenate([part.flips for part in parts])
    signs = np.concatenate([part.signs for part in parts])
    letters = np.where(flips & signs, "Y", np.where(flips, "X", np.where(signs, "Z", "I")))
    letters = np.unique(letters[np.any(letters != "I", axis=1)], axis=0)
    sites = flips.shape[1]
    for letter in "YZX":
        if np.all((letters == letter).sum(axis=1) % 2 == 0):
            return [letter] * sites
    last = [[] for _ in range(sites)]  # strings that are complete once a site is chosen
    for row in letters:
        last[int(np.flatnonzero(row != "I")[-1])].append(row)
    chosen: list[str] = []
    trials = 0
    options = [iter("YZX")]
    while options and trials < _SEARCHED:
        trials += 1
        letter = next(options[-1], None)
        if letter is None:
            options.pop()
            if chosen:
                chosen.pop()
            continue
        chosen.append(letter)
        axes = np.array(chosen)
        if all(np.sum(row[: len(axes)] == axes) % 2 == 0 for row in last[len(axes) - 1]):
            if len(chosen) == sites:
                return chosen
            options.append(iter("YZX"))
        else:
            chosen.pop()
    return None


def _check_sector(name: str, operator: Any) -> None:
    """No element of a term may lead out of the constrained space: what is outside has no amplitude."""
    hilbert = operator.hilbert
    strings = strings_of(operator)
    if type(hilbert.constraint).__name__ == "SumConstraint" and strings is not None:
        leaves = leaving(strings, hilbert)
    else:
        states = sector_states(hilbert)
        moved, elements = (np.asarray(part) for part in operator.get_conn_padded(states))
        inside = np.asarray(hilbert.constraint(moved.reshape(-1, hilbert.size))).reshape(elements.shape)
        leaves = bool(np.any(~inside & (np.abs(elements) > 1e-10)))
    if leaves:
        raise InputError(
            f"term {name!r} leads out of the sector of {hilbert}",
            where="from_netket",
            why="it connects configurations that fulfil the constraint with ones that do not",
            fix="lift the constraint (total_sz), or put strings that keep it only together, as XX + YY, in one term",
        )


def sector_states(hilbert: Any, limit: int = _LISTED) -> np.ndarray:
    """All configurations of a small constrained space, else ``limit`` random ones that fulfil the constraint.

    Raises:
        InputError: there is none.
    """
    try:
        if count_states(hilbert) <= 2**16:
            states = np.asarray(hilbert.all_states(), np.int8)
            if len(states):
                return states[:: -(-len(states) // 2**14)]
            raise ValueError("empty")
        states = np.asarray(hilbert.random_state(jax.random.key(1), limit), np.int8)
    except ValueError as error:
        raise InputError(
            f"no configuration of {hilbert} was found", where="from_netket", why="its constraint admits none"
        ) from error
    good = np.asarray(hilbert.constraint(states))
    if not good.all():
        raise InputError(
            f"random configurations of {hilbert} do not fulfil its constraint",
            where="from_netket",
            why="chains could not start",
            fix="give the space a random_state that fulfils it",
        )
    return states


def pairs_of(bonds: Any, sites: int) -> list[tuple[int, int]]:
    """Pairs of different sites."""
    where, pairs = "from_netket: bonds", plain_of(bonds)
    expect(pairs, (list, tuple), "list of pairs", where=where, fix="[(0, 1), (1, 2)], for example")
    found = []
    for pair in pairs:
        expect(pair, (list, tuple), "pair of sites", where=where, fix="(0, 1), for example")
        ends = [count_of(end, "site", where=where, most=sites - 1) for end in pair]
        if len(set(ends)) != 2 or len(ends) != 2:
            raise InputError(f"{pair!r:.60} is no pair of sites", where=where, why="two different ones")
        found.append((ends[0], ends[1]))
    return found


def rule_of(marshall: Any, sites: int) -> np.ndarray:
    """The sites of a sign rule, one flag for each."""
    where, flags = "from_netket: marshall", plain_of(marshall)
    expect(flags, (list, tuple), "list of flags", where=where, fix="[True, False, ...], one for each site, or None")
    if len(flags) != sites:
        raise InputError(f"a sign rule for {len(flags)} of {sites} sites", where=where, why="one flag for each site")
    return np.array([flag_of(flag, "a flag", where=where) for flag in flags])
