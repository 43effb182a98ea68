"""Studies: plan -> runs -> records. One function per kind of study file, found by its ``kind``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavefoundry.core.errors import InputError
from wavefoundry.studies.workers import Crew, client_of

if TYPE_CHECKING:
    from wavefoundry.studies.context import Emit

__all__ = ["Crew", "perform", "run_study"]

MODULES = {
    "diagram": "diagram_run",
    "emulation": "emulation_run",
    "molecules": "molecules_run",
    "tickets": "tickets_run",
}
"""Where the kinds of study are, each with ``run(spec, context)`` and, if need be, ``refuse(spec)``."""


def run_study(
    spec: Any,
    out: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    emit: Emit | None = None,
    crew: Crew | None = None,
) -> dict[str, Any]:
    """Run a study into a run directory and return its summary (also written as summary.json, with a CSV table).

    Args:
        spec: an accepted study file (``wavefoundry.artifacts.spec.load``).
        out: run directory.
        resume: go on from the last checkpoint in ``out``.
        overwrite: replace an older run in ``out``.
        emit: receives events while the study runs.
        crew: who does the runs of a study over several seeds; this process by default.

    Raises:
        WavefoundryError: see the subclasses; ``Interrupted`` when a signal stopped the run after saving it.
    """
    from wavefoundry.artifacts import signals
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.core.expect import expect, path_of

    fix = "wavefoundry.artifacts.spec.load(path)"
    expect(spec, tuple(study_file.KINDS.values()), "accepted study", where="wf.run_study: spec", fix=fix)
    crew = crew or Crew()
    if not crew.alone and spec.run.seeds == 1:
        why = "what is shared out are the seeds of a study, and this one has a single seed"
        raise InputError("there is nothing to share out", where="--workers, --scheduler", why=why, fix="--seeds 5")
    folder = path_of(out, "wf.run_study: out")
    with signals.interrupts() as stop, nullcontext() if crew.alone else client_of(crew) as client:
        return perform(spec, folder, lambda: stop.requested, resume, overwrite, emit, client)


def perform(
    spec: Any,
    folder: Path,
    requested: Callable[[], int | None],
    resume: bool = False,
    overwrite: bool = False,
    emit: Emit | None = None,
    client: Any = None,
) -> dict[str, Any]:
    """As ``run_study``.

    Args:
        spec, folder, resume, overwrite, emit: as there. requested: gives the signal that asks to stop, or None.
        client: of dask, for the seeds of a study; None: in this process.
    """
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.artifacts.store import RunDirectory
    from wavefoundry.core.programs import keep_programs
    from wavefoundry.studies.context import Context

    keep_programs()
    study = import_module(f"wavefoundry.studies.{MODULES[spec.kind]}")
    if hasattr(study, "refuse") and not resume:
        study.refuse(spec)  # what only a calculation can tell, before anything is written
    if resume:
        directory = RunDirectory.open(folder, write=True)
    else:
        directory = RunDirectory.create(folder, study_file.dumps(spec), overwrite=overwrite)
    with directory:
        earlier = None
        if resume:
            study_file.require_same(spec, directory.spec_text, folder)
            earlier = _rewind_log(directory)
        context = Context(emit, directory, requested, earlier)
        if spec.run.seeds > 1:
            from wavefoundry.studies import seeds

            summary = seeds.run(spec, context, directory.path, client)
        else:
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
    if summary["kind"] == "seeds":
        from wavefoundry.reports.seeds import table_csv

        return {"seeds.csv": table_csv(summary)}
    if summary["kind"] == "emulation":
        from wavefoundry.reports.emulation_tables import cases_csv

        return {"cases.csv": cases_csv(summary)}
    from wavefoundry.reports.tables import write_csv

    if summary["kind"] == "molecules":
        from wavefoundry.reports.molecules_lines import numbers

        return {"molecules.csv": write_csv([numbers(record) for record in summary["molecules"]])}
    return {f"{name}.csv": write_csv(summary[name]) for name in ("points", "rounds") if name in summary}
