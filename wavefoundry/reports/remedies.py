"""What helps where numbers of a diagram or of molecules are not to be trusted: what to set, by flag and method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from wavefoundry.reports import verdicts

if TYPE_CHECKING:
    from wavefoundry.core.records.molecules import Molecule
    from wavefoundry.core.records.point import Point

MOST = 3
"""Remedies that are named; what stands against most numbers comes first."""
ANY = ""
"""Every method that has no words of its own."""
Words = Mapping[str, Mapping[str, str]]
"""By flag and method."""

_SAMPLES = {ANY: "more [evaluate] samples"}
_HEAD = (
    'a head does not reach so far: [adapt] method = "auto" goes on to more weights, and a list as [pretrain] at gives '
    "bases nearer by"
)
_DEEPER = "more [adapt] full_steps, [wavefunction] symmetry as a list, or a wider network"
_STATE = {
    "zero-shot": '[adapt] method = "head" or "auto": nothing was tuned',
    "head": _HEAD,
    "blocks": '[adapt] method = "full", or "auto" with larger most_steps',
    ANY: _DEEPER,
}
DIAGRAM: Words = {
    **dict.fromkeys(("R-HAT", "LOW-ESS", "SHORT-CHAINS", "LOW-PRECISION", "BELOW-EXACT"), _SAMPLES),
    "SUPPORT": {ANY: 'all weights, trained with more samples moved: [adapt] method = "full", [pretrain] moved = 0.5'},
    "IMAG": {ANY: "more [evaluate] samples; a phase that training has not found needs more [pretrain] steps"},
    "NOT-FINITE": {ANY: "a smaller [adapt] learning_rate or a larger diagonal_shift"},
    "HIGH-VARIANCE": _STATE,
    "ABOVE-EXACT": _STATE,
    "NOT-CONVERGED": {"head": "more [adapt] rounds, or samples", ANY: "more [adapt] full_steps"},
    "BASE-NOT-CONVERGED": {ANY: "more [pretrain] steps; a study with this run as its warm_start goes on from here"},
    "SIGN-RULE": {ANY: '[wavefunction] head = "complex"'},
    "LOWER-STATE": {ANY: "bases on both sides of where the states cross: a list as [pretrain] at"},
}
"""Settings of a study of a diagram; in Python the arguments of the same names."""
_TUNE = {"zero-shot": '[adapt] method = "full": nothing was tuned', ANY: "more [adapt] steps"}
_WALKERS = {ANY: "more [evaluate] burn_in and moves"}
MOLECULES: Words = {
    **dict.fromkeys(("R-HAT", "LOW-ESS", "SHORT-CHAINS", "LOW-PRECISION", "ONE-CHAIN", "BELOW-EXACT"), _SAMPLES),
    **dict.fromkeys(("STRAY-CHAIN", "RUNAWAY", "UNMIXED"), _WALKERS),
    **dict.fromkeys(
        ("HIGH-VARIANCE", "ABOVE-EXACT", "ABOVE-HF", "NOT-CONVERGED", "NEW-COMPOUND", "NEW-ELEMENT"),
        {"trained": "more [train] steps; a study with this run as its warm_start goes on from here"} | _TUNE,
    ),
    "BASE-NOT-CONVERGED": {ANY: "more [train] steps; a study with this run as its warm_start goes on from here"},
    "WORSE": {ANY: "a smaller [adapt] learning_rate, or more walkers"},
    "SYMMETRY": {ANY: 'turned or distorted copies among [train] molecules, and frame = "principal"'},
    "NOT-FINITE": {ANY: "a smaller learning_rate or a larger diagonal_shift"},
}
"""Settings of a study of molecules."""
REFERENCE = '[reference] method = ["ed", "dmrg"], or a file of independent values, can say that it is the ground state'


def of_points(points: Sequence[Point]) -> list[str]:
    """What helps the points of a diagram, one line each; empty where nothing speaks against any.

    Where numbers are good and only unproven, what could prove them.
    """
    found = _lines(DIAGRAM, [(point.method, point) for point in points])
    unproven = [point for point in points if verdicts.word(point) == "upper bound"]
    return found or ([_line(REFERENCE, len(unproven))] if unproven else [])


def of_molecules(records: Sequence[Molecule]) -> list[str]:
    """What helps molecules, one line each; empty where nothing speaks against any."""
    return _lines(MOLECULES, [(record.method, record) for record in records])


def sentences(lines: Sequence[str]) -> list[str]:
    """The same as sentences of a report."""
    return [f"{line[:1].upper()}{line[1:]}." for line in lines]


def _lines(known: Words, records: Sequence[tuple[str, Point | Molecule]]) -> list[str]:
    counts: Counter[str] = Counter()
    for method, record in records:
        if verdicts.word(record) not in ("doubtful", "refused"):
            continue
        said = [known[name] for flag in verdicts.flags(record) if (name := flag.rstrip("!")) in known]
        counts.update(list(dict.fromkeys(words.get(method, words[ANY]) for words in said)))
    return [_line(text, count) for text, count in counts.most_common(MOST)]


def _line(text: str, count: int) -> str:
    return f"what helps ({count}): {text}"
