"""The verdicts of a diagram in words: the banner of the report, why each point has its own, and its observables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from wavefoundry.core.verdict import QUESTIONS, WORDS, worst
from wavefoundry.reports import content, remedies, verdicts, view
from wavefoundry.reports.content import Table
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error
from wavefoundry.reports.view import Row

if TYPE_CHECKING:
    from wavefoundry.core.records import DiagramSummary

TONES = {"trusted": "good", "upper bound": "bound", "doubtful": "warn", "refused": ""}
"""CSS class of the banner by the worst word; red without any."""
ROWS = {"doubtful": "warn", "refused": "doubt"}
"""CSS class of a table's row by the word of what it shows."""
SINGLE = {word: word for word in WORDS} | {"upper bound": "an upper bound"}
PLURAL = {word: word for word in WORDS} | {"upper bound": "upper bounds"}
MEANING = {
    "trusted": "The error bar is right for this state, the state is near an eigenstate, and something independent (an "
    "exact energy, another method, a symmetry) says that it is the ground state.",
    "upper bound": "Error bar and state are sound, but nothing independent says that this is the ground state. The "
    "energy is variational: the ground-state energy lies at or below it, within the error bar, by an unknown amount.",
    "doubtful": "Something speaks against the number, not strongly enough to throw it away. Read the reasons.",
    "refused": "The number must not be used.",
}
NAMED = 3
EARLIER = "An earlier version wrote this run: it did not ask whether a state is the ground state."
BOUND = (
    "An upper bound is sound in its sampling and its variance, but nothing independent (an exact energy, another "
    "method, a symmetry) was there to tell the ground state from a state above it: the ground-state energy lies at or "
    "below it, within the error bar, by an amount that is not known."
)


def verdict(summary: DiagramSummary, rows: list[Row], names: tuple[str, ...]) -> dict[str, Any]:
    """First lines of the report: worst verdict, how many points have which, largest error, adaptation cost."""
    judged = bool(rows) and all(row.word for row in rows)
    if judged:
        flag, tone, said = banner(rows, view.base(summary), names)
    else:
        flag, tone, said = _old_banner(rows)
    recorded, status = summary.verdict, summary.status
    sentences: list[Any] = []
    if status != "complete":
        sentences.append({
            "partial": "This run is not finished; what follows is what it has so far.",
            "failed": "This run failed; what follows is what it had until then.",
        }.get(status, f"The status of this run is {status}."))  # fmt: skip
        tone = "warn" if tone in ("good", "bound") else tone
    sentences += said
    sentences += _exact_sentence(rows, names) if rows else []
    before = view.pretraining_seconds(summary)
    spent = [row.cpu_seconds for row in rows if not math.isnan(row.cpu_seconds)]
    share = view.divide(sum(spent), before)
    if spent:
        cost = f"All adaptations together took {format_number(sum(spent), 3)} CPU s"
        of_before = f", {100 * share:.3g} % of the pre-training ({format_number(before, 3)} CPU s)"
        # of a model that was taken as it is, the seconds are those of reading it
        taken = summary.pretrain is not None and summary.pretrain.steps == 0
        sentences.append(f"{cost}{'' if math.isnan(share) or taken else of_before}.")
    if recorded and recorded not in (flag, *WORDS):
        sentences.append(recorded)
    sentences += remedies.sentences(remedies.of_points(summary.points))
    return {"flag": flag, "tone": tone, "sentences": sentences}


def _old_banner(rows: list[Row]) -> tuple[str, str, list[str]]:
    """The banner of a run from before there were verdicts: the worst flag, and how many points are trusted."""
    if not rows:
        return "NO POINTS", "", ["No point was finished."]
    flag, trusted = view.worst_flag(rows), sum(row.trusted for row in rows)
    flag = "NOT TRUSTED" if flag == "OK" and trusted < len(rows) else flag
    said = [f"{trusted} of {len(rows)} points can be trusted.", EARLIER]
    return flag, "good" if flag == "OK" else "", said


