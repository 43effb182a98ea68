"""Head tuning: the factorised kernel against explicit Jacobians, the engine's step, and what guards against a pool."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from wavefoundry.adapt import head as tuning
from wavefoundry.adapt.head import Rules, Tuned, cotangents, direction, metric_at, tuned_on
from wavefoundry.adapt.pool import Pool, fill, log_psi
from wavefoundry.core import tree
from wavefoundry.core.errors import Interrupted
from wavefoundry.engine.gradient import centred_rows, log_jacobian, natural_gradient, select
from wavefoundry.engine.sampling import equal_weights
from wavefoundry.engine.vmc import local_energies
from wavefoundry.models.heads import make_head
from wavefoundry.problems import lattice

KINDS = {"real": ("real", False), "real with norm": ("real", True), "complex": ("complex", False)}
KINDS["complex with norms"] = ("complex", True)
SAMPLES, WIDTH, SHIFT = 18, 4, 1e-2


@jax.jit
def fresh_direction(t: Any, u: Any, w: Any, local: Any, shift: float) -> Any:
    """The direction with the metric of the head itself."""
    return direction(metric_at(t, u, w, shift), w, local)


class Explicit:
    """Random features, weights and local energies; the Jacobian row by row from ``jacrev`` of the head."""

    def __init__(self, kind: str, moved: Any):
        rng = np.random.default_rng(0)
        self.head = moved(make_head(jax.random.key(0), WIDTH, *KINDS[kind], jnp.dtype("float64")), 0.5)
        self.z = rng.normal(size=(SAMPLES, WIDTH))
        self.u = np.concatenate([self.z, np.ones((SAMPLES, 1))], axis=1)
        self.w = rng.dirichlet(np.ones(SAMPLES))
        self.local = rng.normal(size=SAMPLES) + (0 if self.head.real else 1j * rng.normal(size=SAMPLES))
        self.t = np.asarray(jax.jit(cotangents)(self.head, jnp.asarray(self.u) @ self.head.weights()))

        def amplitude(weights: jax.Array, z: jax.Array) -> jax.Array:
            psi = self.head.with_weights(weights)(z)
            return psi.log[None] if self.head.real else jnp.stack([psi.log, psi.phase])

        rows = jax.jit(jax.vmap(jax.jacrev(amplitude), (None, 0)))(self.head.weights(), jnp.asarray(self.z))
        self.jacobian = np.asarray(rows).reshape(SAMPLES, self.t.shape[1], -1)
        mean = np.einsum("s,spq->pq", self.w, self.jacobian)
        rows = (self.jacobian - mean) * np.sqrt(self.w)[:, None, None]
        self.rows = rows.reshape(-1, rows.shape[-1])
        residual = (self.local - self.w @ self.local) * np.sqrt(self.w)
        self.residual = np.stack([residual.real, residual.imag][: self.t.shape[1]], axis=1).reshape(-1)
        size = self.rows.shape[1]
        self.update = np.linalg.solve(self.rows.T @ self.rows + SHIFT * np.eye(size), 2 * self.rows.T @ self.residual)

    def found(self) -> tuple[np.ndarray, float]:
        update, spread = fresh_direction(self.t, self.u, self.w, self.local, SHIFT)
        assert update.shape == self.head.weights().shape
        return np.asarray(update).reshape(-1), float(spread)


@pytest.fixture(scope="module", params=KINDS)
def explicit(request: Any, moved: Any) -> Explicit:
    return Explicit(request.param, moved)


def test_a_row_of_the_jacobian_is_an_outer_product(explicit: Explicit):
    outer = np.einsum("sd,sph->spdh", explicit.u, explicit.t).reshape(explicit.jacobian.shape)
    np.testing.assert_allclose(outer, explicit.jacobian, rtol=1e-11, atol=1e-12)


def test_the_factorised_direction_is_that_of_the_explicit_jacobian(explicit: Explicit):
    found, _ = explicit.found()
    assert np.linalg.norm(found - explicit.update) < 1e-10 * np.linalg.norm(explicit.update)


def test_the_kernel_is_centred_and_has_its_null_vectors(explicit: Explicit, monkeypatch: pytest.MonkeyPatch):
    """What is factored is rows rows^T of the explicit Jacobian; sqrt(w) is in its kernel, part by part."""
    seen: list[np.ndarray] = []
    factor = tuning.factor_damped

    def spy(matrix: Any, shift: Any) -> Any:
        seen.append(np.asarray(matrix))
        return factor(matrix, shift)

    monkeypatch.setattr(tuning, "factor_damped", spy)
    metric_at(*map(jnp.asarray, (explicit.t, explicit.u, explicit.w)), SHIFT)
    (kernel,) = seen
    scale = np.max(np.abs(kernel))
    np.testing.assert_allclose(kernel, explicit.rows @ explicit.rows.T, atol=1e-12 * scale)
    parts = explicit.t.shape[1]
    for part in range(parts):
        null = np.zeros((SAMPLES, parts))
        null[:, part] = np.sqrt(explicit.w)
        assert np.max(np.abs(kernel @ null.reshape(-1))) < 1e-12 * scale


def test_a_kept_metric_takes_the_energies_and_weights_of_the_present_head(explicit: Explicit):
    """(S0 + shift)^-1 F, with the tensor S0 of the metric's head and F from its derivatives, other weights, other
    energies.
    """
    rng = np.random.default_rng(7)
    w = explicit.w * rng.uniform(0.5, 2.0, SAMPLES)
    w, local = w / w.sum(), explicit.local + rng.normal(size=SAMPLES)
    metric = jax.jit(metric_at)(explicit.t, explicit.u, explicit.w, SHIFT)
    update, spread = jax.jit(direction)(metric, w, local)
    eps = w * (local - w @ local)
    eps = np.stack([eps.real, eps.imag][: explicit.t.shape[1]], axis=1)
    force = 2 * np.einsum("sp,spq->q", eps, explicit.jacobian)
    expected = np.linalg.solve(explicit.rows.T @ explicit.rows + SHIFT * np.eye(len(force)), force)
    assert np.linalg.norm(np.asarray(update).reshape(-1) - expected) < 1e-10 * np.linalg.norm(expected)
    np.testing.assert_allclose(spread, np.linalg.norm(explicit.rows @ expected), rtol=1e-9)


def test_spread_is_the_change_of_log_psi(explicit: Explicit):
    """sqrt(d S d), as in the engine; the trust region divides by it."""
    _, spread = explicit.found()
    np.testing.assert_allclose(spread, np.linalg.norm(explicit.rows @ explicit.update), rtol=1e-9)


def test_one_complex_solve_is_the_real_one_of_twice_the_size(moved: Any):
    """The plain complex head is holomorphic: (Khat + shift) y = eps with complex numbers gives the same direction."""
    e = Explicit("complex", moved)
    kernel = np.asarray(e.head.re.kernel) + 1j * np.asarray(e.head.im.kernel)
    bias = np.asarray(e.head.re.bias) + 1j * np.asarray(e.head.im.bias)
    t = np.tanh(e.z @ kernel + bias)
    o = np.einsum("sd,sh->sdh", e.u, t).reshape(SAMPLES, -1)
    rows = np.sqrt(e.w)[:, None] * (o - e.w @ o)
    eps = np.sqrt(e.w) * (e.local - e.w @ e.local)
    d = rows.conj().T @ np.linalg.solve(rows @ rows.conj().T + SHIFT * np.eye(SAMPLES), eps)
    d = 2 * d.reshape(WIDTH + 1, WIDTH)
    found = e.found()[0].reshape(WIDTH + 1, 2 * WIDTH)
    np.testing.assert_allclose(found, np.concatenate([d.real, d.imag], axis=1), atol=1e-10 * np.max(np.abs(d)))


class Drawn:
    """A pool of exact, independent samples of a head, and the exact energy of any head by full sum."""

    def __init__(self, system: lattice.LatticeSystem, wavefunction: Any, exactly: Any):
        self.system, self.wavefunction, self.head = system, wavefunction, wavefunction.head
        self.exact, self.family = exactly(system), system.family([{}])
        self.all = fill(wavefunction, self.family, jnp.asarray(self.exact.states), 64)

    def pool(self, size: int, seed: int) -> Pool:
        p = np.abs(self.exact.amplitudes(self.head, self.all.local.z)) ** 2
        rows = np.random.default_rng(seed).choice(len(p), size, p=p / p.sum())
        x, local = jax.tree.map(lambda a: a[rows], (self.all.x, self.all.local))
        return Pool(x, local, 2 * log_psi(self.head, local.z))

    def energy(self, weights: Any, couplings: Any) -> float:
        return self.exact.energy(self.exact.amplitudes(self.head.with_weights(weights), self.all.local.z), couplings)

    def tune(self, pool: Pool, rules: Rules, points: list[dict[str, float]], starts: Any = None) -> Tuned:
        starts = [self.head.weights()] * len(points) if starts is None else starts
        couplings = [self.system.at(**point).couplings for point in points]
        pairs = zip(starts, couplings, strict=True)
        return tree.stack([tuned_on(self.system, self.head, start, one, pool, rules) for start, one in pairs])


@pytest.fixture(scope="module")
def ising(network: Any, exactly: Any) -> Drawn:
    system = lattice.ising_chain(8, h=1.0)
    return Drawn(system, network(system, "real"), exactly)


@pytest.fixture(scope="module")
def heisenberg(network: Any, exactly: Any) -> Drawn:
    """Complex head of 9 x 16 = 144 weights over 70 configurations: it can fit any pool."""
    system = lattice.j1j2_chain(8, J2=0.4)
    return Drawn(system, network(system, "complex", width=8), exactly)


RULES = Rules(steps=40, learning_rate=0.1, shift=1e-2, trust=0.3, held_out=0.33, ess_min=0.5, chains=32, tolerance=1e-5)


def in_order(head: Any, update: Any) -> np.ndarray:
    """An update of the head's leaves as one matrix (width+1, hidden)."""
    params = eqx.filter(head, eqx.is_array)
    leaves = jax.tree.leaves(select(jax.tree.map(lambda _: True, params)).replace(params, jnp.asarray(update)))
    blocks = [np.concatenate([kernel, bias[None]]) for kernel, bias in zip(leaves[::2], leaves[1::2], strict=True)]
    return np.concatenate(blocks, axis=1)


