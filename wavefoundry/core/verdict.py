"""How far a number can be trusted: what is doubtful about it, and the verdict that follows.

Three questions are asked of every number:

* *sampled*: is the error bar right for this state (do the chains mix, do the samples meet what counts)?
* *state*: is the state near an eigenstate, and had its training come to rest?
* *ground*: is it the ground state? Only something independent can say so: an exact energy, another method, a symmetry.

A ``Doubt`` belongs to one question and either warns (a bare flag such as ``LOW-ESS``) or refuses (``LOW-ESS!``). The
verdict is "refused" where a doubt refuses, "doubtful" where one warns, "upper bound" where nothing could answer the
third question, and "trusted" where all three are answered yes.

==============  =====================================  ========================  ============================
flag            quantity                               warning                   refused (``!``)
==============  =====================================  ========================  ============================
R-HAT           split R-hat (rank, folded)             > its limit               > limit + 0.1, single chain
LOW-ESS         effective sample size                  < 400                     < 100
SHORT-CHAINS    samples per chain / tau, if chains     < 50                      < 10, or no error bar at all
                are fewer than 32
SUPPORT         one-move V-score against the plain     > 2 and 3 error bars      > 3 times, beyond 3 error
                one                                                              bars, if it exceeds 1e-3
IMAG            abs(Im energy) / its error             > 3                       > 5
HIGH-VARIANCE   V-score (one-move where there is one)  > 1e-3                    > 1e-2, unless an exact
                                                                                 energy agrees within 1e-3
BELOW-EXACT     (energy - reference) / error           < -3                      < -4
ABOVE-EXACT     the same from above, with the          > 2 and relative > 1e-3   > 4 and relative > 1e-2
                relative error
LOW-PRECISION   error bar / abs(reference)             too large to tell         never
==============  =====================================  ========================  ============================

Customary limits: R-hat 1.01, 50 samples per tau, 32 chains; the others are choices of this package.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from wavefoundry.core.statistics import MIN_CHAINS, Estimate, relative_error, z_score

Question = Literal["sampled", "state", "ground"]
Answer = Literal["yes", "doubtful", "no", "unknown"]
Word = Literal["trusted", "upper bound", "doubtful", "refused"]

QUESTIONS: tuple[Question, ...] = ("sampled", "state", "ground")
WORDS: tuple[Word, ...] = ("trusted", "upper bound", "doubtful", "refused")
ORDER = ("trusted", "estimate", *WORDS[1:])
"""The same with the word of an observable that has no exact value to be compared with, the best first."""

VARIANCE_WARN, VARIANCE_REFUSE = 1e-3, 1e-2
"""V-scores above which a state is doubtful, and refused."""
CLOSE, WRONG = 1e-3, 1e-2
"""Relative errors below which an energy agrees with a reference, and above which it is wrong."""
LEAST = 1e-6
"""Exact observables below this are zero to rounding."""


class Doubt(NamedTuple):
    """One thing that speaks against a number: which question it bears on, and why, in words with figures."""

    name: str
    question: Question
    refuses: bool
    why: str

    @property
    def flag(self) -> str:
        """As records show it: the name, with ``!`` where the number must not be used."""
        return self.name + "!" * self.refuses


class Verdict(NamedTuple):
    """What to think of a number: one word, the answers to the three questions, and the reasons in words."""

    word: Word
    sampled: Answer
    state: Answer
    ground: Answer
    flags: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def trusted(self) -> bool:
        """True for "trusted" alone."""
        return self.word == "trusted"

    def fields(self) -> dict[str, Any]:
        """The fields of a record: ``verdict``, ``answers``, ``reasons``, ``flags``, ``trusted``."""
        return {
            "verdict": self.word,
            "answers": {"sampled": self.sampled, "state": self.state, "ground": self.ground},
            "reasons": list(self.reasons),
            "flags": list(self.flags),
            "trusted": self.trusted,
        }


class Reference(NamedTuple):
    """An independent value of the same energy.

    exact: False for a method of its own error (DMRG, coupled cluster), which can support an energy but not show that
    one below it is wrong. zero: the energy of infinite temperature, Tr H / dim, from which relative errors are counted.
    bound: it is variational, so that the ground state lies at or below it. confirms: False where its own error is too
    large, or unknown, to tell the ground state by.
    """

    energy: float
    exact: bool = True
    uncertainty: float = 0.0
    zero: float = 0.0
    source: str = "exact"
    bound: bool = False
    confirms: bool = True


def judge(doubts: Iterable[Doubt], confirmed: str | None = None, unknown: str | None = None) -> Verdict:
    """The verdict on a number.

    Args:
        doubts: everything that speaks against it, of any origin.
        confirmed: what shows that it is the ground state, in words; None: nothing does. A state that is confirmed is
            near an eigenstate too, so warnings about the state then stay as flags and do not make it doubtful.
        unknown: why the third question has no answer, in words, where there is more to say than that nothing
            independent is known.
    """
    doubts = list(doubts)
    answers: dict[str, Answer] = {}
    for question in QUESTIONS:
        mine = [doubt for doubt in doubts if doubt.question == question]
        if any(doubt.refuses for doubt in mine):
            answers[question] = "no"
        elif mine and not (question == "state" and confirmed):
            answers[question] = "doubtful"
        else:
            answers[question] = "yes" if question != "ground" or confirmed else "unknown"
    word = _word(answers)
    reasons = [doubt.why for doubt in sorted(doubts, key=lambda d: not d.refuses)]
    if answers["ground"] == "unknown":
        reasons.append(unknown or "no independent value says whether this is the ground state")
    elif confirmed and word == "trusted":  # what it outweighs comes after it
        reasons = [confirmed, *(f"outweighed by that: {why}" for why in reasons)]
    elif confirmed:
        reasons.append(confirmed)
    flags = tuple(dict.fromkeys(doubt.flag for doubt in doubts))
    return Verdict(word, answers["sampled"], answers["state"], answers["ground"], flags, tuple(reasons))


def _word(answers: Mapping[str, Answer]) -> Word:
    """The word that follows from the three answers: that of the worst one."""
    if "no" in answers.values():
        return "refused"
    if "doubtful" in answers.values():
        return "doubtful"
    return "upper bound" if "unknown" in answers.values() else "trusted"


def with_doubts(record: Mapping[str, Any], doubts: Sequence[Doubt]) -> dict[str, Any]:
    """The fields of a verdict that is already in a record, after further doubts."""
    answers, flags, reasons = dict(record["answers"]), list(record["flags"]), list(record["reasons"])
    for doubt in doubts:
        now = "no" if doubt.refuses else "doubtful"
        if answers[doubt.question] != "no":
            answers[doubt.question] = now
        flags.append(doubt.flag)
        reasons.insert(0, doubt.why)
    word = _word(answers)
    flags = list(dict.fromkeys(flags))
    return {"verdict": word, "answers": answers, "reasons": reasons, "flags": flags, "trusted": word == "trusted"}


def refused(name: str, question: Question, why: str) -> Verdict:
    """The verdict on what has no usable number at all."""
    return judge([Doubt(name, question, True, why)])


def graded(name: str, question: Question, why: str, warn: bool, refuse: bool) -> list[Doubt]:
    """One doubt or none, from its two limits."""
    return [Doubt(name, question, bool(refuse), why)] if warn or refuse else []


def sampling_doubts(estimate: Estimate) -> list[Doubt]:
    """What is doubtful about the error bar of an energy: chains that disagree or are short, few samples, Im E."""
    found: list[Doubt] = []
    if estimate.chains > 0:
        r_hat, limit, single = estimate.r_hat or 1.0, estimate.r_hat_limit or 1.0, estimate.chains == 1
        why = f"the chains disagree: R-hat {r_hat:.3f}, explained up to {limit:.3f}"
        why = "a single chain cannot show that it mixes" if single else why
        found += graded("R-HAT", "sampled", why, r_hat > limit or single, r_hat > max(1.1, limit + 0.1) or single)
        why = f"only {estimate.ess:.0f} independent samples"
        found += graded("LOW-ESS", "sampled", why, estimate.ess < 400, estimate.ess < 100)
        few, blind = estimate.chains < MIN_CHAINS, not math.isfinite(estimate.error)
        length = estimate.samples / estimate.chains / estimate.tau
        why = f"{estimate.chains} chains of {length:.0f} autocorrelation times give no reliable error bar"
        found += graded("SHORT-CHAINS", "sampled", why, few and length < 50 or blind, few and length < 10 or blind)
    why = f"the energy has an imaginary part of {abs(estimate.imag_z):.1f} error bars"
    return found + graded("IMAG", "sampled", why, abs(estimate.imag_z) > 3, abs(estimate.imag_z) > 5)


def variance_doubts(score: float | None, error: float | None = None) -> list[Doubt]:
    """What the V-score says of a state far from every eigenstate; None: there is no natural zero, so no score."""
    if score is None:
        return []
    bar = f" ({error:.1g})" if error else ""
    why = f"the variance is that of a state far from an eigenstate: V-score {score:.2g}{bar}"
    return graded("HIGH-VARIANCE", "state", why, score > VARIANCE_WARN, not score <= VARIANCE_REFUSE)


def reference_doubts(energy: float, error: float, reference: Reference | None) -> tuple[list[Doubt], str | None]:
    """A number held against an independent value, from both sides.

    Returns:
        The doubts, and the words that confirm the number (None where the reference does not).
    """
    if reference is None:
        return [], None
    scale = abs(reference.energy - reference.zero) or max(abs(energy - reference.zero), 1e-300)
    difference = energy - reference.energy
    beyond = math.copysign(max(0.0, abs(difference) - reference.uncertainty), difference)
    z, relative = z_score(beyond, error, scale), abs(beyond) / scale
    found: list[Doubt] = []
    source = reference.source
    if reference.exact:
        far = f"{-z:.1f} error bars" if error > 0 else f"{relative:.1g} (relative)"
        why = f"{far} below the {source} energy: no state lies there"
        found += graded("BELOW-EXACT", "ground", why, z < -3, z < -4)
    why = f"{relative:.1%} above the {source} energy{_bars(z, error)}"
    # two bars warn already: with four, an energy that is 3e-3 off would be milder judged the fewer samples it had
    found += graded("ABOVE-EXACT", "ground", why, z > 2 and relative > CLOSE, z > 4 and relative > WRONG)
    if found:
        return found, None
    if unsettled(energy, error, reference):
        return [], None
    if relative + 2 * error / scale <= 5 * CLOSE:
        off = abs(difference) / scale
        if difference < -3 * error and not reference.exact:
            return [], f"within {off:.1g} of the {source} energy, and below it, as it may be"
        return [], f"agrees with the {source} energy to {off:.1g}"
    why = f"the error bar of {error / scale:.1g} (relative) is too large to compare it with the {source} energy"
    return [Doubt("LOW-PRECISION", "ground", False, why)], None


def _bars(z: float, error: float) -> str:
    """A difference in error bars, in brackets; a full sum has none."""
    return f" ({abs(z):.0f} error bars)" if error > 0 else ""


def unsettled(energy: float, error: float, reference: Reference | None) -> str | None:
    """Why a reference that nothing contradicts does not say that a number is the ground state's, in words; else None.

    An energy below an upper bound, by more than that one's own error, is better than it; what is missing is not known.
    """
    if reference is None or reference.exact:
        return None
    difference, scale = energy - reference.energy, abs(reference.energy - reference.zero) or 1.0
    side = "below" if difference < 0 else "above"
    place = f"{abs(difference) / scale:.2g} (relative) {side} the {reference.source} energy"
    if reference.bound and -difference > reference.uncertainty + 3 * error:
        return f"{place}, which is an upper bound itself: how far the ground state lies below is not known"
    if not reference.bound and -difference - reference.uncertainty > max(2 * error, 5 * CLOSE * scale):
        return f"{place}, which is not exact: it decides nothing"
    if not reference.confirms:
        bound = ", an upper bound" if reference.bound else ""
        return f"{place}{bound} whose own error is not known to be below {CLOSE:g}"
    return None


def verdict_of(
    estimate: Estimate, reference: Reference | None = None, further: Iterable[Doubt] = (), unknown: str | None = None
) -> Verdict:
    """The verdict on an energy, from its statistics, a reference, and doubts of any other origin.

    Args:
        estimate: from ``energy_statistics``. reference: independent value. further: other doubts.
        unknown: as for ``judge``.
    """
    spread = variance_doubts(estimate.v_score, estimate.v_score_error)
    held, confirmed = reference_doubts(estimate.mean, estimate.error, reference)
    if confirmed and reference is not None and reference.exact:
        # an energy this near the lowest eigenvalue bounds the state's distance from the ground state; a variance, which
        # weighs high levels more, does not take that back
        near = abs(estimate.mean - reference.energy) <= CLOSE * abs(reference.energy - reference.zero)
        spread = [doubt._replace(refuses=doubt.refuses and not near) for doubt in spread]
    unknown = unsettled(estimate.mean, estimate.error, reference) or unknown
    return judge([*sampling_doubts(estimate), *spread, *held, *further], confirmed, unknown)


def worst(words: Iterable[str], default: str = "") -> str:
    """The worst of some verdicts, what is none left out; ``default`` where there is none."""
    return max((word for word in words if word in ORDER), key=ORDER.index, default=default)


def stored_verdict(record: Mapping[str, Any]) -> Verdict:
    """The verdict that a record holds."""
    answers = record["answers"]
    flags, reasons = tuple(record["flags"]), tuple(record["reasons"])
    return Verdict(record["verdict"], answers["sampled"], answers["state"], answers["ground"], flags, reasons)


def observable_verdict(
    value: float,
    error: float,
    exact: float | None,
    bias: float | None,
    energy: Verdict,
    *,
    bars: float = 4.0,
    near: tuple[float, str] | None = None,
) -> tuple[Word | Literal["estimate"], str]:
    """Verdict and reason of one expectation value: its error is of first order where the energy's is of second.

    Args:
        value, error: mean and standard error. exact: known value, or None. bias: estimate of what the state is off.
        energy: verdict on the energy of the same state. bars: error bars below which a bias does not count. near: value
            of a method that is not exact, and its name.

    Returns:
        "trusted" (agrees with a known value), "estimate" (nothing to compare with), "doubtful" or "refused".
    """
    if energy.word == "refused":
        return "refused", "the energy of this state is refused"
    if exact is not None:
        return _against_exact(value, error, exact, energy)
    if energy.word == "doubtful":
        return "doubtful", "the energy of this state is doubtful"
    if near is not None:
        z, relative = z_score(value - near[0], error, max(abs(near[0]), LEAST)), relative_error(value, near[0])
        if abs(z) > 4 and relative > 0.05:
            return "doubtful", f"{relative:.0%} off the value of {near[1]}{_bars(z, error)}"
    if bias is not None and bias > max(bars * error, 0.05 * abs(value)):
        return "doubtful", f"the state may be off by {bias:.2g}"
    return "estimate", "no exact value to compare with" if near is None else f"no exact value, near that of {near[1]}"


def _against_exact(value: float, error: float, exact: float, energy: Verdict) -> tuple[Word | Literal["estimate"], str]:
    scale = max(abs(exact), LEAST)  # below it an exact zero and its rounding are the same
    z = z_score(value - exact, error, scale)
    relative = relative_error(value, exact) if abs(exact) >= LEAST or abs(value) >= LEAST else 0.0
    if abs(z) > 4 and relative > 0.05:
        return "refused", f"{relative:.0%} off the exact value{_bars(z, error)}"
    if abs(z) > 4 and relative > 0.01:
        return "doubtful", f"{relative:.1%} off the exact value{_bars(z, error)}"
    if energy.word == "doubtful":
        return "doubtful", "the energy of this state is doubtful"
    if relative > 0.05:
        return "estimate", "within four error bars of the exact value, which are too long to say more"
    if {"NOT-CONVERGED", "BASE-NOT-CONVERGED"} & set(energy.flags):
        return "estimate", "agrees with the exact value, but the training of this state had not come to rest"
    if energy.word != "trusted":
        return "estimate", "agrees with the exact value, but the energy of this state is not trusted"
    return "trusted", "agrees with the exact value"
