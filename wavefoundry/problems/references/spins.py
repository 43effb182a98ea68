"""Spins 1/2 in plain numbers: what exact diagonalisation and DMRG are given, without JAX, to be sent to a process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.lattices import LATTICES, plain

if TYPE_CHECKING:
    from wavefoundry.problems.spins import LatticeSystem

Letters = dict[str, float]
"""Pauli strings, one letter (I, X, Y, Z) a site, with their weights."""
Ladder = dict[tuple[tuple[int, str], ...], complex]
"""Products of sigma+ (``+``), sigma- (``-``) and Z (``z``) on increasing sites, with their weights."""
MOST_FLIPS = 10
"""Spins that a string may turn: it stands for two to the power of so many products."""
SMALL = 1e-12
INSTALL = "pip install '.[references]' in the folder of wavefoundry, or pip install quspin physics-tenpy"


class Spins(NamedTuple):
    """A Hamiltonian, and the diagonal observables of its lattice.

    parts: strings of every term, coupling included. extent: edges in sites. basis: sites in a cell. up: number of spins
    up where it is fixed. positive: no off-diagonal element is positive. angles: of the order parameter
    abs(1/N sum_i exp(i angle) Z_i); moment: the name of its second moment. distances: longest of <Z_0 Z_r>. lattice: as
    named in ``core.lattices``.
    """

    parts: dict[str, Letters]
    couplings: dict[str, float]
    extent: tuple[int, ...]
    basis: int
    periodic: bool
    up: int | None
    positive: bool
    angles: tuple[float, ...]
    moment: str
    distances: int
    lattice: str = "chain"

    @property
    def sites(self) -> int:
        """Number of spins."""
        return int(np.prod(self.extent))

    @property
    def cells(self) -> tuple[int, ...]:
        """Edges in cells."""
        return (*self.extent[:-1], self.extent[-1] // self.basis)

    def strings(self) -> Letters:
        """All strings of the Hamiltonian."""
        found: Letters = {}
        for part in self.parts.values():
            for letters, weight in part.items():
                found[letters] = found.get(letters, 0.0) + weight
        return {letters: weight for letters, weight in found.items() if weight}

    def terms(self) -> dict[str, Letters]:
        """Strings of every term whose coupling is on, without the coupling."""
        return {
            name: {letters: weight / self.couplings[name] for letters, weight in part.items()}
            for name, part in self.parts.items()
            if self.couplings[name]
        }

    @property
    def scale(self) -> float:
        """A bound of all energies: the sum of all weights."""
        return sum(map(abs, self.strings().values()))

    def observables(self, zz: np.ndarray) -> dict[str, float]:
        """Second moment of the order, correlation functions, structure factors from <Z_i Z_j>, (sites, sites)."""
        angles = np.array(self.angles)
        along = np.cos(angles[:, None] - angles[None, :])
        found = {self.moment: float((along * zz).sum()) / self.sites**2}
        grid = np.arange(self.sites).reshape(self.extent)
        for r in range(1, self.distances + 1):
            far = np.roll(grid, -r, axis=0)
            i, j = (grid, far) if self.periodic else (grid[:-r], far[:-r])
            found[f"correlation_{r}"] = float(zz[i.ravel(), j.ravel()].mean())
        table = LATTICES[self.lattice]
        waves, places = np.array(table.wave_numbers(self.cells)), np.array(table.places(self.cells))
        phases = np.exp(2j * np.pi * (waves / self.cells) @ (places / table.fine).T)
        factors = np.real(np.einsum("qi,ij,qj->q", phases, zz, phases.conj())) / self.sites
        found |= {f"structure_zz_{k}": float(value) for k, value in enumerate(factors)}
        return found | {"structure_peak": float(factors.max())}


def spins_of(system: LatticeSystem) -> Spins:
    """A lattice system in plain numbers.

    Raises:
        InputError: it is no sum of Pauli strings, or has a constraint other than a fixed magnetisation.
    """
    from wavefoundry.problems import observables
    from wavefoundry.problems.strings import combined, elements

    hilbert, up = system.hilbert, None
    if hilbert.constrained:
        if type(hilbert.constraint).__name__ != "SumConstraint":
            raise InputError("the Hilbert space has a constraint that only our own Lanczos knows")
        up = round((system.sites + float(hilbert.constraint.sum_value)) / 2)
    parts: dict[str, Letters] = {}
    for name, operator in zip(system.names, system.operators, strict=True):
        if not hasattr(operator, "operators"):
            raise InputError(f"the operator of {name} is no sum of Pauli strings")
        coupling = system.values[name]
        parts[name] = {}
        for letters, weight in zip(operator.operators, np.real(operator.weights), strict=True):
            parts[name][str(letters)] = parts[name].get(str(letters), 0.0) + coupling * float(weight)
    strings = combined(system.operators, list(system.values.values()))
    assert strings is not None
    largest = max((found.values.max(initial=0.0) for found in elements(strings, hilbert)), default=0.0)
    colours, count = observables.sublattices(system)
    return Spins(
        parts,
        system.values,
        tuple(system.extent),
        LATTICES[system.geometry].basis if system.geometry else 1,
        system.periodic,
        up,
        bool(largest <= SMALL),
        tuple(2 * np.pi * colours / count),
        observables.names(system)[0],
        observables.distances(system),
        system.geometry or plain(system.extent),
    )


def stored(spins: Spins) -> dict[str, Any]:
    """JSON values of it."""
    return spins._asdict()


def restored(values: Mapping[str, Any]) -> Spins:
    """What ``stored`` gave, after JSON."""
    plain: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Spins(**plain)


def ladder(strings: Letters) -> Ladder:
    """The strings as products of raising and lowering operators; what cancels is left out.

    Raises:
        InputError: a string turns too many spins.
    """
    choices = {"X": (("+", 1), ("-", 1)), "Y": (("+", -1j), ("-", 1j)), "Z": (("z", 1),)}
    found: Ladder = {}
    for letters, weight in strings.items():
        sites = [i for i, letter in enumerate(letters) if letter != "I"]
        if sum(letters[i] != "Z" for i in sites) > MOST_FLIPS:
            raise InputError(f"a term turns more than {MOST_FLIPS} spins at once")
        for picked in itertools.product(*(choices[letters[i]] for i in sites)):
            key = tuple((i, operator) for i, (operator, _) in zip(sites, picked, strict=True))
            found[key] = found.get(key, 0.0) + weight * np.prod([factor for _, factor in picked])
    limit = SMALL * max(map(abs, found.values()), default=0.0)
    return {key: value for key, value in found.items() if abs(value) > limit}


def keeps_magnetisation(terms: Ladder) -> bool:
    """Whether every product raises as many spins as it lowers."""
    return all(sum((op == "+") - (op == "-") for _, op in key) == 0 for key in terms)


def rotated(strings: Letters) -> Letters:
    """The same with the x and z axes exchanged (Y changes its sign)."""
    turn = str.maketrans("XZ", "ZX")
    return {letters.translate(turn): weight * (-1) ** letters.count("Y") for letters, weight in strings.items()}


def flips_keep(strings: Letters) -> bool:
    """Whether the flip of all spins leaves the strings as they are."""
    return all((letters.count("Y") + letters.count("Z")) % 2 == 0 for letters in strings)


def same_after(strings: Letters, permutation: np.ndarray) -> bool:
    """Whether the strings have the same weights when site i takes the place of site permutation[i]."""
    moved = {"".join(letters[i] for i in permutation): weight for letters, weight in strings.items()}
    limit = 1e-9 * max(map(abs, strings.values()), default=0.0)
    return all(abs(strings.get(k, 0.0) - moved.get(k, 0.0)) <= limit for k in strings.keys() | moved.keys())


def product_state(strings: Letters, up: int | None, seed: int = 0) -> np.ndarray:
    """Spins +-1 (sites,) with a low diagonal energy: local descent from random configurations.

    Args:
        strings: of the Hamiltonian. up: number of spins up, where it is fixed. seed: of the random starts.
    """
    sites = len(next(iter(strings)))
    diagonal = [(letters, w) for letters, w in strings.items() if set(letters) <= {"I", "Z"}]
    masks = np.array([[letter == "Z" for letter in letters] for letters, _ in diagonal]).reshape(-1, sites)
    weights = np.array([weight for _, weight in diagonal])
    random, best, lowest = np.random.default_rng(seed), np.ones(sites), np.inf
    for _ in range(8):
        spins = random.choice([-1.0, 1.0], sites)
        if up is not None:
            spins = random.permutation(np.where(np.arange(sites) < up, 1.0, -1.0))
        for _ in range(4 * sites):
            values = weights * np.where(masks, spins, 1.0).prod(axis=1)
            both = masks.T @ (values[:, None] * masks)
            change = -2.0 * np.diag(both)
            if up is None:
                if change.min() >= -SMALL:
                    break
                spins[np.argmin(change)] *= -1
                continue
            pairs = np.where(spins[:, None] * spins[None, :] < 0, change[:, None] + change + 4 * both, np.inf)
            if pairs.min() >= -SMALL:
                break
            i, j = np.unravel_index(np.argmin(pairs), pairs.shape)
            spins[[i, j]] *= -1
        energy = float((weights * np.where(masks, spins, 1.0).prod(axis=1)).sum())
        if energy < lowest - SMALL:
            best, lowest = spins.copy(), energy
    return best


class Operation(NamedTuple):
    """A symmetry of the lattice: where every site goes, and what it does to momenta (axes, axes)."""

    name: str
    permutation: np.ndarray
    turn: np.ndarray


def translations(spins: Spins) -> list[tuple[int, np.ndarray]]:
    """Axis and permutation of the shifts by one cell that the Hamiltonian has."""
    grid = np.arange(spins.sites).reshape(*spins.cells, spins.basis)
    found = []
    for axis, edge in enumerate(spins.cells):
        shift = np.roll(grid, -1, axis=axis).ravel()
        if spins.periodic and edge > 1 and _kept(spins, shift):
            found.append((axis, shift))
    return found


def involutions(spins: Spins) -> list[Operation]:
    """Reflections and the inversion that the Hamiltonian has; lattices of one site in a cell."""
    if spins.basis > 1:
        return []
    grid = np.arange(spins.sites).reshape(spins.cells)

    def mirrored(values: np.ndarray, axis: int) -> np.ndarray:
        flipped = np.flip(values, axis)
        return np.roll(flipped, 1, axis) if spins.periodic else flipped

    if len(spins.cells) == 1:
        options = [Operation("reflection", mirrored(grid, 0), -np.eye(1, dtype=int))]
    else:
        down, across = np.diag([-1, 1]), np.diag([1, -1])
        both, swap = mirrored(mirrored(grid, 0), 1), np.array([[0, 1], [1, 0]])
        options = [
            Operation("inversion", both, down @ across),
            Operation("reflection of rows", mirrored(grid, 0), down),
            Operation("reflection of columns", mirrored(grid, 1), across),
        ]
        if spins.cells[0] == spins.cells[1]:
            options.append(Operation("reflection at the diagonal", grid.T, swap))
            options.append(Operation("reflection at the other diagonal", both.T, -swap))
    named = [option._replace(permutation=option.permutation.ravel()) for option in options]
    return [option for option in named if _kept(spins, option.permutation)]


def _kept(spins: Spins, permutation: np.ndarray) -> bool:
    return all(same_after(strings, permutation) for strings in spins.terms().values())


def closure(permutations: list[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """All products of some permutations of so many sites, the identity first."""
    seen, waiting = {tuple(range(size))}, [np.arange(size)]
    while waiting:
        one = waiting.pop(0)
        yield one
        for other in permutations:
            if (key := tuple(one[other])) not in seen:
                seen.add(key)
                waiting.append(one[other])


Report = Callable[[str], None]
"""Hears how far a calculation has come, in words."""
Keep = Callable[[dict[str, Any]], Any]
"""Gets what a calculation has so far."""
