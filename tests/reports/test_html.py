"""The report page: complete, self-contained, and safe whatever the run wrote into its summary."""

import html.parser
import json
import math
import re

import pytest

from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.reports import html as report
from wavefoundry.reports.content import text
from wavefoundry.reports.html import render, write_report

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(html.parser.HTMLParser):
    """Collects what the browser would see: tags, attributes, text; checks that tags nest."""

    def __init__(self, page: str):
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[list[str]] = []
        self.words: list[str] = []
        self.source = page
        self.feed(page)
        self.close()
        assert self.stack == [], "unclosed tags"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th") and "svg" not in self.stack:
            self.cells[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if "svg" in self.stack or "style" in self.stack:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.stack):
            self.cells[-1][-1] += data

    @property
    def prose(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words).replace("\u2009", " ").replace("\xa0", " "))


@pytest.fixture(scope="module")
def page(fabricate):
    summary = fabricate.summary(fields=[0.5, 1.0, 1.5])
    return Page(render(summary, fabricate.log(summary, steps=20, rounds=2)))


@pytest.fixture
def words_only(monkeypatch):
    """Leave the figures out: drawing them takes most of the time and they have tests of their own."""
    monkeypatch.setattr(report, "pictures", lambda summary, log: {})


def test_every_section_is_there(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page.source)
    wanted = ["Results", "Observables", "Convergence", "How each number was obtained", "Cost", "Reproduce"]
    assert headings == wanted
    assert "transverse-field Ising model, periodic chain of 64 sites" in page.prose
    assert sum(tag == "svg" for tag, _ in page.tags) == 8
    for part in ("wavefoundry run study.toml", "adapt.points.h.num", "0.10.2", "AMD EPYC", "Pauli matrices"):
        assert part in page.prose


def test_verdict_line_counts_and_compares(fabricate, words_only):
    summary = fabricate.summary(fields=[0.8, 1.0, 1.2])
    summary["points"][0].update(energy=fabricate.energy(64, 0.8) * (1 - 7.1e-4), relative_error=7.1e-4)
    for point, seconds in zip(summary["points"], (10.0, 20.0, 32.2), strict=True):
        point["cost"]["cpu_seconds"] = seconds
    prose = Page(render(summary, [])).prose
    assert "OK 3 of 3 points can be trusted." in prose
    assert "largest relative error against an exact energy is 7.1 × 10−4 at h = 0.8." in prose
    assert "All adaptations together took 62.2 CPU s, 10 % of the pre-training (622 CPU s)." in prose
    summary["points"][1].update(trusted=False, flags=["R-HAT"])
    summary["points"][2].update(trusted=False, flags=["LOW-ESS"])
    assert "R-HAT 1 of 3 points can be trusted." in Page(render(summary, [])).prose


def test_a_point_may_be_untrusted_without_a_flag(fabricate, words_only):
    summary = fabricate.summary(fields=[0.8])
    summary["points"][0]["trusted"] = False
    assert "NOT TRUSTED 0 of 1" in Page(render(summary, [])).prose


def test_table_has_every_field(fabricate, words_only):
    summary = fabricate.summary(fields=[0.8], sites=20)
    summary["points"][0].update(
        energy=-23.3551, energy_error=0.0024, relative_error=None, v_score=4.2e-4, r_hat=1.0031, ess=2345.6,
        pool={"draws": 2, "ess_min": 0.613}, flags=["LOW-ESS"], trusted=False, acceptance=0.41,
        cost={"cpu_seconds": 7.125},
    )  # fmt: skip
    cells = Page(render(summary, [])).cells
    head = next(row for row in cells if "V-score" in row)
    row = dict(zip(head, cells[cells.index(head) + 1], strict=True))
    assert row == {
        "h": "0.8",
        "energy / site": "−1.16776(12)",
        "exact / site": "−1.1678565",
        "rel. error": "8.7\u2009×\u200910−5",
        "z": "0.8",
        "V-score": "4.2\u2009×\u200910−4",
        "R-hat": "1.0031",
        "ESS": "2346",
        "pool draws": "2",
        "ESS min": "0.61",
        "accept.": "0.41",
        "CPU s": "7.12",
        "flags": "LOW-ESS",
    }


def test_missing_and_non_finite_numbers_are_not_available(fabricate, words_only):
    nothing = dict.fromkeys(["energy", "energy_error", "v_score", "r_hat", "ess", "pool", "exact_energy", "cost"])
    broken = {"couplings": {"J": 1.0, "h": 1.2}, "energy": math.nan, "v_score": math.inf, "r_hat": -math.inf}
    summary = fabricate.summary(fields=[0.8])
    summary["points"] = [{"couplings": {"J": 1.0, "h": 0.8}, "method": "head", **nothing}, broken]
    page = Page(render(summary, []))
    tables = [row for row in page.cells if row and row[0] in ("0.8", "1.2")]
    assert len(tables) == 2
    assert all(cell == "n/a" for row in tables for cell in row[2:-1])
    assert not re.search(r"\b(nan|inf|None|NaN|Infinity)\b", page.prose)


