"""Head tuning on a pool: natural gradient with a kernel that factorises, watched by a held-out part.

A row of the head's Jacobian is the outer product of cotangents t and features u = (z, 1), so the kernel is
K = (T T^t) o (U U^t): no Jacobian is ever stored. Source: derived from the head of arXiv 2403.07795.
The amplitude of a projected state is a sum over images, and so is a row: there the Jacobian is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from wavefoundry.adapt.pool import Pool, contract, log_psi, ready, weights
from wavefoundry.core.devices import mapped, on_devices
from wavefoundry.core.numerics import factor_damped, solve_factored
from wavefoundry.core.types import Head, Psi, System


class Rules(NamedTuple):
    """Settings of head tuning, compiled in.

    steps: natural-gradient steps at most. learning_rate, shift: as in the engine. trust: largest rms change of
    log psi in one step. held_out: fraction of the chains kept for judging. ess_min: ESS/M below which the pool is
    stale. chains: chains of the pool. tolerance, patience: tuning ends when held-out energy has not improved by this
    relative amount in so many steps. kept: steps made with one metric, whose factorisation is most of their cost.
    """

    steps: int
    learning_rate: float
    shift: float
    trust: float
    held_out: float
    ess_min: float
    chains: int
    tolerance: float
    patience: int = 5
    kept: int = 6


class Judgement(NamedTuple):
    """Energy estimates of one head on a pool, training signals only."""

    energy: Float[Array, ""]
    variance: Float[Array, ""]
    ess: Float[Array, ""]
    influence: Float[Array, " chains"]  # by chain: contributions to energy - E, for paired errors


class Tuned(NamedTuple):
    """Outcome of tuning one head.

    gain: held-out energy before minus after, with its (paired) error. stale: the pool no longer carried the head.
    overfit: the held-out part disagreed with the training part. weights: the best head on held-out evidence.
    """

    weights: Float[Array, "width+1 hidden"]
    energy: Float[Array, ""]
    held_out: Float[Array, ""]
    gain: Float[Array, ""]
    gain_error: Float[Array, ""]
    ess: Float[Array, ""]
    steps: Array
    stale: Bool[Array, ""]
    overfit: Bool[Array, ""]


def cotangents(head: Head, y: Float[Array, "M hidden"]) -> Float[Array, "M parts hidden"]:
    """Derivatives of log|psi| and, unless constant, of the phase with respect to the pre-activations."""

    def one(y: Array) -> Array:
        log = jax.grad(lambda v: head.outer(v).log)(y)
        return log[None] if head.real else jnp.stack([log, jax.grad(lambda v: head.outer(v).phase)(y)])

    return jax.vmap(one)(y)


class Rows(NamedTuple):
    """The quantum geometric tensor of a head whose Jacobian has no structure: rows of it, weighted and centred."""

    rows: Float[Array, "M parts P"]
    root: Float[Array, " M"]  # of the weights
    factor: Float[Array, "P P"]  # Cholesky, of rows^T rows + shift 1
    shift: Float[Array, ""]


def rows_at(head: Head, z: Float[Array, "M features"], w: Float[Array, " M"], shift: Any) -> Rows:
    """The metric of any head by its Jacobian.

    Args:
        head: at its weights. z: features. w: weights, summing to 1. shift: damping.
    """
    here = head.weights()

    def one(v: Array) -> Array:
        value, pullback = jax.vjp(lambda weights: head.with_weights(weights)(v), here)
        one_, zero = jnp.ones_like(value.log), jnp.zeros_like(value.log)
        parts = [Psi(one_, zero)] if head.real else [Psi(one_, zero), Psi(zero, one_)]
        return jnp.stack([pullback(part)[0].reshape(-1) for part in parts])

    jacobian = mapped(one, z, 32)
    mean = jnp.einsum("s,spq->pq", w.astype(jacobian.dtype), jacobian, precision="highest")
    root = jnp.sqrt(w)
    rows = (jacobian - mean) * root.astype(jacobian.dtype)[:, None, None]
    flat = rows.reshape(-1, rows.shape[-1]).astype(jnp.float64)
    return Rows(rows, root, *factor_damped(flat.T @ flat, jnp.asarray(shift)))


def metric_of(head: Head, z: Float[Array, "M features"], w: Float[Array, " M"], shift: Any) -> Metric | Rows:
    """The metric of a head on a pool, factorised where the head is one layer and a function of it."""
    if not hasattr(head, "outer"):
        return rows_at(head, z, w, shift)
    u = _with_one(z)
    return metric_at(cotangents(head, u @ head.weights()), u, w, shift)


class Metric(NamedTuple):
    """The head's quantum geometric tensor on a pool, in factored form: what a natural-gradient step needs."""

    t: Float[Array, "M parts hidden"]
    u: Float[Array, "M width+1"]
    root: Float[Array, " M"]  # of the weights
    factor: Float[Array, "M*parts M*parts"]  # Cholesky, of kernel + shift 1
    shift: Float[Array, ""]


