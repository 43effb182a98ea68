"""What docs/architecture.md says of additions: a lattice model, a network and an emulator, each a plug-in of a file."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wavefoundry as wf
from wavefoundry.artifacts.spec import dumps, loads
from wavefoundry.core import emulators, plugins
from wavefoundry.core.emulators import EMULATORS
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.networks import NETWORKS

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parent / "added"
TORIC = """\
kind = "diagram"
[system]
model = "toric"
lattice = { kind = "square", size = [2, 2] }
[wavefunction]
kind = "dense"
[pretrain]
at = { star = 1.0 }
[adapt]
method = "full"
points = { star = [0.8] }
"""
STUDY = """\
kind = "diagram"
[system]
model = "ising-mixed"
lattice = { kind = "chain", size = 6 }
couplings = { J = 0.0 }
[wavefunction]
kind = "pairs"
features = 4
[pretrain]
at = { g = 0.5 }
steps = 60
walkers = 64
[adapt]
points = { g = [0.2, 0.8] }
samples = 512
[evaluate]
samples = 1024
"""


@pytest.fixture(scope="module", autouse=True)
def added() -> Iterator[None]:
    """The files as plug-ins; taken out of the tables again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins.VARIABLE, os.pathsep.join(str(path) for path in sorted(FOLDER.glob("*.py"))))
        yield
    for table, name in ((MODELS, "ising-mixed"), (NETWORKS, "pairs"), (EMULATORS, "split")):
        table.pop(name, None)
    for name in [name for name in plugins.LOADED if str(FOLDER) in name]:
        del plugins.LOADED[name], sys.modules[f"wavefoundry_plugin_{Path(name).stem}"]


def test_a_study_file_knows_both():
    spec = loads(STUDY)
    assert loads(dumps(spec)) == spec
    assert spec.wavefunction.features == 4 and spec.sign_free()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("system.model=ising-mixd", "did you mean 'ising-mixed'?"),
        ("wavefunction.kind=pair", "did you mean 'pairs'?"),
        ("wavefunction.featurs=3", "did you mean 'features'?"),
        ("wavefunction.features=0", "must be at least 1"),
        ("wavefunction={ kind = 'dense', features = 3 }", "it belongs to kind pairs"),
        ("wavefunction.width=8", "it belongs to kind vit"),
        ("pretrain.width=8", "the key belongs to [wavefunction]"),
        ("system.couplings={ J = 0.0, k = 1.0 }", "couplings of ising-mixed: J, h, g"),
        ("system.couplings={ J = 0.0, h = -1.0 }", "h = -1 is out of bounds: ising-mixed takes at least 0"),
        ("system.lattice.kind=kagome", "built in for chain, square"),
    ],
)
def test_checks_and_near_misses_follow(change: str, says: str):
    with pytest.raises(wf.InputError) as caught:
        loads(STUDY, overrides=[change])
    assert says in str(caught.value), caught.value


def test_a_diagram_runs_with_both(tmp_path: Path):
    """Spins that do not feel each other, against their closed form; the run opens again with its network."""
    summary = wf.run_study(loads(STUDY), tmp_path / "run")
    assert summary["convention"] == MODELS["ising-mixed"].convention
    for point in summary["points"]:
        energy = -6 * math.hypot(1.0, point["couplings"]["g"])
        assert point["method"] == "head" and point["exact_energy"] == pytest.approx(energy, rel=1e-12)
        # 2e-2: two features of the magnetisation cannot hold a product state of six spins better than that
        assert point["relative_error"] < 2e-2 + 5 * point["energy_error"] / abs(energy)
    diagram: Any = wf.open(tmp_path / "run")
    assert diagram.state(g=0.8).sample(4).shape == (4, 6)


EMULATION = """\
kind = "emulation"
[grid]
length = 40.0
n = 128
[curriculum]
preset = "none"
frames = 16
[[curriculum.items]]
name = "a"
potential = { kind = "barrier", height = 3.0, width = 5.0 }
packet = { x0 = 12.0, s0 = 2.0, e0 = 4.0 }
[[curriculum.items]]
name = "b"
potential = { kind = "barrier", height = 6.0, width = 5.0 }
packet = { x0 = 12.0, s0 = 1.5, e0 = 2.0 }
[[students]]
kind = "split"
parts = 3
steps = 300
[evaluate]
frames = 16
speed = false
[[evaluate.cases]]
name = "c"
potential = { kind = "barrier", height = 2.0, width = 3.0 }
packet = { x0 = 12.0, s0 = 2.0, e0 = 3.0 }
[output]
animations = 0
"""


