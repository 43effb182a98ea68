"""The report page: complete, self-contained, and safe whatever the run wrote into its summary."""

import html.parser
import json
import math
import re

import pytest

from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.reports import html as report
from wavefoundry.reports import style
from wavefoundry.reports.content import text
from wavefoundry.reports.html import render, write_report

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(html.parser.HTMLParser):
    """Collects what the browser would see: tags, attributes, text; checks that tags nest.

    The slider over the points, which says again what stands elsewhere, is left out unless it is asked for.
    """

    def __init__(self, page: str, slider: bool = False):
        page = page if slider else re.sub(r"<fieldset.*?</fieldset>", "", page, flags=re.DOTALL)
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


BANNERS = [
    (["trusted", "trusted"], "good", "TRUSTED All 2 points are trusted."),
    (["upper bound"] * 3, "bound", "UPPER BOUND All 3 points are upper bounds. An upper bound is sound"),
    (["upper bound"], "bound", "UPPER BOUND The only point is an upper bound."),
    (["trusted", "upper bound", "trusted"], "bound", "UPPER BOUND Of 3 points 2 are trusted and 1 is an upper bound."),
    (
        ["doubtful", "upper bound", "trusted"],
        "warn",
        "DOUBTFUL Of 3 points 1 is trusted, 1 is an upper bound and 1 is doubtful.",
    ),
    (["doubtful", "refused", "refused"], "", "REFUSED Of 3 points 1 is doubtful and 2 are refused."),
]


@pytest.mark.parametrize(("words", "tone", "start"), BANNERS)
def test_the_banner_begins_with_the_worst_verdict(fabricate, words_only, words, tone, start):
    page = Page(render(fabricate.judged(words), []))
    assert start in page.prose
    classes = [attributes.get("class") for tag, attributes in page.tags if tag == "section"]
    assert classes == [f"verdict {tone}".strip()]
    assert ("by an amount that is not known" in page.prose) is ("upper bound" in words)


def test_a_bad_base_makes_the_banner_worse(fabricate, words_only):
    summary = fabricate.judged(["trusted"])
    summary["pretrain"] |= {"verdict": "doubtful", "reasons": ["only 210 independent samples"]}
    prose = Page(render(summary, [])).prose
    assert "DOUBTFUL The only point is trusted. The pre-trained state itself is doubtful: only 210" in prose


def test_no_green_banner_where_observables_contradict(fabricate, words_only):
    summary = fabricate.judged(["trusted", "trusted"])
    fabricate.contradict(summary["points"][0])
    fabricate.contradict(summary["points"][1], "correlation_3")
    page = Page(render(summary, []))
    assert "TRUSTED, OBSERVABLES DOUBTFUL All 2 points are trusted." in page.prose
    said = "Observables that contradict their exact value: m2, 4% off the exact value (9 error bars), at h = 0.7; "
    assert said + "correlation_3, " in page.prose
    assert 'class="verdict warn"' in page.source and 'class="verdict good"' not in page.source
    summary = fabricate.judged(["upper bound"])
    summary["points"][0]["observables"]["abs_m"] |= {"verdict": "doubtful", "why": "the state may be off by 0.2"}
    page = Page(render(summary, []))
    assert "UPPER BOUND, OBSERVABLES DOUBTFUL" in page.prose and "contradict" not in page.prose.split("Results")[0]
    assert "Some observables are doubtful although their energies are not" in page.prose


def test_a_large_error_bar_alone_is_no_alarm(fabricate, words_only):
    summary = fabricate.judged(["trusted"])
    why = "the error bar is too large for a comparison with the exact value"
    summary["points"][0]["observables"]["correlation_9"] |= {"verdict": "doubtful", "z": 1.3, "why": why}
    page = Page(render(summary, []))
    assert 'class="verdict good"' in page.source and why not in page.prose


def test_every_point_says_why(fabricate, words_only):
    page = Page(render(fabricate.judged(["trusted", "refused"]), []))
    start = page.cells.index(["point", "verdict", "sampled", "state", "ground", "reasons"])
    base, first, second = page.cells[start + 1 : start + 4]
    assert base == [
        "pre-training",
        "trusted",
        "yes",
        "yes",
        "yes",
        "agrees with the exact energy to 1\u2009×\u200910\u22124",
    ]
    assert first[:5] == ["h = 0.7", "trusted", "yes", "yes", "yes"]
    assert second[:5] == ["h = 1.3", "refused", "yes", "no", "no"]
    assert second[5].endswith("V-score 0.41 (0.03); 36.0% above the exact energy (310 error bars)")
    for word in ("trusted", "upper bound", "doubtful", "refused"):
        assert f"<dt>{word}</dt>" in page.source


