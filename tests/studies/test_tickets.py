"""A study of tickets from the command to the report, resumed, and from Python."""

from __future__ import annotations

import json
import math
import os
import signal

import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.adapt.compact import log_amplitudes
from wavefoundry.adapt.explain import geometry
from wavefoundry.artifacts import spec as study_file
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.cli import main
from wavefoundry.core.errors import InputError, Interrupted
from wavefoundry.core.segments import bootstrap
from wavefoundry.studies import perform, run_study
from wavefoundry.studies import progress as studies_progress
from wavefoundry.studies.execute import missing, performed, ready
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.tickets.checks import jumps_of
from wavefoundry.studies.tickets.study import build
from wavefoundry.studies.tickets.summary import find_onset

STUDY = """\
kind = "tickets"
[system]
model = "ising"
lattice = { kind = "square", size = [2, 2], periodic = false }
couplings = { h = 2.0 }
[wavefunction]
alpha = 3
[train]
steps = 20
block = 10
[prune]
fraction = 0.3
stop_at = 4
steps = 10
score = "surgeon"
[isolate]
at = [16]
seeds = 2
[transfer]
points = { h = [1.0, 4.0] }
at = [16]
steps = 10
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run by the command line: its directory and its summary."""
    folder = tmp_path_factory.mktemp("tickets")
    (folder / "study.toml").write_text(STUDY)
    assert main(["run", str(folder / "study.toml"), "--out", str(folder / "run"), "--quiet"]) == 0
    return folder, json.loads((folder / "run" / "summary.json").read_text())


def test_summary_holds_every_round(run):
    _, summary = run
    counts = [record["n"] for record in summary["rounds"]]
    assert counts == [48, 34, 24, 17, 12, 8, 6, 4]
    assert summary["status"] == "complete"
    for record in summary["rounds"]:
        assert record["rho"] == record["n"] / 4
        assert record["energy"] >= summary["reference"]["energy"] - 1e-9  # variational, no statistical error
        assert record["energy_error"] == 0
    fidelities = [record["fidelity_dense"] for record in summary["rounds"][1:]]
    assert all(0 < f <= 1 + 1e-12 for f in fidelities)
    assert {record["variant"] for record in summary["isolation"]} == {
        "init", "random-init", "random-mask", "shuffled-mask", "one-shot-mask"
    }  # fmt: skip
    assert {(r["mask"], r["couplings"]["h"]) for r in summary["transfer"]} == {
        (mask, h) for mask in ("dense", "ticket", "random") for h in (1.0, 4.0)
    }


def test_every_round_has_the_verdict_of_its_three_questions(run):
    """Full sums are sampled by definition; the reference answers from both sides, exactly."""
    _, summary = run
    for record in summary["rounds"]:
        assert record["answers"]["sampled"] == "yes"
        error = record["relative_error"]
        word = "trusted" if error <= 1e-3 else "refused" if error > 1e-2 else "doubtful"
        assert record["verdict"] == word and record["trusted"] == (word == "trusted") and record["reasons"]
        assert ("ABOVE-EXACT!" in record["flags"]) == (error > 1e-2)
        assert set(record["convergence"]) == {"gain", "error", "converged"}
        assert set(record["observable_errors"]) == set(record["observables"])
    assert summary["transition"]["word"] in ("first-order-like", "steep, not decided", "smooth")
    assert all({"verdict", "answers", "convergence"} <= set(record) for record in summary["transfer"])
    assert all(len(record["verdicts"]) == len(record["errors"]) for record in summary["isolation"])


def test_trainings_that_still_move_say_so_and_longer_ones_come_to_rest():
    system = wf.lattice.ising_square(2, 2, h=2.0, periodic=False)
    found = []
    for rate in (1e-4, 0.05):
        train = {"steps": 60, "block": 10, "learning_rate": rate}
        found.append(wf.prune(wf.models.dense(alpha=3), system, stop_at=44, steps=1, train=train).rounds[0])
    assert "NOT-CONVERGED" in found[0]["flags"] and not found[0]["convergence"]["converged"]
    assert found[1]["convergence"]["converged"] and found[1]["verdict"] == "trusted"


