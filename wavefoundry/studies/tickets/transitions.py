"""Does a state collapse at once when its network is cut, or does its error grow as a power law says?

First-order-like is only what shows all signs at one cut: a kink of the error beyond what the power law on either side
predicts, a dip of the fidelity between the two networks, and a jump of both competing order parameters; longer training
must not remove it, and other seeds must show it where they were run. All else is "steep, not decided" or "smooth".

Source: arXiv 2505.22734 (kink of the error, drop of the fidelity, jump of the magnetisations at one sparsity); the
limits are choices of this package.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from wavefoundry.core.hamiltonians import MODELS

Word = Literal["first-order-like", "steep, not decided", "smooth", "not looked at"]
FIRST, STEEP, SMOOTH, NOT_LOOKED = "first-order-like", "steep, not decided", "smooth", "not looked at"

JUMP = 3.0
"""Factor by which an error must grow, beyond what the local power law predicts."""
SCATTER = 4.0
"""A kink also exceeds the usual scatter of errors about their power law so many times."""
NEIGHBOURS = 4
"""Cuts on either side from which the local power law is read."""
LEFT, RIGHT = 3, 2
"""Fewest of them before and after."""
USUAL = 3.0
"""Fidelities and order parameters change so many times more than in the cuts around."""
LOST = 0.01
"""Least infidelity between two neighbouring networks that counts as a dip."""
MOVED = 2e-3
"""Least change of an order parameter (of a range of about 1) that counts as a jump."""
FLOOR = 1e-9
"""Relative errors below this are those of the optimiser."""
SEEN = 1e-6
"""Relative errors that grow to less than this are no reason for a doubt where the power law cannot be told."""
TITLES = {
    "kink": "a kink at one cut", "fidelity": "a dip of the fidelity", "observables": "a jump of both order parameters",
    "training": "a test with longer training", "seeds": "the same in other seeds",
}  # fmt: skip


class Sign(NamedTuple):
    """One sign of a transition: seen, not seen, or not known (None), and why in words."""

    seen: bool | None
    why: str


class Curve(NamedTuple):
    """Error against size: log n (falling), log of the error (not below its bar), of every round."""

    u: np.ndarray
    y: np.ndarray

    @property
    def resolved(self) -> np.ndarray:
        """Which errors are more than rounding."""
        return self.y > math.log(FLOOR)

    @property
    def rates(self) -> np.ndarray:
        """Growth of the log error per log n removed, one for every cut; the exponent of a power law, sign reversed.

        nan where the error before the cut is not resolved.
        """
        return np.where(self.resolved[:-1], np.diff(self.y) / -np.diff(self.u), math.nan)

    def law(self, cut: int) -> tuple[float, int, int]:
        """The steeper of the median rates before and after a cut, and how many cuts tell of either side."""
        sides = self.rates[max(0, cut - NEIGHBOURS) : cut], self.rates[cut + 1 : cut + 1 + NEIGHBOURS]
        before, after = (side[np.isfinite(side)] for side in sides)
        law = max([0.0, *(float(np.median(side)) for side in (before, after) if len(side))])
        return law, len(before), len(after)


def transition(
    rounds: Sequence[Mapping[str, Any]],
    jumps: Sequence[Mapping[str, Any]] = (),
    isolation: Sequence[Mapping[str, Any]] = (),
    *,
    model: str = "ising",
    looked: bool = True,
) -> dict[str, Any]:
    """The verdict on the rounds of one pruning.

    Args:
        rounds: records of all rounds, densest first. jumps: what longer training made of errors that jump.
        isolation: isolated trainings; those of found masks are further seeds. model: name, for the order parameters.
        looked: whether jumps were trained again.

    Returns:
        ``word``; ``n``, ``next_n`` and ``round`` of the cut it is about (null without one); ``growth`` of the error
        there and ``expected`` growth; ``signs`` {name: {seen, why}}; ``reasons``.
    """
    if len(rounds) < 2 or any(record.get("relative_error") is None for record in rounds):
        return _result(NOT_LOOKED, ["no reference energy is known, so errors are not either"])
    curve = curve_of(rounds)
    excess = excesses(curve)
    kinks = [kink(curve, excess, cut) for cut in range(len(excess))]
    found = [k for k, sign in enumerate(kinks) if sign.seen]
    if not found:
        return _without_kink(rounds, curve, kinks)
    judged = [_signs(rounds, jumps, isolation, model, looked, k, kinks[k]) for k in found]
    best = max(range(len(found)), key=lambda i: (_count(judged[i]), excess[found[i]]))
    cut, signs = found[best], judged[best]
    reasons = [sign.why for sign in signs.values()]
    wanting = [
        TITLES[name] for name, sign in signs.items() if not sign.seen and (name != "seeds" or sign.seen is False)
    ]
    reasons += [f"wanting: {', '.join(wanting)}"] if wanting else []
    if all(signs["training"].seen is False for signs in judged):
        return _result(
            SMOOTH, ["every jump of the error goes away with more training"], rounds, cut, signs, excess, curve
        )
    return _result(STEEP if wanting else FIRST, reasons, rounds, cut, signs, excess, curve)


def curve_of(rounds: Sequence[Mapping[str, Any]]) -> Curve:
    """Logarithms of size and error; nothing below its own error bar, or below the optimiser, is known."""
    n = np.array([float(record["n"]) for record in rounds])
    error = np.abs(np.array([float(record["relative_error"]) for record in rounds]))
    bars = [float(r.get("energy_error") or 0.0) / max(abs(float(r.get("energy") or math.inf)), 1e-300) for r in rounds]
    return Curve(np.log(n), np.log(np.maximum(np.maximum(error, bars), FLOOR)))


def excesses(curve: Curve) -> np.ndarray:
    """How much more the log error grows at each cut than the steeper of the laws before and after it predicts.

    The exponent of either side is the median over up to four cuts; nan where there are too few. A change of slope alone
    gives none, for one of the two sides explains it.
    """
    out = np.full(len(curve.u) - 1, math.nan)
    for cut in range(len(out)):
        law, before, after = curve.law(cut)
        if before >= LEFT and after >= RIGHT:
            out[cut] = curve.y[cut + 1] - curve.y[cut] - law * (curve.u[cut] - curve.u[cut + 1])
    return out


def kink(curve: Curve, excess: np.ndarray, cut: int) -> Sign:
    """Whether the error jumps at a cut beyond the local power law and its scatter, at that cut alone."""
    mine, growth = excess[cut], math.exp(curve.y[cut + 1] - curve.y[cut])
    if math.isnan(mine):
        expected = math.exp(curve.law(cut)[0] * (curve.u[cut] - curve.u[cut + 1]))
        if growth > JUMP * expected and curve.y[cut + 1] > math.log(SEEN):
            return Sign(None, f"{_grows(curve, cut)}, and too few rounds around tell what to expect")
        said = f"{_grows(curve, cut)}, the power law around predicts {expected:.1f}"
        small = growth > JUMP * expected
        return Sign(False, f"{said}; an error that stays below {SEEN:.0e} is no reason for a doubt" if small else said)
    known = excess[np.isfinite(excess)]
    scatter = 1.4826 * float(np.median(np.abs(known - np.median(known))))
    expected = math.exp(curve.y[cut + 1] - curve.y[cut] - mine)
    said = f"{_grows(curve, cut)}, the power law around predicts {expected:.1f}"
    if mine <= math.log(JUMP):
        return Sign(False, said)
    if mine <= SCATTER * scatter:
        return Sign(False, f"{said}; errors scatter by a factor of {math.exp(scatter):.1f} about it")
    beside = [excess[k] for k in (cut - 1, cut + 1) if 0 <= k < len(excess) and math.isfinite(excess[k])]
    if beside and max(beside) > mine / 2:
        if max(beside) > mine:
            return Sign(False, f"{said}; the next cut jumps more")
        return Sign(True, f"{said}, spread over more than one cut")
    return Sign(True, said)


def _grows(curve: Curve, cut: int) -> str:
    """How much the error grows at a cut, in words; there is no factor where the error before is not resolved."""
    if not curve.resolved[cut]:
        return f"the error grows from less than {FLOOR:.0e}, rounding, to {math.exp(curve.y[cut + 1]):.1e}"
    growth = math.exp(curve.y[cut + 1] - curve.y[cut])
    return (
        f"the error grows by a factor of {growth:.1f}"
        if growth < 1e3
        else f"the error grows by a factor of {growth:.0e}"
    )


def _signs(
    rounds: Sequence[Mapping[str, Any]], jumps: Sequence[Mapping[str, Any]], isolation: Sequence[Mapping[str, Any]],
    model: str, looked: bool, cut: int, kinked: Sign,
) -> dict[str, Sign]:  # fmt: skip
    """All signs at a cut. A kink that is spread over several cuts is no jump at one."""
    kinked = Sign(None, kinked.why) if "spread over" in kinked.why else kinked
    return {
        "kink": kinked,
        "fidelity": fidelity_sign(rounds, cut),
        "observables": observables_sign(rounds, cut, model),
        "training": training_sign(jumps, cut + 1, looked),
        "seeds": seeds_sign(isolation, cut + 1),
    }


def _around(values: np.ndarray, cut: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to three known values before and after a cut."""
    before, after = values[max(0, cut - 3) : cut], values[cut + 1 : cut + 4]
    return before[np.isfinite(before)], after[np.isfinite(after)]


