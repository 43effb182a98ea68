"""Study files: TOML in, a checked study of one of the ``KINDS`` out, and back.

A study is described once, typed, with every default written down; unknown keys are errors. Every mistake is
an ``InputError`` of a few lines that names the key, the file and the line. Reading a study imports no array
library.
"""

from __future__ import annotations

import copy
import functools
import operator
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from wavefoundry.artifacts import overrides as overrides_of
from wavefoundry.artifacts.named import find, is_named
from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.artifacts.spec_emulation import EmulationSpec
from wavefoundry.artifacts.spec_errors import short, short_line, to_input_error
from wavefoundry.artifacts.spec_molecules import PAPER as PAPER_MOLECULES
from wavefoundry.artifacts.spec_molecules import MoleculesSpec, self_contained
from wavefoundry.artifacts.spec_paths import alike, beside
from wavefoundry.artifacts.spec_tickets import DESK, PUBLISHED, TicketsSpec, preset_for
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import from_home, one_of
from wavefoundry.core.hamiltonians import check_local, read_local
from wavefoundry.core.networks import COMMON, NETWORKS
from wavefoundry.core.reading import SEEN_FROM, is_there, read_file
from wavefoundry.core.words import near

TEMPLATES = Path(__file__).parent / "templates"
_MAX_BYTES = 1 << 20
_DEEPEST = 16


KINDS: dict[str, type[Any]] = {
    "diagram": DiagramSpec,
    "emulation": EmulationSpec,
    "molecules": MoleculesSpec,
    "tickets": TicketsSpec,
}
"""Study kinds by the value of ``kind``, which decides how the rest of a file is read."""

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "desk": {"diagram": {}, "emulation": {}, "molecules": {}, "tickets": DESK},
    "paper": {
        "emulation": {
            "curriculum": {"preset": "paper-full"},
            "students": [{"kind": "gru"}],
            "training": {"recipe": "paper"},
        },
        "diagram": {
            "wavefunction": {"width": 60, "layers": 4, "heads": 10},
            "pretrain": {"steps": 1000, "walkers": 4096},
            "adapt": {"steps": 100, "samples": 4096, "full_steps": 200},
            "evaluate": {"samples": 65536, "chains": 1024},
            "output": {"memory_mib": 4096},
        },
        "molecules": PAPER_MOLECULES,
    },
}
"""Defaults by preset and kind, used for keys the study file leaves out; desk is what the tables say."""
PRESETS |= {name: PRESETS.get(name, {}) | {"tickets": values} for name, values in PUBLISHED.items()}


def json_schema() -> dict[str, Any]:
    """JSON schema of study files of every kind, for editors; what goes together is said where a file is read."""
    return TypeAdapter(functools.reduce(operator.or_, KINDS.values())).json_schema()


def load(path: str | Path, overrides: Sequence[str] = (), preset: str | None = None) -> Any:
    """Read and check a study file.

    Precedence, from weak to strong: defaults, preset, file, overrides.

    Args:
        path: a TOML file.
        overrides: ``"table.key=value"``, value as in TOML; text needs no quotes.
        preset: "desk" or "paper".

    Returns:
        The study with every default filled in.

    Raises:
        InputError: for anything that cannot be used; at most five lines.
    """
    text = _read(Path(path))
    spec = loads(text, source=str(path), overrides=overrides, preset=preset, folder=Path(path).parent)
    where = overrides_of.Places(text, str(path), [key for key, _ in map(overrides_of.parsed, overrides)])
    if isinstance(spec, EmulationSpec):
        _require_files(spec, where)
        return spec
    table = "pretrain" if hasattr(spec, "pretrain") else "train"
    given = getattr(getattr(spec, table, None), "warm_start", None)
    for start in given if isinstance(given, list) else [given] if given is not None else []:
        if is_named(start):
            try:
                find(start)
            except InputError as error:
                raise error.at(f"{where((table, 'warm_start'))}, key {table}.warm_start") from None
        elif not (is_there(from_home(start)) and from_home(start).exists()):
            raise InputError(
                f"{table}.warm_start: no such file or directory: {short(start, 200)}",
                where=f"{where((table, 'warm_start'))}, key {table}.warm_start",
                fix=f"{SEEN_FROM}, or zoo:NAME",
            )
    if hasattr(spec, "system") and spec.system.couplings_file is not None:
        return _with_local(spec, where)
    if isinstance(spec, MoleculesSpec):
        return self_contained(spec, lambda key: where(key) if where.set_here(key) else str(path))
    return spec


def located(error: InputError, path: str | Path, overrides: Sequence[str] = ()) -> InputError:
    """An error that names keys of a study file alone, with the file and the line of the first of them."""
    keys, tables = error.where.split(", "), {name for kind in KINDS.values() for name in kind.model_fields}
    if not all(re.fullmatch(r"\w+(\.\w+)+", key) and key.split(".")[0] in tables for key in keys):
        return error
    changed = [key for key, _ in map(overrides_of.parsed, overrides)]
    place = overrides_of.Places(_read(Path(path)), str(path), changed)(tuple(keys[0].split(".")))
    return error.at(f"{place}, key{'s' * (len(keys) > 1)} {error.where}")


