"""Verdicts as records hold them, counted and put into words; the same for every kind of study.

Records written before there were verdicts hold ``trusted`` and ``flags`` alone: they have no word here, and are counted
by ``trusted``, as they were then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wavefoundry.core.verdict import WORDS

Record = Mapping[str, Any]
WORST_FIRST = tuple(reversed(WORDS))
STYLES = {"doubtful": "yellow", "refused": "red"}
"""Colours of the terminal; other words stand in the usual one."""
SHOWN = 5
"""Points named in one line; the rest is counted."""


def word(record: Any) -> str:
    """The verdict of a record: one of ``WORDS``, or empty where it has none."""
    found = record.get("verdict") if isinstance(record, Mapping) else None
    return found if isinstance(found, str) and found in WORDS else ""


def worst(words: Iterable[str]) -> str:
    """The worst of some words; empty when there is none."""
    found = set(words)
    return next((each for each in WORST_FIRST if each in found), "")


def counted(records: Iterable[Record]) -> str:
    """How many have which verdict, the best first: ``18 trusted, 3 upper bound``."""
    records = list(records)
    found = Counter(word(record) for record in records)
    if set(found) <= {""}:
        return f"{sum(bool(record.get('trusted')) for record in records)} trusted"
    texts = [f"{found[each]} {each}" for each in WORDS if found[each]]
    return ", ".join(texts + ([f"{found['']} without a verdict"] if found[""] else []))


def reasons(record: Record) -> list[str]:
    """The reasons of a verdict in words; empty where none are written."""
    found = record.get("reasons")
    return [str(reason) for reason in found] if isinstance(found, (list, tuple)) else []


def against(record: Record) -> str:
    """What speaks against a number, in one line: its reasons without the one that the third question has no answer."""
    found, answers = reasons(record), record.get("answers")
    open_question = isinstance(answers, Mapping) and answers.get("ground") == "unknown"
    return "; ".join(found[:-1] if open_question and len(found) > 1 else found) or " ".join(flags(record))


def judged(summary: Record) -> Iterator[Record]:
    """Every record of a summary that can have a verdict, whatever the kind of study."""
    for group in ("points", "rounds", "molecules", "quantities"):
        yield from _records(summary.get(group))
    for student in _records(summary.get("students")):
        yield from _records(student.get("cases"))


def _records(value: Any) -> list[Record]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, (list, tuple)) else []


def nothing_usable(summary: Record) -> str:
    """Why no number of a run can be used, in one line; empty as soon as one can, and where there are no verdicts."""
    found = list(judged(summary))
    if not found or any(word(record) != "refused" for record in found):
        return ""
    cause = next((cause for record in found if (cause := against(record))), "")
    said = f"all {len(found)} are refused" if len(found) > 1 else "the only one is refused"
    return f"no number can be used, {said}" + (f"{'; the first' * (len(found) > 1)}: {cause}" if cause else "")


def flags(record: Record) -> list[str]:
    """Flags of a record, without the ``OK`` of old ones."""
    found = record.get("flags")
    return [str(flag) for flag in found if flag != "OK"] if isinstance(found, (list, tuple)) else []


def contradictions(record: Record) -> list[tuple[str, str]]:
    """Observables that contradict their exact value beyond four error bars, with what is said of them.

    Where the energy itself is refused nothing is listed: its observables are no claim.
    """
    if word(record) == "refused":
        return []
    found = record.get("observables")
    entries = found.items() if isinstance(found, Mapping) else ()
    return [(str(name), str(entry.get("why") or entry["verdict"])) for name, entry in entries if _contradicts(entry)]


def _contradicts(entry: Any) -> bool:
    if not isinstance(entry, Mapping) or entry.get("exact") is None:
        return False
    z = entry.get("z")
    beyond = isinstance(z, (int, float)) and not isinstance(z, bool) and abs(z) > 4
    return beyond and entry.get("verdict") in ("doubtful", "refused")


def closing_lines(records: Iterable[Record], named: Any) -> list[tuple[str, str]]:
    """What is to be said under a table of records: the refused, the doubtful, the upper bounds, the observables.

    Args:
        records: those of the table. named: gives the name of one.

    Returns:
        Pairs of a line and its style.
    """
    records = list(records)
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
        causes = Counter(reasons(record)[-1] for record in bounds if reasons(record))
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
