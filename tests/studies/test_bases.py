"""Several bases: which one a coupling is adapted from, and where their energies cross."""

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
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.core.records import typed
from wavefoundry.core.records.diagram import Crossing
from wavefoundry.problems import exact, lattice
from wavefoundry.reports.lines import crossing_words
from wavefoundry.studies import perform, run_study
from wavefoundry.studies.diagram import choice

pytestmark = pytest.mark.integration

CHAIN = """
kind = "diagram"
[system]
model = "j1j2"
lattice = { kind = "chain", size = 8 }
[wavefunction]
patch = 2
width = 16
layers = 1
precision = "float64"
[pretrain]
at = { J2 = [0.2, 0.8] }
together = false
steps = 100
[adapt]
points = { J2 = [0.1, 0.4, 0.6, 0.9] }
samples = 512
rounds = 3
[evaluate]
samples = 512
chains = 32
"""


def spec_of(*overrides: str, text: str = CHAIN) -> Any:
    return study_file.loads(text, overrides=overrides)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("bases") / "out"
    return folder, run_study(spec_of(), folder)


def record(energy: float, error: float = 0.01, v: float = 1e-3, **terms: float) -> dict[str, Any]:
    named = {name: {"value": value, "error": 0.0} for name, value in terms.items()}
    return {"energy": energy, "energy_error": error, "v_score": v, "terms": named, "cost": {}, "couplings": {}}


def test_each_side_takes_its_own_base(run: tuple[Path, dict[str, Any]]):
    """The ground state of 8 spins changes its momentum at J2 = 0.5 exactly: the energies of the bases cross there."""
    folder, summary = run
    assert [base["couplings"]["J2"] for base in summary["bases"]] == [0.2, 0.8]
    assert [point["base"]["index"] for point in summary["points"]] == [0, 0, 1, 1]
    assert summary["status"] == "complete" and "trained_together" not in summary["pretrain"]
    (crossing,) = summary["crossings"]
    assert crossing["coupling"] == "J2" and crossing["bases"] == [0, 1]
    assert crossing["between"] == [{"J2": 0.4}, {"J2": 0.6}]
    assert abs(crossing["value"] - 0.5) < 0.06, "either state is a little above the lowest one of its momentum"
    assert 0 < crossing["error"] < 0.06
    for point in summary["points"][1:3]:  # on either side of the change both bases were adapted
        assert [one["index"] for one in point["base"]["tried"]] == [0, 1]
        low = min(point["base"]["tried"], key=lambda one: one["energy"])
        assert point["energy"] == low["energy"]
    for point in summary["points"]:
        assert point["relative_error"] < 0.04
        energies = [
            sum(value * base["terms"][name]["value"] for name, value in point["couplings"].items())
            for base in summary["bases"]
        ]
        assert point["base"]["zero_shot"] == pytest.approx(energies)


def test_states_of_a_run_open_with_their_own_base(run: tuple[Path, dict[str, Any]]):
    folder, summary = run
    diagram = wf.open(folder)
    assert isinstance(diagram, wf.Diagram)
    for J2 in (0.1, 0.9):
        state, system = diagram.state(J2=J2), lattice.build("j1j2", "chain", (8,), J2=J2)
        vector = state.statevector()
        hamiltonian = np.asarray(
            sum(c * dense_matrix(op) for c, op in zip(system.couplings, system.operators, strict=True))
        )
        energy = float(np.real(vector.conj() @ hamiltonian @ vector))
        record = state.record
        assert abs(energy - record["energy"]) < 5 * record["energy_error"], "a false alarm in 1e6"


@pytest.mark.slow
def test_an_interrupted_run_goes_on_bit_by_bit(run: tuple[Path, dict[str, Any]], tmp_path: Path):
    """Stopped at every third event that is worth it, until it ends."""
    folder, summary = run
    count, out = 0, tmp_path / "out"
    for attempt in range(60):
        state = {"left": 2}

        def watch(event: dict[str, Any], state: dict[str, int] = state) -> None:
            state["left"] -= event["event"] in ("point", "step", "round")

        with contextlib.suppress(Interrupted):
            done = perform(
                spec_of(), out, lambda state=state: 15 if state["left"] < 0 else None, attempt > 0, emit=watch
            )
            break
        count += 1
    assert count > 5
    for name in ("points", "bases"):
        for one, two in zip(done[name], summary[name], strict=True):
            assert without_cost(one) == without_cost(two)
    assert done["crossings"] == json.loads(json.dumps(summary["crossings"]))


def without_cost(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_cost(v) for k, v in value.items() if k != "cost"}
    return [without_cost(v) for v in value] if isinstance(value, list) else value


def test_the_better_state_is_the_lower_one_and_within_error_bars_the_one_with_less_variance():
    assert choice.better(record(-1.1), record(-1.0)) and not choice.better(record(-1.0), record(-1.1))
    assert choice.better(record(-1.0, v=1e-4), record(-1.01, v=1e-3))
    assert not choice.better(record(-1.02, v=1e-2), record(-1.0, v=1e-3))
    nothing = record(0.0) | {"energy": None, "v_score": None}
    assert choice.better(record(1.0), nothing) and not choice.better(nothing, record(1.0))
    assert choice.best({3: nothing, 5: record(-1.0), 7: record(-2.0)}) == 7


