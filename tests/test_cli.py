"""The commands, with a stand-in for the computation: what they print, write, refuse and return."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wavefoundry.studies
from wavefoundry.artifacts.spec import dumps, loads, template
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.cli import main
from wavefoundry.core.errors import Interrupted, LockedError, PhysicsError, StorageError

POINT = {
    "couplings": {"J": 1.0, "h": 0.8}, "method": "head", "energy": -42.04, "energy_error": 0.01,
    "energy_per_site": -1.1678, "variance": 0.1, "v_score": 4e-4, "r_hat": 1.001, "ess": 3000.0,
    "acceptance": 0.4, "pool": {"draws": 1, "ess_min": 0.7}, "exact_energy": -42.05, "relative_error": 2.4e-4,
    "observables": {}, "terms": {}, "trusted": True, "flags": [], "cost": {"cpu_seconds": 1.0},
}  # fmt: skip


WORDS = {
    "verdict": "refused", "answers": {"sampled": "yes", "state": "no", "ground": "no"}, "trusted": False,
    "flags": ["HIGH-VARIANCE!"], "reasons": ["the variance is that of a state far from an eigenstate: V-score 0.4"],
}  # fmt: skip
REFUSED = POINT | WORDS
BOUND = POINT | {
    "verdict": "upper bound", "answers": {"sampled": "yes", "state": "yes", "ground": "unknown"}, "trusted": False,
    "reasons": ["no independent value says whether this is the ground state"], "relative_error": None,
}  # fmt: skip


CASE = {"name": "barrier", "corr_mean": 0.9}
ROUND = {"round": 0, "n": 9, "rho": 1.0, "density": 1.0, "energy": -1.0, "energy_error": 0.0}
QUANTITY = {"name": "energy", "values": [-1.0], "left_out": [], "differ": []}
QUANTITY |= dict.fromkeys(("mean", "spread", "error", "error_bar", "lowest", "highest"))


def make_summary(**changes) -> dict:
    pretrain = {"couplings": {"h": 1.0}, "steps": 300, "energy": -45.8, "energy_error": 0.01, "v_score": 1e-3}
    cost = {"cpu_seconds": 9.0, "wall_seconds": 5.0, "compile_seconds": 1.0, "compilations": 4}
    summary = {
        "schema": 1, "kind": "diagram", "status": "complete", "system": {"model": "ising"}, "versions": {},
        "pretrain": pretrain, "points": [POINT], "cost": cost,
    }  # fmt: skip
    return summary | changes


class Stub:
    """Stands for ``run_study``: notes its arguments, writes a sealed run directory, returns a summary."""

    def __init__(self):
        self.calls = []
        self.summary = make_summary()
        self.error = None

    def __call__(self, spec, out, *, resume, overwrite, emit, crew=None):
        self.calls.append((spec, out, resume, overwrite))
        emit({"event": "compiling", "what": "the step"})
        if self.error is not None:
            raise self.error
        emit({"event": "point", **POINT, "index": 0, "count": 1})
        if resume:
            directory = RunDirectory.open(out, write=True)
        else:
            directory = RunDirectory.create(out, dumps(spec), overwrite=overwrite)
        with directory:
            directory.log({"event": "point", **POINT, "index": 0, "count": 1})
            directory.write_json("summary.json", self.summary)
            directory.seal()  # whatever its status, as a run does
        emit({"event": "done", "summary": self.summary})
        return self.summary


@pytest.fixture
def computing(monkeypatch):
    """The stand-in for the computation; the report is the real one."""
    stub = Stub()
    monkeypatch.setattr(wavefoundry.studies, "run_study", stub, raising=False)
    return stub


@pytest.fixture
def stub(computing, monkeypatch):
    """The stand-in, and a page without the figures, which take seconds to draw."""
    monkeypatch.setattr("wavefoundry.reports.html.render", lambda summary, log: "<html>stand-in</html>")
    return computing


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study file in an empty current directory."""
    monkeypatch.chdir(tmp_path)
    Path("chain.toml").write_text(template("diagram"))
    return "chain.toml"


# -- run -------------------------------------------------------------------------------------------------


def test_run_computes_reports_and_prints_the_table(study, computing, capsys):
    assert main(["run", study, "--set", "pretrain.steps=5"]) == 0
    spec, out, resume, overwrite = computing.calls[0]
    assert (spec.pretrain.steps, out, resume, overwrite) == (5, Path("runs/chain"), False, False)
    assert "<html" in Path("runs/chain/report.html").read_text()
    shown = capsys.readouterr().out
    assert "compiling the step ..." in shown and "rel. error" in shown
    assert "complete: 1 point, 1 trusted, largest relative error 2.4e-4" in shown
    assert "runs/chain/report.html" in shown


