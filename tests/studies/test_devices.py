"""Several devices: the numbers of one, whatever the kind of study, and runs that move from one to two and back."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small import ISING_8
from wavefoundry.artifacts.results import read_results
from wavefoundry.artifacts.spec import loads
from wavefoundry.cli import main
from wavefoundry.core.cores import cores
from wavefoundry.core.devices import use_devices
from wavefoundry.core.errors import InputError
from wavefoundry.studies import run_study
from wavefoundry.studies.workers import Crew

STUDY = (
    ISING_8
    + """\
precision = "float64"
[pretrain]
at = { h = 1.0 }
steps = 4
block = 2
walkers = 65                        # two devices do not divide them
sampling = "metropolis"
[adapt]
points = { h = [0.9, 1.1] }
steps = 5
samples = 256
rounds = 1
[evaluate]
samples = 256
chains = 32
[output]
report = false
checkpoint_every = 2
"""
)
SCRIPT = Path(__file__).with_name("two_devices.py")


def environment(**more: str) -> dict[str, str]:
    """Of a process that uses the package of this tree."""
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | more


def forced() -> dict[str, str]:
    """Of a process whose CPU shows itself as two devices."""
    return environment(XLA_FLAGS=os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2")


def finish(process: subprocess.Popen, seconds: float = 400) -> str:
    """What a process has said; fails where it does not end."""
    try:
        return process.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        pytest.fail(f"it hangs: {process.communicate()[0]}")


def start(words: list[str], folder: Path, env: dict[str, str]) -> subprocess.Popen:
    """A process whose output is collected."""
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen([sys.executable, *words], cwd=folder, env=env, **both)


def numbers(folder: Path) -> np.ndarray:
    """Energies, errors and variances of the pre-training and of all points."""
    summary = read_results(folder)
    assert summary is not None and summary["status"] == "complete"
    return np.array(
        [[r[k] for k in ("energy", "energy_error", "variance")] for r in (summary["pretrain"], *summary["points"])]
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one study on one device and on two, and from each to the other; what two devices make of all parts."""
    folder = tmp_path_factory.mktemp("devices")
    (folder / "study.toml").write_text(STUDY)
    process = start([str(SCRIPT)], folder, forced())
    shown = finish(process)
    assert process.returncode == 0, shown
    return folder


@pytest.mark.slow
def test_two_devices_give_the_numbers_of_one(runs):
    """Pre-training, head tuning, measurement; the walkers are padded."""
    np.testing.assert_allclose(numbers(runs / "two"), numbers(runs / "one"), rtol=1e-10)
    hardware = [json.loads((runs / name / "summary.json").read_text())["hardware"] for name in ("one", "two")]
    assert [found["devices_used"] for found in hardware] == [1, 2] and hardware[1]["devices"] == 2


