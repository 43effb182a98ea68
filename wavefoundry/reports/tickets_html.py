"""``report.html`` of a hunt for tickets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from wavefoundry.core.records import TicketsSummary, typed
from wavefoundry.core.records.common import Number
from wavefoundry.core.records.tickets import Cut, Fit, Isolated, Jump, Kinds, Law, Round, Transferred, Unit
from wavefoundry.core.values import number
from wavefoundry.core.words import assigned
from wavefoundry.reports import content, page, published, tickets_figures, tickets_lines
from wavefoundry.reports.content import Table
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

CAPTIONS = {
    "error": "Relative error against the number of surviving weights. Lines: boundaries of the three-segment fit with "
    "their bootstrap intervals, the onset, and the onset expected from the conjectured law. Grey: points of the paper, "
    "where it shows this system.",
    "state": "Overlap with the network of the round before, and observables, against weights per spin.",
    "variance": "Energy per site against its variance, one mark a round.",
    "lattice": "The surviving units on the lattice, just before the onset: blue of even, red of odd sign parity.",
    "transfer": "Relative error of tickets at other couplings, beside the dense network and random masks.",
}


def context(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template needs."""
    found = typed(TicketsSummary, summary)
    rounds, reference = found.rounds, found.reference
    known = None if reference is None or reference.energy is None else f"{reference.energy:.10g} ({reference.kind})"
    return {
        "title": content.title(found.system, number(found.system and found.system.sites)),
        "convention": found.convention or "",
        "reference": known or "none",
        "good": found.status == "complete",
        "status": found.status.upper(),
        "verdict": found.verdict or "",
        "energy_by": f"Energies by {found.energy_by}.",
        "pictures": _pictures(found),
        "rounds": _rounds(rounds),
        "isolation": _isolation(found.isolation),
        "reasons": tickets_lines.reasons(rounds),
        "signs": _signs(found.transition),
        "jumps": _jumps(found.jumps),
        "fit": _fit(found.fit),
        "laws": _laws(found.laws),
        "kinds": _kinds(found.explain.by_round),
        "units": _units(found.explain.units),
        "transfer": _transfer(found.transfer),
        "flags": content.FLAGS | {"NOT-CONVERGED": "the energy still moved at the end of the training"},
        "raised": sorted({flag.rstrip("!") for record in rounds for flag in record.flags}),
        "costs": content.costs({"whole run": found.cost, "hunt": found.hunt_cost}),
        "settings": content.pairs(found.settings),
        "versions": content.pairs(found.versions),
        "hardware": content.pairs(found.hardware),
        "command": found.command or "",
    }


def _pictures(summary: TicketsSummary) -> dict[str, page.Picture]:
    drawn = {
        "error": tickets_figures.error_figure(summary),
        "state": tickets_figures.state_figure(summary.rounds, published.dip(summary)),
        "variance": tickets_figures.variance_figure(summary),
        "lattice": tickets_figures.lattice_figure(summary),
        "transfer": tickets_figures.transfer_figure(summary.transfer),
    }
    return page.pictures(drawn, CAPTIONS)


def _table(head: list[str], body: list[list[Any]], doubtful: list[bool] | None = None) -> Table:
    return Table(list(head), body, ["doubt" if bad else "" for bad in doubtful or [False] * len(body)])


def _rounds(rounds: list[Round]) -> Table:
    rows = [tickets_lines.cells(record) for record in rounds]
    for row in rows:
        row["rollbacks"] = row["rollbacks"] or "0"
    return _table(
        list(tickets_lines.HEADS),
        [[row[name] or NOT_AVAILABLE for name in tickets_lines.HEADS] for row in rows],
        [not record.trusted for record in rounds],
    )


def _isolation(records: list[Isolated]) -> Table | None:
    variants = list(dict.fromkeys(record.variant for record in records))
    body = []
    for n in dict.fromkeys(record.n for record in records):
        found = {record.variant: record for record in records if record.n == n}
        body.append([str(n), *(_spread(found.get(variant)) for variant in variants)])
    return _table(["weights", *variants], body) if body else None


def _spread(record: Isolated | None) -> str:
    if record is None or record.mean is None:
        return NOT_AVAILABLE
    return format_number(record.mean) + (f" (\u00d7/ {math.exp(record.log_error):.2f})" if record.log_error else "")


def _jumps(jumps: list[Jump]) -> Table | None:
    body = [
        [
            f"{jump.before} to {jump.to}",
            *(format_number(error) for error in (jump.error_before, jump.error_after, jump.error_longer)),
            "stays" if jump.confirmed else "goes away",
        ]
        for jump in jumps
    ]
    return _table(["weights", "error before", "after", "after longer training", "jump"], body) if body else None


def _signs(found: Cut | None) -> Table | None:
    said = {True: "seen", False: "not seen", None: "not known"}
    body = [[name, said[sign.seen], sign.why] for name, sign in found.signs.items()] if found else []
    return _table(["sign", "", "why"], body) if body else None


def _fit(fit: Fit) -> Table | None:
    if not fit.boundaries or fit.intervals is None:
        return None
    names = [f"boundary {k + 1}" for k in range(len(fit.boundaries))]
    names += [f"exponent, {fit.names[k]}" for k in range(len(fit.exponents))]
    values, intervals = fit.boundaries + fit.exponents, fit.intervals.boundaries + fit.intervals.exponents
    rows = zip(names, values, intervals, strict=True)
    body = [[name, _short(value), " to ".join(map(_short, ends))] for name, value, ends in rows]
    return _table(["", "value", f"{100 * fit.intervals.level:.0f} % interval"], body)


def _short(value: Number) -> str:
    return NOT_AVAILABLE if value is None else f"{value:.4g}"


def _laws(laws: list[Law]) -> Table | None:
    said = {True: "holds", False: "does not hold", None: "no onset found"}
    body = [
        [
            law.law,
            str(law.predicted),
            f"{law.found[0]} to {law.found[1]}" if law.found else NOT_AVAILABLE,
            said[law.holds],
        ]
        for law in laws
    ]
    return _table(["law", "weights", "found between", ""], body) if body else None


def _kinds(rounds: list[Kinds]) -> Table | None:
    names = list(dict.fromkeys(kind for record in rounds for kind in record.kinds))
    body = [[str(record.n), *(str(record.kinds.get(name, 0)) for name in names)] for record in rounds]
    return _table(["weights", *names], body) if body else None


def _units(units: list[Unit]) -> Table | None:
    body = [
        [
            str(unit.unit),
            ", ".join(map(str, unit.sites)),
            unit.kind,
            "odd" if unit.parity < 0 else "even",
            NOT_AVAILABLE if unit.coupling is None else f"{unit.coupling:.5f}",
        ]
        for unit in units[:100]
    ]
    return _table(["unit", "sites", "kind", "parity", "coupling"], body) if body else None


def _transfer(records: list[Transferred]) -> Table | None:
    body = [
        [
            assigned(record.couplings),
            str(record.n),
            record.mask,
            format_value_error(record.energy, record.energy_error),
            format_number(record.relative_error),
        ]
        for record in records
    ]
    return _table(["couplings", "weights", "mask", "energy", "rel. error"], body) if body else None