def fidelity_sign(rounds: Sequence[Mapping[str, Any]], cut: int) -> Sign:
    """Whether neighbouring networks overlap less at a cut than at the cuts before *and* after it."""
    kept = [record.get("fidelity_previous") for record in rounds[1:]]
    lost = np.array([math.nan if value is None else max(0.0, 1.0 - float(value)) for value in kept])
    before, after = _around(lost, cut)
    if not math.isfinite(lost[cut]) or not len(before) or not len(after):
        return Sign(None, "the fidelity around it is not known")
    usual = max(float(np.median(before)), float(np.median(after)), 1e-4)
    said = f"the fidelity falls to {1 - lost[cut]:.4f}, usually {1 - usual:.4f} around"
    return Sign(bool(lost[cut] >= LOST and lost[cut] > USUAL * usual), said)


def observables_sign(rounds: Sequence[Mapping[str, Any]], cut: int, model: str) -> Sign:
    """Whether both competing order parameters jump at a cut."""
    names = MODELS[model].competing if model in MODELS else ()
    if not names:
        return Sign(None, "this model has no pair of order parameters that are measured")
    seen: list[bool] = []
    texts = []
    for name in names:
        values = [(record.get("observables") or {}).get(name) for record in rounds]
        if any(value is None for value in values):
            return Sign(None, f"{name} is not known")
        bars = [float((record.get("observable_errors") or {}).get(name) or 0.0) for record in rounds]
        moved = np.diff(np.array(values, float))
        before, after = _around(np.abs(moved), cut)
        if not len(before) or not len(after):
            return Sign(None, f"{name} around it is not known")
        usual = max(float(np.median(before)), float(np.median(after)))
        bar = math.hypot(bars[cut], bars[cut + 1])
        size = abs(float(moved[cut]))
        seen.append(size >= MOVED and size > USUAL * usual and size > 3 * bar)
        texts.append(f"{name} changes by {moved[cut]:+.4f}, usually {usual:.1g}")
    both = " and ".join(names)
    said = f"{both} jump together" if all(seen) else f"{both} do not both jump"
    return Sign(all(seen), f"{said}: {'; '.join(texts)}")


