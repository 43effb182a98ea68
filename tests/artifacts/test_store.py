"""Faults a run directory must survive: kills, damage, full disks, hostile files, two writers."""

import errno
import json
import os
import pickle
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from wavefoundry.artifacts import bundles, files, manifest
from wavefoundry.artifacts.lock import check_free
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.artifacts.target import check_early
from wavefoundry.core.errors import (
    InputError,
    IntegrityError,
    LockedError,
    PhysicsError,
    StorageError,
)

SPEC = 'kind = "diagram"\n'


def arrays(step, size=100):
    """Arrays that depend on the step, so that a mixture of two checkpoints cannot go unnoticed."""
    return {
        "params/w": np.full((size, 3), float(step)),
        "walkers": np.arange(size, dtype=np.int8),
        "key": np.array([step, 7], np.uint32),
    }


@pytest.fixture
def run(tmp_path):
    with RunDirectory.create(tmp_path / "run", SPEC) as run:
        yield run


@pytest.fixture
def two(run):
    """A run with checkpoints of steps 1 and 2, each logged."""
    for step in (1, 2):
        run.log({"step": step})
        run.save("pretrain", step, arrays(step), {"lr": 0.1})
    return run


def last(run, name="pretrain"):
    """The newest intact checkpoint, which must exist."""
    found = run.latest(name)
    assert found is not None
    return found