def test_the_boundary_moves_until_both_sides_agree():
    """Zero-shot energies put the change between points 1 and 2; adapted ones between 3 and 4."""
    points = [{"h": float(h)} for h in range(6)]
    pairs = choice.neighbours(points)
    truth = {(b, p): record([-1.0 - (p < 3.5), -1.5][b]) for b in (0, 1) for p in range(6)}
    start = {(0, 0), (0, 1), (1, 2), (1, 3), (1, 4), (1, 5)}
    found: dict[tuple[int, int], Any] = {}
    for _ in range(20):
        now = choice.choose(start, found, pairs)
        if now.pairs == set(found):
            break
        new = min(now.pairs - set(found))
        found[new] = truth[new]
    assert now.bases == [0, 0, 0, 0, 1, 1]
    assert set(found) == start | {(1, 1), (0, 2), (0, 3), (0, 4)}


def test_neighbours_on_a_grid():
    points = [{"a": a, "b": b} for a in (0.0, 2.0, 1.0) for b in (5.0, 4.0)]
    found = {(i, j, name) for i, j, name in choice.neighbours(points)}
    assert found == {(0, 4, "a"), (4, 2, "a"), (1, 5, "a"), (5, 3, "a"), (1, 0, "b"), (3, 2, "b"), (5, 4, "b")}


def test_a_crossing_of_known_curves_is_found_within_its_error():
    """E_0 = -1 - (x - 0.3)^2 / 5 and E_1 = -1.1 + (0.6 - x) cross where x^2 / 5 - 1.12 x + 0.518 = 0."""
    root = float(min(np.roots([0.2, -1.12, 0.518])))

    def at(b: int, x: float) -> dict[str, Any]:
        energy, slope = [(-1 - (x - 0.3) ** 2 / 5, -(x - 0.3) / 2.5), (-1.1 + 0.6 - x, -1.0)][b]
        return record(energy, 1e-4, x=slope) | {"couplings": {"x": x}}

    points = [{"x": 0.4}, {"x": 0.6}]
    found = {(b, p): at(b, points[p]["x"]) for b in (0, 1) for p in (0, 1)}
    (one,) = choice.crossings(points, [0, 1], found, choice.neighbours(points))
    assert 0.4 < root < 0.6 and abs(one["value"] - root) < 1e-3 and 1e-4 < one["error"] < 0.01
    assert crossing_words(typed(Crossing, one)).startswith("x = 0.508")
    far = {place: {**row, "energy_error": 3.0} for place, row in found.items()}
    (noisy,) = choice.crossings(points, [0, 1], far, choice.neighbours(points))
    assert crossing_words(typed(Crossing, noisy)) == "some x between 0.4 and 0.6"


def test_python_maps_from_several_bases():
    points = {"h": [0.5, 0.9, 1.4, 3.0]}
    settings: dict[str, Any] = {"steps": 30, "walkers": 64}
    system = wf.lattice.ising_chain(8)
    model = wf.models.vit(width=8, layers=1, heads=2, patch=2)
    bases = [wf.pretrain(system.at(h=h), model, seed=k, **settings) for k, h in enumerate((0.6, 2.0))]
    diagram = wf.map(bases, points, steps=10, samples=256, evaluate={"samples": 256, "chains": 32})
    chosen = [point["base"]["index"] for point in diagram.points]
    assert chosen[0] == 0 and chosen[-1] == 1 and chosen == sorted(chosen)
    for point in diagram.points:
        assert point["energy"] > exact.ising_chain(8, point["couplings"]["h"]).energy - 5 * point["energy_error"]
    state = diagram.state(h=3.0)
    assert state.record["base"]["index"] == 1 and len(diagram.summary["bases"]) == 2
    with pytest.raises(InputError, match="different systems"):
        wf.map([bases[0], wf.pretrain(wf.lattice.ising_chain(6), model, steps=1, walkers=64)], points)
    with pytest.raises(InputError, match="no base"):
        wf.map([], points)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("pretrain.at={J2 = [0.2, 0.2]}", "named twice"),
        ("pretrain.together=1", "true or false"),
        ("pretrain.apart=true", "together"),
    ],
)
def test_mistakes_are_refused(change: str, words: str):
    with pytest.raises(InputError) as info:
        spec_of(change)
    assert words in str(info.value) or "pretrain" in str(info.value)


def test_of_one_base_nothing_changes():
    spec = spec_of("pretrain.at={J2 = 0.2}", "pretrain.together=true")
    assert spec.of_bases() == [spec]


def test_points_belong_to_the_nearest_base_or_to_both():
    points = [{"J2": J2} for J2 in (0.3, 0.5, 0.9)]
    assert choice.nearest(points, [{"J2": 0.4, "J1": 1.0}, {"J2": 0.6, "J1": 1.0}]) == [[0, 1], [1, 2]]