def _exact_sentence(rows: list[Row], names: tuple[str, ...]) -> list[Any]:
    from markupsafe import Markup

    known = [row for row in rows if not math.isnan(row.relative_error) and row.word != "refused"]
    if not known:
        some = any(not math.isnan(row.relative_error) for row in rows)
        return [] if some else ["No exact energies are known for these points."]
    worst = max(known, key=lambda row: abs(row.relative_error))
    place = view.label(worst.couplings, names)
    largest = content.text(format_number(abs(worst.relative_error)))
    compared = sum(not math.isnan(row.relative_error) for row in rows)
    partly = "" if compared == len(rows) else f" ({compared} of {len(rows)} points have one)"
    against = "an exact" if all(row.reference == "exact" for row in known) else "a reference"
    usable = "Of the energies that are not refused, the" if any(row.word == "refused" for row in rows) else "The"
    said = Markup("{} largest relative error against {} energy is {} at {}{}.")
    return [said.format(usable, against, largest, place, partly)]


def banner(rows: list[Row], base: Row | None, names: tuple[str, ...]) -> tuple[str, str, list[str]]:
    """The worst verdict, the CSS class it has, and the sentences that follow it.

    Args:
        rows: the points, all with a verdict. base: the pre-trained state, where it was judged. names: of the couplings
            that vary.
    """
    word = worst([row.word for row in [*rows, *([base] if base else [])]])
    sentences = [_counts(rows)]
    if base and base.word in verdicts.STYLES:
        sentences.append(f"The pre-trained state itself is {base.word}: {'; '.join(base.reasons)}.")
    if any(row.word == "upper bound" for row in rows):
        sentences.append(BOUND)
    contradicting = _contradictions(rows, names)
    sentences += contradicting
    doubted = any(_doubted(entry) for row in rows if row.word in ("trusted", "upper bound") for entry in _entries(row))
    if doubted and not contradicting:
        sentences.append(
            "Some observables are doubtful although their energies are not; the table of observables says why."
        )
    flag, tone = word.upper(), TONES[word]
    if doubted and word in ("trusted", "upper bound"):
        return f"{flag}, OBSERVABLES DOUBTFUL", "warn", sentences
    return flag, tone, sentences


def _counts(rows: list[Row]) -> str:
    """How many points have which verdict: "Of 11 points 8 are trusted and 3 are refused."."""
    found = [(word, sum(row.word == word for row in rows)) for word in WORDS]
    found = [(word, count) for word, count in found if count]
    if len(found) == 1:
        ((word, count),) = found
        return f"The only point is {SINGLE[word]}." if count == 1 else f"All {count} points are {PLURAL[word]}."
    texts = [f"{count} are {PLURAL[word]}" if count > 1 else f"1 is {SINGLE[word]}" for word, count in found]
    return f"Of {len(rows)} points {', '.join(texts[:-1])} and {texts[-1]}."


def _contradictions(rows: list[Row], names: tuple[str, ...]) -> list[str]:
    """A sentence on the observables that contradict their exact value; empty when none does."""
    against = [(row, found) for row in rows if (found := row.contradictions)]
    if not against:
        return []
    texts = []
    for row, found in against[:NAMED]:
        others = f" and {len(found) - 1} others" if len(found) > 2 else f" and {found[1][0]}" if len(found) > 1 else ""
        place = view.label(row.couplings, names) or "the only point"
        texts.append(f"{found[0][0]}, {found[0][1]},{others} at {place}")
    more = f"; and at {len(against) - NAMED} more points" if len(against) > NAMED else ""
    return [f"Observables that contradict their exact value: {'; '.join(texts)}{more}."]


def _entries(row: Row) -> list[view.Estimate]:
    return [*row.observables.values(), *(entry for profile in row.profiles.values() for entry in profile)]


def _doubted(entry: view.Estimate) -> bool:
    """Whether more speaks against a value than an error bar that is too large to compare it with the exact one."""
    return entry.word in ("doubtful", "refused") and (entry.contradicts or math.isnan(entry.exact))


