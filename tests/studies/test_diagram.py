"""Whole studies on small chains: complete results, and resumed runs that equal uninterrupted ones bit by bit."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import pytest
from scipy import stats

import wavefoundry as wf
from tests.small import ISING_8
from wavefoundry.adapt.head import tuned_on
from wavefoundry.artifacts import signals
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.bundles import read_bundle
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.core.meter import METER
from wavefoundry.engine.sampling import full_sum
from wavefoundry.engine.vmc import local_energies
from wavefoundry.problems import exact
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.studies import run_study

STUDY = (
    ISING_8
    + """\
[pretrain]
at = { h = 1.0 }
steps = 6
block = 2
walkers = 64
sampling = "metropolis"
[adapt]
points = { h = [0.8, 0.9, 1.2] }
steps = 10
samples = 256
rounds = 2
full_steps = 4
[evaluate]
samples = 256
chains = 32
[output]
checkpoint_every = 2
"""
)


def study(*overrides: str, text: str = STUDY) -> Any:
    return study_file.loads(text, overrides=overrides)


FULL, ZERO = "adapt.method=full", "adapt.method=zero-shot"

# Everything the result promises by name, whatever the method
SUMMARY = ["schema", "kind", "status", "system", "pretrain", "points", "cost", "versions"]
PRETRAIN = ["couplings", "steps", "energy", "energy_error", "v_score", "cost"]
COST = ["cpu_seconds", "wall_seconds", "compile_seconds", "compilations", "saved_seconds", "tracing_seconds"]
POINT = [
    "couplings",
    "method",
    "energy",
    "energy_error",
    "energy_per_site",
    "variance",
    "v_score",
    "r_hat",
    "ess",
    "pool",
    "exact_energy",
    "relative_error",
    "observables",
    "terms",
    "trusted",
    "flags",
    "cost",
]


class Done:
    """A finished study with its files."""

    def __init__(self, folder: Path, summary: dict[str, Any], events: list[dict[str, Any]]):
        self.folder, self.summary, self.events = folder, summary, events
        self.written = json.loads((folder / "summary.json").read_text())
        self.points = summary["points"]
        self.log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Done]:
    """``finished(*overrides)``: an uninterrupted run of the study, made once."""
    known: dict[tuple[str, ...], Done] = {}

    def get(*overrides: str) -> Done:
        if overrides not in known:
            folder, events = tmp_path_factory.mktemp("run") / "out", []
            known[overrides] = Done(folder, run_study(study(*overrides), folder, emit=events.append), events)
        return known[overrides]

    return get


@pytest.mark.parametrize("method", ["head", "full", "zero-shot"])
def test_the_summary_has_every_promised_name(finished: Any, method: str):
    done = finished() if method == "head" else finished(f"adapt.method={method}")
    found = done.written
    assert set(SUMMARY) <= set(found) and found["kind"] == "diagram" and found["status"] == "complete"
    assert set(PRETRAIN) <= set(found["pretrain"]) and found["pretrain"]["steps"] == 6
    assert "Pauli" in found["convention"]
    assert set(found["versions"]) >= {"wavefoundry", "jax", "netket"}
    assert [point["couplings"]["h"] for point in found["points"]] == [0.8, 0.9, 1.2], "in the order of the study file"
    for point in found["points"]:
        assert set(POINT) <= set(point) and point["method"] == method
        assert set(point["couplings"]) == {"J", "h"} and point["couplings"]["J"] == 1.0
        assert set(point["terms"]) == {"J", "h"} and {"m2", "correlation_1"} <= set(point["observables"])
        assert all(set(entry) == {"value", "error", "bias"} for entry in point["terms"].values())
        own = {"value", "error", "exact", "z", "drift", "bias", "verdict", "why"}
        assert all(set(entry) - {"at"} == own for entry in point["observables"].values())
        if method == "head":
            assert point["pool"]["draws"] >= 1 and 0.0 < point["pool"]["ess_min"] <= 1.0
        else:
            assert point["pool"] is None
        assert isinstance(point["trusted"], bool) and all(isinstance(flag, str) for flag in point["flags"])
    for cost in (found["cost"], found["pretrain"]["cost"], *(point["cost"] for point in found["points"])):
        assert set(cost) == set(COST) and all(value >= 0 for value in cost.values())


@pytest.mark.parametrize("method", ["head", "full", "zero-shot"])
def test_numbers_of_a_point_belong_together(finished: Any, method: str):
    """Energy = sum of couplings times terms, exact references of the closed form, and nothing below them by 5 errors
    (one in 3 million; errors of 32 chains are themselves uncertain by an eighth).
    """
    done = finished() if method == "head" else finished(f"adapt.method={method}")
    for point in done.points:
        total = sum(value * point["terms"][name]["value"] for name, value in point["couplings"].items())
        assert total == pytest.approx(point["energy"], rel=1e-6)
        assert point["energy_per_site"] == pytest.approx(point["energy"] / 8)
        reference = exact.ising_chain(8, point["couplings"]["h"])
        assert point["exact_energy"] == pytest.approx(reference.energy, rel=1e-12)
        error = (point["energy"] - reference.energy) / abs(reference.energy)
        assert point["relative_error"] == pytest.approx(abs(error), abs=1e-12)
        assert point["energy"] > reference.energy - 5 * point["energy_error"]
        assert point["v_score"] == pytest.approx(8 * point["variance"] / point["energy"] ** 2)
        assert 0.0 <= point["observables"]["m2"]["value"] <= 1.0


def test_adaptation_lowers_the_energy(finished: Any):
    """Heads and all weights against the pre-trained state evaluated as it is: 4 error bars of the difference."""
    start = finished(ZERO).points
    for overrides in ((), (FULL,)):
        for before, after in zip(start, finished(*overrides).points, strict=True):
            error = np.hypot(before["energy_error"], after["energy_error"])
            assert after["energy"] < before["energy"] + 4 * error
        gains = [b["energy"] - a["energy"] for b, a in zip(start, finished(*overrides).points, strict=True)]
        assert max(gains) > 0.05, "and somewhere by a lot"


def test_a_head_that_fresh_samples_show_worse_is_given_up(
    finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Heads spoilt after tuning: the untuned state is reported instead, and that more was to be gained."""

    def spoilt(*args: Any) -> Any:
        tuned = tuned_on(*args)
        return tuned._replace(weights=3 * tuned.weights, gain=tuned.gain + 1.0)

    monkeypatch.setattr("wavefoundry.studies.diagram.points.tuned_on", spoilt)
    points = run_study(study(), tmp_path / "out")["points"]
    for before, after in zip(finished(ZERO).points, points, strict=True):
        assert after["energy"] < before["energy"] + 5 * np.hypot(before["energy_error"], after["energy_error"])
        assert "NOT-CONVERGED" in after["flags"]


