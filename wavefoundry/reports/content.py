"""What the report says, as text and tables: title, numbers of every point, flags, cost, settings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.reports import view
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error
from wavefoundry.reports.view import Row

if TYPE_CHECKING:
    from markupsafe import Markup

    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.common import Cost, Lattice

FLAGS = {
    "BELOW-EXACT": "more than three error bars below an exact energy (refused beyond four), which no variational state "
    "can be: walkers that did not mix, a wrong error bar, or a different Hamiltonian",
    "ABOVE-EXACT": "more than two error bars and more than 0.1 % above a reference energy (refused beyond four, above "
    "1 %): not the ground state",
    "SUPPORT": "the one-move V-score is more than twice the plain one (refused above three times, if it exceeds "
    "0.001), beyond three error bars: the samples miss configurations that count",
    "HIGH-VARIANCE": "a V-score above 0.001 (refused above 0.01): the state is far from an eigenstate",
    "NOT-CONVERGED": "the optimisation had not come to rest, or fresh samples of a new head were worse: more was to be "
    "gained (refused where another fifth of the steps would lower the energy by more than 1 %)",
    "BASE-NOT-CONVERGED": "the pre-training that a point starts from had not come to rest",
    "SIGN-RULE": "a positive wavefunction for a Hamiltonian whose ground state need not be positive in this basis "
    "(refused unless its V-score is below 0.001 or a reference agrees)",
    "IMAG": "the mean imaginary part of the local energy differs from zero by more than three error bars (refused "
    "beyond five)",
    "R-HAT": "the walkers do not agree among themselves as far as the number of samples demands",
    "SHORT-CHAINS": "too few chains, too short for their autocorrelation time: the error bar may be too small",
    "LOW-ESS": "fewer than 400 independent samples (refused below 100)",
    "LOW-PRECISION": "the error bar is too large to compare the energy with its reference",
    "NOT-FINITE": "local energies were not finite; there is no number",
}


class Table(NamedTuple):
    """A table as text: column titles, rows of cells, and one CSS class a row."""

    head: list[Any]
    body: list[list[Any]]
    classes: list[str]


def text(value: Any) -> Markup:
    """A number, name or sentence for the page: true minus signs, powers of ten, ``J2`` with a subscript."""
    from markupsafe import Markup, escape

    if isinstance(value, Markup):
        return value
    shown = str(value)
    if re.fullmatch(r"-[\d.]+(\([\d.]+\))?", shown):
        return escape(shown.replace("-", "\u2212"))
    if match := re.fullmatch(r"([A-Za-z])_?(\d{0,2})", shown):
        return Markup("<i>{}</i>").format(match[1]) + (Markup("<sub>{}</sub>").format(match[2]) if match[2] else "")
    return Markup(re.sub(r"(?<![\w.])(-?\d[\d.]*(?:\([\d.]+\))?)e([-+]?\d+)\b", _power, str(escape(shown))))


def _power(match: re.Match[str]) -> str:
    """A number with an exponent."""
    mantissa, power = (part.replace("-", "\u2212") for part in (match[1], str(int(match[2]))))
    return f"{mantissa}&thinsp;×&thinsp;10<sup>{power}</sup>"


def title(system: Lattice | None, count: float) -> str:
    """What was studied, in words: "transverse-field Ising model, periodic chain of 64 sites".

    count: of sites, ``nan`` where it is not known.
    """
    if system is not None and system.title is not None:
        return system.title
    model, lattice = "lattice model" if system is None else system.model, system and system.lattice
    words = [MODELS[model].title if model in MODELS else model]
    kind = "lattice" if lattice is None else f"{'periodic' if lattice.periodic else 'open'} {lattice.kind}"
    if not math.isnan(count):
        sizes = [str(length) for length in view.lattice_size(system)]
        words.append(f"{kind} of {' × '.join(sizes)} sites" if len(sizes) > 1 else f"{kind} of {count:g} sites")
    return ", ".join(words)


def point_table(summary: DiagramSummary, rows: list[Row], names: tuple[str, ...]) -> Table:
    """Every number of every point. Method and acceptance are columns only where they tell something."""
    methods = len({row.method for row in rows}) > 1
    accepted = any(not math.isnan(row.acceptance) for row in rows)
    plain = any(not math.isnan(row.v_score_plain.value) for row in rows)
    judged = any(row.word for row in rows)
    per = "" if math.isnan(view.sites(summary)) else " / site"
    known = "exact" if {row.reference for row in rows} <= {"exact"} else "reference"
    sources = known == "reference"
    head = [
        *names,
        *(["method"] if methods else []),
        f"energy{per}",
        f"{known}{per}",
        *(["held against"] if sources else []),
        "rel. error",
        "z",
        "V-score",
        *(["plain V"] if plain else []),
    ]
    head += ["R-hat", "ESS", "pool draws", "ESS min", *(["accept."] if accepted else []), "CPU s"]
    head += ["verdict", "flags"] if judged else ["flags"]
    body = _coupling_cells(rows, names)
    for row, cells in zip(rows, body, strict=True):
        cells += [row.method or NOT_AVAILABLE] if methods else []
        cells += [
            format_value_error(row.energy.value, row.energy.error),
            NOT_AVAILABLE if math.isnan(row.energy.exact) else f"{row.energy.exact:.7f}",
            *([NOT_AVAILABLE if math.isnan(row.energy.exact) else row.reference] if sources else []),
            format_number(abs(row.relative_error)),
            NOT_AVAILABLE if math.isnan(row.z) else f"{round(row.z, 1) + 0.0:.1f}",
            _score(row.v_score),
            *([_score(row.v_score_plain)] if plain else []),
            NOT_AVAILABLE if math.isnan(row.r_hat) else f"{row.r_hat:.4f}",
            NOT_AVAILABLE if math.isnan(row.ess) else f"{row.ess:.0f}",
            NOT_AVAILABLE if math.isnan(row.draws) else f"{row.draws:g}",
            NOT_AVAILABLE
            if math.isnan(row.ess_min)
            else f"{row.ess_min:.2f}"
            if row.ess_min <= 1
            else f"{row.ess_min:.0f}",
        ]
        cells += [format_number(row.acceptance)] if accepted else []
        cells += [format_number(row.cpu_seconds, 3)]
        flags = ", ".join(row.flags)
        cells += [row.word or NOT_AVAILABLE, flags] if judged else [flags or ("OK" if row.trusted else "not trusted")]
    return Table(head, body, [row_class(row) for row in rows])


def row_class(row: Row) -> str:
    """CSS class of a point's row: amber for what is doubtful, red for what must not be used."""
    return {"doubtful": "warn", "refused": "doubt", "not trusted": "doubt"}.get(row.mark, "")


