"""A page that follows a run while it works: curves, the diagram filling in, flags. On this machine alone, no network.

The page asks this process for the state of the run, which is read from the log; the run itself is not touched.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

from wavefoundry.artifacts import files
from wavefoundry.artifacts.layout import SUMMARY
from wavefoundry.artifacts.seal import is_run_folder
from wavefoundry.core.errors import InputError, WavefoundryError
from wavefoundry.core.values import known, plain
from wavefoundry.reports import lines, verdicts

LOG = "log.jsonl"
ADDRESS = "127.0.0.1"
MOST = 400
"""Points of a curve that are sent; of more, every n-th."""
SAID = 14
"""Lines of the log that are shown."""
VALUES = ("energy", "loss")
"""What a step may report, the first of them that is a number."""
PAGE = Path(__file__).parent / "templates" / "watch.html"


class Follower:
    """The events of a run that is under way; what was appended since the last look is read, no more.

    Args:
        folder: run directory.

    Raises:
        InputError: there is no run.
    """

    def __init__(self, folder: Path):
        if not is_run_folder(folder):
            fix = "a directory that 'wavefoundry run' writes to"
            raise InputError(f"there is no run in {folder}", where="watch", fix=fix)
        self.folder, self.events = folder, list[dict[str, Any]]()
        self._read, self._lock = 0, Lock()

    def state(self) -> dict[str, Any]:
        """What the page shows, as JSON values."""
        with self._lock:
            self._look()
            return state(self.folder.resolve().name, self.events, self._status())

    def _look(self) -> None:
        path = self.folder / LOG
        if not os.path.lexists(path):
            return
        with os.fdopen(files.open_plain(path), "rb") as stream, files.storage("read", path):
            if os.fstat(stream.fileno()).st_size < self._read:  # cut back by a run that goes on from a checkpoint
                self.events, self._read = [], 0
            stream.seek(self._read)
            data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        self.events += _decoded(whole, path)

    def _status(self) -> str:
        """How the run has ended; it is read for that alone, the numbers are those of the log."""
        path = self.folder / SUMMARY
        if not path.is_file():
            return "under way"
        try:
            found = files.decode_json(files.read_plain(path), path)
        except WavefoundryError:
            return "being written"
        return str(found.get("status", "ended")) if isinstance(found, dict) else "damaged"


def _decoded(data: bytes, path: Path) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        try:
            event = files.decode_json(line, path)
        except WavefoundryError:  # a torn line is no reason to stop looking
            continue
        if isinstance(event, dict):
            yield event


def state(name: str, events: list[dict[str, Any]], status: str) -> dict[str, Any]:
    """What the page shows of a run.

    Args:
        name: of its directory. events: of its log. status: how it ended, or "under way".
    """
    points = {event.get("index"): event for event in events if event.get("event") == "point"}
    rows, recent = _rows(events), events[-200:]
    seen = [text for event in recent if (text := lines.event_line(event))]
    doing = [text for event in recent if event.get("event") != "warning" and (text := lines.event_line(event))]
    left = next((e["seconds_left"] for e in reversed(events) if known(e.get("seconds_left"))), None)
    return {
        "name": name,
        "status": status,
        "now": doing[-1] if doing else "nothing has been reported yet",
        "left": lines.time_left(left) if status == "under way" else "",
        "curves": curves(events),
        "diagram": diagram(list(points.values())),
        "columns": list(dict.fromkeys(key for row in rows for key, cell in row.items() if cell not in ("", "n/a"))),
        "rows": rows,
        "counted": verdicts.counted(points.values()) if points else "",
        "warnings": [str(event.get("text", "")) for event in events if event.get("event") == "warning"][-5:],
        "log": seen[-SAID:],
    }


def curves(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Energy or loss against the step, one curve for every phase; of a step done twice the later value."""
    found: dict[str, dict[float, float]] = {}
    for event in events:
        if event.get("event") != "step" or not known(event.get("step")):
            continue
        value = next((event[key] for key in VALUES if known(event.get(key))), None)
        if value is not None:
            found.setdefault(str(event.get("phase", "steps")), {})[event["step"]] = float(value)
    return [_curve(phase, steps) for phase, steps in found.items() if len(steps) > 1]


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


def _rows(events: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The table of what is done, by the kind of study."""
    from wavefoundry.reports import molecules_lines, tickets_lines

    kinds = {"point": ("index", lines.point_cells), "ticket": ("round", tickets_lines.event_cells)}
    kinds["molecule"] = ("index", molecules_lines.event_cells)
    found: dict[tuple[str, Any], dict[str, str]] = {}
    for event in events:
        kind = str(event.get("event"))
        if kind in kinds:
            key, cells = kinds[kind]
            found[kind, event.get(key)] = cells(event)
    return list(found.values())


def server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """What answers the page, on this machine alone; ``serve_forever`` starts it.

    Args:
        folder: run directory. port: 0 takes a free one.

    Raises:
        InputError: no run, or a port that is taken.
    """
    follower = Follower(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            names = {f"{name}:{self.server.server_address[1]}" for name in (ADDRESS, "localhost")}  # type: ignore[index]
            if self.headers.get("Host") not in names:  # another site that has got a name for this address
                self.send_error(403)
            elif self.path == "/":
                self._answer(PAGE.read_bytes(), "text/html; charset=utf-8")
            elif self.path == "/state.json":
                self._answer(json.dumps(plain(follower.state())).encode(), "application/json")
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
