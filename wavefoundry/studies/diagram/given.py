"""A pre-training that exists already: the model of another run, or one with a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wavefoundry.artifacts.results import read_model
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.core.types import Wavefunction
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.diagram.base import together
from wavefoundry.studies.task import Output

WHERE = "pretrain.warm_start"


def taken(path: str, system: LatticeSystem, at: Sequence[Mapping[str, float]]) -> Output:
    """What a pre-training of no steps gives: the model as it is, with its walkers.

    Args:
        path: of a model whose network fits (``warm_start``), a run, or ``zoo:NAME``. system: with its sign rule.
            at: couplings it was trained at, all that it was trained at together or the first of them, which its walkers
            belong to.

    Raises:
        InputError: the model belongs to other couplings or another sign rule.
    """
    arrays, meta = read_model(path, WHERE, "lattice")
    record = meta.get("record", {})
    found = record.get("couplings", {})
    trained = [found | dict(one) for one in record.get("trained_together") or [{}]]
    asked = [system.at(**one).values for one in at]
    if asked not in (trained, trained[:1]):
        names = [name for name in system.values if len({one.get(name) for one in (*trained, *asked)}) > 1]
        there, here, first = (_listed(names, some) for some in (trained, asked, trained[:1]))
        what = f"{path} was trained at {there or 'unknown couplings'}, not at {here}"
        raise InputError(what, where=WHERE, fix=f"at = {{ {first} }}" if first else "another model")
    rule = () if system.sublattice is None else np.asarray(system.sublattice, np.uint8)
    if not np.array_equal(arrays.get("sign_rule", ()), rule):
        raise InputError(f"{path} was trained with another sign rule", where=WHERE, fix="system.marshall")
    rest = Convergence.of(record.get("convergence"))
    known = together(record.get("trained_together") or [])
    return Output({"rest": None if rest is None else rest.stored()} | known, arrays)


def _listed(names: Sequence[str], couplings: Sequence[Mapping[str, float]]) -> str:
    """Some couplings of several systems, as ``h = 0.7 and h = 1``."""
    texts = [
        ", ".join(f"{name} = {repr(one[name]).removesuffix('.0')}" for name in names if name in one)
        for one in couplings
    ]
    return " and ".join(filter(None, texts))


def warm_start(wavefunction: Wavefunction, path: str, where: str = WHERE) -> Wavefunction:
    """Weights of an earlier run or saved model, for a network of the same shape.

    Raises:
        InputError: it has another shape, or is no model of a lattice. IntegrityError: damaged.
    """
    arrays, meta = read_model(path, where, "lattice")
    try:
        return tree.from_arrays(wavefunction, arrays, "wavefunction")
    except IntegrityError as error:  # its sums are right: it is another network
        fix = "the lattice and the [wavefunction] of the study it comes from"
        if meta.get("model", {}).get("conditioned") and not where.startswith("pretrain"):
            fix = "in Python wf.prune(wf.load(path), system): the network takes couplings as input (conditioned)"
        what = f"the network of {path} has other sizes"
        raise InputError(what, where=where, why=str(error), fix=fix) from None
