"""Whether a training had come to rest: known slopes, noise, steps that were taken back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavefoundry.core.convergence import Rest, kept, rest, rest_doubts


def flags(energies, scale=10.0, left=None):
    found = rest(energies, len(energies))
    return [doubt.flag for doubt in rest_doubts(found, scale, left)]


def test_a_straight_line_is_found_exactly():
    found = rest(10.0 - 0.01 * np.arange(1000), 1000)
    assert found.gain == pytest.approx(10.0, rel=1e-9) and found.error < 1e-9


def test_flags_by_the_size_of_what_is_still_to_be_won():
    t = np.arange(500)
    assert flags(-10 + 0 * t) == []
    assert flags(-10 - 2e-6 * t) == []  # 1e-3 in 500 steps: 1e-4 of the energy
    assert flags(-10 - 1e-4 * t) == ["NOT-CONVERGED"]  # 5e-3 of the energy
    assert flags(-10 - 1e-3 * t) == ["NOT-CONVERGED!"]
    assert flags(-10 + 1e-3 * t) == ["NOT-CONVERGED!"]  # it rises: it wanders
    assert flags(-10 - 2e-6 * t, left=1e-3) == ["NOT-CONVERGED"]  # the error is that of the training
    assert flags(-10 + 5 * np.exp(-t / 20)) == []


def test_noise_is_no_slope():
    """Chance of more than 3 standard errors with 8 degrees of freedom: 1.7 per cent; 300 draws, at most 15."""
    rng = np.random.default_rng(3)
    found = [rest(-10 + 0.1 * rng.standard_normal(400), 400) for _ in range(300)]
    assert sum(one.significant for one in found) <= 15


def test_steps_that_were_taken_back_do_not_count():
    energies = np.full(400, -10.0)
    energies[[350, 361, 377]] = [1e9, math.inf, math.nan]
    assert flags(energies) == []
    energies[320:] = math.nan
    assert flags(energies) == ["NOT-CONVERGED"]


def test_short_trainings_cannot_be_judged():
    assert rest([-1.0] * 5, 5) is None and kept(5) == 4 and kept(1000) == 200
    assert [d.flag for d in rest_doubts(None, 1.0)] == ["NOT-CONVERGED"]
    assert not Rest(1.0, 0.5).significant
