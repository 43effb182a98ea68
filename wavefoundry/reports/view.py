"""A reading of the records of a diagram.

A run may be partial, failed, or lack exact energies, so every number can be missing or not finite. Here all of that
becomes ``nan`` once, and tables and figures need no special cases.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.values import number
from wavefoundry.reports import verdicts

if TYPE_CHECKING:
    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.common import Cost, Lattice, Number
    from wavefoundry.core.records.diagram import Sketch
    from wavefoundry.core.records.point import Details, MethodCost, Observable, Point, Pretrained

NAN = math.nan
SEVERITY = (
    "NOT-FINITE",
    "BELOW-EXACT",
    "ABOVE-EXACT",
    "SUPPORT",
    "HIGH-VARIANCE",
    "SIGN-RULE",
    "NOT-CONVERGED",
    "BASE-NOT-CONVERGED",
    "IMAG",
    "R-HAT",
    "SHORT-CHAINS",
    "LOW-ESS",
    "LOW-PRECISION",
)
"""Known flags, the worst first. Unknown flags rank after these, and ``OK`` is the absence of flags.

A flag that ends in ``!`` means that the number must not be used; it ranks before all that do not.
"""


class Estimate(NamedTuple):
    """A measured number, its error bar and the exact value, each ``nan`` where unknown.

    z: distance from the exact value in error bars, else from ``near``. bias: what the state itself may be off. word,
    why: its own verdict and the reason; empty in records without verdicts. near, source: value of a method that is not
    exact.
    """

    value: float
    error: float = NAN
    exact: float = NAN
    z: float = NAN
    bias: float = NAN
    word: str = ""
    why: str = ""
    near: float = NAN
    source: str = ""

    @property
    def contradicts(self) -> bool:
        """Whether it is beyond four error bars of its exact value, and not merely by a small bar."""
        return not math.isnan(self.exact) and abs(self.z) > 4 and self.word in ("doubtful", "refused")


class Compared(NamedTuple):
    """What a method says of the energy of a point, per site; ``difference``: of ours from it, relative."""

    energy: float
    error: float
    difference: float
    cpu_seconds: float
    memory_mib: float
    kind: str
    source: str
    why: str
    details: Details | None


@dataclass(frozen=True)
class Row:
    """One coupling of the diagram. Energies and terms are per site when the number of sites is known.

    ``energy.exact`` is the reference, of whatever kind; ``scale`` what relative errors are counted from, abs(E0 - Tr H
    / dim). ``word`` is the verdict, empty in records written before there were any; ``answers`` those to the three
    questions in their order, if any. ``sketch``: features of samples.
    """

    couplings: dict[str, float]
    method: str
    energy: Estimate
    reference: str
    scale: float
    relative_error: float
    z: float
    v_score: Estimate
    v_score_plain: Estimate
    r_hat: float
    ess: float
    draws: float
    ess_min: float
    variance: float
    acceptance: float
    cpu_seconds: float
    trusted: bool
    flags: tuple[str, ...]
    word: str = ""
    answers: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    observables: dict[str, Estimate] = field(default_factory=dict)
    profiles: dict[str, list[Estimate]] = field(default_factory=dict)
    sketch: Sketch | None = None
    terms: dict[str, Estimate] = field(default_factory=dict)
    base: int = 0
    references: dict[str, Compared] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """What pictures tell points apart by: the verdict, or whether an old record was trusted."""
        return self.word or ("trusted" if self.trusted else "not trusted")

    @property
    def contradictions(self) -> list[tuple[str, str]]:
        """Names of the observables that contradict their exact value, and by how much; none at a refused energy."""
        if self.word == "refused":
            return []
        series = {f"{name}_{r}": entry for name, found in self.profiles.items() for r, entry in enumerate(found)}
        return [(name, entry.why) for name, entry in (self.observables | series).items() if entry.contradicts]


def parsed(summary: Mapping[str, Any]) -> DiagramSummary:
    """The typed records of a summary; of a kind without types of its own the outer form and ``points``.

    Raises:
        InputError: something in it has another form.
    """
    from wavefoundry.core.records import DiagramSummary, typed  # many types, for which the live view should not wait
    from wavefoundry.core.records.common import Summary

    if summary.get("kind", "diagram") != "diagram":
        outer = {field.alias or name for name, field in Summary.model_fields.items()} | {"points"}
        summary = {"points": []} | {name: value for name, value in summary.items() if name in outer}
    return typed(DiagramSummary, {**summary, "kind": "diagram"})


def sites(summary: DiagramSummary) -> float:
    """Number of sites: stated, from the lattice's size, or from the energies; ``nan`` if unknown."""
    if summary.system is not None and (summary.system.sites or 0) > 0:
        return number(summary.system.sites)
    lengths = lattice_size(summary.system)
    if lengths and all(length > 0 for length in lengths):
        return float(math.prod(lengths))
    for point in summary.points:
        ratio = divide(number(point.energy), number(point.energy_per_site))
        if ratio > 0:
            return float(round(ratio))
    return NAN


