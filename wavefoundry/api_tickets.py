"""The Python interface to tickets of a lattice: what pruning gives, isolate, compact, explain."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from wavefoundry.adapt.compact import with_vector
from wavefoundry.adapt.explain import explain as explain_kernel
from wavefoundry.api_checks import check_network, check_system
from wavefoundry.artifacts.spec_errors import checked
from wavefoundry.artifacts.spec_tickets import TicketsSpec
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import count_of, expect, path_of, plain_of, table_of
from wavefoundry.core.programs import keep_programs
from wavefoundry.core.types import Wavefunction
from wavefoundry.models import DenseSpec
from wavefoundry.models.shrink import without_dead
from wavefoundry.problems.gauge import with_rule
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.reports import cards
from wavefoundry.reports.shown import Card, Shown
from wavefoundry.studies.diagram.networks import build_network, fitted
from wavefoundry.studies.diagram.states import LatticeState, equilibrated
from wavefoundry.studies.execute import execute
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.tickets import checks
from wavefoundry.studies.tickets.comparing import check_different, over_seeds_of
from wavefoundry.studies.tickets.rounds import Ticket
from wavefoundry.studies.tickets.setup import StudySetup, make_setup, setup_of
from wavefoundry.studies.tickets.study import PruningStudy
from wavefoundry.studies.tickets.summary import geometry_of, tickets_of

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

CHAINS = 256
"""Walkers of the state of a ticket."""


@dataclasses.dataclass(frozen=True, repr=False)
class Tickets(Shown):
    """A finished pruning: one record and one set of weights per round; round 0 is the dense network."""

    setup: StudySetup
    tickets: Sequence[Ticket]
    spec: TicketsSpec
    summary: dict[str, Any]

    def _card(self) -> Card:
        return cards.tickets(self.summary)

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """Records of all rounds, see docs/results.md."""
        return self.summary["rounds"]

    def ticket(self, n: int) -> Ticket:
        """The round with ``n`` surviving weights.

        Raises:
            InputError: there is none.
        """
        n = count_of(n, "number of weights", where="n")
        for ticket in self.tickets:
            if ticket.record["n"] == n:
                return ticket
        known = ", ".join(str(ticket.record["n"]) for ticket in self.tickets)
        raise InputError(f"no round has {n} weights", where="n", why=f"rounds: {known}")

    def wavefunction(self, n: int) -> Wavefunction:
        """The network of a round; pruned weights are zero."""
        return with_vector(self.setup.trainer.network, jax.numpy.asarray(self.ticket(n).theta))

    def state(self, n: int) -> LatticeState:
        """The state of a round: its amplitudes, samples and expectation values, its view in NetKet."""
        lattice, wavefunction = self.setup.lattice, self.wavefunction(n)
        walkers = equilibrated(wavefunction, lattice, jax.random.key(self.spec.train.seed), CHAINS)
        record = {name: value for name, value in self.ticket(n).record.items() if name != "observables"}
        return LatticeState(lattice, wavefunction, walkers, {"couplings": lattice.values, **record})

    def to_pandas(self) -> pandas.DataFrame:
        """One row per round; nested fields become dotted columns."""
        import pandas

        from wavefoundry.reports.tables import flatten

        return pandas.DataFrame([flatten(record) for record in self.rounds])

    def plot(self) -> Figure:
        """Relative error against surviving weights."""
        from wavefoundry.core.records import TicketsSummary, typed
        from wavefoundry.reports.tickets_figures import error_figure

        figure = error_figure(typed(TicketsSummary, self.summary))
        if figure is None:
            raise InputError("nothing to draw", where="plot", why="no reference energy is known")
        return figure

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained report."""
        from wavefoundry.reports.html import write

        return write(path, self.summary, [])


