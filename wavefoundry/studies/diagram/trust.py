"""Verdicts of the observables of a record: from known values, from how they drift, from the verdict on the energy.

An observable is off in first order where an energy is in second: near a transition it can be wrong under an energy that
is right. What a state itself says of this is the *drift* d<O>/dtau = -2 Cov(O, H), how the observable begins to change
in imaginary time, zero in an eigenstate. With psi = psi_0 + sum_k c_k psi_k the state is off by 2 sum_k c_k <0|O|k> and
drifts by -2 sum_k c_k <0|O|k> (E_k - E_0): it is off by drift / gap, or by less where the errors are of higher energy.
The gap is not known; neighbouring points of a diagram give one: between them the slope of the energy changes with
2 sum_k |<k|H_c|0>|^2 / (E_k - E_0), the logarithm of the fidelity with sum_k |<k|H_c|0>|^2 / (E_k - E_0)^2.

Source of the two sums: arXiv 1308.5917.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wavefoundry.core.verdict import observable_verdict, stored_verdict
from wavefoundry.studies.diagram.transitions import Scan

Record = Mapping[str, Any]
SAFETY = 2.0
"""A bias is so many times drift / gap: nine of ten states of 10 to 14 spins are off by less."""
ALIKE = 0.1
"""Fidelity of neighbours below which they are no small change of each other."""


def gaps(scan: Scan, overlaps: Sequence[Record] | None) -> dict[int, float]:
    """Gap at the points of a scan, by their number: the smaller one of those seen from both sides, where there is any.

    Args:
        scan: points along one coupling. overlaps: ``points``, ``fidelity`` and ``error`` of pairs of neighbours.
    """
    place = {number: k for k, number in enumerate(scan.points)}
    found: dict[int, float] = {}
    for row in overlaps or []:
        ends = [int(number) for number in row["points"]]
        gap = _gap(scan, [place[number] for number in ends], row) if set(ends) <= place.keys() else None
        if gap is not None:
            found |= {number: min(found.get(number, math.inf), gap) for number in ends}
    return found


def _gap(scan: Scan, ends: Sequence[int], row: Record) -> float | None:
    """From one pair of neighbours; None where noise hides it, or where they are states of different kinds."""
    i, j = ends
    terms = [scan.records[k]["terms"][scan.coupling] for k in (i, j)]
    step, change = float(scan.x[j] - scan.x[i]), terms[0]["value"] - terms[1]["value"]
    noise = math.hypot(*(one["error"] for one in terms))
    fidelity, error = row["fidelity"], row["error"]
    if not (change > 3 * noise and ALIKE < fidelity < 1 - 3 * error and step > 0):
        return None
    return change * step / (2 * -math.log(fidelity))


def judged(record: dict[str, Any], gap: float | None = None) -> dict[str, Any]:
    """A record with biases and verdicts of its observables.

    Args:
        record: with its verdict. gap: at its point; without one the energy of a site stands in.
    """
    if record["energy"] is None:
        return record
    found = {name: _judged(one, record, gap or record["energy_scale"]) for name, one in record["observables"].items()}
    wrong = next((name for name, one in found.items() if one["verdict"] == "refused" and _tells(name, one)), None)
    if wrong is not None:
        why = f"{wrong} of this state contradicts its exact value"
        for name, one in found.items():
            if one["exact"] is None and one["verdict"] == "estimate":
                found[name] = one | {"verdict": "doubtful", "why": why}
    return record | {"gap": gap, "observables": found}


def _tells(name: str, one: Record) -> bool:
    """Whether an observable says that the order of a state is wrong, and with it what has no exact value."""
    return one["exact"] is not None and (name.endswith("m2") or name == "structure_peak")


def _judged(one: dict[str, Any], record: Record, gap: float | None) -> dict[str, Any]:
    if one["error"] is None or not math.isfinite(one["error"]):
        return one
    drift, bias, bars = one["drift"], one["bias"], 4.0
    if drift is not None and gap:
        bias, bars = SAFETY * abs(drift) / gap, 2.0
    near = one.get("reference")
    near = None if near is None else (near["value"], near["source"])
    word, why = observable_verdict(
        one["value"], one["error"], one["exact"], bias, stored_verdict(record), bars=bars, near=near
    )
    return one | {"bias": bias, "verdict": word, "why": why}
