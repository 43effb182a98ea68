"""Molecules as plain data: elements, positions, charge and spin; reading of atom strings. XYZ files: ``core.xyz``.

Lengths are in bohr. Every molecule that exists is possible: known elements, atoms apart, a spin that fits the
number of electrons. No array library is imported here, so that a study file is refused before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wavefoundry.core.compounds import COMPOUNDS
from wavefoundry.core.elements import ELEMENTS, Point, element, number, position, short
from wavefoundry.core.errors import InputError
from wavefoundry.core.xyz import read_frames

BOHR_PER_ANGSTROM = 1.8897261246
CLOSEST = 0.2
"""Two nuclei nearer than this (bohr) are one mistake, not a molecule."""
_COVALENT = {"H": 0.31, "He": 0.28, "Li": 1.28, "Be": 0.96, "B": 0.84, "C": 0.76, "N": 0.71, "O": 0.66, "F": 0.57,
             "Ne": 0.58}  # fmt: skip
_TOO_SHORT, _TOO_LONG = 0.65, 1.75
_MOST_ATOMS, _MOST_ELECTRONS = 200, 400

Unit = Literal["bohr", "angstrom"]


@dataclasses.dataclass(frozen=True)
class Molecule:
    """Nuclei, charge and spin.

    Args:
        name: what tables and figures call it.
        symbols: element of every atom.
        positions: of the nuclei, bohr.
        charge: of the whole molecule, in units of e.
        spin: 2S, the number of up electrons minus that of down electrons.
        length: that of a scan which the molecule is a point of, bohr.

    Raises:
        InputError: for an unknown element, nuclei on top of each other, or a spin that the number of electrons forbids.
    """

    name: str
    symbols: tuple[str, ...]
    positions: tuple[Point, ...]
    charge: int = 0
    spin: int = 0
    length: float | None = None

    def __post_init__(self) -> None:
        _require_possible(self)

    @classmethod
    def from_atoms(
        cls,
        text: str,
        unit: Unit = "bohr",
        *,
        charge: int = 0,
        spin: int | None = None,
        name: str | None = None,
        where: str = "atoms",
    ) -> Molecule:
        """Read ``"Li 0 0 0; H 0 0 3.015"``: element and position, atoms set apart by semicolons or lines.

        Args:
            text: the atoms.
            unit: of the positions.
            charge: of the molecule.
            spin: 2S; 0, or 1 for an odd number of electrons, when left out.
            name: by default the formula, with the distance of two atoms.
            where: what messages call the text.

        Raises:
            InputError: for text that is no list of atoms, and as for ``Molecule``.
        """
        lines = [part.strip() for part in re.split(r"[;\n]", text) if part.strip()]
        if not lines:
            raise InputError("there are no atoms", where=where, fix='for example "Li 0 0 0; H 0 0 3.015"')
        atoms = [_atom(line, f"{where}, atom {number}") for number, line in enumerate(lines, start=1)]
        return assemble(atoms, unit, charge=charge, spin=spin, name=name, where=where)

    @property
    def atoms(self) -> int:
        """Number of nuclei."""
        return len(self.symbols)

    @property
    def charges(self) -> tuple[int, ...]:
        """Atomic numbers."""
        return tuple(ELEMENTS.index(symbol) + 1 for symbol in self.symbols)

    @property
    def electrons(self) -> int:
        """Number of electrons."""
        return sum(self.charges) - self.charge

    @property
    def n_up(self) -> int:
        """Number of electrons with spin up."""
        return (self.electrons + self.spin) // 2

    @property
    def n_down(self) -> int:
        """Number of electrons with spin down."""
        return (self.electrons - self.spin) // 2

    @property
    def formula(self) -> str:
        """Elements with their numbers, carbon and hydrogen first, and the charge: ``"LiH"``, ``"H2+"``."""
        return formula(self.symbols, self.charge)

    def distances(self) -> list[float]:
        """Distances of all pairs of nuclei (bohr), in the order of the atoms."""
        return [math.dist(first, second) for first, second in itertools.combinations(self.positions, 2)]

    def text(self) -> str:
        """The atoms as ``from_atoms`` reads them, in bohr."""
        rows = zip(self.symbols, self.positions, strict=True)
        return "; ".join(f"{symbol} " + " ".join(f"{x:.10g}" for x in point) for symbol, point in rows)


def covalent(first: str, second: str) -> float:
    """Usual length of a single bond of two elements, bohr; of hydrogen that of H2.

    Source: Cordero et al., Dalton Trans. 2832 (2008).
    """
    if first == second == "H":
        return 1.4
    return BOHR_PER_ANGSTROM * (_COVALENT[first] + _COVALENT[second])


def unusual_lengths(molecules: Sequence[Molecule]) -> list[str]:
    """What looks like a mistaken unit, in words: a bond far too short, or all molecules with bonds far too long.

    Angstrom read as bohr makes bonds 0.53 times as long, the other way round 1.89 times. Noble gases have none.
    """
    found, longest = [], []
    for molecule in molecules:
        ratios = _nearest(molecule)
        if ratios and min(ratios) < _TOO_SHORT:
            found.append(f"{molecule.name}: two atoms are {min(ratios):.2f} times as far apart as a bond is long")
        longest.append(bool(ratios) and min(ratios) > _TOO_LONG)
    if found:
        more = f" (and {len(found) - 1} more molecules)" if len(found) > 1 else ""
        return [f"{found[0]}{more}: is the unit angstrom instead of bohr?"]
    if longest and all(longest):
        ratio = min(_nearest(molecules[0]))
        return [f"{molecules[0].name}: no two atoms are nearer than {ratio:.2f} times a bond: is the unit right?"]
    return []


def _nearest(molecule: Molecule) -> list[float]:
    """Of every atom that makes bonds the distance of its nearest neighbour, in units of their usual bond."""
    bonding = [k for k, symbol in enumerate(molecule.symbols) if symbol not in ("He", "Ne")]
    symbols, places = molecule.symbols, molecule.positions
    return [
        min(math.dist(places[a], places[b]) / covalent(symbols[a], symbols[b]) for b in bonding if b != a)
        for a in bonding
        if len(bonding) > 1
    ]


def formula(symbols: Sequence[str], charge: int = 0) -> str:
    """Elements with their numbers: carbon before hydrogen before the rest, metals of ours first."""
    order = ["Li", "Be", "B", "C", "N", "O", "F", "H", "He", "Ne"]
    if "C" in symbols:
        order = ["C", "H", "Li", "Be", "B", "N", "O", "F", "He", "Ne"]
    elif set(symbols) <= {"H", "O"} or set(symbols) <= {"H", "F"}:
        order = ["H", "O", "F"]
    counts = [(symbol, symbols.count(symbol)) for symbol in order if symbol in symbols]
    sign = {0: "", 1: "+", -1: "-"}.get(charge, f"{charge:+d}")
    return "".join(f"{symbol}{number if number > 1 else ''}" for symbol, number in counts) + sign


def assemble(
    atoms: Sequence[tuple[str, Point]],
    unit: Unit = "bohr",
    *,
    charge: int = 0,
    spin: int | None = None,
    name: str | None = None,
    where: str = "atoms",
) -> Molecule:
    """A molecule from elements and positions, with the usual spin where none is given.

    Raises:
        InputError: as for ``Molecule``, saying ``where``.
    """
    scale = 1.0 if unit == "bohr" else BOHR_PER_ANGSTROM
    symbols = tuple(symbol for symbol, _ in atoms)
    positions = tuple((x * scale, y * scale, z * scale) for _, (x, y, z) in atoms)
    if spin is None:
        spin = (sum(ELEMENTS.index(symbol) + 1 for symbol in symbols) - charge) % 2
    if name is None:
        name = formula(symbols, charge)
        name += f" {math.dist(*positions):.4g}" if len(atoms) == 2 else ""
    try:
        return Molecule(name, symbols, positions, charge, spin)
    except InputError as error:
        raise InputError(error.what, where=f"{where}, {error.where}", why=error.why, fix=error.fix) from None


def read_xyz(path: str | Path, *, charge: int | None = None, spin: int | None = None) -> list[Molecule]:
    """All molecules of an XYZ file: a line with the number of atoms, a line of comment, one line per atom.

    The unit is Angstrom, as the format has it. The comment may hold ``charge``, ``spin`` (2S) or ``multiplicity`` (2S +
    1), or be "charge multiplicity" (``1 2``) and nothing else; in extended XYZ, ``Properties`` name the columns.
    Files of QM9, Fortran's ``1.0D+00`` and ``1.0*^-6`` are understood. Periodic cells, decimal commas and other units
    are refused.

    Args:
        path: the file.
        charge: of every molecule, whatever the file says.
        spin: 2S of every molecule, whatever the file says.

    Returns:
        Molecules named after the file, numbered when there are several.

    Raises:
        InputError: with the line that is no line of an XYZ file.
    """
    frames = read_frames(Path(path))
    stem, found = Path(path).stem, []
    for count, frame in enumerate(frames, start=1):
        own_charge = (frame.charge or 0) if charge is None else charge
        own_spin = frame.spin if spin is None else spin
        name = stem if len(frames) == 1 else f"{stem} {count}"
        found.append(assemble(frame.atoms, "angstrom", charge=own_charge, spin=own_spin, name=name, where=frame.where))
    return found


def _atom(line: str, where: str) -> tuple[str, Point]:
    parts = line.replace(",", " ").split()
    if len(parts) < 4:
        why = "an atom is an element and three numbers"
        fix = f'compound = "{parts[0]}"' if parts and parts[0] in COMPOUNDS else 'for example "H 0 0 1.4"'
        raise InputError(f"{short(line)} is not an atom", where=where, why=why, fix=fix)
    symbol = element(parts[0], where)
    if len(parts) > 4 and re.search(r"\d,\d", line):
        why = "a comma stands between numbers, a point inside them"
        raise InputError(f"{short(line)} has decimal commas", where=where, why=why, fix=short(line.replace(",", ".")))
    numbers = [number(word, where) for word in parts[1:]]
    return symbol, position(numbers, line, where)


def _require_possible(molecule: Molecule) -> None:
    if not molecule.symbols or len(molecule.symbols) != len(molecule.positions):
        raise InputError("every atom needs one position", where="positions", why=f"{len(molecule.symbols)} elements")
    if molecule.atoms > _MOST_ATOMS:
        raise InputError(f"{molecule.atoms} atoms are too many", where="atoms", why=f"at most {_MOST_ATOMS}")
    for symbol in molecule.symbols:
        if symbol not in ELEMENTS:
            element(symbol, "symbols")
            raise InputError(f"{short(symbol)} is not an element", where="symbols", fix="write H, He, Li, ...")
    if not all(math.isfinite(x) for point in molecule.positions for x in point):
        raise InputError("a position is not finite", where="positions")
    pairs = itertools.combinations(range(molecule.atoms), 2)
    for (first, second), distance in zip(pairs, molecule.distances(), strict=True):
        if distance < CLOSEST:
            names = " and ".join(f"{molecule.symbols[index]} (atom {index + 1})" for index in (first, second))
            why = f"their distance is {distance:.3g} bohr"
            raise InputError(
                f"{names} are on top of each other", where="positions", why=why, fix="check unit and atoms"
            )
    _require_spin(molecule)


def _require_spin(molecule: Molecule) -> None:
    electrons, spin = molecule.electrons, molecule.spin
    if not 1 <= electrons <= _MOST_ELECTRONS:
        why = f"charge {molecule.charge} leaves {electrons} electrons"
        raise InputError(f"{molecule.formula} has no possible number of electrons", where="charge", why=why)
    if spin < 0:
        raise InputError(f"spin = {spin} is negative", where="spin", why="spin is 2S = n_up - n_down", fix=f"{-spin}")
    if spin > electrons or (electrons - spin) % 2:
        allowed = ", ".join(str(value) for value in range(electrons % 2, min(electrons, 6) + 1, 2))
        why = f"{electrons} electrons: 2S = n_up - n_down is {'odd' if electrons % 2 else 'even'}, at most {electrons}"
        raise InputError(f"spin = {spin} is impossible for {molecule.formula}", where="spin", why=why, fix=allowed)