def prune_network(
    source: Any,
    system: LatticeSystem | None,
    *,
    train: Mapping[str, Any] | None,
    progress: bool,
    **settings: Any,
) -> Tickets:
    """Train a network of a lattice densely and prune it round by round, see ``wf.prune``."""
    if not hasattr(source, "build") and not isinstance(getattr(source, "system", None), LatticeSystem):
        fix = "wf.models.dense(), for example"
        raise InputError(f"{type(source).__name__} is no network for a lattice", where="wf.prune", fix=fix)
    model, weights = (source.model, source.wavefunction) if hasattr(source, "wavefunction") else (source, None)
    system = getattr(source, "system", None) if system is None else system
    if system is None:
        raise InputError("no system to train on", where="wf.prune: system", fix="wf.prune(model, system)")
    check_system(system, "wf.prune: system")
    if weights is not None and (system.extent, system.sites) != (source.system.extent, source.system.sites):
        sizes = [" x ".join(map(str, one.extent)) for one in (system, source.system)]
        what = f"this system is {sizes[0]}, the model was trained on {sizes[1]}"
        raise InputError(what, where="wf.prune: system", fix="a system of that size, or a network: wf.models.vit()")
    check_network(model, system, "wf.prune")
    if weights is None:
        system = with_rule(system).system
    else:  # the signs of a trained network are part of its state
        system = dataclasses.replace(system, sublattice=source.system.sublattice)
    keep_programs()
    tables = {
        "train": table_of(train, "wf.prune: train", 'train={"steps": 300}'),
        "evaluate": table_of(settings.pop("evaluate", None), "wf.prune: evaluate", 'evaluate={"samples": 4096}'),
    }
    if (reference := settings.pop("reference", None)) is not None:
        tables["evaluate"] = {**tables["evaluate"], "reference": reference}
    spec = _spec({**tables, "prune": settings}, model, system)
    free = _sign_free(system)
    own, note, harmful = fitted(model, system, free)
    if harmful:
        warnings.warn(str(note), stacklevel=2)
    model = own if weights is None else model

    def build(key: jax.Array) -> Wavefunction:
        return build_network(model, key, system, free)

    network = weights if weights is not None else build(jax.random.fold_in(jax.random.key(spec.train.seed), 0))
    study = PruningStudy(make_setup(spec, system, network, build), spec)
    from wavefoundry.reports.live import view

    with view(quiet=not progress, json=False) as emit:
        context = Context(emit)
        done = execute(study, context)
    summary = study.summary(done, context)
    for table in ("system", "wavefunction"):  # of the stand-in that the settings were checked with
        summary["settings"].pop(table)
    return Tickets(study.setup, study.tickets(done), spec, summary)


def _sign_free(system: LatticeSystem) -> bool:
    from wavefoundry.problems.spins import sign_free

    return sign_free(system)


def _spec(tables: dict[str, Any], model: Any, system: LatticeSystem) -> TicketsSpec:
    """Settings with the checks and messages of a study file; the system in it only fits in size, a network in kind."""
    from wavefoundry.artifacts import spec as study_file

    sites = system.sites
    data: dict[str, Any] = {
        "kind": "tickets",
        "system": {"model": "ising", "lattice": {"kind": "chain", "size": sites, "periodic": False}},
        "wavefunction": {"alpha": model.alpha} if isinstance(model, DenseSpec) else {"kind": "conv"},
        **tables,
    }
    return study_file.from_dict(data, source="wf.prune")


def open_run(path: str | Path) -> Tickets:
    """The tickets of a finished run directory.

    Raises:
        InputError: no tickets there. IntegrityError: damaged files.
    """
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.artifacts.bundles import read_bundle
    from wavefoundry.artifacts.results import read_results, several
    from wavefoundry.artifacts.seal import nested

    folder = path_of(path, "wf.prune")
    stored, summary = folder / "artifacts" / "tickets", read_results(folder)
    if seeds := nested(folder):
        why, fix = several(seeds)
        raise InputError(f"there are no tickets in {path}", where="wf.prune", why=why, fix=fix)
    if not stored.is_dir() or summary is None:
        raise InputError(f"there are no tickets in {path}", where="wf.prune", fix="the directory of a finished run")
    arrays, meta = read_bundle(stored)
    spec = study_file.from_dict(meta["spec"], source=str(stored))
    setup = dataclasses.replace(setup_of(spec, ruled=meta.get("ruled", False)), init=np.asarray(arrays["init"]))
    return Tickets(setup, tickets_of(arrays, meta["rounds"]), spec, summary)


def _check_tickets(tickets: Any, where: str) -> None:
    expect(tickets, Tickets, "result of wf.prune", where=where, fix="wf.prune(wf.models.dense(), system)")


def isolate(
    tickets: Tickets,
    n: int | Sequence[int],
    *,
    variants: Sequence[str] = ("init", "random-init", "random-mask", "shuffled-mask", "one-shot-mask"),
    seeds: int = 3,
    steps: int | None = None,
) -> list[dict[str, Any]]:
    """Train masks on their own: found ones from old and new initial weights, and other masks of the same density.

    Args:
        tickets: from ``prune``. n: survivors of the rounds to isolate. variants: which experiments.
        seeds: repetitions. steps: of each training; those of the dense network by default.

    Returns:
        One record per round and variant: ``errors`` of all seeds, ``mean`` (geometric) and ``log_error``.
    """
    from wavefoundry.artifacts.spec_tickets import IsolateTable

    _check_tickets(tickets, "wf.isolate")
    listed = list(variants) if isinstance(variants, tuple) else variants
    table = checked(IsolateTable, "wf.isolate", {"variants": listed, "seeds": seeds, "steps": steps})
    counts = plain_of(n)
    wanted = [tickets.ticket(count) for count in (counts if isinstance(counts, list | tuple) else [counts])]
    setup, dense, length = tickets.setup, tickets.tickets[0], table.steps or tickets.setup.dense_steps
    records = []
    for ticket in {ticket.record["round"]: ticket for ticket in wanted}.values():
        for variant in dict.fromkeys(table.variants):
            runs = [
                checks.isolated(setup, dense, ticket, variant, seed, length, Progress())
                for seed in checks.seeds_of(setup, variant, table.seeds)
            ]
            records.append(checks.gathered(ticket.record, variant, length, runs, Progress()))
    return records


