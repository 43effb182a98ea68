"""What a Python function was given, held against what it takes: one clear error in place of a traceback."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wavefoundry.core.errors import InputError
from wavefoundry.core.words import near

if TYPE_CHECKING:
    import numpy as np

MOST_SITES = 4096
"""Of a lattice."""
MOST_STATES = 2**18
"""Configurations that are all listed."""
MOST_SAMPLES = 2**40
"""Beyond every memory; a smaller number is held against what is free."""
LARGEST_SEED = 2**32 - 1
LONGEST_NAME = 255
"""Of a file, as in all file systems in use."""


class Problem(NamedTuple):
    """One broken rule: the key path it is about, what is wrong, why, and what to write instead."""

    path: tuple[str, ...]
    what: str
    why: str = ""
    fix: str = ""


def expect(value: Any, kinds: type | tuple[type, ...], what: str, *, where: str, fix: str = "") -> None:
    """Refuse a value of another type.

    Args:
        value: what was given. kinds: the types it may have. what: these in words, as "lattice system".
        where: function and argument. fix: what to write instead.

    Raises:
        InputError: it has another type.
    """
    if not isinstance(value, kinds):
        raise InputError(f"{type(value).__name__} is no {what}", where=where, fix=fix)


def from_home(path: str | os.PathLike[str]) -> Path:
    """The path, "~" resolved; "~name" of a user that does not exist stays as it is, and is a folder like any other."""
    return Path(os.path.expanduser(path))


def own_folder(variable: str, default: str) -> Path:
    """A folder of the user's: what an environment variable of the XDG base directories says, else within the home.

    A user without one, as in many a container, has it among the temporary files.
    """
    if given := os.environ.get(variable):
        return from_home(given)
    home = os.path.expanduser("~")
    nobody = Path(tempfile.gettempdir()) / f"home-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    return (Path(home) if os.path.isabs(home) else nobody) / default


def path_of(value: Any, where: str) -> Path:
    """A path, "~" resolved.

    Raises:
        InputError: the value is no text and no path.
    """
    expect(value, (str, os.PathLike), "path", where=where, fix='a text such as "runs/study", or a pathlib.Path')
    text = os.fspath(value)
    if not text:
        raise InputError("an empty text is no path", where=where, fix='"." for the current folder')
    if "\0" in str(text) or any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(str(text)).parts):
        why = f"names have at most {LONGEST_NAME} bytes, none of them zero"
        raise InputError(f"{text!r:.60} is no path", where=where, why=why)
    return from_home(value)


def table_of(value: Any, where: str, example: str) -> dict[str, Any]:
    """Settings by name; None is an empty table.

    Raises:
        InputError: the value is no mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{value!r:.60} is not a table", where=where, fix=f"{example}, for example")
    for name in value:
        expect(name, str, "name of a setting", where=where, fix=f"{example}, for example")
    return dict(value)


def plain_of(value: Any) -> Any:
    """An array of NumPy, JAX or pandas as numbers or lists, everything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def list_of(value: Any, kinds: type | tuple[type, ...], what: str, *, where: str, fix: str = "") -> list[Any]:
    """A list or tuple of things of one kind.

    Args:
        value: what was given. kinds: the types of its members. what: one of them in words, as "run".
        where: function and argument. fix: what to write instead.

    Raises:
        InputError: it is no list, or something else is in it.
    """
    given = plain_of(value)
    if not isinstance(given, list | tuple):
        raise InputError(f"{value!r:.60} is no list", where=where, why=f"a {what} in a list is one, too", fix=fix)
    for one in given:
        expect(one, kinds, what, where=where, fix=fix)
    return list(given)


def count_of(value: Any, what: str, *, where: str, least: int = 0, most: int | None = None) -> int:
    """A whole number; 4.0 is one, True is none.

    Raises:
        InputError: it is none, or out of bounds.
    """
    number = plain_of(value)
    whole = isinstance(number, int | float) and not isinstance(number, bool) and number == number // 1
    if not whole or number < least or (most is not None and number > most):
        # what is beyond every memory is no bound that anybody has to know
        open_ended = most is None or (most >= MOST_SAMPLES and not (whole and number > most))
        bounds = f"a whole number from {least}" if open_ended else f"a whole number from {least} to {most}"
        raise InputError(f"{value!r:.60} is no {what}", where=where, why=bounds)
    return int(number)


def seed_of(value: Any, where: str) -> int:
    """A seed of random numbers.

    Raises:
        InputError: it is none.
    """
    return count_of(value, "seed", where=where, most=LARGEST_SEED)


def number_of(value: Any, what: str, *, where: str) -> float:
    """A finite number; True and "1" are none.

    Raises:
        InputError: it is none.
    """
    number = plain_of(value)
    try:
        fine = isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    except OverflowError:  # a whole number beyond every float
        fine = False
    if not fine:
        raise InputError(f"{value!r:.60} is no {what}", where=where, why="a finite number")
    return float(number)


def numbers_of(value: Any, what: str, *, where: str) -> np.ndarray:
    """An array of numbers, complex ones included.

    Raises:
        InputError: it is none: texts, lists of different lengths, other objects.
    """
    import numpy as np

    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{what} is no array", where=where, why=why) from None
    if array.dtype.kind not in "biufc":
        why = f"{type(value).__name__} of {array.dtype}"
        raise InputError(f"{what} does not consist of numbers", where=where, why=why)
    return array


def flag_of(value: Any, what: str, *, where: str) -> bool:
    """True or False, and nothing that Python takes for one of them.

    Raises:
        InputError: it is something else.
    """
    flag = plain_of(value)
    if not isinstance(flag, bool):
        raise InputError(f"{what} = {value!r:.60} is not possible", where=where, why="True or False")
    return flag


def edges_of(extent: Any, where: str) -> tuple[int, ...]:
    """Edges of a lattice, whole numbers from 1.

    Raises:
        InputError: an edge is no such number, there are not one or two of them, or they hold too many sites.
    """
    edges = plain_of(extent)
    listed = list(edges) if isinstance(edges, list | tuple) else [edges]
    plain = tuple(count_of(edge, "number of sites along an edge", where=where, least=1) for edge in listed)
    if len(plain) not in (1, 2):
        raise InputError(f"a lattice with {len(plain)} edges is not possible", where=where, why="it has one or two")
    if math.prod(plain) > MOST_SITES:
        what = f"a lattice of {' x '.join(map(str, plain))} is too large"
        raise InputError(f"{what:.100}", where=where, why=f"at most {MOST_SITES} sites")
    return plain


def one_of(name: str, known: Collection[str], what: str, *, where: str) -> str:
    """A name that is known.

    Raises:
        InputError: it is not; ``what`` says so, and a near miss is pointed out.
    """
    expect(name, str, "name", where=where, fix=f"one of {', '.join(known)}")
    if name not in known:
        raise InputError(what, where=where, why=f"known: {', '.join(known)}", fix=near(name, known))
    return name
