"""Turn what pydantic says about a study file into one short message: what, where, why, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from wavefoundry.artifacts.spec_kinds import HERE, KindTable
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import Problem
from wavefoundry.core.keys import complaint, words_of
from wavefoundry.core.words import near

_ELSEWHERE = {
    "system.lattice.kind": "other lattices: wavefoundry.lattice.from_netket in Python, with a graph of your own",
    "system.model": "other Hamiltonians: wavefoundry.lattice.from_netket in Python",
}
"""Where a choice is to be had that a study file does not know."""


LISTED = 20
"""Most mistakes that one message names."""


def short(value: Any, length: int = 60) -> str:
    """A value as it would stand in a study file, on one line and cut to ``length`` characters."""
    try:
        text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    except ValueError:
        text = "(a number with thousands of digits)"
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + "..."


def checked(kind: type[BaseModel], where: str, fields: Mapping[str, Any]) -> Any:
    """A table of settings from keyword arguments, with the checks and messages of a study file.

    Raises:
        InputError: a setting is unknown, of another type or out of bounds.
    """
    try:
        return kind(**fields)
    except ValidationError as error:
        raise to_input_error(error, kind, lambda path: where) from None


def to_input_error(error: ValidationError, model: type[BaseModel], where: Callable[[tuple], str]) -> InputError:
    """The problems of a validation as one ``InputError``: the first in four lines, of every other one line.

    Args:
        error: what pydantic raised for ``model``.
        model: the study's top-level table, to know the keys around an unknown one.
        where: gives file and line (or the option) of a key path.

    Returns:
        The error to raise.
    """
    # A misspelt key is also a missing one: the unknown key says more, so it comes first.
    details = sorted(error.errors(include_url=False), key=lambda item: item["type"] != "extra_forbidden")
    found = _independent([problem for item in details for problem in _problems(item, model)])
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    place = f"{where(first.path)}, key {'.'.join(first.path)}"
    also = [short_line(_in_a_line(other, where)) for other in found[1 : LISTED + 1]]
    also += [f"{len(found) - 1 - LISTED} more"] if len(found) - 1 > LISTED else []
    why, fix = short_line(first.why), short_line(first.fix)
    return InputError(first.what + more, where=short_line(place), why=why, fix=fix, also=also)


def _independent(found: list[Problem]) -> list[Problem]:
    """Problems without those that others explain: a misspelt key is also a missing one."""
    meant = {(*one.path[:-1], match[1]) for one in found if (match := re.search(r"did you mean '(.*)'\?", one.fix))}
    return [one for one in found if not (one.path in meant and one.what.endswith("is missing"))] or found


def _in_a_line(problem: Problem, where: Callable[[tuple], str]) -> str:
    words = "; ".join(part for part in (problem.why, problem.fix) if part)
    return f"{problem.what} ({where(problem.path)})" + (f": {words}" if words else "")


def short_line(text: str, length: int = 300) -> str:
    """Text on one line, cut to ``length`` characters: whatever a user writes cannot blow up a message."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + "..."


def _problems(details: Mapping[str, Any], model: type[BaseModel]) -> list[Problem]:
    if details["type"] == "together":
        return details["ctx"]["problems"]
    # Tags of tagged unions stand in the path as <tag>, members of others as their type; the user never wrote them.
    path = tuple(str(part) for part in details["loc"] if not re.fullmatch(r"<\w+>|constrained-\w+|list\[.*", str(part)))
    if details["type"] == "foreign":
        found = details["ctx"]["problems"]
        return [Problem((*path, *one.path), one.what.replace(HERE, ".".join(path)), one.why, one.fix) for one in found]
    return [_problem(path, details, model)]


def _problem(path: tuple[str, ...], details: Mapping[str, Any], model: type[BaseModel]) -> Problem:
    kind, value = details["type"], details["input"]
    name = short_line(".".join(path), 80)
    shown = f"{name} = {short(value)}"
    if kind == "extra_forbidden":
        return _unknown_key(path, name, model)
    if kind == "missing":
        table, key = _table(model, path[:-1]), path[-1]
        about = table.model_fields[key].description or "" if table and key in table.model_fields else ""
        fix = f"{key}: {about}" if about else ""
        return Problem(path, f"key {name} is missing", why="it has no default", fix=fix)
    fix = ""
    if kind in ("literal_error", "choice"):
        fix = near(value, words_of(details)) if isinstance(value, str) else ""
        fix = fix or _ELSEWHERE.get(name, "")
    return Problem(path, *complaint(details, shown), fix)


def _unknown_key(path: tuple[str, ...], name: str, model: type[BaseModel]) -> Problem:
    table = _table(model, path[:-1])
    known = list(table.model_fields) if table else []
    fix = near(path[-1], known)
    if not fix:
        homes = [key for key, field in model.model_fields.items() if _has(field.annotation, path[-1])]
        fix = f"the key belongs to [{'] or ['.join(homes)}]" if homes else f"keys here: {', '.join(known)}"
    return Problem(path, f"unknown key {name}", fix=fix)


def _table(model: type[BaseModel], path: tuple[str, ...]) -> type[BaseModel] | None:
    """The table a key path leads to, or ``None`` where it leads nowhere."""
    current: Any = model
    for part in path:
        field = _fields_of(current).get(part)
        # Under free names (couplings) the table is the one inside ``dict[str, ...]``, if there is any.
        current = field.annotation if field is not None else _inner_table(current)
    return current if _fields_of(current) else None


def _inner_table(annotation: Any) -> type[BaseModel] | None:
    candidates = list(get_args(annotation))
    while candidates:
        candidate = candidates.pop()
        if _fields_of(candidate):
            return candidate
        candidates += get_args(candidate)
    return None


def _has(annotation: Any, key: str) -> bool:
    """Whether a table has a key; one with kinds has those of all of them."""
    kinds = isinstance(annotation, type) and issubclass(annotation, KindTable)
    return key in _fields_of(annotation) or (kinds and bool(annotation.homes(key)))


def _fields_of(annotation: Any) -> dict[str, Any]:
    is_table = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation.model_fields if is_table else {}
