"""Potentials and packets of the user's own: understood whole, or refused with the reason; never folded or bridged."""

from __future__ import annotations

import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.core.errors import InputError
from wavefoundry.problems.grid import Grid1D, Grid2D
from wavefoundry.problems.potentials import from_any, shape, values_of
from wavefoundry.problems.wavepackets import Packet, gaussian, state_of, superpose

BOX = Grid1D(100.0, 256)


def hill(x):
    return 5 * np.exp(-(((np.asarray(x) - 40) / 6) ** 2)) + 2 * np.cos(2 * np.pi * np.asarray(x) / 100)


def drawn(tmp_path, x, v, name="v.txt"):
    np.savetxt(tmp_path / name, np.stack([x, v], axis=1))
    return from_any(tmp_path / name)(BOX)


@pytest.mark.parametrize(
    "x",
    [
        np.arange(0, 100, 0.25),
        np.linspace(0, 100, 801),
        np.arange(400) / 4 + 0.125,
        BOX.x,
        np.linspace(0, 100, 801) ** 1.0,
    ],
)
def test_a_file_that_covers_the_box_is_interpolated(tmp_path, x):
    """Error of linear interpolation: at most h^2 / 8 max|V''| = 0.06 x 0.28 / 8 < 3e-3 for h = 0.25."""
    assert np.max(np.abs(drawn(tmp_path, x, hill(x)) - hill(BOX.x))) < 3e-3


def test_the_end_of_the_box_is_not_folded_onto_its_beginning(tmp_path):
    """V = x from 0 to 100: the last grid point lies just below 100, and the first is 0."""
    x = np.linspace(0, 100, 11)
    np.testing.assert_allclose(drawn(tmp_path, x, x), BOX.x, atol=1e-9)


def test_corners_of_a_polygon_may_lie_far_apart(tmp_path):
    x, v = np.array([0, 45, 46, 54, 55, 100.0]), np.array([0, 0, 3, 3, 0, 0.0])
    np.testing.assert_allclose(drawn(tmp_path, x, v), np.interp(BOX.x, x, v), atol=1e-12)


X = np.arange(0, 100, 0.25)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.linspace(0, 200, 400), "leaves the box"),
        (np.linspace(-50, 50, 400), "add 50 to x"),
        (np.linspace(0, 80, 400), "does not cover the box"),
        (np.linspace(20, 100, 400), "does not cover the box"),
        (np.array([0.0, 45.0]), "does not cover the box"),
        (X[::-1], "does not rise"),
        (np.where(X == 50, 30.0, X), "follows"),
        (np.where(X == 50, 49.75, X), "repeats the one before"),
        (np.where(X == 50, np.nan, X), "row 201"),
        (np.array([3.0]), "too few points"),
    ],
)
def test_places_that_do_not_match_the_box_are_refused(tmp_path, x, says):
    with pytest.raises(InputError) as caught:
        drawn(tmp_path, x, np.ones_like(x))
    assert says in str(caught.value) and "v.txt" in str(caught.value)


def test_holes_are_refused(tmp_path):
    """Flat stretches may be told by their ends, a ramp across a hole may not."""
    gap = np.concatenate([np.arange(0, 20, 0.1), np.arange(80, 100, 0.1)])
    assert np.all(drawn(tmp_path, gap, np.ones_like(gap)) == 1)
    corners = np.array([0.0, 46.4, 46.5, 53.5, 53.6, 100.0])
    drawn(tmp_path, corners, np.array([0.0, 0, 5, 5, 0, 0]))
    with pytest.raises(InputError, match="has a hole"):
        drawn(tmp_path, gap, np.where(gap < 50, 0.0, 5.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("1 2 3\n" * 256, "wrong number of columns"),
        ("1\n" * 255, "shape (255,)"),
        ("1\n" * 255 + "nan\n", "point 255"),
        ("0,5 1,5\n" * 256, "decimal points"),
        ("x V\n0 1\n", "cannot be read"),
        ("1 2\n3\n", "cannot be read"),
    ],
)
def test_other_files_are_refused(tmp_path, text, says):
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises(InputError) as caught:
        from_any(tmp_path / "v.txt")(BOX)
    assert says in str(caught.value)


@pytest.mark.parametrize(("array", "says"), [(np.zeros((2, 256)), "columns"), (np.zeros((256, 3)), "columns")])
def test_arrays_of_another_layout_are_refused(tmp_path, array, says):
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(InputError, match=says):
        from_any(tmp_path / "v.npy")(BOX)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("barrier", {"height": 5, "width": 500}, "wider than the box"),
        ("well", {"depth": 5, "width": 101}, "wider than the box"),
        ("gaussian", {"height": 5, "width": 60}, "wider than the box"),
        ("barrier", {"height": 5, "width": 7, "center": 500}, "outside the box"),
        ("harmonic", {"omega": 0.3, "cap": 5, "center": -20}, "outside the box"),
        ("steps", {"heights": [1, 2, 3], "width": 30, "start": 35}, "leaves the box"),
        ("random", {"height": 5, "seed": 1, "width": 10}, "leaves the box"),
        ("barrier", {"height": 5, "width": 0.1}, "thinner than the grid"),
        ("trapezoid", {"height": 5, "width": 10, "top": 20}, "wider than its foot"),
        ("smooth", {"height": 5, "seed": 1, "correlation": 500}, "longer than the box"),
    ],
)
def test_shapes_that_do_not_fit_the_box_are_refused(name, values, says):
    with pytest.raises(InputError, match=says):
        shape(name, **values)(BOX)