@pytest.mark.parametrize("name", ["ising", "heisenberg"])
def test_equal_weights_give_the_ordinary_natural_gradient(request: Any, name: str):
    """A fresh pool: the same direction as the engine's for all weights of the head, frozen backbone, to 1e-10; and two
    steps of tuning (start, one update) apply it with the same learning rate and trust region.
    """
    drawn = request.getfixturevalue(name)
    pool = drawn.pool(40, seed=1)
    params, static = eqx.partition(drawn.wavefunction, eqx.is_array)
    selection = select(tree.head_only(params))

    @jax.jit
    def ordinary(params: Any, x: Any) -> Any:
        batch = equal_weights(x[None])
        local = local_energies(eqx.combine(params, static), drawn.family, batch, 8) @ drawn.family.couplings[0]
        jacobian = log_jacobian(params, static, selection, drawn.family, batch, 8)
        rows, residual = centred_rows(jacobian, local, batch.weight)
        zero = jnp.zeros(rows.shape[1])
        return local[0], natural_gradient(rows, residual, jnp.array(SHIFT), zero, 0.0, "qgt")

    local, found = ordinary(params, pool.x)
    expected = in_order(drawn.head, found.update)
    u = jnp.concatenate([pool.local.z, jnp.ones((40, 1))], axis=1)
    t = jax.jit(cotangents)(drawn.head, u @ drawn.head.weights())
    update, _ = fresh_direction(t, u, jnp.full(40, 1 / 40), local, SHIFT)
    assert np.linalg.norm(np.asarray(update) - expected) < 1e-10 * np.linalg.norm(expected)


