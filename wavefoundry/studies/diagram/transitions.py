"""What a finished diagram says about a transition without being told of an order; see ``core.transition``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.transition import (
    HALF,
    SIGMAS,
    Curve,
    Found,
    Levels,
    crossing,
    drawn,
    highest,
    jumps,
    peak,
    slopes,
    susceptibility,
)

Record = Mapping[str, Any]
MOST = 64
"""Couplings up to which neighbours are compared."""
METHODS = ("bases", "crossing", "fidelity", "curvature", "order-parameter", "binder")
"""The first of these that sees a transition gives ``transition``: jumps before maxima, and of maxima those first whose
finite-size shift is small."""


class Scan(NamedTuple):
    """A line of points along one coupling: its name, the values, numbers of the records; or why there is none.

    refused: values of the coupling that are left out, their numbers being refused.
    """

    coupling: str | None
    x: np.ndarray
    points: list[int]
    records: list[Record]
    why: str = ""
    refused: tuple[float, ...] = ()


def varied(points: Sequence[Mapping[str, float]]) -> list[str]:
    """Couplings that the points differ in."""
    return [name for name in points[0] if len({point[name] for point in points}) > 1]


def scan_of(records: Sequence[Record]) -> Scan:
    """The usable points of a diagram in the order of the one coupling they differ in."""
    names = varied([record["couplings"] for record in records])
    if len(names) != 1:
        why = f"no scan along one coupling: {', '.join(names)} vary" if names else "all points have the same couplings"
        return Scan(None, np.zeros(0), [], [], why)
    found: dict[float, int] = {}
    for index, record in enumerate(records):
        if record["energy"] is not None and record["verdict"] != "refused":
            found.setdefault(record["couplings"][names[0]], index)
    places = sorted(found)
    points = [found[place] for place in places]
    refused = tuple(sorted({record["couplings"][names[0]] for record in records} - set(places)))
    return Scan(names[0], np.array(places), points, [records[index] for index in points], refused=refused)


def transitions_of(scan: Scan, summary: Record, overlaps: Sequence[Record] | None) -> dict[str, Any]:
    """``transition`` and ``transitions`` of a summary.

    Args:
        scan: its points. summary: so far. overlaps: ``points``, ``fidelity`` and ``error`` of pairs of neighbours, or
            None where they were not computed.
    """
    if scan.coupling is None:
        nothing = Found(None, None, scan.why)
        return {"transition": None, "transitions": [_row(scan, method, nothing) for method in METHODS[1:]]}
    methods, crossings = Methods(scan, summary["system"]["sites"], overlaps), summary.get("crossings") or []
    rows = methods.rows(crossings)
    rows.sort(key=lambda row: METHODS.index(row["method"]))
    best = next((row for row in rows if row["verdict"] == "seen"), None)
    names = ("coupling", "value", "error", "method")
    found = {"transition": None if best is None else {name: best[name] for name in names}, "transitions": rows}
    if crossings:
        found["crossings"] = [one | {"fidelity": methods.same(one)} for one in crossings]
    return found


class Methods:
    """All methods on one scan.

    Args:
        scan: the points. sites: of the lattice. overlaps: as of ``transitions_of``.
    """

    def __init__(self, scan: Scan, sites: int, overlaps: Sequence[Record] | None):
        self.scan, self.sites, x = scan, sites, scan.x
        known = {tuple(row["points"]): row for row in overlaps or []}
        pairs = [known.get(pair) for pair in zip(scan.points, scan.points[1:], strict=False)]
        self.fidelities = self.errors = None
        if overlaps is not None and pairs and all(pairs):
            self.fidelities = np.array([row["fidelity"] for row in pairs if row])
            self.errors = np.array([row["error"] for row in pairs if row])
        term = [record["terms"][scan.coupling] for record in scan.records]
        self.levels = Levels(
            x,
            np.array([record["energy"] for record in scan.records]),
            np.array([record["energy_error"] for record in scan.records]),
            np.array([one["value"] for one in term]),
            np.array([_bar(one) for one in term]),
        )
        self._off = np.array([_infidelity(record) for record in scan.records])
        self.jumps = jumps(self.levels, self.fidelities, self.errors) if len(x) > 1 else []

    def rows(self, crossings: Sequence[Record]) -> list[dict[str, Any]]:
        """What each method finds."""
        rows = [self._of_bases(one) for one in crossings if one["coupling"] == self.scan.coupling]
        rows += [self._crossing(), self._fidelity(), self._curvature()]
        return [*rows, *self._order()]

    def same(self, one: Record) -> float | None:
        """Fidelity of the neighbours that take different bases, where it does not tell their states apart."""
        if one["coupling"] != self.scan.coupling or self.fidelities is None or self.errors is None:
            return None
        low, high = (end[self.scan.coupling] for end in one["between"])
        i = int(np.searchsorted(self.scan.x, (low + high) / 2)) - 1
        if not 0 <= i < len(self.fidelities) or self.fidelities[i] + 3 * self.errors[i] < HALF:
            return None
        return float(self.fidelities[i])

    def _of_bases(self, one: Record) -> dict[str, Any]:
        """A change of the best base; where the states are about the same it is no crossing."""
        if (value := self.same(one)) is not None:
            why = f"the best base changes, the state too little for a crossing: fidelity {value:.3g} of the neighbours"
            return _row(self.scan, "bases", Found(None, None, why))
        return _row(self.scan, "bases", Found(one["value"], one["error"], "energies of two bases cross"))

    def _crossing(self) -> dict[str, Any]:
        levels, x = self.levels, self.scan.x
        curve = Curve(x, levels.slope / self.sites, drawn(levels.slope, levels.slope_error, 1) / self.sites)
        if len(x) < 4:
            found = Found(None, None, f"too few points: {len(x)}, 4 are needed")
        elif not self.jumps:
            found = Found(None, None, "no jump of the slope of the energy between neighbours")
        else:
            i, *others = self.jumps
            why = f"the slope of the energy jumps between {x[i]:.6g} and {x[i + 1]:.6g}"
            why += "".join(f", also between {x[j]:.6g} and {x[j + 1]:.6g}" for j in others)
            found = Found(*crossing(levels, i, self.jumps), why)
        return _row(self.scan, "crossing", found, curve, "slope of the energy per site, dE/dc / N")

    def _fidelity(self) -> dict[str, Any]:
        if self.fidelities is None or self.errors is None:
            return _row(self.scan, "fidelity", Found(None, None, "no overlaps of neighbours were computed"))
        curve = susceptibility(self.scan.x, self.fidelities, self.errors, self._off, 4)
        curve = Curve(curve.x, curve.value / self.sites, curve.draws / self.sites)
        found = self._peak(curve)
        if found.value is not None and self.fidelities[i := highest(curve)] < 3 * self.errors[i]:
            found = Found(None, None, f"neighbours at {curve.x[i]:.6g} hardly overlap: take points closer together")
        quantity = "fidelity susceptibility per site, -2 ln F / dc^2 / N"
        return _row(self.scan, "fidelity", found, curve, quantity)

    def _curvature(self) -> dict[str, Any]:
        levels = self.levels
        draws = drawn(levels.slope, levels.slope_error, 5)
        curve = slopes(self.scan.x, -levels.slope / self.sites, -draws / self.sites)
        found = self._peak(curve)
        if found.value is not None:
            wrong = curve.value < -np.maximum(SIGMAS * curve.error, curve.value.max() / 5)
            if wrong.any():
                at = curve.x[wrong][0]
                found = Found(None, None, f"the energy is not concave at {at:.6g}, as that of ground states is")
        return _row(self.scan, "curvature", found, curve, "second derivative of the energy per site, -d2E/dc2 / N")

    def _order(self) -> list[dict[str, Any]]:
        """Steepest change of the order parameter and of its Binder ratio, where the records hold its moments."""
        names = [name for name in self.scan.records[0]["observables"]] if self.scan.records else []
        second = next((name for name in names if name == "m2" or name.endswith("_m2")), None)
        if second is None:
            why = "the records hold no order parameter" if self.scan.records else "no usable points"
            nothing = Found(None, None, why)
            return [_row(self.scan, method, nothing) for method in ("order-parameter", "binder")]
        fourth = second.removesuffix("m2") + "m4"
        m2, e2 = self._observable(second)
        m4, e4 = self._observable(fourth)
        d2, d4 = drawn(m2, e2, 6), drawn(m4, e4, 7)
        found = [self._steepest("order-parameter", m2, d2, f"slope of {second}")]
        if not np.all(m2 > 0):
            why = "no Binder ratio where the order parameter vanishes by symmetry"
            return [*found, _row(self.scan, "binder", Found(None, None, why))]
        quantity = f"slope of the Binder ratio 1 - {fourth} / (3 {second}^2)"
        return [*found, self._steepest("binder", 1 - m4 / (3 * m2**2), 1 - d4 / (3 * d2**2), quantity)]

    def _steepest(self, method: str, value: np.ndarray, draws: np.ndarray, quantity: str) -> dict[str, Any]:
        sign = -1.0 if value[0] > value[-1] else 1.0
        curve = slopes(self.scan.x, sign * value, sign * draws)
        return _row(self.scan, method, self._peak(curve), curve, f"{quantity}, its sign left out")

    def _observable(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        rows = [record["observables"][name] for record in self.scan.records]
        return np.array([row["value"] for row in rows]), np.array([_bar(row) for row in rows])

    def _peak(self, curve: Curve) -> Found:
        """The maximum of a curve of intervals, unless it is where the state jumps; it may lie anywhere in a gap.

        A gap is an interval of the maximum or beside it from which refused points are left out.
        """
        found = peak(curve)
        if found.value is None or found.error is None:
            return found
        k, x = highest(curve), self.scan.x
        if k in self.jumps:
            return Found(None, None, f"no maximum but a jump at {curve.x[k]:.6g}: see crossing")
        gaps = [(a, b) for a, b in zip(x[k - 1 : k + 2], x[k : k + 3], strict=True) if self._left_out(a, b)]
        if not gaps:
            return found
        low, high = max(gaps, key=lambda gap: gap[1] - gap[0])
        why = f"{found.why}; points between {low:.6g} and {high:.6g} are refused"
        return Found(found.value, math.hypot(found.error, (high - low) / math.sqrt(12)), why)

    def _left_out(self, low: float, high: float) -> bool:
        return any(low < place < high for place in self.scan.refused)


def _infidelity(record: Record) -> float:
    """1 - F from the true state, about: variance over the square of what an excitation costs, the energy of a site."""
    scale = abs(record.get("energy_scale") or 0.0)
    return min(1.0, max(record["variance"] or 0.0, 0.0) / scale**2) if scale else max(record["v_score"] or 0.0, 0.0)


def _bar(entry: Record) -> float:
    """Error bar of an expectation value: of the samples, and what the state may be off as two error bars."""
    return math.hypot(entry["error"], (entry.get("bias") or 0.0) / 2)


def _row(scan: Scan, method: str, found: Found, curve: Curve | None = None, quantity: str = "") -> dict[str, Any]:
    seen, why = ("not seen" if found.value is None else "seen"), found.why
    if scan.refused and found.value is None:
        why += f"; {len(scan.refused)} refused point{'s are' if len(scan.refused) > 1 else ' is'} left out"
    row: dict[str, Any] = {"coupling": scan.coupling, "value": found.value, "error": found.error, "method": method}
    row |= {"verdict": seen, "why": why, "curve": None}
    if curve is not None and len(curve.x):
        points = {"x": curve.x.tolist(), "value": curve.value.tolist(), "error": curve.error.tolist()}
        row["curve"] = {"quantity": quantity, **points}
    return row
