"""What only the Hamiltonian and the network of a study file can tell, refused before anything is written."""

from __future__ import annotations

from wavefoundry.artifacts.spec_diagram import DiagramSpec
from wavefoundry.core.memory import require_memory
from wavefoundry.problems import exact
from wavefoundry.problems.strings import count_states
from wavefoundry.studies.diagram.given import taken, warm_start
from wavefoundry.studies.diagram.networks import empty_network
from wavefoundry.studies.diagram.referencing import check_file
from wavefoundry.studies.diagram.study import build_system, build_wavefunction
from wavefoundry.studies.diagram.symmetry import Symmetry, symmetrised
from wavefoundry.studies.forecast import pool_bytes, solve_bytes

MODEST = 1e9
"""Sites times samples times width^2 below which no array is large."""


def check(spec: DiagramSpec) -> None:
    """Refuse a study whose largest arrays cannot be held, or whose files are wrong, before anything is written.

    Raises:
        InputError: the derivatives of the training, or a pool of the adaptation, do not fit into memory; a symmetry or
            a sector that cannot be; a file of references that cannot be used; a model to start from that does not fit.
    """
    for base in spec.of_bases():
        if base.pretrain.warm_start is not None:
            _require_start(base)
    spec = spec.of_bases()[0]
    if spec.reference.file is not None:
        check_file(spec.reference, build_system(spec).system, spec.points_list(), spec.evaluate.observables)
    sites, walkers = spec.system.sites, spec.pretrain.walkers
    if spec.adapt.symmetry != "none" or isinstance(spec.wavefunction.symmetry, list):
        _require_sector(spec)
    largest = max(walkers, spec.adapt.samples, spec.evaluate.samples)
    if sites * largest * spec.wavefunction.key("width", 1) ** 2 < MODEST:
        return
    system = build_system(spec).system
    wavefunction = build_wavefunction(spec, system)
    if count_states(system.hilbert, 20) > exact.LISTED:
        needed = solve_bytes(wavefunction, walkers * len(spec.at_list()), spec.pretrain.solver)
        require_memory(needed, "a training step", "pretrain.walkers, wavefunction.width", "fewer walkers or weights")
    if spec.adapt.method in ("head", "auto"):
        needed = pool_bytes(wavefunction, system.family([{}]), spec.adapt.samples)
        require_memory(needed, "a pool", "adapt.samples, wavefunction.width", "fewer samples or a narrower network")
        needed = needed / spec.adapt.samples * spec.evaluate.samples
        require_memory(needed, "the measurement of a point", "evaluate.samples", "fewer samples or a narrower network")


def _require_start(spec: DiagramSpec) -> None:
    """Refuse a model that does not fit."""
    system, path = build_system(spec).system, str(spec.pretrain.warm_start)
    warm_start(build_wavefunction(spec, system, empty_network), path)
    if spec.pretrain.steps == 0:
        taken(path, system, spec.at_list())


def _require_sector(spec: DiagramSpec) -> None:
    """Refuse symmetries that bring nothing, and sectors that the network cannot be in."""
    for one in spec.of_bases() if isinstance(spec.adapt.sector, list) else [spec]:
        system = build_system(one).system
        first = build_wavefunction(one, system)
        if one.adapt.symmetry != "none":
            number = one.adapt.sector if isinstance(one.adapt.sector, int) else None
            symmetrised(first, system, Symmetry(tuple(one.adapt.symmetry), "amplitude", number))
