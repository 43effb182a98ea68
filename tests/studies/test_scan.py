"""What a scan says where points are refused, and where an order parameter vanishes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from wavefoundry.studies.diagram.transitions import scan_of, transitions_of


def record(h: float, energy: float = -1.0, slope: float = 0.0, m2: float | None = None, verdict: str = "trusted"):
    """One point of a scan along h, without error bars to speak of."""
    moments = {} if m2 is None else {"m2": {"value": m2, "error": 0.0}, "m4": {"value": m2**2, "error": 0.0}}
    return {
        "couplings": {"J": 1.0, "h": h}, "energy": energy, "energy_error": 1e-6, "verdict": verdict, "variance": 1e-9,
        "v_score": 1e-9, "terms": {"h": {"value": slope, "error": 1e-6}}, "observables": moments,
    }  # fmt: skip


def rows_of(records: list[dict[str, Any]], **more: Any) -> dict[str, dict[str, Any]]:
    summary = {"points": records, "system": {"sites": 8}, **more}
    rows = transitions_of(scan_of(records), summary, None)["transitions"]
    json.dumps(rows, allow_nan=False)
    return {row["method"]: row for row in rows}


def test_refused_points_are_told_of():
    fields = [0.4, 0.5, 0.6, 0.7, 0.8]
    rows = rows_of([record(h, verdict="trusted" if h < 0.65 else "refused") for h in fields])
    assert rows["crossing"]["why"] == "too few points: 3, 4 are needed; 2 refused points are left out"
    rows = rows_of([record(h, verdict="refused") for h in fields])
    assert rows["order-parameter"]["why"] == "no usable points; 5 refused points are left out"


def test_a_maximum_beside_refused_points_may_lie_anywhere_between_them():
    """-d2E/dh2 is largest between 0.6 and 1.0; 0.8, left out, halves the spacing when it is there."""
    fields, slopes = [0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.1, 1.2], [0.0, -0.1, -0.3, -0.7, -1.9, -3.3, -3.5, -3.6]
    sound = [record(h, -1.0, g) for h, g in zip(fields, slopes, strict=True)]
    less = [one | ({"verdict": "refused"} if one["couplings"]["h"] == 0.8 else {}) for one in sound]
    full, gap = rows_of(sound)["curvature"], rows_of(less)["curvature"]
    assert full["verdict"] == gap["verdict"] == "seen"
    assert gap["error"] > 0.4 / np.sqrt(12) > full["error"] and "points between 0.6 and 1 are refused" in gap["why"]


def test_an_order_parameter_that_vanishes_has_no_binder_ratio():
    rows = rows_of([record(h, m2=0.0) for h in (0.4, 0.5, 0.6, 0.7, 0.8)])
    assert rows["binder"]["verdict"] == "not seen" and "vanishes by symmetry" in rows["binder"]["why"]