def line(process):
    """The next line that a child prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def newest(run):
    return run.path / "checkpoints" / "pretrain-00000002"


def assert_falls_back(run, named):
    """The damage of step 2 is reported by ``verify`` and noted by ``latest``, which returns step 1."""
    assert any(named in line for line in run.verify())
    run.warnings.clear()
    step, loaded, meta = last(run)
    assert (step, meta["lr"]) == (1, 0.1)
    np.testing.assert_array_equal(loaded["params/w"], arrays(1)["params/w"])
    assert len(run.warnings) == 1 and named in run.warnings[0]


def child(code, *args):
    """Start a Python process that has the store imported as RunDirectory."""
    head = "import sys\nfrom wavefoundry.artifacts.store import RunDirectory\n"
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", head + code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    )


# What is written comes back


def test_round_trip_of_types_orders_and_shapes(run):
    rng = np.random.default_rng(0)
    given = {
        "fortran": np.asfortranarray(rng.normal(size=(4, 5))),
        "strided": rng.normal(size=(6, 6))[::2, ::3],
        "reversed": np.arange(5)[::-1],
        "double": rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)),
        "single": np.array([1 - 2j], np.complex64),
        "zero-d": np.array(3.5, np.float32),
        "complex zero-d": np.array(1j),
        "empty": np.zeros((0, 4), np.complex128),
        "mask": np.array([True, False]),
        "big-endian": np.arange(4, dtype=">f8"),
        "half": np.array([0.5], np.float16),
        "key": np.array([1, 2**32 - 1], np.uint32),
    }
    run.save("pretrain", 3, given, {})
    _, loaded, _ = last(run)
    assert loaded.keys() == given.keys()
    for name, x in given.items():
        assert loaded[name].shape == x.shape and loaded[name].dtype == x.dtype.newbyteorder("="), name
        np.testing.assert_array_equal(loaded[name], x, err_msg=name)


def test_what_cannot_be_stored_is_refused_before_anything_is_written(run):
    for bad in (np.array([None]), np.array(["text"]), np.zeros(1, np.longdouble)):
        with pytest.raises(TypeError, match="cannot be stored"):
            run.save("pretrain", 1, {"x": bad}, {})
    assert run.latest("pretrain") is None


def test_keeps_the_last_two_of_each_stream(run):
    for step in range(5):
        run.save("pretrain", step, arrays(step), {})
    run.save("diagram", 1, arrays(1), {})
    names = sorted(os.listdir(run.path / "checkpoints"))
    assert names == ["diagram-00000001", "pretrain-00000003", "pretrain-00000004"]
    assert last(run)[0] == 4 and last(run, "diagram")[0] == 1 and run.latest("none") is None


def test_a_step_can_be_saved_again_and_later_steps_of_a_given_up_part_vanish(two):
    two.save("pretrain", 2, arrays(20), {})
    assert last(two)[1]["params/w"][0, 0] == 20
    two.save("pretrain", 1, arrays(10), {})
    assert last(two)[0] == 1
    assert os.listdir(two.path / "checkpoints") == ["pretrain-00000001"]


def test_non_finite_numbers_are_neither_saved_nor_loaded(two, monkeypatch):
    for bad in (np.nan, np.inf, complex(0, np.nan)):
        with pytest.raises(PhysicsError, match="params/w"):
            two.save("pretrain", 3, {"params/w": np.array([1.0, bad])}, {})
    assert last(two)[0] == 2
    with monkeypatch.context() as patch:
        patch.setattr(bundles, "nonfinite", lambda arrays: [])
        two.save("pretrain", 3, {"params/w": np.array([np.nan])}, {"lr": 1})
    assert last(two)[0] == 2
    assert "non-finite" in two.warnings[-1]


def test_files_follow_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        with RunDirectory.create(tmp_path / "run", SPEC) as run:
            run.save("pretrain", 1, arrays(1), {})
            run.log({"step": 1})
            run.write_json("summary.json", {})
            run.seal()
            modes = {path: path.stat().st_mode & 0o777 for path in run.path.rglob("*")}
    finally:
        os.umask(old)
    assert all(mode == (0o750 if path.is_dir() else 0o640) for path, mode in modes.items()), modes


def test_results_are_plain_json_and_stay_inside(run):
    run.write_json("summary.json", {"energy": np.float32(-1.5), "r_hat": np.nan, "x": np.arange(2), "p": run.path})
    assert json.loads((run.path / "summary.json").read_text()) == {
        "energy": -1.5,
        "r_hat": None,
        "x": [0, 1],
        "p": str(run.path),
    }
    run.write_bytes("seeds/1.bin", b"\0")
    for name in (
        "../x",
        "/tmp/x",
        "a/../../x",
        "",
        ".lock",
        "spec.toml",
        "run.json",
        "checkpoints/x",
        "manifest.json",
        "figures/diagram.png",
    ):
        with pytest.raises(InputError):
            run.write_text(name, "x")
    for name in ("../x", "", ".x", "a/b"):
        with pytest.raises(InputError):
            run.save_artifact(name, {}, {})


def test_importing_the_store_does_not_import_jax():
    process = child("print({'jax', 'jaxlib', 'netket', 'pandas', 'matplotlib'} & set(sys.modules))")
    assert process.communicate()[0].strip() == "set()"


# Creating, opening, replacing


def test_a_used_directory_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "run"
    RunDirectory.create(path, SPEC).close()
    with pytest.raises(InputError, match="--resume"):
        RunDirectory.create(path, SPEC)
    with RunDirectory.create(path, "other = 1\n", overwrite=True) as run:
        run.save("pretrain", 1, arrays(1), {})
    with RunDirectory.create(path, SPEC, overwrite=True) as run:
        assert run.latest("pretrain") is None and run.spec_text == SPEC
        assert sorted(os.listdir(path)) == [".lock", "run.json", "spec.toml"]


def test_a_file_of_the_user_in_a_run_is_never_removed(tmp_path):
    """Neither by --overwrite, which says what is in the way, nor, hidden, by a run that replaces another."""
    path = tmp_path / "run"
    RunDirectory.create(path, SPEC).close()
    (path / "notes.md").write_text("mine")
    for attempt in (
        lambda: RunDirectory.create(path, SPEC, overwrite=True),
        lambda: check_early(None, path, resume=False, overwrite=True),
    ):
        with pytest.raises(InputError, match="it holds 'notes.md', which is not of a run"):
            attempt()
    (path / "notes.md").rename(path / ".notes")
    RunDirectory.create(path, "other = 1\n", overwrite=True).close()
    assert (path / ".notes").read_text() == "mine" and (path / "spec.toml").read_text() == "other = 1\n"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", "spec.toml", "run.json", ".git", ".x.tmp-1"])
def test_a_foreign_directory_is_never_touched(tmp_path, name, overwrite):
    (tmp_path / name).write_text('{"kind": "something else"}')
    with pytest.raises(InputError):
        RunDirectory.create(tmp_path, SPEC, overwrite=overwrite)
    assert os.listdir(tmp_path) == [name]
    with pytest.raises((InputError, IntegrityError)):
        RunDirectory.open(tmp_path)


def test_the_remains_of_a_run_killed_at_its_very_start_are_no_obstacle(tmp_path):
    RunDirectory.create(tmp_path / "run", SPEC).close()
    (tmp_path / "run" / "spec.toml").rename(tmp_path / "run" / ".spec.toml.tmp-1")
    with RunDirectory.create(tmp_path / "run", SPEC) as run:
        assert sorted(os.listdir(run.path)) == [".lock", "run.json", "spec.toml"]


def test_a_failed_creation_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "create_file", full)
    with pytest.raises(StorageError, match="No space left"):
        RunDirectory.create(tmp_path / "a" / "b", SPEC)
    assert os.listdir(tmp_path) == []


def test_open_names_what_is_not_a_run(tmp_path):
    for path, words in ((tmp_path, "no run"), (tmp_path / "missing", "no such dir"), (Path(__file__), "is no dir")):
        with pytest.raises(InputError, match=words):
            RunDirectory.open(path)


def test_a_reader_cannot_write(run):
    with RunDirectory.open(run.path) as reader, pytest.raises(RuntimeError, match="reading only"):
        reader.log({})


def test_a_study_changed_by_hand_is_noticed(run):
    run.close()
    (run.path / "spec.toml").write_text(SPEC.replace("diagram", "diagrom"))
    with pytest.raises(IntegrityError, match=r"spec\.toml"):
        RunDirectory.open(run.path, write=True)
    with RunDirectory.open(run.path) as reader:
        assert reader.warnings and reader.verify()


# Kills


WRITER = """
import numpy as np
run = RunDirectory.open(sys.argv[1], write=True)
last = run.latest("pretrain")
run.truncate_log(last[2] if last else None)
step = last[0] if last else 0
while True:
    step += 1
    run.log({"step": step})
    run.save("pretrain", step, {"params/w": np.full(200_000, float(step))}, {})
    print(step, flush=True)
