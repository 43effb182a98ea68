"""States of a diagram held against each other, on the exact spectrum of two spins in a field."""

import numpy as np
import pytest

from wavefoundry.studies.diagram.rivals import held_against

ZZ = np.diag([1.0, -1.0, -1.0, 1.0])
X = np.kron([[0, 1], [1, 0]], np.eye(2)) + np.kron(np.eye(2), [[0, 1], [1, 0]])


def record(h, level=0, ground="unknown", error=1e-4, at=None):
    """A point whose state is an eigenvector of H = -ZZ - h X (or of the field ``at``)."""
    _, vectors = np.linalg.eigh(-ZZ - (h if at is None else at) * X)
    v = vectors[:, level]
    terms = {"J": {"value": -v @ ZZ @ v, "error": error}, "h": {"value": -v @ X @ v, "error": error}}
    answers = {"sampled": "yes", "state": "yes", "ground": ground}
    return {
        "couplings": {"J": 1.0, "h": h},
        "energy": terms["J"]["value"] + h * terms["h"]["value"],
        "energy_error": error,
        "terms": terms,
        "answers": answers,
        "flags": [],
        "reasons": ["nothing independent"],
        "verdict": "trusted" if ground == "yes" else "upper bound",
        "trusted": ground == "yes",
    }


def test_ground_states_do_not_contradict_each_other():
    points = [record(h) for h in (0.2, 0.5, 1.0, 1.5)]
    assert held_against(points, []) == points


def test_an_excited_state_is_refused_by_its_neighbours():
    points = [record(0.5), record(1.0, level=1), record(1.5)]
    found = held_against(points, [])
    assert [one["flags"] for one in found] == [[], ["LOWER-STATE!"], []]
    assert found[1]["verdict"] == "refused" and found[1]["answers"]["ground"] == "no"
    assert "h = " in found[1]["reasons"][0]


def test_the_base_is_a_rival_too_and_records_that_are_confirmed_stay():
    assert held_against([record(1.0, level=1)], [record(1.2)])[0]["flags"] == ["LOWER-STATE!"]
    confirmed = record(1.0, level=1, ground="yes")
    assert held_against([confirmed], [record(1.2)]) == [confirmed]


def test_differences_within_the_error_bars_say_nothing():
    blurred = [record(1.0, at=0.8, error=0.05), record(1.1, error=0.05)]
    assert held_against(blurred, []) == blurred


@pytest.mark.parametrize("share", [0.0005, 0.005, 0.05])
def test_small_differences_are_left_alone_larger_ones_warn_and_refuse(share):
    good, bad = record(1.0, error=1e-7), record(1.0, error=1e-7)
    bad["energy"] *= 1 - share
    (found,) = held_against([bad], [good])
    assert found["flags"] == ([] if share < 1e-3 else ["LOWER-STATE"] if share < 1e-2 else ["LOWER-STATE!"])


def test_points_without_numbers_are_left_alone():
    nothing = record(1.0) | {"energy": None, "terms": {}}
    assert held_against([nothing, record(0.5)], [])[0] == nothing
