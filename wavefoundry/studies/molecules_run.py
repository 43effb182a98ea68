"""From a study file of kind "molecules" to its summary: train together, then every other molecule."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from wavefoundry.adapt.transfer import Prepared
from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import MoleculesSpec
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.meter import METER, Cost
from wavefoundry.core.molecule import unusual_lengths
from wavefoundry.core.programs import keep_programs
from wavefoundry.problems.chemistry import Chemistry, require_basis
from wavefoundry.problems.references import Reference
from wavefoundry.studies import molecules_records as records
from wavefoundry.studies.context import Context
from wavefoundry.studies.molecules import Plan, Workshop, describe, prepare, selection
from wavefoundry.studies.molecules_state import Curve, State
from wavefoundry.studies.molecules_summary import goal_of, summary_of
from wavefoundry.studies.molecules_symmetry import orientations
from wavefoundry.studies.molecules_verdict import Rest, rest_of

BASE = "base"
Known = tuple[Reference | None, Chemistry | None]


@dataclasses.dataclass
class Desk:
    """What the parts of a study share."""

    spec: MoleculesSpec
    context: Context
    state: State
    workshop: Workshop
    training: list[Named]
    targets: list[Named]
    prepared: dict[str, list[Prepared]]  # of "train" and "adapt"
    inherited: dict[str, Rest]  # of the training of a model from elsewhere; empty: not known

    def key(self, *numbers: int) -> jax.Array:
        """The random key of a part of the study."""
        key = jax.random.key(self.spec.train.seed)
        for number in numbers:
            key = jax.random.fold_in(key, number)
        return key

    def rest(self) -> dict[str, Rest]:
        """Whether the training of the base had come to rest, by molecule: of this study, or stored with its start."""
        curve = self.state.curves.get(BASE)
        if curve is None or not len(curve.steps):
            return self.inherited
        return {named.molecule.name: rest_of(curve, index) for index, named in enumerate(self.training)}

    def known(self, named: Named) -> Known:
        """Reference of a molecule, computed once in a study."""
        notes = self.state.notes.setdefault("references", {})
        name = f"{named.molecule.text()} {named.molecule.charge} {named.molecule.spin} {named.reference}"
        if name not in notes:
            reference, chemistry = records.reference_of(named, self.spec.reference)
            notes[name] = [
                None if reference is None else list(reference),
                None if chemistry is None else dataclasses.asdict(chemistry),
            ]
        reference, chemistry = notes[name]
        return (
            None if reference is None else Reference(*reference),
            None if chemistry is None else Chemistry(**chemistry),
        )


def refuse(spec: MoleculesSpec) -> None:
    """Find out that a study cannot be done before anything is written: Hartree-Fock of all its molecules.

    Raises:
        InputError: a molecule without a converged solution, an unknown basis, or a start that does not fit.
    """
    for named, unique in ((spec.training(), "train"), (spec.targets(), "adapt")):
        try:
            prepare(named, spec.train)
        except InputError as error:
            raise InputError(error.what, where=f"{unique}.molecules", why=error.why, fix=error.fix) from None
    if spec.reference.basis != "none":
        for one in (named for named in (*spec.training(), *spec.targets()) if named.reference is None):
            require_basis(one.molecule, spec.reference.basis)
    selection(eqx.partition(first_network(spec), eqx.is_array)[0], spec.adapt.layers)


def first_network(spec: MoleculesSpec) -> Any:
    """The network with its first weights, or those of an earlier run."""
    wavefunction = describe(spec).build(jax.random.fold_in(jax.random.key(spec.train.seed), 0))
    if spec.train.warm_start is None:
        return wavefunction
    return stored_weights(wavefunction, spec.train.warm_start, spec.train.frame)


def stored_weights(wavefunction: Any, path: str | os.PathLike[str], frame: str) -> Any:
    """Weights of an earlier run or saved model, for a network of the same shape and molecules in the same frame.

    Raises:
        InputError: another kind of model, or other sizes. IntegrityError: damaged.
    """
    from wavefoundry.artifacts.bundles import read_bundle

    folder = base_folder(path)
    if not (folder / "manifest.json").is_file():
        raise InputError(
            f"there is no saved model in {path}",
            where="train.warm_start",
            why="it has no manifest.json, which comes last when a model is saved",
            fix="the directory of a finished run, one of its artifacts, or a folder that .save() wrote",
        )
    arrays, meta = read_bundle(folder)
    if meta.get("kind") != "molecules":
        raise InputError(f"{path} holds no model of molecules", where="train.warm_start")
    trained_in = stored_frame(meta)
    if trained_in != frame:
        why = f"its molecules lay in their frame '{trained_in}', those of this study in '{frame}'"
        fix = f'frame = "{trained_in}" in [train]'
        raise InputError(f"the model in {path} does not fit", where="train.frame", why=why, fix=fix)
    wanted = {name: array.shape for name, array in tree.to_arrays(wavefunction, "wavefunction").items()}
    found = {name: array.shape for name, array in arrays.items() if name in wanted}
    if found != wanted:
        fix = "the [wavefunction] of the earlier run, see its spec.toml"
        raise InputError(f"the network in {path} has other sizes", where="train.warm_start", fix=fix)
    return tree.from_arrays(wavefunction, arrays, "wavefunction")


def stored_frame(meta: dict[str, Any]) -> str:
    """The frame a stored model was trained in; models that name none took molecules as they were given."""
    return str(((meta.get("spec") or {}).get("train") or {}).get("frame", "given"))


def stored_rest(path: str | os.PathLike[str]) -> dict[str, Rest]:
    """What is stored with a model about the end of its training; empty where nothing is."""
    from wavefoundry.artifacts.bundles import read_bundle

    rows = read_bundle(base_folder(path))[1].get("rest") or {}
    return {str(name): Rest(*row) for name, row in rows.items()}


def base_folder(path: str | os.PathLike[str]) -> Path:
    """Folder of the stored model: in a run directory, or the path itself."""
    from wavefoundry.artifacts.results import model_folder

    return model_folder(path, BASE)


def run(spec: MoleculesSpec, context: Context) -> dict[str, Any]:
    """Train, adapt, evaluate, and put the records together."""
    desk = set_up(spec, context)
    params = train_base(desk)
    if spec.evaluate.trained:
        evaluate_trained(desk, params)
    adapt_all(desk, params)
    if spec.adapt.scratch:
        from_scratch(desk)
    return summary_of(spec, desk.state, [n.molecule.name for n in desk.training], desk.state.cost(), tree.count(params))


def set_up(
    spec: MoleculesSpec, context: Context, wavefunction: Any = None, inherited: dict[str, Rest] | None = None
) -> Desk:
    """Molecules and programs of a study; the network is that of the study unless one is given.

    Args:
        spec, context: of the study. wavefunction: a trained network. inherited: how its training had ended.
    """
    keep_programs()
    training, targets = spec.training(), spec.targets()
    # a trained network that is not measured again has no more use for the orbitals of its training
    learned = training if wavefunction is None or spec.evaluate.trained else []
    context.say("prepare", f"Hartree-Fock of {len(learned) + len(targets)} molecules")
    for text in unusual_lengths([named.molecule for named in (*learned, *targets)]):
        context.warn(text)
    prepared = {"train": prepare(learned, spec.train), "adapt": prepare(targets, spec.train)}
    workshop = Workshop(
        first_network(spec) if wavefunction is None else wavefunction, spec.train, context, spec.output.checkpoint_every
    )
    if inherited is None and spec.train.warm_start is not None:
        inherited = stored_rest(spec.train.warm_start)
    return Desk(spec, context, State(context), workshop, training, targets, prepared, inherited or {})


def train_base(desk: Desk) -> PyTree:
    """One model for all molecules of [train], kept as an artifact; returns its weights."""
    spec, state, workshop = desk.spec, desk.state, desk.workshop
    if BASE in state.done:
        return tree.from_arrays(workshop.params, state.weights[BASE])
    names = [named.molecule.name for named in desk.training]
    desk.context.say("train", f"{len(names)} molecules together: {_listed(names)}")
    warm = spec.train.warm_start is not None
    plan = Plan(
        BASE, 0 if warm else spec.train.hf_steps, spec.train.steps, spec.train.learning_rate, spec.train.decay,
        coarse=True,
    )  # fmt: skip
    params = workshop.train(plan, workshop.params, desk.prepared["train"], desk.key(1), state)
    state.weights[BASE] = tree.to_arrays(params)
    state.notes["base_cost"] = state.cost()._asdict()
    _keep(desk, BASE, params, desk.rest() or dict.fromkeys(names, Rest()))
    state.finish(BASE)
    return params


def _keep(desk: Desk, name: str, params: PyTree, rest: dict[str, Rest]) -> None:
    """A trained model as an artifact of the run."""
    desk.context.save_artifact(name, *contents(desk.workshop.with_weights(params), desk.spec, rest))


def contents(wavefunction: PyTree, spec: MoleculesSpec, rest: dict[str, Rest]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays and description of a stored model; rest: how its training ended, by molecule it was trained on."""
    meta = {
        "kind": "molecules", "spec": spec.model_dump(mode="json", exclude_none=True), "molecules": list(rest),
        "rest": {name: list(one) for name, one in rest.items()},
    }  # fmt: skip
    return tree.to_arrays(wavefunction, "wavefunction"), meta


