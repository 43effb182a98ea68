"""The types of records: what a summary may hold, where a wrong one is wrong, the schemas, the tables of the docs."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from wavefoundry.artifacts import spec
from wavefoundry.cli import main
from wavefoundry.core import records
from wavefoundry.core.errors import InputError

ROOT = Path(__file__).parents[2]
STUDIES = sorted(
    [
        *(ROOT / "examples/studies").glob("*.toml"),
        *(ROOT / "wavefoundry/artifacts/templates").glob("*.toml"),
        *(ROOT / "wavefoundry/zoo").glob("*/study.toml"),
    ]
)
POINT = {"couplings": {"h": 1.0}, "method": "head", "energy": -1.0, "energy_error": None}
SEED = {"seed": 1, "folder": "seeds/1", "status": "complete", "verdict": "trusted"}


def summary(**changes: Any) -> dict[str, Any]:
    return {"schema": 1, "kind": "diagram", "status": "complete", "points": [POINT]} | changes


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"points": None}, "points"),
        ({"points": [POINT, {**POINT, "energy": "-1"}]}, "points[1].energy"),
        ({"points": [{**POINT, "couplings": {"h": "1"}}]}, "points[0].couplings.h"),
        ({"points": [{**POINT, "answers": {"sampled": "perhaps"}}]}, "points[0].answers.sampled"),
        ({"points": [{**POINT, "flags": "R-HAT"}]}, "points[0].flags"),
        ({"points": [{**POINT, "trusted": 1}]}, "points[0].trusted"),
        ({"status": "fine"}, "status"),
        ({"cost": {"wall_seconds": 1.0}}, "cost.cpu_seconds"),
        ({"kind": "seeds", "of": "diagram", "quantities": [], "seeds": [{**SEED, "seed": 1.5}]}, "seeds[0].seed"),
        ({"kind": "tickets"}, "rounds"),
        ({"kind": 3}, "kind"),
    ],
)
def test_the_first_wrong_place_is_named(changes: dict[str, Any], place: str):
    with pytest.raises(InputError) as failed:
        records.parsed(summary(**changes))
    assert str(failed.value).startswith(f"'{place}': ")


def test_missing_numbers_are_null_and_unknown_fields_pass_but_are_seen():
    found = records.parsed(summary(points=[{**POINT, "new": 1, "cost": {"cpu_seconds": 1.0, "joule": 2.0}}], later={}))
    assert isinstance(found, records.DiagramSummary)
    assert found.points[0].energy == -1.0 and found.points[0].energy_error is None
    assert sorted(records.unknown(found)) == ["later", "points[].cost.joule", "points[].new"]
    assert type(records.parsed(summary(kind="of my own"))) is records.OtherSummary


def test_every_kind_of_study_has_types_of_its_own():
    assert set(records.SUMMARIES) == {"diagram", "emulation", "molecules", "tickets", "seeds"}


def test_the_schema_of_results_says_what_the_types_say():
    check = jsonschema.Draft202012Validator(records.json_schema())
    check.check_schema(check.schema)
    assert check.is_valid(summary())
    assert not check.is_valid(summary(points=[{**POINT, "energy": "-1"}]))
    jump = {"from": 9, "to": 8, "round": 3, "confirmed": True}
    jump |= dict.fromkeys(("error_before", "error_after", "error_longer"), 0.1)
    tickets = {"schema": 1, "kind": "tickets", "status": "complete", "rounds": [], "jumps": [jump]}
    assert check.is_valid(tickets)
    assert not check.is_valid({**tickets, "jumps": [{**jump, "to": None}]})


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_study_file_here_follows_the_schema_of_studies(path: Path):
    check = jsonschema.Draft202012Validator(spec.json_schema())
    study = json.loads(json.dumps(tomllib.loads(path.read_text("utf-8"))))
    assert check.is_valid(study)
    table = next(name for name in ("pretrain", "train", "teacher") if name in check_tables(study["kind"]))
    assert not check.is_valid({**study, table: {**study.get(table, {}), "stepz": 1}})
    assert not check.is_valid({**study, "kind": "diagramm"})


def check_tables(kind: str) -> set[str]:
    return set(spec.KINDS[kind].model_fields)


def test_the_command_prints_both_schemas_and_refuses_others(capsys: pytest.CaptureFixture[str]):
    for form, made in (("study", spec.json_schema()), ("summary", records.json_schema())):
        assert main(["schema", form]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(made))
    assert main(["schema", "studdy"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and "there is no schema 'studdy'" in shown.err and "did you mean 'study'?" in shown.err


def test_an_editor_learns_the_keys_of_every_network():
    table = spec.json_schema()["$defs"]["WavefunctionTable"]["properties"]
    assert {"kind", "patch", "alpha", "channels"} <= table.keys()
    assert table["patch"]["description"]


@pytest.mark.parametrize("page", ["results.md", "emulation.md"])
def test_the_tables_of_the_documentation_are_those_of_the_types(page: str):
    """Mend with: python tools/results_tables.py."""
    module = importlib.util.spec_from_file_location("results_tables", ROOT / "tools/results_tables.py")
    assert module is not None and module.loader is not None
    tool = importlib.util.module_from_spec(module)
    module.loader.exec_module(tool)
    text = (ROOT / "docs" / page).read_text("utf-8")
    assert len(re.findall("<!-- fields of", text)) >= 3
    assert tool.written(text) == text
    assert tool.written(text.replace("| `name` |", "| `nome` |")) == text  # stale tables are seen


def test_results_in_python_are_read_as_their_file_would_be():
    import numpy as np

    held = summary(points=[{**POINT, "samples": np.int64(8), "reasons": ("a", "b"), "energy": np.float64(-1.0)}])
    held |= {"momenta": [(0.0, 0.5)]}
    found = records.parsed(held)
    assert isinstance(found, records.DiagramSummary) and found.momenta == [[0.0, 0.5]]
    assert found.points[0].samples == 8 and found.points[0].reasons == ["a", "b"]
