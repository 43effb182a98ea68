"""Studies over several seeds, in this process and shared out to workers."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wavefoundry as wf
from wavefoundry.artifacts.results import read_results
from wavefoundry.artifacts.spec import dumps, loads, template
from wavefoundry.artifacts.spec_seeds import of_seed, seeds
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.cli import main
from wavefoundry.core.errors import IntegrityError, Interrupted
from wavefoundry.reports import html
from wavefoundry.studies import perform, remote, run_study
from wavefoundry.studies.seeds import Quantity, compare, differs
from wavefoundry.studies.workers import Crew, client_of

STUDY = """
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 6 }
[wavefunction]
width = 4
layers = 1
heads = 2
[pretrain]
at = { h = 1.0 }
steps = 20
walkers = 32
seed = 7
[adapt]
points = { h = [0.8] }
samples = 64
[evaluate]
samples = 256
[run]
seeds = 2
"""
LONG = ("pretrain.steps=2000", "output.checkpoint_every=100")


def results(folder: Path) -> Any:
    """Records of a run, without what a repetition costs or is called."""
    apart = ("cost", "adapt_cost", "command", "finished", "hardware", "settings")

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: kept(inner) for name, inner in value.items() if name not in apart}
        return [kept(inner) for inner in value] if isinstance(value, list) else value

    return kept(read_results(folder))


# what several seeds say together


def test_differs_is_calibrated():
    """4 bars, 5 seeds, 20000 studies: chance flags one of 10^5 seeds (2 x 3.2e-5, a little less for the median)."""
    rng = np.random.default_rng(0)
    values = 1.0 + 0.1 * rng.standard_normal((20000, 5))
    flagged = sum(int(differs(row, np.full(5, 0.1)).sum()) for row in values)
    assert flagged <= 15  # Poisson of mean 6.4: more than 15 in 1 of 1000
    apart = np.array([1.0, 1.0, 1.0, 1.0, 1.8])
    assert differs(apart, np.full(5, 0.1)).tolist() == [False] * 4 + [True]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(-1e3, 1e3))
def test_what_nobody_can_tell_apart_does_not_differ(values: list[float], value: float):
    assert not differs(np.full(len(values), value), np.zeros(len(values))).any()
    found = differs(np.array(values), np.zeros(len(values)))
    assert found.sum() <= len(values) // 2  # never the majority


def test_rows_over_seeds():
    bad = Quantity("E", -1.0, 0.001, "trusted", -2.0)
    good = Quantity("E", -2.0, 0.001, "trusted", -2.0)
    (row,) = compare([[good], [good], [bad]])
    assert row["differ"] == [2] and row["verdict"] == "doubtful" and row["exact"] == -2.0
    assert row["mean"] == pytest.approx(-5 / 3) and row["spread"] == pytest.approx(np.std([-2, -2, -1], ddof=1))
    (row,) = compare([[good], [good._replace(verdict="refused", value=5.0)], []])
    assert row["mean"] == -2.0 and row["spread"] is None and row["values"] == [-2.0, 5.0, None]
    assert row["verdict"] == "refused" and "2 of 3" in row["reasons"][0]


@pytest.mark.parametrize("kind", ["diagram", "tickets", "molecules", "emulation"])
def test_a_study_of_one_seed(kind: str):
    spec = loads(template(kind), overrides=["run.seeds=3"])
    assert seeds(spec) == [0, 1, 2]
    second = of_seed(spec, 1)
    assert second.run.seeds == 1 and seeds(second) == [1]
    again = loads(dumps(second))
    assert again == second and of_seed(again, 0) == second  # accepted by the rules of study files
    if kind == "emulation":
        assert second.curriculum == spec.curriculum
    if hasattr(spec, "adapt"):  # its own seed, where there is one
        assert spec.adapt.seed is None and second.adapt == spec.adapt
        own = loads(template(kind), overrides=["run.seeds=3", "adapt.seed=7"])
        assert of_seed(own, 2).adapt.seed == 9 and seeds(own) == [0, 1, 2]


# in this process


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds") / "run"
    run_study(loads(STUDY), folder)
    return folder


@pytest.mark.integration
def test_every_seed_is_the_run_of_that_seed(finished: Path, tmp_path: Path):
    alone = loads(STUDY, overrides=["run.seeds=1", "pretrain.seed=8"])
    run_study(alone, tmp_path / "alone")
    assert results(tmp_path / "alone") == results(finished / "seeds" / "8")
    summary = read_results(finished)
    assert summary is not None
    first, second = (read_results(finished / "seeds" / str(seed)) for seed in (7, 8))
    energies = [run["points"][0]["energy"] for run in (first, second)]  # type: ignore[index]
    row = next(row for row in summary["quantities"] if row["name"].endswith("h = 0.8: energy"))
    assert row["values"] == energies and energies[0] != energies[1]
    parts = sum(record["cost"]["cpu_seconds"] for record in summary["seeds"])
    assert summary["cost"]["cpu_seconds"] == pytest.approx(parts, abs=0.01)


@pytest.mark.integration
def test_what_is_shown(finished: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["inspect", str(finished)]) in (0, 3)
    assert "2 seeds" in capsys.readouterr().out
    assert main(["report", str(finished)]) == 0
    page = (finished / "report.html").read_text()
    assert (
        "h = 0.8: energy" in page
        and "<script" not in page
        and "//" not in page.split("</style>")[1].replace("http://www.w3.org", "")
    )
    assert (finished / "seeds" / "7" / "report.html").is_file()
    assert main(["verify", str(finished)]) == 0  # the reports were sealed, too
    table = (finished / "seeds.csv").read_text().splitlines()
    assert table[0].endswith("seed_7,seed_8") and len(table) == len(read_results(finished)["quantities"]) + 1  # type: ignore[index]
    opened = wf.open(finished)
    assert isinstance(opened, dict) and list(opened) == [7, 8]
    assert html.render(*html.read_run(finished))


@pytest.mark.integration
def test_damage_in_one_seed_is_damage(finished: Path, tmp_path: Path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    victim = copy / "seeds" / "8" / "artifacts" / "base" / "arrays.safetensors"
    data = bytearray(victim.read_bytes())
    data[-3] ^= 1
    victim.write_bytes(bytes(data))
    assert any("seeds/8" in line for line in RunDirectory.open(copy).verify())
    with pytest.raises(IntegrityError, match="seeds/8"):
        read_results(copy)
    shutil.rmtree(copy / "seeds" / "8")
    with pytest.raises(IntegrityError, match="seeds/8"):
        read_results(copy)


@pytest.mark.integration
@pytest.mark.parametrize("at", [1, 3])
def test_stopped_and_resumed(finished: Path, tmp_path: Path, at: int):
    """Stopped in the first seed, or in the second one: what is finished is not done again, and all is as it was."""
    seen: list[str] = []

    def emit(event: dict[str, Any]) -> None:
        if event["event"] == "point" or event.get("phase") == "pretrain":
            seen.append(event["event"])

    counts = {"step": 0}

    def requested() -> int | None:
        counts["step"] = seen.count("point") * 2 + ("step" in seen[seen.index("point") if "point" in seen else 0 :])
        return 15 if counts["step"] >= at else None

    spec = loads(STUDY)
    with pytest.raises(Interrupted):
        perform(spec, tmp_path / "run", requested, emit=emit)
    assert not (tmp_path / "run" / "summary.json").exists()
    later: list[dict[str, Any]] = []
    run_study(spec, tmp_path / "run", resume=True, emit=later.append)
    assert results(tmp_path / "run") == results(finished)
    assert results(tmp_path / "run" / "seeds" / "8") == results(finished / "seeds" / "8")


# shared out


@pytest.mark.integration
def test_there_are_as_many_workers_as_were_asked_for():
    """More than this machine has cores, or fewer."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with client_of(Crew(cores + 1)) as client:
        client.wait_for_workers(cores + 1, timeout=300)
        assert len(client.cluster.workers) == len(client.scheduler_info(n_workers=-1)["workers"]) == cores + 1


