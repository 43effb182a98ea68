"""Error curves laid on one another: the measure of size they were made with is found again."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError
from wavefoundry.core.records import TicketsSummary, typed
from wavefoundry.reports.tickets_collapse import collapse, collapse_figure, distance


def summary(sites: int, law: int, unit: float, hidden: int = 4) -> dict:
    """A hunt whose error is a function of n / unit alone."""
    counts = [round(hidden * sites**2 * 0.8**k) for k in range(22)]
    rounds = [
        {"round": k, "n": n, "rho": n / sites, "density": n / counts[0], "energy": None, "energy_error": None}
        | {"delta_per_site": 0.2 / (1 + (n / unit) ** 3)}
        for k, n in enumerate(counts)
    ]
    system = {"model": "ising", "sites": sites, "extent": [sites], "periodic": True, "couplings": {"J": 1.0, "h": 2.0}}
    system["lattice"] = {"kind": "chain", "size": [sites], "periodic": True}
    return {
        "kind": "tickets",
        "status": "complete",
        "system": system,
        "parameters": {"prunable": counts[0]},
        "laws": [{"law": "two weights per bond", "predicted": law, "found": None, "holds": None}],
        "rounds": rounds,
    }


def typed_summary(sites: int, law: int, unit: float) -> TicketsSummary:
    return typed(TicketsSummary, summary(sites, law, unit))


@pytest.mark.parametrize("axis", ["n", "n/N", "n/law"])
def test_the_right_measure_is_found(axis):
    sizes = ((9, 24), (16, 48), (36, 120))
    runs = [typed_summary(n, law, {"n": 60.0, "n/N": 5.0 * n, "n/law": 2.0 * law}[axis]) for n, law in sizes]
    found = collapse(runs)
    assert found["best"] == axis
    assert found["spread"][axis] < 0.03  # interpolation between rounds
    assert len(found["runs"]) == len(set(found["runs"])) == 3


def test_distance_of_shifted_curves_is_the_shift():
    x = np.linspace(0, 3, 30)
    assert distance(np.stack([x, -x]), np.stack([x + 0.5, -x - 0.5])) == pytest.approx(0.0, abs=1e-9)
    assert distance(np.stack([x, -x]), np.stack([x, 0.3 - x])) == pytest.approx(0.3, abs=1e-9)
    assert distance(np.stack([x, x]), np.stack([x + 4, x])) is None


def test_noise_of_sampled_errors_is_no_spread():
    """Curves of one form, one of them sampled: where its errors are within their bars, nothing is compared."""
    exact, sampled = summary(16, 48, 80.0, hidden=40), summary(25, 80, 125.0, hidden=40)
    rng = np.random.default_rng(0)
    for one in sampled["rounds"]:
        one["energy_error"] = 25 * 1e-4
        one["delta_per_site"] += 1e-4 * rng.standard_normal()
    found = collapse([typed(TicketsSummary, exact), typed(TicketsSummary, sampled)])["spread"]["n/N"]
    assert found < 0.06
    for one in sampled["rounds"]:  # the same numbers, said to be exact
        one["energy_error"] = 0.0
    assert collapse([typed(TicketsSummary, exact), typed(TicketsSummary, sampled)])["spread"]["n/N"] > 0.3


def test_command_figure_and_refusals(tmp_path, capsys):
    for k, sites in enumerate((9, 16)):
        (tmp_path / f"run{k}").mkdir()
        (tmp_path / f"run{k}" / "summary.json").write_text(json.dumps(summary(sites, 2 * sites, 60.0)))
    folders = [str(tmp_path / f"run{k}") for k in range(2)]
    assert main(["collapse", *folders, "--out", str(tmp_path / "all.png")]) == 0
    assert "smallest over n\n" in capsys.readouterr().out
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")
    assert main(["collapse", folders[0], "--out", str(tmp_path / "one.png")]) == 2
    assert main(["collapse", folders[0], str(tmp_path / "nothing")]) == 2
    assert not (tmp_path / "one.png").exists()
    assert "Traceback" not in capsys.readouterr().err
    without = summary(9, 24, 60.0)
    for record in without["rounds"]:
        record["delta_per_site"] = None
    with pytest.raises(InputError, match="laid on one another"):
        collapse([typed(TicketsSummary, without), typed_summary(9, 24, 60.0)])
    assert len(collapse_figure([typed_summary(9, 24, 60.0), typed_summary(16, 48, 60.0)]).axes) == 3
    assert wf.collapse(*folders).best == "n"
    shutil.copytree(folders[0], tmp_path / "copy")
    with pytest.raises(InputError, match="run0 and .*copy are the same pruning"):
        wf.collapse(*folders, tmp_path / "copy")
    with pytest.raises(InputError, match="run1 is given twice"):
        wf.collapse(*folders, folders[1])


def test_only_seeds_of_one_study_are_judged_together():
    """Another boundary, activation, score or number of steps is another study, whatever the numbers of weights."""
    chains = [wf.lattice.ising_chain(6, h=1.0, periodic=periodic) for periodic in (False, True)]

    def hunt(seed: int = 0, system: int = 0, activation: str = "logcosh", **settings: object):
        model = wf.models.dense(alpha=1, activation=activation)
        train = {"steps": 5, "seed": seed}
        settings = {"steps": 3, "fraction": 0.5, "stop_at": 12} | settings
        return wf.prune(model, chains[system], train=train, **settings)

    first = hunt()
    same = wf.collapse(first, hunt(1))
    assert same.transition is not None and same.runs == ["seed = 0", "seed = 1"]
    for other in (hunt(1, system=1), hunt(1, activation="relu"), hunt(1, score="random"), hunt(1, steps=4)):
        found = wf.collapse(first, other)
        assert found.transition is None and len(set(found.runs)) == 2


def test_labels_name_what_is_known_of_all():
    """Prunings of Python hold no table of the network."""
    made = [summary(9, 24, 60.0), summary(9, 24, 50.0, hidden=3)]
    made[0]["settings"] = {"wavefunction": {"kind": "dense", "activation": "logcosh"}, "train": {"steps": 5, "seed": 0}}
    made[1]["settings"] = {"train": {"steps": 5, "seed": 1}}
    assert collapse([typed(TicketsSummary, one) for one in made])["runs"] == [
        "324 weights; seed = 0",
        "243 weights; seed = 1",
    ]


def test_pictures_go_where_they_can(tmp_path, capsys):
    for out in ("nowhere/all.png", "all.txt", "."):
        assert main(["collapse", "a", "b", "--out", str(tmp_path / out)]) == 2
        assert "no picture can be written" in capsys.readouterr().err
