"""Events and records of a run as short texts: the words of the live view and the last table.

Numbers that are missing or not finite are shown as ``n/a`` or left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

from wavefoundry.reports import emulation_tables, transition, verdicts, view
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

if TYPE_CHECKING:
    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.diagram import Crossing
    from wavefoundry.core.records.point import Pretrained

Event = Mapping[str, Any]
HEADS = ("E/site", "rel. error", "against", "V-score", "R-hat", "accept", "ESS", "verdict", "flags")
"""Columns of the diagram's table, after those of the couplings."""
OF = "of"
"""Field of an event that says which run of a study over seeds it comes from, as ``seed 3``."""
EXACT = "exact"
SHORT = {"dmrg": "DMRG", "ed": "ED"}
"""Methods of a reference as the table names them."""
SPARE = ("accept", "R-hat", "ESS", "against", "V-score", "rel. error", "E/site")
"""Those that a narrow screen goes without, the first of them first."""


def event_line(event: Event) -> str:
    """An event as one line of text; empty for events that need none."""
    line = _line(event)
    return f"{event[OF]}, {line}" if line and event.get(OF) else line


def _line(event: Event) -> str:
    kind = event.get("event")
    if kind == "phase":
        return f"{event.get('phase', '')}: {event.get('text', '')}"
    if kind == "compiling":
        return f"compiling {event.get('what', '')} ..."
    if kind == "warning":
        return f"warning: {event.get('text', '')}"
    if kind == "step":
        left = time_left(event.get("seconds_left"))
        return f"{_progress(event)}  {step_numbers(event)}" + (f"  {left}" if left else "")
    if kind == "part":
        left = time_left(event.get("seconds_left"))
        return f"{event.get('what', '')} {event.get('done')}/{event.get('total')}" + (f"  {left}" if left else "")
    if kind == "round":
        return f"{round_place(event)}  {round_numbers(event)}"
    if kind == "baseline":
        where = f"{event.get('kind')}, seed {event.get('seed')}: {named(event.get('couplings'))}"
        return f"{where}  {_energy(event)}  V-score {_number(event.get('v_score'))}"
    if kind == "rung":
        score = f"  V-score {_number(event.get('v_score'))}"
        return f"{_place(event, event.get('point'))} {event.get('rung')}  {_energy(event)}{score}  {_met(event)}"
    if kind == "point":
        cells = point_cells(event)
        numbers = "  ".join(f"{head} {cells[head]}" for head in HEADS if cells[head] not in ("", NOT_AVAILABLE))
        left = time_left(event.get("seconds_left"))
        return f"{_place(event, event.get('couplings'))}  {numbers}" + (f"  {left}" if left else "")
    from wavefoundry.reports import molecules_lines, seeds, tickets_lines

    others = (emulation_tables.event_line, tickets_lines.line, molecules_lines.line, seeds.line)
    return next((text for line in others if (text := line(event))), "")


def final_line(summary: Event) -> str:
    """One line that says how a run ended: ``complete: 21 points, 18 trusted, 3 upper bound, ...``."""
    begun = summary.get("status") == "unfinished"  # without what their records need
    if begun and summary.get("kind") == "emulation":
        return "unfinished: no student has been judged"
    if begun and summary.get("kind") == "seeds":
        count = len(summary["seeds"])
        return f"unfinished: {count} seed{'s' * (count != 1)} begun"
    if summary.get("kind") == "emulation":
        return emulation_tables.final_line(emulation_tables.parsed(summary))
    if summary.get("kind") == "seeds":
        from wavefoundry.reports import seeds

        return seeds.final_line(seeds.parsed(summary))
    if summary.get("kind") == "tickets":
        from wavefoundry.reports import tickets_lines

        return tickets_lines.final_line(summary)
    if summary.get("kind") == "molecules":
        from wavefoundry.reports import molecules_lines

        return molecules_lines.final_line(summary)
    return diagram_line(view.parsed(summary))


