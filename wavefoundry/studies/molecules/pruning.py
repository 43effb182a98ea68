"""Tickets of a model of molecules: weights are cut round by round, the others trained on, all molecules together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from wavefoundry.adapt import masks
from wavefoundry.adapt.compact import vector, with_vector
from wavefoundry.artifacts.spec_molecules import MoleculesSpec
from wavefoundry.artifacts.spec_tickets import PruneTable
from wavefoundry.core.errors import InputError
from wavefoundry.models.masked import Masked
from wavefoundry.studies.molecules import records
from wavefoundry.studies.molecules.evaluation import Evaluation, sampling
from wavefoundry.studies.molecules.records import History
from wavefoundry.studies.molecules.study import MoleculesStudy, ended
from wavefoundry.studies.molecules.tasks import BASE
from wavefoundry.studies.molecules.training import Trainer, prepare
from wavefoundry.studies.molecules.verdict import Rest
from wavefoundry.studies.progress import Context, Progress
from wavefoundry.studies.task import Output, Outputs, Task

SHARE = 10
"""One part in so many of the weights is left by default."""
REFUSED = {
    "score": (("magnitude", "random"), 'the metric of many molecules is too large for it; "magnitude" or "random"'),
    "rewind": (("dense", "none"), 'a trained model has no initial weights; "dense" or "none"'),
    "schedule": (("iterative",), '"iterative"'),
    "alternatives": (([],), "no alternatives"),
    "fan_in": ((0,), "fan_in is a rule of dense networks of a lattice"),
}
"""What pruning a model of molecules knows of the ``[prune]`` table."""


def check_table(table: PruneTable, where: str) -> None:
    """Refuse what makes no sense for a model of molecules.

    Raises:
        InputError: naming the key.
    """
    for name, (known, fix) in REFUSED.items():
        if (value := getattr(table, name)) not in known:
            what = f"{name} = {value!r} is not possible for a model of molecules"
            raise InputError(what, where=f"{where}: {name}", fix=fix)


def layout(wavefunction: Any, layers: list[str]) -> masks.Layout:
    """The layers that are pruned: by default all kernels, those of the embedding and of the orbitals included."""
    return masks.layout(wavefunction, layers or ["*"], ("kernel", "out"))


class PrunedMolecules:
    """A trained model that is pruned: "round/K" cuts and trains, "record/K/I" measures molecule I; see ``Plan``.

    Args:
        spec: the study of [adapt], whose molecules are trained and measured. table: how to prune.
        context: to report to. wavefunction: the trained network. rest: how its training had ended.
    """

    def __init__(
        self, spec: MoleculesSpec, table: PruneTable, context: Context, wavefunction: Any, rest: dict[str, Rest]
    ):
        self.spec, self.table, self.dense = spec, table, wavefunction
        self.inner = MoleculesStudy(spec, context, wavefunction, rest)
        self.where = layout(wavefunction, table.layers)
        if table.stop_at >= self.prunable:
            why = f"{self.prunable} weights can be cut ({self.where.names()})"
            raise InputError(f"stop_at = {table.stop_at} leaves nothing to cut", where="wf.prune: stop_at", why=why)
        self._trainer = Trainer(Masked.of(wavefunction, np.ones(self.where.total, bool)), spec.train)
        self._expected = len(masks.counts(self.prunable, table.fraction, table.stop_at))

    @property
    def prunable(self) -> int:
        """Weights that may be cut."""
        return int(self.where.prunable.sum())

    def tasks(self, done: Outputs) -> list[Task]:
        """References, then rounds as far as they are known of, each with its records."""
        return list(self._listed(done))

    def _listed(self, done: Outputs) -> Iterator[Task]:
        references = [task for task in self.inner.list.tasks if task.name.startswith("reference/")]
        yield from references
        number, before = 0, ()
        while True:
            name, left = f"round/{number}", max(0, self._expected - number - 1)
            yield Task(name, before, 10.0 if number else 0.1, 11.0 * left)
            if name in done and done[name].record["last"]:
                return
            for index, named in enumerate(self.inner.targets):
                needs = (*self.inner.list.reference_of(named), name)
                yield Task(f"record/{number}/{index}", needs if number == 0 else (*needs, f"record/0/{index}"))
            if name not in done or self.left(done[name]) <= self.table.stop_at:
                return
            number, before = number + 1, (name,)

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do a task, see ``Study``."""
        kind, *rest = name.split("/")
        if kind == "reference":
            return self.inner.perform(name, done, progress)
        if kind == "round":
            return self._round(int(rest[0]), done, progress)
        return self._record(int(rest[0]), int(rest[1]), done, progress)

    def left(self, output: Output) -> int:
        """Weights that are left of those that may be cut."""
        return self.where.count(output.arrays["mask"].astype(bool))

    def network(self, output: Output) -> Any:
        """The network of a round, with zeros where weights are gone."""
        return with_vector(self.dense, jnp.asarray(output.arrays["theta"]))

    def rest(self, output: Output) -> dict[str, Rest]:
        """Whether the training of a round had come to rest, by molecule."""
        return {molecule: Rest(*row) for molecule, row in output.record["rest"].items()}

    def _round(self, number: int, done: Outputs, progress: Progress) -> Output:
        """Cut the weights that say least, and train the others."""
        inner, dense = self.inner, np.asarray(vector(self.dense))
        if number == 0:
            rest = {name: list(one) for name, one in inner.rest(BASE, done).items()}
            mask = np.ones(self.where.total, bool)
            return Output({"last": False, "rest": rest, "steps": 0}, {"theta": dense, "mask": mask})
        before, table = done[f"round/{number - 1}"], self.table
        mask, theta = before.arrays["mask"].astype(bool), before.arrays["theta"]
        key = inner.key(10, number)
        score = np.abs(theta) if table.score == "magnitude" else np.asarray(jax.random.uniform(key, theta.shape))
        kept = masks.prune(
            self.where, mask, score, table.fraction, scope=table.scope, unit=table.unit, stop=table.stop_at
        )
        if np.array_equal(kept, mask):
            return before._replace(record=before.record | {"last": True}, models={})
        start = np.where(kept, dense if table.rewind == "dense" else theta, 0.0)
        progress.say("prune", f"round {number}: {self.where.count(kept)} of {self.prunable} weights")
        network = Masked.of(with_vector(self.dense, jnp.asarray(start)), kept)
        params, _ = eqx.partition(network, eqx.is_array)
        plan = inner.further(f"round/{number}", inner.spec.tuning_walkers())
        params, curve = self._trainer.train(plan, params, prepare(inner.targets, inner.spec.train), key, progress)
        rest = {name: list(one) for name, one in ended(curve, inner.targets).items()}
        found = np.where(kept, np.asarray(vector(self._trainer.with_weights(params).network)), 0.0)
        return Output({"last": False, "rest": rest, "steps": plan.steps}, {"theta": found, "mask": kept})

    def _record(self, number: int, index: int, done: Outputs, progress: Progress) -> Output:
        """The energy of a molecule in a round, from fresh samples."""
        inner, output, named = self.inner, done[f"round/{number}"], self.inner.targets[index]
        (prepared,) = prepare([named], inner.spec.train)
        how = sampling(inner.spec.evaluate, inner.spec.train)
        key = inner.key(11, number, index)
        evaluation = Evaluation(self.network(output), named.molecule, prepared, key, how, progress)
        samples = evaluation.samples()
        copies = evaluation.copies(samples, inner.spec.train)
        rest, base = self.rest(output), inner.rest(BASE, done)
        cost = output.cost + progress.cost()
        history = History("zero-shot", 0, cost, base=base, further=inner.doubts(named))
        if number:
            before = done[f"record/0/{index}"].record
            history = History("full", output.record["steps"], cost, rest[named.molecule.name], base, before)
        known = inner.known(named, done)
        return Output(records.record_of(named.molecule, prepared, samples, known, {}, history, copies))

    def rounds(self, done: Outputs) -> list[dict[str, Any]]:
        """One record a round: what is left, and the energies of all molecules."""
        found = []
        for number in range(sum(name.startswith("round/") for name in done)):
            output = done[f"round/{number}"]
            if output.record["last"]:
                break
            energies = [done[f"record/{number}/{index}"].record for index in range(len(self.inner.targets))]
            found.append(self._summed(number, output, energies))
        return found

    def _summed(self, number: int, output: Output, energies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        left, errors = self.left(output), [record["error_mha"] for record in energies]
        known = [abs(error) for error in errors if error is not None]
        return {
            "round": number,
            "n": left,
            "density": left / self.prunable,
            "steps": output.record["steps"],
            "error_mha": float(np.mean(known)) if known else None,
            "molecules": energies,
            "cost": output.cost.to_dict(),
        }