def _score(entry: view.Estimate) -> str:
    """A V-score with its error bar, by powers of ten throughout, so that a column reads in one style."""
    if 0 < entry.value < 0.1 and entry.error > 0:
        power = math.floor(math.log10(entry.value))
        return f"{format_value_error(entry.value / 10.0**power, entry.error / 10.0**power)}e{power}"
    return format_number(entry.value) if math.isnan(entry.error) else format_value_error(entry.value, entry.error)


def estimate_table(summary: DiagramSummary, rows: list[Row], names: tuple[str, ...]) -> Table | None:
    """Observables and terms of every point with error bars, each followed by its exact value where known.

    Observables that have verdicts of their own are left to a table that shows them.
    """
    found: dict[tuple[str, str], bool] = {}
    own = any(entry.word for row in rows for entry in row.observables.values())
    for row in rows:
        for group in ("terms",) if own else ("observables", "terms"):
            for name, entry in getattr(row, group).items():
                found[group, name] = found.get((group, name), False) or not math.isnan(entry.exact)
    if not found:
        return None
    ordered = sorted(found.items(), key=lambda item: item[0][0])  # observables first, in the order of the file
    head: list[Any] = [*names]
    for (group, name), compared in ordered:
        head += [_term_title(name, summary) if group == "terms" else name, *(["exact"] if compared else [])]
    body = _coupling_cells(rows, names)
    for row, cells in zip(rows, body, strict=True):
        for (group, name), compared in ordered:
            entry = getattr(row, group).get(name, view.Estimate(view.NAN))
            cells.append(format_value_error(entry.value, entry.error))
            if compared:
                cells.append(NOT_AVAILABLE if math.isnan(entry.exact) else f"{entry.exact:.5f}")
    return Table(head, body, [row_class(row) for row in rows])


