"""What a diagram has found, as figures and words: where its transition lies, and what the network has learned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from wavefoundry.reports import view
from wavefoundry.reports.panels import drop
from wavefoundry.reports.style import COLOUR_MAP, COLOURS, literal, new_figure, styled, symbol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METHODS = {
    "crossing": ("level crossing", ""),
    "fidelity": ("fidelity susceptibility", r"$-2\,\ln F\,/\,\delta^2$"),
    "log-derivative": ("variance of d log ψ", r"$2\,\mathrm{Var}(\partial \ln\psi)$"),
    "curvature": ("second derivative of the energy", r"$-\partial^2 E$"),
    "binder": ("slope of the Binder ratio", r"$|\partial U|$"),
}
"""Methods in words, and what their curves show."""
QUANTITIES = {"log_psi": "log |ψ|", "abs_m": "|m|", "m": "m", "correlation_1": "⟨ZZ⟩ of neighbours"}


def transition_words(summary: dict[str, Any]) -> list[str]:
    """What is to be said of the transition: where the best method sees it, and why each other one does not."""
    best = view.mapping(summary.get("transition"))
    if not best:
        return []
    value, error = view.number(best.get("value")), view.number(best.get("error"))
    if math.isnan(value):
        return [f"No transition is seen: {best.get('why') or 'nothing was looked for'}."]
    title = METHODS.get(str(best.get("method")), (str(best.get("method")), ""))[0]
    said = [
        f"Transition of this lattice at {best.get('coupling')} = {value:.4g} ± {error:.1g}: {title}; {best['why']}."
    ]
    others = [one for one in _methods(summary) if one.get("verdict") != "seen"]
    texts = [f"{METHODS.get(str(one['method']), (str(one['method']), ''))[0]} ({one['why']})" for one in others]
    return said + ([f"Not seen by: {'; '.join(texts)}."] if texts else [])


def _methods(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in view.listing(summary.get("transitions")) if isinstance(one, dict) and "method" in one]


@styled
def transition_figure(summary: dict[str, Any]) -> Figure | None:
    """The curve of every method over the coupling, with the place it sees; None without a curve."""
    found = [one for one in _methods(summary) if view.mapping(one.get("curve")).get("values")]
    if not found:
        return None
    lines = math.ceil(len(found) / 2)
    figure, axes = new_figure(7.2, 0.3 + 2.4 * lines, nrows=lines, ncols=min(2, len(found)))
    crossing = next((one for one in _methods(summary) if one["method"] == "crossing"), {})
    for axis, one in zip(axes, found, strict=False):
        curve, (title, label) = one["curve"], METHODS.get(str(one["method"]), (str(one["method"]), ""))
        style = {"fmt": "o", "ms": 4, "color": COLOURS["blue"], "elinewidth": 1, "ls": "-", "lw": 0.8}
        axis.errorbar(curve["couplings"], curve["values"], curve["errors"], **style)
        for place, colour in ((one, "green"), (crossing, "red")):
            at, error = view.number(place.get("value")), view.number(place.get("error"))
            if not math.isnan(at):
                axis.axvspan(at - error, at + error, color=COLOURS[colour], alpha=0.2, lw=0)
                axis.axvline(at, color=COLOURS[colour], lw=1)
        words = "" if one.get("verdict") == "seen" else ": not seen"
        axis.set_title(f"{title}{words}", fontsize=10)
        axis.set(xlabel=f"coupling {symbol(str(one['coupling']))}", ylabel=label)
    drop(axes[len(found) :])
    return figure


@styled
def features_figure(summary: dict[str, Any]) -> Figure | None:
    """The first two principal components of the features before, during and after the training, in two colourings."""
    features = view.mapping(summary.get("features"))
    stages = [one for one in view.listing(features.get("stages")) if len(view.listing(one.get("points"))) > 1]
    quantities = view.mapping(features.get("quantities"))
    names = [name for name in quantities if name == "log_psi"] + [n for n in quantities if n.endswith("m")][-1:]
    if not stages or not names:
        return None
    stages = [stages[0], *stages[1:-1][-1:], stages[-1]] if len(stages) > 1 else stages
    figure, axes = new_figure(7.2, 0.4 + 2.3 * len(names), nrows=len(names), ncols=len(stages))
    for k, name in enumerate(names):
        mine = axes[k * len(stages) : (k + 1) * len(stages)]
        for axis, one in zip(mine, stages, strict=True):
            first, second = one["points"][:2]
            dots = axis.scatter(first, second, c=quantities[name][: len(first)], s=7, cmap=COLOUR_MAP, lw=0)
            share = (
                view.number(view.listing(one.get("explained"))[0]) if view.listing(one.get("explained")) else math.nan
            )
            axis.set(xticks=[], yticks=[])
            if k == 0:
                axis.set_title(f"{one['stage']} (step {one['step']:g}): {share:.0%}", fontsize=9.5)
            if axis is mine[-1]:
                figure.colorbar(dots, ax=list(mine), label=QUANTITIES.get(name, literal(name)), pad=0.01)
    return figure


def features_words(summary: dict[str, Any]) -> list[str]:
    """How much of the variance the first component has, and what it goes with, first and last."""
    stages = view.listing(view.mapping(summary.get("features")).get("stages"))
    said = []
    for one in [stages[0], stages[-1]] if len(stages) > 1 else stages:
        found = view.mapping(view.mapping(one.get("correlations")).get("pc1"))
        known = {name: view.number(view.mapping(entry).get("value")) for name, entry in found.items()}
        texts = [f"{QUANTITIES.get(name, name)} {value:.2f}" for name, value in known.items() if not math.isnan(value)]
        share = view.number(one["explained"][0]) if view.listing(one.get("explained")) else math.nan
        when = "Before the training" if one is stages[0] else "After it"
        said.append(f"{when} the first component has {share:.0%} of the variance; correlations: {', '.join(texts)}.")
    return said
