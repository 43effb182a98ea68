"""The Python interface: map a diagram, look at it; with all other verbs under one name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack, overload

import numpy as np

from wavefoundry import api_molecules, api_rivals
from wavefoundry.api_checks import check_adapting, check_not_empty, optimisation_of, several, values_of
from wavefoundry.api_molecule_tickets import MoleculeTickets
from wavefoundry.api_molecules import MoleculeMap, MoleculeModel, molecules
from wavefoundry.api_pretrain import Pretrained, build, load, measured_base, pretrain, viewed
from wavefoundry.api_pruning import prune
from wavefoundry.api_settings import (
    AdaptSettings,
    BaselinesSettings,
    EvaluateSettings,
    MoleculeAdaptSettings,
    ReferenceSettings,
    shows,
)
from wavefoundry.api_tickets import Collapse, Tickets, collapse, compact, explain, isolate
from wavefoundry.artifacts.spec_adapt import APART, AdaptTable, BaselinesTable, one_for_each
from wavefoundry.artifacts.spec_errors import checked
from wavefoundry.artifacts.spec_molecules import MoleculesAdaptTable
from wavefoundry.artifacts.spec_reference import ReferenceTable, reference_problems
from wavefoundry.artifacts.spec_tables import EvaluateTable, PretrainTable, grid
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import table_of
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.programs import keep_programs
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.reports import cards
from wavefoundry.reports.shown import Card, Shown
from wavefoundry.studies import run_study
from wavefoundry.studies.diagram import study as diagram_study
from wavefoundry.studies.diagram.adapting import Adapted
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.choice import nearest
from wavefoundry.studies.diagram.mapper import Mapper, tunable
from wavefoundry.studies.diagram.overlapping import Overlapped
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.referencing import Referenced, References, check_file
from wavefoundry.studies.diagram.sectors import adapted, sector_of
from wavefoundry.studies.diagram.several import Bases, Given
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.diagram.states_kept import state_at, states_of
from wavefoundry.studies.execute import execute
from wavefoundry.studies.progress import Context

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = [
    "Collapse",
    "Diagram",
    "MoleculeMap",
    "MoleculeModel",
    "MoleculeTickets",
    "Pretrained",
    "Tickets",
    "collapse",
    "compact",
    "explain",
    "isolate",
    "load",
    "map",
    "measured_base",
    "molecules",
    "pretrain",
    "prune",
    "run_study",
]


@dataclasses.dataclass(frozen=True, repr=False)
class Diagram(Shown):
    """A phase diagram: one record per point, see docs/results.md, and how to look at it."""

    summary: dict[str, Any]
    log: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    states: Sequence[LatticeState | None] = ()

    def _card(self) -> Card:
        return cards.diagram(self.summary)

    def state(self, **couplings: float) -> LatticeState:
        """The state of one point, for its amplitudes, samples and expectation values.

        Args:
            couplings: of the point; those that no point differs in may be left out.

        Raises:
            InputError: no such point, several of them, or one without a usable number.
        """
        return state_at(self.points, self.states, couplings)

    @property
    def points(self) -> list[dict[str, Any]]:
        """Records of the points in the order they were asked for."""
        return self.summary["points"]

    @property
    def transition(self) -> dict[str, Any] | None:
        """Where the transition is: coupling, value, error and method; None where nothing says so.

        ``summary["transitions"]`` has all methods with their curves, and why those that claim nothing do not.
        """
        return self.summary["transition"]

    @property
    def cost(self) -> dict[str, Any]:
        """CPU and wall seconds of the whole adaptation."""
        return self.summary["adapt_cost"]

    def to_pandas(self) -> pandas.DataFrame:
        """One row per point; nested fields become dotted columns, couplings keep their names."""
        import pandas

        from wavefoundry.reports.tables import flatten

        frame = pandas.DataFrame([flatten(point) for point in self.points])
        return frame.rename(columns=lambda name: name.removeprefix("couplings."))

    def to_xarray(self) -> Any:
        """Everything as an ``xarray.Dataset``: couplings that form a grid are its dimensions, else ``point`` is one.

        Raises:
            InputError: xarray is not installed (extra ``arviz``).
        """
        from wavefoundry.reports.exported import dataset

        return dataset(self.to_pandas(), list(self.points[0]["couplings"]), "point")

    def plot(self) -> Figure:
        """Energy per site with exact values, relative errors and V-scores against the couplings."""
        from wavefoundry.reports.figures import diagram_figure
        from wavefoundry.reports.view import parsed

        return diagram_figure(parsed(self.summary))

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained report."""
        from wavefoundry.reports.html import write

        return write(path, self.summary, self.log)