@pytest.mark.parametrize(
    "values",
    [
        {"height": 5, "width": -7}, {"height": "5", "width": 7}, {"height": True, "width": 7},
        {"height": 5, "width": [7]},
        {"height": 5, "width": "wide"}, {"height": float("nan"), "width": 7}, {"height": None, "width": 7},
        {"height": 5, "width": 7, "center": 1j},
    ],
)  # fmt: skip
def test_numbers_of_a_shape_are_numbers(values):
    with pytest.raises(InputError):
        shape("barrier", **values)


@pytest.mark.parametrize(
    ("packet", "says"),
    [
        ((500, 2, 5), "outside the box"),
        ((-3, 2, 5), "outside the box"),
        ((20, 500, 5), "wider than the box"),
        ((20, -2, 5), "no such packet"),
        ((20, 2, -5), "no such packet"),
        ((20, 2, 60), "too fast for the grid"),
        ((20, 0.2, 5), "too fast for the grid"),
        ((20, float("nan"), 5), "a finite number"),
        (("20", 2, 5), "no number"),
    ],
)
def test_packets_that_the_box_cannot_hold_are_refused(packet, says):
    with pytest.raises(InputError, match=says):
        gaussian(Packet(*packet), BOX)


def test_states_and_potentials_are_taken_in_every_form():
    packet = Packet(20.0, 2.0, 3.0)
    wanted = gaussian(packet, BOX)
    for value in (
        packet,
        {"x0": 20, "s0": 2, "e0": 3},
        (20, 2, 3),
        [packet],
        wanted,
        wf.case("c", {"kind": "flat"}, packet),
    ):
        np.testing.assert_allclose(state_of(value, BOX), wanted, rtol=1e-12)
    np.testing.assert_allclose(state_of(lambda x: np.exp(1j * x), BOX), np.exp(1j * BOX.x))
    two = [packet, {"x0": 60, "s0": 2, "e0": 1, "left": True}]
    np.testing.assert_array_equal(state_of(two, BOX), superpose([packet, Packet(60, 2, 1, True)], BOX))
    block = np.where(np.abs(BOX.x - 50) < 3.5, 5.0, 0.0)
    forms = ({"kind": "barrier", "height": 5, "width": 7}, lambda x: np.where(abs(x - 50) < 3.5, 5.0, 0.0),
             lambda x: 5.0 if abs(x - 50) < 3.5 else 0.0, shape("barrier", height=5, width=7), block)  # fmt: skip
    for value in forms:
        np.testing.assert_array_equal(values_of(value, BOX), block)
    np.testing.assert_array_equal(values_of([forms[0], {"kind": "flat", "height": 1}], BOX), block + 1)
    np.testing.assert_array_equal(values_of(lambda x: 2.0, BOX), np.full(256, 2.0))


def test_propagate_and_rollout_take_packets_and_functions():
    def step(x):
        return np.where(x > 50, 1.0, 0.0)

    plain = wf.propagate(gaussian(Packet(30, 2, 4)), step(Grid1D().x), 3)
    np.testing.assert_array_equal(wf.propagate(wf.Packet(30, 2, 4), step, 3), plain)
    student = wf.demo_emulator()
    found = student.rollout(wf.Packet(30, 2, 4), step, 3)
    np.testing.assert_array_equal(found, student.rollout(gaussian(Packet(30, 2, 4)), step(Grid1D().x), 3))


@pytest.mark.parametrize(
    ("psi0", "potential", "says"),
    [
        (Packet(300, 2, 4), 0, "outside the box"),
        ({"x": 3}, 0, "is no packet"),
        ("wave", 0, "does not consist of numbers"),
        (Packet(30, 2, 4), "nowhere.npy", "no such potential file"),
        (Packet(30, 2, 4), lambda x: 1 / 0, "ZeroDivisionError"),
        (Packet(30, 2, 4), lambda x, y: x, "cannot be evaluated"),
        (Packet(30, 2, 4), lambda x: np.full(x.shape, np.nan), "not finite"),
        (Packet(30, 2, 4), lambda x: x[:10], "shape"),
        (Packet(30, 2, 4), [[1.0], [1.0, 2.0]], "no array"),
        (lambda x: "a", np.zeros(1024), "numbers"),
    ],
)
def test_what_cannot_be_a_state_or_a_potential_is_refused_with_words(psi0, potential, says):
    student = wf.demo_emulator()
    for call in (lambda: wf.propagate(psi0, potential, 2), lambda: student.rollout(psi0, potential, 2)):
        with pytest.raises(InputError) as caught:
            call()
        assert says in str(caught.value)


def test_complex_potentials_are_for_the_solver_and_absorb():
    with pytest.raises(InputError, match="creates norm"):
        wf.propagate(Packet(30, 2, 4), lambda x: 1j * x, 2)
    with pytest.raises(InputError, match="real numbers"):
        wf.demo_emulator().rollout(Packet(30, 2, 4), lambda x: -1j * x, 2)


def test_a_plane_takes_functions_and_refuses_packets_and_shapes():
    plane = Grid2D((10.0, 10.0), (16, 16))
    x, y = np.meshgrid(plane.axis(0), plane.axis(1), indexing="ij")
    np.testing.assert_allclose(values_of(lambda a, b: a + 2 * b, plane), x + 2 * y)
    np.testing.assert_allclose(state_of(lambda a, b: np.exp(1j * a), plane), np.exp(1j * x))
    for bad in (lambda: state_of(Packet(3, 1, 1), plane), lambda: values_of({"kind": "flat"}, plane)):
        with pytest.raises(InputError, match="plane"):
            bad()
