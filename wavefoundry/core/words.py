"""Words a user wrote, held against those that are known."""

from __future__ import annotations

import difflib
import fnmatch
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

CUTOFF = 0.65
"""Smallest likeness (difflib's ratio) of a near miss."""
SHORT = 2
"""Known names of so few letters (J1, h) are too alike to guess: only their case may differ."""

SYNONYMS = {
    "depth": "layers",
    "blocks": "layers",
    "dim": "width",
    "features": "width",
    "hidden": "width",
    "embedding": "width",
    "lr": "learning_rate",
    "eta": "learning_rate",
    "epochs": "steps",
    "iterations": "steps",
    "iters": "steps",
    "n_iter": "steps",
    "shift": "diagonal_shift",
    "damping": "diagonal_shift",
    "chains": "walkers",
    "n_chains": "chains",
    "n_samples": "samples",
    "batch_size": "walkers",
    "random_seed": "seed",
}
"""What other programs call the same thing."""


def assigned(values: Mapping[str, float]) -> str:
    """Couplings and their values, as ``J = 1, h = 0.5``."""
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


def told_apart(names: Sequence[str]) -> list[str]:
    """Names that occur once: of equal ones the second is called ``name (2)``, or by the next number that is free."""
    taken, seen, found = set(names), set(), []
    for name in names:
        free = (other for k in itertools.count(2) if (other := f"{name} ({k})") not in taken)
        found.append(next(free) if name in seen else name)
        taken.add(found[-1])
        seen.add(found[-1])
    return found


def near(word: str, known: Iterable[str]) -> str:
    """``did you mean ...?`` for a near miss or another program's name, else an empty string."""
    # Case first: couplings such as J1 and j1 differ in nothing else.
    by_lower = {name.lower(): name for name in known}
    lower = word.lower()
    found = [lower] if lower in by_lower else []
    if not found and SYNONYMS.get(lower) in by_lower:
        found = [SYNONYMS[lower]]
    if not found:
        longer = [name for name in by_lower if len(name) > SHORT]
        found = difflib.get_close_matches(lower, longer, n=1, cutoff=CUTOFF)
    return f"did you mean '{by_lower[found[0]]}'?" if found else ""


def matching(patterns: Sequence[str], names: Sequence[str], refusal: Callable[[str], Exception]) -> list[str]:
    """The names that fit one of some patterns such as ``"orbitals*"``, in their order.

    Raises:
        Exception: what ``refusal`` makes of the first pattern that fits no name.
    """
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise refusal(pattern)
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
