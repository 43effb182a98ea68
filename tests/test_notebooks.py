"""Every notebook of the guides runs from its first cell to its last, in an empty folder, and shows what it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"
QUICK = ("wave-packets",)
"""Those that take seconds."""

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")


def outputs(notebook: Any, kind: str) -> list[Any]:
    """Everything of one type that the cells of a notebook show."""
    found = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    return [one.data[kind] for one in found if kind in one.get("data", {})]


def names() -> list[Any]:
    found = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in found]


@pytest.mark.parametrize("name", names())
def test_a_notebook_runs(name: str, tmp_path: Path):
    """No error, no warning of a dependency, and as many figures as are stored in it for the site."""
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    stored = len(outputs(notebook, "image/png"))
    client = nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    done = client.execute()
    said = [one.text for cell in done.cells if cell.cell_type == "code" for one in cell.outputs if "text" in one]
    assert not [text for text in said if "Warning" in text]
    assert len(outputs(done, "image/png")) == stored


def test_stored_notebooks_are_small_and_shown():
    """Five; each was executed, at least one of them has a figure, none floods the page with arrays."""
    assert len(names()) == 5
    for path in NOTEBOOKS.glob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        assert path.stat().st_size < 500_000, path
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code"), path
        texts = outputs(notebook, "text/plain")
        assert all(len(text) < 1500 and "array(" not in text for text in texts), path
