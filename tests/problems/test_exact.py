"""Closed forms against tabulated and diagonalised values; Lanczos against tables of several models."""

import subprocess
import sys
from functools import reduce

import netket as nk
import numpy as np
import pytest

from tests.oracles import fidelity_susceptibility_ising
from wavefoundry.core.errors import InputError
from wavefoundry.problems.exact import (
    basis,
    expectation,
    ground_state,
    ising_chain,
    listable,
)

CRITICAL = 3.04438  # critical field of the square-lattice Ising model


def ising(graph, h, J=1.0):
    # NetKet's Ising operator has the opposite sign of J
    return nk.operator.IsingJax(nk.hilbert.Spin(0.5, graph.n_nodes), graph, h=h, J=-J)


def heisenberg(n, distance):
    """sum_i S_i . S_(i + distance) on a ring, in the sector without magnetisation."""
    graph = nk.graph.Graph(edges=[(i, (i + distance) % n) for i in range(n)])
    return 0.25 * nk.operator.Heisenberg(nk.hilbert.Spin(0.5, n, total_sz=0), graph, sign_rule=False)


def sz_moment(vector, states, power):
    return float(np.abs(vector) ** 2 @ np.abs(states.mean(axis=1)) ** power)


# Ising chain, closed form: h, E0 (N = 20, 32, 100), <sx> (N = 20), m_z^2 (N = 8, 20, 32, 100)
CHAIN = [
    (0.5, (-21.270888306919, -34.033421119168, -106.354440997337), 0.2586581163,
     (0.9395483569, 0.9344822547, 0.9330283597, 0.9313803793)),
    (0.8, (-23.357129926462, -37.369954115074, -116.780950852080), 0.4451584843,
     (0.7975147415, 0.7899621919, 0.7852257631, 0.7780417187)),
    (0.9, (-24.327479625332, -38.913657790100, -121.600092086895), 0.5290159740,
     (0.7133166770, 0.6818442025, 0.6777830031, 0.6672681181)),
    (1.0, (-25.490989686365, -40.760032494192, -127.329190612001), 0.6372747422,
     (0.6175234560, 0.4946582027, 0.4407948535, 0.3325358075)),
    (1.1, (-26.866918277499, -42.974021747526, -134.286404220469), 0.7321938190,
     (0.5260179600, 0.3149141008, 0.2161349971, 0.0716089076)),
    (1.2, (-28.394759996679, -45.428022173288, -141.961927490284), 0.7908903155,
     (0.4500577130, 0.2203063211, 0.1399610970, 0.0448613935)),
    (1.5, (-33.438568868425, -53.501639355380, -167.192622153620), 0.8773011174,
     (0.3152631346, 0.1297655525, 0.0811154203, 0.0259569582)),
]  # fmt: skip


@pytest.mark.parametrize(("h", "energies", "sx", "moments"), CHAIN)
def test_ising_chain_table(h, energies, sx, moments):
    for n, energy in zip((20, 32, 100), energies, strict=True):
        assert ising_chain(n, h).energy == pytest.approx(energy, abs=1e-10)
    assert ising_chain(20, h).sx == pytest.approx(sx, abs=1e-10)
    for n, m2 in zip((8, 20, 32, 100), moments, strict=True):
        assert ising_chain(n, h).m2 == pytest.approx(m2, abs=1e-10)


@pytest.mark.parametrize(
    ("n", "h", "J"),
    [
        (8, 0.3, 1.0),
        (8, 1.0, 1.0),
        (8, -0.7, 1.0),
        (10, 1.7, 0.6),
        (8, 0.9, -1.3),
        (7, 0.8, 1.0),
        (7, -1.4, 1.0),
    ],
)
def test_ising_chain_equals_diagonalisation(n, h, J):
    operator = ising(nk.graph.Chain(n), h, J)
    energy, vector = ground_state(operator)
    states, chain = basis(operator.hilbert), ising_chain(n, h, J)
    weights = vector**2
    assert chain.energy == pytest.approx(energy, abs=1e-10)
    assert chain.m2 == pytest.approx(sz_moment(vector, states, 2), abs=1e-10)
    for r, correlation in enumerate(chain.correlation):
        assert correlation == pytest.approx(weights @ (states[:, 0] * states[:, r]), abs=1e-10)
    assert chain.zz_nn == pytest.approx(chain.correlation[1], abs=1e-12)
    assert chain.sx == pytest.approx(-(energy + J * n * chain.zz_nn) / (h * n), abs=1e-10)


