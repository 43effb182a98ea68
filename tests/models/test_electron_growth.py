"""Networks that grow: the same wavefunction with more weights, all of which can move."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.adapt.transfer import prepare
from wavefoundry.core.molecule import Molecule
from wavefoundry.models.electron_growth import changed, grown, obstacle
from wavefoundry.models.electron_shape import PAPER, SMALL, Shape
from wavefoundry.models.electron_wavefunction import electrons

TINY = dataclasses.replace(
    SMALL, width=6, pair=5, convolution=4, determinants=2, hidden=(7,), exponents=(5,), jastrow=5
)
PUBLISHED = dataclasses.replace(
    PAPER, width=6, layers=2, pair=5, convolution=4, determinants=2, hidden=(7, 6), exponents=(5, 4)
)
LARGER = [
    {"width": 9},
    {"pair": 8},
    {"convolution": 6},
    {"hidden": (10,)},
    {"exponents": (8,)},
    {"jastrow": 7},
    {"nuclear": 2},
    {"width": 9, "pair": 8, "convolution": 6, "hidden": (9,), "exponents": (6,), "jastrow": 6},
]


@pytest.fixture(scope="module")
def system():
    return prepare(Molecule.from_atoms("Li 0 0 0; H 0.3 0.1 2.8")).system


def both(old: Shape, new: Shape):
    small = electrons(jax.random.key(0), old, "float64")
    # what starts at zero would hide a mistake
    small = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(1), x.shape, x.dtype), small)
    return small, grown(jax.random.key(2), small, old, electrons(jax.random.key(3), new, "float64"), new)


def logs(network, system, x):
    return np.asarray(jax.vmap(lambda y: network(system, y).log)(x))


@pytest.mark.parametrize("change", LARGER, ids=lambda change: " ".join(change))
def test_a_larger_network_is_the_same_function(system, change):
    new = dataclasses.replace(TINY, **change)
    assert obstacle(TINY, new) == changed(TINY, new) == ""
    small, large = both(TINY, new)
    x = jax.random.normal(jax.random.key(4), (16, 4, 3)) * 1.5
    np.testing.assert_allclose(logs(large, system, x), logs(small, system, x), atol=1e-9)


@pytest.mark.parametrize("change", [{"width": 9}, {"pair": 8}, {"hidden": (9, 8)}, {"exponents": (6, 8)}])
def test_so_is_a_published_one(system, change):
    old = dataclasses.replace(PUBLISHED, symbols=TINY.symbols, elements=10)
    new = dataclasses.replace(old, **change)
    assert obstacle(old, new) == ""
    small, large = both(old, new)
    x = jax.random.normal(jax.random.key(4), (8, 4, 3)) * 1.5
    np.testing.assert_allclose(logs(large, system, x), logs(small, system, x), atol=1e-9)


def test_repeated_determinants_are_almost_the_same_and_part(system):
    new = dataclasses.replace(TINY, determinants=6)
    small, large = both(TINY, new)
    x = jax.random.normal(jax.random.key(4), (64, 4, 3)) * 1.5
    apart = logs(large, system, x) - logs(small, system, x) - np.log(3)
    assert 1e-6 < np.median(np.abs(apart)) < 0.05

    features = large.orbitals[0].out.reshape(-1, 2, 6, TINY.width)
    assert not np.allclose(features[:, :, 0], features[:, :, 2])


def test_new_weights_move(system):
    """No new unit is dead: after one step along the gradient all arrays that grew have moved where they are new."""
    new = dataclasses.replace(TINY, **LARGER[-1])
    _, large = both(TINY, new)
    x = jax.random.normal(jax.random.key(4), (16, 4, 3))
    loss = lambda network: jnp.mean(jax.vmap(lambda y: network(system, y).log)(x) ** 2)  # noqa: E731
    for _ in range(2):  # what feeds into new outputs moves once these have left zero
        slope = eqx.filter_grad(loss)(large)
        large = jax.tree.map(lambda w, g: w - 0.01 * g, large, slope)
    slope = eqx.filter_grad(loss)(large)
    for layer in slope.embedding.layers:
        assert np.all(np.any(np.asarray(layer.update.kernel[:, TINY.width :]) != 0, axis=0))
    assert np.any(np.asarray(slope.orbitals[0].out[TINY.hidden[0] :]) != 0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"width": 4}, "nothing can shrink"),
        ({"determinants": 3}, "no multiple of 2"),
        ({"layers": 3}, "only sizes can grow"),
        ({"hidden": (7, 7)}, "layers cannot be added"),
        ({"jastrow": 0}, "nothing can shrink"),
        ({"share_spins": False}, "share_spins = false, and that was true"),
    ],
)
def test_what_would_be_another_network_is_named(change, says):
    assert says in obstacle(TINY, dataclasses.replace(TINY, **change))


def test_what_changes_the_function_is_said():
    assert obstacle(TINY, dataclasses.replace(TINY, cusp=True)) == ""
    assert "cusp" in changed(TINY, dataclasses.replace(TINY, cusp=True))
    assert "reach = 2" in changed(TINY, dataclasses.replace(TINY, reach=2.0))
    assert "cusp = false" in obstacle(dataclasses.replace(TINY, cusp=True), TINY)


@pytest.mark.integration
def test_studies_go_on_with_a_larger_network(tmp_path):
    """Keys that are left out are those of the model; without a step the energy is the same."""
    text = """
kind = "molecules"
[train]
molecules = [{ atoms = "H 0 0 0; H 0 0 1.4" }]
steps = 20
hf_steps = 60
walkers = 64
laplacian = "loop"
[wavefunction]
width = 6
layers = 1
pair = 5
convolution = 4
determinants = 2
hidden = [7]
[evaluate]
samples = 2048
chains = 64
moves = 4
density = false
dipole = false
[reference]
basis = "none"
"""
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.core.errors import InputError
    from wavefoundry.studies import run_study

    first = run_study(study_file.loads(text), tmp_path / "small")
    more = text.replace(
        "steps = 20\nhf_steps = 60", f'steps = 2\nlearning_rate = 1e-9\nwarm_start = "{tmp_path / "small"}"'
    )
    head, tail = more[: more.index("[wavefunction]")], more[more.index("[evaluate]") :]
    grown_to = "[wavefunction]\nwidth = 9\ndeterminants = 4\n"
    second = run_study(study_file.loads(head + grown_to + tail), tmp_path / "large")
    one, two = first["molecules"][0], second["molecules"][0]
    bar = np.hypot(one["energy_error"], two["energy_error"])
    assert abs(one["energy"] - two["energy"]) < 5 * bar + 1e-3  # noise of repeated determinants
    assert wf.load(tmp_path / "large").parameters > wf.load(tmp_path / "small").parameters
    assert wf.load(tmp_path / "large").spec.wavefunction.hidden == [7]
    with pytest.raises(InputError, match="nothing can shrink"):
        run_study(study_file.loads(head + "[wavefunction]\nwidth = 4\n" + tail), tmp_path / "less")
    assert not (tmp_path / "less").exists()
