"""Verdicts as records hold them, counted and put into words; the same for every kind of study.

Records written before there were verdicts hold ``trusted`` and ``flags`` alone: they have no word here, and are counted
by ``trusted``, as they were then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wavefoundry.core.verdict import WORDS

if TYPE_CHECKING:
    from wavefoundry.core.records import Summary
    from wavefoundry.core.records.common import Judged
    from wavefoundry.core.records.point import Observable, Point

Told = Mapping[str, Any]
"""An event that tells of a record."""
STYLES = {"doubtful": "yellow", "refused": "red"}
"""Colours of the terminal; other words stand in the usual one."""
SHOWN = 5
"""Points named in one line; the rest is counted."""


def word(record: Judged | Told) -> str:
    """The verdict of a record: one of ``WORDS``, or empty where it has none."""
    found = record.get("verdict") if isinstance(record, Mapping) else record.verdict
    return found if isinstance(found, str) and found in WORDS else ""


def counted(records: Iterable[Judged | Told]) -> str:
    """How many have which verdict, the best first: ``18 trusted, 3 upper bound``."""
    records = list(records)
    found = Counter(word(record) for record in records)
    if set(found) <= {""}:
        trusted = (one.get("trusted") if isinstance(one, Mapping) else one.trusted for one in records)
        return f"{sum(map(bool, trusted))} trusted"
    texts = [f"{found[each]} {each}" for each in WORDS if found[each]]
    return ", ".join(texts + ([f"{found['']} without a verdict"] if found[""] else []))


def against(record: Judged) -> str:
    """What speaks against a number, in one line: its reasons without the one that the third question has no answer."""
    found = record.reasons
    open_question = record.answers is not None and record.answers.ground == "unknown"
    return "; ".join(found[:-1] if open_question and len(found) > 1 else found) or " ".join(flags(record))


def judged(summary: Summary) -> Sequence[Judged]:
    """Every record of a summary that can have a verdict, whatever the kind of study."""
    from wavefoundry.core import records
    from wavefoundry.core.records.common import Judged

    match summary:
        case records.DiagramSummary():
            return summary.points
        case records.TicketsSummary():
            return summary.rounds
        case records.MoleculesSummary():
            return summary.molecules
        case records.EmulationSummary():
            return [case for student in summary.students for case in student.cases]
        case records.SeedsSummary():
            said = ({"verdict": one.verdict, "reasons": one.reasons} for one in summary.quantities)
            return [records.typed(Judged, one) for one in said]
    points = (summary.model_extra or {}).get("points", [])  # of a kind of somebody else's
    return [records.typed(Judged, one) for one in points if isinstance(one, dict)]


def nothing_usable(summary: Told) -> str:
    """Why no number of a run can be used, in one line; empty as soon as one can, and where there are no verdicts."""
    from wavefoundry.core import records  # many types, for which the live view should not wait

    found = judged(records.parsed(summary))
    if not found or any(word(record) != "refused" for record in found):
        return ""
    cause = next((cause for record in found if (cause := against(record))), "")
    said = f"all {len(found)} are refused" if len(found) > 1 else "the only one is refused"
    return f"no number can be used, {said}" + (f"{'; the first' * (len(found) > 1)}: {cause}" if cause else "")


def flags(record: Judged) -> list[str]:
    """Flags of a record, without the ``OK`` of old ones."""
    return [flag for flag in record.flags if flag != "OK"]


def contradictions(record: Point) -> list[tuple[str, str]]:
    """Observables that contradict their exact value beyond four error bars, with what is said of them.

    Where the energy itself is refused nothing is listed: its observables are no claim.
    """
    if word(record) == "refused":
        return []
    entries = record.observables.items()
    return [(name, entry.why or entry.verdict) for name, entry in entries if _contradicts(entry)]


def _contradicts(entry: Observable) -> bool:
    beyond = entry.exact is not None and entry.z is not None and abs(entry.z) > 4
    return beyond and entry.verdict in ("doubtful", "refused")


def closing_lines(records: Sequence[Point], named: Callable[[Point], str]) -> list[tuple[str, str]]:
    """What is to be said under a table of records: the refused, the doubtful, the upper bounds, the observables.

    Args:
        records: those of the table. named: gives the name of one.

    Returns:
        Pairs of a line and its style.
    """
    lines = []
    for each in ("refused", "doubtful"):
        chosen = [record for record in records if word(record) == each]
        for record in chosen[:SHOWN]:
            cause = against(record)
            lines.append((f"{each}: {named(record)}{': ' * bool(cause)}{cause}", STYLES[each]))
        if len(chosen) > SHOWN:
            lines.append((f"{each}: {len(chosen) - SHOWN} more", STYLES[each]))
    bounds = [record for record in records if word(record) == "upper bound"]
    if bounds:
        causes = Counter(record.reasons[-1] for record in bounds if record.reasons)
        cause = f": {causes.most_common(1)[0][0]}" if causes else ""
        count = f"all {len(bounds)}" if len(bounds) == len(records) else f"{len(bounds)}"
        lines.append((f"upper bound ({count}){cause}", ""))
    contradicting = [(named(record), found) for record in records if (found := contradictions(record))]
    for name, found in contradicting[:SHOWN]:
        (observable, why), others = found[0], len(found) - 1
        more = f", and {others} other{'s' * (others > 1)}" if others else ""
        lines.append((f"contradicts its exact value: {name}: {observable} {why}{more}", STYLES["doubtful"]))
    if len(contradicting) > SHOWN:
        lines.append((f"contradicts its exact value: {len(contradicting) - SHOWN} points more", STYLES["doubtful"]))
    return lines
