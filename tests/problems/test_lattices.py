"""Built-in lattices and models: bonds against NetKet's graphs, energies against operators built from these graphs."""

import itertools
import warnings
from typing import Any

import netket as nk
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.core.errors import InputError
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.lattices import LATTICES
from wavefoundry.problems import exact, lattice, observables
from wavefoundry.problems.spins import sign_free

NEIGHBOURS = {"chain": (2, 2), "square": (4, 4), "triangular": (6, 6), "honeycomb": (3, 6), "kagome": (4, 4)}
GRAPHS: dict[str, Any] = {
    "chain": lambda cells: nk.graph.Chain(*cells, max_neighbor_order=2),
    "square": lambda cells: nk.graph.Square(cells[0], max_neighbor_order=2),
    "triangular": lambda cells: nk.graph.Triangular(cells, max_neighbor_order=2),
    "honeycomb": lambda cells: nk.graph.Honeycomb(cells, max_neighbor_order=2),
    "kagome": lambda cells: nk.graph.Kagome(cells, max_neighbor_order=2),
}
SMALL = {"chain": (12,), "square": (4, 4), "triangular": (4, 4), "honeycomb": (3, 2), "kagome": (2, 2)}


def spectrum(edges: list[tuple[int, int]], sites: int) -> np.ndarray:
    """Sorted spectrum of the adjacency matrix: what two numberings of one graph share."""
    matrix = np.zeros((sites, sites))
    for i, j in edges:
        matrix[i, j] = matrix[j, i] = 1
    return np.linalg.eigvalsh(matrix)


@pytest.mark.parametrize("shell", [1, 2])
@pytest.mark.parametrize("name", list(LATTICES))
def test_every_site_has_its_neighbours(name: str, shell: int):
    """On large lattices; and the graph is NetKet's up to the numbering of sites."""
    lattice = LATTICES[name]
    cells = (13,) if lattice.axes == 1 else (6, 6)
    bonds = lattice.bonds(cells, True, shell)
    sites = int(np.prod(cells)) * lattice.basis
    counts = np.bincount(np.array(bonds).reshape(-1), minlength=sites)
    assert np.all(counts == NEIGHBOURS[name][shell - 1])
    graph = GRAPHS[name](cells if name != "chain" else (13,))
    theirs = graph.edges(filter_color=shell - 1)
    np.testing.assert_allclose(spectrum(bonds, sites), spectrum(theirs, sites), atol=1e-9)
    open_ = lattice.bonds(cells, False, shell)
    assert set(open_) < set(bonds)


