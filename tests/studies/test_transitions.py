"""The verdict on a hunt, on made curves: power laws of any slope and cut, true jumps, jumps that lack a sign, noise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from wavefoundry.studies.tickets.transitions import FIRST, NOT_LOOKED, SMOOTH, STEEP, over_seeds, sentence, transition


def sizes(fraction, start=2000, stop=12):
    n = [start]
    while n[-1] > stop:
        n.append(n[-1] - max(1, round(fraction * n[-1])))
    return np.array(n, float)


def rounds(n, error, fidelity=None, m_x=None, abs_m=None, bars=0.0):
    """Records of a hunt; without more said, fidelity and order parameters change as smoothly as the error."""
    error = np.minimum(np.asarray(error, float), 1.0)
    lost = np.abs(np.diff(np.sqrt(error), prepend=np.sqrt(error[0]))) ** 2
    fidelity = 1 - np.minimum(lost, 0.9) if fidelity is None else fidelity
    m_x = 0.95 + 0.04 * np.sqrt(error) if m_x is None else m_x
    abs_m = 0.38 - 0.2 * np.sqrt(error) if abs_m is None else abs_m
    columns = zip(n, error, fidelity, m_x, abs_m, strict=True)
    return [
        {"n": int(a), "relative_error": float(b), "energy": -28.0, "energy_error": bars,
         "fidelity_previous": None if k == 0 else float(c), "observables": {"m_x": float(d), "abs_m": float(e)}}
        for k, (a, b, c, d, e) in enumerate(columns)
    ]  # fmt: skip


def confirmed(records, seen=True):
    """Every error that grows threefold, as a hunt trains it again."""
    return [
        {"round": k, "confirmed": seen}
        for k in range(1, len(records))
        if records[k]["relative_error"] > 3 * records[k - 1]["relative_error"]
    ]


@pytest.mark.parametrize(
    ("slope", "fraction"),
    list(itertools.product([0.0, -0.5, -1.7, -3.1, -6.8, -12.0, -30.0], [0.05, 0.12, 0.15, 0.4, 0.6])),
)
def test_a_pure_power_law_is_smooth_however_steep(slope, fraction):
    n = sizes(fraction)
    records = rounds(n, 0.3 * (n / n[-1]) ** slope)
    found = transition(records, confirmed(records))
    assert found["word"] != FIRST
    resolved = sum(record["relative_error"] > 1e-9 for record in records)
    assert found["word"] == SMOOTH or resolved < 4, found  # of three points or fewer no law can be read


@pytest.mark.parametrize("fraction", [0.05, 0.12, 0.15, 0.3])
def test_plateaus_joined_by_a_steep_power_law_are_no_transition(fraction):
    """Changes of slope are not jumps: low-error plateau, slope -6.8, high-error plateau."""
    n = sizes(fraction)
    error = np.clip(1e-5 * (n / 300) ** -6.8, 1e-5, 0.04)
    records = rounds(n, error)
    assert transition(records, confirmed(records))["word"] != FIRST


def test_noise_about_a_power_law_is_no_transition():
    """200 curves with a scatter of 40 per cent, noise on fidelities and order parameters as well: never first-order."""
    rng, words = np.random.default_rng(0), []
    for _ in range(200):
        n = sizes(rng.choice([0.05, 0.12, 0.15, 0.25]))
        error = 0.02 * (n / n[-1]) ** -rng.uniform(0.5, 7) * np.exp(0.4 * rng.standard_normal(n.size))
        records = rounds(
            n, error, 1 - 10.0 ** rng.uniform(-4, -1, n.size), 0.95 + 0.01 * rng.standard_normal(n.size),
            0.3 + 0.01 * rng.standard_normal(n.size),
        )  # fmt: skip
        words.append(transition(records, confirmed(records))["word"])
    assert FIRST not in words
    assert words.count(SMOOTH) > 150  # a kink by chance alone: fewer than one curve in four


def jump(fraction=0.15, at=60, slope=-1.6, factor=12.0, scatter=0.0, signs=("fidelity", "m_x", "abs_m")):
    """A power law on both sides of one cut, at which the error jumps; with the signs that are named."""
    n = sizes(fraction)
    after = n < at
    error = 1e-3 * (n / at) ** slope * np.where(after, factor, 1.0)
    error = np.minimum(error * np.exp(scatter * np.random.default_rng(1).standard_normal(n.size)), 0.2)
    here = int(np.argmax(after))
    fidelity = np.full(n.size, 0.9995)
    m_x, abs_m = 0.95 + 1e-4 * np.arange(n.size), 0.30 - 1e-4 * np.arange(n.size)
    if "fidelity" in signs:
        fidelity[here] = 0.93
    m_x = m_x + 0.02 * after * ("m_x" in signs)
    abs_m = abs_m - 0.05 * after * ("abs_m" in signs)
    return rounds(n, error, fidelity, m_x, abs_m), here


@pytest.mark.parametrize(
    ("fraction", "slope", "scatter"), [(0.12, -1.6, 0), (0.15, 0, 0.1), (0.3, -3, 0), (0.05, -1, 0.1)]
)
def test_a_jump_with_all_signs_is_first_order_like(fraction, slope, scatter):
    records, here = jump(fraction, slope=slope, scatter=scatter)
    found = transition(records, confirmed(records))
    assert found["word"] == FIRST, found
    assert (found["n"], found["next_n"]) == (records[here - 1]["n"], records[here]["n"])
    assert found["growth"] > 3 * found["expected"]
    assert sentence(found).startswith("First-order-like, between")


@pytest.mark.parametrize("missing", ["fidelity", "m_x", "abs_m"])
def test_a_jump_that_lacks_a_sign_is_not_decided(missing):
    records, _ = jump(signs=tuple({"fidelity", "m_x", "abs_m"} - {missing}))
    found = transition(records, confirmed(records))
    assert found["word"] == STEEP
    assert found["signs"]["fidelity" if missing == "fidelity" else "observables"]["seen"] is False


def test_a_jump_that_was_not_trained_longer_or_goes_away_is_not_first_order():
    records, here = jump()
    assert transition(records, [])["word"] == STEEP
    assert transition(records, confirmed(records), looked=False)["word"] == STEEP
    assert transition(records, confirmed(records, False))["word"] == SMOOTH
    unseen = [record | {"observables": {}} for record in records]
    assert transition(unseen, confirmed(records))["word"] == STEEP
    assert transition(records, confirmed(records), model="j1j2")["word"] == STEEP


def test_a_rise_over_two_cuts_or_at_the_end_is_not_decided():
    n = sizes(0.15)
    before = int(np.argmax(n < 60))
    error = np.full(n.size, 1e-3)
    error[before], error[before + 1 :] = 1e-2, 1e-1
    lost = np.full(n.size, 0.9995)
    lost[before] = lost[before + 1] = 0.93
    steps = np.minimum(np.maximum(np.arange(n.size) - before + 1, 0), 2)
    records = rounds(n, error, lost, 0.95 + 0.02 * steps, 0.3 - 0.05 * steps)
    assert transition(records, confirmed(records))["word"] == STEEP
    ends, here = jump()
    assert transition(ends[: here + 1], confirmed(ends[: here + 1]))["word"] == STEEP


def test_order_parameters_must_move_beyond_their_error_bars():
    records, here = jump()
    noisy = [record | {"observable_errors": {"m_x": 0.01, "abs_m": 0.03}} for record in records]
    assert transition(noisy, confirmed(records))["word"] == STEEP


def test_seeds_decide_where_they_were_run():
    records, here = jump()
    before, after = records[here - 1]["relative_error"], records[here]["relative_error"]

    def isolated(found):
        return [
            {"round": r, "variant": "random-init", "errors": e} for r, e in ((here - 1, [before] * 3), (here, found))
        ]

    jumps = confirmed(records)
    assert transition(records, jumps, isolated([after] * 3))["word"] == FIRST
    assert transition(records, jumps, isolated([after, after, before]))["word"] == STEEP
    first = transition(records, jumps)
    other = transition(jump(at=50)[0], jumps)
    smooth = {"word": SMOOTH, "n": None, "next_n": None}
    assert over_seeds([first, first])["word"] == FIRST
    assert over_seeds([first, other | {"word": STEEP}])["word"] == STEEP
    assert over_seeds([first, smooth])["word"] == STEEP and over_seeds([smooth, smooth])["word"] == SMOOTH
    assert over_seeds([first, first | {"n": 1000, "next_n": 900}])["word"] == STEEP


def test_without_errors_nothing_is_said():
    records = [record | {"relative_error": None} for record in jump()[0]]
    found = transition(records)
    assert found["word"] == NOT_LOOKED and "no reference" in sentence(found)
