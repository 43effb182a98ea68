"""Events that also go elsewhere: which numbers, under which names, and that no sink can end a run."""

from __future__ import annotations

import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from wavefoundry.cli import main
from wavefoundry.core.errors import InputError
from wavefoundry.reports.sinks import SINKS, also, opened, scalars

STEP = {"event": "step", "phase": "pretrain", "step": 3, "steps": 9, "energy": -1.5, "std": math.nan, "seconds_left": 2}
POINT = {"event": "point", "index": 1, "count": 4, "couplings": {"h": 0.5}, "energy": -8.0, "verdict": "trusted",
         "trusted": True}  # fmt: skip


def test_numbers_and_their_names():
    """Finite numbers alone; a diagram can be drawn over its couplings; words and flags are no numbers."""
    assert scalars(STEP) == (3, {"pretrain/energy": -1.5})
    assert scalars(POINT) == (1, {"point/energy": -8.0, "point/couplings/h": 0.5})
    assert scalars(STEP | {"of": "seed 2"}) == (3, {"seed 2/pretrain/energy": -1.5}), "seeds are told apart"
    assert scalars({"event": "phase", "text": "x"}) is None
    assert scalars({"event": "step", "energy": 1.0}) is None, "a step without a number"


def test_a_file(tmp_path: Path):
    with opened([f"jsonl:{tmp_path / 'log'}"], "run", pytest.fail) as take:
        for event in (STEP, POINT, {"event": "warning", "text": "x"}):
            take(event)
    found = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert found[0] == {"run": "run", "step": 3, "pretrain/energy": -1.5} and len(found) == 2
    with opened([f"jsonl:{tmp_path / 'log'}"], "second", pytest.fail) as take:
        take(STEP)
    assert (tmp_path / "log").read_text().count("\n") == 3


@pytest.mark.parametrize("content", [b"\\section{Introduction}\n", b"[1, 2]\n", b'{"a": 1}\n', bytes(range(256))])
def test_a_file_with_something_else_is_left_alone(tmp_path: Path, content: bytes):
    (tmp_path / "thesis").write_bytes(content)
    with pytest.raises(InputError, match="holds something else"), opened([f"jsonl:{tmp_path / 'thesis'}"], "r", print):
        pass
    assert (tmp_path / "thesis").read_bytes() == content


def test_tensorboard_files_can_be_read(tmp_path: Path):
    tensorboard = pytest.importorskip("tensorboardX")
    with opened([f"tensorboard:{tmp_path}"], "run", pytest.fail) as take:
        take(STEP)
    (file,) = (tmp_path / "run").glob("*tfevents*")
    data, tags = file.read_bytes(), set()
    while data:  # records: length, its sum, an event, its sum
        length = int.from_bytes(data[:8], "little")
        event = tensorboard.proto.event_pb2.Event.FromString(data[12 : 12 + length])
        tags |= {(value.tag, value.simple_value, event.step) for value in event.summary.value}
        data = data[16 + length :]
    assert tags == {("pretrain/energy", -1.5, 3)}


class Remote:
    """Stands for a service that is asked by calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            self.calls.append((name, given, named))
            return self

        return call


@pytest.mark.parametrize(("name", "logged", "last"), [("wandb", "log", "finish"), ("mlflow", "log_metrics", "end_run")])
def test_services(name: str, logged: str, last: str, monkeypatch: pytest.MonkeyPatch):
    """The calls that their documentation names, in order: open, numbers, close."""
    remote = Remote()
    module = types.ModuleType(name)
    module.__getattr__ = remote.__getattr__  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, name, module)
    with opened([f"{name}:mine"], "run", pytest.fail) as take:
        take(STEP)
    names = [call[0] for call in remote.calls]
    assert names[-2:] == [logged, last] and names[0] in ("init", "set_experiment")
    assert "mine" in str(remote.calls[0]) and "run" in str(remote.calls[:2])
    assert next(call for call in remote.calls if call[0] == logged)[1][0]["pretrain/energy"] == -1.5


def test_a_sink_that_fails_is_left(monkeypatch: pytest.MonkeyPatch):
    """With one warning, whatever it raises; what is shown goes on."""

    class Broken:
        def __init__(self, *_: str):
            pass

        def log(self, *_: Any) -> None:
            raise ConnectionError("no route")

        def close(self) -> None:
            raise AssertionError("it was left")

    monkeypatch.setitem(SINKS, "jsonl", Broken)
    shown: list[Any] = []
    with also(["jsonl:x"], "run", shown.append) as emit:
        emit(STEP)
        emit(STEP)
    assert [event["event"] for event in shown] == ["step", "warning", "step"] and "no route" in shown[1]["text"]


def test_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Before a run begins: nothing is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    for wanted, words in (("tensorbord", "did you mean"), ("wandb", "not installed"), ("jsonl", "no name")):
        with pytest.raises(InputError, match=words), opened([wanted], "run", pytest.fail):
            pass
    (tmp_path / "file").touch()
    for wanted, words in (([f"jsonl:{tmp_path / 'new'}", "wandb"], "not installed"), (["tensorboard:file"], "opened")):
        pytest.importorskip("tensorboardX")
        with pytest.raises(InputError, match=words), opened(wanted, "run", pytest.fail):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "nothing is left behind"
    study = tmp_path / "study.toml"
    study.write_text('kind = "diagram"\n[system]\nmodel = "ising"\nlattice = { kind = "chain", size = 8 }\n'
                     '[pretrain]\nat = { h = 1.0 }\n[adapt]\npoints = { h = [0.9] }\n')  # fmt: skip
    assert main(["run", str(study), "--log-to", "tensorbord"]) == 2
    assert "did you mean 'tensorboard'" in capsys.readouterr().err and not (tmp_path / "runs").exists()
