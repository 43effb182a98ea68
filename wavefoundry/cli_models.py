"""The commands ``wavefoundry models ...``: models by name, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from wavefoundry.artifacts import hub, named, zoo
from wavefoundry.cli_output import echo_json

app = typer.Typer(
    name="models",
    help="Trained models by name: those shipped, and your own.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _names(start: str) -> list[str]:
    """Completions of a name."""
    return [name for name in named.names() if name.startswith(start)]


Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, as 'list' shows it.", autocompletion=_names)]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and nothing else.")]


@app.command("list")
def list_models(json: Json = False) -> None:
    """List all models with their verdicts."""
    rows = [zoo.listed(name) for name in named.names()]
    if json:
        echo_json(rows)
        return
    width = max((len(row["name"]) for row in rows), default=4)
    for row in rows:
        if "unusable" in row:
            typer.echo(f"{row['name']:<{width}}  unusable: {row['unusable']}")
            continue
        energy = "" if row["energy_per_site"] is None else f"  E/site {row['energy_per_site']:.6f}"
        where = "" if row["shipped"] else "  (imported)"
        typer.echo(f"{row['name']:<{width}}  {row['title']}{energy}  {row['verdict'] or ''}{where}")


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Show the card of a model; --json gives its whole record."""
    one = zoo.entry(name)
    if json:
        echo_json(one.row() | {"record": one.record})
    else:
        typer.echo((one.folder / hub.CARD).read_text(encoding="utf-8"), nl=False)


@app.command()
def get(
    name: Name, out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where its folder goes.")] = Path()
) -> None:
    """Copy a model into a folder of its own, with the study that makes it again."""
    typer.echo(str(zoo.copy(name, out)))


@app.command()
def export(
    source: Annotated[str, typer.Argument(metavar="RUN|zoo:NAME", help="A finished run, or a model by name.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Name of the model.")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where its folder goes.")] = Path(),
    base: Annotated[
        str, typer.Option(metavar="base-N|student-NAME|tuned-N", help="Which one, of several models of a run.")
    ] = "base",
) -> None:
    """Make a folder of a model in the layout of model hubs, with its card and samples, to be handed on."""
    typer.echo(str(zoo.export(source, name, out, base)))


@app.command("import")
def import_model(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that 'export' or 'get' made.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Another name for it.")] = None,
) -> None:
    """Keep a model, so that zoo:NAME stands for it."""
    one = zoo.take(folder, name)
    typer.echo(f"{named.PREFIX}{one.name}: {one.folder}")
