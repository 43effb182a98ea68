"""The Python interface: pre-train, map a diagram, look at it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry import api_molecules, api_rivals
from wavefoundry.api_checks import (
    check_climbing,
    check_fits,
    check_molecules,
    check_not_empty,
    check_system,
    checked,
    points_at,
    several,
    values_of,
)
from wavefoundry.api_molecules import MoleculeMap, MoleculeModel, molecules
from wavefoundry.api_tickets import Collapse, Tickets, collapse, compact, explain, isolate, prune
from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.artifacts.spec_diagram import APART
from wavefoundry.artifacts.spec_reference import ReferenceTable, reference_problems
from wavefoundry.artifacts.spec_tables import EvaluateTable, PretrainTable, grid
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import path_of, table_of
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.programs import keep_programs
from wavefoundry.core.types import Wavefunction
from wavefoundry.models import ElectronsSpec, SymmetricSpec, ViTSpec
from wavefoundry.problems.gauge import with_rule
from wavefoundry.problems.spins import LatticeSystem, sign_free
from wavefoundry.studies import run_study
from wavefoundry.studies.diagram import study as diagram_study
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.ladder import adaptation
from wavefoundry.studies.diagram.mapper import Mapper
from wavefoundry.studies.diagram.networks import build_network, fitted
from wavefoundry.studies.diagram.overlapping import Overlapped
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.referencing import Referenced, References, check_file
from wavefoundry.studies.diagram.several import Bases, Given
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.diagram.states_kept import state_at, states_of
from wavefoundry.studies.diagram.symmetry import in_sector, sector_of
from wavefoundry.studies.execute import execute
from wavefoundry.studies.progress import Context, Progress

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

__all__ = [
    "Collapse",
    "Diagram",
    "MoleculeMap",
    "MoleculeModel",
    "Pretrained",
    "Tickets",
    "collapse",
    "compact",
    "explain",
    "isolate",
    "load",
    "map",
    "molecules",
    "pretrain",
    "prune",
    "run_study",
]


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A pre-trained wavefunction: the start of every adaptation.

    ``record`` has the same fields as a point of a diagram: energy, error bar, V-score, exact energy, ...
    """

    base: Base
    model: Any
    settings: PretrainTable
    record: dict[str, Any]

    @property
    def system(self) -> LatticeSystem:
        """The system at the pre-training couplings."""
        return self.base.system

    @property
    def wavefunction(self) -> Wavefunction:
        """The network with its weights; call it as ``wavefunction(system, spins)``."""
        return self.base.wavefunction

    @property
    def state(self) -> LatticeState:
        """The pre-trained state, for its amplitudes, samples and expectation values."""
        return LatticeState(self.base.system, self.base.wavefunction, jnp.asarray(self.base.x), self.record)

    @property
    def energy(self) -> float:
        """Total energy from fresh samples, see ``record`` for its error bar."""
        return self.record["energy"]

    @property
    def cost(self) -> dict[str, Any]:
        """CPU and wall seconds, compilations."""
        return self.record["cost"]

    def save(self, path: str | Path) -> Path:
        """Write weights, walkers and description into a folder (safetensors and JSON, checksummed)."""
        from wavefoundry.artifacts.bundles import write_bundle

        meta = diagram_study.base_meta(self.model, self.settings, self.record)
        folder = path_of(path, "save")
        write_bundle(folder, diagram_study.base_arrays(self.base), meta | {"extent": list(self.system.extent)})
        return folder


@overload
def load(path: str | Path, system: LatticeSystem) -> Pretrained: ...
@overload
def load(path: str | Path) -> MoleculeModel: ...
def load(path: str | Path, system: LatticeSystem | None = None) -> Pretrained | MoleculeModel:
    """Read what ``save`` of a pre-trained model wrote, or the pre-trained state of a finished run.

    Args:
        path: the folder, or a run directory.
        system: of lattices, the family of Hamiltonians it belongs to (operators are code and are not stored).

    Returns:
        ``Pretrained``, or ``MoleculeModel`` where the folder holds a model of molecules.

    Raises:
        InputError: nothing to load there, or a system of another size. IntegrityError: damaged.
    """
    from wavefoundry.artifacts.bundles import read_bundle
    from wavefoundry.artifacts.results import model_folder

    folder = model_folder(path_of(path, "wf.load"))
    if not folder.is_dir():
        raise InputError(f"there is no saved model at {path}", where="wf.load")
    if api_molecules.is_stored(folder):
        return api_molecules.load(folder)
    if system is None:
        fix = "wf.load(path, system)"
        raise InputError("a model of a lattice needs its system", where="wf.load: system", why="it is code", fix=fix)
    check_system(system, "wf.load: system")
    arrays, meta = read_bundle(folder)
    model, settings = diagram_study.model_of(meta), PretrainTable(**meta["settings"])
    check_fits(arrays, meta["record"]["couplings"], meta.get("extent"), system)
    system = system.at(**meta["record"]["couplings"])
    if "sign_rule" in arrays:
        system = dataclasses.replace(system, sublattice=jnp.asarray(arrays["sign_rule"], bool))
    empty = _network(model, system, settings)
    wavefunction = tree.from_arrays(empty, arrays, "wavefunction")
    rest = Convergence.of(meta["record"].get("convergence"))
    base = Base(system, wavefunction, jnp.asarray(arrays["walkers"]), rest)
    return Pretrained(base, model, settings, meta["record"])


