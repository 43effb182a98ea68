"""States as objects: amplitudes, samples, expectation values and overlaps against full sums and NetKet."""

import json

import jax
import jax.numpy as jnp
import netket as nk
import numpy as np
import pytest
from netket.operator.spin import sigmax, sigmaz

import wavefoundry as wf
from tests.oracles import sparse_matrix
from tests.small import J1J2_8
from wavefoundry.artifacts import spec as study_file
from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.studies import run_study

pytestmark = pytest.mark.integration

SMALL = {"width": 8, "layers": 1, "heads": 2, "patch": 2}
STUDY = (
    J1J2_8
    + """\
heads = 2
patch = 2
head = "complex"
[pretrain]
at = { J2 = 0.2 }
steps = 60
walkers = 64
[adapt]
method = "METHOD"
points = { J2 = [0.0, 0.4] }
steps = 10
samples = 2048
full_steps = 10
[evaluate]
samples = 4096
"""
)


@pytest.fixture(scope="module")
def diagram():
    """A ring of eight with a sign rule and a complex head, adapted to two points."""
    model = wf.models.vit(head="complex", **SMALL)
    base = wf.pretrain(wf.lattice.j1j2_chain(8, J2=0.2), model, steps=60, walkers=64)
    return wf.map(base, {"J2": [0.1, 0.3]}, samples=512), base


def heisenberg(system, letters):
    """Sum over neighbours of one Pauli pair, as a NetKet operator."""
    sites = system.sites
    strings = ["".join(letters[0] if s in (i, (i + 1) % sites) else "I" for s in range(sites)) for i in range(sites)]
    build = nk.operator.PauliStringsJax
    return build(system.hilbert, strings + [s.replace("X", "Y") for s in strings], [0.25] * 2 * sites)


def test_the_vector_has_the_energy_of_the_record_and_the_amplitudes_of_its_configurations(diagram):
    found, _ = diagram
    state = found.state(J2=0.3)
    psi = state.statevector()
    assert np.linalg.norm(psi) == pytest.approx(1)
    energy = np.vdot(psi, sparse_matrix(state.system.operator()) @ psi).real
    assert abs(energy - state.energy) < 4 * state.record["energy_error"] + 1e-6  # false alarm 1e-4
    exact = wf.exact.ground_state(state.system.operator())[1]
    assert abs(np.vdot(exact, psi)) ** 2 > 0.98, "signs included"
    xs = np.asarray(state.system.hilbert.all_states())[[3, 17, 40]]
    ratio = np.exp(state.log_amplitude(xs) - state.log_amplitude(xs[0]))
    np.testing.assert_allclose(ratio, psi[[3, 17, 40]] / psi[3], rtol=1e-5)
    assert "trusted" in repr(state) or "doubtful" in repr(state) or "refused" in repr(state)


def test_samples_follow_the_amplitudes_and_expectation_values_the_full_sum(diagram):
    state = diagram[0].state(J2=0.1)
    psi = state.statevector()
    xs = state.sample(3000)
    assert xs.shape == (3000, 8) and np.all(xs.sum(axis=1) == 0) and xs.dtype == np.int8
    assert not np.array_equal(xs, state.sample(3000, seed=1))
    np.testing.assert_array_equal(xs, state.sample(3000))
    correlation = np.mean(xs[:, 0] * xs[:, 1])
    every = np.asarray(state.system.hilbert.all_states())
    truth = np.abs(psi) ** 2 @ (every[:, 0] * every[:, 1])
    assert abs(correlation - truth) < 5 * np.sqrt((1 - truth**2) / 1000)  # a third of the samples independent
    operator = heisenberg(state.system, "XX")
    value = np.vdot(psi, sparse_matrix(operator) @ psi).real
    found = state.expect(operator)
    assert abs(found.value - value) < 4 * found.error and found.error < 0.05
    assert found.verdict in ("estimate", "doubtful", "refused") and found.why and found.samples >= 4096


