"""Families of lattice Hamiltonians H = sum_k c_k H_k of spins 1/2, one NetKet Jax operator per coupling.

Spins are +-1 (int8). Ising: Pauli matrices. J1-J2 Heisenberg: spin operators S = sigma/2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import edges_of
from wavefoundry.problems.lattice_checks import check_couplings, check_operators, check_terms, sector_states
from wavefoundry.problems.moves import Moves, moves_of
from wavefoundry.problems.spins import LatticeSystem


def _off_diagonal_slots(operator: Any) -> tuple[int, ...]:
    """Slots of ``get_conn_padded`` that can hold x' != x.

    A Pauli string flips the same sites whatever x is, so its diagonal slots can be told from a few states. Other
    operators keep every slot.
    """
    if not isinstance(operator, nk.operator.PauliStringsJax):
        return tuple(range(operator.max_conn_size))
    x = operator.hilbert.random_state(jax.random.key(2), 64, dtype=jnp.int8)
    xs, _ = operator.get_conn_padded(x)
    moves = np.any(np.asarray(xs) != np.asarray(x)[:, None, :], axis=(0, 2))
    return tuple(int(slot) for slot in np.flatnonzero(moves))


def from_netket(
    terms: dict[str, Any],
    couplings: dict[str, float],
    *,
    extent: Sequence[int] | None = None,
    periodic: bool = True,
    marshall: Sequence[bool] | None = None,
    model: str = "custom",
) -> LatticeSystem:
    """A family of Hamiltonians from NetKet operators, one for each coupling.

    Args:
        terms: operator of each coupling; Jax operators, or ones with ``to_pauli_strings`` / ``to_jax_operator``.
        couplings: value of each coupling, same names as ``terms``.
        extent: (sites,) of a chain (default) or (rows, columns) of a square lattice, row-major.
        periodic: whether patches and correlation functions may wrap round.
        marshall: sites whose down spins change the sign of psi (Marshall rule), or None.
        model: name used in reports.

    Raises:
        InputError: names differ, Hilbert spaces differ, not spin 1/2, complex, infinite or huge matrix elements, a term
            that leads out of the sector, a constraint whose configurations no moves connect, or no Jax operator.
    """
    if set(terms) != set(couplings) or not terms:
        raise InputError(
            f"terms {sorted(terms)} and couplings {sorted(couplings)} do not match",
            where="from_netket",
            why="every operator needs exactly one coupling",
            fix="use the same names in both",
        )
    check_couplings(couplings)
    check_terms(terms, zero=model != "custom")  # on one site a built-in model has no bonds
    operators = tuple(_as_jax(name, operator) for name, operator in terms.items())
    hilbert = operators[0].hilbert
    check_operators(dict(zip(terms, operators, strict=True)))
    shape = (hilbert.size,) if extent is None else edges_of(extent, "from_netket: extent")
    if int(np.prod(shape)) != hilbert.size:
        raise InputError(f"extent {shape} does not hold {hilbert.size} sites", where="from_netket: extent")
    # without a constraint single spins are flipped
    moves = moves_of(operators, _neighbour_pairs(shape, periodic)) if hilbert.constrained else Moves(None, None)
    return LatticeSystem(
        couplings=jnp.array([float(couplings[name]) for name in terms]),
        operators=operators,
        sublattice=None if marshall is None else jnp.asarray(marshall, bool),
        pairs=None if moves.pairs is None else jnp.asarray(moves.pairs),
        flip_all=jnp.array(_flip_all_probability(hilbert)),
        names=tuple(terms),
        extent=shape,
        periodic=periodic,
        model=model,
        slots=tuple(_off_diagonal_slots(operator) for operator in operators),
        groups=None if moves.groups is None else jnp.asarray(moves.groups),
    )


def _flip_all_probability(hilbert: Any) -> float:
    """One global flip per sweep; none when it would leave the magnetisation sector."""
    allowed = not hilbert.constrained or bool(np.all(hilbert.constraint(-sector_states(hilbert, 256))))
    return 1.0 / hilbert.size if allowed else 0.0


def _as_jax(name: str, operator: Any) -> Any:
    """A Jax operator, as Pauli strings where NetKet can convert it: they share connected configurations."""
    for convert in ("to_local_operator", "to_pauli_strings", "to_jax_operator"):
        if hasattr(operator, convert) and not isinstance(operator, nk.operator.PauliStringsJax):
            operator = getattr(operator, convert)()
    if not isinstance(operator, nk.operator.DiscreteJaxOperator):
        raise InputError(
            f"term {name!r} is a {type(operator).__name__}, not a NetKet Jax operator",
            where="from_netket",
            why="local energies are computed inside compiled programs",
            fix="use nk.operator.PauliStringsJax, IsingJax, or an operator with to_jax_operator()",
        )
    return operator


def _neighbour_pairs(shape: tuple[int, ...], periodic: bool) -> np.ndarray:
    """Pairs of sites up to two bonds apart, (pairs, 2), for exchange moves."""
    around: list[set[int]] = [set() for _ in range(int(np.prod(shape)))]
    for i, j in _bonds(shape, periodic)[0]:
        around[i].add(j)
        around[j].add(i)
    pairs = {(i, j) for i, near in enumerate(around) for k in near for j in (k, *around[k]) if i < j}
    return np.array(sorted(pairs), int).reshape(-1, 2)


def _strings(sites: int, bonds: Sequence[tuple[int, int]], letters: str) -> list[str]:
    """Pauli strings with ``letters`` on the two sites of every bond."""
    out = []
    for i, j in bonds:
        string = ["I"] * sites
        string[i], string[j] = letters
        out.append("".join(string))
    return out


def _pauli(hilbert: Any, strings: list[str], weight: float) -> Any:
    """Sum of Pauli strings with one weight."""
    build: Any = nk.operator.PauliStringsJax
    return build(hilbert, strings, [weight] * len(strings))


def ising(extent: Sequence[int], *, h: float = 1.0, J: float = 1.0, periodic: bool = True) -> LatticeSystem:
    """Transverse-field Ising model H = -J sum_<ij> Z_i Z_j - h sum_i X_i (Pauli matrices).

    Args:
        extent: (sites,) or (rows, columns); bonds are counted once.
        h: transverse field. J: ferromagnetic coupling.
        periodic: boundary condition.
    """
    shape = edges_of(extent, "lattice.ising")
    sites = int(np.prod(shape))
    hilbert = nk.hilbert.Spin(0.5, sites)
    bonds, _ = _bonds(shape, periodic)
    flips = ["I" * i + "X" + "I" * (sites - i - 1) for i in range(sites)]
    terms = {
        "J": _pauli(hilbert, _strings(sites, bonds, "ZZ"), -1.0),
        "h": _pauli(hilbert, flips, -1.0),
    }
    return from_netket(terms, {"J": J, "h": h}, extent=shape, periodic=periodic, model="ising")


def ising_chain(sites: int, *, h: float = 1.0, J: float = 1.0, periodic: bool = True) -> LatticeSystem:
    """Transverse-field Ising chain, see ``ising``; critical at h = J."""
    return ising((sites,), h=h, J=J, periodic=periodic)


def ising_square(
    rows: int, columns: int, *, h: float = 3.04438, J: float = 1.0, periodic: bool = True
) -> LatticeSystem:
    """Transverse-field Ising model on a square lattice, see ``ising``; critical at h = 3.04438 J."""
    return ising((rows, columns), h=h, J=J, periodic=periodic)


def j1j2(
    extent: Sequence[int], *, J2: float = 0.0, J1: float = 1.0, periodic: bool = True, marshall: bool = True
) -> LatticeSystem:
    """J1-J2 Heisenberg model H = J1 sum_nn S.S + J2 sum_nnn S.S (spin operators) in the sector Sz = 0.

    Args:
        extent: (sites,) with an even number of sites, or (rows, columns).
        J2: next-nearest neighbour coupling (second neighbours on the chain, diagonals on the square).
        J1: nearest neighbour coupling.
        periodic: boundary condition.
        marshall: rotate one sublattice (Marshall sign rule); exact signs at J2 = 0.

    Raises:
        InputError: an odd number of sites, or a sign rule on a lattice without two sublattices.
    """
    shape = edges_of(extent, "lattice.j1j2")
    sites = int(np.prod(shape))
    if sites % 2:
        raise InputError(f"{sites} spins cannot have Sz = 0", where="j1j2", fix="use an even number of sites")
    if marshall and periodic and any(edge % 2 for edge in shape):
        raise InputError(
            f"the Marshall rule needs two sublattices, but the periodic lattice {shape} has an odd edge",
            where="j1j2: marshall",
            fix="use even edges, an open lattice, or marshall=False",
        )
    hilbert = nk.hilbert.Spin(0.5, sites, total_sz=0)
    nearest, diagonal = _bonds(shape, periodic)
    terms = {}
    for name, bonds in (("J1", nearest), ("J2", diagonal)):
        strings = [s for letters in ("XX", "YY", "ZZ") for s in _strings(sites, bonds, letters)]
        terms[name] = _pauli(hilbert, strings, 0.25)
    sublattice = np.indices(shape).sum(axis=0).reshape(-1) % 2 == 1 if marshall else None
    return from_netket(terms, {"J1": J1, "J2": J2}, extent=shape, periodic=periodic, marshall=sublattice, model="j1j2")


def j1j2_chain(sites: int, **options: Any) -> LatticeSystem:
    """J1-J2 Heisenberg chain, see ``j1j2``; dimerises at J2/J1 = 0.2411."""
    return j1j2((sites,), **options)


def j1j2_square(rows: int, columns: int, **options: Any) -> LatticeSystem:
    """J1-J2 Heisenberg model on a square lattice, see ``j1j2``."""
    return j1j2((rows, columns), **options)


def _bonds(shape: tuple[int, ...], periodic: bool) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Nearest bonds, and second bonds (two sites along a chain, diagonals of a square), each counted once."""
    steps = (((1,),), ((2,),)) if len(shape) == 1 else (((0, 1), (1, 0)), ((1, 1), (1, -1)))
    found: list[list[tuple[int, int]]] = []
    for kind in steps:
        bonds = set()
        for site in np.ndindex(*shape):
            for step in kind:
                other = np.add(site, step)
                if not periodic and (np.any(other < 0) or np.any(other >= shape)):
                    continue
                a, b = (int(np.ravel_multi_index(tuple(p), shape)) for p in (site, np.mod(other, shape)))
                if a != b:  # round an edge of one or two sites a bond may lead back
                    bonds.add((min(a, b), max(a, b)))
        found.append(sorted(bonds))
    return found[0], found[1]
