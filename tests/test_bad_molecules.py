"""Molecules that cannot be: exit code 2, at most five lines naming key and file, no traceback, nothing written."""

from pathlib import Path

import pytest

import wavefoundry.studies
from wavefoundry.cli import main

STUDY = """\
kind = "molecules"

[train]
molecules = [{ atoms = "Li 0 0 0; H 0 0 2.6" }]
steps = 4

[adapt]
molecules = [{ atoms = "Li 0 0 0; H 0 0 3.015" }]
"""
ATOMS = 'atoms = "Li 0 0 0; H 0 0 2.6"'


@pytest.fixture
def directory(tmp_path, monkeypatch):
    """A current directory with a good study; the computation must never be reached."""

    def run_study(*args, **kwargs):
        pytest.fail("the computation was started on bad input")

    monkeypatch.setattr(wavefoundry.studies, "run_study", run_study, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("garbage.xyz").write_text("2\nwater?\nO 0 0 0\n<html>not found</html>\n")
    Path("short.xyz").write_text("3\n\nO 0 0 0\nH 0 0 1\n")
    Path("binary.xyz").write_bytes(bytes(range(256)))
    Path("folder").mkdir()
    return tmp_path


# Text to replace in the study, its replacement, and what the message must name.
CASES = {
    "atoms on top of each other": ("2.6", "0.02", "train.molecules.0.atoms", "on top of each other", "0.02 bohr"),
    "the same atom twice": ("Li 0 0 0; H 0 0 2.6", "H 0 0 0; H 0 0 0", "on top of each other"),
    "impossible spin": (ATOMS, f"{ATOMS}, spin = 1", "spin = 1 is impossible for LiH", "4 electrons", "0, 2, 4"),
    "spin of more electrons than there are": (ATOMS, f"{ATOMS}, spin = 6", "spin = 6", "at most 4"),
    "negative spin": (ATOMS, f"{ATOMS}, spin = -2", "negative", "2S"),
    "charge without electrons": (ATOMS, f"{ATOMS}, charge = 4", "0 electrons"),
    "heavy element": ("Li 0", "Pt 0", "element Pt is not supported", "pseudopotentials"),
    "no such element": ("Li 0", "Lx 0", '"Lx" is not an element', "train.molecules.0.atoms"),
    "an atom without a position": ("H 0 0 2.6", "H 0 0", '"H 0 0" is not an atom'),
    "internal coordinates": ("H 0 0 2.6", "H 1 R 2.6", '"R" is not a number', "scan"),
    "infinite position": ("2.6", "inf", "position is not possible"),
    "garbage in a file": (ATOMS, 'xyz = "garbage.xyz"', "garbage.xyz, line 4", "train.molecules.0.xyz"),
    "a file that ends too soon": (ATOMS, 'xyz = "short.xyz"', "short.xyz, line 1", "ends before its 3 atoms"),
    "a file that is no text": (ATOMS, 'xyz = "binary.xyz"', "binary.xyz", "not text"),
    "a directory for a file": (ATOMS, 'xyz = "folder"', "folder", "cannot be read"),
    "no file": (ATOMS, 'xyz = "*.yxz"', "no file matches *.yxz", "study.toml, key train.molecules.0.xyz"),
    "nothing to train on": (f"{{ {ATOMS} }}", "", "train.molecules", "nothing to train on"),
    "no molecules": (f"molecules = [{{ {ATOMS} }}]\n", "", "nothing to train on"),
    "a molecule without a list": (f"[{{ {ATOMS} }}]", '"Li 0 0 0"', "train.molecules", "list"),
    "an unknown key": (ATOMS, f"{ATOMS}, sping = 0", "train.molecules.0.sping", "'spin'"),
    "a wrong unit": ("steps = 4", 'unit = "pm"', "train.unit = 'pm'", "'bohr' or 'angstrom'"),
    "an unknown method": ("[adapt]", '[adapt]\nmethod = "head"', "adapt.method", "'zero-shot' or 'full'"),
    "an unknown table": ("[adapt]", "[adopt]", "adopt", "'adapt'"),
    "an element the published network lacks": ("[adapt]", '[wavefunction]\npreset = "paper"\n[adapt]', "holds Li"),
    "a start that is not there": ("steps = 4", 'warm_start = "runs/none"', "train.warm_start", "no such file"),
    "an impossible target": ("3.015", "0.0", "adapt.molecules.0.atoms", "on top of each other"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case, directory, capsys):
    old, new, *says = CASES[case]
    text = STUDY.replace(old, new, 1)
    assert text != STUDY
    Path("study.toml").write_text(text)
    before = sorted(path.name for path in directory.rglob("*"))
    assert main(["run", "study.toml"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "Traceback" not in shown.err and "pydantic" not in shown.err
    assert 2 <= len(shown.err.splitlines()) <= 5, shown.err
    assert "study.toml" in shown.err
    for part in says:
        assert part in shown.err, shown.err
    assert sorted(path.name for path in directory.rglob("*")) == before
