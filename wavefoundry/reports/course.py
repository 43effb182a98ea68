"""How the points of a diagram came about: crossings of several bases, and how far method auto climbed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wavefoundry.reports import view
from wavefoundry.reports.content import Table
from wavefoundry.reports.lines import crossing_words
from wavefoundry.reports.tables import format_number, format_value_error


def base_words(summary: dict[str, Any]) -> str:
    """Which points come from which of several bases, and where their energies cross; empty with one base."""
    bases, points = view.listing(summary.get("bases")), view.raw_points(summary)
    if not bases:
        return ""
    chosen = [view.mapping(point.get("base")).get("index") for point in points]
    counts = [chosen.count(index) for index in range(len(bases))]
    names = view.axes(summary)
    places = [view.label(view.couplings_of(base), names) for base in bases]
    parts = [f"{count} from {place}" for count, place in zip(counts, places, strict=True)]
    said = f"Every point is adapted from the base that gives the lower energy: {', '.join(parts)}."
    crossed = [crossing_words(one) for one in view.listing(summary.get("crossings"))]
    return said + (f" The energies of two bases cross at {'; '.join(crossed)}." if crossed else "")


def sector_words(summary: dict[str, Any]) -> str:
    """Which points lie in which symmetry sector; empty where nothing is projected."""
    names, found = view.axes(summary), {}
    for point in view.raw_points(summary):
        sector = view.mapping(point.get("sector"))
        if "number" in sector:
            _, places, tried = found.setdefault(sector["number"], (described(sector), [], []))
            places.append(view.label(view.couplings_of(point), names))
            tried += places[-1:] if len(view.listing(sector.get("tried"))) > 1 else []
    if not found:
        return ""
    rows = [f"{number} ({words}) at {'; '.join(places)}" for number, (words, places, _) in sorted(found.items())]
    both = [place for *_, tried in found.values() for place in tried]
    said = f"Amplitudes are projected on the symmetry sector of lowest energy: sector {'; sector '.join(rows)}."
    return said + (f" Two sectors were tried at {'; '.join(both)}." if both else "")


def described(sector: Mapping[str, Any]) -> str:
    """A sector as ``momentum (0, 1) pi, +1 under the flip of all spins, -1 under a quarter turn``."""
    momentum = ", ".join(f"{view.number(k):g}" for k in view.listing(sector.get("momentum")))
    names = {"spin_flip": "the flip of all spins", "rotation": "a quarter turn", "mirror": "a mirror"}
    parities = [f"{int(sector[key]):+d} under {name}" for key, name in names.items() if key in sector]
    return ", ".join([*([f"momentum ({momentum}) pi"] if momentum else []), *parities])


def ladder_table(summary: dict[str, Any], names: tuple[str, ...]) -> Table:
    """Every rung that was climbed, point by point: energy, V-score, cost, and why it was not enough."""
    points = [point for point in view.raw_points(summary) if point.get("ladder")]
    per_site = 1.0 / (view.sites(summary) if view.sites(summary) > 0 else 1.0)
    body, classes = [], []
    for point in sorted(points, key=lambda one: tuple(view.couplings_of(one).values())):
        ladder = point["ladder"]
        for rung in ladder["rungs"]:
            kept = rung["rung"] == ladder["kept"]
            energy, error = view.number(rung["energy"]) * per_site, view.number(rung["energy_error"]) * per_site
            why = rung["missed"] or "target met"
            if rung is ladder["rungs"][-1] and not ladder["reached"]:
                why += f"; {ladder['end']}"
            body.append([
                view.label(view.couplings_of(point), names),
                f"{rung['rung']}{' (kept)' if kept else ''}",
                format_value_error(energy, error),
                format_number(view.number(rung["relative_error"])),
                format_number(view.number(rung["v_score"])),
                format_number(view.cpu_seconds(rung), 3),
                why,
            ])  # fmt: skip
            classes.append("warn" if kept and not ladder["reached"] else "")
    unit = "" if per_site == 1.0 else " / site"
    return Table(["point", "rung", f"energy{unit}", "rel. error", "V-score", "CPU s", "what it lacks"], body, classes)


def ladder_words(summary: dict[str, Any]) -> str:
    """How many points stopped on which rung, and how many missed the target."""
    ladders = [point["ladder"] for point in view.raw_points(summary) if point.get("ladder")]
    if not ladders:
        return ""
    kept = ["full" if ladder["kept"].startswith("full") else ladder["kept"] for ladder in ladders]
    counts = {name: kept.count(name) for name in dict.fromkeys(kept)}
    short = sum(not ladder["reached"] for ladder in ladders)
    said = ", ".join(f"{count} by {name}" for name, count in counts.items())
    target = " and ".join(f"{name.replace('_', ' ')} {limit:g}" for name, limit in ladders[0]["target"].items())
    return f"Target: {target}. Kept: {said}." + (f" {short} of {len(ladders)} points miss the target." if short else "")