def test_samples_of_a_small_system_are_drawn_from_all_of_it():
    """Heisenberg ring of 6 without ``total_sz``, where single flips lead nowhere: chi-square against the amplitudes."""
    hilbert = nk.hilbert.Spin(0.5, 6)
    strings = ["".join(a if k in (i, (i + 1) % 6) else "I" for k in range(6)) for i in range(6) for a in "XYZ"]
    system = wf.lattice.from_netket({"J": nk.operator.PauliStringsJax(hilbert, strings, [1.0] * 18)}, {"J": 1.0})
    state = wf.pretrain(system, wf.models.vit(patch=2, width=8, layers=1), steps=60, walkers=64).state
    probability = np.abs(state.statevector()) ** 2
    every = np.asarray(hilbert.all_states(), np.int8)
    place = {row.tobytes(): i for i, row in enumerate(every)}
    counts = np.bincount([place[row.tobytes()] for row in state.sample(4000)], minlength=len(every))
    often = 4000 * probability > 5
    rest = counts[~often].sum() - 4000 * probability[~often].sum()
    chi = np.sum((counts - 4000 * probability)[often] ** 2 / (4000 * probability)[often])
    assert often.sum() >= 18 and chi < often.sum() + 6 * np.sqrt(2 * often.sum()) and abs(rest) < 30  # 1 in 10 000
    found = state.expect(system.operator())
    assert abs(found.value - state.energy) < 5 * np.hypot(found.error, state.record["energy_error"]) + 1e-3
    assert found.verdict != "refused", "the chains agree, as they did for the record"


def test_complex_and_large_operators_are_measured_and_others_refused(diagram):
    """A current (imaginary elements), and random exchanges of all pairs, against the vector; false alarm 6e-5 each."""
    state = diagram[0].state(J2=0.3)
    psi, hilbert, build = state.statevector(), state.system.hilbert, nk.operator.PauliStringsJax
    current = build(hilbert, ["XIYIIIII", "YIXIIIII"], [0.5, -0.5])
    pairs = [(i, j) for i in range(8) for j in range(i)]
    strings = ["".join(a if s in pair else "I" for s in range(8)) for pair in pairs for a in "XYZ"]
    for operator in (current, build(hilbert, strings, np.random.default_rng(0).normal(size=28).repeat(3))):
        truth = np.vdot(psi, sparse_matrix(operator) @ psi).real
        found = state.expect(operator)
        assert abs(found.value - truth) < 4 * found.error + 1e-9
    raising = nk.operator.LocalOperator(hilbert)
    raising += nk.operator.spin.sigmap(hilbert, 0) @ nk.operator.spin.sigmam(hilbert, 1)
    with pytest.raises(InputError, match="not Hermitian"):
        state.expect(raising)


def test_odd_numbers_of_y_are_measured_with_their_sign():
    """Of a state with phases, at random weights: values far from zero against the vector; false alarm 6e-5 each."""
    hilbert = nk.hilbert.Spin(0.5, 6)
    terms = {"h": sum((i + 1) * nk.operator.spin.sigmax(hilbert, i) for i in range(6))}
    system = wf.lattice.from_netket(terms, {"h": 0.3})
    state = wf.pretrain(system, wf.models.vit(patch=1, width=8, layers=1, head="complex"), steps=8, walkers=64).state
    psi, seen = state.statevector(), 0
    for letters in ("YIIIII", "XYIIII", "IIXYZI", "YYIYII"):
        operator = nk.operator.PauliStringsJax(hilbert, [letters], [1.0])
        truth, found = np.vdot(psi, operator.to_dense() @ psi).real, state.expect(operator, samples=8192)
        assert abs(found.value - truth) < 4 * found.error + 1e-9
        seen += abs(truth) > 8 * found.error
    assert seen >= 1, "at least one value tells its sign"