@pytest.mark.parametrize(
    ("n", "h"), [(64, 0.0), (64, 0.5), (64, 0.99), (64, 1.01), (64, 30.0), (600, 0.9), (600, 1.0), (600, 1.5)]
)
def test_long_ising_chains_stay_accurate(n, h):
    chain = ising_chain(n, h)
    assert chain.energy == pytest.approx(-n * (chain.zz_nn + h * chain.sx), rel=1e-13)
    assert len(chain.correlation) == n // 2 + 1
    assert np.all(np.diff(chain.correlation) <= 1e-11), "correlations fall with distance"
    # the determinants by pivoted elimination, at a few distances
    k = (2 * np.arange(n) + 1) * np.pi / n
    eps = np.sqrt(1 + h * h - 2 * h * np.cos(k))
    for r in (1, 2, 7, n // 2):
        shifts = np.subtract.outer(np.arange(r), np.arange(r))
        a = np.array([(np.cos(k * s) - h * np.cos(k * (s - 1))) @ (1 / eps) / n for s in range(1 - r, r)])
        assert chain.correlation[r] == pytest.approx(np.linalg.det(a[shifts + r - 1]), abs=1e-11)


def test_ising_chain_limits():
    assert ising_chain(64, 1.0).energy == pytest.approx(-2 / np.sin(np.pi / 128), rel=1e-13)
    ordered = ising_chain(12, 0.0)
    assert (ordered.energy, ordered.sx, ordered.m2) == pytest.approx((-12.0, 0.0, 1.0), abs=1e-13)
    assert ising_chain(12, -3.0).sx == -ising_chain(12, 3.0).sx
    # Neel order does not magnetise
    assert ising_chain(12, 0.3, J=-1.0).m2 < 0.01
    assert ising_chain(12, 0.3, J=-1.0).energy == ising_chain(12, 0.3).energy


@pytest.mark.parametrize(("n", "h", "J"), [(2, 1.0, 1.0), (8, 1.0, 0.0), (7, 1.0, -1.0)])
def test_ising_chain_refuses_what_has_no_closed_form(n, h, J):
    with pytest.raises(InputError, match="closed form"):
        ising_chain(n, h, J)
    with pytest.raises(InputError, match="closed form"):
        fidelity_susceptibility_ising(n, h, J)


@pytest.mark.parametrize(
    ("n", "h", "expected"),
    [
        (4, 0.5, 0.9134948), (4, 1.0, 0.75), (4, 2.0, 0.0570934), (8, 0.8, 3.2929858), (8, 1.2, 1.7021156),
        (10, 0.5, 1.7072695), (10, 2.0, 0.1067043), (12, 0.8, 5.1722957), (12, 1.0, 8.25), (20, 1.0, 23.75),
        (100, 1.0, 618.75), (32, 0.99431, 62.35403), (64, 0.99856, 252.3639), (100, 0.99941, 619.1178),
    ],
)  # fmt: skip
def test_fidelity_susceptibility_table(n, h, expected):
    assert fidelity_susceptibility_ising(n, h) == pytest.approx(expected, abs=6e-8, rel=2e-7)


@pytest.mark.parametrize(("n", "h", "J"), [(8, 0.8, 1.0), (7, 1.1, 1.0), (8, 1.2, 2.0)])
def test_fidelity_susceptibility_is_the_curvature_of_the_fidelity(n, h, J):
    d = 0.01
    left, right = (ground_state(ising(nk.graph.Chain(n), h + s * d / 2, J))[1] for s in (-1, 1))
    curvature = -2 * np.log((left @ right) ** 2) / d**2
    assert fidelity_susceptibility_ising(n, h, J) == pytest.approx(curvature, rel=3e-4)


# Lanczos


@pytest.mark.parametrize(
    ("h", "energy", "sx", "zz", "m2"),
    [
        (2.0, -40.190194437670, 0.5274474913, 0.7284960848, 0.7354521879),
        (3.04438, -52.065694383749, 0.8740423013, 0.2965944989, 0.2799728675),
    ],
)
def test_periodic_square_ising(h, energy, sx, zz, m2):
    graph = nk.graph.Square(4)
    operator = ising(graph, h)
    lowest, vector = ground_state(operator)
    assert lowest == pytest.approx(energy, abs=1e-10)
    assert expectation(operator, vector) == pytest.approx(energy, abs=1e-9)
    assert expectation(ising(graph, 1.0, J=0.0), vector) == pytest.approx(-16 * sx, abs=1e-7)
    assert expectation(ising(graph, 0.0), vector) == pytest.approx(-32 * zz, abs=1e-7)
    assert sz_moment(vector, basis(operator.hilbert), 2) == pytest.approx(m2, abs=1e-8)


@pytest.mark.parametrize(
    ("shape", "h", "energy"),
    [
        ((2, 2), CRITICAL, -12.51887876421987),
        ((2, 3), CRITICAL, -18.871881000105653),
        ((3, 3), CRITICAL, -28.45555956767012),
        ((3, 3), 0.1, -12.017918603579),
        ((3, 3), 1.0, -13.820790258120),
        ((3, 3), 6.0, -54.508371602137),
        ((3, 4), CRITICAL, -38.04053376324605),
        ((4, 4), CRITICAL, -50.85817810220094),
    ],
)
def test_open_square_ising(shape, h, energy):
    operator = ising(nk.graph.Grid(shape, pbc=False), h)
    lowest, vector = ground_state(operator)
    assert lowest == pytest.approx(energy, abs=1e-9)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-12)
    if h == CRITICAL and shape in {(3, 3), (4, 4)}:
        states = basis(operator.hilbert)
        expected = {(3, 3): (0.204306, 0.376014), (4, 4): (0.138977, 0.302871)}[shape]
        assert [sz_moment(vector, states, p) for p in (2, 1)] == pytest.approx(expected, abs=1e-6)


