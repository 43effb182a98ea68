"""Sampled observables of every kind against full sums over the same state, and features of studies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import wavefoundry as wf
from tests.oracles import sparse_matrix
from tests.small import ISING_8
from wavefoundry.adapt.pool import fill
from wavefoundry.artifacts import spec as study_file
from wavefoundry.core.components import correlation, principal_axes, stage
from wavefoundry.core.errors import InputError
from wavefoundry.core.observables import OBSERVABLES
from wavefoundry.core.statistics import energy_statistics
from wavefoundry.core.verdict import judge
from wavefoundry.problems import exact, lattice, measures
from wavefoundry.problems.observables import measures_of
from wavefoundry.studies.diagram.observing import Amplitude, Observed
from wavefoundry.studies.diagram.records import Estimator, Known, Moved, moved_on, observed
from wavefoundry.studies.diagram.states import LatticeState
from wavefoundry.studies.diagram.trust import judged

pytestmark = pytest.mark.integration

CHAINS = 64


def state_of(system: Any, h: float, seed: int = 0) -> tuple[Any, Any]:
    """A network that was not trained at all, its amplitudes a little apart from each other."""
    patch = 1 if len(system.extent) > 1 else 2
    model = wf.models.vit(width=8, layers=1, heads=2, patch=patch, head="complex" if system.model == "j1j2" else "real")
    wave = model.build(jax.random.key(seed), system.extent, sign_free=system.model != "j1j2", couplings=(0,))
    return wave, system.at(**({"h": h} if system.model == "ising" else {"J2": h}))


def vector_of(wave, system) -> np.ndarray:
    return LatticeState(system, wave, jnp.asarray(exact.basis(system.hilbert), jnp.int8)[:4], {}).statevector()


def measured(system, wave, wanted: list[str], per_chain: int, seed: int = 1):
    """Independent samples of |psi|^2, a quarter of them moved on, through the estimator of diagrams."""
    estimator = Estimator(system, CHAINS, wanted)
    states = jnp.asarray(exact.basis(system.hilbert), jnp.int8)
    psi = vector_of(wave, system)
    keys = jax.random.split(jax.random.key(seed), 2)
    xs = jax.random.choice(keys[0], states, (CHAINS * per_chain,), p=jnp.asarray(np.abs(psi) ** 2))
    pool = fill(wave, system.family([{}]), xs, 64)
    x, weight = moved_on(system, wave.head, pool, keys[1], CHAINS)
    moved = Moved(fill(wave, system.family([{}]), x, 64), weight)
    state = Amplitude(wave, system, 64)
    return estimator.measure(wave.head, np.asarray(system.couplings), [pool], [moved], state).observables, psi


def relaxation(system, wanted: list[str], psi: np.ndarray) -> dict[str, tuple[float, float]]:
    """d<O>/dtau by a small step of imaginary time, and the deviation of what is averaged, for what has one."""
    h, states = sparse_matrix(system.operator()), exact.basis(system.hilbert)
    force, step, found = h @ psi - np.vdot(psi, h @ psi).real * psi, 1e-5, {}
    for one in measures_of(system, wanted):
        if getattr(one, "order", 1) == 2 or getattr(one, "peak", ""):
            continue
        after = [psi - sign * step * force for sign in (1, -1)]
        values = [measures.exact_of(one, v / np.linalg.norm(v), states) for v in after]
        if isinstance(one, measures.Diagonal):
            table = np.asarray(jax.vmap(one.one)(jnp.asarray(states)))
            centred = table - np.abs(psi) ** 2 @ table
            spread = np.sqrt(np.abs(force) ** 2 @ centred**2)
        else:  # of the order of the values themselves
            spread = np.full(len(one.names), np.linalg.norm(force) * (1.0 + np.abs(values[0]).max()))
        drifts = (values[0] - values[1]) / (2 * step)
        found |= {name: (d, 2 * s) for name, d, s in zip(one.names, drifts, spread, strict=True)}
    return found


@pytest.mark.parametrize(
    ("build", "wanted"),
    [
        (lambda: lattice.j1j2_chain(8, J2=0.3), ["spin-structure-factor", "structure-peak", "dimer", "renyi-2"]),
        (lambda: lattice.build("j1j2", "triangular", (4, 3), J2=0.2), ["chirality"]),
        (lambda: lattice.ising_chain(8), ["magnetisation", "correlations", "structure-factor", "renyi-2"]),
    ],
)
def test_all_observables_agree_with_full_sums(build, wanted):
    """Within 4.5 error bars each (false alarm 7e-6), for a state that is no eigenstate of anything."""
    system = build()
    wave, system = state_of(system, 0.3)
    found, psi = measured(system, wave, wanted, 32)
    states, truth = exact.basis(system.hilbert), {}
    for one in measures_of(system, wanted):
        values = measures.exact_of(one, psi, states)
        peak = one.peak if isinstance(one, measures.Diagonal) else ""
        truth |= {peak: values.max()} if peak else dict(zip(one.names, values, strict=True))
    for name, value in truth.items():
        one = found[name]
        assert abs(one.value - value) < 4.5 * one.error + 1e-9, (name, one, value)
        assert not one.why
    drifts = relaxation(system, wanted, psi)
    for name, (drift, spread) in drifts.items():
        assert abs(found[name].drift - drift) < 4.5 * spread / np.sqrt(2048) + 1e-6, (name, found[name].drift, drift)
    if "magnetisation" in wanted:
        one, moments = found["binder"], [truth["m2"], truth["m4"]]
        assert abs(one.value - (1 - moments[1] / (3 * moments[0] ** 2))) < 4.5 * one.error


def test_an_entropy_without_enough_samples_is_refused():
    """Weights that make a few configurations count, from 64 chains of 4: refused, and no number is shown."""
    wave, system = state_of(lattice.ising_chain(8), 1.0)
    head = wave.head.with_weights(40 * wave.head.weights())
    found, _ = measured(system, type(wave)(wave.backbone, head, wave.conditioned), ["renyi-2"], 4)
    one = found["renyi2"]
    assert "too few samples" in one.why or one.error < 0.25
    estimate = energy_statistics(np.random.default_rng(0).normal(size=(64, 8)), 8)
    entry = observed(
        Observed(np.nan, np.inf, np.nan, why="too few samples"), "renyi2", Known(None, {"renyi2": 1.0}), estimate
    )
    record = {"energy": -1.0, "energy_scale": 1.0, "observables": {"renyi2": entry}} | judge([]).fields()
    shown = judged(record)["observables"]["renyi2"]
    assert shown["verdict"] == "refused" and shown["why"] == "too few samples" and shown["z"] is None


def test_components_against_numpy():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 6)) @ np.diag([3, 2, 1, 0.5, 0.1, 0.1]) @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 5
    found = principal_axes(z)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    np.testing.assert_allclose(found.explained, (values[::-1] / values.sum())[:4], rtol=1e-10)
    np.testing.assert_allclose(np.abs(found.of(z)), np.abs((z - z.mean(0)) @ vectors[:, ::-1][:, :4]), atol=1e-9)
    one = correlation(z[:, 0], z[:, 1])
    assert one is not None and one["value"] == pytest.approx(abs(np.corrcoef(z[:, 0], z[:, 1])[0, 1]))
    assert correlation(np.ones(10), np.arange(10.0)) is None
    told = stage("after", 3, np.ones((20, 4)), {"m": np.arange(20.0)}, 5)
    assert told["explained"] == [0.0] * 4 and told["correlations"]["pc1"]["m"] is None
    assert len(told["points"]) == 2 and len(told["points"][0]) == 5


STUDY = (
    ISING_8
    + """\
