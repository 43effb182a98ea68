"""Natural gradient with several stacked families in every step, for systems in continuous space.

A step constrains the wavefunction only where it has samples: a step taken for one molecule alone moves all others
freely. So rows of all members are centred and scaled by themselves, put below each other, and solved for once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from wavefoundry.core.programs import once
from wavefoundry.core.types import Process, Run, System
from wavefoundry.engine.gradient import Selection, centred_rows, log_jacobian, natural_gradient, select
from wavefoundry.engine.langevin import langevin
from wavefoundry.engine.sampling import Walkers, equal_weights, init_walkers, members, metropolis
from wavefoundry.engine.vmc import Optimiser, guarded, local_energies

Families = tuple[System, ...]


class Options(NamedTuple):
    """Compiled-in settings.

    moves: between steps. subset: members of each family in a step, 0 for all. first_rounds: visits to every
    member before spreads decide; max_age: in units of the time in which all members could be visited once, a
    member not visited for longer comes next. norm: largest norm of the change of all weights in a step; trust: largest
    rms change of log psi. clip: local energies outside median +- clip x (mean absolute deviation) are moved to the
    edge, for every member by itself. drift: Langevin moves instead of Gaussian ones. target: acceptance the widths of
    moves are adapted to. chunk: configurations differentiated at a time (moves: four times as many).
    """

    moves: int = 8
    subset: int = 0
    first_rounds: int = 3
    max_age: float = 1.5
    momentum: float = 0.95
    norm: float = 0.2
    trust: float = 1.0
    clip: float = 5.0
    drift: bool = False
    target: float = 0.5
    chunk: int = 8
    solver: str = "auto"


UNKNOWN = 1e30
"""Spread (Ha) of a member before its first visit, or of energies that were not finite: wider than any, and storable."""


class Visits(NamedTuple):
    """When and how often every member of a family was part of a step, and the spread of its local energies then."""

    last: Int[Array, " R"]
    times: Int[Array, " R"]
    spread: Float[Array, " R"]


class State(NamedTuple):
    """The sampler of a run: walkers and visits of every family."""

    walkers: tuple[Walkers, ...]
    visits: tuple[Visits, ...]


class FamilyInfo(NamedTuple):
    """What a step says about one family, NaN for members it left out; leading axis R."""

    energy: Float[Array, " R"]
    variance: Float[Array, " R"]
    acceptance: Float[Array, " R"]
    width: Float[Array, " R"]


class Info(NamedTuple):
    """What one step reports."""

    families: tuple[FamilyInfo, ...]
    step_norm: Float[Array, ""]  # rms change of log psi made by the step
    shift: Float[Array, ""]
    rejected: Array  # steps refused so far


def choose(visits: Visits, step: Array, options: Options) -> Int[Array, " k"]:
    """Members that take part in a step: first rounds in turn, then who waited too long, then the largest spreads.

    Deterministic: ties go to the lower number.

    Source: arXiv 2303.09949 (largest standard deviation of the local energy, with a largest age).
    """
    r = visits.last.shape[0]
    if not 0 < options.subset < r:
        return jnp.arange(r)
    age = step - visits.last
    overdue = age > options.max_age * r / options.subset
    early = visits.times < options.first_rounds
    # three classes, the first served first; within a class: fewest visits, oldest, largest spread
    rank = jnp.where(early, 0, jnp.where(overdue, 1, 2))
    key = jnp.where(early, visits.times.astype(float), jnp.where(overdue, -age.astype(float), -visits.spread))
    return jnp.sort(jnp.lexsort((jnp.arange(r), key, rank))[: options.subset])


def start(key: PRNGKeyArray, families: Families, chains: int, width: float = 0.3) -> tuple[Walkers, ...]:
    """Walkers of every family, with a width of moves for every member."""
    out = []
    for k, family in zip(jax.random.split(key, len(families)), families, strict=True):
        walkers, r = init_walkers(k, family, chains), members(family)
        out.append(walkers._replace(width=jnp.full(r, width, float), acceptance=jnp.zeros(r)))
    return tuple(out)


class Moves(NamedTuple):
    """How walkers move between samples: number of moves, drift or plain Gaussian, configurations at a time."""

    number: int
    chunk: int
    drift: bool = False

    def __call__(self, wavefunction: Any, family: System, walkers: Walkers) -> Walkers:
        """Walkers after the moves, widths as they were."""
        advance = langevin if self.drift else metropolis
        return advance(wavefunction, family, walkers, self.number, self.chunk)


def sample(wavefunction: Any, family: System, walkers: Walkers, moves: Moves, target: float = 0.5) -> Walkers:
    """Moves, after which the width of every member goes towards the wanted acceptance."""
    moved = moves(wavefunction, family, walkers)
    factor = jnp.exp(0.2 * (moved.acceptance - target))
    return moved._replace(width=jnp.clip(moved.width * factor, 0.01, 2.0))


def clip(local: Float[Array, "R S"], window: float) -> Float[Array, "R S"]:
    """Local energies moved to the edge of median +- window x mean absolute deviation, for every member by itself."""
    centre = jnp.median(local, axis=1, keepdims=True)
    reach = window * jnp.mean(jnp.abs(local - centre), axis=1, keepdims=True)
    return jnp.clip(local, centre - reach, centre + reach)


def part(family: System, index: Array) -> System:
    """Some members of a family."""
    varying, shared = eqx.partition(family, family.varying())
    return eqx.combine(jax.tree.map(lambda leaf: leaf[index], varying), shared)


class _Fixed(NamedTuple):
    """What does not change during a training."""

    static: PyTree
    selection: Selection
    options: Options


class _Part(NamedTuple):
    """One family in one step: rows, residuals, whether all energies are finite; and what it goes on with."""

    rows: Array
    residual: Array
    finite: Array
    walkers: Walkers
    visits: Visits
    info: FamilyInfo


@once
def stacked(static: PyTree, trainable: PyTree, options: Options) -> Process:
    """Optimisation of one wavefunction for several families.

    Args:
        static: the non-array part of the wavefunction.
        trainable: pytree of booleans, see ``engine.gradient.select``.
        options: compiled-in settings.

    Returns:
        ``init(key, params, families, chains, walkers=None)`` and ``step(run, families, learning_rate, shift)``.
        Energies of a family are divided by ``scale`` of its systems (electrons) relative to the mean scale of the step.
    """
    fixed = _Fixed(static, select(trainable), options)

    def init(
        key: PRNGKeyArray, params: PyTree, families: Families, chains: int, walkers: tuple[Walkers, ...] | None = None
    ) -> Run:
        opt = Optimiser(jnp.zeros(fixed.selection.vector(params).shape[0]), jnp.ones(()), jnp.zeros((), int))
        visits = tuple(_unvisited(members(family)) for family in families)
        walkers = start(key, families, chains) if walkers is None else walkers
        return Run(params, State(walkers, visits), opt, jnp.zeros((), int))

    def step(run: Run, families: Families, learning_rate: Array, shift: Array) -> tuple[Run, Info]:
        parts = [
            _visit(fixed, run, *each) for each in zip(families, run.sampler.walkers, run.sampler.visits, strict=True)
        ]
        rows, residual = _together(parts, families, options)
        # rows of molecules have no eigenvalue above some hundred: float32 will do for float32 networks
        momentum, solver = options.momentum, options.solver
        found = natural_gradient(rows, residual, shift, run.opt.update, momentum, solver, single=True)
        rate = learning_rate * run.opt.scale
        length = rate * jnp.linalg.norm(found.update)
        rate = rate * jnp.minimum(1.0, options.norm / jnp.maximum(length, 1e-30))
        rate = rate * jnp.minimum(1.0, options.trust / jnp.maximum(rate * found.step_norm, 1e-30))
        good = jnp.all(jnp.stack([part.finite for part in parts])) & jnp.isfinite(found.step_norm)
        params, opt, good = guarded(fixed.selection, run, found, rate, good & jnp.isfinite(found.shift))
        state = State(tuple(part.walkers for part in parts), tuple(part.visits for part in parts))
        infos = tuple(part.info for part in parts)
        info = Info(infos, jnp.where(good, rate * found.step_norm, 0.0), found.shift, opt.rejected)
        return Run(params, state, opt, run.step + 1), info

    return Process(init, step)


def _visit(fixed: _Fixed, run: Run, family: System, walkers: Walkers, visits: Visits) -> _Part:
    """Moves, local energies and derivatives of the members of a family whose turn it is."""
    options, wavefunction = fixed.options, eqx.combine(run.params, fixed.static)
    index = choose(visits, run.step, options)
    some = part(family, index)
    mine = Walkers(walkers.x[index], walkers.key, walkers.width[index], walkers.acceptance[index])
    moves = Moves(options.moves, 4 * options.chunk, options.drift)
    mine = sample(wavefunction, some, mine, moves, options.target)
    batch = equal_weights(mine.x)
    local = jnp.sum(local_energies(wavefunction, some, batch, options.chunk), axis=-1)
    chunk = max(1, options.chunk // 2)
    jacobian = log_jacobian(run.params, fixed.static, fixed.selection, some, batch, chunk)
    rows, residual = centred_rows(jacobian, clip(local, options.clip), batch.weight)
    variance = jnp.var(local, axis=1)
    blank = jnp.full(members(family), jnp.nan, float)
    seen = (jnp.mean(local, axis=1), variance, mine.acceptance, mine.width)
    spread = jnp.where(jnp.isfinite(variance), jnp.sqrt(variance), UNKNOWN)
    return _Part(
        rows,
        residual / family.scale,  # type: ignore[attr-defined]
        jnp.all(jnp.isfinite(local)),
        Walkers(
            walkers.x.at[index].set(mine.x),
            mine.key,
            walkers.width.at[index].set(mine.width),
            walkers.acceptance.at[index].set(mine.acceptance),
        ),
        Visits(visits.last.at[index].set(run.step), visits.times.at[index].add(1), visits.spread.at[index].set(spread)),
        FamilyInfo(*(blank.at[index].set(value) for value in seen)),
    )


def _together(parts: list[_Part], families: Families, options: Options) -> tuple[Array, Array]:
    """Rows and residuals of all families below each other; every member counts the same, whatever its family."""
    shares = [_share(options, family) for family in families]
    factors = [(share / sum(shares)) ** 0.5 for share in shares]
    # energies per electron, on the scale of a whole molecule
    mean = sum(s * f.scale for s, f in zip(shares, families, strict=True)) / sum(shares)  # type: ignore[attr-defined]
    rows = jnp.concatenate([part.rows * f for part, f in zip(parts, factors, strict=True)])
    residual = jnp.concatenate([part.residual * f * mean for part, f in zip(parts, factors, strict=True)])
    return rows, residual


def _share(options: Options, family: System) -> int:
    """Members of a family in a step."""
    r = members(family)
    return options.subset if 0 < options.subset < r else r


def _unvisited(r: int) -> Visits:
    return Visits(jnp.zeros(r, int), jnp.zeros(r, int), jnp.full(r, UNKNOWN, float))
