"""Exact references of whole systems: degenerate ground states, E0 = 0, units, and failures that cost nothing."""

from typing import Any

import netket as nk
import numpy as np
import pytest

from tests.oracles import dense_matrix
from wavefoundry.core.errors import InputError
from wavefoundry.problems import exact, lattice, observables
from wavefoundry.problems.ising_chain import ising_chain
from wavefoundry.problems.observables import diagonalised, exact_values, reference_of

BUILD: Any = nk.operator.PauliStringsJax


def dense(system: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.linalg.eigh(dense_matrix(system.operator()))


def moments(system: Any, vector: np.ndarray) -> dict[str, float]:
    import jax

    table = np.asarray(jax.vmap(observables.measure(system))(exact.basis(system.hilbert)))
    found = dict(zip(observables.names(system), np.abs(vector) ** 2 @ table, strict=True))
    every = exact.basis(system.hilbert).reshape(-1, *system.extent)
    factor = np.abs(np.fft.fftn(every, axes=range(1, every.ndim))) ** 2 / system.sites
    factor = np.tensordot(np.abs(vector) ** 2, factor, 1)
    found |= {"structure_peak": float(np.max(factor))}
    if len(system.extent) == 1:
        found |= {f"structure_zz_{k}": value for k, value in enumerate(factor)}
        if len(vector) == 2**system.sites and system.sites > 1:
            matrix = vector.reshape(2 ** (system.sites // 2), -1)
            found["renyi2"] = -np.log(np.linalg.norm(matrix @ matrix.T) ** 2)
    second, fourth = (next(name for name in found if name.endswith(end)) for end in ("m2", "m4"))
    return found | {second.replace("m2", "binder"): 1 - found[fourth] / (3 * max(found[second], 1e-12) ** 2)}


def test_the_majumdar_ghosh_chain_has_an_energy_but_no_order_parameter():
    """J2 = .5: two ground states; the structure factor differs within their space, so no value is exact."""
    system = lattice.j1j2_chain(12, J2=0.5)
    reference, known, why = reference_of(system)
    assert reference is not None and why is None
    assert reference.energy == pytest.approx(-0.375 * 12, abs=1e-10)
    space = exact.ground_space(system.operator())
    assert space.vectors.shape[1] == 2 and space.complete
    energies = dense(lattice.j1j2_chain(8, J2=0.5))[0]
    assert exact.ground_space(lattice.j1j2_chain(8, J2=0.5).operator()).gap == pytest.approx(energies[2] - energies[0])
    assert "staggered_m2" not in known and "correlation_2" not in known
    unique = reference_of(lattice.j1j2_chain(12, J2=0.4))[1]
    assert unique["staggered_m2"] == pytest.approx(
        4 / 3 * 0.1944859924, abs=1e-8
    )  # Z = 2 S^z, and S(pi) has three components


@pytest.mark.parametrize("seed", range(3))
def test_the_reference_does_not_depend_on_the_vector_that_lanczos_returns(seed: int, monkeypatch: Any):
    """Another start of the iteration gives other vectors and the same answers, kept ones included."""
    first = reference_of(lattice.j1j2_chain(12, J2=0.5))[1]
    generator = np.random.default_rng(seed + 17)
    monkeypatch.setattr(exact.np.random, "default_rng", lambda _=0: generator)
    again = reference_of(lattice.j1j2_chain(12, J2=0.5))[1]
    assert first.keys() == again.keys()
    for name, value in first.items():
        assert again[name] == pytest.approx(value, abs=1e-7)


def test_degenerate_states_share_what_they_share():
    """Ferromagnetic ring without field and with 1e-4: m2 = 1 in both ground states, <Z_0> in neither is asked."""
    for h in (0.0, 1e-4):
        system = lattice.ising_square(3, 3, h=h)
        reference, known, _ = reference_of(system)
        assert reference is not None and known["m2"] == pytest.approx(1.0, abs=1e-6)
        assert exact.ground_space(system.operator()).vectors.shape[1] == 2
    # a classical antiferromagnet on a triangle: six ground states, all of the same magnetisation
    hilbert = nk.hilbert.Spin(0.5, 3)
    triangle = lattice.from_netket({"a": BUILD(hilbert, ["ZZI", "IZZ", "ZIZ"], [1.0] * 3)}, {"a": 2.0})
    reference, known, _ = reference_of(triangle)
    assert reference is not None and reference.energy == pytest.approx(-2.0)
    assert known["m2"] == pytest.approx(1 / 9)
    # ... and with nothing but one bond, four states that differ in it
    bond = lattice.from_netket({"a": BUILD(hilbert, ["ZZI"], [1.0])}, {"a": 1.0})
    assert "m2" in reference_of(bond)[1] and "correlation_1" in reference_of(bond)[1]
    bond = lattice.from_netket({"a": BUILD(hilbert, ["ZZI"], [-1.0])}, {"a": 1.0})
    assert "m2" not in reference_of(bond)[1]


def test_more_ground_states_than_looked_for_leave_the_energy():
    """A single bond on six sites has 2^5 of them."""
    hilbert = nk.hilbert.Spin(0.5, 6)
    for strings in (["ZZIIII"], ["XXIIII"]):
        space = exact.ground_space(BUILD(hilbert, strings, [-1.0]))
        assert (space.energy, space.complete, space.gap) == (pytest.approx(-1.0), False, None)
        reference, known, why = reference_of(lattice.from_netket({"a": BUILD(hilbert, strings, [-1.0])}, {"a": 1.0}))
        assert reference is not None and known == {} and why is None


@pytest.mark.parametrize("sites", [4, 9, 12])
def test_a_ground_energy_of_zero(sites: int):
    """H = sum (1 - X): E0 = 0 and E_inf = sites."""
    hilbert = nk.hilbert.Spin(0.5, sites)
    strings = ["I" * sites] + ["I" * i + "X" + "I" * (sites - i - 1) for i in range(sites)]
    system = lattice.from_netket({"a": BUILD(hilbert, strings, [sites, *[-1.0] * sites])}, {"a": 1.0})
    reference, known, why = reference_of(system)
    assert why is None and reference is not None
    assert reference.energy == pytest.approx(0.0, abs=1e-9) and reference.zero == sites
    assert known["m2"] == pytest.approx(1 / sites, abs=1e-8)
    assert exact.ground_state(system.operator())[0] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_energy_do_not_matter(unit: float):
    plain = lattice.j1j2_square(4, 2, J2=0.3, periodic=False)
    other = plain.at(J1=unit, J2=0.3 * unit)
    one, two = reference_of(plain), reference_of(other)
    assert one[0] is not None and two[0] is not None
    assert two[0].energy == pytest.approx(unit * one[0].energy, rel=1e-10)
    assert two[1] == pytest.approx(one[1], abs=1e-7)


@pytest.mark.parametrize(
    "system",
    [
        lattice.ising_chain(9, h=0.7),
        lattice.ising_chain(8, h=-0.7),
        lattice.ising_chain(8, h=0.7, J=-1.0),
        lattice.ising_chain(7, h=0.7, J=-1.0),
        lattice.ising_chain(2),
        lattice.ising_chain(1),
        lattice.ising_chain(6, periodic=False),
        lattice.ising_square(2, 2, h=1.0),
        lattice.ising_square(1, 2),
        lattice.j1j2_chain(2),
        lattice.j1j2_square(2, 2, J2=0.3),
    ],
)
def test_closed_forms_and_small_lattices_against_the_dense_matrix(system: Any):
    reference, known, why = reference_of(system)
    assert reference is not None and why is None
    energies, vectors = dense(system)
    assert reference.energy == pytest.approx(energies[0], abs=1e-9)
    assert reference.zero == pytest.approx(0.0, abs=1e-12)
    for name, value in known.items():
        if len(energies) < 2 or energies[1] - energies[0] > 1e-6:
            assert value == pytest.approx(moments(system, vectors[:, 0])[name], abs=1e-8), name


def test_a_reference_that_fails_says_why_and_costs_nothing(monkeypatch: Any):
    def broken(*_: Any) -> Any:
        raise InputError("the vector is lost", why="a test")

    monkeypatch.setattr(exact, "ground_space", broken)
    reference, known, why = reference_of(lattice.ising_square(3, 3))
    assert reference is None and known == {} and why is not None and "the vector is lost" in why
    monkeypatch.setattr(exact, "ground_space", lambda *_: np.linalg.eigh(np.full((2, 2), np.nan))[5])
    assert exact_values(lattice.ising_square(3, 3)) == (None, {})
    assert reference_of(lattice.ising_square(5, 5)) == (None, {}, None)


@pytest.mark.parametrize("J2", [0.2, 0.5, 0.6])
def test_gaps_of_the_frustrated_chain(J2: float):
    """Against dense diagonalisation in the sector (70 states) and the published gap at 12 sites."""
    system = lattice.j1j2_chain(8, J2=J2)
    energies = dense(system)[0]
    space = exact.ground_space(system.operator())
    count = space.vectors.shape[1]
    assert count == int(np.sum(energies < energies[0] + 1e-6))
    assert space.gap == pytest.approx(energies[count] - energies[0], abs=1e-6)
    if J2 == 0.6:
        gap = exact.ground_space(lattice.j1j2_chain(12, J2=0.6).operator()).gap
        assert gap == pytest.approx(0.0197506440, abs=1e-6)


@pytest.mark.parametrize("h", [0.0, 1e-3, 0.5])
@pytest.mark.parametrize("J", [1.0, -1.0])
def test_the_closed_form_knows_no_entropy_of_degenerate_ground_states(h: float, J: float):
    """Its gap is that of the matrix, and what it knows is what Lanczos finds all ground states to share."""
    system = lattice.build("ising", "chain", (8,), J=J, h=h)
    levels = np.linalg.eigvalsh(dense_matrix(system.operator()))
    assert ising_chain(8, h, J).gap == pytest.approx(levels[1] - levels[0], abs=1e-10)
    known = reference_of(system, ["renyi-2", "magnetisation"])[1]
    shared = diagonalised(system, 0.0, ["renyi-2", "magnetisation"])[1]
    assert ("renyi2" in known) == ("renyi2" in shared) == (h == 0.5)
    assert known["m2"] == pytest.approx(shared["m2"], abs=1e-8)
