"""What is said to help: for every flag, with settings that exist, those first that help most."""

import re
import tomllib
from pathlib import Path

import pytest

from wavefoundry.core.records.molecules import Molecule
from wavefoundry.core.records.point import Point
from wavefoundry.reports import remedies

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "wavefoundry" / "artifacts" / "templates"


def point(verdict: str, *flags: str, method: str = "head") -> Point:
    return Point.model_construct(method=method, verdict=verdict, flags=list(flags))


def documented(heading: str) -> set[str]:
    """Flags of a table of docs/results.md."""
    text = (ROOT / "docs" / "results.md").read_text().split(heading, 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| `([A-Z-]+)`", text, re.MULTILINE))


def keys(kind: str) -> dict[str, set[str]]:
    """Keys of every table of a template, those that are commented out included."""
    text = (TEMPLATES / f"{kind}.toml").read_text()
    found: dict[str, set[str]] = {}
    table = ""
    for line in text.splitlines():
        if named := re.match(r"\[(\w+)\]", line):
            table = named[1]
        elif key := re.match(r"#? ?(\w+) = ", line):
            found.setdefault(table, set()).add(key[1])
    assert tomllib.loads(text)["kind"] == kind
    return found


def test_every_flag_of_a_point_has_a_remedy():
    assert documented("## Flags") == set(remedies.DIAGRAM)


@pytest.mark.parametrize(("kind", "known"), [("diagram", remedies.DIAGRAM), ("molecules", remedies.MOLECULES)])
def test_settings_that_are_named_exist(kind, known):
    there, seen = keys(kind), 0
    texts = [text for words in known.values() for text in words.values()] + [remedies.REFERENCE] * (kind == "diagram")
    for text in texts:
        for table, key in re.findall(r"\[(\w+)\] (\w+) =", text) + re.findall(r"more \[(\w+)\] (\w+)", text):
            assert key in there[table], text
            seen += 1
        for key in re.findall(r"(\w+_\w+)", text):
            assert any(key in one for one in there.values()), text
    assert seen > 5


def test_what_helps_most_comes_first_and_depends_on_the_method():
    far = [point("refused", "HIGH-VARIANCE!", "ABOVE-EXACT!")] * 3
    found = remedies.of_points([*far, point("doubtful", "LOW-ESS"), point("trusted", "SIGN-RULE")])
    assert len(found) == 2
    assert found[0].startswith("what helps (3): a head does not reach so far") and 'method = "auto"' in found[0]
    assert found[1] == "what helps (1): more [evaluate] samples"
    deeper = remedies.of_points([point("refused", "HIGH-VARIANCE!", method="full")])
    assert len(deeper) == 1 and "full_steps" in deeper[0]
    assert remedies.sentences(deeper)[0].startswith("What helps (1)")


def test_good_numbers_need_nothing_and_unproven_ones_a_proof():
    assert remedies.of_points([point("trusted"), point("trusted", "NOT-CONVERGED")]) == []
    assert remedies.of_points([point("upper bound"), point("trusted")]) == [f"what helps (1): {remedies.REFERENCE}"]
    assert remedies.of_points([]) == []


def test_molecules_are_tuned_and_trained_models_trained_on():
    def record(method: str, *flags: str) -> Molecule:
        return Molecule.model_construct(name="H2", method=method, verdict="doubtful", flags=list(flags))

    found = remedies.of_molecules([record("zero-shot", "NEW-COMPOUND"), record("trained", "HIGH-VARIANCE")])
    assert [text.partition(": ")[2] for text in found] == [
        '[adapt] method = "full": nothing was tuned',
        "more [train] steps; a study with this run as its warm_start goes on from here",
    ]
