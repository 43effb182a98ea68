"""Students with fewer weights: which of them stay, by magnitude, and how they are held at zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from wavefoundry.core import tree
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import list_of, number_of
from wavefoundry.core.words import matching
from wavefoundry.models.emulator import Emulator
from wavefoundry.models.masked import masked as held

Mask = Mapping[str, np.ndarray]
"""Which weights are left, by the name of their array; arrays that are whole are left out."""
WHERE = "student.pruned"


def weights_of(emulator: Emulator) -> dict[str, np.ndarray]:
    """The arrays of weights by name, as ``frame.kernel``."""
    arrays = tree.to_arrays(eqx.filter(emulator, eqx.is_inexact_array))
    return dict(zip(names_of(emulator), arrays.values(), strict=True))


def names_of(emulator: Emulator) -> list[str]:
    """Names of the arrays of weights, in the order of the leaves."""
    found = jax.tree_util.tree_leaves_with_path(eqx.filter(emulator, eqx.is_inexact_array))
    return [tree.name_of(path).removeprefix("network.") for path, _ in found]


def masked(emulator: Emulator, mask: Mask) -> Emulator:
    """The emulator with zeros where weights were pruned; differentiable, so that these have no gradient."""
    return held(emulator, [mask.get(name) for name in names_of(emulator)]) if mask else emulator


def smaller(emulator: Emulator, mask: Mask, below: float | None, share: float | None, layers: Sequence[str]) -> Mask:
    """What is left once the smallest weights are gone, see ``Student.pruned``."""
    if (below is None) == (share is None):
        raise InputError("one of below and share is needed", where=WHERE, fix="below=1e-3, or share=0.5")
    weights = weights_of(emulator)
    patterns = list_of(layers, str, "pattern", where=f"{WHERE}: layers", fix=f'layers=["{next(iter(weights))}"]')
    why = f"weights here: {', '.join(weights)}"
    chosen = matching(
        patterns or ["*"],
        [*weights],
        lambda one: InputError(f"no weights are called {one!r}", where=f"{WHERE}: layers", why=why),
    )
    kept = {name: np.array(mask.get(name, np.ones(array.shape, bool))) for name, array in weights.items()}
    limit = _number(below, "below", math.inf) if share is None else _limit(weights, kept, chosen, share)
    for name in chosen:
        kept[name] &= np.abs(weights[name]) >= limit
    if not any(kept[name].any() for name in chosen):
        why = f"none has a magnitude of {limit:g} or more" if math.isfinite(limit) else "that is all of them"
        raise InputError("no weight would be left", where=WHERE, why=why)
    return {name: one for name, one in kept.items() if not one.all()}


def _limit(weights: Mapping[str, np.ndarray], kept: Mask, chosen: Sequence[str], share: float) -> float:
    """The magnitude below which a share of the surviving weights lies."""
    sizes = np.sort(np.concatenate([np.abs(weights[name])[kept[name]] for name in chosen]))
    gone = round(_number(share, "share", 1.0) * len(sizes))
    return math.inf if gone == len(sizes) else float(sizes[gone])


def _number(value: Any, name: str, most: float) -> float:
    number = number_of(value, f"number for {name}", where=WHERE)
    if not 0 <= number <= most:
        why = "a number from 0" + (f" to {most:g}" if math.isfinite(most) else "")
        raise InputError(f"{name} = {value!r} is not possible", where=WHERE, why=why)
    return number
