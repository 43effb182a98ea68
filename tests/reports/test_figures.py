"""Figures show the numbers of the summary, also of partial runs, and leave no trace in matplotlib."""

import math
import re
import subprocess
import sys

import numpy as np
import pytest

from wavefoundry.reports import figures, style, view
from wavefoundry.reports.panels import level

SUMMARY_FIGURES = ("observables", "correlations", "terms", "quality", "cost")
LOG_FIGURES = ("pretrain", "rounds")


def picture(name, summary, *log):
    """A figure of a summary."""
    return getattr(figures, f"{name}_figure")(view.parsed(summary), *log)


def every_figure(summary, log):
    for name in ("diagram", *SUMMARY_FIGURES):
        yield name, picture(name, summary)
    for name in LOG_FIGURES:
        yield name, picture(name, summary, log)


def lines(axes, label):
    """Points of all lines and error-bar containers with this label."""
    found = [line.get_xydata() for line in axes.lines if line.get_label() == label]
    found += [bar[0].get_xydata() for bar in axes.containers if bar.get_label() == label]
    return np.concatenate([np.empty((0, 2)), *found])


def grid_summary(fabricate, kept=slice(None)):
    """A diagram over two couplings, or some of its points."""
    rng = fabricate.rng(1)
    points = [
        fabricate.point(8, h, rng, couplings={"J": 1.0, "h": h, "J2": J2})
        for h in (0.6, 1.0, 1.4)
        for J2 in (0.0, 0.2, 0.4, 0.5)
    ]
    pretrain = {"couplings": {"h": 1.0, "J2": 0.2}, "energy": fabricate.energy(8, 1.0)}
    return fabricate.summary(sites=8, points=points[kept], pretrain=pretrain)


def test_diagram_shows_energies_and_the_exact_curve(fabricate):
    summary = fabricate.summary(sites=20)
    top, bottom = picture("diagram", summary).axes
    fields = [point["couplings"]["h"] for point in summary["points"]]
    exact = lines(top, "exact")
    assert exact[:, 0] == pytest.approx(fields)
    assert exact[:, 1] == pytest.approx([fabricate.energy(20, h) / 20 for h in fields])
    assert lines(top, "head")[:, 1] == pytest.approx([p["energy_per_site"] for p in summary["points"]])
    assert top.get_ylabel() == "energy per site ($\\mathit{J}$)"
    assert bottom.get_yscale() == "log"
    shown = {tuple(np.round(pair, 12)) for name in ("head", "below exact") for pair in lines(bottom, name)}
    wanted = {(point["couplings"]["h"], round(abs(point["relative_error"]), 12)) for point in summary["points"]}
    assert shown == wanted
    assert lines(bottom, "V-score")[:, 1] == pytest.approx([point["v_score"] for point in summary["points"]])
    assert lines(bottom, "pre-training")[:, 0] == pytest.approx([1.0, 1.0])


def test_untrusted_points_are_hollow_and_named(fabricate):
    summary = fabricate.summary(fields=[0.8, 0.9, 1.1])
    summary["points"][1].update(trusted=False, flags=["LOW-ESS", "BELOW-EXACT"])
    top = picture("diagram", summary).axes[0]
    marks = {bar.get_label(): bar[0] for bar in top.containers}
    assert lines(top, "head, not trusted")[:, 0] == pytest.approx([0.9])
    assert marks["head, not trusted"].get_markerfacecolor() == style.COLOURS["paper"]
    assert marks["head"].get_markerfacecolor() == marks["head"].get_color()
    assert [text.get_text() for text in top.texts] == ["BELOW-EXACT"]