"""


def test_kill_never_costs_an_acknowledged_checkpoint(tmp_path):
    """Ten writers of 1.6 MB checkpoints in a row, each killed at a random moment."""
    rng = random.Random(1)
    RunDirectory.create(tmp_path / "run", SPEC).close()
    before = 0
    for _ in range(10):
        process = child(WRITER, tmp_path / "run")
        first = line(process)
        assert first.strip() == str(before + 1), first
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        acknowledged = int((first + process.communicate()[0]).split()[-1])
        with RunDirectory.open(tmp_path / "run", write=True) as run:
            before, loaded, meta = last(run)
            assert before >= acknowledged
            assert np.all(loaded["params/w"] == before)
            assert run.verify() == [] and run.warnings == []
            assert not [path for path in run.path.rglob("*") if files.LITTER.match(path.name)]
            run.truncate_log(meta)
            assert [event["step"] for event in run.read_log()] == list(range(1, before + 1))


def test_a_kill_between_the_two_renames_loses_nothing(two):
    two.close()
    newest(two).rename(newest(two).with_name(".pretrain-00000002.old-1"))
    (newest(two).with_name(".pretrain-00000002.tmp-1")).mkdir()
    (two.path / ".summary.json.tmp-99").write_text("half")
    with RunDirectory.open(two.path, write=True) as run:
        assert last(run)[0] == 2
        assert sorted(os.listdir(run.path / "checkpoints")) == ["pretrain-00000001", "pretrain-00000002"]
        assert ".summary.json.tmp-99" not in os.listdir(run.path)


# Damage


@pytest.mark.parametrize("name", ["arrays.safetensors", "meta.json", "manifest.json"])
def test_truncation_is_found_and_the_previous_checkpoint_used(two, name):
    path = newest(two) / name
    data = path.read_bytes()
    header = 8 + int.from_bytes(data[:8], "little") if name.startswith("arrays") else len(data) // 8
    for cut in (0, 1, header // 2, header, len(data) // 4, len(data) // 2, 3 * len(data) // 4, len(data) - 1):
        path.write_bytes(data[:cut])
        assert_falls_back(two, name)
    path.write_bytes(data + b"\0")
    assert_falls_back(two, name)


def test_every_flipped_bit_is_found(two):
    """200 single flips, every file of the checkpoint hit equally often; none may pass."""
    rng = random.Random(2)
    paths = sorted(newest(two).iterdir())
    for trial in range(200):
        path = paths[trial % len(paths)]
        data = bytearray(path.read_bytes())
        position, bit = rng.randrange(len(data)), 1 << rng.randrange(8)
        data[position] ^= bit
        path.write_bytes(data)
        assert two.verify(), (path, position, bit)
        assert last(two)[0] == 1
        data[position] ^= bit
        path.write_bytes(data)
    assert two.verify() == [] and last(two)[0] == 2


def test_every_flipped_bit_of_a_manifest_is_found(two):
    """All of them, not a sample: blanks, braces and digits of the file that holds the sums."""
    path = newest(two) / "manifest.json"
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(IntegrityError):
                manifest.decode_manifest(bytes(flipped), path, "arrays")


@pytest.mark.parametrize("name", ["arrays.safetensors", "meta.json", "manifest.json"])
def test_a_missing_or_added_file_is_found(two, name):
    data = (newest(two) / name).read_bytes()
    (newest(two) / name).unlink()
    assert_falls_back(two, name)
    (newest(two) / name).write_bytes(data)
    (newest(two) / "extra").write_text("x")
    assert_falls_back(two, "extra")


def test_exchanged_checkpoints_are_found(two):
    shutil.rmtree(newest(two))
    shutil.copytree(newest(two).with_name("pretrain-00000001"), newest(two))
    assert last(two)[0] == 1
    assert "another checkpoint" in two.warnings[-1]


def test_artifacts_are_checked(run):
    run.save_artifact("base", arrays(1), {"model": "vit"})
    assert run.load_artifact("base")[1] == {"model": "vit"}
    path = run.path / "artifacts" / "base" / "arrays.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert run.verify() == [f"{path} is damaged: its SHA-256 does not match"]
    with pytest.raises(IntegrityError, match="SHA-256"):
        run.load_artifact("base")
    with pytest.raises(IntegrityError, match="missing"):
        run.load_artifact("other")


def test_a_seal_covers_every_file(two):
    two.write_json("summary.json", {"schema": 1})
    two.save_artifact("base", arrays(1), {})
    two.seal()
    two.close()
    with RunDirectory.open(two.path) as run:
        assert run.verify() == []
        for path in [path for path in run.path.rglob("*") if path.is_file()]:
            data = path.read_bytes()
            path.write_bytes(data + b" ")
            assert any(str(path) in line for line in run.verify()), path
            path.unlink()
            assert run.verify() or path.name == "manifest.json", path
            path.write_bytes(data)
        shutil.copy(run.path / "summary.json", run.path / "summary2.json")
        assert "not listed" in run.verify()[0]


def test_a_broken_seal_is_not_renewed_silently(two):
    two.write_text("summary.json", "{}")
    two.seal()
    two.write_text("report.html", "<html>")  # an intact seal may be broken by the writer ...
    two.seal()
    assert two.verify() == []
    (two.path / "summary.json").write_text("{ }")
    with pytest.raises(IntegrityError, match=r"summary\.json"):  # ... but not over damage
        two.write_text("report.html", "<html>")
    (two.path / "summary.json").write_text("{}")
    (newest(two) / "meta.json").write_text("{}")
    two.log({"event": "resumed"})  # checkpoints guard themselves
    assert any("meta.json" in line for line in two.warnings) and any("meta.json" in line for line in two.verify())


# Full disks and bad places


def test_a_file_size_limit_leaves_the_previous_checkpoint(two):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(StorageError) as caught:
            two.save("pretrain", 3, arrays(3, size=50_000), {})
        with pytest.raises(StorageError):
            two.write_bytes("report.html", bytes(300_000))
        with pytest.raises(StorageError):
            two.log({"text": "x" * 300_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    message = str(caught.value)
    assert "\n" not in message and "pretrain-00000003" in message and "MB needed" in message
    assert last(two)[0] == 2 and two.verify() == []
    assert not [path for path in two.path.rglob("*") if path.name.startswith(".") and path.name != ".lock"]
    two.log({"step": 3})
    assert [event["step"] for event in two.read_log()] == [1, 2, 3]
    two.save("pretrain", 3, arrays(3), {})
    assert last(two)[0] == 3


@pytest.mark.parametrize("call", ["fsync", "rename", "mkdir"])
@pytest.mark.parametrize("step", [2, 3])
def test_a_full_disk_at_any_call_leaves_the_previous_checkpoint(two, monkeypatch, call, step):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    last(two)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(StorageError, match="No space left"):
            two.save("pretrain", step, arrays(9), {"lr": 0.1})
    assert two.verify() == []
    found = last(two)
    assert found[0] == 2 and found[1]["params/w"][0, 0] == 2


def test_unusual_and_impossible_places(tmp_path):
    with RunDirectory.create(tmp_path / "Übergang bei h = 1 → ψ" / "run", SPEC) as run:
        run.save("pretrain", 1, arrays(1), {"text": "ψ\udc80"})
        assert last(run)[2]["text"] == "ψ\udc80"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        RunDirectory.create(tmp_path / "file", SPEC)
    with pytest.raises(StorageError, match="Not a directory"):
        RunDirectory.create(tmp_path / "file" / "run", SPEC)
    with pytest.raises(StorageError, match="name too long"):
        RunDirectory.create(tmp_path / ("x" * 300), SPEC)
    assert sorted(os.listdir(tmp_path)) == ["file", "Übergang bei h = 1 → ψ"]


def test_a_read_only_directory_is_one_clear_line(tmp_path):
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write in read-only directories")
        with pytest.raises(StorageError, match="Permission denied"):
            RunDirectory.create(tmp_path / "run", SPEC)
    finally:
        tmp_path.chmod(0o755)


def test_the_clock_plays_no_part(two):
    os.utime(newest(two), (0, 0))
    assert last(two)[0] == 2


# Hostile files


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch canary",))


def plant(folder, data):
    """Replace the arrays of a checkpoint and renew its manifest, as an attacker would."""
    (folder / "arrays.safetensors").write_bytes(data)
    contents = {name: (folder / name).read_bytes() for name in ("arrays.safetensors", "meta.json")}
    listed = {name: manifest.entry(content) for name, content in contents.items()}
    (folder / "manifest.json").write_bytes(manifest.encode_manifest("arrays", listed, complex128=[]))


def test_hostile_arrays_are_refused_and_nothing_runs(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bf16 = json.dumps({"params/w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    hostile = {
        "a pickle": pickle.dumps(Bomb()),
        "a numpy object array": b"\x93NUMPY" + pickle.dumps(Bomb()),
        "a header longer than the file": (2**40).to_bytes(8, "little") + b"{}",
        "an unknown type": len(bf16).to_bytes(8, "little") + bf16 + b"\0\0",
        "nothing": b"",
    }
    for what, data in hostile.items():
        plant(newest(two), data)
        with pytest.raises(IntegrityError):
            bundles.read_bundle(newest(two))
        assert last(two)[0] == 1, what
    assert not (tmp_path / "canary").exists()


def test_a_huge_header_is_refused_before_it_is_read(two, monkeypatch):
    path = newest(two) / "arrays.safetensors"
    size = 100 * 2**20
    with open(path, "wb") as stream:
        stream.write((size - 8).to_bytes(8, "little"))
        stream.truncate(size)  # a hole: takes no space
    listed = {"meta.json": manifest.entry((newest(two) / "meta.json").read_bytes())}
    listed["arrays.safetensors"] = {"size": size, "sha256": files.sha256_file(path)[1]}
    (newest(two) / "manifest.json").write_bytes(manifest.encode_manifest("arrays", listed, complex128=[]))
    monkeypatch.setattr(bundles.safetensors.numpy, "load", lambda data: pytest.fail("was parsed"))
    with pytest.raises(IntegrityError, match="header"):
        bundles.read_bundle(newest(two))


def test_links_and_devices_are_refused(two, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(newest(two), outside)
    for name in ("arrays.safetensors", "meta.json", "manifest.json"):
        (newest(two) / name).unlink()
        (newest(two) / name).symlink_to(outside / name)
        assert_falls_back(two, name)
        (newest(two) / name).unlink()
        os.mkfifo(newest(two) / name)
        assert_falls_back(two, name)
        (newest(two) / name).unlink()
        shutil.copy(outside / name, newest(two) / name)
    shutil.rmtree(newest(two))
    newest(two).symlink_to(outside)
    assert_falls_back(two, "pretrain-00000002")
    newest(two).unlink()
    (two.path / "seeds").symlink_to(tmp_path)
    with pytest.raises(IntegrityError, match="leads out"):
        two.write_text("seeds/x", "x")
    assert any("seeds" in line for line in two.verify())
    (two.path / "seeds").unlink()
    (two.path / "log.jsonl").unlink()
    (two.path / "log.jsonl").symlink_to(tmp_path / "stolen")
    two.close()
    with RunDirectory.open(two.path, write=True) as run, pytest.raises(IntegrityError, match="symbolic link"):
        run.log({"step": 3})
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a//b", ""])
def test_a_manifest_cannot_name_files_elsewhere(name, tmp_path):
    data = manifest.encode_manifest("run", {name: manifest.entry(b"")})
    with pytest.raises(IntegrityError):
        manifest.decode_manifest(data, tmp_path, "run")


def test_a_newer_schema_is_refused_with_both_versions(two, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "SCHEMA", 7)
        two.save("pretrain", 3, arrays(3), {})
    with pytest.raises(InputError, match=r"schema 7.* up to 1"):
        last(two)
    assert "schema 7" in two.verify()[0]


# Two writers


def test_a_second_writer_is_told_who_holds_the_run(run):
    code = """
