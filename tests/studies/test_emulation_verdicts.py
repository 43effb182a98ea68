"""The reference's own error, roughness of potentials, and verdicts on cases and students."""

from __future__ import annotations

import copy
import dataclasses
import json
import math

import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import free_gaussian
from wavefoundry.artifacts import spec as study_file
from wavefoundry.cli import main
from wavefoundry.problems.grid import Grid1D, Grid2D
from wavefoundry.problems.schrodinger import solve
from wavefoundry.problems.splitting import Solver
from wavefoundry.studies.emulation import truth as reference_of
from wavefoundry.studies.emulation.grading import case_verdict, distance, grade, student_verdict
from wavefoundry.studies.emulation.scope import OCTAVES, band_edges, roughness, step_power
from wavefoundry.studies.emulation.summary import status_of
from wavefoundry.studies.emulation.truth import finer_state, goals_of, reference, sharpen

BOX = Grid1D(50.0, 256)
CASES = [
    wf.case("barrier", {"kind": "barrier", "height": 6, "width": 4}, (12, 1.5, 4)),
    wf.case("free", {"kind": "flat"}, (12, 1.5, 2)),
    wf.case("smooth", {"kind": "gaussian", "height": 5, "width": 3}, (12, 1.5, 3)),
]


@pytest.fixture(scope="module")
def truth():
    return reference(CASES, BOX, 60, 0.1, paper=False)


def test_a_finer_grid_shows_the_same_function():
    psi = CASES[0].state(BOX)
    fine = Grid1D(50.0, 512)
    np.testing.assert_allclose(finer_state(psi, 2)[::2], psi, atol=1e-12)
    np.testing.assert_allclose(finer_state(psi, 2), np.sqrt(1.0) * CASES[0].state(fine), atol=1e-9)
    v = np.random.default_rng(0).standard_normal(256)
    np.testing.assert_allclose(np.real(finer_state(v, 4))[::4], v, atol=1e-12)


def test_the_error_of_the_reference_is_known(truth):
    """Free packet: closed form. Barrier and hill: frames that are converged in grid and time by another splitting."""
    exact = free_gaussian(CASES[1].packets[0], BOX.x, 63 * 0.1)
    assert np.linalg.norm(truth.frames[1, -1] - exact) / np.linalg.norm(exact) < 1e-6
    fine = Grid1D(50.0, 1024)
    for i in (0, 2):
        psi, v = finer_state(truth.states[i], 4), np.real(finer_state(truth.fields[i], 4))
        there = solve(psi, v, 63, grid=fine, dt=0.1, solver=Solver("exact")).frames[-1, ::4]
        off = np.linalg.norm(truth.frames[i, -1] - there) / np.linalg.norm(there)
        assert off <= truth.errors[i] and truth.errors[i] < max(30 * off, 3e-7)
    assert truth.errors[0] > 100 * truth.errors[2]  # edges, not the smooth hill


def test_a_reference_is_refined_case_by_case_until_it_is_good_enough(truth):
    goals = np.array([truth.errors[0] / 5, math.inf, math.inf])
    sharper = sharpen(truth, goals)
    assert list(sharper.finer) == [2, 1, 1] and sharper.errors[0] < goals[0]
    np.testing.assert_array_equal(sharper.frames[1:], truth.frames[1:])
    moved = np.linalg.norm(sharper.frames[0, -1] - truth.frames[0, -1]) / np.linalg.norm(truth.frames[0, -1])
    assert sharper.errors[0] < moved < truth.errors[0] + sharper.errors[0]
    assert sharpen(truth, np.full(3, math.inf)) is truth


def test_beyond_what_can_be_afforded_the_reference_is_left(truth, monkeypatch):
    monkeypatch.setattr(reference_of, "WORK", 1)
    assert sharpen(truth, np.full(3, 1e-12)) is truth


def test_grids_too_large_to_diagonalise_are_converged_in_time(truth, monkeypatch):
    monkeypatch.setattr(reference_of, "EXACT_POINTS", 8)
    split = reference(CASES, BOX, 60, 0.1, paper=False)
    off = np.linalg.norm(split.frames[:, -1] - truth.frames[:, -1], axis=-1) / np.linalg.norm(
        truth.frames[:, -1], axis=-1
    )
    assert np.all(off <= 1e-5 + 2e-7)


