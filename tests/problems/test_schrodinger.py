"""The teacher against closed forms, exact diagonalisation and conservation laws."""

import numpy as np
import pytest

from tests.oracles import coherent_state, free_gaussian
from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.problems.grid import Grid1D, Grid2D
from wavefoundry.problems.propagation import propagate
from wavefoundry.problems.schrodinger import energy_of, solve
from wavefoundry.problems.splitting import SCHEMES, Solver
from wavefoundry.problems.wavepackets import (
    Packet,
    barrier_transmission,
    gaussian,
    packet_transmission,
    superpose,
)

BOX = Grid1D()
SMALL = Grid1D(40.0, 256)


def relative(found, true):
    return np.linalg.norm(found - true) / np.linalg.norm(true)


def barrier(grid, height, width):
    return np.where(np.abs(grid.x - grid.length / 2) < width / 2, height, 0.0)


def test_free_packet_is_exact_with_the_spectral_laplacian():
    packet = Packet(30, 1.5, 4)
    frames = propagate(gaussian(packet), np.zeros(1024), 100)
    assert relative(frames[100], free_gaussian(packet, BOX.x, 10.0)) < 1e-10


@pytest.mark.parametrize(("frame", "error"), [(50, 0.151), (100, 0.301)])
def test_three_point_laplacian_has_the_known_error(frame, error):
    packet = Packet(30, 1.5, 4)
    frames = propagate(gaussian(packet), np.zeros(1024), frame, laplacian="fd2")
    assert relative(frames[frame], free_gaussian(packet, BOX.x, frame / 10)) == pytest.approx(error, abs=0.005)


@pytest.mark.parametrize(("omega", "error"), [(0.3, 2.11e-4), (0.5, 1.34e-3)])
def test_coherent_state_and_second_order(omega, error):
    y = BOX.x - 50
    start, potential = coherent_state(omega, 8, y, 0.0), omega**2 * y**2 / 2
    # A frame of 0.02 with one step each; momenta stay far below the band limit.
    errors = []
    for dt in (0.02, 0.01):
        solver = Solver(substeps=1, check=False, kcut=15.0)
        frames = solve(start, potential, round(40 / dt), dt=dt, solver=solver).frames
        errors.append(relative(frames[-1], coherent_state(omega, 8, y, 40.0)))
    assert errors[0] == pytest.approx(error, rel=0.02)
    assert errors[0] / errors[1] == pytest.approx(4.0, abs=0.05)
    assert errors[1] < 1e-3


def test_blanes_moan_has_order_four():
    y = SMALL.x - 20
    start, potential = coherent_state(0.8, 4, y, 0.0), 0.32 * y**2
    errors = []
    for substeps in (2, 4):
        solver = Solver("bm4", substeps=substeps, check=False)
        frames = solve(start, potential, 20, grid=SMALL, dt=0.1, solver=solver).frames
        errors.append(relative(frames[-1], coherent_state(0.8, 4, y, 2.0)))
    assert errors[0] / errors[1] == pytest.approx(16, rel=0.15)


def test_coefficients_of_every_scheme_add_up_to_one():
    for scheme in SCHEMES.values():
        assert sum(scheme.kicks) == pytest.approx(1.0, abs=1e-14)
        assert sum(scheme.drifts) == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize("method", ["strang", "bm4"])
def test_sharp_barrier_agrees_with_diagonalisation(method):
    grid = Grid1D(50.0, 512)
    start, potential = gaussian(Packet(12, 2, 5), grid), barrier(grid, 6, 4)
    exact = propagate(start, potential, 200, grid=grid, method="exact")
    split = propagate(start, potential, 200, grid=grid, method=method, substeps=10)
    assert relative(split[200], exact[200]) < (1e-2 if method == "strang" else 2e-4)
    energy = energy_of(exact[[0, 200]], potential, grid)
    assert energy[1] == pytest.approx(energy[0], rel=1e-9)


