"""Long studies: blocks that end in time, points that are saved within, forecasts, and refusals of what cannot fit."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import wavefoundry as wf
from tests.small import ISING_8
from wavefoundry.adapt.pool import fill
from wavefoundry.artifacts import signals
from wavefoundry.artifacts.spec import loads
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.cli import main
from wavefoundry.core import memory
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.core.meter import METER
from wavefoundry.studies import forecast, run_study
from wavefoundry.studies.diagram import pretraining
from wavefoundry.studies.diagram.checks import check
from wavefoundry.studies.diagram.study import build_system, build_wavefunction

pytestmark = pytest.mark.integration

STUDY = (
    ISING_8
    + """\
[pretrain]
at = { h = 1.0 }
steps = 6
block = 4
walkers = 64
sampling = "metropolis"
[adapt]
points = { h = [0.9, 1.2] }
method = "full"
full_steps = 6
[evaluate]
samples = 256
chains = 32
"""
)


class Asked:
    """A signal that arrives once a condition holds."""

    def __init__(self, when: Any):
        self._when = when

    @property
    def requested(self) -> int | None:
        return 15 if self._when() else None


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, when: Any = lambda event: False) -> list[dict]:
    """Run or resume the study until an event says so; returns the events."""
    seen: list[dict] = []
    asked = Asked(lambda: any(when(event) for event in seen))
    monkeypatch.setattr(signals, "interrupts", lambda: contextlib.nullcontext(asked))
    with contextlib.suppress(Interrupted):
        run_study(loads(STUDY), folder, resume=folder.exists(), emit=seen.append)
    return seen


def results(folder: Path) -> Any:
    """What must not depend on interruptions and blocks."""
    summary = json.loads((folder / "summary.json").read_text())
    rows = [summary["pretrain"], *summary["points"]]
    return [{key: row[key] for key in ("energy", "energy_error", "variance", "v_score", "observables")} for row in rows]


def test_results_do_not_depend_on_blocks_or_on_stops_within_a_point(tmp_path, monkeypatch):
    steps = [event["step"] for event in run(tmp_path / "one", monkeypatch) if event["event"] == "step"]
    assert steps == [4, 6] * 3
    monkeypatch.setattr(pretraining, "DEAF", 0.0)  # every step takes too long
    before = METER.now().compilations
    slow = run(tmp_path / "slow", monkeypatch, lambda event: (event.get("phase"), event.get("step")) == ("adapt", 3))
    assert [event["step"] for event in slow if event["event"] == "step"] == [1, 2, 3, 4, 5, 6, 1, 2, 3]
    assert METER.now().compilations - before < 60
    assert not (tmp_path / "slow" / "summary.json").exists()
    directory = RunDirectory.open(tmp_path / "slow")
    found = [one for i in range(2) if (one := directory.latest(f"point.{i}")) is not None]
    assert len(found) == 1 and found[0][0] == int(found[0][1][".step"]) == 3
    for stop in (5, 2):
        more = run(tmp_path / "slow", monkeypatch, lambda event, stop=stop: event.get("step") == stop)
        assert more[-1]["event"] == "step" or (tmp_path / "slow" / "summary.json").exists()
    rest = run(tmp_path / "slow", monkeypatch)
    assert [event["step"] for event in rest if event["event"] == "step"] == [3, 4, 5, 6]
    assert results(tmp_path / "slow") == results(tmp_path / "one")
    costs = [
        point["cost"]["cpu_seconds"] for point in json.loads((tmp_path / "slow/summary.json").read_text())["points"]
    ]
    total = json.loads((tmp_path / "slow/summary.json").read_text())["adapt_cost"]["cpu_seconds"]
    assert total >= sum(costs) - 0.01
    log = [json.loads(line) for line in (tmp_path / "slow" / "log.jsonl").read_text().splitlines()]
    told = [event["step"] for event in log if event["event"] == "step" and event["phase"] == "adapt"]
    assert told == [1, 2, 3, 4, 5, 6] * 2


def test_the_forecast_of_a_pool_is_its_size():
    spec = loads(STUDY)
    system, wavefunction = build_system(spec).system, build_wavefunction(spec, build_system(spec).system)
    family = system.family([{}])
    xs = jax.vmap(system.init)(jax.random.split(jax.random.key(0), 32))
    pool = fill(wavefunction, family, xs, 16)
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(pool.local))
    assert forecast.pool_bytes(wavefunction, family, 32) == size


def test_what_cannot_fit_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys):
    large = ("system.lattice={kind='chain',size=1000}", "wavefunction.width=64", "wavefunction.heads=4")
    monkeypatch.setattr(memory, "device_memory", lambda: 2**20)
    (tmp_path / "study.toml").write_text(STUDY)
    words = [word for change in large for word in ("--set", change)]
    assert main(["run", str(tmp_path / "study.toml"), *words, "--out", str(tmp_path / "run")]) == 2
    shown = capsys.readouterr().err
    assert "GiB of memory" in shown and "pretrain.walkers" in shown and not (tmp_path / "run").exists()
    (tmp_path / "tickets.toml").write_text('kind = "tickets"\n')
    alone = wf.lattice.ising_chain(100)
    for words in (("system.lattice={kind='chain',size=100}",), ("train.sampling='full-sum'", "wavefunction.alpha=32")):
        changes = [word for change in words for word in ("--set", change)]
        assert main(["run", str(tmp_path / "tickets.toml"), *changes, "--out", str(tmp_path / "run")]) == 2
        shown = capsys.readouterr().err
        assert "GiB of memory" in shown and "train.samples" in shown and not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="a training step takes at least"):
        wf.prune(wf.models.dense(), alone, train={"samples": 4096})
    monkeypatch.setattr(memory, "device_memory", lambda: 2**50)
    check(loads(STUDY, overrides=large))


def test_durations():
    assert [forecast.duration(seconds) for seconds in (7, 240, 9000)] == ["7 s", "4 min", "2.5 h"]
