"""``report.html`` of a study of molecules."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from wavefoundry.core.records import MoleculesSummary, typed
from wavefoundry.core.records.common import Measured
from wavefoundry.core.records.molecules import ChemistryOf, Molecule, Transfer
from wavefoundry.core.scans import length_of, scans
from wavefoundry.core.values import known, number
from wavefoundry.reports import content, molecules_lines, page, remedies
from wavefoundry.reports import molecules_figures as figures
from wavefoundry.reports.content import Table
from wavefoundry.reports.molecules_lines import GOOD, weights_of, word
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


def context(summary: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template needs."""
    found = typed(MoleculesSummary, summary)
    energies = found.molecules
    return {
        "title": found.title or title(energies),
        "convention": found.convention or "",
        "verdict": verdict(found),
        "curves": _curves(energies),
        "pictures": _pictures(found),
        "molecules": molecule_table(energies),
        "energies": energy_table(energies),
        "forces": forces_table(energies),
        "methods": methods_table(found),
        "constants": constants_table(found),
        "relative": relative_table(energies),
        "transfer": transfer_table(found.transfer),
        "trained_on": ", ".join(found.trained_on),
        "flags": FLAGS,
        "raised": {flag.rstrip("!") for record in energies for flag in record.flags},
        "costs": content.costs({"whole run": found.cost, "training": found.train and found.train.cost}),
        "settings": content.pairs(_readable(found.settings)),
        "versions": content.pairs(found.versions),
        "hardware": content.pairs(found.hardware),
        "command": found.command or "",
    }