def test_a_netket_state_stays_within_a_constraint_of_ones_own():
    """A chain of Rydberg atoms: zero outside the space, moves of the Hamiltonian; false alarm 6e-5."""
    from tests.problems.test_user_systems import Apart

    hilbert = nk.hilbert.Spin(0.5, 8, constraint=Apart())
    down = [0.5 * (nk.operator.LocalOperator(hilbert, constant=1.0) - sigmaz(hilbert, i)) for i in range(8)]
    hop = sum(down[i - 1] @ sigmax(hilbert, i) @ down[(i + 1) % 8] for i in range(8))
    terms = {"W": -1.0 * hop, "D": -1.0 * sum(sigmaz(hilbert, i) for i in range(8))}
    system = wf.lattice.from_netket(terms, {"W": 1.0, "D": 0.5})
    state = wf.pretrain(system, wf.models.vit(patch=1, width=8, layers=1), steps=10, walkers=64).state
    theirs = state.to_netket(samples=2048)
    outside = np.ones((1, 8))
    assert (
        np.isneginf(np.real(theirs.log_value(outside))).all() and np.isneginf(state.log_amplitude(outside).real).all()
    )
    assert np.all(hilbert.constraint(np.asarray(theirs.samples).reshape(-1, 8)))
    psi = state.statevector()
    truth, found = np.vdot(psi, sparse_matrix(system.operator()) @ psi).real, theirs.expect(system.operator())
    assert abs(found.mean.real - truth) < 4 * found.error_of_mean + 1e-9


def test_amplitudes_of_any_number_of_configurations_take_few_programs(diagram):
    from wavefoundry.studies.diagram import states

    state = diagram[0].state(J2=0.3)
    xs = np.asarray(state.system.hilbert.all_states())
    every = state.log_amplitude(xs)
    for count in range(1, 20):
        np.testing.assert_allclose(state.log_amplitude(xs[:count]), every[:count], rtol=1e-6)
    assert {states._roundly(count) for count in range(1, 65)} == {8, 16, 32, 64}
    lengths = [states._roundly(count) for count in range(65, 5000)]
    assert len(set(lengths)) < 60 and all(n >= c for c, n in zip(range(65, 5000), lengths, strict=True))
    assert max(n / c for c, n in zip(range(65, 5000), lengths, strict=True)) < 1.25


def test_few_samples_are_no_estimate(diagram):
    """Chains that are too few or disagree; numbers and seeds that are none."""
    state = diagram[0].state(J2=0.3)
    operator = nk.operator.spin.sigmaz(state.system.hilbert, 0) @ nk.operator.spin.sigmaz(state.system.hilbert, 1)
    assert state.expect(operator, samples=1).verdict == state.expect(operator, samples=8).verdict == "refused"
    for wrong in ({"samples": 0}, {"samples": 2.5}, {"samples": "a"}, {"seed": "a"}, {"seed": -1}, {"seed": True}):
        with pytest.raises(InputError, match="to_netket"):
            state.to_netket(**wrong)
    with pytest.raises(InputError, match="NoneType is no state"):
        state.overlap(None)


def test_overlaps_agree_with_vectors(diagram):
    found, base = diagram
    one, two = found.state(J2=0.1), found.state(J2=0.3)
    truth = abs(np.vdot(one.statevector(), two.statevector())) ** 2
    overlap = one.overlap(two)
    assert abs(overlap.fidelity - truth) < 4 * overlap.error + 1e-4
    assert one.overlap(one).fidelity == pytest.approx(1, abs=1e-9)
    assert base.state.overlap(two).fidelity == pytest.approx(
        abs(np.vdot(base.state.statevector(), two.statevector())) ** 2, abs=0.02
    )


def test_netket_sees_the_same_state(diagram):
    state = diagram[0].state(J2=0.3)
    theirs = state.to_netket(samples=512)
    xs = np.asarray(state.system.hilbert.all_states())
    difference = np.asarray(theirs.log_value(jnp.asarray(xs, jnp.int8))) - state.log_amplitude(xs)
    np.testing.assert_allclose(np.exp(difference - difference[0]), 1, atol=1e-12)
    vector = theirs.to_array()
    assert abs(np.vdot(vector, state.statevector())) ** 2 == pytest.approx(1, abs=1e-12)
    energy = np.real(theirs.expect(state.system.operator()).mean)
    assert energy == pytest.approx(state.energy, abs=0.1)


