"""Scores that know the state: duplicates, idle weights, and the fan-in rule."""

from __future__ import annotations

import jax
import numpy as np

from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import Options, vector
from wavefoundry.adapt.masks import Layer, Layout
from wavefoundry.adapt.surgeon import beyond, sequence, surgeon_scores
from wavefoundry.adapt.tickets import Cut, Rules, Trainer
from wavefoundry.models import dense
from wavefoundry.problems import lattice
from wavefoundry.problems.enumerated import enumerate_states


def test_of_two_duplicates_one_goes_and_the_other_stays():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(200, 4))
    columns[:, 1] = columns[:, 0]  # weights 0 and 1 do the same
    inverse = np.linalg.inv(columns.T @ columns / 200 + 1e-6 * np.eye(4))
    theta = np.array([1.0, 1.0, 0.5, 0.6])
    one_by_one = theta**2 / np.diag(inverse)
    assert set(np.argsort(one_by_one)[:2]) == {0, 1}  # each alone is free: a plain ranking takes both
    assert set(np.argsort(sequence(theta, inverse, 2))[:2]) in ({0, 2}, {1, 2})


def test_removals_follow_the_exact_minimum_of_a_quadratic_form():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(8, 5))
    metric, theta = root.T @ root, rng.normal(size=5)
    score = sequence(theta, np.linalg.inv(metric), 1)

    def loss(k: int) -> float:
        # smallest (x - theta) S (x - theta) with x_k = 0, by solving for the other entries
        rest = [i for i in range(5) if i != k]
        shift = np.linalg.solve(metric[np.ix_(rest, rest)], metric[rest, k] * theta[k])
        delta = np.zeros(5)
        delta[k], delta[rest] = -theta[k], shift
        return float(delta @ metric @ delta)

    assert int(np.argmin(score)) == int(np.argmin([loss(k) for k in range(5)]))
    assert np.isclose(min(loss(k) for k in range(5)), np.min(theta**2 / np.diag(np.linalg.inv(metric))))


def test_weights_beyond_the_fan_in_and_idle_ones_go_first():
    where = Layout((Layer("kernel", 0, (3, 2)),), 6)
    theta = np.array([0.9, 0.1, 0.8, 0.2, 0.7, 0.0])  # column 0: .9 .8 .7; column 1: .1 .2 0
    mask = np.array([True, True, True, True, True, False])
    assert np.flatnonzero(beyond(where, theta, mask, 2)).tolist() == [4]
    metric = (np.array([1.0, 1.0, 1.0, 0.0, 1.0]), np.eye(5))
    score = surgeon_scores(where, theta, mask, metric, 0.2, fan_in=2)
    assert np.argmin(np.where(mask, score, np.inf)) == 3  # does nothing
    theta[1] = 0.5
    score = surgeon_scores(where, theta, mask, (np.ones(5), np.eye(5)), 0.2, fan_in=2)
    assert score[4] == 0.4 * 0.7


def test_a_weight_alone_in_its_unit_has_no_curvature():
    network = dense(alpha=2).build(jax.random.key(0), (2, 2))
    system = enumerate_states(lattice.ising((2, 2), h=2.0, periodic=False))
    trainer = Trainer(network, system, Rules(Options(0, 16)))
    where, mask = masks.layout(network), np.ones(32, bool)
    mask.reshape(4, 8)[1:, 0] = False  # unit 0 keeps one weight: log cosh(+-w) is a constant
    theta = np.where(mask, np.asarray(vector(network)), 0.0)
    score = trainer.scores(where, theta, mask, "curvature", jax.random.key(1), Cut(0.1))
    assert score[0] < 1e-28
    assert np.all(score[mask][1:] > 1e-9)
