"""``report.html`` of a study of molecules."""

from __future__ import annotations

import json
import math
from typing import Any

from wavefoundry.reports import content, molecules_lines, page
from wavefoundry.reports import molecules_figures as figures
from wavefoundry.reports.content import Table
from wavefoundry.reports.page import Picture
from wavefoundry.reports.tables import NOT_AVAILABLE, format_number, format_value_error

CAPTIONS = {
    "errors": "Difference from the reference, molecule by molecule; shaded: chemical accuracy (1.6 mHa).",
    "steps": "Error per atom against steps: from the model (solid), with the same network from scratch (dashed). "
    "Running means over twenty steps; the point at the left edge is the model without a further step.",
    "size": "Error per atom and share of the correlation energy against the number of atoms; shaded: 1 mHa per atom.",
    "training": "The training: energies of its molecules relative to their references, means over blocks of steps.",
    "density": "Electron density along the longest axis, integrated over the other two directions, with two error "
    "bars. Dotted: nuclei.",
}
FLAGS = {
    "BELOW-EXACT": content.FLAGS["BELOW-EXACT"],
    "NOT-FINITE": content.FLAGS["NOT-FINITE"],
    "ABOVE-EXACT": "more than 2 mHa per atom, and four error bars, above the reference (refused above 10)",
    "LOW-PRECISION": "the error bar is too large to compare the energy with the reference",
    "NOT-CONVERGED": "the energy was still falling at the end of the training, or that was too short to tell",
    "BASE-NOT-CONVERGED": "the same of the training of the model that this energy starts from",
    "WORSE": "the tuning raised the energy, by more than three error bars: more walkers, or a smaller learning rate",
    "R-HAT": content.FLAGS["R-HAT"],
    "LOW-ESS": content.FLAGS["LOW-ESS"],
    "SHORT-CHAINS": content.FLAGS["SHORT-CHAINS"],
    "HIGH-VARIANCE": "a variance above 0.01 Ha² per electron: the state is far from an eigenstate (refused above 0.05)",
    "ONE-CHAIN": "nine tenths of the squared error bar come from a single chain: more samples",
    "SYMMETRY": "a mirrored or turned copy of the molecule has another energy (refused from 10 mHa per atom on)",
    "STRAY-CHAIN": "one chain far from all others: beyond 6 standard deviations (refused beyond 10)",
    "ABOVE-HF": "the energy lies above Hartree-Fock in the smallest basis: the model does not know this molecule",
    "NEW-COMPOUND": "no step was made for a compound that the model was not trained on",
    "NEW-ELEMENT": "no step was made for an element that the model has never seen",
    "RUNAWAY": "an electron was farther than 20 bohr from every nucleus (refused from 0.1 % of the samples on)",
    "UNMIXED": "nearly all or nearly no moves were accepted: the walkers did not explore",
}


def context(summary: dict[str, Any]) -> dict[str, Any]:
    """Everything the template needs; any part of the summary may be missing."""
    records = list(summary.get("molecules") or [])
    settings = dict(summary.get("settings") or {})
    return {
        "title": str(summary.get("title") or title(records)),
        "convention": str(summary.get("convention") or ""),
        "verdict": verdict(summary, records),
        "curves": _curves(summary),
        "pictures": _pictures(summary),
        "molecules": molecule_table(records),
        "energies": energy_table(records),
        "methods": methods_table(summary),
        "constants": constants_table(summary),
        "relative": relative_table(summary),
        "transfer": transfer_table(summary),
        "trained_on": ", ".join(str(name) for name in summary.get("trained_on") or []),
        "flags": FLAGS,
        "raised": {flag.rstrip("!") for record in records for flag in record.get("flags") or []},
        "costs": content.pairs(
            {"whole run": summary.get("cost"), "training": (summary.get("train") or {}).get("cost")}
        ),
        "settings": content.pairs(_readable(settings)),
        "versions": content.pairs(summary.get("versions")),
        "hardware": content.pairs(summary.get("hardware")),
        "command": str(summary.get("command") or ""),
    }


