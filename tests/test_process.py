"""The command line as a process: early Ctrl-C, outputs that cannot be written, directories in use."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wavefoundry.artifacts.spec import dumps, loads, template
from wavefoundry.artifacts.store import RunDirectory

COMMAND = [sys.executable, "-m", "wavefoundry"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}


@pytest.mark.parametrize("words", [["init"], ["--help"], ["inspect", "."], ["inspect", ".", "--json"]])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_an_output_that_is_full_is_one_line(words, tmp_path):
    (tmp_path / "summary.json").write_text('{"schema": 1, "kind": "diagram", "status": "complete", "points": []}')
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*COMMAND, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=ENVIRONMENT,
            timeout=60,
            check=False,
        )
    lines = [line for line in done.stderr.decode().splitlines() if not line.startswith("warning: ")]
    assert done.returncode == 74 and lines == ["error: cannot write to standard output: No space left on device"]


EARLY = """
import sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "wavefoundry.cli":
            print("here", end="", flush=True)

sys.meta_path.insert(0, Watch())
from wavefoundry.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.1])
def test_an_interrupt_while_the_program_is_loaded_is_quiet(wait, tmp_path):
    command, pipe = [sys.executable, "-c", EARLY, "demo", "nothing"], subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=tmp_path, env=ENVIRONMENT)
    assert process.stdout is not None and process.stdout.read(4) == b"here"
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1].decode()
    assert "Traceback" not in error and process.returncode in (2, 130)


@pytest.mark.parametrize("option", ["--resume", "--overwrite"])
def test_a_directory_in_use_is_refused_before_the_array_libraries_are_loaded(option, tmp_path):
    (tmp_path / "study.toml").write_text(template("diagram"))
    spec = loads(template("diagram"))
    code = """
import sys
from wavefoundry.cli import main
code = main(sys.argv[1:])
assert not {"jax", "netket"} & set(sys.modules)
sys.exit(code)
"""
    with RunDirectory.create(tmp_path / "run", dumps(spec)):
        done = subprocess.run(
            [sys.executable, "-c", code, "run", "study.toml", "--out", "run", option],
            capture_output=True, cwd=tmp_path, env=ENVIRONMENT, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 75 and f"in use by process {os.getpid()}".encode() in done.stderr
