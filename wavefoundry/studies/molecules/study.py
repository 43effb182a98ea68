"""From a study file of kind "molecules" to its summary: train together, then every other molecule."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PyTree

from wavefoundry.artifacts.spec_geometry import Named
from wavefoundry.artifacts.spec_molecules import MoleculesSpec
from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.memory import require_memory
from wavefoundry.core.meter import Cost
from wavefoundry.core.molecule import unusual_lengths
from wavefoundry.core.programs import keep_programs
from wavefoundry.core.verdict import Doubt
from wavefoundry.models.electron_growth import changed
from wavefoundry.problems.chemistry import Chemistry, require_basis
from wavefoundry.problems.references.molecules import Reference
from wavefoundry.studies.molecules import records
from wavefoundry.studies.molecules.curve import Curve
from wavefoundry.studies.molecules.evaluation import Evaluation, sampling
from wavefoundry.studies.molecules.records import History, Known
from wavefoundry.studies.molecules.stored import (
    about,
    contents,
    describe,
    first_network,
    grows,
    origin,
    resolved,
    stored_rest,
    untold,
)
from wavefoundry.studies.molecules.summary import goal_of, summary_of
from wavefoundry.studies.molecules.tasks import BASE, TOGETHER, TaskList
from wavefoundry.studies.molecules.training import Plan, Trainer, prepare, selection
from wavefoundry.studies.molecules.verdict import Rest, novelty, rest_of
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

_TRAININGS = {"scratched": "scratch", "chained": "chain"}
"""The training that a record without the base belongs to."""


def check(spec: MoleculesSpec, wavefunction: Any = None) -> None:
    """Find out that a study cannot be done before anything is written: Hartree-Fock of all its molecules.

    ``wavefunction``: a trained one the study starts from; then nothing has to be known of what it was trained on.

    Raises:
        InputError: a molecule without a converged solution, an unknown basis, a start that does not fit, or samples
            that do not fit into memory.
    """
    spec = resolved(spec)
    trained = [] if wavefunction is not None else [(spec.training(), "train")]
    for named, table in [*trained, (spec.targets(), "adapt")]:
        try:
            prepare(named, spec.train)
        except InputError as error:
            raise InputError(error.what, where=f"{table}.molecules", why=error.why, fix=error.fix) from None
    electrons = max(named.molecule.electrons for named in (*spec.training(), *spec.targets()))
    needed = 2 * 8 * spec.evaluate.samples * (3 * electrons + 5)  # positions, and parts of the energy
    require_memory(needed, "the measurement of a molecule", "evaluate.samples", "fewer samples")
    if spec.reference.basis != "none":
        for one in (named for named in (*spec.training(), *spec.targets()) if named.reference is None):
            require_basis(one.molecule, spec.reference.basis)
    network = first_network(spec) if wavefunction is None else wavefunction
    selection(eqx.partition(network, eqx.is_array)[0], spec.adapt.layers)


def build(spec: MoleculesSpec, context: Context) -> MoleculesStudy:
    """The tasks of a study file."""
    return MoleculesStudy(spec, context)


class Sampled(NamedTuple):
    """A record to make: of which molecule, with which weights and random key, and what came before."""

    named: Named
    weights: PyTree
    key: jax.Array
    history: History


class MoleculesStudy:
    """One model for all molecules of [train], then energies of these and of those of [adapt]; see ``TaskList``.

    Args:
        spec: the study. context: to report to.
        wavefunction: a trained network, in place of the task "base".
        inherited: how its training had ended, by molecule; empty: not known.
    """

    def __init__(
        self,
        spec: MoleculesSpec,
        context: Context,
        wavefunction: Any = None,
        inherited: dict[str, Rest] | None = None,
    ):
        keep_programs()
        spec = resolved(spec) if wavefunction is None else spec
        self.spec, self.list = spec, TaskList(spec, base=wavefunction is None)
        self.training, self.targets = self.list.training, self.list.targets
        self.origin = origin(spec) if wavefunction is None else spec
        network = first_network(spec) if wavefunction is None else wavefunction
        self.trainer = Trainer(network, spec.train, spec.output.checkpoint_every)
        if inherited is None and spec.train.warm_start is not None:
            inherited = stored_rest(spec.train.warm_start)
        self._inherited = inherited or {}
        if wavefunction is None and (shapes := grows(spec)) is not None and (what := changed(*shapes)):
            context.warn(f"the network is not the one in {spec.train.warm_start} ({what}): the first steps mend that")
        used = self.training if wavefunction is None or spec.evaluate.trained else []
        for text in unusual_lengths([named.molecule for named in (*used, *self.targets)]):
            context.warn(text)

    def tasks(self, done: Outputs) -> list[Task]:
        """All tasks, whatever is done."""
        return self.list.tasks

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do a task, see ``Study``."""
        kind, _, which = name.partition("/")
        if kind == "base":
            return self._train_base(progress)
        if kind == "reference":
            return self._compute(self.list.computed[int(which)], progress)
        if kind == "adapt":
            return self._tune(name, done, progress)
        if kind == "scratch":
            return self._from_scratch(int(which), done, progress)
        if kind == "chain":
            return self._along(int(which), done, progress)
        return self._measure(name, done, progress)

    def summary(self, done: Outputs, context: Context) -> dict[str, Any]:
        """The machine-readable result, see docs/results.md."""
        names = [named.molecule.name for named in self.training] or list(self._inherited)
        return summary_of(self.spec, done, names, context.cost(), tree.count(self.trainer.params))

    def key(self, part: int, *numbers: int) -> jax.Array:
        """The random key of a part of the study: 1 and 2 are of the molecules of [train], the others of [adapt]."""
        seed, own = self.spec.train.seed, self.spec.adapt.seed
        key = jax.random.key(own if part > 2 and own is not None else seed)
        for number in (part, *numbers):
            key = jax.random.fold_in(key, number)
        return key

    def weights(self, name: str, done: Outputs) -> PyTree:
        """Weights at the end of a training; those of the given network where "base" is no task."""
        if name == BASE and not self.list.base:
            return self.trainer.params
        return tree.from_arrays(self.trainer.params, dict(done[name].arrays), "weights")

    def model(self, name: str, done: Outputs) -> Any:
        """The network at the end of a training."""
        return self.trainer.with_weights(self.weights(name, done))

    def tunings(self) -> Iterator[tuple[Named, str]]:
        """Molecules that the model is tuned for, and the tasks that do so."""
        for index, named in enumerate(self.targets if self.list.tuned else ()):
            yield named, self.list.tuning(index)

    def rest(self, name: str, done: Outputs) -> dict[str, Rest]:
        """Whether a training had come to rest, by molecule; empty: not known."""
        if name == BASE and not self.list.base:
            return self._inherited
        return {molecule: Rest(*row) for molecule, row in done[name].record["rest"].items()}

    def _compute(self, named: Named, progress: Progress) -> Output:
        """The reference of a molecule by quantum chemistry, or from the literature."""
        progress.say("reference", named.molecule.name)
        reference, chemistry = records.reference_of(named, self.spec.reference)
        computed = None if chemistry is None else dataclasses.asdict(chemistry)
        return Output({"reference": None if reference is None else list(reference), "chemistry": computed})

    def known(self, named: Named, done: Outputs) -> Known:
        """What a molecule is compared with."""
        for name in self.list.reference_of(named):
            reference, chemistry = done[name].record["reference"], done[name].record["chemistry"]
            return reference and Reference(*reference), chemistry and Chemistry(**chemistry)
        return records.reference_of(named, self.spec.reference)

    def _train_base(self, progress: Progress) -> Output:
        """One model for all molecules of [train], kept as an artifact."""
        train, names = self.spec.train, [named.molecule.name for named in self.training]
        if not names:  # a stored model as it is
            start = self.trainer.params
            return self._kept(BASE, _trained(start, Curve.empty(0), self._inherited), start, self._inherited)
        progress.say("train", f"{len(names)} molecules together: {_listed(names)}")
        hf_steps = train.hf_steps if train.warm_start is None else 0
        plan = Plan(BASE, hf_steps, train.steps, train.learning_rate, train.decay, coarse=True)
        molecules = prepare(self.training, train)
        params, curve = self.trainer.train(plan, self.trainer.params, molecules, self.key(1), progress)
        rest = ended(curve, self.training) if len(curve.steps) else self._inherited
        return self._kept(BASE, _trained(params, curve, rest), params, rest or untold(self.training))

    def _tune(self, name: str, done: Outputs, progress: Progress) -> Output:
        """A few steps of the weights to tune, for one molecule or all together; kept as an artifact too."""
        table, train = self.spec.adapt, self.spec.train
        number = 0 if name == TOGETHER else int(name.partition("/")[2])
        targets = self.targets if name == TOGETHER else [self.targets[number]]
        if name == TOGETHER:
            self._announce(progress)
        plan = self.further(name, table.walkers if table.together else self.spec.tuning_walkers())
        plan = dataclasses.replace(plan, tuned=tuple(table.layers))
        start, molecules = self.weights(BASE, done), prepare(targets, train)
        params, curve = self.trainer.train(plan, start, molecules, self.key(4, number), progress)
        rest = ended(curve, targets)
        every = self.rest(BASE, done) | rest
        return self._kept(name.replace("adapt/", "tuned-"), _trained(params, curve, rest), params, every)

    def _from_scratch(self, index: int, done: Outputs, progress: Progress) -> Output:
        """The same network for one molecule without the base, until it is within 1 mHa per atom."""
        spec, named, key = self.spec, self.targets[index], self.key(6, index)
        if index == 0:
            progress.say("scratch", f"{len(self.targets)} molecules, each with a new network")
        start, plan = self._anew(f"scratch/{index}", key)
        plan = dataclasses.replace(plan, goal=goal_of(named.molecule.atoms, self.known(named, done)[0]))
        params, curve = self.trainer.train(plan, start, prepare([named], spec.train), key, progress)
        return _trained(params, curve, ended(curve, [named]))

    def _along(self, index: int, done: Outputs, progress: Progress) -> Output:
        """One network along the list, without the base: what someone with a curve to compute would do instead."""
        named, key, name = self.targets[index], self.key(8, index), f"chain/{index}"
        if index == 0:
            progress.say("warm-chain", f"{len(self.targets)} molecules, one after the other")
            start, plan = self._anew(name, key)
        else:
            start, plan = self.weights(f"chain/{index - 1}", done), self.further(name, self.spec.tuning_walkers())
        params, curve = self.trainer.train(plan, start, prepare([named], self.spec.train), key, progress)
        return _trained(params, curve, ended(curve, [named]))

    def _anew(self, name: str, key: jax.Array) -> tuple[PyTree, Plan]:
        """A new network for one molecule, and its training."""
        spec, train = self.spec, self.spec.train
        start, _ = eqx.partition(describe(spec).build(jax.random.fold_in(key, 0)), eqx.is_array)
        steps, walkers = spec.scratch_steps(), spec.tuning_walkers()
        return start, Plan(name, train.hf_steps, steps, train.learning_rate, train.decay, walkers=walkers)

    def further(self, name: str, walkers: int | None) -> Plan:
        """Some steps more of all weights of a trained network."""
        table, train = self.spec.adapt, self.spec.train
        return Plan(
            name, 0, table.steps, table.learning_rate, table.decay or train.decay, norm=table.norm, walkers=walkers,
            shift=table.diagonal_shift,
        )  # fmt: skip

    def _kept(self, model: str, output: Output, params: PyTree, rest: dict[str, Rest]) -> Output:
        """The output of a training, with its model as an artifact of the run."""
        return output._replace(models={model: contents(self.trainer.with_weights(params), self.origin, rest)})

    def _measure(self, name: str, done: Outputs, progress: Progress) -> Output:
        """The record of a molecule from fresh samples; before a tuning a quarter of them, and the energy alone."""
        kind, _, which = name.partition("/")
        named, weights, key, history = self._sampled(kind, int(which), done)
        brief = kind == "zero-shot" and self.list.tuned
        if kind == "trained" and which == "0":
            progress.say("evaluate", "the molecules of the training")
        if name == "zero-shot/0" and not (self.list.tuned and self.spec.adapt.together):
            self._announce(progress)
        (prepared,) = prepare([named], self.spec.train)
        network, how = (
            self.trainer.with_weights(weights),
            sampling(self.spec.evaluate, self.spec.train, 4 if brief else 1),
        )
        evaluation = Evaluation(network, named.molecule, prepared, key, how, progress)
        samples, seen, copies = evaluation.samples(), {}, {}
        if not brief:
            seen = evaluation.observables(samples, self.spec.evaluate)
            copies = evaluation.copies(samples, self.spec.train)
        history = dataclasses.replace(history, cost=history.cost + progress.cost())
        known = self.known(named, done)
        record = records.record_of(named.molecule, prepared, samples, known, seen, history, copies)
        if not brief:
            shown = {key: value for key, value in record.items() if key not in ("observables", "geometry")}
            progress.emit({"event": "molecule", "index": self.list.place(name)} | shown)
        return Output(record)

    def _sampled(self, kind: str, index: int, done: Outputs) -> Sampled:
        """What a record is made of, by the kind of its task."""
        if kind == "trained":
            named, rest = self.training[index], self.rest(BASE, done)
            history = History(kind, self.spec.train.steps, rest=rest.get(named.molecule.name, Rest()))
            return Sampled(named, self.weights(BASE, done), self.key(2, index), history)
        named = self.targets[index]
        if kind == "zero-shot":
            history = History(kind, 0, base=self.rest(BASE, done), further=self.doubts(named))
            return Sampled(named, self.weights(BASE, done), self.key(3, index), history)
        training = self.list.tuning(index) if kind == "full" else f"{_TRAININGS[kind]}/{index}"
        rest = self.rest(training, done)[named.molecule.name]
        cost = Cost() if training == TOGETHER else done[training].cost  # of all molecules: none of one
        if kind == "full":
            before = done[f"zero-shot/{index}"].record
            history = History(kind, self.spec.adapt.steps, cost, rest, self.rest(BASE, done), before)
            return Sampled(named, self.weights(training, done), self.key(5, index), history)
        steps = len(Curve.from_arrays(done[training].arrays).steps)
        history = History("scratch" if kind == "scratched" else "warm-chain", steps, cost, rest)
        return Sampled(named, self.weights(training, done), self.key(7 if kind == "scratched" else 9, index), history)

    def doubts(self, named: Named) -> tuple[Doubt, ...]:
        """What speaks against a molecule that the model was not tuned for."""
        return tuple(novelty(named.molecule, self._seen()))

    def _seen(self) -> set[tuple[str, int | None]]:
        """Formulas and spins of what the model was trained on, now and before."""
        now = {(named.molecule.formula, named.molecule.spin) for named in self.training}
        return now | {(rest.formula, rest.spin) for rest in self._inherited.values()}

    def _announce(self, progress: Progress) -> None:
        table = self.spec.adapt
        what = "without a further step" if table.method == "zero-shot" else f"{table.steps} steps each"
        progress.say("adapt", f"{len(self.targets)} molecules, {what}")


def ended(curve: Curve, molecules: Sequence[Named]) -> dict[str, Rest]:
    """Whether a training had come to rest, by molecule."""
    return {
        named.molecule.name: rest_of(curve, column)._replace(**about(named.molecule))
        for column, named in enumerate(molecules)
    }


def _trained(params: PyTree, curve: Curve, rest: dict[str, Rest]) -> Output:
    """The output of a training."""
    arrays = tree.to_arrays(params, "weights") | curve.arrays()
    return Output({"rest": {name: list(one) for name, one in rest.items()}}, arrays)


def _listed(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
