"""Whole runs of every kind under faults: killed at random times, stopped by short leases, changed afterwards.

The short part runs with the other tests; ``make test-faults`` runs all of it.
"""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _campaign as campaign
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.cli import main

pytestmark = pytest.mark.integration

KINDS = list(campaign.STUDIES)
ONE_OF_EACH = [kind for kind in KINDS if kind not in ("diagram, symmetric, two devices", "diagram, bases and rivals")]
SHORT = "tickets"
EVERY = [pytest.param(kind, marks=() if kind == SHORT else pytest.mark.faults) for kind in KINDS]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``undisturbed(kind)``: study, finished run directory and its seconds; each made once."""
    made: dict[str, tuple[Path, Path, float]] = {}

    def get(kind: str) -> tuple[Path, Path, float]:
        if kind not in made:
            folder = tmp_path_factory.mktemp("run")
            study = campaign.prepare(kind, folder)
            ended = campaign.run(study, folder / "out")
            assert ended.code in campaign.OVER, ended.error
            made[kind] = study, folder / "out", ended.seconds
        return made[kind]

    return get


@pytest.mark.parametrize("kind", EVERY)
def test_killed_at_random_times(kind: str, undisturbed: Any, tmp_path: Path):
    """Whatever a kill hits, the run that goes on ends as if nothing had happened."""
    study, reference, seconds = undisturbed(kind)
    rng = random.Random(kind)
    kills = campaign.killed(study, tmp_path / "out", min(seconds, 10.0), rng, most=4)
    assert campaign.differing(campaign.results(tmp_path / "out"), campaign.results(reference)) == [], kills
    assert RunDirectory.open(tmp_path / "out").verify() == []


@pytest.mark.faults
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_short_leases_end(kind: str, undisturbed: Any, tmp_path: Path):
    """Stopped 4 processor seconds after the first event of every session: the study ends, with the same numbers."""
    study, reference, seconds = undisturbed(kind)
    leases = campaign.leased(study, tmp_path / "out", 4.0)
    assert campaign.differing(campaign.results(tmp_path / "out"), campaign.results(reference)) == [], leases


@pytest.mark.parametrize("kind", EVERY)
def test_every_flip_is_noticed(kind: str, undisturbed: Any, tmp_path: Path):
    """By verify, inspect, report, --resume and wf.open: in any file of a finished run."""
    study, reference, _ = undisturbed(kind)
    out = shutil.copytree(reference, tmp_path / "out")
    assert campaign.overlooked(study, out, 0 if kind == SHORT else 40, random.Random(5))[1] == []
    assert main(["verify", str(out)]) == 0


@pytest.mark.faults
@pytest.mark.parametrize("kind", ONE_OF_EACH)
def test_torn_logs_and_lost_files(kind: str, undisturbed: Any, tmp_path: Path):
    """A run that was broken off, with its log cut in its last line, or one of its saved parts lost."""
    study, reference, seconds = undisturbed(kind)
    out = tmp_path / "out"
    ended = campaign.run(study, out, after=seconds / 2)
    # once it is sealed its log is a result, and a torn one is damage
    if ended.code in campaign.OVER or (out / "manifest.json").exists():
        pytest.skip("the run was over before it could be killed")
    log = (out / "log.jsonl").read_bytes()
    (out / "log.jsonl").write_bytes(log[: len(log) - 7])
    saved = sorted(path for name in ("tasks", "checkpoints") for path in (out / name).glob("*"))
    if saved:
        (saved[-1] / "arrays.safetensors").unlink()
    ended = campaign.run(study, out)
    assert ended.code in campaign.OVER, ended.error
    assert (
        campaign.differing(
            {k: v for k, v in campaign.results(out).items() if k != "log"},
            {k: v for k, v in campaign.results(reference).items() if k != "log"},
        )
        == []
    )
    steps = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps, "the log is readable"
