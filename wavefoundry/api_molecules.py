"""The Python interface to molecules: name them, train one model for many, get energies of others."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Unpack

import jax

from wavefoundry.api_electrons import MoleculeState
from wavefoundry.api_given import Source, named_molecules, rows_of, spec_of
from wavefoundry.api_settings import MoleculeAdaptSettings, MoleculeSettings, TrainSettings, shows
from wavefoundry.artifacts.spec_geometry import MoleculeTable, Named
from wavefoundry.artifacts.spec_molecules import MoleculesSpec
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, table_of
from wavefoundry.core.molecule import Molecule
from wavefoundry.models import ElectronsSpec
from wavefoundry.reports import cards
from wavefoundry.reports.molecules_lines import weights_of
from wavefoundry.reports.shown import Card, Shown
from wavefoundry.studies.execute import execute
from wavefoundry.studies.molecules import stored
from wavefoundry.studies.molecules.study import MoleculesStudy, check
from wavefoundry.studies.molecules.tasks import BASE
from wavefoundry.studies.molecules.training import prepare
from wavefoundry.studies.molecules.verdict import Rest
from wavefoundry.studies.progress import Context, Progress

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

UNITS = {"Ha": 1.0, "eV": 27.211386246, "kcal/mol": 627.5094740631}
"""Of energies, in one Hartree. Source: CODATA 2018, thermochemical calorie."""


@shows(MoleculeTable, settings=(MoleculeSettings,))
def molecules(
    *sources: Source, unit: Literal["bohr", "angstrom"] = "bohr", **settings: Unpack[MoleculeSettings]
) -> list[Molecule]:
    """Molecules by any of the ways a study file knows.

    Args:
        sources: atoms (``"Li 0 0 0; H 0 0 3.015"``), compounds (``"H2O"``), paths of XYZ files (``"more/*.xyz"``),
            molecules, tables as in a study file (``{"chain": 4, "spacing": 1.8}``), ``ase.Atoms`` or
            ``pyscf.gto.Mole``; lists of these.
        unit: of positions and lengths; XYZ files and ASE are in Angstrom, molecules of PySCF know their unit.
        settings: keys for all sources: ``scan``, ``charge``, ``spin``, ``distort``, ``seed``, ... Without a source they
            name the molecules themselves: ``wf.molecules(chain=4, spacing=[1.6, 1.8])``.

    Returns:
        One or more molecules, with names that occur once.

    Raises:
        InputError: a source cannot be read, or stands for an impossible molecule.
    """
    found = named_molecules(sources, unit, settings)
    if any(named.reference is not None for named in found):
        fix = 'wf.map(model, {"atoms": "H 0 0 0; H 0 0 1.4", "reference": -1.1744})'
        raise InputError("a molecule holds no reference", where="wf.molecules: reference", why="an entry does", fix=fix)
    return [named.molecule for named in found]


@dataclasses.dataclass(frozen=True, repr=False)
class MoleculeModel(Shown):
    """A model trained on some molecules: the start of every transfer."""

    wavefunction: Any
    spec: MoleculesSpec
    cost: dict[str, Any] | None = None
    rest: dict[str, Rest] = dataclasses.field(default_factory=dict)
    """Whether its training had come to rest, by molecule; empty: not known."""

    def _card(self) -> Card:
        names = list(dict.fromkeys([*(molecule.name for molecule in self.trained_on), *self.rest]))
        shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        seconds = (self.cost or {}).get("cpu_seconds")
        facts = [("trained on", shown), ("cost", "" if seconds is None else f"{seconds:.0f} CPU seconds")]
        return Card(f"MoleculeModel of {len(names)} molecules, {self.parameters} weights", facts)

    @property
    def trained_on(self) -> list[Molecule]:
        """Molecules of the training."""
        return [named.molecule for named in self.spec.training()]

    def state(self, molecule: Source) -> MoleculeState:
        """The model's wavefunction of one molecule as it is: samples of electrons, amplitudes.

        Args:
            molecule: from ``wf.molecules``, or what that takes (atoms as text in bohr, ``ase.Atoms``, ...).

        Raises:
            InputError: no molecule, or one without a Hartree-Fock solution.
        """
        found = [molecule] if isinstance(molecule, Molecule) else molecules(molecule)
        if len(found) != 1:
            why, fix = f"these are {len(found)}", 'model.state("Li 0 0 0; H 0 0 3.015")'
            raise InputError("a state is that of one molecule", where="state", why=why, fix=fix)
        (prepared,) = prepare([Named(found[0])], self.spec.train)
        return MoleculeState(self.wavefunction, found[0], prepared)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return tree.count(self.wavefunction)

    def save(self, path: str | Path) -> Path:
        """Write weights and description into a folder (safetensors and JSON, checksummed).

        Raises:
            InputError: there is something else at ``path``.
        """
        from wavefoundry.artifacts.bundles import save_bundle

        rest = self.rest or stored.untold(self.spec.training())
        return save_bundle(path, *stored.contents(self.wavefunction, self.spec, rest))


def load(path: str | Path) -> MoleculeModel:
    """Read what ``MoleculeModel.save`` wrote, or the model of a finished run.

    Raises:
        InputError: nothing to load there. IntegrityError: damaged.
    """
    from wavefoundry.artifacts import spec as study_file
    from wavefoundry.artifacts.results import read_model

    folder = stored.base_folder(path)
    _, meta = read_model(folder, "wf.load", "molecules")
    frame = stored.stored_frame(meta)
    tables = meta["spec"] | {"train": meta["spec"]["train"] | {"frame": frame}}
    spec = study_file.from_dict(tables, source=str(folder))
    empty = stored.describe(spec).build(jax.random.key(0))
    return MoleculeModel(stored.stored_weights(empty, folder, frame), spec, rest=stored.stored_rest(folder))


def pretrain(
    systems: Sequence[Molecule] | Molecule,
    model: ElectronsSpec | None = None,
    *,
    progress: bool = False,
    **settings: Unpack[TrainSettings],
) -> MoleculeModel:
    """Train one model on all molecules together: Hartree-Fock orbitals first, then natural gradient.

    Args:
        systems: molecules, from ``wf.molecules``.
        model: network description, default ``wf.models.electrons()``.
        progress: show progress lines.
        settings: keys of the ``[train]`` table: ``steps``, ``hf_steps``, ``walkers``, ``learning_rate``, ``seed``, ...

    Raises:
        InputError: a setting is unknown or out of bounds, or a molecule has no Hartree-Fock solution.
    """
    rows = rows_of(systems, "wf.pretrain")
    kinds = (ElectronsSpec, type(None))
    expect(model, kinds, "network for molecules", where="wf.pretrain: model", fix="wf.models.electrons()")
    spec = spec_of({"train": {"molecules": rows, **settings}}, model or ElectronsSpec(), "wf.pretrain")
    check(spec)
    with _view(progress) as emit:
        context = Context(emit)
        study, work = MoleculesStudy(spec, context), Progress(context, BASE)
        done = {BASE: study.perform(BASE, {}, work)}
    return MoleculeModel(study.model(BASE, done), spec, work.cost().to_dict(), study.rest(BASE, done))


def map_molecules(
    base: MoleculeModel,
    systems: Sequence[Molecule] | Molecule,
    method: str = "zero-shot",
    *,
    evaluate: Mapping[str, Any] | None = None,
    reference: Mapping[str, Any] | None = None,
    progress: bool = False,
    **settings: Unpack[MoleculeAdaptSettings],
) -> MoleculeMap:
    """Energies of other molecules from a trained model.

    Args:
        base: from ``wf.pretrain`` or ``wf.load``.
        systems: molecules, from ``wf.molecules``, or what it takes (positions in bohr).
        method: "zero-shot", or "full" with ``steps``.
        evaluate: keys of the ``[evaluate]`` table. reference: of the ``[reference]`` table.
        progress: show progress lines.
        settings: keys of the ``[adapt]`` table: ``steps``, ``together``, ``scratch``, ...

    Raises:
        InputError: a setting is unknown or out of bounds.
    """
    spec = spec_of_map(base, systems, method, evaluate=evaluate, reference=reference, **settings)
    check(spec, base.wavefunction)
    log: list[dict[str, Any]] = []
    with _view(progress) as emit:
        context = Context(lambda event: (log.append(event), emit(event))[0])
        study = MoleculesStudy(spec, context, base.wavefunction, base.rest)
        done = execute(study, context)
    models = {}
    for named, tuning in study.tunings():
        models[named.molecule.name] = MoleculeModel(
            study.model(tuning, done), spec, rest=base.rest | study.rest(tuning, done)
        )
    return MoleculeMap(study.summary(done, context), log, models, base)


def spec_of_map(
    base: MoleculeModel,
    systems: Sequence[Molecule] | Molecule,
    method: str,
    *,
    evaluate: Mapping[str, Any] | None,
    reference: Mapping[str, Any] | None,
    where: str = "wf.map",
    **settings: Any,
) -> MoleculesSpec:
    """The study behind ``map_molecules``, checked; arguments and errors as there."""
    table = base.spec.wavefunction
    tables = {
        "train": base.spec.train.model_dump(exclude_none=True),
        "adapt": {"method": method, "molecules": rows_of(systems, where), **settings},
        "evaluate": {"trained": False, **table_of(evaluate, f"{where}: evaluate", 'evaluate={"samples": 4096}')},
        "reference": table_of(reference, f"{where}: reference", 'reference={"method": "auto"}'),
    }
    return spec_of(tables, ElectronsSpec(table.preset, table.precision, tuple(table.options().items())), where)


def _view(progress: bool) -> Any:
    from wavefoundry.reports.live import view

    return view(quiet=not progress, json=False)


@dataclasses.dataclass(frozen=True, repr=False)
class MoleculeMap(Shown):
    """Energies of molecules: one record each, see docs/results.md, and how to look at them.

    ``models``: of method "full", the tuned model of every molecule by its name, to save or to start from again.
    ``base``: what all of them started from.
    """

    summary: dict[str, Any]
    log: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    models: dict[str, MoleculeModel] = dataclasses.field(default_factory=dict)
    base: MoleculeModel | None = None

    def _card(self) -> Card:
        return cards.molecules(self.summary)

    @property
    def molecules(self) -> list[dict[str, Any]]:
        """Records in the order the molecules were given."""
        return self.summary["molecules"]

    @property
    def transfer(self) -> list[dict[str, Any]]:
        """Steps from the model and from scratch."""
        return self.summary["transfer"]

    @property
    def cost(self) -> dict[str, Any]:
        """CPU and wall seconds."""
        return self.summary["cost"]

    def to_pandas(self) -> pandas.DataFrame:
        """One row per molecule; nested fields become dotted columns, long lists are left out."""
        import pandas

        from wavefoundry.reports.molecules_lines import numbers
        from wavefoundry.reports.tables import flatten

        return pandas.DataFrame([flatten(numbers(record)) for record in self.molecules])

    def to_qcschema(self) -> list[dict[str, Any]]:
        """Every energy as QCSchema (MolSSI, version 1), in Hartree and bohr: ``AtomicResult`` of QCElemental reads it.

        A refused energy is a ``FailedOperation`` with its reasons; error bar and verdict stand in ``extras``.
        """
        from wavefoundry._version import __version__
        from wavefoundry.reports.exported import qcschema

        return [qcschema(record, __version__) for record in self.molecules]

    def energies(self, unit: Literal["Ha", "eV", "kcal/mol"] = "Ha", *, relative: bool = False) -> pandas.DataFrame:
        """Energies and their errors in other units, beside the reference and the verdict; one row per molecule.

        Args:
            unit: of all energies. relative: to the lowest energy of the same formula by the same method, errors
                combined; what a model was trained on and what it was not count as one method.

        Raises:
            InputError: an unknown unit.
        """
        import pandas

        if unit not in UNITS:
            raise InputError(f"unknown unit {unit!r}", where="energies: unit", fix=f"one of {', '.join(UNITS)}")
        rows, lowest = [], _lowest(self.molecules) if relative else {}
        for record in self.molecules:
            zero = lowest.get((record["formula"], weights_of(record["method"])))
            known = (record["reference"] or {}).get("value")
            start = None if zero is None else (zero["reference"] or {}).get("value")
            value, error = record["energy"], record["energy_error"]
            if relative and zero is None:
                value = error = known = None
            elif zero is not None and value is not None:
                error = 0.0 if record is zero else math.hypot(error, zero["energy_error"])
                value = value - zero["energy"]
                known = None if known is None or start is None else known - start
            scaled = [None if number is None else number * UNITS[unit] for number in (value, error, known)]
            rows.append([record["name"], record["method"], *scaled, record["verdict"]])
        heads = ["name", "method", f"energy ({unit})", f"error ({unit})", f"reference ({unit})", "verdict"]
        return pandas.DataFrame(rows, columns=heads)

    def plot(self) -> Figure:
        """Potential curves where lengths vary, else errors against the reference."""
        from wavefoundry.core.records import MoleculesSummary, typed
        from wavefoundry.reports.molecules_figures import main_figure

        figure = main_figure(typed(MoleculesSummary, self.summary))
        if figure is None:
            raise InputError("nothing to draw", where="plot", why="no molecule has an energy")
        return figure

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained report."""
        from wavefoundry.reports.html import write

        return write(path, self.summary, self.log)


def finished(folder: Path, summary: dict[str, Any], log: list[dict[str, Any]]) -> MoleculeMap:
    """A finished run with its models.

    Args:
        folder: the run directory, whose sums have been checked. summary, log: what it holds.
    """
    artifacts = folder / "artifacts"
    base = load(artifacts / "base")
    names = [row["name"] for row in summary["molecules"] if row["method"] == "full"]
    together = artifacts / "tuned-together"
    places = [together if together.is_dir() else artifacts / f"tuned-{index}" for index in range(len(names))]
    models = {name: load(place) for name, place in zip(names, places, strict=True) if place.is_dir()}
    return MoleculeMap(summary, log, models, base)


def _lowest(records: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """The record of the lowest energy of every formula and method that is not refused."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for record in records:
        key = record["formula"], weights_of(record["method"])
        usable = record["energy"] is not None and record["verdict"] != "refused"
        if usable and (key not in found or record["energy"] < found[key]["energy"]):
            found[key] = record
    return found


__all__ = ["MoleculeMap", "MoleculeModel", "load", "map_molecules", "molecules", "pretrain"]