def training_sign(jumps: Sequence[Mapping[str, Any]], number: int, looked: bool) -> Sign:
    """Whether longer training leaves the jump of a round."""
    found = next((jump for jump in jumps if jump.get("round") == number), None)
    if not looked or found is None:
        return Sign(None, "longer training was not tried")
    if found["confirmed"]:
        return Sign(True, "longer training does not remove it")
    return Sign(False, "it goes away with more training")


def seeds_sign(isolation: Sequence[Mapping[str, Any]], number: int) -> Sign:
    """Whether the found masks of both rounds, trained alone from several starts, show the jump in every one."""
    errors: list[list[float]] = []
    for wanted in (number - 1, number):
        mine = [r for r in isolation if r.get("round") == wanted and r.get("variant") in ("init", "random-init")]
        errors.append([abs(float(e)) for record in mine for e in record.get("errors") or [] if e is not None])
    if min(map(len, errors)) < 2:
        return Sign(None, "other seeds were not run")
    least = min(errors[1]) / max(*errors[0], FLOOR)
    said = (
        f"in {min(map(len, errors))} trainings of either mask alone the error grows at least by a factor of {least:.1f}"
    )
    return Sign(bool(least >= JUMP), said)


def _count(signs: Mapping[str, Sign]) -> int:
    return sum(bool(sign.seen) for sign in signs.values())