def test_each_verdict_has_its_own_mark(fabricate):
    words = ["trusted", "upper bound", "doubtful", "refused"]
    summary = fabricate.judged(words)
    summary["points"][3]["energy_per_site"] = -1.3
    figure = picture("diagram", summary)
    top = figure.axes[0]
    marks = {bar.get_label(): bar[0] for bar in top.containers}
    assert list(marks) == ["head", "head, upper bound", "head, doubtful", "head, refused"]
    colour, paper = style.COLOURS["blue"], style.COLOURS["paper"]
    filled, half, hollow, crossed = marks.values()
    assert (filled.get_fillstyle(), filled.get_markerfacecolor()) == ("full", colour)
    assert (half.get_fillstyle(), half.get_markerfacecolor(), half.get_markerfacecoloralt()) == (
        "bottom",
        colour,
        paper,
    )
    assert (hollow.get_fillstyle(), hollow.get_markerfacecolor()) == ("full", paper)
    assert crossed.get_marker() == "x"
    for mark, point in zip(marks.values(), summary["points"], strict=True):
        assert mark.get_xydata()[:, 0] == pytest.approx([point["couplings"]["h"]])
    # An upper bound is no doubt, so nothing is written at it.
    assert [text.get_text() for text in top.texts] == ["LOW-ESS", "ABOVE-EXACT!"]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {*marks, "exact", "V-score"} <= set(legend)


def test_refused_values_do_not_press_the_others_flat(fabricate):
    summary = fabricate.judged(["trusted", "trusted", "refused"])
    low, high = picture("diagram", summary).axes[0].get_ylim()
    assert high > summary["points"][2]["energy_per_site"]  # within reach, so it is seen
    summary["points"][2].update(energy=2e37, energy_per_site=2e37 / 64, relative_error=2e35, v_score=1e30)
    top = picture("diagram", summary).axes[0]
    low, high = top.get_ylim()
    energies = [point["energy_per_site"] for point in summary["points"][:2]]
    assert low < min(energies) and max(energies) < high < 0
    assert top.get_title(loc="right") == "refused values beyond the frame"


def test_observables_have_marks_of_their_own(fabricate):
    summary = fabricate.judged(["trusted", "trusted", "upper bound"])
    fabricate.contradict(summary["points"][0])
    panels = {axes.get_ylabel(): axes for axes in picture("observables", summary).axes}
    m2 = panels[figures.OBSERVABLE_NAMES["m2"]]
    shown = {bar.get_label(): bar[0] for bar in m2.containers if bar[0] is not None}
    assert shown["head, refused"].get_xydata()[:, 0] == pytest.approx([0.7])
    assert shown["head, estimate"].get_fillstyle() == "bottom"
    assert [text.get_text() for text in m2.texts] == ["+9σ"]
    bias = [bar for bar in m2.containers if bar.get_label() == "what the state may be off"]
    heights = [segment[1][1] - segment[0][1] for bar in bias for segment in bar[2][0].get_segments()]
    assert heights == pytest.approx([4e-3] * 3)


def test_the_plain_v_score_stands_beside(fabricate):
    summary = fabricate.judged(["trusted", "doubtful"])
    score = picture("quality", summary).axes[0]
    assert lines(score, "plain V-score")[:, 1] == pytest.approx([p["v_score_plain"] for p in summary["points"]])
    assert [text.get_text() for text in score.texts] == ["very good", "doubtful", "refused"]


def test_a_reference_by_another_method_is_not_called_exact(fabricate):
    summary = fabricate.judged(["upper bound", "upper bound"])
    for point in summary["points"]:
        zero = 10.0
        point["reference"] = {"energy": point["energy"] - 0.1, "kind": "method", "source": "DMRG", "zero": zero}
        point["relative_error"] = 0.1 / abs(point["energy"] - 0.1 - zero)
    top, bottom = picture("diagram", summary).axes
    assert lines(top, "DMRG")[:, 1] == pytest.approx([(p["energy"] - 0.1) / 64 for p in summary["points"]])
    assert not len(lines(top, "exact"))
    bars = next(bar for bar in bottom.containers if bar.get_label() == "head, upper bound")
    heights = [(segment[1][1] - segment[0][1]) / 2 for segment in bars[2][0].get_segments()]
    wanted = [p["energy_error"] / abs(p["reference"]["energy"] - 10.0) for p in summary["points"]]
    assert heights == pytest.approx(wanted, rel=1e-6)  # counted from Tr H / dim, like the error itself