def test_tuning_applies_the_natural_gradient(ising: Drawn):
    """Without a held-out part and with a wide trust region, two rounds are: judge the start, step, judge the step."""
    pool = ising.pool(64, seed=2)
    rules = RULES._replace(steps=2, held_out=0.0, learning_rate=0.01, trust=1e9)
    tuned = ising.tune(pool, rules, [{"h": 0.8}])
    couplings = ising.system.at(h=0.8).couplings
    u = np.concatenate([pool.local.z, np.ones((64, 1))], axis=1)
    local = jax.jit(jax.vmap(lambda part: ising.system.contract(ising.head, part)))(pool.local) @ couplings
    t = jax.jit(cotangents)(ising.head, u @ ising.head.weights())
    update, _ = fresh_direction(t, u, jnp.full(64, 1 / 64), local, rules.shift)
    np.testing.assert_allclose(tuned.weights[0], ising.head.weights() - 0.01 * update, rtol=1e-10, atol=1e-12)
    assert int(tuned.steps[0]) == 2 and float(tuned.gain[0]) > 0


def test_a_tuning_tells_how_far_it_is(ising: Drawn):
    """After every metric; whoever listens changes nothing, and an error of theirs ends it."""
    pool, couplings, told = ising.pool(256, seed=3), ising.system.at(h=0.9).couplings, []
    rules = RULES._replace(steps=20, patience=20, learning_rate=1e-3, held_out=0.0)
    given = (ising.system, ising.head, ising.head.weights(), couplings, pool, rules)
    tuned = tuned_on(*given, told.append)
    assert told == [6, 12, 18, 20] and int(tuned.steps) == 20
    np.testing.assert_array_equal(tuned.weights, tuned_on(*given).weights)

    def stop(step: int) -> None:
        raise Interrupted(2)

    with pytest.raises(Interrupted):
        tuned_on(*given, stop)


