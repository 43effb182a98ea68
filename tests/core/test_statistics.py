"""Error bars, autocorrelation, R-hat, V-score and flags on series whose properties are known.

Seeds are fixed. Where a bound is statistical, the comment gives the standard deviation it was taken from: a
change of the random number generator fails such a test with the probability that follows from it.
"""

import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.statistics import (
    _split_ratio,
    autocorrelation_time,
    chain_z,
    energy_statistics,
    importance_ess,
    mean_and_error,
    r_hat_threshold,
    r_hat_time,
    relative_error,
    split_r_hat,
    v_score,
)
from wavefoundry.core.verdict import sampling_doubts


def rng(seed=0):
    return np.random.default_rng(seed)


def ar1(phi, chains, n, generator):
    """Stationary series with unit variance and autocorrelation time (1 + phi) / (1 - phi)."""
    noise = generator.standard_normal((chains, n))
    noise[:, 1:] *= math.sqrt(1.0 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=1)


# Autocorrelation


# 4 sd of the estimator for one chain of 1e5 (sd 0.016, 0.061, 0.7, 30): fails once in 16 000 seeds per case
@pytest.mark.parametrize(("phi", "tolerance"), [(0.0, 0.06), (0.5, 0.24), (0.9, 2.8), (0.99, 120.0)])
def test_autocorrelation_time_of_ar1(phi, tolerance):
    tau = autocorrelation_time(ar1(phi, 1, 100_000, rng(4)))
    assert tau == pytest.approx((1 + phi) / (1 - phi), abs=tolerance)


def test_autocorrelation_time_of_many_chains_is_an_upper_estimate():
    # exact 19; the sd of a single estimate is about 0.5 for 64 x 400
    assert 17.5 < autocorrelation_time(ar1(0.9, 64, 400, rng(1))) < 22.5
    assert autocorrelation_time(ar1(0.9, 256, 64, rng(1))) > 19.0


def test_antithetic_samples_count_more_than_once_but_not_without_limit():
    x = ar1(-0.5, 8, 4000, rng(2))
    assert autocorrelation_time(x) == pytest.approx(1 / 3, abs=0.03)
    flip = np.tile([1.0, -1.0], (4, 500)) + 1e-3 * rng().standard_normal((4, 1000))
    assert flip.size / autocorrelation_time(flip) <= 4000 * math.log10(4000) * (1 + 1e-12)


def test_stuck_chains_count_as_one_sample_each():
    stuck = np.repeat(rng().standard_normal((64, 1)), 50, axis=1) + 1e-6 * rng(1).standard_normal((64, 50))
    assert stuck.size / autocorrelation_time(stuck) == pytest.approx(64, rel=0.15)
    assert stuck[:, :2].size / autocorrelation_time(stuck[:, :2]) == pytest.approx(64, rel=0.15)
    mean, error = mean_and_error(stuck[:8])  # few chains: the same holds for the error bar
    assert error == pytest.approx(stuck[:8, 0].std(ddof=1) / math.sqrt(8), rel=0.15)


# Error bars


# 200 repeats: the fraction of covered truths has an sd of 0.033, the bounds are 2.4 sd wide around 0.683
@pytest.mark.parametrize(
    ("chains", "samples", "phi"),
    [(64, 64, 0.9), (64, 16, 0.0), (32, 100, 0.5), (8, 2000, 0.9), (1, 5000, 0.5), (16, 64, 0.0)],
)
def test_error_bars_cover_the_truth_in_two_cases_of_three(chains, samples, phi):
    generator = rng(7)
    results = np.array([mean_and_error(ar1(phi, chains, samples, generator)) for _ in range(200)])
    assert 0.60 < (np.abs(results[:, 0]) < results[:, 1]).mean() < 0.77


@pytest.mark.parametrize(("chains", "samples"), [(8, 16), (16, 16), (16, 64)])
def test_short_correlated_chains_do_not_get_error_bars_that_are_too_small(chains, samples):
    # blocks shorter than tau = 19 would give 3 times too small a bar; the ratio below has an sd of 0.06
    generator = rng(3)
    results = np.array([mean_and_error(ar1(0.9, chains, samples, generator)) for _ in range(200)])
    assert 0.9 < results[:, 1].mean() / results[:, 0].std() < 1.5


def test_chain_means_give_the_error_bar_from_32_chains_on():
    x = ar1(0.9, 32, 20, rng())
    assert mean_and_error(x)[1] == pytest.approx(x.mean(axis=1).std(ddof=1) / math.sqrt(32), rel=1e-12)


