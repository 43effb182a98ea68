"""The toric code: energies, the constructed network, and plateaus in closed form."""

from __future__ import annotations

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.adapt.compact import Options, evaluate
from wavefoundry.adapt.explain import explain, geometry, walsh
from wavefoundry.core.torus import plaquettes, stars
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.feedforward import DenseBackbone, SumHead
from wavefoundry.problems import exact, lattice
from wavefoundry.problems.enumerated import enumerate_states
from wavefoundry.problems.toric import toric


def constructed(rows: int, columns: int, w: float, left_out: int = 0) -> Wavefunction:
    """ReLU units on every plaquette with the 8 odd sign patterns of weights +-w: 32 weights a plaquette."""
    odd = [p for p in itertools.product((1, -1), repeat=4) if math.prod(p) < 0]
    units = []
    for quad in plaquettes(rows, columns)[left_out:]:
        for pattern in odd:
            unit = np.zeros(2 * rows * columns)
            unit[quad] = w * np.array(pattern)
            units.append(unit)
    return Wavefunction(DenseBackbone(jnp.asarray(np.array(units).T), "relu"), SumHead())


def expectations(network: Wavefunction, system) -> tuple[float, float, float]:
    found = evaluate(network, system, None, Options(0, 4096))
    terms = np.asarray(found.batch.weight @ found.terms)
    count = system.lattice.sites // 2
    return float(terms @ np.asarray(system.couplings)), -terms[0] / count, -terms[1] / count


def test_stars_and_plaquettes_are_those_of_the_published_numbering():
    assert stars(3, 3).tolist()[:3] == [[0, 6, 9, 11], [1, 7, 10, 9], [2, 8, 11, 10]]
    assert stars(3, 3).tolist()[-1] == [8, 5, 17, 16]
    assert plaquettes(3, 3).tolist()[:3] == [[0, 1, 9, 12], [1, 2, 10, 13], [2, 0, 11, 14]]
    for star, plaquette in itertools.product(stars(3, 4), plaquettes(3, 4)):
        assert len(set(star) & set(plaquette)) in (0, 2)  # they commute


@pytest.mark.parametrize(("size", "energy"), [((2, 2), -8.0), ((2, 3), -12.0)])
def test_ground_energy(size, energy):
    assert exact.ground_state(toric(*size).operator())[0] == pytest.approx(energy, abs=1e-9)


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 3)])
@pytest.mark.parametrize("w", [0.5, 1.0])
def test_constructed_network_has_its_closed_form(size, w):
    system, count = enumerate_states(toric(*size)), size[0] * size[1]
    energy, star, plaquette = expectations(constructed(*size, w), system)
    t = math.tanh(4 * w)
    assert star == pytest.approx(1.0, abs=1e-12)
    assert plaquette == pytest.approx((t + t ** (count - 1)) / (1 + t**count), abs=1e-10)
    assert energy == pytest.approx(-count * (1 + (t + t ** (count - 1)) / (1 + t**count)), abs=1e-10)
    if (size, w) == ((3, 3), 0.5):
        assert energy == pytest.approx(-17.952158353628764, abs=1e-10)


def test_plaquettes_without_units():
    system, w, count = enumerate_states(toric(2, 3)), 0.5, 6
    t = math.tanh(4 * w)
    one = -count - (count - 1) * t - t ** (count - 1)  # the constraint makes up for a single one
    assert expectations(constructed(2, 3, w, 1), system)[0] == pytest.approx(one, abs=1e-10)
    for missing in (2, 3):
        expected = -count - (count - missing) * t
        assert expectations(constructed(2, 3, w, missing), system)[0] == pytest.approx(expected, abs=1e-10)


def test_empty_networks_are_product_states():
    nothing = Wavefunction(DenseBackbone(jnp.zeros((8, 3)), "relu"), SumHead())
    assert expectations(nothing, enumerate_states(toric(2, 2)))[0] == pytest.approx(-4.0, abs=1e-10)
    ising = enumerate_states(lattice.ising((3, 3), h=3.04438, periodic=False))
    nothing = Wavefunction(DenseBackbone(jnp.zeros((9, 3)), "logcosh"), SumHead())
    assert expectations(nothing, ising)[0] == pytest.approx(-9 * 3.04438, abs=1e-10)


def test_units_are_recognised():
    network = constructed(3, 3, 1.0)
    found = explain(np.asarray(network.backbone.kernel), "relu", geometry("toric", (6, 3), True))  # type: ignore[attr-defined]
    assert found["kinds"] == {"plaquette": 72}
    assert found["odd_plaquettes"] == [72, 72]
    assert found["covered"]["plaquette"] == [9, 9]


def test_coupling_of_a_two_site_unit():
    w1, w2 = 0.31, -0.27
    expected = 0.5 * math.log(math.cosh(w1 + w2) / math.cosh(w1 - w2))
    assert walsh(np.array([w1, w2]), "logcosh", (0, 1)) == pytest.approx(expected, abs=1e-14)
    assert walsh(np.array([0.2, 0.2]), "relu", (0, 1)) == pytest.approx(0.1, abs=1e-14)


@pytest.mark.parametrize(
    ("extent", "energy"),
    [
        ((2, 2), -12.51887876421987),
        ((2, 3), -18.871881000105653),
        ((3, 3), -28.45555956767012),
        ((3, 4), -38.04053376324605),
    ],
)
def test_open_ising_reference_energies(extent, energy):
    system = lattice.ising(extent, h=3.04438, periodic=False)
    assert exact.ground_state(system.operator())[0] == pytest.approx(energy, abs=1e-9)
