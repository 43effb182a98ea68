"""Fresh samples of one molecule and what they say, saved between any two pieces of the work."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from wavefoundry.adapt import transfer
from wavefoundry.adapt.transfer import Prepared, Samples, Sampling
from wavefoundry.artifacts.spec_molecules import MoleculesEvaluateTable, MoleculesTrainTable
from wavefoundry.core import tree
from wavefoundry.core.molecule import Molecule
from wavefoundry.engine import families as engine
from wavefoundry.studies.molecules import records
from wavefoundry.studies.molecules.storable import hidden, shown
from wavefoundry.studies.molecules.symmetry import Copy, orientations
from wavefoundry.studies.progress import Progress

_SLICE = 40
_AXES = (2, 2, 2, 0, 0)
"""Along which slices of ``Samples`` are put together."""


class Evaluation:
    """Samples of one molecule, then observables and its energy in other orientations.

    Args:
        network: whose samples. molecule, prepared: the molecule. key: random key.
        how: chains, samples of each chain, moves.
        progress: of the task, which does nothing else.
    """

    def __init__(
        self, network: Any, molecule: Molecule, prepared: Prepared, key: jax.Array, how: Sampling, progress: Progress
    ):
        self.network, self.molecule, self.prepared, self.how, self.progress = network, molecule, prepared, how, progress
        (self._family,) = transfer.stack([prepared]).families
        self._key = key
        (self._walkers,) = engine.start(key, (self._family,), how.chains)
        self._slices: list[Samples] = []  # with the axis of members
        self._observables: dict[str, Any] = {}
        self._copies: dict[str, Copy] = {}
        found = progress.restore()
        if found is not None:
            _, arrays, meta = found
            self._walkers = tree.from_arrays(self._walkers, arrays, "walkers")
            self._slices = [Samples(**shown(arrays, "samples/"))]  # type: ignore[arg-type]
            self._observables = meta["observables"]
            self._copies = {name: Copy(*row) for name, row in meta["copies"].items()}

    def samples(self) -> Samples:
        """Samples without the axis of members: energies (chains, samples), x (chains, samples, n, 3).

        Raises:
            Interrupted: a signal arrived, and the samples drawn so far have been saved.
        """
        each = self.how.samples
        size = max(d for d in range(1, min(each, _SLICE) + 1) if each % d == 0)
        while (drawn := self._drawn()) < each:
            how = dataclasses.replace(self.how, samples=size, burn_in=0 if drawn else self.how.burn_in)
            part, self._walkers = transfer.evaluate(self.network, self._family, self._key, how, self._walkers)
            self._slices.append(jax.tree.map(np.asarray, part))
            self._save_if_due()
        found = _joined(self._slices)
        self._slices = [found]
        return Samples(*(array[0] for array in found[:3]), *(np.mean(rates) for rates in found[3:]))  # type: ignore[arg-type]

    def observables(self, samples: Samples, table: MoleculesEvaluateTable) -> dict[str, Any]:
        """What the samples say beyond the energy."""
        done = self._observables
        molecule = self.network, self.molecule, self.prepared
        return self._gather(done, records.observables_of(*molecule, samples, table, tuple(done)))

    def copies(self, samples: Samples, table: MoleculesTrainTable) -> dict[str, Copy]:
        """Its energy in other orientations; table: how molecules are prepared."""
        done = self._copies
        molecule = self.network, self.molecule, self.prepared
        return self._gather(done, orientations(*molecule, samples, table, tuple(done)))

    def _gather(self, done: dict[str, Any], parts: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        for name, part in parts:
            done[name] = part
            self._save_if_due()
        return done

    def _drawn(self) -> int:
        return sum(part.energies.shape[2] for part in self._slices)

    def _save_if_due(self) -> None:
        if self.progress.due:
            found = _joined(self._slices)
            pieces = self._drawn() + len(self._observables) + len(self._copies)
            arrays = hidden(found._asdict(), "samples/") | tree.to_arrays(self._walkers, "walkers")
            copies = {name: list(copy) for name, copy in self._copies.items()}
            self.progress.save(pieces, arrays, observables=self._observables, copies=copies)


def sampling(evaluate: MoleculesEvaluateTable, train: MoleculesTrainTable, part: int = 1) -> Sampling:
    """How a molecule is sampled; one part of so many of the samples, four from each chain at least."""
    each = max(4, evaluate.samples // part // evaluate.chains)
    return Sampling(evaluate.chains, each, evaluate.burn_in, evaluate.moves, train.drift, train.chunk)


def _joined(slices: list[Samples]) -> Samples:
    parts = zip(zip(*slices, strict=True), _AXES, strict=True)
    return Samples(*(np.concatenate(arrays, axis=axis) for arrays, axis in parts))  # type: ignore[arg-type]
