"""Reference values from a CSV file of the user's: a column for every coupling, ``energy``, and what else is known."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wavefoundry.core.errors import InputError
from wavefoundry.core.reading import SEEN_FROM, read_file
from wavefoundry.core.words import assigned, near
from wavefoundry.problems.references.found import Found, failed

LIMIT = 16 * 2**20
ENERGY, ERROR = "energy", "energy_error"
WHERE = "reference.file"
Row = tuple[dict[str, float], float, float | None]


class Values(NamedTuple):
    """The rows of a file: couplings and observables by name, energy and its error of the whole system."""

    path: str
    rows: list[Row]


def read(path: str, couplings: Sequence[str], observables: Sequence[str], scale: float) -> Values:
    """Read a file of reference values.

    Args:
        path: of the file. couplings: names of those of the model. observables: names that may be columns.
        scale: what energies are multiplied with: the number of sites where they are given per site, else 1.

    Raises:
        InputError: it cannot be read, a column is missing, unknown or there twice, a point is there twice, or an entry
            is no number.
    """
    data = read_file(path, "file of references", LIMIT, where=WHERE, fix=SEEN_FROM)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text", where=WHERE, why="a CSV file in UTF-8 is needed") from None
    reader = csv.reader(io.StringIO(text))
    lines = [(reader.line_num, line) for line in reader if "".join(line).strip() and not line[0].startswith("#")]
    if len(lines) < 2:
        raise InputError(
            f"{path} has no rows", where=WHERE, fix=f"a header, {_example(couplings)}, and one row a point"
        )
    (first, names), *entries = lines
    header = [name.strip() for name in names]
    _check_header(path, first, header, couplings, observables)
    rows = [_row(path, number, header, line, scale, couplings) for number, line in entries]
    seen: dict[tuple[float, ...], int] = {}
    for (number, _), (row, _, _) in zip(entries, rows, strict=True):
        place = tuple(row[name] for name in header if name in couplings)
        if place in seen:
            at = assigned({name: row[name] for name in header if name in couplings})
            why, fix = f"line {seen[place]} has it too", "one row for a point"
            raise InputError(f"{path} has {at} twice", where=f"{WHERE}, line {number}", why=why, fix=fix)
        seen[place] = number
    return Values(path, rows)


def _example(couplings: Sequence[str]) -> str:
    return f"'{','.join([*couplings[-1:], ENERGY, ERROR])}'"


def _check_header(
    path: str, line: int, header: list[str], couplings: Sequence[str], observables: Sequence[str]
) -> None:
    known, where = [*couplings, ENERGY, ERROR, *observables], f"{WHERE}, line {line}"
    if len(header) == 1 and (apart := next((mark for mark in ";\t" if mark in header[0]), None)):
        what = f"{path} has {'tabs' if apart == chr(9) else 'semicolons'} between its columns"
        raise InputError(what, where=where, fix="commas")
    for name in header:
        if name not in known:
            raise InputError(
                f"{path} has an unknown column '{name}'",
                where=where,
                why=f"columns are couplings ({', '.join(couplings)}), {ENERGY}, {ERROR}, and observables "
                f"({', '.join(observables[:3])}, ...)",
                fix=near(name, known),
            )
        if header.count(name) > 1:
            raise InputError(f"{path} has the column '{name}' twice", where=where)
    if ENERGY not in header or not set(header) & set(couplings):
        what = f"column '{ENERGY}'" if ENERGY not in header else "column of a coupling"
        fix = f"a header such as {_example(couplings)}"
        raise InputError(f"{path} has no {what}", where=where, fix=fix)


def _row(path: str, number: int, header: list[str], line: list[str], scale: float, couplings: Sequence[str]) -> Row:
    if len(line) != len(header):
        why = f"{len(line)} entries, the header has {len(header)}"
        raise InputError(f"{path} has a row of another length", where=f"{WHERE}, line {number}", why=why)
    values: dict[str, float] = {}
    optional = header.index(ENERGY)
    for place, (name, cell) in enumerate(zip(header, line, strict=True)):
        if not cell.strip() and place > optional and name not in couplings:
            continue
        try:
            values[name] = float(cell)
        except ValueError:
            values[name] = math.nan
        if not math.isfinite(values[name]) or (name == ERROR and values[name] < 0):
            what = f"'{cell.strip()}' is no {'error' if name == ERROR else 'number'}"
            raise InputError(what, where=f"{WHERE}, line {number}, column '{name}'")
    error = values.pop(ERROR) * scale if ERROR in values else None
    energy = values.pop(ENERGY) * scale
    return values, energy, error


def lookup(values: Values, couplings: Mapping[str, float], exact: bool) -> Found:
    """The value of a point; couplings that are no columns are not compared.

    Args:
        values: of the file. couplings: all those of the point. exact: whether the energies are exact.
    """
    # about zero the unit of the couplings is that of the file
    near = {name: 1e-12 * max(abs(row.get(name, 0.0)) for row, _, _ in values.rows) for name in couplings}
    for row, energy, error in values.rows:
        mine = {name: value for name, value in row.items() if name in couplings}
        if all(math.isclose(couplings[name], value, rel_tol=1e-9, abs_tol=near[name]) for name, value in mine.items()):
            observed = {name: value for name, value in row.items() if name not in couplings}
            return Found(
                energy,
                error or 0.0,
                "exact" if exact else "method",
                f"{'exact ' if exact else ''}value of {values.path}",
                observables=observed,
                details={"file": values.path},
            )
    at = assigned(couplings)
    return failed(f"{values.path} has no row for {at}")