def test_maps_mark_what_is_not_trusted(fabricate):
    summary = grid_summary(fabricate)
    for point in summary["points"]:
        point["verdict"] = "upper bound"
    alike = picture("diagram", summary).axes[0]
    assert not len(lines(alike, "upper bound"))  # all are: a mark would tell nothing
    summary["points"][0]["verdict"], summary["points"][5]["verdict"] = "refused", "doubtful"
    axes = picture("diagram", summary).axes[0]
    assert lines(axes, "refused").tolist() == [[0.6, 0.0]] and lines(axes, "doubtful").tolist() == [[1.0, 0.2]]
    assert len(lines(axes, "upper bound")) == 10
    summary["points"][0].update(energy_per_site=2e37 / 8, energy=2e37)
    mesh = picture("diagram", summary).axes[0].collections[0]
    energies = [point["energy_per_site"] for point in summary["points"][1:]]
    assert (mesh.norm.vmin, mesh.norm.vmax) == pytest.approx((min(energies), max(energies)))


def test_observables_come_with_exact_values(fabricate):
    summary = fabricate.summary()
    panels = {axes.get_ylabel(): axes for axes in picture("observables", summary).axes}
    m2 = panels[figures.OBSERVABLE_NAMES["m2"]]
    assert lines(m2, "exact")[:, 1] == pytest.approx([p["exact_observables"]["m2"] for p in summary["points"]])
    assert "exact" not in {line.get_label() for line in panels[figures.OBSERVABLE_NAMES["abs_m"]].lines}


def test_cost_compares_all_adaptations_with_pretraining(fabricate):
    summary = fabricate.summary()
    left, right = picture("cost", summary).axes
    spent = [point["cost"]["cpu_seconds"] for point in summary["points"]]
    assert [bar.get_width() for bar in left.patches] == pytest.approx([622.0, sum(spent)])
    assert [bar.get_height() for bar in right.patches] == pytest.approx(spent)


def test_pretraining_is_measured_against_exact_where_known(fabricate):
    summary = fabricate.summary()
    log = fabricate.log(summary)
    energy, score = picture("pretrain", summary, log).axes
    exact = fabricate.energy(64, 1.0)
    final = abs((log[299]["energy"] - exact) / exact)
    assert energy.lines[0].get_ydata()[-1] == pytest.approx(final, rel=1e-6)
    assert score.lines[0].get_ydata()[-1] == log[299]["v_score"]
    without = fabricate.summary(fields=[0.5])
    assert picture("pretrain", without, log).axes[0].get_ylabel().startswith("energy per site")


def test_long_logs_are_thinned_but_keep_their_end(fabricate):
    summary = fabricate.summary(fields=[1.0])
    log = fabricate.log(summary, steps=5000)
    drawn = picture("pretrain", summary, log).axes[1].lines[0].get_xdata()
    assert len(drawn) < 2 * figures.MAX_DOTS
    assert drawn[-1] == 4999
    assert list(drawn) == sorted(drawn)


def test_rounds_show_both_parts_of_the_pool(fabricate):
    summary = fabricate.summary(fields=[0.8, 1.2])
    left, right = picture("rounds", summary, fabricate.log(summary, rounds=4)).axes[:2]
    curves = [line for line in left.lines if len(line.get_xdata())]
    assert len(curves) == 4  # two points, training and held-out part
    assert all(len(line.get_xdata()) == 4 for line in curves)
    assert len(right.lines) == 2


def test_rounds_are_not_drawn_where_every_point_took_one(fabricate):
    summary = fabricate.summary()
    log = fabricate.log(summary, steps=3, rounds=1)
    assert picture("rounds", summary, log) is None
    more = fabricate.log(summary, steps=3, rounds=2)
    last = max(index for index, event in enumerate(more) if event["event"] == "round")
    del more[last]  # of one point a single round is left: a dot, since it makes no line
    left = picture("rounds", summary, more).axes[0]
    drawn = [line for line in left.lines if len(line.get_xdata()) == 1]
    assert len(drawn) == 2 and {line.get_marker() for line in drawn} == {"."}