def _readable(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with lists of molecules as text, one entry each."""
    found = {}
    for name, table in settings.items():
        if isinstance(table, dict) and isinstance(table.get("molecules"), list):
            table = table | {"molecules": "; ".join(json.dumps(entry) for entry in table["molecules"])}
        found[name] = table
    return found


def title(molecules: list[Molecule]) -> str:
    """What was computed, in words."""
    formulas = list(dict.fromkeys(record.formula or record.name for record in molecules))
    if not formulas:
        return "Molecules"
    return f"One wavefunction for {', '.join(formulas[:6])}" + (" and others" if len(formulas) > 6 else "")


def verdict(summary: MoleculesSummary) -> dict[str, Any]:
    """First lines of the report: what can be trusted, the largest errors, what the transfer saved."""
    molecules, complete = summary.molecules, summary.status == "complete"
    words = {word(record) for record in molecules}
    counts = molecules_lines.counted(molecules)
    sentences = [f"Of {len(molecules)} energies: {counts}." if molecules else "No energy was computed."]
    if summary.why:
        sentences.append(f"{summary.why[:1].upper()}{summary.why[1:]}.")
    if "upper bound" in words:
        sentences.append("An upper bound has passed every check, but nothing independent confirms it.")
    for method, when in (("zero-shot", "without a further step"), ("full", "after fine-tuning")):
        chosen = [record for record in molecules if record.method == method and word(record) in GOOD]
        sentences += _errors(chosen, when)
    sentences += [f"{said}." for entry in summary.transfer if (said := molecules_lines.transfer(entry))][:6]
    sentences += [f"{text}." for text in molecules_lines.reasons(molecules)]
    sentences += remedies.sentences(remedies.of_molecules(molecules))
    return {"flag": _banner(words, complete), "good": complete and words == {"trusted"}, "sentences": sentences}


def _errors(molecules: list[Molecule], when: str) -> list[str]:
    """Mean and largest error of some molecules in a sentence; none where no reference is known."""
    errors = [(abs(number(record.error_mha)), record.name) for record in molecules if known(record.error_mha)]
    if not errors:
        return []
    largest, worst = max(errors, key=lambda pair: pair[0])
    mean = sum(value for value, _ in errors) / len(errors)
    each = "One molecule" if len(errors) == 1 else f"{len(errors)} molecules"
    return [
        f"{each} {when}: mean distance from the reference {format_number(mean)} mHa, "
        f"largest {format_number(largest)} mHa ({worst})."
    ]


def _banner(words: set[str], complete: bool) -> str:
    """One word for all energies: their common verdict, or that they differ."""
    if not words:
        return "NO ENERGIES"
    if not complete:
        return "REFUSED" if words == {"refused"} else "NOT COMPLETE"
    return next(iter(words)).upper() if len(words) == 1 else "PARTLY TRUSTED" if "trusted" in words else "NOT TRUSTED"


def _curves(molecules: list[Molecule]) -> list[Picture]:
    found = []
    for index, (name, members) in enumerate(list(scans(molecules).items())[:12]):
        svg = page.svg(figures.curve_figure(members, name), f"curve-{index}")
        found.append(Picture(svg, f"Potential curve of {name}: energies with error bars, and the difference from the "
                                  "reference; shaded: chemical accuracy (1.6 mHa)."))  # fmt: skip
    return found


def _pictures(summary: MoleculesSummary) -> dict[str, Picture]:
    in_curves = {id(record) for members in scans(summary.molecules).values() for record in members}
    drawn = {
        "errors": figures.errors_figure([record for record in summary.molecules if id(record) not in in_curves]),
        "steps": figures.steps_figure(summary),
        "size": figures.size_figure(summary.molecules),
        "training": figures.training_figure(summary),
        "density": figures.density_figure(summary.molecules),
    }
    return page.pictures(drawn, CAPTIONS)


def _table(head: list[str], body: list[list[Any]], molecules: list[Molecule] | None = None) -> Table:
    words = [word(record) for record in molecules] if molecules else ["trusted"] * len(body)
    return Table(head, body, ["" if found in GOOD else "doubt" for found in words])


def molecule_table(molecules: list[Molecule]) -> Table:
    """Every energy with its reference and its flags."""
    heads: list[str] = list(molecules_lines.HEADS)
    rows = [molecules_lines.cells(record) for record in molecules]
    return _table(heads, [[row[name] or NOT_AVAILABLE for name in heads] for row in rows], molecules)


def energy_table(molecules: list[Molecule]) -> Table | None:
    """What else is known about every molecule."""
    head = ["molecule", "method", "electrons", "HF", "CCSD(T)", "FCI", "basis", "correlation", "V-score", "dipole (D)",
            "atomisation (Ha)", "-V/T", "S²", "S(S + 1)"]  # fmt: skip
    body = []
    for record in molecules:
        seen, share = record.observables, record.correlation_share
        body.append(
            [
                record.name, record.method, str(record.electrons),
                *_chemistry(record.chemistry),
                NOT_AVAILABLE if share is None else f"{100 * share:.1f} %",
                format_number(record.v_score),
                _measured(seen.dipole),
                _measured(record.atomisation),
                format_number(seen.virial and seen.virial.value, 4),
                _measured(seen.spin),
                format_number(seen.spin and seen.spin.pure, 3),
            ]
        )  # fmt: skip
    return _table(head, body, molecules) if body else None


def forces_table(molecules: list[Molecule]) -> Table | None:
    """Forces on all atoms, where they were asked for and have error bars."""
    body, rows = [], []
    for record in molecules:
        found = record.observables.forces
        if found is None or found.value is None or found.error is None:
            continue
        for index, (force, error) in enumerate(zip(found.value, found.error, strict=True)):
            parts = [format_value_error(number(f), number(e)) for f, e in zip(force, error, strict=True)]
            body.append([record.name, record.method, f"{record.geometry[index][0]} {index + 1}", *parts, found.verdict])
            rows.append(record)
    return _table(["molecule", "method", "atom", "x", "y", "z", "verdict"], body, rows) if body else None


def _chemistry(found: ChemistryOf | None) -> list[str]:
    """Energies of Hartree-Fock, CCSD(T) and FCI, and their basis."""
    if found is None:
        return [NOT_AVAILABLE] * 4
    energies = [NOT_AVAILABLE if value is None else f"{value:.6f}" for value in (found.hf, found.ccsd_t, found.fci)]
    return [*energies, found.basis or NOT_AVAILABLE]


def _measured(found: Measured | None) -> str:
    return NOT_AVAILABLE if found is None else format_value_error(found.value, found.error)


def methods_table(summary: MoleculesSummary) -> Table | None:
    """What every way to the molecules gave and cost; nothing where there is one way alone."""
    head = [
        "method",
        "molecules",
        "trusted",
        "mean error (mHa)",
        "steps",
        "CPU s of each",
        "with its share of the model",
    ]
    body = []
    for way in summary.methods:
        numbers = (way.mean_abs_error_mha, way.steps, way.cpu_seconds, way.cpu_seconds_with_base)
        counts = (str(way.molecules), str(way.trusted))
        body.append([way.method, *counts, *(format_number(value, 3) for value in numbers)])
    return _table(head, body) if len(body) > 1 else None


def constants_table(summary: MoleculesSummary) -> Table | None:
    """Bond length, frequency and depth of every potential curve, and what is left of its error without the mean."""
    head = ["molecule", "method", "points", "R_e (bohr)", "ref.", "omega_e (1/cm)", "ref.", "D_e (Ha)", "ref.",
            "mean error (mHa)", "without its mean (mHa)"]  # fmt: skip
    body = []
    for scan in summary.scans:
        row = [scan.name, scan.method, str(scan.points)]
        for found, digits in ((scan.length, 4), (scan.frequency, 5), (scan.depth, 4)):
            row += [_measured(found), format_number(found and found.reference, digits)]
        row += [format_number(value, 2) for value in (scan.mean_error_mha, scan.offset_free_error_mha)]
        body.append(row)
    return _table(head, body) if body else None


def relative_table(molecules: list[Molecule]) -> Table | None:
    """Energies relative to the lowest of each scan by the same weights, beside those of the reference.

    Refused ones are left out, as they are in curves.
    """
    body = []
    for name, every in scans(molecules).items():
        for weights in dict.fromkeys(weights_of(record.method) for record in every):
            members = [
                record for record in every if weights_of(record.method) == weights and record.verdict != "refused"
            ]
            lowest = min(members, key=lambda record: number(record.energy), default=None)
            if lowest is None:
                continue
            body += [_relative(name, record, lowest) for record in members if len(members) > 1]
    return _table(["molecule", "length", "method", "relative energy (mHa)", "reference (mHa)"], body) if body else None


def _relative(name: str, record: Molecule, lowest: Molecule) -> list[str]:
    value = 1000 * (number(record.energy) - number(lowest.energy))
    error = 1000 * math.hypot(record.energy_error or 0.0, lowest.energy_error or 0.0)
    there, floor = record.reference, lowest.reference
    expected = NOT_AVAILABLE if there is None or floor is None else f"{1000 * (there.value - floor.value):.2f}"
    shown = "0" if record is lowest else format_value_error(value, error)
    return [name, f"{length_of(record):.4g}", record.method, shown, expected]


def transfer_table(entries: list[Transfer]) -> Table | None:
    """Steps from the model and from scratch."""
    body = []
    for entry in entries:
        if entry.scratch_steps_made is None:
            continue
        least = f"> {entry.ratio_at_least:.3g}" if entry.ratio_at_least else NOT_AVAILABLE
        ratio = format_number(entry.ratio, 3) if entry.ratio else least
        steps = _steps(entry.steps_to_1mha_per_atom, entry.scratch_steps, entry.scratch_steps_made)
        rows = _levels(entry, entry.scratch_steps_made) or [["1", *steps, ratio]]
        body += [[entry.target, format_number(entry.zero_shot_error_mha, 3), *row] for row in rows]
    head = ["molecule", "zero-shot error (mHa)", "to mHa per atom", "steps from the model", "from scratch", "ratio"]
    return _table(head, body) if body else None


def _levels(entry: Transfer, made: int) -> list[list[str]]:
    """Steps to several errors; where the model needs none, the steps from scratch are what it saves at least."""
    rows = []
    for level in entry.levels:
        shown = NOT_AVAILABLE if level.ratio is None else f"{'> ' * (level.steps == 0)}{level.ratio:.3g}"
        rows.append([f"{level.error_mha_per_atom:g}", *_steps(level.steps, level.scratch_steps, made), shown])
    return rows


def _steps(steps: int | None, anew: int | None, made: int) -> list[str]:
    """Steps from the model and from scratch, of which so many were made."""
    return ["not reached" if steps is None else str(steps), f"not in {made}" if anew is None else str(anew)]
