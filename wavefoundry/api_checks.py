"""What the Python interface is given, held against what it needs: refusals before anything runs."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from wavefoundry.artifacts.spec_adapt import AdaptTable
from wavefoundry.artifacts.spec_checks import climbing, sectors
from wavefoundry.artifacts.spec_tables import PretrainTable
from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import expect, number_of, plain_of
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.molecule import Molecule
from wavefoundry.core.networks import NETWORKS
from wavefoundry.core.words import assigned, near
from wavefoundry.models import ElectronsSpec, EmulatorSpec, SymmetricSpec
from wavefoundry.problems.spins import LatticeSystem


def check_molecules(system: Any) -> None:
    """What is neither a lattice system nor molecules is refused by its name."""
    listed = [system] if isinstance(system, Molecule) else system
    if isinstance(listed, Sequence) and not isinstance(listed, str) and all(isinstance(m, Molecule) for m in listed):
        return
    operator = hasattr(system, "hilbert")
    raise InputError(
        f"{type(system).__name__} is no system",
        where="wf.pretrain: system",
        why="an operator needs a coupling and a lattice" if operator else "",
        fix='wf.lattice.from_netket({"H": operator}, {"H": 1.0})'
        if operator
        else "one from wf.lattice, or molecules from wf.molecules",
    )


HOW = ("optimiser", "preconditioner", "sampler")
"""Settings that are functions, and belong to Python alone."""
_SETTINGS = {*PretrainTable.model_fields, *AdaptTable.model_fields}


def optimisation_of(settings: Mapping[str, Any], where: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stands in place of the natural gradient, and the other settings.

    Raises:
        InputError: no optimiser of Optax, or no function.
    """
    how = {name: settings[name] for name in HOW if settings.get(name) is not None}
    rest = {name: value for name, value in settings.items() if name not in HOW}
    for name in rest:
        if name not in _SETTINGS and (fix := near(name, HOW)):
            raise InputError(f"unknown setting {name}", where=where, fix=fix)
    optimiser = how.get("optimiser")
    if optimiser is not None and not all(callable(getattr(optimiser, part, None)) for part in ("init", "update")):
        what = f"{optimiser!r:.60} is no optimiser of Optax"
        raise InputError(what, where=f"{where}: optimiser", fix="optimiser=optax.adam(1e-3), for example")
    for name in ("preconditioner", "sampler"):
        if name in how and not callable(how[name]):
            raise InputError(f"{how[name]!r:.60} is no function", where=f"{where}: {name}", fix="see wf.pretrain")
    return how, rest


def check_network(model: Any, system: LatticeSystem, where: str) -> None:
    """Refuse what describes no network for a lattice, or one that needs rows of spins where there are none."""
    model = model.model if isinstance(model, SymmetricSpec) else model
    if isinstance(model, ElectronsSpec | EmulatorSpec | type) or not hasattr(model, "build"):
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        raise InputError(f"{name} is no network for a lattice", where=where, fix="wf.models.dense(), wf.models.vit()")
    entry = MODELS.get(system.model)
    network = next((one for one in NETWORKS.values() if type(model) is one.described()), None)
    if entry is not None and network is not None and (why := network.misfit(entry)):
        what = f"{type(model).__name__} is not for the {entry.title}"
        raise InputError(what, where=where, why=why, fix="wf.models.dense()")


def points_at(at: Any) -> list[dict[str, float]]:
    """Couplings to train together as a list of points."""
    if at is None:
        return [{}]
    listed: list[Any] = list(at) if isinstance(at, Sequence) and not isinstance(at, str) else []
    if not listed or not all(isinstance(point, Mapping) for point in listed):
        raise InputError(
            "at is not a list of points",
            where="wf.pretrain: at",
            why="each system that is trained together has couplings of its own",
            fix='at=[{"h": 0.9}, {"h": 1.1}], for example',
        )
    for point in listed:
        several = next((name for name, value in point.items() if isinstance(value, list | tuple)), None)
        if several is not None or set(point) != set(listed[0]):
            raise InputError(
                f"{several} has several values at one point" if several else "points do not name the same couplings",
                where="wf.pretrain: at",
                fix='at=[{"h": 0.9}, {"h": 1.1}], for example',
            )
        if listed.count(point) > 1:
            raise InputError(
                f"{dict(point)} is named twice",
                where="wf.pretrain: at",
                why="every system is trained with the same weight",
            )
    return [dict(point) for point in listed]


def check_not_empty(system: LatticeSystem, points: Sequence[Mapping[str, float]], where: str) -> None:
    """Unknown couplings, values that are no numbers, and points at which no coupling is left are refused."""
    for point in points:
        if not any(system.at(**point).values.values()):
            named = assigned(system.at(**point).values)
            raise InputError(f"the Hamiltonian vanishes at {named}", where=where, why="every coupling is zero there")


