"""Records and samples for xarray and ArviZ."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.core.errors import InputError
from wavefoundry.reports.exported import inference_data

xarray, arviz = pytest.importorskip("xarray"), pytest.importorskip("arviz")


def diagram(points: list[tuple[float, float]]) -> wf.Diagram:
    records = [
        {"couplings": {"J": j, "h": h}, "energy": j + 10 * h, "verdict": "trusted", "flags": [], "exact_energy": None}
        for j, h in points
    ]
    return wf.Diagram({"kind": "diagram", "points": records})


def test_a_grid_of_couplings_has_them_as_dimensions():
    found = diagram([(1.0, 0.5), (1.0, 0.7), (2.0, 0.5), (2.0, 0.7)]).to_xarray()
    assert dict(found.sizes) == {"J": 2, "h": 2}
    assert float(found.energy.sel(J=2.0, h=0.7)) == pytest.approx(9.0)
    assert "exact_energy" not in found and str(found.verdict.values[0, 0]) == "trusted"


def test_one_coupling_and_scattered_points():
    line = diagram([(1.0, 0.7), (1.0, 0.5)]).to_xarray()
    assert dict(line.sizes) == {"h": 2} and float(line.energy.sel(h=0.5)) == pytest.approx(6.0)
    scattered = diagram([(1.0, 0.5), (2.0, 0.7), (2.0, 0.9)]).to_xarray()
    assert dict(scattered.sizes) == {"point": 3} and {"J", "h"} <= set(scattered.coords)


def test_chains_as_inference_data():
    """ArviZ finds the chains: of constant ones R-hat is far from one, of mixed ones near."""
    rng = np.random.default_rng(0)
    spins = rng.choice([-1, 1], (4, 200, 3))
    found = inference_data(spins, {"lp": rng.normal(size=(4, 200))}, {"verdict": "trusted"})
    assert dict(found.posterior.sizes) == {"chain": 4, "draw": 200, "site": 3}
    assert float(arviz.rhat(found).spin.max()) < 1.05 and found.attrs["verdict"] == "trusted"


def test_samples_of_a_state():
    """The mean of the local energies is the energy of the state, to five error bars of both."""
    base = wf.load("zoo:ising-chain-24")
    found = base.state.to_arviz(512)
    energies = found.sample_stats.local_energy.values
    error = np.hypot(energies.mean(axis=1).std(ddof=1) / np.sqrt(len(energies)), base.record["energy_error"])
    assert abs(energies.mean() - base.energy) < 5 * error and set(np.unique(found.posterior.spin)) == {-1, 1}
    assert np.isfinite(found.sample_stats.lp).all() and energies.std() > 0


def test_without_them(monkeypatch: pytest.MonkeyPatch):
    empty: Any = None
    monkeypatch.setitem(sys.modules, "xarray", empty)
    with pytest.raises(InputError, match=r"pip install '\.\[arviz\]'"):
        diagram([(1.0, 0.5), (1.0, 0.7)]).to_xarray()
