"""Exact diagonalisation in symmetry sectors by QuSpin: magnetisation, momentum, spin flip, reflections.

Every sector is searched, but for those that a symmetry maps to one that was: only then is the lowest level that of the
whole Hamiltonian. Matrix elements are real, so that momenta k and -k have the same levels.
"""

from __future__ import annotations

import itertools
import math
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.problems.references.spins import (
    INSTALL,
    Keep,
    Operation,
    Report,
    Spins,
    closure,
    flips_keep,
    involutions,
    keeps_magnetisation,
    ladder,
    translations,
)

DENSE = 300
"""Up to so many states a sector is diagonalised as a full matrix."""
LANCZOS_VECTORS = 20
"""Vectors that the iteration holds."""
CLOSE = 1e-9
"""Levels closer than this share of the sum of all weights count as degenerate."""


class Sector(NamedTuple):
    """Quantum numbers: spins up, momentum along each translation, signs under reflections and spin flip.

    weight: how many sectors with the same levels it stands for.
    """

    up: int | None
    momentum: tuple[int, ...]
    mirrors: tuple[tuple[Operation, int], ...]
    flip: int | None
    weight: int

    def words(self, periods: tuple[int, ...]) -> str:
        """It in words: ``Sz = 0, k = (0, 1/2) x 2 pi, spin flip +``."""
        texts = [] if self.up is None else [f"{self.up} up"]
        if self.momentum:
            k = ", ".join(f"{k}/{period}" if k else "0" for k, period in zip(self.momentum, periods, strict=True))
            texts.append(f"k = ({k}) x 2 pi")
        texts += [f"{mirror.name} {'-' if sign else '+'}" for mirror, sign in self.mirrors]
        texts += [] if self.flip is None else [f"spin flip {'-' if self.flip else '+'}"]
        return ", ".join(texts) or "all states"


class Symmetries(NamedTuple):
    """What the Hamiltonian has: shifts by axis, reflections, the flip of all spins, the magnetisation."""

    shifts: list[tuple[int, np.ndarray]]
    mirrors: list[Operation]
    flip: bool
    magnetisation: bool

    @property
    def periods(self) -> tuple[int, ...]:
        """How often each shift has to be done to be back."""
        return tuple(_period(shift) for _, shift in self.shifts)


def symmetries_of(spins: Spins) -> Symmetries:
    """The symmetries that sectors are made of."""
    strings = spins.strings()
    flip = flips_keep(strings) and (spins.up is None or 2 * spins.up == spins.sites)
    keeps = spins.up is not None or keeps_magnetisation(ladder(strings))
    return Symmetries(translations(spins), involutions(spins), flip, keeps)


def _period(shift: np.ndarray) -> int:
    count, moved = 1, shift
    while not np.array_equal(moved, np.arange(len(shift))):
        count, moved = count + 1, moved[shift]
    return count


def sectors(spins: Spins, found: Symmetries) -> list[Sector]:
    """All sectors with different levels, those without momentum and magnetisation first."""
    sites, listed = spins.sites, []
    ups: list[tuple[int | None, int]] = [(spins.up, 1)]
    if spins.up is None and found.magnetisation:
        ups = [(up, 1) for up in range(sites + 1)]
        if found.flip:  # as many up as down: the flip maps one to the other
            ups = [(up, 1 if 2 * up == sites else 2) for up in range(sites + 1) if 2 * up >= sites]
    for (up, double), (momentum, orbit) in itertools.product(ups, _momenta(found)):
        chosen = _commuting(found, momentum)
        flips = (0, 1) if found.flip and (up is None or 2 * up == sites) else (None,)
        for signs in itertools.product((0, 1), repeat=len(chosen)):
            for flip in flips:
                mirrors = tuple(zip(chosen, signs, strict=True))
                listed.append(Sector(up, momentum, mirrors, flip, double * orbit))
    return sorted(listed, key=lambda s: (abs(2 * (s.up or 0) - sites) if s.up is not None else 0, sum(s.momentum)))


