"""Modules of a user's own: found where a name is missing, each once, and what is wrong with them said."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wavefoundry.artifacts.spec import loads
from wavefoundry.cli import main
from wavefoundry.core import plugins
from wavefoundry.core.errors import InputError
from wavefoundry.core.hamiltonians import MODELS

MODEL = """\
from wavefoundry.core.hamiltonians import Model, Term, register
register(Model("{name}", "fields", "total energy", {{"h": 1.0}}, (Term("h", ("X",), 0, -1.0),), "h",
               lambda values, rule: {{"none"}}, lattices=("chain",)))
__version__ = "1.5"
"""
STUDY = """\
kind = "diagram"
[system]
model = "fields"
lattice = { kind = "chain", size = 6 }
[pretrain]
at = { h = 1.0 }
[adapt]
points = { h = [0.8] }
"""


@pytest.fixture(autouse=True)
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test loads is gone afterwards."""
    monkeypatch.setattr(plugins, "LOADED", {})
    known, modules = dict(MODELS), set(sys.modules)
    yield
    for name in set(MODELS) - set(known):
        del MODELS[name]
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_a_file_is_read_once_and_when_a_name_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "mine.py"
    path.write_text(MODEL.format(name="fields") + f"open({str(tmp_path / 'count')!r}, 'a').write('.')\n")
    monkeypatch.setenv(plugins.VARIABLE, str(path))
    assert "ising" in MODELS and MODELS.get(None) is None and not plugins.LOADED
    assert loads(STUDY).system.model == "fields"
    assert "unknown" not in MODELS and MODELS.get("unknown") is None
    with pytest.raises(KeyError):
        MODELS["unknown"]
    assert (tmp_path / "count").read_text() == "." and plugins.LOADED[str(path)].startswith("sha256:")


def test_modules_have_versions_and_several_are_separated_as_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "first_fields.py").write_text(MODEL.format(name="first"))
    (tmp_path / "second_fields.py").write_text(MODEL.format(name="second"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "first_fields")
    plugins.add(["second_fields", "first_fields"])
    assert os.environ[plugins.VARIABLE].split(os.pathsep) == ["first_fields", "second_fields"]
    assert MODELS["second"].title == "fields" and plugins.LOADED == {"first_fields": "1.5", "second_fields": "1.5"}
    assert plugins.arguments() == ["--plugin", "first_fields", "--plugin", "second_fields"]


def test_a_program_that_has_imported_its_file_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "own_fields.py").write_text(MODEL.format(name="fields"))
    monkeypatch.syspath_prepend(tmp_path)
    __import__("own_fields")
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path / "own_fields.py"))
    assert "unknown" not in MODELS and "fields" in MODELS


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("x = 1\ny = z", "line 2"),
        ("def", "SyntaxError"),
        (MODEL.format(name="ising"), "there is a model 'ising' already"),
        (MODEL.format(name="fields").replace('{"h": 1.0}', '{"g": 1.0}'), "every coupling stands before a term"),
    ],
)
def test_what_is_wrong_with_a_file(text: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Exit code 2 and one message, from the command line; nothing else of it is touched."""
    path, study = tmp_path / "mine.py", tmp_path / "study.toml"
    study.write_text(STUDY)
    if text is not None:
        path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins.VARIABLE, "")
        assert main(["--plugin", str(path), "run", str(study), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert "mine.py" in said and says in said and "Traceback" not in said
        with pytest.raises(InputError):
            MODELS.get("unknown")
        assert not (tmp_path / "out").exists() and main(["run", "--help"]) == 0


def test_a_module_that_is_nowhere(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(plugins.VARIABLE, "nowhere_at_all")
    with pytest.raises(InputError, match="No module named 'nowhere_at_all'") as caught:
        loads(STUDY)
    assert "--plugin" in caught.value.fix
