"""A pre-training that exists already: the model of another run, or one with a name."""

from __future__ import annotations

import numpy as np

from wavefoundry.artifacts.results import read_model
from wavefoundry.core import tree
from wavefoundry.core.convergence import Convergence
from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.core.types import Wavefunction
from wavefoundry.problems.spins import LatticeSystem
from wavefoundry.studies.task import Output

WHERE = "pretrain.warm_start"


def taken(path: str, system: LatticeSystem) -> Output:
    """What a pre-training of no steps gives: the model as it is, with its walkers.

    Args:
        path: of a model whose network fits (``warm_start``), a run, or ``zoo:NAME``. system: at its couplings,
            with its sign rule.

    Raises:
        InputError: the model belongs to other couplings or another sign rule.
    """
    arrays, meta = read_model(path, WHERE, "lattice")
    record = meta.get("record", {})
    if (at := record.get("couplings", {})) != system.values:
        other = [name for name, value in system.values.items() if at.get(name) != value]
        there, here = (
            ", ".join(f"{name} = {repr(known[name]).removesuffix('.0')}" for name in other if name in known)
            for known in (at, system.values)
        )
        what = f"{path} was trained at {there or 'unknown couplings'}, not at {here}"
        raise InputError(what, where=WHERE, fix=f"at = {{ {there} }}" if there else "another model")
    rule = () if system.sublattice is None else np.asarray(system.sublattice, np.uint8)
    if not np.array_equal(arrays.get("sign_rule", ()), rule):
        raise InputError(f"{path} was trained with another sign rule", where=WHERE, fix="system.marshall")
    rest = Convergence.of(record.get("convergence"))
    return Output({"rest": None if rest is None else rest.stored()}, arrays)


def warm_start(wavefunction: Wavefunction, path: str, where: str = WHERE) -> Wavefunction:
    """Weights of an earlier run or saved model, for a network of the same shape.

    Raises:
        InputError: it has another shape, or is no model of a lattice. IntegrityError: damaged.
    """
    arrays, _ = read_model(path, where, "lattice")
    try:
        return tree.from_arrays(wavefunction, arrays, "wavefunction")
    except IntegrityError as error:  # its sums are right: it is another network
        fix = "the [wavefunction] of the study it comes from"
        what = f"the network of {path} has other sizes"
        raise InputError(what, where=where, why=str(error), fix=fix) from None
