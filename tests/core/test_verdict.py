"""Verdicts: what each flag needs, how answers make a word, references from both sides, observables of their own."""

import itertools
import math

import pytest

from wavefoundry.core.statistics import Estimate
from wavefoundry.core.verdict import (
    Doubt,
    Reference,
    judge,
    observable_verdict,
    reference_doubts,
    refused,
    verdict_of,
)

GOOD = Estimate(-10.0, 0.001, 0.1, 1e-4, 1e-5, 1.001, 1.01, 1.5, 2000.0, 64, 3000, 0.2)
EXACT = Reference(-10.002)


def test_a_good_energy_is_an_upper_bound_until_something_independent_confirms_it():
    assert verdict_of(GOOD).word == "upper bound" and not verdict_of(GOOD).trusted
    confirmed = verdict_of(GOOD, EXACT)
    assert (confirmed.word, confirmed.flags) == ("trusted", ())
    assert (confirmed.sampled, confirmed.state, confirmed.ground) == ("yes", "yes", "yes")
    assert verdict_of(GOOD).ground == "unknown" and "independent" in verdict_of(GOOD).reasons[-1]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"r_hat": 1.05}, "R-HAT"),
        ({"r_hat": 1.05, "r_hat_limit": 1.06}, None),
        ({"r_hat": 1.2}, "R-HAT!"),
        ({"r_hat": None}, None),
        ({"r_hat": None, "chains": 1}, "R-HAT!"),
        ({"ess": 399.0}, "LOW-ESS"),
        ({"ess": 99.0}, "LOW-ESS!"),
        ({"chains": 31, "samples": 3100, "tau": 3.0}, "SHORT-CHAINS"),
        ({"chains": 31, "samples": 310, "tau": 3.0}, "SHORT-CHAINS!"),
        ({"chains": 32, "samples": 320, "tau": 3.0}, None),
        ({"error": math.inf}, "SHORT-CHAINS!"),
        ({"imag_z": -4.0}, "IMAG"),
        ({"imag_z": 6.0}, "IMAG!"),
        ({"v_score": 2e-3}, "HIGH-VARIANCE"),
        ({"v_score": 0.02}, "HIGH-VARIANCE!"),
        ({"v_score": math.nan}, "HIGH-VARIANCE!"),
        ({"v_score": None}, None),
    ],
)
def test_thresholds(change, expected):
    found = verdict_of(GOOD._replace(**change))
    assert list(found.flags) == ([expected] if expected else [])
    wanted = "upper bound" if expected is None else "refused" if expected.endswith("!") else "doubtful"
    assert found.word == wanted
    assert len(found.reasons) == len(found.flags) + 1  # every flag says why, and that nothing is known


@pytest.mark.parametrize(
    ("energy", "error", "word", "flag"),
    [
        (-9.993, 0.001, "trusted", None),  # nine error bars above, but less than a thousandth: as good as exact
        (-9.97, 0.001, "doubtful", "ABOVE-EXACT"),  # 0.3 % and 30 error bars
        (-9.97, 0.012, "doubtful", "ABOVE-EXACT"),  # the same state with few samples
        (-9.97, 0.03, "doubtful", "LOW-PRECISION"),  # and with fewer still: 0.3 +- 0.3 %
        (-9.98, 0.012, "trusted", None),  # 0.20 +- 0.12 %: may well be a thousandth, and is no half per cent
        (-9.8, 0.001, "refused", "ABOVE-EXACT!"),
        (-9.8, 0.2, "doubtful", "LOW-PRECISION"),  # one error bar, but the bar is 2 %
        (-10.05, 0.2, "doubtful", "LOW-PRECISION"),
        (-10.0035, 0.001, "trusted", None),
        (-10.0055, 0.001, "doubtful", "BELOW-EXACT"),
        (-10.0065, 0.001, "refused", "BELOW-EXACT!"),
        (-9.0, 0.001, "refused", "ABOVE-EXACT!"),
    ],
)
def test_a_reference_refuses_from_both_sides(energy, error, word, flag):
    found = verdict_of(GOOD._replace(mean=energy, error=error), EXACT)
    assert (found.word, found.flags) == (word, (flag,) if flag else ())


def test_no_wrong_energy_is_trusted_whatever_its_error_bar():
    for relative, bar in itertools.product([0.011, 0.02, 0.2, 1.0], [0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0]):
        for sign in (1, -1):
            energy = EXACT.energy * (1 - sign * relative)
            error = bar * abs(EXACT.energy)
            assert not verdict_of(GOOD._replace(mean=energy, error=error), EXACT).trusted


