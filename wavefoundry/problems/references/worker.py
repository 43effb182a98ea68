"""The process that exact diagonalisation and DMRG run in: one JSON object in, one a line out, see ``apart``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from wavefoundry.core.errors import WavefoundryError
from wavefoundry.problems.references import dmrg, ed, spins

QUIET = 10.0
"""Seconds between two reports."""


def main() -> None:
    """Read a job from standard input, do it, and write what it gave."""
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer

    def tell(**line: Any) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    said = time.monotonic()

    def report(text: str) -> None:
        nonlocal said
        if time.monotonic() - said > QUIET:
            said = time.monotonic()
            tell(say=text)

    job = json.loads(sys.stdin.read())
    try:
        found = _done(job, report, lambda found: tell(kept=found))
    except WavefoundryError as error:
        tell(why=" ".join(str(error).split()))
        return
    except (Exception, MemoryError) as error:  # noqa: BLE001 - a comparison must not cost the run it belongs to
        tell(why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return
    tell(found=found | {"cpu_seconds": time.process_time(), "memory_mib": _peak()})


def _peak() -> float | None:
    """Peak memory of this process in MiB; what ``getrusage`` says counts the process that started it too."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return round(int(lines["VmHWM"].split()[0]) / 1024, 1)
    except (OSError, KeyError, ValueError):
        return None


def _done(job: dict[str, Any], report: spins.Report, keep: spins.Keep) -> dict[str, Any]:
    system = spins.restored(job["spins"])
    memory, seconds = job["memory"], job["seconds"]
    if job["method"] == "ed":
        return ed.solve(system, memory, seconds, report, keep)
    return dmrg.solve(system, job["bonds"], job["sweeps"], memory, seconds, report, keep)


if __name__ == "__main__":
    main()