def test_observables_have_their_own_verdicts(fabricate, words_only):
    summary = fabricate.judged(["trusted"])
    fabricate.contradict(summary["points"][0])
    page = Page(render(summary, []))
    start = page.cells.index(["point", "observable", "value", "exact", "z", "bias", "verdict", "why"])
    m2, abs_m = page.cells[start + 1 : start + 3]
    entry = summary["points"][0]["observables"]["m2"]
    assert m2[0] == "h = 0.7" and m2[1] == "m2" and m2[3] == f"{entry['exact']:.5f}" and m2[4] == "9.0"
    assert m2[5] == "2.0\u2009×\u200910\u22123" and m2[6] == "refused" and "off the exact value" in m2[7]
    assert abs_m[1] == "abs_m" and abs_m[3] == abs_m[4] == "n/a" and abs_m[6] == "estimate"
    assert [row[1] for row in page.cells[start + 3 :] if len(row) == 8] == []  # sound correlations stay in the figure


def test_long_tables_of_observables_begin_with_what_is_doubted(fabricate, words_only):
    summary = fabricate.judged(["trusted"] * 31)
    fabricate.contradict(summary["points"][4])
    page = Page(render(summary, []))
    head = ["point", "observable", "value", "exact", "z", "bias", "verdict", "why"]
    first = page.cells.index(head)
    assert [row[6] for row in page.cells[first + 1 : first + 2]] == ["refused"] and page.cells[first + 2] == head
    assert len([row for row in page.cells[first + 3 :] if len(row) == 8]) == 62
    assert "All 62 values, each with its own verdict" in page.prose


def test_both_v_scores_and_the_word_stand_in_the_table(fabricate, words_only):
    summary = fabricate.judged(["doubtful"])
    cells = Page(render(summary, [])).cells
    head = next(row for row in cells if "V-score" in row)
    row = dict(zip(head, cells[cells.index(head) + 1], strict=True))
    assert (row["verdict"], row["flags"]) == ("doubtful", "LOW-ESS")
    assert row["plain V"] != row["V-score"] != "n/a"


def test_refusing_flags_are_marked_in_the_list(fabricate, words_only):
    page = render(fabricate.judged(["refused"]), [])
    assert re.findall(r'class="raised"><dt>([A-Z-]+)', page) == ["ABOVE-EXACT", "HIGH-VARIANCE"]


def test_pictures_say_their_verdicts_in_words(fabricate):
    page = Page(render(fabricate.judged(["trusted", "upper bound", "refused"]), []))
    labels = [attributes["aria-label"] or "" for tag, attributes in page.tags if tag == "figure"]
    assert labels[0].endswith("trusted: h = 0.7. upper bound: h = 1. refused: h = 1.3.")
    assert "Filled: trusted; half filled: upper bound; crossed: refused." in labels[0]
    assert "Filled" not in Page(render(fabricate.summary(fields=[0.8]), [])).prose


def test_text_in_pictures_stays_readable_on_a_telephone(fabricate, page):
    from matplotlib.text import Text

    from wavefoundry.reports import figures, view

    narrow = re.search(
        r"@media screen and \(max-width: 44rem\) \{\s*figure svg \{ min-width: (\d+)rem; \}", page.source
    )
    root = re.search(r"html \{[^}]*font: (\d+)px", page.source)
    assert narrow and root
    summary = fabricate.judged(["trusted", "doubtful", "refused"])
    for name in ("diagram", "observables", "quality", "correlations", "terms", "cost"):
        figure = getattr(figures, f"{name}_figure")(view.parsed(summary))
        pixels = int(narrow[1]) * int(root[1]) / (72 * figure.get_figwidth())  # of one point
        sizes = [found.get_fontsize() for found in figure.findobj(Text) if found.get_text().strip()]
        assert min(sizes) * pixels >= 10
    assert page.source.count('<div class="drawing"><svg') == page.source.count(
        "<svg"
    )  # wider than the page: it scrolls


def test_old_runs_are_reported_as_they_were(fabricate, words_only):
    page = Page(render(fabricate.summary(fields=[0.8, 0.9]), []))
    assert "OK 2 of 2 points can be trusted. An earlier version wrote this run" in page.prose
    assert 'class="verdict good"' in page.source and not re.search(r"<h2>Why|<h3>Verdicts", page.source)
    head = next(row for row in page.cells if "V-score" in row)
    assert "verdict" not in head and "plain V" not in head