def test_the_report_is_covered_by_the_seal(study, stub, capsys):
    main(["run", study])
    assert main(["verify", "runs/chain"]) == 0
    assert main(["report", "runs/chain"]) == 0
    assert main(["verify", "runs/chain"]) == 0
    with open("runs/chain/report.html", "a") as file:
        file.write(" ")
    assert main(["verify", "runs/chain"]) == 4
    assert "report.html" in capsys.readouterr().err


def test_the_directory_comes_from_the_option_then_the_study_then_its_name(study, stub):
    main(["run", study, "--set", "output.dir=here"])
    main(["run", study, "--set", "output.dir=here", "--out", "there"])
    assert [call[1] for call in stub.calls] == [Path("here"), Path("there")]


def test_a_report_can_be_left_out(study, stub):
    assert main(["run", study, "--set", "output.report=false"]) == 0
    assert not Path("runs/chain/report.html").exists()


def test_json_prints_the_summary_and_nothing_else(study, stub, capsys):
    stub.summary = make_summary(points=[POINT | {"r_hat": math.nan}])
    assert main(["run", study, "--json"]) == 0
    shown = capsys.readouterr().out
    # NaN is no JSON; a strict reader must be able to take the output.
    found = json.loads(shown, parse_constant=pytest.fail)
    assert found["status"] == "complete" and found["points"][0]["r_hat"] is None


