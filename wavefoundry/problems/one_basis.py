"""Hartree-Fock, CCSD(T) and FCI of a molecule in one basis, by PySCF. What fails or ends elsewhere gives nothing."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

from wavefoundry.core.errors import InputError, PhysicsError
from wavefoundry.core.molecule import Molecule

FCI_LIMIT = 3e6
"""Determinants up to which full configuration interaction is tried."""
CC_LIMIT, PAIR_LIMIT, FEW = 300, 200, 40
"""Basis functions up to which coupled cluster is tried, FCI of two electrons, and that by the solver for any number."""
MULTIREFERENCE, CONTAMINATED = 0.04, 0.1
"""T1 diagnostic, and excess of S^2, from which on coupled cluster of one determinant is not relied on."""
LOOSE = 1e-4
"""How far (Ha) Hartree-Fock may lie below its limit before functions that reach far out are needed."""
_AUGMENTED_CORE = re.compile(r"aug-cc-pcv([dtq5])z", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Solved:
    """One basis: energies, contribution of the triples, and why CCSD(T) may fail."""

    hf: float
    ccsd_t: float | None = None
    triples: float = 0.0
    fci: float | None = None
    doubt: str | None = None


def described(molecule: Molecule, basis: Any) -> Any:
    """The molecule as PySCF knows it."""
    try:
        from pyscf import gto
    except ImportError:
        fix = "pip install '.[molecules]' in the folder of wavefoundry, or pip install pyscf folx"
        raise InputError("PySCF is not installed", where="reference.basis", why="it computes them", fix=fix) from None
    options: dict[str, Any] = {"unit": "Bohr", "charge": molecule.charge, "spin": molecule.spin, "verbose": 0}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unknown basis PySCF advertises another package before it fails
            named = basis if isinstance(basis, dict) else dict.fromkeys(molecule.symbols, basis)
            shells = {symbol: _shells(symbol, name) for symbol, name in named.items()}
            return gto.M(atom=molecule.text(), basis=shells, dump_input=False, parse_arg=False, **options)
    except (KeyError, RuntimeError, ValueError) as error:
        why = f"PySCF: {' '.join(str(error).split())[:120]}"
        fix = "a basis of PySCF, as cc-pVTZ, or auto"
        raise InputError(f"basis {str(basis)[:40]} cannot be used", where="reference.basis", why=why, fix=fix) from None


def _shells(symbol: str, name: Any) -> Any:
    """A basis of one element; PySCF lacks those for core correlation with diffuse functions: both together."""
    found = _AUGMENTED_CORE.fullmatch(str(name))
    if found is None:
        return name
    from pyscf import gto

    size = found[1].upper()
    core, plain, diffuse = (gto.basis.load(f"{kind}V{size}Z", symbol) for kind in ("cc-pC", "cc-p", "aug-cc-p"))
    return core + [shell for shell in diffuse if shell not in plain]


def solved(
    molecule: Molecule, basis: Any, methods: Sequence[str] | set[str], limit: float, careful: bool = True
) -> Solved:
    """Everything in one basis; FCI up to ``limit`` determinants, of two electrons up to ``PAIR_LIMIT`` functions."""
    pair = molecule.electrons == 2 and bool({"ccsd(t)", "fci"} & set(methods))
    field, doubt = mean_field(molecule, basis, (careful and molecule.electrons > 1) or pair)
    hf, size = float(field.e_tot), field.mol.nao_nr()
    if molecule.electrons == 1:
        return Solved(hf, fci=hf)
    if pair and size <= PAIR_LIMIT:
        fci = _pair_fci(field, molecule, size)
        return Solved(hf, fci, 0.0, fci, None if fci is not None else "FCI does not converge")
    space = float(math.comb(size, molecule.n_up)) * math.comb(size, molecule.n_down)
    fci = _fci(field, molecule) if "fci" in methods and space <= limit else None
    if "ccsd(t)" not in methods or size > CC_LIMIT:
        return Solved(hf, None, 0.0, fci, doubt)
    value, triples, diagnostic = _ccsd_t(field)
    if value is None:
        return Solved(hf, None, 0.0, fci, doubt or "CCSD(T) does not converge")
    if doubt is None and diagnostic > MULTIREFERENCE:
        doubt = f"more than one determinant counts (T1 diagnostic {diagnostic:.2f}): CCSD(T) is not reliable"
    return Solved(hf, value, triples, fci, doubt)


def mean_field(molecule: Molecule, basis: Any, careful: bool) -> tuple[Any, str | None]:
    """Hartree-Fock, restricted for closed shells, else unrestricted; and why one determinant may be a bad start.

    The lowest solution of its kind: where the stability analysis finds a way down, it is followed.
    """
    atoms = described(molecule, basis)
    from pyscf import scf

    field: Any
    try:
        field = (scf.RHF if molecule.spin == 0 else scf.UHF)(atoms)
        field.conv_tol = 1e-10
        field.kernel()
        if not field.converged:
            field = field.newton()
            field.kernel()
        field, doubt = _stable(field) if field.converged and careful else (field, None)
    except (KeyError, RuntimeError, ValueError) as error:
        why = f"PySCF: {' '.join(str(error).split())[:120]}"
        raise InputError(f"basis {str(basis)[:40]} cannot be used", where="reference.basis", why=why) from None
    if not field.converged:
        raise PhysicsError(f"Hartree-Fock of {molecule.name} in {basis} does not converge: there is no reference")
    if molecule.charge < 0 and careful and max(e[n > 0].max() for e, n in _by_spin(field) if n.any()) > 0:
        what = f"the extra electron of {molecule.name} is not bound: in {basis} its orbital lies above zero"
        raise PhysicsError(f"{what}, where the basis holds it and nothing else does")
    if molecule.spin and doubt is None and careful:
        half = molecule.spin / 2
        excess = float(field.spin_square()[0]) - half * (half + 1)
        if excess > CONTAMINATED:
            doubt = f"Hartree-Fock mixes spins (S^2 too large by {excess:.2f}): CCSD(T) is not reliable"
    return field, doubt


def _by_spin(field: Any) -> list[tuple[Any, Any]]:
    """Energies and occupations of the orbitals, of each spin where they differ."""
    energies, occupied = field.mo_energy, field.mo_occ
    return [(energies, occupied)] if energies.ndim == 1 else list(zip(energies, occupied, strict=True))


def _stable(field: Any) -> tuple[Any, str | None]:
    """The solution at the end of the way down; of a restricted one whether an unrestricted one lies lower."""
    restricted, outer_stable = field.mo_coeff[0].ndim == 1, True
    for _ in range(4):
        try:
            inner, _, stable, outer_stable = field.stability(internal=True, external=restricted, return_status=True)
            if stable:
                break
            lower = field.newton()
            lower.kernel(inner, field.mo_occ)
        except (ValueError, RuntimeError):  # too few orbitals to look along
            break
        field = lower
    if restricted and not outer_stable:
        return field, "restricted Hartree-Fock is unstable, as for stretched bonds: CCSD(T) is not reliable"
    return field, None


def _ccsd_t(field: Any) -> tuple[float | None, float, float]:
    """Energy (None where it does not converge), contribution of the triples, T1 diagnostic."""
    import numpy as np
    from pyscf import cc

    solver: Any = cc.CCSD(field)
    solver.verbose, solver.max_cycle = 0, 100
    try:
        solver.kernel()
        if not solver.converged:
            return None, 0.0, 0.0
        triples = float(solver.ccsd_t())
    except Exception:  # no virtual orbitals, no pair to correlate, or whatever fails within where it does not converge
        return None, 0.0, 0.0
    if solver.e_corr + triples > 0:  # another state than the lowest
        return None, 0.0, 0.0
    singles = solver.t1 if isinstance(solver.t1, tuple) else (solver.t1, solver.t1)
    electrons = sum(part.shape[0] for part in singles)
    size = math.sqrt(sum(float(np.sum(part**2)) for part in singles) / (2 * max(electrons, 1)))
    return float(solver.e_tot + triples), triples, size


def _fci(field: Any, molecule: Molecule) -> float | None:
    from pyscf import fci

    return _lowest(fci.FCI(field), field, nelec=(molecule.n_up, molecule.n_down))


def _pair_fci(field: Any, molecule: Molecule, size: int) -> float | None:
    """FCI of two electrons; in large bases as CISD, which is the same for them and much faster.

    Coupled cluster is the same too, but where the bond is long it converges to other states.
    """
    from pyscf import ci

    if size <= FEW:
        return _fci(field, molecule)
    return _lowest(ci.CISD(field), field)


def _lowest(solver: Any, field: Any, **options: Any) -> float | None:
    """The lowest energy of a solver, or None where it does not converge, or above Hartree-Fock."""
    solver.verbose, solver.max_cycle, solver.conv_tol = 0, 200, 1e-9
    try:
        found = solver.kernel(**options)[0]
    except Exception:  # whatever fails within where it does not converge
        return None
    total = float(getattr(solver, "e_tot", found))
    return total if bool(getattr(solver, "converged", True)) and total < field.e_tot + LOOSE else None