def _without_kink(rounds: Sequence[Mapping[str, Any]], curve: Curve, kinks: Sequence[Sign]) -> dict[str, Any]:
    """No jump beyond the power law: smooth, unless a steep rise lies where the law cannot be told."""
    growth = np.exp(np.diff(curve.y))
    steepest = int(np.argmax(growth))
    blind = [k for k, sign in enumerate(kinks) if sign.seen is None]
    if blind:
        cut = max(blind, key=lambda k: growth[k])
        signs = {"kink": kinks[cut]}
        return _result(STEEP, [kinks[cut].why], rounds, cut, signs, None, curve)
    why = f"no jump beyond the power law; at the steepest cut {_grows(curve, steepest)}"
    if growth[steepest] > JUMP:
        why = f"no cut stands out, of the steepest: {kinks[steepest].why}"
    return _result(SMOOTH, [why])


def _result(
    word: Word, reasons: list[str], rounds: Sequence[Mapping[str, Any]] = (), cut: int | None = None,
    signs: Mapping[str, Sign] | None = None, excess: np.ndarray | None = None, curve: Curve | None = None,
) -> dict[str, Any]:  # fmt: skip
    place: dict[str, Any] = dict.fromkeys(("round", "n", "next_n", "growth", "expected"))
    if cut is not None and curve is not None:
        place |= {"round": cut + 1, "n": rounds[cut]["n"], "next_n": rounds[cut + 1]["n"]}
        growth = math.exp(curve.y[cut + 1] - curve.y[cut])
        place["growth"] = growth if curve.resolved[cut] else None
        if excess is not None and math.isfinite(excess[cut]):
            place["expected"] = growth / math.exp(excess[cut])
    return {
        "word": word,
        **place,
        "signs": {name: sign._asdict() for name, sign in (signs or {}).items()},
        "reasons": reasons,
    }


def sentence(found: Mapping[str, Any]) -> str:
    """A verdict as one sentence."""
    word = str(found["word"])
    if word == NOT_LOOKED:
        return f"Jumps were not looked at: {'; '.join(found['reasons'])}."
    where = f", between {found['n']} and {found['next_n']} weights" if found.get("n") is not None else ""
    return f"{word[0].upper()}{word[1:]}{where}: {'; '.join(found['reasons'])}."


def over_seeds(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The verdict over several prunings that differ in their seeds: a transition only if every one of them shows it.

    Args:
        found: from ``transition``.

    Returns:
        ``word``, ``counts`` of the words, ``between`` (fewest and most weights at which it was seen, or null),
        ``reasons``.
    """
    words = [str(one["word"]) for one in found]
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    said = ", ".join(f"{count} of {len(words)} {word}" for word, count in counts.items())
    at = [(one["next_n"], one["n"]) for one in found if one["word"] == FIRST]
    between = [min(low for low, _ in at), max(high for _, high in at)] if at else None
    if not words or NOT_LOOKED in words:
        word = NOT_LOOKED
    elif len(at) == len(words):
        word = FIRST
        if between is not None and max(low for low, _ in at) > 2 * min(high for _, high in at):
            word, said = STEEP, f"{said}, at sizes that differ more than twofold"
    else:
        word = SMOOTH if set(words) == {SMOOTH} else STEEP
    return {"word": word, "counts": counts, "between": between, "reasons": [said]}
