"""What energies of molecules are compared with: a table of literature values and curves.

A value is *exact* (within its uncertainty the ground-state energy of the clamped nuclei, without relativity), an
*upper bound* (the best variational energy known), or that of a *method*, see ``chemistry``.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from wavefoundry.core.geometries import chain
from wavefoundry.core.molecule import Molecule

Kind = Literal["exact", "upper bound", "method"]
TOLERANCE = 2e-3
"""Largest difference of a distance (bohr) between a molecule and an entry of the table."""


class Reference(NamedTuple):
    """An energy to compare with: value (Ha), what it is, where it is from, and its uncertainty.

    complete: it stands for the limit of the basis; False for a calculation in one small basis, which lies far above.
    """

    value: float
    kind: Kind
    source: str
    uncertainty: float = 0.0
    complete: bool = True


@dataclasses.dataclass(frozen=True)
class Entry:
    """A literature value and the geometry it belongs to."""

    molecule: Molecule
    reference: Reference


LITERATURE = "complete basis, non-relativistic (literature)"
NEAR_EXACT = "complete-basis benchmark used in arXiv 2303.09949"
NN_VMC = "neural-network VMC, arXiv 2303.09949, 4000 fine-tuning steps"
_ATOMS = {
    "He": (-2.903724, 0), "Li": (-7.478060, 1), "Be": (-14.66736, 0), "B": (-24.65391, 1), "C": (-37.8450, 2),
    "N": (-54.5892, 3), "O": (-75.0673, 2), "F": (-99.7339, 1), "Ne": (-128.9376, 0),
}  # fmt: skip
_IONS = {
    ("H", -1, 0): -0.527751, ("Li", 1, 0): -7.279913, ("Be", 1, 1): -14.324763, ("Be", 2, 0): -13.655566,
    ("He", 0, 2): -2.175229,
}  # fmt: skip
"""Ions and excited spins of atoms: element, charge, 2S."""
_DIATOMICS = [
    ("H 0 0 0; H 0 0 2.0", 1, -0.602634, "exact", LITERATURE),
    ("Li 0 0 0; H 0 0 3.015", 0, -8.070548, "exact", NEAR_EXACT),
    ("Li 0 0 0; Li 0 0 5.051048595", 0, -14.9954, "exact", NEAR_EXACT),
    ("N 0 0 0; N 0 0 2.068", 0, -109.5423, "exact", NEAR_EXACT),
    ("N 0 0 0; N 0 0 4.0", 0, -109.194726, "upper bound", "complete-basis estimate used in arXiv 2303.09949"),
]
_CHAINS = {
    4: (-2.27820, 2e-5), 6: (-3.40525, 2e-5), 8: (-4.53386, 3e-5), 10: (-5.66323, 3e-5), 12: (-6.7929, 1e-4),
    16: (-9.0528, 2e-4), 20: (-11.3126, 2e-4),
}  # fmt: skip
_H10_MRCI = {
    (1.0, 1.8): -5.366749, (1.3, 1.5): -5.510624, (1.3, 1.9): -5.692075, (1.3, 2.3): -5.779438, (1.4, 1.4): -5.488275,
    (1.5, 1.7): -5.662640, (1.5, 2.1): -5.763517, (1.5, 2.5): -5.814125, (1.7, 1.9): -5.699441, (1.7, 2.3): -5.753476,
    (1.7, 2.7): -5.782132, (1.9, 2.1): -5.675031, (1.9, 2.5): -5.701346, (1.9, 2.9): -5.716692, (2.0, 2.0): -5.638634,
    (2.0, 2.4): -5.659088, (2.0, 2.8): -5.672810, (2.1, 2.3): -5.619025, (2.1, 2.7): -5.628931, (2.2, 2.2): -5.584543,
    (2.2, 2.6): -5.586776, (2.3, 2.5): -5.548357, (2.4, 2.4): -5.516637,
}  # fmt: skip
_N2 = {
    1.6015: -109.22297, 2.1353: -109.53877, 2.6692: -109.41447, 3.2030: -109.28446, 3.7369: -109.21454,
    4.2707: -109.18962, 4.8045: -109.18170, 5.3384: -109.17971,
}  # fmt: skip
_H2 = {
    1.0: -1.12454, 1.2: -1.16494, 1.4: -1.174476, 1.6: -1.16858, 1.8: -1.155068, 2.0: -1.13813, 2.2: -1.12013,
    2.4: -1.10242, 2.6: -1.08579, 3.0: -1.05733, 4.0: -1.01639, 5.0: -1.00379, 6.0: -1.00084,
}  # fmt: skip
_LIH = {
    1.8: -7.952707, 2.0: -8.000881, 2.2: -8.032217, 2.4: -8.051812, 2.6: -8.063215, 2.8: -8.068902, 3.0: -8.070616,
    3.015: -8.070621, 3.2: -8.069592, 3.4: -8.066707, 3.6: -8.062584, 3.8: -8.057667, 4.0: -8.052274, 4.2: -8.046634,
    4.3: -8.043776, 4.6: -8.035233, 5.0: -8.024311, 5.5: -8.011992, 6.0: -8.001599,
}  # fmt: skip


class Line(NamedTuple):
    """Energies of a diatomic molecule over its bond length; between the lengths they are interpolated."""

    symbols: tuple[str, str]
    energies: dict[float, float]
    reference: Reference


CURVES = (
    Line(("H", "H"), _H2, Reference(0.0, "exact", "Kolos and Wolniewicz (literature)", 1e-5)),
    Line(("H", "Li"), _LIH, Reference(0.0, "method", "CCSD(T)/CBS(cc-pCVTZ/QZ), tabulated", 2e-4)),
)
"""Potential curves of neutral molecules without unpaired electrons."""


def table() -> list[Entry]:
    """All literature values. One electron around one nucleus is treated by ``lookup`` itself."""
    found = [
        Entry(Molecule(name, (name,), ((0.0, 0.0, 0.0),), spin=spin), Reference(value, "exact", LITERATURE))
        for name, (value, spin) in _ATOMS.items()
    ]
    for (symbol, charge, spin), value in _IONS.items():
        atom = Molecule(f"{symbol} {charge:+d}", (symbol,), ((0.0, 0.0, 0.0),), charge, spin)
        found.append(Entry(atom, Reference(value, "exact", LITERATURE)))
    for text, charge, value, kind, source in _DIATOMICS:
        found.append(Entry(Molecule.from_atoms(text, charge=charge), Reference(value, kind, source)))  # type: ignore
    for count, (value, error) in _CHAINS.items():
        found.append(Entry(chain(count, 1.8), Reference(value, "upper bound", NN_VMC, error)))
    for (a, b), value in _H10_MRCI.items():
        found.append(Entry(chain(10, a, b), Reference(value, "upper bound", "MRCI+Q/CBS, used in arXiv 2303.09949")))
    for length, value in _N2.items():
        molecule = Molecule.from_atoms(f"N 0 0 0; N 0 0 {length}")
        found.append(Entry(molecule, Reference(value, "upper bound", "neural-network VMC, arXiv 2303.09949")))
    return found


def lookup(molecule: Molecule) -> Reference | None:
    """The literature value of a molecule, found by elements, charge, spin and distances.

    Distances tell no mirror images apart, which have the same energy. One electron on one nucleus is -Z^2 / 2.
    """
    if molecule.electrons == 1 and molecule.atoms == 1:
        return Reference(-0.5 * molecule.charges[0] ** 2, "exact", "closed form, -Z^2 / 2")
    wanted = _fingerprint(molecule)
    for entry in table():
        other = entry.molecule
        same = (molecule.charge, molecule.spin) == (other.charge, other.spin)
        if same and molecule.atoms == other.atoms and _alike(wanted, _fingerprint(other)):
            return entry.reference
    return _on_a_curve(molecule)


def _on_a_curve(molecule: Molecule) -> Reference | None:
    """Energy from a tabulated potential curve, by a cubic spline between its points."""
    for line in CURVES:
        if tuple(sorted(molecule.symbols)) != line.symbols or (molecule.charge, molecule.spin) != (0, 0):
            continue
        (length,) = molecule.distances()
        for known, energy in line.energies.items():
            if abs(known - length) < 1e-6:
                return line.reference._replace(value=energy)
        if min(line.energies) < length < max(line.energies):
            from scipy.interpolate import CubicSpline

            knots = sorted(line.energies)
            energy = float(CubicSpline(knots, [line.energies[r] for r in knots])(length))
            return Reference(energy, "method", f"{line.reference.source}, interpolated", 5e-4)
    return None


def _fingerprint(molecule: Molecule) -> list[tuple[int, int, float]]:
    """Elements and distance of every pair of atoms, sorted; of a single atom the element."""
    charges, atoms = molecule.charges, range(molecule.atoms)
    pairs = [(i, j) for i in atoms for j in atoms if i < j] or [(0, 0)]
    distances = molecule.distances() or [0.0]
    return sorted(
        (min(charges[i], charges[j]), max(charges[i], charges[j]), d)
        for (i, j), d in zip(pairs, distances, strict=True)
    )


def _alike(first: list[tuple[int, int, float]], second: list[tuple[int, int, float]]) -> bool:
    return all(a[:2] == b[:2] and abs(a[2] - b[2]) < TOLERANCE for a, b in zip(first, second, strict=True))


def atom_spin(symbol: str) -> int:
    """2S of a neutral atom in its ground state; 0 where it is not tabulated."""
    return 1 if symbol == "H" else _ATOMS.get(symbol, (0.0, 0))[1]


def atom_energy(symbol: str) -> float | None:
    """Literature energy of a neutral atom in its ground state (Ha); None where it is not tabulated."""
    if symbol == "H":
        return -0.5
    return _ATOMS[symbol][0] if symbol in _ATOMS else None