def test_roughness_is_the_power_in_octaves():
    grid = Grid1D(100.0, 1024)
    block = np.where(np.abs(grid.x - 50) < 10, 3.0, 0.0)
    np.testing.assert_allclose(roughness(block[None], grid), 2 * step_power(3.0, grid), rtol=0.1)
    wave = 2.0 * np.cos(2 * np.pi * grid.x)  # k = 6.28, in the octave from 4.02 to 8.04
    np.testing.assert_allclose(roughness(wave[None], grid), [0, 200.0, 0, 0], atol=1e-9)
    assert len(band_edges(32.0)) == OCTAVES + 1 and band_edges(32.0)[-2:] == [16.0, 32.0]
    # white noise: variance x dx x (k2 - k1) / pi per length; 8 per cent scatter, 5 sigma
    noise = np.random.default_rng(0).uniform(0, 14, (1, 1024))
    np.testing.assert_allclose(roughness(noise, grid)[-1], 14**2 / 12 * 100 / 2, rtol=0.4)
    plane = Grid2D((100.0, 100.0), (1024, 64))
    ridge = (block[:, None] + np.zeros(64))[None]
    np.testing.assert_allclose(roughness(ridge, plane)[-1], roughness(block[None], grid)[-1])


NOISE = np.random.default_rng(5).uniform(0, 14, 1024)


@pytest.mark.parametrize(
    ("potential", "rough"),
    [
        (NOISE, True),
        (np.where(np.abs(Grid1D().x - 50) < 10, NOISE, 0.0), True),
        (np.repeat(NOISE[:512] * 10 / 14, 2), True),
        (lambda x: 7 + 7 * np.cos(2 * np.pi * x / 0.78125), True),
        ({"kind": "smooth", "height": 14, "seed": 1}, False),
        ({"kind": "random", "height": 10, "seed": 3}, False),
        ({"kind": "barrier", "height": 14, "width": 7}, False),
        ({"kind": "harmonic", "omega": 0.3, "cap": 10}, False),
        ([{"kind": "barrier", "height": h, "width": 3, "center": c} for h, c in ((5, 40), (7, 50), (5, 62))], False),
        (np.zeros(1024), False),
    ],
)
def test_rough_potentials_inside_the_trained_range_are_warned_of(potential, rough, recwarn):
    student = wf.demo_emulator()
    student.rollout(wf.Packet(20, 2.5, 5), potential, 2)
    said = [str(w.message) for w in recwarn.list]
    assert any("rougher than those trained" in text for text in said) == rough
    assert not any("leaves the trained range" in text for text in said)


def test_the_stored_student_knows_the_roughness_of_its_curriculum_and_old_ones_say_nothing():
    student = wf.demo_emulator()
    curriculum = wf.Curriculum.preset("default")
    fields = np.stack([item.potential(curriculum.grid) for item in curriculum.items])
    np.testing.assert_allclose(student.scope["roughness"], roughness(fields, curriculum.grid), rtol=1e-5)
    old = dataclasses.replace(student, scope={k: v for k, v in student.scope.items() if k != "roughness"})
    assert old.doubts(CASES[0].state(Grid1D())[None], NOISE[None], Grid1D()) == []


ROUGH = [{"flag": "ROUGH", "why": "rough"}]


def record(**changes):
    """A case that is right."""
    case = {
        "name": "c", "corr_mean": 0.99999, "corr_final": 0.99998, "rel_l2": 0.02, "norm_drift": 1e-4,
        "transmission": 0.3, "true_transmission": 0.3, "reference": {"error": 1e-4, "wanted": 2e-3}, "out_of_scope": [],
    }  # fmt: skip
    return case | changes


@pytest.mark.parametrize(
    ("changes", "word", "flags", "question"),
    [
        ({}, "trusted", (), None),
        ({"reference": {"error": 3e-3, "wanted": 2e-3}}, "doubtful", ("REFERENCE",), "sampled"),
        ({"reference": {"error": 0.2, "wanted": 2e-3}}, "refused", ("REFERENCE!",), "sampled"),
        ({"norm_drift": 0.03}, "doubtful", ("NORM",), "sampled"),
        ({"norm_drift": None}, "refused", ("NORM!",), "sampled"),
        ({"corr_mean": 0.974, "corr_final": 0.96}, "doubtful", ("LOST", "OFF-REFERENCE"), "state"),
        ({"corr_mean": 0.07, "corr_final": 0.05}, "refused", ("LOST!", "OFF-REFERENCE!"), "state"),
        ({"corr_final": 0.995}, "doubtful", ("OFF-REFERENCE",), "ground"),
        ({"out_of_scope": ROUGH}, "trusted", ("ROUGH",), None),
        ({"out_of_scope": ROUGH, "corr_final": 0.99}, "doubtful", ("ROUGH", "OFF-REFERENCE"), "ground"),
        ({"corr_mean": None, "corr_final": None}, "refused", ("NOT-FINITE!",), "state"),
    ],
)  # fmt: skip
def test_verdict_of_a_case(changes, word, flags, question):
    found = case_verdict(record(**changes))
    assert (found.word, found.flags) == (word, flags) and found.reasons
    if question:
        assert getattr(found, question) in ("doubtful", "no")