def _network(model: Any, system: LatticeSystem, settings: PretrainTable) -> Wavefunction:
    key = jax.random.fold_in(jax.random.key(settings.seed), 0)
    varied = tuple(system.names.index(name) for name in settings.at)
    return build_network(model, key, system, sign_free(system), varied)


@overload
def pretrain(system: LatticeSystem, model: ViTSpec | None = None, **settings: Any) -> Pretrained: ...
@overload
def pretrain(
    system: Sequence[Molecule] | Molecule, model: ElectronsSpec | None = None, **settings: Any
) -> MoleculeModel: ...
def pretrain(
    system: Any,
    model: Any = None,
    *,
    at: Sequence[Mapping[str, float]] | None = None,
    progress: bool = False,
    **settings: Any,
) -> Pretrained | MoleculeModel:
    """Optimise a wavefunction at the couplings of ``system``, or for many molecules together.

    Args:
        system: from ``wavefoundry.lattice``, or molecules from ``wf.molecules``.
        model: network description, default ``models.vit()``; of molecules ``models.electrons()``.
        at: several couplings to train together (for a conditioned network); default: those of ``system``.
        progress: show progress lines.
        settings: ``steps``, ``walkers``, ``learning_rate``, ``diagonal_shift``, ``momentum``, ``sweeps``, ``solver``,
            ``sampling``, ``block``, ``seed``, as in the ``[pretrain]`` table of a study file; of molecules those of the
            ``[train]`` table.

    Returns:
        ``Pretrained``, or ``MoleculeModel``.

    Raises:
        InputError: a setting is unknown or out of bounds.
    """
    if not isinstance(system, LatticeSystem):
        check_molecules(system)
        return api_molecules.pretrain(system, model, progress=progress, **settings)
    model = model or ViTSpec()
    if not (hasattr(model, "build") or isinstance(model, SymmetricSpec)) or isinstance(model, ElectronsSpec):
        fix = "wf.models.vit(), for example"
        raise InputError(f"{type(model).__name__} is no network for a lattice", where="wf.pretrain: model", fix=fix)
    for name, fix in (("warm_start", "use wf.load and wf.map"), ("together", "wf.map([base, other], points)")):
        if name in settings:
            raise InputError(f"{name} belongs to study files", where="wf.pretrain", fix=fix)
    points = points_at(at)
    check_not_empty(system, points, "wf.pretrain")
    keep_programs()
    table = checked(PretrainTable, "wf.pretrain", {"at": points[0] or system.values, **settings})
    table = table.model_copy(update={"at": {name: [p[name] for p in points] for name in points[0]}})
    rule = with_rule(system.at(**points[0]))
    system = rule.system
    model, note, harmful = fitted(model, system, sign_free(system))
    if harmful:
        warnings.warn(str(note), stacklevel=2)
    wavefunction = _network(model, system, table)
    chunk = chunk_size(wavefunction, system, 512)
    training = diagram_study.training_of(table, system.extent, chunk, 10**9)
    with _view(progress) as emit:
        doing = Progress(Context(emit))
        doing.say("pretrain", rule.words())
        if note:
            doing.warn(note)
        base = diagram_study.pretrain(wavefunction, system, points, training, table, doing)
    record = measured_base(base, table, chunk) | {"cost": doing.cost().to_dict(), "steps": table.steps}
    return Pretrained(base, model, table, record)


def measured_base(base: Base, table: PretrainTable, chunk: int) -> dict[str, Any]:
    """Record of a pre-trained state; one whose head cannot be tuned is measured as zero-shot points are."""
    adapt = AdaptTable(points={}, method="head" if _tunable(base.wavefunction) else "zero-shot")
    return diagram_study.make_mapper(base, adapt, EvaluateTable(), table, chunk).measure_base()


def _tunable(wavefunction: Wavefunction) -> bool:
    return hasattr(wavefunction.head, "with_weights")


def _view(progress: bool) -> Any:
    from wavefoundry.reports.live import view

    return view(quiet=not progress, json=False)


