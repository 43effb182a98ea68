"""XYZ files: what people and programs write under that name is understood, or refused by name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from wavefoundry.core.elements import Point, element, number, position, short
from wavefoundry.core.errors import InputError
from wavefoundry.core.reading import read_file

LARGEST = 1 << 26
"""Bytes of a file that are read at most."""
MOST = 10_000
"""Molecules of a file at most."""
_WORDS = {
    "charge": r"(?:total[ _])?charge",
    "multiplicity": r"(?:spin[ _])?multiplicity|mult",
    "spin": r"spin|unpaired|uhf",
}
_VALUE = r"""\s*[=:]\s*(?:"([^"]*)"|'([^']*)'|([^\s,;]+))"""
_SPACED = r"\s+([+-]?\d+)(?![\w.])"


class Frame(NamedTuple):
    """One molecule of a file: its atoms in Angstrom, and charge and 2S where the comment gives them."""

    atoms: list[tuple[str, Point]]
    charge: int | None
    spin: int | None
    where: str


def read_frames(path: Path) -> list[Frame]:
    """Everything in an XYZ file, see ``core.molecule.read_xyz``.

    Raises:
        InputError: with the line that is no line of an XYZ file.
    """
    lines, found, start = _lines(path), [], 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        if len(found) == MOST:
            why = f"at most {MOST} of one file are read"
            raise InputError("the XYZ file holds too many molecules", where=str(path), why=why, fix="a part of it")
        try:
            line, comment, atoms = _frame(lines, start, str(path))
        except InputError as error:
            raise error if found or _familiar(lines[start:]) else _silent(error) from None
        where = f"{path}, line {line + 1}"
        charge, spin = _electrons(comment, where)
        rows = lines[start + 2 : start + 2 + len(atoms)]
        charge = _sum(rows, comment, "initial_charges", where) if charge is None else charge
        if spin is None and (moments := _sum(rows, comment, "initial_magmoms", where)) is not None:
            spin = abs(moments)
        found.append(Frame(atoms, charge, spin, f"{path}, line {line}"))
        start += 2 + len(atoms)
        if re.match(r"\s*gdb\s+\d+\s", comment):  # QM9: frequencies, SMILES and InChI follow
            start += 3
    if not found:
        raise InputError("the XYZ file is empty", where=str(path))
    return found


def _lines(path: Path) -> list[str]:
    """Lines of a text file in UTF-8, UTF-16 with its mark, or Latin-1 (as Windows has it)."""
    data = read_file(path, "XYZ file", LARGEST, fix="a path, seen from here")
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = "\0"
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    if any(ord(char) < 32 and char not in "\t\n\r\f" for char in text):
        raise InputError("the XYZ file is not text", where=str(path), why="it is neither UTF-8 nor Latin-1")
    return text.replace("\N{MINUS SIGN}", "-").splitlines()


def _familiar(lines: list[str]) -> bool:
    """Whether the first molecule has a count and an atom where XYZ has them."""
    row = lines[2] if len(lines) > 2 and lines[0].strip().isdecimal() else ""
    return re.match(r"[\s,]*\S+([\s,]+[-+\d.]\S*){3}", row) is not None or "Properties=" in "".join(lines[1:2])


def _silent(error: InputError) -> InputError:
    """The same refusal without the words of a file that is none of XYZ: it may hold anything, secrets too."""
    what = re.sub('".*"', "what stands there", error.what, flags=re.DOTALL)
    return InputError(what, where=error.where, why=re.sub('".*"', "...", error.why), fix="a file in the XYZ format")


def _frame(lines: list[str], start: int, path: str) -> tuple[int, str, list[tuple[str, Point]]]:
    """One molecule: the number of its first line, the comment, its atoms."""
    where = f"{path}, line {start + 1}"
    text = lines[start].strip()
    if not re.fullmatch(r"\d{1,6}", text) or int(text) == 0:
        why = "a molecule starts with the number of its atoms"
        raise InputError(f"{short(text)} is not a number of atoms", where=where, why=why, fix="the XYZ format")
    count = int(text)
    rows = lines[start + 2 : start + 2 + count]
    if len(rows) < count:
        why = f"{max(0, len(rows))} lines of atoms follow"
        raise InputError(f"the file ends before its {count} atoms", where=where, why=why, fix="complete the file")
    comment = lines[start + 1]
    symbol, place = _columns(comment, f"{path}, line {start + 2}")
    atoms = [_row(row, symbol, place, f"{path}, line {start + 3 + k}") for k, row in enumerate(rows)]
    return start + 1, comment, atoms