@pytest.mark.slow
def test_the_command_line_shows_cores_as_devices(runs):
    """Where nothing is forced from outside; NetKet is imported after the devices have been chosen."""
    if cores() < 2:
        pytest.skip("one core")
    process = start(
        ["-m", "wavefoundry", "run", "study.toml", "--out", "called", "--devices", "2"], runs, environment()
    )
    shown = finish(process)
    assert process.returncode in (0, 3), shown
    np.testing.assert_allclose(numbers(runs / "called"), numbers(runs / "one"), rtol=1e-10)
    assert json.loads((runs / "called" / "summary.json").read_text())["hardware"]["devices_used"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("moved", ["two-one", "one-two"])
def test_a_checkpoint_moves_to_another_number_of_devices(runs, moved):
    """Stopped within the pre-training, resumed with the other number."""
    events = [json.loads(line) for line in (runs / moved / "log.jsonl").read_text().splitlines()]
    assert any("going on from step 2" in event.get("text", "") for event in events)
    np.testing.assert_allclose(numbers(runs / moved), numbers(runs / "one"), rtol=1e-10)


@pytest.mark.slow
def test_every_part_of_the_engine_gives_the_same_on_two_devices(runs):
    """Largest relative differences; the float64 networks of each kind."""
    found = json.loads((runs / "parts.json").read_text())
    assert len(found) == 7
    assert max(found.values()) < 1e-10, found


@pytest.mark.parametrize(
    ("devices", "words"), [("0", "auto"), ("two", "auto"), ("4096", "are asked for, and there are"), ("-1", "auto")]
)
def test_impossible_numbers_of_devices_are_refused(devices, words, tmp_path, capsys):
    (tmp_path / "study.toml").write_text(STUDY)
    call = ["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_NUM_CPU_DEVICES", "1")  # JAX has started in this process: nothing is changed any more
        assert main([*call, "--devices", devices]) == 2
    shown = capsys.readouterr().err
    assert words in shown and "devices" in shown and not (tmp_path / "run").exists()


def test_the_same_words_in_python(tmp_path):
    with pytest.raises(InputError, match="4096 devices are asked for"):
        use_devices(4096)
    everything: list[Any] = [0, -2, 1.0, True, "all"]
    for wrong in everything:
        with pytest.raises(InputError, match="not possible"):
            use_devices(wrong)
    assert use_devices() == use_devices(1) == 1  # one CPU
    spec = loads(STUDY, overrides=["run.devices=2"])
    with pytest.raises(InputError, match="devices for each worker"):
        run_study(spec, tmp_path / "run", crew=Crew(2))


def test_studies_without_samples_have_no_devices():
    with pytest.raises(InputError, match="devices"):
        loads('kind = "emulation"\n[run]\ndevices = 2\n')


def side_by_side(folder: Path, port: int, *words: str) -> list[subprocess.Popen]:
    """Two processes as Slurm would start them, on loopback."""
    names = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1"}
    where = {"JAX_COORDINATOR_PORT": str(port), "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}"}
    ranks = [{"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)} for rank in range(2)]
    call = ["-m", "wavefoundry", "run", "study.toml", "--hosts", *words]
    return [start(call, folder, environment(**names, **where, **rank)) for rank in ranks]


def free_port() -> int:
    """A port nobody listens to."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(path: Path, words: str, processes: list[subprocess.Popen]) -> None:
    """Until a file says so."""
    while not (path.is_file() and words in path.read_text()):
        assert all(process.poll() is None for process in processes), [finish(process) for process in processes]
        time.sleep(0.1)


@pytest.mark.slow
def test_two_processes_in_step_stop_together_and_give_the_numbers_of_one(runs):
    """A signal to the second process alone stops both; resumed, the run ends with the numbers of one process."""
    processes = side_by_side(runs, free_port(), "--out", "hosts")
    wait_for(runs / "hosts" / "log.jsonl", '"compiling"', processes)
    processes[1].send_signal(signal.SIGTERM)
    shown = [finish(process) for process in processes]
    assert [process.returncode for process in processes] == [143, 143], shown
    assert any((runs / "hosts" / "checkpoints").iterdir())
    processes = side_by_side(runs, free_port(), "--out", "hosts", "--resume")
    shown = [finish(process) for process in processes]
    assert processes[0].returncode in (0, 3) and processes[1].returncode == 0, shown
    np.testing.assert_allclose(numbers(runs / "hosts"), numbers(runs / "one"), rtol=1e-10)
    hardware = json.loads((runs / "hosts" / "summary.json").read_text())["hardware"]
    assert (hardware["hosts"], hardware["devices_used"]) == (2, 2)
    refused = side_by_side(runs, free_port(), "--out", "hosts")
    shown = [finish(process) for process in refused]
    assert [process.returncode for process in refused] == [2, 2] and "not empty" in shown[0], shown


@pytest.mark.slow
def test_the_loss_of_a_process_ends_the_others(runs):
    processes = side_by_side(runs, free_port(), "--out", "lost", "--set", "pretrain.steps=100000")
    wait_for(runs / "lost" / "log.jsonl", '"step"', processes)
    processes[1].kill()
    assert "--resume" in finish(processes[0]) and processes[0].returncode == 1
    finish(processes[1])


def test_hosts_need_a_launcher(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    launchers = ("SLURM", "OMPI", "JAX_COORD")
    alone = {name: value for name, value in environment().items() if not name.startswith(launchers)}
    process = start(["-m", "wavefoundry", "run", "study.toml", "--out", "run", "--hosts"], tmp_path, alone)
    assert "do not meet" in finish(process) and process.returncode == 2 and not (tmp_path / "run").exists()