def values_of(points: Any) -> dict[str, list[float]]:
    """Values of every coupling of a map."""
    example = 'for example {"h": [0.8, 1.2]}'
    if not isinstance(points, Mapping):
        what = f"{type(points).__name__} does not say which coupling it is for"
        raise InputError(what, where="wf.map: points", why="points are values by name of a coupling", fix=example)
    values = {}
    for name, given in points.items():
        listed = plain_of(given)
        listed = listed if isinstance(listed, list | tuple | range) else [listed]
        values[str(name)] = [number_of(value, f"value of {name}", where="wf.map: points") for value in listed]
    if not values or not all(values.values()):
        raise InputError("no couplings to map", where="wf.map: points", fix=example)
    return values


def check_system(system: Any, where: str) -> None:
    """Refuse what is no system of a lattice."""
    fix = "one from wf.lattice, for example wf.lattice.ising_chain(16)"
    expect(system, LatticeSystem, "system of a lattice", where=where, fix=fix)


def check_fits(
    arrays: Mapping[str, Any], couplings: Mapping[str, float], extent: Any, system: LatticeSystem, told: str | None
) -> None:
    """Refuse a system that a stored model was not trained on: other sites, another shape, another Hamiltonian.

    Args:
        arrays: of the stored model; its walkers (n, sites) tell the number of sites.
        couplings: values by name, of the stored record. extent: edges of the lattice, None where not stored.
        system: what the user has given. told: fingerprint of the family that it was trained on, None where not stored.
    """
    stored = tuple(extent or ())
    sites = arrays["walkers"].shape[-1]
    where = "wf.load: system"
    if sites != system.sites or (stored and stored != system.extent):
        edges = " x ".join(map(str, stored)) if len(stored) > 1 else f"{sites} sites"
        own = " x ".join(map(str, system.extent)) if len(system.extent) > 1 else f"{system.sites} sites"
        raise InputError(
            f"this system has {own}, the model needs {edges}",
            where=where,
            why="the network was built for that lattice",
            fix="the system it was trained on, at any couplings; for other sizes train anew",
        )
    if set(couplings) != set(system.names):
        raise InputError(
            f"this system has the couplings {', '.join(system.names)}, the model needs {', '.join(couplings)}",
            where=where,
            fix="the family of Hamiltonians it was trained on",
        )
    if told is None:
        warnings.warn("an old model, which does not say of which Hamiltonian: it is taken to be this one", stacklevel=3)
    elif told != system.fingerprint:
        raise InputError(
            "this system is another Hamiltonian than the model was trained on",
            where=where,
            why="its boundary, bonds, local couplings or terms differ, and the stored energies are not its own",
            fix="the family of Hamiltonians it was trained on; weights serve as [pretrain] warm_start elsewhere",
        )


def several(base: Any, kind: type[Any], varied: Collection[str] = ()) -> list[Any]:
    """One base or several of the same family, as a list.

    Args:
        base: one or several. kind: that they are of. varied: couplings that points name.

    Raises:
        InputError: no base, or bases of different systems.
    """
    listed: list[Any] = list(base) if isinstance(base, Sequence) and not isinstance(base, str) else [base]
    fix = "wf.pretrain(system), or wf.load(path, system)"
    if not listed:
        raise InputError("there is no base to adapt", where="wf.map: base", fix=fix)
    for one in listed:
        ticket = "tickets.state(n): a ticket at the couplings that it was trained at"
        own = ticket if type(one).__name__ == "Tickets" else fix
        expect(one, kind, "pre-trained model", where="wf.map: base", fix=own)
    if len(listed) > 1:
        _check_family([one.system for one in listed], varied)
    return listed


def _check_family(systems: Sequence[LatticeSystem], varied: Collection[str]) -> None:
    """Refuse bases of several families of Hamiltonians, or that differ in a coupling which no point names."""
    if len({(one.extent, one.names, one.fingerprint) for one in systems}) > 1:
        raise InputError(
            "the bases belong to different systems",
            where="wf.map: base",
            why="several bases are compared at the same points, by their energies",
            fix="bases of one family of Hamiltonians on one lattice, pre-trained at different couplings",
        )
    first = systems[0].values
    for other in (one.values for one in systems[1:]):
        name = next((name for name in first if name not in varied and first[name] != other[name]), None)
        if name is not None:
            what = f"the bases have {name} = {first[name]:g} and {name} = {other[name]:g}"
            why, fix = f"the points do not say {name}", f'points with {name}, {{"{name}": [...], ...}}, or equal bases'
            raise InputError(what, where="wf.map: base", why=why, fix=fix)


def check_adapting(adapt: AdaptTable, where: str) -> None:
    """Refuse settings of an adaptation that do not fit together, in the words of a study file."""
    for problem in (*climbing(adapt), *sectors(adapt)):
        raise InputError(problem.what, where=f"{where}: {problem.path[-1]}", why=problem.why, fix=problem.fix)
