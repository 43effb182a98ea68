"""Pictures and fits of tickets: units on periodic lattices, and curves that jump."""

from __future__ import annotations

import numpy as np
import pytest

from wavefoundry.core.records import typed
from wavefoundry.core.records.tickets import System
from wavefoundry.core.segments import fit
from wavefoundry.core.torus import plaquettes, stars
from wavefoundry.reports.tickets_figures import _periods, positions, together


def periodic(model: str, *extent: int) -> System:
    form = {"model": model, "sites": int(np.prod(extent)), "extent": list(extent), "periodic": True, "couplings": {}}
    return typed(System, form)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 3), (3, 3), (4, 3)])
def test_plaquettes_and_stars_are_drawn_as_squares(rows, columns):
    system = periodic("toric", 2 * rows, columns)
    places = positions(system)
    for quad in [*plaquettes(rows, columns), *stars(rows, columns)]:
        points = together(np.array([places[site] for site in sorted(quad)]), _periods(system))
        sizes = np.linalg.norm(points[:, None] - points[None], axis=-1)
        assert np.allclose(np.unique(sizes.round(6)), [0, np.sqrt(0.5), 1], atol=1e-6)


def test_bonds_across_a_boundary_are_one_step_long():
    system = periodic("ising", 4, 3)
    places = positions(system)
    for bond in ((0, 9), (0, 2), (4, 5)):
        points = together(np.array([places[site] for site in bond]), _periods(system))
        assert np.linalg.norm(points[0] - points[1]) == pytest.approx(1)
    assert np.array_equal(together(np.array([places[0], places[9]]), None), np.array([places[0], places[9]]))


def test_a_jump_is_a_middle_region_of_two_points():
    x = np.geomspace(20, 2000, 20)
    found = fit(x, np.where(x < 200, 0.1, 1e-4))
    below, above = x[x < 200][-1], x[x >= 200][0]
    assert found is not None and found.boundaries[0] <= below * 1.001 and found.boundaries[1] >= above * 0.999
    assert -np.log(1e3) / np.log(above / below) * 1.2 < found.slopes[1] < -10
