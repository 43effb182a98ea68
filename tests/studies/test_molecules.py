"""A study of molecules on the real engine: from the command to the report, stopped and resumed, and from Python."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.adapt.transfer import Samples
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.bundles import read_bundle
from wavefoundry.artifacts.files import encode_json
from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import MoleculesEvaluateTable
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.core.meter import Cost
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.statistics import energy_statistics
from wavefoundry.core.verdict import Verdict
from wavefoundry.problems.electron_observables import DEBYE
from wavefoundry.problems.references.molecules import Reference
from wavefoundry.studies import perform, progress, run_study
from wavefoundry.studies.execute import carry_out, ready
from wavefoundry.studies.molecules import records
from wavefoundry.studies.molecules.curve import Curve, reached, running_mean
from wavefoundry.studies.molecules.evaluation import Evaluation, sampling
from wavefoundry.studies.molecules.stored import describe, stored_frame
from wavefoundry.studies.molecules.study import build
from wavefoundry.studies.molecules.summary import ending, transfer_of
from wavefoundry.studies.molecules.training import _prepared, prepare, selection
from wavefoundry.studies.molecules.verdict import Evidence, Rest, novelty, observed, rest_of, verdict_on
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output

pytest.importorskip("pyscf")

SIZES: dict[str, Any] = {
    "width": 6, "layers": 1, "pair": 4, "convolution": 4, "hidden": (4,), "exponents": (4,), "jastrow": 4,
    "determinants": 1,
}  # fmt: skip
STUDY = """\
kind = "molecules"
[train]
molecules = [{ atoms = "H 0 0 0; H 0 0 1.8" }]
steps = 8
hf_steps = 8
walkers = 32
moves = 4
block = 4
laplacian = "loop"
[wavefunction]
width = 6
layers = 1
pair = 4
convolution = 4
hidden = [4]
exponents = [4]
jastrow = 4
determinants = 1
[adapt]
method = "full"
molecules = [{ atoms = "H 0 0 0; H 0 0 1.4" }]
steps = 8
norm = 0.2
scratch = true
scratch_steps = 8
[evaluate]
samples = 256
chains = 32
moves = 4
burn_in = 10
[reference]
basis = "none"
[output]
checkpoint_every = 4
"""
# One molecule at a time and one size of steps: training, tuning and training from scratch share their programs.
TOGETHER = STUDY.replace("[adapt]", "[adapt]\nwalkers = 32")
TOGETHER = TOGETHER.replace('H 0 0 1.8" }', 'H 0 0 R", scan = [1.2, 1.8] }, { atoms = "H 0 0 0" }')


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run by the command line: its directory and its summary."""
    folder = tmp_path_factory.mktemp("molecules")
    (folder / "study.toml").write_text(STUDY)
    code = main(["run", str(folder / "study.toml"), "--out", str(folder / "run"), "--quiet"])
    summary = json.loads((folder / "run" / "summary.json").read_text())
    # hardly trained at all: if every energy is refused, the exit code says so
    words = {record["verdict"] for record in summary["molecules"]}
    assert (code, summary["status"]) == ((3, "failed") if words == {"refused"} else (0, "complete"))
    return folder, summary


@pytest.mark.integration
def test_summary(run):
    _, summary = run
    assert (summary["kind"], summary["schema"]) == ("molecules", 1)
    found = [(record["name"], record["method"], record["steps"]) for record in summary["molecules"]]
    assert found == [("H2 1.8", "trained", 8), ("H2 1.4", "full", 8), ("H2 1.4", "scratch", 8)]
    for record in summary["molecules"]:
        assert {"geometry", "charge", "electrons", "variance", "reference", "error_mha", "observables", "cost"} <= set(
            record
        )
        assert np.isfinite(record["energy"]) and record["energy_error"] > 0
        assert record["electrons"] == 2 and record["samples"] == 256
        # eight steps of a tiny network: far above the exact energies, with large error bars
        assert record["verdict"] in ("doubtful", "refused") and not record["trusted"] and record["reasons"]
        # An upper bound, within five error bars: one false alarm in a million.
        exact = record["reference"]["value"] if record["reference"] else -1.1750
        assert record["energy"] > exact - 5 * record["energy_error"]
        assert record["observables"]["density"]["value"] != []
    (entry,) = summary["transfer"]
    assert entry["target"] == "H2 1.4" and entry["from"] == ["H2 1.8"] and entry["scratch_steps_made"] == 8
    assert {(curve["target"], curve["start"]) for curve in summary["curves"]} == {
        ("H2 1.4", "transfer"), ("H2 1.4", "scratch")
    }  # fmt: skip
    assert summary["train"]["steps"] == [4, 8] and set(summary["train"]["energy"]) == {"H2 1.8"}
    assert summary["cost"]["compilations"] > 0


@pytest.mark.integration
def test_a_finished_run_is_opened_with_its_models(run):
    folder, summary = run
    found = wf.open(folder / "run")
    assert [row["energy"] for row in found.molecules] == [row["energy"] for row in summary["molecules"]]
    assert [molecule.name for molecule in found.base.trained_on] == ["H2 1.8"] and list(found.models) == ["H2 1.4"]
    x = np.array([[0.3, 0.1, 0.2], [0.1, -0.4, 1.3]])
    model = found.models["H2 1.4"]
    here, there = (one.state("H 0 0 0; H 0 0 1.4").log_amplitude(x) for one in (model, found.base))
    assert here != there, "eight steps"
    again = wf.load(folder / "run" / "artifacts" / "tuned-0").state("H 0 0 0; H 0 0 1.4").log_amplitude(x)
    assert here == again


@pytest.mark.integration
def test_the_density_holds_all_electrons(run):
    _, summary = run
    for record in summary["molecules"]:
        density = record["observables"]["density"]
        width = density["position"][1] - density["position"][0]
        # Walkers of a hardly trained network are rarely farther out than 5 bohr, where the grid ends.
        assert sum(density["value"]) * width == pytest.approx(2.0, abs=0.02)


