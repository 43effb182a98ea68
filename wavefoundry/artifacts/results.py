"""Results of a run: its ``summary.json``, read only once every sum of the run directory has been checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wavefoundry.artifacts import files
from wavefoundry.artifacts.bundles import Arrays, is_bundle, read_bundle
from wavefoundry.artifacts.hub import CARD, is_handed_on
from wavefoundry.artifacts.layout import ARTIFACTS, SPEC, SUMMARY
from wavefoundry.artifacts.manifest import check_schema
from wavefoundry.artifacts.named import MODEL, STUDY, find, is_named
from wavefoundry.artifacts.seal import is_run_folder, is_sealed, nested, require_intact, require_run
from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.core.expect import from_home
from wavefoundry.core.reading import is_there

SCHEMA = 1
"""Newest schema of a summary that is read."""


def read_results(folder: Path) -> dict[str, Any] | None:
    """The summary of a run, or ``None`` where there is none (yet).

    Results that were copied elsewhere without the rest of their run are read as they are.

    Args:
        folder: run directory, or a folder with a copy of ``summary.json``.

    Raises:
        IntegrityError: any file of the run is damaged, or the summary is none.
        InputError: the summary was written by a newer release, or this is a saved model.
    """
    require_run(folder)
    path = folder / SUMMARY
    if not is_there(path) and not is_sealed(folder):
        return None
    if is_run_folder(folder):
        require_intact(folder)
        if not is_sealed(folder):  # a writer is at work: what it has written is not final
            return None
    return check_summary(files.decode_json(files.read_plain(path), path), path)


def model_folder(path: str | os.PathLike[str], name: str = "base") -> Path:
    """Folder of a stored model: ``artifacts/NAME`` of a run directory, every file of which is checked, or the path.

    ``zoo:NAME`` stands for a model by name.

    Raises:
        InputError: no model has this name. IntegrityError: the run is damaged.
    """
    if is_named(path):
        return find(str(path)) / MODEL
    folder = from_home(path)
    if is_handed_on(folder):
        what, fix = f"{folder} is a model that was handed on", f"wavefoundry models import {folder}, then zoo:NAME"
        raise InputError(what, where="load", why="it is checked when it is imported", fix=fix)
    if not is_run_folder(folder) or is_bundle(folder):
        return folder
    if is_sealed(folder) or (folder / ARTIFACTS / name).is_dir():
        require_intact(folder)
    return folder / ARTIFACTS / name if (folder / ARTIFACTS / name).is_dir() else folder


MODELS = {
    "lattice": ("a model of a lattice", "wf.load"),
    "molecules": ("a model of molecules", "wf.load"),
    "student": ("a student of wave packets", "wf.load_student"),
    "other": ("no model, but arrays of a run", ""),
}
"""What is stored, in words, and what reads it in Python."""


def read_model(path: str | os.PathLike[str], where: str, *wanted: str) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and description of a stored model, see ``model_folder``.

    Args:
        path: a run, a saved model, or ``zoo:NAME``. where: for the message. wanted: which of ``MODELS``.

    Raises:
        InputError: nothing is stored there, or another kind of model. IntegrityError: it is damaged.
    """
    folder = model_folder(path)
    if not is_bundle(folder):
        models, seeds = _stored(folder), nested(folder)
        why = "it holds no arrays and their description" if folder.is_dir() else "there is no such folder"
        why = f"the run has stored {', '.join(one.name for one in models)}" if models else why
        fix = "the directory of a finished run, one of its artifacts, or a folder that .save() wrote"
        if seeds:
            why, fix = several(seeds)
        if models:
            fix = _advice(path, folder, models, wanted)
        raise InputError(f"there is no saved model in {path}", where=where, why=why, fix=fix)
    arrays, meta = read_bundle(folder)
    if (found := kind_of(meta)) not in wanted:
        words, reader = MODELS[found]
        what = f"{path} holds {words}, not {' or '.join(MODELS[one][0] for one in wanted)}"
        raise InputError(what, where=where, fix=f'{reader}("{path}")' if reader and where.startswith("wf.") else "")
    return arrays, meta


def _advice(path: str | os.PathLike[str], folder: Path, models: list[Path], wanted: tuple[str, ...]) -> str:
    """What reads what a run has stored, where that is not a model of the kind that was wanted."""
    kinds = {one: kind_of(read_bundle(one)[1]) for one in models}
    if (fit := next((one for one, kind in kinds.items() if kind in wanted), None)) is not None:
        return str(fit)
    other = next(((one, kind) for one, kind in kinds.items() if MODELS[kind][1]), None)
    return f'wf.open("{path}")' if other is None else f'{MODELS[other[1]][1]}("{other[0]}")'


def kind_of(meta: dict[str, Any]) -> str:
    """Which of ``MODELS`` a description is of."""
    if meta.get("kind") == "molecules":
        return "molecules"
    if "student" in meta:
        return "student"
    return "lattice" if {"settings", "record"} <= meta.keys() else "other"


def models_in(folder: Path) -> list[str]:
    """Names of the artifacts of a run that are models."""
    return [one.name for one in _stored(folder) if kind_of(read_bundle(one)[1]) != "other"]


def _stored(folder: Path) -> list[Path]:
    kept = folder / ARTIFACTS
    return [one for one in sorted(kept.iterdir()) if is_bundle(one)] if kept.is_dir() else []


def several(seeds: list[Path]) -> tuple[str, str]:
    """Why a study over several seeds is not read as a run, and what to read instead."""
    return f"it is a study over {len(seeds)} seeds, each a run of its own", str(seeds[0])


def study_of(folder: Path) -> Path | None:
    """The study of a diagram that a stored model comes from: of its run, or in the folder of a model with a name.

    A study file that merely lies beside a saved model is another matter: a model with a name has a card, too.
    """
    above, found = folder.parent, None
    if above.name == ARTIFACTS and is_run_folder(above.parent):
        found = above.parent / SPEC
    elif folder.name == MODEL and (above / CARD).is_file():
        found = above / STUDY
    told = found is not None and found.is_file() and 'kind = "diagram"' in found.read_text(encoding="utf-8")
    return found if told else None


def is_copy(folder: Path) -> bool:
    """Whether results in this folder have no sums that vouch for them."""
    return not is_run_folder(folder)


def check_summary(summary: Any, path: Path) -> dict[str, Any]:
    """A summary whose outer form is that of one.

    Raises:
        IntegrityError: it is no JSON object, or something in it has another form. InputError: of a newer schema.
    """
    if not isinstance(summary, dict):
        raise IntegrityError(f"{path} is damaged: it is not a JSON object")
    if "schema" in summary:
        check_schema(summary["schema"], SCHEMA, path)
    from wavefoundry.core import records  # half a hundred types, for which no other command should wait

    try:
        records.parsed(summary)
    except InputError as error:
        raise IntegrityError(f"{path} is damaged: {error}") from None
    return summary