def test_an_emulator_with_an_option_of_its_own(tmp_path: Path):
    """The command line, which knows nothing of the file but its path: learned times of a splitting of three parts."""
    study, out = tmp_path / "study.toml", tmp_path / "run"
    study.write_text(EMULATION)
    spec = loads(EMULATION)
    assert loads(dumps(spec)) == spec and spec.students[0].options() == {"parts": 3}
    for change, says in (
        ("students.0.parts=17", "must be at most 16"),
        ("students.0.depth=3", "a split student has no depth"),
        ("students.0.pards=3", "did you mean 'parts'?"),
    ):
        with pytest.raises(wf.InputError) as caught:
            loads(EMULATION, overrides=[change])
        assert says in str(caught.value), caught.value
    plain = {name: value for name, value in os.environ.items() if name != plugins.VARIABLE}
    words = [sys.executable, "-m", "wavefoundry", "--plugin", str(FOLDER / "split_emulator.py"), "run", str(study)]
    done = subprocess.run([*words, "--out", str(out), "--quiet"], capture_output=True, text=True, env=plain)
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert "--plugin" in summary["command"]
    assert any("split_emulator.py" in name for name in summary["versions"])
    # mean overlap of frames: 0.99989 before training; at its best a splitting of three parts is off by some 1e-6
    assert summary["students"][0]["overview"]["corr_mean"] > 0.99999
    again = subprocess.run([sys.executable, "-m", "wavefoundry", "inspect", str(out)], capture_output=True, env=plain)
    assert again.returncode == 0
    student: Any = wf.open(out)
    assert student is not None


def test_in_python():
    system = wf.lattice.build("ising-mixed", "square", (2, 3), h=1.0, g=0.1)
    assert system.names == ("J", "h", "g") and system.sites == 6
    with pytest.raises(wf.InputError, match="out of bounds"):
        wf.lattice.build("ising-mixed", "chain", 6, h=-0.5)


def test_docs_name_everything():
    docs = Path(__file__).parents[1] / "docs"
    added = {"ising-mixed", "pairs"}
    for page, names in (
        ("phase-diagrams.md", {*MODELS, *NETWORKS} - added),
        ("tickets.md", set(NETWORKS) - added),
        ("emulation.md", set(EMULATORS) - {"split"}),
    ):
        text = (docs / page).read_text()
        assert not [name for name in names if name not in text], page


def test_the_toric_code_in_a_diagram():
    """An eight-spin torus, all couplings at once by the full sum, against -2 rows columns of every stabiliser."""
    spec = loads(TORIC)
    assert spec.system.sites == 8
    for change, says in (
        ("system.lattice.periodic=false", "lives on a torus"),
        ("system.lattice.kind=triangular", "built in for square"),
        ("wavefunction.kind=vit", "no row of sites"),
        ("system.lattice.size=1", "hold an edge twice"),
    ):
        with pytest.raises(wf.InputError, match=says):
            loads(TORIC, overrides=[change])
    base = wf.pretrain(wf.toric.toric(2, 2), wf.models.dense(alpha=2.0), steps=100, block=50)
    found = wf.map(base, {"star": [0.8]}, "zero-shot", evaluate={"samples": 512})
    point = found.points[0]
    assert point["exact_energy"] == pytest.approx(-4 * (0.8 + 1.0), rel=1e-12)
    # 1e-2: what 100 steps reach; an energy below the exact one by more than its bar would be wrong
    assert -5 * point["energy_error"] < point["energy"] - point["exact_energy"] < 0.1


def test_names_are_taken_once():
    model = MODELS["ising-mixed"]
    assert wf.lattice.register(model) is model
    with pytest.raises(wf.InputError, match="already"):
        wf.lattice.register(wf.lattice.Model(**{**vars(model), "title": "another"}))
    with pytest.raises(wf.InputError, match="already"):
        wf.models.register(wf.models.Network("vit", "another", NETWORKS["pairs"].described(), {}))
    with pytest.raises(wf.InputError, match="already"):
        emulators.register(dataclasses.replace(EMULATORS["split"], title="another"))