SLOW_RETURN = pytest.param("asked to stop, and to go on", marks=pytest.mark.slow)
SLOW_STOP = pytest.param("asked to stop", marks=pytest.mark.slow)  # the others say as much
SLOW_KILL = pytest.param("a worker is killed", marks=pytest.mark.slow)
SLOW_NOTHING = pytest.param("nothing", marks=pytest.mark.slow)


@pytest.mark.integration
@pytest.mark.parametrize("disturbed", ["a worker is killed", SLOW_STOP, SLOW_RETURN])
def test_workers_give_the_same_numbers(disturbed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One of two workers is killed in the middle, or both are asked to stop: afterwards all is as from one process."""
    spec, folder = loads(STUDY, overrides=LONG), tmp_path / "run"
    events: list[dict[str, Any]] = []
    asked: list[int] = []
    with client_of(Crew(2)) as client:
        client.wait_for_workers(2, timeout=300)
        workers = list(client.run(os.getpid).values())

        def disturb() -> None:
            begin = time.monotonic()
            while not (folder / "seeds" / "7" / "checkpoints").is_dir() and time.monotonic() - begin < 300:
                time.sleep(0.02)
            if disturbed.startswith("asked to stop"):
                asked.append(signal.SIGTERM)
            elif disturbed == "a worker is killed":
                os.kill(workers[0], signal.SIGKILL)

        threading.Thread(target=disturb, daemon=True).start()
        stop = lambda: asked[0] if asked else None  # noqa: E731
        if disturbed.startswith("asked to stop"):
            with pytest.raises(Interrupted):
                perform(spec, folder, stop, emit=events.append, client=client)
            assert not (folder / "summary.json").exists()
            if disturbed.endswith("go on"):  # with the same workers, which must not remember the stop
                perform(spec, folder, lambda: None, resume=True, emit=events.append, client=client)
        else:
            perform(spec, folder, stop, emit=events.append, client=client)
    died = [event for event in events if "died" in event.get("text", "")]
    assert len(died) == (disturbed == "a worker is killed")
    if disturbed == "asked to stop":
        run_study(spec, folder, resume=True)
    alone = run_study(of_seed(spec, 0), tmp_path / "alone")
    assert results(folder / "seeds" / "7") == results(tmp_path / "alone")
    assert (folder / "summary.json").exists() and alone["status"] == "complete"
    assert RunDirectory.open(folder).verify() == []


@pytest.mark.integration
def test_a_last_run_is_shared_out(tmp_path: Path):
    """Three seeds, two workers: both do the points of the third one, and all is as from one process."""
    spec = loads(STUDY, overrides=["run.seeds=3", "adapt.points.h=[0.8, 1.2]"])
    with client_of(Crew(2)) as client:
        client.wait_for_workers(2, timeout=300)
        perform(spec, tmp_path / "shared", lambda: None, client=client)
        built = client.run(lambda: remote._study.cache_info().misses)
    assert set(built.values()) == {1}, "every worker has built the study of the last run"
    run_study(spec, tmp_path / "alone")
    for seed in (7, 8, 9):
        assert results(tmp_path / "shared" / "seeds" / str(seed)) == results(tmp_path / "alone" / "seeds" / str(seed))
    assert RunDirectory.open(tmp_path / "shared").verify() == []


def test_the_job_script(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    settings = [
        "cores=4",
        'memory="8GB"',
        'worker_extra_args=["--local-directory", "/scratch"]',
        'walltime="04:00:00"',
        'interface="lo"',
        'queue="gpu"',
    ]
    options = [part for setting in settings for part in ("--slurm", setting)]
    assert main(["run", str(study), "--scheduler", "slurm", *options, "--dry-run"]) == 0
    script = capsys.readouterr().out
    for line in ("#SBATCH -J wavefoundry", "#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH -t 04:00:00"):
        assert line in script
    assert "--nthreads 1 --local-directory /scratch" in script  # one task at a time


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (["--workers", "0"], "--workers"),
        (["--seeds", "0"], "--seeds"),
        (["--slurm", "cores=4"], "--slurm"),
        (["--dry-run"], "--dry-run"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "coers=4"], "--slurm"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "cores=1"], "--slurm"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "cores"], "--slurm"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "cores=-2"], "--slurm cores"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "cores=2.5"], "--slurm cores"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "memory=16"], "--slurm memory"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "processes=4"], "--slurm processes"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", "job_name=my job"], "--slurm job_name"),
        (["--scheduler", "slurm", "--dry-run", "--slurm", 'worker_extra_args=["--nthreads", "2"]'], "--slurm worker"),
        (["--scheduler", "nonsense"], "--scheduler"),
    ],
)
def test_bad_input(options: list[str], where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    study = tmp_path / "study.toml"
    study.write_text(STUDY)
    assert main(["run", str(study), "--out", str(tmp_path / "run"), *options]) == 2
    said = capsys.readouterr().err
    assert f"where: {where}" in said.replace("key run.seeds", ""), said
    assert "Traceback" not in said and not (tmp_path / "run").exists()


@pytest.mark.parametrize("disturbed", [SLOW_NOTHING, SLOW_KILL, SLOW_STOP])
def test_the_tasks_of_one_run_are_shared_out(disturbed: str, tmp_path: Path):
    """Points of a single run by two workers: the numbers are those of one process, whatever happens to a worker."""
    spec, folder = loads(STUDY, overrides=[*LONG, "run.seeds=1", "adapt.method=full"]), tmp_path / "run"
    events: list[dict[str, Any]] = []
    with client_of(Crew(2)) as client:
        workers = list(client.run(os.getpid).values())

        def requested() -> int | None:
            begun = (folder / "tasks" / "pretrain").is_dir()  # everything after it is done by workers
            if begun and disturbed == "a worker is killed" and workers:
                os.kill(workers.pop(), signal.SIGKILL)
                workers.clear()
            return 15 if begun and disturbed == "asked to stop" else None

        if disturbed == "asked to stop":
            with pytest.raises(Interrupted):
                perform(spec, folder, requested, emit=events.append, client=client)
            assert not (folder / "summary.json").exists()
            perform(spec, folder, lambda: None, resume=True, emit=events.append, client=client)
        else:
            perform(spec, folder, requested, emit=events.append, client=client)
    died = [event for event in events if "died" in event.get("text", "")]
    assert len(died) <= 2 and (disturbed == "a worker is killed" or not died)
    points = [event for event in events if event["event"] == "point"]
    assert [event["index"] for event in points] == list(range(len(points)))
    run_study(spec, tmp_path / "alone")
    assert results(folder) == results(tmp_path / "alone")
    assert RunDirectory.open(folder).verify() == []


def test_points_that_read_alike_are_all_compared():
    """A value asked for twice gives two records, and none of them stands for the other."""
    first, second = Quantity("h = 1: energy", -1.0, 0.001, "refused"), Quantity("h = 1: energy", -2.0, 0.001, "trusted")
    rows = compare([[first, second], [first, second._replace(value=-2.1)]])
    assert [row["name"] for row in rows] == ["h = 1: energy", "h = 1: energy (2)"]
    assert rows[0]["values"] == [-1.0, -1.0] and rows[1]["values"] == [-2.0, -2.1] and rows[0]["verdict"] == "refused"
