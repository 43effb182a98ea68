"""The potential curve of a molecule from one training: lithium hydride, at bond lengths the model never saw.

Run ``python examples/molecules.py`` from a place you may write to; it takes some minutes on two cores, most of them
for compiling when it runs for the first time. It prints energies with error bars beside their references, and writes
``molecules.png`` and ``molecules.html``. ``--hydrogen`` does the same for H2, which is faster.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import wavefoundry as wf


def main() -> None:
    """Train at a few bond lengths, predict others, then look at dipole moment and density."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hydrogen", action="store_true", help="H2 instead of LiH")
    parser.add_argument("--steps", type=int, default=250, help="natural-gradient steps of the training")
    parser.add_argument("--samples", type=int, default=20_480, help="fresh samples of every molecule")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture and the report")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    atoms = "H 0 0 0; H 0 0 R" if arguments.hydrogen else "Li 0 0 0; H 0 0 R"
    seen, new = ([1.0, 1.8, 2.6], [1.2, 1.4, 2.2]) if arguments.hydrogen else ([2.4, 3.0, 4.0], [2.6, 3.015, 3.6])

    # one set of weights for all lengths: Hartree-Fock orbitals first, then all molecules in every step
    base = wf.pretrain(wf.molecules(atoms, scan=seen), wf.models.electrons(), steps=arguments.steps, progress=True)
    print(f"{base.parameters} weights, none of which belongs to a molecule")

    # no further step at the lengths in between
    curve = wf.map(base, wf.molecules(atoms, scan=new), evaluate={"samples": arguments.samples})
    for record in curve.molecules:
        reference = record["reference"]
        print(f"{record['name']}: {record['energy']:.5f} +- {record['energy_error']:.5f} Ha")
        print(f"    {record['error_mha']:+.1f} mHa from {reference['value']:.5f} ({reference['source']})")
        print(f"    dipole moment {record['observables']['dipole']['value']:.2f} D, flags: {record['flags'] or 'none'}")

    curve.plot().savefig(arguments.out / "molecules.png", dpi=160)
    curve.to_html(arguments.out / "molecules.html")


if __name__ == "__main__":
    main()
