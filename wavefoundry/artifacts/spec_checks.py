"""Rules that tie several keys of a study file together: lattice, couplings, network, sampling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wavefoundry.artifacts.spec_adapt import RUNGS, AdaptTable, BaselinesTable
from wavefoundry.artifacts.spec_tables import (
    OWN_KEYS,
    PARTS,
    EvaluateTable,
    LatticeTable,
    PretrainTable,
    SystemTable,
    WavefunctionTable,
    grid,
)
from wavefoundry.core.hamiltonians import MODELS
from wavefoundry.core.observables import chosen
from wavefoundry.core.words import near

MAX_SITES = 4096
MAX_POINTS = 10_000
FULL_SUM_SITES = 18
_LATTICE = ("system", "lattice")


class Problem(NamedTuple):
    """One broken rule: the key path it is about, what is wrong, why, and what to write instead."""

    path: tuple[str, ...]
    what: str
    why: str = ""
    fix: str = ""


def divisors(number: int) -> str:
    """The divisors of a number as text, the first and last few when there are many."""
    found = [str(value) for value in range(1, number + 1) if number % value == 0]
    return ", ".join(found if len(found) <= 12 else [*found[:6], "...", *found[-3:]])


def problems(
    system: SystemTable,
    wavefunction: WavefunctionTable,
    pretrain: PretrainTable,
    adapt: AdaptTable,
    evaluate: EvaluateTable,
) -> list[Problem]:
    """All broken rules of a study of kind "diagram", most basic first.

    Returns:
        An empty list when the tables fit together.
    """
    # Later rules divide by edges and look couplings up, so they only make sense once the earlier ones hold.
    if found := list(_shape(system)) or [*_sizes(system), *_couplings(system, pretrain, adapt)]:
        return found
    return [
        *_marshall(system),
        *_network(system, wavefunction, adapt),
        *_sampling(system, pretrain, evaluate),
        *climbing(adapt),
        *_observables(system, evaluate),
    ]


def climbing(adapt: AdaptTable) -> Iterator[Problem]:
    """Keys of method auto: rungs in their order, each once, and none of them without it."""
    rungs = [rung for rung in RUNGS if rung in adapt.rungs]
    if adapt.rungs != rungs:
        fix = f"rungs = [{', '.join(map(repr, rungs))}]".replace("'", '"')
        yield Problem(("adapt", "rungs"), "rungs are climbed from cheap to dear, each once", "", fix)
    if not adapt.target.model_dump(exclude_none=True):
        what, fix = "the target names nothing", "target = { v_score = 5e-4 }, for example"
        yield Problem(("adapt", "target"), what, "no point would ever be good enough, or every one", fix)
    if adapt.method == "auto":
        return
    fields = type(adapt).model_fields
    for key in ("target", "rungs", "last_blocks", "most_steps"):
        if key in adapt.model_fields_set and getattr(adapt, key) != fields[key].default:
            why = "it says how far method auto climbs"
            yield Problem(("adapt", key), f"method {adapt.method} has no {key}", why, 'method = "auto"')


def rivals(table: BaselinesTable, couplings: list[str], tunable: bool) -> Iterator[Problem]:
    """Rules of [baselines]. ``couplings``: names of those that vary. ``tunable``: whether the network has a head."""
    path = ("baselines", "kinds")
    if twice := [kind for kind in table.kinds if table.kinds.count(kind) > 1]:
        yield Problem(path, f"{twice[0]} is named twice")
    heads = [kind for kind in table.kinds if kind in ("random-backbone", "deep") or "foundation" in kind]
    if heads and not tunable:
        yield Problem(path, f"{heads[0]} needs a head that can be tuned", 'only networks of kind "vit" have one')
    if table.deep is not None and set(table.deep) != set(couplings):
        fix = f"deep = {{ {', '.join(f'{name} = ...' for name in couplings)} }}"
        yield Problem(("baselines", "deep"), "deep does not name the couplings of pretrain.at", "", fix)
    if table.deep is not None and "deep" not in table.kinds:
        yield Problem(("baselines", "deep"), "deep is not among the kinds", "", 'kinds = ["deep", ...]')


def _shape(system: SystemTable) -> Iterator[Problem]:
    lattice, axes = system.lattice, system.lattice.lattice.axes
    path = (*_LATTICE, "size")
    if isinstance(lattice.size, list) and len(lattice.size) != axes:
        edges, fix = ("one edge", "size = 36") if axes == 1 else ("two edges", "size = [6, 6]")
        yield Problem(path, f"a {lattice.kind} lattice has {edges}", f"size = {lattice.size}", f"{fix}, for example")
    elif min(lattice.cells) < 1:
        yield Problem(path, f"size = {lattice.size} is not a lattice", "edges must be at least 1")


def _sizes(system: SystemTable) -> Iterator[Problem]:
    lattice, path, model = system.lattice, (*_LATTICE, "size"), system.entry
    if lattice.kind not in model.lattices:
        why = f"it is built in for {', '.join(model.lattices)}"
        yield Problem((*_LATTICE, "kind"), f"{system.model} is not known on a {lattice.kind} lattice", why)
        return
    if lattice.sites < 2 or lattice.sites > MAX_SITES:
        yield Problem(
            path,
            f"{lattice.sites} sites are too {'few' if lattice.sites < 2 else 'many'}",
            f"a lattice has 2 to {MAX_SITES} sites",
        )
        return
    if model.sector and lattice.sites % 2:
        yield Problem(
            path,
            f"{system.model} needs an even number of sites, not {lattice.sites}",
            "the ground state has total magnetisation 0",
        )
    smallest = model.least_edge(lattice.lattice, lattice.periodic)
    if min(lattice.cells) < smallest:
        why = "a smaller periodic lattice counts bonds twice" if lattice.periodic else "there is no second neighbour"
        unit = "sites" if lattice.lattice.basis == 1 else "cells"
        yield Problem(
            path,
            f"an edge of {min(lattice.cells)} is too short for {system.model}",
            why,
            f"at least {smallest} {unit} along each edge",
        )
    if "exponent" in system.model_fields_set and system.exponent != 3.0 and not model.ranged:
        ranged = ", ".join(name for name, other in MODELS.items() if other.ranged)
        yield Problem(("system", "exponent"), f"{system.model} has no exponent", f"it belongs to {ranged}")


def _marshall(system: SystemTable) -> Iterator[Problem]:
    lattice = system.lattice
    if system.marshall is True and not system.entry.sector:
        yield Problem(
            ("system", "marshall"),
            f"{system.model} has no Marshall sign rule",
            "the rule belongs to antiferromagnets (j1j2, xxz)",
            "leave the key out",
        )
    elif system.marshall is True and not system.entry.marshall(lattice.lattice, lattice.cells, lattice.periodic):
        odd = lattice.lattice.bipartite
        yield Problem(
            ("system", "marshall"),
            "the Marshall sign rule needs two sublattices",
            "a periodic edge of odd length has none" if odd else f"a {lattice.kind} lattice has none",
            'marshall = "auto", or even edges' if odd else 'marshall = "auto"',
        )


def elsewhere(name: str) -> str:
    """Which models have a coupling of that name."""
    models = [model for model, entry in MODELS.items() if name in entry.couplings]
    return f"{name} is a coupling of {', '.join(models)}" if models else ""


def _couplings(system: SystemTable, pretrain: PretrainTable, adapt: AdaptTable) -> Iterator[Problem]:
    known = system.entry.couplings
    places: dict[tuple[str, ...], Sequence[str]] = {
        ("system", "couplings"): list(system.couplings),
        ("pretrain", "at"): list(pretrain.at),
        ("adapt", "points"): list(adapt.points),
    }
    unknown = [(path, name) for path, names in places.items() for name in names if name not in known]
    for path, name in unknown:
        yield Problem(
            (*path, name),
            f"{system.model} has no coupling '{name}'",
            f"couplings of {system.model}: {', '.join(known)}",
            near(name, known) or elsewhere(name),
        )
    if unknown:
        return
    at, points = set(pretrain.at), set(adapt.points)
    if not points:
        yield Problem(("adapt", "points"), "points names no coupling", fix="points = { h = [0.8, 1.2] }, for example")
    for name in [name for name in known if name in points - at]:
        yield Problem(
            ("pretrain", "at"),
            f"pretrain.at does not fix {name}",
            f"adapt.points varies {name}, so the pre-training needs a value of it",
            f"at = {{ {name} = ... }}",
        )
    for name in [name for name in known if name in at - points]:
        yield Problem(
            ("pretrain", "at", name),
            f"pretrain.at sets {name}, which adapt.points does not vary",
            "its value at the points would be unclear",
            f"move {name} to [system] couplings",
        )
    for name in [name for name in known if name in points & set(system.couplings)]:
        yield Problem(
            ("system", "couplings", name),
            f"{name} is both fixed and varied",
            "couplings are constant over the diagram, points are not",
            f"remove one {name}",
        )
    yield from _values(system, pretrain, adapt)


def _values(system: SystemTable, pretrain: PretrainTable, adapt: AdaptTable) -> Iterator[Problem]:
    """Rules on the values of couplings: not too many points, no Hamiltonian that vanishes."""
    fixed = system.values
    for path, table, most in (
        (("pretrain", "at"), pretrain.at, 64),
        (("adapt", "points"), adapt.points, MAX_POINTS),
    ):
        lengths = [len(grid({name: value})) for name, value in table.items()]
        if math.prod(lengths) > most:
            yield Problem(path, f"{math.prod(lengths)} points are too many", f"at most {most}")
            continue
        bases = [] if path[0] != "pretrain" or pretrain.together is True else grid(table)
        if twice := next((base for base in bases if bases.count(base) > 1), None):
            where = ", ".join(f"{name} = {value:g}" for name, value in twice.items())
            yield Problem(path, f"{where} is named twice", "every base stands at a coupling of its own")
        zero = next((point for point in grid(table) if not any((fixed | point).values())), None)
        if zero is not None:
            where = ", ".join(f"{name} = {value:g}" for name, value in zero.items())
            yield Problem(path, f"the Hamiltonian vanishes at {where}", "every coupling is zero there")


def foreign_keys(table: WavefunctionTable) -> Iterator[Problem]:
    """Keys of another kind of network."""
    fields = type(table).model_fields
    for key in sorted(table.model_fields_set - {"kind", "precision"} - OWN_KEYS[table.kind]):
        if getattr(table, key) != fields[key].default:
            homes = " or ".join(kind for kind, keys in OWN_KEYS.items() if key in keys)
            why = f"it belongs to kind {homes}"
            yield Problem(("wavefunction", key), f"a {table.kind} network has no {key}", why, "leave the key out")


def windows(table: WavefunctionTable, system: SystemTable) -> Iterator[Problem]:
    """Networks that do not fit the lattice: empty layers, windows that are wider than it."""
    lattice = system.lattice
    if table.kind == "dense" and round(table.alpha * system.sites) < 1:
        yield Problem(("wavefunction", "alpha"), "the layer is empty", f"{table.alpha} x {system.sites} units")
    if table.kind in ("conv", "resnet") and lattice.periodic and table.window > 2 * min(lattice.shape):
        yield Problem(("wavefunction", "window"), f"window = {table.window} is wider than the lattice")


def _symmetry(table: WavefunctionTable, adapt: AdaptTable) -> Iterator[Problem]:
    listed = isinstance(table.symmetry, list)
    if table.kind != "vit" and not listed and table.symmetry != "auto":
        why = f"it has no positions to embed; a {table.kind} network can be made symmetric by its images"
        yield Problem(("wavefunction", "symmetry"), f"symmetry = '{table.symmetry}' belongs to kind vit", why)
    if table.symmetrize == "amplitude" and not listed:
        fix = f"symmetry = [{', '.join(map(repr, PARTS))}]"
        yield Problem(("wavefunction", "symmetrize"), "there is no symmetry to project on", "it needs a list", fix)
    if adapt.symmetry == "none" and adapt.sector != "auto":
        fix = f"symmetry = [{', '.join(map(repr, PARTS))}]"
        yield Problem(
            ("adapt", "sector"), "there is no symmetry whose sector it could be", "adapt.symmetry is 'none'", fix
        )


def _network(system: SystemTable, wavefunction: WavefunctionTable, adapt: AdaptTable) -> Iterator[Problem]:
    yield from foreign_keys(wavefunction)
    yield from _symmetry(wavefunction, adapt)
    yield from windows(wavefunction, system)
    if wavefunction.kind != "vit":
        if adapt.method == "head":
            yield Problem(
                ("adapt", "method"),
                f"the head of a {wavefunction.kind} network has no weights to tune",
                "its log psi is the sum of all features",
                'method = "full", or kind = "vit"',
            )
        return
    yield from transformer(wavefunction, system.lattice)


def transformer(table: WavefunctionTable, lattice: LatticeTable) -> Iterator[Problem]:
    """A transformer whose patches or heads do not come out even."""
    patch, shape = table.patch, lattice.shape
    if patch != "auto" and any(edge % patch for edge in shape):
        edges = " x ".join(str(edge) for edge in shape)
        yield Problem(
            ("wavefunction", "patch"),
            f"patch = {patch} does not divide the lattice ({edges})",
            "patches must tile the lattice in each direction",
            f"one of {divisors(math.gcd(*shape))}",
        )
    if table.width % table.heads:
        yield Problem(
            ("wavefunction", "heads"),
            f"heads = {table.heads} does not divide width = {table.width}",
            "every head gets an equal share of the features",
            f"one of {divisors(table.width)}",
        )


def _sampling(system: SystemTable, pretrain: PretrainTable, evaluate: EvaluateTable) -> Iterator[Problem]:
    if pretrain.sampling == "full-sum" and system.lattice.sites > FULL_SUM_SITES:
        yield Problem(
            ("pretrain", "sampling"),
            f"full-sum cannot list the states of {system.lattice.sites} sites",
            f"it is for at most {FULL_SUM_SITES} sites",
            'sampling = "metropolis"',
        )
    if evaluate.samples < 4 * evaluate.chains:
        yield Problem(
            ("evaluate", "samples"),
            f"{evaluate.samples} samples are too few for {evaluate.chains} chains",
            "error bars and R-hat need at least 4 samples from each chain",
            f"samples >= {4 * evaluate.chains}, or chains <= {max(2, evaluate.samples // 4)}",
        )


def _observables(system: SystemTable, evaluate: EvaluateTable) -> Iterator[Problem]:
    place = (system.model, system.lattice.kind, system.lattice.shape, system.lattice.periodic)
    for one in chosen(evaluate.observables):
        if why := one.unfit(place):
            yield Problem(("evaluate", "observables"), f"{one.name} cannot be measured here", why, "leave it out")
