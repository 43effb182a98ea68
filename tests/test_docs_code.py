"""What the guides show: their Python can be read, uses names that exist, and their links lead somewhere."""

import ast
import builtins
import re
from pathlib import Path

import pytest

import wavefoundry as wf

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")], key=str)
KNOWN = {*dir(builtins), "wf", "np", "nk", "jax", "jnp", "plt"}


def defined(tree: ast.AST) -> set[str]:
    """Names that a piece of code gives a meaning to."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "architecture.md"], ids=lambda path: path.name)
def test_names_in_code_are_defined(page: Path):
    """On the page itself, in the order in which it is read; what hangs on ``wf`` exists."""
    known, missing = set(KNOWN), set()
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        tree = ast.parse(block)
        known |= defined(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id not in known:
                missing.add(node.id)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wf":
                missing |= set() if hasattr(wf, node.attr) else {f"wf.{node.attr}"}
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


def test_extras_are_installed_from_the_source_directory():
    """The package is on no index: neither messages nor guides may say so."""
    for path in [*PAGES, *(ROOT / "wavefoundry").rglob("*.py")]:
        assert not re.search(r"pip install '?\"?wavefoundry", path.read_text()), path
