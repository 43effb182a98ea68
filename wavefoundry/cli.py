"""Command line: run a study, and read what a run has left.

Commands that only read or describe never import the array libraries; ``run`` does once the study is accepted.
Exit codes: 0 done, 1 internal error, 2 wrong input, 3 a run that is not complete or whose every number is refused,
4 damaged files, 74 storage, 75 directory in use, 128 + n stopped by signal n.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from wavefoundry import cli_models
from wavefoundry.artifacts import spec as studies_file
from wavefoundry.artifacts.signals import interrupts
from wavefoundry.artifacts.target import check_early
from wavefoundry.cli_output import (
    console,
    echo_json,
    folder_of,
    hush,
    inspect_bundle,
    internal_error,
    leave_if_unusable,
    output_failed,
    read_run,
    system_refused,
    write_report,
)
from wavefoundry.core import plugins
from wavefoundry.core.cores import ask_for
from wavefoundry.core.errors import InputError, Interrupted, WavefoundryError
from wavefoundry.core.expect import from_home, one_of

if TYPE_CHECKING:
    from wavefoundry.studies.workers import Crew

app = typer.Typer(
    help="Neural quantum states that are trained once and adapted everywhere else.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cli_models.app)
SHIPPED = "ising-chain-24"
"""The model that ``demo diagram --zoo`` begins with: that of the demonstration itself."""
AT_ONCE = ["pretrain.steps=0", f'pretrain.warm_start="zoo:{SHIPPED}"', "adapt.samples=1024", "evaluate.samples=1024"]
"""What ``demo diagram --zoo`` changes: half of the samples, since a first look should not take half a minute."""


def _out_of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completions by the names of a table."""

    def completions(start: str) -> list[str]:
        return [name for name in names if name.startswith(start)]

    return completions


_kinds, _presets, _forms = map(_out_of, (studies_file.KINDS, studies_file.PRESETS, ("study", "summary")))


def _sinks(start: str) -> list[str]:
    """Completions of what takes events."""
    from wavefoundry.reports.sinks import SINKS

    return [f"{name}:" for name in SINKS if name.startswith(start)]


Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run directory.", parser=folder_of)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the same directory.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run, bit for bit.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors and the last line.")]
Seeds = Annotated[int | None, typer.Option(metavar="N", help="Repeat the study with N seeds, as [run] seeds = N.")]
Devices = Annotated[str | None, typer.Option(metavar="N|auto", help="Share the samples, as [run] devices = N.")]
Hosts = Annotated[bool, typer.Option("--hosts", help="One run by all processes that srun or mpirun has started.")]
Workers = Annotated[int, typer.Option(metavar="N", help="Processes that share the seeds, or jobs of a scheduler.")]
Scheduler = Annotated[str | None, typer.Option(metavar="ADDRESS|slurm", help="Share the seeds out by dask or Slurm.")]
Slurm = Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A setting of Slurm jobs. Repeatable.")]
LogTo = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:TARGET]",
        help="Events also go to tensorboard:DIR, wandb:PROJECT, mlflow:EXPERIMENT or jsonl:FILE. Repeatable.",
        autocompletion=_sinks,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the job script of --scheduler slurm, and run nothing.")]