def test_constant_data_have_no_error_and_no_r_hat():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for chains, samples in [(64, 10), (4, 100), (1, 50), (64, 1)]:
            x = np.full((chains, samples), -12.784906442999324)
            estimate = energy_statistics(x, 10)
            assert (estimate.mean, estimate.error, estimate.variance) == (x[0, 0], 0.0, 0.0)
            assert (estimate.v_score, estimate.v_score_error) == (0.0, 0.0)
            assert estimate.r_hat is None
            assert estimate.tau == 1.0
        assert mean_and_error([[3.0]]) == (3.0, math.inf)


def test_copies_of_one_chain_do_not_fake_a_vanishing_error():
    one = ar1(0.5, 1, 400, rng())
    copies = np.repeat(one, 64, axis=0)
    estimate = energy_statistics(copies - 10.0, 8)
    assert estimate.chains == 1
    assert estimate.r_hat is None and split_r_hat(copies) is None
    assert mean_and_error(copies) == mean_and_error(one)
    assert mean_and_error(copies)[1] > 0.05
    assert "R-HAT!" in [doubt.flag for doubt in sampling_doubts(estimate)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, complex(0.0, np.nan)])
def test_one_bad_sample_raises(bad):
    x = rng().standard_normal((64, 16)).astype(complex)
    x[3, 5] = bad
    for function in (mean_and_error, lambda y: energy_statistics(y, 8)):
        with pytest.raises(PhysicsError, match="1 of 1024"):
            function(x)
    with pytest.raises(PhysicsError):
        energy_statistics(x, 8, weights=np.ones_like(x, dtype=float))


def test_shapes_without_samples_raise():
    for x in (np.zeros((0, 3)), np.zeros((2, 2, 2)), []):
        with pytest.raises(InputError, match="chains, samples"):
            mean_and_error(x)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_statistics_follow_a_change_of_units(chains, samples, shift, scale, seed):
    x = rng(seed).standard_normal((chains, samples))
    y = shift + scale * x
    (mean, error), (mean_y, error_y) = mean_and_error(x), mean_and_error(y)
    assert mean_y == pytest.approx(shift + scale * mean, rel=1e-9, abs=1e-9)
    assert error_y == pytest.approx(scale * error, rel=1e-6)
    assert autocorrelation_time(y) == pytest.approx(autocorrelation_time(x), rel=1e-6)
    r_hat = split_r_hat(x)
    assert split_r_hat(y) == (None if r_hat is None else pytest.approx(r_hat, abs=1e-6))


# R-hat


# sd of the plain ratio: 5e-4, 3.8e-3, 1.2e-3, 8.5e-3; the bounds are 5 sd
@pytest.mark.parametrize(
    ("chains", "samples", "bound"), [(4, 1000, 2.5e-3), (16, 64, 0.019), (64, 100, 6e-3), (64, 16, 0.043)]
)
def test_r_hat_of_independent_samples_is_one(chains, samples, bound):
    x = rng(5).standard_normal((chains, samples))
    assert _split_ratio(x) == pytest.approx(1.0, abs=bound)
    assert abs(split_r_hat(x) - 1.0) < bound


@pytest.mark.parametrize(("chains", "samples"), [(64, 100), (64, 16), (256, 8), (1024, 4)])
def test_r_hat_threshold_rarely_rejects_perfect_samples(chains, samples):
    # false alarms at this limit: at most 1.7 %, so 5 or more of 40 happen once in 2000 seeds
    generator = rng(6)
    alarms = sum(
        split_r_hat(generator.standard_normal((chains, samples))) > r_hat_threshold(chains, samples) for _ in range(40)
    )
    assert alarms < 5


def test_r_hat_threshold_is_the_usual_one_for_long_chains():
    assert r_hat_threshold(4, 1000) == 1.01
    assert r_hat_threshold(64, 16) == pytest.approx(1 + 3.5 * math.sqrt(2 / 127) / 16)


def test_r_hat_sees_groups_of_chains_with_different_means():
    x = rng().standard_normal((64, 100))
    x += np.where(np.arange(64) < 32, 0.5, -0.5)[:, None]
    expected = math.sqrt(0.98 + 0.27)  # within-half shrinkage 49/50, between / within variance 0.25 + 1/50
    assert _split_ratio(x) == pytest.approx(expected, abs=0.01)
    assert split_r_hat(x) == pytest.approx(expected, abs=0.02)


def test_r_hat_sees_chains_of_different_width_only_when_folded():
    x = rng().standard_normal((64, 100))
    x[:32] *= 3.0
    assert _split_ratio(x) < 1.01
    assert split_r_hat(x) > 1.1


