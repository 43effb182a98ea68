"""The transverse-field Ising chain around its transition, from one pre-training at the critical field.

Run ``python examples/phase_diagram.py`` from a place you may write to; it takes about a minute on two cores. It prints
a table and writes ``phase_diagram.png`` and ``phase_diagram.html``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import wavefoundry as wf


def main() -> None:
    """Pre-train at h = 1, adapt the head to fields on both sides, compare with the exact energies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=20, help="length of the chain, a multiple of 4")
    parser.add_argument("--steps", type=int, default=150, help="steps of the pre-training")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture and the report")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    # H = -J sum Z Z - h sum X in Pauli matrices; the transition of the infinite chain is at h = J = 1
    system = wf.lattice.ising_chain(arguments.sites, h=1.0)
    model = wf.models.vit(patch=4, width=16, layers=2, heads=4)

    # the one expensive optimisation: all weights, at one field
    base = wf.pretrain(system, model, steps=arguments.steps, walkers=256, progress=True)
    exact = wf.exact.ising_chain(arguments.sites, h=1.0).energy
    error = base.record["energy_error"]
    print(f"\npre-trained at h = 1: E = {base.energy:.4f} +- {error:.4f}, exact {exact:.4f}\n")

    # every other field: only the head moves, on samples whose features are computed once
    diagram = wf.map(base, {"h": np.linspace(0.7, 1.3, 7)}, method="head", samples=1024, progress=True)

    table = diagram.to_pandas()
    columns = ["h", "energy", "energy_error", "exact_energy", "relative_error", "v_score", "r_hat", "ess", "flags"]
    print()
    print(table[columns].to_string(index=False))

    # <H_h> is dE/dh: the transverse magnetisation per site comes from the same samples
    magnetisation = -table["terms.h.value"] / arguments.sites
    print("\ntransverse magnetisation:", ", ".join(f"{value:.3f}" for value in magnetisation))

    seconds = base.cost["cpu_seconds"], diagram.cost["cpu_seconds"]
    print(f"CPU seconds: pre-training {seconds[0]:.0f}, all {len(diagram.points)} adaptations {seconds[1]:.0f}")

    diagram.plot().savefig(arguments.out / "phase_diagram.png", dpi=160)
    print("written:", arguments.out / "phase_diagram.png", "and", diagram.to_html(arguments.out / "phase_diagram.html"))


if __name__ == "__main__":
    main()