class Mode(NamedTuple):
    """How to run: where, on top of what, and what to show."""

    out: Path
    resume: bool
    overwrite: bool
    json: bool
    quiet: bool
    crew: Crew | None = None
    hosts: bool = False
    log_to: tuple[str, ...] = ()


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; every failure becomes a short message on standard error and an exit code.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit code.
    """
    hush()
    code = _run(argv)
    try:
        sys.stdout.flush()
    except OSError as error:
        return output_failed(error)
    if (joined := sys.modules.get("wavefoundry.core.hosts")) is not None:
        joined.leave(code)
    return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        app(args=None if argv is None else list(argv), prog_name="wavefoundry")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except WavefoundryError as error:
        print("\n".join([f"error: {error}", *getattr(error, "__notes__", ())]), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except OSError as error:
        return system_refused(error)
    except Exception as error:
        return internal_error(error)
    return 0


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and leave.")] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE.py|MODULE", help="Models, networks and emulators of your own. Repeatable."),
    ] = None,
) -> None:
    if plugin:
        plugins.add(plugin)
    if version:
        from wavefoundry._version import __version__

        typer.echo(f"wavefoundry {__version__}")
        raise typer.Exit


@app.command()
def run(  # noqa: PLR0913 - one for each option
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")],
    out: Out = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, e.g. adapt.method=full. Repeatable."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="desk|paper", help="Defaults of the keys the study leaves out.", autocompletion=_presets),
    ] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    seeds: Seeds = None,
    devices: Devices = None,
    hosts: Hosts = False,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    slurm: Slurm = None,
    dry_run: DryRun = False,
    log_to: LogTo = None,
) -> None:
    """Run a study: pre-train, adapt, evaluate, report."""
    from wavefoundry.studies.workers import Crew, job_script

    own = [f"run.{key}={value}" for key, value in (("seeds", seeds), ("devices", devices)) if value is not None]
    spec = studies_file.load(study, [*(changes or ()), *own], preset)
    crew = Crew.of(workers, scheduler, slurm or ())
    if dry_run:
        return typer.echo(job_script(crew), nl=False)
    folder = out or from_home(spec.output.dir or Path("runs") / (study.stem or "study"))
    try:
        _execute(spec, Mode(folder, resume, overwrite, json, quiet, crew, hosts, tuple(log_to or ())))
    except InputError as error:
        raise studies_file.located(error, study, [*(changes or ()), *own]) from None


@app.command()
def demo(
    kind: Annotated[str, typer.Argument(help="Which demonstration.", autocompletion=_kinds)] = "diagram",
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
    zoo: Annotated[bool, typer.Option("--zoo", help="Begin with a model that is shipped, without training.")] = False,
    train: Annotated[bool, typer.Option("--train", help="molecules: train a model instead.")] = False,
) -> None:
    """Run a small study that takes a few minutes."""
    text = studies_file.template(kind, "demo-")
    if train and kind != "molecules":
        raise InputError("--train is for demo molecules", where="--train", why=f"the others train, {kind} too")
    if train:
        text = studies_file.template(kind, "demo-train-")
    if zoo and kind != "diagram":
        raise InputError("--zoo is for demo diagram", where="--zoo", why=f"there is no shipped start of {kind}")
    if zoo:  # its programs take longer to compile than to run; flags that a user has set stay
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
    given = AT_ONCE if zoo else []
    spec = studies_file.loads(text, source=f"demo {kind}", overrides=given)
    _execute(spec, Mode(out or Path("runs") / f"demo-{kind}", resume, overwrite, json, quiet))


@app.command()
def init(
    kind: Annotated[str, typer.Argument(help="Kind of study, e.g. diagram.", autocompletion=_kinds)] = "diagram",
) -> None:
    """Print a commented template of a study file."""
    typer.echo(studies_file.template(kind), nl=False)


@app.command()
def suggest(
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="A study file of kind diagram.")],
    bases: Annotated[
        int | None, typer.Option(metavar="N", help="How many; by default as few as reach all points.")
    ] = None,
    json: Json = False,
) -> None:
    """Say where to pre-train for a diagram, and why: exact states of a small copy of the system."""
    spec = studies_file.load(study)
    if spec.kind != "diagram":
        raise InputError(f"a study of kind {spec.kind} has no couplings to choose from", where=str(study))
    from wavefoundry.studies.diagram.suggest import of_study

    found = of_study(spec, bases)
    echo_json(found.to_dict()) if json else typer.echo(str(found))


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run directory.")]) -> None:
    """Write report.html of a run (anew)."""
    typer.echo(str(write_report(folder)))


@app.command()
def collapse(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories of kind tickets.")],
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("collapse.png"),
) -> None:
    """Lay the error curves of several hunts for tickets on one another: over widths, sizes or couplings."""
    from wavefoundry.api_tickets import collapse as lay
    from wavefoundry.artifacts.files import write_atomic
    from wavefoundry.reports.style import to_png

    if out.is_dir():
        why = f"{out} is a folder"
    elif not out.parent.is_dir():
        why = f"there is no folder {out.parent}"
    else:
        why = "" if out.suffix.lower() == ".png" else "pictures are PNG files"
    if why:
        raise InputError(f"no picture can be written to {out}", where="--out", why=why, fix="--out collapse.png")
    found = lay(*folders)
    for axis, spread in found.spread.items():
        typer.echo(f"over {axis:6}: " + ("no law is known" if spread is None else f"spread {spread:.2f} decades"))
    typer.echo(f"smallest over {found.best}" if found.best else "equal over all: the runs have one size")
    if found.transition is not None:
        typer.echo(f"over seeds: {found.transition['word']} ({'; '.join(found.transition['reasons'])})")
    write_atomic(out, to_png(found.plot()))
    typer.echo(str(out))


@app.command()
def inspect(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Run directory, or a checkpoint or model in it.")],
    json: Json = False,
) -> None:
    """Show what a run has produced so far, and how far it can be trusted."""
    from wavefoundry.artifacts.bundles import is_bundle
    from wavefoundry.artifacts.named import is_named
    from wavefoundry.artifacts.results import model_folder
    from wavefoundry.reports.lines import event_line
    from wavefoundry.reports.live import final_table

    if is_bundle(model := model_folder(path) if is_named(path) else path):
        return inspect_bundle(model, json)
    summary, notes = read_run(path)
    if json:
        echo_json(summary)
    else:
        screen = console()
        screen.print(final_table(summary))
        if last := event_line(summary.get("last_event") or {}):
            screen.print(f"last: {last}", markup=False)
        for note in notes:
            screen.print(f"warning: {note}", style="yellow", markup=False)
    leave_if_unusable(summary)


@app.command()
def schema(
    of: Annotated[str, typer.Argument(help="study (a file) or summary (of a run).", autocompletion=_forms)],
) -> None:
    """Print the JSON schema of study files, by which editors complete and check them, or of results."""
    from wavefoundry.core import records

    known = {"study": studies_file.json_schema, "summary": records.json_schema}
    echo_json(known[one_of(of, known, f"there is no schema {of!r:.60}", where="argument OF")]())


@app.command()
def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Run directory, of a run that is under way or not.")],
    port: Annotated[int, typer.Option(metavar="N", help="Port of the page; by default a free one.")] = 0,
) -> None:
    """Follow a run in a browser: curves, the diagram filling in, flags. Ctrl-C ends the page, not the run."""
    from wavefoundry.reports.watch import server

    with server(folder, port) as found:
        typer.echo(f"http://{found.server_address[0]}:{found.server_address[1]}/  (Ctrl-C ends it)")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            found.serve_forever()


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Run directory, or a checkpoint or model in it.")],
) -> None:
    """Check every file of a run against its SHA-256 sum."""
    from wavefoundry.artifacts.bundles import check_bundle, is_bundle
    from wavefoundry.artifacts.seal import damaged
    from wavefoundry.artifacts.store import RunDirectory

    if problems := check_bundle(path) if is_bundle(path) else RunDirectory.open(path).verify():
        raise damaged(path, problems)
    typer.echo(f"{path} is intact")


def _execute(spec: Any, mode: Mode) -> None:
    """Run an accepted study, show it, write the report; leaves with 3 if numbers are missing or none is usable."""
    from wavefoundry.reports import live
    from wavefoundry.reports.lines import final_line
    from wavefoundry.reports.sinks import also

    ask_for(getattr(spec.run, "devices", 1))
    check, follows = partial(check_early, spec, mode.out, mode.resume, mode.overwrite), False
    if mode.hosts:
        from wavefoundry.core.hosts import join

        follows = join(check)
    else:
        check()
    with live.view(quiet=mode.quiet or follows, json=mode.json) as show, ExitStack() as ends:
        emit = show if follows else ends.enter_context(also(mode.log_to, mode.out.name, show))
        emit({"event": "phase", "phase": "start", "text": "loading the libraries"})
        from wavefoundry.studies import run_study

        summary = run_study(spec, mode.out, resume=mode.resume, overwrite=mode.overwrite, emit=emit, crew=mode.crew)
    if follows:
        return
    with interrupts():  # what is left takes seconds; a second signal leaves at once
        page = write_report(mode.out) if spec.output.report else None
    if mode.json:
        echo_json(summary)
    elif mode.quiet:
        typer.echo(f"{final_line(summary)}: {mode.out}")
    else:
        console().print(live.final_table(summary))
        typer.echo(f"results: {mode.out}" + (f", report: {page}" if page else ""))
    leave_if_unusable(summary)
    if summary.get("status") != "complete":
        raise typer.Exit(3)
