"""Tickets of electrons: weights of a model of molecules that are cut stay zero, and the rest is trained on."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.adapt.compact import vector
from wavefoundry.core.errors import InputError
from wavefoundry.models.masked import Masked, masked
from wavefoundry.studies.molecules.pruning import layout

H2 = {"atoms": "H 0 0 0; H 0 0 1.4", "reference": -1.17447}


@pytest.fixture(scope="module")
def model() -> wf.MoleculeModel:
    return wf.load("zoo:molecules-small")


def test_weights_behind_a_mask_have_no_gradient():
    network = eqx.nn.MLP(3, "scalar", 4, 1, key=jax.random.key(0))
    size = sum(leaf.size for leaf in jax.tree.leaves(network) if eqx.is_inexact_array(leaf))
    kept = np.arange(size) % 3 > 0
    held = Masked.of(network, kept)
    np.testing.assert_array_equal(np.asarray(vector(held.whole()))[~kept], 0.0)
    np.testing.assert_allclose(vector(held.whole())[kept], vector(network)[kept], atol=0)

    def value(one: Any) -> Any:
        return masked(one, held.mask)(jnp.ones(3))

    gradient = np.asarray(vector(eqx.filter_grad(value)(network)))
    assert np.all(gradient[~kept] == 0) and np.any(gradient[kept] != 0)
    assert masked(network, [None] * len(held.mask))(jnp.ones(3)) == network(jnp.ones(3))


@pytest.mark.integration
def test_a_model_is_pruned_round_by_round(model: wf.MoleculeModel):
    """Counts as asked for; zeros stay zero through the training; one molecule, its reference and verdicts as ever."""
    prunable = layout(model.wavefunction, []).prunable
    few = {"samples": 512, "chains": 32, "burn_in": 50}
    found = wf.prune(model, H2, fraction=0.4, stop_at=9000, steps=3, train={"walkers": 64}, evaluate=few, rewind="none")
    assert isinstance(found, wf.MoleculeTickets)
    counts = [record["n"] for record in found.rounds]
    assert counts[0] == int(prunable.sum()) and counts[-1] == 9000
    assert counts == sorted(counts, reverse=True) and len(counts) == 3
    start = np.asarray(vector(model.wavefunction))
    np.testing.assert_array_equal(np.asarray(vector(found.model(counts[0]).wavefunction)), start)
    before = np.ones(len(start), bool)
    for record in found.rounds[1:]:
        now = np.asarray(vector(found.model(record["n"]).wavefunction))
        left = now != 0
        assert np.sum(left & prunable) == record["n"] and not np.any(left & ~before & prunable)
        assert np.mean(now[left] != start[left]) > 0.5, "the others are trained"
        before = left
        (row,) = record["molecules"]
        assert row["steps"] == 3 and row["reference"]["value"] == H2["reference"]
        assert row["verdict"] in ("trusted", "upper bound", "doubtful", "refused") and row["reasons"]
    assert found.rounds[0]["error_mha"] < 5, "the whole network is that of the store"
    assert len(found.to_pandas()) == 3 and "3 rounds from" in repr(found) and "<img" in found._repr_html_()
    (again,) = wf.map(found.model(9000), H2, evaluate=few, reference={"basis": "none"}).molecules
    last = found.rounds[-1]["molecules"][0]
    assert abs(again["energy"] - last["energy"]) < 5 * np.hypot(again["energy_error"], last["energy_error"])
    with pytest.raises(InputError, match="no round has 17 weights"):
        found.model(17)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"score": "surgeon"}, 'score.*"magnitude" or "random"'),
        ({"rewind": "init"}, "no initial weights"),
        ({"alternatives": ["longer"]}, "alternatives"),
        ({"fan_in": 3}, "dense networks"),
        ({"schedule": "one-shot"}, "iterative"),
        ({"stop_at": 10**6}, "leaves nothing to cut"),
        ({"layers": ["nothing.*"]}, "no layer is called"),
        ({"train": {"learning": 1}}, "did you mean 'learning_rate'|unknown key"),
        ({"train": {"scratch": True}}, "unknown key 'scratch'"),
        ({"reference": -1.1}, "belongs to one molecule"),
        ({"fraction": 2.0}, "fraction"),
        ({"stopp_at": 3}, "stop_at"),
    ],
)
def test_what_is_not_possible_is_said(model: wf.MoleculeModel, settings: dict[str, Any], words: str):
    with pytest.raises(InputError, match=f"(?s){words}"):
        wf.prune(model, H2, **settings)


def test_a_student_is_pruned_by_itself():
    with pytest.raises(InputError, match=r"student\.pruned"):
        wf.prune(wf.demo_emulator())