def why_table(rows: list[Row], base: Row | None, names: tuple[str, ...]) -> Table | None:
    """Every point with the three answers and the reasons in words; the pre-trained state first."""
    if not any(row.word for row in rows):
        return None
    several = len({row.method for row in rows}) > 1
    entries = [("pre-training", base)] if base else []
    for row in rows:
        name = view.label(row.couplings, names) or "the only point"
        entries.append((f"{name}, {row.method}" if several else name, row))
    body = [
        [name, row.word or NOT_AVAILABLE, *(row.answers or [NOT_AVAILABLE] * len(QUESTIONS)), _reasons(row)]
        for name, row in entries
    ]
    return Table(["point", "verdict", *QUESTIONS, "reasons"], body, [ROWS.get(row.word, "") for _, row in entries])


def _reasons(row: Row) -> str:
    return "; ".join(row.reasons) or " ".join(row.flags) or NOT_AVAILABLE


def observable_table(rows: list[Row], names: tuple[str, ...]) -> Table | None:
    """Every observable of every point: value, exact value, z, what the state may be off, verdict and reason.

    Correlation functions stand in a figure; here only those of their entries appear that are doubted while their
    energy is not.
    """
    if not any(entry.word for row in rows for entry in _entries(row)):
        return None
    body, classes = [], []
    several = len({row.method for row in rows}) > 1
    for row in rows:
        place = view.label(row.couplings, names) or "the only point"
        place = f"{place}, {row.method}" if several else place
        series = {f"{name}_{r}": entry for name, profile in row.profiles.items() for r, entry in enumerate(profile)}
        sound = row.word in ("trusted", "upper bound")
        doubted = {name: entry for name, entry in series.items() if sound and _doubted(entry)}
        for name, entry in (row.observables | doubted).items():
            body.append([place, name, *_cells(entry)])
            classes.append(ROWS.get(entry.word, ""))
    held = "exact or reference" if any(entry.source for row in rows for entry in _entries(row)) else "exact"
    return Table(["point", "observable", "value", held, "z", "bias", "verdict", "why"], body, classes)


def spoken_against(table: Table | None) -> Table | None:
    """The rows of a table that something speaks against; None when there are none."""
    if table is None or not any(table.classes):
        return None
    chosen = [(row, name) for row, name in zip(table.body, table.classes, strict=True) if name]
    return Table(table.head, [row for row, _ in chosen], [name for _, name in chosen])


def _cells(entry: view.Estimate) -> list[str]:
    return [
        format_value_error(entry.value, entry.error),
        _held(entry),
        NOT_AVAILABLE if math.isnan(entry.z) else f"{round(entry.z, 1) + 0.0:.1f}",
        format_number(entry.bias),
        entry.word or NOT_AVAILABLE,
        entry.why,
    ]


def _held(entry: view.Estimate) -> str:
    """The exact value, or that of another method with its name."""
    if not math.isnan(entry.exact):
        return f"{entry.exact:.5f}"
    return NOT_AVAILABLE if math.isnan(entry.near) else f"{entry.near:.5f} ({entry.source})"


def marks(rows: list[Row], flat: bool = False) -> str:
    """What the marks of a picture mean, in a sentence; empty when all points are trusted.

    Args:
        rows: the points. flat: the picture is a map, where trusted points have no mark.
    """
    shapes = {
        "trusted": "filled: trusted",
        "upper bound": "half filled: upper bound",
        "doubtful": "hollow: doubtful",
        "not trusted": "hollow: not trusted",
        "refused": "crossed: refused",
    }
    found = {row.mark for row in rows}
    if found <= {"trusted"}:
        return ""
    if flat:
        shapes["trusted"] = "no mark: trusted"
        shapes["refused"] = "crossed: refused, and beyond the ends of the colours"
    sentence = "; ".join(text for word, text in shapes.items() if word in found)
    return f"{sentence[0].upper()}{sentence[1:]}."


def alternative(rows: list[Row], names: tuple[str, ...]) -> str:
    """The verdicts of a picture for who cannot see it: which points have which."""
    texts = []
    for word in dict.fromkeys(row.mark for row in rows):
        places = [view.label(row.couplings, names) or "the only point" for row in rows if row.mark == word]
        more = f" and {len(places) - 12} more" if len(places) > 12 else ""
        texts.append(f"{word}: {'; '.join(places[:12])}{more}")
    return ". ".join(texts) + "." if texts else ""
