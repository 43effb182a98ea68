"""A page that follows a run while it works: curves, the diagram filling in, flags. On this machine alone, no network.

The page asks this process for the state of the run, which is read from the log; the run itself is not touched.
"""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from wavefoundry.core.errors import InputError
from wavefoundry.core.values import known, plain
from wavefoundry.reports import lines, verdicts
from wavefoundry.reports.followed import ROWS, UNDER_WAY, Followed, Follower

ADDRESS = "127.0.0.1"
MOST = 400
"""Points of a curve that are sent; of more, every n-th."""
SAID, RECENT = 14, 200
"""Lines of the log that are shown, and events among which they are looked for."""
SEED = "run"
"""Column of the seed that something comes from."""
VALUES = ("energy", "loss")
"""What a step may report, the first of them that is a number."""
PAGE = Path(__file__).parent / "templates" / "watch.html"


def state(name: str, runs: Sequence[Followed]) -> dict[str, Any]:
    """What the page shows of a run, as JSON values.

    Args:
        name: of its directory. runs: itself, and those of its seeds.
    """
    whole = runs[0]
    parts = [(run.name, event) for run in runs for event in _parts(run.events)]
    points = [event for _, event in parts if _is(event, "point")]
    rows = [({SEED: name} if name else {}) | ROWS[event["event"]][1](event) for name, event in parts]
    warnings = [_said(run.name, event.get("text")) for run in runs for event in run.events if _is(event, "warning")]
    busy = [run for run in runs[1:] if run.status == UNDER_WAY] or [whole]
    left = next((e["seconds_left"] for e in reversed(whole.events) if known(e.get("seconds_left"))), None)
    return {
        "name": name,
        "status": whole.status,
        "now": "; ".join(filter(None, map(_now, busy))) or "nothing has been reported yet",
        "left": lines.time_left(left) if whole.status == UNDER_WAY else "",
        "curves": [curve for run in runs for curve in curves(run.events, run.name)],
        "diagram": diagram(points),
        "columns": list(dict.fromkeys(key for row in rows for key, cell in row.items() if cell not in ("", "n/a"))),
        "rows": rows,
        "counted": verdicts.counted(points) if points else "",
        "warnings": warnings[-5:],
        "log": [text for run in (whole, *(run for run in busy if run is not whole)) for text in _lines(run)][-SAID:],
    }


def _said(name: str, text: Any) -> str:
    """A line, with the seed it comes from."""
    return f"{name}: {text}" if name and text else str(text or "")


def _is(event: dict[str, Any], kind: str) -> bool:
    return event.get("event") == kind


def _now(run: Followed) -> str:
    """The newest line of a run that is no warning."""
    told = (lines.event_line(event) for event in reversed(run.events[-RECENT:]) if not _is(event, "warning"))
    return _said(run.name, next(filter(None, told), ""))


def _lines(run: Followed) -> list[str]:
    """The last lines of a run."""
    return [_said(run.name, text) for event in run.events[-RECENT:] if (text := lines.event_line(event))]


def _parts(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is done, by the kind of study; of what was done twice under a number the last."""
    done = [event for event in events if event.get("event") in ROWS]
    return list({(event["event"], event.get(ROWS[event["event"]][0])): event for event in done}.values())


def curves(events: Sequence[dict[str, Any]], name: str = "") -> list[dict[str, Any]]:
    """Energy or loss against the step, one curve for every phase; of a step done twice the later value.

    Args:
        events: of a run. name: of its seed, which the names of the curves begin with.
    """
    found: dict[str, dict[float, float]] = {}
    for event in events:
        if not _is(event, "step") or not known(event.get("step")):
            continue
        value = next((event[key] for key in VALUES if known(event.get(key))), None)
        if value is not None:
            found.setdefault(str(event.get("phase", "steps")), {})[event["step"]] = float(value)
    return [_curve(_said(name, phase), steps) for phase, steps in found.items() if len(steps) > 1]


def _curve(phase: str, steps: dict[float, float]) -> dict[str, Any]:
    order = sorted(steps)
    kept = order[:: max(1, math.ceil(len(order) / MOST))]
    return {"name": phase, "x": kept, "y": [steps[step] for step in kept]}


def diagram(points: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Energies per site over the coupling that varies; None where not one alone does."""
    names = list(dict.fromkeys(name for point in points for name in point.get("couplings") or {}))
    varied = [name for name in names if len({(p.get("couplings") or {}).get(name) for p in points}) > 1]
    if len(varied) != 1:
        return None
    found = []
    for point in points:
        value, error = lines.per_site(point)
        x = (point.get("couplings") or {}).get(varied[0])
        if value is None or not known(x):
            continue
        exact, energy = point.get("exact_energy"), point.get("energy")
        per_site = value / energy if known(energy) and energy else None
        found.append({
            "x": x, "y": value, "error": error, "word": verdicts.word(point),
            "exact": exact * per_site if known(exact) and per_site is not None else None,
        })  # fmt: skip
    return {"axis": varied[0], "points": sorted(found, key=lambda point: point["x"])}


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """What answers the page, on this machine alone; ``serve_forever`` starts it.

    Args:
        folder: run directory. port: 0 takes a free one.

    Raises:
        InputError: no run, or a port that is taken.
    """
    follower, name = Follower(folder), folder.resolve().name

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            names = {f"{name}:{self.server.server_address[1]}" for name in (ADDRESS, "localhost")}  # type: ignore[index]
            if self.headers.get("Host") not in names:  # another site that has got a name for this address
                self.send_error(403)
            elif self.path == "/":
                self._answer(PAGE.read_bytes(), "text/html; charset=utf-8")
            elif self.path == "/state.json":
                self._answer(json.dumps(plain(state(name, follower.look()))).encode(), "application/json")
            else:
                self.send_error(404)

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *HEADERS):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Requests of the page are no news."""

    try:
        return ThreadingHTTPServer((ADDRESS, port), Handler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise InputError(f"port {port} cannot be used", where="watch --port", why=error.strerror or "") from None
    except OverflowError:
        raise InputError(f"port {port} cannot be used", where="watch --port", why="ports go from 0 to 65535") from None


HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:",
    ),
)
"""The page may ask this process, and nobody else."""
