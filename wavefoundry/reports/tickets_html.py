"""``report.html`` of a hunt for tickets."""

from __future__ import annotations

import math
from typing import Any

from wavefoundry.core.words import assigned
from wavefoundry.reports import content, page, tickets_figures, tickets_lines
from wavefoundry.reports.content import Table
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

CAPTIONS = {
    "error": "Relative error against the number of surviving weights. Lines: boundaries of the three-segment fit with "
    "their bootstrap intervals, the onset, and the onset expected from the conjectured law.",
    "state": "Overlap with the network of the round before, and observables, against weights per spin.",
    "variance": "Energy per site against its variance, one mark a round.",
    "lattice": "The surviving units on the lattice, just before the onset: blue of even, red of odd sign parity.",
    "transfer": "Relative error of tickets at other couplings, beside the dense network and random masks.",
}


def context(summary: dict[str, Any]) -> dict[str, Any]:
    """Everything the template needs; any part of the summary but the rounds may be missing."""
    rounds = summary.get("rounds") or []
    reference = summary.get("reference") or {}
    energy = reference.get("energy")
    return {
        "title": content.title(summary),
        "convention": str(summary.get("convention") or ""),
        "reference": "none" if energy is None else f"{energy:.10g} ({reference.get('kind')})",
        "good": summary.get("status") == "complete",
        "status": str(summary.get("status") or "unknown").upper(),
        "verdict": str(summary.get("verdict") or ""),
        "energy_by": f"Energies by {summary.get('energy_by')}.",
        "pictures": _pictures(summary),
        "rounds": _rounds(rounds),
        "isolation": _isolation(summary.get("isolation") or []),
        "reasons": tickets_lines.reasons(rounds),
        "signs": _signs(summary.get("transition") or {}),
        "jumps": _jumps(summary.get("jumps") or []),
        "fit": _fit(summary.get("fit") or {}),
        "laws": _laws(summary.get("laws") or []),
        "kinds": _kinds(summary.get("explain") or {}),
        "units": _units(summary.get("explain") or {}),
        "transfer": _transfer(summary.get("transfer") or []),
        "flags": content.FLAGS | {"NOT-CONVERGED": "the energy still moved at the end of the training"},
        "raised": sorted({flag.rstrip("!") for record in rounds for flag in record.get("flags") or []}),
        "costs": content.pairs({"whole run": summary.get("cost"), "hunt": summary.get("hunt_cost")}),
        "settings": content.pairs(summary.get("settings")),
        "versions": content.pairs(summary.get("versions")),
        "hardware": content.pairs(summary.get("hardware")),
        "command": str(summary.get("command") or ""),
    }


def _pictures(summary: dict[str, Any]) -> dict[str, page.Picture]:
    drawn = {
        "error": tickets_figures.error_figure(summary),
        "state": tickets_figures.state_figure(summary),
        "variance": tickets_figures.variance_figure(summary),
        "lattice": tickets_figures.lattice_figure(summary),
        "transfer": tickets_figures.transfer_figure(summary),
    }
    return page.pictures(drawn, CAPTIONS)


def _table(head: list[str], body: list[list[Any]], doubtful: list[bool] | None = None) -> Table:
    return Table(list(head), body, ["doubt" if bad else "" for bad in doubtful or [False] * len(body)])


def _rounds(rounds: list[dict[str, Any]]) -> Table:
    rows = [tickets_lines.cells(record) for record in rounds]
    for row in rows:
        row["rollbacks"] = row["rollbacks"] or "0"
    return _table(
        list(tickets_lines.HEADS),
        [[row[name] or NOT_AVAILABLE for name in tickets_lines.HEADS] for row in rows],
        [not record.get("trusted", True) for record in rounds],
    )


def _isolation(records: list[dict[str, Any]]) -> Table | None:
    variants = list(dict.fromkeys(record["variant"] for record in records))
    body = []
    for n in dict.fromkeys(record["n"] for record in records):
        found = {record["variant"]: record for record in records if record["n"] == n}
        body.append([str(n), *(_spread(found.get(variant)) for variant in variants)])
    return _table(["weights", *variants], body) if body else None


def _spread(record: dict[str, Any] | None) -> str:
    if record is None or record.get("mean") is None:
        return NOT_AVAILABLE
    error = record.get("log_error")
    return format_number(record["mean"]) + (f" (\u00d7/ {math.exp(error):.2f})" if error else "")


def _jumps(jumps: list[dict[str, Any]]) -> Table | None:
    body = [
        [
            f"{jump['from']} to {jump['to']}",
            *(format_number(jump[name]) for name in ("error_before", "error_after", "error_longer")),
            "stays" if jump["confirmed"] else "goes away",
        ]
        for jump in jumps
    ]
    return _table(["weights", "error before", "after", "after longer training", "jump"], body) if body else None


def _signs(found: dict[str, Any]) -> Table | None:
    said = {True: "seen", False: "not seen", None: "not known"}
    signs = found.get("signs") or {}
    return (
        _table(["sign", "", "why"], [[name, said[s["seen"]], s["why"]] for name, s in signs.items()]) if signs else None
    )


def _fit(fit: dict[str, Any]) -> Table | None:
    if not fit.get("boundaries"):
        return None
    rows = [
        (f"boundary {k + 1}", value, fit["intervals"]["boundaries"][k]) for k, value in enumerate(fit["boundaries"])
    ]
    names = fit.get("names") or ["first", "second", "third"]
    rows += [
        (f"exponent, {names[k]}", value, fit["intervals"]["exponents"][k]) for k, value in enumerate(fit["exponents"])
    ]
    body = [[name, f"{value:.4g}", f"{low:.4g} to {high:.4g}"] for name, value, (low, high) in rows]
    return _table(["", "value", f"{100 * fit['intervals']['level']:.0f} % interval"], body)


def _laws(laws: list[dict[str, Any]]) -> Table | None:
    said = {True: "holds", False: "does not hold", None: "no onset found"}
    body = [
        [
            law["law"],
            str(law["predicted"]),
            f"{law['found'][0]} to {law['found'][1]}" if law.get("found") else NOT_AVAILABLE,
            said[law.get("holds")],
        ]
        for law in laws
    ]
    return _table(["law", "weights", "found between", ""], body) if body else None


def _kinds(explained: dict[str, Any]) -> Table | None:
    rounds = explained.get("by_round") or []
    names = list(dict.fromkeys(kind for record in rounds for kind in record["kinds"]))
    body = [[str(record["n"]), *(str(record["kinds"].get(name, 0)) for name in names)] for record in rounds]
    return _table(["weights", *names], body) if body else None


def _units(explained: dict[str, Any]) -> Table | None:
    body = [
        [
            str(unit["unit"]),
            ", ".join(map(str, unit["sites"])),
            unit["kind"],
            "odd" if unit["parity"] < 0 else "even",
            NOT_AVAILABLE if unit.get("coupling") is None else f"{unit['coupling']:.5f}",
        ]
        for unit in (explained.get("units") or [])[:100]
    ]
    return _table(["unit", "sites", "kind", "parity", "coupling"], body) if body else None


def _transfer(records: list[dict[str, Any]]) -> Table | None:
    body = [
        [
            assigned(record["couplings"]),
            str(record["n"]),
            record["mask"],
            format_value_error(record["energy"], record["energy_error"]),
            format_number(record["relative_error"]),
        ]
        for record in records
    ]
    return _table(["couplings", "weights", "mask", "energy", "rel. error"], body) if body else None
