"""Files that a user names: bounded, ordinary, and not repeated in messages when they are something else."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from wavefoundry.artifacts.spec import load, loads, template
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import read_xyz
from wavefoundry.core.reading import read_file
from wavefoundry.core.xyz import MOST
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.potential_files import read_potential

BOX = Grid1D(10.0, 256)
READERS = {"study": load, "xyz": read_xyz, "potential": lambda path: read_potential(path, BOX)}
SECRET = "root:x:0:0:hunter2"


@pytest.mark.parametrize("reader", READERS)
def test_what_never_ends_is_refused(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    os.symlink("/dev/zero", tmp_path / "link")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path / "link"):
        with pytest.raises(InputError, match="no ordinary file"):
            READERS[reader](path)
    with pytest.raises(InputError, match="cannot be read"):
        READERS[reader](tmp_path)
    with pytest.raises(InputError, match="there is no such"):
        READERS[reader](tmp_path / "nothing")


@pytest.mark.parametrize("reader", READERS)
def test_a_large_file_is_refused_before_it_is_in_memory(reader, tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 34)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="too large"):
        READERS[reader](tmp_path / "large")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 17  # KiB


def test_a_file_that_claims_to_be_empty_is_bounded_too(tmp_path):
    with pytest.raises(InputError, match="too large"):
        read_file("/proc/self/environ" if os.environ.get("PATH") else "/proc/self/maps", "file", 3)
    assert read_file(Path(__file__), "file", 1 << 20) == Path(__file__).read_bytes()


@pytest.mark.parametrize("lines", [[SECRET], ["2", SECRET, SECRET], ["1", "", SECRET], [SECRET.replace(":", " ")]])
@pytest.mark.parametrize("reader", READERS)
def test_words_of_foreign_files_are_not_repeated(reader, lines, tmp_path):
    (tmp_path / "passwd").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError) as caught:
        READERS[reader](tmp_path / "passwd")
    assert "hunter2" not in str(caught.value)


def test_molecules_of_a_file_are_counted(tmp_path):
    (tmp_path / "many.xyz").write_text("1\n\nH 0 0 0\n" * (MOST + 1))
    with pytest.raises(InputError, match="too many molecules"):
        read_xyz(tmp_path / "many.xyz")


@pytest.mark.parametrize(
    "change",
    [
        ".".join(["a"] * 2000) + "=1",
        "pretrain." + "a" * 5000 + "=1",
        ".".join(["a"] * 90) + "=1",
        "pretrain.at=" + "[" * 90 + "]" * 90,
        "pretrain.at=" + "{a=" * 90 + "1" + "}" * 90,
    ],
)
def test_deep_and_long_keys_are_refused(change, tmp_path, capsys):
    (tmp_path / "study.toml").write_text(template("diagram"))
    assert main(["run", str(tmp_path / "study.toml"), "--set", change, "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr().err
    assert ("too deeply" in shown or "too long" in shown) and len(shown) < 500
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["a = 1\n[" + ".".join(["b"] * 3000) + "]\n", "a = " + "[" * 300 + "]" * 300])
def test_deep_studies_are_refused(text):
    with pytest.raises(InputError, match="too deeply"):
        loads('kind = "diagram"\n' + text)


def test_a_device_for_a_study_ends_at_once(tmp_path):
    command = [sys.executable, "-m", "wavefoundry", "run", "/dev/zero"]
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=tmp_path, check=False)
    assert done.returncode == 2 and b"no ordinary file" in done.stderr