def test_a_confirmed_energy_keeps_warnings_about_the_state_as_flags():
    warned = GOOD._replace(v_score=2e-3)
    found = verdict_of(warned, EXACT)
    assert (found.word, found.flags) == ("trusted", ("HIGH-VARIANCE",))
    wide = verdict_of(GOOD._replace(v_score=0.02), EXACT)
    assert (wide.word, wide.flags) == ("trusted", ("HIGH-VARIANCE",))
    assert verdict_of(GOOD._replace(mean=-9.97, v_score=0.02), EXACT).word == "refused"  # 0.3 % off: not as near
    assert verdict_of(GOOD._replace(v_score=0.02)).word == "refused"
    assert verdict_of(warned._replace(ess=300.0), EXACT).word == "doubtful"  # about the sampling: stays a doubt


def test_relative_errors_count_from_infinite_temperature():
    """H = sum (1 - X) of ten sites: E0 = 0, Tr H / dim = 10."""
    zero = Reference(0.0, zero=10.0)
    assert reference_doubts(0.005, 1e-4, zero)[1] is not None
    assert [d.flag for d in reference_doubts(0.5, 1e-4, zero)[0]] == ["ABOVE-EXACT!"]
    assert verdict_of(GOOD._replace(mean=0.0, error=0.0), Reference(0.0, zero=10.0)).trusted
    # a constant of 500 does not hide an error of 2 %
    shifted = Reference(490.0, zero=500.0)
    assert [d.flag for d in reference_doubts(490.2, 1e-3, shifted)[0]] == ["ABOVE-EXACT!"]


def test_a_method_cannot_show_that_a_lower_energy_is_wrong():
    method = Reference(-10.0, exact=False, source="DMRG", uncertainty=0.01)
    assert reference_doubts(-10.03, 0.001, method)[0] == [] or all(
        doubt.name != "BELOW-EXACT" for doubt in reference_doubts(-10.03, 0.001, method)[0]
    )
    assert reference_doubts(-10.009, 0.001, method)[1] is not None


def test_words_follow_from_answers():
    sampled, state = Doubt("A", "sampled", False, "a"), Doubt("B", "state", True, "b")
    assert judge([]).word == "upper bound"
    assert judge([], "agrees").word == "trusted"
    assert judge([sampled], "agrees").word == "doubtful"
    found = judge([sampled, state], "agrees")
    assert (found.word, found.sampled, found.state, found.ground) == ("refused", "doubtful", "no", "yes")
    assert found.reasons[0] == "b", "what refuses comes first"
    assert refused("NOT-FINITE", "sampled", "why").fields()["flags"] == ["NOT-FINITE!"]


@pytest.mark.parametrize(
    ("value", "error", "exact", "word"),
    [
        (0.50, 0.01, 0.505, "trusted"),
        (0.69, 0.01, 0.91, "refused"),
        (0.50, 0.001, 0.51, "doubtful"),  # 2 %, ten error bars
        (0.001, 0.004, 0.0, "estimate"),  # zero within the bar: nothing more to be said
        (0.50, 0.2, 0.52, "trusted"),
        (0.90, 0.2, 0.50, "estimate"),  # two error bars, but the bar is as large as the value
    ],
)
def test_observables_have_a_verdict_of_their_own(value, error, exact, word):
    assert observable_verdict(value, error, exact, 0.0, verdict_of(GOOD, EXACT))[0] == word


def test_observables_of_a_bad_state_or_with_a_large_bias():
    fine = verdict_of(GOOD, EXACT)
    assert observable_verdict(0.5, 0.001, None, 0.002, fine)[0] == "estimate"
    assert observable_verdict(0.5, 0.001, None, 0.1, fine)[0] == "doubtful"
    assert observable_verdict(0.5, 0.001, 0.5, 0.0, verdict_of(GOOD._replace(ess=300.0), EXACT))[0] == "doubtful"
    assert observable_verdict(0.5, 0.001, 0.5, 0.0, verdict_of(GOOD._replace(v_score=1.0)))[0] == "refused"


def test_words_of_a_full_sum_and_of_references_that_decide_nothing():
    """No error bars where there are none; an energy well below a value that is not exact is not called imprecise."""
    summed = GOOD._replace(error=0.0, mean=-9.7)
    assert verdict_of(summed, Reference(-10.0)).reasons[0] == "3.0% above the exact energy"
    below = verdict_of(
        GOOD._replace(mean=-10.18, error=0.0005), Reference(-10.0, exact=False, uncertainty=0.01, source="own")
    )
    assert (below.word, below.flags) == ("upper bound", ())
    assert below.reasons == ("0.018 (relative) below the own energy, which is not exact: it decides nothing",)
    near = verdict_of(
        GOOD._replace(mean=-10.01, error=0.0005), Reference(-10.0, exact=False, uncertainty=0.01, source="own")
    )
    assert near.word == "trusted"