def test_one_round_a_point_is_said(fabricate, words_only, monkeypatch):
    summary = fabricate.summary(fields=[0.8, 0.9])
    monkeypatch.setattr(report, "pictures", lambda summary, log: {"quality": report.Picture("", "V-scores")})
    said = "finished on its first set of samples"
    assert said in Page(render(summary, fabricate.log(summary, steps=2, rounds=1))).prose
    assert said not in Page(render(summary, fabricate.log(summary, steps=2, rounds=2))).prose


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


@pytest.mark.parametrize("points", [[], [{"couplings": {}}]])
@pytest.mark.parametrize("nothing", [{}, {"system": None, "pretrain": None, "cost": None, "features": None}])
def test_an_almost_empty_summary_still_makes_a_page(points, nothing):
    log = [{}, {"event": "step", "step": "x"}, {"event": "round", "point": 3}]
    page = Page(render({"status": "failed", "points": points} | nothing, log))
    assert "The command was not recorded." in page.prose
    assert ("No point was finished." in page.prose) is (not points)


@pytest.mark.parametrize(
    ("change", "place"),
    [({"points": None}, "points"), ({"points": [None]}, "points[0]"), ({"versions": []}, "versions")],
)
def test_what_no_run_writes_is_refused(change, place):
    with pytest.raises(InputError, match=re.escape(f"'{place}': ")):
        render({"status": "complete", "points": []} | change, [])


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


def costs(page):
    start = page.cells.index(["", "CPU s", "wall s", "of which compiling, s", "compilations"])
    return {row[0]: row[1:] for row in page.cells[start + 1 :] if len(row) == 5}


def test_the_parts_of_the_cost_add_up(fabricate, words_only):
    summary = fabricate.summary(fields=[0.8, 0.9])
    summary["pretrain"]["cost"] = {"cpu_seconds": 622, "wall_seconds": 330, "compile_seconds": 20, "compilations": 7}
    part = {"cpu_seconds": 100.0, "wall_seconds": 60.0, "compile_seconds": 5.0, "compilations": 4}
    summary["adapt_cost"] = part
    summary["cost"] = {"cpu_seconds": 801.0, "wall_seconds": 432.0, "compile_seconds": 31.0, "compilations": 14}
    assert costs(Page(render(summary, []))) == {
        "pre-training": ["622", "330", "20.0", "7"],
        "adaptation, 2 points": ["100", "60.0", "5.00", "4"],
        "loading, measuring the base, writing": ["79.0", "42.0", "6.00", "3"],
        "whole run": ["801", "432", "31.0", "14"],
    }
    summary["cost"]["cpu_seconds"] = 300.0  # a resumed run counts from the resumption
    assert "loading, measuring the base, writing" not in costs(Page(render(summary, [])))
    del summary["adapt_cost"]
    spent = sum(point["cost"]["cpu_seconds"] for point in summary["points"])
    assert costs(Page(render(summary, [])))["adaptation, 2 points"] == [f"{spent:.1f}", "n/a", "n/a", "n/a"]


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
    summary = fabricate.summary(points=[point, {**point, "couplings": {evil: 2.0, "h": 1.0}}])
    summary |= {"convention": evil, "command": evil, "settings": {evil: evil}, "versions": {evil: evil}}
    return summary | {"hardware": {evil: [evil]}, "system": {"model": evil}, "verdict": evil}


def check_harmless(page):
    assert {"script", "img", "iframe", "link", "object", "a"}.isdisjoint(tag for tag, _ in page.tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)


@pytest.mark.parametrize("evil", HOSTILE)
def test_hostile_text_stays_text(fabricate, evil, words_only):
    page = Page(render(hostile_summary(fabricate, evil), []))
    check_harmless(page)
    # convention, method, verdict, command, flags, couplings, observables, terms, settings, ...
    assert "".join(page.words).count(evil) >= 15


def test_hostile_text_stays_text_in_pictures(fabricate):
    evil = "".join(HOSTILE[:3])
    log = [{"event": "round", "point": {evil: 1.0}, "round": 0, "energy": -1.0}]
    check_harmless(Page(render(hostile_summary(fabricate, evil), log)))