@overload
def map(
    base: Pretrained | Sequence[Pretrained],
    points: Mapping[str, float | Sequence[float] | np.ndarray],
    method: str | None = None,
    *,
    evaluate: EvaluateSettings | Mapping[str, Any] | None = None,
    reference: ReferenceSettings | Mapping[str, Any] | None = None,
    baselines: Sequence[str] | BaselinesSettings | None = None,
    progress: bool = False,
    **settings: Unpack[AdaptSettings],
) -> Diagram: ...
@overload
def map(
    base: MoleculeModel,
    points: Sequence[Molecule] | Molecule,
    method: str | None = None,
    *,
    evaluate: Mapping[str, Any] | None = None,
    reference: Mapping[str, Any] | None = None,
    progress: bool = False,
    **settings: Unpack[MoleculeAdaptSettings],
) -> MoleculeMap: ...
@shows(AdaptTable, MoleculesAdaptTable, settings=(AdaptSettings, MoleculeAdaptSettings))
def map(  # noqa: A001 - wf.map is the name users know this step by
    base: Any,
    points: Any,
    method: str | None = None,
    *,
    evaluate: Mapping[str, Any] | None = None,
    reference: Mapping[str, Any] | None = None,
    baselines: Sequence[str] | Mapping[str, Any] | None = None,
    progress: bool = False,
    **settings: Any,
) -> Diagram | MoleculeMap:
    """Adapt a pre-trained wavefunction to other couplings, or a model of molecules to other molecules.

    Args:
        base: from ``pretrain`` or ``load``; of lattices also several, of which every point takes the one that gives the
            lower energy.
        points: values of one or several couplings, several make a grid; or molecules.
        method: "head" (on pools, the default for couplings), "full" (all weights), "auto" (as much of it as
            ``target`` asks for) or "zero-shot" (the default for molecules).
        evaluate: ``samples``, ``chains``, ``observables``, ``exact``, as in the ``[evaluate]`` table.
        reference: of couplings: ``method``, ``bond_dimension``, ``file``, ... as in the ``[reference]`` table.
        baselines: rivals at the same couplings, a list of kinds or ``kinds``, ``seeds``, ``deep`` as in the
            ``[baselines]`` table; see ``Diagram.summary["baselines"]``.
        progress: show progress lines.
        settings: ``steps``, ``samples``, ``rounds``, ``tolerance``, ... as in the ``[adapt]`` table. Where all weights
            are trained also ``optimiser`` (any of Optax), ``preconditioner``, ``sampler``, as for ``wf.pretrain``.

    Returns:
        ``Diagram``, or ``MoleculeMap``.

    Raises:
        InputError: unknown coupling or setting.
    """
    if isinstance(base, MoleculeModel):
        for name in ("baselines",) if baselines is not None else ():
            raise InputError(f"molecules have no {name}", where=f"wf.map: {name}", fix="scratch=True")
        chosen = "zero-shot" if method is None else method
        return api_molecules.map_molecules(
            base, points, chosen, evaluate=evaluate, reference=reference, progress=progress, **settings
        )
    values = values_of(points)
    bases = several(base, Pretrained, values)
    how, settings = optimisation_of(settings, "wf.map")
    fields = {"method": "head" if method is None else method, "points": values, **settings}
    table = checked(AdaptTable, "wf.map", fields)
    check_adapting(table, "wf.map")
    if (why := one_for_each(table.sector, len(bases))) is not None:
        raise InputError("there must be a sector for every base", where="wf.map: sector", why=why)
    if how and table.method not in ("full", "auto"):
        why = f"method {table.method} does not train all weights"
        raise InputError(f"{next(iter(how))} has nothing to do", where="wf.map", why=why, fix='method="full"')
    given = table_of(evaluate, "wf.map: evaluate", 'evaluate={"samples": 4096}')
    judged = checked(EvaluateTable, "wf.map: evaluate", given)
    check_not_empty(bases[0].system, grid(table.points), "wf.map: points")
    if unable := next((one for one in bases if table.method == "head" and not tunable(one.wavefunction)), None):
        name = "network that came from NetKet" if unable.model is None else type(unable.model).__name__
        raise InputError(
            f"the head of a {name} has no weights to tune",
            where="wf.map: method",
            why="its log psi is the sum of all features",
            fix='method="full", or a transformer: wf.models.vit()',
        )
    rivals = None if baselines is None else api_rivals.table_for(baselines, bases[0], grid(table.points))
    keep_programs()
    references = _references([one.system for one in bases], grid(table.points), reference, judged)
    return _mapped(bases, _Asked(table, judged, rivals, how), references, progress)


