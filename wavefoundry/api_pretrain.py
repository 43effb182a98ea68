"""The Python interface to pre-training: train a network, keep it, read it again."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Unpack, overload

import jax
import jax.numpy as jnp

from wavefoundry import api_molecules
from wavefoundry.api_checks import (
    check_fits,
    check_molecules,
    check_network,
    check_not_empty,
    check_system,
    optimisation_of,
    points_at,
)
from wavefoundry.api_molecules import MoleculeModel
from wavefoundry.api_settings import PretrainSettings, TrainSettings, shows
from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.artifacts.spec_errors import checked
from wavefoundry.artifacts.spec_molecules import MoleculesTrainTable
from wavefoundry.artifacts.spec_tables import EvaluateTable, PretrainTable
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import path_of, plain_of
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.programs import keep_programs
from wavefoundry.core.types import Wavefunction
from wavefoundry.models import ElectronsSpec, SymmetricSpec, ViTSpec
from wavefoundry.problems.gauge import with_rule
from wavefoundry.problems.spins import LatticeSystem, sign_free
from wavefoundry.reports import cards
from wavefoundry.reports.shown import Card, Shown
from wavefoundry.studies.diagram import study as diagram_study
from wavefoundry.studies.diagram.base import Base, together
from wavefoundry.studies.diagram.mapper import tunable
from wavefoundry.studies.diagram.networks import build_network, empty_network, fitted
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.progress import Context, Progress


class LatticeNetwork(Protocol):
    """What describes a network for lattices: those of ``wf.models``, and any object with this method."""

    def build(self, *args: Any, **settings: Any) -> Wavefunction:
        """``build(key, extent, *, sign_free, couplings=())``: with random weights, see ``ViTSpec.build``."""
        ...


@dataclasses.dataclass(frozen=True, repr=False)
class Pretrained(Shown):
    """A pre-trained wavefunction: the start of every adaptation.

    ``record`` has the same fields as a point of a diagram: energy, error bar, V-score, exact energy, ...
    """

    base: Base
    model: Any
    settings: PretrainTable
    record: dict[str, Any]

    def _card(self) -> Card:
        return cards.state(self.record, f"Pretrained: {self.system}, {tree.count(self.wavefunction)} weights")

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
        """Write weights, walkers and description into a folder (safetensors and JSON, checksummed).

        Raises:
            InputError: there is something else at ``path``.
        """
        from wavefoundry.artifacts.bundles import save_bundle

        meta = diagram_study.base_meta(self.model, self.settings, self.record)
        meta |= {"extent": list(self.system.extent), "hamiltonian": self.system.fingerprint}
        return save_bundle(path, diagram_study.base_arrays(self.base), meta)


@overload
def load(path: str | Path, system: LatticeSystem) -> Pretrained: ...
@overload
def load(path: str | Path) -> MoleculeModel: ...
def load(path: str | Path, system: LatticeSystem | None = None) -> Pretrained | MoleculeModel:
    """Read what ``save`` of a pre-trained model wrote, or the pre-trained state of a finished run.

    Args:
        path: the folder, a run directory, or ``zoo:NAME`` (``wavefoundry models list``).
        system: of lattices, the family of Hamiltonians it belongs to. Runs and named models have it in their study; of
            others it is needed (operators are code and are not stored).

    Returns:
        ``Pretrained``, or ``MoleculeModel`` where the folder holds a model of molecules.

    Raises:
        InputError: nothing to load there, or a system of another size or Hamiltonian. IntegrityError: damaged.
    """
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.artifacts.results import kind_of, model_folder, read_model, study_of

    folder = model_folder(path_of(path, "wf.load"))
    arrays, meta = read_model(folder, "wf.load", "lattice", "molecules")
    if kind_of(meta) == "molecules":
        return api_molecules.load(folder)
    known, told = None, meta.get("hamiltonian")
    if (study := study_of(folder)) is not None:
        # what the run started from need not be there any more
        spec = study_file.loads(study.read_text(encoding="utf-8"), source=str(study))
        known = diagram_study.build_system(spec.of_bases()[0]).system
        if told is not None and known.fingerprint != told:
            known = None  # the study beside it is of something else
        system = known if system is None else system
    if system is None:
        fix = "wf.load(path, system)"
        raise InputError("a model of a lattice needs its system", where="wf.load: system", why="it is code", fix=fix)
    check_system(system, "wf.load: system")
    model, settings = diagram_study.model_of(meta), PretrainTable(**meta["settings"])
    told = known.fingerprint if told is None and known is not None else told
    check_fits(arrays, meta["record"]["couplings"], meta.get("extent"), system, told)
    system = system.at(**meta["record"]["couplings"])
    if "sign_rule" in arrays:
        system = dataclasses.replace(system, sublattice=jnp.asarray(arrays["sign_rule"], bool))
    empty = build(model, system, settings, empty_network)
    wavefunction = tree.from_arrays(empty, arrays, "wavefunction")
    rest = Convergence.of(meta["record"].get("convergence"))
    base = Base(system, wavefunction, jnp.asarray(arrays["walkers"]), rest)
    return Pretrained(base, model, settings, meta["record"])


def build(
    model: Any, system: LatticeSystem, settings: PretrainTable, how: Callable[..., Wavefunction] = build_network
) -> Wavefunction:
    """The network of a description with the first weights of a pre-training, or empty (``how``)."""
    key = jax.random.fold_in(jax.random.key(settings.seed), 0)
    varied = tuple(system.names.index(name) for name in settings.at)
    return how(model, key, system, sign_free(system), varied)


@overload
def pretrain(
    system: LatticeSystem,
    model: LatticeNetwork | SymmetricSpec | None = None,
    *,
    at: Sequence[Mapping[str, float]] | None = None,
    progress: bool = False,
    **settings: Unpack[PretrainSettings],
) -> Pretrained: ...
@overload
def pretrain(
    system: Sequence[Molecule] | Molecule,
    model: ElectronsSpec | None = None,
    *,
    progress: bool = False,
    **settings: Unpack[TrainSettings],
) -> MoleculeModel: ...
@shows(PretrainTable, MoleculesTrainTable, settings=(PretrainSettings, TrainSettings))
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
            ``[train]`` table. Of lattices also ``optimiser``, any of Optax, ``preconditioner`` and ``sampler``, see
            ``api_settings.Optimisation``; the natural gradient is the default.

    Returns:
        ``Pretrained``, or ``MoleculeModel``.

    Raises:
        InputError: a setting is unknown or out of bounds.
    """
    if not isinstance(system, LatticeSystem):
        check_molecules(system)
        return api_molecules.pretrain(system, model, progress=progress, **settings)
    model = ViTSpec() if model is None else model
    check_network(model, system, "wf.pretrain: model")
    for name, fix in (("warm_start", "use wf.load and wf.map"), ("together", "wf.map([base, other], points)")):
        if name in settings:
            raise InputError(f"{name} belongs to study files", where="wf.pretrain", fix=fix)
    points = points_at(at)
    check_not_empty(system, points, "wf.pretrain")
    how, settings = optimisation_of(settings, "wf.pretrain")
    if plain_of(settings.get("steps")) == 0:
        raise InputError("no steps from random weights", where="wf.pretrain: steps", fix="wf.load(path, system)")
    keep_programs()
    table = checked(PretrainTable, "wf.pretrain", {"at": points[0] or system.values, **settings})
    table = table.model_copy(update={"at": {name: [p[name] for p in points] for name in points[0]}})
    rule = with_rule(system.at(**points[0]))
    model, note, harmful = fitted(model, rule.system, sign_free(rule.system))
    if harmful:
        warnings.warn(str(note), stacklevel=2)
    with viewed(progress) as emit:
        doing = Progress(Context(emit))
        doing.say("pretrain", rule.words())
        if note:
            doing.warn(note)
        return _trained(model, rule.system, points, table, how, doing)