def test_without_a_reference_a_good_round_is_an_upper_bound_and_a_given_one_counts_from_above(tmp_path):
    settings = ["isolate.at=[]", "isolate.confirm=0.0", "transfer.points={}", "prune.stop_at=34", "train.steps=300"]
    settings += ["prune.steps=300", "evaluate.exact=false"]
    for extra, word in (([], "upper bound"), (["evaluate.reference=-9.5"], "refused")):
        spec = study_file.loads(STUDY, overrides=[*settings, *extra])
        summary = run_study(spec, tmp_path / word.replace(" ", "-"))
        assert {record["verdict"] for record in summary["rounds"]} == {word}
    assert summary["status"] == "complete" and "ABOVE-EXACT!" in summary["rounds"][0]["flags"]


@pytest.mark.integration
def test_positive_amplitudes_of_a_frustrated_magnet_are_never_trusted():
    """No sign rule is right on triangles: the best positive state is another one; without a reference too."""
    system = wf.lattice.build("xxz", "triangular", [3, 4])
    settings = {"stop_at": 100, "steps": 1, "train": {"steps": 60}}
    for reference in (None, -2.0):  # the second one agrees with nothing
        found = wf.prune(wf.models.dense(alpha=4), system, reference=reference, **settings).rounds[0]
        assert found["verdict"] == "refused"


def test_a_cut_that_jumps_is_made_again_by_the_other_scores_and_the_best_is_kept():
    def errors(**settings):
        system = wf.lattice.ising_square(2, 2, h=2.0, periodic=False)
        train = {"steps": 100, "block": 50}
        found = wf.prune(
            wf.models.dense(alpha=3), system, fraction=0.3, stop_at=8, steps=50, score="random", train=train, **settings
        )
        return np.array([record["relative_error"] for record in found.rounds])

    plain, helped = errors(), errors(alternatives=["longer", "surgeon", "magnitude"])
    other = np.flatnonzero(plain != helped)
    assert other.size  # random cuts lose bonds of so small a network
    first = other[0]
    assert plain[first] > 3 * max(plain[first - 1], 1e-4)  # only where the error jumps
    assert helped[first] < plain[first]


def test_the_onset_is_the_confirmed_jump_with_the_lowest_fidelity():
    fidelities, errors = [None, 0.9999, 0.9996, 0.9997, 0.97, 0.99], [1e-6, 1e-6, 1e-4, 9e-4, 1.3e-2, 2e-2]
    rounds = [
        {"n": 60 - 10 * k, "rho": 6.0 - k, "fidelity_previous": f, "observables": {"m_x": 0.9 - 0.01 * k}}
        for k, f in enumerate(fidelities)
    ]
    jumps = [
        {"round": k, "error_before": errors[k - 1], "error_longer": errors[k], "confirmed": k != 3} for k in (2, 3, 4)
    ]
    onset = find_onset(rounds, jumps)
    assert (onset["n"], onset["next_n"], onset["fidelity"]) == (30, 20, 0.97)  # not the larger ratio at round 2
    assert onset["dip_over_usual"] > 3
    assert find_onset(rounds, [jump | {"confirmed": False} for jump in jumps]) is None
    orthogonal = [one | {"fidelity_previous": 0.0} if k == 2 else one for k, one in enumerate(rounds)]
    assert find_onset(orthogonal, jumps)["next_n"] == 40  # no overlap at all is the lowest


def test_report_table_and_files(run, capsys):
    folder, _ = run
    page = (folder / "run" / "report.html").read_text()
    assert "<svg" in page and "Masks on their own" in page and "At other couplings" in page
    assert (folder / "run" / "rounds.csv").read_text().count("\n") == 9
    assert main(["verify", str(folder / "run")]) == 0
    assert main(["inspect", str(folder / "run")]) == 0
    assert "rel. error" in capsys.readouterr().out


def test_pruned_weights_of_every_round_are_zero(run):
    folder, summary = run
    tickets = wf.prune(folder / "run")
    for record in summary["rounds"]:
        ticket = tickets.ticket(record["n"])
        assert not np.any(ticket.theta[~ticket.mask])
        assert ticket.mask.sum() == record["n"]


