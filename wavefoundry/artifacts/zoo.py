"""Models by name: those shipped with the package, and those a user has imported; offline.

A model is a folder ``NAME`` with ``study.toml`` (the study that made it), ``model`` (weights and description, with
sums) and ``README.md`` (its card, for people; made from the other two).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from wavefoundry._version import __version__
from wavefoundry.artifacts import files, spec
from wavefoundry.artifacts.bundles import is_bundle, read_bundle
from wavefoundry.artifacts.layout import ARTIFACTS, SPEC
from wavefoundry.artifacts.manifest import MANIFEST
from wavefoundry.artifacts.named import MODEL, NAME, PREFIX, SHIPPED, STUDY, find, own_folder
from wavefoundry.artifacts.results import read_results
from wavefoundry.artifacts.seal import is_run_folder, require_intact
from wavefoundry.core.errors import InputError, StorageError
from wavefoundry.core.words import assigned

CARD = "README.md"


class Entry(NamedTuple):
    """A model of the zoo.

    folder: of its files. study: that made it. record: what was measured of it. size: bytes. checksum: of its arrays
    and description.
    """

    name: str
    folder: Path
    shipped: bool
    study: Any
    record: dict[str, Any]
    size: int
    checksum: str

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


def read(folder: Path, shipped: bool = False) -> Entry:
    """A model in a folder, every sum checked."""
    _, meta = read_bundle(folder / MODEL)
    study = spec.loads(files.read_plain(folder / STUDY).decode(), source=str(folder / STUDY))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    manifest = folder / MODEL / MANIFEST
    checksum = files.decode_json(files.read_plain(manifest), manifest)["checksum"]
    return Entry(folder.name, folder, shipped, study, meta.get("record", {}), size, checksum)


def title_of(study: Any, record: dict[str, Any]) -> str:
    """A model in words."""
    if study.kind != "diagram":
        return study.kind
    lattice = study.system.lattice
    size = lattice.size if isinstance(lattice.size, int) else " x ".join(map(str, lattice.size))
    at = assigned(record.get("couplings", {}))
    return f"{study.system.model}, {lattice.kind} {size}, {at}"


def card(one: Entry, seconds: float | None) -> str:
    """The model card: what it is, how it was made (in so many CPU seconds), what is known of it."""
    row, record = one.row(), one.record
    energy = f"{record['energy']:.6f} ± {record['energy_error']:.2g}" if record.get("energy") is not None else "none"
    lines = [
        f"# {one.name}",
        "",
        f'{row["title"]}. Trained by wavefoundry; `wf.load("{PREFIX}{one.name}")`.',
        "",
        "| | |",
        "|---|---|",
        f"| energy | {energy} |",
        f"| verdict | {row['verdict']}{': ' + '; '.join(record['reasons']) if record.get('reasons') else ''} |",
        f"| V-score | {_number(row['v_score'])} |",
        f"| relative error | {_number(row['relative_error'])} |",
        f"| training | {_number(seconds, '.0f')} CPU seconds |",
        f"| size | {one.size / 1024:.0f} KiB |",
        f"| sum | `{one.checksum}` |",
        f"| written by | wavefoundry {__version__} |",
        "",
        f"`{STUDY}` is the study that makes it again.",
        "",
    ]
    return "\n".join(lines)


def _number(value: Any, form: str = ".2g") -> str:
    return "unknown" if value is None else format(value, form)


def export(run: str | os.PathLike[str], name: str, out: str | os.PathLike[str], base: str = "base") -> Entry:
    """Make a folder ``out/NAME`` of a finished run's model, to be handed on.

    Args:
        run: the run directory. name: of the model. out: where its folder goes. base: of several bases, which one.

    Raises:
        InputError: no run, no model in it, a name that cannot be one. StorageError: ``out/NAME`` is there already.
    """
    folder, target = Path(run).expanduser(), Path(out).expanduser() / _name(name)
    if not is_run_folder(folder) or not is_bundle(folder / ARTIFACTS / base):
        fix = "the directory of a finished run"
        raise InputError(f"{folder} holds no model '{base}'", where="models export", fix=fix)
    require_intact(folder)
    summary = read_results(folder) or {}
    records = summary.get("bases") or [summary.get("pretrain", {})]
    cost = records[int(base.removeprefix("base").removeprefix("-") or 0)].get("cost") or {}
    return _placed(folder / ARTIFACTS / base, folder / SPEC, target, cost.get("cpu_seconds"))


def copy(name: str, out: Path) -> Path:
    """Copy a model into ``out/NAME``.

    Raises:
        InputError: no model has this name. StorageError: ``out/NAME`` is there already.
    """
    one = entry(name)
    target = _free(out / one.name)
    with files.storage("write", target):
        shutil.copytree(one.folder, target)
    return target


def take(source: str | os.PathLike[str], name: str | None = None) -> Entry:
    """Import a model folder under its name or another one.

    Raises:
        InputError: no model there, or a name that a shipped model has. IntegrityError: it is damaged.
    """
    folder = Path(source).expanduser()
    if not is_bundle(folder / MODEL) or not (folder / STUDY).is_file():
        why = f"a model has {STUDY} and {MODEL}/"
        raise InputError(f"{folder} is no model", where="models import", why=why, fix="wavefoundry models export RUN")
    read(folder)
    name = _name(name or folder.name)
    if is_bundle(SHIPPED / name / MODEL):
        raise InputError(f"'{name}' is shipped with wavefoundry", where="models import", fix="--name OTHER")
    given = folder / CARD if (folder / CARD).is_file() and name == folder.name else None
    return _placed(folder / MODEL, folder / STUDY, own_folder() / name, given=given)


def _placed(model: Path, study: Path, target: Path, seconds: float | None = None, given: Path | None = None) -> Entry:
    with files.storage("write", _free(target)):
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = files.staged_name(target)
        shutil.copytree(model, staged / MODEL)
        shutil.copyfile(study, staged / STUDY)
        made = read(staged)._replace(name=target.name)
        text = given.read_text(encoding="utf-8") if given is not None else card(made, seconds)
        (staged / CARD).write_text(text, encoding="utf-8")
        staged.rename(target)
    return read(target)


def _free(target: Path) -> Path:
    if target.exists():
        raise StorageError(f"{target} is there already")
    return target


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise InputError(f"'{name}' is no name of a model", where="models", why="small letters, digits, '.', '_', '-'")
    return name
