"""Formulas of the documentation site as MathML, which browsers draw by themselves: no script, no network."""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[\(\[](.*?)\\[\)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    """Called by MkDocs with the HTML of every page."""
    return FORMULA.sub(lambda found: convert(html.unescape(found[2]), "inline"), content)
