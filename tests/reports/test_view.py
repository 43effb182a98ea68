"""Reading a summary: whatever is missing becomes nan, and derived numbers follow their definitions."""

import csv
import io
import math

import pytest

from wavefoundry.core.errors import InputError
from wavefoundry.reports import course, view, view_log
from wavefoundry.reports.tables import write_csv


def run(*points, **changes):
    """The records of a run with these points."""
    each = [{"couplings": {}} | point for point in points]
    return view.parsed({"status": "complete", "points": each} | changes)


def test_a_row_is_per_site_and_keeps_its_definitions(fabricate):
    summary = fabricate.summary(fields=[0.8], sites=20)
    point, (row,) = summary["points"][0], view.rows(view.parsed(summary))
    assert row.energy.value == pytest.approx(point["energy"] / 20, rel=1e-14)
    assert row.energy.error == pytest.approx(point["energy_error"] / 20, rel=1e-14)
    assert row.energy.exact == pytest.approx(-23.357129926462 / 20, rel=1e-12)  # closed form, 20 sites, h = 0.8
    assert row.z == pytest.approx((point["energy"] - point["exact_energy"]) / point["energy_error"])
    assert row.terms["h"].value == pytest.approx(point["terms"]["h"]["value"] / 20)
    total = row.couplings["J"] * row.terms["J"].value + row.couplings["h"] * row.terms["h"].value
    assert total == pytest.approx(row.energy.value, abs=5 * 0.03 * 0.8 / 20)  # noise of <H_h>, five error bars


@pytest.mark.parametrize("stored", [-2e-4, 2e-4, None])
def test_relative_error_keeps_the_side_of_the_exact_energy(stored):
    point = {"couplings": {"h": 1.0}, "energy": -10.002, "exact_energy": -10.0, "relative_error": stored}
    (row,) = view.rows(run(point))
    assert row.relative_error == pytest.approx(-2e-4)


@pytest.mark.parametrize("junk", [None, "x", True, [], {}, math.nan, math.inf, 10**400])
def test_junk_is_not_a_number(junk):
    assert math.isnan(view.number(junk))


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_numbers_that_are_not_there_are_nan(nothing):
    names = ("energy", "energy_error", "energy_per_site", "v_score", "exact_energy", "relative_error")
    found = run(dict.fromkeys(names, nothing) | {"pool": None, "cost": None}, system=None, pretrain=None)
    (row,) = view.rows(found)
    assert math.isnan(row.energy.value) and math.isnan(row.relative_error)
    assert math.isnan(row.draws) and math.isnan(row.cpu_seconds)
    assert view.axes(found) == ()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"points": None}, "points"),
        ({"points": [None]}, "points[0]"),
        ({"points": [{"energy": -1.0}]}, "points[0].couplings"),
        ({"points": [{"couplings": {}, "energy": "x"}]}, "points[0].energy"),
        ({"points": [{"couplings": {}, "cost": 2}]}, "points[0].cost"),
        ({"system": 3}, "system"),
        ({"settings": 3}, "settings"),
        ({"baselines": {"method": "head"}}, "baselines.points"),
    ],
)
def test_what_no_run_writes_is_named(change, place):
    with pytest.raises(InputError) as failed:
        run(**change)
    assert str(failed.value).startswith(f"'{place}': ")


def test_points_of_a_run_under_way_hold_the_number_of_their_base():
    (row,) = view.rows(run({"base": 1}, status="unfinished"))
    assert row.base == 1


def test_sites_from_what_is_known():
    def system(size):
        return {"model": "ising", "lattice": {"kind": "chain", "size": size, "periodic": True}}

    assert view.sites(run(system=system([6, 4]))) == 24
    assert view.sites(run(system=system(36))) == 36
    assert view.sites(run({"energy": -12.0, "energy_per_site": -1.5})) == 8
    assert math.isnan(view.sites(run()))


