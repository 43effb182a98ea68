"""Models that are handed on: exported from a run, imported, and the start of other studies without a step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wavefoundry as wf
from tests.small import ISING_8
from wavefoundry.artifacts import hub, model_card, named, seal, zoo
from wavefoundry.artifacts import spec as study_file
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError, IntegrityError, Interrupted
from wavefoundry.studies import perform, run_study

STUDY = (
    ISING_8
    + """\
[pretrain]
at = { h = 1.0 }
steps = 10
walkers = 64
sampling = "metropolis"
[adapt]
points = { h = [0.8, 1.2] }
samples = 256
rounds = 2
[evaluate]
samples = 256
chains = 32
"""
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("models") / "run"
    return folder, run_study(study_file.loads(STUDY), folder)


def test_the_card_of_molecules_tells_errors_by_compound():
    study = study_file.loads('kind = "molecules"\n[train]\nmolecules = [{ compound = "H2" }]\n')
    entry = zoo.Entry("two", Path("two"), False, study, {}, 2048, "f00d", Path("two/model"), Path("two/study.toml"))
    row: dict[str, Any] = {"formula": "H2", "method": "zero-shot", "error_mha_error": 0.25, "trusted": True}
    records = [
        row | {"error_mha": 1.0}, row | {"error_mha": -3.0, "trusted": False},
        row | {"method": "trained", "error_mha": 0.5}, row | {"method": "full", "error_mha": 99.0},
        row | {"formula": "O", "error_mha": None},
    ]  # fmt: skip
    card = zoo._card(entry, 7200.0, records)
    assert "| H2 | 2 | 2.0 | -3.0 (0.2) | 1 |" in card and "| H2 * | 1 | 0.5 | 0.5 (0.2) | 1 |" in card
    assert "7200 CPU seconds" in card and "99" not in card and "| O" not in card and "V-score" not in card


def test_the_card_of_a_tuned_model_tells_of_its_molecule_alone():
    study = study_file.loads('kind = "molecules"\n[train]\nmolecules = [{ compound = "H2" }]\n')
    he = {"name": "He", "method": "full", "steps": 30, "energy": -2.6, "energy_error": 0.02, "verdict": "refused"}
    he |= {"reasons": ["above Hartree-Fock"], "error_mha": 301.0, "error_mha_error": 25.0}
    record = model_card.of_molecules([he])
    text = model_card.card(model_card.Named("he", "molecules", study, record, 2048, "f00d"), 98.0)
    assert "| verdict | refused: above Hartree-Fock |" in text and "| molecule | He, full, 30 steps |" in text
    assert "301.0 ± 25.0" in text and "98 CPU seconds" in text
    both = model_card.of_molecules([he, he | {"name": "H2", "verdict": "trusted", "reasons": []}])
    assert both["verdict"] == "refused" and both["name"] == "He, H2" and both["reasons"] == ["He: above Hartree-Fock"]


def test_the_card_of_a_student_has_its_verdict():
    study = zoo.entry("emulator-unitary").study
    case = {"name": "a", "verdict": "trusted", "reasons": []}
    bad = {"name": "b", "verdict": "refused", "reasons": ["norm changes by 0.92"]}
    overview = {"corr_mean": 0.589, "corr_worst": 0.4, "worst_case": "b"}
    found = model_card.of_student({"kind": "linear", "parameters": 72, "overview": overview, "cases": [case, bad]})
    text = model_card.card(model_card.Named("lin", "emulation", study, found, 2048, "f00d"), 1.6)
    assert "| verdict | refused: b: norm changes by 0.92 |" in text and "| student | linear, 72 weights |" in text
    assert "0.5890 over 2 cases" in text and "| worst | 0.4000 (b) |" in text


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder of models, empty."""
    monkeypatch.setenv("WAVEFOUNDRY_MODELS", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.mark.integration
def test_a_model_travels(run: tuple[Path, dict[str, Any]], own: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """Exported, imported, listed, shown, copied; and a study from it gives the numbers of its run."""
    folder, summary = run
    assert main(["models", "export", str(folder), "--name", "small", "--out", str(tmp_path)]) == 0
    assert main(["models", "import", str(tmp_path / "small")]) == 0
    assert "small" in named.names() and (own / "small" / "README.md").is_file()
    capsys.readouterr()
    assert main(["models", "list", "--json"]) == 0
    row = next(row for row in json.loads(capsys.readouterr().out) if row["name"] == "small")
    assert row["verdict"] == summary["pretrain"]["verdict"] and "chain 8" in row["title"] and not row["shipped"]
    assert main(["models", "show", "small"]) == 0
    assert row["sha256"] in capsys.readouterr().out
    assert main(["models", "get", "small", "--out", str(tmp_path / "copy")]) == 0
    assert zoo.read(tmp_path / "copy" / "small").checksum == row["sha256"]

    given = study_file.loads(STUDY, overrides=["pretrain.steps=0", 'pretrain.warm_start="zoo:small"'])
    again = run_study(given, tmp_path / "again")
    without = lambda record: {key: value for key, value in record.items() if key not in ("cost", "references")}  # noqa: E731
    for one, two in zip(again["points"], summary["points"], strict=True):
        assert {key: (one.get(key), two[key]) for key in without(two) if one.get(key) != two[key]} == {}
    assert again["pretrain"]["steps"] == 0 and again["pretrain"]["energy"] == summary["pretrain"]["energy"]


@pytest.mark.integration
def test_mistakes_with_models(run: tuple[Path, dict[str, Any]], own: Path, tmp_path: Path):
    folder, _ = run
    zoo.take(zoo.export(folder, "small", tmp_path))
    with pytest.raises(InputError, match="there already"):
        zoo.export(folder, "small", tmp_path)
    with pytest.raises(InputError, match="did you mean 'small'"):
        zoo.entry("zoo:smal")
    with pytest.raises(InputError, match="no name of a model"):
        zoo.export(folder, "../x", tmp_path)
    with pytest.raises(InputError, match="no model"):
        zoo.export(tmp_path, "other", tmp_path)
    with pytest.raises(InputError, match="is a model, not a run"):
        zoo.export(folder / "artifacts" / "base", "other", tmp_path)
    with pytest.raises(InputError, match="--base base"):
        zoo.export(folder, "other", tmp_path, "student-unitary")
    with pytest.raises(InputError, match="is shipped with wavefoundry"):
        zoo.export(folder, "ising-chain-64", tmp_path)
    unfinished = shutil.copytree(folder, tmp_path / "unfinished")
    for name in ("summary.json", "manifest.json"):
        (unfinished / name).unlink()
    with pytest.raises(InputError, match="is not finished"):
        zoo.export(unfinished, "other", tmp_path)
    with pytest.raises(InputError, match="is no model"):
        zoo.take(folder)
    arrays = own / "small" / "model" / "arrays.safetensors"
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    arrays.write_bytes(bytes(data))
    with pytest.raises(IntegrityError):
        zoo.entry("small")


@pytest.mark.integration
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["pretrain.steps=0"], "no steps from random weights"),
        (
            ["pretrain.steps=0", 'pretrain.warm_start="RUN"', "pretrain.at={ h = 0.9 }"],
            "trained at h = 1, not at h = 0.9",
        ),
        (["pretrain.steps=0", 'pretrain.warm_start="RUN"', "wavefunction.width=16"], "size|shape"),
        (['pretrain.warm_start=["RUN", "RUN"]'], "names 2 models"),
        (["pretrain.steps=0", 'pretrain.warm_start="RUN"', 'baselines=["scratch"]'], "need a pre-training"),
        (['pretrain.warm_start="zoo:none"'], "no model 'none'"),
    ],
)
def test_starts_that_cannot_be(
    run: tuple[Path, dict[str, Any]], own: Path, tmp_path: Path, changes: list[str], words: str
):
    text = tmp_path / "study.toml"
    text.write_text(STUDY)
    with pytest.raises(InputError, match=words):
        spec = study_file.load(text, [change.replace("RUN", str(run[0])) for change in changes])
        run_study(spec, tmp_path / "out")