def test_r_hat_sees_a_drift_common_to_all_chains():
    x = rng().standard_normal((64, 100)) + 2.0 * np.linspace(-1.0, 1.0, 100)
    assert split_r_hat(x) > 1.25


def test_a_single_stray_chain_is_invisible_to_r_hat_but_not_to_chain_z():
    x = rng().standard_normal((64, 100))
    assert np.abs(chain_z(x)).max() < 5.5  # exceeded by one set of good chains in a thousand
    x[17] += 1.0
    assert split_r_hat(x) < 1.02
    assert np.argmax(np.abs(chain_z(x))) == 17
    assert chain_z(x)[17] > 6.0


def test_r_hat_of_frozen_walkers_is_huge_but_finite():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split_r_hat(np.repeat(rng().standard_normal((32, 1)), 20, axis=1)) == pytest.approx(1e6)
        assert split_r_hat(np.repeat([[0.5], [-0.5]], 20, axis=1)) == pytest.approx(1e6)
        middle = np.zeros((4, 5))
        middle[0, 2] = 1.0  # the sample that splitting an odd length drops
        assert split_r_hat(middle) == 1.0


def test_r_hat_is_unavailable_where_it_says_nothing():
    assert split_r_hat(rng().standard_normal((64, 3))) is None
    assert split_r_hat(rng().standard_normal((1, 500))) is None


def test_r_hat_of_two_valued_samples_shares_ranks():
    x = (rng().random((64, 100)) < 0.3).astype(float)  # a single folded value per side is no obstacle
    assert split_r_hat(x) == pytest.approx(1.0, abs=0.01)


# Energies


@pytest.mark.parametrize("h", [0.5, 1.0, 2.0])
def test_product_states_of_the_ising_chain_by_full_sum(h):
    n = 8
    spins = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    bonds = (spins * np.roll(spins, 1, axis=1)).sum(axis=1)
    # all spins along x: every amplitude equal, so the local energy is -bonds - h n
    along_x = energy_statistics(-bonds - h * n, n, weights=np.ones(2**n))
    assert along_x.mean == pytest.approx(-h * n, abs=1e-12)
    assert along_x.variance == pytest.approx(n, abs=1e-12)
    assert along_x.v_score == pytest.approx(1 / h**2, abs=1e-12)
    assert (along_x.error, along_x.r_hat, along_x.chains, along_x.samples) == (0.0, None, 0, 2**n)
    # nearly along z: one amplitude 1, its neighbours a small number; <E> -> -n, variance -> h^2 n
    small = 1e-7
    amplitude = small ** (spins == -1).sum(axis=1).astype(float)
    flipped = np.stack([amplitude[np.arange(2**n) ^ (1 << i)] for i in range(n)]).sum(axis=0)
    along_z = energy_statistics(-bonds - h * flipped / amplitude, n, weights=amplitude**2)
    assert along_z.mean == pytest.approx(-n, rel=1e-5)
    assert along_z.variance == pytest.approx(h**2 * n, rel=1e-5)
    assert along_z.v_score == pytest.approx(h**2, rel=1e-5)


def test_full_sum_leaves_out_states_of_weight_zero_only():
    energies, weights = np.array([-2.0, np.nan, -2.0]), np.array([1.0, 0.0, 3.0])
    assert energy_statistics(energies, 2, weights=weights).mean == -2.0
    with pytest.raises(PhysicsError):
        energy_statistics(energies, 2, weights=weights + 1e-300)
    with pytest.raises(InputError):
        energy_statistics(energies, 2, weights=np.ones(4))


def test_v_score_error_matches_its_scatter():
    # exact: V = 12 * 0.09 / 225 = 0.0048; delta method V sqrt(2 / 4096) = 1.06e-4
    generator = rng(8)
    estimates = [energy_statistics(generator.normal(-15.0, 0.3, (64, 64)), 12) for _ in range(300)]
    scores = np.array([e.v_score for e in estimates])
    errors = np.array([e.v_score_error for e in estimates])
    assert scores.mean() == pytest.approx(0.0048, abs=4 * 1.06e-4 / math.sqrt(300))  # 4 sd of the mean
    assert errors.mean() == pytest.approx(1.06e-4, rel=0.05)  # sd of the mean 0.6 %
    assert scores.std() == pytest.approx(1.06e-4, rel=0.16)  # 4 sd


