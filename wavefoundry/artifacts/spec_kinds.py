"""Tables of a study file with a ``kind``: every kind has keys of its own, which an entry of its name lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import GetJsonSchemaHandler, WrapValidator, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from wavefoundry.artifacts.spec_tables import Table
from wavefoundry.core.expect import Problem
from wavefoundry.core.words import near


class KindTable(Table):
    """Keys that all kinds have; ``of_kind`` adds those of one.

    ENTRIES: by name, what has the ``keys`` of a kind. NOUN: what they are, for messages. OWN_DEFAULTS: of a kind of
    study, where they differ from those of the entries. STALE: keys of other kinds pass where they say nothing: older
    files hold all.
    """

    ENTRIES: ClassVar[Mapping[str, Any]] = {}
    NOUN: ClassVar[str] = "entry"
    OWN_DEFAULTS: ClassVar[Mapping[str, Any]] = {}
    STALE: ClassVar[bool] = False

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The keys of every kind, for editors: which kind has which is said where a file is read."""
        found = handler.resolve_ref_schema(handler(core_schema))
        for entry in cls.ENTRIES.values():
            own = create_model("Keys", **entry.keys).model_json_schema()["properties"]
            for key, one in own.items():
                known = found["properties"].setdefault(key, one)
                if one not in (known, *known.get("anyOf", [])):
                    found["properties"][key] = {"anyOf": [*known.get("anyOf", [known]), one]}
        return found

    @classmethod
    def homes(cls, name: str) -> list[str]:
        """The kinds that have a key."""
        return [kind for kind, entry in cls.ENTRIES.items() if name in entry.keys]

    @classmethod
    def of(cls, kind: str) -> type[Self]:
        """The table of one kind: the common keys and its own."""
        entry = cls.ENTRIES[kind]
        if (cls, id(entry)) not in _TABLES:
            own: Any = {
                name: (hint, _default(field, cls.OWN_DEFAULTS.get(name))) for name, (hint, field) in entry.keys.items()
            }
            _TABLES[cls, id(entry)] = create_model(f"{cls.__name__}_{kind}", __base__=cls, **own)
        return _TABLES[cls, id(entry)]

    def key(self, name: str, default: Any = None) -> Any:
        """The value of a key that not every kind has."""
        return getattr(self, name, default)


HERE = "{table}"
"""Stands for the path of a table in what is said of its keys."""
_TABLES: dict[tuple[type[KindTable], int], Any] = {}


def _default(field: FieldInfo, value: Any) -> FieldInfo:
    return field if value is None else FieldInfo.merge_field_infos(field, default=value)


def of_kind(base: type[KindTable]) -> WrapValidator:
    """Read a table as that of its kind.

    Args:
        base: the common keys, with the defaults of a kind of study.
    """

    def validate(value: Any, handler: Callable[[Any], Any]) -> Any:
        if isinstance(value, base) and type(value) is not base:
            return value
        if not isinstance(value, dict):
            return handler(value)
        kind = value.get("kind", base.model_fields["kind"].default)
        if not isinstance(kind, str) or kind not in base.ENTRIES:
            return handler({key: value[key] for key in value if key in base.model_fields})
        table = base.of(kind)
        if found := list(_foreign(base, table, kind, value)):
            raise PydanticCustomError("foreign", "keys of another kind", {"problems": found})
        return table.model_validate({key: item for key, item in value.items() if key in table.model_fields})

    return WrapValidator(validate)


def _foreign(base: type[KindTable], table: type[KindTable], kind: str, value: dict[str, Any]) -> Iterator[Problem]:
    """Keys that this kind does not have; their paths begin in the table, whose own path is not known here."""
    for key in sorted(value, key=lambda key: (bool(base.homes(str(key))), str(key))):
        path = (str(key),)
        if key in table.model_fields:
            continue
        if not (others := base.homes(str(key))):
            known = [*table.model_fields, *(name for entry in base.ENTRIES.values() for name in entry.keys)]
            fix = near(str(key), known) or f"keys here: {', '.join(table.model_fields)}"
            yield Problem(path, f"unknown key {HERE}.{key}", fix=fix)
        elif not base.STALE or value[key] not in [base.ENTRIES[name].keys[key][1].default for name in others]:
            why = f"it belongs to kind {' or '.join(others)}"
            yield Problem(path, f"a {kind} {base.NOUN} has no {key}", why, "leave the key out")
