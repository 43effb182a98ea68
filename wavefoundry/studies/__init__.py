"""Studies: from an accepted study file to a sealed run directory, whatever its kind."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavefoundry.core.errors import InputError
from wavefoundry.studies.workers import Crew, client_of

if TYPE_CHECKING:
    from wavefoundry.core.cores import Wanted
    from wavefoundry.studies.progress import Context, Emit

__all__ = ["Crew", "perform", "run_study"]

KINDS = {kind: f"wavefoundry.studies.{kind}.study" for kind in ("emulation", "molecules", "tickets")}
KINDS["diagram"] = "wavefoundry.studies.diagram.compose"
"""Modules of the kinds of study: each has ``build(spec, context)``, which gives a ``Study``, and ``check(spec)``, which
refuses what only a calculation can tell, before anything is written."""


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
        spec: the path of a study file, or what ``wavefoundry.artifacts.spec.load`` made of one.
        out: run directory.
        resume: go on from the last checkpoint in ``out``.
        overwrite: replace an older run in ``out``.
        emit: receives events while the study runs.
        crew: who does the runs of a study over several seeds, or the tasks of one; this process by default.

    Raises:
        WavefoundryError: see the subclasses; ``Interrupted`` when a signal stopped the run after saving it.
    """
    from wavefoundry.artifacts import signals
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.core.expect import expect, path_of

    fix = 'wf.run_study("study.toml", out)'
    spec = study_file.load(spec) if isinstance(spec, str | Path) else spec
    expect(spec, tuple(study_file.KINDS.values()), "accepted study", where="wf.run_study: spec", fix=fix)
    crew, devices = crew or Crew(), devices_of(spec)
    if not crew.alone and crew.scheduler is None and devices not in (None, "auto", 1):
        why = "the workers of one machine share its cores among them"
        raise InputError(f"{devices} devices for each worker", where="[run] devices", why=why, fix="one of the two")
    folder = path_of(out, "wf.run_study: out")
    with signals.interrupts() as stop, nullcontext() if crew.alone else client_of(crew) as client:
        return perform(spec, folder, lambda: stop.requested, resume, overwrite, emit, client)


def devices_of(spec: Any) -> Wanted | None:
    """The devices that a study asks for; None where its work does not lie in samples."""
    return getattr(spec.run, "devices", None)


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
        client: of dask, for the seeds or the tasks of a study; None: in this process.
    """
    from wavefoundry.artifacts import inputs
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.artifacts.results import read_results
    from wavefoundry.artifacts.store import RunDirectory
    from wavefoundry.core import plugins
    from wavefoundry.core.devices import used
    from wavefoundry.core.hosts import follows
    from wavefoundry.core.meter import Cost
    from wavefoundry.core.programs import keep_programs
    from wavefoundry.studies import hosts
    from wavefoundry.studies.progress import WHOLE, Context

    unkept = keep_programs()
    with used(devices_of(spec)), hosts.peers():
        hosts.require_one_run(spec, devices_of(spec), client)
        kind = import_module(KINDS[spec.kind])
        if not resume:
            kind.check(spec)
        if follows():
            summary = read_results(folder) if resume else None
            return summary or _done(spec, kind, hosts.context_of(folder, requested, resume), folder, "", None)
        if not resume:
            if overwrite:
                inputs.require_apart(spec, folder)
            read = inputs.sums(spec)
            directory = RunDirectory.create(folder, study_file.dumps(spec), overwrite=overwrite, inputs=read)
        else:
            directory = RunDirectory.open(folder, write=True)
        with directory:
            earlier, stored = None, {}
            if resume:
                study_file.require_same(spec, directory.spec_text, folder)
                summary = read_results(directory.path)
                if summary is not None and (summary["kind"] != "seeds" or summary["status"] == "complete"):
                    return summary  # nothing is left to do
                inputs.require_same(spec, directory.inputs, folder)
                stored = directory.outputs()
                newest = directory.newest(stored)
                directory.truncate_log(newest)
                earlier = None if newest is None else Cost(**newest.get(WHOLE, {}))
            context = Context(emit, directory, requested, earlier, stored)
            if unkept:
                context.warn(unkept)
            summary = _done(spec, kind, context, directory.path, directory.spec_text, client)
            for text in directory.warnings:
                context.warn(text)
            words = ["wavefoundry", *plugins.arguments(), "run", f"{folder}/spec.toml", "--out", f"{folder}-again"]
            summary["command"] = shlex.join(words)
            summary["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
            directory.write_json("summary.json", summary)
            for name, text in _tables(summary).items():
                directory.write_text(name, text)
            directory.seal()
        return summary


def _done(spec: Any, kind: Any, context: Context, folder: Path, text: str, client: Any) -> dict[str, Any]:
    """The summary of a study, once all there is to it has been done."""
    from wavefoundry.studies.execute import execute

    if spec.run.seeds > 1:
        from wavefoundry.studies import seeds

        return seeds.run(spec, context, folder, client)
    study = kind.build(spec, context)
    if client is None:
        done = execute(study, context)
    else:
        from wavefoundry.studies.remote import execute_by_workers

        done = execute_by_workers(study, context, client, text)
    return study.summary(done, context) | {"cost": context.cost().to_dict()}


def _tables(summary: dict[str, Any]) -> dict[str, str]:
    """Names and texts of the tables beside the summary."""
    if summary["kind"] == "seeds":
        from wavefoundry.reports import seeds

        return {"seeds.csv": seeds.table_csv(seeds.parsed(summary))}
    if summary["kind"] == "emulation":
        from wavefoundry.reports.emulation_tables import cases_csv, parsed

        return {"cases.csv": cases_csv(parsed(summary))}
    from wavefoundry.reports.tables import csv_text, flatten, write_csv

    if summary["kind"] == "molecules":
        from wavefoundry.reports.molecules_lines import numbers

        rows = [flatten(numbers(record)) for record in summary["molecules"]]
        return {"molecules.csv": csv_text(list(dict.fromkeys(name for row in rows for name in row)), rows)}
    return {f"{name}.csv": write_csv(summary[name]) for name in ("points", "rounds") if name in summary}
