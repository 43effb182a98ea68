"""What is shown of every kind of result, from its records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wavefoundry.core.words import assigned
from wavefoundry.reports import lines, remedies, verdicts
from wavefoundry.reports.shown import Card
from wavefoundry.reports.tables import format_number, format_value_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records.common import Judged
    from wavefoundry.core.records.point import Point

Record = Mapping[str, Any]


def diagram(summary: Record) -> Card:
    """Of a phase diagram."""
    from wavefoundry.reports.content import title
    from wavefoundry.reports.figures import diagram_figure
    from wavefoundry.reports.transition import line
    from wavefoundry.reports.view import parsed, sites

    found = parsed(summary)
    facts = [
        ("points", lines.diagram_line(found)),
        _helps(remedies.of_points(found.points)),
        ("transition", line(found).removeprefix("transition: ") if found.transitions else ""),
        ("pre-trained at", "" if found.pretrain is None else energy_words(found.pretrain)),
        ("cost", lines.cost_line(summary).removeprefix("cost: ")),
    ]
    rows = [lines.point_cells(point.model_dump()) for point in found.points]
    draw = (lambda: diagram_figure(found)) if found.points else None
    words = "Energy per site against the couplings, with relative errors and V-scores below it"
    return Card(f"Diagram of the {title(found.system, sites(found))}", facts, rows, draw, words)


def tickets(summary: Record) -> Card:
    """Of a finished pruning."""
    from wavefoundry.core.records import TicketsSummary, typed
    from wavefoundry.reports import tickets_lines
    from wavefoundry.reports.tickets_figures import error_figure

    found = typed(TicketsSummary, summary)
    first, last = found.rounds[0], found.rounds[-1]
    facts = [
        ("relative error", " -> ".join(format_number(record.relative_error) for record in (first, last))),
        ("verdicts", verdicts.counted(found.rounds)),
        ("found", found.verdict or ""),
    ]
    title = f"Tickets: {len(found.rounds)} rounds from {first.n} to {last.n} weights"
    rows = [tickets_lines.cells(record) for record in found.rounds]
    return Card(title, facts, rows, lambda: error_figure(found), "Relative error against surviving weights")


def ticket(record: Record) -> Card:
    """Of one round of a pruning."""
    energy = format_value_error(record.get("energy"), record.get("energy_error"))
    facts = [("energy", energy), ("relative error", format_number(record.get("relative_error")))]
    return Card(f"Ticket of {record['n']} weights, round {record.get('round')}: {verdicts.word(record)}", facts)


def molecules(summary: Record) -> Card:
    """Of the energies of molecules."""
    from wavefoundry.core.records import MoleculesSummary, typed
    from wavefoundry.reports import molecules_lines
    from wavefoundry.reports.molecules_figures import main_figure

    found = typed(MoleculesSummary, summary)
    energies = found.molecules
    facts = [
        ("verdicts", molecules_lines.counted(energies)),
        _helps(remedies.of_molecules(energies)),
        ("cost", lines.cost_line(summary).removeprefix("cost: ")),
    ]
    rows = [molecules_lines.cells(record) for record in energies]
    title = f"Energies of {len(energies)} molecule{'s' * (len(energies) != 1)}"
    return Card(title, facts, rows, lambda: main_figure(found), "Energies of the molecules beside references")


def molecule_tickets(rounds: Sequence[Record], cost: Record) -> Card:
    """Of a pruned model of molecules."""
    from wavefoundry.reports.molecules_figures import tickets_figure

    rows = []
    for record in rounds:
        judged = Counter(row["verdict"] for row in record["molecules"])
        rows.append(
            {
                "n": str(record["n"]),
                "density": format_number(record["density"], 3),
                "mean error (mHa)": "" if record["error_mha"] is None else format_number(record["error_mha"]),
                "verdicts": ", ".join(f"{count} {word}" for word, count in judged.items()),
            }
        )
    first, last = rows[0], rows[-1]
    facts = [
        (
            "mean error (mHa)",
            " -> ".join(row["mean error (mHa)"] for row in (first, last)) if last["mean error (mHa)"] else "",
        ),
        ("verdicts at the end", last["verdicts"]),
        ("cost", f"{cost['cpu_seconds']:.0f} CPU seconds"),
    ]
    title = f"MoleculeTickets: {len(rounds)} rounds from {first['n']} to {last['n']} weights"
    return Card(title, facts, rows, lambda: tickets_figure(rounds), "Errors of the molecules against surviving weights")


def state(record: Record, system: str) -> Card:
    """Of a state of a lattice."""
    from wavefoundry.core.records import typed
    from wavefoundry.core.records.point import Point

    found, together = typed(Point, record), record.get("trained_together") or []
    facts = [
        (
            "trained together",
            "; ".join(assigned(one) for one in together) + (", numbers of the first" if together else ""),
        ),
        ("energy", energy_words(found, couplings=False) or "none"),
        ("relative error", _known(found.relative_error)),
        ("V-score", _known(found.v_score)),
        ("verdict", verdict_words(found)),
    ]
    return Card(system, facts)


def judgement(cases: list[dict[str, Any]], overview: Record, draw: Callable[[], Figure]) -> Card:
    """Of a student on landscapes; ``draw`` gives its errors along the roll-outs."""
    from wavefoundry.reports.emulation_tables import correlation, number

    worst = f"{correlation(overview.get('corr_worst'))} ({overview.get('worst_case')})"
    facts = [
        ("correlation", correlation(overview.get("corr_mean"))),
        ("worst case", worst),
        ("mean absolute error", number(overview.get("mae"))),
        ("verdicts", verdicts.counted(cases)),
    ]
    rows = [
        {
            "case": str(case.get("name")),
            "correlation": correlation(case.get("corr_mean")),
            "at the end": correlation(case.get("corr_final")),
            "mean absolute error": number(case.get("mae")),
            "verdict": str(case.get("verdict") or ""),
        }
        for case in cases
    ]
    words = "Loss of correlation and mean absolute error along the roll-outs"
    return Card(f"Student on {len(cases)} landscape{'s' * (len(cases) != 1)}", facts, rows, draw, words)


def _helps(found: Sequence[str]) -> tuple[str, str]:
    """The first remedy as a fact, without how many it would help."""
    return "what helps", found[0].partition(": ")[2] if found else ""


def _per_site(energy: float) -> str:
    """Six decimals, or six digits where these would show nothing."""
    return f"{energy:.6f}" if energy == 0 or abs(energy) >= 1e-3 else f"{energy:.6g}"


def energy_words(record: Point, couplings: bool = True) -> str:
    """Energy and error bar of a record, in total and per site, with its couplings."""
    if record.energy is None:
        return ""
    shown = format_value_error(record.energy, record.energy_error)
    if record.energy_per_site is not None:
        shown += f", {_per_site(record.energy_per_site)} per site"
    where = assigned(record.couplings) if couplings else ""
    return f"{where}: {shown}, {verdicts.word(record)}" if where else shown


def verdict_words(record: Judged) -> str:
    """The verdict and what speaks against more."""
    word, why = verdicts.word(record), verdicts.against(record)
    return f"{word}: {why}" if why and word != "trusted" else word


def _known(value: Any) -> str:
    return "" if value is None else format_number(value)