def test_axes_are_the_couplings_that_vary():
    def axes(*couplings, at=None):
        return view.axes(run(*({"couplings": entry} for entry in couplings), pretrain={"couplings": at or {}}))

    assert axes({"J": 1, "h": 0.5}, {"J": 1, "h": 0.7}) == ("h",)
    assert axes({"h": 0.5, "J2": 0.1}, {"h": 0.7, "J2": 0.2}) == ("h", "J2")
    assert axes({"J": 1, "h": 0.5}, at={"J": 1, "h": 1.0}) == ("h",)
    assert axes({"J": 1, "h": 0.5}) == ("J",)
    assert axes() == ()


def test_worst_flag_ranks_below_exact_first():
    points = [
        {"flags": ["LOW-ESS", "R-HAT"]},
        {"flags": ["BELOW-EXACT"]},
        {"flags": ["ZZZ"]},
        {"flags": ["OK"]},
    ]
    assert view.worst_flag(view.rows(run(*points))) == "BELOW-EXACT"
    assert view.worst_flag(view.rows(run(*points[:1]))) == "R-HAT"
    assert view.worst_flag(view.rows(run(*points[2:]))) == "ZZZ"
    assert view.worst_flag(view.rows(run(*points[3:]))) == "OK"


def test_numbered_observables_become_a_profile():
    observables = {f"zz_{r}": {"value": 0.5**r, "error": 0.01} for r in range(1, 6)}
    observables |= {"m2": {"value": 0.3, "error": 0.01}, "m4": {"value": 0.2, "error": 0.01}}
    (row,) = view.rows(run({"observables": observables}))
    assert set(row.observables) == {"m2", "m4"}
    assert math.isnan(row.profiles["zz"][0].value)
    assert [entry.value for entry in row.profiles["zz"][1:]] == [0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_a_resumed_log_counts_each_step_once():
    log = [{"event": "step", "phase": "pretrain", "step": step, "energy": run} for run, step in
           [(1, 0), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]]  # fmt: skip
    log += [
        {"event": "step", "phase": "adapt", "step": 9, "energy": 0},
        {"event": "step"},
        {"event": "other"},
    ]
    assert [(event["step"], event["energy"]) for event in view_log.steps(log)] == [(0, 1), (1, 2), (2, 2), (3, 2)]


def test_rounds_find_their_point():
    rows = view.rows(run(*({"couplings": {"J": 1.0, "h": h}} for h in (0.8, 0.9))))
    log = [{"event": "round", "point": {"h": 0.9}, "round": index, "energy": -index} for index in (1, 0)]
    log += [{"event": "round", "point": {"couplings": {"J": 1.0, "h": 0.8}}, "round": 0, "energy": -7}]
    first, second = view_log.adaptation_rounds(log, rows)
    assert [event["energy"] for event in first] == [-7]
    assert [event["energy"] for event in second] == [0, -1]


def test_sectors_of_points_are_said_in_words_and_in_the_csv(fabricate):
    """Two sectors, one of them tried at both points; where nothing is projected there is nothing to say."""
    summary = fabricate.summary(fields=[0.8, 1.2], sites=20)
    assert course.sector_words(view.parsed(summary)) == ""
    first = {"number": 0, "momentum": [0.0, 0.0], "spin_flip": 1, "rotation": 1, "mirror": 1}
    second = {"number": 2, "momentum": [0.0, 1.0], "spin_flip": -1, "tried": []}
    second["tried"] = [{"number": n, "energy": -1.0, "energy_error": 0.1, "v_score": 0.1} for n in (0, 2)]
    for point, sector in zip(summary["points"], (first, second), strict=True):
        point["sector"] = sector
    said = course.sector_words(view.parsed(summary))
    assert (
        "sector 0 (momentum (0, 0) pi, +1 under the flip of all spins, +1 under a quarter turn, +1 under a mirror)"
        in said
    )
    assert "sector 2 (momentum (0, 1) pi, -1 under the flip of all spins) at h = 1.2" in said
    assert said.endswith("Two sectors were tried at h = 1.2.")
    rows = list(csv.DictReader(io.StringIO(write_csv(summary["points"]))))
    assert [row["sector.number"] for row in rows] == ["0", "2"] and rows[1]["sector.momentum.1"] == "1.0"
    assert not any("tried" in name for name in rows[0])
