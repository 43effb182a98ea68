"""What editors and ``help`` show of the Python interface follows from the tables of study files."""

import inspect
from typing import Any, get_type_hints

import pytest

import wavefoundry as wf
from wavefoundry import api_settings as settings
from wavefoundry.artifacts import spec_adapt, spec_geometry, spec_molecules, spec_reference, spec_tables, spec_tickets
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.networks import NETWORKS
from wavefoundry.models import options

HOW = {"optimiser", "preconditioner", "sampler"}
PAIRS: dict[str, tuple[Any, Any, set[str], set[str]]] = {
    # name: types, table, keys that are arguments of their own or belong to study files, settings of Python alone
    "pretrain": (settings.PretrainSettings, spec_tables.PretrainTable, {"at", "together", "warm_start"}, HOW),
    "map": (settings.AdaptSettings, spec_adapt.AdaptTable, {"points", "method"}, HOW),
    "evaluate": (settings.EvaluateSettings, spec_tables.EvaluateTable, set(), set()),
    "reference": (settings.ReferenceSettings, spec_reference.ReferenceTable, set(), set()),
    "baselines": (settings.BaselinesSettings, spec_adapt.BaselinesTable, set(), set()),
    "train": (
        settings.TrainSettings,
        spec_molecules.MoleculesTrainTable,
        {"molecules", "unit", "warm_start"},
        set(),
    ),
    "adapt": (
        settings.MoleculeAdaptSettings,
        spec_molecules.MoleculesAdaptTable,
        {"molecules", "unit", "method"},
        set(),
    ),
    "molecules": (settings.MoleculeSettings, spec_geometry.MoleculeTable, {"atoms", "xyz", "unit"}, set()),
    "tickets": (settings.TicketTrainSettings, spec_tickets.TrainTable, {"warm_start"}, set()),
    "prune": (settings.PruneSettings, spec_tickets.PruneTable, {"fraction", "steps"}, {"reference", "evaluate"}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_settings_are_the_keys_of_a_table(name: str):
    types, table, elsewhere, own = PAIRS[name]
    assert set(get_type_hints(types)) == (set(table.model_fields) - elsewhere) | own


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (wf.pretrain, {"system", "model", "at", "steps", "walkers", "learning_rate", "optimiser", "hf_steps"}),
        (wf.map, {"base", "points", "method", "evaluate", "rounds", "tolerance", "optimiser", "target"}),
        (wf.prune, {"source", "fraction", "score", "rewind", "stop_at", "reference"}),
        (wf.molecules, {"unit", "chain", "spacing", "charge", "distort"}),
    ],
)
def test_signatures_name_every_setting(function: Any, shown: set[str]):
    signature = inspect.signature(function)
    assert shown <= set(signature.parameters)
    assert not any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    assert inspect.signature(wf.pretrain).parameters["walkers"].default == 512


def test_networks_and_emulators():
    """Every option that is shown exists, and every one that exists is shown."""
    shown = {
        "vit": options.ViTOptions, "dense": options.DenseOptions, "conv": options.ConvOptions,
        "resnet": options.ResNetOptions,
    }  # fmt: skip
    for name, types in shown.items():
        fields = set(NETWORKS[name].described().__dataclass_fields__)  # type: ignore[attr-defined]
        assert set(get_type_hints(types)) == fields, name
    emulators = {"unitary": options.UnitaryOptions, "kernel": options.KernelOptions, "gru": options.GRUOptions}
    emulators |= dict.fromkeys(("dense", "conv", "linear"), options.WindowedOptions)
    assert set(emulators) == set(EMULATORS)
    for name, types in emulators.items():
        assert set(get_type_hints(types)) == set(EMULATORS[name].keys), name


def test_completion_shows_what_there_is_to_use():
    for module in (wf, wf.lattice, wf.models, wf.exact, wf.toric):
        names = dir(module)
        assert names and all(hasattr(module, name) for name in names)
        assert not {"np", "jax", "jnp", "Any", "annotations"} & set(names), module
    assert "ising_chain" in dir(wf.lattice) and "vit" in dir(wf.models)