def test_a_state_of_netket_is_a_start(diagram):
    system = wf.lattice.ising_chain(6, h=1.0)
    sampler = nk.sampler.MetropolisLocal(system.hilbert)
    theirs = nk.vqs.MCState(sampler, nk.models.RBM(alpha=1, param_dtype=float), n_samples=256, seed=1)
    base = wf.from_netket_state(theirs, system)
    psi, vector = base.state.statevector(), np.asarray(theirs.to_array())
    assert abs(np.vdot(vector, psi)) ** 2 == pytest.approx(1, abs=1e-10)
    energy = np.vdot(vector, sparse_matrix(system.operator()) @ vector).real
    assert abs(base.energy - energy) < 4 * base.record["energy_error"]
    improved = wf.map(base, {"h": [1.0]}, "full", full_steps=60).state(h=1.0)
    assert improved.energy < base.energy - 0.1
    with pytest.raises(InputError, match="no variational state"):
        wf.from_netket_state(system, system)
    with pytest.raises(InputError, match="lives on"):
        wf.from_netket_state(theirs, wf.lattice.ising_chain(8))


@pytest.mark.parametrize("method", ["head", "full", "zero-shot"])
def test_a_finished_run_is_opened_with_all_its_states(tmp_path, method):
    folder = tmp_path / "run"
    summary = run_study(study_file.loads(STUDY.replace("METHOD", method)), folder)
    found = wf.open(folder)
    assert found.summary["points"] == json.loads(json.dumps(summary["points"]))
    for point in found.points:
        state = found.state(**point["couplings"])
        psi = state.statevector()
        energy = np.vdot(psi, sparse_matrix(state.system.operator()) @ psi).real
        assert abs(energy - point["energy"]) < 4 * point["energy_error"] + 1e-6
    if method == "head":
        arrays = folder / "artifacts" / "points" / "arrays.safetensors"
        whole = arrays.read_bytes()
        arrays.write_bytes(whole[:-5] + bytes([whole[-5] ^ 4]) + whole[-4:])
        with pytest.raises(IntegrityError, match="damaged"):
            wf.open(folder)
    one, two = (found.state(J2=value).statevector() for value in (0.0, 0.4))
    assert (abs(np.vdot(one, two)) ** 2 > 1 - 1e-12) == (method == "zero-shot")


def test_mistakes_are_answered(diagram, tmp_path):
    found, base = diagram
    state = found.state(J2=0.3)
    for call, words in (
        (lambda: found.state(J2=0.5), "no point has these couplings"),
        (lambda: found.state(J3=0.5), "no coupling 'J3'"),
        (lambda: found.state(), "several points"),
        (lambda: state.log_amplitude(np.ones(6)), "do not belong to 8 sites"),
        (lambda: state.log_amplitude(np.zeros(8)), r"\+1 or -1"),
        (lambda: found.state(J2=[0.1, 0.3]), "a state belongs to one point"),
        (lambda: found.state(J2="0.1"), "is no coupling"),
        (lambda: state.sample(0), "no number of samples"),
        (lambda: state.sample(10**12), "GiB are free"),
        (lambda: wf.load(tmp_path), "no saved model"),
        (lambda: state.expect("X"), "no NetKet operator"),
        (lambda: state.expect(wf.lattice.ising_chain(8).operator()), "acts on"),
        (lambda: state.overlap(base), "no state"),
        (lambda: wf.open(tmp_path), "run"),
    ):
        with pytest.raises(InputError, match=words):
            call()


def test_a_point_without_a_number_has_no_state(diagram):
    found, _ = diagram
    broken = wf.Diagram(found.summary, [], [None, None])
    with pytest.raises(InputError, match="did not keep"):
        broken.state(J2=0.1)
    assert jax.tree.leaves(found.state(J2=0.1).walkers)[0].shape[1] == 8