@pytest.mark.integration
def test_files_and_commands(run, capsys):
    folder, _ = run
    assert main(["verify", str(folder / "run")]) == 0
    assert main(["inspect", str(folder / "run")]) == 0
    assert "H2 1.4" in capsys.readouterr().out
    page = (folder / "run" / "report.html").read_text()
    assert "<svg" in page and "One neural wavefunction" in page
    table = (folder / "run" / "molecules.csv").read_text()
    assert table.count("\n") == 4 and table.startswith("name,formula,") and "exact_energy" not in table


def without_costs(summary: dict) -> dict:
    molecules = [{k: v for k, v in record.items() if k != "cost"} for record in summary["molecules"]]
    return {"molecules": molecules, "transfer": summary["transfer"], "curves": summary["curves"]}


def stop_at(wanted):
    """An ``emit`` that sends the signal of Ctrl-C at the first event for which ``wanted`` holds."""

    def emit(event):
        if wanted(event):
            os.kill(os.getpid(), signal.SIGINT)

    return emit


def resumed_until_done(spec, out: Path, moments) -> dict:
    """Run a study, stopped at every one of the moments and resumed after it."""
    for number, moment in enumerate(moments):
        with pytest.raises(Interrupted):
            run_study(spec, out, resume=number > 0, emit=stop_at(moment))
    return run_study(spec, out, resume=True)


def at(**fields):
    return lambda event: all(event.get(name) == value for name, value in fields.items())


@pytest.mark.integration
def test_a_stopped_run_goes_on_bit_for_bit(run, tmp_path):
    _, summary = run
    ends = at(phase="hf", step=8, task="base")
    moments = [at(phase="hf", step=4, task="base"), ends, at(phase="train", step=4, task="adapt/0")]
    again = resumed_until_done(study_file.loads(STUDY), tmp_path / "run", moments)
    assert without_costs(again) == without_costs(summary)


def weights_of(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in folder.glob("artifacts/*/arrays.safetensors")}


@pytest.mark.slow
def test_stopped_after_every_piece_that_is_saved(tmp_path, monkeypatch, saved):
    """Blocks of steps, slices of samples, observables, copies and whole tasks, each in a session of its own."""
    text = STUDY.replace("samples = 256", "samples = 1408").replace("scratch = true", "together = true")
    spec = study_file.loads(text.replace('1.4" }', '1.4" }, { atoms = "H 0 0 0" }'))
    whole = run_study(spec, tmp_path / "whole")
    monkeypatch.setattr(progress, "SAVE_AFTER", -1.0)
    saved.clear()
    out, again, sessions = tmp_path / "run", None, 0
    while again is None:
        before = len(saved)
        assert sessions < 100, "the run never ends"
        with contextlib.suppress(Interrupted):
            again = perform(spec, out, lambda: signal.SIGTERM if len(saved) > before else None, resume=sessions > 0)  # noqa: B023
        sessions += 1
    assert without_costs(again) == without_costs(whole)
    assert weights_of(out) == weights_of(tmp_path / "whole")
    assert len(saved) == sessions - 1, "every session but the last one saves a single piece"
    # pre-training twice and training once, two slices of samples, four observables and two copies, walkers of two
    # compounds and training once; and an output each
    assert [saved.count(name) for name in ("base", "trained.0", "adapt.together")] == [4, 9, 4]


class Killed(BaseException):
    """The process is gone: nothing more is saved."""


