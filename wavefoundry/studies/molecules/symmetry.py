"""Does an energy depend on how a molecule lies in space? A mirrored and a turned copy of every molecule are asked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.adapt import transfer
from wavefoundry.adapt.transfer import Prepared, Samples
from wavefoundry.artifacts.spec_molecules import MoleculesTrainTable
from wavefoundry.core.errors import InputError
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.statistics import importance_ess
from wavefoundry.core.verdict import Doubt
from wavefoundry.studies.molecules.training import prepared_of
from wavefoundry.studies.molecules.verdict import FAR_ABOVE

BARS = 3.0
"""Combined error bars beyond which two orientations disagree."""
MOST = 2048
"""Samples that are looked at again in another orientation."""
LEAST_ESS = 0.1
"""Share of effective samples below which two orientations have too little in common for a comparison."""
MIRROR = np.diag((-1.0, 1.0, 1.0))
_SAME = 1e-5


class Copy(NamedTuple):
    """Energy of a copy less that of the molecule (Ha), its error bar, and the effective share of the samples.

    A copy that is the very same input differs by nothing, and no sample is looked at. None: not finite.
    """

    difference: float | None
    error: float | None
    share: float


def orientations(
    wavefunction: Any,
    molecule: Molecule,
    prepared: Prepared,
    samples: Samples,
    table: MoleculesTrainTable,
    done: Collection[str] = (),
) -> Iterator[tuple[str, Copy]]:
    """Energies of a mirrored and of a turned copy against that of the molecule, by name of the copy.

    The samples of the molecule serve for its copies, mapped and weighted with the ratio of the densities, so that
    differences are known far better than either energy.

    Args:
        wavefunction: the network. molecule, prepared: one molecule. samples: of it, without members.
        table: how molecules are prepared. done: names to leave out.
    """
    turn = _rotation(molecule)
    for name, matrix in (("mirrored", turn @ MIRROR), ("turned", turn)):
        if name in done:
            continue
        try:
            copy = _compared(wavefunction, molecule, prepared, samples, table, matrix)
        except InputError:  # Hartree-Fock of the copy does not converge: no reason to lose the record
            continue
        yield name, copy


def _rotation(molecule: Molecule) -> np.ndarray:
    """A rotation drawn once for each molecule."""
    rng = np.random.default_rng([molecule.electrons, molecule.atoms, round(1e3 * sum(molecule.distances()))])
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def _compared(
    wavefunction: Any,
    molecule: Molecule,
    prepared: Prepared,
    samples: Samples,
    table: MoleculesTrainTable,
    matrix: np.ndarray,
) -> Copy:
    moved = np.asarray(molecule.positions) @ matrix.T
    other = prepared_of(dataclasses.replace(molecule, positions=tuple(map(tuple, moved.tolist()))), table)
    if _alike(prepared, other):
        return Copy(0.0, 0.0, 1.0)
    thin = max(1, samples.energies.size // MOST)
    chains = np.asarray(samples.x)[:, ::thin]
    mapped = other.frame.place(prepared.frame.back(chains) @ matrix.T)
    log_ratio, there = transfer.reconsidered(wavefunction, prepared, other, chains, mapped, table.chunk)
    here = np.asarray(samples.energies, float)[:, ::thin]
    weights = np.exp(2 * (log_ratio - log_ratio.max()))
    if not np.all(np.isfinite(there)) or not np.all(np.isfinite(weights)):
        return Copy(None, None, 0.0)
    w = weights / weights.mean()
    energy = float((w * there).mean())
    residue = (w * (there - energy) - (here - here.mean())).mean(axis=1)
    error = float(residue.std(ddof=1)) / math.sqrt(len(residue))
    return Copy(energy - float(here.mean()), error, importance_ess(weights) / weights.size)


def _alike(first: Prepared, second: Prepared) -> bool:
    """Whether the network is told the same about both."""
    pairs = (
        (getattr(first.system, name), getattr(second.system, name)) for name in ("positions", "charges", "up", "down")
    )
    return all(np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=0, atol=_SAME) for a, b in pairs)


def symmetry_doubts(copies: dict[str, Copy], error: float, atoms: int) -> list[Doubt]:
    """SYMMETRY where a copy has another energy.

    Both energies are upper bounds, so the higher one is wrong by the difference at least: it refuses from the same
    10 mHa per atom on as a reference does.

    Args:
        copies: from ``orientations``. error: bar of the energy of the molecule (Ha). atoms: of it.
    """
    found = []
    for name, copy in copies.items():
        if copy.share < LEAST_ESS or copy.difference is None or copy.error is None:
            why = f"the {name} molecule has another wavefunction: only {copy.share:.0%} of the samples serve both"
            found.append(Doubt("SYMMETRY", "state", True, why))
            continue
        bars = math.hypot(error, copy.error)
        if abs(copy.difference) > BARS * bars:
            per_atom = abs(copy.difference) * 1000 / atoms
            off = f"{1000 * copy.difference:.1f} mHa ({abs(copy.difference) / bars:.0f} error bars)"
            why = f"the {name} molecule differs in energy by {off}"
            found.append(Doubt("SYMMETRY", "state", per_atom > FAR_ABOVE, why))
    return found


def as_record(copies: dict[str, Copy]) -> dict[str, dict[str, float | None]]:
    """As it stands in summary.json (mHa)."""
    return {
        name: {
            "difference_mha": None if copy.difference is None else 1000 * copy.difference,
            "error_mha": None if copy.error is None else 1000 * copy.error,
            "share": copy.share,
        }
        for name, copy in copies.items()
    }
