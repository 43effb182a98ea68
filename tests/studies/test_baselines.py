"""Rivals at the same points: what they give, what is said of them, and that a run with them resumes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import optax
import pytest

import wavefoundry as wf
from tests.small import ISING_8
from wavefoundry.artifacts import spec as study_file
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.reports import html, rivals, view
from wavefoundry.studies import perform, run_study
from wavefoundry.studies.diagram.baselines import curve, farthest, spread
from wavefoundry.studies.diagram.comparison import compared, seconds

pytestmark = pytest.mark.integration

STUDY = (
    ISING_8
    + """\
precision = "float64"
[pretrain]
at = { h = 1.0 }
steps = 40
[adapt]
points = { h = [0.6, 1.2] }
samples = 512
rounds = 2
full_steps = 10
[evaluate]
samples = 512
chains = 32
[baselines]
seeds = 2
"""
)
KINDS = ["scratch", "warm-chain", "random-backbone", "deep"]


def spec_of(*overrides: str, text: str = STUDY) -> Any:
    return study_file.loads(text, overrides=overrides)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("rivals") / "out"
    return folder, run_study(spec_of(), folder)


def test_every_rival_has_its_numbers(run: tuple[Path, dict[str, Any]]):
    """Heads on an untrained network are far off; a training from scratch and warm starts are near the exact energy."""
    _, summary = run
    found = summary["baselines"]
    assert found["seeds"] == [0, 1] and found["deep"] == {"h": 0.6} and found["method"] == "head"
    by_kind = {one["kind"]: one for one in found["methods"]}
    assert list(by_kind) == ["transition", *KINDS]
    for kind, one in by_kind.items():
        assert one["seeds"] == 2 and len(one["relative_error"]) == 2 and one["cost"]["point"] > 0
        assert one["cost"]["amortised"] == pytest.approx(one["cost"]["start"] / 2 + one["cost"]["point"])
        for entry in one["relative_error"]:
            assert entry["lowest"] <= entry["mean"] <= entry["highest"]
        assert (one["cost"]["start"] == 0) == (kind == "scratch")
    errors = {kind: [entry["mean"] for entry in one["relative_error"]] for kind, one in by_kind.items()}
    assert max(errors["scratch"]) < 2e-3 and max(errors["warm-chain"]) < 2e-3
    assert min(errors["random-backbone"]) > 0.02 and by_kind["random-backbone"]["against"] == ["lower", "lower"]
    assert by_kind["deep"]["against"][1] == "lower", "pre-trained at h = 0.6, seen at h = 1.2"
    own = summary["points"][0]
    assert by_kind["transition"]["energy"][0] != own["energy"], "a mean over two seeds"
    assert by_kind["warm-chain"]["cost"]["start"] == pytest.approx(by_kind["transition"]["cost"]["start"])


def test_the_report_says_where_it_wins(run: tuple[Path, dict[str, Any]]):
    folder, summary = run
    said = summary["baselines"]["words"]
    assert len(said) == 4 and all("CPU s" in text for text in said)
    assert "lower everywhere" in said[2] and "h = 0.6" in said[3]
    records = view.parsed(summary)
    table = rivals.comparison_table(records)
    assert table is not None and [row[0] for row in table.body][1] == "from scratch"
    assert rivals.rivals_figure(records) is not None
    page = html.render(*html.read_run(folder))
    assert "Against its rivals" in page and "from scratch" in page
    plain = {key: value for key, value in summary.items() if key != "baselines"}
    assert rivals.comparison_table(view.parsed(plain)) is None and "Against its rivals" not in html.render(plain, [])


@pytest.mark.slow
def test_an_interrupted_run_goes_on_bit_by_bit(run: tuple[Path, dict[str, Any]], tmp_path: Path):
    _, summary = run
    out, stops = tmp_path / "out", 0
    for attempt in range(80):
        seen: list[str] = []

        def watch(event: dict[str, Any], seen: list[str] = seen) -> None:
            seen += [event["event"]] if event["event"] in ("point", "step", "baseline") else []

        with contextlib.suppress(Interrupted):
            stop = lambda seen=seen: 15 if len(seen) > 12 else None  # noqa: E731
            done = perform(spec_of(), out, stop, attempt > 0, emit=watch)
            break
        stops += 1
    assert stops > 1
    for one, two in zip(done["baselines"]["methods"], summary["baselines"]["methods"], strict=True):
        assert {k: v for k, v in one.items() if k != "cost"} == {k: v for k, v in two.items() if k != "cost"}


def test_the_diagram_itself_is_what_it_is_without_rivals(run: tuple[Path, dict[str, Any]], tmp_path: Path):
    _, summary = run
    alone = run_study(spec_of(text=STUDY.partition("[baselines]")[0]), tmp_path / "out")
    for one, two in zip(alone["points"], summary["points"], strict=True):
        assert one.keys() == two.keys()
        assert not [k for k in one if k not in ("cost", "references") and one[k] != two[k]], "references have a cost"


def test_one_network_for_all_couplings(tmp_path: Path):
    """Trained at both points and at the transition together: as it is, and with heads that are no worse."""
    summary = run_study(
        spec_of('baselines.kinds=["foundation", "foundation-head"]', "baselines.seeds=1", "pretrain.steps=80"),
        tmp_path / "out",
    )
    ours, given, tuned = summary["baselines"]["methods"]
    assert given["cost"]["start"] == tuned["cost"]["start"], "trained once"
    assert max(entry["mean"] for entry in given["relative_error"]) < 1e-2, "as it is, at points it was trained at"
    for before, after, *bars in zip(
        given["energy"], tuned["energy"], given["energy_error"], tuned["energy_error"], strict=True
    ):
        assert after < before + 4 * np.hypot(*bars)
    assert ours["kind"] == "transition" and "one network for all couplings" in summary["baselines"]["words"][0]


def test_couplings_are_spread():
    points = [{"h": float(h)} for h in np.linspace(0, 4, 9)]
    assert [p["h"] for p in spread(points, {"h": 1.0})] == [1.0, 4.0, 2.5, 0.0, 0.5]
    assert spread(points[:1], {"h": 1.0}) == [{"h": 1.0}, {"h": 0.0}]


def test_python_holds_a_map_against_rivals():
    model = wf.models.vit(width=8, layers=1, heads=2, patch=2)
    base = wf.pretrain(wf.lattice.ising_chain(8), model, steps=30)
    kinds = ["scratch", "warm-chain"]
    diagram = wf.map(
        base,
        {"h": [0.8]},
        samples=512,
        rounds=2,
        full_steps=5,
        baselines=kinds,
        evaluate={"samples": 512, "chains": 32},
    )
    found = diagram.summary["baselines"]
    assert [one["kind"] for one in found["methods"]] == ["transition", *kinds]
    assert found["methods"][0]["energy"] == [diagram.points[0]["energy"]]
    assert found["methods"][2]["cost"]["start"] == found["methods"][0]["cost"]["start"] > 0
    wrong: list[Any] = [["scrach"], "scratch", {"kinds": ["deep"], "deep": {"J": 1.0}}]
    for baselines in wrong:
        with pytest.raises(InputError, match="scratch|names no rivals|pretrain.at"):
            wf.map(base, {"h": [0.8]}, baselines=baselines)


def test_rivals_are_trained_by_the_optimiser_of_the_map():
    """One that does nothing: the network from scratch stays as it began, near the energy -h N of equal amplitudes."""
    model = wf.models.vit(width=8, layers=1, heads=2, patch=2)
    base = wf.pretrain(wf.lattice.ising_chain(8), model, steps=30)
    quick: dict[str, Any] = {"full_steps": 5, "evaluate": {"samples": 512, "chains": 32}, "baselines": ["scratch"]}
    diagram = wf.map(base, {"h": [0.8]}, "full", optimiser=optax.sgd(0.0), **quick)
    ours, scratch = diagram.summary["baselines"]["methods"]
    assert ours["energy"][0] < -9.0  # as pre-trained; the ground state has -9.37
    assert scratch["energy"][0] > -8.0


def record(energy: float, error: float, relative: float, cost: float = 2.0, **more: Any) -> dict[str, Any]:
    spent = {"cpu_seconds": cost, "wall_seconds": cost, "compile_seconds": 0.0}
    known = {"relative_error": relative, "v_score": relative, "exact_energy": -10.0, "cost": spent}
    return {"energy": energy, "energy_error": error, **known, **more}


def test_the_comparison_follows_from_the_numbers():
    """Made up: at the first point ours is lower, at the second as low, at the third higher."""
    points = [{"h": float(h)} for h in (1, 2, 3)]
    start = {"cpu_seconds": 30.0, "wall_seconds": 30.0, "compile_seconds": 0.0}
    adapt = {"cpu_seconds": 9.0, "wall_seconds": 9.0, "compile_seconds": 3.0}
    ours = [record(-9.9, 0.01, 1e-2), record(-9.8, 0.01, 2e-2), record(-9.7, 0.01, 3e-2)]
    course = [[100, -5.0], [200, -9.75], [300, -9.81], [400, -9.85]]
    theirs = [record(-9.85, 0.01, 15e-3, 40.0, curve=course), record(-9.81, 0.01, 19e-3, 40.0, curve=course)]
    theirs.append(record(-9.8, 0.01, 2e-2, 40.0, curve=course))
    rows = [
        {"kind": "transition", "seed": 0, "points": ours, "start": start, "adapt": adapt},
        {"kind": "scratch", "seed": 0, "points": theirs, "start": None, "adapt": start},
    ]
    found = compared(rows, points, None, "head")
    transition, scratch = found["methods"]
    assert scratch["against"] == ["lower", "equal", "higher"]
    assert transition["cost"] == {"start": 30.0, "point": 2.0, "amortised": 12.0}
    assert scratch["cost"] == {"start": 0.0, "point": 10.0, "amortised": 10.0}
    assert found["equal_error"][0] == {"steps": [None], "ratio": 20.0, "at_least": True}
    assert found["equal_error"][1] == {"steps": [300], "ratio": 15.0, "at_least": False}
    assert found["equal_error"][2] == {"steps": [200], "ratio": 10.0, "at_least": False}
    (said,) = found["words"]
    assert "lower at h = 1, as low at h = 2, higher at h = 3" in said and "2 CPU s against 10" in said
    assert "takes 15 times as long (median; 1 of 3 points do not reach it)" in said
    theirs[1]["curve"] = course[:2]
    (said,) = compared(rows, points, None, "head")["words"]
    assert "takes at least 20 times as long (median; 2 of 3 points do not reach it)" in said


def test_cpu_seconds_without_compiling_on_a_busy_machine():
    """Half of the wall time is ours, and half of it was compiling: half of the CPU seconds are left, as when quiet."""
    quiet = {"cpu_seconds": 10.0, "wall_seconds": 10.0, "compile_seconds": 5.0}
    busy = {"cpu_seconds": 10.0, "wall_seconds": 20.0, "compile_seconds": 10.0}
    cores = {"cpu_seconds": 15.0, "wall_seconds": 10.0, "compile_seconds": 5.0}
    assert [seconds(cost) for cost in (quiet, busy, cores)] == [5.0, 5.0, 10.0]


def test_over_seeds_the_error_bar_is_that_of_the_seeds():
    points = [{"h": 1.0}]
    cost = {"cpu_seconds": 1.0, "wall_seconds": 1.0, "compile_seconds": 0.0}
    rows = [
        {"kind": kind, "seed": seed, "points": [record(energy, 1e-4, 1e-2)], "start": cost, "adapt": cost}
        for kind, energies in (("transition", (-9.0, -9.4)), ("deep", (-9.1, -9.2)))
        for seed, energy in enumerate(energies)
    ]
    found = compared(rows, points, {"h": 5.0}, "head")
    assert found["methods"][0]["energy_error"][0] == pytest.approx(0.2)
    assert found["methods"][1]["against"] == ["equal"] and "pre-training at h = 5" in found["words"][0]


def test_small_parts():
    assert farthest([{"h": 0.5}, {"h": 1.2}], {"h": 1.0}) == {"h": 0.5}
    course = curve(list(np.linspace(0.0, -1.0, 101)))
    assert len(course) == 50 and course[-1][0] == 101 and course[0][1] > course[-1][1]
    assert curve([]) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('baselines.kinds=["scratch", "scratch"]', "named twice"),
        ('baselines.kinds=["scrach"]', "scratch"),
        ("baselines.kinds=[]", "at least 1"),
        ("baselines.deep={J = 1.0}", "does not name the couplings"),
        ("baselines.seeds=0", "at least 1"),
        ("baselines.seed=2", "unknown key"),
    ],
)
def test_mistakes_are_refused(change: str, words: str):
    with pytest.raises(InputError) as info:
        spec_of(change)
    assert words in str(info.value)


def test_a_list_at_the_top_stands_for_kinds():
    text = 'baselines = ["deep"]\n' + STUDY.partition("[baselines]")[0]
    spec = spec_of(text=text)
    assert spec.baselines.kinds == ["deep"] and spec.baselines.seeds == 1
    assert study_file.loads(study_file.dumps(spec)) == spec
    with pytest.raises(InputError, match="needs a head"):
        spec_of('wavefunction={kind = "dense"}', "adapt.method=full", text=text)
