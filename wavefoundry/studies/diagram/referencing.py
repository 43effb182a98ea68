"""The references of a diagram as tasks: one for every coupling, before the records that are held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wavefoundry.artifacts.spec_reference import ReferenceTable
from wavefoundry.core.errors import InputError
from wavefoundry.core.memory import free_memory
from wavefoundry.core.meter import Cost
from wavefoundry.core.words import assigned
from wavefoundry.problems import observables
from wavefoundry.problems.references import given, lattices
from wavefoundry.problems.references.found import METHODS, Found, best, failed, reasons
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.records import Known
from wavefoundry.studies.diagram.transitions import varied
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

KIND, BASE = "reference", "base"
APART = ("ed", "dmrg")
"""Methods that run in a process of their own."""
LEAST = 2e4
"""Work of a calculation apart, guessed, in samples of a training: that of starting its process."""


def work_of(method: str, sites: int) -> float:
    """Work of a value, guessed, in samples of a training."""
    if method == "dmrg":
        return max(LEAST, 2e6 * (sites / 36) ** 2)
    if method == "ed":
        return max(LEAST, 2e6 * 2.0 ** min(sites - 28, 10))
    return max(100.0, 2e5 * 2.0 ** min(sites - 18, 10)) if method == "lanczos" else 0.0


def settings_of(
    table: ReferenceTable, system: LatticeSystem, measured: bool | Sequence[str] = True
) -> lattices.Settings:
    """How references are computed, the file of the user's read; ``measured``: observables, as in ``[evaluate]``.

    Raises:
        InputError: the file cannot be used.
    """
    free = free_memory()
    memory = table.memory_gib * 2**30 if table.memory_gib else (free or 8 * 2**30) / 2
    values = None
    if table.file is not None and "file" in (table.methods or []):
        scale = float(system.sites) if table.per == "site" else 1.0
        values = given.read(table.file, system.names, observables.measured(system, measured), scale)
    bonds = lattices.stages(table.bond_dimension)
    return lattices.Settings(bonds, table.sweeps, memory, 60.0 * table.minutes, values, table.exact, measured)


def check_file(
    table: ReferenceTable,
    system: LatticeSystem,
    points: Sequence[Mapping[str, float]],
    measured: bool | Sequence[str] = True,
) -> None:
    """Refuse a file of references that cannot be read, or that has no row for any point.

    Raises:
        InputError: see above.
    """
    values = settings_of(table, system, measured).values
    if values is None:
        return
    columns = {name for row, _, _ in values.rows for name in row}
    names = varied(points)
    if missing := [name for name in names if name not in columns]:
        what = f"{table.file} has no column '{missing[0]}', which varies from point to point"
        raise InputError(what, where="reference.file, line 1", fix=f"a column for each of {', '.join(names)}")
    rows = [given.lookup(values, system.at(**point).values, table.exact) for point in points]
    if all(row.energy is None for row in rows):
        why = rows[0].why or ""
        fix = "couplings as in adapt.points, one row a point"
        raise InputError("no row of the file is a point of the diagram", where="reference.file", why=why, fix=fix)


class References:
    """What the energies of a diagram are held against.

    Args:
        table: of the study file. bases: the systems at the pre-training points, one for every base. points: couplings
            of the points. wanted: False where ``[evaluate] exact`` says that there should be none. measured:
            observables, as there.
    """

    def __init__(
        self,
        table: ReferenceTable,
        bases: Sequence[LatticeSystem],
        points: Sequence[Mapping[str, float]],
        wanted: bool = True,
        measured: bool | Sequence[str] = True,
    ):
        self._measured = measured
        self.table, self.wanted = table, wanted and table.methods != []
        self._points, self._bases = [bases[0].at(**point) for point in points], list(bases)
        self._systems: dict[tuple[float, ...], LatticeSystem] = {}
        for one in [*self._points, *bases]:
            self._systems.setdefault(_key(one), one)
        self._known = dict[tuple[float, ...], Known]()

    def before(self, tasks: Sequence[Task]) -> list[Task]:
        """Tasks of a study with those of the references, which the base and the points wait for."""
        if not self.wanted:
            return list(tasks)
        found = [task._replace(needs=(*task.needs, *self._needed(task.name))) for task in tasks]
        names = {need for task in found for need in task.needs if need.startswith(f"{KIND}/")}
        place = next((i for i, task in enumerate(found) if names & set(task.needs)), len(found))
        sites = self._bases[0].sites
        share = sum(work_of(method, sites) for method in self.table.methods or []) or 1000.0
        listed = [Task(name, (), share) for name in self._names() if name in names]
        return [*found[:place], *listed, *found[place:]]

    def perform(self, name: str, progress: Progress) -> Output:
        """Find the value of one coupling by all methods."""
        system = list(self._systems.values())[int(name.removeprefix(f"{KIND}/"))]
        stored = progress.restore()
        fields: dict[str, Any] = {} if stored is None else dict(stored[2]["found"])
        for method in self.table.methods or lattices.automatic(system):
            if method not in fields:
                fields[method] = self._find(system, method, progress).fields()
                if progress.due:
                    progress.save(len(fields), {"done": np.array(len(fields))}, found=fields)
        if self.table.methods is None:  # that nothing is published is no failure where nobody asked for it
            fields = {method: one for method, one in fields.items() if method != "literature" or not one["why"]}
        return Output({"found": fields})

    def _find(self, system: LatticeSystem, method: str, progress: Progress) -> Found:
        at = assigned(system.values)
        if method in APART:
            progress.say(KIND, f"{method} at {at}")
        hooks = lattices.Hooks(lambda: progress.stopping, lambda text: progress.say(KIND, f"{method} at {at}: {text}"))
        try:
            found = lattices.find(system, method, settings_of(self.table, system, self._measured), hooks)
        except InputError as error:  # the file was there when the study began
            found = failed(" ".join(str(error).split()))
        if found is None:
            progress.stop_if_asked()
            found = failed("it was stopped")
        if method in APART:
            progress.spent_elsewhere(Cost(cpu_seconds=found.cpu_seconds))
        if found.why and self.table.methods is not None:
            progress.warn(f"no reference by {method} at {at}: {found.why}")
        return found

    def learn(self, done: Outputs) -> None:
        """Take in the references that are found."""
        for name, system in zip(self._names(), self._systems.values(), strict=True):
            if name in done and _key(system) not in self._known:
                fields = done[name].record["found"]
                self._known[_key(system)] = known_from({m: Found.of(one) for m, one in fields.items()}, system)

    def known(self, system: LatticeSystem) -> Known:
        """What is known of a system; where no task was to find it, what costs little is found at once."""
        if not self.wanted:
            return Known()
        if _key(system) not in self._known:
            settings = lattices.Settings(observables=self._measured)
            found = {m: lattices.find(system, m, settings, lattices.Hooks()) for m in lattices.automatic(system)}
            kept = {m: one for m, one in found.items() if one and (m != "literature" or not one.why)}
            self._known[_key(system)] = known_from(kept, system)
        return self._known[_key(system)]

    def summary(self, done: Outputs, ours: float) -> dict[str, Any] | None:
        """Which methods gave how many values, and what they cost beside our own work.

        Args:
            done: outputs of the study. ours: processor seconds of pre-training and adaptation.
        """
        found = [done[name] for name in self._names() if name in done]
        if not found:
            return None
        cost = sum((one.cost for one in found), Cost())
        methods: dict[str, dict[str, Any]] = {}
        for name in METHODS:
            mine = [one.record["found"][name] for one in found if name in one.record["found"]]
            if mine:
                values = sum(one["energy"] is not None for one in mine)
                seconds = round(sum(one["cpu_seconds"] for one in mine), 3)
                methods[name] = {"values": values, "failed": len(mine) - values, "cost": {"cpu_seconds": seconds}}
        share = cost.cpu_seconds / ours if ours else None
        return {"asked": self.table.method, "methods": methods, "cost": cost.to_dict() | {"over_ours": share}}

    def _names(self) -> list[str]:
        return [f"{KIND}/{index}" for index in range(len(self._systems))]

    def _needed(self, name: str) -> tuple[str, ...]:
        kind, *place = name.split("/")
        base = int(place.pop(0)) if len(self._bases) > 1 and place and place[0].isdigit() else 0
        if kind not in (BASE, "point", "rung"):
            return ()
        key = _key(self._bases[base] if kind == BASE else self._points[int(place[0])])
        return (f"{KIND}/{list(self._systems).index(key)}",)


class Referenced:
    """A plan whose records are held against references; of a study also its summary."""

    def __init__(self, plan: Any, references: References):
        self.plan, self.references = plan, references

    def tasks(self, done: Outputs) -> list[Task]:
        """Those of the plan, and of the references."""
        return self.references.before(list(self.plan.tasks(done)))

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        if name.startswith(f"{KIND}/"):
            return self.references.perform(name, progress)
        self.references.learn(done)
        return self.plan.perform(name, done, progress)

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """That of the study, with what references there are."""
        self.references.learn(done)
        found = self.plan.summary(done, context)
        ours = sum(one["cost"]["cpu_seconds"] for one in found.get("bases", [found["pretrain"]]))
        ours += found["adapt_cost"]["cpu_seconds"]
        return found | {"references": self.references.summary(done, ours)}


def known_from(found: Mapping[str, Found], system: LatticeSystem) -> Known:
    """What a record is held against, from the values of all methods."""
    method, zero = best(found), lattices.zero_of(system)
    exact = [one for one in found.values() if one.energy is not None and one.kind == "exact"]
    known: dict[str, float] = {}
    for one in exact:
        known = dict(one.observables) | known
    reference = None if method is None else found[method].reference(zero)
    why = reasons(found) if method is None else None
    near: dict[str, tuple[float, str]] = {}
    for name, one in found.items():
        if one.energy is not None and one.kind != "exact":
            near |= {what: (value, one.source or name) for what, value in one.observables.items() if what not in near}
    return Known(reference, known, why, dict(found), method, near)


def _key(system: LatticeSystem) -> tuple[float, ...]:
    return tuple(system.values.values())