def _momenta(found: Symmetries) -> Iterator[tuple[tuple[int, ...], int]]:
    """One momentum of each set that reflections and complex conjugation map to each other, with the size of the set."""
    seen: set[tuple[int, ...]] = set()
    for momentum in itertools.product(*(range(period) for period in found.periods)):
        if momentum in seen:
            continue
        orbit = {momentum}
        while True:
            images = {_turned(found, mirror.turn, k) for mirror in found.mirrors for k in orbit}
            images |= {tuple(-k % p for k, p in zip(one, found.periods, strict=True)) for one in orbit}
            if images <= orbit:
                break
            orbit |= images
        seen |= orbit
        yield momentum, len(orbit)


def _turned(found: Symmetries, turn: np.ndarray, momentum: tuple[int, ...]) -> tuple[int, ...]:
    """The image of a momentum, whose components stand for the axes that have translations."""
    axes = [axis for axis, _ in found.shifts]
    full = np.zeros(len(turn))
    full[axes] = [k / period for k, period in zip(momentum, found.periods, strict=True)]
    image = (turn @ full)[axes] * np.array(found.periods)
    return tuple(int(round(k)) % period for k, period in zip(image, found.periods, strict=True))


def _commuting(found: Symmetries, momentum: tuple[int, ...]) -> list[Operation]:
    """Reflections that keep a momentum and commute with each other, none of them a product of others."""
    chosen: list[Operation] = []
    for mirror in found.mirrors:
        keeps = _turned(found, mirror.turn, momentum) == momentum
        commutes = all(np.array_equal(mirror.turn @ one.turn, one.turn @ mirror.turn) for one in chosen)
        moves = [one.permutation for one in chosen] + [shift for _, shift in found.shifts]
        group = closure(moves, len(mirror.permutation))
        if keeps and commutes and not any(np.array_equal(mirror.permutation, other) for other in group):
            chosen.append(mirror)
    return chosen


class Need(NamedTuple):
    """What a sector takes, estimated: states, and bytes of memory at the peak."""

    states: float
    memory: float


def need(spins: Spins, sector: Sector, found: Symmetries) -> Need:
    """States and memory of one sector, before anything is built."""
    sites = spins.sites
    whole = 2.0**sites if sector.up is None else float(math.comb(sites, sector.up))
    images = math.prod(found.periods) * 2 ** (len(sector.mirrors) + (sector.flip is not None))
    states = min(whole, 1.05 * whole / images + 10)
    kinds = {tuple(i for i, op in key if op != "z") for key in ladder(spins.strings())} - {()}
    row = 1 + len(kinds) * (0.55 if found.magnetisation else 1.0)
    item = 8 if _is_real(sector, found) else 16
    # entries with their column, twice while they are put together; representatives and norms; the iteration
    memory = states * (row * (item + 8) * 2 + 24 + LANCZOS_VECTORS * item)
    return Need(states, memory)


def _is_real(sector: Sector, found: Symmetries) -> bool:
    return all(2 * k % period == 0 for k, period in zip(sector.momentum, found.periods, strict=True))


class Level(NamedTuple):
    """The lowest levels of a sector: energies, vectors (states, levels), and QuSpin's basis."""

    sector: Sector
    energies: np.ndarray
    vectors: np.ndarray
    basis: Any