[pretrain]
at = { h = 1.0 }
steps = 100
walkers = 64
[adapt]
points = { h = { start = 0.4, stop = 1.6, num = 7 } }
samples = 4096
[evaluate]
samples = 512
observables = ["magnetisation", "structure-factor"]
[output]
report = false
"""
)


def test_a_study_tells_of_its_features(tmp_path):
    """The snapshots are those of steps 10 and 20."""
    summary = wf.run_study(study_file.loads(STUDY), tmp_path / "run")
    (features,) = summary["features"]
    stages = features["stages"]
    assert [(one["stage"], one["step"]) for one in stages] == [
        ("before", 0),
        ("during", 10),
        ("during", 20),
        ("after", 100),
    ]
    for one in stages:
        assert 0 < sum(one["explained"]) <= 1 + 1e-9 and set(one["correlations"]["pc1"]) >= {"log_psi", "abs_m", "m"}
    points = summary["features_along"]
    assert len(points) == 7 and {one["quantity"] for one in points} == {"m"}
    for one in points:
        assert len(one["points"]) == 2 and {len(row) for row in (*one["points"], one["values"])} == {64}
        assert np.all(np.isin(np.abs(one["values"]), [0, 0.25, 0.5, 0.75, 1])), "of configurations of 8 spins"
    spread = [np.std(one["values"]) for one in points]
    assert spread[0] > spread[-1] + 0.3, "samples of every point are its own: ordered at h = 0.4, not at 1.6"
    assert len(summary["momenta"]) == 5 and "structure_zz_4" in summary["points"][0]["observables"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('["renyi"]', "did you mean 'renyi-2'"),
        ('["dimer"]', "dimer cannot be measured here"),
        ('"all"', "is not true or false"),
    ],
)
def test_wrong_observables_are_refused(value: str, words: str):
    with pytest.raises(InputError) as error:
        study_file.loads(STUDY, overrides=[f"evaluate.observables={value}"])
    assert words in str(error.value)
    assert set(OBSERVABLES) >= {"structure-factor", "dimer", "renyi-2", "chirality"}
