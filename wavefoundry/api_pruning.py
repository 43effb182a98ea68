"""``wf.prune``, whatever is pruned."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, overload

from wavefoundry.api_molecule_tickets import MoleculeTickets, prune_molecules
from wavefoundry.api_molecules import MoleculeModel
from wavefoundry.api_settings import PruneSettings, TicketTrainSettings, shows
from wavefoundry.api_tickets import Tickets, open_run, prune_network
from wavefoundry.artifacts.spec_tickets import PruneTable
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import Molecule
from wavefoundry.problems.spins import LatticeSystem


@overload
def prune(  # pyright: ignore[reportOverlappingOverload] - anything that builds a network is a source, too
    source: MoleculeModel,
    system: Sequence[Molecule] | Molecule | None = None,
    *,
    fraction: float = 0.12,
    steps: int = 100,
    train: Mapping[str, Any] | None = None,
    progress: bool = False,
    **settings: Unpack[PruneSettings],
) -> MoleculeTickets: ...
@overload
def prune(
    source: Any,
    system: LatticeSystem | None = None,
    *,
    fraction: float = 0.12,
    steps: int = 100,
    train: TicketTrainSettings | Mapping[str, Any] | None = None,
    progress: bool = False,
    **settings: Unpack[PruneSettings],
) -> Tickets: ...
@shows(PruneTable, settings=(PruneSettings,))
def prune(
    source: Any,
    system: Any = None,
    *,
    fraction: float = 0.12,
    steps: int = 100,
    train: Mapping[str, Any] | None = None,
    progress: bool = False,
    **settings: Any,
) -> Tickets | MoleculeTickets:
    """Train a network densely and prune it round by round; or open a finished run.

    Args:
        source: a network description (``models.dense()``, ``conv``, ``resnet``, ``vit``), a pre-trained model from
            ``wf.pretrain``, of a lattice or of molecules, or the directory of a finished tickets run.
        system: the Hamiltonian, or molecules; by default what the model was pre-trained on.
        fraction: part of the surviving weights removed per round.
        steps: training steps after each cut.
        train: keys of the ``[train]`` table (``steps``, ``learning_rate``, ``seed``, ...). A model of molecules is
            trained already: those of ``[adapt]`` that say how survivors are (``learning_rate``, ``walkers``, ``norm``,
            ``diagonal_shift``, ``decay``, ``seed``).
        progress: show progress lines.
        settings: other keys of the ``[prune]`` table: ``stop_at``, ``score``, ``rewind``, ``scope``, ``unit``, ...;
            ``evaluate``, a table as in a study file; and ``reference``, an energy to compare with. Of molecules it is
            the ``[reference]`` table, and a tenth of the weights is left unless ``stop_at`` says otherwise.

    Returns:
        ``Tickets``, or of molecules ``MoleculeTickets``.

    Raises:
        InputError: a setting is unknown or out of bounds, or there is nothing to prune.
    """
    asked = {"fraction": fraction, "steps": steps} | settings
    if isinstance(source, str | Path):
        _check_alone(source, {"system": system, "train": train} | asked)
        return open_run(source)
    if isinstance(source, MoleculeModel):
        return prune_molecules(source, system, train=train, progress=progress, **asked)
    if hasattr(source, "pruned"):
        fix = "student.pruned(share=0.5), then wf.distill(curriculum, start=student) trains what is left"
        raise InputError("a student of wave packets is pruned by itself", where="wf.prune", fix=fix)
    return prune_network(source, system, train=train, progress=progress, **asked)


def _check_alone(path: str | Path, asked: Mapping[str, Any]) -> None:
    """A finished run is opened as it is: settings beside it would be ignored."""
    default = {name: one.default for name, one in inspect.signature(prune).parameters.items()}
    there = {name: value for name, value in asked.items() if value is not None}
    usual = [name for name, value in there.items() if isinstance(value, int | float) and value == default.get(name)]
    if given := [name for name in there if name not in usual]:
        why = f"it has its system and settings already, and {', '.join(given)} would be ignored"
        fix = f'wf.prune("{path}"), or a network: wf.prune(wf.models.dense(), system, ...)'
        raise InputError(f"{path} is a run to open, not to prune", where="wf.prune", why=why, fix=fix)


__all__ = ["prune"]
