"""Published points of a pruned system: found for the same system alone, on the scale of the figure."""

import numpy as np
import pytest

from wavefoundry.core.records import TicketsSummary, typed
from wavefoundry.reports import published
from wavefoundry.reports.tickets_figures import error_figure, state_figure


def summary(
    edge: int = 4, h: float = published.CRITICAL, model: str = "ising", periodic: bool = False, kind: str = "square"
) -> TicketsSummary:
    sites, couplings = edge**2, {"J": 1.0, "h": h}
    if model == "toric":
        sites, couplings = 2 * edge**2, {"star": 1.0, "plaquette": 1.0}
    rounds = [
        {
            "round": k, "n": n, "rho": n / sites, "density": n / 2048, "energy": -50.0, "energy_error": 0.0,
            "delta_per_site": 0.01, "relative_error": 0.01 * sites / 50, "observables": {"m_x": 0.9},
            "fidelity_previous": 0.99,
        }
        for k, n in enumerate((2048, 300))
    ]  # fmt: skip
    lattice = {"kind": kind, "size": [edge, edge], "periodic": periodic}
    system = {"model": model, "sites": sites, "extent": [edge, edge], "periodic": periodic, "couplings": couplings}
    return typed(
        TicketsSummary,
        {"kind": "tickets", "status": "complete", "system": system | {"lattice": lattice}, "rounds": rounds},
    )


def test_points_of_the_same_system_are_drawn_on_its_scale():
    figure = error_figure(summary())
    (line,) = [one for one in figure.axes[0].lines if str(one.get_label()).startswith(published.PAPER)]
    x, y = line.get_data()
    place = int(np.argmin(np.abs(np.asarray(x) - 16 * 36)))
    assert x[place] == 576 and y[place] == pytest.approx(9.5e-5 * 16 / 50)
    dip = published.dip(summary(5))
    assert dip == pytest.approx((np.sqrt(73 * 64) / 25, 0.06))
    assert any("smallest in" in str(one.get_label()) for one in state_figure(summary(5).rounds, dip).axes[0].lines)


def test_there_are_none_of_other_systems():
    others = [
        summary(5), summary(h=3.0), summary(periodic=True), summary(kind="triangular"), summary(4, model="toric"),
    ]  # fmt: skip
    assert [published.curves(one) for one in others] == [()] * len(others)
    assert published.dip(summary(h=3.0)) is None and published.dip(summary(3)) is None
    assert published.curves(summary(3, model="toric"))[0].relative
    assert len(published.curves(summary(10))) == 4
    assert all(error > 0 for one in published.curves(summary(10)) for error in one.error)
