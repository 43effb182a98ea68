"""Study files of kind "molecules": what they stand for, and what is refused with which words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wavefoundry.artifacts import spec as study_file
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import BOHR_PER_ANGSTROM

EXAMPLE = """\
kind = "molecules"
[train]
unit = "bohr"             # or angstrom
molecules = [{ atoms = "Li 0 0 0; H 0 0 2.6" }, { atoms = "Li 0 0 0; H 0 0 3.6" }, { xyz = "more/*.xyz" }]   # charge
[adapt]
method = "zero-shot"      # or full with steps
molecules = [{ atoms = "Li 0 0 0; H 0 0 3.015" }]
"""


def study(entry: str = 'atoms = "H 0 0 0; H 0 0 1.4"', adapt: str = "", rest: str = "", train: str = "") -> str:
    target = adapt or 'molecules = [{ atoms = "H 0 0 0" }]'
    return f'kind = "molecules"\n[train]\n{train}\nmolecules = [{{ {entry} }}]\n[adapt]\n{target}\n{rest}'


@pytest.fixture
def example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("more").mkdir()
    Path("more/b.xyz").write_text("2\n\nLi 0 0 0\nH 0 0 1.8\n")
    Path("more/a.xyz").write_text("2\n\nLi 0 0 0\nH 0 0 1.6\n2\n\nLi 0 0 0\nH 0 0 1.7\n")
    Path("molecules.toml").write_text(EXAMPLE)
    return Path("molecules.toml")


def test_files_are_written_out_so_that_the_study_stands_alone(example):
    spec = study_file.load(example)
    names = [named.molecule.name for named in spec.training()]
    assert names == ["LiH 2.6", "LiH 3.6", "a 1", "a 2", "b"]
    lengths = [named.molecule.distances()[0] for named in spec.training()]
    assert lengths[2:] == pytest.approx([x * BOHR_PER_ANGSTROM for x in (1.6, 1.7, 1.8)], abs=1e-6)
    again = study_file.loads(study_file.dumps(spec))
    assert again == spec and not any(entry.xyz for entry in again.train.molecules)


def test_a_changed_file_is_a_changed_study(example):
    stored = study_file.dumps(study_file.load(example))
    Path("more/b.xyz").write_text("2\n\nLi 0 0 0\nH 0 0 1.9\n")
    with pytest.raises(InputError, match="changed since"):
        study_file.require_same(study_file.load(example), stored, "run")


@pytest.mark.parametrize("prefix", ["", "demo-train-"])
def test_templates_are_accepted(prefix):
    spec = study_file.loads(study_file.template("molecules", prefix))
    assert spec.training() and spec.targets()


def test_the_demonstration_needs_no_training():
    spec = study_file.loads(study_file.template("molecules", "demo-"))
    assert spec.targets() and spec.train.warm_start == "zoo:molecules-small" and spec.train.steps == 0


def test_every_key_of_the_template_is_known():
    """Commented keys are uncommented one by one; none may be unknown."""
    text = study_file.template("molecules")
    lines = text.splitlines()
    tried = 0
    for number, line in enumerate(lines):
        body = line.removeprefix("# ")
        if line.startswith("# ") and " = " in body and body[0].isalpha():
            changed = [*lines[:number], body, *lines[number + 1 :]]
            try:
                study_file.loads("\n".join(changed))
            except InputError as error:
                assert "unknown" not in str(error), body
            tried += 1
    assert tried > 30


def test_defaults_in_the_template_are_the_defaults():
    """Every commented number of [train] equals the default it stands for."""
    text = study_file.template("molecules")
    train = text.split("[train]")[1].split("[wavefunction]")[0]
    plain, seen = study_file.loads(text).train, 0
    for line in train.splitlines():
        key, equals, value = line.removeprefix("# ").split("#")[0].partition(" = ")
        if line.startswith("# ") and equals and hasattr(plain, key) and key != "warm_start":
            assert str(getattr(plain, key)).lower() == value.strip().strip('"'), key
            seen += 1
    assert seen > 15


def test_presets():
    desk = study_file.loads(study())
    paper = study_file.loads(study(), preset="paper")
    assert desk.wavefunction.preset == "small" and paper.wavefunction.preset == "paper"
    assert (paper.train.steps, paper.train.walkers, paper.train.subset) == (500_000, 2048, 1)
    mine = study_file.loads(study(train="steps = 7"), preset="paper")
    assert mine.train.steps == 7


def test_families():
    text = study("chain = [4, 6], spacing = [1.6, 1.8]")
    names = [named.molecule.name for named in study_file.loads(text).training()]
    assert names == ["H4 chain 1.6", "H4 chain 1.8", "H6 chain 1.6", "H6 chain 1.8"]
    scan = study('atoms = "N 0 0 -R/2; N 0 0 R/2", scan = { start = 2, stop = 3, num = 3 }')
    assert [n.molecule.distances()[0] for n in study_file.loads(scan).training()] == [2.0, 2.5, 3.0]
    shaken = study_file.loads(study('compound = "H2O", distort = 5, seed = 2')).training()
    assert len({named.molecule.name for named in shaken}) == 5
    both = study('atoms = "H 0 0 0; H 0 0 1" }, { atoms = "H 0 0 0; H 0 0 1"')
    assert [n.molecule.name for n in study_file.loads(both).training()] == ["H2 1", "H2 1 (2)"]


def test_angstrom_holds_for_the_whole_table():
    spec = study_file.loads(
        study('chain = 2, spacing = 1.0 }, { atoms = "H 0 0 0; H 0 0 1"', train='unit = "angstrom"')
    )
    assert [n.molecule.distances()[0] for n in spec.training()] == pytest.approx([BOHR_PER_ANGSTROM] * 2)


REFUSED = {
    "atoms on top of each other": ('atoms = "H 0 0 0; H 0 0 0.05"', "on top of each other", "train.molecules.0.atoms"),
    "impossible spin": ('atoms = "H 0 0 0; H 0 0 1", spin = 1', "spin = 1 is impossible", "train.molecules.0"),
    "unsupported element": ('atoms = "Au 0 0 0"', "element Au is not supported", "H He Li"),
    "no element": ('atoms = "Hq 0 0 0"', "not an element", "train.molecules.0.atoms"),
    "no electrons": ('atoms = "H 0 0 0", charge = 1', "electrons", "train.molecules.0"),
    "near miss": ('atom = "H 0 0 0"', "unknown key train.molecules.0.atom", "did you mean 'atoms'"),
    "two sources": ('atoms = "H 0 0 0", chain = 3', "exclude each other", "two entries"),
    "no source": ("spin = 0", "names no molecule", "atoms, xyz, chain"),
    "key of another source": ('atoms = "H 0 0 0", spacing = 1.8', "spacing means nothing beside atoms", "chain"),
    "length below zero": ("chain = 4, spacing = -1.8", "not positive", "spacing"),
    "empty chain": ("chain = 0", "chain = 0 is not possible", "1 to 100"),
    "unknown compound": ('compound = "C2H66"', "no compound 'C2H66'", "did you mean 'C2H6'"),
    "unknown set": ('set = "compound-9"', "no set", "compounds-9"),
    "scan without a length": ('atoms = "H 0 0 0", scan = [1.0]', "no R", "R stands for"),
    "length without a scan": ('atoms = "H 0 0 0; H 0 0 R"', '"R" is not a number', "scan"),
    "wrong unit": ('atoms = "H 0 0 0", unit = "Bohr"', "unit = 'Bohr' is not possible", "did you mean 'bohr'"),
    "not a number": ('atoms = "H 0 0 nan"', "not possible", "finite"),
    "text for atoms": ("atoms = 3", "is not a text", "train.molecules.0.atoms"),
    "one reference for many": ("chain = [2, 4], reference = -1.0", "cannot serve 2", "train.molecules.0.reference"),
    "too many": ('set = "compounds-18", distort = 200', "too many", "2000"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    entry, *says = REFUSED[case]
    with pytest.raises(InputError) as caught:
        study_file.loads(study(entry), source="study.toml")
    message = str(caught.value)
    assert all(part in message for part in says), message
    assert len(message.splitlines()) <= 4 and "study.toml" in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (study(adapt="molecules = []", rest="[evaluate]\ntrained = false"), "no energy is asked for"),
        ('kind = "molecules"\n[train]\nwarm_start = "zoo:molecules-small"\nsteps = 0', "no energy is asked for"),
        (study(rest="[evaluate]\nsamples = 256\nchains = 256"), "too few"),
        (study(rest="[wavefunction]\nhidden = [0]"), "hidden"),
        (study('atoms = "Li 0 0 0; H 0 0 3"', rest='[wavefunction]\npreset = "paper"'), "holds Li"),
        (study(train="steps = 0\nhf_steps = 0"), "nothing is trained"),
        (study(train="walkers = 2"), "train.walkers = 2 is too small"),
        (study(adapt='method = "zeroshot"\nmolecules = []'), "did you mean 'zero-shot'"),
        (study(rest="[reference]\nmethods = ['mp2']"), "reference.methods"),
    ],
)
def test_keys_that_do_not_fit_together(text, says):
    with pytest.raises(InputError) as caught:
        study_file.loads(text)
    assert says in str(caught.value)


def test_garbage_in_a_file_is_named_with_its_line(example):
    Path("more/c.xyz").write_text("2\n\nLi 0 0 0\nnonsense\n")
    with pytest.raises(InputError) as caught:
        study_file.load(example)
    assert "more/c.xyz, line 4" in str(caught.value) and "train.molecules.2.xyz" in str(caught.value)


def test_a_pattern_without_files(example):
    for path in Path("more").glob("*"):
        path.unlink()
    with pytest.raises(InputError, match="no file matches"):
        study_file.load(example)


def test_reading_a_study_imports_no_array_library():
    code = (
        "import sys; from wavefoundry.artifacts import spec;"
        "spec.loads(spec.template('molecules')).training();"
        "print([m for m in ('jax', 'numpy', 'scipy', 'pyscf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.stdout.strip() == "[]", done.stderr


def test_the_network_of_a_model_stays_that_of_the_model():
    """Left out beside warm_start it is the model's, also in the study a run keeps; named, it is what was said."""
    text = """
kind = "molecules"
[train]
warm_start = "zoo:molecules-small"
steps = 0
[adapt]
molecules = [{ compound = "H2" }]
"""
    loads, dumps = study_file.loads, study_file.dumps
    kept = loads(dumps(loads(text)))
    assert kept == loads(text) and not kept.wavefunction.model_fields_set
    named = loads(dumps(loads(text + "[wavefunction]\nwidth = 8\n")))
    assert named.wavefunction.width == 8 and "width" in named.wavefunction.model_fields_set
