"""Potentials that change with time or absorb, against closed forms."""

from typing import Any

import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.problems.driven import takes_time

GRID = wf.Grid1D(60.0, 384)


def mean(frames: np.ndarray) -> np.ndarray:
    return np.sum(np.abs(frames) ** 2 * GRID.x, axis=-1) * GRID.dx


def test_an_oscillator_that_is_moved_follows_the_classical_path():
    """V = w^2 (x - 30 - a sin(v t))^2 / 2: Ehrenfest's theorem is exact for it."""
    w, a, v = 0.8, 2.0, 0.5
    frames = wf.propagate(
        wf.Packet(30.0, 1.0, 0.0), lambda x, t: 0.5 * w**2 * (x - 30 - a * np.sin(v * t)) ** 2, 80, grid=GRID,
        tolerance=1e-3,
    )  # fmt: skip
    t = 0.1 * np.arange(81)
    path = 30 + a * w / (w**2 - v**2) * (w * np.sin(v * t) - v * np.sin(w * t))
    np.testing.assert_allclose(mean(frames), path, atol=2e-3)
    np.testing.assert_allclose(GRID.norm(frames), 1.0, atol=1e-10)


def test_a_potential_of_time_alone_is_a_phase():
    frames = wf.propagate(wf.Packet(30.0, 2.0, 1.0), lambda x, t: np.cos(3 * t) + 0 * x, 20, grid=GRID, tolerance=1e-4)
    free = wf.propagate(wf.Packet(30.0, 2.0, 1.0), 0 * GRID.x, 20, grid=GRID)
    phase = np.exp(-1j * np.sin(3 * 2.0) / 3)
    np.testing.assert_allclose(frames[-1], phase * free[-1], atol=1e-4)


def test_what_stands_still_is_the_same_as_without_time():
    barrier = {"kind": "barrier", "height": 3.0, "width": 2.0}
    from wavefoundry.problems.potentials import from_dict

    values = from_dict(barrier)(GRID)
    packet, how = wf.Packet(15.0, 2.0, 3.0), {"grid": GRID, "substeps": 16, "check": False}
    still = wf.propagate(packet, values, 10, **how)
    np.testing.assert_allclose(wf.propagate(packet, lambda x, t: values, 10, **how), still, atol=1e-11)
    np.testing.assert_allclose(wf.propagate(packet, values.astype(complex), 10, **how), still, atol=1e-11)


def test_a_uniform_absorber_takes_norm_at_its_rate():
    frames = wf.propagate(wf.Packet(30.0, 2.0, 1.0), np.full(GRID.n, -0.25j), 30, grid=GRID)
    np.testing.assert_allclose(GRID.norm(frames), np.exp(-0.5 * 0.1 * np.arange(31)), rtol=1e-9)


def test_a_wall_that_absorbs_keeps_a_packet_from_coming_round():
    """All of a fast packet is gone after it has met the wall, and as much passes the barrier as without it before."""

    def absorbing(x: Any) -> Any:
        return -0.5j * np.maximum(0.0, x - 45.0) ** 2 / 15 * 2

    packet = wf.Packet(20.0, 2.0, 8.0)
    frames = wf.propagate(packet, absorbing, 150, grid=GRID)
    norm = GRID.norm(frames)
    assert np.all(np.diff(norm) < 1e-12) and norm[0] == pytest.approx(1.0) and norm[-1] < 1e-3
    free = wf.propagate(packet, 0 * GRID.x, 40, grid=GRID)
    left = GRID.x < 40
    np.testing.assert_allclose(frames[40][left], free[40][left], atol=2e-3)


def test_batches_and_planes():
    plane = wf.Grid2D((16.0, 16.0), (32, 32))
    x, y = np.meshgrid(plane.axis(0), plane.axis(1), indexing="ij")
    psi0 = np.exp(-((x - 8) ** 2) / 4 - (y - 8) ** 2 / 4).astype(complex)
    still = wf.propagate(psi0, lambda x, y: 0.3 * (y - 8) ** 2, 5, grid=plane)
    driven = wf.propagate(psi0, lambda x, y, t: 0.3 * (y - 8) ** 2 + 0 * t, 5, grid=plane, tolerance=1e-4)
    np.testing.assert_allclose(driven, still, atol=2e-2)
    states = np.stack([wf.propagate(wf.Packet(x0, 2.0, 1.0), 0 * GRID.x, 1, grid=GRID)[0] for x0 in (20.0, 30.0)])
    both = wf.propagate(states, lambda x, t: 0.1 * np.cos(x / 10 + t), 5, grid=GRID)
    one = wf.propagate(states[1], lambda x, t: 0.1 * np.cos(x / 10 + t), 5, grid=GRID)
    np.testing.assert_allclose(both[1], one, atol=1e-6)


@pytest.mark.parametrize(
    ("potential", "how", "words"),
    [
        (lambda x: 0.1j + 0 * x, {}, "creates norm"),
        (lambda x, t: np.where(t > 0.2, np.nan, 0) + x, {}, r"not finite at t = 0\.2"),
        (lambda x, t: x[:5], {}, "has shape"),
        (lambda x, t: 0 * x, {"method": "bm4"}, "changes with time, or absorbs"),
        (-1j * np.ones(GRID.n), {"method": "exact"}, 'method = "strang"'),
        (np.zeros((3, GRID.n)), {}, "a function of x and t"),
        (lambda x, y, t: 0 * x, {}, "cannot be evaluated"),
    ],
)
def test_what_cannot_be_is_refused(potential: Any, how: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        wf.propagate(wf.Packet(30.0, 2.0, 1.0), potential, 5, grid=GRID, **how)


def test_a_student_and_a_packet_say_what_they_know():
    with pytest.raises(InputError, match="changes with time"):
        wf.demo_emulator().rollout(wf.Packet(30.0, 2.0, 1.0), lambda x, t: x, 3)
    np.testing.assert_allclose(GRID.norm(wf.Packet(30.0, 2.0, 1.0).on(GRID)), 1.0)
    with pytest.raises(InputError, match="is no line"):
        wf.Packet(30.0, 2.0, 1.0).on(3)  # type: ignore[arg-type]


def test_what_changes_too_fast_for_the_steps_is_not_handed_out():
    with pytest.raises(PhysicsError, match="not converged"):
        wf.propagate(
            wf.Packet(30.0, 2.0, 1.0), lambda x, t: 30 * np.cos(200 * t) * np.sin(x), 5, grid=GRID, substeps=4,
            tolerance=1e-3,
        )  # fmt: skip


def test_who_takes_time():
    assert takes_time(lambda x, t: x, 1) and takes_time(lambda x, y, t: x, 2)
    assert (
        not takes_time(lambda x, y: x, 1)
        and not takes_time(lambda x, scale=1.0: x, 1)
        and not takes_time(np.cos, 1)
        and not takes_time(3.0, 1)
    )