def lattice_size(system: Lattice | None) -> list[int]:
    """Cells along each axis; empty where they are not known."""
    lattice = system and system.lattice
    if lattice is None:
        return []
    return lattice.size if isinstance(lattice.size, list) else [lattice.size]


def divide(numerator: float, denominator: float) -> float:
    """The quotient, ``nan`` where it does not exist."""
    return numerator / denominator if denominator and math.isfinite(denominator) else NAN


def rows(summary: DiagramSummary) -> list[Row]:
    """All points of a summary, ordered by method and couplings; what method auto has chosen by couplings alone."""
    scale = sites(summary)
    found = [
        replace(_row(point, scale), sketch=sketch)
        for point, sketch in zip_longest(summary.points, (summary.features_along or [])[: len(summary.points)])
    ]
    if any(point.ladder for point in summary.points):
        return sorted(found, key=lambda row: tuple(row.couplings.values()))
    return sorted(found, key=lambda row: (row.method, tuple(row.couplings.values())))


def base(summary: DiagramSummary) -> Row | None:
    """The pre-trained state as a row, where it was judged."""
    record = summary.pretrain
    return _row(record, sites(summary)) if record is not None and verdicts.word(record) else None


def _row(point: Point, scale: float) -> Row:
    scale = 1.0 if math.isnan(scale) else scale
    energy, error = number(point.energy), number(point.energy_error)
    energy = number(point.energy_per_site) * scale if math.isnan(energy) else energy
    held = point.reference
    exact = number(point.exact_energy)
    exact = number(held and held.energy) if math.isnan(exact) else exact
    zero = number(held and held.zero)
    distance = abs(exact - (0.0 if math.isnan(zero) else zero))
    relative = number(point.relative_error)
    relative = divide(energy - exact, distance) if math.isnan(relative) else relative
    # Below the exact energy is a different finding from above it, so the sign must survive in every picture.
    relative = math.copysign(relative, energy - exact) if not math.isnan(energy - exact) else relative
    answers, z = point.answers, number(point.z)
    observables, profiles = _observables(point)
    return Row(
        couplings=point.couplings,
        method=point.method,
        energy=Estimate(energy / scale, error / scale, exact / scale),
        reference=held.source or "exact" if held is not None and held.kind != "exact" else "exact",
        scale=distance / scale,
        relative_error=relative,
        z=divide(energy - exact, error) if math.isnan(z) else z,
        v_score=Estimate(number(point.v_score), number(point.v_score_error)),
        v_score_plain=Estimate(number(point.v_score_plain), number(point.v_score_plain_error)),
        r_hat=number(point.r_hat),
        ess=number(point.ess),
        draws=number(point.pool and point.pool.draws),
        ess_min=number(point.pool and point.pool.ess_min),
        variance=number(point.variance),
        acceptance=number(point.acceptance),
        cpu_seconds=cpu_seconds(point.cost),
        trusted=point.trusted,
        flags=tuple(verdicts.flags(point)),
        word=verdicts.word(point),
        answers=() if answers is None else (answers.sampled, answers.state, answers.ground),
        reasons=tuple(point.reasons),
        observables=observables,
        profiles=profiles,
        terms={name: Estimate(number(x.value) / scale, number(x.error) / scale) for name, x in point.terms.items()},
        base=0 if point.base is None else point.base.index,
        references=_references(point, scale),
    )


def bases(summary: DiagramSummary) -> list[Pretrained]:
    """Records of all pre-trained states; usually of the only one."""
    return summary.bases or ([] if summary.pretrain is None else [summary.pretrain])


def pretraining_seconds(summary: DiagramSummary) -> float:
    """CPU seconds of all pre-trainings together."""
    spent = [cpu_seconds(record.cost) for record in bases(summary)]
    return sum(spent) if spent else NAN


