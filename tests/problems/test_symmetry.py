"""Translations: found in the strings, imposed where the Hamiltonian has them, and nowhere else."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest

from tests.oracles import dense_matrix
from wavefoundry.core import tree
from wavefoundry.models import ConvSpec, DenseSpec, ResNetSpec, ViTSpec
from wavefoundry.problems import exact, lattice
from wavefoundry.problems.spins import sign_free
from wavefoundry.problems.symmetry import broken_by_shifts, shift
from wavefoundry.problems.toric import toric
from wavefoundry.studies.diagram.networks import fitted, imposed_by

BUILD: Any = nk.operator.PauliStringsJax


def on(sites: int, places: dict[int, str]) -> str:
    return "".join(places.get(site, "I") for site in range(sites))


def chain(bonds: np.ndarray, fields: np.ndarray, edges: float = 0.0, periodic: bool = True) -> Any:
    """-sum bonds Z Z - sum fields X, with opposite longitudinal fields at the ends."""
    n = len(fields)
    hilbert = nk.hilbert.Spin(0.5, n)
    links = [on(n, {i: "Z", (i + 1) % n: "Z"}) for i in range(n if periodic else n - 1)]
    terms = {
        "J": BUILD(hilbert, links, [-float(b) for b in bonds[: len(links)]]),
        "h": BUILD(hilbert, [on(n, {i: "X"}) for i in range(n)], [-float(f) for f in fields]),
    }
    if edges:
        terms["edge"] = BUILD(hilbert, [on(n, {0: "Z"}), on(n, {n - 1: "Z"})], [-edges, edges])
    return lattice.from_netket(terms, dict.fromkeys(terms, 1.0), periodic=periodic)


def by_matrix(system: Any, step: int) -> bool:
    """Whether the full matrix, the sign rule included, commutes with the shifts along all axes."""
    states = exact.basis(system.hilbert)
    matrix = dense_matrix(system.operator()).real
    if system.sublattice is not None:
        signs = np.array([float(system.sign(jnp.asarray(x))) for x in states])
        matrix = signs[:, None] * matrix * signs
    place = {x.tobytes(): i for i, x in enumerate(states)}
    for axis in range(len(system.extent)):
        roll = shift(system.extent, axis, step)
        if roll is not None:
            image = [place[np.ascontiguousarray(x[roll]).tobytes()] for x in states]
            if np.abs(matrix[np.ix_(image, image)] - matrix).max() > 1e-9:
                return False
    return True


SYSTEMS = {
    "periodic": lattice.ising_chain(8),
    "open": lattice.ising_chain(8, periodic=False),
    "rotated sublattice": lattice.j1j2_chain(8, J2=0.3),
    "frustrated, open": lattice.j1j2_chain(8, J2=0.3, periodic=False),
    "square": lattice.ising_square(2, 4),
    "open square": lattice.j1j2_square(2, 4, J2=0.2, periodic=False),
    "random": chain(np.random.default_rng(0).normal(size=8), np.ones(8)),
    "staggered": chain(np.tile([1.0, 0.3], 4), np.ones(8)),
    "edges": chain(np.ones(8), np.ones(8), edges=1.0, periodic=False),
    "toric": toric(2, 2),
}


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("name", SYSTEMS)
def test_strings_know_what_the_matrix_knows(name: str, step: int):
    system = SYSTEMS[name]
    assert (not broken_by_shifts(system, step)) == by_matrix(system, step)


def test_the_broken_terms_are_named():
    assert broken_by_shifts(SYSTEMS["edges"], 2) == ["J", "edge"]
    assert broken_by_shifts(SYSTEMS["staggered"], 1) == ["J"]
    assert broken_by_shifts(SYSTEMS["staggered"], 2) == []
    off = SYSTEMS["edges"].at(edge=0.0)
    assert broken_by_shifts(off, 2) == ["J", "edge"], "a diagram may turn a term on that is off"
    assert broken_by_shifts(SYSTEMS["open"], 8) == [], "one patch is the whole lattice"


def test_operators_that_are_no_strings_are_tried_out():
    """The same answers from matrix elements, with the attributes of strings hidden."""

    class Opaque:
        def __init__(self, operator: Any):
            self.hilbert, self.get_conn_padded = operator.hilbert, operator.get_conn_padded

    for name in ("periodic", "open", "rotated sublattice", "staggered"):
        system = SYSTEMS[name]
        object.__setattr__(hidden := dataclasses.replace(system), "operators", tuple(map(Opaque, system.operators)))
        for step in (1, 2):
            assert broken_by_shifts(hidden, step) == broken_by_shifts(system, step)


def network(system: Any, **fields: Any) -> Any:
    free = sign_free(system)
    model = fitted(ViTSpec(width=8, layers=1, heads=2, precision="float64", **fields), system, free).model
    return model.build(jax.random.key(0), system.extent, sign_free=free)


@pytest.mark.parametrize("name", ["periodic", "staggered", "open", "edges", "random"])
def test_a_network_has_exactly_the_symmetry_of_its_hamiltonian(name: str):
    system = SYSTEMS[name]
    psi = network(system, patch=2)
    x = exact.basis(system.hilbert)[37]
    shifted = x[shift((8,), 0, 2)]
    before, after = (float(psi(system, jnp.asarray(s)).log) for s in (x, shifted))
    invariant = not broken_by_shifts(system, 2)
    assert (abs(before - after) < 1e-10) == invariant
    assert imposed_by(psi) == ("translations" if invariant else "none")


def test_what_is_said_and_what_can_be_overruled():
    periodic, edges = SYSTEMS["periodic"], SYSTEMS["edges"]
    assert fitted(ViTSpec(), periodic, True) == (ViTSpec(symmetry="translations"), None, False)
    chosen = fitted(ViTSpec(patch=2), edges, True)
    assert chosen.model.symmetry == "none" and not chosen.harmful
    assert "terms J, edge" in str(chosen.note) and "open" in str(chosen.note)
    forced = fitted(ViTSpec(patch=2, symmetry="translations"), edges, True)
    assert forced.model.symmetry == "translations" and forced.harmful and "as asked for" in str(forced.note)
    assert fitted(ViTSpec(symmetry="none"), periodic, True) == (ViTSpec(symmetry="none"), None, False)
    for model in (ConvSpec(), ResNetSpec()):
        assert fitted(model, periodic, True) == (model, None, False)
        assert "periodic = false" in str(fitted(model, SYSTEMS["open"], True).note)
        assert fitted(dataclasses.replace(model, periodic=False), SYSTEMS["open"], True).note is None
        assert fitted(model, SYSTEMS["random"], True).harmful
        assert fitted(dataclasses.replace(model, periodic=False), edges, True).harmful
    assert fitted(DenseSpec(), edges, True) == (DenseSpec(), None, False)


def test_arrays_of_a_stored_transformer_have_not_moved():
    """Names and shapes of every array of a translation-invariant network, as models on disk have them."""
    psi = ViTSpec(patch=2, width=8, layers=2, heads=2).build(jax.random.key(0), (8,), sign_free=True)
    shapes = {name: array.shape for name, array in tree.to_arrays(psi, "w").items()}
    assert not any("position" in name for name in shapes)
    assert next(shape for name, shape in shapes.items() if name.endswith("alpha")) == (2, 2, 4)
    free = ViTSpec(patch=2, width=8, layers=2, heads=2, symmetry="none").build(jax.random.key(0), (8,), sign_free=True)
    more = {name: array.shape for name, array in tree.to_arrays(free, "w").items()}
    added = {name for name in more if name not in shapes}
    assert len(added) == 1 and more[added.pop()] == (4, 8)
    assert next(shape for name, shape in more.items() if name.endswith("alpha")) == (2, 2, 4, 4)


def test_free_attention_starts_from_the_factored_one():
    """With its positions set to zero, a free network is the invariant one of the same key."""
    x = jnp.asarray(exact.basis(nk.hilbert.Spin(0.5, 8))[91])
    spec = ViTSpec(patch=2, width=8, layers=2, heads=2, precision="float64")
    psi = spec.build(jax.random.key(3), (8,), sign_free=True)
    free = dataclasses.replace(spec, symmetry="none").build(jax.random.key(3), (8,), sign_free=True)
    backbone = dataclasses.replace(free.backbone, positions=jnp.zeros_like(free.backbone.positions))
    system = SYSTEMS["periodic"]
    plain = dataclasses.replace(free, backbone=backbone)
    assert float(plain(system, x).log) == pytest.approx(float(psi(system, x).log), abs=1e-12)
