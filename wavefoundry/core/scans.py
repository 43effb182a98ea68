"""Records of molecules that differ in one length: which belong together, and what their curve says."""

from __future__ import annotations

import math
import operator
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wavefoundry.core import spectroscopy
from wavefoundry.core.elements import ELEMENTS
from wavefoundry.core.spectroscopy import Constants, Fitted
from wavefoundry.core.values import number

if TYPE_CHECKING:
    from wavefoundry.core.records.molecules import Molecule

Entry = dict[str, Any]
"""One of ``scans`` in ``summary.json``."""


_NUMBERED = re.compile(r" \d+\.?\d*( \(\d+\))?$")
"""The length in the name of a member of a scan, and what tells equal names apart."""
_SAME = 1e-4
"""Lengths and positions (bohr) that differ by less are the same: those of files are rounded."""


def length_of(record: Molecule) -> float:
    """The length of a member of a scan (bohr): the distance of two atoms, or the one that it was made with."""
    if len(record.geometry) == 2:
        first, second = record.geometry
        return math.dist(map(number, first[1:]), map(number, second[1:]))
    return number(record.length)


def scans(records: Iterable[Molecule]) -> dict[str, list[Molecule]]:
    """Records of molecules that differ in one length (at least three lengths), by name, in order of the length.

    They have one formula and one spin, and nothing else varies: frames of a file that have nothing but their name in
    common are no curve, and two scans of one compound are two.
    """
    groups: dict[tuple, list[Molecule]] = {}
    for record in records:
        if not math.isnan(length_of(record)) and not math.isnan(number(record.energy)):
            family = _NUMBERED.sub("", record.name)
            groups.setdefault((family, record.formula, record.spin), []).append(record)
    names, found = Counter(name for name, *_ in groups), {}
    for (name, formula, spin), members in groups.items():
        full = name if names[name] == 1 else f"{name} ({formula}, 2S = {spin})"
        parts = (part for part in _parted(members) if _lengths(part) >= 3)
        for count, part in enumerate(parts, start=1):
            found[full if count == 1 else f"{full} ({count})"] = sorted(part, key=length_of)
    return found


def _lengths(records: Iterable[Molecule]) -> int:
    """How many there are."""
    return len({round(length_of(record), 6) for record in records})


def _parted(records: Sequence[Molecule]) -> list[list[Molecule]]:
    """Records of one family by their scans: in each of them all positions are linear in the length."""
    if len(records[0].geometry) == 2:
        return [list(records)]
    parts: list[list[Molecule]] = []
    for record in records:
        mine = next((part for part in parts if _belongs(record, part)), None)
        if mine is None:
            parts.append([record])
        else:
            mine.append(record)
    return parts


def _belongs(record: Molecule, part: Sequence[Molecule]) -> bool:
    """Whether the positions are on the line through those of the first two lengths of a scan."""
    first, length = part[0], length_of(part[0])
    if [row[0] for row in first.geometry] != [row[0] for row in record.geometry]:
        return False
    second = next((one for one in part if abs(length_of(one) - length) > _SAME), None)
    if second is None:
        return abs(length_of(record) - length) > _SAME or _apart_by(record, first, first, 0.0) < _SAME
    share = (length_of(record) - length) / (length_of(second) - length)
    return _apart_by(record, first, second, share) < _SAME * (1 + abs(share))


def _apart_by(record: Molecule, first: Molecule, second: Molecule, share: float) -> float:
    """Largest distance (bohr) of a coordinate from ``first`` plus ``share`` of what leads to ``second``."""
    here, start, end = ([number(x) for row in one.geometry for x in row[1:]] for one in (record, first, second))
    return max((abs(x - a - share * (b - a)) for x, a, b in zip(here, start, end, strict=True)), default=0.0)


def curves(records: Iterable[Molecule], methods: Sequence[str]) -> list[Entry]:
    """What every potential curve says, one entry for each scan and method, see docs/results.md.

    Refused energies are left out; of two atoms forces count as slopes where they were measured. Bond length and
    frequency of the reference come from its energies at the same lengths, fitted in the same way.
    """
    found = []
    for name, members in scans(records).items():
        for method in methods:
            measured = [r for r in members if r.method == method]
            chosen = [r for r in measured if r.verdict != "refused"]
            if len({round(length_of(record), 6) for record in chosen}) >= 3:
                found.append(_curve(name, method, chosen, len(measured) - len(chosen)))
    return found


def _curve(name: str, method: str, records: list[Molecule], refused: int) -> Entry:
    lengths = [length_of(record) for record in records]
    slopes, bars = zip(*map(_slope, records), strict=True)
    fitted = spectroscopy.constants(
        lengths, [number(r.energy) for r in records], [number(r.energy_error) for r in records], slopes, bars
    )
    off = [error for record in records if not math.isnan(error := number(record.error_mha))]
    entry: Entry = {"name": name, "method": method, "points": len(records)}
    entry["mean_error_mha"] = sum(off) / len(off) if off else None
    entry["offset_free_error_mha"] = spectroscopy.offset_free(off) if len(off) >= 3 else None
    if fitted is None:
        why = "no minimum between the lengths that the noise allows"
        if len(set(lengths)) < 5:
            why = "fewer than five lengths" + (f" that are not refused ({refused} are)" if refused else "")
        return entry | {"length": None, "frequency": None, "depth": None, "why": why}
    known = {length_of(r): value for r in records if not math.isnan(value := _reference(r))}
    there = spectroscopy.constants(list(known), list(known.values()), [0.0] * len(known)) if len(known) >= 5 else None
    apart = _apart(records[0])
    return entry | {
        "length": _entry(fitted.length, there and there.length, "bohr"),
        "frequency": _entry(_frequency(fitted, records[0]), there and _frequency(there, records[0]), "1/cm"),
        "depth": _entry(_depth(fitted, apart), there and _depth(there, apart), "Ha"),
        "why": None,
    }


def _slope(record: Molecule) -> tuple[float, float]:
    """dE/dR of two atoms and its error bar, from the force along the bond; NaN where it was not measured."""
    forces = record.observables and record.observables.forces
    if len(record.geometry) != 2 or not forces or not forces.value or not forces.error or forces.verdict == "refused":
        return math.nan, math.nan
    first, second = ([number(value) for value in row[1:]] for row in record.geometry)
    along = [(b - a) / length_of(record) for a, b in zip(first, second, strict=True)]
    force, error = ([number(value) for value in row[1]] for row in (forces.value, forces.error))
    return -sum(map(operator.mul, along, force)), sum(abs(a) * e for a, e in zip(along, error, strict=True))


def _reference(record: Molecule) -> float:
    return math.nan if record.reference is None else record.reference.value


def _entry(found: Fitted | None, there: Fitted | None, unit: str) -> Entry | None:
    if found is None:
        return None
    return {
        "value": found.value,
        "error": found.error,
        "unit": unit,
        "reference": None if there is None else there.value,
    }


def _frequency(constants: Constants, record: Molecule) -> Fitted | None:
    """Of two atoms alone: the mass that moves in another scan is not known."""
    if len(record.geometry) != 2:
        return None
    first, second = (ELEMENTS.index(str(row[0])) + 1 for row in record.geometry)
    return constants.frequency(spectroscopy.reduced_mass(first, second))


def _apart(record: Molecule) -> float | None:
    """Energy of the separated atoms, from the energy of atomisation."""
    taken = record.atomisation
    return None if taken is None or taken.value is None else number(record.energy) + taken.value


def _depth(constants: Constants, apart: float | None) -> Fitted | None:
    return None if apart is None else Fitted(apart - constants.energy.value, constants.energy.error)