def _readable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with lists of molecules as text, one entry each."""
    found = {}
    for name, table in settings.items():
        if isinstance(table, dict) and isinstance(table.get("molecules"), list):
            table = table | {"molecules": "; ".join(json.dumps(entry) for entry in table["molecules"])}
        found[name] = table
    return found


def title(records: list[dict[str, Any]]) -> str:
    """What was computed, in words."""
    formulas = list(dict.fromkeys(str(record.get("formula") or record.get("name")) for record in records))
    if not formulas:
        return "Molecules"
    return f"One wavefunction for {', '.join(formulas[:6])}" + (" and others" if len(formulas) > 6 else "")


def verdict(summary: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, Any]:
    """First lines of the report: what can be trusted, the largest errors, what the transfer saved."""
    words = {molecules_lines.word(record) for record in records}
    good = words == {"trusted"} and summary.get("status") == "complete"
    counts = molecules_lines.counted(records)
    sentences = [f"Of {len(records)} energies: {counts}." if records else "No energy was computed."]
    if summary.get("why"):
        sentences.append(f"{str(summary['why'])[:1].upper()}{str(summary['why'])[1:]}.")
    if "upper bound" in words:
        sentences.append("An upper bound has passed every check, but nothing independent confirms it.")
    for method, when in (("zero-shot", "without a further step"), ("full", "after fine-tuning")):
        chosen = [r for r in records if r.get("method") == method and molecules_lines.word(r) in molecules_lines.GOOD]
        errors = [(abs(number), r) for r in chosen if not math.isnan(number := figures.number(r.get("error_mha")))]
        if errors:
            largest, worst = max(errors, key=lambda pair: pair[0])
            mean = sum(value for value, _ in errors) / len(errors)
            each = "one molecule" if len(errors) == 1 else f"{len(errors)} molecules"
            sentences.append(
                f"{each[0].upper()}{each[1:]} {when}: mean distance from the reference {format_number(mean)} mHa, "
                f"largest {format_number(largest)} mHa ({worst.get('name')})."
            )
    sentences += [f"{said}." for entry in summary.get("transfer") or [] if (said := molecules_lines.transfer(entry))][
        :6
    ]
    sentences += [f"{text}." for text in molecules_lines.reasons(records)]
    flag = _banner(words, summary.get("status") == "complete")
    return {"flag": flag, "good": good, "sentences": sentences}


def _banner(words: set[str], complete: bool) -> str:
    """One word for all energies: their common verdict, or that they differ."""
    if not words:
        return "NO ENERGIES"
    if not complete:
        return "REFUSED" if words == {"refused"} else "NOT COMPLETE"
    return next(iter(words)).upper() if len(words) == 1 else "PARTLY TRUSTED" if "trusted" in words else "NOT TRUSTED"


def _curves(summary: dict[str, Any]) -> list[Picture]:
    found = []
    for index, (name, records) in enumerate(list(figures.scans(summary).items())[:12]):
        svg = page.svg(figures.curve_figure(records, name), f"curve-{index}")
        found.append(Picture(svg, f"Potential curve of {name}: energies with error bars, and the difference from the "
                                  "reference; shaded: chemical accuracy (1.6 mHa)."))  # fmt: skip
    return found


def _pictures(summary: dict[str, Any]) -> dict[str, Picture]:
    in_curves = {id(record) for records in figures.scans(summary).values() for record in records}
    others = [record for record in summary.get("molecules") or [] if id(record) not in in_curves]
    drawn = {
        "errors": figures.errors_figure({"molecules": others}),
        "steps": figures.steps_figure(summary),
        "size": figures.size_figure(summary),
        "training": figures.training_figure(summary),
        "density": figures.density_figure(summary),
    }
    return page.pictures(drawn, CAPTIONS)


def _table(head: list[str], body: list[list[Any]], records: list[dict[str, Any]] | None = None) -> Table:
    words = [molecules_lines.word(record) for record in records] if records else ["trusted"] * len(body)
    return Table(head, body, ["" if word in molecules_lines.GOOD else "doubt" for word in words])


def molecule_table(records: list[dict[str, Any]]) -> Table:
    """Every energy with its reference and its flags."""
    heads: list[str] = list(molecules_lines.HEADS)
    rows = [molecules_lines.cells(record) for record in records]
    return _table(heads, [[row[name] or NOT_AVAILABLE for name in heads] for row in rows], records)


def energy_table(records: list[dict[str, Any]]) -> Table | None:
    """What else is known about every molecule."""
    head = ["molecule", "method", "electrons", "HF", "CCSD(T)", "FCI", "basis", "correlation", "V-score", "dipole (D)",
            "atomisation (Ha)", "-V/T"]  # fmt: skip
    body = []
    for record in records:
        chemistry, seen = record.get("chemistry") or {}, record.get("observables") or {}
        share, dipole = record.get("correlation_share"), seen.get("dipole") or {}
        apart = record.get("atomisation") or {}
        body.append(
            [
                str(record.get("name")), str(record.get("method")), str(record.get("electrons")),
                *(_energy(chemistry.get(name)) for name in ("hf", "ccsd_t", "fci")),
                str(chemistry.get("basis") or NOT_AVAILABLE),
                NOT_AVAILABLE if share is None else f"{100 * share:.1f} %",
                format_number(record.get("v_score")),
                format_value_error(dipole.get("value"), dipole.get("error")),
                format_value_error(apart.get("value"), apart.get("error")),
                format_number((seen.get("virial") or {}).get("value"), 4),
            ]
        )  # fmt: skip
    return _table(head, body, records) if body else None


def _energy(value: Any) -> str:
    number = figures.number(value)
    return NOT_AVAILABLE if math.isnan(number) else f"{number:.6f}"


def methods_table(summary: dict[str, Any]) -> Table | None:
    """What every way to the molecules gave and cost; nothing where there is one way alone."""
    entries = list(summary.get("methods") or [])
    head = [
        "method",
        "molecules",
        "trusted",
        "mean error (mHa)",
        "steps",
        "CPU s of each",
        "with its share of the model",
    ]
    body = [
        [
            str(entry.get("method")), str(entry.get("molecules")), str(entry.get("trusted")),
            *(format_number(entry.get(key), 3) for key in ("mean_abs_error_mha", "steps", "cpu_seconds")),
            format_number(entry.get("cpu_seconds_with_base"), 3),
        ]
        for entry in entries
    ]  # fmt: skip
    return _table(head, body) if len(body) > 1 else None


def constants_table(summary: dict[str, Any]) -> Table | None:
    """Bond length, frequency and depth of every potential curve, and what is left of its error without the mean."""
    head = ["molecule", "method", "points", "R_e (bohr)", "ref.", "omega_e (1/cm)", "ref.", "D_e (Ha)", "ref.",
            "mean error (mHa)", "without its mean (mHa)"]  # fmt: skip
    body = []
    for entry in summary.get("scans") or []:
        row = [str(entry.get("name")), str(entry.get("method")), str(entry.get("points"))]
        for key, digits in (("length", 4), ("frequency", 5), ("depth", 4)):
            found = entry.get(key) or {}
            row += [format_value_error(found.get("value"), found.get("error")),
                    format_number(found.get("reference"), digits)]  # fmt: skip
        row += [format_number(entry.get(key), 2) for key in ("mean_error_mha", "offset_free_error_mha")]
        body.append(row)
    return _table(head, body) if body else None


def relative_table(summary: dict[str, Any]) -> Table | None:
    """Energies relative to the lowest of each scan, beside those of the reference."""
    body = []
    for name, records in figures.scans(summary).items():
        lowest = min(records, key=lambda record: record["energy"])
        known = [r for r in records if (r.get("reference") or {}).get("value") is not None]
        floor = (lowest.get("reference") or {}).get("value")
        for record in records:
            value = 1000 * (record["energy"] - lowest["energy"])
            error = 1000 * math.hypot(record.get("energy_error") or 0.0, lowest.get("energy_error") or 0.0)
            there = (record.get("reference") or {}).get("value")
            expected = 1000 * (there - floor) if known and there is not None and floor is not None else None
            shown = "0" if record is lowest else format_value_error(value, error)
            body.append([name, f"{figures.length_of(record):.4g}", str(record.get("method")), shown,
                         NOT_AVAILABLE if expected is None else f"{expected:.2f}"])  # fmt: skip
    return _table(["molecule", "length", "method", "relative energy (mHa)", "reference (mHa)"], body) if body else None


def transfer_table(summary: dict[str, Any]) -> Table | None:
    """Steps from the model and from scratch."""
    entries = [entry for entry in summary.get("transfer") or [] if entry.get("scratch_steps_made") is not None]
    body = []
    for entry in entries:
        least = entry.get("ratio_at_least")
        ratio = (
            format_number(entry.get("ratio"), 3) if entry.get("ratio") else f"> {least:.3g}" if least else NOT_AVAILABLE
        )
        steps, anew = entry.get("steps_to_1mha_per_atom"), entry.get("scratch_steps")
        zero, made = format_number(entry.get("zero_shot_error_mha"), 3), entry["scratch_steps_made"]
        body += [
            [str(entry.get("target")), zero, *row]
            for row in _levels(entry, made)
            or [["1", _steps(steps, "not reached"), _steps(anew, f"not in {made}"), ratio]]
        ]
    head = ["molecule", "zero-shot error (mHa)", "to mHa per atom", "steps from the model", "from scratch", "ratio"]
    return _table(head, body) if body else None


def _levels(entry: dict[str, Any], made: int) -> list[list[str]]:
    """Steps to several errors; where the model needs none, the steps from scratch are what it saves at least."""
    rows = []
    for level in entry.get("levels") or []:
        steps, anew, ratio = level.get("steps"), level.get("scratch_steps"), level.get("ratio")
        shown = NOT_AVAILABLE if ratio is None else f"{'> ' * (steps == 0)}{ratio:.3g}"
        goal = f"{figures.number(level.get('error_mha_per_atom')):g}"
        rows.append([goal, _steps(steps, "not reached"), _steps(anew, f"not in {made}"), shown])
    return rows


def _steps(steps: int | None, otherwise: str) -> str:
    return otherwise if steps is None else str(steps)
