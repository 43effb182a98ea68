"""Quantum chemistry by PySCF: Hartree-Fock, CCSD(T) and FCI in a basis, or extrapolated to the complete basis.

Single-threaded, silent, and only where the size of the molecule allows. A value that cannot be relied on is no
reference: none is better than a wrong one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.molecule import Molecule, covalent
from wavefoundry.problems.hartree_fock import one_thread
from wavefoundry.problems.one_basis import FCI_LIMIT, LOOSE, Solved, described, mean_field, solved
from wavefoundry.problems.references.molecules import Reference, atom_energy, atom_spin, lookup

QUICK_FCI = 3e5
"""Determinants up to which full configuration interaction is tried where it is one of several calculations."""
CBS_LIMIT = 120
"""Functions of the quadruple-zeta basis up to which "auto" extrapolates: some ten seconds a molecule."""
TRIPLE_LIMIT = 140
"""Functions of the triple-zeta basis up to which "auto" takes that."""
BASIS_ERROR, TRIPLES_ERROR, CORRECTION_ERROR = 0.2, 0.1, 0.2
"""Shares of the last step of the extrapolation, of (T), and of FCI - CCSD(T) that are taken as their uncertainty."""
LEAST_ERROR = 3e-4
"""Uncertainty (Ha) of an extrapolated energy at least."""
UNSETTLED = 0.01
"""Change (Ha per atom) of Hartree-Fock from triple to quadruple zeta beyond which the basis does not fit the state."""
APART = 2.0
"""Multiple of a covalent bond from which on atoms count as separated."""
_ALPHA = 6.57
_FIRST_ROW_FUNCTIONS = {"T": (14, 30, 43), "Q": (30, 55, 84)}
"""Basis functions of H and He, of Be-like valence sets, and of sets with core correlation."""
METHODS = ("hf", "ccsd(t)", "fci")


@dataclasses.dataclass(frozen=True)
class Chemistry:
    """Energies of one molecule (Ha); None where a method was not run or did not converge.

    doubt: why none of them serves as a reference. uncertainty: of the best one within its basis (Ha).
    complete: the basis is complete, by extrapolation. apart: the best one is the energy of the separated atoms.
    """

    basis: str
    hf: float
    ccsd_t: float | None = None
    fci: float | None = None
    doubt: str | None = None
    uncertainty: float = 0.0
    complete: bool = False
    apart: bool = False

    def best(self) -> Reference | None:
        """The most accurate of them, if it can be relied on."""
        if self.doubt is not None:
            return None
        corrected = self.complete and None not in (self.fci, self.ccsd_t) and self.fci != self.ccsd_t
        for value, name in ((self.fci, "CCSD(T)+FCI" if corrected else "FCI"), (self.ccsd_t, "CCSD(T)")):
            if value is not None:
                source = f"separated atoms, below {self.basis}" if self.apart else f"{name}/{self.basis}"
                return Reference(value, "method", source, self.uncertainty, self.complete)
        return Reference(self.hf, "method", f"HF/{self.basis}", self.uncertainty, complete=False)


def resolve(molecule: Molecule, basis: str) -> str:
    """What "auto" means for a molecule: "cbs", "cc-pVTZ" or "cc-pVDZ", by size; with diffuse functions for anions."""
    if basis != "auto":
        return basis
    light = sum(symbol in ("H", "He") for symbol in molecule.symbols)
    heavy = molecule.atoms - light
    if light * _FIRST_ROW_FUNCTIONS["Q"][0] + heavy * _FIRST_ROW_FUNCTIONS["Q"][2] <= CBS_LIMIT:
        return "cbs"
    triple = light * _FIRST_ROW_FUNCTIONS["T"][0] + heavy * _FIRST_ROW_FUNCTIONS["T"][1]
    return _diffuse(molecule) + ("cc-pVTZ" if triple <= TRIPLE_LIMIT else "cc-pVDZ")


def _diffuse(molecule: Molecule) -> str:
    """Prefix of a basis: electrons bound as loosely as in anions need functions that reach far out."""
    return "aug-" if molecule.charge < 0 else ""


def _needs_diffuse(molecule: Molecule, limit: float) -> bool:
    """Whether far-reaching functions lower Hartree-Fock below what is taken for its limit without them."""
    try:
        field, _ = mean_field(molecule, _core_valence(molecule, "T", "aug-"), careful=False)
    except InputError:  # not every element has them
        return False
    return float(field.e_tot) < limit - LOOSE


def _pair(molecule: Molecule, prefix: str, wanted: set[str]) -> tuple[Solved, Solved]:
    """Triple and quadruple zeta."""
    triple, quadruple = (solved(molecule, _core_valence(molecule, size, prefix), wanted, 0.0) for size in ("T", "Q"))
    return triple, quadruple


def chemistry(
    molecule: Molecule, basis: str = "auto", methods: Sequence[str] = METHODS, *, careful: bool = True
) -> Chemistry:
    """Hartree-Fock, CCSD(T) and FCI energies of a molecule, each where its size allows.

    Args:
        molecule: the molecule.
        basis: a basis set of PySCF, "cbs" or "auto".
        methods: of "hf", "ccsd(t)" and "fci"; Hartree-Fock always runs.
        careful: look whether Hartree-Fock is stable; not needed where no reference is wanted.

    Raises:
        InputError: the basis is unknown, or PySCF is missing.
        PhysicsError: Hartree-Fock does not converge.
    """
    basis = resolve(molecule, basis)
    if basis == "cbs":
        return complete_basis(molecule, methods)
    with one_thread():
        found = solved(molecule, basis, methods, FCI_LIMIT, careful)
    doubt = None if found.fci is not None else found.doubt
    uncertainty = 0.0 if found.fci is not None else TRIPLES_ERROR * abs(found.triples)
    return _capped(molecule, Chemistry(basis, found.hf, found.ccsd_t, found.fci, doubt, uncertainty))


def complete_basis(molecule: Molecule, methods: Sequence[str] = METHODS) -> Chemistry:
    """FCI or CCSD(T) at the limit of the basis, from triple and quadruple zeta with core correlation.

    The Hartree-Fock energy converges as (X + 1) exp(-6.57 sqrt(X)), the correlation energy as X^-3. Functions that
    reach far out are added for anions, and where they lower Hartree-Fock below that limit, as in triplets whose
    electrons keep apart. One and two electrons are treated by FCI. Else CCSD(T) is corrected by its difference from FCI
    in double zeta where that is affordable, and relied on without it only where one determinant is a good start.

    Raises:
        InputError, PhysicsError: as for ``chemistry``.

    Source: Karton and Martin, Theor. Chem. Acc. 115, 330 (2006); Helgaker et al., J. Chem. Phys. 106, 9639 (1997).
    """
    heavy = any(symbol not in ("H", "He") for symbol in molecule.symbols)
    wanted, prefix = set(methods) & {"ccsd(t)", "fci"}, _diffuse(molecule)
    with one_thread():
        triple, quadruple = _pair(molecule, prefix, wanted)
        if not prefix and _needs_diffuse(molecule, _limit_of_hf(triple.hf, quadruple.hf)):
            prefix = "aug-"
            triple, quadruple = _pair(molecule, prefix, wanted)
        name = f"CBS({prefix}cc-p{'C' if heavy else ''}VTZ/QZ)"
        hf = _limit_of_hf(triple.hf, quadruple.hf)
        doubt = None
        if abs(quadruple.hf - triple.hf) > UNSETTLED * molecule.atoms:
            doubt = "Hartree-Fock still changes from triple to quadruple zeta: the basis does not fit this state"
        if not wanted:
            return Chemistry(name, hf, doubt=doubt, complete=True)
        exact = triple.fci is not None and quadruple.fci is not None
        energies = (triple.fci, quadruple.fci) if exact else (triple.ccsd_t, quadruple.ccsd_t)
        if energies[0] is None or energies[1] is None:
            why = doubt or quadruple.doubt or "CCSD(T) does not converge"
            return Chemistry(name, hf, doubt=why, complete=True)
        value = hf + (64 * (energies[1] - quadruple.hf) - 27 * (energies[0] - triple.hf)) / 37
        error = max(BASIS_ERROR * abs(value - energies[1]), LEAST_ERROR)
        if exact:
            two = value if molecule.electrons == 2 else None  # coupled cluster is exact for them
            return _capped(molecule, Chemistry(name, hf, two, value, doubt, error, complete=True))
        small = solved(molecule, _core_valence(molecule, "D", prefix), {*wanted, "fci"}, QUICK_FCI)
    if small.fci is not None and small.ccsd_t is not None:
        correction = small.fci - small.ccsd_t
        # where one determinant is no start to build on, the correction grows with the basis
        error += (CORRECTION_ERROR if quadruple.doubt is None else 1.0) * abs(correction)
        return _capped(molecule, Chemistry(name, hf, value, value + correction, doubt, error, True))
    error += TRIPLES_ERROR * abs(quadruple.triples)
    return _capped(molecule, Chemistry(name, hf, value, None, doubt or quadruple.doubt, error, True))


def _limit_of_hf(triple: float, quadruple: float) -> float:
    ratio = 4 / 5 * math.exp(_ALPHA * (2 - math.sqrt(3)))
    return quadruple + (quadruple - triple) / (ratio - 1)


def _core_valence(molecule: Molecule, size: str, prefix: str) -> dict[str, str]:
    return {s: f"{prefix}cc-p{'' if s in ('H', 'He') else 'C'}V{size}Z" for s in set(molecule.symbols)}


def _capped(molecule: Molecule, found: Chemistry) -> Chemistry:
    """No energy above that of the separated atoms where the atoms are separated: a wrong one is dropped.

    Small excesses are those of the extrapolation and are taken away.
    """
    apart, best = separated_atoms(molecule), found.best()
    if apart is None or best is None or best.value <= apart:
        return found
    highest = apart + max(best.uncertainty, 1e-3 * molecule.atoms)
    if not best.complete:  # above the atoms by what the basis lacks: held against the atoms in that basis
        highest = sum(_of_atom(symbol, found.basis) for symbol in molecule.symbols) + LOOSE * molecule.atoms
    if best.value > highest:
        return dataclasses.replace(found, doubt="the calculation ends above the energy of the separated atoms")
    if not best.complete:
        return found
    change = {"fci": apart} if found.fci is not None else {"ccsd_t": apart}
    return dataclasses.replace(found, apart=True, **change)


@functools.cache
def _of_atom(symbol: str, basis: str) -> float:
    """Hartree-Fock energy of a neutral atom in its ground state."""
    atom = Molecule(symbol, (symbol,), ((0.0, 0.0, 0.0),), 0, atom_spin(symbol))
    return float(mean_field(atom, basis, careful=False)[0].e_tot)


def separated_atoms(molecule: Molecule) -> float | None:
    """Sum of the literature energies of the atoms (Ha) where a neutral molecule is far apart, else None."""
    pairs = [(a, b) for a in range(molecule.atoms) for b in range(a)]
    lengths = [math.dist(molecule.positions[a], molecule.positions[b]) for a, b in pairs]
    symbols = molecule.symbols
    far = all(length > APART * covalent(symbols[a], symbols[b]) for (a, b), length in zip(pairs, lengths, strict=True))
    energies = [atom_energy(symbol) for symbol in symbols]
    if not pairs or not far or molecule.charge or any(energy is None for energy in energies):
        return None
    if molecule.spin > sum(atom_spin(symbol) for symbol in symbols):
        return None
    return float(sum(energies))  # type: ignore[arg-type]


def require_basis(molecule: Molecule, basis: str) -> None:
    """Find out that a basis does not exist, or lacks an element, before anything is computed.

    Raises:
        InputError: it cannot be used.
    """
    basis = resolve(molecule, basis)
    if basis != "cbs":
        described(molecule, basis)


def reference_for(
    molecule: Molecule, basis: str | None = "auto", methods: Sequence[str] = METHODS, literature: bool = True
) -> tuple[Reference | None, Chemistry | None]:
    """The best reference of a molecule, and what quantum chemistry says in a basis.

    Args:
        molecule: the molecule.
        basis: as for ``chemistry``; None for no calculation. "auto" runs Hartree-Fock alone where the literature has
            a value.
        methods: as for ``chemistry``.
        literature: use tabulated values where the molecule is known.

    Returns:
        No reference where nothing reliable is known: strongly stretched bonds of many electrons, for example.

    Raises:
        InputError: as for ``chemistry``. A calculation that does not converge is left out.
    """
    known = lookup(molecule) if literature else None
    if basis is None:
        return known, None
    if known is not None and basis == "auto":
        basis, methods = f"{_diffuse(molecule)}cc-pVTZ", ("hf",)
    try:
        found = chemistry(molecule, basis, methods, careful=known is None)
    except PhysicsError:
        return known, None
    return known or found.best(), found
