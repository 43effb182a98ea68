"""Whether a training had come to rest: known slopes, noise, steps that were taken back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wavefoundry.core.convergence import Convergence, Rest, kept, rest, rest_doubts


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
    for below in (0.0, -1e-3, -1.0):  # at or below what it is compared with there is nothing to win
        assert flags(-10 - 2e-6 * t, left=below) == []
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


def falling(steps, rate, noise=1e-4, seed=0):
    """Energies that decay from 0 to -10 in the time of the optimisation, and the learning rates of the steps."""
    rates = np.minimum(1.0, (steps - np.arange(steps)) / (0.4 * steps))
    energies = -10 + 10 * np.exp(-rate * np.cumsum(rates))
    return energies + noise * np.random.default_rng(seed).normal(size=steps), rates


def test_a_rate_that_falls_to_zero_does_not_look_like_rest():
    """Per step the energy hardly moves at the end, per unit of the time of the optimisation it does."""
    energies, rates = falling(300, 0.02)
    plain, timed = rest(energies, 300), rest(energies, 300, rates)
    assert timed.gain > 2 * plain.gain
    assert [d.flag for d in Convergence(timed, 10.0).doubts()] == ["NOT-CONVERGED!"]
    assert Convergence(rest(*falling(300, 0.1)[:1], 300, falling(300, 0.1)[1]), 10.0).doubts() == []


def test_units_of_energy_and_of_the_rate_do_not_matter():
    energies, rates = falling(300, 0.02)
    plain, scaled = rest(energies, 300, rates), rest(1e3 * energies + 500.0, 300, 7 * rates)
    assert scaled.gain == pytest.approx(1e3 * plain.gain, rel=1e-9)


def test_a_state_inherits_the_doubts_of_what_it_starts_from():
    (doubt,) = Convergence(rest(falling(300, 0.02)[0], 300), 10.0).doubts("BASE-NOT-CONVERGED", "the pre-training")
    assert doubt.name == "BASE-NOT-CONVERGED" and doubt.why.startswith("the pre-training had not come to rest")
    assert Convergence(None, 10.0).record() == {"gain": None, "error": None, "converged": None}
