"""The Python interface to tickets of molecules: what is left of a trained model, and how well it still does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wavefoundry.api_given import Source
from wavefoundry.api_molecules import MoleculeModel, spec_of_map
from wavefoundry.artifacts.spec_errors import checked
from wavefoundry.artifacts.spec_molecules import MoleculesSpec
from wavefoundry.artifacts.spec_tickets import PruneTable
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import count_of, one_of, table_of
from wavefoundry.reports import cards
from wavefoundry.reports.shown import Card, Shown
from wavefoundry.studies.execute import execute
from wavefoundry.studies.molecules.pruning import SHARE, PrunedMolecules, check_table, layout
from wavefoundry.studies.molecules.study import check
from wavefoundry.studies.molecules.verdict import Rest
from wavefoundry.studies.progress import Context

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

TRAIN = ("walkers", "learning_rate", "norm", "diagonal_shift", "decay", "seed")
"""Keys of ``[adapt]`` that say how survivors are trained."""
WHERE = "wf.prune"


@dataclasses.dataclass(frozen=True, repr=False)
class MoleculeTickets(Shown):
    """A pruned model of molecules: one record and one set of weights per round; round 0 is the whole network.

    rounds: ``n`` weights left, ``density``, ``error_mha`` (mean over molecules with a reference) and ``molecules``,
    records as of ``wf.map``. cost: CPU and wall seconds.
    """

    rounds: list[dict[str, Any]]
    cost: dict[str, Any]
    spec: MoleculesSpec
    networks: list[Any]
    rests: list[dict[str, Rest]]

    def _card(self) -> Card:
        return cards.molecule_tickets(self.rounds, self.cost)

    def model(self, n: int) -> MoleculeModel:
        """The model with ``n`` weights left; the others are zero. A later training moves all weights again.

        Raises:
            InputError: no round has so many.
        """
        n = count_of(n, "number of weights", where="n")
        for record, network, rest in zip(self.rounds, self.networks, self.rests, strict=True):
            if record["n"] == n:
                return MoleculeModel(network, self.spec, record["cost"], rest)
        known = ", ".join(str(record["n"]) for record in self.rounds)
        raise InputError(f"no round has {n} weights", where="n", why=f"rounds: {known}")

    def to_pandas(self) -> pandas.DataFrame:
        """One row per round and molecule; nested fields become dotted columns, long lists are left out."""
        import pandas

        from wavefoundry.reports.molecules_lines import numbers
        from wavefoundry.reports.tables import flatten

        return pandas.DataFrame(
            [
                {name: record[name] for name in ("round", "n", "density")} | flatten(numbers(row))
                for record in self.rounds
                for row in record["molecules"]
            ]
        )

    def plot(self) -> Figure:
        """Energies above those of the references, or of the whole network, against surviving weights."""
        from wavefoundry.reports.molecules_figures import tickets_figure

        return tickets_figure(self.rounds)

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained page."""
        from wavefoundry.reports.html import write_card

        return write_card(path, self._card())


def prune_molecules(
    model: MoleculeModel,
    systems: Sequence[Source] | Source | None,
    *,
    train: Mapping[str, Any] | None,
    progress: bool,
    **settings: Any,
) -> MoleculeTickets:
    """Prune a trained model round by round; after each cut the others are trained for all molecules together.

    Args:
        model: from ``wf.pretrain`` or ``wf.load``. systems: molecules, or what ``wf.molecules`` takes; those the model
            was trained on by default.
        train: ``walkers``, ``learning_rate``, ``norm``, ``diagonal_shift``, ``decay``, ``seed``, as in ``[adapt]``.
        progress: show progress lines.
        settings: keys of the ``[prune]`` table; ``evaluate`` and ``reference``, tables as of ``wf.map``.

    Raises:
        InputError: a setting is unknown, out of bounds, or not possible for molecules.
    """
    evaluate, reference = settings.pop("evaluate", None), settings.pop("reference", None)
    if isinstance(reference, float | int):
        fix = 'with the molecule: {"atoms": "H 0 0 0; H 0 0 1.4", "reference": -1.1744}'
        raise InputError("a reference belongs to one molecule", where=f"{WHERE}: reference", fix=fix)
    if "stop_at" not in settings:
        prunable = layout(model.wavefunction, list(settings.get("layers", ()))).prunable
        settings["stop_at"] = max(1, int(prunable.sum()) // SHARE)
    table = checked(PruneTable, WHERE, settings)
    check_table(table, WHERE)
    training = table_of(train, f"{WHERE}: train", 'train={"learning_rate": 0.02}')
    for name in training:
        one_of(name, TRAIN, f"unknown key {name!r}", where=f"{WHERE}: train")
    given: Any = model.trained_on if systems is None else systems
    several = isinstance(given, list | tuple) and len(given) > 1
    spec = spec_of_map(
        model, given, "full", evaluate=evaluate, reference=reference, where=WHERE,
        steps=table.steps, together=several, **training,
    )  # fmt: skip
    check(spec, model.wavefunction)
    from wavefoundry.reports.live import view

    with view(quiet=not progress, json=False) as emit:
        context = Context(emit)
        study = PrunedMolecules(spec, table, context, model.wavefunction, model.rest)
        done = execute(study, context)
    rounds = study.rounds(done)
    outputs = [done[f"round/{number}"] for number in range(len(rounds))]
    networks, rests = [study.network(one) for one in outputs], [model.rest | study.rest(one) for one in outputs]
    return MoleculeTickets(rounds, context.cost().to_dict(), model.spec, networks, rests)


__all__ = ["MoleculeTickets", "prune_molecules"]