def test_two_couplings_give_maps(fabricate):
    summary = grid_summary(fabricate)
    summary["points"][0].update(trusted=False, flags=["R-HAT"])
    maps = [axes for axes in picture("diagram", summary).axes if axes.get_title(loc="left")]
    titles = [axes.get_title(loc="left") for axes in maps]
    assert titles == ["energy per site ($\\mathit{J}$)", "relative error"]
    assert lines(maps[0], "not trusted").tolist() == [[0.6, 0.0]]
    assert lines(maps[0], "pre-training").tolist() == [[1.0, 0.2]]
    energies = np.reshape([point["energy_per_site"] for point in summary["points"]], (3, 4)).T
    assert np.allclose(maps[0].collections[0].get_array(), energies, rtol=1e-12)
    for name, figure in every_figure(summary, fabricate.log(summary, steps=5, rounds=2)):
        assert style.to_svg(figure, name).startswith("<svg")


def test_a_hole_in_a_map_stays_a_hole(fabricate):
    (mesh,) = picture("diagram", grid_summary(fabricate, slice(2, None))).axes[0].collections
    assert np.ma.count(np.ma.masked_invalid(mesh.get_array())) == 10


def test_scattered_points_are_drawn_where_they_are(fabricate):
    (squares,) = picture("diagram", grid_summary(fabricate, slice(0, None, 5))).axes[0].collections
    assert np.asarray(squares.get_offsets()).tolist() == [[0.6, 0.0], [1.0, 0.2], [1.4, 0.4]]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [{"couplings": {}}],
        [{"couplings": {"h": 1.0}}],
        [
            {
                "couplings": {"h": 1.0},
                "energy": None,
                "v_score": float("nan"),
                "r_hat": float("inf"),
                "trusted": False,
            }
        ],
        [{"couplings": {"h": 1.0}, "energy": -3.0, "energy_error": 0.0, "exact_energy": 0.0, "v_score": 0.0}],
        [{"couplings": {"h": h, "a": h, "b": 1 - h}, "energy": -h, "v_score": -1.0} for h in (1.0, 2.0)],
        [
            {"couplings": {"h": 1.0}, "method": method, "energy": -3.0, "cost": {"cpu_seconds": 2}}
            for method in ("head", "full")
        ],
    ],
)
@pytest.mark.filterwarnings("error")
def test_whatever_is_missing_is_left_out(points):
    summary = {"status": "partial", "points": points, "system": {"model": "ising"}}
    summary["pretrain"] = {"couplings": {"h": 1.0}}
    for name, figure in every_figure(summary, [{"event": "step"}, {"event": "round"}]):
        if figure is not None:
            assert style.to_svg(figure, name).startswith("<svg")


@pytest.mark.parametrize("more", [{}, {"points": [{"couplings": {}}], "pretrain": None, "system": None}])
def test_an_empty_summary_has_nothing_but_a_note(more):
    summary = {"status": "failed", "points": []} | more
    found = {name: figure for name, figure in every_figure(summary, []) if figure is not None}
    assert set(found) == {"diagram"}
    assert style.to_svg(found["diagram"], "diagram").startswith("<svg")


@pytest.mark.filterwarnings("error")
def test_a_run_without_exact_energies_shows_the_v_score(fabricate):
    summary = fabricate.summary(fields=[0.8, 1.2], system={"model": "custom"})
    for point in summary["points"]:
        point.update(exact_energy=None, relative_error=None, exact_observables={})
    top, bottom = picture("diagram", summary).axes
    assert "exact" not in {line.get_label() for line in top.lines}
    assert top.get_ylabel() == "energy per site"
    assert bottom.get_ylabel() == "V-score"
    assert len(lines(bottom, "V-score")) == 2
    for _, figure in every_figure(summary, fabricate.log(summary)):
        assert figure is not None


