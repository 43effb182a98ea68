"""Which symmetry sectors the points of a diagram are adapted in, and the adaptation of one base in several of them.

The energy of a projection is linear in the couplings. So the expectation values of all terms in every sector, taken
once from the samples of the base, give the lowest sector at any coupling, with its error bar.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.core.errors import PhysicsError
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.words import assigned
from wavefoundry.models.projection import projected
from wavefoundry.problems.groups import characters
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.problems.symmetry import shift
from wavefoundry.studies.diagram import choice
from wavefoundry.studies.diagram.adapting import Adapted
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.ladder import LadderAdaptation, adaptation
from wavefoundry.studies.diagram.mapper import Mapper, tunable
from wavefoundry.studies.diagram.part import Event, Told
from wavefoundry.studies.diagram.pretraining import chunk_size
from wavefoundry.studies.diagram.symmetry import (
    Sectors,
    SectorSamples,
    place_of,
    require_images,
    sector_samples,
    sectors_of,
)
from wavefoundry.studies.progress import Progress
from wavefoundry.studies.task import Output, Outputs, Task

FIRST, MOST = 256, 512
"""Samples that sectors are chosen by, as many more at a time where these do not decide, and at most: all images of all
neighbours cost, and trying two sectors costs no more."""
LEAST = 0.02
"""Weight of a sector in a state from which on it is a candidate."""
NOTHING = 1e-3
"""Weight of all sectors together below which the state is in none of them."""
BARS = 2.0
"""Sectors whose energies differ by fewer error bars cannot be told apart."""
MEMORY = 512
"""MiB that the networks of all images may take at a time."""
BOTH = ("head", "zero-shot")
"""Methods, and rungs of "auto", that are cheap enough to try the two lowest sectors that cannot be told apart."""


def sector_of(
    base: Base, adapt: AdaptTable, points: Sequence[Mapping[str, float]], near: Collection[int] | None = None
) -> dict[str, Any]:
    """The sectors that a trained state is to be projected on, at every point.

    The one asked for, or those whose projections have the lowest energy at its couplings among the sectors that weigh
    something in the state.

    Args:
        base: the state. adapt: table of the study file. points: couplings. near: numbers of the points that have to be
            decided, by default all; others are as far as the samples say.

    Returns:
        What is kept of the choice: ``parts`` of the group, ``images``, ``sector`` at the couplings of the base,
        ``candidates`` with weight, energy and terms, and for each of the ``points`` the sectors that cannot be told
        from the lowest one, which comes first.

    Raises:
        InputError: there is nothing to project on, or the network cannot be in the sector asked for. PhysicsError:
            the state is in none of them.
    """
    found = sectors_of(base.wavefunction, base.system, adapt.symmetry)
    require_images(len(found.images), found.group, adapt.symmetry)
    asked = adapt.sector if isinstance(adapt.sector, int) else None
    if asked is not None:
        place_of(found, asked)
    couplings = [
        np.asarray(system.couplings, float) for system in (base.system, *(base.system.at(**p) for p in points))
    ]
    deciding = [] if asked is not None else [0, *(k + 1 for k in (range(len(points)) if near is None else near))]
    seen = _looked_at(base, found, [couplings[k] for k in deciding])
    if asked is None:
        _require_weight(seen, adapt.symmetry)
    orders = [[asked] if asked is not None else [int(found.numbers[c]) for c in lowest(seen, one)] for one in couplings]
    return {
        "parts": list(adapt.symmetry),
        "images": len(found.images),
        "sector": orders[0][0],
        "candidates": _candidates(base.system, found, seen),
        "points": orders[1:],
    }


def _require_weight(seen: SectorSamples, parts: Sequence[str]) -> None:
    """Refuse to project a state that is in none of the sectors: ground states then are degenerate, as +-k are."""
    total = float(np.sum(seen.weight[np.isfinite(seen.weight)]))
    if total < NOTHING:
        raise PhysicsError(
            f"the pre-trained state lies in no sector of {', '.join(parts)} that has one dimension: "
            f"they hold {total:.1%} of it\n"
            "  why:   states of other sectors are degenerate, as those of momentum k and -k are\n"
            "  fix:   fewer parts in adapt.symmetry, or a sector of your choice"
        )


def _looked_at(base: Base, found: Sectors, couplings: Sequence[np.ndarray]) -> SectorSamples:
    """As many samples as it takes to decide at given couplings."""
    state = projected(base.wavefunction, found.projection(0)).without_features()
    chunk = chunk_size(state, base.system, MEMORY)

    def block(number: int) -> SectorSamples:
        xs = base.x[number * FIRST : (number + 1) * FIRST]
        return sector_samples(base.wavefunction, base.system, found, xs, seed=number, chunk=chunk)

    seen = block(0)
    for number in range(1, min(len(base.x), MOST) // FIRST):
        if all(len(lowest(seen, one)) == 1 for one in couplings):
            break
        seen = SectorSamples(*(np.concatenate(both) for both in zip(seen, block(number), strict=True)))
    return seen


def lowest(seen: SectorSamples, couplings: Float[np.ndarray, " terms"]) -> list[int]:
    """Places of the sectors that cannot be told from the lowest at given couplings, by energy, that one first."""
    heavy = _heavy(seen)
    energies, covariance = seen.energies(couplings)
    order = sorted(heavy, key=lambda c: energies[c])
    first = order[0]
    bars = np.sqrt(np.maximum(np.diag(covariance) + covariance[first, first] - 2 * covariance[first], 0.0))
    return [first, *(c for c in order[1:] if energies[c] - energies[first] < BARS * bars[c])]


def _heavy(seen: SectorSamples) -> list[int]:
    """Sectors that weigh something in the state; of many that do not the heaviest."""
    weight = np.where(np.isfinite(seen.terms).all(axis=1), seen.weight, 0.0)
    return np.flatnonzero(weight >= LEAST).tolist() or [int(weight.argmax())]


def _candidates(system: LatticeSystem, found: Sectors, seen: SectorSamples) -> list[dict[str, Any]]:
    """The sectors that weigh something in a trained state, as they are kept."""
    couplings, terms, rows = np.asarray(system.couplings, float), seen.terms, seen.residuals()
    energies, covariance = seen.energies(couplings)
    return [
        {
            "sector": int(found.numbers[c]),
            "weight": float(seen.weight[c]),
            "energy": float(energies[c]),
            "energy_error": float(np.sqrt(covariance[c, c])),
            "terms": dict(zip(system.names, terms[c].tolist(), strict=True)),
            "terms_covariance": (rows[:, c].T @ rows[:, c]).tolist(),
        }
        | described(found, c, system.extent)
        for c in _heavy(seen)
    ]


def tries_two(adapt: AdaptTable, wavefunction: Wavefunction) -> bool:
    """Whether two sectors are tried where they cannot be told apart: by all of the method, or by its first rungs."""
    cheap = BOTH if tunable(wavefunction) else BOTH[1:]
    return adapt.method in BOTH or (adapt.method == "auto" and not set(cheap).isdisjoint(adapt.rungs))


def wanted(chosen: Mapping[str, Any], two: bool, count: int) -> list[list[int]]:
    """The sectors that each of ``count`` points is adapted in.

    Two where they cannot be told apart and both are to be tried, see ``tries_two``. Runs from before sectors were
    chosen point by point have one for all.
    """
    orders = chosen.get("points") or [[chosen["sector"]]] * count
    return [order[: 2 if two else 1] for order in orders]


def in_sectors(base: Base, chosen: Mapping[str, Any], numbers: Collection[int]) -> dict[int, Base]:
    """A trained state projected on some sectors, by their numbers."""
    found = sectors_of(base.wavefunction, base.system, chosen["parts"])
    states = {}
    for number in numbers:
        place = place_of(found, number)
        state = projected(base.wavefunction, found.projection(place))
        words = {"number": number} | described(found, place, base.system.extent)
        states[number] = dataclasses.replace(base, wavefunction=state, sector=words)
    return states


def adapted(
    base: Base,
    points: list[dict[str, float]],
    adapt: AdaptTable,
    mapper: Callable[[Base], Mapper],
    after: tuple[str, ...] = (),
    chosen: Mapping[str, Any] | None = None,
) -> Adapted:
    """The points of a base, in the sectors that were chosen for them.

    Args:
        base: the trained state. points: couplings. adapt: how. mapper: what a state is adapted with.
        after: tasks that the base is made of. chosen: see ``sector_of``; None where nothing is projected.
    """
    if chosen is None:
        return adaptation(mapper(base), points, after)
    orders = wanted(chosen, tries_two(adapt, base.wavefunction), len(points))
    members = {number: [i for i, order in enumerate(orders) if number in order] for order in orders for number in order}
    states = in_sectors(base, chosen, list(members))
    if len(members) == 1:
        (state,) = states.values()
        return adaptation(mapper(state), points, after)
    parts = {n: adaptation(mapper(states[n]), points, after, only) for n, only in members.items()}
    return InSectors(parts, orders)


class InSectors(Adapted):
    """The points of a base in several sectors: tasks of each under names of its own, the lower state is kept.

    Args:
        parts: the adaptation of each sector, by its number. orders: the sectors of every point.
    """

    def __init__(self, parts: Mapping[int, Adapted], orders: Sequence[Sequence[int]]):
        first = next(iter(parts.values()))
        super().__init__(first.mapper, first.points, first.after)
        self.parts, self.orders = parts, orders
        self.keeps_samples = first.keeps_samples
        for number, part in parts.items():
            part.share_memory(len(parts))
            if isinstance(part, LadderAdaptation):
                part.ahead = functools.partial(self._ahead, number)

    def tasks(self, done: Outputs, only: Collection[int] | None = None) -> list[Task]:
        """Those of every sector, each for the points that want it."""
        found = []
        for number, part in self.parts.items():
            mine = [i for i in (range(len(self.points)) if only is None else only) if number in self.orders[i]]
            for task in part.tasks(self._own(number, done), mine):
                needs = (*(self._outer(name, number) for name in task.needs), *self._rivals(task.name, number, done))
                found.append(task._replace(name=self._outer(task.name, number), needs=needs))
        return found

    def _rivals(self, name: str, number: int, done: Outputs) -> list[str]:
        """What other sectors of a point have given so far: how far its climb goes depends on that."""
        kind, _, rest = name.partition("/")
        index = rest.partition("/")[0]
        others = [n for n in self.orders[int(index)] if n != number] if kind in ("rung", "point") else []
        begins = f"rung/{index}/"
        return [n for n in done if n.startswith(begins) and any(n.endswith(f"{LABEL}{one}") for one in others)]

    def perform(self, name: str, done: Outputs, progress: Progress) -> Output:
        """Do one of them."""
        inner, _, number = name.rpartition(LABEL)
        sector = int(number)

        def tell(event: Event) -> Event:
            return event | ({"sector": sector} if event["event"] in ("step", "round", "rung", "point") else {})

        own, told = self._own(sector, done), cast(Progress, Told(progress, tell))
        return self.parts[sector].perform(inner, own, told)

    def _ahead(self, number: int, index: int, done: Outputs) -> bool | None:
        """Whether a sector of a point is the best by the rungs that train nothing: it alone is trained."""
        if len(self.orders[index]) == 1:
            return True
        trials: dict[int, dict[str, Any]] = {}
        for rival in self.orders[index]:
            part = self.parts[rival]
            assert isinstance(part, LadderAdaptation)
            if (output := part.trial(index, _labelled(rival, done))) is None:
                return None
            trials[rival] = output.record
        return choice.best(trials) == number

    def _outer(self, name: str, number: int) -> str:
        """``tune/3`` becomes ``tune/3/sNUMBER``; what comes before the adaptation belongs to all."""
        return name if name in self.after else f"{name}{LABEL}{number}"

    def _own(self, number: int, done: Outputs) -> dict[str, Output]:
        """The outputs of one sector under its own names; those of the others keep theirs."""
        return dict(done) | _labelled(number, done)

    def _kept(self, index: int, done: Outputs) -> tuple[dict[int, Output], int] | None:
        """What the sectors of a point gave, and the number of the best; None as long as some are missing."""
        outputs = {n: self.parts[n].output(index, self._own(n, done)) for n in self.orders[index]}
        there = {n: output for n, output in outputs.items() if output is not None}
        if len(there) < len(outputs):
            return None
        return there, choice.best({n: output.record for n, output in there.items()})

    def output(self, index: int, done: Outputs) -> Output | None:
        """That of the best sector of a point, with what the others gave."""
        found = self._kept(index, done)
        if found is None:
            return None
        outputs, best = found
        names = ("energy", "energy_error", "v_score", "cost")
        record = outputs[best].record
        if len(outputs) == 1:
            return outputs[best]
        tried = [{"number": n} | {key: one.record[key] for key in names} for n, one in sorted(outputs.items())]
        return outputs[best]._replace(record=record | {"sector": {**record["sector"], "tried": tried}})

    def base(self, index: int, done: Outputs) -> Base:
        """The state that a point is adapted from, projected on its sector."""
        found = self._kept(index, done)
        assert found is not None
        return self.parts[found[1]].base(index, done)


LABEL = "/s"
"""Before the number of a sector in the names of tasks."""


def _labelled(number: int, done: Outputs) -> dict[str, Output]:
    """The outputs of one sector alone, under its own names."""
    label = f"{LABEL}{number}"
    return {name.removesuffix(label): output for name, output in done.items() if name.endswith(label)}


def sector_words(chosen: Mapping[str, Any], points: Sequence[Mapping[str, float]], two: bool) -> str:
    """The choice of sectors as one line of the log, with those that might as well be the lowest; two: ``tries_two``."""
    mine = [one for one in chosen["candidates"] if one["sector"] == chosen["sector"]]
    words = f"projected on sector {chosen['sector']} by {chosen['images']} images"
    if mine:
        words += f", {100 * mine[0]['weight']:.0f} % of the pre-trained state"
    orders = chosen["points"]
    other: dict[int, list[str]] = {}
    close: dict[tuple[int, ...], list[str]] = {}
    for point, order in zip(points, orders, strict=True):
        if order[0] != chosen["sector"]:
            other.setdefault(order[0], []).append(assigned(point))
        if len(order) > 1:
            close.setdefault(tuple(order), []).append(assigned(point))
    for number, where in other.items():
        words += f"; sector {number} at {', '.join(where)}"
    for order, where in close.items():
        numbers, tried = (
            ", ".join(map(str, order)),
            "the two lowest are tried" if two else "[adapt] sector tries one",
        )
        words += f"; the samples cannot tell {numbers} apart at {', '.join(where)}: {tried}"
    return words


def described(found: Sectors, place: int, extent: tuple[int, ...]) -> dict[str, Any]:
    """A sector in the field's terms: momentum, in units of pi per cell, and how it behaves under flip, turn and mirror.

    Returns:
        ``momentum`` along each axis, ``spin_flip``, ``rotation`` (a quarter turn about a site) and ``mirror`` (of the
        first axis), +-1 each; what the group lacks is left out.
    """
    group, row = found.group, characters(found.group)[found.numbers[place]]
    where = {(p.tobytes(), bool(f)): g for g, (p, f) in enumerate(zip(group.permutations, group.flips, strict=True))}
    kind = group.permutations.dtype

    def character(permutation: Any, flip: bool = False) -> complex | None:
        g = None if permutation is None else where.get((np.asarray(permutation, kind).tobytes(), flip))
        return None if g is None else complex(row[g])

    def first(permutations: Iterable[np.ndarray]) -> complex | None:
        return next((one for p in permutations if (one := character(p.reshape(-1))) is not None), None)

    words: dict[str, Any] = {}
    momentum = []
    periodic = int(group.shifts.sum()) > 1
    for axis, edge in enumerate(extent if periodic else ()):
        steps = [character(shift(extent, axis, step)) for step in range(1, edge)]
        momentum += [float(np.round(np.angle(one) / np.pi, 6)) for one in steps if one is not None][:1]
    if momentum:
        words["momentum"] = momentum
    sites = group.permutations.shape[1]
    found_of = {"spin_flip": character(np.arange(sites), True)}
    if int(np.prod(extent)) == sites:
        place_at = np.arange(sites).reshape(extent)
        # about a site, r -> -r; of open edges about the middle
        middle = np.flip(place_at, 0)
        backs = [np.roll(middle, 1, 0)] if periodic else [middle, np.roll(middle, 1, 0)]
        found_of["mirror"] = first(back for back in backs)
        if len(extent) == 2 and extent[0] == extent[1]:
            found_of["rotation"] = first(back.T for back in backs)
    return words | {name: int(np.round(one.real)) for name, one in found_of.items() if one is not None}