try:
    RunDirectory.open(sys.argv[1], write=True)
except Exception as error:
    print(type(error).__name__, error.exit_code, error)
"""
    text = child(code, run.path).communicate()[0]
    assert text.startswith("LockedError 75")
    assert f"process {os.getpid()} on host {socket.gethostname()}" in text
    with pytest.raises(LockedError):
        RunDirectory.open(run.path, write=True)
    with pytest.raises(LockedError):
        RunDirectory.create(run.path, SPEC, overwrite=True)
    assert RunDirectory.open(run.path).spec_text == SPEC  # readers do not mind
    run.close()
    RunDirectory.open(run.path, write=True).close()
    assert not (run.path / ".lock").exists()


def test_the_lock_of_a_dead_process_is_taken_over(run):
    run.close()
    process = child("RunDirectory.open(sys.argv[1], write=True)\nprint('open', flush=True)\nsys.stdin.read()", run.path)
    line(process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (run.path / ".lock").exists()
    RunDirectory.open(run.path, write=True).close()
    assert not (run.path / ".lock").exists()


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({}, False),
        ({"host": "elsewhere"}, False),  # its processes cannot be seen from here
        ({"start": 1}, True),  # the process number belongs to somebody else by now
        ({"start": None}, False),
        (None, True),  # killed between creating the file and filling it
        ("not json", False),
    ],
)
def test_who_counts_as_gone(run, change, taken):
    lock = run.path / ".lock"
    content = lock.read_text()
    if isinstance(change, dict):
        lock.write_text(json.dumps(json.loads(content) | change))
    else:
        lock.write_text(change or "")
    if taken:
        RunDirectory.open(run.path, write=True).close()
    else:
        with pytest.raises(LockedError):
            RunDirectory.open(run.path, write=True)
        assert lock.exists()


# The log


def test_a_torn_log_is_cut_back_to_the_restored_step(two):
    for step in (3, 4):
        two.log({"step": step, "energy": float("nan")})
    two.close()
    log = two.path / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-5])
    with RunDirectory.open(two.path, write=True) as run:
        assert [event["step"] for event in run.read_log()] == [1, 2, 3] and run.warnings
        step, _, meta = last(run)
        run.truncate_log(meta)
        for later in (step + 1, step + 2):
            run.log({"step": later})
        assert [event["step"] for event in run.read_log()] == [1, 2, 3, 4]
        run.truncate_log(None)
        assert run.read_log() == []


def test_a_torn_line_is_dropped_before_the_next_event(run):
    run.log({"step": 1})
    run.close()
    log = run.path / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'{"step": 2, "text": "' + b"x" * 10_000)
    with RunDirectory.open(run.path, write=True) as again:
        again.log({"step": 2, "energy": np.float32("inf")})
        assert again.read_log() == [{"step": 1}, {"step": 2, "energy": None}]


def test_a_log_shorter_than_the_checkpoint_is_noted(two):
    two.close()
    log = two.path / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-3])
    with RunDirectory.open(two.path, write=True) as run:
        run.truncate_log(last(run)[2])
        assert [event["step"] for event in run.read_log()] == [1]
        assert "shorter" in run.warnings[0]


# Signs of life


def test_the_lock_of_another_host_is_taken_over_when_its_owner_is_silent(run):
    lock = run.path / ".lock"
    foreign = json.loads(lock.read_text()) | {"host": "elsewhere"}
    for age, beat, taken in [(60, 20.0, False), (301, None, False), (301, 20.0, True), (301, 200.0, False)]:
        lock.write_text(json.dumps(foreign | {"beat": beat}))
        os.utime(lock, (time.time() - age,) * 2)
        if taken:
            check_free(run.path)
            RunDirectory.open(run.path, write=True).close()
            continue
        for attempt in (check_free, lambda path: RunDirectory.open(path, write=True)):
            with pytest.raises(LockedError, match="host elsewhere"):
                attempt(run.path)
    assert sorted(os.listdir(run.path)) == [".lock", "run.json", "spec.toml"]
    lock.unlink()


def test_a_live_owner_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr("wavefoundry.artifacts.lock.BEAT", 0.05)
    with RunDirectory.create(tmp_path / "run", SPEC) as run:
        lock = run.path / ".lock"
        os.utime(lock, (1.0, 1.0))
        deadline = time.monotonic() + 10
        while lock.stat().st_mtime == 1.0 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert abs(lock.stat().st_mtime - time.time()) < 60


def test_an_owner_whose_lock_was_taken_writes_no_more(run):
    lock = run.path / ".lock"
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"host": "elsewhere", "pid": 7}))
    for write in (lambda: run.log({"step": 1}), lambda: run.write_text("report.html", "x"), run.seal):
        with pytest.raises(LockedError, match="process 7 on host elsewhere"):
            write()
    run.close()
    assert json.loads(lock.read_text())["pid"] == 7, "the lock of the other one stays"
    lock.unlink()
