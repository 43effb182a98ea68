"""A forgiving reading of a run's ``summary.json``.

A run may be partial, failed, or lack exact energies, so every number can be absent, null or non-finite. Here
all of that becomes ``nan`` or an empty container once, and tables and figures need no special cases.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.values import number
from wavefoundry.reports import verdicts

NAN = math.nan
NOT_EXACT = ("method", "upper bound")
"""Kinds of a reference that is called by its source."""
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
    details: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One coupling of the diagram. Energies and terms are per site when the number of sites is known.

    ``energy.exact`` is the reference, of whatever kind; ``scale`` what relative errors are counted from, abs(E0 - Tr H
    / dim). ``word`` is the verdict, empty in records written before there were any; ``answers`` those to the three
    questions.
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
    answers: dict[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    observables: dict[str, Estimate] = field(default_factory=dict)
    profiles: dict[str, list[Estimate]] = field(default_factory=dict)
    terms: dict[str, Estimate] = field(default_factory=dict)
    base: float = 0
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


def mapping(value: Any) -> dict[str, Any]:
    """``value`` when it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def listing(value: Any) -> list[Any]:
    """``value`` when it is a list or tuple, else an empty list."""
    return list(value) if isinstance(value, (list, tuple)) else []


def raw_points(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The points of a summary that are objects at all."""
    return [point for point in listing(summary.get("points")) if isinstance(point, dict)]


def couplings_of(entry: dict[str, Any]) -> dict[str, float]:
    """Couplings by name, without those that are not numbers."""
    values = {str(name): number(value) for name, value in mapping(entry.get("couplings")).items()}
    return {name: value for name, value in values.items() if not math.isnan(value)}


def sites(summary: dict[str, Any]) -> float:
    """Number of sites: stated, from the lattice's size, or from the energies; ``nan`` if unknown."""
    system = mapping(summary.get("system"))
    for key in ("sites", "n_sites", "size"):
        if number(system.get(key)) > 0:
            return number(system[key])
    size = mapping(system.get("lattice")).get("size")
    lengths = [number(length) for length in (listing(size) or [size])]
    if all(length > 0 for length in lengths):
        return math.prod(lengths)
    for point in raw_points(summary):
        ratio = divide(number(point.get("energy")), number(point.get("energy_per_site")))
        if ratio > 0:
            return float(round(ratio))
    return NAN


def divide(numerator: float, denominator: float) -> float:
    """The quotient, ``nan`` where it does not exist."""
    return numerator / denominator if denominator and math.isfinite(denominator) else NAN


def rows(summary: dict[str, Any]) -> list[Row]:
    """All points of a summary, ordered by method and couplings; what method auto has chosen by couplings alone."""
    scale = sites(summary)
    found = [_row(point, scale) for point in raw_points(summary)]
    if any(point.get("ladder") for point in raw_points(summary)):
        return sorted(found, key=lambda row: tuple(row.couplings.values()))
    return sorted(found, key=lambda row: (row.method, tuple(row.couplings.values())))


def base(summary: dict[str, Any]) -> Row | None:
    """The pre-trained state as a row, where it was judged."""
    record = mapping(summary.get("pretrain"))
    at = record.get("couplings")
    record = record | {"couplings": at[0] if isinstance(at, list) and at else at}
    return _row(record, sites(summary)) if verdicts.word(record) else None


def _row(point: dict[str, Any], scale: float) -> Row:
    scale = 1.0 if math.isnan(scale) else scale
    energy, error = number(point.get("energy")), number(point.get("energy_error"))
    per_site = number(point.get("energy_per_site"))
    energy = per_site * scale if math.isnan(energy) else energy
    reference = mapping(point.get("reference"))
    exact = number(point.get("exact_energy"))
    exact = number(reference.get("energy")) if math.isnan(exact) else exact
    zero = number(reference.get("zero"))
    distance = abs(exact - (0.0 if math.isnan(zero) else zero))
    relative = number(point.get("relative_error"))
    relative = divide(energy - exact, distance) if math.isnan(relative) else relative
    # Below the exact energy is a different finding from above it, so the sign must survive in every picture.
    relative = math.copysign(relative, energy - exact) if not math.isnan(energy - exact) else relative
    flags = tuple(str(flag) for flag in listing(point.get("flags")) if str(flag) != "OK")
    trusted = point.get("trusted")
    pool, observables, profiles = mapping(point.get("pool")), *_observables(point)
    answers = {str(name): str(answer) for name, answer in mapping(point.get("answers")).items()}
    z = number(point.get("z"))
    terms = {str(name): _estimate(entry) for name, entry in mapping(point.get("terms")).items()}
    return Row(
        couplings=couplings_of(point),
        method=str(point.get("method") or ""),
        energy=Estimate(energy / scale, error / scale, exact / scale),
        reference=str(reference.get("source") or "exact") if reference.get("kind") in NOT_EXACT else "exact",
        scale=distance / scale,
        relative_error=relative,
        z=divide(energy - exact, error) if math.isnan(z) else z,
        v_score=Estimate(number(point.get("v_score")), number(point.get("v_score_error"))),
        v_score_plain=Estimate(number(point.get("v_score_plain")), number(point.get("v_score_plain_error"))),
        r_hat=number(point.get("r_hat")),
        ess=number(point.get("ess")),
        draws=number(pool.get("draws")),
        ess_min=number(pool.get("ess_min")),
        variance=number(point.get("variance")),
        acceptance=number(point.get("acceptance")),
        cpu_seconds=cpu_seconds(point),
        trusted=trusted if isinstance(trusted, bool) else not flags,
        flags=flags,
        word=verdicts.word(point),
        answers=answers,
        reasons=tuple(verdicts.reasons(point)),
        observables=observables,
        profiles=profiles,
        terms={name: Estimate(term.value / scale, term.error / scale) for name, term in terms.items()},
        base=base_of(point),
        references=_references(point, scale),
    )


def base_of(entry: dict[str, Any]) -> float:
    """Number of the base that a record or an event belongs to; the first one where it does not say."""
    base = entry.get("base")
    found = number(mapping(base).get("index") if isinstance(base, dict) else base)
    return 0 if math.isnan(found) else found


def bases(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Records of all pre-trained states; usually of the only one."""
    return [mapping(record) for record in listing(summary.get("bases"))] or [mapping(summary.get("pretrain"))]


def pretraining_seconds(summary: dict[str, Any]) -> float:
    """CPU seconds of all pre-trainings together."""
    return sum(cpu_seconds(record) for record in bases(summary))


def _references(point: dict[str, Any], scale: float) -> dict[str, Compared]:
    """What every method gave for a point, those without a value too."""
    found = {}
    for method, entry in mapping(point.get("references")).items():
        one = mapping(entry)
        energy, error = number(one.get("energy")) / scale, number(one.get("error")) / scale
        kind, source, why = (str(one.get(key) or "") for key in ("kind", "source", "why"))
        cost = mapping(one.get("cost"))
        rest = number(one.get("difference")), number(cost.get("cpu_seconds")), number(cost.get("memory_mib"))
        found[str(method)] = Compared(energy, error, *rest, kind, source, why, mapping(one.get("details")))
    return found


def _estimate(entry: Any, exact: Any = None) -> Estimate:
    if not isinstance(entry, dict):
        return Estimate(number(entry), NAN, number(exact))
    value, error = number(entry.get("value")), number(entry.get("error"))
    known, z = number(entry.get("exact")), number(entry.get("z"))
    known = number(exact) if math.isnan(known) else known
    z = divide(value - known, error) if math.isnan(z) else z
    word, why = str(entry.get("verdict") or ""), str(entry.get("why") or "")
    other = mapping(entry.get("reference"))
    near, source = number(other.get("value")), str(other.get("source") or "")
    return Estimate(value, error, known, z, number(entry.get("bias")), word, why, near, source)


def _observables(point: dict[str, Any]) -> tuple[dict[str, Estimate], dict[str, list[Estimate]]]:
    """Scalars, and profiles: lists of values, or scalars numbered like ``zz_1 ... zz_16`` (four and more)."""
    exact = mapping(point.get("exact_observables"))
    scalars: dict[str, Estimate] = {}
    profiles: dict[str, list[Estimate]] = {}
    numbered: dict[str, dict[int, str]] = {}
    for key, entry in mapping(point.get("observables")).items():
        name, value = str(key), mapping(entry).get("value", entry)
        if isinstance(value, list):
            errors, references = listing(mapping(entry).get("error")), listing(exact.get(key))
            pad = [None] * len(value)
            triples = zip(value, errors + pad, references + pad, strict=False)
            profiles[name] = [Estimate(number(a), number(b), number(c)) for a, b, c in triples]
            continue
        scalars[name] = _estimate(entry, exact.get(key))
        if match := re.fullmatch(r"(.+?)[_(\[](\d{1,4})[)\]]?", name):
            numbered.setdefault(match[1], {})[int(match[2])] = name
    for stem, members in numbered.items():
        first = min(members)
        if len(members) >= 4 and sorted(members) == list(range(first, first + len(members))) and first <= 1:
            series = [scalars.pop(members[index]) for index in sorted(members)]
            profiles[stem] = [Estimate(NAN)] * first + series
    return scalars, profiles


def cpu_seconds(entry: dict[str, Any]) -> float:
    """CPU seconds of a point or a pre-training, from ``cost`` as a number or as an object."""
    cost = entry.get("cost")
    return number(mapping(cost).get("cpu_seconds")) if isinstance(cost, dict) else number(cost)


def axes(summary: dict[str, Any], found: list[Row] | None = None) -> tuple[str, ...]:
    """Names of the couplings that vary over the diagram; of a single point, those unlike the pre-training."""
    found = rows(summary) if found is None else found
    pretrained = couplings_of(mapping(summary.get("pretrain")))
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


def unit(summary: dict[str, Any]) -> str:
    """The energy unit as a coupling's name, ``J`` or ``J1``; empty when the Hamiltonian is the user's own."""
    system = mapping(summary.get("system"))
    if isinstance(system.get("unit"), str):
        return system["unit"]
    model = str(system.get("model", ""))
    return MODELS[model].unit if model in MODELS else ""


def label(couplings: dict[str, float], names: tuple[str, ...]) -> str:
    """Short text of a point, ``h = 0.9, J2 = 0.4``."""
    return ", ".join(f"{name} = {couplings[name]:g}" for name in names if name in couplings)
