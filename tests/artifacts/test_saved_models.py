"""Models that are saved and read: what may be replaced, and what is said of things that are no such model."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import wavefoundry as wf
from tests.small import ISING_8
from wavefoundry.artifacts import inputs
from wavefoundry.artifacts.bundles import save_bundle
from wavefoundry.artifacts.results import read_model
from wavefoundry.artifacts.spec import loads
from wavefoundry.core.errors import InputError, IntegrityError

ARRAYS = {"a": np.arange(3.0)}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_saving_replaces_saved_models_alone(tmp_path: Path):
    """An empty folder and an earlier model are replaced; a file, a link and a folder with anything else stay."""
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty", "new"):
        assert save_bundle(tmp_path / name, ARRAYS, {}) == tmp_path / name
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    for name in ("thesis.txt", "folder/notes.txt", "new2/arrays.safetensors.bak"):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_text("mine")
    before = contents(tmp_path)
    for name in ("file", "link", "folder", "folder/new2", "."):
        with pytest.raises(InputError, match="is not replaced"):
            save_bundle(tmp_path / name, ARRAYS, {})
    assert contents(tmp_path) == before


def test_every_save_goes_that_way(tmp_path: Path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine")
    student, base = wf.demo_emulator(), wf.load("zoo:ising-chain-24")
    for model in (student, base, wf.load("zoo:molecules-small")):
        with pytest.raises(InputError, match=r"it holds 'thesis\.txt'"):
            model.save(mine)
        assert contents(mine) == {"thesis.txt": b"mine"}
        assert model.save(tmp_path / type(model).__name__).is_dir()


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda path: wf.load_student("zoo:ising-chain-24"), "holds a model of a lattice, not a student"),
        (lambda path: wf.load("zoo:emulator-gru"), "holds a student of wave packets, not a model of a lattice or"),
        (lambda path: wf.load_student(path), "there is no saved model in"),
        (lambda path: wf.load(path), "there is no saved model in"),
        (lambda path: wf.load(path / "missing"), "there is no saved model in"),
        (lambda path: read_model(path / "arrays", "x", "lattice"), "holds no model, but arrays of a run"),
    ],
)
def test_what_is_no_such_model_is_the_user_s_mistake(read, words, tmp_path: Path):
    save_bundle(tmp_path / "arrays", ARRAYS, {})
    with pytest.raises(InputError, match=words):
        read(tmp_path)


def test_a_damaged_model_is_damage(tmp_path: Path):
    folder = wf.demo_emulator().save(tmp_path / "student")
    (folder / "manifest.json").unlink()
    with pytest.raises(IntegrityError):
        wf.load_student(folder)


def test_files_that_a_study_reads(tmp_path: Path):
    """Their sums are known at the start; they must not change, and must not lie in what is replaced."""
    table = tmp_path / "references.csv"
    table.write_text("h,energy\n0.5,-1.06\n")
    spec = loads(
        ISING_8
        + f'''
[pretrain]
at = {{ h = 1.0 }}
[adapt]
points = {{ h = [0.5] }}
[reference]
method = ["file"]
file = "{table}"
per = "site"
'''
    )
    sums = inputs.sums(spec)
    assert sums == {str(table): hashlib.sha256(table.read_bytes()).hexdigest()}
    inputs.require_same(spec, sums, "run")
    inputs.require_apart(spec, tmp_path / "run")
    with pytest.raises(InputError, match="the study reads"):
        inputs.require_apart(spec, tmp_path)
    table.write_text("h,energy\n0.5,-1.07\n")
    with pytest.raises(InputError, match="has changed since this run was started"):
        inputs.require_same(spec, sums, "run")
    table.unlink()
    with pytest.raises(InputError, match="is gone, which this run reads"):
        inputs.require_same(spec, sums, "run")
