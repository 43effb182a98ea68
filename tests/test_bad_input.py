"""Mistakes of a user: exit code 2, at most five lines naming key and file, no traceback, nothing written."""

import os
from pathlib import Path

import pytest

import wavefoundry.studies
from wavefoundry.artifacts.spec import dumps, loads
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.cli import main

STUDY = """\
kind = "diagram"

[system]
model = "ising"
lattice = { kind = "chain", size = 36, periodic = true }

[pretrain]
at = { h = 1.0 }

[adapt]
method = "head"
points = { h = [0.8, 1.2] }
"""


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A current directory with a good study; the computation must never be reached."""

    def run_study(*args, **kwargs):
        pytest.fail("the computation was started on bad input")

    monkeypatch.setattr(wavefoundry.studies, "run_study", run_study, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(STUDY)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} | {
        f"{path.relative_to(folder)}/": b"" for path in folder.rglob("*") if path.is_dir()
    }


def refuse(arguments: list[str], capsys, folder: Path, *says: str) -> None:
    """Run a command and check that it is refused as a user's mistake should be."""
    before = files(folder)
    code = main(arguments)
    shown = capsys.readouterr()
    assert code == 2, shown
    assert shown.out == ""
    assert 1 <= len(shown.err.splitlines()) <= 5, shown.err
    assert max(map(len, shown.err.splitlines())) < 400
    assert "Traceback" not in shown.err and "pydantic" not in shown.err
    for part in says:
        assert part in shown.err, shown.err
    assert files(folder) == before


# Text to replace in the study, its replacement, the key and what else the message must name.
IN_THE_FILE = {
    "unknown key, near miss": ("at = {", "walker = 9\nat = {", "pretrain.walker", "'walkers'"),
    "unknown key, another table's": ("at = {", "width = 9\nat = {", "pretrain.width", "[wavefunction]"),
    "unknown table": ("[adapt]", "[adpat]", "adpat", "'adapt'"),
    "unknown kind": ('"diagram"', '"diagramm"', "kind", "'diagram'"),
    "kind of a later release": ('"diagram"', '"spectra"', "kind", "known kinds"),
    "no kind": ('kind = "diagram"\n', "", "kind", "missing"),
    "no model": ('model = "ising"\n', "", "system.model", "missing"),
    "text for a number": ("at = {", 'walkers = "many"\nat = {', "pretrain.walkers", "whole number"),
    "number with a fraction": ("size = 36", "size = 36.5", "system.lattice.size", "whole number"),
    "true for a number": ("at = {", "steps = true\nat = {", "pretrain.steps", "whole number"),
    "number for a truth": ("periodic = true", "periodic = 1", "system.lattice.periodic", "true or false"),
    "number for a table": ("at = { h = 1.0 }", "at = 1.0", "pretrain.at", "table"),
    "text for a coupling": ("h = 1.0", 'h = "abc"', "pretrain.at.h", "number"),
    "no walkers": ("at = {", "walkers = 0\nat = {", "pretrain.walkers", "at least 1"),
    "negative size": ("size = 36", "size = -4", "system.lattice.size", "at least 1"),
    "a million sites": ("size = 36", "size = 1000000", "system.lattice.size", "4096"),
    "two edges for a chain": ("size = 36", "size = [6, 6]", "system.lattice.size", "one edge"),
    "unknown lattice": ('"chain"', '"chains"', "system.lattice.kind", "'chain'"),
    "a lattice that files do not know": ('"chain"', '"pyrochlore"', "system.lattice.kind", "from_netket"),
    "a model that files do not know": ('"ising"', '"hubbard"', "system.model", "from_netket"),
    "unknown method": ('"head"', '"hed"', "adapt.method", "'head'"),
    "unknown coupling": ("h = [0.8", "g = [0.8", "adapt.points.g", "couplings of ising"),
    "coupling in the wrong case": ("h = [0.8", "H = [0.8", "adapt.points.H", "'h'"),
    "NaN": ("[0.8, 1.2]", "[0.8, nan]", "adapt.points.h", "finite"),
    "infinity": ("h = 1.0", "h = inf", "pretrain.at.h", "finite"),
    "no points": ("[0.8, 1.2]", "[]", "adapt.points.h", "at least 1"),
    "no couplings to vary": ("{ h = [0.8, 1.2] }", "{}", "adapt.points", "no coupling"),
    "range without an end": ("[0.8, 1.2]", "{ start = 0, num = 3 }", "adapt.points.h.stop", "missing"),
    "pre-training elsewhere": ("at = { h = 1.0 }", "at = {}", "pretrain.at", "does not fix h"),
    "odd patch": ("[adapt]", "[wavefunction]\npatch = 5\n[adapt]", "wavefunction.patch", "does not divide"),
    "heads": ("[adapt]", "[wavefunction]\nheads = 5\n[adapt]", "wavefunction.heads", "1, 2, 4, 8"),
    "no learning rate": ("at = {", "learning_rate = 0.0\nat = {", "pretrain.learning_rate", "greater than 0"),
    "full sum of 36 sites": ("at = {", 'sampling = "full-sum"\nat = {', "pretrain.sampling", "at most 262144"),
    "frustration without spins": ('"ising"', '"j1j2"', "pretrain.at.h", "J1, J2"),
    "weights from nowhere": ("at = {", 'warm_start = "no"\nat = {', "pretrain.warm_start", "no such file"),
    "a model of no name": ("at = {", 'warm_start = "zoo:no"\nat = {', "line 8, key pretrain.warm_start", "no model"),
    "one value for two ends": ("[0.8, 1.2]", "{ start = 0.8, stop = 1.2, num = 1 }", "adapt.points.h", "num >= 2"),
    "more sites than numbers hold": ("size = 36", "size = 100000000000", "system.lattice.size", "4096 sites"),
    "not TOML": ("at = {", "at = [", "line 8", "not TOML"),
    "a key twice": ("at = {", "at = { h = 2.0 }\nat = {", "line 9", "second time"),
    "text without quotes": ('"head"', "head", "line 11", "quotes"),
}  # fmt: skip


