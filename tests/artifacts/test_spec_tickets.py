"""Study files of kind "tickets": what they mean, and what is refused with which reason."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from wavefoundry.artifacts.spec import dumps, load, loads, template
from wavefoundry.core.errors import InputError
from wavefoundry.studies.tickets.setup import build_system, describe

STUDY = """\
kind = "tickets"
[system]
model = "ising"
lattice = { kind = "square", size = [3, 3], periodic = false }
couplings = { h = 3.04438 }
[wavefunction]
kind = "dense"
activation = "logcosh"
alpha = 4
[prune]
fraction = 0.12
stop_at = 16
"""


def refused(*overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        loads(STUDY, source="study.toml", overrides=overrides)
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) <= 4
    return str(caught.value)


def test_a_study_survives_writing_and_reading():
    spec = loads(STUDY)
    assert loads(dumps(spec)) == spec
    assert spec.full_sum() and spec.sign_free()


@pytest.mark.parametrize("name", ["", "demo-"])
def test_templates_are_studies(name):
    assert loads(template("tickets", name)).kind == "tickets"


def test_the_paper_preset_is_ten_by_ten_with_fifty_thousand_weights():
    spec = loads('kind = "tickets"', preset="paper")
    assert spec.system.sites == 100
    assert spec.system.sites * round(spec.wavefunction.alpha * spec.system.sites) == 50_000
    assert not spec.full_sum()
    assert spec.evaluate.reference == -321.0980008


@pytest.mark.parametrize(
    ("preset", "weights", "shift"),
    [("paper-4x4", 2048, 1e-4), ("paper-5x5", 5000, 1e-4), ("paper-6x6", 10_368, 1e-4), ("paper-10x10", 80_000, 1e-4),
     ("paper-toric", 2592, 1e-3), ("paper-conv", 36, 1e-3), ("paper-resnet", 18_576, 1e-3)],
)  # fmt: skip
def test_published_settings_have_the_weights_of_the_paper(preset, weights, shift):
    spec = loads('kind = "tickets"', preset=preset)
    assert (spec.train.steps, spec.prune.steps, spec.learning_rate()) == (10_000, 1000, 0.008)
    assert spec.train.diagonal_shift == shift
    extent = build_system(spec).extent
    network = jax.eval_shape(lambda key: describe(spec).build(key, extent, sign_free=True), jax.random.key(0))
    kernels = [leaf for leaf in jax.tree.leaves(network) if getattr(leaf, "ndim", 0) > 1]
    assert sum(leaf.size for leaf in kernels) == weights


def test_presets_of_another_kind_are_refused():
    with pytest.raises(InputError, match='no preset .paper-4x4. for kind "diagram"'):
        loads('kind = "diagram"', preset="paper-4x4")


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "examples" / "studies").glob("tickets-*.toml")))
def test_example_studies_are_accepted(file):
    assert loads(file.read_text()).kind == "tickets"


@pytest.mark.parametrize("preset", ["desk", "paper"])
def test_a_study_with_its_own_system_takes_no_couplings_and_no_reference_from_a_preset(preset):
    chain = '[system]\nmodel = "toric"\nlattice = { kind = "square", size = [2, 2] }\n'
    spec = loads('kind = "tickets"\n' + chain, preset=preset)
    assert spec.system.couplings == {} and spec.system.lattice.periodic
    assert spec.evaluate.reference is None
    weaker = loads('kind = "tickets"\n[system]\ncouplings = { h = 2.0 }\n', preset=preset)
    assert weaker.system.couplings == {"h": 2.0} and weaker.evaluate.reference is None
    assert loads('kind = "tickets"\n[wavefunction]\nkind = "conv"\n', preset=preset).wavefunction.kind == "conv"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("prune.fraction=0.0", "greater than 0"),
        ("prune.fraction=1.0", "less than 1"),
        ("prune.fracton=0.1", "did you mean 'fraction'"),
        ("wavefunction.alpha=0.01", "empty"),
        ("prune.stop_at=324", "prunes nothing"),
        ("wavefunction.channels=8", "belongs to kind conv or resnet"),
        ("wavefunction={ kind = 'vit', conditioned = true }", "conditioned is for diagrams"),
        ("wavefunction={ kind = 'vit', heads = 3 }", "does not divide width"),
        ("system.couplings={ g = 1.0 }", "no coupling 'g'"),
        ("system.couplings={ J = 0.0, h = 0.0 }", "vanishes"),
        ("train.samples=1000", "cannot come from"),
        ("transfer.train=head", "no head"),
        ("isolate.variants=['nothing']", "variants"),
        ("isolate.at=[0]", "isolate.at"),
        ("prune={ schedule = 'one-shot', scope = 'global' }", "layer by layer"),
        ("evaluate.reference=0.0", "no relative errors"),
    ],
)
def test_what_is_refused(override, words):
    assert words in refused(override)


def test_a_full_sum_over_thirty_sites_is_refused():
    message = refused("system.lattice.size=[5, 6]", "train.sampling=full-sum")
    assert "30 spins" in message and "at most 262144" in message


def test_the_toric_code_needs_a_torus_and_a_dense_layer():
    assert "torus" in refused("system.model=toric", "system.couplings={}")
    wrong = refused(
        "system.model=toric", "system.couplings={}", "system.lattice.periodic=true", "wavefunction.kind=conv"
    )
    assert "toric" in wrong


def test_a_missing_warm_start_is_refused(tmp_path):
    file = tmp_path / "study.toml"
    file.write_text(STUDY)
    with pytest.raises(InputError, match="no such file"):
        load(file, ["wavefunction={ kind = 'vit' }", "train.warm_start=nowhere"])
