"""References as tasks of a diagram: what waits for them, what fails and costs nothing, what their verdicts are."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wavefoundry.artifacts.spec import loads
from wavefoundry.artifacts.spec_reference import METHODS as NAMED
from wavefoundry.artifacts.spec_reference import ReferenceTable
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.core.statistics import energy_statistics
from wavefoundry.core.verdict import Reference, verdict_of
from wavefoundry.problems import exact, lattice
from wavefoundry.problems.references import lattices
from wavefoundry.problems.references.found import METHODS, Found
from wavefoundry.reports import compared, content, lines, view
from wavefoundry.reports.tables import write_csv
from wavefoundry.studies.diagram.checks import check
from wavefoundry.studies.diagram.referencing import Referenced, References, check_file, known_from
from wavefoundry.studies.execute import execute
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

STUDY = """
kind = "diagram"
system = { model = "j1j2", lattice = { kind = "chain", size = 10 } }
pretrain = { at = { J2 = 0.3 } }
adapt = { points = { J2 = [0.2, 0.3, 0.2] } }
"""
SYSTEM = lattice.j1j2_chain(10, J2=0.3)
POINTS = [{"J2": 0.2}, {"J2": 0.3}, {"J2": 0.2}]


@dataclasses.dataclass
class Points:
    """A base and points that say what they are held against."""

    references: References

    def tasks(self, done: Outputs) -> list[Task]:
        return [Task("pretrain"), Task("base", ("pretrain",)), *(Task(f"point/{i}", ("base",)) for i in range(3))]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        if name == "pretrain":
            return Output({})
        point = {"J2": 0.3} if name == "base" else POINTS[int(name[-1])]
        known = self.references.known(SYSTEM.at(**point))
        return Output({"energy": None if known.reference is None else known.reference.energy, "why": known.why})


def run(**settings: Any) -> tuple[dict[str, Output], References, list[dict[str, Any]]]:
    references, told = References(ReferenceTable(**settings), [SYSTEM], POINTS), []
    return execute(Referenced(Points(references), references), Context(told.append)), references, told


def energy(J2: float) -> float:
    return exact.ground_state(SYSTEM.at(J2=J2).operator())[0]


def test_names_are_those_of_the_study_file():
    assert NAMED == METHODS


def test_one_reference_for_every_coupling_before_what_is_held_against_it():
    done, references, _ = run()
    names = list(done)
    assert [name for name in names if name.startswith("reference")] == ["reference/0", "reference/1"]
    assert names.index("pretrain") < names.index("reference/0") < names.index("base")
    needs = {task.name: task.needs for task in references.before(Points(references).tasks({}))}
    assert needs["base"] == ("pretrain", "reference/1") and needs["point/2"] == ("base", "reference/0")
    for name, J2 in (("base", 0.3), ("point/0", 0.2), ("point/2", 0.2)):
        assert done[name].record["energy"] == pytest.approx(energy(J2), rel=1e-11)
    found = references.summary(done, 10.0)
    assert found is not None and found["methods"]["lanczos"]["values"] == 2 and "literature" not in found["methods"]
    assert found["cost"]["over_ours"] == pytest.approx(
        sum(done[f"reference/{i}"].cost.cpu_seconds for i in (0, 1)) / 10
    )


@pytest.mark.parametrize("settings", [{"method": "none"}, {"method": "auto", "exact_": False}])
def test_none(settings: dict[str, Any]):
    wanted = settings.pop("exact_", True)
    references = References(ReferenceTable(**settings), [SYSTEM], POINTS, wanted)
    done = execute(Referenced(Points(references), references), Context())
    assert not any(name.startswith("reference") for name in done) and done["point/0"].record["energy"] is None
    assert references.summary(done, 1.0) is None


def test_a_method_that_fails_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(lattices, "_lanczos", broken)
    done, references, told = run(method=["lanczos", "closed-form"])
    assert done["point/0"].record["energy"] is None
    assert "lanczos: no room" in done["point/0"].record["why"]
    found = references.summary(done, 1.0)
    assert found is not None and found["methods"]["lanczos"] == {
        "values": 0,
        "failed": 2,
        "cost": {"cpu_seconds": pytest.approx(0, abs=1)},
    }
    assert any(event["event"] == "warning" and "no room" in event["text"] for event in told)


def test_a_stop_ends_a_calculation_and_keeps_what_was_found():
    references, kept = References(ReferenceTable(method=["lanczos", "dmrg"]), [SYSTEM], POINTS), {}

    class Store:
        def save(self, name: str, step: int, arrays: Any, meta: Any) -> None:
            kept[name] = (step, arrays, meta)

        def latest(self, name: str) -> Any:
            return kept.get(name)

        def log(self, event: Any) -> None: ...
        def save_artifact(self, *_: Any) -> None: ...
        def save_output(self, *_: Any) -> None: ...

    with pytest.raises(Interrupted):
        references.perform("reference/0", Progress(Context(store=Store(), requested=lambda: 15), "reference/0"))
    assert list(kept["reference.0"][2]["found"]) == ["lanczos"]


def samples(mean: float, error: float = 1e-4) -> Any:
    """Statistics of samples with about this mean and error bar."""
    noise = np.random.default_rng(1).standard_normal((64, 32))
    return energy_statistics(mean + error * np.sqrt(noise.size) * (noise - noise.mean()), 16, e_inf=0.0)


@pytest.mark.parametrize(
    ("ours", "error", "confirms", "word", "said"),
    [
        (-10.0, 1e-3, True, "trusted", "agrees with the DMRG energy"),
        (-10.02, 1e-3, True, "upper bound", "below the DMRG energy, which is an upper bound itself"),
        (-10.0, 0.1, False, "upper bound", "own error is not known"),
        (-9.95, 0.1, False, "upper bound", "above the DMRG energy"),
        (-9.95, 1e-3, True, "doubtful", "0.5% above the DMRG energy"),
        (-9.5, 1e-3, True, "refused", "above the DMRG energy"),
        (-9.5, 0.6, False, "upper bound", "above the DMRG energy"),
    ],
)
def test_an_upper_bound_is_no_exact_energy(ours: float, error: float, confirms: bool, word: str, said: str):
    """Below it is never wrong and never proof; above it is a doubt beyond its own error."""
    reference = Reference(-10.0, False, error, 0.0, "DMRG", True, confirms)
    verdict = verdict_of(samples(ours), reference)
    assert verdict.word == word and any(said in reason for reason in verdict.reasons), verdict
    assert not any(flag.startswith("BELOW") for flag in verdict.flags)


def test_a_published_exact_value_counts_to_its_last_digit():
    rounded = Reference(-10.0, True, 1e-3, 0.0, "published exact")
    assert verdict_of(samples(-10.0009), rounded).word == "trusted"
    assert verdict_of(samples(-10.003), rounded).word == "refused"


def test_known_values_of_several_methods():
    found = {"dmrg": Found(-4.9, 0.1, "upper bound", "DMRG", observables={"m2": 0.3}), "lanczos": Found(-4.95)}
    known = known_from(found, SYSTEM)
    assert known.method == "lanczos" and known.observables == {} and known.reference is not None
    assert known.reference.exact and list(known.references) == ["dmrg", "lanczos"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('method = "dmgr"', "did you mean 'dmrg'|'dmrg'"),
        ('method = ["ed", "ed"]', "must be"),
        ('method = ["auto", "ed"]', "must be"),
        ("method = []", "must be"),
        ("bond_dimension = 1", "whole number from 2"),
        ("bond_dimension = [32, 64.5]", "whole number from 2"),
        ("bond_dimension = [64, 32]", "each larger than the one before"),
        ("memory_gib = 0", "memory_gib"),
        ('method = "file"', "there is no file"),
        ('file = "a.csv"\nper = "site"', "the file is not read"),
        ('method = "file"\nfile = "a.csv"', "per is missing"),
        ('per = "site"', "per belongs to a file"),
        ("exact = true", "exact belongs to a file"),
        ('method = "ed"\n[evaluate]\nexact = false', "contradict each other"),
    ],
)
def test_what_a_study_file_may_not_say(line: str, message: str):
    with pytest.raises(InputError, match=message):
        loads(f"{STUDY}[reference]\n{line}\n")


def test_a_file_is_read_before_anything_is_written(tmp_path: Path):
    path = tmp_path / "energies.csv"
    path.write_text("J2,energy\n0.2,-0.4\n")
    table = ReferenceTable(method=["file", "lanczos"], file=str(path), per="site", exact=True)
    check_file(table, SYSTEM, POINTS)
    references = References(table, [SYSTEM], POINTS)
    found = references.perform("reference/0", Progress()).record["found"]
    assert found["file"]["energy"] == pytest.approx(-4.0) and found["file"]["kind"] == "exact"
    assert "no row" in references.perform("reference/1", Progress()).record["found"]["file"]["why"]
    spec = loads(f'{STUDY}[reference]\nmethod = "file"\nfile = "{path}"\nper = "system"\n')
    path.write_text("J2,energy\n0.9,-0.4\n")
    with pytest.raises(InputError, match="no row of the file is a point"):
        check(spec)
    path.write_text("J2,enrgy\n0.9,-0.4\n")
    with pytest.raises(InputError, match="did you mean 'energy'"):
        check(spec)
    path.unlink()
    assert "no such file" in references.perform("reference/0", Progress()).record["found"]["file"]["why"]


def record(ours: float) -> dict[str, Any]:
    known = {"dmrg": {"energy": -10.0, "error": 0.02, "kind": "upper bound", "source": "DMRG (bond dimension 64)"}}
    known["dmrg"] |= {"difference": (ours + 10) / 10, "cost": {"cpu_seconds": 3.0, "memory_mib": 99.0}, "why": None}
    details = {"bond_dimension": 64, "truncation_error": 1e-7, "sweeps": 9, "converged": True}
    details["stages"] = [{"bond_dimension": 64, "energy": -10.0, "truncation_error": 1e-7, "sweeps": 9, "rest": True}]
    known["dmrg"]["details"] = details
    known["ed"] = {"energy": None, "why": "needs 9 GiB", "cost": {"cpu_seconds": 0.1}}
    main = {"energy": -10.0, "kind": "upper bound", "method": "dmrg", "source": "DMRG (bond dimension 64)", "zero": 0.0}
    plain = {
        "couplings": {"J2": 0.2},
        "method": "head",
        "energy": ours,
        "energy_error": 0.01,
        "energy_per_site": ours / 10,
    }
    return plain | {"reference": main, "references": known, "verdict": "upper bound", "trusted": False, "flags": []}


def test_references_in_tables_and_report():
    summary = {"status": "complete", "system": {"model": "j1j2", "sites": 10}, "points": [record(-10.5)]}
    cost = {"cost": {"cpu_seconds": 4.0, "over_ours": 0.5}}
    summary["references"] = cost | {"methods": {"ed": {"values": 0, "failed": 1, "cost": {"cpu_seconds": 1.0}}}}
    cells = lines.point_cells(summary["points"][0])
    assert cells["against"] == "below DMRG" and lines.point_cells(record(-9.9))["against"] == "DMRG"
    found = view.parsed(summary)
    rows = view.rows(found)
    table = compared.table(rows, ("J2",))
    assert table is not None and len(table.body) == 2
    assert table.body[0][:3] == ["J2 = 0.2", "DMRG", "upper bound"] and "(below)" in table.body[0][5]
    assert "bond dimension 64" in table.body[0][-1] and table.body[1][-1] == "needs 9 GiB"
    assert "0.5" in compared.cost_sentence(found) and "1 of 1 failed" in compared.cost_sentence(found)
    shown = content.point_table(found, rows, ("J2",))
    assert "DMRG (bond dimension 64)" in shown.body[0]
    csv = write_csv(summary["points"])
    header, row = (line.split(",") for line in csv.splitlines())
    assert (
        row[header.index("references.dmrg.energy")] == "-10.0"
        and row[header.index("references.ed.why")] == "needs 9 GiB"
    )
    assert not any("stages" in name for name in header)
