"""Molecules in a study file: every way to name one or several, and what they stand for."""

from __future__ import annotations

import dataclasses
import glob
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from wavefoundry.artifacts.spec_tables import PathText, Points, Range, Table
from wavefoundry.core import geometries
from wavefoundry.core.compounds import COMPOUNDS, SETS
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import Problem
from wavefoundry.core.molecule import BOHR_PER_ANGSTROM, Molecule, element, read_xyz
from wavefoundry.core.reading import SEEN_FROM, is_there
from wavefoundry.core.words import near, told_apart

SOURCES = {
    "atoms": {"unit", "scan", "length"},
    "xyz": set(),
    "chain": {"spacing", "gap", "element", "unit"},
    "compound": set(),
    "set": set(),
}
"""Keys that name molecules, each with the keys that mean something only beside it."""
COMMON = {"name", "charge", "spin", "distort", "seed", "rotate", "reference"}
NAMED_SETS = (*SETS, "h-chains", "ethene-twist")
MOST = 2000
"""Molecules in a study, at most."""


class MoleculeTable(Table):
    """One entry of `molecules`: a molecule, or a family of them."""

    atoms: str | None = Field(default=None, max_length=20_000, description='"Li 0 0 0; H 0 0 3.015"; R with scan')
    xyz: PathText | None = Field(default=None, description="XYZ file (Angstrom) or pattern as more/*.xyz")
    chain: int | list[int] | None = Field(default=None, description="atoms in a row; a list gives several chains")
    compound: str | None = Field(default=None, max_length=40, description="name of a molecule, as CH4")
    set: str | None = Field(default=None, max_length=40, description="name of a set of molecules")
    length: float | None = Field(default=None, gt=0, le=1e6, description="of a scan it is a point of, bohr")
    scan: Points | None = Field(default=None, description="values of R in atoms: list or { start, stop, num }")
    spacing: Points | None = Field(default=None, description="distance of neighbours in a chain")
    gap: Points | None = Field(default=None, description="distance of every second pair of neighbours in a chain")
    element: str | None = Field(default=None, max_length=3, description="of a chain; hydrogen by default")
    unit: Literal["bohr", "angstrom"] | None = Field(default=None, description="of atoms, scan, spacing, gap")
    charge: int | None = Field(default=None, ge=-20, le=20, description="of the molecule")
    spin: int | None = Field(default=None, ge=-100, le=100, description="2S = n_up - n_down; lowest by default")
    distort: int | None = Field(default=None, ge=1, le=1000, description="random geometries of each, with the first")
    seed: int | None = Field(default=None, ge=0, le=2**32 - 1, description="of the distortions")
    rotate: bool | None = Field(default=None, description="turn distorted geometries at random; true by default")
    reference: float | None = Field(default=None, ge=-1e6, le=1e6, description="energy to compare with, Hartree")
    name: str | None = Field(default=None, min_length=1, max_length=100, description="what tables call it")

    def source(self) -> str | None:
        """The key that names the molecule, if there is exactly one."""
        given = [key for key in SOURCES if getattr(self, key) is not None]
        return given[0] if len(given) == 1 else None


@dataclasses.dataclass(frozen=True)
class Named:
    """A molecule of a study with its own reference energy, if the study gives one."""

    molecule: Molecule
    reference: float | None = None


def expand(entries: Sequence[MoleculeTable], unit: Literal["bohr", "angstrom"], *, files: bool = True) -> list[Named]:
    """All molecules the entries stand for, with names that occur once.

    Args:
        entries: of a study file.
        unit: of entries that name none.
        files: read XYZ files; else their entries are left out.

    Raises:
        InputError: an entry stands for nothing possible.
    """
    found = [Named(molecule, entry.reference) for entry in entries for molecule in _molecules(entry, unit, files)]
    names = told_apart([one.molecule.name for one in found])
    return [
        dataclasses.replace(one, molecule=dataclasses.replace(one.molecule, name=name))
        for one, name in zip(found, names, strict=True)
    ]


def _molecules(entry: MoleculeTable, unit: Literal["bohr", "angstrom"], files: bool) -> list[Molecule]:
    source = entry.source()
    given = {key: getattr(entry, key) for key in ("charge", "spin") if getattr(entry, key) is not None}
    if source == "xyz":
        found = _xyz(entry) if files else []
    elif source == "chain":
        found = list(_chains(entry, entry.unit or unit, given))
    elif source == "compound":
        found = [geometries.compound(str(entry.compound), **given)]
    elif source == "set":
        found = geometries.named_set(str(entry.set))
    elif entry.scan is not None:
        found = geometries.scan(
            entry.atoms or "", values(entry.scan), entry.unit or unit, name=entry.name, where="scan", **given
        )
    else:
        one = Molecule.from_atoms(entry.atoms or "", entry.unit or unit, name=entry.name, **given)
        found = [dataclasses.replace(one, length=entry.length)]
    if entry.name is not None and entry.scan is None:
        names = [entry.name] if len(found) == 1 else [f"{entry.name} {index}" for index in range(1, len(found) + 1)]
        found = [dataclasses.replace(one, name=name) for one, name in zip(found, names, strict=True)]
    if entry.distort is None:
        return found
    seed, rotate = entry.seed or 0, entry.rotate is not False
    return [other for one in found for other in geometries.distort(one, entry.distort, seed, rotate)]