class _Asked(NamedTuple):
    """What a map is to do; how: what stands in place of the natural gradient."""

    adapt: AdaptTable
    evaluate: EvaluateTable
    rivals: BaselinesTable | None
    how: Mapping[str, Any]


def _mapped(bases: list[Pretrained], asked: _Asked, references: References, progress: bool) -> Diagram:
    """Do it: the points, their overlaps, rivals; then the summary."""
    table, judged, points = asked.adapt, asked.evaluate, grid(asked.adapt.points)
    log: list[dict[str, Any]] = []
    with viewed(progress) as emit:
        context = Context(lambda event: (log.append(event), emit(event))[0])
        near = nearest(points, [one.system.values for one in bases])
        starts = [_started(one, asked, references, k, (points, near[k])) for k, one in enumerate(bases)]
        plan = Bases([Given(*one) for one in starts], points)
        single = starts[0][0] if len(bases) == 1 else plan
        overlapped = Overlapped(single, lambda done: single, points, judged)
        done = execute(Referenced(overlapped, references), context)
        held: dict[str, Any] = {}
        if asked.rivals is not None:
            mine, tables = (single.records(done), single.cost(done)), (table, judged, asked.rivals)
            held = {"baselines": api_rivals.comparison(bases[0], build, tables, mine, context, references, asked.how)}
    used = {"adapt": table, "evaluate": judged, "reference": references.table}
    settings = {name: one.model_dump(mode="json", exclude_none=True) for name, one in used.items()}
    first, *others = [record for _, record in starts]
    cost = single.cost(done)
    summary = diagram_study.summary_of(starts[0][0].mapper.base, first, single.records(done), cost, settings, others)
    ours = cost.cpu_seconds + sum(one.cost.get("cpu_seconds", 0.0) for one in bases)
    summary["references"] = references.summary(done, ours)
    if others:
        summary |= {"bases": [first, *others], "crossings": plan.crossings(done)}
    summary = overlapped.completed(summary, done) | held
    return Diagram(summary, log, states_of(single.bases(done), summary["points"], single.states(done)))


def _started(
    base: Pretrained,
    asked: _Asked,
    references: References,
    number: int,
    grid_of: tuple[list[dict[str, float]], list[int]],
) -> tuple[Adapted, dict[str, Any]]:
    """The points of one of several bases, in the sectors it is projected on, and its record.

    ``grid_of``: the points, and the numbers of those nearest to this base.
    """
    points, near = grid_of
    table, record, chosen = asked.adapt.of_base(number), base.record, None
    if table.symmetry != "none":
        chosen = sector_of(base.base, table, points, near)
        record = record | {"symmetry": chosen}
    found = adapted(
        base.base,
        points,
        table,
        lambda state: _mapper(state, base.settings, asked, references, number),
        chosen=chosen,
    )
    return found, record


def _mapper(base: Base, settings: PretrainTable, asked: _Asked, references: References, number: int) -> Mapper:
    """Adapts one of several bases; each has random numbers of its own."""
    chunk = chunk_size(base.wavefunction, base.system, 512)
    table = settings.model_copy(update={"seed": (settings.seed + APART * number) % 2**32})
    adapt = asked.adapt.of_base(number)
    return diagram_study.make_mapper(base, adapt, asked.evaluate, table, chunk, references, how=asked.how)


def _references(
    systems: list[LatticeSystem],
    points: list[dict[str, float]],
    reference: Mapping[str, Any] | None,
    judged: EvaluateTable,
) -> References:
    """What the energies of a map are held against, its settings checked as those of a study file are."""
    given = table_of(reference, "wf.map: reference", 'reference={"method": "dmrg"}')
    table = checked(ReferenceTable, "wf.map: reference", given)
    for problem in reference_problems(table, judged):
        raise InputError(problem.what, where=f"wf.map: {'.'.join(problem.path)}", why=problem.why, fix=problem.fix)
    check_file(table, systems[0], points, judged.observables)
    return References(table, systems, points, judged.exact == "auto", judged.observables)