def metric_at(
    t: Float[Array, "M parts hidden"], u: Float[Array, "M width+1"], w: Float[Array, " M"], shift: Any
) -> Metric:
    """The factorised kernel of a head, solved for once.

    Weighted centring by row and column means of the kernel; sqrt(w) is then a null vector, so ``shift`` > 0.

    Args:
        t: cotangents. u: features with a 1 appended. w: weights, summing to 1. shift: damping.
    """
    parts = t.shape[1]
    rows = t.reshape(-1, t.shape[-1])
    gram_u = jnp.matmul(u, u.T, precision="highest")
    gram_t = jnp.matmul(rows, rows.T, precision="highest")
    kernel = gram_t.astype(jnp.float64) * jnp.repeat(jnp.repeat(gram_u, parts, 0), parts, 1)
    blocks = kernel.reshape(len(w), parts, len(w), parts)
    left = jnp.einsum("s,spkq->pkq", w, blocks)
    blocks = blocks - left[None] - jnp.einsum("spkq,k->spq", blocks, w)[:, :, None]
    blocks = blocks + jnp.einsum("pkq,k->pq", left, w)[None, :, None]
    root = jnp.sqrt(w)
    kernel = (blocks * root[:, None, None, None] * root[None, None, :, None]).reshape(kernel.shape)
    return Metric(t, u, root, *factor_damped(kernel, jnp.asarray(shift)))


def direction(
    metric: Metric | Rows, w: Float[Array, " M"], local: Array
) -> tuple[Float[Array, "width+1 hidden"], Float[Array, ""]]:
    """Natural-gradient direction of the head's weights (flat for ``Rows``), and the rms change of log psi along it.

    Exact where ``w`` are the weights the metric was made with. Elsewhere the energies and weights are those of the
    present head, the derivatives of log psi those of the metric's.

    Args:
        metric: of this head or of one near it. w: weights, summing to 1. local: local energies (M,).
    """
    root, parts = metric.root, metric.rows.shape[1] if isinstance(metric, Rows) else metric.t.shape[1]
    residual = (local - jnp.sum(w * local)) * jnp.where(root > 0, w / jnp.maximum(root, 1e-300), 0.0)
    target = 2.0 * jnp.stack([jnp.real(residual), jnp.imag(residual)][:parts], axis=1).reshape(-1)
    if isinstance(metric, Rows):
        flat = metric.rows.reshape(-1, metric.rows.shape[-1]).astype(jnp.float64)
        update, _ = solve_factored(metric.factor, metric.shift, target @ flat)
        return update, jnp.linalg.norm(flat @ update)
    y, shift = solve_factored(metric.factor, metric.shift, target)
    spread = jnp.where(jnp.isfinite(shift), jnp.linalg.norm(target - shift * y), 0.0)  # kernel y
    q = root[:, None] * y.reshape(-1, parts)
    q = q - (root**2)[:, None] * jnp.sum(q, axis=0)
    update = jnp.einsum("sd,sph,sp->dh", metric.u.astype(jnp.float64), metric.t.astype(jnp.float64), q)
    return update, spread