def _with_local(spec: Any, where: Callable[[tuple], str]) -> Any:
    """The study with the couplings of its file written out, so that it means the same without the file."""
    key = ("system", "couplings_file")
    place, system = f"{where(key)}, key {'.'.join(key)}", spec.system
    local = read_local(system.couplings_file, place)
    check_local(system.entry, system.place, local, f"{place}: {system.couplings_file}")
    system = system.model_copy(update={"local_couplings": local, "couplings_file": None})
    return _checked(type(spec), dict(spec) | {"system": system}, where)


def _require_files(spec: EmulationSpec, where: Callable[[tuple], str]) -> None:
    """Refuse potentials from files that do not exist."""
    own = spec.evaluate.cases if isinstance(spec.evaluate.cases, list) else []
    groups = ((("curriculum", "items"), spec.curriculum.items), (("evaluate", "cases"), own))
    for path, case in ((path, case) for path, cases in groups for case in cases):
        for table in case.potential:
            if table.path is None:
                continue
            file = from_home(table.path)
            if not (is_there(file) and file.is_file()):
                place = f"{where(path)}, case {short(case.name)}"
                fix = SEEN_FROM
                raise InputError(f"there is no such potential file: {short(table.path, 200)}", where=place, fix=fix)


def loads(
    text: str,
    *,
    source: str = "study",
    overrides: Sequence[str] = (),
    preset: str | None = None,
    folder: Path | None = None,
) -> Any:
    """Read and check the text of a study; as ``load``, but without ``folder`` nothing on disk is looked at.

    Args:
        text: TOML.
        source: name of the text in messages.
        overrides: as for ``load``.
        preset: as for ``load``.
        folder: paths of the text that lead nowhere from the current directory are seen from this one.

    Returns:
        The study with every default filled in.

    Raises:
        InputError: as for ``load``.
    """
    written = _parse(text, source)
    if folder is not None and not _too_deep(written):
        written = beside(written, folder)
    changes = [overrides_of.parsed(item) for item in overrides]
    for path, value in changes:
        overrides_of.put(written, path, value, lambda path: _default_list(preset, written, path))
    if _too_deep(written):
        raise _nested(source)
    where = overrides_of.Places(text, source, [path for path, _ in changes])
    data = _merge(_preset(preset, written), written) if written.get("kind") in KINDS else written
    try:
        return _checked(KINDS[_kind(written, where)], data, where)
    except InputError:
        if not changes or not _accepted(text, source, preset):
            raise
    # The file alone is fine, so a change is the cause, whichever key no longer fits.
    cause = ", ".join(short(item) for item in overrides)
    return _checked(KINDS[_kind(written, where)], data, where._replace(cause=cause))


def _accepted(text: str, source: str, preset: str | None) -> bool:
    try:
        loads(text, source=source, preset=preset)
    except InputError:
        return False
    return True


def from_dict(data: Mapping[str, Any], *, source: str = "arguments") -> Any:
    """Check a study given as nested dicts, with the same messages as for a file.

    Args:
        data: what the study file would hold; ``kind`` included.
        source: name of the data in messages.

    Returns:
        The study with every default filled in.

    Raises:
        InputError: as for ``load``.
    """
    kind = _kind(dict(data), lambda path: source)
    return _checked(KINDS[kind], dict(data), lambda path: source)


def _checked(model: type[Any], data: dict[str, Any], where: Callable[[tuple], str]) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise to_input_error(error, model, where) from None


def dumps(spec: Any) -> str:
    """Write a study as TOML with every default spelled out, so that it means the same in later releases.

    Tables that follow from something else where they are left out (``implied``) stay out.

    Args:
        spec: the study.

    Returns:
        Text with ``loads(dumps(spec)) == spec``.
    """
    return tomli_w.dumps(spec.model_dump(mode="python", exclude_none=True, exclude=getattr(spec, "implied", None)))


def changed(first: Any, second: Any) -> list[str]:
    """Key paths in which two studies differ, in the order of the tables: ``["pretrain.steps", ...]``."""
    return _differences(first.model_dump(), second.model_dump(), ())


MAY_CHANGE = ("output.dir", "run.devices")
"""Keys in which a resumed study may differ: a run can be moved, also to other devices."""


def require_same(spec: Any, stored: str, directory: str | Path) -> None:
    """Refuse to resume a run under another description.

    Args:
        spec: the study as given now.
        stored: text of the study in the run directory.
        directory: the run directory, for the message.

    Raises:
        InputError: naming the keys that differ; those of ``MAY_CHANGE`` may.
    """
    before = loads(stored, source=f"{directory}")
    differing = [key for key in changed(before, spec) if key not in MAY_CHANGE]
    if differing:
        raise InputError(
            "the study has changed since this run was started",
            where=f"{directory}, key {short_line(', '.join(differing))}",
            why="a resumed run must equal an uninterrupted one",
            fix="undo the change, or start anew with --overwrite or another --out",
        )