@pytest.mark.parametrize("case", IN_THE_FILE)
def test_in_the_study_file(case, directory, capsys):
    old, new, key, says = IN_THE_FILE[case]
    text = STUDY.replace(old, new, 1)
    assert text != STUDY
    Path("study.toml").write_text(text)
    refuse(["run", "study.toml"], capsys, directory, "study.toml", key, says)


ON_THE_COMMAND_LINE = {
    "override of an unknown key": (["--set", "adapt.metod=full"], ["adapt.metod", "'method'", "study.toml"]),
    "override with a wrong value": (["--set", "adapt.held_out=2"], ["adapt.held_out", "--set", "study.toml"]),
    "override without a value": (["--set", "adapt.method"], ["--set", "'adapt.method'"]),
    "override of a whole table": (["--set", "adapt=full"], ["adapt", "table", "study.toml"]),
    "unknown preset": (["--preset", "papper"], ["--preset", "'paper'"]),
    "unknown option": (["--resme"], ["--resme"]),
    "output below a file": (["--out", "study.toml/run"], ["--out", "study.toml is not a directory"]),
    "output is a file": (["--out", "study.toml"], ["--out", "study.toml is not a directory"]),
    "output of somebody else": (["--out", "notes"], ["--out notes", "not empty"]),
    "nothing to resume": (["--resume", "--out", "nowhere"], ["nowhere", "no such directory"]),
    "resume in a foreign directory": (["--resume", "--out", "notes"], ["notes", "no run"]),
    "resume and overwrite": (["--resume", "--overwrite"], ["--resume", "--overwrite"]),
    "a name no file system takes": (["--out", "x" * 300], ["--out"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ON_THE_COMMAND_LINE)
def test_on_the_command_line(case, directory, capsys):
    Path("notes").mkdir()
    Path("notes/todo.txt").write_text("buy milk")
    options, says = ON_THE_COMMAND_LINE[case]
    refuse(["run", "study.toml", *options], capsys, directory, *says)


def test_resume_with_a_changed_study(directory, capsys):
    RunDirectory.create("runs/study", dumps(loads(STUDY))).close()
    refuse(["run", "study.toml", "--resume", "--set", "pretrain.seed=1"], capsys, directory,
           "pretrain.seed", "runs/study", "changed")  # fmt: skip
    refuse(["run", "study.toml"], capsys, directory, "runs/study", "--resume")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "studdy.toml"], ["studdy.toml", "'study'"]),
        (["run", "."], ["."]),
        (["run", "binary.toml"], ["binary.toml", "UTF-8"]),
        (["run"], ["STUDY.toml"]),
        (["rum", "study.toml"], ["rum"]),
        (["init", "diagran"], ["'diagram'"]),
        (["inspect", "nowhere"], ["nowhere"]),
        (["inspect", "study.toml"], ["study.toml"]),
        (["verify", "."], ["no run"]),
        (["report", "."], ["summary.json"]),
    ],
)
def test_of_other_kinds(arguments, says, directory, capsys):
    Path("binary.toml").write_bytes(b"\x80\x81")
    refuse(arguments, capsys, directory, *says)


def test_a_directory_without_permission(directory, capsys, monkeypatch):
    # The superuser may write everywhere, so the answer of the system is replaced.
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    refuse(["run", "study.toml", "--out", "locked/run"], capsys, directory, "--out", "no permission")
