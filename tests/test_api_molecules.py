"""Mapping with a model of molecules: what is computed, and what is not computed again."""

from pathlib import Path
from typing import Any

import ase
import jax
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry import api_given
from wavefoundry.artifacts.spec import from_dict
from wavefoundry.artifacts.zoo import export
from wavefoundry.core.errors import InputError
from wavefoundry.models import ElectronsSpec
from wavefoundry.studies.molecules import study as molecules_study
from wavefoundry.studies.molecules.stored import describe
from wavefoundry.studies.progress import Context

pytestmark = pytest.mark.integration


def test_one_molecule_needs_no_orbitals_of_the_training(monkeypatch: pytest.MonkeyPatch):
    """A model of five lengths, asked for a sixth one: Hartree-Fock of that one alone."""
    rows = api_given.rows_of(wf.molecules("H 0 0 0; H 0 0 R", scan=[1.2, 1.3, 1.4, 1.5, 1.6]), "test")
    spec = api_given.spec_of({"train": {"molecules": rows}}, ElectronsSpec(), "test")
    model = wf.MoleculeModel(describe(spec).build(jax.random.key(0)), spec)
    asked: list[str] = []

    class Enough(Exception):
        pass

    def prepare(named: Any, table: Any) -> Any:
        asked.extend(one.molecule.name for one in named)
        raise Enough

    monkeypatch.setattr(molecules_study, "prepare", prepare)
    target = wf.molecules("H 0 0 0; H 0 0 1.7")
    none = {"basis": "none"}
    with pytest.raises(Enough):
        wf.map(model, target, reference=none)
    assert asked == [target[0].name]
    spec = api_given.spec_of({"train": {"molecules": rows}, "reference": none}, ElectronsSpec(), "test")
    study = molecules_study.MoleculesStudy(spec, Context(), model.wavefunction)
    assert [task.name for task in study.tasks({})] == [f"trained/{index}" for index in range(5)], "no training"


def test_what_a_state_is_asked_of_is_what_molecules_takes():
    """ASE, a list of one; an electron at a nucleus has the amplitude that it has nearby."""
    model = wf.load("zoo:molecules-small")
    assert model.state(ase.Atoms("H2", positions=[(0, 0, 0), (0, 0, 0.74)])).molecule.electrons == 2
    (one,) = wf.molecules(["He 0 0 0"])
    assert wf.molecules([one, "He 0 0 0"], ["Be 0 0 0"])[2].symbols == ("Be",)
    state = model.state(["H 0 0 0; H 0 0 1.4"])
    at, near = (state.log_amplitude(np.array([[0, 0, z], [1, 1, 1.0]])) for z in (0.0, 1e-6))
    assert np.isfinite(at) and abs(at - near) < 1e-4


def test_a_model_taken_as_it_is_remembers_its_training(tmp_path: Path):
    """A run that only measures: its model can be loaded, and is asked for as that it was made of."""
    tables = {
        "kind": "molecules", "train": {"warm_start": "zoo:molecules-small", "steps": 0},
        "adapt": {"molecules": [{"atoms": "He 0 0 0"}]}, "reference": {"basis": "none"},
        "evaluate": {"samples": 256, "chains": 32, "density": False},
    }  # fmt: skip
    summary = wf.run_study(from_dict(tables), tmp_path / "run")
    model, start = wf.load(tmp_path / "run"), wf.load("zoo:molecules-small")
    assert model.trained_on == start.trained_on and len(start.trained_on) > 40
    assert len(summary["trained_on"]) == len(start.trained_on)
    wf.Calculator(model)
    card = export(tmp_path / "run", "mine", tmp_path) / "README.md"
    assert "CPU seconds, begun with zoo:molecules-small" in card.read_text()


def untrained(*atoms: str) -> wf.MoleculeModel:
    rows = api_given.rows_of(wf.molecules(*atoms), "test")
    network = ElectronsSpec(options=(("width", 6), ("layers", 1), ("determinants", 1)))
    spec = api_given.spec_of({"train": {"molecules": rows}}, network, "test")
    return wf.MoleculeModel(describe(spec).build(jax.random.key(0)), spec)


def test_the_state_of_a_molecule():
    """Amplitudes are antisymmetric and lie where the molecule lies; samples follow them."""
    model = untrained("Li 0 0 0; H 0 0 3")
    state, turned = model.state("Li 0 0 0; H 0 0 3"), model.state("Li 1 2 3; H 4 2 3")
    x, energies = state.sample(300, moves=2, burn_in=2)
    assert x.shape == (300, 4, 3) and energies.shape == (300,) and len(np.unique(x[:, 0, 0])) > 250
    log = state.log_amplitude(x)
    assert log.shape == (300,) and np.isclose(state.log_amplitude(x[7]), log[7])
    swapped = state.log_amplitude(x[:, [1, 0, 2, 3]])
    assert np.allclose(swapped.real, log.real, atol=1e-4)
    assert np.allclose(np.exp(1j * (swapped - log).imag), -1)
    # from (x, y, z) of a molecule along z to one that begins at (1, 2, 3) and runs along x
    there = turned.sample(4, moves=2, burn_in=2).x
    back = np.stack([there[..., 1] - 2, there[..., 2] - 3, there[..., 0] - 1], axis=-1)
    assert np.allclose(turned.log_amplitude(there).real, state.log_amplitude(back).real, atol=1e-4)
    again = state.sample(300, moves=2, burn_in=2)
    assert np.array_equal(again.x, x) and not np.array_equal(state.sample(300, seed=1, moves=2, burn_in=2).x, x)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model, state: state.log_amplitude(np.zeros((3, 3))), "no electrons of"),
        (lambda model, state: state.sample(0), "0 is no number of samples"),
        (lambda model, state: state.sample(2.5), "samples"),
        (lambda model, state: state.sample(10**12), "GiB are free"),
        (lambda model, state: state.log_amplitude(np.full((2, 3), np.nan)), "not finite"),
        (lambda model, state: wf.map(model, ["H 0 0"]), "is not an atom"),
        (lambda model, state: wf.map(model, []), "no molecules"),
        (lambda model, state: wf.map(model, {"h": [0.8]}), "unknown key"),
        (lambda model, state: model.state("H 0 0 0; H 0 0 1e9"), "numbers up to"),
        (lambda model, state: model.state("H 0 0 0; Li 0 0 x"), "not a number"),
        (lambda model, state: model.state(0.8), "float names no molecule"),
    ],
)
def test_what_is_no_state_of_a_molecule(call, words):
    model = untrained("H 0 0 0; H 0 0 1.4")
    with pytest.raises(wf.InputError, match=words):
        call(model, model.state("H 0 0 0; H 0 0 1.4"))


