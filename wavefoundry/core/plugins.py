"""Modules of a user's own that add to the tables of models, networks and emulators, in every process of a run.

They are imported when a name is asked for that no table has: packages by their entry points in the group
``wavefoundry``, others by the variable ``WAVEFOUNDRY_PLUGINS``.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import from_home

GROUP = "wavefoundry"
"""Of entry points."""
VARIABLE = "WAVEFOUNDRY_PLUGINS"
"""Names of modules, or paths of Python files, separated as in PATH."""

LOADED: dict[str, str] = {}
"""What has been imported in this process: its name, and its version."""
_under_way: list[str] = []

Entry = TypeVar("Entry")


class Registry(dict[str, Entry]):
    """Entries by name. Plug-ins are loaded before it is said that there is none."""

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        if not isinstance(name, str):
            return False
        load()
        return super().__contains__(name)

    def __missing__(self, name: str) -> Entry:
        if name in self:
            return self[name]
        raise KeyError(name)

    def get(self, name: Any, default: Any = None) -> Any:
        """The entry, or ``default``."""
        return self[name] if name in self else default  # noqa: SIM401 - this is that method


def load() -> None:
    """Import all plug-ins, each once in a process.

    Raises:
        InputError: one cannot be imported.
    """
    if _under_way:
        return  # what registers looks whether its name is taken
    for name, bring in {**_installed(), **_named(*_names())}.items():
        if name in LOADED:
            continue
        _under_way.append(name)
        try:
            LOADED[name] = bring()
        except Exception as error:
            raise _refused(name, error) from None
        finally:
            _under_way.pop()


def arguments() -> list[str]:
    """Options of the command line that name the plug-ins which are not installed."""
    return [word for name in _names() for word in ("--plugin", name)]


def add(names: list[str]) -> None:
    """Name further plug-ins, for this process and those it starts."""
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*_names(), *names]))


def _names() -> list[str]:
    return [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


@functools.cache
def _installed() -> dict[str, Callable[[], str]]:
    found = importlib.metadata.entry_points(group=GROUP)
    return {point.value: functools.partial(_package, point) for point in found}


@functools.cache
def _named(*names: str) -> dict[str, Callable[[], str]]:
    return {name: functools.partial(_file if name.endswith(".py") else _module, name) for name in names}


def _package(point: importlib.metadata.EntryPoint) -> str:
    point.load()
    return point.dist.version if point.dist is not None else "unknown"


def _module(name: str) -> str:
    return str(getattr(importlib.import_module(name), "__version__", "unknown"))


def _file(path: str) -> str:
    source = from_home(path).resolve()
    version = f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    name = f"wavefoundry_plugin_{source.stem}"
    if any(getattr(module, "__file__", None) == str(source) for module in list(sys.modules.values())):
        return version  # the program that runs has imported it itself
    spec = importlib.util.spec_from_file_location(name, source)
    assert spec is not None and spec.loader is not None, "its name ends in .py"
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return version


def _refused(name: str, error: Exception) -> InputError:
    """What went wrong in a plug-in, with the line of it where there is one."""
    if isinstance(error, InputError):
        return InputError(error.what, where=f"plug-in {name}: {error.where}", why=error.why, fix=error.fix)
    if isinstance(error, OSError) and error.filename is not None:
        why, line = str(error.strerror), ""
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
        why, line = f"{type(error).__name__}: {error}", f", line {own[-1].lineno} of {own[-1].filename}" if own else ""
    fix = f"the path of a .py file, or a module that Python finds (see PYTHONPATH); {VARIABLE} or --plugin names it"
    return InputError(f"the plug-in {name} cannot be imported", where=f"{name}{line}", why=why, fix=fix)