def _xyz(entry: MoleculeTable) -> list[Molecule]:
    pattern = os.path.expanduser(str(entry.xyz))
    paths = [pattern] if is_there(pattern) else sorted(glob.glob(pattern))
    if not paths:
        raise InputError(f"no file matches {pattern}", fix=SEEN_FROM)
    found: list[Molecule] = []
    for path in paths:
        found += read_xyz(path, charge=entry.charge, spin=entry.spin)
        if len(found) > MOST:
            raise InputError(f"the files of {pattern} hold too many molecules", why=f"at most {MOST} are read")
    return found


def _chains(entry: MoleculeTable, unit: str, given: dict[str, int]) -> Iterator[Molecule]:
    counts = entry.chain if isinstance(entry.chain, list) else [entry.chain or 0]
    scale = 1.0 if unit == "bohr" else BOHR_PER_ANGSTROM
    symbol = element(entry.element or "H", "element")
    for count in counts:
        for spacing in values(entry.spacing) if entry.spacing is not None else [1.8 / scale]:
            for gap in values(entry.gap) if entry.gap is not None else [None]:
                second = None if gap is None else gap * scale
                yield geometries.chain(count, spacing * scale, second, symbol, **given)


def values(points: Any) -> list[float]:
    """The numbers a value, list or range stands for."""
    if isinstance(points, Range):
        return points.values()
    return list(points) if isinstance(points, list) else [points]


def entry_of(named: Named) -> dict[str, Any]:
    """A molecule as one explicit entry (bohr) that needs no file."""
    one = named.molecule
    row: dict[str, Any] = {"atoms": one.text(), "unit": "bohr", "charge": one.charge, "spin": one.spin}
    row["name"] = one.name
    row |= {} if one.length is None else {"length": one.length}
    return row if named.reference is None else row | {"reference": named.reference}


def problems(table: str, entries: Sequence[MoleculeTable], unit: Literal["bohr", "angstrom"]) -> Iterator[Problem]:
    """What is wrong with the entries of a table: keys that do not belong together, then impossible molecules."""
    broken = False
    for index, entry in enumerate(entries):
        for problem in _keys((table, "molecules", str(index)), entry):
            broken = True
            yield problem
    if broken:
        return
    total = 0
    for index, entry in enumerate(entries):
        try:
            count = len(_molecules(entry, unit, files=False))
        except InputError as error:
            path = (table, "molecules", str(index), entry.source() or "atoms")
            place = error.where.removeprefix("atoms, ")
            yield Problem(path, f"{error.what} ({place})" if place else error.what, error.why, error.fix)
            continue
        total += count
        if entry.reference is not None and count > 1:
            path = (table, "molecules", str(index), "reference")
            yield Problem(path, f"one reference cannot serve {count} molecules", "", "one entry for each")
    if total > MOST:
        yield Problem((table, "molecules"), f"{total} molecules are too many", f"at most {MOST}")


def _keys(path: tuple[str, ...], entry: MoleculeTable) -> Iterator[Problem]:
    given = [key for key in SOURCES if getattr(entry, key) is not None]
    known = ", ".join(SOURCES)
    if not given:
        yield Problem(path, "an entry of molecules names no molecule", f"it needs one of {known}", 'atoms = "H 0 0 0"')
        return
    if len(given) > 1:
        yield Problem(path, f"{' and '.join(given)} exclude each other", f"an entry has one of {known}", "two entries")
        return
    source = given[0]
    given_keys = {key for key in entry.model_fields_set if getattr(entry, key) is not None}
    for key in sorted(given_keys - {source} - COMMON - SOURCES[source]):
        homes = [home for home, keys in SOURCES.items() if key in keys]
        yield Problem((*path, key), f"{key} means nothing beside {source}", f"it belongs to {' or '.join(homes)}")
    for key in ("charge", "spin") if source == "set" else ():
        if getattr(entry, key) is not None:
            why = "every molecule of a set has its own"
            yield Problem((*path, key), f"{key} means nothing beside set", why, "an entry for each compound")
    if entry.length is not None and entry.scan is not None:
        yield Problem((*path, "length"), "length and scan exclude each other", "a scan gives its lengths itself")
    yield from _numbers(path, entry, source)


def _numbers(path: tuple[str, ...], entry: MoleculeTable, source: str) -> Iterator[Problem]:
    for key in ("scan", "spacing", "gap"):
        points = getattr(entry, key)
        if points is not None and any(value <= 0 for value in values(points)):
            yield Problem((*path, key), f"{key}: a length is not positive", "lengths are greater than 0")
    if source == "chain":
        counts = entry.chain if isinstance(entry.chain, list) else [entry.chain]
        if not counts or any(count is None or not 1 <= count <= 100 for count in counts):
            yield Problem((*path, "chain"), f"chain = {entry.chain} is not possible", "1 to 100 atoms")
    if source == "compound" and entry.compound not in COMPOUNDS:
        why = f"known: {', '.join(COMPOUNDS)}"
        yield Problem(
            (*path, "compound"), f"there is no compound '{entry.compound}'", why, near(str(entry.compound), COMPOUNDS)
        )
    if source == "set" and entry.set not in NAMED_SETS:
        why = f"known: {', '.join(NAMED_SETS)}"
        yield Problem((*path, "set"), f"there is no set '{entry.set}'", why, near(str(entry.set), NAMED_SETS))
