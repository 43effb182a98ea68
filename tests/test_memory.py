"""Samples that memory cannot hold are refused before anything is written, on a machine with a GiB."""

from importlib import import_module

import pytest

import wavefoundry as wf
from wavefoundry.artifacts.spec import loads
from wavefoundry.core import memory
from wavefoundry.studies import KINDS

DIAGRAM = """\
kind = "diagram"
[system]
model = "ising"
lattice = { kind = "chain", size = 16 }
[wavefunction]
patch = 2
[pretrain]
at = { h = 1.0 }
[adapt]
points = { h = [0.8] }
"""
MOLECULES = """\
kind = "molecules"
[train]
molecules = [{ atoms = "H 0 0 0; H 0 0 1.4" }]
[adapt]
molecules = [{ atoms = "H 0 0 0; H 0 0 1.6" }]
"""


@pytest.fixture(autouse=True)
def a_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 2**30)


@pytest.mark.parametrize(
    ("study", "change", "says"),
    [
        (DIAGRAM, "evaluate.samples=1e6", "the measurement of a point takes at least"),
        (DIAGRAM, "adapt.samples=1e6", "a pool takes at least"),
        (MOLECULES, "evaluate.samples=1e7", "the measurement of a molecule takes at least"),
    ],
)
def test_samples(study: str, change: str, says: str):
    spec = loads(study)
    check = import_module(KINDS[spec.kind]).check
    check(spec)
    with pytest.raises(wf.InputError, match=says) as caught:
        check(loads(study, overrides=[change]))
    assert "1 GiB are free" in str(caught.value) and change.partition("=")[0] in caught.value.where


def test_what_the_system_does_not_say_is_no_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(memory, "free_memory", lambda: None)
    memory.require_memory(2.0**60, "a matrix", "here", "less")
    monkeypatch.setattr(memory, "free_memory", lambda: 2**30)
    with pytest.raises(wf.InputError, match="a matrix takes at least"):
        memory.require_memory(2.0**60, "a matrix", "here", "less", host=True)
