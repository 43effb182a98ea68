"""The records of a run as types: what `summary.json` holds, its JSON schema, and the tables of docs/results.md.

>>> parsed({"kind": "seeds", "status": "complete", "of": "diagram", "seeds": [], "quantities": []}).of
'diagram'
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from wavefoundry.core.errors import InputError
from wavefoundry.core.records.common import OtherSummary, Record, Summary
from wavefoundry.core.records.diagram import DiagramSummary
from wavefoundry.core.records.emulation import EmulationSummary
from wavefoundry.core.records.molecules import MoleculesSummary
from wavefoundry.core.records.seeds import SeedsSummary
from wavefoundry.core.records.tickets import TicketsSummary
from wavefoundry.core.values import plain

SUMMARIES: dict[str, type[Summary]] = {
    "diagram": DiagramSummary,
    "tickets": TicketsSummary,
    "molecules": MoleculesSummary,
    "emulation": EmulationSummary,
    "seeds": SeedsSummary,
}
"""The form of a summary by kind; of another kind, that is ``OtherSummary``."""
R = TypeVar("R", bound=Record)


def typed(model: type[R], record: Mapping[str, Any]) -> R:
    """A record, or an event that tells of one, as what it is a record of.

    Raises:
        InputError: something in it has another form; the message names the first place.
    """
    try:
        # results in Python hold tuples and numbers of NumPy where a file has lists and numbers
        return model.model_validate(plain(dict(record)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InputError(f"'{place_of(first['loc'])}': {first['msg'][:1].lower()}{first['msg'][1:]}") from None


def parsed(summary: Mapping[str, Any]) -> Summary:
    """A summary as typed records.

    Raises:
        InputError: something in it has another form; the message names the first place.
    """
    kind = summary.get("kind", "diagram")  # the first releases wrote diagrams alone, and no kind
    model = SUMMARIES.get(kind, OtherSummary) if isinstance(kind, str) else OtherSummary
    return typed(model, {"kind": kind, **summary})


def place_of(loc: tuple[int | str, ...]) -> str:
    """Where something is, as ``points[2].energy``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc).removeprefix(".")


def unknown(record: BaseModel, where: str = "") -> Iterator[str]:
    """Fields of a record, and of the records in it, that its type does not name."""
    for name in record.model_extra or {}:
        yield f"{where}.{name}".removeprefix(".")
    for name in type(record).model_fields:
        yield from _unknown(getattr(record, name), f"{where}.{name}")


def _unknown(value: Any, where: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from unknown(value, where)
    elif isinstance(value, list):
        for one in value:
            yield from _unknown(one, where + "[]")
    elif isinstance(value, dict):
        for one in value.values():
            yield from _unknown(one, where)


def json_schema() -> dict[str, Any]:
    """JSON schema of every ``summary.json``, told apart by ``kind``."""
    return TypeAdapter(functools.reduce(operator.or_, SUMMARIES.values())).json_schema()


def fields(model: type[Record], without: type[Record] | None = None) -> list[tuple[str, str]]:
    """Names of the fields of a record as JSON has them, and what they mean; those of another type left out."""
    left = set() if without is None else set(without.model_fields)
    return [
        (field.alias or name, field.description or "")
        for name, field in model.model_fields.items()
        if name not in left or name in model.__annotations__
    ]
