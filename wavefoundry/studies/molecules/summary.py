"""The summary of a study of molecules: records, curves, and what the transfer saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavefoundry.artifacts.spec_molecules import MoleculesSpec
from wavefoundry.core.meter import Cost
from wavefoundry.core.records import typed
from wavefoundry.core.records.molecules import Molecule
from wavefoundry.core.scans import curves
from wavefoundry.problems.references.molecules import Reference
from wavefoundry.studies.molecules import records
from wavefoundry.studies.molecules.curve import Curve, reached
from wavefoundry.studies.molecules.tasks import BASE, RECORDS, TOGETHER
from wavefoundry.studies.provenance import SCHEMA, hardware, versions
from wavefoundry.studies.task import Outputs

CONVENTION = "total energies in Hartree with nuclear repulsion; all electrons, clamped nuclei; lengths in bohr"
PER_ATOM = 1e-3
"""The error (Ha per atom) up to which steps are counted."""
LEVELS = (5.0, 3.0, 2.0, 1.5, 1.0)
"""Errors (mHa per atom) at which a transfer is compared with a training from scratch."""
MOST_POINTS = 300
"""Points of the training that the summary keeps."""


def summary_of(spec: MoleculesSpec, done: Outputs, trained: list[str], cost: Cost, weights: int) -> dict[str, Any]:
    """The machine-readable result, see docs/results.md.

    Args:
        spec: the study. done: outputs of its tasks. trained: names of the molecules that the base was trained on.
        cost: of the whole study. weights: number of them.
    """
    shown = [kind for kind in RECORDS if kind != "zero-shot" or spec.adapt.method == "zero-shot"]
    found = [record for kind in shown for record in _records(done, kind)]
    status, why = ending(found)
    return {
        "schema": SCHEMA,
        "kind": "molecules",
        "status": status,
        "why": why,
        "title": spec.output.title,
        "convention": CONVENTION,
        "parameters": {"total": weights},
        "trained_on": trained,
        "train": training_of(done, trained),
        "molecules": found,
        "transfer": transfer_of(spec, done, trained),
        "curves": curves_of(spec, done),
        "methods": methods_of(done, found),
        "scans": curves([typed(Molecule, record) for record in found], METHODS),
        "cost": cost.to_dict(),
        "settings": spec.model_dump(mode="json", exclude_none=True),
        "versions": versions() | molecule_versions(),
        "hardware": hardware(),
    }


def ending(found: list[dict[str, Any]]) -> tuple[str, str | None]:
    """Status of a study and, where it is not "complete", why: a number that must not be used is no success."""
    refused = [record for record in found if record["verdict"] == "refused"]
    empty = sum(record["energy"] is None for record in found)
    if refused and len(refused) == len(found):
        which = "the energy" if len(found) == 1 else f"every one of the {len(found)} energies"
        return "failed", f"{which} is refused: {refused[0]['name']}: {refused[0]['reasons'][0]}"
    if empty:
        return "partial", f"{empty} of {len(found)} molecules have no energy"
    return "complete", None


def _records(done: Outputs, kind: str) -> list[dict[str, Any]]:
    """Of the tasks kind/0, kind/1, and so on."""
    numbers = sorted(int(name.partition("/")[2]) for name in done if name.startswith(f"{kind}/"))
    return [done[f"{kind}/{number}"].record for number in numbers]


TRAININGS = {"full": "adapt", "scratch": "scratch", "warm-chain": "chain"}
"""Tasks that train for single molecules, by the method of their records."""
METHODS = ("zero-shot", *TRAININGS)


def methods_of(done: Outputs, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What every way to the molecules of [adapt] gave and cost, one entry for each.

    CPU seconds are those of trainings, without compiling and the final samples; ``cpu_seconds_with_base`` takes a share
    of the base.
    """
    base = done[BASE].cost.running_cpu if BASE in done else 0.0
    entries = []
    for method in METHODS:
        # before a tuning, zero-shot energies are no records of their own
        every = _records(done, method) if method == "zero-shot" else found
        records = [record for record in every if record["method"] == method]
        if not records:
            continue
        task, number = TRAININGS.get(method), len(records)
        spent = sum(done[name].cost.running_cpu for name in done if task and name.startswith(f"{task}/")) / number
        errors = [record["error_mha"] for record in records if record.get("error_mha") is not None]
        entries.append(
            {
                "method": method,
                "molecules": number,
                "mean_abs_error_mha": float(np.mean(np.abs(errors))) if errors else None,
                "trusted": sum(bool(record["trusted"]) for record in records),
                "steps": sum(record["steps"] for record in records) / number,
                "cpu_seconds": spent,
                "cpu_seconds_with_base": spent + base / number if method in ("zero-shot", "full") else spent,
            }
        )
    return entries


def _curve(done: Outputs, name: str) -> Curve | None:
    return Curve.from_arrays(done[name].arrays) if name in done else None


