"""The cost of a run that was resumed: the sum over its sessions, whatever the kind of study."""

import time
from pathlib import Path

import numpy as np
import pytest

from wavefoundry.artifacts.spec import dumps, loads, template
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.core.meter import Cost
from wavefoundry.studies import _rewind_log
from wavefoundry.studies.context import WHOLE, Context


@pytest.mark.parametrize("stream", ["pretrain", "adapt", "tickets", "confirm", "emulation", "molecules"])
def test_sessions_add_up(stream: str, tmp_path: Path):
    """Three sessions with a checkpoint each: every one starts from what the last one had spent when it saved."""
    folder, spent = tmp_path / "run", Cost()
    with RunDirectory.create(folder, dumps(loads(template("diagram")))):
        pass
    for session in range(3):
        with RunDirectory.open(folder, write=True) as directory:
            earlier = _rewind_log(directory)
            assert (earlier or Cost()) == spent
            context = Context(store=directory, earlier=earlier)
            time.sleep(0.02)
            context.save_arrays(stream, session, {"x": np.ones(1)}, {})
            _, _, meta = directory.latest(stream)  # type: ignore[misc]
            spent = Cost(**meta[WHOLE])
            assert spent.wall_seconds >= 0.02 * (session + 1)
            assert context.cost().wall_seconds >= spent.wall_seconds
    assert context.cost().wall_seconds < 60


def test_a_new_run_has_no_earlier_cost(tmp_path: Path):
    with RunDirectory.create(tmp_path / "run", dumps(loads(template("diagram")))) as directory:
        assert _rewind_log(directory) is None