def test_norm_time_reversal_and_linearity():
    start, other = gaussian(Packet(20, 2, 5)), gaussian(Packet(60, 1.5, 3, left=True))
    potential, settings = barrier(BOX, 7, 7), {"substeps": 10, "tolerance": 0.05}
    frames = propagate(start, potential, 400, **settings)
    assert abs(BOX.norm(frames[400]) - BOX.norm(frames[0])) < 5e-12
    back = propagate(np.conj(frames[400]), potential, 400, **settings)
    assert relative(np.conj(back[400]), start) < 1e-10
    both = propagate(0.6 * start + 0.8j * other, potential, 50, **settings)[50]
    second = propagate(other, potential, 50, **settings)[50]
    assert relative(both, 0.6 * frames[50] + 0.8j * second) < 1e-12


@pytest.mark.parametrize(
    ("energy", "height", "points", "formula"), [(4, 4.5, 10, 0.23577), (4, 3, 30, 0.76278), (2, 2.2, 20, 0.12887)]
)
def test_transmission_formula(energy, height, points, formula):
    packet = Packet(140, 6.0, energy)
    assert packet_transmission(packet, height, points * 400 / 4096) == pytest.approx(formula, abs=2e-5)


def test_transmission_of_a_packet():
    grid = Grid1D(400.0, 4096)
    potential = np.where((np.arange(4096) >= 2048) & (np.arange(4096) < 2058), 4.5, 0.0)
    time = 140 / np.sqrt(8)
    solver = Solver(substeps=990, check=False)  # steps of 0.005
    frames = solve(gaussian(Packet(140, 6.0, 4), grid), potential, 10, grid=grid, dt=time / 10, solver=solver).frames
    passed = np.sum(np.abs(frames[-1][2058:]) ** 2) * grid.dx
    assert passed == pytest.approx(0.23577, abs=0.005)


def test_barrier_formula_is_continuous_at_the_top_and_one_at_resonance():
    low, high = barrier_transmission(np.array([4.0 - 1e-6, 4.0 + 1e-6]), 4.0, 2.0)
    assert low == pytest.approx(high, rel=1e-4)
    resonance = 4.0 + (np.pi / 2.0) ** 2 / 2
    assert barrier_transmission(np.array([resonance]), 4.0, 2.0)[0] == pytest.approx(1.0, abs=1e-12)


def test_batches_equal_single_runs_and_auto_reports_its_error():
    states = np.stack([gaussian(Packet(10 + 3 * i, 2, 4), SMALL) for i in range(5)])
    fields = np.stack([barrier(SMALL, float(i), 3) for i in range(5)])
    found = solve(states, fields, 20, grid=SMALL)
    one = propagate(states[3], fields[3], 20, grid=SMALL, substeps=found.substeps)
    assert relative(found.frames[3], one) < 1e-13
    exact = propagate(states[4], fields[4], 20, grid=SMALL, method="exact")
    assert relative(found.frames[4, -1], exact[-1]) < 1.5 * found.error <= 1.5e-2


def test_plane_with_separable_potential_is_a_product():
    line, plane = Grid1D(20.0, 64), Grid2D((20.0, 20.0), (64, 64))
    a, b = gaussian(Packet(6, 1.5, 2), line), gaussian(Packet(9, 1.2, 1), line)
    va, vb = barrier(line, 3, 2), 0.05 * (line.x - 10) ** 2
    options = {"dt": 0.1, "substeps": 4}
    product = np.outer(propagate(a, va, 20, grid=line, **options)[-1], propagate(b, vb, 20, grid=line, **options)[-1])
    found = propagate(np.outer(a, b), va[:, None] + vb[None], 20, grid=plane, **options)
    assert relative(found[-1], product) < 1e-12


