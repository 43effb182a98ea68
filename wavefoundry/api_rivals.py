"""Rivals of a diagram in Python: the same kinds as ``[baselines]`` of a study file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from wavefoundry.artifacts.spec_adapt import AdaptTable, BaselinesTable
from wavefoundry.artifacts.spec_checks import rivals as problems
from wavefoundry.artifacts.spec_errors import checked
from wavefoundry.artifacts.spec_tables import EvaluateTable, grid
from wavefoundry.core.errors import InputError
from wavefoundry.core.meter import Cost
from wavefoundry.core.types import Wavefunction
from wavefoundry.studies.diagram.baselines import Kit, Rivals
from wavefoundry.studies.diagram.comparison import TRANSITION, compared
from wavefoundry.studies.diagram.mapper import tunable
from wavefoundry.studies.diagram.networks import conditioned
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.referencing import References
from wavefoundry.studies.diagram.study import base_arrays
from wavefoundry.studies.execute import execute
from wavefoundry.studies.progress import Context
from wavefoundry.studies.task import Output


def table_for(baselines: Any, base: Any, points: list[dict[str, float]]) -> BaselinesTable:
    """Which rivals are asked for: a list of kinds, or ``kinds``, ``seeds`` and ``deep``.

    Args:
        base: ``Pretrained``. points: couplings of the map.

    Raises:
        InputError: unknown kinds or keys, or a base whose network cannot be trained anew.
    """
    where = "wf.map: baselines"
    given = {"kinds": list(baselines)} if isinstance(baselines, list | tuple) else baselines
    if not isinstance(given, Mapping):
        raise InputError(f"{type(baselines).__name__} names no rivals", where=where, fix='baselines=["scratch"]')
    table = checked(BaselinesTable, where, given)
    if base.model is None:
        raise InputError("a state of NetKet has no network to start anew", where=where, fix="wf.pretrain(system)")
    for problem in problems(table, _at(base, points[0]), points, tunable(base.wavefunction)):
        raise InputError(problem.what, where=f"{where}: {problem.path[-1]}", why=problem.why, fix=problem.fix)
    return table


def _at(base: Any, names: Iterable[str]) -> list[dict[str, float]]:
    """Where a base was pre-trained, told by some of the couplings."""
    return [{name: base.system.at(**point).values[name] for name in names} for point in grid(base.settings.at)]


def comparison(
    base: Any,
    build: Callable[..., Wavefunction],
    tables: tuple[AdaptTable, EvaluateTable, BaselinesTable],
    mine: tuple[Sequence[Mapping[str, Any]], Cost],
    context: Context,
    references: References,
    how: Mapping[str, Any],
) -> dict[str, Any]:
    """Do the rivals of a map, and hold it against them.

    Args:
        base: ``Pretrained``. build: its network anew, from its description, a system and settings. tables: [adapt],
            [evaluate] and [baselines]. mine: records and cost of the map. context: of the run.
        references: what energies are held against. how: what stands in place of the natural gradient, of the map and
            so of its rivals.
    """
    adapt, evaluate, table = tables
    system, settings = base.system, base.settings
    at = _at(base, adapt.points)

    def network(seed: int) -> Wavefunction:
        return build(base.model, system, settings.model_copy(update={"seed": seed}))

    chunk = chunk_size(base.wavefunction, system, 512)
    given = conditioned(base.model, system, base.wavefunction.real, list(adapt.points))
    kit = Kit(system, network, settings, adapt, evaluate, grid(adapt.points), at, chunk, references, given, how)
    rest = base.base.convergence
    given = Output({"rest": None if rest is None else rest.stored()}, base_arrays(base.base))
    rivals = Rivals(kit, table, None, given)
    done = execute(rivals, context)
    start, (points, cost) = base.record["cost"], mine
    rows = [{"kind": TRANSITION, "seed": 0, "points": points, "start": start, "adapt": cost.to_dict()}]
    rows += rivals.records(done)
    for one in rows:  # the pre-training exists already: its cost is that of its record
        if one["kind"] == "warm-chain" and one["seed"] == 0:
            one["start"] = start
    deep = rivals.deep if "deep" in table.kinds else None
    return compared(rows, kit.points, deep, adapt.method)
