"""Curricula, batches, evaluation, diagnostics and ablation of emulation studies."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.artifacts.store import RunDirectory
from wavefoundry.core.errors import InputError, IntegrityError
from wavefoundry.core.pieces import at_once
from wavefoundry.core.statistics import half_width
from wavefoundry.problems.grid import Grid1D
from wavefoundry.problems.landscapes import case, single
from wavefoundry.problems.schrodinger import solve
from wavefoundry.problems.splitting import Solver
from wavefoundry.problems.wavepackets import Packet, packet_transmission
from wavefoundry.studies import progress
from wavefoundry.studies.emulation import ablation, diagnostics, evaluation, truth
from wavefoundry.studies.emulation.batches import Pairs, Windows, touching
from wavefoundry.studies.emulation.curriculum import Curriculum, Trajectories
from wavefoundry.studies.emulation.passing import passage
from wavefoundry.studies.emulation.pieces import Pieces
from wavefoundry.studies.emulation.student import predict

BOX = Grid1D()
ITEMS = tuple(single(10.0, 2.0, float(e), float(h), 7.0) for e in (3, 6) for h in (0, 5))


@pytest.fixture(scope="module")
def short():
    """Four runs of the paper's kind, 24 frames."""
    return Curriculum(ITEMS, frames=24).generate()


def of_paper_length(runs=2):
    """Frames of the paper's length whose values tell where they come from."""
    frames = np.arange(runs)[:, None, None] * 1e3 + np.arange(501)[:, None] + 1j * np.arange(1024)
    potential = np.stack([single(10, 2, 5, 5.0, 7.0).potential(BOX)] * runs).astype(np.float32)
    return Trajectories(frames.astype(np.complex64), potential, ITEMS[:runs], BOX, 0.1, 11, 0.0)


def test_windows_are_those_of_the_paper():
    windows = Windows(of_paper_length(), 128, seed=1314)
    assert (windows.starts, windows.places, windows.per_run) == (446, 102, 45_492)
    near = touching(windows.data.potentials[0], 23)
    assert near.sum() == 93
    times, left = windows.table(0)
    assert len(set(times.tolist())) == 446 and times.max() <= 495
    assert all(len(set(row.tolist())) == 102 for row in left[:20])
    # 446 x 102 draws: the standard error of the share is below 0.002, so 0.71 to 0.73 is 5 standard errors wide.
    assert 0.71 < near[left].mean() < 0.73


def test_windows_hold_the_frames_they_name_round_the_box():
    windows = Windows(of_paper_length(), 64, seed=3)
    batch = windows(5, 3)
    assert batch.x.shape == (3, 64, 4, 23, 3) and batch.y.shape == (3, 64, 23, 2)
    x, y = batch.x.reshape(-1, 4, 23, 3), batch.y.reshape(-1, 23, 2)
    np.testing.assert_allclose(np.diff(x[..., 0], axis=1), 1)  # successive frames
    np.testing.assert_allclose(y[..., 0] - x[:, 3, :, 0], 1)
    np.testing.assert_allclose(np.diff(x[..., 1], axis=2) % 1024, 1)  # neighbouring points, round the box
    potential = windows.data.potentials[0][x[:, 0, :, 1].astype(int)]
    np.testing.assert_allclose(x[..., 2], np.repeat(potential[:, None], 4, 1))


def test_every_window_comes_once_per_epoch_whatever_the_blocks():
    data = of_paper_length(1)._replace(frames=of_paper_length(1).frames[:, :12])
    windows = Windows(data, 100, seed=0)
    steps = windows.size // 100
    whole = windows(0, steps).x
    again = np.concatenate([Windows(data, 100, seed=0)(lo, min(5, steps - lo)).x for lo in range(0, steps, 5)])
    np.testing.assert_array_equal(whole, again)
    keys = whole[..., 0, 0, 0] * 5000 + whole[..., 0, 0, 1]
    assert len(np.unique(keys)) == steps * 100
    assert windows(steps - 1, 3).x.shape[0] == 3  # across the end of an epoch