@pytest.mark.integration
@pytest.mark.parametrize(
    "moment",
    [
        {"phase": "train", "step": 8, "task": "base"},
        pytest.param({"event": "molecule", "method": "full"}, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_within_a_task_goes_on_from_what_was_saved(run, tmp_path, moment):
    folder, summary = run
    spec = study_file.loads(STUDY)

    def emit(event):
        if at(**moment)(event):
            raise Killed

    with pytest.raises(Killed):
        run_study(spec, tmp_path / "run", emit=emit)
    again = run_study(spec, tmp_path / "run", resume=True)
    assert without_costs(again) == without_costs(summary)
    assert weights_of(tmp_path / "run") == weights_of(folder / "run")


@pytest.mark.slow
def test_every_task_needs_what_it_says_and_nothing_else(run):
    """In any order, each by a study built anew, with the outputs of its needs alone."""
    _, summary = run
    spec, context = study_file.loads(STUDY), Context()
    tasks, done = build(spec, context).tasks({}), {}
    for task in tasks[::-1] * len(tasks):
        if task.name not in done and ready(task, done):
            needed = {name: done[name] for name in task.needs}
            done[task.name] = carry_out(build(spec, context), task, tasks, needed, context)
    again = json.loads(encode_json(build(spec, context).summary(done, context)))
    assert without_costs(again) == without_costs(summary)
    assert list(done)[0] == "scratch/0", "a training that needs no base"


def test_the_tasks_of_a_study():
    """A reference once for equal molecules; of one that has a value, or where none is asked for, none."""
    text = STUDY.replace('basis = "none"', 'basis = "sto-6g"')
    text = text.replace('H 0 0 1.4" }', 'H 0 0 R", scan = [1.4, 1.8] }, { atoms = "He 0 0 0", reference = -2.9 }')
    names = {task.name: task.needs for task in build(study_file.loads(text), Context()).tasks({})}
    assert [name for name in names if name.startswith("reference")] == ["reference/0", "reference/1"]
    assert names["trained/0"] == ("base", "reference/0") and names["zero-shot/1"] == ("base", "reference/0")
    assert names["full/0"] == ("base", "zero-shot/0", "adapt/0", "reference/1")
    assert names["scratch/2"] == () and names["scratched/1"] == ("scratch/1", "reference/0")
    together = text.replace("[adapt]", "[adapt]\ntogether = true")
    names = {task.name: task.needs for task in build(study_file.loads(together), Context()).tasks({})}
    assert names["full/1"] == ("base", "zero-shot/1", "adapt/together", "reference/0") and "adapt/0" not in names


def test_the_tasks_of_a_warm_chain():
    text = STUDY.replace("scratch = true", "warm_chain = true").replace('H 0 0 1.4" }', 'H 0 0 R", scan = [1.4, 1.8] }')
    names = {task.name: task.needs for task in build(study_file.loads(text), Context()).tasks({})}
    assert names["chain/0"] == () and names["chain/1"] == ("chain/0",) and names["chained/1"] == ("chain/1",)


@pytest.mark.slow
def test_a_warm_chain_goes_on_from_the_molecule_before(tmp_path):
    """Ten steps from a trained neighbour end lower than as many from nothing (H2: by several tenths of a Hartree)."""
    text = STUDY.replace("scratch = true", "warm_chain = true").replace("scratch_steps = 8", "scratch_steps = 60")
    summary = run_study(
        study_file.loads(text.replace('H 0 0 1.4" }', 'H 0 0 R", scan = [1.4, 1.6] }')), tmp_path / "run"
    )
    chained = [record for record in summary["molecules"] if record["method"] == "warm-chain"]
    assert [(record["name"], record["steps"]) for record in chained] == [("H2 1.4", 60), ("H2 1.6", 8)]
    assert chained[1]["energy"] < -1.05, "not Hartree-Fock even, had it begun with nothing"
    methods = {entry["method"]: entry for entry in summary["methods"]}
    assert list(methods) == ["zero-shot", "full", "warm-chain"]
    assert methods["full"]["cpu_seconds_with_base"] > methods["full"]["cpu_seconds"] > 0
    assert methods["warm-chain"]["cpu_seconds_with_base"] == methods["warm-chain"]["cpu_seconds"]
    assert methods["warm-chain"]["steps"] == 34


@pytest.mark.parametrize(
    ("atoms", "flags"),
    [
        ("H 0 0 0; H 0 0 1", []),
        ("Li 0 0 0; H 0 0 3", []),
        ("Li 0 0 0; Li 0 0 5", ["NEW-COMPOUND"]),
        ("B 0 0 0; H 0 0 2.3", ["NEW-ELEMENT!"]),
    ],
)
def test_what_a_model_has_not_seen_is_doubted(atoms, flags):
    molecule = Molecule.from_atoms(atoms)
    seen: set[tuple[str, int | None]] = {("H2", 0), ("LiH", 0)}
    assert [doubt.flag for doubt in novelty(molecule, seen)] == flags
    charged = Molecule.from_atoms("Li 0 0 0; H 0 0 3", charge=1)
    assert [doubt.flag for doubt in novelty(charged, seen)] == ["NEW-COMPOUND"]
    (triplet,) = novelty(Molecule.from_atoms("Li 0 0 0; H 0 0 3", spin=2), seen)
    assert triplet.flag == "NEW-COMPOUND" and "LiH with 2S = 2" in triplet.why
    for of_unknown in ({("", None)}, {*seen, ("", None)}):  # a model that says nothing may know it
        doubts = novelty(Molecule.from_atoms("B 0 0 0; H 0 0 2.3"), of_unknown)
        assert [doubt.flag for doubt in doubts] == ["NEW-COMPOUND"] and "not known" in doubts[0].why


NAMED = """
kind = "molecules"
[train]
molecules = [{ atoms = "H 0 0 0; H 0 0 1.4", name = "one" }, { atoms = "H 0 0 0; H 0 0 1.8", name = "Line (2)" }]
steps = 2
hf_steps = 2
walkers = 32
laplacian = "loop"
[wavefunction]
width = 4
layers = 1
pair = 4
convolution = 4
determinants = 1
[adapt]
method = "full"
steps = 2
molecules = [{ atoms = "He 0 0 0", name = "helium" }]
[evaluate]
samples = 256
chains = 32
moves = 4
burn_in = 10
trained = false
density = false
dipole = false
[reference]
basis = "none"
"""


@pytest.mark.integration
def test_names_of_users_say_nothing_about_compounds(tmp_path):
    """What a model was trained on, and tuned to, is stored with it; names are the users'."""
    run_study(study_file.loads(NAMED), tmp_path / "run")
    tuned = tmp_path / "run" / "artifacts" / "tuned-0"
    for start, strange in ((tmp_path / "run", ["NEW-ELEMENT!"]), (tuned, [])):
        text = f'[train]\nwarm_start = "{start}"\nsteps = 0\nlaplacian = "loop"\n[adapt]\nmolecules = '
        text += '[{ atoms = "H 0 0 0; H 0 0 1.4", name = "new" }, { atoms = "He 0 0 0" }, { atoms = "Li 0 0 0" }]\n'
        text = 'kind = "molecules"\n' + text + NAMED[NAMED.index("[evaluate]") :].replace("trained = false\n", "")
        summary = run_study(study_file.loads(text), tmp_path / f"from-{start.name}")
        novel = [[flag for flag in one["flags"] if flag.startswith("NEW")] for one in summary["molecules"]]
        assert novel == [[], strange, ["NEW-ELEMENT!"]]
    own = wf.load(tuned)
    assert {(rest.formula, rest.spin) for rest in own.rest.values()} == {("H2", 0), ("He", 0)}
    assert "helium" in repr(own)
    base = wf.load(tmp_path / "run")
    target = wf.molecules("He 0 0 0", name="atom")
    how = {"samples": 256, "chains": 32, "moves": 4, "burn_in": 10, "dipole": False, "density": False}
    settings = {"evaluate": how, "reference": {"basis": "none"}}
    made = wf.map(base, target, method="full", steps=2, walkers=32, **settings).models["atom"]
    made.save(tmp_path / "made")
    for model in (made, wf.load(tmp_path / "made")):
        (record,) = wf.map(model, wf.molecules("He 0 0 0"), **settings).molecules
        assert not any(flag.startswith("NEW") for flag in record["flags"])


@pytest.mark.integration
def test_a_stored_model_as_it_is_needs_neither_molecules_nor_network(run, tmp_path):
    """Its own sizes and what it was trained on are stored with it; the new run's model is the same, and goes on."""
    folder, _ = run
    text = STUDY[: STUDY.index("[train]")] + f'[train]\nwarm_start = "{folder}/run"\nsteps = 0\nlaplacian = "loop"\n'
    text += '[adapt]\nmolecules = [{ atoms = "H 0 0 0; H 0 0 1.4" }, { atoms = "He 0 0 0" }]\n'
    text += STUDY[STUDY.index("[evaluate]") :]
    summary = run_study(study_file.loads(text), tmp_path / "run")
    known, strange = summary["molecules"]
    assert "NEW-COMPOUND" not in known["flags"] and strange["verdict"] == "refused"
    assert "NEW-ELEMENT!" in strange["flags"]
    one, two = (read_bundle(place / "run" / "artifacts" / "base")[0] for place in (folder, tmp_path))
    assert one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)
    assert wf.load(tmp_path / "run").wavefunction.embedding.table.shape == (10, 4)


def test_a_tuning_together_is_counted_for_each_of_its_molecules():
    """The second of two comes within 1 mHa per atom after 30 of 80 steps, the first is so from the start."""
    text = NAMED.replace("steps = 2\nmolecules", "steps = 80\ntogether = true\nscratch = true\nmolecules")
    text = text.replace('[{ atoms = "He 0 0 0", name = "helium" }]', '[{ compound = "H2" }, { atoms = "He 0 0 0" }]')
    spec = study_file.loads(text)
    energy = np.full((80, 2), -2.9)
    energy[30:, 1] = -3.0
    joint = Curve(np.arange(80), energy, np.full((80, 2), 1e-6))
    value = {"kind": "exact", "source": "made up", "uncertainty": 0.0, "complete": True}
    zero = {"name": "any", "atoms": 1, "error_mha": 100.0, "energy_error": 1e-4}
    zeros = [zero | {"energy": e, "reference": value | {"value": r}} for e, r in ((-2.9, -2.9), (-2.9, -3.0))]
    done = {f"zero-shot/{k}": Output(one) for k, one in enumerate(zeros)}
    done |= {"adapt/together": Output({}, joint.arrays())}
    alone = Curve(np.arange(5), energy[:5, :1], energy[:5, :1] ** 2)
    done |= {f"scratch/{k}": Output({}, alone.arrays()) for k in (0, 1)}
    first, second = (entry["steps_to_1mha_per_atom"] for entry in transfer_of(spec, done, []))
    assert first == 0 and second == 30


def test_models_of_earlier_releases_are_known_by_their_study():
    """They hold names alone; the shipped ones are such."""
    rest = wf.load("zoo:molecules-small").rest
    assert {one.formula for one in rest.values()} >= {"H2", "BH", "CH4", "NH3", "H2O", "FH", "HF"} - {"FH"}
    assert all(one.spin == 0 and one.formula for one in rest.values())


def test_a_signal_at_the_end_of_the_pretraining_is_heard_before_the_training(tmp_path):
    """The first block of the training comes after its compilation, which takes long."""
    seen, stop = [], stop_at(at(phase="hf", step=8, task="base"))

    def emit(event):
        seen.append((event["event"], event.get("phase")))
        stop(event)

    with pytest.raises(Interrupted):
        run_study(study_file.loads(STUDY), tmp_path / "run", emit=emit)
    assert ("step", "hf") in seen and ("step", "train") not in seen


@pytest.mark.slow
def test_several_compounds_in_one_model(tmp_path):
    """Two geometries and an atom with a single electron; records and curves are those of their molecules."""
    summary = run_study(study_file.loads(TOGETHER), tmp_path / "run")
    names = ["H2 1.2", "H2 1.8", "H"]
    assert [record["name"] for record in summary["molecules"][:3]] == summary["trained_on"] == names
    for record in summary["molecules"][:3]:
        last = summary["train"]["energy"][record["name"]][-1]
        # Block and fresh samples of a hardly trained network: both within five error bars of a block of 4 x 32.
        assert abs(last - record["energy"]) < 5 * np.sqrt(record["variance"] * 2 / 128) + 0.1
    assert abs(summary["molecules"][2]["energy"] + 0.5) < 0.2


@pytest.mark.slow
def test_stopped_at_every_event(tmp_path):
    spec, out, seen = study_file.loads(TOGETHER), tmp_path / "run", set()
    summary = run_study(spec, tmp_path / "whole")
    for number in range(60):

        def emit(event):
            key = tuple(str(event.get(name)) for name in ("event", "phase", "step", "task", "name", "method"))
            if event["event"] in ("step", "molecule") and key not in seen:
                seen.add(key)
                os.kill(os.getpid(), signal.SIGTERM)

        try:
            again = run_study(spec, out, resume=number > 0, emit=emit)
            break
        except Interrupted:
            continue
    else:
        pytest.fail("the run never ended")
    assert number > 10
    assert without_costs(again) == without_costs(summary)


@pytest.mark.integration
def test_from_python(run, tmp_path):
    folder, summary = run
    base = wf.load(folder / "run")
    assert isinstance(base, wf.MoleculeModel) and [m.name for m in base.trained_on] == ["H2 1.8"]
    base.save(tmp_path / "model")
    again = wf.load(tmp_path / "model")
    target = wf.molecules("H 0 0 0; H 0 0 1.4")
    settings = {"samples": 256, "chains": 32, "moves": 4, "burn_in": 10}
    first = wf.map(base, target, evaluate=settings, reference={"basis": "none"})
    second = wf.map(again, target, evaluate=settings, reference={"basis": "none"})
    assert first.molecules[0]["energy"] == second.molecules[0]["energy"]
    assert first.molecules[0]["method"] == "zero-shot"
    third = wf.map(again, target, evaluate=settings | {"trained": True}, reference={"basis": "none"})
    assert [record["method"] for record in third.molecules] == ["trained", "zero-shot"]
    assert third.molecules[0]["energy"] == summary["molecules"][0]["energy"]
    frame = first.to_pandas()
    assert frame.loc[0, "name"] == "H2 1.4" and frame.loc[0, "reference.kind"] == "exact"
    assert first.plot().axes and first.to_html(tmp_path / "map.html").is_file()


@pytest.mark.integration
def test_how_the_training_ended_is_stored_and_inherited(run, tmp_path):
    """Two blocks of a curve are too few to tell: what starts from this model says so, however it got it."""
    folder, summary = run
    assert summary["molecules"][1]["flags"].count("BASE-NOT-CONVERGED") == 1  # tuned
    assert "BASE-NOT-CONVERGED" not in summary["molecules"][2]["flags"]  # from scratch
    base = wf.load(folder / "run")
    assert base.rest == {"H2 1.8": Rest(formula="H2", spin=0)}
    settled = RESTING._replace(formula="H2", spin=0)
    rested = dataclasses.replace(base, rest={"H2 1.8": settled})
    rested.save(tmp_path / "model")
    assert wf.load(tmp_path / "model").rest == {"H2 1.8": settled}
    settings = {"samples": 256, "chains": 32, "moves": 4, "burn_in": 10, "dipole": False, "density": False}
    for model, expected in ((base, True), (rested, False)):
        target = wf.molecules("H 0 0 0; H 0 0 1.4")
        (record,) = wf.map(model, target, evaluate=settings, reference={"basis": "none"}).molecules
        assert ("BASE-NOT-CONVERGED" in record["flags"]) == expected


@pytest.mark.integration
def test_a_tuned_model_is_kept(run, tmp_path):
    """In the run and from Python: other weights than the base's, ready to start from."""
    folder, _ = run
    base, tuned = wf.load(folder / "run"), wf.load(folder / "run" / "artifacts" / "tuned-0")

    def weights(model) -> np.ndarray:
        arrays = jax.tree.leaves(eqx.filter(model.wavefunction, eqx.is_array))
        return np.concatenate([np.ravel(leaf) for leaf in arrays])

    assert weights(tuned).shape == weights(base).shape and not np.array_equal(weights(tuned), weights(base))
    target = wf.molecules("H 0 0 0; H 0 0 1.4")
    settings = {"samples": 256, "chains": 32, "moves": 4, "burn_in": 10}
    again = wf.map(base, target, method="full", steps=8, norm=0.2, evaluate=settings, reference={"basis": "none"})
    assert np.array_equal(weights(again.models["H2 1.4"]), weights(tuned))
    again.models["H2 1.4"].save(tmp_path / "tuned")
    assert np.array_equal(weights(wf.load(tmp_path / "tuned")), weights(tuned))
    assert wf.map(tuned, target, evaluate=settings, reference={"basis": "none"}).models == {}


@pytest.mark.slow
def test_training_from_python_gives_the_weights_of_the_study(run):
    folder, _ = run
    train = wf.molecules("H 0 0 0; H 0 0 1.8")
    settings = {"steps": 8, "hf_steps": 8, "walkers": 32, "moves": 4, "block": 4, "laplacian": "loop"}
    base = wf.pretrain(train, wf.models.electrons(**SIZES), **settings)
    stored = wf.load(folder / "run")
    assert base.parameters == stored.parameters
    for mine, other in zip(jax.tree.leaves(base.wavefunction), jax.tree.leaves(stored.wavefunction), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_molecules_by_every_way(tmp_path):
    (tmp_path / "a.xyz").write_text("1\n\nHe 0 0 0\n")
    found = wf.molecules("H 0 0 0", tmp_path / "a.xyz", {"chain": 3, "spacing": 2.0}, Molecule.from_atoms("Be 0 0 0"))
    assert [one.formula for one in found] == ["H", "He", "H3", "Be"]
    assert len(wf.molecules(chain=[4, 6], spacing=np.array([1.6, 1.8]))) == 4
    lengths = [m.distances()[0] for m in wf.molecules("N 0 0 0; N 0 0 R", scan=np.linspace(2, 3, 3))]
    assert lengths == [2.0, 2.5, 3.0]
    with pytest.raises(InputError, match="names no molecule"):
        wf.molecules(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'spacing'"):
        wf.molecules(chain=4, spacin=1.8)


def test_wrong_arguments_in_python():
    with pytest.raises(InputError, match="did you mean 'steps'"):
        wf.pretrain(wf.molecules("H 0 0 0"), wf.models.electrons(), stepps=3)
    with pytest.raises(InputError, match="no molecules"):
        wf.pretrain([])
    with pytest.raises(InputError, match="there is no saved model"):
        wf.load("nowhere")


def test_an_unknown_basis_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="cc-pVZZ cannot be used"):
        run_study(study_file.loads(STUDY.replace('basis = "none"', 'basis = "cc-pVZZ"')), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.integration
def test_a_subset_of_the_molecules_in_a_step(tmp_path):
    """Blocks that leave molecules out are saved, restored, and empty in the curves."""
    text = STUDY.replace('H 0 0 1.8" }', 'H 0 0 R", scan = [1.2, 1.8, 2.4] }').replace("scratch = true\n", "")
    text = text.replace('method = "full"\n', "").replace("block = 4", "block = 1\nsubset = 1")
    spec = study_file.loads(text.replace("checkpoint_every = 4", "checkpoint_every = 1"))
    whole = run_study(spec, tmp_path / "whole")
    for energies in whole["train"]["energy"].values():
        assert 0 < sum(energy is not None for energy in energies) < 8
    again = resumed_until_done(spec, tmp_path / "run", [at(phase="train", step=2, task="base")])
    assert without_costs(again) == without_costs(whole)
    assert again["train"]["energy"] == whole["train"]["energy"]


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    text = STUDY.replace("steps = 8\nhf", f'warm_start = "{tmp_path}/empty"\nsteps = 8\nhf')
    with pytest.raises(InputError, match="no saved model") as caught:
        run_study(study_file.loads(text), tmp_path / "run")
    assert caught.value.exit_code == 2 and caught.value.why and caught.value.fix
    assert not (tmp_path / "run").exists()


@pytest.mark.integration
def test_weights_of_another_size_are_refused(run, tmp_path):
    """A larger network goes on with the smaller one; nothing shrinks."""
    folder, _ = run
    changed = STUDY.replace("width = 6", "width = 5").replace(
        "steps = 8\nhf", f'warm_start = "{folder}/run"\nsteps = 8\nhf'
    )
    with pytest.raises(InputError, match="nothing can shrink"):
        run_study(study_file.loads(changed), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.integration
def test_a_model_keeps_the_frame_it_was_trained_in(run, tmp_path):
    """Another one is refused by name; models that were stored before there were frames took molecules as given."""
    folder, _ = run
    changed = STUDY.replace("steps = 8\nhf", f'frame = "given"\nwarm_start = "{folder}/run"\nsteps = 8\nhf')
    with pytest.raises(InputError, match="does not fit") as caught:
        run_study(study_file.loads(changed), tmp_path / "run")
    assert "principal" in caught.value.fix and not (tmp_path / "run").exists()
    assert stored_frame({"spec": {"train": {}}}) == "given"
    assert wf.load(folder / "run").spec.train.frame == "principal"


def test_hartree_fock_that_does_not_converge_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys):
    from pyscf import scf
    from pyscf.soscf import newton_ah

    def never(self, *args, **kwargs):
        self.converged, self.e_tot = False, -1.0
        return -1.0

    _prepared.cache_clear()
    monkeypatch.setattr(scf.hf.SCF, "kernel", never)
    monkeypatch.setattr(newton_ah._CIAH_SOSCF, "kernel", never)
    (tmp_path / "study.toml").write_text(STUDY)
    assert main(["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run"), "--quiet"]) == 2
    shown = capsys.readouterr().err
    assert "H2 1.8" in shown and "converge" in shown and "Traceback" not in shown
    assert not (tmp_path / "run").exists()


def test_a_part_of_the_weights_is_tuned_and_the_rest_stays():
    params = eqx.filter(wf.models.electrons(**SIZES).build(jax.random.key(0)), eqx.is_array)
    chosen = selection(params, ["jastrow*", "embedding.layers.0.update.*"])
    names = {jax.tree_util.keystr(path): flag for path, flag in jax.tree_util.tree_leaves_with_path(chosen)}
    assert any(names.values()) and not all(names.values())
    for name, flag in names.items():
        assert flag == (name.startswith(".jastrow") or name.startswith(".embedding.layers[0].update."))
    assert all(jax.tree.leaves(selection(params, [])))
    with pytest.raises(InputError, match="no weights are called heads"):
        selection(params, ["heads"])


# Records from made-up samples.

HYDROGEN = Molecule.from_atoms("H 0 0 0")
TABLE = MoleculesEvaluateTable()


def samples(mean: float, std: float, *, far: float = 0.0, acceptance: float = 0.5, trend: float = 0.0) -> Samples:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(64, 40))
    energies = mean + std * (noise - noise.mean()) + trend * np.linspace(-1, 1, 64)[:, None]
    terms = np.zeros((64, 40, 4))
    terms[..., 0], terms[..., 1] = 0.5, energies - 0.5
    x = rng.normal(size=(64, 40, 1, 3))
    return Samples(energies, terms, x, np.float64(acceptance), np.float64(far))  # type: ignore[arg-type]


FALLING, RESTING = Rest(0.1, 1e-3), Rest(0.0, 1e-3)


def judged(found: Samples, reference: Reference | None = None, **history: Any) -> dict:
    (prepared,) = prepare([Named(HYDROGEN)], study_file.loads(STUDY).train)
    seen = dict(records.observables_of(None, HYDROGEN, prepared, found, TABLE))
    if history.get("base"):
        history["base"] = {name: rest._replace(formula=name.split()[0]) for name, rest in history["base"].items()}
    past = records.History("zero-shot", 0, Cost(), **history)
    return records.record_of(HYDROGEN, prepared, found, (reference, None), seen, past)


EXACT = Reference(-0.5, "exact", "closed form")


METHOD = Reference(-0.5, "method", "CCSD(T)/CBS")
BASIS = Reference(-0.49, "method", "FCI/cc-pVDZ", complete=False)


@pytest.mark.parametrize(
    ("found", "reference", "flags", "word"),
    [
        (samples(-0.499, 0.02), EXACT, [], "trusted"),
        (samples(-0.499, 0.02), None, [], "upper bound"),
        (samples(-0.499, 0.02), METHOD, [], "trusted"),
        (samples(-0.51, 0.02), EXACT, ["BELOW-EXACT!"], "refused"),
        # what is not exact cannot show that an energy below it is wrong, nor confirm it
        (samples(-0.51, 0.02), Reference(-0.5, "upper bound", "VMC"), [], "upper bound"),
        (samples(-0.51, 0.02), METHOD, [], "upper bound"),
        (samples(-0.51, 0.02), METHOD._replace(uncertainty=0.012), [], "trusted"),
        (samples(-0.4995, 0.02), BASIS, [], "upper bound"),
        # from above every reference counts: one atom, 2 and 10 mHa
        (samples(-0.496, 0.02), EXACT, ["ABOVE-EXACT"], "doubtful"),
        (samples(-0.496, 0.02), METHOD, ["ABOVE-EXACT"], "doubtful"),
        (samples(-0.485, 0.02), EXACT, ["ABOVE-EXACT!"], "refused"),
        (samples(-0.475, 0.02), BASIS, ["ABOVE-EXACT!"], "refused"),
        (samples(-0.499, 0.25), EXACT, ["HIGH-VARIANCE!", "LOW-PRECISION"], "refused"),
        (samples(-0.3, 0.02), EXACT, ["ABOVE-HF!", "ABOVE-EXACT!"], "refused"),
        (samples(-0.5, 0.02, far=1e-4), EXACT, ["RUNAWAY"], "doubtful"),
        (samples(-0.5, 0.02, far=0.1), EXACT, ["RUNAWAY!"], "refused"),
        (samples(-0.5, 0.02, acceptance=0.999), EXACT, ["UNMIXED!"], "refused"),
        (samples(-0.5, 0.02, trend=0.1), EXACT, ["R-HAT!", "LOW-ESS!", "LOW-PRECISION"], "refused"),
        (samples(np.nan, 0.02), EXACT, ["NOT-FINITE!"], "refused"),
    ],
)
def test_flags(found, reference, flags, word):
    record = judged(found, reference)
    assert record["flags"] == flags
    assert (record["verdict"], record["trusted"]) == (word, word == "trusted")
    assert len(record["reasons"]) >= max(1, len(flags))


@pytest.mark.parametrize(
    ("std", "reference", "word"), [(0.1005, None, "doubtful"), (0.099, None, "upper bound"), (0.1005, EXACT, "trusted")]
)
def test_a_large_variance_is_doubtful_unless_the_energy_is_confirmed(std, reference, word):
    """Variances of 0.0101 and 0.0098 Ha^2 of one electron; the limit is 0.01."""
    assert judged(samples(-0.4995, std), reference)["verdict"] == word


def test_a_stray_chain_is_found_and_a_spike_is_none():
    found = samples(-0.5, 0.02)
    shifted = found.energies.copy()
    shifted[7] += 0.025  # eight standard deviations of a chain mean, 0.02 / sqrt(40)
    assert "STRAY-CHAIN" in judged(found._replace(energies=shifted), EXACT)["flags"]
    shifted[7] += 0.02
    assert "STRAY-CHAIN!" in judged(found._replace(energies=shifted), EXACT)["flags"]
    spiked = found.energies.copy()
    spiked[7, 3] += 1.0  # 25 mHa in the mean of its chain, eight standard deviations
    assert not [flag for flag in judged(found._replace(energies=spiked), EXACT)["flags"] if "STRAY" in flag]


@pytest.mark.parametrize(
    ("history", "flags"),
    [
        ({"rest": FALLING}, ["NOT-CONVERGED"]),
        ({"rest": Rest()}, ["NOT-CONVERGED"]),
        ({"rest": RESTING}, []),
        ({"base": {"H": FALLING, "He": RESTING}}, ["BASE-NOT-CONVERGED"]),
        ({"base": {"H": RESTING, "He": FALLING}}, []),  # that of another compound
        ({"base": {"Li": RESTING, "He": FALLING}}, ["BASE-NOT-CONVERGED"]),  # any, where there is none of this one
        ({"base": {"H": RESTING}}, []),
        ({"base": {"H": RESTING, "H (2)": FALLING}}, ["BASE-NOT-CONVERGED"]),  # another geometry of the same
        ({"base": {}}, ["BASE-NOT-CONVERGED"]),
        ({"rest": FALLING, "base": {"H": Rest()}}, ["NOT-CONVERGED", "BASE-NOT-CONVERGED"]),
    ],
)
def test_trainings_that_had_not_settled_are_doubts_of_the_state(history, flags):
    """Doubtful on its own; a reference that agrees answers the doubt, and the flag stays."""
    record = judged(samples(-0.499, 0.02), None, **history)
    assert record["flags"] == flags
    assert record["verdict"] == ("doubtful" if flags else "upper bound")
    confirmed = judged(samples(-0.499, 0.02), EXACT, **history)
    assert (confirmed["flags"], confirmed["verdict"]) == (flags, "trusted")


@pytest.mark.parametrize(("before", "worse"), [(-0.504, True), (-0.5005, False), (-0.49, False), (None, False)])
def test_a_tuning_that_raises_the_energy_is_flagged(before, worse):
    """Error bars 4e-4 and 4e-4: 4 mHa are 7 of the difference, 0.5 mHa less than one."""
    untuned = {"energy": before, "energy_error": 4e-4}
    assert judged(samples(-0.5, 0.02), None, untuned=untuned)["flags"] == (["WORSE"] if worse else [])


def test_observables_have_verdicts_of_their_own():
    """A spin of 0.75 is that of one electron; symmetry forbids an atom its dipole moment."""
    good = verdict_on_hydrogen(-0.4995)
    found = observed({"spin": {"value": 0.75, "error": 0.001, "pure": 0.75}, "kinetic": {"value": 0.5, "error": 0.01},
                      "density": {"value": [1.0], "error": [0.1]}}, good)  # fmt: skip
    assert [found[name]["verdict"] for name in found] == ["trusted", "estimate", "estimate"]
    off = observed({"spin": {"value": 0.95, "error": 0.001, "pure": 0.75}}, good)
    assert off["spin"]["verdict"] == "doubtful" and "pure" in off["spin"]["why"]
    assert observed({"kinetic": {"value": 0.5, "error": 0.01}}, verdict_on_hydrogen(-0.4))["kinetic"]["verdict"] == (
        "refused"
    )


def verdict_on_hydrogen(mean: float) -> Verdict:
    energies = np.asarray(samples(mean, 0.02).energies)
    return verdict_on(Evidence(energy_statistics(energies, None), energies, HYDROGEN, -0.47, 0.5, 0.0, EXACT))


@pytest.mark.parametrize(
    ("words", "status"),
    [(["refused", "refused"], "failed"), (["refused", "upper bound"], "complete"), (["doubtful"], "complete")],
)
def test_a_study_whose_every_number_is_refused_is_no_success(words, status):
    found = [{"name": "X", "verdict": word, "energy": -1.0, "reasons": ["far off"]} for word in words]
    assert ending(found)[0] == status
    assert (ending(found)[1] is None) == (status == "complete")
    assert ending([found[0], found[0] | {"energy": None, "verdict": "upper bound"}])[0] != "complete"


@pytest.mark.parametrize(
    ("train", "adapt", "walkers"),
    [
        ("scan = [1.2, 1.8]", "", 64),  # as many in a step as the training has for both
        ("scan = [1.2, 1.8]", "walkers = 48", 48),
        ("scan = { start = 1.2, stop = 2.2, num = 20 }", "", 512),
    ],
)
def test_a_tuning_has_the_walkers_of_a_step_of_the_training(train, adapt, walkers):
    text = STUDY.replace('H 0 0 1.8" }', f'H 0 0 R", {train} }}').replace("[adapt]", f"[adapt]\n{adapt}")
    assert study_file.loads(text).tuning_walkers() == walkers
    many = study_file.loads(text.replace("walkers = 32", "walkers = 600"))
    assert many.tuning_walkers() == (48 if adapt else 600)


@pytest.mark.parametrize("forces", [InputError("Hartree-Fock did not converge for H"), np.full((64, 10, 1, 3), np.nan)])
def test_forces_that_cannot_be_measured_do_not_lose_the_record(monkeypatch, forces):
    def measure(*_):
        if isinstance(forces, Exception):
            raise forces
        return {"forces": forces}

    monkeypatch.setattr(records, "measure", measure)
    (prepared,) = prepare([Named(HYDROGEN)], study_file.loads(STUDY).train)
    table = MoleculesEvaluateTable(forces=True, dipole=False, density=False)
    found = dict(records.observables_of(None, HYDROGEN, prepared, samples(-0.5, 0.02), table))
    why = "Hartree-Fock did not converge for H" if isinstance(forces, Exception) else found["forces"]["why"]
    assert found["forces"] == {"value": None, "error": None, "why": why} and why
    assert found["kinetic"]["value"] == 0.5


def test_an_energy_a_little_below_exact_is_not_flagged():
    """Two error bars below: 0.02 / sqrt(64 * 40) = 4e-4 each."""
    assert judged(samples(-0.5006, 0.02), EXACT)["flags"] == []


def test_the_record_compares_with_the_reference():
    record = judged(samples(-0.49, 0.02), EXACT)
    assert record["error_mha"] == pytest.approx(1000 * (record["energy"] + 0.5))
    known = {"value": -0.5, "kind": "exact", "source": "closed form", "uncertainty": 0.0, "complete": True}
    assert record["reference"] == known
    assert judged(samples(-0.49, 0.02), None)["error_mha"] is None
    assert record["observables"]["virial"]["value"] == pytest.approx(-(record["energy"] - 0.5) / 0.5, abs=1e-6)


def test_dipole_of_a_displaced_cloud():
    """One electron at a distance d of the proton: d e bohr; 3 sigma of 2560 unit normal samples is 0.15 D.

    An atom has no dipole moment: all of it is what the state should not have.
    """
    found = samples(-0.5, 0.02)
    dipole = judged(found._replace(x=found.x + np.array([0.0, 0.0, 2.0])))["observables"]["dipole"]
    assert dipole["vector"] == [0, 0, 0] and dipole["forbidden"] and dipole["verdict"] == "refused"
    assert dipole["broken"]["value"] == pytest.approx(2.0 * DEBYE, abs=0.16) and dipole["broken"]["z"] > 20


def test_the_density_is_drawn_with_the_nuclei_where_they_are():
    pair = Molecule.from_atoms("H 0 0 0; H 0 0 2.0")
    (prepared,) = prepare([Named(pair)], study_file.loads(STUDY).train)
    cloud = np.random.default_rng(0).normal(size=(64, 40, 2, 3)) * 0.1 + np.asarray(pair.positions)
    cloud = prepared.frame.place(cloud)  # samples are in the frame of the molecule
    terms = np.full((64, 40, 4), 0.5)
    found = Samples(terms.sum(-1), terms, cloud, np.float64(0.5), np.float64(0))  # type: ignore[arg-type]
    density = dict(records.observables_of(None, pair, prepared, found, TABLE))["density"]
    assert sorted(density["nuclei"]) == [-1.0, 1.0]
    position, value = np.array(density["position"]), np.array(density["value"])
    width = position[1] - position[0]
    assert value.sum() * width == pytest.approx(2.0)
    assert value[np.abs(np.abs(position) - 1) < 0.5].sum() * width == pytest.approx(2.0, abs=1e-3)


def test_what_is_not_finite_is_stored_as_a_gap():
    curve = Curve(np.arange(2), np.array([[1.0, np.nan], [2.0, 3.0]]), np.array([[np.inf, np.nan], [0.1, 0.2]]))
    stored = curve.arrays()
    assert all(np.isfinite(array).all() for array in stored.values())
    again = Curve.from_arrays(stored)
    np.testing.assert_array_equal(again.energy, curve.energy)
    np.testing.assert_array_equal(again.variance, [[np.nan, np.nan], [0.1, 0.2]])
    assert again.steps.dtype == curve.steps.dtype


def test_steps_to_a_goal():
    energy = np.concatenate([np.full(30, 1.0), np.full(30, 0.0)])[:, None]
    curve = Curve(np.arange(60), energy, np.ones((60, 1)))
    steps, means = running_mean(curve)
    assert (steps[0], means[0]) == (20, 1.0) and (steps[-1], means[-1]) == (60, 0.0)
    assert reached(curve, 0.5) == 30 and reached(curve, 1.0) == 0
    assert reached(curve, -0.1) is None


def test_a_single_low_energy_is_no_goal_reached():
    """exp(-t / 30) falls to 0.05 after 90 steps; noise of 0.1 hides it in single steps. A hundred fixed draws."""
    fall, rng = np.exp(-np.arange(200) / 30), np.random.default_rng(5)
    found = []
    for _ in range(100):
        energy = (fall + 0.1 * rng.normal(size=200))[:, None]
        found.append(reached(Curve(np.arange(200), energy, np.ones((200, 1))), 0.05))
    assert all(steps is not None for steps in found)
    assert 75 < np.median(found) < 105 and min(found) > 45
    lonely = np.append(np.ones(60), -1.0)[:, None]  # a low last step
    assert reached(Curve(np.arange(61), lonely, np.ones((61, 1))), 0.5) is None
    noisy = np.where(np.arange(60) == 30, -5.0, 1.0)[:, None]  # one step whose samples scatter
    assert reached(Curve(np.arange(60), noisy, np.where(noisy < 0, 1e3, 1.0)), 0.5) is None


def test_a_training_that_still_falls_is_not_settled():
    noise = 1e-3 * np.random.default_rng(1).normal(size=200)
    falling = (noise - 0.1 * np.arange(200) / 200)[:, None]
    flat = noise[:, None]
    assert rest_of(Curve(np.arange(200), falling, flat)).converged is False
    assert "fell by 20.0 mHa" in rest_of(Curve(np.arange(200), falling - noise[:, None], flat)).words()
    assert rest_of(Curve(np.arange(200), flat, flat)).converged is True
    for few in (5, 12, 24):
        assert rest_of(Curve(np.arange(few), flat[:few], flat[:few])).converged is None
    assert rest_of(Curve(10 * np.arange(12), flat[:12], flat[:12])).converged is not None  # a block of ten each
    assert rest_of(None).converged is None


def test_programs_are_compiled_once():
    """Another geometry of the compound runs the programs of the first one."""
    from wavefoundry.core.meter import METER

    spec = study_file.loads(STUDY)
    table = MoleculesEvaluateTable(samples=256, chains=32, moves=4, burn_in=10)
    network, how = describe(spec).build(jax.random.key(0)), sampling(table, spec.train)
    both = [Molecule.from_atoms(f"H 0 0 0; H 0 0 {r}") for r in (1.3, 1.7)]
    one, two = (
        Evaluation(network, molecule, prepared, jax.random.key(1), how, Progress())
        for molecule, prepared in zip(both, prepare([Named(one) for one in both], spec.train), strict=True)
    )
    one.samples()
    before = METER.now().compilations
    two.samples()
    assert METER.now().compilations <= before + 1  # the places where walkers start are no compiled function