@pytest.mark.parametrize("status", ["partial", "failed"])
def test_unfinished_runs_say_so(fabricate, status, words_only):
    summary = fabricate.summary(fields=[0.8, 0.9], status=status)
    page = render(summary, fabricate.log(summary))
    assert {"partial": "is not finished", "failed": "failed"}[status] in Page(page).prose
    assert 'class="verdict good"' not in page


@pytest.mark.parametrize("summary", [{}, {"points": None}, {"points": [None, 3, {}]}, {"settings": 3, "versions": []}])
def test_an_almost_empty_summary_still_makes_a_page(summary):
    page = Page(render(summary, [{}, {"event": "step", "step": "x"}, {"event": "round", "point": 3}]))
    assert "The command was not recorded." in page.prose
    assert ("No point was finished." in page.prose) is (
        not any(isinstance(p, dict) for p in summary.get("points") or [])
    )


def test_two_couplings_and_two_methods(fabricate, words_only):
    rng = fabricate.rng(2)
    points = [
        fabricate.point(8, h, rng, couplings={"h": h, "J2": J2}, method=method)
        for method in ("zero-shot", "head")
        for h in (0.5, 1.0)
        for J2 in (0.0, 0.25)
    ]
    page = Page(render(fabricate.summary(points=points), []))
    head = next(row for row in page.cells if "V-score" in row)
    assert head[:3] == ["h", "J2", "method"]
    body = page.cells[page.cells.index(head) + 1 :][:8]
    assert [row[:3] for row in body][0] == ["0.5", "0.00", "head"]
    assert {row[2] for row in body} == {"head", "zero-shot"}


HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</style><script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "https://example.org/x.js",
]


def hostile_summary(fabricate, evil):
    """A run that carries the text wherever a run can carry text."""
    point = fabricate.point(8, 1.0, fabricate.rng(0), method=evil, flags=[evil], trusted=False)
    point |= {"couplings": {evil: 1.0, "h": 1.0}, "observables": {evil: {"value": 1.0, "error": 0.1}}}
    point |= {"terms": {evil: {"value": 1.0, "error": 0.1}}}
    summary = fabricate.summary(points=[point, {**point, "couplings": {evil: 2.0, "h": 1.0}}], status=evil)
    summary |= {"convention": evil, "command": evil, "settings": {evil: evil}, "versions": {evil: evil}}
    return summary | {"hardware": {evil: [evil]}, "system": {"model": evil, "unit": evil}, "verdict": evil}


def check_harmless(page):
    assert {"script", "img", "iframe", "link", "object", "a"}.isdisjoint(tag for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_stays_text(fabricate, evil, words_only):
    page = Page(render(hostile_summary(fabricate, evil), []))
    check_harmless(page)
    # status, convention, method, verdict, command, flags, couplings, observables, terms, settings, ...
    assert "".join(page.words).count(evil) >= 15


def test_hostile_text_stays_text_in_pictures(fabricate):
    evil = "".join(HOSTILE[:3])
    log = [{"event": "round", "point": {evil: 1.0}, "round": 0, "energy": -1.0}]
    check_harmless(Page(render(hostile_summary(fabricate, evil), log)))


def test_nothing_is_loaded_from_elsewhere(page):
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"https?://|@import|url\((?!#)", page.source)
    policy = [attributes["content"] for tag, attributes in page.tags if attributes.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "prefers-color-scheme: dark" in page.source
    assert "@media print" in page.source


def test_identifiers_are_unique(page):
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_report_of_a_run_directory(fabricate, tmp_path, words_only):
    summary = fabricate.summary(fields=[0.9, 1.0], hardware={"cpu": "Müller ≥ 3"})
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    log = "\n".join(json.dumps(event) for event in fabricate.log(summary, steps=20))
    (tmp_path / "log.jsonl").write_text(log + '\n{"event": "step", "st')  # the writer was killed here
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == render(summary, fabricate.log(summary, steps=20))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["log.jsonl", "report.html", "summary.json"]
    assert "Müller ≥ 3" in path.read_text(encoding="utf-8")


def test_a_run_without_log_is_reported(fabricate, tmp_path, words_only):
    (tmp_path / "summary.json").write_text(json.dumps(fabricate.summary(fields=[1.0])))
    assert "Results" in write_report(tmp_path).read_text()


def test_no_run_is_the_users_mistake(tmp_path):
    with pytest.raises(InputError, match=r"summary\.json"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError):
        write_report(tmp_path / "file")


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "[" * 100_000])
def test_damaged_summaries_are_refused_and_nothing_is_written(tmp_path, content):
    (tmp_path / "summary.json").write_text(content)
    with pytest.raises(IntegrityError):
        write_report(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.parametrize(
    ("given", "markup"),
    [
        ("-1.27012(34)", "\u22121.27012(34)"),
        ("7.1e-4", "7.1&thinsp;×&thinsp;10<sup>\u22124</sup>"),
        ("J2", "<i>J</i><sub>2</sub>"),
        ("zero-shot", "zero-shot"),
        ("<b>", "&lt;b&gt;"),
        (3, "3"),
    ],
)
def test_typesetting(given, markup):
    assert str(text(given)) == markup
