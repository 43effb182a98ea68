"""A Hamiltonian of one's own: the XXZ chain, H = sum_i (Sx Sx + Sy Sy) + delta sum_i Sz Sz, from NetKet operators.

The two terms have a coupling each, so one pre-training at the isotropic point delta = 1 serves the whole line. Run
``python examples/user_hamiltonian.py``; it takes about a minute on two cores and compares with Lanczos.
"""

from __future__ import annotations

import argparse
from typing import Any

import netket as nk
from netket.operator.spin import sigmax, sigmay, sigmaz

import wavefoundry as wf


def xxz_chain(sites: int) -> Any:
    """The periodic XXZ chain in the sector Sz = 0, as a family with the couplings ``xy`` and ``delta``."""
    hilbert = nk.hilbert.Spin(0.5, sites, total_sz=0)
    bonds = [(i, (i + 1) % sites) for i in range(sites)]
    flip: Any = nk.operator.LocalOperator(hilbert)
    align: Any = nk.operator.LocalOperator(hilbert)
    for i, j in bonds:  # S = sigma / 2
        flip = flip + 0.25 * (sigmax(hilbert, i) @ sigmax(hilbert, j) + sigmay(hilbert, i) @ sigmay(hilbert, j))
        align = align + 0.25 * sigmaz(hilbert, i) @ sigmaz(hilbert, j)
    return wf.lattice.from_netket(
        {"xy": flip, "delta": align},
        {"xy": 1.0, "delta": 1.0},
        # rotating every second site makes the exchange negative: the ground state is positive, a real head suffices
        marshall=[site % 2 == 1 for site in range(sites)],
        model="XXZ chain",
    )


def main() -> None:
    """Pre-train at delta = 1 and adapt to weaker and stronger anisotropy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=16, help="length of the chain, a multiple of 4")
    parser.add_argument("--steps", type=int, default=150, help="steps of the pre-training")
    arguments = parser.parse_args()

    model = wf.models.vit(patch=4, width=16, layers=2, heads=4)
    base = wf.pretrain(xxz_chain(arguments.sites), model, steps=arguments.steps, walkers=256, progress=True)
    diagram = wf.map(base, {"delta": [0.5, 0.75, 1.0, 1.25, 1.5]}, samples=1024, progress=True)

    print(f"\n{'delta':>6} {'energy':>12} {'error':>8} {'exact':>12} {'rel. error':>11} {'V-score':>9}  flags")
    for point in diagram.points:
        print(
            f"{point['couplings']['delta']:6.2f} {point['energy']:12.5f} {point['energy_error']:8.5f} "
            f"{point['exact_energy']:12.5f} {point['relative_error']:11.1e} {point['v_score']:9.1e}  "
            f"{' '.join(point['flags']) or 'ok'}"
        )


if __name__ == "__main__":
    main()
