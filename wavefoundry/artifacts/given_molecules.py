"""Molecules as ASE and PySCF hold them, without importing either."""

from __future__ import annotations

from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError

Entry = dict[str, Any]


def entry_from(source: Any, where: str) -> Entry | None:
    """An ``ase.Atoms`` or ``pyscf.gto.Mole`` as an entry of a study file; None for anything else.

    Positions of ASE are in angstrom. Its charge is ``atoms.info["charge"]``, else the sum of the initial charges; its
    spin (2S) ``atoms.info["spin"]``, else the sum of the initial magnetic moments where there are any.

    Raises:
        InputError: a periodic cell, a fractional charge or moment, pseudopotentials, ghost atoms, a molecule that was
            not built.
    """
    names = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(source).__mro__}
    if "ase.Atoms" in names:
        return _from_ase(source, where)
    return _from_pyscf(source, where) if names & {"pyscf.Mole", "pyscf.MoleBase"} else None


def _from_ase(atoms: Any, where: str) -> Entry:
    if np.any(atoms.pbc):
        raise InputError("a periodic cell is no molecule", where=where, why="atoms.pbc is set", fix="atoms.pbc = False")
    charge = _whole(atoms.info.get("charge", np.sum(atoms.get_initial_charges())), "charge", where)
    moments = float(np.sum(atoms.get_initial_magnetic_moments()))
    spin = atoms.info.get("spin", abs(moments) if atoms.has("initial_magmoms") else None)
    entry = {"atoms": _text(atoms.get_chemical_symbols(), atoms.positions), "unit": "angstrom", "charge": charge}
    return entry if spin is None else entry | {"spin": _whole(spin, "spin", where)}


def _from_pyscf(mol: Any, where: str) -> Entry:
    if not getattr(mol, "natm", 0):
        raise InputError("the molecule of PySCF has no atoms", where=where, fix="mol.build()")
    if mol.has_ecp():
        why = "all electrons are calculated here"
        raise InputError("pseudopotentials are not supported", where=where, why=why, fix="mol.ecp = {}")
    symbols = [mol.atom_pure_symbol(i) for i in range(mol.natm)]
    if ghosts := [symbol for i, symbol in enumerate(symbols) if mol.atom_charge(i) == 0]:
        raise InputError(f"{ghosts[0]} is a ghost atom", where=where, why="it has no charge", fix="leave it out")
    text = _text(symbols, mol.atom_coords())
    return {"atoms": text, "unit": "bohr", "charge": int(mol.charge), "spin": int(mol.spin)}


def _text(symbols: Any, positions: Any) -> str:
    rows = zip(symbols, np.asarray(positions, float), strict=True)
    return "; ".join(f"{symbol} {x!r} {y!r} {z!r}" for symbol, (x, y, z) in ((s, map(float, p)) for s, p in rows))


def _whole(value: Any, name: str, where: str) -> int:
    if abs(float(value) - round(float(value))) > 1e-3:
        raise InputError(f"a {name} of {float(value):g}", where=where, why="it has to be a whole number")
    return round(float(value))
