"""Sealed runs: whatever changes in one is noticed by everything that reads it, and never sealed anew."""

import errno
import json
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from wavefoundry.artifacts.results import model_folder, read_results
from wavefoundry.artifacts.spec import dumps, loads, template
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError, IntegrityError

POINT = {"couplings": {"h": 0.8}, "energy": -42.04, "energy_error": 0.01, "energy_per_site": -1.1678, "trusted": True}
SUMMARY = {"schema": 1, "kind": "diagram", "status": "complete", "points": [POINT]}


@pytest.fixture
def sealed(tmp_path, monkeypatch):
    """A finished run with every part one may have."""
    monkeypatch.setattr("wavefoundry.reports.html.render", lambda summary, log: "<html>stand-in</html>")
    with RunDirectory.create(tmp_path / "run", dumps(loads(template("diagram")))) as run:
        for step in (1, 2):
            run.log({"event": "step", "step": step})
            run.save("pretrain", step, {"w": np.arange(40.0) + step}, {})
        run.save_artifact("base", {"w": np.arange(4.0)}, {"kind": "molecules"})
        run.write_json("summary.json", SUMMARY)
        run.write_text("points.csv", "h,energy\n0.8,-42.04\n")
        run.seal()
    assert main(["report", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def resume(folder: Path) -> list[str]:
    """What a resumed run does first; returns its warnings."""
    with RunDirectory.open(folder, write=True) as run:
        found = run.latest("pretrain")
        run.truncate_log(found[2] if found else None)
        return run.warnings


def notices(folder: Path) -> bool:
    """Whether a resumed run warns of damage or refuses it as such."""
    try:
        return bool(resume(folder))
    except IntegrityError:
        return True


@pytest.mark.integration
def test_every_flip_in_any_file_is_noticed_by_everything_that_reads_a_run(sealed, tmp_path, capsys):
    rng = random.Random(3)
    paths = sorted(path for path in sealed.rglob("*") if path.is_file())
    assert len(paths) == 16
    for trial in range(112):
        path = paths[trial % len(paths)]
        data = path.read_bytes()
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        before = {other: other.read_bytes() for other in paths}
        for command in (["verify"], ["inspect"], ["inspect", "--json"], ["report"]):
            assert main([*command, str(sealed)]) == 4, (path, command)
            shown = capsys.readouterr()
            assert shown.out == "" and "Traceback" not in shown.err
        with pytest.raises(IntegrityError):
            model_folder(sealed)
        assert {other: other.read_bytes() for other in paths} == before
        shutil.copytree(sealed, tmp_path / "resumed")
        assert notices(tmp_path / "resumed"), path
        shutil.rmtree(tmp_path / "resumed")
        path.write_bytes(data)
    assert main(["verify", str(sealed)]) == main(["inspect", str(sealed)]) == 0


@pytest.mark.parametrize("name", ["artifacts", "checkpoints", "log.jsonl", "run.json", "spec.toml", "points.csv"])
def test_what_is_missing_is_not_sealed_away(sealed, name, capsys):
    gone = sealed / name
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    for command in ("report", "verify", "inspect", "report", "verify"):
        assert main([command, str(sealed)]) == 4
        assert name in capsys.readouterr().err


def test_results_without_a_seal_are_damage(sealed, capsys):
    """Else who edits the results only has to remove the sums."""
    (sealed / "manifest.json").unlink()
    (sealed / "summary.json").write_text(json.dumps(SUMMARY | {"status": "partial"}))
    for command in ("verify", "inspect", "report"):
        assert main([command, str(sealed)]) == 4
        assert "manifest.json is missing" in capsys.readouterr().err
    resume(sealed)  # a run that was killed before its seal goes on, and writes its results anew
    assert not (sealed / "summary.json").exists()
    assert main(["verify", str(sealed)]) == 0


def test_a_report_that_was_removed_is_written_anew_and_one_that_was_changed_is_not(sealed, capsys):
    (sealed / "report.html").unlink()
    assert main(["verify", str(sealed)]) == 4
    (sealed / "report.html").write_text("<html>forged")
    assert main(["report", str(sealed)]) == 4
    (sealed / "report.html").unlink()
    capsys.readouterr()
    with RunDirectory.open(sealed, write=True) as run:
        run.write_text("report.html", "<html>")
    assert main(["verify", str(sealed)]) == 0


def test_a_damaged_checkpoint_that_was_done_without_is_not_sealed(sealed):
    with RunDirectory.open(sealed, write=True) as run:
        (sealed / "checkpoints/pretrain-00000002/meta.json").write_text("{}")
        assert run.latest("pretrain")[0] == 1  # type: ignore[index]
        run.log({"event": "resumed"})
        assert read_results(sealed) is None, "results go with their seal"
        run.write_json("summary.json", SUMMARY)
        run.seal()
        assert any("removed" in line for line in run.warnings)
        assert run.verify() == [] and not (sealed / "checkpoints/pretrain-00000002").exists()


def test_a_summary_of_a_newer_schema_is_refused(tmp_path, capsys):
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY | {"schema": 99}))
    with pytest.raises(InputError, match="schema 99"):
        read_results(tmp_path)
    assert main(["inspect", str(tmp_path)]) == main(["report", str(tmp_path)]) == 2
    assert "schemas up to 1" in capsys.readouterr().err


@pytest.mark.parametrize("change", [{"points": "abc"}, {"points": [1]}, {"pretrain": 3}, {"schema": "x"}])
def test_a_summary_of_another_form_is_damage(tmp_path, change, capsys):
    (tmp_path / "summary.json").write_text(json.dumps(SUMMARY | change))
    for command in ("inspect", "report"):
        assert main([command, str(tmp_path)]) == 4
        assert next(iter(change)) in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["report", "{}"],
        ["inspect", "{}"],
        ["verify", "{}"],
        ["watch", "{}"],
        ["models", "import", "{}"],
        ["run", "{}/study.toml"],
    ],
)
def test_a_folder_that_may_not_be_entered_is_told_so(words, sealed, monkeypatch, capsys):
    """It is not "missing": what is there cannot be known."""

    def closed(real):
        def look(path, *args, **kwargs):
            if isinstance(path, str | os.PathLike) and str(path).startswith(f"{sealed}/"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path, *args, **kwargs)

        return look

    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(os, name, closed(getattr(os, name)))
    assert main([word.format(sealed) for word in words]) == 2
    shown = capsys.readouterr().err
    assert "there is no permission to look into" in shown and str(sealed) in shown and "fix:" in shown


@pytest.mark.parametrize("name", ["summary.json", "artifacts"])
def test_what_may_not_be_read_is_not_called_damaged(name, sealed, monkeypatch, capsys):
    """A colleague's run of which a part is closed."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != sealed / name and real(path, mode))
    for verb in ("report", "inspect", "verify"):
        assert main([verb, str(sealed)]) == 74
        shown = capsys.readouterr().err
        assert f"cannot read {sealed / name}: there is no permission" in shown and "damaged" not in shown