def evaluate_trained(desk: Desk, params: PyTree) -> None:
    """Fresh samples of every molecule of [train]."""
    desk.context.say("evaluate", "the molecules of the training")
    rest = desk.rest()
    for index, named in enumerate(desk.training):
        task = Task(f"trained/{index}", named, desk.prepared["train"][index], "trained", desk.spec.train.steps, index)
        mine = rest.get(named.molecule.name, Rest())
        measure(desk, task, params, desk.key(2, index), past=Past(rest=mine))


@dataclasses.dataclass(frozen=True)
class Task:
    """One record to make."""

    name: str
    named: Named
    prepared: Prepared
    method: str
    steps: int
    index: int


@dataclasses.dataclass(frozen=True)
class Past:
    """What came before a record: when work for it began, and the fields of ``molecules_records.History``."""

    begin: Cost | None = None
    rest: Rest | None = None
    base: dict[str, Rest] | None = None
    untuned: dict[str, Any] | None = None


def measure(desk: Desk, task: Task, params: PyTree, key: jax.Array, *, past: Past, share: int = 1) -> dict[str, Any]:
    """Fresh samples and the record of a molecule, unless an earlier part of the run made it already.

    Args:
        desk: the study. task: what to measure. params: weights. key: random key. past: what came before.
        share: one part of how many of the samples is enough.
    """
    state = desk.state
    if task.name in state.done:
        return state.records[task.name]
    begin = past.begin or METER.now()
    table = desk.spec.evaluate
    samples = desk.workshop.sample(params, task.prepared, key, table, max(4 * table.chains, table.samples // share))
    known, network = desk.known(task.named), desk.workshop.with_weights(params)
    seen, turned = {}, {}
    if share == 1:
        seen = records.observables_of(network, task.named.molecule, task.prepared, samples, table)
        turned = orientations(network, task.named.molecule, task.prepared, samples, desk.spec.train)
    history = records.History(task.method, task.steps, METER.now() - begin, past.rest, past.base, past.untuned)
    record = records.record_of(task.named.molecule, task.prepared, samples, known, seen, history, turned)
    state.records[task.name] = record
    if share == 1:
        event = {name: value for name, value in record.items() if name not in ("observables", "geometry")}
        desk.context.emit({"event": "molecule", "index": len(state.records) - 1} | event)
    state.finish(task.name)
    return record


def adapt_all(desk: Desk, params: PyTree) -> dict[str, PyTree]:
    """Energies of the molecules of [adapt]; returns the weights tuned now, by name of the molecule."""
    spec, found = desk.spec, {}
    if not desk.targets:
        return found
    what = "without a further step" if spec.adapt.method == "zero-shot" else f"{spec.adapt.steps} steps each"
    desk.context.say("adapt", f"{len(desk.targets)} molecules, {what}")
    together, base = None, desk.rest()
    if spec.adapt.method == "full" and spec.adapt.together:
        together = _fine_tune(desk, "adapt/together", params, desk.prepared["adapt"], desk.key(4, 0))
    for index, named in enumerate(desk.targets):
        prepared = desk.prepared["adapt"][index]
        zero = spec.adapt.method == "zero-shot"
        task = Task(f"zero-shot/{index}", named, prepared, "zero-shot", 0, index)
        start = measure(desk, task, params, desk.key(3, index), past=Past(base=base), share=1 if zero else 4)
        if zero:
            continue
        begin, name = METER.now(), f"adapt/{index}"
        if f"full/{index}" in desk.state.done:
            continue
        tuned = together or _fine_tune(desk, name, params, [prepared], desk.key(4, index))
        found[named.molecule.name] = tuned
        curve, column = (
            desk.state.curves[name if together is None else "adapt/together"],
            0 if together is None else index,
        )
        full = Task(f"full/{index}", named, prepared, "full", spec.adapt.steps, index)
        past = Past(begin, rest_of(curve, column), base, start)
        measure(desk, full, tuned, desk.key(5, index), past=past)
        desk.state.weights.pop(name, None)
    return found


def _fine_tune(desk: Desk, name: str, params: PyTree, molecules: Sequence[Prepared], key: jax.Array) -> PyTree:
    """A few steps of the weights to tune, kept as an artifact too; they stay in the state until the record is made."""
    table, train, state = desk.spec.adapt, desk.spec.train, desk.state
    if name in state.done:
        return tree.from_arrays(desk.workshop.params, state.weights[name])
    plan = Plan(
        name,
        0,
        table.steps,
        table.learning_rate,
        table.decay or train.decay,
        tuned=tuple(table.layers),
        norm=table.norm,
        walkers=table.walkers if table.together else desk.spec.tuning_walkers(),
        shift=table.diagonal_shift,
    )
    tuned = desk.workshop.train(plan, params, molecules, key, state)
    rest = {one.name: rest_of(state.curves[name], index) for index, one in enumerate(molecules)}
    _keep(desk, name.replace("adapt/", "tuned-"), tuned, rest)
    state.weights[name] = tree.to_arrays(tuned)
    state.finish(name)
    return tuned


def from_scratch(desk: Desk) -> None:
    """The same network for every molecule of [adapt] without the base, until it is within 1 mHa per atom."""
    spec, state, fresh = desk.spec, desk.state, describe(desk.spec)
    desk.context.say("scratch", f"{len(desk.targets)} molecules, each with a new network")
    for index, named in enumerate(desk.targets):
        name, key = f"scratch/{index}", desk.key(6, index)
        record_name = f"scratched/{index}"
        if record_name in state.done:
            continue
        begin = METER.now()
        if name not in state.done:
            network = fresh.build(jax.random.fold_in(key, 0))
            start, _ = eqx.partition(network, eqx.is_array)
            goal = goal_of(named.molecule.atoms, desk.known(named)[0])
            plan = Plan(
                name, spec.train.hf_steps, spec.scratch_steps(), spec.train.learning_rate, spec.train.decay, goal,
                walkers=spec.tuning_walkers(),
            )  # fmt: skip
            params = desk.workshop.train(plan, start, [desk.prepared["adapt"][index]], key, state)
            state.weights[name] = tree.to_arrays(params)
            state.finish(name)
        params = tree.from_arrays(desk.workshop.params, state.weights[name])
        curve: Curve = state.curves[name]
        task = Task(record_name, named, desk.prepared["adapt"][index], "scratch", len(curve.steps), index)
        measure(desk, task, params, desk.key(7, index), past=Past(begin, rest_of(curve)))
        state.weights.pop(name, None)


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


__all__ = [
    "Desk", "Known", "base_folder", "contents", "first_network", "refuse", "run", "set_up", "stored_rest",
    "stored_weights",
]  # fmt: skip
