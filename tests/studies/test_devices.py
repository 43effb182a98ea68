"""A CPU that shows itself as several devices: every study runs there as well."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

STUDY = """
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 8 }
[wavefunction]
patch = 2
width = 8
layers = 1
heads = 2
[pretrain]
at = { h = 1.0 }
steps = 4
block = 2
walkers = 64
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
"""


def test_a_wave_of_several_points_runs_on_two_devices(tmp_path):
    """Batched factorisations inside a loop used to wait for each other for ever."""
    (tmp_path / "two.toml").write_text(STUDY)
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    command = [sys.executable, "-m", "wavefoundry", "run", "two.toml", "--out", "run", "--quiet"]
    environment = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        shown, _ = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        process.communicate()
        pytest.fail("the study hangs on two devices")
    # so short a training is refused (3), but everything has been computed
    assert process.returncode in (0, 3), shown.decode()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["status"] == "complete" and len(summary["points"]) == 2
    assert summary["hardware"]["devices"] == 2
