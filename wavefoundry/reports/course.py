"""How the points of a diagram came about: crossings of several bases, and how far method auto climbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wavefoundry.reports import view
from wavefoundry.reports.content import Table
from wavefoundry.reports.lines import crossing_words, crossings
from wavefoundry.reports.tables import format_number, format_value_error

if TYPE_CHECKING:
    from wavefoundry.core.records import DiagramSummary
    from wavefoundry.core.records.point import Sector


def base_words(summary: DiagramSummary) -> str:
    """Which points come from which of several bases, and where their energies cross; empty with one base."""
    if not summary.bases:
        return ""
    chosen = [point.base and point.base.index for point in summary.points]
    counts = [chosen.count(index) for index in range(len(summary.bases))]
    names = view.axes(summary)
    places = [view.label(base.couplings, names) for base in summary.bases]
    parts = [f"{count} from {place}" for count, place in zip(counts, places, strict=True)]
    said = f"Every point is adapted from the base that gives the lower energy: {', '.join(parts)}."
    crossed = [crossing_words(one) for one in crossings(summary)]
    return said + (f" The energies of two bases cross at {'; '.join(crossed)}." if crossed else "")


def sector_words(summary: DiagramSummary) -> str:
    """Which points lie in which symmetry sector; empty where nothing is projected."""
    names, found = view.axes(summary), dict[int, tuple[str, list[str], list[str]]]()
    for point in summary.points:
        if (sector := point.sector) is not None:
            _, places, tried = found.setdefault(sector.number, (described(sector), [], []))
            places.append(view.label(point.couplings, names))
            tried += places[-1:] if len(sector.tried or []) > 1 else []
    if not found:
        return ""
    rows = [f"{number} ({words}) at {'; '.join(places)}" for number, (words, places, _) in sorted(found.items())]
    both = [place for *_, tried in found.values() for place in tried]
    said = f"Amplitudes are projected on the symmetry sector of lowest energy: sector {'; sector '.join(rows)}."
    return said + (f" Two sectors were tried at {'; '.join(both)}." if both else "")


def described(sector: Sector) -> str:
    """A sector as ``momentum (0, 1) pi, +1 under the flip of all spins, -1 under a quarter turn``."""
    momentum = ", ".join(f"{k:g}" for k in sector.momentum or [])
    signs = (
        (sector.spin_flip, "the flip of all spins"),
        (sector.rotation, "a quarter turn"),
        (sector.mirror, "a mirror"),
    )
    parities = [f"{sign:+d} under {name}" for sign, name in signs if sign is not None]
    return ", ".join([*([f"momentum ({momentum}) pi"] if momentum else []), *parities])


def ladder_table(summary: DiagramSummary, names: tuple[str, ...]) -> Table:
    """Every rung that was climbed, point by point: energy, V-score, cost, and why it was not enough."""
    climbed = [(point.couplings, point.ladder) for point in summary.points if point.ladder is not None]
    per_site = 1.0 / (view.sites(summary) if view.sites(summary) > 0 else 1.0)
    body, classes = [], []
    for couplings, ladder in sorted(climbed, key=lambda one: tuple(one[0].values())):
        for rung in ladder.rungs:
            kept = rung.rung == ladder.kept
            energy, error = view.number(rung.energy) * per_site, view.number(rung.energy_error) * per_site
            why = rung.missed or "target met"
            if rung is ladder.rungs[-1] and not ladder.reached:
                why += f"; {ladder.end}"
            body.append([
                view.label(couplings, names),
                f"{rung.rung}{' (kept)' if kept else ''}",
                format_value_error(energy, error),
                format_number(rung.relative_error),
                format_number(rung.v_score),
                format_number(view.cpu_seconds(rung.cost), 3),
                why,
            ])  # fmt: skip
            classes.append("warn" if kept and not ladder.reached else "")
    unit = "" if per_site == 1.0 else " / site"
    return Table(["point", "rung", f"energy{unit}", "rel. error", "V-score", "CPU s", "what it lacks"], body, classes)


def ladder_words(summary: DiagramSummary) -> str:
    """How many points stopped on which rung, and how many missed the target."""
    ladders = [point.ladder for point in summary.points if point.ladder is not None]
    if not ladders:
        return ""
    kept = ["full" if ladder.kept.startswith("full") else ladder.kept for ladder in ladders]
    counts = {name: kept.count(name) for name in dict.fromkeys(kept)}
    short = sum(not ladder.reached for ladder in ladders)
    said = ", ".join(f"{count} by {name}" for name, count in counts.items())
    target = " and ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in ladders[0].target.items())
    return f"Target: {target}. Kept: {said}." + (f" {short} of {len(ladders)} points miss the target." if short else "")
