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

from wavefoundry import api_molecules
from wavefoundry.api_checks import (
    check_fits,
    check_molecules,
    check_not_empty,
    check_system,
    checked,
    points_at,
    values_of,
)
from wavefoundry.api_molecules import MoleculeMap, MoleculeModel, molecules
from wavefoundry.api_tickets import Collapse, Tickets, collapse, compact, explain, isolate, prune
from wavefoundry.artifacts.spec_tables import AdaptTable, EvaluateTable, PretrainTable, grid
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, path_of, table_of
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.programs import keep_programs
from wavefoundry.core.types import Wavefunction
from wavefoundry.models import ElectronsSpec, ViTSpec
from wavefoundry.problems.gauge import with_rule
from wavefoundry.problems.spins import LatticeSystem, sign_free
from wavefoundry.studies import run_study
from wavefoundry.studies.diagram import study as diagram_study
from wavefoundry.studies.diagram.adapting import adaptation
from wavefoundry.studies.diagram.findings import Diagrammed, find_transition
from wavefoundry.studies.diagram.mapper import Base
from wavefoundry.studies.diagram.networks import fitted
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.diagram.states_kept import state_at, states_of
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
    return model.build(key, system.extent, sign_free=sign_free(system), couplings=varied)


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
    if not hasattr(model, "build") or isinstance(model, ElectronsSpec):
        fix = "wf.models.vit(), for example"
        raise InputError(f"{type(model).__name__} is no network for a lattice", where="wf.pretrain: model", fix=fix)
    if "warm_start" in settings:
        raise InputError("warm_start belongs to study files", where="wf.pretrain", fix="use wf.load and wf.map")
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
    base: Pretrained,
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
    progress: bool = False,
    **settings: Any,
) -> Diagram | MoleculeMap:
    """Adapt a pre-trained wavefunction to other couplings, or a model of molecules to other molecules.

    Args:
        base: from ``pretrain`` or ``load``.
        points: values of one or several couplings, several make a grid; or molecules.
        method: "head" (on pools, the default for couplings), "full" (all weights) or "zero-shot" (the default for
            molecules).
        evaluate: ``samples``, ``chains``, ``observables``, ``exact``, as in the ``[evaluate]`` table.
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
    fix = "wf.pretrain(system), or wf.load(path, system)"
    expect(base, Pretrained, "pre-trained model", where="wf.map: base", fix=fix)
    method = method or "head"
    values = values_of(points)
    table = checked(AdaptTable, "wf.map", {"method": method, "points": values, **settings})
    given = table_of(evaluate, "wf.map: evaluate", 'evaluate={"samples": 4096}')
    judged = checked(EvaluateTable, "wf.map: evaluate", given)
    check_not_empty(base.system, grid(table.points), "wf.map: points")
    if method == "head" and not _tunable(base.wavefunction):
        raise InputError(
            f"the head of a {type(base.model).__name__} has no weights to tune",
            where="wf.map: method",
            why="its log psi is the sum of all features",
            fix='method="full", or a transformer: wf.models.vit()',
        )
    keep_programs()
    chunk = chunk_size(base.wavefunction, base.system, 512)
    mapper = diagram_study.make_mapper(base.base, table, judged, base.settings, chunk)
    log: list[dict[str, Any]] = []
    with _view(progress) as emit:
        adapted = adaptation(mapper, grid(table.points))
        done = execute(adapted, Context(lambda event: (log.append(event), emit(event))[0]))
    settings_used = {"adapt": table.model_dump(mode="json"), "evaluate": judged.model_dump(mode="json")}
    summary = diagram_study.summary_of(base.base, base.record, adapted.records(done), adapted.cost(done), settings_used)
    states = states_of(base.base, summary["points"], adapted.states(done))
    summary |= find_transition(Diagrammed(adapted.records(done), states), base.record, Progress()).record
    return Diagram(summary, log, states)
