"""The summary of a hunt for tickets: regions, onset, laws, explanation, verdict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wavefoundry.adapt.compact import with_vector
from wavefoundry.adapt.explain import explain, geometry
from wavefoundry.artifacts.spec_tickets import TicketsSpec
from wavefoundry.core.meter import Cost
from wavefoundry.core.segments import bootstrap
from wavefoundry.studies.diagram_run import CONVENTIONS
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.tickets import Hunt, records
from wavefoundry.studies.transitions import SMOOTH, sentence, transition

TORIC_CONVENTION = "total energy of H = -star sum_v A_v - plaquette sum_p B_p, products of four X and four Z"
RESOLVED = 1e-9
"""Relative errors below this are those of the optimiser; the fit leaves them out."""


def summary_of(hunt: Hunt, spec: TicketsSpec, found: dict[str, list], hunt_cost: Cost, cost: Cost) -> dict[str, Any]:
    """The machine-readable result, see docs/results.md."""
    rounds, lattice = records(hunt), _lattice(hunt)
    finite = all(math.isfinite(record["energy"]) for record in rounds)
    known = geometry_of(hunt)
    looked, toric = spec.isolate.confirm > 0, lattice.model == "toric"
    seen = transition(rounds, found["jumps"], found["isolation"], model=lattice.model, looked=looked)
    onset = None if seen["word"] == SMOOTH else find_onset(rounds, found["jumps"])
    return {
        "schema": SCHEMA,
        "kind": "tickets",
        "status": "complete" if finite else "partial",
        "system": {
            "model": lattice.model,
            "sites": lattice.sites,
            "extent": list(lattice.extent),
            "periodic": lattice.periodic,
            "couplings": lattice.values,
            "lattice": {
                "kind": "torus" if toric else ("chain", "square")[len(lattice.extent) > 1],
                "size": [lattice.extent[0] // 2, *lattice.extent[1:]]
                if lattice.model == "toric"
                else list(lattice.extent),
                "periodic": lattice.periodic,
            },
            "title": spec.output.title,
        },
        "parameters": {"total": hunt.where.total, "prunable": rounds[0]["n"]},
        "convention": CONVENTIONS.get(lattice.model, TORIC_CONVENTION),
        "reference": {"energy": hunt.reference.energy, "kind": hunt.reference.kind},
        "energy_by": "samples" if hunt.workshop.listed is None else "full sum",
        "rounds": rounds,
        **found,
        "fit": regions(rounds, spec.train.seed),
        "onset": onset,
        "laws": laws(hunt, onset, known),
        "explain": explanation(hunt, onset, known),
        "transition": seen,
        "verdict": sentence(seen),
        "cost": cost.to_dict(),
        "hunt_cost": hunt_cost.to_dict(),
        "settings": spec.model_dump(mode="json", exclude_none=True),
        "versions": versions(),
        "hardware": hardware(),
    }


def _lattice(hunt: Hunt) -> Any:
    return getattr(hunt.workshop.system, "lattice", hunt.workshop.system)


def geometry_of(hunt: Hunt) -> dict[str, list[tuple[int, ...]]]:
    lattice = _lattice(hunt)
    return geometry(lattice.model, lattice.extent, lattice.periodic)


def regions(rounds: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Three segments of the error against n (log-log) with bootstrap intervals; empty without a reference."""
    errors = [record["relative_error"] for record in rounds]
    if any(error is None for error in errors):
        return {}
    x = np.array([record["n"] for record in rounds], float)
    bars = np.array([record["energy_error"] / abs(record["energy"]) for record in rounds])
    y = np.maximum(np.abs(np.array(errors, float)), bars)  # nothing below its own error bar is known
    keep = y > RESOLVED
    found = bootstrap(x[keep], y[keep], seed)
    if found:
        found["names"] = ["high-error region", "power law", "low-error region"]
        found["left_out"] = int(np.sum(~keep))
    return found


def _lost(record: dict[str, Any]) -> float:
    """Fidelity lost in a round; 0 where it is not known."""
    fidelity = record["fidelity_previous"]
    return 0.0 if fidelity is None else 1.0 - fidelity


def find_onset(rounds: list[dict[str, Any]], jumps: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The confirmed jump at which the state changes most, with what it and observables do there; None without jumps.

    The loss of fidelity decides, for ratios of errors are large wherever the error before is next to nothing.
    """
    confirmed = [jump for jump in jumps if jump["confirmed"]]
    if not confirmed:
        return None
    jump = max(confirmed, key=lambda j: _lost(rounds[j["round"]]))
    number = jump["round"]
    here, before = rounds[number], rounds[number - 1]
    changes = {
        name: here["observables"][name] - before["observables"][name]
        for name in here["observables"]
        if not name.startswith("term_")
    }
    around = [_lost(r) for r in rounds[max(1, number - 3) : number + 4] if r is not here]
    usual = float(np.median(around)) if around else 0.0
    return {
        "n": before["n"],
        "next_n": here["n"],
        "rho": before["rho"],
        "ratio": jump["error_longer"] / max(jump["error_before"], RESOLVED),
        "fidelity": here["fidelity_previous"],
        "dip_over_usual": _lost(here) / max(usual, 1e-4),
        "changes": changes,
    }


def laws(hunt: Hunt, onset: dict[str, Any] | None, known: dict[str, list]) -> list[dict[str, Any]]:
    """Conjectured onsets beside the one that was found; the law holds when it lies between the two rounds."""
    lattice = _lattice(hunt)
    if lattice.model == "toric":
        # log cosh is even: a filter and its negative are one, and half as many tell the parities apart
        even = getattr(hunt.workshop.network.backbone, "activation", None) == "logcosh"
        each, words = (12, "three") if even else (24, "six")
        name = f"{each} (P - 1), {words} filters of four edges per independent plaquette"
        found = [(name, each * (len(known["plaquette"]) - 1))]
    elif lattice.model == "ising":
        found = [("two weights per bond", 2 * len(known["bond"]))]
    else:
        return []
    out = []
    for name, predicted in found:
        record = {"law": name, "predicted": predicted, "found": None, "holds": None}
        if onset is not None:
            record["found"] = [onset["next_n"], onset["n"]]
            record["holds"] = bool(onset["next_n"] < predicted <= onset["n"])
        out.append(record)
    return out


def explanation(hunt: Hunt, onset: dict[str, Any] | None, known: dict[str, list]) -> dict[str, Any]:
    """The units of the network just before the onset (of the last round without one), and their kinds by round."""
    wavefunction = hunt.workshop.network
    kernel = getattr(wavefunction.backbone, "kernel", None)
    activation = getattr(wavefunction.backbone, "activation", None)
    if kernel is None or activation is None:
        return {}
    by_round = []
    for ticket in hunt.tickets:
        weights = np.asarray(with_vector(wavefunction, ticket.theta).backbone.kernel)  # type: ignore[attr-defined]
        by_round.append((ticket.record["n"], weights))
    if onset is not None:
        n, weights = next((n, w) for n, w in by_round if n == onset["n"])
    else:
        n, weights = by_round[-1]
    kinds = []
    for count, kernel in by_round:
        if np.count_nonzero(kernel) <= 20 * kernel.shape[0]:
            found = explain(kernel, activation, known, couplings=False)
            kinds.append({"n": count, "kinds": found["kinds"], "covered": found["covered"]})
    small = np.count_nonzero(weights) <= 2000
    return {"n": n} | explain(weights, activation, known, couplings=bool(small)) | {"by_round": kinds}
