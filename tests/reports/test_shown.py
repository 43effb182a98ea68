"""What results look like at a prompt and in a notebook: short, with a table and a figure, never an array."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

import wavefoundry as wf
from wavefoundry.reports import cards
from wavefoundry.reports.notebook import EVERY, ProgressLine
from wavefoundry.reports.shown import Card, html, png, text
from wavefoundry.reports.style import new_figure

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def base() -> wf.Pretrained:
    return wf.load("zoo:ising-chain-24")


def short(shown: Any) -> bool:
    """At most eight lines of at most 120 characters, with no array in them."""
    lines = repr(shown).splitlines()
    return (
        len(lines) <= 8
        and all(len(line) <= 120 for line in lines)
        and not re.search(r"array\(|f32\[|f64\[", repr(shown))
    )


def test_a_base_and_its_parts_are_short(base: wf.Pretrained):
    for one in (base, base.state, base.system, base.wavefunction, wf.demo_emulator(), wf.Curriculum.preset("default")):
        assert short(one), repr(one)
    assert "-30.5769" in repr(base) and "trusted" in repr(base) and "22512 weights" in repr(base)
    assert "ising, chain 24, periodic, J = 1, h = 1" in repr(base.system)
    assert "<table>" in base._repr_html_() and base._repr_png_() is None


def record(h: float, energy: float) -> dict[str, Any]:
    return {"couplings": {"J": 1.0, "h": h}, "energy": energy, "energy_per_site": energy / 8, "energy_error": 0.01,
            "relative_error": 1e-4, "v_score": 1e-4, "verdict": "trusted", "reasons": []}  # fmt: skip


def test_a_diagram_has_a_table_and_a_figure():
    points = [record(0.5 + 0.1 * k, -8.0 - k) for k in range(15)]
    summary = {"kind": "diagram", "status": "complete", "points": points,
               "system": {"model": "ising", "extent": [8], "sites": 8, "periodic": True}}  # fmt: skip
    shown = wf.Diagram(summary)
    assert short(shown) and "15 points, 15 trusted" in repr(shown)
    page, image = shown._repr_html_(), shown._repr_png_()
    assert image is not None and image.startswith(PNG)
    assert page.count("<tr>") >= 13 and "and 3 more rows" in page and "1.0e-4" in page
    assert base64.b64encode(image).decode() in page and 'alt="Energy per site' in page


def test_names_cannot_become_markup():
    page = html(Card("<script>", [("<b>", "a & b")], [{"<i>": "<u>"}]))
    assert "<script>" not in page and "<b>" not in page and "<u>" not in page and "a &amp; b" in page


def test_facts_are_cut_and_empty_ones_left_out():
    shown = text(Card("title", [("long", "x" * 500), ("empty", "")]))
    assert len(shown.splitlines()) == 2 and len(shown) < 130 and "empty" not in shown
    assert png(Card("title")) is None


def test_molecules_tickets_and_judgements():
    molecule = {"name": "LiH", "method": "zero-shot", "energy": -8.07, "energy_error": 0.001, "verdict": "trusted"}
    form = {"kind": "molecules", "status": "complete", "cost": {"cpu_seconds": 1.0}, "settings": {}}
    shown = wf.MoleculeMap(form | {"molecules": [molecule]})
    assert short(shown) and "1 trusted" in repr(shown) and "LiH" in shown._repr_html_()
    known = {"energy": -1.0, "energy_error": 0.0, "relative_error": 1e-3, "verdict": "trusted"}
    rounds = [{"round": k, "n": n, "rho": n / 9, "density": n / 9, **known} for k, n in enumerate((9, 3))]
    found = cards.tickets({"kind": "tickets", "status": "complete", "rounds": rounds, "verdict": "smooth"})
    assert "2 rounds from 9 to 3 weights" in text(found) and "smooth" in text(found)
    assert "Ticket of 3 weights" in text(cards.ticket(rounds[1]))
    case = {"name": "well", "corr_mean": 0.99, "corr_final": 0.98, "mae": 0.01, "verdict": "trusted"}
    assert "0.990 (well)" in text(
        cards.judgement([case], {"corr_mean": 0.99, "corr_worst": 0.99, "worst_case": "well"}, lambda: None)
    )


def test_a_figure_shows_itself():
    figure, (axes,) = new_figure(2, 2)
    axes.plot([0, 1])
    assert figure._repr_png_().startswith(PNG)  # type: ignore[attr-defined]


def test_one_line_that_changes():
    """Of many events one display is left, which says the last one; warnings have their own."""
    shown: list[Any] = []

    class Handle:
        def __init__(self, markup: str):
            self.texts = [markup]
            shown.append(self)

        def update(self, markup: str) -> None:
            self.texts.append(markup)

    now = [0.0]
    line = ProgressLine(Handle, lambda: now[0])
    for step in range(40):
        now[0] += EVERY / 10
        line.take({"event": "step", "step": step + 1, "steps": 40, "energy": -1.0})
    line.take({"event": "warning", "text": "a < b"})
    line.close()
    assert len(shown) == 2 and 3 <= len(shown[0].texts) <= 6
    assert "40/40" in shown[0].texts[-1] and "a &lt; b" in shown[1].texts[0]
