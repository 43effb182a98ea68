"""Transitions of whole diagrams: overlaps as a task, what is claimed and what not."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import dense_matrix
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.layout import LOG
from wavefoundry.core.errors import Interrupted
from wavefoundry.problems import lattice
from wavefoundry.reports.html import read_run, render
from wavefoundry.studies import perform, run_study
from wavefoundry.studies.diagram.learned import NAME as FEATURES
from wavefoundry.studies.diagram.overlapping import NAME
from wavefoundry.studies.diagram.transitions import METHODS, scan_of

pytestmark = pytest.mark.integration

ISING = """
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 8 }
[wavefunction]
patch = 2
width = 16
layers = 1
precision = "float64"
[pretrain]
at = { h = 0.9 }
steps = 150
[adapt]
method = "auto"
target = { v_score = 1e-6 }
points = { h = [0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3] }
samples = 1024
[evaluate]
samples = 1024
chains = 32
"""


def exact_vectors(fields: list[float]) -> np.ndarray:
    found = []
    for h in fields:
        system = lattice.build("ising", "chain", (8,), h=h)
        found.append(np.linalg.eigh(dense_matrix(system.operator()))[1][:, 0])
    return np.array(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("transition") / "out"
    return folder, run_study(study_file.loads(ISING), folder)


def method(summary: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in summary["transitions"] if row["method"] == name)


def test_the_fidelity_of_a_small_chain_has_its_maximum(run: tuple[Path, dict[str, Any]]):
    """All configurations are listed, so that overlaps are exact; what is left are the states."""
    summary = run[1]
    row, fields = method(summary, "fidelity"), [point["couplings"]["h"] for point in summary["points"]]
    vectors = exact_vectors(fields)
    truth = -2 * np.log(np.sum(vectors[1:] * vectors[:-1], axis=1) ** 2) / 0.1**2 / 8
    assert np.all(np.abs(np.array(row["curve"]["value"]) - truth) < 4 * np.array(row["curve"]["error"]) + 0.01 * truth)
    assert row["verdict"] == "seen" and abs(row["value"] - 0.916) < 3 * row["error"] < 0.25, "0.916: exact curve"
    assert summary["transition"] == {name: row[name] for name in ("coupling", "value", "error", "method")}
    assert method(summary, "crossing")["verdict"] == "not seen"
    assert 0 < summary["overlaps_cost"]["cpu_seconds"] <= summary["adapt_cost"]["cpu_seconds"]
    for one in summary["transitions"]:
        assert one["method"] in METHODS and one["why"] and (one["value"] is None) == (one["verdict"] == "not seen")


def test_the_report_shows_the_transition(run: tuple[Path, dict[str, Any]]):
    text = render(*read_run(run[0]))
    assert "Transition" in text and "fidelity susceptibility" in text
    opened = wf.open(run[0])
    assert isinstance(opened, wf.Diagram) and opened.transition == run[1]["transition"]


@pytest.mark.slow
def test_a_stopped_run_keeps_its_bits(run: tuple[Path, dict[str, Any]], tmp_path: Path):
    """Stopped where the overlaps begin, and after every one of them."""
    asked = {"phase": False}

    def watch(event: dict[str, Any]) -> None:
        asked["phase"] |= event["event"] == "phase" and "overlaps" in event["text"]

    stops = 0
    for attempt in range(20):
        asked["phase"] = False
        with contextlib.suppress(Interrupted):
            done = perform(
                study_file.loads(ISING),
                tmp_path / "out",
                lambda: 15 if asked["phase"] else None,
                attempt > 0,
                emit=watch,
            )
            break
        stops += 1
    assert stops == 7, "one for each pair"
    assert done["transitions"] == run[1]["transitions"]


@pytest.mark.slow
def test_samples_give_the_fidelities_too():
    """Markov chains, method full: samples of the states are drawn; and a scan that ends before the maximum."""
    system, model = lattice.build("ising", "chain", (8,), h=0.6), wf.models.vit(width=16, layers=1, patch=2)
    base = wf.pretrain(system, model, steps=150, walkers=256, sampling="metropolis")
    fields = [0.4, 0.5, 0.6, 0.7, 0.8]
    for how, settings in (("head", {"samples": 1024}), ("full", {"full_steps": 20})):
        diagram = wf.map(base, {"h": fields}, how, evaluate={"samples": 1024, "chains": 32}, **settings)
        curve = method(diagram.summary, "fidelity")["curve"]
        kept = scan_of(diagram.points).x  # without refused points
        vectors = [diagram.state(h=h).statevector() for h in kept]
        overlaps = [abs(np.vdot(a, b)) ** 2 for a, b in zip(vectors, vectors[1:], strict=False)]
        truth = -2 * np.log(overlaps) / np.diff(kept) ** 2 / 8
        assert np.all(np.abs(np.array(curve["value"]) - truth) < 4.5 * np.array(curve["error"])), "once in 10^4"
        assert diagram.transition is None and method(diagram.summary, "fidelity")["verdict"] == "not seen"


def test_overlaps_can_be_left_out_and_need_a_line():
    from wavefoundry.studies.diagram.compose import build
    from wavefoundry.studies.progress import Context

    for overrides in (
        ["evaluate.overlaps=false"],
        ["adapt.points={ h = [0.5, 1.0] }"],
        ["pretrain.at={ h = 0.9, J = 1.0 }", "adapt.points={ h = [0.5, 0.6, 1.0], J = [1.0, 2.0] }"],
    ):
        study = build(study_file.loads(ISING, overrides=overrides), Context())
        assert NAME not in [task.name for task in study.tasks({})]
    assert NAME in [task.name for task in build(study_file.loads(ISING), Context()).tasks({})]


def test_what_comes_after_the_points_tells_how_far_it_is(run: tuple[Path, dict[str, Any]]):
    events = [json.loads(line) for line in (run[0] / LOG).read_text().splitlines()]
    parts = [(event["what"], event["done"], event["total"]) for event in events if event["event"] == "part"]
    assert [part for part in parts if part[0] == NAME] == [(NAME, k + 1, 7) for k in range(7)]
    looked_at = [part[1:] for part in parts if part[0] == FEATURES]
    assert looked_at and looked_at == [(k + 1, len(looked_at)) for k in range(len(looked_at))]