@pytest.mark.integration
def test_a_base_for_every_coupling_from_runs(run: tuple[Path, dict[str, Any]]):
    """A list of models: one for each base of the study."""
    changes = ["pretrain.at={ h = [0.9, 1.1] }", "pretrain.together=false", 'pretrain.warm_start=["a", "b"]']
    spec = study_file.loads(STUDY, overrides=changes)
    assert [one.pretrain.warm_start for one in spec.of_bases()] == ["a", "b"]


def test_a_list_of_one_is_what_it_holds():
    changes = ['pretrain.warm_start=["a"]', "adapt.sector=[0]", 'adapt.symmetry=["spin-flip"]']
    (one,) = study_file.loads(STUDY, overrides=changes).of_bases()
    assert one.pretrain.warm_start == "a" and one.adapt.sector == 0
    apart = ["pretrain.at={ h = [0.9, 1.1] }", "pretrain.together=false"]
    with pytest.raises(InputError, match="warm_start names 1 models"):
        study_file.loads(STUDY, overrides=[*changes, *apart])


@pytest.mark.integration
def test_a_run_whose_start_is_gone_is_loaded(run: tuple[Path, dict[str, Any]], tmp_path: Path):
    """The model a run was started from is in its weights: the run is opened without it."""
    start = tmp_path / "start"
    shutil.copytree(run[0] / "artifacts" / "base", start)
    text = STUDY.replace("steps = 10", f'steps = 0\nwarm_start = "{start}"')
    summary = run_study(study_file.loads(text), tmp_path / "run")
    shutil.rmtree(start)
    assert wf.load(tmp_path / "run").record["energy"] == pytest.approx(summary["pretrain"]["energy"], abs=1e-9)