def test_a_stopped_run_goes_on_bit_for_bit(run, tmp_path, capsys):
    _, summary = run
    spec = study_file.loads(STUDY)

    def stop(event):
        if event["event"] == "ticket" and event["n"] == 17:
            raise Interrupted(15)

    with pytest.raises(Interrupted):
        run_study(spec, tmp_path / "run", emit=stop)
    assert main(["inspect", str(tmp_path / "run")]) == 0
    assert "unfinished: 3 rounds, 48 -> 24 weights" in capsys.readouterr().out
    again = run_study(spec, tmp_path / "run", resume=True)
    for before, after in zip(summary["rounds"], again["rounds"], strict=True):
        assert {k: v for k, v in before.items() if k != "cost"} == {k: v for k, v in after.items() if k != "cost"}
    assert [r["mean"] for r in summary["isolation"]] == [r["mean"] for r in again["isolation"]]
    for key, whole in again["cost"].items():  # of both sessions
        assert again["hunt_cost"][key] > 0 or key not in ("cpu_seconds", "wall_seconds")
        assert whole >= again["hunt_cost"][key] and whole >= sum(one["cost"][key] for one in again["rounds"][:3])


@pytest.mark.integration
@pytest.mark.parametrize(("sampling", "phase", "step"), [("full-sum", "round 2", 5), ("metropolis", "dense", 10)])
def test_a_round_that_was_stopped_goes_on_bit_for_bit(sampling, phase, step, tmp_path):
    settings = [f"train.sampling={sampling}", "train.samples=64", "train.chains=16", "train.block=5"]
    settings += ["isolate.at=[]", "isolate.confirm=0.0", "transfer.points={}", "prune.stop_at=24"]
    spec = study_file.loads(STUDY, overrides=settings)

    def stop(event):
        if event.get("phase") == phase and event.get("step") == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        run_study(spec, tmp_path / "run", emit=stop)
    events = []
    again = run_study(spec, tmp_path / "run", resume=True, emit=events.append)
    first = next(event for event in events if event["event"] == "step")
    assert (first["phase"], first["step"]) == (phase, step + 5)
    whole = run_study(spec, tmp_path / "whole")
    for before, after in zip(whole["rounds"], again["rounds"], strict=True):
        assert {k: v for k, v in before.items() if k != "cost"} == {k: v for k, v in after.items() if k != "cost"}
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    steps = [(e["phase"], e["step"]) for e in log if e.get("event") == "step"]
    assert len(steps) == len(set(steps))


EVERYTHING = [
    "prune.score=random",  # cuts that jump, so that alternatives and jumps are tried
    "prune.alternatives=['longer', 'surgeon']",
    "prune.stop_at=12",
    "prune.steps=20",
    "train.steps=60",
    "train.block=20",
    "isolate.confirm=1.0",
    "transfer.points={ h = [1.0] }",
]
SAMPLED = ["train.sampling=metropolis", "train.samples=64", "train.chains=16", "train.learning_rate=0.05"]
SAMPLED += [
    "evaluate.exact=false",
    "evaluate.reference=-8.5432",
    "prune.fraction=0.5",
    "isolate.seeds=1",
    "transfer.points={}",
]


def told(folder):
    """Everything a run directory says but costs: summary, artifact, log."""
    summary = json.loads((folder / "summary.json").read_text())
    rounds = [without_cost(record) for record in summary["rounds"]]
    apart = ("cost", "hunt_cost", "command", "finished", "hardware")
    found = {name: value for name, value in summary.items() if name not in apart}
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    kept = [without_cost(event) for event in log if event["event"] in (*EVENTS, "step")]
    arrays = {name: array.tolist() for name, array in RunDirectory.open(folder).load_artifact("tickets")[0].items()}
    return found | {"rounds": rounds}, kept, arrays


EVENTS = ("ticket", "isolated", "jump", "transferred")


def without_cost(record):
    return {name: value for name, value in record.items() if name not in ("cost", "time")}


