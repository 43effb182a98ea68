"""Models in the layout of model hubs: out and in again bit by bit, and what is refused on the way in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from wavefoundry.artifacts import hub, named, zoo
from wavefoundry.artifacts.bundles import read_bundle
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError, IntegrityError, WavefoundryError

MODEL = "zoo:ising-chain-24"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped model, handed on under another name, and an empty store."""
    monkeypatch.setenv("WAVEFOUNDRY_MODELS", str(tmp_path / "own"))
    return zoo.export(MODEL, "chain", tmp_path)


def test_any_library_can_read_it(folder: Path):
    """Weights and samples as plain safetensors, a configuration in JSON, a card with the fields hubs look for."""
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "config.json", "model.safetensors", "samples.safetensors", "study.toml",
    }  # fmt: skip
    samples = safetensors.numpy.load_file(folder / "samples.safetensors")["walkers"]
    assert samples.shape[1] == 24 and set(np.unique(samples)) == {-1, 1}
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    assert sum(array.size for array in weights.values()) >= 22512 and "walkers" not in weights
    config = json.loads((folder / "config.json").read_text())
    assert config["library_name"] == "wavefoundry" and config["description"]["network"] == "vit"
    head, title = (folder / "README.md").read_text().split("---\n")[1:3]
    assert "library_name: wavefoundry" in head and "- diagram" in head and "# chain" in title


def test_out_and_in_again(folder: Path, capsys: pytest.CaptureFixture[str]):
    """The same arrays, description and sum; and then a model by name as any other."""
    assert main(["models", "import", str(folder)]) == 0
    one, two = zoo.entry("chain"), zoo.entry(MODEL)
    assert one.checksum == two.checksum and not one.shipped
    (mine, my_meta), (theirs, their_meta) = read_bundle(one.model), read_bundle(two.model)
    assert my_meta == their_meta and set(mine) == set(theirs)
    assert all(mine[name].dtype == theirs[name].dtype and np.array_equal(mine[name], theirs[name]) for name in mine)
    assert [row.name for row in zoo.entries()] == named.names() and "chain" in named.names()
    capsys.readouterr()
    assert main(["models", "show", "chain"]) == 0 and one.checksum in capsys.readouterr().out


def test_a_list_goes_on_past_what_is_damaged(folder: Path, capsys: pytest.CaptureFixture[str]):
    """A damaged model is named with the reason, the others are listed; a folder whose name no model has is none."""
    mine = zoo.take(folder).folder
    shutil.copytree(mine, mine.parent / "My Model")
    data = bytearray((mine / "model" / "arrays.safetensors").read_bytes())
    data[-1] ^= 1
    (mine / "model" / "arrays.safetensors").write_bytes(bytes(data))
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr().out
    assert "ising-chain-24 " in shown and "My Model" not in shown
    assert "SHA-256" in next(line for line in shown.splitlines() if line.startswith("chain "))
    assert main(["models", "list", "--json"]) == 0
    assert "SHA-256" in next(row for row in json.loads(capsys.readouterr().out) if row["name"] == "chain")["unusable"]
    with pytest.warns(UserWarning, match="chain is left out: .*SHA-256"):
        assert "ising-chain-24" in [row.name for row in zoo.entries()]


def test_complex_weights_survive(tmp_path: Path):
    """The format knows no complex doubles."""
    arrays = {"a": np.array([1 + 2j, -0.5j]), "walkers": np.ones((2, 3), np.int8), "b": np.zeros((2, 2), np.float32)}
    for name, data in hub.contents(hub.Handed(arrays, {"x": 1}, "kind = 'diagram'"), "card").items():
        (tmp_path / name).write_bytes(data)
    found = hub.read(tmp_path)
    assert found.meta == {"x": 1} and set(found.arrays) == set(arrays)
    assert all(np.array_equal(found.arrays[k], v) and found.arrays[k].dtype == v.dtype for k, v in arrays.items())


def flipped(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def changed(**values: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text()) | values
        (folder / "config.json").write_text(json.dumps(config))

    return change


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (flipped, IntegrityError, "model.safetensors is damaged"),
        (lambda folder: (folder / "samples.safetensors").unlink(), IntegrityError, "samples.safetensors is missing"),
        (
            lambda folder: (folder / "study.toml").write_text("kind = 'tickets'"),
            IntegrityError,
            "study.toml is damaged",
        ),
        (lambda folder: (folder / "config.json").write_text("{"), IntegrityError, "config.json"),
        (changed(library_name="transformers"), InputError, "names the library 'transformers'"),
        (changed(library_name=None), InputError, "names no library"),
        (changed(schema=99), InputError, "schema 99"),
        (changed(sha256={}), IntegrityError, "does not describe a model"),
        (changed(sha256={"../study.toml": "0"}), IntegrityError, "does not describe a model"),
    ],
)
def test_what_is_damaged_or_foreign_is_refused(
    folder: Path, damage: Callable[[Path], None], kind: type[WavefoundryError], words: str
):
    """With one message, and nothing is kept of it."""
    damage(folder)
    with pytest.raises(kind, match=words):
        zoo.take(folder)
    assert "chain" not in named.names() and not list(named.imported().glob("*"))


def test_names_that_cannot_be(folder: Path, tmp_path: Path):
    with pytest.raises(InputError, match="shipped"):
        zoo.take(folder, "ising-chain-24")
    with pytest.raises(InputError, match="has no name"):
        zoo.export(tmp_path)
    assert main(["models", "import", str(tmp_path)]) == 2
