"""A page that follows a run: what it is told, by whom it may be asked, and that it needs nothing else."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wavefoundry.artifacts.lock import Lock
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError
from wavefoundry.reports.followed import UNDER_WAY, Followed, Follower
from wavefoundry.reports.watch import MOST, PAGE, curves, diagram, server, state


def point(index: int, h: float, word: str = "trusted") -> dict[str, Any]:
    return {"event": "point", "index": index, "count": 3, "couplings": {"J": 1.0, "h": h}, "energy": -8 * h,
            "energy_per_site": -h, "energy_error": 0.08, "exact_energy": -8.8 * h, "verdict": word}  # fmt: skip


def step(number: int, energy: float = -1.0) -> dict[str, Any]:
    return {"event": "step", "phase": "pretrain", "step": number, "steps": 9, "energy": energy, "seconds_left": 7.0}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Path]:
    """A run directory that is under way."""
    (tmp_path / "run.json").write_text("{}")
    write(tmp_path, [step(1), step(2, -2.0)])
    lock = Lock(tmp_path)
    yield tmp_path
    lock.release()


def shown(follower: Follower) -> dict[str, Any]:
    return state("run", follower.look())


def write(folder: Path, events: list[dict[str, Any]], mode: str = "w") -> None:
    with open(folder / "log.jsonl", mode) as stream:
        stream.writelines(json.dumps(event) + "\n" for event in events)


def test_a_run_is_followed(run: Path):
    """Lines that come, a torn line that is not there yet, and a log that was cut back by a resumed run."""
    follower = Follower(run)
    first = shown(follower)
    assert first["status"] == "under way" and first["curves"] == [{"name": "pretrain", "x": [1, 2], "y": [-1.0, -2.0]}]
    write(run, [point(0, 1.0), point(1, 0.5, "refused")], "a")
    with open(run / "log.jsonl", "a") as stream:
        stream.write('{"event": "point", "ind')
    second = shown(follower)
    assert [row["h"] for row in second["rows"]] == ["1", "0.5"] and second["counted"] == "1 trusted, 1 refused"
    with open(run / "log.jsonl", "a") as stream:
        stream.write('ex": 2, "couplings": {"J": 1.0, "h": 2.0}}\n')
    assert len(shown(follower)["rows"]) == 3
    write(run, [step(1)])
    assert shown(follower)["rows"] == [] and shown(follower)["left"]
    (run / "summary.json").write_text('{"status": "complete"}')
    assert shown(follower)["status"] == "complete" and not shown(follower)["left"]


def test_another_log_is_read_anew_however_long_it_is(run: Path):
    """A run that was started over between two looks: nothing of the one before is shown."""
    follower = Follower(run)
    write(run, [point(0, 1.0), point(1, 0.5)], "a")
    assert len(shown(follower)["rows"]) == 2
    write(run, [step(k, -3.0) for k in range(1, 50)] + [point(0, 0.7)])
    found = shown(follower)
    assert [row["h"] for row in found["rows"]] == ["0.7"] and set(found["curves"][0]["y"]) == {-3.0}


def test_a_run_that_nobody_makes_is_not_under_way(tmp_path: Path):
    (tmp_path / "run.json").write_text("{}")
    write(tmp_path, [step(1)])
    assert shown(Follower(tmp_path))["status"] == "stopped" and not shown(Follower(tmp_path))["left"]


def test_the_seeds_of_a_study_are_shown_apart(run: Path):
    """A run over seeds says little itself; the curves and points are those of its seeds."""
    for seed, h in ((0, 1.0), (1, 0.5)):
        (folder := run / "seeds" / str(seed)).mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        write(folder, [step(1), step(2), point(0, h), {"event": "warning", "text": "slow"}])
    (run / "seeds" / "0" / "summary.json").write_text('{"status": "complete"}')
    lock = Lock(run / "seeds" / "1")
    found = shown(Follower(run))
    lock.release()
    assert [row["run"] for row in found["rows"]] == ["seed 0", "seed 1"] and found["columns"][0] == "run"
    assert [curve["name"] for curve in found["curves"]] == ["pretrain", "seed 0: pretrain", "seed 1: pretrain"]
    assert [one["x"] for one in found["diagram"]["points"]] == [0.5, 1.0] and found["counted"] == "2 trusted"
    assert found["now"].startswith("seed 1: ") and found["warnings"][-1] == "seed 1: slow"


@pytest.mark.parametrize(
    "line", ["[1]", '{"event": "point", "couplings": [1], "index": [1]}', '{"event": "ticket", "round": {}}', "{"]
)
def test_lines_that_are_no_events_are_left_out(line: str, run: Path):
    with open(run / "log.jsonl", "a") as stream:
        stream.write(line + "\n")
    write(run, [point(0, 1.0)], "a")
    assert len(shown(Follower(run))["rows"]) == 1


def test_energies_are_per_site_and_in_order():
    found = diagram([point(0, 1.0), point(1, 0.5, "doubtful")])
    assert found is not None and found["axis"] == "h"
    assert [(one["x"], one["y"], one["word"]) for one in found["points"]] == [
        (0.5, -0.5, "doubtful"), (1.0, -1.0, "trusted"),
    ]  # fmt: skip
    assert [one["exact"] for one in found["points"]] == pytest.approx([-0.55, -1.1])
    assert found["points"][0]["error"] == pytest.approx(0.01)
    assert diagram([point(0, 1.0)]) is None, "nothing varies"


def test_long_curves_are_thinned_and_steps_done_twice_count_once():
    (curve,) = curves([step(k, float(k)) for k in range(5 * MOST)] + [step(0, -9.0)])
    assert len(curve["x"]) == MOST and curve["y"][0] == -9.0
    assert curves([{"event": "step", "step": 1, "energy": None}, {"event": "step"}]) == []


def test_other_kinds_of_study_have_a_table():
    known = {"event": "ticket", "energy": -1.0, "energy_error": 0.0, "verdict": "trusted"}
    rounds = [{**known, "round": k, "n": n, "rho": n / 9, "density": n / 9} for k, n in enumerate((9, 4))]
    found = state("run", [Followed("", rounds, UNDER_WAY)])
    assert [row["weights"] for row in found["rows"]] == ["9", "4"] and "weights" in found["columns"]


@pytest.fixture
def address(run: Path) -> Iterator[str]:
    with server(run) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()
        thread.join()


def test_the_page_asks_this_process_alone(address: str):
    with urllib.request.urlopen(f"{address}/") as answer:
        page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page) and 'src="' not in page
    assert "innerHTML" not in page, "names from a run are text"
    with urllib.request.urlopen(f"{address}/state.json") as answer:
        found = json.load(answer)
    assert {"name", "status", "now", "left", "counted", "log", "warnings", "diagram", "curves", "rows"} <= set(found)
    assert set(re.findall(r"state\.(\w+)", page)) - {"json"} <= set(found), "all that the page uses is sent"


@pytest.mark.parametrize(("path", "host", "code"), [("/", "evil.example", 403), ("/../run.json", None, 404)])
def test_nobody_else_and_nothing_else_is_answered(address: str, path: str, host: str | None, code: int):
    request = urllib.request.Request(f"{address}{path}", headers={"Host": host} if host else {})
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request)
    assert raised.value.code == code


def test_mistakes(tmp_path: Path, run: Path):
    with pytest.raises(InputError, match="no run in"):
        Follower(tmp_path / "none")
    assert main(["watch", str(tmp_path / "none")]) == 2
    with server(run) as taken, pytest.raises(InputError, match="cannot be used"):
        server(run, taken.server_address[1])
    with pytest.raises(InputError, match="0 to 65535"):
        server(run, 70000)


def test_the_page_has_words_for_what_is_drawn():
    page = PAGE.read_text()
    assert 'lang="en"' in page and 'role="status"' in page and '"aria-label": title' in page
