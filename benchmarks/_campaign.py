"""A campaign of faults against whole runs, as their users meet them: processes killed, stopped, files that change.

Every kind of study has a small run here. A campaign breaks it off, goes on with ``--resume``, and compares what it
ends with to an undisturbed run: records, arrays, logs.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import wavefoundry as wf
from wavefoundry.artifacts.bundles import read_bundle
from wavefoundry.cli import main

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "wavefoundry"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
OVER = (0, 3)
"""Exit codes of a run that has come to its end: studies as small as these may give numbers that are refused."""
APART = re.compile(r"cost|seconds|time|command|finished|words|hardware|runs_per_second|ms_per_frame|faster|speed")
"""Keys that hold what a repetition costs, in numbers or in words, or is called."""

STUDIES = {
    "diagram": """
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 10 }
[wavefunction]
width = 8
layers = 1
heads = 2
[pretrain]
at = { h = 1.0 }
steps = 60
walkers = 64
block = 2
sampling = "metropolis"
[adapt]
method = "METHOD"
points = { h = [0.8, 0.9, 1.1, 1.2] }
samples = 512
full_steps = 20
[evaluate]
samples = 512
[output]
checkpoint_every = 10
""",
    "tickets": """
kind = "tickets"
[system]
model = "ising"
lattice = { kind = "chain", size = 8 }
couplings = { h = 1.0 }
[wavefunction]
alpha = 2.0
[train]
steps = 200
block = 10
[prune]
fraction = 0.4
steps = 60
stop_at = 12
[isolate]
rounds = 1
seeds = 2
""",
    "molecules": """
kind = "molecules"
[wavefunction]
preset = "small"
[train]
molecules = [{ atoms = "H 0 0 0; H 0 0 1.4" }]
steps = 20
hf_steps = 10
walkers = 32
block = 2
burn_in = 10
[adapt]
molecules = [{ atoms = "H 0 0 0; H 0 0 1.6" }]
method = "full"
steps = 10
[evaluate]
samples = 512
chains = 32
burn_in = 10
[output]
checkpoint_every = 5
""",
    "emulation": """
