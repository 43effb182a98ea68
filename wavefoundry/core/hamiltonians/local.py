"""Couplings of single sites and bonds: factors on the places of a built-in model, from rows or from a CSV file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import from_home
from wavefoundry.core.hamiltonians.model import Model, Place
from wavefoundry.core.reading import SEEN_FROM, read_file
from wavefoundry.core.words import near

Row = Sequence[float]
"""Sites of one place and the factor there: (site, factor) or (site, site, factor)."""
Local = Mapping[str, Sequence[Row]]
"""Rows by the coupling they belong to; places that are not listed keep the factor 1."""
LIMIT = 16 * 2**20
LARGEST = 1e6
WHAT, HEADER = "file of couplings", "coupling,i,j,factor"


class Fault(NamedTuple):
    """What is wrong with one row: its coupling and number among the rows of that, and the words."""

    coupling: str
    row: int
    what: str
    why: str = ""
    fix: str = ""


def faults(model: Model, where: Place, local: Local) -> Iterator[Fault]:
    """What cannot be used of local couplings: unknown names, places without such a coupling, rows that come twice."""
    for name, rows in local.items():
        if name not in model.couplings:
            why = f"couplings of {model.name}: {', '.join(model.couplings)}"
            yield Fault(name, 0, f"{model.name} has no coupling '{name}'", why, near(name, model.couplings))
            continue
        known, seen = places(model, where, name), set()
        for number, row in enumerate(rows):
            fault = _fault(name, row, known, seen, spins_of(model, where))
            if fault:
                yield Fault(name, number, *fault)
                break


def places(model: Model, where: Place, coupling: str) -> set[frozenset[int]]:
    """Where a coupling acts, as sets of sites."""
    terms = [term for term in model.terms if term.coupling == coupling]
    return {frozenset(place) for term in terms for place in term.places(where, spins_of(model, where))}


def spins_of(model: Model, where: Place) -> int:
    """Number of spins."""
    return model.spins * where.lattice.basis * math.prod(where.cells)


def _fault(
    name: str, row: Row, known: set[frozenset[int]], seen: set[frozenset[int]], spins: int
) -> tuple[str, str, str] | None:
    if not row:
        return "a row is empty", "it holds the sites of a place, then the factor", ""
    *sites, factor = row
    size = min(map(len, known), default=1)
    example = f"{', '.join(map(str, sorted(min(known, key=sorted))))}, 1.5, for example" if known else ""
    if (stray := next((site for site in sites if site not in range(spins)), None)) is not None:
        return f"there is no site {stray:g}", f"sites are whole numbers from 0 to {spins - 1}", example
    if not math.isfinite(factor) or abs(factor) > LARGEST:
        return f"{factor:g} is no factor", f"a number of at most {LARGEST:g} in size is needed", example
    place = frozenset(int(site) for site in sites)
    if len(sites) != size or len(place) != size:
        many = "one site" if size == 1 else f"{size} different sites"
        return f"{name} does not act on {_words(sites)}", f"it takes {many}; a row ends with the factor", example
    if place not in known:
        first = int(sites[0])
        partners = sorted(site for one in known if first in one for site in one if site != first)
        why = f"site {first} has it with {', '.join(map(str, partners))}" if partners else ""
        return f"{name} does not act on {_words(sites)}", why, example
    if place in seen:
        return f"{name} on {_words(sites)} is listed twice", "the order of the sites does not matter", ""
    seen.add(place)
    return None


def _words(sites: Sequence[float]) -> str:
    named = [f"{site:g}" for site in sites]
    return f"site {named[0]}" if len(named) == 1 else f"sites {', '.join(named)}" if named else "no site"


def factors(rows: Sequence[Row]) -> dict[frozenset[int], float]:
    """The factor of each place that rows name."""
    return {frozenset(int(site) for site in sites): float(factor) for *sites, factor in rows}


def turned(model: Model, local: Local) -> bool:
    """Whether a factor gives an off-diagonal element another sign, so that the model's own sign rules are void."""
    moving = {t.coupling for t in model.terms if any(letter in "XY" for one in t.letters for letter in one)}
    return any(row[-1] < 0 for name, rows in local.items() if name in moving for row in rows)


def local_of(given: Local | str | Path | None, where: str) -> dict[str, list[list[float]]]:
    """Rows as numbers, of a file where a path is given.

    Raises:
        InputError: the file cannot be read, or these are no rows of numbers.
    """
    if isinstance(given, str | Path):
        return read_local(given, where)
    try:
        return {name: [[float(value) for value in row] for row in rows] for name, rows in (given or {}).items()}
    except (TypeError, ValueError, AttributeError):
        fix = '{"J": [(0, 1, 0.5)], "h": [(3, 2.0)]}, for example'
        raise InputError("these are no rows of numbers by coupling", where=where, fix=fix) from None


def check_local(model: Model, where: Place, local: Local, source: str) -> None:
    """Refuse what ``faults`` finds.

    Raises:
        InputError: the first of them.
    """
    for fault in faults(model, where, local):
        place = f"{source}: {fault.coupling}, row {fault.row + 1}"
        raise InputError(fault.what, where=place, why=fault.why, fix=fault.fix)


def read_local(path: str | Path, where: str = "couplings_file") -> dict[str, list[list[float]]]:
    """Local couplings of a CSV file with the columns ``coupling``, one for each site, and ``factor``.

    ``j`` stays empty for couplings of single sites. Which places a model has is checked by ``faults``.

    Raises:
        InputError: no such file, no text, another header, or a row that is no coupling, sites and a number.
    """
    fix = SEEN_FROM
    data = read_file(from_home(path), WHAT, LIMIT, where=f"{where}: {path}", fix=fix)
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8-sig")), skipinitialspace=True))
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path} is no text", where=where, why="a CSV file in UTF-8 is needed") from None
    numbered = [(n, line) for n, line in enumerate(lines, 1) if any(cell.strip() for cell in line)]
    numbered = [(n, [cell.strip() for cell in line]) for n, line in numbered if not line[0].startswith("#")]
    if len(numbered) < 2:
        raise InputError(f"{path} has no rows", where=where, fix=f"the header {HEADER}, and one row for each place")
    (first, header), *rows = numbered
    if len(header) < 3 or header[0] != "coupling" or header[-1] != "factor":
        why = f"it is '{','.join(header)[:80]}'"
        raise InputError(f"{path} has another header", where=f"{where}, line {first}", why=why, fix=HEADER)
    found: dict[str, list[list[float]]] = {}
    for number, (name, *cells) in rows:
        place = f"{where}, line {number}"
        if len(cells) != len(header) - 1:
            why = f"{len(cells) + 1} entries, the header has {len(header)}"
            raise InputError(f"{path} has a row of another length", where=place, why=why)
        found.setdefault(name, []).append([_number(cell, path, place) for cell in _filled(cells)])
    return found


def _filled(cells: list[str]) -> list[str]:
    """The entries without the empty ones between the last site and the factor."""
    *sites, factor = cells
    while sites and not sites[-1]:
        sites.pop()
    return [*sites, factor]


def _number(cell: str, path: str | Path, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"'{cell[:40]}' is no number", where=where, why=f"a row of {path} is {HEADER}")
    return value
