"""README and guides as a reader would follow them: every Python block runs, studies are read, commands exist.

Python runs in the order of the page, in an empty folder, at a small size: trainings are cut to a few steps.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import typer

import wavefoundry as wf
from wavefoundry import cli
from wavefoundry.artifacts import spec

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")], key=str)
WHOLE = {"index.md", "how-to.md"}
"""Pages whose blocks run as they stand, in another test."""
NO_PROGRAMS = {"architecture.md"}
"""Signatures and parts of modules."""
FEW = {"samples": 256, "chains": 32}
MOST = {
    "steps": 3, "walkers": 32, "hf_steps": 3, "samples": 512, "rounds": 1, "full_steps": 2, "polish": 1, "seeds": 1,
}  # fmt: skip
ALWAYS: dict[str, dict[str, Any]] = {
    "pretrain": {"steps": 3, "walkers": 32},
    "map": {"evaluate": FEW},
    "prune": {"steps": 3, "train": {"steps": 5}},
    "isolate": {"steps": 3, "seeds": 1},
    "distill": {"steps": 3, "polish": 1},
    "Calculator": {"samples": 512},
}
"""What is cut even where a block says nothing of it."""
ISING = {
    "kind": "tickets",
    "system": {"model": "ising", "lattice": {"kind": "chain", "size": 4}},
    "train": {"steps": 5},
    "prune": {"steps": 2, "stop_at": 40},
}


def blocks(page: Path, kind: str) -> list[tuple[int, str]]:
    """Line and text of every block of a kind ("" for commands and plain text)."""
    text = page.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: one.start(2)].count("\n"), one[2]) for one in found if one[1] == kind]


def small(name: str, whole: Callable[..., Any]) -> Callable[..., Any]:
    """A verb that does less: few steps and samples, three values of a coupling."""

    @functools.wraps(whole)
    def verb(*given: Any, **keys: Any) -> Any:
        if isinstance(given[0], str):  # a finished run
            return whole(*given, **keys)
        electrons = name in ("pretrain", "map", "prune") and not is_lattice(given[0])
        cut = {key: value for key, value in ALWAYS[name].items() if not (electrons and key == "evaluate")}
        keys = cut | {key: min(value, MOST[key]) if key in MOST else value for key, value in keys.items()}
        if name == "map" and not electrons:
            given = (given[0], {coupling: values[:3] for coupling, values in given[1].items()})
        if electrons and name == "map":
            keys |= {"evaluate": FEW | {"burn_in": 20}, "reference": {"basis": "none"}}
        if electrons and name == "prune":
            keys |= {"train": {"walkers": 32}, "evaluate": FEW | {"burn_in": 20}}
        if electrons and name == "pretrain":
            keys |= {"hf_steps": 3}
        return whole(*given, **keys)

    return verb


def is_lattice(given: Any) -> bool:
    one = given[0] if isinstance(given, list) else given
    return not isinstance(one, wf.MoleculeModel) and type(one).__name__ != "Molecule"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the guides take for granted: finished runs and a file of a molecule."""
    monkeypatch.chdir(tmp_path)
    wf.load("zoo:molecules-small").save("runs/study")
    (tmp_path / "runs" / "a").mkdir()
    (tmp_path / "runs" / "a" / "points.csv").write_text("h,energy\n1.0,-8.0\n")
    (tmp_path / "water.xyz").write_text("2\n\nH 0 0 0\nH 0 0 0.74\n")  # few electrons, whatever it is called
    return tmp_path


@pytest.mark.integration
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in WHOLE | NO_PROGRAMS and blocks(page, "python")], ids=str
)
def test_python_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    if page.name == "tickets.md":
        wf.run_study(spec.from_dict(ISING), "runs/tickets")
    for name in ALWAYS:
        monkeypatch.setattr(wf, name, small(name, getattr(wf, name)))
    names: dict[str, object] = {"wf": wf, "np": np}
    for line, block in blocks(page, "python"):
        exec(compile("\n" * line + block, str(page), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_studies_are_read(page: Path):
    """Whole ones as they are, parts with what the guide has said before."""
    before: Mapping[str, Any] = {
        "kind": "diagram",
        "system": {"model": "j1j2", "lattice": {"kind": "chain", "size": 8}},
        "pretrain": {"at": {"J2": 0.4}},
        "adapt": {"points": {"J2": [0.3]}},
    }
    for _, block in blocks(page, "toml"):
        if "kind = " in block.split("[", 1)[0]:
            assert spec.loads(block.replace('{ xyz = "more/*.xyz" }', '{ atoms = "Be 0 0 0" }')).kind
            continue
        tables = spec._parse(block, page.name)
        model = "ising" if "h" in str(tables.get("pretrain", "")) and "J2" not in block else "j1j2"
        system = {"model": model, "lattice": {"kind": "chain", "size": 8}}
        assert spec.from_dict({**before, "system": system, **tables}, source=page.name).kind == "diagram"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path):
    """Every command, option and argument of the blocks is one that the command line takes."""
    for _, block in blocks(page, ""):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if not words or words[0] != "wavefoundry":
                continue
            words = words[1 : words.index(">")] if ">" in words else words[1:]
            command, context = typer.main.get_command(cli.app), None
            while isinstance(command, click.Group):
                name, found, words = command.resolve_command(click.Context(command, parent=context), words)
                assert name is not None and found is not None, line
                context, command = click.Context(command, parent=context), found
            command.make_context(command.name or "", words, parent=context)