def test_pieces_of_a_tuning_share_one_program(ising: Drawn, monkeypatch: pytest.MonkeyPatch):
    """What goes into a piece has the types of what comes out, weak ones of Python's numbers included."""
    seen, steps = [], tuning._some_steps

    def spy(system: Any, head: Any, state: Any, *rest: Any) -> Any:
        seen.append([jax.typeof(leaf) for leaf in jax.tree.leaves(state)])
        return steps(system, head, state, *rest)

    monkeypatch.setattr(tuning, "_some_steps", spy)
    pool, couplings = ising.pool(256, seed=3), ising.system.at(h=0.9).couplings
    rules = RULES._replace(steps=20, patience=20, learning_rate=1e-3)
    tuned_on(ising.system, ising.head, ising.head.weights(), couplings, pool, rules)
    assert len(seen) > 1 and all(str(one) == str(seen[0]) for one in seen)


def test_a_stale_pool_is_reported_and_never_returned(ising: Drawn):
    """Far along the field a pool of the start cannot follow: flagged, and the head that comes back is still carried."""
    rules = RULES._replace(steps=200, learning_rate=0.5)
    tuned = ising.tune(ising.pool(256, seed=4), rules, [{"h": 3.0}, {"h": 0.0, "J": 3.0}])
    assert np.any(tuned.stale)
    assert np.all(np.asarray(tuned.ess) >= rules.ess_min)
    assert np.all(np.asarray(tuned.steps)[np.asarray(tuned.stale)] < 200)
    assert np.all(np.isfinite(tuned.weights))