def test_the_best_student_of_a_case_sets_what_the_reference_owes():
    good, bad = record(rel_l2=5e-4), record(rel_l2=0.3, corr_mean=0.95, corr_final=0.93)
    assert goals_of([[good], [bad]])[0] == pytest.approx(5e-5)
    grade([[good], [bad]])
    assert "REFERENCE" in good["flags"] and "REFERENCE" in bad["flags"]
    assert good["reference"]["wanted"] == pytest.approx(5e-5)
    assert distance(0.9) == pytest.approx(math.sqrt(0.2)) and distance(1.0000001) == 0


def test_transmissions_have_a_verdict_of_their_own():
    cases = [
        record(),
        record(transmission=0.33),
        record(transmission=0.31),
        record(transmission=1e-6, true_transmission=5e-6),
    ]
    grade([cases])
    assert [case["observables"]["transmission"]["verdict"] for case in cases] == [
        "trusted",
        "refused",
        "doubtful",
        "trusted",
    ]
    assert cases[0]["observables"]["transmission"]["exact"] == 0.3


def graded_cases(*words):
    yes = {"sampled": "yes", "state": "yes"}
    return [
        {"name": w, "verdict": w, "answers": yes | {"ground": "doubtful" if w == "doubtful" else "yes"}, "flags": [],
         "reasons": [w]} for w in words
    ]  # fmt: skip


def test_a_student_is_usable_unless_it_is_lost_on_most_cases():
    assert student_verdict(graded_cases("trusted", "trusted"), 0.9999).word == "trusted"
    assert student_verdict(graded_cases("trusted", "doubtful"), 0.9999).word == "doubtful"
    assert student_verdict(graded_cases("trusted", "trusted", "refused"), 0.95).word == "doubtful"
    assert student_verdict(graded_cases("trusted", "refused", "refused"), 0.95).word == "refused"
    assert student_verdict(graded_cases("refused"), 0.07).word == "refused"


def test_how_a_study_ended():
    good, lost = {"name": "a", "status": "trained", "verdict": "trusted"}, {
        "name": "b", "status": "trained", "verdict": "refused", "reasons": ["mean correlation 0.07"]}  # fmt: skip
    failed = {"name": "c", "status": "failed", "why": "the loss is not finite"}
    assert status_of([good, lost]) == ("complete", None)
    assert status_of([good, failed])[0] == "partial"
    for records in ([lost], [failed], [lost, failed]):
        status, why = status_of(copy.deepcopy(records))
        assert status == "failed" and why and "no student can be used" in why


LOST = """\
kind = "emulation"
[grid]
length = 40.0
n = 128
[teacher]
tolerance = 0.05
[curriculum]
preset = "none"
frames = 12
items = [{ name = "a", potential = { kind = "barrier", height = 3.0, width = 5.0 }, packet = { x0 = 12.0, s0 = 2.0, e0 = 3.0 } }]
[[students]]
kind = "linear"
steps = 2
[evaluate]
frames = 40
speed = false
cases = [{ name = "b", potential = { kind = "barrier", height = 4.0, width = 3.0 }, packet = { x0 = 12.0, s0 = 2.0, e0 = 3.0 } }]
[diagnose]
enabled = false
"""  # noqa: E501


def test_a_run_without_a_usable_student_ends_with_3_and_the_reason(tmp_path, capsys):
    (tmp_path / "study.toml").write_text(LOST)
    assert study_file.loads(LOST).names() == ["linear"]
    assert main(["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 3
    shown = capsys.readouterr().out
    assert "failed" in shown and "no student can be used" in shown and "linear" in shown
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    (student,) = summary["students"]
    assert student["verdict"] == "refused" and summary["why"] in shown
    assert student["cases"][0]["answers"]["state"] == "no" and student["cases"][0]["reference"]["error"] < 0.1
    page = (tmp_path / "run" / "report.html").read_text()
    assert "REFUSED" in page and "mean correlation" in page
