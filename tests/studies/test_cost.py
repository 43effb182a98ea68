"""The cost of a run that was resumed: the sum over its sessions, whatever the kind of study."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavefoundry.artifacts.spec import dumps, loads, template
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.core.errors import Interrupted
from wavefoundry.core.meter import Cost
from wavefoundry.studies.execute import execute
from wavefoundry.studies.progress import WHOLE, Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

SLEEP = 0.02


class Sleeping:
    """Three tasks of four naps each, saved after every nap; the second reads the first."""

    def tasks(self, done: Outputs) -> Sequence[Task]:
        return [Task("first"), Task("next/0", ("first",)), Task("next/1", ("first",), 2.0)]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        begin = 0 if name == "first" else int(done["first"].arrays["x"][0])
        found = progress.restore()
        for nap in range(0 if found is None else found[0], 4):
            time.sleep(SLEEP)
            progress.save(nap + 1, {"x": np.full(1, nap)})
        return Output({"naps": 4, "begin": begin, "nan": float("nan")}, {"x": np.full(1, 4)})


def session(folder: Path, stop: Any, resume: bool) -> tuple[dict[str, Output] | None, Cost]:
    """One session, stopped when ``stop(context)`` says so."""
    if not resume:
        RunDirectory.create(folder, dumps(loads(template("diagram")))).close()
    with RunDirectory.open(folder, write=True) as directory:
        stored = directory.outputs()
        newest = directory.newest(stored)
        earlier = None if newest is None else Cost(**newest[WHOLE])
        context = Context(None, directory, lambda: 15 if stop() else None, earlier, stored)
        try:
            return execute(Sleeping(), context), context.cost()
        except Interrupted:
            return None, context.cost()


@pytest.mark.parametrize("each", [1, 2, 5])
def test_sessions_add_up(each: int, tmp_path: Path):
    """Stopped after every so many naps: the run ends, has done each nap once, and counts every session."""
    saves = []
    save = RunDirectory.save

    def counting(self: RunDirectory, *args: Any) -> None:
        save(self, *args)
        saves.append(args[:2])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunDirectory, "save", counting)
        sessions, done = 0, None
        while done is None:
            until = len(saves) + each
            done, cost = session(tmp_path / "run", lambda until=until: len(saves) >= until, sessions > 0)
            sessions += 1
    assert saves == [(name, nap) for name in ("first", "next.0", "next.1") for nap in (1, 2, 3, 4)]
    assert sessions >= 12 / (each + 1)
    for output in done.values():
        assert output.record == {"naps": 4, "begin": output.record["begin"], "nan": None}
        assert output.cost.wall_seconds >= 4 * SLEEP
    assert sum(output.cost.wall_seconds for output in done.values()) <= cost.wall_seconds + 1e-6
    assert cost.wall_seconds >= 12 * SLEEP


def test_a_new_run_has_no_earlier_cost(tmp_path: Path):
    with RunDirectory.create(tmp_path / "run", dumps(loads(template("diagram")))) as directory:
        assert directory.newest({}) is None


def test_a_damaged_output_is_made_again(tmp_path: Path):
    """And nothing else: the tasks after it are kept."""
    done, _ = session(tmp_path / "run", lambda: False, False)
    stored = tmp_path / "run" / "tasks" / "first" / "arrays.safetensors"
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(bytes(data))
    again, _ = session(tmp_path / "run", lambda: False, True)
    assert again is not None and done is not None
    for name in ("next/0", "next/1"):
        assert again[name].cost == done[name].cost, "as stored"
    assert again["first"].record == done["first"].record and again["first"].cost != done["first"].cost
