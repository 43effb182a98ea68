"""Constants of potential curves against those of Morse potentials, of measured molecules, and of quantum chemistry."""

import numpy as np
import pytest

from wavefoundry.core import scans
from wavefoundry.core.records import typed
from wavefoundry.core.records.molecules import Molecule
from wavefoundry.core.spectroscopy import constants, offset_free, reduced_mass

DEPTH, RANGE, LENGTH = 0.17, 1.03, 1.4


def morse(r):
    return -1.0 + DEPTH * ((1 - np.exp(-RANGE * (r - LENGTH))) ** 2 - 1)


@pytest.mark.parametrize("lengths", [np.linspace(1, 2.8, 7), np.linspace(0.9, 2.2, 5), [1.0, 1.2, 1.5, 1.9, 2.4, 2.8]])
def test_a_morse_potential_gives_its_own_constants(lengths):
    found = constants(lengths, morse(np.asarray(lengths)), np.zeros(len(lengths)))
    for seen, true in zip(found, (LENGTH, -1 - DEPTH, 2 * DEPTH * RANGE**2), strict=True):
        assert abs(seen.value - true) < max(2e-3 * abs(true), 2 * seen.error) and seen.error < 0.02 * abs(true)


def test_error_bars_hold():
    """100 noisy curves: all three numbers within two error bars in at least 90 (normal errors: 95, spread 2)."""
    lengths, rng, inside = np.linspace(1.0, 2.8, 8), np.random.default_rng(1), np.zeros(3)
    for _ in range(100):
        found = constants(lengths, morse(lengths) + 1e-3 * rng.normal(size=8), np.full(8, 1e-3))
        true = np.array([LENGTH, -1 - DEPTH, 2 * DEPTH * RANGE**2])
        inside += [abs(one.value - t) < 2 * one.error for one, t in zip(found, true, strict=True)]
    assert np.all(inside >= 88)


def test_error_bars_know_that_the_range_is_uncertain():
    """Few lengths far apart, 60 curves: |z| below 4 in all (normal errors: chance of one beyond, 4e-3)."""
    lengths, rng, worst = np.array([0.8, 1.4, 2.0, 4.0, 6.0]), np.random.default_rng(1), 0.0
    true = np.array([LENGTH, -1 - DEPTH, 2 * DEPTH * RANGE**2])
    for _ in range(60):
        found = constants(lengths, morse(lengths) + 4e-4 * rng.normal(size=5), np.full(5, 4e-4))
        assert found is not None
        worst = max(worst, *(abs(one.value - t) / one.error for one, t in zip(found, true, strict=True)))
    assert worst < 4


def rydberg(r, at=3.015, a=1.3, b=0.35, depth=0.0924):
    """An extended Rydberg curve, which is no Morse potential, and its slope."""
    x = r - at
    well, slope = 1 + a * x + b * x**2, a + 2 * b * x
    return -depth * well * np.exp(-a * x), -depth * (slope - a * well) * np.exp(-a * x)


@pytest.mark.parametrize("forces", [False, True])
def test_error_bars_hold_for_curves_of_another_form(forces: bool):
    """Lengths and noise as of LiH, 60 curves: within two bars in at least 51 (54.6 +- 2.3 of normal errors, the 51 is
    passed by 96 %; bars that also count the form are longer); forces take the bar of the length to a third.
    """
    lengths = np.array([2.11, 2.5, 2.8, 3.015, 3.3, 3.8, 4.6, 6.03])
    (energy, slope), rng, inside, bars = rydberg(lengths), np.random.default_rng(5), np.zeros(2), []
    curvature = 0.0924 * (1.3**2 - 2 * 0.35)
    for _ in range(60):
        noise, tilt = rng.normal(size=(2, 8))
        slopes = (slope + 5e-4 * tilt, np.full(8, 5e-4)) if forces else (None, None)
        found = constants(lengths, energy + 4e-4 * noise, np.full(8, 4e-4), *slopes)
        assert found is not None
        pairs = ((found.length, 3.015), (found.curvature, curvature))
        inside += [abs(one.value - true) < 2 * one.error for one, true in pairs]
        bars.append(found.length.error)
    assert np.all(inside >= 51), inside
    assert np.median(bars) < (0.007 if forces else 0.03)


def test_what_was_measured_twice_counts_with_both():
    """Two halves of a measurement in any order are the whole one."""
    lengths = np.array([2.11, 2.5, 2.8, 3.015, 3.3, 3.8, 4.6])
    energies, slopes = rydberg(lengths)
    noise = 1e-4 * np.random.default_rng(3).normal(size=(2, 7))
    halves, half = energies + noise, np.full(14, 1.4e-4)
    double = constants([*lengths[::-1], *lengths], [*halves[0][::-1], *halves[1]], half, [*slopes[::-1], *slopes], half)
    once = constants(lengths, energies + noise.mean(0), half[:7] / 2**0.5, slopes, half[:7] / 2**0.5)
    assert double is not None and once is not None
    np.testing.assert_allclose(double, once, rtol=1e-9)


