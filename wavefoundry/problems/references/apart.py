"""Calculations in a process of their own: they can be stopped at any time, and what they break is not ours.

Memory, threads and processor time are then those of the calculation alone.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

GRACE = 30.0
"""Seconds after its time that a calculation may go on, to put together what it has."""


class Ended(NamedTuple):
    """How a calculation ended: what it found, or why there is nothing; processor seconds. Stopped: both are missing."""

    found: dict[str, Any] | None
    why: str | None
    cpu_seconds: float


def run(job: dict[str, Any], seconds: float, stopping: Callable[[], bool], say: Callable[[str], None]) -> Ended:
    """Do a job in another process and wait for it.

    Args:
        job: JSON values for ``worker``. seconds: its time. stopping: whether to leave at once. say: hears of it.
    """
    root = str(Path(__file__).resolve().parents[3])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    # threads that wait for each other actively cost more than they gain on small blocks
    environment = {"OMP_NUM_THREADS": "1"} | os.environ | {"PYTHONPATH": path}
    before = _children()
    command = [sys.executable, "-m", "wavefoundry.problems.references.worker"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_feed, args=(process, json.dumps(job), lines), daemon=True).start()
    last: dict[str, Any] = {}
    kept: dict[str, Any] | None = None
    begin, stopped, late = time.monotonic(), False, False
    while True:
        try:
            line = lines.get(timeout=0.2)
        except queue.Empty:
            stopped, late = stopping(), time.monotonic() - begin > seconds + GRACE
            if stopped or late:
                break
            continue
        if line is None:
            break
        last = json.loads(line)
        kept = last.get("kept", kept)
        if "say" in last:
            say(last["say"])
    process.kill()
    process.wait()
    spent = _children() - before
    if "found" in last:
        return Ended(last["found"], None, spent)
    if stopped:
        return Ended(None, None, spent)
    if late and kept is not None:
        return Ended(kept, None, spent)
    if late:
        return Ended(None, f"stopped after {(seconds + GRACE) / 60:.3g} min (reference.minutes)", spent)
    ended = f"its process ended with code {process.returncode}, killed for want of memory perhaps"
    return Ended(None, last.get("why") or ended, spent)


def _feed(process: subprocess.Popen[str], job: str, lines: queue.Queue[str | None]) -> None:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(job)
        process.stdin.close()
        for line in process.stdout:
            lines.put(line)
    except (BrokenPipeError, ValueError, OSError):
        pass
    lines.put(None)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
