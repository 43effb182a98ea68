"""Method "auto": how far a point climbs, what is kept, and that nothing worse ever replaces something better."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.spec_adapt import AdaptTable, TargetTable
from wavefoundry.artifacts.spec_tables import EvaluateTable
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.models import ViTSpec
from wavefoundry.models.transformer import last_blocks
from wavefoundry.problems import exact
from wavefoundry.studies import perform, run_study
from wavefoundry.studies.diagram.ladder import LadderAdaptation, Step, missed
from wavefoundry.studies.diagram.study import make_mapper
from wavefoundry.studies.task import Output

STUDY = """
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 8 }
[wavefunction]
patch = 2
width = 8
layers = 2
heads = 2
precision = "float64"
[pretrain]
at = { h = 1.0 }
steps = 80
[adapt]
method = "auto"
points = { h = [1.0, 1.1, 2.5] }
samples = 512
rounds = 2
full_steps = 15
target = { v_score = 2e-3 }
[evaluate]
samples = 512
chains = 32
"""


def spec_of(*overrides: str) -> Any:
    return study_file.loads(STUDY, overrides=overrides)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ladder") / "out"
    return folder, run_study(spec_of(), folder)


@pytest.fixture(scope="module")
def base() -> wf.Pretrained:
    model = ViTSpec(patch=2, width=8, layers=2, heads=2, precision="float64")
    return wf.pretrain(wf.lattice.ising_chain(8), model, steps=80)


@pytest.mark.integration
def test_every_point_climbs_as_far_as_it_must(run: tuple[Path, dict[str, Any]]):
    """Where the base stands nothing is done; next to it the head suffices; far away it does not."""
    _, summary = run
    at, beside, far = (point["ladder"] for point in summary["points"])
    assert [rung["rung"] for rung in at["rungs"]] == ["zero-shot"] and at["kept"] == "zero-shot"
    assert [rung["rung"] for rung in beside["rungs"]] == ["zero-shot", "head"] and beside["kept"] == "head"
    assert [rung["rung"] for rung in far["rungs"]][:3] == ["zero-shot", "head", "blocks"]
    for point in summary["points"]:
        ladder, rungs = point["ladder"], point["ladder"]["rungs"]
        assert ladder["reached"] and ladder["end"] == "the target is met" and ladder["target"] == {"v_score": 2e-3}
        assert [bool(rung["missed"]) for rung in rungs] == [True] * (len(rungs) - 1) + [False]
        assert all("V-score" in rung["missed"] for rung in rungs[:-1])
        kept = next(rung for rung in rungs if rung["rung"] == ladder["kept"])
        assert point["energy"] == kept["energy"] and point["v_score"] == kept["v_score"] <= 2e-3
        assert point["method"] == kept["rung"] and point["relative_error"] < 2e-3
        spent = sum(rung["cost"]["cpu_seconds"] for rung in rungs)
        assert point["cost"]["cpu_seconds"] == pytest.approx(spent, abs=0.01)


@pytest.mark.integration
def test_the_states_are_those_that_were_kept(run: tuple[Path, dict[str, Any]]):
    folder, _ = run
    diagram = wf.open(folder)
    assert isinstance(diagram, wf.Diagram)
    for h in (1.1, 2.5):
        state, reference = diagram.state(h=h), exact.ising_chain(8, h).energy
        vector = state.statevector()
        energy = exact.expectation(state.system.operator(), vector)
        assert abs(energy - state.energy) < 5 * state.record["energy_error"] + 1e-6
        assert energy > reference - 1e-9


@pytest.mark.slow
def test_an_interrupted_climb_goes_on_bit_by_bit(run: tuple[Path, dict[str, Any]], tmp_path: Path):
    _, summary = run
    out, stops = tmp_path / "out", 0
    for attempt in range(60):
        seen: list[str] = []

        def watch(event: dict[str, Any], seen: list[str] = seen) -> None:
            seen += [event["event"]] if event["event"] in ("point", "step", "round", "rung") else []

        with contextlib.suppress(Interrupted):
            stop = lambda seen=seen: 15 if len(seen) > 2 else None  # noqa: E731
            done = perform(spec_of(), out, stop, attempt > 0, emit=watch)
            break
        stops += 1
    assert stops > 3
    for one, two in zip(done["points"], summary["points"], strict=True):
        assert without_cost(one) == without_cost(two)


def without_cost(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_cost(v) for k, v in value.items() if k != "cost"}
    return [without_cost(v) for v in value] if isinstance(value, list) else value


@pytest.mark.integration
def test_a_hard_target_is_climbed_after_with_all_weights(base: wf.Pretrained):
    """Trainings of all weights double until the steps are used up; by the full sum V falls to next to nothing."""
    settings: dict[str, Any] = {"samples": 512, "rounds": 2, "full_steps": 20, "most_steps": 160}
    rungs = {"rungs": ["zero-shot", "head", "full"], "target": {"v_score": 1e-12}}
    diagram = wf.map(base, {"h": [0.5]}, "auto", **settings, **rungs, evaluate={"samples": 512, "chains": 32})
    (point,) = diagram.points
    ladder = point["ladder"]
    steps = [rung["steps"] for rung in ladder["rungs"]]
    assert steps[:4] == [0, 0, 20, 40] and sum(steps) <= 160 and not ladder["reached"]
    assert ladder["end"] in ("all steps are used up", "more training gave nothing better")
    scores = {rung["rung"]: rung["v_score"] for rung in ladder["rungs"]}
    assert point["v_score"] < 0.1 * scores["head"], "ten times better in V than a head, as a full training should be"
    assert point["relative_error"] < 1e-4 and point["method"] == "full"


def ladder_of(base: wf.Pretrained, points: list[dict[str, float]] | None = None, **settings: Any) -> LadderAdaptation:
    adapt = AdaptTable(**{"method": "auto", "points": {"h": 2.0}, "full_steps": 10, **settings})
    mapper = make_mapper(base.base, adapt, EvaluateTable(), base.settings, 64)
    return LadderAdaptation(mapper, points or [{"h": 2.0}])


def rung(energy: float, v: float, error: float = 0.01, **more: Any) -> Output:
    record = {"energy": energy, "energy_error": error, "v_score": v, "relative_error": None, "verdict": "upper bound"}
    return Output(record | {"flags": []} | more)


def test_the_best_is_kept_never_a_later_but_worse_one(base: wf.Pretrained):
    ladder = ladder_of(base, target={"v_score": 1e-6}, most_steps=80)
    assert ladder.climb(0, {}).next == Step("zero-shot")
    done = {"rung/0/zero-shot": rung(-10.0, 1e-1), "rung/0/head": rung(-10.5, 1e-2)}
    climb = ladder.climb(0, done)
    assert climb.kept == 1 and climb.next == Step("blocks", 0, 10) and "V-score" in climb.missed[1]
    done["rung/0/blocks"] = rung(-10.3, 1e-3)  # less variance, but higher: another state
    assert ladder.climb(0, done).kept == 1 and ladder.climb(0, done).next == Step("full", 0, 10)
    done["rung/0/full"] = rung(-10.5, 1e-4)  # as low within the bars, with less variance
    assert ladder.climb(0, done).kept == 3 and ladder.climb(0, done).next == Step("full", 1, 20)
    done["rung/0/full-2"] = rung(-10.4, 1e-5)
    climb = ladder.climb(0, done)
    assert climb.kept == 3 and climb.next == Step("full", 2, 20, 1), "from the best, at a lower rate"
    done["rung/0/full-2"] = rung(-10.5, 0.9e-4)
    climb = ladder.climb(0, done)
    assert climb.kept == 4 and climb.next == Step("full", 2, 20, 1), "kept, but no reason to train for longer"
    done["rung/0/full-2"] = rung(-10.4, 1e-5)
    done |= {"rung/0/full-3": rung(-10.4, 1e-5), "rung/0/full-4": rung(-10.4, 1e-5)}
    assert ladder.climb(0, done).next is None and ladder.climb(0, done).kept == 3
    done["rung/0/full-2"] = rung(-10.6, 1e-5)
    del done["rung/0/full-3"], done["rung/0/full-4"]
    assert ladder.climb(0, done).next == Step("full", 2, 40), "what is left of 80 steps"
    done["rung/0/full-2"] = Output(done["rung/0/head"].record | {"energy": None, "v_score": None})
    assert ladder.climb(0, done).kept == 3, "a rung without a number"


def ladder_default() -> TargetTable:
    return AdaptTable(method="auto", points={"h": 1.0}).target


def test_points_to_come_are_expected_to_climb_as_far_as_those_that_ended(base: wf.Pretrained):
    ladder = ladder_of(base, [{"h": 2.0}, {"h": 3.0}], target={"v_score": 1e-6}, most_steps=10, rungs=["head", "full"])
    assert [task.ahead for task in ladder.tasks({})] == [0.0, 0.0], "no climb has ended"
    done = {"rung/0/head": rung(-10.0, 1e-1), "rung/0/full": rung(-10.5, 1e-2), "point/0": rung(-10.5, 1e-2)}
    head, full, point, waiting = ladder.tasks(done)
    assert (head.name, point.name, waiting.name) == ("rung/0/head", "point/0", "rung/1/head")
    assert full.name in done and full.share > 0
    assert head.ahead == full.ahead == 0.0 and waiting.ahead == pytest.approx(full.share)


def test_a_target_needs_all_that_it_names():
    def words(record: dict[str, Any], **target: float) -> str:
        return missed(record, TargetTable(**target) if target else ladder_default(), 0.0)

    good = rung(-10.0, 1e-4, 0.001).record
    assert words(good) == "" and "V-score" in words(good | {"v_score": 1e-2})
    assert "relative error" in words(good | {"relative_error": 1e-3})
    assert words(good | {"relative_error": 1e-3, "v_score": 0.1}, relative_error=2e-3) == ""
    assert "V-score" in words(good | {"v_score": 0.1}, relative_error=2e-3), "without reference V stands in"
    assert "error bar 0.0001 > 1e-05" in words(good, energy_error=1e-5) and words(good, energy_error=1e-3) == ""
    assert "ABOVE-EXACT!" in words(good | {"verdict": "refused", "flags": ["LOW-ESS", "ABOVE-EXACT!"]})
    assert words(good | {"energy": None}) == "no number"


def test_the_last_blocks_are_selected(base: wf.Pretrained):
    wavefunction = base.wavefunction
    mask = last_blocks(wavefunction, 1)
    params = eqx.filter(wavefunction, eqx.is_array)
    chosen = sum(int(np.sum(m)) * (1 if isinstance(m, np.ndarray) else p.size)
                 for m, p in zip(jax.tree.leaves(mask), jax.tree.leaves(params), strict=True))  # fmt: skip
    backbone: Any = wavefunction.backbone
    block = sum(leaf[0].size for leaf in jax.tree.leaves(backbone.blocks))
    assert chosen == block + tree.count(backbone.norm) + tree.count(wavefunction.head)
    assert last_blocks(wavefunction, 2) is None, "nothing would be left out"


def test_a_network_without_a_head_is_trained_as_a_whole():
    model: Any = wf.models.dense(alpha=2, precision="float64")
    base = wf.pretrain(wf.lattice.ising_chain(8), model, steps=60)
    ladder = ladder_of(base)
    assert ladder.kinds == ["zero-shot", "full"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("adapt.target={v_score = 0.0}", "greater than 0"),
        ("adapt.target={vscore = 1e-3}", "v_score"),
        ("adapt.target={}", "names nothing"),
        ('adapt.rungs=["full", "head"]', '["head", "full"]'),
        ('adapt.rungs=["head", "head"]', "each once"),
        ("adapt.rungs=[]", "at least 1"),
        ("adapt.method=head", "method head has no target"),
    ],
)
def test_mistakes_are_refused(change: str, words: str):
    with pytest.raises(InputError) as info:
        spec_of(change)
    assert words in str(info.value)


def test_python_refuses_keys_of_another_method(base: wf.Pretrained):
    with pytest.raises(InputError, match="method head has no target"):
        wf.map(base, {"h": [0.5]}, target={"v_score": 1e-3})