def solve(spins: Spins, memory: float, seconds: float, report: Report = print, keep: Keep = dict) -> dict[str, Any]:
    """The ground state of a Hamiltonian.

    Args:
        spins: the system. memory: bytes that may be used. seconds: after which no further sector is begun.
        report: hears of the sectors. keep: gets what they have given so far, in case the next one is never finished.

    Returns:
        ``energy``, ``kind`` ("exact", or "upper bound" where time was up before all sectors were searched),
        ``observables``, ``terms`` where they do not depend on the choice of a ground state, ``details``.

    Raises:
        InputError: QuSpin is not installed, or a sector does not fit into memory.
        PhysicsError: the iteration did not converge.
    """
    found = symmetries_of(spins)
    listed, begin = sectors(spins, found), time.monotonic()
    needs = [need(spins, sector, found) for sector in listed]
    largest = max(needs, key=lambda one: one.memory)
    if largest.memory > memory:
        raise InputError(
            f"exact diagonalisation of {spins.sites} sites needs {largest.memory / 2**30:.3g} GiB: "
            f"{largest.states:.3g} states in the largest of {len(listed)} symmetry sectors",
            why=f"{memory / 2**30:.3g} GiB may be used (reference.memory_gib)",
        )
    lowest: list[Level] = []
    searched, close = 0, CLOSE * spins.scale
    for sector in listed:
        if searched and time.monotonic() - begin > seconds:
            break
        level = _lowest(spins, sector, found)
        searched += 1
        if level is None:
            continue
        energy = min([level.energies[0], *(other.energies[0] for other in lowest)])
        lowest = [one for one in (*lowest, level) if one.energies[0] <= energy + close]
        keep(_result(lowest, (searched, listed), needs, found, close))
        report(f"sector {searched} of {len(listed)}: {level.basis.Ns} states, lowest energy {energy:.10g}")
    result = _result(lowest, (searched, listed), needs, found, close)
    if searched < len(listed):
        return result
    count, limit = result["details"]["degeneracy"], result["energy"] + close
    observed, terms = _values(spins, found, lowest, count, limit)
    return result | {"kind": "exact", "observables": observed, "terms": terms}


def _result(
    lowest: list[Level], searched: tuple[int, list[Sector]], needs: list[Need], found: Symmetries, close: float
) -> dict[str, Any]:
    """What the sectors that were searched have given: an upper bound, as long as there are others."""
    energy = min(float(level.energies[0]) for level in lowest)
    details = {
        "states": round(max(one.states for one in needs)),
        "sectors": len(searched[1]),
        "searched": searched[0],
        "sector": lowest[0].sector.words(found.periods),
        "degeneracy": sum(one.sector.weight * int(np.sum(one.energies <= energy + close)) for one in lowest),
    }
    return {"energy": energy, "kind": "upper bound", "details": details}


def _lowest(spins: Spins, sector: Sector, found: Symmetries) -> Level | None:
    """The lowest levels of one sector; None where it has no state."""
    from scipy.sparse.linalg import ArpackError, eigsh

    basis = _basis(spins, sector, found)
    if basis.Ns == 0 or (basis.Ns == 1 and not _any_state(basis)):
        return None
    matrix = _matrix(spins.strings(), basis, _is_real(sector, found))
    if basis.Ns <= DENSE:
        energies, vectors = np.linalg.eigh(matrix.toarray())
        return Level(sector, energies[:4], vectors[:, :4], basis)
    start = np.random.default_rng(0).standard_normal(basis.Ns).astype(matrix.dtype)
    # shifted so that no level is near 0, where a relative tolerance means nothing
    shift = 2 * spins.scale
    shifted = matrix - shift * _identity(basis.Ns)
    try:
        energies, vectors = eigsh(shifted, k=2, which="SA", v0=start, tol=1e-13, ncv=LANCZOS_VECTORS, maxiter=5000)  # pyright: ignore
    except ArpackError as error:
        raise PhysicsError(f"the Lanczos iteration did not converge: {error}") from error
    order = np.argsort(energies)
    return Level(sector, energies[order] + shift, vectors[:, order], basis)


def _identity(size: int) -> Any:
    from scipy.sparse import identity

    return identity(size, format="csr")


def _any_state(basis: Any) -> bool:
    """Whether a sector of one state has a state at all: QuSpin gives one place to an empty sector."""
    try:
        return bool(np.abs(basis.get_proj(np.complex128).toarray()).max() > 1e-12)
    except (ValueError, MemoryError):
        return False


