"""Every Python block of the pages that promise to run as they stand, in order, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.integration
@pytest.mark.parametrize("page", ["index.md", "how-to.md"])
def test_the_blocks_of_a_page_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    text = (DOCS / page).read_text()
    blocks = list(BLOCK.finditer(text))
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        line = text[: block.start(1)].count("\n")
        exec(compile("\n" * line + block[1], str(DOCS / page), "exec"), names)


def test_every_question_has_an_answer():
    """Questions of newcomers, each a heading with something to run below it."""
    parts = (DOCS / "how-to.md").read_text().split("\n## ")[1:]
    assert len(parts) == 11
    assert all(part.startswith("... ") and part.splitlines()[0].endswith("?") and "`" in part for part in parts)