def test_slopes_come_from_forces_along_the_bond():
    """Of a molecule in any direction; the force on the second atom is minus the slope times the unit vector."""
    lengths = np.array([2.11, 2.5, 2.8, 3.015, 3.3, 3.8, 4.6, 6.03])
    along, records = np.array([0.6, 0.0, -0.8]), []
    for r, energy, slope in zip(lengths, *rydberg(lengths), strict=True):
        value = [(slope * along).tolist(), (-slope * along).tolist()]
        error = [(1e-4 * np.abs(along)).tolist()] * 2
        one = record(r, energy + (1e-3 if r > 3 else 0.0), 0.0).model_dump()
        one["geometry"] = [["Li", 0.0, 0.0, 0.0], ["H", *(r * along).tolist()]]
        one["energy_error"], one["observables"] = (
            1e-3,
            {"forces": {"value": value, "error": error, "verdict": "trusted"}},
        )
        records.append(typed(Molecule, one))
    (entry,) = scans.curves(records, ("full",))
    assert abs(entry["length"]["value"] - 3.015) < 2 * entry["length"]["error"] < 0.01


def test_what_cannot_be_told_is_not_told():
    lengths = np.linspace(1.0, 2.8, 8)
    assert constants(lengths[:4], morse(lengths[:4]), np.zeros(4)) is None
    assert constants(lengths[3:], morse(lengths[3:]), np.zeros(5)) is None  # the minimum is not inside
    noise = np.random.default_rng(0).normal(size=8)
    assert constants(lengths, -1 + 0.3 * noise, np.full(8, 0.3)) is None


def test_the_frequency_of_a_measured_molecule():
    """Force constants of H2 (0.3701 Ha/bohr^2) and HF (0.6202): 4401 and 4138 wave numbers."""
    from wavefoundry.core.spectroscopy import Constants, Fitted

    for (a, b), curvature, measured in (((1, 1), 0.3701, 4401.2), ((9, 1), 0.6202, 4138.3)):
        found = Constants(Fitted(1.4, 0), Fitted(-1, 0), Fitted(curvature, 0.01 * curvature))
        wave = found.frequency(reduced_mass(a, b))
        assert wave.value == pytest.approx(measured, rel=2e-3)
        assert wave.error == pytest.approx(0.005 * wave.value)


def test_offset_free_is_blind_to_a_shift():
    assert offset_free([5.0, 5.0, 5.0]) == 0
    assert offset_free(np.array([1.0, -1.0, 1.0, -1.0]) + 7) == pytest.approx(1.0)


def record(length, energy, error_mha, method="full", verdict="trusted"):
    found = {
        "name": f"H2 {length:g}", "method": method, "verdict": verdict, "energy": energy, "energy_error": 1e-4,
        "geometry": [["H", 0, 0, 0], ["H", 0, 0, length]], "error_mha": error_mha,
        "reference": {"value": energy - error_mha / 1000, "kind": "exact", "source": "made up"},
        "atomisation": {"value": -1.0 - energy, "error": 1e-4},
    }  # fmt: skip
    return typed(Molecule, found)


def test_curves_of_records():
    """A curve that is 3 mHa off everywhere has the reference's constants, and no error without its mean."""
    lengths = np.linspace(1.0, 2.6, 7)
    found = scans.curves([record(r, morse(r) + 3e-3, 3.0) for r in lengths], ("zero-shot", "full"))
    (entry,) = found
    assert (entry["name"], entry["method"], entry["points"], entry["why"]) == ("H2", "full", 7, None)
    assert entry["mean_error_mha"] == pytest.approx(3) and entry["offset_free_error_mha"] == pytest.approx(0, abs=1e-9)
    assert entry["length"]["value"] == pytest.approx(entry["length"]["reference"], abs=1e-3)
    assert entry["length"]["value"] == pytest.approx(LENGTH, abs=2e-3)
    assert entry["depth"]["value"] == pytest.approx(DEPTH - 3e-3, abs=1e-4)
    assert entry["depth"]["reference"] == pytest.approx(DEPTH, abs=1e-4)


def test_refused_energies_are_no_part_of_a_curve():
    lengths = np.linspace(1.0, 2.6, 7)
    records = [record(r, morse(r), 0.0) for r in lengths]
    spoilt = records + [record(1.5, -5.0, -4000.0, verdict="refused")]
    assert scans.curves(spoilt, ("full",)) == scans.curves(records, ("full",))
    few = scans.curves(records[:4], ("full",))[0]
    assert few["length"] is None and "five" in few["why"]
