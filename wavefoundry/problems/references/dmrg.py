"""The density-matrix renormalisation group by TeNPy: chains and small two-dimensional lattices along a chain.

The energy is that of a state, hence an upper bound. Bond dimensions grow in stages; how the energy falls with the
truncation error, and the variance of the energy, say how far it may still be from the ground state.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.problems.references.spins import (
    INSTALL,
    Keep,
    Letters,
    Report,
    Spins,
    flips_keep,
    keeps_magnetisation,
    ladder,
    product_state,
    rotated,
)

NAMES = {"+": "Sp", "-": "Sm", "z": "Sigmaz"}
ACCURACY, COARSE = 1e-8, 1e-6
"""Changes of the energy between sweeps below this share of the sum of all weights count as rest: in the last stage, and
in those that only prepare it."""


class Chain(NamedTuple):
    """The Hamiltonian along the matrix product state.

    order: site of the lattice at every place. turned: the axes x and z are exchanged. conserve: TeNPy's name of the
    charge. starts: product states (places,) of +-1, one for every sector that is searched.
    """

    spins: Spins
    order: np.ndarray
    turned: bool
    conserve: str
    starts: list[np.ndarray]

    def along(self, strings: Letters) -> Letters:
        """Strings of the lattice in the order and with the axes of the chain."""
        placed = {"".join(letters[i] for i in self.order): weight for letters, weight in strings.items()}
        return rotated(placed) if self.turned else placed


def chain_of(spins: Spins) -> Chain:
    """How a Hamiltonian is laid out along a chain, and what is conserved."""
    order, strings = ordering(spins), spins.strings()
    if spins.up is not None and keeps_magnetisation(ladder(strings)):
        first = Chain(spins, order, False, "Sz", [])
        return first._replace(starts=[product_state(first.along(strings), spins.up)])
    if flips_keep(strings):
        turned = Chain(spins, order, True, "parity", [])
        even = product_state(turned.along(strings), None)
        # of positive amplitudes the sum over all configurations is not zero: even under the flip of all spins
        starts = [even if np.sum(even < 0) % 2 == 0 else _other(even)]
        return turned._replace(starts=starts if spins.positive else [*starts, _other(starts[0])])
    parity = all(sum(letter in "XY" for letter in letters) % 2 == 0 for letters in strings)
    plain = Chain(spins, order, False, "parity" if parity else "None", [])
    start = product_state(plain.along(strings), None)
    return plain._replace(starts=[start, _other(start)] if parity else [start])


def _other(start: np.ndarray) -> np.ndarray:
    """A product state of the other parity."""
    return np.where(np.arange(len(start)) == len(start) // 2, -start, start)


def ordering(spins: Spins) -> np.ndarray:
    """The order of the sites with the fewest bonds across a cut: along either axis, plain, as a snake or folded."""
    pairs = [[i for i, letter in enumerate(letters) if letter != "I"] for letters in spins.strings()]
    best, least = np.arange(spins.sites), (np.inf, np.inf)
    for order in _orders(spins):
        place = np.argsort(order)
        ends = np.array([(place[sites].min(), place[sites].max()) for sites in pairs if sites])
        across = np.zeros(spins.sites)
        for begin, end in ends:
            across[begin:end] += 1
        rank = float(across.mean()), float((ends[:, 1] - ends[:, 0]).max())
        if rank < least:
            best, least = order, rank
    return best


def _orders(spins: Spins) -> list[np.ndarray]:
    grid = np.arange(spins.sites).reshape(spins.extent)
    found = []
    for turned, folded, snake in itertools.product((False, True), repeat=3):
        rows = grid.T if turned else grid
        if folded:
            ends = [i // 2 if i % 2 == 0 else len(rows) - 1 - i // 2 for i in range(len(rows))]
            rows = rows[ends]
        if snake and rows.ndim == 2:
            rows = np.array([row[:: -1 if i % 2 else 1] for i, row in enumerate(rows)])
        found.append(rows.ravel())
    return found


class Stage(NamedTuple):
    """What one bond dimension gave; rest: the energy no longer changed."""

    bond_dimension: int
    energy: float
    truncation_error: float
    sweeps: int
    rest: bool
    change: float


def solve(
    spins: Spins,
    bonds: Sequence[int],
    sweeps: int,
    memory: float,
    seconds: float,
    report: Report = print,
    keep: Keep = dict,
) -> dict[str, Any]:
    """The lowest energy of a matrix product state.

    Args:
        spins: the system. bonds: bond dimensions of the stages, ascending. sweeps: most of them in a stage.
        memory: bytes that may be used. seconds: after which a stage is broken off, and no other begun.
        report: hears of the stages. keep: gets what every stage has given, in case the next one is never finished.

    Returns:
        ``energy``, its own ``error`` (how far it may be above the ground state), ``kind`` "upper bound",
        ``observables``, ``terms``, ``details``.

    Raises:
        InputError: TeNPy is not installed, or too little memory. PhysicsError: time was up before a first sweep.
    """
    needed = need(spins, bonds[-1])
    if needed > memory:
        raise InputError(
            f"DMRG of {spins.sites} sites with bond dimension {bonds[-1]} needs {needed / 2**30:.3g} GiB",
            why=f"{memory / 2**30:.3g} GiB may be used (reference.memory_gib)",
        )
    chain, begin = chain_of(spins), time.monotonic()
    runs: list[tuple[list[Stage], Any]] = []

    def so_far(stages: list[Stage]) -> None:
        lowest = min([*(run[0] for run in runs), stages], key=lambda run: run[-1].energy)
        keep(_result(chain, lowest, len(runs) + 1, False))

    for number, start in enumerate(chain.starts):
        left = (seconds - (time.monotonic() - begin)) / (len(chain.starts) - number)
        runs.append(_run(chain, start, bonds, sweeps, left, (report, so_far)))
    stages, psi = min(runs, key=lambda run: run[0][-1].energy)
    last = stages[-1]
    final = last.rest and (last.bond_dimension == bonds[-1] or last.truncation_error < 1e-12)
    observed, terms = _values(chain, psi)
    result = _result(chain, stages, len(runs), final, variance_of(chain, psi, memory))
    return result | {"observables": observed, "terms": terms}


def _result(
    chain: Chain, stages: list[Stage], sectors: int, converged: bool, variance: float | None = None
) -> dict[str, Any]:
    """Energy, its own error, and details, from the stages of a run and the variance of its state."""
    last = stages[-1]
    details = {
        "bond_dimension": last.bond_dimension,
        "truncation_error": last.truncation_error,
        "variance": variance,
        "sweeps": sum(stage.sweeps for stage in stages),
        "converged": converged,
        "conserved": {"Sz": "magnetisation", "parity": "parity", "None": "nothing"}[chain.conserve],
        "sectors": sectors,
        "stages": [stage._asdict() for stage in stages],
    }
    error = own_error(stages, chain.spins.scale)
    if variance is not None:
        error = max(error, 2 * variance * chain.spins.sites / chain.spins.scale)
    return {"energy": last.energy, "error": error, "kind": "upper bound", "details": details}


def need(spins: Spins, bond: int) -> float:
    """Bytes of the environments and tensors, at least: none of them smaller by conserved charges."""
    width = 3 + 2 * max(spins.extent[0] if len(spins.extent) > 1 else 1, 1) * len(spins.strings()) / spins.sites
    return 8.0 * spins.sites * bond**2 * (2 + width) + 60 * 8.0 * bond**2


def own_error(stages: Sequence[Stage], scale: float) -> float:
    """How far the last energy may lie above the ground state.

    The energy is extrapolated linearly in the truncation error of the last two stages; where that cannot be done, it is
    what the last stage has gained. Of stages that were broken off neither holds: twice as much, and at least what the
    last stage would have gained again at its last pace.
    """
    last = stages[-1]
    gained = abs(stages[-2].energy - last.energy) if len(stages) > 1 else np.inf
    before = stages[-2].truncation_error if len(stages) > 1 else 0.0
    falling = before > 1.2 * last.truncation_error
    left = gained * last.truncation_error / (before - last.truncation_error) if falling else gained
    if last.truncation_error < 1e-12 and last.rest:
        left = 0.0
    if not all(stage.rest for stage in stages[-2:]):
        left = max(2 * left, last.change * last.sweeps)
    floor = ACCURACY * scale
    return float(max(min(left, scale), floor))


def variance_of(chain: Chain, psi: Any, memory: float) -> float | None:
    """<H^2> - <H>^2 of a state, which no local minimum hides; None where it takes more than ``memory`` bytes.

    Excitations cost about the weight of a site or more, so an energy is too high by no more than some variance over it.
    """
    mpo = _mpo(chain.along(chain.spins.strings()), psi.sites)
    if 4 * 8.0 * (max(psi.chi) * max(mpo.chi)) ** 2 > memory:
        return None
    return max(0.0, float(np.real(mpo.variance(psi))))


def _run(
    chain: Chain,
    start: np.ndarray,
    bonds: Sequence[int],
    sweeps: int,
    seconds: float,
    told: tuple[Report, Callable[[list[Stage]], None]],
) -> tuple[list[Stage], Any]:
    try:
        from tenpy.algorithms.dmrg import TwoSiteDMRGEngine
        from tenpy.models.lattice import Chain as Line
        from tenpy.models.model import MPOModel
        from tenpy.networks.mps import MPS
        from tenpy.networks.site import SpinHalfSite
    except ImportError as error:
        raise InputError("DMRG needs TeNPy", why=str(error), fix=INSTALL) from None
    warnings.filterwarnings("ignore", module="tenpy")
    count, begin = chain.spins.sites, time.monotonic()
    site = SpinHalfSite(conserve=chain.conserve)
    places = [site] * count
    mpo = _mpo(chain.along(chain.spins.strings()), places)
    model = MPOModel(Line(count, site, bc_MPS="finite"), mpo)
    psi = MPS.from_product_state(places, ["up" if s > 0 else "down" for s in start], unit_cell_width=count)
    stages: list[Stage] = []
    for bond in bonds:
        left, final = seconds - (time.monotonic() - begin), bond == bonds[-1]
        if stages and left <= 0:
            break
        options = {
            "trunc_params": {"chi_max": int(bond), "svd_min": 1e-10},
            "mixer": True,
            "mixer_params": {"amplitude": 1e-4 if stages else 1e-2, "decay": 2.0, "disable_after": 4},
            "max_sweeps": sweeps if final else max(2, sweeps // 2),
            "max_E_err": (ACCURACY if final else COARSE) * chain.spins.scale,
            "max_S_err": 1e-4 if final else 1e-2,
            "max_trunc_err": None,
            "max_hours": max(left, 0.0) / 3600,
        }
        engine = TwoSiteDMRGEngine(psi, model, options)
        try:
            engine.run()
        except AttributeError:  # TeNPy reads the statistics of a sweep; a defect of its own has some
            if engine.sweep_stats["E"]:
                raise
        history = engine.sweep_stats
        if not history["E"]:
            raise PhysicsError("time was up before the first sweep of DMRG")
        energy, change = float(np.real(mpo.expectation_value(psi))), abs(float(history["Delta_E"][-1]))
        error, made = float(history["max_trunc_err"][-1]), int(history["sweep"][-1])
        saturated = error < 1e-12 and max(psi.chi) < bond  # a larger bond dimension would change nothing
        rest = bool(change < (ACCURACY if final or saturated else COARSE) * chain.spins.scale)
        stages.append(Stage(int(bond), energy, error, made, rest, change))
        told[1](stages)
        told[0](f"bond dimension {bond}: energy {energy:.10g}, truncation error {error:.1e}, {made} sweeps")
        if saturated and rest:
            break
    return stages, psi


def _mpo(strings: Letters, places: list[Any]) -> Any:
    from tenpy.networks.mpo import MPOGraph
    from tenpy.networks.terms import TermList

    terms: list[Any] = []
    weights: Any = []
    for key, weight in ladder(strings).items():
        terms.append([(NAMES[op], i) for i, op in key] or [("Id", 0)])
        weights.append(float(np.real(weight)) if abs(np.imag(weight)) < 1e-14 else weight)
    graph = MPOGraph.from_term_list(TermList(terms, weights), places, bc="finite", unit_cell_width=len(places))
    return graph.build_MPO()


def _values(chain: Chain, psi: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Observables of the lattice and <H_k> of a state."""
    place = np.argsort(chain.order)
    name = "Sigmax" if chain.turned else "Sigmaz"
    zz = np.real(psi.correlation_function(name, name))[np.ix_(place, place)]
    terms = {
        key: float(np.real(_mpo(chain.along(strings), psi.sites).expectation_value(psi)))
        for key, strings in chain.spins.terms().items()
    }
    return chain.spins.observables(zz), terms