# J2, E0 / N, <H1> / N, <H2> / N
J1J2 = {
    8: [
        (0.0, -0.456386676117, -0.4563866761, 0.1957779040),
        (0.6, -0.386467037606, -0.3131088609, -0.1222636278),
        (0.8, -0.426340679527, -0.0989217094, -0.4092737127),
    ],
    12: [
        (0.2, -0.413073180699, -0.4468864502, 0.1690663477),
        (0.4, -0.383064598903, -0.4309858403, 0.1198031034),
        (0.5, -0.375, None, None),  # two-fold degenerate: only the energy is determined
        (0.6, -0.381648217664, -0.2929031300, -0.1479084794),
    ],
    16: [(0.4, -0.381836285307, None, None)],
}


@pytest.mark.parametrize(
    "hilbert",
    [
        nk.hilbert.Spin(0.5, 24, total_sz=10),
        nk.hilbert.Spin(0.5, 25, total_sz=-10.5),
        nk.hilbert.Spin(0.5, 62, total_sz=30),
        nk.hilbert.Spin(0.5, 9, total_sz=0.5),
        nk.hilbert.Spin(0.5, 7),
        nk.hilbert.Fock(1, 22, n_particles=3),
        nk.hilbert.Fock(2, 6, n_particles=3),
    ],
    ids=str,
)
def test_configurations_stand_in_the_order_of_netket(hilbert):
    assert listable(hilbert)
    np.testing.assert_array_equal(basis(hilbert), np.asarray(hilbert.all_states()))


def test_a_thin_sector_of_many_spins_is_diagonalised():
    """Two magnons on 26 sites: 325 configurations out of 2^26."""
    graph = nk.graph.Chain(26)
    operator = nk.operator.Heisenberg(nk.hilbert.Spin(0.5, 26, total_sz=11), graph, sign_rule=False)
    (expected,) = nk.exact.lanczos_ed(operator, k=1)
    energy, vector = ground_state(operator)
    assert energy == pytest.approx(float(expected), abs=1e-9)
    assert expectation(operator, vector) == pytest.approx(energy, abs=1e-9)
    assert not listable(nk.hilbert.Spin(0.5, 24, total_sz=0)), "2.7 million configurations"
    assert not listable(nk.hilbert.Spin(0.5, 64, total_sz=31)), "no whole number holds 64 spins"


@pytest.mark.parametrize("n", J1J2)
def test_j1j2_ring_without_magnetisation(n):
    nearest, next_nearest = heisenberg(n, 1), heisenberg(n, 2)
    for j2, per_site, h1, h2 in J1J2[n]:
        energy, vector = ground_state(nearest + j2 * next_nearest)
        assert energy / n == pytest.approx(per_site, abs=1e-10)
        if h1 is not None:
            assert expectation(nearest, vector) / n == pytest.approx(h1, abs=1e-8)
            assert expectation(next_nearest, vector) / n == pytest.approx(h2, abs=1e-8)


