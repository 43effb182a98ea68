"""The summary of a study of tickets: regions, onset, laws, explanation, verdict."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from wavefoundry.adapt.compact import with_vector
from wavefoundry.adapt.explain import explain, geometry
from wavefoundry.artifacts.spec_tickets import TicketsSpec
from wavefoundry.core.hamiltonians import MODELS, convention
from wavefoundry.core.lattices import LATTICES, plain
from wavefoundry.core.meter import Cost
from wavefoundry.core.segments import bootstrap
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.tickets.rounds import Ticket
from wavefoundry.studies.tickets.setup import StudySetup
from wavefoundry.studies.tickets.transitions import SMOOTH, sentence, transition

RESOLVED = 1e-9
"""Relative errors below this are those of the optimiser; the fit leaves them out."""


def summary_of(
    setup: StudySetup, spec: TicketsSpec, tickets: Sequence[Ticket], found: dict[str, list], costs: tuple[Cost, Cost]
) -> dict[str, Any]:
    """The machine-readable result, see docs/results.md.

    Args:
        found: records of the experiments: isolation, jumps, transfer. costs: of the whole run, and of the rounds.
    """
    rounds, lattice = [ticket.record for ticket in tickets], setup.lattice
    finite = all(math.isfinite(ticket.energy) for ticket in tickets)
    looked = spec.isolate.confirm > 0
    seen = transition(rounds, found["jumps"], found["isolation"], model=lattice.model, looked=looked)
    onset = None if seen["word"] == SMOOTH else find_onset(rounds, found["jumps"])
    return {
        "schema": SCHEMA,
        "kind": "tickets",
        "status": "complete" if finite else "partial",
        "system": described(lattice) | {"title": spec.output.title},
        "parameters": {"total": setup.where.total, "prunable": rounds[0]["n"]},
        "structure": _structure(setup),
        "convention": convention(lattice.model, lattice.uniform),
        "reference": {"energy": setup.reference.energy, "kind": setup.reference.kind},
        "energy_by": "samples" if setup.trainer.listed is None else "full sum",
        "rounds": rounds,
        **found,
        "fit": regions(rounds, spec.train.seed),
        "onset": onset,
        "laws": laws(setup, onset),
        "explain": explanation(setup, tickets, onset),
        "transition": seen,
        "verdict": sentence(seen),
        "cost": costs[0].to_dict(),
        "hunt_cost": costs[1].to_dict(),
        "settings": spec.model_dump(mode="json", exclude_none=True),
        "versions": versions(),
        "hardware": hardware(),
    }


def _structure(setup: StudySetup) -> str:
    """A sum of the terms of the Hamiltonian and of the layers of the network."""
    network = str(jax.tree_util.tree_structure(setup.trainer.network))
    return hashlib.sha256(f"{setup.lattice.fingerprint}\n{network}".encode()).hexdigest()


def described(lattice: Any) -> dict[str, Any]:
    """The Hamiltonian of a summary."""
    extent, model = list(lattice.extent), MODELS.get(lattice.model)
    home, spins = ("", 1) if model is None else (model.home, model.spins)
    shape = {
        "kind": home or plain(extent),
        "size": [extent[0] // spins, *extent[1:]],
        "periodic": lattice.periodic,
    }
    return {
        "model": lattice.model,
        "sites": lattice.sites,
        "extent": extent,
        "periodic": lattice.periodic,
        "couplings": lattice.values,
        "lattice": shape,
    }


def arrays_of(setup: StudySetup, tickets: Sequence[Ticket]) -> dict[str, np.ndarray]:
    """Weights and masks of all rounds, for the store."""
    return {
        "init": np.asarray(setup.init),
        "theta": np.stack([ticket.theta for ticket in tickets]),
        "mask": np.stack([ticket.mask for ticket in tickets]).astype(np.uint8),
    }


def tickets_of(arrays: Mapping[str, np.ndarray], rounds: Sequence[dict[str, Any]]) -> list[Ticket]:
    """Tickets from stored arrays and records."""
    parts = zip(arrays["theta"], arrays["mask"], rounds, strict=True)
    return [Ticket(theta, mask.astype(bool), record) for theta, mask, record in parts]


def geometry_of(setup: StudySetup) -> dict[str, list[tuple[int, ...]]]:
    """Bonds, stars and plaquettes of the lattice."""
    lattice = setup.lattice
    kind = lattice.geometry if lattice.geometry in LATTICES else ""
    return geometry(lattice.model, lattice.extent, lattice.periodic, kind)


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


def laws(setup: StudySetup, onset: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Conjectured onsets beside the one that was found; the law holds when it lies between the two rounds."""
    model = MODELS.get(setup.lattice.model)
    if model is None or model.onset is None:
        return []
    even = getattr(setup.trainer.network.backbone, "activation", None) == "logcosh"
    name, predicted = model.onset(geometry_of(setup), even)
    record = {"law": name, "predicted": predicted, "found": None, "holds": None}
    if onset is not None:
        record["found"] = [onset["next_n"], onset["n"]]
        record["holds"] = bool(onset["next_n"] < predicted <= onset["n"])
    return [record]


def explanation(setup: StudySetup, tickets: Sequence[Ticket], onset: dict[str, Any] | None) -> dict[str, Any]:
    """The units of the network just before the onset (of the last round without one), and their kinds by round."""
    wavefunction, known = setup.trainer.network, geometry_of(setup)
    kernel = getattr(wavefunction.backbone, "kernel", None)
    activation = getattr(wavefunction.backbone, "activation", None)
    if kernel is None or activation is None:
        return {}
    by_round = []
    for ticket in tickets:
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
