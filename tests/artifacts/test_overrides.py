"""Changes on top of a study file: entries of lists, whole numbers, whom an error blames, and that all are named."""

import pytest

from wavefoundry.artifacts.spec import load, loads, template
from wavefoundry.core.errors import InputError
from wavefoundry.core.words import near

DIAGRAM, EMULATION = template("diagram"), 'kind = "emulation"\n'


def refused(text: str, *overrides: str) -> InputError:
    with pytest.raises(InputError) as caught:
        loads(text, source="study.toml", overrides=overrides)
    return caught.value


@pytest.mark.parametrize("text", [EMULATION, template("emulation")])
def test_an_entry_of_a_list_is_set_by_its_number(text):
    assert loads(text, overrides=["students.0.kind=gru"]).students[0].kind == "gru"


def test_an_entry_that_is_not_there_is_named():
    assert "its entries are students.0" in refused(EMULATION, "students.1.kind=gru").why
    assert "unknown key grid.0" in refused(EMULATION, "grid.0.n=3").what


@pytest.mark.parametrize(("written", "steps"), [("1e3", 1000), ("20.0", 20), ("7", 7)])
def test_whole_numbers_may_be_written_as_powers(written, steps):
    spec = loads(DIAGRAM, overrides=[f"pretrain.steps={written}"])
    assert spec.pretrain.steps == steps and type(spec.pretrain.steps) is int


@pytest.mark.parametrize("written", ["1.5", "1e400", "true", "'1e3'"])
def test_other_numbers_are_not_whole(written):
    assert "pretrain.steps" in refused(DIAGRAM, f"pretrain.steps={written}").what


def test_all_mistakes_are_named():
    error = refused(DIAGRAM, "pretrain.stepz=3", "pretrain.walkers=0", "adapt.steps=0")
    assert "'steps'" in error.fix and error.what.endswith("(and 2 more)")
    assert ["walkers" in error.also[0], "adapt.steps" in error.also[1], len(error.also)] == [True, True, 2]
    assert all(line in "\n".join(error.__notes__) for line in error.also)


def test_a_misspelt_key_is_not_called_missing_as_well():
    assert refused(DIAGRAM.replace("[adapt]", "[adpat]")).also == ()


def test_a_change_is_blamed_for_what_no_longer_fits():
    text = 'kind = "diagram"\n[system]\nmodel = "ising"\nlattice = { kind = "chain", size = 36 }\n'
    text += "[wavefunction]\npatch = 4\n[pretrain]\nat = { h = 1.0 }\n[adapt]\npoints = { h = [0.8] }\n"
    error = refused(text, "system.lattice.size=35")
    assert error.where.startswith("--set 'system.lattice.size=35', on top of study.toml, line 6")
    assert refused(text.replace("size = 36", "size = 35"), "pretrain.steps=3").where.startswith("study.toml")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("diagram", "pretrain.warm_start=nowhere"),
        ("molecules", "train.molecules=[{xyz = 'no.xyz'}]"),
        ("emulation", 'curriculum.items=[{name = "a", potential = [{kind = "file", path = "nowhere.txt"}]}]'),
    ],
)
def test_files_that_a_change_names_are_blamed_on_it(kind, change, tmp_path):
    (tmp_path / "study.toml").write_text(template(kind))
    with pytest.raises(InputError) as caught:
        load(tmp_path / "study.toml", [change])
    assert "--set" in caught.value.where


@pytest.mark.parametrize(
    ("kind", "there"),
    [
        ("emulation", "nothing"),
        ("emulation", "a folder"),
        ("emulation", "a link to nothing"),
        ("diagram", "nothing"),
        ("diagram", "a link to nothing"),
    ],
)
def test_what_is_no_file_is_refused_before_a_run(kind, there, tmp_path):
    (tmp_path / "study.toml").write_text(template(kind))
    given = tmp_path / "given"
    if there == "a folder":
        given.mkdir()
    elif there == "a link to nothing":
        given.symlink_to(tmp_path / "gone")
    item = f'{{name = "a", packet = {{x0 = 0, s0 = 4, e0 = 4}}, potential = [{{kind = "file", path = "{given}"}}]}}'
    change = f"curriculum.items=[{item}]" if kind == "emulation" else f"pretrain.warm_start={given}"
    with pytest.raises(InputError, match="no such"):
        load(tmp_path / "study.toml", [change])


def test_near_misses():
    known = ["width", "layers", "steps", "J", "h", "learning_rate"]
    assert near("depth", known) == "did you mean 'layers'?" and near("lr", known) == "did you mean 'learning_rate'?"
    assert near("stepz", known) == "did you mean 'steps'?" and near("H", known) == "did you mean 'h'?"
    assert near("J2", known) == near("K", known) == ""
    error = refused(DIAGRAM, "adapt.points.J2=[1.0]")
    assert (error.why, error.fix) == ("couplings of ising: J, h", "J2 is a coupling of j1j2")
