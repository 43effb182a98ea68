"""Fidelities from samples of two states against sums over all configurations."""

import numpy as np
import pytest

from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.overlaps import blind_to_flip, overlap
from wavefoundry.problems import exact, lattice

CHAINS = 64


def sampled(a: np.ndarray, b: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Log b - log a on independent samples of a and of b, [chains, samples]; amplitudes up to a factor."""
    with np.errstate(divide="ignore"):
        ratio = np.log((3.0 * b).astype(complex)) - np.log(a.astype(complex))
    sides = [rng.choice(len(a), (CHAINS, count), p=np.abs(v) ** 2 / np.sum(np.abs(v) ** 2)) for v in (a, b)]
    return ratio[sides[0]], ratio[sides[1]]


def test_error_bars_of_fidelities_are_calibrated():
    """60 pairs, from nearly equal to F = .2, with phases: inside one bar .68, two bars .95 of them.

    Bars of 64 rows; the share inside one bar has a deviation of .06: bounds at 3.5 of them, false alarm 1e-3.
    """
    rng = np.random.default_rng(0)
    z = []
    for trial in range(60):
        a = np.exp(rng.normal(size=200) + 0.5j * rng.normal(size=200))
        scale = (0.1, 0.5, 1.5)[trial % 3]
        b = a * np.exp(scale * (rng.normal(size=200) + 1j * rng.normal(size=200)))
        truth = abs(np.vdot(a, b)) ** 2 / (np.vdot(a, a).real * np.vdot(b, b).real)
        found = overlap(*sampled(a, b, 16, rng))
        assert found.told
        z.append((found.fidelity - truth) / found.error)
    inside = np.mean(np.abs(z) < 1), np.mean(np.abs(z) < 2)
    assert 0.46 < inside[0] < 0.89 and inside[1] > 0.85, inside
    assert abs(np.mean(z)) < 4.5 / np.sqrt(60)


def test_fidelities_of_neighbouring_ground_states():
    """Ising chain of 10 sites: the infidelity, not only the fidelity, has a small error bar."""
    rng = np.random.default_rng(1)
    states = {h: exact.ground_state(lattice.ising_chain(10, h=h).operator())[1] for h in (0.9, 1.0, 1.1)}
    for one, two in ((0.9, 1.0), (1.0, 1.1), (0.9, 1.1)):
        truth = float(states[one] @ states[two]) ** 2
        found = overlap(*sampled(states[one], states[two], 32, rng))
        assert abs(found.fidelity - truth) < 4 * found.error, "false alarm 6e-5 each"
        assert found.error < 0.15 * (1 - truth)
    assert overlap(np.zeros((8, 4)), np.zeros((8, 4)))[:2] == (1.0, 0.0)


def test_orthogonal_by_phases_is_told_and_by_support_is_not():
    rng = np.random.default_rng(2)
    a = np.ones(100)
    b = np.where(np.arange(100) % 2, 1.0, -1.0)
    found = overlap(*sampled(a, b, 32, rng))
    assert found.told and abs(found.fidelity) < 4 * found.error and found.error < 0.01
    away = np.where(np.arange(100) < 50, 1.0, 1e-30)
    found = overlap(*sampled(away, away[::-1], 32, rng))
    assert not found.told and "meet" in found.why and found.fidelity < 1e-6
    with pytest.raises(PhysicsError, match="NaN"):
        overlap(np.full((8, 4), np.nan), np.zeros((8, 4)))


def test_blind_to_flip_restores_the_superposition_of_both_orders():
    """A state with unequal weights of its two mirror images has the overlap of the state with equal ones."""
    states = exact.basis(lattice.ising_chain(8).hilbert)
    flip = np.array([np.flatnonzero((states == -row).all(axis=1))[0] for row in states])
    vectors = [exact.ground_state(lattice.ising_chain(8, h=h).operator())[1] for h in (0.4, 0.6)]
    truth = float(vectors[0] @ vectors[1]) ** 2
    sign = states.sum(axis=1)
    lopsided = [
        v * np.where(sign > 0, w, np.where(sign < 0, 1 / w, 1.0)) for v, w in zip(vectors, (3.0, 0.5), strict=True)
    ]
    plain = np.dot(*lopsided) ** 2 / np.prod([np.dot(v, v) for v in lopsided])
    logs = [np.log(v) for v in lopsided]
    blind = [np.exp(blind_to_flip(log, log[flip])) for log in logs]
    assert plain < 0.5
    # configurations of no magnetisation keep their weight: all others have one factor in common only nearly
    assert np.dot(*blind) ** 2 / np.prod([np.dot(v, v) for v in blind]) == pytest.approx(truth, abs=2e-2)
