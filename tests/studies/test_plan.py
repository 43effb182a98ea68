"""The order of a diagram: every point once, parents first, and each point starts from its nearest neighbour."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wavefoundry.studies.diagram.plan import BASE, Wave, waves

# coordinates on a coarse grid: ties are common, and rescaling by powers of two is exact
coordinate = st.integers(-20, 20).map(lambda k: k / 8)


def diagrams(axes: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray, int]]:
    """Pre-trained point, other points (each once, the base among them or not), largest wave."""
    point = st.tuples(*[coordinate] * axes)
    points = st.lists(point, min_size=1, max_size=12, unique=True).map(np.array)
    return st.tuples(point.map(np.array), points, st.integers(1, 5))


def scaled(base: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Couplings in units of their range, in which distances are taken."""
    spread = np.ptp(np.vstack([points, base]), axis=0)
    unit = np.where(spread > 0, spread, 1.0)
    return base / unit, points / unit


def lengths(base: np.ndarray, points: np.ndarray, plan: list[Wave]) -> dict[int, float]:
    """Distance of every point to its parent."""
    origin, points = scaled(base, points)
    where = {BASE: origin} | dict(enumerate(points))
    return {i: float(np.linalg.norm(where[i] - where[w.parent])) for w in plan for i in w.points}


def spanning_tree(base: np.ndarray, points: np.ndarray) -> float:
    """Total length of the shortest tree over all points (Kruskal)."""
    origin, points = scaled(base, points)
    nodes = np.vstack([origin, points])
    pairs = itertools.combinations(range(len(nodes)), 2)
    edges = sorted((float(np.linalg.norm(nodes[a] - nodes[b])), a, b) for a, b in pairs)
    group, total = list(range(len(nodes))), 0.0
    for length, a, b in edges:
        if group[a] != group[b]:
            old, total = group[b], total + length
            group = [group[a] if g == old else g for g in group]
    return total


def check_order(points: np.ndarray, plan: list[Wave], width: int) -> None:
    order = [i for wave in plan for i in wave.points]
    assert sorted(order) == list(range(len(points))), "every point exactly once"
    done = {BASE}
    for wave in plan:
        assert wave.parent in done, "a parent is done before its children"
        assert 1 <= len(wave.points) <= width
        done |= set(wave.points)


@settings(deadline=None, max_examples=150)
@given(diagrams(1))
def test_a_line_is_walked_outward(case: tuple):
    base, points, width = case
    plan = waves(base, points, width)
    check_order(points, plan, width)
    values = points[:, 0]
    for wave in plan:
        for i in wave.points:
            between = values[(values - base[0]) * (values[i] - base[0]) >= 0]
            nearer = between[np.abs(between - base[0]) < np.abs(values[i] - base[0])]
            expected = nearer[np.argmax(np.abs(nearer - base[0]))] if len(nearer) else base[0]
            start = base[0] if wave.parent == BASE else values[wave.parent]
            assert start == expected, "the neighbour on the side of the pre-trained point"


@settings(deadline=None, max_examples=150)
@given(diagrams(2))
def test_a_plane_is_walked_along_the_shortest_tree(case: tuple):
    """Always adding the point nearest to what is done gives the minimum spanning tree: no shorter set of steps."""
    base, points, width = case
    plan = waves(base, points, width)
    check_order(points, plan, width)
    np.testing.assert_allclose(sum(lengths(base, points, plan).values()), spanning_tree(base, points), atol=1e-9)


@settings(deadline=None, max_examples=100)
@given(diagrams(2))
def test_no_ancestor_is_nearer_than_the_parent(case: tuple):
    """Following the parents back to the base, every other head on the way would have been a worse start."""
    base, points, width = case
    plan = waves(base, points, width)
    origin, places = scaled(base, points)
    parent = {i: wave.parent for wave in plan for i in wave.points}
    step = lengths(base, points, plan)

    def ancestors(i: int) -> list[int]:
        return [] if i == BASE else [parent[i], *ancestors(parent[i])]

    for i in parent:
        for a in ancestors(i):
            place = origin if a == BASE else places[a]
            assert step[i] <= np.linalg.norm(places[i] - place) + 1e-9


@settings(deadline=None, max_examples=100)
@given(diagrams(2), st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
def test_units_of_a_coupling_do_not_matter(case: tuple, powers: tuple[int, int]):
    base, points, width = case
    units = 2.0 ** np.array(powers)
    assert waves(base, points, width) == waves(base * units, points * units, width)


@settings(deadline=None, max_examples=50)
@given(diagrams(2))
def test_the_width_only_cuts_waves(case: tuple):
    """Whom a point starts from does not depend on how many are tuned together."""
    base, points, width = case
    pairs = [{(w.parent, i) for w in waves(base, points, k) for i in w.points} for k in (1, width, 100)]
    assert pairs[0] == pairs[1] == pairs[2]


def test_both_sides_of_a_transition():
    plan = waves(np.array([1.0]), np.array([[0.5], [0.75], [1.25], [1.5]]), 4)
    assert plan == [Wave(BASE, (1, 2)), Wave(1, (0,)), Wave(2, (3,))]


def test_the_pre_trained_point_itself_comes_first():
    plan = waves(np.array([1.0]), np.array([[0.5], [1.0], [1.5]]), 4)
    assert plan == [Wave(BASE, (1, 0, 2))]
