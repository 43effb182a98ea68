"""Models by name: those shipped with the package, and those a user has imported; offline.

A model is a folder ``NAME`` with ``study.toml`` (the study that made it), ``model`` (weights and description, with
sums) and ``README.md`` (its card, for people; made from the other two). Handed on, it has the layout of ``hub``.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wavefoundry.artifacts import files, hub, model_card, spec
from wavefoundry.artifacts.bundles import is_bundle, read_bundle, write_bundle
from wavefoundry.artifacts.hub import CARD
from wavefoundry.artifacts.layout import ARTIFACTS, SPEC
from wavefoundry.artifacts.manifest import MANIFEST
from wavefoundry.artifacts.named import MODEL, NAME, SHIPPED, STUDY, find, imported, is_named, names
from wavefoundry.artifacts.results import models_in, read_results
from wavefoundry.artifacts.seal import is_run_folder, nested, require_intact, require_run
from wavefoundry.core.errors import InputError, WavefoundryError
from wavefoundry.core.expect import path_of
from wavefoundry.core.reading import is_there
from wavefoundry.core.words import assigned

TUNED, STUDENT = "tuned-", "student-"
"""How artifacts of runs begin that are weights tuned for molecules, and students."""


def __dir__() -> list[str]:
    return ["copy", "entries", "entry", "export", "take"]


class Entry(NamedTuple):
    """A model of the zoo.

    folder: of its files. study: that made it. record: what was measured of it. size: bytes. checksum: of its arrays
    and description. model, study_file: where these lie.
    """

    name: str
    folder: Path
    shipped: bool
    study: Any
    record: dict[str, Any]
    size: int
    checksum: str
    model: Path
    study_file: Path

    def row(self) -> dict[str, Any]:
        """What lists and cards show."""
        record = self.record
        return {
            "name": self.name,
            "kind": self.study.kind,
            "title": title_of(self.study, record),
            "verdict": record.get("verdict"),
            "energy_per_site": record.get("energy_per_site"),
            "v_score": record.get("v_score"),
            "relative_error": record.get("relative_error"),
            "size": self.size,
            "sha256": self.checksum,
            "shipped": self.shipped,
        }


def entry(name: str) -> Entry:
    """A model with its study and record.

    Raises:
        InputError: no model has this name. IntegrityError: it is damaged.
    """
    folder = find(name)
    return read(folder, folder.parent == SHIPPED)


def listed(name: str) -> dict[str, Any]:
    """The row of a model in a list; of one that cannot be used its name and ``unusable``: why."""
    try:
        return entry(name).row()
    except WavefoundryError as error:
        return {"name": name, "unusable": str(error).splitlines()[0]}


def read(folder: Path, shipped: bool = False) -> Entry:
    """A model in a folder, every sum checked."""
    return _entry(folder.name, folder, folder / MODEL, folder / STUDY, shipped)


def _entry(name: str, folder: Path, model: Path, study_file: Path, shipped: bool = False) -> Entry:
    _, meta = read_bundle(model)
    study = spec.loads(files.read_plain(study_file).decode(), source=str(study_file))
    size = sum(path.stat().st_size for part in (model, study_file, folder / CARD) for path in _within(part))
    manifest = model / MANIFEST
    checksum = files.decode_json(files.read_plain(manifest), manifest)["checksum"]
    return Entry(name, folder, shipped, study, meta.get("record", {}), size, checksum, model, study_file)


def _within(path: Path) -> list[Path]:
    return [one for one in (path, *path.rglob("*")) if one.is_file()]


def title_of(study: Any, record: dict[str, Any]) -> str:
    """A model in words."""
    if study.kind != "diagram":
        return study.output.title or study.kind
    lattice = study.system.lattice
    size = lattice.size if isinstance(lattice.size, int) else " x ".join(map(str, lattice.size))
    at = assigned(record.get("couplings", {}))
    return f"{study.system.model}, {lattice.kind} {size}, {at}"


def _card(one: Entry, seconds: float | None, molecules: Sequence[dict[str, Any]] = ()) -> str:
    named = model_card.Named(one.name, one.row()["title"], one.study, one.record, one.size, one.checksum)
    return model_card.card(named, seconds, molecules)


def entries() -> list[Entry]:
    """All models that can be used, those of the package first; of others a warning says why they cannot."""
    found = []
    for name in names():
        try:
            found.append(entry(name))
        except WavefoundryError as error:
            warnings.warn(f"model {name} is left out: {str(error).splitlines()[0]}", stacklevel=2)
    return found


def export(
    source: str | os.PathLike[str], name: str | None = None, out: str | os.PathLike[str] = ".", base: str = "base"
) -> Path:
    """Make a folder ``out/NAME`` of a model, to be handed on: in the layout of model hubs, see ``artifacts.hub``.

    Args:
        source: the directory of a finished run, or ``zoo:NAME``. name: of the model; by default that in the zoo.
        out: where its folder goes. base: of several in a run, which one, as ``base-1``, ``student-NAME``, ``tuned-0``.

    Returns:
        The folder.

    Raises:
        InputError: no run, no model in it, a name that cannot be one, ``out/NAME`` is there already.
    """
    seconds, records = None, []
    if is_named(source):
        one = entry(str(source))
        target = _free(path_of(out, "models export: out") / _name(one.name if name is None else name))
    else:
        if not is_there(folder := path_of(source, "models export")):
            raise InputError(f"{folder}: no such directory", where="models export", fix="a run, or zoo:NAME")
        if name is None:
            raise InputError("the model has no name", where="models export", fix="--name NAME")
        name = _own(name, "models export")
        target = _free(path_of(out, "models export: out") / name)
        one, seconds, records = _of_run(folder, name, base)
    study = files.read_plain(one.study_file).decode()
    arrays, meta = read_bundle(one.model)
    handed = hub.Handed(arrays, meta | {"record": one.record} if one.record else meta, study)
    text = hub.front_matter(one.study.kind, one.row()["title"]) + _card(
        one._replace(name=target.name), seconds, records
    )
    with files.storage("write", target):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = files.staged_name(target)
        staged.mkdir()
        for part, data in hub.contents(handed, text).items():
            files.create_file(staged / part, data)
        staged.rename(target)
    return target


def _of_run(folder: Path, name: str, base: str) -> tuple[Entry, float | None, list[dict[str, Any]]]:
    """A model of a run, the CPU seconds of its training where they are known, and records of molecules."""
    require_run(folder)
    if not is_run_folder(folder) or base not in models_in(folder):
        raise _without(folder, base)
    require_intact(folder)
    if (summary := read_results(folder)) is None:
        fix = f"wavefoundry run STUDY.toml --out {folder} --resume"
        raise InputError(f"the run in {folder} is not finished", where="models export", fix=fix)
    one = _entry(name, folder, folder / ARTIFACTS / base, folder / SPEC)
    if one.study.kind == "molecules":
        seconds, records = _seconds(summary.get("train")), summary.get("molecules") or []
        return _tuned(one, base, seconds, records) if base.startswith(TUNED) else (one, seconds, records)
    if one.study.kind == "emulation":
        mine = next((row for row in summary["students"] if f"{STUDENT}{row['name']}" == base), None)
        known = {} if mine is None else model_card.of_student(mine)
        return one._replace(record=one.record | known), _seconds(one.record), []
    records = summary.get("bases") or [summary.get("pretrain") or {}]
    number = base.removeprefix("base").removeprefix("-") or "0"
    return one, _seconds(records[int(number)]) if number.isdecimal() and int(number) < len(records) else None, []


def _tuned(
    one: Entry, base: str, seconds: float | None, records: list[dict[str, Any]]
) -> tuple[Entry, float | None, list[dict[str, Any]]]:
    """As ``_of_run``, of weights that were tuned: what the base was measured to be is not true of them."""
    full, number = [record for record in records if record["method"] == "full"], base.removeprefix(TUNED)
    mine = [full[int(number)]] if number.isdecimal() and int(number) < len(full) else full
    spent = {record["name"]: _seconds(record) for record in mine}
    total = None if seconds is None or None in spent.values() else seconds + sum(map(float, spent.values()))  # type: ignore[arg-type]
    return one._replace(record=model_card.of_molecules(mine) | {"cost": {"cpu_seconds": total}}), total, []


def _seconds(record: Any) -> float | None:
    return ((record or {}).get("cost") or {}).get("cpu_seconds")


def _without(folder: Path, base: str) -> InputError:
    """Why a run has no model of this name, and which it has."""
    seeds = [run for run in nested(folder) if is_bundle(run / ARTIFACTS / base)]
    held = [] if not is_run_folder(folder) else models_in(folder)
    what, fix = f"{folder} holds no model '{base}'", "the directory of a finished run"
    if seeds:
        fix = f"that of one of its seeds, {seeds[0]}"
    elif held:
        fix = " or ".join(f"--base {name}" for name in held)
    elif is_run_folder(folder):
        return InputError(what, where="models export", why="a run of this kind, or so far, keeps none to hand on")
    return InputError(what, where="models export", fix=fix)


def copy(name: str, out: Path) -> Path:
    """Copy a model into ``out/NAME``.

    Raises:
        InputError: no model has this name, ``out/NAME`` is there already.
    """
    one = entry(name)
    target = _free(path_of(out, "models get") / one.name)
    with files.storage("write", target):
        shutil.copytree(one.folder, target)
    return target


def take(source: str | os.PathLike[str], name: str | None = None) -> Entry:
    """Import a model folder under its name or another one.

    Raises:
        InputError: no model there, or a name that a shipped model has. IntegrityError: it is damaged.
    """
    folder = path_of(source, "models import")
    handed = hub.read(folder) if hub.is_handed_on(folder) else None
    if handed is None and (not is_bundle(folder / MODEL) or not (folder / STUDY).is_file()):
        why = f"a model has {hub.CONFIG}, or {STUDY} and {MODEL}/"
        raise InputError(f"{folder} is no model", where="models import", why=why, fix="wavefoundry models export RUN")
    if handed is None:
        read(folder)
        handed = hub.Handed(*read_bundle(folder / MODEL), files.read_plain(folder / STUDY).decode())
    name = _own(folder.resolve().name if name is None else name, "models import")
    spec.loads(handed.study, source=str(folder / STUDY))  # refused before anything is kept
    given = folder / CARD if (folder / CARD).is_file() and name == folder.resolve().name else None
    return _placed(handed, imported() / name, given)


def _placed(handed: hub.Handed, target: Path, given: Path | None) -> Entry:
    """Keep a model under the name of its folder, with the card it came with where there is one."""
    with files.storage("write", _free(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = files.staged_name(target)
        staged.mkdir()
        try:
            write_bundle(staged / MODEL, handed.arrays, handed.meta)
            files.create_file(staged / STUDY, handed.study.encode())
            made = read(staged)._replace(name=target.name)
            text = (
                _card(made, _seconds(made.record))
                if given is None
                else files.read_plain(given).decode(errors="replace")
            )
            files.create_file(staged / CARD, text.encode())
            staged.rename(target)
        except BaseException:
            files.remove_tree(staged)
            raise
    return read(target)


def _free(target: Path) -> Path:
    if target.exists():
        raise InputError(f"{target} is there already", where=target.name, fix="another name, or remove it first")
    return target


def _own(name: str, where: str) -> str:
    """A name that no shipped model has."""
    if is_bundle(SHIPPED / _name(name) / MODEL):
        raise InputError(f"'{name}' is shipped with wavefoundry", where=where, fix="--name OTHER")
    return name


def _name(name: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"'{name}' is no name of a model", where="models", why="small letters, digits, '.', '_', '-'")
    return name
