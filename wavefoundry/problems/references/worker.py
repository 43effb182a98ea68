"""The process that exact diagonalisation and DMRG run in: one JSON object in, one a line out, see ``apart``."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

from wavefoundry.core.errors import WavefoundryError
from wavefoundry.problems.references import dmrg, ed, spins


def main() -> None:
    """Read a job from standard input, do it, and write what it gave."""
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer

    def tell(**line: Any) -> None:
        out.write(json.dumps(line) + "\n")
        out.flush()

    job = json.loads(sys.stdin.read())
    try:
        found = _done(job, lambda text: tell(say=text))
    except WavefoundryError as error:
        tell(why=" ".join(str(error).split()))
        return
    except (Exception, MemoryError) as error:  # noqa: BLE001 - a comparison must not cost the run it belongs to
        tell(why=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    tell(found=found | {"cpu_seconds": time.process_time(), "memory_mib": round(peak, 1)})


def _done(job: dict[str, Any], report: spins.Report) -> dict[str, Any]:
    system = spins.restored(job["spins"])
    memory, seconds = job["memory"], job["seconds"]
    if job["method"] == "ed":
        return ed.solve(system, memory, seconds, report)
    return dmrg.solve(system, job["bonds"], job["sweeps"], memory, seconds, report)


if __name__ == "__main__":
    main()