def diagram_line(summary: DiagramSummary) -> str:
    """How a diagram ended."""
    points = summary.points
    # A refused energy is no result, so it does not stand for the accuracy of a run that has others.
    usable = [point for point in points if verdicts.word(point) != "refused"] or points
    errors = [abs(error) for point in usable if (error := _finite(point.relative_error)) is not None]
    others = " of the others" if len(usable) < len(points) else ""
    worst = f", largest relative error{others} {format_number(max(errors))}" if errors else ""
    count = f"{len(points)} point{'s' * (len(points) != 1)}"
    base = "" if summary.pretrain is None else verdicts.word(summary.pretrain)
    beside = f"; the pre-trained state is {base}" if base in verdicts.STYLES else ""
    return f"{summary.status}: {count}, {verdicts.counted(points)}{worst}{beside}"


def point_cells(point: Event) -> dict[str, str]:
    """One point record as text by column: its couplings first, then the columns of the diagram's table."""
    value, error = per_site(point)
    cells = {str(name): _coupling(number) for name, number in (point.get("couplings") or {}).items()}
    texts = (
        format_value_error(value, error),
        _number(point.get("relative_error")),
        against(point),
        _number(point.get("v_score")),
        _number(point.get("r_hat"), 4),
        _number(point.get("acceptance")),
        _number(point.get("ess"), 3),
        verdicts.word(point),
        flags(point),
    )
    cells.update(zip(HEADS, texts, strict=True))
    return cells


def against(point: Event) -> str:
    """What the relative error of a point is counted from, in a word; ``below`` where our energy is the lower one."""
    reference = point.get("reference")
    if not isinstance(reference, Mapping):
        return NOT_AVAILABLE
    if reference.get("kind") not in ("method", "upper bound"):
        return EXACT
    name = str(reference.get("method") or reference.get("source") or "reference")
    ours, theirs = _finite(point.get("energy")), _finite(reference.get("energy"))
    below = ours is not None and theirs is not None and ours < theirs
    return f"below {SHORT.get(name, name)}" if below else SHORT.get(name, name)


def per_site(record: Event) -> tuple[float | None, float | None]:
    """Energy per site and its error bar, from ``energy``, ``energy_error`` and ``energy_per_site``."""
    total, value = _finite(record.get("energy")), _finite(record.get("energy_per_site"))
    error = _finite(record.get("energy_error"))
    if total is None or value is None or error is None or total == 0:
        return value, None
    return value, error * abs(value / total)


def time_left(seconds: float | None) -> str:
    """What is left of a part of the run, as ``45 s left``; empty when unknown, or so little that it says nothing."""
    known = _finite(seconds)
    return f"{duration(known)} left" if known is not None and known >= 0.5 else ""


def duration(seconds: float | None) -> str:
    """Seconds as ``45 s``, ``3 min 20 s`` or ``2 h 05 min``; empty when unknown."""
    if (seconds := _finite(seconds)) is None or seconds < 0:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _finite(value: Any) -> float | None:
    usable = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def _number(value: Any, digits: int = 2) -> str:
    return format_number(_finite(value), digits)


def flags(point: Event) -> str:
    """Flags of a point on one line; without a verdict also ``ok``, or a first word for a point that is not trusted."""
    raised = " ".join(str(flag) for flag in point.get("flags") or [])
    if verdicts.word(point):
        return raised
    if point.get("trusted", True):
        return raised or "ok"
    return f"UNTRUSTED {raised}".strip()


def named(couplings: Any) -> str:
    """Couplings as text: ``h = 0.9, J = 1``."""
    if not isinstance(couplings, Mapping):
        return ""
    return ", ".join(f"{name} = {_coupling(value)}" for name, value in couplings.items())


def _coupling(value: Any) -> str:
    return f"{value:.6g}" if _finite(value) is not None else str(value)


def _place(event: Event, couplings: Any) -> str:
    index, count = event.get("index"), event.get("count")
    place = f" ({index + 1}/{count})" if isinstance(index, int) and count else ""
    return named(couplings) + place


def round_place(event: Event) -> str:
    """Where a pool round belongs: ``h = 0.9 (3/21) pool 2``."""
    return f"{_place(event, event.get('point'))} pool {event.get('round', '')}"


def _progress(event: Event) -> str:
    return f"{event.get('phase', 'step')} {event.get('step', '?')}/{event.get('steps', '?')}"


