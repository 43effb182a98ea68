"""``report.html`` of a phase-diagram run: one file that needs no network, no script and no other file."""

from __future__ import annotations

import math
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavefoundry.artifacts import files
from wavefoundry.artifacts.layout import REPORT
from wavefoundry.artifacts.log import Log
from wavefoundry.artifacts.results import read_results
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import path_of
from wavefoundry.reports import compared, content, course, explore, judgement, learned, page, rivals, transition, view
from wavefoundry.reports.page import Picture
from wavefoundry.reports.shown import Card
from wavefoundry.reports.view import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wavefoundry.core.records import DiagramSummary


def read_run(run_dir: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Summary and log of a run directory; a missing log is empty, damaged lines of the log are skipped.

    Raises:
        InputError: there is no ``summary.json``.
        IntegrityError: ``summary.json`` is not a JSON object, or a file of the run is damaged.
        StorageError: the file system refused.
    """
    summary = read_results(Path(run_dir))
    if summary is None:
        raise _no_summary(Path(run_dir) / "summary.json")
    events, _ = Log(Path(run_dir) / "log.jsonl").read()
    if summary.get("kind") == "emulation":
        from wavefoundry.reports import emulation

        emulation.attach_frames(summary, Path(run_dir))
    return summary, events


def _no_summary(path: Path) -> InputError:
    """Why there is nothing to report on: the run has not come to its end, or there is none."""
    if (path.parent / "run.json").is_file():
        return InputError(
            "this run has no results to report on yet",
            where=str(path.parent),
            why="summary.json is written when all parts of a study are done",
            fix=f"'wavefoundry run STUDY.toml --out {path.parent} --resume' goes on; "
            f"'wavefoundry inspect {path.parent}' shows how far it has come",
        )
    what = "there is no such file" if path.parent.is_dir() else "there is no such directory"
    if path.parent.is_file():
        what = f"{path.parent} is a file"
        fix = str(path.parent.parent) if (path.parent.parent / "run.json").is_file() else "the directory of a run"
        return InputError("no results to report on", where=str(path.parent), why=what, fix=fix)
    return InputError(
        "no results to report on", where=str(path), why=what, fix="name a directory that a run has written"
    )


def write_report(run_dir: Path) -> Path:
    """Write ``report.html`` into a run directory, in one piece or not at all.

    Args:
        run_dir: a directory with ``summary.json`` and, optionally, ``log.jsonl``.

    Returns:
        The path of the report.

    Raises:
        InputError: there is no ``summary.json``.
        IntegrityError: ``summary.json`` is not a JSON object.
        StorageError: the file system refused.
    """
    text = render(*read_run(run_dir))
    path = Path(run_dir) / REPORT
    files.write_atomic(path, text.encode())
    return path


def render(summary: dict[str, Any], log: list[dict[str, Any]]) -> str:
    """The report as one HTML document.

    Args:
        summary: content of ``summary.json``.
        log: events of ``log.jsonl``, or an empty list.
    """
    kind = str(summary.get("kind"))
    if kind not in OTHERS:
        kind, context = "report", _diagram(view.parsed(summary), log)
    else:
        context = import_module(f"wavefoundry.reports.{OTHERS[kind]}").context(summary)
    finished = str(summary.get("finished") or "")
    return page.render(f"{kind}.html.j2", context | {"finished": finished[:16].replace("T", " ")})


def write(path: Any, summary: dict[str, Any], log: list[dict[str, Any]]) -> Path:
    """Write the report where a user wants it, folders on the way included.

    Raises:
        InputError: no path. StorageError: nothing can be written there.
    """
    return files.write_where_told(path_of(path, "to_html"), render(summary, log).encode())


def write_card(path: Any, card: Card) -> Path:
    """Write a result that has no run, and so no report of its own: its facts, figure and rows.

    Raises:
        InputError: no path. StorageError: nothing can be written there.
    """
    figure = card.draw() if card.draw is not None else None
    names = [name for name in dict.fromkeys(name for row in card.rows for name in row)]
    rows = content.Table(names, [[row.get(name, "") for name in names] for row in card.rows], [""] * len(card.rows))
    shown = {} if figure is None else {"main": Picture(page.svg(figure, "main"), card.alternative)}
    facts = [(name, value) for name, value in card.facts if value]
    told = {"title": card.title, "facts": facts, "rows": rows if card.rows else None, "pictures": shown, "finished": ""}
    return files.write_where_told(path_of(path, "to_html"), page.render("card.html.j2", told).encode())


OTHERS = {"emulation": "emulation", "seeds": "seeds", "tickets": "tickets_html", "molecules": "molecules_html"}
"""Modules that know what stands in the reports of other kinds of study than diagrams."""


def _diagram(summary: DiagramSummary, log: list[dict[str, Any]]) -> dict[str, Any]:
    """What stands in the report of a phase diagram."""
    rows = view.rows(summary)
    names = view.axes(summary, rows)
    observables = judgement.observable_table(rows, names)
    return {
        "title": content.title(summary.system, view.sites(summary)),
        "verdict": judgement.verdict(summary, rows, names),
        "why": judgement.why_table(rows, view.base(summary), names),
        "rivals": rivals.comparison_table(summary),
        "against": rivals.words(summary),
        "bases": " ".join(filter(None, [course.base_words(summary), course.sector_words(summary)])),
        "climbed": course.ladder_words(summary),
        "ladder": course.ladder_table(summary, names),
        "observables": observables,
        "doubted": judgement.spoken_against(observables),
        "meanings": judgement.MEANING if any(row.word for row in rows) else {},
        "convention": summary.convention or "",
        "pictures": pictures(summary, log),
        "panels": explore.panels(summary, rows, names),
        "width": explore.WIDTH,
        "height": explore.HEIGHT,
        "points": content.point_table(summary, rows, names),
        "references": compared.table(rows, names),
        "references_cost": compared.cost_sentence(summary),
        "transitions": transition.table(summary),
        "transition_line": transition.line(summary),
        "estimates": content.estimate_table(summary, rows, names),
        "costs": content.cost_table(summary, rows),
        "unit": view.unit(summary),
        "flags": content.FLAGS,
        "raised": sorted({flag.rstrip("!") for row in rows for flag in row.flags}),
        "learned": learned.words(summary),
        "one_round": _one_round(log),
        "methods": sorted({row.method for row in rows if row.method}),
        "settings": content.pairs(summary.settings),
        "versions": content.pairs(summary.versions),
        "hardware": content.pairs(summary.hardware),
        "command": summary.command or "",
    }


CAPTIONS = {
    "observables": "Order parameters, with exact values where known; pale bars show what the state itself may be off. "
    "Half filled: an estimate without an exact value.",
    "correlations": "Correlation functions; lines are exact values where known.",
    "terms": "Expectation value of each term of the Hamiltonian: by the Hellmann-Feynman theorem the slope "
    "of the energy along that coupling.",
    "transition": "What each method sees along the coupling, with error bars that count samples and what the states "
    "may be off. Red: where it sees a transition, with its error bar; the shift by the finite size is not in it.",
    "quality": "V-score and split R-hat of the fresh samples of every point; dashes: the plain V-score, which does not "
    "see configurations that the samples never meet.",
    "structure": "Structure factor over the momenta in the order of summary.json; lines are exact values where known.",
    "features": "First two principal components of the features z on samples of the pre-trained state, before, during "
    "and after the pre-training; the share of the variance of the first component above.",
    "pretrain": "Pre-training. Each value comes from the samples of one step while the parameters move: a "
    "picture of convergence, not a result.",
    "rounds": "Adaptation. Energies of fresh samples (solid) and of the held-out part (dashed) of the "
    "pool, and its effective sample size. Held-out energies far below the fresh ones of "
    "the same head are over-fitting of the pool; the results are the fresh ones.",
    "rivals": rivals.CAPTION,
    "cost": "Processor time of the pre-training and of the adaptations.",
}


MAPS = {
    "observables": "Order parameters over the diagram.",
    "quality": "V-score and split R-hat of the fresh samples of every point.",
}
"""What is said of maps over two couplings instead: there are no lines, bars or fillings in them."""


MARKED = ("diagram", "terms", "quality")
"""Pictures whose points are marked by the verdict of their energy."""


def pictures(summary: DiagramSummary, log: list[dict[str, Any]]) -> dict[str, Picture]:
    """The figures that this run has something for, by name."""
    from wavefoundry.reports import figures

    rows = view.rows(summary)
    drawn: dict[str, Figure | None] = {
        "diagram": figures.diagram_figure(summary) if rows else None,
        "observables": figures.observables_figure(summary),
        "correlations": figures.correlations_figure(summary),
        "structure": figures.correlations_figure(summary, "structure"),
        "features": learned.features_figure(summary),
        "terms": figures.terms_figure(summary),
        "quality": figures.quality_figure(summary),
        "pretrain": figures.pretrain_figure(summary, log),
        "rounds": figures.rounds_figure(summary, log),
        "cost": figures.cost_figure(summary),
        "rivals": rivals.rivals_figure(summary),
        "transition": transition.transition_figure(summary),
    }
    captions = {"diagram": _diagram_caption(summary, rows), **CAPTIONS}
    flat = len(view.axes(summary, rows)) == 2
    captions |= MAPS if flat else {}
    shapes = judgement.marks(rows, flat)
    for name in MARKED if shapes else ():
        captions[name] = f"{captions[name]} {shapes}"
    found = page.pictures(drawn, captions)
    if "diagram" in found:
        heard = judgement.alternative(rows, view.axes(summary, rows))
        found["diagram"] = found["diagram"]._replace(alternative=heard)
    return found


def _one_round(log: list[dict[str, Any]]) -> bool:
    """Whether points were tuned, each of them in one round: then there is no course of rounds to draw."""
    rounds = {view.number(event.get("round")) for event in log if event.get("event") == "round"}
    return len(rounds) == 1


def _diagram_caption(summary: DiagramSummary, rows: list[Row]) -> str:
    compared = any(not math.isnan(row.relative_error) for row in rows)
    if len(view.axes(summary, rows)) == 2:
        return f"Energy over the diagram, and its {'relative error' if compared else 'V-score'}."
    if not compared:
        return "Energy over the diagram, and the V-score, which needs no exact energy."
    return (
        "Energy over the diagram, and how far it can be trusted: the relative error against the exact "
        "energy over its statistical floor (shaded: one error bar), and the V-score. Where no error bar is "
        "seen on an energy, it is smaller than the mark."
    )