@pytest.mark.parametrize("name", list(LATTICES))
def test_neighbours_lie_on_different_sublattices(name: str):
    lattice = LATTICES[name]
    cells = tuple(6 for _ in range(lattice.axes))
    colour = np.array(lattice.colour(cells))
    assert lattice.ordered(cells, True) and set(colour) == set(range(lattice.colours))
    assert np.all(np.bincount(colour) == len(colour) // lattice.colours)
    assert all(colour[i] != colour[j] for i, j in lattice.bonds(cells, True))
    if name != "kagome":  # there second neighbours belong to another sublattice
        assert all(colour[i] == colour[j] for i, j in lattice.bonds(cells, True, 2))


@pytest.mark.parametrize("name", list(SMALL))
def test_energies_are_those_of_netkets_graphs(name: str):
    """Heisenberg antiferromagnets with second neighbours, and the Ising model, by exact diagonalisation."""
    cells, graph = SMALL[name], GRAPHS[name](SMALL[name])
    sites = graph.n_nodes
    hilbert: Any = nk.hilbert.Spin(0.5, sites, total_sz=0)
    theirs: Any = nk.operator.Heisenberg(hilbert, graph, J=[0.25, 0.25 * 0.3], sign_rule=[False, False])
    ours = wf.lattice.build("j1j2", name, cells, J2=0.3)
    assert ours.sites == sites
    energy = exact.ground_state(ours.operator())[0]
    assert energy == pytest.approx(float(nk.exact.lanczos_ed(theirs)[0]), abs=1e-9)
    both = wf.lattice.build("xxz", name, cells, Jxy=1.0, Jz=1.0)
    assert exact.ground_state(both.operator())[0] == pytest.approx(
        exact.ground_state(ours.at(J2=0.0).operator())[0], abs=1e-9
    )
    free: Any = nk.hilbert.Spin(0.5, sites)
    bonds = nk.graph.Graph(edges=graph.edges(filter_color=0))
    ising: Any = nk.operator.Ising(free, bonds, h=0.7, J=-1.0)
    mine = wf.lattice.build("ising", name, cells, h=0.7)
    assert exact.ground_state(mine.operator())[0] == pytest.approx(float(nk.exact.lanczos_ed(ising)[0]), abs=1e-9)
    assert sign_free(mine) and sign_free(ours.at(J2=0.0)) == LATTICES[name].bipartite


def test_power_laws():
    """Couplings by the shortest way round, against a sum over pairs; a large exponent leaves nearest neighbours."""
    sites, exponent = 8, 2.5
    system = wf.lattice.build("ising-long-range", "chain", sites, exponent=exponent, J=1.0, h=0.4)
    total = 0.0
    hilbert: Any = nk.hilbert.Spin(0.5, sites)
    build: Any = nk.operator.spin
    for i, j in itertools.combinations(range(sites), 2):
        r = min(j - i, sites - j + i)
        total = total - r**-exponent * (build.sigmaz(hilbert, i) @ build.sigmaz(hilbert, j))
    for i in range(sites):
        total = total - 0.4 * build.sigmax(hilbert, i)
    assert exact.ground_state(system.operator())[0] == pytest.approx(float(nk.exact.lanczos_ed(total)[0]), abs=1e-8)
    near = wf.lattice.build("ising-long-range", "square", (3, 3), exponent=80.0, h=1.0)
    plain = wf.lattice.ising_square(3, 3, h=1.0)
    energies = [exact.ground_state(one.operator())[0] for one in (near, plain)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-9)


def test_order_by_sublattices():
    """A state with every sublattice along its direction has the largest moment; a uniform one none."""
    for name, colours in (("honeycomb", 2), ("triangular", 3), ("kagome", 3)):
        cells = (3, 6)
        system = wf.lattice.build("xxz", name, cells)
        one, names = observables.measure(system), observables.names(system)
        assert names[0] == {2: "staggered_m2", 3: "three_sublattice_m2"}[colours]
        colour = np.array(LATTICES[name].colour(cells))
        ordered = np.where(colour == 0, 1, -1)
        assert float(one(np.ones(system.sites))[0]) == pytest.approx(0.0, abs=1e-12)
        # one sublattice up, the others down: (1 + (colours - 1) 1/...) / colours of the full modulus
        assert float(one(ordered)[2]) == pytest.approx(2 / colours if colours == 3 else 1.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wf.lattice.build("isng", "chain", 8), "did you mean 'ising'"),
        (lambda: wf.lattice.build("ising", "kagomee", (2, 2)), "did you mean 'kagome'"),
        (lambda: wf.lattice.build("ising-long-range", "kagome", (2, 2)), "lattice of ising-long-range"),
        (lambda: wf.lattice.build("xxz", "triangular", (3, 3)), "even number of sites"),
        (lambda: wf.lattice.build("xxz", "triangular", (4, 3), marshall=True), "two sublattices"),
        (lambda: wf.lattice.build("xxz", "chain", (4, 3)), "1 edges, not 2"),
        (lambda: wf.lattice.build("xxz", "chain", 8, J2=0.3), "no coupling 'J2'"),
    ],
)
def test_bad_input(call: Any, message: str):
    with pytest.raises(InputError, match=message):
        call()


def test_every_model_names_its_terms():
    for model in MODELS.values():
        assert {term.coupling for term in model.terms} == set(model.couplings)
        assert model.unit in model.couplings and set(model.lattices) <= set(LATTICES)


def test_bonds_that_coincide_are_told_of():
    """Round three rows second neighbours of a triangular lattice meet: 24 pairs instead of 36."""
    with pytest.warns(UserWarning, match="each pair counts once; size = \\[4, 4\\]"):
        small = lattice.build("j1j2", "triangular", (3, 4), J2=0.3)
    assert len(LATTICES["triangular"].bonds((3, 4), True, 2)) == 24 and small.sites == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lattice.build("j1j2", "triangular", (4, 4), J2=0.3)
        lattice.build("j1j2", "triangular", (3, 4), periodic=False)
