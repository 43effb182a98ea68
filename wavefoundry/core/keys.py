"""Keys of a study file that one kind of thing brings along, as pydantic takes them, and what is wrong with a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from wavefoundry.core.errors import InputError
from wavefoundry.core.words import near

Key = tuple[Any, FieldInfo]
"""Type, and default, bounds and meaning of a key."""

_TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("too small", "must be greater than {gt}"),
    "greater_than_equal": ("too small", "must be at least {ge}"),
    "less_than": ("too large", "must be less than {lt}"),
    "less_than_equal": ("too large", "must be at most {le}"),
    "too_short": ("too short", "must have at least {min_length} entries"),
    "too_long": ("too long", "must have at most {max_length} entries"),
    "string_too_short": ("too short", "must not be empty"),
    "string_too_long": ("too long", "must have at most {max_length} characters"),
}


def key(hint: Any, default: Any, description: str, **bounds: Any) -> Key:
    """A key of a table; bounds: ``ge``, ``gt``, ``le``, ``lt``."""
    info: Any = Field(default=default, description=description, **bounds)
    return hint, info


def option(hint: Any, description: str, **bounds: Any) -> Key:
    """A key that may be left out: what is built has a default of its own."""
    return key(hint | None, None, description, **bounds)


def _odd(value: int) -> int:
    if value % 2 == 0:
        rule = f"an odd number, as {value + 1}"
        raise PydanticCustomError("choice", "must be {rule}", {"rule": rule, "words": []})
    return value


Odd = Annotated[int, AfterValidator(_odd)]
"""Whole numbers that have a middle."""


PATH = r"^[^\x00-\x1f]+$"
"""What a path in a study file looks like; all other patterns are of names."""


def complaint(details: Mapping[str, Any], shown: str) -> tuple[str, str]:
    """What is wrong with a value, and why.

    Args:
        details: of one error of pydantic. shown: the value, as "steps = 0".
    """
    kind, context = details["type"], details.get("ctx", {})
    if kind in ("literal_error", "choice"):
        return f"{shown} is not possible", f"must be {context['rule' if kind == 'choice' else 'expected']}"
    if kind == "string_pattern_mismatch":
        if context.get("pattern") == PATH:
            return f"{shown} is not a path", "must not be empty or hold control characters"
        return f"{shown} is not possible", "letters, digits, '.', '_' and '-', a letter or digit first"
    if kind in _TYPES:
        return f"{shown} is not {_TYPES[kind]}", ""
    if kind in _BOUNDS:
        what, why = _BOUNDS[kind]
        return f"{shown} is {what}", why.format(**context)
    return f"{shown} cannot be used", details["msg"]


def words_of(details: Mapping[str, Any]) -> list[str]:
    """The words that a choice has, of an error of pydantic."""
    context = details.get("ctx", {})
    found = context["words"] if details["type"] == "choice" else re.findall(r"'([^']*)'", context["expected"])
    return [word for word in found if isinstance(word, str)]


def require(keys: Mapping[str, Key], given: Mapping[str, Any], what: str, where: str) -> dict[str, Any]:
    """The options that were given, scalars of NumPy as numbers; refuse what does not exist or cannot have its value.

    Args:
        keys: those there are. given: name -> value. what: has them, as "gru". where: for the message.

    Raises:
        InputError: the first of them.
    """
    for name in given:
        if name not in keys:
            fix = near(name, keys) or f"options: {', '.join(keys)}"
            raise InputError(f"{what} has no option {name!r}", where=where, fix=fix)
    plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in given.items()}
    config = ConfigDict(strict=True, allow_inf_nan=False)
    table = create_model("Options", __config__=config, **keys)  # type: ignore[call-overload]
    try:
        table.model_validate(plain)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        name = str(details["loc"][0])
        what, why = complaint(details, f"{name} = {given[name]!r:.60}")
        raise InputError(what, where=where, why=why) from None
    return plain