@pytest.mark.filterwarnings("error", "ignore:Glyph")
def test_any_name_can_be_drawn(fabricate):
    names = ["$x^", "a_b$", "\\frac{", "<script>", "é\x00\n", "x" * 300, "J_10", "%s{}"]
    point = fabricate.point(8, 1.0, fabricate.rng(0), trusted=False)
    point |= {group: {name: {"value": 1.0, "error": 0.1} for name in names} for group in ("observables", "terms")}
    points = [
        {**point, "method": name, "flags": [name], "couplings": {names[0]: float(index)}}
        for index, name in enumerate(names)
    ]
    summary = {"status": "complete", "points": points, "system": {"model": names[1]}}
    for name, figure in every_figure(summary, []):
        if name in ("diagram", "observables", "terms"):
            assert "<script" not in style.to_svg(figure, name)


def test_svg_stands_alone(fabricate):
    summary = fabricate.summary(fields=[0.5, 1.0])
    first = style.to_svg(picture("diagram", summary), "one")
    second = style.to_svg(picture("diagram", summary), "two")
    assert not re.search(r"https?:|<\?xml|<!DOCTYPE|<metadata|<script", first)
    targets = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', first)
    identifiers = set(re.findall(r'\bid="([^"]+)"', first))
    assert {a or b for a, b in targets} <= identifiers
    assert not identifiers & set(re.findall(r'\bid="([^"]+)"', second))
    assert "var(--ink, #1b1f24)" in first
    assert first.replace("one-", "two-") == second  # same figure, same text


def test_png_has_the_asked_size(fabricate):
    png = style.to_png(picture("diagram", fabricate.summary(fields=[0.9, 1.1])), dpi=100)
    assert png.startswith(b"\x89PNG")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (720, 540)


def test_drawing_changes_no_setting_and_opens_no_window(fabricate):
    import matplotlib

    before = dict(matplotlib.rcParams)
    style.to_svg(picture("diagram", fabricate.summary(fields=[0.9, 1.1])), "d")
    assert dict(matplotlib.rcParams) == before


def test_importing_reports_loads_nothing_heavy():
    code = (
        "import sys, wavefoundry.reports.figures, wavefoundry.reports.html; "
        "print([name for name in ('jax', 'matplotlib', 'netket', 'pandas', 'jinja2') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_symbols():
    assert style.symbol("h") == r"$\mathit{h}$"
    assert style.symbol("J2") == r"$\mathit{J}_{2}$"
    assert style.symbol("field") == "field"
    assert style.literal("a$b") == r"a\$b"
    assert math.isclose(figures.VERY_GOOD_V_SCORE, 1e-4)


def test_words_of_a_level_do_not_squeeze_a_frame_that_it_is_not_in():
    """The frame is far below the level: all space is the axes', as without it."""
    figure, (axes,) = style.new_figure(3.0, 2.0)
    axes.set(yscale="log", ylim=(4e-4, 5e-4))
    level(axes, 1e-2, "refused")
    level(axes, 4.5e-4, "seen")
    style.to_svg(figure, "levels")
    assert [text.get_text() for text in axes.texts] == ["seen"] and axes.get_position().height > 0.5


def test_texts_are_as_wide_as_they_were_laid_out_in_any_font():
    figure, axes = style.styled(style.new_figure)()
    axes[0].set_title("energy & <error> ± bar")
    texts = re.findall(r"<text style=[^>]*>[^<]*</text>", style.to_svg(figure, "one"))
    widths = {text.split(">")[1].split("<")[0]: re.findall(r'textLength="([\d.]+)"', text) for text in texts}
    # three digits and a point of STIX: half an em each, and a quarter
    assert float(widths["0.2"][0]) == pytest.approx(10.5 * (0.5 + 0.25 + 0.5), rel=0.01)
    assert float(widths["energy &amp; &lt;error&gt; ± bar"][0]) > 80
    assert all(len(found) == 1 for found in widths.values())