def test_pairs_are_successive_frames(short):
    pairs = Pairs(short, 8, seed=1)
    batch = pairs(3, 4)
    np.testing.assert_array_equal(batch.before, Pairs(short, 8, seed=1)(0, 7).before[3:7])
    for psi, potential, after in zip(batch.before[0], batch.potential[0], batch.after[0], strict=True):
        found = wf.propagate(psi, potential, 1, substeps=11, tolerance=0.1)[1]
        assert np.linalg.norm(found - after) / np.linalg.norm(after) < 1e-5


def test_a_window_larger_than_the_box_is_refused(short):
    with pytest.raises(InputError, match="larger than the box"):
        Windows(short, 8, 0, points=2049)


def test_cache_streams_the_same_frames_and_notices_damage(tmp_path, short):
    curriculum = Curriculum(ITEMS, frames=24)
    seen = []
    first = curriculum.generate(tmp_path, lambda done, total: seen.append((done, total)))
    second = curriculum.generate(tmp_path)
    assert isinstance(second.frames, np.memmap) and seen == [(4, 4)]
    np.testing.assert_array_equal(first.frames, short.frames)
    np.testing.assert_array_equal(second.frames, short.frames)
    del first, second
    (file,) = tmp_path.glob("*.npy")
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match="damaged"):
        curriculum.generate(tmp_path)


def test_frames_without_room_are_refused(tmp_path, monkeypatch):
    """The paper's 2646 runs take 10.1 GiB: what fits neither into memory nor on the disk is not begun."""
    curriculum = wf.Curriculum.preset("paper-full")
    monkeypatch.setattr("wavefoundry.core.memory.free_memory", lambda: 2**30)
    with pytest.raises(InputError, match="10.1 GiB"):
        curriculum.generate()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=2**33))
    with pytest.raises(InputError, match="8 GiB are free on the disk"):
        curriculum.generate(tmp_path / "new" / "frames")
    assert not list(tmp_path.iterdir())


def test_curricula_leave_processes_out():
    drawn = Curriculum.preset("quick")
    tunnelling = sum(item.height > item.energy for item in drawn.items)
    assert 0 < tunnelling < len(drawn.items)
    assert len(drawn.without("tunnelling").items) == len(drawn.items) - tunnelling
    for bad in (
        lambda: drawn.without("magic"),
        lambda: Curriculum.preset("magic"),
        lambda: drawn.filter(lambda i: False),
    ):
        with pytest.raises(InputError):
            bad()


def test_comparison_of_known_states():
    true = np.stack([single(30, 2, 4, 0, 7).state(BOX)])[:, None].repeat(3, 1)
    fields = np.zeros((1, 1024))
    turned = evaluation.compare(2 * np.exp(0.3j) * true, true, fields, BOX)
    np.testing.assert_allclose(turned.corr, 1, atol=1e-12)
    np.testing.assert_allclose(turned.norm, 4, atol=1e-12)
    np.testing.assert_allclose(turned.rel_l2, abs(2 * np.exp(0.3j) - 1), atol=1e-12)
    np.testing.assert_allclose(turned.energy, 4 + 1 / 32, rtol=1e-9)
    other = np.stack([single(70, 2, 4, 0, 7).state(BOX)])[:, None].repeat(3, 1)
    apart = evaluation.compare(other, true, fields, BOX)
    assert apart.corr.max() < 1e-12
    np.testing.assert_allclose(apart.transmission, 1, atol=1e-9)
    np.testing.assert_allclose(apart.true_transmission, 0, atol=1e-9)
    broken = evaluation.compare(true * np.nan, true, fields, BOX)
    record = evaluation.case_record(ITEMS[0], broken, 0, 4.0)
    assert record["corr_mean"] is None and record["frames_followed"] == 0


@pytest.mark.parametrize("frames", [170, 400])
@pytest.mark.parametrize("left", [False, True])
def test_transmission_is_that_of_the_closed_form_whichever_way_and_however_long(left, frames):
    """Within 1 %, which may have gone round the box: after 400 frames all of the packet has."""
    packet = Packet(80 if left else 20, 2.5, 4, left)
    item = case("barrier", {"kind": "barrier", "height": 2.0, "width": 3.0}, packet)
    field = item.potential(BOX)
    true = wf.propagate(item.state(BOX), field, frames)
    found = passage(item, true, field, BOX, 0.1)
    assert found is not None and 100 < found.frame <= min(frames, 260)
    passed = np.sum(np.abs(true[found.frame, found.behind]) ** 2) * BOX.dx
    assert passed == pytest.approx(packet_transmission(packet, 2.0, np.sum(field > 0) * BOX.dx), abs=0.012)


