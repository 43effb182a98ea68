"""Verdicts on cases and students: is the number's error known, does the student follow, is it right?

*sampled*: does the norm stay what it is, and is the reference at least ten times more accurate than the best student?
*state*: does the student follow the packet? *ground* reads here "right against the reference": up to norm and global
phase, at the last frame. Potentials and packets beyond the trained range are doubtful unless the reference shows that
the roll-out is right nevertheless.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wavefoundry.core.verdict import Doubt, Verdict, graded, judge, observable_verdict, refused
from wavefoundry.studies.emulation.truth import SHARPER, goals_of

FADING, LOST = 0.99, 0.9
"""Mean correlations below which a student hardly follows a packet, and is lost."""
DRIFT, GONE = 1e-2, 0.1
"""Changes of the norm^2."""
OFF, WRONG = 0.05, 0.45
"""Distance to the reference at the last frame above which a roll-out is doubtful, and wrong (correlation 0.9)."""
BLUNT = 0.1
"""Own error of a reference above which nothing can be held against it."""
LEAST_TRANSMISSION = 1e-4
"""Probabilities are not told apart below this."""


def range_record(doubts: Iterable[Doubt]) -> list[dict[str, str]]:
    """What leaves the trained range, as records keep it."""
    return [{"flag": doubt.name, "why": doubt.why} for doubt in doubts]


def distance(corr: float) -> float:
    """Relative L2 distance of two states with the best norm and phase, from their correlation (chord of the angle)."""
    return math.sqrt(max(0.0, 2.0 * (1.0 - min(1.0, corr))))


def grade(students: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Write the verdicts into the records of all cases; the best student of each case sets what its reference owes.

    Args:
        students: for each of them its records of the same cases; they get the fields of ``Verdict`` and
            ``observables``.
    """
    goals = goals_of(students)
    for cases in students:
        for case, goal in zip(cases, goals, strict=True):
            case["reference"]["wanted"] = float(goal) if math.isfinite(goal) else None
            verdict = case_verdict(case)
            case |= verdict.fields()
            passed = case["true_transmission"] is not None
            case["observables"] = {"transmission": transmission(case, verdict)} if passed else {}


def case_verdict(case: Mapping[str, Any]) -> Verdict:
    """The verdict on one roll-out."""
    if case["corr_mean"] is None or case["corr_final"] is None:
        return refused("NOT-FINITE", "state", "the roll-out left the numbers that a computer can hold")
    drift, corr = case["norm_drift"], case["corr_mean"]
    own, wanted = case["reference"]["error"], case["reference"]["wanted"]
    drift = math.inf if drift is None else drift
    doubts = graded("NORM", "sampled", f"the norm changes by {drift:.2g}", drift > DRIFT, drift > GONE)
    best = "unknown" if wanted is None else f"{SHARPER * wanted:.2g}"
    why = f"the reference has an error of {own:.2g} itself, not below a tenth of the best student's ({best})"
    doubts += graded("REFERENCE", "sampled", why, wanted is not None and own > wanted, own > BLUNT)
    why = f"the student {'is lost' if corr < LOST else 'hardly follows'}: mean correlation {corr:.3g}"
    doubts += graded("LOST", "state", why, corr < FADING, corr < LOST)
    doubts += [Doubt(found["flag"], "state", False, found["why"]) for found in case["out_of_scope"]]
    off = distance(case["corr_final"])
    why = f"{off:.2g} off the reference at the last frame (relative L2, norm and phase left out)"
    doubts += graded("OFF-REFERENCE", "ground", why, off > OFF, off > WRONG)
    right = f"right against the reference, to {off:.2g} at the last frame (its own error: {own:.1g})"
    return judge(doubts, right if off <= OFF else None)


def transmission(case: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """The probability behind the landscape, with the bar that the reference leaves it, and its verdict."""
    value, exact = case["transmission"], case["true_transmission"]
    if value is None or exact is None:
        return {"value": value, "error": None, "exact": exact, "verdict": "refused", "why": "not finite"}
    error = 2 * case["reference"]["error"] * math.sqrt(max(exact, 0.0)) + LEAST_TRANSMISSION
    word, why = observable_verdict(value, error, exact, None, verdict)
    if max(value, exact) < 10 * LEAST_TRANSMISSION and word != "refused":
        word, why = ("trusted" if verdict.trusted else "doubtful"), "next to nothing passes, as the reference says"
    return {"value": value, "error": error, "exact": exact, "verdict": word, "why": why}


def student_verdict(cases: Sequence[Mapping[str, Any]], corr_mean: float) -> Verdict:
    """The verdict on a student: that of its cases. It is usable if it is not lost on most of them.

    Args:
        cases: graded records. corr_mean: mean correlation over all of them.
    """
    count = len(cases)
    refused_on = [case for case in cases if case["verdict"] == "refused"]
    doubtful_on = [case for case in cases if case["verdict"] == "doubtful"]
    doubts: list[Doubt] = []
    if refused_on:
        worst = "; ".join(refused_on[0]["reasons"][:1])
        why = f"refused on {len(refused_on)} of {count} landscapes, mean correlation {corr_mean:.3g} ({worst})"
        lost = corr_mean < LOST or 2 * len(refused_on) > count
        doubts.append(Doubt("LOST", "state" if lost else "ground", lost, why))
    elif corr_mean < LOST:
        doubts.append(Doubt("LOST", "state", True, f"mean correlation {corr_mean:.3g}"))
    for question in ("sampled", "state", "ground"):
        mine = [case for case in doubtful_on if case["answers"][question] == "doubtful"]
        if mine:
            flags = sorted({flag for case in mine for flag in case["flags"]})
            why = f"doubtful on {len(mine)} of {count} landscapes ({', '.join(flags)}), first on {mine[0]['name']}"
            doubts.append(Doubt("DOUBTFUL-CASES", "sampled" if question == "sampled" else "ground", False, why))
    right = sum(case["verdict"] == "trusted" for case in cases)
    shown = f"right against the reference on {right or 'none'} of {count} landscapes"
    return judge(doubts, shown if right else None, shown)