@dataclasses.dataclass(frozen=True)
class Diagram:
    """A phase diagram: one record per point, see docs/results.md, and how to look at it."""

    summary: dict[str, Any]
    log: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    states: Sequence[LatticeState | None] = ()

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

    def plot(self) -> Figure:
        """Energy per site with exact values, relative errors and V-scores against the couplings."""
        from wavefoundry.reports.figures import diagram_figure

        return diagram_figure(self.summary)

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained report."""
        from wavefoundry.artifacts.files import write_atomic
        from wavefoundry.reports.html import render

        write_atomic(Path(path), render(self.summary, self.log).encode())
        return Path(path)


@overload
def map(
    base: Pretrained | Sequence[Pretrained],
    points: Mapping[str, float | Sequence[float] | np.ndarray],
    method: str | None = None,
    **settings: Any,
) -> Diagram: ...
@overload
def map(
    base: MoleculeModel, points: Sequence[Molecule] | Molecule, method: str | None = None, **settings: Any
) -> MoleculeMap: ...
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
        settings: ``steps``, ``samples``, ``rounds``, ``tolerance``, ... as in the ``[adapt]`` table.

    Returns:
        ``Diagram``, or ``MoleculeMap``.

    Raises:
        InputError: unknown coupling or setting.
    """
    if isinstance(base, MoleculeModel):
        return api_molecules.map_molecules(
            base, points, method or "zero-shot", evaluate=evaluate, progress=progress, **settings
        )
    bases = several(base, Pretrained)
    method = method or "head"
    values = values_of(points)
    table = checked(AdaptTable, "wf.map", {"method": method, "points": values, **settings})
    check_climbing(table, "wf.map")
    given = table_of(evaluate, "wf.map: evaluate", 'evaluate={"samples": 4096}')
    judged = checked(EvaluateTable, "wf.map: evaluate", given)
    check_not_empty(bases[0].system, grid(table.points), "wf.map: points")
    if unable := next((one for one in bases if method == "head" and not _tunable(one.wavefunction)), None):
        raise InputError(
            f"the head of a {type(unable.model).__name__} has no weights to tune",
            where="wf.map: method",
            why="its log psi is the sum of all features",
            fix='method="full", or a transformer: wf.models.vit()',
        )
    rivals = None if baselines is None else api_rivals.table_for(baselines, bases[0], list(table.points))
    keep_programs()
    starts = [projected_base(one, table) for one in bases]
    references = _references([one.system for one in bases], grid(table.points), reference, judged)
    log: list[dict[str, Any]] = []
    with _view(progress) as emit:
        context = Context(lambda event: (log.append(event), emit(event))[0])
        adapted = [
            adaptation(_mapper(start, one.settings, (table, judged), references, k), grid(table.points))
            for k, (one, (start, _)) in enumerate(zip(bases, starts, strict=True))
        ]
        given = [Given(one, record) for one, (_, record) in zip(adapted, starts, strict=True)]
        plan = Bases(given, grid(table.points))
        single = adapted[0] if len(bases) == 1 else plan
        overlapped = Overlapped(single, lambda done: single, grid(table.points), judged)
        done = execute(Referenced(overlapped, references), context)
        held: dict[str, Any] = {}
        if rivals is not None:
            mine, rival_tables = (single.records(done), single.cost(done)), (table, judged, rivals)
            held = {"baselines": api_rivals.comparison(bases[0], _network, rival_tables, mine, context, references)}
    tables = {"adapt": table, "evaluate": judged, "reference": references.table}
    settings_used = {name: one.model_dump(mode="json", exclude_none=True) for name, one in tables.items()}
    first, *others = [record for _, record in starts]
    cost = single.cost(done)
    summary = diagram_study.summary_of(starts[0][0], first, single.records(done), cost, settings_used, others)
    ours = cost.cpu_seconds + sum(one.cost.get("cpu_seconds", 0.0) for one in bases)
    summary["references"] = references.summary(done, ours)
    if others:
        summary |= {"bases": [first, *others], "crossings": plan.crossings(done)}
    summary = overlapped.completed(summary, done) | held
    return Diagram(summary, log, states_of([start for start, _ in starts], summary["points"], single.states(done)))


def projected_base(base: Pretrained, adapt: AdaptTable) -> tuple[Base, dict[str, Any]]:
    """What is adapted, and its record: a pre-trained state, or its projection on a sector."""
    if adapt.symmetry == "none":
        return base.base, base.record
    chosen = sector_of(base.base, adapt)
    return in_sector(base.base, chosen), base.record | {"symmetry": chosen}


def _mapper(
    base: Base, settings: PretrainTable, tables: tuple[AdaptTable, EvaluateTable], references: References, number: int
) -> Mapper:
    """Adapts one of several bases; each has random numbers of its own."""
    chunk = chunk_size(base.wavefunction, base.system, 512)
    table = settings.model_copy(update={"seed": (settings.seed + APART * number) % 2**32})
    return diagram_study.make_mapper(base, *tables, table, chunk, references)


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
