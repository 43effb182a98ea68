"""Descriptions of networks check their own fields, so that a mistake is found where it was made."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar, get_type_hints

from wavefoundry.core.errors import InputError
from wavefoundry.core.keys import complaint
from wavefoundry.core.words import near


@functools.cache
def _types(kind: type) -> dict[str, Any]:
    from pydantic import TypeAdapter

    hints = get_type_hints(kind)
    return {field.name: TypeAdapter(hints[field.name]) for field in dataclasses.fields(kind)}


class Described:
    """Base of the descriptions: fields have their types, numbers are positive, some of them may be zero."""

    MAY_BE_ZERO: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        from pydantic import ValidationError

        for name, adapter in _types(type(self)).items():
            value = getattr(self, name)
            try:
                adapter.validate_python(value, strict=True)
            except ValidationError as error:
                what, why = complaint(error.errors(include_url=False)[0], f"{name} = {value!r:.60}")
                raise InputError(what, where=_where(type(self)), why=why) from None
            number = isinstance(value, int | float) and not isinstance(value, bool)
            zero = value == 0 and name in self.MAY_BE_ZERO
            if number and not zero and not 0 < value < float("inf"):
                why = "it must be positive" if name not in self.MAY_BE_ZERO else "it must not be negative"
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
