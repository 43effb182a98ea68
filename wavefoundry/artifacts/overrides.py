"""Changes of single keys on top of a study file, as ``--set table.key=value`` gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wavefoundry.artifacts.spec_errors import short
from wavefoundry.artifacts.toml_text import line_of, parse_value, split_key
from wavefoundry.core.errors import InputError

LONGEST_KEY = 200
"""Characters of a key path."""


def parsed(item: str, option: str = "--set", example: str = "pretrain.steps=100") -> tuple[tuple[str, ...], Any]:
    """Key path and value of ``"table.key=value"``, as ``option`` got it; InputError where the text is no such thing."""
    key, equals, value = item.partition("=")
    if len(key) > LONGEST_KEY:
        raise InputError(f"the key of {option} {short(item)} is too long", where=option, why=f"at most {LONGEST_KEY}")
    path = split_key(key)
    if not equals or path is None:
        raise InputError(
            f"{option} {short(item)} is not of the form {'table.key' if option == '--set' else 'key'}=value",
            where=option,
            fix=f"{option} {example}, for example",
        )
    return path, parse_value(value.strip())


def put(data: dict[str, Any], path: tuple[str, ...], value: Any, default: Callable[[tuple], list[Any] | None]) -> None:
    """Put a value where a key path leads; a number counts the entries of a list, from 0."""
    table: Any = data
    for depth, part in enumerate(path):
        last, following = depth + 1 == len(path), path[depth + 1 : depth + 2]
        if isinstance(table, list):
            key: Any = _entry(table, path, depth)
        else:
            key = part
            if following and following[0].isdecimal() and key not in table:
                known = default(path[: depth + 1])
                table |= {} if known is None else {key: known}
        if last:
            table[key] = value
            return
        inner = table[key] if isinstance(table, list) else table.get(key)
        listed = isinstance(inner, list) and following[0].isdecimal()
        # A value on the way is replaced by a table: validation then names what does not fit.
        if not isinstance(inner, dict) and not listed:
            table[key] = {}
        table = table[key]


def _entry(entries: list[Any], path: tuple[str, ...], depth: int) -> int:
    part, name = path[depth], ".".join(path[:depth])
    if part.isdecimal() and len(part) < 7 and int(part) < len(entries):
        return int(part)
    last = len(entries) - 1
    why = f"its entries are {name}.0{f' to {name}.{last}' if last else ''}" if entries else "the list is empty"
    raise InputError(f"{name} has no entry {short(part)}", where="--set", why=why)


OPTIONS = {"run.seeds": "--seeds or --set", "run.devices": "--devices or --set"}
"""Keys that have an option of their own."""


class Places(NamedTuple):
    """Where key paths were written: on the command line, or at a line of the file."""

    text: str
    source: str
    changed: Sequence[tuple[str, ...]]
    cause: str = ""
    """The change that a key of the file does not fit any more."""

    def set_here(self, path: tuple) -> bool:
        """Whether a change touches this key, one above it or one below."""
        return any(tuple(path[: len(key)]) == key or key[: len(path)] == tuple(path) for key in self.changed)

    def __call__(self, path: tuple) -> str:
        """The place that a key path stands at."""
        if self.set_here(path):
            own = OPTIONS.get(".".join(map(str, path[:2])))
            return f"{own or '--set'}, on top of {self.source}"
        line = line_of(self.text, path)
        place = f"{self.source}, line {line}" if line else self.source
        return f"--set {self.cause}, on top of {place}" if self.cause else place
