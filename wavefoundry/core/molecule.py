"""Molecules as plain data: elements, positions, charge and spin; reading of atom strings and XYZ files.

Lengths are in bohr. Every molecule that exists is possible: known elements, atoms apart, a spin that fits the
number of electrons. No array library is imported here, so that a study file is refused before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wavefoundry.core.errors import InputError

BOHR_PER_ANGSTROM = 1.8897261246
ELEMENTS = ("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne")
"""Supported elements, in the order of their atomic numbers."""
CLOSEST = 0.2
"""Two nuclei nearer than this (bohr) are one mistake, not a molecule."""
_HEAVIER = """Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd
Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn
Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"""
_FARTHEST, _MOST_ATOMS, _MOST_ELECTRONS = 1e4, 200, 400

Unit = Literal["bohr", "angstrom"]
Point = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Molecule:
    """Nuclei, charge and spin.

    Args:
        name: what tables and figures call it.
        symbols: element of every atom.
        positions: of the nuclei, bohr.
        charge: of the whole molecule, in units of e.
        spin: 2S, the number of up electrons minus that of down electrons.

    Raises:
        InputError: for an unknown element, nuclei on top of each other, or a spin that the number of electrons forbids.
    """

    name: str
    symbols: tuple[str, ...]
    positions: tuple[Point, ...]
    charge: int = 0
    spin: int = 0

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

    @classmethod
    def from_xyz(cls, path: str | Path, *, charge: int | None = None, spin: int | None = None) -> Molecule:
        """The only molecule of an XYZ file (Angstrom). ``read_xyz`` reads files of several.

        Raises:
            InputError: as for ``read_xyz``, and for a file of several molecules.
        """
        found = read_xyz(path, charge=charge, spin=spin)
        if len(found) > 1:
            raise InputError(
                f"the file holds {len(found)} molecules", where=str(path), fix="read_xyz reads all of them"
            )
        return found[0]

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

    The unit is Angstrom, as the format has it. ``charge=...`` and ``spin=...`` (2S) may stand in the comment.

    Args:
        path: the file.
        charge: of every molecule.
        spin: 2S of every molecule.

    Returns:
        Molecules named after the file, numbered when there are several.

    Raises:
        InputError: with the line that is no line of an XYZ file.
    """
    lines = _lines(Path(path))
    frames: list[tuple[int, str, list[tuple[str, Point]]]] = []
    start = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        frames.append(_frame(lines, start, str(path)))
        start += 2 + len(frames[-1][2])
    if not frames:
        raise InputError("the XYZ file is empty", where=str(path))
    stem, found = Path(path).stem, []
    for number, (line, comment, atoms) in enumerate(frames, start=1):
        written = dict(re.findall(r"\b(charge|spin)\s*=\s*([+-]?\d+)\b", comment, re.IGNORECASE))
        written = {key.lower(): int(value) for key, value in written.items()}
        own_charge = written.get("charge", 0) if charge is None else charge
        own_spin = written.get("spin") if spin is None else spin
        name = stem if len(frames) == 1 else f"{stem} {number}"
        where = f"{path}, line {line}"
        found.append(assemble(atoms, "angstrom", charge=own_charge, spin=own_spin, name=name, where=where))
    return found


def _lines(path: Path) -> list[str]:
    try:
        if path.is_file() and path.stat().st_size > 1 << 26:
            raise InputError("the XYZ file is too large", where=str(path), why="at most 64 MiB are read")
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError("there is no such XYZ file", where=str(path), fix="a path, seen from here") from None
    except UnicodeDecodeError:
        raise InputError("the XYZ file is not text", where=str(path), why="it is not UTF-8") from None
    except OSError as error:
        raise InputError("the XYZ file cannot be read", where=str(path), why=str(error.strerror)) from None


def _frame(lines: list[str], start: int, path: str) -> tuple[int, str, list[tuple[str, Point]]]:
    where = f"{path}, line {start + 1}"
    text = lines[start].strip()
    if not re.fullmatch(r"\d{1,6}", text) or int(text) == 0:
        why = "a molecule starts with the number of its atoms"
        raise InputError(f"{_short(text)} is not a number of atoms", where=where, why=why, fix="the XYZ format")
    count = int(text)
    rows = lines[start + 2 : start + 2 + count]
    if len(rows) < count:
        why = f"{max(0, len(rows))} lines of atoms follow"
        raise InputError(f"the file ends before its {count} atoms", where=where, why=why, fix="complete the file")
    atoms = [_atom(row, f"{path}, line {start + 3 + number}") for number, row in enumerate(rows)]
    return start + 1, lines[start + 1], atoms


def _atom(line: str, where: str) -> tuple[str, Point]:
    parts = line.replace(",", " ").split()
    if len(parts) < 4:
        why = "an atom is an element and three numbers"
        raise InputError(f"{_short(line)} is not an atom", where=where, why=why, fix='for example "H 0 0 1.4"')
    symbol = element(parts[0], where)
    numbers = []
    for word in parts[1:4]:
        try:
            numbers.append(float(word))
        except ValueError:
            why = "positions are numbers, no internal coordinates"
            fix = "R takes its values from scan = [...]" if "R" in word else ""
            raise InputError(f"{_short(word)} is not a number", where=where, why=why, fix=fix) from None
    if not all(math.isfinite(number) and abs(number) <= _FARTHEST for number in numbers):
        raise InputError(f"{_short(line)}: the position is not possible", where=where, why="it must be finite")
    return symbol, (numbers[0], numbers[1], numbers[2])


def element(word: str, where: str) -> str:
    """The symbol of an element written as ``H``, ``h``, ``H1`` or ``1``.

    Raises:
        InputError: for an element that does not exist, or is heavier than neon.
    """
    known = [*ELEMENTS, *_HEAVIER.split()]
    if word.isdecimal() and 1 <= int(word) <= len(known):
        symbol = known[int(word) - 1]
    else:
        symbol = re.sub(r"\d+$", "", word).capitalize()
    if symbol in ELEMENTS:
        return symbol
    if symbol in known:
        why = f"supported: {' '.join(ELEMENTS)}; all electrons are treated, and heavy cores need pseudopotentials"
        raise InputError(f"element {symbol} is not supported", where=where, why=why)
    close = difflib.get_close_matches(symbol, known, n=1, cutoff=0.6)
    fix = f"did you mean '{close[0]}'?" if close else f"supported: {' '.join(ELEMENTS)}"
    raise InputError(f"{_short(word)} is not an element", where=where, fix=fix)


def _require_possible(molecule: Molecule) -> None:
    if not molecule.symbols or len(molecule.symbols) != len(molecule.positions):
        raise InputError("every atom needs one position", where="positions", why=f"{len(molecule.symbols)} elements")
    if molecule.atoms > _MOST_ATOMS:
        raise InputError(f"{molecule.atoms} atoms are too many", where="atoms", why=f"at most {_MOST_ATOMS}")
    for symbol in molecule.symbols:
        if symbol not in ELEMENTS:
            element(symbol, "symbols")
            raise InputError(f"{_short(symbol)} is not an element", where="symbols", fix="write H, He, Li, ...")
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


def _short(text: str) -> str:
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return f'"{clean}"' if len(clean) <= 40 else f'"{clean[:37]}..."'
