"""Study files that are refused: every rule with the nearest allowed case, and where an error points."""

import pytest

from wavefoundry.artifacts.spec import load, loads
from wavefoundry.artifacts.toml_text import line_of, split_key
from wavefoundry.core.errors import InputError

MINIMAL = """\
kind = "diagram"
[system]
model = "ising"                                            # H = -J sum Z Z - h sum X, J = 1
lattice = { kind = "chain", size = 36, periodic = true }   # square: size = [6, 6]
[pretrain]
at = { h = 1.0 }
[adapt]
method = "head"
points = { h = [0.8, 1.2] }
"""
J1J2 = """\
kind = "diagram"
[system]
model = "j1j2"
lattice = { kind = "chain", size = 20 }
[pretrain]
at = { J2 = 0.4 }
[adapt]
points = { J2 = [0.2, 0.3, 0.5] }
"""


SQUARE, CHAIN = "{kind='square', size=%d, periodic=false}", "{kind='chain', size=%d, periodic=false}"


def refused(text: str, *overrides: str, preset: str | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        loads(text, source="study.toml", overrides=overrides, preset=preset)
    assert len(str(caught.value).splitlines()) <= 4
    return caught.value


# -- rules between keys: each with the nearest case that is allowed --------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "bad", "good"),
    [
        (MINIMAL, "system.lattice.size", "2", "3"),
        (MINIMAL, "system.lattice.size", "4097", "4096"),
        (MINIMAL, "system.lattice", "{kind='square', size=2}", "{kind='square', size=3}"),
        (MINIMAL, "system.lattice", SQUARE % 1, SQUARE % 2),
        (MINIMAL, "system.lattice", CHAIN % 1, CHAIN % 2),
        (MINIMAL, "system.lattice", "{kind='chain', size=[6, 6]}", "{kind='square', size=[6, 6]}"),
        (J1J2, "system.lattice.size", "21", "22"),
        (J1J2, "system.lattice.size", "4", "6"),
        (J1J2, "system.lattice", "{kind='square', size=[4, 2]}", "{kind='square', size=[4, 3]}"),
        (J1J2, "system.marshall", "1", "true"),
        (MINIMAL, "system.marshall", "true", "false"),
        (MINIMAL, "wavefunction.patch", "5", "6"),
        (MINIMAL, "wavefunction.heads", "5", "8"),
        (MINIMAL, "pretrain.walkers", "0", "1"),
        (MINIMAL, "pretrain.learning_rate", "0.0", "1e-6"),
        (MINIMAL, "pretrain.momentum", "1.0", "0.99"),
        (MINIMAL, "pretrain.seed", "-1", "0"),
        (MINIMAL, "pretrain.sampling", "full-sum", "metropolis"),
        (MINIMAL, "adapt.held_out", "0", "0.1"),
        (MINIMAL, "adapt.ess_min", "1.0", "0.9"),
        (MINIMAL, "evaluate.samples", "255", "256"),
        (MINIMAL, "evaluate.exact", "true", "false"),
        (MINIMAL, "evaluate.exact", "0", "auto"),
        (MINIMAL, "output.memory_mib", "1", "64"),
        (MINIMAL, "adapt.points.h", "[]", "[1]"),
        (MINIMAL, "adapt.points.h", "{start=0, stop=1, num=10001}", "{start=0, stop=1, num=100}"),
        (MINIMAL, "adapt.points.h", "1e13", "1e12"),
        (MINIMAL, "system.couplings", "{h = 1}", "{J = 2}"),
    ],
)  # fmt: skip
def test_rules_have_an_edge(text, key, bad, good):
    error = refused(text, f"{key}={bad}")
    assert key.rpartition(".")[2] in str(error) and "study.toml" in str(error)
    loads(text, overrides=[f"{key}={good}"])


def test_open_edges_of_an_antiferromagnet_may_be_odd():
    lattice = "system.lattice={kind='square', size=[3, 4], periodic=%s}"
    loads(J1J2, overrides=[lattice % "false", "system.marshall=true"])
    assert "two sublattices" in str(refused(J1J2, lattice % "true", "system.marshall=true"))


@pytest.mark.parametrize(
    ("model", "lattice", "fix"),
    [
        ("ising", "kind='honeycomb', size=[1, 4]", "size = [2, 4]"),
        ("j1j2", "kind='honeycomb', size=[2, 2]", "size = [3, 3]"),
        ("j1j2", "kind='triangular', size=[3, 4]", "size = [4, 4]"),
        ("j1j2", "kind='chain', size=2, periodic=false", "size = [4]"),
    ],
)
def test_lattices_on_which_bonds_coincide_or_are_missing(model, lattice, fix):
    """Refused for that reason alone; an open one with all its bonds is taken, however short an edge."""
    found = str(refused(MINIMAL, f"system.model={model}", f"system.lattice={{{lattice}}}", "adapt.points={}"))
    assert "are too small a" in found and fix in found, found
    loads(MINIMAL, overrides=["system.lattice={kind='kagome', size=[1, 2], periodic=false}"])