def _term_title(name: str, summary: DiagramSummary) -> Markup:
    from markupsafe import Markup

    per_site = "" if math.isnan(view.sites(summary)) else Markup(" / <i>N</i>")
    return Markup("⟨<i>H</i><sub>{}</sub>⟩{}").format(text(name), per_site)


def _coupling_cells(rows: list[Row], names: tuple[str, ...]) -> list[list[Any]]:
    """The couplings of each row, with the same number of decimals down a column."""
    columns = []
    for name in names:
        values = [row.couplings.get(name, view.NAN) for row in rows]
        shown = [f"{value:.6f}".rstrip("0") for value in values if not math.isnan(value)]
        decimals = max((len(value.partition(".")[2]) for value in shown), default=0)
        columns.append([NOT_AVAILABLE if math.isnan(value) else f"{value:.{decimals}f}" for value in values])
    return [[column[index] for column in columns] for index in range(len(rows))]


def cost_table(summary: DiagramSummary, rows: list[Row]) -> Table:
    """Seconds of pre-training, of all adaptations together, of what is left, and of the whole run.

    What is left is loading, measuring the base, references, writing. The whole covers all sessions of a resumed run; in
    runs of earlier versions it can be smaller than its parts, and what is left is not shown.
    """
    each, total = [_seconds(record.cost) for record in view.bases(summary)] or [_seconds(None)], _seconds(summary.cost)
    pretrain = [sum(column) for column in zip(*each, strict=True)]
    adapted = _seconds(summary.adapt_cost)
    if all(map(math.isnan, adapted)):
        spent = [row.cpu_seconds for row in rows if not math.isnan(row.cpu_seconds)]
        adapted = [sum(spent) if spent else view.NAN, *adapted[1:]]
    stages = [("pre-training", pretrain), (f"adaptation, {len(rows)} points", adapted)]
    left = [whole - one - other for whole, one, other in zip(total, pretrain, adapted, strict=True)]
    if left[0] >= 0:
        stages.append(("loading, measuring the base, writing", [max(value, 0.0) for value in left]))
    body = [
        [name, *(format_number(value, 3) for value in cost[:-1]), _count(cost[-1])]
        for name, cost in [*stages, ("whole run", total)]
    ]
    return Table(["", "CPU s", "wall s", "of which compiling, s", "compilations"], body, [""] * len(body))


def _seconds(cost: Cost | None) -> list[float]:
    """CPU, wall and compile seconds and the number of compilations."""
    if cost is None:
        return [view.NAN] * 4
    return [*map(view.number, (cost.cpu_seconds, cost.wall_seconds, cost.compile_seconds, cost.compilations))]


def _count(value: float) -> str:
    return NOT_AVAILABLE if math.isnan(value) else f"{value:g}"


def costs(found: Mapping[str, Cost | None]) -> list[tuple[str, str]]:
    """Resources of the parts of a run as dotted names and numbers."""
    return pairs({name: cost and cost.model_dump(exclude_unset=True) for name, cost in found.items()})


def pairs(value: Any) -> list[tuple[str, str]]:
    """A nested object as dotted names and short text; lists stay on one line."""
    if not isinstance(value, dict):
        return []

    def leaves(entry: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        for key, inner in entry.items():
            name = f"{prefix}{key}"
            if isinstance(inner, dict) and inner:
                found += leaves(inner, f"{name}.")
            elif isinstance(inner, str):
                found.append((name, inner))
            else:
                found.append((name, json.dumps(inner, default=str)))
        return found

    return leaves(value)
