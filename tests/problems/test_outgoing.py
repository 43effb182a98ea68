"""What leaves the neighbours of a configuration, against the list of the neighbours of all neighbours."""

import dataclasses

import jax
import netket as nk
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.engine.one_move import leaving, sizes
from wavefoundry.problems import lattice
from wavefoundry.problems.outgoing import outgoing_of, turned_by_slot
from wavefoundry.problems.toric import toric

SYSTEMS = {
    "Ising chain": lambda: lattice.ising_chain(8, h=0.7),
    "no field": lambda: lattice.ising_chain(6, h=0.0),
    "J1-J2 square with a sign rule": lambda: lattice.j1j2_square(4, 4, J2=0.5),
    "a coupling of the other sign": lambda: lattice.j1j2_chain(12, J2=-0.4),
    "toric code": lambda: toric(3, 3),
    "triangular XXZ": lambda: lattice.build("xxz", "triangular", [4, 4]),
    "kagome": lambda: lattice.build("j1j2", "kagome", [2, 2], marshall=False),
    "long range": lambda: lattice.build("ising-long-range", "chain", 8, h=1.0),
    "local couplings": lambda: lattice.build("j1j2", "chain", 8, J2=0.3, local_couplings={"J1": [(0, 1, -1e-6)]}),
}


def both(system, count=40):
    """Sizes of the elements, and the sums for every neighbour: as they are found, and from the list."""
    xs = jax.vmap(system.init)(jax.random.split(jax.random.key(1), count))
    listing = dataclasses.replace(system, outgoing=None)

    def one(x):
        connected = system.connected(x)
        return sizes(system, connected), leaving(system, x, connected), leaving(listing, x, connected)

    return (np.asarray(part) for part in jax.jit(jax.vmap(one))(xs))


@pytest.mark.parametrize("name", SYSTEMS)
def test_built_in_models(name):
    system = SYSTEMS[name]()
    assert system.outgoing is not None
    size, found, listed = both(system)
    np.testing.assert_allclose(found[size > 0], listed[size > 0], rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_random_strings(seed):
    """Strings of any length, several for one flip, elements that cancel; two terms."""
    rng, hilbert = np.random.default_rng(seed), nk.hilbert.Spin(0.5, 5)
    strings = ["".join(rng.choice(list("IXYZ"), 5)) for _ in range(24)] + ["XXIII", "YYIII", "XXZII"]
    strings = [one for one in strings if one.count("Y") % 2 == 0 and set(one) & {"X", "Y"}]
    build = nk.operator.PauliStringsJax
    weights = rng.normal(size=len(strings))
    terms = {"a": build(hilbert, strings, weights), "b": build(hilbert, ["XXIII", "YYIII"], [1, 1])}
    system = lattice.from_netket(terms, {"a": -1.3, "b": 0.4})
    assert system.outgoing is not None
    size, found, listed = both(system, 32)
    np.testing.assert_allclose(found[size > 0], listed[size > 0], rtol=1e-9)


def test_other_operators_are_listed():
    hilbert = nk.hilbert.Spin(0.5, 4)
    operator = nk.operator.Ising(hilbert, nk.graph.Chain(4), h=1.0).to_jax_operator()
    assert outgoing_of([operator], [turned_by_slot(operator)]) is None