def judge(local: Array, log: Array, log_q: Array, chains: int) -> tuple[Judgement, Array]:
    """Re-weighted energy, variance and ESS of a part of the pool; also the weights."""
    w, ess = weights(log, log_q)
    energy = jnp.sum(w * jnp.real(local))
    variance = jnp.sum(w * jnp.abs(local - jnp.sum(w * local)) ** 2)
    influence = jnp.sum((w * (jnp.real(local) - energy)).reshape(chains, -1), axis=1)
    return Judgement(energy, variance, ess, influence), w


def paired_error(difference: Float[Array, " chains"]) -> Float[Array, ""]:
    """Error of a sum of independent contributions of chains."""
    n = difference.shape[0]
    return jnp.sqrt(n / jnp.maximum(n - 1, 1) * jnp.sum((difference - jnp.mean(difference)) ** 2))


class _Judged(NamedTuple):
    """One head on both parts of a pool; weights and local energies of the training part."""

    train: Judgement
    held: Judgement
    p: Array
    local: Array


class _State(NamedTuple):
    weights: Array
    best: Array
    best_held: Judgement
    start_held: Judgement
    ratio_start: Array
    energy: Array
    mark: Array  # held-out energy when progress was last made
    step: Array
    idle: Array  # steps since then
    stale: Array
    overfit: Array


def _begin(start: Array, chains: int) -> _State:
    """Before the first step; ``chains`` of the part that judges. Typed as after it, or it would be compiled twice."""
    start, inf, nothing = start.astype(jnp.float64), jnp.full((), jnp.inf, float), jnp.zeros(())
    blank = Judgement(inf, nothing, nothing, jnp.zeros(chains))
    zero, no = jnp.zeros((), int), jnp.zeros((), bool)
    return _State(start, start, blank, blank, jnp.ones(()), inf, inf, zero, zero, no, no)


def _outcome(end: _State) -> Tuned:
    """What is told of a tuning that has come to its end."""
    before, after = end.start_held, end.best_held
    error = paired_error(before.influence - after.influence)
    gain = before.energy - after.energy
    return Tuned(end.best, end.energy, after.energy, gain, error, after.ess, end.step, end.stale, end.overfit)


def _judge_parts(system: System, head: Head, weights: Array, couplings: Array, pool: Pool, rules: Rules) -> _Judged:
    """Training and held-out part of a pool; without a held-out part the training part judges itself."""
    held_chains, cut = _held_out(pool, rules)
    there = ready(head.with_weights(weights.astype(pool.local.z.dtype)))
    local = contract(system, there, pool) @ couplings
    log = log_psi(there, pool.local.z)
    train, p = judge(local[:cut], log[:cut], pool.log_q[:cut], rules.chains - held_chains)
    held = judge(local[cut:], log[cut:], pool.log_q[cut:], held_chains)[0] if held_chains else train
    return _Judged(train, held, p, local[:cut])


def _held_out(pool: Pool, rules: Rules) -> tuple[int, int]:
    """Number of held-out chains, and of training samples (they come first)."""
    held_chains = max(1, round(rules.held_out * rules.chains)) if rules.held_out > 0 else 0
    return held_chains, (rules.chains - held_chains) * (pool.log_q.shape[0] // rules.chains)


def _with_one(z: Array) -> Array:
    return jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=1)


def _doubts(found: _Judged, s: _State, rules: Rules) -> tuple[Array, Array, Array]:
    """Whether the pool is stale, whether its held-out part contradicts the training part, ratio of variances."""
    train, held = found.train, found.held
    finite = jnp.isfinite(train.energy) & jnp.isfinite(held.energy)
    stale = ~finite | (jnp.minimum(train.ess, held.ess) < rules.ess_min)
    # from whole chains, so that autocorrelation counts; both parts are noisy
    sigma = jnp.hypot(paired_error(held.influence), paired_error(train.influence))
    # heavy tails make the variances of the two parts differ before any tuning: what counts is that they drift apart
    ratio = held.variance / jnp.maximum(train.variance, 1e-300)
    ratio_start = jnp.where(s.step == 0, ratio, s.ratio_start)
    apart = ratio > 2 * jnp.maximum(1.0, ratio_start)
    overfit = ((held.energy - train.energy > 3 * sigma) | apart) & (s.step > 0) & (rules.held_out > 0)
    return stale, overfit, ratio_start