def test_text_in_pictures_is_text(fabricate):
    """So it can be searched and read aloud; in fonts as wide as the one it was placed with."""
    shown = Page(render(fabricate.summary(fields=[0.9, 1.0]), []))
    svg = re.findall(r"<svg.*?</svg>", shown.source, re.DOTALL)
    assert svg and all(re.search(r">[^<]*energy per site", one) or "<text" in one for one in svg)
    assert not re.search(r"<use[^>]*STIX", shown.source)
    assert set(re.findall(r"font-family: ([^;\"]+)", "".join(svg))) == {style.FONTS}


def test_the_report_says_when_the_run_was_finished(fabricate):
    when = fabricate.summary(fields=[0.9], finished="2026-11-27T09:05:07+00:00")
    assert "Finished 2026-11-27 09:05 UTC." in Page(render(when, [])).prose
    assert "Finished" not in Page(render(fabricate.summary(fields=[0.9]), [])).prose


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


def test_a_run_that_is_not_finished_says_how_to_go_on(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="no results to report on yet") as refused:
        write_report(tmp_path)
    assert "--resume" in str(refused.value) and f"inspect {tmp_path}" in str(refused.value)


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
        ("agrees to 9e-05", "agrees to 9&thinsp;×&thinsp;10<sup>\u22125</sup>"),
        ("-3.2(1)e-5 (below)", "\u22123.2(1)&thinsp;×&thinsp;10<sup>\u22125</sup> (below)"),
        ("run 1a2e4b", "run 1a2e4b"),
        ("J2", "<i>J</i><sub>2</sub>"),
        ("zero-shot", "zero-shot"),
        ("<b>", "&lt;b&gt;"),
        (3, "3"),
    ],
)
def test_typesetting(given, markup):
    assert str(text(given)) == markup


def test_a_slider_over_the_points():
    """One choice and one panel for every point, in the order of the coupling; the first is shown; no script."""
    points = [
        {"couplings": {"h": h}, "energy": -8 * h, "energy_per_site": -h, "energy_error": 0.01, "verdict": word,
         "observables": {"m2": {"value": 1 - h, "error": 0.02, "exact": 0.9 - h}}}
        for h, word in ((1.0, "trusted"), (0.5, "doubtful"), (0.75, "trusted"))
    ]  # fmt: skip
    page = Page(
        render({"status": "complete", "points": points, "system": {"model": "ising", "sites": 8}}, []), slider=True
    )
    choices = [names for tag, names in page.tags if tag == "input"]
    assert [one["aria-label"] for one in choices] == ["h = 0.5", "h = 0.75", "h = 1"]
    assert ["checked" in one for one in choices] == [True, False, False]
    assert "h = 0.5: doubtful" in page.prose and "h = 1: trusted" in page.prose
    assert ["m2", "0.500(20)", "0.40000"] in [[cell.strip() for cell in row] for row in page.cells]
    marked = [(names["cx"], names["cy"]) for tag, names in page.tags if tag == "circle"]
    assert marked[0][0] == "8.0" and marked[-2][0] == "312.0", "the first point at the left edge, the last at the right"
    alone = Page(render({"status": "complete", "points": points[:1]}, []), slider=True)
    assert not [tag for tag, _ in alone.tags if tag == "input"]


def test_features_of_every_point_in_its_panel():
    """In the order of the panels, in one frame and one scale of colours; none where a point has no state."""
    points = [
        {"couplings": {"h": h}, "energy": -8 * h, "energy_per_site": -h, "energy_error": 0.01, "verdict": "trusted"}
        for h in (1.0, 0.5, 0.75)
    ]
    along = [
        {"points": [[0.0, 1.0], [0.0, 1.0]], "quantity": "m", "values": [-1.0, 1.0]},
        {"points": [[4.0, None], [2.0, 0.0]], "quantity": "m", "values": [0.5, 0.0]},
        None,
    ]
    summary = {"status": "complete", "points": points, "system": {"model": "ising", "sites": 8}}
    page = Page(render(summary | {"features_along": along}, []), slider=True)
    dots = [
        (names["class"], names["cx"], names["cy"]) for tag, names in page.tags if tag == "circle" and "class" in names
    ]
    assert dots == [("s3", "312.0", "8.0"), ("s0", "8.0", "132.0"), ("s4", "84.0", "70.0")]
    assert page.prose.count("(dark) to 1 (light)") == 2
    labels = [names["aria-label"] for tag, names in page.tags if tag == "svg" and names.get("class") == "cloud"]
    assert [str(label).split(" at ")[1][:7] for label in labels] == ["h = 0.5", "h = 1 o"]
