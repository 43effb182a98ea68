"""Students with fewer weights: which go, that zeros stay zero, and what is refused."""

from typing import Any

import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.core.errors import InputError
from wavefoundry.problems.landscapes import single
from wavefoundry.studies.emulation.pruning import weights_of

ITEMS = tuple(single(10.0, 2.0, float(e), float(h), 7.0) for e in (3, 6) for h in (0, 5))


@pytest.fixture(scope="module")
def data():
    return wf.Curriculum(ITEMS, frames=24).generate()


@pytest.fixture(scope="module")
def student(data: Any) -> wf.Student:
    return wf.distill(data, wf.models.gru(hidden=8), steps=20, batch=32)


def test_the_smallest_weights_go_and_no_others(student: wf.Student):
    limit = 0.1
    sparse, before = student.pruned(below=limit), weights_of(student.emulator)
    for name, after in weights_of(sparse.emulator).items():
        small = np.abs(before[name]) < limit
        np.testing.assert_array_equal(after, np.where(small, 0.0, before[name]))
    left = sum(int(np.sum(np.abs(array) >= limit)) for array in before.values())
    assert sparse.survivors == left < student.survivors == student.parameters == sparse.parameters
    assert f"{left} of {student.parameters} weights" in repr(sparse)
    assert sparse.record == {"pruned": {"below": limit, "share": None, "layers": []}, "start": student.record}


def test_a_share_is_counted_over_all_chosen_layers_and_pruning_again_goes_on(student: wf.Student):
    names, total = list(weights_of(student.emulator)), student.parameters
    assert {"frame.kernel", "frame.bias", "into.kernel", "within.kernel", "out.kernel"} <= set(names)
    kernels = sum(array.size for name, array in weights_of(student.emulator).items() if name.endswith("kernel"))
    half = student.pruned(share=0.5, layers=["*.kernel"])
    assert total - half.survivors == round(0.5 * kernels)
    assert not any(name.endswith("bias") for name in half.mask)
    again = half.pruned(share=0.5, layers=["*.kernel"])
    assert abs((total - again.survivors) - 0.75 * kernels) <= 1
    for name, kept in half.mask.items():
        assert not np.any(np.asarray(again.mask[name]) & ~np.asarray(kept))
    assert student.pruned(share=0.0).mask == {}


def test_polishing_that_cannot_be_done_is_refused_and_not_recorded(data: Any):
    dense = wf.distill(data, steps=2, polish=2)
    assert dense.record["polish"] == 2
    sparse = dense.pruned(share=0.3)
    assert wf.distill(data, start=sparse, steps=2).record["polish"] == 0
    with pytest.raises(InputError, match="a pruned student cannot be polished"):
        wf.distill(data, start=sparse, steps=2, polish=2)
    with pytest.raises(InputError, match="gru cannot be polished"):
        wf.distill(data, wf.models.gru(hidden=4), steps=2, polish=2)


def test_training_leaves_the_zeros_and_lowers_the_loss(student: wf.Student, data: Any, tmp_path: Any):
    sparse = student.pruned(share=0.7, layers=["*.kernel"])
    tuned = wf.distill(data, start=sparse, steps=600, batch=32, learning_rate=3e-3)
    assert tuned.survivors == sparse.survivors and tuned.model == student.model
    assert tuned.record["start"] == sparse.record and "pruned" not in tuned.record
    moved = 0
    for name, array in weights_of(tuned.emulator).items():
        kept = np.asarray(sparse.mask.get(name, np.ones(array.shape, bool)))
        assert np.all(array[~kept] == 0)
        moved += int(np.sum(array[kept] != weights_of(sparse.emulator)[name][kept]))
    assert moved > 0.5 * tuned.survivors  # units that relu has switched off do not move
    losses = [loss for _, loss in tuned.record["losses"]]
    assert losses[-1] < 0.5 * losses[0]
    kept = wf.load_student(tuned.save(tmp_path / "sparse"))
    assert kept.survivors == tuned.survivors
    np.testing.assert_array_equal(kept.mask["out.kernel"], tuned.mask["out.kernel"])


def test_a_unitary_student_goes_on_from_where_it_was(data: Any):
    first = wf.distill(data, steps=30, polish=0)
    more = wf.distill(data, start=first, steps=5, polish=0, learning_rate=1e-4)
    assert more.record["losses"][-1][1] < 1.5 * first.record["losses"][-1][1] + 1e-6
    sparse = wf.distill(data, start=first.pruned(share=0.3), steps=5)
    assert sparse.survivors == first.parameters - round(0.3 * first.parameters)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "one of below and share"),
        ({"below": 0.1, "share": 0.5}, "one of below and share"),
        ({"below": -1.0}, "below = -1.0"),
        ({"below": float("nan")}, "nan is no number for below"),
        ({"share": 1.5}, "share = 1.5"),
        ({"share": "half"}, "'half' is no number for share"),
        ({"below": True}, "True is no number for below"),
        ({"share": 1.0}, "no weight would be left"),
        ({"share": 0.5, "layers": ["kernel"]}, "no weights are called 'kernel'"),
        ({"share": 0.5, "layers": "frame.kernel"}, "layers"),
    ],
)
def test_what_cannot_be_pruned_is_said(student: wf.Student, asked: dict[str, Any], words: str):
    with pytest.raises(InputError) as failed:
        student.pruned(**asked)
    assert words in str(failed.value)


def test_a_start_that_does_not_fit_is_refused(student: wf.Student, data: Any):
    with pytest.raises(InputError, match="model is not that of start"):
        wf.distill(data, wf.models.unitary(), start=student)
    with pytest.raises(InputError, match="does not fit the student") as failed:
        wf.distill(data._replace(frame_step=0.2), start=student)
    assert "frame_step = 0.2" in str(failed.value)
    with pytest.raises(InputError, match="is no student"):
        wf.distill(data, start=student.emulator)  # type: ignore[arg-type]