@eqx.filter_jit
@on_devices
def _some_steps(
    system: System, head: Head, s: _State, couplings: Array, pool: Pool, rules: Rules
) -> tuple[_State, Array, Tuned]:
    """One step with a metric of its own, then more with the same metric; whether more are to come, and the outcome."""
    z = pool.local.z[: _held_out(pool, rules)[1]]

    def step(s: _State, metric: Metric | Rows | None) -> tuple[_State, Metric | Rows]:
        found = _judge_parts(system, head, s.weights, couplings, pool, rules)
        held, first = found.held, s.step == 0
        stale, overfit, ratio_start = _doubts(found, s, rules)
        better = ~stale & ((held.energy < s.best_held.energy) | first)
        progress = better & (first | (held.energy < s.mark - rules.tolerance * jnp.abs(held.energy)))
        keep = lambda new, old: jax.tree.map(lambda a, b: jnp.where(better, a, b), new, old)  # noqa: E731
        if metric is None:
            metric = metric_of(head.with_weights(s.weights.astype(z.dtype)), z, found.p, rules.shift)
        update, spread = direction(metric, found.p, found.local)
        rate = rules.learning_rate * jnp.minimum(1.0, rules.trust / jnp.maximum(rules.learning_rate * spread, 1e-30))
        state = _State(
            jnp.where(stale | overfit, s.weights, s.weights - rate * update.reshape(s.weights.shape)),
            keep(s.weights, s.best),
            keep(held, s.best_held),
            jax.tree.map(lambda a, b: jnp.where(first, a, b), held, s.start_held),
            ratio_start,
            keep(found.train.energy, s.energy),
            jnp.where(progress, held.energy, s.mark),
            s.step + 1,
            jnp.where(progress, 0, s.idle + 1),
            s.stale | stale,
            s.overfit | overfit,
        )
        return state, metric

    def going(s: _State) -> Array:
        return (s.step < rules.steps) & ~s.stale & ~s.overfit & (s.idle < rules.patience)

    begin = s.step
    s, metric = step(s, None)
    s = jax.lax.while_loop(lambda s: going(s) & (s.step < begin + rules.kept), lambda s: step(s, metric)[0], s)
    return s, going(s), _outcome(s)


def tuned_on(
    system: System,
    head: Head,
    start: Array,
    couplings: Array,
    pool: Pool,
    rules: Rules,
    heard: Callable[[int], None] | None = None,
) -> Tuned:
    """Tune one head for one coupling on one pool; a program that is the same for every coupling.

    Stops when the pool is stale, when the held-out part contradicts the training part, when held-out energy has
    improved by less than the tolerance in ``rules.patience`` steps, or after ``rules.steps``. Returns the best head
    on held-out evidence.

    Several couplings of a pool are tuned one after the other: where a CPU shows itself as several devices, a batched
    factorisation inside a loop waits for threads that wait for it. Nor does a head at rest go on computing until the
    last one has come to rest.

    Args:
        system: any member of the family (its couplings are not used).
        head: structure of the head. start: its initial weights. couplings: (terms,).
        pool: samples with features. rules: settings.
        heard: called with the number of steps made, each time that a metric has served its time.
    """
    state = _begin(jnp.asarray(start, jnp.float64), _held_out(pool, rules)[0] or rules.chains)
    while True:
        state, more, tuned = _some_steps(system, head, state, couplings, pool, rules)
        if heard is not None:
            heard(int(state.step))
        if not more:
            return tuned
