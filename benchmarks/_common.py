"""What every benchmark shares: the machine, the clock, the command line, the tables and the result files.

CPU seconds are those of the whole process, all threads. A result is a median over repetitions; compilation happens in
an untimed first call and is reported apart.
"""

from __future__ import annotations

import os

# Before JAX and NumPy are loaded. The dense solves are small: OpenBLAS threads spin and only add CPU seconds, for
# NetKet as much as for us. No compile cache: compile times are part of what is reported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
os.environ["WAVEFOUNDRY_CACHE"] = "off"

import argparse
import datetime
import json
import math
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

RESULTS = Path(__file__).resolve().parent / "results"
FILES = ("out", "bases", "keep", "deepqmc", "neuralop")
"""Options that name files, folders and programs: they say nothing about the numbers."""


class Seconds(NamedTuple):
    """CPU and wall seconds of one call."""

    cpu: float
    wall: float

    def __sub__(self, other: Seconds) -> Seconds:  # type: ignore[override]
        return Seconds(self.cpu - other.cpu, self.wall - other.wall)


class Timing(NamedTuple):
    """Medians over repetitions; ``first`` are the two calls before them, which compile (their run time included)."""

    cpu: float
    wall: float
    first: Seconds
    spread: float  # (largest - smallest) / median of the CPU seconds
    repeats: int

    def record(self) -> dict[str, Any]:
        """For a result file."""
        return {
            "cpu_seconds": self.cpu,
            "wall_seconds": self.wall,
            "compile_cpu_seconds": max(0.0, self.first.cpu - 2 * self.cpu),
            "relative_spread": self.spread,
            "repeats": self.repeats,
        }


class PeakFlops(NamedTuple):
    """Largest rate of floating-point operations seen in a matrix product."""

    per_cpu_second: float
    per_wall_second: float


def clock() -> Seconds:
    """Now, for differences."""
    return Seconds(time.process_time(), time.perf_counter())


def timed(call: Callable[[], Any]) -> tuple[Any, Seconds]:
    """Run once, wait for the result, and say what it cost."""
    start = clock()
    value = jax.block_until_ready(call())
    return value, clock() - start


def race(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Timing]:
    """Time several calls in turn, so that a change in the machine's load meets all of them.

    Args:
        calls: functions by name. The first two calls of each may compile and are kept apart.
        repeats: timed calls of each.
    """

    def twice(call: Callable[[], Any]) -> Any:
        jax.block_until_ready(call())
        return call()

    first = {name: timed(lambda call=call: twice(call))[1] for name, call in calls.items()}
    seconds: dict[str, list[Seconds]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(timed(call)[1])
    return {name: _median(first[name], seconds[name]) for name in calls}


def _median(first: Seconds, seconds: Sequence[Seconds]) -> Timing:
    cpu = [s.cpu for s in seconds]
    middle = statistics.median(cpu)
    spread = (max(cpu) - min(cpu)) / middle if middle > 0 else 0.0
    return Timing(middle, statistics.median(s.wall for s in seconds), first, spread, len(cpu))


def measure(call: Callable[[], Any], repeats: int) -> Timing:
    """Time one call, see ``race``."""
    return race({"": call}, repeats)[""]


def peak_flops(dtype: str, size: int = 1536, repeats: int = 5) -> PeakFlops:
    """Rate of a large matrix product in this process, now: the yardstick for the share of the peak."""
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(jnp.matmul)
    timed(lambda: product(a, a))
    best = [timed(lambda: product(a, a))[1] for _ in range(repeats)]
    flops = 2.0 * size**3
    return PeakFlops(flops / min(s.cpu for s in best), flops / min(s.wall for s in best))


def vit_flops(sites: int, inputs: int, width: int, layers: int, hidden: int) -> float:
    """Floating-point operations of one forward pass of the transformer: matrix products only.

    Args:
        sites: spins. inputs: spins per patch. width: features d. layers: blocks. hidden: outputs of the head (d for a
            real head, 2 d for a complex one).
    """
    n, d = sites // inputs, width
    return 2 * n * inputs * d + layers * (20 * n * d * d + 2 * n * n * d) + 2 * d * hidden


def finite(value: Any, what: str) -> float:
    """The real part as a float; a benchmark with a broken energy has no result.

    Raises:
        SystemExit: the value is not finite.
    """
    number = float(getattr(value, "real", value))
    if not math.isfinite(number):
        raise SystemExit(f"error: {what} is not finite ({number}): this run compares nothing and is discarded")
    return number


def hardware() -> dict[str, Any]:
    """Processor, cores and memory of this machine."""
    model = platform.processor() or platform.machine()
    memory = None
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = found.group(1).strip() if found else model
        found = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
        memory = round(int(found.group(1)) / 2**20, 1) if found else None
    except OSError:
        pass  # not Linux
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": " ".join(model.split()), "cores": cores, "memory_gib": memory, "system": platform.system()}


def versions() -> dict[str, str]:
    """Versions of what is compared."""
    from wavefoundry import __version__

    names = ("netket", "jax", "jaxlib", "flax", "equinox", "numpy", "scipy")
    return {"wavefoundry": __version__, "python": platform.python_version()} | {
        name: metadata.version(name) for name in names
    }


def command() -> str:
    """The command line without the options of ``FILES``."""
    words = iter(sys.argv[1:])
    files = [f"--{name}" for name in FILES]
    kept = [w for w in words if w not in files or not next(words, None)]
    return " ".join([Path(sys.argv[0]).name, *kept])


def save(name: str, arguments: argparse.Namespace, results: Any) -> Path | None:
    """Write ``results/<name>-<hardware>.json`` with everything needed to judge the numbers.

    Quick runs mean nothing and are written only where ``--out`` says.
    """
    if arguments.quick and not arguments.out:
        print("\nquick run: no result file")
        return None
    machine = hardware()
    slug = re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower()).strip("-")
    record = {
        "benchmark": name,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command(),
        "hardware": machine,
        "load_average_at_end": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "versions": versions(),
        "settings": {key: value for key, value in vars(arguments).items() if key not in FILES},
        "results": results,
    }
    path = Path(arguments.out) if arguments.out else RESULTS / f"{name}-{slug}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n")
    print(f"\nwritten: {path}")
    return path


def parser(description: str | None) -> argparse.ArgumentParser:
    """Command line with the options every benchmark has."""
    found = argparse.ArgumentParser(description=(description or "").split("\n\n")[0])
    found.add_argument("--quick", action="store_true", help="tiny sizes: does it run? The numbers mean nothing")
    found.add_argument("--seed", type=int, default=0, help="seed of weights and walkers (default 0)")
    found.add_argument("--width", type=int, default=32, help="features of the transformer (default 32)")
    found.add_argument("--layers", type=int, default=2, help="blocks of the transformer (default 2)")
    found.add_argument("--out", help="result file (default benchmarks/results/<name>-<hardware>.json)")
    return found


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table: text to the left, numbers to the right, three significant digits."""
    body = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in [list(columns), *body]) for i in range(len(columns))]
    left = [not rows or isinstance(rows[0][i], str) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        pairs = zip(cells, widths, left, strict=True)
        return "  ".join(cell.ljust(w) if is_text else cell.rjust(w) for cell, w, is_text in pairs).rstrip()

    print(f"\n{title}\n{line(list(columns))}\n{'  '.join('-' * w for w in widths)}")
    for cells in body:
        print(line(cells))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool | str | int):
        return str(value)
    return f"{value:.3g}"


def say(text: str) -> None:
    """A line of progress, at once."""
    print(text, flush=True)