def template(kind: str, prefix: str = "") -> str:
    """Text of a template.

    Args:
        kind: the kind of study, e.g. "diagram".
        prefix: "" for the commented template, "demo-" for the demonstration.

    Returns:
        TOML with comments.

    Raises:
        InputError: when there is none for this kind.
    """
    known = [name for name in KINDS if (TEMPLATES / f"{prefix}{name}.toml").is_file()]
    what = f"there is no {'demonstration' if prefix else 'template'} {short(kind)}"
    one_of(kind, known, what, where="argument KIND")
    return (TEMPLATES / f"{prefix}{kind}.toml").read_text(encoding="utf-8")


def _read(path: Path) -> str:
    if not is_there(path):
        stems = [file.stem for file in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        fix = near(path.stem, stems) or "wavefoundry init diagram > study.toml writes a template"
        raise InputError("there is no such study file", where=short_line(str(path)), fix=fix)
    try:
        return read_file(path, "study file", _MAX_BYTES, where=short_line(str(path))).decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("the study file is not UTF-8 text", where=str(path)) from None


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise _nested(source) from None
    except ValueError as error:
        message, rows = short_line(str(error)), text.splitlines()
        line = re.search(r"\(at line (\d+), column \d+\)", message)
        where = f"{source}, line {line[1]}" if line else source
        why = message.replace(f" {line[0]}", "") if line else message
        if line and "overwrite" in message:  # which key is not in the message
            why += f": {short(rows[int(line[1]) - 1].strip())} stands there a second time"
        fix = 'texts need quotes: key = "text"' if "Invalid value" in message else ""
        raise InputError("this is not TOML", where=where, why=why, fix=fix) from None


def _nested(source: str) -> InputError:
    return InputError("the study file is nested too deeply", where=source, why=f"at most {_DEEPEST} tables or lists")


def _too_deep(data: Any) -> bool:
    """Whether tables and lists lie more than ``_DEEPEST`` within each other; found without recursion."""
    level = [data]
    for _ in range(_DEEPEST + 1):
        inside = [item.values() if isinstance(item, dict) else item for item in level]
        level = [value for values in inside for value in values if isinstance(value, dict | list)]
        if not level:
            return False
    return True


def _default_list(preset: str | None, written: dict[str, Any], path: tuple) -> list[Any] | None:
    """What a list holds that the file leaves out; None where the key is no list, so that validation names it."""
    model = KINDS.get(str(written.get("kind")))
    if model is None:
        return None
    value: Any = _preset(preset, written)
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    if value is None and len(path) == 1 and path[0] in model.model_fields:
        fallback = model.model_fields[path[0]].default
        value = [row.model_dump(exclude_unset=True) for row in fallback] if isinstance(fallback, list) else None
    return copy.deepcopy(value) if isinstance(value, list) else None


def _kind(data: dict[str, Any], where: Callable[[tuple], str]) -> str:
    kind = data.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return kind
    what = "key kind is missing" if kind is None else f"kind = {short(kind)} is not known"
    known = ", ".join(f'"{name}"' for name in KINDS)
    fix = near(kind, KINDS) if isinstance(kind, str) else 'kind = "diagram" on the first line'
    raise InputError(what, where=f"{where(('kind',))}, key kind", why=f"known kinds: {known}", fix=fix)


def _preset(name: str | None, written: dict[str, Any]) -> dict[str, Any]:
    name, kind = name or "desk", written["kind"]
    known = [one for one, kinds in PRESETS.items() if kind in kinds]
    if name not in known:
        raise InputError(
            f"there is no preset {short(name)}" + (f' for kind "{kind}"' if name in PRESETS else ""),
            where="--preset",
            why=f"known: {', '.join(known)}",
            fix=near(name, known),
        )
    values = copy.deepcopy(PRESETS[name][kind])
    network = written.get("wavefunction")
    # Width and heads go together: one of them from the file and the other from a preset might not fit.
    if isinstance(network, dict) and not {"width", "heads"}.isdisjoint(network):
        for key in ("width", "heads"):
            values.get("wavefunction", {}).pop(key, None)
    kind = network.get("kind") if isinstance(network, dict) else None
    if isinstance(kind, str) and kind in NETWORKS:  # what a preset says of another network
        known = {*COMMON, *NETWORKS[kind].keys}
        values["wavefunction"] = {key: v for key, v in values.get("wavefunction", {}).items() if key in known}
    return preset_for(values, written) if written["kind"] == "tickets" else values


def _merge(weak: dict[str, Any], strong: dict[str, Any]) -> dict[str, Any]:
    merged = dict(weak)
    for key, value in strong.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _differences(first: Any, second: Any, path: tuple[str, ...]) -> list[str]:
    if isinstance(first, dict) and isinstance(second, dict):
        keys = [*first, *(key for key in second if key not in first)]
        return [item for key in keys for item in _differences(first.get(key), second.get(key), (*path, key))]
    return [] if alike(first, second, path[-1]) else [".".join(path)]
