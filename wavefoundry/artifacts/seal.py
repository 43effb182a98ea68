"""The seal of a finished run: ``manifest.json`` over all its files, written once and never renewed over damage."""

from __future__ import annotations

import os
from pathlib import Path

from wavefoundry.artifacts import files
from wavefoundry.artifacts.bundles import check_bundle, is_bundle
from wavefoundry.artifacts.layout import ARTIFACTS, CHECKPOINTS, SEEDS, SPEC, SUMMARY, TASKS, spec_problem
from wavefoundry.artifacts.lock import LOCK
from wavefoundry.artifacts.manifest import (
    MANIFEST,
    MARKER,
    check_files,
    encode_manifest,
    entry,
    list_entries,
    read_manifest,
)
from wavefoundry.artifacts.named import is_named
from wavefoundry.core.errors import InputError, IntegrityError, StorageError
from wavefoundry.core.reading import is_there


def is_sealed(folder: Path) -> bool:
    """Whether there is a seal, good or bad."""
    return is_there(folder / MANIFEST)


def is_run_folder(folder: Path) -> bool:
    """Whether this is a run directory or what is left of one; else results in it are a copy."""
    return any(is_there(folder / name) for name in (MARKER, SPEC, MANIFEST, CHECKPOINTS, ARTIFACTS))


def require_run(folder: Path) -> None:
    """Refuse a saved model where a run is wanted, by its name or its folder: it is intact, and no run.

    Raises:
        InputError: it is one.
    """
    if is_named(folder) or is_bundle(folder):
        why = "it holds weights and their description, no study and no results"
        fix = f'wf.load("{folder}"), of wave packets wf.load_student("{folder}")'
        raise InputError(f"{folder} is a model, not a run", where=str(folder), why=why, fix=fix)


def problems_of(folder: Path) -> list[str]:
    """Everything that is wrong with a run directory, one line each naming the file; empty when it is intact.

    A run that is not sealed is checked as far as it has sums: checkpoints, artifacts, the study. Damage never raises.

    Raises:
        StorageError: this user may not read all of it, so that nothing can be said.
    """
    files.require_readable(folder)
    return _problems(folder)


def _problems(folder: Path) -> list[str]:
    problems = []
    try:
        problem = spec_problem(folder, files.read_plain(folder / SPEC))
        problems += [problem] if problem else []
    except (IntegrityError, InputError, StorageError) as error:
        problems.append(str(error))
    for parent in (folder / CHECKPOINTS, folder / ARTIFACTS, *([] if is_sealed(folder) else [folder / TASKS])):
        problems += _check_bundles(parent)
    problems += [line for run in nested(folder) for line in _problems(run)]
    return list(dict.fromkeys(problems + seal_problems(folder)))


def nested(folder: Path) -> list[Path]:
    """The runs within a run: those of its seeds."""
    parent = folder / SEEDS
    if parent.is_symlink() or not parent.is_dir():
        return []
    with files.storage("read", parent):
        return sorted(parent / name for name in os.listdir(parent) if os.path.lexists(parent / name / MARKER))


def seal_problems(folder: Path) -> list[str]:
    """What differs from the seal. Results without a seal are damage too, unless a writer is about to seal them."""
    if is_sealed(folder):
        try:
            listed = read_manifest(folder, "run")["files"]
        except (IntegrityError, InputError, StorageError) as error:
            return [str(error)]
        return check_files(folder, listed, frozenset({LOCK, MANIFEST}), TASKS)
    problems = [f"{folder / name} is no plain file" for name, ordinary in list_entries(folder) if not ordinary]
    if os.path.lexists(folder / SUMMARY) and not os.path.lexists(folder / LOCK):
        problems.append(f"{folder / MANIFEST} is missing: nothing vouches for {SUMMARY}, '--resume' writes it anew")
    return problems


def require_intact(folder: Path) -> None:
    """Refuse a run directory with any damage.

    Raises:
        IntegrityError: names every damaged file.
    """
    if problems := problems_of(folder):
        raise damaged(folder, problems)


def damaged(folder: Path, problems: list[str]) -> IntegrityError:
    """The error that lists all problems of a folder."""
    return IntegrityError("\n".join([f"{folder} is damaged", *(f"  {problem}" for problem in problems)]))


def write_seal(folder: Path) -> list[str]:
    """Write the seal of a run that has none.

    A damaged checkpoint, which the run has done without, is removed: sealed, it would pass for intact.

    Returns:
        One line per checkpoint that was removed.

    Raises:
        IntegrityError: an artifact or the study is damaged, or something is no plain file.
    """
    removed = []
    for problem, bundle in _damaged_checkpoints(folder):
        with files.storage("remove", bundle):
            files.discard(bundle)
        removed.append(f"{problem}; this checkpoint was removed")
    problems = [line for line in problems_of(folder) if not line.startswith(str(folder / MANIFEST))]
    if problems:
        raise damaged(folder, problems)
    listed = {}
    for name, _ in list_entries(folder, TASKS):
        if name not in (LOCK, MANIFEST):
            size, digest = files.sha256_file(folder / name)
            listed[name] = {"size": size, "sha256": digest}
    files.write_atomic(folder / MANIFEST, encode_manifest("run", listed))
    return removed


def write_sealed(folder: Path, name: str, data: bytes) -> None:
    """Write one file of a sealed run and renew its entry of the seal; all other entries stay as they are.

    Raises:
        IntegrityError: anything is damaged. The file itself may be missing: it is written anew.
    """
    target = folder / name
    if problems := [problem for problem in problems_of(folder) if problem != f"{target} is missing"]:
        again = f"\n  fix:   remove {target}, then it can be written anew"
        only = all(problem.startswith(f"{target} ") for problem in problems)
        raise IntegrityError(f"{damaged(folder, problems)}{again if only else ''}")
    manifest = read_manifest(folder, "run")
    files.write_atomic(target, data)
    files.write_atomic(folder / MANIFEST, encode_manifest("run", manifest["files"] | {name: entry(data)}))


def _damaged_checkpoints(folder: Path) -> list[tuple[str, Path]]:
    parent = folder / CHECKPOINTS
    if parent.is_symlink() or not parent.is_dir():
        return []
    with files.storage("read", parent):
        bundles = sorted(parent / name for name in os.listdir(parent))
    return [(lines[0], bundle) for bundle in bundles if bundle.is_dir() and (lines := check_bundle(bundle))]


def _check_bundles(parent: Path) -> list[str]:
    if parent.is_symlink():
        return [f"{parent} is no plain folder"]
    if not parent.is_dir():
        return []
    with files.storage("read", parent):
        names = sorted(name for name in os.listdir(parent) if not files.LITTER.match(name))
    found = {name: check_bundle(parent / name) for name in names}
    # A writer at work may have replaced or dropped a folder while it was being read: that is no damage.
    return [line for name, lines in found.items() if os.path.lexists(parent / name) for line in lines]
