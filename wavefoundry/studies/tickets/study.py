"""A study of tickets as tasks: rounds of pruning one after another, then experiments that know nothing of each other.

``round/K`` (0: the dense network), ``isolate/ROUND.VARIANT.SEED`` and ``isolated/ROUND.VARIANT`` (all seeds of it),
``confirm/ROUND``, ``random/ROUND`` (a random mask trained at home), ``transfer/POINT.ROUND.KIND``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from wavefoundry.adapt import masks
from wavefoundry.artifacts.spec_tickets import TicketsSpec
from wavefoundry.core.meter import Cost
from wavefoundry.studies.diagram.networks import fitted
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task
from wavefoundry.studies.tickets import checks
from wavefoundry.studies.tickets.rounds import Before, MeasuredRounds, Ticket, dense_round, pruned_round, ticket_of
from wavefoundry.studies.tickets.setup import (
    StudySetup,
    build_system,
    describe,
    first_network,
    prunable,
    reference_of,
    require_room,
    setup_of,
)
from wavefoundry.studies.tickets.summary import arrays_of, summary_of

PHASES = {
    "isolate": "masks on their own",
    "confirm": "jumps of the error, with more time",
    "transfer": "tickets at {} other couplings",
}


def check(spec: TicketsSpec) -> None:
    """Refuse a study whose network cannot be pruned as wanted.

    Raises:
        InputError: see ``setup.prunable`` and ``setup.require_room``; or a warm start that does not fit.
    """
    system = build_system(spec)
    network = first_network(spec, system)[0]
    require_room(spec, network, system)
    prunable(spec, network)


def build(spec: TicketsSpec, context: Context) -> PruningStudy:
    """The study of a file."""
    context.say("tickets", f"{spec.system.model}, {spec.system.sites} spins, {spec.wavefunction.kind} network")
    setup = setup_of(spec)
    if note := fitted(describe(spec), setup.lattice, spec.sign_free()).note:
        context.warn(note)
    rounds = len(masks.counts(setup.prunable, spec.prune.fraction, spec.prune.stop_at)) - 1
    context.say("prune", f"{setup.prunable} weights, about {rounds} rounds to {spec.prune.stop_at}")
    return PruningStudy(setup, spec)


class Rounds(NamedTuple):
    """Survivors of all rounds.

    counts: of the finished ones, then of those that are expected. finished: number of the former.
    ended: whether no more will come. last: the task after which that is known.
    """

    counts: list[int]
    finished: int
    ended: bool
    last: str


class PruningStudy:
    """Dense training, rounds of pruning, and what the tickets are worth; see ``studies.study.Study``."""

    def __init__(self, setup: StudySetup, spec: TicketsSpec):
        self.setup, self.spec = setup, spec
        self._measured = MeasuredRounds(setup)
        self._there: dict[int, StudySetup] = {}
        self._phase = ""

    def tasks(self, done: Outputs) -> list[Task]:
        """Rounds as far as they are expected, and the experiments with the rounds that then are to be looked at."""
        rounds = self._rounds(done)
        listed = [Task("round/0", (), self.setup.share(self.setup.dense_steps, self.setup.prunable))]
        for number in range(1, int(rounds.last.removeprefix("round/")) + 1):
            needs = _distinct("round/0", f"round/{number - 1}")
            count = rounds.counts[min(number, len(rounds.counts) - 1)]
            listed.append(Task(f"round/{number}", needs, self.setup.share(self.setup.table.steps, count)))
        if self.setup.reference.energy is not None:
            listed += self._isolation(rounds)
            listed += self._confirmation(rounds, done)
        return listed + list(self._transfer(rounds))

    def _rounds(self, done: Outputs) -> Rounds:
        setup, counts = self.setup, []
        while (output := done.get(f"round/{len(counts)}")) is not None and output.record:
            counts.append(output.record["n"])
        finished, empty = len(counts), output is not None
        if empty or (counts and counts[-1] <= max(setup.table.stop_at, len(setup.where.layers))):
            return Rounds(counts, finished, True, f"round/{finished if empty else finished - 1}")
        expected = masks.counts(counts[-1] if counts else setup.prunable, setup.table.fraction, setup.table.stop_at)
        counts += expected[1:] if counts else expected
        return Rounds(counts, finished, False, f"round/{len(counts) - 1}")

    def _isolation(self, rounds: Rounds) -> Iterator[Task]:
        table = self.spec.isolate
        for number in checks.chosen_rounds(rounds.counts, table.at, table.rounds):
            for variant in dict.fromkeys(table.variants):
                found, dense = f"round/{number}", ("round/0",) if variant == "one-shot-mask" else ()
                seeds = checks.seeds_of(self.setup, variant, table.seeds)
                names = [f"isolate/{number}.{variant}.{seed}" for seed in seeds]
                needs = _distinct(found, *dense, rounds.last)
                share = self.setup.share(self._alone, rounds.counts[number])
                yield from (Task(name, needs, share) for name in names)
                yield Task(f"isolated/{number}.{variant}", (found, *names), 0.0)

    @property
    def _alone(self) -> int:
        """Steps of a mask on its own."""
        return self.spec.isolate.steps or self.setup.dense_steps

    def _confirmation(self, rounds: Rounds, done: Outputs) -> Iterator[Task]:
        longer = self.spec.isolate.confirm
        if longer <= 0 or not rounds.ended:
            return
        records = [done[f"round/{number}"].record for number in range(rounds.finished)]
        for number in checks.jumps_of(records):
            steps = round(longer * self.setup.table.steps)
            share = self.setup.share(steps + max(steps, self.setup.dense_steps), rounds.counts[number])
            yield Task(f"confirm/{number}", (f"round/{number - 1}", f"round/{number}"), share)

    def _transfer(self, rounds: Rounds) -> Iterator[Task]:
        setup, table, points = self.setup, self.spec.transfer, self.spec.transfer_list()
        numbers = [0, *checks.chosen_rounds(rounds.counts, table.at, 3)]
        for place, point in enumerate(points):
            if point in points[:place]:
                continue
            for number in numbers:
                found, count = f"round/{number}", rounds.counts[number]
                for kind in ("ticket", "random") if number else ("dense",):
                    if kind == "random" and place == 0:
                        needs = _distinct("round/0", found, rounds.last)
                        yield Task(f"random/{number}", needs, setup.share(setup.table.steps, count))
                    needs = (f"random/{number}",) if kind == "random" else _distinct(found, rounds.last)
                    yield Task(f"transfer/{place}.{number}.{kind}", needs, setup.share(table.steps, count))

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do a task, see the module."""
        kind, place = name.split("/")
        if kind in PHASES and kind != self._phase:
            self._phase = kind
            progress.say(kind, PHASES[kind].format(len(self.spec.transfer_list())))

        def ticket(number: int | str) -> Ticket:
            return ticket_of(done[f"round/{number}"])

        match kind, place.split("."):
            case "round", ["0"]:
                return dense_round(self.setup, self._measured, progress)
            case "round", [number]:
                before = Before(ticket(0), ticket(int(number) - 1))
                return pruned_round(self.setup, int(number), before, self._measured, progress)
            case "isolate", [number, variant, seed]:
                dense = ticket(0) if variant == "one-shot-mask" else None
                case = (dense, ticket(number), variant, int(seed), self._alone)
                return Output(checks.isolated(self.setup, *case, progress))
            case "isolated", [_, variant]:
                return Output(self._gathered(place, variant, done, progress))
            case "confirm", [number]:
                before, longer = ticket(int(number) - 1).record, self.spec.isolate.confirm
                return Output(checks.confirmed(self.setup, before, ticket(number), longer, progress))
            case "random", [number]:
                return checks.random_ticket(self.setup, ticket(0), ticket(number), progress)
            case "transfer", [point, number, mask]:
                found = ticket_of(done[f"random/{number}"]) if mask == "random" else ticket(number)
                there, table = self._moved(int(point)), self.spec.transfer
                return Output(checks.transferred(there, found, mask, int(point), table, progress))
        raise ValueError(f"there is no task {name!r}")

    def _gathered(self, place: str, variant: str, done: Outputs, progress: Progress) -> dict[str, Any]:
        number, seeds = place.split(".")[0], checks.seeds_of(self.setup, variant, self.spec.isolate.seeds)
        runs = [done[f"isolate/{place}.{seed}"].record for seed in seeds]
        return checks.gathered(done[f"round/{number}"].record, variant, self._alone, runs, progress)

    def _moved(self, place: int) -> StudySetup:
        """The setup at other couplings, with the exact energy there."""
        if place not in self._there:
            point = self.spec.transfer_list()[place]
            reference = reference_of(self.setup.lattice.at(**point), None, self.spec.evaluate.exact)
            self._there[place] = self.setup.moved(point, reference)
        return self._there[place]

    def tickets(self, done: Outputs) -> list[Ticket]:
        """The tickets of all rounds, densest first."""
        return [ticket_of(done[f"round/{number}"]) for number in range(self._rounds(done).finished)]

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The machine-readable result, see docs/results.md; the tickets become an artifact."""
        names, tickets = [task.name for task in self.tasks(done)], self.tickets(done)
        meta = {
            "rounds": [ticket.record for ticket in tickets],
            "spec": self.spec.model_dump(mode="json"),
            "ruled": True,
        }
        context.save_artifact("tickets", arrays_of(self.setup, tickets), meta)
        parts = {"isolation": "isolated/", "jumps": "confirm/", "transfer": "transfer/"}
        found = {
            part: [done[name].record for name in names if name.startswith(prefix)] for part, prefix in parts.items()
        }
        pruning = sum((done[name].cost for name in names if name.startswith("round/")), Cost())
        return summary_of(self.setup, self.spec, tickets, found, (context.cost(), pruning))


def _distinct(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