def test_quiet_prints_one_line(study, stub, capsys):
    assert main(["run", study, "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith("complete: 1 point") and "runs/chain" in lines[0]


@pytest.mark.parametrize("status", ["partial", "failed"])
def test_an_incomplete_run_leaves_with_three(study, stub, status, capsys):
    stub.summary = make_summary(status=status)
    assert main(["run", study]) == 3
    assert f"{status}: 1 point" in capsys.readouterr().out


def test_a_point_that_is_not_trusted_is_shown_but_no_failure(study, stub, capsys):
    stub.summary = make_summary(points=[POINT | {"trusted": False, "flags": ["R-HAT"]}])
    assert main(["run", study]) == 0
    assert "not to be trusted: J = 1, h = 0.8 (UNTRUSTED R-HAT)" in capsys.readouterr().out


def test_a_run_whose_every_number_is_refused_leaves_with_three_and_the_reason(study, stub, capsys):
    stub.summary = make_summary(points=[REFUSED, REFUSED])
    for words in (["run", study, "--overwrite"], ["run", study, "--overwrite", "--quiet"], ["inspect", "runs/chain"]):
        assert main(words) == 3
        shown = capsys.readouterr()
        assert "complete: 2 points, 2 refused" in shown.out
        assert shown.err.startswith(
            "refused: no number can be used, all 2 are refused; the first: the variance is that of a state"
        )
    assert main(["run", study, "--overwrite", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["points"][0]["verdict"] == "refused"


@pytest.mark.parametrize("points", [[REFUSED, BOUND], [BOUND], [REFUSED, POINT]])
def test_one_usable_number_is_enough(study, stub, points, capsys):
    stub.summary = make_summary(points=points)
    assert main(["run", study]) == 0
    assert main(["inspect", "runs/chain"]) == 0
    assert capsys.readouterr().err == ""


def test_the_last_line_counts_verdicts(study, stub, capsys):
    stub.summary = make_summary(points=[BOUND, BOUND, REFUSED])
    assert main(["run", study, "--quiet"]) == 0
    assert capsys.readouterr().out == "complete: 3 points, 2 upper bound, 1 refused: runs/chain\n"


@pytest.mark.parametrize(
    "summary",
    [
        {"kind": "molecules", "molecules": [{"name": "H2", "method": "full", "energy": -1.0} | WORDS]},
        {"kind": "emulation", "students": [{"name": "gru", "status": "trained", "cases": [CASE | WORDS]}] * 2},
        {"kind": "tickets", "rounds": [ROUND | WORDS]},
        {"kind": "seeds", "of": "diagram", "seeds": [], "quantities": [QUANTITY | WORDS]},
    ],
)
def test_the_same_rule_for_every_kind(summary):
    from wavefoundry.reports.verdicts import nothing_usable

    summary = summary | {"status": "complete"}
    assert "no number can be used" in nothing_usable(summary)
    (group,) = summary.keys() & {"molecules", "students", "rounds", "quantities"}
    bound = summary[group][0] | {"verdict": "upper bound", "cases": [CASE | {"verdict": "upper bound"}]}
    assert nothing_usable(summary | {group: [*summary[group], bound]}) == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PhysicsError("energies are not finite"), 3),
        (StorageError("disk full"), 74),
        (LockedError("in use by 7"), 75),
        (Interrupted(15), 143),
        (Interrupted(2), 130),
    ],
)
def test_errors_become_messages_and_exit_codes(study, stub, error, code, capsys):
    stub.error = error
    assert main(["run", study, "--json"]) == code
    shown = capsys.readouterr()
    said = str(error) if isinstance(error, Interrupted) else f"error: {error}"  # a stop on request is none
    assert shown.out == "" and shown.err == f"{said}\n"


def test_a_defect_of_ours_is_one_line_and_a_file(study, stub, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stub.error = ZeroDivisionError("division\nby zero")
    assert main(["run", study]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("internal error (ZeroDivisionError: division by zero)") and shown.count("\n") == 1
    assert "Traceback" in Path(shown.split()[-1]).read_text()


def test_resume_and_overwrite(study, stub, capsys):
    assert main(["run", study]) == 0
    assert main(["run", study]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["run", study, "--resume"]) == 0
    assert main(["run", study, "--overwrite"]) == 0
    assert [call[2:] for call in stub.calls] == [(False, False), (True, False), (False, True)]


def test_resume_refuses_a_changed_study(study, stub, capsys):
    main(["run", study])
    before = Path("runs/chain/spec.toml").read_text()
    assert main(["run", study, "--resume", "--set", "pretrain.walkers=8", "--set", "adapt.steps=9"]) == 2
    shown = capsys.readouterr().err
    assert "pretrain.walkers, adapt.steps" in shown and "runs/chain" in shown and len(shown.splitlines()) <= 5
    assert len(stub.calls) == 1 and Path("runs/chain/spec.toml").read_text() == before


def test_a_foreign_directory_is_never_replaced(study, stub, capsys):
    Path("thesis").mkdir()
    Path("thesis/chapter.tex").write_text("x")
    assert main(["run", study, "--out", "thesis", "--overwrite"]) == 2
    assert not stub.calls and Path("thesis/chapter.tex").exists()


# -- the other commands ----------------------------------------------------------------------------------


def test_demo_runs_its_study(tmp_path, monkeypatch, stub, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    assert main(["demo", "diagram", "--out", "x", "--quiet"]) == 0
    assert [call[1] for call in stub.calls] == [Path("runs/demo-diagram"), Path("x")]
    assert stub.calls[0][0] == loads(template("diagram", "demo-"))
    assert main(["demo", "diagrams"]) == 2
    assert "did you mean 'diagram'" in capsys.readouterr().err


def test_demos_begin_with_a_shipped_model_or_train_one(tmp_path, monkeypatch, stub, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "molecules", "--out", "a"]) == main(["demo", "molecules", "--train", "--out", "b"]) == 0
    shipped, trained = (call[0].train for call in stub.calls)
    assert (shipped.warm_start, shipped.steps) == ("zoo:molecules-small", 0)
    assert trained.warm_start is None and trained.steps > 0
    for words in (["diagram", "--train"], ["molecules", "--zoo"]):
        assert main(["demo", *words]) == 2
        assert words[1] in capsys.readouterr().err
    assert len(stub.calls) == 2


def test_init_prints_a_study_that_runs(capsys, tmp_path, monkeypatch, stub):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "diagram"]) == 0
    Path("study.toml").write_text(capsys.readouterr().out)
    assert main(["run", "study.toml", "--quiet"]) == 0


def test_inspect_shows_a_finished_run(study, stub, capsys):
    main(["run", study, "--quiet"])
    capsys.readouterr()
    assert main(["inspect", "runs/chain"]) == 0
    assert "complete: 1 point, 1 trusted" in capsys.readouterr().out
    assert main(["inspect", "runs/chain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == stub.summary


def test_inspect_shows_how_far_an_unfinished_run_has_come(tmp_path, capsys):
    with RunDirectory.create(tmp_path / "run", dumps(loads(template("diagram")))) as directory:
        directory.log({"event": "point", **POINT, "index": 0, "count": 21})
        directory.log({"event": "step", "phase": "pretrain", "step": 7, "steps": 300, "energy": -40.0})
        directory.save("pretrain", 7, {"w": [1.0, 2.0]}, {"note": "x"})
    assert main(["inspect", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "unfinished: 1 point" in shown and "last: pretrain 7/300" in shown
    checkpoint = str(tmp_path / "run" / "checkpoints" / "pretrain-00000007")
    assert main(["inspect", checkpoint, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["arrays"] == {"w": {"dtype": "float64", "shape": [2]}} and found["meta"]["note"] == "x"
    assert main(["inspect", checkpoint]) == 0 and main(["verify", checkpoint]) == 0
    data = bytearray(Path(checkpoint, "arrays.safetensors").read_bytes())
    data[-1] ^= 1
    Path(checkpoint, "arrays.safetensors").write_bytes(data)
    capsys.readouterr()
    for path in (checkpoint, str(tmp_path / "run")):
        assert main(["verify", path]) == 4
        assert "arrays.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "noun"),
    [("molecules", "0 molecules"), ("tickets", "no round"), ("diagram", "0 points"), ("emulation", "no student")],
)
def test_a_run_that_has_only_begun_is_told_in_words_of_its_kind(tmp_path, capsys, kind, noun):
    RunDirectory.create(tmp_path / "run", dumps(loads(template(kind)))).close()
    assert main(["inspect", str(tmp_path / "run")]) == 0
    assert f"unfinished: {noun}" in capsys.readouterr().out


def test_the_seeds_of_an_unfinished_study_say_how_far_they_have_come(tmp_path, capsys):
    text = dumps(loads(template("diagram")))
    RunDirectory.create(tmp_path / "run", text).close()
    with RunDirectory.create(tmp_path / "run" / "seeds" / "7", text) as directory:
        directory.log({"event": "point", **POINT, "index": 0, "count": 21})
        directory.log({"event": "step", "phase": "pretrain", "step": 7, "steps": 300, "energy": -40.0})
    assert main(["inspect", str(tmp_path / "run")]) == 0
    shown = capsys.readouterr().out
    assert "unfinished: 1 seed begun" in shown and "seed 7: unfinished: 1 point" in shown and "7/300" in shown
    assert main(["inspect", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["seeds"]["7"]["points"][0]["energy"] == POINT["energy"]


def test_results_copied_elsewhere_can_be_read(study, stub, tmp_path, capsys):
    main(["run", study, "--quiet"])
    Path("copy").mkdir()
    Path("copy/summary.json").write_bytes(Path("runs/chain/summary.json").read_bytes())
    assert main(["inspect", "copy"]) == 0 and main(["report", "copy"]) == 0
    Path("copy/summary.json").write_text("[1")
    assert main(["inspect", "copy"]) == 4


def test_version(capsys):
    from wavefoundry._version import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"wavefoundry {__version__}"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("wavefoundry demo e", {"emulation"}),
        ("wavefoundry init ", {"diagram", "emulation", "molecules", "tickets"}),
        ("wavefoundry run --preset paper-r", {"paper-resnet"}),
    ],
)
def test_kinds_and_presets_are_completed(words, found, monkeypatch, capsys):
    monkeypatch.setenv("_WAVEFOUNDRY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
    main([])
    assert set(capsys.readouterr().out.split()) == found


# -- start-up --------------------------------------------------------------------------------------------

HEAVY = ("jax", "jaxlib", "netket", "pandas", "arviz", "equinox", "optax", "scipy")


def test_reading_commands_never_import_the_array_libraries(study, stub, tmp_path):
    main(["run", study, "--quiet"])
    code = f"""
import sys
from wavefoundry.cli import main
def check(*words, code=0):
    assert main(words) == code, words
    loaded = [name for name in {HEAVY} if name in sys.modules]
    assert not loaded, (words, loaded)
check("--help")
check("--version")
check("init", "diagram")
check("inspect", "runs/chain")
check("inspect", "runs/chain", "--json")
check("verify", "runs/chain")
check("report", "runs/chain")
check("run", "chain.toml", "--set", "pretrain.walkers=0", "--out", "other", code=2)
check("run", "chain.toml", code=2)
check("run", "chain.toml", "--resume", "--set", "pretrain.seed=9", code=2)
"""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_module_runs_as_a_program(tmp_path):
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-m", "wavefoundry", "run", "absent.toml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "absent.toml" in done.stderr and "Traceback" not in done.stderr