def _trained(
    model: Any,
    system: LatticeSystem,
    points: list[dict[str, float]],
    table: PretrainTable,
    how: Mapping[str, Any],
    doing: Progress,
) -> Pretrained:
    """Optimise and measure; how: what stands in place of the natural gradient."""
    wavefunction = build(model, system, table)
    chunk = chunk_size(wavefunction, system, 512)
    training = diagram_study.training_of(table, system.extent, chunk, 10**9)
    training = dataclasses.replace(training, options=training.options._replace(**how))
    base = diagram_study.pretrain(wavefunction, system, points, training, table, doing)
    record = measured_base(base, table, chunk) | {"cost": doing.cost().to_dict(), "steps": table.steps}
    record |= together(points)
    return Pretrained(base, model, table, record)


def measured_base(base: Base, table: PretrainTable, chunk: int) -> dict[str, Any]:
    """Record of a pre-trained state; one whose head cannot be tuned is measured as zero-shot points are."""
    adapt = AdaptTable(points={}, method="head" if tunable(base.wavefunction) else "zero-shot")
    return diagram_study.make_mapper(base, adapt, EvaluateTable(), table, chunk).measure_base()


def viewed(progress: bool) -> Any:
    """Progress lines, where they are wanted."""
    from wavefoundry.reports.live import view

    return view(quiet=not progress, json=False)
