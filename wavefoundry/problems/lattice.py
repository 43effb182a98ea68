"""Families of lattice Hamiltonians H = sum_k c_k H_k of spins 1/2, one NetKet Jax operator per coupling.

Spins are +-1 (int8). Ising: Pauli matrices. Exchange between spins: spin operators S = sigma/2.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import jax.numpy as jnp
import netket as nk
import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import edges_of, expect, flag_of, number_of, plain_of
from wavefoundry.core.hamiltonians import (
    MODELS,
    Local,
    Model,
    Place,
    Term,
    check_local,
    factors,
    local_of,
    register,
    turned,
)  # fmt: skip
from wavefoundry.core.lattices import LATTICES, plain
from wavefoundry.core.words import near
from wavefoundry.problems.gauge import regular_rule
from wavefoundry.problems.lattice_checks import (
    check_couplings,
    check_not_zero,
    check_operators,
    check_terms,
    pairs_of,
    rule_of,
    sector_states,
)
from wavefoundry.problems.moves import moves_of
from wavefoundry.problems.outgoing import off_diagonal, outgoing_of, turned_by_slot
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.strings import Strings, strings_of

__all__ = [
    "MODELS", "LatticeSystem", "Model", "Place", "Term", "build", "from_netket", "ising", "ising_chain",
    "ising_square", "j1j2", "j1j2_chain", "j1j2_square", "register",
]  # fmt: skip


DECAY = 3.0
"""Power of the distance that couplings of ranged models fall off with by default."""


def __dir__() -> list[str]:
    return sorted(__all__)


def from_netket(
    terms: dict[str, Any],
    couplings: dict[str, float],
    *,
    extent: Sequence[int] | None = None,
    periodic: bool = True,
    marshall: Sequence[bool] | None = None,
    model: str = "custom",
    bonds: Sequence[tuple[int, int]] | None = None,
) -> LatticeSystem:
    """A family of Hamiltonians from NetKet operators, one for each coupling.

    Args:
        terms: operator of each coupling; Jax operators, or ones with ``to_pauli_strings`` / ``to_jax_operator``.
        couplings: value of each coupling, same names as ``terms``.
        extent: (sites,) of a chain (default) or (rows, columns) of a square lattice, row-major.
        periodic: whether patches and correlation functions may wrap round.
        marshall: sites whose down spins change the sign of psi (Marshall rule), or None.
        model: name used in reports; not that of a built-in model, of which more is known than its name.
        bonds: pairs of neighbours, for the moves of Markov chains; those of a chain or square lattice by default.

    Raises:
        InputError: names differ, Hilbert spaces differ, not spin 1/2, complex, infinite or huge matrix elements, a term
            that leads out of the sector, a constraint whose configurations no moves connect, or no Jax operator.
    """
    expect(model, str, "name", where="from_netket: model")
    if model in MODELS:
        why = "exact values and order parameters of that model would be taken for those of these operators"
        fix = f"another name, or wf.lattice.build({model!r}, ...)"
        raise InputError(f"{model!r} is a built-in model", where="from_netket: model", why=why, fix=fix)
    return _assembled(terms, couplings, extent, periodic, marshall, model, bonds)


def _assembled(
    terms: dict[str, Any],
    couplings: dict[str, float],
    extent: Sequence[int] | None,
    periodic: bool,
    marshall: Sequence[bool] | None,
    model: str,
    bonds: Sequence[tuple[int, int]] | None,
) -> LatticeSystem:
    """A system of operators; arguments and errors as of ``from_netket``."""
    for table, what in ((terms, "terms"), (couplings, "couplings")):
        expect(table, Mapping, "table", where=f"from_netket: {what}", fix='{"J": ...}, one entry for each coupling')
    if set(terms) != set(couplings) or not terms:
        raise InputError(
            f"terms {list(terms)} and couplings {list(couplings)} do not match",
            where="from_netket",
            why="every operator needs exactly one coupling",
            fix="use the same names in both",
        )
    check_couplings(couplings)
    periodic = flag_of(periodic, "periodic", where="from_netket")
    check_terms(terms)
    operators = tuple(_as_jax(name, operator) for name, operator in terms.items())
    hilbert = operators[0].hilbert
    check_operators(dict(zip(terms, operators, strict=True)))
    if model not in MODELS:  # on one site a built-in model has no bonds
        check_not_zero(dict(zip(terms, operators, strict=True)))
    shape = (hilbert.size,) if extent is None else edges_of(extent, "from_netket: extent")
    if int(np.prod(shape)) != hilbert.size:
        raise InputError(f"extent {shape} does not hold {hilbert.size} sites", where="from_netket: extent")
    near_by = LATTICES[plain(shape)].bonds(shape, periodic) if bonds is None else pairs_of(bonds, hilbert.size)
    moves = moves_of(operators, _neighbour_pairs(near_by, hilbert.size))
    turned = [turned_by_slot(operator) for operator in operators]
    return LatticeSystem(
        couplings=jnp.array([float(couplings[name]) for name in terms]),
        operators=operators,
        sublattice=None if marshall is None else jnp.asarray(rule_of(marshall, hilbert.size)),
        pairs=None if moves.pairs is None else jnp.asarray(moves.pairs),
        flip_all=jnp.array(_flip_all_probability(hilbert)),
        names=tuple(terms),
        extent=shape,
        periodic=periodic,
        model=model,
        slots=tuple(off_diagonal(operator, masks) for operator, masks in zip(operators, turned, strict=True)),
        outgoing=outgoing_of(operators, turned),
        groups=None if moves.groups is None else jnp.asarray(moves.groups),
    )


def observable_strings(operator: Any, name: str = "operator") -> Strings | None:
    """The Pauli strings of an operator that is to be measured; its elements may be complex. None: it has none.

    Raises:
        InputError: no spins 1/2, not Hermitian, elements that are not finite or huge, or one that leads out of the
            sector.
    """
    check_terms({name: operator})
    converted = _as_jax(name, operator)
    strings = strings_of(converted)
    check_operators({name: converted}, real=strings is None)
    return strings


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


def _neighbour_pairs(bonds: Sequence[tuple[int, int]], sites: int) -> np.ndarray:
    """Pairs of sites up to two bonds apart, (pairs, 2), for exchange moves."""
    around: list[set[int]] = [set() for _ in range(sites)]
    for i, j in bonds:
        around[i].add(j)
        around[j].add(i)
    pairs = {(i, j) for i, near in enumerate(around) for k in near for j in (k, *around[k]) if i < j}
    return np.array(sorted(pairs), int).reshape(-1, 2)


def _strings(sites: int, places: Sequence[tuple[int, ...]], letters: str) -> list[str]:
    """Pauli strings with ``letters`` on the sites of every place."""
    out = []
    for place in places:
        string = ["I"] * sites
        for site, letter in zip(place, letters, strict=True):
            string[site] = letter
        out.append("".join(string))
    return out


def build(
    model: str,
    lattice: str,
    size: int | Sequence[int],
    *,
    periodic: bool = True,
    marshall: bool | Literal["auto"] = "auto",
    exponent: float = DECAY,
    local_couplings: Local | str | Path | None = None,
    **couplings: float,
) -> LatticeSystem:
    """A built-in model on a built-in lattice, as the tables in ``core.hamiltonians`` and ``core.lattices`` have them.

    Args:
        model: a name out of ``core.hamiltonians.MODELS``: "ising", "j1j2", ... lattice: "chain", "square",
            "triangular", "honeycomb" (two sites in a cell), "kagome" (three).
        size: cells along every edge: L, or (rows, columns).
        periodic: boundary condition.
        marshall: rotate one sublattice (Marshall sign rule); "auto": where there are two and the model asks for it,
            with stripes as sublattices where these couplings make them better.
        exponent: of the distance, for models whose couplings fall off with it.
        local_couplings: factors of couplings on single sites and bonds, ``{"J": [(0, 1, 0.5)], "h": [(3, 2.0)]}``, or
            the CSV file with them: sites (in either order), then the factor; places that are not listed keep 1.
        couplings: by their names in the model; missing ones have their defaults.

    Warns where a periodic lattice is so small that bonds coincide: it then has fewer than its kind.

    Raises:
        InputError: unknown names, an odd number of sites for Sz = 0, a sign rule without two sublattices, or local
            couplings where there are none.
    """
    entry = _entry(MODELS, model, "model")
    kind = _entry({name: LATTICES[name] for name in entry.lattices}, lattice, f"lattice of {model}")
    power, periodic = _exponent(entry, exponent), flag_of(periodic, "periodic", where="lattice")
    rule = plain_of(marshall)
    if not isinstance(rule, bool) and rule != "auto":
        raise InputError(f"marshall = {marshall!r:.60} is not possible", where="lattice", why='True, False or "auto"')
    given = plain_of(size)
    edges = edges_of(given if isinstance(given, list | tuple) else (given,) * kind.axes, "lattice: size")
    where = Place(kind, edges, periodic)
    _check_place(entry, where)
    values = _values(entry, couplings)
    local = local_of(local_couplings, "local_couplings")
    check_local(entry, where, local, "local_couplings")
    sites, fits = entry.spins * kind.basis * int(np.prod(edges)), entry.marshall(kind, edges, periodic)
    ruled = rule is True or (rule == "auto" and not turned(entry, local))
    if entry.sector and sites % 2:
        raise InputError(f"{sites} spins cannot have Sz = 0", where=model, fix="use an even number of sites")
    if rule is True and not fits:
        raise InputError(
            f"the Marshall rule needs two sublattices, and the {lattice} {'x'.join(map(str, edges))} has none",
            where=f"{model}: marshall",
            fix="use even edges, an open lattice, or marshall=False",
        )
    space: Any = nk.hilbert.Spin
    hilbert = space(0.5, sites, total_sz=0) if entry.sector else space(0.5, sites)
    terms = {name: _term(hilbert, entry, name, where, power, factors(local.get(name, ()))) for name in entry.couplings}
    signs = [colour == 1 for colour in kind.colour(edges)] if fits and ruled else None
    system = _assembled(terms, values, entry.extent(where), periodic, signs, model, kind.bonds(edges, periodic))
    if entry.flips is not None:
        system = dataclasses.replace(system, groups=jnp.asarray(_groups(entry, where, sites)))
    system = dataclasses.replace(system, geometry=lattice if entry.spins == 1 else "", uniform=not any(local.values()))
    chosen = rule == "auto" and kind.basis == 1 and system.sublattice is not None
    return regular_rule(system) if chosen else system


def _exponent(entry: Model, exponent: Any) -> float:
    """The power of the distance, of models that have one."""
    power = number_of(exponent, "exponent", where="lattice: exponent")
    if power != DECAY and not entry.ranged:
        ranged = ", ".join(name for name, other in MODELS.items() if other.ranged)
        raise InputError(f"{entry.name} has no exponent", where="lattice: exponent", why=f"it belongs to {ranged}")
    if not 0 < power <= 100:
        why = "couplings fall off with the distance"
        raise InputError(f"exponent = {power:g} is not possible", where="lattice: exponent", why=why, fix="0 to 100")
    return power


def _check_place(entry: Model, where: Place) -> None:
    """Refuse a lattice that a model cannot live on."""
    lattice, edges, periodic = where
    if len(edges) != lattice.axes:
        raise InputError(f"a {lattice.name} has {lattice.axes} edges, not {len(edges)}", where="lattice: size")
    if periodic not in entry.boundaries:
        only = "periodic" if entry.boundaries[0] else "open"
        raise InputError(
            f"the {entry.title} lives on a {only} lattice", where=entry.name, fix=f"periodic={not periodic}"
        )
    small = entry.too_small(where)
    if small is not None and entry.least is not None:
        raise InputError(small.what, where="lattice: size", why=small.why, fix=small.fix)
    if small is not None and periodic:
        warnings.warn(f"{small.what}: {small.why}, and each pair counts once; {small.fix}", stacklevel=3)


def _values(entry: Model, couplings: dict[str, float]) -> dict[str, float]:
    """All couplings, with the defaults of those that are missing."""
    if unknown := [name for name in couplings if name not in entry.couplings]:
        why, fix = f"couplings of {entry.name}: {', '.join(entry.couplings)}", near(unknown[0], entry.couplings)
        raise InputError(f"{entry.name} has no coupling {unknown[0]!r}", where="couplings", why=why, fix=fix)
    check_couplings(couplings, "couplings")
    values = entry.couplings | couplings
    if outside := entry.outside(values):
        raise InputError(outside[1], where=f"couplings: {outside[0]}")
    return values


def _groups(entry: Model, where: Place, sites: int) -> np.ndarray:
    """Spins that are flipped together, (groups, sites)."""
    places = [place for term in entry.terms if term.coupling == entry.flips for place in term.places(where, sites)]
    groups = np.zeros((len(places), sites), dtype=bool)
    for row, place in zip(groups, places, strict=True):
        row[list(place)] = True
    return groups


def _entry(table: Mapping[str, Any], name: str, what: str) -> Any:
    expect(name, str, f"name of a {what}", where="lattice", fix=f"one of {', '.join(table)}")
    if name not in table:
        why, fix = f"known: {', '.join(table)}", near(name, table)
        raise InputError(f"there is no {what} called {name!r}", where="lattice", why=why, fix=fix)
    return table[name]


def _term(
    hilbert: Any, model: Model, coupling: str, where: Place, exponent: float, factor: Mapping[frozenset[int], float]
) -> Any:
    """The operator of one coupling; factor: of places where it differs from the rest."""
    strings, weights = [], []
    for term in (term for term in model.terms if term.coupling == coupling):
        places = term.places(where, hilbert.size)
        far = [1.0] * len(places)
        if term.shell is None:
            far = [where.lattice.distance(where.cells, where.periodic, (place[0], place[1])) for place in places]
        for letters in term.letters:
            strings += _strings(hilbert.size, places, letters)
            own = [factor.get(frozenset(place), 1.0) for place in places]
            weights += [term.weight * f / r**exponent for r, f in zip(far, own, strict=True)]
    operator: Any = nk.operator.PauliStringsJax
    return operator(hilbert, strings, weights)


def ising(extent: Sequence[int], *, h: float = 1.0, J: float = 1.0, periodic: bool = True) -> LatticeSystem:
    """Transverse-field Ising model H = -J sum_<ij> Z_i Z_j - h sum_i X_i (Pauli matrices).

    Args:
        extent: (sites,) or (rows, columns); bonds are counted once.
        h: transverse field. J: ferromagnetic coupling.
        periodic: boundary condition.
    """
    return build("ising", plain(edges_of(extent, "lattice.ising")), extent, periodic=periodic, J=J, h=h)


def ising_chain(sites: int, *, h: float = 1.0, J: float = 1.0, periodic: bool = True) -> LatticeSystem:
    """Transverse-field Ising chain, see ``ising``; critical at h = J."""
    return ising((sites,), h=h, J=J, periodic=periodic)


def ising_square(
    rows: int, columns: int, *, h: float = 3.04438, J: float = 1.0, periodic: bool = True
) -> LatticeSystem:
    """Transverse-field Ising model on a square lattice, see ``ising``; critical at h = 3.04438 J."""
    return ising((rows, columns), h=h, J=J, periodic=periodic)


def j1j2(
    extent: Sequence[int],
    *,
    J2: float = 0.0,
    J1: float = 1.0,
    periodic: bool = True,
    marshall: bool | Literal["auto"] = "auto",
) -> LatticeSystem:
    """J1-J2 Heisenberg model H = J1 sum_nn S.S + J2 sum_nnn S.S (spin operators) in the sector Sz = 0.

    Args:
        extent: (sites,) with an even number of sites, or (rows, columns).
        J2: next-nearest neighbour coupling (second neighbours on the chain, diagonals on the square).
        J1: nearest neighbour coupling.
        periodic: boundary condition.
        marshall: rotate one sublattice (Marshall sign rule); exact signs at J2 = 0. "auto": where there are two, by
            stripes on a square and ++-- on a chain for J2 > J1 / 2.

    Raises:
        InputError: an odd number of sites, or a sign rule on a lattice without two sublattices.
    """
    return build(
        "j1j2", plain(edges_of(extent, "lattice.j1j2")), extent, periodic=periodic, marshall=marshall, J1=J1, J2=J2
    )


def j1j2_chain(sites: int, **options: Any) -> LatticeSystem:
    """J1-J2 Heisenberg chain, see ``j1j2``; dimerises at J2/J1 = 0.2411."""
    return j1j2((sites,), **options)


def j1j2_square(rows: int, columns: int, **options: Any) -> LatticeSystem:
    """J1-J2 Heisenberg model on a square lattice, see ``j1j2``."""
    return j1j2((rows, columns), **options)
