"""Descriptions of networks check their own fields, so that a mistake is found where it was made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, get_type_hints

from wavefoundry.core.errors import InputError
from wavefoundry.core.keys import complaint
from wavefoundry.core.words import near


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    from pydantic import TypeAdapter

    return {name: TypeAdapter(hint) for name, hint in get_type_hints(kind).items()}


class Described:
    """Base of the descriptions: fields have their types, numbers are positive."""

    def __post_init__(self) -> None:
        from pydantic import ValidationError

        for name, adapter in _types(type(self)).items():
            value = getattr(self, name)
            try:
                adapter.validate_python(value, strict=True)
            except ValidationError as error:
                what, why = complaint(error.errors(include_url=False)[0], f"{name} = {value!r:.60}")
                raise InputError(what, where=_where(type(self)), why=why) from None
            if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value < float("inf"):
                why = "it must be positive"
                raise InputError(f"{name} = {value!r:.60} is not possible", where=_where(type(self)), why=why)


def _where(kind: type) -> str:
    return f"models.{kind.__name__.removesuffix('Spec').lower()}"


def described(kind: type, fields: Mapping[str, Any]) -> Any:
    """A description from keyword arguments; scalars of NumPy and lists count as numbers and tuples.

    Raises:
        InputError: there is no such option, or it cannot have that value.
    """
    known = [field.name for field in dataclasses.fields(kind)]
    plain = {}
    for name, value in fields.items():
        if name not in known:
            what = f"{kind.__name__.removesuffix('Spec').lower()} has no option {name!r}"
            raise InputError(what, where=_where(kind), fix=near(name, known) or f"options: {', '.join(known)}")
        value = value.tolist() if hasattr(value, "tolist") else value
        plain[name] = tuple(value) if isinstance(value, list) else value
    return kind(**plain)
