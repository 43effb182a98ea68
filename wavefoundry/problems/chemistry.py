"""Quantum chemistry by PySCF: Hartree-Fock, CCSD(T) and FCI in a basis, or extrapolated to the complete basis.

Single-threaded, silent, and only where the size of the molecule allows.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.molecule import Molecule
from wavefoundry.problems.references import Reference, lookup

FCI_LIMIT = 3e6
"""Determinants up to which full configuration interaction is tried."""
CC_LIMIT = 300
"""Basis functions up to which coupled cluster is tried."""
CBS_LIMIT = 120
"""Functions of the quadruple-zeta basis up to which "auto" extrapolates: some ten seconds a molecule."""
TRIPLE_LIMIT = 140
"""Functions of the triple-zeta basis up to which "auto" takes that."""
_ALPHA = 6.57
_FIRST_ROW_FUNCTIONS = {"T": (14, 30, 43), "Q": (30, 55, 84)}
"""Basis functions of H and He, of Be-like valence sets, and of sets with core correlation."""
METHODS = ("hf", "ccsd(t)", "fci")


@dataclasses.dataclass(frozen=True)
class Chemistry:
    """Energies of one molecule (Ha); None where a method was not run or did not converge."""

    basis: str
    hf: float
    ccsd_t: float | None = None
    fci: float | None = None

    def best(self) -> Reference:
        """The most accurate of them."""
        for value, name in ((self.fci, "FCI"), (self.ccsd_t, "CCSD(T)")):
            if value is not None:
                return Reference(value, "method", f"{name}/{self.basis}", complete=self.basis.startswith("CBS"))
        return Reference(self.hf, "method", f"HF/{self.basis}", complete=False)


def resolve(molecule: Molecule, basis: str) -> str:
    """What "auto" means for a molecule: "cbs", "cc-pVTZ" or "cc-pVDZ", by size."""
    if basis != "auto":
        return basis
    light = sum(symbol in ("H", "He") for symbol in molecule.symbols)
    heavy = molecule.atoms - light
    if light * _FIRST_ROW_FUNCTIONS["Q"][0] + heavy * _FIRST_ROW_FUNCTIONS["Q"][2] <= CBS_LIMIT:
        return "cbs"
    triple = light * _FIRST_ROW_FUNCTIONS["T"][0] + heavy * _FIRST_ROW_FUNCTIONS["T"][1]
    return "cc-pVTZ" if triple <= TRIPLE_LIMIT else "cc-pVDZ"


def chemistry(molecule: Molecule, basis: str = "auto", methods: Sequence[str] = METHODS) -> Chemistry:
    """Hartree-Fock, CCSD(T) and FCI energies of a molecule, each where its size allows.

    Args:
        molecule: the molecule.
        basis: a basis set of PySCF, "cbs" or "auto".
        methods: of "hf", "ccsd(t)" and "fci"; Hartree-Fock always runs.

    Raises:
        InputError: the basis is unknown, or PySCF is missing.
        PhysicsError: Hartree-Fock does not converge.
    """
    basis = resolve(molecule, basis)
    if basis == "cbs":
        return complete_basis(molecule, methods)
    field = _field(molecule, basis)
    return Chemistry(basis, float(field.e_tot), *_correlated(field, molecule, methods))


def complete_basis(molecule: Molecule, methods: Sequence[str] = METHODS) -> Chemistry:
    """CCSD(T) at the limit of the basis, from triple and quadruple zeta with core correlation.

    The Hartree-Fock energy converges as (X + 1) exp(-6.57 sqrt(X)), the correlation energy as X^-3. For one and two
    electrons coupled cluster is exact within the basis.

    Raises:
        InputError, PhysicsError: as for ``chemistry``.

    Source: Karton and Martin, Theor. Chem. Acc. 115, 330 (2006); Helgaker et al., J. Chem. Phys. 106, 9639 (1997).
    """
    fields = [_field(molecule, _core_valence(molecule, size)) for size in ("T", "Q")]
    triple, quadruple = (float(field.e_tot) for field in fields)
    ratio = 4 / 5 * math.exp(_ALPHA * (2 - math.sqrt(3)))
    hf = quadruple + (quadruple - triple) / (ratio - 1)
    name = "CBS(cc-pCVTZ/QZ)" if any(symbol not in ("H", "He") for symbol in molecule.symbols) else "CBS(cc-pVTZ/QZ)"
    if molecule.electrons == 1:
        return Chemistry(name, hf, fci=hf)
    if "ccsd(t)" not in methods and "fci" not in methods:
        return Chemistry(name, hf)
    found = [_ccsd_t(field) for field in fields]
    if found[0] is None or found[1] is None:
        return Chemistry(name, hf)
    small, large = found[0] - triple, found[1] - quadruple
    return Chemistry(name, hf, ccsd_t=hf + (64 * large - 27 * small) / 37)


def _core_valence(molecule: Molecule, size: str) -> dict[str, str]:
    return {s: f"cc-pV{size}Z" if s in ("H", "He") else f"cc-pCV{size}Z" for s in set(molecule.symbols)}


def _correlated(field: Any, molecule: Molecule, methods: Sequence[str]) -> tuple[float | None, float | None]:
    """(CCSD(T), FCI), each None where it is not wanted, too large or not converged."""
    if molecule.electrons == 1:
        return None, float(field.e_tot)
    size = field.mol.nao_nr()
    space = float(math.comb(size, molecule.n_up)) * math.comb(size, molecule.n_down)
    fci = _fci(field, molecule) if "fci" in methods and space <= FCI_LIMIT else None
    return _ccsd_t(field) if "ccsd(t)" in methods and size <= CC_LIMIT else None, fci


def require_basis(molecule: Molecule, basis: str) -> None:
    """Find out that a basis does not exist, or lacks an element, before anything is computed.

    Raises:
        InputError: it cannot be used.
    """
    basis = resolve(molecule, basis)
    if basis != "cbs":
        _described(molecule, basis)


def _described(molecule: Molecule, basis: Any) -> Any:
    """The molecule as PySCF knows it."""
    try:
        from pyscf import gto
    except ImportError:
        fix = 'pip install "wavefoundry[molecules]"'
        raise InputError("PySCF is not installed", where="reference.basis", why="it computes them", fix=fix) from None
    options: dict[str, Any] = {"unit": "Bohr", "charge": molecule.charge, "spin": molecule.spin, "verbose": 0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unknown basis PySCF advertises another package before it fails
            return gto.M(atom=molecule.text(), basis=basis, dump_input=False, parse_arg=False, **options)
    except (KeyError, RuntimeError, ValueError) as error:
        why = f"PySCF: {' '.join(str(error).split())[:120]}"
        fix = "a basis of PySCF, as cc-pVTZ, or auto"
        raise InputError(f"basis {str(basis)[:40]} cannot be used", where="reference.basis", why=why, fix=fix) from None


def _field(molecule: Molecule, basis: Any) -> Any:
    """A converged Hartree-Fock calculation: restricted for closed shells, else unrestricted."""
    described = _described(molecule, basis)
    from pyscf import lib, scf

    threads = lib.num_threads()
    lib.num_threads(1)
    try:
        field = (scf.RHF if molecule.spin == 0 else scf.UHF)(described)
        field.conv_tol = 1e-10
        field.kernel()
        if not field.converged:
            field = field.newton()
            field.kernel()
    except (KeyError, RuntimeError, ValueError) as error:
        why = f"PySCF: {' '.join(str(error).split())[:120]}"
        raise InputError(f"basis {str(basis)[:40]} cannot be used", where="reference.basis", why=why) from None
    finally:
        lib.num_threads(threads)
    if not field.converged:
        raise PhysicsError(f"Hartree-Fock of {molecule.name} in {basis} does not converge: there is no reference")
    return field


def _ccsd_t(field: Any) -> float | None:
    from pyscf import cc

    solver = cc.CCSD(field)
    solver.verbose, solver.max_cycle = 0, 100
    try:
        solver.kernel()
        return float(solver.e_tot + solver.ccsd_t()) if solver.converged else None
    except (ValueError, IndexError, AssertionError, ZeroDivisionError):
        return None  # no virtual orbitals, or no pair to correlate


def _fci(field: Any, molecule: Molecule) -> float | None:
    from pyscf import fci

    solver = fci.FCI(field)
    solver.verbose = 0
    energy, _ = solver.kernel(nelec=(molecule.n_up, molecule.n_down))
    return float(energy) if bool(getattr(solver, "converged", True)) else None


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

    Raises:
        InputError: as for ``chemistry``. A calculation that does not converge is left out.
    """
    known = lookup(molecule) if literature else None
    if basis is None:
        return known, None
    if known is not None and basis == "auto":
        basis, methods = "cc-pVTZ", ("hf",)
    try:
        found = chemistry(molecule, basis, methods)
    except PhysicsError:
        return known, None
    return known or found.best(), found