def test_a_head_that_is_not_finite_stops_at_once_and_leaves_the_start(ising: Drawn):
    pool = ising.pool(64, seed=5)
    broken = pool._replace(local=pool.local._replace(diagonal=pool.local.diagonal.at[3].set(jnp.nan)))
    tuned = ising.tune(broken, RULES, [{"h": 0.8}])
    assert bool(tuned.stale[0]) and int(tuned.steps[0]) == 1
    np.testing.assert_array_equal(tuned.weights[0], ising.head.weights())


def test_tuning_lowers_the_exact_energy(ising: Drawn):
    """A large pool of a small head: what the held-out part reports is what the full sum finds, within 4 errors of
    the gain (false alarms 6e-5 for a normal distribution) for each of three couplings.
    """
    points = [{"h": 0.8}, {"h": 1.0}, {"h": 1.2}]
    tuned = ising.tune(ising.pool(2048, seed=6), RULES, points)
    for k, point in enumerate(points):
        couplings = ising.system.at(**point).couplings
        exact = ising.energy(ising.head.weights(), couplings) - ising.energy(tuned.weights[k], couplings)
        gain, error = float(tuned.gain[k]), float(tuned.gain_error[k])
        assert exact > 0 and gain > 5 * error
        assert abs(gain - exact) < 4 * error


SEEDS = range(8)
# Without patience for idle steps to end it, the guard alone has to notice.
GREEDY = RULES._replace(steps=60, learning_rate=0.15, shift=1e-3, ess_min=0.05, patience=20)


def fit_small_pools(drawn: Drawn, rules: Rules) -> list[tuple[Tuned, float]]:
    """144 weights on 64 samples, and an ESS that is hardly looked at: outcome and exact energy gain for 8 pools."""
    couplings, found = drawn.system.couplings, []
    start = drawn.energy(drawn.head.weights(), couplings)
    for seed in SEEDS:
        tuned = tree.take(drawn.tune(drawn.pool(64, seed=100 + seed), rules, [{}]), 0)
        found.append((tuned, start - drawn.energy(tuned.weights, couplings)))
    return found


@pytest.fixture(scope="module")
def guarded(heisenberg: Drawn) -> list[tuple[Tuned, float]]:
    return fit_small_pools(heisenberg, GREEDY)


def test_over_fitting_is_noticed(guarded: list):
    for tuned, _ in guarded:
        assert bool(tuned.overfit) or bool(tuned.stale)
        assert int(tuned.steps) < GREEDY.steps
    assert sum(bool(tuned.overfit) for tuned, _ in guarded) >= 6, "by its held-out part, not by the weights"


def test_an_over_fitted_head_is_not_returned(guarded: list):
    """On held-out samples the head is no worse than the start, and the exact sum agrees: 4 errors of the gain."""
    for tuned, exact_gain in guarded:
        assert np.all(np.isfinite(tuned.weights)) and np.isfinite(float(tuned.held_out))
        assert float(tuned.gain) >= 0.0
        assert exact_gain > -4 * float(tuned.gain_error) - 1e-12


def test_the_held_out_gain_is_honest(guarded: list):
    """Reported minus exact gain over 8 pools: zero within 5 of its standard errors (2e-3 false alarms at other seeds),
    and small against the gain that the greedy fit would report.
    """
    lies = np.array([float(tuned.gain) - exact_gain for tuned, exact_gain in guarded])
    assert abs(lies.mean()) < 5 * lies.std(ddof=1) / np.sqrt(len(lies))
    assert abs(lies.mean()) < 0.15


def test_without_a_held_out_part_the_same_pools_lie(heisenberg: Drawn):
    """The reason for the guard: judged on the samples it was trained on, the head looks better than it is; one of
    the eight is even worse than the start and does not know.
    """
    greedy = fit_small_pools(heisenberg, GREEDY._replace(held_out=0.0))
    lies = np.array([float(tuned.gain) - exact_gain for tuned, exact_gain in greedy])
    assert lies.mean() > 0.2
    assert any(exact_gain < 0 < float(tuned.gain) for tuned, exact_gain in greedy)