@pytest.mark.integration
@pytest.mark.parametrize("sampled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_study_stopped_after_every_saved_piece_goes_on_bit_for_bit(sampled, tmp_path, monkeypatch):
    """Every session saves a single checkpoint or output, and ends."""
    spec = study_file.loads(STUDY, overrides=EVERYTHING + SAMPLED * sampled)
    whole = run_study(spec, tmp_path / "whole")
    phases = {event["phase"] for event in told(tmp_path / "whole")[1] if event["event"] == "step"}
    assert any("longer" in phase for phase in phases) and any("cut by" in phase for phase in phases)
    assert whole["jumps"] or sampled
    monkeypatch.setattr(studies_progress, "SAVE_AFTER", -1.0)
    stop, saved = [], []

    def stopping(save):
        def then_stop(self, name, *args):
            save(self, name, *args)
            stop.append(15)
            saved.append((save.__name__, name))

        return then_stop

    monkeypatch.setattr(RunDirectory, "save", stopping(RunDirectory.save))
    monkeypatch.setattr(RunDirectory, "save_output", stopping(RunDirectory.save_output))
    for _ in range(300):
        stop.clear()
        try:
            perform(spec, tmp_path / "run", lambda: stop[0] if stop else None, resume=bool(saved))
            break
        except Interrupted:
            continue
    assert told(tmp_path / "run") == told(tmp_path / "whole")
    outputs = [name for kind, name in saved if kind == "save_output"]
    assert len(outputs) == len(set(outputs)) and len(saved) > 2 * len(outputs)


def test_a_study_killed_within_a_round_goes_on_from_the_last_checkpoint(tmp_path, monkeypatch):
    spec = study_file.loads(STUDY, overrides=EVERYTHING)
    whole = run_study(spec, tmp_path / "whole")
    monkeypatch.setattr(studies_progress, "SAVE_AFTER", -1.0)
    kills, heard = [("round 2", 20), ("longer", 40), ("cut by", 20), ("random-mask", 40), ("jump", 40)], []

    class Killed(BaseException):
        pass

    def kill(event):
        if event["event"] == "step":
            heard.append((event["phase"], event["step"]))
            if kills and kills[0][0] in event["phase"] and event["step"] == kills[0][1]:
                kills.pop(0)
                raise Killed

    while True:
        try:
            again = run_study(spec, tmp_path / "run", resume=bool(heard), emit=kill)
            break
        except Killed:
            continue
    assert not kills
    assert told(tmp_path / "run") == told(tmp_path / "whole")
    steps = sum(event["event"] == "step" for event in told(tmp_path / "whole")[1])
    assert len(heard) == steps + 5  # the blocks that were lost, and no others
    for before, after in zip(whole["rounds"], again["rounds"], strict=True):
        assert after["cost"].keys() == before["cost"].keys() and after["cost"]["wall_seconds"] > 0
    for key in ("cpu_seconds", "wall_seconds"):
        assert again["cost"][key] >= again["hunt_cost"][key] >= max(one["cost"][key] for one in again["rounds"])


def test_every_task_reads_nothing_but_what_it_needs(run):
    """In any order, each by a study that was built anew, as workers do it."""
    _, summary = run
    spec, done = study_file.loads(STUDY), {}
    study = build(spec, Context())
    while waiting := missing(study, done):
        assert all(task.share >= 0 for task in waiting)
        task = [task for task in waiting if ready(task, done)][-1]
        needs = {name: done[name] for name in task.needs}
        done[task.name] = performed(build(spec, Context()), task.name, needs, Progress())
    again = study.summary(done, Context())
    for name in ("isolation", "jumps", "transfer", "transition", "explain", "fit"):
        assert again[name] == summary[name]
    assert [without_cost(r) for r in again["rounds"]] == [without_cost(r) for r in summary["rounds"]]


def test_time_left_counts_the_rounds_and_experiments_to_come(tmp_path):
    left = []
    spec = study_file.loads(STUDY, overrides=["train.block=2"])
    run_study(spec, tmp_path / "run", emit=lambda event: left.append(event.get("seconds_left")))
    known = [seconds for seconds in left if seconds is not None]
    assert len(known) > 100 and known[20] > known[-1] == 0.0
    study = build(spec, Context())
    first, last = study.tasks({})[0], study.tasks({})[-1]
    assert first.name == "round/0" and last.name.startswith("transfer/")


def test_rounds_end_where_no_whole_unit_can_go(tmp_path):
    settings = ["prune.unit=neuron", "prune.stop_at=5", "prune.score=magnitude", "isolate.at=[]", "transfer.at=[]"]
    summary = run_study(study_file.loads(STUDY, overrides=settings), tmp_path / "run")
    assert summary["rounds"][-1]["n"] == 8  # two units of four
    assert {record["n"] for record in summary["transfer"]} <= {record["n"] for record in summary["rounds"]}


def test_finished_experiments_are_not_done_again(tmp_path):
    settings = ["isolate.seeds=1", "isolate.confirm=1.0", "isolate.variants=['init', 'random-mask']"]
    settings += ["train.steps=60", "prune.stop_at=12"]  # converged, so that cuts show as jumps
    spec, events = study_file.loads(STUDY, overrides=settings), []

    def stop_at(kind):
        def emit(event):
            events.append(event["event"])
            if event["event"] == kind:
                os.kill(os.getpid(), signal.SIGTERM)

        return emit

    for kind in ("isolated", "jump", "transferred"):
        with pytest.raises(Interrupted):
            run_study(spec, tmp_path / "run", resume=bool(events), emit=stop_at(kind))
    summary = run_study(spec, tmp_path / "run", resume=True, emit=lambda event: events.append(event["event"]))
    for event, name in (("isolated", "isolation"), ("jump", "jumps"), ("transferred", "transfer")):
        assert events.count(event) == len(summary[name]) > 0


def test_one_shot_masks_stop_where_they_should(tmp_path):
    settings = ["prune.schedule=one-shot", "prune.score=magnitude", "isolate.at=[]", "isolate.confirm=0.0"]
    settings += ["transfer.points={}", "prune.stop_at=20", "train.steps=10", "prune.steps=10"]
    summary = run_study(study_file.loads(STUDY, overrides=settings), tmp_path / "run")
    assert [record["n"] for record in summary["rounds"]] == [48, 34, 24, 20]


def test_python_interface(run):
    folder, summary = run
    tickets = wf.prune(folder / "run")
    n = 8
    small, big = wf.compact(tickets, n), tickets.wavefunction(n)
    units = summary["rounds"][5]["alive_neurons"]["backbone.kernel"]
    assert small.backbone.kernel.shape == (4, units)
    system = tickets.setup.trainer.system
    before, after = (log_amplitudes(w, system, system.states, 16) for w in (big, small))
    assert np.max(np.abs(before - after)) < 1e-12
    explained = wf.explain(tickets, n)
    assert sum(len(unit["sites"]) for unit in explained["units"]) == n
    assert len(tickets.to_pandas()) == 8
    with pytest.raises(InputError, match="no round has 5 weights"):
        wf.explain(tickets, 5)
    with pytest.raises(InputError, match="fraction, score would be ignored"):
        wf.prune(folder / "run", fraction=0.5, score="surgeon")
    with pytest.raises(InputError, match="system would be ignored"):
        wf.prune(folder / "run", system.lattice)


def test_a_ticket_is_a_state(run):
    """Samples, expectation values and overlaps of a round: the fidelity that its record holds is found again."""
    folder, _ = run
    tickets = wf.prune(folder / "run")
    state, dense = tickets.state(8), tickets.state(48)
    assert "State of" in repr(state) and "<table" in state._repr_html_()
    energy = state.expect(state.system)
    assert abs(energy.value - state.energy) < 5 * energy.error + 1e-9  # 5 standard errors: 6e-7
    overlap = state.overlap(dense)
    assert abs(overlap.fidelity - state.record["fidelity_dense"]) < 5 * overlap.error + 1e-3
    with pytest.raises(InputError, match="no round has 5 weights"):
        tickets.state(5)
    assert all(record["ess"] is None for record in tickets.rounds), "a full sum has no samples"


@pytest.mark.parametrize(
    ("kind", "cells", "periodic"),
    [
        ("chain", 7, False),
        ("square", [3, 4], True),
        ("triangular", [2, 3], False),
        ("triangular", [3, 3], True),
        ("kagome", [1, 2], False),
        ("honeycomb", [2, 2], True),
    ],
)
def test_bonds_are_those_of_the_hamiltonian(kind, cells, periodic):
    system = wf.lattice.build("ising", kind, cells, h=2.0, periodic=periodic)
    letters = system.operators[system.names.index("J")].operators
    pairs = sorted(tuple(k for k, letter in enumerate(str(one)) if letter == "Z") for one in letters)
    found = geometry(system.model, system.extent, system.periodic, system.geometry)
    assert found["bond"] == pairs
    assert bool(found["plaquette"]) == (kind == "square")


def test_a_model_is_no_run(tmp_path, capsys):
    """Intact, and something else: not damage, and whatever looks for a run says so in the same words."""
    model = tmp_path / "model"
    wf.pretrain(wf.lattice.ising_chain(4, h=1.0), wf.models.dense(alpha=1), steps=2, walkers=16).save(model)
    for call in (wf.prune, wf.open, lambda path: wf.collapse(path, path)):
        for path in (model, "zoo:ising-chain-24"):
            with pytest.raises(InputError, match="is a model, not a run"):
                call(path)
    assert main(["report", str(model)]) == 2
    assert main(["inspect", "zoo:ising-chain-24"]) == 0
    out = capsys.readouterr()
    assert "is a model, not a run" in out.err and "backbone" in out.out


def test_a_network_without_system_and_a_wrong_setting_are_refused():
    with pytest.raises(InputError, match="no system"):
        wf.prune(wf.models.dense())
    system = wf.lattice.ising_square(2, 2, h=2.0, periodic=False)
    with pytest.raises(InputError, match="fraction"):
        wf.prune(wf.models.dense(), system, fraction=1.2)
    with pytest.raises(InputError, match="did you mean 'score'"):
        wf.prune(wf.models.dense(), system, scor="random")


BAD = ["prune.fraction=2", "train.sampling=metropoli", "prune.layers=['backbone.nothing']"]
BAD += ["wavefunction={ alpha = 1000.0 }"]  # too many weights for the surgeon score


@pytest.mark.parametrize("bad", [f"--set={setting}" for setting in BAD])
def test_bad_studies_leave_nothing_behind(bad, tmp_path, capsys):
    (tmp_path / "study.toml").write_text(STUDY)
    assert main(["run", str(tmp_path / "study.toml"), "--out", str(tmp_path / "run"), bad]) == 2
    assert not (tmp_path / "run").exists()
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "Traceback" not in error


def test_three_segments_are_found_again():
    x = np.geomspace(10, 10_000, 40)
    y = np.where(x < 100, 1e-1 * (x / 100) ** -0.2, np.where(x < 1000, 1e-1 * (x / 100) ** -3.0, 1e-4))
    found = bootstrap(x, y * np.exp(0.02 * np.random.default_rng(0).normal(size=40)), seed=1, repetitions=20)
    assert abs(math.log(found["boundaries"][0] / 100)) < 0.2 and abs(math.log(found["boundaries"][1] / 1000)) < 0.2
    assert np.allclose(found["exponents"], [-0.2, -3.0, 0.0], atol=0.1)
    low, high = found["intervals"]["exponents"][1]
    assert low <= found["exponents"][1] <= high


NETWORKS = {
    "conv": "wavefunction={ kind = 'conv', channels = 3, window = 2 }",
    "resnet": "wavefunction={ kind = 'resnet', channels = 2, blocks = 1, window = 2 }",
    "vit": "wavefunction={ kind = 'vit', width = 4, layers = 1, heads = 2, patch = 1 }",
}


@pytest.mark.integration
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_network_can_be_pruned(kind, tmp_path):
    small = ["isolate.at=[]", "isolate.confirm=0.0", "prune.stop_at=6", "prune.fraction=0.5", "prune.scope=global"]
    train = "survivors" if kind != "vit" else "head"
    settings = [
        NETWORKS[kind],
        *small,
        "prune.score=curvature",
        "train.steps=10",
        "prune.steps=5",
        f"transfer.train={train}",
    ]
    spec = study_file.loads(STUDY, overrides=settings)
    summary = run_study(spec, tmp_path / "run")
    last = summary["rounds"][-1]
    assert last["n"] <= 12 and last["energy"] > summary["reference"]["energy"] - 1e-6
    assert {record["mask"] for record in summary["transfer"]} == {"dense", "ticket", "random"}
    tickets = wf.prune(tmp_path / "run")
    n = summary["rounds"][1]["n"]
    system = tickets.setup.trainer.system
    before, after = (
        log_amplitudes(w, system, system.states, 16) for w in (tickets.wavefunction(n), wf.compact(tickets, n))
    )
    assert np.max(np.abs(before - after)) < 1e-12


@pytest.mark.integration
def test_a_sampled_hunt_is_measured_exactly_and_agrees_with_its_samples(tmp_path):
    settings = [
        "train.sampling=metropolis",
        "train.samples=256",
        "train.chains=64",
        "isolate.at=[]",
        "transfer.points={}",
    ]
    settings += ["isolate.confirm=0.0", "prune.stop_at=24", "train.learning_rate=0.02"]
    summary = run_study(study_file.loads(STUDY, overrides=settings), tmp_path / "exact")
    assert summary["energy_by"] == "full sum"
    assert all(record["energy_error"] == 0 for record in summary["rounds"])
    sampled = study_file.loads(STUDY, overrides=[*settings, "evaluate.exact=false"])
    again = run_study(sampled, tmp_path / "sampled")
    assert again["energy_by"] == "samples"
    for exact, drawn in zip(summary["rounds"], again["rounds"], strict=True):
        # the same training; five error bars of 2048 samples: 6e-7 per comparison
        assert abs(exact["energy"] - drawn["energy"]) < 5 * drawn["energy_error"] + 1e-9


@pytest.mark.parametrize("field", [1.0, -1.0])
def test_a_sign_rule_is_looked_for_as_before_a_pretraining(field, tmp_path):
    """In a negative field the ground state is positive once all spins are turned; the file and Python agree on it."""
    system = wf.lattice.ising_chain(6, h=field)
    settings = {"steps": 5, "fraction": 0.5, "stop_at": 10}
    own = wf.prune(wf.models.dense(alpha=1), system, train={"steps": 60}, **settings)
    text = 'kind = "tickets"\n[system]\nmodel = "ising"\nlattice = { kind = "chain", size = 6 }\n'
    text += f"couplings = {{ h = {field} }}\n"
    text += "[wavefunction]\nalpha = 1\n[train]\nsteps = 60\n[prune]\nsteps = 5\nfraction = 0.5\nstop_at = 10\n"
    text += "[isolate]\nrounds = 0\n"
    summary = run_study(study_file.loads(text), tmp_path / "run")
    for dense in (own.rounds[0], summary["rounds"][0]):
        assert dense["relative_error"] < 1e-3 and dense["verdict"] == "trusted"
    opened = wf.prune(tmp_path / "run")
    state = opened.state(opened.rounds[0]["n"])
    found = state.expect(system)
    assert abs(found.value - summary["rounds"][0]["energy"]) < 5 * found.error + 1e-6


def test_the_signs_of_a_pretrained_state_are_kept_in_other_couplings():
    """A network that learned with a rule is another state without it."""
    model = wf.models.dense(alpha=1)
    base = wf.pretrain(wf.lattice.j1j2_chain(6, J2=0.1), model, steps=60, walkers=64)
    pruned = wf.prune(base, wf.lattice.j1j2_chain(6, J2=0.2), steps=5, fraction=0.5, stop_at=10, train={"steps": 2})
    assert base.system.sublattice is not None
    assert pruned.rounds[0]["relative_error"] < 0.05


def test_a_jump_rises_above_the_noise():
    """A dense error that happens to vanish within its bar makes no jump of the next one; a real one counts."""

    def record(energy: float, error: float) -> dict[str, float]:
        return {"energy": energy, "energy_error": error, "relative_error": (energy + 80) / 80}

    noisy = [record(-79.99999, 3e-4), record(-79.9996, 3e-4), record(-79.9994, 3e-4), record(-79.99, 4e-4)]
    assert list(jumps_of(noisy)) == [3]
    exact = [record(-79.99999, 0.0), record(-79.9996, 0.0), record(-79.9994, 0.0)]
    assert list(jumps_of(exact)) == [1]
