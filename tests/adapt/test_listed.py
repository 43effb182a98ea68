"""Small systems as tables: the same amplitudes, energies and heads as where every image is asked anew."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.adapt.head import Rules, tuned_on
from wavefoundry.adapt.pool import contract, fill, log_psi, ready, sample_listed
from wavefoundry.core.devices import mapped
from wavefoundry.core.listing import Listing
from wavefoundry.core.types import Wavefunction
from wavefoundry.models.projection import listed
from wavefoundry.models.tables import tabled
from wavefoundry.problems import exact
from wavefoundry.studies.diagram import symmetry

SMALL: Any = {"width": 6, "layers": 1, "heads": 2, "precision": "float64"}
CHUNK = 64
Case = tuple[Any, Wavefunction, jax.Array]


def stripes() -> Any:
    """Ising bonds on 2 x 4 sites with a sign rule that a shift along the short side turns by a sign of x."""
    system = wf.lattice.j1j2_square(2, 4, J2=0.4, marshall=False)
    return type(system)(**{**vars(system), "sublattice": jnp.asarray(np.arange(8) % 4 == 0)})


CASES = {
    "complex, five of ten down": (lambda: wf.lattice.j1j2_chain(10, J2=0.3), (10,), "complex", 1),
    "positive, all of 2^8": (lambda: wf.lattice.ising_chain(8, h=0.9), (8,), "real", 0),
    "a rule by image": (stripes, (2, 4), "complex", 0),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """A system, a network projected on one of its sectors, and all configurations, in an order of their own."""
    make, extent, head, number = CASES[request.param]
    system = make()
    network = wf.models.vit(patch=2, head=head, **SMALL).build(jax.random.key(0), extent, sign_free=head == "real")
    parts = ("translations", "spin-flip")
    found = symmetry.sectors_of(network, system, parts)
    chosen = symmetry.Symmetry(parts, "amplitude", int(found.numbers[min(number, len(found.numbers) - 1)]))
    states = np.random.default_rng(1).permutation(exact.basis(system.hilbert)).astype(np.int8)
    return system, symmetry.symmetrised(network, system, chosen), jnp.asarray(states)


def amplitudes(psi: Any) -> np.ndarray:
    found = np.exp(np.asarray(psi.log, complex) + 1j * np.asarray(psi.phase))
    return found / np.linalg.norm(found)


def test_places_of_configurations():
    states = jnp.asarray(np.random.default_rng(0).permutation(exact.basis(wf.lattice.j1j2_chain(8).hilbert)))
    listing = Listing.of(states)
    np.testing.assert_array_equal(listing.places(states), np.arange(len(states)))
    np.testing.assert_array_equal(listing.places(states[3:5].at[:, 0].multiply(-1)), [-1, -1])  # other magnetisations


def test_amplitudes_of_all_configurations(case: Case):
    """By looking images up, and by asking the network for each image of each configuration."""
    system, state, states = case
    asked = amplitudes(mapped(lambda x: state(system, x), states, CHUNK))
    np.testing.assert_allclose(amplitudes(state.of_all(system, states, CHUNK)), asked, atol=1e-12)
    table = tabled(state, system, states, CHUNK)
    assert table.real == state.real
    np.testing.assert_allclose(amplitudes(jax.vmap(lambda x: table(system, x))(states)), asked, atol=1e-12)


def test_what_is_not_in_the_list_has_no_amplitude():
    system = wf.lattice.j1j2_chain(8, J2=0.3)
    network = wf.models.vit(patch=2, head="real", **SMALL).build(jax.random.key(0), (8,), sign_free=True)
    table = tabled(network, system, jnp.asarray(exact.basis(system.hilbert), jnp.int8), CHUNK)
    assert table(system, jnp.ones(8, jnp.int8)).log == -np.inf


def test_heads_are_tuned_as_on_the_features_of_all_images(case: Case):
    """Local energies, log psi, and the head that tuning ends with, on the same samples."""
    system, state, states = case
    family = system.family([{}])
    known = listed(state, system, states, CHUNK)
    key = jax.random.key(5)
    xs = sample_listed(known, family, states, key, 256, CHUNK)
    np.testing.assert_array_equal(xs, sample_listed(state, family, states, key, 256, CHUNK))
    pools = [fill(one, family, xs, CHUNK) for one in (state, known)]
    heads: list[Any] = [state.head, known.head]
    assert heads[1].real == state.real and ready(heads[0]) is heads[0]
    for of in (lambda head, pool: contract(system, head, pool), lambda head, pool: log_psi(head, pool.local.z)):
        one, other = (np.asarray(of(head, pool)) for head, pool in zip(heads, pools, strict=True))
        np.testing.assert_allclose(one - one[0], other - other[0], atol=1e-9)
    rules = Rules(6, 0.1, 1e-2, 0.3, 0.25, 0.1, 16, 1e-9)
    start = jnp.asarray(heads[0].weights(), jnp.float64)
    tuned = [tuned_on(system, h, start, system.couplings, p, rules) for h, p in zip(heads, pools, strict=True)]
    assert int(tuned[0].steps) == int(tuned[1].steps) > 1 and bool(tuned[0].stale) == bool(tuned[1].stale)
    assert float(jnp.max(jnp.abs(tuned[0].weights - start))) > 1e-3
    np.testing.assert_allclose(tuned[0].weights, tuned[1].weights, atol=1e-6)
    np.testing.assert_allclose(tuned[0].energy, tuned[1].energy, rtol=1e-7)


def test_the_network_is_asked_once_for_every_configuration():
    """Not once for every image of each: counted where the programs are made."""
    system = wf.lattice.j1j2_chain(8, J2=0.3)
    network = wf.models.vit(patch=2, head="complex", **SMALL).build(jax.random.key(0), (8,), sign_free=False)
    state = symmetry.symmetrised(network, system, symmetry.Symmetry(("translations", "point-group", "spin-flip")))
    states = jnp.asarray(exact.basis(system.hilbert), jnp.int8)
    asked = jax.make_jaxpr(lambda: mapped(lambda x: state(system, x), states, len(states)))()
    looked_up = jax.make_jaxpr(lambda: state.of_all(system, states, len(states)))()

    def work(jaxpr: Any) -> int:
        """Entries that matrix products write."""
        total = 0
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                total += int(np.prod(equation.outvars[0].aval.shape))
            for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")):
                total += work(getattr(inner, "jaxpr", inner)) if hasattr(inner, "eqns") else 0
        return total

    images = len(state.head.images)  # type: ignore[attr-defined]
    assert images == 8 and work(asked.jaxpr) > 0.9 * images * work(looked_up.jaxpr)