kind = "emulation"
[grid]
length = 80.0
n = 256
[curriculum]
preset = "none"
frames = 20
[[curriculum.items]]
name = "a"
potential = { kind = "barrier", height = 3.0, width = 5.0 }
packet = { x0 = 34.0, s0 = 2.0, e0 = 4.0 }
[[curriculum.items]]
name = "b"
potential = { kind = "barrier", height = 6.0, width = 5.0 }
packet = { x0 = 33.0, s0 = 1.5, e0 = 2.0 }
[[students]]
kind = "unitary"
steps = 200
polish = 2
[evaluate]
frames = 20
[[evaluate.cases]]
name = "c"
potential = { kind = "barrier", height = 2.0, width = 3.0 }
packet = { x0 = 25.0, s0 = 2.0, e0 = 3.0 }
[output]
animations = 1
""",
}
STUDIES["diagram, full"] = STUDIES["diagram"].replace("METHOD", "full")
STUDIES["diagram"] = STUDIES["diagram"].replace("METHOD", "head")
STUDIES["diagram, symmetric, two devices"] = (
    STUDIES["diagram"].replace("[evaluate]", 'symmetry = ["translations", "spin-flip"]\n[evaluate]')
    + "[run]\ndevices = 2\n"
)
STUDIES["diagram, bases and rivals"] = """
kind = "diagram"
baselines = ["warm-chain", "random-backbone"]
[system]
model = "j1j2"
lattice = { kind = "chain", size = 8 }
[wavefunction]
patch = 2
width = 8
layers = 1
heads = 2
symmetry = ["point-group", "spin-flip"]
[pretrain]
at = { J2 = [0.2, 0.8] }
together = false
steps = 40
walkers = 64
block = 5
[adapt]
method = "auto"
points = { J2 = [0.1, 0.4, 0.6, 0.9] }
samples = 256
rounds = 2
full_steps = 10
most_steps = 20
[evaluate]
samples = 512
chains = 32
[reference]
method = ["lanczos", "ed"]
[output]
checkpoint_every = 10
"""


class Ended(NamedTuple):
    """How a process ended. seconds: of its processors, from its first line of log to its end."""

    code: int
    seconds: float
    error: str


def processor_seconds(pid: int) -> float:
    """What a process has had of the processors, which does not depend on who else uses them; wall seconds elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def prepare(kind: str, folder: Path, longer: int = 1) -> Path:
    """The study file of a kind, its steps so many times as many."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.toml"
    path.write_text(re.sub(r"^(\w*steps = )(\d+)", lambda m: f"{m[1]}{longer * int(m[2])}", STUDIES[kind], flags=re.M))
    return path


def run(study: Path, out: Path, *, after: float = math.inf, signum: int = signal.SIGKILL) -> Ended:
    """Start or resume a run; send it a signal so many processor seconds after the first event of this session."""
    log, begun = out / "log.jsonl", out.exists()
    size = log.stat().st_size if log.exists() else 0
    command = [*COMMAND, "run", str(study), "--out", str(out), "--quiet", *(["--resume"] if begun else [])]
    begin = spent = 0.0
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None:
            time.sleep(0.02)
            spent = processor_seconds(process.pid)
            if not begin and log.exists() and log.stat().st_size != size:
                begin = spent
            if begin and spent - begin > after:
                process.send_signal(signum)
                process.wait()
        errors.seek(0)
        return Ended(process.returncode, spent - begin, errors.read().decode())


def results(out: Path) -> dict[str, Any]:
    """All that a run ends with, but for costs and names: records, arrays, what its log says of finished parts.

    Blocks of steps are shorter where a stop was asked for, so the log has to hold as many trainings, each of growing
    steps up to the last one, whatever their means.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items() if not APART.search(key)}
        return [plain(inner) for inner in value] if isinstance(value, list) else value

    found: dict[str, Any] = {"summary": plain(json.loads((out / "summary.json").read_text()))}
    for model in sorted((out / "artifacts").iterdir()):
        arrays, _ = read_bundle(model)
        found |= {f"{model.name}/{name}": (str(a.dtype), a.shape, a.tobytes()) for name, a in sorted(arrays.items())}
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found["log"] = [plain(event) for event in lines if event["event"] in ("point", "ticket", "molecule")]
    trainings: dict[str, list[int]] = {}
    for event in lines:
        if event["event"] == "step":
            name = ", ".join(str(event[key]) for key in ("task", "base", "sector", "phase", "coupling") if key in event)
            trainings.setdefault(name, []).append(event["step"])
    found["steps"] = {
        name: (steps[-1], sum(after <= before for before, after in itertools.pairwise(steps)))
        for name, steps in trainings.items()
    }
    return found


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Names of what differs between two results."""
    return [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]


def killed(study: Path, out: Path, seconds: float, rng: random.Random, most: int = 30) -> int:
    """Kill a run at random times, again and again, until it ends by itself; gives the number of kills."""
    for kills in range(most):
        ended = run(study, out, after=rng.uniform(0.0, seconds))
        if ended.code in OVER:
            return kills
        assert ended.code == -signal.SIGKILL, ended.error
    ended = run(study, out)
    assert ended.code in OVER, ended.error
    return most


def leased(study: Path, out: Path, lease: float, most: int = 60) -> int:
    """Run in short leases, each stopped so many processor seconds after its first event; gives their number."""
    for leases in range(1, most + 1):
        ended = run(study, out, after=lease, signum=signal.SIGTERM)
        if ended.code in OVER:
            return leases
        # after the run itself, while the report is written, a signal ends the process at once: nothing is lost by it
        assert ended.code in (128 + signal.SIGTERM, -signal.SIGTERM), (ended.code, ended.error)
    raise AssertionError(f"not ended after {most} leases of {lease} s")


def readers(study: Path, out: Path) -> dict[str, Callable[[], bool]]:
    """Everything that reads a finished run: by name, whether it refuses the run as it is now."""
    resume = [
        "run",
        str(study),
        "--resume",
        "--quiet",
        *(["--devices", "1"] if "[run]" in study.read_text() else []),
        "--out",
    ]
    commands = {"verify": ["verify"], "inspect": ["inspect"], "report": ["report"], "--resume": resume}

    def opened() -> bool:
        try:
            wf.open(out)
        except wf.WavefoundryError:
            return True
        return False

    def said(words: list[str]) -> bool:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return main([*words, str(out)]) in (2, 4)

    return {name: functools.partial(said, words) for name, words in commands.items()} | {"wf.open": opened}


def overlooked(study: Path, out: Path, trials: int, rng: random.Random) -> tuple[int, list[str]]:
    """Flip one bit after the other, each undone again, in one file of a finished run after the other.

    Returns:
        The number of flips, at least one for every file, and what did not notice one: reader and file.
    """
    paths = sorted(path for path in out.rglob("*") if path.is_file() and path.stat().st_size)
    found, trials = [], max(trials, len(paths))
    assert not any(refuses() for refuses in readers(study, out).values()), "as long as it is intact"
    for trial in range(trials):
        path = paths[trial % len(paths)]
        kept = flip(path, rng)
        found += [f"{name}: {path.relative_to(out)}" for name, refuses in readers(study, out).items() if not refuses()]
        path.write_bytes(kept)
    return trials, found


def flip(path: Path, rng: random.Random) -> bytes:
    """Turn one bit of a file round; gives what it was."""
    data = path.read_bytes()
    changed = bytearray(data)
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(changed))
    return data
