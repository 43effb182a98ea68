"""Error curves of several hunts for tickets on top of each other: which measure of size makes them one curve?"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from wavefoundry.core.errors import InputError
from wavefoundry.reports.panels import shared_legend
from wavefoundry.reports.style import COLOURS, MARKERS, SERIES, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records import TicketsSummary

AXES = {"n": "weights $n$", "n/N": "weights per spin $n/N$", "n/law": "weights over those of the conjectured law"}
"""Measures of size, and what the figure calls them."""
FLOOR = 1e-9
"""Errors per site are not followed below this: there the optimiser decides, not the mask."""
NOISE = 2.0
"""Error bars within which an error may be noise."""
POINTS = 60
"""Places at which two curves are compared."""


def scale(summary: TicketsSummary, axis: str) -> float | None:
    """What n is divided by; None where the law is not known."""
    if axis == "n/law":
        return float(summary.laws[0].predicted) if summary.laws and summary.laws[0].predicted > 0 else None
    if axis == "n/N":
        return None if summary.system is None else float(summary.system.sites)
    return 1.0


def curve(summary: TicketsSummary, axis: str) -> Float[np.ndarray, "2 rounds"] | None:
    """Logarithms of size and of the error per site, sizes ascending; None without a law or reference.

    Errors that the bars of their samples may explain say nothing of the mask, and are left out.
    """
    unit, sites = scale(summary, axis), math.inf if summary.system is None else summary.system.sites
    points = [
        (record.n, abs(off))
        for record in summary.rounds
        if (off := record.delta_per_site) is not None and abs(off) >= NOISE * (record.energy_error or 0.0) / sites
    ]
    if unit is None or len(points) < 2:
        return None
    x = np.array([n / unit for n, _ in points])
    y = np.array([max(error, FLOOR) for _, error in points])
    order = np.argsort(x)
    return np.log10(np.stack([x, y])[:, order])


def distance(a: Float[np.ndarray, "2 n"], b: Float[np.ndarray, "2 m"]) -> float | None:
    """Root mean square of log10(error of a / error of b) over the sizes both have; None without any."""
    low, high = max(a[0, 0], b[0, 0]), min(a[0, -1], b[0, -1])
    if high <= low:
        return None
    x = np.linspace(low, high, POINTS)
    return float(np.sqrt(np.mean((np.interp(x, *a) - np.interp(x, *b)) ** 2)))


def collapse(summaries: list[TicketsSummary]) -> dict[str, Any]:
    """How well the curves of error per site against size fall on one another.

    Args:
        summaries: of finished hunts with a reference energy.

    Returns:
        ``spread`` {axis: mean over all pairs of the rms of log10 of the ratio of errors, in decades, or None},
        ``best`` the axis of the smallest one (None where all are equal), and ``runs``, a name for each.

    Raises:
        InputError: fewer than two curves.
    """
    spread: dict[str, float | None] = {}
    for axis in AXES:
        curves = [curve(summary, axis) for summary in summaries]
        pairs = [distance(a, b) for a, b in itertools.combinations(curves, 2) if a is not None and b is not None]
        whole = len(pairs) == math.comb(len(summaries), 2) and all(pair is not None for pair in pairs)
        spread[axis] = float(np.mean([p for p in pairs if p is not None])) if pairs and whole else None
    if len(summaries) < 2 or spread["n"] is None:
        raise InputError(
            "these runs cannot be laid on one another",
            where="collapse",
            why="it takes two hunts for tickets or more, with reference energies and overlapping numbers of weights",
        )
    known = {axis: value for axis, value in spread.items() if value is not None}
    best = min(known, key=lambda axis: known[axis])
    apart = len(known) == 1 or max(known.values()) > known[best] * (1 + 1e-6)  # of one size, all axes are the same
    return {"spread": spread, "best": best if apart else None, "runs": names(summaries)}


def names(summaries: list[TicketsSummary]) -> list[str]:
    """What tells the runs apart, in words; what all have in common is left out, and what reads alike is numbered."""
    parts = [_described(summary) for summary in summaries]
    differ = [len({part[k] for part in parts}) > 1 for k in range(len(parts[0]))]
    settings = [_settings(summary) for summary in summaries]
    known = [key for key in settings[0] if all(key in one for one in settings)]  # prunings in Python hold no network
    keys = [key for key in known if len({one[key] for one in settings}) > 1]
    shown = differ if any(differ) or keys else [True] * len(differ)
    said = []
    for part, own in zip(parts, settings, strict=True):
        words = [word for word, show in zip(part, shown, strict=True) if show]
        said.append("; ".join([*words, *(f"{key} = {own[key]}" for key in keys)]))
    return [f"{one} ({said[: k + 1].count(one)})" if said.count(one) > 1 else one for k, one in enumerate(said)]


def _described(summary: TicketsSummary) -> list[str]:
    """Model, lattice, edges, couplings and dense weights of a run."""
    weights = f"{summary.parameters.get('prunable', '?')} weights"
    if (system := summary.system) is None:
        return ["?", "?", "?", "?", weights]
    size = system.extent if system.lattice is None else system.lattice.size
    edges = "x".join(str(edge) for edge in ([size] if isinstance(size, int) else size))
    couplings = ", ".join(f"{name} = {value:.5g}" for name, value in system.couplings.items())
    return [system.model, edges, "periodic" if system.periodic else "open", couplings, weights]


def _settings(summary: TicketsSummary) -> dict[str, str]:
    """How a run was trained and pruned, and its network where that is known; sizes aside, which ``_described`` says."""
    tables = [summary.settings.get(name) or {} for name in ("wavefunction", "train", "prune")]
    sizes = ("alpha", "channels", "blocks", "width", "layers")
    return {key: str(value) for table in tables for key, value in table.items() if key not in sizes}


@styled
def collapse_figure(summaries: list[TicketsSummary]) -> Figure:
    """Error per site against the three measures of size, all runs in every panel."""
    found = collapse(summaries)
    figure, panels = new_figure(7.2, 7.6, nrows=3)
    for panel, (axis, label) in zip(panels, AXES.items(), strict=True):
        for k, (summary, name) in enumerate(zip(summaries, found["runs"], strict=True)):
            points = curve(summary, axis)
            if points is not None:
                style = {"color": COLOURS[SERIES[k % 5]], "marker": MARKERS[(k + k // 5) % 5], "ms": 3.5, "lw": 1}
                panel.plot(*10**points, label=name, **style)
        value = found["spread"][axis]
        title = "" if value is None else f"spread {value:.2f} decades"
        panel.set(xscale="log", yscale="log", xlabel=label, ylabel="error per site", title=title)
    shared_legend(figure, list(panels))
    return figure