def _references(point: Point, scale: float) -> dict[str, Compared]:
    """What every method gave for a point, those without a value too."""
    found = {}
    for method, one in point.references.items():
        energy, error = number(one.energy) / scale, number(one.error) / scale
        rest = number(one.difference), cpu_seconds(one.cost), number(one.cost and one.cost.memory_mib)
        found[method] = Compared(energy, error, *rest, one.kind or "", one.source or "", one.why or "", one.details)
    return found


def _estimate(entry: Observable, exact: Number | list[Number]) -> Estimate:
    value, error = number(entry.value), number(entry.error)
    known, z = number(entry.exact), number(entry.z)
    known = number(exact) if math.isnan(known) else known
    z = divide(value - known, error) if math.isnan(z) else z
    near, source = (NAN, "") if entry.reference is None else (number(entry.reference.value), entry.reference.source)
    return Estimate(value, error, known, z, number(entry.bias), entry.verdict, entry.why or "", near, source)


def _observables(point: Point) -> tuple[dict[str, Estimate], dict[str, list[Estimate]]]:
    """Scalars, and profiles: lists of values, or scalars numbered like ``zz_1 ... zz_16`` (four and more)."""
    scalars: dict[str, Estimate] = {}
    profiles: dict[str, list[Estimate]] = {}
    numbered: dict[str, dict[int, str]] = {}
    for name, entry in point.observables.items():
        exact = point.exact_observables.get(name)
        if isinstance(entry.value, list):
            errors, known = (values if isinstance(values, list) else [] for values in (entry.error, exact))
            triples = zip_longest(entry.value, errors[: len(entry.value)], known[: len(entry.value)])
            profiles[name] = [Estimate(number(a), number(b), number(c)) for a, b, c in triples]
            continue
        scalars[name] = _estimate(entry, exact)
        if match := re.fullmatch(r"(.+?)[_(\[](\d{1,4})[)\]]?", name):
            numbered.setdefault(match[1], {})[int(match[2])] = name
    for stem, members in numbered.items():
        first = min(members)
        if len(members) >= 4 and sorted(members) == list(range(first, first + len(members))) and first <= 1:
            series = [scalars.pop(members[index]) for index in sorted(members)]
            profiles[stem] = [Estimate(NAN)] * first + series
    return scalars, profiles


def cpu_seconds(cost: Cost | MethodCost | None) -> float:
    """CPU seconds that something took, where they are known."""
    return number(cost and cost.cpu_seconds)


def axes(summary: DiagramSummary, found: list[Row] | None = None) -> tuple[str, ...]:
    """Names of the couplings that vary over the diagram; of a single point, those unlike the pre-training."""
    found = rows(summary) if found is None else found
    pretrained = {} if summary.pretrain is None else summary.pretrain.couplings
    names = list(dict.fromkeys(name for row in found for name in row.couplings))
    varying = [name for name in names if len({row.couplings.get(name) for row in found}) > 1]
    if not varying:
        varying = [name for name in names if pretrained.get(name, found[0].couplings[name]) != found[0].couplings[name]]
    return tuple(varying or names[:1])


def worst_flag(found: list[Row]) -> str:
    """The most severe flag of all points, ``OK`` when there is none."""
    flags = {flag for row in found for flag in row.flags}
    rank = {name: place for place, name in enumerate(SEVERITY)}

    def order(flag: str) -> tuple[bool, int, str]:
        return not flag.endswith("!"), rank.get(flag.rstrip("!"), len(SEVERITY)), flag

    return min(flags, key=order, default="OK")


def unit(summary: DiagramSummary) -> str:
    """The energy unit as a coupling's name, ``J`` or ``J1``.

    Empty when the Hamiltonian is the user's own, and where that coupling is not 1 everywhere: energies are those of H.
    """
    model = summary.system and MODELS.get(summary.system.model)
    records = [*([] if summary.pretrain is None else [summary.pretrain]), *summary.points]
    if not model or any(record.couplings.get(model.unit, 1.0) != 1.0 for record in records):
        return ""
    return model.unit


def label(couplings: dict[str, float], names: tuple[str, ...]) -> str:
    """Short text of a point, ``h = 0.9, J2 = 0.4``."""
    return ", ".join(f"{name} = {couplings[name]:g}" for name in names if name in couplings)
