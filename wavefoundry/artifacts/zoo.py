"""Models by name: those shipped with the package, and those a user has imported; offline.

A model is a folder ``NAME`` with ``study.toml`` (the study that made it), ``model`` (weights and description, with
sums) and ``README.md`` (its card, for people; made from the other two). Handed on, it has the layout of ``hub``.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from wavefoundry._version import __version__
from wavefoundry.artifacts import files, hub, spec
from wavefoundry.artifacts.bundles import is_bundle, read_bundle, write_bundle
from wavefoundry.artifacts.inputs import starts
from wavefoundry.artifacts.layout import ARTIFACTS, SPEC
from wavefoundry.artifacts.manifest import MANIFEST
from wavefoundry.artifacts.named import MODEL, NAME, PREFIX, SHIPPED, STUDY, find, imported, is_named, names
from wavefoundry.artifacts.results import read_results
from wavefoundry.artifacts.seal import is_run_folder, nested, require_intact
from wavefoundry.core.errors import InputError, WavefoundryError
from wavefoundry.core.expect import path_of
from wavefoundry.core.reading import is_there
from wavefoundry.core.words import assigned

CARD = "README.md"


def __dir__() -> list[str]:
    return ["card", "copy", "entries", "entry", "export", "take"]


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


def card(one: Entry, seconds: float | None, molecules: Sequence[dict[str, Any]] = ()) -> str:
    """The model card: what it is, how it was made (in so many CPU seconds), what is known of it.

    Args:
        one: the model. seconds: of its training, where they are known.
        molecules: records of a run, whose errors the card of such a model tells.
    """
    lines = [
        f"# {one.name}",
        "",
        f'{one.row()["title"]}. Trained by wavefoundry; `wf.{_verb(one)}("{PREFIX}{one.name}")`.',
        "",
        "| | |",
        "|---|---|",
        *(_measured(one) if one.study.kind == "diagram" else ()),
        f"| training | {_number(seconds, '.0f')} CPU seconds{_start(one.study)} |",
        f"| size | {one.size / 1024:.0f} KiB |",
        f"| sum | `{one.checksum}` |",
        f"| written by | wavefoundry {__version__} |",
        "",
        f"`{STUDY}` is the study that makes it again.",
        "",
        *_compounds(molecules),
    ]
    return "\n".join(lines)


def _start(study: Any) -> str:
    """What it began with, where that was a trained model: its cost comes on top."""
    begun = starts(study)
    return f", begun with {', '.join(begun)}" if begun else ""


def _verb(one: Entry) -> str:
    """What reads it."""
    return "load_student" if one.study.kind == "emulation" else "load"


def _measured(one: Entry) -> list[str]:
    row, record = one.row(), one.record
    energy = f"{record['energy']:.6f} ± {record['energy_error']:.2g}" if record.get("energy") is not None else "none"
    return [
        f"| energy | {energy} |",
        f"| verdict | {row['verdict']}{': ' + '; '.join(record['reasons']) if record.get('reasons') else ''} |",
        f"| V-score | {_number(row['v_score'])} |",
        f"| relative error | {_number(row['relative_error'])} |",
    ]


def _compounds(records: Sequence[dict[str, Any]]) -> list[str]:
    """Errors of every compound without a further step, where a run has measured them."""
    kept = [r for r in records if r["method"] in ("trained", "zero-shot") and r.get("error_mha") is not None]
    if not kept:
        return []
    lines = [
        "Energies without a further step against references (in brackets: error bars; *: geometries of the training):",
        "",
        "| compound | geometries | mean error, mHa | largest, mHa | trusted |",
        "|---|---|---|---|---|",
    ]
    for formula in dict.fromkeys(r["formula"] for r in kept):
        for method, mark in (("trained", " *"), ("zero-shot", "")):
            if not (found := [r for r in kept if (r["formula"], r["method"]) == (formula, method)]):
                continue
            worst = max(found, key=lambda r: abs(r["error_mha"]))
            mean = sum(abs(r["error_mha"]) for r in found) / len(found)
            trusted = sum(bool(r["trusted"]) for r in found)
            largest = f"{worst['error_mha']:.1f} ({worst['error_mha_error']:.1f})"
            lines.append(f"| {formula}{mark} | {len(found)} | {mean:.1f} | {largest} | {trusted} |")
    return [*lines, ""]


def _number(value: Any, form: str = ".2g") -> str:
    return "unknown" if value is None else format(value, form)


def entries() -> list[Entry]:
    """All models, those of the package first.

    Raises:
        IntegrityError: one is damaged.
    """
    return [entry(name) for name in names()]


def export(
    source: str | os.PathLike[str], name: str | None = None, out: str | os.PathLike[str] = ".", base: str = "base"
) -> Path:
    """Make a folder ``out/NAME`` of a model, to be handed on: in the layout of model hubs, see ``artifacts.hub``.

    Args:
        source: the directory of a finished run, or ``zoo:NAME``. name: of the model; by default that in the zoo.
        out: where its folder goes. base: of several pre-trainings of a run, which one; of an emulation a student.

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
    handed = hub.Handed(*read_bundle(one.model), study)
    text = hub.front_matter(one.study.kind, one.row()["title"]) + card(one._replace(name=target.name), seconds, records)
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
    if not is_run_folder(folder) or not is_bundle(folder / ARTIFACTS / base):
        seeds = [run for run in nested(folder) if is_bundle(run / ARTIFACTS / base)]
        fix = f"that of one of its seeds, {seeds[0]}" if seeds else "the directory of a finished run"
        raise InputError(f"{folder} holds no model '{base}'", where="models export", fix=fix)
    require_intact(folder)
    if (summary := read_results(folder)) is None:
        fix = f"wavefoundry run STUDY.toml --out {folder} --resume"
        raise InputError(f"the run in {folder} is not finished", where="models export", fix=fix)
    one = _entry(name, folder, folder / ARTIFACTS / base, folder / SPEC)
    if one.study.kind == "molecules":
        cost = (summary.get("train") or {}).get("cost")
        return one, (cost or {}).get("cpu_seconds"), summary.get("molecules") or []
    records = summary.get("bases") or [summary.get("pretrain") or {}]
    number = base.removeprefix("base").removeprefix("-") or "0"
    cost = records[int(number)].get("cost") if number.isdecimal() and int(number) < len(records) else None
    return one, (cost or {}).get("cpu_seconds"), []


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
            text = card(made, None) if given is None else files.read_plain(given).decode(errors="replace")
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