def test_a_hamiltonian_that_vanishes_is_no_system():
    assert "vanishes at h = 0" in str(refused(MINIMAL, "adapt.points.h=[0, 1]", "system.couplings.J=0"))
    loads(MINIMAL, overrides=["adapt.points.h=[0, 1]"])


def test_grids_are_limited_as_a_whole():
    points = "adapt.points={h={start=0, stop=1, num=200}, J={start=1, stop=2, num=%d}}"
    loads(MINIMAL, overrides=[points % 50, "pretrain.at.J=1"])
    assert "10200 points" in str(refused(MINIMAL, points % 51, "pretrain.at.J=1"))


def test_at_fixes_exactly_what_points_vary():
    assert "does not fix J" in str(refused(MINIMAL, "adapt.points.J=[1, 2]"))
    assert "[system] couplings" in str(refused(MINIMAL, "pretrain.at.J=2"))


# -- where an error points -------------------------------------------------------------------------------


def test_line_of_finds_tables_dotted_and_inline_keys():
    text = '# a = 1\n\n[a]\nb = 1 # c = 2\n[a.d]\n"e f" = 2\n[g]\nh.i = { j = 1 }\n'
    assert line_of(text, ("a",)) == 3
    assert line_of(text, ("a", "b")) == 4
    assert line_of(text, ("a", "missing")) == 3
    assert line_of(text, ("a", "d", "e f")) == 6
    assert line_of(text, ("g", "h", "i", "j")) == 8
    assert line_of(text, ("z",)) is None
    assert split_key('a."b c".d') == ("a", "b c", "d") and split_key("a..b") is None


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("at = ", "walkers = 0\nat = ", 6, "at least 1"),
        ("at = ", "walker = 10\nat = ", 6, "did you mean 'walkers'"),
        ("at = ", "width = 10\nat = ", 6, "belongs to [wavefunction]"),
        ("[pretrain]", "[pretrian]", 5, "did you mean 'pretrain'"),
        ('"head"', '"heads"', 8, "did you mean 'head'"),
        ("[0.8, 1.2]", "[0.8, nan]", 9, "finite"),
        ("[0.8, 1.2]", "{ start = 0.5, stop = 1, nu = 3 }", 9, "did you mean 'num'"),
        ("{ h = [", "{ H = [", 9, "did you mean 'h'"),
        ('"chain"', '"chian"', 4, "did you mean 'chain'"),
        ("size = 36", "size = 36.0", 4, "whole number"),
        ('"diagram"', '"diagramm"', 1, "did you mean 'diagram'"),
        ("at = {", "at = [", 6, "not TOML"),
    ],
)
def test_errors_name_file_line_and_a_way_out(old, new, line, says):
    text = MINIMAL.replace(old, new, 1)
    assert text != MINIMAL
    error = str(refused(text))
    assert f"study.toml, line {line}" in error and says in error


def test_other_errors_are_counted():
    error = refused(MINIMAL, "pretrain.walkers=0", "pretrain.steps=-1", "adapt.steps=0")
    assert "(and 2 more)" in error.what and "--set" in error.where


def test_whatever_a_value_holds_the_message_stays_short():
    keys = (
        "pretrain.steps",
        "adapt.points.h",
        "wavefunction.patch",
        "system.lattice.size",
        "adapt",
        "adapt.x",
    )
    for value in (
        "'a\\nb'",
        '"' + "x" * 5000 + '"',
        "9" * 4000,
        "[" * 500,
        '"\\u0000"',
        "{a={b={c={}}}}",
        "",
    ):
        for key in keys:
            message = str(refused(MINIMAL, f"{key}={value}"))
            assert len(message) < 800 and key in message
    assert "control characters" in str(refused(MINIMAL, 'output.dir="a\\u0000"'))


def test_reading_reports_what_is_wrong_with_the_file_itself(tmp_path):
    (tmp_path / "study.toml").write_text(MINIMAL)
    assert load(tmp_path / "study.toml") == loads(MINIMAL)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "large.toml").write_text("#" * (2 << 20))
    (tmp_path / "deep.toml").write_text("a = " + "[" * 20000)
    for name, says in [
        ("studi.toml", "did you mean 'study'"),
        ("binary.toml", "UTF-8"),
        ("large.toml", "1 MiB"),
        ("deep.toml", "nested too deeply"),
        ("", "cannot be read"),
    ]:
        with pytest.raises(InputError, match=says):
            load(tmp_path / name)
    with pytest.raises(InputError, match="warm_start"):
        load(tmp_path / "study.toml", ["pretrain.warm_start=nowhere"])
    load(tmp_path / "study.toml", [f"pretrain.warm_start={tmp_path}"])


def test_a_preset_must_exist():
    assert "did you mean 'paper'" in str(refused(MINIMAL, preset="papers"))


@pytest.mark.parametrize("where", ["baselines.deep={h=1.0}", "adapt.points.h=[1.0]"])
def test_deep_is_elsewhere(where):
    """A pre-training far from the transition cannot be the pre-training at it, named or found."""
    deep = 'baselines.kinds=["deep"]'
    assert "would pre-train where the study does" in str(refused(MINIMAL, deep, where))
    loads(MINIMAL, overrides=[deep])
