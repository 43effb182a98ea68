"""Potentials, the paper's sets and the suite of cases."""

import numpy as np
import pytest

from wavefoundry.core.errors import InputError
from wavefoundry.problems.grid import Grid1D, Grid2D
from wavefoundry.problems.landscapes import CLASSES, PRESETS, SINGLES, Item, case, shows, single, suite
from wavefoundry.problems.potentials import SHAPES, from_any, from_dict, shape, values_of
from wavefoundry.problems.wavepackets import Packet, state_of

BOX = Grid1D()


def test_barrier_of_width_seven_covers_the_points_of_the_paper():
    inside = np.flatnonzero(shape("barrier", height=5.0, width=7.0)(BOX))
    assert (inside[0], inside[-1], len(inside)) == (477, 547, 71)  # 1-based 477..547 is x = 477 dx .. 547 dx


@pytest.mark.parametrize(("name", "count"), [("paper-demo", 567), ("paper-full", 2646)])
def test_sets_of_the_paper(name, count):
    items = PRESETS[name](0, 0)
    assert len(items) == count == len({item.name for item in items})
    assert {item.packets[0].x0 for item in items} == {10, 40, 70}
    assert max(item.height for item in items) == (10 if name == "paper-demo" else 14)


def test_drawn_runs_follow_their_seed():
    assert PRESETS["quick"](3, 8) == PRESETS["quick"](3, 9)[:8] != PRESETS["quick"](4, 8)


def test_suite_has_24_normalised_cases_inside_the_box():
    cases = suite()
    assert len(cases) == 24 == len({item.name for item in cases})
    assert sum(item.group == "single" for item in cases) == len(SINGLES) == 11
    for item in cases:
        assert BOX.norm(item.state(BOX)) == pytest.approx(1.0, abs=1e-12)
        assert np.all(np.isfinite(item.potential(BOX)))
    by_name = {item.name: item.potential(BOX) for item in cases}
    assert by_name["well"][512] == 0 and by_name["well"][100] == 4
    assert by_name["double-2"].max() == 8 and by_name["triangle"].max() == pytest.approx(8, abs=0.08)
    assert by_name["harmonic-1"].max() == 10


def test_processes_split_single_barriers():
    def processes(item: Item) -> set[str]:
        return {name for name in CLASSES if shows(item, name, BOX)}

    assert processes(single(10, 2, 3, 5, 7)) == {"tunnelling"}
    assert processes(single(10, 2, 6, 5, 7)) == {"over-barrier", "fast packets"}
    assert processes(single(10, 2, 6, 0, 7)) == {"fast packets", "low barriers"}


@pytest.mark.parametrize(
    ("potential", "expected"),
    [
        ({"kind": "gaussian", "height": 10.0, "width": 2.0}, {"tunnelling", "high barriers"}),
        ({"kind": "steps", "heights": [12.0, 12.0], "width": 3.0, "start": 45.0}, {"tunnelling", "high barriers"}),
        ({"kind": "barrier", "height": 2.0, "width": 7.0}, {"over-barrier", "low barriers"}),
        ([{"kind": "barrier", "height": h, "width": 3.0, "center": c} for h, c in ((1.0, 40.0), (13.0, 60.0))],
         {"tunnelling", "high barriers"}),
        ({"kind": "well", "depth": 9.0, "width": 10.0}, {"low barriers"}),
        ([{"kind": "flat", "height": 20.0}, {"kind": "barrier", "height": 3.0, "width": 7.0}],
         {"over-barrier", "low barriers"}),
        (lambda x: 8.0 * np.exp(-((x - 50.0) ** 2)), {"tunnelling", "high barriers"}),
    ],
)  # fmt: skip
def test_processes_of_any_potential(potential, expected):
    """By how far it rises above where the packet begins, whatever it is made of; a well is no barrier."""
    item = case("own", potential, Packet(20, 2, 4.9))
    assert {name for name in CLASSES if shows(item, name, BOX)} == expected


