"""Studies: plan -> runs -> records. One function per kind of study file, found by its ``kind``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wavefoundry.studies.context import Emit

__all__ = ["run_study"]


def run_study(
    spec: Any, out: str | Path, *, resume: bool = False, overwrite: bool = False, emit: Emit | None = None
) -> dict[str, Any]:
    """Run a study into a run directory and return its summary (also written as summary.json, with a CSV table).

    Args:
        spec: an accepted study file (``wavefoundry.artifacts.spec.load``).
        out: run directory.
        resume: go on from the last checkpoint in ``out``.
        overwrite: replace an older run in ``out``.
        emit: receives events while the study runs.

    Raises:
        WavefoundryError: see the subclasses; ``Interrupted`` when a signal stopped the run after saving it.
    """
    from importlib import import_module

    kinds = {
        "diagram": "diagram_run",
        "emulation": "emulation_run",
        "molecules": "molecules_run",
        "tickets": "tickets_run",
    }
    from wavefoundry.artifacts import signals
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.artifacts.store import RunDirectory
    from wavefoundry.core.expect import expect, path_of
    from wavefoundry.core.programs import keep_programs
    from wavefoundry.studies.context import Context

    fix = "wavefoundry.artifacts.spec.load(path)"
    expect(spec, tuple(study_file.KINDS.values()), "accepted study", where="wf.run_study: spec", fix=fix)
    keep_programs()
    folder, study = path_of(out, "wf.run_study: out"), import_module(f"wavefoundry.studies.{kinds[spec.kind]}")
    if hasattr(study, "refuse") and not resume:
        study.refuse(spec)  # what only a calculation can tell, before anything is written
    if resume:
        directory = RunDirectory.open(folder, write=True)
    else:
        directory = RunDirectory.create(folder, study_file.dumps(spec), overwrite=overwrite)
    with directory, signals.interrupts() as stop:
        earlier = None
        if resume:
            study_file.require_same(spec, directory.spec_text, folder)
            earlier = _rewind_log(directory)
        context = Context(emit, directory, lambda: stop.requested, earlier)
        summary = study.run(spec, context)
        summary["cost"] = context.cost().to_dict()
        for text in directory.warnings:
            context.warn(text)
        summary["command"] = f"wavefoundry run {folder}/spec.toml --out {folder}-again"
        directory.write_json("summary.json", summary)
        for name, text in _tables(summary).items():
            directory.write_text(name, text)
        directory.seal()
    return summary


def _rewind_log(directory: Any) -> Any:
    """Drop log lines beyond the state that is gone back to: newest stream first.

    Returns:
        The cost of the whole run up to that state; None where nothing was saved.
    """
    from wavefoundry.artifacts.store import STORE_KEY
    from wavefoundry.core.meter import Cost
    from wavefoundry.studies.context import WHOLE

    tickets = ("training", "tickets", "isolate", "confirm", "transfer")
    order = (tickets, ("adapt", "point"), ("pretrain",), ("emulation",), ("molecules",))
    for streams in order:
        found = [latest[2] for stream in streams if (latest := directory.latest(stream)) is not None]
        if found:
            newest = max(found, key=lambda meta: meta[STORE_KEY]["log_offset"])
            directory.truncate_log(newest)
            return Cost(**newest[WHOLE]) if WHOLE in newest else None
    directory.truncate_log(None)
    return None


def _tables(summary: dict[str, Any]) -> dict[str, str]:
    """Names and texts of the tables beside the summary."""
    if summary["kind"] == "emulation":
        from wavefoundry.reports.emulation_tables import cases_csv

        return {"cases.csv": cases_csv(summary)}
    from wavefoundry.reports.tables import write_csv

    if summary["kind"] == "molecules":
        from wavefoundry.reports.molecules_lines import numbers

        return {"molecules.csv": write_csv([numbers(record) for record in summary["molecules"]])}
    return {f"{name}.csv": write_csv(summary[name]) for name in ("points", "rounds") if name in summary}