def training_of(done: Outputs, names: list[str]) -> dict[str, Any]:
    """The training of the base: mean energies of blocks for every molecule, and its cost."""
    curve = _curve(done, BASE)
    spent = done[BASE].cost.to_dict() if BASE in done else None
    if curve is None or not len(curve.steps):
        return {"steps": [], "energy": {}, "cost": spent}
    take = np.unique(np.linspace(0, len(curve.steps) - 1, min(MOST_POINTS, len(curve.steps))).astype(int))
    each = {name: _plain(curve.energy[take, k]) for k, name in enumerate(names)}
    spread = {name: _plain(curve.variance[take, k]) for k, name in enumerate(names)}
    return {"steps": curve.steps[take].tolist(), "energy": each, "variance": spread, "cost": spent}


def _plain(column: Any) -> list[float | None]:
    return [float(value) if value == value else None for value in column]


def transfer_of(spec: MoleculesSpec, done: Outputs, trained: list[str]) -> list[dict[str, Any]]:
    """Steps to 1 mHa per atom for every molecule of [adapt]: from the base, from scratch, and their ratio.

    How the energy along a training is found: ``curve.reached``. No step is counted where fresh samples of
    the base are within the error already. None where it was not reached, or not asked for.
    """
    found = []
    for index, _ in enumerate(spec.targets()):
        zero = done[f"zero-shot/{index}"].record
        tuned, fresh = _tuning(spec, done, index), _curve(done, f"scratch/{index}")
        goal = goal_of(zero["atoms"], _reference(zero))
        steps, anew, ratio = _compared(zero, tuned, fresh, goal)
        most = None if fresh is None else len(fresh.steps)
        found.append(
            {
                "target": zero["name"],
                "from": trained if spec.train.warm_start is None else [spec.train.warm_start],
                "steps_to_1mha_per_atom": steps,
                "scratch_steps": anew,
                "scratch_steps_made": most,
                "ratio": ratio,
                "ratio_at_least": None if ratio is not None or steps is None or most is None else most / max(steps, 1),
                "zero_shot_error_mha": zero["error_mha"],
                "goal": goal,
                "levels": [] if goal is None or most is None else _levels(zero, tuned, fresh),
            }
        )
    return found


def _tuning(spec: MoleculesSpec, done: Outputs, index: int) -> Curve | None:
    """Energies along the tuning for a molecule: its own, or its part of the one for all."""
    if not spec.adapt.together:
        return _curve(done, f"adapt/{index}")
    joint = _curve(done, TOGETHER)
    if joint is None:
        return None
    made, one = np.isfinite(joint.energy[:, index]), slice(index, index + 1)
    return Curve(joint.steps[made], joint.energy[made, one], joint.variance[made, one])


def goal_of(atoms: int, reference: Reference | None) -> float | None:
    """Energy 1 mHa per atom above the reference (Ha); None where that is a calculation in one finite basis."""
    if reference is None:
        return None
    return reference.value + PER_ATOM * atoms if reference.complete else None


def _reference(record: dict[str, Any]) -> Reference | None:
    known = record["reference"]
    if known is None:
        return None
    return Reference(known["value"], known["kind"], known["source"], known["uncertainty"], known["complete"])


def _compared(
    zero: dict[str, Any], tuned: Curve | None, fresh: Curve | None, goal: float | None
) -> tuple[int | None, int | None, float | None]:
    """Steps to an energy (Ha) from the base and from scratch, and their ratio."""
    steps = _steps(zero, tuned, goal)
    anew = None if fresh is None or goal is None else reached(fresh, goal)
    return steps, anew, anew / max(steps, 1) if anew is not None and steps is not None else None


def _levels(zero: dict[str, Any], tuned: Curve | None, fresh: Curve | None) -> list[dict[str, Any]]:
    """The comparison at several errors per atom: the smaller the error, the less a good start is worth."""
    found = []
    for level in LEVELS:
        goal = zero["reference"]["value"] + level / 1000 * zero["atoms"]
        steps, anew, ratio = _compared(zero, tuned, fresh, goal)
        found.append({"error_mha_per_atom": level, "steps": steps, "scratch_steps": anew, "ratio": ratio})
    return found


def _steps(zero: dict[str, Any], tuned: Curve | None, goal: float | None) -> int | None:
    if goal is None or zero["energy"] is None:
        return None
    if zero["energy"] <= goal:
        return 0
    return None if tuned is None else reached(tuned, goal)


def curves_of(spec: MoleculesSpec, done: Outputs) -> list[dict[str, Any]]:
    """Error against steps of every training for one molecule."""
    found = []
    for index, _ in enumerate(spec.targets()):
        zero = done[f"zero-shot/{index}"].record
        trainings = {"transfer": _tuning(spec, done, index), "scratch": _curve(done, f"scratch/{index}")}
        for start, curve in trainings.items():
            if curve is None or not len(curve.steps):
                continue
            first = zero if start == "transfer" else None
            found.append(records.curve_of(curve, zero["name"], start, _reference(zero), first))
    return found


def molecule_versions() -> dict[str, str]:
    """Versions of what only molecules need."""
    import importlib.metadata

    found = {}
    for name in ("pyscf", "folx"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