def step_numbers(event: Event) -> str:
    """The numbers of a pre-training step on one line."""
    texts = {
        "loss": _number(event.get("loss")),
        "E": format_value_error(_finite(event.get("energy")), _finite(event.get("energy_error"))),
        "mean E": _number(event.get("energy_mean"), 7),
        "std": _number(event.get("std")),
        "E/site": format_value_error(*per_site(event)),
        "V-score": _number(event.get("v_score")),
        "R-hat": _number(event.get("r_hat"), 4),
        "accept": _number(event.get("acceptance")),
    }
    return "  ".join(f"{name} {text}" for name, text in texts.items() if text != NOT_AVAILABLE)


def _energy(event: Event) -> str:
    return f"E {format_value_error(_finite(event.get('energy')), _finite(event.get('energy_error')))}"


def _met(event: Event) -> str:
    return str(event.get("missed") or "target met")


def round_numbers(event: Event) -> str:
    """The numbers of a pool round on one line; they steer the adaptation and are no results."""
    texts = {
        "E": format_value_error(_finite(event.get("energy")), _finite(event.get("energy_error"))),
        "held out": _number(event.get("held_out"), 6),
        "ESS": _number(event.get("ess"), 3),
    }
    return "  ".join(f"{name} {text}" for name, text in texts.items() if text != NOT_AVAILABLE)


def pretrain_lines(summary: DiagramSummary) -> list[str]:
    """What every pre-training reached, where the bases cross, and where the transition is."""
    crossed = [f"crossing of two bases at {crossing_words(one)}" for one in crossings(summary)]
    return [*map(_pretrain_line, view.bases(summary)), *crossed, *filter(None, [transition.line(summary)])]


def crossings(summary: DiagramSummary) -> list[Crossing]:
    """Where energies of two bases cross, unless both give the same state there."""
    return [one for one in summary.crossings or [] if one.fidelity is None]


def crossing_words(crossing: Crossing) -> str:
    """A crossing as text: ``J2 = 0.53(2)``, with the couplings that stay the same along the line.

    Where the error is as wide as the step between the points, it is somewhere between them: no number is given.
    """
    name, (one, two) = crossing.coupling, crossing.between
    others = named({key: value for key, value in one.items() if key != name and value == two[key]})
    place = f"{name} = {format_value_error(crossing.value, crossing.error)}"
    if (crossing.error or 0.0) >= abs(two[name] - one[name]) * (1 - 1e-9):
        place = f"some {name} between {one[name]:g} and {two[name]:g}"
    return place + (f", {others}" if others else "")


def _pretrain_line(record: Pretrained) -> str:
    energy = format_value_error(record.energy, record.energy_error)
    where, v_score = named(record.couplings), format_number(record.v_score)
    steps = "?" if record.steps is None else record.steps
    said = verdicts.word(record)
    judged = f", {said}" if said else ""
    cause = f": {verdicts.against(record)}" if said in verdicts.STYLES else ""
    if record.trained_together:
        others = ", ".join(named(one) for one in record.trained_together[1:])
        where += f" (trained together with {others}, which are not measured here)"
    return f"pre-training at {where}: E {energy}, V-score {v_score}, {steps} steps{judged}{cause}"


def cost_line(summary: Event) -> str:
    """What the whole run took; empty when the summary does not say."""
    cost = summary.get("cost") or {}
    texts = [
        f"{text} {name}"
        for key, name in (("cpu_seconds", "CPU"), ("wall_seconds", "wall"), ("compile_seconds", "compiling"))
        if (text := duration(cost.get(key)))
    ]
    if (tracing := cost.get("tracing_seconds") or 0.0) >= 1 and (text := duration(tracing)):
        texts.append(f"{text} tracing")
    if isinstance(cost.get("compilations"), int):
        texts.append(f"{cost['compilations']} compilations")
    if (saved := cost.get("saved_seconds") or 0.0) >= 1 and (text := duration(saved)):
        texts.append(f"{text} of compiling saved by kept programs")
    return f"cost: {', '.join(texts)}" if texts else ""