def _columns(comment: str, where: str) -> tuple[int, int]:
    """Columns of the element and of x, as extended XYZ names them; refuses cells and other units."""
    periodic = re.search(r'\bpbc\s*=\s*"?([TFtf01 ]+)', comment)
    lattice = re.search(r"\blattice\s*=", comment, re.IGNORECASE)
    if lattice and periodic is None or periodic is not None and re.search("[Tt1]", periodic[1]):
        why, fix = "molecules are isolated here", 'without Lattice and pbc, or with pbc="F F F"'
        raise InputError("the file describes a periodic cell", where=where, why=why, fix=fix)
    other = r"(?<!\w)(bohrs?|a\.?\s*u\.?|atomic[ _-]units?|nm|pm|pico?met(er|re)s?|nanomet(er|re)s?)(?!\w)"
    if re.search(other, comment, re.IGNORECASE):
        why, fix = "XYZ files are in Angstrom", "Angstrom, or the atoms in the study file with unit"
        raise InputError("the comment names another unit", where=where, why=why, fix=fix)
    columns = _table(comment, where)
    if not columns:
        return 0, 1
    symbol = columns.get("species") or columns.get("element") or columns.get("z")
    place = columns.get("pos") or columns.get("positions")
    if symbol is None or place is None or place[1] != 3:
        why = "they name no species and positions"
        raise InputError("Properties are not understood", where=where, why=why, fix="species:S:1:pos:R:3")
    return symbol[0], place[0]


def _table(comment: str, where: str) -> dict[str, tuple[int, int]]:
    """First column and width of everything that ``Properties`` of extended XYZ name."""
    found = re.search(r'\bproperties\s*=\s*"?([^\s"]+)', comment, re.IGNORECASE)
    columns: dict[str, tuple[int, int]] = {}
    if found is None:
        return columns
    parts, column = found[1].split(":"), 0
    for name, _, width in zip(parts[0::3], parts[1::3], parts[2::3], strict=False):
        if not width.isdecimal():
            raise InputError(f"Properties={short(found[1])} is not understood", where=where, fix="species:S:1:pos:R:3")
        columns[name.lower()] = (column, int(width))
        column += int(width)
    return columns


def _sum(rows: list[str], comment: str, name: str, where: str) -> int | None:
    """Sum of a column of extended XYZ, as ASE writes charges and magnetic moments; None where there is none."""
    found = _table(comment, where).get(name)
    if found is None:
        return None
    if found[1] != 1:
        raise InputError(f"{name} is not one number of every atom", where=where, why="a state here has one 2S")
    total = sum(number(row.split()[found[0]], where) for row in rows)
    if not abs(total - round(total)) < 1e-3:
        raise InputError(f"{name} add up to {total:g}", where=where, why="it has to be a whole number")
    return round(total)


def _row(line: str, symbol: int, place: int, where: str) -> tuple[str, Point]:
    """One atom; further columns are left alone."""
    words = line.split()
    if len(words) == 1 and line.count(",") >= 3:
        words = line.split(",")  # a table with commas between its columns
    words = [word.strip().rstrip(",;") for word in words]
    if len(words) < max(symbol + 1, place + 3):
        why = "an atom is an element and three numbers"
        raise InputError(f"{short(line)} is not an atom", where=where, why=why, fix='for example "H 0 0 1.4"')
    return element(words[symbol], where), position(
        [number(word, where) for word in words[place : place + 3]], line, where
    )


def _electrons(comment: str, where: str) -> tuple[int | None, int | None]:
    """(charge, 2S) as the comment has them, None where it says nothing."""
    pair = re.fullmatch(r"\s*([+-]?\d+)\s+(\d+)\s*", comment)
    if pair is not None:
        return int(pair[1]), _from_multiplicity(int(pair[2]), where)
    given: dict[str, int] = {}
    for name, pattern in _WORDS.items():
        for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?:{_VALUE}|{_SPACED})", comment, re.IGNORECASE):
            value = next(text for text in match.groups() if text is not None).strip()
            if not re.fullmatch(r"[+-]?\d+(\.0*)?", value):
                what = {"spin": "2S, a whole number", "charge": "a whole number", "multiplicity": "2S + 1"}[name]
                raise InputError(f"{name} = {short(value)} is not understood", where=where, why=f"{name} is {what}")
            whole = int(float(value))
            if given.setdefault(name, whole) != whole:
                raise InputError(f"the comment gives {name} twice", where=where, why=f"{given[name]} and {whole}")
    spin = given.get("spin")
    if "multiplicity" in given:
        other = _from_multiplicity(given["multiplicity"], where)
        if spin is not None and spin != other:
            why = f"spin = {spin} is 2S, and multiplicity = {given['multiplicity']} is 2S + 1"
            raise InputError("spin and multiplicity contradict each other", where=where, why=why)
        spin = other
    return given.get("charge"), spin


def _from_multiplicity(multiplicity: int, where: str) -> int:
    if multiplicity < 1:
        raise InputError(f"multiplicity {multiplicity} is impossible", where=where, why="it is 2S + 1, at least 1")
    return multiplicity - 1