def test_lanczos_equals_dense_diagonalisation_for_complex_elements():
    strings = ["XYIIII", "IXYIII", "IIXYII", "IIIXYI", "IIIIXY", "ZIYIII", "YIIIII", "IIZXIZ"]
    operator = nk.operator.PauliStringsJax(nk.hilbert.Spin(0.5, 6), strings, 0.3 + 0.1 * np.arange(8))
    pauli = {"I": np.eye(2), "X": [[0, 1], [1, 0]], "Y": [[0, -1j], [1j, 0]], "Z": [[1, 0], [0, -1]]}
    dense = sum(
        (0.3 + 0.1 * i) * reduce(np.kron, [np.asarray(pauli[letter]) for letter in string])
        for i, string in enumerate(strings)
    )
    energy, vector = ground_state(operator)
    assert energy == pytest.approx(np.linalg.eigvalsh(dense)[0], abs=1e-10)
    assert np.linalg.norm(dense @ vector - energy * vector) < 1e-8
    assert expectation(operator, 2j * vector) == pytest.approx(energy, abs=1e-8)


@pytest.mark.parametrize(
    "hilbert",
    [
        nk.hilbert.Spin(0.5, 6),
        nk.hilbert.Spin(0.5, 6, total_sz=0),
    ],
    ids=str,
)
def test_basis_has_the_order_of_netket(hilbert):
    np.testing.assert_array_equal(basis(hilbert), np.asarray(hilbert.all_states()))


@pytest.mark.parametrize("h", [0.01, 50.0])
def test_ground_vector_of_a_sign_free_operator_is_positive_and_symmetric(h):
    # at h = 0.01 the gap between the two parities is far below machine precision
    operator = ising(nk.graph.Chain(10), h)
    energy, vector = ground_state(operator)
    assert energy == pytest.approx(ising_chain(10, h).energy, abs=1e-10)
    assert vector.min() >= 0.0
    assert np.abs(vector - vector[::-1]).max() < 1e-9  # all spins flipped
    np.testing.assert_array_equal(vector, ground_state(operator)[1])


@pytest.mark.parametrize("n", [4, 10])
def test_a_degenerate_classical_ground_state(n):
    energy, vector = ground_state(ising(nk.graph.Chain(n), 0.0))
    assert energy == pytest.approx(-n, abs=1e-10)
    assert vector.min() >= 0.0
    assert vector[0] ** 2 + vector[-1] ** 2 == pytest.approx(1.0, abs=1e-9)


def test_a_field_without_bonds():
    energy, vector = ground_state(ising(nk.graph.Chain(10), 1.0, J=0.0))
    assert energy == pytest.approx(-10.0, abs=1e-10)
    np.testing.assert_allclose(vector, 2.0**-5, atol=1e-10)


def test_expectation_does_not_need_a_normalised_vector():
    operator = ising(nk.graph.Chain(8), 0.7)
    # all spins along x
    assert expectation(operator, np.full(256, 3 + 4j)) == pytest.approx(-0.7 * 8, rel=1e-12)
    vector = np.zeros(256)
    vector[0] = -5.0  # all spins up
    assert expectation(operator, vector) == pytest.approx(-8.0, rel=1e-12)
    with pytest.raises(InputError, match="does not fit"):
        expectation(operator, vector[:128])


def test_unsuitable_operators_are_refused():
    with pytest.raises(InputError, match="too many"):
        ground_state(ising(nk.graph.Chain(21), 1.0))
    with pytest.raises(InputError, match="too many"):
        basis(nk.hilbert.Spin(0.5, 1000))
    free, fixed = nk.hilbert.Spin(0.5, 4), nk.hilbert.Spin(0.5, 4, total_sz=0)
    with pytest.raises(InputError, match="not Hermitian"):
        ground_state(nk.operator.spin.sigmap(free, 0))
    with pytest.raises(InputError, match="out of its Hilbert space"):
        ground_state(nk.operator.spin.sigmax(fixed, 0))


def test_closed_forms_do_not_load_netket():
    code = "import sys, wavefoundry.problems.exact; print({'jax', 'netket', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
