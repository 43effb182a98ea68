"""How far an energy of a molecule can be trusted: what speaks against it, and what confirms it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.molecule import Molecule
from wavefoundry.core.statistics import Estimate, chain_z, z_score
from wavefoundry.core.verdict import (
    Doubt,
    Verdict,
    graded,
    judge,
    observable_verdict,
    refused,
    sampling_doubts,
)
from wavefoundry.problems.references.molecules import Reference
from wavefoundry.studies.molecules.curve import Curve

ABOVE, FAR_ABOVE = 2.0, 10.0
"""mHa per atom above a reference from which an energy is doubtful, and refused."""
VARIANCE, LARGE_VARIANCE = 0.01, 0.05
"""Variance of the local energy per electron (Ha^2) above which a state is doubtful, and refused."""
STRAY, LOST = 6.0, 10.0
"""Robust standard deviations of the medians of the chains beyond which a chain is stray, and spoils the number."""
HEAVIEST = 0.9
"""Share of one chain in the squared error bar above which the bar is doubtful."""
ACCEPTANCE = (0.05, 0.99)
RUNAWAY = 1e-3
"""Share of samples with an electron far from every nucleus from which on an energy is refused."""
FIFTH = 5
"""Steps in a fifth of a training below which it was too short to tell."""
FALL = 1e-3
"""Fall of the energy (Ha) from one fifth of a training to the next below which it counts as at rest."""


class Rest(NamedTuple):
    """Whether a training had come to rest: the fall of the mean energy (Ha) from the last fifth but one to the last.

    fall, noise: None where the curve has too few points to tell. formula, spin: of the molecule it was about, ""
    and None where that is not known.
    """

    fall: float | None = None
    noise: float | None = None
    formula: str = ""
    spin: int | None = None

    @property
    def converged(self) -> bool | None:
        """False: still falling; None: too short to tell."""
        if self.fall is None or self.noise is None:
            return None
        return not self.fall > max(3 * self.noise, FALL)

    def words(self) -> str:
        """What is doubtful about it."""
        if self.fall is None or self.noise is None:
            return "was too short to tell whether the energy had settled"
        return f"had not settled: over its last fifth the energy fell by {1000 * self.fall:.1f} mHa"


def rest_of(curve: Curve | None, column: int = 0) -> Rest:
    """Whether the last fifth of a training lies no lower than the fifth before, within noise."""
    if curve is None:
        return Rest()
    energy = curve.energy[:, column]
    energy = energy[np.isfinite(energy)]
    part = len(energy) // 5
    spacing = curve.steps[1] - curve.steps[0] if len(curve.steps) > 1 else 1  # blocks are noted as one
    if part < 2 or part * spacing < FIFTH:
        return Rest()
    before, after = energy[-2 * part : -part], energy[-part:]
    noise = math.sqrt((before.var(ddof=1) + after.var(ddof=1)) / part)
    return Rest(float(before.mean() - after.mean()), noise)


class Evidence(NamedTuple):
    """Everything a verdict rests on.

    estimate, energies: of fresh samples, energies (chains, samples). molecule: the molecule. energy_hf: Hartree-Fock in
    the smallest basis (Ha). acceptance, far: of the samples. reference: what to compare with. rest: of the training
    that made these weights; None: no training of its own. base: of the training it started from, by molecule; None:
    it started from nothing; empty: not known. untuned: record before the first step of a tuning. further: other doubts.
    """

    estimate: Estimate
    energies: np.ndarray
    molecule: Molecule
    energy_hf: float
    acceptance: float
    far: float
    reference: Reference | None = None
    rest: Rest | None = None
    base: dict[str, Rest] | None = None
    untuned: dict[str, Any] | None = None
    further: Sequence[Doubt] = ()


NOT_FINITE = refused("NOT-FINITE", "sampled", "local energies were not finite: there is no number")


def verdict_on(evidence: Evidence) -> Verdict:
    """The verdict on an energy of a molecule."""
    estimate, atoms = evidence.estimate, evidence.molecule.atoms
    doubts = [*sampling_doubts(estimate), *_walkers(evidence), *_state(evidence), *_trainings(evidence)]
    if estimate.mean - 3 * estimate.error > evidence.energy_hf:
        why = "the energy lies above Hartree-Fock in the smallest basis: the model does not know this molecule"
        doubts.append(Doubt("ABOVE-HF", "ground", True, why))
    held, confirmed, unknown = held_against(estimate.mean, estimate.error, evidence.reference, atoms)
    return judge([*doubts, *held, *evidence.further], confirmed, unknown)


def _walkers(evidence: Evidence) -> list[Doubt]:
    """Chains that stray, walkers that ran away, moves that explore nothing."""
    worst = stray(evidence.energies)
    why = f"one chain lies {worst:.0f} standard deviations from all others"
    found = graded("STRAY-CHAIN", "sampled", why, worst > STRAY, worst > LOST)
    heaviest = heaviest_chain(evidence.energies)
    why = f"the error bar hangs on one chain of {len(evidence.energies)}: {heaviest:.0%} of its square"
    found += graded("ONE-CHAIN", "sampled", why, heaviest > HEAVIEST, False)
    why = f"in {evidence.far:.2g} of the samples an electron is farther than 20 bohr from every nucleus"
    found += graded("RUNAWAY", "sampled", why, evidence.far > 0, evidence.far > RUNAWAY)
    if not ACCEPTANCE[0] < evidence.acceptance < ACCEPTANCE[1]:
        why = f"{evidence.acceptance:.1%} of the moves were accepted: the walkers did not explore"
        found.append(Doubt("UNMIXED", "sampled", True, why))
    return found


def novelty(molecule: Molecule, seen: Collection[tuple[str, int | None]]) -> list[Doubt]:
    """What is doubtful about using a model without a further step for what it was not trained on.

    Args:
        seen: formulas and spins (2S) of what it was trained on; "" and None where these are not known.

    Source: arXiv 2303.09949, where new compounds start 0.1 to 20 Ha off.
    """
    spins = {spin for formula, spin in seen if formula == molecule.formula}
    if spins & {molecule.spin, None}:
        return []
    elements = {symbol for formula, _ in seen for symbol in re.findall("[A-Z][a-z]?", formula)}
    unknown = any(not formula for formula, _ in seen)
    strange = [symbol for symbol in dict.fromkeys(molecule.symbols) if symbol not in elements]
    if strange and not unknown:
        why = f"the model has never seen {', '.join(strange)}: what it makes of these atoms is random"
        return [Doubt("NEW-ELEMENT", "state", True, why)]
    what = f"{molecule.formula} with 2S = {molecule.spin}" if spins else molecule.formula
    why = f"the model was not trained on {what}; without a further step new compounds are rarely right"
    if unknown and not spins:
        why = f"it is not known whether the model was trained on {what}"
    return [Doubt("NEW-COMPOUND", "state", False, why)]


def stray(energies: np.ndarray) -> float:
    """Largest distance of a chain from all others, in robust standard deviations of the medians of the chains.

    Not of the means: wild local energies occur in every chain of electrons now and then, a few in a row at times, and
    say nothing about where the chain is.
    """
    found = np.abs(chain_z(np.median(energies, axis=1)[:, None]))
    found = found[np.isfinite(found)]
    return float(found.max()) if len(found) else 0.0


def heaviest_chain(energies: np.ndarray) -> float:
    """Largest share of a single chain in the squared error bar.

    Local energies of electrons have rare large values, and walkers now and then visit places where all are large. Where
    one such visit makes up most of an error bar, the bar says how many there were, not how many there should be.
    """
    means = energies.mean(axis=1)
    squares = (means - np.median(means)) ** 2
    return float(squares.max() / squares.sum()) if squares.sum() > 0 else 0.0


def _state(evidence: Evidence) -> list[Doubt]:
    spread = evidence.estimate.variance / evidence.molecule.electrons
    why = f"the variance, {spread:.2g} Ha^2 per electron, is that of a state far from an eigenstate"
    return graded("HIGH-VARIANCE", "state", why, spread > VARIANCE, not spread <= LARGE_VARIANCE)


def _trainings(evidence: Evidence) -> list[Doubt]:
    """Trainings that had not come to rest, and a tuning that made things worse."""
    found = []
    if evidence.rest is not None and not evidence.rest.converged:
        found.append(Doubt("NOT-CONVERGED", "state", False, f"the training {evidence.rest.words()}"))
    if evidence.base is not None:
        formula = evidence.molecule.formula
        mine = {name: rest for name, rest in evidence.base.items() if rest.formula == formula} or evidence.base
        bad = {name: rest for name, rest in mine.items() if not rest.converged}
        if bad:
            name, rest = max(bad.items(), key=lambda item: item[1].fall or 0.0)
            which = f"{len(bad)} of {len(mine)} molecules, {name} for one"
            why = f"the training of the model ({which}) {rest.words()}"
            found.append(Doubt("BASE-NOT-CONVERGED", "state", False, why))
        elif not evidence.base:
            why = "it is not known whether the training of the model had settled"
            found.append(Doubt("BASE-NOT-CONVERGED", "state", False, why))
    estimate, before = evidence.estimate, evidence.untuned
    if before is not None and before["energy"] is not None:
        rise, bar = estimate.mean - before["energy"], math.hypot(estimate.error, before["energy_error"])
        if rise > 3 * bar:
            why = f"the tuning raised the energy by {1000 * rise:.1f} mHa ({rise / bar:.0f} error bars)"
            found.append(Doubt("WORSE", "state", False, why))
    return found


def held_against(
    energy: float, error: float, reference: Reference | None, atoms: int
) -> tuple[list[Doubt], str | None, str | None]:
    """An energy held against a reference, from both sides.

    Only an exact value refutes from below. From above every value near the complete basis does, and so does one in a
    small basis, which lies above that limit; but such a one confirms nothing.

    Args:
        energy, error: Ha. reference: what to compare with. atoms: of the molecule.

    Returns:
        Doubts; what confirms the energy, in words, or None; what there is to say where nothing does, or None.
    """
    if reference is None:
        return [], None, None
    difference, scale, source = energy - reference.value, 1e-3 * atoms, reference.source
    beyond = math.copysign(max(0.0, abs(difference) - reference.uncertainty), difference)
    z, per_atom = z_score(beyond, error, reference.value), beyond / scale
    found: list[Doubt] = []
    if reference.kind == "exact":
        why = f"{-z:.1f} error bars below the exact energy ({source}): no state lies there"
        found += graded("BELOW-EXACT", "ground", why, z < -3, z < -4)
    name = "exact energy" if reference.kind == "exact" else "reference"
    why = f"{1000 * difference:.1f} mHa above the {name} ({source}), {per_atom:.1f} mHa per atom"
    found += graded("ABOVE-EXACT", "ground", why, z > 4 and per_atom > ABOVE, z > 4 and per_atom > FAR_ABOVE)
    if found:
        return found, None, None
    if not reference.complete:
        return [], None, f"{source} is far from the limit of the basis: it shows that nothing is grossly wrong, no more"
    if per_atom < -ABOVE and reference.kind != "exact":
        why = f"{-1000 * difference:.1f} mHa below the reference ({source}), which is not exact: it decides nothing"
        return [], None, why
    if abs(per_atom) > ABOVE or error > ABOVE * scale:
        why = f"the error bar of {1000 * error:.1f} mHa is too large to compare it with the reference ({source})"
        return [Doubt("LOW-PRECISION", "ground", False, why)], None, None
    return [], f"agrees with the {name} ({source}) to {abs(1000 * difference) / atoms:.2g} mHa per atom", None


def observed(observables: dict[str, Any], energy: Verdict) -> dict[str, Any]:
    """Observables with a verdict of their own: against what spin and symmetry demand, where they demand something."""
    found = {}
    for name, record in observables.items():
        value, error = record.get("value"), record.get("error")
        if value is None:
            found[name] = record
            continue
        if name == "forces":
            word, why = _forces(record, energy)
        elif not isinstance(value, float) or not isinstance(error, float):
            word, why = observable_verdict(0.0, 0.0, None, None, energy)
        elif name == "spin":
            word, why = _exactly(value, error, record["pure"], 0.05, "that of a pure spin state", energy)
        elif name == "dipole":
            word, why = _dipole(record, energy)
        else:
            word, why = observable_verdict(value, error, None, None, energy)
        found[name] = record | {"verdict": word, "why": why}
    return found


def _dipole(record: dict[str, Any], energy: Verdict) -> tuple[str, str]:
    """Verdict on a dipole moment: what symmetry forbids and the state has nevertheless is an estimate of its bias."""
    broken = record["broken"]
    if broken["z"] > 4 and broken["value"] > 0.05 and energy.word != "refused":
        word = "refused" if broken["value"] > 0.5 else "doubtful"
        return word, f"the state has {broken['value']:.2g} D where symmetry allows none ({broken['z']:.0f} error bars)"
    if record["forbidden"]:
        return _exactly(record["value"], record["error"], 0.0, 0.05, "zero, as symmetry demands", energy)
    return observable_verdict(record["value"], record["error"], None, broken["value"], energy)


def _forces(record: dict[str, Any], energy: Verdict) -> tuple[str, str]:
    """Verdict on forces: large ones that symmetry forbids say that those it allows are off as well."""
    broken = record["broken"]
    if broken["z"] > 4 and broken["value"] > 0.02 and energy.word not in ("refused", "doubtful"):
        why = f"the state has forces of {broken['value']:.2g} Ha/bohr where symmetry allows none"
        return "doubtful", f"{why} ({broken['z']:.0f} error bars)"
    return observable_verdict(0.0, 0.0, None, None, energy)


def _exactly(value: float, error: float, exact: float, tolerance: float, what: str, energy: Verdict) -> tuple[str, str]:
    """Verdict on a value known beforehand, which may be zero: the tolerance is an absolute one."""
    if energy.word in ("refused", "doubtful"):
        return energy.word, f"the energy of this state is {energy.word}"
    off = abs(value - exact)
    if off > 4 * error and off > tolerance:
        return ("refused" if off > 10 * tolerance else "doubtful"), f"off by {off:.2g} from {what}"
    if error > tolerance and off > error:
        return "doubtful", f"the error bar is too large to compare the value with {what}"
    return "trusted", f"agrees with {what}"
