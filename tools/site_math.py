"""Formulas of the documentation site as MathML, which browsers draw by themselves: no script, no network."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[\(\[](.*?)\\[\)\]]</\1>', re.DOTALL)


NOTEBOOK = re.compile(r'<div class="[^"]*jp-MarkdownOutput[^"]*"[^>]*>.*?</div>', re.DOTALL)
"""Text of a notebook, where formulas stand between dollars."""
DOLLARS = re.compile(r"\$([^$<]+)\$")


def on_page_content(content: str, **_: object) -> str:
    """Called by MkDocs with the HTML of every page."""
    content = NOTEBOOK.sub(lambda text: DOLLARS.sub(lambda found: mathml(found[1]), text[0]), content)
    return FORMULA.sub(lambda found: mathml(found[2]), content)


def mathml(formula: str) -> str:
    """A formula in TeX, escaped for HTML, as MathML within a line."""
    return convert(html.unescape(formula), display="inline")