def compact(tickets: Tickets | Wavefunction, n: int | None = None) -> Wavefunction:
    """A smaller dense network with the amplitudes of a ticket: dead units are gone, nothing else changes.

    Args:
        tickets: from ``prune``, or a pruned wavefunction. n: survivors of the round, the last one by default.
    """
    if isinstance(tickets, Wavefunction):
        return without_dead(tickets)
    _check_tickets(tickets, "wf.compact")
    return without_dead(tickets.wavefunction(tickets.rounds[-1]["n"] if n is None else n))


def explain(tickets: Tickets, n: int | None = None) -> dict[str, Any]:
    """What the surviving units of one dense layer say: sites, kind, parity, couplings; see ``adapt.explain``.

    Args:
        tickets: from ``prune``. n: survivors of the round, the last one by default.

    Raises:
        InputError: the network is not one dense layer.
    """
    _check_tickets(tickets, "wf.explain")
    count = tickets.rounds[-1]["n"] if n is None else n
    backbone: Any = tickets.wavefunction(count).backbone
    if not hasattr(backbone, "activation"):
        raise InputError("only one dense layer can be explained", where="wf.explain", fix="wf.models.dense()")
    known = geometry_of(tickets.setup)
    return {"n": count} | explain_kernel(np.asarray(backbone.kernel), backbone.activation, known)


@dataclasses.dataclass(frozen=True, repr=False)
class Collapse(Shown):
    """Error curves of several prunings over three measures of size: n, n/N and n over the conjectured law.

    ``spread``: decades by which errors differ at equal size, by measure. ``best``: that of the smallest, or None.
    ``transition``: the verdict over seeds, where all are of one system and network; else None. See
    ``studies.tickets.transitions.over_seeds``.
    """

    runs: list[str]
    spread: dict[str, float | None]
    best: str | None
    summaries: list[dict[str, Any]]
    transition: dict[str, Any] | None = None

    def _card(self) -> Card:
        facts = [
            (f"over {axis}", "no law is known" if s is None else f"spread {s:.2f} decades")
            for axis, s in self.spread.items()
        ]
        best = f", best over {self.best}" if self.best else ""
        return Card(f"Collapse of {len(self.summaries)} prunings{best}", facts, draw=self.plot)

    def plot(self) -> Figure:
        """One panel for each measure of size."""
        from wavefoundry.core.records import TicketsSummary, typed
        from wavefoundry.reports.tickets_collapse import collapse_figure

        return collapse_figure([typed(TicketsSummary, summary) for summary in self.summaries])


def collapse(*runs: Tickets | str | Path) -> Collapse:
    """Lay the error curves of several prunings on one another: over widths, lattice sizes, or couplings.

    Args:
        runs: from ``prune``, or directories of finished runs; one over several seeds stands for all of its runs.

    Raises:
        InputError: fewer than two, one of them twice, or runs without reference energies or common sizes.
    """
    from wavefoundry.artifacts.results import read_results
    from wavefoundry.artifacts.seal import nested
    from wavefoundry.core.records import TicketsSummary, typed
    from wavefoundry.reports import tickets_collapse

    summaries, listed = [], []
    for run in runs:  # a study over several seeds stands for all of its runs
        within = [] if isinstance(run, Tickets) else nested(path_of(run, "wf.collapse"))
        listed += within or [run]
    for run in listed:
        if isinstance(run, Tickets):
            summaries.append(run.summary)
            continue
        found = read_results(path_of(run, "wf.collapse"))
        if found is None:
            raise InputError(f"there is no finished run in {run}", where="collapse", fix="the directory of a run")
        summaries.append(found)
        if found.get("kind") != "tickets":
            raise InputError(f"{run} is no study of tickets", where="collapse", fix='runs of kind = "tickets"')
    check_different(listed, summaries)
    found = tickets_collapse.collapse([typed(TicketsSummary, summary) for summary in summaries])
    return Collapse(summaries=summaries, transition=over_seeds_of(summaries), **found)