def test_where_nothing_passes_there_is_no_transmission():
    """Both ways, from behind, no landscape to pass, and a box that is too short for the time it takes."""
    barrier = {"kind": "barrier", "height": 2.0, "width": 3.0}
    both = [Packet(20, 2.5, 4), Packet(80, 2.5, 4, left=True)]
    trap = {"kind": "harmonic", "omega": 0.3, "cap": 10.0}
    slow = single(30, 1, 0.02, 5, 30)
    for item in (
        case("both", barrier, both),
        case("in it", barrier, Packet(50, 2, 4)),
        case("trap", trap, Packet(50, 2, 4)),
        slow,
    ):
        field = item.potential(BOX)
        assert passage(item, wf.propagate(item.state(BOX), field, 300), field, BOX, 0.1) is None, item.name


@pytest.mark.integration
def test_diagnostics_find_what_an_exact_solver_knows():
    """The student that is the splitting itself: symmetric, reversible, with the right mass."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from wavefoundry.studies.emulation.student import Student

    model = wf.models.unitary(depth=3, time_reversal=True, mirror=True, gauge=True, kcut=12.0, precision="float64")
    emulator = model.build(jax.random.key(0), frame_step=0.1)
    phases = jnp.zeros_like(emulator.phases).at[:, 0].set(0.1 / 3 * 72 / 10)
    taps = jnp.zeros_like(emulator.taps).at[:, 0].set(jnp.asarray([1 / 60, 1 / 30]))
    emulator = eqx.tree_at(lambda e: (e.phases, e.taps), emulator, (phases, taps))
    scope = {"potential_min": 0.0, "potential_max": 14.0, "momentum_max": 7.0, "runs": 0}
    student = Student(emulator, model, BOX, 0.1, scope)
    found = diagnostics.diagnose(student)
    assert found["residuals"]["one_step"] < 5e-3
    for name in ("linearity", "phase", "amplitude", "translation", "mirror", "time_reversal", "v_shift", "norm"):
        assert found["residuals"][name] < 1e-10
    assert found["mass"]["kinetic_coefficient"] == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(found["transmission"]["student"], found["transmission"]["solver"], atol=5e-3)
    np.testing.assert_allclose(found["transmission"]["solver"], found["transmission"]["formula"], atol=6e-3)
    assert set(found["built_in"]) >= {"mirror", "time_reversal", "v_shift", "norm"}
    claims = next(line for line in found["words"] if "learned" in line or "No further" in line)
    assert "mirror" not in claims  # what is built in is never called learned


@pytest.mark.integration
def test_pieces_change_no_bit(monkeypatch):
    """Propagations, roll-outs and what a student is asked, at once and in small pieces."""
    states, fields = truth.drawn(ITEMS, BOX)
    models = (wf.models.unitary(), wf.models.linear(window=5, renormalise=True))
    emulators = [model.build(jax.random.key(0), frame_step=0.1) for model in models]

    def everything(piece):
        yield solve(states, fields, 12, grid=BOX, solver=Solver("bm4"), piece=piece).frames
        yield solve(states[:2], fields[:2], 3, grid=BOX, solver=Solver("exact"), piece=piece).frames
        for emulator in emulators:
            first = np.repeat(states[[0, 1, 2, 3, 0, 1, 2, 3, 0, 1], None], emulator.history, 1).astype(np.complex64)
            potential = fields[[0, 1, 2, 3, 0, 1, 2, 3, 0, 1]]
            yield predict(emulator, first, potential, BOX, 7, renormalise=True, piece=piece)
        found = diagnostics.diagnose(wf.demo_emulator(), piece=piece)
        yield np.array([*found["residuals"].values(), *found["dispersion"]["phase"], *found["transmission"]["student"]])

    whole = list(everything(at_once))
    monkeypatch.setattr("wavefoundry.problems.schrodinger.PIECE_WORK", 2**20)
    monkeypatch.setattr("wavefoundry.studies.emulation.student.PIECE_WINDOWS", 8 * 1024 * 3)
    monkeypatch.setattr("wavefoundry.studies.emulation.student.PIECE_POINTS", 8 * 1024 * 50)
    pieces = []

    def noted(work):
        pieces.append(work())
        return pieces[-1]

    for one, other in zip(whole, everything(noted), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(pieces) > 20


def test_pieces_are_kept_as_they_are(tmp_path, monkeypatch):
    """Values that are no numbers too, which a checkpoint refuses; what is known is not asked again."""
    monkeypatch.setattr(progress, "SAVE_AFTER", -1.0)
    given = [np.array([1.5, np.nan]), np.array([[1 + 2j]], np.complex64), np.array(3.0)]
    with RunDirectory.create(tmp_path / "run", "") as directory:
        task = progress.Progress(progress.Context(store=directory), "judge/0")
        pieces = Pieces(task)
        for one in given:
            pieces(lambda one=one: one)
        again = Pieces(progress.Progress(progress.Context(store=directory), "judge/0"))
        for one in given:
            found = again(lambda: np.zeros(1))
            assert found.dtype == one.dtype and found.tobytes() == one.tobytes() and found.shape == one.shape
        assert again(lambda: np.zeros(1)) == 0


def test_claims_need_a_ratio_below_a_tenth():
    found = {name: 1e-3 for name in (*diagnostics.SYMMETRIES, "energy_spread")} | {"one_step": 2e-3, "mirror": 1e-4}
    ratios = diagnostics.ratios_of(found)
    assert ratios["mirror"] == pytest.approx(0.05) and ratios["time_reversal"] == pytest.approx(0.5)
    assert ratios["norm"] == pytest.approx(0.25)
    assert [name for name in diagnostics.SYMMETRIES if ratios[name] < diagnostics.LEARNED] == ["mirror"]


def test_importance_table_from_known_losses():
    jobs = [
        {
            "without": name,
            "seed": seed,
            "runs": 10,
            "lost": {"all": lost * 10 ** (0.1 * (seed - 1)), "tunnelling": lost},
        }
        for name, lost in (("everything", 1e-3), ("tunnelling", 1e-2))
        for seed in range(3)
    ]
    table = ablation.table_of("unitary", jobs)
    (row,) = table["rows"]
    assert row["on_all"]["value"] == pytest.approx(1.0)
    assert row["on_all"]["error"] == pytest.approx(0.0, abs=1e-12), "what a seed does to both of a pair is no error"
    assert "tunnelling" in ablation.words_of(table)[0] and "unitary" in ablation.words_of(table)[0]
    flat = [job | {"lost": {"all": 10.0 ** -(3 + 0.1 * job["seed"])}} for job in jobs]
    assert "tells from none" in ablation.words_of(ablation.table_of("unitary", flat))[0]


def test_three_seeds_need_more_than_two_standard_errors():
    """Differences 0.1, 0.5, 0.9: 0.5 with a standard error of 0.23; an interval of 95 % reaches below zero."""
    assert half_width(3) == pytest.approx(4.303, abs=1e-3) and half_width(200) == pytest.approx(1.97, abs=1e-2)

    def jobs(differences: list[float]) -> list[dict]:
        found = []
        for seed, more in enumerate(differences):
            for name, lost in (("everything", 1e-3), ("tunnelling", 1e-3 * 10**more)):
                found.append({"without": name, "seed": seed, "runs": 9, "lost": {"all": lost}})
        return found

    few, many = (
        ablation.table_of("unitary", jobs([0.1, 0.5, 0.9])),
        ablation.table_of("unitary", jobs([0.1, 0.5, 0.9] * 3)),
    )
    assert few["rows"][0]["on_all"]["value"] > 2 * few["rows"][0]["on_all"]["error"]
    assert "tells from none" in ablation.words_of(few)[0]
    assert "costs accuracy" in ablation.words_of(many)[0]


def test_one_seed_supports_no_statement():
    jobs = [{"without": name, "seed": 0, "runs": 9, "lost": {"all": 0.1}} for name in ("everything", "tunnelling")]
    table = ablation.table_of("unitary", jobs)
    assert np.isnan(table["rows"][0]["on_all"]["error"])
    assert "no error bar" in ablation.words_of(table)[0]


def test_a_student_that_is_lost_anyway_supports_no_statement():
    jobs = [{"without": name, "seed": seed, "runs": 9, "lost": {"all": lost + 1e-3 * seed}}
            for name, lost in (("everything", 0.8), ("tunnelling", 0.95)) for seed in range(3)]  # fmt: skip
    (line,) = ablation.words_of(ablation.table_of("kernel", jobs))
    assert "0.8 of the correlation" in line and "nothing is said" in line


def test_rollouts_that_leave_the_trained_range_say_so():
    student = wf.demo_emulator()
    psi, flat = single(30, 2, 4, 0, 7).state(BOX), np.zeros(1024)
    with pytest.warns(UserWarning, match="trained range"):
        student.rollout(psi, flat + np.where(BOX.x > 60, 30.0, 0.0), 2)
    with pytest.warns(UserWarning, match="momenta"):
        student.rollout(single(30, 2, 60, 0, 7).state(BOX), flat, 2)


@pytest.mark.parametrize("name", ["zoo:emulator-gru", "zoo:emulator-unitary"])
def test_rollouts_scale_with_the_state(name):
    """The equation is linear; what a student of no such form has not seen is scaled before and after."""
    student = wf.load_student(name)
    psi, barrier = single(30, 2, 4, 0, 7).state(BOX), np.where(np.abs(BOX.x - 50) < 1, 3.0, 0.0)
    frames = student.rollout(np.stack([psi, 30 * psi, 0.03 * psi]), barrier, 8)
    assert np.allclose(frames[1], 30 * frames[0], rtol=0, atol=3e-4)
    assert np.allclose(frames[2], 0.03 * frames[0], rtol=0, atol=3e-7)
    assert np.allclose(frames[0], student.rollout(psi, barrier, 8), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["zoo:emulator-gru-symmetric", "zoo:emulator-unitary"])
@pytest.mark.parametrize("scale", [1e-17, 1e-22, 1e12])
def test_no_norm_is_too_small_for_single_precision(name, scale):
    """Also where every frame is brought to the norm of the first: squares of amplitudes underflow first."""
    student = wf.load_student(name)
    psi, flat = single(30, 2, 4, 0, 7).state(BOX), np.zeros(1024)
    frames = student.rollout(np.stack([psi, scale * psi]), flat, 4, renormalise=True)
    assert np.allclose(frames[1].astype(complex) / scale, frames[0], rtol=0, atol=1e-5)
    norms = BOX.norm(frames[1].astype(complex) / scale)
    assert np.allclose(norms, 1, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"potential": np.full(1024, np.nan)}, "not finite"),
        ({"psi0": np.zeros(1000)}, "does not fit"),
        ({"psi0": np.zeros(1024)}, "zero everywhere"),
        ({"potential": np.full(1024, 1j)}, "complex"),
        ({"psi0": (-1.0) ** np.arange(1024)}, "too fast"),
        ({"frames": 0}, "frames"),
        ({"grid": Grid1D(50.0, 1024)}, "dx"),
    ],
)
def test_bad_rollouts(change, says):
    student = wf.demo_emulator()
    arguments = {"psi0": single(30, 2, 4, 0, 7).state(BOX), "potential": np.zeros(1024), "frames": 2} | change
    with pytest.raises(InputError, match=says):
        student.rollout(**arguments)


def test_demo_emulator_follows_a_case_it_never_saw_and_is_saved_whole(tmp_path):
    student = wf.demo_emulator()
    assert student.parameters == 72
    own = case("steps", [{"kind": "barrier", "height": 4, "width": 3, "center": 42},
                         {"kind": "gaussian", "height": 6, "width": 3, "center": 58}], (20, 2.5, 5))  # fmt: skip
    frames = student.rollout(own.state(BOX), own.potential(BOX), 150)
    assert frames.shape == (151, 1024) and frames.dtype == np.complex64
    true = wf.propagate(own.state(BOX), own.potential(BOX), 150)
    overlap = abs(np.vdot(frames[-1], true[-1])) / np.linalg.norm(frames[-1]) / np.linalg.norm(true[-1])
    assert overlap > 0.999
    student.save(tmp_path / "s")
    again = wf.load_student(tmp_path / "s")
    np.testing.assert_array_equal(again.rollout(own.state(BOX), own.potential(BOX), 150), frames)


def test_one_dimensional_student_in_a_plane():
    """Trained on lines, used on a plane: against a two-dimensional reference, separable and not."""
    student, n = wf.demo_emulator(), 192
    line = Grid1D(n * BOX.dx, n)
    plane = wf.Grid2D((line.length, line.length), (n, n))
    a, b = (single(x0, 1.3, e, 0, 1).state(line) for x0, e in ((5.0, 3), (8.0, 2)))
    psi = np.outer(a, b)
    x, y = np.meshgrid(line.x, line.x, indexing="ij")
    separable = 4.0 * (np.abs(x - 10) < 1) + 2.0 * (np.abs(y - 12) < 1)
    round_hill = 6.0 * ((x - 10) ** 2 + (y - 10) ** 2 < 4)
    for potential in (separable, round_hill):
        frames = student.rollout(psi, potential, 20, grid=plane)
        true = wf.propagate(psi, potential, 20, grid=plane, substeps=8, kcut=20.0, check=False)
        corr = abs(np.vdot(frames[-1], true[-1])) / np.linalg.norm(frames[-1]) / np.linalg.norm(true[-1])
        assert corr > 0.997
    with pytest.raises(InputError, match="line"):
        _windowed(student).rollout(psi, separable, 2, grid=plane)


def _windowed(student):
    import dataclasses

    import jax

    model = wf.models.linear()
    return dataclasses.replace(student, model=model, emulator=model.build(jax.random.key(0), frame_step=0.1))


QUICK = Curriculum.preset("quick", runs=2, frames=10)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda path: wf.demo_emulator().rollout(1e60 * np.exp(-((BOX.x - 30) ** 2)), lambda x: 0 * x, 2), "above 1e"),
        (lambda path: wf.demo_emulator().rollout(wf.Packet(20, 2, 5), lambda x: 0 * x + 1e40, 2), "above 1e"),
        (lambda path: wf.propagate(wf.Packet(20, 2, 5), {"kind": "harmonic", "omega": 1e200, "cap": 10}, 1), "finite"),
        (lambda path: wf.distill(QUICK, wf.models.linear(), on_event=3, steps=2), "on_event = 3 is no function"),
        (lambda path: QUICK.filter(lambda item: np.array([1, 2])), "cannot choose"),
        (lambda path: QUICK.generate(path / "file"), "is no folder"),
        (lambda path: wf.case("none", {"kind": "flat"}, []), "needs a packet"),
        (lambda path: wf.demo_emulator().pruned(share=1), "that is all of them"),
    ],
)
def test_mistakes_with_students(call, words, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=words):
        call(tmp_path)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_students_of_frames_know_the_laplacian_of_their_teacher():
    teacher = dataclasses.replace(QUICK, solver=QUICK.solver._replace(laplacian="fd2"))
    found = wf.distill(teacher.generate(), wf.models.linear(), steps=2, batch=4)
    assert found.laplacian == wf.distill(teacher, wf.models.linear(), steps=2, batch=4).laplacian == "fd2"


def test_correlations_are_computed_in_double_precision():
    """A student that misses one part in 1e8 is told so, whatever its own precision."""
    true = np.exp(-((BOX.x - 30) ** 2) / 8 + 2j * BOX.x)[None, None].astype(np.complex64)
    found = (true * (1 + 2e-4 * np.sin(BOX.x))).astype(np.complex64)
    a, b = found.astype(complex)[0, 0], true.astype(complex)[0, 0]
    exact = abs(np.vdot(a, b)) / np.linalg.norm(a) / np.linalg.norm(b)
    assert 0 < 1 - exact < 1e-7
    corr = evaluation.compare(found, true, np.zeros((1, BOX.n)), BOX).corr[0, 0]
    assert corr == pytest.approx(exact, abs=1e-14)
