"""Paths of a study file: seen from the current directory, else from the folder of the file; a run goes on from both."""

from pathlib import Path

import pytest

from wavefoundry.artifacts import inputs, spec
from wavefoundry.artifacts.spec_paths import alike
from wavefoundry.core.errors import InputError

ISING = """
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 8 }
couplings_file = "disorder.csv"
[pretrain]
at = { h = 1.0 }
[adapt]
points = { h = [0.8] }
[reference]
method = ["file"]
file = "given.csv"
per = "system"
"""
LIH = """
kind = "molecules"
[train]
[[train.molecules]]
xyz = "more/*.xyz"
"""
FACTORS, ENERGIES = "coupling,i,j,factor\nh,3,,2.5\n", "h,energy\n0.8,-9.9\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of studies with what they name, seen from the folder beside it."""
    (tmp_path / "here").mkdir()
    (tmp_path / "studies" / "more").mkdir(parents=True)
    for name, text in {"ising.toml": ISING, "lih.toml": LIH, "disorder.csv": FACTORS, "given.csv": ENERGIES}.items():
        (tmp_path / "studies" / name).write_text(text)
    (tmp_path / "studies" / "more" / "lih.xyz").write_text("2\n\nLi 0 0 0\nH 0 0 1.6\n")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "studies"


def test_files_beside_the_study_are_found(folder: Path):
    study = spec.load("../studies/ising.toml")
    assert study.system.local_couplings == {"h": [[3, 2.5]]}
    assert study.reference.file == "../studies/given.csv"
    assert [row.atoms for row in spec.load("../studies/lih.toml").train.molecules][0].startswith("Li")


def test_the_current_directory_comes_first(folder: Path):
    Path("disorder.csv").write_text(FACTORS.replace("2.5", "0.5"))
    assert spec.load("../studies/ising.toml").system.local_couplings == {"h": [[3, 0.5]]}


def test_changes_of_the_command_line_are_seen_from_the_current_directory(folder: Path):
    with pytest.raises(InputError, match="no such file of couplings"):
        spec.load("../studies/ising.toml", ["system.couplings_file=disorder.csv"])


def test_a_run_goes_on_from_another_directory(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The same files by other paths are the same study; another file, or another content, is not."""
    first = spec.load("../studies/ising.toml")
    sums = inputs.sums(first)
    monkeypatch.chdir(folder)
    second = spec.load("ising.toml")
    assert (first.reference.file, second.reference.file) == ("../studies/given.csv", "given.csv")
    spec.require_same(second, spec.dumps(first), "run")
    inputs.require_same(second, sums, "run")
    Path("other.csv").write_text(ENERGIES)
    with pytest.raises(InputError, match="the study has changed"):
        spec.require_same(spec.load("ising.toml", ["reference.file=other.csv"]), spec.dumps(first), "run")
    Path("given.csv").write_text(ENERGIES.replace("9.9", "9.8"))
    with pytest.raises(InputError, match=r"^given\.csv has changed"):
        inputs.require_same(second, sums, "run")
    Path("given.csv").unlink()
    with pytest.raises(InputError, match=r"given\.csv is gone"):
        inputs.require_same(second, sums, "run")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("V.npy", "../a/V.npy", True),
        ("../a/V.npy", "/work/a/V.npy", True),
        ("../../a/V.npy", "./V.npy", True),
        ("a/V.npy", "b/V.npy", False),
        ("V.npy", "W.npy", False),
        ("../V.npy", "aV.npy", False),
    ],
)
def test_paths_from_different_directories(first: str, second: str, same: bool):
    one, other = ([{"name": "step", "potential": [{"path": path}]}] for path in (first, second))
    assert alike(one, other) is same
    assert not alike({"name": first}, {"name": second})