@pytest.mark.parametrize("samples", [256, 512])
def test_a_good_state_is_not_tuned_away(samples: int):
    """Heads fitted to the noise of few samples have wide error bars, within which they would be as low as any."""
    system = wf.lattice.build("xxz", "chain", 8, Jz=1.0)
    base = wf.pretrain(system.at(Jz=0.5), wf.models.vit(patch=2, width=8, layers=1, heads=2), steps=30, walkers=64)
    found = wf.map(base, {"Jz": [0.5]}, samples=samples, evaluate={"samples": samples}).points[0]
    assert found["v_score"] < 10 * base.record["v_score"] + 1e-6
    assert found["energy"] < base.energy + 1e-3


def test_files_of_a_run(finished: Any):
    done = finished()
    present = {path.name for path in done.folder.iterdir()}
    assert {"spec.toml", "summary.json", "points.csv", "log.jsonl", "manifest.json", "artifacts"} <= present
    assert not list(done.folder.rglob("*.pkl")) and not list(done.folder.rglob("*.pickle"))
    directory = RunDirectory.open(done.folder)
    assert directory.verify() == []
    assert study_file.loads(directory.spec_text) == study()
    arrays, _ = read_bundle(done.folder / "artifacts" / "base")
    assert arrays["walkers"].shape == (64, 8) and any("head" in name for name in arrays)
    listed = json.loads((done.folder / "manifest.json").read_text())["files"]
    assert {"summary.json", "points.csv", "log.jsonl", "artifacts/base/arrays.safetensors"} <= set(listed)