def _basis(spins: Spins, sector: Sector, found: Symmetries) -> Any:
    try:
        from quspin.basis import spin_basis_general
    except ImportError as error:
        raise InputError("exact diagonalisation in sectors needs QuSpin", why=str(error), fix=INSTALL) from None
    blocks: dict[str, Any] = {
        f"t{axis}": (shift, k) for (axis, shift), k in zip(found.shifts, sector.momentum, strict=True)
    }
    blocks |= {f"p{i}": (mirror.permutation, sign) for i, (mirror, sign) in enumerate(sector.mirrors)}
    if sector.flip is not None:
        blocks["z"] = (-(np.arange(spins.sites) + 1), sector.flip)
    with warnings.catch_warnings():  # reflections do not commute with shifts, but keep the momentum
        warnings.simplefilter("ignore")
        return spin_basis_general(spins.sites, Nup=sector.up, pauli=-1, **blocks)


def _matrix(strings: Any, basis: Any, real: bool) -> Any:
    from quspin.operators import hamiltonian

    grouped: dict[str, list[list[Any]]] = {}
    constant = 0.0
    for key, weight in ladder(strings).items():
        if not key:
            constant += float(np.real(weight))
            continue
        coefficient = float(np.real(weight)) if abs(np.imag(weight)) < 1e-14 else weight
        grouped.setdefault("".join(op for _, op in key), []).append([coefficient, *(i for i, _ in key)])
    dtype: Any = np.float64 if real else np.complex128
    checks = {"check_symm": False, "check_herm": False, "check_pcon": False}
    static = [[ops, entries] for ops, entries in grouped.items()]
    with warnings.catch_warnings():  # characters such as exp(i pi) are real but for rounding
        warnings.simplefilter("ignore")
        matrix = hamiltonian(static, [], basis=basis, dtype=dtype, **checks)
    return matrix.tocsr() + constant * _identity(basis.Ns)


def _values(
    spins: Spins, found: Symmetries, lowest: list[Level], count: int, limit: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Observables and terms that are the same in all ground states."""
    shifts = [shift for _, shift in found.shifts]
    shifted = list(closure(shifts, spins.sites))
    images = list(closure([mirror.permutation for mirror in found.mirrors], spins.sites))
    tables = []
    for level in lowest:
        chosen = level.vectors[:, level.energies <= limit]
        if chosen.shape[1] > 1:
            return {}, {}  # the ground states of one sector may be mixed at will
        zz = _correlations(spins, level.basis, chosen[:, 0])
        zz = np.mean([zz[np.ix_(image, image)] for image in shifted], axis=0)
        tables += [spins.observables(zz[np.ix_(image, image)]) for image in images]
    if count == 1:
        means = {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}
        return means, _terms(spins, found, lowest[0])
    # several ground states: moments have the symmetry of the lattice, so that only their own values count
    values = [table[spins.moment] for table in tables]
    return ({spins.moment: float(np.mean(values))} if np.ptp(values) < 1e-6 else {}), {}


def _correlations(spins: Spins, basis: Any, vector: np.ndarray) -> np.ndarray:
    """<Z_i Z_j> of the representatives of a state, (sites, sites): its own once averaged over all symmetries."""
    weights = np.abs(vector) ** 2
    total = np.zeros((spins.sites, spins.sites))
    places = np.arange(spins.sites)[::-1].astype(np.uint64)
    states = np.asarray(basis.states)
    for begin in range(0, len(states), 2**16):
        block = states[begin : begin + 2**16].astype(np.uint64)[:, None]
        spin = 2.0 * ((block >> places) & np.uint64(1)).astype(float) - 1.0
        total += spin.T @ (weights[begin : begin + 2**16, None] * spin)
    return total


def _terms(spins: Spins, found: Symmetries, level: Level) -> dict[str, float]:
    real, vector = _is_real(level.sector, found), level.vectors[:, 0]
    return {
        name: float(np.real(np.vdot(vector, _matrix(strings, level.basis, real) @ vector)))
        for name, strings in spins.terms().items()
    }
