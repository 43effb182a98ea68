"""Transitions from exact states: the curves of every method, where they have their maxima, and where they have none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from wavefoundry.core.overlaps import Overlap
from wavefoundry.core.scans import FEWEST, Scan, peak, slopes
from wavefoundry.problems import exact, lattice, observables
from wavefoundry.studies.diagram.transition import best_of, line_of, transitions


def ground(system: Any, name: str, grid: np.ndarray, bars: float) -> tuple[list[dict], dict[tuple[int, int], Overlap]]:
    """Records and fidelities of exact ground states, with error bars that the method is told of."""
    states = exact.basis(system.hilbert)
    import jax

    table = np.asarray(jax.vmap(observables.measure(system))(jax.numpy.asarray(states)))
    vectors, records = [], []
    for value in grid:
        here = system.at(**{name: float(value)})
        energy, vector = exact.ground_state(here.operator())
        vectors.append(vector)
        terms = {
            k: {"value": exact.expectation(o, vector), "error": bars}
            for k, o in zip(here.names, here.operators, strict=True)
        }
        moments = dict(zip(observables.names(system), np.abs(vector) ** 2 @ table, strict=True))
        found = {}
        if "m2" in moments:
            found["binder"] = {"value": 1 - moments["m4"] / (3 * moments["m2"] ** 2), "error": bars / 100}
        records.append(
            {"couplings": here.values, "energy": energy, "energy_error": bars, "verdict": "trusted", "terms": terms,
             "observables": found}
        )  # fmt: skip
    pairs = {
        (i, j): Overlap(
            float(abs(np.vdot(vectors[i], vectors[j])) ** 2),
            1e-3 * bars,
            "",
            float(np.abs(vectors[i]) @ np.abs(vectors[j])) ** 2,
        )
        for i in range(len(grid))
        for j in (i + 1, i + 2)
        if j < len(grid)
    }
    return records, pairs


def free_fermions(n: int, grid: np.ndarray, bars: float = 0.02) -> tuple[list[dict], dict[tuple[int, int], Overlap]]:
    """The same for the Ising chain of any length, in closed form; no moments."""
    k = (2 * np.arange(n // 2) + 1) * np.pi / n
    angles = [np.arctan2(np.sin(k), h - np.cos(k)) for h in grid]
    records = []
    for h in grid:
        chain = exact.ising_chain(n, float(h))
        terms = {"h": {"value": -n * chain.sx, "error": bars}, "J": {"value": -n * chain.zz_nn, "error": bars}}
        records.append({"couplings": {"J": 1.0, "h": float(h)}, "energy": chain.energy, "energy_error": bars,
                        "verdict": "trusted", "terms": terms, "observables": {}})  # fmt: skip
    pairs = {}
    for i in range(len(grid)):
        for j in (i + 1, i + 2):
            if j < len(grid):
                fidelity = float(np.prod(np.cos((angles[i] - angles[j]) / 2) ** 2))
                pairs[i, j] = Overlap(fidelity, 0.02 * min(fidelity, 1 - fidelity), "", fidelity)
    return records, pairs


def by_method(records: list[dict], pairs: Any, model: str) -> dict[str, dict]:
    line = line_of(records)
    assert not isinstance(line, str)
    return {one["method"]: one for one in transitions(line, pairs, {}, model)}


@pytest.mark.parametrize("start", [0.5, 0.53, 0.57])
@pytest.mark.parametrize(("sites", "step"), [(64, 0.1), (64, 0.05), (20, 0.05), (1000, 0.1)])
def test_the_ising_chain_is_found_wherever_the_grid_lies(sites: int, step: float, start: float):
    """Peaks of chi_F: .98567 (20 sites), .99856 (64); of -E'': .973 (20), .99 (64)."""
    found = by_method(*free_fermions(sites, np.arange(start, start + 1.001, step)), "ising")
    at = {"fidelity": 0.98567 if sites == 20 else 1.0, "curvature": 0.973 if sites == 20 else 0.995}
    for name, where in at.items():
        assert found[name]["verdict"] == "seen", found[name]["why"]
        assert abs(found[name]["value"] - where) < max(3 * found[name]["error"], 1e-9)
        assert abs(found[name]["value"] - 1) < 0.05 and found[name]["error"] < 0.04
    assert found["crossing"]["verdict"] == "not seen", "a continuous transition on a coarse grid is no crossing"
    best = best_of(list(found.values()))
    assert best["method"] == "fidelity" and best["coupling"] == "h" and "agree" in best["why"]


@pytest.mark.parametrize("sites", [10, 12])
def test_peaks_of_exact_small_chains(sites: int):
    """Published maxima of chi_F, and the Binder ratio of the exact moments (steepest at 1.107, 1.094)."""
    system = lattice.ising_chain(sites)
    found = by_method(*ground(system, "h", np.arange(0.5, 1.501, 0.1), 1e-3), "ising")
    peaks = {10: (0.94495, 5.94634, 1.107), 12: (0.96126, 8.57788, 1.094)}[sites]
    assert abs(found["fidelity"]["value"] - peaks[0]) < 2 * found["fidelity"]["error"]
    assert max(found["fidelity"]["curve"]["values"]) == pytest.approx(peaks[1], rel=0.05)
    assert abs(found["binder"]["value"] - peaks[2]) < 2 * found["binder"]["error"]


@pytest.mark.parametrize("sites", [8, 12])
@pytest.mark.parametrize("grid", [np.arange(0.05, 0.96, 0.1), np.arange(0.0, 0.91, 0.1)])
def test_the_crossing_of_the_frustrated_chain(sites: int, grid: np.ndarray):
    """Momentum 0 and pi exchange at J2 = .5, on a point of the grid or between two; nothing is seen at .2411."""
    found = by_method(*ground(lattice.j1j2_chain(sites), "J2", grid, 1e-3), "j1j2")
    crossing = found["crossing"]
    assert crossing["verdict"] == "seen", crossing["why"]
    assert abs(crossing["value"] - 0.5) < 3 * crossing["error"] and crossing["error"] < 0.03
    assert all(one["verdict"] == "not seen" for name, one in found.items() if name != "crossing")
    assert best_of(list(found.values()))["method"] == "crossing"


def test_the_transition_without_a_gap_is_not_claimed():
    """J1-J2 chain up to .45: the transition at .2411 leaves no maximum in any curve."""
    found = by_method(*ground(lattice.j1j2_chain(10), "J2", np.arange(0.0, 0.451, 0.05), 1e-3), "j1j2")
    best = best_of(list(found.values()))
    assert best["value"] is None and best["method"] is None
    assert "end of the range" in best["why"]


def test_a_first_order_jump_without_common_samples():
    """Two levels of slopes -1 and -3 that meet at .45, states that never meet."""
    grid, records = np.arange(0.0, 1.01, 0.1), []
    for c in grid:
        slope, energy = (-1.0, -1.0 - c) if c < 0.45 else (-3.0, -0.1 - 3 * c)
        terms = {"c": {"value": slope, "error": 0.01}}
        records.append({"couplings": {"c": c}, "energy": energy, "energy_error": 0.01, "verdict": "upper bound",
                        "terms": terms, "observables": {}})  # fmt: skip
    found = by_method(records, {}, "custom")
    assert found["crossing"]["verdict"] == "seen" and "jumps" in found["crossing"]["why"]
    assert abs(found["crossing"]["value"] - 0.45) < 3 * found["crossing"]["error"]
    assert found["fidelity"]["verdict"] == "not seen"


def test_a_bad_state_is_no_transition():
    """One point unlike both its neighbours, which are like each other: its steps are left out."""
    records, pairs = free_fermions(20, np.arange(1.5, 2.51, 0.1))
    for pair in ((3, 4), (4, 5), (2, 4), (4, 6)):
        pairs[pair] = Overlap(0.5, 0.01)
    found = by_method(records, pairs, "ising")
    assert found["fidelity"]["verdict"] == "not seen" and "end of the range" in found["fidelity"]["why"]


def test_a_state_that_had_not_come_to_rest_widens_the_error_bar():
    records, pairs = free_fermions(64, np.arange(0.5, 1.501, 0.1))
    plain = by_method(records, pairs, "ising")["fidelity"]
    records[4] |= {"flags": ["NOT-CONVERGED"]}
    wide = by_method(records, pairs, "ising")["fidelity"]
    assert wide["value"] == plain["value"] and wide["error"] > 0.1 > plain["error"] and "at 0.9 had" in wide["why"]
    records[4] |= {"flags": []}
    records[9] |= {"flags": ["NOT-CONVERGED"]}
    assert by_method(records, pairs, "ising")["fidelity"]["error"] == plain["error"], "far away"


def test_noise_has_no_maximum():
    """200 flat curves of 12 values: the highest exceeds either side by three bars and 5 % in few of them."""
    rng = np.random.default_rng(0)
    x, bars = np.arange(12.0), np.full(12, 0.1)
    seen = [peak(Scan(x, 1 + bars * rng.standard_normal(12), bars)).seen for _ in range(200)]
    assert np.mean(seen) < 0.15
    assert not peak(Scan(x, np.ones(12), np.zeros(12))).seen
    assert "too few" in peak(Scan(x[: FEWEST - 1], x[: FEWEST - 1], bars[: FEWEST - 1])).why
    assert "upper end" in peak(slopes(x, x**2, bars)).why


def test_error_bars_of_maxima_cover_them():
    """100 noisy Lorentzians off the grid: inside two bars at least .85 (bars of the grid make it more)."""
    rng = np.random.default_rng(3)
    x, inside = np.arange(0.0, 2.01, 0.1), []
    for _ in range(100):
        at = rng.uniform(0.7, 1.3)
        y = 1 / (1 + ((x - at) / 0.2) ** 2)
        found = peak(Scan(x, y + 0.03 * rng.standard_normal(len(x)), np.full(len(x), 0.03)))
        inside.append(found.seen and abs(found.at - at) < 2 * found.error)
    assert np.mean(inside) > 0.85


def test_what_is_no_line_is_said():
    records = free_fermions(8, np.arange(0.5, 1.0, 0.1))[0]
    assert "no coupling varies" in str(line_of(records[:1]))
    both = [record | {"couplings": {"J": 1.0 + i, "h": 1.0 * i}} for i, record in enumerate(records)]
    assert "several couplings" in str(line_of(both))
    line = line_of([*records[:-1], records[-1] | {"verdict": "refused"}])
    assert not isinstance(line, str) and len(line.x) == len(records) - 1 and line.lost == 1
    assert math.isclose(line.x[0], 0.5)
