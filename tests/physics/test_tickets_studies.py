"""Published and exact facts about sparse networks, by the full sum. Deterministic: no statistical error."""

from __future__ import annotations

import numpy as np
import pytest

import wavefoundry as wf
from wavefoundry.problems import lattice

pytestmark = pytest.mark.slow
PLATEAU = 9.1063e-4  # best state with one coupling for each of the 12 bonds (3 x 3, h = 3.04438)


@pytest.fixture(scope="module", params=[0, 1, 2])
def bonds(request):
    system = lattice.ising((3, 3), h=3.04438, periodic=False)
    settings = {"score": "surgeon", "fan_in": 2, "alternatives": ["surgeon"], "steps": 200, "stop_at": 20}
    train = {"steps": 150, "diagonal_shift": 1e-2, "seed": request.param}
    return wf.prune(wf.models.dense(alpha=4), system, fraction=0.15, train=train, **settings)


def test_the_ising_network_ends_on_its_bonds(bonds):
    errors = {record["n"]: record["relative_error"] for record in bonds.rounds}
    assert errors[24] == pytest.approx(PLATEAU, abs=2e-6)
    assert errors[20] >= 1e-2
    found = wf.explain(bonds, 24)
    assert found["kinds"] == {"bond": 12}
    centre = {tuple(b["sites"]): b["J"] for b in found["bond_couplings"]}
    for sites, coupling in centre.items():
        assert coupling == pytest.approx(0.08965 if 4 in sites else 0.08606, abs=1e-4)


def test_the_start_does_not_matter_and_the_mask_does(bonds):
    records = {r["variant"]: r for r in wf.isolate(bonds, 46, variants=["random-init", "random-mask"], steps=300)}
    found = bonds.ticket(46).record["relative_error"]
    assert 0.5 < records["random-init"]["mean"] / found < 2
    assert records["random-mask"]["mean"] > 5 * found


def test_toric_code_two_by_two():
    system = wf.toric.toric(2, 2)
    settings = {"score": "surgeon", "fan_in": 4, "steps": 200, "stop_at": 59}
    train = {"steps": 1000, "learning_rate": 0.025}
    tickets = wf.prune(wf.models.dense(alpha=8, activation="relu"), system, train=train, **settings)
    for record in tickets.rounds:
        if record["rho"] >= 10:
            assert record["relative_error"] < 2e-4
        odd, full = wf.explain(tickets, record["n"])["odd_plaquettes"]
        assert odd == full
    assert tickets.rounds[-1]["relative_error"] > 1e-3  # 24 (P - 1) = 72 weights are the conjectured least
    sparse = next(r["n"] for r in tickets.rounds[::-1] if r["rho"] >= 10)
    assert wf.explain(tickets, sparse)["odd_plaquettes"][1] > 10
    random = wf.isolate(tickets, sparse, variants=["random-mask"], steps=400)[0]
    assert np.min(random["errors"]) > 0.1