def test_sums_functions_arrays_and_files_agree(tmp_path):
    tables = [{"kind": "barrier", "height": 2, "width": 4}, {"kind": "gaussian", "height": 1, "width": 3, "center": 20}]
    wanted = from_any(tables)(BOX)
    np.save(tmp_path / "v.npy", wanted)
    np.savetxt(tmp_path / "v.txt", np.stack([BOX.x, wanted], 1))
    for other in (wanted, lambda x: np.interp(x, BOX.x, wanted), tmp_path / "v.npy", str(tmp_path / "v.txt")):
        np.testing.assert_allclose(from_any(other)(BOX), wanted, atol=1e-12)
    np.testing.assert_allclose((from_dict(tables[0]) + from_dict(tables[1]))(BOX), wanted)


def test_every_shape_is_bounded_by_its_height():
    numbers = {"height": 3.0, "depth": 3.0, "width": 6.0, "center": 30.0, "top": 2.0, "seed": 1, "omega": 0.5,
               "cap": 3.0, "heights": [1.0, 3.0], "start": 20.0}  # fmt: skip
    import inspect

    for name, function in SHAPES.items():
        if name == "file":
            continue
        wanted = {key for key in inspect.signature(function).parameters if key in numbers}
        field = shape(name, **{key: numbers[key] for key in wanted})(BOX)
        assert field.min() >= 0 and field.max() <= 3.0 + 1e-12 and field.max() > 2.5


@pytest.mark.parametrize(
    ("potential", "says"),
    [
        ({"kind": "barier", "height": 1, "width": 2}, "did you mean 'barrier'"),
        ({"kind": "barrier", "hight": 1, "width": 2}, "did you mean 'height'"),
        ({"kind": "barrier", "height": 1}, "needs width"),
        ({"kind": "barrier", "height": 1, "width": -2}, "not positive"),
        ({"kind": "barrier", "height": float("inf"), "width": 2}, "not finite"),
        (np.full(1024, np.nan), "point 0"),
        (np.zeros(7), "shape"),
        (lambda x: 1j * x, "real"),
        ("no/such/file.npy", "no such potential file"),
    ],
)
def test_bad_potentials(potential, says):
    with pytest.raises(InputError, match=says):
        from_any(potential)(BOX)


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "v.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        from_any(tmp_path / "v.npy")(BOX)


def test_case_takes_tuples_tables_and_lists():
    one = case("a", {"kind": "flat"}, (20, 2, 5))
    two = case("b", {"kind": "flat"}, [{"x0": 20, "s0": 2, "e0": 5}, {"x0": 70, "s0": 2, "e0": 5, "left": True}])
    assert len(one.packets) == 1 and two.packets[1].left
    with pytest.raises(InputError, match="no packet"):
        case("c", {"kind": "flat"}, {"x": 1})
    with pytest.raises(InputError, match="int is no name"):
        case(3, {"kind": "flat"}, (20, 2, 5))  # type: ignore[arg-type]


def test_functions_point_by_point_keep_the_type_of_every_value():
    """The first value is a whole number; the others need not be."""

    def step(x):
        return 0 if x < 48.5 or x > 51.5 else 4.7

    whole = np.where((BOX.x < 48.5) | (BOX.x > 51.5), 0, 4.7)
    np.testing.assert_array_equal(from_any(step)(BOX), whole)
    plane = Grid2D((10.0, 10.0), (8, 8))
    x = np.broadcast_to(plane.axis(0)[:, None], plane.shape)
    np.testing.assert_array_equal(values_of(lambda x, y: 0 if x < 5 else 0.5, plane), np.where(x < 5, 0, 0.5))
    state = state_of(lambda x: 0 if x < 10 else np.exp(-((x - 30) ** 2) / 8 + 2j * x), BOX)
    inside = BOX.x[BOX.x >= 10]
    np.testing.assert_allclose(
        np.abs(state[BOX.x >= 10]) ** 2, np.exp(-((inside - 30) ** 2) / 4), rtol=1e-6, atol=1e-300
    )


def test_random_steps_of_negative_height_are_wells():
    up, down = shape("random", height=3.0, seed=1)(BOX), shape("random", height=-3.0, seed=1)(BOX)
    assert up.max() > 0 and np.array_equal(down, -up)