def test_damage_is_found(finished: Any, tmp_path: Path):
    folder = shutil.copytree(finished().folder, tmp_path / "out")
    text = (folder / "points.csv").read_text()
    (folder / "points.csv").write_text(text.replace("head", "full", 1))
    assert any("points.csv" in line for line in RunDirectory.open(folder).verify())


def test_table_and_summary_agree(finished: Any):
    done = finished()
    with open(done.folder / "points.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row, point in zip(rows, done.written["points"], strict=True):
        assert float(row["couplings.h"]) == point["couplings"]["h"]
        for name in ("energy", "energy_error", "v_score", "exact_energy", "relative_error"):
            assert float(row[name]) == point[name]
        assert float(row["observables.m2.value"]) == point["observables"]["m2"]["value"]
        assert float(row["terms.h.error"]) == point["terms"]["h"]["error"]
        assert int(row["pool.draws"]) == point["pool"]["draws"]
        assert row["flags"] == ";".join(point["flags"]) and row["trusted"] == str(point["trusted"]).lower()


def test_the_log_tells_the_story(finished: Any):
    done = finished()
    kinds = [event["event"] for event in done.log]
    assert kinds[0] == "phase" and "compiling" in kinds
    steps = [event for event in done.log if event["event"] == "step"]
    assert [event["step"] for event in steps] == [2, 4, 6]
    for event in steps:
        assert {"energy", "energy_error", "variance", "v_score", "acceptance", "r_hat", "rejected"} <= set(event)
        assert event["steps"] == 6 and event["rejected"] == 0
    points = [event for event in done.log if event["event"] == "point"]
    assert len(points) == 3 and sorted(event["couplings"]["h"] for event in points) == [0.8, 0.9, 1.2]
    assert kinds.index("compiling") < kinds.index("step") < kinds.index("round") < kinds.index("point")
    shown = [{k: v for k, v in event.items() if k != "seconds_left"} for event in done.events]
    assert json.loads(json.dumps(shown)) == [{k: v for k, v in event.items() if k != "time"} for event in done.log]
    assert any("seconds_left" in event for event in done.events)


def test_several_couplings_make_a_grid(tmp_path: Path):
    """Both couplings of the Ising chain varied, pre-trained by the full sum: no error bar, no acceptance."""
    points = "adapt.points={J = [0.9, 1.1], h = [0.8, 1.2]}"
    spec = study("pretrain.at={J = 1.0, h = 1.0}", "pretrain.sampling=full-sum", "pretrain.steps=30", points)
    done = Done(tmp_path / "out", run_study(spec, tmp_path / "out"), [])
    grid = [(point["couplings"]["J"], point["couplings"]["h"]) for point in done.points]
    assert grid == [(0.9, 0.8), (0.9, 1.2), (1.1, 0.8), (1.1, 1.2)]
    steps = [event for event in done.log if event["event"] == "step"]
    assert all(event["energy_error"] == 0.0 and event["acceptance"] is None for event in steps)
    for point, (J, h) in zip(done.points, grid, strict=True):
        assert point["exact_energy"] == pytest.approx(exact.ising_chain(8, h, J).energy, rel=1e-12)
        assert point["energy"] > point["exact_energy"] - 5 * point["energy_error"]
        assert point["relative_error"] < 0.05


J1J2 = """
kind = "diagram"
[system]
model = "j1j2"
lattice = { kind = "chain", size = 8 }
[wavefunction]
patch = 2
width = 8
layers = 1
heads = 2
precision = "float64"
[pretrain]
at = { J1 = 1.0, J2 = 0.4 }
steps = 100
[adapt]
points = { J1 = [0.9, 1.0], J2 = [0.2, 0.45] }
steps = 30
samples = 1024
[evaluate]
samples = 512
chains = 32
"""


@pytest.mark.slow
def test_frustrated_chain_over_a_grid(tmp_path: Path):
    """J1-J2 chain: sign rule, complex head, fixed magnetisation, exact energies by Lanczos."""
    done = Done(tmp_path / "out", run_study(study(text=J1J2), tmp_path / "out"), [])
    grid = [(point["couplings"]["J1"], point["couplings"]["J2"]) for point in done.points]
    assert grid == [(0.9, 0.2), (0.9, 0.45), (1.0, 0.2), (1.0, 0.45)]
    assert "spin operators" in done.summary["convention"]
    # exact energies per site known from exact diagonalisation elsewhere, in units of J1 = 1
    known = {(1.0, 0.2): -0.418841652463, (1.0, 0.45): -0.380075234965}
    for point, at in zip(done.points, grid, strict=True):
        if at in known:
            assert point["exact_energy"] / 8 == pytest.approx(known[at], abs=1e-10)
        assert point["energy"] > point["exact_energy"] - 5 * point["energy_error"]
        assert point["relative_error"] < 0.02
        assert set(point["terms"]) == {"J1", "J2"} and "staggered_m2" in point["observables"]


@pytest.mark.integration
def test_several_systems_are_trained_together(tmp_path: Path):
    """A conditioned network pre-trained at two fields at once."""
    spec = study("pretrain.at={h = [0.9, 1.1]}", "wavefunction.conditioned=true", ZERO, "adapt.points={h = [1.0]}")
    summary = run_study(spec, tmp_path / "out")
    assert summary["pretrain"]["trained_together"] == [{"h": 0.9}, {"h": 1.1}]
    assert summary["pretrain"]["couplings"]["h"] == 0.9 and summary["status"] == "complete"
    assert "h = 1.1" in str(wf.load(tmp_path / "out")), "a loaded model knows them"

    def again(at: str) -> Any:
        start = (f'pretrain.warm_start="{tmp_path}/out"', "pretrain.steps=0", f"pretrain.at={at}")
        return study(*start, "wavefunction.conditioned=true", ZERO, "adapt.points={h = [1.0]}")

    for at in ("{h = [0.9, 1.1]}", "{h = 0.9}"):
        found = run_study(again(at), tmp_path / at)
        assert found["pretrain"]["trained_together"] == [{"h": 0.9}, {"h": 1.1}]
        assert found["pretrain"]["energy"] == pytest.approx(summary["pretrain"]["energy"], abs=0.1)
    with pytest.raises(InputError, match=r"trained at h = 0.9 and h = 1.1, not at h = 1.1"):
        run_study(again("{h = 1.1}"), tmp_path / "other")


@pytest.mark.integration
def test_reported_energies_are_those_of_the_heads(tmp_path: Path):
    """24 points, each with the exact energy of its own head by the full sum: the error bars cover the difference.

    Squared pulls follow F(1, 31) for error bars from 32 chains; their sum is close to chi-square of 24, scaled by
    31/29. Chains of neighbours start from common samples, which widens it a little: limits for 1e-6 on either side.
    """
    folder, count = tmp_path / "out", 24
    points = f"adapt.points={{h = {{ start = 0.6, stop = 1.4, num = {count} }}}}"
    summary = run_study(study(points, "pretrain.steps=20", "adapt.steps=5"), folder)
    state, _ = read_bundle(folder / "artifacts" / "points")
    base = wf.load(folder, wf.lattice.ising_chain(8))
    listed = enumerate_states(base.system)

    @eqx.filter_jit
    def exactly(wavefunction: Any, weights: Any, couplings: Any) -> Any:
        head = wavefunction.head.with_weights(weights.astype("float32"))
        wavefunction = eqx.tree_at(lambda w: w.head, wavefunction, head)
        family = listed.family([{}])
        batch = full_sum(wavefunction, family, listed.states, 64)
        return batch.weight[0] @ (local_energies(wavefunction, family, batch, 64)[0] @ couplings)

    pulls = []
    for i, point in enumerate(summary["points"]):
        couplings = np.array(list(point["couplings"].values()))
        energy = float(exactly(base.wavefunction, state[f"{i}/weights"], couplings))
        pulls.append((point["energy"] - energy) / point["energy_error"])
    total = np.sum(np.square(pulls)) * 29 / 31
    assert stats.chi2.ppf(1e-6, count) < total < stats.chi2.isf(1e-6, count)
    assert abs(np.mean(pulls)) < 5 / np.sqrt(count) * 1.5, "no common bias; half as much again for shared starts"


# both sides of the pre-trained point at once, and a grid seen from a corner: one neighbour first, then two at a time
SWEEPS = {
    "line": ("adapt.points={h = [1.05, 0.95, 0.9, 1.1, 0.85, 1.2, 1.3]}",),
    "grid": ("pretrain.at={J = 1.0, h = 1.0}", "adapt.points={J = [1.0, 1.1], h = [1.2, 1.3]}"),
}


@pytest.mark.integration
@pytest.mark.parametrize("sweep", ["line", "grid"])
def test_after_the_first_point_nothing_is_compiled(tmp_path: Path, sweep: str):
    seen: list[int] = []

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "point":
            seen.append(METER.now().compilations)

    # another number of samples for the grid: none of its programs is known from another test
    overrides = (*SWEEPS[sweep], "pretrain.steps=2", f"adapt.samples={384 if sweep == 'grid' else 256}")
    run_study(study(*overrides), tmp_path / "out", emit=watch)
    assert len(seen) == (7 if sweep == "line" else 4)
    assert seen[-1] == seen[0]


# Resuming. A run is stopped after its k-th checkpoint by a request that the next look at the flag finds.


class Asked:
    """Stands for a signal: asks to stop once ``reached`` says so."""

    def __init__(self, reached: Callable[[], bool]):
        self._reached = reached

    @property
    def requested(self) -> int | None:
        return 15 if self._reached() else None


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``stopping(spec, folder, saves=k)``: run, or resume, until k more checkpoints or outputs are there.

    It gives True when the run is done. ``saved``: checkpoints as ``"task at step"``, outputs as ``"task"``.
    """
    saved: list[str] = []
    save, save_output = RunDirectory.save, RunDirectory.save_output

    def counting(self: RunDirectory, name: str, step: int, arrays: Any, meta: Any) -> None:
        save(self, name, step, arrays, meta)
        saved.append(f"{name} at {step}")

    def counting_output(self: RunDirectory, name: str, arrays: Any, meta: Any) -> None:
        save_output(self, name, arrays, meta)
        saved.append(name)

    monkeypatch.setattr(RunDirectory, "save", counting)
    monkeypatch.setattr(RunDirectory, "save_output", counting_output)

    def go(spec: Any, folder: Path, *, saves: int = 10**9, when: Callable[[dict], bool] | None = None) -> bool:
        seen: list[dict] = []
        until = len(saved) + saves

        @contextlib.contextmanager
        def request() -> Iterator[Asked]:
            yield Asked(
                lambda: len(saved) >= until or any(when(event) for event in seen) if when else len(saved) >= until
            )

        monkeypatch.setattr(signals, "interrupts", request)
        try:
            run_study(spec, folder, resume=folder.exists(), emit=seen.append)
        except Interrupted as error:
            assert error.exit_code == 128 + 15
            return False
        return True

    go.saved = saved  # type: ignore[attr-defined]
    return go


TIMES = re.compile(r"cost|seconds|time|command|finished")


def numbers(value: Any) -> Any:
    """A summary or log without what may differ: costs, times, the command with the directory."""
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items() if not TIMES.search(k)}
    return [numbers(v) for v in value] if isinstance(value, list) else value


def final_state(folder: Path) -> dict[str, np.ndarray]:
    """Arrays of the model that is kept, and of the states of all points; nothing is left of the work on them."""
    assert not (folder / "tasks").exists() and not list((folder / "checkpoints").glob("*"))
    return {
        f"{model}/{name}": array
        for model in ("base", "points")
        for name, array in read_bundle(folder / "artifacts" / model)[0].items()
    }


def assert_same(folder: Path, reference: Done) -> None:
    ours, theirs = final_state(folder), final_state(reference.folder)
    assert set(ours) == set(theirs)
    for name, array in theirs.items():
        assert array.dtype == ours[name].dtype
        np.testing.assert_array_equal(ours[name], array, err_msg=name)
    assert numbers(json.loads((folder / "summary.json").read_text())) == numbers(reference.written)
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for kind in ("step", "point", "round"):
        told, expected = ([numbers(e) for e in events if e["event"] == kind] for events in (log, reference.log))
        assert told == expected, f"{kind} events: each once, with the same numbers"
    assert RunDirectory.open(folder).verify() == []


PRETRAINING = ["pretrain at 2", "pretrain at 4", "pretrain", *(f"reference.{i}" for i in range(4))]
POINTS = {
    "head": [
        "base",
        "origin",
        "tune.0",
        "point.1",
        "point.2",
        "tune.1",
        "point.0",
        "overlaps",
        "features",
        "features-along",
    ],
    "full": ["base", "point.1", "point.2", "point.0", "overlaps", "features", "features-along"],
    "zero-shot": ["base", "point.1", "point.2", "point.0", "overlaps", "features", "features-along"],
}


@pytest.mark.parametrize("method", ["head", "full", "zero-shot"])
def test_stopped_after_everything_that_is_saved(finished: Any, stopping: Any, tmp_path: Path, method: str):
    """Every split of one run: stopped after each checkpoint and each finished part, and resumed. The splits of the
    pre-training, which is the same for all methods, are made once.
    """
    overrides = () if method == "head" else (f"adapt.method={method}",)
    folder, spec, reference = tmp_path / "out", study(*overrides), finished(*overrides)
    stopping.saved.clear()
    while not stopping(spec, folder, saves=1 if method == "head" or stopping.saved else 3):
        assert not (folder / "summary.json").exists(), "no result before the end"
        assert len(stopping.saved) <= len(PRETRAINING + POINTS[method])
    assert stopping.saved == PRETRAINING + POINTS[method]
    assert_same(folder, reference)
    # the parts, over all sessions, do not exceed the whole
    summary = json.loads((folder / "summary.json").read_text())
    cost = summary["pretrain"]["cost"]
    assert summary["cost"]["cpu_seconds"] >= cost["cpu_seconds"] + summary["adapt_cost"]["cpu_seconds"] - 1e-2


def test_stopped_within_a_part(finished: Any, stopping: Any, tmp_path: Path):
    """A signal during a block: the state is saved at its end although no checkpoint is due, and twice in a row; a point
    saves itself between two rounds.
    """
    rounds = ("adapt.rounds=3", "adapt.tolerance=1e-12", "output.checkpoint_every=100")
    spec, folder, reference = study(*rounds), tmp_path / "out", finished(*rounds)
    assert not stopping(spec, folder, when=lambda event: event["event"] == "step" and event["step"] == 2)
    assert stopping.saved[-1] == "pretrain at 2"
    assert not stopping(spec, folder, when=lambda event: event["event"] == "step" and event["step"] == 4)
    assert stopping.saved[-1] == "pretrain at 4"
    within = [f"point.{i} at {k}" for i in range(3) for k in (1, 2)]
    while not stopping(spec, folder, when=lambda event: event["event"] == "round"):
        assert len(stopping.saved) < 40
    assert set(stopping.saved) & set(within), "a point was stopped between its rounds"
    assert_same(folder, reference)


def test_a_damaged_checkpoint_costs_one_checkpoint(finished: Any, stopping: Any, tmp_path: Path):
    folder = tmp_path / "out"
    assert not stopping(study(ZERO), folder, saves=2)
    newest = folder / "checkpoints" / "pretrain-00000004" / "arrays.safetensors"
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(bytes(data))
    assert stopping(study(ZERO), folder)
    steps = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [event["step"] for event in steps if event["event"] == "step"] == [2, 4, 6]
    written = json.loads((folder / "summary.json").read_text())
    assert numbers(written["points"]) == numbers(finished(ZERO).written["points"])
    assert any("pretrain-00000004" in event.get("text", "") for event in steps), "the user is told"


CHANGES = {
    "pretrain.steps": "pretrain.steps=8",
    "adapt.points.h": "adapt.points={h = [0.8, 0.9]}",
    "pretrain.seed": "pretrain.seed=1",
    "adapt.method": FULL,
    "wavefunction.precision": "wavefunction.precision=float64",
}


def test_a_changed_study_is_not_resumed(finished: Any, tmp_path: Path):
    """The keys that differ are named, and nothing in the directory is touched."""
    folder = shutil.copytree(finished(ZERO).folder, tmp_path / "out")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for key, change in CHANGES.items():
        with pytest.raises(InputError, match="has changed") as caught:
            run_study(study(ZERO, change), folder, resume=True)
        assert key in caught.value.where
    with pytest.raises(InputError, match="not empty"):
        run_study(study(ZERO), folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_finished_run_may_be_resumed_and_stays_the_same(finished: Any, stopping: Any, tmp_path: Path):
    folder = shutil.copytree(finished(ZERO).folder, tmp_path / "out")
    stopping.saved.clear()
    assert stopping(study(ZERO), folder)
    assert stopping.saved == [], "there was nothing left to do"
    assert_same(folder, finished(ZERO))
