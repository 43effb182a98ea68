"""Molecules as ASE and PySCF hold them, without importing either."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wavefoundry.core.errors import InputError
from wavefoundry.core.expect import plain_of

Entry = dict[str, Any]


def entry_from(source: Any, where: str) -> Entry | None:
    """An ``ase.Atoms`` or ``pyscf.gto.Mole`` as an entry of a study file; None for anything else.

    Positions of ASE are in angstrom. Its charge is ``atoms.info["charge"]``, else the sum of the initial charges; its
    spin (2S) ``atoms.info["spin"]`` or ``atoms.info["multiplicity"]`` - 1, else the sum of the initial magnetic moments
    where there are any.

    Raises:
        InputError: a periodic cell, a fractional charge or moment, moments that are no numbers, pseudopotentials, ghost
            atoms, a molecule that was not built.
    """
    names = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(source).__mro__}
    if "ase.Atoms" in names:
        return _from_ase(source, where)
    if "pyscf.Cell" in names:
        raise InputError("a periodic cell is no molecule", where=where, why="a Cell of PySCF", fix="a Mole")
    return _from_pyscf(source, where) if names & {"pyscf.Mole", "pyscf.MoleBase"} else None


def _from_ase(atoms: Any, where: str) -> Entry:
    if np.any(atoms.pbc):
        raise InputError("a periodic cell is no molecule", where=where, why="atoms.pbc is set", fix="atoms.pbc = False")
    given = atoms.info.get("charge")
    charge = _whole(np.sum(atoms.get_initial_charges()) if given is None else given, "charge", where)
    entry = {"atoms": _text(atoms.get_chemical_symbols(), atoms.positions), "unit": "angstrom", "charge": charge}
    spin = _spin_of_ase(atoms, where)
    return entry if spin is None else entry | {"spin": spin}


def _spin_of_ase(atoms: Any, where: str) -> int | None:
    """2S; None where nothing says it."""
    given = [
        abs(_whole(atoms.info[name], name, where)) - (name == "multiplicity")  # -2S is the same state upside down
        for name in ("spin", "multiplicity")
        if atoms.info.get(name) is not None
    ]
    if len(set(given)) > 1:
        why = f"2S is {given[0]} and {given[1]}"
        raise InputError("spin and multiplicity contradict each other", where=where, why=why)
    if given or not atoms.has("initial_magmoms"):
        return given[0] if given else None
    moments = atoms.get_initial_magnetic_moments()
    if moments.ndim > 1:
        fix = 'atoms.info["spin"] = 2S'
        raise InputError("magnetic moments are not collinear", where=where, why="a state here has one 2S", fix=fix)
    return _whole(abs(float(np.sum(moments))), "spin", where)


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
    charge, spin = (_whole(getattr(mol, name), name, where) for name in ("charge", "spin"))
    return {"atoms": text, "unit": "bohr", "charge": charge, "spin": abs(spin)}


def _text(symbols: Any, positions: Any) -> str:
    rows = zip(symbols, np.asarray(positions, float), strict=True)
    return "; ".join(f"{symbol} {x!r} {y!r} {z!r}" for symbol, (x, y, z) in ((s, map(float, p)) for s, p in rows))


def _whole(value: Any, name: str, where: str) -> int:
    found = plain_of(value)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise InputError(f"{name} = {value!r:.60} is no number", where=where, fix=f"a whole number, or no {name}")
    if abs(found - round(found)) > 1e-3:
        raise InputError(f"a {name} of {found:g}", where=where, why="it has to be a whole number")
    return round(found)
