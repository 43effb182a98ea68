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


def length_of(record: Molecule) -> float:
    """The length of a member of a scan (bohr): the distance of two atoms, or the one that it was made with."""
    if len(record.geometry) == 2:
        first, second = record.geometry
        return math.dist(map(number, first[1:]), map(number, second[1:]))
    return number(record.length)


def scans(records: Iterable[Molecule]) -> dict[str, list[Molecule]]:
    """Records of molecules that differ in one length (at least three lengths), by name, in order of the length.

    They have one formula and one spin: frames of a file that have nothing but their name in common are no curve.
    """
    groups: dict[tuple, list[Molecule]] = {}
    for record in records:
        if not math.isnan(length_of(record)) and not math.isnan(number(record.energy)):
            family = re.sub(r" \d+\.?\d*$", "", record.name)
            groups.setdefault((family, record.formula, record.spin), []).append(record)
    names = Counter(name for name, *_ in groups)
    return {
        name if names[name] == 1 else f"{name} ({formula}, 2S = {spin})": sorted(found, key=length_of)
        for (name, formula, spin), found in groups.items()
        if len({round(length_of(record), 6) for record in found}) >= 3
    }


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
