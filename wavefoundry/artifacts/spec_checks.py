"""Rules that tie several keys of a study file together: lattice, couplings, network, sampling."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from wavefoundry.artifacts.spec_adapt import RUNGS, AdaptTable, BaselinesTable
from wavefoundry.artifacts.spec_networks import WavefunctionTable
from wavefoundry.artifacts.spec_tables import PARTS, EvaluateTable, PretrainTable, SystemTable, grid
from wavefoundry.core.expect import MOST_SITES, MOST_STATES, Problem
from wavefoundry.core.hamiltonians import MODELS, faults
from wavefoundry.core.networks import NETWORKS
from wavefoundry.core.observables import chosen
from wavefoundry.core.words import assigned, near

MAX_POINTS = 10_000
_LATTICE = ("system", "lattice")


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
        *full_sum(system, "pretrain", pretrain.sampling),
        *_sampling(evaluate),
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


def rivals(
    table: BaselinesTable, at: list[dict[str, float]], points: list[dict[str, float]], tunable: bool
) -> Iterator[Problem]:
    """Rules of [baselines].

    Args:
        table: to be checked. at, points: couplings of the pre-training and of the diagram. tunable: whether the network
            has a head.
    """
    path, couplings = ("baselines", "kinds"), list(at[0])
    if twice := [kind for kind in table.kinds if table.kinds.count(kind) > 1]:
        yield Problem(path, f"{twice[0]} is named twice")
    heads = [kind for kind in table.kinds if kind in ("random-backbone", "deep") or "foundation" in kind]
    named = " or ".join(f'kind = "{name}"' for name, network in NETWORKS.items() if network.tunable)
    if heads and not tunable:
        yield Problem(path, f"{heads[0]} needs a head that can be tuned", "only some networks have one", named)
    if table.deep is not None and set(table.deep) != set(couplings):
        fix = f"deep = {{ {', '.join(f'{name} = ...' for name in couplings)} }}"
        yield Problem(("baselines", "deep"), "deep does not name the couplings of pretrain.at", "", fix)
    if table.deep is not None and "deep" not in table.kinds:
        yield Problem(("baselines", "deep"), "deep is not among the kinds", "", 'kinds = ["deep", ...]')
    elif "deep" in table.kinds and all(one in at for one in ([table.deep] if table.deep else points)):
        what, why = "deep would pre-train where the study does", "it is a pre-training far away from that"
        fix = f"deep = {{ {', '.join(f'{name} = ...' for name in couplings)} }}"
        yield Problem(("baselines", "deep"), what, why, fix)


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
    if lattice.periodic not in model.boundaries:
        only = str(model.boundaries[0]).lower()
        what = f"the {model.title} lives on a {model.home or 'lattice of one boundary'}"
        yield Problem((*_LATTICE, "periodic"), what, fix=f"periodic = {only}")
        return
    if system.sites < 2 or system.sites > MOST_SITES:
        yield Problem(
            path,
            f"{system.sites} sites are too {'few' if system.sites < 2 else 'many'}",
            f"a lattice has 2 to {MOST_SITES} sites",
        )
        return
    if model.sector and system.sites % 2:
        yield Problem(
            path,
            f"{system.model} needs an even number of sites, not {system.sites}",
            "the ground state has total magnetisation 0",
        )
    if (small := model.too_small(system.place)) is not None:
        yield small._replace(path=path)
    if "exponent" in system.model_fields_set and system.exponent != 3.0 and not model.ranged:
        ranged = ", ".join(name for name, other in MODELS.items() if other.ranged)
        yield Problem(("system", "exponent"), f"{system.model} has no exponent", f"it belongs to {ranged}")
    if small is None:
        yield from _local(system)


def _local(system: SystemTable) -> Iterator[Problem]:
    """Rules on couplings of single sites and bonds."""
    if system.local_couplings and system.couplings_file is not None:
        yield Problem(
            ("system", "couplings_file"), "local couplings are given twice", "", "local_couplings or the file"
        )
    path = ("system", "local_couplings")
    for fault in faults(system.entry, system.place, system.local_couplings):
        yield Problem((*path, fault.coupling), fault.what, fault.why, fault.fix)


def _marshall(system: SystemTable) -> Iterator[Problem]:
    lattice, antiferromagnets = system.lattice, ", ".join(name for name, model in MODELS.items() if model.sector)
    if system.marshall is True and not system.entry.sector:
        yield Problem(
            ("system", "marshall"),
            f"{system.model} has no Marshall sign rule",
            f"the rule belongs to antiferromagnets ({antiferromagnets})",
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
        # the same stored model may stand there twice, to be projected on two sectors
        twofold = pretrain.together is True or (pretrain.steps == 0 and isinstance(pretrain.warm_start, list))
        bases = [] if path[0] != "pretrain" or twofold else grid(table)
        if twice := next((base for base in bases if bases.count(base) > 1), None):
            where = assigned(twice)
            yield Problem(path, f"{where} is named twice", "every base stands at a coupling of its own")
        outside = (found for point in grid(table) if (found := system.entry.outside(fixed | point)) is not None)
        if (beyond := next(outside, None)) is not None:
            home = path if beyond[0] in table else ("system", "couplings")
            yield Problem((*home, beyond[0]), beyond[1])
        zero = next((point for point in grid(table) if not any((fixed | point).values())), None)
        if zero is not None:
            where = assigned(zero)
            yield Problem(path, f"the Hamiltonian vanishes at {where}", "every coupling is zero there")


def _symmetry(table: WavefunctionTable, adapt: AdaptTable) -> Iterator[Problem]:
    listed = isinstance(table.symmetry, list)
    if not table.network.positions and not listed and table.symmetry != "auto":
        able = " or ".join(name for name, network in NETWORKS.items() if network.positions)
        why = f"it has no positions to embed; a {table.kind} network can be made symmetric by its images"
        yield Problem(("wavefunction", "symmetry"), f"symmetry = '{table.symmetry}' belongs to kind {able}", why)
    if table.symmetrize == "amplitude" and not listed:
        fix = f"symmetry = [{', '.join(map(repr, PARTS))}]"
        yield Problem(("wavefunction", "symmetrize"), "there is no symmetry to project on", "it needs a list", fix)
    yield from sectors(adapt)


def sectors(adapt: AdaptTable) -> Iterator[Problem]:
    """Sectors without a symmetry."""
    if adapt.symmetry == "none" and adapt.sector != "auto":
        fix = f"symmetry = [{', '.join(map(repr, PARTS))}]"
        what, why = "there is no symmetry whose sector it could be", "adapt.symmetry is 'none'"
        yield Problem(("adapt", "sector"), what, why, fix)


def fits(table: WavefunctionTable, system: SystemTable) -> Iterator[Problem]:
    """Networks that do not fit the lattice, by the rules of their entry."""
    if why := table.network.misfit(system.entry):
        what = f"kind = '{table.kind}' is not for the {system.entry.title}"
        known = [name for name, network in NETWORKS.items() if not network.rows]
        yield Problem(("wavefunction", "kind"), what, why, f'kind = "{known[0]}"')
        return
    yield from table.network.check(table, system.site(True))


def _network(system: SystemTable, wavefunction: WavefunctionTable, adapt: AdaptTable) -> Iterator[Problem]:
    yield from _symmetry(wavefunction, adapt)
    if adapt.method == "head" and not wavefunction.network.tunable:
        tunable = " or ".join(f'kind = "{name}"' for name, network in NETWORKS.items() if network.tunable)
        yield Problem(
            ("adapt", "method"),
            f"the head of a {wavefunction.kind} network has no weights to tune",
            "its log psi is the sum of all features",
            f'method = "full", or {tunable}',
        )
    yield from fits(wavefunction, system)


def full_sum(system: SystemTable, table: str, sampling: str) -> Iterator[Problem]:
    """Whether all configurations can be summed over, if that is asked for."""
    if sampling == "full-sum" and system.entry.states(system.sites) > MOST_STATES:
        yield Problem(
            (table, "sampling"),
            f"full-sum cannot list the configurations of {system.sites} spins",
            f"they are {system.entry.states(system.sites):.2g}, and at most {MOST_STATES} are listed",
            'sampling = "metropolis"',
        )


def _sampling(evaluate: EvaluateTable) -> Iterator[Problem]:
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