def test_energies_in_other_units():
    def record(name, method, energy, error, reference):
        known = None if reference is None else {"value": reference}
        return {"name": name, "formula": "H2", "method": method, "energy": energy, "energy_error": error,
                "reference": known, "verdict": "trusted"}  # fmt: skip

    found = wf.MoleculeMap(
        {"molecules": [record("a", "full", -1.0, 3e-3, -1.1), record("b", "full", -1.2, 4e-3, -1.25),
                       record("c", "zero-shot", -1.1, 1e-3, None), record("d", "full", None, None, -1.0)]}
    )  # fmt: skip
    table = found.energies("eV")
    assert table["energy (eV)"][0] == pytest.approx(-27.211386) and table["reference (eV)"][1] == pytest.approx(
        -34.0142, rel=1e-5
    )
    near = found.energies("kcal/mol", relative=True)
    assert near["energy (kcal/mol)"].tolist()[:3] == pytest.approx([0.2 * 627.5095, 0, 0])
    assert near["error (kcal/mol)"].tolist()[:3] == pytest.approx([5e-3 * 627.5095, 0, 0])
    assert near["reference (kcal/mol)"][0] == pytest.approx(0.15 * 627.5095)
    assert near["energy (kcal/mol)"].isna()[3]
    with pytest.raises(wf.InputError, match="one of Ha, eV"):
        found.energies("kJ")
    found.summary["molecules"][1]["verdict"] = "refused"  # the lowest: no zero for the others
    near = found.energies("Ha", relative=True)["energy (Ha)"]
    assert near[0] == 0 and near[1] == pytest.approx(-0.2)
    found.summary["molecules"][2]["verdict"] = "refused"
    assert found.energies("Ha", relative=True)["energy (Ha)"].isna()[2]


def test_a_scan_is_what_was_made_as_one():
    """Lengths in bohr whatever the unit; not what files or sets have in common, nor what was moved at random."""
    text = "Be 0 0 0; H 0 0 R; H 0 0 -R"
    scanned = wf.molecules(text, unit="angstrom", scan=[1.2, 1.3])
    np.testing.assert_allclose([one.length for one in scanned], [1.2 * 1.8897261246, 1.3 * 1.8897261246])
    assert [one.length for one in wf.molecules(chain=4, spacing=[1.6, 1.8])] == [1.6, 1.8]
    assert [one.length for one in wf.molecules(chain=4, spacing=1.6, gap=2.0)] == [None]
    assert [one.length for one in wf.molecules(text, scan=[2.5], distort=2)] == [2.5, None]
    assert [one.length for one in wf.molecules(set="compounds-3", name="foo")] == [None] * 3
    assert [one.length for one in wf.molecules(*scanned)] == [one.length for one in scanned], "handed on"


def test_names_occur_once():
    entries = [{"atoms": "H 0 0 0; H 0 0 1.4", "name": name} for name in ("a", "a (2)", "a", "a")]
    assert [one.name for one in wf.molecules(*entries)] == ["a", "a (2)", "a (3)", "a (4)"]


def test_charge_and_spin_of_compounds():
    """A charged one has the lowest spin by default; a set has no charge of its own."""
    assert wf.molecules("H2O", unit="angstrom") == wf.molecules(compound="H2O")
    with pytest.raises(InputError, match='compound = "H2O"'):
        wf.molecules({"atoms": "H2O"})
    (ion,) = wf.molecules(compound="H2O", charge=1)
    assert (ion.charge, ion.spin) == (1, 1)
    for key in ("charge", "spin"):
        with pytest.raises(InputError, match=f"{key} means nothing beside set"):
            wf.molecules(set="compounds-3", **{key: 1})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"R\*\*2 is no length of a scan"):
        wf.molecules("H 0 0 0; H 0 0 R**2", scan=[1.4])
    with pytest.raises(InputError, match="divided by zero"):
        wf.molecules("H 0 0 0; H 0 0 R/0", scan=[1.0, 2.0])


def test_a_reference_of_the_user_is_that_of_the_map():
    """Beside an entry; a molecule by itself cannot hold one."""
    with pytest.raises(InputError, match="holds no reference"):
        wf.molecules("H 0 0 0; H 0 0 0.9", reference=-1.0)
    base = wf.pretrain(
        wf.molecules("H 0 0 0; H 0 0 1.4"), wf.models.electrons(width=4, layers=1, determinants=1), steps=1, hf_steps=2,
        walkers=32,
    )  # fmt: skip
    entry = {"atoms": "H 0 0 0; H 0 0 1.4", "reference": -1.17}
    found = wf.map(base, entry, evaluate={"samples": 256, "chains": 32}, reference={"basis": "none"})  # type: ignore[call-overload]
    assert found.molecules[0]["reference"]["value"] == -1.17