STARTS = {"j1j2-square-6x6-0.6", "j1j2-square-6x6-0.8"}
"""Shipped for what is adapted from them; by themselves they are not to be trusted, and their cards say so."""


@pytest.mark.parametrize("name", sorted(path.name for path in named.SHIPPED.iterdir()))
def test_shipped_models_are_whole(name: str):
    """Sums, study and card; small, and with the verdict of their measurement on the card, be it good or not."""
    one = zoo.entry(name)
    assert one.shipped and one.size < 2**20
    card = (one.folder / hub.CARD).read_text(encoding="utf-8")
    assert one.checksum in card and "unknown" not in card
    if one.study.kind == "diagram":
        assert f"| verdict | {one.record['verdict']}" in card
        assert name in STARTS or one.record["verdict"] == "trusted"
    start = {"diagram": "pretrain", "molecules": "train"}.get(one.study.kind)
    assert start is None or getattr(one.study, start).warm_start is None, "its study makes it from nothing"


def test_shipped_models_of_other_kinds():
    """A student by its name, and what another verb says of it; a model of electrons with finite amplitudes."""
    assert wf.load_student("zoo:emulator-unitary").parameters == 72
    with pytest.raises(InputError, match="load_student"):
        wf.load("zoo:emulator-unitary")
    with pytest.raises(InputError, match="there is no model"):
        wf.load_student("zoo:emulator")
    state = wf.load("zoo:molecules-small").state("Li 0 0 0; H 0 0 3.015")
    x = np.random.default_rng(0).normal(size=(4, 3)) + np.asarray(state.molecule.positions)[[0, 0, 0, 1]]
    assert np.isfinite(state.log_amplitude(x))


@pytest.mark.integration
def test_a_shipped_model_is_a_state_at_once():
    """The energy of the 24-site chain from fresh samples of the stored state: five error bars of either."""
    base = wf.load("zoo:ising-chain-24")
    found = base.state.expect(base.system.operator(), samples=2048)
    assert abs(found.value - base.energy) < 5 * np.hypot(found.error, base.record["energy_error"])


@pytest.mark.integration
def test_a_start_that_does_not_fit_is_refused_before_anything_is_replaced(
    run: tuple[Path, dict[str, Any]], own: Path, tmp_path: Path
):
    """An earlier run stays as it is, and no folder is made; nor is the run replaced that a study starts from."""
    folder, _ = run
    earlier = shutil.copytree(folder, tmp_path / "earlier")
    start = ["pretrain.steps=0", f'pretrain.warm_start="{folder}"']
    for changed, words in [
        (["pretrain.at={ h = 0.9 }"], "was trained at"),
        (["system.lattice.size=12"], "other sizes"),
        (["wavefunction.width=24"], "other sizes"),
        (['pretrain.warm_start="zoo:ising-chain-64"'], "other sizes|was trained at"),
        (['pretrain.warm_start="zoo:emulator-gru"'], "holds a student of wave packets, not a model of a lattice"),
        ([f'pretrain.warm_start="{tmp_path}"'], "there is no saved model in"),
    ]:
        given = study_file.loads(STUDY, overrides=start + changed)
        for out, overwrite in ((tmp_path / "new", False), (earlier, True)):
            with pytest.raises(InputError, match=words):
                run_study(given, out, overwrite=overwrite)
        assert not (tmp_path / "new").exists() and seal.problems_of(earlier) == []
    own_start = study_file.loads(STUDY, overrides=["pretrain.steps=0", f'pretrain.warm_start="{earlier}"'])
    with pytest.raises(InputError, match="which would be gone"):
        run_study(own_start, earlier, overwrite=True)
    assert seal.problems_of(earlier) == []


@pytest.mark.integration
def test_a_file_of_references_stays_what_it_was(tmp_path: Path):
    """A run that is resumed with other references would mix both in one table; a finished one needs them no more."""
    table = tmp_path / "references.csv"
    table.write_text("h,energy\n0.8,-1.16\n1.2,-1.42\n")
    text = STUDY + f'[reference]\nmethod = ["file"]\nfile = "{table}"\nper = "site"\n'
    given, out = study_file.loads(text, overrides=['adapt.method="zero-shot"']), tmp_path / "run"
    with pytest.raises(Interrupted):
        perform(given, out, lambda: 15 if (out / "tasks" / "base").exists() else None)
    before = table.read_text()
    table.write_text("h,energy\n0.8,-9.0\n1.2,-9.0\n")
    with pytest.raises(InputError, match="has changed since this run was started"):
        run_study(given, out, resume=True)
    table.write_text(before)
    summary = run_study(given, out, resume=True)
    table.unlink()
    assert run_study(given, out, resume=True) == summary