def test_energies_are_judged_relative_to_infinite_temperature():
    x = rng().normal(-15.0, 0.3, (64, 64))
    shifted, plain = energy_statistics(x + 7.0, 12, e_inf=7.0), energy_statistics(x, 12)
    assert shifted.v_score == pytest.approx(plain.v_score, rel=1e-9)
    assert shifted.v_score_error == pytest.approx(plain.v_score_error, rel=1e-6)
    assert energy_statistics(x, None).v_score is None
    assert v_score(1.0, 0.5, 4, e_inf=1.0) == math.inf


def test_complex_local_energies():
    generator = rng(9)
    x = generator.normal(-5.0, 0.2, (64, 64)) + 1j * generator.normal(0.0, 0.1, (64, 64))
    estimate = energy_statistics(x, 8)
    assert estimate.variance == pytest.approx(0.05, rel=0.1)  # 0.04 + 0.01; sd 2 %
    assert abs(estimate.imag_z) < 4.0  # fails once in 16 000 seeds
    assert "IMAG!" in [d.flag for d in sampling_doubts(energy_statistics(x + 0.02j, 8))]  # 12 error bars
    assert energy_statistics(x.real, 8).imag_z == 0.0
    weights = np.ones(x.shape)
    assert "IMAG!" in [d.flag for d in sampling_doubts(energy_statistics(x + 0.02j, 8, weights=weights))]


@pytest.mark.parametrize("samples", [32, 100])
def test_the_limit_of_r_hat_knows_what_r_hat_is_made_of(samples):
    """Energies of converged states: rare outliers over a slow bulk. The raw time is short, that of the ranks is not.

    Five in a hundred would be many for a limit of 3.5 standard deviations; stuck chains are found all the same.
    """
    alarms, found = 0, 0
    for seed in range(60):
        generator = rng(seed)
        slow = ar1(0.8, 64, samples, generator)
        outliers = 20.0 * (generator.random((64, samples)) < 0.02) * generator.standard_normal((64, samples))
        estimate = energy_statistics(slow + outliers - 100.0, 16)
        alarms += estimate.r_hat > estimate.r_hat_limit
        stuck = energy_statistics(slow + outliers - 100.0 + 1.5 * generator.standard_normal((64, 1)), 16)
        found += stuck.r_hat > stuck.r_hat_limit
    assert alarms <= 3
    assert found == 60


def test_there_are_no_more_independent_samples_than_samples():
    """Of four samples a chain the autocorrelation time is noise, and often below one."""
    estimates = [energy_statistics(rng(seed).standard_normal((64, 4)) - 20.0, 16) for seed in range(40)]
    assert min(one.tau for one in estimates) < 1.0 and max(one.ess for one in estimates) == 256


def test_estimate_of_correlated_chains():
    x = ar1(0.9, 64, 200, rng(10)) - 20.0
    estimate = energy_statistics(x, 16)
    assert estimate[:2] == mean_and_error(x)
    assert estimate.tau == autocorrelation_time(x)
    assert estimate.ess == pytest.approx(64 * 200 / estimate.tau)
    assert (estimate.chains, estimate.samples) == (64, 12800)
    assert estimate.r_hat == split_r_hat(x)
    assert estimate.r_hat_limit == r_hat_threshold(64, 200, r_hat_time(x)) > r_hat_threshold(64, 200)
    assert all(type(value) in (float, int) for value in estimate[:-2]), "plain numbers, ready for JSON"


# Re-weighting


# 4 sd for 20 000 samples
@pytest.mark.parametrize(("m", "tolerance"), [(0.25, 0.003), (0.5, 0.012), (1.0, 0.05), (1.5, 0.09)])
def test_importance_weights_between_shifted_normals(m, tolerance):
    x = rng(11).standard_normal(20_000)
    weights = np.exp(m * x)
    assert importance_ess(weights) / x.size == pytest.approx(math.exp(-(m**2)), abs=tolerance)


@pytest.mark.parametrize("shape", [(5000,), (64, 50)])
def test_equal_weights_change_nothing(shape):
    assert importance_ess(np.full(shape, 1e300)) == pytest.approx(math.prod(shape), rel=1e-12)


def test_a_dominating_weight_counts_alone():
    assert importance_ess([0.0, 5.0, 0.0]) == 1.0


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, np.nan], [1.0, -1.0], [np.inf, 1.0]])
def test_unusable_weights_raise(weights):
    with pytest.raises(PhysicsError, match="weights"):
        importance_ess(weights)


def test_relative_error():
    assert relative_error(-9.9, -10.0) == pytest.approx(0.01)
    assert relative_error(0.0, 0.0) == 0.0
    assert relative_error(0.1, 0.0) == math.inf


def test_importing_statistics_loads_neither_jax_nor_scipy():
    code = "import sys, wavefoundry.core.statistics; print({'jax', 'scipy', 'netket'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
