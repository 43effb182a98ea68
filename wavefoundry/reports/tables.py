"""Numbers as text: ``-1.27012(34)``, and the flat ``points.csv``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LEADING = (
    "method", "energy", "energy_error", "energy_per_site", "variance", "v_score", "v_score_error", "v_score_plain",
    "v_score_plain_error", "r_hat", "ess", "acceptance", "pool.draws", "pool.ess_min", "exact_energy", "relative_error",
    "z", "verdict", "answers.sampled", "answers.state", "answers.ground", "trusted", "flags", "reasons",
)  # fmt: skip
REFERENCE = ("energy", "error", "difference", "kind", "source", "cost", "why")
"""What a table shows of the value of a method."""
JOINED = {"flags": ";", "reasons": "; "}
GROUPS = ("references", "observables", "exact_observables", "terms", "cost")
NOT_AVAILABLE = "n/a"


ROUNDING = 1e-12
"""Of a value: an error below it is none, and has no digits."""


def format_value_error(value: float | None, error: float | None) -> str:
    """A value with its error bar on the last digits, two of which are shown: ``-1.27012(34)``.

    An error from 1 to 9.9 keeps its decimal point, ``5.3(1.2)``; a value below 1e-4 is written with an
    exponent, ``1.20(30)e-9``. A value without error bar is cut to six significant digits, which claim little;
    one whose error is zero (a full sum), or no more than rounding, shows ten. A value that is missing or not finite is
    ``n/a``.
    """
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    if error is not None and error < ROUNDING * abs(value):
        error = 0.0
    if error is None or not math.isfinite(error) or error <= 0:
        return f"{value + 0.0:.10g}" if error == 0 else f"{value + 0.0:.6g}"
    largest = max(abs(value), error)
    if largest < 1e-4 or largest >= 1e7:
        power = math.floor(math.log10(largest))
        return f"{format_value_error(value / 10.0**power, error / 10.0**power)}e{power:d}"
    # Rounding the error first: 0.0996 becomes 0.10, which moves its last digit by one place.
    error = float(f"{error:.1e}")
    decimals = 1 - math.floor(math.log10(error))
    shown = round(value, decimals) + 0.0  # + 0.0 turns a rounded -0.0 into 0.0
    if decimals <= 0:
        return f"{shown:.0f}({error:.0f})"
    digits = f"{error:.1f}" if error >= 1 else f"{round(error * 10**decimals)}"
    return f"{shown:.{decimals}f}({digits})"


def format_number(value: float | None, digits: int = 2) -> str:
    """A number with ``digits`` significant digits, ``7.1e-4`` when small or large; ``n/a`` if not finite."""
    if value is None or not math.isfinite(value):
        return NOT_AVAILABLE
    if value and not 1e-2 <= abs(value) < 1e6:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(power)}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested object as one level with dotted names; entries of lists are numbered, flags and reasons stay whole.

    >>> flatten({"couplings": {"h": 1.0}, "flags": ["R-HAT"], "pool": None})
    {'couplings.h': 1.0, 'flags': 'R-HAT', 'pool': None}
    """
    if isinstance(value, dict):
        items = [(str(key), entry) for key, entry in value.items()]
    elif isinstance(value, (list, tuple)) and (joint := JOINED.get(prefix.rpartition(".")[2])):
        return {prefix: joint.join(str(entry) for entry in value)}
    elif isinstance(value, (list, tuple)):
        items = [(str(index), entry) for index, entry in enumerate(value)]
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, entry in items:
        flat.update(flatten(entry, f"{prefix}.{key}" if prefix else key))
    return flat


def columns(records: list[dict[str, Any]]) -> list[str]:
    """Column names in a stable order: couplings, fixed fields, observables, exact ones, terms, cost, rest.

    The fixed fields are always there, so that the files of two runs can be stacked. Within a group the order
    is that of first appearance.
    """
    seen = list(dict.fromkeys(name for record in records for name in record))
    couplings = [name for name in seen if name.startswith("couplings.")]
    grouped = [name for group in GROUPS for name in seen if name.startswith(f"{group}.")]
    ordered = [*couplings, *LEADING, *grouped]
    empty = {"couplings", "pool", "answers", "reference", *GROUPS}  # a null or empty object leaves its bare name behind
    return ordered + [name for name in seen if name not in ordered and name not in empty]


def write_csv(points: list[dict[str, Any]]) -> str:
    """The points of a summary as CSV text: dotted column names, missing and non-finite numbers empty.

    Args:
        points: ``summary["points"]``.

    Returns:
        A header and one line a point, in the given order; numbers read back to the same floats.
    """
    records = [flatten(_short(point)) for point in points]
    names = columns(records)
    return csv_text(names, records)


def _short(point: dict[str, Any]) -> dict[str, Any]:
    """A record whose references are numbers and words: stages of a method and other sectors are in the summary."""
    if isinstance(point.get("sector"), dict):
        point = {**point, "sector": {key: value for key, value in point["sector"].items() if key != "tried"}}
    found = point.get("references")
    if not isinstance(found, dict):
        return point
    known = {method: one for method, one in found.items() if isinstance(one, dict)}
    short = {m: {key: one[key] for key in REFERENCE if one.get(key) is not None} for m, one in known.items()}
    return {**point, "references": short}


def csv_text(names: Sequence[str], records: Iterable[Mapping[str, Any]]) -> str:
    """Flat records as CSV: a header and one line a record; what is missing or not finite is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[_cell(record.get(name)) for name in names] for record in records])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
