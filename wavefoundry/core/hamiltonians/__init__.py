"""The built-in Hamiltonians as one table, a file for each family; ``register`` adds to it."""

from __future__ import annotations

from wavefoundry.core.errors import InputError
from wavefoundry.core.hamiltonians import heisenberg, ising, toric
from wavefoundry.core.hamiltonians.local import Local, check_local, factors, faults, local_of, read_local, turned
from wavefoundry.core.hamiltonians.model import SPINS, Model, Place, Sets, Term, Values
from wavefoundry.core.lattices import LATTICES
from wavefoundry.core.plugins import Registry
from wavefoundry.core.words import near

MODELS: Registry[Model] = Registry((m.name, m) for module in (ising, heisenberg, toric) for m in module.MODELS)
"""Models of spins on a lattice, by the names they have in study files."""


def convention(name: str, uniform: bool = True) -> str:
    """What the energies of a model are, in words; of one that is not built in, too; uniform: no local couplings."""
    words = MODELS[name].convention if name in MODELS else "total energy of the given operators"
    return words if uniform else f"{words}, with factors of their own on some sites or bonds"


def register(model: Model) -> Model:
    """Make a model known by its name, to study files and to ``wf.lattice.build``.

    Raises:
        InputError: the name is taken, a coupling has no term or a term no coupling, or a lattice is not known.
    """
    where = f"register: model {model.name!r}"
    if MODELS.get(model.name, model) is not model:
        raise InputError(f"there is a model {model.name!r} already", where="register", fix="choose another name")
    if {term.coupling for term in model.terms} != set(model.couplings):
        raise InputError("terms and couplings do not match", where=where, why="every coupling stands before a term")
    if model.unit not in model.couplings or not set(model.bounds) <= set(model.couplings):
        raise InputError("unit and bounds are about couplings", where=where, fix=", ".join(model.couplings))
    for name in model.lattices:
        if name not in LATTICES:
            why = f"known: {', '.join(LATTICES)}"
            raise InputError(f"there is no lattice {name!r}", where=where, why=why, fix=near(name, LATTICES))
    MODELS[model.name] = model
    return model


__all__ = [
    "MODELS", "SPINS", "Local", "Model", "Place", "Sets", "Term", "Values", "check_local", "convention", "factors",
    "faults", "local_of", "read_local", "register", "turned",
]  # fmt: skip