def test_packet_moments():
    packet = Packet(97.0, 1.5, 4.0)
    psi = gaussian(packet)
    assert BOX.norm(psi) == pytest.approx(1.0, abs=1e-13)
    assert energy_of(psi, np.zeros(1024), BOX) == pytest.approx(4 + 1 / (8 * 1.5**2), rel=1e-9)
    left = gaussian(Packet(97.0, 1.5, 4.0, left=True))
    spectrum = np.abs(np.fft.fft(left)) ** 2
    assert np.sum(spectrum * BOX.k) / np.sum(spectrum) == pytest.approx(-np.sqrt(8), rel=1e-9)
    assert BOX.norm(superpose([packet, Packet(50, 2, 1)])) == pytest.approx(1.0, abs=1e-12)


def test_a_step_beyond_the_resonance_limit_is_refused():
    with pytest.raises(InputError, match="resonance"):
        propagate(gaussian(Packet(20, 2, 5)), np.zeros(1024), 10, substeps=8)
    propagate(gaussian(Packet(20, 2, 5)), np.zeros(1024), 10, substeps=8, kcut=20.0)


def test_data_that_is_not_converged_is_refused():
    start, potential = gaussian(Packet(15, 2, 8)), barrier(BOX, 14, 7)
    with pytest.raises(PhysicsError, match="not converged"):
        propagate(start, potential, 200, substeps=10, tolerance=1e-4)
    propagate(start, potential, 200, substeps=10, check=False)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"psi0": np.zeros(1024)}, "zero"),
        ({"psi0": np.ones(100)}, "shape"),
        ({"potential": np.full(1024, np.nan)}, "not finite"),
        ({"potential": 1j * np.ones(1024)}, "creates norm"),
        ({"potential": np.zeros(1000)}, "shape"),
        ({"frames": 0}, "frames"),
        ({"method": "euler"}, "method"),
        ({"laplacian": "fd4"}, "laplacian"),
        ({"kcut": 50.0}, "kcut"),
        ({"kcut": 1.0}, "too low for psi0"),
        ({"potential": np.zeros((4, 1024))}, "4 potentials for 1 states"),
        ({"psi0": np.ones((3, 1024)), "potential": np.zeros((4, 1024))}, "4 potentials for 3 states"),
        ({"substeps": 0}, "substeps"),
    ],
)
def test_bad_input(change, says):
    arguments = {"psi0": gaussian(Packet(20, 2, 5)), "potential": np.zeros(1024), "frames": 2} | change
    with pytest.raises(InputError, match=says):
        propagate(**arguments)


@pytest.mark.parametrize(
    "numbers", [(20, 2, 600), (20, 20, 1), (20, -1, 1), (20, 0, 4), (float("nan"), 1, 1), (1, 1, -1), (1, 1, 1, 0.5)]
)
def test_packets_the_grid_cannot_carry(numbers):
    with pytest.raises(InputError):
        gaussian(Packet(*numbers))


def test_the_hardest_member_of_a_batch_is_found_where_packets_get_to():
    """Four slow packets before a wall of 3000 that they never meet, and a fast one on a comb: its error counts."""
    grid = Grid1D(100.0, 256)
    wall, comb = np.where(np.abs(grid.x - 90) < 1.5, 3000.0, 0.0), 40.0 * ((grid.x > 45) & (grid.x % 2 < 1))
    packets = [Packet(20, 2.5, 0.5 + 0.01 * i) for i in range(4)] + [Packet(30, 1.5, 9.0)]
    states, fields = np.stack([superpose((p,), grid) for p in packets]), np.stack([wall] * 4 + [comb])
    found = solve(states, fields, 60, grid=grid, solver=Solver(tolerance=1e-2))
    exact = propagate(states[4], comb, 60, grid=grid, method="exact")
    error = np.linalg.norm(found.frames[4, -1] - exact[-1]) / np.linalg.norm(exact[-1])
    assert error < 1.5 * found.error <= 1.5e-2
    with pytest.raises(PhysicsError, match="not converged"):
        solve(states, fields, 60, grid=grid, solver=Solver(substeps=2, tolerance=1e-4))
