"""The states of a diagram, from the arrays that were kept of its points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import plain_of
from wavefoundry.core.types import Wavefunction
from wavefoundry.core.values import known
from wavefoundry.models.conditioning import fixed
from wavefoundry.models.heads import with_head_weights
from wavefoundry.studies.diagram.base import Base
from wavefoundry.studies.diagram.sectors import in_sectors
from wavefoundry.studies.diagram.states import LatticeState


def states_of(
    bases: Sequence[Base], records: Sequence[dict[str, Any]], states: Sequence[dict[str, np.ndarray] | None]
) -> list[LatticeState | None]:
    """The states of a diagram from what was kept of them.

    Args:
        bases: the state that each of them was adapted from. records: of the points. states: arrays of every point.
    """
    found: list[LatticeState | None] = []
    for base, record, arrays in zip(bases, records, states, strict=True):
        found.append(
            None
            if arrays is None
            else LatticeState(
                base.system.at(**record["couplings"]),
                with_arrays(base, arrays),
                jnp.asarray(arrays["walkers"]),
                record,
            )
        )
    return found


def bases_of(
    starts: Sequence[Base], pretrained: Sequence[Mapping[str, Any]], records: Sequence[Mapping[str, Any]]
) -> list[Base]:
    """The state that each point of a finished run was adapted from, projected on its sector.

    Args:
        starts: the trained states. pretrained: their records. records: of the points.
    """
    of, numbers = [], []
    for record in records:
        index = (record.get("base") or {"index": 0})["index"]
        chosen = pretrained[index].get("symmetry")
        of.append(index)
        # a run from before sectors were chosen point by point has that of the base
        numbers.append(None if chosen is None else (record.get("sector") or {"number": chosen["sector"]})["number"])
    states: dict[tuple[int, int | None], Base] = {}
    for index, start in enumerate(starts):
        mine = {n for i, n in zip(of, numbers, strict=True) if i == index and n is not None}
        found = in_sectors(start, pretrained[index]["symmetry"], sorted(mine)) if mine else {}
        states |= {(index, None): start} | {(index, n): state for n, state in found.items()}
    return [states[pair] for pair in zip(of, numbers, strict=True)]


def with_arrays(base: Base, arrays: Mapping[str, np.ndarray]) -> Wavefunction:
    """The network of a base with the head ``weights`` of a point, with all arrays of a full training, or as it is."""
    wavefunction = base.wavefunction
    if "weights" in arrays:
        return with_head_weights(fixed(wavefunction, base.system), jnp.asarray(arrays["weights"]))
    changed = {name: value for name, value in arrays.items() if name != "walkers"}
    return tree.from_arrays(wavefunction, changed) if changed else wavefunction


def state_at(
    records: Sequence[dict[str, Any]], states: Sequence[LatticeState | None], couplings: Mapping[str, float]
) -> LatticeState:
    """The one state at given couplings.

    Raises:
        InputError: unknown couplings, no such point, several, or one whose state was not kept.
    """
    names = list(records[0]["couplings"])
    unknown = [name for name in couplings if name not in names]
    if unknown:
        why = f"the couplings are {', '.join(names)}"
        raise InputError(f"the diagram has no coupling {unknown[0]!r}", where="diagram.state", why=why)
    for name, value in couplings.items():
        if not known(plain_of(value)):
            what, fix = f"{name} = {value!r:.60} is no coupling", "one number; a state belongs to one point"
            raise InputError(what, where="diagram.state", fix=fix)
    # about zero the unit of the couplings is that of all points
    near = {name: 1e-9 * max(abs(record["couplings"][name]) for record in records) for name in couplings}
    found = [
        index
        for index, record in enumerate(records)
        if all(math.isclose(record["couplings"][k], v, rel_tol=1e-9, abs_tol=near[k]) for k, v in couplings.items())
    ]
    varied = [name for name in names if len({record["couplings"][name] for record in records}) > 1] or names
    if len({tuple(records[index]["couplings"].values()) for index in found}) != 1:
        listed = "; ".join(", ".join(f"{k}={record['couplings'][k]:g}" for k in varied) for record in records[:12])
        raise InputError(
            "several points have these couplings" if found else "no point has these couplings",
            where="diagram.state",
            why=f"the points are {listed}{' ...' if len(records) > 12 else ''}",
            fix=f"diagram.state({', '.join(f'{name}=...' for name in varied)})",
        )
    state = states[found[0]] if states else None
    if state is None:
        why = "it has no usable number" if records[found[0]]["energy"] is None else "the run did not keep its states"
        raise InputError("the state of this point is not there", where="diagram.state", why=why)
    return state
